// SPDX-License-Identifier: Apache-2.0
// Attention of many rows over int8 pages: lanes are rows. Included once per instruction set, by attention_int8.h.

enum {
    band_vectors = DKV_INT8_BAND_VECTORS,  // vectors of rows that walk the context together
    band_rows = band_vectors * VW,
};

/// The state of a band of rows; element-major, rows in lanes.
typedef struct band {
    int32_t *queries;           // [d / 4][band_rows]: four codes
    float *total;               // outputs [d][band_rows]
    V query_scale[band_vectors];
    VI offset[band_vectors];    // what scores start from
    VI position[band_vectors];  // the last token that a row sees
    VI first[band_vectors];     // the first token that a row sees
    V total_maximum[band_vectors], total_sum[band_vectors];
    // Of the chunk at hand.
    V maximum[band_vectors], sum[band_vectors];
    float *chunk;               // outputs [d][band_rows]
    // Of the page at hand.
    float *scores;              // [page_tokens][band_rows]; before that, and once weights are made, products of tiles
    int32_t *weights;           // [page_tokens / 4][band_rows]: four unsigned codes
    int8_page page;
    const int32_t *value_sums;  // [d]: 128 times the sums of values, with signed codes
} band;

_Static_assert(band_rows <= DKV_TILE_ROWS, "a band is a part of a tile");

/// The bands of a unit, in one worker's scratch: they share what lasts for a chunk only.
typedef struct band_memory {
    float *pages;   // [chunk_pages][page_size()]
    int32_t *sums;  // [chunk_pages][d]: of their values
    float *shared;  // chunk, scores and weights of a band
    float *own;     // [bands][band_size()]
} band_memory;

INLINE size_t band_size(size_t d) { return (d / 4 + d) * band_rows; }

INLINE band_memory band_memory_in(float *scratch, size_t d) {
    band_memory m = {.pages = scratch};
    m.sums = (int32_t *)(m.pages + chunk_pages * page_size(d));
    m.shared = m.pages + chunk_pages * (page_size(d) + d);
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
            v_spread(query_of(a, u, row), a->scale, d, spread);
            scales[lane] = v_quantize(spread, d, codes[lane]);
            offsets[lane] = score_offset(sum_of(codes[lane], d));
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

/// Scores of a token, of its products with a band's queries.
INLINE void keep_scores(const size_t vectors, const int mask, const band *b, size_t t, int32_t position, const VI *acc,
                        V *largest) {
    const V scale = v_set(int8_key_scale(b->page.scales[t]));
    const VI token = v_set_int(position + (int32_t)t);
    UNROLL for (size_t v = 0; v < vectors; v++) {
        V score = v_mul(v_mul(v_from_int(acc[v]), scale), b->query_scale[v]);
        if (mask != mask_none) score = v_unless_int_less(score, b->position[v], token, v_set(DKV_MASKED_SCORE));
        if (mask == mask_both) score = v_unless_int_less(score, token, b->first[v], v_set(DKV_MASKED_SCORE));
        v_store(b->scores + t * band_rows + v * VW, score);
        largest[v] = v_max(largest[v], score);
    }
}

/// `output = output · factor + products · worth` for an element, of the products of a band's weights with a page's values.
INLINE void keep_values(const size_t vectors, const band *b, size_t i, const VI *acc, const V *factor, const V *worth) {
    UNROLL for (size_t v = 0; v < vectors; v++) {
        float *o = b->chunk + i * band_rows + v * VW;
        v_store(o, v_fma(v_from_int(acc[v]), worth[v], v_mul(v_load(o), factor[v])));
    }
}

#ifdef HAS_TILES
#include "attention_int8_tiles.h"
#else
#include "attention_int8_lanes.h"
#endif

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
            const V w = v_mul(e, v_set(t < visible ? int8_value_scale(b->page.scales[t]) : 0));
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
        v_store_int(b->weights + g * band_rows + v * VW, v_weights(v_or(low, high)));
    }
    return v_mul(largest, v_set(1.0f / 255.0f));
}

INLINE void band_page(const size_t vectors, band *b, size_t d, int32_t position, size_t visible, int mask) {
    V largest[band_vectors], factor[band_vectors], worth[band_vectors];
    UNROLL for (size_t v = 0; v < vectors; v++) largest[v] = b->maximum[v];
    if (mask == mask_none) score_page(vectors, mask_none, b, d, position, largest);
    else if (mask == mask_later) score_page(vectors, mask_later, b, d, position, largest);
    else score_page(vectors, mask_both, b, d, position, largest);
    UNROLL for (size_t v = 0; v < vectors; v++) {
        V total;
        factor[v] = v_exp2(v_sub(b->maximum[v], largest[v]));
        b->maximum[v] = largest[v];
        worth[v] = round_weights(b, v, weigh(b, v, largest[v], visible, &total));
        b->sum[v] = v_fma(b->sum[v], factor[v], total);
    }
    add_page_values(vectors, b, d, factor, worth);
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
                       band *b, const int8_page *pages, const int32_t *sums) {
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
        b->value_sums = sums + page % chunk_pages * d;
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
    begin_bands();
    for (size_t chunk = u->first_chunk; chunk < u->last_chunk; chunk++) {
        int8_page pages[chunk_pages];
        for (size_t page = first_page_of(a, chunk, u->position); page < (chunk + 1) * chunk_pages; page++) {
            if (page * page_tokens > last_position) break;
            pages[page % chunk_pages] = page_in(memory.pages + page % chunk_pages * page_size(d), d);
            arrange_for_bands(int8_head_of(a, u, page), d, &pages[page % chunk_pages],
                              memory.sums + page % chunk_pages * d);
        }
        for (size_t i = 0; i < count; i++) {
            if (band_vectors >= 2 && spans[i].vectors == 1) band_chunk(1, a, u, chunk, spans[i], &bands[i], pages, memory.sums);
            else if (band_vectors >= 3 && spans[i].vectors == 2) band_chunk(2, a, u, chunk, spans[i], &bands[i], pages, memory.sums);
            else band_chunk(band_vectors, a, u, chunk, spans[i], &bands[i], pages, memory.sums);
        }
    }
    end_bands();
    if (u->partial) return;
    for (size_t i = 0; i < count; i++) {
        V inverse[band_vectors];
        for (size_t v = 0; v < spans[i].vectors; v++) inverse[v] = v_inverse_if_positive(bands[i].total_sum[v]);
        write_band(a, u, spans[i].first, spans[i].vectors, bands[i].total, inverse, bands[i].total_maximum, bands[i].total_sum);
    }
}
