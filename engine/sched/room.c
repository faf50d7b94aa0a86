/* engine/sched/room.c - who gives way when memory or places run out, between all slots.
 *
 * Facts: spec/decisions.md 18, 22, 23; spec/api.md 20.3. In this order: pages that nobody uses (the
 * cached prefixes among them), idle models, the least recently used first; then the younger of two
 * running jobs gives up its pages and computes them again later, the same bits. A job fails only
 * when nobody else holds anything that it could wait for.
 *
 * Why nothing hangs: jobs have one order over all models. While the oldest job that waits for pages
 * waits, younger ones get none, and each turn of their threads one of them gives its pages back; a
 * model whose jobs are all younger and hold none is unloaded with its jobs parked. A model that
 * waits for a place gets one after a bounded time: one that is never idle stops admitting. */
#include "engine/sched/sched.h"

enum { PATIENCE_MS = 2000 };

int64_t room_patience(const struct eng *g)
{
    return g->cfg.patience_ns > 0 ? g->cfg.patience_ns : (int64_t)PATIENCE_MS * 1000000;
}

int64_t job_age(const struct eng_job *j)
{
    return j->submitted + (atomic_load(&j->held) ? INT64_MAX / 2 : 0);
}

bool slot_has_pages(const struct slot *s)
{
    for (int i = 0; i < MAX_PARALLEL; i++)
        if (s->active[i] && s->active[i]->kv.n)
            return true;
    return false;
}

void room_changed(struct eng *g)
{
    pthread_cond_broadcast(&g->changed);
    for (struct slot *s = g->slots; s; s = s->next)
        if (s->hungry != INT64_MAX || s->head)
            pthread_cond_signal(&s->wake);
}

static bool is_idle(const struct slot *s)
{
    return s->state == SLOT_READY && !s->n_active && !s->n_queued;
}

static void close_slot(struct slot *s, bool parking)
{
    s->closing = true;
    s->parking |= parking;
    pthread_cond_signal(&s->wake);
}

bool room_ask(struct eng *g, struct slot *me, uint64_t bytes, bool place)
{
    struct slot *caches = NULL, *idle = NULL;
    if (g->n_unloading)
        return true;
    for (struct slot *s = g->slots; s; s = s->next) {
        if (s == me || s->state != SLOT_READY)
            continue;
        if (s->closing && !s->n_active)
            return true; /* it is going */
        if (s->give_back && !place)
            return true;
        if (s->idle_bytes && (!caches || s->used_at < caches->used_at))
            caches = s;
        if (is_idle(s) && (!idle || s->used_at < idle->used_at))
            idle = s;
    }
    if (caches && !place && bytes) {
        caches->give_back = bytes;
        pthread_cond_signal(&caches->wake);
        return true;
    }
    if (!idle)
        return false;
    close_slot(idle, false);
    return true;
}

void room_close_one(struct eng *g, const struct slot *me, int64_t since)
{
    const int64_t now = time_mono_ns(), patience = room_patience(g);
    struct slot *victim = NULL;
    if (now - since < patience)
        return;
    for (struct slot *s = g->slots; s; s = s->next) {
        if (s == me || s->state != SLOT_READY)
            continue;
        if (s->closing)
            return; /* one at a time */
        /* It must have served since it came, or two models could close each other for ever. */
        if (!s->n_admitted || now - s->ready_at < patience)
            continue;
        if (!victim || s->ready_at < victim->ready_at)
            victim = s;
    }
    if (!victim)
        return;
    log_line(LOG_INFO, "%s takes no new requests: %s waits for its place", victim->name, me->name);
    close_slot(victim, false);
}

/* ---- pages ----------------------------------------------------------------------------------- */

bool room_is_free(struct slot *s, const struct eng_job *j)
{
    struct eng *g = s->g;
    bool is_free = true;
    pthread_mutex_lock(&g->lock);
    for (const struct slot *t = g->slots; t; t = t->next)
        is_free = is_free && t->hungry >= j->submitted;
    is_free = is_free && !s->parking;
    pthread_mutex_unlock(&g->lock);
    return is_free;
}

/* The youngest job of other slots that is younger than `age` and holds pages gives them up. */
static bool pause_younger(struct eng *g, const struct slot *me, int64_t age, uint64_t bytes)
{
    struct slot *youngest = NULL;
    for (struct slot *s = g->slots; s; s = s->next) {
        if (s == me || s->state != SLOT_READY || s->youngest <= age)
            continue;
        if (s->pause_after != INT64_MAX)
            return true; /* asked already */
        if (!youngest || s->youngest > youngest->youngest)
            youngest = s;
    }
    if (!youngest)
        return false;
    youngest->pause_after = age;
    youngest->give_back = bytes;
    pthread_cond_signal(&youngest->wake);
    return true;
}

