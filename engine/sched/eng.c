/* engine/sched/eng.c - the server's level of the door: submit, cancel, list, drain. */
#include "engine/sched/sched.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "engine/text.h"

void cond_init(pthread_cond_t *c)
{
    pthread_condattr_t a;
    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_cond_init(c, &a);
    pthread_condattr_destroy(&a);
}

bool cond_wait_ns(pthread_cond_t *c, pthread_mutex_t *m, int64_t ns)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    const int64_t at = t.tv_nsec + (ns < 0 ? 0 : ns % 1000000000);
    t.tv_sec += (ns < 0 ? 0 : ns / 1000000000) + at / 1000000000;
    t.tv_nsec = at % 1000000000;
    return pthread_cond_timedwait(c, m, &t) == ETIMEDOUT;
}

struct eng *eng_new(const struct eng_config *cfg, struct err *e)
{
    struct eng *g = calloc(1, sizeof *g);
    if (!g) {
        err_set(e, ERR_MEMORY, "no memory for the engine");
        return NULL;
    }
    g->cfg = *cfg;
    if (!g->cfg.memory_bytes) {
        const double share =
            cfg->memory_share > 0 && cfg->memory_share <= 1 ? cfg->memory_share : 0.9;
        g->cfg.memory_bytes = (uint64_t)((double)mem_available(NULL) * share);
    }
    g->mem.limit = g->cfg.memory_bytes;
    g->k = kernels_pick(cfg->isa, e);
    if (g->k && cfg->fast)
        g->k = kernels_fast(g->k);
    g->crew = g->k ? crew_new(cfg->n_threads, e) : NULL;
    g->texts = g->crew ? text_cache_new(cfg->store, eng_count, g, e) : NULL;
    if (!g->texts) {
        crew_free(g->crew);
        free(g);
        return NULL;
    }
    pthread_mutex_init(&g->crew_lock, NULL);
    cond_init(&g->crew_turn);
    pthread_mutex_init(&g->lock, NULL);
    cond_init(&g->changed);
    meters_init(&g->meters);
    return g;
}

void eng_drain(struct eng *g, int64_t deadline)
{
    pthread_mutex_lock(&g->lock);
    g->draining = true;
    for (struct slot *s = g->slots; s; s = s->next)
        pthread_cond_signal(&s->wake);
    while (g->n_jobs) {
        const int64_t left = deadline - time_mono_ns();
        if (left <= 0)
            break;
        cond_wait_ns(&g->changed, &g->lock, left);
    }
    g->stopping = true;
    while (g->n_threads) { /* what still runs is cancelled, step by step */
        for (struct slot *s = g->slots; s; s = s->next) {
            atomic_store(&s->cancel_load, true);
            for (struct eng_job *j = s->head; j; j = j->next)
                atomic_store(&j->cancelled, true);
            for (int i = 0; i < MAX_PARALLEL; i++) {
                struct eng_job *j = atomic_load(&s->running[i]);
                if (j)
                    atomic_store(&j->cancelled, true);
            }
            pthread_cond_signal(&s->wake);
        }
        pthread_cond_broadcast(&g->changed);
        cond_wait_ns(&g->changed, &g->lock, 50000000);
    }
    pthread_mutex_unlock(&g->lock);
}

void eng_free(struct eng *g)
{
    if (!g)
        return;
    eng_drain(g, 0);
    infos_free(g);
    text_cache_free(g->texts);
    crew_free(g->crew);
    meters_free(&g->meters);
    pthread_cond_destroy(&g->changed);
    pthread_mutex_destroy(&g->lock);
    pthread_cond_destroy(&g->crew_turn);
    pthread_mutex_destroy(&g->crew_lock);
    free(g);
}

void eng_count(struct eng *g, int64_t bytes)
{
    if (bytes > 0)
        mem_add(&g->mem, (uint64_t)bytes);
    else
        mem_give(&g->mem, (uint64_t)-bytes);
    atomic_fetch_add(&g->job_bytes, (uint64_t)bytes);
}

/* ---- submitting
 * ------------------------------------------------------------------------------------ */

