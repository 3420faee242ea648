// SPDX-License-Identifier: Apache-2.0
// Kernels for AVX2 with FMA and F16C. Only these functions use the instructions; the rest of the program
// runs on any x86-64.
#include "CKernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#include "vector_avx2.h"

#include "template.h"
#pragma clang attribute pop

const dkv_kernels dkv_kernels_avx2 = {
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
