/* engine/model/trace.h - which operator every thread ran when, and how long it waited. Private to
 * engine/; the door (engine/engine.h) hands the records out.
 *
 * Off, it costs a branch an operator and one a barrier. On, an operator's start is one reading of the
 * clock and ends the operator before it, so that the records leave no gaps; a wait lies inside the
 * operator that ends with it. Each thread writes only to its own records. */
#ifndef CHASKI_TRACE_H
#define CHASKI_TRACE_H

#include "engine/engine.h"
#include "kernels/kernels.h"

struct trace_thread { /* a line of its own: nobody else writes here during a step */
    _Alignas(64) struct trace_event *events;
    size_t n, cap;
    size_t open; /* the operator that runs now + 1; 0 = none */
};
struct trace {
    struct trace_thread *threads;
    int n_threads;
    struct trace_step *steps;
    size_t n_steps, cap_steps;
    bool full; /* memory ended: the later steps are not here */
};

void trace_op(struct trace_thread *t, const char *op, int32_t layer);
void trace_wait(struct trace_thread *t, struct crew *c, int ith);

/* An operator starts here (op: a literal); t NULL: no trace. */
static inline void trace_mark(struct trace_thread *t, const char *op, int32_t layer)
{
    if (__builtin_expect(t != NULL, 0))
        trace_op(t, op, layer);
}
static inline void trace_barrier(struct trace_thread *t, struct crew *c, int ith)
{
    if (__builtin_expect(t != NULL, 0))
        trace_wait(t, c, ith);
    else
        crew_barrier(c, ith);
}

/* By the thread that steps the model. begin: room for a step, false: there is none. */
bool trace_step_begin(struct trace *t, int n_rows, int n_threads, int n_layer);
void trace_step_end(struct trace *t);
/* By each thread, around its part. */
void trace_thread_end(struct trace_thread *t);

#endif
