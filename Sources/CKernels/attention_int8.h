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

#include "attention_int8_page.h"

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
    int32_t *queries;           // [d / 4][band_rows]: four codes
    float *total;               // outputs [d][band_rows]
    V query_scale[band_vectors];
    VI offset[band_vectors];    // −128 · Σ codes of the query
    VI position[band_vectors];  // the last token that a row sees
    VI first[band_vectors];     // the first token that a row sees
    V total_maximum[band_vectors], total_sum[band_vectors];
    // Of the chunk at hand.
    V maximum[band_vectors], sum[band_vectors];
    float *chunk;               // outputs [d][band_rows]
    // Of the page at hand.
    float *scores;              // [page_tokens][band_rows]
    int32_t *weights;           // [page_tokens / 4][band_rows]: four unsigned codes
    int8_page page;
} band;

_Static_assert(band_rows <= DKV_TILE_ROWS, "a band is a part of a tile");

/// The bands of a unit, in one worker's scratch: they share what lasts for a chunk only.
typedef struct band_memory {
    float *pages;   // [chunk_pages][page_size()]
    float *shared;  // chunk, scores and weights of a band
    float *own;     // [bands][band_size()]
} band_memory;

INLINE size_t band_size(size_t d) { return (d / 4 + d) * band_rows; }

INLINE band_memory band_memory_in(float *scratch, size_t d) {
    band_memory m = {.pages = scratch};
    m.shared = m.pages + chunk_pages * page_size(d);
    m.own = m.shared + (d + page_tokens + page_tokens / 4) * band_rows;
    return m;
}

INLINE band band_in(band_memory m, size_t index, size_t d) {
    band b = {.queries = (int32_t *)(m.own + index * band_size(d)), .chunk = m.shared};
    b.total = (float *)b.queries + d / 4 * band_rows;
    b.scores = b.chunk + d * band_rows;
    b.weights = (int32_t *)(b.scores + page_tokens * band_rows);
    return b;
}

/// Quantises the queries of rows `first...` of a unit; lanes without a row repeat the last one.
static void load_band(const dkv_attention *a, const dkv_attention_unit *u, size_t first, size_t vectors, band *b) {
    const size_t d = a->shape.head_dimension, last = u->rows * a->group - 1;
    enum { width = DKV_MAX_HEAD_DIMENSION };
    for (size_t v = 0; v < vectors; v++) {
        int8_t codes[VW][width];
        float scales[VW];
        int32_t positions[VW], firsts[VW], offsets[VW];
        for (size_t lane = 0; lane < VW; lane++) {
            const size_t wanted = first + v * VW + lane, row = wanted < last ? wanted : last;
            float spread[DKV_MAX_HEAD_DIMENSION];
            int8_spread(query_of(a, u, row), a->scale, d, spread);
            scales[lane] = v_quantize(spread, d, codes[lane]);
            offsets[lane] = -128 * sum_of(codes[lane], d);
            positions[lane] = (int32_t)(u->position + row / a->group);
            firsts[lane] = (int32_t)dkv_first_seen(a, u->position + row / a->group);
        }
        b->query_scale[v] = v_load(scales);
        b->position[v] = v_load_int(positions);
        b->first[v] = v_load_int(firsts);
        b->offset[v] = v_load_int(offsets);
        // Four codes of a row go together as one number, and these from rows to lanes.
        for (size_t g = 0; g < d / 4; g += VW) {
            V block[VW];
            UNROLL for (size_t lane = 0; lane < VW; lane++) block[lane] = v_load((const float *)(codes[lane] + g * 4));
            v_transpose(block);
            for (size_t j = 0; j < VW && g + j < d / 4; j++) {
                v_store_int(b->queries + (g + j) * band_rows + v * VW, v_bits(block[j]));
            }
        }
    }
}

/// Which tokens of a page some rows of a band may not see: none, some at its end, or some at its beginning too.
enum { mask_none, mask_later, mask_both };

