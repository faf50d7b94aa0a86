/* kernels/ref/unpack.h - one block of a packed group as plain integers. Private to ref.
 *
 * w[k][r] is the code of value k of row r with the type's zero point taken off; the formats'
 * formulas (pack.c: mat_row) and the products (matmul.c) start from here. Slow and plain on
 * purpose: it is the definition of the layout. */
#ifndef CHASKI_KERNELS_REF_UNPACK_H
#define CHASKI_KERNELS_REF_UNPACK_H

#include <string.h>
#include "kernels/codes.h"
#include "kernels/kernels.h"
#include "kernels/layout.h"
#include "kernels/layout_books.h"
#include "kernels/ref/books.h"

struct ref_block { /* 32 values of 16 rows */
    int16_t w[32][16];
    const f16_bits *d, *m;  /* of the block, or of its super-block (m: minimum, or dmin) */
    int16_t sc[2][16];      /* K types: sub-scales of the two halves (Q4_K, Q5_K: equal) */
    int16_t mn[2][16];      /* and minima */
    float f[2][16];         /* MXFP4, NVFP4: scales of the halves; d is NULL */
};

static inline int ref_nibble(const uint8_t q[4][64], int k, int r)
{
    int g = k / 4, at = 4 * r + k % 4;
    return g < 4 ? q[g][at] & 15 : q[g - 4][at] >> 4;
}
static inline int ref_high(const uint8_t h[64], int k, int r)
{
    return (h[4 * r + k % 4] >> (k / 4)) & 1;
}
static inline int ref_two(const uint8_t q[2][64], int k, int r)
{
    int g = k / 4;
    return (q[g / 4][4 * r + k % 4] >> (2 * (g % 4))) & 3;
}

/* The same for row r of a type with a code book. */
void ref_unpack_book(uint32_t type, const uint8_t *group, int b, int r, struct ref_block *o);

/* Code (0..2) of value k of block b: digits to base 3 as a fraction of 256 (kernels/layout.h). */
static inline int ref_digit(const uint8_t q[13][64], int b, int k, int r)
{
    const int at = 4 * r + k % 4, g = k / 4;
    int m = g, digit = b; /* blocks 0..4 */
    if (b >= 5)
        m = 8 + g % 4, digit = 2 * (b - 5) + g / 4;
    if (b == 7 && g >= 4)
        m = 12, digit = g - 4;
    uint8_t x = q[m][at];
    while (digit-- > 0)
        x = (uint8_t)(x * 3);
    return x * 3 >> 8;
}

#define REF_CODES(expr)                                                                            \
    for (int k = 0; k < 32; k++)                                                                   \
        for (int r = r0; r < r1; r++)                                                              \
            o->w[k][r] = (int16_t)(expr)

