/* kernels/arm/books.h - products of the types with code books (IQ1, IQ2, IQ3), once for NEON and
 * once for SDOT. Part of quants.h: a super-block of one quarter (4 rows) at a time.
 *
 * Contract: kernels/ref/matmul.c. Entries are loaded row by row and parted into the two steps of a
 * run; codes are made signed, at most 62: no zero point, and dot_half's narrow way holds them. */
#ifndef CHASKI_KERNELS_ARM_BOOKS_H
#define CHASKI_KERNELS_ARM_BOOKS_H

#include "kernels/layout_books.h"
#include "kernels/ref/books.h"

struct book_quarter { /* of one block */
    uint8x16_t w[8];
    int32_t sc[2][4]; /* 2n + 1 of the halves */
};

INLINE void entries8(uint8x16_t w[2], const uint64_t *book, const unsigned at[4])
{
    const uint32x4_t a =
        vreinterpretq_u32_u64(vcombine_u64(vld1_u64(book + at[0]), vld1_u64(book + at[1])));
    const uint32x4_t b =
        vreinterpretq_u32_u64(vcombine_u64(vld1_u64(book + at[2]), vld1_u64(book + at[3])));
    w[0] = vreinterpretq_u8_u32(vuzp1q_u32(a, b));
    w[1] = vreinterpretq_u8_u32(vuzp2q_u32(a, b));
}
INLINE uint8x16_t entries4(const uint32_t *book, const uint8_t *q, const unsigned ninth[4])
{
    const uint32_t e[4] = {book[q[0] | ninth[0]], book[q[1] | ninth[1]], book[q[2] | ninth[2]],
                           book[q[3] | ninth[3]]};
    return vreinterpretq_u8_u32(vld1q_u32(e));
}

/* Signs of four rows; of the seven-sign types the eighth is made from the others. */
INLINE void with_signs(uint8x16_t w[8], const uint8_t *h, bool sevens)
{
    uint32x4_t v = vreinterpretq_u32_u8(vld1q_u8(h));
    if (sevens) {
        v = vandq_u32(v, vdupq_n_u32(0x55ffffffu));
        uint32x4_t t = veorq_u32(v, vshrq_n_u32(v, 16));
        t = veorq_u32(t, vshrq_n_u32(t, 8)); /* bit g: parity of step g */
        t = vandq_u32(veorq_u32(t, vshlq_n_u32(t, 1)), vdupq_n_u32(0xaa));
        v = vorrq_u32(v, vshlq_n_u32(t, 24));
    }
    for (int g = 0; g < 8; g++) {
        const uint8x16_t m = vtstq_u8(vreinterpretq_u8_u32(v), vdupq_n_u8((uint8_t)(1 << g)));
        w[g] = vsubq_u8(veorq_u8(w[g], m), m);
    }
}

