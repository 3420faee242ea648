// SPDX-License-Identifier: Apache-2.0
// What the int8 attention of all instruction sets shares.
#ifndef DELTAKV_ATTENTION_INT8_INTERNAL_H
#define DELTAKV_ATTENTION_INT8_INTERNAL_H

#include "quantized_internal.h"

enum { page_tokens = DKV_PAGE_TOKENS, chunk_pages = DKV_CHUNK_TOKENS / DKV_PAGE_TOKENS };

/// Where the parts of one head of a page start (kv_int8.h).
typedef struct int8_head {
    uint8_t *upper;
    uint32_t *scales;  // [page_tokens]
    int8_t *values;    // [page_tokens][d]
    uint8_t *lower;    // [page_tokens][d / 2]
} int8_head;

/// The head of that number, of those of all layers.
static inline int8_head int8_head_at(dkv_page page, size_t number, size_t d) {
    const size_t scanned = page_tokens * (d / 2 + 4), rest = page_tokens * (d + d / 2);
    char *start = page.slab + number * DKV_SLAB_PAGES * (scanned + rest);
    int8_head h;
    h.upper = (uint8_t *)start + page.index * scanned;
    h.scales = (uint32_t *)(h.upper + page_tokens * d / 2);
    h.values = (int8_t *)start + DKV_SLAB_PAGES * scanned + page.index * rest;
    h.lower = (uint8_t *)h.values + page_tokens * d;
    return h;
}

static inline int8_head int8_head_of(const dkv_attention *a, const dkv_attention_unit *u, size_t page) {
    return int8_head_at(u->pages[page], a->layer * a->shape.kv_heads + u->kv_head, a->shape.head_dimension);
}

/// The blocks that int8_spread turns: of the largest power of two that divides d.
static inline size_t spread_block(size_t d) { return d & (~d + 1); }

static inline float spread_weight(float weight, size_t block) { return weight / sqrtf((float)block); }

