// SPDX-License-Identifier: Apache-2.0
// The decoder of rows with AVX-512: a lane for each row. Vectors have 8 lanes, since processors gather those sooner than 16, and
// take turns, since a gather is long under way.
#include "CCompression.h"

#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,avx512f,avx512bw,avx512vl"))), apply_to = function)
#include "rans.h"

enum {
    lanes = 8,
    vectors = DKV_DECODED_AT_ONCE / lanes,
    quad = 4,
    least_rows = DKV_DECODED_AT_ONCE / 2,  // fewer are decoded sooner one by one
    most_columns = 8192,                   // what stays within a thread's stack, with room to spare
};

_Static_assert(DKV_GAINS == lanes, "a class's tables fill a vector, and a lane's number tells modes apart by the bit after");

/// Rows that are decoded together.
typedef struct row_lanes {
    __m256i state, at;       // `at` counts bytes from the first row's copy
    __m256i kind;            // the row's gain, and DKV_GAINS more for rows of the second mode
    __mmask8 rows;           // lanes that have one
} row_lanes;

INLINED __m256i each(int32_t value) { return _mm256_set1_epi32(value); }

INLINED __m256i load(const void *from) { return _mm256_loadu_si256(from); }

/// The next two words of each lane.
INLINED __m256i next_words(const row_lanes *l, const uint8_t *copies) {
    return _mm256_i32gather_epi32((const int *)copies, l->at, 1);
}

/// Takes the lower of a lane's two next words if the state is low.
INLINED void refill_lanes(row_lanes *l, __m256i *words) {
    const __mmask8 low = _mm256_cmplt_epu32_mask(l->state, each((int32_t)lowest_state));
    const __m256i word = _mm256_and_si256(*words, each(0xffff));
    l->state = _mm256_mask_or_epi32(l->state, low, _mm256_slli_epi32(l->state, 16), word);
    l->at = _mm256_mask_add_epi32(l->at, low, l->at, each(2));
    *words = _mm256_mask_srli_epi32(*words, low, *words, 16);
}

/// Takes a symbol of each lane from the tables that begin at `table`. Two of them and no escape take no more than two words.
INLINED __m256i take_symbols(row_lanes *l, __m256i *words, const dkv_tables *tables, __m256i table) {
    const __m256i slot = _mm256_and_si256(l->state, each(probability_mask));
    const __m256i entry = _mm256_i32gather_epi32((const int *)tables->decode, _mm256_or_si256(table, slot), 4);
    const __m256i frequency = _mm256_and_si256(_mm256_srli_epi32(entry, 6), each(0xfff));
    const __m256i whole = _mm256_mullo_epi32(frequency, _mm256_srli_epi32(l->state, DKV_PROBABILITY_BITS));
    l->state = _mm256_add_epi32(whole, _mm256_srli_epi32(entry, 18));
    refill_lanes(l, words);
    return _mm256_and_si256(entry, each(DKV_SYMBOLS - 1));
}

/// Takes the raw bits after the symbols of some lanes, which are rare. States of the others are not low, so that they take no word.
INLINED void take_escaped(row_lanes *l, __m256i *words, __mmask8 escaped, dkv_coded_row *rows, size_t column,
                          const uint8_t *copies) {
    uint32_t states[lanes];
    _mm256_storeu_si256((__m256i *)states, l->state);
    for (size_t k = 0; k < lanes; k++) {
        if (escaped >> k & 1) rows[k].residual[column] = (int16_t)states[k];
    }
    l->state = _mm256_mask_srli_epi32(l->state, escaped, l->state, escape_bits);
    *words = next_words(l, copies);
    refill_lanes(l, words);
    *words = next_words(l, copies);
}

/// Four columns' symbols, a byte each, of lanes to rows: 16 columns of 8 lanes.
INLINED void transpose(const __m256i *columns, uint8_t *to, size_t ld) {
    const __m256i a = _mm256_unpacklo_epi32(columns[0], columns[1]), b = _mm256_unpackhi_epi32(columns[0], columns[1]);
    const __m256i c = _mm256_unpacklo_epi32(columns[2], columns[3]), d = _mm256_unpackhi_epi32(columns[2], columns[3]);
    const __m256i rows[4] = {
        _mm256_unpacklo_epi64(a, c), _mm256_unpackhi_epi64(a, c), _mm256_unpacklo_epi64(b, d), _mm256_unpackhi_epi64(b, d),
    };
    _Pragma("clang loop unroll(full)") for (size_t k = 0; k < 4; k++) {
        _mm_storeu_si128((__m128i *)(to + k * ld), _mm256_castsi256_si128(rows[k]));
        _mm_storeu_si128((__m128i *)(to + (k + 4) * ld), _mm256_extracti128_si256(rows[k], 1));
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
    uint32_t states[DKV_DECODED_AT_ONCE], places[DKV_DECODED_AT_ONCE] = {0}, kinds[DKV_DECODED_AT_ONCE] = {0};
    row_lanes l[vectors] = {0};
    for (size_t k = 0; k < DKV_DECODED_AT_ONCE; k++) states[k] = lowest_state;
    for (size_t k = 0; k < count; k++) {
        reader r;
        rows[k].sound = begin(&rows[k], columns, copies[k], &r);
        heads[k] = take_head(&r, &rows[k]);
        states[k] = r.state;
        places[k] = (uint32_t)(r.at - copies[0]);
        kinds[k] = heads[k].gain + (rows[k].mode == second ? DKV_GAINS : 0);
        l[k / lanes].rows |= (__mmask8)(1 << k % lanes);
    }
    for (size_t v = 0; v < vectors; v++) {
        l[v].state = load(states + v * lanes);
        l[v].at = load(places + v * lanes);
        l[v].kind = load(kinds + v * lanes);
    }
    __m256i found[vectors][4];
    for (size_t i = 0; i < columns; i += quad) {
        __m256i four[vectors] = {0}, words[vectors];
        _Pragma("clang loop unroll(full)") for (size_t j = 0; j < quad; j++) {
            const __m256i begins = load(tables->begins[first[i + j]]), others = load(tables->begins[second->classes[i + j]]);
            _Pragma("clang loop unroll(full)") for (size_t v = 0; v < vectors; v++) {
                if (j % 2 == 0) words[v] = next_words(&l[v], copies[0]);
                const __m256i table = _mm256_permutex2var_epi32(begins, l[v].kind, others);
                const __m256i symbol = take_symbols(&l[v], &words[v], tables, table);
                const __mmask8 escaped = _mm256_mask_cmpeq_epi32_mask(l[v].rows, symbol, each(DKV_ESCAPE));
                if (__builtin_expect(escaped != 0, 0)) {
                    take_escaped(&l[v], &words[v], escaped, rows + v * lanes, i + j, copies[0]);
                }
                four[v] = _mm256_or_si256(four[v], _mm256_slli_epi32(symbol, 8 * j));
            }
        }
        const size_t place = i / quad % 4;
        for (size_t v = 0; v < vectors; v++) {
            found[v][place] = four[v];
            if (place == 3) transpose(found[v], symbols[v * lanes] + i - 3 * quad, columns);
        }
    }
    for (size_t v = 0; v < vectors; v++) {
        _mm256_storeu_si256((__m256i *)(states + v * lanes), l[v].state);
        _mm256_storeu_si256((__m256i *)(places + v * lanes), l[v].at);
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
