/* tests/check_attend.c - kv_store, attend_span and attend_merge against ref. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/check.h"

enum { MAX_PAGES = 36 };

struct cache { /* one kv head's pages, filled by ref up to position n - 1, garbage behind */
    struct guard page[MAX_PAGES];
    const uint8_t *table[MAX_PAGES];
    size_t k_bytes, v_bytes, k_off, v_off;
};

static void cache_new(struct cache *c, enum kv_type kv, int d_k, int d_v, int n)
{
    c->k_bytes = kv_bytes(kv, d_k, true);
    c->v_bytes = kv_bytes(kv, d_v, false);
    c->k_off = 0;
    c->v_off = c->k_bytes;
    float *k = malloc((size_t)d_k * sizeof *k), *v = malloc((size_t)d_v * sizeof *v);
    for (int p = 0; p < MAX_PAGES && k && v; p++) {
        c->table[p] = NULL; /* pages past the end do not exist */
        if (p * KV_PAGE >= n)
            continue;
        c->page[p] = guard_new(c->k_bytes + c->v_bytes);
        memset(c->page[p].p, 0xff, c->page[p].n); /* NaN in the slots nobody wrote */
        c->table[p] = c->page[p].p;
        for (int s = 0; s < KV_PAGE && p * KV_PAGE + s < n; s++) {
            fill_x(k, (size_t)d_k, X_NORMAL);
            fill_x(v, (size_t)d_v, X_NORMAL);
            all[0]->kv_store(kv, c->page[p].p, c->page[p].p + c->v_off, s, k, d_k, v, d_v);
        }
    }
    free(k);
    free(v);
}

static void cache_free(struct cache *c)
{
    for (int p = 0; p < MAX_PAGES; p++)
        if (c->table[p])
            guard_free(&c->page[p]);
}

static void attend(enum kv_type kv, int d_k, int d_v, int n_q, int group, int last_pos, int window,
                   float softcap)
{
    struct cache c;
    cache_new(&c, kv, d_k, d_v, last_pos + 1);
    struct guard q = guard_new((size_t)n_q * (size_t)d_k * sizeof(float));
    fill_x((float *)q.p, (size_t)n_q * (size_t)d_k, X_NORMAL);
    const float *qs[ATTEND_MAX_Q];
    int32_t pos[ATTEND_MAX_Q];
    for (int i = 0; i < n_q; i++) {
        qs[i] = (const float *)q.p + (size_t)i * (size_t)d_k;
        pos[i] = last_pos - (n_q - 1) / group + i / group;
        pos[i] = pos[i] < 0 ? 0 : pos[i];
    }
    struct attend t = {.kv = kv,
                       .d_k = d_k,
                       .d_v = d_v,
                       .n_q = n_q,
                       .q = qs,
                       .pos = pos,
                       .window = window,
                       .scale = 1.0f / sqrtf((float)d_k),
                       .softcap = softcap,
                       .pages = c.table,
                       .k_off = c.k_off,
                       .v_off = c.v_off};
    int n_spans = last_pos / ATTEND_SPAN + 1;
    size_t one = attend_state_floats(d_v), per_span = one * (size_t)n_q;
    struct guard want = guard_new(per_span * (size_t)n_spans * sizeof(float));
    struct guard got = guard_new(want.n), out = guard_new((size_t)d_v * sizeof(float)),
                 out2 = guard_new(out.n);
    for (int s = 0; s < n_spans; s++)
        all[0]->attend_span(&t, s, (float *)want.p + per_span * (size_t)s);
    for (int k = 1; k < n_all; k++) {
        memset(got.p, 0x5a, got.n);
        for (int s = n_spans - 1; s >= 0; s--)
            all[k]->attend_span(&t, s, (float *)got.p + per_span * (size_t)s);
        for (int i = 0; i < n_q * n_spans; i++) {
            const float *a = (float *)want.p + one * (size_t)i,
                        *b = (float *)got.p + one * (size_t)i;
            bool ok = same(
                a, b, 2,
                "%s attend_span m, l: kv %d d %d %d queries %d/%d pos %d window %d softcap %g",
                all[k]->name, (int)kv, d_k, d_v, i % n_q, n_q, last_pos, window, (double)softcap);
            ok = ok &&
                 same(a + 16, b + 16, (size_t)d_v,
                      "%s attend_span: kv %d d %d %d queries %d/%d pos %d window %d softcap %g",
                      all[k]->name, (int)kv, d_k, d_v, i % n_q, n_q, last_pos, window,
                      (double)softcap);
            if (!ok)
                break;
        }
        for (int i = 0; i < n_q; i += 3) {
            all[0]->attend_merge((float *)want.p + one * (size_t)i, per_span, n_spans, d_v,
                                 (float *)out.p);
            all[k]->attend_merge((float *)want.p + one * (size_t)i, per_span, n_spans, d_v,
                                 (float *)out2.p);
            same((float *)out.p, (float *)out2.p, (size_t)d_v, "%s attend_merge d_v %d spans %d",
                 all[k]->name, d_v, n_spans);
        }
    }
    guard_free(&q);
    guard_free(&want);
    guard_free(&got);
    guard_free(&out);
    guard_free(&out2);
    cache_free(&c);
}

