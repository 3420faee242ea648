// SPDX-License-Identifier: Apache-2.0
// Compute kernels (scalar reference, AVX2+FMA+F16C, AVX-512, AMX) behind one table per instruction set, a thread pool, and
// the tasks that a transformer step hands to the pool. All matrices are fp32 and row-major unless said; `ld…` are row
// strides in elements.
//
// Order of summation, which makes results independent of batch, tile shape and thread count (for one instruction set):
//  - linear: every output element is one chain of multiply-adds over the inputs in ascending order, from zero;
//  - attention: scores are one chain over the head dimension; the context is cut at absolute multiples of
//    DKV_CHUNK_TOKENS, each chunk is reduced page by page with an online softmax, and chunks are merged in ascending
//    order. Over int8 pages the result is the same on every instruction set (kv_int8.h).
#ifndef DELTAKV_CKERNELS_H
#define DELTAKV_CKERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Tokens of a KV page.
#define DKV_PAGE_TOKENS 64
/// Pages of a slab of the KV memory: below 64, and few enough that a slab that is not full wastes little.
#define DKV_SLAB_PAGES 16
/// Tokens of a context chunk, the unit by which one row's attention may be split across threads.
#define DKV_CHUNK_TOKENS 512
/// Outputs that are interleaved in a packed weight panel.
#define DKV_PANEL 32
/// Largest head dimension; head dimensions are multiples of 16.
#define DKV_MAX_HEAD_DIMENSION 256
/// Most rows (query rows times query heads of a group) of an attention tile.
#define DKV_TILE_ROWS 48
/// Most rows of a unit of attention over int8 pages: tiles that share the work of taking pages apart.
#define DKV_UNIT_ROWS (4 * DKV_TILE_ROWS)

// ---- CPU ------------------------------------------------------------------------------------------------------------

typedef enum dkv_isa { DKV_ISA_SCALAR = 0, DKV_ISA_AVX2 = 1, DKV_ISA_AVX512 = 2, DKV_ISA_AMX = 3 } dkv_isa;

/// The best instruction set that the CPU and the operating system support. Where that is AMX, the process may use its tiles from
/// then on, which has to be asked for.
dkv_isa dkv_detect_isa(void);

/// Cores that the process may run on, at least one.
size_t dkv_affinity_cores(void);

// ---- Kernels --------------------------------------------------------------------------------------------------------

/// One page of one KV head against a tile of query rows: the inner step of attention.
/// K is stored transposed, `[head dimension][DKV_PAGE_TOKENS]`, V as `[DKV_PAGE_TOKENS][head dimension]`.
typedef struct dkv_page_step {
    size_t rows;             // at most DKV_TILE_ROWS
    size_t head_dimension;
    bool half;               // K and V are f16, else f32
    const void *keys;
    const void *values;
    const float *queries;    // [rows][head_dimension], already scaled; scores are exponents of 2
    const int32_t *valid;    // per row: leading tokens of the page that the row may see (<= 0: none)
    const int32_t *hidden;   // per row: leading tokens of the page that the row may no longer see; NULL: none
    float *maximum;          // per row: running maximum, starts at DKV_EMPTY_MAXIMUM
    float *sum;              // per row: running sum of exponentials, starts at 0
    float *output;           // [rows][head_dimension]: running weighted sum of V, starts at 0
    float *scores;           // scratch [rows][DKV_PAGE_TOKENS]
    float *wide;             // scratch [2][DKV_PAGE_TOKENS * head_dimension], used when f16 pages are widened first
} dkv_page_step;

/// The running maximum of a row that has seen nothing: below every score, yet finite so that differences stay numbers.
#define DKV_EMPTY_MAXIMUM (-1e30f)
/// The score of a token that a row may not see: nothing even where the row has seen nothing.
#define DKV_MASKED_SCORE (-2e30f)

