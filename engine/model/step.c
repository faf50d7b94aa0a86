/* engine/model/step.c - one step: a batch of rows through all blocks, on the crew. */
#include "engine/model/model.h"

#include <stdlib.h>
#include <string.h>
#include "engine/model/trace.h"
#include "engine/ops.h"

enum { LOGITS_ROWS = 32 }; /* of a step: with drafts as many (WORTH_ROWS), without fewer */

struct work { /* what all threads of the step read */
    struct model *m;
    struct step *s;
    struct shared shared;
    int n_th;
    const int *logit_rows, *hidden_rows;
    struct trace *trace; /* or NULL */
};

static void run_thread(void *arg, int ith)
{
    struct work *w = arg;
    struct model *m = w->m;
    struct step *s = w->s;
    const int n = s->n_rows, cols = m->k->act_cols, blocks = (n + cols - 1) / cols;
    struct fwd f = {.m = m,
                    .s = s,
                    .shared = &w->shared,
                    .k = m->k,
                    .hp = &m->hp,
                    .ith = ith,
                    .n_th = w->n_th,
                    .trace = w->trace ? &w->trace->threads[ith] : NULL,
                    .layer = -1,
                    .n = n,
                    .private_rows = n <= PRIVATE_ROWS,
                    .region = {m->region[0], m->region[1]},
                    .mm_scratch = m->own_mem[ith]};
    f.own = m->own_mem[ith] + ((m->k->mm_scratch_bytes + 63) & ~(size_t)63);
    f.r1 = n;
    if (!f.private_rows) { /* rows split at the groups that activations are packed in */
        f.r0 = blocks * ith / w->n_th * cols;
        f.r1 = blocks * (ith + 1) / w->n_th * cols;
        f.r1 = f.r1 > n ? n : f.r1;
    }
    ops_begin(&f);
    for (int il = 0; il < m->hp.n_layer; il++) {
        if (s->stop && !f.private_rows) { /* asked once a block, and only when blocks are long */
            if (ith == 0)
                w->shared.stopped = atomic_load(&w->shared.useless) || s->stop(s->stop_arg);
            trace_barrier(f.trace, m->crew, ith);
            if (w->shared.stopped)
                break;
        }
        f.layer = il;
        m->fam->block(&f, &m->w.layers[il], il);
    }
    f.layer = -1;
    if (s->n_logits && !w->shared.stopped)
        ops_logits(&f, w->logit_rows, s->n_logits, m->logits);
    if (s->n_hidden && !w->shared.stopped)
        ops_hidden(&f, w->hidden_rows, s->n_hidden, m->hidden);
    if (f.trace)
        trace_thread_end(f.trace);
}

/* Grow *p to at least `bytes`; old content is not kept. */
static int need(void *pp, size_t *have, size_t bytes, struct err *e)
{
    uint8_t **p = pp;
    if (*have >= bytes)
        return 0;
    big_free(*p, *have);
    *have = 0;
    *p = big_alloc(bytes);
    if (!*p)
        return err_set(e, ERR_MEMORY, "no memory for a step: %zu bytes", bytes);
    *have = bytes;
    return 0;
}

static size_t own_bytes(const struct model *m, int n_rows, int64_t longest)
{
    return ((m->k->mm_scratch_bytes + 63) & ~(size_t)63) + ops_own_bytes(m, n_rows, longest);
}

uint64_t model_step_bytes(const struct model *m, int64_t longest)
{
    uint64_t b = (uint64_t)own_bytes(m, m->n_batch, longest) * (uint64_t)crew_most(m->crew);
    for (int i = 0; i < 2; i++) {
        const size_t many = ops_region_bytes(m, m->n_batch, longest, i);
        const size_t few = ops_region_bytes(m, PRIVATE_ROWS, longest, i);
        b += many > few ? many : few;
    }
    if (m->fam->encoder) /* hidden states of all rows; a decoder's are seldom wanted */
        return b + (uint64_t)m->n_batch * (uint64_t)m->hp.n_embd * sizeof(float);
    return b + (uint64_t)LOGITS_ROWS * (uint64_t)m->hp.n_vocab * sizeof(float);
}

uint64_t model_scratch_bytes(const struct model *m)
{
    return m->region_bytes[0] + m->region_bytes[1] + m->logits_bytes + m->hidden_bytes +
           (m->own_mem ? m->own_bytes * (uint64_t)crew_most(m->crew) : 0);
}

