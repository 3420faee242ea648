// SPDX-License-Identifier: Apache-2.0
// Kernels for AVX-512 F, BW, DQ and VL. Only these functions use the instructions; the rest of the program
// runs on any x86-64.
#include "CKernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#define INSTRUCTIONS "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"
#pragma clang attribute push(__attribute__((target(INSTRUCTIONS))), apply_to = function)
#include "vector_avx512.h"

#include "template.h"
#pragma clang attribute pop

const dkv_kernels dkv_kernels_avx512 = {
    .linear_panel = linear_panel,
    .rms_scale = rms_scale,
    .rms_norm = rms_norm,
    .swiglu = swiglu,
    .rope = rope,
    .narrow = narrow,
    .widen = widen,
    .attend_page = attend_page,
    .merge = merge,
};
#endif
