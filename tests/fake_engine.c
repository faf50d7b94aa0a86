/* tests/fake_engine.c - engine/engine.h's server level without a model: words instead of tokens.
 *
 * So that the http room can be tested where no weights are, and errors come on demand. The last
 * message of the conversation (or the raw prompt) orders what happens, as words "fake:NAME=N":
 *   delay=MS       wait so long before each word        prompt=MS   read the prompt so long
 *   fail=N         fail after N words                    bytes=N     length of each word
 *   words=N        end with stop after N words           load=MS     load the model so long
 *   truncated=N    tell of N dropped tokens              shifts=N    tell of N context shifts
 *   cached=N       tell of N tokens from the cache
 * A last message that begins with "fake:say=N\n" is answered by the text behind it, N bytes a token
 * (0: all of it is one).
 * A stop text is met where it is found inside a word.
 * Texts to embed become vectors of 6 values made of their bytes; the first one gives the orders,
 * "fake:long" is too long a text, "fake:nan" one without a vector.
 * Each job has a thread of its own; the sink is called on it. "fake:echo" answers the prompt,
 * "fake:options" the options and switches that came with it as JSON. */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "engine/chat/chat.h"
#include "engine/engine.h"
#include "engine/info.h"
#include "engine/text.h"
#include "engine/sched/meter.h"

enum { MAX_MODELS = 64 };

struct known { /* eng_model_info's cache */
    struct known *next;
    struct digest digest;
    char *template_text; /* the model's own, "": none */
    struct eng_info info;
    char *chat_template;
};

struct eng {
    struct eng_config cfg;
    pthread_mutex_t lock;
    pthread_cond_t less;
    int n_jobs; /* under lock, as all below */
    bool draining;
    struct eng_job *jobs;
    struct known *known;
    struct text_cache *texts;
    struct eng_loaded loaded[MAX_MODELS];
    int64_t keep_ns[MAX_MODELS];
    struct meters meters;
    int n_loaded;
};

struct eng_job {
    atomic_int refs;
    atomic_bool cancelled, held;
    struct eng *eng;
    struct eng_job *next; /* under the engine's lock */
    struct eng_sink sink;
    enum eng_kind kind;
    char *prompt, *told; /* told: the request, for fake:options */
    char *said;          /* the text behind fake:say, or NULL */
    size_t n_cut;
    float *vectors;
    size_t n_vectors, n_input_bytes;
    bool is_long;
    int n_dims;
    struct eng_options options;
    json_t *warnings;
    bool want_context, no_truncate, logprobs, score_prompt;
    int top_logprobs;
    int64_t submitted_ns, keep_alive_ns;
    struct meter *total;
    struct job_meter meter;
    struct digest model;
    char name[512], id[65];
    size_t n_context;
    tok_id *context;
};

static void uncounted(struct eng *g, int64_t bytes)
{
    (void)g;
    (void)bytes;
}

struct eng *eng_new(const struct eng_config *cfg, struct err *e)
{
    struct eng *g = calloc(1, sizeof *g);
    if (!g) {
        err_set(e, ERR_MEMORY, "out of memory");
        return NULL;
    }
    g->cfg = *cfg;
    g->texts = text_cache_new(cfg->store, uncounted, g, e);
    if (!g->texts) {
        free(g);
        return NULL;
    }
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->less, NULL);
    meters_init(&g->meters);
    return g;
}

void eng_drain(struct eng *g, int64_t deadline)
{
    pthread_mutex_lock(&g->lock);
    g->draining = true;
    while (g->n_jobs) {
        const int64_t left = deadline - time_mono_ns();
        if (left <= 0)
            for (struct eng_job *j = g->jobs; j; j = j->next)
                atomic_store(&j->cancelled, true);
        struct timespec t;
        clock_gettime(CLOCK_REALTIME, &t);
        t.tv_nsec += 20000000;
        if (t.tv_nsec >= 1000000000) {
            t.tv_nsec -= 1000000000;
            t.tv_sec++;
        }
        pthread_cond_timedwait(&g->less, &g->lock, &t);
    }
    pthread_mutex_unlock(&g->lock);
}

void eng_free(struct eng *g)
{
    if (!g)
        return;
    eng_drain(g, 0);
    while (g->known) {
        struct known *k = g->known;
        g->known = k->next;
        free(k->chat_template);
        free(k->template_text);
        free(k);
    }
    text_cache_free(g->texts);
    meters_free(&g->meters);
    pthread_mutex_destroy(&g->lock);
    pthread_cond_destroy(&g->less);
    free(g);
}

