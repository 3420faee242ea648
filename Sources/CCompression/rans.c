// SPDX-License-Identifier: Apache-2.0
// One row as one rANS stream (J. Duda, arXiv 1311.2540; 32-bit state, 16-bit renormalisation). A row costs no more than
// its entropy and about half a byte: the state starts from 16 bits of the pair's number instead of nothing, and is
// stored in three bytes where it fits, which the parity of the row's length tells.
#include "rans.h"

static dkv_symbol symbol_of(uint32_t frequency, uint32_t start) {
    const uint32_t total = 1u << DKV_PROBABILITY_BITS;
    // For 1 the quotient comes out one too low.
    return (dkv_symbol){
        .reciprocal = frequency == 1 ? UINT64_MAX : UINT64_MAX / frequency + 1,
        .limit = (uint32_t)(((uint64_t)frequency << (32 - DKV_PROBABILITY_BITS)) - 1),
        .bias = (uint16_t)(frequency == 1 ? start + total - 1 : start),
        .complement = (uint16_t)(total - frequency),
    };
}

/// The class of a column's symbols in a row of a gain.
INLINED size_t class_of(uint8_t class, unsigned gain) {
    const int wanted = class + (int)gain - DKV_GAIN_ZERO;
    if (class == 0) return 0;
    return (size_t)(wanted < 1 ? 1 : wanted >= DKV_CLASSES ? DKV_CLASSES - 1 : wanted);
}

bool dkv_tables_fill(dkv_tables *tables, const uint16_t *frequencies) {
    for (size_t c = 0; c < DKV_CLASSES; c++) {
        uint32_t start = 0;
        for (size_t s = 0; s < DKV_SYMBOLS; s++) {
            const uint32_t frequency = frequencies[c * DKV_SYMBOLS + s];
            const bool needed = s == 0 || s == DKV_ESCAPE;
            if ((frequency == 0 && needed) || start + frequency > 1u << DKV_PROBABILITY_BITS) return false;
            const dkv_symbol symbol = frequency ? symbol_of(frequency, start) : (dkv_symbol){0};
            if (s == DKV_ESCAPE) tables->escape[c] = symbol;
            tables->encode[c][s] = s == DKV_ESCAPE ? (dkv_symbol){0} : symbol;
            for (uint32_t i = 0; i < frequency; i++) {
                tables->decode[c][start + i] = (uint32_t)s | frequency << 6 | i << 18;
            }
            start += frequency;
        }
        if (start != 1u << DKV_PROBABILITY_BITS) return false;
        // A column that is not coded is zero and leaves the state alone.
        for (uint32_t i = 0; c == 0 && i < start; i++) tables->decode[c][i] = start << 6 | i << 18;
        for (unsigned g = 0; g < DKV_GAINS; g++) {
            tables->begins[c][g] = (uint32_t)class_of((uint8_t)c, g) << DKV_PROBABILITY_BITS;
        }
    }
    return true;
}

size_t dkv_row_limit(size_t columns) { return 4 * columns + 16; }

uint32_t dkv_pair_number(uint32_t a, uint32_t b) {
    const uint64_t greater = a > b ? a : b, lesser = a > b ? b : a;
    return (uint32_t)(greater * (greater + 1) / 2 + lesser);
}

void dkv_pair_split(uint32_t number, uint32_t *a, uint32_t *b) {
    // The root may be off by its rounding: low (low + 1) / 2 <= number < (low + 1) (low + 2) / 2
    uint64_t low = (uint64_t)((__builtin_sqrt(8.0 * number + 1) - 1) / 2);
    if (low * (low + 1) / 2 > number) low--;
    if ((low + 1) * (low + 2) / 2 <= number) low++;
    *a = (uint32_t)low;
    *b = (uint32_t)(number - low * (low + 1) / 2);
}

unsigned dkv_pair_bits(size_t candidates) {
    unsigned bits = payload_bits;
    while (bits < 32 && (uint64_t)candidates * (candidates + 1) / 2 > 1ull << bits) bits++;
    return bits;
}

// ---- Encoder --------------------------------------------------------------------------------------------------------

typedef struct writer {
    uint32_t state;
    uint8_t *at;             // bytes are written downwards
} writer;

/// Writes a word if the state has no room, without a branch: nobody could foretell it.
INLINED void make_room(writer *w, bool full) {
    const uint16_t word = (uint16_t)w->state;
    memcpy(w->at - 2, &word, 2);
    w->at -= full ? 2 : 0;
    w->state = full ? w->state >> 16 : w->state;
}

INLINED void put_bits(writer *w, uint32_t value, unsigned bits) {
    make_room(w, w->state >= (uint64_t)1 << (32 - bits));
    w->state = w->state << bits | value;
}

INLINED void put_symbol(writer *w, const dkv_symbol *s) {
    make_room(w, w->state > s->limit);
    const uint32_t whole = (uint32_t)(((unsigned __int128)w->state * s->reciprocal) >> 64);
    w->state += s->bias + whole * s->complement;
}

INLINED unsigned gain_of(const dkv_mode *mode, size_t columns, const int16_t *values) {
    uint32_t sum = 0;
    for (size_t i = 0; i < columns; i++) sum += (uint32_t)(values[i] < 0 ? -values[i] : values[i]);
    unsigned gain = 0;
    while (gain < DKV_GAINS - 1 && sum >= mode->thresholds[gain]) gain++;
    return gain;
}

/// Places of values' symbols in the tables of their classes.
INLINED void symbols_of(const dkv_mode *mode, size_t columns, const int16_t *restrict values, unsigned gain,
                        uint16_t *restrict places) {
    const uint8_t *restrict classes = mode->classes;
    for (size_t i = 0; i < columns; i++) {
        const int value = values[i], magnitude = value < 0 ? -value : value;
        const int symbol = magnitude > DKV_HALF_ALPHABET ? DKV_ESCAPE : value > 0 ? 2 * value - 1 : -2 * value;
        places[i] = (uint16_t)(class_of(classes[i], gain) * DKV_SYMBOLS + (size_t)symbol);
    }
}

