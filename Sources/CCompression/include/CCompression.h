// SPDX-License-Identifier: Apache-2.0
// Kernels of the transform codec: search for reference pairs, quantisation, entropy coding. All arithmetic is on
// integers, so results are the same bits on every machine, for every block size and number of threads.
//
// Units. A row's coefficients are integers in fine units, DKV_FINE to the layer's quantisation step. Candidates (vectors
// that rows are predicted from) are int8 in units of DKV_UNIT fine units. A prediction is the mean of two candidates.
#ifndef DELTAKV_CCOMPRESSION_H
#define DELTAKV_CCOMPRESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Fine units of a step.
#define DKV_FINE 16
/// Fine units of a candidate's unit; even, so that the mean of two candidates is a whole number of fine units.
#define DKV_UNIT 6
/// Largest magnitude of a coefficient, in fine units.
#define DKV_FINE_LIMIT 16383
/// Candidates that are interleaved in a panel.
#define DKV_LANES 16
/// Rows of a search block.
#define DKV_SEARCH_ROWS 8

// ---- Panels ---------------------------------------------------------------------------------------------------------

/// Sets of CPU instructions, with the values of `dkv_isa` in CKernels; VNNI stands for AVX-512.
typedef enum dkv_codec_isa {
    DKV_CODEC_SCALAR = 0,
    DKV_CODEC_AVX2 = 1,
    DKV_CODEC_VNNI = 2,
    DKV_CODEC_AMX = 3,
} dkv_codec_isa;
/// The best set of this CPU that is not above `most` (0 scalar, 1 AVX2, 2 AVX-512, which needs VNNI here, 3 AMX, which the
/// process has been allowed to use).
dkv_codec_isa dkv_codec_best(int most);

/// Rows of int8 in panels `[ceil(count / 16)][columns / 4][16][4]`, bytes biased by 128; `columns` is a multiple of 4.
size_t dkv_panel_bytes(size_t columns, size_t count);
void dkv_panel_set(uint8_t *panels, size_t columns, size_t index, const int8_t *row);

/// Candidates: whole, and in panels what they are looked for by.
typedef struct dkv_candidates {
    size_t columns;
    size_t searched;         // columns that distances are taken over, the first ones; a multiple of 4
    int8_t *rows;            // [candidates][columns]
    uint8_t *panels;         // of the searched columns
    int32_t *norms;          // sum of squares of each over the searched columns
} dkv_candidates;

/// Room for as many candidates in memory: rows, panels, then norms.
size_t dkv_candidate_bytes(size_t columns, size_t searched, size_t capacity);
dkv_candidates dkv_candidates_at(void *memory, size_t columns, size_t searched, size_t capacity);
void dkv_candidate_set(const dkv_candidates *candidates, size_t index, const int8_t *row);
/// Copies the first `count` candidates.
void dkv_candidates_copy(const dkv_candidates *from, size_t count, const dkv_candidates *to);
static inline const int8_t *dkv_candidate_row(const dkv_candidates *candidates, size_t index) {
    return candidates->rows + index * candidates->columns;
}

/// For up to DKV_SEARCH_ROWS rows of int8, [count][columns]: `first` is the candidate nearest to the row, `second` the one
/// whose mean with the first is nearest to it, among the first `limits[i]` (at least 1) candidates. Ties go to the lower
/// index. `scratch` has room for `2 · DKV_SEARCH_ROWS · (candidates rounded up to DKV_LANES)` values.
void dkv_pair_search(dkv_codec_isa isa, const dkv_candidates *candidates, const int8_t *rows, size_t count,
                     const size_t *limits, int32_t *scratch, uint32_t *first, uint32_t *second);

/// A matrix of int8: a row of weights for each output, in panels, and its scale. Outputs are a multiple of 16.
typedef struct dkv_matrix {
    size_t outputs, inputs;
    const uint8_t *panels;
    const float *scales;
} dkv_matrix;

/// Columns that follow each other.
typedef struct dkv_run {
    size_t first, count;     // multiples of 4
} dkv_run;

