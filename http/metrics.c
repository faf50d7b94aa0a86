/* http/metrics.c - GET /metrics in the text format of Prometheus, GET /ready.
 *
 * Names and labels: spec/api.md 29.3. What the page does not name is ours: steps by their rows
 * (the batch), drafts, the process. Read on a worker; the engine's lock is held for microseconds.
 */
#include "http/inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const char type_prometheus[] = "text/plain; version=0.0.4; charset=utf-8";

static void about(struct buf *b, const char *name, const char *type, const char *help)
{
    buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value: backslash, quote and newline are escaped, no more (the format's rule). */
static void put_label(struct buf *b, const char *text)
{
    for (; *text; text++) {
        if (*text == '\n')
            buf_puts(b, "\\n");
        else if (*text == '"' || *text == '\\')
            buf_printf(b, "\\%c", *text);
        else
            buf_add(b, text, 1);
    }
}

static void put_model(struct buf *b, const char *model)
{
    buf_puts(b, "model=\"");
    put_label(b, model);
    buf_puts(b, "\"");
}

/* Buckets are not summed up in `counts`; the format wants them so. */
static void put_histogram(struct buf *b, const char *name, const char *model, const double *bounds,
                          int n, const uint64_t *counts, double sum)
{
    uint64_t all = 0;
    for (int i = 0; i <= n; i++) {
        all += counts[i];
        buf_printf(b, "%s_bucket{", name);
        put_model(b, model);
        if (i < n)
            buf_printf(b, ",le=\"%g\"} %llu\n", bounds[i], (unsigned long long)all);
        else
            buf_printf(b, ",le=\"+Inf\"} %llu\n", (unsigned long long)all);
    }
    buf_printf(b, "%s_sum{", name);
    put_model(b, model);
    buf_printf(b, "} %.9g\n%s_count{", sum, name);
    put_model(b, model);
    buf_printf(b, "} %llu\n", (unsigned long long)all);
}

/* ---- requests ------------------------------------------------------------------------------ */

static int by_model(const void *a, const void *b)
{
    const struct journal_row *x = a, *y = b;
    const int by = strcmp(x->model, y->model);
    return by                           ? by
           : strcmp(x->route, y->route) ? strcmp(x->route, y->route)
                                        : x->status - y->status;
}

static void put_requests(struct buf *b, struct journal *j)
{
    size_t n;
    struct journal_row *rows = journal_copy(j, &n);
    if (!rows) {
        b->failed = true;
        return;
    }
    qsort(rows, n, sizeof *rows, by_model);
    about(b, "chaski_requests_total", "counter", "Requests answered.");
    for (size_t i = 0; i < n; i++) {
        uint64_t all = 0;
        for (int k = 0; k <= JOURNAL_BUCKETS; k++)
            all += rows[i].counts[k];
        buf_puts(b, "chaski_requests_total{route=\"");
        put_label(b, rows[i].route);
        buf_printf(b, "\",status=\"%d\",", rows[i].status);
        put_model(b, rows[i].model);
        buf_printf(b, "} %llu\n", (unsigned long long)all);
    }
    about(b, "chaski_request_duration_seconds", "histogram",
          "From the whole request to the end of its answer.");
    for (size_t i = 0; i < n;) { /* rows of a model are neighbours */
        uint64_t counts[JOURNAL_BUCKETS + 1] = {0};
        double sum = 0;
        const size_t first = i;
        for (; i < n && strcmp(rows[i].model, rows[first].model) == 0; i++) {
            for (int k = 0; k <= JOURNAL_BUCKETS; k++)
                counts[k] += rows[i].counts[k];
            sum += rows[i].sum;
        }
        put_histogram(b, "chaski_request_duration_seconds", rows[first].model, journal_buckets,
                      JOURNAL_BUCKETS, counts, sum);
    }
    free(rows);
}

/* ---- the engine ---------------------------------------------------------------------------- */

static void put_counters(struct buf *b, const struct eng_metrics *m)
{
    static const struct {
        const char *name, *help;
        size_t at;
    } counters[] = {
#define AT(field) offsetof(struct eng_model_metrics, field)
        {"chaski_prompt_tokens_total", "Tokens of prompts.", AT(prompt_tokens)},
        {"chaski_prompt_tokens_cached_total", "Of these, from the cache.", AT(cached_tokens)},
        {"chaski_generated_tokens_total", "Tokens drawn.", AT(generated_tokens)},
        {"chaski_prompt_truncated_total", "Prompts that were cut.", AT(prompts_truncated)},
        {"chaski_context_shifts_total", "Shifts of a full context.", AT(context_shifts)},
        {"chaski_draft_tokens_total", "Tokens guessed ahead.", AT(draft_tokens)},
        {"chaski_draft_tokens_accepted_total", "Guesses that came.", AT(accepted_tokens)},
    };
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
        about(b, counters[i].name, "counter", counters[i].help);
        for (size_t k = 0; k < m->n; k++) {
            uint64_t v;
            memcpy(&v, (const char *)&m->models[k] + counters[i].at, sizeof v);
            buf_printf(b, "%s{", counters[i].name);
            put_model(b, m->models[k].name);
            buf_printf(b, "} %llu\n", (unsigned long long)v);
        }
    }
}

static void put_times(struct buf *b, const struct eng_metrics *m)
{
    static const struct {
        const char *name, *help;
        size_t at;
    } times[] = {
        {"chaski_time_to_first_token_seconds", "From the queue to the first token.",
         AT(first_token)},
        {"chaski_inter_token_seconds", "Between tokens of a request.", AT(inter_token)},
        {"chaski_queue_wait_seconds", "In the queue, loading included.", AT(queue_wait)},
        {"chaski_model_load_seconds", "Loading a model.", AT(load)},
#undef AT
    };
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        about(b, times[i].name, "histogram", times[i].help);
        for (size_t k = 0; k < m->n; k++) {
            struct eng_histogram h;
            memcpy(&h, (const char *)&m->models[k] + times[i].at, sizeof h);
            put_histogram(b, times[i].name, m->models[k].name, eng_buckets, ENG_N_BUCKETS, h.counts,
                          h.sum);
        }
    }
    double rows[ENG_N_ROW_BUCKETS];
    for (int i = 0; i < ENG_N_ROW_BUCKETS; i++)
        rows[i] = eng_row_buckets[i];
    about(b, "chaski_step_rows", "histogram", "Rows computed together in a step.");
    for (size_t k = 0; k < m->n; k++)
        put_histogram(b, "chaski_step_rows", m->models[k].name, rows, ENG_N_ROW_BUCKETS,
                      m->models[k].steps, (double)m->models[k].rows);
}

