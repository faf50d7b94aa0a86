/* engine/sampler/sampler.c - penalties, the truncating samplers, temperature, the draw.
 *
 * Facts: spec/api.md section 4 for names, order and defaults. The candidates are kept sorted
 * (larger logit first, equal ones by id) from top_k on; with top_k off only as many are sorted as
 * the samplers need. Probabilities are exp(logit - max) in f32 of the contract, summed in double in
 * candidate order. */
#include "engine/sampler/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct smp_cand {
    float logit;
    tok_id id;
    float p; /* exp(logit - max) */
};

int smp_init(struct smp *s, const struct eng_options *opt, uint64_t seed, int32_t n_vocab,
             struct err *e)
{
    *s = (struct smp){.opt = *opt, .seed = seed, .n_vocab = n_vocab};
    if (opt->temperature > 0)
        s->cand = malloc((size_t)n_vocab * sizeof *s->cand);
    s->count = calloc((size_t)n_vocab, sizeof *s->count);
    if ((opt->temperature > 0 && !s->cand) || !s->count) {
        smp_free(s);
        return err_set(e, ERR_MEMORY, "no memory for a sampler");
    }
    return 0;
}

uint64_t smp_bytes(const struct eng_options *opt, int32_t n_vocab)
{
    const struct smp s = {0};
    return (uint64_t)n_vocab *
           (sizeof *s.count + (opt->temperature > 0 ? sizeof(struct smp_cand) : 0));
}

void smp_free(struct smp *s)
{
    free(s->cand);
    free(s->count);
    *s = (struct smp){0};
}

/* ---- Philox 4x32-10 ---------------------------------------------------------------------- */

double smp_uniform(uint64_t key, uint64_t counter)
{
    uint32_t c[4] = {(uint32_t)counter, (uint32_t)(counter >> 32), 0, 0};
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int i = 0; i < 10; i++) { /* multipliers and Weyl constants: the paper's */
        const uint64_t a = (uint64_t)0xD2511F53u * c[0], b = (uint64_t)0xCD9E8D57u * c[2];
        const uint32_t n[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k0, (uint32_t)b,
                               (uint32_t)(a >> 32) ^ c[3] ^ k1, (uint32_t)a};
        memcpy(c, n, sizeof c);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    const uint64_t bits = ((uint64_t)c[0] << 32 | c[1]) >> 11;
    return (double)bits * 0x1p-53;
}

/* ---- penalties -------------------------------------------------------------------------------- */

static void penalize(struct smp *s, float *logits, const tok_id *history, int64_t n)
{
    const struct eng_options *o = &s->opt;
    if (o->repeat_penalty == 1 && o->presence_penalty == 0 && o->frequency_penalty == 0)
        return;
    int64_t last = o->repeat_last_n < 0 ? o->num_ctx : o->repeat_last_n;
    last = last > n ? n : last;
    for (int64_t i = n - last; i < n; i++)
        if (history[i] >= 0 && history[i] < s->n_vocab)
            s->count[history[i]]++;
    for (int64_t i = n - last; i < n; i++) {
        const tok_id t = history[i];
        if (t < 0 || t >= s->n_vocab || !s->count[t])
            continue; /* done already: counted once */
        float x = logits[t];
        if (x == -INFINITY) { /* a mask took it away, and 0 times that is no number */
            s->count[t] = 0;
            continue;
        }
        x = x > 0 ? x / o->repeat_penalty : x * o->repeat_penalty;
        x -= (float)s->count[t] * o->frequency_penalty + o->presence_penalty;
        logits[t] = x;
        s->count[t] = 0;
    }
}

/* ---- the candidates ------------------------------------------------------------------------------ */

static bool before(const struct smp_cand *a, const struct smp_cand *b)
{
    return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

static int by_order(const void *a, const void *b)
{
    return before(a, b) ? -1 : before(b, a) ? 1 : 0;
}

static void sift_down(struct smp_cand *h, int n, int i)
{
    for (;;) {
        int worst = i;
        for (int c = 2 * i + 1; c <= 2 * i + 2 && c < n; c++)
            if (before(&h[worst], &h[c]))
                worst = c;
        if (worst == i)
            return;
        const struct smp_cand t = h[i];
        h[i] = h[worst];
        h[worst] = t;
        i = worst;
    }
}

/* The best `k` of the vocabulary, sorted: a heap of k with the worst on top. */
static int best(struct smp *s, const float *logits, int k)
{
    struct smp_cand *h = s->cand;
    if (k <= 0 || k >= s->n_vocab) {
        for (int i = 0; i < s->n_vocab; i++)
            h[i] = (struct smp_cand){logits[i], i, 0};
        qsort(h, (size_t)s->n_vocab, sizeof *h, by_order);
        return s->n_vocab;
    }
    for (int i = 0; i < k; i++)
        h[i] = (struct smp_cand){logits[i], i, 0};
    for (int i = k / 2 - 1; i >= 0; i--)
        sift_down(h, k, i);
    for (int i = k; i < s->n_vocab; i++)
        if (logits[i] > h[0].logit) { /* equal ones come later in id: they lose */
            h[0] = (struct smp_cand){logits[i], i, 0};
            sift_down(h, k, 0);
        }
    qsort(h, (size_t)k, sizeof *h, by_order);
    return k;
}

static double weigh(struct smp_cand *c, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        c[i].p = ref_expf(c[i].logit - c[0].logit);
        sum += (double)c[i].p;
    }
    return sum;
}

