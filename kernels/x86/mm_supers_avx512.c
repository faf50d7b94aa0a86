/* kernels/x86/mm_supers_avx512.c - Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_XS with AVX-512 BW and no
 * VNNI: AVX2's plan and its A32 columns with 16 rows in a vector (see mm_supers.h). */
#include "kernels/x86/lanes_avx512.h"
#include "kernels/x86/tables_x86.h"

static const bool VNNI = false;
AI vi dot32(vi sum, vi u, vi s) /* not used */
{
    (void)u, (void)s;
    return sum;
}
#include "kernels/x86/mm_supers.h"

KERNELS(IQ4_XS, iq4_xs)

void x86_supers_avx512(struct kernels *k)
{
    set_supers(k);
    k->mul_mat[TYPE_IQ4_XS] = mul_mat_IQ4_XS;
}
