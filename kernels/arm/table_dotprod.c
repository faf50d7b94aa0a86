/* kernels/arm/table_dotprod.c - "dotprod": SDOT for the quantized products, those of attention too. */
#include "kernels/arm/arm.h"
#include "kernels/tables.h"

void kernels_init_dotprod(struct kernels *k)
{
    k->name = "dotprod";
    arm_quants_dotprod(k);
    arm_attend_dotprod(k);
}
