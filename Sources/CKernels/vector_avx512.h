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
INLINE VI v_bits(V a) { return _mm512_castps_si512(a); }
/// Turns signed bytes into unsigned ones that are 128 more.
INLINE VI v_flip_signs(VI a) { return _mm512_xor_si512(a, _mm512_set1_epi8((char)0x80)); }
INLINE V v_from_int(VI a) { return _mm512_cvtepi32_ps(a); }
INLINE VI v_to_int(V a) { return _mm512_cvtps_epi32(a); }
INLINE VI v_or(VI a, VI b) { return _mm512_or_si512(a, b); }
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
