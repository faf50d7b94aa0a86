/* http/ollama.c - the style of /api/generate and /api/chat: their bodies, and the objects that they
 * answer.
 *
 * Facts: spec/api.md 5, 6, 7, 8, 10.1, 11.1, 14. The two differ in where the text stands. */
#include "http/style.h"

#include <string.h>

/* ---- the shape of errors ------------------------------------------------------------------- */

static void ollama_error(const struct call *c, struct buf *b, int status, enum err_code code,
                         const char *text)
{
    buf_puts(b, "{\"error\":");
    print_json_string(b, text, strlen(text));
    buf_puts(b, "}");
}

static void ollama_stream_error(const struct call *c, struct buf *b, int status, enum err_code code,
                                const char *text)
{
    ollama_error(c, b, status, code, text);
    buf_puts(b, "\n");
}

const struct shape shape_ollama = {
    .type = type_json,
    .end = "",
    .error = ollama_error,
    .stream_error = ollama_stream_error,
};

/* ---- parsers ------------------------------------------------------------------------------- */

static int parse_think(struct ask *a, struct err *e)
{
    const json_t *v = field(a->body, "think");
    if (!v)
        return 0;
    if (json_is_boolean(v)) {
        a->think = json_is_true(v) ? THINK_ON : THINK_OFF;
        return 0;
    }
    if (!json_is_string(v))
        return err_set(e, ERR_INPUT,
                       "think must be a boolean or string (\"high\", \"medium\", "
                       "\"low\", \"max\", true, or false)");
    const char *s = json_string_value(v);
    if (strcmp(s, "low") != 0 && strcmp(s, "medium") != 0 && strcmp(s, "high") != 0 &&
        strcmp(s, "max") != 0)
        return err_set(e, ERR_INPUT,
                       "invalid think value: \"%s\" (must be \"high\", \"medium\", \"low\", "
                       "\"max\", true, or false)",
                       s);
    a->think = THINK_ON;
    a->think_level = s;
    return 0;
}

static int parse_format(struct ask *a, struct err *e)
{
    const json_t *v = field(a->body, "format");
    if (!v || (json_is_string(v) && !json_string_length(v)))
        return 0;
    if (json_is_object(v) || (json_is_string(v) && strcmp(json_string_value(v), "json") == 0)) {
        a->format = v;
        return 0;
    }
    struct buf raw = {0}, quoted = {0};
    http_print_json(&raw, v);
    if (raw.n > 200)
        raw.n = 200;
    print_json_string(&quoted, raw.p, raw.n);
    err_set(e, ERR_INPUT, "invalid format: %s; expected \"json\" or a valid JSON Schema object",
            quoted.p ? quoted.p : "");
    buf_free(&raw);
    buf_free(&quoted);
    return -1;
}

/* What generate and chat share. */
static int parse_common(struct ask *a, struct err *e)
{
    json_t *options = NULL;
    a->stream = true;
    if (field_string(a->body, "model", "model", &a->model, e) != 0 ||
        field_bool(a->body, "stream", &a->stream, NULL, e) != 0 ||
        field_object(a->body, "options", &options, e) != 0 ||
        field_bool(a->body, "_debug_render_only", &a->render_only, NULL, e) != 0 ||
        ask_limits(a, e) != 0 || ask_keep_alive(a, e) != 0 || ask_logprobs(a, e) != 0 ||
        parse_think(a, e) != 0)
        return -1;
    a->options = options;
    return 0;
}

/* Load and unload answer one object (5.3), and an unload looks at nothing else. */
static int parse_end(struct ask *a, struct err *e)
{
    if (ask_is_empty(a))
        a->stream = false;
    if (ask_is_empty(a) && a->has_keep_alive && a->keep_alive_ns == 0)
        return 0;
    return parse_format(a, e) == 0 ? ask_grammar(a, e) : -1;
}

static const char *or_null(const char *s)
{
    return s && s[0] ? s : NULL;
}

