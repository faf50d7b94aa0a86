/* kernels/x86/mm_supers_avx512vnni.c - Q2_K, Q3_K, Q4_K, Q5_K, Q6_K times A32 columns, AVX-512 VNNI.
 *
 * Contract: kernels/ref/matmul.c. Per block of 32 an exact integer below 2^24; s = fma(d_a, isum,
 * s) over the 8 blocks of a super-block, t the same with the minima, then acc = fma(d, s, acc),
 * acc = fma(-dmin, t, acc). The sums of vpdpbusd go to f32 and are scaled there: products and
 * their sum stay below 2^24, so they are exact and equal to integer scaling. Zero points (32, 4)
 * are in the start values. Types with scales by halves take 6 columns at a time, or the registers
 * would not hold both sums. Minima are a pass of their own after the 8 blocks. */
#include "kernels/x86/a32.h"
#include "kernels/x86/mm.h"
#include "kernels/x86/steps_avx512.h"
#include "kernels/x86/tables_x86.h"

enum { C_MAX = 12 };

AI __m512i field(const int32_t *a, int f, int C, int c)
{
    return _mm512_set1_epi32(a[f * C + c]);
}

AI __m512 field_f(const int32_t *a, int f, int C, int c)
{
    return _mm512_set1_ps(*(const float *)(const void *)(a + f * C + c));
}

AI int halves(int type)
{
    return type == TYPE_Q4_K || type == TYPE_Q5_K ? 1 : 2;
}

AI bool has_min(int type)
{
    return type == TYPE_Q2_K || type == TYPE_Q4_K || type == TYPE_Q5_K;
}

AI int min_halves(int type)
{
    return type == TYPE_Q2_K ? 2 : 1;
}

/* Sub-scales of a packed block, of one half or the whole. */
AI __m512 scales(const int type, const uint8_t *b, int half)
{
    __m128i v = _mm_loadu_si128((const void *)(b + 16 * half));
    if (type == TYPE_Q2_K)
        v = _mm_and_si128(v, _mm_set1_epi8(15));
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(v));
}

AI __m512 mins(const int type, const uint8_t *b, int half)
{
    __m128i v = _mm_loadu_si128((const void *)(b + (type == TYPE_Q2_K ? 16 * half : 16)));
    if (type == TYPE_Q2_K)
        v = _mm_and_si128(_mm_srli_epi16(v, 4), _mm_set1_epi8(15));
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(v));
}

/* What a minimum multiplies: d_a * asum (Q2_K: asum of the half; H0, H1 hold -32 times it). */
AI __m512 min_factor(const int type, const int32_t *a, int half, int C, int c)
{
    if (type != TYPE_Q2_K)
        return field_f(a, A32_DSUM, C, c);
    const int32_t asum = -a[(A32_H0 + half) * C + c] / 32;
    return _mm512_mul_ps(field_f(a, A32_D, C, c), _mm512_set1_ps((float)asum));
}

/* f[c] = the scaled integer of one block for columns c0..c0+n-1, as f32. */
AI void sums(const int type, const bool panel, const int C, const int c0, const int n,
             const void *b, const int32_t *a, __m512 f[C_MAX])
{
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        if (half == halves(type))
            break;
        __m512i v[C_MAX];
#pragma GCC unroll 12
        for (int c = 0; c < n; c++) {
            v[c] = _mm512_setzero_si512();
            if (type == TYPE_Q6_K)
                v[c] = field(a, A32_H0 + half, C, c0 + c);
            if (type == TYPE_Q3_K)
                v[c] = _mm512_srai_epi32(field(a, A32_H0 + half, C, c0 + c), 3);
        }
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            if (i == 8 / halves(type))
                break;
            const int g = panel || halves(type) == 2 ? 4 * half + i : (i >> 1) + 4 * (i & 1);
            const __m512i w = panel ? ld(((const struct pan *)b)->q[g]) : step(type, b, g);
#pragma GCC unroll 12
            for (int c = 0; c < n; c++)
                v[c] = _mm512_dpbusd_epi32(v[c], w, field(a, A32_CODES + g, C, c0 + c));
        }
        const struct pan *p = b;
        const __m512 sc = panel ? _mm512_load_ps(half ? p->s1 : p->s0) : scales(type, b, half);
#pragma GCC unroll 12
        for (int c = 0; c < n; c++) {
            const __m512 x = _mm512_cvtepi32_ps(v[c]);
            f[c] = half ? _mm512_fmadd_ps(x, sc, f[c]) : _mm512_mul_ps(x, sc);
        }
    }
}

