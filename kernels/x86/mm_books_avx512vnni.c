/* kernels/x86/mm_books_avx512vnni.c - IQ1_*, IQ2_*, IQ3_* with AVX-512 VNNI (dots_avx512vnni.h,
 * mm_supers.h). */
#include "kernels/x86/dots_avx512vnni.h"
#include "kernels/x86/mm_supers.h"
#include "kernels/x86/tables_x86.h"

#define TYPES BOOK_TYPES
#include "kernels/x86/mm_make.h"

void x86_books_avx512vnni(struct kernels *k)
{
    set_types(k);
}
