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

void dkv_candidate_set(const dkv_candidates *c, size_t index, const int8_t *row) {
    int32_t norm = 0;
    dkv_panel_set(c->panels, c->columns, index, row);
    for (size_t i = 0; i < c->searched; i++) norm += row[i] * row[i];
    c->norms[index] = norm;
}

void dkv_candidate_get(const dkv_candidates *c, size_t index, int8_t *row, size_t columns) {
    const uint8_t *from = c->panels + place(c->columns, index);
    for (size_t i = 0; i < columns; i += 4) {
        uint32_t four;
        memcpy(&four, from + i * DKV_LANES, 4);
        four ^= 0x80808080;
        memcpy(row + i, &four, 4);
    }
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

#include "kernels.h"

#if defined(__x86_64__)
void dkv_pair_search_avx2(const dkv_candidates *, const int8_t *, size_t, const size_t *, int32_t *, uint32_t *,
                          uint32_t *);
void dkv_pair_search_vnni(const dkv_candidates *, const int8_t *, size_t, const size_t *, int32_t *, uint32_t *,
                          uint32_t *);
void dkv_multiply_avx2(const dkv_matrix *, const dkv_codes *, size_t, const float *, size_t, float *const *);
void dkv_multiply_vnni(const dkv_matrix *, const dkv_codes *, size_t, const float *, size_t, float *const *);
#endif

void dkv_pair_search(dkv_codec_isa isa, const dkv_candidates *c, const int8_t *rows, size_t count,
                     const size_t *limits, int32_t *scratch, uint32_t *first, uint32_t *second) {
#if defined(__x86_64__)
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
    if (most >= 2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni")) {
        return DKV_CODEC_VNNI;
    }
    if (most >= 1 && __builtin_cpu_supports("avx2")) return DKV_CODEC_AVX2;
#else
    (void)most;
#endif
    return DKV_CODEC_SCALAR;
}
