/* http/journal.c - what is remembered of a request: its id, its line in the log, its counts.
 *
 * One line a request when nobody holds it any more, at level info; probes (/health, /ready,
 * /metrics) at debug, or they would be the log. Nothing of what was asked or answered is in it
 * (security.md 3.9). The counts are kept by route, status and model; names of models come from the
 * disk only, and their number is bounded, so that no client can fill the memory. */
#include "http/inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { MOST_ROWS = 4096 };

const double journal_buckets[JOURNAL_BUCKETS] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                                 0.5,   1,      2.5,   5,    10,    30,   60,  300};

struct journal {
    pthread_mutex_t lock;
    struct journal_row *rows, *spare; /* lock */
    size_t n, n_spare;                /* lock */
    uint64_t seed;                    /* of the ids */
    atomic_uint_fast64_t n_ids;
};

struct journal *journal_new(struct err *e)
{
    struct journal *j = calloc(1, sizeof *j);
    if (!j) {
        err_set(e, ERR_MEMORY, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&j->lock, NULL);
    if (getrandom(&j->seed, sizeof j->seed, 0) != (ssize_t)sizeof j->seed)
        j->seed = (uint64_t)time_real_ns();
    return j;
}

void journal_free(struct journal *j)
{
    if (!j)
        return;
    pthread_mutex_destroy(&j->lock);
    free(j->rows);
    free(j);
}

/* ---- ids ----------------------------------------------------------------------------------- */

/* A proxy's id is kept when it can stand in a header and a log as it is. */
static bool is_id(struct text t)
{
    if (!t.n || t.n >= REQUEST_ID)
        return false;
    for (size_t i = 0; i < t.n; i++)
        if (!((t.p[i] | 32) >= 'a' && (t.p[i] | 32) <= 'z') && !(t.p[i] >= '0' && t.p[i] <= '9') &&
            !strchr("-_.:+/=", t.p[i]))
            return false;
    return true;
}

void journal_id(struct journal *j, struct text sent, char out[REQUEST_ID])
{
    if (is_id(sent)) {
        memcpy(out, sent.p, sent.n);
        out[sent.n] = 0;
        return;
    }
    /* splitmix64 of a counter: each id once, and not to be guessed from the last. */
    uint64_t x = j->seed + (atomic_fetch_add(&j->n_ids, 1) + 1) * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    x ^= x >> 31;
    snprintf(out, REQUEST_ID, "req-%016llx", (unsigned long long)x);
}

/* ---- counts -------------------------------------------------------------------------------- */

/* Under the lock: the row, made when it is new; NULL when the table is full. A handful of rows is
 * in use at a time, and they move to the front. */
static struct journal_row *row_of(struct journal *j, const char *route, int status,
                                  const char *model)
{
    for (size_t i = 0; i < j->n; i++) {
        struct journal_row *r = &j->rows[i];
        if (r->status != status || strcmp(r->route, route) != 0 || strcmp(r->model, model) != 0)
            continue;
        if (i) {
            const struct journal_row swap = j->rows[i / 2];
            j->rows[i / 2] = *r;
            *r = swap;
        }
        return &j->rows[i / 2];
    }
    if (j->n == MOST_ROWS)
        return NULL;
    if (!(j->n & (j->n - 1))) { /* 0, or a power of two: full */
        struct journal_row *more = realloc(j->rows, (j->n ? 2 * j->n : 1) * sizeof *more);
        if (!more)
            return NULL;
        j->rows = more;
    }
    struct journal_row *r = &j->rows[j->n++];
    memset(r, 0, sizeof *r);
    r->route = route;
    r->status = status;
    snprintf(r->model, sizeof r->model, "%s", model);
    return r;
}

void journal_count(struct journal *j, const char *route, int status, const char *model, int64_t ns)
{
    const double s = (double)ns * 1e-9;
    int i = 0;
    while (i < JOURNAL_BUCKETS && s > journal_buckets[i])
        i++;
    pthread_mutex_lock(&j->lock);
    struct journal_row *r = row_of(j, route, status, model);
    if (!r)
        r = row_of(j, route, status, ""); /* the model is left out where there are too many */
    if (r) {
        r->counts[i]++;
        r->sum += s;
    }
    pthread_mutex_unlock(&j->lock);
}

struct journal_row *journal_copy(struct journal *j, size_t *n)
{
    pthread_mutex_lock(&j->lock);
    struct journal_row *rows = malloc((j->n + 1) * sizeof *rows);
    *n = rows ? j->n : 0;
    if (*n)
        memcpy(rows, j->rows, j->n * sizeof *rows);
    pthread_mutex_unlock(&j->lock);
    return rows;
}

/* ---- a request ends ------------------------------------------------------------------------ */

static bool is_probe(const struct call *c)
{
    return c->route && (c->route->handle == on_health || c->route->handle == on_ready ||
                        c->route->handle == on_metrics);
}

void journal_call(struct call *c)
{
    const int64_t ns = c->over_ns - c->begun_ns;
    const int status = c->status;
    const enum log_level level = is_probe(c) ? LOG_DEBUG : LOG_INFO;
    const char *model = c->model;
    const int n_jobs = c->n_jobs;
    int64_t wait_ns = 0, first_ns = 0, n_prompt = 0, n_cached = 0, n_eval = 0;
    for (int i = 0; i < n_jobs; i++) {
        struct eng_progress p;
        eng_job_progress(c->jobs[i], &p);
        n_prompt += p.prompt_count;
        n_cached += p.prompt_cached;
        n_eval += p.eval_count;
        wait_ns = p.wait_ns > wait_ns ? p.wait_ns : wait_ns;
        if (p.first_ns && (!first_ns || p.first_ns < first_ns))
            first_ns = p.first_ns;
    }
    const char *route = c->route ? c->route->path : "";
    journal_count(c->srv->journal, route, status, model, ns);
    if (!log_is_on(level))
        return;
    struct log_field f[16];
    size_t n = 0;
    f[n++] = (struct log_field){"id", c->id, 0};
    if (c->peer[0])
        f[n++] = (struct log_field){"peer", c->peer, 0};
    f[n++] = (struct log_field){"request", c->who, 0};
    f[n++] = (struct log_field){"status", NULL, status};
    f[n++] = (struct log_field){"bytes", NULL, (double)c->n_sent};
    f[n++] = (struct log_field){"ms", NULL, (double)(ns / 1000) / 1e3};
    if (c->key)
        f[n++] = (struct log_field){"key", c->key->name, 0};
    if (model[0])
        f[n++] = (struct log_field){"model", model, 0};
    if (n_jobs) {
        f[n++] = (struct log_field){"prompt_tokens", NULL, (double)n_prompt};
        if (n_cached)
            f[n++] = (struct log_field){"cached_tokens", NULL, (double)n_cached};
        f[n++] = (struct log_field){"tokens", NULL, (double)n_eval};
        f[n++] = (struct log_field){"wait_ms", NULL, (double)(wait_ns / 1000) / 1e3};
        if (first_ns)
            f[n++] = (struct log_field){"first_ms", NULL, (double)(first_ns / 1000) / 1e3};
    }
    log_event(level, "request", f, n);
}
