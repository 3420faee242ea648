// SPDX-License-Identifier: Apache-2.0
// The kernels with AMX: one tdpbsud multiplies 64 columns of 16 rows with 16 lanes. Panels lie as tiles want them.
#include "CCompression.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>
#define INSTRUCTIONS "avx2,avx512f,avx512bw,avx512vl,avx512vnni,amx-tile,amx-int8"
#pragma clang attribute push(__attribute__((target(INSTRUCTIONS))), apply_to = function)
#define INLINE static inline __attribute__((always_inline))
#include "dots_vnni.h"

enum { tile_rows = 16, tile_columns = 64, group_rows = 2 * tile_rows, pair_lanes = 2 * DKV_LANES };

// Registers: 0 to 3 are sums, of the first and second rows with the first and second panel each; 4 and 5 rows; 6 and 7 panels.

/// The argument of ldtilecfg (CKernels, which this target does not know, has the same).
typedef struct __attribute__((packed)) tile_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_shapes;

/// Shapes the tiles for products of `count` rows, at most `group_rows`.
INLINE void begin_dots(size_t count) {
    const uint8_t first = (uint8_t)(count < tile_rows ? count : tile_rows), second = (uint8_t)(count - first);
    tile_shapes shapes = {.palette = 1, .rows = {first, first, second, second, first, second, tile_rows, tile_rows}};
    for (size_t i = 0; i < 8; i++) shapes.row_bytes[i] = shapes.rows[i] ? tile_columns : 0;
    _tile_loadconfig(&shapes);
}

INLINE void end_dots(void) { _tile_release(); }

/// Adds the products of `tile_columns` columns.
INLINE void add_columns(const uint8_t *panel, size_t step, const size_t panels, const int8_t *rows, size_t ld, const bool second) {
    _tile_loadd(4, rows, ld);
    _tile_loadd(6, panel, tile_columns);
    _tile_dpbsud(0, 4, 6);
    if (second) {
        _tile_loadd(5, rows + tile_rows * ld, ld);
        _tile_dpbsud(2, 5, 6);
    }
    if (panels == 2) {
        _tile_loadd(7, panel + step, tile_columns);
        _tile_dpbsud(1, 4, 7);
        if (second) _tile_dpbsud(3, 5, 7);
    }
}

INLINE void clear_sums(const bool second) {
    _tile_zero(0);
    _tile_zero(1);
    if (!second) return;
    _tile_zero(2);
    _tile_zero(3);
}

INLINE void store_sums(int32_t *to, size_t width, const size_t panels, const bool second) {
    const size_t ld = 4 * width;
    _tile_stored(0, to, ld);
    if (panels == 2) _tile_stored(1, to + DKV_LANES, ld);
    if (!second) return;
    _tile_stored(2, to + tile_rows * width, ld);
    if (panels == 2) _tile_stored(3, to + tile_rows * width + DKV_LANES, ld);
}

INLINE void load_sums(const int32_t *from, size_t width, const size_t panels, const bool second) {
    const size_t ld = 4 * width;
    _tile_loadd(0, from, ld);
    if (panels == 2) _tile_loadd(1, from + DKV_LANES, ld);
    if (!second) return;
    _tile_loadd(2, from + tile_rows * width, ld);
    if (panels == 2) _tile_loadd(3, from + tile_rows * width + DKV_LANES, ld);
}

/// What whole tiles do not cover goes before, with the bias.
INLINE void panel_dots(const uint8_t *panel, size_t step, size_t panels, const int8_t *rows, size_t ld, size_t columns,
                       size_t count, const int32_t *bias, size_t bias_step, int32_t *to, size_t width) {
    const size_t whole = columns / tile_columns * tile_columns;
    vnni_dots(panel + whole * DKV_LANES, step, panels, rows + whole, ld, columns - whole, count, bias, bias_step, to, width);
    if (whole == 0) return;
    load_sums(to, width, panels, false);
    for (size_t k = 0; k < whole; k += tile_columns) {
        add_columns(panel + k * DKV_LANES, step, panels, rows + k, ld, false);
    }
    store_sums(to, width, panels, false);
}

#include "kernels.h"

/// The first tile of rows whose second run begins within it: with the columns of the first run alone, and with those of the second.
typedef struct split_tiles {
    int8_t before[DKV_BLOCK_ROWS][tile_columns], after[DKV_BLOCK_ROWS][tile_columns];
} split_tiles;

INLINE void split_rows(const dkv_codes *x, size_t rows, split_tiles *to) {
    const __mmask64 first = (1ull << x->runs[0].count) - 1;
    for (size_t r = 0; r < rows; r++) {
        const __m512i codes = _mm512_loadu_si512(x->codes + r * x->columns);
        _mm512_storeu_si512(to->before[r], _mm512_maskz_mov_epi8(first, codes));
        _mm512_storeu_si512(to->after[r], _mm512_maskz_mov_epi8(~first, codes));
    }
}

/// Whether tiles take the runs of rows: they do if the first is of whole tiles, or less than a tile, which the second completes.
typedef enum tiling { no_tiles, whole_tiles, tiles_with_both } tiling;

INLINE tiling tiling_of(const dkv_codes *x) {
    const dkv_run one = x->runs[0], two = x->runs[1];
    if (one.count % tile_columns == 0) return whole_tiles;
    const bool follows = one.first == 0 && two.first == one.count && one.count < tile_columns;
    return follows && one.count + two.count >= tile_columns ? tiles_with_both : no_tiles;
}

