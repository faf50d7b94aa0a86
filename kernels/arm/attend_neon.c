/* kernels/arm/attend_neon.c - attention with NEON (attend.h), and what is stored for it. */
#include "kernels/arm/dot_smlal.h"
#include "kernels/arm/attend.h"

/* f32 to f16, saturating; FMIN and FMAX keep a NaN. */
static float16x4_t halves(float32x4_t x)
{
    x = vmaxq_f32(vminq_f32(x, vdupq_n_f32(65504.0f)), vdupq_n_f32(-65504.0f));
    return vcvt_f16_f32(x);
}

static void kv_store(enum kv_type t, uint8_t *k_page, uint8_t *v_page, int slot, const float *k,
                     int d_k, const float *v, int d_v)
{
    if (t != KV_F16 || d_k % 4 || d_v % 4) {
        ref_kv_store(t, k_page, v_page, slot, k, d_k, v, d_v);
        return;
    }
    uint16_t *kp = (uint16_t *)k_page + slot, *vp = (uint16_t *)v_page + (size_t)slot * (size_t)d_v;
    for (int d = 0; d < d_k; d += 4, kp += 4 * KV_PAGE) {
        uint16x4_t h = vreinterpret_u16_f16(halves(vld1q_f32(k + d)));
        kp[0] = vget_lane_u16(h, 0);
        kp[KV_PAGE] = vget_lane_u16(h, 1);
        kp[2 * KV_PAGE] = vget_lane_u16(h, 2);
        kp[3 * KV_PAGE] = vget_lane_u16(h, 3);
    }
    for (int d = 0; d < d_v; d += 4)
        vst1_u16(vp + d, vreinterpret_u16_f16(halves(vld1q_f32(v + d))));
}

void arm_attend_neon(struct kernels *k)
{
    k->attend_span = attend_span;
    k->kv_store = kv_store;
    /* attend_merge: a handful of vectors a query, and GCC vectorises ref's loops */
}
