/* kernels/ref/attend.c - attention over pages of 64 positions, defined.
 *
 * A page is a block of the online softmax and lies at a fixed absolute place, and a span of 1024
 * positions is always computed apart and merged in ascending order: so neither threads nor chunks
 * nor cached pages change a bit. Scores: lane = key, fma over d ascending (K is stored transposed).
 * Values: lane = dimension, fma over positions ascending. Only the sum of a page's 64 exponentials
 * crosses lanes: 16 partial sums and the fixed tree.
 *
 * Slots that a query does not see may hold anything: ref never reads them; vectors may, and mask.
 */
#include "kernels/ref/math.h"

#define NEG_INF ref_float(0xff800000u)

static uint16_t half_of(float x) /* saturates: K or V past 65504 must not turn into inf */
{
    x = x > 65504.0f ? 65504.0f : x;
    x = x < -65504.0f ? -65504.0f : x;
    return f32_to_f16(x);
}

void ref_kv_store(enum kv_type t, uint8_t *k_page, uint8_t *v_page, int slot, const float *k,
                  int d_k, const float *v, int d_v)
{
    for (int d = 0; d < d_k; d++) {
        size_t at = (size_t)d * KV_PAGE + (size_t)slot;
        if (t == KV_F16)
            ((uint16_t *)k_page)[at] = half_of(k[d]);
        else
            ((float *)k_page)[at] = k[d];
    }
    for (int d = 0; d < d_v; d++) {
        size_t at = (size_t)slot * (size_t)d_v + (size_t)d;
        if (t == KV_F16)
            ((uint16_t *)v_page)[at] = half_of(v[d]);
        else
            ((float *)v_page)[at] = v[d];
    }
}

static float element(enum kv_type t, const uint8_t *p, size_t at)
{
    return t == KV_F16 ? f16_to_f32(((const uint16_t *)p)[at]) : ((const float *)p)[at];
}

/* Keys first..last (inside the page) of one page for one query; *m, *l, o[d_v] are its state. */
static void one_page(const struct attend *t, const uint8_t *page, const float *q, int first,
                     int last, float *m, float *l, float *o)
{
    float s[KV_PAGE], p[16] = {0}, top = NEG_INF;
    for (int j = first; j <= last; j++) {
        float dot = 0;
        for (int d = 0; d < t->d_k; d++)
            dot = fmaf(element(t->kv, page + t->k_off, (size_t)d * KV_PAGE + (size_t)j), q[d], dot);
        s[j] = dot * t->scale;
        if (t->softcap != 0.0f)
            s[j] = t->softcap * ref_tanhf_inline(s[j] / t->softcap);
        top = s[j] > top ? s[j] : top;
    }
    if (top > *m) {
        float c = ref_expf_inline(*m - top); /* 0 at the first page: m = -inf */
        *l = *l * c;
        for (int i = 0; i < t->d_v; i++)
            o[i] = o[i] * c;
        *m = top;
    }
    for (int j = first; j <= last; j++) {
        s[j] = ref_expf_inline(s[j] - *m);
        p[j % 16] = p[j % 16] + s[j];
    }
    *l = *l + ref_tree16(p);
    for (int j = first; j <= last; j++) {
        size_t at = (size_t)j * (size_t)t->d_v;
        for (int i = 0; i < t->d_v; i++)
            o[i] = fmaf(s[j], element(t->kv, page + t->v_off, at + (size_t)i), o[i]);
    }
}

void ref_attend_span(const struct attend *t, int32_t span, float *state)
{
    for (int i = 0; i < t->n_q; i++, state += attend_state_floats(t->d_v)) {
        float m = NEG_INF, l = 0, *o = state + 16;
        memset(state, 0, attend_state_floats(t->d_v) * sizeof(float));
        int64_t from = (int64_t)span * ATTEND_SPAN, to = from + ATTEND_SPAN - 1; /* keys seen */
        if (to > t->pos[i])
            to = t->pos[i];
        if (t->window && from <= (int64_t)t->pos[i] - t->window)
            from = (int64_t)t->pos[i] - t->window + 1;
        for (int64_t p = from / KV_PAGE; from <= to && p <= to / KV_PAGE; p++) {
            int64_t first = from - p * KV_PAGE, last = to - p * KV_PAGE;
            one_page(t, t->pages[p], t->q[i], first < 0 ? 0 : (int)first,
                     last > KV_PAGE - 1 ? KV_PAGE - 1 : (int)last, &m, &l, o);
        }
        state[0] = m;
        state[1] = l;
    }
}

/* Spans that saw nothing (l = 0) are skipped; a NaN is not: it must reach the answer. */
void ref_attend_merge(const float *states, size_t stride, int n_spans, int d_v, float *out)
{
    float m = NEG_INF, sum = 0;
    for (int s = 0; s < n_spans; s++)
        m = states[(size_t)s * stride] > m ? states[(size_t)s * stride] : m;
    memset(out, 0, (size_t)d_v * sizeof(float));
    for (int s = 0; s < n_spans; s++) {
        const float *st = states + (size_t)s * stride;
        if (st[1] == 0.0f)
            continue;
        float c = ref_expf_inline(st[0] - m);
        sum = fmaf(st[1], c, sum);
        for (int i = 0; i < d_v; i++)
            out[i] = fmaf(st[16 + i], c, out[i]);
    }
    float inv = 1.0f / sum;
    for (int i = 0; i < d_v; i++)
        out[i] = out[i] * inv;
}
