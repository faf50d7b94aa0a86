/* http/generate.c - POST /api/generate and POST /api/chat.
 *
 * Facts: spec/api.md 5, 6, 7, 8. Both share everything but the shape of their objects. The handler
 * runs on a worker: it finds the model, checks, and takes a place in the engine's queue before the
 * status is decided (traps.md, 122). From then on the engine's thread calls the sink below, which
 * makes each line and hands it to the loop. */
#include "http/ask.h"

#include <stdlib.h>
#include <string.h>

struct gen { /* the call's state */
    struct ask ask;
    char *model;     /* the name as sent, as JSON text with its quotes */
    struct buf text; /* the whole answer when it is not streamed; the engine's thread */
    int64_t submitted_ns;
    bool is_load;
};

static void gen_free(void *state)
{
    struct gen *g = state;
    ask_free(&g->ask);
    buf_free(&g->text);
    free(g->model);
    free(g);
}

/* {"model":M,"created_at":T,"response":TEXT or "message":{...} */
static void begin_object(struct buf *b, const struct gen *g, const char *p, size_t n)
{
    char now[TIME_TEXT];
    print_time(time_real_ns(), now);
    buf_printf(b, "{\"model\":%s,\"created_at\":\"%s\",", g->model, now);
    buf_puts(b,
             g->ask.is_chat ? "\"message\":{\"role\":\"assistant\",\"content\":" : "\"response\":");
    print_json_string(b, p, n);
    if (g->ask.is_chat)
        buf_puts(b, "}");
}

static void put_bytes(struct call *c, const struct gen *g, struct buf *b, bool is_last)
{
    if (b->failed) {
        call_fail_status(c, 500, "out of memory");
    } else if (g->ask.stream && !g->is_load) {
        call_line(c, b->p, b->n);
        if (is_last)
            call_end(c);
    } else {
        call_answer(c, 200, type_json, b->p, b->n);
    }
    buf_free(b);
}

/* ---- the sink: the engine's thread --------------------------------------------------------- */

static void on_piece(void *arg, const struct eng_piece *p)
{
    struct call *c = arg;
    struct gen *g = c->state;
    if (!p->n)
        return; /* empty pieces are not sent (7.1) */
    if (!g->ask.stream) {
        buf_add(&g->text, p->text, p->n);
        return;
    }
    struct buf b = {0};
    begin_object(&b, g, p->text, p->n);
    buf_puts(&b, ",\"done\":false}");
    put_bytes(c, g, &b, false);
}

static void put_stats(struct buf *b, const struct call *c, const struct gen *g,
                      const struct eng_stats *s)
{
    const int64_t now = time_mono_ns();
    if (s->n_context && s->context) {
        buf_puts(b, ",\"context\":[");
        for (size_t i = 0; i < s->n_context; i++)
            buf_printf(b, i ? ",%lld" : "%lld", (long long)s->context[i]);
        buf_puts(b, "]");
    }
    buf_printf(b, ",\"total_duration\":%lld,\"load_duration\":%lld,\"prompt_eval_count\":%d",
               (long long)(now - c->begun_ns),
               (long long)(g->submitted_ns - c->begun_ns + s->load_ns), (int)s->prompt_count);
    if (s->prompt_cached > 0)
        buf_printf(b, ",\"prompt_eval_cached_count\":%d", (int)s->prompt_cached);
    buf_printf(b, ",\"prompt_eval_duration\":%lld,\"eval_count\":%d,\"eval_duration\":%lld",
               (long long)s->prompt_ns, (int)s->eval_count, (long long)s->eval_ns);
    if (s->prompt_truncated > 0)
        buf_printf(b, ",\"prompt_truncated\":%d", (int)s->prompt_truncated);
    if (s->context_shifts > 0)
        buf_printf(b, ",\"context_shifts\":%d", (int)s->context_shifts);
    if (s->seed_drawn)
        buf_printf(b, ",\"seed\":%lld", (long long)s->seed);
    if (json_array_size(s->warnings)) {
        buf_puts(b, ",\"warnings\":");
        http_print_json(b, s->warnings);
    }
}

static void on_done(void *arg, const struct eng_stats *s)
{
    struct call *c = arg;
    struct gen *g = c->state;
    struct buf b = {0};
    const char *reason = g->is_load ? "load" : s->reason == ENG_LENGTH ? "length" : "stop";
    if (s->prompt_truncated > 0)
        log_line(LOG_WARN, "%s: the prompt was too long, %d tokens of it were dropped", c->who,
                 (int)s->prompt_truncated);
    if (json_array_size(s->warnings)) {
        struct buf w = {0};
        http_print_json(&w, s->warnings);
        log_line(LOG_WARN, "%s: %.400s", c->who, w.p ? w.p : "");
        buf_free(&w);
    }
    if (g->text.failed)
        b.failed = true;
    begin_object(&b, g, g->text.p ? g->text.p : "", g->text.n);
    buf_printf(&b, ",\"done\":true,\"done_reason\":\"%s\"", reason);
    if (!g->is_load)
        put_stats(&b, c, g, s);
    buf_puts(&b, "}");
    put_bytes(c, g, &b, true);
    call_unref(c);
}

static void on_fail(void *arg, const struct err *e)
{
    struct call *c = arg;
    call_fail(c, e);
    call_unref(c);
}

