/* http/openai.c - what the OpenAI-style routes share: the shape of errors, the fields that they all
 * have, usage.
 *
 * Facts: spec/api.md 1.3, 7.2, 22.1, 22.3, 22.6, 23.1; clients.md 4. The client takes error.message
 * and the class by the status; it tries again after any 5xx. */
#include "http/openai.h"

#include <string.h>

static void openai_error(const struct call *c, struct buf *b, int status, enum err_code code,
                         const char *text)
{
    static const struct {
        int status;
        const char *type, *code;
    } kinds[] = {
        {400, "invalid_request_error", NULL}, {401, "authentication_error", "invalid_api_key"},
        {403, "permission_error", NULL},      {404, "not_found_error", "model_not_found"},
        {405, "invalid_request_error", NULL}, {413, "invalid_request_error", NULL},
        {503, "api_error", "server_busy"},
    };
    const char *type = "api_error", *word = NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].status == status) {
            type = kinds[i].type;
            word = kinds[i].code;
        }
    if ((status == 503 && code != ERR_BUSY) || (status == 404 && !c->route))
        word = NULL;
    if (code == ERR_CONTEXT)
        word = "context_length_exceeded";
    buf_puts(b, "{\"error\":{\"message\":");
    print_json_string(b, text, strlen(text));
    buf_printf(b, ",\"type\":\"%s\",\"param\":null,\"code\":", type);
    if (word)
        buf_printf(b, "\"%s\"}}", word);
    else
        buf_puts(b, "null}}");
}

static void openai_stream_error(const struct call *c, struct buf *b, int status, enum err_code code,
                                const char *text)
{
    buf_puts(b, "data: ");
    openai_error(c, b, status, code, text);
    buf_puts(b, "\n\ndata: [DONE]\n\n");
}

const struct shape shape_openai = {
    .type = type_json_plain,
    .end = "\n",
    .unsupported_is_400 = true,
    .error = openai_error,
    .stream_error = openai_stream_error,
};

/* ---- fields -------------------------------------------------------------------------------- */

static int put(json_t *options, const char *key, json_t *v, struct err *e)
{
    return json_object_set_new(options, key, v) ? err_set(e, ERR_MEMORY, "out of memory") : 0;
}

/* The smaller of max_tokens and max_completion_tokens. */
static int limit(const struct ask *a, json_t *options, struct err *e)
{
    static const char *const names[] = {"max_tokens", "max_completion_tokens"};
    json_int_t least = INT32_MAX;
    bool is_set = false;
    for (int i = 0; i < 2; i++) {
        json_int_t v = INT32_MAX;
        if (field_int(a->body, names[i], &v, e) != 0)
            return -1;
        if (field(a->body, names[i])) {
            is_set = true;
            least = v < least ? v : least;
        }
    }
    return is_set ? put(options, "num_predict", json_integer(least < -1 ? -1 : least), e) : 0;
}

/* A string, or an array whose strings count; anything else means nothing (22.1). */
static int stop(const struct ask *a, json_t *options, struct err *e)
{
    const json_t *v = field(a->body, "stop");
    if (json_is_string(v))
        return put(options, "stop", json_pack("[O]", v), e);
    if (!json_is_array(v))
        return 0;
    json_t *list = json_array();
    for (size_t i = 0; list && i < json_array_size(v); i++)
        if (json_is_string(json_array_get(v, i)))
            json_array_append(list, json_array_get(v, i));
    return put(options, "stop", list, e);
}

static int sampling(const struct ask *a, json_t *options, struct err *e)
{
    static const char *const reals[] = {"temperature", "top_p", "frequency_penalty",
                                        "presence_penalty", "min_p"};
    static const char *const whole[] = {"seed", "top_k"};
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        json_t *v = field(a->body, reals[i]);
        if (v && !json_is_number(v))
            return type_error(v, reals[i], "number", e);
        if (v && json_object_set(options, reals[i], v))
            return err_set(e, ERR_MEMORY, "out of memory");
    }
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        json_int_t v = 0;
        if (field_int(a->body, whole[i], &v, e) != 0)
            return -1;
        if (field(a->body, whole[i]) && put(options, whole[i], json_integer(v), e) != 0)
            return -1;
    }
    return 0;
}

