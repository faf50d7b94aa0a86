/* kernels/ref/attend.c - attention over pages of 64 positions, defined.
 *
 * A page is a block of the online softmax and lies at a fixed absolute place, and a span of 1024
 * positions is always computed apart and merged in ascending order: so neither threads nor chunks
 * nor cached pages change a bit. Scores: lane = key, fma over d ascending (K is stored transposed).
 * Values: lane = dimension, fma over positions ascending. Only the sum of a page's 64 exponentials
 * crosses lanes: 16 partial sums and the fixed tree.
 *
 * Q8_0 (kv_q8.h has the bytes): the query becomes A32, a block's 32 products are an exact integer
 * (below 2^19, and scale times scale has at most 20 bits), then one fma a block, as with weights
 * of Q8_0; the sum starts at the query times the page's centre. Values: (probability * scale) rounds, then an fma with the code.
 *
 * Q4_0 (kv_q4.h): the same arithmetic on a page that is unpacked first.
 *
 * Slots that a query does not see may hold anything: ref never reads them; vectors may, and mask.
 */
#include "kernels/ref/acts.h"
#include "kernels/ref/kv_q4.h"
#include "kernels/ref/math.h"

#define NEG_INF ref_float(0xff800000u)

static uint16_t half_of(float x) /* saturates: K or V past 65504 must not turn into inf */
{
    x = x > 65504.0f ? 65504.0f : x;
    x = x < -65504.0f ? -65504.0f : x;
    return f32_to_f16(x);
}

/* A block of one position: codes four by four, `step` bytes apart; returns where the next go. */
static uint8_t *store_q8(uint8_t *codes, size_t step, uint16_t *scale, const float *x, int n)
{
    struct ref_a32 b;
    ref_quantize32_to(x, n, 16, &b);
    *scale = (uint16_t)(ref_bits(b.d) >> 16);
    for (int j = 0; j < n; j += 4, codes += step)
        memcpy(codes, b.q + j, 4);
    return codes;
}

static void kv_store_q8(uint8_t *k_page, uint8_t *v_page, int slot, const float *k, int d_k,
                        const float *v, int d_v)
{
    uint8_t *at = k_page + q8_k_at(0, slot);
    uint16_t *scale = q8_scales(k_page, d_k) + slot;
    for (int i = 0; i < d_k; i += 32, scale += KV_PAGE) {
        float rest[32];
        q8_less_centre(k_page, slot, k, d_k, i, rest);
        at = store_q8(at, 4 * KV_PAGE, scale, rest, d_k - i < 32 ? d_k - i : 32);
    }
    at = v_page + (size_t)slot * q8_pad(d_v);
    scale = q8_scales(v_page, d_v) + slot;
    for (int i = 0; i < d_v; i += 32, scale += KV_PAGE)
        at = store_q8(at, 4, scale, v + i, d_v - i < 32 ? d_v - i : 32);
}

/* 32 values to the code and scale of kv_q4.h; edges as in acts.c. q: code + 8. */
static uint16_t quant4(const float *x, int n, uint8_t q[32])
{
    uint32_t top = 0;
    float most = 0;
    for (int i = 0; i < n; i++) {
        const uint32_t u = ref_bits(x[i]) & 0x7fffffffu;
        most = u > top ? x[i] : most;
        top = u > top ? u : top;
    }
    memset(q, 8, 32);
    if (top >= 0x7f800000u)
        return 0x7fc0;
    const uint32_t d = (ref_bits(most / -8.0f) + 0xffff) & 0xffff0000u;
    const float inv = 1.0f / ref_float(d);
    if (top == 0 || (ref_bits(inv) & 0x7fffffffu) >= 0x7f800000u)
        return 0;
    for (int i = 0; i < n; i++) {
        float v = x[i] * inv;
        v = (v + 12582912.0f) - 12582912.0f;
        v = v > 7.0f ? 7.0f : v < -8.0f ? -8.0f : v;
        q[i] = (uint8_t)((int)v + 8);
    }
    return (uint16_t)(d >> 16);
}

static void kv_store_q4(uint8_t *k_page, uint8_t *v_page, int slot, const float *k, int d_k,
                        const float *v, int d_v)
{
    const int blocks_k = (d_k + 31) / 32, blocks_v = (d_v + 31) / 32;
    uint16_t *scale = (uint16_t *)(void *)(k_page + blocks_k * Q4_HALF);
    uint16_t *centre = scale + blocks_k * KV_PAGE;
    uint8_t q[32];
    for (int b = 0; b < blocks_k; b++) {
        float rest[32];
        const int n = d_k - b * 32 < 32 ? d_k - b * 32 : 32;
        kv_less_centre(centre + b * 32, slot, k + b * 32, n, rest);
        scale[b * KV_PAGE + slot] = quant4(rest, n, q);
        uint8_t *to = k_page + b * Q4_HALF + slot * 4;
        for (int i = 0; i < 16; i++)
            to[i / 4 * KV_PAGE * 4 + i % 4] = (uint8_t)(q[i] | q[i + 16] << 4);
    }
    const size_t row = q8_pad(d_v);
    scale = (uint16_t *)(void *)(v_page + row * KV_PAGE / 2);
    uint8_t *to = v_page + (size_t)(slot % (KV_PAGE / 2)) * row;
    const int shift = slot < KV_PAGE / 2 ? 0 : 4; /* the other half is another position's */
    for (int b = 0; b < blocks_v; b++) {
        scale[b * KV_PAGE + slot] = quant4(v + b * 32, d_v - b * 32 < 32 ? d_v - b * 32 : 32, q);
        for (int i = 0; i < 32 && b * 32 + i < (int)row; i++, to++)
            *to = (uint8_t)((*to & 0xf0 >> shift) | q[i] << shift);
    }
}

