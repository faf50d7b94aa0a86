/* kernels/arm/attend.h - attention with NEON: tiles of four queries, or one, and a page. The
 * including file brings dot_half (quants.h), for pages of int8 codes (attend_q8.h).
 *
 * Scores: 16 registers of sums = 4 queries x 16 keys, or 1 query x 64 keys; the f16 of a page are
 * widened in passing and shared by the queries. Values: 4 queries x 16 dimensions over the
 * positions that all four see, the other positions query by query, each query's in ascending order.
 * All 64 slots of a page are multiplied, also those nobody sees; their scores are thrown away. */
#ifndef CHASKI_KERNELS_ARM_ATTEND_H
#define CHASKI_KERNELS_ARM_ATTEND_H

#include "kernels/arm/arm.h"
#include "kernels/arm/math_neon.h"
#include "kernels/ref/acts.h"
#include "kernels/ref/kv_q4.h"

#define INLINE static inline __attribute__((always_inline))

enum { TILE = 4 };

struct one {         /* a query of the tile on one page */
    int first, last; /* keys seen; last < first: none */
    float *state;    /* m, l, ..., sums */
    float p[KV_PAGE];
    const float *q;
    const struct ref_a32 *q8; /* the query as int8 codes, for pages of them; as the next */
    float scaled[KV_PAGE];    /* p times the scales of a block */
};

INLINE float32x4_t load4(enum kv_type kv, const uint8_t *base, size_t at)
{
    if (kv == KV_F16)
        return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16((const uint16_t *)base + at)));
    return vld1q_f32((const float *)base + at);
}

/* Dots of n_q queries with keys j0 .. j0 + 4 n_k - 1 of the page. */
INLINE void dots(enum kv_type kv, int n_q, int n_k, const uint8_t *k, int d_k, int j0,
                 const float *const *q, struct one *const *o)
{
    float32x4_t s[TILE][16];
    for (int i = 0; i < n_q; i++)
        for (int j = 0; j < n_k; j++)
            s[i][j] = vdupq_n_f32(0);
    for (int d = 0; d < d_k; d++) {
        for (int j = 0; j < n_k; j++) {
            float32x4_t w = load4(kv, k, (size_t)d * KV_PAGE + (size_t)(j0 + 4 * j));
            for (int i = 0; i < n_q; i++)
                s[i][j] = vfmaq_n_f32(s[i][j], w, q[i][d]);
        }
    }
    for (int i = 0; i < n_q; i++)
        for (int j = 0; j < n_k; j++)
            vst1q_f32(o[i]->p + j0 + 4 * j, s[i][j]);
}

/* Scores in o->p to probabilities; m, l and the scale of the sums. */
static void softmax_page(const struct attend *t, struct one *o)
{
    static const int32_t lane[4] = {0, 1, 2, 3};
    float32x4_t none = vdupq_n_f32(ref_float(0xff800000u)), top4 = none;
    int32x4_t first = vdupq_n_s32(o->first), last = vdupq_n_s32(o->last);
    for (int j = 0; j < KV_PAGE; j += 4) {
        float32x4_t s = vmulq_n_f32(vld1q_f32(o->p + j), t->scale);
        if (t->softcap != 0.0f)
            s = vmulq_n_f32(tanh4(vdivq_f32(s, vdupq_n_f32(t->softcap))), t->softcap);
        int32x4_t at = vaddq_s32(vdupq_n_s32(j), vld1q_s32(lane));
        uint32x4_t seen = vandq_u32(vcgeq_s32(at, first), vcleq_s32(at, last));
        s = vbslq_f32(seen, s, none);
        top4 = vmaxnmq_f32(top4, s); /* a NaN does not count, as in ref */
        vst1q_f32(o->p + j, s);
    }
    float top = vmaxnmvq_f32(top4), *sums = o->state + 16;
    if (top > o->state[0]) {
        float c = ref_expf_inline(o->state[0] - top);
        o->state[0] = top;
        o->state[1] = o->state[1] * c;
        int i = 0;
        for (; i + 4 <= t->d_v; i += 4)
            vst1q_f32(sums + i, vmulq_n_f32(vld1q_f32(sums + i), c));
        for (; i < t->d_v; i++)
            sums[i] = sums[i] * c;
    }
    float32x4_t part[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    float32x4_t m = vdupq_n_f32(o->state[0]);
    for (int j = 0; j < KV_PAGE; j += 4) {
        int32x4_t at = vaddq_s32(vdupq_n_s32(j), vld1q_s32(lane));
        uint32x4_t seen = vandq_u32(vcgeq_s32(at, first), vcleq_s32(at, last));
        float32x4_t e = exp4(vsubq_f32(vld1q_f32(o->p + j), m));
        e = vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(e), seen));
        vst1q_f32(o->p + j, e);
        part[j / 4 % 4] = vaddq_f32(part[j / 4 % 4], e);
    }
    o->state[1] = o->state[1] + tree16(part);
}

