/* kernels/x86/mm_supers.h - Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, without dot32 also IQ4_XS, times A32
 * columns, for any vector width.
 *
 * Contract: kernels/ref/matmul.c. Per block of 32 an exact integer below 2^24 that holds the
 * sub-scales already; s = fma(d_a, isum, s) over the 8 blocks of a super-block, t the same with the
 * minima (a pass of its own in tiles), then acc = fma(d, s, acc), acc = fma(-dmin, t, acc). The
 * file that includes it has a lanes_....h before and says how products are added (`VNNI`):
 *   false  vpmaddubsw into int16; the sub-scale rides in the one widening (vpmaddwd with the row's
 *          scale twice in the lane). Q4_K sums a block in one int16 chain (at most 30480); the
 *          others a half: 8 pairs of 31 x 127 = 31496 (Q5_K), or centred by the start value (Q6_K:
 *          8 x 2 x 32 x 127 = 32512 at the end; wrapping on the way is harmless).
 *   true   dot32(sum, codes, activations) into int32; sub-scales as f32: products and their sum
 *          stay below 2^24, so they are exact and equal to integer scaling. */
#ifndef CHASKI_KERNELS_X86_MM_SUPERS_H
#define CHASKI_KERNELS_X86_MM_SUPERS_H

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

/* Bytes with a sign, without dot32: |w| times the activation with w's sign, widened at each step.
 */
AI bool by_sign(int type)
{
    return !VNNI && type == TYPE_IQ4_XS;
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
    return type == TYPE_Q2_K || type == TYPE_Q4_K || type == TYPE_Q5_K;
}

AI int min_halves(int type)
{
    return type == TYPE_Q2_K ? 2 : 1;
}

AI bool one_scale(int type) /* for the whole block; else one for each half */
{
    return type == TYPE_Q4_K || type == TYPE_Q5_K || type == TYPE_IQ4_XS;
}

/* Chains of sums in a block: as many as it has scales, or as int16 would overflow. */
AI int chains(int type)
{
    return one_scale(type) && (VNNI || type != TYPE_Q5_K) ? 1 : 2;
}

/* Sub-scales of W rows as bytes. Every block begins with them: [2][16] bytes by half, or [16] of
 * the whole block. */
AI __m128i scale_bytes(const int type, const uint8_t *b, int half, int r)
{
    const __m128i v = i_bytes(b + (one_scale(type) ? 0 : 16 * half) + W * r);
    return type == TYPE_Q2_K ? _mm_and_si128(v, _mm_set1_epi8(15)) : v;
}

/* Sub-scales as the sums want them: f32, or int16 twice in the lane. */
AI vi scales(const int type, const uint8_t *b, int half, int r)
{
    const __m128i v = scale_bytes(type, b, half, r);
    return VNNI ? f_bits(i_f32(i_from8(v))) : i_pairs16(v);
}

AI vf mins(const int type, const uint8_t *b, int half, int r)
{
    __m128i v = i_bytes(b + (type == TYPE_Q2_K ? 16 * half : 16) + W * r);
    if (type == TYPE_Q2_K)
        v = _mm_and_si128(_mm_srli_epi16(v, 4), _mm_set1_epi8(15));
    return i_f32(i_from_u8(v));
}

/* What a minimum multiplies: d_a * asum (Q2_K: of the half; H0, H1 hold -32 times it). */
AI vf min_factor(const int type, const int32_t *a, int half, int C, int c)
{
    if (type != TYPE_Q2_K)
        return field_f(a, A32_DSUM, C, c);
    const int32_t h = a[(A32_H0 + half) * C + c], sum = (int16_t)h + (h >> 16);
    return v_mul(field_f(a, A32_D, C, c), v_set((float)(sum / -32)));
}

/* f[r][c] = the integer of one block, sub-scales times exact sums, as f32. */
AI void sums(const int type, const bool panel, const int C, const void *b, const int32_t *a,
             vf f[R][C_MAX])
{
    const bool zero = type != TYPE_Q6_K && type != TYPE_Q3_K;
    vi n[R][C_MAX];

#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        if (half == chains(type))
            break;
        vi v[R][C_MAX];
#pragma GCC unroll 6
        for (int c = 0; c < C; c++) {
            vi z = zero ? i_set(0) : field(a, A32_H0 + half, C, c);
            if (type == TYPE_Q3_K) /* 4, not 32 */
                z = i_sra16(z, 3);
            if (VNNI && !zero)
                z = i_madd(z, i_ones16());
#pragma GCC unroll 2
            for (int r = 0; r < R; r++)
                v[r][c] = z;
        }
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            if (i == 8 / chains(type))
                break;
            const int g = chains(type) == 1 ? (i >> 1) + 4 * (i & 1) : 4 * half + i;
            vi w[R], sc[R];
#pragma GCC unroll 2
            for (int r = 0; r < R; r++) {
                w[r] = codes(type, panel, b, r, g);
                if (by_sign(type))
                    sc[r] =
                        panel ? i_ld(((const struct pan *)b)->s0 + W * r) : scales(type, b, 0, r);
            }
#pragma GCC unroll 6
            for (int c = 0; c < C; c++) {
                const vi x = field(a, A32_CODES + g, C, c);
#pragma GCC unroll 2
                for (int r = 0; r < R; r++) {
                    if (VNNI) {
                        v[r][c] = dot32(v[r][c], w[r], x);
                        continue;
                    }
                    if (by_sign(type)) {
                        const vi p = i_maddubs(i_abs8(w[r]), i_sign8(x, w[r]));
                        v[r][c] = i_pin(i_add32(v[r][c], i_madd(p, sc[r])));
                        continue;
                    }
                    const vi p = i_maddubs(w[r], x);
                    v[r][c] = i_pin(i == 0 && zero ? p : i_add16(v[r][c], p));
                }
            }
        }
