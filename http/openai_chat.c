/* http/openai_chat.c - the style of POST /v1/chat/completions.
 *
 * Facts: spec/api.md 22; clients.md 4 and 16 (rows 4, 15, 24, 25). Messages are brought into the
 * form of /api/chat, so that the core knows one form only. */
#include "http/openai.h"

#include <string.h>
#include <strings.h>

/* ---- messages ------------------------------------------------------------------------------ */

static bool is_base64(const char *p)
{
    size_t n = strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    const size_t pad = strspn(p + n, "=");
    return pad <= 2 && !p[n + pad] && (n + pad) % 4 == 0;
}

/* A data URI -> its base64 part in `images`. */
static int take_image(const char *url, json_t *images, struct err *e)
{
    static const char *const heads[] = {
        "data:image/jpeg;base64,", "data:image/jpg;base64,", "data:image/png;base64,",
        "data:image/webp;base64,", "data:;base64,",
    };
    if (strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0)
        return err_set(e, ERR_INPUT,
                       "image URLs are not currently supported, please use base64 encoded data "
                       "instead");
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        const size_t n = strlen(heads[i]);
        if (strncmp(url, heads[i], n) != 0)
            continue;
        if (!is_base64(url + n))
            break;
        if (json_array_append_new(images, json_string(url + n)))
            return err_set(e, ERR_MEMORY, "out of memory");
        return 0;
    }
    return err_set(e, ERR_INPUT, "invalid image input");
}

static int take_audio(const json_t *audio, json_t *images, struct err *e)
{
    if (!json_is_object(audio))
        return err_set(e, ERR_INPUT, "invalid input_audio format");
    const json_t *data = json_object_get(audio, "data");
    if (!json_is_string(data))
        return err_set(e, ERR_INPUT, "invalid input_audio format: missing data");
    if (!is_base64(json_string_value(data)))
        return err_set(e, ERR_INPUT, "invalid input_audio base64 data: illegal base64 data");
    if (json_array_append(images, (json_t *)(uintptr_t)data))
        return err_set(e, ERR_MEMORY, "out of memory");
    return 0;
}

static int take_part(const json_t *part, struct buf *text, json_t *images, struct err *e)
{
    const char *type = json_string_value(json_object_get(part, "type"));
    if (type && strcmp(type, "text") == 0) {
        const json_t *v = json_object_get(part, "text");
        if (!json_is_string(v))
            return err_set(e, ERR_INPUT, "invalid message format");
        buf_add(text, json_string_value(v), json_string_length(v));
        return 0;
    }
    if (type && strcmp(type, "image_url") == 0) {
        const json_t *v = json_object_get(part, "image_url");
        if (json_is_object(v))
            v = json_object_get(v, "url");
        if (!json_is_string(v))
            return err_set(e, ERR_INPUT, "invalid message format");
        return take_image(json_string_value(v), images, e);
    }
    if (type && strcmp(type, "input_audio") == 0)
        return take_audio(json_object_get(part, "input_audio"), images, e);
    return err_set(e, ERR_INPUT, "invalid message format");
}

/* The parts joined to one message, not one message a part (29.1, row 24). */
static int take_parts(const json_t *parts, json_t *out, struct err *e)
{
    struct buf text = {0};
    json_t *images = json_array();
    int rc = images ? 0 : err_set(e, ERR_MEMORY, "out of memory");
    for (size_t i = 0; rc == 0 && i < json_array_size(parts); i++)
        rc = take_part(json_array_get(parts, i), &text, images, e);
    if (rc == 0 && (text.failed || json_object_set_new(out, "content",
                                                       json_stringn(text.p ? text.p : "", text.n))))
        rc = err_set(e, ERR_MEMORY, "out of memory");
    if (rc == 0 && json_array_size(images) && json_object_set(out, "images", images))
        rc = err_set(e, ERR_MEMORY, "out of memory");
    json_decref(images);
    buf_free(&text);
    return rc;
}

static const char *go_kind(const json_t *v)
{
    return json_is_number(v)    ? "float64"
           : json_is_boolean(v) ? "bool"
           : json_is_object(v)  ? "map[string]interface {}"
                                : "<nil>";
}

