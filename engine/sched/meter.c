/* engine/sched/meter.c - counters and histograms of the scheduler, by model (meter.h). */
#include "engine/sched/meter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 256 }; /* names: a client that may copy models cannot fill the memory with them */

/* Seconds. A token of a small model takes a millisecond, a long prompt minutes. */
const double eng_buckets[ENG_N_BUCKETS] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                           0.5,   1,      2.5,   5,    10,    30,   60,  300};
const int eng_row_buckets[ENG_N_ROW_BUCKETS] = {1, 2, 4, 8, 16, 32, 64, 128, 256};

static struct meter others = {.name = "(others)"}; /* shared by all engines of a process */

void meters_init(struct meters *m)
{
    pthread_mutex_init(&m->lock, NULL);
}

void meters_free(struct meters *m)
{
    while (m->first) {
        struct meter *n = m->first;
        m->first = n->next;
        free(n);
    }
    pthread_mutex_destroy(&m->lock);
}

struct meter *meters_find(struct meters *m, const char *name)
{
    pthread_mutex_lock(&m->lock);
    struct meter *i = m->first;
    while (i && strcmp(i->name, name) != 0)
        i = i->next;
    if (!i && m->n < MOST && (i = calloc(1, sizeof *i))) {
        snprintf(i->name, sizeof i->name, "%s", name);
        i->next = m->first;
        m->first = i;
        m->n++;
    }
    pthread_mutex_unlock(&m->lock);
    return i ? i : &others;
}

void meter_time(struct meter_times *t, int64_t ns)
{
    const double s = (double)ns * 1e-9;
    int i = 0;
    while (i < ENG_N_BUCKETS && s > eng_buckets[i])
        i++;
    atomic_fetch_add_explicit(&t->counts[i], 1, memory_order_relaxed);
    meter_add(&t->sum_ns, ns);
}

void meter_step(struct meter *m, int n_rows)
{
    int i = 0;
    while (i < ENG_N_ROW_BUCKETS && n_rows > eng_row_buckets[i])
        i++;
    atomic_fetch_add_explicit(&m->steps[i], 1, memory_order_relaxed);
    meter_add(&m->rows, n_rows);
}

void meter_token(struct meter *m, struct job_meter *j, int64_t submitted, int64_t now)
{
    meter_add(&m->generated, 1);
    atomic_fetch_add_explicit(&j->generated, 1, memory_order_relaxed);
    if (!j->last) {
        meter_time(&m->first, now - submitted);
        atomic_store_explicit(&j->first_ns, now - submitted, memory_order_relaxed);
    } else {
        meter_time(&m->gap, now - j->last);
    }
    j->last = now;
}

void job_meter_read(const struct job_meter *j, struct eng_progress *out)
{
    out->prompt_count = atomic_load_explicit(&j->prompt, memory_order_relaxed);
    out->prompt_cached = atomic_load_explicit(&j->cached, memory_order_relaxed);
    out->eval_count = atomic_load_explicit(&j->generated, memory_order_relaxed);
    out->wait_ns = atomic_load_explicit(&j->wait_ns, memory_order_relaxed);
    out->first_ns = atomic_load_explicit(&j->first_ns, memory_order_relaxed);
}

/* ---- reading ------------------------------------------------------------------------------- */

static void read_times(const struct meter_times *t, struct eng_histogram *out)
{
    for (int i = 0; i <= ENG_N_BUCKETS; i++)
        out->counts[i] = atomic_load_explicit(&t->counts[i], memory_order_relaxed);
    out->sum = (double)atomic_load_explicit(&t->sum_ns, memory_order_relaxed) * 1e-9;
}

static void read_meter(const struct meter *m, struct eng_model_metrics *out)
{
    const struct {
        const atomic_uint_fast64_t *from;
        uint64_t *to;
    } counters[] = {
        {&m->prompt, &out->prompt_tokens},       {&m->cached, &out->cached_tokens},
        {&m->generated, &out->generated_tokens}, {&m->truncated, &out->prompts_truncated},
        {&m->shifts, &out->context_shifts},      {&m->drafted, &out->draft_tokens},
        {&m->accepted, &out->accepted_tokens},   {&m->rows, &out->rows},
    };
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++)
        *counters[i].to = atomic_load_explicit(counters[i].from, memory_order_relaxed);
    for (int i = 0; i <= ENG_N_ROW_BUCKETS; i++)
        out->steps[i] = atomic_load_explicit(&m->steps[i], memory_order_relaxed);
    read_times(&m->first, &out->first_token);
    read_times(&m->gap, &out->inter_token);
    read_times(&m->wait, &out->queue_wait);
    read_times(&m->load, &out->load);
    memcpy(out->name, m->name, sizeof out->name);
}

int meters_read(struct meters *m, struct eng_metrics *out, struct err *e)
{
    memset(out, 0, sizeof *out);
    pthread_mutex_lock(&m->lock);
    out->models = calloc((size_t)m->n + 1, sizeof *out->models);
    for (const struct meter *i = m->first; out->models && i; i = i->next)
        read_meter(i, &out->models[out->n++]);
    pthread_mutex_unlock(&m->lock);
    if (!out->models)
        return err_set(e, ERR_MEMORY, "no memory for the metrics");
    for (int i = 0; i <= ENG_N_ROW_BUCKETS; i++)
        if (atomic_load_explicit(&others.steps[i], memory_order_relaxed)) {
            read_meter(&others, &out->models[out->n++]);
            break;
        }
    return 0;
}

void eng_metrics_free(struct eng_metrics *m)
{
    free(m->models);
    memset(m, 0, sizeof *m);
}
