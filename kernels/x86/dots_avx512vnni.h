/* kernels/x86/dots_avx512vnni.h - AVX-512 VNNI for mm_types.h: 16 rows, vpdpbusd into int32, tiles
 * of 12 columns: 12 int and 12 float sums in registers, columns by embedded broadcast. Limit: 8 dot
 * products, a multiply and an FMA a block on one pipe. */
#ifndef CHASKI_KERNELS_X86_DOTS_H
#define CHASKI_KERNELS_X86_DOTS_H

#include "kernels/x86/lanes_avx512.h"

#define VNNI 1
#define COLUMNS 12

/* GCC 12 has no such form of the intrinsic: it would broadcast with an instruction and a register
 * of their own. */
AI vi dot32(vi sum, vi u, const int32_t *s)
{
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(u), "m"(*s));
    return sum;
}

#endif
