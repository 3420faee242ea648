// SPDX-License-Identifier: Apache-2.0
// What bands multiply, in tiles of AMX: 16 tokens or elements with 16 rows, over 64 elements or tokens. Included by
// attention_int8_bands.h, with vectors of 16 lanes and heads of a multiple of 64 elements.
#include "tiles_amx.h"

_Static_assert(VW == tile_most_rows && page_tokens == tile_row_bytes, "tiles fit vectors and pages");

// Registers: 0 to 2 sums of the vectors of a band; 3 keys or values; 4 to 6 queries or weights of a band's vectors.

INLINE void begin_bands(void) {
    const tile_shapes shapes = whole_tiles();
    _tile_loadconfig(&shapes);
}

INLINE void end_bands(void) { _tile_release(); }

/// Tiles of four bytes of each of a band's rows, `[16][band_rows][4]`.
INLINE void load_band_tiles(const size_t vectors, const int32_t *from) {
    enum { ld = 4 * band_rows };
    _tile_loadd(4, from, ld);
    if (vectors > 1) _tile_loadd(5, from + VW, ld);
    if (vectors > 2) _tile_loadd(6, from + 2 * VW, ld);
}

INLINE void store_band_tiles(const size_t vectors, int32_t *to) {
    enum { ld = 4 * band_rows };
    _tile_stored(0, to, ld);
    if (vectors > 1) _tile_stored(1, to + VW, ld);
    if (vectors > 2) _tile_stored(2, to + 2 * VW, ld);
}

/// The keys of a page by tokens, `[page_tokens][d]`, and its values by elements, `[d][page_tokens]`.
INLINE void arrange_for_bands(int8_head h, size_t d, int8_page *to, int32_t *sums) {
    (void)sums;
    for (size_t first = 0; first < page_tokens; first += VW) {
        for (size_t start = 0; start < d / 8; start += VW) {
            const size_t words = d / 8 - start < VW ? d / 8 - start : VW;
            V upper[VW];
            UNROLL for (size_t j = 0; j < VW; j++) {
                upper[j] = j < words ? v_load((const float *)h.upper + (start + j) * page_tokens + first) : v_zero();
            }
            v_transpose(upper);
            UNROLL for (size_t lane = 0; lane < VW; lane++) {
                const uint8_t *from = h.lower + (first + lane) * d / 2 + start * 4;
                const VI both = v_bits(upper[lane]), lower = v_bits(v_load_first((const float *)from, words));
                float *key = (float *)(to->keys + (first + lane) * d + start * 4);
                v_store_first(key, v_as_float(v_join_halves(v_shift_left(both, 4), lower)), words);
                v_store_first(key + d / 8, v_as_float(v_join_halves(both, v_high_halves(lower))), words);
            }
        }
    }
    int8_t mixed[page_tokens * DKV_MAX_HEAD_DIMENSION];
    for (size_t t = 0; t < page_tokens; t += 4) {
        const int8_t *from[4];
        for (size_t j = 0; j < 4; j++) from[j] = h.values + (t + j) * d;
        mix_values(from, d, mixed + t * d);
    }
    for (size_t i = 0; i < d; i += VW) {
        V block[VW];
        UNROLL for (size_t g = 0; g < VW; g++) block[g] = v_load((const float *)mixed + g * d + i);
        v_transpose(block);
        UNROLL for (size_t lane = 0; lane < VW; lane++) {
            v_store((float *)(to->values + (i + lane) * page_tokens), block[lane]);
        }
    }
    to->scales = h.scales;
}

/// Products of a page's keys and a band's queries.
INLINE void multiply_keys(const size_t vectors, const band *b, size_t d, int32_t *products) {
    for (size_t t = 0; t < page_tokens; t += VW) {
        // With a stride of 0 each row is the same: what scores start from.
        _tile_loadd(0, &b->offset[0], 0);
        if (vectors > 1) _tile_loadd(1, &b->offset[1], 0);
        if (vectors > 2) _tile_loadd(2, &b->offset[2], 0);
        for (size_t i = 0; i < d; i += tile_row_bytes) {
            if (t == 0 || d > tile_row_bytes) load_band_tiles(vectors, b->queries + i / 4 * band_rows);
            _tile_loadd(3, b->page.keys + t * d + i, d);
            _tile_dpbusd(0, 3, 4);
            if (vectors > 1) _tile_dpbusd(1, 3, 5);
            if (vectors > 2) _tile_dpbusd(2, 3, 6);
        }
        store_band_tiles(vectors, products + t * band_rows);
    }
}

/// Products of `tile_row_bytes` elements of a page's values, from `first` on, and a band's weights.
INLINE void multiply_values(const size_t vectors, const band *b, size_t first, int32_t *products) {
    load_band_tiles(vectors, b->weights);
    for (size_t i = 0; i < tile_row_bytes; i += VW) {
        _tile_zero(0);
        if (vectors > 1) _tile_zero(1);
        if (vectors > 2) _tile_zero(2);
        _tile_loadd(3, b->page.values + (first + i) * page_tokens, page_tokens);
        _tile_dpbsud(0, 3, 4);
        if (vectors > 1) _tile_dpbsud(1, 3, 5);
        if (vectors > 2) _tile_dpbsud(2, 3, 6);
        store_band_tiles(vectors, products + i * band_rows);
    }
}

INLINE void score_page(const size_t vectors, const int mask, const band *b, size_t d, int32_t position, V *largest) {
    int32_t *products = (int32_t *)b->scores;
    multiply_keys(vectors, b, d, products);
    for (size_t t = 0; t < page_tokens; t++) {
        VI acc[band_vectors];
        UNROLL for (size_t v = 0; v < vectors; v++) acc[v] = v_load_int(products + t * band_rows + v * VW);
        keep_scores(vectors, mask, b, t, position, acc, largest);
    }
}

INLINE void add_page_values(const size_t vectors, const band *b, size_t d, const V *factor, const V *worth) {
    int32_t *products = (int32_t *)b->scores;
    for (size_t first = 0; first < d; first += tile_row_bytes) {
        multiply_values(vectors, b, first, products);
        for (size_t i = 0; i < tile_row_bytes; i++) {
            VI acc[band_vectors];
            UNROLL for (size_t v = 0; v < vectors; v++) acc[v] = v_load_int(products + i * band_rows + v * VW);
            keep_values(vectors, b, first + i, acc, factor, worth);
        }
    }
}
