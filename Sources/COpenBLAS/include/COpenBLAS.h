// SPDX-License-Identifier: Apache-2.0
// OpenBLAS, loaded at run time. A library built with DYNAMIC_ARCH picks its kernels when it is loaded, by a CPU table
// that is older than many CPUs (Debian 12's picks SSE3 kernels on some AVX-512 servers), so the choice is made first.
#ifndef DELTAKV_COPENBLAS_H
#define DELTAKV_COPENBLAS_H

#include <stdbool.h>
#include <stddef.h>

typedef enum dkv_blas_status {
    DKV_BLAS_READY,
    DKV_BLAS_MISSING,        // no libopenblas.so.0
    DKV_BLAS_INCOMPLETE,     // a function is missing from it
    DKV_BLAS_WRONG,          // its product differs from the reference
} dkv_blas_status;

typedef struct dkv_blas_info {
    dkv_blas_status status;
    char detail[256];        // for a failure: what the loader said, or what differs
    char core[32];           // kernels in use, e.g. "SkylakeX"
    char config[160];        // the library's own description
} dkv_blas_info;

/// Loads and checks the library on the first call (later calls return the same): sets OPENBLAS_CORETYPE by CPUID unless
/// the user has set it, restricts OpenBLAS to the calling thread, compares one product with a plain loop. Reading and
/// setting the environment is not thread-safe, so call it early. The result lives forever.
const dkv_blas_info *dkv_blas_load(void);

/// `c[m][n] = alpha · a · b + beta · c`, row-major; `a` is [m][k], or [k][m] if transposed, `b` likewise. Only after
/// dkv_blas_load() returned DKV_BLAS_READY. An element's rounding may depend on m and n (small-matrix paths).
void dkv_blas_sgemm(bool transpose_a, bool transpose_b, int m, int n, int k, float alpha, const float *a, int lda,
                    const float *b, int ldb, float beta, float *c, int ldc);

/// Eigenvalues in ascending order to `values` and, in place of the symmetric `matrix` [n][n] (fp64), its eigenvectors by
/// rows (LAPACK's dsyevd). Returns 0, LAPACK's error code, or −1000 when memory ran out.
int dkv_blas_eigen(int n, double *matrix, double *values);
/// Solves `matrix · x = right` for a symmetric positive definite matrix [n][n], which is destroyed; each of the `sides` rows
/// of `right` [sides][n] is one right side and becomes its solution. Returns 0, or the code of LAPACK's dposv.
int dkv_blas_solve(int n, int sides, double *matrix, double *right);

#endif