void eng_info_close(struct eng *g, const struct eng_info *info)
{
    (void)g, (void)info; /* kept until the end */
}

int eng_model_info(struct eng *g, const struct store_model *m, const struct eng_info **out,
                   struct err *e)
{
    if (!m->model_layer)
        return err_set(e, ERR_INPUT, "the model has no GGUF file");
    pthread_mutex_lock(&g->lock);
    for (struct known *k = g->known; k; k = k->next)
        if (memcmp(&k->digest, &m->model_layer->digest, sizeof k->digest) == 0 &&
            strcmp(k->template_text, m->template_text ? m->template_text : "") == 0) {
            *out = &k->info;
            pthread_mutex_unlock(&g->lock);
            return 0;
        }
    pthread_mutex_unlock(&g->lock);
    struct known *k = calloc(1, sizeof *k);
    if (!k)
        return err_set(e, ERR_MEMORY, "out of memory");
    k->digest = m->model_layer->digest;
    k->template_text = strdup(m->template_text ? m->template_text : "");
    if (!k->template_text || info_read(g->cfg.store, m, &k->info, &k->chat_template, e) != 0) {
        free(k->template_text);
        free(k);
        return -1;
    }
    k->info.chat_template = k->chat_template;
    pthread_mutex_lock(&g->lock);
    k->next = g->known;
    g->known = k;
    pthread_mutex_unlock(&g->lock);
    *out = &k->info;
    return 0;
}

json_t *eng_model_metadata(struct eng *g, const struct store_model *m, bool verbose, struct err *e)
{
    return info_metadata(g->cfg.store, m, verbose, e);
}

int eng_text_open(struct eng *g, const struct store_model *m, struct eng_text **out,
                  struct err *e)
{
    *out = text_cache_open(g->texts, m, NULL, e);
    return *out ? 0 : -1;
}

/* ---- jobs ---------------------------------------------------------------------------------- */

static void job_unref(struct eng_job *j)
{
    if (atomic_fetch_sub(&j->refs, 1) != 1)
        return;
    eng_options_free(&j->options);
    json_decref(j->warnings);
    free(j->prompt);
    free(j->told);
    free(j->said);
    free(j->vectors);
    free(j->context);
    free(j);
}

/* The number behind "fake:NAME=" in the prompt, or `other`. */
static long order(const struct eng_job *j, const char *name, long other)
{
    char key[64];
    snprintf(key, sizeof key, "fake:%s=", name);
    const char *at = j->prompt ? strstr(j->prompt, key) : NULL;
    return at ? strtol(at + strlen(key), NULL, 10) : other;
}

static bool wait_ms(const struct eng_job *j, long ms)
{
    for (long i = 0; i < ms && !atomic_load(&j->cancelled); i += 2) {
        const struct timespec t = {0, 2000000};
        nanosleep(&t, NULL);
    }
    return !atomic_load(&j->cancelled);
}

static void set_loaded(struct eng *g, const struct eng_job *j, int active)
{
    pthread_mutex_lock(&g->lock);
    int i = 0;
    while (i < g->n_loaded && memcmp(&g->loaded[i].model, &j->model, sizeof j->model) != 0)
        i++;
    if (i < MAX_MODELS) {
        struct eng_loaded *l = &g->loaded[i];
        if (i == g->n_loaded) {
            memset(l, 0, sizeof *l);
            l->model = j->model;
            memcpy(l->name, j->name, sizeof l->name);
            memcpy(l->id, j->id, sizeof l->id);
            l->size_bytes = 1000;
            l->context_length = 4096;
            l->parallel = 16;
            g->n_loaded++;
        }
        l->active += active;
        l->expires_real_ns = j->keep_alive_ns < 0 ? INT64_MAX : time_real_ns() + j->keep_alive_ns;
        if (!l->active && j->keep_alive_ns == 0)
            g->loaded[i] = g->loaded[--g->n_loaded];
    }
    pthread_mutex_unlock(&g->lock);
}

/* A piece of one token; when asked for, with its log-probability: -(i + 1) / 8, and of the list of
 * instead the first is the token itself, then come "alt1 ", "alt2 ", .., each 1 below. */
