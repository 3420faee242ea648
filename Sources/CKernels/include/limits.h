// SPDX-License-Identifier: Apache-2.0
// What a core and the memory can do at most, for benchmarks to compare kernels with: tasks for a pool whose time is taken
// from outside. Include after the declarations of CKernels.h (dkv_isa).
#ifndef DELTAKV_LIMITS_H
#define DELTAKV_LIMITS_H

/// One task each thread; `rounds` is the length of a task.
typedef struct dkv_limit {
    dkv_isa isa;
    size_t rounds;
    const uint64_t *memory;  // [threads][words]
    size_t words;            // of a thread, a multiple of 32
    volatile uint64_t sink;  // what was computed, so that it is computed
} dkv_limit;

/// Products of int8 with sums in int32, in vectors: operations (two a product) of a round.
size_t dkv_limit_dot_operations(dkv_isa isa);
void dkv_limit_dot_task(void *context, size_t index, size_t worker);
/// fp32 multiply-adds: operations (two each) of a round.
size_t dkv_limit_fma_operations(dkv_isa isa);
void dkv_limit_fma_task(void *context, size_t index, size_t worker);
/// Reads a thread's memory once; rounds do not count.
void dkv_limit_read_task(void *context, size_t index, size_t worker);

#endif
