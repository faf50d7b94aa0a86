/* kernels/x86/mm_codes_avx512vnni.c - IQ4_NL to TQ2_0 with AVX-512 VNNI (see mm_codes_vnni.h). */
#include "kernels/x86/lanes_avx512.h"
#include "kernels/x86/tables_x86.h"

AI vi dot32(vi sum, vi u, vi s)
{
    return _mm512_dpbusd_epi32(sum, u, s);
}

#define COLUMNS 12
#include "kernels/x86/mm_codes_vnni.h"

void x86_codes_avx512vnni(struct kernels *k)
{
    set_codes(k);
}