static void put_gauges(struct buf *b, const struct eng_metrics *m)
{
    static const char *const names[][2] = {
        {"chaski_requests_running", "Requests that are computed now."},
        {"chaski_requests_waiting", "Requests in the queue now."},
        {"chaski_kv_pages_used", "Pages of keys and values in use."},
        {"chaski_kv_pages_limit", "Pages that the budget allows; 0 when not loaded."},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        about(b, names[i][0], "gauge", names[i][1]);
        for (size_t k = 0; k < m->n; k++) {
            const struct eng_model_metrics *x = &m->models[k];
            const uint64_t values[] = {(uint64_t)x->running, (uint64_t)x->waiting, x->kv_pages_used,
                                       x->kv_pages_limit};
            buf_printf(b, "%s{", names[i][0]);
            put_model(b, x->name);
            buf_printf(b, "} %llu\n", (unsigned long long)values[i]);
        }
    }
    uint64_t bytes[3] = {0};
    for (size_t k = 0; k < m->n; k++) {
        bytes[0] += m->models[k].weight_bytes;
        bytes[1] += m->models[k].kv_bytes;
        bytes[2] += m->models[k].scratch_bytes;
    }
    about(b, "chaski_models_loaded", "gauge", "Models in memory.");
    buf_printf(b, "chaski_models_loaded %d\n", m->n_loaded);
    about(b, "chaski_memory_bytes", "gauge", "Memory that the budget counts.");
    static const char *const kinds[] = {"weights", "kv", "scratch"};
    for (int i = 0; i < 3; i++)
        buf_printf(b, "chaski_memory_bytes{kind=\"%s\"} %llu\n", kinds[i],
                   (unsigned long long)bytes[i]);
    about(b, "chaski_memory_budget_bytes", "gauge", "The most that it may be.");
    buf_printf(b, "chaski_memory_budget_bytes %llu\n", (unsigned long long)m->budget_bytes);
}

/* ---- the process --------------------------------------------------------------------------- */

static void put_process(struct buf *b, const struct http_server *s)
{
    unsigned long long resident = 0, size;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f) {
        if (fscanf(f, "%llu %llu", &size, &resident) != 2)
            resident = 0;
        fclose(f);
    }
    struct rusage use = {0};
    (void)getrusage(RUSAGE_SELF, &use);
    about(b, "process_resident_memory_bytes", "gauge", "Memory of the process in RAM.");
    buf_printf(b, "process_resident_memory_bytes %llu\n",
               resident * (unsigned long long)sysconf(_SC_PAGESIZE));
    about(b, "process_cpu_seconds_total", "counter", "Time on CPUs.");
    buf_printf(b, "process_cpu_seconds_total %.6f\n",
               (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                   (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6);
    about(b, "process_start_time_seconds", "gauge", "When it started, Unix time.");
    buf_printf(b, "process_start_time_seconds %.3f\n", (double)s->begun_real_ns * 1e-9);
    about(b, "chaski_uptime_seconds", "gauge", "Since the server listens.");
    buf_printf(b, "chaski_uptime_seconds %.3f\n",
               (double)(time_real_ns() - s->begun_real_ns) * 1e-9);
    about(b, "chaski_connections", "gauge", "Open connections.");
    buf_printf(b, "chaski_connections %d\n", atomic_load(&s->n_conns_seen));
    about(b, "chaski_build_info", "gauge", "The version, as a label.");
    buf_puts(b, "chaski_build_info{version=\"" CHASKI_VERSION "\"} 1\n");
}

void on_metrics(struct call *c)
{
    struct eng_metrics m;
    struct err e = {0};
    struct buf b = {0};
    if (eng_metrics(c->srv->cfg.eng, &m, &e) != 0) {
        call_fail(c, &e);
        return;
    }
    put_requests(&b, c->srv->journal);
    put_counters(&b, &m);
    put_times(&b, &m);
    put_gauges(&b, &m);
    put_process(&b, c->srv);
    eng_metrics_free(&m);
    if (b.failed)
        call_fail_status(c, 500, "out of memory");
    else
        call_answer(c, 200, type_prometheus, b.p, b.n);
    buf_free(&b);
}

/* For what sends requests here: not any more while running answers are finished. */
void on_ready(struct call *c)
{
    static const char yes[] = "{\"status\":\"ready\"}", no[] = "{\"status\":\"stopping\"}";
    if (atomic_load(&c->srv->stopping))
        call_answer(c, 503, type_json, no, sizeof no - 1);
    else
        call_answer(c, 200, type_json, yes, sizeof yes - 1);
}
