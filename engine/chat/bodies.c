/* engine/chat/bodies.c - what stands between the tags of a call -> its name and arguments.
 *
 * Facts: spec/modelfile-and-templates.md 8.2 to 8.14. A body is complete when it comes here; one
 * that cannot be read is no call, and its text stays content. */
#include "engine/chat/split.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

void text_trim(const char **p, size_t *n)
{
    while (*n && is_blank(**p)) {
        ++*p;
        --*n;
    }
    while (*n && is_blank((*p)[*n - 1]))
        --*n;
}

const char *text_find(const char *p, size_t n, const char *what)
{
    return memmem(p, n, what, strlen(what));
}

/* ---- the tools that were offered ------------------------------------------------------------- */

static const json_t *tool_named(const json_t *tools, const char *name, size_t n)
{
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *f = json_object_get(json_array_get(tools, i), "function");
        const json_t *own = json_object_get(f, "name");
        if (json_string_length(own) == n && !memcmp(json_string_value(own), name, n))
            return f;
    }
    return NULL;
}

bool tool_is_known(const json_t *tools, const char *name, size_t n)
{
    return tool_named(tools, name, n) != NULL;
}

const json_t *tool_parameters(const json_t *tools, const char *name, size_t n)
{
    const json_t *f = tool_named(tools, name, n);
    return f ? json_object_get(f, "parameters") : NULL;
}

int call_add(json_t *calls, const char *name, size_t n, json_t *args, const json_t *id,
             bool *out_of_memory)
{
    json_t *call = args ? json_pack("{s:s%, s:o}", "name", name, n, "arguments", args) : NULL;
    if (call && json_is_string(id) && json_object_set(call, "id", (json_t *)(uintptr_t)id)) {
        json_decref(call);
        call = NULL;
    }
    if (!call || json_array_append_new(calls, call)) {
        *out_of_memory = true;
        return -1;
    }
    return 0;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

size_t json_span(const char *p, size_t n)
{
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < n; i++) {
        const char c = p[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            if (depth && !--depth)
                return i + 1;
        }
        if (!depth && !in_string)
            return 0; /* it begins with neither */
    }
    return 0;
}

/* Arguments as an object: it may come as text that holds one. New reference, NULL: neither. */
static json_t *arguments_of(json_t *v)
{
    if (json_is_object(v))
        return json_incref(v);
    if (json_is_null(v) || (json_is_string(v) && !json_string_length(v)))
        return json_object();
    if (!json_is_string(v))
        return NULL;
    json_t *inner = json_loads(json_string_value(v), 0, NULL);
    if (json_is_object(inner))
        return inner;
    json_decref(inner);
    return NULL;
}

static int object_call(json_t *o, const json_t *tools, json_t *calls, bool *oom)
{
    static const char *const names[] = {"name", "tool_name"};
    static const char *const arguments[] = {"arguments", "parameters", "args"};
    json_t *name = NULL, *args = NULL, *inner = json_object_get(o, "function");
    if (json_is_object(inner))
        return object_call(inner, tools, calls, oom);
    for (size_t i = 0; i < 2 && !json_is_string(name); i++)
        name = json_object_get(o, names[i]);
    if (!json_is_string(name) && json_is_string(inner))
        name = inner;
    for (size_t i = 0; i < 3 && !args; i++)
        args = json_object_get(o, arguments[i]);
    if (json_is_string(name)) {
        json_t *a = args ? arguments_of(args) : json_object();
        if (!a)
            return -1;
        if (!strcmp(json_string_value(name), "directly-answer")) {
            json_decref(a);
            return 0;
        }
        json_t *id = json_object_get(o, "id");
        return call_add(calls, json_string_value(name), json_string_length(name), a, id, oom);
    }
    if (json_object_size(o) == 1) { /* {"get_weather": {..}} */
        const char *key = json_object_iter_key(json_object_iter(o));
        json_t *v = json_object_get(o, key);
        if (json_is_object(v) && tool_is_known(tools, key, strlen(key)))
            return call_add(calls, key, strlen(key), json_incref(v), NULL, oom);
    }
    return -1;
}