/// Scores of `score_block` tokens from `first` on.
INLINE void score_tokens(const size_t vectors, const int mask, const band *b, size_t d, size_t first, int32_t position,
                         V *largest) {
    VI acc[score_block * band_vectors];
    UNROLL for (size_t t = 0; t < score_block; t++) {
        UNROLL for (size_t v = 0; v < vectors; v++) acc[t * vectors + v] = b->offset[v];
    }
    for (size_t g = 0; g < d / 4; g++) {
        VI q[band_vectors];
        UNROLL for (size_t v = 0; v < vectors; v++) q[v] = v_load_int(b->queries + g * band_rows + v * VW);
        UNROLL for (size_t t = 0; t < score_block; t++) {
            const VI k = bytes_at(b->page.keys + (g * page_tokens + first + t) * 4);
            UNROLL for (size_t v = 0; v < vectors; v++) acc[t * vectors + v] = v_dot(acc[t * vectors + v], k, q[v]);
        }
    }
    UNROLL for (size_t t = 0; t < score_block; t++) {
        const V scale = v_set(b->page.key_scales[first + t]);
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
INLINE V weigh(const band *b, size_t v, V maximum, size_t visible, V *total) {
    float *at = b->scores + v * VW;
    V lanes[16], largest = v_zero();
    for (size_t j = 0; j < 16; j++) {
        V sum = v_zero();
        UNROLL for (size_t k = 0; k < 4; k++) {
            const size_t t = j + k * 16;
            const V e = v_exp2(v_sub(v_load(at + t * band_rows), maximum));
            sum = k == 0 ? e : v_add(sum, e);
            const V w = v_mul(e, v_set(t < visible ? b->page.value_scales[t] : 0));
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
INLINE void add_values(const size_t vectors, const size_t count, const band *b, size_t d, size_t first, const V *factor,
                       const V *worth) {
    VI acc[value_block * band_vectors];
    UNROLL for (size_t i = 0; i < count * vectors; i++) acc[i] = v_set_int(0);
    for (size_t g = 0; g < page_tokens / 4; g++) {
        VI p[band_vectors];
        UNROLL for (size_t v = 0; v < vectors; v++) p[v] = v_load_int(b->weights + g * band_rows + v * VW);
        UNROLL for (size_t i = 0; i < count; i++) {
            const VI x = bytes_at(b->page.values + (g * d + first + i) * 4);
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

INLINE void band_page(const size_t vectors, band *b, size_t d, int32_t position, size_t visible, int mask) {
    V largest[band_vectors], factor[band_vectors], worth[band_vectors];
    UNROLL for (size_t v = 0; v < vectors; v++) largest[v] = b->maximum[v];
    for (size_t t = 0; t < page_tokens; t += score_block) {
        if (mask == mask_none) {
            score_tokens(vectors, mask_none, b, d, t, position, largest);
        } else if (mask == mask_later) {
            score_tokens(vectors, mask_later, b, d, t, position, largest);
        } else {
            score_tokens(vectors, mask_both, b, d, t, position, largest);
        }
    }
    UNROLL for (size_t v = 0; v < vectors; v++) {
        V total;
        factor[v] = v_exp2(v_sub(b->maximum[v], largest[v]));
        b->maximum[v] = largest[v];
        worth[v] = round_weights(b, v, weigh(b, v, largest[v], visible, &total));
        b->sum[v] = v_fma(b->sum[v], factor[v], total);
    }
    for (size_t i = 0; i < d; i += value_block) add_values(vectors, value_block, b, d, i, factor, worth);
}

/// Merges the band's chunk into its total.
INLINE void merge_chunk(const size_t vectors, band *b, size_t d) {
    UNROLL for (size_t v = 0; v < vectors; v++) {
        const V now = v_max(b->total_maximum[v], b->maximum[v]);
        const V earlier = v_exp2(v_sub(b->total_maximum[v], now)), later = v_exp2(v_sub(b->maximum[v], now));
        b->total_maximum[v] = now;
        b->total_sum[v] = v_fma(b->sum[v], later, v_mul(b->total_sum[v], earlier));
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

/// Which rows of a unit a band has, and which tokens they see.
typedef struct band_span {
    size_t first, vectors;
    size_t first_position, last_position;
} band_span;

INLINE band_span span_of(const dkv_attention *a, const dkv_attention_unit *u, size_t index) {
    const size_t rows = u->rows * a->group, first = index * band_rows;
    const size_t last = rows < first + band_rows ? rows : first + band_rows;
    return (band_span){.first = first, .vectors = (last - first + VW - 1) / VW,
                       .first_position = u->position + first / a->group,
                       .last_position = u->position + (last - 1) / a->group};
}

/// Takes a chunk, whose pages are arranged from `pages` on, into a band.
INLINE void band_chunk(const size_t vectors, const dkv_attention *a, const dkv_attention_unit *u, size_t chunk, band_span s,
                       band *b, const int8_page *pages) {
    const size_t d = a->shape.head_dimension;
    UNROLL for (size_t v = 0; v < vectors; v++) {
        b->maximum[v] = v_set(DKV_EMPTY_MAXIMUM);
        b->sum[v] = v_zero();
    }
    memset(b->chunk, 0, d * band_rows * sizeof(float));
    for (size_t page = first_page_of(a, chunk, s.first_position); page < (chunk + 1) * chunk_pages; page++) {
        const size_t start = page * page_tokens;
        if (start > s.last_position) break;
        const int mask = dkv_first_seen(a, s.last_position) > start           ? mask_both
                         : start + page_tokens - 1 > s.first_position ? mask_later
                                                                      : mask_none;
        b->page = pages[page % chunk_pages];
        band_page(vectors, b, d, (int32_t)start, s.last_position + 1 - start, mask);
    }
    if (u->partial) write_band(a, u, s.first, vectors, b->chunk, NULL, b->maximum, b->sum);
    else merge_chunk(vectors, b, d);
}

/// Computes a unit of many rows. Its bands go through the context chunk by chunk, whose pages are arranged once.
static void attend_bands(const dkv_attention *a, const dkv_attention_unit *u, float *scratch) {
    const size_t d = a->shape.head_dimension, count = (u->rows * a->group + band_rows - 1) / band_rows;
    const size_t last_position = u->position + u->rows - 1;
    const band_memory memory = band_memory_in(scratch, d);
    band bands[DKV_UNIT_ROWS / band_rows];
    band_span spans[DKV_UNIT_ROWS / band_rows];
    for (size_t i = 0; i < count; i++) {
        spans[i] = span_of(a, u, i);
        bands[i] = band_in(memory, i, d);
        load_band(a, u, spans[i].first, spans[i].vectors, &bands[i]);
        for (size_t v = 0; v < band_vectors; v++) {
            bands[i].total_maximum[v] = v_set(DKV_EMPTY_MAXIMUM);
            bands[i].total_sum[v] = v_zero();
        }
        memset(bands[i].total, 0, d * band_rows * sizeof(float));
    }
    for (size_t chunk = u->first_chunk; chunk < u->last_chunk; chunk++) {
        int8_page pages[chunk_pages];
        for (size_t page = first_page_of(a, chunk, u->position); page < (chunk + 1) * chunk_pages; page++) {
            if (page * page_tokens > last_position) break;
            pages[page % chunk_pages] = page_in(memory.pages + page % chunk_pages * page_size(d), d);
            arrange_page(int8_head_of(a, u, page), d, &pages[page % chunk_pages]);
        }
        for (size_t i = 0; i < count; i++) {
            if (band_vectors >= 2 && spans[i].vectors == 1) band_chunk(1, a, u, chunk, spans[i], &bands[i], pages);
            else if (band_vectors >= 3 && spans[i].vectors == 2) band_chunk(2, a, u, chunk, spans[i], &bands[i], pages);
            else band_chunk(band_vectors, a, u, chunk, spans[i], &bands[i], pages);
        }
    }
    if (u->partial) return;
    for (size_t i = 0; i < count; i++) {
        V inverse[band_vectors];
        for (size_t v = 0; v < spans[i].vectors; v++) inverse[v] = v_inverse_if_positive(bands[i].total_sum[v]);
        write_band(a, u, spans[i].first, spans[i].vectors, bands[i].total, inverse, bands[i].total_maximum, bands[i].total_sum);
    }
}

// ---- Lanes are tokens and elements ----------------------------------------------------------------------------------

enum { few_rows = 4, most_few_rows = 8, token_vectors = page_tokens / VW };

/// The state of few rows.
typedef struct rows_state {
    int8_t (*queries)[DKV_MAX_HEAD_DIMENSION];  // codes
    float (*output)[DKV_MAX_HEAD_DIMENSION];
    float query_scale[few_rows], maximum[few_rows], sum[few_rows];
    int32_t query_sum[few_rows];                // Σ codes of the query
    int32_t visible[few_rows];                  // tokens of the page that the row sees or has seen
    int32_t hidden[few_rows];                   // of these, those that it no longer sees
} rows_state;

INLINE void score_rows(const size_t rows, const rows_state *s, int8_page p, size_t d, float (*scores)[page_tokens],
                       const char *next) {
    // As many tokens at once as leave registers for all rows.
    enum { vectors = token_vectors < 4 ? token_vectors : 4 };
    for (size_t first = 0; first < page_tokens; first += vectors * VW) {
        VI acc[few_rows * vectors];
        UNROLL for (size_t r = 0; r < rows; r++) {
            UNROLL for (size_t v = 0; v < vectors; v++) acc[r * vectors + v] = v_set_int(-128 * s->query_sum[r]);
        }
        for (size_t g = 0; g < d / 4; g++) {
            VI k[vectors];
            UNROLL for (size_t v = 0; v < vectors; v++) {
                k[v] = v_load_int((const int32_t *)p.keys + g * page_tokens + first + v * VW);
            }
            UNROLL for (size_t v = 0; v < vectors; v += 16 / VW) {
                prefetch(next + (g * page_tokens + first + v * VW) * 4);
            }
            UNROLL for (size_t r = 0; r < rows; r++) {
                const VI q = bytes_at(s->queries[r] + g * 4);
                UNROLL for (size_t v = 0; v < vectors; v++) acc[r * vectors + v] = v_dot(acc[r * vectors + v], k[v], q);
            }
        }
        UNROLL for (size_t r = 0; r < rows; r++) {
            UNROLL for (size_t v = 0; v < vectors; v++) {
                const V scale = v_load(p.key_scales + first + v * VW);
                const V score = v_mul(v_mul(v_from_int(acc[r * vectors + v]), scale), v_set(s->query_scale[r]));
                v_store(scores[r] + first + v * VW, score);
            }
        }
    }
}

/// One row's scores become codes; returns what a code is worth.
INLINE float soften_row(rows_state *s, size_t row, const float *value_scales, float *scores, uint8_t *codes, float *factor) {
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
        x[v] = v_mul(e, v_load(value_scales + v * VW));
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

INLINE void value_rows(const size_t rows, const size_t vectors, rows_state *s, const int8_t *values, size_t d,
                       size_t first, uint8_t (*codes)[page_tokens], size_t groups, const float *factor,
                       const float *worth, const char *next) {
    VI acc[few_rows * 4];
    UNROLL for (size_t i = 0; i < rows * vectors; i++) acc[i] = v_set_int(0);
    for (size_t g = 0; g < groups; g++) {
        VI x[4];
        UNROLL for (size_t v = 0; v < vectors; v++) {
            x[v] = v_load_int((const int32_t *)values + g * d + first + v * VW);
        }
        UNROLL for (size_t v = 0; v < vectors; v += 16 / VW) {
            prefetch(next + (g * d + first + v * VW) * 4);
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

/// The softmax and values of a page whose scores are there; `next` is as large as the page's values and asked for meanwhile.
INLINE void finish_page(const size_t rows, rows_state *s, int8_page p, size_t d, float (*scores)[page_tokens],
                        const char *next) {
    float factor[few_rows], worth[few_rows];
    uint8_t codes[few_rows][page_tokens];
    int32_t visible = 0;
    for (size_t r = 0; r < rows; r++) {
        worth[r] = soften_row(s, r, p.value_scales, scores[r], codes[r], &factor[r]);
        if (s->visible[r] > visible) visible = s->visible[r];
    }
    const size_t groups = visible >= page_tokens ? page_tokens / 4 : ((size_t)visible + 3) / 4;
    size_t i = 0;
    for (; i + 4 * VW <= d; i += 4 * VW) value_rows(rows, 4, s, p.values, d, i, codes, groups, factor, worth, next);
    for (; i < d; i += VW) value_rows(rows, 1, s, p.values, d, i, codes, groups, factor, worth, next);
}

/// A page, and requests for the next one, `next`.
INLINE void rows_page(const size_t rows, rows_state *s, int8_head h, size_t d, const char *next, float *scratch) {
    float scores[few_rows][page_tokens];
    int8_page p = page_in(scratch, d);
    arrange_page(h, d, &p);
    score_rows(rows, s, p, d, scores, next);
    for (size_t line = 0; line < 8; line++) prefetch(next + (2 * page_tokens * d + line * 64));
    finish_page(rows, s, p, d, scores, next + page_tokens * d);
}

/// Reads a unit's query heads from row `first` on.
INLINE void load_rows(const size_t rows, const dkv_attention *a, const dkv_attention_unit *u, size_t first, rows_state *s) {
    const size_t d = a->shape.head_dimension;
    for (size_t r = 0; r < rows; r++) {
        float spread[DKV_MAX_HEAD_DIMENSION];
        int8_spread(query_of(a, u, first + r), a->scale, d, spread);
        s->query_scale[r] = v_quantize(spread, d, s->queries[r]);
        s->query_sum[r] = sum_of(s->queries[r], d);
    }
}

/// Forgets what has been seen.
INLINE void clear_rows(const size_t rows, size_t d, rows_state *s) {
    for (size_t r = 0; r < rows; r++) {
        s->maximum[r] = DKV_EMPTY_MAXIMUM;
        s->sum[r] = 0;
        memset(s->output[r], 0, d * sizeof(float));
    }
}

/// Computes rows `first ..< first + rows` of a unit.
INLINE void attend_rows(const size_t rows, const dkv_attention *a, const dkv_attention_unit *u, size_t first,
                        float *scratch) {
    const size_t d = a->shape.head_dimension;
    int8_t queries[few_rows][DKV_MAX_HEAD_DIMENSION];
    float chunk_output[few_rows][DKV_MAX_HEAD_DIMENSION], total[few_rows][DKV_MAX_HEAD_DIMENSION];
    float maximum[few_rows], sum[few_rows];
    rows_state s = {.queries = queries, .output = chunk_output};
    load_rows(rows, a, u, first, &s);
    for (size_t r = 0; r < rows; r++) {
        maximum[r] = DKV_EMPTY_MAXIMUM;
        sum[r] = 0;
        memset(total[r], 0, d * sizeof(float));
    }
    const size_t first_position = u->position + first / a->group;
    const size_t last_position = u->position + (first + rows - 1) / a->group;
    for (size_t chunk = u->first_chunk; chunk < u->last_chunk; chunk++) {
        clear_rows(rows, d, &s);
        for (size_t page = first_page_of(a, chunk, first_position); page < (chunk + 1) * chunk_pages; page++) {
            if (page * page_tokens > last_position) break;
            for (size_t r = 0; r < rows; r++) {
                const size_t position = u->position + (first + r) / a->group;
                s.visible[r] = (int32_t)(position + 1) - (int32_t)(page * page_tokens);
                s.hidden[r] = (int32_t)dkv_first_seen(a, position) - (int32_t)(page * page_tokens);
            }
            const size_t next = (page + 1) * page_tokens <= last_position ? page + 1 : page;
            rows_page(rows, &s, int8_head_of(a, u, page), d, (const char *)int8_head_of(a, u, next).upper, scratch);
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

#include "attention_int8_sparse.h"

// ---- Units ----------------------------------------------------------------------------------------------------------

static void attend(const dkv_attention *a, const dkv_attention_unit *u, float *scratch) {
    const size_t rows = u->rows * a->group;
    if (u->kept > 0 && a->window == 0) {
        for (size_t first = 0; first < rows; first += few_rows) {
            switch (rows - first) {
                case 1: attend_sparsely(1, a, u, first, scratch); break;
                case 2: attend_sparsely(2, a, u, first, scratch); break;
                case 3: attend_sparsely(3, a, u, first, scratch); break;
                default: attend_sparsely(4, a, u, first, scratch); break;
            }
        }
        return;
    }
    if (rows <= most_few_rows) {
        for (size_t first = 0; first < rows; first += few_rows) {
            switch (rows - first) {
                case 1: attend_rows(1, a, u, first, scratch); break;
                case 2: attend_rows(2, a, u, first, scratch); break;
                case 3: attend_rows(3, a, u, first, scratch); break;
                default: attend_rows(4, a, u, first, scratch); break;
            }
        }
        return;
    }
    attend_bands(a, u, scratch);
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
