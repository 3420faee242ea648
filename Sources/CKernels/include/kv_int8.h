// SPDX-License-Identifier: Apache-2.0
// KV pages in int8 and attention over them. Include after the declarations of CKernels.h.
//
// One head of a page of a layer, d elements a token, is DKV_INT8_HEAD_BYTES(d) bytes:
//   keys        int8  [d / 4][DKV_PAGE_TOKENS][4]   four elements of a token stand together
//   key scales  f32   [DKV_PAGE_TOKENS]
//   key sums    int32 [DKV_PAGE_TOKENS]             −128 · Σ codes of the token's key
//   values      int8  [DKV_PAGE_TOKENS / 4][d][4]   four tokens of an element stand together
//   value scales f32  [DKV_PAGE_TOKENS]
// Keys and queries are turned by a Hadamard matrix first (int8_spread), which leaves their products as they are and spreads an
// element that stands out over its block. A vector x of a token has one scale:  x ≈ s · q,  s = max|x| / 127,  q = x · (127 / max|x|) rounded to the nearest, ties to
// even. Four codes that stand together are what one lane of vpdpbusd multiplies; as its lanes may be rows of queries (many
// of them: prefill) or tokens and elements (few rows: decode), one layout serves both.
//
// Arithmetic of one row over one page; every instruction set, and both ways through a page, give the same bits:
//   query        x = query · scale · log2 e is turned and quantised like a key: codes a + 128 (unsigned), scale r
//   score        t: ((float(Σ (a + 128) · k − 128 · Σ k)) · key scale) · r, DKV_MASKED_SCORE where the row may not look
//   maximum      M' = max(M, scores); factor f = 2^(M − M')
//   weights      e[t] = 2^(score − M'); with lanes L[j] = ((e[j] + e[j + 16]) + e[j + 32]) + e[j + 48] their sum is
//                folded by halves: L[j] + L[j + 8], then 4, 2, 1;   sum' = fma(sum, f, that)
//   weighted     w[t] = e[t] · value scale; W = max(w, 2^-100); codes p = w · (255 / W) rounded to the nearest, ties to even
//   output       o'[i] = fma(float(Σ p · v[i]), W · (1 / 255), o[i] · f)
// 2^x is dkv_exp2's polynomial. Chunks of DKV_CHUNK_TOKENS start from nothing and are merged in ascending order.
#ifndef DELTAKV_KV_INT8_H
#define DELTAKV_KV_INT8_H

/// Bytes of one head of a page.
#define DKV_INT8_HEAD_BYTES(d) (DKV_PAGE_TOKENS * (2 * (size_t)(d) + 12))

struct dkv_int8_kernels {
    /// Quantises one head's key and value of `d` floats into slot `slot` of a head of a page.
    void (*store)(char *head, size_t slot, size_t d, const float *key, const float *value);
    /// Computes a unit over int8 pages.
    void (*attend)(const dkv_attention *attention, const dkv_attention_unit *unit, float *scratch);
};

/// The kernels to use under an instruction set that the CPU supports: AVX-512 needs VNNI and falls back to AVX2.
const dkv_int8_kernels *dkv_int8_kernels_for(dkv_isa isa);

#endif
