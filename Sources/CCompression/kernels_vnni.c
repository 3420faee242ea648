// SPDX-License-Identifier: Apache-2.0
// The kernels with AVX-512 VNNI.
#include "CCompression.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>
#pragma clang attribute push(__attribute__((target("avx2,avx512f,avx512bw,avx512vl,avx512vnni"))), apply_to = function)
#define INLINE static inline __attribute__((always_inline))
#include "dots_vnni.h"
#define panel_dots vnni_dots
INLINE void begin_dots(size_t count) { (void)count; }
INLINE void end_dots(void) {}

#include "kernels.h"
#include "multiply.h"

void dkv_pair_search_vnni(const dkv_candidates *c, const int8_t *rows, size_t count, const size_t *limits,
                          int32_t *scratch, uint32_t *first, uint32_t *second) {
    pair_search(c, rows, count, limits, scratch, first, second);
}

void dkv_multiply_vnni(const dkv_matrix *matrix, const dkv_codes *codes, size_t rows, const float *add, size_t ld,
                       float *const *y) {
    multiply(matrix, codes, rows, add, ld, y);
}
#pragma clang attribute pop
#endif
