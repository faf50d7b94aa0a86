/* kernels/peaks/peaks.c - measures what the machine can do (kernels/peaks/peaks.h).
 *
 * A measurement is one run of the crew. Its threads meet at a barrier before each window, so that
 * they truly run together, and the window's time is the longest of them from the first start on. */
#include "kernels/peaks/peaks.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "kernels/cpu.h"
#include "kernels/kernels.h"
#include "kernels/peaks/loops.h"

enum {
    MOST_WINDOWS = 8192,
    WINDOW_NS = 150000,    /* the barrier before it costs well under a per cent of that */
    CHUNK_BYTES = 4 << 20, /* of memory read in a window by a thread */
    BARRIERS = 256,        /* in a window */
};

/* ---- the loops of all ISAs ------------------------------------------------------------------- */

static void read_c(const uint8_t *p, size_t n) /* what any compiler makes of it */
{
    const uint64_t *w = (const void *)p;
    uint64_t a = 0, b = 0, c = 0, d = 0;
    for (size_t i = 0; i < n / 8; i += 4) {
        a += w[i];
        b += w[i + 1];
        c += w[i + 2];
        d += w[i + 3];
    }
    a += b + c + d;
    __asm__ volatile("" : : "r"(a)); /* it is wanted */
}

static const struct peak_isa peaks_ref = {.readers = {{"C", read_c}}};

static const struct {
    const struct peak_isa *isa;
    unsigned needs; /* cpu_flag */
} isas[] = {
    {&peaks_ref, 0},
#ifdef HAVE_AVX2
    {&peaks_avx2, CPU_AVX2},
#endif
#ifdef HAVE_AVXVNNI
    {&peaks_avxvnni, CPU_AVXVNNI},
#endif
#ifdef HAVE_AVX512
    {&peaks_avx512, CPU_AVX512},
#endif
#ifdef HAVE_AVX512VNNI
    {&peaks_avx512vnni, CPU_AVX512VNNI},
#endif
#ifdef HAVE_AMX
    {&peaks_amx, CPU_AMX},
#endif
#ifdef HAVE_NEON
    {&peaks_neon, CPU_NEON},
#endif
#ifdef HAVE_DOTPROD
    {&peaks_dotprod, CPU_DOTPROD},
#endif
#ifdef HAVE_I8MM
    {&peaks_i8mm, CPU_I8MM},
#endif
};
enum { N_ISAS = sizeof isas / sizeof *isas };

int peaks_loops(const struct peak_loop **out, int cap)
{
    int n = 0;
    for (int i = 0; i < N_ISAS; i++) {
        if ((cpu_flags() & isas[i].needs) != isas[i].needs)
            continue;
        for (int j = 0; j < PEAK_LOOPS && isas[i].isa->loops[j].name; j++)
            if (n < cap)
                out[n++] = &isas[i].isa->loops[j];
    }
    return n;
}

const struct peak_loop *peaks_roof(const char *table, enum peak_kind kind)
{
    enum { MOST = N_ISAS * PEAK_LOOPS };
    const struct peak_loop *l[MOST], *best = NULL;
    const struct kernels *k[16];
    const int n = peaks_loops(l, MOST), n_k = kernels_all(k, 16);
    while (table && !best) { /* the table called so, then its base .. */
        const char *base = NULL;
        for (int i = 0; i < n_k; i++)
            if (!strcmp(k[i]->name, table))
                base = k[i]->base;
        for (int i = 0; i < n; i++)
            if ((l[i]->kinds & kind) && !strcmp(l[i]->table, table))
                best = l[i];
        table = base;
    }
    return best;
}

static int readers(const struct peak_reader **out, int cap) /* of the ISAs that bring some */
{
    int n = 0;
    for (int i = N_ISAS - 1; i >= 0; i--) {
        if ((cpu_flags() & isas[i].needs) != isas[i].needs || (n && !isas[i].needs))
            continue;
        for (int j = 0; j < PEAK_READERS && isas[i].isa->readers[j].name; j++)
            if (n < cap)
                out[n++] = &isas[i].isa->readers[j];
    }
    return n;
}

/* ---- windows --------------------------------------------------------------------------------- */

struct span { /* one thread's window; a line of its own: nobody else writes here */
    _Alignas(64) int64_t t0, t1;
    size_t at; /* where the thread reads on */
};

struct peaks {
    struct crew *crew;
    int n_all;
    uint8_t *buffer;
    size_t buffer_bytes;
    struct span *spans;
    double *rates; /* of the windows */
    /* the run: */
    int n;
    void (*body)(struct peaks *p, int i); /* a window of thread i */
    const struct peak_loop *loop;
    const struct peak_reader *reader;
    size_t bytes_each;
    int64_t reps; /* rounds, passes, adds in a window */
    double work;  /* of a window and all threads */
    int64_t end_ns;
    int n_rates, most_rates;
    bool stop;
};