INLINED void put_escaped(writer *w, const dkv_tables *tables, size_t place, int16_t value) {
    put_bits(w, (uint16_t)value, escape_bits);
    put_symbol(w, &tables->escape[place / DKV_SYMBOLS]);
}

INLINED void encode(const dkv_tables *tables, const dkv_mode *mode, size_t columns,
                                                         dkv_plain_row *rows, const size_t count) {
    writer w[DKV_ROWS_AT_ONCE];
    unsigned gain[DKV_ROWS_AT_ONCE];
    uint16_t places[DKV_ROWS_AT_ONCE][columns];
    for (size_t k = 0; k < count; k++) {
        w[k] = (writer){lowest_state + (rows[k].pair & 0xffff), rows[k].end};
        gain[k] = gain_of(mode, columns, rows[k].values);
        symbols_of(mode, columns, rows[k].values, gain[k], places[k]);
    }
    const dkv_symbol *symbols = &tables->encode[0][0];
    for (size_t i = columns; i-- > 0;) {
        if (mode->classes[i] == 0) continue;
        _Pragma("clang loop unroll(full)") for (size_t k = 0; k < count; k++) {
            const dkv_symbol *symbol = &symbols[places[k][i]];
            if (__builtin_expect(symbol->limit > 0, 1)) put_symbol(&w[k], symbol);
            else put_escaped(&w[k], tables, places[k][i], rows[k].values[i]);
        }
    }
    for (size_t k = 0; k < count; k++) {
        put_bits(&w[k], gain[k], gain_bits);
        const unsigned bits = rows[k].pair_bits;
        if (bits > payload_bits) put_bits(&w[k], rows[k].pair >> payload_bits, bits - payload_bits);
        const size_t state_bytes = w[k].state < 1u << 24 ? 3 : 4;
        w[k].at -= state_bytes;
        memcpy(w[k].at, &w[k].state, state_bytes);
        rows[k].length = (size_t)(rows[k].end - w[k].at);
    }
}

CLONED void dkv_rows_encode(const dkv_tables *tables, const dkv_mode *mode, size_t columns, dkv_plain_row *rows,
                            size_t count) {
    if (count == DKV_ROWS_AT_ONCE) {
        encode(tables, mode, columns, rows, DKV_ROWS_AT_ONCE);
        return;
    }
    for (size_t k = 0; k < count; k++) encode(tables, mode, columns, rows + k, 1);
}

// ---- Decoder --------------------------------------------------------------------------------------------------------

INLINED uint32_t take_symbol(reader *r, const uint32_t *slots) {
    const uint32_t entry = slots[r->state & probability_mask];
    r->state = (entry >> 6 & 0xfff) * (r->state >> DKV_PROBABILITY_BITS) + (entry >> 18);
    refill(r);
    return entry & (DKV_SYMBOLS - 1);
}

INLINED void decode(const dkv_tables *tables, size_t columns, dkv_coded_row *rows, const size_t count) {
    const size_t bytes = copy_bytes(columns);
    reader r[DKV_ROWS_AT_ONCE];
    row_head heads[DKV_ROWS_AT_ONCE];
    uint8_t copies[DKV_ROWS_AT_ONCE][bytes], classes[DKV_ROWS_AT_ONCE][columns];
    uint8_t symbols[DKV_ROWS_AT_ONCE][columns];
    for (size_t k = 0; k < count; k++) {
        rows[k].sound = begin(&rows[k], columns, copies[k], &r[k]);
        heads[k] = take_head(&r[k], &rows[k]);
        const uint8_t *restrict own = rows[k].mode->classes;
        uint8_t *restrict to = classes[k];
        for (size_t i = 0; i < columns; i++) to[i] = (uint8_t)class_of(own[i], heads[k].gain);
    }
    for (size_t i = 0; i < columns; i++) {
        _Pragma("clang loop unroll(full)") for (size_t k = 0; k < count; k++) {
            const uint32_t symbol = take_symbol(&r[k], tables->decode[classes[k][i]]);
            symbols[k][i] = (uint8_t)symbol;
            if (__builtin_expect(symbol == DKV_ESCAPE, 0)) {
                rows[k].residual[i] = (int16_t)take_bits(&r[k], escape_bits);
            }
        }
    }
    for (size_t k = 0; k < count; k++) {
        refine(rows[k].mode, symbols[k], rows[k].residual, columns);
        finish(&rows[k], heads[k], copies[k], &r[k]);
    }
}

CLONED static void decode_rows(const dkv_tables *tables, size_t columns, dkv_coded_row *rows, size_t count) {
    size_t k = 0;
    for (; k + DKV_ROWS_AT_ONCE <= count; k += DKV_ROWS_AT_ONCE) decode(tables, columns, rows + k, DKV_ROWS_AT_ONCE);
    for (; k < count; k++) decode(tables, columns, rows + k, 1);
}

#if defined(__x86_64__)
size_t dkv_rows_decode_avx512(const dkv_tables *, size_t, dkv_coded_row *, size_t);
#endif

void dkv_rows_decode(dkv_codec_isa isa, const dkv_tables *tables, size_t columns, dkv_coded_row *rows, size_t count) {
    size_t done = 0;
#if defined(__x86_64__)
    if (isa >= DKV_CODEC_VNNI) done = dkv_rows_decode_avx512(tables, columns, rows, count);
#else
    (void)isa;
#endif
    decode_rows(tables, columns, rows + done, count - done);
}
