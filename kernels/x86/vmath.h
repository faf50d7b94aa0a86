/* kernels/x86/vmath.h - kernels/ref/math.h in every lane: the same steps in the same order, with
 * selections where ref has them. Include after a vec_....h. Static inline only. */
#ifndef CHASKI_KERNELS_X86_VMATH_H
#define CHASKI_KERNELS_X86_VMATH_H

#include "kernels/ref/math.h" /* the constants */

/* Vectors that run in step: enough to fill the FMA pipes, few enough for the registers. */
enum { LOCKSTEP = 4 };
#define EACH(i, n) _Pragma("GCC unroll 8") for (int i = 0; i < (n); i++)

/* What is known of the arguments of an exponential, so that ref's selections can be left out. */
enum exp_domain {
    EXP_ANY,
    EXP_NOT_POSITIVE, /* or NaN */
    EXP_MODERATE,     /* between EXP_LO and EXP_HI; else any result will do */
};

/* y[i] = e^x[i] for N vectors in step: one alone is a chain of 14 operations that wait for each
 * other, and a CPU does not look far enough ahead to overlap two of them. */
AI void v_exps(vf *y, const vf *x, const int N, const enum exp_domain domain)
{
    const vf magic = v_set(EXP_MAGIC), one = v_set(1.0f);
    vf t[LOCKSTEP], r[LOCKSTEP], p[LOCKSTEP];
    EACH(i, N) t[i] = v_fma(x[i], v_set(EXP_LOG2E), magic);
    EACH(i, N) p[i] = v_sub(t[i], magic);
    EACH(i, N) r[i] = v_fma(p[i], v_set(-EXP_LN2_HI), x[i]);
    EACH(i, N) r[i] = v_fma(p[i], v_set(-EXP_LN2_LO), r[i]);
    EACH(i, N) p[i] = v_fma(v_set(EXP_C6), r[i], v_set(EXP_C5));
    EACH(i, N) p[i] = v_fma(p[i], r[i], v_set(EXP_C4));
    EACH(i, N) p[i] = v_fma(p[i], r[i], v_set(EXP_C3));
    EACH(i, N) p[i] = v_fma(p[i], r[i], v_set(EXP_C2));
    EACH(i, N) p[i] = v_fma(p[i], r[i], one);
    EACH(i, N) p[i] = v_fma(p[i], r[i], one);
    EACH(i, N) p[i] = v_scale2(p[i], t[i]);
    EACH(i, N) {
        if (domain == EXP_ANY)
            p[i] = v_sel(v_gt(x[i], v_set(EXP_HI)), v_set(INFINITY), p[i]);
        if (domain != EXP_MODERATE) {
            p[i] = v_sel(v_lt(x[i], v_set(EXP_LO)), v_zero(), p[i]);
            p[i] = v_sel(v_nan(x[i]), x[i], p[i]);
        }
        y[i] = p[i];
    }
}

AI vf v_exp(vf x)
{
    vf y;
    v_exps(&y, &x, 1, EXP_ANY);
    return y;
}

/* tanh of N vectors in step. Arguments of the exponential end at 20: from there on 1 - 2 / (e + 1)
 * is 1. The condition is ref's turned round, so that NaN takes `small`, which is NaN. */
AI void v_tanhs(vf *y, const vf *x, const int N)
{
    const vf sign = v_set(-0.0f), one = v_set(1.0f), two = v_set(2.0f);
    vf z[LOCKSTEP], p[LOCKSTEP], a[LOCKSTEP], e[LOCKSTEP];
    EACH(i, N) a[i] = v_andnot(sign, x[i]);
    EACH(i, N) e[i] = v_min(v_mul(two, a[i]), v_set(20.0f));
    v_exps(e, e, N, EXP_MODERATE);
    EACH(i, N) e[i] = v_sub(one, v_div(two, v_add(e[i], one)));
    EACH(i, N) e[i] = v_or(e[i], v_and(x[i], sign));
    EACH(i, N) z[i] = v_mul(x[i], x[i]);
    EACH(i, N) p[i] = v_fma(v_set(TANH_C5), z[i], v_set(TANH_C4));
    EACH(i, N) p[i] = v_fma(p[i], z[i], v_set(TANH_C3));
    EACH(i, N) p[i] = v_fma(p[i], z[i], v_set(TANH_C2));
    EACH(i, N) p[i] = v_fma(p[i], z[i], v_set(TANH_C1));
    EACH(i, N) p[i] = v_fma(v_mul(p[i], z[i]), x[i], x[i]);
    EACH(i, N) y[i] = v_sel(v_ge(a[i], v_set(TANH_SMALL)), e[i], p[i]);
}

AI vf v_tanh(vf x)
{
    vf y;
    v_tanhs(&y, &x, 1);
    return y;
}

/* erf of N vectors in step. Arguments of the exponential lie between those of 1 and ERF_END where
 * they count; NaN takes `small`, as with tanh. */
AI void v_erfs(vf *y, const vf *x, const int N)
{
    const vf sign = v_set(-0.0f), one = v_set(1.0f);
    vf z[LOCKSTEP], p[LOCKSTEP], a[LOCKSTEP], c[LOCKSTEP], e[LOCKSTEP];
    EACH(i, N) a[i] = v_andnot(sign, x[i]);
    EACH(i, N) c[i] = v_min(a[i], v_set(ERF_END));
    EACH(i, N) e[i] = v_fma(v_set(ERFC_C6), c[i], v_set(ERFC_C5));
    EACH(i, N) e[i] = v_fma(e[i], c[i], v_set(ERFC_C4));
    EACH(i, N) e[i] = v_fma(e[i], c[i], v_set(ERFC_C3));
    EACH(i, N) e[i] = v_fma(e[i], c[i], v_set(ERFC_C2));
    EACH(i, N) e[i] = v_fma(e[i], c[i], v_set(ERFC_C1));
    EACH(i, N) e[i] = v_fma(e[i], c[i], v_set(ERFC_C0));
    v_exps(e, e, N, EXP_MODERATE);
    EACH(i, N) e[i] = v_or(v_sub(one, e[i]), v_and(x[i], sign));
    EACH(i, N) z[i] = v_mul(x[i], x[i]);
    EACH(i, N) p[i] = v_fma(v_set(ERF_C6), z[i], v_set(ERF_C5));
    EACH(i, N) p[i] = v_fma(p[i], z[i], v_set(ERF_C4));
    EACH(i, N) p[i] = v_fma(p[i], z[i], v_set(ERF_C3));
    EACH(i, N) p[i] = v_fma(p[i], z[i], v_set(ERF_C2));
    EACH(i, N) p[i] = v_fma(p[i], z[i], v_set(ERF_C1));
    EACH(i, N) p[i] = v_fma(p[i], z[i], v_set(ERF_C0));
    EACH(i, N) p[i] = v_mul(p[i], x[i]);
    EACH(i, N) y[i] = v_sel(v_ge(a[i], v_set(ERF_SMALL)), e[i], p[i]);
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
