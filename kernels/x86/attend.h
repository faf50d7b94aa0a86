/* kernels/x86/attend.h - attention over pages of 64 positions, for any vector width.
 *
 * Contract: kernels/ref/attend.c. Scores: lane = key; values: lane = dimension; several queries
 * share each load (and its conversion from f16), so that both products run near the FMA peak. All
 * 64 keys of a page are scored, then masked. A query adds only positions that it sees: the tile
 * walks those that all its queries see together, and what a few see alone before and after (at
 * most some positions: neighbours in the tile are neighbours in the sequence).
 * Include after a vec_....h and a dot8_....h. */
#ifndef CHASKI_KERNELS_X86_ATTEND_H
#define CHASKI_KERNELS_X86_ATTEND_H

#include "kernels/kernels.h"
#include "kernels/x86/quant8.h"
#include "kernels/x86/softmax.h"

enum { TILE_Q = 6 };

/* Vectors of keys or dimensions at once: enough chains to hide the FMA, within the registers. */
AI int wide(const int Q)
{
    return W == 16 ? 4 : Q == 1 ? 8 : Q < 4 ? 4 : 2;
}

AI size_t kv_size(const enum kv_type t)
{
    return t == KV_F16 ? 2 : 4;
}

AI vf kv_ld(const enum kv_type t, const uint8_t *p)
{
    return t == KV_F16 ? v_ld_f16(p) : v_ld((const float *)(const void *)p);
}

/* A page ahead of the products their memory is asked for, into L2: 64 elements in each step. Pages
 * of one head lie far apart, and the CPU's own prefetcher has to learn each anew. Measured
 * with 90 MB of pages, heads of 64, 3 queries: 8 -> 21 GB/s (AVX2), 17 -> 25 (AVX-512) of the 33
 * that plain reading gives; into L1 instead, or half a page ahead, is slower. */
struct ahead {
    const uint8_t *at;
    size_t step;
};

/* `from` NULL: nothing to ask for; `near` is in the cache and stands in. */
AI struct ahead ahead_of(const enum kv_type t, const uint8_t *from, const uint8_t *near)
{
    return (struct ahead){from ? from : near, from ? KV_PAGE * kv_size(t) : 0};
}

AI void ask(const enum kv_type t, struct ahead *a)
{
#pragma GCC unroll 4
    for (size_t i = 0; i < KV_PAGE * kv_size(t); i += 64)
        _mm_prefetch((const char *)a->at + i, _MM_HINT_T1);
    a->at += a->step;
}

struct query8 { /* a query as int8 codes */
    float d[ATTEND_MAX_D / 32];
    int32_t start[ATTEND_MAX_D / 32]; /* of a block's sums */
    uint8_t q[ATTEND_MAX_D * DOT8_BYTES];
};

struct job { /* one tile of queries on one page */
    const struct attend *t;
    const float *q[TILE_Q];
    float *state[TILE_Q];             /* m, l, .., sums */
    int first[TILE_Q], last[TILE_Q];  /* keys of the page that each sees */
    float p[TILE_Q][KV_PAGE];         /* scores, then their exponentials */
    float c[TILE_Q];                  /* what the old sums are scaled with */
    struct q8_page *unpacked;         /* place for a page of 4-bit codes; NULL where t has none */
    const struct query8 *q8[TILE_Q];  /* with pages of int8 codes only, as the next */
    float scaled[2][TILE_Q][KV_PAGE]; /* probabilities times the scales of two blocks */
};

