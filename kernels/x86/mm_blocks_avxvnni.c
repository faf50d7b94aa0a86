/* kernels/x86/mm_blocks_avxvnni.c - Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 with AVX-VNNI (see mm_blocks.h).
 * Tile: 2 vectors of 8 rows x 6 columns; float sums stay in memory (16 registers). */
#include <stdbool.h>
#include "kernels/x86/dot32_avxvnni.h"
#include "kernels/x86/mm_blocks.h"
#include "kernels/x86/tables_x86.h"

void x86_blocks_avxvnni(struct kernels *k)
{
    set_blocks(k);
}
