// SPDX-License-Identifier: Apache-2.0
// What the int8 attention of all instruction sets shares.
#ifndef DELTAKV_ATTENTION_INT8_INTERNAL_H
#define DELTAKV_ATTENTION_INT8_INTERNAL_H

#include "quantized_internal.h"

enum { page_tokens = DKV_PAGE_TOKENS, chunk_pages = DKV_CHUNK_TOKENS / DKV_PAGE_TOKENS };

/// Where the parts of one head of a page start.
typedef struct int8_head {
    int8_t *keys;
    float *key_scales;
    int32_t *key_sums;
    int8_t *values;
    float *value_scales;
} int8_head;

static inline int8_head int8_head_at(char *start, size_t d) {
    int8_head h;
    h.keys = (int8_t *)start;
    h.key_scales = (float *)(start + page_tokens * d);
    h.key_sums = (int32_t *)(h.key_scales + page_tokens);
    h.values = (int8_t *)(h.key_sums + page_tokens);
    h.value_scales = (float *)(h.values + page_tokens * d);
    return h;
}

static inline int8_head int8_head_of(const dkv_attention *a, const dkv_attention_unit *u, size_t page) {
    const size_t d = a->shape.head_dimension;
    return int8_head_at(u->pages[page] + (a->layer * a->shape.kv_heads + u->kv_head) * DKV_INT8_HEAD_BYTES(d), d);
}

/// Rounds the `d` elements of a vector times `weight` to codes and returns their scale (see block_scale for vectors of nothing
/// and of what is no number). Plain loops that the compiler turns into vector code.
static inline __attribute__((always_inline)) float int8_quantize(const float *x, float weight, size_t d, int8_t *codes) {
    float weighted[DKV_MAX_HEAD_DIMENSION];
    uint32_t greatest = 0;
    for (size_t i = 0; i < d; i++) weighted[i] = x[i] * weight;
    for (size_t i = 0; i < d; i++) {
        uint32_t bits;
        memcpy(&bits, &weighted[i], 4);
        bits &= 0x7fffffffu;
        greatest = bits > greatest ? bits : greatest;
    }
    float scale, factor;
    if (!block_scale(greatest, &scale, &factor)) {
        memset(codes, 0, d);
        return scale;
    }
    for (size_t i = 0; i < d; i++) {
        const float product = weighted[i] * factor;  // rounded before the sum, which rounds to a whole number
        const float whole = product + 0x1.8p23f;
        uint32_t bits;
        memcpy(&bits, &whole, 4);
        codes[i] = (int8_t)bits;
    }
    return scale;
}

/// Quantises a token's key and value into their slot.
static inline __attribute__((always_inline)) void int8_store(char *start, size_t slot, size_t d, const float *k,
                                                             const float *v) {
    const int8_head head = int8_head_at(start, d);
    int8_t key[DKV_MAX_HEAD_DIMENSION], value[DKV_MAX_HEAD_DIMENSION];
    head.key_scales[slot] = int8_quantize(k, 1, d, key);
    head.value_scales[slot] = int8_quantize(v, 1, d, value);
    // Scores carry a NaN into their row's sum, so that one in a value is not lost either.
    if (isnan(head.value_scales[slot])) head.key_scales[slot] = NAN;
    for (size_t g = 0; g < d / 4; g++) memcpy(head.keys + (g * page_tokens + slot) * 4, key + g * 4, 4);
    int8_t *values = head.values + slot / 4 * d * 4 + slot % 4;
    for (size_t i = 0; i < d; i++) values[i * 4] = value[i];
    int32_t sum = 0;
    for (size_t i = 0; i < d; i++) sum += key[i];
    head.key_sums[slot] = -128 * sum;
}

/// A unit's query row `i`: rows are positions, and heads of the group within a position.
static inline const float *query_of(const dkv_attention *a, const dkv_attention_unit *u, size_t i) {
    const size_t d = a->shape.head_dimension;
    return a->queries + (u->row + i / a->group) * a->ldq + (u->kv_head * a->group + i % a->group) * d;
}

static inline float *result_of(const dkv_attention *a, const dkv_attention_unit *u, size_t i) {
    const size_t d = a->shape.head_dimension;
    return a->y + (u->row + i / a->group) * a->ldy + (u->kv_head * a->group + i % a->group) * d;
}

/// The factor that turns a sum of weighted values into an average; nothing seen gives zeros, a NaN stays one.
static inline float inverse_of(float sum) { return sum > 0 ? 1.0f / sum : sum; }

extern const dkv_int8_kernels dkv_int8_scalar;
#if defined(__x86_64__)
extern const dkv_int8_kernels dkv_int8_avx2, dkv_int8_avx512;
#endif

#endif