/* p[i][64] = q[i] . K, K as [d_k][64]. `next`: the next page's K, or NULL. */
AI void dots(const enum kv_type t, const int Q, struct job *j, const uint8_t *k,
             const uint8_t *next)
{
    const int n = wide(Q), d_k = j->t->d_k;
    const size_t row = KV_PAGE * kv_size(t);

    for (int v0 = 0; v0 < PAGE_V; v0 += n) {
        vf acc[TILE_Q][8];
        const uint8_t *kp = k + (size_t)v0 * W * kv_size(t);
        const float *q[TILE_Q];
#pragma GCC unroll 6
        for (int i = 0; i < Q; i++) {
            q[i] = j->q[i];
#pragma GCC unroll 8
            for (int v = 0; v < n; v++)
                acc[i][v] = v_zero();
        }
        struct ahead ahead = ahead_of(t, v0 == 0 ? next : NULL, k);
        for (int d = 0; d < d_k; d++, kp += row) {
            ask(t, &ahead);
            vf x[TILE_Q], key[8]; /* the few stay in registers, the many pass through one */
#pragma GCC unroll 6
            for (int i = 0; i < Q && Q <= n; i++)
                x[i] = v_bcast(q[i] + d);
#pragma GCC unroll 8
            for (int v = 0; v < n; v++) {
                key[v] = kv_ld(t, kp + (size_t)v * W * kv_size(t));
#pragma GCC unroll 6
                for (int i = 0; i < Q && Q <= n; i++)
                    acc[i][v] = v_fma(key[v], x[i], acc[i][v]);
            }
#pragma GCC unroll 6
            for (int i = 0; i < Q && Q > n; i++) {
                x[i] = v_bcast(q[i] + d);
#pragma GCC unroll 8
                for (int v = 0; v < n; v++)
                    acc[i][v] = v_fma(key[v], x[i], acc[i][v]);
            }
        }
#pragma GCC unroll 6
        for (int i = 0; i < Q; i++)
#pragma GCC unroll 8
            for (int v = 0; v < n; v++)
                v_st(j->p[i] + (v0 + v) * W, acc[i][v]);
    }
}

/* o[i] = o[i] * c[i], then fma over positions a..b of V, for queries i0..i0+Q-1 and the n vectors
 * of dimensions from d0. */
