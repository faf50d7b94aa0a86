/* kernels/ref/pack_codes.h - one block of a row into lane r: IQ4_NL, IQ4_XS, MXFP4, NVFP4, Q1_0,
 * Q2_0, TQ1_0, TQ2_0. Part of pack.c. */
#ifndef CHASKI_KERNELS_REF_PACK_CODES_H
#define CHASKI_KERNELS_REF_PACK_CODES_H

#include "kernels/layout.h"
#include "kernels/ref/words.h"

static void pack_iq4_nl(void *dst, int r, const void *src)
{
    struct pk_iq4_nl *o = dst;
    const struct block_iq4_nl *b = src;
    o->d[r] = b->d;
    for (int j = 0; j < 4; j++)
        put(o->q[j], r, word(b->qs, j));
}
static void pack_iq4_xs(void *dst, int r, const void *src)
{
    struct pk_iq4_xs *o = dst;
    const struct block_iq4_xs *b = src;
    o->d[r] = b->d;
    for (int g = 0; g < 8; g++) {
        const int low = b->scales_l[g / 2] >> (4 * (g % 2)) & 15;
        const int high = b->scales_h[g / 4] >> (2 * (g % 4)) & 3;
        o->b[g].sc[r] = (int8_t)((low | high << 4) - 32);
        for (int j = 0; j < 4; j++)
            put(o->b[g].q[j], r, word(b->qs + 16 * g, j));
    }
}
static void pack_mxfp4(void *dst, int r, const void *src)
{
    struct pk_mxfp4 *o = dst;
    const struct block_mxfp4 *b = src;
    o->e[r] = b->e;
    for (int j = 0; j < 4; j++)
        put(o->q[j], r, word(b->qs, j));
}
/* A half has 8 bytes: low nibbles are its steps 0 and 1, high ones its steps 2 and 3. */
static void pack_nvfp4(void *dst, int r, const void *src)
{
    struct pk_nvfp4 *o = dst;
    const struct block_nvfp4 *b = src;
    for (int i = 0; i < 2; i++) {
        uint32_t s[2][4];
        for (int h = 0; h < 2; h++) {
            const uint8_t x = b->d[2 * i + h];
            o->b[i].sc[h][r] = x == 0x7f ? 0 : x & 0x7f;
            for (int j = 0; j < 4; j++)
                s[h][j] = word(b->qs + 16 * i + 8 * h, j % 2) >> (4 * (j / 2)) & 0x0f0f0f0fu;
        }
        for (int j = 0; j < 4; j++)
            put(o->b[i].q[j], r, s[0][j] | s[1][j] << 4);
    }
}
static void pack_q1_0(void *dst, int r, const void *src)
{
    struct pk_q1_0 *o = dst;
    const struct block_q1_0 *b = src;
    o->d[r] = b->d;
    for (int i = 0; i < 4; i++)
        put(o->h[i], r, flags_by_step(word(b->qs, i)));
}
/* A byte of the file holds the four values of a step. */
static void pack_q2_0(void *dst, int r, const void *src)
{
    struct pk_q2_0 *o = dst;
    const struct block_q2_0 *b = src;
    o->d[r] = b->d;
    for (int i = 0; i < 4; i++) {
        uint32_t w = 0;
        for (int s = 0; s < 4; s++) {
            uint32_t x = b->qs[4 * i + s]; /* two bits each into a byte each */
            x = (x | x << 12) & 0x000f000fu;
            x = (x | x << 6) & 0x03030303u;
            w |= x << (2 * s);
        }
        put(o->q[i / 2][i % 2], r, w);
    }
}
static void pack_tq1_0(void *dst, int r, const void *src)
{
    struct pk_tq1_0 *o = dst;
    const struct block_tq1_0 *b = src;
    o->d[r] = b->d;
    for (int m = 0; m < 12; m++)
        put(o->q[m], r, word(b->qs, m));
    put(o->q[12], r, word(b->qh, 0));
}
static void pack_tq2_0(void *dst, int r, const void *src)
{
    struct pk_tq2_0 *o = dst;
    const struct block_tq2_0 *b = src;
    o->d[r] = b->d;
    for (int j = 0; j < 8; j++)
        twos32(o->q[j], r, b->qs + 32 * (j / 4), 2 * (unsigned)(j % 4));
}

#endif
