/* kernels/x86/mm_supers.h - Q2_K to Q6_K, IQ4_XS and the types with code books (IQ1_*, IQ2_*,
 * IQ3_*) times A32 columns, for any vector width.
 *
 * Contract: kernels/ref/matmul.c. Per block of 32 an exact integer below 2^24 that holds the
 * sub-scales already; s = fma(d_a, isum, s) over the 8 blocks of a super-block, t the same with the
 * minima (a pass of its own in tiles), then acc = fma(d, s, acc), acc = fma(-dmin, t, acc).
 *
 * VNNI: sums to f32, sub-scales as f32: products and their sum stay below 2^24, so they are exact
 * and equal to integer scaling. Types with scales by halves take 6 columns at a time, or 32
 * registers would not hold both sums.
 *
 * Without, the sub-scale rides in the one widening of an int16 chain (vpmaddwd with the row's scale
 * twice in the lane). Chains fit: a block of Q4_K 30480; IQ3_S, IQ1_S, that start at -16 * pair
 * sums, 16 * 15 * 127 = 30480; a half: 8 pairs of 31 x 127 = 31496 (Q5_K), or centred by the start
 * value (Q6_K: 8 x 2 x 32 x 127 = 32512; Q3_K, IQ1_M less); wrapping on the way is harmless. No
 * chain holds IQ2_*, IQ3_XXS (codes to 126, a pair 2 * 126 * 127 = 32004; -64 * sums come as
 * 2 * scale times the start values of halves) and IQ4_XS (|w| times the activation with w's sign):
 * each product is widened with its scale.
 *
 * Books are looked up once (books.h) into a panel of unsigned codes: from there these types are
 * K-quants without minima, scales 2n + 1 and d * 2^-e. */
#ifndef CHASKI_KERNELS_X86_MM_SUPERS_H
#define CHASKI_KERNELS_X86_MM_SUPERS_H

#include "kernels/x86/books.h"
#include "kernels/x86/mm_types.h"

#define SUPER(X, T, HOW, P) X(T, HOW, 8, offsetof(struct pk_##P, b), sizeof(struct pk_##P##b))
#define SUPER_TYPES(X)                                                                             \
    SUPER(X, Q2_K, direct, q2_K)                                                                   \
    SUPER(X, Q3_K, direct, q3_K)                                                                   \
    SUPER(X, Q4_K, direct, q4_K)                                                                   \
    SUPER(X, Q5_K, direct, q5_K)                                                                   \
    SUPER(X, Q6_K, direct, q6_K)                                                                   \
    SUPER(X, IQ4_XS, direct, iq4_xs)
#ifndef BOOK_CODES /* another way of looking them up (books_vbmi.h) */
#define BOOK_CODES book_codes
#endif
#define BOOK_TYPES(X)                                                                              \
    SUPER(X, IQ2_XXS, panel, iq2_xxs)                                                              \
    SUPER(X, IQ2_XS, panel, iq2_xs)                                                                \
    SUPER(X, IQ2_S, panel, iq2_s)                                                                  \
    SUPER(X, IQ3_XXS, panel, iq3_xxs)                                                              \
    SUPER(X, IQ3_S, panel, iq3_s)                                                                  \
    SUPER(X, IQ1_S, panel, iq1_s)                                                                  \
    SUPER(X, IQ1_M, panel, iq1_m)

AI bool by_sign(int type)
{
    return !VNNI && type == TYPE_IQ4_XS;
}

AI bool by_step(int type) /* products are widened one by one */
{
    return by_sign(type) || (!VNNI && zero_point(type) == 64);
}

/* Chains of sums in a block: as many as it has scales, or as int16 would overflow. */
AI int chains(int type)
{
    return !VNNI && (type == TYPE_Q5_K || zero_point(type) == 64) ? 2 : halves(type);
}

AI vi codes(int type, bool panel, const void *b, int r, int g)
{
    if (panel)
        return i_ld(((const struct pan *)b)->q[g] + 4 * W * r);
    const vi v = i_step(type, b, r, g);
    return by_sign(type) ? i_flip8(v) : v;
}

/* Sub-scales as the sums want them: f32, or int16 twice in the lane. */
AI vi as_scales(__m128i bytes)
{
    return VNNI ? f_bits(i_f32(i_from8(bytes))) : i_pairs16(bytes);
}

