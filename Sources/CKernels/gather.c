// SPDX-License-Identifier: Apache-2.0
// One body, which the compiler turns into vector code for each instruction set; without one it is the reference.
#include "gather.h"

#include <math.h>

#define LANES 16
#define BODY static inline __attribute__((always_inline))

BODY float sum_lanes(float *lane) {
    for (size_t half = LANES / 2; half; half /= 2)
        for (size_t i = 0; i < half; i++) lane[i] += lane[i + half];
    return lane[0];
}

BODY float dot(const float *a, const float *b, size_t n) {
    float lane[LANES] = {0};
    for (size_t i = 0; i < n; i += LANES)
        for (size_t j = 0; j < LANES; j++) lane[j] += a[i + j] * b[i + j];
    return sum_lanes(lane);
}

BODY void softmax(float *p, size_t n) {
    float largest = p[0];
    for (size_t t = 1; t < n; t++) largest = p[t] > largest ? p[t] : largest;
    float sum = 0;
    for (size_t t = 0; t < n; t++) sum += p[t] = expf(p[t] - largest);
    const float inverse = 1 / sum;
    for (size_t t = 0; t < n; t++) p[t] *= inverse;
}

BODY void attend(const dkv_gather *g) {
    const size_t d = g->head_dimension;
    const float scale = 1 / sqrtf((float)d);
    for (size_t t = 0; t < g->count; t++) {
        const float *key = g->keys + (size_t)g->tokens[t] * g->stride;
        for (size_t h = 0; h < g->group; h++)
            g->probabilities[h * g->count + t] = dot(g->queries + h * d, key, d) * scale;
    }
    for (size_t h = 0; h < g->group; h++) softmax(g->probabilities + h * g->count, g->count);
    for (size_t i = 0; i < g->group * d; i++) g->output[i] = 0;
    for (size_t t = 0; t < g->count; t++) {
        const float *value = g->values + (size_t)g->tokens[t] * g->stride;
        for (size_t h = 0; h < g->group; h++) {
            const float p = g->probabilities[h * g->count + t];
            float *y = g->output + h * d;
            for (size_t i = 0; i < d; i++) y[i] += p * value[i];
        }
    }
}

BODY void page_bounds(size_t group, size_t d, const float *queries, const float *bounds, size_t pages, float *scores) {
    for (size_t page = 0; page < pages; page++) {
        const float *low = bounds + 2 * d * page, *high = low + d;
        for (size_t h = 0; h < group; h++) {
            const float *q = queries + h * d;
            float lane[LANES] = {0};
            for (size_t i = 0; i < d; i += LANES)
                for (size_t j = 0; j < LANES; j++) {
                    const float a = q[i + j] * low[i + j], b = q[i + j] * high[i + j];
                    lane[j] += a > b ? a : b;
                }
            const float score = sum_lanes(lane);
            scores[page] = h == 0 || score > scores[page] ? score : scores[page];
        }
    }
}

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,fma,f16c")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")))

AVX2 static void attend_avx2(const dkv_gather *g) { attend(g); }
AVX512 static void attend_avx512(const dkv_gather *g) { attend(g); }

AVX2 static void page_bounds_avx2(size_t group, size_t d, const float *q, const float *bounds, size_t pages, float *y) {
    page_bounds(group, d, q, bounds, pages, y);
}
AVX512 static void page_bounds_avx512(size_t group, size_t d, const float *q, const float *bounds, size_t pages,
                                      float *y) {
    page_bounds(group, d, q, bounds, pages, y);
}
#endif

void dkv_gather_attend(dkv_isa isa, const dkv_gather *gather) {
    switch (isa) {
#if defined(__x86_64__)
    case DKV_ISA_AMX:
    case DKV_ISA_AVX512: attend_avx512(gather); return;
    case DKV_ISA_AVX2: attend_avx2(gather); return;
#endif
    default: attend(gather);
    }
}

void dkv_page_bounds(dkv_isa isa, size_t group, size_t head_dimension, const float *queries, const float *bounds,
                     size_t pages, float *scores) {
    switch (isa) {
#if defined(__x86_64__)
    case DKV_ISA_AMX:
    case DKV_ISA_AVX512: page_bounds_avx512(group, head_dimension, queries, bounds, pages, scores); return;
    case DKV_ISA_AVX2: page_bounds_avx2(group, head_dimension, queries, bounds, pages, scores); return;
#endif
    default: page_bounds(group, head_dimension, queries, bounds, pages, scores);
    }
}
