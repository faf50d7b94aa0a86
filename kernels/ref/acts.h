/* kernels/ref/acts.h - A32 as ref lays it out: column after column, block after block. */
#ifndef CHASKI_KERNELS_REF_ACTS_H
#define CHASKI_KERNELS_REF_ACTS_H

#include <stdint.h>

struct ref_a32 {
    float d;      /* 12 significant bits */
    int8_t q[32]; /* -127..127 */
};

/* The definition of A32 for one block of n <= 32 values (the rest counts as zeros). */
void ref_quantize32(const float *x, int n, struct ref_a32 *o);
/* The same with the scale rounded up to 24 - drop significant bits. */
void ref_quantize32_to(const float *x, int n, int drop, struct ref_a32 *o);

#endif
