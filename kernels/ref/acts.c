/* kernels/ref/acts.c - A32, the one activation format, defined.
 *
 * For 32 values: amax = the largest magnitude; d = amax / 127 rounded UP to 12 significant bits
 * (add 0xfff to the pattern, clear the low 12 bits); code = x * (1 / d) to nearest even. With 12
 * bits, d_w * d (f16: 11 bits) and d * sum(codes) (12 bits) are exact in f32, so the only rounding
 * of a block is that of its fma. Codes stay within +-127 because d >= amax / 127 up to half an
 * ulp; -128 never occurs (the sign trick of x86 cannot negate it).
 *
 * Edges, equal in every table: all zeros, or a d so small that 1/d is not finite: d = 0, codes 0.
 * A NaN or infinity in the block: d = NaN, codes 0, so that whatever it feeds becomes NaN and the
 * request ends with an error instead of a wrong answer. */
#include <string.h>
#include "kernels/ref/acts.h"
#include "kernels/ref/ref.h"

void ref_quantize32_to(const float *x, int n, int drop, struct ref_a32 *o)
{
    const uint32_t low = (1u << drop) - 1;
    uint32_t top = 0; /* magnitudes order like their patterns; NaN and inf are on top */
    for (int i = 0; i < n; i++) {
        uint32_t u = ref_bits(x[i]) & 0x7fffffffu;
        top = u > top ? u : top;
    }
    memset(o->q, 0, sizeof o->q);
    if (top >= 0x7f800000u) {
        o->d = ref_float(0x7fc00000u);
        return;
    }
    float d = ref_float(top) / 127.0f;
    d = ref_float((ref_bits(d) + low) & ~low);
    float inv = 1.0f / d;
    if (top == 0 || ref_bits(inv) >= 0x7f800000u) {
        o->d = 0.0f;
        return;
    }
    o->d = d;
    for (int i = 0; i < n; i++) {
        float v = x[i] * inv;
        v = (v + 12582912.0f) - 12582912.0f; /* nearest even: 1.5 * 2^23 leaves no fraction bits */
        v = v > 127.0f ? 127.0f : v < -127.0f ? -127.0f : v;
        o->q[i] = (int8_t)v;
    }
}

void ref_quantize32(const float *x, int n, struct ref_a32 *o)
{
    ref_quantize32_to(x, n, 12, o);
}

static size_t blocks_of(int k)
{
    return ((size_t)k + 31) / 32;
}

size_t ref_acts_bytes(int n, int k)
{
    return (size_t)n * blocks_of(k) * sizeof(struct ref_a32);
}

void ref_quantize(const struct acts *a, int c0, int c1)
{
    size_t n_blocks = blocks_of(a->k);
    for (int c = c0; c < c1; c++) {
        struct ref_a32 *o = (struct ref_a32 *)a->a32 + (size_t)c * n_blocks;
        const float *x = a->x + (size_t)c * a->ldx;
        for (int k = 0; k < a->k; k += 32)
            ref_quantize32(x + k, a->k - k < 32 ? a->k - k : 32, o++);
    }
}