static int json_items(const char *p, size_t n, bool in_list, const json_t *tools, json_t *calls,
                      bool *oom)
{
    size_t some = 0;
    for (size_t i = 0;;) {
        while (i < n && (is_blank(p[i]) || p[i] == ',' || p[i] == ';'))
            i++;
        if (i == n)
            return some ? 0 : -1;
        const size_t len = json_span(p + i, n - i);
        json_t *v = len ? json_loadb(p + i, len, JSON_ALLOW_NUL, NULL) : NULL;
        int rc = -1;
        if (json_is_object(v)) {
            rc = object_call(v, tools, calls, oom);
        } else if (json_is_array(v)) {
            rc = json_array_size(v) ? 0 : -1;
            for (size_t k = 0; k < json_array_size(v) && !rc; k++)
                rc = json_is_object(json_array_get(v, k))
                         ? object_call(json_array_get(v, k), tools, calls, oom)
                         : -1;
        } else if (len && p[i] == '[' && !in_list) { /* commas too many, or none */
            rc = json_items(p + i + 1, len - 2, true, tools, calls, oom);
        }
        json_decref(v);
        if (rc)
            return -1;
        some++;
        i += len;
    }
}

/* Objects and lists of objects, one after another, with blanks, commas and semicolons between. */
int json_body(const char *p, size_t n, const json_t *tools, json_t *calls, bool *oom)
{
    return json_items(p, n, false, tools, calls, oom);
}

/* NAME, a mark, an object; DeepSeek's older form has "function", the mark, the name, and a fence.
 */
static int named_body(const struct call_format *f, const char *p, size_t n, json_t *calls,
                      bool *oom)
{
    const char *mark = text_find(p, n, f->name_end);
    if (!mark)
        return -1;
    const char *name = p, *rest = mark + strlen(f->name_end), *end = p + n;
    size_t n_name = (size_t)(mark - p);
    json_t *id = NULL;
    if (f->kind == CALLS_MISTRAL_NAMED) {
        const char *at = text_find(name, n_name, "[CALL_ID]");
        if (at) {
            const char *from = at + 9;
            id = json_stringn(from, (size_t)(mark - from));
            n_name = (size_t)(at - name);
        }
    }
    text_trim(&name, &n_name);
    if (f->kind == CALLS_DEEPSEEK && n_name == 8 && !memcmp(name, "function", 8)) {
        const char *line = memchr(rest, '\n', (size_t)(end - rest));
        if (!line)
            return -1;
        name = rest;
        n_name = (size_t)(line - rest);
        text_trim(&name, &n_name);
    }
    if (f->kind == CALLS_KIMI) { /* functions.NAME:INDEX is the id */
        id = json_stringn(name, n_name);
        if (n_name > 10 && !memcmp(name, "functions.", 10)) {
            name += 10;
            n_name -= 10;
        }
        for (size_t k = n_name; k-- > 0;)
            if (name[k] == ':') {
                n_name = k;
                break;
            }
    }
    const char *open = memchr(rest, '{', (size_t)(end - rest));
    const size_t len = open ? json_span(open, (size_t)(end - open)) : 0;
    json_t *args = len ? json_loadb(open, len, JSON_ALLOW_NUL, NULL) : NULL;
    int rc = -1;
    if (json_is_object(args) && n_name)
        rc = call_add(calls, name, n_name, json_incref(args), id, oom);
    json_decref(args);
    json_decref(id);
    return rc;
}

/* ---- values without quotes: the tool's schema says what they are ----------------------------- */

static bool takes_type(const json_t *schema, const char *type)
{
    const json_t *t = json_object_get(schema, "type"), *any = json_object_get(schema, "anyOf");
    if (json_is_string(t))
        return !strcmp(json_string_value(t), type);
    for (size_t i = 0; i < json_array_size(t); i++) {
        const char *one = json_string_value(json_array_get(t, i));
        if (one && !strcmp(one, type))
            return true;
    }
    for (size_t i = 0; i < json_array_size(any); i++)
        if (takes_type(json_array_get(any, i), type))
            return true;
    return false;
}

static bool has_type(const json_t *schema)
{
    return json_object_get(schema, "type") || json_object_get(schema, "anyOf");
}

bool is_word(const char *p, size_t n, const char *word)
{
    return n == strlen(word) && !strncasecmp(p, word, n);
}

