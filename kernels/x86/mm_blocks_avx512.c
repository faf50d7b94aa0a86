/* kernels/x86/mm_blocks_avx512.c - Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL, MXFP4 with AVX-512 BW and
 * no VNNI: AVX2's plan and its A32 columns with 16 rows in a vector (see mm_blocks.h). */
#include "kernels/x86/lanes_avx512.h"
#include "kernels/x86/tables_x86.h"

static const bool VNNI = false;
AI vi dot32(vi sum, vi u, vi s) /* not used */
{
    (void)u, (void)s;
    return sum;
}
#include "kernels/x86/mm_blocks.h"

KERNELS(IQ4_NL, pk_iq4_nl)
KERNELS(MXFP4, pk_mxfp4)

void x86_blocks_avx512(struct kernels *k)
{
    set_blocks(k);
    k->mul_mat[TYPE_IQ4_NL] = mul_mat_IQ4_NL;
    k->mul_mat[TYPE_MXFP4] = mul_mat_MXFP4;
}