static int prepare(struct model *m, const struct step *s, struct err *e)
{
    int64_t longest = 0;
    for (int i = 0; i < s->n_runs; i++)
        if (s->runs[i].pos0 + s->runs[i].n > longest)
            longest = s->runs[i].pos0 + s->runs[i].n;
    const int rows = s->n_rows > PRIVATE_ROWS ? m->n_batch : PRIVATE_ROWS;
    for (int i = 0; i < 2; i++) {
        if (need(&m->region[i], &m->region_bytes[i], ops_region_bytes(m, rows, longest, i), e))
            return -1;
    }
    const size_t own = own_bytes(m, s->n_rows, longest);
    const int n_th = crew_most(m->crew);
    if (!m->own_mem && !(m->own_mem = calloc((size_t)n_th, sizeof *m->own_mem)))
        return err_set(e, ERR_MEMORY, "no memory for a step");
    if (own > m->own_bytes) {
        for (int i = 0; i < n_th; i++) {
            big_free(m->own_mem[i], m->own_bytes);
            m->own_mem[i] = NULL;
        }
        m->own_bytes = 0;
        for (int i = 0; i < n_th; i++)
            if (!(m->own_mem[i] = big_alloc(own))) {
                for (int j = 0; j < i; j++) {
                    big_free(m->own_mem[j], own);
                    m->own_mem[j] = NULL;
                }
                return err_set(e, ERR_MEMORY, "no memory for a step: %zu bytes", own);
            }
        m->own_bytes = own;
    }
    if (need(&m->hidden, &m->hidden_bytes,
             (size_t)s->n_hidden * (size_t)m->hp.n_embd * sizeof(float), e))
        return -1;
    return need(&m->logits, &m->logits_bytes,
                (size_t)s->n_logits * (size_t)m->hp.n_vocab * sizeof(float), e);
}

int model_step(struct model *m, struct step *s, struct err *e)
{
    int *rows = NULL, rc = -1;
    s->n_logits = s->n_hidden = 0;
    s->stopped = false;
    for (int i = 0; i < s->n_runs; i++) {
        const struct run *r = &s->runs[i];
        s->n_logits += r->n_logits;
        s->n_hidden += r->n_hidden;
        for (int j = 0; j < r->n; j++)
            if (r->tokens[j] < 0 || r->tokens[j] >= m->hp.n_vocab)
                return err_set(e, ERR_INPUT, "token id %d is outside the vocabulary of %d",
                               r->tokens[j], m->hp.n_vocab);
    }
    const size_t n_out = (size_t)s->n_logits + (size_t)s->n_hidden;
    if (n_out && !(rows = malloc(n_out * sizeof *rows)))
        return err_set(e, ERR_MEMORY, "no memory for a step");
    for (int i = 0, n = 0, k = s->n_logits; i < s->n_runs; i++) {
        const struct run *r = &s->runs[i];
        for (int j = r->n - r->n_logits; j < r->n; j++)
            rows[n++] = r->row0 + j;
        for (int j = 0; j < r->n_hidden; j++)
            rows[k++] = r->row0 + r->hidden0 + j;
    }
    if (prepare(m, s, e))
        goto done;
    crew_refresh(m->crew);
    int n_th = crew_size(m->crew);
    if (s->n_threads > 0 && s->n_threads < n_th)
        n_th = s->n_threads;
    /* By rows, as steps of one row and of four take turns: the dearer ones are not disturbed. */
    _Static_assert(sizeof m->tune / sizeof *m->tune == PRIVATE_ROWS, "a tune for each count of rows");
    const bool small = s->n_rows > 0 && s->n_rows <= PRIVATE_ROWS;
    struct tune *tune = small ? &m->tune[s->n_rows - 1] : NULL;
    const int use = small ? tune_threads(tune, n_th) : n_th;
    struct work w = {.m = m, .s = s, .n_th = use, .logit_rows = rows,
                     .hidden_rows = rows + s->n_logits};
    if (m->trace && trace_step_begin(m->trace, s->n_rows, use, m->hp.n_layer))
        w.trace = m->trace;
    const int64_t t0 = time_mono_ns();
    crew_run(m->crew, use, run_thread, &w);
    if (w.trace)
        trace_step_end(w.trace);
    if (small)
        tune_learn(tune, use, n_th, time_mono_ns() - t0);
    s->stopped = w.shared.stopped || atomic_load(&w.shared.useless);
    s->logits = m->logits;
    s->hidden = m->hidden;
    rc = 0;
done:
    free(rows);
    return rc;
}