int openai_common(struct ask *a, json_t *more, struct err *e)
{
    json_t *stream_options = NULL, *own = NULL;
    bool usage = false;
    json_t *options = ask_keep(a, more ? more : json_object(), e);
    /* The Modelfile's values win over these, the request's over all (29.1, row 10). */
    a->defaults = ask_keep(a, json_pack("{s:f, s:f}", "temperature", 1.0, "top_p", 1.0), e);
    if (!options || !a->defaults)
        return -1;
    a->no_truncate = true; /* unless the body says truncate: true (9.5) */
    if (field_string(a->body, "model", "model", &a->model, e) != 0 ||
        field_bool(a->body, "stream", &a->stream, NULL, e) != 0 ||
        field_object(a->body, "stream_options", &stream_options, e) != 0 ||
        (stream_options && field_bool(stream_options, "include_usage", &usage, NULL, e) != 0) ||
        field_bool(a->body, "_debug_render_only", &a->render_only, NULL, e) != 0 ||
        field_object(a->body, "options", &own, e) != 0 || limit(a, options, e) != 0 ||
        stop(a, options, e) != 0 || sampling(a, options, e) != 0 || ask_limits(a, e) != 0 ||
        ask_keep_alive(a, e) != 0)
        return -1;
    if (usage)
        a->flags |= OPENAI_USAGE;
    if (own && json_object_update(options, own))
        return err_set(e, ERR_MEMORY, "out of memory");
    a->options = options;
    return 0;
}

int openai_effort(struct ask *a, const char *word, struct err *e)
{
    static const struct {
        const char *word, *level;
    } words[] = {
        {"none", NULL},   {"minimal", "low"}, {"low", "low"},   {"medium", "medium"},
        {"high", "high"}, {"xhigh", "max"},   {"ultra", "max"}, {"max", "max"},
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i].word, word) == 0) {
            a->think = words[i].level ? THINK_ON : THINK_OFF;
            a->think_level = words[i].level;
            return 0;
        }
    return err_set(e, ERR_INPUT,
                   "invalid reasoning value: \"%s\" (must be \"minimal\", \"low\", \"medium\", "
                   "\"high\", \"xhigh\", \"ultra\", \"max\", or \"none\")",
                   word);
}

/* ---- printers ------------------------------------------------------------------------------ */

void openai_usage(struct buf *b, const struct answer *w)
{
    const int n = w->ask.n > 1 ? w->ask.n : 1; /* so many choices share a prompt */
    long long prompt = 0, cached = 0, completion = 0, thought = 0;
    for (int i = 0; i < w->n_choices; i++) {
        const struct eng_stats *s = &w->choices[i].stats;
        completion += s->eval_count;
        thought += w->choices[i].n_thought;
        if (i % n == 0) {
            prompt += s->prompt_count;
            cached += s->prompt_cached;
        }
    }
    buf_printf(b,
               ",\"usage\":{\"prompt_tokens\":%lld,\"completion_tokens\":%lld,"
               "\"total_tokens\":%lld,\"prompt_tokens_details\":{\"cached_tokens\":%lld},"
               "\"completion_tokens_details\":{\"reasoning_tokens\":%lld}}",
               prompt, completion, prompt + completion, cached, thought);
}

void openai_remarks(struct buf *b, const struct answer *w)
{
    struct buf text = {0};
    print_remarks(&text, w);
    if (text.n) {
        buf_puts(b, ",\"chaski\":{");
        buf_add(b, text.p + 1, text.n - 1); /* without the first comma */
        buf_puts(b, "}");
    }
    b->failed = b->failed || text.failed;
    buf_free(&text);
}

const char *openai_reason(const struct choice *ch)
{
    if (choice_is_cut(ch))
        return "length";
    return ch->n_calls ? "tool_calls" : "stop";
}

void openai_calls(struct buf *b, const json_t *calls)
{
    buf_puts(b, "[");
    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *one = json_array_get(calls, i);
        const json_t *function = json_object_get(one, "function");
        const json_t *arguments = json_object_get(function, "arguments");
        const char *id = json_string_value(json_object_get(one, "id"));
        const char *name = json_string_value(json_object_get(function, "name"));
        struct buf text = {0};
        if (arguments)
            http_print_json(&text, arguments);
        buf_puts(b, i ? ",{\"id\":" : "{\"id\":");
        print_json_string(b, id ? id : "", id ? strlen(id) : 0);
        buf_printf(b, ",\"index\":%lld,\"type\":\"function\",\"function\":{\"name\":",
                   (long long)json_integer_value(json_object_get(function, "index")));
        print_json_string(b, name ? name : "", name ? strlen(name) : 0);
        buf_puts(b, ",\"arguments\":");
        print_json_string(b, text.n ? text.p : "{}", text.n ? text.n : 2);
        buf_puts(b, "}}");
        b->failed = b->failed || text.failed;
        buf_free(&text);
    }
    buf_puts(b, "]");
}

void openai_debug(struct buf *b, const struct answer *w)
{
    if (!w->is_rendered)
        return;
    buf_puts(b, ",");
    print_debug_info(b, w);
}

void openai_done(struct answer *w, struct buf *b)
{
    buf_puts(b, "data: [DONE]\n\n");
}
