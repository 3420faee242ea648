// SPDX-License-Identifier: Apache-2.0
// Attention over int8 pages in terms of a vector vocabulary (vector_avx512.h or vector_avx2.h, and v_dot). Included once per
// instruction set; everything is static, the including file fills a dkv_int8_kernels table.
//
// There are two ways through a page (see kv_int8.h for what both compute). With many rows, lanes are rows: maxima and sums
// need no work across lanes, and keys and values are broadcast. With few rows, lanes are tokens, then elements.
#include "attention_int8_internal.h"
#include "exp2.h"

#ifndef UNROLL
#define UNROLL _Pragma("clang loop unroll(full)")
#endif

INLINE VI bytes_at(const void *p) {
    int32_t four;
    memcpy(&four, p, 4);
    return v_set_int(four);
}

/// Rounds the `d` elements of a vector to codes and returns their scale (see block_scale for vectors of nothing and of what is
/// no number).
INLINE float v_quantize(const float *x, size_t d, int8_t *codes) {
    V greatest = v_zero(), zero = v_zero();
    for (size_t i = 0; i < d; i += VW) {
        const V w = v_load(x + i);
        greatest = v_max(greatest, v_abs(w));
        zero = v_add(zero, v_sub(w, w));  // unless an element is no number or infinite
    }
    const float top = v_sum(zero) == 0 ? v_largest(greatest) : INFINITY;
    uint32_t bits;
    memcpy(&bits, &top, 4);
    float scale, factor;
    if (!block_scale(bits, &scale, &factor)) {
        memset(codes, 0, d);
        return scale;
    }
    for (size_t i = 0; i < d; i += VW) {
        const V w = v_load(x + i);
        v_store_bytes((uint8_t *)codes + i, v_to_int(v_mul(w, v_set(factor))));
    }
    return scale;
}

/// Asks for a line of memory ahead of its use: a page's head is too short for the processor to see that it is read in order.
/// Requests are spread over the work on the page before, because a core waits when it has too many; they go to the second
/// level, since the first is too small for two pages.
INLINE void prefetch(const void *at) { __builtin_prefetch(at, 0, 2); }

// ---- Lanes are rows -------------------------------------------------------------------------------------------------

enum {
    band_vectors = DKV_INT8_BAND_VECTORS,  // vectors of rows that walk the context together
    band_rows = band_vectors * VW,
    score_block = DKV_INT8_SCORE_BLOCK,    // tokens whose scores are in registers at once
    value_block = DKV_INT8_VALUE_BLOCK,    // elements whose sums are in registers at once
};

/// The state of a band of rows; element-major, rows in lanes.
typedef struct band {
    int32_t *queries;           // [d / 4][band_rows]: four unsigned codes
    float *scores;              // [page_tokens][band_rows]
    int32_t *weights;           // [page_tokens / 4][band_rows]: four unsigned codes
    float *chunk, *total;       // outputs [d][band_rows]
    V query_scale[band_vectors];
    VI position[band_vectors];  // the last token that a row sees
    VI first[band_vectors];     // the first token that a row sees
    V maximum[band_vectors], sum[band_vectors];
} band;

_Static_assert(band_rows <= DKV_TILE_ROWS, "a band is a part of a tile");

static band band_in(float *scratch, size_t d) {
    band b;
    b.queries = (int32_t *)scratch;
    b.scores = scratch + d / 4 * band_rows;
    b.weights = (int32_t *)(b.scores + page_tokens * band_rows);
    b.chunk = (float *)(b.weights + page_tokens / 4 * band_rows);
    b.total = b.chunk + d * band_rows;
    return b;
}

