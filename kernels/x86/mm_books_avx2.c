/* kernels/x86/mm_books_avx2.c - IQ2_*, IQ3_*, IQ1_* (code books) times A32 columns, AVX2.
 *
 * Contract: kernels/ref/matmul.c. Per block of 32 an exact integer below 2^24 that holds the scales
 * 2n + 1; s = fma(d_a, isum, s) over the 8 blocks of a super-block, then acc = fma(d * 2^-e, s,
 * acc). Books are looked up once (kernels/x86/books.h) into a panel of unsigned codes, in GEMV into
 * one of a single super-block: from there all types are the same, in three plans.
 *
 * ONE16 (IQ3_S, IQ1_S), zero point 16 and one scale: one int16 chain a block that starts at -16 *
 * pair sums; it ends at 16 * 15 * 127 = 30480 at most, wrapping on the way is harmless.
 *
 * TWO16 (IQ1_M), zero point 16 and two scales: the same by halves.
 *
 * ANY64 (the others), codes up to 126: each pair (2 * 126 * 127 = 32004) is widened with its scale;
 * -64 * sums come as 2 * scale times the halves' start values of -32 * pair sums. */
#include <string.h>
#include "kernels/x86/a32.h"
#include "kernels/x86/books.h"
#include "kernels/x86/mm.h"
#include "kernels/x86/steps_avx2.h"
#include "kernels/x86/tables_x86.h"

enum { C_MAX = 6 };
enum plan { ONE16, TWO16, ANY64 };

AI __m256i field(const int32_t *a, int f, int C, int c)
{
    return _mm256_set1_epi32(a[f * C + c]);
}

/* v[h][c] = the integer of one block: scales times exact sums. */
AI void sums(const enum plan plan, const int C, const struct pan *b, const int32_t *a,
             __m256i v[2][C_MAX])
{
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        const uint32_t *sc = half ? b->s1 : b->s0;
        __m256i t[2][C_MAX];
#pragma GCC unroll 6
        for (int c = 0; c < C; c++) {
            const __m256i z = field(a, plan == ONE16 ? A32_S16 : A32_H0 + half, C, c);
            if (plan == ANY64) {
#pragma GCC unroll 2
                for (int h = 0; h < 2; h++) {
                    const __m256i s = ld(sc + 8 * h);
                    t[h][c] = _mm256_madd_epi16(z, _mm256_add_epi16(s, s));
                    if (half)
                        t[h][c] = _mm256_add_epi32(t[h][c], v[h][c]);
                }
            } else if (plan == TWO16) {
                t[0][c] = t[1][c] = _mm256_srai_epi16(z, 1);
            } else {
                t[0][c] = half ? v[0][c] : z;
                t[1][c] = half ? v[1][c] : z;
            }
        }
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            const int g = 4 * half + i;
            const __m256i w0 = ld(b->q[g]), w1 = ld(b->q[g] + 32);
#pragma GCC unroll 6
            for (int c = 0; c < C; c++) {
                const __m256i x = field(a, A32_CODES + g, C, c);
                __m256i p0 = _mm256_maddubs_epi16(w0, x), p1 = _mm256_maddubs_epi16(w1, x);
                if (plan == ANY64) {
                    p0 = _mm256_madd_epi16(p0, ld(sc));
                    p1 = _mm256_madd_epi16(p1, ld(sc + 8));
                    t[0][c] = pin(_mm256_add_epi32(t[0][c], p0));
                    t[1][c] = pin(_mm256_add_epi32(t[1][c], p1));
                } else {
                    t[0][c] = pin(_mm256_add_epi16(t[0][c], p0));
                    t[1][c] = pin(_mm256_add_epi16(t[1][c], p1));
                }
            }
        }
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
#pragma GCC unroll 6
            for (int c = 0; c < C; c++) {
                if (plan == TWO16) {
                    const __m256i w = _mm256_madd_epi16(t[h][c], ld(sc + 8 * h));
                    v[h][c] = half ? _mm256_add_epi32(v[h][c], w) : w;
                } else if (plan == ONE16 && half) {
                    v[h][c] = _mm256_madd_epi16(t[h][c], ld(sc + 8 * h));
                } else {
                    v[h][c] = t[h][c];
                }
            }
        }
    }
}

