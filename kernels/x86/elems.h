/* kernels/x86/elems.h - norms, RoPE, activations, element-wise operations, argmax, KV append, for
 * any vector width. Contract: kernels/ref/rest.c, kernels/ref/attend.c. Include after vec_....h. */
#ifndef CHASKI_KERNELS_X86_ELEMS_H
#define CHASKI_KERNELS_X86_ELEMS_H

#include "kernels/kernels.h"
#include "kernels/x86/quant8.h"
#include "kernels/x86/vmath.h"

static void rms_norm(float *y, const float *x, const float *w, int n, float eps)
{
    vf p[16 / W];
    for (int v = 0; v < 16 / W; v++)
        p[v] = v_zero();
    int i = 0;
    for (; i + 16 <= n; i += 16)
        for (int v = 0; v < 16 / W; v++)
            p[v] = v_fma(v_ld(x + i + v * W), v_ld(x + i + v * W), p[v]);
    for (int v = 0; i < n && v < 16 / W; v++, i += W) {
        const vf a = v_ld_n(x + i, n - i < W ? n - i : W); /* zeros change no sum */
        p[v] = v_fma(a, a, p[v]);
    }
    const float mean = v_sum16(p) / (float)n;
    const vf r = v_set(1.0f / sqrtf(mean + eps));
    if (w)
        FOR_LANES(j, n, v_st(y + j, v_mul(v_mul(v_ld(x + j), r), v_ld(w + j))),
                  v_st_n(y + j, v_mul(v_mul(v_ld_n(x + j, left), r), v_ld_n(w + j, left)), left));
    else
        FOR_LANES(j, n, v_st(y + j, v_mul(v_ld(x + j), r)),
                  v_st_n(y + j, v_mul(v_ld_n(x + j, left), r), left));
}

static void layer_norm(float *y, const float *x, const float *w, const float *b, int n, float eps)
{
    vf p[16 / W], q[16 / W];
    for (int v = 0; v < 16 / W; v++)
        p[v] = q[v] = v_zero();
    int i = 0;
    for (; i + 16 <= n; i += 16)
        for (int v = 0; v < 16 / W; v++)
            p[v] = v_add(p[v], v_ld(x + i + v * W));
    for (int v = 0; i < n && v < 16 / W; v++, i += W)
        p[v] = v_add(p[v], v_ld_n(x + i, n - i < W ? n - i : W));
    const vf mean = v_set(v_sum16(p) / (float)n);
    for (i = 0; i + 16 <= n; i += 16)
        for (int v = 0; v < 16 / W; v++) {
            const vf d = v_sub(v_ld(x + i + v * W), mean);
            q[v] = v_fma(d, d, q[v]);
        }
    for (int v = 0; i < n && v < 16 / W; v++, i += W) {
        const int left = n - i < W ? n - i : W;
        const vf d = v_sel(v_range(0, left), v_sub(v_ld_n(x + i, left), mean), v_zero());
        q[v] = v_fma(d, d, q[v]);
    }
    const vf r = v_set(1.0f / sqrtf(v_sum16(q) / (float)n + eps));
    FOR_LANES(j, n,
              v_st(y + j, v_fma(v_mul(v_sub(v_ld(x + j), mean), r), v_ld(w + j), v_ld(b + j))),
              v_st_n(y + j,
                     v_fma(v_mul(v_sub(v_ld_n(x + j, left), mean), r), v_ld_n(w + j, left),
                           v_ld_n(b + j, left)),
                     left));
}

static void rope(float *x, int n_heads, size_t stride, int n_rot, const float *cs,
                 enum rope_kind kind)
{
    if (kind == ROPE_NONE)
        return;
    const int half = n_rot / 2;
    for (int h = 0; h < n_heads; h++, x += stride) {
        int i = 0;
        for (; i + W <= half; i += W) {
            vf c, s, x0, x1;
            v_ld_pairs(cs + 2 * i, &c, &s);
            if (kind == ROPE_NORM) {
                v_ld_pairs(x + 2 * i, &x0, &x1);
            } else {
                x0 = v_ld(x + i);
                x1 = v_ld(x + half + i);
            }
            const vf y0 = v_fms(x0, c, v_mul(x1, s)), y1 = v_fma(x0, s, v_mul(x1, c));
            if (kind == ROPE_NORM) {
                v_st_pairs(x + 2 * i, y0, y1);
            } else {
                v_st(x + i, y0);
                v_st(x + half + i, y1);
            }
        }
        for (; i < half; i++) {
            float *a = kind == ROPE_NORM ? x + 2 * i : x + i;
            float *b = kind == ROPE_NORM ? a + 1 : x + half + i;
            const float x0 = *a, x1 = *b, c = cs[2 * i], s = cs[2 * i + 1];
            *a = fmaf(x0, c, -(x1 * s));
            *b = fmaf(x0, s, x1 * c);
        }
    }
}

