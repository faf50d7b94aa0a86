/* kernels/ref/kv_q4.h - the bytes of a page with 4-bit codes. Private to the kernels.
 *
 * What kv_q8.h says, but codes are -8 to 7, kept as code + 8, two in a byte. The scale (bf16, of either
 * sign) takes the value of largest magnitude to -8, as Q4_0 weights have it; it is rounded away from
 * zero. Of K the blocks are whole: dimensions that there are not have any code. Which two share a byte
 * makes unpacking two long loops:
 *
 *   K: codes [blocks][4][64 positions][4]: dimensions 0..15 of a block low, 16..31 high
 *   V: codes [32 positions][d_v]: positions 0..31 low, 32..63 high
 *   behind either: scales [blocks][64 positions] bf16
 *   behind those of K: centre [32 a block] bf16, 0 past d_k
 *
 * What it costs (mean KL to an f32 cache, benchmarks/accuracy.py --caches): 0.09 nats with SmolLM2-135M,
 * 0.07 with Gemma 3 270M, 0.28 with Qwen2.5-Coder 0.5B, where int8 costs 0.004: a choice for when
 * nothing else fits. (Scales chosen for the least squared error among five gave no less.)
 *
 * Every table unpacks a page to the bytes of kv_q8.h and goes on as with Q8_0, so the bits are those of
 * its products. A page is unpacked for each tile of queries: some bytes a cycle, in the first cache,
 * against half the bytes from memory. */
#ifndef CHASKI_KERNELS_REF_KV_Q4_H
#define CHASKI_KERNELS_REF_KV_Q4_H

#include <stdalign.h>
#include "kernels/ref/kv_q8.h"

enum { Q4_HALF = 4 * KV_PAGE * 4 }; /* bytes of a block of K, codes of half of it */

struct q8_page { /* K and V of one unpacked page */
    alignas(64) uint8_t k[(ATTEND_MAX_D + ATTEND_MAX_D / 32 * 2) * KV_PAGE + ATTEND_MAX_D * 2];
    alignas(64) uint8_t v[(ATTEND_MAX_D + ATTEND_MAX_D / 32 * 2) * KV_PAGE];
};

static inline void q4_low(uint8_t *restrict to, const uint8_t *restrict from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (uint8_t)((from[i] & 15) - 8);
}
static inline void q4_high(uint8_t *restrict to, const uint8_t *restrict from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (uint8_t)((from[i] >> 4) - 8);
}

static inline void q4_unpack(struct q8_page *o, const uint8_t *k, int d_k, const uint8_t *v, int d_v)
{
    const size_t bytes_k = q8_pad(d_k) * KV_PAGE, half_v = q8_pad(d_v) * KV_PAGE / 2;
    const size_t blocks_k = ((size_t)d_k + 31) / 32, blocks_v = ((size_t)d_v + 31) / 32;
    for (size_t at = 0; at < bytes_k; at += 2 * Q4_HALF, k += Q4_HALF) {
        const size_t left = bytes_k - at;
        q4_low(o->k + at, k, left < Q4_HALF ? left : Q4_HALF);
        if (left > Q4_HALF)
            q4_high(o->k + at + Q4_HALF, k, left < 2 * Q4_HALF ? left - Q4_HALF : Q4_HALF);
    }
    memcpy(o->k + bytes_k, k, blocks_k * (2 * KV_PAGE + 64));
    q4_low(o->v, v, half_v);
    q4_high(o->v + half_v, v, half_v);
    memcpy(o->v + 2 * half_v, v + half_v, blocks_v * 2 * KV_PAGE);
}

#endif