static void say(struct eng_job *j, const char *text, size_t n, long i)
{
    char alt[ENG_TOP_LOGPROBS][16];
    struct eng_logprob top[ENG_TOP_LOGPROBS];
    const struct eng_logprob one = {.bytes = text,
                                    .n = n,
                                    .logprob = -(double)(i + 1) / 8,
                                    .top = j->top_logprobs > 0 ? top : NULL,
                                    .n_top = j->top_logprobs > 0 ? (size_t)j->top_logprobs : 0};
    for (int k = 0; k < j->top_logprobs && k < ENG_TOP_LOGPROBS; k++) {
        const int len = snprintf(alt[k], sizeof alt[k], "alt%d ", k);
        top[k] = (struct eng_logprob){.bytes = k ? alt[k] : text,
                                      .n = k ? (size_t)len : n,
                                      .logprob = one.logprob - k};
    }
    j->sink.piece(j->sink.arg, &(struct eng_piece){.text = text,
                                                   .n = n,
                                                   .eval_count = (int32_t)i + 1,
                                                   .logprobs = j->logprobs ? &one : NULL,
                                                   .n_logprobs = j->logprobs});
}

/* What is known of the prompt's tokens: "<s>", then each word with the blank before it and each
 * quote, each with the log-probability -n / 4. */
static void score(struct eng_job *j)
{
    struct eng_logprob list[64];
    size_t n = 0;
    for (const char *p = j->prompt; *p && n < 64; n++) {
        const size_t len = *p == '"' ? 1 : 1 + strcspn(p + 1, " \"");
        list[n] = (struct eng_logprob){.bytes = p, .n = len, .logprob = -(double)(n + 1) / 4};
        p += len;
    }
    j->sink.piece(j->sink.arg, &(struct eng_piece){.text = "<s>",
                                                   .n = 3,
                                                   .logprobs = list,
                                                   .n_logprobs = n,
                                                   .of_prompt = true});
}

/* Where the first stop text in this word is, told in `s`; NULL: there is none. */
static const char *find_stop(const struct eng_job *j, const char *word, struct eng_stats *s)
{
    const char *first = NULL;
    for (int i = 0; i < j->options.n_stops; i++) {
        const char *at = strstr(word, j->options.stops[i]);
        if (at && (!first || at < first)) {
            first = at;
            s->stop = j->options.stops[i];
        }
    }
    return first;
}

static int words(struct eng_job *j, struct eng_stats *s, struct err *e)
{
    const long fail = order(j, "fail", -1), n_words = order(j, "words", 12);
    const long n_bytes = order(j, "bytes", 0), delay = order(j, "delay", 0);
    char *word = malloc((size_t)n_bytes + 32);
    int rc = -1;
    if (!word)
        return err_set(e, ERR_MEMORY, "out of memory");
    s->reason = ENG_STOP;
    for (long i = 0; i < n_words; i++) {
        if (j->options.num_predict >= 0 && i >= j->options.num_predict) {
            s->reason = ENG_LENGTH;
            break;
        }
        while (atomic_load(&j->held) && wait_ms(j, 2))
            continue;
        if (!wait_ms(j, delay)) {
            err_set(e, ERR_CANCELLED, "cancelled");
            goto done;
        }
        if (i == fail) {
            err_set(e, ERR_BUG, "an error was encountered while running the model: on demand");
            goto done;
        }
        int n = snprintf(word, 32, "w%ld ", i);
        for (; n < n_bytes; n++)
            word[n] = 'x';
        word[n] = 0;
        const char *stop = find_stop(j, word, s);
        if (stop)
            n = (int)(stop - word);
        say(j, word, (size_t)n, i);
        s->eval_count++;
        meter_token(j->total, &j->meter, j->submitted_ns, time_mono_ns());
        if (stop)
            break;
    }
    rc = 0;
done:
    free(word);
    return rc;
}

/* The text of fake:say, whole characters at a time. */
static void say_text(struct eng_job *j, struct eng_stats *s)
{
    const char *p = j->said;
    const size_t n = strlen(p);
    s->reason = ENG_STOP;
    for (size_t at = 0; at < n; s->eval_count++) {
        if (j->options.num_predict >= 0 && s->eval_count >= j->options.num_predict) {
            s->reason = ENG_LENGTH;
            return;
        }
        size_t to = j->n_cut && at + j->n_cut < n ? at + j->n_cut : n;
        while (to < n && (p[to] & 0xc0) == 0x80)
            to++;
        say(j, p + at, to - at, s->eval_count);
        at = to;
    }
    s->eval_count++; /* the end token */
}

