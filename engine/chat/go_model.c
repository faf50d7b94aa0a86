/* engine/chat/go_model.c - messages and tools as a Go template sees them: structs with fixed
 * fields, and maps whose printed form is JSON.
 *
 * Facts: shared/spec (modelfile-and-templates, section 2). What the structs have no field for
 * (format, default, minimum of a tool's schema) is not seen by a Go template, as in the reference.
 */
#include <string.h>
#include "engine/chat/go.h"

static const struct go_kind message_kind = {"*api.Message",
                                            GO_SHOW_PLAIN,
                                            true,
                                            7,
                                            {{"Role", "Role", false},
                                             {"Content", "Content", false},
                                             {"Thinking", "Thinking", false},
                                             {"Images", "Images", false},
                                             {"ToolCalls", "ToolCalls", false},
                                             {"ToolName", "ToolName", false},
                                             {"ToolCallID", "ToolCallID", false}}};
static const struct go_kind call_kind = {"api.ToolCall",
                                         GO_SHOW_PLAIN,
                                         false,
                                         2,
                                         {{"ID", "ID", false}, {"Function", "Function", false}}};
static const struct go_kind called_kind = {
    "api.ToolCallFunction",
    GO_SHOW_PLAIN,
    false,
    3,
    {{"Index", "Index", false}, {"Name", "Name", false}, {"Arguments", "Arguments", false}}};
static const struct go_kind tool_kind = {
    "api.Tool",
    GO_SHOW_JSON,
    false,
    3,
    {{"Type", "type", false}, {"Items", "items", true}, {"Function", "function", false}}};
static const struct go_kind function_kind = {"api.ToolFunction",
                                             GO_SHOW_PLAIN,
                                             false,
                                             3,
                                             {{"Name", "name", false},
                                              {"Description", "description", false},
                                              {"Parameters", "parameters", false}}};
static const struct go_kind parameters_kind = {"api.ToolFunctionParameters",
                                               GO_SHOW_PLAIN,
                                               false,
                                               5,
                                               {{"Type", "type", false},
                                                {"Defs", "$defs", true},
                                                {"Items", "items", true},
                                                {"Required", "required", true},
                                                {"Properties", "properties", false}}};
static const struct go_kind property_kind = {"api.ToolProperty",
                                             GO_SHOW_PLAIN,
                                             false,
                                             7,
                                             {{"AnyOf", "anyOf", true},
                                              {"Type", "type", true},
                                              {"Items", "items", true},
                                              {"Description", "description", true},
                                              {"Enum", "enum", true},
                                              {"Properties", "properties", true},
                                              {"Required", "required", true}}};

const struct gv *go_record_find(const struct go_record *r, const struct str *name)
{
    for (size_t i = 0; i < r->kind->n; i++)
        if (tpl_str_is(name, r->kind->field[i].name))
            return &r->v[i];
    return NULL;
}

static struct gv record(struct tpl *c, const struct go_kind *kind)
{
    struct go_record *r = tpl_alloc(c, sizeof *r);
    r->kind = kind;
    return (struct gv){.type = GO_RECORD, .r = r};
}

static struct gv list(struct tpl *c, const char *type, enum go_show show, size_t n)
{
    struct go_list *l = tpl_alloc(c, sizeof *l);
    l->type = type;
    l->show = show;
    l->n = n;
    l->v = tpl_alloc(c, n * sizeof *l->v);
    return (struct gv){.type = GO_LIST, .l = l};
}

static struct gv nil_list(struct tpl *c, const char *type, enum go_show show)
{
    struct gv v = list(c, type, show, 0);
    v.l->nil = true;
    return v;
}

static struct str *text_of(struct tpl *c, const json_t *j)
{
    return json_is_string(j) ? tpl_str(c, json_string_value(j), json_string_length(j), false)
                             : tpl_str(c, "", 0, false);
}

static struct gv text(struct tpl *c, const json_t *j)
{
    return go_string(text_of(c, j));
}

static struct gv strings(struct tpl *c, const json_t *j, const char *type, enum go_show show)
{
    if (!json_is_array(j))
        return nil_list(c, type, show);
    struct gv v = list(c, type, show, json_array_size(j));
    for (size_t i = 0; i < v.l->n; i++)
        v.l->v[i] = text(c, json_array_get(j, i));
    return v;
}

/* ---- tools ----------------------------------------------------------------------------------- */

static const char properties_type[] = "map[string]api.ToolProperty";
static struct gv properties(struct tpl *c, const json_t *j, bool in_order);

static struct gv type_list(struct tpl *c, const json_t *j)
{
    if (!json_is_string(j))
        return strings(c, j, "api.PropertyType", GO_SHOW_TYPES);
    struct gv v = list(c, "api.PropertyType", GO_SHOW_TYPES, 1);
    v.l->v[0] = text(c, j);
    return v;
}

