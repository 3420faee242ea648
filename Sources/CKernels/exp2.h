// SPDX-License-Identifier: Apache-2.0
// 2^x in terms of a vector vocabulary. Included once per instruction set, after the vocabulary.

/// 2^x for finite x, within 2 ulp; exactly 1 at 0, exactly 0 far below; not a number where x is none or infinite. The
/// polynomial is the minimax of degree 5 on [-1/2, 1/2] with a constant term of 1. The same bits on every instruction set.
INLINE V v_exp2(V x) {
    const V n = v_round(x), r = v_sub(x, n);
    V p = v_set(0x1.5bba14p-10f);
    p = v_fma(p, r, v_set(0x1.3cea88p-7f));
    p = v_fma(p, r, v_set(0x1.c6b752p-5f));
    p = v_fma(p, r, v_set(0x1.ebf9bcp-3f));
    p = v_fma(p, r, v_set(0x1.62e42ap-1f));
    p = v_fma(p, r, v_set(1.0f));
    return v_scale2(p, n);
}
