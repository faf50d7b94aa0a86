/* engine/sampler/logprob.c - what the model thought of each token: the log of the softmax over the
 * logits as it gave them.
 *
 * Facts: spec/api.md 14, decisions 14. Sums run in double in the order of ids and call no libm, so
 * the values are the same on every machine. An entry waits until the first byte of its token's text
 * is sent: what a stop string takes back never gets one. */
#include "engine/sampler/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAP = 8 };

int lp_keep(struct lp_list *l, const float *logits, int32_t n_vocab, struct err *e)
{
    if (!l->raw && !(l->raw = malloc((size_t)n_vocab * sizeof *l->raw)))
        return err_set(e, ERR_MEMORY, "no memory for log-probabilities");
    memcpy(l->raw, logits, (size_t)n_vocab * sizeof *l->raw);
    l->n_vocab = n_vocab;
    return 0;
}

/* max + log(sum of exp(logit - max)) */
static double log_of_sum(const float *x, int32_t n)
{
    float max = x[0];
    for (int32_t i = 1; i < n; i++)
        max = x[i] > max ? x[i] : max;
    double sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += ref_exp((double)x[i] - (double)max);
    return (double)max + ref_log(sum);
}

/* The n largest, falling; equal ones by id. Most logits are under the least of them. */
static int largest(const float *x, int32_t n_vocab, int n, tok_id *top)
{
    int have = 0;
    for (int32_t i = 0; i < n_vocab; i++) {
        if (have == n && !(x[i] > x[top[n - 1]]))
            continue;
        int at = have < n ? have++ : n - 1;
        for (; at > 0 && x[i] > x[top[at - 1]]; at--)
            top[at] = top[at - 1];
        top[at] = i;
    }
    return have;
}

/* A logit of -inf: JSON has no word for it, and readers refuse null. */
static double written(double lp)
{
    return lp > -9999.0 ? lp : -9999.0;
}

int lp_add(struct lp_list *l, tok_id id, uint64_t at, int n_top, struct err *e)
{
    if (l->n == l->cap) {
        const size_t cap = l->cap ? 2 * l->cap : FIRST_CAP;
        struct lp_entry *p = realloc(l->e, cap * sizeof *p);
        if (!p)
            return err_set(e, ERR_MEMORY, "no memory for log-probabilities");
        l->e = p;
        l->cap = cap;
    }
    struct lp_entry *x = &l->e[l->n++];
    const double norm = log_of_sum(l->raw, l->n_vocab);
    x->at = at;
    x->id = id;
    x->lp = written((double)l->raw[id] - norm);
    n_top = n_top < 0 ? 0 : n_top > ENG_TOP_LOGPROBS ? ENG_TOP_LOGPROBS : n_top;
    x->n_top = n_top ? largest(l->raw, l->n_vocab, n_top, x->top) : 0;
    for (int i = 0; i < x->n_top; i++)
        x->top_lp[i] = written((double)l->raw[x->top[i]] - norm);
    return 0;
}

int lp_take(struct lp_list *l, const struct tok_vocab *v, uint64_t sent, bool named,
            const struct eng_logprob **out, size_t *n, struct err *e)
{
    size_t take = 0, rows = 0;
    while (take < l->n && l->e[take].at < sent)
        rows += 1 + (size_t)l->e[take++].n_top;
    *n = take;
    *out = NULL;
    if (!take)
        return 0;
    if (rows > l->out_cap) {
        struct eng_logprob *p = realloc(l->out, rows * sizeof *p);
        if (!p)
            return err_set(e, ERR_MEMORY, "no memory for log-probabilities");
        l->out = p;
        l->out_cap = rows;
    }
    struct eng_logprob *top = l->out + take;
    for (size_t i = 0; i < take; i++) {
        const struct lp_entry *x = &l->e[i];
        /* The sampled token says what was sent of it; one that is only shown says its name. */
        const struct text t = tok_piece(v, x->id, named);
        l->out[i] = (struct eng_logprob){t.p, t.n, x->lp, x->n_top ? top : NULL, (size_t)x->n_top};
        for (int k = 0; k < x->n_top; k++) {
            const struct text a = x->top[k] == x->id ? t : tok_piece(v, x->top[k], true);
            *top++ = (struct eng_logprob){.bytes = a.p, .n = a.n, .logprob = x->top_lp[k]};
        }
    }
    memmove(l->e, l->e + take, (l->n - take) * sizeof *l->e);
    l->n -= take;
    *out = l->out;
    return 0;
}

void lp_free(struct lp_list *l)
{
    free(l->e);
    free(l->out);
    free(l->raw);
    *l = (struct lp_list){0};
}
