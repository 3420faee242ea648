// SPDX-License-Identifier: Apache-2.0
// Chains of independent instructions, as many as hide their latency, that touch no memory.
#include "CKernels.h"

#include <string.h>

enum { chains = 12 };

#define KEEP(x) __asm__ volatile("" : "+v"(x))
#define EACH(i) _Pragma("clang loop unroll(full)") for (size_t i = 0; i < chains; i++)

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni"))) static uint64_t dot_vnni(size_t rounds) {
    __m512i sum[chains], x = _mm512_set1_epi8(1);
    EACH(i) sum[i] = _mm512_set1_epi32((int)i);
    for (size_t r = 0; r < rounds; r++) {
        EACH(i) {
            sum[i] = _mm512_dpbusd_epi32(sum[i], x, x);
            KEEP(sum[i]);
        }
    }
    return (uint64_t)_mm512_reduce_add_epi32(sum[0]);
}

__attribute__((target("avx2"))) static uint64_t dot_avx2(size_t rounds) {
    __m256i sum[chains], x = _mm256_set1_epi8(1), ones = _mm256_set1_epi16(1);
    EACH(i) sum[i] = _mm256_set1_epi32((int)i);
    for (size_t r = 0; r < rounds; r++) {
        EACH(i) {
            __m256i y = x;
            KEEP(y);
            sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(_mm256_maddubs_epi16(y, x), ones));
        }
    }
    return (uint64_t)_mm256_extract_epi64(sum[0], 0);
}

__attribute__((target("avx512f"))) static uint64_t fma_avx512(size_t rounds) {
    __m512 sum[chains], x = _mm512_set1_ps(0.5f);
    EACH(i) sum[i] = _mm512_set1_ps((float)i);
    for (size_t r = 0; r < rounds; r++) {
        EACH(i) {
            sum[i] = _mm512_fmadd_ps(sum[i], x, x);
            KEEP(sum[i]);
        }
    }
    return (uint64_t)_mm512_reduce_add_ps(sum[0]);
}

__attribute__((target("avx2,fma"))) static uint64_t fma_avx2(size_t rounds) {
    __m256 sum[chains], x = _mm256_set1_ps(0.5f);
    EACH(i) sum[i] = _mm256_set1_ps((float)i);
    for (size_t r = 0; r < rounds; r++) {
        EACH(i) {
            sum[i] = _mm256_fmadd_ps(sum[i], x, x);
            KEEP(sum[i]);
        }
    }
    return (uint64_t)_mm256_cvtss_f32(sum[0]);
}

static bool has_vnni(dkv_isa isa) {
    __builtin_cpu_init();
    return isa >= DKV_ISA_AVX512 && __builtin_cpu_supports("avx512vnni");
}
#else
static bool has_vnni(dkv_isa isa) { return false; }
#endif

/// Plain C has no chains worth the name: what a compiler makes of a loop over a small array.
static uint64_t dot_scalar(size_t rounds) {
    int32_t sum[chains] = {0};
    int8_t x[chains], y[chains];
    memset(x, 1, sizeof x);
    memset(y, 1, sizeof y);
    for (size_t r = 0; r < rounds; r++) {
        EACH(i) sum[i] += x[i] * y[i];
        __asm__ volatile("" : : "r"(sum), "r"(x), "r"(y) : "memory");
    }
    return (uint64_t)sum[0];
}

static uint64_t fma_scalar(size_t rounds) {
    float sum[chains] = {0}, x[chains];
    EACH(i) x[i] = 0.5f;
    for (size_t r = 0; r < rounds; r++) {
        EACH(i) sum[i] = sum[i] * x[i] + x[i];
        __asm__ volatile("" : : "r"(sum), "r"(x) : "memory");
    }
    return (uint64_t)sum[0];
}

size_t dkv_limit_dot_operations(dkv_isa isa) {
    return chains * 2 * (has_vnni(isa) ? 64 : isa == DKV_ISA_SCALAR ? 1 : 32);
}

void dkv_limit_dot_task(void *context, size_t index, size_t worker) {
    (void)index, (void)worker;
    dkv_limit *self = context;
#if defined(__x86_64__)
    if (has_vnni(self->isa)) {
        self->sink += dot_vnni(self->rounds);
        return;
    }
    if (self->isa != DKV_ISA_SCALAR) {
        self->sink += dot_avx2(self->rounds);
        return;
    }
#endif
    self->sink += dot_scalar(self->rounds);
}

size_t dkv_limit_fma_operations(dkv_isa isa) {
    return chains * 2 * (isa >= DKV_ISA_AVX512 ? 16 : isa == DKV_ISA_AVX2 ? 8 : 1);
}

void dkv_limit_fma_task(void *context, size_t index, size_t worker) {
    (void)index, (void)worker;
    dkv_limit *self = context;
#if defined(__x86_64__)
    if (self->isa >= DKV_ISA_AVX512) {
        self->sink += fma_avx512(self->rounds);
        return;
    }
    if (self->isa == DKV_ISA_AVX2) {
        self->sink += fma_avx2(self->rounds);
        return;
    }
#endif
    self->sink += fma_scalar(self->rounds);
}

void dkv_limit_read_task(void *context, size_t index, size_t worker) {
    (void)worker;
    typedef uint64_t vector __attribute__((vector_size(64), aligned(8)));
    dkv_limit *self = context;
    const vector *data = (const vector *)(self->memory + index * self->words);
    vector a = {0}, b = {0}, c = {0}, d = {0};
    for (size_t i = 0; i < self->words / 8; i += 4) {
        a += data[i];
        b += data[i + 1];
        c += data[i + 2];
        d += data[i + 3];
    }
    a += b + c + d;
    self->sink += a[0] + a[7];
}
