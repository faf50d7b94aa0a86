/* engine/sched/embed.c - texts become vectors, many of them in a step.
 *
 * A job brings any number of texts. Its current one is its sequence as a prompt would be (tokens
 * and pages of the job, computed in chunks, or in one step by an encoder), so that memory is shared
 * with generating jobs by the same rules. A step takes rows of all jobs' current texts and fills up
 * with further texts, one of each job in turn: those have lanes, which live for the step. So a
 * short request does not wait for a long one, and many short texts cost what one long one does.
 * Rows know nothing of each other: a vector has the same bits alone and in any company.
 *
 * Facts: spec/api.md 15.1. A text is tokenized when its turn comes. */
#include "engine/sched/sched.h"

#include <stdlib.h>
#include <string.h>

enum { N_LANES = 128 };

struct lane { /* a text of a step */
    struct eng_job *job;
    int i; /* the job's place in slot.active */
    size_t text;
    bool is_current; /* ids, pages and sum are the job's */
    struct tok_ids ids;
    struct kv_table kv;
    struct pooler pool;
};
struct embed_lanes {
    struct lane lane[N_LANES];
    struct run runs[N_LANES];
    int n, n_rows;
    bool capped;   /* every job limits its threads */
    int n_threads; /* the largest limit */
    int turn;      /* the place whose job gives the next text */
};

/* ---- the request --------------------------------------------------------------------------- */

struct embed_text {
    char *p; /* NULL: ids */
    size_t n;
    tok_id *ids;
};
struct embed_work { /* a job's texts and vectors */
    struct embed_text *texts;
    size_t n_texts, n_begun, n_ended;
    size_t current;       /* the text whose tokens are the job's, if it has any */
    struct pooler pool;   /* its sum so far */
    struct tok_ids ahead; /* tokens of text n_begun when it did not fit into the last step */
    int32_t n_dims;       /* wanted; 0 = all */
    bool as_stored;       /* of length 1 only if the file says so */
    float *out;           /* [n_texts][width] */
    int32_t width;
};

void embed_work_free(struct embed_work *w)
{
    if (!w)
        return;
    for (size_t i = 0; w->texts && i < w->n_texts; i++) {
        free(w->texts[i].p);
        free(w->texts[i].ids);
    }
    free(w->texts);
    free(w->out);
    pool_free(&w->pool);
    tok_ids_free(&w->ahead);
    free(w);
}

static int copy_text(struct embed_text *to, const struct eng_input *from)
{
    to->n = from->n;
    if (from->ids) {
        to->ids = malloc((from->n ? from->n : 1) * sizeof *to->ids);
        if (to->ids && from->n)
            memcpy(to->ids, from->ids, from->n * sizeof *to->ids);
        return to->ids ? 0 : -1;
    }
    to->p = malloc(from->n + 1);
    if (!to->p)
        return -1;
    memcpy(to->p, from->p, from->n);
    to->p[from->n] = 0;
    return 0;
}

struct embed_work *embed_work_new(const struct eng_request *r, struct err *e)
{
    struct embed_work *w = calloc(1, sizeof *w);
    if (w && (w->texts = calloc(r->n_inputs ? r->n_inputs : 1, sizeof *w->texts))) {
        w->n_texts = r->n_inputs;
        w->n_dims = r->dimensions;
        w->as_stored = r->as_stored;
        size_t i = 0;
        while (i < r->n_inputs && !copy_text(&w->texts[i], &r->inputs[i]))
            i++;
        if (i == r->n_inputs)
            return w;
    }
    embed_work_free(w);
    err_set(e, ERR_MEMORY, "no memory for a request");
    return NULL;
}

uint64_t embed_work_bytes(const struct embed_work *w, const struct model *m)
{
    return (uint64_t)w->n_texts * (uint64_t)m->hp.n_embd * sizeof *w->out;
}

int embed_start(struct slot *s, struct eng_job *j, struct err *e)
{
    struct embed_work *w = j->embed;
    const int32_t all = s->m->hp.n_embd;
    j->n_ctx = j->opt.num_ctx > 0          ? j->opt.num_ctx
               : s->g->cfg.default_ctx > 0 ? s->g->cfg.default_ctx
                                           : 4096;
    if (j->n_ctx > s->m->n_most)
        j->n_ctx = s->m->n_most;
    j->t_start = time_mono_ns();
    meter_time(&s->meter->wait, j->t_start - j->submitted);
    atomic_store_explicit(&j->meter.wait_ns, j->t_start - j->submitted, memory_order_relaxed);
    w->width = w->n_dims > 0 && w->n_dims < all ? w->n_dims : all;
    w->out = calloc((w->n_texts ? w->n_texts : 1) * (size_t)w->width, sizeof *w->out);
    if (!w->out)
        return err_set(e, ERR_MEMORY, "no memory for %zu embeddings", w->n_texts);
    if (s->m->hp.pooling == POOL_RANK) /* it ranks pairs of texts */
        return err_set(e, ERR_INPUT, "\"%s\" does not support embeddings", s->name);
    return 0;
}

