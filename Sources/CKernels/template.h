// SPDX-License-Identifier: Apache-2.0
// The kernels in terms of a vector vocabulary (vector_avx512.h, vector_avx2.h). Included once per instruction set,
// after the vocabulary; everything is static, the including file fills a dkv_kernels table.
#include <math.h>

#include "exp2.h"

// ---- Element-wise ---------------------------------------------------------------------------------------------------

INLINE V silu_times(V gate, V up) {
    V e = v_exp2(v_mul(gate, v_set(-0x1.715476p+0f)));  // e^-gate
    return v_mul(v_div(gate, v_add(v_set(1.0f), e)), up);
}

static void swiglu(const float *gate, const float *up, float *y, size_t n) {
    size_t i = 0;
    for (; i + VW <= n; i += VW) v_store(y + i, silu_times(v_load(gate + i), v_load(up + i)));
    size_t left = n - i;
    if (left) v_store_first(y + i, silu_times(v_load_first(gate + i, left), v_load_first(up + i, left)), left);
}

static float rms_scale(const float *x, float epsilon, size_t n) {
    V a = v_zero(), b = v_zero();
    size_t i = 0;
    for (; i + 2 * VW <= n; i += 2 * VW) {
        V p = v_load(x + i), q = v_load(x + i + VW);
        a = v_fma(p, p, a);
        b = v_fma(q, q, b);
    }
    if (i + VW <= n) {
        V p = v_load(x + i);
        a = v_fma(p, p, a);
        i += VW;
    }
    size_t left = n - i;
    if (left) {
        V p = v_load_first(x + i, left);
        b = v_fma(p, p, b);
    }
    return 1.0f / sqrtf(v_sum(v_add(a, b)) / (float)n + epsilon);
}

static void rms_norm(const float *x, const float *weight, float epsilon, float *y, size_t n) {
    const V scale = v_set(rms_scale(x, epsilon, n));
    size_t i = 0;
    for (; i + VW <= n; i += VW) v_store(y + i, v_mul(v_mul(v_load(x + i), scale), v_load(weight + i)));
    size_t left = n - i;
    if (left) {
        v_store_first(y + i, v_mul(v_mul(v_load_first(x + i, left), scale), v_load_first(weight + i, left)), left);
    }
}

/// a' = a·cos − b·sin, b' = b·cos + a·sin.
INLINE void rotate(V *a, V *b, V c, V s) {
    V x = *a, y = *b;
    *a = v_sub(v_mul(x, c), v_mul(y, s));
    *b = v_fma(x, s, v_mul(y, c));
}

static void rope(float *x, size_t heads, size_t dimension, const float *cosine, const float *sine) {
    const size_t half = dimension / 2;
    for (size_t h = 0; h < heads; h++) {
        float *p = x + h * dimension, *q = p + half;
        size_t i = 0;
        for (; i + VW <= half; i += VW) {
            V a = v_load(p + i), b = v_load(q + i);
            rotate(&a, &b, v_load(cosine + i), v_load(sine + i));
            v_store(p + i, a);
            v_store(q + i, b);
        }
        size_t left = half - i;
        if (left) {
            V a = v_load_first(p + i, left), b = v_load_first(q + i, left);
            rotate(&a, &b, v_load_first(cosine + i, left), v_load_first(sine + i, left));
            v_store_first(p + i, a, left);
            v_store_first(q + i, b, left);
        }
    }
}

INLINE V v_within_half(V x) { return v_max(v_set(-65504.0f), v_min(v_set(65504.0f), x)); }

static void narrow(const float *x, uint16_t *y, size_t n) {
    size_t i = 0;
    for (; i + VW <= n; i += VW) v_store_half(y + i, v_within_half(v_load(x + i)));
    size_t left = n - i;
    if (left) {
        uint16_t last[VW];
        v_store_half(last, v_within_half(v_load_first(x + i, left)));
        for (size_t j = 0; j < left; j++) y[i + j] = last[j];
    }
}

