/* kernels/arm/table_i8mm.c - "i8mm": SMMLA for the quantized products of more than one column. */
#include "kernels/arm/arm.h"
#include "kernels/tables.h"

void kernels_init_i8mm(struct kernels *k)
{
    k->name = "i8mm";
    arm_acts_i8mm(k);
    arm_quants_i8mm(k);
}
