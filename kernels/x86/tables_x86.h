/* kernels/x86/tables_x86.h - the parts that fill the x86 tables, one a file. Private. */
#ifndef CHASKI_KERNELS_X86_TABLES_X86_H
#define CHASKI_KERNELS_X86_TABLES_X86_H

#include "kernels/kernels.h"

void x86_acts_avx2(struct kernels *k);
void x86_blocks_avx2(struct kernels *k);
void x86_supers_avx2(struct kernels *k);
void x86_books_avx2(struct kernels *k);
void x86_codes_avx2(struct kernels *k);
void x86_few_avx2(struct kernels *k);
void x86_floats_avx2(struct kernels *k);
void x86_elems_avx2(struct kernels *k);
void x86_attend_avx2(struct kernels *k);

void x86_blocks_avxvnni(struct kernels *k);
void x86_supers_avxvnni(struct kernels *k);
void x86_codes_avxvnni(struct kernels *k);

void x86_acts_avx512vnni(struct kernels *k);
void x86_blocks_avx512vnni(struct kernels *k);
void x86_supers_avx512vnni(struct kernels *k);
void x86_codes_avx512vnni(struct kernels *k);
void x86_blocks_avx512(struct kernels *k);
void x86_supers_avx512(struct kernels *k);
void x86_books_avx512vnni(struct kernels *k);
void x86_attend_avx512vnni(struct kernels *k);
void x86_floats_avx512(struct kernels *k);
void x86_elems_avx512(struct kernels *k);
void x86_attend_avx512(struct kernels *k);

void x86_tiles_amx(struct kernels *k);

#endif
