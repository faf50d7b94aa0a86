/* kernels/arm/acts_neon.c - A32 (kernels/ref/acts.c) with NEON. */
#include <arm_neon.h>
#include <stddef.h>
#include <string.h>
#include "kernels/arm/a32.h"
#include "kernels/arm/arm.h"
#include "kernels/ref/acts.h"
#include "kernels/ref/ref.h"

static size_t blocks_of(int k)
{
    return ((size_t)k + 31) / 32;
}

static size_t acts_bytes(int n, int k)
{
    return (size_t)n * blocks_of(k) * sizeof(struct arm_a32);
}

static void sums(struct arm_a32 *o)
{
    o->half[0] = vaddlvq_s8(vld1q_s8(o->q));
    o->half[1] = vaddlvq_s8(vld1q_s8(o->q + 16));
    o->sum = o->half[0] + o->half[1];
    o->d_half[0] = o->d * (float)o->half[0];
    o->d_half[1] = o->d * (float)o->half[1];
    o->d_sum = o->d * (float)o->sum;
    o->unused = 0;
}

static void block(const float *x, struct arm_a32 *o)
{
    uint32x4_t top4 = vdupq_n_u32(0);
    for (int i = 0; i < 32; i += 4)
        top4 = vmaxq_u32(
            top4, vandq_u32(vreinterpretq_u32_f32(vld1q_f32(x + i)), vdupq_n_u32(0x7fffffffu)));
    uint32_t top = vmaxvq_u32(top4);
    memset(o->q, 0, sizeof o->q);
    o->d = 0.0f;
    if (top >= 0x7f800000u) {
        o->d = ref_float(0x7fc00000u);
    } else if (top) {
        float d = ref_float(top) / 127.0f;
        d = ref_float((ref_bits(d) + 0xfffu) & ~0xfffu);
        float inv = 1.0f / d;
        if (ref_bits(inv) < 0x7f800000u) {
            o->d = d;
            for (int i = 0; i < 32; i += 8) {
                int16x4_t a = vmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + i), inv)));
                int16x4_t b = vmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + i + 4), inv)));
                int8x8_t q = vqmovn_s16(vcombine_s16(a, b));
                vst1_s8(o->q + i, vmax_s8(q, vdup_n_s8(-127)));
            }
        }
    }
    sums(o);
}

static void quantize(const struct acts *a, int c0, int c1)
{
    size_t n_blocks = blocks_of(a->k);
    for (int c = c0; c < c1; c++) {
        struct arm_a32 *o = (struct arm_a32 *)a->a32 + (size_t)c * n_blocks;
        const float *x = a->x + (size_t)c * a->ldx;
        int k = 0;
        for (; k + 32 <= a->k; k += 32)
            block(x + k, o++);
        if (k < a->k) {
            struct ref_a32 r;
            ref_quantize32(x + k, a->k - k, &r);
            o->d = r.d;
            memcpy(o->q, r.q, sizeof r.q);
            sums(o);
        }
    }
}

/* Types that ARM has no kernel for: ref's product over our columns. */
static void mul_by_ref(const struct mat *w, const struct acts *a, float *y, size_t ldy, bool add,
                       int32_t g0, int32_t g1, void *scratch)
{
    (void)scratch;
    ref_mul_quant(w, a, y, ldy, add, g0, g1, sizeof(struct arm_a32), offsetof(struct arm_a32, q));
}

/* Ref's own products read ref's columns: none may stay. */
void arm_acts_neon(struct kernels *k)
{
    for (uint32_t t = 0; t < TYPE_COUNT; t++)
        if (k->mul_mat[t] && mat_quantized_acts(t))
            k->mul_mat[t] = mul_by_ref;
    k->act_cols = 1;
    k->acts_bytes = acts_bytes;
    k->quantize = quantize;
}
