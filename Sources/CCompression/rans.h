// SPDX-License-Identifier: Apache-2.0
// What coders and decoders of rows have in common.
#ifndef DELTAKV_RANS_H
#define DELTAKV_RANS_H

#include <string.h>

#include "CCompression.h"
#include "clones.h"
#include "fine.h"

static const uint32_t lowest_state = 1u << 16;
enum { payload_bits = 16, gain_bits = 3, escape_bits = 16, probability_mask = (1 << DKV_PROBABILITY_BITS) - 1 };

/// Bytes of a copy of a row from which any symbols can be read, so that only the end tells whether they were a row. Every symbol
/// takes a word or, with an escape, two; the state, a pair and a gain take 8 bytes; lanes look two words ahead.
INLINED size_t copy_bytes(size_t columns) { return dkv_row_limit(columns) + 8; }

/// Reads such a copy.
typedef struct reader {
    uint32_t state;
    const uint8_t *at;       // the next word
} reader;

/// Takes a word if the state is low, without a branch: nobody could foretell it.
INLINED void refill(reader *r) {
    uint16_t word;
    memcpy(&word, r->at, 2);
    const bool low = r->state < lowest_state;
    r->at += low ? 2 : 0;
    r->state = low ? r->state << 16 | word : r->state;
}

INLINED uint32_t take_bits(reader *r, unsigned bits) {
    const uint32_t value = r->state & (uint32_t)((1ull << bits) - 1);
    r->state >>= bits;
    refill(r);
    return value;
}

/// Copies a row that may be one; of anything else, one of zeros, so that rows beside it go on.
INLINED bool begin(const dkv_coded_row *row, size_t columns, uint8_t *copy, reader *r) {
    static const uint8_t nothing[4] = {0, 0, 1, 0};
    const size_t state_bytes = row->length % 2 == 0 ? 4 : 3;
    bool sound = row->length >= 3 && row->length <= dkv_row_limit(columns);
    *r = (reader){0, copy + state_bytes};
    if (sound) {
        memcpy(copy, row->bytes, row->length);
        memcpy(&r->state, copy, state_bytes);
        sound = r->state >= lowest_state;
    }
    if (!sound) memcpy(&r->state, nothing, sizeof nothing);
    return sound;
}

/// What comes before a row's symbols: the upper bits of its pair, and its gain.
typedef struct row_head {
    uint32_t high;
    unsigned gain;
} row_head;

INLINED row_head take_head(reader *r, const dkv_coded_row *row) {
    const uint32_t high = row->pair_bits > payload_bits ? take_bits(r, row->pair_bits - payload_bits) : 0;
    return (row_head){high, take_bits(r, gain_bits)};
}

/// What comes after them.
INLINED void finish(dkv_coded_row *row, row_head head, const uint8_t *copy, const reader *r) {
    row->pair = head.high << payload_bits | (r->state - lowest_state);
    row->sound = row->sound && r->at == copy + row->length && r->state < lowest_state << 1;
}

/// From symbols to fine units; `values` holds those that escaped. Others are far from the limits of fine units, so that words do.
INLINED void refine(const dkv_mode *mode, const uint8_t *restrict symbols, int16_t *restrict values, size_t columns) {
    const int8_t *restrict shifts = mode->shifts;
    const int16_t step = (int16_t)mode->step;
    uint8_t greatest = 0;
    BY_32 for (size_t i = 0; i < columns; i++) {
        const int16_t symbol = symbols[i], magnitude = (int16_t)((symbol + 1) >> 1);
        int16_t pair;
        memcpy(&pair, shifts + 2 * i, 2);
        const int16_t shift = magnitude > 1 ? (int16_t)(pair >> 8) : (int8_t)pair;
        const int16_t fine = symbol == 0 ? 0 : (int16_t)(magnitude * step + shift);
        const int16_t value = symbol & 1 ? fine : (int16_t)-fine;
        values[i] = symbol == DKV_ESCAPE ? values[i] : value;
        greatest = symbols[i] > greatest ? symbols[i] : greatest;
    }
    if (greatest < DKV_ESCAPE) return;
    for (size_t i = 0; i < columns; i++) {
        if (symbols[i] == DKV_ESCAPE) values[i] = (int16_t)dkv_fine(values[i], mode->step, shifts[2 * i], shifts[2 * i + 1]);
    }
}

#endif
