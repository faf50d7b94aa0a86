/* tools/trace.c - a trace of steps as a file for Perfetto (ui.perfetto.dev, "Open trace file"; also
 * chrome://tracing), and its summary.
 *
 * Facts: the trace event format of the Chrome project. Every record is a complete event ("X": begin
 * and duration in microseconds) of a thread; what lies in another event's time on the same thread
 * nests in it: a step holds operators, an operator the waits at its barriers. */
#include "tools/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double us(int64_t ns)
{
    return (double)ns / 1e3;
}

static void write_event(FILE *f, const char *name, const char *kind, int thread, int64_t t0,
                        int64_t ns, int layer)
{
    fprintf(f,
            ",\n{\"name\": \"%s\", \"cat\": \"%s\", \"ph\": \"X\", \"pid\": 1, \"tid\": %d, "
            "\"ts\": %.3f, \"dur\": %.3f, \"args\": {\"layer\": %d}}",
            name, kind, thread, us(t0), us(ns), layer);
}

/* Thread i's part of step number s: the step, what it waited for to start, its records from v[j]
 * on, and its wait for the others at the end. Returns the first record behind. */
static size_t write_step(FILE *f, const struct trace_step *step, size_t s, int i,
                         const struct trace_event *v, size_t n, size_t j, int64_t start)
{
    fprintf(
        f,
        ",\n{\"name\": \"step\", \"cat\": \"step\", \"ph\": \"X\", \"pid\": 1, \"tid\": %d, "
        "\"ts\": %.3f, \"dur\": %.3f, \"args\": {\"step\": %zu, \"rows\": %d, \"threads\": %d}}",
        i, us(step->t0_ns - start), us(step->t1_ns - step->t0_ns), s, step->n_rows,
        step->n_threads);
    int64_t end = step->t0_ns;
    if (j < n && v[j].t0_ns < step->t1_ns)
        write_event(f, "start", "wait", i, step->t0_ns - start, v[j].t0_ns - step->t0_ns, -1);
    for (; j < n && v[j].t0_ns < step->t1_ns; j++) {
        write_event(f, v[j].op, v[j].is_wait ? "wait" : "op", i, v[j].t0_ns - start,
                    v[j].t1_ns - v[j].t0_ns, v[j].layer);
        end = v[j].t1_ns > end ? v[j].t1_ns : end;
    }
    write_event(f, "end", "wait", i, end - start, step->t1_ns - end, -1);
    return j;
}

int trace_write(const struct trace *t, const char *path, struct err *e)
{
    size_t n_steps;
    const struct trace_step *steps = trace_steps(t, &n_steps);
    FILE *f = fopen(path, "we");
    if (!f)
        return err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    const int64_t start = n_steps ? steps[0].t0_ns : 0;
    fprintf(f, "{\"displayTimeUnit\": \"ns\", \"traceEvents\": [\n"
               "{\"name\": \"process_name\", \"ph\": \"M\", \"pid\": 1, \"tid\": 0, \"args\": "
               "{\"name\": \"chaski bench\"}}");
    for (int i = 0; i < trace_n_threads(t); i++) {
        size_t n, j = 0;
        const struct trace_event *v = trace_events(t, i, &n);
        fprintf(f,
                ",\n{\"name\": \"thread_name\", \"ph\": \"M\", \"pid\": 1, \"tid\": %d, \"args\": "
                "{\"name\": \"thread %d\"}}",
                i, i);
        for (size_t s = 0; s < n_steps; s++)
            if (i < steps[s].n_threads)
                j = write_step(f, &steps[s], s, i, v, n, j, start);
    }
    fprintf(f, "\n]}\n");
    const bool bad = ferror(f) != 0;
    if (fclose(f) || bad)
        return err_set(e, ERR_IO, "%s: cannot write: %s", path, strerror(errno));
    return 0;
}

/* ---- summary --------------------------------------------------------------------------------- */

enum { MOST_OPS = 48 };
struct sums { /* of one kind of step: thread time in ns */
    int n_steps, n_threads, best_threads, rows;
    int64_t wall, all, waits, start_end;
    int64_t best_wall, best_lost; /* of the shortest step: what a quiet machine would show */
    struct {
        const char *op;
        int64_t ns; /* without waits */
    } ops[MOST_OPS];
    int n_ops;
};

