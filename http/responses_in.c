/* http/responses_in.c - the body of POST /v1/responses as the core's request.
 *
 * Facts: spec/api.md 9.5, 12.6, 22.1, 24.1, 26. The route keeps no state: what asks for an earlier
 * answer is refused, since a history that is lost without a word is worse. */
#include "http/responses.h"

#include <string.h>
#include <strings.h>

struct reading { /* the input, item by item */
    json_t *list, *names;
    struct turn turn;    /* the assistant's, which calls of tools may still join */
    struct buf thinking; /* of its next message */
};

static const char *type_of(const json_t *item)
{
    const char *s = json_string_value(field(item, "type"));
    return s ? s : "";
}

static int end_turn(struct reading *r, struct err *e)
{
    return turn_end(&r->turn, "assistant", r->list, e);
}

/* The assistant's turn; what it thought before comes in. */
static void begin_turn(struct reading *r)
{
    if (r->thinking.n || r->thinking.failed)
        turn_thinking(&r->turn, r->thinking.p, r->thinking.n);
    r->turn.failed = r->turn.failed || r->thinking.failed;
    buf_free(&r->thinking);
}

/* ---- parts ----------------------------------------------------------------------------------- */

static int take_image(const json_t *part, struct turn *t, struct err *e)
{
    const char *url = NULL;
    if (field_string(part, "image_url", "input.content.image_url", &url, e) != 0)
        return -1;
    if (!url || !url[0])
        return 0;
    if (strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0)
        return err_set(e, ERR_INPUT,
                       "image URLs are not currently supported, please use base64 encoded data "
                       "instead");
    const char *data = without_data_prefix(url);
    if (data == url || base64_fault(data, strlen(data)) >= 0)
        return err_set(e, ERR_INPUT, "invalid image input");
    turn_image(t, data);
    return 0;
}

static int take_part(const json_t *part, struct turn *t, struct err *e)
{
    if (!json_is_object(part))
        return type_error(part, "input.content", "object", e);
    const char *type = type_of(part);
    if (strcmp(type, "input_text") == 0 || strcmp(type, "output_text") == 0) {
        const json_t *text = field(part, "text");
        if (text && !json_is_string(text))
            return type_error(text, "input.content.text", "string", e);
        if (text)
            turn_text(t, json_string_value(text), json_string_length(text));
        return 0;
    }
    if (strcmp(type, "input_image") == 0)
        return take_image(part, t, e);
    if (strcmp(type, "input_file") == 0)
        return err_set(e, ERR_INPUT, "file inputs are not currently supported");
    return err_set(e, ERR_INPUT, "unknown content type: %s", type);
}

/* A string, or a list of parts. */
static int take_content(const json_t *v, const char *where, struct turn *t, struct err *e)
{
    if (!v)
        return 0;
    if (json_is_string(v)) {
        turn_text(t, json_string_value(v), json_string_length(v));
        return 0;
    }
    if (!json_is_array(v))
        return type_error(v, where, "string", e);
    for (size_t i = 0; i < json_array_size(v); i++)
        if (take_part(json_array_get(v, i), t, e) != 0)
            return -1;
    return 0;
}

/* ---- items ----------------------------------------------------------------------------------- */

static int take_message(struct reading *r, const json_t *item, struct err *e)
{
    const char *role = NULL;
    if (field_string(item, "role", "input.role", &role, e) != 0)
        return -1;
    if (!role || !role[0])
        return err_set(e, ERR_INPUT, "message role is required");
    if (end_turn(r, e) != 0)
        return -1;
    r->turn.is_kept = true;
    const bool is_own = strcasecmp(role, "assistant") == 0;
    if (is_own)
        begin_turn(r);
    if (take_content(field(item, "content"), "input.content", &r->turn, e) != 0)
        return -1;
    return is_own ? 0 : turn_end(&r->turn, role, r->list, e);
}

