// SPDX-License-Identifier: Apache-2.0
// Matrix products straight on GGUF block quantisation: Y[m×n] = X[m×k] · W[n×k]ᵀ, fp32 in and out. Include after the
// declarations of CKernels.h (dkv_isa).
//
// Values of a weight block of 32 are  w = d · (c − offset) + minimum,  with unsigned codes c (Q4_0: 4 bits, offset 8;
// Q4_1: 4 bits and a minimum; Q5_0: 5 bits, offset 16; Q5_1: 5 bits and a minimum; Q8_0: 8 bits, offset 128).
// Activations are quantised per row and block of 32:  x ≈ s · q,  s = max|x| / 127,  q = x · (127 / max|x|), rounded to
// the nearest, ties to even, so |q| <= 127. With  I = Σ (c − offset) · q  (exact, in int32) and  S = Σ q  the product
// of a block is
//     s · d · I + minimum · (s · S).
//
// Order of float operations, the same for every instruction set, so that results agree to the bit. For each output,
// from acc = 0, in ascending order of blocks:
//     acc = fma(float(I), round(d · s), acc)
//     acc = fma(minimum, round(s · float(S)), acc)        (types with minima only)
// then y = acc, or y = round(y + acc) when accumulating. An output depends on its own row of X and row of W alone: not
// on m, nor on the tile it falls in, nor on the number of threads.
//
// Inputs out of the ordinary: a block that holds an infinity or a NaN gets s = NaN and q = 0, so every output of that
// row is a NaN (of unspecified payload) and other rows are untouched; a block with max|x| < 2^-116 counts as zeros.
#ifndef DELTAKV_QUANTIZED_H
#define DELTAKV_QUANTIZED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Values of a block, of weights and of activations.
#define DKV_QUANTIZED_BLOCK 32
/// Outputs (rows of W) that are interleaved in a panel.
#define DKV_QUANTIZED_PANEL 16
/// Rows of X that are interleaved in a tile.
#define DKV_QUANTIZED_TILE 8
/// Alignment of panels and tiles, in bytes.
#define DKV_QUANTIZED_ALIGNMENT 64

// ---- Weights --------------------------------------------------------------------------------------------------------

/// Block types; values are the ids of the GGUF format.
typedef enum dkv_quantized_type {
    DKV_Q4_0 = 2,
    DKV_Q4_1 = 3,
    DKV_Q5_0 = 6,
    DKV_Q5_1 = 7,
    DKV_Q8_0 = 8,
} dkv_quantized_type;

/// Bytes of one block as GGUF stores it, 0 for a type that is not supported.
size_t dkv_quantized_block_bytes(dkv_quantized_type type);

/// A repacked matrix. A panel holds 16 rows of W as a sequence of pairs of blocks; a pair is laid out so that no vector
/// crosses a cache line:
///  - codes: 4 and 5 bits: `[2][4][16][4]` bytes, where byte (j, o, t) has the code of output o at k = 4j + t in its
///    low nibble and at k = 16 + 4j + t in its high one; 8 bits: `[2][8][16][4]` bytes, byte (g, o, t) is k = 4g + t;
///  - high bits (5 bits only): `[2][8]` 64-bit words, bit (4o + t) of word g is the fifth bit at k = 4g + t;
///  - scales: `[2][16]` f16;  minima (Q4_1, Q5_1): `[2][16]` f16.
/// Rows beyond the last, and the second block of a last pair that has one, are zero.
typedef struct dkv_quantized_matrix {
    dkv_quantized_type type;
    size_t outputs;       // n
    size_t blocks;        // k / 32
    size_t panel_bytes;
    const uint8_t *panels;
} dkv_quantized_matrix;

/// Bytes of one panel.
size_t dkv_quantized_panel_bytes(dkv_quantized_type type, size_t blocks);

/// Copies one row of W from GGUF blocks into panels that were all zeros at first. Returns the number of the first block
/// whose scale or minimum is infinite or not a number, or `blocks` if there is none.
size_t dkv_quantized_pack_row(dkv_quantized_type type, size_t blocks, uint8_t *panels, size_t row,
                              const uint8_t *source);

/// Writes one row of W as floats, bit for bit as GGUF dequantises it.
void dkv_quantized_unpack_row(const dkv_quantized_matrix *matrix, size_t row, float *output);

// ---- Activations ----------------------------------------------------------------------------------------------------

/// Bytes that quantised activations take per row and block. A tile of r rows (8, or what the last has left) is
/// `[blocks]` of: codes q `[r][32]`, s `[r]` (f32), s · S `[r]` (f32), −S `[r]` (int32). Tile i starts at
/// `i · 8 · blocks · DKV_ACTIVATION_BYTES`.
#define DKV_ACTIVATION_BYTES (DKV_QUANTIZED_BLOCK + 12)

// ---- Kernels --------------------------------------------------------------------------------------------------------

typedef struct dkv_quantized_kernels {
    /// Quantises `rows` (1...8) rows of `32 · blocks` floats into a tile; with a `weight`, the values
    /// `(x · scales[row]) · weight`.
    void (*quantize)(const float *x, size_t ldx, size_t rows, size_t blocks, const float *weight, const float *scales,
                     uint8_t *tile);
    /// Multiplies a tile of `rows` (1...8) rows with one panel and writes its outputs (16, or what the last panel has
    /// left) to `y[row · ldy …]`.
    void (*multiply)(const dkv_quantized_matrix *matrix, size_t panel, const uint8_t *tile, size_t rows,
                     float *y, size_t ldy, bool accumulate);
} dkv_quantized_kernels;

/// The kernels to use under an instruction set that the CPU supports: AVX-512 needs VNNI and falls back to AVX2.
const dkv_quantized_kernels *dkv_quantized_kernels_for(dkv_isa isa);

// ---- Tasks ----------------------------------------------------------------------------------------------------------

/// Quantisation of `rows` rows; one task is one tile.
typedef struct dkv_quantize {
    const dkv_kernels *base;
    const dkv_quantized_kernels *kernels;
    const float *x;
    size_t ldx, rows, blocks;
    const float *weight;   // NULL, or rows are normalised on the way (rms_norm of dkv_kernels) …
    float epsilon;         // … with this
    uint8_t *tiles;
} dkv_quantize;
size_t dkv_quantize_count(const dkv_quantize *quantize);
void dkv_quantize_task(void *context, size_t index, size_t worker);

/// A product; one task is a rectangle of tiles and columns. A column is a panel or, where products are gated, a block of 32
/// outputs of the first half of W (the gate) with those of the second half.
typedef struct dkv_quantized_product {
    const dkv_kernels *base;
    const dkv_quantized_kernels *kernels;
    dkv_quantized_matrix matrix;
    const uint8_t *tiles;
    size_t rows;
    float *y;
    size_t ldy;
    bool accumulate;
    uint8_t *gated;        // NULL: the product goes to y; else silu(gate) · up goes here, quantised: [rows][outputs / 2],
                           // outputs being a multiple of 64
    size_t tile_block, column_block;
} dkv_quantized_product;
/// Chooses `tile_block` and `column_block` for a number of threads. Results do not depend on them.
void dkv_quantized_plan(dkv_quantized_product *product, size_t threads);
size_t dkv_quantized_count(const dkv_quantized_product *product);
void dkv_quantized_task(void *context, size_t index, size_t worker);

#endif
