/* kernels/arm/codes.h - four rows of a block of IQ4_NL, IQ4_XS, MXFP4, NVFP4, Q1_0, Q2_0, TQ1_0,
 * TQ2_0 unpacked: what unpack.h is for the other types.
 *
 * Contract: kernels/ref/matmul.c. Codes are made signed while they are unpacked (four-bit ones by
 * TBL, two-bit ones minus 1), so no zero point is left. */
#ifndef CHASKI_KERNELS_ARM_CODES_H
#define CHASKI_KERNELS_ARM_CODES_H

#include "kernels/arm/unpack.h"
#include "kernels/codes.h"

INLINE bool is_coded(uint32_t type)
{
    return type == TYPE_IQ4_NL || type == TYPE_IQ4_XS || type == TYPE_MXFP4 || type == TYPE_NVFP4 ||
           type == TYPE_Q1_0 || type == TYPE_Q2_0 || type == TYPE_TQ1_0 || type == TYPE_TQ2_0;
}

/* Blocks of 32 in a unit of the packed form. */
INLINE int unit_blocks(uint32_t type)
{
    switch (type) {
    case TYPE_NVFP4:
    case TYPE_Q2_0:
        return 2;
    case TYPE_Q1_0:
        return 4;
    case TYPE_IQ4_XS:
    case TYPE_TQ1_0:
    case TYPE_TQ2_0:
        return 8;
    default:
        return 1;
    }
}

INLINE void look_up(uint8x16_t w[8], const int8_t table[16])
{
    const uint8x16_t t = vreinterpretq_u8_s8(vld1q_s8(table));
    for (int g = 0; g < 8; g++)
        w[g] = vqtbl1q_u8(t, w[g]);
}

INLINE void minus_one(uint8x16_t w[8])
{
    for (int g = 0; g < 8; g++)
        w[g] = vsubq_u8(w[g], vdupq_n_u8(1));
}

/* Digits of block j, minus 1 (places: struct pk_tq1_0). */
INLINE void digits(uint8x16_t w[8], const uint8_t q[13][64], int at, int j)
{
    static const uint8_t power[5] = {1, 3, 9, 27, 81};
    for (int g = 0; g < 8; g++) {
        int m = g, k = j;
        if (j >= 5)
            m = 8 + g % 4, k = 2 * (j - 5) + g / 4;
        if (j == 7 && g >= 4)
            m = 12, k = g - 4;
        const uint8x16_t x = vmulq_u8(vld1q_u8(q[m] + at), vdupq_n_u8(power[k]));
        const uint8x16_t one = vcgeq_u8(x, vdupq_n_u8(86)), two = vcgeq_u8(x, vdupq_n_u8(171));
        w[g] = vsubq_u8(vsubq_u8(vdupq_n_u8(0xff), one), two);
    }
}

/* Signed codes of block j of the unit. */
INLINE void unpack_codes(uint32_t type, uint8x16_t w[8], const uint8_t *unit, int j, int at)
{
    for (int g = 0; g < 8; g++)
        w[g] = vdupq_n_u8(0);
    switch (type) {
    case TYPE_IQ4_NL:
        nibbles(w, ((const struct pk_iq4_nl *)unit)->q, at);
        look_up(w, codes_iq4);
        break;
    case TYPE_IQ4_XS:
        nibbles(w, ((const struct pk_iq4_xs *)unit)->b[j].q, at);
        look_up(w, codes_iq4);
        break;
    case TYPE_MXFP4:
        nibbles(w, ((const struct pk_mxfp4 *)unit)->q, at);
        look_up(w, codes_e2m1);
        break;
    case TYPE_NVFP4:
        nibbles(w, ((const struct pk_nvfp4 *)unit)->b[j].q, at);
        look_up(w, codes_e2m1);
        break;
    case TYPE_Q1_0:
        high_bits(w, ((const struct pk_q1_0 *)unit)->h[j] + at, 1);
        minus_one(w);
        break;
    case TYPE_Q2_0:
        two_bits(w, ((const struct pk_q2_0 *)unit)->q[j], at, 0);
        minus_one(w);
        break;
    case TYPE_TQ1_0:
        digits(w, ((const struct pk_tq1_0 *)unit)->q, at, j);
        break;
    default:
        two_bits(w, ((const struct pk_tq2_0 *)unit)->q[j], at, 0);
        minus_one(w);
        break;
    }
}

/* Scales of four rows: MXFP4, NVFP4 (small ones by a conversion). */
INLINE float32x4_t scales_e8m0(const uint8_t *e)
{
    const int32x4_t x = bytes_u(e);
    const int32x4_t normal = vshlq_n_s32(vsubq_s32(x, vdupq_n_s32(1)), 23);
    const int32x4_t small = vshlq_s32(vdupq_n_s32(0x00200000), x);
    return vreinterpretq_f32_s32(vbslq_s32(vcltq_s32(x, vdupq_n_s32(2)), small, normal));
}
INLINE float32x4_t scales_e4m3(const uint8_t *s)
{
    const int32x4_t x = bytes_u(s);
    const int32x4_t normal = vaddq_s32(vshlq_n_s32(x, 20), vdupq_n_s32(119 << 23));
    const float32x4_t small = vmulq_n_f32(vcvtq_f32_s32(x), 0x1p-10f);
    return vbslq_f32(vcltq_s32(x, vdupq_n_s32(8)), small, vreinterpretq_f32_s32(normal));
}

#endif
