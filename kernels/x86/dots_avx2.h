/* kernels/x86/dots_avx2.h - AVX2 for mm_types.h: 8 rows, sums in int16, tiles of 6 columns (their
 * integer sums fill 12 of the 16 registers). Types with signed bytes have panels of int16. */
#ifndef CHASKI_KERNELS_X86_DOTS_H
#define CHASKI_KERNELS_X86_DOTS_H

#include "kernels/x86/lanes_avx2.h"

#define VNNI 0
#define COLUMNS 6
#include "kernels/x86/mm_types.h"
#include "kernels/x86/wide_avx2.h"

#endif
