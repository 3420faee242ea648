// SPDX-License-Identifier: Apache-2.0
// One row's attention to the tokens that matter most, in terms of a vector vocabulary (see kv_int8.h for what it computes).
// Included once per instruction set, by attention_int8.h.

_Static_assert(few_rows == DKV_SPARSE_HEADS, "heads that pick together are computed together");

/// What the selection sums up while it goes through a context.
typedef struct sparse_sums {
    float reference[few_rows];       // the greatest guess of the first page
    V mass[few_rows][16 / VW];
    V invalid;                       // not zero as soon as a key is no number
} sparse_sums;

/// 2^x of guesses less what they are relative to, bounded, as a line between powers of two.
INLINE V coarse_powers(V guesses, float reference) {
    const V x = v_max(v_min(v_sub(guesses, v_set(reference)), v_set(SPARSE_MOST_EXPONENT)), v_set(SPARSE_LEAST_EXPONENT));
    return v_as_float(v_to_int(v_mul(v_add(x, v_set(127.0f)), v_set(0x1p23f))));
}

INLINE void add_mass(sparse_sums *sums, size_t r, size_t vector, V guesses) {
    V *lanes = &sums->mass[r][vector % (16 / VW)];
    *lanes = v_add(*lanes, coarse_powers(guesses, sums->reference[r]));
}

/// Guesses of a page's scores, from `at` on in the notes. Adds them to the masses, except those of the first page, from which comes
/// what masses are relative to. Asks for the part of a page to come that corresponds.
INLINE void guess_page(const size_t rows, const rows_state *s, int8_head h, size_t d, const sparse_notes *n, size_t at,
                       size_t visible, sparse_sums *sums, const uint8_t *coming) {
    enum { vectors = few_vectors };
    for (size_t first = 0; first < page_tokens; first += vectors * VW) {
        VI acc[few_rows * vectors];
        UNROLL for (size_t i = 0; i < rows * vectors; i++) acc[i] = v_set_int(0);
        for (size_t start = 0; start < d / 8; start += halves_groups) {
            VI dots[few_rows * vectors];
            UNROLL for (size_t i = 0; i < rows * vectors; i++) dots[i] = v_set_int(0);
            const size_t end = start + halves_groups < d / 8 ? start + halves_groups : d / 8;
            for (size_t g = start; g < end; g++) {
                VI low[vectors], high[vectors];
                UNROLL for (size_t v = 0; v < vectors; v++) {
                    const VI both = v_load_int((const int32_t *)h.upper + g * page_tokens + first + v * VW);
                    low[v] = v_low_halves(both);
                    high[v] = v_high_halves(both);
                }
                UNROLL for (size_t v = 0; v < vectors; v += 16 / VW) {
                    prefetch(coming + (g * page_tokens + first + v * VW) * 4);
                }
                UNROLL for (size_t r = 0; r < rows; r++) {
                    const VI q = bytes_at(s->queries[r] + g * 4), p = bytes_at(s->queries[r] + d / 2 + g * 4);
                    UNROLL for (size_t v = 0; v < vectors; v++) {
                        dots[r * vectors + v] = v_dot_halves(dots[r * vectors + v], low[v], q, high[v], p);
                    }
                }
            }
            UNROLL for (size_t i = 0; i < rows * vectors; i++) acc[i] = v_end_halves(acc[i], dots[i]);
        }
        UNROLL for (size_t v = 0; v < vectors; v++) {
            const int seen = (int)visible - (int)(first + v * VW);
            const V scale = v_first_else(v_key_scales(h.scales + first + v * VW), seen, v_zero());
            sums->invalid = v_add(sums->invalid, v_sub(scale, scale));
            UNROLL for (size_t r = 0; r < rows; r++) {
                const size_t to = r * n->capacity + at + first + v * VW;
                const VI doubled = v_add_int(v_shift_left(acc[r * vectors + v], 5), v_set_int(-241 * s->query_sum[r]));
                const V guess = v_mul(v_mul(v_from_int(doubled), scale), v_set(s->query_scale[r] * 0.5f));
                const V masked = v_first_else(guess, seen, v_set(DKV_MASKED_SCORE));
                v_store(n->guesses + to, masked);
                if (at > 0) add_mass(sums, r, first / VW + v, masked);
            }
        }
    }
    for (size_t t = 0; t < page_tokens; t += 16) prefetch(coming + page_tokens * d / 2 + t * 4);
}

INLINE float greatest_of(const float *guesses) {
    V largest = v_set(DKV_MASKED_SCORE);
    UNROLL for (size_t v = 0; v < token_vectors; v++) largest = v_max(v_load(guesses + v * VW), largest);
    const float top = v_largest(largest);
    return top < SPARSE_MOST_GUESS ? top : SPARSE_MOST_GUESS;
}

/// Makes the first page's guesses the beginning of the masses.
INLINE void begin_masses(const size_t rows, const sparse_notes *n, sparse_sums *sums) {
    UNROLL for (size_t r = 0; r < rows; r++) {
        const float *guesses = n->guesses + r * n->capacity;
        sums->reference[r] = greatest_of(guesses);
        UNROLL for (size_t v = 0; v < token_vectors; v++) add_mass(sums, r, v, v_load(guesses + v * VW));
    }
}