static int64_t *op_time(struct sums *s, const char *op)
{
    for (int i = 0; i < s->n_ops; i++)
        if (!strcmp(s->ops[i].op, op))
            return &s->ops[i].ns;
    if (s->n_ops == MOST_OPS)
        return &s->ops[MOST_OPS - 1].ns;
    s->ops[s->n_ops].op = op;
    return &s->ops[s->n_ops++].ns;
}

/* Thread i's records of the step, from v[j] on; returns the first behind. */
static size_t add_thread(struct sums *s, const struct trace_step *step, const struct trace_event *v,
                         size_t n, size_t j)
{
    int64_t first = 0, last = 0, *open = NULL;
    for (; j < n && v[j].t0_ns < step->t1_ns; j++) {
        const int64_t ns = v[j].t1_ns - v[j].t0_ns;
        if (v[j].is_wait) {
            s->waits += ns;
            if (open)
                *open -= ns;
            continue;
        }
        open = op_time(s, v[j].op);
        *open += ns;
        first = first ? first : v[j].t0_ns;
        last = v[j].t1_ns;
    }
    if (first)
        s->start_end += (first - step->t0_ns) + (step->t1_ns - last);
    return j;
}

static int by_time(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

static void print_sums(struct sums *s)
{
    struct {
        int64_t ns;
        const char *op;
    } order[MOST_OPS];
    const double all = (double)s->all / 100;
    if (!s->n_steps || !(all > 0))
        return;
    fprintf(stderr,
            "trace: %d %s step%s of %d row%s on %d thread%s, %.3f ms each: %.1f %% of the threads' "
            "time "
            "lost in waiting (barriers %.1f %%, start and end %.1f %%); the shortest: %.3f ms, "
            "%.1f %%\n      ",
            s->n_steps, s->rows > 1 ? "prompt" : "generation", s->n_steps > 1 ? "s" : "", s->rows,
            s->rows > 1 ? "s" : "", s->n_threads, s->n_threads > 1 ? "s" : "",
            (double)s->wall / 1e6 / s->n_steps, (double)(s->waits + s->start_end) / all,
            (double)s->waits / all, (double)s->start_end / all, (double)s->best_wall / 1e6,
            100.0 * (double)s->best_lost / ((double)s->best_wall * s->best_threads));
    for (int i = 0; i < s->n_ops; i++) {
        order[i].ns = s->ops[i].ns;
        order[i].op = s->ops[i].op;
    }
    qsort(order, (size_t)s->n_ops, sizeof *order, by_time);
    for (int i = 0; i < s->n_ops; i++)
        fprintf(stderr, " %s %.1f %%%s", order[i].op, (double)order[i].ns / all,
                i + 1 < s->n_ops ? "," : "\n");
}

void trace_summary(const struct trace *t)
{
    size_t n_steps;
    const struct trace_step *steps = trace_steps(t, &n_steps);
    const int n_threads = trace_n_threads(t);
    size_t *at = calloc((size_t)n_threads + 1, sizeof *at);
    struct sums s[2] = {{0}}; /* generation, prompt */
    for (size_t i = 0; at && i < n_steps; i++) {
        struct sums *k = &s[steps[i].n_rows > 1];
        const int64_t wall = steps[i].t1_ns - steps[i].t0_ns;
        k->n_steps++;
        k->wall += wall;
        k->all += wall * steps[i].n_threads;
        k->rows = steps[i].n_rows > k->rows ? steps[i].n_rows : k->rows;
        k->n_threads = steps[i].n_threads > k->n_threads ? steps[i].n_threads : k->n_threads;
        const int64_t lost = k->waits + k->start_end;
        for (int j = 0; j < steps[i].n_threads; j++) {
            size_t n;
            const struct trace_event *v = trace_events(t, j, &n);
            at[j] = add_thread(k, &steps[i], v, n, at[j]);
        }
        if (!k->best_wall || wall < k->best_wall) {
            k->best_wall = wall;
            k->best_lost = k->waits + k->start_end - lost;
            k->best_threads = steps[i].n_threads;
        }
    }
    print_sums(&s[1]);
    print_sums(&s[0]);
    if (!trace_is_whole(t))
        fprintf(stderr, "trace: memory ended, the later steps are not in it\n");
    free(at);
}
