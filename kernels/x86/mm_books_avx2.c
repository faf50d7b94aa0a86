/* kernels/x86/mm_books_avx2.c - IQ1_*, IQ2_*, IQ3_* with AVX2 (dots_avx2.h, mm_supers.h). */
#include "kernels/x86/dots_avx2.h"
#include "kernels/x86/mm_supers.h"
#include "kernels/x86/tables_x86.h"

#define TYPES BOOK_TYPES
#include "kernels/x86/mm_make.h"

void x86_books_avx2(struct kernels *k)
{
    set_types(k);
}
