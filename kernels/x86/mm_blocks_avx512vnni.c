/* kernels/x86/mm_blocks_avx512vnni.c - Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 times A32 columns, AVX-512 VNNI.
 *
 * Contract: kernels/ref/matmul.c. Per block: an exact integer sum, acc = fma(d_w * d_a, isum,
 * acc), with mins acc = fma(m_w, d_a * asum, acc). vpdpbusd takes unsigned codes; the zero point
 * (8, 16, 128) is in the start value of the int32 accumulator. Tile: 16 rows x up to 12 columns,
 * 12 int and 12 float accumulators in registers, columns by embedded broadcast.
 * Limit: 8 dot products, a multiply and an FMA a block on one pipe. */
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

AI bool has_min(int type)
{
    return type == TYPE_Q4_1 || type == TYPE_Q5_1;
}

/* s[c] = the exact int32 sum of one block, zero points included. */
AI void sums(const int type, const bool panel, const int C, const void *b, const int32_t *a,
             __m512i s[C_MAX])
{
#pragma GCC unroll 12
    for (int c = 0; c < C; c++)
        s[c] = has_min(type) ? _mm512_setzero_si512()
                             : field(a, type == TYPE_Q4_0   ? A32_S8
                                        : type == TYPE_Q5_0 ? A32_S16
                                                            : A32_S128, C, c);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        const int g = panel ? i : (i >> 1) + 4 * (i & 1); /* low and high nibbles of one load */
        const __m512i w = panel ? ld(((const struct pan *)b)->q[g]) : step(type, b, g);
#pragma GCC unroll 12
        for (int c = 0; c < C; c++)
            s[c] = _mm512_dpbusd_epi32(s[c], w, field(a, A32_CODES + g, C, c));
    }
}

AI void tile(const int type, const int C, const struct panel *p, int nb, const int32_t *a,
             float (*out)[16])
{
    __m512 acc[C_MAX];
#pragma GCC unroll 12
    for (int c = 0; c < C; c++)
        acc[c] = _mm512_load_ps(out[c]);
    const struct pan *b = p->b;
    for (int i = 0; i < nb; i++, b++, a += A32_FIELDS * C) {
        __m512i s[C_MAX];
        sums(type, true, C, b, a, s);
        const __m512 d = _mm512_load_ps(b->s0);
#pragma GCC unroll 12
        for (int c = 0; c < C; c++) {
            const __m512 dd = _mm512_mul_ps(d, field_f(a, A32_D, C, c));
            acc[c] = _mm512_fmadd_ps(dd, _mm512_cvtepi32_ps(s[c]), acc[c]);
            if (has_min(type))
                acc[c] = _mm512_fmadd_ps(_mm512_load_ps(b->s1), field_f(a, A32_DSUM, C, c), acc[c]);
        }
    }
#pragma GCC unroll 12
    for (int c = 0; c < C; c++)
        _mm512_store_ps(out[c], acc[c]);
}

AI void gemv(const int type, const int C, const size_t unit, const uint8_t *b, int nb,
             const int32_t *a, float (*out)[16])
{
    __m512 acc[C_MAX];
#pragma GCC unroll 12
    for (int c = 0; c < C; c++)
        acc[c] = _mm512_setzero_ps();
    for (int i = 0; i < nb; i++, b += unit, a += A32_FIELDS * C) {
        __m512i s[C_MAX];
        sums(type, false, C, b, a, s);
        const __m512 d = scale16(b);
#pragma GCC unroll 12
        for (int c = 0; c < C; c++) {
            const __m512 dd = _mm512_mul_ps(d, field_f(a, A32_D, C, c));
            acc[c] = _mm512_fmadd_ps(dd, _mm512_cvtepi32_ps(s[c]), acc[c]);
            if (has_min(type))
                acc[c] = _mm512_fmadd_ps(scale16(b + 32), field_f(a, A32_DSUM, C, c), acc[c]);
        }
    }
#pragma GCC unroll 12
    for (int c = 0; c < C; c++)
        _mm512_storeu_ps(out[c], acc[c]);
}

AI void unpack(const int type, const size_t unit, struct panel *p, const uint8_t *b, int nb)
{
    for (int i = 0; i < nb; i++, b += unit) {
        struct pan *o = &p->b[i];
#pragma GCC unroll 8
        for (int g = 0; g < 8; g++)
            _mm512_store_si512(o->q[g], step(type, b, g));
        _mm512_store_ps(o->s0, scale16(b));
        if (has_min(type))
            _mm512_store_ps(o->s1, scale16(b + 32));
    }
}

#define TILE(T, C)                                                                              \
    static void tile_##T##_1x##C(const struct panel *p, int nb, const int32_t *a,               \
                                 float (*acc)[16], float (*s)[16])                              \
    {                                                                                           \
        tile(TYPE_##T, C, p, nb, a, acc);                                                       \
    }
#define GEMV(T, U, C)                                                                           \
    static void gemv_##T##_1x##C(const uint8_t *b, int nb, const int32_t *a, float (*acc)[16])  \
    {                                                                                           \
        gemv(TYPE_##T, C, sizeof(struct U), b, nb, a, acc);                                     \
    }
#define KERNELS(T, U)                                                                           \
    TILE(T, 2)                                                                                  \
    TILE(T, 4)                                                                                  \
    TILE(T, 6)                                                                                  \
    TILE(T, 8)                                                                                  \
    TILE(T, 10)                                                                                 \
    TILE(T, 12)                                                                                 \
    GEMV(T, U, 1)                                                                               \
    GEMV(T, U, 2)                                                                               \
    GEMV(T, U, 3)                                                                               \
    GEMV(T, U, 4)                                                                               \
    GEMV(T, U, 6)                                                                               \
    GEMV(T, U, 8)                                                                               \
    GEMV(T, U, 10)                                                                              \
    GEMV(T, U, 12)                                                                              \
    static void unpack_##T(struct panel *p, const uint8_t *b, int nb)                           \
    {                                                                                           \
        unpack(TYPE_##T, sizeof(struct U), p, b, nb);                                           \
    }                                                                                           \
    static const struct mm_type mm_##T = {                                                      \
        1,                                                                                      \
        sizeof(struct U),                                                                       \
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

KERNELS(Q4_0, pk_q4_0)
KERNELS(Q4_1, pk_q4_1)
KERNELS(Q5_0, pk_q5_0)
KERNELS(Q5_1, pk_q5_1)
KERNELS(Q8_0, pk_q8_0)

void x86_blocks_avx512vnni(struct kernels *k)
{
    k->mul_mat[TYPE_Q4_0] = mul_mat_Q4_0;
    k->mul_mat[TYPE_Q4_1] = mul_mat_Q4_1;
    k->mul_mat[TYPE_Q5_0] = mul_mat_Q5_0;
    k->mul_mat[TYPE_Q5_1] = mul_mat_Q5_1;
    k->mul_mat[TYPE_Q8_0] = mul_mat_Q8_0;
}