static struct eng_job *job_new(const struct eng_request *r, const struct eng_sink *sink,
                               struct err *e)
{
    struct eng_job *j = calloc(1, sizeof *j);
    if (!j)
        goto none;
    atomic_init(&j->refs, 1);
    j->sink = *sink;
    j->kind = r->kind;
    j->submitted = time_mono_ns();
    j->continue_last = r->continue_last;
    j->no_truncate = r->no_truncate;
    j->no_shift = r->no_shift;
    j->want_context = r->want_context;
    j->n_top = r->logprobs ? r->top_logprobs : -1;
    j->score_prompt = r->logprobs && r->score_prompt;
    eng_options_init(&j->opt);
    if (r->kind == ENG_EMBED && !(j->embed = embed_work_new(r, e)))
        goto none;
    if (r->raw) {
        j->raw = malloc(r->n_raw + 1);
        if (!j->raw)
            goto none;
        memcpy(j->raw, r->raw, r->n_raw);
        j->raw[r->n_raw] = 0;
        j->n_raw = r->n_raw;
    }
    if (r->chat && !(j->chat = json_deep_copy(r->chat)))
        goto none;
    if (r->template_text && !(j->template_text = strdup(r->template_text)))
        goto none;
    if (r->cache_scope && !(j->cache_scope = strdup(r->cache_scope)))
        goto none;
    if (r->shown && !(j->shown = strdup(r->shown)))
        goto none;
    if (r->kind == ENG_GENERATE && rules_new(j, r, e)) {
        job_unref(j);
        return NULL;
    }
    if (r->n_context) {
        j->context = malloc(r->n_context * sizeof *j->context);
        if (!j->context)
            goto none;
        memcpy(j->context, r->context, r->n_context * sizeof *j->context);
        j->n_context = r->n_context;
    }
    if (r->options) {
        j->opt = *r->options;
        j->opt.n_stops = 0;
        j->opt.warnings = r->options->warnings ? json_deep_copy(r->options->warnings) : NULL;
        for (int i = 0; i < r->options->n_stops; i++) {
            j->opt.stops[i] = strdup(r->options->stops[i]);
            if (!j->opt.stops[i])
                goto none;
            j->opt.n_stops++;
        }
    }
    j->deadline =
        j->opt.deadline_ms > 0 ? j->submitted + j->opt.deadline_ms * (int64_t)1000000 : INT64_MAX;
    return j;
none:
    err_set(e, ERR_MEMORY, "no memory for a request");
    if (j)
        job_unref(j);
    return NULL;
}

/* Under the lock: a new slot for this model, its thread started. */
static struct slot *slot_new(struct eng *g, const struct store_model *m, struct err *e)
{
    struct slot *s = calloc(1, sizeof *s);
    if (!s) {
        err_set(e, ERR_MEMORY, "no memory for a model");
        return NULL;
    }
    s->g = g;
    s->keep_alive_ns = g->cfg.keep_alive_ns;
    s->expires = INT64_MAX;
    s->ticket = ++g->tickets;
    s->waits_since = s->used_at = time_mono_ns();
    s->kv_wish = s->map_wish = -1;
    s->hungry = s->oldest = s->pause_after = INT64_MAX;
    store_name_short(&m->name, s->name, sizeof s->name);
    snprintf(s->id, sizeof s->id, "%s", m->id);
    for (size_t i = 0; i < m->n_layers; i++) {
        if (strcmp(m->layers[i].media_type, "application/vnd.ollama.image.model"))
            continue;
        s->files[s->n_files++] = m->layers[i].digest;
    }
    s->meter = meters_find(&g->meters, s->name);
    cond_init(&s->wake);
    s->next = g->slots;
    g->slots = s;
    g->n_threads++;
    pthread_attr_t a;
    pthread_attr_init(&a);
    pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
    const int rc = pthread_create(&s->thread, &a, slot_main, s);
    pthread_attr_destroy(&a);
    if (rc) {
        g->slots = s->next;
        g->n_threads--;
        pthread_cond_destroy(&s->wake);
        free(s);
        err_set(e, ERR_MEMORY, "no thread for a model");
        return NULL;
    }
    return s;
}

/* Do slot and model have the same GGUF layers, in order? Parts of a split model may be shared. */
static bool same_files(const struct slot *s, const struct store_model *m)
{
    int n = 0;
    for (size_t i = 0; i < m->n_layers; i++) {
        if (strcmp(m->layers[i].media_type, "application/vnd.ollama.image.model"))
            continue;
        if (n == s->n_files || memcmp(&s->files[n], &m->layers[i].digest, sizeof s->files[n]))
            return false;
        n++;
    }
    return n == s->n_files;
}

/* At most MAX_FILES + 1 are counted. */
static int n_model_layers(const struct store_model *m)
{
    int n = 0;
    for (size_t i = 0; i < m->n_layers && n <= MAX_FILES; i++)
        n += !strcmp(m->layers[i].media_type, "application/vnd.ollama.image.model");
    return n;
}

