/* kernels/x86/mm_blocks_avx2.c - Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 times A32 columns, AVX2 + FMA + F16C.
 *
 * Contract: kernels/ref/mul_mat.c. Per block: an exact integer sum, acc = fma(d_w * d_a, isum,
 * acc), with mins acc = fma(m_w, d_a * asum, acc). Integer plan: vpmaddubsw (codes unsigned) into
 * int16, one widening a block. Sums fit: codes to 15 give 30480; codes to 31 start at -16 * pair
 * sums, so the final value is at most 32512 and wrapping on the way is harmless. Q8_0: |w| times
 * the activation with w's sign (activations are never -128), widened at each step; tiles of it
 * multiply int16 codes.
 * Tile: 2 vectors of 8 rows x up to 6 columns; float sums stay in memory (16 registers). */
#include "kernels/x86/a32.h"
#include "kernels/x86/mm.h"
#include "kernels/x86/steps_avx2.h"
#include "kernels/x86/tables_x86.h"
#include "kernels/x86/wide_avx2.h"

AI bool is_centred(int type)
{
    return type == TYPE_Q5_0 || type == TYPE_Q5_1;
}

AI __m256i codes(const int type, const bool panel, const void *b, int h, int g)
{
    return panel ? ld(((const struct pan *)b)->q[g] + 32 * h) : step(type, b, h, g);
}

/* s[h][c] = the exact int32 sum of one block, zero points included. */
AI void sums(const int type, const bool panel, const int C, const void *b, const int32_t *a,
             __m256i s[2][C_MAX])
{
    const __m256i ones = _mm256_set1_epi16(1);

    if (is_centred(type)) {
#pragma GCC unroll 6
        for (int c = 0; c < C; c++)
            s[0][c] = s[1][c] = field(a, A32_S16, C, c);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        const int g = (i >> 1) + 4 * (i & 1); /* low and high nibbles of one load */
        const __m256i w0 = codes(type, panel, b, 0, g), w1 = codes(type, panel, b, 1, g);
#pragma GCC unroll 6
        for (int c = 0; c < C; c++) {
            const __m256i x = field(a, A32_CODES + g, C, c);
            __m256i p0, p1;
            if (type == TYPE_Q8_0) {
                p0 = _mm256_maddubs_epi16(_mm256_abs_epi8(w0), _mm256_sign_epi8(x, w0));
                p1 = _mm256_maddubs_epi16(_mm256_abs_epi8(w1), _mm256_sign_epi8(x, w1));
                p0 = _mm256_madd_epi16(p0, ones);
                p1 = _mm256_madd_epi16(p1, ones);
                s[0][c] = pin(i == 0 ? p0 : _mm256_add_epi32(s[0][c], p0));
                s[1][c] = pin(i == 0 ? p1 : _mm256_add_epi32(s[1][c], p1));
            } else {
                const bool first = i == 0 && !is_centred(type);
                p0 = _mm256_maddubs_epi16(w0, x);
                s[0][c] = pin(first ? p0 : _mm256_add_epi16(s[0][c], p0));
                p1 = _mm256_maddubs_epi16(w1, x);
                s[1][c] = pin(first ? p1 : _mm256_add_epi16(s[1][c], p1));
            }
        }
    }
#pragma GCC unroll 6
    for (int c = 0; c < C; c++) {
        if (type == TYPE_Q8_0)
            continue;
        s[0][c] = _mm256_madd_epi16(s[0][c], ones);
        s[1][c] = _mm256_madd_epi16(s[1][c], ones);
        if (type == TYPE_Q4_0 || type == TYPE_Q5_1) {
            const __m256i z = field(a, type == TYPE_Q4_0 ? A32_S8 : A32_P16, C, c);
            s[0][c] = _mm256_add_epi32(s[0][c], z);
            s[1][c] = _mm256_add_epi32(s[1][c], z);
        }
    }
}

AI bool has_min(int type)
{
    return type == TYPE_Q4_1 || type == TYPE_Q5_1;
}

AI void tile(const int type, const int C, const struct panel *p, int nb, const int32_t *a,
             float (*acc)[16])
{
    const struct pan *b = p->b;
    for (int i = 0; i < nb; i++, b++, a += A32_FIELDS * C) {
        __m256i s[2][C_MAX];
        sums(type, true, C, b, a, s);
        const __m256 d0 = _mm256_load_ps((const float *)(const void *)b->s0),
                     d1 = _mm256_load_ps((const float *)(const void *)b->s0 + 8);
#pragma GCC unroll 6
        for (int c = 0; c < C; c++) {
            const __m256 da = field_f(a, A32_D, C, c);
            __m256 a0 = _mm256_load_ps(acc[c]), a1 = _mm256_load_ps(acc[c] + 8);
            a0 = _mm256_fmadd_ps(_mm256_mul_ps(d0, da), _mm256_cvtepi32_ps(s[0][c]), a0);
            a1 = _mm256_fmadd_ps(_mm256_mul_ps(d1, da), _mm256_cvtepi32_ps(s[1][c]), a1);
            if (has_min(type)) {
                const float *m = (const float *)(const void *)b->s1;
                const __m256 ds = field_f(a, A32_DSUM, C, c);
                a0 = _mm256_fmadd_ps(_mm256_load_ps(m), ds, a0);
                a1 = _mm256_fmadd_ps(_mm256_load_ps(m + 8), ds, a1);
            }
            _mm256_store_ps(acc[c], a0);
            _mm256_store_ps(acc[c] + 8, a1);
        }
    }
}

