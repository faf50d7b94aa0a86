/* kernels/x86/mm_books_avxvnni.c - IQ1_*, IQ2_*, IQ3_* with AVX-VNNI (dots_avxvnni.h, mm_supers.h).
 */
#include "kernels/x86/dots_avxvnni.h"
#include "kernels/x86/mm_supers.h"
#include "kernels/x86/tables_x86.h"

#define TYPES BOOK_TYPES
#include "kernels/x86/mm_make.h"

void x86_books_avxvnni(struct kernels *k)
{
    set_types(k);
}
