/* kernels/x86/attend_avx512vnni.c - attention with 16 lanes and VNNI for pages of int8 codes. The
 * other types are attend_avx512.c's once more: one object file keeps no secrets from the other. */
#include "kernels/x86/vec_avx512.h"
#include "kernels/x86/dot8_vnni.h"
#include "kernels/x86/attend.h"
#include "kernels/x86/tables_x86.h"

void x86_attend_avx512vnni(struct kernels *k)
{
    attend_init(k);
}
