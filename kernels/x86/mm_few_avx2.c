/* kernels/x86/mm_few_avx2.c - NVFP4, Q1_0, Q2_0, TQ1_0, TQ2_0 times A32 columns, AVX2 + FMA + F16C.
 *
 * Contract: kernels/ref/matmul.c. Codes are unsigned: NVFP4 plus 16 (4..28, an int16 chain a half
 * that starts at -16 * pair sums), the others plus 1 (0..3; 8 * 2 * 3 * 127 = 6096 fits int16, the
 * zero point is added as int32). GEMV unpacks on the fly, but for TQ1_0, whose digits come block by
 * block: there 8 blocks go to L1 and a narrow tile runs over them. */
#include <string.h>
#include "kernels/x86/a32.h"
#include "kernels/x86/mm.h"
#include "kernels/x86/steps_avx2.h"
#include "kernels/x86/tables_x86.h"
#include "kernels/x86/wide_avx2.h"

AI int halves(int type)
{
    return type == TYPE_NVFP4 ? 2 : 1;
}

AI __m256i codes(const int type, const bool panel, const void *b, int h, int g)
{
    return panel ? ld(((const struct pan *)b)->q[g] + 32 * h) : step(type, b, h, g);
}

/* s[h][c] = the exact int32 sum of steps g0..g0+n-1 of a block. */
AI void sums(const int type, const bool panel, const int g0, const int n, const int C,
             const void *b, const int32_t *a, __m256i s[2][C_MAX])
{
    const __m256i ones = _mm256_set1_epi16(1);
    const bool nv = type == TYPE_NVFP4;

#pragma GCC unroll 6
    for (int c = 0; c < C; c++)
        s[0][c] = s[1][c] =
            nv ? _mm256_srai_epi16(field(a, A32_H0 + g0 / 4, C, c), 1) : _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int i = 0; i < n; i++) {
        const __m256i w0 = codes(type, panel, b, 0, g0 + i), w1 = codes(type, panel, b, 1, g0 + i);
#pragma GCC unroll 6
        for (int c = 0; c < C; c++) {
            const __m256i x = field(a, A32_CODES + g0 + i, C, c);
            s[0][c] = pin(_mm256_add_epi16(s[0][c], _mm256_maddubs_epi16(w0, x)));
            s[1][c] = pin(_mm256_add_epi16(s[1][c], _mm256_maddubs_epi16(w1, x)));
        }
    }
#pragma GCC unroll 6
    for (int c = 0; c < C; c++) {
        const __m256i z =
            nv ? _mm256_setzero_si256() : _mm256_srai_epi32(field(a, A32_S8, C, c), 3);
        s[0][c] = _mm256_add_epi32(_mm256_madd_epi16(s[0][c], ones), z);
        s[1][c] = _mm256_add_epi32(_mm256_madd_epi16(s[1][c], ones), z);
    }
}

