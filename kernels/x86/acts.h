/* kernels/x86/acts.h - columns to A32 (layout: a32.h). Contract: kernels/ref/acts.c.
 *
 * The file that includes it says how many columns stand side by side (COLS) and whether the start
 * values are VNNI's (VNNI). 8 blocks of a column at a time, 256 bits wide on every ISA: maxima and
 * sums are folded by transposing, so scales and fields of 8 blocks are single vectors. */
#ifndef CHASKI_KERNELS_X86_ACTS_H
#define CHASKI_KERNELS_X86_ACTS_H

#include <math.h>
#include <string.h>
#include "kernels/kernels.h"
#include "kernels/x86/a32.h"
#include "kernels/x86/steps_avx2.h"

enum { RUN = 8 }; /* blocks at a time */

static size_t acts_bytes(int n, int k)
{
    return a32_bytes(n, k, COLS);
}

AI __m256i magnitudes(const float *x)
{
    return _mm256_and_si256(ld(x), _mm256_set1_epi32(0x7fffffff));
}

/* One step of folding: dwords of a and b side by side. */
AI __m256i fold_max(__m256i a, __m256i b)
{
    return _mm256_max_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
}
AI __m256i fold_max64(__m256i a, __m256i b)
{
    return _mm256_max_epi32(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
}
AI __m256i fold_add(__m256i a, __m256i b)
{
    return _mm256_add_epi16(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
}
AI __m256i fold_add64(__m256i a, __m256i b)
{
    return _mm256_add_epi16(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
}

/* The largest magnitude of each of 8 blocks, as patterns: they order like the values, with NaN and
 * infinity on top. */
AI __m256i maxima(const float *x)
{
    __m256i m[RUN];
#pragma GCC unroll 8
    for (int b = 0; b < RUN; b++, x += 32)
        m[b] = _mm256_max_epi32(_mm256_max_epi32(magnitudes(x), magnitudes(x + 8)),
                                _mm256_max_epi32(magnitudes(x + 16), magnitudes(x + 24)));
    const __m256i lo = fold_max64(fold_max(m[0], m[1]), fold_max(m[2], m[3]));
    const __m256i hi = fold_max64(fold_max(m[4], m[5]), fold_max(m[6], m[7]));
    return _mm256_max_epi32(_mm256_permute2x128_si256(lo, hi, 0x20),
                            _mm256_permute2x128_si256(lo, hi, 0x31));
}

/* 8 blocks of one column, of which n are stored; o is the first record's place, records `stride`
 * dwords apart, fields w. */
AI void run(const float *x, int32_t *o, const size_t stride, const int w, int n)
{
    const __m256i inf = _mm256_set1_epi32(0x7f800000), zero = _mm256_setzero_si256();
    const __m256i top = maxima(x);

    __m256i db = _mm256_castps_si256(
        _mm256_div_ps(_mm256_castsi256_ps(top), _mm256_set1_ps(127.0f)));
    db = _mm256_andnot_si256(_mm256_set1_epi32(0xfff),
                             _mm256_add_epi32(db, _mm256_set1_epi32(0xfff)));
    __m256i ib = _mm256_castps_si256(
        _mm256_div_ps(_mm256_set1_ps(1.0f), _mm256_castsi256_ps(db)));
    const __m256i finite = _mm256_cmpgt_epi32(inf, top);
    const __m256i used = _mm256_andnot_si256(_mm256_cmpeq_epi32(top, zero),
                                             _mm256_and_si256(finite, _mm256_cmpgt_epi32(inf, ib)));
    db = _mm256_and_si256(db, used);
    ib = _mm256_and_si256(ib, used);
    db = _mm256_blendv_epi8(_mm256_set1_epi32(0x7fc00000), db, finite);

    int32_t inv[RUN], keep[RUN];
    _mm256_storeu_si256((void *)inv, ib);
    _mm256_storeu_si256((void *)keep, used);

    __m256i pairs[RUN];
#pragma GCC unroll 8
    for (int b = 0; b < RUN; b++, x += 32) {
        const __m256 iv = _mm256_castsi256_ps(_mm256_set1_epi32(inv[b]));
        const __m256i i0 = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), iv));
        const __m256i i1 = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8), iv));
        const __m256i i2 = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 16), iv));
        const __m256i i3 = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 24), iv));
        __m256i q = _mm256_packs_epi16(_mm256_packs_epi32(i0, i1), _mm256_packs_epi32(i2, i3));
        q = _mm256_max_epi8(q, _mm256_set1_epi8(-127)); /* the upper end packs saturated to 127 */
        q = _mm256_and_si256(q, _mm256_set1_epi32(keep[b])); /* NaN and infinity: codes 0 */
        q = _mm256_permutevar8x32_epi32(q, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        pairs[b] = _mm256_maddubs_epi16(_mm256_set1_epi8(1), q);
        if (b >= n)
            continue;
        int32_t *r = o + (size_t)b * stride;
        if (w == 1) {
            _mm256_storeu_si256((void *)r, q);
            continue;
        }
        int32_t c[8];
        _mm256_storeu_si256((void *)c, q);
#pragma GCC unroll 8
        for (int g = 0; g < 8; g++)
            r[(A32_CODES + g) * w] = c[g];
    }

    /* Pair sums of the halves of 8 blocks, then the fields. */
    const __m256i lo = fold_add64(fold_add(pairs[0], pairs[1]), fold_add(pairs[2], pairs[3]));
    const __m256i hi = fold_add64(fold_add(pairs[4], pairs[5]), fold_add(pairs[6], pairs[7]));
    const __m256i h0 = _mm256_permute2x128_si256(lo, hi, 0x20);
    const __m256i h1 = _mm256_permute2x128_si256(lo, hi, 0x31);
    const __m256i all = _mm256_add_epi16(h0, h1), ones = _mm256_set1_epi16(1);
    const __m256i asum = _mm256_madd_epi16(all, ones);
    __m256i f[8];
    f[0] = db;
    f[1] = _mm256_castps_si256(
        _mm256_mul_ps(_mm256_castsi256_ps(db), _mm256_cvtepi32_ps(asum)));
    f[2] = _mm256_slli_epi32(_mm256_sub_epi32(zero, asum), 3);
    if (VNNI) {
        const __m256i s0 = _mm256_madd_epi16(h0, ones);
        f[3] = _mm256_slli_epi32(f[2], 1);
        f[4] = _mm256_slli_epi32(_mm256_sub_epi32(zero, s0), 5);
        f[5] = _mm256_slli_epi32(_mm256_sub_epi32(s0, asum), 5);
        f[6] = _mm256_slli_epi32(f[2], 4);
    } else {
        f[3] = _mm256_slli_epi16(_mm256_sub_epi16(zero, all), 4);
        f[4] = _mm256_slli_epi16(_mm256_sub_epi16(zero, h0), 5);
        f[5] = _mm256_slli_epi16(_mm256_sub_epi16(zero, h1), 5);
        f[6] = _mm256_slli_epi32(asum, 4);
    }
    int32_t t[7][RUN];
