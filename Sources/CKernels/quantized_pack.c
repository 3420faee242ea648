// SPDX-License-Identifier: Apache-2.0
// From GGUF blocks to panels, and back to floats a row at a time.
#include "quantized_internal.h"

// Products and sums of dequantisation are rounded one by one, as the format's reference does.
#pragma STDC FP_CONTRACT OFF

/// A GGUF block: f16 scale, f16 minimum (types with minima), 32-bit word of fifth bits (5-bit types), codes. In 4- and
/// 5-bit blocks byte i has value i in its low nibble and value i + 16 in its high one.
typedef struct source_layout {
    size_t high, codes, bytes;
} source_layout;

static source_layout source_of(block_traits traits) {
    source_layout source;
    source.high = traits.minima ? 4 : 2;
    source.codes = source.high + (traits.form == form_5 ? 4 : 0);
    source.bytes = source.codes + (traits.form == form_8 ? 32 : 16);
    return source;
}

static bool is_supported(dkv_quantized_type type) {
    return type == DKV_Q4_0 || type == DKV_Q4_1 || type == DKV_Q5_0 || type == DKV_Q5_1 || type == DKV_Q8_0;
}

size_t dkv_quantized_block_bytes(dkv_quantized_type type) {
    return is_supported(type) ? source_of(traits_of(type)).bytes : 0;
}

size_t dkv_quantized_panel_bytes(dkv_quantized_type type, size_t blocks) {
    size_t mask = DKV_QUANTIZED_ALIGNMENT - 1;
    return ((blocks + 1) / 2 * pair_bytes(traits_of(type)) + mask) & ~mask;
}

static bool is_finite_half(const uint8_t *source) {
    uint16_t half;
    memcpy(&half, source, 2);
    return (half & 0x7c00) != 0x7c00;
}

/// Spreads the fifth bits of one output over the block's eight words.
static void pack_high_bits(uint8_t *words, size_t output, const uint8_t *source) {
    uint32_t bits;
    memcpy(&bits, source, 4);
    for (size_t group = 0; group < 8; group++) {
        uint64_t word;
        memcpy(&word, words + group * 8, 8);
        word |= (uint64_t)(bits >> (group * 4) & 15) << (output * 4);
        memcpy(words + group * 8, &word, 8);
    }
}

size_t dkv_quantized_pack_row(dkv_quantized_type type, size_t blocks, uint8_t *panels, size_t row,
                              const uint8_t *source) {
    block_traits traits = traits_of(type);
    source_layout from = source_of(traits);
    uint8_t *panel = panels + row / panel_outputs * dkv_quantized_panel_bytes(type, blocks);
    size_t output = row % panel_outputs;
    for (size_t block = 0; block < blocks; block++, source += from.bytes) {
        weight_block to = weight_block_at(traits, panel, block);
        if (!is_finite_half(source) || (traits.minima && !is_finite_half(source + 2))) return block;
        memcpy((uint8_t *)to.scales + output * 2, source, 2);
        if (traits.minima) memcpy((uint8_t *)to.minima + output * 2, source + 2, 2);
        if (traits.form == form_5) pack_high_bits((uint8_t *)to.high, output, source + from.high);
        for (size_t group = 0; group < code_bytes(traits) / 64; group++) {
            uint32_t four;
            memcpy(&four, source + from.codes + group * 4, 4);
            if (traits.form == form_8) four ^= 0x80808080u;  // signed to unsigned with offset 128
            memcpy((uint8_t *)to.codes + group * 64 + output * 4, &four, 4);
        }
    }
    return blocks;
}

/// The unsigned code of value k of one output.
static int code_at(block_traits traits, weight_block from, size_t output, size_t k) {
    const uint8_t *codes = from.codes + output * 4;
    size_t group = k / 4, within = k % 4;
    if (traits.form == form_8) return codes[group * 64 + within];
    int byte = codes[group % 4 * 64 + within];
    int code = group < 4 ? byte & 15 : byte >> 4;
    if (traits.form == form_4) return code;
    const uint8_t *high = from.high + group * 8;
    size_t bit = output * 4 + within;
    return code | (high[bit / 8] >> (bit % 8) & 1) << 4;
}

void dkv_quantized_unpack_row(const dkv_quantized_matrix *matrix, size_t row, float *output) {
    block_traits traits = traits_of(matrix->type);
    const uint8_t *panel = matrix->panels + row / panel_outputs * matrix->panel_bytes;
    size_t column = row % panel_outputs;
    int offset = traits.offset_shift < 0 ? 0 : 1 << traits.offset_shift;
    for (size_t block = 0; block < matrix->blocks; block++) {
        weight_block from = weight_block_at(traits, panel, block);
        uint16_t halves[2] = {0, 0};
        memcpy(&halves[0], from.scales + column * 2, 2);
        if (traits.minima) memcpy(&halves[1], from.minima + column * 2, 2);
        float scale = half_to_float(halves[0]), minimum = half_to_float(halves[1]);
        for (size_t k = 0; k < block_values; k++) {
            float value = scale * (float)(code_at(traits, from, column, k) - offset);
            // Adding a zero minimum where there is none would turn −0 into +0.
            output[block * block_values + k] = traits.minima ? value + minimum : value;
        }
    }
}
