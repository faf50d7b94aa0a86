/* kernels/x86/lanes_avx512.h - integer vectors of 16 rows under the names that mm_blocks.h and
 * mm_supers.h use, on top of vec_avx512.h and steps_avx512.h. Its twin is lanes_avx2.h. */
#ifndef CHASKI_KERNELS_X86_LANES_H
#define CHASKI_KERNELS_X86_LANES_H

#include "gguf/types.h"
#include "kernels/x86/steps_avx512.h"
#include "kernels/x86/vec_avx512.h"

// clang-format off
AI vi i_ld(const void *p) { return _mm512_loadu_si512(p); }
AI void i_st(void *p, vi v) { _mm512_storeu_si512(p, v); }
AI vi i_set(int32_t x) { return _mm512_set1_epi32(x); }
AI vi i_ones16(void) { return _mm512_set1_epi16(1); }
AI vi i_add8(vi a, vi b) { return _mm512_add_epi8(a, b); }
AI vi i_add16(vi a, vi b) { return _mm512_add_epi16(a, b); }
AI vi i_add32(vi a, vi b) { return _mm512_add_epi32(a, b); }
AI vi i_maddubs(vi u, vi s) { return _mm512_maddubs_epi16(u, s); }
AI vi i_madd(vi a, vi b) { return _mm512_madd_epi16(a, b); }
AI vi i_sra16(vi a, int n) { return _mm512_srai_epi16(a, n); }
AI vi i_sll16(vi a, int n) { return _mm512_slli_epi16(a, n); }
AI vi i_sll32(vi a, int n) { return _mm512_slli_epi32(a, n); }
AI vi i_sra32(vi a, int n) { return _mm512_srai_epi32(a, n); }
AI vi i_flip8(vi a) { return _mm512_xor_si512(a, _mm512_set1_epi8((char)0x80)); }
AI vi i_abs8(vi a) { return _mm512_abs_epi8(a); }
AI vf i_f32(vi a) { return _mm512_cvtepi32_ps(a); }
AI vi f_bits(vf a) { return _mm512_castps_si512(a); }
AI vf bits_f(vi a) { return _mm512_castsi512_ps(a); }
AI vf v_fnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); } /* c - a b */
AI vi i_pairs16(__m128i b)
{
    return _mm512_cvtepi8_epi16(
        _mm256_set_m128i(_mm_unpackhi_epi8(b, b), _mm_unpacklo_epi8(b, b)));
}
AI vi i_from8(__m128i b) { return _mm512_cvtepi8_epi32(b); }
AI vi i_from_u8(__m128i b) { return _mm512_cvtepu8_epi32(b); }
AI vf v_e8m0(const uint8_t *e, int r) { (void)r; return scale16_e8m0(e); }
AI vf v_e4m3(const uint8_t *s, int r) { (void)r; return scale16_e4m3(s); }
AI __m128i i_bytes(const uint8_t *p) { return _mm_loadu_si128((const void *)p); } /* W of them */
// clang-format on

/* x with w's sign (0 counts as positive: |w| is 0 there). */
AI vi i_sign8(vi x, vi w)
{
    return _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(w), _mm512_setzero_si512(), x);
}

AI vi i_pin(vi v)
{
    __asm__("" : "+v"(v));
    return v;
}

/* Step g of all 16 rows (r is 0), always unsigned (bytes plus 128). */
AI vi i_step(const int type, const uint8_t *b, const int r, const int g)
{
    (void)r;
    return step(type, b, g);
}

#endif
