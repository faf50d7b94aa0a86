/* kernels/ref/kv_q8.h - the bytes of a page with int8 codes. Private to the kernels.
 *
 * The d values of a position are cut in blocks of 32 (the last may be shorter). A block has one
 * scale: its largest magnitude / 127, rounded UP to 8 significant bits, so that the upper half of
 * the f32 pattern holds it (bf16); its codes are x * (1 / scale) to nearest even. That
 * is A32 (kernels/ref/acts.c) with a shorter scale, with the same edges. Rounding up costs
 * a code step at most 1/128, and nothing small turns into a denormal, as an f16 scale would. A
 * position is quantized alone: what is stored never changes when more is appended.
 *
 * Keys are stored less the page's *centre*: the key in slot 0, its patterns cut to bf16. Some models
 * (Qwen2) have dimensions that stand at +-100 in every key, and a scale that reaches them leaves
 * nothing for their neighbours; what keys have in common goes with the centre. Measured on
 * Qwen2.5-0.5B: KL to the f32 cache 0.078 without, 0.004 with it (f16: 0.001); models without such
 * dimensions do not care. A query meets the centre once a page, in f32.
 *
 *   K: codes [d_k / 4][64 positions][4]: a 32-bit lane is a key, as the rows of packed weights are
 *   V: codes [64 positions][d_v]
 *   behind either: scales [blocks][64 positions] bf16
 *   behind those of K: centre [32 a block] bf16, 0 past d_k
 * Dimensions are filled up to a multiple of 4 with codes 0. */
#ifndef CHASKI_KERNELS_REF_KV_Q8_H
#define CHASKI_KERNELS_REF_KV_Q8_H

#include "kernels/ref/ref.h"

static inline size_t q8_pad(int d) /* codes a position */
{
    return ((size_t)d + 3) / 4 * 4;
}
static inline size_t q8_k_at(int d, int slot) /* of the code of dimension d */
{
    return ((size_t)(d / 4) * KV_PAGE + (size_t)slot) * 4 + (size_t)(d % 4);
}
static inline uint16_t *q8_scales(uint8_t *codes, int d)
{
    return (uint16_t *)(void *)(codes + q8_pad(d) * KV_PAGE);
}
static inline const uint16_t *q8_scales_of(const uint8_t *codes, int d)
{
    return (const uint16_t *)(const void *)(codes + q8_pad(d) * KV_PAGE);
}
static inline const uint16_t *q8_centre_of(const uint8_t *codes, int d)
{
    return q8_scales_of(codes, d) + (size_t)((d + 31) / 32) * KV_PAGE;
}

/* rest = the n values of a block of the key for `slot`, less the centre, which slot 0 sets. */
static inline void kv_less_centre(uint16_t *c, int slot, const float *k, int n, float *rest)
{
    if (slot == 0) {
        memset(c, 0, 32 * sizeof *c);
        for (int j = 0; j < n; j++)
            c[j] = (uint16_t)(ref_bits(k[j]) >> 16);
    }
    for (int j = 0; j < n; j++)
        rest[j] = k[j] - ref_float((uint32_t)c[j] << 16);
}

/* rest[32] = values i.. of the key for `slot`, less the centre, which slot 0 sets. */
static inline void q8_less_centre(uint8_t *k_page, int slot, const float *k, int d_k, int i,
                                  float *rest)
{
    uint16_t *c = q8_scales(k_page, d_k) + (size_t)((d_k + 31) / 32) * KV_PAGE + i;
    kv_less_centre(c, slot, k + i, d_k - i < 32 ? d_k - i : 32, rest);
}

#endif
