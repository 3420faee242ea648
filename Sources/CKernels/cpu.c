// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "attention_int8_internal.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

size_t dkv_affinity_cores(void) {
    cpu_set_t mask;
    if (sched_getaffinity(0, sizeof mask, &mask) == 0 && CPU_COUNT(&mask) > 0) return (size_t)CPU_COUNT(&mask);
    const long online = sysconf(_SC_NPROCESSORS_ONLN);  // more cores than the mask has room for
    return online > 0 ? (size_t)online : 1;
}

#if defined(__x86_64__)
/// Asks the system for the registers of AMX, which it keeps from processes that do not: they are large.
static bool may_use_tiles(void) {
    enum { request_permission = 0x1023, tile_data = 18 };  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}
#endif

dkv_isa dkv_detect_isa(void) {
#if defined(__x86_64__)
    // __builtin_cpu_supports also asks the operating system (XGETBV) whether it saves the wide registers.
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    bool amx = __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-int8");
    if (avx2 && avx512 && amx && __builtin_cpu_supports("avx512vnni") && may_use_tiles()) return DKV_ISA_AMX;
    if (avx2 && avx512) return DKV_ISA_AVX512;
    if (avx2) return DKV_ISA_AVX2;
#endif
    return DKV_ISA_SCALAR;
}

extern const dkv_kernels dkv_kernels_scalar;
#if defined(__x86_64__)
extern const dkv_kernels dkv_kernels_avx2, dkv_kernels_avx512;
#endif

const dkv_kernels *dkv_kernels_for(dkv_isa isa) {
    switch (isa) {
#if defined(__x86_64__)
    case DKV_ISA_AVX2: return &dkv_kernels_avx2;
    case DKV_ISA_AVX512:
    case DKV_ISA_AMX: return &dkv_kernels_avx512;
#else
    case DKV_ISA_AVX2:
    case DKV_ISA_AVX512:
    case DKV_ISA_AMX: return NULL;
#endif
    case DKV_ISA_SCALAR: return &dkv_kernels_scalar;
    }
    return NULL;
}

const dkv_int8_kernels *dkv_int8_kernels_for(dkv_isa isa) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (isa == DKV_ISA_AMX) return &dkv_int8_amx;
    if (isa >= DKV_ISA_AVX512 && __builtin_cpu_supports("avx512vnni")) return &dkv_int8_avx512;
    if (isa != DKV_ISA_SCALAR) return &dkv_int8_avx2;
#endif
    return &dkv_int8_scalar;
}