/// Quantises the queries of rows `first...` of a unit; lanes without a row repeat the last one.
static void load_band(const dkv_attention *a, const dkv_attention_unit *u, size_t first, size_t vectors, band *b) {
    const size_t d = a->shape.head_dimension, last = u->rows * a->group - 1;
    enum { width = DKV_MAX_HEAD_DIMENSION };
    for (size_t v = 0; v < vectors; v++) {
        int8_t codes[VW][width];
        float scales[VW];
        int32_t positions[VW], firsts[VW];
        for (size_t lane = 0; lane < VW; lane++) {
            const size_t wanted = first + v * VW + lane, row = wanted < last ? wanted : last;
            float spread[DKV_MAX_HEAD_DIMENSION];
            int8_spread(query_of(a, u, row), a->scale, d, spread);
            scales[lane] = v_quantize(spread, d, codes[lane]);
            positions[lane] = (int32_t)(u->position + row / a->group);
            firsts[lane] = (int32_t)dkv_first_seen(a, u->position + row / a->group);
        }
        b->query_scale[v] = v_load(scales);
        b->position[v] = v_load_int(positions);
        b->first[v] = v_load_int(firsts);
        // Four codes of a row go together as one number, and these from rows to lanes.
        for (size_t g = 0; g < d / 4; g += VW) {
            V block[VW];
            UNROLL for (size_t lane = 0; lane < VW; lane++) block[lane] = v_load((const float *)(codes[lane] + g * 4));
            v_transpose(block);
            for (size_t j = 0; j < VW && g + j < d / 4; j++) {
                v_store_int(b->queries + (g + j) * band_rows + v * VW, v_flip_signs(v_bits(block[j])));
            }
        }
    }
}

/// Which tokens of a page some rows of a band may not see: none, some at its end, or some at its beginning too.
enum { mask_none, mask_later, mask_both };

/// Scores of `score_block` tokens from `first` on.
INLINE void score_tokens(const size_t vectors, const int mask, const band *b, int8_head h, size_t d, size_t first,
                         int32_t position, V *largest) {
    VI acc[score_block * band_vectors];
    UNROLL for (size_t t = 0; t < score_block; t++) {
        UNROLL for (size_t v = 0; v < vectors; v++) acc[t * vectors + v] = bytes_at(h.key_sums + first + t);
    }
    for (size_t g = 0; g < d / 4; g++) {
        VI q[band_vectors];
        UNROLL for (size_t v = 0; v < vectors; v++) q[v] = v_load_int(b->queries + g * band_rows + v * VW);
        UNROLL for (size_t t = 0; t < score_block; t++) {
            const VI k = bytes_at(h.keys + (g * page_tokens + first + t) * 4);
            UNROLL for (size_t v = 0; v < vectors; v++) acc[t * vectors + v] = v_dot(acc[t * vectors + v], q[v], k);
        }
    }
    UNROLL for (size_t t = 0; t < score_block; t++) {
        const V scale = v_set(h.key_scales[first + t]);
        const VI token = v_set_int(position + (int32_t)(first + t));
        UNROLL for (size_t v = 0; v < vectors; v++) {
            V score = v_mul(v_mul(v_from_int(acc[t * vectors + v]), scale), b->query_scale[v]);
            if (mask != mask_none) score = v_unless_int_less(score, b->position[v], token, v_set(DKV_MASKED_SCORE));
            if (mask == mask_both) score = v_unless_int_less(score, token, b->first[v], v_set(DKV_MASKED_SCORE));
            v_store(b->scores + (first + t) * band_rows + v * VW, score);
            largest[v] = v_max(largest[v], score);
        }
    }
}

/// Turns the scores of one vector of rows into weights times value scales, adds up the weights, and returns the largest. No row
/// sees tokens from `visible` on; a slot that no token has been written to may hold any bits.
INLINE V weigh(const band *b, size_t v, int8_head h, V maximum, size_t visible, V *total) {
    float *at = b->scores + v * VW;
    V lanes[16], largest = v_zero();
    for (size_t j = 0; j < 16; j++) {
        V sum = v_zero();
        UNROLL for (size_t k = 0; k < 4; k++) {
            const size_t t = j + k * 16;
            const V e = v_exp2(v_sub(v_load(at + t * band_rows), maximum));
            sum = k == 0 ? e : v_add(sum, e);
            const V w = v_mul(e, v_set(t < visible ? h.value_scales[t] : 0));
            v_store(at + t * band_rows, w);
            largest = v_max(largest, w);
        }
        lanes[j] = sum;
    }
    UNROLL for (size_t half = 8; half > 0; half /= 2) {
        UNROLL for (size_t j = 0; j < half; j++) lanes[j] = v_add(lanes[j], lanes[j + half]);
    }
    *total = lanes[0];
    return largest;
}