AI vi scales(int type, bool panel, const void *b, int half, int r)
{
    half = halves(type) == 2 ? half : 0;
    if (panel)
        return i_ld((half ? ((const struct pan *)b)->s1 : ((const struct pan *)b)->s0) + W * r);
    return as_scales(scale_bytes(type, b, half, r));
}

/* What a chain begins with. */
AI vi start(int type, bool panel, const void *b, int half, int r, const int32_t *a, int C, int c)
{
    const int zero = zero_point(type), whole = chains(type) == 1;
    if (VNNI)
        return start32(zero, whole, half, a, C, c);
    if (by_sign(type))
        return i_set(0);
    if (!by_step(type))
        return start16(zero, whole, half, a, C, c);
    const vi sc = scales(type, panel, b, half, r);
    return i_madd(start16(32, false, half, a, C, c), i_add16(sc, sc));
}

/* f[r][c] = the integer of one block, sub-scales times exact sums, as f32; columns c0..c0+n-1. */
AI void sums(int type, bool panel, const int C, const int c0, const int n, const void *b,
             const int32_t *a, vf f[R][C_MAX])
{
    const bool empty = !zero_point(type);
    const int steps = 8 / chains(type);
    vi sum[R][C_MAX];

#pragma GCC unroll 2
    for (int half = 0; half < chains(type); half++) {
        vi v[R][C_MAX];
#pragma GCC unroll 12
        for (int c = 0; c < n; c++)
#pragma GCC unroll 2
            for (int r = 0; r < R; r++) {
                v[r][c] = empty ? i_set(0) : start(type, panel, b, half, r, a, C, c0 + c);
                if (by_step(type) && half) /* one chain: there are no registers for two */
                    v[r][c] = i_add32(v[r][c], sum[r][c]);
            }
#pragma GCC unroll 8
        for (int i = 0; i < steps; i++) {
            /* Where a whole block is unpacked on the way: both nibbles of one load. */
            const int g = panel || steps == 4 ? 4 * half + i : (i >> 1) + 4 * (i & 1);
            vi w[R], sc[R];
#pragma GCC unroll 2
            for (int r = 0; r < R; r++) {
                w[r] = codes(type, panel, b, r, g);
                if (by_step(type)) /* GCC would load it for each column again */
                    w[r] = i_pin(w[r]);
                sc[r] = by_step(type) ? scales(type, panel, b, half, r) : w[r];
            }
#pragma GCC unroll 12
            for (int c = 0; c < n; c++) {
                const vi x = field(a, A32_CODES + g, C, c0 + c);
                if (VNNI) {
#pragma GCC unroll 2
                    for (int r = 0; r < R; r++)
                        v[r][c] = dot32(v[r][c], w[r], a + (A32_CODES + g) * C + c0 + c);
                    continue;
                }
                vi p[R];
#pragma GCC unroll 2
                for (int r = 0; r < R; r++)
                    p[r] = by_sign(type) ? i_maddubs(i_abs8(w[r]), i_sign8(x, w[r]))
                                         : i_maddubs(w[r], x);
#pragma GCC unroll 2
                for (int r = 0; r < R; r++)
                    p[r] = by_step(type) ? i_madd(p[r], sc[r]) : p[r];
#pragma GCC unroll 2
                for (int r = 0; r < R; r++)
                    v[r][c] = i_pin(i == 0 && empty ? p[r]
                                    : by_step(type) ? i_add32(v[r][c], p[r])
                                                    : i_add16(v[r][c], p[r]));
            }
        }
#pragma GCC unroll 2
        for (int r = 0; r < R; r++) {
            const vi sc = scales(type, panel, b, half, r);
#pragma GCC unroll 12
            for (int c = 0; c < n; c++) {
                if (VNNI) {
                    const vf x = i_f32(v[r][c]), s = bits_f(sc);
                    f[r][c] = half ? v_fma(x, s, f[r][c]) : v_mul(x, s);
                    continue;
                }
                const vi x = by_step(type) ? v[r][c] : i_madd(v[r][c], sc);
                sum[r][c] = half && !by_step(type) ? i_add32(sum[r][c], x) : x;
                if (half + 1 == chains(type))
                    f[r][c] = i_f32(sum[r][c]);
            }
        }
    }
}

AI vf minus_32nd(vi h) /* h / -32 of exact multiples */
{
    return v_sub(v_zero(), i_f32(i_sra32(PAIRS ? i_madd(h, i_ones16()) : h, 5)));
}

