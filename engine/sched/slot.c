/* engine/sched/slot.c - the life of a loaded model: wait for its turn, load, serve, go.
 *
 * The slot's thread sleeps on a condition while there is nothing to do, so an idle model costs no
 * CPU. It leaves eng.slots in the same critical section in which it decides to go: a request that
 * comes later starts a new slot. */
#include "engine/sched/sched.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- jobs ------------------------------------------------------------------------------------- */

void job_unref(struct eng_job *j)
{
    if (atomic_fetch_sub(&j->refs, 1) != 1)
        return;
    free(j->raw);
    json_decref(j->chat);
    free(j->template_text);
    free(j->context);
    free(j->cache_scope);
    eng_options_free(&j->opt);
    embed_work_free(j->embed);
    tok_ids_free(&j->tokens);
    tok_ids_free(&j->whole);
    smp_free(&j->smp);
    piece_free(&j->piece);
    lp_free(&j->lps);
    lp_free(&j->scores);
    draft_free(&j->draft);
    grammar_free(j->rules);
    free(j->shown);
    free(j->rules_key);
    free(j);
}

bool job_is_over(const struct eng_job *j, int64_t now, struct err *e)
{
    if (atomic_load(&j->cancelled))
        err_set(e, ERR_CANCELLED, "request canceled");
    else if (now >= j->deadline)
        err_set(e, ERR_TIMEOUT, "the request was not answered within its deadline of %d ms",
                j->opt.deadline_ms);
    else
        return false;
    return true;
}

/* The answer's last word, then the job is nobody's but the caller's. */
static void job_answer(struct eng *g, struct eng_job *j, const struct err *e)
{
    if (e) {
        j->sink.fail(j->sink.arg, e);
    } else {
        j->stats.context = j->whole.ids;
        j->stats.n_context = j->want_context ? j->whole.n : 0;
        j->stats.warnings = j->opt.warnings;
        j->stats.stop = j->piece.stopped ? j->piece.stop : NULL;
        j->sink.done(j->sink.arg, &j->stats);
    }
    pthread_mutex_lock(&g->lock);
    mem_give(&g->mem, j->bytes);
    atomic_fetch_sub(&g->job_bytes, j->bytes);
    atomic_store(&j->g, NULL);
    j->slot = NULL;
    g->n_jobs--;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
    job_unref(j);
}

static int64_t expiry(int64_t keep_alive_ns)
{
    return keep_alive_ns < 0 || keep_alive_ns > INT64_MAX / 4 ? INT64_MAX
                                                              : time_mono_ns() + keep_alive_ns;
}

/* Under the lock. */
static void job_left(struct slot *s)
{
    s->used_at = time_mono_ns();
    if (!s->n_active && !s->n_queued)
        s->expires = expiry(s->keep_alive_ns);
}

void slot_job_end(struct slot *s, int i, const struct err *e)
{
    struct eng_job *j = s->active[i];
    s->active[i] = NULL;
    if (s->m)
        kv_leave(&s->m->pool, &j->kv, j->tokens.ids, j->n_done, j->cache_scope);
    meter_add(&s->meter->shifts, j->stats.context_shifts);
    meter_add(&s->meter->drafted, j->stats.draft_count);
    meter_add(&s->meter->accepted, j->stats.draft_accepted);
    if (j->stats.draft_count)
        log_line(LOG_DEBUG, "%s: %d tokens, %d drafted, %d of these came", s->name,
                 j->stats.eval_count, j->stats.draft_count, j->stats.draft_accepted);
    pthread_mutex_lock(&s->g->lock);
    s->n_active--;
    s->hungry = INT64_MAX; /* who still waits for pages says so again */
    atomic_store(&s->running[i], NULL);
    job_left(s);
    pthread_mutex_unlock(&s->g->lock);
    rules_leave(s, j);
    job_answer(s->g, j, e);
}

/* ---- starting a job ------------------------------------------------------------------------------ */

