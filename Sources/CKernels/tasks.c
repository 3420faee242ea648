// SPDX-License-Identifier: Apache-2.0
// Tasks of a transformer step other than attention: what one index of a pool run computes.
#include <string.h>

#include "CKernels.h"

static size_t blocks(size_t n, size_t block) { return (n + block - 1) / block; }

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

size_t dkv_linear_count(const dkv_linear *l) {
    return blocks(l->rows, l->row_block) * blocks(blocks(l->outputs, DKV_PANEL), l->panel_block);
}

void dkv_linear_task(void *context, size_t index, size_t worker) {
    (void)worker;
    const dkv_linear *l = context;
    const size_t row_blocks = blocks(l->rows, l->row_block), panels = blocks(l->outputs, DKV_PANEL);
    const size_t row = index % row_blocks * l->row_block, first = index / row_blocks * l->panel_block;
    const size_t rows = smaller(l->row_block, l->rows - row);
    for (size_t p = first; p < smaller(panels, first + l->panel_block); p++) {
        const size_t output = p * DKV_PANEL;
        l->kernels->linear_panel(l->x + row * l->ldx, l->ldx, rows, l->panels + p * l->inputs * DKV_PANEL, l->inputs,
                                 l->y + row * l->ldy + output, l->ldy, smaller(DKV_PANEL, l->outputs - output),
                                 l->accumulate);
    }
}

size_t dkv_rows_count(const dkv_rows *rows) { return blocks(rows->rows, rows->row_block); }

void dkv_norm_task(void *context, size_t index, size_t worker) {
    (void)worker;
    const dkv_rows *c = context;
    const size_t first = index * c->row_block;
    for (size_t r = first; r < smaller(c->rows, first + c->row_block); r++) {
        c->kernels->rms_norm(c->x + r * c->ldx, c->weight, c->epsilon, c->y + r * c->ldy, c->width);
    }
}

void dkv_swiglu_task(void *context, size_t index, size_t worker) {
    (void)worker;
    const dkv_rows *c = context;
    const size_t first = index * c->row_block;
    for (size_t r = first; r < smaller(c->rows, first + c->row_block); r++) {
        const float *gate = c->x + r * c->ldx;
        c->kernels->swiglu(gate, gate + c->width, c->y + r * c->ldy, c->width);
    }
}

size_t dkv_store_count(const dkv_store *store) { return blocks(store->rows, store->row_block); }

/// Writes one KV head's key as a column of its transposed page and its value as a row.
static void store_head(const dkv_store *s, const dkv_slot *at, size_t head, const float *key, const float *value) {
    const size_t d = s->shape.head_dimension, plane = DKV_PAGE_TOKENS * d;
    if (s->shape.type == DKV_KV_INT8) {
        s->int8->store(at->page, s->layer * s->shape.kv_heads + head, at->slot, d, key, value);
        return;
    }
    const size_t first = s->layer * 2 * s->shape.kv_heads + head;
    const size_t k = dkv_plane_of(at->page, first) * plane, v = dkv_plane_of(at->page, first + s->shape.kv_heads) * plane;
    if (s->shape.type == DKV_KV_F16) {
        uint16_t narrow[DKV_MAX_HEAD_DIMENSION], *slab = (uint16_t *)at->page.slab;
        s->kernels->narrow(key, narrow, d);
        for (size_t i = 0; i < d; i++) slab[k + i * DKV_PAGE_TOKENS + at->slot] = narrow[i];
        s->kernels->narrow(value, slab + v + at->slot * d, d);
    } else {
        float *slab = (float *)at->page.slab;
        for (size_t i = 0; i < d; i++) slab[k + i * DKV_PAGE_TOKENS + at->slot] = key[i];
        for (size_t i = 0; i < d; i++) slab[v + at->slot * d + i] = value[i];
    }
}

void dkv_store_task(void *context, size_t index, size_t worker) {
    (void)worker;
    const dkv_store *s = context;
    const size_t d = s->shape.head_dimension, first = index * s->row_block;
    for (size_t r = first; r < smaller(s->rows, first + s->row_block); r++) {
        float *q = s->qkv + r * s->ld, *k = q + s->heads * d, *v = k + s->shape.kv_heads * d;
        const float *cosine = s->rotation + r * d, *sine = cosine + d / 2;
        s->kernels->rope(q, s->heads + s->shape.kv_heads, d, cosine, sine);  // K follows Q in the row
        for (size_t h = 0; h < s->shape.kv_heads; h++) store_head(s, &s->slots[r], h, k + h * d, v + h * d);
    }
}

size_t dkv_store_layers_count(const dkv_store_layers *layers) {
    return layers->count > 0 ? layers->count * dkv_store_count(layers->stores) : 0;
}

void dkv_store_layers_task(void *context, size_t index, size_t worker) {
    const dkv_store_layers *layers = context;
    const size_t tasks = dkv_store_count(layers->stores);
    dkv_store_task((void *)&layers->stores[index / tasks], index % tasks, worker);
}

void dkv_store_rows(void *layers, size_t layer, size_t first, size_t count, const float *rows, size_t ld) {
    // Some heads' keys, turned in a place of their own.
    enum { room = 8 * DKV_MAX_HEAD_DIMENSION };
    float turned[room];
    const dkv_store *s = &((const dkv_store_layers *)layers)->stores[layer];
    const size_t d = s->shape.head_dimension, heads = s->shape.kv_heads, most = room / d;
    for (size_t r = 0; r < count; r++) {
        const float *keys = rows + r * ld, *values = keys + heads * d, *rotation = s->rotation + (first + r) * d;
        for (size_t h = 0; h < heads; h += most) {
            const size_t some = smaller(most, heads - h);
            memcpy(turned, keys + h * d, sizeof(float) * some * d);
            s->kernels->rope(turned, some, d, rotation, rotation + d / 2);
            for (size_t i = 0; i < some; i++) {
                store_head(s, &s->slots[first + r], h + i, turned + i * d, values + (h + i) * d);
            }
        }
    }
}