/* What a minimum multiplies: d_a * asum (Q2_K: of the half; H0, H1 hold -32 times it). */
AI vf min_factor(int type, const int32_t *a, int half, int C, int c)
{
    if (type != TYPE_Q2_K)
        return field_f(a, A32_DSUM, C, c);
    vf sum;
    if (KEEP) { /* beside work on zmm scalars are free */
        const int32_t h = a[(A32_H0 + half) * C + c];
        sum = v_set((float)-((PAIRS ? (int16_t)h + (h >> 16) : h) >> 5));
    } else {
        sum = minus_32nd(field(a, A32_H0 + half, C, c));
    }
    return v_mul(field_f(a, A32_D, C, c), sum);
}

/* The same of all columns at once, one a lane. */
AI void min_factors(const int32_t *a, int half, int C, float x[16])
{
    const int32_t *h = a + (A32_H0 + half) * C;
    v_st(x, v_mul(v_ld_n((const float *)(const void *)(a + A32_D * C), C),
                  minus_32nd(f_bits(v_ld_n((const float *)(const void *)h, C)))));
}

/* t[r][c] += the minima of a block. */
AI void add_minima(int type, const int C, const vf mn[2][R], const int32_t *a, vf t[R][C_MAX])
{
#pragma GCC unroll 2
    for (int half = 0; half < halves(type); half++) {
        _Alignas(64) float all[16];
        const bool at_once = type == TYPE_Q2_K && W == 16 && C >= 4;
        if (at_once) {
            min_factors(a, half, C, all);
            __asm__("" : "+m"(all)); /* GCC would permute registers, with masks that spill */
        }
#pragma GCC unroll 12
        for (int c = 0; c < C; c++) {
            const vf x = at_once ? v_bcast(all + c) : min_factor(type, a, half, C, c);
#pragma GCC unroll 2
            for (int r = 0; r < R; r++)
                t[r][c] = v_fma(mn[half][r], x, t[r][c]);
        }
    }
}

AI void zeros(const int C, vf s[R][C_MAX])
{
#pragma GCC unroll 12
    for (int c = 0; c < C; c++)
#pragma GCC unroll 2
        for (int r = 0; r < R; r++)
            s[r][c] = v_zero();
}

AI void tile(int type, const int C, const struct panel *p, int nb, const int32_t *a,
             float (*acc)[16], float (*park)[16])
{
    const int part = chains(type) == 2 && C > 6 ? C / 2 : C;

#ifdef IS_WIDE
    if (IS_WIDE(type)) {
        tile_wide(C, true, p, nb, a, acc, park);
        return;
    }
#endif
    for (int u = 0; u < nb / 8; u++, a += 8 * A32_FIELDS * C) {
        vf s[R][C_MAX], t[R][C_MAX];
        zeros(C, s);
        if (KEEP) /* GCC would hold them in registers during the 8 blocks */
            __asm__("" : "+r"(acc));
        for (int j = 0; j < 8; j++) {
            const int32_t *aj = a + j * A32_FIELDS * C;
#pragma GCC unroll 2
            for (int c0 = 0; c0 < C; c0 += part) {
                vf f[R][C_MAX];
                sums(type, true, C, c0, part, &p->b[8 * u + j], aj, f);
#pragma GCC unroll 12
                for (int c = 0; c < part; c++) {
                    const vf da = field_f(aj, A32_D, C, c0 + c);
#pragma GCC unroll 2
                    for (int r = 0; r < R; r++) {
                        float *m = park[c0 + c] + r * W;
                        const vf old = KEEP ? s[r][c0 + c] : j ? v_ld(m) : v_zero();
                        const vf v = v_fma(da, f[r][c], old);
                        if (KEEP)
                            s[r][c0 + c] = v;
                        else
                            v_st(m, v);
                    }
                }
            }
        }
        if (has_min(type)) {
            zeros(C, t);
            for (int j = 0; j < 8; j++) {
                vf mn[2][R];
#pragma GCC unroll 4
                for (int i = 0; i < 2 * R; i++)
                    mn[i / R][i % R] = v_ld(p->mn[8 * u + j][i / R] + i % R * W);
                add_minima(type, C, mn, a + j * A32_FIELDS * C, t);
            }
        }
#pragma GCC unroll 2
        for (int r = 0; r < R; r++) {
            const vf d = v_ld(p->d[u] + r * W);
#pragma GCC unroll 12
            for (int c = 0; c < C; c++) {
                float *o = acc[c] + r * W;
                vf v = v_fma(d, KEEP ? s[r][c] : v_ld(park[c] + r * W), v_ld(o));
                if (has_min(type))
                    v = v_fnma(v_ld(p->dmin[u] + r * W), t[r][c], v);
                v_st(o, v);
            }
        }
    }
}

