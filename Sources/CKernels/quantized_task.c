// SPDX-License-Identifier: Apache-2.0
// Which kernels to use, and how a product is cut into tasks.
#include "quantized_internal.h"

const dkv_quantized_kernels *dkv_quantized_kernels_for(dkv_isa isa) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (isa >= DKV_ISA_AVX512 && __builtin_cpu_supports("avx512vnni")) return &dkv_quantized_avx512;
    if (isa != DKV_ISA_SCALAR) return &dkv_quantized_avx2;
#endif
    return &dkv_quantized_scalar;
}

static size_t divide_up(size_t a, size_t b) { return (a + b - 1) / b; }
static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }
static size_t greater(size_t a, size_t b) { return a > b ? a : b; }

size_t dkv_quantize_count(const dkv_quantize *quantize) { return divide_up(quantize->rows, tile_rows); }

void dkv_quantize_task(void *context, size_t index, size_t worker) {
    (void)worker;
    const dkv_quantize *self = context;
    const size_t first = index * tile_rows, rows = smaller(tile_rows, self->rows - first);
    const float *x = self->x + first * self->ldx;
    float scales[tile_rows];
    for (size_t row = 0; self->weight && row < rows; row++) {
        scales[row] = self->base->rms_scale(x + row * self->ldx, self->epsilon, self->blocks * block_values);
    }
    self->kernels->quantize(x, self->ldx, rows, self->blocks, self->weight, scales,
                            self->tiles + first * self->blocks * DKV_ACTIVATION_BYTES);
}

// ---- How a product is cut -------------------------------------------------------------------------------------------

/// Outputs of a column of gated products, and its panels in each half.
enum { gated_outputs = 32, gated_panels = gated_outputs / panel_outputs };

// A task reads the activations of its tiles once for each of its columns, from a second-level cache if they are few enough.
// It should be long against the time that it takes to hand out, also for a single tile.
enum { most_activation_bytes = 384 << 10, least_panel_bytes = 32 << 10, tasks_per_thread = 8, least_band_tiles = 4 };

static size_t columns_of(const dkv_quantized_product *product) {
    return product->gated ? product->matrix.outputs / (2 * gated_outputs)
                          : divide_up(product->matrix.outputs, panel_outputs);
}

void dkv_quantized_plan(dkv_quantized_product *product, size_t threads) {
    const size_t tile_bytes = tile_rows * product->matrix.blocks * DKV_ACTIVATION_BYTES;
    const size_t column_bytes = product->matrix.panel_bytes * (product->gated ? 2 * gated_panels : 1);
    const size_t columns = columns_of(product), tiles = divide_up(product->rows, tile_rows);
    size_t bands = divide_up(tiles, greater(most_activation_bytes / tile_bytes, 1));
    // Bands of rows for every thread, which then finds them in its own cache; a few rows are left in one.
    if (tiles >= least_band_tiles * threads) bands = divide_up(bands, threads) * threads;
    // So many groups of columns that no thread is idle at the end, if they are long enough.
    const size_t groups = divide_up(divide_up(threads * tasks_per_thread, bands), threads) * threads;
    product->tile_block = divide_up(tiles, bands);
    product->column_block = greater(divide_up(columns, groups), divide_up(least_panel_bytes, column_bytes * tiles));
}

static size_t bands_of(const dkv_quantized_product *product) {
    return divide_up(divide_up(product->rows, tile_rows), product->tile_block);
}

size_t dkv_quantized_count(const dkv_quantized_product *product) {
    return divide_up(columns_of(product), product->column_block) * bands_of(product);
}

// ---- A task ---------------------------------------------------------------------------------------------------------

/// A tile of a product's rows.
typedef struct row_tile {
    const uint8_t *x;
    size_t row, rows;
} row_tile;

static void multiply_panel(const dkv_quantized_product *self, size_t panel, row_tile tile) {
    self->kernels->multiply(&self->matrix, panel, tile.x, tile.rows, self->y + tile.row * self->ldy + panel * panel_outputs,
                            self->ldy, self->accumulate);
}

/// One block of the gate and of what it gates, while both are in the first-level cache.
static void multiply_gated(const dkv_quantized_product *self, size_t column, row_tile tile) {
    float both[tile_rows][2 * gated_outputs], result[tile_rows][gated_outputs];
    const size_t half = self->matrix.outputs / 2 / panel_outputs;
    for (size_t i = 0; i < 2 * gated_panels; i++) {
        const size_t panel = column * gated_panels + i % gated_panels + i / gated_panels * half;
        self->kernels->multiply(&self->matrix, panel, tile.x, tile.rows, &both[0][i * panel_outputs], 2 * gated_outputs,
                                false);
    }
    for (size_t row = 0; row < tile.rows; row++) {
        self->base->swiglu(both[row], both[row] + gated_outputs, result[row], gated_outputs);
    }
    const size_t blocks = self->matrix.outputs / 2 / block_values;
    self->kernels->quantize(result[0], gated_outputs, tile.rows, 1, NULL, NULL,
                            self->gated + (tile.row * blocks + column * tile.rows) * DKV_ACTIVATION_BYTES);
}

/// Asks for a share of the column that comes next, so that the weights' way from memory does not show.
static void prefetch_share(const dkv_quantized_product *self, size_t column, size_t part, size_t parts) {
    const size_t bytes = self->matrix.panel_bytes * (self->gated ? gated_panels : 1), share = divide_up(bytes, parts);
    const size_t half = self->gated ? self->matrix.outputs / 2 / panel_outputs * self->matrix.panel_bytes : 0;
    const uint8_t *next = self->matrix.panels + column * bytes;
    for (size_t i = part * share; i < smaller(bytes, (part + 1) * share); i += DKV_QUANTIZED_ALIGNMENT) {
        __builtin_prefetch(next + i, 0, 2);
        if (half) __builtin_prefetch(next + half + i, 0, 2);
    }
}

void dkv_quantized_task(void *context, size_t index, size_t worker) {
    (void)worker;
    const dkv_quantized_product *self = context;
    const size_t groups = divide_up(columns_of(self), self->column_block);
    const size_t first_column = index % groups * self->column_block;
    const size_t last_column = smaller(first_column + self->column_block, columns_of(self));
    const size_t first_tile = index / groups * self->tile_block;
    const size_t last_tile = smaller(first_tile + self->tile_block, divide_up(self->rows, tile_rows));
    for (size_t column = first_column; column < last_column; column++) {
        for (size_t t = first_tile; t < last_tile; t++) {
            row_tile tile = {.row = t * tile_rows};
            tile.rows = smaller(tile_rows, self->rows - tile.row);
            tile.x = self->tiles + tile.row * self->matrix.blocks * DKV_ACTIVATION_BYTES;
            if (column + 1 < last_column && last_tile - first_tile > 1) {
                prefetch_share(self, column + 1, t - first_tile, last_tile - first_tile);
            }
            if (self->gated) {
                multiply_gated(self, column, tile);
            } else {
                multiply_panel(self, column, tile);
            }
        }
    }
}
