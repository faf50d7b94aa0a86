/* kernels/x86/mm_blocks.h - Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, without dot32 also IQ4_NL and MXFP4,
 * times A32 columns, for any vector width.
 *
 * Contract: kernels/ref/matmul.c. Per block: an exact integer sum, acc = fma(d_w * d_a, isum,
 * acc), with mins acc = fma(m_w, d_a * asum, acc). The file that includes it has a lanes_....h
 * before and says how products are added (`VNNI`):
 *   false  vpmaddubsw into int16, one widening a block. Sums fit: codes to 15 give 30480; codes to
 *          31 start at -16 * pair sums, so the final value is at most 32512 and wrapping on the way
 *          is harmless. Q8_0, IQ4_NL: |w| times the activation with w's sign (it is never -128),
 *          widened at each step; in zmm that is no more work than int16 codes on both sides.
 *   true   dot32(sum, codes, activations) into int32; the zero point is in the start value.
 * A tile is 16 rows x up to 6 columns; its float sums stay in registers where there are 32. */
#ifndef CHASKI_KERNELS_X86_MM_BLOCKS_H
#define CHASKI_KERNELS_X86_MM_BLOCKS_H

#include "kernels/x86/a32.h"
#include "kernels/x86/mm.h"

enum { C_MAX = 6, R = MAT_ROWS / W /* vectors of rows */, KEEP = R == 1 /* sums in registers */ };

AI vi field(const int32_t *a, int f, int C, int c)
{
    return i_set(a[f * C + c]);
}

AI vf field_f(const int32_t *a, int f, int C, int c)
{
    return v_bcast((const float *)(const void *)(a + f * C + c));
}

AI vf floats(const void *p, int r)
{
    return v_ld((const float *)p + r * W);
}

AI vf halves_f(const uint8_t *p, int r)
{
    return v_ld_f16(p + 2 * r * W);
}

AI vf scale(const int type, const uint8_t *b, int r) /* every block begins with it */
{
    return type == TYPE_MXFP4 ? v_e8m0(b, r) : halves_f(b, r);
}

/* Bytes with a sign, without dot32: |w| times the activation with w's sign. */
AI bool by_sign(int type)
{
    return !VNNI && (type == TYPE_Q8_0 || type == TYPE_IQ4_NL);
}

AI vi codes(const int type, const bool panel, const void *b, int r, int g)
{
    if (panel)
        return i_ld(((const struct pan *)b)->q[g] + 4 * W * r);
    const vi v = i_step(type, b, r, g);
    return by_sign(type) ? i_flip8(v) : v;
}

AI bool has_min(int type)
{
    return type == TYPE_Q4_1 || type == TYPE_Q5_1;
}

AI bool from_zero(int type)
{
    return VNNI ? has_min(type) : type != TYPE_Q5_0 && type != TYPE_Q5_1 && type != TYPE_MXFP4;
}

/* What a sum begins with. AVX2's columns hold int16 pairs where the zero point is 16; -8 asum in
 * int32 is there for all. */
AI vi start(const int type, const int32_t *a, int C, int c)
{
    if (from_zero(type))
        return i_set(0);
    if (!VNNI)
        return field(a, A32_S16, C, c);
    const vi z = field(a, A32_S8, C, c);
    return type == TYPE_Q8_0 ? i_sll32(z, 4) : type == TYPE_Q5_0 ? i_sll32(z, 1) : z;
}

AI vi signed_dot(vi w, vi x)
{
    return i_madd(i_maddubs(i_abs8(w), i_sign8(x, w)), i_ones16());
}