/* The functions below run on LOCKSTEP vectors in step, the last few values one vector at a time.
 *
 * y[i] = g / (1 + e^-g) * up. Under EXP_LO the exponential is lost in the sum, and a NaN reaches
 * the answer as numerator: one selection is left of ref's three. */
AI void silu(vf *y, const vf *g, const vf *up, const int N)
{
    const vf sign = v_set(-0.0f), one = v_set(1.0f);
    vf x[LOCKSTEP], e[LOCKSTEP];
    EACH(i, N) x[i] = v_max(v_xor(g[i], sign), v_set(-80.0f));
    v_exps(e, x, N, EXP_MODERATE);
    EACH(i, N) e[i] = v_sel(v_gt(x[i], v_set(EXP_HI)), v_set(INFINITY), e[i]);
    EACH(i, N) y[i] = v_mul(v_div(g[i], v_add(one, e[i])), up[i]);
}

AI void gelu(vf *y, const vf *g, const vf *up, const int N)
{
    vf t[LOCKSTEP];
    EACH(i, N) t[i] = v_mul(v_set(GELU_C), v_mul(g[i], g[i]));
    EACH(i, N) t[i] = v_mul(v_set(GELU_S), v_fma(t[i], g[i], g[i]));
    v_tanhs(t, t, N);
    EACH(i, N) {
        const vf h = v_mul(v_set(0.5f), g[i]);
        y[i] = v_mul(v_fma(h, t[i], h), up[i]);
    }
}

#define GATED(name, f)                                                                          \
    static void name(float *y, const float *gate, const float *up, int n)                       \
    {                                                                                           \
        int i = 0;                                                                              \
        for (; i + LOCKSTEP * W <= n; i += LOCKSTEP * W) {                                      \
            vf g[LOCKSTEP], u[LOCKSTEP];                                                        \
            EACH(v, LOCKSTEP) g[v] = v_ld(gate + i + v * W);                                    \
            EACH(v, LOCKSTEP) u[v] = v_ld(up + i + v * W);                                      \
            f(g, g, u, LOCKSTEP);                                                               \
            EACH(v, LOCKSTEP) v_st(y + i + v * W, g[v]);                                        \
        }                                                                                       \
        for (; i < n; i += W) {                                                                 \
            const int left = n - i < W ? n - i : W;                                             \
            vf g = v_ld_n(gate + i, left), u = v_ld_n(up + i, left);                            \
            f(&g, &g, &u, 1);                                                                   \
            v_st_n(y + i, g, left);                                                             \
        }                                                                                       \
    }
GATED(silu_mul, silu)
GATED(gelu_mul, gelu)

AI void gelu_erfs(vf *y, const vf *x, const int N)
{
    vf t[LOCKSTEP];
    EACH(i, N) t[i] = v_mul(v_set(SQRT_HALF), x[i]);
    v_erfs(t, t, N);
    EACH(i, N) {
        const vf h = v_mul(v_set(0.5f), x[i]);
        y[i] = v_fma(h, t[i], h);
    }
}

static void gelu_erf(float *y, const float *x, int n)
{
    int i = 0;
    for (; i + LOCKSTEP * W <= n; i += LOCKSTEP * W) {
        vf v[LOCKSTEP];
        EACH(k, LOCKSTEP) v[k] = v_ld(x + i + k * W);
        gelu_erfs(v, v, LOCKSTEP);
        EACH(k, LOCKSTEP) v_st(y + i + k * W, v[k]);
    }
    for (; i < n; i += W) {
        const int left = n - i < W ? n - i : W;
        vf v = v_ld_n(x + i, left);
        gelu_erfs(&v, &v, 1);
        v_st_n(y + i, v, left);
    }
}

static void add(float *y, const float *x, int n)
{
    FOR_LANES(i, n, v_st(y + i, v_add(v_ld(y + i), v_ld(x + i))),
              v_st_n(y + i, v_add(v_ld_n(y + i, left), v_ld_n(x + i, left)), left));
}

static void scale(float *y, float s, int n)
{
    const vf v = v_set(s);
    FOR_LANES(i, n, v_st(y + i, v_mul(v_ld(y + i), v)),
              v_st_n(y + i, v_mul(v_ld_n(y + i, left), v), left));
}

