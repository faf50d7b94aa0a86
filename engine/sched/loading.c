/* engine/sched/loading.c - a slot's way to a loaded model and back: its turn, room, weights.
 *
 * One load at a time, in the order in which the models were asked for; requests to loaded models go
 * on meanwhile. The file is read and checked before anybody has to make room for it, so a broken or
 * too large one unloads nobody. */
#include "engine/sched/sched.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LOOK_AGAIN_MS = 50 }; /* longest sleep of what waits: nothing depends on a lost signal */

void slot_leave(struct slot *s)
{
    for (struct slot **p = &s->g->slots; *p; p = &(*p)->next)
        if (*p == s) {
            *p = s->next;
            break;
        }
    s->state = SLOT_GONE;
}

/* ---- the turn -------------------------------------------------------------------------------- */

static bool is_next(const struct slot *s)
{
    if (s->g->loader)
        return false;
    for (const struct slot *t = s->g->slots; t; t = t->next)
        if (t->state == SLOT_WAITING && t->ticket < s->ticket)
            return false;
    return true;
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

bool slot_turn(struct slot *s)
{
    struct eng *g = s->g;
    bool stay = true;
    for (;;) {
        slot_sweep(s);
        pthread_mutex_lock(&g->lock);
        if (g->stopping || (!s->head && !s->n_active)) {
            slot_leave(s);
            stay = false;
            break;
        }
        if (is_next(s)) {
            s->state = SLOT_LOADING;
            g->loader = s;
            atomic_store(&s->cancel_load, false);
            s->kv = s->kv_wish >= 0 ? (enum eng_kv)s->kv_wish : g->cfg.kv;
            s->no_map = !s->map_wish;
            break;
        }
        cond_wait_ns(&g->changed, &g->lock,
                     sooner(LOOK_AGAIN_MS * INT64_C(1000000), slot_patience(s)));
        pthread_mutex_unlock(&g->lock);
    }
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
    return stay;
}

/* ---- room ------------------------------------------------------------------------------------ */

/* load_config.progress */
static void moved(void *arg, double part)
{
    (void)part;
    atomic_store(&((struct slot *)arg)->load_moved, time_mono_ns());
}

/* load_config.reserve: a place among the loaded models and `bytes` of the ledger. */
static int reserve(void *arg, const struct model *m, uint64_t bytes, struct err *e)
{
    struct slot *s = arg;
    struct eng *g = s->g;
    const int most = g->cfg.max_loaded > 0 ? g->cfg.max_loaded : 3;
    const uint64_t least = bytes + m->pool.page_bytes; /* with no page it could do nothing */
    int rc = 0;
    if (least > g->mem.limit)
        return err_set(e, ERR_MEMORY,
                       "not enough memory for %s: needs %" PRIu64 " bytes, budget is %" PRIu64
                       " bytes (%" PRIu64 " are for weights, tokenizer and scratch, %zu for the "
                       "first page of its key-value cache)",
                       s->name, least, g->mem.limit, bytes, m->pool.page_bytes);
    pthread_mutex_lock(&g->lock);
    for (;;) {
        if (atomic_load(&s->cancel_load) || g->stopping) {
            rc = err_set(e, ERR_CANCELLED, "loading was cancelled");
            break;
        }
        const bool place = g->n_places < most;
        if (place && mem_take(&g->mem, bytes))
            break;
        if (!g->n_places) { /* what is left are states of waiting jobs: they must not hold it up */
            mem_add(&g->mem, bytes);
            break;
        }
        if (!room_ask(g, s, place ? bytes : 0, !place))
            room_close_one(g, s, s->waits_since);
        moved(s, 0); /* to wait for others is not to stand still */
        cond_wait_ns(&g->changed, &g->lock,
                     sooner(LOOK_AGAIN_MS * INT64_C(1000000), room_patience(g)));
    }
    if (!rc) {
        g->n_places++;
        s->has_place = true;
        s->reserved = bytes;
    }
    pthread_mutex_unlock(&g->lock);
    return rc;
}

/* ---- loading --------------------------------------------------------------------------------- */

/* A file that cannot be loaded is no fault of the request: 500, and for one of a kind that there is
 * not here the reference's advice (spec/api.md 20.6). */
static void explain(const struct slot *s, struct err *e)
{
    char why[sizeof e->text];
    if (e->code == ERR_CANCELLED || e->code == ERR_MEMORY)
        return;
    const bool unknown = e->code == ERR_UNSUPPORTED;
    e->code = ERR_IO;
    if (!unknown)
        return;
    memcpy(why, e->text, sizeof why);
    err_set(e, ERR_IO,
            "%.260s: this model may be incompatible with your version of Ollama. If you previously "
            "pulled this model, try updating it by running 'ollama pull %.80s'",
            why, s->name);
}

static struct model *load(struct slot *s, struct err *e)
{
    struct eng *g = s->g;
    struct model *m = NULL;
    int fds[MAX_FILES] = {0}, n = 0;
    struct gguf *f = NULL;
    char *source = NULL;
    struct buf key = {0}; /* of the packed weights: the digests say all of the content */
    for (; n < s->n_files; n++)
        if ((fds[n] = store_blob_open(g->cfg.store, &s->files[n], e)) < 0)
            goto done;
    f = gguf_open_fds(fds, n, s->name, e);
    if (!f)
        goto done;
    for (int i = 0; i < s->n_files; i++) {
        char text[DIGEST_TEXT];
        digest_text(&s->files[i], text);
        buf_printf(&key, "%s%s", i ? "," : "", text);
    }
    if (key.failed) {
        err_set(e, ERR_MEMORY, "no memory to load %s", s->name);
        goto done;
    }
    if (chat_template_of(f, &source, e))
        goto done;
    const struct load_config c = {.k = g->k,
                                  .crew = g->crew,
                                  .kv = kv_type_of(s->kv),
                                  .n_batch = 512,
                                  .reserve = reserve,
                                  .reserve_arg = s,
                                  .cancel = &s->cancel_load,
                                  .cache_dir = g->cfg.pack_cache,
                                  .cache_key = key.p,
                                  .no_map = s->no_map,
                                  .progress = moved,
                                  .progress_arg = s,
                                  .lock_crew = eng_lock_crew,
                                  .lock_arg = g};
    m = model_load(f, &c, e);
    if (!m)
        goto done;
    m->pool.mem = &g->mem;
    const int64_t prefix = g->cfg.prefix_bytes;
    m->pool.n_cached_most =
        (prefix ? (uint64_t)(prefix > 0 ? prefix : 0) : g->cfg.memory_bytes / 4) /
        m->pool.page_bytes;
    if (source) {
        s->tpl = chat_template_new(CHAT_JINJA, source, strlen(source), &s->tpl_err);
        if (!s->tpl)
            log_line(LOG_WARN, "%s: the chat template cannot be used: %s", s->name,
                     s->tpl_err.text);
    }
done:
    free(source);
    buf_free(&key);
    gguf_close(f);
    while (n > 0)
        close(fds[--n]);
    return m;
}

static int64_t load_timeout(const struct eng *g)
{
    return g->cfg.load_timeout_ns ? g->cfg.load_timeout_ns : (int64_t)300 * 1000000000;
}

/* Stands in for the slot's thread while that loads: answers requests that are cancelled or too late
 * at their time, gives the load up once nobody is left, or when it stands still (a disk that does
 * not answer). (The load's own progress cannot do it: it is told with the lock held, and a disk may
 * keep it from being told at all.) */
static void *watch(void *arg)
{
    struct slot *s = arg;
    struct eng *g = s->g;
    pthread_mutex_lock(&g->lock);
    while (g->loader == s) {
        if (slot_patience(s) <= 0) {
            pthread_mutex_unlock(&g->lock);
            slot_sweep(s);
            pthread_mutex_lock(&g->lock);
            if (!s->head && !s->n_active)
                atomic_store(&s->cancel_load, true);
            continue;
        }
        int64_t left = INT64_MAX;
        if (load_timeout(g) > 0 && !s->load_stuck) {
            left = atomic_load(&s->load_moved) + load_timeout(g) - time_mono_ns();
            if (left <= 0) {
                s->load_stuck = true;
                atomic_store(&s->cancel_load, true);
            }
        }
        left = sooner(left, slot_patience(s));
        cond_wait_ns(&s->wake, &g->lock, sooner(left, INT64_C(1000000000)));
    }
    pthread_mutex_unlock(&g->lock);
    return NULL;
}

int slot_load(struct slot *s, struct err *e)
{
    struct eng *g = s->g;
    const int64_t t0 = time_mono_ns();
    pthread_t watcher;
    log_line(LOG_INFO, "loading %s", s->name);
    s->load_stuck = false;
    moved(s, 0);
    /* Without a thread to spare nobody watches. */
    const bool watched = !pthread_create(&watcher, NULL, watch, s);
    struct model *m = load(s, e);
    const int64_t now = time_mono_ns();
    pthread_mutex_lock(&g->lock);
    g->loader = NULL;
    pthread_cond_broadcast(&g->changed);
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&g->lock);
    if (watched)
        pthread_join(watcher, NULL);
    s->m = m; /* only now: the watcher takes jobs that have no pages */
    const int rc = m ? 0 : -1;
    if (rc && e->code == ERR_CANCELLED && s->load_stuck)
        err_set(e, ERR_IO,
                "timed out waiting for llama-server to start - the load of %s stood "
                "still for %lld s",
                s->name, (long long)(load_timeout(g) / 1000000000));
    if (rc) {
        log_line(LOG_WARN, "loading %s failed: %s", s->name, e->text);
        explain(s, e);
    } else {
        log_line(LOG_INFO,
                 "loaded %s in %lld ms: %" PRIu64 " bytes of weights, %s kernels, %d threads",
                 s->name, (long long)((now - t0) / 1000000), s->m->weight_bytes, g->k->name,
                 crew_size(g->crew));
        meter_time(&s->meter->load, now - t0);
        slot_measure(s);
    }
    pthread_mutex_lock(&g->lock);
    if (!rc) {
        s->state = SLOT_READY;
        s->vocab = tok_vocab_share(s->m->vocab);
        s->ready_at = s->used_at = now;
        s->n_admitted = 0;
        s->is_mapped = s->m->is_mapped;
        const int32_t n_ctx = g->cfg.default_ctx > 0 ? g->cfg.default_ctx : 4096;
        s->n_ctx_shown = n_ctx < s->m->hp.n_ctx ? n_ctx : s->m->hp.n_ctx;
    }
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
    return rc;
}

