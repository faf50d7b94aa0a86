/* kernels/arm/quants_neon.c - quantized products where there is no SDOT. */
#include "kernels/arm/dot_smlal.h"

enum { WIDEST = 4 }; /* columns of a tile (sweep.h) */
#include "kernels/arm/quants.h"

void arm_quants_neon(struct kernels *k)
{
    set_quants(k);
}
