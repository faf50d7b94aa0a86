/* kernels/blas/blas.h - the table that multiplies by OpenBLAS. Private to the room. */
#ifndef CHASKI_KERNELS_BLAS_H
#define CHASKI_KERNELS_BLAS_H

#include "kernels/kernels.h"

/* The table "blas": `base`, but for products of many columns. Opens the library the first time;
 * ERR_UNSUPPORTED when there is none. The same table for every call (and so the same base). */
const struct kernels *blas_table(const struct kernels *base, struct err *e);

#endif
