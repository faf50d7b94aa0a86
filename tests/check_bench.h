/* tests/check_bench.h - what the bench of check_kernels is made of: the kernels that it knows
 * (check_bench_kernels.c), the hardware counters (check_counters.c), the loop (check_bench.c). */
#ifndef CHASKI_TESTS_CHECK_BENCH_H
#define CHASKI_TESTS_CHECK_BENCH_H

#include <stdio.h>
#include "tests/check.h"

struct bench_options {
    const char *only; /* part of a kernel's name, or NULL */
    const char *isa;  /* names of tables with commas between, or NULL: all */
    int shape[3];     /* 0: the kernel's own shapes */
    int ms;           /* CPU time for each kernel, shape and table */
    bool counters, json;
};
int bench(const struct bench_options *o); /* 0; 1 after an error, which is printed to stderr */
void bench_list(FILE *f);                 /* kernels, what their shapes mean, tables */

/* ---- the kernels ----------------------------------------------------------------------------- */

/* What all tables of one kernel and shape share. */
struct bench_data {
    int m, n, k;
    struct mat w;
    size_t w_bytes;
    uint8_t *raw;     /* rows of the file */
    float *x, *y, *v; /* v: norm weights, the second input, (cos, sin) */
    struct attend at;
    struct arena mem;
};
/* One table's part. */
struct bench_side {
    const struct kernels *kernels;
    struct bench_data *d;
    int m; /* rows measured: ref takes only some, it is slow */
    struct acts a;
    void *scratch;
    double ops, bytes; /* of one call: 2 a multiply-add; what it must read and write at least */
    struct arena mem;
};
enum { BENCH_SHAPES = 4 };
struct bench_kernel {
    char name[32];     /* "mul_mat:Q4_K" */
    const char *means; /* M, N, K in words */
    const char *peak;  /* the roof (chaski roofline): "int4", "int8", "f32" */
    uint32_t arg;      /* type of the weights, kind of cache */
    int shapes[BENCH_SHAPES][3];
    int (*init)(struct bench_data *d, uint32_t arg, struct err *e);
    int (*side)(struct bench_side *s, uint32_t arg, struct err *e); /* may be NULL */
    void (*call)(struct bench_side *s, uint32_t arg);
    /* Does table a have it, and is it other code than b's? b NULL: does a have it at all? */
    bool (*own)(const struct kernels *a, const struct kernels *b, uint32_t arg);
};
/* All of them; the array lives as long as the program. */
const struct bench_kernel *bench_kernels(int *n);

/* ---- counters of the CPU, of the calling thread in user mode --------------------------------- */

/* 0, or -1 with the reason in *why. */
int counters_open(char *why, size_t cap);
void counters_read(uint64_t *cycles, uint64_t *instructions);

#endif
