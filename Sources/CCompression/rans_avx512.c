// SPDX-License-Identifier: Apache-2.0
// The decoder of rows with AVX-512: a lane for each row, two vectors of lanes in turn, since a gather is long under way.
#include "CCompression.h"

#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,avx512f,avx512bw,avx512vl"))), apply_to = function)
#include "rans.h"

enum {
    lanes = 16,
    vectors = DKV_DECODED_AT_ONCE / lanes,
    quad = 4,
    least_rows = DKV_DECODED_AT_ONCE / 2,  // fewer are decoded sooner one by one
    most_columns = 8192,                   // what stays within a thread's stack, with room to spare
};

/// Rows that are decoded together.
typedef struct row_lanes {
    __m512i state, at;       // `at` counts bytes from the first row's copy
    __m512i shift;
    __mmask16 rows;          // lanes that have one
    __mmask16 other;         // rows of the second mode
} row_lanes;

INLINED __m512i each(int32_t value) { return _mm512_set1_epi32(value); }

/// Takes the lower of a lane's two next words if the state is low.
INLINED void refill_lanes(row_lanes *l, __m512i *words) {
    const __mmask16 low = _mm512_cmplt_epu32_mask(l->state, each((int32_t)lowest_state));
    const __m512i word = _mm512_and_si512(*words, each(0xffff));
    l->state = _mm512_mask_or_epi32(l->state, low, _mm512_slli_epi32(l->state, 16), word);
    l->at = _mm512_mask_add_epi32(l->at, low, l->at, each(2));
    *words = _mm512_mask_srli_epi32(*words, low, *words, 16);
}

/// Where tables of the lanes' classes begin, for a column that is of one class in rows of the first mode and of another in the second.
INLINED __m512i tables_of(const row_lanes *l, uint8_t first, uint8_t second) {
    const __m512i own = _mm512_mask_mov_epi32(each(first), l->other, each(second));
    const __m512i shifted = _mm512_max_epi32(_mm512_add_epi32(own, l->shift), each(1));
    const __m512i class = _mm512_maskz_min_epi32(_mm512_test_epi32_mask(own, own), shifted, each(DKV_CLASSES - 1));
    return _mm512_slli_epi32(class, DKV_PROBABILITY_BITS);
}

/// Takes a symbol of each lane. Two of them and no escape take no more than two words.
INLINED __m512i take_symbols(row_lanes *l, __m512i *words, const dkv_tables *tables, __m512i table) {
    const __m512i slot = _mm512_and_si512(l->state, each(probability_mask));
    const __m512i entry = _mm512_i32gather_epi32(_mm512_or_si512(table, slot), tables->decode, 4);
    const __m512i frequency = _mm512_and_si512(_mm512_srli_epi32(entry, 6), each(0xfff));
    const __m512i whole = _mm512_mullo_epi32(frequency, _mm512_srli_epi32(l->state, DKV_PROBABILITY_BITS));
    l->state = _mm512_add_epi32(whole, _mm512_srli_epi32(entry, 18));
    refill_lanes(l, words);
    return _mm512_and_si512(entry, each(DKV_SYMBOLS - 1));
}

/// Takes the raw bits after the symbols of some lanes, which are rare. By value, so that lanes stay in registers otherwise.
static __attribute__((noinline)) row_lanes take_escaped(row_lanes l, __mmask16 escaped, dkv_coded_row *rows, size_t column,
                                                        const uint8_t *copies) {
    uint32_t states[lanes], places[lanes];
    _mm512_storeu_si512(states, l.state);
    _mm512_storeu_si512(places, l.at);
    for (size_t k = 0; k < lanes; k++) {
        if ((escaped >> k & 1) == 0) continue;
        reader r = {states[k], copies + places[k]};
        rows[k].residual[column] = (int16_t)take_bits(&r, escape_bits);
        states[k] = r.state;
        places[k] = (uint32_t)(r.at - copies);
    }
    l.state = _mm512_loadu_si512(states);
    l.at = _mm512_loadu_si512(places);
    return l;
}

/// Four columns' symbols, a byte each, of lanes to rows: 16 columns of 16 lanes.
INLINED void transpose(const __m512i *columns, uint8_t *to, size_t ld) {
    const __m512i a = _mm512_unpacklo_epi32(columns[0], columns[1]), b = _mm512_unpackhi_epi32(columns[0], columns[1]);
    const __m512i c = _mm512_unpacklo_epi32(columns[2], columns[3]), d = _mm512_unpackhi_epi32(columns[2], columns[3]);
    const __m512i rows[4] = {
        _mm512_unpacklo_epi64(a, c), _mm512_unpackhi_epi64(a, c), _mm512_unpacklo_epi64(b, d), _mm512_unpackhi_epi64(b, d),
    };
    _Pragma("clang loop unroll(full)") for (size_t k = 0; k < 4; k++) {
        _mm_storeu_si128((__m128i *)(to + k * ld), _mm512_castsi512_si128(rows[k]));
        _mm_storeu_si128((__m128i *)(to + (k + 4) * ld), _mm512_extracti32x4_epi32(rows[k], 1));
        _mm_storeu_si128((__m128i *)(to + (k + 8) * ld), _mm512_extracti32x4_epi32(rows[k], 2));
        _mm_storeu_si128((__m128i *)(to + (k + 12) * ld), _mm512_extracti32x4_epi32(rows[k], 3));
    }
}

