/* tools/bench.c - `chaski bench`: tokens a second of prompt and generation, as llama-bench
 * defines them: a prompt of p tokens in batches of 512, with the logits of its last token; n
 * tokens one by one from an empty context, with logits each. One warm-up, r repetitions. Beside each
 * figure stands what the machine's limits allow (tools/limits.c), measured before the model is loaded. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/engine.h"
#include "tools/args.h"
#include "tools/commands.h"
#include "tools/limits.h"
#include "tools/trace.h"

enum { MAX_REPS = 1000, MAX_TOKENS = 1 << 20 };

struct result {
    int n_prompt, n_gen, depth;
    double limit_ts; /* what the machine's limits allow; 0 = not known */
    double ts[MAX_REPS];
};

/* Ids that any model has, the same on every run. */
static void fill(tok_id *ids, int n, int n_vocab)
{
    uint32_t x = 12345;
    for (int i = 0; i < n; i++) {
        x = x * 1664525u + 1013904223u;
        ids[i] = (tok_id)((x >> 8) % (uint32_t)n_vocab);
    }
}

/* The tokens of the depth stay from one call to the next: they are evaluated once. */
static int once(struct seq *s, int depth, int n_prompt, int n_gen, const tok_id *ids, float *logits,
                double *ts, struct err *e)
{
    const int kept = (int)seq_cut(s, depth);
    if (kept < depth && seq_eval(s, ids + kept, depth - kept, NULL, 0, e))
        return -1;
    const int64_t t0 = time_mono_ns();
    if (n_prompt && seq_eval(s, ids, n_prompt, logits, 1, e))
        return -1;
    for (int i = 0; i < n_gen; i++)
        if (seq_eval(s, ids + i, 1, logits, 1, e))
            return -1;
    *ts = (n_prompt + n_gen) / ((double)(time_mono_ns() - t0) / 1e9);
    return 0;
}

/* One more time, the prompt or a few tokens, with every operator written down. */
static int traced(struct model *m, struct trace *t, struct seq *s, const struct result *r,
                  const tok_id *ids, float *logits, struct err *e)
{
    enum { TRACED_TOKENS = 32 };
    double ts;
    model_trace(m, t);
    const int rc = once(s, r->depth, r->n_prompt, r->n_gen < TRACED_TOKENS ? r->n_gen : TRACED_TOKENS,
                        ids, logits, &ts, e);
    model_trace(m, NULL);
    return rc;
}

/* "vpdpbusd 945 GOP/s": the limits that the figure is compared with. */
static void limit_words(const struct limits *l, const struct model *m, bool prompt, char *out,
                        size_t cap)
{
    static const char *const what[] = {"f32", "int8, weights to 6 bits", "int8, weights of 8 bits"};
    if (!prompt) {
        snprintf(out, cap, "read %.1f GB/s (%s)", l->read / 1e9, l->read_how ? l->read_how : "");
        return;
    }
    bool used[3];
    size_t n = 0;
    out[0] = 0;
    limits_used(m, used);
    if (used[1] && used[2] && l->loop[1] == l->loop[2])
        used[2] = false;
    for (int i = 0; i < 3; i++) {
        if (!used[i] || !l->loop[i])
            continue;
        const int k = snprintf(out + n, cap - n, "%s%s %.0f GOP/s (%s)", n ? ", " : "",
                               i && l->loop[1] == l->loop[2] ? "int8" : what[i], l->ops[i] / 1e9,
                               l->loop[i]->name);
        if (k < 0 || (size_t)k >= cap - n)
            break;
        n += (size_t)k;
    }
}

static void mean_sd(const double *v, int n, double *mean, double *sd)
{
    double s = 0, q = 0;
    for (int i = 0; i < n; i++)
        s += v[i];
    *mean = s / n;
    for (int i = 0; i < n; i++)
        q += (v[i] - *mean) * (v[i] - *mean);
    *sd = n > 1 ? sqrt(q / (n - 1)) : 0;
}