static int take_content(const json_t *m, const char *role, bool has_calls, json_t *out,
                        struct err *e)
{
    json_t *v = field(m, "content");
    if (json_is_array(v))
        return take_parts(v, out, e);
    const bool may_lack =
        has_calls || strcasecmp(role, "assistant") == 0 || strcasecmp(role, "tool") == 0;
    if (!json_is_string(v) && (v || !may_lack))
        return err_set(e, ERR_INPUT, "invalid message content type: %s", go_kind(v));
    if (v ? json_object_set(out, "content", v)
          : json_object_set_new(out, "content", json_string("")))
        return err_set(e, ERR_MEMORY, "out of memory");
    return 0;
}

/* The calls of the history as they are (the core reads their arguments), but each with its index.
 */
static int take_calls(const json_t *m, json_t *out, struct err *e)
{
    json_t *calls = NULL;
    if (field_array(m, "tool_calls", "messages.tool_calls", &calls, e) != 0)
        return -1;
    if (!json_array_size(calls))
        return 0;
    json_t *list = json_array();
    if (!list || json_object_set_new(out, "tool_calls", list))
        return err_set(e, ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *call = json_array_get(calls, i);
        json_t *function = json_is_object(call) ? field(call, "function") : NULL;
        json_t *id = json_is_object(call) ? field(call, "id") : NULL;
        json_t *name = json_is_object(function) ? field(function, "name") : NULL;
        if (!json_is_object(call))
            return type_error(call, "messages.tool_calls", "object", e);
        if (function && !json_is_object(function))
            return type_error(function, "messages.tool_calls.function", "object", e);
        json_t *one =
            json_pack("{s:O*, s:{s:I, s:O*, s:O*}}", "id", id, "function", "index", (json_int_t)i,
                      "name", name, "arguments", function ? field(function, "arguments") : NULL);
        if (!one || json_array_append_new(list, one))
            return err_set(e, ERR_MEMORY, "out of memory");
    }
    return 0;
}

/* The function that the latest call of that id named, in the messages so far. */
static const char *name_of_call(const json_t *done, const char *id)
{
    for (size_t i = json_array_size(done); i-- > 0;) {
        const json_t *calls = json_object_get(json_array_get(done, i), "tool_calls");
        for (size_t k = json_array_size(calls); k-- > 0;) {
            const json_t *one = json_array_get(calls, k);
            const char *its = json_string_value(json_object_get(one, "id"));
            if (its && strcmp(its, id) == 0)
                return json_string_value(json_object_get(json_object_get(one, "function"), "name"));
        }
    }
    return NULL;
}

static int set_text(json_t *out, const char *key, const char *value, struct err *e)
{
    if (value && value[0] && json_object_set_new(out, key, json_string(value)))
        return err_set(e, ERR_MEMORY, "out of memory");
    return 0;
}

static int take_message(const json_t *m, const json_t *done, json_t *out, struct err *e)
{
    const char *role = NULL, *id = NULL, *tool = NULL, *name = NULL;
    const char *reasoning = NULL, *other = NULL;
    if (field_string(m, "role", "messages.role", &role, e) != 0)
        return -1;
    if (!role || !role[0])
        return err_set(e, ERR_INPUT, "message role is required");
    if (field_string(m, "tool_call_id", "messages.tool_call_id", &id, e) != 0 ||
        field_string(m, "tool_name", "messages.tool_name", &tool, e) != 0 ||
        field_string(m, "name", "messages.name", &name, e) != 0 ||
        field_string(m, "reasoning", "messages.reasoning", &reasoning, e) != 0 ||
        field_string(m, "reasoning_content", "messages.reasoning_content", &other, e) != 0 ||
        set_text(out, "role", role, e) != 0 || take_calls(m, out, e) != 0 ||
        take_content(m, role, json_object_get(out, "tool_calls") != NULL, out, e) != 0)
        return -1;
    if (strcasecmp(role, "tool") == 0 && !tool)
        tool = name ? name : id ? name_of_call(done, id) : NULL;
    if (set_text(out, "tool_call_id", id, e) != 0 || set_text(out, "tool_name", tool, e) != 0)
        return -1;
    return set_text(out, "thinking", reasoning ? reasoning : other, e);
}

