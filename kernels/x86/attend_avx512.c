/* kernels/x86/attend_avx512.c - attention with 16 lanes (see attend.h). */
#include "kernels/x86/vec_avx512.h"
#include "kernels/x86/dot8_pairs.h"
#include "kernels/x86/attend.h"
#include "kernels/x86/tables_x86.h"

void x86_attend_avx512(struct kernels *k)
{
    attend_init(k);
}