enum { DIMS = 6 };

/* Values by the bytes alone, of length 1; the first `dims` of them when that is less. */
static void vector_of(const struct eng_input *in, int dims, float *out)
{
    double v[DIMS], sum = 0;
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < in->n; i++)
        h = (h ^ (in->ids ? (uint32_t)in->ids[i] : (unsigned char)in->p[i])) * 16777619u;
    for (int i = 0; i < dims; i++) {
        h = h * 1664525u + 1013904223u;
        v[i] = (double)h / 4294967296.0 - 0.5;
        sum += v[i] * v[i];
    }
    for (int i = 0; i < dims; i++)
        out[i] = (float)(v[i] / sqrt(sum));
}

static int keep_inputs(struct eng_job *j, const struct eng_request *r)
{
    const int dims = r->dimensions > 0 && r->dimensions < DIMS ? r->dimensions : DIMS;
    j->vectors = calloc(r->n_inputs + 1, DIMS * sizeof *j->vectors);
    if (!j->vectors)
        return -1;
    for (size_t i = 0; i < r->n_inputs; i++) {
        vector_of(&r->inputs[i], dims, j->vectors + i * (size_t)dims);
        j->n_input_bytes += r->inputs[i].n;
        j->is_long |= r->inputs[i].p && strstr(r->inputs[i].p, "fake:long");
    }
    j->n_vectors = r->n_inputs;
    j->n_dims = dims;
    return 0;
}

static int embed(struct eng_job *j, struct eng_stats *s, struct err *e)
{
    if (!wait_ms(j, order(j, "delay", 0)))
        return err_set(e, ERR_CANCELLED, "cancelled");
    if (order(j, "fail", -1) >= 0)
        return err_set(e, ERR_BUG, "an error was encountered while running the model: on demand");
    if (strstr(j->prompt, "fake:nan"))
        return err_set(e, ERR_INPUT, "embedding contains NaN or Inf values");
    if (j->is_long && j->no_truncate)
        return err_set(e, ERR_INPUT, "the input length exceeds the context length");
    s->prompt_count = (int32_t)(j->n_input_bytes / 4 + 2 * j->n_vectors);
    s->prompt_truncated = j->is_long ? 7 : 0;
    s->vectors = j->vectors;
    s->n_vectors = j->n_vectors;
    s->n_dims = j->n_dims;
    s->warnings = j->options.warnings;
    return 0;
}

static void *run(void *arg)
{
    struct eng_job *j = arg;
    struct eng *g = j->eng;
    struct eng_stats s = {0};
    struct err e = {0};
    bool good = wait_ms(j, order(j, "load", 0));
    set_loaded(g, j, 1);
    s.load_ns = time_mono_ns() - j->submitted_ns;
    if (j->kind == ENG_LOAD) {
        s.reason = ENG_LOADED;
    } else if (j->kind == ENG_EMBED) {
        good = good && embed(j, &s, &e) == 0;
        set_loaded(g, j, -1);
        if (good)
            j->sink.done(j->sink.arg, &s);
    } else {
        const int64_t begun = time_mono_ns();
        s.prompt_count = j->prompt ? (int32_t)(strlen(j->prompt) / 4 + 1) : 1;
        s.prompt_cached = (int32_t)order(j, "cached", 0);
        s.prompt_truncated = (int32_t)order(j, "truncated", 0);
        if (good && j->sink.start)
            j->sink.start(j->sink.arg, &s);
        good = good && wait_ms(j, order(j, "prompt", 0));
        s.prompt_ns = time_mono_ns() - begun;
        atomic_store(&j->meter.prompt, s.prompt_count);
        meter_add(&j->total->prompt, s.prompt_count);
        meter_step(j->total, s.prompt_count);
        s.context_shifts = (int32_t)order(j, "shifts", 0);
        s.seed_drawn = j->options.seed < 0;
        s.seed = s.seed_drawn ? 4711 : j->options.seed;
        const int64_t evaluating = time_mono_ns();
        if (good && j->score_prompt)
            score(j);
        if (good && j->said) {
            say_text(j, &s);
        } else if (good && (j->told || strstr(j->prompt, "fake:echo"))) {
            const char *said = j->told ? j->told : j->prompt;
            say(j, said, strlen(said), 0);
            s.eval_count = 1;
        } else if (good) {
            good = words(j, &s, &e) == 0;
        }
        s.eval_ns = s.eval_count ? time_mono_ns() - evaluating + 1 : 0;
        const tok_id ids[] = {1, 2, 3};
        tok_id all[64];
        size_t n = 0;
        for (size_t i = 0; i < j->n_context && n < 60; i++)
            all[n++] = j->context[i];
        memcpy(all + n, ids, sizeof ids);
        if (j->want_context) {
            s.context = all;
            s.n_context = n + 3;
        }
        s.warnings = j->options.warnings;
        set_loaded(g, j, -1);
        if (good)
            j->sink.done(j->sink.arg, &s);
    }
    if (j->kind == ENG_LOAD) {
        set_loaded(g, j, -1);
        if (good)
            j->sink.done(j->sink.arg, &s);
    }
    if (!good) {
        if (!e.code)
            err_set(&e, ERR_CANCELLED, "cancelled");
        j->sink.fail(j->sink.arg, &e);
    }
    pthread_mutex_lock(&g->lock);
    struct eng_job **at = &g->jobs;
    while (*at && *at != j)
        at = &(*at)->next;
    if (*at)
        *at = j->next;
    g->n_jobs--;
    pthread_cond_broadcast(&g->less);
    pthread_mutex_unlock(&g->lock);
    job_unref(j);
    return NULL;
}

