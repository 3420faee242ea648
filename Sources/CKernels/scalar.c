// SPDX-License-Identifier: Apache-2.0
// The reference: plain loops, no intrinsics. It defines what the other files must compute, up to rounding.
#include "CKernels.h"
#include "exp2_scalar.h"

#include <string.h>

static void linear_panel(const float *x, size_t ldx, size_t rows, const float *panel, size_t inputs, float *y,
                         size_t ldy, size_t outputs, bool accumulate) {
    for (size_t r = 0; r < rows; r++) {
        float acc[DKV_PANEL] = {0};
        for (size_t k = 0; k < inputs; k++) {
            for (size_t o = 0; o < DKV_PANEL; o++) acc[o] += x[r * ldx + k] * panel[k * DKV_PANEL + o];
        }
        for (size_t o = 0; o < outputs; o++) y[r * ldy + o] = accumulate ? y[r * ldy + o] + acc[o] : acc[o];
    }
}

static float rms_scale(const float *x, float epsilon, size_t n) {
    float sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i] * x[i];
    return 1.0f / sqrtf(sum / (float)n + epsilon);
}

static void rms_norm(const float *x, const float *weight, float epsilon, float *y, size_t n) {
    const float scale = rms_scale(x, epsilon, n);
    for (size_t i = 0; i < n; i++) y[i] = x[i] * scale * weight[i];
}

static void swiglu(const float *gate, const float *up, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = gate[i] / (1.0f + expf(fminf(-gate[i], 88.0f))) * up[i];
}

static void rope(float *x, size_t heads, size_t dimension, const float *cosine, const float *sine) {
    const size_t half = dimension / 2;
    for (size_t h = 0; h < heads; h++) {
        float *p = x + h * dimension;
        for (size_t i = 0; i < half; i++) {
            const float a = p[i], b = p[i + half];
            p[i] = a * cosine[i] - b * sine[i];
            p[i + half] = b * cosine[i] + a * sine[i];
        }
    }
}

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint16_t narrow_one(float x) {
    const uint32_t bits = bits_of(x), magnitude = bits & 0x7fffffffu;
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    if (magnitude > 0x7f800000u) return sign | 0x7e00u;             // not a number
    if (magnitude >= bits_of(65504.0f)) return sign | 0x7bffu;      // saturate
    if (magnitude < bits_of(6.103515625e-05f)) {                    // f16 subnormal: let the addition round
        return sign | (uint16_t)(bits_of(float_of(magnitude) + 0.5f) - bits_of(0.5f));
    }
    return sign | (uint16_t)((magnitude + 0xfffu + (magnitude >> 13 & 1u) - (112u << 23)) >> 13);
}

static float widen_one(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16, magnitude = half & 0x7fffu;
    if (magnitude >= 0x7c00u) return float_of(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
    const float scaled = float_of(magnitude << 13) * 0x1p112f;      // the exponent's bias moves from 15 to 127
    return float_of(sign | bits_of(scaled));
}

static void narrow(const float *x, uint16_t *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = narrow_one(x[i]);
}

static void widen(const uint16_t *x, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = widen_one(x[i]);
}

static float element(const void *base, size_t i, bool half) {
    return half ? widen_one(((const uint16_t *)base)[i]) : ((const float *)base)[i];
}

static void attend_row(const dkv_page_step *s, size_t row, size_t hidden, size_t tokens) {
    const size_t d = s->head_dimension;
    float *weight = s->scores + row * DKV_PAGE_TOKENS, *output = s->output + row * d;
    float now = s->maximum[row];
    for (size_t t = hidden; t < tokens; t++) {
        weight[t] = 0;
        for (size_t i = 0; i < d; i++) {
            weight[t] += s->queries[row * d + i] * element(s->keys, i * DKV_PAGE_TOKENS + t, s->half);
        }
        if (weight[t] > now) now = weight[t];
    }
    const float factor = dkv_exp2(s->maximum[row] - now);
    s->maximum[row] = now;
    s->sum[row] *= factor;
    for (size_t i = 0; i < d; i++) output[i] *= factor;
    for (size_t t = hidden; t < tokens; t++) {
        const float w = dkv_exp2(weight[t] - now);
        s->sum[row] += w;
        for (size_t i = 0; i < d; i++) output[i] += w * element(s->values, t * d + i, s->half);
    }
}

static void attend_page(const dkv_page_step *s) {
    for (size_t row = 0; row < s->rows; row++) {
        const int32_t tokens = s->valid[row] > DKV_PAGE_TOKENS ? DKV_PAGE_TOKENS : s->valid[row];
        const int32_t hidden = s->hidden ? s->hidden[row] : 0;
        if (tokens > hidden) attend_row(s, row, (size_t)hidden, (size_t)tokens);
    }
}

static void merge(size_t dimension, float *maximum, float *sum, float *output, float later_maximum, float later_sum,
                  const float *later_output) {
    const float now = later_maximum > *maximum ? later_maximum : *maximum;
    const float a = dkv_exp2(*maximum - now), b = dkv_exp2(later_maximum - now);
    *maximum = now;
    *sum = fmaf(later_sum, b, *sum * a);
    for (size_t i = 0; i < dimension; i++) output[i] = fmaf(later_output[i], b, output[i] * a);
}

const dkv_kernels dkv_kernels_scalar = {
    .linear_panel = linear_panel,
    .rms_scale = rms_scale,
    .rms_norm = rms_norm,
    .swiglu = swiglu,
    .rope = rope,
    .narrow = narrow,
    .widen = widen,
    .attend_page = attend_page,
    .merge = merge,
};