/* ---- tokens of a text ---------------------------------------------------------------------- */

static bool begins(const struct tok_ids *ids, const struct tok_ids *with)
{
    return ids->n >= with->n && !memcmp(ids->ids, with->ids, with->n * sizeof *with->ids);
}

static bool ends(const struct tok_ids *ids, const struct tok_ids *with)
{
    return ids->n >= with->n &&
           !memcmp(ids->ids + ids->n - with->n, with->ids, with->n * sizeof *with->ids);
}

/* The text's own tokens. */
static int own_tokens(const struct slot *s, const struct embed_text *t, struct tok_ids *ids,
                      struct err *e)
{
    if (t->p)
        return t->n ? tok_encode(s->m->vocab, t->p, t->n, NULL, 0, ids, e) : 0;
    for (size_t i = 0; i < t->n; i++) {
        if (t->ids[i] < 0 || t->ids[i] >= s->m->hp.n_vocab)
            return err_set(e, ERR_INPUT, "token id %d is outside the vocabulary of %d", t->ids[i],
                           s->m->hp.n_vocab);
        if (tok_ids_add(ids, t->ids[i], e))
            return -1;
    }
    return 0;
}

/* With what the model wants before and after, cut to the context. Lists of tokens may bring these
 * themselves. */
static int text_tokens(struct slot *s, struct eng_job *j, const struct embed_text *t,
                       struct tok_ids *out, struct err *e)
{
    const struct tok_vocab *v = s->m->vocab;
    struct tok_ids own = {0}, before = {0}, after = {0};
    int rc = -1;
    if (own_tokens(s, t, &own, e) || tok_add_before(v, &before, e) || tok_add_after(v, &after, e))
        goto done;
    if (before.n && begins(&own, &before))
        before.n = 0;
    if (after.n && own.n > before.n && ends(&own, &after))
        after.n = 0;
    size_t n = own.n, frame = before.n + after.n;
    if (n + frame > (size_t)j->n_ctx) {
        if (j->no_truncate) {
            err_set(e, ERR_INPUT, "the input length exceeds the context length");
            goto done;
        }
        if (frame >= (size_t)j->n_ctx) {
            err_set(e, ERR_INPUT, "input after truncation exceeds maximum context length");
            goto done;
        }
        n = (size_t)j->n_ctx - frame;
        j->stats.prompt_truncated += (int32_t)(own.n - n);
    }
    for (size_t i = 0; i < before.n; i++)
        if (tok_ids_add(out, before.ids[i], e))
            goto done;
    for (size_t i = 0; i < n; i++)
        if (tok_ids_add(out, own.ids[i], e))
            goto done;
    for (size_t i = 0; i < after.n; i++)
        if (tok_ids_add(out, after.ids[i], e))
            goto done;
    /* A model that adds nothing: its first token stands for a text without any. */
    if (!out->n && tok_ids_add(out, tok_bos(v) >= 0 ? tok_bos(v) : 0, e))
        goto done;
    j->stats.prompt_count += (int32_t)out->n;
    rc = 0;
done:
    tok_ids_free(&own);
    tok_ids_free(&before);
    tok_ids_free(&after);
    return rc;
}

/* ---- which texts a step takes --------------------------------------------------------------- */

static void lane_end(struct slot *s, struct lane *l)
{
    kv_table_free(&s->m->pool, &l->kv);
    tok_ids_free(&l->ids);
    pool_free(&l->pool);
    *l = (struct lane){0};
}

void embed_close(struct slot *s) /* lanes hold nothing between steps */
{
    free(s->lanes);
    s->lanes = NULL;
}

static bool embeds(const struct eng_job *j)
{
    return j && j->kind == ENG_EMBED;
}

static bool has_text(const struct eng_job *j)
{
    return embeds(j) && j->embed->n_begun < j->embed->n_texts;
}

/* Tokens of the job's next text; on error the job ends. */
static bool next_text(struct slot *s, int i, struct tok_ids *ids)
{
    struct eng_job *j = s->active[i];
    struct embed_work *w = j->embed;
    struct err e = {0};
    if (w->ahead.n) {
        tok_ids_free(ids);
        *ids = w->ahead;
        w->ahead = (struct tok_ids){0};
    } else if (text_tokens(s, j, &w->texts[w->n_begun], ids, &e)) {
        slot_job_end(s, i, &e);
        return false;
    }
    w->n_begun++;
    return true;
}