static void softcap(float *y, float cap, int n)
{
    const vf c = v_set(cap);
    int i = 0;
    for (; i + LOCKSTEP * W <= n; i += LOCKSTEP * W) {
        vf x[LOCKSTEP];
        EACH(v, LOCKSTEP) x[v] = v_div(v_ld(y + i + v * W), c);
        v_tanhs(x, x, LOCKSTEP);
        EACH(v, LOCKSTEP) v_st(y + i + v * W, v_mul(c, x[v]));
    }
    for (; i < n; i += W) {
        const int left = n - i < W ? n - i : W;
        v_st_n(y + i, v_mul(c, v_tanh(v_div(v_ld_n(y + i, left), c))), left);
    }
}

/* As f16, saturated; NaN quiet and without payload, as f32_to_f16 has it. */
AI void halves_of(uint16_t out[W], vf x)
{
    const vf sign = v_set(-0.0f), nan = v_or(v_and(x, sign), v_set(NAN));
    vf y = v_min(v_set(65504.0f), x); /* x where x is NaN */
    y = v_max(v_set(-65504.0f), y);
    v_st_f16(out, v_sel(v_nan(x), nan, y));
}

AI void kv_halves(uint16_t *o, size_t step, const float *x, int n)
{
    uint16_t h[W];
    for (int i = 0; i < n; i += W) {
        const int left = n - i < W ? n - i : W;
        if (left == W && step == 1) {
            halves_of(o + i, v_ld(x + i));
            continue;
        }
        halves_of(h, left == W ? v_ld(x + i) : v_ld_n(x + i, left));
        for (int j = 0; j < left; j++)
            o[(size_t)(i + j) * step] = h[j];
    }
}

static void kv_store(enum kv_type t, uint8_t *k_page, uint8_t *v_page, int slot, const float *k,
                     int d_k, const float *v, int d_v)
{
    if (t == KV_Q8_0) {
        kv_store_q8(k_page, v_page, slot, k, d_k, v, d_v);
        return;
    }
    if (t == KV_Q4_0) {
        ref_kv_store(t, k_page, v_page, slot, k, d_k, v, d_v);
        return;
    }
    if (t == KV_F16) {
        kv_halves((uint16_t *)(void *)k_page + slot, KV_PAGE, k, d_k);
        kv_halves((uint16_t *)(void *)v_page + (size_t)slot * (size_t)d_v, 1, v, d_v);
        return;
    }
    float *ko = (float *)(void *)k_page + slot;
    for (int d = 0; d < d_k; d++)
        ko[(size_t)d * KV_PAGE] = k[d];
    memcpy((float *)(void *)v_page + (size_t)slot * (size_t)d_v, v, (size_t)d_v * sizeof *v);
}

/* The largest value first, then its first place: two passes over cached floats beat carrying
 * indices. */
static int argmax(const float *x, int n)
{
    if (n <= 0)
        return -1;
    vf m[4], nan[4]; /* nan: a lane that met one keeps it */
    for (int v = 0; v < 4; v++) {
        m[v] = v_set(x[0]);
        nan[v] = v_zero();
    }
    int i = 0;
    for (; i + 4 * W <= n; i += 4 * W) {
        for (int v = 0; v < 4; v++) {
            const vf a = v_ld(x + i + v * W);
            nan[v] = v_sel(v_nan(a), a, nan[v]);
            m[v] = v_max(a, m[v]);
        }
    }
    for (; i < n; i += W) {
        const int left = n - i < W ? n - i : W;
        const vf a = v_sel(v_range(0, left), v_ld_n(x + i, left), v_set(x[0]));
        nan[0] = v_sel(v_nan(a), a, nan[0]);
        m[0] = v_max(a, m[0]);
    }
    for (int v = 0; v < 4; v++)
        if (v_any(v_nan(nan[v])))
            return -1;
    float top[W];
    v_st(top, v_max(v_max(m[0], m[1]), v_max(m[2], m[3])));
    for (int j = 1; j < W; j++)
        top[0] = top[j] > top[0] ? top[j] : top[0];
    const vf best = v_set(top[0]);
    for (i = 0; i + W <= n; i += W)
        if (v_any(v_eq(v_ld(x + i), best)))
            break;
    while (i < n && x[i] != top[0])
        i++;
    return i;
}

AI void elems_init(struct kernels *k)
{
    k->rms_norm = rms_norm;
    k->layer_norm = layer_norm;
    k->rope = rope;
    k->silu_mul = silu_mul;
    k->gelu_mul = gelu_mul;
    k->gelu_erf = gelu_erf;
    k->add = add;
    k->scale = scale;
    k->softcap = softcap;
    k->kv_store = kv_store;
    k->argmax = argmax;
}

#endif