static int parse_generate(struct ask *a, struct err *e)
{
    json_t *context = NULL, *images = NULL;
    if (parse_common(a, e) != 0)
        return -1;
    const json_t *prompt = field(a->body, "prompt");
    if (prompt && !json_is_string(prompt))
        return type_error(prompt, "prompt", "string", e);
    if (field_string(a->body, "prompt", "prompt", &a->prompt, e) != 0 ||
        field_string(a->body, "suffix", "suffix", &a->suffix, e) != 0 ||
        field_string(a->body, "system", "system", &a->system, e) != 0 ||
        field_string(a->body, "template", "template", &a->template_text, e) != 0 ||
        field_bool(a->body, "raw", &a->raw, NULL, e) != 0 ||
        field_array(a->body, "context", "context", &context, e) != 0 ||
        field_array(a->body, "images", "images", &images, e) != 0 ||
        ask_images(images, "images", e) != 0)
        return -1;
    a->prompt = or_null(a->prompt);
    a->suffix = or_null(a->suffix);
    a->system = or_null(a->system);
    a->template_text = or_null(a->template_text);
    a->wants_images = a->prompt && json_array_size(images) > 0; /* else the model is loaded (5.3) */
    if (json_array_size(context)) {
        for (size_t i = 0; i < json_array_size(context); i++) {
            const json_t *id = json_array_get(context, i);
            if (!json_is_integer(id))
                return type_error(id, "context", "integer", e);
            if (json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX)
                return err_set(e, ERR_INPUT, "token id %lld out of range",
                               (long long)json_integer_value(id));
        }
        a->context = context;
    }
    return parse_end(a, e);
}

static int parse_chat(struct ask *a, struct err *e)
{
    json_t *messages = NULL, *tools = NULL;
    bool parallel = true;
    a->is_chat = true;
    if (parse_common(a, e) != 0 ||
        field_array(a->body, "messages", "messages", &messages, e) != 0 ||
        field_array(a->body, "tools", "tools", &tools, e) != 0)
        return -1;
    a->messages = messages;
    if (ask_take_tools(a, tools, e) != 0 ||
        field_bool(a->body, "parallel_tool_calls", &parallel, NULL, e) != 0 ||
        ask_tool_choice(a, field(a->body, "tool_choice"), e) != 0)
        return -1;
    a->one_call = !parallel;
    return ask_check_messages(a, e) != 0 ? -1 : parse_end(a, e);
}

/* ---- printers ------------------------------------------------------------------------------ */

static void put_text(struct buf *b, const char *key, const char *p, size_t n)
{
    buf_printf(b, "\"%s\":", key);
    print_json_string(b, p ? p : "", n);
}

/* {"model":M,"created_at":T,"response":TEXT or "message":{...} */
static void begin_object(struct buf *b, const struct answer *w, const struct piece *p)
{
    char now[TIME_TEXT];
    print_time(time_real_ns(), now);
    buf_printf(b, "{\"model\":%s,\"created_at\":\"%s\",", w->model, now);
    if (w->ask.is_chat)
        buf_puts(b, "\"message\":{\"role\":\"assistant\",");
    put_text(b, w->ask.is_chat ? "content" : "response", p->text, p->n);
    if (p->n_thinking) {
        buf_puts(b, ",");
        put_text(b, "thinking", p->thinking, p->n_thinking);
    }
    if (w->ask.is_chat && json_array_size(p->calls)) {
        buf_puts(b, ",\"tool_calls\":");
        http_print_json(b, p->calls);
    }
    if (w->ask.is_chat)
        buf_puts(b, "}");
}

static void print_piece(struct answer *w, struct choice *ch, const struct piece *p, struct buf *b)
{
    begin_object(b, w, p);
    buf_puts(b, ",\"done\":false");
    if (p->n_logprobs) {
        buf_puts(b, ",\"logprobs\":[");
        print_logprobs(b, p->logprobs, p->n_logprobs);
        buf_puts(b, "]");
    }
    buf_puts(b, "}\n");
}

