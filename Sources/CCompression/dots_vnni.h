// SPDX-License-Identifier: Apache-2.0
// Products of bytes with AVX-512 VNNI: one vpdpbusd multiplies 4 columns of a row with 16 lanes of a panel. Lanes are biased by
// 128, which `bias` makes up for. Included by the files of the instruction sets that have it, after what they include.

/// Two panels at once load each value of a row once for both.
INLINE void some_dots(const uint8_t *panel, size_t step, const size_t panels, const int8_t *rows, size_t ld, size_t columns,
                      const size_t count, const int32_t *bias, size_t bias_step, int32_t *to, size_t width) {
    __m512i sums[2][DKV_SEARCH_ROWS];
    _Pragma("clang loop unroll(full)") for (size_t r = 0; r < count; r++) {
        sums[0][r] = sums[1][r] = _mm512_set1_epi32(bias[r * bias_step]);
    }
    for (size_t k = 0; k < columns; k += 4) {
        const __m512i low = _mm512_loadu_si512(panel + k * DKV_LANES);
        const __m512i high = panels == 2 ? _mm512_loadu_si512(panel + step + k * DKV_LANES) : low;
        _Pragma("clang loop unroll(full)") for (size_t r = 0; r < count; r++) {
            int32_t values;
            memcpy(&values, rows + r * ld + k, 4);
            sums[0][r] = _mm512_dpbusd_epi32(sums[0][r], low, _mm512_set1_epi32(values));
            if (panels == 2) sums[1][r] = _mm512_dpbusd_epi32(sums[1][r], high, _mm512_set1_epi32(values));
        }
    }
    _Pragma("clang loop unroll(full)") for (size_t r = 0; r < count; r++) {
        _mm512_storeu_si512(to + r * width, sums[0][r]);
        if (panels == 2) _mm512_storeu_si512(to + r * width + DKV_LANES, sums[1][r]);
    }
}

INLINE void rows_dots(const uint8_t *panel, size_t step, const size_t panels, const int8_t *rows, size_t ld, size_t columns,
                      size_t count, const int32_t *bias, size_t bias_step, int32_t *to, size_t width) {
    enum { half = DKV_SEARCH_ROWS / 2 };
    if (count == DKV_SEARCH_ROWS) {
        some_dots(panel, step, panels, rows, ld, columns, DKV_SEARCH_ROWS, bias, bias_step, to, width);
        return;
    }
    size_t r = 0;
    if (count >= half) {
        some_dots(panel, step, panels, rows, ld, columns, half, bias, bias_step, to, width);
        r = half;
    }
    for (; r < count; r++) {
        some_dots(panel, step, panels, rows + r * ld, ld, columns, 1, bias + r * bias_step, bias_step, to + r * width, width);
    }
}

INLINE void vnni_dots(const uint8_t *panel, size_t step, size_t panels, const int8_t *rows, size_t ld, size_t columns,
                      size_t count, const int32_t *bias, size_t bias_step, int32_t *to, size_t width) {
    if (panels == 2) rows_dots(panel, step, 2, rows, ld, columns, count, bias, bias_step, to, width);
    else rows_dots(panel, step, 1, rows, ld, columns, count, bias, bias_step, to, width);
}
