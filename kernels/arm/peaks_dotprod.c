/* kernels/arm/peaks_dotprod.c - how fast SDOT is (kernels/peaks/peaks.h): it adds into int32
 * itself, so it is the roof for codes of any width up to 8 bits. */
#include "kernels/arm/peaks_loop.h"
#include "kernels/peaks/loops.h"

static const uint32_t bytes = 0x03020103;

#define SDOT(i) "sdot v" #i ".4s, v30.16b, v31.16b\n\t"
static void dot(int64_t rounds)
{
    LOOP(TWENTY(SDOT), bytes);
}

const struct peak_isa peaks_dotprod = {
    .loops = {{"dotprod", "sdot", PEAK_INT4 | PEAK_INT8, 20 * 16 * 2, dot}},
};
