/* kernels/x86/acts_avx2.c - columns to A32, AVX2: groups of 6, int16 start values. */
#include <stdbool.h>
#include "kernels/x86/tables_x86.h"

enum { COLS = 6 };
static const bool VNNI = false;
#include "kernels/x86/acts.h"

void x86_acts_avx2(struct kernels *k)
{
    k->act_cols = COLS;
    k->acts_bytes = acts_bytes;
    k->quantize = quantize;
}
