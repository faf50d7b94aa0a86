/* kernels/x86/tables_x86.h - the parts that fill the x86 tables, one a file. Private. */
#ifndef CHASKI_KERNELS_X86_TABLES_X86_H
#define CHASKI_KERNELS_X86_TABLES_X86_H

#include "kernels/kernels.h"

/* The quantized matmuls of each ISA. */
#define X86_MM(isa)                                                                                \
    void x86_blocks_##isa(struct kernels *k);                                                      \
    void x86_few_##isa(struct kernels *k);                                                         \
    void x86_supers_##isa(struct kernels *k);                                                      \
    void x86_books_##isa(struct kernels *k);
X86_MM(avx2)
X86_MM(avxvnni)
X86_MM(avx512)
X86_MM(avx512vnni)

void x86_acts_avx2(struct kernels *k);
void x86_floats_avx2(struct kernels *k);
void x86_elems_avx2(struct kernels *k);
void x86_attend_avx2(struct kernels *k);

void x86_floats_avx512(struct kernels *k);
void x86_elems_avx512(struct kernels *k);
void x86_attend_avx512(struct kernels *k);

void x86_acts_avx512vnni(struct kernels *k);
void x86_attend_avx512vnni(struct kernels *k);

void x86_tiles_amx(struct kernels *k);

#endif
