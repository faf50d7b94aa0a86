/* http/json.c - from the bytes of a body to checked values.
 *
 * Facts: spec/api.md 1.1 and 1.2. Before the parser sees a byte, one pass over the text bounds its
 * depth and the number of its values (a value costs up to 45 bytes of memory for 2 of text), turns
 * bytes that are not UTF-8 into U+FFFD as the reference does, and does the same with escapes that
 * are half of a pair. The first value counts; what stands behind it is ignored. */
#include "http/inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool is_hex4(const char *p, size_t n, unsigned *out)
{
    if (n < 4)
        return false;
    unsigned v = 0;
    for (int i = 0; i < 4; i++) {
        const char c = p[i];
        if (c >= '0' && c <= '9')
            v = v * 16 + (unsigned)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            v = v * 16 + (unsigned)((c | 32) - 'a' + 10);
        else
            return false;
    }
    *out = v;
    return true;
}

/* Append the escape that starts at p (a backslash); returns its length. */
static size_t put_escape(struct buf *out, const char *p, size_t n)
{
    unsigned a, b;
    if (n < 2) {
        buf_add(out, p, n);
        return n;
    }
    if (p[1] != 'u' || !is_hex4(p + 2, n - 2, &a)) {
        buf_add(out, p, 2);
        return 2;
    }
    if (a < 0xD800 || a > 0xDFFF) {
        buf_add(out, p, 6);
        return 6;
    }
    if (a < 0xDC00 && n >= 12 && p[6] == '\\' && p[7] == 'u' && is_hex4(p + 8, n - 8, &b) &&
        b >= 0xDC00 && b <= 0xDFFF) {
        buf_add(out, p, 12);
        return 12;
    }
    buf_puts(out, "\\ufffd");
    return 6;
}

static bool is_huge(const char *digits, size_t n)
{
    return n > 19 || (n == 19 && memcmp(digits, "9223372036854775807", 19) > 0);
}

/* Copy the first value of p[0..n) to `out`, repaired and measured. */
static int scan(const char *p, size_t n, struct buf *out, struct err *e)
{
    size_t depth = 0, values = 1, i = 0;
    bool in_string = false;
    while (i < n) {
        const unsigned char c = (unsigned char)p[i];
        if (c >= 0x80) {
            uint32_t cp;
            bool bad = false;
            const size_t k = text_decode(p + i, n - i, &cp, &bad);
            char ch[4];
            buf_add(out, ch, text_encode(cp, ch));
            i += k;
            continue;
        }
        if (in_string) {
            if (c == '\\') {
                i += put_escape(out, p + i, n - i);
                continue;
            }
            /* A run of plain characters in one go. */
            size_t k = i;
            while (k < n && (unsigned char)p[k] < 0x80 && p[k] != '\\' && p[k] != '"')
                k++;
            if (k == i) {
                in_string = false;
                k++;
            }
            buf_add(out, p + i, k - i);
            i = k;
            continue;
        }
        if (c >= '0' && c <= '9') {
            size_t k = i;
            while (k < n && p[k] >= '0' && p[k] <= '9')
                k++;
            buf_add(out, p + i, k - i);
            /* An integer beyond 64 bits is a real, as in the reference; no tail of a fraction. */
            if (is_huge(p + i, k - i) && !(k < n && memchr(".eE", p[k], 3)) &&
                !(i && memchr(".eE+", p[i - 1], 4)))
                buf_puts(out, ".0");
            i = k;
            continue;
        }
        buf_add(out, p + i, 1);
        i++;
        if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > MAX_JSON_DEPTH)
                return err_set(e, ERR_LIMIT, "JSON is nested deeper than %d", MAX_JSON_DEPTH);
        } else if (c == '}' || c == ']') {
            if (depth && --depth == 0)
                break; /* the first value is complete */
        }
        if ((c == ',' || c == ':') && ++values > MAX_JSON_VALUES)
            return err_set(e, ERR_LIMIT, "JSON holds more than %d values", MAX_JSON_VALUES);
    }
    return out->failed ? err_set(e, ERR_MEMORY, "out of memory") : 0;
}

static const char *kind_of(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "object";
    case JSON_ARRAY:
        return "array";
    case JSON_STRING:
        return "string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "bool";
    default:
        return "null";
    }
}

