// SPDX-License-Identifier: Apache-2.0
#include "CKernels.h"

#if defined(__GLIBC__)
#include <malloc.h>

void dkv_trim_heap(void) { malloc_trim(0); }
#else
void dkv_trim_heap(void) {}
#endif