json_t *typed_value(const char *p, size_t n, const json_t *schema)
{
    static const char *const all[] = {"boolean", "integer", "number", "array", "object", "string"};
    int n_types = 0;
    const char *t = p;
    size_t m = n;
    text_trim(&t, &m);
    if (is_word(t, m, "null"))
        return json_null();
    if (!has_type(schema))
        return json_stringn(p, n);
    for (size_t i = 0; i < 6; i++)
        n_types += takes_type(schema, all[i]);
    if (takes_type(schema, "boolean")) {
        if (is_word(t, m, "true") || is_word(t, m, "false"))
            return json_boolean(is_word(t, m, "true"));
        if (n_types == 1)
            return json_false();
    }
    json_t *v = m ? json_loadb(t, m, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL) : NULL;
    if (takes_type(schema, "integer") && json_is_integer(v))
        return v;
    if (takes_type(schema, "number") && json_is_number(v)) {
        const double d = json_number_value(v);
        if (json_is_real(v) && d == (double)(long long)d) {
            json_decref(v);
            return json_integer((json_int_t)d);
        }
        return v;
    }
    if ((takes_type(schema, "array") && json_is_array(v)) ||
        (takes_type(schema, "object") && json_is_object(v)))
        return v;
    json_decref(v);
    return json_stringn(p, n);
}

/* Bytes of the list or object that p[0..n) begins with, where the schema takes one: tags in its
 * strings are no tags. */
static size_t json_value(const char *p, size_t n, const json_t *schema)
{
    size_t i = 0;
    while (i < n && is_blank(p[i]))
        i++;
    const size_t len =
        i < n && has_type(schema) && (takes_type(schema, "array") || takes_type(schema, "object"))
            ? json_span(p + i, n - i)
            : 0;
    json_t *v = len ? json_loadb(p + i, len, JSON_ALLOW_NUL, NULL) : NULL;
    json_decref(v);
    return v ? i + len : 0;
}

static const json_t *property(const json_t *parameters, const char *key, size_t n)
{
    char name[256];
    if (n >= sizeof name)
        return NULL;
    memcpy(name, key, n);
    name[n] = 0;
    return json_object_get(json_object_get(parameters, "properties"), name);
}

int arg_set(json_t *args, const char *key, size_t n_key, json_t *v, bool *oom)
{
    char name[256];
    if (n_key >= sizeof name) {
        json_decref(v);
        return -1;
    }
    memcpy(name, key, n_key);
    name[n_key] = 0;
    if (!v || json_object_set_new(args, name, v)) {
        *oom = true;
        return -1;
    }
    return 0;
}

/* ---- XML-like: <function=N><parameter=P>V</parameter></function>, <invoke name="N">.. -------- */

struct xml_words {
    const char *fn, *fn_end, *arg, *arg_end;
};

/* Behind `open`: a name up to '>', quotes around it dropped. Returns what follows, NULL: none. */
static const char *tag_name(const char *p, const char *end, const char **name, size_t *n)
{
    const char *stop = memchr(p, '>', (size_t)(end - p));
    if (!stop)
        return NULL;
    *name = p;
    *n = (size_t)(stop - p);
    text_trim(name, n);
    if (*n >= 2 && (*name)[0] == '"' && (*name)[*n - 1] == '"') {
        ++*name;
        *n -= 2;
    }
    return stop + 1;
}