/// Turns a query or key by a Hadamard matrix, in blocks: products of a query and a key stay what they are, and an element that
/// stands out is spread over its block, so that one scale fits all elements better. The order of sums is fixed.
static inline void int8_spread(const float *x, float weight, size_t d, float *y) {
    const size_t block = spread_block(d);
    const float scale = spread_weight(weight, block);
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

/// The scale of a vector, of the bits of its greatest magnitude, rounded up to bfloat16 so that its codes still fit, and the factor that
/// makes codes of elements. False if all codes are to be 0 (see block_scale).
static inline bool int8_scale(uint32_t magnitude, float *scale, float *factor) {
    if (!block_scale(magnitude, scale, factor)) return false;
    uint32_t bits;
    memcpy(&bits, scale, 4);
    bits = (bits + 0xffffu) & 0xffff0000u;
    memcpy(scale, &bits, 4);
    *factor = 1.0f / *scale;
    return true;
}

/// The two scales of a token in a word.
static inline uint32_t int8_join_scales(float key_scale, float value_scale) {
    uint32_t key, value;
    memcpy(&key, &key_scale, 4);
    memcpy(&value, &value_scale, 4);
    return (key & 0xffff0000u) | value >> 16;
}

static inline float int8_key_scale(uint32_t scales) {
    scales &= 0xffff0000u;
    float scale;
    memcpy(&scale, &scales, 4);
    return scale;
}

static inline float int8_value_scale(uint32_t scales) { return int8_key_scale(scales << 16); }

static inline int32_t sum_of(const int8_t *codes, size_t d) {
    int32_t sum = 0;
    for (size_t i = 0; i < d; i++) sum += codes[i];
    return sum;
}

/// Puts a token's codes and scales where the layout has them.
static inline void int8_place(int8_head head, size_t slot, size_t d, const int8_t *key, float key_scale,
                              const int8_t *value, float value_scale) {
    uint8_t upper[DKV_MAX_HEAD_DIMENSION / 2], *lower = head.lower + slot * d / 2;
    for (size_t i = 0; i < d / 2; i++) {
        const uint8_t first = (uint8_t)(key[i] + 128), second = (uint8_t)(key[d / 2 + i] + 128);
        upper[i] = (uint8_t)(first >> 4 | (second & 0xf0));
        lower[i] = (uint8_t)((first & 0x0f) | second << 4);
    }
    for (size_t g = 0; g < d / 8; g++) memcpy(head.upper + (g * page_tokens + slot) * 4, upper + g * 4, 4);
    memcpy(head.values + slot * d, value, d);
    // Scores carry a NaN into their row's sum, so that one in a value is not lost either.
    head.scales[slot] = int8_join_scales(isnan(value_scale) ? NAN : key_scale, value_scale);
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

/// What a unit's rows attend to: all that they see, the tokens that matter most, or the ends of their context.
enum { reach_all, reach_picked, reach_ends };

static inline int reach_of(const dkv_attention *a, const dkv_attention_unit *u) {
    if (u->kept == 0 || a->window != 0) return reach_all;
    return a->local && a->local[u->kv_head] ? reach_ends : reach_picked;
}

/// The first of the pages that hold the last tokens that local heads see, for a unit of one row.
static inline size_t first_page_of_ends(const dkv_attention_unit *u) {
    const size_t tokens = u->position + 1;
    return tokens > DKV_LOCAL_LAST ? (tokens - DKV_LOCAL_LAST) / page_tokens : 0;
}

/// Floats of a worker's scratch for tiles: a multiple of a cache line, and enough for the bands of a unit over int8 pages, with a
/// chunk's pages.
static inline size_t tile_scratch_size(size_t d) {
    const size_t tile = DKV_TILE_ROWS * (3 * d + page_tokens) + 2 * page_tokens * d;
    const size_t bands = chunk_pages * (page_tokens / 2 + 1) * d + DKV_TILE_ROWS * (d + 2 * page_tokens) + DKV_UNIT_ROWS * 2 * d;
    return tile > bands ? tile : bands;
}

/// Room for what the selection of tokens notes about a context, at the end of a worker's scratch.
typedef struct sparse_notes {
    size_t capacity;                  // tokens, a multiple of a page's
    float *guesses;                   // [DKV_SPARSE_HEADS][capacity]
    uint32_t *picked, *near;          // [capacity + page_tokens]: tokens to attend to, and those whose whole keys count
    uint8_t *codes;                   // [capacity]
} sparse_notes;

/// Floats of scratch that notes on a context take.
static inline size_t sparse_notes_size(size_t capacity) {
    return (DKV_SPARSE_HEADS + 2) * capacity + 2 * page_tokens + capacity / 4;
}

static inline sparse_notes sparse_notes_in(float *scratch, size_t tokens) {
    sparse_notes n = {.capacity = (tokens + page_tokens - 1) / page_tokens * page_tokens, .guesses = scratch};
    n.picked = (uint32_t *)(n.guesses + DKV_SPARSE_HEADS * n.capacity);
    n.near = n.picked + n.capacity + page_tokens;
    n.codes = (uint8_t *)(n.near + n.capacity + page_tokens);
    return n;
}

/// Base-2 logarithm of a finite number above 0, linear between powers of two.
static inline float coarse_log2(float x) {
    int32_t bits;
    memcpy(&bits, &x, 4);
    return (float)(bits - 0x3f800000) * 0x1p-23f;
}

/// The largest distance between a head's mass and a guess that is told apart, and the codes of an octave.
#define SPARSE_LONGEST 31.875f
#define SPARSE_CODES 8.0f
/// Bounds of the exponents that a mass is summed from, and of the guess that they are relative to.
#define SPARSE_LEAST_EXPONENT (-126.0f)
#define SPARSE_MOST_EXPONENT 64.0f
#define SPARSE_MOST_GUESS 1e30f

/// The tokens at the ends of a context are always picked.
static inline void mark_ends(uint8_t *codes, size_t tokens) {
    memset(codes, 0, tokens < DKV_SPARSE_FIRST ? tokens : DKV_SPARSE_FIRST);
    const size_t last = tokens < DKV_SPARSE_LAST ? tokens : DKV_SPARSE_LAST;
    memset(codes + tokens - last, 0, last);
}

/// The factor that turns a sum of weighted values into an average; nothing seen gives zeros, a NaN stays one.
static inline float inverse_of(float sum) { return sum > 0 ? 1.0f / sum : sum; }

extern const dkv_int8_kernels dkv_int8_scalar;
#if defined(__x86_64__)
extern const dkv_int8_kernels dkv_int8_avx2, dkv_int8_avx512, dkv_int8_amx;
#endif

#endif
