/* kernels/x86/mm_codes_avx2.c - IQ4_NL, IQ4_XS, MXFP4 times A32 columns, AVX2 + FMA + F16C.
 *
 * Contract: kernels/ref/matmul.c. Four-bit codes are places in a table of signed bytes: one
 * vpshufb. IQ4_NL, IQ4_XS (values to 127) go the way of Q8_0: tiles multiply int16 codes
 * (wide_avx2.h), GEMV multiplies |w| by the activation with w's sign, widened at each step; the
 * sub-scale of IQ4_XS rides in the widening. MXFP4 (-12..12) plus 16 goes the way of Q5_0: an int16
 * chain that starts at -16 * pair sums and ends at most at 32 * 12 * 127 / 2 = 24384. */
#include "kernels/x86/a32.h"
#include "kernels/x86/mm.h"
#include "kernels/x86/steps_avx2.h"
#include "kernels/x86/tables_x86.h"
#include "kernels/x86/wide_avx2.h"

/* Sub-scales of 8 rows as int16 pairs (IQ4_XS). */
AI __m256i pairs(const int type, const uint8_t *b, int h)
{
    if (type != TYPE_IQ4_XS)
        return _mm256_set1_epi16(1);
    const __m128i v = _mm_loadl_epi64((const void *)(b + 8 * h));
    return _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(v, v));
}

/* d of a block (MXFP4, IQ4_NL) or a super-block: both begin with it. */
AI __m256 scale(const int type, const uint8_t *b, int h)
{
    return type == TYPE_MXFP4 ? scale8_e8m0(b, h) : scale8(b, h);
}

AI __m256i codes(const int type, const bool panel, const void *b, int h, int g)
{
    return panel ? ld(((const struct pan *)b)->q[g] + 32 * h) : step(type, b, h, g);
}

/* s[h][c] = the exact int32 sum of one block, times the sub-scale. */
AI void sums(const int type, const bool panel, const int C, const void *b, const int32_t *a,
             __m256i s[2][C_MAX])
{
    const __m256i ones = _mm256_set1_epi16(1);
    const bool mx = type == TYPE_MXFP4;
    const __m256i sc0 = mx ? ones : pairs(type, b, 0), sc1 = mx ? ones : pairs(type, b, 1);

#pragma GCC unroll 6
    for (int c = 0; c < C; c++)
        s[0][c] = s[1][c] = mx ? field(a, A32_S16, C, c) : _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        const int g = (i >> 1) + 4 * (i & 1); /* low and high nibbles of one load */
        const __m256i w0 = codes(type, panel, b, 0, g), w1 = codes(type, panel, b, 1, g);
#pragma GCC unroll 6
        for (int c = 0; c < C; c++) {
            const __m256i x = field(a, A32_CODES + g, C, c);
            if (mx) {
                s[0][c] = pin(_mm256_add_epi16(s[0][c], _mm256_maddubs_epi16(w0, x)));
                s[1][c] = pin(_mm256_add_epi16(s[1][c], _mm256_maddubs_epi16(w1, x)));
                continue;
            }
            const __m256i p0 = _mm256_maddubs_epi16(_mm256_abs_epi8(w0), _mm256_sign_epi8(x, w0));
            const __m256i p1 = _mm256_maddubs_epi16(_mm256_abs_epi8(w1), _mm256_sign_epi8(x, w1));
            s[0][c] = pin(_mm256_add_epi32(s[0][c], _mm256_madd_epi16(p0, sc0)));
            s[1][c] = pin(_mm256_add_epi32(s[1][c], _mm256_madd_epi16(p1, sc1)));
        }
    }
    if (!mx)
        return;
#pragma GCC unroll 6
    for (int c = 0; c < C; c++) {
        s[0][c] = _mm256_madd_epi16(s[0][c], ones);
        s[1][c] = _mm256_madd_epi16(s[1][c], ones);
    }
}