static int take_call(struct reading *r, const json_t *item, struct err *e)
{
    const char *id = NULL, *name = NULL, *text = "";
    if (field_string(item, "call_id", "input.call_id", &id, e) != 0 ||
        field_string(item, "name", "input.name", &name, e) != 0 ||
        field_string(item, "arguments", "input.arguments", &text, e) != 0)
        return -1;
    if (r->thinking.n && end_turn(r, e) != 0) /* it thought anew: another turn */
        return -1;
    begin_turn(r);
    struct err why = {0};
    json_t *args = text[0] ? body_parse(text, strlen(text), &why) : json_object();
    if (!args)
        return err_set(e, ERR_INPUT, "failed to parse function call arguments: %s", why.text);
    turn_call(&r->turn, id ? id : "", name ? name : "", args, r->names);
    return 0;
}

static int take_result(struct reading *r, const json_t *item, struct err *e)
{
    struct turn t = {0};
    const char *id = "";
    if (field_string(item, "call_id", "input.call_id", &id, e) != 0 || end_turn(r, e) != 0)
        return -1;
    if (take_content(field(item, "output"), "input.output", &t, e) != 0) {
        turn_free(&t);
        return -1;
    }
    return turn_end_result(&t, id, r->names, r->list, e);
}

static void take_reasoning(struct reading *r, const json_t *item)
{
    const json_t *text = field(item, "encrypted_content"), *parts = field(item, "summary");
    if (json_is_string(text)) {
        buf_add(&r->thinking, json_string_value(text), json_string_length(text));
        return;
    }
    for (size_t i = 0; json_is_array(parts) && i < json_array_size(parts); i++) {
        text = field(json_array_get(parts, i), "text");
        if (json_is_string(text))
            buf_add(&r->thinking, json_string_value(text), json_string_length(text));
    }
}

static int take_item(struct reading *r, const json_t *item, struct err *e)
{
    if (!json_is_object(item))
        return type_error(item, "input", "object", e);
    const char *type = type_of(item);
    if (!type[0] && !(field(item, "role") && field(item, "content")))
        return err_set(e, ERR_INPUT, "input item missing required 'type' field");
    if (!type[0] || strcmp(type, "message") == 0)
        return take_message(r, item, e);
    if (strcmp(type, "function_call") == 0)
        return take_call(r, item, e);
    if (strcmp(type, "function_call_output") == 0)
        return take_result(r, item, e);
    if (strcmp(type, "reasoning") == 0)
        take_reasoning(r, item);
    else if (strcmp(type, "item_reference") == 0)
        return err_set(e, ERR_INPUT,
                       "item_reference is not supported: no answer is stored, send the items "
                       "themselves (store: false makes clients do so)");
    else if (strcmp(type, "web_search_call") != 0)
        return err_set(e, ERR_INPUT, "unknown input item type: \"%s\"", type);
    return 0;
}

static int take_items(struct reading *r, const json_t *input, struct err *e)
{
    for (size_t i = 0; i < json_array_size(input); i++) {
        struct err why = {0};
        if (take_item(r, json_array_get(input, i), &why) == 0)
            continue;
        /* As the reference says it: the place goes before all but this one. */
        if (why.code != ERR_INPUT || strncmp(why.text, "file inputs", 11) == 0)
            return err_set(e, why.code, "%s", why.text);
        return err_set(e, ERR_INPUT, "input[%zu]: %s", i, why.text);
    }
    return end_turn(r, e);
}