AI void tile(const int type, const int C, const struct panel *p, int nb, const int32_t *a,
             float (*acc)[16])
{
    const int part = halves(type) == 2 && C > 6 ? C / 2 : C;

    for (int u = 0; u < nb / 8; u++, a += 8 * A32_FIELDS * C) {
        __m512 s[C_MAX], t[C_MAX];
#pragma GCC unroll 12
        for (int c = 0; c < C; c++)
            s[c] = _mm512_setzero_ps();
        for (int j = 0; j < 8; j++) {
            const int32_t *aj = a + j * A32_FIELDS * C;
#pragma GCC unroll 2
            for (int h = 0; h < 2; h++) {
                const int c0 = h * part;
                if (c0 == C)
                    break;
                __m512 f[C_MAX];
                sums(type, true, C, c0, part, &p->b[8 * u + j], aj, f);
#pragma GCC unroll 12
                for (int c = 0; c < part; c++)
                    s[c0 + c] = _mm512_fmadd_ps(field_f(aj, A32_D, C, c0 + c), f[c], s[c0 + c]);
            }
        }
        const __m512 d = _mm512_load_ps(p->d[u]);
        if (!has_min(type)) {
#pragma GCC unroll 12
            for (int c = 0; c < C; c++)
                _mm512_store_ps(acc[c], _mm512_fmadd_ps(d, s[c], _mm512_load_ps(acc[c])));
            continue;
        }
#pragma GCC unroll 12
        for (int c = 0; c < C; c++)
            t[c] = _mm512_setzero_ps();
        for (int j = 0; j < 8; j++) {
            const int32_t *aj = a + j * A32_FIELDS * C;
            for (int half = 0; half < min_halves(type); half++) {
                const __m512 mn = _mm512_load_ps(p->mn[8 * u + j][half]);
#pragma GCC unroll 12
                for (int c = 0; c < C; c++)
                    t[c] = _mm512_fmadd_ps(mn, min_factor(type, aj, half, C, c), t[c]);
            }
        }
        const __m512 dmin = _mm512_load_ps(p->dmin[u]);
#pragma GCC unroll 12
        for (int c = 0; c < C; c++) {
            const __m512 v = _mm512_fmadd_ps(d, s[c], _mm512_load_ps(acc[c]));
            _mm512_store_ps(acc[c], _mm512_fnmadd_ps(dmin, t[c], v));
        }
    }
}

AI void gemv(const int type, const int C, const size_t header, const size_t block,
             const uint8_t *b, int nu, const int32_t *a, float (*out)[16])
{
    __m512 acc[C_MAX];
#pragma GCC unroll 12
    for (int c = 0; c < C; c++)
        acc[c] = _mm512_setzero_ps();
    for (int u = 0; u < nu; u++) {
        const uint8_t *head = b;
        __m512 s[C_MAX], t[C_MAX];
#pragma GCC unroll 12
        for (int c = 0; c < C; c++)
            s[c] = t[c] = _mm512_setzero_ps();
        b += header;
        for (int j = 0; j < 8; j++, b += block, a += A32_FIELDS * C) {
            __m512 f[C_MAX];
            touch_in_order(type, b, block);
            sums(type, false, C, 0, C, b, a, f);
#pragma GCC unroll 12
            for (int c = 0; c < C; c++)
                s[c] = _mm512_fmadd_ps(field_f(a, A32_D, C, c), f[c], s[c]);
            if (!has_min(type))
                continue;
            for (int half = 0; half < min_halves(type); half++) {
                const __m512 mn = mins(type, b, half);
#pragma GCC unroll 12
                for (int c = 0; c < C; c++)
                    t[c] = _mm512_fmadd_ps(mn, min_factor(type, a, half, C, c), t[c]);
            }
        }
#pragma GCC unroll 12
        for (int c = 0; c < C; c++) {
            acc[c] = _mm512_fmadd_ps(scale16(head), s[c], acc[c]);
            if (has_min(type))
                acc[c] = _mm512_fnmadd_ps(scale16(head + 32), t[c], acc[c]);
        }
    }
#pragma GCC unroll 12
    for (int c = 0; c < C; c++)
        _mm512_storeu_ps(out[c], acc[c]);
}

