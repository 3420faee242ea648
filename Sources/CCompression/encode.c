// SPDX-License-Identifier: Apache-2.0
// Coding of rows: a task takes a few through all layers, so that nothing but references is waited for.
#include "fine.h"
#include "layer.h"

/// Memory of a task.
typedef struct encoder {
    dkv_block block;
    int16_t *fine;           // [rows][columns]
    int8_t *units;           // [rows][columns]
    int16_t *values;         // [rows][columns]
    int16_t *residual;       // [columns]
    int32_t *search;
} encoder;

enum { search_rows = DKV_SEARCH_ROWS };

size_t dkv_encode_scratch(const dkv_layer *layer, size_t candidates) {
    const size_t width = (candidates + DKV_LANES - 1) / DKV_LANES * DKV_LANES;
    return dkv_block_bytes(layer) + search_rows * (5 * layer->elements + 8 * width) + 2 * layer->elements + 5 * 64;
}

static encoder encoder_make(const dkv_encode *e, uint8_t *memory) {
    // No layer has more coefficients than elements.
    const size_t columns = e->layers[0].layer->elements;
    dkv_arena arena = {memory};
    encoder made = {.block = dkv_block_make(e->isa, e->layers[0].layer, &arena)};
    made.fine = take(&arena, 2 * search_rows * columns);
    made.units = take(&arena, search_rows * columns);
    made.values = take(&arena, 2 * search_rows * columns);
    made.residual = take(&arena, 2 * columns);
    made.search = (int32_t *)arena.at;
    return made;
}

/// Rounds to whole fine units, ties to even.
INLINED void to_fine(const float *restrict x, int16_t *restrict fine, int8_t *restrict units, size_t columns) {
    for (size_t i = 0; i < columns; i++) {
        float value = x[i] < -DKV_FINE_LIMIT ? -DKV_FINE_LIMIT : x[i];
        value = value > DKV_FINE_LIMIT ? DKV_FINE_LIMIT : value;
        const int32_t whole = (int32_t)__builtin_rintf(value);
        fine[i] = (int16_t)whole;
        units[i] = to_unit(whole);
    }
}

/// Quantises what the prediction leaves; `q` gets zeros in columns that are not coded.
INLINED void quantise(const dkv_mode *mode, const int16_t *restrict fine, const int8_t *restrict a, const int8_t *restrict b,
                      int16_t *restrict residual, int16_t *restrict q, size_t columns) {
    const int32_t factor = (65536 + mode->step - 1) / mode->step, rounding = mode->rounding;
    const uint8_t *restrict classes = mode->classes;
    for (size_t i = 0; i < columns; i++) {
        const int difference = limited(fine[i] - predicted(a, b, i), 2 * DKV_FINE_LIMIT);
        residual[i] = (int16_t)difference;
        const int magnitude = (difference < 0 ? -difference : difference) + rounding;
        const int whole = classes[i] ? (magnitude * factor) >> 16 : 0;
        q[i] = (int16_t)(difference < 0 ? -whole : whole);
    }
}

/// A row as its decoder will see it, and as a candidate.
INLINED void restore(const dkv_mode *mode, const int16_t *restrict q, const int8_t *restrict a, const int8_t *restrict b,
                     float *restrict row, int8_t *restrict units, size_t columns) {
    const int8_t *restrict shifts = mode->shifts;
    const int step = mode->step;
    for (size_t i = 0; i < columns; i++) {
        const int fine = predicted(a, b, i) + dkv_fine(q[i], step, shifts[2 * i], shifts[2 * i + 1]);
        row[i] = (float)fine;
        units[i] = to_unit(fine);
    }
}

