/* engine/chat/bodies_code.c - calls that look like code: call:NAME{key:value}, and Python's
 * name(key=value).
 *
 * Facts: spec/modelfile-and-templates.md 8.11, 8.12. */
#include "engine/chat/split.h"

#include <stdlib.h>
#include <string.h>

/* ---- call:NAME{key:value,..} ----------------------------------------------------------------- */

/* To JSON: marks become quotes, bare keys get them, bare words too. */
int braces_body(const struct call_format *f, const char *p, size_t n, json_t *calls, bool *oom)
{
    const char *open = memchr(p, '{', n), *end = p + n, *name = p;
    const size_t n_mark = strlen(f->string);
    struct buf b = {0};
    json_t *args = NULL;
    int rc = -1;
    if (!open)
        return -1;
    size_t n_name = (size_t)(open - p);
    text_trim(&name, &n_name);
    if (n_name > 5 && !memcmp(name, "call:", 5)) {
        name += 5;
        n_name -= 5;
    }
    for (const char *s = open; s < end;) {
        if ((size_t)(end - s) >= n_mark && !memcmp(s, f->string, n_mark)) {
            const char *from = s + n_mark, *to = text_find(from, (size_t)(end - from), f->string);
            if (!to) /* the last mark is missing: up to the closing brace */
                for (to = end; to > from && to[-1] != '}';)
                    to--;
            to = to > from && !text_find(from, (size_t)(end - from), f->string) ? to - 1 : to;
            json_t *text = json_stringn(from, (size_t)(to - from));
            char *quoted = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL;
            buf_puts(&b, quoted ? quoted : "\"\"");
            free(quoted);
            json_decref(text);
            s = to + ((size_t)(end - to) >= n_mark && !memcmp(to, f->string, n_mark) ? n_mark : 0);
        } else if (*s == '"') { /* a JSON string as it is */
            const char *q = s + 1;
            while (q < end && *q != '"')
                q += *q == '\\' && q + 1 < end ? 2 : 1;
            buf_add(&b, s, (size_t)(q - s) + (q < end));
            s = q < end ? q + 1 : end;
        } else if (strchr("{}[]:,", *s) || is_blank(*s)) {
            buf_add(&b, s++, 1);
        } else { /* a bare word: up to the next mark of the syntax */
            const char *q = s;
            while (q < end && !strchr("{}[]:,", *q))
                q++;
            size_t len = (size_t)(q - s);
            while (len && is_blank(s[len - 1]))
                len--;
            json_t *v = q < end && *q == ':'
                            ? NULL
                            : json_loadb(s, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
            const char *from = s;
            if (!v && len >= 2 && *from == '\'' && from[len - 1] == '\'') {
                from++;
                len -= 2;
            }
            json_t *text = v ? v : json_stringn(from, len);
            char *out = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL;
            buf_puts(&b, out ? out : "null");
            free(out);
            json_decref(text);
            s = q;
        }
    }
    for (int tries = 0; tries < 2 && !args && !b.failed && b.p; tries++) {
        args = json_loadb(b.p, b.n, JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL, NULL);
        buf_puts(&b, "}"); /* a missing last brace */
    }
    if (json_is_object(args) && n_name)
        rc = call_add(calls, name, n_name, json_incref(args), NULL, oom);
    json_decref(args);
    buf_free(&b);
    return rc;
}

/* ---- name(key=value, ..) --------------------------------------------------------------------- */

struct py {
    const char *p, *end;
    int depth;
};

static void py_blank(struct py *y)
{
    while (y->p < y->end && is_blank(*y->p))
        y->p++;
}

/* \xHH, \uHHHH, \UHHHHHHHH behind the backslash, a pair of surrogates as one: -1: none. */
static long py_code(struct py *y)
{
    const size_t n = *y->p == 'x' ? 2 : *y->p == 'u' ? 4 : *y->p == 'U' ? 8 : 0;
    char hex[9] = "", *stop;
    if (!n || (size_t)(y->end - y->p) <= n)
        return -1;
    memcpy(hex, y->p + 1, n);
    if (strspn(hex, "0123456789abcdefABCDEF") != n)
        return -1;
    long cp = strtol(hex, &stop, 16);
    struct py low = {y->p + 1 + n, y->end, 0};
    y->p = low.p;
    if (cp >= 0xd800 && cp < 0xdc00 && low.end - low.p > 6 && low.p[0] == '\\' && low.p[1] == 'u') {
        low.p++;
        const long other = py_code(&low);
        if (other >= 0xdc00 && other < 0xe000) {
            cp = 0x10000 + (cp - 0xd800) * 0x400 + (other - 0xdc00);
            y->p = low.p;
        }
    }
    return cp;
}

static json_t *py_string(struct py *y)
{
    static const char from[] = "nrtbf0'\"\\/", to[] = "\n\r\t\b\f\0'\"\\/";
    const char quote = *y->p++, *stop = y->p;
    while (stop < y->end && *stop != quote)
        stop += *stop == '\\' && stop + 1 < y->end ? 2 : 1;
    if (quote == '"' && stop < y->end) { /* most are JSON strings too, with its escapes */
        json_t *v =
            json_loadb(y->p - 1, (size_t)(stop - y->p) + 2, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        if (v) {
            y->p = stop + 1;
            return v;
        }
    }
    struct buf b = {0};
    while (y->p < y->end && *y->p != quote) {
        char c = *y->p++;
        if (c == '\\' && y->p < y->end) {
            const char *at = strchr(from, *y->p);
            const long cp = py_code(y);
            if (cp >= 0) {
                char text[4];
                const bool no = cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000);
                buf_add(&b, text, text_encode(no ? 0xfffd : (uint32_t)cp, text));
                continue;
            }
            if (at && *at) {
                c = to[at - from];
                y->p++;
            }
        }
        buf_add(&b, &c, 1);
    }
    json_t *s = y->p < y->end && !b.failed ? json_stringn(b.p ? b.p : "", b.n) : NULL;
    buf_free(&b);
    y->p += y->p < y->end;
    return s;
}

static json_t *py_value(struct py *y)
{
    json_t *out = NULL, *v = NULL;
    py_blank(y);
    if (y->p == y->end || ++y->depth > 32)
        return NULL;
    const char c = *y->p;
    if (c == '"' || c == '\'') {
        out = py_string(y);
    } else if (c == '[' || c == '{' || c == '(') {
        const char stop = c == '[' ? ']' : c == '{' ? '}' : ')';
        out = c == '{' ? json_object() : json_array();
        y->p++;
        for (;;) {
            py_blank(y);
            if (y->p < y->end && *y->p == stop) {
                y->p++;
                break;
            }
            v = py_value(y);
            py_blank(y);
            if (v && c == '{') {
                json_t *key = v;
                v = y->p < y->end && *y->p == ':' && json_is_string(key) ? (y->p++, py_value(y))
                                                                         : NULL;
                if (v && json_object_set(out, json_string_value(key), v)) {
                    json_decref(v);
                    v = NULL;
                }
                json_decref(key);
            } else if (v && json_array_append(out, v)) {
                json_decref(v);
                v = NULL;
            }
            py_blank(y);
            if (!v || y->p == y->end || (*y->p != ',' && *y->p != stop)) {
                json_decref(v);
                json_decref(out);
                out = NULL;
                break;
            }
            json_decref(v);
            y->p += *y->p == ',';
        }
    } else {
        const char *from = y->p;
        while (y->p < y->end && !strchr(",)]}:", *y->p) && !is_blank(*y->p))
            y->p++;
        const size_t n = (size_t)(y->p - from);
        out = is_word(from, n, "true")    ? json_true()
              : is_word(from, n, "false") ? json_false()
              : is_word(from, n, "none") || is_word(from, n, "null")
                  ? json_null()
                  : json_loadb(from, n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        if (!json_is_number(out) && !json_is_boolean(out) && !json_is_null(out)) {
            json_decref(out);
            out = NULL;
        }
    }
    y->depth--;
    return out;
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '-';
}

static int py_call(struct py *y, json_t *calls, bool *oom)
{
    const char *name = y->p;
    while (y->p < y->end && is_name(*y->p))
        y->p++;
    const size_t n_name = (size_t)(y->p - name);
    json_t *args = json_object();
    if (!n_name || y->p == y->end || *y->p != '(')
        goto bad;
    y->p++;
    for (;;) {
        py_blank(y);
        if (y->p < y->end && *y->p == ')') {
            y->p++;
            return call_add(calls, name, n_name, args, NULL, oom);
        }
        const char *key = y->p; /* properties need not be names */
        while (y->p < y->end && !strchr("=,()'\"", *y->p))
            y->p++;
        size_t n_key = (size_t)(y->p - key);
        text_trim(&key, &n_key);
        if (!n_key || y->p == y->end || *y->p != '=')
            goto bad;
        y->p++;
        json_t *v = py_value(y);
        if (!v || arg_set(args, key, n_key, v, oom))
            goto bad;
        py_blank(y);
        if (y->p == y->end || (*y->p != ',' && *y->p != ')'))
            goto bad;
        y->p += *y->p == ',';
    }
bad:
    json_decref(args);
    return -1;
}

int python_body(const char *p, size_t n, const json_t *tools, json_t *calls, bool *oom)
{
    size_t some = 0;
    text_trim(&p, &n);
    if (n && (*p == '{' || (*p == '[' && n > 1 && memchr("{ \n", p[1], 3))) &&
        json_body(p, n, tools, calls, oom) == 0)
        return 0; /* JSON all the same */
    if (n > 1 && *p == '[' && p[n - 1] == ']') {
        p++;
        n -= 2;
    }
    struct py y = {p, p + n, 0};
    for (;; some++) {
        while (y.p < y.end && (is_blank(*y.p) || *y.p == ',' || *y.p == ';'))
            y.p++;
        if (y.p == y.end)
            return some ? 0 : -1;
        if (py_call(&y, calls, oom))
            return -1;
    }
}
