// SPDX-License-Identifier: Apache-2.0
// Attention of few rows over int8 pages: lanes are tokens, then elements. Included once per instruction set, by attention_int8.h.

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

/// Asks for the first `d` lines of `next` meanwhile.
INLINE void score_rows(const size_t rows, const rows_state *s, int8_page p, size_t d, float (*scores)[page_tokens],
                       int8_head next) {
    enum { vectors = few_vectors };
    for (size_t first = 0; first < page_tokens; first += vectors * VW) {
        VI acc[few_rows * vectors];
        UNROLL for (size_t r = 0; r < rows; r++) {
            UNROLL for (size_t v = 0; v < vectors; v++) acc[r * vectors + v] = v_set_int(score_offset(s->query_sum[r]));
        }
        for (size_t g = 0; g < d / 4; g++) {
            VI k[vectors];
            UNROLL for (size_t v = 0; v < vectors; v++) {
                k[v] = v_load_int((const int32_t *)p.keys + g * page_tokens + first + v * VW);
            }
            UNROLL for (size_t v = 0; v < vectors; v += 16 / VW) {
                prefetch_line(next, d, (g * page_tokens + first + v * VW) / 16);
            }
            UNROLL for (size_t r = 0; r < rows; r++) {
                const VI q = bytes_at(s->queries[r] + g * 4);
                UNROLL for (size_t v = 0; v < vectors; v++) acc[r * vectors + v] = v_dot_keys(acc[r * vectors + v], k[v], q);
            }
        }
        UNROLL for (size_t r = 0; r < rows; r++) {
            UNROLL for (size_t v = 0; v < vectors; v++) {
                const V scale = v_key_scales(p.scales + first + v * VW);
                const V score = v_mul(v_mul(v_from_int(acc[r * vectors + v]), scale), v_set(s->query_scale[r]));
                v_store(scores[r] + first + v * VW, score);
            }
        }
    }
}

/// One row's scores become codes; returns what a code is worth.
INLINE float soften_row(rows_state *s, size_t row, const uint32_t *scales, float *scores, uint8_t *codes, float *factor) {
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
        x[v] = v_mul(e, v_value_scales(scales + v * VW));
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
                       const float *worth, const int8_head *next) {
    VI acc[few_rows * few_vectors], sums[few_vectors];
    UNROLL for (size_t i = 0; i < rows * vectors; i++) acc[i] = v_set_int(0);
    UNROLL for (size_t v = 0; v < vectors; v++) sums[v] = v_set_int(0);
    for (size_t g = 0; g < groups; g++) {
        VI x[few_vectors];
        UNROLL for (size_t v = 0; v < vectors; v++) {
            x[v] = v_values(v_load_int((const int32_t *)values + g * d + first + v * VW));
            if (signed_codes) sums[v] = v_add_bytes(sums[v], x[v]);
        }
        UNROLL for (size_t v = 0; v < vectors; v += 16 / VW) {
            if (next) prefetch_line(*next, d, d + (g * d + first + v * VW) / 16);
        }
        UNROLL for (size_t r = 0; r < rows; r++) {
            const VI p = v_weights(bytes_at(codes[r] + g * 4));
            UNROLL for (size_t v = 0; v < vectors; v++) acc[r * vectors + v] = v_dot_values(acc[r * vectors + v], p, x[v]);
        }
    }
    UNROLL for (size_t r = 0; r < rows; r++) {
        UNROLL for (size_t v = 0; v < vectors; v++) {
            float *o = s->output[r] + first + v * VW;
            const V scaled = v_mul(v_load(o), v_set(factor[r]));
            VI dot = acc[r * vectors + v];
            if (signed_codes) dot = v_add_int(dot, v_shift_left(sums[v], 7));
            v_store(o, v_fma(v_from_int(dot), v_set(worth[r]), scaled));
        }
    }
}

/// The softmax and values of a page whose scores are there. Asks for `d` lines of `next`, if there is one, after the first `d` meanwhile.
INLINE void finish_page(const size_t rows, rows_state *s, int8_page p, size_t d, float (*scores)[page_tokens],
                        const int8_head *next) {
    float factor[few_rows], worth[few_rows];
    uint8_t codes[few_rows][page_tokens];
    int32_t visible = 0;
    for (size_t r = 0; r < rows; r++) {
        worth[r] = soften_row(s, r, p.scales, scores[r], codes[r], &factor[r]);
        if (s->visible[r] > visible) visible = s->visible[r];
    }
    const size_t groups = visible >= page_tokens ? page_tokens / 4 : ((size_t)visible + 3) / 4;
    size_t i = 0;
    for (; i + few_vectors * VW <= d; i += few_vectors * VW) {
        value_rows(rows, few_vectors, s, p.values, d, i, codes, groups, factor, worth, next);
    }
    for (; i < d; i += VW) value_rows(rows, 1, s, p.values, d, i, codes, groups, factor, worth, next);
}

/// A page, and requests for the next one, `next`.
INLINE void rows_page(const size_t rows, rows_state *s, int8_head h, size_t d, int8_head next, float *scratch) {
    float scores[few_rows][page_tokens];
    int8_page p = page_in(scratch, d);
    arrange_page(h, d, &p);
    score_rows(rows, s, p, d, scores, next);
    for (size_t line = 2 * d; line < lines_of(d); line++) prefetch_line(next, d, line);
    finish_page(rows, s, p, d, scores, &next);
}

/// Reads a unit's query heads from row `first` on.
INLINE void load_rows(const size_t rows, const dkv_attention *a, const dkv_attention_unit *u, size_t first, rows_state *s) {
    const size_t d = a->shape.head_dimension;
    for (size_t r = 0; r < rows; r++) {
        float spread[DKV_MAX_HEAD_DIMENSION];
        v_spread(query_of(a, u, first + r), a->scale, d, spread);
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
            rows_page(rows, &s, int8_head_of(a, u, page), d, int8_head_of(a, u, next), scratch);
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
