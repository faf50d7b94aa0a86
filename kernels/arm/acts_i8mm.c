/* kernels/arm/acts_i8mm.c - A32 in pairs of columns (kernels/arm/pairs.h), made from NEON's. */
#include <string.h>
#include "kernels/arm/arm.h"
#include "kernels/arm/pairs.h"

/* The table below, which makes the single columns. Set once, while the tables are filled. */
static size_t (*single_bytes)(int n, int k);
static void (*single)(const struct acts *a, int c0, int c1);

static size_t blocks_of(int k)
{
    return ((size_t)k + 31) / 32;
}

/* Twice the single columns', for one column too: the door promises at most n + 1 times that of one. */
static size_t acts_bytes(int n, int k)
{
    return single_bytes(n, k) + (size_t)n * blocks_of(k) * sizeof(struct arm_a32);
}

static void pair(const struct arm_a32 *const from[2], struct arm_pair *o)
{
    for (int c = 0; c < 2; c++) {
        const struct arm_a32 *a = from[c];
        o->d[c] = a->d;
        o->d_sum[c] = a->d_sum;
        o->sum[c] = a->sum;
        for (int h = 0; h < 2; h++) {
            o->d_half[h][c] = a->d_half[h];
            o->half[h][c] = a->half[h];
        }
        for (int i = 0; i < 4; i++)
            memcpy(o->q[i][c], a->q + 8 * i, 8);
    }
    o->unused[0] = o->unused[1] = 0;
}

static void quantize(const struct acts *a, int c0, int c1)
{
    const size_t nb = blocks_of(a->k);
    const struct arm_a32 *cols = (const struct arm_a32 *)(const void *)a->a32;

    single(a, c0, c1);
    for (int c = c0; c + 1 < c1; c += 2) {
        const struct arm_a32 *const from = cols + (size_t)c * nb;
        struct arm_pair *o = arm_pairs(a, nb) + (size_t)(c / 2) * nb;
        for (size_t b = 0; b < nb; b++)
            pair((const struct arm_a32 *const[]){from + b, from + nb + b}, o + b);
    }
}

void arm_acts_i8mm(struct kernels *k)
{
    single_bytes = k->acts_bytes;
    single = k->quantize;
    k->act_cols = 2;
    k->acts_bytes = acts_bytes;
    k->quantize = quantize;
}
