// SPDX-License-Identifier: Apache-2.0
// Decoding of rows: a task takes a few through all layers.
#include "layer.h"

/// A layer, and those that it may be predicted from.
enum { kept_layers = DKV_SOURCES + 1 };

/// Memory of a task.
typedef struct decoder {
    dkv_block block;
    int16_t *residuals;      // [DKV_DECODED_AT_ONCE + 1][columns], the last for a reference that a row needs
    int8_t *first, *second;  // [columns]
    float *ring[kept_layers];// [DKV_BLOCK_ROWS][elements]: the last layers, where nobody else keeps them
} decoder;

size_t dkv_decode_scratch(const dkv_layer *layer) {
    return dkv_block_bytes(layer) + (2 * (DKV_DECODED_AT_ONCE + 1) + 2 + 4 * kept_layers * DKV_BLOCK_ROWS) * layer->elements
        + (3 + kept_layers) * 64;
}

static decoder decoder_make(const dkv_decode *d, uint8_t *memory) {
    // No layer has more coefficients than elements.
    const size_t columns = d->layers[0].layer->elements;
    dkv_arena arena = {memory};
    decoder made = {.block = dkv_block_make(d->isa, d->layers[0].layer, &arena)};
    made.residuals = take(&arena, 2 * (DKV_DECODED_AT_ONCE + 1) * columns);
    made.first = take(&arena, columns);
    made.second = take(&arena, columns);
    for (size_t i = 0; i < kept_layers; i++) made.ring[i] = take(&arena, 4 * DKV_BLOCK_ROWS * columns);
    return made;
}

/// The row that became the reference of a number.
static size_t reference_position(const dkv_layer *layer, size_t number) {
    return number < layer->sinks ? number : layer->sinks + (number - layer->sinks) * layer->stride;
}

/// Bytes of the row at `at`, moved past its long length if it has one. Returns false where that leads outside.
static bool measure(const dkv_history *h, size_t row, size_t *at, size_t *length) {
    *length = h->lengths[row];
    if (*length < 255) return true;
    if (*at + 2 > h->byte_count) return false;
    *length = h->bytes[*at] | (size_t)h->bytes[*at + 1] << 8;
    *at += 2;
    return true;
}

/// Where the coded row of a position lies; nothing where the lengths lead outside the bytes.
static dkv_coded_row locate(const dkv_decode_layer *l, size_t position, int16_t *residual) {
    const dkv_history *h = &l->history;
    dkv_coded_row row = {
        .mode = dkv_is_reference(l->layer, position) ? &l->layer->references : &l->layer->rows,
        .pair_bits = dkv_pair_bits(visible(l->layer, position)), .residual = residual,
    };
    size_t at = h->offsets[position / DKV_GROUP], length;
    for (size_t i = position / DKV_GROUP * DKV_GROUP; i < position; i++) {
        if (!measure(h, i, &at, &length)) return row;
        at += length;
    }
    if (!measure(h, position, &at, &length) || at > h->byte_count || length > h->byte_count - at) return row;
    row.bytes = h->bytes + at;
    row.length = length;
    return row;
}

/// The candidates of a decoded row, if it is one.
typedef struct row_pair {
    uint32_t first, second;
    bool sound;
} row_pair;

static row_pair pair_of(const dkv_layer *layer, const dkv_coded_row *row, size_t position) {
    row_pair pair;
    dkv_pair_split(row->pair, &pair.first, &pair.second);
    const size_t limit = visible(layer, position);
    pair.sound = row->sound && pair.first < limit && pair.second < limit;
    return pair;
}

static bool restore_reference(const dkv_decode_layer *l, const dkv_coded_row *row, size_t position, int8_t *to) {
    const size_t columns = l->layer->columns;
    const row_pair pair = pair_of(l->layer, row, position);
    if (!pair.sound) return false;
    const int8_t *a = dkv_candidate_row(&l->candidates, pair.first), *b = dkv_candidate_row(&l->candidates, pair.second);
    for (size_t i = 0; i < columns; i++) to[i] = to_unit(predicted(a, b, i) + row->residual[i]);
    return true;
}

/// A candidate, which is decoded, to `to`, where it is a reference that nobody keeps; NULL if it is no row.
static const int8_t *candidate(const dkv_decode *d, const dkv_decode_layer *l, uint32_t number, int16_t *residual,
                               int8_t *to) {
    const dkv_layer *layer = l->layer;
    if (d->whole || number < layer->prototypes) return dkv_candidate_row(&l->candidates, number);
    const size_t position = reference_position(layer, number - layer->prototypes);
    dkv_coded_row row = locate(l, position, residual);
    dkv_rows_decode(d->isa, layer->tables, layer->columns, &row, 1);
    return restore_reference(l, &row, position, to) ? to : NULL;
}

INLINED void add_pair(const int8_t *restrict a, const int8_t *restrict b, const int16_t *restrict residual,
                      float *restrict to, size_t columns) {
    BY_32 for (size_t i = 0; i < columns; i++) to[i] = (float)(predicted(a, b, i) + residual[i]);
}

/// A decoded reference as a candidate.
INLINED void to_units(const float *restrict fine, int8_t *restrict to, size_t columns) {
    BY_32 for (size_t i = 0; i < columns; i++) to[i] = to_unit((int)fine[i]);
}

