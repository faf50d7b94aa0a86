/* kernels/x86/mm_books_avx512vnni.c - IQ2_*, IQ3_*, IQ1_* times A32 columns, AVX-512 VNNI.
 *
 * Contract: kernels/ref/matmul.c. Books are looked up once (kernels/x86/books.h) into a panel of
 * unsigned codes, in GEMV into one of a single super-block. The sums of vpdpbusd (zero point 64 or
 * 16 in the start value) go to f32 and are scaled there by 2n + 1: products and their sum stay
 * below 2^24, so they are exact and equal to integer scaling. Then s = fma(d_a, f, s) over the 8
 * blocks, acc = fma(d * 2^-e, s, acc). With scales by halves 6 columns go at a time, or the
 * registers would not hold both sums. */
#include <string.h>
#include "kernels/x86/a32.h"
#include "kernels/x86/books.h"
#include "kernels/x86/mm.h"
#include "kernels/x86/steps_avx512.h"
#include "kernels/x86/tables_x86.h"

enum { C_MAX = 12 };
enum plan { ONE16, TWO16, ONE64, TWO64 }; /* scales a block, zero point */

AI int halves(enum plan plan)
{
    return plan == TWO16 || plan == TWO64 ? 2 : 1;
}

AI __m512i field(const int32_t *a, int f, int C, int c)
{
    return _mm512_set1_epi32(a[f * C + c]);
}

AI __m512 field_f(const int32_t *a, int f, int C, int c)
{
    return _mm512_set1_ps(*(const float *)(const void *)(a + f * C + c));
}

/* -zero * the sum of activations that a chain meets. */
AI __m512i start(const enum plan plan, const int32_t *a, int half, int C, int c)
{
    switch (plan) {
    case ONE16:
        return field(a, A32_S16, C, c);
    case ONE64:
        return _mm512_srai_epi32(field(a, A32_S128, C, c), 1);
    case TWO16:
        return _mm512_srai_epi32(field(a, A32_H0 + half, C, c), 1);
    default:
        return _mm512_slli_epi32(field(a, A32_H0 + half, C, c), 1);
    }
}

/* f[c] = the scaled integer of one block for columns c0..c0+n-1, as f32. */
AI void sums(const enum plan plan, const int C, const int c0, const int n, const struct pan *b,
             const int32_t *a, __m512 f[C_MAX])
{
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        if (half == halves(plan))
            break;
        __m512i v[C_MAX];
#pragma GCC unroll 12
        for (int c = 0; c < n; c++)
            v[c] = start(plan, a, half, C, c0 + c);
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            if (i == 8 / halves(plan))
                break;
            const int g = 4 * half + i;
            const __m512i w = ld(b->q[g]);
#pragma GCC unroll 12
            for (int c = 0; c < n; c++)
                v[c] = _mm512_dpbusd_epi32(v[c], w, field(a, A32_CODES + g, C, c0 + c));
        }
        const __m512 sc = _mm512_load_ps(half ? b->s1 : b->s0);
#pragma GCC unroll 12
        for (int c = 0; c < n; c++) {
            const __m512 x = _mm512_cvtepi32_ps(v[c]);
            f[c] = half ? _mm512_fmadd_ps(x, sc, f[c]) : _mm512_mul_ps(x, sc);
        }
    }
}

AI void tile(const enum plan plan, const int C, const struct pan *b, const float (*d)[16], int nu,
             const int32_t *a, float (*acc)[16])
{
    const int part = halves(plan) == 2 && C > 6 ? C / 2 : C;

    for (int u = 0; u < nu; u++, d++) {
        __m512 s[C_MAX];
#pragma GCC unroll 12
        for (int c = 0; c < C; c++)
            s[c] = _mm512_setzero_ps();
        for (int j = 0; j < 8; j++, b++, a += A32_FIELDS * C) {
#pragma GCC unroll 2
            for (int h = 0; h < 2; h++) {
                const int c0 = h * part;
                if (c0 == C)
                    break;
                __m512 f[C_MAX];
                sums(plan, C, c0, part, b, a, f);
#pragma GCC unroll 12
                for (int c = 0; c < part; c++)
                    s[c0 + c] = _mm512_fmadd_ps(field_f(a, A32_D, C, c0 + c), f[c], s[c0 + c]);
            }
        }
        const __m512 dv = _mm512_load_ps(*d);
#pragma GCC unroll 12
        for (int c = 0; c < C; c++)
            _mm512_storeu_ps(acc[c], _mm512_fmadd_ps(dv, s[c], _mm512_loadu_ps(acc[c])));
    }
}

