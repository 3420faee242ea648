// SPDX-License-Identifier: Apache-2.0
// What the quantised kernels of all instruction sets share.
#ifndef DELTAKV_QUANTIZED_INTERNAL_H
#define DELTAKV_QUANTIZED_INTERNAL_H

#include <math.h>
#include <string.h>

#include "CKernels.h"

/// For functions that take the traits of a type as a constant, so that what hangs on them is settled by the compiler.
#define DKV_INLINE static inline __attribute__((always_inline))

enum { block_values = DKV_QUANTIZED_BLOCK, panel_outputs = DKV_QUANTIZED_PANEL, tile_rows = DKV_QUANTIZED_TILE };

/// How codes are stored in a panel.
typedef enum code_form { form_4, form_5, form_8 } code_form;

/// What a type's blocks are made of.
typedef struct block_traits {
    code_form form;
    bool minima;
    int offset_shift;  // codes are relative to 1 << offset_shift; −1: to zero
} block_traits;

DKV_INLINE block_traits traits_of(dkv_quantized_type type) {
    switch (type) {
        case DKV_Q4_0: return (block_traits){form_4, false, 3};
        case DKV_Q4_1: return (block_traits){form_4, true, -1};
        case DKV_Q5_0: return (block_traits){form_5, false, 4};
        case DKV_Q5_1: return (block_traits){form_5, true, -1};
        case DKV_Q8_0: return (block_traits){form_8, false, 7};
    }
    __builtin_unreachable();
}

enum { high_bytes = 64, scale_bytes = panel_outputs * 2 };

/// Bytes of the codes of a block of a panel.
DKV_INLINE size_t code_bytes(block_traits traits) { return traits.form == form_8 ? 512 : 256; }

/// Bytes of a pair of blocks of a panel.
DKV_INLINE size_t pair_bytes(block_traits traits) {
    size_t block = code_bytes(traits) + scale_bytes;
    if (traits.form == form_5) block += high_bytes;
    if (traits.minima) block += scale_bytes;
    return block * 2;
}

/// Where the parts of a block of a panel start.
typedef struct weight_block {
    const uint8_t *codes, *high, *scales, *minima;
} weight_block;

DKV_INLINE weight_block weight_block_at(block_traits traits, const uint8_t *panel, size_t block) {
    const uint8_t *pair = panel + block / 2 * pair_bytes(traits);
    size_t odd = block % 2;
    weight_block at;
    at.codes = pair + odd * code_bytes(traits);
    at.high = pair + 2 * code_bytes(traits) + odd * high_bytes;
    at.scales = pair + 2 * code_bytes(traits) + (traits.form == form_5 ? 2 * high_bytes : 0) + odd * scale_bytes;
    at.minima = at.scales + 2 * scale_bytes;
    return at;
}

/// Where the parts of a block of a tile of activations start; each is indexed by row.
typedef struct activation_block {
    int8_t (*codes)[block_values];
    float *scale;
    float *weighted_sum;
    int32_t *negated_sum;
} activation_block;

DKV_INLINE activation_block activation_block_at(const uint8_t *tile, size_t rows, size_t block) {
    uint8_t *start = (uint8_t *)tile + block * rows * DKV_ACTIVATION_BYTES;
    activation_block at;
    at.codes = (int8_t(*)[block_values])start;
    at.scale = (float *)(start + rows * block_values);
    at.weighted_sum = at.scale + rows;
    at.negated_sum = (int32_t *)(at.weighted_sum + rows);
    return at;
}

/// An f16 as a float, exact: exponent and fraction are moved to their places and 2^112 corrects the bias.
static inline float half_to_float(uint16_t half) {
    uint32_t magnitude = (uint32_t)(half & 0x7fff) << 13;
    float value;
    memcpy(&value, &magnitude, 4);
    value *= 0x1p112f;
    return half & 0x8000 ? -value : value;
}

static inline int32_t dot_offset(block_traits traits, int32_t negated_sum) {
    return traits.offset_shift < 0 ? 0 : negated_sum * (1 << traits.offset_shift);
}

/// Scale of a block of activations and the factor that turns its values into codes, from the bits of its greatest
/// magnitude. Returns false where all codes are zero (see the header: nothing, next to nothing, or not finite).
static inline bool block_scale(uint32_t magnitude, float *scale, float *factor) {
    float greatest;
    memcpy(&greatest, &magnitude, 4);
    *scale = magnitude >= 0x7f800000u ? NAN : 0;
    if (!(greatest >= 0x1p-116f) || magnitude >= 0x7f800000u) return false;
    *scale = greatest / 127.0f;
    *factor = 127.0f / greatest;
    return true;
}

/// A block that `block_scale` refused.
static inline void clear_block(activation_block to, size_t row, float scale) {
    memset(to.codes[row], 0, block_values);
    to.scale[row] = scale;
    to.weighted_sum[row] = scale;
    to.negated_sum[row] = 0;
}

/// One tile times one panel: the arguments of `multiply`.
typedef struct tile_job {
    const dkv_quantized_matrix *matrix;
    size_t panel;
    const uint8_t *tile;
    size_t rows;
    float *y;
    size_t ldy;
    bool accumulate;
} tile_job;

extern const dkv_quantized_kernels dkv_quantized_scalar;
#if defined(__x86_64__)
extern const dkv_quantized_kernels dkv_quantized_avx2;
extern const dkv_quantized_kernels dkv_quantized_avx512;
#endif

#endif