/* ---- checks that need the model ------------------------------------------------------------ */

static int check_abilities(struct call *c, const struct ask *a, const struct store_model *m,
                           const struct eng_info *info)
{
    char full[STORE_NAME_TEXT];
    store_name_full(&m->name, full, sizeof full);
    if (a->think == THINK_ON) {
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
    if (a->tools) {
        call_fail_status(c, 400,
                         info->can_tools ? "%s does not support tools in this version of "
                                           "chaski"
                                         : "%s does not support tools",
                         full);
        return -1;
    }
    if (a->suffix) {
        call_fail_status(c, 400,
                         info->can_insert ? "%s does not support insert in this version "
                                            "of chaski"
                                          : "%s does not support insert",
                         full);
        return -1;
    }
    return 0;
}

static void answer_short(struct call *c, const struct gen *g, const char *reason)
{
    struct buf b = {0};
    begin_object(&b, g, "", 0);
    buf_printf(&b, ",\"done\":true,\"done_reason\":\"%s\"}", reason);
    if (b.failed)
        call_fail_status(c, 500, "out of memory");
    else
        call_answer(c, 200, type_json, b.p, b.n);
    buf_free(&b);
}

static int lay_options(struct eng_options *o, const struct ask *a, const struct store_model *m,
                       struct err *e)
{
    if (m->params && eng_options_apply(o, m->params, e) != 0)
        return -1;
    return a->options ? eng_options_apply(o, a->options, e) : 0;
}

/* The prompt of the request, in `r`. What must live until the submit is in the last three. */
static int lay_prompt(struct eng_request *r, const struct ask *a, const struct store_model *m,
                      const struct eng_info *info, json_t **chat, tok_id **context, struct err *e)
{
    if (a->raw) {
        r->raw = a->prompt;
        r->n_raw = strlen(a->prompt);
    } else {
        *chat = ask_conversation(a, m, info, e);
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

static void submit(struct call *c, struct gen *g, const struct store_model *m)
{
    const struct ask *a = &g->ask;
    const struct eng_info *info = NULL;
    struct eng_options options;
    struct eng_request r = {0};
    struct err e = {0};
    json_t *chat = NULL;
    tok_id *context = NULL;
    struct eng_job *job = NULL;
    eng_options_init(&options);
    if (eng_model_info(c->srv->cfg.eng, m, &info, &e) != 0)
        goto fail;
    if (check_abilities(c, a, m, info) != 0)
        goto done;
    if (lay_options(&options, a, m, &e) != 0)
        goto fail;
    r.kind = g->is_load ? ENG_LOAD : ENG_GENERATE;
    r.model = m;
    r.options = &options;
    r.no_truncate = a->no_truncate;
    r.no_shift = a->no_shift;
    r.want_context = !a->is_chat && !a->raw;
    r.has_keep_alive = a->has_keep_alive;
    r.keep_alive_ns = a->keep_alive_ns;
    if (!g->is_load && lay_prompt(&r, a, m, info, &chat, &context, &e) != 0)
        goto fail;
    if (a->render_only && !g->is_load) {
        err_set(&e, ERR_UNSUPPORTED,
                "_debug_render_only is not supported by this version of chaski yet");
        goto fail;
    }
    const struct eng_sink sink = {c, on_piece, on_done, on_fail};
    g->submitted_ns = time_mono_ns();
    call_ref(c); /* the sink's, until done or fail */
    if (eng_submit(c->srv->cfg.eng, &r, &sink, &job, &e) != 0) {
        call_unref(c);
        goto fail;
    }
    call_set_job(c, job);
    goto done;
fail:
    call_fail(c, &e);
done:
    eng_options_free(&options);
    json_decref(chat);
    free(context);
}

static void answer(struct call *c, bool is_chat)
{
    struct err e = {0};
    struct gen *g = calloc(1, sizeof *g);
    struct buf name = {0};
    if (!g) {
        call_fail_status(c, 500, "out of memory");
        return;
    }
    c->state = g;
    c->free_state = gen_free;
    if (ask_parse(&g->ask, c->body, c->n_body, is_chat, &e) != 0) {
        call_fail(c, &e);
        return;
    }
    free(c->body); /* up to 64 MiB that nobody reads again */
    c->body = NULL;
    const struct ask *a = &g->ask;
    if (!a->model || !a->model[0]) {
        if (is_chat)
            call_fail_status(c, 400, "model is required");
        else
            call_fail_status(c, 404, "model '' not found");
        return;
    }
    print_json_string(&name, a->model, strlen(a->model));
    g->model = name.p;
    if (name.failed) {
        call_fail_status(c, 500, "out of memory");
        return;
    }
    struct store_model *m = model_find(c, a->model, true);
    if (!m)
        return;
    g->is_load = ask_is_empty(a);
    if (g->is_load && a->has_keep_alive && a->keep_alive_ns == 0) {
        if (m->model_layer)
            eng_unload(c->srv->cfg.eng, &m->model_layer->digest);
        answer_short(c, g, "unload");
    } else if (a->raw && (a->system || a->template_text || a->context)) {
        call_fail_status(c, 400, "raw mode does not support template, system, or context");
    } else {
        submit(c, g, m);
    }
    store_model_free(m);
}

void on_generate(struct call *c)
{
    answer(c, false);
}

void on_chat(struct call *c)
{
    answer(c, true);
}
