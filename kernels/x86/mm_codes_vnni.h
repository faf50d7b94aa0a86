/* kernels/x86/mm_codes_vnni.h - IQ4_NL, IQ4_XS, MXFP4, NVFP4, Q1_0, Q2_0, TQ1_0, TQ2_0 times A32
 * columns with vpdpbusd, for 8 and for 16 rows in a vector.
 *
 * Contract: kernels/ref/matmul.c. The file that includes it has a lanes_....h before, `dot32`, and
 * COLUMNS, the widest tile: 6, or 12 where sums fit in 32 registers.
 *
 * Codes are unsigned: the value plus 128 (IQ4_NL, IQ4_XS), plus 16 (MXFP4, NVFP4), plus 1 (the
 * others); the offset is in the start value. Four-bit codes are places in a table of bytes: one
 * vpshufb. The sub-scale of IQ4_XS multiplies in f32, where both factors and the product (below
 * 2^24) are exact. GEMV unpacks on the fly, but for TQ1_0, whose digits come block by block: there
 * 8 blocks go to L1 and a narrow tile runs over them. */
#ifndef CHASKI_KERNELS_X86_MM_CODES_VNNI_H
#define CHASKI_KERNELS_X86_MM_CODES_VNNI_H

#include <stdbool.h>
#include <string.h>
#include "kernels/x86/a32.h"
#include "kernels/x86/mm.h"

enum { C_MAX = COLUMNS, R = MAT_ROWS / W /* vectors of rows */, KEEP = R == 1 };

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

AI int halves(int type)
{
    return type == TYPE_NVFP4 ? 2 : 1;
}

/* What a sum begins with: -offset times the activations that it meets. Tables of 6 columns share
 * AVX2's: there the halves are int16 pairs. -8 asum is there for all. */
AI vi start(const int type, const int half, const int32_t *a, int C, int c)
{
    const vi z = field(a, type == TYPE_NVFP4 ? A32_H0 + half : A32_S8, C, c);
    switch (type) {
    case TYPE_IQ4_NL:
    case TYPE_IQ4_XS:
        return i_sll32(z, 4);
    case TYPE_MXFP4:
        return i_sll32(z, 1);
    case TYPE_NVFP4: /* -32 times */
        return i_sra32(COLUMNS == 6 ? i_madd(z, i_ones16()) : z, 1);
    default:
        return i_sra32(z, 3);
    }
}

/* s[r][c] = the exact int32 sum of one block, or of one half of it. */
AI void sums(const int type, const int half, const bool panel, const int C, const void *b,
             const int32_t *a, vi s[R][C_MAX])
{
    const int n = 8 / halves(type);
#pragma GCC unroll 12
    for (int c = 0; c < C; c++)
#pragma GCC unroll 2
        for (int r = 0; r < R; r++)
            s[r][c] = start(type, half, a, C, c);
#pragma GCC unroll 8
    for (int i = 0; i < n; i++) {
        /* Where a whole block is unpacked on the way: both nibbles of one load. */
        const int g = panel || n == 4 ? half * n + i : (i >> 1) + 4 * (i & 1);
        vi w[R];
#pragma GCC unroll 2
        for (int r = 0; r < R; r++)
            w[r] = panel ? i_ld(((const struct pan *)b)->q[g] + 4 * W * r) : i_step(type, b, r, g);
#pragma GCC unroll 12
        for (int c = 0; c < C; c++)
#pragma GCC unroll 2
            for (int r = 0; r < R; r++)
                s[r][c] = dot32(s[r][c], w[r], field(a, A32_CODES + g, C, c));
    }
}

/* d of a block (sub-scale: IQ4_XS), from its first bytes or those of its unit. */
AI vf scale(const int type, const uint8_t *head, const uint8_t *b, int r)
{
    switch (type) {
    case TYPE_MXFP4:
        return v_e8m0(b, r);
    case TYPE_NVFP4:
        return v_e4m3(b, r);
    case TYPE_IQ4_XS:
        return i_f32(i_from8(i_bytes(b + r * W)));
    default:
        return v_ld_f16(head + 2 * r * W);
    }
}

