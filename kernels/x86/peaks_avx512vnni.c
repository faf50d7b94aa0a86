/* kernels/x86/peaks_avx512vnni.c - how fast AVX-512 VNNI can multiply (kernels/peaks/peaks.h).
 *
 * vpdpbusd adds into int32 itself, so it is the roof for codes of any width up to 8 bits. */
#include "kernels/peaks/loops.h"
#include "kernels/x86/peaks_zmm.h"

static const uint32_t bytes = 0x03020103;

#define DP(i) "vpdpbusd %%zmm30, %%zmm31, %%zmm" #i "\n\t"
static void dpbusd(int64_t rounds)
{
    LOOP(DP(0) DP(1) DP(2) DP(3) DP(4) DP(5) DP(6) DP(7) DP(8) DP(9) DP(10) DP(11), bytes);
}

const struct peak_isa peaks_avx512vnni = {
    .loops = {{"avx512vnni", "vpdpbusd", PEAK_INT4 | PEAK_INT8, 12 * 64 * 2, dpbusd}},
};