/// The two modes that rows are of, if they are of no more.
INLINED bool modes_of(const dkv_coded_row *rows, size_t count, const dkv_mode **first, const dkv_mode **second) {
    *first = *second = rows[0].mode;
    for (size_t k = 1; k < count; k++) {
        if (rows[k].mode != *first) *second = rows[k].mode;
    }
    for (size_t k = 1; k < count; k++) {
        if (rows[k].mode != *first && rows[k].mode != *second) return false;
    }
    return true;
}

static void decode_lanes(const dkv_tables *tables, size_t columns, dkv_coded_row *rows, size_t count, const uint8_t *first,
                         const dkv_mode *second) {
    const size_t bytes = copy_bytes(columns);
    uint8_t copies[DKV_DECODED_AT_ONCE][bytes], symbols[DKV_DECODED_AT_ONCE][columns];
    row_head heads[DKV_DECODED_AT_ONCE];
    // Lanes without a row read the first row's copy, and nobody looks at what comes of it.
    uint32_t states[DKV_DECODED_AT_ONCE], places[DKV_DECODED_AT_ONCE] = {0};
    int32_t shifts[DKV_DECODED_AT_ONCE] = {0};
    row_lanes l[vectors] = {0};
    for (size_t k = 0; k < DKV_DECODED_AT_ONCE; k++) states[k] = lowest_state;
    for (size_t k = 0; k < count; k++) {
        reader r;
        rows[k].sound = begin(&rows[k], columns, copies[k], &r);
        heads[k] = take_head(&r, &rows[k]);
        states[k] = r.state;
        places[k] = (uint32_t)(r.at - copies[0]);
        shifts[k] = heads[k].shift;
        const __mmask16 lane = (__mmask16)(1 << k % lanes);
        l[k / lanes].rows |= lane;
        if (rows[k].mode == second) l[k / lanes].other |= lane;
    }
    for (size_t v = 0; v < vectors; v++) {
        l[v].state = _mm512_loadu_si512(states + v * lanes);
        l[v].at = _mm512_loadu_si512(places + v * lanes);
        l[v].shift = _mm512_loadu_si512(shifts + v * lanes);
    }
    __m512i found[vectors][4];
    for (size_t i = 0; i < columns; i += quad) {
        __m512i four[vectors] = {0}, words[vectors];
        _Pragma("clang loop unroll(full)") for (size_t j = 0; j < quad; j++) {
            _Pragma("clang loop unroll(full)") for (size_t v = 0; v < vectors; v++) {
                if (j % 2 == 0) words[v] = _mm512_i32gather_epi32(l[v].at, copies, 1);
                const __m512i table = tables_of(&l[v], first[i + j], second->classes[i + j]);
                const __m512i symbol = take_symbols(&l[v], &words[v], tables, table);
                const __mmask16 escaped = _mm512_mask_cmpeq_epi32_mask(l[v].rows, symbol, each(DKV_ESCAPE));
                if (__builtin_expect(escaped != 0, 0)) {
                    l[v] = take_escaped(l[v], escaped, rows + v * lanes, i + j, copies[0]);
                    words[v] = _mm512_i32gather_epi32(l[v].at, copies, 1);
                }
                four[v] = _mm512_or_si512(four[v], _mm512_slli_epi32(symbol, 8 * j));
            }
        }
        const size_t place = i / quad % 4;
        for (size_t v = 0; v < vectors; v++) {
            found[v][place] = four[v];
            if (place == 3) transpose(found[v], symbols[v * lanes] + i - 3 * quad, columns);
        }
    }
    for (size_t v = 0; v < vectors; v++) {
        _mm512_storeu_si512(states + v * lanes, l[v].state);
        _mm512_storeu_si512(places + v * lanes, l[v].at);
    }
    for (size_t k = 0; k < count; k++) {
        const reader r = {states[k], copies[0] + places[k]};
        refine(rows[k].mode, symbols[k], rows[k].residual, columns);
        finish(&rows[k], heads[k], copies[k], &r);
    }
}

/// Decodes as many rows as it does well, and says how many.
size_t dkv_rows_decode_avx512(const dkv_tables *tables, size_t columns, dkv_coded_row *rows, size_t count) {
    size_t done = 0;
    if (columns % (4 * quad) != 0 || columns > most_columns) return 0;
    while (count - done >= least_rows) {
        const size_t some = count - done < DKV_DECODED_AT_ONCE ? count - done : DKV_DECODED_AT_ONCE;
        const dkv_mode *first, *second;
        if (!modes_of(rows + done, some, &first, &second)) break;
        decode_lanes(tables, columns, rows + done, some, first->classes, second);
        done += some;
    }
    return done;
}
#pragma clang attribute pop
#endif