static int print_json(const struct result *r, int n, int reps, const char *path,
                      const struct model *m, const struct limits *l, const char *kv)
{
    json_t *all = json_array();
    for (int i = 0; i < n; i++) {
        double mean, sd;
        mean_sd(r[i].ts, reps, &mean, &sd);
        json_t *ts = json_array();
        for (int k = 0; k < reps; k++)
            json_array_append_new(ts, json_real(r[i].ts[k]));
        json_t *row = json_pack(
            "{s:s, s:s, s:s, s:I, s:i, s:i, s:i, s:i, s:s, s:f, s:f, s:o}", "model_filename", path, "isa",
            model_isa(m), "numerics", model_numerics(m), "model_size", (json_int_t)model_weight_bytes(m), "n_threads",
            model_n_threads(m), "n_prompt", r[i].n_prompt, "n_gen", r[i].n_gen, "n_depth",
            r[i].depth, "type_kv", kv, "avg_ts", mean, "stddev_ts", sd, "samples_ts", ts);
        if (r[i].limit_ts > 0) {
            char words[400];
            limit_words(l, m, r[i].n_prompt > 0, words, sizeof words);
            json_object_set_new(row, "limit_ts", json_real(r[i].limit_ts));
            json_object_set_new(row, "limit_share", json_real(mean / r[i].limit_ts));
            json_object_set_new(row, "limit", json_string(words));
        }
        json_array_append_new(all, row);
    }
    char *text = json_dumps(all, JSON_INDENT(2));
    json_decref(all);
    if (!text)
        return -1;
    puts(text);
    free(text);
    return 0;
}

static void print_md(const struct result *r, int n, int reps, const char *path,
                     const struct model *m, const struct limits *l)
{
    const char *name = strrchr(path, '/');
    printf("| model | size | isa | threads | test | t/s | of the limit |\n"
           "| --- | ---: | --- | ---: | --- | ---: | ---: |\n");
    for (int i = 0; i < n; i++) {
        double mean, sd;
        char depth[32] = "";
        mean_sd(r[i].ts, reps, &mean, &sd);
        if (r[i].depth)
            snprintf(depth, sizeof depth, " @ d%d", r[i].depth);
        printf("| %s | %.1f MiB | %s | %d | %s%d%s | %.2f ± %.2f |", name ? name + 1 : path,
               (double)model_weight_bytes(m) / (1 << 20), model_isa(m), model_n_threads(m),
               r[i].n_prompt ? "pp" : "tg", r[i].n_prompt + r[i].n_gen, depth, mean, sd);
        if (r[i].limit_ts > 0)
            printf(" %.0f %% of %.1f |\n", 100 * mean / r[i].limit_ts, r[i].limit_ts);
        else
            printf(" |\n");
    }
    for (int i = 0; i < n; i++) {
        char words[400];
        if (!(r[i].limit_ts > 0))
            continue;
        limit_words(l, m, r[i].n_prompt > 0, words, sizeof words);
        printf("%s%s limit, measured just now on %d thread%s: %s; %s\n", i ? "" : "\n",
               r[i].n_prompt ? "prompt" : "generation", l->n_threads, l->n_threads > 1 ? "s" : "",
               words, r[i].n_prompt ? "the blocks' multiply-adds, without attention and head"
                                    : "weights, head, and keys and values of the middle token");
    }
}