static uint64_t fresh_seed(void)
{
    uint64_t x = 0;
    if (getentropy(&x, sizeof x))
        x = (uint64_t)time_real_ns();
    return x >> 11; /* 53 bits: readers of JSON keep them */
}

/* N, the positions that the request may use (spec/api.md 9). */
static int32_t context_of(struct slot *s, const struct eng_job *j)
{
    int32_t n_ctx = j->opt.num_ctx > 0 ? j->opt.num_ctx
                    : s->g->cfg.default_ctx > 0 ? s->g->cfg.default_ctx : 4096;
    n_ctx = n_ctx < 4 ? 4 : n_ctx;
    if (n_ctx > s->m->hp.n_ctx)
        n_ctx = s->m->hp.n_ctx;
    pthread_mutex_lock(&s->g->lock);
    s->n_ctx_shown = n_ctx;
    pthread_mutex_unlock(&s->g->lock);
    return n_ctx;
}

static int job_start(struct slot *s, struct eng_job *j, struct err *e)
{
    const int32_t n_ctx = j->n_ctx;
    if (j->kind == ENG_EMBED)
        return embed_start(s, j, e);
    if (s->m->fam->encoder)
        return err_set(e, ERR_INPUT, "a model of architecture \"%s\" makes embeddings, not text",
                       s->m->hp.arch);
    j->opt.num_ctx = n_ctx;
    const int64_t most = 10 * (int64_t)n_ctx;
    j->n_predict = j->opt.num_predict < 0 || j->opt.num_predict > most ? most : j->opt.num_predict;
    uint64_t seed = (uint64_t)j->opt.seed;
    if (j->opt.seed == -1) {
        seed = fresh_seed();
        /* A greedy answer does not depend on it: nothing to tell. */
        j->stats.seed_drawn = j->opt.temperature > 0;
    }
    j->stats.seed = (int64_t)seed;
    j->t_start = time_mono_ns();
    meter_time(&s->meter->wait, j->t_start - j->submitted);
    atomic_store_explicit(&j->meter.wait_ns, j->t_start - j->submitted, memory_order_relaxed);
    j->speculate = s->g->cfg.speculate;
    if (!j->opt.speculate)
        j->speculate = ENG_SPECULATE_OFF;
    else if (j->opt.speculate == 1 && j->speculate == ENG_SPECULATE_OFF)
        j->speculate = ENG_SPECULATE_AUTO;
    j->stats.numerics = s->m->numerics;
    if (s->m->numerics) /* a batch changes its bits: a draft could change the answer */
        j->speculate = ENG_SPECULATE_OFF;
    j->piece.stops = j->opt.stops;
    j->piece.n_stops = j->opt.n_stops;
    if (smp_init(&j->smp, &j->opt, seed, tok_n_vocab(s->m->vocab), e))
        return -1;
    rules_meet(s, j);
    return prompt_build(s, j, e);
}

static int parallel(const struct eng *g)
{
    return g->cfg.n_parallel > 0 && g->cfg.n_parallel < MAX_PARALLEL ? g->cfg.n_parallel
                                                                     : MAX_PARALLEL;
}

/* Under the lock: the next waiting job, if it may start now. The first runs whatever the ledger says:
 * a model that is there can always answer. */
static struct eng_job *next_job(struct slot *s)
{
    struct eng *g = s->g;
    struct eng_job *j = s->head;
    if (!j || s->closing || s->n_active >= parallel(g))
        return NULL;
    if (j->kind != ENG_LOAD) {
        const uint64_t bytes = j->kind == ENG_EMBED
                                   ? embed_work_bytes(j->embed, s->m)
                                   : smp_bytes(&j->opt, tok_n_vocab(s->m->vocab)) +
                                         (j->n_top >= 0 ? (uint64_t)s->m->hp.n_vocab * sizeof(float)
                                                        : 0);
        if (!s->n_active)
            mem_add(&g->mem, bytes);
        else if (!mem_take(&g->mem, bytes)) {
            room_ask(g, s, bytes, false);
            return NULL;
        }
        j->bytes = bytes;
        atomic_fetch_add(&g->job_bytes, bytes);
    }
    s->head = j->next;
    if (!s->head)
        s->tail = NULL;
    s->n_queued--;
    s->n_active++;
    s->n_admitted++;
    s->used_at = time_mono_ns();
    return j;
}

