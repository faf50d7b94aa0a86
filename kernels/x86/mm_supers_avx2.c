/* kernels/x86/mm_supers_avx2.c - Q2_K, Q3_K, Q4_K, Q5_K, Q6_K times A32 columns, AVX2 + FMA + F16C.
 *
 * Contract: kernels/ref/matmul.c. Per block of 32 an exact integer below 2^24 that holds the
 * sub-scales already; s = fma(d_a, isum, s) over the 8 blocks of a super-block, t the same with the
 * minima, then acc = fma(d, s, acc), acc = fma(-dmin, t, acc).
 * Integer plan: vpmaddubsw into int16; the sub-scale rides in the one widening (vpmaddwd with the
 * row's scale twice in the lane). Q4_K sums a block in one int16 chain (at most 30480); the others
 * a half: 8 pairs of 31 x 127 = 31496 (Q5_K, same scale for both halves), or centred by the start
 * value (Q6_K: 8 x 2 x 32 x 127 = 32512 at the end; wrapping on the way is harmless). */
#include "kernels/x86/a32.h"
#include "kernels/x86/mm.h"
#include "kernels/x86/steps_avx2.h"
#include "kernels/x86/tables_x86.h"

enum { C_MAX = 6 };

AI __m256i field(const int32_t *a, int f, int C, int c)
{
    return _mm256_set1_epi32(a[f * C + c]);
}

AI __m256 field_f(const int32_t *a, int f, int C, int c)
{
    return _mm256_broadcast_ss((const float *)(const void *)(a + f * C + c));
}

AI __m256i codes(const int type, const bool panel, const void *b, int h, int g)
{
    return panel ? ld(((const struct pan *)b)->q[g] + 32 * h) : step(type, b, h, g);
}

AI __m128i bytes8(const void *p)
{
    return _mm_loadl_epi64(p);
}

/* Sub-scales of 8 rows as int16 pairs. Every block begins with them: [2][16] bytes by half, or
 * [16] of the whole block. */
AI __m256i pairs(const int type, const uint8_t *b, int half, int h)
{
    __m128i v;
    switch (type) {
    case TYPE_Q2_K:
        v = _mm_and_si128(bytes8(b + 16 * half + 8 * h), _mm_set1_epi8(15));
        break;
    case TYPE_Q4_K:
    case TYPE_Q5_K:
        v = bytes8(b + 8 * h);
        break;
    default:
        v = bytes8(b + 16 * half + 8 * h);
    }
    return _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(v, v));
}

AI __m256 mins(const int type, const uint8_t *b, int half, int h)
{
    __m128i v;
    if (type == TYPE_Q2_K)
        v = _mm_and_si128(_mm_srli_epi16(bytes8(b + 16 * half + 8 * h), 4), _mm_set1_epi8(15));
    else
        v = bytes8(b + 16 + 8 * h);
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(v));
}

AI bool has_min(int type)
{
    return type == TYPE_Q2_K || type == TYPE_Q4_K || type == TYPE_Q5_K;
}

AI int min_halves(int type)
{
    return type == TYPE_Q2_K ? 2 : 1;
}

/* What a half's minimum multiplies: d_a * asum (Q2_K: of the half; H0, H1 hold -32 times it). */
AI __m256 min_factor(const int type, const int32_t *a, int half, int C, int c)
{
    if (type != TYPE_Q2_K)
        return field_f(a, A32_DSUM, C, c);
    __m256i n = _mm256_madd_epi16(field(a, A32_H0 + half, C, c), _mm256_set1_epi16(1));
    n = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_srai_epi32(n, 5));
    return _mm256_mul_ps(field_f(a, A32_D, C, c), _mm256_cvtepi32_ps(n));
}

/* s[h][c] = the integer of one block: sub-scales times exact sums. */
AI void sums(const int type, const bool panel, const int C, const void *b, const int32_t *a,
             __m256i s[2][C_MAX])
{
    const int halves = type == TYPE_Q4_K ? 1 : 2;
    const bool centred = type == TYPE_Q6_K || type == TYPE_Q3_K;

#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        if (half == halves)
            break;
        __m256i v[2][C_MAX];
        if (centred) {
#pragma GCC unroll 6
            for (int c = 0; c < C; c++) {
                const __m256i z = field(a, A32_H0 + half, C, c);
                v[0][c] = v[1][c] = type == TYPE_Q3_K ? _mm256_srai_epi16(z, 3) : z;
            }
        }
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            if (i == 8 / halves)
                break;
            const int g = halves == 1 ? (i >> 1) + 4 * (i & 1) : 4 * half + i;
            const __m256i w0 = codes(type, panel, b, 0, g), w1 = codes(type, panel, b, 1, g);
#pragma GCC unroll 6
            for (int c = 0; c < C; c++) {
                const __m256i x = field(a, A32_CODES + g, C, c);
                const __m256i p0 = _mm256_maddubs_epi16(w0, x);
                v[0][c] = pin(i == 0 && !centred ? p0 : _mm256_add_epi16(v[0][c], p0));
                const __m256i p1 = _mm256_maddubs_epi16(w1, x);
                v[1][c] = pin(i == 0 && !centred ? p1 : _mm256_add_epi16(v[1][c], p1));
            }
        }
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            const struct pan *p = b;
            const __m256i sc = !panel ? pairs(type, b, half, h)
                                      : ld((half && type != TYPE_Q5_K ? p->s1 : p->s0) + 8 * h);