static void add_run(struct slot *s, struct lane *l, const struct tok_ids *ids, int64_t from,
                    int64_t rows, uint8_t *const *pages)
{
    struct embed_lanes *b = s->lanes;
    struct run *run = &b->runs[b->n++];
    *run = (struct run){
        .row0 = b->n_rows, .n = (int)rows, .pos0 = from, .tokens = ids->ids + from, .pages = pages};
    pool_want(s->m, run, (int64_t)ids->n);
    b->n_rows += (int)rows;
    const int32_t cap = l->job->opt.num_thread;
    b->capped = b->capped && cap > 0;
    b->n_threads = cap > b->n_threads ? cap : b->n_threads;
}

/* Rows of the job's current text, a new one if it has none. */
static void add_current(struct slot *s, int i, int budget)
{
    struct embed_lanes *b = s->lanes;
    struct eng_job *j = s->active[i];
    struct embed_work *w = j->embed;
    struct err e = {0};
    if (!j->tokens.n) {
        if (!has_text(j) || !next_text(s, i, &j->tokens))
            return;
        w->current = w->n_begun - 1;
        j->n_done = 0;
    }
    const int64_t left = (int64_t)j->tokens.n - j->n_done, room = budget - b->n_rows;
    int64_t rows = left < room ? left : room;
    if (s->m->fam->encoder && rows < left)
        return;
    if (!s->m->fam->encoder && j->opt.num_batch > 0 && rows > j->opt.num_batch)
        rows = j->opt.num_batch;
    if (rows < 1)
        return;
    if (!slot_make_room(s, i, j->n_done + rows, &e)) {
        if (e.code)
            slot_job_end(s, i, &e);
        return;
    }
    if (!j->n_done &&
        pool_begin(&w->pool, s->m, &e)) { /* it may have been paused, and begins again */
        slot_job_end(s, i, &e);
        return;
    }
    struct lane *l = &b->lane[b->n];
    *l = (struct lane){.job = j, .i = i, .text = w->current, .is_current = true};
    add_run(s, l, &j->tokens, j->n_done, rows, j->kv.pages);
}

/* A further text of the job, if all of it fits. */
static bool add_further(struct slot *s, int i, int budget)
{
    struct embed_lanes *b = s->lanes;
    struct eng_job *j = s->active[i];
    struct lane *l = &b->lane[b->n];
    struct err e = {0};
    *l = (struct lane){.job = j, .i = i};
    if (!next_text(s, i, &l->ids)) {
        lane_end(s, l);
        return true; /* the job is gone; others may have texts */
    }
    l->text = j->embed->n_begun - 1;
    const int64_t n = (int64_t)l->ids.n;
    const bool fits = n <= budget - b->n_rows &&
                      (s->m->fam->encoder || j->opt.num_batch <= 0 || n <= j->opt.num_batch);
    if (fits && room_is_free(s, j) && !kv_grow(&s->m->pool, &l->kv, n, &e) &&
        !pool_begin(&l->pool, s->m, &e)) {
        add_run(s, l, &l->ids, 0, n, l->kv.pages);
        return true;
    }
    j->embed->n_begun--;
    j->embed->ahead = l->ids;
    l->ids = (struct tok_ids){0};
    lane_end(s, l);
    return false;
}

/* Lanes of jobs that ended meanwhile (a further text was wrong), or that slot_make_room paused,
 * fall out. */
static void drop_gone(struct slot *s)
{
    struct embed_lanes *b = s->lanes;
    int kept = 0, rows = 0;
    for (int r = 0; r < b->n; r++) {
        struct lane *l = &b->lane[r];
        if (s->active[l->i] != l->job || (l->is_current && !l->job->kv.n)) {
            lane_end(s, l);
            continue;
        }
        if (kept < r) {
            b->lane[kept] = *l;
            *l = (struct lane){0};
        }
        b->runs[kept] = b->runs[r];
        b->runs[kept++].row0 = rows;
        rows += b->runs[r].n;
    }
    b->n = kept;
    b->n_rows = rows;
}

static void fill(struct slot *s, int budget)
{
    struct embed_lanes *b = s->lanes;
    b->n = b->n_rows = b->n_threads = 0;
    b->capped = true;
    const int first = b->turn;
    b->turn = (b->turn + 1) % MAX_PARALLEL;
    for (int k = 0; k < MAX_PARALLEL; k++) {
        const int i = (first + k) % MAX_PARALLEL;
        if (embeds(s->active[i]) && b->n_rows < budget)
            add_current(s, i, budget);
    }
    drop_gone(s);
    for (bool more = b->n > 0; more;) {
        more = false;
        for (int k = 0; k < MAX_PARALLEL; k++) {
            const int i = (first + k) % MAX_PARALLEL;
            if (b->n < N_LANES && b->n_rows < budget && has_text(s->active[i]) &&
                s->active[i]->tokens.n && !s->active[i]->embed->ahead.n)
                more |= add_further(s, i, budget);
        }
    }
    drop_gone(s);
}

