/* kernels/x86/steps_avx2.h - codes of a packed block as vectors of 8 rows x 4 values: the one
 * unpacking that panels and GEMV share. `b` is a block as in kernels/layout.h (after the header of
 * a K-quant), `h` the half of the 16 rows, `g` the step 0..7. Static inline, constants in `type`. */
#ifndef CHASKI_KERNELS_X86_STEPS_AVX2_H
#define CHASKI_KERNELS_X86_STEPS_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include "kernels/layout.h"

#define AI static inline __attribute__((always_inline))

AI __m256i ld(const void *p)
{
    return _mm256_loadu_si256(p);
}

AI __m256i nibble(const void *q, int h, int g)
{
    const __m256i v = ld((const uint8_t *)q + 64 * (g & 3) + 32 * h);
    return _mm256_and_si256(g < 4 ? v : _mm256_srli_epi16(v, 4), _mm256_set1_epi8(15));
}

/* Shift every byte of v left by n (right when negative), keep the bits of mask. */
AI __m256i shift_mask(__m256i v, int n, int mask)
{
    const __m256i s = n > 0   ? _mm256_slli_epi16(v, n > 0 ? n : 0)
                      : n < 0 ? _mm256_srli_epi16(v, n < 0 ? -n : 0)
                              : v;
    return _mm256_and_si256(s, _mm256_set1_epi8((char)mask));
}

/* The high bit of step g, as `1 << at` in each byte. */
AI __m256i high(const void *p, int h, int g, int at)
{
    return shift_mask(ld((const uint8_t *)p + 32 * h), at - g, 1 << at);
}

/* The two bits of step g, shifted left by `at`. */
AI __m256i two(const void *p, int h, int g, int at)
{
    return shift_mask(ld((const uint8_t *)p + 64 * (g >> 2) + 32 * h), at - 2 * (g & 3), 3 << at);
}

AI __m256i step(const int type, const uint8_t *b, const int h, const int g)
{
    switch (type) {
    case TYPE_Q4_0:
        return nibble(b + offsetof(struct pk_q4_0, q), h, g);
    case TYPE_Q4_1:
        return nibble(b + offsetof(struct pk_q4_1, q), h, g);
    case TYPE_Q5_0:
        return _mm256_or_si256(nibble(b + offsetof(struct pk_q5_0, q), h, g),
                               high(b + offsetof(struct pk_q5_0, h), h, g, 4));
    case TYPE_Q5_1:
        return _mm256_or_si256(nibble(b + offsetof(struct pk_q5_1, q), h, g),
                               high(b + offsetof(struct pk_q5_1, h), h, g, 4));
    case TYPE_Q8_0:
        return ld(b + offsetof(struct pk_q8_0, q) + 64 * g + 32 * h);
    case TYPE_Q2_K:
        return two(b + offsetof(struct pk_q2_Kb, q), h, g, 0);
    case TYPE_Q3_K:
        return _mm256_or_si256(two(b + offsetof(struct pk_q3_Kb, q), h, g, 0),
                               high(b + offsetof(struct pk_q3_Kb, h), h, g, 2));
    case TYPE_Q4_K:
        return nibble(b + offsetof(struct pk_q4_Kb, q), h, g);
    case TYPE_Q5_K:
        return _mm256_or_si256(nibble(b + offsetof(struct pk_q5_Kb, q), h, g),
                               high(b + offsetof(struct pk_q5_Kb, h), h, g, 4));
    case TYPE_Q6_K:
        return _mm256_or_si256(nibble(b + offsetof(struct pk_q6_Kb, q), h, g),
                               two(b + offsetof(struct pk_q6_Kb, h), h, g, 4));
    default:
        return _mm256_setzero_si256();
    }
}

/* 8 of 16 f16 as f32. */
AI __m256 scale8(const void *d, int h)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const void *)((const uint8_t *)d + 16 * h)));
}

/* Products are summed in an order that spreads over the pipes: the empty asm keeps it (GCC moves
 * all multiplies first and spills them otherwise). */
AI __m256i pin(__m256i v)
{
    __asm__("" : "+x"(v));
    return v;
}

#endif