/// Codes of distances.
INLINE void note_distances(const size_t rows, const sparse_notes *n, const float *mass, size_t tokens) {
    for (size_t t = 0; t < tokens; t += VW) {
        V least = v_set(SPARSE_LONGEST);
        UNROLL for (size_t r = 0; r < rows; r++) {
            least = v_min(v_sub(v_set(mass[r]), v_load(n->guesses + r * n->capacity + t)), least);
        }
        v_store_bytes(n->codes + t, v_to_int(v_mul(v_max(least, v_zero()), v_set(SPARSE_CODES))));
    }
}

/// How many codes are at most `most`.
INLINE size_t count_codes(const uint8_t *codes, size_t tokens, uint8_t most) {
    size_t count = 0, t = 0;
    for (; t + page_tokens <= tokens; t += page_tokens) count += (size_t)__builtin_popcountll(v_at_most(codes + t, most));
    for (; t < tokens; t++) count += codes[t] <= most;
    return count;
}

/// The least code with which at least `kept` of the tokens are picked.
INLINE uint8_t threshold_of(const uint8_t *codes, size_t tokens, size_t kept) {
    unsigned low = 0, high = 255;
    while (low < high) {
        const unsigned middle = (low + high) / 2;
        if (count_codes(codes, tokens, (uint8_t)middle) >= kept) high = middle;
        else low = middle + 1;
    }
    return (uint8_t)low;
}

/// Lists the tokens with codes up to `most`, in ascending order, and repeats the last one up to a multiple of VW; returns their
/// number without that.
INLINE size_t list_tokens(const uint8_t *codes, size_t tokens, uint8_t most, uint32_t *to) {
    size_t count = 0, t = 0;
    for (; t + VW <= tokens; t += VW) count += v_pick(codes + t, most, (uint32_t)t, to + count);
    for (; t < tokens; t++) {
        to[count] = (uint32_t)t;
        count += codes[t] <= most;
    }
    for (size_t i = count; count > 0 && i % VW != 0; i++) to[i] = to[count - 1];
    return count;
}

/// The code up to which tokens are picked: at least `kept` of them, unless that takes tokens too far away.
INLINE uint8_t picked_most(const sparse_notes *n, size_t tokens, size_t kept) {
    const uint8_t least = threshold_of(n->codes, tokens, kept);
    return least < DKV_SPARSE_FARTHEST ? least : DKV_SPARSE_FARTHEST;
}

/// Where a token's lower half is.
INLINE const uint8_t *lower_of(const dkv_attention *a, const dkv_attention_unit *u, uint32_t token) {
    return int8_head_of(a, u, token / page_tokens).lower + token % page_tokens * (a->shape.head_dimension / 2);
}

/// Scores of VW near tokens, by their whole keys, instead of their guesses.
INLINE void score_near(const size_t rows, const rows_state *s, const dkv_attention *a, const dkv_attention_unit *u,
                       const sparse_notes *n, const uint32_t *near) {
    const size_t d = a->shape.head_dimension;
    const uint8_t *upper[VW], *lower[VW];
    float key_scales[VW];
    for (size_t lane = 0; lane < VW; lane++) {
        const int8_head h = int8_head_of(a, u, near[lane] / page_tokens);
        const size_t slot = near[lane] % page_tokens;
        upper[lane] = h.upper + slot * 4;
        lower[lane] = h.lower + slot * (d / 2);
        key_scales[lane] = int8_key_scale(h.scales[slot]);
    }
    VI uppers[few_rows], lowers[few_rows];
    UNROLL for (size_t r = 0; r < rows; r++) uppers[r] = lowers[r] = v_set_int(0);
    for (size_t start = 0; start < d / 8; start += VW) {
        const size_t words = d / 8 - start < VW ? d / 8 - start : VW;
        const uint8_t *from[VW];
        V rest[VW];
        for (size_t lane = 0; lane < VW; lane++) from[lane] = lower[lane] + start * 4;
        gather_words(from, words, rest);
        for (size_t j = 0; j < words; j++) {
            const VI high = gather_word(upper, (start + j) * page_tokens * 4), low = v_bits(rest[j]);
            UNROLL for (size_t r = 0; r < rows; r++) {
                const VI q = bytes_at(s->queries[r] + (start + j) * 4), p = bytes_at(s->queries[r] + d / 2 + (start + j) * 4);
                uppers[r] = v_end_halves(
                    uppers[r], v_dot_halves(v_set_int(0), v_low_halves(high), q, v_high_halves(high), p));
                lowers[r] = v_end_halves(
                    lowers[r], v_dot_halves(v_set_int(0), v_low_halves(low), q, v_high_halves(low), p));
            }
        }
    }
    UNROLL for (size_t r = 0; r < rows; r++) {
        const VI dots = v_add_int(v_add_int(v_shift_left(uppers[r], 4), lowers[r]), v_set_int(-128 * s->query_sum[r]));
        float scores[VW];
        v_store(scores, v_mul(v_mul(v_from_int(dots), v_load(key_scales)), v_set(s->query_scale[r])));
        for (size_t lane = 0; lane < VW; lane++) n->guesses[r * n->capacity + near[lane]] = scores[lane];
    }
}