/* Take waiting jobs while there is room. Called without the lock. */
static void admit(struct slot *s)
{
    struct eng *g = s->g;
    for (;;) {
        pthread_mutex_lock(&g->lock);
        struct eng_job *j = next_job(s);
        pthread_mutex_unlock(&g->lock);
        if (!j)
            return;
        int i = 0;
        while (s->active[i]) /* fewer than MAX_PARALLEL run */
            i++;
        struct err e = {0};
        if (!job_is_over(j, time_mono_ns(), &e))
            j->n_ctx = context_of(s, j);
        j->stats.load_ns = s->ready_at > j->submitted ? s->ready_at - j->submitted : 1;
        if (e.code || j->kind == ENG_LOAD || job_start(s, j, &e)) {
            pthread_mutex_lock(&g->lock);
            s->n_active--;
            job_left(s);
            pthread_mutex_unlock(&g->lock);
            j->stats.reason = ENG_LOADED;
            job_answer(g, j, e.code ? &e : NULL);
            continue;
        }
        s->active[i] = j;
        pthread_mutex_lock(&g->lock);
        atomic_store(&s->running[i], j);
        pthread_mutex_unlock(&g->lock);
    }
}

int64_t slot_patience(const struct slot *s)
{
    int64_t first = INT64_MAX;
    for (const struct eng_job *j = s->head; j; j = j->next)
        first = atomic_load(&j->cancelled) ? 0 : j->deadline < first ? j->deadline : first;
    for (int i = 0; i < MAX_PARALLEL; i++) {
        const struct eng_job *j = atomic_load(&s->running[i]);
        if (j)
            first = atomic_load(&j->cancelled) ? 0 : j->deadline < first ? j->deadline : first;
    }
    return first == INT64_MAX ? first : first - time_mono_ns();
}

void slot_sweep(struct slot *s)
{
    struct eng *g = s->g;
    struct eng_job *gone = NULL;
    struct err e = {0};
    const int64_t now = time_mono_ns();
    pthread_mutex_lock(&g->lock);
    s->tail = NULL;
    for (struct eng_job **p = &s->head; *p;) {
        struct eng_job *j = *p;
        if (!job_is_over(j, now, NULL)) {
            s->tail = j;
            p = &j->next;
            continue;
        }
        *p = j->next;
        j->next = gone;
        gone = j;
        s->n_queued--;
    }
    if (gone)
        job_left(s);
    pthread_mutex_unlock(&g->lock);
    for (struct eng_job *j = gone, *next; j; j = next) {
        next = j->next;
        job_is_over(j, now, &e);
        job_answer(g, j, &e);
    }
    for (int i = 0; !s->m && i < MAX_PARALLEL; i++) /* parked: nobody steps them */
        if (s->active[i] && job_is_over(s->active[i], now, &e))
            slot_job_end(s, i, &e);
}

/* The slot has left: nobody comes any more, and who is here gets no answer but this. */
static void fail_all(struct slot *s, const struct err *e)
{
    slot_sweep(s);
    for (struct eng_job *j = s->head, *next; j; j = next) {
        next = j->next;
        job_answer(s->g, j, e);
    }
    s->head = s->tail = NULL;
    for (int i = 0; i < MAX_PARALLEL; i++)
        if (s->active[i])
            slot_job_end(s, i, e);
}

/* ---- the thread ------------------------------------------------------------------------------------------ */

/* Under the lock: is there nothing to serve, and a reason to go? */
static bool goes(const struct slot *s)
{
    if (s->closing)
        return !s->n_active || (s->parking && !slot_has_pages(s));
    return !s->head && !s->n_active &&
           (s->replaced || s->g->draining || time_mono_ns() >= s->expires);
}

