/* kernels/x86/table_avx512vnni.c - AVX-512 with VNNI (Ice Lake and later, Zen 4 and later). */
#include "kernels/tables.h"
#include "kernels/x86/mm.h"
#include "kernels/x86/tables_x86.h"

void kernels_init_avx512vnni(struct kernels *k)
{
    k->name = "avx512vnni";
    x86_acts_avx512vnni(k);
    x86_blocks_avx512vnni(k);
    x86_few_avx512vnni(k);
    x86_supers_avx512vnni(k);
    x86_books_avx512vnni(k);
    x86_attend_avx512vnni(k);
}