#pragma GCC unroll 2
        for (int r = 0; r < R; r++) {
            const struct pan *p = b;
            const vi sc = !panel ? scales(type, b, half, r)
                                 : i_ld((half && !one_scale(type) ? p->s1 : p->s0) + W * r);
#pragma GCC unroll 6
            for (int c = 0; c < C; c++) {
                if (VNNI) {
                    const vf x = i_f32(v[r][c]), s = bits_f(sc);
                    f[r][c] = half ? v_fma(x, s, f[r][c]) : v_mul(x, s);
                    continue;
                }
                const vi x = by_sign(type) ? v[r][c] : i_madd(v[r][c], sc);
                n[r][c] = half ? i_add32(n[r][c], x) : x;
                if (half + 1 == chains(type))
                    f[r][c] = i_f32(n[r][c]);
            }
        }
    }
}

/* t[r][c] = the minima of a super-block. */
AI void minima(const int type, const int C, const float (*mn)[2][16], const int32_t *a,
               vf t[R][C_MAX])
{
#pragma GCC unroll 6
    for (int c = 0; c < C; c++)
#pragma GCC unroll 2
        for (int r = 0; r < R; r++)
            t[r][c] = v_zero();
    for (int j = 0; j < 8; j++, a += A32_FIELDS * C)
        for (int half = 0; half < min_halves(type); half++)
#pragma GCC unroll 6
            for (int c = 0; c < C; c++) {
                const vf x = min_factor(type, a, half, C, c);
#pragma GCC unroll 2
                for (int r = 0; r < R; r++)
                    t[r][c] = v_fma(v_ld(mn[j][half] + r * W), x, t[r][c]);
            }
}