/* Sleep until there is something to do; false: the model is to be unloaded. */
static bool wait_for_work(struct slot *s)
{
    struct eng *g = s->g;
    bool stay = true;
    pthread_mutex_lock(&g->lock);
    for (;;) {
        if (goes(s)) {
            if (!s->head && !s->n_active)
                slot_leave(s);
            s->unloading = true;
            g->n_unloading++;
            stay = false;
            break;
        }
        if (s->head || s->n_active || s->give_back)
            break;
        if (s->expires == INT64_MAX)
            pthread_cond_wait(&s->wake, &g->lock);
        else
            cond_wait_ns(&s->wake, &g->lock, s->expires - time_mono_ns());
    }
    pthread_mutex_unlock(&g->lock);
    return stay;
}

/* All jobs are held, or wait for pages or memory: look again soon, or when somebody wakes us. */
static void wait_a_little(struct slot *s)
{
    pthread_mutex_lock(&s->g->lock);
    const bool has_some = s->n_active || s->head;
    if (has_some && !s->give_back && s->pause_after == INT64_MAX)
        cond_wait_ns(&s->wake, &s->g->lock, 20000000);
    pthread_mutex_unlock(&s->g->lock);
}

/* Pages that the budget allows this model now: what it has, and what nobody has. */
static uint64_t pages_at_most(const struct kv_pool *p)
{
    if (p->n_limit || !p->mem || !p->page_bytes)
        return p->n_limit;
    const uint64_t used = atomic_load(&p->mem->used);
    return p->n_live + (used < p->mem->limit ? (p->mem->limit - used) / p->page_bytes : 0);
}

void slot_measure(struct slot *s)
{
    const struct model *m = s->m;
    const uint64_t kv = m->pool.n_live * m->pool.page_bytes;
    int64_t youngest = 0, oldest = INT64_MAX;
    for (int i = 0; i < MAX_PARALLEL; i++)
        if (s->active[i]) {
            const int64_t age = job_age(s->active[i]);
            oldest = age < oldest ? age : oldest;
            if (s->active[i]->kv.n && age > youngest)
                youngest = age;
        }
    pthread_mutex_lock(&s->g->lock);
    s->weight_bytes = m->weight_bytes;
    s->kv_used = m->pool.n_live - m->pool.n_free - m->pool.n_cached;
    s->kv_limit = pages_at_most(&m->pool);
    s->kv_bytes = kv;
    s->need_bytes = m->weight_bytes + kv + tok_vocab_bytes(m->vocab) + model_scratch_bytes(m);
    s->idle_bytes = kv_pool_idle_bytes(&m->pool) + s->kept_bytes;
    s->youngest = youngest;
    s->oldest = oldest;
    pthread_mutex_unlock(&s->g->lock);
}

static void serve(struct slot *s)
{
    while (wait_for_work(s)) {
        room_obey(s);
        slot_sweep(s);
        admit(s);
        if (!slot_step(s))
            wait_a_little(s);
        slot_measure(s);
    }
}

void *slot_main(void *arg)
{
    struct slot *s = arg;
    struct eng *g = s->g;
    struct err e = {0};
    err_set(&e, ERR_CANCELLED, "the server is stopping");
    thread_slice(CREW_SLICE_NS);
    while (slot_turn(s)) {
        struct err why = {0};
        if (!slot_load(s, &why)) {
            serve(s);
            log_line(LOG_INFO, "unloading %s", s->name);
        } else if (why.code != ERR_CANCELLED) {
            e = why;
            pthread_mutex_lock(&g->lock);
            slot_leave(s);
            pthread_mutex_unlock(&g->lock);
        }
        slot_unload(s);
        if (s->state == SLOT_GONE) /* only this thread sets it */
            break;
    }
    fail_all(s, &e);
    pthread_mutex_lock(&g->lock);
    g->n_threads--;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
    pthread_cond_destroy(&s->wake);
    free(s);
    return NULL;
}