void ref_kv_store(enum kv_type t, uint8_t *k_page, uint8_t *v_page, int slot, const float *k,
                  int d_k, const float *v, int d_v)
{
    if (t == KV_Q8_0 || t == KV_Q4_0) {
        (t == KV_Q8_0 ? kv_store_q8 : kv_store_q4)(k_page, v_page, slot, k, d_k, v, d_v);
        return;
    }
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

static float scale_q8(const uint8_t *codes, int d, int block, int slot)
{
    return ref_float((uint32_t)q8_scales_of(codes, d)[block * KV_PAGE + slot] << 16);
}

struct query {
    const float *x;
    struct ref_a32 a[ATTEND_MAX_D / 32]; /* for Q8_0 */
};

/* The query's product with the page's centre: 16 partial sums, as a norm's. */
static float dot_centre(const struct attend *t, const uint8_t *k, const struct query *q)
{
    const uint16_t *c = q8_centre_of(k, t->d_k);
    float p[16] = {0};
    for (int d = 0; d < (t->d_k + 15) / 16 * 16; d++)
        p[d % 16] = fmaf(d < t->d_k ? q->x[d] : 0, ref_float((uint32_t)c[d] << 16), p[d % 16]);
    return ref_tree16(p);
}

/* The dot of a query with key j of a page; `dot` comes from dot_centre, or is 0. */
static float dot_key(const struct attend *t, const uint8_t *k, const struct query *q, int j,
                     float dot)
{
    if (t->kv != KV_Q8_0) {
        for (int d = 0; d < t->d_k; d++)
            dot = fmaf(element(t->kv, k, (size_t)d * KV_PAGE + (size_t)j), q->x[d], dot);
        return dot;
    }
    for (int d = 0; d < t->d_k; d += 32) {
        const struct ref_a32 *b = &q->a[d / 32];
        int32_t sum = 0;
        for (int i = 0; i < 32 && d + i < t->d_k; i++)
            sum += (int8_t)k[q8_k_at(d + i, j)] * b->q[i];
        dot = fmaf(scale_q8(k, t->d_k, d / 32, j) * b->d, (float)sum, dot);
    }
    return dot;
}

/* o += p times the value of position j. */
static void add_value(const struct attend *t, const uint8_t *v, int j, float p, float *o)
{
    if (t->kv != KV_Q8_0) {
        for (int i = 0; i < t->d_v; i++)
            o[i] = fmaf(p, element(t->kv, v, (size_t)j * (size_t)t->d_v + (size_t)i), o[i]);
        return;
    }
    const int8_t *code = (const int8_t *)v + (size_t)j * q8_pad(t->d_v);
    for (int i = 0; i < t->d_v; i++)
        o[i] = fmaf(p * scale_q8(v, t->d_v, i / 32, j), (float)code[i], o[i]);
}

/* Keys first..last (inside the page) of one page for one query; *m, *l, o[d_v] are its state. */
static void one_page(const struct attend *t, const uint8_t *k, const uint8_t *v, const struct query *q,
                     int first, int last, float *m, float *l, float *o)
{
    float s[KV_PAGE], p[16] = {0}, top = NEG_INF;
    const float centre = t->kv == KV_Q8_0 ? dot_centre(t, k, q) : 0;
    for (int j = first; j <= last; j++) {
        s[j] = dot_key(t, k, q, j, centre) * t->scale;
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
    for (int j = first; j <= last; j++)
        add_value(t, v, j, s[j], o);
}

/* `unpacked`: place for a page, where t's are packed (its type is what they are then); or NULL. */
static void span_of(const struct attend *t, int32_t span, float *state, struct q8_page *unpacked)
{
    for (int i = 0; i < t->n_q; i++, state += attend_state_floats(t->d_v)) {
        float m = NEG_INF, l = 0, *o = state + 16;
        struct query q = {.x = t->q[i]};
        for (int d = 0; t->kv == KV_Q8_0 && d < t->d_k; d += 32)
            ref_quantize32(q.x + d, t->d_k - d < 32 ? t->d_k - d : 32, &q.a[d / 32]);
        memset(state, 0, attend_state_floats(t->d_v) * sizeof(float));
        int64_t from = (int64_t)span * ATTEND_SPAN, to = from + ATTEND_SPAN - 1; /* keys seen */
        if (to > t->pos[i])
            to = t->pos[i];
        if (t->window && from <= (int64_t)t->pos[i] - t->window)
            from = (int64_t)t->pos[i] - t->window + 1;
        for (int64_t p = from / KV_PAGE; from <= to && p <= to / KV_PAGE; p++) {
            int64_t first = from - p * KV_PAGE, last = to - p * KV_PAGE;
            const uint8_t *k = t->pages[p] + t->k_off, *v = t->pages[p] + t->v_off;
            if (unpacked) {
                q4_unpack(unpacked, k, t->d_k, v, t->d_v);
                k = unpacked->k;
                v = unpacked->v;
            }
            one_page(t, k, v, &q, first < 0 ? 0 : (int)first,
                     last > KV_PAGE - 1 ? KV_PAGE - 1 : (int)last, &m, &l, o);
        }
        state[0] = m;
        state[1] = l;
    }
}

#include "kernels/ref/attend_span.h"

void ref_attend_span(const struct attend *t, int32_t span, float *state)
{
    attend_span(t, span, state);
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
