/* kernels/x86/mm_supers_avxvnni.c - Q2_K to Q6_K, IQ4_XS with AVX-VNNI (dots_avxvnni.h,
 * mm_supers.h). */
#include "kernels/x86/dots_avxvnni.h"
#include "kernels/x86/mm_supers.h"
#include "kernels/x86/tables_x86.h"

#define TYPES SUPER_TYPES
#include "kernels/x86/mm_make.h"

void x86_supers_avxvnni(struct kernels *k)
{
    set_types(k);
}