int cmd_bench(int argc, char **argv)
{
    const char *path = NULL, *output = "md", *trace_path = NULL, *kv = "f16",
               *numerics = getenv("CHASKI_NUMERICS");
    bool want_limits = true;
    long p = 512, n = 128, depth = 0, t = 0, reps = 3;
    const struct arg_flag flags[] = {
        {"model", 'm', ARG_TEXT, &path, "the GGUF file"},
        {"n-prompt", 'p', ARG_INT, &p, "tokens of the prompt, 0 = no such test (default 512)"},
        {"n-gen", 'n', ARG_INT, &n, "tokens to generate, 0 = no such test (default 128)"},
        {"depth", 'd', ARG_INT, &depth, "tokens of context before either test, not timed (default 0)"},
        {"numerics", 0, ARG_TEXT, &numerics,
         "exact (default), or fast: prompts in bf16, outside the contract of bits"},
        {"kv", 0, ARG_TEXT, &kv, "type of the key-value cache: f16 (default), f32, q8_0 or q4_0"},
        {"threads", 't', ARG_INT, &t, "threads (0: as many as this machine gives)"},
        {"repetitions", 'r', ARG_INT, &reps, "how often each is measured (default 3)"},
        {"limits", 0, ARG_BOOL, &want_limits,
         "measure the machine first, and give the share of its limits (default true)"},
        {"trace", 0, ARG_TEXT, &trace_path,
         "write what every thread did in one more prompt and 32 tokens (Chrome trace format)"},
        {"output", 'o', ARG_TEXT, &output, "md (default) or json, a list of rows"},
        {0},
    };
    static const char *const env[] = {"CHASKI_ISA", "Kernels to use (default: the best for this CPU)",
                                      "CHASKI_PACK_CACHE",
                                      "Folder that keeps packed weights: the next load is quick",
                                      "CHASKI_NUMERICS", "exact or fast, as --numerics",
                                      NULL};
    const struct command about = {
        .name = "bench",
        .use = "-m FILE",
        .about = "Measure prompt and generation speed of a model",
        .flags = flags,
        .env = env,
    };
    int words;
    const int status = args_parse(&about, argc, argv, &words);
    if (status >= 0)
        return status;
    if (!path)
        return fail_with(EXIT_USAGE, "-m FILE is wanted");
    if (p < 0 || p > MAX_TOKENS || n < 0 || n > MAX_TOKENS || depth < 0 || depth > MAX_TOKENS ||
        t < 0 || t > 1024 || reps < 1 || reps > MAX_REPS)
        return fail_with(EXIT_USAGE, "-p, -n, -d, -t or -r is out of range");
    if (strcmp(output, "md") && strcmp(output, "json"))
        return fail_with(EXIT_USAGE, "-o wants md or json");
    struct limits limits = {0};
    struct trace *trace = NULL;
    struct model_config cfg = {.isa = getenv("CHASKI_ISA"),
                               .pack_cache = getenv("CHASKI_PACK_CACHE"),
                               .n_threads = (int)t};
    if (eng_kv_of(kv, &cfg.kv))
        return fail_with(EXIT_USAGE, "--kv wants f16, f32, q8_0 or q4_0");
    if (numerics && *numerics && eng_numerics_of(numerics, &cfg.fast))
        return fail_with(EXIT_USAGE, "--numerics wants exact or fast");

    int rc = 1, n_results = 0;
    struct err e = {0};
    struct seq *s = NULL;
    struct result *results = calloc(2, sizeof *results);
    const long longest = p > n ? p : n, most = longest > depth ? longest : depth;
    tok_id *ids = malloc((size_t)(most + 1) * sizeof *ids);
    float *logits = NULL;
    struct model *m = NULL;
    /* Before the model is there: nobody else of us uses the memory or the cores. */
    if (!results || !ids || (trace_path && !(trace = trace_new(&e))) ||
        (want_limits && limits_measure(&limits, cfg.isa, cfg.n_threads, &e)))
        goto done;
    m = model_open(path, &cfg, &e);
    if (!m || !(s = seq_new(m, &e)) ||
        !(logits = malloc((size_t)model_n_vocab(m) * sizeof *logits)))
        goto done;
    fill(ids, (int)most, model_n_vocab(m));
    const int tests[2][2] = {{(int)p, 0}, {0, (int)n}};
    for (int i = 0; i < 2; i++) {
        if (!tests[i][0] && !tests[i][1])
            continue;
        struct result *r = &results[n_results++];
        r->n_prompt = tests[i][0];
        r->n_gen = tests[i][1];
        r->depth = (int)depth;
        double warm;
        if (once(s, r->depth, r->n_prompt, r->n_gen ? 1 : 0, ids, logits, &warm, &e))
            goto done;
        for (int k = 0; k < reps; k++)
            if (once(s, r->depth, r->n_prompt, r->n_gen, ids, logits, &r->ts[k], &e))
                goto done;
        /* The limit of prompts is that of the exact kernels' instructions. */
        if (want_limits && !(r->n_prompt && strcmp(model_numerics(m), "exact")))
            r->limit_ts = r->n_prompt ? limits_prompt(&limits, m)
                                      : limits_token(&limits, m, depth + r->n_gen / 2);
        if (trace && traced(m, trace, s, r, ids, logits, &e))
            goto done;
    }
    rc = 0;
    if (!strcmp(output, "json"))
        rc = print_json(results, n_results, (int)reps, path, m, &limits, kv) ? 1 : 0;
    else
        print_md(results, n_results, (int)reps, path, m, &limits);
    if (trace && !rc) {
        fflush(stdout);
        trace_summary(trace);
        rc = trace_write(trace, trace_path, &e) ? 1 : 0;
    }
done:
    if (rc)
        fail_with(EXIT_FAILED, "%s", e.text[0] ? e.text : "no memory");
    free(logits);
    free(ids);
    free(results);
    seq_free(s);
    model_close(m);
    trace_free(trace);
    return rc;
}
