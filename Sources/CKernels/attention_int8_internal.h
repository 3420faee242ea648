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

/// Turns a query or key by a Hadamard matrix, in blocks of the largest power of two that divides d: products of a query and a
/// key stay what they are, and an element that stands out is spread over its block, so that one scale fits all elements
/// better. The order of sums is fixed.
static inline __attribute__((always_inline)) void int8_spread(const float *x, float weight, size_t d, float *y) {
    const size_t block = d & (~d + 1);
    const float scale = weight / sqrtf((float)block);
    for (size_t i = 0; i < d; i++) y[i] = x[i] * scale;
    for (size_t half = 1; half < block; half *= 2) {
        for (size_t start = 0; start < d; start += 2 * half) {
            for (size_t i = start; i < start + half; i++) {
                const float a = y[i], b = y[i + half];
                y[i] = a + b;
                y[i + half] = a - b;
            }
        }
    }
}

/// Puts a token's codes and scales where the layout has them.
static inline void int8_place(int8_head head, size_t slot, size_t d, const int8_t *key, float key_scale,
                              const int8_t *value, float value_scale) {
    int32_t sum = 0;
    for (size_t g = 0; g < d / 4; g++) memcpy(head.keys + (g * page_tokens + slot) * 4, key + g * 4, 4);
    for (size_t i = 0; i < d; i++) sum += key[i];
    int8_t *values = head.values + slot / 4 * d * 4 + slot % 4;
    for (size_t i = 0; i < d; i++) values[i * 4] = value[i];
    head.key_sums[slot] = -128 * sum;
    // Scores carry a NaN into their row's sum, so that one in a value is not lost either.
    head.key_scales[slot] = isnan(value_scale) ? NAN : key_scale;
    head.value_scales[slot] = value_scale;
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

/// The first page of a chunk that a row at or after `position` sees any token of.
static inline size_t first_page_of(const dkv_attention *a, size_t chunk, size_t position) {
    const size_t page = dkv_first_seen(a, position) / page_tokens;
    return page > chunk * chunk_pages ? page : chunk * chunk_pages;
}

/// The factor that turns a sum of weighted values into an average; nothing seen gives zeros, a NaN stays one.
static inline float inverse_of(float sum) { return sum > 0 ? 1.0f / sum : sum; }

extern const dkv_int8_kernels dkv_int8_scalar;
#if defined(__x86_64__)
extern const dkv_int8_kernels dkv_int8_avx2, dkv_int8_avx512;
#endif

#endif
