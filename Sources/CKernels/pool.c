// SPDX-License-Identifier: Apache-2.0
// A fork-join pool for short kernels: workers spin briefly between runs, then sleep on a futex; the caller takes part.
#define _GNU_SOURCE
#include "CKernels.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

// About 30 microseconds on current CPUs: longer than the gaps between the kernels of a step, shorter than a time slice.
enum { spins = 1500 };

/// A worker's share of a run. The generation of the run stands in the upper half of `state`, the next index in the lower: a
/// claim is a compare-and-swap on both, so a worker that wakes late can never take an index of a run whose task it has not
/// read.
struct share {
    _Alignas(64) _Atomic uint64_t state;
    _Atomic uint32_t end;
};

struct dkv_pool {
    _Alignas(64) _Atomic uint32_t done;
    _Atomic uint32_t caller_waits;
    _Alignas(64) _Atomic uint32_t signal;
    _Atomic uint32_t sleepers;
    _Atomic uint32_t stop;
    _Atomic(dkv_task) task;
    _Atomic(void *) context;
    _Atomic uint32_t count;
    size_t threads;
    uint32_t generation;
    struct share *shares;  // one for each thread
    struct worker {
        dkv_pool *pool;
        size_t number;
        pthread_t thread;
    } *workers;
};

static void pause_briefly(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void futex_wait(_Atomic uint32_t *word, uint32_t seen) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, uint32_t count) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

/// Takes indices of one share of the current run until none is left.
static void take_share(dkv_pool *pool, struct share *share, size_t worker) {
    uint64_t state = atomic_load(&share->state);
    for (;;) {
        dkv_task task = atomic_load(&pool->task);
        void *context = atomic_load(&pool->context);
        uint32_t count = atomic_load(&pool->count), end = atomic_load(&share->end);
        uint32_t index = (uint32_t)state;
        if (index >= end) return;
        if (!atomic_compare_exchange_weak(&share->state, &state, state + 1)) continue;
        task(context, index, worker);
        bool last = atomic_fetch_add(&pool->done, 1) + 1 == count;
        if (last && atomic_load(&pool->caller_waits)) futex_wake(&pool->done, 1);
        state = atomic_load(&share->state);
    }
}

/// A worker's own share comes first, then what others have not begun. Tasks of neighbouring rows have neighbouring indices, so
/// a worker finds in its cache what it has written in the runs before.
static void take_part(dkv_pool *pool, size_t worker) {
    for (size_t i = 0; i < pool->threads; i++) {
        take_share(pool, &pool->shares[(worker + i) % pool->threads], worker);
    }
}

static void *work(void *argument) {
    struct worker *self = argument;
    dkv_pool *pool = self->pool;
    uint32_t seen = 0;
    while (!atomic_load(&pool->stop)) {
        uint32_t now = atomic_load(&pool->signal);
        for (int i = 0; now == seen && i < spins; i++) {
            pause_briefly();
            now = atomic_load_explicit(&pool->signal, memory_order_relaxed);
        }
        if (now == seen) {
            atomic_fetch_add(&pool->sleepers, 1);
            futex_wait(&pool->signal, seen);
            atomic_fetch_sub(&pool->sleepers, 1);
            continue;
        }
        seen = now;
        take_part(pool, self->number);
    }
    return NULL;
}

static void stop_workers(dkv_pool *pool, size_t started) {
    atomic_store(&pool->stop, 1);
    atomic_fetch_add(&pool->signal, 1);
    futex_wake(&pool->signal, INT32_MAX);
    for (size_t i = 0; i < started; i++) pthread_join(pool->workers[i].thread, NULL);
}

static void free_pool(dkv_pool *pool) {
    free(pool->workers);
    free(pool->shares);
    free(pool);
}

dkv_pool *dkv_pool_create(size_t threads) {
    if (threads == 0) threads = 1;
    dkv_pool *pool = aligned_alloc(64, sizeof *pool);
    if (!pool) return NULL;
    *pool = (dkv_pool){.threads = threads};
    pool->workers = calloc(threads, sizeof *pool->workers);
    pool->shares = aligned_alloc(64, threads * sizeof *pool->shares);
    for (size_t i = 0; pool->shares && i < threads; i++) pool->shares[i] = (struct share){.state = UINT32_MAX};
    size_t started = 0;
    while (pool->workers && pool->shares && started + 1 < threads) {
        struct worker *worker = &pool->workers[started];
        worker->pool = pool;
        worker->number = started + 1;
        if (pthread_create(&worker->thread, NULL, work, worker) != 0) break;
        started++;
    }
    if (started + 1 == threads && pool->workers && pool->shares) return pool;
    stop_workers(pool, started);
    free_pool(pool);
    return NULL;
}

void dkv_pool_destroy(dkv_pool *pool) {
    stop_workers(pool, pool->threads - 1);
    free_pool(pool);
}

size_t dkv_pool_threads(const dkv_pool *pool) { return pool->threads; }

void dkv_pool_run(dkv_pool *pool, size_t count, dkv_task task, void *context) {
    if (count <= 1 || pool->threads == 1) {
        for (size_t i = 0; i < count; i++) task(context, i, 0);
        return;
    }
    // Close the old run (no index of the new generation can be claimed) before its fields change, then open the new.
    const uint64_t generation = ++pool->generation;
    for (size_t i = 0; i < pool->threads; i++) {
        atomic_store(&pool->shares[i].state, generation << 32 | UINT32_MAX);
    }
    atomic_store(&pool->task, task);
    atomic_store(&pool->context, context);
    atomic_store(&pool->count, (uint32_t)count);
    atomic_store(&pool->done, 0);
    for (size_t i = 0; i < pool->threads; i++) {
        atomic_store(&pool->shares[i].end, (uint32_t)(count * (i + 1) / pool->threads));
        atomic_store(&pool->shares[i].state, generation << 32 | (uint32_t)(count * i / pool->threads));
    }
    atomic_fetch_add(&pool->signal, 1);
    uint32_t sleepers = atomic_load(&pool->sleepers);
    if (sleepers) futex_wake(&pool->signal, count - 1 < sleepers ? (uint32_t)(count - 1) : sleepers);
    take_part(pool, 0);
    for (int i = 0; i < spins; i++) {
        if (atomic_load(&pool->done) == count) return;
        pause_briefly();
    }
    atomic_store(&pool->caller_waits, 1);
    for (uint32_t done; (done = atomic_load(&pool->done)) != count;) futex_wait(&pool->done, done);
    atomic_store(&pool->caller_waits, 0);
}