static void widen(const uint16_t *x, float *y, size_t n) {
    size_t i = 0;
    for (; i + VW <= n; i += VW) v_store(y + i, v_load_half(x + i));
    size_t left = n - i;
    if (left) {
        uint16_t last[VW] = {0};
        for (size_t j = 0; j < left; j++) last[j] = x[i + j];
        v_store_first(y + i, v_load_half(last), left);
    }
}

// Loops over the registers of a tile must vanish, else the compiler keeps the tile in memory.
#define UNROLL _Pragma("clang loop unroll(full)")

// ---- Tiles ----------------------------------------------------------------------------------------------------------

INLINE V load_float(const void *base, size_t element) { return v_load((const float *)base + element); }
INLINE V load_half(const void *base, size_t element) { return v_load_half((const uint16_t *)base + element); }

/// `acc[rows][vectors] += a[rows][depth] · b[depth][vectors · VW]`, each element one chain in ascending depth.
/// `rows` and `vectors` are constants where this is inlined, so that acc lives in registers.
#define DEFINE_TILE(name, load)                                                                                        \
    INLINE void name(const size_t rows, const size_t vectors, V *acc, const float *a, size_t lda, const void *b,       \
                     size_t ldb, size_t depth) {                                                                       \
        for (size_t k = 0; k < depth; k++) {                                                                           \
            V w[NV_WIDE];                                                                                              \
            UNROLL for (size_t j = 0; j < vectors; j++) w[j] = load(b, k * ldb + j * VW);                              \
            UNROLL for (size_t r = 0; r < rows; r++) {                                                                 \
                V x = v_set(a[r * lda + k]);                                                                           \
                UNROLL for (size_t j = 0; j < vectors; j++)                                                            \
                    acc[r * vectors + j] = v_fma(x, w[j], acc[r * vectors + j]);                                       \
            }                                                                                                          \
        }                                                                                                              \
    }
DEFINE_TILE(tile_float, load_float)
DEFINE_TILE(tile_half, load_half)

/// Calls `STEP(rows)` with a constant: the whole tile, or what is left of the rows.
#define FOR_TILE_ROWS_6(left, STEP)                                                                                    \
    switch (left) {                                                                                                    \
    case 1: STEP(1); break;                                                                                            \
    case 2: STEP(2); break;                                                                                            \
    case 3: STEP(3); break;                                                                                            \
    case 4: STEP(4); break;                                                                                            \
    case 5: STEP(5); break;                                                                                            \
    default: STEP(6); break;                                                                                           \
    }
#define FOR_TILE_ROWS_12(left, STEP)                                                                                   \
    switch (left) {                                                                                                    \
    case 1: STEP(1); break;                                                                                            \
    case 2: STEP(2); break;                                                                                            \
    case 3: STEP(3); break;                                                                                            \
    case 4: STEP(4); break;                                                                                            \
    case 5: STEP(5); break;                                                                                            \
    case 6: STEP(6); break;                                                                                            \
    case 7: STEP(7); break;                                                                                            \
    case 8: STEP(8); break;                                                                                            \
    case 9: STEP(9); break;                                                                                            \
    case 10: STEP(10); break;                                                                                          \
    case 11: STEP(11); break;                                                                                          \
    default: STEP(12); break;                                                                                          \
    }

// ---- Linear ---------------------------------------------------------------------------------------------------------

INLINE void store_columns(float *y, V x, size_t columns, bool accumulate) {
    if (columns >= VW) {
        v_store(y, accumulate ? v_add(v_load(y), x) : x);
    } else if (columns > 0) {
        v_store_first(y, accumulate ? v_add(v_load_first(y, columns), x) : x, columns);
    }
}

