// SPDX-License-Identifier: Apache-2.0
// Attention over int8 pages for AVX2 with FMA.
#include "CKernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#include "vector_avx2.h"

/// acc + Σ of 4 products of an unsigned and a signed byte, in each lane. The multiplication of bytes saturates at 16 bits, so
/// the highest bits of the unsigned bytes go apart.
INLINE VI v_dot(VI acc, VI unsigned_bytes, VI signed_bytes) {
    VI low = _mm256_maddubs_epi16(_mm256_and_si256(unsigned_bytes, _mm256_set1_epi8(127)), signed_bytes);
    VI is_high = _mm256_cmpgt_epi8(_mm256_setzero_si256(), unsigned_bytes);
    VI high = _mm256_maddubs_epi16(_mm256_set1_epi8(1), _mm256_and_si256(signed_bytes, is_high));
    acc = _mm256_add_epi32(acc, _mm256_madd_epi16(low, _mm256_set1_epi16(1)));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(high, _mm256_set1_epi16(128)));
}

#define DKV_INT8_BAND_VECTORS 1
#define DKV_INT8_SCORE_BLOCK 4
#define DKV_INT8_VALUE_BLOCK 4
#include "attention_int8.h"
#pragma clang attribute pop

const dkv_int8_kernels dkv_int8_avx2 = {store, attend};
#endif
