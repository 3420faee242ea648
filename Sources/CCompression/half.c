// SPDX-License-Identifier: Apache-2.0
// IEEE half precision.
#include <string.h>

#include "CCompression.h"

#pragma STDC FP_CONTRACT OFF

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

void dkv_from_halves(const uint16_t *halves, float *to, size_t count) {
    for (size_t i = 0; i < count; i++) to[i] = dkv_from_half(halves[i]);
}