static struct gv property(struct tpl *c, const json_t *j)
{
    struct gv v = record(c, &property_kind);
    const json_t *any_of = json_object_get(j, "anyOf"), *values = json_object_get(j, "enum");
    if (++c->value_depth > TPL_MAX_VALUE_DEPTH)
        tpl_fail(c, "values nested deeper than %d", TPL_MAX_VALUE_DEPTH);
    v.r->v[0] = nil_list(c, "[]api.ToolProperty", GO_SHOW_PLAIN);
    if (json_is_array(any_of)) {
        v.r->v[0] = list(c, "[]api.ToolProperty", GO_SHOW_PLAIN, json_array_size(any_of));
        for (size_t i = 0; i < v.r->v[0].l->n; i++)
            v.r->v[0].l->v[i] = property(c, json_array_get(any_of, i));
    }
    v.r->v[1] = type_list(c, json_object_get(j, "type"));
    v.r->v[2] = go_any(c, json_object_get(j, "items"));
    v.r->v[3] = text(c, json_object_get(j, "description"));
    v.r->v[4] = json_is_array(values) ? go_bare(go_any(c, values))
                                      : nil_list(c, "[]interface {}", GO_SHOW_PLAIN);
    v.r->v[5] = properties(c, json_object_get(j, "properties"), true);
    v.r->v[6] = strings(c, json_object_get(j, "required"), "[]string", GO_SHOW_PLAIN);
    c->value_depth--;
    return v;
}

/* Nested ones keep the order of the request in JSON, those of a function are sorted. */
static struct gv properties(struct tpl *c, const json_t *j, bool nested)
{
    size_t i = 0;
    struct gv v =
        go_map_of(c, nested ? "*api.ToolPropertiesMap" : properties_type, json_object_size(j));
    v.m->show = GO_SHOW_JSON;
    v.m->nil = !json_is_object(j);
    v.m->pointer = v.m->in_order = nested;
    json_t *o = (json_t *)(uintptr_t)j; /* its iterators have no const, and change nothing */
    for (void *it = v.m->n ? json_object_iter(o) : NULL; it; it = json_object_iter_next(o, it)) {
        v.m->e[i].key = tpl_str(c, json_object_iter_key(it), json_object_iter_key_len(it), false);
        v.m->e[i++].v = property(c, json_object_iter_value(it));
    }
    go_map_sort(v.m);
    return v;
}

struct gv go_map_zero(struct tpl *c, const struct go_map *m)
{
    return strcmp(m->type, properties_type) ? (struct gv){.type = GO_NIL, .face = true}
                                            : property(c, NULL);
}

static struct gv parameters(struct tpl *c, const json_t *j)
{
    struct gv v = record(c, &parameters_kind);
    v.r->v[0] = text(c, json_object_get(j, "type"));
    v.r->v[1] = go_any(c, json_object_get(j, "$defs"));
    v.r->v[2] = go_any(c, json_object_get(j, "items"));
    v.r->v[3] = strings(c, json_object_get(j, "required"), "[]string", GO_SHOW_PLAIN);
    v.r->v[4] = properties(c, json_object_get(j, "properties"), false);
    if (!json_is_object(j)) { /* a tool without parameters takes an empty object */
        v.r->v[0] = go_string(tpl_str(c, "object", 6, false));
        v.r->v[4].m->nil = false;
    }
    return v;
}

struct gv go_tools(struct tpl *c, const json_t *tools)
{
    if (!json_array_size(tools))
        return nil_list(c, "api.Tools", GO_SHOW_JSON);
    struct gv v = list(c, "api.Tools", GO_SHOW_JSON, json_array_size(tools));
    for (size_t i = 0; i < v.l->n; i++) {
        const json_t *j = json_array_get(tools, i), *f = json_object_get(j, "function");
        struct gv tool = record(c, &tool_kind), fn = record(c, &function_kind);
        fn.r->v[0] = text(c, json_object_get(f, "name"));
        fn.r->v[1] = text(c, json_object_get(f, "description"));
        fn.r->v[2] = parameters(c, json_object_get(f, "parameters"));
        tool.r->v[0] = text(c, json_object_get(j, "type"));
        tool.r->v[1] = go_any(c, json_object_get(j, "items"));
        tool.r->v[2] = fn;
        v.l->v[i] = tool;
    }
    return v;
}

