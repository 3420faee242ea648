// SPDX-License-Identifier: Apache-2.0
// One row as one rANS stream (J. Duda, arXiv 1311.2540; 32-bit state, 16-bit renormalisation). A row costs no more than
// its entropy and about half a byte: the state starts from 16 bits of the pair's number instead of nothing, and is
// stored in three bytes where it fits, which the parity of the row's length tells.
#include <string.h>

#include "CCompression.h"

static const uint32_t lowest_state = 1u << 16;
enum { payload_bits = 16, gain_bits = 3, escape_bits = 16, probability_mask = (1 << DKV_PROBABILITY_BITS) - 1 };

bool dkv_tables_fill(dkv_tables *tables, const uint16_t *frequencies) {
    for (size_t c = 0; c < DKV_CLASSES; c++) {
        uint32_t start = 0;
        for (size_t s = 0; s < DKV_SYMBOLS; s++) {
            const uint32_t frequency = frequencies[c * DKV_SYMBOLS + s];
            const bool needed = s == 0 || s == DKV_ESCAPE;
            if ((frequency == 0 && needed) || start + frequency > 1u << DKV_PROBABILITY_BITS) return false;
            const uint64_t half = 1ull << 63;
            tables->encode[c][s] = (dkv_symbol){frequency ? half / frequency + 1 : 0, frequency, start};
            for (uint32_t i = 0; i < frequency; i++) {
                tables->decode[c][start + i] = (uint32_t)s | frequency << 6 | i << 18;
            }
            start += frequency;
        }
        if (start != 1u << DKV_PROBABILITY_BITS) return false;
    }
    return true;
}

size_t dkv_row_limit(size_t columns) { return 4 * columns + 16; }

uint32_t dkv_pair_number(uint32_t a, uint32_t b) {
    const uint64_t greater = a > b ? a : b, lesser = a > b ? b : a;
    return (uint32_t)(greater * (greater + 1) / 2 + lesser);
}

void dkv_pair_split(uint32_t number, uint32_t *a, uint32_t *b) {
    uint64_t low = 0, high = 1 << 17;  // low (low + 1) / 2 <= number < high (high + 1) / 2
    while (high - low > 1) {
        const uint64_t middle = (low + high) / 2;
        if (middle * (middle + 1) / 2 <= number) low = middle;
        else high = middle;
    }
    *a = (uint32_t)low;
    *b = (uint32_t)(number - low * (low + 1) / 2);
}

unsigned dkv_pair_bits(size_t candidates) {
    unsigned bits = payload_bits;
    while (bits < 32 && (uint64_t)candidates * (candidates + 1) / 2 > 1ull << bits) bits++;
    return bits;
}

static inline size_t class_of(const dkv_mode *mode, size_t column, int shift) {
    const int wanted = mode->classes[column] + shift;
    return (size_t)(wanted < 1 ? 1 : wanted >= DKV_CLASSES ? DKV_CLASSES - 1 : wanted);
}

// ---- Encoder --------------------------------------------------------------------------------------------------------

typedef struct writer {
    uint32_t state;
    uint8_t *at;             // bytes are written downwards
} writer;

static inline void put_word(writer *w) {
    w->at -= 2;
    w->at[0] = (uint8_t)w->state;
    w->at[1] = (uint8_t)(w->state >> 8);
    w->state >>= 16;
}

static inline void put_bits(writer *w, uint32_t value, unsigned bits) {
    if (w->state >= (uint64_t)1 << (32 - bits)) put_word(w);
    w->state = w->state << bits | value;
}

static inline void put_symbol(writer *w, const dkv_symbol *s) {
    if (w->state >= (uint64_t)s->frequency << (32 - DKV_PROBABILITY_BITS)) put_word(w);
    const uint32_t whole = (uint32_t)(((unsigned __int128)w->state * s->reciprocal) >> 63);
    w->state = (whole << DKV_PROBABILITY_BITS) + (w->state - whole * s->frequency) + s->start;
}

static unsigned gain_of(const dkv_mode *mode, size_t columns, const int16_t *values) {
    uint32_t sum = 0;
    for (size_t i = 0; i < columns; i++) sum += (uint32_t)(values[i] < 0 ? -values[i] : values[i]);
    unsigned gain = 0;
    while (gain < DKV_GAINS - 1 && sum >= mode->thresholds[gain]) gain++;
    return gain;
}

size_t dkv_row_encode(const dkv_tables *tables, const dkv_mode *mode, size_t columns, const int16_t *values,
                      uint32_t pair, unsigned pair_bits, uint8_t *end) {
    writer w = {lowest_state + (pair & 0xffff), end};
    const unsigned gain = gain_of(mode, columns, values);
    for (size_t i = columns; i-- > 0;) {
        if (mode->classes[i] == 0) continue;
        const dkv_symbol *symbols = tables->encode[class_of(mode, i, (int)gain - DKV_GAIN_ZERO)];
        const int value = values[i], magnitude = value < 0 ? -value : value;
        const size_t symbol = magnitude > DKV_HALF_ALPHABET ? DKV_ESCAPE : (size_t)(value > 0 ? 2 * value - 1 : -2 * value);
        if (symbol != DKV_ESCAPE && symbols[symbol].frequency > 0) {
            put_symbol(&w, &symbols[symbol]);
        } else {
            put_bits(&w, (uint16_t)value, escape_bits);
            put_symbol(&w, &symbols[DKV_ESCAPE]);
        }
    }
    put_bits(&w, gain, gain_bits);
    if (pair_bits > payload_bits) put_bits(&w, pair >> payload_bits, pair_bits - payload_bits);
    const size_t state_bytes = w.state < 1u << 24 ? 3 : 4;
    w.at -= state_bytes;
    memcpy(w.at, &w.state, state_bytes);
    return (size_t)(end - w.at);
}

