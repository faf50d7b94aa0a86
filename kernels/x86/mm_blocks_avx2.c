/* kernels/x86/mm_blocks_avx2.c - Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL, MXFP4 with AVX2
 * (dots_avx2.h, mm_blocks.h). */
#include "kernels/x86/dots_avx2.h"
#include "kernels/x86/mm_blocks.h"
#include "kernels/x86/tables_x86.h"

#define TYPES BLOCK_TYPES
#include "kernels/x86/mm_make.h"

void x86_blocks_avx2(struct kernels *k)
{
    set_types(k);
}