static int parse_messages(struct ask *a, struct err *e)
{
    json_t *messages = NULL;
    if (field_array(a->body, "messages", "messages", &messages, e) != 0)
        return -1;
    if (!json_array_size(messages))
        return err_set(e, ERR_INPUT, "[] is too short - 'messages'");
    if (json_array_size(messages) > MAX_MESSAGES)
        return err_set(e, ERR_LIMIT, "more than %d messages", MAX_MESSAGES);
    json_t *list = ask_keep(a, json_array(), e);
    if (!list)
        return -1;
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *m = json_array_get(messages, i);
        if (!json_is_object(m))
            return type_error(m, "messages", "object", e);
        json_t *out = json_object();
        if (!out)
            return err_set(e, ERR_MEMORY, "out of memory");
        const int rc = take_message(m, list, out, e);
        if (json_array_append_new(list, out))
            return err_set(e, ERR_MEMORY, "out of memory");
        if (rc != 0)
            return -1;
    }
    a->messages = list;
    return ask_check_messages(a, e);
}

/* ---- the rest of the body ------------------------------------------------------------------ */

static int parse_reasoning(struct ask *a, struct err *e)
{
    const char *word = NULL, *own = NULL;
    json_t *reasoning = NULL;
    if (field_string(a->body, "reasoning_effort", "reasoning_effort", &word, e) != 0 ||
        field_object(a->body, "reasoning", &reasoning, e) != 0 ||
        (reasoning && field_string(reasoning, "effort", "reasoning.effort", &own, e) != 0))
        return -1;
    if (own && own[0])
        word = own;
    return word && word[0] ? openai_effort(a, word, e) : 0;
}

static int parse_format(struct ask *a, struct err *e)
{
    json_t *format = NULL, *holder = NULL;
    const char *type = NULL;
    if (field_object(a->body, "response_format", &format, e) != 0 ||
        (format && field_string(format, "type", "response_format.type", &type, e) != 0))
        return -1;
    if (!type)
        return 0;
    if (strcmp(type, "json_object") == 0) {
        a->format = ask_keep(a, json_string("json"), e);
        return a->format ? 0 : -1;
    }
    if (strcmp(type, "json_schema") != 0)
        return 0;
    if (field_object(format, "json_schema", &holder, e) != 0)
        return -1;
    return ask_schema(a, holder, "response_format.json_schema.schema", e);
}

static int parse_tools(struct ask *a, struct err *e)
{
    json_t *tools = NULL;
    if (field_array(a->body, "tools", "tools", &tools, e) != 0)
        return -1;
    if (ask_take_tools(a, tools, e) != 0)
        return -1;
    bool parallel = true;
    if (field_bool(a->body, "parallel_tool_calls", &parallel, NULL, e) != 0)
        return -1;
    a->one_call = !parallel;
    return ask_tool_choice(a, field(a->body, "tool_choice"), e);
}

static int parse_n(struct ask *a, struct err *e)
{
    json_int_t n = 1;
    if (field_int(a->body, "n", &n, e) != 0)
        return -1;
    if (n < 1 || n > 8)
        return err_set(e, ERR_INPUT, "n must be between 1 and 8");
    if (n > 1 && a->stream)
        return err_set(e, ERR_INPUT, "n > 1 is not supported with stream");
    a->n = (int)n;
    return 0;
}

static int parse(struct ask *a, struct err *e)
{
    a->is_chat = true;
    if (openai_common(a, NULL, e) != 0 || parse_messages(a, e) != 0 || parse_n(a, e) != 0 ||
        ask_logprobs(a, e) != 0 || parse_reasoning(a, e) != 0 || parse_tools(a, e) != 0)
        return -1;
    return parse_format(a, e) == 0 ? ask_grammar(a, e) : -1;
}

/* ---- printers ------------------------------------------------------------------------------ */

static void head(struct buf *b, const struct answer *w, const char *object)
{
    buf_printf(b,
               "{\"id\":\"chatcmpl-%s\",\"object\":\"%s\",\"created\":%lld,\"model\":%s,"
               "\"system_fingerprint\":\"fp_ollama\",\"choices\":[",
               w->id, object, (long long)w->begun_s, w->model);
}

static void begin_chunk(struct buf *b, const struct answer *w, const struct choice *ch)
{
    buf_puts(b, "data: ");
    head(b, w, "chat.completion.chunk");
    buf_printf(b, "{\"index\":%d,\"delta\":{", ch->index);
}

