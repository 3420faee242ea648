// SPDX-License-Identifier: Apache-2.0
// 2^x as exp2.h computes it, one number at a time.
#ifndef DELTAKV_EXP2_SCALAR_H
#define DELTAKV_EXP2_SCALAR_H

#include <math.h>

static inline float dkv_exp2(float x) {
    const float n = nearbyintf(x), r = x - n;
    float p = 0x1.5bba14p-10f;
    p = fmaf(p, r, 0x1.3cea88p-7f);
    p = fmaf(p, r, 0x1.c6b752p-5f);
    p = fmaf(p, r, 0x1.ebf9bcp-3f);
    p = fmaf(p, r, 0x1.62e42ap-1f);
    p = fmaf(p, r, 1.0f);
    if (isnan(n)) return n;
    return ldexpf(p, n < -300.0f ? -300 : n > 300.0f ? 300 : (int)n);
}

#endif
