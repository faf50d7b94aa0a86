/* kernels/arm/dot_sdot.h - half a block's products (quants.h, attend.h) with SDOT by element. */
#ifndef CHASKI_KERNELS_ARM_DOT_HALF_H
#define CHASKI_KERNELS_ARM_DOT_HALF_H

#include <arm_neon.h>
#include <stdbool.h>

static inline __attribute__((always_inline)) int32x4_t dot_half(int32x4_t sum,
                                                                const uint8x16_t w[4], int8x16_t a,
                                                                bool wide)
{
    (void)wide;
    sum = vdotq_laneq_s32(sum, vreinterpretq_s8_u8(w[0]), a, 0);
    sum = vdotq_laneq_s32(sum, vreinterpretq_s8_u8(w[1]), a, 1);
    sum = vdotq_laneq_s32(sum, vreinterpretq_s8_u8(w[2]), a, 2);
    return vdotq_laneq_s32(sum, vreinterpretq_s8_u8(w[3]), a, 3);
}

#endif
