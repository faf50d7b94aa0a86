/* kernels/peaks/peaks.h - what this machine can do at all: clock, multiply-adds, reading.
 *
 * Facts: shared/performance.md, section 1: which loops, and why the *mix* that a kernel needs is
 * the roof and not the multiply alone. The threads of a crew start each window together (a
 * barrier); a window's time is from the first start to the last end, by the wall. On a machine that
 * others use the best window is the machine's figure, and p10 and median say how much it was
 * disturbed. */
#ifndef CHASKI_PEAKS_H
#define CHASKI_PEAKS_H

#include <stddef.h>
#include <stdint.h>
#include "gguf/base.h"

enum peak_kind {                /* bits: what a loop is the roof of */
                 PEAK_F32 = 1,  /* products of f32, f16, bf16 weights */
                 PEAK_INT4 = 2, /* products of weights of up to 6 bits */
                 PEAK_INT8 = 4, /* products of weights of 8 bits */
                 PEAK_ALONE =
                     8, /* a multiply without what must follow it: no kernel can reach this */
};
struct peak_loop {
    const char *table; /* the ISA, named as its table of kernels */
    const char *name;  /* the instructions */
    unsigned kinds;    /* enum peak_kind */
    double ops;        /* of one round; a multiply-add is two */
    void (*run)(int64_t rounds);
};
/* The loops that this CPU can run, weakest ISA first; returns how many were written. */
int peaks_loops(const struct peak_loop **out, int cap);
/* The roof of that kind for kernels of `table`: its own loop, or the one of its base, and so on. NULL:
 * this CPU has none. */
const struct peak_loop *peaks_roof(const char *table, enum peak_kind kind);

struct peak_rate { /* a second; of all threads together */
    double best, p10, median;
    int windows;
};
struct peaks; /* a crew and the memory that is read; one user at a time */
/* n_threads 0: as crew_new. buffer_bytes 0: 1 GiB, or an eighth of the machine's memory if that is
 * less. NULL after an error. */
struct peaks *peaks_new(int n_threads, size_t buffer_bytes, struct err *e);
void peaks_free(struct peaks *p);
int peaks_threads(const struct peaks *p);
size_t peaks_buffer_bytes(const struct peaks *p);

/* Each measures on n threads for about budget_ns. */
void peaks_clock(struct peaks *p, int n, int64_t budget_ns,
                 struct peak_rate *r); /* cycles of one */
void peaks_run(struct peaks *p, const struct peak_loop *l, int n, int64_t budget_ns,
               struct peak_rate *r);
/* Bytes. bytes_each: what a thread reads again and again (a cache's size); 0 = its part of the
 * whole buffer, on and on: the memory. *how (may be NULL): the loop that was the fastest. */
void peaks_read(struct peaks *p, size_t bytes_each, int n, int64_t budget_ns, struct peak_rate *r,
                const char **how);
void peaks_barrier(struct peaks *p, int n, int64_t budget_ns, struct peak_rate *r);

#endif