INLINE void linear_tile(const size_t rows, const float *x, size_t ldx, const float *panel, size_t inputs, float *y,
                        size_t ldy, size_t outputs, bool accumulate) {
    V acc[TILE_PANEL * NV_PANEL];
    UNROLL for (size_t i = 0; i < rows * NV_PANEL; i++) acc[i] = v_zero();
    tile_float(rows, NV_PANEL, acc, x, ldx, panel, DKV_PANEL, inputs);
    UNROLL for (size_t r = 0; r < rows; r++) {
        UNROLL for (size_t j = 0; j < NV_PANEL; j++) {
            const size_t columns = outputs > j * VW ? outputs - j * VW : 0;
            store_columns(y + r * ldy + j * VW, acc[r * NV_PANEL + j], columns, accumulate);
        }
    }
}

static void linear_panel(const float *x, size_t ldx, size_t rows, const float *panel, size_t inputs, float *y,
                         size_t ldy, size_t outputs, bool accumulate) {
    for (size_t column = 0; column < outputs; column += NV_PANEL * VW) {
        size_t columns = outputs - column < NV_PANEL * VW ? outputs - column : NV_PANEL * VW;
        for (size_t r = 0; r < rows; r += TILE_PANEL) {
            const float *tile_x = x + r * ldx;
            float *tile_y = y + r * ldy + column;
#define STEP(n) linear_tile(n, tile_x, ldx, panel + column, inputs, tile_y, ldy, columns, accumulate)
#if TILE_PANEL == 12
            FOR_TILE_ROWS_12(rows - r, STEP)
#else
            FOR_TILE_ROWS_6(rows - r, STEP)
#endif
#undef STEP
        }
    }
}

// ---- Attention ------------------------------------------------------------------------------------------------------

/// Scores of a tile of rows against all slots of a page: `scores = queries · K`.
INLINE void score_tile(const size_t rows, const dkv_page_step *s, const void *keys, bool half, size_t first) {
    const size_t d = s->head_dimension;
    for (size_t column = 0; column < DKV_PAGE_TOKENS; column += NV_WIDE * VW) {
        V acc[TILE_WIDE * NV_WIDE];
        UNROLL for (size_t i = 0; i < rows * NV_WIDE; i++) acc[i] = v_zero();
        const float *q = s->queries + first * d;
        if (half) {
            tile_half(rows, NV_WIDE, acc, q, d, (const uint16_t *)keys + column, DKV_PAGE_TOKENS, d);
        } else {
            tile_float(rows, NV_WIDE, acc, q, d, (const float *)keys + column, DKV_PAGE_TOKENS, d);
        }
        UNROLL for (size_t r = 0; r < rows; r++) {
            UNROLL for (size_t j = 0; j < NV_WIDE; j++) {
                v_store(s->scores + (first + r) * DKV_PAGE_TOKENS + column + j * VW, acc[r * NV_WIDE + j]);
            }
        }
    }
}

/// Turns the scores of one row into weights, updates its maximum and sum, returns the factor for what it summed before.
INLINE float soften_row(const dkv_page_step *s, size_t row) {
    float *score = s->scores + row * DKV_PAGE_TOKENS;
    const V masked = v_set(DKV_MASKED_SCORE);
    V x[DKV_PAGE_TOKENS / VW], largest = masked;
    for (int j = 0; j < DKV_PAGE_TOKENS / VW; j++) {
        x[j] = v_first_else(v_load(score + j * VW), s->valid[row] - j * VW, masked);
        if (s->hidden) x[j] = v_first_else(masked, s->hidden[row] - j * VW, x[j]);
        largest = v_max(largest, x[j]);
    }
    const float before = s->maximum[row], here = v_largest(largest), now = here > before ? here : before;
    const V shift = v_set(now);
    V total = v_zero();
    for (int j = 0; j < DKV_PAGE_TOKENS / VW; j++) {
        x[j] = v_exp2(v_sub(x[j], shift));
        v_store(score + j * VW, x[j]);
        total = v_add(total, x[j]);
    }
    float factor[VW];
    v_store(factor, v_exp2(v_set(before - now)));
    s->maximum[row] = now;
    s->sum[row] = fmaf(s->sum[row], factor[0], v_sum(total));
    return factor[0];
}

