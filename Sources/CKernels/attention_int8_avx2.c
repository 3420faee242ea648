// SPDX-License-Identifier: Apache-2.0
// Attention over int8 pages for AVX2 with FMA.
#include "CKernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#include "vector_avx2.h"

// vpmaddubsw multiplies unsigned by signed bytes and adds pairs in 16 bits, saturating. Keys and weights are therefore kept less
// 128, and of two signed bytes the magnitude of one meets the other with its sign: 2 · 128 · 127 = 32512 fits, if no value is
// -128. Of halves, 2 · 2 · 15 · 127 = 7620, four times as much fits.
enum { signed_codes = 1, few_vectors = 2, halves_groups = 4 };

INLINE VI v_keys(VI codes) { return _mm256_xor_si256(codes, _mm256_set1_epi8(-128)); }
INLINE VI v_weights(VI codes) { return _mm256_xor_si256(codes, _mm256_set1_epi8(-128)); }
/// Places without a token hold any bits.
INLINE VI v_values(VI codes) { return _mm256_max_epi8(codes, _mm256_set1_epi8(-127)); }
INLINE VI v_add_pairs(VI acc, VI pairs) { return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))); }
INLINE VI v_dot_keys(VI acc, VI keys, VI queries) {
    return v_add_pairs(acc, _mm256_maddubs_epi16(_mm256_abs_epi8(queries), _mm256_sign_epi8(keys, queries)));
}
INLINE VI v_dot_values(VI acc, VI weights, VI values) {
    return v_add_pairs(acc, _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(values, weights)));
}
INLINE VI v_add_bytes(VI acc, VI values) {
    return v_add_pairs(acc, _mm256_maddubs_epi16(_mm256_set1_epi8(1), values));
}
INLINE VI v_dot_halves(VI sums, VI low, VI a, VI high, VI b) {
    return _mm256_add_epi16(sums, _mm256_add_epi16(_mm256_maddubs_epi16(low, a), _mm256_maddubs_epi16(high, b)));
}
INLINE VI v_end_halves(VI acc, VI sums) { return v_add_pairs(acc, sums); }

#define DKV_INT8_BAND_VECTORS 1
#define DKV_INT8_SCORE_BLOCK 4
#define DKV_INT8_VALUE_BLOCK 4
#include "attention_int8.h"
#pragma clang attribute pop

const dkv_int8_kernels dkv_int8_avx2 = {store, attend};
#endif
