/* kernels/arm/dot_smlal.h - half a block's products (quants.h, attend.h) where there is no SDOT:
 * SMLAL to int16.
 *
 * A lane of int16 takes one product a step. Codes under 64 leave room for the four steps of a half
 * (4 * 63 * 127 = 32 004 < 2^15); signed bytes for two (2 * 128 * 127 = 32 512). */
#ifndef CHASKI_KERNELS_ARM_DOT_HALF_H
#define CHASKI_KERNELS_ARM_DOT_HALF_H

#include <arm_neon.h>
#include <stdbool.h>

static inline __attribute__((always_inline)) int32x4_t dot_half(int32x4_t sum,
                                                                const uint8x16_t w[4], int8x16_t a,
                                                                bool wide)
{
    int8x16_t b0 = vreinterpretq_s8_s32(vdupq_laneq_s32(vreinterpretq_s32_s8(a), 0));
    int8x16_t b1 = vreinterpretq_s8_s32(vdupq_laneq_s32(vreinterpretq_s32_s8(a), 1));
    int8x16_t b2 = vreinterpretq_s8_s32(vdupq_laneq_s32(vreinterpretq_s32_s8(a), 2));
    int8x16_t b3 = vreinterpretq_s8_s32(vdupq_laneq_s32(vreinterpretq_s32_s8(a), 3));
    int8x16_t w0 = vreinterpretq_s8_u8(w[0]), w1 = vreinterpretq_s8_u8(w[1]);
    int8x16_t w2 = vreinterpretq_s8_u8(w[2]), w3 = vreinterpretq_s8_u8(w[3]);
    int16x8_t lo = vmull_s8(vget_low_s8(w0), vget_low_s8(b0)), hi = vmull_high_s8(w0, b0);
    lo = vmlal_s8(lo, vget_low_s8(w1), vget_low_s8(b1));
    hi = vmlal_high_s8(hi, w1, b1);
    if (wide) {
        sum = vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(lo), vpaddlq_s16(hi)));
        lo = vmull_s8(vget_low_s8(w2), vget_low_s8(b2));
        hi = vmull_high_s8(w2, b2);
    } else {
        lo = vmlal_s8(lo, vget_low_s8(w2), vget_low_s8(b2));
        hi = vmlal_high_s8(hi, w2, b2);
    }
    lo = vmlal_s8(lo, vget_low_s8(w3), vget_low_s8(b3));
    hi = vmlal_high_s8(hi, w3, b3);
    return vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(lo), vpaddlq_s16(hi)));
}

#endif