AI void tile(const int type, const int C, const struct pan *b, int nb, const int32_t *a,
             float (*acc)[16])
{
    for (int i = 0; i < nb; i++, b++, a += A32_FIELDS * C) {
#pragma GCC unroll 2
        for (int half = 0; half < halves(type); half++) {
            __m256i s[2][C_MAX];
            sums(type, true, 4 * half, 8 / halves(type), C, b, a, s);
            const float *d = (const float *)(const void *)(half ? b->s1 : b->s0);
            const __m256 d0 = _mm256_load_ps(d), d1 = _mm256_load_ps(d + 8);
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
}

/* The five digits of each vector, by the places of struct pk_tq1_0. */
AI void unpack_digits(struct pan *o, const uint8_t *q)
{
    for (int m = 0; m < 13; m++)
        for (int h = 0; h < 2; h++) {
            __m256i x = ld(q + 64 * m + 32 * h);
            for (int k = 0; k < 5; k++) {
                int block = k, g = m;
                if (m >= 8)
                    block = 5 + k / 2, g = 4 * (k % 2) + m - 8;
                if (m == 12)
                    block = 7, g = 4 + k;
                if (g < 8) /* the fifth of the last vector is nothing */
                    _mm256_store_si256((void *)(o[block].q[g] + 32 * h), digit(x));
                x = _mm256_add_epi8(x, _mm256_add_epi8(x, x));
            }
        }
}

/* n blocks of whole units: `blocks` of `bytes` after a header of `header` bytes. */
AI void unpack(const int type, const int blocks, const size_t header, const size_t bytes,
               struct pan *o, const uint8_t *b, int n)
{
    for (int i = 0; i < n; i += blocks, o += blocks) {
        const uint8_t *head = b;
        b += header;
        if (type == TYPE_TQ1_0)
            unpack_digits(o, b);
        for (int j = 0; j < blocks; j++, b += bytes)
            for (int h = 0; h < 2; h++) {
#pragma GCC unroll 8
                for (int g = 0; g < 8 && type != TYPE_TQ1_0; g++)
                    _mm256_store_si256((void *)(o[j].q[g] + 32 * h), step(type, b, h, g));
                const bool nv = type == TYPE_NVFP4;
                _mm256_store_ps((float *)(void *)o[j].s0 + 8 * h,
                                nv ? scale8_e4m3(b, h) : scale8(head, h));
                if (nv)
                    _mm256_store_ps((float *)(void *)o[j].s1 + 8 * h, scale8_e4m3(b + 16, h));
            }
    }
}

AI void gemv_direct(const int type, const int C, const int blocks, const size_t header,
                    const size_t bytes, const uint8_t *b, int nu, const int32_t *a,
                    float (*out)[16])
{
    __m256 acc[2][C_MAX];
#pragma GCC unroll 6
    for (int c = 0; c < C; c++)
        acc[0][c] = acc[1][c] = _mm256_setzero_ps();
    for (int u = 0; u < nu; u++) {
        const uint8_t *head = b;
        b += header;
        for (int j = 0; j < blocks; j++, b += bytes, a += A32_FIELDS * C) {
            for (size_t o = 0; o < bytes; o += 64)
                _mm_prefetch((const char *)b + 1536 + o, _MM_HINT_T0);
#pragma GCC unroll 2
            for (int half = 0; half < halves(type); half++) {
                __m256i s[2][C_MAX];
                sums(type, false, 4 * half, 8 / halves(type), C, b, a, s);
#pragma GCC unroll 2
                for (int h = 0; h < 2; h++) {
                    const __m256 d =
                        type == TYPE_NVFP4 ? scale8_e4m3(b + 16 * half, h) : scale8(head, h);
#pragma GCC unroll 6
                    for (int c = 0; c < C; c++)
                        acc[h][c] = _mm256_fmadd_ps(_mm256_mul_ps(d, field_f(a, A32_D, C, c)),
                                                    _mm256_cvtepi32_ps(s[h][c]), acc[h][c]);
                }
            }
        }
    }
#pragma GCC unroll 6
    for (int c = 0; c < C; c++) {
        _mm256_storeu_ps(out[c], acc[0][c]);
        _mm256_storeu_ps(out[c] + 8, acc[1][c]);
    }
}

/* TQ1_0: 8 blocks into L1, then a narrow tile. */
AI void gemv_unpacked(const int type, const int C, const int blocks, const size_t header,
                      const size_t bytes, const uint8_t *b, int nu, const int32_t *a,
                      float (*acc)[16])
{
    _Alignas(64) struct pan p[8];
    const size_t unit = header + (size_t)blocks * bytes;

    memset(acc, 0, (size_t)C * sizeof acc[0]);
    for (int left = nu * blocks; left > 0; left -= 8) {
        const int n = left < 8 ? left : 8;
        for (size_t o = 0; o < 8 / (size_t)blocks * unit; o += 64)
            _mm_prefetch((const char *)b + 1536 + o, _MM_HINT_T0);
        unpack(type, blocks, header, bytes, p, b, n);
        tile(type, C, p, n, a, acc);
        b += (size_t)(n / blocks) * unit;
        a += (size_t)n * A32_FIELDS * C;
    }
}

#define TILE(T, C)                                                                                 \
    static void tile_##T##_2x##C(const struct panel *p, int nb, const int32_t *a,                  \
                                 float (*acc)[16], float (*s)[16])                                 \
    {                                                                                              \
        tile(TYPE_##T, C, p->b, nb, a, acc);                                                       \
    }
#define GEMV(T, C, HOW, N, HEADER, BYTES)                                                          \
    static void gemv_##T##_2x##C(const uint8_t *b, int nu, const int32_t *a, float (*acc)[16])     \
    {                                                                                              \
        gemv_##HOW(TYPE_##T, C, N, HEADER, BYTES, b, nu, a, acc);                                  \
    }
#define KERNELS(T, HOW, N, HEADER, BYTES)                                                          \
    static void unpack_##T(struct panel *p, const uint8_t *b, int nu)                              \
    {                                                                                              \
        unpack(TYPE_##T, N, HEADER, BYTES, p->b, b, nu * (N));                                     \
    }                                                                                              \
    TILE(T, 2)                                                                                     \
    TILE(T, 4)                                                                                     \
    TILE(T, 6)                                                                                     \
    GEMV(T, 1, HOW, N, HEADER, BYTES)                                                              \
    GEMV(T, 2, HOW, N, HEADER, BYTES)                                                              \
    GEMV(T, 3, HOW, N, HEADER, BYTES)                                                              \
    GEMV(T, 4, HOW, N, HEADER, BYTES)                                                              \
    GEMV(T, 6, HOW, N, HEADER, BYTES)                                                              \
    static const struct mm_type mm_##T = {                                                         \
        N,                                                                                         \
        (HEADER) + (N) * (BYTES),                                                                  \
        NULL,                                                                                      \
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

KERNELS(NVFP4, direct, 2, 0, sizeof(struct pk_nvfp4b))
KERNELS(Q1_0, direct, 4, 32, 64)
KERNELS(Q2_0, direct, 2, 32, 128)
KERNELS(TQ1_0, unpacked, 8, 32, 104) /* 13 vectors of 8 blocks */
KERNELS(TQ2_0, direct, 8, 32, 128)

void x86_few_avx2(struct kernels *k)
{
    k->mul_mat[TYPE_NVFP4] = mul_mat_NVFP4;
    k->mul_mat[TYPE_Q1_0] = mul_mat_Q1_0;
    k->mul_mat[TYPE_Q2_0] = mul_mat_Q2_0;
    k->mul_mat[TYPE_TQ1_0] = mul_mat_TQ1_0;
    k->mul_mat[TYPE_TQ2_0] = mul_mat_TQ2_0;
}