/* MXFP4 */
AI void tile(const int C, const struct panel *p, int nb, const int32_t *a, float (*acc)[16])
{
    const struct pan *b = p->b;
    for (int i = 0; i < nb; i++, b++, a += A32_FIELDS * C) {
        __m256i s[2][C_MAX];
        sums(TYPE_MXFP4, true, C, b, a, s);
        const __m256 d0 = _mm256_load_ps((const float *)(const void *)b->s0),
                     d1 = _mm256_load_ps((const float *)(const void *)b->s0 + 8);
#pragma GCC unroll 6
        for (int c = 0; c < C; c++) {
            const __m256 da = field_f(a, A32_D, C, c);
            __m256 a0 = _mm256_load_ps(acc[c]), a1 = _mm256_load_ps(acc[c] + 8);
            a0 = _mm256_fmadd_ps(_mm256_mul_ps(d0, da), _mm256_cvtepi32_ps(s[0][c]), a0);
            a1 = _mm256_fmadd_ps(_mm256_mul_ps(d1, da), _mm256_cvtepi32_ps(s[1][c]), a1);
            _mm256_store_ps(acc[c], a0);
            _mm256_store_ps(acc[c] + 8, a1);
        }
    }
}

/* `blocks` of 32 a unit: 1, or 8 after a header (IQ4_XS). */
AI void gemv(const int type, const int C, const int blocks, const size_t header, const size_t block,
             const uint8_t *b, int nu, const int32_t *a, float (*out)[16])
{
    __m256 acc[2][C_MAX];
#pragma GCC unroll 6
    for (int c = 0; c < C; c++)
        acc[0][c] = acc[1][c] = _mm256_setzero_ps();
    for (int u = 0; u < nu; u++) {
        const uint8_t *head = b;
        __m256 part[2][C_MAX];
#pragma GCC unroll 6
        for (int c = 0; c < C; c++)
            part[0][c] = part[1][c] = _mm256_setzero_ps();
        b += header;
        for (int j = 0; j < blocks; j++, b += block, a += A32_FIELDS * C) {
            __m256i s[2][C_MAX];
            sums(type, false, C, b, a, s);
#pragma GCC unroll 2
            for (int h = 0; h < 2; h++) {
                const __m256 d = type == TYPE_IQ4_XS ? _mm256_setzero_ps() : scale(type, b, h);
#pragma GCC unroll 6
                for (int c = 0; c < C; c++) {
                    const __m256 da = field_f(a, A32_D, C, c), v = _mm256_cvtepi32_ps(s[h][c]);
                    if (type == TYPE_IQ4_XS)
                        part[h][c] = _mm256_fmadd_ps(da, v, part[h][c]);
                    else
                        acc[h][c] = _mm256_fmadd_ps(_mm256_mul_ps(d, da), v, acc[h][c]);
                }
            }
        }
        if (type != TYPE_IQ4_XS)
            continue;
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++)
#pragma GCC unroll 6
            for (int c = 0; c < C; c++)
                acc[h][c] = _mm256_fmadd_ps(scale(type, head, h), part[h][c], acc[h][c]);
    }
#pragma GCC unroll 6
    for (int c = 0; c < C; c++) {
        _mm256_storeu_ps(out[c], acc[0][c]);
        _mm256_storeu_ps(out[c] + 8, acc[1][c]);
    }
}

static void unpack_MXFP4(struct panel *p, const uint8_t *b, int nb)
{
    for (int i = 0; i < nb; i++, b += sizeof(struct pk_mxfp4)) {
        struct pan *o = &p->b[i];
        for (int h = 0; h < 2; h++) {
#pragma GCC unroll 8
            for (int g = 0; g < 8; g++)
                _mm256_store_si256((void *)(o->q[g] + 32 * h), step(TYPE_MXFP4, b, h, g));
            _mm256_store_ps((float *)(void *)o->s0 + 8 * h, scale8_e8m0(b, h));
        }
    }
}

AI void unpack_wide(const int type, const int blocks, const size_t header, const size_t block,
                    struct panel *p, const uint8_t *b, int nu)
{
    for (int u = 0; u < nu; u++) {
        for (int h = 0; h < 2; h++)
            _mm256_store_ps((blocks == 1 ? p->w[u].d : p->d[u]) + 8 * h, scale(type, b, h));
        b += header;
        for (int j = 0; j < blocks; j++, b += block)
            for (int h = 0; h < 2; h++) {
                const __m256i sc = pairs(type, b, h);
#pragma GCC unroll 8
                for (int g = 0; g < 8; g++)
                    wide_step(&p->w[u * blocks + j], g, h, step(type, b, h, g), sc, blocks > 1);
            }
    }
}