void slot_unload(struct slot *s)
{
    struct eng *g = s->g;
    pthread_mutex_lock(&g->lock);
    tok_vocab_free(s->vocab);
    s->vocab = NULL;
    pthread_mutex_unlock(&g->lock);
    for (int i = 0; i < MAX_PARALLEL; i++) /* parked jobs have no pages, but a table */
        if (s->m && s->active[i])
            kv_table_free(&s->m->pool, &s->active[i]->kv);
    chat_template_free(s->tpl);
    rules_close(s);
    embed_close(s);
    model_unload(s->m);
    s->tpl = NULL;
    s->tpl_err = (struct err){0};
    s->m = NULL;
    s->worth = (struct worth){0};
    s->ns_decode = 0;
    s->pace = (struct pace){0};
    pthread_mutex_lock(&g->lock);
    if (s->has_place) {
        mem_give(&g->mem, s->reserved);
        g->n_places--;
    }
    g->n_unloading -= s->unloading;
    s->unloading = s->has_place = s->closing = s->parking = s->is_mapped = false;
    s->reserved = s->need_bytes = s->idle_bytes = s->give_back = 0;
    s->kv_used = s->kv_limit = s->kv_bytes = s->weight_bytes = 0;
    s->youngest = 0;
    s->hungry = s->pause_after = INT64_MAX;
    if (s->state != SLOT_GONE) {
        s->state = SLOT_WAITING;
        s->ticket = ++g->tickets;
        s->waits_since = time_mono_ns();
    }
    room_changed(g);
    pthread_mutex_unlock(&g->lock);
}
