/* kernels/tables.h - who fills a table of kernels. Private to the room.
 *
 * A table starts as a copy of a weaker one (its base, in table.c) and overrides the slots it does
 * better (as dav1d and x264 do), so a slot that nobody wrote is ref's. Each function below stands in a file
 * compiled with its ISA's flags and is called only after cpu_flags() said that the CPU and the
 * system carry the ISA. */
#ifndef CHASKI_KERNELS_TABLES_H
#define CHASKI_KERNELS_TABLES_H

#include "kernels/kernels.h"

/* Each sets k->name. HAVE_... comes from kernels/meson.build: the files are there for this CPU. */
void kernels_init_ref(struct kernels *k);
void kernels_init_avx2(struct kernels *k);
void kernels_init_avxvnni(struct kernels *k);
void kernels_init_avx512(struct kernels *k);
void kernels_init_avx512vnni(struct kernels *k);
void kernels_init_amx(struct kernels *k);
void kernels_init_neon(struct kernels *k);
void kernels_init_dotprod(struct kernels *k);
void kernels_init_i8mm(struct kernels *k);
/* What it does better than "avx512vnni", in that table, where the CPU has VBMI. */
void x86_books_avx512vbmi(struct kernels *k);
void x86_digits_avx512vbmi(struct kernels *k);
/* A file under trial (README, "Kernel research"): what it overrides in its base. */
void kernels_variant(struct kernels *k);

#endif
