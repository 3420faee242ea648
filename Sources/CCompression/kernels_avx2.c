// SPDX-License-Identifier: Apache-2.0
// The kernels with AVX2: bytes are widened to 16 bits, whose products of pairs add up exactly.
#include "CCompression.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#define INLINE static inline __attribute__((always_inline))

/// One row and one panel: four lanes in each register, two sums for each.
INLINE void row_dots(const uint8_t *panel, const int8_t *row, size_t columns, int32_t bias, int32_t *to) {
    __m256i sums[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
    for (size_t k = 0; k < columns; k += 4) {
        int32_t four;
        memcpy(&four, row + k, 4);
        const __m256i values = _mm256_broadcastq_epi64(_mm_cvtepi8_epi16(_mm_cvtsi32_si128(four)));
        for (size_t j = 0; j < 4; j++) {
            const __m128i bytes = _mm_loadu_si128((const __m128i *)(panel + k * DKV_LANES + j * 16));
            sums[j] = _mm256_add_epi32(sums[j], _mm256_madd_epi16(_mm256_cvtepu8_epi16(bytes), values));
        }
    }
    for (size_t j = 0; j < 4; j++) {
        int32_t parts[8];
        _mm256_storeu_si256((__m256i *)parts, sums[j]);
        for (size_t i = 0; i < 4; i++) to[j * 4 + i] = parts[2 * i] + parts[2 * i + 1] + bias;
    }
}

INLINE void panel_dots(const uint8_t *panel, size_t step, size_t panels, const int8_t *rows, size_t ld, size_t columns,
                       size_t count, const int32_t *bias, size_t bias_step, int32_t *to, size_t width) {
    for (size_t p = 0; p < panels; p++) {
        for (size_t r = 0; r < count; r++) {
            row_dots(panel + p * step, rows + r * ld, columns, bias[r * bias_step], to + r * width + p * DKV_LANES);
        }
    }
}

INLINE void begin_dots(size_t count) { (void)count; }
INLINE void end_dots(void) {}

#include "kernels.h"
#include "multiply.h"

void dkv_pair_search_avx2(const dkv_candidates *c, const int8_t *rows, size_t count, const size_t *limits,
                          int32_t *scratch, uint32_t *first, uint32_t *second) {
    pair_search(c, rows, count, limits, scratch, first, second);
}

void dkv_multiply_avx2(const dkv_matrix *matrix, const dkv_codes *codes, size_t rows, const float *add, size_t ld,
                       float *const *y) {
    multiply(matrix, codes, rows, add, ld, y);
}
#pragma clang attribute pop
#endif