/// A page of picked tokens, and where what is read of them is.
typedef struct picked_page {
    size_t count;
    uint32_t tokens[page_tokens];    // places without a token repeat the last one
    const int8_t *values[page_tokens];
    uint32_t scales[page_tokens];
} picked_page;

/// Finds the places of up to a page of picked tokens, and asks for what will be read there.
INLINE void place_picked(const dkv_attention *a, const dkv_attention_unit *u, const uint32_t *picked, size_t count,
                         picked_page *to) {
    const size_t d = a->shape.head_dimension;
    to->count = count < page_tokens ? count : page_tokens;
    if (to->count == 0) return;
    for (size_t j = 0; j < page_tokens; j++) {
        const uint32_t token = picked[j < to->count ? j : to->count - 1], slot = token % page_tokens;
        const int8_head h = int8_head_of(a, u, token / page_tokens);
        to->tokens[j] = token;
        to->values[j] = h.values + slot * d;
        to->scales[j] = h.scales[slot];
        for (size_t i = 0; i < d; i += 64) prefetch(to->values[j] + i);
        if (d % 64 != 0) prefetch(to->values[j] + d - 1);
    }
}

/// Attends to a page of picked tokens.
INLINE void attend_picked(const size_t rows, rows_state *s, size_t d, const sparse_notes *n, const picked_page *picked,
                          float *scratch) {
    float scores[few_rows][page_tokens];
    int8_page p = page_in(scratch, d);
    p.scales = picked->scales;
    for (size_t r = 0; r < rows; r++) {
        const float *from = n->guesses + r * n->capacity;
        for (size_t j = 0; j < page_tokens; j++) scores[r][j] = from[picked->tokens[j]];
        s->visible[r] = (int32_t)picked->count;
        s->hidden[r] = 0;
    }
    for (size_t t = 0; t < picked->count; t += 4) mix_values(picked->values + t, d, p.values + t * d);
    finish_page(rows, s, p, d, scores, NULL);
}

/// Computes heads `first ..< first + rows` of a unit of one row that attends to the tokens that matter most.
INLINE void attend_sparsely(const size_t rows, const dkv_attention *a, const dkv_attention_unit *u, size_t first,
                            float *scratch) {
    const size_t d = a->shape.head_dimension, tokens = u->position + 1;
    const sparse_notes n = sparse_notes_in(scratch + tile_scratch_size(d), tokens);
    int8_t queries[few_rows][DKV_MAX_HEAD_DIMENSION];
    float output[few_rows][DKV_MAX_HEAD_DIMENSION], mass[few_rows];
    sparse_sums sums = {.invalid = v_zero()};
    rows_state s = {.queries = queries, .output = output};
    load_rows(rows, a, u, first, &s);
    clear_rows(rows, d, &s);
    for (size_t r = 0; r < rows; r++) {
        for (size_t v = 0; v < 16 / VW; v++) sums.mass[r][v] = v_zero();
    }
    for (size_t at = 0; at < tokens; at += page_tokens) {
        const size_t page = at / page_tokens, later = page + 2;  // one page ahead is too late
        const int8_head coming = int8_head_of(a, u, later * page_tokens < tokens ? later : page);
        guess_page(rows, &s, int8_head_of(a, u, page), d, &n, at, tokens - at, &sums, coming.upper);
        if (at == 0) begin_masses(rows, &n, &sums);
    }
    for (size_t r = 0; r < rows; r++) mass[r] = sums.reference[r] + coarse_log2(v_sum_halves(sums.mass[r]));
    note_distances(rows, &n, mass, n.capacity);
    const size_t near = list_tokens(n.codes, tokens, DKV_SPARSE_NEAR, n.near);
    for (size_t i = 0; i < near; i++) prefetch(lower_of(a, u, n.near[i]));
    mark_ends(n.codes, tokens);
    const size_t count = list_tokens(n.codes, tokens, picked_most(&n, tokens, u->kept), n.picked);
    picked_page pages[2];  // the one at hand and the one whose tokens are on their way
    place_picked(a, u, n.picked, count, &pages[0]);
    for (size_t i = 0; i < near; i += VW) score_near(rows, &s, a, u, &n, n.near + i);
    for (size_t i = 0, turn = 0; i < count; i += page_tokens, turn ^= 1) {
        const size_t after = i + page_tokens < count ? i + page_tokens : count;
        place_picked(a, u, n.picked + after, count - after, &pages[turn ^ 1]);
        attend_picked(rows, &s, d, &n, &pages[turn], scratch);
    }
    for (size_t r = 0; r < rows; r++) {
        float *y = result_of(a, u, first + r);
        const bool valid = v_sum(sums.invalid) == 0 && !isnan(s.query_scale[r]);
        const float inverse = valid ? inverse_of(s.sum[r]) : NAN;
        for (size_t i = 0; i < d; i++) y[i] = output[r][i] * inverse;
    }
}
