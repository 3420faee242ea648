// SPDX-License-Identifier: Apache-2.0
// Attention over int8 pages for AVX-512 with VNNI.
#include "CKernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define INSTRUCTIONS "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c"
#pragma clang attribute push(__attribute__((target(INSTRUCTIONS))), apply_to = function)
#include "attention_int8_vnni.h"
#include "attention_int8.h"
#pragma clang attribute pop

const dkv_int8_kernels dkv_int8_avx512 = {store, attend};
#endif
