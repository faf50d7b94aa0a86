/* http/ask.c - the one request: what all parsers share, and the conversation it makes.
 *
 * Facts: spec/api.md 5.1, 6.1, 6.4. Nothing that a client may ask for is ignored: what this version
 * cannot do is an error that says so. */
#include "http/style.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

int ask_parse(struct ask *a, const struct style *style, const char *p, size_t n, struct err *e)
{
    memset(a, 0, sizeof *a);
    a->body = body_parse(p, n, e);
    if (!a->body)
        return -1;
    if (style->parse(a, e) != 0) {
        ask_free(a);
        return -1;
    }
    return 0;
}

void ask_free(struct ask *a)
{
    json_decref(a->body);
    json_decref(a->kept);
    memset(a, 0, sizeof *a);
}

json_t *ask_keep(struct ask *a, json_t *v, struct err *e)
{
    if (!a->kept)
        a->kept = json_array();
    if (v && a->kept && json_array_append_new(a->kept, v) == 0)
        return v;
    if (v && !a->kept)
        json_decref(v);
    err_set(e, ERR_MEMORY, "out of memory");
    return NULL;
}

bool ask_is_empty(const struct ask *a)
{
    return a->is_chat ? !json_array_size(a->messages) : !a->prompt && !a->prompts;
}

int ask_n_choices(const struct ask *a)
{
    const size_t n = a->prompts ? json_array_size(a->prompts) : 1;
    const size_t all = n * (size_t)(a->n > 1 ? a->n : 1);
    return all < MAX_CHOICES ? (int)all : MAX_CHOICES;
}

/* ---- what parsers share -------------------------------------------------------------------- */

int ask_limits(struct ask *a, struct err *e)
{
    bool on = true, is_set = false;
    if (field_bool(a->body, "truncate", &on, &is_set, e) != 0)
        return -1;
    if (is_set)
        a->no_truncate = !on;
    if (field_bool(a->body, "shift", &on, &is_set, e) != 0)
        return -1;
    if (is_set)
        a->no_shift = !on;
    return 0;
}

int ask_keep_alive(struct ask *a, struct err *e)
{
    const json_t *keep = field(a->body, "keep_alive");
    if (!keep)
        return 0;
    a->has_keep_alive = true;
    return http_keep_alive(keep, &a->keep_alive_ns, e);
}

int ask_logprobs(struct ask *a, struct err *e)
{
    json_int_t top = 0;
    if (field_bool(a->body, "logprobs", &a->logprobs, NULL, e) != 0 ||
        field_int(a->body, "top_logprobs", &top, e) != 0)
        return -1;
    if (top < 0 || top > 20)
        return err_set(e, ERR_INPUT, "top_logprobs must be between 0 and 20");
    a->top_logprobs = a->logprobs ? (int)top : 0;
    return 0;
}

int ask_schema(struct ask *a, const json_t *holder, const char *at, struct err *e)
{
    const json_t *schema = holder ? field(holder, "schema") : NULL;
    if (!schema) /* no schema to hold: silence would be a lie */
        return err_set(e, ERR_INPUT, "%s is required", at);
    if (!json_is_object(schema))
        return type_error(schema, at, "object", e);
    a->format = schema;
    return 0;
}

int ask_grammar(struct ask *a, struct err *e)
{
    if (field_string(a->body, "grammar", "grammar", &a->grammar, e) != 0)
        return -1;
    if (a->grammar && !a->grammar[0])
        a->grammar = NULL;
    return a->grammar && a->format ? err_set(e, ERR_INPUT, "format and grammar exclude each other")
                                   : 0;
}

int ask_strings_only(const json_t *list, const char *where, struct err *e)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!json_is_string(json_array_get(list, i)))
            return type_error(json_array_get(list, i), where, "string", e);
    return 0;
}

