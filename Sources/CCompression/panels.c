// SPDX-License-Identifier: Apache-2.0
// Panels and candidates, and the kernels in plain C.
#include <string.h>

#include "CCompression.h"

#define INLINE static inline

size_t dkv_panel_bytes(size_t columns, size_t count) {
    return (count + DKV_LANES - 1) / DKV_LANES * DKV_LANES * columns;
}

static size_t place(size_t columns, size_t index) {
    return index / DKV_LANES * DKV_LANES * columns + index % DKV_LANES * 4;
}

void dkv_panel_set(uint8_t *panels, size_t columns, size_t index, const int8_t *row) {
    uint8_t *to = panels + place(columns, index);
    for (size_t i = 0; i < columns; i++) to[i / 4 * 4 * DKV_LANES + i % 4] = (uint8_t)(row[i] + 128);
}

size_t dkv_candidate_bytes(size_t columns, size_t searched, size_t capacity) {
    return columns * capacity + dkv_panel_bytes(searched, capacity) + sizeof(int32_t) * capacity;
}

dkv_candidates dkv_candidates_at(void *memory, size_t columns, size_t searched, size_t capacity) {
    dkv_candidates c = {.columns = columns, .searched = searched, .rows = memory};
    c.panels = (uint8_t *)memory + columns * capacity;
    c.norms = (int32_t *)(c.panels + dkv_panel_bytes(searched, capacity));
    return c;
}

void dkv_candidate_set(const dkv_candidates *c, size_t index, const int8_t *row) {
    int32_t norm = 0;
    memcpy(c->rows + index * c->columns, row, c->columns);
    dkv_panel_set(c->panels, c->searched, index, row);
    for (size_t i = 0; i < c->searched; i++) norm += row[i] * row[i];
    c->norms[index] = norm;
}

void dkv_candidates_copy(const dkv_candidates *from, size_t count, const dkv_candidates *to) {
    memcpy(to->rows, from->rows, from->columns * count);
    memcpy(to->panels, from->panels, dkv_panel_bytes(from->searched, count));
    memcpy(to->norms, from->norms, sizeof(int32_t) * count);
}

/// `to[row][lane] = bias[row] + Σ row · lane` over the first columns of one panel, or of two that are `step` bytes apart, for up
/// to DKV_SEARCH_ROWS rows.
static void panel_dots(const uint8_t *panel, size_t step, size_t panels, const int8_t *rows, size_t ld, size_t columns,
                       size_t count, const int32_t *bias, size_t bias_step, int32_t *to, size_t width) {
    for (size_t r = 0; r < count; r++) {
        for (size_t lane = 0; lane < panels * DKV_LANES; lane++) {
            const uint8_t *from = panel + lane / DKV_LANES * step + lane % DKV_LANES * 4;
            int32_t sum = bias[r * bias_step];
            for (size_t k = 0; k < columns; k++) sum += rows[r * ld + k] * from[k / 4 * 4 * DKV_LANES + k % 4];
            to[r * width + lane] = sum;
        }
    }
}

INLINE void begin_dots(size_t count) { (void)count; }
INLINE void end_dots(void) {}

#include "kernels.h"
#include "multiply.h"

#if defined(__x86_64__)
void dkv_pair_search_avx2(const dkv_candidates *, const int8_t *, size_t, const size_t *, int32_t *, uint32_t *,
                          uint32_t *);
void dkv_pair_search_vnni(const dkv_candidates *, const int8_t *, size_t, const size_t *, int32_t *, uint32_t *,
                          uint32_t *);
void dkv_pair_search_amx(const dkv_candidates *, const int8_t *, size_t, const size_t *, int32_t *, uint32_t *,
                         uint32_t *);
void dkv_multiply_amx(const dkv_matrix *, const dkv_codes *, size_t, const float *, size_t, float *const *);
void dkv_multiply_avx2(const dkv_matrix *, const dkv_codes *, size_t, const float *, size_t, float *const *);
void dkv_multiply_vnni(const dkv_matrix *, const dkv_codes *, size_t, const float *, size_t, float *const *);
#endif

void dkv_pair_search(dkv_codec_isa isa, const dkv_candidates *c, const int8_t *rows, size_t count,
                     const size_t *limits, int32_t *scratch, uint32_t *first, uint32_t *second) {
#if defined(__x86_64__)
    if (isa == DKV_CODEC_AMX) return dkv_pair_search_amx(c, rows, count, limits, scratch, first, second);
    if (isa == DKV_CODEC_VNNI) return dkv_pair_search_vnni(c, rows, count, limits, scratch, first, second);
    if (isa == DKV_CODEC_AVX2) return dkv_pair_search_avx2(c, rows, count, limits, scratch, first, second);
#else
    (void)isa;
#endif
    pair_search(c, rows, count, limits, scratch, first, second);
}

void dkv_multiply(dkv_codec_isa isa, const dkv_matrix *matrix, const dkv_codes *codes, size_t rows, const float *add,
                  size_t ld, float *const *y) {
#if defined(__x86_64__)
    if (isa == DKV_CODEC_AMX) return dkv_multiply_amx(matrix, codes, rows, add, ld, y);
    if (isa == DKV_CODEC_VNNI) return dkv_multiply_vnni(matrix, codes, rows, add, ld, y);
    if (isa == DKV_CODEC_AVX2) return dkv_multiply_avx2(matrix, codes, rows, add, ld, y);
#else
    (void)isa;
#endif
    multiply(matrix, codes, rows, add, ld, y);
}

dkv_codec_isa dkv_codec_best(int most) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool vnni = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
    const bool tiles = __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-int8");
    if (most >= 3 && vnni && tiles) return DKV_CODEC_AMX;
    if (most >= 2 && vnni) return DKV_CODEC_VNNI;
    if (most >= 1 && __builtin_cpu_supports("avx2")) return DKV_CODEC_AVX2;
#else
    (void)most;
#endif
    return DKV_CODEC_SCALAR;
}
