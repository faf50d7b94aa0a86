/* engine/ops_inside.h - what the files of operators share. Private to engine/ops.c, attention.c and
 * experts.c. */
#ifndef CHASKI_OPS_INSIDE_H
#define CHASKI_OPS_INSIDE_H

#include "engine/model/model.h"
#include "engine/model/trace.h"
#include "engine/ops.h"

/* Buffers of this phase: the same on every thread, this thread's alone, or as the rows are. Sizes
 * round up to ops_round(bytes); ops_region_bytes and ops_own_bytes must know of each. */
static inline size_t ops_round(size_t n)
{
    return (n + 63) & ~(size_t)63;
}
void *take_shared(struct fwd *f, size_t bytes);
void *take_own(struct fwd *f, size_t bytes);
float *take_rows(struct fwd *f, size_t width);

/* Rows x (this thread's are complete) become an input of matrices. */
struct in make_in(struct fwd *f, const float *x, int width);

/* Asked before each piece of heavy work, which is then left out: thread 0 looks after the clients. Not
 * where a block is short anyway. */
static inline bool is_useless(struct fwd *f)
{
    enum { MANY_ROWS = 64 };
    atomic_bool *u = &f->shared->useless;
    if (f->ith == 0 && f->n > MANY_ROWS && f->s->stop &&
        !atomic_load_explicit(u, memory_order_relaxed) && f->s->stop(f->s->stop_arg))
        atomic_store_explicit(u, true, memory_order_relaxed);
    return atomic_load_explicit(u, memory_order_relaxed);
}

/* All threads are here, and see what was written before. */
static inline void wait_all(struct fwd *f)
{
    trace_barrier(f->trace, f->m->crew, f->ith);
}
/* For a trace: the operator `op` (a literal) starts here. */
static inline void mark(struct fwd *f, const char *op)
{
    trace_mark(f->trace, op, f->layer);
}

/* One matrix of a pass: y[c * ldy + r] for the columns of `a`. */
struct product {
    const struct acts *a;
    const struct mat *w;
    const float *bias; /* may be NULL */
    float *y;
    size_t ldy;
};
/* All products, in pieces that the threads take by a counter; every thread waits for the last. */
void mul_mats(struct fwd *f, const struct product *p, int n_p);

/* Bytes that the experts' feed-forward takes of a region and of a thread's own memory; 0 for a
 * dense model. */
size_t experts_region_bytes(const struct model *m, int n);
size_t experts_own_bytes(const struct model *m, int n);

/* The same for attention, beyond queries, keys, values and its result; `longest` as in
 * ops_region_bytes. */
size_t attention_region_bytes(const struct model *m, int n, int64_t longest);
size_t attention_own_bytes(const struct model *m, int64_t longest);

#endif
