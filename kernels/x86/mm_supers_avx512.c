/* kernels/x86/mm_supers_avx512.c - Q2_K to Q6_K, IQ4_XS with AVX-512 BW without VNNI
 * (dots_avx512.h, mm_supers.h). */
#include "kernels/x86/dots_avx512.h"
#include "kernels/x86/mm_supers.h"
#include "kernels/x86/tables_x86.h"

#define TYPES SUPER_TYPES
#include "kernels/x86/mm_make.h"

void x86_supers_avx512(struct kernels *k)
{
    set_types(k);
}
