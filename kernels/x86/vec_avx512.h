/* kernels/x86/vec_avx512.h - f32 vectors of 16 lanes under the names that the shared templates use
 * (floats.h, elems.h, attend.h). Its twin is vec_avx2.h. Static inline only. */
#ifndef CHASKI_KERNELS_X86_VEC_H
#define CHASKI_KERNELS_X86_VEC_H

#include <immintrin.h>
#include <stdint.h>

#define AI static inline __attribute__((always_inline))

enum { W = 16 };
typedef __m512 vf;
typedef __m512i vi;
typedef __mmask16 vm;

AI vf v_ld(const float *p) { return _mm512_loadu_ps(p); }
AI void v_st(float *p, vf v) { _mm512_storeu_ps(p, v); }
AI vf v_set(float x) { return _mm512_set1_ps(x); }
AI vf v_bcast(const float *p) { return _mm512_set1_ps(*p); }
AI vf v_zero(void) { return _mm512_setzero_ps(); }
AI vf v_add(vf a, vf b) { return _mm512_add_ps(a, b); }
AI vf v_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
AI vf v_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
AI vf v_div(vf a, vf b) { return _mm512_div_ps(a, b); }
AI vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
AI vf v_fms(vf a, vf b, vf c) { return _mm512_fmsub_ps(a, b, c); }
AI vf v_min(vf a, vf b) { return _mm512_min_ps(a, b); } /* a < b ? a : b */
AI vf v_max(vf a, vf b) { return _mm512_max_ps(a, b); } /* a > b ? a : b */
AI vf v_and(vf a, vf b) { return _mm512_and_ps(a, b); }
AI vf v_or(vf a, vf b) { return _mm512_or_ps(a, b); }
AI vf v_xor(vf a, vf b) { return _mm512_xor_ps(a, b); }
AI vf v_andnot(vf a, vf b) { return _mm512_andnot_ps(a, b); } /* b without the bits of a */

AI vm v_gt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
AI vm v_ge(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
AI vm v_lt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
AI vm v_eq(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
AI vm v_nan(vf a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }
AI vf v_sel(vm m, vf yes, vf no) { return _mm512_mask_blend_ps(m, no, yes); }
AI int v_any(vm m) { return m != 0; }
/* Lanes first..last-1. */
AI vm v_range(int first, int last)
{
    const uint32_t below = last >= 16 ? 0xffffu : last <= 0 ? 0 : (1u << last) - 1;
    const uint32_t from = first <= 0 ? 0xffffu : first >= 16 ? 0 : 0xffffu << first;
    return (vm)(below & from);
}
/* The first n lanes of memory, the others 0; n <= W. */
AI vf v_ld_n(const float *p, int n) { return _mm512_maskz_loadu_ps(v_range(0, n), p); }
AI void v_st_n(float *p, vf v, int n) { _mm512_mask_storeu_ps(p, v_range(0, n), v); }

/* The largest lane; none is NaN. */
AI float v_hmax(vf v)
{
    const __m256 h = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_shuffle_ps(m, m, 1)));
}
/* The canonical tree over 16 partial sums: 8+8, 4+4, 2+2, 1+1. */
AI float v_sum16(const vf p[16 / W])
{
    const __m256 a = _mm256_add_ps(_mm512_castps512_ps256(p[0]), _mm512_extractf32x8_ps(p[0], 1));
    const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_shuffle_ps(c, c, 1)));
}

/* y * 2^n for y near 1, where n stands in the low bits of t (adding to the exponent field). */
AI vf v_scale2(vf y, vf t)
{
    return _mm512_castsi512_ps(_mm512_add_epi32(
        _mm512_castps_si512(y), _mm512_slli_epi32(_mm512_castps_si512(t), 23)));
}

AI vf v_ld_f16(const void *p) { return _mm512_cvtph_ps(_mm256_loadu_si256(p)); }
AI vf v_ld_bf16(const void *p)
{
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p)), 16));
}
AI vf v_ld_i8(const void *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(p)));
}
AI vi vi_ld(const void *p) { return _mm512_loadu_si512(p); }
AI vi vi_set(int32_t x) { return _mm512_set1_epi32(x); }
AI vf v_int(vi v) { return _mm512_cvtepi32_ps(v); }
AI vi vi_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
/* Pairs of int16: products added; the bytes of even and odd places, widened. */
AI vi vi_madd(vi a, vi b) { return _mm512_madd_epi16(a, b); }
AI vi vi_even(vi v) { return _mm512_srai_epi16(_mm512_slli_epi16(v, 8), 8); }
AI vi vi_odd(vi v) { return _mm512_srai_epi16(v, 8); }
AI void v_st_f16(void *p, vf v)
{
    _mm256_storeu_si256(p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

/* Pairs (2i, 2i+1): even and odd elements of 2 W values, and back. */
AI void v_ld_pairs(const float *p, vf *even, vf *odd)
{
    const vf a = v_ld(p), b = v_ld(p + 16);
    const vi e = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    *even = _mm512_permutex2var_ps(a, e, b);
    *odd = _mm512_permutex2var_ps(a, _mm512_add_epi32(e, _mm512_set1_epi32(1)), b);
}
AI void v_st_pairs(float *p, vf even, vf odd)
{
    const vi e = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    v_st(p, _mm512_permutex2var_ps(even, e, odd));
    v_st(p + 16, _mm512_permutex2var_ps(even, _mm512_add_epi32(e, _mm512_set1_epi32(8)), odd));
}

#endif
