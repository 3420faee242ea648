// SPDX-License-Identifier: Apache-2.0
// 2^x as exp2.h computes it, one number at a time.
#ifndef DELTAKV_EXP2_SCALAR_H
#define DELTAKV_EXP2_SCALAR_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float dkv_exp2(float x) {
    if (x < -126.0f) return 0;
    const float n = x + 0x1.8p23f;  // the whole number nearest to x stands in the lowest bits
    const float r = x - (n - 0x1.8p23f);
    float p = 0x1.5bba14p-10f;
    p = fmaf(p, r, 0x1.3cea88p-7f);
    p = fmaf(p, r, 0x1.c6b752p-5f);
    p = fmaf(p, r, 0x1.ebf9bcp-3f);
    p = fmaf(p, r, 0x1.62e42ap-1f);
    p = fmaf(p, r, 1.0f);
    uint32_t bits, exponent;
    memcpy(&bits, &p, 4);
    memcpy(&exponent, &n, 4);
    bits += exponent << 23;
    memcpy(&p, &bits, 4);
    return p;
}

#endif
