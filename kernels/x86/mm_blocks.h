/* kernels/x86/mm_blocks.h - types with one scale a block or half (Q4_0 to Q8_0, IQ4_NL, MXFP4,
 * NVFP4, Q1_0 to TQ2_0) times A32 columns, for any vector width.
 *
 * Contract: kernels/ref/matmul.c. Per block: an exact integer sum, acc = fma(d_w * d_a, isum,
 * acc), with mins acc = fma(m_w, d_a * asum, acc). Codes are unsigned; with VNNI the zero point is
 * in the start value. Without, sums of a block fit int16: codes to 15 give 30480; codes to 31 start
 * at -16 * pair sums, so the final value is at most 32512 (MXFP4: 24384) and wrapping on the way is
 * harmless; other zero points are added after the one widening. Q8_0, IQ4_NL there: |w| times the
 * activation with w's sign (it is never -128), widened at each step. AVX2's tiles of these two
 * multiply int16 codes (wide_avx2.h); in zmm that is no less work than the signs. */
#ifndef CHASKI_KERNELS_X86_MM_BLOCKS_H
#define CHASKI_KERNELS_X86_MM_BLOCKS_H

#include "kernels/x86/mm_types.h"

#define ONE(X, T, P) X(T, direct, 1, 0, sizeof(struct pk_##P))
#define BLOCK_TYPES(X)                                                                             \
    ONE(X, Q4_0, q4_0)                                                                             \
    ONE(X, Q4_1, q4_1)                                                                             \
    ONE(X, Q5_0, q5_0)                                                                             \
    ONE(X, Q5_1, q5_1)                                                                             \
    ONE(X, Q8_0, q8_0)                                                                             \
    ONE(X, IQ4_NL, iq4_nl)                                                                         \
    ONE(X, MXFP4, mxfp4)
#define FEW_TYPES(X)                                                                               \
    X(NVFP4, direct, 2, 0, sizeof(struct pk_nvfp4b))                                               \
    X(Q1_0, direct, 4, 32, 64)                                                                     \
    X(Q2_0, direct, 2, 32, 128)                                                                    \
    X(TQ1_0, panel, 8, 32, 104) /* 13 vectors of 8 blocks */                                       \
    X(TQ2_0, direct, 8, 32, 128)

AI bool by_sign(int type)
{
    return !VNNI && (type == TYPE_Q8_0 || type == TYPE_IQ4_NL);
}

/* d of a block or half, from its first bytes or those of its unit. */
AI vf scale(int type, const uint8_t *head, const uint8_t *b, int half, int r)
{
    return type == TYPE_MXFP4   ? v_e8m0(b, r)
           : type == TYPE_NVFP4 ? v_e4m3(b + 16 * half, r)
                                : v_ld_f16(head + 2 * W * r);
}

AI vi codes(int type, bool panel, const void *b, int r, int g)
{
    if (panel)
        return i_ld(((const struct pan *)b)->q[g] + 4 * W * r);
    const vi v = i_step(type, b, r, g);
    return by_sign(type) ? i_flip8(v) : v;
}

/* Without VNNI: is the zero point in the start of the int16 chain? */
AI bool in_start(int type)
{
    return zero_point(type) == 16 || type == TYPE_Q5_1;
}

