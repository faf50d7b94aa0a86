/* kernels/x86/acts_avxvnni.c - columns to A32, AVX-VNNI: groups of 6, int32 start values. */
#include <stdbool.h>
#include "kernels/x86/tables_x86.h"

enum { COLS = 6 };
static const bool VNNI = true;
#include "kernels/x86/acts.h"

void x86_acts_avxvnni(struct kernels *k)
{
    k->act_cols = COLS;
    k->acts_bytes = acts_bytes;
    k->quantize = quantize;
}
