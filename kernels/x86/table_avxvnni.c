/* kernels/x86/table_avxvnni.c - AVX2 with vpdpbusd in its VEX form (Alder Lake and later without
 * AVX-512). Columns stay as AVX2 lays them out, so a type that has no kernel here can use AVX2's. */
#include "kernels/tables.h"
#include "kernels/x86/tables_x86.h"

void kernels_init_avxvnni(struct kernels *k)
{
    k->name = "avxvnni";
    x86_blocks_avxvnni(k);
    x86_few_avxvnni(k);
    x86_supers_avxvnni(k);
    x86_books_avxvnni(k);
}
