// SPDX-License-Identifier: Apache-2.0
// How bytes are multiplied with AVX-512 VNNI, for attention_int8.h: one vpdpbusd multiplies 4 values for 16 lanes.
#include "vector_avx512.h"

// vpdpbusd takes keys and weights as they are: unsigned.
enum { signed_codes = 0, few_vectors = 4, halves_groups = DKV_MAX_HEAD_DIMENSION / 8 };

INLINE VI v_keys(VI codes) { return codes; }
INLINE VI v_weights(VI codes) { return codes; }
INLINE VI v_values(VI codes) { return codes; }
INLINE VI v_dot_keys(VI acc, VI keys, VI queries) { return _mm512_dpbusd_epi32(acc, keys, queries); }
INLINE VI v_dot_values(VI acc, VI weights, VI values) { return _mm512_dpbusd_epi32(acc, weights, values); }
INLINE VI v_add_bytes(VI acc, VI values) { return _mm512_dpbusd_epi32(acc, _mm512_set1_epi8(1), values); }
INLINE VI v_dot_halves(VI sums, VI low, VI a, VI high, VI b) {
    return _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(sums, low, a), high, b);
}
INLINE VI v_end_halves(VI acc, VI sums) { return _mm512_add_epi32(acc, sums); }

#define DKV_INT8_BAND_VECTORS 3  // 8 x 3 sums, 3 inputs and one broadcast fill the registers
#define DKV_INT8_SCORE_BLOCK 8
#define DKV_INT8_VALUE_BLOCK 8
