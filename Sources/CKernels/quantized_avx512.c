// SPDX-License-Identifier: Apache-2.0
// AVX-512 with VNNI: one vpdpbusd multiplies 4 values of k for 16 outputs. A tile of up to 8 rows keeps 8 integer and
// 8 float accumulators in registers; codes are unpacked once for all its rows.
#include "quantized_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX512 __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define INLINE AVX512 static inline __attribute__((always_inline))

// ---- Quantisation ---------------------------------------------------------------------------------------------------

INLINE void quantize_block(const float *x, const float *weight, float scaled, activation_block to, size_t row) {
    __m512 low = _mm512_loadu_ps(x), high = _mm512_loadu_ps(x + 16);
    if (weight) {
        low = _mm512_mul_ps(_mm512_mul_ps(low, _mm512_set1_ps(scaled)), _mm512_loadu_ps(weight));
        high = _mm512_mul_ps(_mm512_mul_ps(high, _mm512_set1_ps(scaled)), _mm512_loadu_ps(weight + 16));
    }
    __m512i sign_off = _mm512_set1_epi32(0x7fffffff);
    __m512i magnitudes = _mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(low), sign_off),
                                          _mm512_and_si512(_mm512_castps_si512(high), sign_off));
    float scale, factor;
    if (!block_scale((uint32_t)_mm512_reduce_max_epi32(magnitudes), &scale, &factor)) {
        clear_block(to, row, scale);
        return;
    }
    __m512 factors = _mm512_set1_ps(factor);
    __m128i codes_low = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(low, factors)));
    __m128i codes_high = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(high, factors)));
    _mm_storeu_si128((__m128i *)to.codes[row], codes_low);
    _mm_storeu_si128((__m128i *)(to.codes[row] + 16), codes_high);
    __m128i ones = _mm_set1_epi8(1);
    __m128i sums = _mm_dpbusd_epi32(_mm_dpbusd_epi32(_mm_setzero_si128(), ones, codes_low), ones, codes_high);
    sums = _mm_add_epi32(sums, _mm_shuffle_epi32(sums, 0x4e));
    sums = _mm_add_epi32(sums, _mm_shuffle_epi32(sums, 0xb1));
    int32_t sum = _mm_cvtsi128_si32(sums);
    to.scale[row] = scale;
    to.weighted_sum[row] = scale * (float)sum;
    to.negated_sum[row] = -sum;
}

/// One number of each of eight vectors, combined across lanes: `a` and `b` of a step become one.
#define FOLD_EIGHT(combine, x)                                                                                         \
    for (int i = 0; i < 8; i += 2) {                                                                                   \
        x[i / 2] = combine(_mm256_unpacklo_epi32(x[i], x[i + 1]), _mm256_unpackhi_epi32(x[i], x[i + 1]));              \
    }                                                                                                                  \
    for (int i = 0; i < 4; i += 2) {                                                                                   \
        x[i / 2] = combine(_mm256_unpacklo_epi64(x[i], x[i + 1]), _mm256_unpackhi_epi64(x[i], x[i + 1]));              \
    }                                                                                                                  \
    x[0] = combine(_mm256_permute2x128_si256(x[0], x[1], 0x20), _mm256_permute2x128_si256(x[0], x[1], 0x31))

/// A block of a whole tile: maxima and sums of its eight rows are found together. Returns false, with nothing written, where a
/// row needs the care of `block_scale`.
INLINE bool quantize_eight(const float *x, size_t ldx, const float *weight, const float *scales, activation_block to) {
    const __m512i sign_off = _mm512_set1_epi32(0x7fffffff);
    __m512 low[8], high[8];
    __m256i fold[8];
#pragma clang loop unroll(full)
    for (int row = 0; row < 8; row++) {
        low[row] = _mm512_loadu_ps(x + (size_t)row * ldx);
        high[row] = _mm512_loadu_ps(x + (size_t)row * ldx + 16);
        if (weight) {
            low[row] = _mm512_mul_ps(_mm512_mul_ps(low[row], _mm512_set1_ps(scales[row])), _mm512_loadu_ps(weight));
            high[row] = _mm512_mul_ps(_mm512_mul_ps(high[row], _mm512_set1_ps(scales[row])), _mm512_loadu_ps(weight + 16));
        }
        __m512i both = _mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(low[row]), sign_off),
                                        _mm512_and_si512(_mm512_castps_si512(high[row]), sign_off));
        fold[row] = _mm256_max_epi32(_mm512_castsi512_si256(both), _mm512_extracti32x8_epi32(both, 1));
    }
    FOLD_EIGHT(_mm256_max_epi32, fold);
    const __m256 greatest = _mm256_castsi256_ps(fold[0]);
    const __mmask8 plain = _mm256_cmp_ps_mask(greatest, _mm256_set1_ps(0x1p-116f), _CMP_GE_OQ)
        & _mm256_cmp_ps_mask(greatest, _mm256_set1_ps(INFINITY), _CMP_LT_OQ);
    if (plain != 0xff) return false;
    const __m256 scale = _mm256_div_ps(greatest, _mm256_set1_ps(127.0f));
    float factors[8];
    _mm256_storeu_ps(factors, _mm256_div_ps(_mm256_set1_ps(127.0f), greatest));
