/* kernels/x86/lanes_avx2.h - integer vectors of 8 rows under the names that mm_blocks.h and
 * mm_supers.h use, on top of vec_avx2.h and steps_avx2.h. Its twin is lanes_avx512.h. */
#ifndef CHASKI_KERNELS_X86_LANES_H
#define CHASKI_KERNELS_X86_LANES_H

#include "gguf/types.h"
#include "kernels/x86/steps_avx2.h"
#include "kernels/x86/vec_avx2.h"

// clang-format off
AI vi i_ld(const void *p) { return _mm256_loadu_si256(p); }
AI void i_st(void *p, vi v) { _mm256_storeu_si256(p, v); }
AI vi i_set(int32_t x) { return _mm256_set1_epi32(x); }
AI vi i_ones16(void) { return _mm256_set1_epi16(1); }
AI vi i_add8(vi a, vi b) { return _mm256_add_epi8(a, b); }
AI vi i_add16(vi a, vi b) { return _mm256_add_epi16(a, b); }
AI vi i_add32(vi a, vi b) { return _mm256_add_epi32(a, b); }
AI vi i_maddubs(vi u, vi s) { return _mm256_maddubs_epi16(u, s); }
AI vi i_madd(vi a, vi b) { return _mm256_madd_epi16(a, b); }
AI vi i_sra16(vi a, int n) { return _mm256_srai_epi16(a, n); }
AI vi i_sll16(vi a, int n) { return _mm256_slli_epi16(a, n); }
AI vi i_sll32(vi a, int n) { return _mm256_slli_epi32(a, n); }
AI vi i_sra32(vi a, int n) { return _mm256_srai_epi32(a, n); }
AI vi i_flip8(vi a) { return _mm256_xor_si256(a, _mm256_set1_epi8((char)0x80)); }
AI vi i_abs8(vi a) { return _mm256_abs_epi8(a); }
AI vi i_sign8(vi x, vi w) { return _mm256_sign_epi8(x, w); } /* x with w's sign */
AI vf i_f32(vi a) { return _mm256_cvtepi32_ps(a); }
AI vi i_pin(vi a) { return pin(a); }
AI vi f_bits(vf a) { return _mm256_castps_si256(a); }
AI vf bits_f(vi a) { return _mm256_castsi256_ps(a); }
AI vf v_fnma(vf a, vf b, vf c) { return _mm256_fnmadd_ps(a, b, c); } /* c - a b */
AI vi i_pairs16(__m128i b) { return _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(b, b)); }
AI vi i_from8(__m128i b) { return _mm256_cvtepi8_epi32(b); }
AI vi i_from_u8(__m128i b) { return _mm256_cvtepu8_epi32(b); }
AI vf v_e8m0(const uint8_t *e, int r) { return scale8_e8m0(e, r); }
AI vf v_e4m3(const uint8_t *s, int r) { return scale8_e4m3(s, r); }
AI __m128i i_bytes(const uint8_t *p) { return _mm_loadl_epi64((const void *)p); } /* W of them */
// clang-format on

/* Step g of rows 8r..8r+7, always unsigned (bytes plus 128). */
AI vi i_step(const int type, const uint8_t *b, const int r, const int g)
{
    const vi v = step(type, b, r, g);
    return type == TYPE_Q8_0 || type == TYPE_IQ4_NL || type == TYPE_IQ4_XS
               ? _mm256_xor_si256(v, _mm256_set1_epi8((char)0x80))
               : v;
}

#endif