#pragma GCC unroll 6
            for (int c = 0; c < C; c++) {
                const __m256i w = _mm256_madd_epi16(v[h][c], sc);
                s[h][c] = half == 0 ? w : _mm256_add_epi32(s[h][c], w);
            }
        }
    }
}

AI void tile(const int type, const int C, const struct panel *p, int nb, const int32_t *a,
             float (*acc)[16], float (*s)[16])
{
    for (int u = 0; u < nb / 8; u++, a += 8 * A32_FIELDS * C) {
        for (int j = 0; j < 8; j++) {
            const int32_t *aj = a + j * A32_FIELDS * C;
            __m256i v[2][C_MAX];
            sums(type, true, C, &p->b[8 * u + j], aj, v);
#pragma GCC unroll 6
            for (int c = 0; c < C; c++) {
                const __m256 da = field_f(aj, A32_D, C, c);
                const __m256 z = _mm256_setzero_ps();
                const __m256 s0 = j ? _mm256_load_ps(s[c]) : z, s1 = j ? _mm256_load_ps(s[c] + 8) : z;
                _mm256_store_ps(s[c], _mm256_fmadd_ps(da, _mm256_cvtepi32_ps(v[0][c]), s0));
                _mm256_store_ps(s[c] + 8, _mm256_fmadd_ps(da, _mm256_cvtepi32_ps(v[1][c]), s1));
            }
        }
        __m256 t[2][C_MAX];
        if (has_min(type)) {
#pragma GCC unroll 6
            for (int c = 0; c < C; c++)
                t[0][c] = t[1][c] = _mm256_setzero_ps();
            for (int j = 0; j < 8; j++) {
                const int32_t *aj = a + j * A32_FIELDS * C;
                for (int half = 0; half < min_halves(type); half++) {
                    const float *mn = p->mn[8 * u + j][half];
#pragma GCC unroll 6
                    for (int c = 0; c < C; c++) {
                        const __m256 f = min_factor(type, aj, half, C, c);
                        t[0][c] = _mm256_fmadd_ps(_mm256_load_ps(mn), f, t[0][c]);
                        t[1][c] = _mm256_fmadd_ps(_mm256_load_ps(mn + 8), f, t[1][c]);
                    }
                }
            }
        }
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            const __m256 d = _mm256_load_ps(p->d[u] + 8 * h);
#pragma GCC unroll 6
            for (int c = 0; c < C; c++) {
                float *o = acc[c] + 8 * h;
                __m256 v = _mm256_fmadd_ps(d, _mm256_load_ps(s[c] + 8 * h), _mm256_load_ps(o));
                if (has_min(type))
                    v = _mm256_fnmadd_ps(_mm256_load_ps(p->dmin[u] + 8 * h), t[h][c], v);
                _mm256_store_ps(o, v);
            }
        }
    }
}

AI void gemv(const int type, const int C, const size_t header, const size_t block,
             const uint8_t *b, int nu, const int32_t *a, float (*out)[16])
{
    __m256 acc[2][C_MAX];
#pragma GCC unroll 6
    for (int c = 0; c < C; c++)
        acc[0][c] = acc[1][c] = _mm256_setzero_ps();
    for (int u = 0; u < nu; u++) {
        const uint8_t *head = b;
        __m256 s[2][C_MAX], t[2][C_MAX];
#pragma GCC unroll 6
        for (int c = 0; c < C; c++)
            s[0][c] = s[1][c] = t[0][c] = t[1][c] = _mm256_setzero_ps();
        b += header;
        for (int j = 0; j < 8; j++, b += block, a += A32_FIELDS * C) {
            __m256i v[2][C_MAX];
            touch_in_order(type, b, block);
            sums(type, false, C, b, a, v);
#pragma GCC unroll 6
            for (int c = 0; c < C; c++) {
                const __m256 da = field_f(a, A32_D, C, c);
#pragma GCC unroll 2
                for (int h = 0; h < 2; h++)
                    s[h][c] = _mm256_fmadd_ps(da, _mm256_cvtepi32_ps(v[h][c]), s[h][c]);
            }
            if (!has_min(type))
                continue;
            for (int half = 0; half < min_halves(type); half++) {
                const __m256 m0 = mins(type, b, half, 0), m1 = mins(type, b, half, 1);
#pragma GCC unroll 6
                for (int c = 0; c < C; c++) {
                    const __m256 f = min_factor(type, a, half, C, c);
                    t[0][c] = _mm256_fmadd_ps(m0, f, t[0][c]);
                    t[1][c] = _mm256_fmadd_ps(m1, f, t[1][c]);
                }
            }
        }
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
#pragma GCC unroll 6
            for (int c = 0; c < C; c++) {
                acc[h][c] = _mm256_fmadd_ps(scale8(head, h), s[h][c], acc[h][c]);
                if (has_min(type))
                    acc[h][c] = _mm256_fnmadd_ps(scale8(head + 32, h), t[h][c], acc[h][c]);
            }
        }
    }