/* ---- a step -------------------------------------------------------------------------------- */

static bool all_over(void *arg)
{
    const struct embed_lanes *b = arg;
    const int64_t now = time_mono_ns();
    for (int r = 0; r < b->n; r++)
        if (!job_is_over(b->lane[r].job, now, NULL))
            return false;
    return true;
}

static void job_done(struct slot *s, int i)
{
    struct eng_job *j = s->active[i];
    struct embed_work *w = j->embed;
    j->stats.reason = ENG_STOP;
    j->stats.prompt_ns = time_mono_ns() - j->t_start;
    j->stats.vectors = w->out;
    j->stats.n_vectors = w->n_texts;
    j->stats.n_dims = w->width;
    j->stats.numerics = s->m->numerics;
    atomic_store_explicit(&j->meter.prompt, j->stats.prompt_count, memory_order_relaxed);
    meter_add(&s->meter->truncated, j->stats.prompt_truncated > 0);
    slot_job_end(s, i, NULL);
}

/* The rows of lane r are computed. The job may end with that. */
static void take(struct slot *s, int r, const float *hidden)
{
    struct embed_lanes *b = s->lanes;
    struct lane *l = &b->lane[r];
    struct eng_job *j = l->job;
    struct embed_work *w = j->embed;
    struct pooler *pool = l->is_current ? &w->pool : &l->pool;
    struct err e = {0};
    pool_add(pool, s->m, &b->runs[r], hidden);
    if (l->is_current) {
        j->n_done += b->runs[r].n;
        if (j->n_done < (int64_t)j->tokens.n)
            return;
    }
    meter_add(&s->meter->prompt, l->is_current ? (int64_t)j->tokens.n : b->runs[r].n);
    if (l->is_current) { /* its pages serve nobody else */
        kv_shrink(&s->m->pool, &j->kv, 0);
        j->tokens.n = 0;
        j->n_done = 0;
    }
    if (pool_end(pool, s->m, !w->as_stored || s->m->unit_vectors, w->width,
                 w->out + l->text * (size_t)w->width, &e))
        slot_job_end(s, l->i, &e);
    else if (++w->n_ended == w->n_texts)
        job_done(s, l->i);
}

static bool compute(struct slot *s)
{
    struct embed_lanes *b = s->lanes;
    struct step step = {.runs = b->runs,
                        .n_runs = b->n,
                        .n_rows = b->n_rows,
                        .n_threads = b->capped ? b->n_threads : 0,
                        .stop = all_over,
                        .stop_arg = b};
    struct err e = {0};
    eng_lock_crew(s->g, true);
    const int rc = model_step(s->m, &step, &e);
    eng_lock_crew(s->g, false);
    if (!rc && !step.stopped)
        meter_step(s->meter, b->n_rows);
    const float *hidden = step.hidden;
    for (int r = 0; r < b->n; r++) {
        const struct lane *l = &b->lane[r];
        const bool there = s->active[l->i] == l->job; /* it did not end with an earlier lane */
        if (there && rc)
            slot_job_end(s, l->i, &e);
        else if (there && !step.stopped) /* else they are over: the next turn ends them */
            take(s, r, hidden);
        hidden += (size_t)b->runs[r].n_hidden * (size_t)s->m->hp.n_embd;
    }
    for (int r = 0; r < b->n; r++)
        lane_end(s, &b->lane[r]);
    return true;
}

bool embed_step(struct slot *s)
{
    bool any = false, others = false;
    for (int i = 0; i < MAX_PARALLEL; i++) {
        any |= embeds(s->active[i]);
        others |= s->active[i] && s->active[i]->sampled;
    }
    if (!any)
        return false;
    if (!s->lanes && !(s->lanes = calloc(1, sizeof *s->lanes))) {
        struct err e = {0};
        err_set(&e, ERR_MEMORY, "no memory for embeddings");
        for (int i = 0; i < MAX_PARALLEL; i++)
            if (embeds(s->active[i]))
                slot_job_end(s, i, &e);
        return true;
    }
    int budget = s->m->n_batch;
    if (others && s->ns_decode > 0) { /* as long as a prompt's rows may hold them up */
        const int most = pace_rows(&s->pace, s->ns_decode);
        budget = most < budget ? most : budget;
    }
    fill(s, budget);
    return s->lanes->n > 0 && compute(s);
}
