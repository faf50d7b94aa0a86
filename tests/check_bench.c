/* tests/check_bench.c - speed of single kernels on one thread: check_kernels --bench.
 *
 * The clock is the thread's CPU time: a stranger who takes the CPU away does not count. Reading it
 * costs 0.5 us, so calls are timed in windows of at least 100 us. The tables of one kernel and
 * shape are measured in turn, a window each: what disturbs the machine then disturbs them alike,
 * and their ratio holds where their figures waver. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "tests/check_bench.h"

enum { MOST_WINDOWS = 4096, WINDOW_NS = 100000, LEAST_WINDOWS = 5 };

static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

struct timed { /* one table at one kernel and shape */
    struct bench_side s;
    int reps, n; /* calls a window, windows */
    int64_t spent_ns;
    double ns[MOST_WINDOWS];     /* of one call */
    double cycles, instructions; /* the least of a call; 0: not known */
};

static void window(struct timed *t, const struct bench_kernel *b, bool counters)
{
    uint64_t c0 = 0, i0 = 0, c1 = 0, i1 = 0;
    if (counters)
        counters_read(&c0, &i0);
    const int64_t t0 = cpu_ns();
    for (int i = 0; i < t->reps; i++)
        b->call(&t->s, b->arg);
    const int64_t ns = cpu_ns() - t0;
    if (counters)
        counters_read(&c1, &i1);
    t->spent_ns += ns;
    t->ns[t->n++] = (double)ns / t->reps;
    const double cycles = (double)(c1 - c0) / t->reps, ins = (double)(i1 - i0) / t->reps;
    if (counters && (!(t->cycles > 0) || cycles < t->cycles)) {
        t->cycles = cycles;
        t->instructions = ins;
    }
}

/* Warm up, and find how many calls fill a window. */
static void calibrate(struct timed *t, const struct bench_kernel *b)
{
    b->call(&t->s, b->arg);
    for (t->reps = 1;;) {
        t->n = 0;
        window(t, b, false);
        const double ns = t->ns[0] * t->reps;
        if (ns >= WINDOW_NS || t->reps > 1 << 24)
            break;
        const int more = ns > 0 ? (int)(t->reps * (1.05 * WINDOW_NS / ns)) + 1 : 2 * t->reps;
        t->reps = more > 10 * t->reps ? 10 * t->reps : more;
    }
    t->n = 0;
    t->spent_ns = 0;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ---- output ---------------------------------------------------------------------------------- */

struct report {
    bool json, counters;
    char no_counters[160]; /* why not */
    int n_lines;
};

static void cpu_name(char *out, size_t cap)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "re");
    snprintf(out, cap, "unknown CPU");
    while (f && fgets(line, sizeof line, f)) {
        char *p = strchr(line, ':');
        if (!p || strncmp(line, "model name", 10))
            continue;
        p[strcspn(p, "\"\\\n")] = 0;
        snprintf(out, cap, "%s", p + 2);
        break;
    }
    if (f)
        fclose(f);
}

static void head(const struct report *r)
{
    char cpu[200];
    cpu_name(cpu, sizeof cpu);
    if (r->json) {
        printf("{\"cpu\": \"%s\", \"counters\": %s, \"no_counters\": \"%s\", \"bases\": {", cpu,
               r->counters ? "true" : "false", r->no_counters);
        for (int i = 0; i < n_all; i++)
            printf("%s\"%s\": \"%s\"", i ? ", " : "", all[i]->name,
                   all[i]->base ? all[i]->base : "");
        printf("},\n \"results\": [");
        return;
    }
    printf("%s; one thread, CPU time, rates of the best window\n", cpu);
    if (r->no_counters[0])
        printf("no counters: %s\n", r->no_counters);
    printf("%-16s %-16s %-14s %12s %12s %12s %9s %8s", "kernel", "shape", "table", "best ns", "p10",
           "median", "GOP/s", "GB/s");
    if (r->counters)
        printf(" %12s %12s %9s", "cycles", "instr.", "MAC/cycle");
    printf(" %7s\n", "times");
}

static void line(struct report *r, const struct bench_kernel *b, struct timed *t, const char *from,
                 double *first_gops)
{
    const struct bench_side *s = &t->s;
    qsort(t->ns, (size_t)t->n, sizeof *t->ns, by_size);
    const double best = t->ns[0], p10 = t->ns[t->n / 10], median = t->ns[t->n / 2];
    const double gops = s->ops / best, gbs = s->bytes / best;
    const double mac = t->cycles > 0 ? s->ops / 2 / t->cycles : 0;
    /* By rate and not by time: ref multiplies only some of the rows. */
    if (!(*first_gops > 0))
        *first_gops = gops;
    const double times = gops / *first_gops;
    if (r->json) {
        printf(
            "%s\n  {\"kernel\": \"%s\", \"table\": \"%s\", \"from\": \"%s\", \"shape\": [%d, %d, "
            "%d], \"peak\": \"%s\", \"ns\": %.2f, \"ns_p10\": %.2f, \"ns_median\": %.2f, "
            "\"windows\": %d, \"calls_a_window\": %d, \"ops\": %.0f, \"bytes\": %.0f, \"gops\": "
            "%.3f, \"gbs\": %.3f",
            r->n_lines ? "," : "", b->name, s->kernels->name, from, s->m, s->d->n, s->d->k, b->peak,
            best, p10, median, t->n, t->reps, s->ops, s->bytes, gops, gbs);
        if (r->counters)
            printf(", \"cycles\": %.1f, \"instructions\": %.1f, \"mac_per_cycle\": %.2f", t->cycles,
                   t->instructions, mac);
        printf(", \"times\": %.3f}", times);
    } else {
        char shape[48];
        snprintf(shape, sizeof shape, "%dx%dx%d", s->m, s->d->n, s->d->k);
        printf("%-16s %-16s %-14s %12.1f %12.1f %12.1f %9.2f %8.2f", b->name, shape,
               s->kernels->name, best, p10, median, gops, gbs);
        if (r->counters)
            printf(" %12.1f %12.1f %9.2f", t->cycles, t->instructions, mac);
        printf(" %7.2f", times);
        if (strcmp(from, s->kernels->name))
            printf("  (%s's)", from);
        printf("\n");
    }
    fflush(stdout);
    r->n_lines++;
}