/// Rounds the weights of one vector of rows to codes; returns what a code is worth.
INLINE V round_weights(const band *b, size_t v, V largest) {
    largest = v_max(largest, v_set(0x1p-100f));
    const V factor = v_div(v_set(255.0f), largest);
    const float *at = b->scores + v * VW;
    for (size_t g = 0; g < page_tokens / 4; g++) {
        VI codes[4];
        UNROLL for (size_t k = 0; k < 4; k++) {
            codes[k] = v_to_int(v_mul(v_load(at + (g * 4 + k) * band_rows), factor));
        }
        const VI low = v_or(codes[0], v_shift_left(codes[1], 8));
        const VI high = v_or(v_shift_left(codes[2], 16), v_shift_left(codes[3], 24));
        v_store_int(b->weights + g * band_rows + v * VW, v_or(low, high));
    }
    return v_mul(largest, v_set(1.0f / 255.0f));
}

/// `output = output · factor + weights · values` for `count` elements from `first` on.
INLINE void add_values(const size_t vectors, const size_t count, const band *b, int8_head h, size_t d, size_t first,
                       const V *factor, const V *worth) {
    VI acc[value_block * band_vectors];
    UNROLL for (size_t i = 0; i < count * vectors; i++) acc[i] = v_set_int(0);
    for (size_t g = 0; g < page_tokens / 4; g++) {
        VI p[band_vectors];
        UNROLL for (size_t v = 0; v < vectors; v++) p[v] = v_load_int(b->weights + g * band_rows + v * VW);
        UNROLL for (size_t i = 0; i < count; i++) {
            const VI x = bytes_at(h.values + (g * d + first + i) * 4);
            UNROLL for (size_t v = 0; v < vectors; v++) acc[i * vectors + v] = v_dot(acc[i * vectors + v], p[v], x);
        }
    }
    UNROLL for (size_t i = 0; i < count; i++) {
        UNROLL for (size_t v = 0; v < vectors; v++) {
            float *o = b->chunk + (first + i) * band_rows + v * VW;
            v_store(o, v_fma(v_from_int(acc[i * vectors + v]), worth[v], v_mul(v_load(o), factor[v])));
        }
    }
}

INLINE void band_page(const size_t vectors, band *b, int8_head h, size_t d, int32_t position, size_t visible,
                      int mask) {
    V largest[band_vectors], factor[band_vectors], worth[band_vectors];
    UNROLL for (size_t v = 0; v < vectors; v++) largest[v] = b->maximum[v];
    for (size_t t = 0; t < page_tokens; t += score_block) {
        if (mask == mask_none) {
            score_tokens(vectors, mask_none, b, h, d, t, position, largest);
        } else if (mask == mask_later) {
            score_tokens(vectors, mask_later, b, h, d, t, position, largest);
        } else {
            score_tokens(vectors, mask_both, b, h, d, t, position, largest);
        }
    }
    UNROLL for (size_t v = 0; v < vectors; v++) {
        V total;
        factor[v] = v_exp2(v_sub(b->maximum[v], largest[v]));
        b->maximum[v] = largest[v];
        worth[v] = round_weights(b, v, weigh(b, v, h, largest[v], visible, &total));
        b->sum[v] = v_fma(b->sum[v], factor[v], total);
    }
    for (size_t i = 0; i < d; i += value_block) add_values(vectors, value_block, b, h, d, i, factor, worth);
}