struct surprise {
    double shift; /* |-log p - entropy| */
    struct smp_cand c;
};

static int by_shift(const void *a, const void *b)
{
    const struct surprise *x = a, *y = b;
    if (x->shift != y->shift)
        return x->shift < y->shift ? -1 : 1;
    return by_order(&x->c, &y->c);
}

/* Locally typical sampling (Meister et al. 2022): the tokens whose surprise is nearest to the
 * entropy, up to mass p. */
static int typical(struct smp_cand *c, int n, double p, struct err *e)
{
    struct surprise *t = malloc((size_t)n * sizeof *t);
    if (!t)
        return err_set(e, ERR_MEMORY, "no memory for typical_p");
    const double sum = weigh(c, n);
    double entropy = 0;
    for (int i = 0; i < n; i++)
        if (c[i].p > 0)
            entropy -= (double)c[i].p / sum * ref_log((double)c[i].p / sum);
    for (int i = 0; i < n; i++) {
        const double q = c[i].p > 0 ? -ref_log((double)c[i].p / sum) : INFINITY;
        t[i] = (struct surprise){fabs(q - entropy), c[i]};
    }
    qsort(t, (size_t)n, sizeof *t, by_shift);
    int keep = 0;
    for (double mass = 0; keep < n && mass <= p; keep++)
        mass += (double)t[keep].c.p / sum;
    for (int i = 0; i < keep; i++)
        c[i] = t[i].c;
    qsort(c, (size_t)keep, sizeof *c, by_order);
    free(t);
    return keep;
}

static int nucleus(struct smp_cand *c, int n, double p)
{
    const double sum = weigh(c, n);
    double mass = 0;
    for (int i = 0; i < n; i++) {
        mass += (double)c[i].p;
        if (mass >= p * sum)
            return i + 1;
    }
    return n;
}

int smp_choose(struct smp *s, const struct kernels *k, float *logits, const tok_id *history,
               int64_t n, uint64_t counter, tok_id *out, struct err *e)
{
    const struct eng_options *o = &s->opt;
    const int top = k->argmax(logits, s->n_vocab);
    if (top < 0)
        return err_set(e, ERR_BUG, "the model gave a logit that is not a number");
    if (!isfinite(logits[top]))
        return err_set(e, ERR_BUG, "the model gave a logit that is infinite");
    penalize(s, logits, history, n);
    if (!(o->temperature > 0)) {
        *out = k->argmax(logits, s->n_vocab);
        return 0;
    }
    struct smp_cand *c = s->cand;
    int m = best(s, logits, o->top_k);
    while (m > 1 && c[m - 1].logit == -INFINITY) /* a mask took them away */
        m--;
    if (o->typical_p > 0 && o->typical_p < 1 && (m = typical(c, m, (double)o->typical_p, e)) < 0)
        return -1;
    if (o->top_p < 1)
        m = nucleus(c, m, o->top_p > 0 ? (double)o->top_p : 0);
    if (o->min_p > 0) {
        int keep = 1;
        while (keep < m && (double)ref_expf(c[keep].logit - c[0].logit) >= (double)o->min_p)
            keep++;
        m = keep;
    }
    /* So cold that the division overflows: then only what the best is ahead by can be divided. */
    const float off = isfinite(c[0].logit / o->temperature) ? 0 : c[0].logit;
    for (int i = 0; i < m; i++)
        c[i].logit = (c[i].logit - off) / o->temperature;
    const double sum = weigh(c, m), u = smp_uniform(s->seed, counter) * sum;
    double mass = 0;
    int i = 0;
    for (; i < m - 1; i++) {
        mass += (double)c[i].p;
        if (u < mass)
            break;
    }
    *out = c[i].id;
    return 0;
}
