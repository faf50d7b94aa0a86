/* kernels/arm/arm.h - the parts that fill the ARM tables, one a file. Private. */
#ifndef CHASKI_KERNELS_ARM_H
#define CHASKI_KERNELS_ARM_H

#include "kernels/kernels.h"

void arm_acts_neon(struct kernels *k);
void arm_quants_neon(struct kernels *k);
void arm_floats_neon(struct kernels *k);
void arm_rest_neon(struct kernels *k);
void arm_attend_neon(struct kernels *k);
void arm_quants_dotprod(struct kernels *k);
void arm_attend_dotprod(struct kernels *k);
void arm_acts_i8mm(struct kernels *k);  /* after the tables below: they keep what is there */
void arm_quants_i8mm(struct kernels *k);

#endif
