/* kernels/arm/quants_dotprod.c - quantized products with SDOT by element. */
#include "kernels/arm/dot_sdot.h"

enum { WIDEST = 8 }; /* columns of a tile (sweep.h) */
#include "kernels/arm/quants.h"

void arm_quants_dotprod(struct kernels *k)
{
    set_quants(k);
}