/* Rows r..r+3 of block j. */
INLINE void unpack_book(uint32_t type, struct book_quarter *o, const struct books *bk,
                        const uint8_t *sb, int j, int r)
{
    static const unsigned none[4];
    unsigned n[2][4] = {{0}};
    switch (type) {
    case TYPE_IQ2_XXS:
    case TYPE_IQ3_XXS: {
        const struct pk_iq2_xxsb *p2 = &((const struct pk_iq2_xxs *)sb)->b[j];
        const struct pk_iq3_xxsb *p3 = &((const struct pk_iq3_xxs *)sb)->b[j];
        const uint8_t *h = (type == TYPE_IQ2_XXS ? p2->h : p3->h) + 4 * r;
        for (int l = 0; l < 4; l++) {
            if (type == TYPE_IQ2_XXS) {
                const uint8_t *q = p2->q[l] + r;
                entries8(o->w + 2 * l, bk->iq2_xxs, (const unsigned[4]){q[0], q[1], q[2], q[3]});
            } else {
                o->w[2 * l] = entries4(bk->iq3_xxs, p3->q[2 * l] + r, none);
                o->w[2 * l + 1] = entries4(bk->iq3_xxs, p3->q[2 * l + 1] + r, none);
            }
        }
        for (int i = 0; i < 4; i++) { /* the scale stands in the places of the eighth signs */
            const unsigned t = h[4 * i + 3];
            n[0][i] = n[1][i] = (t >> 1 & 1) | (t >> 2 & 2) | (t >> 3 & 4) | (t >> 4 & 8);
        }
        with_signs(o->w, h, true);
        break;
    }
    case TYPE_IQ2_XS: {
        const struct pk_iq2_xsb *p = &((const struct pk_iq2_xs *)sb)->b[j];
        for (int l = 0; l < 4; l++) {
            unsigned at[4];
            for (int i = 0; i < 4; i++)
                at[i] = p->q[l][r + i] | (p->h[4 * (r + i) + 3] >> (2 * l + 1) & 1u) << 8;
            entries8(o->w + 2 * l, bk->iq2_xs, at);
        }
        for (int i = 0; i < 4; i++)
            n[0][i] = p->sc[r + i] & 15u, n[1][i] = p->sc[r + i] >> 4;
        with_signs(o->w, p->h + 4 * r, true);
        break;
    }
    case TYPE_IQ2_S: {
        const struct pk_iq2_sb *p = &((const struct pk_iq2_s *)sb)->b[j];
        for (int l = 0; l < 4; l++) {
            unsigned at[4];
            for (int i = 0; i < 4; i++)
                at[i] = p->q[l][r + i] | (p->qh[r + i] >> (2 * l) & 3u) << 8;
            entries8(o->w + 2 * l, bk->iq2_s, at);
        }
        for (int i = 0; i < 4; i++)
            n[0][i] = p->sc[r + i] & 15u, n[1][i] = p->sc[r + i] >> 4;
        with_signs(o->w, p->h + 4 * r, false);
        break;
    }
    case TYPE_IQ3_S: {
        const struct pk_iq3_s *s = (const struct pk_iq3_s *)sb;
        const struct pk_iq3_sb *p = &s->b[j];
        for (int g = 0; g < 8; g++) {
            unsigned ninth[4];
            for (int i = 0; i < 4; i++)
                ninth[i] = (p->qh[r + i] >> g & 1u) << 8;
            o->w[g] = entries4(bk->iq3_s, p->q[g] + r, ninth);
        }
        for (int i = 0; i < 4; i++)
            n[0][i] = n[1][i] = s->sc[j / 2][r + i] >> (4 * (j % 2)) & 15u;
        with_signs(o->w, p->h + 4 * r, false);
        break;
    }
    default: { /* IQ1_S, IQ1_M: delta of a run is -1 or 1 */
        const struct pk_iq1_sb *p1 = &((const struct pk_iq1_s *)sb)->b[j];
        const struct pk_iq1_mb *pm = &((const struct pk_iq1_m *)sb)->b[j];
        for (int l = 0; l < 4; l++) {
            unsigned at[4];
            uint32_t delta[4];
            for (int i = 0; i < 4; i++) {
                unsigned v; /* three upper bits of the place, sign */
                if (type == TYPE_IQ1_S)
                    v = (p1->qh[r + i] >> (3 * l) & 7u) | (p1->qh[r + i] >> 15 & 1u) << 3;
                else
                    v = pm->qh[l / 2][r + i] >> (4 * (l % 2)) & 15u;
                at[i] = (type == TYPE_IQ1_S ? p1->q[l][r + i] : pm->q[l][r + i]) | (v & 7) << 8;
                delta[i] = v & 8 ? 0xffffffffu : 0x01010101u;
            }
            const uint8x16_t off =
                vsubq_u8(vreinterpretq_u8_u32(vld1q_u32(delta)), vdupq_n_u8(BOOK_IQ1_ZERO));
            entries8(o->w + 2 * l, bk->iq1, at);
            o->w[2 * l] = vaddq_u8(o->w[2 * l], off);
            o->w[2 * l + 1] = vaddq_u8(o->w[2 * l + 1], off);
        }
        for (int i = 0; i < 4; i++) {
            if (type == TYPE_IQ1_S)
                n[0][i] = n[1][i] = p1->qh[r + i] >> 12 & 7u;
            else
                n[0][i] = pm->sc[r + i] & 15u, n[1][i] = pm->sc[r + i] >> 4;
        }
        break;
    }
    }
    for (int h = 0; h < 2; h++)
        for (int i = 0; i < 4; i++)
            o->sc[h][i] = (int32_t)(2 * n[h][i] + 1);
}

INLINE void booked(uint32_t type, int cols, const uint8_t *sb, int quarter, const struct arm_a32 *a,
                   size_t col_blocks, float *acc)
{
    const struct books *bk = books();
    const int r = 4 * quarter;
    float32x4_t s[COLS];
    for (int c = 0; c < cols; c++)
        s[c] = vdupq_n_f32(0);
    for (int j = 0; j < 8; j++, a++) {
        struct book_quarter q;
        unpack_book(type, &q, bk, sb, j, r);
        const int32x4_t sc0 = vld1q_s32(q.sc[0]), sc1 = vld1q_s32(q.sc[1]);
        for (int c = 0; c < cols; c++) {
            const struct arm_a32 *ac = a + (size_t)c * col_blocks;
            const int32x4_t zero = vdupq_n_s32(0);
            const int32x4_t h0 = dot_half(zero, q.w, vld1q_s8(ac->q), false);
            const int32x4_t h1 = dot_half(zero, q.w + 4, vld1q_s8(ac->q + 16), false);
            const int32x4_t sum = vmlaq_s32(vmulq_s32(sc0, h0), sc1, h1);
            s[c] = vfmaq_n_f32(s[c], vcvtq_f32_s32(sum), ac->d);
        }
    }
    const float32x4_t d = vmulq_n_f32(halves((const f16_bits *)sb + r), book_unit(type));
    for (int c = 0; c < cols; c++)
        vst1q_f32(acc + 16 * c, vfmaq_f32(vld1q_f32(acc + 16 * c), d, s[c]));
}

#endif