AI void gemv(int type, const int C, const int n, size_t header, size_t bytes, const uint8_t *b,
             int nu, const int32_t *a, float (*out)[16])
{
    vf acc[R][C_MAX];
    zeros(C, acc);
    for (int u = 0; u < nu; u++) {
        const uint8_t *head = b;
        vf s[R][C_MAX], t[R][C_MAX];
        zeros(C, s);
        zeros(C, t);
        b += header;
        for (int j = 0; j < n; j++, b += bytes, a += A32_FIELDS * C) {
            vf f[R][C_MAX];
            touch_in_order(type, b, bytes);
            sums(type, false, C, 0, C, b, a, f);
#pragma GCC unroll 12
            for (int c = 0; c < C; c++)
#pragma GCC unroll 2
                for (int r = 0; r < R; r++)
                    s[r][c] = v_fma(field_f(a, A32_D, C, c), f[r][c], s[r][c]);
            if (!has_min(type))
                continue;
            vf mn[2][R];
#pragma GCC unroll 4
            for (int i = 0; i < 2 * R; i++)
                if (i / R < halves(type))
                    mn[i / R][i % R] = mins(type, b, i / R, i % R);
            add_minima(type, C, mn, a, t);
        }
#pragma GCC unroll 12
        for (int c = 0; c < C; c++)
#pragma GCC unroll 2
            for (int r = 0; r < R; r++) {
                acc[r][c] = v_fma(v_ld_f16(head + 2 * W * r), s[r][c], acc[r][c]);
                if (has_min(type))
                    acc[r][c] = v_fnma(v_ld_f16(head + 32 + 2 * W * r), t[r][c], acc[r][c]);
            }
    }
#pragma GCC unroll 12
    for (int c = 0; c < C; c++)
#pragma GCC unroll 2
        for (int r = 0; r < R; r++)
            v_st(out[c] + r * W, acc[r][c]);
}

AI void unpack(int type, const int n, size_t header, size_t bytes, struct panel *p,
               const uint8_t *b, int nu)
{
    const bool book = zero_point(type) == 64 || (zero_point(type) == 16);
    const struct books *bk = book ? books() : NULL;

#ifdef IS_WIDE
    if (IS_WIDE(type)) {
        unpack_wide(type, n, header, bytes, p, b, nu);
        return;
    }
#endif
    for (int u = 0; u < nu; u++) {
        const uint8_t *head = b;
        b += header;
        for (int j = 0; j < n; j++, b += bytes) {
            struct pan *o = &p->b[8 * u + j];
            if (book)
                BOOK_CODES(type, bk, b, o->q);
#pragma GCC unroll 2
            for (int half = 0; half < halves(type); half++) {
                __m128i sc = book ? book_scales(type, head, b, j, half) : _mm_setzero_si128();
#pragma GCC unroll 2
                for (int r = 0; r < R; r++) {
                    if (!book)
                        sc = scale_bytes(type, b, half, r);
                    i_st((half ? o->s1 : o->s0) + W * r, as_scales(sc));
                    if (has_min(type))
                        v_st(p->mn[8 * u + j][half] + W * r, mins(type, b, half, r));
                    sc = _mm_unpackhi_epi64(sc, sc);
                }
            }
#pragma GCC unroll 2
            for (int r = 0; r < R; r++)
#pragma GCC unroll 8
                for (int g = 0; g < 8 && !book; g++)
                    i_st(o->q[g] + 4 * W * r, codes(type, false, b, r, g));
        }
#pragma GCC unroll 2
        for (int r = 0; r < R; r++) {
            const vf d = v_ld_f16(head + 2 * W * r);
            v_st(p->d[u] + W * r, book ? v_mul(d, v_set(book_unit((uint32_t)type))) : d);
            if (has_min(type))
                v_st(p->dmin[u] + W * r, v_ld_f16(head + 32 + 2 * W * r));
        }
    }
}

#endif
