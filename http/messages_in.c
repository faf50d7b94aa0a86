/* http/messages_in.c - the body of POST /v1/messages, and of its count_tokens, as the core's
 * request.
 *
 * Facts: spec/api.md 9.5, 12.6, 25.1, 25.2, 26. Checked in the order that 25.1 gives. Tools are
 * offered to the core in the form of 12.1; whether they can be used is the core's word. */
#include "http/messages.h"

#include <string.h>

static bool is_text(const json_t *v, const char *word)
{
    return json_is_string(v) && strcmp(json_string_value(v), word) == 0;
}

static const char *type_of(const json_t *block)
{
    const char *s = json_string_value(field(block, "type"));
    return s ? s : "";
}

/* ---- content blocks -------------------------------------------------------------------------- */

/* A block's text into the turn; -1 when it is no string. */
static int take_text(const json_t *block, const char *key, struct turn *t, bool is_thinking,
                     struct err *e)
{
    const json_t *v = field(block, key);
    if (v && !json_is_string(v)) {
        char where[64];
        snprintf(where, sizeof where, "messages.content.%s", key);
        return type_error(v, where, "string", e);
    }
    if (v)
        (is_thinking ? turn_thinking : turn_text)(t, json_string_value(v), json_string_length(v));
    return 0;
}

static int take_image(const json_t *block, struct turn *t, struct err *e)
{
    const json_t *source = field(block, "source");
    const char *type = "", *data = "";
    if (!json_is_object(source))
        return err_set(e, ERR_INPUT, "invalid image source");
    if (field_string(source, "type", "messages.content.source.type", &type, e) != 0)
        return -1;
    if (strcmp(type, "base64") != 0)
        return err_set(e, ERR_INPUT,
                       "invalid image source type: %s. Only base64 images are supported.", type);
    if (field_string(source, "data", "messages.content.source.data", &data, e) != 0)
        return -1;
    data = without_data_prefix(data);
    const long bad = base64_fault(data, strlen(data));
    if (bad >= 0)
        return err_set(e, ERR_INPUT,
                       "invalid base64 image data: illegal base64 data at input byte %ld", bad);
    turn_image(t, data);
    return 0;
}

static int take_call(const json_t *block, struct turn *t, json_t *names, struct err *e)
{
    const char *id = NULL, *name = NULL;
    json_t *input = NULL;
    if (field_string(block, "id", "messages.content.id", &id, e) != 0 ||
        field_string(block, "name", "messages.content.name", &name, e) != 0)
        return -1;
    if (!id || !id[0])
        return err_set(e, ERR_INPUT, "tool_use block missing required 'id' field");
    if (!name || !name[0])
        return err_set(e, ERR_INPUT, "tool_use block missing required 'name' field");
    input = field(block, "input");
    if (input && !json_is_object(input))
        return type_error(input, "messages.content.input", "object", e);
    turn_call(t, id, name, input ? json_incref(input) : json_object(), names);
    return 0;
}

/* What a search found, as lines of text. */
static void take_search_result(const json_t *content, struct turn *t)
{
    const char *why = json_string_value(field(content, "error_code"));
    if (why) {
        turn_text(t, "Error: ", 7);
        turn_text(t, why, strlen(why));
    }
    for (size_t i = 0; json_is_array(content) && i < json_array_size(content); i++) {
        const json_t *one = json_array_get(content, i);
        const char *title = json_string_value(field(one, "title"));
        const char *url = json_string_value(field(one, "url"));
        turn_text(t, "- ", 2);
        turn_text(t, title ? title : "", title ? strlen(title) : 0);
        turn_text(t, ": ", 2);
        turn_text(t, url ? url : "", url ? strlen(url) : 0);
        turn_text(t, "\n", 1);
    }
}

