// SPDX-License-Identifier: Apache-2.0
// KV pages in int8 and attention over them. Include after the declarations of CKernels.h.
//
// One head of a page of a layer, d elements a token, is DKV_INT8_HEAD_BYTES(d) bytes in two parts, and a slab
// `[layers][kv_heads][2 parts][DKV_SLAB_PAGES]` of them. What a search for tokens that matter reads:
//   upper        u8  [d / 8][DKV_PAGE_TOKENS][4]  the upper halves of keys' codes: of elements 4g + i (low four bits) and
//                                                 d / 2 + 4g + i (high four bits) of a token at [g][token][i]
//   scales       u32 [DKV_PAGE_TOKENS]            a token's two scales in bfloat16: its key's in the upper half, its value's in the lower
// and the rest:
//   values       i8  [DKV_PAGE_TOKENS][d]         values' codes
//   lower        u8  [DKV_PAGE_TOKENS][d / 2]     the lower halves of keys' codes: elements i and d / 2 + i of a token in a byte
// Who attends to few tokens reads the upper halves of all keys, which say well enough which tokens matter, the values of
// those tokens, and the lower halves of those that matter much; who attends to all reads everything, and there is nothing twice.
//
// Keys and queries are turned by a Hadamard matrix first (int8_spread), which leaves their products as they are and spreads an
// element that stands out over its block. A vector x of a token has one scale:  x ≈ s · q,  s = max|x| / 127
// rounded up to bfloat16, q = x · (1 / s) rounded to the nearest, ties to even. A key's code is q + 128, so that its halves are unsigned.
//
// Arithmetic of one row over one page; every instruction set, and both ways through a page, give the same bits:
//   query        x = query · scale · log2 e is turned and quantised like a key: codes a, scale r
//   score        t: ((float(Σ a · (k + 128) − 128 · Σ a)) · key scale) · r, DKV_MASKED_SCORE where the row may not look
//   maximum      M' = max(M, scores); factor f = 2^(M − M')
//   weights      e[t] = 2^(score − M'); with lanes L[j] = ((e[j] + e[j + 16]) + e[j + 32]) + e[j + 48] their sum is
//                folded by halves: L[j] + L[j + 8], then 4, 2, 1;   sum' = fma(sum, f, that)
//   weighted     w[t] = e[t] · value scale; W = max(w, 2^-100); codes p = w · (255 / W) rounded to the nearest, ties to even
//   output       o'[i] = fma(float(Σ p · v[i]), W · (1 / 255), o[i] · f)
// 2^x is dkv_exp2's polynomial. Chunks of DKV_CHUNK_TOKENS start from nothing and are merged in ascending order.
//
// A row that is to attend to `kept` tokens of those that it sees, for all its query heads that share a KV head, at most
// DKV_SPARSE_HEADS of them together:
//   guess        t: ((float(2 · 16 · Σ a · upper − 241 · Σ a)) · key scale) · (r / 2): the score with the lower half's middle
//   mass         M = the greatest guess of the first page, at most 1e30; lanes L[t mod 16] of 2^x, x = guess − M between −126 and
//                64, in ascending order, folded by halves: Z; N = M + log2 Z. Power and logarithm are linear between powers of two.
//   distance     t: of the heads the least N − guess, between 0 and 255 / 8; as a code, times 8 and rounded
//   near         tokens with codes up to DKV_SPARSE_NEAR have the score of their whole key from here on, the others the guess
//   picked       all tokens with codes up to the least with which they are at least `kept`, but not those with codes above
//                DKV_SPARSE_FARTHEST; the first DKV_SPARSE_FIRST and the last DKV_SPARSE_LAST tokens have 0 here
// The picked tokens then stand for a context of their own: pages of DKV_PAGE_TOKENS of them in ascending order, one chunk. A key
// or query that is no number gives no numbers.
//
// Heads that are local attend to the first DKV_SPARSE_FIRST tokens and to the pages that hold the last DKV_LOCAL_LAST instead, in one chunk.
#ifndef DELTAKV_KV_INT8_H
#define DELTAKV_KV_INT8_H

/// Bytes of one head of a page.
#define DKV_INT8_HEAD_BYTES(d) (DKV_PAGE_TOKENS * (2 * (size_t)(d) + 4))
/// Most query heads of a group that pick tokens together.
#define DKV_SPARSE_HEADS 4
/// Tokens at the beginning of a context, and at its end, that a row always attends to.
#define DKV_SPARSE_FIRST 8
#define DKV_SPARSE_LAST 128
/// Tokens at the end of a context that local heads attend to.
#define DKV_LOCAL_LAST 256
/// The code of the greatest distance at which a token is attended to: 12 octaves, a weight of 1 in 4,096.
#define DKV_SPARSE_FARTHEST 96
/// The code up to which the lower half of a key counts: 9 octaves, a weight of 1 in 512.
#define DKV_SPARSE_NEAR 72

struct dkv_int8_kernels {
    /// Quantises one head's key and value of `d` floats into slot `slot` of a page; `number` counts the heads of all layers.
    void (*store)(dkv_page page, size_t number, size_t slot, size_t d, const float *key, const float *value);
    /// Computes a unit over int8 pages.
    void (*attend)(const dkv_attention *attention, const dkv_attention_unit *unit, float *scratch);
};

/// The kernels to use under an instruction set that the CPU supports: AVX-512 needs VNNI and falls back to AVX2.
const dkv_int8_kernels *dkv_int8_kernels_for(dkv_isa isa);

#endif
