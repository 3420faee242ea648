// SPDX-License-Identifier: Apache-2.0
// Candidate tables, and the search in plain C.
#include "CCompression.h"

#define INLINE static inline

size_t dkv_candidate_bytes(size_t columns, size_t count) {
    return (count + DKV_LANES - 1) / DKV_LANES * DKV_LANES * columns;
}

static uint8_t *place(const dkv_candidates *c, size_t index) {
    return c->panels + index / DKV_LANES * DKV_LANES * c->columns + index % DKV_LANES * 4;
}

void dkv_candidate_set(const dkv_candidates *c, size_t index, const int8_t *row) {
    uint8_t *to = place(c, index);
    int32_t norm = 0;
    for (size_t i = 0; i < c->columns; i++) {
        to[i / 4 * 4 * DKV_LANES + i % 4] = (uint8_t)(row[i] + 128);
        norm += row[i] * row[i];
    }
    c->norms[index] = norm;
}

void dkv_candidate_get(const dkv_candidates *c, size_t index, int8_t *row) {
    const uint8_t *from = place(c, index);
    for (size_t i = 0; i < c->columns; i += 4) {
        for (size_t j = 0; j < 4; j++) row[i + j] = (int8_t)(from[i * DKV_LANES + j] - 128);
    }
}

/// `to[row][candidate]`: products of rows with all candidates of the first panels.
static void dots(const dkv_candidates *c, const int8_t *rows, size_t count, size_t panels, int32_t *to, size_t width) {
    for (size_t r = 0; r < count; r++) {
        const int8_t *row = rows + r * c->columns;
        for (size_t i = 0; i < panels * DKV_LANES; i++) {
            const uint8_t *from = place(c, i);
            int32_t sum = 0;
            for (size_t k = 0; k < c->columns; k++) sum += row[k] * (from[k / 4 * 4 * DKV_LANES + k % 4] - 128);
            to[r * width + i] = sum;
        }
    }
}

#include "search.h"

#if defined(__x86_64__)
void dkv_pair_search_avx2(const dkv_candidates *, const int8_t *, size_t, const size_t *, int32_t *, uint32_t *,
                          uint32_t *);
void dkv_pair_search_vnni(const dkv_candidates *, const int8_t *, size_t, const size_t *, int32_t *, uint32_t *,
                          uint32_t *);
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
