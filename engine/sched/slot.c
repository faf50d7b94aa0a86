/* engine/sched/slot.c - the life of a loaded model: wait for room, load, serve, go.
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
    tok_ids_free(&j->tokens);
    tok_ids_free(&j->whole);
    smp_free(&j->smp);
    piece_free(&j->piece);
    lp_free(&j->lps);
    draft_free(&j->draft);
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

void slot_job_end(struct slot *s, int i, const struct err *e)
{
    struct eng_job *j = s->active[i];
    s->active[i] = NULL;
    kv_leave(&s->m->pool, &j->kv, j->tokens.ids, j->n_done, j->cache_scope);
    meter_add(&s->meter->shifts, j->stats.context_shifts);
    meter_add(&s->meter->drafted, j->stats.draft_count);
    meter_add(&s->meter->accepted, j->stats.draft_accepted);
    if (j->stats.draft_count)
        log_line(LOG_DEBUG, "%s: %d tokens, %d drafted, %d of these came", s->name,
                 j->stats.eval_count, j->stats.draft_count, j->stats.draft_accepted);
    pthread_mutex_lock(&s->g->lock);
    s->n_active--;
    atomic_store(&s->running[i], NULL);
    if (!s->n_active && !s->n_queued)
        s->expires = expiry(s->keep_alive_ns);
    pthread_mutex_unlock(&s->g->lock);
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

static int job_start(struct slot *s, struct eng_job *j, struct err *e)
{
    int32_t n_ctx = j->opt.num_ctx > 0 ? j->opt.num_ctx
                    : s->g->cfg.default_ctx > 0 ? s->g->cfg.default_ctx : 4096;
    n_ctx = n_ctx < 4 ? 4 : n_ctx;
    if (n_ctx > s->m->hp.n_ctx)
        n_ctx = s->m->hp.n_ctx;
    j->n_ctx = n_ctx;
    j->opt.num_ctx = n_ctx;
    pthread_mutex_lock(&s->g->lock);
    if (n_ctx > s->n_ctx_shown)
        s->n_ctx_shown = n_ctx;
    pthread_mutex_unlock(&s->g->lock);
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
    return prompt_build(s, j, e);
}

/* Take waiting jobs while there is room. Called without the lock. */
static void admit(struct slot *s)
{
    struct eng *g = s->g;
    const int most = g->cfg.n_parallel > 0 && g->cfg.n_parallel < MAX_PARALLEL ? g->cfg.n_parallel
                                                                               : MAX_PARALLEL;
    for (;;) {
        pthread_mutex_lock(&g->lock);
        struct eng_job *j = s->head;
        if (j && s->n_active >= most && !job_is_over(j, time_mono_ns(), NULL))
            j = NULL;
        if (j) {
            s->head = j->next;
            if (!s->head)
                s->tail = NULL;
            s->n_queued--;
            s->n_active++;
        }
        pthread_mutex_unlock(&g->lock);
        if (!j)
            return;
        int i = 0;
        while (s->active[i]) /* cancelled ones may come over the limit: they leave at once */
            if (++i == MAX_PARALLEL)
                break;
        struct err e = {0};
        const bool over = job_is_over(j, time_mono_ns(), &e);
        j->stats.load_ns = s->ready_at > j->submitted ? s->ready_at - j->submitted : 1;
        if (over || j->kind == ENG_LOAD || i == MAX_PARALLEL || job_start(s, j, &e)) {
            pthread_mutex_lock(&g->lock);
            s->n_active--;
            if (!s->n_active && !s->n_queued)
                s->expires = expiry(s->keep_alive_ns);
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

/* ---- room ----------------------------------------------------------------------------------------- */

/* Bytes of the other models that have a place, and how many these are. Those that wait for a place
 * hold nothing: to count them would let them wait for each other. */
static uint64_t bytes_of_others(const struct eng *g, const struct slot *me, int *count)
{
    uint64_t bytes = 0;
    *count = 0;
    for (const struct slot *s = g->slots; s; s = s->next)
        if (s != me && s->has_place) {
            bytes += s->need_bytes;
            ++*count;
        }
    return bytes;
}

/* Under the lock: is there room for `me`? If not, an idle model is asked to go. Alone there is room
 * always: whether it is enough, the load itself says, with the numbers. */
static bool has_room(struct eng *g, struct slot *me)
{
    const int most = g->cfg.max_loaded > 0 ? g->cfg.max_loaded : 3;
    int n;
    const uint64_t others = bytes_of_others(g, me, &n);
    if (!n || (n < most && others + me->need_bytes <= g->cfg.memory_bytes))
        return true;
    struct slot *victim = NULL;
    bool waiting = false; /* for one that is going already */
    for (struct slot *s = g->slots; s; s = s->next) {
        if (s == me)
            continue;
        waiting |= s->evict;
        const bool idle = s->state == SLOT_READY && !s->n_active && !s->n_queued;
        if (!idle || s->evict)
            continue;
        if (!victim || s->expires < victim->expires)
            victim = s;
    }
    if (victim && !waiting) {
        victim->evict = true;
        pthread_cond_signal(&victim->wake);
    }
    return false;
}

static void wait_for_room(struct slot *s)
{
    struct eng *g = s->g;
    pthread_mutex_lock(&g->lock);
    while (!atomic_load(&s->cancel_load) && !has_room(g, s)) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        t.tv_sec += 1;
        pthread_cond_timedwait(&g->changed, &g->lock, &t);
    }
    s->has_place = true;
    pthread_mutex_unlock(&g->lock);
}

/* ---- loading ----------------------------------------------------------------------------------------- */

void eng_lock_crew(void *arg, bool lock)
{
    struct eng *g = arg;
    if (lock)
        pthread_mutex_lock(&g->crew_lock);
    else
        pthread_mutex_unlock(&g->crew_lock);
}

static int load(struct slot *s, struct err *e)
{
    struct eng *g = s->g;
    int fds[MAX_FILES], rc = -1, n = 0;
    struct gguf *f = NULL;
    struct buf key = {0}; /* of the packed weights: the digests say all of the content */
    for (; n < s->n_files; n++)
        if ((fds[n] = store_blob_open(g->cfg.store, &s->files[n], e)) < 0)
            goto done;
    f = gguf_open_fds(fds, n, s->name, e);
    if (!f)
        goto done;
    pthread_mutex_lock(&g->lock);
    s->need_bytes = gguf_file_bytes(f);
    int n_others;
    const uint64_t others = bytes_of_others(g, s, &n_others), need = s->need_bytes;
    pthread_mutex_unlock(&g->lock);
    if (need > g->cfg.memory_bytes) {
        err_set(e, ERR_MEMORY, "not enough memory for %s: needs %" PRIu64 " bytes, budget is %" PRIu64
                " bytes", s->name, need, g->cfg.memory_bytes);
        goto done;
    }
    for (int i = 0; i < s->n_files; i++) {
        char text[DIGEST_TEXT];
        digest_text(&s->files[i], text);
        buf_printf(&key, "%s%s", i ? "," : "", text);
    }
    if (key.failed) {
        err_set(e, ERR_MEMORY, "no memory to load %s", s->name);
        goto done;
    }
    const struct load_config c = {.k = g->k,
                                  .crew = g->crew,
                                  .kv = kv_type_of(g->cfg.kv),
                                  .n_batch = 512,
                                  .memory_limit = g->cfg.memory_bytes > others
                                                      ? g->cfg.memory_bytes - others : 1,
                                  .cancel = &s->cancel_load,
                                  .cache_dir = g->cfg.pack_cache,
                                  .cache_key = key.p,
                                  .lock_crew = eng_lock_crew,
                                  .lock_arg = g};
    s->m = model_load(f, &c, e);
    if (!s->m)
        goto done;
    const uint64_t used = others + s->m->weight_bytes;
    const uint64_t left = g->cfg.memory_bytes > used ? g->cfg.memory_bytes - used : 0;
    if (s->m->pool.page_bytes > left) {
        err_set(e, ERR_MEMORY, "not enough memory for %s: %zu bytes of key-value cache are needed "
                "beside the weights, %" PRIu64 " are left of the budget", s->name,
                s->m->pool.page_bytes, left);
        goto done;
    }
    s->m->pool.n_limit = left / s->m->pool.page_bytes;
    const int64_t prefix = g->cfg.prefix_bytes;
    s->m->pool.n_cached_most =
        (prefix ? (uint64_t)(prefix > 0 ? prefix : 0) : g->cfg.memory_bytes / 4) /
        s->m->pool.page_bytes;
    if (s->m->chat_template) {
        s->tpl = chat_template_new(CHAT_JINJA, s->m->chat_template, strlen(s->m->chat_template),
                                   &s->tpl_err);
        if (!s->tpl)
            log_line(LOG_WARN, "%s: the chat template cannot be used: %s", s->name,
                     s->tpl_err.text);
    }
    rc = 0;
done:
    buf_free(&key);
    gguf_close(f);
    while (n > 0)
        close(fds[--n]);
    return rc;
}

/* ---- the thread ------------------------------------------------------------------------------------------ */

/* Under the lock: out of the list, so that nobody finds it any more. */
static void leave(struct slot *s)
{
    for (struct slot **p = &s->g->slots; *p; p = &(*p)->next)
        if (*p == s) {
            *p = s->next;
            break;
        }
    s->state = SLOT_GONE;
}

static void fail_queue(struct slot *s, const struct err *e)
{
    for (struct eng_job *j = s->head, *next; j; j = next) {
        next = j->next;
        struct err c = {0};
        if (atomic_load(&j->cancelled))
            err_set(&c, ERR_CANCELLED, "request canceled");
        job_answer(s->g, j, c.code ? &c : e);
    }
    s->head = s->tail = NULL;
}

/* Sleep until there is work; false: the slot has left. */
static bool wait_for_work(struct slot *s)
{
    struct eng *g = s->g;
    bool stay = true;
    pthread_mutex_lock(&g->lock);
    for (;;) {
        if (s->head || s->n_active)
            break;
        if (s->evict || time_mono_ns() >= s->expires || g->draining) {
            leave(s);
            stay = false;
            break;
        }
        if (s->expires == INT64_MAX) {
            pthread_cond_wait(&s->wake, &g->lock);
        } else {
            const struct timespec t = {.tv_sec = s->expires / 1000000000,
                                       .tv_nsec = s->expires % 1000000000};
            pthread_cond_timedwait(&s->wake, &g->lock, &t);
        }
    }
    pthread_mutex_unlock(&g->lock);
    return stay;
}

/* All running jobs are held or wait for pages: look again soon, or when somebody wakes us. */
static void wait_a_little(struct slot *s)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += 20000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    pthread_mutex_lock(&s->g->lock);
    pthread_cond_timedwait(&s->wake, &s->g->lock, &t);
    pthread_mutex_unlock(&s->g->lock);
}

static void measure(struct slot *s)
{
    const uint64_t bytes = s->m->weight_bytes + s->m->pool.n_live * s->m->pool.page_bytes +
                           tok_vocab_bytes(s->m->vocab) + s->m->logits_bytes;
    pthread_mutex_lock(&s->g->lock);
    s->need_bytes = bytes;
    s->weight_bytes = s->m->weight_bytes;
    s->kv_used = s->m->pool.n_live - s->m->pool.n_free - s->m->pool.n_cached;
    s->kv_limit = s->m->pool.n_limit;
    s->kv_bytes = s->m->pool.n_live * s->m->pool.page_bytes;
    pthread_mutex_unlock(&s->g->lock);
}

void *slot_main(void *arg)
{
    struct slot *s = arg;
    struct eng *g = s->g;
    struct err e = {0};
    wait_for_room(s);
    const int64_t t0 = time_mono_ns();
    log_line(LOG_INFO, "loading %s", s->name);
    const int rc = load(s, &e);
    if (rc) {
        log_line(LOG_WARN, "loading %s failed: %s", s->name, e.text);
        pthread_mutex_lock(&g->lock);
        leave(s);
        pthread_mutex_unlock(&g->lock);
        fail_queue(s, &e);
    } else {
        log_line(LOG_INFO, "loaded %s in %lld ms: %" PRIu64 " bytes of weights, %s kernels, %d threads",
                 s->name, (long long)((time_mono_ns() - t0) / 1000000), s->m->weight_bytes,
                 g->k->name, crew_size(g->crew));
        pthread_mutex_lock(&g->lock);
        s->state = SLOT_READY;
        s->ready_at = time_mono_ns();
        meter_time(&s->meter->load, s->ready_at - t0);
        s->expires = expiry(s->keep_alive_ns);
        pthread_cond_broadcast(&g->changed);
        pthread_mutex_unlock(&g->lock);
        measure(s);
        while (wait_for_work(s)) {
            admit(s);
            if (!slot_step(s) && s->n_active)
                wait_a_little(s);
            measure(s);
        }
        log_line(LOG_INFO, "unloading %s", s->name);
    }
    chat_template_free(s->tpl);
    model_unload(s->m);
    pthread_mutex_lock(&g->lock);
    g->n_threads--;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
    pthread_cond_destroy(&s->wake);
    free(s);
    return NULL;
}
