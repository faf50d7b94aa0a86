/* engine/chat/calls_code.c - the grammar of arguments that are not one JSON object: one value a tag, or
 * keyword arguments.
 *
 * Properties come in the schema's order, required ones first where commas stand between. A value
 * obeys its own schema; a string in a tag has no quotes and is held to `enum`, `const`, `minLength`
 * and `maxLength` only (its `pattern` and `format` are the model's care), and what binds properties to
 * each other (`dependentRequired` and its like) is not held either. */
#include "engine/chat/split.h"

#include <stdio.h>
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
    const char *name, *name_end, *key, *key_end, *value_end, *end;
};

static const struct tags *tags_of(enum chat_calls kind)
{
    static const struct tags qwen = {"<function=",  ">\n", "<parameter=", ">\n", "\n</parameter>",
                                     "</function>\n"};
    static const struct tags minimax = {"<invoke name=\"", "\">",          "<parameter name=\"", "\">",
                                        "</parameter>",    "</invoke>\n"};
    static const struct tags glm = {"", "\n", "<arg_key>", "</arg_key>\n<arg_value>", "</arg_value>", ""};
    return kind == CALLS_QWEN_XML || kind == CALLS_SEED ? &qwen
           : kind == CALLS_MINIMAX                      ? &minimax
           : kind == CALLS_GLM                          ? &glm
                                                        : NULL;
}

void gbnf_raw_rules(struct buf *b, enum chat_calls kind)
{
    const struct tags *t = tags_of(kind);
    if (!t)
        return;
    buf_puts(b, "nil ::= \"\"\n");
    gbnf_free(b, "raw", t->value_end, "nil", false);
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
    json_object_foreach (json_object_get(parameters, "properties"), key, schema) {
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

static int put_keyword(struct buf *b, const json_t *parameters, const char *key, size_t i, size_t k,
                       json_t *schemas)
{
    json_t *schema = json_object_get(json_object_get(parameters, "properties"), key);
    gbnf_string(b, key, strlen(key));
    buf_puts(b, "\"=\" ");
    return put_json(b, parameters, schema, i, k, schemas);
}

int gbnf_python_call(struct buf *b, const json_t *function, size_t i, json_t *schemas)
{
    json_t *parameters = json_object_get(function, "parameters");
    const json_t *properties = json_object_get(parameters, "properties"), *schema;
    const char *name = json_string_value(json_object_get(function, "name")), *key;
    bool any = false, first_optional = true;
    gbnf_string(b, name, strlen(name));
    buf_puts(b, "\"(\" ");
    for (int pass = 0; pass < 2; pass++) {
        size_t k = 0;
        json_object_foreach ((json_t *)(uintptr_t)properties, key, schema) {
            const bool required = is_required(parameters, key);
            if (required != (pass == 0)) {
                k++;
                continue;
            }
            if (required) {
                buf_puts(b, any ? "\", \" " : "");
                any = true;
            } else { /* the first of all needs no comma: then the others hang on it */
                buf_puts(b, any ? "( \", \" " : "( ");
            }
            if (put_keyword(b, parameters, key, i, k++, schemas))
                return -1;
            if (required)
                continue;
            if (any && (json_array_size(json_object_get(parameters, "required")) || !first_optional))
                buf_puts(b, ")? ");
            any = true;
            first_optional = false;
        }
    }
    if (!first_optional && !json_array_size(json_object_get(parameters, "required")))
        buf_puts(b, ")? ");
    buf_puts(b, "\")\" ");
    return 0;
}
