/* engine/sched/meter.h - what the scheduler counts, for GET /metrics. Private to engine/ (and to
 * the tests' own engine).
 *
 * A meter belongs to a model's name and stays when the model goes: counters never fall. The slot's
 * thread writes, anybody reads; all fields are relaxed atomics, a token costs two or three of
 * them. */
#ifndef CHASKI_METER_H
#define CHASKI_METER_H

#include <pthread.h>
#include <stdatomic.h>
#include "engine/engine.h"

struct meter_times { /* a histogram of durations */
    atomic_uint_fast64_t counts[ENG_N_BUCKETS + 1];
    atomic_uint_fast64_t sum_ns;
};
struct meter {
    struct meter *next;
    atomic_uint_fast64_t prompt, cached, generated, truncated, shifts, drafted, accepted;
    atomic_uint_fast64_t steps[ENG_N_ROW_BUCKETS + 1], rows;
    struct meter_times first, gap, wait, load;
    char name[512];
};
struct meters { /* of an engine; zeroed, then meters_init */
    pthread_mutex_t lock;
    struct meter *first; /* grows at the front; never shrinks; lock */
    int n;               /* lock */
};
void meters_init(struct meters *m);
void meters_free(struct meters *m);
/* The meter of that model, made when it is new: never NULL. Past a bound, or without memory, many
 * names share one. */
struct meter *meters_find(struct meters *m, const char *name);

void meter_time(struct meter_times *t, int64_t ns);
void meter_step(struct meter *m, int n_rows);
static inline void meter_add(atomic_uint_fast64_t *c, int64_t n)
{
    if (n > 0)
        atomic_fetch_add_explicit(c, (uint_fast64_t)n, memory_order_relaxed);
}

/* What a job tells of itself while it runs (eng_job_progress). */
struct job_meter {
    atomic_int prompt, cached, generated;
    _Atomic int64_t wait_ns, first_ns; /* 0 = not yet */
    int64_t last;                      /* when the last token came; the slot's thread */
};
/* A token was drawn at `now` for a job submitted at `submitted`. */
void meter_token(struct meter *m, struct job_meter *j, int64_t submitted, int64_t now);
void job_meter_read(const struct job_meter *j, struct eng_progress *out);
/* Rows of eng_metrics from the meters, gauges left 0; free with eng_metrics_free. */
int meters_read(struct meters *m, struct eng_metrics *out, struct err *e);
#endif
