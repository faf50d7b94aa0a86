/* kernels/ref/books.c - widens the code books (grids.c) and reads packed blocks with them: the
 * definition of kernels/layout_books.h in plain C. */
#include "kernels/ref/books.h"

#include <pthread.h>
#include "kernels/ref/unpack.h"

static struct books made;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static const uint8_t values_iq2[4] = {8, 25, 43, 0};
static const uint8_t values_iq1[4] = {BOOK_IQ1_ZERO - 8, BOOK_IQ1_ZERO, BOOK_IQ1_ZERO + 8, 0};
static const uint8_t values_iq3_xxs[8] = {4, 12, 20, 28, 36, 44, 52, 62};
static const uint8_t values_iq3_s[8] = {1, 3, 5, 7, 9, 11, 13, 15};

static void widen8(uint64_t *o, const uint16_t *grid, int n, const uint8_t values[4])
{
    for (int i = 0; i < n; i++) {
        uint64_t e = 0;
        for (int k = 0; k < 8; k++)
            e |= (uint64_t)values[grid[i] >> (2 * k) & 3] << (8 * k);
        o[i] = e;
    }
}
static void widen4(uint32_t *o, const uint16_t *grid, int n, const uint8_t values[8])
{
    for (int i = 0; i < n; i++) {
        uint32_t e = 0;
        for (int k = 0; k < 4; k++)
            e |= (uint32_t)values[grid[i] >> (3 * k) & 7] << (8 * k);
        o[i] = e;
    }
}

static void make(void)
{
    widen8(made.iq2_xxs, grid_iq2_xxs, 256, values_iq2);
    widen8(made.iq2_xs, grid_iq2_xs, 512, values_iq2);
    widen8(made.iq2_s, grid_iq2_s, 1024, values_iq2);
    widen8(made.iq1, grid_iq1, 2048, values_iq1);
    widen4(made.iq3_xxs, grid_iq3_xxs, 256, values_iq3_xxs);
    widen4(made.iq3_s, grid_iq3_s, 512, values_iq3_s);
}

const struct books *_Atomic books_made;
const struct books *books_make(void)
{
    pthread_once(&once, make);
    atomic_store_explicit(&books_made, &made, memory_order_release);
    return &made;
}

/* ---- packed blocks, plainly ------------------------------------------------------------------ */

/* The 8 flags of run l of row r. */
static unsigned flags8(const uint8_t h[64], int l, int r)
{
    unsigned f = 0;
    for (int i = 0; i < 8; i++)
        f |= (unsigned)ref_high(h, 8 * l + i, r) << i;
    return f;
}
/* Seven signs, and the eighth that makes the number of minus signs even. */
static unsigned signs7(unsigned f)
{
    unsigned odd = 0;
    for (int i = 0; i < 7; i++)
        odd ^= f >> i & 1;
    return (f & 127) | odd << 7;
}

/* Run l of row r: entry with magnitudes, signs. */
static void signed8(struct ref_block *o, int l, int r, uint64_t e, unsigned signs)
{
    for (int i = 0; i < 8; i++) {
        int v = (int)(e >> (8 * i) & 255);
        o->w[8 * l + i][r] = (int16_t)(signs >> i & 1 ? -v : v);
    }
}
static void delta8(struct ref_block *o, int l, int r, uint64_t e, bool minus)
{
    for (int i = 0; i < 8; i++)
        o->w[8 * l + i][r] =
            (int16_t)((int)(e >> (8 * i) & 255) - BOOK_IQ1_ZERO + (minus ? -1 : 1));
}
static uint64_t two4(uint32_t lo, uint32_t hi)
{
    return lo | (uint64_t)hi << 32;
}
static void scales(struct ref_block *o, int r, unsigned first, unsigned second)
{
    o->sc[0][r] = (int16_t)(2 * first + 1);
    o->sc[1][r] = (int16_t)(2 * second + 1);
}
/* The scale whose bits stand in the places of the eighth signs. */
static void scale_of_flags(struct ref_block *o, int r, const uint8_t h[64])
{
    unsigned n = 0;
    for (int l = 0; l < 4; l++)
        n |= (flags8(h, l, r) >> 7) << l;
    scales(o, r, n, n);
}

