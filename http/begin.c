/* http/begin.c - the way of a request for tokens from its body to its jobs, whatever its style.
 *
 * Facts: spec/api.md 5.2, 6.2. Runs on a worker: it finds the model, checks, and takes places in
 * the engine's queue before the status is decided (traps.md, 122). What comes then: answer.c. */
#include "http/answer.h"
#include "http/openai.h"
#include "http/reading.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* ---- checks that need the model ------------------------------------------------------------ */

static int check_abilities(struct call *c, const struct ask *a, const struct store_model *m,
                           const struct eng_info *info)
{
    char full[STORE_NAME_TEXT];
    store_name_full(&m->name, full, sizeof full);
    if (a->think == THINK_ON && !a->think_if_able && !info->can_think) {
        call_fail_status(c, 400, "\"%s\" does not support thinking", a->model);
        return -1;
    }
    if (!info->can_complete) {
        call_fail_status(c, 400, "\"%s\" does not support %s", a->model,
                         a->is_chat ? "chat" : "generate");
        return -1;
    }
    if (a->wants_images) {
        call_fail_status(c, 400, "\"%s\" does not support images", a->model);
        return -1;
    }
    if (a->tools && !info->can_tools) {
        call_fail_status(c, 400, "%s does not support tools", full);
        return -1;
    }
    if (a->suffix && !info->can_insert) {
        call_fail_status(c, 400, "%s does not support insert", full);
        return -1;
    }
    return 0;
}

static int lay_options(struct eng_options *o, const struct ask *a, const struct store_model *m,
                       struct err *e)
{
    const json_t *const layers[] = {a->defaults, m->params, a->options};
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        if (layers[i] && eng_options_apply(o, layers[i], e) != 0)
            return -1;
    return 0;
}

/* The prompt of a choice, in `r`. What must live until the submit is in `chat` and `context`. */
static int lay_prompt(struct eng_request *r, const struct ask *a, int choice,
                      const struct store_model *m, const struct eng_info *info, json_t **chat,
                      tok_id **context, struct err *e)
{
    if (a->raw) {
        r->raw = ask_prompt(a, choice);
        r->n_raw = strlen(r->raw);
    } else {
        *chat = ask_conversation(a, choice, m, info, e);
        if (!*chat)
            return -1;
        r->chat = *chat;
        r->template_text = a->template_text ? a->template_text : m->template_text;
        const json_t *list = json_object_get(*chat, "messages");
        const json_t *last = json_array_get(list, json_array_size(list) - 1);
        const char *role = json_string_value(json_object_get(last, "role"));
        r->continue_last = a->is_chat && !r->template_text && role && !strcmp(role, "assistant");
    }
    if (a->context) {
        const size_t n = json_array_size(a->context);
        *context = calloc(n, sizeof **context);
        if (!*context)
            return err_set(e, ERR_MEMORY, "out of memory");
        for (size_t i = 0; i < n; i++)
            (*context)[i] = (tok_id)json_integer_value(json_array_get(a->context, i));
        r->context = *context;
        r->n_context = n;
    }
    return 0;
}

static int64_t draw_seed(void)
{
    uint32_t v = 0;
    if (getrandom(&v, sizeof v, 0) != sizeof v)
        v = (uint32_t)time_real_ns();
    return (int64_t)(v >> 1);
}

/* Several choices of a prompt with one seed would be one text: each has its own, counted from the
 * given or drawn one, so that the answer can be had again. Prompts beside each other share it: each
 * is answered as if it had come alone. */
static void spread_seed(struct answer *w, struct eng_options *o, int i)
{
    if (w->n_choices < 2 || o->temperature <= 0)
        return;
    if (o->seed < 0 && !w->has_base_seed) {
        w->base_seed = draw_seed();
        w->has_base_seed = true;
    }
    const int n = w->ask.n > 1 ? w->ask.n : 1;
    o->seed = (w->has_base_seed ? w->base_seed : o->seed) + i % n;
}