// ---- Decoder --------------------------------------------------------------------------------------------------------

typedef struct reader {
    uint32_t state;
    const uint8_t *bytes;
    size_t at, last;         // the next word, and the last place where one may begin
} reader;

/// Takes a word if the state is low, without a branch: nobody could foretell it. Beyond the last word some other word is taken,
/// and `at` tells in the end.
static inline void refill(reader *r) {
    const size_t from = r->at < r->last ? r->at : r->last;
    const uint32_t word = r->bytes[from] | (uint32_t)r->bytes[from + 1] << 8;
    const bool low = r->state < lowest_state;
    r->state = low ? r->state << 16 | word : r->state;
    r->at += low ? 2 : 0;
}

static inline uint32_t take_bits(reader *r, unsigned bits) {
    const uint32_t value = r->state & (uint32_t)((1ull << bits) - 1);
    r->state >>= bits;
    refill(r);
    return value;
}

static inline uint32_t take_symbol(reader *r, const uint32_t *slots) {
    const uint32_t slot = slots[r->state & probability_mask];
    r->state = (slot >> 6 & 0xfff) * (r->state >> DKV_PROBABILITY_BITS) + (slot >> 18);
    refill(r);
    return slot & (DKV_SYMBOLS - 1);
}

static inline int16_t fine_of(const dkv_mode *mode, size_t column, int magnitude, bool negative) {
    int fine = magnitude * mode->step + mode->shifts[2 * column + (magnitude > 1)];
    fine = fine > DKV_FINE_LIMIT * 2 ? DKV_FINE_LIMIT * 2 : fine;
    fine = magnitude > 0 ? fine : 0;
    return (int16_t)(negative ? -fine : fine);
}

static bool begin(dkv_coded_row *row, reader *r, uint32_t *high, int *shift) {
    if (row->length < 3) return false;
    const size_t state_bytes = row->length % 2 == 0 ? 4 : 3;
    *r = (reader){0, row->bytes, state_bytes, row->length - 2};
    memcpy(&r->state, row->bytes, state_bytes);
    if (r->state < lowest_state) return false;
    *high = row->pair_bits > payload_bits ? take_bits(r, row->pair_bits - payload_bits) : 0;
    *shift = (int)take_bits(r, gain_bits) - DKV_GAIN_ZERO;
    return true;
}

static inline __attribute__((always_inline)) void decode(const dkv_tables *tables, size_t columns,
                                                         dkv_coded_row *rows, const size_t count) {
    reader r[DKV_ROWS_AT_ONCE];
    uint32_t high[DKV_ROWS_AT_ONCE];
    int shift[DKV_ROWS_AT_ONCE];
    // What is no row is read as one of zeros, so that the others go on.
    static const uint8_t nothing[4] = {0, 0, 1, 0};
    for (size_t k = 0; k < count; k++) {
        rows[k].sound = begin(&rows[k], &r[k], &high[k], &shift[k]);
        if (!rows[k].sound) r[k] = (reader){lowest_state, nothing, 0, 2}, shift[k] = 0, high[k] = 0;
    }
    for (size_t i = 0; i < columns; i++) {
        _Pragma("clang loop unroll(full)") for (size_t k = 0; k < count; k++) {
            const dkv_mode *mode = rows[k].mode;
            if (mode->classes[i] == 0) {
                rows[k].residual[i] = 0;
                continue;
            }
            const uint32_t symbol = take_symbol(&r[k], tables->decode[class_of(mode, i, shift[k])]);
            int magnitude = (int)(symbol + 1) / 2;
            bool negative = symbol % 2 == 0;
            if (__builtin_expect(symbol == DKV_ESCAPE, 0)) {
                const int raw = (int16_t)take_bits(&r[k], escape_bits);
                negative = raw < 0;
                magnitude = negative ? -raw : raw;
            }
            rows[k].residual[i] = fine_of(mode, i, magnitude, negative);
        }
    }
    for (size_t k = 0; k < count; k++) {
        rows[k].pair = high[k] << payload_bits | (r[k].state - lowest_state);
        rows[k].sound = rows[k].sound && r[k].at == rows[k].length && r[k].state < lowest_state << 1;
    }
}

void dkv_rows_decode(const dkv_tables *tables, size_t columns, dkv_coded_row *rows, size_t count) {
    if (count == DKV_ROWS_AT_ONCE) {
        decode(tables, columns, rows, DKV_ROWS_AT_ONCE);
        return;
    }
    for (size_t k = 0; k < count; k++) decode(tables, columns, rows + k, 1);
}