/* A model with nothing but younger jobs without pages: they can wait for its next load. */
static bool park_younger(struct eng *g, const struct slot *me, int64_t age)
{
    for (struct slot *s = g->slots; s; s = s->next) {
        if (s == me || s->state != SLOT_READY || s->oldest <= age)
            continue;
        if (!s->closing || !s->parking)
            log_line(LOG_INFO,
                     "%s: unloaded under waiting requests, an older one of %s needs the "
                     "memory",
                     s->name, me->name);
        close_slot(s, true);
        return true;
    }
    return false;
}

enum room room_for_pages(struct slot *s, const struct eng_job *j, uint64_t bytes)
{
    struct eng *g = s->g;
    const int64_t age = job_age(j);
    enum room answer = ROOM_NONE;
    if (s->kept_bytes) { /* grammars are made again in no time */
        rules_forget(s);
        if (mem_take(&g->mem, bytes)) {
            s->m->pool.prepaid = bytes;
            return ROOM_PAID;
        }
    }
    bool own_younger = false, own_older = false;
    for (int i = 0; i < MAX_PARALLEL; i++) {
        const struct eng_job *o = s->active[i];
        if (!o || o == j || !o->kv.n)
            continue;
        own_younger |= job_age(o) > age;
        own_older |= job_age(o) < age;
    }
    pthread_mutex_lock(&g->lock);
    const uint64_t used = atomic_load(&g->mem.used);
    const uint64_t mine = s->reserved + s->m->pool.n_live * s->m->pool.page_bytes;
    const uint64_t jobs = atomic_load(&g->job_bytes);
    if (age < s->hungry)
        s->hungry = age;
    if (room_ask(g, s, bytes, false))
        answer = ROOM_WAIT;
    else if (own_younger)
        answer = ROOM_PAUSE_OWN;
    else if (pause_younger(g, s, age, bytes))
        answer = ROOM_WAIT;
    else if (own_older)
        answer = ROOM_PAUSE_ME;
    else if (park_younger(g, s, age))
        answer = ROOM_WAIT;
    else if (used > mine + jobs) /* others are older, or load: they end */
        answer = ROOM_PAUSE_ME;
    else if (mine + bytes <= g->mem.limit) { /* only states of waiting jobs are in the way */
        mem_add(&g->mem, bytes);
        s->m->pool.prepaid = bytes;
        answer = ROOM_PAID;
    }
    pthread_mutex_unlock(&g->lock);
    return answer;
}

void room_obey(struct slot *s)
{
    struct eng *g = s->g;
    pthread_mutex_lock(&g->lock);
    const uint64_t bytes = s->give_back;
    const int64_t after = s->pause_after;
    pthread_mutex_unlock(&g->lock);
    if (!bytes && after == INT64_MAX)
        return;
    struct eng_job *youngest = NULL;
    for (int i = 0; i < MAX_PARALLEL; i++) {
        struct eng_job *j = s->active[i];
        if (j && j->kv.n && job_age(j) > after && (!youngest || job_age(j) > job_age(youngest)))
            youngest = j;
    }
    if (youngest) {
        log_line(LOG_INFO, "%s: a request waits, an older one of another model needs the memory",
                 s->name);
        job_pause(s, youngest);
    }
    rules_forget(s);
    kv_pool_give_back(&s->m->pool, bytes);
    slot_measure(s);
    pthread_mutex_lock(&g->lock);
    s->give_back = 0;
    s->pause_after = INT64_MAX;
    room_changed(g);
    pthread_mutex_unlock(&g->lock);
}

/* ---- the crew, in turns ------------------------------------------------------------------------- */

/* First come, first served: a plain mutex would let the one that just had it have it again, and the
 * others would stand still. */
void eng_lock_crew(void *arg, bool lock)
{
    struct eng *g = arg;
    pthread_mutex_lock(&g->crew_lock);
    if (lock) {
        const uint64_t mine = g->crew_asked++;
        while (g->crew_done != mine)
            pthread_cond_wait(&g->crew_turn, &g->crew_lock);
    } else {
        g->crew_done++;
        if (g->crew_done != g->crew_asked)
            pthread_cond_broadcast(&g->crew_turn);
    }
    pthread_mutex_unlock(&g->crew_lock);
}
