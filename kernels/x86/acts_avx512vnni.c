/* kernels/x86/acts_avx512vnni.c - columns to A32, AVX-512 VNNI: groups of 12, int32 start values. */
#include <stdbool.h>
#include "kernels/x86/tables_x86.h"

enum { COLS = 12 };
static const bool VNNI = true;
#include "kernels/x86/acts.h"

void x86_acts_avx512vnni(struct kernels *k)
{
    k->act_cols = COLS;
    k->acts_bytes = acts_bytes;
    k->quantize = quantize;
}
