// SPDX-License-Identifier: Apache-2.0
// Functions that are compiled once more for each generation of processors; which one runs is decided when the program is
// loaded. All arithmetic is elementwise or on integers, so that all give the same bits.
#ifndef DELTAKV_CLONES_H
#define DELTAKV_CLONES_H

#if defined(__x86_64__)
#define CLONED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONED
#endif

/// For what these functions call and should be compiled with.
#define INLINED static inline __attribute__((always_inline))

/// Before loops over coefficients. Layers have a multiple of 32: in larger steps what is left would go one by one.
#define BY_32 _Pragma("clang loop vectorize_width(32) interleave_count(1)")

#endif
