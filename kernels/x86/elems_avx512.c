/* kernels/x86/elems_avx512.c - everything that is no matmul and no attention, 16 lanes (elems.h). */
#include "kernels/x86/vec_avx512.h"
#include "kernels/x86/elems.h"
#include "kernels/x86/tables_x86.h"

void x86_elems_avx512(struct kernels *k)
{
    elems_init(k);
}
