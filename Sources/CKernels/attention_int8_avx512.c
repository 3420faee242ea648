// SPDX-License-Identifier: Apache-2.0
// Attention over int8 pages for AVX-512 with VNNI: one vpdpbusd multiplies 4 values for 16 lanes.
#include "CKernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define INSTRUCTIONS "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c"
#pragma clang attribute push(__attribute__((target(INSTRUCTIONS))), apply_to = function)
#include "vector_avx512.h"

/// acc + Σ of 4 products of an unsigned and a signed byte, in each lane.
INLINE VI v_dot(VI acc, VI unsigned_bytes, VI signed_bytes) {
    return _mm512_dpbusd_epi32(acc, unsigned_bytes, signed_bytes);
}

#define DKV_INT8_BAND_VECTORS 3  // 8 x 3 sums, 3 inputs and one broadcast fill the registers
#define DKV_INT8_SCORE_BLOCK 8
#define DKV_INT8_VALUE_BLOCK 8
#include "attention_int8.h"
#pragma clang attribute pop

const dkv_int8_kernels dkv_int8_avx512 = {store, attend};
#endif