/* One super-block: codes, scales as f32, d. */
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
            if (half && !book_halves(type))
                break;
            const __m512i s = _mm512_cvtepi8_epi32(book_scales(type, head, b, j, half));
            _mm512_store_ps(half ? o->s1 : o->s0, _mm512_cvtepi32_ps(s));
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
    static void run_##P##_1x##C(const struct pan *b, const float (*d)[16], int nu,                 \
                                const int32_t *a, float (*acc)[16])                                \
    {                                                                                              \
        tile(P, C, b, d, nu, a, acc);                                                              \
    }
#define WIDE(P, C)                                                                                 \
    TILE(P, C)                                                                                     \
    static void tile_##P##_1x##C(const struct panel *p, int nb, const int32_t *a,                  \
                                 float (*acc)[16], float (*s)[16])                                 \
    {                                                                                              \
        (void)s;                                                                                   \
        run_##P##_1x##C(p->b, (const float (*)[16])p->d, nb / 8, a, acc);                          \
    }
#define PLAN(P)                                                                                    \
    TILE(P, 1)                                                                                     \
    TILE(P, 3)                                                                                     \
    WIDE(P, 2)                                                                                     \
    WIDE(P, 4)                                                                                     \
    WIDE(P, 6)                                                                                     \
    WIDE(P, 8)                                                                                     \
    WIDE(P, 10)                                                                                    \
    WIDE(P, 12)
PLAN(ONE16)
PLAN(TWO16)
PLAN(ONE64)
PLAN(TWO64)

#define GEMV(T, t, P, C)                                                                           \
    static void gemv_##T##_1x##C(const uint8_t *b, int nu, const int32_t *a, float (*acc)[16])     \
    {                                                                                              \
        gemv(one_##T, run_##P##_1x##C, sizeof(struct pk_##t), C, b, nu, a, acc);                   \
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
    GEMV(T, t, P, 8)                                                                               \
    GEMV(T, t, P, 10)                                                                              \
    GEMV(T, t, P, 12)                                                                              \
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
        {NULL, tile_##P##_1x2, tile_##P##_1x4, tile_##P##_1x6, tile_##P##_1x8, tile_##P##_1x10,    \
         tile_##P##_1x12},                                                                         \
        {NULL, gemv_##T##_1x1, gemv_##T##_1x2, gemv_##T##_1x3, gemv_##T##_1x4, NULL,               \
         gemv_##T##_1x6, NULL, gemv_##T##_1x8, NULL, gemv_##T##_1x10, NULL, gemv_##T##_1x12},      \
    };                                                                                             \
    static void mul_mat_##T(const struct mat *w, const struct acts *a, float *y, size_t ldy,       \
                            bool add, int32_t g0, int32_t g1, void *scratch)                       \
    {                                                                                              \
        x86_mm(&mm_##T, C_MAX, w, a, y, ldy, add, g0, g1, scratch);                                \
    }

KERNELS(IQ2_XXS, iq2_xxs, ONE64)
KERNELS(IQ2_XS, iq2_xs, TWO64)
KERNELS(IQ2_S, iq2_s, TWO64)
KERNELS(IQ3_XXS, iq3_xxs, ONE64)
KERNELS(IQ3_S, iq3_s, ONE16)
KERNELS(IQ1_S, iq1_s, ONE16)
KERNELS(IQ1_M, iq1_m, TWO16)

void x86_books_avx512vnni(struct kernels *k)
{
    k->mul_mat[TYPE_IQ2_XXS] = mul_mat_IQ2_XXS;
    k->mul_mat[TYPE_IQ2_XS] = mul_mat_IQ2_XS;
    k->mul_mat[TYPE_IQ2_S] = mul_mat_IQ2_S;
    k->mul_mat[TYPE_IQ3_XXS] = mul_mat_IQ3_XXS;
    k->mul_mat[TYPE_IQ3_S] = mul_mat_IQ3_S;
    k->mul_mat[TYPE_IQ1_S] = mul_mat_IQ1_S;
    k->mul_mat[TYPE_IQ1_M] = mul_mat_IQ1_M;
}