/* s[r][c] = the exact int32 sum of one block, zero points included. */
AI void sums(const int type, const bool panel, const int C, const void *b, const int32_t *a,
             vi s[R][C_MAX])
{
    const bool zero = from_zero(type);

#pragma GCC unroll 6
    for (int c = 0; c < C; c++)
#pragma GCC unroll 2
        for (int r = 0; r < R; r++)
            s[r][c] = start(type, a, C, c);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        const int g = panel ? i : (i >> 1) + 4 * (i & 1); /* low and high nibbles of one load */
        vi w[R];
#pragma GCC unroll 2
        for (int r = 0; r < R; r++)
            w[r] = codes(type, panel, b, r, g);
#pragma GCC unroll 6
        for (int c = 0; c < C; c++) {
            const vi x = field(a, A32_CODES + g, C, c);
#pragma GCC unroll 2
            for (int r = 0; r < R; r++) {
                if (VNNI) {
                    s[r][c] = dot32(s[r][c], w[r], x);
                    continue;
                }
                const vi p = by_sign(type) ? signed_dot(w[r], x) : i_maddubs(w[r], x);
                s[r][c] = i_pin(i == 0 && zero  ? p
                                : by_sign(type) ? i_add32(s[r][c], p)
                                                : i_add16(s[r][c], p));
            }
        }
    }
    if (VNNI || by_sign(type))
        return;
#pragma GCC unroll 6
    for (int c = 0; c < C; c++)
#pragma GCC unroll 2
        for (int r = 0; r < R; r++) {
            s[r][c] = i_madd(s[r][c], i_ones16());
            if (type == TYPE_Q4_0 || type == TYPE_Q5_1)
                s[r][c] = i_add32(s[r][c], field(a, type == TYPE_Q4_0 ? A32_S8 : A32_P16, C, c));
        }
}

AI void tile(const int type, const int C, const struct panel *p, int nb, const int32_t *a,
             float (*acc)[16])
{
    vf f[R][C_MAX];

#pragma GCC unroll 6
    for (int c = 0; c < C; c++)
#pragma GCC unroll 2
        for (int r = 0; r < R; r++)
            f[r][c] = v_ld(acc[c] + r * W);
    for (int i = 0; i < nb; i++, a += A32_FIELDS * C) {
        const struct pan *b = &p->b[i];
        vi s[R][C_MAX];
        vf d[R];
        sums(type, true, C, b, a, s);
#pragma GCC unroll 2
        for (int r = 0; r < R; r++)
            d[r] = floats(b->s0, r);
#pragma GCC unroll 6
        for (int c = 0; c < C; c++) {
            const vf da = field_f(a, A32_D, C, c);
#pragma GCC unroll 2
            for (int r = 0; r < R; r++) {
                vf v = KEEP ? f[r][c] : v_ld(acc[c] + r * W);
                v = v_fma(v_mul(d[r], da), i_f32(s[r][c]), v);
                if (has_min(type))
                    v = v_fma(floats(b->s1, r), field_f(a, A32_DSUM, C, c), v);
                if (KEEP)
                    f[r][c] = v;
                else
                    v_st(acc[c] + r * W, v);
            }
        }
    }
#pragma GCC unroll 6
    for (int c = 0; KEEP && c < C; c++)
        v_st(acc[c], f[0][c]);
}

AI void gemv(const int type, const int C, const size_t unit, const uint8_t *b, int nb,
             const int32_t *a, float (*out)[16])
{
    vf f[R][C_MAX];
#pragma GCC unroll 6
    for (int c = 0; c < C; c++)
#pragma GCC unroll 2
        for (int r = 0; r < R; r++)
            f[r][c] = v_zero();
    for (int i = 0; i < nb; i++, b += unit, a += A32_FIELDS * C) {
        vi s[R][C_MAX];
        sums(type, false, C, b, a, s);
#pragma GCC unroll 6
        for (int c = 0; c < C; c++) {
            const vf da = field_f(a, A32_D, C, c);
#pragma GCC unroll 2
            for (int r = 0; r < R; r++) {
                f[r][c] = v_fma(v_mul(scale(type, b, r), da), i_f32(s[r][c]), f[r][c]);
                if (has_min(type))
                    f[r][c] = v_fma(halves_f(b + 32, r), field_f(a, A32_DSUM, C, c), f[r][c]);
            }
        }
    }
#pragma GCC unroll 6
    for (int c = 0; c < C; c++)
#pragma GCC unroll 2
        for (int r = 0; r < R; r++)
            v_st(out[c] + r * W, f[r][c]);
}