static char *prompt_of(const struct eng_request *r)
{
    if (r->raw)
        return strndup(r->raw, r->n_raw);
    if (r->kind == ENG_EMBED && r->n_inputs && r->inputs[0].p)
        return strndup(r->inputs[0].p, r->inputs[0].n);
    if (!r->chat)
        return strdup("");
    return json_dumps(r->chat, JSON_COMPACT);
}

static char *tell(const struct eng_request *r)
{
    const struct eng_options *o = r->options;
    json_t *stops = json_array();
    for (int i = 0; i < o->n_stops; i++)
        json_array_append_new(stops, json_string(o->stops[i]));
    json_t *v = json_pack(
        "{s:i, s:I, s:i, s:f, s:f, s:f, s:f, s:f, s:i, s:o, s:b, s:b, s:b, s:i, s:I}", "num_predict",
        (int)o->num_predict, "seed", (json_int_t)o->seed, "top_k", (int)o->top_k, "temperature",
        (double)o->temperature, "top_p", (double)o->top_p, "min_p", (double)o->min_p,
        "frequency_penalty", (double)o->frequency_penalty, "presence_penalty",
        (double)o->presence_penalty, "num_ctx", (int)o->num_ctx, "stop", stops, "no_truncate",
        (int)r->no_truncate, "no_shift", (int)r->no_shift, "logprobs", (int)r->logprobs,
        "top_logprobs", (int)r->top_logprobs, "keep_alive_ns",
        (json_int_t)(r->has_keep_alive ? r->keep_alive_ns : 0));
    if (v && r->format)
        json_object_set(v, "format", (json_t *)(uintptr_t)r->format);
    char *text = v ? json_dumps(v, JSON_COMPACT) : NULL;
    json_decref(v);
    return text;
}

static int copy_options(struct eng_options *to, const struct eng_options *from)
{
    *to = *from;
    to->n_stops = 0;
    to->warnings = json_incref(from->warnings);
    for (int i = 0; i < from->n_stops; i++)
        if ((to->stops[to->n_stops] = strdup(from->stops[i])))
            to->n_stops++;
    return 0;
}

