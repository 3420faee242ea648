// SPDX-License-Identifier: Apache-2.0
// Which kernels to use, and how a product is cut into tasks.
#include "quantized_internal.h"

const dkv_quantized_kernels *dkv_quantized_kernels_for(dkv_isa isa) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (isa == DKV_ISA_AVX512 && __builtin_cpu_supports("avx512vnni")) return &dkv_quantized_avx512;
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
    size_t first = index * tile_rows;
    size_t rows = smaller(tile_rows, self->rows - first);
    self->kernels->quantize(self->x + first * self->ldx, self->ldx, rows, self->blocks,
                            self->tiles + first * self->blocks * DKV_ACTIVATION_BYTES);
}

// A task reads its panels once per tile of rows, so they should stay in a second-level cache (256 KiB of it); it should
// also be long against the time that it takes to hand out (32 KiB of panels for a single tile).
enum { most_panel_bytes = 256 << 10, least_panel_bytes = 32 << 10, tasks_per_thread = 8, least_band_tiles = 4 };

void dkv_quantized_plan(dkv_quantized_product *product, size_t threads) {
    size_t bytes = product->matrix.panel_bytes;
    size_t panels = divide_up(product->matrix.outputs, panel_outputs), tiles = divide_up(product->rows, tile_rows);
    size_t wanted = threads * tasks_per_thread, most_bands = greater(tiles / least_band_tiles, 1);
    size_t columns = divide_up(panels, greater(most_panel_bytes / bytes, 1));
    // Rows are cut before panels are cut any finer, into a number that leaves no thread idle at the end.
    size_t bands = smaller(divide_up(wanted, columns), most_bands);
    while (columns * bands % threads != 0 && bands < most_bands) bands++;
    if (columns * bands < wanted) columns = divide_up(wanted, bands);
    product->panel_block = greater(divide_up(panels, columns), greater(least_panel_bytes / bytes / tiles, 1));
    product->tile_block = divide_up(tiles, bands);
}

static size_t bands_of(const dkv_quantized_product *product) {
    return divide_up(divide_up(product->rows, tile_rows), product->tile_block);
}

size_t dkv_quantized_count(const dkv_quantized_product *product) {
    return divide_up(divide_up(product->matrix.outputs, panel_outputs), product->panel_block) * bands_of(product);
}

void dkv_quantized_task(void *context, size_t index, size_t worker) {
    (void)worker;
    const dkv_quantized_product *self = context;
    const dkv_quantized_matrix *matrix = &self->matrix;
    size_t bands = bands_of(self);
    size_t panel = index / bands * self->panel_block, tile = index % bands * self->tile_block;
    size_t last_panel = smaller(panel + self->panel_block, divide_up(matrix->outputs, panel_outputs));
    size_t last_tile = smaller(tile + self->tile_block, divide_up(self->rows, tile_rows));
    for (; tile < last_tile; tile++) {
        size_t row = tile * tile_rows, rows = smaller(tile_rows, self->rows - row);
        const uint8_t *x = self->tiles + row * matrix->blocks * DKV_ACTIVATION_BYTES;
        float *y = self->y + row * self->ldy;
        for (size_t p = panel; p < last_panel; p++) {
            self->kernels->multiply(matrix, p, x, rows, y, self->ldy, self->accumulate);
        }
    }
}
