// SPDX-License-Identifier: Apache-2.0
// The kernels with AMX: one tdpbsud multiplies 64 columns of 16 rows with 16 lanes. Panels lie as tiles want them.
#include "CCompression.h"

#if defined(__x86_64__)
#define INSTRUCTIONS "avx2,avx512f,avx512bw,avx512vl,avx512vnni,amx-tile,amx-int8"
#pragma clang attribute push(__attribute__((target(INSTRUCTIONS))), apply_to = function)
#define INLINE static inline __attribute__((always_inline))
#include "dots_vnni.h"

enum { tile_rows = 16, tile_columns = 64, product_rows = 2 * tile_rows };

// Tiles 0 to 3 are sums, of the first and second rows with the first and second panel each; 4 and 5 rows; 6 and 7 panels.

typedef struct __attribute__((packed)) tile_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_shapes;

/// Shapes the tiles for products of `count` rows, at most `product_rows`.
INLINE void begin_products(size_t count) {
    const uint8_t first = (uint8_t)(count < tile_rows ? count : tile_rows), second = (uint8_t)(count - first);
    tile_shapes shapes = {.palette = 1, .rows = {first, first, second, second, first, second, tile_rows, tile_rows}};
    for (size_t i = 0; i < 8; i++) shapes.row_bytes[i] = shapes.rows[i] ? 64 : 0;
    _tile_loadconfig(&shapes);
}

INLINE void end_products(void) { _tile_release(); }

INLINE void load_sums(const int32_t *from, size_t width, size_t panels, bool second) {
    const size_t ld = 4 * width;
    _tile_loadd(0, from, ld);
    if (panels == 2) _tile_loadd(1, from + DKV_LANES, ld);
    if (!second) return;
    _tile_loadd(2, from + tile_rows * width, ld);
    if (panels == 2) _tile_loadd(3, from + tile_rows * width + DKV_LANES, ld);
}

INLINE void store_sums(int32_t *to, size_t width, size_t panels, bool second) {
    const size_t ld = 4 * width;
    _tile_stored(0, to, ld);
    if (panels == 2) _tile_stored(1, to + DKV_LANES, ld);
    if (!second) return;
    _tile_stored(2, to + tile_rows * width, ld);
    if (panels == 2) _tile_stored(3, to + tile_rows * width + DKV_LANES, ld);
}

/// Adds the products of `tile_columns` columns.
INLINE void add_columns(const uint8_t *panel, size_t step, size_t panels, const int8_t *rows, size_t ld, bool second) {
    _tile_loadd(4, rows, ld);
    _tile_loadd(6, panel, 64);
    _tile_dpbsud(0, 4, 6);
    if (second) {
        _tile_loadd(5, rows + tile_rows * ld, ld);
        _tile_dpbsud(2, 5, 6);
    }
    if (panels == 2) {
        _tile_loadd(7, panel + step, 64);
        _tile_dpbsud(1, 4, 7);
        if (second) _tile_dpbsud(3, 5, 7);
    }
}

/// What whole tiles do not cover goes before, with the bias.
INLINE void panel_dots(const uint8_t *panel, size_t step, size_t panels, const int8_t *rows, size_t ld, size_t columns,
                       size_t count, const int32_t *bias, size_t bias_step, int32_t *to, size_t width) {
    const size_t whole = columns / tile_columns * tile_columns;
    const bool second = count > tile_rows;
    for (size_t r = 0; r < count; r += DKV_SEARCH_ROWS) {
        const size_t some = count - r < DKV_SEARCH_ROWS ? count - r : DKV_SEARCH_ROWS;
        vnni_dots(panel + whole * DKV_LANES, step, panels, rows + r * ld + whole, ld, columns - whole, some,
                  bias + r * bias_step, bias_step, to + r * width, width);
    }
    if (whole == 0) return;
    load_sums(to, width, panels, second);
    for (size_t k = 0; k < whole; k += tile_columns) {
        add_columns(panel + k * DKV_LANES, step, panels, rows + k, ld, second);
    }
    store_sums(to, width, panels, second);
}

/// The tile in which columns are split is multiplied twice, each time with the other side's columns as zeros.
INLINE void split_dots(const uint8_t *panel, size_t step, size_t panels, const int8_t *rows, size_t columns, size_t split,
                       size_t count, const int32_t *biases, int32_t *low, int32_t *high, size_t width) {
    const bool second = count > tile_rows;
    if (split > tile_columns || columns < tile_columns) {
        panel_dots(panel, step, panels, rows, columns, split, count, biases, 2, low, width);
        panel_dots(panel + split * DKV_LANES, step, panels, rows + split, columns, columns - split, count, biases + 1, 2,
                   high, width);
        return;
    }
    int8_t before[product_rows][tile_columns], after[product_rows][tile_columns];
    const __mmask64 first = split < 64 ? (1ull << split) - 1 : ~0ull;
    for (size_t r = 0; r < count; r++) {
        const __m512i codes = _mm512_loadu_si512(rows + r * columns), bias = _mm512_set1_epi32(biases[2 * r]);
        _mm512_storeu_si512(before[r], _mm512_maskz_mov_epi8(first, codes));
        _mm512_storeu_si512(after[r], _mm512_maskz_mov_epi8(~first, codes));
        for (size_t p = 0; p < panels; p++) _mm512_storeu_si512(low + r * width + p * DKV_LANES, bias);
    }
    load_sums(low, width, panels, second);
    add_columns(panel, step, panels, before[0], tile_columns, second);
    store_sums(low, width, panels, second);
    panel_dots(panel + tile_columns * DKV_LANES, step, panels, rows + tile_columns, columns, columns - tile_columns, count,
               biases + 1, 2, high, width);
    load_sums(high, width, panels, second);
    add_columns(panel, step, panels, after[0], tile_columns, second);
    store_sums(high, width, panels, second);
}

#define HAS_TILES
#include "kernels.h"

void dkv_pair_search_amx(const dkv_candidates *c, const int8_t *rows, size_t count, const size_t *limits,
                         int32_t *scratch, uint32_t *first, uint32_t *second) {
    pair_search(c, rows, count, limits, scratch, first, second);
}

void dkv_multiply_amx(const dkv_matrix *matrix, const dkv_codes *codes, size_t rows, const float *add, size_t ld,
                      float *const *y) {
    multiply(matrix, codes, rows, add, ld, y);
}
#pragma clang attribute pop
#endif