/* sums[i] += p[j] v[j][i] for positions j0..j1 and all dimensions. */
INLINE void values(enum kv_type kv, int n_q, const uint8_t *v, int d_v, int j0, int j1,
                   struct one *const *o)
{
    int i = 0;
    for (; i + 16 <= d_v; i += 16) {
        float32x4_t s[TILE][4];
        for (int a = 0; a < n_q; a++)
            for (int b = 0; b < 4; b++)
                s[a][b] = vld1q_f32(o[a]->state + 16 + i + 4 * b);
        for (int j = j0; j <= j1; j++) {
            for (int b = 0; b < 4; b++) {
                float32x4_t w = load4(kv, v, (size_t)j * (size_t)d_v + (size_t)(i + 4 * b));
                for (int a = 0; a < n_q; a++)
                    s[a][b] = vfmaq_n_f32(s[a][b], w, o[a]->p[j]);
            }
        }
        for (int a = 0; a < n_q; a++)
            for (int b = 0; b < 4; b++)
                vst1q_f32(o[a]->state + 16 + i + 4 * b, s[a][b]);
    }
    for (; i < d_v; i++) {
        for (int j = j0; j <= j1; j++) {
            size_t at = (size_t)j * (size_t)d_v + (size_t)i;
            float w = kv == KV_F16 ? f16_to_f32(((const uint16_t *)v)[at]) : ((const float *)v)[at];
            for (int a = 0; a < n_q; a++)
                o[a]->state[16 + i] = fmaf(o[a]->p[j], w, o[a]->state[16 + i]);
        }
    }
}

#include "kernels/arm/attend_q8.h"

INLINE void values_of(enum kv_type kv, int n_q, const uint8_t *v, int d_v, int j0, int j1,
                      struct one *const *o)
{
    if (kv == KV_Q8_0)
        values_q8(n_q, v, d_v, j0, j1, o);
    else
        values(kv, n_q, v, d_v, j0, j1, o);
}

INLINE void page(enum kv_type kv, const struct attend *t, const uint8_t *k, const uint8_t *v,
                 const float *const *q, struct one *const *o, int n_q)
{
    if (kv == KV_Q8_0 && n_q == TILE)
        dots_q8(TILE, k, t->d_k, o);
    else if (kv == KV_Q8_0)
        for (int i = 0; i < n_q; i++)
            dots_q8(1, k, t->d_k, o + i);
    else if (n_q == TILE)
        for (int j0 = 0; j0 < KV_PAGE; j0 += 16)
            dots(kv, TILE, 4, k, t->d_k, j0, q, o);
    else
        for (int i = 0; i < n_q; i++)
            dots(kv, 1, 16, k, t->d_k, 0, q + i, o + i);
    int first = 0, last = KV_PAGE - 1; /* positions that all see */
    for (int i = 0; i < n_q; i++) {
        softmax_page(t, o[i]);
        first = o[i]->first > first ? o[i]->first : first;
        last = o[i]->last < last ? o[i]->last : last;
    }
    if (n_q < TILE || first > last) {
        for (int i = 0; i < n_q; i++)
            values_of(kv, 1, v, t->d_v, o[i]->first, o[i]->last, o + i);
        return;
    }
    for (int i = 0; i < TILE; i++)
        if (o[i]->first < first)
            values_of(kv, 1, v, t->d_v, o[i]->first, first - 1, o + i);
    values_of(kv, TILE, v, t->d_v, first, last, o);
    for (int i = 0; i < TILE; i++)
        if (o[i]->last > last)
            values_of(kv, 1, v, t->d_v, last + 1, o[i]->last, o + i);
}

/* `unpacked`: place for a page, where t's have 4-bit codes (its type is Q8_0 then); or NULL. */
static void span_of(const struct attend *t, int32_t span, float *state, struct q8_page *unpacked)
{
    size_t stride = attend_state_floats(t->d_v);
    memset(state, 0, stride * (size_t)t->n_q * sizeof(float));
    for (int i = 0; i < t->n_q; i++)
        state[(size_t)i * stride] = ref_float(0xff800000u);
    const int64_t base = (int64_t)span * ATTEND_SPAN;
    for (int i0 = 0; i0 < t->n_q; i0 += TILE) {
        int n = t->n_q - i0 < TILE ? t->n_q - i0 : TILE;
        struct ref_a32 q8[TILE][ATTEND_MAX_D / 32];
        for (int i = 0; i < n && t->kv == KV_Q8_0; i++)
            for (int d = 0; d < t->d_k; d += 32)
                ref_quantize32(t->q[i0 + i] + d, t->d_k - d < 32 ? t->d_k - d : 32, &q8[i][d / 32]);
        for (int64_t p = base / KV_PAGE; p < base / KV_PAGE + ATTEND_SPAN / KV_PAGE; p++) {
            struct one tile[TILE], *o[TILE];
            const float *q[TILE];
            int seen = 0; /* the tile's queries that see anything of this page, in order */
            for (int i = i0; i < i0 + n; i++) {
                int64_t first = t->window ? (int64_t)t->pos[i] - t->window + 1 - p * KV_PAGE : 0;
                int64_t last = (int64_t)t->pos[i] - p * KV_PAGE;
                first = first < 0 ? 0 : first;
                last = last > KV_PAGE - 1 ? KV_PAGE - 1 : last;
                if (first > last)
                    continue;
                q[seen] = t->q[i];
                o[seen] = &tile[seen];
                tile[seen].q = t->q[i];
                tile[seen].q8 = q8[i - i0];
                tile[seen].first = (int)first;
                tile[seen].last = (int)last;
                tile[seen++].state = state + (size_t)i * stride;
            }
            if (!seen)
                continue;
            const uint8_t *k = t->pages[p] + t->k_off, *v = t->pages[p] + t->v_off;
            if (unpacked) {
                q4_unpack(unpacked, k, t->d_k, v, t->d_v);
                k = unpacked->k;
                v = unpacked->v;
            }
            if (t->kv == KV_F16)
                page(KV_F16, t, k, v, q, o, seen);
            else if (t->kv == KV_Q8_0)
                page(KV_Q8_0, t, k, v, q, o, seen);
            else
                page(KV_F32, t, k, v, q, o, seen);
        }
    }
}

#include "kernels/ref/attend_span.h"

#endif