/// Writes a few rows, and turns their coefficients into what decoding will give.
INLINED void code(const dkv_encode *e, const dkv_encode_layer *l, const encoder *m, size_t start, size_t count) {
    const dkv_layer *layer = l->layer;
    const dkv_mode *mode = e->references ? &layer->references : &layer->rows;
    const size_t columns = layer->columns, limit = dkv_row_limit(columns);
    float *coefficients = m->block.coefficients + start * columns;
    const uint32_t *list = m->block.list + start;
    size_t limits[search_rows];
    uint32_t first[search_rows], second[search_rows];
    dkv_plain_row rows[search_rows];
    for (size_t i = 0; i < count; i++) {
        limits[i] = visible(layer, e->position + list[i]);
        to_fine(coefficients + i * columns, m->fine + i * columns, m->units + i * columns, columns);
    }
    dkv_pair_search(e->isa, &l->candidates, m->units, count, limits, m->search, first, second);
    for (size_t i = 0; i < count; i++) {
        const int8_t *a = dkv_candidate_row(&l->candidates, first[i]), *b = dkv_candidate_row(&l->candidates, second[i]);
        int16_t *q = m->values + i * columns;
        quantise(mode, m->fine + i * columns, a, b, m->residual, q, columns);
        if (e->residuals) memcpy(e->residuals + list[i] * columns, m->residual, 2 * columns);
        if (e->values) memcpy(e->values + list[i] * columns, q, 2 * columns);
        restore(mode, q, a, b, coefficients + i * columns, m->units + i * columns, columns);
        rows[i] = (dkv_plain_row){
            .values = q, .pair = dkv_pair_number(first[i], second[i]), .pair_bits = dkv_pair_bits(limits[i]),
            .end = l->coded + (list[i] + 1) * limit,
        };
    }
    for (size_t i = 0; i < count; i += DKV_ROWS_AT_ONCE) {
        dkv_rows_encode(layer->tables, mode, columns, rows + i, smaller(DKV_ROWS_AT_ONCE, count - i));
    }
    for (size_t i = 0; i < count; i++) {
        l->lengths[list[i]] = (uint16_t)rows[i].length;
        if (!e->references) continue;
        const size_t number = layer->prototypes + dkv_references_before(layer, e->position + list[i]);
        dkv_candidate_set(&l->candidates, number, m->units + i * columns);
    }
}

/// Keeps the first rows of a sequence in half precision.
static void keep_sinks(const dkv_encode *e, const dkv_encode_layer *l, const dkv_block *b) {
    const size_t n = l->layer->elements;
    for (size_t i = 0; i < b->count; i++) {
        if (e->position + b->list[i] >= l->layer->sinks) continue;
        const float *from = l->exact.base + b->list[i] * l->exact.ld;
        for (size_t k = 0; k < n; k++) l->sinks[b->list[i] * n + k] = dkv_to_half(from[k]);
    }
}

static void restore_sinks(const dkv_encode *e, const dkv_encode_layer *l, const dkv_block *b, const dkv_plane *decoded) {
    const size_t n = l->layer->elements;
    for (size_t i = 0; i < b->count; i++) {
        if (e->position + b->list[i] >= l->layer->sinks) continue;
        dkv_from_halves(l->sinks + b->list[i] * n, decoded->base + b->list[i] * decoded->ld, n);
    }
}

CLONED void dkv_encode_task(void *context, size_t index, size_t worker) {
    const dkv_encode *e = context;
    encoder m = encoder_make(e, e->scratch + worker * e->scratch_size);
    m.block.list = e->list + index * e->block;
    m.block.count = smaller(e->block, e->count - index * e->block);
    for (size_t i = 0; i < e->layer_count; i++) {
        const dkv_encode_layer *l = &e->layers[i];
        dkv_block_predict(&m.block, l->layer, e->decoded + i);
        if (!dkv_block_forward(&m.block, l->layer, &l->exact)) note(e->failed, (uint32_t)i);
        for (size_t start = 0; start < m.block.count; start += search_rows) {
            code(e, l, &m, start, smaller(search_rows, m.block.count - start));
        }
        keep_sinks(e, l, &m.block);
        if (!e->decoded[i].base) continue;
        dkv_block_inverse(&m.block, l->layer, e->decoded + i);
        restore_sinks(e, l, &m.block, e->decoded + i);
    }
}

size_t dkv_rows_gather(const uint8_t *coded, size_t limit, const uint16_t *lengths, size_t rows, uint8_t *to,
                       uint8_t *short_lengths) {
    uint8_t *at = to;
    for (size_t i = 0; i < rows; i++) {
        const size_t length = lengths[i];
        short_lengths[i] = (uint8_t)smaller(length, 255);
        if (length >= 255) {
            *at++ = (uint8_t)length;
            *at++ = (uint8_t)(length >> 8);
        }
        memcpy(at, coded + (i + 1) * limit - length, length);
        at += length;
    }
    return (size_t)(at - to);
}

size_t dkv_encode_count(const dkv_encode *e) { return (e->count + e->block - 1) / e->block; }