static void put_reasoning(struct buf *b, const char *p, size_t n)
{
    buf_puts(b, ",\"reasoning\":");
    print_json_string(b, p, n);
    buf_puts(b, ",\"reasoning_content\":"); /* the name that other servers gave it */
    print_json_string(b, p, n);
}

/* One chunk; `p` holds one kind of text. */
static void chunk(struct buf *b, struct answer *w, const struct choice *ch, const struct piece *p,
                  bool first)
{
    begin_chunk(b, w, ch);
    buf_puts(b, first ? "\"role\":\"assistant\",\"content\":" : "\"content\":");
    print_json_string(b, p->text ? p->text : "", p->n);
    if (p->n_thinking)
        put_reasoning(b, p->thinking, p->n_thinking);
    if (json_array_size(p->calls)) {
        buf_puts(b, ",\"tool_calls\":");
        openai_calls(b, p->calls);
    }
    buf_puts(b, "},\"finish_reason\":null");
    if (p->n_logprobs) {
        buf_puts(b, ",\"logprobs\":{\"content\":[");
        print_logprobs(b, p->logprobs, p->n_logprobs);
        buf_puts(b, "]}");
    }
    buf_puts(b, "}]}\n\n");
}

static void print_piece(struct answer *w, struct choice *ch, const struct piece *p, struct buf *b)
{
    bool first = ch->n_pieces == 0;
    struct piece rest = *p;
    if (p->n_thinking && (p->n || json_array_size(p->calls))) { /* each in a chunk of its own */
        const struct piece thought = {.thinking = p->thinking, .n_thinking = p->n_thinking};
        chunk(b, w, ch, &thought, first);
        first = false;
        rest.n_thinking = 0;
    }
    chunk(b, w, ch, &rest, first);
}

static void print_end(struct answer *w, struct choice *ch, struct buf *b)
{
    if (!ch->n_pieces) { /* an empty answer: the role is said all the same */
        const struct piece nothing = {0};
        chunk(b, w, ch, &nothing, true);
    }
    begin_chunk(b, w, ch);
    buf_printf(b, "},\"finish_reason\":\"%s\"}]", openai_reason(ch));
    if (!(w->ask.flags & OPENAI_USAGE) && w->n_ended == w->n_choices)
        openai_remarks(b, w);
    buf_puts(b, "}\n\n");
}

static void print_finish(struct answer *w, struct buf *b)
{
    if (w->ask.flags & OPENAI_USAGE) {
        buf_puts(b, "data: ");
        head(b, w, "chat.completion.chunk");
        buf_puts(b, "]");
        openai_usage(b, w);
        openai_remarks(b, w);
        buf_puts(b, "}\n\n");
    }
    openai_done(w, b);
}

static void put_choice(struct buf *b, const struct choice *ch)
{
    buf_printf(b, "{\"index\":%d,\"message\":{\"role\":\"assistant\",\"content\":", ch->index);
    print_json_string(b, ch->text.p ? ch->text.p : "", ch->text.n);
    if (ch->thinking.n)
        put_reasoning(b, ch->thinking.p, ch->thinking.n);
    if (ch->n_calls) {
        buf_puts(b, ",\"tool_calls\":");
        openai_calls(b, ch->calls);
    }
    buf_printf(b, "},\"finish_reason\":\"%s\"", openai_reason(ch));
    if (ch->n_logprobs) {
        buf_puts(b, ",\"logprobs\":{\"content\":[");
        buf_add(b, ch->logprobs[0].p, ch->logprobs[0].n);
        buf_puts(b, "]}");
    }
    buf_puts(b, "}");
}

static void print_whole(struct answer *w, struct buf *b)
{
    head(b, w, "chat.completion");
    for (int i = 0; i < w->n_choices; i++) {
        if (i)
            buf_puts(b, ",");
        put_choice(b, &w->choices[i]);
    }
    buf_puts(b, "]");
    openai_usage(b, w);
    openai_debug(b, w);
    openai_remarks(b, w);
    buf_puts(b, "}");
}

const struct style style_openai_chat = {
    .shape = &shape_openai,
    .stream_type = type_sse,
    .parse = parse,
    .piece = print_piece,
    .end = print_end,
    .finish = print_finish,
    .whole = print_whole,
};
