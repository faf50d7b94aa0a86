/* engine/model/embed.c - from the rows of a text to one vector.
 *
 * Pooling by the file's pooling_type: the mean of all rows, the first row (CLS), or the last one. A
 * file that does not say gets the mean: that is how text generators serve as embedders. Sums run in
 * double over rows in ascending order, so chunks and batches show in no bit; a vector is rounded to
 * f32 once, after it was scaled to length 1. */
#include "engine/model/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static enum pooling pooling_of(const struct model *m)
{
    const int32_t p = m->hp.pooling;
    return p == POOL_CLS || p == POOL_LAST ? (enum pooling)p : POOL_MEAN;
}

int pool_begin(struct pooler *p, const struct model *m, struct err *e)
{
    if (m->hp.pooling == POOL_RANK)
        return err_set(
            e, ERR_UNSUPPORTED,
            "this model ranks pairs of texts (pooling type rank), which is not supported");
    const size_t n = (size_t)m->hp.n_embd;
    if (!p->sum && !(p->sum = malloc(n * sizeof *p->sum)))
        return err_set(e, ERR_MEMORY, "no memory for an embedding");
    memset(p->sum, 0, n * sizeof *p->sum);
    p->n = 0;
    return 0;
}

void pool_free(struct pooler *p)
{
    free(p->sum);
    *p = (struct pooler){0};
}

void pool_want(const struct model *m, struct run *run, int64_t n_total)
{
    const int64_t row = pooling_of(m) == POOL_CLS ? 0 : n_total - 1;
    const bool here = row >= run->pos0 && row < run->pos0 + run->n;
    run->hidden0 = 0;
    run->n_hidden = run->n;
    if (pooling_of(m) != POOL_MEAN) {
        run->hidden0 = here ? (int)(row - run->pos0) : 0;
        run->n_hidden = here;
    }
}

void pool_add(struct pooler *p, const struct model *m, const struct run *run, const float *hidden)
{
    const size_t n = (size_t)m->hp.n_embd;
    for (int r = 0; r < run->n_hidden; r++, hidden += n)
        for (size_t i = 0; i < n; i++)
            p->sum[i] += (double)hidden[i];
    p->n += run->n_hidden;
}

int pool_end(const struct pooler *p, const struct model *m, bool unit, int32_t n_out, float *out,
             struct err *e)
{
    double squares = 0;
    if (n_out < 1 || n_out > m->hp.n_embd)
        n_out = m->hp.n_embd;
    for (int32_t i = 0; i < m->hp.n_embd; i++)
        if (!isfinite(p->sum[i]))
            return err_set(e, ERR_INPUT, "embedding contains NaN or Inf values");
    for (int32_t i = 0; i < n_out; i++)
        squares += p->sum[i] * p->sum[i];
    double by = p->n > 0 ? (double)p->n : 1;
    if (unit)
        by = squares > 0 ? sqrt(squares) : 1; /* nothing has no direction */
    for (int32_t i = 0; i < n_out; i++)
        out[i] = (float)(p->sum[i] / by);
    return 0;
}

/* ---- the bench's level --------------------------------------------------------------------- */

bool model_embeds(const struct model *m)
{
    return m->fam->encoder || m->hp.pooling >= 0;
}

int32_t model_n_embd(const struct model *m)
{
    return m->hp.n_embd;
}

int model_embed(struct model *m, const tok_id *tokens, int n, float *out, struct err *e)
{
    struct pooler p = {0};
    struct kv_table kv = {0};
    int rc = -1;
    if (n < 1 || n > m->n_most)
        return err_set(e, ERR_INPUT, "%d tokens to embed, from 1 to %d are possible", n, m->n_most);
    if (pool_begin(&p, m, e) || kv_grow(&m->pool, &kv, n, e))
        goto done;
    for (int i = 0; i < n;) {
        const int rows = n - i < m->n_batch ? n - i : m->n_batch;
        struct run run = {.n = rows, .pos0 = i, .tokens = tokens + i, .pages = kv.pages};
        pool_want(m, &run, n);
        struct step step = {.runs = &run, .n_runs = 1, .n_rows = rows};
        if (model_step(m, &step, e))
            goto done;
        pool_add(&p, m, &run, step.hidden);
        i += rows;
    }
    rc = pool_end(&p, m, false, m->hp.n_embd, out, e);
done:
    kv_table_free(&m->pool, &kv);
    pool_free(&p);
    return rc;
}
