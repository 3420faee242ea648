// SPDX-License-Identifier: Apache-2.0
// Attention of a short text, for calibration.
#include <math.h>
#include <string.h>

#include "CCompression.h"

/// e^x for x <= 0, within about 1e-6 of it: e^x = 2^(x / ln 2), whole part to the exponent, a polynomial for the rest.
static inline float exponential(float x) {
    const float y = x < -80.0f ? -80.0f * 1.44269504f : x * 1.44269504f;
    const float whole = __builtin_floorf(y), rest = (y - whole) * 0.693147181f;
    float p = 1.0f / 5040;
    p = p * rest + 1.0f / 720;
    p = p * rest + 1.0f / 120;
    p = p * rest + 1.0f / 24;
    p = p * rest + 1.0f / 6;
    p = p * rest + 0.5f;
    p = p * rest + 1.0f;
    p = p * rest + 1.0f;
    const uint32_t bits = (uint32_t)((int32_t)whole + 127) << 23;
    float scale;
    memcpy(&scale, &bits, 4);
    return p * scale;
}

void dkv_causal_softmax(float *scores, size_t n, float scale) {
    for (size_t i = 0; i < n; i++) {
        float *row = scores + i * n, maximum = -INFINITY;
        for (size_t j = 0; j <= i; j++) maximum = row[j] > maximum ? row[j] : maximum;
        double sum = 0;
        for (size_t j = 0; j <= i; j++) row[j] = exponential((row[j] - maximum) * scale);
        for (size_t j = 0; j <= i; j++) sum += row[j];
        const float factor = (float)(1 / sum);
        for (size_t j = 0; j <= i; j++) row[j] *= factor;
        memset(row + i + 1, 0, (n - i - 1) * sizeof *row);
    }
}

void dkv_attention_sums(const float *p, const float *a, const float *b, const float *c, size_t n, size_t first,
                        double *mass, double *spread) {
    *mass = *spread = 0;
    for (size_t i = first; i < n; i++) {
        float squares = 0, weighted = 0;
        for (size_t j = first; j <= i; j++) {
            const float square = p[i * n + j] * p[i * n + j], distance = a[j] + b[i] - 2 * c[i * n + j];
            squares += square;
            weighted += square * (distance > 0 ? distance : 0);
        }
        *mass += squares;
        *spread += weighted;
    }
}
