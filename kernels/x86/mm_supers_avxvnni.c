/* kernels/x86/mm_supers_avxvnni.c - Q2_K, Q3_K, Q4_K, Q5_K, Q6_K with AVX-VNNI (see mm_supers.h).
 * Tile: 2 vectors of 8 rows x 6 columns; float sums stay in memory (16 registers). */
#include <stdbool.h>
#include "kernels/x86/dot32_avxvnni.h"
#include "kernels/x86/mm_supers.h"
#include "kernels/x86/tables_x86.h"

void x86_supers_avxvnni(struct kernels *k)
{
    set_supers(k);
}