/* A tool_result or web_search_tool_result block: a message of its own in `list`. */
static int take_result(const json_t *block, const json_t *names, json_t *list, struct err *e)
{
    struct turn t = {0};
    const char *id = "";
    bool is_error = false;
    const json_t *content = field(block, "content");
    if (field_string(block, "tool_use_id", "messages.content.tool_use_id", &id, e) != 0 ||
        field_bool(block, "is_error", &is_error, NULL, e) != 0)
        return -1;
    if (is_error)
        turn_text(&t, "Error: ", 7);
    if (strcmp(type_of(block), "tool_result") != 0) {
        take_search_result(content, &t);
    } else if (json_is_string(content)) {
        turn_text(&t, json_string_value(content), json_string_length(content));
    } else if (content && !json_is_array(content)) {
        type_error(content, "messages.content.content", "string", e);
        goto fail;
    }
    for (size_t i = 0; json_is_array(content) && i < json_array_size(content); i++) {
        const json_t *part = json_array_get(content, i);
        if (strcmp(type_of(block), "tool_result") != 0)
            break;
        if (!json_is_object(part)) {
            type_error(part, "messages.content.content", "object", e);
            goto fail;
        }
        if (strcmp(type_of(part), "text") == 0 && take_text(part, "text", &t, false, e) != 0)
            goto fail;
        if (strcmp(type_of(part), "image") == 0 && take_image(part, &t, e) != 0)
            goto fail;
    }
    return turn_end_result(&t, id, names, list, e);
fail:
    turn_free(&t);
    return -1;
}

/* Plain text is text. Other sources (PDF, addresses) are dropped as the page says, but not silently. */
static int take_document(const json_t *block, struct turn *t, struct err *e)
{
    const json_t *source = field(block, "source");
    if (strcmp(type_of(source), "text") == 0)
        return take_text(source, "data", t, false, e);
    log_line(LOG_WARN, "/v1/messages: a document that is not plain text is not read, it was dropped");
    return 0;
}

static int take_block(const json_t *block, struct turn *t, json_t *results, json_t *names,
                      struct err *e)
{
    const char *type = type_of(block);
    if (!json_is_object(block))
        return type_error(block, "messages.content", "object", e);
    if (strcmp(type, "text") == 0)
        return take_text(block, "text", t, false, e);
    if (strcmp(type, "thinking") == 0)
        return take_text(block, "thinking", t, true, e);
    if (strcmp(type, "image") == 0)
        return take_image(block, t, e);
    if (strcmp(type, "tool_use") == 0 || strcmp(type, "server_tool_use") == 0)
        return take_call(block, t, names, e);
    if (strcmp(type, "tool_result") == 0 || strcmp(type, "web_search_tool_result") == 0)
        return take_result(block, names, results, e);
    if (strcmp(type, "document") == 0)
        return take_document(block, t, e);
    return 0; /* redacted_thinking, search_result, what is not known: dropped (25.2) */
}

/* One message of theirs: none, one or more of ours. Results of tools come before the text of the
 * user, and after what the assistant said. */
static int take_message(const json_t *from, json_t *list, json_t *names, struct err *e)
{
    const char *role = NULL;
    struct turn t = {0};
    int rc = -1;
    if (!json_is_object(from))
        return type_error(from, "messages", "object", e);
    if (field_string(from, "role", "messages.role", &role, e) != 0)
        return -1;
    if (!role || !role[0])
        return err_set(e, ERR_INPUT, "message role is required");
    const json_t *content = field(from, "content");
    json_t *results = json_array();
    if (!results)
        return err_set(e, ERR_MEMORY, "out of memory");
    if (json_is_string(content))
        turn_text(&t, json_string_value(content), json_string_length(content));
    else if (content && !json_is_array(content)) {
        type_error(content, "messages.content", "string", e);
        goto done;
    }
    for (size_t i = 0; json_is_array(content) && i < json_array_size(content); i++)
        if (take_block(json_array_get(content, i), &t, results, names, e) != 0)
            goto done;
    const bool is_own = strcasecmp(role, "assistant") == 0;
    if (is_own && turn_end(&t, role, list, e) != 0)
        goto done;
    if (json_array_extend(list, results) != 0) {
        err_set(e, ERR_MEMORY, "out of memory");
        goto done;
    }
    rc = is_own ? 0 : turn_end(&t, role, list, e);
done:
    turn_free(&t);
    json_decref(results);
    return rc;
}

/* A string, or blocks of text; nothing else counts. */
static int take_system(const json_t *v, json_t *list, struct err *e)
{
    struct turn t = {0};
    if (json_is_string(v)) {
        turn_text(&t, json_string_value(v), json_string_length(v));
    } else if (v && !json_is_array(v)) {
        return type_error(v, "system", "string", e);
    }
    for (size_t i = 0; json_is_array(v) && i < json_array_size(v); i++) {
        const json_t *block = json_array_get(v, i);
        const json_t *text = field(block, "text");
        const bool is_right = json_is_object(block) && (!text || json_is_string(text));
        if (!is_right) {
            turn_free(&t);
            return type_error(json_is_object(block) ? text : block, "system",
                              json_is_object(block) ? "string" : "object", e);
        }
        if (text && strcmp(type_of(block), "text") == 0)
            turn_text(&t, json_string_value(text), json_string_length(text));
    }
    return turn_end(&t, "system", list, e);
}

