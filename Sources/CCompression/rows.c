// SPDX-License-Identifier: Apache-2.0
// Plain loops over rows, which compilers turn into vector code.
#include <string.h>

#include "CCompression.h"
#include "clones.h"

#pragma STDC FP_CONTRACT OFF

CLONED void dkv_centre(const float *x, const float *mean, const float *scale, float *y, size_t columns) {
    for (size_t i = 0; i < columns; i++) y[i] = (x[i] - mean[i]) * scale[i];
}

CLONED void dkv_subtract(const float *x, const float *predicted, float *y, size_t columns) {
    for (size_t i = 0; i < columns; i++) y[i] = x[i] - predicted[i];
}

CLONED void dkv_add(float *y, const float *mean, size_t columns) {
    for (size_t i = 0; i < columns; i++) y[i] += mean[i];
}

float dkv_from_half(uint16_t half) {
    uint32_t magnitude = (uint32_t)(half & 0x7fff) << 13;
    float value;
    memcpy(&value, &magnitude, 4);
    value *= 0x1p112f;  // moves the exponent's bias
    return half & 0x8000 ? -value : value;
}

uint16_t dkv_to_half(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    float magnitude = value < 0 ? -value : value;
    if (!(magnitude < 65504.0f)) return sign | 0x7bff;
    if (magnitude < 0x1p-14f) {
        // Subnormal: a whole number of 2^-24; adding and taking away 2^-1 rounds there.
        const volatile float shifted = magnitude + 0.5f;
        return sign | (uint16_t)((shifted - 0.5f) * 0x1p24f);
    }
    memcpy(&bits, &magnitude, 4);
    bits += 0xfff + (bits >> 13 & 1);
    const uint32_t half = (bits >> 13) - (112u << 10);
    return sign | (uint16_t)(half > 0x7bff ? 0x7bff : half);
}

CLONED bool dkv_finite(const float *x, size_t count) {
    uint32_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, 4);
        bits &= 0x7fffffff;
        largest = bits > largest ? bits : largest;
    }
    return largest < 0x7f800000;
}
