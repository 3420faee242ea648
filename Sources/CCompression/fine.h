// SPDX-License-Identifier: Apache-2.0
// From whole steps to fine units.
#ifndef DELTAKV_FINE_H
#define DELTAKV_FINE_H

#include "CCompression.h"
#include "clones.h"

/// What a quantised value decodes to; the shifts are those of magnitude 1 and of 2 and more.
INLINED int dkv_fine(int value, int step, int one, int more) {
    const int magnitude = value < 0 ? -value : value;
    int fine = magnitude * step + (magnitude > 1 ? more : one);
    fine = fine > DKV_FINE_LIMIT * 2 ? DKV_FINE_LIMIT * 2 : fine;
    fine = magnitude > 0 ? fine : 0;
    return value < 0 ? -fine : fine;
}

#endif
