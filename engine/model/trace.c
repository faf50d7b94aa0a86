/* engine/model/trace.c - the records of a trace (engine/model/trace.h). */
#include "engine/model/trace.h"

#include <stdlib.h>
#include <string.h>

/* Operators and waits of a block or of what stands around the blocks, at most. */
enum { EVENTS_A_LAYER = 40 };

struct trace *trace_new(struct err *e)
{
    struct trace *t = calloc(1, sizeof *t);
    if (!t)
        err_set(e, ERR_MEMORY, "no memory for a trace");
    return t;
}

void trace_free(struct trace *t)
{
    if (!t)
        return;
    for (int i = 0; i < t->n_threads; i++)
        free(t->threads[i].events);
    free(t->threads);
    free(t->steps);
    free(t);
}

static bool room_for_threads(struct trace *t, int n)
{
    if (n <= t->n_threads)
        return true;
    struct trace_thread *more = aligned_alloc(64, (size_t)n * sizeof *more);
    if (!more)
        return false;
    memset(more, 0, (size_t)n * sizeof *more);
    if (t->n_threads)
        memcpy(more, t->threads, (size_t)t->n_threads * sizeof *more);
    free(t->threads);
    t->threads = more;
    t->n_threads = n;
    return true;
}

/* Room for n more of `size` bytes behind *used of *cap. */
static bool room(void *pp, size_t *cap, size_t used, size_t n, size_t size)
{
    void **p = pp;
    if (used + n <= *cap)
        return true;
    const size_t want = 2 * *cap > used + n ? 2 * *cap : used + n;
    void *more = realloc(*p, want * size);
    if (!more)
        return false;
    *p = more;
    *cap = want;
    return true;
}

bool trace_step_begin(struct trace *t, int n_rows, int n_threads, int n_layer)
{
    const size_t most = (size_t)(n_layer + 2) * EVENTS_A_LAYER;
    bool ok = !t->full && room_for_threads(t, n_threads) &&
              room(&t->steps, &t->cap_steps, t->n_steps, 1, sizeof *t->steps);
    for (int i = 0; ok && i < n_threads; i++) {
        struct trace_thread *h = &t->threads[i];
        h->open = 0;
        ok = room(&h->events, &h->cap, h->n, most, sizeof *h->events);
    }
    t->full = !ok;
    if (ok)
        t->steps[t->n_steps++] = (struct trace_step){
            .t0_ns = time_mono_ns(), .n_rows = n_rows, .n_threads = n_threads};
    return ok;
}

void trace_step_end(struct trace *t)
{
    t->steps[t->n_steps - 1].t1_ns = time_mono_ns();
}

void trace_op(struct trace_thread *t, const char *op, int32_t layer)
{
    const int64_t now = time_mono_ns();
    if (t->open)
        t->events[t->open - 1].t1_ns = now;
    t->open = 0;
    if (t->n == t->cap)
        return;
    t->events[t->n++] = (struct trace_event){.op = op, .layer = layer, .t0_ns = now, .t1_ns = now};
    t->open = t->n;
}

void trace_wait(struct trace_thread *t, struct crew *c, int ith)
{
    const int64_t t0 = time_mono_ns();
    crew_barrier(c, ith);
    if (t->n == t->cap)
        return;
    t->events[t->n++] = (struct trace_event){.op = "wait",
                                             .layer = t->open ? t->events[t->open - 1].layer : -1,
                                             .is_wait = true,
                                             .t0_ns = t0,
                                             .t1_ns = time_mono_ns()};
}

void trace_thread_end(struct trace_thread *t)
{
    if (t->open)
        t->events[t->open - 1].t1_ns = time_mono_ns();
    t->open = 0;
}

const struct trace_step *trace_steps(const struct trace *t, size_t *n)
{
    *n = t->n_steps;
    return t->steps;
}

int trace_n_threads(const struct trace *t)
{
    return t->n_threads;
}

const struct trace_event *trace_events(const struct trace *t, int thread, size_t *n)
{
    *n = t->threads[thread].n;
    return t->threads[thread].events;
}

bool trace_is_whole(const struct trace *t)
{
    return !t->full;
}