/// Rows of int8, of which up to two runs of columns count, each with a scale of its own.
typedef struct dkv_codes {
    size_t columns;          // of a row
    dkv_run runs[2];         // either may be empty
    int8_t *codes;           // [rows][columns]
    float *scales;           // [rows][2]
    int32_t *biases;         // [rows][2]: −128 times the sum of the run's codes
} dkv_codes;

/// A row of floats in int8, to the nearest, ties to even. A run with a value that is not finite counts as zeros.
void dkv_codes_set(const dkv_codes *codes, size_t row, const float *x);
/// `y[row] = codes · matrixᵀ + add`, where row i of `add` (none if NULL) is at `add + i · ld`. The matrix's inputs are the columns of the
/// runs. Sums of products are whole numbers, and what follows is done in one order: the same bits on all sets.
void dkv_multiply(dkv_codec_isa isa, const dkv_matrix *matrix, const dkv_codes *codes, size_t rows, const float *add,
                  size_t ld, float *const *y);

// ---- Entropy coding: rANS with static tables ------------------------------------------------------------------------

#define DKV_PROBABILITY_BITS 11
/// Classes of distributions, by the mean magnitude of their symbols; class 0 is reserved for columns that are not coded.
#define DKV_CLASSES 48
/// Values up to this magnitude may have a symbol of their own.
#define DKV_HALF_ALPHABET 31
/// Symbols: values in zigzag order (0, 1, −1, 2, …), then the escape, which 16 raw bits follow.
#define DKV_SYMBOLS 64
#define DKV_ESCAPE 63
/// Gains of a row: gain g moves the class of every column by g − DKV_GAIN_ZERO.
#define DKV_GAINS 8
#define DKV_GAIN_ZERO 3

/// A symbol for the encoder: `state + bias + (state / frequency) · (2^DKV_PROBABILITY_BITS − frequency)` is the next state.
typedef struct dkv_symbol {
    uint64_t reciprocal;     // 2^64 / frequency, rounded up; for 1, one less and in `bias` what this takes away
    uint32_t limit;          // the greatest state that leaves room for the symbol
    uint16_t bias;
    uint16_t complement;     // 2^DKV_PROBABILITY_BITS − frequency; 0 where the escape has to be used
} dkv_symbol;

typedef struct dkv_tables {
    dkv_symbol encode[DKV_CLASSES][DKV_SYMBOLS];
    dkv_symbol escape[DKV_CLASSES];
    /// By slot: symbol | frequency << 6 | offset in the symbol's range << 18.
    uint32_t decode[DKV_CLASSES][1 << DKV_PROBABILITY_BITS];
    /// Where in `decode` the table begins that columns of a class have in a row of a gain.
    uint32_t begins[DKV_CLASSES][DKV_GAINS];
} dkv_tables;

/// Fills the tables from frequencies `[DKV_CLASSES][DKV_SYMBOLS]`, which sum to 2^DKV_PROBABILITY_BITS in each class. A
/// symbol of frequency 0 is coded by the escape; only 0 and the escape need a frequency. Returns false if they lack it.
bool dkv_tables_fill(dkv_tables *tables, const uint16_t *frequencies);

/// How one kind of row (references, or all others) is quantised and coded.
typedef struct dkv_mode {
    const uint8_t *classes;  // [columns]; 0: not coded, always zero
    const int8_t *shifts;    // [columns][2]: added to the magnitude of decoded 1, and of decoded 2 and more
    int32_t step;            // fine units, at most 1,000
    int32_t rounding;        // fine units added to a magnitude before it is divided by the step
    uint32_t thresholds[DKV_GAINS - 1];  // gain: thresholds that the sum of magnitudes reaches
} dkv_mode;