AI void unpack(const int type, const size_t header, const size_t block, struct panel *p,
               const uint8_t *b, int nu)
{
    for (int u = 0; u < nu; u++) {
        _mm512_store_ps(p->d[u], scale16(b));
        if (has_min(type))
            _mm512_store_ps(p->dmin[u], scale16(b + 32));
        b += header;
        for (int j = 0; j < 8; j++, b += block) {
            struct pan *o = &p->b[8 * u + j];
#pragma GCC unroll 8
            for (int g = 0; g < 8; g++)
                _mm512_store_si512(o->q[g], step(type, b, g));
            _mm512_store_ps(o->s0, scales(type, b, 0));
            if (halves(type) == 2)
                _mm512_store_ps(o->s1, scales(type, b, 1));
            if (has_min(type))
                _mm512_store_ps(p->mn[8 * u + j][0], mins(type, b, 0));
            if (type == TYPE_Q2_K)
                _mm512_store_ps(p->mn[8 * u + j][1], mins(type, b, 1));
        }
    }
}

#define HEADER(T) offsetof(struct pk_##T, b)
#define BLOCK(T) sizeof(struct pk_##T##b)

#define TILE(T, C)                                                                              \
    static void tile_##T##_1x##C(const struct panel *p, int nb, const int32_t *a,               \
                                 float (*acc)[16], float (*s)[16])                              \
    {                                                                                           \
        tile(TYPE_Q##T, C, p, nb, a, acc);                                                      \
    }
#define GEMV(T, P, C)                                                                           \
    static void gemv_##T##_1x##C(const uint8_t *b, int nu, const int32_t *a, float (*acc)[16])  \
    {                                                                                           \
        gemv(TYPE_Q##T, C, HEADER(P), BLOCK(P), b, nu, a, acc);                                 \
    }
#define KERNELS(T, P)                                                                           \
    TILE(T, 2)                                                                                  \
    TILE(T, 4)                                                                                  \
    TILE(T, 6)                                                                                  \
    TILE(T, 8)                                                                                  \
    TILE(T, 10)                                                                                 \
    TILE(T, 12)                                                                                 \
    GEMV(T, P, 1)                                                                               \
    GEMV(T, P, 2)                                                                               \
    GEMV(T, P, 3)                                                                               \
    GEMV(T, P, 4)                                                                               \
    GEMV(T, P, 6)                                                                               \
    GEMV(T, P, 8)                                                                               \
    GEMV(T, P, 10)                                                                              \
    GEMV(T, P, 12)                                                                              \
    static void unpack_##T(struct panel *p, const uint8_t *b, int nu)                           \
    {                                                                                           \
        unpack(TYPE_Q##T, HEADER(P), BLOCK(P), p, b, nu);                                       \
    }                                                                                           \
    static const struct mm_type mm_##T = {                                                      \
        8,                                                                                      \
        sizeof(struct pk_##P),                                                                  \
        NULL,                                                                                   \
        unpack_##T,                                                                             \
        {NULL, tile_##T##_1x2, tile_##T##_1x4, tile_##T##_1x6, tile_##T##_1x8, tile_##T##_1x10, \
         tile_##T##_1x12},                                                                      \
        {NULL, gemv_##T##_1x1, gemv_##T##_1x2, gemv_##T##_1x3, gemv_##T##_1x4, NULL,            \
         gemv_##T##_1x6, NULL, gemv_##T##_1x8, NULL, gemv_##T##_1x10, NULL, gemv_##T##_1x12},   \
    };                                                                                          \
    static void mul_mat_##T(const struct mat *w, const struct acts *a, float *y, size_t ldy,    \
                            bool add, int32_t g0, int32_t g1, void *scratch)                    \
    {                                                                                           \
        x86_mm(&mm_##T, C_MAX, w, a, y, ldy, add, g0, g1, scratch);                             \
    }

KERNELS(2_K, q2_K)
KERNELS(3_K, q3_K)
KERNELS(4_K, q4_K)
KERNELS(5_K, q5_K)
KERNELS(6_K, q6_K)

void x86_supers_avx512vnni(struct kernels *k)
{
    k->mul_mat[TYPE_Q2_K] = mul_mat_2_K;
    k->mul_mat[TYPE_Q3_K] = mul_mat_3_K;
    k->mul_mat[TYPE_Q4_K] = mul_mat_4_K;
    k->mul_mat[TYPE_Q5_K] = mul_mat_5_K;
    k->mul_mat[TYPE_Q6_K] = mul_mat_6_K;
}
