/* kernels/x86/table_avx2.c - the table of x86-64 CPUs with AVX2, FMA and F16C (Haswell, Zen). */
#include "kernels/cpu.h"
#include "kernels/tables.h"
#include "kernels/x86/mm.h"
#include "kernels/x86/tables_x86.h"

void kernels_init_avx2(struct kernels *k)
{
    k->name = "avx2";
    size_t l1, l2;
    cpu_caches("/sys", &l1, &l2);
    x86_mm_caches(l1, l2);
    k->mm_scratch_bytes = sizeof(struct mm_scratch);
    x86_acts_avx2(k);
    x86_blocks_avx2(k);
    x86_few_avx2(k);
    x86_supers_avx2(k);
    x86_books_avx2(k);
    x86_floats_avx2(k);
    x86_elems_avx2(k);
    x86_attend_avx2(k);
}
