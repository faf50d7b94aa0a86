/* kernels/arm/peaks_i8mm.c - how fast SMMLA is (kernels/peaks/peaks.h): 2 x 2 sums of 8 products.
 */
#include "kernels/arm/peaks_loop.h"
#include "kernels/peaks/loops.h"

static const uint32_t bytes = 0x03020103;

#define SMMLA(i) "smmla v" #i ".4s, v30.16b, v31.16b\n\t"
static void mmla(int64_t rounds)
{
    LOOP(TWENTY(SMMLA), bytes);
}

const struct peak_isa peaks_i8mm = {
    .loops = {{"i8mm", "smmla", PEAK_INT4 | PEAK_INT8, 20 * 32 * 2, mmla}},
};
