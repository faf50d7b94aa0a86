/* kernels/x86/mm_blocks_avx512.c - Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL, MXFP4 with AVX-512 BW
 * without VNNI (dots_avx512.h, mm_blocks.h). */
#include "kernels/x86/dots_avx512.h"
#include "kernels/x86/mm_blocks.h"
#include "kernels/x86/tables_x86.h"

#define TYPES BLOCK_TYPES
#include "kernels/x86/mm_make.h"

void x86_blocks_avx512(struct kernels *k)
{
    set_types(k);
}