/* Under the lock: can a model that is there, or on its way, serve a request with these options?
 * What is not said suits whatever there is; a new num_ctx never needs a load (decisions 15 to 17).
 */
static bool suits(const struct slot *s, const struct eng_options *o)
{
    const bool waits = s->state == SLOT_WAITING;
    if (o->kv_type >= 0 &&
        (waits ? s->kv_wish >= 0 && s->kv_wish != o->kv_type : (int)s->kv != o->kv_type))
        return false;
    if (!o->use_mmap) { /* a mapping is never needed, only allowed */
        if (s->state == SLOT_READY)
            return !s->is_mapped;
        return waits || s->no_map || !s->g->cfg.pack_cache;
    }
    return true;
}

static void wish(struct slot *s, const struct eng_options *o)
{
    if (o->kv_type >= 0)
        s->kv_wish = o->kv_type;
    if (o->use_mmap >= 0 && s->map_wish)
        s->map_wish = o->use_mmap;
}

/* Under the lock: would one more request of slot s (NULL: a new one) wait in a queue that is full?
 * Those that start at once do not wait. Models that are not loaded yet have one queue together. */
static bool is_full(const struct eng *g, const struct slot *s)
{
    const int most = g->cfg.max_queue > 0 ? g->cfg.max_queue : 512;
    const int parallel = g->cfg.n_parallel > 0 && g->cfg.n_parallel < MAX_PARALLEL
                             ? g->cfg.n_parallel
                             : MAX_PARALLEL;
    if (s && s->state == SLOT_READY && !s->closing)
        return s->n_queued >= most + parallel - s->n_active;
    int waiting = 0;
    for (const struct slot *t = g->slots; t; t = t->next)
        waiting += t->state == SLOT_READY && !t->closing ? 0 : t->n_queued;
    return waiting > most; /* the one that is being loaded for does not wait */
}

int eng_text_open(struct eng *g, const struct store_model *m, struct eng_text **out, struct err *e)
{
    struct tok_vocab *vocab = NULL; /* of the loaded model, if it is */
    pthread_mutex_lock(&g->lock);
    for (struct slot *s = g->slots; s && !vocab; s = s->next)
        if (s->vocab && same_files(s, m))
            vocab = tok_vocab_share(s->vocab);
    pthread_mutex_unlock(&g->lock);
    *out = text_cache_open(g->texts, m, vocab, e);
    return *out ? 0 : -1;
}

int eng_submit(struct eng *g, const struct eng_request *r, const struct eng_sink *sink,
               struct eng_job **out, struct err *e)
{
    const int n_files = n_model_layers(r->model);
    if (!n_files)
        return err_set(e, ERR_INPUT, "this model has no GGUF file");
    if (n_files > MAX_FILES)
        return err_set(e, ERR_LIMIT, "this model has more than %d GGUF files", MAX_FILES);
    if (r->template_text && r->chat) { /* say it before anything is loaded */
        struct chat_template *t =
            chat_template_new(CHAT_GO, r->template_text, strlen(r->template_text), e);
        if (!t)
            return -1;
        chat_template_free(t);
    }
    struct eng_job *j = job_new(r, sink, e);
    if (!j)
        return -1;
    int rc = -1;
    pthread_mutex_lock(&g->lock);
    struct slot *s = g->slots;
    while (s && (s->replaced || !same_files(s, r->model)))
        s = s->next;
    if (g->draining || is_full(g, s)) {
        err_set(e, ERR_BUSY, "server busy, please try again.  maximum pending requests exceeded");
    } else {
        if (s && !suits(s, &j->opt)) { /* its own requests are answered, then it goes */
            s->replaced = true;
            pthread_cond_signal(&s->wake);
            s = NULL;
        }
        if (s || (s = slot_new(g, r->model, e)))
            rc = 0;
    }
    if (!rc) {
        if (r->has_keep_alive)
            s->keep_alive_ns = r->keep_alive_ns;
        if (s->state == SLOT_WAITING)
            wish(s, &j->opt);
        if (j->submitted <= g->last_submitted)
            j->submitted = g->last_submitted + 1;
        g->last_submitted = j->submitted;
        atomic_fetch_add(&j->refs, 1); /* one is the slot's, one the caller's */
        j->slot = s;
        atomic_store(&j->g, g);
        if (s->tail)
            s->tail->next = j;
        else
            s->head = j;
        s->tail = j;
        s->n_queued++;
        g->n_jobs++;
        *out = j; /* before the sink can be called */
        pthread_cond_signal(&s->wake);
    }
    pthread_mutex_unlock(&g->lock);
    if (rc)
        job_unref(j);
    return rc;
}