json_t *body_parse(const char *p, size_t n, struct err *e)
{
    struct buf text = {0};
    json_error_t at;
    json_t *v = NULL;
    while (n && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n'))
        p++, n--;
    if (!n) {
        err_set(e, ERR_INPUT, "missing request body");
        return NULL;
    }
    if (scan(p, n, &text, e) != 0)
        goto done;
    v = json_loadb(text.p, text.n, JSON_DISABLE_EOF_CHECK | JSON_DECODE_ANY | JSON_ALLOW_NUL, &at);
    if (!v) {
        if (json_error_code(&at) == json_error_premature_end_of_input)
            err_set(e, ERR_INPUT, "unexpected EOF");
        else if (json_error_code(&at) == json_error_out_of_memory)
            err_set(e, ERR_MEMORY, "out of memory");
        else if (json_error_code(&at) == json_error_numeric_overflow)
            err_set(e, ERR_INPUT, "number out of range in line %d, column %d of the body", at.line,
                    at.column);
        else if (json_syntax_error(text.p, text.n, e) == 0)
            err_set(e, ERR_INPUT, "invalid JSON in line %d, column %d: %s", at.line, at.column,
                    at.text);
    } else if (json_is_null(v)) {
        json_decref(v);
        v = json_object();
        if (!v)
            err_set(e, ERR_MEMORY, "out of memory");
    } else if (!json_is_object(v)) {
        err_set(e, ERR_INPUT, "json: cannot unmarshal %s into the request of type object",
                kind_of(v));
        json_decref(v);
        v = NULL;
    }
done:
    buf_free(&text);
    return v;
}

json_t *field(const json_t *obj, const char *name)
{
    json_t *v = json_object_get(obj, name);
    if (!v) {
        const char *key;
        json_t *each;
        json_object_foreach((json_t *)(uintptr_t)obj, key, each) if (strcasecmp(key, name) == 0) v =
            each;
    }
    return json_is_null(v) ? NULL : v;
}

int type_error(const json_t *v, const char *where, const char *want, struct err *e)
{
    const double x = json_number_value(v);
    if (json_is_real(v) && strcmp(want, "integer") == 0)
        return err_set(e, ERR_INPUT,
                       "json: cannot unmarshal number %g%s into field %s of type integer", x,
                       x > -1e6 && x < 1e6 && x == (int)x ? ".0" : "", where);
    return err_set(e, ERR_INPUT, "json: cannot unmarshal %s into field %s of type %s", kind_of(v),
                   where, want);
}

int field_string(const json_t *obj, const char *name, const char *where, const char **out,
                 struct err *e)
{
    const json_t *v = field(obj, name);
    if (!v)
        return 0;
    if (!json_is_string(v))
        return type_error(v, where, "string", e);
    if (strlen(json_string_value(v)) != json_string_length(v))
        return err_set(e, ERR_INPUT, "field %s holds a NUL character", where);
    *out = json_string_value(v);
    return 0;
}

int field_bool(const json_t *obj, const char *name, bool *out, bool *is_set, struct err *e)
{
    const json_t *v = field(obj, name);
    if (is_set)
        *is_set = v != NULL;
    if (!v)
        return 0;
    if (!json_is_boolean(v))
        return type_error(v, name, "boolean", e);
    *out = json_is_true(v);
    return 0;
}

int field_int(const json_t *obj, const char *name, json_int_t *out, struct err *e)
{
    const json_t *v = field(obj, name);
    if (!v)
        return 0;
    if (!json_is_integer(v))
        return type_error(v, name, "integer", e);
    *out = json_integer_value(v);
    return 0;
}

int field_array(const json_t *obj, const char *name, const char *where, json_t **out, struct err *e)
{
    json_t *v = field(obj, name);
    if (v && !json_is_array(v))
        return type_error(v, where, "array", e);
    *out = v;
    return 0;
}

int field_object(const json_t *obj, const char *name, json_t **out, struct err *e)
{
    json_t *v = field(obj, name);
    if (v && !json_is_object(v))
        return type_error(v, name, "object", e);
    *out = v;
    return 0;
}

int field_model(const json_t *obj, const char **out, struct err *e)
{
    const char *model = NULL, *name = NULL;
    if (field_string(obj, "model", "model", &model, e) != 0 ||
        field_string(obj, "name", "name", &name, e) != 0)
        return -1;
    *out = model && model[0] ? model : name;
    return 0;
}