AI void tile(const enum plan plan, const int C, const struct pan *b, const float (*d)[16], int nu,
             const int32_t *a, float (*acc)[16])
{
    for (int u = 0; u < nu; u++, d++) {
        float s[C_MAX][16];
        for (int j = 0; j < 8; j++, b++, a += A32_FIELDS * C) {
            __m256i v[2][C_MAX];
            sums(plan, C, b, a, v);
#pragma GCC unroll 6
            for (int c = 0; c < C; c++) {
                const __m256 da =
                    _mm256_broadcast_ss((const float *)(const void *)(a + A32_D * C + c));
                const __m256 z = _mm256_setzero_ps();
                const __m256 s0 = j ? _mm256_loadu_ps(s[c]) : z,
                             s1 = j ? _mm256_loadu_ps(s[c] + 8) : z;
                _mm256_storeu_ps(s[c], _mm256_fmadd_ps(da, _mm256_cvtepi32_ps(v[0][c]), s0));
                _mm256_storeu_ps(s[c] + 8, _mm256_fmadd_ps(da, _mm256_cvtepi32_ps(v[1][c]), s1));
            }
        }
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            const __m256 dh = _mm256_load_ps(*d + 8 * h);
#pragma GCC unroll 6
            for (int c = 0; c < C; c++) {
                float *o = acc[c] + 8 * h;
                _mm256_store_ps(
                    o, _mm256_fmadd_ps(dh, _mm256_loadu_ps(s[c] + 8 * h), _mm256_load_ps(o)));
            }
        }
    }
}

/* One super-block: codes, scales as int16 pairs, d. */
AI void unpack(const int type, const struct books *bk, struct pan *o, float d[16], const uint8_t *b)
{
    const uint8_t *head = b;
    for (int h = 0; h < 2; h++)
        _mm256_store_ps(d + 8 * h, book_unit8(type, b, h));
    b += book_header(type);
    for (int j = 0; j < 8; j++, o++, b += book_block_bytes(type)) {
        book_codes(type, bk, b, o->q);
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
            const __m128i s = book_scales(type, head, b, j, half);
            uint32_t *p = half ? o->s1 : o->s0;
            _mm256_store_si256((void *)p, _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(s, s)));
            _mm256_store_si256((void *)(p + 8), _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(s, s)));
        }
    }
}

typedef void unpack_fn(const struct books *bk, struct pan *o, float d[16], const uint8_t *b);
typedef void tile_fn(const struct pan *b, const float (*d)[16], int nu, const int32_t *a,
                     float (*acc)[16]);

/* Few columns: a super-block at a time through a panel that stays in L1. */
static void gemv(unpack_fn *un, tile_fn *run, size_t unit, int C, const uint8_t *b, int nu,
                 const int32_t *a, float (*acc)[16])
{
    const struct books *bk = books();
    _Alignas(64) struct pan p[8];
    _Alignas(64) float d[1][16];

    memset(acc, 0, (size_t)C * sizeof *acc);
    for (int u = 0; u < nu; u++, b += unit, a += 8 * A32_FIELDS * C) {
        for (size_t o = 0; o < unit; o += 64)
            _mm_prefetch((const char *)b + unit + o, _MM_HINT_T0);
        un(bk, p, d[0], b);
        run(p, (const float (*)[16])d, 1, a, acc);
    }
}

#define TILE(P, C)                                                                                 \
    static void run_##P##_2x##C(const struct pan *b, const float (*d)[16], int nu,                 \
                                const int32_t *a, float (*acc)[16])                                \
    {                                                                                              \
        tile(P, C, b, d, nu, a, acc);                                                              \
    }
