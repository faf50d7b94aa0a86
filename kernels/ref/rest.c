/* kernels/ref/rest.c - norms, RoPE, activations, element-wise operations, argmax: defined. */
#include "kernels/ref/math.h"

/* Sum of squares in the canonical 16-lane order: element i to partial sum i mod 16, then the tree.
 * Square root and divisions are IEEE. */
void ref_rms_norm(float *y, const float *x, const float *w, int n, float eps)
{
    float p[16] = {0};
    for (int i = 0; i < n; i++)
        p[i % 16] = fmaf(x[i], x[i], p[i % 16]);
    float mean = ref_tree16(p) / (float)n;
    float r = 1.0f / sqrtf(mean + eps);
    for (int i = 0; i < n; i++)
        y[i] = w ? x[i] * r * w[i] : x[i] * r;
}

/* Two passes, each in the canonical 16-lane order: the mean, then the squares of what is left of it,
 * so that a large mean costs no digits. One fma a value at the end. */
void ref_layer_norm(float *y, const float *x, const float *w, const float *b, int n, float eps)
{
    float p[16] = {0}, q[16] = {0};
    for (int i = 0; i < n; i++)
        p[i % 16] = p[i % 16] + x[i];
    float mean = ref_tree16(p) / (float)n;
    for (int i = 0; i < n; i++) {
        float d = x[i] - mean;
        q[i % 16] = fmaf(d, d, q[i % 16]);
    }
    float r = 1.0f / sqrtf(ref_tree16(q) / (float)n + eps);
    for (int i = 0; i < n; i++)
        y[i] = fmaf((x[i] - mean) * r, w[i], b[i]);
}

void ref_rope(float *x, int n_heads, size_t stride, int n_rot, const float *cs,
              enum rope_kind kind)
{
    if (kind == ROPE_NONE)
        return;
    int half = n_rot / 2;
    for (int h = 0; h < n_heads; h++, x += stride) {
        for (int i = 0; i < half; i++) {
            float *a = kind == ROPE_NORM ? x + 2 * i : x + i;
            float *b = kind == ROPE_NORM ? a + 1 : x + half + i;
            float x0 = *a, x1 = *b, c = cs[2 * i], s = cs[2 * i + 1];
            *a = fmaf(x0, c, -(x1 * s));
            *b = fmaf(x0, s, x1 * c);
        }
    }
}

void ref_silu_mul(float *y, const float *gate, const float *up, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = ref_silu_inline(gate[i], up[i]);
}

void ref_gelu_mul(float *y, const float *gate, const float *up, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = ref_gelu_inline(gate[i], up[i]);
}

void ref_gelu_erf(float *y, const float *x, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = ref_gelu_erf_inline(x[i]);
}

void ref_add(float *y, const float *x, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = y[i] + x[i];
}

void ref_scale(float *y, float s, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = y[i] * s;
}

void ref_softcap(float *y, float cap, int n)
{
    for (int i = 0; i < n; i++)
        y[i] = cap * ref_tanhf_inline(y[i] / cap);
}

int ref_argmax(const float *x, int n)
{
    int best = n > 0 ? 0 : -1;
    for (int i = 0; i < n; i++) {
        if (x[i] != x[i])
            return -1;
        if (x[i] > x[best])
            best = i;
    }
    return best;
}
