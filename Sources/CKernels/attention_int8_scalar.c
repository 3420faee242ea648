// SPDX-License-Identifier: Apache-2.0
// The reference for int8 pages: plain loops that compute, row by row, what kv_int8.h says, to the bit.
#include "attention_int8_internal.h"
#include "exp2_scalar.h"

#pragma STDC FP_CONTRACT OFF

/// Rounds the `d` elements of a vector to codes and returns their scale (see block_scale for vectors of nothing
/// and of what is no number).
static float quantize(const float *x, size_t d, int8_t *codes) {
    uint32_t greatest = 0;
    for (size_t i = 0; i < d; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], 4);
        bits &= 0x7fffffffu;
        greatest = bits > greatest ? bits : greatest;
    }
    float scale, factor;
    if (!block_scale(greatest, &scale, &factor)) {
        memset(codes, 0, d);
        return scale;
    }
    for (size_t i = 0; i < d; i++) codes[i] = (int8_t)nearbyintf(x[i] * factor);
    return scale;
}

/// A row's state and what it reads.
typedef struct row_state {
    uint8_t query[DKV_MAX_HEAD_DIMENSION];
    float query_scale;
    float output[DKV_MAX_HEAD_DIMENSION];
    float maximum, sum;
} row_state;

static void clear(row_state *s) {
    memset(s->output, 0, sizeof s->output);
    s->maximum = DKV_EMPTY_MAXIMUM;
    s->sum = 0;
}

static float score_of(const row_state *s, int8_head h, size_t d, size_t token) {
    int32_t dot = h.key_sums[token];
    for (size_t i = 0; i < d; i++) dot += s->query[i] * h.keys[(i / 4 * page_tokens + token) * 4 + i % 4];
    return (float)dot * h.key_scales[token] * s->query_scale;
}

static float folded(const float *weights) {
    float lanes[16];
    for (size_t j = 0; j < 16; j++) lanes[j] = ((weights[j] + weights[j + 16]) + weights[j + 32]) + weights[j + 48];
    for (size_t half = 8; half > 0; half /= 2) {
        for (size_t j = 0; j < half; j++) lanes[j] += lanes[j + half];
    }
    return lanes[0];
}

static void attend_page(row_state *s, int8_head h, size_t d, size_t hidden, size_t visible) {
    float scores[page_tokens], weights[page_tokens] = {0}, weighted[page_tokens] = {0}, now = s->maximum, top = 0x1p-100f;
    for (size_t t = hidden; t < visible; t++) {
        scores[t] = score_of(s, h, d, t);
        if (scores[t] > now) now = scores[t];
    }
    for (size_t t = hidden; t < visible; t++) {
        weights[t] = dkv_exp2(scores[t] - now);
        weighted[t] = weights[t] * h.value_scales[t];
        if (weighted[t] > top) top = weighted[t];
    }
    const float factor = dkv_exp2(s->maximum - now), scale = 255.0f / top, worth = top * (1.0f / 255.0f);
    s->maximum = now;
    s->sum = fmaf(s->sum, factor, folded(weights));
    for (size_t i = 0; i < d; i++) {
        int32_t dot = 0;
        for (size_t t = hidden; t < visible; t++) {
            const int32_t code = weighted[t] > 0 ? (int32_t)nearbyintf(weighted[t] * scale) : 0;  // also for a NaN
            dot += code * h.values[(t / 4 * d + i) * 4 + t % 4];
        }
        s->output[i] = fmaf((float)dot, worth, s->output[i] * factor);
    }
}

static void attend_row(const dkv_attention *a, const dkv_attention_unit *u, size_t row) {
    const size_t d = a->shape.head_dimension, position = u->position + row / a->group;
    const size_t first = dkv_first_seen(a, position);
    row_state s;
    int8_t codes[DKV_MAX_HEAD_DIMENSION];
    float spread[DKV_MAX_HEAD_DIMENSION];
    int8_spread(query_of(a, u, row), a->scale, d, spread);
    s.query_scale = quantize(spread, d, codes);
    for (size_t i = 0; i < d; i++) s.query[i] = (uint8_t)(codes[i] + 128);
    float total[DKV_MAX_HEAD_DIMENSION] = {0}, maximum = DKV_EMPTY_MAXIMUM, sum = 0;
    for (size_t chunk = u->first_chunk; chunk < u->last_chunk; chunk++) {
        clear(&s);
        for (size_t page = first_page_of(a, chunk, position);
             page < (chunk + 1) * chunk_pages && page * page_tokens <= position; page++) {
            const size_t start = page * page_tokens, visible = position + 1 - start;
            attend_page(&s, int8_head_of(a, u, page), d, first > start ? first - start : 0,
                        visible < page_tokens ? visible : page_tokens);
        }
        if (!u->partial) a->kernels->merge(d, &maximum, &sum, total, s.maximum, s.sum, s.output);
    }
    if (u->partial) {
        float *to = u->partial + row * (d + 2);
        memcpy(to, s.output, d * sizeof(float));
        to[d] = s.maximum;
        to[d + 1] = s.sum;
        return;
    }
    float *y = result_of(a, u, row);
    for (size_t i = 0; i < d; i++) y[i] = total[i] * inverse_of(sum);
}

static void attend(const dkv_attention *a, const dkv_attention_unit *u, float *scratch) {
    (void)scratch;
    for (size_t row = 0; row < u->rows * a->group; row++) attend_row(a, u, row);
}

static void store(char *head, size_t slot, size_t d, const float *key, const float *value) {
    int8_t key_codes[DKV_MAX_HEAD_DIMENSION], value_codes[DKV_MAX_HEAD_DIMENSION];
    float spread[DKV_MAX_HEAD_DIMENSION];
    int8_spread(key, 1, d, spread);
    const float key_scale = quantize(spread, d, key_codes), value_scale = quantize(value, d, value_codes);
    int8_place(int8_head_at(head, d), slot, d, key_codes, key_scale, value_codes, value_scale);
}

const dkv_int8_kernels dkv_int8_scalar = {store, attend};
