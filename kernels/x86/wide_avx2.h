/* kernels/x86/wide_avx2.h - panels of int16 codes, AVX2: for types with signed bytes (Q8_0, IQ4_NL,
 * IQ4_XS). Static inline, constants in `C` and `sub`.
 *
 * Codes of both sides as int16: two multiplies for 32 products of a row where signs would take
 * three. IQ4_XS: the sub-scale (-32..31) is in the codes already, at most 32 * 127 = 4064. */
#ifndef CHASKI_KERNELS_X86_WIDE_AVX2_H
#define CHASKI_KERNELS_X86_WIDE_AVX2_H

#include "kernels/x86/mm_types.h"
#include "kernels/x86/steps_avx2.h"

/* struct mm_type.widen */
#define IS_WIDE(type) ((type) == TYPE_Q8_0 || (type) == TYPE_IQ4_NL || (type) == TYPE_IQ4_XS)
#define WIDEN(type) (IS_WIDE(type) ? widen : NULL)
static inline void widen(int32_t *o, const int32_t *a, int width, int nb)
{
    for (int i = 0; i < nb; i++, a += A32_FIELDS * width, o += WIDE_FIELDS * width) {
        for (int j = 0; j < 2 * width; j++)
            _mm256_storeu_si256((void *)(o + 8 * j),
                                _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)(a + 4 * j))));
        /* 8 dwords for at most 6: what is too many is written over by the next record. */
        _mm256_storeu_si256((void *)(o + 16 * width), ld(a + A32_D * width));
    }
}

/* Step g of half h: 8 rows x 4 bytes to two vectors of 8 rows x 2 codes, times sc if `sub`. */
AI void wide_step(struct wide_pan *o, int g, int h, __m256i q, __m256i sc, bool sub)
{
    const __m256i pairs = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15, 0,
                                           1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    const __m256i v = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(q, pairs), 0xd8);
    __m256i lo = _mm256_cvtepi8_epi16(_mm256_castsi256_si128(v));
    __m256i hi = _mm256_cvtepi8_epi16(_mm256_extracti128_si256(v, 1));
    if (sub) {
        lo = _mm256_mullo_epi16(lo, sc);
        hi = _mm256_mullo_epi16(hi, sc);
    }
    _mm256_store_si256((void *)o->q[g][0][8 * h], lo);
    _mm256_store_si256((void *)o->q[g][1][8 * h], hi);
}

AI void unpack_wide(int type, const int n, size_t header, size_t bytes, struct panel *p,
                    const uint8_t *b, int nu)
{
    for (int u = 0; u < nu; u++) {
        for (int h = 0; h < 2; h++)
            _mm256_store_ps((n == 1 ? p->w[u].d : p->d[u]) + 8 * h, scale8(b, h));
        b += header;
        for (int j = 0; j < n; j++, b += bytes)
            for (int h = 0; h < 2; h++) {
                const __m256i sc = n == 1 ? i_ones16() : i_pairs16(scale_bytes(type, b, 0, h));
#pragma GCC unroll 8
                for (int g = 0; g < 8; g++)
                    wide_step(&p->w[u * n + j], g, h, step(type, b, h, g), sc, n > 1);
            }
    }
}

/* `sub`: partial sums s of 8 blocks, then times the d of the super-block. */
AI void tile_wide(const int C, const bool sub, const struct panel *p, int nb, const int32_t *a,
                  float (*acc)[16], float (*part)[16])
{
    const struct wide_pan *b = p->w;
    for (int i = 0; i < nb; i++, b++, a += WIDE_FIELDS * C) {
        __m256i s[2][C_MAX];
#pragma GCC unroll 16
        for (int j = 0; j < 16; j++) {
            const __m256i w0 = ld(b->q[j >> 1][j & 1]), w1 = ld(b->q[j >> 1][j & 1] + 8);
#pragma GCC unroll 6
            for (int c = 0; c < C; c++) {
                const __m256i x = _mm256_set1_epi32(a[(j >> 1) * 2 * C + 2 * c + (j & 1)]);
                const __m256i p0 = _mm256_madd_epi16(w0, x), p1 = _mm256_madd_epi16(w1, x);
                s[0][c] = pin(j == 0 ? p0 : _mm256_add_epi32(s[0][c], p0));
                s[1][c] = pin(j == 0 ? p1 : _mm256_add_epi32(s[1][c], p1));
            }
        }
        if (sub) {
            const __m256 keep = _mm256_castsi256_ps(_mm256_set1_epi32(i % 8 ? -1 : 0));
#pragma GCC unroll 6
            for (int c = 0; c < C; c++) {
                const __m256 da = field_f(a, 16, C, c);
                const __m256 p0 = _mm256_and_ps(keep, _mm256_load_ps(part[c]));
                const __m256 p1 = _mm256_and_ps(keep, _mm256_load_ps(part[c] + 8));
                _mm256_store_ps(part[c], _mm256_fmadd_ps(da, _mm256_cvtepi32_ps(s[0][c]), p0));
                _mm256_store_ps(part[c] + 8, _mm256_fmadd_ps(da, _mm256_cvtepi32_ps(s[1][c]), p1));
            }
            if (i % 8 != 7)
                continue;
            for (int h = 0; h < 2; h++) {
                const __m256 d = _mm256_load_ps(p->d[i / 8] + 8 * h);
#pragma GCC unroll 6
                for (int c = 0; c < C; c++) {
                    float *o = acc[c] + 8 * h;
                    _mm256_store_ps(
                        o, _mm256_fmadd_ps(d, _mm256_load_ps(part[c] + 8 * h), _mm256_load_ps(o)));
                }
            }
            continue;
        }
        const __m256 d0 = _mm256_load_ps(b->d), d1 = _mm256_load_ps(b->d + 8);
#pragma GCC unroll 6
        for (int c = 0; c < C; c++) {
            const __m256 da = field_f(a, 16, C, c);
            __m256 a0 = _mm256_load_ps(acc[c]), a1 = _mm256_load_ps(acc[c] + 8);
            a0 = _mm256_fmadd_ps(_mm256_mul_ps(d0, da), _mm256_cvtepi32_ps(s[0][c]), a0);
            a1 = _mm256_fmadd_ps(_mm256_mul_ps(d1, da), _mm256_cvtepi32_ps(s[1][c]), a1);
            _mm256_store_ps(acc[c], a0);
            _mm256_store_ps(acc[c] + 8, a1);
        }
    }
}

#endif
