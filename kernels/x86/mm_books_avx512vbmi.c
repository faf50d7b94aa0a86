/* kernels/x86/mm_books_avx512vbmi.c - IQ2_XXS, IQ2_XS, IQ3_* with AVX-512 VNNI, their books looked up by
 * VBMI (books_vbmi.h). No table of its own: part of "avx512vnni" and what stands on it, where the CPU has
 * VBMI. */
#include <pthread.h>
#include "kernels/tables.h"
#include "kernels/x86/books_vbmi.h"
#include "kernels/x86/dots_avx512vnni.h"

#define BOOK_CODES(type, books, b, q) ((void)(books), vbmi_codes(type, b, q))
#include "kernels/x86/mm_supers.h"

#define TYPES(X)                                                                                   \
    SUPER(X, IQ2_XXS, panel, iq2_xxs)                                                              \
    SUPER(X, IQ2_XS, panel, iq2_xs)                                                                \
    SUPER(X, IQ3_XXS, panel, iq3_xxs)                                                              \
    SUPER(X, IQ3_S, panel, iq3_s)
#include "kernels/x86/mm_make.h"

void x86_books_avx512vbmi(struct kernels *k)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_planes);
    set_types(k);
}