/// `output = output · factor + weights · V` for a tile of rows and `vectors` vectors of columns.
INLINE void value_tile(const size_t rows, const size_t vectors, const dkv_page_step *s, const void *values, bool half,
                       size_t first, size_t column, const float *factor, size_t tokens) {
    const size_t d = s->head_dimension;
    float *output = s->output + first * d + column;
    V acc[TILE_WIDE * NV_WIDE];
    UNROLL for (size_t r = 0; r < rows; r++) {
        UNROLL for (size_t j = 0; j < vectors; j++) {
            acc[r * vectors + j] = v_mul(v_load(output + r * d + j * VW), v_set(factor[r]));
        }
    }
    const float *weights = s->scores + first * DKV_PAGE_TOKENS;
    if (half) {
        tile_half(rows, vectors, acc, weights, DKV_PAGE_TOKENS, (const uint16_t *)values + column, d, tokens);
    } else {
        tile_float(rows, vectors, acc, weights, DKV_PAGE_TOKENS, (const float *)values + column, d, tokens);
    }
    UNROLL for (size_t r = 0; r < rows; r++) {
        UNROLL for (size_t j = 0; j < vectors; j++) v_store(output + r * d + j * VW, acc[r * vectors + j]);
    }
}

INLINE void attend_tile(const size_t rows, const dkv_page_step *s, const void *keys, const void *values, bool half,
                        size_t first) {
    const size_t d = s->head_dimension;
    float factor[TILE_WIDE];
    int32_t tokens = 0;
    score_tile(rows, s, keys, half, first);
    for (size_t r = 0; r < rows; r++) {
        factor[r] = soften_row(s, first + r);
        if (s->valid[first + r] > tokens) tokens = s->valid[first + r];
    }
    if (tokens > DKV_PAGE_TOKENS) tokens = DKV_PAGE_TOKENS;
    size_t column = 0;
    for (; column + NV_WIDE * VW <= d; column += NV_WIDE * VW) {
        value_tile(rows, NV_WIDE, s, values, half, first, column, factor, (size_t)tokens);
    }
    for (; column < d; column += VW) value_tile(rows, 1, s, values, half, first, column, factor, (size_t)tokens);
}

static void attend_page(const dkv_page_step *s) {
    const void *keys = s->keys, *values = s->values;
    bool half = s->half;
    if (half && s->rows > TILE_WIDE) {
        // Several tiles read the page: widening it once is cheaper than in every tile, and gives the same bits.
        const size_t n = DKV_PAGE_TOKENS * s->head_dimension;
        widen(keys, s->wide, n);
        widen(values, s->wide + n, n);
        keys = s->wide;
        values = s->wide + n;
        half = false;
    }
    for (size_t first = 0; first < s->rows; first += TILE_WIDE) {
#define STEP(n)                                                                                                        \
    if (half) {                                                                                                        \
        attend_tile(n, s, keys, values, true, first);                                                                  \
    } else {                                                                                                           \
        attend_tile(n, s, keys, values, false, first);                                                                 \
    }
        FOR_TILE_ROWS_6(s->rows - first, STEP)
#undef STEP
    }
}

static void merge(size_t dimension, float *maximum, float *sum, float *output, float later_maximum, float later_sum,
                  const float *later_output) {
    const float now = later_maximum > *maximum ? later_maximum : *maximum;
    float factors[2 * VW];
    v_store(factors, v_exp2(v_set(*maximum - now)));
    v_store(factors + VW, v_exp2(v_set(later_maximum - now)));
    const float a = factors[0], b = factors[VW];
    *maximum = now;
    *sum = fmaf(later_sum, b, *sum * a);
    for (size_t i = 0; i < dimension; i += VW) {
        V scaled = v_mul(v_load(output + i), v_set(a));
        v_store(output + i, v_fma(v_load(later_output + i), v_set(b), scaled));
    }
}