static const char *typescript_word(const struct str *s)
{
    static const char *const words[][2] = {{"string", "string"},  {"number", "number"},
                                           {"integer", "number"}, {"boolean", "boolean"},
                                           {"array", "any[]"},    {"object", "Record<string, any>"},
                                           {"null", "null"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (tpl_str_is(s, words[i][0]))
            return words[i][1];
    return "any";
}

struct str *go_typescript(struct tpl *c, struct gv v)
{
    struct sink k;
    tpl_sink(c, &k);
    if (v.type != GO_RECORD || v.r->kind != &property_kind) {
        tpl_puts(c, &k, "any");
        return tpl_sink_str(c, &k);
    }
    const struct go_list *any_of = v.r->v[0].l, *types = v.r->v[1].l;
    tpl_charge(c, 1 + any_of->n + types->n);
    for (size_t i = 0; i < any_of->n; i++) {
        tpl_puts(c, &k, i ? " | " : "");
        tpl_put_str(c, &k, go_typescript(c, any_of->v[i]));
    }
    for (size_t i = 0; !any_of->n && i < types->n; i++) {
        tpl_puts(c, &k, i ? " | " : "");
        tpl_puts(c, &k, typescript_word(types->v[i].s));
    }
    if (!any_of->n && !types->n)
        tpl_puts(c, &k, "any");
    return tpl_sink_str(c, &k);
}

/* ---- messages -------------------------------------------------------------------------------- */

/* JSON text read by the Jinja half, whose values hold copies in our own memory. */
static struct gv from_val(struct tpl *c, struct val in)
{
    struct gv v = {.type = GO_NIL};
    tpl_charge(c, 1);
    switch (in.type) {
    case T_BOOL:
        v = go_bool(in.b);
        break;
    case T_INT:
        v = go_float((double)in.i);
        break;
    case T_FLOAT:
        v = go_float(in.f);
        break;
    case T_STR:
        v = go_string(in.s);
        break;
    case T_LIST:
        v = list(c, "[]interface {}", GO_SHOW_PLAIN, in.l->n);
        for (size_t i = 0; i < in.l->n; i++)
            v.l->v[i] = from_val(c, in.l->v[i]);
        break;
    case T_DICT:
        v = go_map_of(c, "map[string]interface {}", in.d->n);
        for (size_t i = 0; i < in.d->n; i++) {
            v.m->e[i].key = in.d->e[i].key.s;
            v.m->e[i].v = from_val(c, in.d->e[i].value);
        }
        go_map_sort(v.m);
        break;
    default:
        break;
    }
    v.face = true;
    return v;
}

/* An object, or a text that holds one, as clients of OpenAI's style send it. */
static struct gv arguments(struct tpl *c, const json_t *j)
{
    struct gv v = {.type = GO_NIL};
    if (json_is_string(j)) {
        struct val text_val = tpl_str_val(text_of(c, j));
        json_t *try = json_loadb(json_string_value(j), json_string_length(j), JSON_ALLOW_NUL, NULL);
        const bool object = json_is_object(try);
        json_decref(try);
        if (object)
            v = go_bare(from_val(c, tpl_from_json_text(c, text_val, NULL, NULL)));
    } else if (json_is_object(j)) {
        v = go_bare(go_any(c, j));
    }
    if (v.type != GO_MAP) {
        v = go_map_of(c, "", 0);
        v.m->nil = true;
    }
    v.m->type = "api.ToolCallFunctionArguments";
    v.m->show = GO_SHOW_JSON;
    return v;
}

static struct gv calls(struct tpl *c, const json_t *j)
{
    if (!json_array_size(j))
        return nil_list(c, "[]api.ToolCall", GO_SHOW_PLAIN);
    struct gv v = list(c, "[]api.ToolCall", GO_SHOW_PLAIN, json_array_size(j));
    for (size_t i = 0; i < v.l->n; i++) {
        const json_t *one = json_array_get(j, i), *f = json_object_get(one, "function");
        const json_t *index = json_object_get(f, "index");
        struct gv call = record(c, &call_kind), called = record(c, &called_kind);
        called.r->v[0] = go_int(json_is_integer(index) ? json_integer_value(index) : 0);
        called.r->v[1] = text(c, json_object_get(f, "name"));
        called.r->v[2] = arguments(c, json_object_get(f, "arguments"));
        call.r->v[0] = text(c, json_object_get(one, "id"));
        call.r->v[1] = called;
        v.l->v[i] = call;
    }
    return v;
}

/* 0..63 of a character of base64; 64 at its end. */
static unsigned base64_digit(char ch)
{
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = ch ? strchr(set, ch) : NULL;
    return at ? (unsigned)(at - set) : 64;
}

static struct gv images(struct tpl *c, const json_t *j)
{
    if (!json_array_size(j))
        return nil_list(c, "[]api.ImageData", GO_SHOW_PLAIN);
    struct gv v = list(c, "[]api.ImageData", GO_SHOW_PLAIN, json_array_size(j));
    for (size_t i = 0; i < v.l->n; i++) {
        const struct str *s = text_of(c, json_array_get(j, i));
        struct gv bytes = list(c, "api.ImageData", GO_SHOW_PLAIN, s->n * 3 / 4 + 1);
        size_t n = 0;
        uint32_t bits = 0;
        int held = 0;
        tpl_charge_bytes(c, s->n);
        for (size_t k = 0; k < s->n && base64_digit(s->p[k]) < 64; k++) {
            bits = bits << 6 | base64_digit(s->p[k]);
            held += 6;
            if (held < 8)
                continue;
            held -= 8;
            bytes.l->v[n++] = (struct gv){.type = GO_BYTE, .i = bits >> held & 255};
        }
        bytes.l->n = n;
        bytes.l->bytes = true;
        v.l->v[i] = bytes;
    }
    return v;
}

/* Roles are words of a fixed set that the caller has checked (security.md, 3.6). As such a word
 * cannot hold a message's text, it counts as the template's own: "<|" + role + "|>" is how many
 * templates write their control tokens. Any other role is text of the conversation. */
static struct str *role_of(struct tpl *c, const json_t *message)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool", "developer"};
    struct str *role = text_of(c, json_object_get(message, "role"));
    char *low = tpl_bytes(c, role->n);
    for (size_t i = 0; i < role->n; i++)
        low[i] = role->p[i] >= 'A' && role->p[i] <= 'Z' ? (char)(role->p[i] | 32) : role->p[i];
    bool known = false;
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        known |= strlen(roles[i]) == role->n && memcmp(roles[i], low, role->n) == 0;
    return tpl_str(c, low, role->n, known);
}

static struct str *content_of(struct tpl *c, const json_t *message)
{
    const json_t *j = json_object_get(message, "content");
    struct sink k;
    if (!json_is_array(j))
        return text_of(c, j);
    tpl_sink(c, &k);
    for (size_t i = 0; i < json_array_size(j); i++)
        tpl_put_str(c, &k, text_of(c, json_object_get(json_array_get(j, i), "text")));
    return tpl_sink_str(c, &k);
}

static struct str *joined(struct tpl *c, struct str *a, struct str *b)
{
    return tpl_str_join2(c, tpl_str_join2(c, a, tpl_str(c, "\n\n", 2, false)), b);
}

/* `more` behind `l`: what a merged message had besides its text. */
static void append(struct tpl *c, struct go_list *l, const struct go_list *more)
{
    if (!more->n)
        return;
    l->v = tpl_grow(c, l->v, l->n * sizeof *l->v, (l->n + more->n) * sizeof *l->v);
    memcpy(l->v + l->n, more->v, more->n * sizeof *l->v);
    l->n += more->n;
    l->nil = false;
}

static struct str *either(struct tpl *c, const json_t *m, const char *a, const char *b)
{
    struct str *s = text_of(c, json_object_get(m, a));
    return s->n ? s : text_of(c, json_object_get(m, b));
}

/* Neighbours of one role become one (4.3), but results of tools. `system`: the texts of all
 * system messages. */
struct gv go_messages(struct tpl *c, const json_t *messages, struct str **system)
{
    struct gv v = list(c, "[]*api.Message", GO_SHOW_PLAIN, json_array_size(messages));
    size_t n = 0;
    *system = NULL;
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *m = json_array_get(messages, i);
        struct str *role = role_of(c, m), *content = content_of(c, m);
        struct gv now = record(c, &message_kind);
        if (tpl_str_is(role, "system"))
            *system = *system ? joined(c, *system, content) : content;
        now.r->v[0] = go_string(role);
        now.r->v[1] = go_string(content);
        now.r->v[2] = go_string(either(c, m, "thinking", "reasoning_content"));
        now.r->v[3] = images(c, json_object_get(m, "images"));
        now.r->v[4] = calls(c, json_object_get(m, "tool_calls"));
        now.r->v[5] = go_string(either(c, m, "tool_name", "name"));
        now.r->v[6] = text(c, json_object_get(m, "tool_call_id"));
        struct gv *last = n ? v.l->v[n - 1].r->v : NULL;
        if (!last || !tpl_str_same(last[0].s, role) || tpl_str_is(role, "tool")) {
            v.l->v[n++] = now;
            continue;
        }
        last[1] = go_string(joined(c, last[1].s, content));
        if (now.r->v[2].s->n)
            last[2] = last[2].s->n ? go_string(joined(c, last[2].s, now.r->v[2].s)) : now.r->v[2];
        append(c, last[3].l, now.r->v[3].l);
        append(c, last[4].l, now.r->v[4].l);
    }
    v.l->n = n;
    return v;
}