typedef struct dkv_kernels {
    /// `y[rows][outputs] (+)= x[rows][inputs] · panel`; the panel is `[inputs][DKV_PANEL]`, `outputs <= DKV_PANEL`.
    void (*linear_panel)(const float *x, size_t ldx, size_t rows, const float *panel, size_t inputs, float *y,
                         size_t ldy, size_t outputs, bool accumulate);
    /// `1 / sqrt(mean(x²) + epsilon)` of one row of `n`.
    float (*rms_scale)(const float *x, float epsilon, size_t n);
    /// `y = (x · rms_scale) · weight`, one row of `n`.
    void (*rms_norm)(const float *x, const float *weight, float epsilon, float *y, size_t n);
    /// `y = gate · sigmoid(gate) · up`, `n` elements.
    void (*swiglu)(const float *gate, const float *up, float *y, size_t n);
    /// Rotates each of `heads` vectors of `dimension` in place: pairs `(i, i + dimension / 2)` by the angle i.
    void (*rope)(float *x, size_t heads, size_t dimension, const float *cosine, const float *sine);
    /// f32 to f16, round to nearest even; finite and infinite values beyond the f16 range become ±65504.
    void (*narrow)(const float *x, uint16_t *y, size_t n);
    /// f16 to f32, exact.
    void (*widen)(const uint16_t *x, float *y, size_t n);
    /// Attention of a tile of rows over one page, online softmax.
    void (*attend_page)(const dkv_page_step *step);
    /// Merges a later chunk `(maximum, sum, output[dimension])` of one row into an earlier state of the same shape.
    void (*merge)(size_t dimension, float *maximum, float *sum, float *output, float later_maximum, float later_sum,
                  const float *later_output);
} dkv_kernels;

/// The table for an instruction set, or NULL if this build has none for it. The caller checks that the CPU supports it.
const dkv_kernels *dkv_kernels_for(dkv_isa isa);

// ---- Thread pool ----------------------------------------------------------------------------------------------------

typedef struct dkv_pool dkv_pool;
/// A piece of work: `worker` is 0 for the calling thread and below the pool's thread count.
typedef void (*dkv_task)(void *context, size_t index, size_t worker);

/// A pool of `threads` (the caller counts as one), or NULL if threads cannot be started.
dkv_pool *dkv_pool_create(size_t threads);
/// Ends the workers and frees the pool. No run may be in progress.
void dkv_pool_destroy(dkv_pool *pool);
size_t dkv_pool_threads(const dkv_pool *pool);
/// Calls `task` once for every index below `count` and returns when all are done. Allocates nothing. One caller at a
/// time; a task must not start a run on the same pool. `count` is below 2^32 - 1.
void dkv_pool_run(dkv_pool *pool, size_t count, dkv_task task, void *context);

// ---- Tasks of a transformer step (context is the struct of the same name) -------------------------------------------

typedef struct dkv_linear {
    const dkv_kernels *kernels;
    const float *x;
    size_t ldx, rows;
    const float *panels;     // [ceil(outputs / DKV_PANEL)][inputs][DKV_PANEL]
    size_t inputs, outputs;
    float *y;
    size_t ldy;
    bool accumulate;
    size_t row_block;        // rows of a task
    size_t panel_block;      // panels of a task
} dkv_linear;
size_t dkv_linear_count(const dkv_linear *linear);
void dkv_linear_task(void *context, size_t index, size_t worker);

typedef struct dkv_rows {
    const dkv_kernels *kernels;
    size_t rows, row_block;
    const float *x;
    size_t ldx;
    const float *weight;     // norm only
    float epsilon;           // norm only
    float *y;
    size_t ldy;
    size_t width;            // elements of a row of y
} dkv_rows;
size_t dkv_rows_count(const dkv_rows *rows);
void dkv_norm_task(void *context, size_t index, size_t worker);
/// x holds `[gate | up]`, each of `width`.
void dkv_swiglu_task(void *context, size_t index, size_t worker);

/// A page of the KV memory, for DKV_PAGE_TOKENS tokens of all layers: its part of a slab, which holds the pages' parts for a head of a
/// layer side by side, so that memory is read in order where a sequence's pages follow each other.
typedef struct dkv_page {
    char *slab;              // the slab's first byte
    uint32_t index;          // in the slab, below DKV_SLAB_PAGES
} dkv_page;

/// Where a row's token lives in the KV memory.
typedef struct dkv_slot {
    dkv_page page;
    uint32_t slot;           // below DKV_PAGE_TOKENS
} dkv_slot;

/// How K and V are kept.
typedef enum dkv_kv_type { DKV_KV_F32 = 0, DKV_KV_F16 = 1, DKV_KV_INT8 = 2 } dkv_kv_type;