AI void tile(const int type, const int C, const struct pan *b, const float (*d)[16], int nb,
             const int32_t *a, float (*acc)[16], float (*part)[16])
{
    const bool super = type == TYPE_IQ4_XS;
    float (*to)[16] = super ? part : acc;
    vf f[R][C_MAX];

#pragma GCC unroll 12
    for (int c = 0; c < C; c++)
#pragma GCC unroll 2
        for (int r = 0; r < R; r++)
            f[r][c] = super ? v_zero() : v_ld(acc[c] + r * W);
    for (int i = 0; i < nb; i++, b++, a += A32_FIELDS * C) {
#pragma GCC unroll 2
        for (int half = 0; half < halves(type); half++) {
            vi s[R][C_MAX];
            sums(type, half, true, C, b, a, s);
#pragma GCC unroll 12
            for (int c = 0; c < C; c++) {
                const vf da = field_f(a, A32_D, C, c);
#pragma GCC unroll 2
                for (int r = 0; r < R; r++) {
                    const vf sc = floats(half ? b->s1 : b->s0, r), x = i_f32(s[r][c]);
                    vf v = KEEP ? f[r][c] : super && i % 8 == 0 ? v_zero() : v_ld(to[c] + r * W);
                    v = super ? v_fma(da, v_mul(sc, x), v) : v_fma(v_mul(sc, da), x, v);
                    if (KEEP)
                        f[r][c] = v;
                    else
                        v_st(to[c] + r * W, v);
                }
            }
        }
        if (!super || i % 8 != 7)
            continue;
#pragma GCC unroll 12
        for (int c = 0; c < C; c++)
#pragma GCC unroll 2
            for (int r = 0; r < R; r++) {
                float *o = acc[c] + r * W;
                v_st(o,
                     v_fma(floats(d[i / 8], r), KEEP ? f[r][c] : v_ld(part[c] + r * W), v_ld(o)));
                f[r][c] = v_zero();
            }
    }
    if (!KEEP || super)
        return;
#pragma GCC unroll 12
    for (int c = 0; c < C; c++)
        v_st(acc[c], f[0][c]);
}

/* nu units of `blocks` of `bytes` after a header of `header` bytes. */
AI void gemv_direct(const int type, const int C, const int blocks, const size_t header,
                    const size_t bytes, const uint8_t *b, int nu, const int32_t *a,
                    float (*out)[16])
{
    const bool super = type == TYPE_IQ4_XS;
    vf f[R][C_MAX], part[R][C_MAX];
#pragma GCC unroll 12
    for (int c = 0; c < C; c++)
#pragma GCC unroll 2
        for (int r = 0; r < R; r++)
            f[r][c] = v_zero();
    for (int u = 0; u < nu; u++) {
        const uint8_t *head = b;
#pragma GCC unroll 12
        for (int c = 0; c < C; c++)
#pragma GCC unroll 2
            for (int r = 0; r < R; r++)
                part[r][c] = v_zero();
        b += header;
        for (int j = 0; j < blocks; j++, b += bytes, a += A32_FIELDS * C) {
            for (size_t o = 0; o < bytes; o += 64)
                _mm_prefetch((const char *)b + 2048 + o, _MM_HINT_T0);
#pragma GCC unroll 2
            for (int half = 0; half < halves(type); half++) {
                vi s[R][C_MAX];
                sums(type, half, false, C, b, a, s);
#pragma GCC unroll 2
                for (int r = 0; r < R; r++) {
                    const vf d = scale(type, head, b + 16 * half, r);
#pragma GCC unroll 12
                    for (int c = 0; c < C; c++) {
                        const vf da = field_f(a, A32_D, C, c), x = i_f32(s[r][c]);
                        if (super)
                            part[r][c] = v_fma(da, v_mul(d, x), part[r][c]);
                        else
                            f[r][c] = v_fma(v_mul(d, da), x, f[r][c]);
                    }
                }
            }
        }
#pragma GCC unroll 12
        for (int c = 0; super && c < C; c++)
#pragma GCC unroll 2
            for (int r = 0; r < R; r++)
                f[r][c] = v_fma(v_ld_f16(head + 2 * r * W), part[r][c], f[r][c]);
    }
#pragma GCC unroll 12
    for (int c = 0; c < C; c++)
#pragma GCC unroll 2
        for (int r = 0; r < R; r++)
            v_st(out[c] + r * W, f[r][c]);
}

