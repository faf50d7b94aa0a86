/* kernels/x86/mm_supers_avx2.c - Q2_K to Q6_K, IQ4_XS with AVX2 (dots_avx2.h, mm_supers.h). */
#include "kernels/x86/dots_avx2.h"
#include "kernels/x86/mm_supers.h"
#include "kernels/x86/tables_x86.h"

#define TYPES SUPER_TYPES
#include "kernels/x86/mm_make.h"

void x86_supers_avx2(struct kernels *k)
{
    set_types(k);
}