static int take_input(struct ask *a, struct err *e)
{
    const char *instructions = NULL;
    const json_t *input = field(a->body, "input");
    struct reading r = {0};
    if (field_string(a->body, "instructions", "instructions", &instructions, e) != 0)
        return -1;
    if (input && !json_is_string(input) && !json_is_array(input)) {
        struct err why = {0};
        type_error(input, "input", "array", &why);
        return err_set(e, ERR_INPUT, "input must be a string or array: %s", why.text);
    }
    if (!input || (json_is_string(input) ? !json_string_length(input) : !json_array_size(input)))
        return 0; /* load only */
    if (json_array_size(input) > MAX_MESSAGES)
        return err_set(e, ERR_LIMIT, "more than %d input items", MAX_MESSAGES);
    r.list = ask_keep(a, json_array(), e);
    r.names = r.list ? ask_keep(a, json_object(), e) : NULL;
    if (!r.names)
        return -1;
    if (instructions) {
        turn_text(&r.turn, instructions, strlen(instructions));
        if (turn_end(&r.turn, "system", r.list, e) != 0)
            return -1;
    }
    int rc;
    if (json_is_string(input)) {
        turn_text(&r.turn, json_string_value(input), json_string_length(input));
        rc = turn_end(&r.turn, "user", r.list, e);
    } else {
        rc = take_items(&r, input, e);
    }
    turn_free(&r.turn);
    buf_free(&r.thinking);
    if (rc != 0)
        return -1;
    a->messages = r.list;
    return ask_check_messages(a, e);
}

/* ---- tools ----------------------------------------------------------------------------------- */

/* The flat form as 12.1 has it, the name behind that of its group. */
static int take_function(const json_t *from, const char *group, json_t *list, struct err *e)
{
    static const char *const keys[] = {"description", "parameters", "strict"};
    const char *name = NULL;
    if (json_is_object(field(from, "function")))
        return json_array_append(list, (json_t *)(uintptr_t)from)
                   ? err_set(e, ERR_MEMORY, "out of memory")
                   : 0;
    if (field_string(from, "name", "tools.name", &name, e) != 0)
        return -1;
    if (!name || !name[0])
        return err_set(e, ERR_INPUT, "tools: a tool has no name");
    json_t *f = json_object();
    int bad = json_object_set_new(
        f, "name", json_sprintf("%s%s%s", group ? group : "", group ? "." : "", name));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        json_t *v = field(from, keys[i]);
        if (v)
            bad |= json_object_set(f, keys[i], v);
    }
    if (bad) {
        json_decref(f);
        return err_set(e, ERR_MEMORY, "out of memory");
    }
    if (json_array_append_new(list, json_pack("{s:s, s:o}", "type", "function", "function", f)))
        return err_set(e, ERR_MEMORY, "out of memory");
    return 0;
}

static int take_tool_list(const json_t *tools, const char *group, json_t *list, size_t *n_dropped,
                          struct err *e)
{
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *one = json_array_get(tools, i);
        if (!json_is_object(one))
            return type_error(one, "tools", "object", e);
        if (strcmp(type_of(one), "function") == 0) {
            if (take_function(one, group, list, e) != 0)
                return -1;
        } else if (strcmp(type_of(one), "namespace") == 0 && !group) {
            const char *name = "";
            json_t *inner = NULL;
            if (field_string(one, "name", "tools.name", &name, e) != 0 ||
                field_array(one, "tools", "tools.tools", &inner, e) != 0 ||
                take_tool_list(inner, name, list, n_dropped, e) != 0)
                return -1;
        } else {
            ++*n_dropped;
        }
    }
    return 0;
}