/* s[r][c] = the exact int32 sum of a block or a half. */
AI void sums(int type, int half, bool panel, const int C, const void *b, const int32_t *a,
             vi s[R][C_MAX])
{
    const int n = 8 / halves(type), zero = zero_point(type);
    const bool empty = VNNI ? !zero : !in_start(type);

#pragma GCC unroll 12
    for (int c = 0; c < C; c++) {
        vi z = i_set(0);
        if (!empty)
            z = VNNI ? start32(zero, n == 8, half, a, C, c) : start16(16, n == 8, half, a, C, c);
#pragma GCC unroll 2
        for (int r = 0; r < R; r++)
            s[r][c] = z;
    }
#pragma GCC unroll 8
    for (int i = 0; i < n; i++) {
        /* Where a whole block is unpacked on the way: both nibbles of one load. */
        const int g = panel || n == 4 ? half * n + i : (i >> 1) + 4 * (i & 1);
        vi w[R];
#pragma GCC unroll 2
        for (int r = 0; r < R; r++)
            w[r] = codes(type, panel, b, r, g);
#pragma GCC unroll 12
        for (int c = 0; c < C; c++) {
            const vi x = field(a, A32_CODES + g, C, c);
#pragma GCC unroll 2
            for (int r = 0; r < R; r++) {
                if (VNNI) {
                    s[r][c] = dot32(s[r][c], w[r], a + (A32_CODES + g) * C + c);
                    continue;
                }
                vi p;
                if (by_sign(type))
                    p = i_madd(i_maddubs(i_abs8(w[r]), i_sign8(x, w[r])), i_ones16());
                else
                    p = i_maddubs(w[r], x);
                s[r][c] = i_pin(i == 0 && empty ? p
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
            if (type == TYPE_Q5_1)
                s[r][c] = i_add32(s[r][c], field(a, A32_P16, C, c));
            else if (empty && zero)
                s[r][c] = i_add32(s[r][c], start32(zero, true, 0, a, C, c));
        }
}

AI void tile(int type, const int C, const struct panel *p, int nb, const int32_t *a,
             float (*acc)[16], float (*s)[16])
{
    vf f[R][C_MAX];

#ifdef IS_WIDE
    if (IS_WIDE(type)) {
        tile_wide(C, false, p, nb, a, acc, s);
        return;
    }
#endif
    (void)s;
#pragma GCC unroll 12
    for (int c = 0; KEEP && c < C; c++)
        f[0][c] = v_ld(acc[c]);
    for (int i = 0; i < nb; i++, a += A32_FIELDS * C) {
        const struct pan *b = &p->b[i];
        if (!KEEP) /* GCC would hold sums on the stack as well, and store each twice */
            __asm__("" : "+r"(acc));
#pragma GCC unroll 2
        for (int half = 0; half < halves(type); half++) {
            vi sum[R][C_MAX];
            sums(type, half, true, C, b, a, sum);
#pragma GCC unroll 12
            for (int c = 0; c < C; c++) {
                const vf da = field_f(a, A32_D, C, c);
                vf v[R], ds = da;
                if (has_min(type))
                    ds = field_f(a, A32_DSUM, C, c);
                if (R > 1 && has_min(type)) /* GCC would broadcast it for each r */
                    ds = bits_f(i_pin(f_bits(ds)));
#pragma GCC unroll 2
                for (int r = 0; r < R; r++) {
                    v[r] = KEEP ? f[r][c] : v_ld(acc[c] + r * W);
                    v[r] =
                        v_fma(v_mul(floats(half ? b->s1 : b->s0, r), da), i_f32(sum[r][c]), v[r]);
                }
#pragma GCC unroll 2
                for (int r = 0; r < R; r++) {
                    if (has_min(type))
                        v[r] = v_fma(floats(b->s1, r), ds, v[r]);
                    if (KEEP)
                        f[r][c] = v[r];
                    else
                        v_st(acc[c] + r * W, v[r]);
                }
            }
        }
    }
#pragma GCC unroll 12
    for (int c = 0; KEEP && c < C; c++)
        v_st(acc[c], f[0][c]);
}

/* GEMV leaves fetching to the CPU (mm.h), but for these of AVX-512 VNNI, small blocks after a
 * header: a page ahead on Zen 4, 4 to 9 % less time out of cache, 0 to 4 % out of memory. */
AI bool far_ahead(int type)
{
    return VNNI && KEEP && (type == TYPE_Q1_0 || type == TYPE_Q2_0 || type == TYPE_TQ2_0);
}

/* nu units of n blocks of `bytes` after `header` bytes. */
AI void gemv(int type, const int C, const int n, size_t header, size_t bytes, const uint8_t *b,
             int nu, const int32_t *a, float (*out)[16])
{
    vf f[R][C_MAX];
#pragma GCC unroll 12
    for (int c = 0; c < C; c++)
#pragma GCC unroll 2
        for (int r = 0; r < R; r++)
            f[r][c] = v_zero();
    for (int u = 0; u < nu; u++) {
        const uint8_t *head = b;
        b += header;
        for (int j = 0; j < n; j++, b += bytes, a += A32_FIELDS * C) {
            for (size_t o = 0; far_ahead(type) && o < bytes; o += 64)
                __builtin_prefetch(b + 4096 + o);
#pragma GCC unroll 2
            for (int half = 0; half < halves(type); half++) {
                vi s[R][C_MAX];
                sums(type, half, false, C, b, a, s);
                vf d[R];
#pragma GCC unroll 2
                for (int r = 0; r < R; r++)
                    d[r] = scale(type, head, b, half, r);
#pragma GCC unroll 12
                for (int c = 0; c < C; c++) {
                    const vf da = field_f(a, A32_D, C, c);
#pragma GCC unroll 2
                    for (int r = 0; r < R; r++) {
                        f[r][c] = v_fma(v_mul(d[r], da), i_f32(s[r][c]), f[r][c]);
                        if (has_min(type))
                            f[r][c] = v_fma(v_ld_f16(b + 32 + 2 * W * r),
                                            field_f(a, A32_DSUM, C, c), f[r][c]);
                    }
                }
            }
        }
    }
#pragma GCC unroll 12
    for (int c = 0; c < C; c++)
#pragma GCC unroll 2
        for (int r = 0; r < R; r++)
            v_st(out[c] + r * W, f[r][c]);
}

#ifndef DIGITS /* another way to find them (mm_digits_avx512vbmi.c) */
#define DIGITS count_digits
AI void count_digits(vi x, vi d[5])
{
#pragma GCC unroll 5
    for (int k = 0; k < 5; k++) {
        d[k] = digit(x);
        x = i_add8(x, i_add8(x, x));
    }
}
#endif

/* TQ1_0: the five digits of each vector, by the places of struct pk_tq1_0. */
AI void unpack_digits(struct pan *o, const uint8_t *q)
{
    for (int m = 0; m < 13; m++)
        for (int r = 0; r < R; r++) {
            vi d[5];
            DIGITS(i_ld(q + 64 * m + 4 * W * r), d);
#pragma GCC unroll 5
            for (int k = 0; k < 5; k++) {
                int block = k, g = m;
                if (m >= 8)
                    block = 5 + k / 2, g = 4 * (k % 2) + m - 8;
                if (m == 12)
                    block = 7, g = 4 + k;
                if (g < 8) /* the fifth of the last vector is nothing */
                    i_st(o[block].q[g] + 4 * W * r, d[k]);
            }
        }
}

AI void unpack(int type, const int n, size_t header, size_t bytes, struct panel *p,
               const uint8_t *b, int nu)
{
#ifdef IS_WIDE
    if (IS_WIDE(type)) {
        unpack_wide(type, n, header, bytes, p, b, nu);
        return;
    }
#endif
    struct pan *o = p->b;
    for (int u = 0; u < nu; u++) {
        const uint8_t *head = b;
        b += header;
        if (type == TYPE_TQ1_0)
            unpack_digits(o, b);
        for (int j = 0; j < n; j++, o++, b += bytes)
#pragma GCC unroll 2
            for (int r = 0; r < R; r++) {
#pragma GCC unroll 8
                for (int g = 0; g < 8 && type != TYPE_TQ1_0; g++)
                    i_st(o->q[g] + 4 * W * r, codes(type, false, b, r, g));
                v_st((float *)(void *)o->s0 + r * W, scale(type, head, b, 0, r));
                if (has_min(type))
                    v_st((float *)(void *)o->s1 + r * W, v_ld_f16(b + 32 + 2 * W * r));
                else if (halves(type) == 2)
                    v_st((float *)(void *)o->s1 + r * W, scale(type, head, b, 1, r));
            }
    }
}

#endif
