/* kernels/x86/steps_avx512.h - codes of a packed block as vectors of 16 rows x 4 values, always
 * unsigned (Q8_0 plus 128): the one unpacking that panels and GEMV share. `b` is a block as in
 * kernels/layout.h (after the header of a K-quant), `g` the step 0..7. Static inline, constants in
 * `type`. Twin of steps_avx2.h. */
#ifndef CHASKI_KERNELS_X86_STEPS_AVX512_H
#define CHASKI_KERNELS_X86_STEPS_AVX512_H

#include <immintrin.h>
#include <stddef.h>
#include "kernels/codes.h"
#include "kernels/layout.h"

#define AI static inline __attribute__((always_inline))

AI __m512i ld(const void *p)
{
    return _mm512_loadu_si512(p);
}

AI __m512i nibble(const void *q, int g)
{
    const __m512i v = ld((const uint8_t *)q + 64 * (g & 3));
    return _mm512_and_si512(g < 4 ? v : _mm512_srli_epi16(v, 4), _mm512_set1_epi8(15));
}

/* Shift every byte of v left by n (right when negative), keep the bits of mask. */
AI __m512i shift_mask(__m512i v, int n, int mask)
{
    const __m512i s = n > 0   ? _mm512_slli_epi16(v, n > 0 ? n : 0)
                      : n < 0 ? _mm512_srli_epi16(v, n < 0 ? -n : 0)
                              : v;
    return _mm512_and_si512(s, _mm512_set1_epi8((char)mask));
}

/* The high bit of step g, as `1 << at` in each byte. */
AI __m512i high(const void *p, int g, int at)
{
    return shift_mask(ld((const uint8_t *)p), at - g, 1 << at);
}

/* The two bits of step g, shifted left by `at`. */
AI __m512i two(const void *p, int g, int at)
{
    return shift_mask(ld((const uint8_t *)p + 64 * (g >> 2)), at - 2 * (g & 3), 3 << at);
}

/* Places in a table of 16 signed bytes, plus `off`. */
AI __m512i look_up(const int8_t table[16], int off, __m512i at)
{
    const __m128i t = _mm_add_epi8(_mm_loadu_si128((const void *)table), _mm_set1_epi8((char)off));
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(t), at);
}

AI __m512i step(const int type, const uint8_t *b, const int g)
{
    switch (type) {
    case TYPE_Q4_0:
        return nibble(b + offsetof(struct pk_q4_0, q), g);
    case TYPE_Q4_1:
        return nibble(b + offsetof(struct pk_q4_1, q), g);
    case TYPE_Q5_0:
        return _mm512_or_si512(nibble(b + offsetof(struct pk_q5_0, q), g),
                               high(b + offsetof(struct pk_q5_0, h), g, 4));
    case TYPE_Q5_1:
        return _mm512_or_si512(nibble(b + offsetof(struct pk_q5_1, q), g),
                               high(b + offsetof(struct pk_q5_1, h), g, 4));
    case TYPE_Q8_0:
        return _mm512_xor_si512(ld(b + offsetof(struct pk_q8_0, q) + 64 * g),
                                _mm512_set1_epi8((char)0x80));
    case TYPE_Q2_K:
        return two(b + offsetof(struct pk_q2_Kb, q), g, 0);
    case TYPE_Q3_K:
        return _mm512_or_si512(two(b + offsetof(struct pk_q3_Kb, q), g, 0),
                               high(b + offsetof(struct pk_q3_Kb, h), g, 2));
    case TYPE_Q4_K:
        return nibble(b + offsetof(struct pk_q4_Kb, q), g);
    case TYPE_Q5_K:
        return _mm512_or_si512(nibble(b + offsetof(struct pk_q5_Kb, q), g),
                               high(b + offsetof(struct pk_q5_Kb, h), g, 4));
    case TYPE_Q6_K:
        return _mm512_or_si512(nibble(b + offsetof(struct pk_q6_Kb, q), g),
                               two(b + offsetof(struct pk_q6_Kb, h), g, 4));
    case TYPE_IQ4_NL: /* plus 128 */
        return look_up(codes_iq4, 128, nibble(b + offsetof(struct pk_iq4_nl, q), g));
    case TYPE_IQ4_XS:
        return look_up(codes_iq4, 128, nibble(b + offsetof(struct pk_iq4_xsb, q), g));
    case TYPE_MXFP4: /* plus 16 */
        return look_up(codes_e2m1, 16, nibble(b + offsetof(struct pk_mxfp4, q), g));
    case TYPE_NVFP4:
        return look_up(codes_e2m1, 16, nibble(b + offsetof(struct pk_nvfp4b, q), g));
    case TYPE_Q1_0: /* 0 or 2 */
        return high(b, g, 1);
    case TYPE_Q2_0:
    case TYPE_TQ2_0:
        return two(b, g, 0);
    default:
        return _mm512_setzero_si512();
    }
}

/* Digit of each byte as a fraction of 256 in base 3: 0, 1 or 2. */
AI __m512i digit(__m512i x)
{
    const __mmask64 one = _mm512_cmpge_epu8_mask(x, _mm512_set1_epi8(86));
    const __mmask64 two = _mm512_cmpge_epu8_mask(x, _mm512_set1_epi8((char)171));
    return _mm512_mask_mov_epi8(_mm512_maskz_set1_epi8(one, 1), two, _mm512_set1_epi8(2));
}

/* 16 f16 as f32. */
AI __m512 scale16(const void *d)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256(d));
}

/* 16 scales of MXFP4: 2^(e - 128). */
AI __m512 scale16_e8m0(const uint8_t *e)
{
    const __m512i x = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)e));
    const __m512i normal = _mm512_slli_epi32(_mm512_sub_epi32(x, _mm512_set1_epi32(1)), 23);
    const __mmask16 small = _mm512_cmplt_epi32_mask(x, _mm512_set1_epi32(2));
    return _mm512_castsi512_ps(
        _mm512_mask_sllv_epi32(normal, small, _mm512_set1_epi32(0x00200000), x));
}

/* 16 scales of NVFP4 (kernels/codes.h). Small ones (exponent field 0) by a conversion, so that no
 * denormal is multiplied. */
AI __m512 scale16_e4m3(const uint8_t *s)
{
    const __m512i x = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)s));
    const __m512i normal = _mm512_add_epi32(_mm512_slli_epi32(x, 20), _mm512_set1_epi32(119 << 23));
    const __mmask16 small = _mm512_cmplt_epi32_mask(x, _mm512_set1_epi32(8));
    return _mm512_mask_mul_ps(_mm512_castsi512_ps(normal), small, _mm512_cvtepi32_ps(x),
                              _mm512_set1_ps(0x1p-10f));
}

#endif
