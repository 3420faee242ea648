// SPDX-License-Identifier: Apache-2.0
// Pages and picked tokens in the order in which products read them, in terms of a vector vocabulary. Included once per
// instruction set, by attention_int8.h.

/// Asks for a line of memory ahead of its use. Requests are spread over the work on the page before, because a core waits when it
/// has too many; they go to the second level, since the first is too small for two pages.
INLINE void prefetch(const void *at) { __builtin_prefetch(at, 0, 2); }

/// Lines of a head of a page, of 64 bytes each.
INLINE size_t lines_of(size_t d) { return DKV_INT8_HEAD_BYTES(d) / 64; }

INLINE void prefetch_line(int8_head h, size_t d, size_t line) {
    const size_t scanned = d / 2 + 4;
    prefetch(line < scanned ? (const char *)h.upper + line * 64 : (const char *)h.values + (line - scanned) * 64);
}

/// 64 tokens of one head as vpdpbusd reads them.
typedef struct int8_page {
    uint8_t *keys;               // [d / 4][page_tokens][4]: v_keys(codes + 128); for tiles [page_tokens][d]
    int8_t *values;              // [page_tokens / 4][d][4]; for tiles [d][page_tokens]
    const uint32_t *scales;      // [page_tokens]
} int8_page;

/// Scales of VW tokens' keys, or of their values.
INLINE V v_key_scales(const uint32_t *scales) { return v_as_float(v_upper_16(v_load_int((const int32_t *)scales))); }
INLINE V v_value_scales(const uint32_t *scales) {
    return v_as_float(v_shift_left(v_load_int((const int32_t *)scales), 16));
}

/// Floats that a page takes in scratch, without its scales.
INLINE size_t page_size(size_t d) { return page_tokens * d / 2; }

INLINE int8_page page_in(float *scratch, size_t d) {
    return (int8_page){.keys = (uint8_t *)scratch, .values = (int8_t *)scratch + page_tokens * d};
}

/// Words of four bytes of VW rows, at most VW of each, that begin at `from[…]`: vector j holds word j of all rows.
INLINE void gather_words(const uint8_t *const *from, size_t words, V *to) {
    UNROLL for (size_t lane = 0; lane < VW; lane++) to[lane] = v_load_first((const float *)from[lane], words);
    v_transpose(to);
}

/// One word of four bytes at each of VW places, `offset` bytes on.
INLINE VI gather_word(const uint8_t *const *from, size_t offset) {
    int32_t words[VW];
    for (size_t lane = 0; lane < VW; lane++) memcpy(&words[lane], from[lane] + offset, 4);
    return v_load_int(words);
}

/// Puts together the halves of the keys of VW tokens.
INLINE void join_keys(int8_head h, size_t d, size_t first, uint8_t *keys) {
    for (size_t start = 0; start < d / 8; start += VW) {
        const size_t words = d / 8 - start < VW ? d / 8 - start : VW;
        const uint8_t *from[VW];
        V lower[VW];
        for (size_t lane = 0; lane < VW; lane++) from[lane] = h.lower + (first + lane) * d / 2 + start * 4;
        gather_words(from, words, lower);
        for (size_t j = 0; j < words; j++) {
            const size_t at = ((start + j) * page_tokens + first) * 4;
            const VI upper = v_load_int((const int32_t *)(h.upper + at)), both = v_bits(lower[j]);
            v_store_int((int32_t *)(keys + at), v_keys(v_join_halves(v_shift_left(upper, 4), both)));
            v_store_int((int32_t *)(keys + page_tokens * d / 2 + at), v_keys(v_join_halves(upper, v_high_halves(both))));
        }
    }
}

/// `[4][16]` bytes from four places to `[16][4]`.
INLINE void mix_16(const int8_t *const *from, int8_t *to) {
    __m128i x[4], y[4];
    UNROLL for (size_t i = 0; i < 4; i++) x[i] = _mm_loadu_si128((const __m128i *)from[i]);
    y[0] = _mm_unpacklo_epi8(x[0], x[1]);
    y[1] = _mm_unpackhi_epi8(x[0], x[1]);
    y[2] = _mm_unpacklo_epi8(x[2], x[3]);
    y[3] = _mm_unpackhi_epi8(x[2], x[3]);
    UNROLL for (size_t i = 0; i < 2; i++) {
        _mm_storeu_si128((__m128i *)(to + 32 * i), _mm_unpacklo_epi16(y[i], y[i + 2]));
        _mm_storeu_si128((__m128i *)(to + 32 * i + 16), _mm_unpackhi_epi16(y[i], y[i + 2]));
    }
}

/// Puts the values of four tokens beside each other.
INLINE void mix_values(const int8_t *const *from, size_t d, int8_t *to) {
    size_t i = 0;
#ifdef HAS_MIX_64
    for (; i + 64 <= d; i += 64) {
        v_mix_64((const int8_t *[]){from[0] + i, from[1] + i, from[2] + i, from[3] + i}, to + i * 4);
    }
#endif
    for (; i < d; i += 16) {
        mix_16((const int8_t *[]){from[0] + i, from[1] + i, from[2] + i, from[3] + i}, to + i * 4);
    }
}

/// Rearranges a head of a page. Slots that no token has been written to give any bits.
INLINE void arrange_page(int8_head h, size_t d, int8_page *to) {
    for (size_t t = 0; t < page_tokens; t += VW) join_keys(h, d, t, to->keys);
    for (size_t t = 0; t < page_tokens; t += 4) {
        const int8_t *from[4];
        for (size_t j = 0; j < 4; j++) from[j] = h.values + (t + j) * d;
        mix_values(from, d, to->values + t * d);
    }
    to->scales = h.scales;
}
