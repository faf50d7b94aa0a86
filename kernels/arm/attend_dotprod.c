/* kernels/arm/attend_dotprod.c - attention with NEON, and SDOT for pages of int8 codes. */
#include "kernels/arm/dot_sdot.h"
#include "kernels/arm/attend.h"

void arm_attend_dotprod(struct kernels *k)
{
    k->attend_span = attend_span;
}