/* Block b (of 32 values) of the group at `group`, rows r0..r1-1. */
static inline void ref_unpack(uint32_t type, const uint8_t *group, int b, int r0, int r1,
                              struct ref_block *o)
{
    switch (type) {
    case TYPE_Q4_0: {
        const struct pk_q4_0 *p = (const struct pk_q4_0 *)group + b;
        o->d = p->d, o->m = NULL;
        REF_CODES(ref_nibble(p->q, k, r) - 8);
        break;
    }
    case TYPE_Q4_1: {
        const struct pk_q4_1 *p = (const struct pk_q4_1 *)group + b;
        o->d = p->d, o->m = p->m;
        REF_CODES(ref_nibble(p->q, k, r));
        break;
    }
    case TYPE_Q5_0: {
        const struct pk_q5_0 *p = (const struct pk_q5_0 *)group + b;
        o->d = p->d, o->m = NULL;
        REF_CODES((ref_nibble(p->q, k, r) | ref_high(p->h, k, r) << 4) - 16);
        break;
    }
    case TYPE_Q5_1: {
        const struct pk_q5_1 *p = (const struct pk_q5_1 *)group + b;
        o->d = p->d, o->m = p->m;
        REF_CODES(ref_nibble(p->q, k, r) | ref_high(p->h, k, r) << 4);
        break;
    }
    case TYPE_Q8_0: {
        const struct pk_q8_0 *p = (const struct pk_q8_0 *)group + b;
        o->d = p->d, o->m = NULL;
        REF_CODES(p->q[k / 4][4 * r + k % 4]);
        break;
    }
    case TYPE_Q2_K: {
        const struct pk_q2_K *s = (const struct pk_q2_K *)group + b / 8;
        const struct pk_q2_Kb *p = &s->b[b % 8];
        o->d = s->d, o->m = s->dmin;
        for (int h = 0; h < 2; h++)
            for (int r = r0; r < r1; r++)
                o->sc[h][r] = p->sc[h][r] & 15, o->mn[h][r] = p->sc[h][r] >> 4;
        REF_CODES(ref_two(p->q, k, r));
        break;
    }
    case TYPE_Q3_K: {
        const struct pk_q3_K *s = (const struct pk_q3_K *)group + b / 8;
        const struct pk_q3_Kb *p = &s->b[b % 8];
        o->d = s->d, o->m = NULL;
        for (int h = 0; h < 2; h++)
            for (int r = r0; r < r1; r++)
                o->sc[h][r] = p->sc[h][r];
        REF_CODES(ref_two(p->q, k, r) + 4 * ref_high(p->h, k, r) - 4);
        break;
    }
    case TYPE_Q4_K: {
        const struct pk_q4_K *s = (const struct pk_q4_K *)group + b / 8;
        const struct pk_q4_Kb *p = &s->b[b % 8];
        o->d = s->d, o->m = s->dmin;
        for (int r = r0; r < r1; r++) {
            o->sc[0][r] = o->sc[1][r] = p->sc[r];
            o->mn[0][r] = o->mn[1][r] = p->mn[r];
        }
        REF_CODES(ref_nibble(p->q, k, r));
        break;
    }
    case TYPE_Q5_K: {
        const struct pk_q5_K *s = (const struct pk_q5_K *)group + b / 8;
        const struct pk_q5_Kb *p = &s->b[b % 8];
        o->d = s->d, o->m = s->dmin;
        for (int r = r0; r < r1; r++) {
            o->sc[0][r] = o->sc[1][r] = p->sc[r];
            o->mn[0][r] = o->mn[1][r] = p->mn[r];
        }
        REF_CODES(ref_nibble(p->q, k, r) | ref_high(p->h, k, r) << 4);
        break;
    }
    case TYPE_Q6_K: {
        const struct pk_q6_K *s = (const struct pk_q6_K *)group + b / 8;
        const struct pk_q6_Kb *p = &s->b[b % 8];
        o->d = s->d, o->m = NULL;
        for (int h = 0; h < 2; h++)
            for (int r = r0; r < r1; r++)
                o->sc[h][r] = p->sc[h][r];
        REF_CODES((ref_nibble(p->q, k, r) | ref_two(p->h, k, r) << 4) - 32);
        break;
    }
    case TYPE_IQ4_NL: {
        const struct pk_iq4_nl *p = (const struct pk_iq4_nl *)group + b;
        o->d = p->d, o->m = NULL;
        REF_CODES(codes_iq4[ref_nibble(p->q, k, r)]);
        break;
    }
    case TYPE_IQ4_XS: {
        const struct pk_iq4_xs *s = (const struct pk_iq4_xs *)group + b / 8;
        const struct pk_iq4_xsb *p = &s->b[b % 8];
        o->d = s->d, o->m = NULL;
        for (int r = r0; r < r1; r++)
            o->sc[0][r] = o->sc[1][r] = p->sc[r];
        REF_CODES(codes_iq4[ref_nibble(p->q, k, r)]);
        break;
    }
    case TYPE_MXFP4: {
        const struct pk_mxfp4 *p = (const struct pk_mxfp4 *)group + b;
        o->d = o->m = NULL;
        for (int r = r0; r < r1; r++)
            o->f[0][r] = o->f[1][r] = codes_e8m0(p->e[r]);
        REF_CODES(codes_e2m1[ref_nibble(p->q, k, r)]);
        break;
    }
    case TYPE_NVFP4: {
        const struct pk_nvfp4b *p = (const struct pk_nvfp4b *)group + b;
        o->d = o->m = NULL;
        for (int h = 0; h < 2; h++)
            for (int r = r0; r < r1; r++)
                o->f[h][r] = codes_e4m3(p->sc[h][r]);
        REF_CODES(codes_e2m1[ref_nibble(p->q, k, r)]);
        break;
    }
    case TYPE_Q1_0: {
        const struct pk_q1_0 *p = (const struct pk_q1_0 *)group + b / 4;
        o->d = p->d, o->m = NULL;
        REF_CODES(2 * ref_high(p->h[b % 4], k, r) - 1);
        break;
    }
    case TYPE_Q2_0: {
        const struct pk_q2_0 *p = (const struct pk_q2_0 *)group + b / 2;
        o->d = p->d, o->m = NULL;
        REF_CODES(ref_two(p->q[b % 2], k, r) - 1);
        break;
    }
    case TYPE_TQ1_0: {
        const struct pk_tq1_0 *p = (const struct pk_tq1_0 *)group + b / 8;
        o->d = p->d, o->m = NULL;
        REF_CODES(ref_digit(p->q, b % 8, k, r) - 1);
        break;
    }
    case TYPE_TQ2_0: {
        const struct pk_tq2_0 *p = (const struct pk_tq2_0 *)group + b / 8;
        o->d = p->d, o->m = NULL;
        REF_CODES(ref_two(p->q[b % 8], k, r) - 1);
        break;
    }
    default: /* mat_init lets no other type in */
        if (!book_type(type))
            memset(o, 0, sizeof *o);
        else
            for (int r = r0; r < r1; r++)
                ref_unpack_book(type, group, b, r, o);
        break;
    }
}
#undef REF_CODES

#endif
