/* kernels/x86/dots_avx512.h - AVX-512 BW without VNNI for mm_types.h: AVX2's plan and its columns
 * with 16 rows in a vector. */
#ifndef CHASKI_KERNELS_X86_DOTS_H
#define CHASKI_KERNELS_X86_DOTS_H

#include "kernels/x86/lanes_avx512.h"

#define VNNI 0
#define COLUMNS 6

#endif
