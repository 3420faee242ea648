// SPDX-License-Identifier: Apache-2.0
// The vector vocabulary of template.h in AVX-512. Included once, by avx512.c.
#include <immintrin.h>

#define VW 16            // floats of a vector
#define TILE_PANEL 12    // rows of a linear tile: 12 x 2 accumulators
#define TILE_WIDE 6      // rows of an attention tile: 6 x 4 accumulators
#define NV_PANEL 2       // vectors of a linear tile
#define NV_WIDE 4        // vectors of an attention tile

typedef __m512 V;

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
/// `2^n · a` for a whole n that keeps the result normal.
INLINE V v_scale2(V a, V n) { return _mm512_scalef_ps(a, n); }
/// a where x >= y or x or y is not a number, else zero.
INLINE V v_unless_less(V a, V x, V y) { return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, y, _CMP_NLT_UQ), a); }
/// a in lanes below n, else b.
INLINE V v_first_else(V a, int n, V b) {
    uint32_t mask = n <= 0 ? 0 : n >= VW ? 0xffff : (1u << n) - 1;
    return _mm512_mask_mov_ps(b, (__mmask16)mask, a);
}
INLINE float v_sum(V a) { return _mm512_reduce_add_ps(a); }
INLINE float v_largest(V a) { return _mm512_reduce_max_ps(a); }