/* The five digits of each vector, by the places of struct pk_tq1_0. */
AI void unpack_digits(struct pan *o, const uint8_t *q)
{
    for (int m = 0; m < 13; m++)
        for (int r = 0; r < R; r++) {
            vi x = i_ld(q + 64 * m + 4 * W * r);
            for (int k = 0; k < 5; k++) {
                int block = k, g = m;
                if (m >= 8)
                    block = 5 + k / 2, g = 4 * (k % 2) + m - 8;
                if (m == 12)
                    block = 7, g = 4 + k;
                if (g < 8) /* the fifth of the last vector is nothing */
                    i_st(o[block].q[g] + 4 * W * r, digit(x));
                x = i_add8(x, i_add8(x, x));
            }
        }
}

/* n blocks of whole units: `blocks` of `bytes` after a header of `header` bytes. */
AI void unpack(const int type, const int blocks, const size_t header, const size_t bytes,
               struct pan *o, float (*d)[16], const uint8_t *b, int n)
{
    for (int i = 0; i < n; i += blocks, o += blocks) {
        const uint8_t *head = b;
        b += header;
        if (type == TYPE_TQ1_0)
            unpack_digits(o, b);
        for (int j = 0; j < blocks; j++, b += bytes)
#pragma GCC unroll 2
            for (int r = 0; r < R; r++) {
#pragma GCC unroll 8
                for (int g = 0; g < 8 && type != TYPE_TQ1_0; g++)
                    i_st(o[j].q[g] + 4 * W * r, i_step(type, b, r, g));
                v_st((float *)(void *)o[j].s0 + r * W, scale(type, head, b, r));
                if (type == TYPE_NVFP4)
                    v_st((float *)(void *)o[j].s1 + r * W, scale(type, head, b + 16, r));
            }
        for (int r = 0; type == TYPE_IQ4_XS && r < R; r++)
            v_st(d[i / 8] + r * W, v_ld_f16(head + 2 * r * W));
    }
}

AI void gemv_unpacked(const int type, const int C, const int blocks, const size_t header,
                      const size_t bytes, const uint8_t *b, int nu, const int32_t *a,
                      float (*acc)[16])
{
    _Alignas(64) struct pan p[8];
    const size_t unit = header + (size_t)blocks * bytes;

    memset(acc, 0, (size_t)C * sizeof acc[0]);
    for (int left = nu * blocks; left > 0; left -= 8) {
        const int n = left < 8 ? left : 8;
        for (size_t o = 0; o < 8 / (size_t)blocks * unit; o += 64)
            _mm_prefetch((const char *)b + 2048 + o, _MM_HINT_T0);
        unpack(type, blocks, header, bytes, p, NULL, b, n);
        tile(type, C, p, NULL, n, a, acc, NULL);
        b += (size_t)(n / blocks) * unit;
        a += (size_t)n * A32_FIELDS * C;
    }
}