void eng_job_cancel(struct eng_job *j)
{
    atomic_store(&j->cancelled, true);
    struct eng *g = atomic_load(&j->g);
    if (!g)
        return;
    pthread_mutex_lock(&g->lock);
    if (j->slot) {
        pthread_cond_signal(&j->slot->wake);
        pthread_cond_broadcast(&g->changed);
    }
    pthread_mutex_unlock(&g->lock);
}

void eng_job_hold(struct eng_job *j, bool hold)
{
    atomic_store(&j->held, hold);
}

void eng_job_release(struct eng_job *j)
{
    job_unref(j);
}

/* ---- listing and unloading
 * ------------------------------------------------------------------------------ */

static int by_expiry(const void *a, const void *b)
{
    const struct eng_loaded *x = a, *y = b;
    if (x->expires_real_ns != y->expires_real_ns)
        return x->expires_real_ns > y->expires_real_ns ? -1 : 1;
    return strcmp(x->name, y->name);
}

int eng_ps(struct eng *g, struct eng_loaded **out, size_t *n, struct err *e)
{
    *n = 0;
    const int64_t offset = time_real_ns() - time_mono_ns();
    pthread_mutex_lock(&g->lock);
    size_t all = 0;
    for (const struct slot *s = g->slots; s; s = s->next)
        all++;
    struct eng_loaded *rows = calloc(all + 1, sizeof *rows);
    for (const struct slot *s = g->slots; rows && s; s = s->next) {
        if (s->state != SLOT_READY)
            continue;
        struct eng_loaded *r = &rows[(*n)++];
        snprintf(r->name, sizeof r->name, "%s", s->name);
        snprintf(r->id, sizeof r->id, "%s", s->id);
        r->model = s->files[0];
        r->size_bytes = s->need_bytes;
        r->expires_real_ns = s->expires == INT64_MAX ? INT64_MAX : s->expires + offset;
        r->context_length = s->n_ctx_shown;
        r->parallel = g->cfg.n_parallel > 0 && g->cfg.n_parallel < MAX_PARALLEL ? g->cfg.n_parallel
                                                                                : MAX_PARALLEL;
        r->active = s->n_active;
        r->queued = s->n_queued;
    }
    pthread_mutex_unlock(&g->lock);
    if (!rows)
        return err_set(e, ERR_MEMORY, "no memory for a list");
    qsort(rows, *n, sizeof *rows, by_expiry);
    *out = rows;
    return 0;
}

void eng_job_progress(const struct eng_job *j, struct eng_progress *out)
{
    job_meter_read(&j->meter, out);
}

int eng_metrics(struct eng *g, struct eng_metrics *out, struct err *e)
{
    if (meters_read(&g->meters, out, e))
        return -1;
    pthread_mutex_lock(&g->lock);
    for (const struct slot *s = g->slots; s; s = s->next) {
        struct eng_model_metrics *m = NULL;
        for (size_t i = 0; i < out->n && !m; i++)
            if (!strcmp(out->models[i].name, s->meter->name))
                m = &out->models[i];
        out->n_loaded += s->state == SLOT_READY;
        if (!m)
            continue; /* it came between the two locks */
        m->loaded |= s->state == SLOT_READY;
        m->running += s->n_active;
        m->waiting += s->n_queued;
        m->kv_pages_used += s->kv_used;
        m->kv_pages_limit += s->kv_limit;
        m->weight_bytes += s->weight_bytes;
        m->kv_bytes += s->kv_bytes;
        if (s->state == SLOT_READY && s->need_bytes > s->weight_bytes + s->kv_bytes)
            m->scratch_bytes += s->need_bytes - s->weight_bytes - s->kv_bytes;
    }
    pthread_mutex_unlock(&g->lock);
    out->budget_bytes = g->cfg.memory_bytes;
    return 0;
}

void eng_unload(struct eng *g, const struct digest *model)
{
    pthread_mutex_lock(&g->lock);
    for (struct slot *s = g->slots; s; s = s->next)
        if (!memcmp(&s->files[0], model, sizeof *model)) {
            s->keep_alive_ns = 0;
            if (!s->n_active && !s->n_queued)
                s->expires = 0;
            pthread_cond_signal(&s->wake);
        }
    pthread_mutex_unlock(&g->lock);
}
