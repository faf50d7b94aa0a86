/* kernels/x86/table_avx512.c - AVX-512 F, BW, VL, DQ without VNNI (Skylake-X). Columns stay as AVX2
 * lays them out: 6 are enough to keep the multiplier busy, and a type that has no kernel here can
 * use AVX2's. */
#include "kernels/tables.h"
#include "kernels/x86/tables_x86.h"

void kernels_init_avx512(struct kernels *k)
{
    k->name = "avx512";
    x86_blocks_avx512(k);
    x86_few_avx512(k);
    x86_supers_avx512(k);
    x86_books_avx512(k);
    x86_floats_avx512(k);
    x86_elems_avx512(k);
    x86_attend_avx512(k);
}