static int submit_choice(struct answer *w, int i, const struct store_model *m,
                         const struct eng_info *info, const struct eng_options *options,
                         struct err *e)
{
    const struct ask *a = &w->ask;
    struct call *c = w->call;
    struct eng_request r = {0};
    json_t *chat = NULL;
    tok_id *context = NULL;
    struct eng_job *job = NULL;
    struct reading reading = {0};
    int rc = -1;
    r.kind = w->is_load ? ENG_LOAD : ENG_GENERATE;
    r.cache_scope = c->srv->cfg.scope_by_key && c->key ? c->key->scope : NULL;
    r.model = m;
    r.options = options;
    r.no_truncate = a->no_truncate;
    r.no_shift = a->no_shift;
    r.logprobs = a->logprobs;
    r.score_prompt = w->style->keep_prompt && (a->flags & OPENAI_ECHO);
    r.format = a->format;
    r.grammar = a->grammar;
    r.top_logprobs = a->top_logprobs;
    r.want_context = w->style == &style_generate && !a->raw;
    r.has_keep_alive = a->has_keep_alive;
    r.keep_alive_ns = a->keep_alive_ns;
    if (!w->is_load && (lay_prompt(&r, a, i, m, info, &chat, &context, e) != 0 ||
                        reading_begin(&reading, &w->choices[i], m, info, options, &r, e) != 0))
        goto done;
    const struct eng_sink sink = answer_sink(&w->choices[i]);
    call_ref(c); /* the sink's, until done or fail */
    if (eng_submit(c->srv->cfg.eng, &r, &sink, &job, e) != 0) {
        call_unref(c);
        goto done;
    }
    call_add_job(c, job);
    rc = 0;
done:
    reading_free(&reading);
    json_decref(chat);
    free(context);
    return rc;
}

/* Unload, and a prompt that was only asked for: without the engine's word. */
static void answer_short(struct answer *w, const char *reason)
{
    pthread_mutex_lock(&w->lock);
    w->choices[0].reason = reason;
    answer_whole(w);
    pthread_mutex_unlock(&w->lock);
}

/* The prompt of the first choice as text, nothing cut. */
static int render(struct answer *w, const struct store_model *m, const struct eng_info *info,
                  struct err *e)
{
    struct eng_request r = {0};
    json_t *chat = NULL;
    tok_id *context = NULL;
    struct eng_text *text = NULL;
    int rc = lay_prompt(&r, &w->ask, 0, m, info, &chat, &context, e);
    if (rc == 0 && r.raw)
        buf_add(&w->rendered, r.raw, r.n_raw);
    if (rc == 0 && r.chat) {
        rc = eng_text_open(w->call->srv->cfg.eng, m, &text, e);
        if (rc == 0)
            rc = eng_text_prompt(text, r.chat, r.template_text, r.continue_last, &w->rendered, NULL,
                                 e);
    }
    eng_text_close(text);
    json_decref(chat);
    free(context);
    if (rc == 0 && w->rendered.failed)
        rc = err_set(e, ERR_MEMORY, "out of memory");
    w->is_rendered = rc == 0;
    return rc;
}

static void submit(struct answer *w, const struct store_model *m)
{
    struct call *c = w->call;
    const struct ask *a = &w->ask;
    const struct eng_info *info = NULL;
    struct eng_options options;
    struct err e = {0};
    eng_options_init(&options);
    if (eng_model_info(c->srv->cfg.eng, m, &info, &e) != 0)
        goto fail;
    if (check_abilities(c, a, m, info) != 0)
        goto done;
    if (lay_options(&options, a, m, &e) != 0)
        goto fail;
    if (a->render_only && !w->is_load) {
        if (render(w, m, info, &e) != 0)
            goto fail;
        answer_short(w, "stop");
        goto done;
    }
    w->temperature = options.temperature;
    w->top_p = options.top_p;
    w->presence_penalty = options.presence_penalty;
    w->frequency_penalty = options.frequency_penalty;
    if (w->style->prepare && w->style->prepare(w, &e) != 0)
        goto fail;
    w->submitted_ns = time_mono_ns();
    const int64_t seed = options.seed;
    for (int i = 0; i < w->n_choices; i++) {
        options.seed = seed;
        spread_seed(w, &options, i);
        if (submit_choice(w, i, m, info, &options, &e) != 0)
            goto fail;
        pthread_mutex_lock(&w->lock);
        const bool is_over = w->is_over;
        pthread_mutex_unlock(&w->lock);
        if (is_over && w->n_choices > 1) { /* one failed already: nobody waits for the rest */
            call_cancel_jobs(c);
            break;
        }
    }
    goto done;
fail:
    pthread_mutex_lock(&w->lock); /* earlier choices may be talking already */
    const bool first = !w->is_over;
    if (first)
        answer_fail(w, &e);
    pthread_mutex_unlock(&w->lock);
    if (first)
        call_cancel_jobs(c);
done:
    eng_info_close(c->srv->cfg.eng, info);
    eng_options_free(&options);
}