#pragma clang loop unroll(full)
    for (int row = 0; row < 8; row++) {
        const __m512 factor = _mm512_set1_ps(factors[row]);
        __m128i first = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(low[row], factor)));
        __m128i second = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(_mm512_mul_ps(high[row], factor)));
        __m256i codes = _mm256_set_m128i(second, first);
        _mm256_storeu_si256((__m256i *)to.codes[row], codes);
        fold[row] = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), codes);
    }
    FOLD_EIGHT(_mm256_add_epi32, fold);
    _mm256_storeu_ps(to.scale, scale);
    _mm256_storeu_ps(to.weighted_sum, _mm256_mul_ps(scale, _mm256_cvtepi32_ps(fold[0])));
    _mm256_storeu_si256((__m256i *)to.negated_sum, _mm256_sub_epi32(_mm256_setzero_si256(), fold[0]));
    return true;
}

AVX512 static void quantize(const float *x, size_t ldx, size_t rows, size_t blocks, const float *weight,
                            const float *scales, uint8_t *tile) {
    for (size_t block = 0; block < blocks; block++) {
        const float *at = x + block * block_values, *weights = weight ? weight + block * block_values : NULL;
        activation_block to = activation_block_at(tile, rows, block);
        if (rows == tile_rows && quantize_eight(at, ldx, weights, scales, to)) continue;
        for (size_t row = 0; row < rows; row++) {
            quantize_block(at + row * ldx, weights, weights ? scales[row] : 1, to, row);
        }
    }
}

// ---- Product --------------------------------------------------------------------------------------------------------

INLINE __m512i four_of_each(activation_block x, size_t row, size_t group) {
    int32_t four;
    memcpy(&four, x.codes[row] + group * 4, 4);
    return _mm512_set1_epi32(four);
}

INLINE __m512i with_high_bits(__m512i codes, const uint8_t *word) {
    uint64_t mask;
    memcpy(&mask, word, 8);
    return _mm512_mask_add_epi8(codes, mask, codes, _mm512_set1_epi8(16));
}

/// Adds the products of one vector of codes, for all rows.
INLINE void add_group(__m512i *dots, __m512i codes, activation_block x, size_t group, size_t rows) {
#pragma clang loop unroll(full)
    for (size_t row = 0; row < rows; row++) {
        dots[row] = _mm512_dpbusd_epi32(dots[row], codes, four_of_each(x, row, group));
    }
}

/// Σ c · q of a block, for all rows.
INLINE void multiply_block(block_traits traits, weight_block w, activation_block x, size_t rows, __m512i *dots) {
    __m512i nibble = _mm512_set1_epi8(15);
#pragma clang loop unroll(full)
    for (size_t j = 0; j < 4; j++) {
        if (traits.form == form_8) {
            add_group(dots, _mm512_loadu_si512(w.codes + j * 128), x, j * 2, rows);
            add_group(dots, _mm512_loadu_si512(w.codes + j * 128 + 64), x, j * 2 + 1, rows);
            continue;
        }
        __m512i both = _mm512_loadu_si512(w.codes + j * 64);
        __m512i low = _mm512_and_si512(both, nibble);
        __m512i high = _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble);
        if (traits.form == form_5) {
            low = with_high_bits(low, w.high + j * 8);
            high = with_high_bits(high, w.high + 32 + j * 8);
        }
        add_group(dots, low, x, j, rows);
        add_group(dots, high, x, j + 4, rows);
    }
}

INLINE __m512 sixteen_halves(const uint8_t *source) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)source));
}

