/* kernels/x86/vmath.h - kernels/ref/math.h in every lane: the same steps in the same order, with
 * selections where ref has them. Include after a vec_....h. Static inline only. */
#ifndef CHASKI_KERNELS_X86_VMATH_H
#define CHASKI_KERNELS_X86_VMATH_H

#include "kernels/ref/math.h" /* the constants */

AI vf v_exp(vf x)
{
    const vf magic = v_set(EXP_MAGIC);
    const vf t = v_fma(x, v_set(EXP_LOG2E), magic), n = v_sub(t, magic);
    vf r = v_fma(n, v_set(-EXP_LN2_HI), x);
    r = v_fma(n, v_set(-EXP_LN2_LO), r);
    vf p = v_fma(v_set(EXP_C6), r, v_set(EXP_C5));
    p = v_fma(p, r, v_set(EXP_C4));
    p = v_fma(p, r, v_set(EXP_C3));
    p = v_fma(p, r, v_set(EXP_C2));
    p = v_fma(p, r, v_set(1.0f));
    p = v_fma(p, r, v_set(1.0f));
    vf y = v_scale2(p, t);
    y = v_sel(v_gt(x, v_set(EXP_HI)), v_set(INFINITY), y);
    y = v_sel(v_lt(x, v_set(EXP_LO)), v_zero(), y);
    return v_sel(v_nan(x), x, y);
}

AI vf v_tanh(vf x)
{
    const vf sign = v_set(-0.0f), one = v_set(1.0f), two = v_set(2.0f);
    const vf z = v_mul(x, x);
    vf p = v_fma(v_set(TANH_C5), z, v_set(TANH_C4));
    p = v_fma(p, z, v_set(TANH_C3));
    p = v_fma(p, z, v_set(TANH_C2));
    p = v_fma(p, z, v_set(TANH_C1));
    const vf small = v_fma(v_mul(p, z), x, x);
    const vf s = v_and(x, sign), a = v_xor(x, s);
    vf big = v_sub(one, v_div(two, v_add(v_exp(v_mul(two, a)), one)));
    big = v_or(big, s);
    return v_sel(v_lt(a, v_set(TANH_SMALL)), small, big);
}

/* The canonical tree over 16 partial sums. */
AI float v_tree16(const float p[16])
{
    const __m128 a = _mm_add_ps(_mm_loadu_ps(p), _mm_loadu_ps(p + 8));
    const __m128 b = _mm_add_ps(_mm_loadu_ps(p + 4), _mm_loadu_ps(p + 12));
    const __m128 c = _mm_add_ps(a, b), d = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(d, _mm_shuffle_ps(d, d, 1)));
}

/* `whole` for W lanes at a time from i = 0 up to n, then `rest` with `left` < W lanes. */
#define FOR_LANES(i, n, whole, rest)                                                            \
    do {                                                                                        \
        int i = 0;                                                                              \
        for (; i + W <= (n); i += W) {                                                          \
            whole;                                                                              \
        }                                                                                       \
        if (i < (n)) {                                                                          \
            const int left = (n) - i;                                                           \
            rest;                                                                               \
        }                                                                                       \
    } while (0)

#endif
