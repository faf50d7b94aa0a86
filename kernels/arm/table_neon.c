/* kernels/arm/table_neon.c - "neon": what every 64-bit ARM has. */
#include "kernels/arm/arm.h"
#include "kernels/tables.h"

void kernels_init_neon(struct kernels *k)
{
    k->name = "neon";
    arm_acts_neon(k);
    arm_quants_neon(k);
    arm_floats_neon(k);
    arm_rest_neon(k);
    arm_attend_neon(k);
}