static int take_tools(struct ask *a, struct err *e)
{
    json_t *tools = NULL;
    bool parallel = true;
    if (field_array(a->body, "tools", "tools", &tools, e) != 0 ||
        field_bool(a->body, "parallel_tool_calls", &parallel, NULL, e) != 0)
        return -1;
    a->one_call = !parallel;
    json_t *list = ask_keep(a, json_array(), e);
    size_t n_dropped = 0;
    if (!list || take_tool_list(tools, NULL, list, &n_dropped, e) != 0)
        return -1;
    if (n_dropped)
        log_line(LOG_WARN, "/v1/responses: %zu tools of types that are not served were dropped",
                 n_dropped);
    if (ask_take_tools(a, list, e) != 0)
        return -1;
    return ask_tool_choice(a, field(a->body, "tool_choice"), e);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static int take_format(struct ask *a, struct err *e)
{
    json_t *text = NULL, *format = NULL;
    if (field_object(a->body, "text", &text, e) != 0 ||
        (text && field_object(text, "format", &format, e) != 0))
        return -1;
    if (!format)
        return 0;
    if (strcmp(type_of(format), "json_object") == 0) {
        a->format = ask_keep(a, json_string("json"), e);
        return a->format ? 0 : -1;
    }
    if (strcmp(type_of(format), "json_schema") != 0)
        return 0;
    return ask_schema(a, format, "text.format.schema", e);
}

static int take_reasoning_effort(struct ask *a, struct err *e)
{
    json_t *reasoning = NULL;
    const char *word = NULL;
    if (field_object(a->body, "reasoning", &reasoning, e) != 0 ||
        (reasoning && field_string(reasoning, "effort", "reasoning.effort", &word, e) != 0))
        return -1;
    return word && word[0] ? openai_effort(a, word, e) : 0;
}

/* `include` asks for the probabilities of the text's tokens. */
static int take_logprobs(struct ask *a, struct err *e)
{
    json_t *include = NULL;
    json_int_t top = 0;
    if (field_array(a->body, "include", "include", &include, e) != 0 ||
        ask_strings_only(include, "include", e) != 0 ||
        field_int(a->body, "top_logprobs", &top, e) != 0)
        return -1;
    if (top < 0 || top > 20)
        return err_set(e, ERR_INPUT, "top_logprobs must be between 0 and 20");
    for (size_t i = 0; i < json_array_size(include); i++)
        if (strcmp(json_string_value(json_array_get(include, i)), "message.output_text.logprobs") ==
            0)
            a->logprobs = true;
    a->top_logprobs = a->logprobs ? (int)top : 0;
    return 0;
}

static int check_state(const struct ask *a, struct err *e)
{
    const json_t *before = field(a->body, "previous_response_id");
    if (before && !(json_is_string(before) && !json_string_length(before)))
        return err_set(e, ERR_INPUT, "previous_response_id is not supported");
    if (field(a->body, "conversation"))
        return err_set(e, ERR_INPUT, "previous_response_id is not supported, nor is conversation");
    return 0;
}

int responses_parse(struct ask *a, struct err *e)
{
    json_int_t most = 0;
    json_t *metadata = NULL;
    const char *truncation = NULL;
    bool background = false;
    a->is_chat = true;
    if (field_string(a->body, "model", "model", &a->model, e) != 0)
        return -1;
    if (!a->model || !a->model[0])
        return err_set(e, ERR_INPUT, "model is required");
    if (check_state(a, e) != 0 || take_input(a, e) != 0 ||
        field_int(a->body, "max_output_tokens", &most, e) != 0 ||
        field_object(a->body, "metadata", &metadata, e) != 0 ||
        field_string(a->body, "truncation", "truncation", &truncation, e) != 0 ||
        field_bool(a->body, "background", &background, NULL, e) != 0)
        return -1;
    json_t *more = json_object();
    if (field(a->body, "max_output_tokens") &&
        json_object_set_new(more, "num_predict", json_integer(most < -1 ? -1 : most)) != 0) {
        json_decref(more);
        return err_set(e, ERR_MEMORY, "out of memory");
    }
    if (openai_common(a, more, e) != 0)
        return -1;
    /* OpenAI's own word for the cut of 9.5; ours wins where both are sent. */
    if (truncation && strcmp(truncation, "auto") == 0 && !field(a->body, "truncate"))
        a->no_truncate = false;
    if (take_logprobs(a, e) != 0 || take_format(a, e) != 0 || take_reasoning_effort(a, e) != 0)
        return -1;
    return take_tools(a, e);
}