/// Shapes of the KV memory: in f32 and f16 a slab is `[layers][K, V][kv_heads][DKV_SLAB_PAGES][DKV_PAGE_TOKENS · head_dimension]`; for
/// int8 see kv_int8.h.
typedef struct dkv_kv_shape {
    size_t kv_heads, head_dimension;
    dkv_kv_type type;
} dkv_kv_shape;

/// Where a page's plane of that number is in its slab, in planes, in f32 and f16.
static inline size_t dkv_plane_of(dkv_page page, size_t number) { return number * DKV_SLAB_PAGES + page.index; }

typedef struct dkv_int8_kernels dkv_int8_kernels;

typedef struct dkv_store {
    const dkv_kernels *kernels;
    const dkv_int8_kernels *int8;
    size_t rows, row_block;
    float *qkv;              // [rows][heads · d | kv_heads · d | kv_heads · d]; Q and K are rotated in place
    size_t ld;
    size_t heads, layer;
    dkv_kv_shape shape;
    const float *rotation;   // [rows][cos: d / 2 | sin: d / 2]
    const dkv_slot *slots;   // [rows]
} dkv_store;
size_t dkv_store_count(const dkv_store *store);
/// Rotates Q and K and writes K and V to their pages.
void dkv_store_task(void *context, size_t index, size_t worker);

/// The same for several layers of equal rows in one run.
typedef struct dkv_store_layers {
    const dkv_store *stores;
    size_t count;
} dkv_store_layers;
size_t dkv_store_layers_count(const dkv_store_layers *layers);
void dkv_store_layers_task(void *context, size_t index, size_t worker);
/// The same for `count` rows `[keys | values]` of one layer from `first` on, by the caller. They stay as they are, and stores need
/// no rows of their own.
void dkv_store_rows(void *layers, size_t layer, size_t first, size_t count, const float *rows, size_t ld);

/// A tile of consecutive query rows of one sequence, one KV head, and a range of context chunks.
typedef struct dkv_attention_unit {
    const dkv_page *pages;   // page table of the sequence
    size_t row, rows;        // in the batch; rows · group <= DKV_TILE_ROWS, over int8 pages DKV_UNIT_ROWS
    size_t position;         // of the first row
    size_t kv_head;
    size_t first_chunk, last_chunk;  // [first, last)
    float *partial;          // NULL: write the result; else [rows · group][head_dimension + 2] of this one chunk
    size_t kept;             // 0: attend to all tokens; else, over int8 pages, to about as many (kv_int8.h): one row, all chunks
} dkv_attention_unit;

/// Folds the partial results of one tile in ascending chunk order.
typedef struct dkv_attention_fold {
    size_t row, rows, kv_head, chunks;
    const float *partials;   // [chunks][rows · group][head_dimension + 2]
} dkv_attention_fold;

typedef struct dkv_attention {
    const dkv_kernels *kernels;
    const dkv_int8_kernels *int8;
    dkv_kv_shape shape;
    size_t group;            // query heads per KV head
    size_t layer;
    size_t window;           // tokens that a row sees, itself among them; 0: all before it
    const bool *local;       // [KV heads]: units with `kept` attend to the ends of their context; NULL: none does
    float scale;             // of scores, times log2 e: weights are powers of 2
    const float *queries;    // rotated, [rows][heads · d …]
    size_t ldq;
    float *y;                // [rows][heads · d]
    size_t ldy;
    const dkv_attention_unit *units;
    const dkv_attention_fold *folds;
    float *scratch;          // [workers][scratch_size]
    size_t scratch_size;     // dkv_attention_scratch()
} dkv_attention;
/// The first token that the row at `position` sees.
static inline size_t dkv_first_seen(const dkv_attention *attention, size_t position) {
    const size_t window = attention->window;
    return window == 0 || position < window ? 0 : position + 1 - window;
}
/// Floats of scratch that one worker needs, where `kept` is used with contexts of up to `sparse_context` tokens.
size_t dkv_attention_scratch(size_t head_dimension, size_t sparse_context);
void dkv_attention_task(void *context, size_t index, size_t worker);
void dkv_attention_fold_task(void *context, size_t index, size_t worker);

/// Gives memory that the allocator holds and nobody uses back to the system, where the allocator can.
void dkv_trim_heap(void);

#include "gather.h"
#include "kv_int8.h"
#include "limits.h"
#include "quantized.h"

#endif
