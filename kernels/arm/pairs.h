/* kernels/arm/pairs.h - A32 for SMMLA: two columns side by side. Private to the i8mm table.
 *
 * SMMLA multiplies 2 rows x 8 values by 8 values x 2 columns; the result's lanes are (r0 c0, r0 c1,
 * r1 c0, r1 c1). Eight codes of each column make one register, and what is known of a column (d,
 * sums) stands as a pair that LD1R puts in both halves. The pairs follow the columns of a32.h in
 * the same buffer: an odd last column and products without a kernel of this table read those. */
#ifndef CHASKI_KERNELS_ARM_PAIRS_H
#define CHASKI_KERNELS_ARM_PAIRS_H

#include "kernels/arm/a32.h"
#include "kernels/kernels.h"

struct arm_pair { /* the fields of struct arm_a32, of columns 2p and 2p + 1 */
    float d[2], d_sum[2], d_half[2][2];
    int32_t sum[2], half[2][2];
    int32_t unused[2];
    int8_t q[4][2][8]; /* [8 values][column] */
};
_Static_assert(sizeof(struct arm_pair) == 128, "two lines");

/* Pair p, block b: arm_pairs(a, nb) + p * nb + b, where nb is the number of blocks of a column. */
static inline struct arm_pair *arm_pairs(const struct acts *a, size_t nb)
{
    return (struct arm_pair *)(void *)(a->a32 + (size_t)a->n * nb * sizeof(struct arm_a32));
}

#endif