int eng_submit(struct eng *g, const struct eng_request *r, const struct eng_sink *sink,
               struct eng_job **out, struct err *e)
{
    const int max = g->cfg.max_queue ? g->cfg.max_queue : 512;
    char *said = NULL;
    size_t n_cut = 0;
    if (r->kind == ENG_GENERATE && r->chat) {
        const json_t *list = json_object_get(r->chat, "messages");
        const json_t *last = json_array_get(list, json_array_size(list) - 1);
        const char *text = json_string_value(json_object_get(last, "content"));
        char *end = NULL;
        if (text && strncmp(text, "fake:say=", 9) == 0) {
            n_cut = strtoul(text + 9, &end, 10);
            said = *end == '\n' ? strdup(end + 1) : NULL;
        }
    }
    if (r->template_text && !said) { /* as the engine does */
        struct chat_template *t =
            chat_template_new(CHAT_GO, r->template_text, strlen(r->template_text), e);
        if (!t)
            return -1;
        chat_template_free(t);
    }
    struct eng_job *j = calloc(1, sizeof *j);
    if (!j) {
        free(said);
        return err_set(e, ERR_MEMORY, "out of memory");
    }
    atomic_init(&j->refs, 2);
    j->eng = g;
    j->sink = *sink;
    j->kind = r->kind;
    j->said = said;
    j->n_cut = n_cut;
    j->prompt = prompt_of(r);
    if (j->prompt && strstr(j->prompt, "fake:options"))
        j->told = tell(r);
    j->no_truncate = r->no_truncate;
    copy_options(&j->options, r->options);
    if (r->kind == ENG_EMBED && keep_inputs(j, r)) {
        job_unref(j);
        job_unref(j);
        return err_set(e, ERR_MEMORY, "out of memory");
    }
    j->want_context = r->want_context;
    j->logprobs = r->logprobs;
    j->score_prompt = r->logprobs && r->score_prompt;
    j->top_logprobs = r->top_logprobs < ENG_TOP_LOGPROBS ? r->top_logprobs : ENG_TOP_LOGPROBS;
    j->submitted_ns = time_mono_ns();
    j->keep_alive_ns = r->has_keep_alive ? r->keep_alive_ns : g->cfg.keep_alive_ns;
    j->model = r->model->model_layer->digest;
    memcpy(j->id, r->model->id, sizeof j->id);
    store_name_short(&r->model->name, j->name, sizeof j->name);
    j->total = meters_find(&g->meters, j->name);
    if (r->n_context) {
        j->context = calloc(r->n_context, sizeof *j->context);
        if (j->context)
            memcpy(j->context, r->context, r->n_context * sizeof *j->context);
        j->n_context = j->context ? r->n_context : 0;
    }
    pthread_t t;
    pthread_mutex_lock(&g->lock);
    if (g->draining || g->n_jobs >= max) {
        pthread_mutex_unlock(&g->lock);
        job_unref(j);
        job_unref(j);
        return err_set(e, ERR_BUSY,
                       "server busy, please try again.  maximum pending requests exceeded");
    }
    g->n_jobs++;
    j->next = g->jobs;
    g->jobs = j;
    pthread_mutex_unlock(&g->lock);
    *out = j;
    if (pthread_create(&t, NULL, run, j) != 0) {
        pthread_mutex_lock(&g->lock);
        g->jobs = j->next;
        g->n_jobs--;
        pthread_mutex_unlock(&g->lock);
        job_unref(j);
        job_unref(j);
        return err_set(e, ERR_IO, "cannot start a thread");
    }
    pthread_detach(t);
    return 0;
}

void eng_job_cancel(struct eng_job *j)
{
    atomic_store(&j->cancelled, true);
}

void eng_job_hold(struct eng_job *j, bool hold)
{
    atomic_store(&j->held, hold);
}

void eng_job_release(struct eng_job *j)
{
    job_unref(j);
}

int eng_ps(struct eng *g, struct eng_loaded **out, size_t *n, struct err *e)
{
    *out = calloc(MAX_MODELS, sizeof **out);
    if (!*out)
        return err_set(e, ERR_MEMORY, "out of memory");
    pthread_mutex_lock(&g->lock);
    *n = (size_t)g->n_loaded;
    memcpy(*out, g->loaded, *n * sizeof **out);
    pthread_mutex_unlock(&g->lock);
    return 0;
}

void eng_job_progress(const struct eng_job *j, struct eng_progress *out)
{
    job_meter_read(&j->meter, out);
}

int eng_metrics(struct eng *g, struct eng_metrics *out, struct err *e)
{
    if (meters_read(&g->meters, out, e))
        return -1;
    pthread_mutex_lock(&g->lock);
    out->n_loaded = g->n_loaded;
    for (size_t i = 0; i < out->n; i++)
        for (const struct eng_job *j = g->jobs; j; j = j->next)
            out->models[i].running += !strcmp(j->name, out->models[i].name);
    pthread_mutex_unlock(&g->lock);
    out->budget_bytes = 1000000;
    return 0;
}

void eng_unload(struct eng *g, const struct digest *model)
{
    pthread_mutex_lock(&g->lock);
    for (int i = 0; i < g->n_loaded; i++)
        if (memcmp(&g->loaded[i].model, model, sizeof *model) == 0 && !g->loaded[i].active)
            g->loaded[i] = g->loaded[--g->n_loaded];
    pthread_mutex_unlock(&g->lock);
}
