/* http/tags.c - GET /api/tags: the list of models.
 *
 * Facts: spec/api.md 16.1. "Models put there by hand appear at once": so the answer is kept only as
 * long as the store's watch says that nothing has changed, and then it is sent from the loop. Else
 * a worker reads the disk. */
#include "http/inside.h"

#include <stdlib.h>
#include <string.h>

struct tags {
    struct store_watch *watch; /* NULL: nothing is kept */
    pthread_mutex_t lock;
    uint64_t generation; /* of the watch, when `kept` was read; 0 = nothing is kept; lock */
    struct buf kept;     /* lock */
};

struct tags *tags_new(struct store *s)
{
    struct tags *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->watch = store_watch_new(s);
    if (!t->watch)
        log_line(LOG_INFO, "the store cannot be watched: its list is read for each request");
    pthread_mutex_init(&t->lock, NULL);
    return t;
}

void tags_free(struct tags *t)
{
    if (!t)
        return;
    store_watch_free(t->watch);
    buf_free(&t->kept);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static bool answer_kept(struct call *c, struct tags *t)
{
    bool fits = false;
    if (!t->watch)
        return false;
    pthread_mutex_lock(&t->lock);
    if (t->generation && t->generation == store_watch_now(t->watch)) {
        call_answer(c, 200, type_json, t->kept.p, t->kept.n);
        fits = true;
    }
    pthread_mutex_unlock(&t->lock);
    return fits;
}

/* Keep what was read since `generation`, unless somebody kept what is newer. Takes b. */
static void keep(struct tags *t, uint64_t generation, struct buf *b)
{
    pthread_mutex_lock(&t->lock);
    if (generation > t->generation) {
        buf_free(&t->kept);
        t->kept = *b;
        t->generation = generation;
        *b = (struct buf){0};
    }
    pthread_mutex_unlock(&t->lock);
    buf_free(b);
}

static void read_tags(struct call *c)
{
    struct tags *t = c->srv->tags;
    struct store_model **list = NULL;
    size_t n = 0;
    struct err e = {0};
    struct buf b = {0};
    /* The watch first: what changes while we read is seen by the next request. */
    const uint64_t generation = t->watch ? store_watch_arm(t->watch) : 0;
    if (store_model_list(c->srv->cfg.store, &list, &n, &e) != 0) {
        call_fail(c, &e);
        return;
    }
    json_t *rows = json_array();
    bool bad = !rows;
    for (size_t i = 0; i < n; i++) {
        json_t *row = rows ? tag_row(c, list[i]) : NULL;
        bad = bad || !row || json_array_append_new(rows, row) != 0;
        store_model_free(list[i]);
    }
    free(list);
    json_t *v = rows ? json_pack("{s:o}", "models", rows) : NULL;
    if (v)
        http_print_json(&b, v);
    json_decref(v);
    if (bad || !v || b.failed) {
        call_fail_status(c, 500, "out of memory");
        buf_free(&b);
        return;
    }
    call_answer(c, 200, type_json, b.p, b.n);
    if (generation)
        keep(t, generation, &b);
    else
        buf_free(&b);
}

static void run_read(struct work *w)
{
    struct call *c = (struct call *)((char *)w - offsetof(struct call, work));
    if (!call_is_gone(c))
        read_tags(c);
    call_unref(c);
}

void on_tags(struct call *c)
{
    if (answer_kept(c, c->srv->tags))
        return;
    call_ref(c);
    c->work.run = run_read;
    work_submit(c->srv->workers, &c->work);
}