#pragma GCC unroll 7
    for (int i = 0; i < 7; i++)
        _mm256_storeu_si256((void *)t[i], f[i]);
    for (int b = 0; b < n; b++, o += stride) {
#pragma GCC unroll 7
        for (int i = 0; i < 7; i++)
            o[(A32_D + i) * w] = t[i][b];
    }
}

AI void column_run(const struct acts *a, int col, int b, int32_t *o, const int w)
{
    const float *x = a->x + (size_t)col * a->ldx + 32 * (size_t)b;
    const int left = a->k - 32 * b;
    float tail[32 * RUN];

    if (left < 32 * RUN) {
        memset(tail + left, 0, (size_t)(32 * RUN - left) * sizeof *tail);
        x = memcpy(tail, x, (size_t)left * sizeof *x);
    }
    run(x, o, (size_t)A32_FIELDS * w, w, left < 32 * RUN ? (left + 31) / 32 : RUN);
}

static void quantize(const struct acts *a, int c0, int c1)
{
    const int nb = (a->k + 31) / 32;
    int32_t *a32 = (int32_t *)(void *)a->a32;

    for (int g = c0; g < c1; g += COLS) {
        const int w = a32_width(a->n, COLS, g), n = a->n - g < w ? a->n - g : w;
        int32_t *o = a32 + a32_offset(nb, g);
        if (n < w) /* a column of zeros */
            for (size_t i = 0; i < (size_t)nb * A32_FIELDS; i++)
                o[i * w + n] = 0;
        for (int b = 0; b < nb; b += RUN) {
            int32_t *r = o + (size_t)b * A32_FIELDS * w;
            if (w == 1)
                column_run(a, g, b, r, 1);
            else if (w == COLS)
                for (int c = 0; c < n; c++)
                    column_run(a, g + c, b, r + c, COLS);
            else
                for (int c = 0; c < n; c++)
                    column_run(a, g + c, b, r + c, w);
        }
    }
}

#endif
