// SPDX-License-Identifier: Apache-2.0
// Between elements of rows and coefficients. All arithmetic on floats is elementwise, sums are of whole numbers.
#include "layer.h"

#pragma STDC FP_CONTRACT OFF

size_t dkv_block_bytes(const dkv_layer *layer) {
    return (DKV_BLOCK_ROWS * (8 + DKV_SOURCES) + 4 * DKV_SOURCES) * layer->elements + 16 * DKV_BLOCK_ROWS + 6 * 64;
}

dkv_block dkv_block_make(dkv_codec_isa isa, const dkv_layer *layer, dkv_arena *arena) {
    // No layer has more coefficients than elements.
    const size_t elements = DKV_BLOCK_ROWS * layer->elements;
    return (dkv_block){
        .isa = isa,
        .predicted = take(arena, 4 * elements),
        .coefficients = take(arena, 4 * elements),
        .floats = take(arena, 4 * DKV_SOURCES * layer->elements),
        .codes = take(arena, elements * DKV_SOURCES),
        .scales = take(arena, 8 * DKV_BLOCK_ROWS),
        .biases = take(arena, 8 * DKV_BLOCK_ROWS),
    };
}

// ---- Rows in int8 ---------------------------------------------------------------------------------------------------

/// Codes of a run of columns; returns the scale.
INLINED float quantise(const float *restrict x, size_t count, int8_t *restrict codes, int32_t *bias) {
    uint32_t bits = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t magnitude;
        memcpy(&magnitude, x + i, 4);
        magnitude &= 0x7fffffff;
        bits = magnitude > bits ? magnitude : bits;
    }
    float greatest;
    memcpy(&greatest, &bits, 4);
    // Next to nothing, and what is not finite, would make the factor so.
    const bool usable = greatest >= 0x1p-100f && bits < 0x7f800000;
    const float factor = usable ? 127 / greatest : 0;
    int32_t sum = 0;
    if (!usable) {
        memset(codes, 0, count);
    } else {
        for (size_t i = 0; i < count; i++) {
            const int32_t code = (int32_t)__builtin_rintf(x[i] * factor);
            codes[i] = (int8_t)code;
            sum += code;
        }
    }
    *bias = -128 * sum;
    return usable ? greatest / 127 : 0;
}

CLONED void dkv_codes_set(const dkv_codes *to, size_t row, const float *x) {
    int8_t *codes = to->codes + row * to->columns;
    for (size_t k = 0; k < 2; k++) {
        const dkv_run run = to->runs[k];
        to->scales[2 * row + k] = quantise(x + run.first, run.count, codes + run.first, to->biases + 2 * row + k);
    }
}

/// Rows whose second run begins at `split`.
static dkv_codes codes_of(const dkv_block *b, size_t columns, size_t split) {
    const size_t first = smaller(split, columns);
    return (dkv_codes){columns, {{0, first}, {first, columns - first}}, b->codes, b->scales, b->biases};
}

// ---- Prediction from other layers -----------------------------------------------------------------------------------

CLONED static void centre(const float *restrict x, const float *restrict mean, const float *restrict scale,
                          float *restrict y, size_t count) {
    for (size_t i = 0; i < count; i++) y[i] = (x[i] - mean[i]) * scale[i];
}

void dkv_block_predict(const dkv_block *b, const dkv_layer *layer, const dkv_plane *decoded) {
    const size_t n = layer->elements;
    float *to[DKV_BLOCK_ROWS];
    for (size_t i = 0; i < b->count; i++) to[i] = b->predicted + i * n;
    if (layer->sources == 0) {
        for (size_t i = 0; i < b->count; i++) memcpy(to[i], layer->mean, 4 * n);
        return;
    }
    const dkv_codes codes = {
        layer->sources * n, {layer->taken[0], layer->taken[1]}, b->codes, b->scales, b->biases,
    };
    _Static_assert(DKV_SOURCES == 2, "codes have two runs, one for each source");
    for (size_t i = 0; i < b->count; i++) {
        for (size_t k = 0; k < layer->sources; k++) {
            const dkv_run run = layer->taken[k];
            const dkv_plane *source = decoded - 1 - k;
            centre(source->base + b->list[i] * source->ld + (run.first - k * n), layer->source_mean + run.first,
                   layer->source_scale + run.first, b->floats + run.first, run.count);
        }
        dkv_codes_set(&codes, i, b->floats);
    }
    dkv_multiply(b->isa, &layer->prediction, &codes, b->count, layer->mean, 0, to);
}

// ---- Coefficients ---------------------------------------------------------------------------------------------------

CLONED static bool rest(const float *restrict x, const float *restrict predicted, const float *restrict scale,
                        float *restrict y, size_t count) {
    uint32_t largest = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, 4);
        bits &= 0x7fffffff;
        largest = bits > largest ? bits : largest;
        y[i] = (x[i] - predicted[i]) * scale[i];
    }
    return largest < 0x7f800000;
}

bool dkv_block_forward(const dkv_block *b, const dkv_layer *layer, const dkv_plane *exact) {
    const size_t n = layer->elements;
    const dkv_codes codes = codes_of(b, n, n);
    float *to[DKV_BLOCK_ROWS];
    bool finite = true;
    for (size_t i = 0; i < b->count; i++) {
        to[i] = b->coefficients + i * layer->columns;
        finite &= rest(exact->base + b->list[i] * exact->ld, b->predicted + i * n, layer->scale, b->floats, n);
        dkv_codes_set(&codes, i, b->floats);
    }
    dkv_multiply(b->isa, &layer->forward, &codes, b->count, NULL, 0, to);
    return finite;
}

/// The first coefficients are much larger than the others.
enum { large_coefficients = 32 };

void dkv_block_inverse(const dkv_block *b, const dkv_layer *layer, const dkv_plane *decoded) {
    const dkv_codes codes = codes_of(b, layer->columns, large_coefficients);
    float *to[DKV_BLOCK_ROWS];
    for (size_t i = 0; i < b->count; i++) {
        to[i] = decoded->base + b->list[i] * decoded->ld;
        dkv_codes_set(&codes, i, b->coefficients + i * layer->columns);
    }
    dkv_multiply(b->isa, &layer->inverse, &codes, b->count, b->predicted, layer->elements, to);
}