/// Begins sums with the columns after the last whole tile.
INLINE void begin_sums(const uint8_t *panel, size_t step, const size_t panels, const int8_t *rows, size_t ld, size_t columns,
                       size_t count, const bool second, int32_t *to) {
    if (columns == 0) return clear_sums(second);
    const int32_t nothing = 0;
    for (size_t r = 0; r < count; r += DKV_SEARCH_ROWS) {
        const size_t some = count - r < DKV_SEARCH_ROWS ? count - r : DKV_SEARCH_ROWS;
        vnni_dots(panel, step, panels, rows + r * ld, ld, columns, some, &nothing, 0, to + r * pair_lanes, pair_lanes);
    }
    load_sums(to, pair_lanes, panels, second);
}

/// `count` columns, of whole tiles.
INLINE void add_run(const uint8_t *panel, size_t step, const size_t panels, const int8_t *rows, size_t ld, size_t count,
                    const bool second) {
    for (size_t k = 0; k < count; k += tile_columns) add_columns(panel + k * DKV_LANES, step, panels, rows + k, ld, second);
}

/// One or two panels of outputs for up to `group_rows` rows. `tiles` is NULL where the first run is of whole tiles.
INLINE void multiply_panels(const dkv_matrix *m, size_t panel, const size_t panels, const dkv_codes *x, const split_tiles *tiles,
                            size_t row, size_t count, const bool second, const float *add, size_t ld, float *const *y) {
    const size_t step = DKV_LANES * m->inputs, columns = x->columns;
    const uint8_t *weights = m->panels + panel * step;
    const int8_t *codes = x->codes + row * columns;
    const dkv_run one = x->runs[0], two = x->runs[1];
    int32_t low[group_rows * pair_lanes], high[group_rows * pair_lanes];
    clear_sums(second);
    if (tiles) add_columns(weights, step, panels, tiles->before[row], tile_columns, second);
    else add_run(weights, step, panels, codes + one.first, columns, one.count, second);
    store_sums(low, pair_lanes, panels, second);
    if (two.count > 0) {
        // Where the first tile is of both runs, the second run goes on after it.
        const size_t done = tiles ? tile_columns - one.count : 0, whole = (two.count - done) / tile_columns * tile_columns;
        const uint8_t *rest = weights + (one.count + done) * DKV_LANES;
        const int8_t *from = codes + two.first + done;
        begin_sums(rest + whole * DKV_LANES, step, panels, from + whole, columns, two.count - done - whole, count, second, high);
        if (tiles) add_columns(weights, step, panels, tiles->after[row], tile_columns, second);
        add_run(rest, step, panels, from, columns, whole, second);
        store_sums(high, pair_lanes, panels, second);
    }
    finish_products(m, panel, panels, x, row, count, low, two.count > 0 ? high : NULL, false, add, ld, y);
}

INLINE void multiply_group(const dkv_matrix *m, size_t panel, size_t panels, const dkv_codes *x, const split_tiles *tiles,
                           size_t row, size_t count, const float *add, size_t ld, float *const *y) {
    if (panels == 2 && count == group_rows) multiply_panels(m, panel, 2, x, tiles, row, group_rows, true, add, ld, y);
    else if (panels == 2 && count > tile_rows) multiply_panels(m, panel, 2, x, tiles, row, count, true, add, ld, y);
    else if (panels == 2) multiply_panels(m, panel, 2, x, tiles, row, count, false, add, ld, y);
    else if (count > tile_rows) multiply_panels(m, panel, 1, x, tiles, row, count, true, add, ld, y);
    else multiply_panels(m, panel, 1, x, tiles, row, count, false, add, ld, y);
}

/// At most DKV_BLOCK_ROWS rows, of runs that tiles take in this way.
static void multiply(const dkv_matrix *m, const dkv_codes *x, const tiling fitting, size_t rows, const float *add, size_t ld,
                     float *const *y) {
    const size_t all = m->outputs / DKV_LANES, step = DKV_LANES * m->inputs, groups = (rows + group_rows - 1) / group_rows;
    const bool within = fitting == tiles_with_both;
    split_tiles tiles;
    if (within) split_rows(x, rows, &tiles);
    begin_dots(rows < group_rows ? rows : group_rows);
    for (size_t panel = 0; panel < all; panel += 2) {
        const size_t panels = all - panel < 2 ? 1 : 2, left = all - panel - panels;
        for (size_t i = 0; i < groups; i++) {
            prefetch_share(m->panels + (panel + panels) * step, (left < 2 ? left : 2) * step, i, groups);
            // The last group is a whole one as well, whose first rows come out a second time.
            const size_t count = rows < group_rows ? rows : group_rows, row = i < groups - 1 ? i * group_rows : rows - count;
            multiply_group(m, panel, panels, x, within ? &tiles : NULL, row, count, add, ld, y);
        }
    }
    end_dots();
}

void dkv_pair_search_amx(const dkv_candidates *c, const int8_t *rows, size_t count, const size_t *limits,
                         int32_t *scratch, uint32_t *first, uint32_t *second) {
    pair_search(c, rows, count, limits, scratch, first, second);
}

void dkv_multiply_vnni(const dkv_matrix *, const dkv_codes *, size_t, const float *, size_t, float *const *);

void dkv_multiply_amx(const dkv_matrix *matrix, const dkv_codes *codes, size_t rows, const float *add, size_t ld,
                      float *const *y) {
    const tiling fitting = tiling_of(codes);
    if (fitting != no_tiles && rows <= DKV_BLOCK_ROWS) multiply(matrix, codes, fitting, rows, add, ld, y);
    else dkv_multiply_vnni(matrix, codes, rows, add, ld, y);
}
#pragma clang attribute pop
#endif