/* The byte at which p is not base64 with its padding, as the reference counts; -1: it is. */
static long base64_wrong(const char *p, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t in_group = 0, pads = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\n' || p[i] == '\r')
            continue;
        if (pads == 1 && in_group == 2 && p[i] != '=')
            return (long)i - 1;
        if (pads ? pads + in_group == 4 : p[i] == '=' ? in_group < 2 : !memchr(digits, p[i], 64))
            return (long)i;
        if (p[i] == '=')
            pads++;
        else
            in_group = (in_group + 1) % 4;
    }
    if (pads)
        return pads + in_group == 4 ? -1 : (long)n;
    return in_group ? (long)(n - in_group) : -1;
}

/* Texts in base64; clients put the prefix of a data URI before some (spec/api.md 13). */
int ask_images(const json_t *list, const char *where, struct err *e)
{
    if (ask_strings_only(list, where, e) != 0)
        return -1;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *s = json_string_value(json_array_get(list, i)), *mark;
        if (strncmp(s, "data:", 5) == 0 && (mark = strstr(s, ";base64,")))
            s = mark + 8;
        const long at = base64_wrong(s, strlen(s));
        if (at >= 0)
            return err_set(e, ERR_INPUT, "illegal base64 data at input byte %ld", at);
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

/* The arguments of a call in the history as an object (new reference), whether they came as one or
 * as JSON text; nothing at all is {}. NULL: they are neither. */
static json_t *call_arguments(const json_t *v)
{
    if (!v || (json_is_string(v) && !json_string_length(v)))
        return json_object();
    if (json_is_object(v))
        return json_incref((json_t *)(uintptr_t)v);
    return json_is_string(v) ? body_parse(json_string_value(v), json_string_length(v), NULL) : NULL;
}

static int check_call(const json_t *call, struct err *e)
{
    json_t *function = NULL;
    const char *skip = NULL;
    if (!json_is_object(call))
        return type_error(call, "messages.tool_calls", "object", e);
    if (field_string(call, "id", "messages.tool_calls.id", &skip, e) != 0 ||
        field_object(call, "function", &function, e) != 0)
        return -1;
    if (!function)
        return 0;
    if (field_string(function, "name", "messages.tool_calls.function.name", &skip, e) != 0)
        return -1;
    const json_t *v = field(function, "arguments");
    if (v && !json_is_object(v) && !json_is_string(v))
        return type_error(v, "messages.tool_calls.function.arguments", "object", e);
    json_t *arguments = call_arguments(v);
    if (!arguments)
        return err_set(e, ERR_INPUT, "invalid tool call arguments");
    json_decref(arguments);
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
        ask_images(images, "messages.images", e) != 0)
        return -1;
    for (size_t i = 0; i < json_array_size(calls); i++)
        if (check_call(json_array_get(calls, i), e) != 0)
            return -1;
    if (json_array_size(images))
        a->wants_images = true;
    return 0;
}

int ask_check_messages(struct ask *a, struct err *e)
{
    if (json_array_size(a->messages) > MAX_MESSAGES)
        return err_set(e, ERR_LIMIT, "more than %d messages", MAX_MESSAGES);
    for (size_t i = 0; i < json_array_size(a->messages); i++)
        if (check_message(a, json_array_get(a->messages, i), e) != 0)
            return -1;
    return 0;
}

/* One tool as the templates know it (12.1): as it was sent, with `parameters` where there were none. */
static json_t *clean_tool(const json_t *from, struct err *e)
{
    json_t *f = NULL, *p = NULL;
    const char *skip = NULL;
    if (!json_is_object(from)) {
        type_error(from, "tools", "object", e);
        return NULL;
    }
    if (field_string(from, "type", "tools.type", &skip, e) != 0 ||
        field_object(from, "function", &f, e) != 0 ||
        (f && (field_string(f, "name", "tools.function.name", &skip, e) != 0 ||
               field_string(f, "description", "tools.function.description", &skip, e) != 0)))
        return NULL;
    if (f && (p = field(f, "parameters")) && !json_is_object(p)) {
        type_error(p, "tools.function.parameters", "object", e);
        return NULL;
    }
    if (!f || p)
        return json_incref((json_t *)(uintptr_t)from);
    json_t *out = json_copy((json_t *)(uintptr_t)from), *copy = json_copy(f);
    if (!copy ||
        json_object_set_new(copy, "parameters",
                            json_pack("{s:s, s:{}}", "type", "object", "properties")) ||
        !out || json_object_set(out, "function", copy)) {
        json_decref(out);
        out = NULL;
        err_set(e, ERR_MEMORY, "out of memory");
    }
    json_decref(copy);
    return out;
}

