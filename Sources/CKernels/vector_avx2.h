// SPDX-License-Identifier: Apache-2.0
// The vector vocabulary of template.h in AVX2 with FMA and F16C. Included once, by avx2.c.
#include <immintrin.h>
#include <string.h>

#define VW 8             // floats of a vector
#define TILE_PANEL 6     // rows of a linear tile: 6 x 2 accumulators
#define TILE_WIDE 6      // rows of an attention tile: 6 x 2 accumulators
#define NV_PANEL 2       // vectors of a linear tile
#define NV_WIDE 2        // vectors of an attention tile

typedef __m256 V;
typedef __m256i VI;

#define INLINE static inline __attribute__((always_inline))

INLINE V v_zero(void) { return _mm256_setzero_ps(); }
INLINE V v_set(float x) { return _mm256_set1_ps(x); }
INLINE V v_load(const float *p) { return _mm256_loadu_ps(p); }
INLINE V v_load_half(const uint16_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }
INLINE void v_store(float *p, V x) { _mm256_storeu_ps(p, x); }
INLINE void v_store_half(uint16_t *p, V x) {
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}
/// All ones in lanes below n, else zero.
INLINE __m256i v_lanes_below(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
/// The first `n` lanes (n < VW), the others zero.
INLINE V v_load_first(const float *p, size_t n) { return _mm256_maskload_ps(p, v_lanes_below((int)n)); }
INLINE void v_store_first(float *p, V x, size_t n) { _mm256_maskstore_ps(p, v_lanes_below((int)n), x); }
INLINE V v_add(V a, V b) { return _mm256_add_ps(a, b); }
INLINE V v_sub(V a, V b) { return _mm256_sub_ps(a, b); }
INLINE V v_mul(V a, V b) { return _mm256_mul_ps(a, b); }
INLINE V v_div(V a, V b) { return _mm256_div_ps(a, b); }
INLINE V v_fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
INLINE V v_max(V a, V b) { return _mm256_max_ps(a, b); }
INLINE V v_min(V a, V b) { return _mm256_min_ps(a, b); }
INLINE V v_round(V a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
/// `2^n · a` for a whole n and an a near 1.
INLINE V v_scale2(V a, V n) {
    // In two steps, so that results below the normal range are rounded once, by the second.
    V within = v_max(v_set(-250.0f), v_min(v_set(250.0f), n));
    __m256i whole = _mm256_cvtps_epi32(within), half = _mm256_srai_epi32(whole, 1);
    __m256i bias = _mm256_set1_epi32(127);
    __m256i first = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    __m256i second = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(whole, half), bias), 23);
    return _mm256_mul_ps(_mm256_mul_ps(a, _mm256_castsi256_ps(first)), _mm256_castsi256_ps(second));
}
/// a in lanes below n, else b.
INLINE V v_first_else(V a, int n, V b) { return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(v_lanes_below(n))); }
/// a where x >= y, else b.
INLINE V v_unless_int_less(V a, VI x, VI y, V b) {
    return _mm256_blendv_ps(a, b, _mm256_castsi256_ps(_mm256_cmpgt_epi32(y, x)));
}
/// 1 / a where a > 0, else a.
INLINE V v_inverse_if_positive(V a) {
    return _mm256_blendv_ps(a, v_div(v_set(1.0f), a), _mm256_cmp_ps(a, v_zero(), _CMP_GT_OQ));
}
INLINE VI v_set_int(int32_t x) { return _mm256_set1_epi32(x); }
INLINE VI v_load_int(const int32_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE void v_store_int(int32_t *p, VI x) { _mm256_storeu_si256((__m256i *)p, x); }
INLINE void v_store_bytes(uint8_t *p, VI x) {
    VI low = _mm256_shuffle_epi8(x, _mm256_set1_epi32(0x0c080400));  // the lowest bytes of each half's four lanes
    int32_t halves[2] = {_mm256_extract_epi32(low, 0), _mm256_extract_epi32(low, 4)};
    memcpy(p, halves, 8);
}
INLINE V v_abs(V a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
INLINE V v_as_float(VI a) { return _mm256_castsi256_ps(a); }
INLINE VI v_bits(V a) { return _mm256_castps_si256(a); }
/// The lower and the upper four bits of each byte.
INLINE VI v_low_halves(VI a) { return _mm256_and_si256(a, _mm256_set1_epi8(15)); }
INLINE VI v_high_halves(VI a) { return v_low_halves(_mm256_srli_epi32(a, 4)); }
/// Bytes with the upper four bits of one and the lower four of another.
INLINE VI v_join_halves(VI upper, VI lower) {
    const VI low = _mm256_set1_epi8(15);
    return _mm256_or_si256(_mm256_andnot_si256(low, upper), _mm256_and_si256(low, lower));
}
/// Lanes without their lower 16 bits.
INLINE VI v_upper_16(VI a) { return _mm256_and_si256(a, _mm256_set1_epi32((int32_t)0xffff0000)); }
INLINE V v_from_int(VI a) { return _mm256_cvtepi32_ps(a); }
INLINE VI v_to_int(V a) { return _mm256_cvtps_epi32(a); }
INLINE VI v_or(VI a, VI b) { return _mm256_or_si256(a, b); }
INLINE VI v_add_int(VI a, VI b) { return _mm256_add_epi32(a, b); }
INLINE VI v_max_unsigned(VI a, VI b) { return _mm256_max_epu32(a, b); }
INLINE uint32_t v_largest_unsigned(VI a) {
    __m128i x = _mm_max_epu32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    x = _mm_max_epu32(x, _mm_shuffle_epi32(x, 0x4e));
    return (uint32_t)_mm_cvtsi128_si32(_mm_max_epu32(x, _mm_shuffle_epi32(x, 0xb1)));
}
INLINE VI v_shift_left(VI a, int n) { return _mm256_slli_epi32(a, n); }
INLINE float v_sum(V a) {
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_shuffle_ps(x, x, 1)));
}
INLINE float v_largest(V a) {
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_shuffle_ps(x, x, 1)));
}
/// The sum of 16 lanes, folded by halves.
INLINE float v_sum_halves(const V *lanes) {
    __m256 x = _mm256_add_ps(lanes[0], lanes[1]);
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_shuffle_ps(y, y, 1)));
}
/// Of each two lanes that are `apart`, a power of two below VW: their sum in the first, what the first is more in the second.
INLINE V v_sum_and_difference(V x, const int apart) {
    V other;
    switch (apart) {
        case 1:
            other = _mm256_permute_ps(x, 0xb1);
            return _mm256_blend_ps(_mm256_add_ps(x, other), _mm256_sub_ps(other, x), 0xaa);
        case 2:
            other = _mm256_permute_ps(x, 0x4e);
            return _mm256_blend_ps(_mm256_add_ps(x, other), _mm256_sub_ps(other, x), 0xcc);
        default:
            other = _mm256_permute2f128_ps(x, x, 1);
            return _mm256_blend_ps(_mm256_add_ps(x, other), _mm256_sub_ps(other, x), 0xf0);
    }
}
/// Turns 8 rows of 8 into columns.
INLINE void v_transpose(V *x) {
    V y[8];
    for (int i = 0; i < 8; i += 4) {
        V a = _mm256_unpacklo_ps(x[i], x[i + 1]), b = _mm256_unpackhi_ps(x[i], x[i + 1]);
        V c = _mm256_unpacklo_ps(x[i + 2], x[i + 3]), d = _mm256_unpackhi_ps(x[i + 2], x[i + 3]);
        y[i] = _mm256_shuffle_ps(a, c, 0x44);
        y[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
        y[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
        y[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
    }
    for (int i = 0; i < 4; i++) {
        x[i] = _mm256_permute2f128_ps(y[i], y[i + 4], 0x20);
        x[i + 4] = _mm256_permute2f128_ps(y[i], y[i + 4], 0x31);
    }
}
/// Which of 64 codes are at most `most`.
INLINE uint64_t v_at_most(const uint8_t *codes, uint8_t most) {
    uint64_t found = 0;
    for (int i = 0; i < 2; i++) {
        const VI x = _mm256_loadu_si256((const __m256i *)(codes + 32 * i)), limit = _mm256_set1_epi8((char)most);
        const VI below = _mm256_cmpeq_epi8(_mm256_min_epu8(x, limit), x);
        found |= (uint64_t)(uint32_t)_mm256_movemask_epi8(below) << 32 * i;
    }
    return found;
}
/// Writes `first` plus the indices of the codes, of 8, that are at most `most`, at `to`, which has room for all; returns how many.
INLINE size_t v_pick(const uint8_t *codes, uint8_t most, uint32_t first, uint32_t *to) {
    size_t count = 0;
    for (uint32_t i = 0; i < VW; i++) {
        to[count] = first + i;
        count += codes[i] <= most;
    }
    return count;
}
