/* kernels/x86/mm_supers_avx512vnni.c - Q2_K to Q6_K, IQ4_XS with AVX-512 VNNI (dots_avx512vnni.h,
 * mm_supers.h). */
#include "kernels/x86/dots_avx512vnni.h"
#include "kernels/x86/mm_supers.h"
#include "kernels/x86/tables_x86.h"

#define TYPES SUPER_TYPES
#include "kernels/x86/mm_make.h"

void x86_supers_avx512vnni(struct kernels *k)
{
    set_types(k);
}