#define WIDE(P, C)                                                                                 \
    TILE(P, C)                                                                                     \
    static void tile_##P##_2x##C(const struct panel *p, int nb, const int32_t *a,                  \
                                 float (*acc)[16], float (*s)[16])                                 \
    {                                                                                              \
        (void)s;                                                                                   \
        run_##P##_2x##C(p->b, (const float (*)[16])p->d, nb / 8, a, acc);                          \
    }
#define PLAN(P)                                                                                    \
    TILE(P, 1)                                                                                     \
    TILE(P, 3)                                                                                     \
    WIDE(P, 2)                                                                                     \
    WIDE(P, 4)                                                                                     \
    WIDE(P, 6)
PLAN(ONE16)
PLAN(TWO16)
PLAN(ANY64)

#define GEMV(T, t, P, C)                                                                           \
    static void gemv_##T##_2x##C(const uint8_t *b, int nu, const int32_t *a, float (*acc)[16])     \
    {                                                                                              \
        gemv(one_##T, run_##P##_2x##C, sizeof(struct pk_##t), C, b, nu, a, acc);                   \
    }
#define KERNELS(T, t, P)                                                                           \
    static void one_##T(const struct books *bk, struct pan *o, float d[16], const uint8_t *b)      \
    {                                                                                              \
        unpack(TYPE_##T, bk, o, d, b);                                                             \
    }                                                                                              \
    GEMV(T, t, P, 1)                                                                               \
    GEMV(T, t, P, 2)                                                                               \
    GEMV(T, t, P, 3)                                                                               \
    GEMV(T, t, P, 4)                                                                               \
    GEMV(T, t, P, 6)                                                                               \
    static void unpack_##T(struct panel *p, const uint8_t *b, int nu)                              \
    {                                                                                              \
        const struct books *bk = books();                                                          \
        for (int u = 0; u < nu; u++, b += sizeof(struct pk_##t))                                   \
            one_##T(bk, p->b + 8 * u, p->d[u], b);                                                 \
    }                                                                                              \
    static const struct mm_type mm_##T = {                                                         \
        8,                                                                                         \
        sizeof(struct pk_##t),                                                                     \
        NULL,                                                                                      \
        unpack_##T,                                                                                \
        {NULL, tile_##P##_2x2, tile_##P##_2x4, tile_##P##_2x6},                                    \
        {NULL, gemv_##T##_2x1, gemv_##T##_2x2, gemv_##T##_2x3, gemv_##T##_2x4, NULL,               \
         gemv_##T##_2x6},                                                                          \
    };                                                                                             \
    static void mul_mat_##T(const struct mat *w, const struct acts *a, float *y, size_t ldy,       \
                            bool add, int32_t g0, int32_t g1, void *scratch)                       \
    {                                                                                              \
        x86_mm(&mm_##T, C_MAX, w, a, y, ldy, add, g0, g1, scratch);                                \
    }

KERNELS(IQ2_XXS, iq2_xxs, ANY64)
KERNELS(IQ2_XS, iq2_xs, ANY64)
KERNELS(IQ2_S, iq2_s, ANY64)
KERNELS(IQ3_XXS, iq3_xxs, ANY64)
KERNELS(IQ3_S, iq3_s, ONE16)
KERNELS(IQ1_S, iq1_s, ONE16)
KERNELS(IQ1_M, iq1_m, TWO16)

void x86_books_avx2(struct kernels *k)
{
    k->mul_mat[TYPE_IQ2_XXS] = mul_mat_IQ2_XXS;
    k->mul_mat[TYPE_IQ2_XS] = mul_mat_IQ2_XS;
    k->mul_mat[TYPE_IQ2_S] = mul_mat_IQ2_S;
    k->mul_mat[TYPE_IQ3_XXS] = mul_mat_IQ3_XXS;
    k->mul_mat[TYPE_IQ3_S] = mul_mat_IQ3_S;
    k->mul_mat[TYPE_IQ1_S] = mul_mat_IQ1_S;
    k->mul_mat[TYPE_IQ1_M] = mul_mat_IQ1_M;
}
