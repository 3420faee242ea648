// SPDX-License-Identifier: Apache-2.0
// Search for reference pairs in terms of `dots`, which the including file defines. Included once per instruction set;
// the loops below become vector code of that set.
#include "CCompression.h"

/// The first place of the least of `norms − factor · dots + 2 · crossed` (crossed may be NULL).
INLINE uint32_t least(const int32_t *norms, const int32_t *dots, int32_t factor, const int32_t *crossed, size_t count) {
    int32_t best = INT32_MAX;
    if (crossed) {
        for (size_t i = 0; i < count; i++) {
            int32_t score = norms[i] - factor * dots[i] + 2 * crossed[i];
            best = score < best ? score : best;
        }
        for (size_t i = 0; i < count; i++) {
            if (norms[i] - factor * dots[i] + 2 * crossed[i] == best) return (uint32_t)i;
        }
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        int32_t score = norms[i] - factor * dots[i];
        best = score < best ? score : best;
    }
    for (size_t i = 0; i < count; i++) {
        if (norms[i] - factor * dots[i] == best) return (uint32_t)i;
    }
    return 0;
}

static void pair_search(const dkv_candidates *c, const int8_t *rows, size_t count, const size_t *limits,
                        int32_t *scratch, uint32_t *first, uint32_t *second) {
    size_t most = 0;
    for (size_t i = 0; i < count; i++) most = limits[i] > most ? limits[i] : most;
    const size_t panels = (most + DKV_LANES - 1) / DKV_LANES, width = panels * DKV_LANES;
    int32_t *direct = scratch, *crossed = scratch + DKV_SEARCH_ROWS * width;
    int8_t nearest[DKV_SEARCH_ROWS * c->columns];
    dots(c, rows, count, panels, direct, width);
    for (size_t i = 0; i < count; i++) {
        first[i] = least(c->norms, direct + i * width, 2, NULL, limits[i]);
        dkv_candidate_get(c, first[i], nearest + i * c->columns);
    }
    dots(c, nearest, count, panels, crossed, width);
    for (size_t i = 0; i < count; i++) {
        second[i] = least(c->norms, direct + i * width, 4, crossed + i * width, limits[i]);
    }
}
