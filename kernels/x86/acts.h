/* kernels/x86/acts.h - columns to A32 (layout: a32.h). Contract: kernels/ref/acts.c.
 *
 * The file that includes it says how many columns stand side by side (COLS) and whether the start
 * values are VNNI's (VNNI). The work is 256 bits wide for all: it is a small part of any matmul. */
#ifndef CHASKI_KERNELS_X86_ACTS_H
#define CHASKI_KERNELS_X86_ACTS_H

#include <math.h>
#include <string.h>
#include "kernels/x86/a32.h"
#include "kernels/kernels.h"
#include "kernels/x86/steps_avx2.h"

static size_t acts_bytes(int n, int k)
{
    return a32_bytes(n, k, COLS);
}

/* d of a block whose largest magnitude has the pattern `top`, and 1 / d; false: codes are 0. */
AI bool scale_of(uint32_t top, float *d, float *inv)
{
    uint32_t bits = 0x7fc00000u; /* NaN or infinity in the block */
    bool ok = top < 0x7f800000u;
    if (ok) {
        memcpy(d, &top, 4);
        *d = *d / 127.0f;
        memcpy(&bits, d, 4);
        bits = (bits + 0xfffu) & ~0xfffu;
        memcpy(d, &bits, 4);
        *inv = 1.0f / *d;
        if (top != 0 && *inv < INFINITY)
            return true;
        bits = 0;
    }
    memcpy(d, &bits, 4);
    *inv = 0;
    return false;
}

/* One block of one column into its record (fields w dwords apart). */
AI void block(const float *x, int32_t *o, const int w)
{
    const __m256i mag = _mm256_set1_epi32(0x7fffffff);
    __m256 x0 = _mm256_loadu_ps(x), x1 = _mm256_loadu_ps(x + 8), x2 = _mm256_loadu_ps(x + 16),
           x3 = _mm256_loadu_ps(x + 24);
    /* Magnitudes order like their patterns; NaN and infinity are on top. */
    const __m256i m = _mm256_max_epi32(
        _mm256_max_epi32(_mm256_and_si256(mag, _mm256_castps_si256(x0)),
                         _mm256_and_si256(mag, _mm256_castps_si256(x1))),
        _mm256_max_epi32(_mm256_and_si256(mag, _mm256_castps_si256(x2)),
                         _mm256_and_si256(mag, _mm256_castps_si256(x3))));
    __m128i m4 = _mm_max_epi32(_mm256_castsi256_si128(m), _mm256_extracti128_si256(m, 1));
    m4 = _mm_max_epi32(m4, _mm_shuffle_epi32(m4, 0x4e));
    m4 = _mm_max_epi32(m4, _mm_shuffle_epi32(m4, 0xb1));

    float d, inv;
    if (!scale_of((uint32_t)_mm_cvtsi128_si32(m4), &d, &inv))
        x0 = x1 = x2 = x3 = _mm256_setzero_ps();

    const __m256 iv = _mm256_set1_ps(inv);
    const __m256i i0 = _mm256_cvtps_epi32(_mm256_mul_ps(x0, iv));
    const __m256i i1 = _mm256_cvtps_epi32(_mm256_mul_ps(x1, iv));
    const __m256i i2 = _mm256_cvtps_epi32(_mm256_mul_ps(x2, iv));
    const __m256i i3 = _mm256_cvtps_epi32(_mm256_mul_ps(x3, iv));
    __m256i q = _mm256_packs_epi16(_mm256_packs_epi32(i0, i1), _mm256_packs_epi32(i2, i3));
    q = _mm256_max_epi8(q, _mm256_set1_epi8(-127)); /* both ends at 127 */
    q = _mm256_permutevar8x32_epi32(q, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));

    const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), q);
    __m256i h = _mm256_add_epi16(pairs, _mm256_shuffle_epi32(pairs, 0x4e));
    h = _mm256_add_epi16(h, _mm256_shuffle_epi32(h, 0xb1)); /* pair sums of each half */
    const __m128i h0 = _mm256_castsi256_si128(h), h1 = _mm256_extracti128_si256(h, 1);
    const __m128i all = _mm_add_epi16(h0, h1), zero = _mm_setzero_si128();
    const int32_t asum = _mm_cvtsi128_si32(_mm_madd_epi16(all, _mm_set1_epi16(1)));
    const float dsum = d * (float)asum;

    int32_t c[8];
    _mm256_storeu_si256((void *)c, q);
    for (int g = 0; g < 8; g++)
        o[(A32_CODES + g) * w] = c[g];
    memcpy(o + A32_D * w, &d, 4);
    memcpy(o + A32_DSUM * w, &dsum, 4);
    o[A32_S8 * w] = -8 * asum;
    if (VNNI) {
        const int32_t asum0 = _mm_cvtsi128_si32(_mm_madd_epi16(h0, _mm_set1_epi16(1)));
        o[A32_S16 * w] = -16 * asum;
        o[A32_H0 * w] = -32 * asum0;
        o[A32_H1 * w] = -32 * (asum - asum0);
    } else {
        o[A32_S16 * w] = _mm_cvtsi128_si32(_mm_slli_epi16(_mm_sub_epi16(zero, all), 4));
        o[A32_H0 * w] = _mm_cvtsi128_si32(_mm_slli_epi16(_mm_sub_epi16(zero, h0), 5));
        o[A32_H1 * w] = _mm_cvtsi128_si32(_mm_slli_epi16(_mm_sub_epi16(zero, h1), 5));
    }
    o[A32_P16 * w] = 16 * asum;
    o[A32_S128 * w] = -128 * asum;
}

static void quantize(const struct acts *a, int c0, int c1)
{
    const int nb = (a->k + 31) / 32;
    int32_t *a32 = (int32_t *)(void *)a->a32;

    for (int g = c0; g < c1; g += COLS) {
        const int w = a32_width(a->n, COLS, g);
        int32_t *o = a32 + a32_offset(nb, g);
        for (int c = 0; c < w; c++) {
            if (g + c >= a->n) {
                for (int i = 0; i < nb * A32_FIELDS; i++)
                    o[(size_t)i * w + c] = 0;
                continue;
            }
            const float *x = a->x + (size_t)(g + c) * a->ldx;
            for (int b = 0; b < nb; b++) {
                const int left = a->k - 32 * b;
                float tail[32] = {0};
                if (left < 32)
                    memcpy(tail, x + 32 * b, (size_t)left * sizeof *x);
                block(left < 32 ? tail : x + 32 * b, o + (size_t)b * A32_FIELDS * w + c, w);
            }
        }
    }
}

#endif
