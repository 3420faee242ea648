// SPDX-License-Identifier: Apache-2.0
// Attention over int8 pages for AMX: many rows are multiplied in tiles, few as with AVX-512 VNNI.
#include "CKernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define INSTRUCTIONS "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c,amx-tile,amx-int8"
#pragma clang attribute push(__attribute__((target(INSTRUCTIONS))), apply_to = function)
#include "attention_int8_vnni.h"
#define HAS_TILES
#include "attention_int8.h"

/// Heads that are no multiple of a tile's row are left to AVX-512.
static void attend_tiles(const dkv_attention *a, const dkv_attention_unit *u, float *scratch) {
    if (a->shape.head_dimension % tile_row_bytes == 0) attend(a, u, scratch);
    else dkv_int8_avx512.attend(a, u, scratch);
}
#pragma clang attribute pop

const dkv_int8_kernels dkv_int8_amx = {store, attend_tiles};
#endif
