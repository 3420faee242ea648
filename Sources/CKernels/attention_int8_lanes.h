// SPDX-License-Identifier: Apache-2.0
// What bands multiply, in vectors: rows in lanes, keys and values broadcast. Included by attention_int8_bands.h.

enum {
    score_block = DKV_INT8_SCORE_BLOCK,  // tokens whose scores are in registers at once
    value_block = DKV_INT8_VALUE_BLOCK,  // elements whose sums are in registers at once
};

INLINE void begin_bands(void) {}
INLINE void end_bands(void) {}

/// Makes the values of an arranged page ready for products with signed weights.
INLINE void sum_values(int8_page p, size_t d, int32_t *sums) {
    for (size_t i = 0; i < d; i += VW) {
        VI sum = v_set_int(0);
        for (size_t g = 0; g < page_tokens / 4; g++) {
            int32_t *at = (int32_t *)p.values + g * d + i;
            const VI x = v_values(v_load_int(at));
            v_store_int(at, x);
            sum = v_add_bytes(sum, x);
        }
        v_store_int(sums + i, v_shift_left(sum, 7));
    }
}

INLINE void arrange_for_bands(int8_head h, size_t d, int8_page *to, int32_t *sums) {
    arrange_page(h, d, to);
    if (signed_codes) sum_values(*to, d, sums);
}

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
            UNROLL for (size_t v = 0; v < vectors; v++) acc[t * vectors + v] = v_dot_keys(acc[t * vectors + v], k, q[v]);
        }
    }
    UNROLL for (size_t t = 0; t < score_block; t++) {
        keep_scores(vectors, mask, b, first + t, position, acc + t * vectors, largest);
    }
}

INLINE void score_page(const size_t vectors, const int mask, const band *b, size_t d, int32_t position, V *largest) {
    for (size_t t = 0; t < page_tokens; t += score_block) score_tokens(vectors, mask, b, d, t, position, largest);
}

/// `value_block` elements from `first` on.
INLINE void add_values(const size_t vectors, const band *b, size_t d, size_t first, const V *factor, const V *worth) {
    VI acc[value_block * band_vectors];
    UNROLL for (size_t i = 0; i < value_block * vectors; i++) {
        acc[i] = v_set_int(signed_codes ? b->value_sums[first + i / vectors] : 0);
    }
    for (size_t g = 0; g < page_tokens / 4; g++) {
        VI p[band_vectors];
        UNROLL for (size_t v = 0; v < vectors; v++) p[v] = v_load_int(b->weights + g * band_rows + v * VW);
        UNROLL for (size_t i = 0; i < value_block; i++) {
            const VI x = bytes_at(b->page.values + (g * d + first + i) * 4);
            UNROLL for (size_t v = 0; v < vectors; v++) acc[i * vectors + v] = v_dot_values(acc[i * vectors + v], p[v], x);
        }
    }
    UNROLL for (size_t i = 0; i < value_block; i++) keep_values(vectors, b, first + i, acc + i * vectors, factor, worth);
}

INLINE void add_page_values(const size_t vectors, const band *b, size_t d, const V *factor, const V *worth) {
    for (size_t i = 0; i < d; i += value_block) add_values(vectors, b, d, i, factor, worth);
}
