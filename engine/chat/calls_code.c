/* engine/chat/calls_code.c - the grammar of arguments that are not one JSON object: one value a
 * tag, keyword arguments, or Gemma's braces with bare keys and marks around strings.
 *
 * Properties come in the schema's order. A value obeys its own schema; a string in a tag has no
 * quotes and is held to `enum`, `const`, `minLength` and `maxLength` only (its `pattern` and
 * `format` are the model's care, and so is the word null, which is read as no value), and what
 * binds properties to each other (`dependentRequired` and its like) is not held either. In braces
 * what has more to obey than the marks can say is written as JSON. */
#include "engine/chat/split.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_required(const json_t *parameters, const char *key)
{
    const json_t *list = json_object_get(parameters, "required");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *one = json_string_value(json_array_get(list, i));
        if (one && strcmp(one, key) == 0)
            return true;
    }
    return false;
}

/* Is this read as JSON by typed_value? What may be a string is read as one. */
static bool is_bare_json(const json_t *schema)
{
    const json_t *type = json_object_get(schema, "type");
    bool any = json_is_string(type) && strcmp(json_string_value(type), "string") != 0;
    for (size_t i = 0; i < json_array_size(type); i++) {
        const char *one = json_string_value(json_array_get(type, i));
        if (!one || strcmp(one, "string") == 0)
            return false;
        any = true;
    }
    return any;
}

/* %tI_K: the value's own schema, with the definitions that it may point to. */
static int put_json(struct buf *b, const json_t *parameters, json_t *schema, size_t i, size_t k,
                    json_t *schemas)
{
    static const char *const defs[] = {"$defs", "definitions"};
    char key[48];
    json_t *s = json_is_object(schema) ? json_copy(schema) : json_object();
    for (size_t d = 0; d < 2; d++) {
        json_t *v = json_object_get(parameters, defs[d]);
        if (v && json_object_set(s, defs[d], v)) {
            json_decref(s);
            return -1;
        }
    }
    snprintf(key, sizeof key, "t%zu_%zu", i, k);
    buf_printf(b, "%%%s ", key);
    return json_object_set_new(schemas, key, s);
}

/* A string without quotes, up to `end`, which is put too. */
static void put_raw(struct buf *b, const json_t *schema, const char *end)
{
    const json_t *list = json_object_get(schema, "enum"), *one = json_object_get(schema, "const");
    const json_t *least = json_object_get(schema, "minLength");
    const json_t *most = json_object_get(schema, "maxLength");
    size_t n = 0;
    if (json_is_string(one) || json_array_size(list)) {
        buf_puts(b, "( ");
        if (json_is_string(one)) {
            n++;
            gbnf_string(b, json_string_value(one), json_string_length(one));
        }
        for (size_t i = 0; !one && i < json_array_size(list); i++) {
            const json_t *v = json_array_get(list, i);
            if (!json_is_string(v))
                continue;
            buf_puts(b, n++ ? "| " : "");
            gbnf_string(b, json_string_value(v), json_string_length(v));
        }
        buf_puts(b, n ? ") " : "\"\" ) ");
        gbnf_string(b, end, strlen(end));
    } else if (json_is_integer(least) || json_is_integer(most)) {
        const long long lo = json_is_integer(least) ? json_integer_value(least) : 0;
        const long long hi = json_is_integer(most) ? json_integer_value(most) : -1;
        buf_printf(b, "[^<\\n]{%lld,", lo < 0 ? 0 : lo > 1000 ? 1000 : lo);
        if (hi >= 0)
            buf_printf(b, "%lld", hi > 1000 ? 1000 : hi);
        buf_puts(b, "} ");
        gbnf_string(b, end, strlen(end));
    } else {
        buf_puts(b, "raw-0 ");
    }
}

/* What stands around the parts of a call. */
struct tags {
    const char *name, *name_end, *key, *key_end, *value_end, *end, *stop; /* stop: not in a value */
};

static const struct tags *tags_of(enum chat_calls kind)
{
    static const struct tags seed = {"<function=",     ">\n",         "<parameter=", ">\n",
                                     "\n</parameter>", "</function>", "</function>"};
    static const struct tags qwen = {
        "", ">\n", "<parameter=", ">\n", "\n</parameter>", "</function>", "</function>"};
    static const struct tags minimax = {"<invoke name=\"", "\">",       "<parameter name=\"", "\">",
                                        "</parameter>",    "</invoke>", "</invoke>"};
    static const struct tags glm = {
        "", "\n", "<arg_key>", "</arg_key>\n<arg_value>", "</arg_value>", "", NULL};
    return kind == CALLS_QWEN_XML  ? &qwen
           : kind == CALLS_SEED    ? &seed
           : kind == CALLS_MINIMAX ? &minimax
           : kind == CALLS_GLM     ? &glm
                                   : NULL;
}

