/* kernels/fast/fast.h - tables that trade the contract of bits for speed. Private to the room. */
#ifndef CHASKI_KERNELS_FAST_H
#define CHASKI_KERNELS_FAST_H

#include "kernels/kernels.h"

/* What lays bf16 products over a table, each in a file compiled with its ISA's flags. */
void x86_fast_avx512bf16(struct kernels *k);
void x86_fast_amx(struct kernels *k);

#endif