void bench_list(FILE *f)
{
    int n;
    const struct bench_kernel *b = bench_kernels(&n);
    fprintf(f, "tables on this CPU:");
    for (int i = 0; i < n_all; i++)
        fprintf(f, " %s", all[i]->name);
    fprintf(f, "\nkernels, and what MxNxK means:\n");
    for (int i = 0; i < n; i++)
        fprintf(f, "  %-16s %s\n", b[i].name, b[i].means);
}

/* ---- which, and the loop --------------------------------------------------------------------- */

/* The table whose code `k` runs: the first one that has the same. */
static const char *owner(const struct bench_kernel *b, const struct kernels *k)
{
    for (int i = 0; i < n_all; i++)
        if (b->own(all[i], NULL, b->arg) && !b->own(k, all[i], b->arg))
            return all[i]->name;
    return k->name;
}

static int measure(struct report *r, const struct bench_kernel *b, const struct bench_options *o,
                   const int shape[3], const struct kernels *const *tables, int n_tables)
{
    struct err e = {0};
    struct bench_data d = {.m = shape[0], .n = shape[1], .k = shape[2]};
    struct timed *t = calloc((size_t)n_tables, sizeof *t);
    int rc = -1, n = 0;
    if (!t) {
        err_set(&e, ERR_MEMORY, "no memory for %d tables", n_tables);
        goto done;
    }
    rnd_seed(1);
    if (b->init(&d, b->arg, &e))
        goto done;
    for (int i = 0; i < n_tables; i++) {
        /* Asked for by name: measured even if it is another table's code. */
        bool skip = !b->own(tables[i], NULL, b->arg) ||
                    (!o->isa && strcmp(owner(b, tables[i]), tables[i]->name));
        if (skip)
            continue;
        t[n].s = (struct bench_side){.kernels = tables[i], .d = &d, .m = d.m};
        n++;
        if (b->side && b->side(&t[n - 1].s, b->arg, &e))
            goto done;
        calibrate(&t[n - 1], b);
    }
    for (bool more = true; more;) {
        more = false;
        for (int i = 0; i < n; i++) {
            const bool enough = t[i].spent_ns >= (int64_t)o->ms * 1000000 &&
                                (t[i].n >= LEAST_WINDOWS || t[i].spent_ns > 2000000000);
            if (t[i].n == MOST_WINDOWS || enough)
                continue;
            window(&t[i], b, r->counters);
            more = true;
        }
    }
    double first_gops = 0;
    for (int i = 0; i < n; i++)
        line(r, b, &t[i], owner(b, t[i].s.kernels), &first_gops);
    rc = 0;
done:
    if (rc)
        fprintf(stderr, "check_kernels: %s, shape %dx%dx%d (%s): %s\n", b->name, d.m, d.n, d.k,
                b->means, e.text);
    for (int i = 0; i < n; i++)
        arena_free(&t[i].s.mem);
    free(t);
    arena_free(&d.mem);
    if (d.w.data)
        big_free(d.w.data, d.w_bytes);
    return rc;
}

/* The tables called so in "a,b", or all. */
static int pick_tables(const char *names, const struct kernels **out)
{
    int n = 0;
    if (!names) {
        memcpy(out, all, sizeof all);
        return n_all;
    }
    for (const char *p = names; *p;) {
        const size_t len = strcspn(p, ",");
        int found = -1;
        for (int i = 0; i < n_all; i++)
            if (strlen(all[i]->name) == len && !memcmp(all[i]->name, p, len))
                found = i;
        if (found < 0 || n == MAX_TABLES) {
            fprintf(stderr,
                    "check_kernels: no table \"%.*s\" runs on this CPU; there are:", (int)len, p);
            for (int i = 0; i < n_all; i++)
                fprintf(stderr, " %s", all[i]->name);
            fprintf(stderr, "\n");
            return -1;
        }
        out[n++] = all[found];
        p += len + (p[len] == ',');
    }
    return n;
}

int bench(const struct bench_options *o)
{
    const struct kernels *tables[MAX_TABLES];
    const int n_tables = pick_tables(o->isa, tables);
    int n, n_met = 0, rc = 0;
    const struct bench_kernel *b = bench_kernels(&n);
    struct report r = {.json = o->json};
    if (n_tables < 0)
        return 2;
    for (int i = 0; i < n; i++)
        n_met += !o->only || strstr(b[i].name, o->only);
    if (!n_met) {
        fprintf(stderr, "check_kernels: no kernel's name has \"%s\" in it\n", o->only);
        bench_list(stderr);
        return 2;
    }
    r.counters = o->counters && !counters_open(r.no_counters, sizeof r.no_counters);
    head(&r);
    for (int i = 0; i < n; i++) {
        if (o->only && !strstr(b[i].name, o->only))
            continue;
        if (o->shape[0])
            rc |= measure(&r, &b[i], o, o->shape, tables, n_tables);
        for (int j = 0; !o->shape[0] && j < BENCH_SHAPES && b[i].shapes[j][0]; j++)
            rc |= measure(&r, &b[i], o, b[i].shapes[j], tables, n_tables);
    }
    if (r.json)
        printf("\n]}\n");
    return rc ? 1 : 0;
}
