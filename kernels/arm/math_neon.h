/* kernels/arm/math_neon.h - kernels/ref/math.h in four lanes, step by step. */
#ifndef CHASKI_KERNELS_ARM_MATH_NEON_H
#define CHASKI_KERNELS_ARM_MATH_NEON_H

#include <arm_neon.h>
#include "kernels/ref/math.h"

static inline float32x4_t exp4(float32x4_t x)
{
    float32x4_t magic = vdupq_n_f32(EXP_MAGIC), one = vdupq_n_f32(1.0f);
    float32x4_t t = vfmaq_n_f32(magic, x, EXP_LOG2E), n = vsubq_f32(t, magic);
    float32x4_t r = vfmaq_n_f32(x, n, -EXP_LN2_HI);
    r = vfmaq_n_f32(r, n, -EXP_LN2_LO);
    float32x4_t p = vfmaq_n_f32(vdupq_n_f32(EXP_C5), r, EXP_C6);
    p = vfmaq_f32(vdupq_n_f32(EXP_C4), p, r);
    p = vfmaq_f32(vdupq_n_f32(EXP_C3), p, r);
    p = vfmaq_f32(vdupq_n_f32(EXP_C2), p, r);
    p = vfmaq_f32(one, p, r);
    p = vfmaq_f32(one, p, r);
    uint32x4_t bits =
        vaddq_u32(vreinterpretq_u32_f32(p), vshlq_n_u32(vreinterpretq_u32_f32(t), 23));
    bits = vbslq_u32(vcgtq_f32(x, vdupq_n_f32(EXP_HI)), vdupq_n_u32(0x7f800000u), bits);
    bits = vbicq_u32(bits, vcltq_f32(x, vdupq_n_f32(EXP_LO)));
    return vbslq_f32(vceqq_f32(x, x), vreinterpretq_f32_u32(bits), x);
}

static inline float32x4_t tanh4(float32x4_t x)
{
    float32x4_t z = vmulq_f32(x, x), one = vdupq_n_f32(1.0f);
    float32x4_t p = vfmaq_n_f32(vdupq_n_f32(TANH_C4), z, TANH_C5);
    p = vfmaq_f32(vdupq_n_f32(TANH_C3), p, z);
    p = vfmaq_f32(vdupq_n_f32(TANH_C2), p, z);
    p = vfmaq_f32(vdupq_n_f32(TANH_C1), p, z);
    float32x4_t small = vfmaq_f32(x, vmulq_f32(p, z), x), a = vabsq_f32(x);
    float32x4_t e = exp4(vmulq_n_f32(a, 2.0f));
    float32x4_t big = vsubq_f32(one, vdivq_f32(vdupq_n_f32(2.0f), vaddq_f32(e, one)));
    uint32x4_t sign = vandq_u32(vreinterpretq_u32_f32(x), vdupq_n_u32(0x80000000u));
    big = vreinterpretq_f32_u32(vorrq_u32(vreinterpretq_u32_f32(big), sign));
    return vbslq_f32(vcltq_f32(a, vdupq_n_f32(TANH_SMALL)), small, big);
}

static inline float32x4_t silu4(float32x4_t g, float32x4_t up)
{
    float32x4_t e = exp4(vnegq_f32(g));
    return vmulq_f32(vdivq_f32(g, vaddq_f32(vdupq_n_f32(1.0f), e)), up);
}

static inline float32x4_t gelu4(float32x4_t g, float32x4_t up)
{
    float32x4_t u = vmulq_n_f32(vmulq_f32(g, g), GELU_C);
    float32x4_t t = tanh4(vmulq_n_f32(vfmaq_f32(g, u, g), GELU_S));
    float32x4_t h = vmulq_n_f32(g, 0.5f);
    return vmulq_f32(vfmaq_f32(h, h, t), up);
}

static inline float32x4_t erf4(float32x4_t x)
{
    float32x4_t z = vmulq_f32(x, x), a = vabsq_f32(x);
    float32x4_t p = vfmaq_n_f32(vdupq_n_f32(ERF_C5), z, ERF_C6);
    p = vfmaq_f32(vdupq_n_f32(ERF_C4), p, z);
    p = vfmaq_f32(vdupq_n_f32(ERF_C3), p, z);
    p = vfmaq_f32(vdupq_n_f32(ERF_C2), p, z);
    p = vfmaq_f32(vdupq_n_f32(ERF_C1), p, z);
    p = vfmaq_f32(vdupq_n_f32(ERF_C0), p, z);
    float32x4_t small = vmulq_f32(p, x), end = vdupq_n_f32(ERF_END);
    float32x4_t c = vbslq_f32(vcgtq_f32(a, end), end, a);
    float32x4_t q = vfmaq_n_f32(vdupq_n_f32(ERFC_C5), c, ERFC_C6);
    q = vfmaq_f32(vdupq_n_f32(ERFC_C4), q, c);
    q = vfmaq_f32(vdupq_n_f32(ERFC_C3), q, c);
    q = vfmaq_f32(vdupq_n_f32(ERFC_C2), q, c);
    q = vfmaq_f32(vdupq_n_f32(ERFC_C1), q, c);
    q = vfmaq_f32(vdupq_n_f32(ERFC_C0), q, c);
    float32x4_t big = vsubq_f32(vdupq_n_f32(1.0f), exp4(q));
    uint32x4_t sign = vandq_u32(vreinterpretq_u32_f32(x), vdupq_n_u32(0x80000000u));
    big = vreinterpretq_f32_u32(vorrq_u32(vreinterpretq_u32_f32(big), sign));
    return vbslq_f32(vcltq_f32(a, vdupq_n_f32(ERF_SMALL)), small, big);
}

static inline float32x4_t gelu_erf4(float32x4_t x)
{
    float32x4_t h = vmulq_n_f32(x, 0.5f);
    return vfmaq_f32(h, h, erf4(vmulq_n_f32(x, SQRT_HALF)));
}

/* The canonical tree of 16 partial sums in four registers. */
static inline float tree16(const float32x4_t p[4])
{
    float32x4_t a = vaddq_f32(p[0], p[2]), b = vaddq_f32(p[1], p[3]); /* 8 + 8 */
    a = vaddq_f32(a, b);                                              /* 4 + 4 */
    float32x2_t c = vadd_f32(vget_low_f32(a), vget_high_f32(a));      /* 2 + 2 */
    return vget_lane_f32(c, 0) + vget_lane_f32(c, 1);
}

#endif
