// SPDX-License-Identifier: Apache-2.0
// Coding and decoding of rows: prediction, quantisation, and where rows lie.
#include <string.h>

#include "CCompression.h"
#include "clones.h"

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

size_t dkv_references_before(const dkv_layer *layer, size_t position) {
    if (position <= layer->sinks) return position;
    return layer->sinks + (position - layer->sinks + layer->stride - 1) / layer->stride;
}

bool dkv_is_reference(const dkv_layer *layer, size_t position) {
    return position < layer->sinks || (position - layer->sinks) % layer->stride == 0;
}

/// The row that became the reference of a number.
static size_t reference_position(const dkv_layer *layer, size_t number) {
    return number < layer->sinks ? number : layer->sinks + (number - layer->sinks) * layer->stride;
}

/// Candidates of a row: references are predicted from prototypes alone, so that each decodes by itself.
static size_t visible(const dkv_layer *layer, size_t position) {
    if (dkv_is_reference(layer, position)) return layer->prototypes;
    return layer->prototypes + dkv_references_before(layer, position);
}

static inline int limited(int value, int limit) { return value < -limit ? -limit : value > limit ? limit : value; }

/// Fine units to candidate units, to the nearest, halves away from zero.
static inline int8_t to_unit(int fine) {
    const int magnitude = (2 * (fine < 0 ? -fine : fine) + DKV_UNIT) / (2 * DKV_UNIT);
    return (int8_t)limited(fine < 0 ? -magnitude : magnitude, 127);
}

/// The mean of two candidates in fine units.
static inline int predicted(const int8_t *a, const int8_t *b, size_t i) { return (a[i] + b[i]) * (DKV_UNIT / 2); }

// ---- Encoding -------------------------------------------------------------------------------------------------------

size_t dkv_encode_scratch(const dkv_layer *layer, size_t candidates) {
    const size_t width = (candidates + DKV_LANES - 1) / DKV_LANES * DKV_LANES;
    return 2 * DKV_SEARCH_ROWS * width + 6 * DKV_SEARCH_ROWS * layer->columns;
}

size_t dkv_encode_count(const dkv_encode *e) { return (e->count + DKV_SEARCH_ROWS - 1) / DKV_SEARCH_ROWS; }

/// Rounds to whole fine units, ties to even.
static inline void to_fine(const float *x, int32_t *fine, int8_t *units, size_t columns) {
    for (size_t i = 0; i < columns; i++) {
        float value = x[i] < -DKV_FINE_LIMIT ? -DKV_FINE_LIMIT : x[i];
        value = value > DKV_FINE_LIMIT ? DKV_FINE_LIMIT : value;
        fine[i] = (int32_t)__builtin_rintf(value);
        units[i] = to_unit(fine[i]);
    }
}

/// Quantises what the prediction leaves; `q` gets zeros in columns that are not coded.
static inline void quantise(const dkv_mode *mode, const int32_t *fine, const int8_t *a, const int8_t *b, int16_t *residual,
                     int16_t *q, size_t columns) {
    const int32_t factor = (65536 + mode->step - 1) / mode->step;
    for (size_t i = 0; i < columns; i++) {
        const int difference = limited(fine[i] - predicted(a, b, i), 2 * DKV_FINE_LIMIT);
        residual[i] = (int16_t)difference;
        const int magnitude = (difference < 0 ? -difference : difference) + mode->rounding;
        const int whole = mode->classes[i] ? (magnitude * factor) >> 16 : 0;
        q[i] = (int16_t)(difference < 0 ? -whole : whole);
    }
}

/// A row as its decoder will see it and, unless it is none, as a candidate.
static inline void restore(const dkv_mode *mode, const int16_t *q, const int8_t *a, const int8_t *b, float *row,
                    int8_t *reference, size_t columns) {
    for (size_t i = 0; i < columns; i++) {
        const int magnitude = q[i] < 0 ? -q[i] : q[i];
        int fine = magnitude ? magnitude * mode->step + mode->shifts[2 * i + (magnitude > 1)] : 0;
        if (fine > DKV_FINE_LIMIT * 2) fine = DKV_FINE_LIMIT * 2;
        fine = predicted(a, b, i) + (q[i] < 0 ? -fine : fine);
        row[i] = (float)fine;
        if (reference) reference[i] = to_unit(fine);
    }
}

CLONED void dkv_encode_task(void *context, size_t index, size_t worker) {
    const dkv_encode *e = context;
    const dkv_layer *layer = e->layer;
    const size_t columns = layer->columns, start = index * DKV_SEARCH_ROWS;
    const size_t count = smaller(DKV_SEARCH_ROWS, e->count - start);
    int32_t *fine = e->scratch + worker * e->scratch_size;
    int8_t *units = (int8_t *)(fine + DKV_SEARCH_ROWS * columns);
    int8_t *a = units + DKV_SEARCH_ROWS * columns, *b = a + columns;
    int16_t *residual = (int16_t *)(fine + 3 * DKV_SEARCH_ROWS * columns), *q = residual + columns;
    size_t limits[DKV_SEARCH_ROWS];
    uint32_t first[DKV_SEARCH_ROWS], second[DKV_SEARCH_ROWS];
    for (size_t i = 0; i < count; i++) {
        const size_t row = e->list[start + i];
        limits[i] = visible(layer, e->position + row);
        to_fine(e->coefficients + row * e->ld, fine + i * columns, units + i * columns, columns);
    }
    dkv_pair_search(e->isa, &e->candidates, units, count, limits, fine + 6 * DKV_SEARCH_ROWS * columns, first, second);
    const dkv_mode *mode = e->references ? &layer->references : &layer->rows;
    const size_t limit = dkv_row_limit(columns);
    for (size_t i = 0; i < count; i++) {
        const size_t row = e->list[start + i];
        dkv_candidate_get(&e->candidates, first[i], a);
        dkv_candidate_get(&e->candidates, second[i], b);
        quantise(mode, fine + i * columns, a, b, residual, q, columns);
        if (e->residuals) memcpy(e->residuals + row * columns, residual, 2 * columns);
        if (e->values) memcpy(e->values + row * columns, q, 2 * columns);
        restore(mode, q, a, b, e->coefficients + row * e->ld,
                e->references ? e->decoded + (start + i) * columns : NULL, columns);
        e->lengths[row] = (uint16_t)dkv_row_encode(layer->tables, mode, columns, q,
                                                   dkv_pair_number(first[i], second[i]), dkv_pair_bits(limits[i]),
                                                   e->coded + (row + 1) * limit);
    }
}