void ref_unpack_book(uint32_t type, const uint8_t *group, int b, int r, struct ref_block *o)
{
    const struct books *bk = books();
    const int u = b / 8, j = b % 8;
    o->m = NULL;
    switch (type) {
    case TYPE_IQ2_XXS: {
        const struct pk_iq2_xxs *s = (const struct pk_iq2_xxs *)group + u;
        const struct pk_iq2_xxsb *p = &s->b[j];
        o->d = s->d;
        for (int l = 0; l < 4; l++)
            signed8(o, l, r, bk->iq2_xxs[p->q[l][r]], signs7(flags8(p->h, l, r)));
        scale_of_flags(o, r, p->h);
        break;
    }
    case TYPE_IQ2_XS: {
        const struct pk_iq2_xs *s = (const struct pk_iq2_xs *)group + u;
        const struct pk_iq2_xsb *p = &s->b[j];
        o->d = s->d;
        for (int l = 0; l < 4; l++) {
            unsigned f = flags8(p->h, l, r);
            signed8(o, l, r, bk->iq2_xs[p->q[l][r] | (f >> 7) << 8], signs7(f));
        }
        scales(o, r, p->sc[r] & 15u, p->sc[r] >> 4);
        break;
    }
    case TYPE_IQ2_S: {
        const struct pk_iq2_s *s = (const struct pk_iq2_s *)group + u;
        const struct pk_iq2_sb *p = &s->b[j];
        o->d = s->d;
        for (int l = 0; l < 4; l++)
            signed8(o, l, r, bk->iq2_s[p->q[l][r] | (p->qh[r] >> (2 * l) & 3) << 8],
                    flags8(p->h, l, r));
        scales(o, r, p->sc[r] & 15u, p->sc[r] >> 4);
        break;
    }
    case TYPE_IQ3_XXS: {
        const struct pk_iq3_xxs *s = (const struct pk_iq3_xxs *)group + u;
        const struct pk_iq3_xxsb *p = &s->b[j];
        o->d = s->d;
        for (int l = 0; l < 4; l++)
            signed8(o, l, r, two4(bk->iq3_xxs[p->q[2 * l][r]], bk->iq3_xxs[p->q[2 * l + 1][r]]),
                    signs7(flags8(p->h, l, r)));
        scale_of_flags(o, r, p->h);
        break;
    }
    case TYPE_IQ3_S: {
        const struct pk_iq3_s *s = (const struct pk_iq3_s *)group + u;
        const struct pk_iq3_sb *p = &s->b[j];
        unsigned n = s->sc[j / 2][r] >> (4 * (j % 2)) & 15;
        o->d = s->d;
        for (int l = 0; l < 4; l++) {
            int lo = p->q[2 * l][r] | (p->qh[r] >> (2 * l) & 1) << 8;
            int hi = p->q[2 * l + 1][r] | (p->qh[r] >> (2 * l + 1) & 1) << 8;
            signed8(o, l, r, two4(bk->iq3_s[lo], bk->iq3_s[hi]), flags8(p->h, l, r));
        }
        scales(o, r, n, n);
        break;
    }
    case TYPE_IQ1_S: {
        const struct pk_iq1_s *s = (const struct pk_iq1_s *)group + u;
        const struct pk_iq1_sb *p = &s->b[j];
        unsigned h = p->qh[r];
        o->d = s->d;
        for (int l = 0; l < 4; l++)
            delta8(o, l, r, bk->iq1[p->q[l][r] | (h >> (3 * l) & 7) << 8], h >> 15);
        scales(o, r, h >> 12 & 7, h >> 12 & 7);
        break;
    }
    default: { /* IQ1_M */
        const struct pk_iq1_m *s = (const struct pk_iq1_m *)group + u;
        const struct pk_iq1_mb *p = &s->b[j];
        o->d = s->d;
        for (int l = 0; l < 4; l++) {
            unsigned v = p->qh[l / 2][r] >> (4 * (l % 2)) & 15;
            delta8(o, l, r, bk->iq1[p->q[l][r] | (v & 7) << 8], v >> 3);
        }
        scales(o, r, p->sc[r] & 15u, p->sc[r] >> 4);
        break;
    }
    }
}