#pragma GCC unroll 6
    for (int c = 0; c < C; c++) {
        _mm256_storeu_ps(out[c], acc[0][c]);
        _mm256_storeu_ps(out[c] + 8, acc[1][c]);
    }
}

AI void unpack(const int type, const size_t header, const size_t block, struct panel *p,
               const uint8_t *b, int nu)
{
    for (int u = 0; u < nu; u++) {
        for (int h = 0; h < 2; h++) {
            _mm256_store_ps(p->d[u] + 8 * h, scale8(b, h));
            if (has_min(type))
                _mm256_store_ps(p->dmin[u] + 8 * h, scale8(b + 32, h));
        }
        b += header;
        for (int j = 0; j < 8; j++, b += block) {
            struct pan *o = &p->b[8 * u + j];
#pragma GCC unroll 2
            for (int h = 0; h < 2; h++) {
#pragma GCC unroll 8
                for (int g = 0; g < 8; g++)
                    _mm256_store_si256((void *)(o->q[g] + 32 * h), step(type, b, h, g));
                _mm256_store_si256((void *)(o->s0 + 8 * h), pairs(type, b, 0, h));
                if (type != TYPE_Q4_K && type != TYPE_Q5_K)
                    _mm256_store_si256((void *)(o->s1 + 8 * h), pairs(type, b, 1, h));
                if (has_min(type))
                    _mm256_store_ps(p->mn[8 * u + j][0] + 8 * h, mins(type, b, 0, h));
                if (type == TYPE_Q2_K)
                    _mm256_store_ps(p->mn[8 * u + j][1] + 8 * h, mins(type, b, 1, h));
            }
        }
    }
}

#define HEADER(T) offsetof(struct pk_##T, b)
#define BLOCK(T) sizeof(struct pk_##T##b)

#define TILE(T, C)                                                                              \
    static void tile_##T##_2x##C(const struct panel *p, int nb, const int32_t *a,               \
                                 float (*acc)[16], float (*s)[16])                              \
    {                                                                                           \
        tile(TYPE_Q##T, C, p, nb, a, acc, s);                                                   \
    }
#define GEMV(T, P, C)                                                                           \
    static void gemv_##T##_2x##C(const uint8_t *b, int nu, const int32_t *a, float (*acc)[16])  \
    {                                                                                           \
        gemv(TYPE_Q##T, C, HEADER(P), BLOCK(P), b, nu, a, acc);                                 \
    }
#define KERNELS(T, P)                                                                           \
    TILE(T, 2)                                                                                  \
    TILE(T, 4)                                                                                  \
    TILE(T, 6)                                                                                  \
    GEMV(T, P, 1)                                                                               \
    GEMV(T, P, 2)                                                                               \
    GEMV(T, P, 3)                                                                               \
    GEMV(T, P, 4)                                                                               \
    GEMV(T, P, 6)                                                                               \
    static void unpack_##T(struct panel *p, const uint8_t *b, int nu)                           \
    {                                                                                           \
        unpack(TYPE_Q##T, HEADER(P), BLOCK(P), p, b, nu);                                       \
    }                                                                                           \
    static const struct mm_type mm_##T = {                                                      \
        8,                                                                                      \
        sizeof(struct pk_##P),                                                                  \
        NULL,                                                                                   \
        unpack_##T,                                                                             \
        {NULL, tile_##T##_2x2, tile_##T##_2x4, tile_##T##_2x6},                                 \
        {NULL, gemv_##T##_2x1, gemv_##T##_2x2, gemv_##T##_2x3, gemv_##T##_2x4, NULL,            \
         gemv_##T##_2x6},                                                                       \
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

void x86_supers_avx2(struct kernels *k)
{
    k->mul_mat[TYPE_Q2_K] = mul_mat_2_K;
    k->mul_mat[TYPE_Q3_K] = mul_mat_3_K;
    k->mul_mat[TYPE_Q4_K] = mul_mat_4_K;
    k->mul_mat[TYPE_Q5_K] = mul_mat_5_K;
    k->mul_mat[TYPE_Q6_K] = mul_mat_6_K;
}
