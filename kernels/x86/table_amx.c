/* kernels/x86/table_amx.c - AMX int8 beside AVX-512 VNNI (Sapphire Rapids and later): prompts. All
 * else, and types that have no kernel in mm_amx.c, stay with avx512vnni. */
#include "kernels/tables.h"
#include "kernels/x86/tables_x86.h"

void kernels_init_amx(struct kernels *k)
{
    k->name = "amx";
    x86_tiles_amx(k);
}
