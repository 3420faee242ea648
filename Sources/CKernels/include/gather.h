// SPDX-License-Identifier: Apache-2.0
// Attention of one query row over chosen tokens, for comparing ways to choose them. All values are fp32.
//
// Each sum runs in 16 lanes over ascending tokens (or dimensions), which are added pairwise at the end: results depend on
// the instruction set only, and there in the last bits.
#ifndef DELTAKV_GATHER_H
#define DELTAKV_GATHER_H

#include "CKernels.h"

/// The query heads that share a KV head, against rows of that head.
typedef struct dkv_gather {
    size_t group;               // query heads
    size_t head_dimension;      // a multiple of 16
    const float *queries;       // [group][head_dimension], rotated, not scaled
    const float *keys;          // row t begins at keys + t * stride
    const float *values;        // row t begins at values + t * stride
    size_t stride;
    const int32_t *tokens;      // the rows to attend to, at least one
    size_t count;
    float *probabilities;       // [group][count]: what each token gets
    float *output;              // [group][head_dimension]
} dkv_gather;

/// Softmax attention over the chosen rows.
void dkv_gather_attend(dkv_isa isa, const dkv_gather *gather);

/// For each page the largest score that a key within the page's bounds could have, the largest over the query heads
/// (Tang et al., Quest, arXiv 2406.10774, section 3.3): bounds are `[pages][smallest | largest]`, 2 * head_dimension a page.
void dkv_page_bounds(dkv_isa isa, size_t group, size_t head_dimension, const float *queries, const float *bounds,
                     size_t pages, float *scores);

#endif
