// SPDX-License-Identifier: Apache-2.0
// The reference: the definition in quantized.h, word for word.
#include "quantized_internal.h"

#pragma STDC FP_CONTRACT OFF

static void quantize_block(const float *x, const float *weight, float scaled, activation_block to, size_t row) {
    float values[block_values];
    for (size_t i = 0; i < block_values; i++) values[i] = weight ? x[i] * scaled * weight[i] : x[i];
    uint32_t greatest = 0;
    for (size_t i = 0; i < block_values; i++) {
        uint32_t bits;
        memcpy(&bits, values + i, 4);
        bits &= 0x7fffffffu;
        if (bits > greatest) greatest = bits;
    }
    float scale, factor;
    if (!block_scale(greatest, &scale, &factor)) {
        clear_block(to, row, scale);
        return;
    }
    int32_t sum = 0;
    for (size_t i = 0; i < block_values; i++) {
        int32_t code = (int32_t)lrintf(values[i] * factor);
        to.codes[row][i] = (int8_t)code;
        sum += code;
    }
    to.scale[row] = scale;
    to.weighted_sum[row] = scale * (float)sum;
    to.negated_sum[row] = -sum;
}

static void quantize(const float *x, size_t ldx, size_t rows, size_t blocks, const float *weight,
                     const float *scales, uint8_t *tile) {
    for (size_t row = 0; row < rows; row++) {
        for (size_t block = 0; block < blocks; block++) {
            quantize_block(x + row * ldx + block * block_values, weight ? weight + block * block_values : NULL,
                           weight ? scales[row] : 1, activation_block_at(tile, rows, block), row);
        }
    }
}

/// The four codes of a group for each of the 16 outputs of a panel.
static void unpack(block_traits traits, weight_block w, size_t group, int16_t codes[panel_outputs * 4]) {
    const uint8_t *stored = w.codes + (traits.form == form_8 ? group : group % 4) * 64;
    int shift = traits.form != form_8 && group >= 4 ? 4 : 0, mask = traits.form == form_8 ? 255 : 15;
    for (size_t i = 0; i < panel_outputs * 4; i++) codes[i] = (int16_t)(stored[i] >> shift & mask);
    if (traits.form != form_5) return;
    for (size_t i = 0; i < panel_outputs * 4; i++) {
        codes[i] |= (int16_t)((w.high[group * 8 + i / 8] >> (i % 8) & 1) << 4);
    }
}

/// Σ c · q of the 16 outputs of a panel.
static void dot(block_traits traits, weight_block w, const int8_t *x, int32_t *sums) {
    for (size_t group = 0; group < 8; group++, x += 4) {
        int16_t codes[panel_outputs * 4];
        unpack(traits, w, group, codes);
        for (size_t i = 0; i < panel_outputs; i++) {
            const int16_t *c = codes + i * 4;
            sums[i] += c[0] * x[0] + c[1] * x[1] + c[2] * x[2] + c[3] * x[3];
        }
    }
}

static void multiply_row(const dkv_quantized_matrix *matrix, const uint8_t *panel, const uint8_t *tile, size_t rows,
                         size_t row, float *sums) {
    block_traits traits = traits_of(matrix->type);
    for (size_t block = 0; block < matrix->blocks; block++) {
        weight_block w = weight_block_at(traits, panel, block);
        activation_block x = activation_block_at(tile, rows, block);
        uint16_t scales[panel_outputs], minima[panel_outputs];
        memcpy(scales, w.scales, sizeof scales);
        if (traits.minima) memcpy(minima, w.minima, sizeof minima);
        int32_t dots[panel_outputs];
        for (size_t i = 0; i < panel_outputs; i++) dots[i] = dot_offset(traits, x.negated_sum[row]);
        dot(traits, w, x.codes[row], dots);
        for (size_t i = 0; i < panel_outputs; i++) {
            sums[i] = fmaf((float)dots[i], half_to_float(scales[i]) * x.scale[row], sums[i]);
            if (traits.minima) sums[i] = fmaf(half_to_float(minima[i]), x.weighted_sum[row], sums[i]);
        }
    }
}

static void multiply(const dkv_quantized_matrix *matrix, size_t panel, const uint8_t *tile, size_t rows, float *y,
                     size_t ldy, bool accumulate) {
    size_t first = panel * panel_outputs;
    size_t outputs = matrix->outputs - first < panel_outputs ? matrix->outputs - first : panel_outputs;
    for (size_t row = 0; row < rows; row++) {
        float sums[panel_outputs] = {0};
        multiply_row(matrix, matrix->panels + panel * matrix->panel_bytes, tile, rows, row, sums);
        float *to = y + row * ldy;
        for (size_t i = 0; i < outputs; i++) to[i] = accumulate ? to[i] + sums[i] : sums[i];
    }
}

const dkv_quantized_kernels dkv_quantized_scalar = {quantize, multiply};