static int xml_body(const char *p, size_t n, const json_t *tools, json_t *calls, bool *oom)
{
    static const struct xml_words kinds[] = {
        {"<function=", "</function>", "<parameter=", "</parameter>"},
        {"<invoke name=", "</invoke>", "<parameter name=", "</parameter>"},
    };
    const char *end = p + n;
    size_t some = 0;
    const char *one = text_find(p, n, kinds[0].fn), *other = text_find(p, n, kinds[1].fn);
    const struct xml_words *w = one && (!other || one < other) ? &kinds[0] : &kinds[1];
    for (const char *at = p; (at = text_find(at, (size_t)(end - at), w->fn)) != NULL; some++) {
        const char *name, *key;
        size_t n_name, n_key;
        at = tag_name(at + strlen(w->fn), end, &name, &n_name);
        if (!at || !n_name)
            return -1;
        const char *stop = text_find(at, (size_t)(end - at), w->fn_end);
        const json_t *parameters = tool_parameters(tools, name, n_name);
        json_t *args = json_object();
        for (const char *a = at; (a = text_find(a, (size_t)(end - a), w->arg)) != NULL;) {
            if (stop && a > stop)
                break;
            const char *v = tag_name(a + strlen(w->arg), end, &key, &n_key);
            if (!v)
                break;
            const json_t *schema = property(parameters, key, n_key);
            const char *from = v + json_value(v, (size_t)(end - v), schema);
            if (stop && stop < from) /* its words in a string of JSON */
                stop = text_find(from, (size_t)(end - from), w->fn_end);
            const char *body_end = stop ? stop : end;
            const char *v_end = text_find(from, (size_t)(body_end - from), w->arg_end);
            const char *next = v_end ? v_end + strlen(w->arg_end) : body_end;
            v_end = v_end ? v_end : body_end;
            size_t n_v = (size_t)(v_end - v);
            if (n_v && *v == '\n') {
                v++;
                n_v--;
            }
            if (n_v && v[n_v - 1] == '\n')
                n_v--;
            json_t *value = typed_value(v, n_v, schema);
            if (arg_set(args, key, n_key, value, oom)) {
                json_decref(args);
                return -1;
            }
            a = next;
        }
        if (call_add(calls, name, n_name, args, NULL, oom))
            return -1;
        at = stop ? stop + strlen(w->fn_end) : end;
    }
    return some ? 0 : -1;
}

/* NAME <arg_key>K</arg_key> <arg_value>V</arg_value> .. */
static int pairs_body(const char *p, size_t n, const json_t *tools, json_t *calls, bool *oom)
{
    const char *end = p + n, *at = text_find(p, n, "<arg_key>"), *name = p;
    size_t n_name = at ? (size_t)(at - p) : n;
    text_trim(&name, &n_name);
    if (!n_name || memchr(name, '<', n_name) || memchr(name, '{', n_name))
        return -1;
    const json_t *parameters = tool_parameters(tools, name, n_name);
    json_t *args = json_object();
    while (args && at) {
        const char *key = at + 9, *key_end = text_find(key, (size_t)(end - key), "</arg_key>");
        const char *v = key_end ? text_find(key_end, (size_t)(end - key_end), "<arg_value>") : NULL;
        if (!v)
            goto bad;
        v += 11;
        size_t n_key = (size_t)(key_end - key);
        text_trim(&key, &n_key);
        const json_t *schema = property(parameters, key, n_key);
        const char *from = v + json_value(v, (size_t)(end - v), schema);
        const char *v_end = text_find(from, (size_t)(end - from), "</arg_value>");
        if (!v_end)
            goto bad;
        json_t *value = typed_value(v, (size_t)(v_end - v), schema);
        if (arg_set(args, key, n_key, value, oom))
            goto bad;
        at = text_find(v_end, (size_t)(end - v_end), "<arg_key>");
    }
    return call_add(calls, name, n_name, args, NULL, oom);
bad:
    json_decref(args);
    return -1;
}

bool body_in_string(const struct call_format *f, const char *p, size_t n)
{
    const size_t k = f->string ? strlen(f->string) : 0;
    char quote = 0; /* 1: the format's own mark */
    size_t i = 0;
    if (f->body == BODY_XML || f->body == BODY_PAIRS) { /* only a value that is JSON has some */
        static const char *const opens[] = {"<parameter=", "<parameter name=", "<arg_value"};
        for (size_t o = 0; o < 3; o++)
            for (const char *at = p; (at = text_find(at, (size_t)(p + n - at), opens[o])); at++)
                i = (size_t)(at - p) > i ? (size_t)(at - p) : i;
        while (i < n && p[i] != '>')
            i++;
        for (i++; i < n && is_blank(p[i]);)
            i++;
        if (i >= n || (p[i] != '[' && p[i] != '{'))
            return false;
    }
    while (i < n) {
        if (k && quote < 2 && n - i >= k && !memcmp(p + i, f->string, k)) {
            quote = !quote;
            i += k;
            continue;
        }
        if (quote > 1 && p[i] == '\\')
            i++;
        else if (quote > 1 ? p[i] == quote
                           : !quote && (p[i] == '"' || (p[i] == '\'' && f->body == BODY_PYTHON)))
            quote = quote ? 0 : p[i];
        i++;
    }
    return quote;
}