static void stores(void)
{
    static const int dims[] = {1, 7, 16, 20, 64, 80, 128};
    for (int i = 0; i < 7; i++) {
        for (int kv = KV_F16; kv < KV_TYPES; kv++) {
            int d = dims[i];
            size_t n = kv_bytes((enum kv_type)kv, d, true);
            struct guard x = guard_new((size_t)d * sizeof(float)), want = guard_new(2 * n),
                         got = guard_new(2 * n);
            for (int slot = 0; slot < KV_PAGE; slot += 9) {
                fill_x((float *)x.p, (size_t)d, (enum x_kind)(slot % X_KINDS));
                ((float *)x.p)[0] = slot & 1 ? 1e6f : -INFINITY; /* saturates */
                if (d > 2)
                    ((float *)x.p)[d - 1] = 65519.0f, ((float *)x.p)[1] = 3e-8f;
                for (int t = 1; t < n_all; t++) {
                    memset(want.p, 0x11, want.n);
                    memset(got.p, 0x11, got.n);
                    /* NaN has no defined payload: only its being one */
                    for (int j = 0; j < d; j++)
                        if (((float *)x.p)[j] != ((float *)x.p)[j])
                            ((float *)x.p)[j] = 1.0f;
                    all[0]->kv_store((enum kv_type)kv, want.p, want.p + n, slot, (float *)x.p, d,
                                     (float *)x.p, d);
                    all[t]->kv_store((enum kv_type)kv, got.p, got.p + n, slot, (float *)x.p, d,
                                     (float *)x.p, d);
                    same_bytes(want.p, got.p, want.n, "%s kv_store kv %d d %d slot %d",
                               all[t]->name, kv, d, slot);
                }
            }
            guard_free(&x);
            guard_free(&want);
            guard_free(&got);
        }
    }
}

void check_attend(void)
{
    static const int dims[] = {16, 20, 32, 64, 72, 80, 96, 128, 192, 256};
    static const int counts[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 17, 33, 64};
    rnd_seed(99);
    if (n_all < 2)
        return;
    stores();
    for (int i = 0; i < 10; i++)
        for (int kv = KV_F16; kv < KV_TYPES; kv++)
            attend((enum kv_type)kv, dims[i], dims[i], 1 + (int)(rnd() % 8), 4, (int)(rnd() % 200),
                   0, 0);
    for (int i = 0; i < 28; i++)
        for (int group = 1; group <= 7; group += 3)
            attend(i < 14 ? KV_F16 : KV_Q8_0, 64, 64, counts[i % 14], group, (int)(rnd() % 300), i % 3 ? 0 : 50,
                   i % 4 ? 0.0f : 20.0f);
    for (int k = 0; k < 2; k++) {
        const enum kv_type kv = k ? KV_Q8_0 : KV_F16;
        for (int pos = 60; pos < 70; pos++)
            attend(kv, 64, 64, 3, 3, pos, pos & 1 ? 0 : 17, 0);
        for (int i = 0; i < 4; i++) { /* more than one span; windows across the border */
            attend(kv, 64, 64, 4, 2, 1000 + 40 * i, i & 1 ? 64 : 0, 0);
            attend(kv, 64, 32, 2, 2, 2100, i & 1 ? 1060 : 0, i == 2 ? 50.0f : 0);
        }
        attend(kv, 128, 64, 7, 7, 130, 1, 0);
    }
    attend(KV_Q8_0, 1024, 1024, 3, 3, 70, 0, 0);
    attend(KV_Q4_0, 1024, 1024, 3, 3, 70, 0, 0);
    for (int i = 0; i < 14; i++)
        attend(KV_Q4_0, 64, i & 1 ? 72 : 128, counts[i], 3, (int)(rnd() % 1300), i % 3 ? 0 : 50, 0);
}
