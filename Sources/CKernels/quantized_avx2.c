// SPDX-License-Identifier: Apache-2.0
// AVX2 with FMA and F16C: half a panel (8 outputs) and up to 4 rows at a time, so that 16 registers suffice.
#include "quantized_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2,fma,f16c")))
#define INLINE AVX2 static inline __attribute__((always_inline))

enum { step_rows = 4, half_panel = 8 };

// ---- Quantisation ---------------------------------------------------------------------------------------------------

INLINE __m256i magnitudes(__m256 x) {
    return _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7fffffff));
}

INLINE uint32_t greatest_of(__m256i x) {
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
    return (uint32_t)_mm_cvtsi128_si32(_mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1)));
}

INLINE int32_t sum_of(__m256i x) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

INLINE void quantize_block(const float *x, const float *weight, float scaled, activation_block to, size_t row) {
    __m256 part[4];
    for (size_t i = 0; i < 4; i++) part[i] = _mm256_loadu_ps(x + i * 8);
    for (size_t i = 0; weight && i < 4; i++) {
        part[i] = _mm256_mul_ps(_mm256_mul_ps(part[i], _mm256_set1_ps(scaled)), _mm256_loadu_ps(weight + i * 8));
    }
    __m256i greatest = _mm256_max_epi32(_mm256_max_epi32(magnitudes(part[0]), magnitudes(part[1])),
                                        _mm256_max_epi32(magnitudes(part[2]), magnitudes(part[3])));
    float scale, factor;
    if (!block_scale(greatest_of(greatest), &scale, &factor)) {
        clear_block(to, row, scale);
        return;
    }
    __m256i code[4];
    for (size_t i = 0; i < 4; i++) code[i] = _mm256_cvtps_epi32(_mm256_mul_ps(part[i], _mm256_set1_ps(factor)));
    int32_t sum = sum_of(_mm256_add_epi32(_mm256_add_epi32(code[0], code[1]), _mm256_add_epi32(code[2], code[3])));
    // Packing works within halves of 128 bits; the permutation puts the groups of four back in order.
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(code[0], code[1]), _mm256_packs_epi32(code[2], code[3]));
    bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((__m256i *)to.codes[row], bytes);
    to.scale[row] = scale;
    to.weighted_sum[row] = scale * (float)sum;
    to.negated_sum[row] = -sum;
}

AVX2 static void quantize(const float *x, size_t ldx, size_t rows, size_t blocks, const float *weight,
                          const float *scales, uint8_t *tile) {
    for (size_t row = 0; row < rows; row++) {
        for (size_t block = 0; block < blocks; block++) {
            quantize_block(x + row * ldx + block * block_values, weight ? weight + block * block_values : NULL,
                           weight ? scales[row] : 1, activation_block_at(tile, rows, block), row);
        }
    }
}

// ---- Product --------------------------------------------------------------------------------------------------------

INLINE __m256i four_of_each(activation_block x, size_t row, size_t group) {
    int32_t four;
    memcpy(&four, x.codes[row] + group * 4, 4);
    return _mm256_set1_epi32(four);
}

/// Fifth bits of 8 outputs × 4 values, as bytes of 0 or 16.
INLINE __m256i high_bits(const uint8_t *word) {
    int32_t bits;
    memcpy(&bits, word, 4);
    __m256i places = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32(bits), places);
    __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit), _mm256_set1_epi8(16));
}

/// Σ c · q of 4- and 5-bit codes. vpmaddubsw adds two products in int16: 2 · 15 · 127 = 3810, of which 8 fit (30480),
/// or 2 · 31 · 127 = 7874, of which 4 fit (31496); then pairs are added in int32.
INLINE void multiply_narrow(bool five, const uint8_t *codes, const uint8_t *high, activation_block x, size_t row,
                            size_t rows, __m256i *dots) {
    __m256i nibble = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
    __m256i pairs[step_rows];
#pragma clang loop unroll(full)
    for (size_t j = 0; j < 4; j++) {
        __m256i both = _mm256_loadu_si256((const __m256i *)(codes + j * 64));
        __m256i first = _mm256_and_si256(both, nibble);
        __m256i second = _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble);
        if (five) {
            first = _mm256_or_si256(first, high_bits(high + j * 8));
            second = _mm256_or_si256(second, high_bits(high + 32 + j * 8));
        }
        bool starts = j == 0 || (five && j == 2), ends = j == 3 || (five && j == 1);
#pragma clang loop unroll(full)
        for (size_t i = 0; i < rows; i++) {
            __m256i sum = _mm256_add_epi16(_mm256_maddubs_epi16(first, four_of_each(x, row + i, j)),
                                           _mm256_maddubs_epi16(second, four_of_each(x, row + i, j + 4)));
            pairs[i] = starts ? sum : _mm256_add_epi16(pairs[i], sum);
            if (ends) dots[i] = _mm256_add_epi32(dots[i], _mm256_madd_epi16(pairs[i], ones));
        }
    }
}

