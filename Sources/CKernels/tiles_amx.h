// SPDX-License-Identifier: Apache-2.0
// Tiles of AMX: eight registers of up to 16 rows of 64 bytes.
#ifndef DELTAKV_TILES_AMX_H
#define DELTAKV_TILES_AMX_H

#include <immintrin.h>
#include <stdint.h>

enum { tile_registers = 8, tile_most_rows = 16, tile_row_bytes = 64 };

/// The argument of ldtilecfg.
typedef struct __attribute__((packed)) tile_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_shapes;

/// Tiles that are as large as can be.
static inline tile_shapes whole_tiles(void) {
    tile_shapes shapes = {.palette = 1};
    for (int i = 0; i < tile_registers; i++) {
        shapes.row_bytes[i] = tile_row_bytes;
        shapes.rows[i] = tile_most_rows;
    }
    return shapes;
}

#endif