/// Merges the band's chunk into its total, which is `(maximum, sum)` and b->total.
INLINE void merge_chunk(const size_t vectors, const band *b, size_t d, V *maximum, V *sum) {
    UNROLL for (size_t v = 0; v < vectors; v++) {
        const V now = v_max(maximum[v], b->maximum[v]);
        const V earlier = v_exp2(v_sub(maximum[v], now)), later = v_exp2(v_sub(b->maximum[v], now));
        maximum[v] = now;
        sum[v] = v_fma(b->sum[v], later, v_mul(sum[v], earlier));
        for (size_t i = 0; i < d; i++) {
            float *o = b->total + i * band_rows + v * VW;
            v_store(o, v_fma(v_load(b->chunk + i * band_rows + v * VW), later, v_mul(v_load(o), earlier)));
        }
    }
}

/// Writes lanes of `output` times `weight` as rows: `to(row)` gets `d` elements.
INLINE void write_band(const dkv_attention *a, const dkv_attention_unit *u, size_t first, size_t vectors,
                       const float *output, const V *weight, const V *maximum, const V *sum) {
    const size_t d = a->shape.head_dimension, rows = u->rows * a->group;
    for (size_t v = 0; v < vectors; v++) {
        float maxima[VW], sums[VW];
        v_store(maxima, maximum[v]);
        v_store(sums, sum[v]);
        for (size_t i = 0; i < d; i += VW) {
            V block[VW];
            UNROLL for (size_t j = 0; j < VW; j++) {
                const V x = v_load(output + (i + j) * band_rows + v * VW);
                block[j] = weight ? v_mul(x, weight[v]) : x;
            }
            v_transpose(block);
            for (size_t lane = 0; lane < VW && first + v * VW + lane < rows; lane++) {
                const size_t row = first + v * VW + lane;
                v_store((u->partial ? u->partial + row * (d + 2) : result_of(a, u, row)) + i, block[lane]);
            }
        }
        if (!u->partial) continue;
        for (size_t lane = 0; lane < VW && first + v * VW + lane < rows; lane++) {
            float *state = u->partial + (first + v * VW + lane) * (d + 2) + d;
            state[0] = maxima[lane];
            state[1] = sums[lane];
        }
    }
}

INLINE void attend_band(const size_t vectors, const dkv_attention *a, const dkv_attention_unit *u, size_t first,
                        float *scratch) {
    const size_t d = a->shape.head_dimension, bytes = d * band_rows * sizeof(float);
    const size_t last_position = u->position + u->rows - 1, first_position = u->position + first / a->group;
    band b = band_in(scratch, d);
    load_band(a, u, first, vectors, &b);
    V maximum[band_vectors], sum[band_vectors];
    UNROLL for (size_t v = 0; v < vectors; v++) {
        maximum[v] = v_set(DKV_EMPTY_MAXIMUM);
        sum[v] = v_zero();
    }
    memset(b.total, 0, bytes);
    for (size_t chunk = u->first_chunk; chunk < u->last_chunk; chunk++) {
        UNROLL for (size_t v = 0; v < vectors; v++) {
            b.maximum[v] = v_set(DKV_EMPTY_MAXIMUM);
            b.sum[v] = v_zero();
        }
        memset(b.chunk, 0, bytes);
        for (size_t page = first_page_of(a, chunk, first_position); page < (chunk + 1) * chunk_pages; page++) {
            const size_t start = page * page_tokens;
            if (start > last_position) break;
            const int mask = dkv_first_seen(a, last_position) > start          ? mask_both
                             : start + page_tokens - 1 > first_position ? mask_later
                                                                        : mask_none;
            band_page(vectors, &b, int8_head_of(a, u, page), d, (int32_t)start, last_position + 1 - start, mask);
        }
        if (!u->partial) merge_chunk(vectors, &b, d, maximum, sum);
    }
    if (u->partial) {
        write_band(a, u, first, vectors, b.chunk, NULL, b.maximum, b.sum);
        return;
    }
    V inverse[band_vectors];
    UNROLL for (size_t v = 0; v < vectors; v++) inverse[v] = v_inverse_if_positive(sum[v]);
    write_band(a, u, first, vectors, b.total, inverse, maximum, sum);
}