void answer_run(struct call *c, const struct style *style)
{
    struct err e = {0};
    struct buf name = {0};
    struct answer *w = answer_new(c, style);
    if (!w) {
        call_fail_status(c, 500, "out of memory");
        return;
    }
    struct ask *a = &w->ask;
    if (ask_parse(a, style, c->body, c->n_body, &e) != 0) {
        call_fail(c, &e);
        return;
    }
    free(c->body); /* up to 64 MiB that nobody reads again */
    c->body = NULL;
    if (!a->model || !a->model[0]) {
        if (a->is_chat)
            call_fail_status(c, 400, "model is required");
        else
            call_fail_status(c, 404, "model '' not found");
        return;
    }
    print_json_string(&name, a->model, strlen(a->model));
    w->model = name.p;
    if (name.failed || answer_make_choices(w) != 0) {
        call_fail_status(c, 500, "out of memory");
        return;
    }
    struct store_model *m = model_find(c, a->model, NAME_AS_SENT);
    if (!m)
        return;
    w->is_load = ask_is_empty(a);
    if (style->no_cache && a->stream)
        call_header(c, "cache-control", "no-cache");
    if (style->sign_of_life && a->stream)
        call_sign_of_life(c, style->sign_of_life);
    if (w->is_load && a->has_keep_alive && a->keep_alive_ns == 0) {
        if (m->model_layer)
            eng_unload(c->srv->cfg.eng, &m->model_layer->digest);
        answer_short(w, "unload");
    } else if (a->raw && (a->system || a->template_text || a->context)) {
        call_fail_status(c, 400, "raw mode does not support template, system, or context");
    } else {
        submit(w, m);
    }
    store_model_free(m);
}

/* ---- counting without a load ----------------------------------------------------------------- */

static int count(struct call *c, const struct ask *a, const struct store_model *m, size_t *n,
                 struct err *e)
{
    const struct eng_info *info = NULL;
    struct eng_request r = {0};
    struct eng_text *text = NULL;
    json_t *chat = NULL;
    tok_id *context = NULL;
    int rc = -1;
    if (eng_model_info(c->srv->cfg.eng, m, &info, e) == 0 && check_abilities(c, a, m, info) == 0 &&
        lay_prompt(&r, a, 0, m, info, &chat, &context, e) == 0 &&
        eng_text_open(c->srv->cfg.eng, m, &text, e) == 0)
        rc = eng_text_prompt(text, r.chat, r.template_text, r.continue_last, NULL, n, e);
    eng_info_close(c->srv->cfg.eng, info);
    eng_text_close(text);
    json_decref(chat);
    free(context);
    return rc;
}

void answer_count(struct call *c, const struct style *style)
{
    struct err e = {0};
    struct ask a;
    size_t n = 0;
    if (ask_parse(&a, style, c->body, c->n_body, &e) != 0) {
        call_fail(c, &e);
        return;
    }
    struct store_model *m = model_find(c, a.model, NAME_AS_SENT);
    if (m && count(c, &a, m, &n, &e) == 0)
        call_answer_json(c, 200, json_pack("{s:I}", "input_tokens", (json_int_t)n));
    else if (m) /* the checks have answered when they failed */
        call_fail(c, &e);
    store_model_free(m);
    ask_free(&a);
}

/* ---- the routes that go this way -----------------------------------------------------------
 *
 * Here and not beside their styles, so that the parsers link where there is no engine. */

void on_generate(struct call *c)
{
    answer_run(c, &style_generate);
}

void on_chat(struct call *c)
{
    answer_run(c, &style_chat);
}

void on_openai_chat(struct call *c)
{
    answer_run(c, &style_openai_chat);
}

void on_openai_text(struct call *c)
{
    answer_run(c, &style_openai_text);
}

void on_v1_messages(struct call *c)
{
    answer_run(c, &style_messages);
}

void on_count_tokens(struct call *c)
{
    answer_count(c, &style_count_tokens);
}

void on_responses(struct call *c)
{
    answer_run(c, &style_responses);
}
