/* kernels/x86/peaks_avxvnni.c - how fast AVX-VNNI can multiply (kernels/peaks/peaks.h).
 *
 * vpdpbusd adds into int32 itself, so it is the roof for codes of any width up to 8 bits. */
#include "kernels/peaks/loops.h"

static const uint32_t bytes = 0x03020103;

#define ZERO(i) "vpxor %%xmm" #i ", %%xmm" #i ", %%xmm" #i "\n\t"
#define DP(i) "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm" #i "\n\t"
#define TWELVE(x) x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7) x(8) x(9) x(10) x(11)
static void dpbusd(int64_t rounds) /* 12 chains: 2 pipes of a latency of 5 need 10 */
{
    __asm__ volatile(TWELVE(ZERO) "vpbroadcastd %[w], %%ymm15\n\tvpbroadcastd %[w], %%ymm14\n\t"
                                  "1:\n\t" TWELVE(DP) "dec %[n]\n\tjnz 1b\n\tvzeroupper"
                     : [n] "+&r"(rounds)
                     : [w] "m"(bytes)
                     : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                       "xmm9", "xmm10", "xmm11", "xmm14", "xmm15");
}

const struct peak_isa peaks_avxvnni = {
    .loops = {{"avxvnni", "vpdpbusd", PEAK_INT4 | PEAK_INT8, 12 * 32 * 2, dpbusd}},
};
