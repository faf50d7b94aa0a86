/* kernels/x86/elems_avx2.c - everything that is no matmul and no attention, 8 lanes (elems.h). */
#include "kernels/x86/vec_avx2.h"
#include "kernels/x86/elems.h"
#include "kernels/x86/tables_x86.h"

void x86_elems_avx2(struct kernels *k)
{
    elems_init(k);
}