AI void tile(const int type, const int C, const struct panel *p, int nb, const int32_t *a,
             float (*acc)[16], float (*park)[16])
{
    for (int u = 0; u < nb / 8; u++, a += 8 * A32_FIELDS * C) {
        vf s[R][C_MAX], t[R][C_MAX];
#pragma GCC unroll 6
        for (int c = 0; c < C; c++)
#pragma GCC unroll 2
            for (int r = 0; r < R; r++)
                s[r][c] = v_zero();
        for (int j = 0; j < 8; j++) {
            const int32_t *aj = a + j * A32_FIELDS * C;
            vf f[R][C_MAX];
            sums(type, true, C, &p->b[8 * u + j], aj, f);
#pragma GCC unroll 6
            for (int c = 0; c < C; c++)
#pragma GCC unroll 2
                for (int r = 0; r < R; r++) {
                    float *m = park[c] + r * W;
                    const vf old = KEEP ? s[r][c] : j ? v_ld(m) : v_zero();
                    const vf v = v_fma(field_f(aj, A32_D, C, c), f[r][c], old);
                    if (KEEP)
                        s[r][c] = v;
                    else
                        v_st(m, v);
                }
        }
        if (has_min(type))
            minima(type, C, &p->mn[8 * u], a, t);
#pragma GCC unroll 2
        for (int r = 0; r < R; r++) {
            const vf d = v_ld(p->d[u] + r * W);
#pragma GCC unroll 6
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

AI void gemv(const int type, const int C, const size_t header, const size_t block, const uint8_t *b,
             int nu, const int32_t *a, float (*out)[16])
{
    vf acc[R][C_MAX];
#pragma GCC unroll 6
    for (int c = 0; c < C; c++)
#pragma GCC unroll 2
        for (int r = 0; r < R; r++)
            acc[r][c] = v_zero();
    for (int u = 0; u < nu; u++) {
        const uint8_t *head = b;
        vf s[R][C_MAX], t[R][C_MAX];
#pragma GCC unroll 6
        for (int c = 0; c < C; c++)
#pragma GCC unroll 2
            for (int r = 0; r < R; r++)
                s[r][c] = t[r][c] = v_zero();
        b += header;
        for (int j = 0; j < 8; j++, b += block, a += A32_FIELDS * C) {
            vf f[R][C_MAX];
            touch_in_order(type, b, block);
            sums(type, false, C, b, a, f);
#pragma GCC unroll 6
            for (int c = 0; c < C; c++)
#pragma GCC unroll 2
                for (int r = 0; r < R; r++)
                    s[r][c] = v_fma(field_f(a, A32_D, C, c), f[r][c], s[r][c]);
            for (int half = 0; has_min(type) && half < min_halves(type); half++)
#pragma GCC unroll 6
                for (int c = 0; c < C; c++) {
                    const vf x = min_factor(type, a, half, C, c);
#pragma GCC unroll 2
                    for (int r = 0; r < R; r++)
                        t[r][c] = v_fma(mins(type, b, half, r), x, t[r][c]);
                }
        }
#pragma GCC unroll 6
        for (int c = 0; c < C; c++)
#pragma GCC unroll 2
            for (int r = 0; r < R; r++) {
                acc[r][c] = v_fma(v_ld_f16(head + 2 * W * r), s[r][c], acc[r][c]);
                if (has_min(type))
                    acc[r][c] = v_fnma(v_ld_f16(head + 32 + 2 * W * r), t[r][c], acc[r][c]);
            }
    }
#pragma GCC unroll 6
    for (int c = 0; c < C; c++)
#pragma GCC unroll 2
        for (int r = 0; r < R; r++)
            v_st(out[c] + r * W, acc[r][c]);
}

AI void unpack(const int type, const size_t header, const size_t block, struct panel *p,
               const uint8_t *b, int nu)
{
    for (int u = 0; u < nu; u++) {
        const uint8_t *head = b;
        b += header;
        for (int j = 0; j < 8; j++, b += block) {
            struct pan *o = &p->b[8 * u + j];
#pragma GCC unroll 2
            for (int r = 0; r < R; r++) {
#pragma GCC unroll 8
                for (int g = 0; g < 8; g++)
                    i_st(o->q[g] + 4 * W * r, codes(type, false, b, r, g));
                i_st(o->s0 + W * r, scales(type, b, 0, r));
                if (!one_scale(type))
                    i_st(o->s1 + W * r, scales(type, b, 1, r));
                for (int half = 0; has_min(type) && half < min_halves(type); half++)
                    v_st(p->mn[8 * u + j][half] + W * r, mins(type, b, half, r));
            }
        }
#pragma GCC unroll 2
        for (int r = 0; r < R; r++) {
            v_st(p->d[u] + W * r, v_ld_f16(head + 2 * W * r));
            if (has_min(type))
                v_st(p->dmin[u] + W * r, v_ld_f16(head + 32 + 2 * W * r));
        }
    }
}

#define HEADER(T) offsetof(struct pk_##T, b)
#define BLOCK(T) sizeof(struct pk_##T##b)

#define TILE(T, C)                                                                                 \
    static void tile_##T##_##C(const struct panel *p, int nb, const int32_t *a, float (*acc)[16],  \
                               float (*s)[16])                                                     \
    {                                                                                              \
        tile(TYPE_##T, C, p, nb, a, acc, s);                                                       \
    }
#define GEMV(T, P, C)                                                                              \
    static void gemv_##T##_##C(const uint8_t *b, int nu, const int32_t *a, float (*acc)[16])       \
    {                                                                                              \
        gemv(TYPE_##T, C, HEADER(P), BLOCK(P), b, nu, a, acc);                                     \
    }
#define KERNELS(T, P)                                                                              \
    TILE(T, 2)                                                                                     \
    TILE(T, 4)                                                                                     \
    TILE(T, 6)                                                                                     \
    GEMV(T, P, 1)                                                                                  \
    GEMV(T, P, 2)                                                                                  \
    GEMV(T, P, 3)                                                                                  \
    GEMV(T, P, 4)                                                                                  \
    GEMV(T, P, 6)                                                                                  \
    static void unpack_##T(struct panel *p, const uint8_t *b, int nu)                              \
    {                                                                                              \
        unpack(TYPE_##T, HEADER(P), BLOCK(P), p, b, nu);                                           \
    }                                                                                              \
    static const struct mm_type mm_##T = {                                                         \
        8,                                                                                         \
        sizeof(struct pk_##P),                                                                     \
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

KERNELS(Q2_K, q2_K)
KERNELS(Q3_K, q3_K)
KERNELS(Q4_K, q4_K)
KERNELS(Q5_K, q5_K)
KERNELS(Q6_K, q6_K)

static void set_supers(struct kernels *k)
{
    k->mul_mat[TYPE_Q2_K] = mul_mat_Q2_K;
    k->mul_mat[TYPE_Q3_K] = mul_mat_Q3_K;
    k->mul_mat[TYPE_Q4_K] = mul_mat_Q4_K;
    k->mul_mat[TYPE_Q5_K] = mul_mat_Q5_K;
    k->mul_mat[TYPE_Q6_K] = mul_mat_Q6_K;
}

#endif