/* The prompt was asked for, not an answer (5.5, 6.6). */
static void put_rendered(struct answer *w, struct buf *b)
{
    char now[TIME_TEXT];
    print_time(time_real_ns(), now);
    buf_printf(b, "{\"model\":%s,\"created_at\":\"%s\",", w->model, now);
    buf_puts(b,
             w->ask.is_chat ? "\"message\":{\"role\":\"\",\"content\":\"\"}" : "\"response\":\"\"");
    buf_puts(b, ",\"done\":false,");
    print_debug_info(b, w);
    buf_puts(b, "}");
}

static void put_stats(struct buf *b, const struct answer *w, const struct eng_stats *s)
{
    const int64_t begun = w->call->begun_ns;
    buf_printf(b, ",\"total_duration\":%lld,\"load_duration\":%lld,\"prompt_eval_count\":%d",
               (long long)(time_mono_ns() - begun),
               (long long)(w->submitted_ns - begun + s->load_ns), (int)s->prompt_count);
    if (s->prompt_cached > 0)
        buf_printf(b, ",\"prompt_eval_cached_count\":%d", (int)s->prompt_cached);
    buf_printf(b, ",\"prompt_eval_duration\":%lld,\"eval_count\":%d,\"eval_duration\":%lld",
               (long long)s->prompt_ns, (int)s->eval_count, (long long)s->eval_ns);
    print_remarks(b, w);
}

static void put_context(struct buf *b, const struct eng_stats *s)
{
    if (!s->n_context || !s->context)
        return;
    buf_puts(b, ",\"context\":[");
    for (size_t i = 0; i < s->n_context; i++)
        buf_printf(b, i ? ",%lld" : "%lld", (long long)s->context[i]);
    buf_puts(b, "]");
}

static void put_logprobs(struct buf *b, const struct buf *entries)
{
    if (!entries->n)
        return;
    buf_puts(b, ",\"logprobs\":[");
    buf_add(b, entries->p, entries->n);
    buf_puts(b, "]");
}

/* The object that ends the answer: `p` is empty in a stream, else all of the text. */
static void put_final(struct answer *w, const struct choice *ch, const struct piece *p,
                      struct buf *b)
{
    begin_object(b, w, p);
    buf_printf(b, ",\"done\":true,\"done_reason\":\"%s\"", ch->reason);
    if (w->last && !w->ask.is_chat)
        put_context(b, w->last);
    if (w->ask.is_chat) /* the two tables have them in different places */
        put_logprobs(b, &ch->logprobs[0]);
    if (w->last && !w->is_load)
        put_stats(b, w, w->last);
    if (!w->ask.is_chat)
        put_logprobs(b, &ch->logprobs[0]);
    buf_puts(b, "}");
}

static void print_end(struct answer *w, struct choice *ch, struct buf *b)
{
    const struct piece nothing = {0};
    put_final(w, ch, &nothing, b);
    buf_puts(b, "\n");
}

static void print_whole(struct answer *w, struct buf *b)
{
    const struct choice *ch = &w->choices[0];
    if (w->is_rendered) {
        put_rendered(w, b);
        return;
    }
    const struct piece all = {
        .text = ch->text.p,
        .n = ch->text.n,
        .thinking = ch->thinking.p,
        .n_thinking = ch->thinking.n,
        .calls = ch->calls,
    };
    put_final(w, ch, &all, b);
}

const struct style style_generate = {
    .shape = &shape_ollama,
    .stream_type = type_ndjson,
    .parse = parse_generate,
    .piece = print_piece,
    .end = print_end,
    .whole = print_whole,
};

const struct style style_chat = {
    .shape = &shape_ollama,
    .stream_type = type_ndjson,
    .parse = parse_chat,
    .piece = print_piece,
    .end = print_end,
    .whole = print_whole,
};
