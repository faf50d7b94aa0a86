/* http/ask.c - the bodies of /api/generate and /api/chat, read and checked.
 *
 * Facts: spec/api.md 5.1, 6.1, 6.4, 10.1, 11.1. Nothing that a client may ask for is ignored: what
 * this version cannot do is an error that says so. */
#include "http/ask.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

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
    return 0;
}

static int parse_format(const struct ask *a, struct err *e)
{
    const json_t *v = field(a->body, "format");
    if (!v || (json_is_string(v) && !json_string_length(v)))
        return 0;
    if (json_is_object(v) || (json_is_string(v) && strcmp(json_string_value(v), "json") == 0))
        return err_set(e, ERR_UNSUPPORTED,
                       "structured output (format) is not supported by this "
                       "version of chaski yet");
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

static int parse_logprobs(const struct ask *a, struct err *e)
{
    bool on = false;
    json_int_t top = 0;
    if (field_bool(a->body, "logprobs", &on, NULL, e) != 0 ||
        field_int(a->body, "top_logprobs", &top, e) != 0)
        return -1;
    if (top < 0 || top > 20)
        return err_set(e, ERR_INPUT, "top_logprobs must be between 0 and 20");
    return on ? err_set(e, ERR_UNSUPPORTED,
                        "logprobs are not supported by this version of chaski yet")
              : 0;
}

/* What generate and chat share. */
static int parse_common(struct ask *a, struct err *e)
{
    bool on = true, is_set = false;
    json_t *options = NULL;
    a->stream = true;
    if (field_string(a->body, "model", "model", &a->model, e) != 0 ||
        field_bool(a->body, "stream", &a->stream, NULL, e) != 0 ||
        field_object(a->body, "options", &options, e) != 0 ||
        field_bool(a->body, "_debug_render_only", &a->render_only, NULL, e) != 0)
        return -1;
    a->options = options;
    if (field_bool(a->body, "truncate", &on, &is_set, e) != 0)
        return -1;
    a->no_truncate = is_set && !on;
    if (field_bool(a->body, "shift", &on, &is_set, e) != 0)
        return -1;
    a->no_shift = is_set && !on;
    const json_t *keep = field(a->body, "keep_alive");
    if (keep) {
        a->has_keep_alive = true;
        if (http_keep_alive(keep, &a->keep_alive_ns, e) != 0)
            return -1;
    }
    if (parse_logprobs(a, e) != 0 || parse_think(a, e) != 0)
        return -1;
    return parse_format(a, e);
}

static int strings_only(const json_t *list, const char *where, struct err *e)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!json_is_string(json_array_get(list, i)))
            return type_error(json_array_get(list, i), where, "string", e);
    return 0;
}

static const char *or_null(const char *s)
{
    return s && s[0] ? s : NULL;
}

static int parse_generate(struct ask *a, struct err *e)
{
    json_t *context = NULL, *images = NULL;
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
        strings_only(images, "images", e) != 0)
        return -1;
    a->prompt = or_null(a->prompt);
    a->suffix = or_null(a->suffix);
    a->system = or_null(a->system);
    a->template_text = or_null(a->template_text);
    a->wants_images = json_array_size(images) > 0;
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
    return 0;
}

/* Text, null, [] or a list of text parts; other parts are refused by name. */
static int check_content(const json_t *v, struct err *e)
{
    if (!v || json_is_string(v))
        return 0;
    if (!json_is_array(v))
        return type_error(v, "messages.content", "string", e);
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *part = json_array_get(v, i);
        if (!json_is_object(part))
            return type_error(part, "messages.content", "object", e);
        const json_t *type = field(part, "type"), *text = field(part, "text");
        if (!json_is_string(type) || strcmp(json_string_value(type), "text") != 0)
            return err_set(e, ERR_INPUT, "messages.content: only parts of type text are supported");
        if (!json_is_string(text))
            return err_set(e, ERR_INPUT, "messages.content: a text part has no text");
    }
    return 0;
}

static int check_message(struct ask *a, const json_t *m, struct err *e)
{
    const char *role = NULL, *skip = NULL;
    json_t *images = NULL, *calls = NULL;
    if (!json_is_object(m))
        return type_error(m, "messages", "object", e);
    if (field_string(m, "role", "messages.role", &role, e) != 0)
        return -1;
    if (!role || !role[0])
        return err_set(e, ERR_INPUT, "message role is required");
    if (check_content(field(m, "content"), e) != 0 ||
        field_string(m, "tool_name", "messages.tool_name", &skip, e) != 0 ||
        field_string(m, "tool_call_id", "messages.tool_call_id", &skip, e) != 0 ||
        field_string(m, "thinking", "messages.thinking", &skip, e) != 0 ||
        field_array(m, "tool_calls", "messages.tool_calls", &calls, e) != 0 ||
        field_array(m, "images", "messages.images", &images, e) != 0 ||
        strings_only(images, "messages.images", e) != 0)
        return -1;
    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *one = json_array_get(calls, i);
        if (!json_is_object(one))
            return type_error(one, "messages.tool_calls", "object", e);
    }
    if (json_array_size(images))
        a->wants_images = true;
    return 0;
}

