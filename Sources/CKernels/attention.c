// SPDX-License-Identifier: Apache-2.0
// Attention over paged KV: how a tile of query rows walks its context. The arithmetic is in the kernel tables.
#include "attention_int8_internal.h"

/// A worker's scratch: one tile's queries, states and the buffers of a page step.
typedef struct tile_scratch {
    float *queries, *output, *chunk_output;     // [DKV_TILE_ROWS][d]
    float *scores;                              // [DKV_TILE_ROWS][DKV_PAGE_TOKENS]
    float *wide;                                // [2][DKV_PAGE_TOKENS · d]
} tile_scratch;

size_t dkv_attention_scratch(size_t d, size_t sparse_context) {
    const size_t pages = (sparse_context + DKV_PAGE_TOKENS - 1) / DKV_PAGE_TOKENS;
    return tile_scratch_size(d) + sparse_notes_size(pages * DKV_PAGE_TOKENS);
}

static tile_scratch scratch_of(const dkv_attention *a, size_t worker) {
    const size_t d = a->shape.head_dimension;
    float *base = a->scratch + worker * a->scratch_size;
    tile_scratch s = {.queries = base};
    s.output = s.queries + DKV_TILE_ROWS * d;
    s.chunk_output = s.output + DKV_TILE_ROWS * d;
    s.scores = s.chunk_output + DKV_TILE_ROWS * d;
    s.wide = s.scores + DKV_TILE_ROWS * DKV_PAGE_TOKENS;
    return s;
}

static void clear(float *maximum, float *sum, float *output, size_t rows, size_t d) {
    for (size_t i = 0; i < rows; i++) maximum[i] = DKV_EMPTY_MAXIMUM;
    for (size_t i = 0; i < rows; i++) sum[i] = 0;
    for (size_t i = 0; i < rows * d; i++) output[i] = 0;
}

static void gather_queries(const dkv_attention *a, const dkv_attention_unit *u, float *queries) {
    const size_t d = a->shape.head_dimension, n = a->group * d;
    for (size_t r = 0; r < u->rows; r++) {
        const float *q = a->queries + (u->row + r) * a->ldq + u->kv_head * n;
        for (size_t i = 0; i < n; i++) queries[r * n + i] = q[i] * a->scale;
    }
}

/// How many leading tokens of a page the row at `position` no longer sees.
static int32_t hidden_tokens(const dkv_attention *a, size_t position, size_t page) {
    const size_t first = dkv_first_seen(a, position), start = page * DKV_PAGE_TOKENS;
    return first <= start ? 0 : first - start < DKV_PAGE_TOKENS ? (int32_t)(first - start) : DKV_PAGE_TOKENS;
}

/// Reduces one chunk from an empty state. Pages that no row may see are not touched.
static void attend_chunk(const dkv_attention *a, const dkv_attention_unit *u, const tile_scratch *t, size_t chunk,
                         float *maximum, float *sum, float *output) {
    const size_t d = a->shape.head_dimension, plane = DKV_PAGE_TOKENS * d, tile = u->rows * a->group;
    const bool half = a->shape.type == DKV_KV_F16;
    const size_t bytes = half ? sizeof(uint16_t) : sizeof(float);
    const size_t keys = a->layer * 2 * a->shape.kv_heads + u->kv_head, values = keys + a->shape.kv_heads;
    const size_t last_position = u->position + u->rows - 1;
    const size_t first_seen = dkv_first_seen(a, u->position), first_page = first_seen / DKV_PAGE_TOKENS;
    int32_t valid[DKV_TILE_ROWS], hidden[DKV_TILE_ROWS];
    clear(maximum, sum, output, tile, d);
    dkv_page_step step = {
        .rows = tile, .head_dimension = d, .half = half, .queries = t->queries, .valid = valid,
        .maximum = maximum, .sum = sum, .output = output, .scores = t->scores, .wide = t->wide,
    };
    const size_t start = chunk * chunk_pages > first_page ? chunk * chunk_pages : first_page;
    for (size_t page = start; page < (chunk + 1) * chunk_pages; page++) {
        if (page * DKV_PAGE_TOKENS > last_position) break;
        const bool hides = dkv_first_seen(a, last_position) > page * DKV_PAGE_TOKENS;
        for (size_t i = 0; i < tile; i++) {
            int64_t seen = (int64_t)(u->position + i / a->group) + 1 - (int64_t)(page * DKV_PAGE_TOKENS);
            valid[i] = seen > DKV_PAGE_TOKENS ? DKV_PAGE_TOKENS : (int32_t)seen;
            hidden[i] = hides ? hidden_tokens(a, u->position + i / a->group, page) : 0;
        }
        step.hidden = hides ? hidden : NULL;
        step.keys = u->pages[page].slab + dkv_plane_of(u->pages[page], keys) * plane * bytes;
        step.values = u->pages[page].slab + dkv_plane_of(u->pages[page], values) * plane * bytes;
        a->kernels->attend_page(&step);
    }
}