// ---- Lanes are tokens and elements ----------------------------------------------------------------------------------

enum { few_rows = 4, most_few_rows = 8, token_vectors = page_tokens / VW };

/// The state of few rows.
typedef struct rows_state {
    int8_t (*queries)[DKV_MAX_HEAD_DIMENSION];  // unsigned codes
    float (*output)[DKV_MAX_HEAD_DIMENSION];
    float query_scale[few_rows], maximum[few_rows], sum[few_rows];
    int32_t visible[few_rows];                  // tokens of the page that the row sees or has seen
    int32_t hidden[few_rows];                   // of these, those that it no longer sees
} rows_state;

INLINE void score_rows(const size_t rows, const rows_state *s, int8_head h, size_t d, float (*scores)[page_tokens],
                       int8_head next) {
    // As many tokens at once as leave registers for all rows.
    enum { vectors = token_vectors < 4 ? token_vectors : 4 };
    for (size_t first = 0; first < page_tokens; first += vectors * VW) {
        VI acc[few_rows * vectors];
        UNROLL for (size_t r = 0; r < rows; r++) {
            UNROLL for (size_t v = 0; v < vectors; v++) acc[r * vectors + v] = v_load_int(h.key_sums + first + v * VW);
        }
        for (size_t g = 0; g < d / 4; g++) {
            VI k[vectors];
            UNROLL for (size_t v = 0; v < vectors; v++) {
                k[v] = v_load_int((const int32_t *)h.keys + g * page_tokens + first + v * VW);
            }
            UNROLL for (size_t v = 0; v < vectors; v += 16 / VW) {
                prefetch((const int32_t *)next.keys + g * page_tokens + first + v * VW);
            }
            UNROLL for (size_t r = 0; r < rows; r++) {
                const VI q = bytes_at(s->queries[r] + g * 4);
                UNROLL for (size_t v = 0; v < vectors; v++) acc[r * vectors + v] = v_dot(acc[r * vectors + v], q, k[v]);
            }
        }
        UNROLL for (size_t r = 0; r < rows; r++) {
            UNROLL for (size_t v = 0; v < vectors; v++) {
                const V scale = v_load(h.key_scales + first + v * VW);
                const V score = v_mul(v_mul(v_from_int(acc[r * vectors + v]), scale), v_set(s->query_scale[r]));
                v_store(scores[r] + first + v * VW, score);
            }
        }
    }
}

/// One row's scores become codes; returns what a code is worth.
INLINE float soften_row(rows_state *s, size_t row, int8_head h, float *scores, uint8_t *codes, float *factor) {
    V x[token_vectors], largest = v_set(s->maximum[row]);
    UNROLL for (size_t v = 0; v < token_vectors; v++) {
        x[v] = v_first_else(v_load(scores + v * VW), s->visible[row] - (int)(v * VW), v_set(DKV_MASKED_SCORE));
        if (s->hidden[row] > 0) x[v] = v_first_else(v_set(DKV_MASKED_SCORE), s->hidden[row] - (int)(v * VW), x[v]);
        largest = v_max(largest, x[v]);
    }
    const float now = v_largest(largest);
    V weighted = v_zero();
    UNROLL for (size_t v = 0; v < token_vectors; v++) {
        const V e = v_exp2(v_sub(x[v], v_set(now)));
        v_store(scores + v * VW, e);
        x[v] = v_mul(e, v_load(h.value_scales + v * VW));
        // A slot that no token has been written to may hold any bits.
        x[v] = v_first_else(x[v], s->visible[row] - (int)(v * VW), v_zero());
        weighted = v_max(weighted, x[v]);
    }
    V lanes[16 / VW];
    UNROLL for (size_t v = 0; v < 16 / VW; v++) {
        lanes[v] = v_load(scores + v * VW);
        UNROLL for (size_t k = 1; k < 4; k++) lanes[v] = v_add(lanes[v], v_load(scores + k * 16 + v * VW));
    }
    float before[VW];
    v_store(before, v_exp2(v_set(s->maximum[row] - now)));
    *factor = before[0];
    s->maximum[row] = now;
    s->sum[row] = fmaf(s->sum[row], *factor, v_sum_halves(lanes));
    float top = v_largest(weighted);
    top = top > 0x1p-100f ? top : 0x1p-100f;
    const V scale = v_set(255.0f / top);
    UNROLL for (size_t v = 0; v < token_vectors; v++) v_store_bytes(codes + v * VW, v_to_int(v_mul(x[v], scale)));
    return top * (1.0f / 255.0f);
}

