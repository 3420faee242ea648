// SPDX-License-Identifier: Apache-2.0
// The search with AVX-512 VNNI: one vpdpbusd multiplies 4 columns of a row with 16 candidates.
#include "CCompression.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>
#pragma clang attribute push(__attribute__((target("avx2,avx512f,avx512bw,avx512vl,avx512vnni"))), apply_to = function)
#define INLINE static inline __attribute__((always_inline))

INLINE void panel_dots(const uint8_t *panel, const int8_t *rows, size_t columns, const size_t count,
                       const __m512i *bias, int32_t *to, size_t width) {
    __m512i sums[DKV_SEARCH_ROWS];
    _Pragma("clang loop unroll(full)") for (size_t r = 0; r < count; r++) sums[r] = bias[r];
    for (size_t k = 0; k < columns; k += 4) {
        const __m512i four = _mm512_loadu_si512(panel + k * DKV_LANES);
        _Pragma("clang loop unroll(full)") for (size_t r = 0; r < count; r++) {
            int32_t values;
            memcpy(&values, rows + r * columns + k, 4);
            sums[r] = _mm512_dpbusd_epi32(sums[r], four, _mm512_set1_epi32(values));
        }
    }
    _Pragma("clang loop unroll(full)") for (size_t r = 0; r < count; r++) _mm512_storeu_si512(to + r * width, sums[r]);
}

/// Candidates are biased by 128, which the sums start from.
static void dots(const dkv_candidates *c, const int8_t *rows, size_t count, size_t panels, int32_t *to, size_t width) {
    __m512i bias[DKV_SEARCH_ROWS];
    for (size_t r = 0; r < count; r++) {
        int32_t sum = 0;
        for (size_t k = 0; k < c->columns; k++) sum += rows[r * c->columns + k];
        bias[r] = _mm512_set1_epi32(-128 * sum);
    }
    for (size_t p = 0; p < panels; p++) {
        const uint8_t *panel = c->panels + p * DKV_LANES * c->columns;
        if (count == DKV_SEARCH_ROWS) {
            panel_dots(panel, rows, c->columns, DKV_SEARCH_ROWS, bias, to + p * DKV_LANES, width);
            continue;
        }
        for (size_t r = 0; r < count; r++) {
            panel_dots(panel, rows + r * c->columns, c->columns, 1, bias + r, to + r * width + p * DKV_LANES, width);
        }
    }
}

#include "search.h"

void dkv_pair_search_vnni(const dkv_candidates *c, const int8_t *rows, size_t count, const size_t *limits,
                          int32_t *scratch, uint32_t *first, uint32_t *second) {
    pair_search(c, rows, count, limits, scratch, first, second);
}
#pragma clang attribute pop
#endif
