// SPDX-License-Identifier: Apache-2.0
// What coding and decoding of a layer share.
#ifndef DELTAKV_LAYER_H
#define DELTAKV_LAYER_H

#include <string.h>

#include "CCompression.h"
#include "clones.h"

INLINED size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

INLINED int limited(int value, int limit) { return value < -limit ? -limit : value > limit ? limit : value; }

/// Fine units to candidate units, to the nearest, halves away from zero.
INLINED int8_t to_unit(int fine) {
    const int magnitude = (2 * (fine < 0 ? -fine : fine) + DKV_UNIT) / (2 * DKV_UNIT);
    return (int8_t)limited(fine < 0 ? -magnitude : magnitude, 127);
}

/// The mean of two candidates in fine units.
INLINED int predicted(const int8_t *a, const int8_t *b, size_t i) { return (a[i] + b[i]) * (DKV_UNIT / 2); }

/// Candidates of a row: references are predicted from prototypes alone, so that each decodes by itself.
INLINED size_t visible(const dkv_layer *layer, size_t position) {
    if (dkv_is_reference(layer, position)) return layer->prototypes;
    return layer->prototypes + dkv_references_before(layer, position);
}

/// The least of all numbers that are noted.
INLINED void note(uint32_t *least, uint32_t number) {
    uint32_t before = __atomic_load_n(least, __ATOMIC_RELAXED);
    while (number < before
           && !__atomic_compare_exchange_n(least, &before, number, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
}

/// A worker's memory, given out piece by piece.
typedef struct dkv_arena {
    uint8_t *at;
} dkv_arena;

INLINED void *take(dkv_arena *arena, size_t bytes) {
    void *taken = arena->at;
    arena->at += (bytes + 63) / 64 * 64;
    return taken;
}

/// Rows that go through a layer together.
typedef struct dkv_block {
    dkv_codec_isa isa;
    const uint32_t *list;    // their places in planes
    size_t count;
    float *predicted;        // [rows][elements]: what the layers before tell, with the mean
    float *coefficients;     // [rows][columns], fine units
    float *floats;           // [sources · elements]
    int8_t *codes;           // [rows][sources · elements]
    float *scales;           // [rows][2]
    int32_t *biases;         // [rows][2]
} dkv_block;

/// Bytes of a block's memory.
size_t dkv_block_bytes(const dkv_layer *layer);
dkv_block dkv_block_make(dkv_codec_isa isa, const dkv_layer *layer, dkv_arena *arena);

/// Fills `predicted` from the layers' planes before `decoded`.
void dkv_block_predict(const dkv_block *block, const dkv_layer *layer, const dkv_plane *decoded);
/// Fills `coefficients` from exact rows. Returns false if one is not finite.
bool dkv_block_forward(const dkv_block *block, const dkv_layer *layer, const dkv_plane *exact);
/// Makes decoded rows of `coefficients` and `predicted`.
void dkv_block_inverse(const dkv_block *block, const dkv_layer *layer, const dkv_plane *decoded);

#endif