void gbnf_raw_rules(struct buf *b, const struct call_format *f)
{
    const struct tags *t = tags_of(f->kind);
    if (!t && !f->string)
        return;
    buf_puts(b, "nil ::= \"\"\n");
    gbnf_free(b, "raw",
              (struct free_tag[]){{t ? t->value_end : f->string, "nil"},
                                  {f->close, NULL},
                                  {t ? t->stop : NULL, NULL},
                                  {NULL, NULL}},
              false);
}

int gbnf_tagged_call(struct buf *b, enum chat_calls kind, const json_t *function, size_t i,
                     json_t *schemas)
{
    const struct tags *t = tags_of(kind);
    json_t *parameters = json_object_get(function, "parameters"), *schema;
    const char *name = json_string_value(json_object_get(function, "name")), *key;
    size_t k = 0;
    gbnf_string(b, t->name, strlen(t->name));
    gbnf_string(b, name, strlen(name));
    gbnf_string(b, t->name_end, strlen(t->name_end));
    if (kind == CALLS_MINIMAX)
        buf_puts(b, "\"\\n\"? ");
    json_object_foreach(json_object_get(parameters, "properties"), key, schema)
    {
        buf_puts(b, "( ");
        gbnf_string(b, t->key, strlen(t->key));
        gbnf_string(b, key, strlen(key));
        gbnf_string(b, t->key_end, strlen(t->key_end));
        if (is_bare_json(schema)) {
            if (put_json(b, parameters, schema, i, k, schemas))
                return -1;
            gbnf_string(b, t->value_end, strlen(t->value_end));
        } else {
            put_raw(b, schema, t->value_end);
        }
        buf_puts(b, "\"\\n\" ");
        buf_puts(b, is_required(parameters, key) ? ") " : ")? ");
        k++;
    }
    gbnf_string(b, t->end, strlen(t->end));
    return 0;
}

/* ---- members with commas between: key=value in Python, key:value in braces
 * ----------------------- */

struct members {
    struct buf *b, *rules; /* the call; rules that it uses */
    const struct call_format *f;
    json_t *parameters, *schemas;
    size_t i, k; /* the tool; names of rules */
    int depth;
};

static int put_value(struct members *x, json_t *schema);

static int put_schema(struct members *x, json_t *schema)
{
    return put_json(x->b, x->parameters, schema, x->i, x->k++, x->schemas);
}

/* Is there nothing but these words (a list with blanks around each) and annotations? */
static bool has_only(const json_t *schema, const char *words)
{
    static const char notes[] = " title description default examples deprecated $comment ";
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)schema, key, v)
    {
        char word[40];
        snprintf(word, sizeof word, " %.36s ", key);
        if (!strstr(words, word) && !strstr(notes, word))
            return false;
    }
    return true;
}

/* A key that the reader of braces takes without quotes. */
static bool is_bare_key(const char *key)
{
    return *key &&
           strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") ==
               strlen(key);
}

static void put_key(struct members *x, const char *key)
{
    const bool braces = x->f->string != NULL;
    json_t *text = braces && !is_bare_key(key) ? json_string(key) : NULL;
    char *json = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL;
    gbnf_string(x->b, json ? json : key, strlen(json ? json : key));
    free(json);
    json_decref(text);
    buf_puts(x->b, braces ? "\":\" " : "\"=\" ");
}

/* Members in the schema's order, each a rule of its own: an answer may begin with any of those up
 * to the first that is required. */
static int put_members(struct members *x, json_t *schema, const char *comma)
{
    json_t *properties = json_object_get(schema, "properties"), *v;
    const size_t n = json_object_size(properties);
    struct buf *b = x->b, own = {0};
    const char *key;
    size_t first = n, at = 0;
    const size_t name = x->k;
    int rc = 0;
    if (!n)
        return 0;
    x->k += n;
    x->b = &own;
    json_object_foreach(properties, key, v)
    {
        buf_printf(&own, "m%zu-%zu ::= ", x->i, name + at);
        if (first == n && is_required(schema, key))
            first = at;
        put_key(x, key);
        rc = rc ? rc : put_value(x, v);
        buf_puts(&own, "\n");
        at++;
    }
    x->b = b;
    buf_add(x->rules, own.p ? own.p : "", own.n);
    b->failed = b->failed || own.failed;
    buf_free(&own);
    buf_puts(b, "( ");
    for (size_t from = 0; from <= first && from < n; from++) {
        buf_puts(b, from ? "| " : "");
        at = 0;
        json_object_foreach(properties, key, v)
        {
            const bool may_miss = at > from && !is_required(schema, key);
            if (at > from)
                buf_printf(b, "%s\"%s\" ", may_miss ? "( " : "", comma);
            if (at >= from)
                buf_printf(b, "m%zu-%zu %s", x->i, name + at, may_miss ? ")? " : "");
            at++;
        }
    }
    buf_puts(b, first == n ? ")? " : ") ");
    return rc;
}

