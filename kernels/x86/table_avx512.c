/* kernels/x86/table_avx512.c - AVX-512 F, BW, VL, DQ without VNNI (Skylake-X): quantized matmuls
 * stay AVX2's (there the limit is the pair multiply, and ymm code keeps the clock up). */
#include "kernels/tables.h"
#include "kernels/x86/tables_x86.h"

void kernels_init_avx512(struct kernels *k)
{
    k->name = "avx512";
    x86_floats_avx512(k);
    x86_elems_avx512(k);
    x86_attend_avx512(k);
}
