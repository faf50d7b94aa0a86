/* kernels/ref/pack_quads.h - packing a whole group of 16 rows at once. Private to the packing. */
#ifndef CHASKI_KERNELS_REF_PACK_QUADS_H
#define CHASKI_KERNELS_REF_PACK_QUADS_H

#include "kernels/kernels.h"

/* 16 rows of n blocks (F16, BF16, F32: values), `stride` bytes apart, into one group. */
typedef void pack_group_fn(uint8_t *dst, const uint8_t *src, size_t stride, size_t n);
pack_group_fn *pack_group(uint32_t type); /* NULL: the type has none */

#endif