/// Σ (c − 128) · q of 8-bit codes. The sign goes over to q, so that vpmaddubsw adds two products of magnitudes:
/// 2 · 128 · 127 = 32512 fits int16.
INLINE void multiply_wide(const uint8_t *codes, activation_block x, size_t row, size_t rows, __m256i *dots) {
    __m256i ones = _mm256_set1_epi16(1);
#pragma clang loop unroll(full)
    for (size_t group = 0; group < 8; group++) {
        __m256i stored = _mm256_loadu_si256((const __m256i *)(codes + group * 64));
        __m256i code = _mm256_xor_si256(stored, _mm256_set1_epi8(-128));
        __m256i magnitude = _mm256_abs_epi8(code);
#pragma clang loop unroll(full)
        for (size_t i = 0; i < rows; i++) {
            __m256i pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(four_of_each(x, row + i, group), code));
            dots[i] = _mm256_add_epi32(dots[i], _mm256_madd_epi16(pairs, ones));
        }
    }
}

INLINE __m256 eight_halves(const uint8_t *source) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)source));
}

INLINE void store(const __m256 sum, float *to, size_t outputs, bool accumulate) {
    if (outputs >= half_panel) {
        _mm256_storeu_ps(to, accumulate ? _mm256_add_ps(_mm256_loadu_ps(to), sum) : sum);
        return;
    }
    float values[half_panel];
    _mm256_storeu_ps(values, sum);
    for (size_t i = 0; i < outputs; i++) to[i] = accumulate ? to[i] + values[i] : values[i];
}

/// `rows` rows from `row` on, and outputs 8 · half to 8 · half + 7 of the panel.
INLINE void multiply_rows(block_traits traits, const tile_job *job, size_t half, size_t row, size_t rows) {
    size_t output = job->panel * panel_outputs + half * half_panel;
    if (output >= job->matrix->outputs) return;
    const uint8_t *panel = job->matrix->panels + job->panel * job->matrix->panel_bytes;
    __m256 sums[step_rows];
    for (size_t i = 0; i < rows; i++) sums[i] = _mm256_setzero_ps();
    for (size_t block = 0; block < job->matrix->blocks; block++) {
        weight_block w = weight_block_at(traits, panel, block);
        activation_block x = activation_block_at(job->tile, job->rows, block);
        __m256i dots[step_rows];
        for (size_t i = 0; i < rows; i++) {
            dots[i] = _mm256_set1_epi32(traits.form == form_8 ? 0 : dot_offset(traits, x.negated_sum[row + i]));
        }
        if (traits.form == form_8) {
            multiply_wide(w.codes + half * 32, x, row, rows, dots);
        } else {
            multiply_narrow(traits.form == form_5, w.codes + half * 32, w.high + half * 4, x, row, rows, dots);
        }
        __m256 scales = eight_halves(w.scales + half * 16);
        for (size_t i = 0; i < rows; i++) {
            __m256 factor = _mm256_mul_ps(scales, _mm256_set1_ps(x.scale[row + i]));
            sums[i] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[i]), factor, sums[i]);
        }
        if (!traits.minima) continue;
        __m256 minima = eight_halves(w.minima + half * 16);
        for (size_t i = 0; i < rows; i++) {
            sums[i] = _mm256_fmadd_ps(minima, _mm256_set1_ps(x.weighted_sum[row + i]), sums[i]);
        }
    }
    for (size_t i = 0; i < rows; i++) {
        store(sums[i], job->y + (row + i) * job->ldy + half * half_panel, job->matrix->outputs - output, job->accumulate);
    }
}

/// Both halves of the panel for `rows` rows from `row` on.
INLINE void multiply_step(block_traits traits, const tile_job *job, size_t row, size_t rows) {
    multiply_rows(traits, job, 0, row, rows);
    multiply_rows(traits, job, 1, row, rows);
}

INLINE void multiply_tile(block_traits traits, const tile_job *job) {
    size_t row = 0;
    for (; job->rows - row >= step_rows; row += step_rows) multiply_step(traits, job, row, step_rows);
    switch (job->rows - row) {
        case 3: multiply_step(traits, job, row, 3); break;
        case 2: multiply_step(traits, job, row, 2); break;
        case 1: multiply_step(traits, job, row, 1); break;
        default: break;
    }
}

AVX2 static void multiply(const dkv_quantized_matrix *matrix, size_t panel, const uint8_t *tile, size_t rows, float *y,
                          size_t ldy, bool accumulate) {
    const tile_job job = {matrix, panel, tile, rows, y, ldy, accumulate};
    switch (matrix->type) {
        case DKV_Q4_0: multiply_tile(traits_of(DKV_Q4_0), &job); break;
        case DKV_Q4_1: multiply_tile(traits_of(DKV_Q4_1), &job); break;
        case DKV_Q5_0: multiply_tile(traits_of(DKV_Q5_0), &job); break;
        case DKV_Q5_1: multiply_tile(traits_of(DKV_Q5_1), &job); break;
        case DKV_Q8_0: multiply_tile(traits_of(DKV_Q8_0), &job); break;
    }
}

const dkv_quantized_kernels dkv_quantized_avx2 = {quantize, multiply};
#endif
