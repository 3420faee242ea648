// SPDX-License-Identifier: Apache-2.0
// Counts the memory that the process asks for, so that tests can tell that a loop asks for none. Linking this target puts its
// malloc, calloc, realloc and aligned allocations in the place of glibc's, which do the work.
#ifndef DELTAKV_ALLOCATION_COUNTER_H
#define DELTAKV_ALLOCATION_COUNTER_H

#include <stddef.h>

/// Allocations of the calling thread so far.
size_t allocation_count(void);
/// Bytes that the calling thread has asked for so far.
size_t allocation_bytes(void);

#endif