/// Most bytes of a coded row.
size_t dkv_row_limit(size_t columns);
/// A row of values to code.
typedef struct dkv_plain_row {
    const int16_t *values;   // [columns]
    uint32_t pair;           // has `pair_bits` bits, at most 32
    unsigned pair_bits;
    uint8_t *end;            // where its bytes end
    size_t length;           // of its bytes, when it is coded
} dkv_plain_row;
/// Rows that are coded together: what one waits for, another does not.
#define DKV_ROWS_AT_ONCE 4
/// Rows that are best decoded together.
#define DKV_DECODED_AT_ONCE 32
/// Codes rows: DKV_ROWS_AT_ONCE of them together, any other number one by one.
void dkv_rows_encode(const dkv_tables *tables, const dkv_mode *mode, size_t columns, dkv_plain_row *rows, size_t count);
/// A coded row and what it decodes to.
typedef struct dkv_coded_row {
    const dkv_mode *mode;
    const uint8_t *bytes;
    size_t length;
    unsigned pair_bits;
    int16_t *residual;       // [columns], fine units
    uint32_t pair;
    bool sound;              // whether the bytes are a row
} dkv_coded_row;
/// Decodes rows. Each comes out as it would alone, and none is read outside its bytes.
void dkv_rows_decode(dkv_codec_isa isa, const dkv_tables *tables, size_t columns, dkv_coded_row *rows, size_t count);

/// Unordered pairs are numbered: greater · (greater + 1) / 2 + lesser.
uint32_t dkv_pair_number(uint32_t a, uint32_t b);
void dkv_pair_split(uint32_t number, uint32_t *a, uint32_t *b);
/// Bits that hold the number of any pair of `candidates` candidates, at least 16.
unsigned dkv_pair_bits(size_t candidates);

// ---- A layer --------------------------------------------------------------------------------------------------------

/// Most layers that a row is predicted from.
#define DKV_SOURCES 2

/// The codec of a layer. A row is predicted from its decoded rows in the `sources` layers before:
/// `p = prediction · ((sources − source_mean) · source_scale) + mean`, where only the sources' elements in `taken` are multiplied. What
/// that leaves becomes coefficients `forward · ((x − p) · scale)`, in fine units, and comes back as `inverse · coefficients + p`.
typedef struct dkv_layer {
    size_t elements;         // of a row
    size_t columns;          // coefficients of a row
    size_t prototypes;       // candidates that belong to the layer, the first of every table
    size_t sinks, stride;    // references are the sinks and every stride-th row after them
    dkv_mode rows, references;
    const dkv_tables *tables;
    size_t sources;          // at most DKV_SOURCES
    dkv_run taken[DKV_SOURCES];  // what prediction takes of each source, in elements of all sources side by side
    const float *mean, *scale;                  // [elements]
    const float *source_mean, *source_scale;    // [sources · elements], the layer before first
    dkv_matrix prediction, forward, inverse;
} dkv_layer;

/// References among the rows before `position`.
size_t dkv_references_before(const dkv_layer *layer, size_t position);
bool dkv_is_reference(const dkv_layer *layer, size_t position);

/// Rows of one layer.
typedef struct dkv_plane {
    float *base;
    size_t ld;
} dkv_plane;

/// Coded rows of a layer in a sequence.
typedef struct dkv_history {
    const uint8_t *bytes;       // all coded rows, one after another
    const uint32_t *offsets;    // of each group of DKV_GROUP rows
    const uint8_t *lengths;     // of each row; 255: the row starts with two bytes of length
    size_t byte_count;
    const uint16_t *sinks;      // the first rows in half precision, [sinks][elements]
} dkv_history;
/// Rows whose lengths add up from one offset.
#define DKV_GROUP 16

/// Rows that a task takes through all layers, at most.
#define DKV_BLOCK_ROWS 128

/// A layer that is coded: its exact rows, and what becomes of them.
typedef struct dkv_encode_layer {
    const dkv_layer *layer;
    dkv_candidates candidates;  // with room for the references among the rows
    dkv_plane exact;            // may be the layer's plane of decoded rows
    uint8_t *coded;             // [rows][dkv_row_limit()], each at the end of its place
    uint16_t *lengths;          // [rows]
    uint16_t *sinks;            // the rows among a sequence's first ones, in half precision, [rows][elements]
} dkv_encode_layer;