static void unpack_IQ4_NL(struct panel *p, const uint8_t *b, int nu)
{
    unpack_wide(TYPE_IQ4_NL, 1, 0, sizeof(struct pk_iq4_nl), p, b, nu);
}
static void unpack_IQ4_XS(struct panel *p, const uint8_t *b, int nu)
{
    unpack_wide(TYPE_IQ4_XS, 8, offsetof(struct pk_iq4_xs, b), sizeof(struct pk_iq4_xsb), p, b, nu);
}

#define TILE(T, C, CALL)                                                                           \
    static void tile_##T##_2x##C(const struct panel *p, int nb, const int32_t *a,                  \
                                 float (*acc)[16], float (*s)[16])                                 \
    {                                                                                              \
        CALL;                                                                                      \
    }
#define GEMV(T, C, N, HEADER, BLOCK)                                                               \
    static void gemv_##T##_2x##C(const uint8_t *b, int nu, const int32_t *a, float (*acc)[16])     \
    {                                                                                              \
        gemv(TYPE_##T, C, N, HEADER, BLOCK, b, nu, a, acc);                                        \
    }
#define KERNELS(T, N, HEADER, BLOCK, WIDEN)                                                        \
    GEMV(T, 1, N, HEADER, BLOCK)                                                                   \
    GEMV(T, 2, N, HEADER, BLOCK)                                                                   \
    GEMV(T, 3, N, HEADER, BLOCK)                                                                   \
    GEMV(T, 4, N, HEADER, BLOCK)                                                                   \
    GEMV(T, 6, N, HEADER, BLOCK)                                                                   \
    static const struct mm_type mm_##T = {                                                         \
        N,                                                                                         \
        (HEADER) + (N) * (BLOCK),                                                                  \
        WIDEN,                                                                                     \
        unpack_##T,                                                                                \
        {NULL, tile_##T##_2x2, tile_##T##_2x4, tile_##T##_2x6},                                    \
        {NULL, gemv_##T##_2x1, gemv_##T##_2x2, gemv_##T##_2x3, gemv_##T##_2x4, NULL,               \
         gemv_##T##_2x6},                                                                          \
    };                                                                                             \
    static void mul_mat_##T(const struct mat *w, const struct acts *a, float *y, size_t ldy,       \
                            bool add, int32_t g0, int32_t g1, void *scratch)                       \
    {                                                                                              \
        x86_mm(&mm_##T, C_MAX, w, a, y, ldy, add, g0, g1, scratch);                                \
    }

TILE(IQ4_NL, 2, tile_wide(2, false, p, nb, a, acc, s))
TILE(IQ4_NL, 4, tile_wide(4, false, p, nb, a, acc, s))
TILE(IQ4_NL, 6, tile_wide(6, false, p, nb, a, acc, s))
TILE(IQ4_XS, 2, tile_wide(2, true, p, nb, a, acc, s))
TILE(IQ4_XS, 4, tile_wide(4, true, p, nb, a, acc, s))
TILE(IQ4_XS, 6, tile_wide(6, true, p, nb, a, acc, s))
TILE(MXFP4, 2, tile(2, p, nb, a, acc))
TILE(MXFP4, 4, tile(4, p, nb, a, acc))
TILE(MXFP4, 6, tile(6, p, nb, a, acc))
KERNELS(IQ4_NL, 1, 0, sizeof(struct pk_iq4_nl), widen)
KERNELS(IQ4_XS, 8, offsetof(struct pk_iq4_xs, b), sizeof(struct pk_iq4_xsb), widen)
KERNELS(MXFP4, 1, 0, sizeof(struct pk_mxfp4), NULL)

void x86_codes_avx2(struct kernels *k)
{
    k->mul_mat[TYPE_IQ4_NL] = mul_mat_IQ4_NL;
    k->mul_mat[TYPE_IQ4_XS] = mul_mat_IQ4_XS;
    k->mul_mat[TYPE_MXFP4] = mul_mat_MXFP4;
}
