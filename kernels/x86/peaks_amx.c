/* kernels/x86/peaks_amx.c - how fast AMX can multiply int8 (kernels/peaks/peaks.h): tdpbssd on
 * whole tiles, 4 sums in turn. No kernel of ours reaches it: each block of 32 codes must leave the
 * tiles to be scaled (mm_amx.c). */
#include "kernels/peaks/loops.h"

static const struct {
    uint8_t palette, start_row, zero[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} config = {1, 0, {0}, {64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16}};

#define DP(i) "tdpbssd %%tmm5, %%tmm4, %%tmm" #i "\n\t"
static void dpbssd(int64_t rounds) /* ldtilecfg clears the tiles: the factors are zeros */
{
    __asm__ volatile("ldtilecfg %[c]\n\t1:\n\t" DP(0) DP(1) DP(2)
                         DP(3) "dec %[n]\n\tjnz 1b\n\ttilerelease"
                     : [n] "+&r"(rounds)
                     : [c] "m"(config)
                     : "cc");
}

const struct peak_isa peaks_amx = {
    .loops = {{"amx", "tdpbssd", PEAK_INT4 | PEAK_INT8 | PEAK_ALONE, 4 * 16 * 16 * 64 * 2, dpbssd}},
};
