/* kernels/arm/quants_dotprod.c - quantized products with SDOT by element. */
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

#include "kernels/arm/quants.h"

void arm_quants_dotprod(struct kernels *k)
{
    set_quants(k);
}
