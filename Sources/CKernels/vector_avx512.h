// SPDX-License-Identifier: Apache-2.0
// The vector vocabulary of template.h in AVX-512. Included once, by avx512.c.
#include <immintrin.h>

#define VW 16            // floats of a vector
#define TILE_PANEL 12    // rows of a linear tile: 12 x 2 accumulators
#define TILE_WIDE 6      // rows of an attention tile: 6 x 4 accumulators
#define NV_PANEL 2       // vectors of a linear tile
#define NV_WIDE 4        // vectors of an attention tile

typedef __m512 V;
typedef __m512i VI;

#define INLINE static inline __attribute__((always_inline))

INLINE V v_zero(void) { return _mm512_setzero_ps(); }
INLINE V v_set(float x) { return _mm512_set1_ps(x); }
INLINE V v_load(const float *p) { return _mm512_loadu_ps(p); }
INLINE V v_load_half(const uint16_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }
INLINE void v_store(float *p, V x) { _mm512_storeu_ps(p, x); }
INLINE void v_store_half(uint16_t *p, V x) {
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
/// The first `n` lanes (n < VW), the others zero.
INLINE V v_load_first(const float *p, size_t n) { return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p); }
INLINE void v_store_first(float *p, V x, size_t n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), x); }
INLINE V v_add(V a, V b) { return _mm512_add_ps(a, b); }
INLINE V v_sub(V a, V b) { return _mm512_sub_ps(a, b); }
INLINE V v_mul(V a, V b) { return _mm512_mul_ps(a, b); }
INLINE V v_div(V a, V b) { return _mm512_div_ps(a, b); }
INLINE V v_fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
INLINE V v_max(V a, V b) { return _mm512_max_ps(a, b); }
INLINE V v_min(V a, V b) { return _mm512_min_ps(a, b); }
INLINE V v_round(V a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
/// `2^n · a` for a whole n.
INLINE V v_scale2(V a, V n) { return _mm512_scalef_ps(a, n); }
/// a in lanes below n, else b.
INLINE V v_first_else(V a, int n, V b) {
    uint32_t mask = n <= 0 ? 0 : n >= VW ? 0xffff : (1u << n) - 1;
    return _mm512_mask_mov_ps(b, (__mmask16)mask, a);
}
/// a where x >= y, else b.
INLINE V v_unless_int_less(V a, VI x, VI y, V b) { return _mm512_mask_mov_ps(a, _mm512_cmplt_epi32_mask(x, y), b); }
/// 1 / a where a > 0, else a.
INLINE V v_inverse_if_positive(V a) {
    return _mm512_mask_div_ps(a, _mm512_cmp_ps_mask(a, v_zero(), _CMP_GT_OQ), v_set(1.0f), a);
}
INLINE VI v_set_int(int32_t x) { return _mm512_set1_epi32(x); }
INLINE VI v_load_int(const int32_t *p) { return _mm512_loadu_si512(p); }
INLINE void v_store_int(int32_t *p, VI x) { _mm512_storeu_si512(p, x); }
INLINE void v_store_bytes(uint8_t *p, VI x) { _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(x)); }
INLINE V v_abs(V a) { return _mm512_abs_ps(a); }
INLINE V v_as_float(VI a) { return _mm512_castsi512_ps(a); }
INLINE VI v_bits(V a) { return _mm512_castps_si512(a); }
/// The lower and the upper four bits of each byte.
INLINE VI v_low_halves(VI a) { return _mm512_and_si512(a, _mm512_set1_epi8(15)); }
INLINE VI v_high_halves(VI a) { return v_low_halves(_mm512_srli_epi32(a, 4)); }
/// Bytes with the upper four bits of one and the lower four of another.
INLINE VI v_join_halves(VI upper, VI lower) {
    return _mm512_ternarylogic_epi32(_mm512_set1_epi8((char)0xf0), upper, lower, 0xca);
}
/// Lanes without their lower 16 bits.
INLINE VI v_upper_16(VI a) { return _mm512_and_si512(a, _mm512_set1_epi32((int32_t)0xffff0000)); }
INLINE V v_from_int(VI a) { return _mm512_cvtepi32_ps(a); }
INLINE VI v_to_int(V a) { return _mm512_cvtps_epi32(a); }
INLINE VI v_or(VI a, VI b) { return _mm512_or_si512(a, b); }
INLINE VI v_add_int(VI a, VI b) { return _mm512_add_epi32(a, b); }
INLINE VI v_max_unsigned(VI a, VI b) { return _mm512_max_epu32(a, b); }
INLINE uint32_t v_largest_unsigned(VI a) { return _mm512_reduce_max_epu32(a); }
INLINE VI v_shift_left(VI a, int n) { return _mm512_slli_epi32(a, (unsigned)n); }
INLINE float v_sum(V a) { return _mm512_reduce_add_ps(a); }
INLINE float v_largest(V a) { return _mm512_reduce_max_ps(a); }
/// The sum of 16 lanes, folded by halves.
INLINE float v_sum_halves(const V *lanes) {
    __m256 x = _mm256_add_ps(_mm512_castps512_ps256(lanes[0]), _mm512_extractf32x8_ps(lanes[0], 1));
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_shuffle_ps(y, y, 1)));
}
/// Of each two lanes that are `apart`, a power of two below VW: their sum in the first, what the first is more in the second.
INLINE V v_sum_and_difference(V x, const int apart) {
    V other;
    switch (apart) {
        case 1: other = _mm512_permute_ps(x, 0xb1); break;
        case 2: other = _mm512_permute_ps(x, 0x4e); break;
        case 4: other = _mm512_shuffle_f32x4(x, x, 0xb1); break;
        default: other = _mm512_shuffle_f32x4(x, x, 0x4e);
    }
    const __mmask16 seconds = apart == 1 ? 0xaaaa : apart == 2 ? 0xcccc : apart == 4 ? 0xf0f0 : 0xff00;
    return _mm512_mask_sub_ps(_mm512_add_ps(x, other), seconds, other, x);
}
/// Turns 16 rows of 16 into columns.
INLINE void v_transpose(V *x) {
    V y[16];
    for (int i = 0; i < 16; i += 4) {
        V a = _mm512_unpacklo_ps(x[i], x[i + 1]), b = _mm512_unpackhi_ps(x[i], x[i + 1]);
        V c = _mm512_unpacklo_ps(x[i + 2], x[i + 3]), d = _mm512_unpackhi_ps(x[i + 2], x[i + 3]);
        y[i] = _mm512_shuffle_ps(a, c, 0x44);
        y[i + 1] = _mm512_shuffle_ps(a, c, 0xee);
        y[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
        y[i + 3] = _mm512_shuffle_ps(b, d, 0xee);
    }
    for (int i = 0; i < 4; i++) {
        V a = _mm512_shuffle_f32x4(y[i], y[i + 4], 0x88), b = _mm512_shuffle_f32x4(y[i], y[i + 4], 0xdd);
        V c = _mm512_shuffle_f32x4(y[i + 8], y[i + 12], 0x88), d = _mm512_shuffle_f32x4(y[i + 8], y[i + 12], 0xdd);
        x[i] = _mm512_shuffle_f32x4(a, c, 0x88);
        x[i + 4] = _mm512_shuffle_f32x4(b, d, 0x88);
        x[i + 8] = _mm512_shuffle_f32x4(a, c, 0xdd);
        x[i + 12] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
}
#define HAS_MIX_64
/// `[4][64]` bytes from four places to `[64][4]`.
INLINE void v_mix_64(const int8_t *const *from, int8_t *to) {
    VI x[4], y[4], z[4];
    for (int i = 0; i < 4; i++) x[i] = _mm512_loadu_si512(from[i]);
    y[0] = _mm512_unpacklo_epi8(x[0], x[1]);
    y[1] = _mm512_unpackhi_epi8(x[0], x[1]);
    y[2] = _mm512_unpacklo_epi8(x[2], x[3]);
    y[3] = _mm512_unpackhi_epi8(x[2], x[3]);
    z[0] = _mm512_unpacklo_epi16(y[0], y[2]);  // of each quarter, elements 0 to 3
    z[1] = _mm512_unpackhi_epi16(y[0], y[2]);
    z[2] = _mm512_unpacklo_epi16(y[1], y[3]);
    z[3] = _mm512_unpackhi_epi16(y[1], y[3]);
    y[0] = _mm512_shuffle_i64x2(z[0], z[1], 0x44);
    y[1] = _mm512_shuffle_i64x2(z[2], z[3], 0x44);
    y[2] = _mm512_shuffle_i64x2(z[0], z[1], 0xee);
    y[3] = _mm512_shuffle_i64x2(z[2], z[3], 0xee);
    for (int i = 0; i < 2; i++) {
        _mm512_storeu_si512(to + 128 * i, _mm512_shuffle_i64x2(y[2 * i], y[2 * i + 1], 0x88));
        _mm512_storeu_si512(to + 128 * i + 64, _mm512_shuffle_i64x2(y[2 * i], y[2 * i + 1], 0xdd));
    }
}
/// Which of 64 codes are at most `most`.
INLINE uint64_t v_at_most(const uint8_t *codes, uint8_t most) {
    return _mm512_cmple_epu8_mask(_mm512_loadu_si512(codes), _mm512_set1_epi8((char)most));
}
/// Writes `first` plus the indices of the codes, of 16, that are at most `most`, at `to`, which has room for all; returns how many.
INLINE size_t v_pick(const uint8_t *codes, uint8_t most, uint32_t first, uint32_t *to) {
    const __mmask16 picked = _mm_cmple_epu8_mask(_mm_loadu_si128((const __m128i *)codes), _mm_set1_epi8((char)most));
    if (picked == 0) return 0;
    const VI index = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const VI at = _mm512_add_epi32(index, _mm512_set1_epi32((int32_t)first));
    _mm512_storeu_si512(to, _mm512_maskz_compress_epi32(picked, at));
    return (size_t)__builtin_popcount(picked);
}