#define TILE(T, C)                                                                                 \
    static void tile_##T##_##C(const struct panel *p, int nb, const int32_t *a, float (*acc)[16],  \
                               float (*s)[16])                                                     \
    {                                                                                              \
        tile(TYPE_##T, C, p->b, p->d, nb, a, acc, s);                                              \
    }
#define GEMV(T, C, HOW, N, HEADER, BYTES)                                                          \
    static void gemv_##T##_##C(const uint8_t *b, int nu, const int32_t *a, float (*acc)[16])       \
    {                                                                                              \
        gemv_##HOW(TYPE_##T, C, N, HEADER, BYTES, b, nu, a, acc);                                  \
    }
#if COLUMNS == 12
#define WIDE(T, HOW, N, HEADER, BYTES)                                                             \
    TILE(T, 8)                                                                                     \
    TILE(T, 10)                                                                                    \
    TILE(T, 12)                                                                                    \
    GEMV(T, 8, HOW, N, HEADER, BYTES)                                                              \
    GEMV(T, 10, HOW, N, HEADER, BYTES)                                                             \
    GEMV(T, 12, HOW, N, HEADER, BYTES)
#define WIDE_TILES(T) , tile_##T##_8, tile_##T##_10, tile_##T##_12
#define WIDE_GEMVS(T) , NULL, gemv_##T##_8, NULL, gemv_##T##_10, NULL, gemv_##T##_12
#else
#define WIDE(T, HOW, N, HEADER, BYTES)
#define WIDE_TILES(T)
#define WIDE_GEMVS(T)
#endif
#define KERNELS(T, HOW, N, HEADER, BYTES)                                                          \
    static void unpack_##T(struct panel *p, const uint8_t *b, int nu)                              \
    {                                                                                              \
        unpack(TYPE_##T, N, HEADER, BYTES, p->b, p->d, b, nu * (N));                               \
    }                                                                                              \
    TILE(T, 2)                                                                                     \
    TILE(T, 4)                                                                                     \
    TILE(T, 6)                                                                                     \
    GEMV(T, 1, HOW, N, HEADER, BYTES)                                                              \
    GEMV(T, 2, HOW, N, HEADER, BYTES)                                                              \
    GEMV(T, 3, HOW, N, HEADER, BYTES)                                                              \
    GEMV(T, 4, HOW, N, HEADER, BYTES)                                                              \
    GEMV(T, 6, HOW, N, HEADER, BYTES)                                                              \
    WIDE(T, HOW, N, HEADER, BYTES)                                                                 \
    static const struct mm_type mm_##T = {                                                         \
        N,                                                                                         \
        (HEADER) + (N) * (BYTES),                                                                  \
        NULL,                                                                                      \
        unpack_##T,                                                                                \
        {NULL, tile_##T##_2, tile_##T##_4, tile_##T##_6 WIDE_TILES(T)},                            \
        {NULL, gemv_##T##_1, gemv_##T##_2, gemv_##T##_3, gemv_##T##_4, NULL,                       \
         gemv_##T##_6 WIDE_GEMVS(T)},                                                              \
    };                                                                                             \
    static void mul_mat_##T(const struct mat *w, const struct acts *a, float *y, size_t ldy,       \
                            bool add, int32_t g0, int32_t g1, void *scratch)                       \
    {                                                                                              \
        x86_mm(&mm_##T, C_MAX, w, a, y, ldy, add, g0, g1, scratch);                                \
    }

KERNELS(IQ4_NL, direct, 1, 0, sizeof(struct pk_iq4_nl))
KERNELS(IQ4_XS, direct, 8, offsetof(struct pk_iq4_xs, b), sizeof(struct pk_iq4_xsb))
KERNELS(MXFP4, direct, 1, 0, sizeof(struct pk_mxfp4))
KERNELS(NVFP4, direct, 2, 0, sizeof(struct pk_nvfp4b))
KERNELS(Q1_0, direct, 4, 32, 64)
KERNELS(Q2_0, direct, 2, 32, 128)
KERNELS(TQ1_0, unpacked, 8, 32, 104) /* 13 vectors of 8 blocks */
KERNELS(TQ2_0, direct, 8, 32, 128)

static void set_codes(struct kernels *k)
{
    k->mul_mat[TYPE_IQ4_NL] = mul_mat_IQ4_NL;
    k->mul_mat[TYPE_IQ4_XS] = mul_mat_IQ4_XS;
    k->mul_mat[TYPE_MXFP4] = mul_mat_MXFP4;
    k->mul_mat[TYPE_NVFP4] = mul_mat_NVFP4;
    k->mul_mat[TYPE_Q1_0] = mul_mat_Q1_0;
    k->mul_mat[TYPE_Q2_0] = mul_mat_Q2_0;
    k->mul_mat[TYPE_TQ1_0] = mul_mat_TQ1_0;
    k->mul_mat[TYPE_TQ2_0] = mul_mat_TQ2_0;
}

#endif
