/* kernels/x86/quant8.h - 32 values to int8 codes and a scale (kernels/ref/acts.c), 8 lanes at a
 * time on every ISA: for the few values of a cached position and of a query. */
#ifndef CHASKI_KERNELS_X86_QUANT8_H
#define CHASKI_KERNELS_X86_QUANT8_H

#include <immintrin.h>
#include "kernels/ref/kv_q4.h"
#include "kernels/ref/ref.h"

static inline __m256 quant8_ld(const float *x, int n)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    if (n >= 8)
        return _mm256_loadu_ps(x);
    return _mm256_maskload_ps(x, _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane));
}

/* n <= 32 values; the codes of the rest are 0. The scale has 24 - drop significant bits. */
static inline float quant8(const float *x, int n, int drop, int8_t *q)
{
    const __m256i mag = _mm256_set1_epi32(0x7fffffff);
    const uint32_t low = (1u << drop) - 1;
    __m256 v[4];
    __m256i top = _mm256_setzero_si256();
    for (int i = 0; i < 4; i++) {
        v[i] = quant8_ld(x + 8 * i, n - 8 * i);
        top = _mm256_max_epi32(top, _mm256_and_si256(_mm256_castps_si256(v[i]), mag));
    }
    __m128i t = _mm_max_epi32(_mm256_castsi256_si128(top), _mm256_extracti128_si256(top, 1));
    t = _mm_max_epi32(t, _mm_shuffle_epi32(t, 0x4e));
    t = _mm_max_epi32(t, _mm_shuffle_epi32(t, 0xb1));
    const uint32_t most = (uint32_t)_mm_cvtsi128_si32(t);
    const float d = ref_float((ref_bits(ref_float(most) / 127.0f) + low) & ~low), inv = 1.0f / d;

    if (most >= 0x7f800000u || most == 0 || ref_bits(inv) >= 0x7f800000u) {
        memset(q, 0, 32);
        return most >= 0x7f800000u ? ref_float(0x7fc00000u) : 0.0f;
    }
    __m256i c[4];
    for (int i = 0; i < 4; i++) { /* nearest even, within +-127: ref's limits are never met */
        const __m256 magic = _mm256_set1_ps(12582912.0f);
        const __m256 s = _mm256_mul_ps(v[i], _mm256_set1_ps(inv));
        c[i] = _mm256_cvtps_epi32(_mm256_sub_ps(_mm256_add_ps(s, magic), magic));
    }
    const __m256i a = _mm256_packs_epi32(c[0], c[1]), b = _mm256_packs_epi32(c[2], c[3]);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_storeu_si256((__m256i *)(void *)q,
                        _mm256_permutevar8x32_epi32(_mm256_packs_epi16(a, b), order));
    return d;
}

/* A block of one position: codes four by four, `step` bytes apart; returns where the next go. */
static inline uint8_t *store_q8(uint8_t *codes, size_t step, uint16_t *scale, const float *x, int n)
{
    int8_t q[32];
    *scale = (uint16_t)(ref_bits(quant8(x, n, 16, q)) >> 16);
    for (int j = 0; j < n && j < 32; j += 4, codes += step)
        memcpy(codes, q + j, 4);
    return codes;
}

static inline void kv_store_q8(uint8_t *k_page, uint8_t *v_page, int slot, const float *k, int d_k,
                               const float *v, int d_v)
{
    uint8_t *at = k_page + q8_k_at(0, slot);
    uint16_t *scale = q8_scales(k_page, d_k) + slot;
    for (int i = 0; i < d_k; i += 32, scale += KV_PAGE) {
        float rest[32];
        q8_less_centre(k_page, slot, k, d_k, i, rest);
        at = store_q8(at, 4 * KV_PAGE, scale, rest, d_k - i);
    }
    at = v_page + (size_t)slot * q8_pad(d_v);
    scale = q8_scales(v_page, d_v) + slot;
    for (int i = 0; i < d_v; i += 32, scale += KV_PAGE)
        at = store_q8(at, 4, scale, v + i, d_v - i);
}

#endif
