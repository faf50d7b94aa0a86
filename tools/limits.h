/* tools/limits.h - what the machine allows a model, for `chaski bench`. */
#ifndef CHASKI_TOOLS_LIMITS_H
#define CHASKI_TOOLS_LIMITS_H

#include "engine/engine.h"
#include "kernels/peaks/peaks.h"

struct limits { /* measured; a second, all threads together */
    int n_threads;
    double read;                    /* bytes of memory */
    const char *read_how;
    double ops[3];                  /* roofs: f32, weights to 6 bits, weights of 8 bits; 0 = none */
    const struct peak_loop *loop[3];
};
/* Measures for about half a second. `isa`: the table of kernels, NULL = the best. */
int limits_measure(struct limits *l, const char *isa, int n_threads, struct err *e);

/* Tokens a second that the limits allow: a prompt by the multiply-adds of the blocks' matrices (no
 * attention, no head), a token at position `pos` by the bytes that it reads. 0 = not known. */
double limits_prompt(const struct limits *l, const struct model *m);
double limits_token(const struct limits *l, const struct model *m, int64_t pos);
/* Which roofs the model's matrices need, in the order of struct limits. */
void limits_used(const struct model *m, bool used[3]);

#endif