INLINE void value_rows(const size_t rows, const size_t vectors, rows_state *s, int8_head h, size_t d, size_t first,
                       uint8_t (*codes)[page_tokens], size_t groups, const float *factor, const float *worth,
                       int8_head next) {
    VI acc[few_rows * 4];
    UNROLL for (size_t i = 0; i < rows * vectors; i++) acc[i] = v_set_int(0);
    for (size_t g = 0; g < groups; g++) {
        VI x[4];
        UNROLL for (size_t v = 0; v < vectors; v++) {
            x[v] = v_load_int((const int32_t *)h.values + g * d + first + v * VW);
        }
        UNROLL for (size_t v = 0; v < vectors; v += 16 / VW) {
            prefetch((const int32_t *)next.values + g * d + first + v * VW);
        }
        UNROLL for (size_t r = 0; r < rows; r++) {
            const VI p = bytes_at(codes[r] + g * 4);
            UNROLL for (size_t v = 0; v < vectors; v++) acc[r * vectors + v] = v_dot(acc[r * vectors + v], p, x[v]);
        }
    }
    UNROLL for (size_t r = 0; r < rows; r++) {
        UNROLL for (size_t v = 0; v < vectors; v++) {
            float *o = s->output[r] + first + v * VW;
            const V scaled = v_mul(v_load(o), v_set(factor[r]));
            v_store(o, v_fma(v_from_int(acc[r * vectors + v]), v_set(worth[r]), scaled));
        }
    }
}

INLINE void rows_page(const size_t rows, rows_state *s, int8_head h, size_t d, int8_head next) {
    float scores[few_rows][page_tokens], factor[few_rows], worth[few_rows];
    uint8_t codes[few_rows][page_tokens];
    int32_t visible = 0;
    score_rows(rows, s, h, d, scores, next);
    for (size_t r = 0; r < rows; r++) {
        worth[r] = soften_row(s, r, h, scores[r], codes[r], &factor[r]);
        if (s->visible[r] > visible) visible = s->visible[r];
    }
    for (size_t t = 0; t < page_tokens; t += 16) {  // the four bytes of 16 tokens are a line
        prefetch(next.key_scales + t);
        prefetch(next.key_sums + t);
        prefetch(next.value_scales + t);
    }
    const size_t groups = visible >= page_tokens ? page_tokens / 4 : ((size_t)visible + 3) / 4;
    size_t i = 0;
    for (; i + 4 * VW <= d; i += 4 * VW) value_rows(rows, 4, s, h, d, i, codes, groups, factor, worth, next);
    for (; i < d; i += VW) value_rows(rows, 1, s, h, d, i, codes, groups, factor, worth, next);
}