AI void values_part(const enum kv_type t, const int Q, const int n, struct job *j, int i0,
                    const uint8_t *val, int a, int b, const float *c, int d0, const uint8_t *next)
{
    vf acc[TILE_Q][8];
    const size_t row = (size_t)j->t->d_v * kv_size(t);
    const uint8_t *vp = val + (size_t)a * row + (size_t)d0 * kv_size(t);
#pragma GCC unroll 6
    for (int i = 0; i < Q; i++)
#pragma GCC unroll 8
        for (int v = 0; v < n; v++)
            acc[i][v] = v_mul(v_ld(j->state[i0 + i] + 16 + d0 + v * W), v_set(c[i]));
    const float *p = j->p[i0];
    struct ahead ahead = ahead_of(t, next, val);
    for (int k = a; k <= b; k++, vp += row) {
        ask(t, &ahead);
        vf w[TILE_Q], x[8];
#pragma GCC unroll 6
        for (int i = 0; i < Q && Q <= n; i++)
            w[i] = v_bcast(p + i * KV_PAGE + k);
#pragma GCC unroll 8
        for (int v = 0; v < n; v++) {
            x[v] = kv_ld(t, vp + (size_t)v * W * kv_size(t));
#pragma GCC unroll 6
            for (int i = 0; i < Q && Q <= n; i++)
                acc[i][v] = v_fma(w[i], x[v], acc[i][v]);
        }
#pragma GCC unroll 6
        for (int i = 0; i < Q && Q > n; i++) {
            w[i] = v_bcast(p + i * KV_PAGE + k);
#pragma GCC unroll 8
            for (int v = 0; v < n; v++)
                acc[i][v] = v_fma(w[i], x[v], acc[i][v]);
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < Q; i++)
#pragma GCC unroll 8
        for (int v = 0; v < n; v++)
            v_st(j->state[i0 + i] + 16 + d0 + v * W, acc[i][v]);
}

AI void values(const enum kv_type t, const int Q, struct job *j, int i0, const uint8_t *val, int a,
               int b, const float *c, const uint8_t *next)
{
    const int d_v = j->t->d_v, n = wide(Q);
    int d = 0, left = d_v; /* left: of the next V; the steps of a part ask for 64 * 64 elements */
    for (; d + n * W <= d_v; d += n * W, left -= KV_PAGE) {
        values_part(t, Q, n, j, i0, val, a, b, c, d, next);
        next = next && left > KV_PAGE ? next + (size_t)KV_PAGE * KV_PAGE * kv_size(t) : NULL;
    }
    for (; d + W <= d_v; d += W)
        values_part(t, Q, 1, j, i0, val, a, b, c, d, NULL);
    for (; d < d_v; d++) { /* no model has such a head */
        for (int i = 0; i < Q; i++) {
            float *o = j->state[i0 + i] + 16 + d, acc = *o * c[i];
            for (int k = a; k <= b; k++) {
                const uint8_t *e = val + ((size_t)k * (size_t)d_v + (size_t)d) * kv_size(t);
                uint16_t h;
                float x;
                if (t == KV_F16) {
                    memcpy(&h, e, 2);
                    x = _cvtsh_ss(h);
                } else {
                    memcpy(&x, e, 4);
                }
                acc = fmaf(j->p[i0 + i][k], x, acc);
            }
            *o = acc;
        }
    }
}

#include "kernels/x86/attend_q8.h"

typedef void dots_fn(struct job *j, const uint8_t *k, const uint8_t *next);
typedef void values_fn(struct job *j, int i0, const uint8_t *val, int a, int b, const float *c,
                       const uint8_t *next);

#define ATTEND_Q(T, Q)                                                                          \
    static void dots_##T##_##Q(struct job *j, const uint8_t *k, const uint8_t *next)            \
    {                                                                                           \
        if (KV_##T == KV_Q8_0)                                                                  \
            dots_q8(Q, j, k, next);                                                             \
        else                                                                                    \
            dots(KV_##T, Q, j, k, next);                                                        \
    }                                                                                           \
    static void values_##T##_##Q(struct job *j, int i0, const uint8_t *val, int a, int b,       \
                                 const float *c, const uint8_t *next)                           \
    {                                                                                           \
        if (KV_##T == KV_Q8_0)                                                                  \
            values_q8(Q, j, i0, val, a, b, c, next);                                            \
        else                                                                                    \
            values(KV_##T, Q, j, i0, val, a, b, c, next);                                       \
    }
#define ATTEND_T(T)                                                                             \
    ATTEND_Q(T, 1)                                                                              \
    ATTEND_Q(T, 2)                                                                              \
    ATTEND_Q(T, 3)                                                                              \
    ATTEND_Q(T, 4)                                                                              \
    ATTEND_Q(T, 5)                                                                              \
    ATTEND_Q(T, 6)
ATTEND_T(F16)
ATTEND_T(F32)
ATTEND_T(Q8_0)

#define OF_Q(F, T) {NULL, F##_##T##_1, F##_##T##_2, F##_##T##_3, F##_##T##_4, F##_##T##_5, F##_##T##_6}
static dots_fn *const dots_of[KV_TYPES][TILE_Q + 1] = {
    [KV_F16] = OF_Q(dots, F16), [KV_F32] = OF_Q(dots, F32), [KV_Q8_0] = OF_Q(dots, Q8_0)};
static values_fn *const values_of[KV_TYPES][TILE_Q + 1] = {
    [KV_F16] = OF_Q(values, F16), [KV_F32] = OF_Q(values, F32), [KV_Q8_0] = OF_Q(values, Q8_0)};

/* n queries of job j, all of which see something of the page; `next`: the next page, or NULL. */
static void one_page(struct job *j, int n, const uint8_t *page, const uint8_t *next)
{
    static const float same[TILE_Q] = {1, 1, 1, 1, 1, 1};
    const struct attend *t = j->t;
    const uint8_t *next_k = next ? next + t->k_off : NULL, *next_v = next ? next + t->v_off : NULL;
    const uint8_t *key = page + t->k_off, *val = page + t->v_off;
    values_fn *const *values_q = values_of[t->kv];
    int a = 0, b = KV_PAGE - 1; /* what all see */

    if (j->unpacked) {
        q4_unpack(j->unpacked, key, t->d_k, val, t->d_v);
        key = j->unpacked->k;
        val = j->unpacked->v;
        next_k = next_v = NULL; /* unpacking goes through it in order */
    }
    dots_of[t->kv][n](j, key, next_k);
    softmax(t, n, j->p, j->first, j->last, j->state, j->c);
    for (int i = 0; i < n; i++) {
        a = j->first[i] > a ? j->first[i] : a;
        b = j->last[i] < b ? j->last[i] : b;
    }
    if (a > b) { /* nothing in common */
        for (int i = 0; i < n; i++)
            values_q[1](j, i, val, j->first[i], j->last[i], &j->c[i], next_v);
        return;
    }
    for (int i = 0; i < n; i++) {
        if (j->first[i] < a) {
            values_q[1](j, i, val, j->first[i], a - 1, &j->c[i], NULL);
            j->c[i] = same[i];
        }
    }
    values_q[n](j, 0, val, a, b, j->c, next_v);
    for (int i = 0; i < n; i++)
        if (j->last[i] > b)
            values_q[1](j, i, val, b + 1, j->last[i], same, NULL);
}

/* Queries of the next tile when `left` are left. With 16 lanes tiles are of like size: 4 and 3
 * queries share more loads than 6 and 1. With 8 lanes 4 are the weakest size (8 chains only just
 * hide the FMA), so tiles are full while there are enough. */
static int tile_size(int left)
{
    if (W == 16) {
        const int tiles = (left + TILE_Q - 1) / TILE_Q;
        return (left + tiles - 1) / tiles;
    }
    return left < TILE_Q ? left : TILE_Q;
}

static void span_of(const struct attend *t, int32_t span, float *state, struct q8_page *unpacked)
{
    const size_t floats = attend_state_floats(t->d_v);
    const int64_t start = (int64_t)span * ATTEND_SPAN;
    struct job j;
    struct query8 q8[TILE_Q];

    j.t = t;
    j.unpacked = unpacked;
    for (int q0 = 0, n; q0 < t->n_q; q0 += n, state += (size_t)n * floats) {
        n = tile_size(t->n_q - q0);
        int64_t from[TILE_Q], to[TILE_Q];
        memset(state, 0, (size_t)n * floats * sizeof *state);
        int64_t page = start + ATTEND_SPAN, end = -1;
        for (int i = 0; i < n; i++) {
            const int64_t pos = t->pos[q0 + i];
            from[i] = t->window && start <= pos - t->window ? pos - t->window + 1 : start;
            to[i] = pos < start + ATTEND_SPAN - 1 ? pos : start + ATTEND_SPAN - 1;
            state[(size_t)i * floats] = -INFINITY;
            if (from[i] <= to[i]) {
                page = from[i] < page ? from[i] : page;
                end = to[i] > end ? to[i] : end;
            }
        }
        for (int i = 0; i < n && t->kv == KV_Q8_0; i++)
            query8_of(&q8[i], t->q[q0 + i], t->d_k);
        for (page /= KV_PAGE; page * KV_PAGE <= end; page++) {
            int active = 0;
            for (int i = 0; i < n; i++) {
                int64_t first = from[i] - page * KV_PAGE, last = to[i] - page * KV_PAGE;
                first = first < 0 ? 0 : first;
                last = last > KV_PAGE - 1 ? KV_PAGE - 1 : last;
                if (first > last)
                    continue;
                j.q[active] = t->q[q0 + i];
                j.q8[active] = &q8[i];
                j.state[active] = state + (size_t)i * floats;
                j.first[active] = (int)first;
                j.last[active++] = (int)last;
            }
            const bool more = (page + 1) * KV_PAGE <= t->pos[t->n_q - 1]; /* or of the next span */
            if (active)
                one_page(&j, active, t->pages[page], more ? t->pages[page + 1] : NULL);
        }
    }
}

#include "kernels/ref/attend_span.h"

static void attend_merge(const float *states, size_t stride, int n_spans, int d_v, float *out)
{
    float m = -INFINITY, sum = 0;
    for (int s = 0; s < n_spans; s++)
        m = states[(size_t)s * stride] > m ? states[(size_t)s * stride] : m;
    memset(out, 0, (size_t)d_v * sizeof *out);
    for (int s = 0; s < n_spans; s++) {
        const float *st = states + (size_t)s * stride;
        if (st[1] == 0.0f)
            continue;
        float c[W];
        const vf cv = v_exp(v_set(st[0] - m));
        v_st(c, cv);
        sum = fmaf(st[1], c[0], sum);
        FOR_LANES(i, d_v, v_st(out + i, v_fma(v_ld(st + 16 + i), cv, v_ld(out + i))),
                  v_st_n(out + i, v_fma(v_ld_n(st + 16 + i, left), cv, v_ld_n(out + i, left)),
                         left));
    }
    const vf inv = v_set(1.0f / sum);
    FOR_LANES(i, d_v, v_st(out + i, v_mul(v_ld(out + i), inv)),
              v_st_n(out + i, v_mul(v_ld_n(out + i, left), inv), left));
}

AI void attend_init(struct kernels *k)
{
    k->attend_span = attend_span;
    k->attend_merge = attend_merge;
}

#endif
