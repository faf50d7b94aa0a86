/* kernels/ref/math.h - the elementary functions of the contract: our own, in fma, mul, add, compare
 * and integer arithmetic only, so that every ISA can give the same bits.
 *
 * f32 functions are written as straight lines with selections at the end: a vector version does the
 * same steps in every lane. Coefficients: minimax fits (relative error), rounded to f32. The double
 * functions serve tables and the sampler; they use no fma at all and are never vectorised.
 * Measured over all floats (tests/test_kernels_math.c): expf under 1.5 ulp, tanhf under 2.5 ulp, erff
 * under 2.5 ulp. */
#ifndef CHASKI_KERNELS_REF_MATH_H
#define CHASKI_KERNELS_REF_MATH_H

#include <math.h>
#include "kernels/ref/ref.h"

/* Shared with the vector versions. */
#define EXP_HI 88.7f          /* above: +inf */
#define EXP_LO (-87.33f)      /* below: 0 */
#define EXP_MAGIC 12582912.0f /* 1.5 * 2^23: adding it rounds to an integer in the low bits */
#define EXP_LOG2E 0x1.715476p+0f
#define EXP_LN2_HI 0x1.62e4p-1f    /* 15 bits: n * hi is exact */
#define EXP_LN2_LO 0x1.7f7d1cp-20f /* ln 2 - hi */
#define EXP_C2 0x1.fffffcp-2f
#define EXP_C3 0x1.555492p-3f
#define EXP_C4 0x1.5558f2p-5f
#define EXP_C5 0x1.1239d6p-7f
#define EXP_C6 0x1.6a2448p-10f

/* e^x: n = round(x log2 e), r = x - n ln 2, a degree-6 polynomial in r, times 2^n by adding n to
 * the exponent field. NaN passes; x > EXP_HI gives inf, x < EXP_LO gives 0 (no denormal results).
 */
static inline float ref_expf_inline(float x)
{
    float t = fmaf(x, EXP_LOG2E, EXP_MAGIC), n = t - EXP_MAGIC;
    float r = fmaf(n, -EXP_LN2_HI, x);
    r = fmaf(n, -EXP_LN2_LO, r);
    float p = fmaf(EXP_C6, r, EXP_C5);
    p = fmaf(p, r, EXP_C4);
    p = fmaf(p, r, EXP_C3);
    p = fmaf(p, r, EXP_C2);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    float y = ref_float(ref_bits(p) + (ref_bits(t) << 23)); /* the magic's own bits shift out */
    y = x > EXP_HI ? ref_float(0x7f800000u) : y;
    y = x < EXP_LO ? 0.0f : y;
    return x != x ? x : y;
}

#define TANH_SMALL 0.625f
#define TANH_C1 (-0x1.555532p-2f)
#define TANH_C2 0x1.110726p-3f
#define TANH_C3 (-0x1.b83c5ap-5f)
#define TANH_C4 0x1.52269cp-6f
#define TANH_C5 (-0x1.75e1cep-8f)

/* tanh x: |x| < 0.625: x + x^3 P(x^2); else 1 - 2 / (e^(2|x|) + 1) with the sign of x (both are
 * computed, one is taken). 1 exactly from about 9 on; -0 gives 0; NaN passes. */
static inline float ref_tanhf_inline(float x)
{
    float z = x * x;
    float p = fmaf(TANH_C5, z, TANH_C4);
    p = fmaf(p, z, TANH_C3);
    p = fmaf(p, z, TANH_C2);
    p = fmaf(p, z, TANH_C1);
    float small = fmaf(p * z, x, x);
    float a = ref_float(ref_bits(x) & 0x7fffffffu);
    float big = 1.0f - 2.0f / (ref_expf_inline(2.0f * a) + 1.0f);
    big = ref_float(ref_bits(big) | (ref_bits(x) & 0x80000000u));
    return a < TANH_SMALL ? small : big; /* NaN: big, which is NaN */
}

/* gate / (1 + e^-gate) * up */
static inline float ref_silu_inline(float g, float up)
{
    return g / (1.0f + ref_expf_inline(-g)) * up;
}

#define ERF_SMALL 1.0f
#define ERF_END 4.0f /* from here on erf rounds to 1 */
#define ERF_C0 0x1.20dd74p+0f
#define ERF_C1 (-0x1.81273ep-2f)
#define ERF_C2 0x1.ce2cf8p-4f
#define ERF_C3 (-0x1.b7f90ep-6f)
#define ERF_C4 0x1.5405b2p-8f
#define ERF_C5 (-0x1.a3f7p-11f)
#define ERF_C6 0x1.496a3p-14f
#define ERFC_C0 (-0x1.72e6a8p-12f)
#define ERFC_C1 (-0x1.2085b2p+0f)
#define ERFC_C2 (-0x1.46c584p-1f)
#define ERFC_C3 (-0x1.a60a84p-4f)
#define ERFC_C4 0x1.654224p-6f
#define ERFC_C5 (-0x1.814cep-9f)
#define ERFC_C6 0x1.852d52p-13f

/* erf x: |x| < 1: x P(x^2); else 1 - e^Q(|x|) with the sign of x, where Q is log(1 - erf) up to
 * ERF_END (both are computed, one is taken). NaN passes. */
static inline float ref_erff_inline(float x)
{
    float z = x * x;
    float p = fmaf(ERF_C6, z, ERF_C5);
    p = fmaf(p, z, ERF_C4);
    p = fmaf(p, z, ERF_C3);
    p = fmaf(p, z, ERF_C2);
    p = fmaf(p, z, ERF_C1);
    p = fmaf(p, z, ERF_C0);
    float small = p * x;
    float a = ref_float(ref_bits(x) & 0x7fffffffu);
    float c = a > ERF_END ? ERF_END : a;
    float q = fmaf(ERFC_C6, c, ERFC_C5);
    q = fmaf(q, c, ERFC_C4);
    q = fmaf(q, c, ERFC_C3);
    q = fmaf(q, c, ERFC_C2);
    q = fmaf(q, c, ERFC_C1);
    q = fmaf(q, c, ERFC_C0);
    float big = 1.0f - ref_expf_inline(q);
    big = ref_float(ref_bits(big) | (ref_bits(x) & 0x80000000u));
    return a < ERF_SMALL ? small : big; /* NaN: big, which is NaN */
}

#define SQRT_HALF 0.70710678f

/* h = x / 2; h + h * erf(x / sqrt 2) */
static inline float ref_gelu_erf_inline(float x)
{
    float h = 0.5f * x;
    return fmaf(h, ref_erff_inline(SQRT_HALF * x), h);
}

#define GELU_C 0.044715f
#define GELU_S 0.79788456f /* sqrt(2 / pi) */

/* gelu(g) * up, tanh form: h = g / 2; (h + h * tanh(S * (g + C g^3))) * up */
static inline float ref_gelu_inline(float g, float up)
{
    float u = GELU_C * (g * g);
    float t = ref_tanhf_inline(GELU_S * fmaf(u, g, g));
    float h = 0.5f * g;
    return fmaf(h, t, h) * up;
}

#endif