/* One of several. */
static int put_any(struct members *x, const json_t *schema, const char *word)
{
    const json_t *list = json_object_get(schema, word);
    int rc = 0;
    buf_puts(x->b, "( ");
    for (size_t i = 0; i < json_array_size(list) && !rc; i++) {
        json_t *one = json_incref(json_array_get(list, i));
        if (strcmp(word, "type") == 0) {
            json_t *typed = json_copy((json_t *)(uintptr_t)schema);
            if (!typed || json_object_set_new(typed, "type", one)) {
                json_decref(typed);
                return -1;
            }
            one = typed;
        }
        buf_puts(x->b, i ? "| " : "");
        rc = put_value(x, one);
        json_decref(one);
    }
    buf_puts(x->b, ") ");
    return rc;
}

static int put_list(struct members *x, const json_t *schema)
{
    const json_t *least = json_object_get(schema, "minItems");
    const json_t *most = json_object_get(schema, "maxItems");
    const long long lo = json_is_integer(least) ? json_integer_value(least) : 0;
    const long long hi = json_is_integer(most) ? json_integer_value(most) : -1;
    struct buf *b = x->b;
    const size_t name = x->k++;
    if (hi == 0) {
        buf_puts(b, "\"[]\" ");
        return 0;
    }
    struct buf own = {0};
    x->b = &own;
    buf_printf(&own, "m%zu-%zu ::= ", x->i, name);
    const int rc = put_value(x, json_object_get(schema, "items"));
    buf_puts(&own, "\n");
    x->b = b;
    buf_add(x->rules, own.p ? own.p : "", own.n);
    b->failed = b->failed || own.failed;
    buf_free(&own);
    buf_printf(b, "\"[\" ( m%zu-%zu ( \",\" m%zu-%zu ){%lld,", x->i, name, x->i, name,
               lo > 1 ? lo - 1 : 0);
    if (hi > 0)
        buf_printf(b, "%lld", hi - 1);
    buf_printf(b, "} )%s \"]\" ", lo > 0 ? "" : "?");
    return rc;
}

static bool fits(const json_t *schema, const char *least, const char *most)
{
    const json_int_t lo = json_integer_value(json_object_get(schema, least));
    const json_t *hi = json_object_get(schema, most);
    return lo >= 0 && lo <= 100 &&
           (!hi || (json_is_integer(hi) && json_integer_value(hi) >= lo &&
                    json_integer_value(hi) <= 1000));
}

static int put_value(struct members *x, json_t *schema)
{
    const json_t *type = json_object_get(schema, "type");
    const char *t = json_string_value(type), *mark = x->f->string;
    int rc = -1;
    if (!mark || x->depth == 16)
        return put_schema(x, schema);
    x->depth++;
    const bool is_any =
        json_is_true(schema) || !schema || (json_is_object(schema) && has_only(schema, ""));
    if (is_any) {
        buf_puts(x->b, "( ");
        gbnf_string(x->b, mark, strlen(mark));
        buf_puts(x->b, "raw-0 | ");
        rc = put_schema(x, schema);
        buf_puts(x->b, ") ");
    } else if (json_array_size(type)) {
        rc = put_any(x, schema, "type");
    } else if (json_array_size(json_object_get(schema, "anyOf")) && has_only(schema, " anyOf ")) {
        rc = put_any(x, schema, "anyOf");
    } else if (t && !strcmp(t, "string") &&
               (has_only(schema, " type enum ") || has_only(schema, " type const ") ||
                (has_only(schema, " type minLength maxLength ") &&
                 fits(schema, "minLength", "maxLength")))) {
        gbnf_string(x->b, mark, strlen(mark));
        put_raw(x->b, schema, mark);
        rc = 0;
    } else if (t && !strcmp(t, "array") && has_only(schema, " type items minItems maxItems ") &&
               fits(schema, "minItems", "maxItems") &&
               !json_is_array(json_object_get(schema, "items"))) {
        rc = put_list(x, schema);
    } else if (t && !strcmp(t, "object") &&
               json_object_size(json_object_get(schema, "properties")) &&
               has_only(schema, " type properties required additionalProperties ")) {
        buf_puts(x->b, "\"{\" ");
        rc = put_members(x, schema, ",");
        buf_puts(x->b, "\"}\" ");
    } else {
        rc = put_schema(x, schema);
    }
    x->depth--;
    return rc;
}

int gbnf_members_call(struct buf *b, struct buf *rules, const struct call_format *f,
                      const json_t *function, size_t i, json_t *schemas)
{
    struct members x = {.b = b, .rules = rules, .f = f, .schemas = schemas, .i = i};
    x.parameters = json_object_get(function, "parameters");
    const char *name = json_string_value(json_object_get(function, "name"));
    buf_puts(b, f->string ? "\"call:\" " : "");
    gbnf_string(b, name, strlen(name));
    buf_puts(b, f->string ? "\"{\" " : "\"(\" ");
    const int rc = put_members(&x, x.parameters, f->string ? "," : ", ");
    buf_puts(b, f->string ? "\"}\" " : "\")\" ");
    return rc;
}
