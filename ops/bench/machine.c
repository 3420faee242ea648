// SPDX-License-Identifier: Apache-2.0
// What the memory and OpenBLAS can do here, for ops/bench/machine: machine memory|gemm THREADS
// memory prints GB/s of reading 256 MiB a thread; gemm prints GFLOP/s, the name of the kernels and the version.
// Both print the best of many repetitions: limits are asked for, and other work on the machine only takes away.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { bytes_per_thread = 256 << 20, memory_rounds = 12, max_threads = 256 };
typedef uint64_t vector __attribute__((vector_size(64)));
static pthread_barrier_t barrier;
static volatile uint64_t sink;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct { double start, end; } span;
static span spans[max_threads];  // of each thread's reading in this round

static void *reader(void *argument) {
    span *own = argument;
    vector *data = aligned_alloc(2 << 20, bytes_per_thread);
    if (!data) { fputs("machine: not enough memory\n", stderr); exit(1); }
    madvise(data, bytes_per_thread, MADV_HUGEPAGE);  // or page walks are measured as well
    memset(data, 1, bytes_per_thread);  // the pages exist, on this thread's node
    for (int round = 0; round < memory_rounds; round++) {
        pthread_barrier_wait(&barrier);
        own->start = now();
        vector s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
        for (size_t i = 0; i < bytes_per_thread / sizeof(vector); i += 4)
            s0 += data[i], s1 += data[i + 1], s2 += data[i + 2], s3 += data[i + 3];
        s0 += s1 + s2 + s3;
        sink += s0[0] + s0[7];
        own->end = now();
        pthread_barrier_wait(&barrier);
    }
    free(data);
    return NULL;
}

static int measure_memory(int threads) {
    pthread_t thread[max_threads];
    pthread_barrier_init(&barrier, NULL, (unsigned)threads + 1);
    for (int i = 0; i < threads; i++)
        if (pthread_create(&thread[i], NULL, reader, &spans[i])) { fputs("machine: no thread\n", stderr); return 1; }
    double best = 1e9;
    for (int round = 0; round < memory_rounds; round++) {
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        // By the readers' own clocks: this thread may wake late.
        double start = spans[0].start, end = spans[0].end;
        for (int i = 1; i < threads; i++) {
            if (spans[i].start < start) start = spans[i].start;
            if (spans[i].end > end) end = spans[i].end;
        }
        if (end - start < best) best = end - start;
    }
    for (int i = 0; i < threads; i++) pthread_join(thread[i], NULL);
    printf("%.1f\n", (double)threads * bytes_per_thread / best * 1e-9);
    return 0;
}

typedef void gemm(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *, int);

// A GEMM of the size that a transformer of this kind spends its time on: 512 x 1536 x 576, row-major, B transposed.
static int measure_gemm(int threads) {
    void *library = dlopen("libopenblas.so.0", RTLD_NOW);
    if (!library) { fprintf(stderr, "machine: %s\n", dlerror()); return 1; }
    gemm *sgemm = (gemm *)dlsym(library, "cblas_sgemm");
    void (*set_threads)(int) = (void (*)(int))dlsym(library, "openblas_set_num_threads");
    char *(*core)(void) = (char *(*)(void))dlsym(library, "openblas_get_corename");
    char *(*config)(void) = (char *(*)(void))dlsym(library, "openblas_get_config");
    if (!sgemm || !set_threads || !core || !config) { fputs("machine: not a whole OpenBLAS\n", stderr); return 1; }
    enum { m = 512, n = 1536, k = 576, row_major = 101, plain = 111, transposed = 112 };
    float *a = aligned_alloc(64, m * k * 4), *b = aligned_alloc(64, n * k * 4), *c = aligned_alloc(64, m * n * 4);
    if (!a || !b || !c) { fputs("machine: not enough memory\n", stderr); return 1; }
    for (int i = 0; i < m * k; i++) a[i] = (float)(i % 13) / 13;
    for (int i = 0; i < n * k; i++) b[i] = (float)(i % 7) / 7;
    set_threads(threads);
    double best = 1e9, end = now() + 1.5;
    for (int round = 0; round < 20 || now() < end; round++) {
        double start = now();
        sgemm(row_major, plain, transposed, m, n, k, 1, a, k, b, k, 0, c, n);
        double took = now() - start;
        if (took < best) best = took;
    }
    // "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ...": the first two words are what matters.
    char version[64] = "";
    sscanf(config(), "%*s %63s", version);
    printf("%.0f %s %s\n", 2.0 * m * n * k / best * 1e-9, core(), version);
    return 0;
}

int main(int count, char **arguments) {
    int threads = count == 3 ? atoi(arguments[2]) : 0;
    if (threads >= 1 && threads <= max_threads && !strcmp(arguments[1], "memory")) return measure_memory(threads);
    if (threads >= 1 && threads <= max_threads && !strcmp(arguments[1], "gemm")) return measure_gemm(threads);
    fputs("usage: machine memory|gemm THREADS\n", stderr);
    return 2;
}
