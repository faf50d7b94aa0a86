/* kernels/arm/unpack.h - four rows (a quarter of a group) of one block of packed weights: codes by
 * step, scales, minima. One place for every ARM table. Layout: kernels/layout.h. */
#ifndef CHASKI_KERNELS_ARM_UNPACK_H
#define CHASKI_KERNELS_ARM_UNPACK_H

#include <arm_neon.h>
#include <stdbool.h>
#include "kernels/layout.h"

#define INLINE static inline __attribute__((always_inline))

INLINE void nibbles(uint8x16_t w[8], const uint8_t q[4][64], int at)
{
    for (int j = 0; j < 4; j++) {
        uint8x16_t v = vld1q_u8(q[j] + at);
        w[j] = vandq_u8(v, vdupq_n_u8(15));
        w[j + 4] = vshrq_n_u8(v, 4);
    }
}
/* Bit g of each byte of h, moved to bit 4 (or 2), into step g. */
INLINE void high_bits(uint8x16_t w[8], const uint8_t *h, int bit)
{
    uint8x16_t v = vld1q_u8(h), mask = vdupq_n_u8((uint8_t)(1 << bit));
    for (int g = 0; g < 8; g++)
        w[g] = vorrq_u8(w[g], vandq_u8(vshlq_u8(v, vdupq_n_s8((int8_t)(bit - g))), mask));
}
/* Two bits of step 4p + s at 2s, moved to `bit`. */
INLINE void two_bits(uint8x16_t w[8], const uint8_t q[2][64], int at, int bit)
{
    uint8x16_t mask = vdupq_n_u8((uint8_t)(3 << bit));
    for (int g = 0; g < 8; g++) {
        uint8x16_t v = vld1q_u8(q[g / 4] + at);
        w[g] = vorrq_u8(w[g], vandq_u8(vshlq_u8(v, vdupq_n_s8((int8_t)(bit - 2 * (g % 4)))), mask));
    }
}

INLINE float32x4_t halves(const f16_bits *d)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(d)));
}
INLINE int32x4_t bytes_u(const uint8_t *p)
{
    uint32_t v;
    __builtin_memcpy(&v, p, 4);
    uint8x8_t b = vreinterpret_u8_u32(vdup_n_u32(v));
    return vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(b))));
}
INLINE int32x4_t bytes_s(const int8_t *p)
{
    uint32_t v;
    __builtin_memcpy(&v, p, 4);
    return vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u32(vdup_n_u32(v)))));
}

/* w[g] = step g of four rows. The value of a code is w - zero; *m: the minima of Q4_1 and Q5_1. */
struct quarter {
    uint8x16_t w[8];
    int zero;
    float32x4_t d, m;
};
INLINE void unpack_plain(struct quarter *o, uint32_t type, const uint8_t *block, int quarter)
{
    const int at = 16 * quarter;
    const f16_bits *d = (const f16_bits *)block;
    o->zero = 0;
    o->d = halves(d + 4 * quarter);
    o->m = vdupq_n_f32(0);
    if (type == TYPE_Q4_0) {
        nibbles(o->w, ((const struct pk_q4_0 *)block)->q, at);
        o->zero = 8;
    } else if (type == TYPE_Q4_1) {
        nibbles(o->w, ((const struct pk_q4_1 *)block)->q, at);
        o->m = halves(d + 16 + 4 * quarter);
    } else if (type == TYPE_Q5_0) {
        nibbles(o->w, ((const struct pk_q5_0 *)block)->q, at);
        high_bits(o->w, ((const struct pk_q5_0 *)block)->h + at, 4);
        o->zero = 16;
    } else if (type == TYPE_Q5_1) {
        nibbles(o->w, ((const struct pk_q5_1 *)block)->q, at);
        high_bits(o->w, ((const struct pk_q5_1 *)block)->h + at, 4);
        o->m = halves(d + 16 + 4 * quarter);
    } else {
        for (int g = 0; g < 8; g++)
            o->w[g] = vreinterpretq_u8_s8(vld1q_s8(((const struct pk_q8_0 *)block)->q[g] + at));
    }
}

/* Block j of a super-block: scales and minima of both halves (of the block: only the first). */
struct quarter_k {
    uint8x16_t w[8];
    int zero;
    int32x4_t sc[2];
    float32x4_t mn[2];
};
INLINE bool has_halves(uint32_t type) /* a scale for each 16 values */
{
    return type == TYPE_Q2_K || type == TYPE_Q3_K || type == TYPE_Q6_K;
}
INLINE bool has_minima(uint32_t type)
{
    return type == TYPE_Q4_1 || type == TYPE_Q5_1 || type == TYPE_Q2_K || type == TYPE_Q4_K ||
           type == TYPE_Q5_K;
}
INLINE void unpack_super(struct quarter_k *o, uint32_t type, const uint8_t *sb, int j, int quarter)
{
    const int at = 16 * quarter, r = 4 * quarter;
    o->zero = 0;
    o->sc[1] = vdupq_n_s32(0);
    o->mn[0] = o->mn[1] = vdupq_n_f32(0);
    if (type == TYPE_Q4_K) {
        const struct pk_q4_Kb *p = &((const struct pk_q4_K *)sb)->b[j];
        nibbles(o->w, p->q, at);
        o->sc[0] = bytes_u(p->sc + r);
        o->mn[0] = vcvtq_f32_s32(bytes_u(p->mn + r));
    } else if (type == TYPE_Q5_K) {
        const struct pk_q5_Kb *p = &((const struct pk_q5_K *)sb)->b[j];
        nibbles(o->w, p->q, at);
        high_bits(o->w, p->h + at, 4);
        o->sc[0] = bytes_u(p->sc + r);
        o->mn[0] = vcvtq_f32_s32(bytes_u(p->mn + r));
    } else if (type == TYPE_Q6_K) {
        const struct pk_q6_Kb *p = &((const struct pk_q6_K *)sb)->b[j];
        nibbles(o->w, p->q, at);
        two_bits(o->w, p->h, at, 4);
        o->sc[0] = bytes_s(p->sc[0] + r);
        o->sc[1] = bytes_s(p->sc[1] + r);
        o->zero = 32;
    } else if (type == TYPE_Q3_K) {
        const struct pk_q3_Kb *p = &((const struct pk_q3_K *)sb)->b[j];
        for (int g = 0; g < 8; g++)
            o->w[g] = vdupq_n_u8(0);
        two_bits(o->w, p->q, at, 0);
        high_bits(o->w, p->h + at, 2);
        o->sc[0] = bytes_s(p->sc[0] + r);
        o->sc[1] = bytes_s(p->sc[1] + r);
        o->zero = 4;
    } else {
        const struct pk_q2_Kb *p = &((const struct pk_q2_K *)sb)->b[j];
        for (int g = 0; g < 8; g++)
            o->w[g] = vdupq_n_u8(0);
        two_bits(o->w, p->q, at, 0);
        o->sc[0] = bytes_u(p->sc[0] + r);
        o->sc[1] = bytes_u(p->sc[1] + r);
        o->mn[0] = vcvtq_f32_s32(vshrq_n_s32(o->sc[0], 4));
        o->mn[1] = vcvtq_f32_s32(vshrq_n_s32(o->sc[1], 4));
        o->sc[0] = vandq_s32(o->sc[0], vdupq_n_s32(15));
        o->sc[1] = vandq_s32(o->sc[1], vdupq_n_s32(15));
    }
}

#endif