static int parse_chat(struct ask *a, struct err *e)
{
    json_t *messages = NULL, *tools = NULL;
    if (field_array(a->body, "messages", "messages", &messages, e) != 0 ||
        field_array(a->body, "tools", "tools", &tools, e) != 0)
        return -1;
    if (json_array_size(messages) > MAX_MESSAGES)
        return err_set(e, ERR_LIMIT, "more than %d messages", MAX_MESSAGES);
    for (size_t i = 0; i < json_array_size(messages); i++)
        if (check_message(a, json_array_get(messages, i), e) != 0)
            return -1;
    a->messages = messages;
    a->tools = json_array_size(tools) ? tools : NULL;
    return 0;
}

int ask_parse(struct ask *a, const char *p, size_t n, bool is_chat, struct err *e)
{
    memset(a, 0, sizeof *a);
    a->is_chat = is_chat;
    a->body = body_parse(p, n, e);
    if (!a->body)
        return -1;
    if (parse_common(a, e) != 0 || (is_chat ? parse_chat(a, e) : parse_generate(a, e)) != 0) {
        ask_free(a);
        return -1;
    }
    return 0;
}

void ask_free(struct ask *a)
{
    json_decref(a->body);
    memset(a, 0, sizeof *a);
}

bool ask_is_empty(const struct ask *a)
{
    return a->is_chat ? !json_array_size(a->messages) : !a->prompt;
}

int http_check_body(const char *p, size_t n, bool is_chat, struct err *e)
{
    struct ask a;
    if (ask_parse(&a, p, n, is_chat, e) != 0)
        return -1;
    ask_free(&a);
    return 0;
}

/* ---- the conversation ---------------------------------------------------------------------- */

static json_t *joined_content(const json_t *v)
{
    if (!json_is_array(v))
        return json_is_string(v) ? json_incref((json_t *)(uintptr_t)v) : json_string("");
    struct buf all = {0};
    buf_puts(&all, "");
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *text = field(json_array_get(v, i), "text");
        buf_add(&all, json_string_value(text), json_string_length(text));
    }
    json_t *out = all.failed ? NULL : json_stringn(all.p ? all.p : "", all.n);
    buf_free(&all);
    return out;
}

/* A message with the canonical keys, role in small letters, content as one text. */
static json_t *clean_message(const json_t *m, bool knows_developer)
{
    static const char *const others[] = {"thinking", "tool_calls", "tool_name", "tool_call_id"};
    char role[64];
    size_t n = 0;
    for (const char *s = json_string_value(field(m, "role")); s && s[n] && n < sizeof role - 1; n++)
        role[n] = (char)(s[n] >= 'A' && s[n] <= 'Z' ? s[n] + 32 : s[n]);
    while (n && !text_is_utf8(role, n))
        n--;
    role[n] = 0;
    if (strcmp(role, "developer") == 0 && !knows_developer)
        memcpy(role, "system", sizeof "system");
    json_t *out = json_object();
    if (!out || json_object_set_new(out, "role", json_string(role)) ||
        json_object_set_new(out, "content", joined_content(field(m, "content"))))
        goto fail;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        json_t *v = field(m, others[i]);
        const bool empty = !v || (json_is_string(v) && !json_string_length(v)) ||
                           (json_is_array(v) && !json_array_size(v));
        if (!empty && json_object_set(out, others[i], v))
            goto fail;
    }
    return out;
fail:
    json_decref(out);
    return NULL;
}

static int add_text(json_t *list, const char *role, const char *content)
{
    return json_array_append_new(list, json_pack("{s:s, s:s}", "role", role, "content", content));
}

json_t *ask_conversation(const struct ask *a, const struct store_model *m,
                         const struct eng_info *info, struct err *e)
{
    const bool knows_developer =
        info->chat_template && strstr(info->chat_template, "developer") != NULL;
    json_t *list = json_array(), *out = NULL;
    if (!list)
        goto fail;
    /* The model's SYSTEM comes first of all, unless the client's first message is a system text. */
    const char *system = a->system;
    if (!system && m->system && m->system[0]) {
        const char *first = json_string_value(field(json_array_get(a->messages, 0), "role"));
        if (!a->is_chat || !first || strcasecmp(first, "system") != 0)
            system = m->system;
    }
    if (system && add_text(list, "system", system))
        goto fail;
    for (size_t i = 0; !a->context && i < json_array_size(m->messages); i++)
        if (json_array_append_new(list,
                                  clean_message(json_array_get(m->messages, i), knows_developer)))
            goto fail;
    if (!a->is_chat && add_text(list, "user", a->prompt ? a->prompt : ""))
        goto fail;
    for (size_t i = 0; i < json_array_size(a->messages); i++)
        if (json_array_append_new(list,
                                  clean_message(json_array_get(a->messages, i), knows_developer)))
            goto fail;
    out = json_pack("{s:O}", "messages", list);
    if (!out ||
        (a->think == THINK_OFF && json_object_set_new(out, "enable_thinking", json_false())))
        goto fail;
    json_decref(list);
    return out;
fail:
    json_decref(list);
    json_decref(out);
    err_set(e, ERR_MEMORY, "out of memory");
    return NULL;
}
