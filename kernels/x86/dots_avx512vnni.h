/* kernels/x86/dots_avx512vnni.h - AVX-512 VNNI for mm_types.h: 16 rows, vpdpbusd into int32, tiles
 * of 12 columns: 12 int and 12 float sums in registers, columns by embedded broadcast. Limit: 8 dot
 * products, a multiply and an FMA a block on one pipe. */
#ifndef CHASKI_KERNELS_X86_DOTS_H
#define CHASKI_KERNELS_X86_DOTS_H

#include "kernels/x86/lanes_avx512.h"

#define VNNI 1
#define COLUMNS 12

AI vi dot32(vi sum, vi u, vi s)
{
    return _mm512_dpbusd_epi32(sum, u, s);
}

#endif
