/* kernels/arm/a32.h - A32 as the ARM tables lay it out: column after column, one cache line a
 * block.
 *
 * SDOT takes four codes of a step from any lane of a register, so the codes need no shuffling;
 * beside them stand the sums that zero points (integers) and minima (d * sum, exact) need. */
#ifndef CHASKI_KERNELS_ARM_A32_H
#define CHASKI_KERNELS_ARM_A32_H

#include <stdint.h>

struct arm_a32 {
    float d;
    float d_sum, d_half[2]; /* d * (sum of all codes, of each half) */
    int32_t sum, half[2];
    int32_t unused;
    int8_t q[32];
};
_Static_assert(sizeof(struct arm_a32) == 64, "a line");

#endif
