// SPDX-License-Identifier: Apache-2.0
// The reference for int8 pages: plain loops that compute, row by row, what kv_int8.h says, to the bit.
#include "attention_int8_internal.h"
#include "exp2_scalar.h"

#pragma STDC FP_CONTRACT OFF

/// Rounds the `d` elements of a vector to codes and returns their scale (see int8_scale for vectors of nothing
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
    if (!int8_scale(greatest, &scale, &factor)) {
        memset(codes, 0, d);
        return scale;
    }
    for (size_t i = 0; i < d; i++) codes[i] = (int8_t)nearbyintf(x[i] * factor);
    return scale;
}

/// A row's state and what it reads.
typedef struct row_state {
    int8_t query[DKV_MAX_HEAD_DIMENSION];
    int32_t query_sum;
    float query_scale;
    float output[DKV_MAX_HEAD_DIMENSION];
    float maximum, sum;
} row_state;

static void clear(row_state *s) {
    memset(s->output, 0, sizeof s->output);
    s->maximum = DKV_EMPTY_MAXIMUM;
    s->sum = 0;
}

/// The halves of a key's code of element i.
static int32_t upper_of(int8_head h, size_t d, size_t token, size_t i) {
    const size_t half = d / 2, at = i % half;
    const uint8_t both = h.upper[(at / 4 * page_tokens + token) * 4 + at % 4];
    return i < half ? both & 15 : both >> 4;
}

static int32_t lower_of(int8_head h, size_t d, size_t token, size_t i) {
    const size_t half = d / 2;
    const uint8_t both = h.lower[token * half + i % half];
    return i < half ? both & 15 : both >> 4;
}

static float score_of(const row_state *s, int8_head h, size_t d, size_t token) {
    int32_t dot = -128 * s->query_sum;
    for (size_t i = 0; i < d; i++) dot += s->query[i] * (16 * upper_of(h, d, token, i) + lower_of(h, d, token, i));
    return (float)dot * int8_key_scale(h.scales[token]) * s->query_scale;
}

static float folded(const float *weights) {
    float lanes[16];
    for (size_t j = 0; j < 16; j++) lanes[j] = ((weights[j] + weights[j + 16]) + weights[j + 32]) + weights[j + 48];
    for (size_t half = 8; half > 0; half /= 2) {
        for (size_t j = 0; j < half; j++) lanes[j] += lanes[j + half];
    }
    return lanes[0];
}

/// A token with its score.
typedef struct scored_token {
    float score, value_scale;
    const int8_t *value;
} scored_token;

/// Takes up to a page of tokens, at their places in it, into a row's state; those before `hidden` are not seen.
static void take(row_state *s, const scored_token *tokens, size_t hidden, size_t visible, size_t d) {
    float weights[page_tokens] = {0}, weighted[page_tokens] = {0}, now = s->maximum, top = 0x1p-100f;
    for (size_t t = hidden; t < visible; t++) {
        if (tokens[t].score > now) now = tokens[t].score;
    }
    for (size_t t = hidden; t < visible; t++) {
        weights[t] = dkv_exp2(tokens[t].score - now);
        weighted[t] = weights[t] * tokens[t].value_scale;
        if (weighted[t] > top) top = weighted[t];
    }
    const float factor = dkv_exp2(s->maximum - now), scale = 255.0f / top, worth = top * (1.0f / 255.0f);
    s->maximum = now;
    s->sum = fmaf(s->sum, factor, folded(weights));
    for (size_t i = 0; i < d; i++) {
        int32_t dot = 0;
        for (size_t t = hidden; t < visible; t++) {
            const int32_t code = weighted[t] > 0 ? (int32_t)nearbyintf(weighted[t] * scale) : 0;  // also for a NaN
            dot += code * tokens[t].value[i];
        }
        s->output[i] = fmaf((float)dot, worth, s->output[i] * factor);
    }
}

static scored_token scored(const row_state *s, int8_head h, size_t d, size_t token) {
    return (scored_token){score_of(s, h, d, token), int8_value_scale(h.scales[token]), h.values + token * d};
}

