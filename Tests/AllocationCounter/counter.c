// SPDX-License-Identifier: Apache-2.0
#include "AllocationCounter.h"

#include <errno.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static _Thread_local size_t count, total;

size_t allocation_count(void) { return count; }
size_t allocation_bytes(void) { return total; }

// A sanitizer has functions of its own in these places; nothing is counted then.
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
void *malloc(size_t bytes) {
    count++;
    total += bytes;
    return __libc_malloc(bytes);
}

void *calloc(size_t number, size_t bytes) {
    count++;
    total += number * bytes;
    return __libc_calloc(number, bytes);
}

void *realloc(void *memory, size_t bytes) {
    count++;
    total += bytes;
    return __libc_realloc(memory, bytes);
}

void *memalign(size_t alignment, size_t bytes) {
    count++;
    total += bytes;
    return __libc_memalign(alignment, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) { return memalign(alignment, bytes); }

int posix_memalign(void **memory, size_t alignment, size_t bytes) {
    *memory = memalign(alignment, bytes);
    return *memory ? 0 : ENOMEM;
}
#endif
