/* kernels/x86/dots_avxvnni.h - AVX-VNNI for mm_types.h: 8 rows, vpdpbusd into int32, AVX2's
 * columns.
 *
 * CPUs with AVX-VNNI and no AVX-512 (Alder Lake and later) know the VEX encoding only. The tests
 * compile the same files with AVX-512's flags, which gives the EVEX encoding: the same operation on
 * machines that have no AVX-VNNI. */
#ifndef CHASKI_KERNELS_X86_DOTS_H
#define CHASKI_KERNELS_X86_DOTS_H

#include "kernels/x86/lanes_avx2.h"

#define VNNI 1
#define COLUMNS 6

AI vi dot32(vi sum, vi u, const int32_t *s)
{
#ifdef __AVXVNNI__
    return _mm256_dpbusd_avx_epi32(sum, u, i_set(*s));
#else
    return _mm256_dpbusd_epi32(sum, u, i_set(*s));
#endif
}

#endif
