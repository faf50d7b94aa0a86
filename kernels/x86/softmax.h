/* kernels/x86/softmax.h - one page's dots to probabilities, for any vector width.
 *
 * Contract: kernels/ref/attend.c. With heads of 64 a page costs a query 512 cycles of multiplying
 * at 16 a cycle, so this part is kept to about a hundred: LOCKSTEP vectors run in step, each stage
 * is done for all queries before the next, nothing crosses lanes but one maximum and one sum, and
 * only pages that a query sees in part are masked. Tried, no faster: one vector of exponentials
 * for the factors of all queries. Include after a vec_....h. */
#ifndef CHASKI_KERNELS_X86_SOFTMAX_H
#define CHASKI_KERNELS_X86_SOFTMAX_H

#include "kernels/kernels.h"
#include "kernels/x86/vmath.h"

enum { PAGE_V = KV_PAGE / W, STEP_V = PAGE_V < LOCKSTEP ? PAGE_V : LOCKSTEP };

/* A block of STEP_V vectors: lanes of keys outside first..last become `none`. */
AI void mask_block(vf *s, int at, int first, int last, vf none)
{
    EACH(v, STEP_V) {
        const int key = at + v * W;
        s[v] = v_sel(v_range(first - key, last + 1 - key), s[v], none);
    }
}

/* Of -0 and +0 the first counts. */
static float first_zero(const float *p, int first, int last)
{
    while (first < last && p[first] != 0.0f)
        first++;
    return p[first];
}

/* p: dots of 64 keys, of which first..last are seen; becomes their scores (-inf: not seen).
 * m_l: the query's maximum, raised, and its sum, scaled. Returns what the sums of its values must
 * be multiplied by. */
AI float scores_of(const struct attend *t, float *p, int first, int last, float *m_l,
                   const bool whole)
{
    const vf scale = v_set(t->scale), none = v_set(-INFINITY);
    vf s[STEP_V], top[STEP_V];
    EACH(v, STEP_V) top[v] = none;
    for (int at = 0; at < KV_PAGE; at += STEP_V * W) {
        EACH(v, STEP_V) s[v] = v_mul(v_ld(p + at + v * W), scale);
        if (t->softcap != 0.0f) {
            const vf cap = v_set(t->softcap);
            EACH(v, STEP_V) s[v] = v_div(s[v], cap);
            v_tanhs(s, s, STEP_V);
            EACH(v, STEP_V) s[v] = v_mul(cap, s[v]);
        }
        if (!whole)
            mask_block(s, at, first, last, none);
        EACH(v, STEP_V) top[v] = v_max(s[v], top[v]); /* NaN does not count */
        EACH(v, STEP_V) v_st(p + at + v * W, s[v]);
    }
    for (int n = STEP_V / 2; n >= 1; n /= 2)
        EACH(v, n) top[v] = v_max(top[v], top[v + n]);
    float max = v_hmax(top[0]);
    if (max == 0.0f)
        max = first_zero(p, first, last);
    if (!(max > m_l[0]))
        return 1.0f;
    const float c = ref_expf_inline(m_l[0] - max);
    m_l[0] = max;
    m_l[1] = m_l[1] * c;
    return c;
}

/* Scores to exponentials, 0 for keys not seen; their sum is added to the query's. */
AI void exps_of(float *p, int first, int last, float *m_l, const bool whole)
{
    const vf m = v_set(m_l[0]);
    vf s[STEP_V], sum[16 / W];
    EACH(v, 16 / W) sum[v] = v_zero();
    for (int at = 0; at < KV_PAGE; at += STEP_V * W) {
        EACH(v, STEP_V) s[v] = v_sub(v_ld(p + at + v * W), m);
        v_exps(s, s, STEP_V, EXP_NOT_POSITIVE);
        if (!whole)
            mask_block(s, at, first, last, v_zero());
        EACH(v, STEP_V) v_st(p + at + v * W, s[v]);
        EACH(v, STEP_V) sum[v % (16 / W)] = v_add(sum[v % (16 / W)], s[v]);
    }
    m_l[1] = m_l[1] + v_sum16(sum);
}

/* n queries of a tile. state[i]: m, l; c[i]: what the sums of values must be multiplied by. */
static void softmax(const struct attend *t, int n, float (*p)[KV_PAGE], const int *first,
                    const int *last, float *const *state, float *c)
{
    bool whole = true;
    for (int i = 0; i < n; i++)
        whole = whole && first[i] == 0 && last[i] == KV_PAGE - 1;
    if (whole) {
        for (int i = 0; i < n; i++)
            c[i] = scores_of(t, p[i], 0, KV_PAGE - 1, state[i], true);
        for (int i = 0; i < n; i++)
            exps_of(p[i], 0, KV_PAGE - 1, state[i], true);
        return;
    }
    for (int i = 0; i < n; i++)
        c[i] = scores_of(t, p[i], first[i], last[i], state[i], false);
    for (int i = 0; i < n; i++)
        exps_of(p[i], first[i], last[i], state[i], false);
}

#endif