static int take_messages(struct ask *a, struct err *e)
{
    json_t *messages = NULL, *list = ask_keep(a, json_array(), e);
    json_t *names = list ? ask_keep(a, json_object(), e) : NULL;
    if (!names || field_array(a->body, "messages", "messages", &messages, e) != 0)
        return -1;
    if (!json_array_size(messages))
        return err_set(e, ERR_INPUT, "messages is required");
    if (json_array_size(messages) > MAX_MESSAGES)
        return err_set(e, ERR_LIMIT, "more than %d messages", MAX_MESSAGES);
    if (take_system(field(a->body, "system"), list, e) != 0)
        return -1;
    const size_t n_system = json_array_size(list);
    for (size_t i = 0; i < json_array_size(messages); i++)
        if (take_message(json_array_get(messages, i), list, names, e) != 0)
            return -1;
    if (json_array_size(list) == n_system) /* only empty ones, and those are dropped */
        return err_set(e, ERR_INPUT, "messages is required");
    a->messages = list;
    return ask_check_messages(a, e);
}

/* ---- tools ----------------------------------------------------------------------------------- */

/* {name, description, input_schema} in the core's form; NULL and `e`. */
static json_t *take_tool(const json_t *from, struct err *e)
{
    const char *name = NULL, *text = NULL;
    if (!json_is_object(from)) {
        type_error(from, "tools", "object", e);
        return NULL;
    }
    if (field_string(from, "name", "tools.name", &name, e) != 0 ||
        field_string(from, "description", "tools.description", &text, e) != 0)
        return NULL;
    if (!name || !name[0]) {
        err_set(e, ERR_INPUT, "tools: a tool has no name");
        return NULL;
    }
    json_t *schema = field(from, "input_schema");
    if (schema && !json_is_object(schema)) {
        err_set(e, ERR_INPUT, "invalid input_schema for tool \"%s\": it must be an object", name);
        return NULL;
    }
    json_t *f = json_pack("{s:s}", "name", name);
    if ((text && json_object_set_new(f, "description", json_string(text))) ||
        (schema ? json_object_set(f, "parameters", schema)
                : json_object_set_new(f, "parameters",
                                      json_pack("{s:s, s:{}}", "type", "object", "properties")))) {
        json_decref(f);
        f = NULL;
    }
    json_t *tool = json_pack("{s:s, s:o}", "type", "function", "function", f);
    if (!tool)
        err_set(e, ERR_MEMORY, "out of memory");
    return tool;
}

static int take_tools(struct ask *a, struct err *e)
{
    json_t *tools = NULL;
    if (field_array(a->body, "tools", "tools", &tools, e) != 0)
        return -1;
    if (!json_array_size(tools))
        return 0;
    size_t n_dropped = 0;
    json_t *list = ask_keep(a, json_array(), e);
    for (size_t i = 0; list && i < json_array_size(tools); i++) {
        const json_t *from = json_array_get(tools, i);
        if (json_is_object(from) && strncmp(type_of(from), "web_search", 10) == 0) {
            n_dropped++;
            continue;
        }
        json_t *tool = take_tool(from, e);
        if (!tool)
            return -1;
        if (json_array_append_new(list, tool) != 0)
            return err_set(e, ERR_MEMORY, "out of memory");
    }
    if (!list)
        return -1;
    if (n_dropped)
        log_line(LOG_WARN, "/v1/messages: the tool web_search is not served, it was dropped");
    return ask_take_tools(a, list, e);
}

static int take_tool_choice(struct ask *a, struct err *e)
{
    json_t *v = NULL;
    if (field_object(a->body, "tool_choice", &v, e) != 0 ||
        (v && field_bool(v, "disable_parallel_tool_use", &a->one_call, NULL, e) != 0))
        return -1;
    return ask_tool_choice(a, v, e);
}

/* ---- the rest -------------------------------------------------------------------------------- */