/// Asks for the candidates of a row that comes later. They lie anywhere in a table that is larger than the nearest caches.
INLINED void prefetch_pair(const dkv_decode_layer *l, const row_pair *pair) {
    if (!pair->sound) return;
    const int8_t *a = dkv_candidate_row(&l->candidates, pair->first), *b = dkv_candidate_row(&l->candidates, pair->second);
    for (size_t i = 0; i < l->layer->columns; i += 64) {
        __builtin_prefetch(a + i);
        __builtin_prefetch(b + i);
    }
}

INLINED bool restore_row(const dkv_decode *d, const dkv_decode_layer *l, const decoder *m, const dkv_coded_row *row,
                         const row_pair *pair, float *to) {
    const size_t columns = l->layer->columns;
    int16_t *other = m->residuals + DKV_DECODED_AT_ONCE * columns;
    if (!pair->sound) return false;
    const int8_t *a = candidate(d, l, pair->first, other, m->first), *b = candidate(d, l, pair->second, other, m->second);
    if (!a || !b) return false;
    add_pair(a, b, row->residual, to, columns);
    return true;
}

/// Reads rows' coefficients; references become candidates. Returns false where one is no row.
INLINED bool read(const dkv_decode *d, const dkv_decode_layer *l, const decoder *m, const uint32_t *positions) {
    const dkv_layer *layer = l->layer;
    const size_t columns = layer->columns;
    bool sound = true;
    enum { ahead = 6 };
    dkv_coded_row rows[DKV_DECODED_AT_ONCE];
    row_pair pairs[DKV_DECODED_AT_ONCE];
    for (size_t first = 0; first < m->block.count; first += DKV_DECODED_AT_ONCE) {
        const size_t count = smaller(DKV_DECODED_AT_ONCE, m->block.count - first);
        for (size_t k = 0; k < count; k++) rows[k] = locate(l, positions[first + k], m->residuals + k * columns);
        dkv_rows_decode(d->isa, layer->tables, columns, rows, count);
        for (size_t k = 0; k < count; k++) pairs[k] = pair_of(layer, &rows[k], positions[first + k]);
        for (size_t k = 0; k < count; k++) {
            float *to = m->block.coefficients + (first + k) * columns;
            if (d->whole && k + ahead < count) prefetch_pair(l, &pairs[k + ahead]);
            if (!restore_row(d, l, m, &rows[k], &pairs[k], to)) {
                memset(to, 0, 4 * columns);
                sound = false;
            } else if (d->references) {
                to_units(to, m->first, columns);
                const size_t number = dkv_references_before(layer, positions[first + k]);
                dkv_candidate_set(&l->candidates, layer->prototypes + number, m->first);
            }
        }
    }
    return sound;
}

static void restore_sinks(const dkv_decode_layer *l, const dkv_block *b, const uint32_t *positions,
                          const dkv_plane *decoded) {
    const size_t n = l->layer->elements;
    for (size_t i = 0; i < b->count; i++) {
        if (positions[i] >= l->layer->sinks) continue;
        dkv_from_halves(l->history.sinks + positions[i] * n, decoded->base + b->list[i] * decoded->ld, n);
    }
}

/// Decodes a layer's rows of a block whose coefficients have been read; the layers before stand before `decoded`.
static void restore(const dkv_decode_layer *l, const dkv_block *b, const uint32_t *positions, const dkv_plane *decoded) {
    dkv_block_predict(b, l->layer, decoded);
    dkv_block_inverse(b, l->layer, decoded);
    restore_sinks(l, b, positions, decoded);
}

/// The same for rows that nobody keeps.
static void hand_over(const dkv_decode *d, size_t layer, const decoder *m, const uint32_t *positions, size_t first) {
    const dkv_decode_layer *l = &d->layers[layer];
    uint32_t places[DKV_BLOCK_ROWS];
    for (uint32_t i = 0; i < m->block.count; i++) places[i] = i;
    dkv_block block = m->block;
    block.list = places;
    // The farthest first, this layer last.
    dkv_plane planes[kept_layers];
    for (size_t k = 0; k < kept_layers; k++) {
        planes[k] = (dkv_plane){m->ring[(layer + 1 + k) % kept_layers], l->layer->elements};
    }
    const dkv_plane *decoded = &planes[kept_layers - 1];
    restore(l, &block, positions, decoded);
    d->sink(d->sink_context, layer, first, block.count, decoded->base, decoded->ld);
}

CLONED void dkv_decode_task(void *context, size_t index, size_t worker) {
    const dkv_decode *d = context;
    decoder m = decoder_make(d, d->scratch + worker * d->scratch_size);
    const uint32_t *positions = d->positions + index * d->block;
    m.block.list = d->list + index * d->block;
    m.block.count = smaller(d->block, d->count - index * d->block);
    for (size_t i = 0; i < d->layer_count; i++) {
        const dkv_decode_layer *l = &d->layers[i];
        if (!read(d, l, &m, positions)) note(d->failed, (uint32_t)i);
        if (d->decoded) restore(l, &m.block, positions, d->decoded + i);
        else if (d->sink) hand_over(d, i, &m, positions, index * d->block);
    }
}

size_t dkv_decode_count(const dkv_decode *d) { return (d->count + d->block - 1) / d->block; }
