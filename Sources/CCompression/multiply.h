// SPDX-License-Identifier: Apache-2.0
// Products of rows and a matrix in terms of `panel_dots`. Included after kernels.h, once per instruction set without tiles.

/// One or two panels of outputs for up to DKV_SEARCH_ROWS rows.
INLINE void multiply_panels(const dkv_matrix *m, size_t panel, size_t panels, const dkv_codes *x, size_t row, size_t count,
                            const float *add, size_t ld, float *const *y) {
    enum { width = 2 * DKV_LANES };
    const size_t step = DKV_LANES * m->inputs;
    const uint8_t *weights = m->panels + panel * step;
    const dkv_run first = x->runs[0], second = x->runs[1];
    const int8_t *codes = x->codes + row * x->columns;
    const int32_t *biases = x->biases + 2 * row;
    int32_t low[DKV_SEARCH_ROWS * width], high[DKV_SEARCH_ROWS * width];
    panel_dots(weights, step, panels, codes + first.first, x->columns, first.count, count, biases, 2, low, width);
    if (second.count > 0) {
        panel_dots(weights + first.count * DKV_LANES, step, panels, codes + second.first, x->columns, second.count, count,
                   biases + 1, 2, high, width);
    }
    finish_products(m, panel, panels, x, row, count, low, second.count > 0 ? high : NULL, true, add, ld, y);
}

static void multiply(const dkv_matrix *m, const dkv_codes *x, size_t rows, const float *add, size_t ld,
                     float *const *y) {
    enum { group = DKV_SEARCH_ROWS };
    const size_t all = m->outputs / DKV_LANES, step = DKV_LANES * m->inputs, groups = (rows + group - 1) / group;
    for (size_t panel = 0; panel < all; panel += 2) {
        const size_t panels = all - panel < 2 ? 1 : 2, left = all - panel - panels;
        for (size_t i = 0; i < groups; i++) {
            prefetch_share(m->panels + (panel + panels) * step, (left < 2 ? left : 2) * step, i, groups);
            // The last group is a whole one as well, whose first rows come out a second time.
            const size_t count = rows < group ? rows : group, row = i < groups - 1 ? i * group : rows - count;
            if (panels == 1) multiply_panels(m, panel, 1, x, row, count, add, ld, y);
            else multiply_panels(m, panel, 2, x, row, count, add, ld, y);
        }
    }
}