/// Adds one block to the sums of all rows, in the order that the header fixes.
INLINE void add_block(block_traits traits, weight_block w, activation_block x, size_t rows, __m512 *sums) {
    __m512i dots[tile_rows];
    for (size_t row = 0; row < rows; row++) {
        dots[row] = traits.offset_shift < 0
            ? _mm512_setzero_si512()
            : _mm512_slli_epi32(_mm512_set1_epi32(x.negated_sum[row]), (unsigned)traits.offset_shift);
    }
    multiply_block(traits, w, x, rows, dots);
    __m512 scales = sixteen_halves(w.scales);
    for (size_t row = 0; row < rows; row++) {
        __m512 factor = _mm512_mul_ps(scales, _mm512_set1_ps(x.scale[row]));
        sums[row] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[row]), factor, sums[row]);
    }
    if (!traits.minima) return;
    __m512 minima = sixteen_halves(w.minima);
    for (size_t row = 0; row < rows; row++) {
        sums[row] = _mm512_fmadd_ps(minima, _mm512_set1_ps(x.weighted_sum[row]), sums[row]);
    }
}

/// How far ahead of their use weights are asked for, in bytes: left to itself, the processor waits for memory whatever the number of
/// rows (ops/bench/RESULTS.md).
enum { prefetch_distance = 5120 };

/// Asks for the pair of blocks that comes so much later, into the second level. Past the end it does nothing.
INLINE void prefetch_pair(block_traits traits, const uint8_t *pair) {
    for (size_t i = 0; i < pair_bytes(traits); i += 64) {
        _mm_prefetch((const char *)pair + prefetch_distance + i, _MM_HINT_T1);
    }
}

INLINE void store(__m512 sum, float *to, size_t outputs, bool accumulate) {
    if (outputs >= panel_outputs) {
        // Apart from the masked form, which is slow on some CPUs.
        _mm512_storeu_ps(to, accumulate ? _mm512_add_ps(_mm512_loadu_ps(to), sum) : sum);
        return;
    }
    __mmask16 mask = (__mmask16)((1u << outputs) - 1);
    _mm512_mask_storeu_ps(to, mask, accumulate ? _mm512_add_ps(_mm512_maskz_loadu_ps(mask, to), sum) : sum);
}

INLINE void multiply_rows(block_traits traits, const tile_job *job, size_t rows) {
    const dkv_quantized_matrix *matrix = job->matrix;
    const uint8_t *pair = matrix->panels + job->panel * matrix->panel_bytes;
    __m512 sums[tile_rows];
    for (size_t row = 0; row < rows; row++) sums[row] = _mm512_setzero_ps();
    size_t block = 0;
    for (; block + 1 < matrix->blocks; block += 2, pair += pair_bytes(traits)) {
        prefetch_pair(traits, pair);
#pragma clang loop unroll(full)
        for (size_t i = 0; i < 2; i++) {
            activation_block x = activation_block_at(job->tile, rows, block + i);
            add_block(traits, weight_block_at(traits, pair, i), x, rows, sums);
        }
    }
    if (block < matrix->blocks) {
        add_block(traits, weight_block_at(traits, pair, 0), activation_block_at(job->tile, rows, block), rows, sums);
    }
    size_t first = job->panel * panel_outputs;
    for (size_t row = 0; row < rows; row++) {
        store(sums[row], job->y + row * job->ldy, matrix->outputs - first, job->accumulate);
    }
}

/// A loop body for every number of rows.
INLINE void multiply_tile(block_traits traits, const tile_job *job) {
    switch (job->rows) {
        case 1: multiply_rows(traits, job, 1); break;
        case 2: multiply_rows(traits, job, 2); break;
        case 3: multiply_rows(traits, job, 3); break;
        case 4: multiply_rows(traits, job, 4); break;
        case 5: multiply_rows(traits, job, 5); break;
        case 6: multiply_rows(traits, job, 6); break;
        case 7: multiply_rows(traits, job, 7); break;
        default: multiply_rows(traits, job, 8); break;
    }
}

AVX512 static void multiply(const dkv_quantized_matrix *matrix, size_t panel, const uint8_t *tile, size_t rows,
                            float *y, size_t ldy, bool accumulate) {
    const tile_job job = {matrix, panel, tile, rows, y, ldy, accumulate};
    switch (matrix->type) {
        case DKV_Q4_0: multiply_tile(traits_of(DKV_Q4_0), &job); break;
        case DKV_Q4_1: multiply_tile(traits_of(DKV_Q4_1), &job); break;
        case DKV_Q5_0: multiply_tile(traits_of(DKV_Q5_0), &job); break;
        case DKV_Q5_1: multiply_tile(traits_of(DKV_Q5_1), &job); break;
        case DKV_Q8_0: multiply_tile(traits_of(DKV_Q8_0), &job); break;
    }
}

const dkv_quantized_kernels dkv_quantized_avx512 = {quantize, multiply};
#endif