static void write_row(const dkv_attention *a, size_t row, size_t head, const float *output, float sum) {
    const size_t d = a->shape.head_dimension;
    float *y = a->y + row * a->ldy + head * d;
    const float scale = sum > 0 ? 1.0f / sum : sum;  // a NaN stays one; nothing seen gives zeros
    for (size_t i = 0; i < d; i++) y[i] = output[i] * scale;
}

/// A partial result of one row is its output, then its maximum and sum.
static void write_partial(float *partial, size_t d, const float *output, float maximum, float sum) {
    for (size_t i = 0; i < d; i++) partial[i] = output[i];
    partial[d] = maximum;
    partial[d + 1] = sum;
}

void dkv_attention_task(void *context, size_t index, size_t worker) {
    const dkv_attention *a = context;
    const dkv_attention_unit *u = &a->units[index];
    if (a->shape.type == DKV_KV_INT8) {
        a->int8->attend(a, u, a->scratch + worker * a->scratch_size);
        return;
    }
    const tile_scratch t = scratch_of(a, worker);
    const size_t d = a->shape.head_dimension, tile = u->rows * a->group;
    float maximum[DKV_TILE_ROWS], sum[DKV_TILE_ROWS], chunk_maximum[DKV_TILE_ROWS], chunk_sum[DKV_TILE_ROWS];
    gather_queries(a, u, t.queries);
    clear(maximum, sum, t.output, tile, d);
    for (size_t chunk = u->first_chunk; chunk < u->last_chunk; chunk++) {
        attend_chunk(a, u, &t, chunk, chunk_maximum, chunk_sum, t.chunk_output);
        for (size_t i = 0; i < tile; i++) {
            float *later = t.chunk_output + i * d;
            if (u->partial) {
                write_partial(u->partial + i * (d + 2), d, later, chunk_maximum[i], chunk_sum[i]);
            } else {
                a->kernels->merge(d, &maximum[i], &sum[i], t.output + i * d, chunk_maximum[i], chunk_sum[i], later);
            }
        }
    }
    if (u->partial) return;
    for (size_t i = 0; i < tile; i++) {
        write_row(a, u->row + i / a->group, u->kv_head * a->group + i % a->group, t.output + i * d, sum[i]);
    }
}

void dkv_attention_fold_task(void *context, size_t index, size_t worker) {
    const dkv_attention *a = context;
    const dkv_attention_fold *f = &a->folds[index];
    const size_t d = a->shape.head_dimension, tile = f->rows * a->group;
    float *output = scratch_of(a, worker).output;
    for (size_t i = 0; i < tile; i++) {
        float maximum, sum;
        clear(&maximum, &sum, output, 1, d);
        for (size_t chunk = 0; chunk < f->chunks; chunk++) {
            const float *later = f->partials + (chunk * tile + i) * (d + 2);
            a->kernels->merge(d, &maximum, &sum, output, later[d], later[d + 1], later);
        }
        write_row(a, f->row + i / a->group, f->kv_head * a->group + i % a->group, output, sum);
    }
}
