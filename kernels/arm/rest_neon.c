/* kernels/arm/rest_neon.c - norms, RoPE, activations, argmax; tails in ref's scalar steps. */
#include "kernels/arm/arm.h"
#include "kernels/arm/math_neon.h"

static void rms_norm(float *y, const float *x, const float *w, int n, float eps)
{
    float32x4_t p[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    int i = 0;
    for (; i + 16 <= n; i += 16) {
        for (int j = 0; j < 4; j++) {
            float32x4_t v = vld1q_f32(x + i + 4 * j);
            p[j] = vfmaq_f32(p[j], v, v);
        }
    }
    float s[16];
    for (int j = 0; j < 4; j++)
        vst1q_f32(s + 4 * j, p[j]);
    for (; i < n; i++)
        s[i % 16] = fmaf(x[i], x[i], s[i % 16]);
    float mean = ref_tree16(s) / (float)n;
    float r = 1.0f / sqrtf(mean + eps);
    for (i = 0; i + 4 <= n; i += 4) {
        float32x4_t v = vmulq_n_f32(vld1q_f32(x + i), r);
        vst1q_f32(y + i, w ? vmulq_f32(v, vld1q_f32(w + i)) : v);
    }
    for (; i < n; i++)
        y[i] = w ? x[i] * r * w[i] : x[i] * r;
}

static void layer_norm(float *y, const float *x, const float *w, const float *b, int n, float eps)
{
    float32x4_t p[4], q[4];
    float s[16];
    int i = 0;
    for (int j = 0; j < 4; j++)
        p[j] = q[j] = vdupq_n_f32(0);
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 4; j++)
            p[j] = vaddq_f32(p[j], vld1q_f32(x + i + 4 * j));
    for (int j = 0; j < 4; j++)
        vst1q_f32(s + 4 * j, p[j]);
    for (; i < n; i++)
        s[i % 16] = s[i % 16] + x[i];
    const float mean = ref_tree16(s) / (float)n;
    const float32x4_t mean4 = vdupq_n_f32(mean);
    for (i = 0; i + 16 <= n; i += 16)
        for (int j = 0; j < 4; j++) {
            const float32x4_t d = vsubq_f32(vld1q_f32(x + i + 4 * j), mean4);
            q[j] = vfmaq_f32(q[j], d, d);
        }
    for (int j = 0; j < 4; j++)
        vst1q_f32(s + 4 * j, q[j]);
    for (; i < n; i++)
        s[i % 16] = fmaf(x[i] - mean, x[i] - mean, s[i % 16]);
    const float r = 1.0f / sqrtf(ref_tree16(s) / (float)n + eps);
    for (i = 0; i + 4 <= n; i += 4) {
        const float32x4_t d = vmulq_n_f32(vsubq_f32(vld1q_f32(x + i), mean4), r);
        vst1q_f32(y + i, vfmaq_f32(vld1q_f32(b + i), d, vld1q_f32(w + i)));
    }
    for (; i < n; i++)
        y[i] = fmaf((x[i] - mean) * r, w[i], b[i]);
}

static void rope(float *x, int n_heads, size_t stride, int n_rot, const float *cs,
                 enum rope_kind kind)
{
    int half = n_rot / 2;
    if (kind != ROPE_NEOX || half % 4) {
        ref_rope(x, n_heads, stride, n_rot, cs, kind);
        return;
    }
    for (int h = 0; h < n_heads; h++, x += stride) {
        for (int i = 0; i < half; i += 4) {
            float32x4x2_t t = vld2q_f32(cs + 2 * i); /* cosines, sines */
            float32x4_t x0 = vld1q_f32(x + i), x1 = vld1q_f32(x + half + i);
            vst1q_f32(x + i, vfmaq_f32(vnegq_f32(vmulq_f32(x1, t.val[1])), x0, t.val[0]));
            vst1q_f32(x + half + i, vfmaq_f32(vmulq_f32(x1, t.val[0]), x0, t.val[1]));
        }
    }
}

static void silu_mul(float *y, const float *gate, const float *up, int n)
{
    int i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_f32(y + i, silu4(vld1q_f32(gate + i), vld1q_f32(up + i)));
    for (; i < n; i++)
        y[i] = ref_silu_inline(gate[i], up[i]);
}

static void gelu_mul(float *y, const float *gate, const float *up, int n)
{
    int i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_f32(y + i, gelu4(vld1q_f32(gate + i), vld1q_f32(up + i)));
    for (; i < n; i++)
        y[i] = ref_gelu_inline(gate[i], up[i]);
}

static void gelu_erf(float *y, const float *x, int n)
{
    int i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_f32(y + i, gelu_erf4(vld1q_f32(x + i)));
    for (; i < n; i++)
        y[i] = ref_gelu_erf_inline(x[i]);
}

static void softcap(float *y, float cap, int n)
{
    int i = 0;
    for (; i + 4 <= n; i += 4)
        vst1q_f32(y + i, vmulq_n_f32(tanh4(vdivq_f32(vld1q_f32(y + i), vdupq_n_f32(cap))), cap));
    for (; i < n; i++)
        y[i] = cap * ref_tanhf_inline(y[i] / cap);
}

/* The maximum first (FMAX hands a NaN on), then its first place. */
static int argmax(const float *x, int n)
{
    if (n < 4)
        return ref_argmax(x, n);
    float32x4_t top4 = vld1q_f32(x);
    int i = 4;
    for (; i + 4 <= n; i += 4)
        top4 = vmaxq_f32(top4, vld1q_f32(x + i));
    top4 = vmaxq_f32(top4, vld1q_f32(x + n - 4)); /* overlaps: harmless */
    float top = vmaxvq_f32(top4);
    if (top != top)
        return -1;
    for (i = 0; x[i] != top; i++)
        ;
    return i;
}

void arm_rest_neon(struct kernels *k)
{
    k->rms_norm = rms_norm;
    k->layer_norm = layer_norm;
    k->gelu_erf = gelu_erf;
    k->rope = rope;
    k->silu_mul = silu_mul;
    k->gelu_mul = gelu_mul;
    k->softcap = softcap;
    k->argmax = argmax;
    /* add and scale: GCC vectorises ref's loops for every 64-bit ARM */
}
