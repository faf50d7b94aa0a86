/* tools/roofline.c - `chaski roofline`: the limits of this machine.
 *
 * Facts: shared/performance.md, section 1. The loops and the clock are kernels/peaks; here is the
 * list of what is measured, on 1, 2, 4 .. N threads, within --seconds, and its two forms. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "kernels/peaks/peaks.h"
#include "tools/args.h"
#include "tools/commands.h"

enum { MOST_LOOPS = 32, MOST_ROWS = MOST_LOOPS + 8, MOST_COUNTS = 12 };

enum what { CLOCK, LOOP, READ, BARRIER };
struct row {
    enum what what;
    const struct peak_loop *loop;
    const char *level; /* of READ */
    size_t bytes;      /* of READ: what all threads read again and again; 0: the memory */
    bool shared;       /* the bytes are shared by the threads, else each has so many */
    const char *how;   /* the fastest loop of READ with all threads */
    struct peak_rate rate[MOST_COUNTS];
};
struct table {
    struct row rows[MOST_ROWS];
    int n_rows;
    int counts[MOST_COUNTS], n_counts;
};

static struct row *add(struct table *t, enum what what)
{
    struct row *r = &t->rows[t->n_rows++];
    *r = (struct row){.what = what};
    return r;
}

static void add_read(struct table *t, const char *level, size_t bytes, bool shared)
{
    struct row *r = add(t, READ);
    r->level = level;
    r->bytes = bytes;
    r->shared = shared;
}

static size_t cache(int name, size_t if_unknown)
{
    const long n = sysconf(name);
    return n > 0 ? (size_t)n : if_unknown;
}

static void plan(struct table *t, int n_threads)
{
    const struct peak_loop *loops[MOST_LOOPS];
    const int n = peaks_loops(loops, MOST_LOOPS);
    for (int c = 1; c < n_threads && t->n_counts < MOST_COUNTS - 1; c *= 2)
        t->counts[t->n_counts++] = c;
    t->counts[t->n_counts++] = n_threads;
    add(t, CLOCK);
    for (int i = 0; i < n; i++)
        add(t, LOOP)->loop = loops[i];
    const size_t l1 = cache(_SC_LEVEL1_DCACHE_SIZE, 32 << 10), l2 = cache(_SC_LEVEL2_CACHE_SIZE, 0),
                 l3 = cache(_SC_LEVEL3_CACHE_SIZE, 0);
    add_read(t, "L1", l1 / 4 * 3, false);
    if (l2 > l1)
        add_read(t, "L2", l2 / 2, false);
    if (l3 / 2 > 2 * l2) /* strangers use it too: a quarter, and not much */
        add_read(t, "L3", l3 / 4 < 8 << 20 ? l3 / 4 : 8 << 20, true);
    add_read(t, "memory", 0, true);
    if (n_threads > 1)
        add(t, BARRIER);
}

static void measure(struct peaks *p, struct table *t, double seconds)
{
    const int64_t each = (int64_t)(seconds * 1e9 / (t->n_rows + 2) / t->n_counts);
    for (int i = 0; i < t->n_rows; i++) {
        struct row *r = &t->rows[i];
        for (int j = 0; j < t->n_counts; j++) {
            const int n = t->counts[j];
            switch (r->what) {
            case CLOCK:
                peaks_clock(p, n, each / 2, &r->rate[j]);
                break;
            case LOOP:
                peaks_run(p, r->loop, n, each, &r->rate[j]);
                break;
            case READ: /* memory is what most depends on: three times as long */
                peaks_read(p, r->shared ? r->bytes / (size_t)n : r->bytes, n,
                           r->bytes ? each : 3 * each, &r->rate[j], &r->how);
                break;
            case BARRIER:
                if (n > 1)
                    peaks_barrier(p, n, each / 2, &r->rate[j]);
                break;
            }
        }
    }
}

/* ---- output ---------------------------------------------------------------------------------- */

static void describe(const struct row *r, char *name, size_t cap, const char **unit)
{
    static const char *const units[] = {"GHz", "GOP/s", "GB/s", "ns"};
    *unit = units[r->what];
    switch (r->what) {
    case CLOCK:
        snprintf(name, cap, "clock (chain of adds)");
        break;
    case LOOP:
        snprintf(name, cap, "%s, %s",
                 r->loop->kinds & PEAK_F32     ? "f32"
                 : r->loop->kinds & PEAK_ALONE ? "multiply alone"
                 : r->loop->kinds == PEAK_INT4 ? "int8, weights to 6 bits"
                 : r->loop->kinds == PEAK_INT8 ? "int8, weights of 8 bits"
                                               : "int8",
                 r->loop->table);
        break;
    case READ:
        if (r->bytes)
            snprintf(name, cap, "read %s, %zu KiB%s", r->level, r->bytes >> 10,
                     r->shared ? " together" : " each");
        else
            snprintf(name, cap, "read memory");
        break;
    case BARRIER:
        snprintf(name, cap, "a barrier of the crew");
        break;
    }
}

static const char *how(const struct row *r)
{
    return r->what == LOOP ? r->loop->name : r->what == READ && r->how ? r->how : "";
}

/* A rate in the row's unit. */
static double shown(const struct row *r, double rate)
{
    return r->what == BARRIER ? (rate > 0 ? 1e9 / rate : 0) : rate / 1e9;
}

