// SPDX-License-Identifier: Apache-2.0
// Search for reference pairs, and what products have in common. Included once per instruction set; the loops below become vector
// code of that set. The including file has
//   panel_dots   to[row][lane] = bias[row] + Σ row · lane over the first columns of one panel, or of two that are `step` bytes
//                apart, for up to DKV_SEARCH_ROWS rows
//   begin_dots   what comes before the calls for a number of rows, and `end_dots` after them
#include <stdbool.h>
#include <string.h>

#include "CCompression.h"

// A product and a sum that are rounded once, where a set can do that, would give other bits than elsewhere.
#pragma STDC FP_CONTRACT OFF

/// The first place of the least of `norms − factor · dots + 2 · crossed` (crossed may be NULL).
INLINE uint32_t least(const int32_t *norms, const int32_t *dots, int32_t factor, const int32_t *crossed, size_t count) {
    enum { lanes = 16 };
    // Each lane keeps the first of its own, so that nothing is looked for afterwards.
    int32_t best[lanes];
    uint32_t at[lanes];
    for (size_t l = 0; l < lanes; l++) {
        best[l] = INT32_MAX;
        at[l] = 0;
    }
    size_t i = 0;
    for (; i + lanes <= count; i += lanes) {
        for (size_t l = 0; l < lanes; l++) {
            const int32_t score = norms[i + l] - factor * dots[i + l] + (crossed ? 2 * crossed[i + l] : 0);
            const bool better = score < best[l];
            best[l] = better ? score : best[l];
            at[l] = better ? (uint32_t)(i + l) : at[l];
        }
    }
    size_t winner = 0;
    for (size_t l = 1; l < lanes; l++) {
        const bool better = best[l] < best[winner] || (best[l] == best[winner] && at[l] < at[winner]);
        winner = better ? l : winner;
    }
    int32_t score = best[winner];
    uint32_t first = at[winner];
    for (; i < count; i++) {
        const int32_t last = norms[i] - factor * dots[i] + (crossed ? 2 * crossed[i] : 0);
        first = last < score ? (uint32_t)i : first;
        score = last < score ? last : score;
    }
    return first;
}

/// `to[row][candidate]`: products of rows with all candidates of the first panels, over the searched columns.
INLINE void dots(const dkv_candidates *c, const int8_t *rows, size_t ld, size_t count, size_t panels, int32_t *to,
                 size_t width) {
    int32_t bias[DKV_SEARCH_ROWS];
    for (size_t r = 0; r < count; r++) {
        int32_t sum = 0;
        for (size_t k = 0; k < c->searched; k++) sum += rows[r * ld + k];
        bias[r] = -128 * sum;
    }
    const size_t step = DKV_LANES * c->searched;
    for (size_t p = 0; p < panels; p += 2) {
        panel_dots(c->panels + p * step, step, panels - p < 2 ? 1 : 2, rows, ld, c->searched, count, bias, 1,
                   to + p * DKV_LANES, width);
    }
}

static void pair_search(const dkv_candidates *c, const int8_t *rows, size_t count, const size_t *limits,
                        int32_t *scratch, uint32_t *first, uint32_t *second) {
    size_t most = 0;
    for (size_t i = 0; i < count; i++) most = limits[i] > most ? limits[i] : most;
    const size_t panels = (most + DKV_LANES - 1) / DKV_LANES, width = panels * DKV_LANES;
    int32_t *direct = scratch, *crossed = scratch + DKV_SEARCH_ROWS * width;
    int8_t nearest[DKV_SEARCH_ROWS * c->searched];
    begin_dots(count);
    dots(c, rows, c->columns, count, panels, direct, width);
    for (size_t i = 0; i < count; i++) {
        first[i] = least(c->norms, direct + i * width, 2, NULL, limits[i]);
        memcpy(nearest + i * c->searched, dkv_candidate_row(c, first[i]), c->searched);
    }
    dots(c, nearest, c->searched, count, panels, crossed, width);
    end_dots();
    for (size_t i = 0; i < count; i++) {
        second[i] = least(c->norms, direct + i * width, 4, crossed + i * width, limits[i]);
    }
}

/// What becomes of sums of products of one or two panels with `count` rows, `[count][2 · DKV_LANES]`; `high` is NULL where the
/// second run is empty. Sums of tiles lack the bias.
INLINE void finish_products(const dkv_matrix *m, size_t panel, size_t panels, const dkv_codes *x, size_t row, size_t count,
                            const int32_t *low, const int32_t *high, const bool biased, const float *add, size_t ld,
                            float *const *y) {
    enum { width = 2 * DKV_LANES };
    const size_t outputs = panels * DKV_LANES;
    const float *scales = m->scales + panel * DKV_LANES;
    for (size_t r = 0; r < count; r++) {
        const int32_t *bias = x->biases + 2 * (row + r), first = biased ? 0 : bias[0], second = biased ? 0 : bias[1];
        float *to = y[row + r] + panel * DKV_LANES, sums[width];
        for (size_t i = 0; i < outputs; i++) sums[i] = (float)(low[r * width + i] + first) * x->scales[2 * (row + r)];
        if (high) {
            const float scale = x->scales[2 * (row + r) + 1];
            for (size_t i = 0; i < outputs; i++) sums[i] += (float)(high[r * width + i] + second) * scale;
        }
        for (size_t i = 0; i < outputs; i++) sums[i] *= scales[i];
        if (add) {
            const float *from = add + (row + r) * ld + panel * DKV_LANES;
            for (size_t i = 0; i < outputs; i++) sums[i] += from[i];
        }
        for (size_t i = 0; i < outputs; i++) to[i] = sums[i];
    }
}

/// Asks for a share of the panels that come next, so that their way from memory does not show.
INLINE void prefetch_share(const uint8_t *next, size_t bytes, size_t part, size_t parts) {
    const size_t share = (bytes + parts - 1) / parts, end = (part + 1) * share < bytes ? (part + 1) * share : bytes;
    for (size_t i = part * share; i < end; i += 64) __builtin_prefetch(next + i, 0, 2);
}