// ---- Decoding -------------------------------------------------------------------------------------------------------

enum { decode_rows = 16 };

/// Room for the residuals of rows that decode together, and of a reference that one of them needs.
size_t dkv_decode_scratch(const dkv_layer *layer) { return (DKV_ROWS_AT_ONCE + 1) * layer->columns; }

size_t dkv_decode_count(const dkv_decode *d) { return (d->count + decode_rows - 1) / decode_rows; }

/// Where the coded row of a position lies; nothing where the lengths lead outside the bytes.
static dkv_coded_row locate(const dkv_decode *d, size_t position, int16_t *residual) {
    const dkv_layer *layer = d->layer;
    dkv_coded_row row = {
        .mode = dkv_is_reference(layer, position) ? &layer->references : &layer->rows,
        .pair_bits = dkv_pair_bits(visible(layer, position)), .residual = residual,
    };
    size_t at = d->offsets[position / DKV_GROUP];
    for (size_t i = position / DKV_GROUP * DKV_GROUP; i < position; i++) {
        size_t length = d->lengths[i];
        if (length == 255) {
            if (at + 2 > d->byte_count) return row;
            length = 2 + (d->bytes[at] | (size_t)d->bytes[at + 1] << 8);
        }
        at += length;
    }
    size_t length = d->lengths[position];
    if (length == 255) {
        if (at + 2 > d->byte_count) return row;
        length = d->bytes[at] | (size_t)d->bytes[at + 1] << 8;
        at += 2;
    }
    if (at > d->byte_count || length > d->byte_count - at) return row;
    row.bytes = d->bytes + at;
    row.length = length;
    return row;
}

/// The pair of a decoded row. Returns false if it is no row.
static bool pair_of(const dkv_decode *d, const dkv_coded_row *row, size_t position, uint32_t *a, uint32_t *b) {
    dkv_pair_split(row->pair, a, b);
    const size_t limit = visible(d->layer, position);
    return row->sound && *a < limit && *b < limit;
}

static inline bool restore_reference(const dkv_decode *d, const dkv_coded_row *row, size_t position, int8_t *to) {
    const size_t columns = d->layer->columns;
    int8_t a[columns], b[columns];
    uint32_t first, second;
    if (!pair_of(d, row, position, &first, &second)) return false;
    dkv_candidate_get(&d->candidates, first, a);
    dkv_candidate_get(&d->candidates, second, b);
    for (size_t i = 0; i < columns; i++) to[i] = to_unit(predicted(a, b, i) + row->residual[i]);
    return true;
}

static bool candidate(const dkv_decode *d, uint32_t number, int16_t *residual, int8_t *to) {
    if (d->whole || number < d->layer->prototypes) {
        dkv_candidate_get(&d->candidates, number, to);
        return true;
    }
    const size_t position = reference_position(d->layer, number - d->layer->prototypes);
    dkv_coded_row row = locate(d, position, residual);
    dkv_rows_decode(d->layer->tables, d->layer->columns, &row, 1);
    return restore_reference(d, &row, position, to);
}

static inline bool restore_row(const dkv_decode *d, const dkv_coded_row *row, size_t position, int16_t *other, float *to) {
    const size_t columns = d->layer->columns;
    int8_t a[columns], b[columns];
    uint32_t first, second;
    if (!pair_of(d, row, position, &first, &second)) return false;
    if (!candidate(d, first, other, a)) return false;
    if (second == first) memcpy(b, a, columns);
    else if (!candidate(d, second, other, b)) return false;
    for (size_t i = 0; i < columns; i++) to[i] = (float)(predicted(a, b, i) + row->residual[i]);
    return true;
}

CLONED void dkv_decode_task(void *context, size_t index, size_t worker) {
    const dkv_decode *d = context;
    const size_t columns = d->layer->columns, end = smaller(d->count, (index + 1) * decode_rows);
    int16_t *scratch = (int16_t *)(d->scratch + worker * d->scratch_size);
    dkv_coded_row rows[DKV_ROWS_AT_ONCE];
    for (size_t first = index * decode_rows; first < end; first += DKV_ROWS_AT_ONCE) {
        const size_t count = smaller(DKV_ROWS_AT_ONCE, end - first);
        for (size_t k = 0; k < count; k++) rows[k] = locate(d, d->list[first + k], scratch + k * columns);
        dkv_rows_decode(d->layer->tables, columns, rows, count);
        for (size_t k = 0; k < count; k++) {
            const size_t i = first + k, position = d->list[i];
            const bool done = d->decoded
                ? restore_reference(d, &rows[k], position, d->decoded + i * columns)
                : restore_row(d, &rows[k], position, scratch + DKV_ROWS_AT_ONCE * columns, d->coefficients + i * d->ld);
            if (!done) __atomic_store_n(d->failed, 1, __ATOMIC_RELAXED);
        }
    }
}