static void run_windows(void *arg, int i)
{
    struct peaks *p = arg;
    for (;;) {
        crew_barrier(p->crew, i);
        if (p->stop)
            return;
        p->spans[i].t0 = time_mono_ns();
        p->body(p, i);
        p->spans[i].t1 = time_mono_ns();
        crew_barrier(p->crew, i);
        if (i)
            continue;
        int64_t t0 = p->spans[0].t0, t1 = p->spans[0].t1;
        for (int j = 1; j < p->n; j++) {
            t0 = p->spans[j].t0 < t0 ? p->spans[j].t0 : t0;
            t1 = p->spans[j].t1 > t1 ? p->spans[j].t1 : t1;
        }
        if (t1 > t0)
            p->rates[p->n_rates++] = p->work * 1e9 / (double)(t1 - t0);
        p->stop = t1 >= p->end_ns || p->n_rates >= p->most_rates;
    }
}

static void run(struct peaks *p, int n, int64_t budget_ns, int most)
{
    p->n = n;
    p->stop = false;
    p->n_rates = 0;
    p->most_rates = most;
    p->end_ns = time_mono_ns() + budget_ns;
    crew_run(p->crew, n, run_windows, p);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* `work`: of one rep of one thread. Finds reps that fill a window, then measures. */
static void measure(struct peaks *p, int n, int64_t budget_ns, double work, struct peak_rate *r)
{
    n = n < 1 ? 1 : n > p->n_all ? p->n_all : n;
    for (p->reps = 1; p->reps < 1 << 30; p->reps *= 4) {
        p->work = 1;
        run(p, 1, 0, 1);
        if (p->n_rates && 1e9 / p->rates[0] >= WINDOW_NS / 4)
            break;
    }
    const double ns = p->n_rates ? 1e9 / p->rates[0] : 1;
    if (ns < WINDOW_NS)
        p->reps = (int64_t)((double)p->reps * (WINDOW_NS / ns)) + 1;
    p->work = work * (double)p->reps * n;
    run(p, n, budget_ns, MOST_WINDOWS);
    qsort(p->rates, (size_t)p->n_rates, sizeof *p->rates, by_size);
    const int m = p->n_rates;
    *r = (struct peak_rate){0};
    if (m) /* the fastest windows are the last ones */
        *r = (struct peak_rate){p->rates[m - 1], p->rates[m - 1 - m / 10], p->rates[m / 2], m};
}

/* ---- what is measured ------------------------------------------------------------------------ */

static void adds(struct peaks *p, int i)
{
    (void)i;
    uint64_t x = 1;
    const uint64_t y = (uint64_t)p->reps; /* in a register: new CPUs fold adds of constants */
#define ADD4                                                                                       \
    x += y;                                                                                        \
    __asm__ volatile("" : "+r"(x));                                                                \
    x += y;                                                                                        \
    __asm__ volatile("" : "+r"(x));                                                                \
    x += y;                                                                                        \
    __asm__ volatile("" : "+r"(x));                                                                \
    x += y;                                                                                        \
    __asm__ volatile("" : "+r"(x));
    for (int64_t k = 0; k < p->reps; k++) {
        ADD4 ADD4 ADD4 ADD4 ADD4 ADD4 ADD4 ADD4 ADD4 ADD4 ADD4 ADD4 ADD4 ADD4 ADD4 ADD4
    }
#undef ADD4
}

void peaks_clock(struct peaks *p, int n, int64_t budget_ns, struct peak_rate *r)
{
    p->body = adds;
    measure(p, n, budget_ns, 64, r);
    r->best /= n;
    r->p10 /= n;
    r->median /= n;
}

static void rounds(struct peaks *p, int i)
{
    (void)i;
    p->loop->run(p->reps);
}

void peaks_run(struct peaks *p, const struct peak_loop *l, int n, int64_t budget_ns,
               struct peak_rate *r)
{
    p->loop = l;
    p->body = rounds;
    measure(p, n, budget_ns, l->ops, r);
}

/* Thread i's part of the buffer. */
static uint8_t *part(const struct peaks *p, int i, size_t *bytes)
{
    *bytes = p->buffer_bytes / (size_t)p->n / 4096 * 4096;
    return p->buffer + (size_t)i * *bytes;
}

static void read_again(struct peaks *p, int i)
{
    size_t n;
    const uint8_t *at = part(p, i, &n);
    n = p->bytes_each < n ? p->bytes_each : n;
    for (int64_t k = 0; k < p->reps; k++)
        p->reader->read(at, n);
}

static void read_on(struct peaks *p, int i)
{
    size_t n;
    const uint8_t *at = part(p, i, &n);
    struct span *s = &p->spans[i];
    for (int64_t k = 0; k < p->reps; k++) {
        if (s->at + CHUNK_BYTES > n)
            s->at = 0;
        p->reader->read(at + s->at, CHUNK_BYTES);
        s->at += CHUNK_BYTES;
    }
}

void peaks_read(struct peaks *p, size_t bytes_each, int n, int64_t budget_ns, struct peak_rate *r,
                const char **how)
{
    enum { MOST = N_ISAS * PEAK_READERS };
    const struct peak_reader *all[MOST];
    const int n_readers = readers(all, MOST);
    *r = (struct peak_rate){0};
    n = n < 1 ? 1 : n > p->n_all ? p->n_all : n;
    p->bytes_each = bytes_each / 4096 * 4096;
    p->body = bytes_each ? read_again : read_on;
    /* Half of the time to find the fastest, half for it alone. */
    const double work = bytes_each ? (double)p->bytes_each : CHUNK_BYTES;
    int fastest = 0;
    for (int i = 0; i <= n_readers; i++) {
        const bool last = i == n_readers;
        struct peak_rate one;
        p->reader = all[last ? fastest : i];
        measure(p, n, last ? budget_ns / 2 : budget_ns / 2 / n_readers, work, &one);
        if (one.best <= r->best)
            continue;
        *r = one;
        fastest = last ? fastest : i;
    }
    if (how)
        *how = all[fastest]->name;
}

static void barriers(struct peaks *p, int i)
{
    for (int64_t k = 0; k < p->reps * BARRIERS; k++)
        crew_barrier(p->crew, i);
}

void peaks_barrier(struct peaks *p, int n, int64_t budget_ns, struct peak_rate *r)
{
    n = n < 1 ? 1 : n > p->n_all ? p->n_all : n;
    p->body = barriers;
    p->reps = 1;
    p->work = BARRIERS;
    run(p, n, budget_ns, MOST_WINDOWS);
    qsort(p->rates, (size_t)p->n_rates, sizeof *p->rates, by_size);
    const int m = p->n_rates;
    *r = (struct peak_rate){0};
    if (m)
        *r = (struct peak_rate){p->rates[m - 1], p->rates[m - 1 - m / 10], p->rates[m / 2], m};
}

/* ---- life ------------------------------------------------------------------------------------ */

static void touch(void *arg, int i) /* by the thread that will read it: its memory lies near it */
{
    struct peaks *p = arg;
    size_t n;
    uint8_t *at = part(p, i, &n);
    memset(at, 1, n);
}

struct peaks *peaks_new(int n_threads, size_t buffer_bytes, struct err *e)
{
    struct peaks *p = calloc(1, sizeof *p);
    if (!p) {
        err_set(e, ERR_MEMORY, "no memory to measure in");
        return NULL;
    }
    if (!buffer_bytes) {
        const size_t page = (size_t)sysconf(_SC_PAGESIZE),
                     eighth = (size_t)sysconf(_SC_PHYS_PAGES) / 8;
        buffer_bytes = (size_t)1 << 30;
        if (eighth * page < buffer_bytes)
            buffer_bytes = eighth * page;
    }
    if (!(p->crew = crew_new(n_threads, e)))
        goto failed;
    p->n = p->n_all = crew_size(p->crew);
    if (buffer_bytes < (size_t)p->n_all * 2 * CHUNK_BYTES)
        buffer_bytes = (size_t)p->n_all * 2 * CHUNK_BYTES;
    p->buffer_bytes = buffer_bytes;
    p->buffer = big_alloc(buffer_bytes);
    p->spans = aligned_alloc(64, (size_t)p->n_all * sizeof *p->spans);
    p->rates = malloc(MOST_WINDOWS * sizeof *p->rates);
    if (!p->buffer || !p->spans || !p->rates) {
        err_set(e, ERR_MEMORY, "no memory for a buffer of %zu bytes", buffer_bytes);
        goto failed;
    }
    memset(p->spans, 0, (size_t)p->n_all * sizeof *p->spans);
    crew_run(p->crew, p->n, touch, p);
    return p;
failed:
    peaks_free(p);
    return NULL;
}

void peaks_free(struct peaks *p)
{
    if (!p)
        return;
    crew_free(p->crew);
    if (p->buffer)
        big_free(p->buffer, p->buffer_bytes);
    free(p->spans);
    free(p->rates);
    free(p);
}

int peaks_threads(const struct peaks *p)
{
    return p->n_all;
}

size_t peaks_buffer_bytes(const struct peaks *p)
{
    return p->buffer_bytes;
}
