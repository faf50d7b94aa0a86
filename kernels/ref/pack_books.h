/* kernels/ref/pack_books.h - one super-block of a type with a code book into lane r
 * (kernels/layout_books.h). Part of pack.c. */
#ifndef CHASKI_KERNELS_REF_PACK_BOOKS_H
#define CHASKI_KERNELS_REF_PACK_BOOKS_H

#include "kernels/layout_books.h"
#include "kernels/ref/words.h"

/* Four runs of seven signs at 7l, and bit l of `extra` in the place of the eighth. */
static inline uint32_t signs_and(uint32_t sevens, uint32_t extra)
{
    uint32_t f = 0;
    for (int l = 0; l < 4; l++)
        f |= ((sevens >> (7 * l) & 127) | (extra >> l & 1) << 7) << (8 * l);
    return flags_by_step(f);
}

static inline void pack_iq2_xxs(void *dst, int r, const void *src)
{
    struct pk_iq2_xxs *o = dst;
    const struct block_iq2_xxs *b = src;
    o->d[r] = b->d;
    for (int j = 0; j < 8; j++) {
        uint32_t signs = word(b->qs, 2 * (size_t)j + 1);
        for (int l = 0; l < 4; l++)
            o->b[j].q[l][r] = b->qs[8 * j + l];
        put(o->b[j].h, r, signs_and(signs, signs >> 28));
    }
}

static inline void pack_iq2_xs(void *dst, int r, const void *src)
{
    struct pk_iq2_xs *o = dst;
    const struct block_iq2_xs *b = src;
    o->d[r] = b->d;
    for (int j = 0; j < 8; j++) {
        uint32_t sevens = 0, ninth = 0;
        for (int l = 0; l < 4; l++) { /* words of 16 bits: place 9, signs 7 */
            const uint8_t *w = b->qs + 8 * j + 2 * l;
            o->b[j].q[l][r] = w[0];
            ninth |= (uint32_t)(w[1] & 1) << l;
            sevens |= (uint32_t)(w[1] >> 1) << (7 * l);
        }
        put(o->b[j].h, r, signs_and(sevens, ninth));
        o->b[j].sc[r] = b->scales[j];
    }
}

static inline void pack_iq2_s(void *dst, int r, const void *src)
{
    struct pk_iq2_s *o = dst;
    const struct block_iq2_s *b = src;
    o->d[r] = b->d;
    for (int j = 0; j < 8; j++) {
        for (int l = 0; l < 4; l++)
            o->b[j].q[l][r] = b->qs[4 * j + l];
        o->b[j].qh[r] = b->qh[j];
        o->b[j].sc[r] = b->scales[j];
        put(o->b[j].h, r, flags_by_step(word(b->signs, (size_t)j)));
    }
}

static inline void pack_iq3_xxs(void *dst, int r, const void *src)
{
    struct pk_iq3_xxs *o = dst;
    const struct block_iq3_xxs *b = src;
    o->d[r] = b->d;
    for (int j = 0; j < 8; j++) {
        uint32_t signs = word(b->signs, (size_t)j);
        for (int g = 0; g < 8; g++)
            o->b[j].q[g][r] = b->qs[8 * j + g];
        put(o->b[j].h, r, signs_and(signs, signs >> 28));
    }
}

static inline void pack_iq3_s(void *dst, int r, const void *src)
{
    struct pk_iq3_s *o = dst;
    const struct block_iq3_s *b = src;
    o->d[r] = b->d;
    for (int i = 0; i < 4; i++)
        o->sc[i][r] = b->scales[i];
    for (int j = 0; j < 8; j++) {
        for (int g = 0; g < 8; g++)
            o->b[j].q[g][r] = b->qs[8 * j + g];
        o->b[j].qh[r] = b->qh[j];
        put(o->b[j].h, r, flags_by_step(word(b->signs, (size_t)j)));
    }
}

static inline void pack_iq1_s(void *dst, int r, const void *src)
{
    struct pk_iq1_s *o = dst;
    const struct block_iq1_s *b = src;
    o->d[r] = b->d;
    for (int j = 0; j < 8; j++) {
        for (int l = 0; l < 4; l++)
            o->b[j].q[l][r] = b->qs[4 * j + l];
        o->b[j].qh[r] = (uint16_t)(b->qh[2 * j] | b->qh[2 * j + 1] << 8);
    }
}

static inline void pack_iq1_m(void *dst, int r, const void *src)
{
    struct pk_iq1_m *o = dst;
    const struct block_iq1_m *b = src;
    unsigned d = 0;
    for (int i = 0; i < 4; i++) /* d is in the top nibbles of four words of scales */
        d |= (unsigned)(b->scales[2 * i + 1] >> 4) << (4 * i);
    o->d[r] = (f16_bits)d;
    for (int j = 0; j < 8; j++) {
        unsigned s = b->scales[j / 2 * 2] | (unsigned)b->scales[j / 2 * 2 + 1] << 8;
        s >>= 6 * (j % 2);
        for (int l = 0; l < 4; l++)
            o->b[j].q[l][r] = b->qs[4 * j + l];
        o->b[j].qh[0][r] = b->qh[2 * j];
        o->b[j].qh[1][r] = b->qh[2 * j + 1];
        o->b[j].sc[r] = (uint8_t)((s & 7) | (s >> 3 & 7) << 4);
    }
}

#endif
