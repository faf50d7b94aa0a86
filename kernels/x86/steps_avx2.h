/* kernels/x86/steps_avx2.h - codes of a packed block as vectors of 8 rows x 4 values: the one
 * unpacking that panels and GEMV share. `b` is a block as in kernels/layout.h (after the header of
 * a K-quant), `h` the half of the 16 rows, `g` the step 0..7. Static inline, constants in `type`. */
#ifndef CHASKI_KERNELS_X86_STEPS_AVX2_H
#define CHASKI_KERNELS_X86_STEPS_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include "kernels/codes.h"
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

/* Places in a table of 16 signed bytes, plus `off`. */
AI __m256i look_up(const int8_t table[16], int off, __m256i at)
{
    const __m128i t = _mm_add_epi8(_mm_loadu_si128((const void *)table), _mm_set1_epi8((char)off));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(t), at);
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
    case TYPE_IQ4_NL:
        return look_up(codes_iq4, 0, nibble(b + offsetof(struct pk_iq4_nl, q), h, g));
    case TYPE_IQ4_XS:
        return look_up(codes_iq4, 0, nibble(b + offsetof(struct pk_iq4_xsb, q), h, g));
    case TYPE_MXFP4: /* 4..28 */
        return look_up(codes_e2m1, 16, nibble(b + offsetof(struct pk_mxfp4, q), h, g));
    case TYPE_NVFP4:
        return look_up(codes_e2m1, 16, nibble(b + offsetof(struct pk_nvfp4b, q), h, g));
    case TYPE_Q1_0: /* 0 or 2 */
        return high(b, h, g, 1);
    case TYPE_Q2_0:
    case TYPE_TQ2_0:
        return two(b, h, g, 0);
    default:
        return _mm256_setzero_si256();
    }
}

/* Digit of each byte as a fraction of 256 in base 3: 0, 1 or 2. */
AI __m256i digit(__m256i x)
{
    const __m256i one = _mm256_cmpeq_epi8(_mm256_max_epu8(x, _mm256_set1_epi8(86)), x);
    const __m256i two = _mm256_cmpeq_epi8(_mm256_max_epu8(x, _mm256_set1_epi8((char)171)), x);
    return _mm256_abs_epi8(_mm256_add_epi8(one, two));
}

/* 8 of 16 f16 as f32. */
AI __m256 scale8(const void *d, int h)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const void *)((const uint8_t *)d + 16 * h)));
}

/* 8 of 16 scales of MXFP4: 2^(e - 128). */
AI __m256 scale8_e8m0(const uint8_t *e, int h)
{
    const __m256i x = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)(e + 8 * h)));
    const __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(x, _mm256_set1_epi32(1)), 23);
    const __m256i small = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), x);
    const __m256i is_small = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), x);
    return _mm256_castsi256_ps(_mm256_blendv_epi8(normal, small, is_small));
}

/* 8 of 16 scales of NVFP4 (kernels/codes.h). Small ones (exponent field 0) by a conversion, so that
 * no denormal is multiplied. */
AI __m256 scale8_e4m3(const uint8_t *s, int h)
{
    const __m256i x = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)(s + 8 * h)));
    const __m256i normal = _mm256_add_epi32(_mm256_slli_epi32(x, 20), _mm256_set1_epi32(119 << 23));
    const __m256 small = _mm256_mul_ps(_mm256_cvtepi32_ps(x), _mm256_set1_ps(0x1p-10f));
    const __m256i is_small = _mm256_cmpgt_epi32(_mm256_set1_epi32(8), x);
    return _mm256_blendv_ps(_mm256_castsi256_ps(normal), small, _mm256_castsi256_ps(is_small));
}

/* Products are summed in an order that spreads over the pipes: the empty asm keeps it (GCC moves
 * all multiplies first and spills them otherwise). */
AI __m256i pin(__m256i v)
{
    __asm__("" : "+x"(v));
    return v;
}

#endif