/// Computes rows `first ..< first + rows` of a unit.
INLINE void attend_rows(const size_t rows, const dkv_attention *a, const dkv_attention_unit *u, size_t first) {
    const size_t d = a->shape.head_dimension;
    int8_t queries[few_rows][DKV_MAX_HEAD_DIMENSION];
    float chunk_output[few_rows][DKV_MAX_HEAD_DIMENSION], total[few_rows][DKV_MAX_HEAD_DIMENSION];
    float maximum[few_rows], sum[few_rows];
    rows_state s = {.queries = queries, .output = chunk_output};
    for (size_t r = 0; r < rows; r++) {
        float spread[DKV_MAX_HEAD_DIMENSION];
        int8_spread(query_of(a, u, first + r), a->scale, d, spread);
        s.query_scale[r] = v_quantize(spread, d, queries[r]);
        for (size_t i = 0; i < d; i++) queries[r][i] ^= (int8_t)0x80;
        maximum[r] = DKV_EMPTY_MAXIMUM;
        sum[r] = 0;
        memset(total[r], 0, d * sizeof(float));
    }
    const size_t first_position = u->position + first / a->group;
    const size_t last_position = u->position + (first + rows - 1) / a->group;
    for (size_t chunk = u->first_chunk; chunk < u->last_chunk; chunk++) {
        for (size_t r = 0; r < rows; r++) {
            s.maximum[r] = DKV_EMPTY_MAXIMUM;
            s.sum[r] = 0;
            memset(chunk_output[r], 0, d * sizeof(float));
        }
        for (size_t page = first_page_of(a, chunk, first_position); page < (chunk + 1) * chunk_pages; page++) {
            if (page * page_tokens > last_position) break;
            for (size_t r = 0; r < rows; r++) {
                const size_t position = u->position + (first + r) / a->group;
                s.visible[r] = (int32_t)(position + 1) - (int32_t)(page * page_tokens);
                s.hidden[r] = (int32_t)dkv_first_seen(a, position) - (int32_t)(page * page_tokens);
            }
            const size_t next = (page + 1) * page_tokens <= last_position ? page + 1 : page;
            rows_page(rows, &s, int8_head_of(a, u, page), d, int8_head_of(a, u, next));
        }
        for (size_t r = 0; r < rows; r++) {
            if (u->partial) {
                float *to = u->partial + (first + r) * (d + 2);
                memcpy(to, chunk_output[r], d * sizeof(float));
                to[d] = s.maximum[r];
                to[d + 1] = s.sum[r];
            } else {
                a->kernels->merge(d, &maximum[r], &sum[r], total[r], s.maximum[r], s.sum[r], chunk_output[r]);
            }
        }
    }
    if (u->partial) return;
    for (size_t r = 0; r < rows; r++) {
        float *y = result_of(a, u, first + r);
        const float inverse = inverse_of(sum[r]);
        for (size_t i = 0; i < d; i++) y[i] = total[r][i] * inverse;
    }
}

// ---- Units ----------------------------------------------------------------------------------------------------------

static void attend(const dkv_attention *a, const dkv_attention_unit *u, float *scratch) {
    const size_t rows = u->rows * a->group;
    if (rows <= most_few_rows) {
        for (size_t first = 0; first < rows; first += few_rows) {
            switch (rows - first) {
                case 1: attend_rows(1, a, u, first); break;
                case 2: attend_rows(2, a, u, first); break;
                case 3: attend_rows(3, a, u, first); break;
                default: attend_rows(4, a, u, first); break;
            }
        }
        return;
    }
    for (size_t first = 0; first < rows; first += band_rows) {
        const size_t left = rows - first;
        if (band_vectors >= 2 && left <= VW) {
            attend_band(1, a, u, first, scratch);
        } else if (band_vectors >= 3 && left <= 2 * VW) {
            attend_band(2, a, u, first, scratch);
        } else {
            attend_band(band_vectors, a, u, first, scratch);
        }
    }
}

INLINE void store_head(char *head, size_t slot, size_t d, const float *key, const float *value) {
    int8_t key_codes[DKV_MAX_HEAD_DIMENSION], value_codes[DKV_MAX_HEAD_DIMENSION];
    float spread[DKV_MAX_HEAD_DIMENSION];
    int8_spread(key, 1, d, spread);
    const float key_scale = v_quantize(spread, d, key_codes), value_scale = v_quantize(value, d, value_codes);
    int8_place(int8_head_at(head, d), slot, d, key_codes, key_scale, value_codes, value_scale);
}

/// With loops of known length for the usual heads.
static void store(char *head, size_t slot, size_t d, const float *key, const float *value) {
    switch (d) {
        case 64: store_head(head, slot, 64, key, value); break;
        case 128: store_head(head, slot, 128, key, value); break;
        default: store_head(head, slot, d, key, value);
    }
}