AI void unpack(const int type, const size_t unit, struct panel *p, const uint8_t *b, int nb)
{
    for (int i = 0; i < nb; i++, b += unit) {
        struct pan *o = &p->b[i];
#pragma GCC unroll 2
        for (int r = 0; r < R; r++) {
#pragma GCC unroll 8
            for (int g = 0; g < 8; g++)
                i_st(o->q[g] + 4 * W * r, codes(type, false, b, r, g));
            v_st((float *)(void *)o->s0 + r * W, scale(type, b, r));
            if (has_min(type))
                v_st((float *)(void *)o->s1 + r * W, halves_f(b + 32, r));
        }
    }
}

#define TILE(T, C)                                                                                 \
    static void tile_##T##_##C(const struct panel *p, int nb, const int32_t *a, float (*acc)[16],  \
                               float (*s)[16])                                                     \
    {                                                                                              \
        (void)s;                                                                                   \
        tile(TYPE_##T, C, p, nb, a, acc);                                                          \
    }
#define GEMV(T, U, C)                                                                              \
    static void gemv_##T##_##C(const uint8_t *b, int nb, const int32_t *a, float (*acc)[16])       \
    {                                                                                              \
        gemv(TYPE_##T, C, sizeof(struct U), b, nb, a, acc);                                        \
    }
#define KERNELS(T, U)                                                                              \
    TILE(T, 2)                                                                                     \
    TILE(T, 4)                                                                                     \
    TILE(T, 6)                                                                                     \
    GEMV(T, U, 1)                                                                                  \
    GEMV(T, U, 2)                                                                                  \
    GEMV(T, U, 3)                                                                                  \
    GEMV(T, U, 4)                                                                                  \
    GEMV(T, U, 6)                                                                                  \
    static void unpack_##T(struct panel *p, const uint8_t *b, int nb)                              \
    {                                                                                              \
        unpack(TYPE_##T, sizeof(struct U), p, b, nb);                                              \
    }                                                                                              \
    static const struct mm_type mm_##T = {                                                         \
        1,                                                                                         \
        sizeof(struct U),                                                                          \
        NULL,                                                                                      \
        unpack_##T,                                                                                \
        {NULL, tile_##T##_2, tile_##T##_4, tile_##T##_6},                                          \
        {NULL, gemv_##T##_1, gemv_##T##_2, gemv_##T##_3, gemv_##T##_4, NULL, gemv_##T##_6},        \
    };                                                                                             \
    static void mul_mat_##T(const struct mat *w, const struct acts *a, float *y, size_t ldy,       \
                            bool add, int32_t g0, int32_t g1, void *scratch)                       \
    {                                                                                              \
        x86_mm(&mm_##T, C_MAX, w, a, y, ldy, add, g0, g1, scratch);                                \
    }

KERNELS(Q4_0, pk_q4_0)
KERNELS(Q4_1, pk_q4_1)
KERNELS(Q5_0, pk_q5_0)
KERNELS(Q5_1, pk_q5_1)
KERNELS(Q8_0, pk_q8_0)

static void set_blocks(struct kernels *k)
{
    k->mul_mat[TYPE_Q4_0] = mul_mat_Q4_0;
    k->mul_mat[TYPE_Q4_1] = mul_mat_Q4_1;
    k->mul_mat[TYPE_Q5_0] = mul_mat_Q5_0;
    k->mul_mat[TYPE_Q5_1] = mul_mat_Q5_1;
    k->mul_mat[TYPE_Q8_0] = mul_mat_Q8_0;
}

#endif