/// Coding of rows of consecutive layers. References become candidates as they are coded, so that all of them come first.
typedef struct dkv_encode {
    dkv_codec_isa isa;
    const dkv_encode_layer *layers;
    size_t layer_count;
    const dkv_plane *decoded;   // [layers]: rows as they will decode; those of the layers before stand before it
    size_t position;            // of row 0
    const uint32_t *list;       // the rows to code: all references or none
    size_t count;
    size_t block;               // rows of a task, at most DKV_BLOCK_ROWS
    bool references;            // what the listed rows are
    int16_t *residuals;         // NULL, or [rows][columns]: residuals before quantisation (calibration, one layer)
    int16_t *values;            // NULL, or [rows][columns]: quantised (calibration, one layer)
    uint8_t *scratch;           // [workers][scratch_size]
    size_t scratch_size;
    uint32_t *failed;           // becomes the least of itself and the number of a layer with a row that is not finite
} dkv_encode;
size_t dkv_encode_scratch(const dkv_layer *layer, size_t candidates);
size_t dkv_encode_count(const dkv_encode *encode);
void dkv_encode_task(void *context, size_t index, size_t worker);
/// Puts coded rows one after another, as `dkv_history` has them, and says how many bytes that takes: at most
/// `rows · (limit + 2)`. `limit` is that of a row.
size_t dkv_rows_gather(const uint8_t *coded, size_t limit, const uint16_t *lengths, size_t rows, uint8_t *to,
                       uint8_t *short_lengths);

/// A layer that is decoded.
typedef struct dkv_decode_layer {
    const dkv_layer *layer;
    dkv_candidates candidates;  // prototypes, and references if `whole`; with room for them if references are decoded
    dkv_history history;
} dkv_decode_layer;

/// Takes rows of a layer as they come, `[count][elements]`, the first of which is the `first` of those that are listed. They are
/// predicted from later and stay as they are.
typedef void (*dkv_row_sink)(void *context, size_t layer, size_t first, size_t count, const float *rows, size_t ld);

/// Decoding of rows of consecutive layers. Without `decoded` and `sink` only candidates come of it.
typedef struct dkv_decode {
    dkv_codec_isa isa;
    const dkv_decode_layer *layers;
    size_t layer_count;
    const dkv_plane *decoded;   // [layers], or NULL; the layers before stand before it
    dkv_row_sink sink;          // or NULL; the first layer has no sources then
    void *sink_context;
    bool whole;                 // whether candidates hold references
    bool references;            // whether the listed rows are references, which become candidates
    const uint32_t *positions;  // of the rows to decode
    const uint32_t *list;       // where they go in `decoded`
    size_t count;
    size_t block;               // rows of a task, at most DKV_BLOCK_ROWS
    uint8_t *scratch;           // [workers][scratch_size]
    size_t scratch_size;
    uint32_t *failed;           // becomes the least of itself and the number of a layer with bytes that are no row
} dkv_decode;
size_t dkv_decode_scratch(const dkv_layer *layer);
size_t dkv_decode_count(const dkv_decode *decode);
void dkv_decode_task(void *context, size_t index, size_t worker);

// ---- Half precision -------------------------------------------------------------------------------------------------

/// IEEE half precision to and from single, round to nearest even; beyond the range: ±65504.
uint16_t dkv_to_half(float value);
float dkv_from_half(uint16_t half);
void dkv_from_halves(const uint16_t *halves, float *to, size_t count);

// ---- Calibration ----------------------------------------------------------------------------------------------------

/// Causal softmax in place of scaled scores `[n][n]`: row i over columns 0...i, zeros after them.
void dkv_causal_softmax(float *scores, size_t n, float scale);
/// Sums over rows i and columns j in [first, i] of `p²` to `mass`, and of `p² · max(0, a[j] + b[i] − 2 · c[i][j])` to
/// `spread`; `p` and `c` are [n][n].
void dkv_attention_sums(const float *p, const float *a, const float *b, const float *c, size_t n, size_t first,
                        double *mass, double *spread);

#endif