static void unpack_Q8_0(struct panel *p, const uint8_t *units, int nb)
{
    const struct pk_q8_0 *b = (const void *)units;
    for (int i = 0; i < nb; i++, b++) {
        struct wide_pan *o = &p->w[i];
        for (int g = 0; g < 8; g++)
            for (int h = 0; h < 2; h++)
                wide_step(o, g, h, ld(b->q[g] + 32 * h), _mm256_set1_epi16(1), false);
        _mm256_store_ps(o->d, scale8(b->d, 0));
        _mm256_store_ps(o->d + 8, scale8(b->d, 1));
    }
}

AI void gemv(const int type, const int C, const size_t unit, const uint8_t *b, int nb,
             const int32_t *a, float (*acc)[16])
{
    __m256 s0[C_MAX], s1[C_MAX];
#pragma GCC unroll 6
    for (int c = 0; c < C; c++)
        s0[c] = s1[c] = _mm256_setzero_ps();
    for (int i = 0; i < nb; i++, b += unit, a += A32_FIELDS * C) {
        __m256i s[2][C_MAX];
        sums(type, false, C, b, a, s);
        const __m256 d0 = scale8(b, 0), d1 = scale8(b, 1);
#pragma GCC unroll 6
        for (int c = 0; c < C; c++) {
            const __m256 da = field_f(a, A32_D, C, c);
            s0[c] = _mm256_fmadd_ps(_mm256_mul_ps(d0, da), _mm256_cvtepi32_ps(s[0][c]), s0[c]);
            s1[c] = _mm256_fmadd_ps(_mm256_mul_ps(d1, da), _mm256_cvtepi32_ps(s[1][c]), s1[c]);
            if (has_min(type)) {
                const __m256 ds = field_f(a, A32_DSUM, C, c);
                s0[c] = _mm256_fmadd_ps(scale8(b + 32, 0), ds, s0[c]);
                s1[c] = _mm256_fmadd_ps(scale8(b + 32, 1), ds, s1[c]);
            }
        }
    }
#pragma GCC unroll 6
    for (int c = 0; c < C; c++) {
        _mm256_storeu_ps(acc[c], s0[c]);
        _mm256_storeu_ps(acc[c] + 8, s1[c]);
    }
}

AI void unpack(const int type, const size_t unit, struct panel *p, const uint8_t *b, int nb)
{
    for (int i = 0; i < nb; i++, b += unit) {
        struct pan *o = &p->b[i];
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
#pragma GCC unroll 8
            for (int g = 0; g < 8; g++)
                _mm256_store_si256((void *)(o->q[g] + 32 * h), step(type, b, h, g));
            _mm256_store_ps((float *)(void *)o->s0 + 8 * h, scale8(b, h));
            if (has_min(type))
                _mm256_store_ps((float *)(void *)o->s1 + 8 * h, scale8(b + 32, h));
        }
    }
}

#define TILE(T, C)                                                                              \
    static void tile_##T##_2x##C(const struct panel *p, int nb, const int32_t *a,               \
                                 float (*acc)[16], float (*s)[16])                              \
    {                                                                                           \
        tile(TYPE_##T, C, p, nb, a, acc);                                                       \
    }
#define GEMV(T, U, C)                                                                           \
    static void gemv_##T##_2x##C(const uint8_t *b, int nb, const int32_t *a, float (*acc)[16])  \
    {                                                                                           \
        gemv(TYPE_##T, C, sizeof(struct U), b, nb, a, acc);                                     \
    }
#define PANELS(T, U)                                                                            \
    TILE(T, 2)                                                                                  \
    TILE(T, 4)                                                                                  \
    TILE(T, 6)                                                                                  \
    static void unpack_##T(struct panel *p, const uint8_t *b, int nb)                           \
    {                                                                                           \
        unpack(TYPE_##T, sizeof(struct U), p, b, nb);                                           \
    }
#define TILE_Q8(C)                                                                              \
    static void tile_Q8_0_2x##C(const struct panel *p, int nb, const int32_t *a,                \
                                float (*acc)[16], float (*s)[16])                               \
    {                                                                                           \
        tile_wide(C, false, p, nb, a, acc, s);                                                  \
    }
#define KERNELS(T, U, WIDEN)                                                                    \
    GEMV(T, U, 1)                                                                               \
    GEMV(T, U, 2)                                                                               \
    GEMV(T, U, 3)                                                                               \
    GEMV(T, U, 4)                                                                               \
    GEMV(T, U, 6)                                                                               \
    static const struct mm_type mm_##T = {                                                      \
        1,                                                                                      \
        sizeof(struct U),                                                                       \
        WIDEN,                                                                                  \
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

PANELS(Q4_0, pk_q4_0)
PANELS(Q4_1, pk_q4_1)
PANELS(Q5_0, pk_q5_0)
PANELS(Q5_1, pk_q5_1)
TILE_Q8(2)
TILE_Q8(4)
TILE_Q8(6)
KERNELS(Q4_0, pk_q4_0, NULL)
KERNELS(Q4_1, pk_q4_1, NULL)
KERNELS(Q5_0, pk_q5_0, NULL)
KERNELS(Q5_1, pk_q5_1, NULL)
KERNELS(Q8_0, pk_q8_0, widen)

void x86_blocks_avx2(struct kernels *k)
{
    k->mul_mat[TYPE_Q4_0] = mul_mat_Q4_0;
    k->mul_mat[TYPE_Q4_1] = mul_mat_Q4_1;
    k->mul_mat[TYPE_Q5_0] = mul_mat_Q5_0;
    k->mul_mat[TYPE_Q5_1] = mul_mat_Q5_1;
    k->mul_mat[TYPE_Q8_0] = mul_mat_Q8_0;
}
