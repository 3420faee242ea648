// SPDX-License-Identifier: Apache-2.0
// One row's attention to the ends of its context, in terms of a vector vocabulary (see kv_int8.h for what it computes).
// Included once per instruction set, by attention_int8.h.

/// Computes heads `first ..< first + rows` of a unit of one row that attends to the ends of its context.
INLINE void attend_ends(const size_t rows, const dkv_attention *a, const dkv_attention_unit *u, size_t first, float *scratch) {
    const size_t d = a->shape.head_dimension, tokens = u->position + 1, last = u->position / page_tokens;
    const size_t start = first_page_of_ends(u);
    int8_t queries[few_rows][DKV_MAX_HEAD_DIMENSION];
    float output[few_rows][DKV_MAX_HEAD_DIMENSION];
    rows_state s = {.queries = queries, .output = output};
    load_rows(rows, a, u, first, &s);
    clear_rows(rows, d, &s);
    for (size_t page = 0; page <= last; page = page == 0 && start > 1 ? start : page + 1) {
        const size_t next = page == 0 && start > 1 ? start : page < last ? page + 1 : page;
        for (size_t r = 0; r < rows; r++) {
            s.visible[r] = (int32_t)(page < start ? DKV_SPARSE_FIRST : tokens - page * page_tokens);
            s.hidden[r] = 0;
        }
        rows_page(rows, &s, int8_head_of(a, u, page), d, int8_head_of(a, u, next), scratch);
    }
    for (size_t r = 0; r < rows; r++) {
        float *y = result_of(a, u, first + r);
        const float inverse = inverse_of(s.sum[r]);
        for (size_t i = 0; i < d; i++) y[i] = output[r][i] * inverse;
    }
}