/* ---- all bodies ------------------------------------------------------------------------------ */

/* {key:value,..} up to its last brace; 0: it is not closed. */
static size_t braces_span(const char *p, size_t n, const char *mark)
{
    const size_t k = strlen(mark);
    size_t depth = 0;
    char in = 0; /* a string, by how it began */
    for (size_t i = 0; i < n; i++) {
        const bool marks = n - i >= k && !memcmp(p + i, mark, k);
        if (marks && in != '"') {
            in = in ? 0 : 'm';
            i += k - 1;
        } else if (in == '"' && p[i] == '\\') {
            i++;
        } else if (p[i] == '"' && in != 'm') {
            in = in ? 0 : '"';
        } else if (!in && p[i] == '{') {
            depth++;
        } else if (!in && p[i] == '}' && depth && !--depth) {
            return i + 1;
        }
    }
    return 0;
}

/* Behind the last of the words in p[0..n). */
static size_t behind_last(const char *p, size_t n, const char *word)
{
    size_t last = 0;
    for (const char *at = p; (at = text_find(at, (size_t)(p + n - at), word));
         last = (size_t)(at - p))
        at += strlen(word);
    return last;
}

/* NAME and pairs, all closed: of a tool that was offered, with all that it requires (8.5). */
static bool pairs_are_whole(const char *p, size_t n, const json_t *tools)
{
    bool oom = false;
    json_t *calls = json_array();
    const size_t last = behind_last(p, n, "</arg_value>");
    const char *rest = p + last;
    size_t n_rest = n - last;
    text_trim(&rest, &n_rest);
    bool whole = calls && (!last || !n_rest) && !pairs_body(p, n, tools, calls, &oom);
    const json_t *call = json_array_get(calls, 0);
    const char *name = json_string_value(json_object_get(call, "name"));
    whole = whole && tool_is_known(tools, name, strlen(name));
    const json_t *required =
        whole ? json_object_get(tool_parameters(tools, name, strlen(name)), "required") : NULL;
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *key = json_string_value(json_array_get(required, i));
        whole = whole && (!key || json_object_get(json_object_get(call, "arguments"), key));
    }
    json_decref(calls);
    return whole;
}

size_t body_whole(const struct call_format *f, const char *p, size_t n, const json_t *tools)
{
    if (f->body == BODY_XML) {
        const size_t one = behind_last(p, n, "</function>"), other = behind_last(p, n, "</invoke>");
        return one > other ? one : other;
    }
    if (f->body == BODY_PAIRS)
        return pairs_are_whole(p, n, tools) ? n : 0;
    if (f->body == BODY_BRACES)
        return braces_span(p, n, f->string);
    return n;
}

int body_read(const struct call_format *f, const char *p, size_t n, const json_t *tools,
              json_t *calls, bool *out_of_memory)
{
    const size_t before = json_array_size(calls);
    int rc = -1;
    switch (f->body) {
    case BODY_JSON:
        rc = json_body(p, n, tools, calls, out_of_memory);
        break;
    case BODY_NAMED:
        rc = named_body(f, p, n, calls, out_of_memory);
        break;
    case BODY_XML:
        rc = xml_body(p, n, tools, calls, out_of_memory);
        break;
    case BODY_PAIRS:
        rc = pairs_body(p, n, tools, calls, out_of_memory);
        break;
    case BODY_BRACES:
        rc = braces_body(f, p, n, calls, out_of_memory);
        break;
    case BODY_PYTHON:
        rc = python_body(p, n, tools, calls, out_of_memory);
        break;
    case BODY_NONE:
    case BODY_HARMONY:
        break;
    }
    for (size_t i = before; !rc && f->strict_name && i < json_array_size(calls); i++) {
        const json_t *name = json_object_get(json_array_get(calls, i), "name");
        if (!tool_is_known(tools, json_string_value(name), json_string_length(name)))
            rc = -1;
    }
    if (rc)
        while (json_array_size(calls) > before)
            json_array_remove(calls, json_array_size(calls) - 1);
    return rc;
}
