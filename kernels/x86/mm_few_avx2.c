/* kernels/x86/mm_few_avx2.c - NVFP4, Q1_0, Q2_0, TQ1_0, TQ2_0 with AVX2 (dots_avx2.h, mm_blocks.h).
 */
#include "kernels/x86/dots_avx2.h"
#include "kernels/x86/mm_blocks.h"
#include "kernels/x86/tables_x86.h"

#define TYPES FEW_TYPES
#include "kernels/x86/mm_make.h"

void x86_few_avx2(struct kernels *k)
{
    set_types(k);
}