static void attend_page(row_state *s, int8_head h, size_t d, size_t hidden, size_t visible) {
    scored_token tokens[page_tokens];
    for (size_t t = hidden; t < visible; t++) tokens[t] = scored(s, h, d, t);
    take(s, tokens, hidden, visible, d);
}

static void load_query(const dkv_attention *a, const dkv_attention_unit *u, size_t row, row_state *s) {
    const size_t d = a->shape.head_dimension;
    float spread[DKV_MAX_HEAD_DIMENSION];
    int8_spread(query_of(a, u, row), a->scale, d, spread);
    s->query_scale = quantize(spread, d, s->query);
    s->query_sum = sum_of(s->query, d);
}

static void attend_row(const dkv_attention *a, const dkv_attention_unit *u, size_t row) {
    const size_t d = a->shape.head_dimension, position = u->position + row / a->group;
    const size_t first = dkv_first_seen(a, position);
    row_state s;
    load_query(a, u, row, &s);
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

static void attend_ends(const dkv_attention *a, const dkv_attention_unit *u, size_t row) {
    const size_t d = a->shape.head_dimension, tokens = u->position + 1, start = first_page_of_ends(u);
    row_state s;
    load_query(a, u, row, &s);
    clear(&s);
    if (start > 0) attend_page(&s, int8_head_of(a, u, 0), d, 0, DKV_SPARSE_FIRST);
    for (size_t page = start; page * page_tokens < tokens; page++) {
        const size_t visible = tokens - page * page_tokens;
        attend_page(&s, int8_head_of(a, u, page), d, 0, visible < page_tokens ? visible : page_tokens);
    }
    float *y = result_of(a, u, row);
    for (size_t i = 0; i < d; i++) y[i] = s.output[i] * inverse_of(s.sum);
}

static float coarse_exp2(float x) {
    x = x < SPARSE_LEAST_EXPONENT ? SPARSE_LEAST_EXPONENT : x > SPARSE_MOST_EXPONENT ? SPARSE_MOST_EXPONENT : x;
    const int32_t bits = (int32_t)nearbyintf((x + 127.0f) * 0x1p23f);
    float power;
    memcpy(&power, &bits, 4);
    return power;
}

/// Notes a head's guesses; returns its mass, which is no number if a key or the query is none.
static float guess(const row_state *s, const dkv_attention *a, const dkv_attention_unit *u, float *guesses) {
    const size_t d = a->shape.head_dimension, tokens = u->position + 1;
    float largest = DKV_MASKED_SCORE, lanes[page_tokens] = {0};
    for (size_t t = 0; t < tokens; t++) {
        const int8_head h = int8_head_of(a, u, t / page_tokens);
        int32_t dot = 0;
        for (size_t i = 0; i < d; i++) dot += s->query[i] * upper_of(h, d, t % page_tokens, i);
        guesses[t] = (float)(32 * dot - 241 * s->query_sum) * int8_key_scale(h.scales[t % page_tokens]) * (s->query_scale * 0.5f);
        if (isnan(guesses[t])) return NAN;
        if (t < page_tokens && guesses[t] > largest) largest = guesses[t];
    }
    if (largest > SPARSE_MOST_GUESS) largest = SPARSE_MOST_GUESS;
    // Places of the last page that no token has count with next to nothing, everywhere alike.
    for (size_t t = 0; t < (tokens + page_tokens - 1) / page_tokens * page_tokens; t++) {
        lanes[t % 16] += coarse_exp2((t < tokens ? guesses[t] : DKV_MASKED_SCORE) - largest);
    }
    return largest + coarse_log2(folded(lanes));
}

/// Notes codes of distances.
static void note_distances(const sparse_notes *n, const float *mass, size_t rows, size_t tokens) {
    for (size_t t = 0; t < tokens; t++) {
        float least = SPARSE_LONGEST;
        for (size_t r = 0; r < rows; r++) {
            const float distance = mass[r] - n->guesses[r * n->capacity + t];
            if (distance < least) least = distance;
        }
        if (least < 0) least = 0;
        n->codes[t] = (uint8_t)nearbyintf(least * SPARSE_CODES);
    }
}

/// Notes the tokens to attend to, in ascending order; returns their number.
static size_t pick(const sparse_notes *n, size_t tokens, size_t kept) {
    mark_ends(n->codes, tokens);
    for (size_t most = 0;; most++) {
        size_t count = 0;
        for (size_t t = 0; t < tokens; t++) {
            if (n->codes[t] <= most) n->picked[count++] = (uint32_t)t;
        }
        if (count >= kept || most == DKV_SPARSE_FARTHEST) return count;
    }
}

static void attend_sparsely(const dkv_attention *a, const dkv_attention_unit *u, size_t first, size_t rows, float *scratch) {
    const size_t d = a->shape.head_dimension;
    const sparse_notes n = sparse_notes_in(scratch + tile_scratch_size(d), u->position + 1);
    row_state states[DKV_SPARSE_HEADS];
    float mass[DKV_SPARSE_HEADS];
    for (size_t r = 0; r < rows; r++) {
        load_query(a, u, first + r, &states[r]);
        clear(&states[r]);
        mass[r] = guess(&states[r], a, u, n.guesses + r * n.capacity);
    }
    note_distances(&n, mass, rows, u->position + 1);
    for (size_t t = 0; t <= u->position; t++) {
        if (n.codes[t] > DKV_SPARSE_NEAR) continue;
        const int8_head h = int8_head_of(a, u, t / page_tokens);
        for (size_t r = 0; r < rows; r++) n.guesses[r * n.capacity + t] = score_of(&states[r], h, d, t % page_tokens);
    }
    const size_t count = pick(&n, u->position + 1, u->kept);
    for (size_t r = 0; r < rows; r++) {
        for (size_t i = 0; i < count; i += page_tokens) {
            scored_token tokens[page_tokens];
            size_t taken = 0;
            for (; taken < page_tokens && i + taken < count; taken++) {
                const uint32_t t = n.picked[i + taken];
                const int8_head h = int8_head_of(a, u, t / page_tokens);
                const size_t slot = t % page_tokens;
                tokens[taken] = (scored_token){n.guesses[r * n.capacity + t], int8_value_scale(h.scales[slot]), h.values + slot * d};
            }
            take(&states[r], tokens, 0, taken, d);
        }
        float *y = result_of(a, u, first + r);
        const float inverse = isnan(mass[r]) ? NAN : inverse_of(states[r].sum);
        for (size_t i = 0; i < d; i++) y[i] = states[r].output[i] * inverse;
    }
}

static void attend(const dkv_attention *a, const dkv_attention_unit *u, float *scratch) {
    const size_t rows = u->rows * a->group;
    const int reach = reach_of(a, u);
    if (reach == reach_picked) {
        for (size_t first = 0; first < rows; first += DKV_SPARSE_HEADS) {
            const size_t left = rows - first;
            attend_sparsely(a, u, first, left < DKV_SPARSE_HEADS ? left : DKV_SPARSE_HEADS, scratch);
        }
        return;
    }
    for (size_t row = 0; row < rows; row++) {
        if (reach == reach_ends) attend_ends(a, u, row);
        else attend_row(a, u, row);
    }
}

static void store(dkv_page page, size_t number, size_t slot, size_t d, const float *key, const float *value) {
    int8_t key_codes[DKV_MAX_HEAD_DIMENSION], value_codes[DKV_MAX_HEAD_DIMENSION];
    float spread[DKV_MAX_HEAD_DIMENSION];
    int8_spread(key, 1, d, spread);
    const float key_scale = quantize(spread, d, key_codes), value_scale = quantize(value, d, value_codes);
    int8_place(int8_head_at(page, number, d), slot, d, key_codes, key_scale, value_codes, value_scale);
}

const dkv_int8_kernels dkv_int8_scalar = {store, attend};