int ask_take_tools(struct ask *a, const json_t *tools, struct err *e)
{
    json_t *list = json_array_size(tools) ? ask_keep(a, json_array(), e) : NULL;
    a->tools = NULL;
    if (!json_array_size(tools))
        return 0;
    for (size_t i = 0; list && i < json_array_size(tools); i++) {
        json_t *one = clean_tool(json_array_get(tools, i), e);
        if (!one)
            return -1;
        if (json_array_append_new(list, one))
            return err_set(e, ERR_MEMORY, "out of memory");
    }
    a->tools = list;
    return list ? 0 : -1;
}

/* Borrowed; NULL: none has that name. */
static json_t *tool_of(const json_t *tools, const char *name)
{
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const char *its =
            json_string_value(field(field(json_array_get(tools, i), "function"), "name"));
        if (its && strcmp(its, name) == 0)
            return json_array_get(tools, i);
    }
    return NULL;
}

static int unknown_tool(const char *name, struct err *e)
{
    return err_set(e, ERR_INPUT, "tool_choice: unknown tool \"%s\"", name);
}

int ask_choose_tools(struct ask *a, enum ask_tools choose, const char *name, struct err *e)
{
    if (choose == TOOLS_ONE && !tool_of(a->tools, name))
        return unknown_tool(name, e);
    a->choose = choose;
    a->choose_name = choose == TOOLS_ONE ? name : NULL;
    if (choose == TOOLS_NONE)
        a->tools = NULL;
    return 0;
}

/* {"mode", "tools"}: only these may be called; *mode is the choice among them. */
static int allow_tools(struct ask *a, const json_t *v, const char **mode, struct err *e)
{
    json_t *names = NULL, *some = ask_keep(a, json_array(), e);
    if (!some || field_string(v, "mode", "tool_choice.mode", mode, e) != 0 ||
        field_array(v, "tools", "tool_choice.tools", &names, e) != 0)
        return -1;
    for (size_t i = 0; i < json_array_size(names); i++) {
        const json_t *one = json_array_get(names, i), *f = field(one, "function");
        const char *name = json_string_value(field(f ? f : one, "name"));
        json_t *tool = tool_of(a->tools, name ? name : "");
        if (!tool)
            return unknown_tool(name ? name : "", e);
        if (json_array_append(some, tool))
            return err_set(e, ERR_MEMORY, "out of memory");
    }
    a->tools = json_array_size(some) ? some : NULL;
    return 0;
}

