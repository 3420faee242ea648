// SPDX-License-Identifier: Apache-2.0
// Attention over int8 pages in terms of a vector vocabulary (vector_avx512.h or vector_avx2.h). Included once per
// instruction set; everything is static, the including file fills a dkv_int8_kernels table.
//
// The including file says how bytes are multiplied. Each function works in lanes of 32 bits, adds the products of 4 bytes, and is exact:
//   signed_codes     whether the codes of keys and weights are taken less 128, as signed bytes
//   v_keys, v_weights, v_values  what products take, of unsigned codes of keys and weights and signed ones of values
//   v_dot_keys       acc + Σ keys · queries
//   v_dot_values     acc + Σ weights · values
//   v_add_bytes      acc + Σ values
//   v_dot_halves     sums + Σ low · a + Σ high · b, of unsigned bytes below 16 and signed ones, at most `halves_groups` times;
//   v_end_halves     acc + such sums
//   few_vectors      how many vectors of tokens leave registers for all of few rows
//   HAS_TILES        defined where many rows are multiplied in tiles (attention_int8_tiles.h), not in lanes (attention_int8_lanes.h)
//
// There are two ways through a page (see kv_int8.h for what both compute). With many rows, lanes are rows: maxima and sums
// need no work across lanes, and keys and values are broadcast. With few rows, lanes are tokens, then elements.
#include "attention_int8_internal.h"
#include "exp2.h"

#ifndef UNROLL
#define UNROLL _Pragma("clang loop unroll(full)")
#endif

/// What a score starts from, of the sum of a query's codes.
INLINE int32_t score_offset(int32_t query_sum) { return signed_codes ? 0 : -128 * query_sum; }

INLINE VI bytes_at(const void *p) {
    int32_t four;
    memcpy(&four, p, 4);
    return v_set_int(four);
}

/// int8_spread, with its sums in its order.
INLINE void v_spread(const float *x, float weight, size_t d, float *y) {
    const size_t block = spread_block(d);  // a multiple of VW, as d is
    const V scale = v_set(spread_weight(weight, block));
    for (size_t i = 0; i < d; i += VW) {
        V w = v_mul(v_load(x + i), scale);
        UNROLL for (int apart = 1; apart < VW; apart *= 2) w = v_sum_and_difference(w, apart);
        v_store(y + i, w);
    }
    for (size_t half = VW; half < block; half *= 2) {
        for (size_t start = 0; start < d; start += 2 * half) {
            for (size_t i = start; i < start + half; i += VW) {
                const V a = v_load(y + i), b = v_load(y + i + half);
                v_store(y + i, v_add(a, b));
                v_store(y + i + half, v_sub(a, b));
            }
        }
    }
}

/// Rounds the `d` elements of a vector to codes and returns their scale (see int8_scale for vectors of nothing and of what is
/// no number).
INLINE float v_quantize(const float *x, size_t d, int8_t *codes) {
    VI greatest = v_set_int(0);
    for (size_t i = 0; i < d; i += VW) greatest = v_max_unsigned(greatest, v_bits(v_abs(v_load(x + i))));
    float scale, factor;
    // As whole numbers, the bits of what is infinite or no number are the greatest.
    if (!int8_scale(v_largest_unsigned(greatest), &scale, &factor)) {
        memset(codes, 0, d);
        return scale;
    }
    for (size_t i = 0; i < d; i += VW) {
        const V w = v_load(x + i);
        v_store_bytes((uint8_t *)codes + i, v_to_int(v_mul(w, v_set(factor))));
    }
    return scale;
}

#include "attention_int8_page.h"

#include "attention_int8_bands.h"
#include "attention_int8_rows.h"
#include "attention_int8_ends.h"
#include "attention_int8_sparse.h"

// ---- Units ----------------------------------------------------------------------------------------------------------

/// `rows` rows of a unit that has few, from row `first` on.
INLINE void attend_few(const size_t rows, const int reach, const dkv_attention *a, const dkv_attention_unit *u, size_t first,
                       float *scratch) {
    if (reach == reach_ends) attend_ends(rows, a, u, first, scratch);
    else if (reach == reach_picked) attend_sparsely(rows, a, u, first, scratch);
    else attend_rows(rows, a, u, first, scratch);
}

static void attend(const dkv_attention *a, const dkv_attention_unit *u, float *scratch) {
    const size_t rows = u->rows * a->group;
    const int reach = reach_of(a, u);
    if (reach != reach_all || rows <= most_few_rows) {
        for (size_t first = 0; first < rows; first += few_rows) {
            switch (rows - first) {
                case 1: attend_few(1, reach, a, u, first, scratch); break;
                case 2: attend_few(2, reach, a, u, first, scratch); break;
                case 3: attend_few(3, reach, a, u, first, scratch); break;
                default: attend_few(few_rows, reach, a, u, first, scratch); break;
            }
        }
        return;
    }
    attend_bands(a, u, scratch);
}

INLINE void store_head(dkv_page page, size_t number, size_t slot, size_t d, const float *key, const float *value) {
    int8_t key_codes[DKV_MAX_HEAD_DIMENSION], value_codes[DKV_MAX_HEAD_DIMENSION];
    float spread[DKV_MAX_HEAD_DIMENSION];
    v_spread(key, 1, d, spread);
    const float key_scale = v_quantize(spread, d, key_codes), value_scale = v_quantize(value, d, value_codes);
    int8_place(int8_head_at(page, number, d), slot, d, key_codes, key_scale, value_codes, value_scale);
}

/// With loops of known length for the usual heads.
static void store(dkv_page page, size_t number, size_t slot, size_t d, const float *key, const float *value) {
    switch (d) {
        case 64: store_head(page, number, slot, 64, key, value); break;
        case 128: store_head(page, number, slot, 128, key, value); break;
        default: store_head(page, number, slot, d, key, value);
    }
}