static void print_table(const struct table *t, const char *cpu, size_t buffer_bytes)
{
    printf("%s; best windows; memory: a buffer of %zu MiB\n\n| limit |", cpu, buffer_bytes >> 20);
    for (int j = 0; j < t->n_counts; j++)
        printf(" %d thread%s |", t->counts[j], t->counts[j] > 1 ? "s" : "");
    printf(" unit | p10 / best | how |\n| --- |");
    for (int j = 0; j < t->n_counts; j++)
        printf(" ---: |");
    printf(" --- | ---: | --- |\n");
    for (int i = 0; i < t->n_rows; i++) {
        const struct row *r = &t->rows[i];
        const struct peak_rate *last = &r->rate[t->n_counts - 1];
        char name[96];
        const char *unit;
        describe(r, name, sizeof name, &unit);
        printf("| %s |", name);
        for (int j = 0; j < t->n_counts; j++) {
            if (r->rate[j].windows)
                printf(r->what == CLOCK ? " %.2f |" : " %.1f |", shown(r, r->rate[j].best));
            else
                printf(" |");
        }
        printf(" %s | %.2f | %s |\n", unit, last->best > 0 ? last->p10 / last->best : 0, how(r));
    }
    printf("\nGOP/s count two for a multiply-add. p10 / best, of the last column, well under 1: "
           "others "
           "use the machine.\n");
}

static int print_json(const struct table *t, const char *cpu, size_t buffer_bytes)
{
    static const char *const words[] = {"clock", "ops", "read", "barrier"};
    json_t *rows = json_array();
    for (int i = 0; i < t->n_rows; i++) {
        const struct row *r = &t->rows[i];
        json_t *kinds = json_array();
        if (r->what == LOOP) {
            if (r->loop->kinds & PEAK_F32)
                json_array_append_new(kinds, json_string("f32"));
            if (r->loop->kinds & PEAK_INT4)
                json_array_append_new(kinds, json_string("int4"));
            if (r->loop->kinds & PEAK_INT8)
                json_array_append_new(kinds, json_string("int8"));
        }
        for (int j = 0; j < t->n_counts; j++) {
            const struct peak_rate *p = &r->rate[j];
            char name[96];
            const char *unit;
            describe(r, name, sizeof name, &unit);
            if (!p->windows)
                continue;
            json_array_append_new(
                rows,
                json_pack("{s:s, s:s, s:s*, s:s*, s:I, s:O, s:s, s:i, s:s, s:f, s:f, s:f, s:i}",
                          "what", words[r->what], "name", name, "table",
                          r->what == LOOP ? r->loop->table : NULL, "level", r->level, "bytes",
                          (json_int_t)r->bytes, "kinds", kinds, "how", how(r), "threads",
                          t->counts[j], "unit", unit, "best", shown(r, p->best), "p10",
                          shown(r, p->p10), "median", shown(r, p->median), "windows", p->windows));
        }
        json_decref(kinds);
    }
    json_t *all =
        json_pack("{s:s, s:i, s:I, s:o}", "cpu", cpu, "threads", t->counts[t->n_counts - 1],
                  "buffer_bytes", (json_int_t)buffer_bytes, "rows", rows);
    char *text = all ? json_dumps(all, JSON_INDENT(1)) : NULL;
    json_decref(all);
    if (!text)
        return -1;
    puts(text);
    free(text);
    return 0;
}

static void cpu_name(char *out, size_t cap)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "re");
    snprintf(out, cap, "unknown CPU");
    while (f && fgets(line, sizeof line, f)) {
        const char *p = strchr(line, ':');
        if (!p || p[1] != ' ' || strncmp(line, "model name", 10))
            continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(out, cap, "%s", p + 2);
        break;
    }
    if (f)
        fclose(f);
}

int cmd_roofline(int argc, char **argv)
{
    long threads = 0, seconds = 5;
    bool json = false;
    const struct arg_flag flags[] = {
        {"threads", 't', ARG_INT, &threads, "most threads (0: as many as this machine gives)"},
        {"seconds", 's', ARG_INT, &seconds, "how long to measure, about (default 5)"},
        {"json", 0, ARG_BOOL, &json, "print JSON"},
        {0},
    };
    const struct command about = {
        .name = "roofline",
        .use = "",
        .about = "Measure the limits of this machine: clock, multiply-adds, reading",
        .flags = flags,
    };
    int words;
    const int status = args_parse(&about, argc, argv, &words);
    if (status >= 0)
        return status;
    if (threads < 0 || threads > 512 || seconds < 1 || seconds > 3600)
        return fail_with(EXIT_USAGE, "-t or -s is out of range");
    struct err e = {0};
    struct table *t = calloc(1, sizeof *t);
    struct peaks *p = peaks_new((int)threads, 0, &e);
    int rc = 1;
    if (p && t) {
        char cpu[200];
        cpu_name(cpu, sizeof cpu);
        plan(t, peaks_threads(p));
        measure(p, t, (double)seconds);
        rc = 0;
        if (json)
            rc = print_json(t, cpu, peaks_buffer_bytes(p)) ? 1 : 0;
        else
            print_table(t, cpu, peaks_buffer_bytes(p));
    }
    if (rc)
        fail_with(EXIT_FAILED, "%s", e.text[0] ? e.text : "no memory");
    peaks_free(p);
    free(t);
    return rc;
}