static int take_thinking(struct ask *a, struct err *e)
{
    static const char *const levels[][2] = {
        {"low", "low"}, {"medium", "medium"}, {"high", "high"}, {"max", "max"}, {"xhigh", "high"},
    };
    json_t *thinking = NULL, *output = NULL;
    const char *effort = NULL;
    if (field_object(a->body, "thinking", &thinking, e) != 0 ||
        field_object(a->body, "output_config", &output, e) != 0 ||
        (output && field_string(output, "effort", "output_config.effort", &effort, e) != 0))
        return -1;
    a->think_if_able = true;
    if (is_text(field(thinking, "type"), "enabled"))
        a->think = THINK_ON;
    else if (is_text(field(thinking, "type"), "disabled"))
        a->think = THINK_OFF;
    if (a->think != THINK_UNSET || !effort)
        return 0;
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (strcmp(levels[i][0], effort) == 0) {
            a->think = THINK_ON;
            a->think_level = levels[i][1];
            return 0;
        }
    return err_set(e, ERR_INPUT,
                   "invalid effort value: \"%s\" (must be \"low\", \"medium\", \"high\", "
                   "\"xhigh\", or \"max\")",
                   effort);
}

/* `output_config.format`, or `output_format` as an older beta named it. */
static int take_format(struct ask *a, struct err *e)
{
    json_t *output = NULL, *format = NULL, *older = NULL;
    if (field_object(a->body, "output_config", &output, e) != 0 ||
        (output && field_object(output, "format", &format, e) != 0) ||
        field_object(a->body, "output_format", &older, e) != 0)
        return -1;
    if (!format)
        format = older;
    if (!format)
        return 0;
    if (strcmp(type_of(format), "json_schema") != 0)
        return err_set(e, ERR_INPUT, "output_config.format.type must be \"json_schema\"");
    return ask_schema(a, format, "output_config.format.schema", e);
}

/* A number from the body among the options of the core, under its name there. */
static int take_number(struct ask *a, const char *key, const char *option, bool is_int,
                       json_t *options, struct err *e)
{
    json_t *v = field(a->body, key);
    if (!v)
        return 0;
    if (is_int ? !json_is_integer(v) : !json_is_number(v))
        return type_error(v, key, is_int ? "integer" : "number", e);
    return json_object_set(options, option, v) ? err_set(e, ERR_MEMORY, "out of memory") : 0;
}

static int take_options(struct ask *a, struct err *e)
{
    json_t *own = NULL, *stops = NULL;
    if (field_object(a->body, "options", &own, e) != 0 ||
        field_array(a->body, "stop_sequences", "stop_sequences", &stops, e) != 0 ||
        ask_strings_only(stops, "stop_sequences", e) != 0)
        return -1;
    json_t *o = ask_keep(a, json_object(), e);
    if (!o || take_number(a, "max_tokens", "num_predict", true, o, e) != 0 ||
        take_number(a, "temperature", "temperature", false, o, e) != 0 ||
        take_number(a, "top_p", "top_p", false, o, e) != 0 ||
        take_number(a, "top_k", "top_k", true, o, e) != 0)
        return -1;
    if ((json_array_size(stops) && json_object_set(o, "stop", stops)) ||
        (own && json_object_update(o, own)))
        return err_set(e, ERR_MEMORY, "out of memory");
    a->options = o;
    return 0;
}

static int check_max_tokens(const struct ask *a, struct err *e)
{
    const json_t *v = field(a->body, "max_tokens");
    if (v && !json_is_integer(v))
        return type_error(v, "max_tokens", "integer", e);
    if (!v || json_integer_value(v) <= 0)
        return err_set(e, ERR_INPUT, "max_tokens is required and must be positive");
    return 0;
}

static int parse(struct ask *a, bool is_count, struct err *e)
{
    a->is_chat = true;
    a->no_truncate = true; /* 9.5: `truncate` asks for the cut */
    if (field_string(a->body, "model", "model", &a->model, e) != 0)
        return -1;
    if (!a->model || !a->model[0])
        return err_set(e, ERR_INPUT, "model is required");
    if ((!is_count && check_max_tokens(a, e) != 0) || take_messages(a, e) != 0 ||
        field_bool(a->body, "stream", &a->stream, NULL, e) != 0 || take_options(a, e) != 0 ||
        ask_limits(a, e) != 0 || ask_keep_alive(a, e) != 0 || take_thinking(a, e) != 0 ||
        take_format(a, e) != 0 || take_tools(a, e) != 0)
        return -1;
    return take_tool_choice(a, e);
}

int messages_parse(struct ask *a, struct err *e)
{
    return parse(a, false, e);
}

int messages_parse_count(struct ask *a, struct err *e)
{
    return parse(a, true, e);
}