int ask_tool_choice(struct ask *a, const json_t *v, struct err *e)
{
    const char *word = json_string_value(v), *name = NULL;
    if (!v)
        return 0;
    if (json_is_object(v)) {
        const json_t *f = field(v, "function");
        if (field_string(v, "type", "tool_choice.type", &word, e) != 0 ||
            field_string(json_is_object(f) ? f : v, "name", "tool_choice.name", &name, e) != 0)
            return -1;
        if (word && (strcmp(word, "function") == 0 || strcmp(word, "tool") == 0))
            return ask_choose_tools(a, TOOLS_ONE, name ? name : "", e);
        if (word && strcmp(word, "allowed_tools") == 0) {
            const json_t *inner = field(v, "allowed_tools");
            if (allow_tools(a, json_is_object(inner) ? inner : v, &word, e) != 0)
                return -1;
        }
    } else if (!word) {
        return type_error(v, "tool_choice", "string", e);
    }
    if (!word || !word[0] || strcmp(word, "auto") == 0)
        return 0;
    if (strcmp(word, "none") == 0)
        return ask_choose_tools(a, TOOLS_NONE, NULL, e);
    if (strcmp(word, "required") == 0 || strcmp(word, "any") == 0)
        return ask_choose_tools(a, TOOLS_REQUIRED, NULL, e);
    return err_set(e, ERR_INPUT,
                   "invalid tool_choice: \"%s\" (must be \"none\", \"auto\", \"required\", or a "
                   "tool)",
                   word);
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

/* Calls as the templates know them: arguments are an object (12.4). */
static json_t *clean_calls(const json_t *calls)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < json_array_size(calls); i++) {
        json_t *one = json_copy(json_array_get(calls, i));
        json_t *function = one ? field(one, "function") : NULL;
        if (json_is_object(function)) {
            function = json_copy(function);
            if (!function ||
                json_object_set_new(function, "arguments",
                                    call_arguments(field(function, "arguments"))) ||
                json_object_set(one, "function", function)) {
                json_decref(one);
                one = NULL;
            }
            json_decref(function);
        }
        if (json_array_append_new(list, one)) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
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
        if (empty)
            continue;
        if (json_is_array(v) ? json_object_set_new(out, others[i], clean_calls(v))
                             : json_object_set(out, others[i], v))
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

const char *ask_prompt(const struct ask *a, int choice)
{
    const char *text = a->prompt;
    if (a->prompts) /* n choices of the first prompt, then of the second */
        text =
            json_string_value(json_array_get(a->prompts, (size_t)(choice / (a->n > 1 ? a->n : 1))));
    return text ? text : "";
}

/* Go templates know the level "max"; those of the GGUF, and harmony's, know three. */
static const char *level_of(const struct ask *a, const struct store_model *m)
{
    const char *go = a->template_text ? a->template_text : m->template_text;
    const bool known = strcmp(a->think_level, "max") || (go && !strstr(go, "<|channel|>"));
    return known ? a->think_level : "high";
}

/* What templates know of thinking (11.2). */
static int lay_thinking(const struct ask *a, const struct store_model *m,
                        const struct eng_info *info, json_t *out)
{
    if (a->think == THINK_OFF)
        return json_object_set_new(out, "enable_thinking", json_false());
    if (info->can_think && json_object_set_new(out, "enable_thinking", json_true()))
        return -1;
    if (!a->think_level)
        return 0;
    return json_object_set_new(out, "reasoning_effort", json_string(level_of(a, m)));
}

json_t *ask_conversation(const struct ask *a, int choice, const struct store_model *m,
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
        if (!a->is_chat || !first ||
            (strcasecmp(first, "system") != 0 &&
             (knows_developer || strcasecmp(first, "developer") != 0)))
            system = m->system;
    }
    if (system && add_text(list, "system", system))
        goto fail;
    for (size_t i = 0; !a->context && i < json_array_size(m->messages); i++)
        if (json_array_append_new(list,
                                  clean_message(json_array_get(m->messages, i), knows_developer)))
            goto fail;
    if (!a->is_chat && add_text(list, "user", ask_prompt(a, choice)))
        goto fail;
    for (size_t i = 0; i < json_array_size(a->messages); i++)
        if (json_array_append_new(list,
                                  clean_message(json_array_get(a->messages, i), knows_developer)))
            goto fail;
    out = json_pack("{s:O}", "messages", list);
    if (!out || lay_thinking(a, m, info, out) ||
        (a->tools && json_object_set(out, "tools", (json_t *)(uintptr_t)a->tools)))
        goto fail;
    /* A text with a hole: no conversation then, and no system text. */
    if (a->suffix && (json_object_set_new(out, "prompt", json_string(ask_prompt(a, choice))) ||
                      json_object_set_new(out, "suffix", json_string(a->suffix))))
        goto fail;
    json_decref(list);
    return out;
fail:
    json_decref(list);
    json_decref(out);
    err_set(e, ERR_MEMORY, "out of memory");
    return NULL;
}
