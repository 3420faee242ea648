// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "COpenBLAS.h"

#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

// Values of the CBLAS interface.
enum { row_major = 101, no_transpose = 111, transpose = 112 };

typedef void (*sgemm_function)(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                               const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);

typedef void (*dsyevd_function)(const char *job, const char *triangle, const int *n, double *a, const int *lda,
                                double *values, double *work, const int *work_size, int *whole,
                                const int *whole_size, int *status);

static dkv_blas_info info;
static sgemm_function sgemm;
static dsyevd_function dsyevd;
typedef void (*dposv_function)(const char *triangle, const int *n, const int *sides, double *a, const int *lda, double *b,
                               const int *ldb, int *status);
static dposv_function dposv;

/// The fastest of OpenBLAS's kernel sets that this CPU runs, or NULL to leave the choice to the library.
static const char *core_type(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")
        && __builtin_cpu_supports("avx512vl")) {
        return "SkylakeX";
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "Haswell";
#endif
    return NULL;
}

static void fail(dkv_blas_status status, const char *detail) {
    info.status = status;
    snprintf(info.detail, sizeof info.detail, "%s", detail ? detail : "no reason given");
}

/// One product whose sizes are no multiples of any tile, against a plain loop.
static void check_product(void) {
    enum { m = 37, n = 83, k = 131 };
    static float a[m * k], b[n * k], c[m * n];
    for (int i = 0; i < m * k; i++) a[i] = (float)((i * 37) % 101 - 50) / 50;
    for (int i = 0; i < n * k; i++) b[i] = (float)((i * 53) % 97 - 48) / 48;
    sgemm(row_major, no_transpose, transpose, m, n, k, 1, a, k, b, k, 0, c, n);
    for (int i = 0; i < m; i++) {
        for (int j = 0; j < n; j++) {
            double expected = 0;
            for (int t = 0; t < k; t++) expected += (double)a[i * k + t] * b[j * k + t];
            if (!(fabs(c[i * n + j] - expected) <= 1e-3)) {
                fail(DKV_BLAS_WRONG, "");
                snprintf(info.detail, sizeof info.detail, "element (%d, %d) of a test product is %g, expected %g", i, j,
                         (double)c[i * n + j], expected);
                return;
            }
        }
    }
}

static void load(void) {
    const char *core = core_type();
    if (core) setenv("OPENBLAS_CORETYPE", core, 0);
    // The library starts its threads when it is loaded; ours do the splitting. An int is parsed, so this cannot harm.
    bool threads_set = getenv("OPENBLAS_NUM_THREADS") != NULL;
    if (!threads_set) setenv("OPENBLAS_NUM_THREADS", "1", 1);
    void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!threads_set) unsetenv("OPENBLAS_NUM_THREADS");
    if (!library) return fail(DKV_BLAS_MISSING, dlerror());
    sgemm = (sgemm_function)dlsym(library, "cblas_sgemm");
    dsyevd = (dsyevd_function)dlsym(library, "dsyevd_");
    dposv = (dposv_function)dlsym(library, "dposv_");
    char *(*corename)(void) = (char *(*)(void))dlsym(library, "openblas_get_corename");
    char *(*config)(void) = (char *(*)(void))dlsym(library, "openblas_get_config");
    void (*set_threads)(int) = (void (*)(int))dlsym(library, "openblas_set_num_threads");
    if (!sgemm || !dsyevd || !dposv || !corename || !config || !set_threads) return fail(DKV_BLAS_INCOMPLETE, dlerror());
    set_threads(1);
    snprintf(info.core, sizeof info.core, "%s", corename());
    snprintf(info.config, sizeof info.config, "%s", config());
    info.status = DKV_BLAS_READY;
    check_product();
}

const dkv_blas_info *dkv_blas_load(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    return &info;
}

void dkv_blas_sgemm(bool transpose_a, bool transpose_b, int m, int n, int k, float alpha, const float *a, int lda,
                    const float *b, int ldb, float beta, float *c, int ldc) {
    sgemm(row_major, transpose_a ? transpose : no_transpose, transpose_b ? transpose : no_transpose, m, n, k, alpha, a,
          lda, b, ldb, beta, c, ldc);
}

int dkv_blas_solve(int n, int sides, double *matrix, double *right) {
    int status = 0;
    dposv("U", &n, &sides, matrix, &n, right, &n, &status);
    return status;
}

int dkv_blas_eigen(int n, double *matrix, double *values) {
    double wanted = 0;
    int whole_wanted = 0, status = 0;
    const int query = -1;
    dsyevd("V", "U", &n, matrix, &n, values, &wanted, &query, &whole_wanted, &query, &status);
    if (status != 0) return status;
    const int work_size = (int)wanted;
    double *work = malloc((size_t)work_size * sizeof *work);
    int *whole = malloc((size_t)whole_wanted * sizeof *whole);
    status = -1000;
    // Columns of a column-major result are rows to us.
    if (work && whole) dsyevd("V", "U", &n, matrix, &n, values, work, &work_size, whole, &whole_wanted, &status);
    free(work);
    free(whole);
    return status;
}
