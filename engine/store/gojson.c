/* engine/store/gojson.c - JSON and numbers as Go prints them.
 *
 * Facts: shared/spec store.md 3.1 and 3.3, modelfile-and-templates.md 1.4: what a local create
 * writes is compared, hashed and shared with Ollama, so its bytes are Ollama's: compact, HTML
 * characters as \u003c \u003e \u0026, shortest digits that read back. jansson's dump prints
 * %.17g and upper-case escapes, hence this one. */
#include "engine/store/inside.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- numbers --------------------------------------------------------------------------- */

/* The fewest digits of |v| that read back as v: "d...d" without zeros at the end, and the place
 * of the point: value = 0.d...d * 10^(*point). */
static int shortest(double v, char digits[24], int *point)
{
    char text[40];
    int prec = 0;
    for (; prec < 17; prec++) {
        snprintf(text, sizeof text, "%.*e", prec, v);
        if (strtod(text, NULL) == v)
            break;
    }
    int n = 0;
    const char *p = text[0] == '-' ? text + 1 : text;
    for (; *p && *p != 'e'; p++)
        if (*p != '.')
            digits[n++] = *p;
    *point = (*p == 'e' ? (int)strtol(p + 1, NULL, 10) : 0) + 1;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    digits[n] = 0;
    return n;
}

static void put_plain(struct buf *b, const char *digits, int n, int point)
{
    if (point <= 0) {
        buf_puts(b, "0.");
        for (int i = point; i < 0; i++)
            buf_puts(b, "0");
        buf_add(b, digits, (size_t)n);
        return;
    }
    for (int i = 0; i < point; i++)
        buf_add(b, i < n ? digits + i : "0", 1);
    if (n > point) {
        buf_puts(b, ".");
        buf_add(b, digits + point, (size_t)(n - point));
    }
}

static void put_exponent(struct buf *b, const char *digits, int n, int point, bool two_digits)
{
    buf_add(b, digits, 1);
    if (n > 1) {
        buf_puts(b, ".");
        buf_add(b, digits + 1, (size_t)(n - 1));
    }
    const int x = point - 1;
    buf_printf(b, two_digits ? "e%c%02d" : "e%c%d", x < 0 ? '-' : '+', abs(x));
}

void store_go_number(struct buf *b, double v)
{
    if (fabs(v) < 1e15 && v == floor(v)) { /* where Go would print 1.048576e+06 */
        buf_printf(b, "%.0f", v == 0 ? 0 : v);
        return;
    }
    if (isnan(v) || isinf(v)) {
        buf_puts(b, isnan(v) ? "NaN" : v < 0 ? "-Inf" : "+Inf");
        return;
    }
    char digits[24];
    int point;
    const int n = shortest(v, digits, &point);
    if (signbit(v))
        buf_puts(b, "-");
    if (point - 1 < -4 || point - 1 >= 6)
        put_exponent(b, digits, n, point, true);
    else
        put_plain(b, digits, n, point);
}

/* encoding/json: plain form from 1e-6 up to 1e21, else an exponent without a leading zero for
 * small numbers. */
static void put_json_real(struct buf *b, double v)
{
    char digits[24];
    int point;
    if (isnan(v) || isinf(v)) { /* jansson never holds one */
        b->failed = true;
        return;
    }
    const int n = shortest(v, digits, &point);
    if (signbit(v))
        buf_puts(b, "-");
    const double a = fabs(v);
    if (a == 0)
        buf_puts(b, "0");
    else if (a < 1e-6 || a >= 1e21)
        put_exponent(b, digits, n, point, a >= 1);
    else
        put_plain(b, digits, n, point);
}

/* ---- text ------------------------------------------------------------------------------ */

void store_json_text(struct buf *b, const char *s, size_t n)
{
    buf_puts(b, "\"");
    size_t start = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        bool bad;
        const size_t len = text_decode(s + i, n - i, &cp, &bad);
        const bool odd = bad || cp < 0x20 || cp == '"' || cp == '\\' || cp == '<' || cp == '>' ||
                         cp == '&' || cp == 0x2028 || cp == 0x2029;
        if (odd) {
            buf_add(b, s + start, i - start);
            start = i + len;
            switch (cp) {
            case '"':
                buf_puts(b, "\\\"");
                break;
            case '\\':
                buf_puts(b, "\\\\");
                break;
            case '\n':
                buf_puts(b, "\\n");
                break;
            case '\r':
                buf_puts(b, "\\r");
                break;
            case '\t':
                buf_puts(b, "\\t");
                break;
            case '\b':
                buf_puts(b, "\\b");
                break;
            case '\f':
                buf_puts(b, "\\f");
                break;
            default:
                buf_printf(b, "\\u%04x", (unsigned)cp);
            }
        }
        i += len;
    }
    buf_add(b, s + start, n - start);
    buf_puts(b, "\"");
}

void store_go_quote(struct buf *b, const char *s, size_t n)
{
    static const char *const named[] = {"\\a", "\\b", "\\t", "\\n", "\\v", "\\f", "\\r"};
    buf_puts(b, "\"");
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        bool bad;
        const size_t len = text_decode(s + i, n - i, &cp, &bad);
        if (bad)
            buf_printf(b, "\\x%02x", (unsigned char)s[i]);
        else if (cp == '"' || cp == '\\')
            buf_printf(b, "\\%c", (char)cp);
        else if (cp >= 7 && cp <= 13)
            buf_puts(b, named[cp - 7]);
        else if (store_rune_printable(cp))
            buf_add(b, s + i, len);
        else if (cp < 0x80)
            buf_printf(b, "\\x%02x", (unsigned)cp);
        else if (cp < 0x10000)
            buf_printf(b, "\\u%04x", (unsigned)cp);
        else
            buf_printf(b, "\\U%08x", (unsigned)cp);
        i += len;
    }
    buf_puts(b, "\"");
}

/* Ranges that Go does not print: controls, formats, private use, surrogates, spaces but U+0020,
 * non-characters. Source: Unicode 15 categories Cc, Cf, Co, Cs, Zs, Zl, Zp. Code points that
 * Unicode has not given out yet count as printable here: they are text of a newer Unicode. */
static const uint32_t unprintable[][2] = {
    {0x00, 0x1f},       {0x7f, 0xa0},       {0xad, 0xad},       {0x600, 0x605},
    {0x61c, 0x61c},     {0x6dd, 0x6dd},     {0x70f, 0x70f},     {0x890, 0x891},
    {0x8e2, 0x8e2},     {0x1680, 0x1680},   {0x180e, 0x180e},   {0x2000, 0x200f},
    {0x2028, 0x202f},   {0x205f, 0x206f},   {0x3000, 0x3000},   {0xd800, 0xf8ff},
    {0xfdd0, 0xfdef},   {0xfeff, 0xfeff},   {0xfff0, 0xfffb},   {0xfffe, 0xffff},
    {0x110bd, 0x110bd}, {0x110cd, 0x110cd}, {0x13430, 0x1343f}, {0x1bca0, 0x1bca3},
    {0x1d173, 0x1d17a}, {0xe0000, 0xe00ff}, {0xe01f0, 0x10ffff},
};

bool store_rune_printable(uint32_t cp)
{
    for (size_t i = 0; i < sizeof unprintable / sizeof unprintable[0]; i++)
        if (cp >= unprintable[i][0] && cp <= unprintable[i][1])
            return false;
    return cp <= 0x10ffff;
}

/* ---- values ---------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void put_value(struct buf *b, const json_t *v, bool sort_keys, int depth);

static void put_object(struct buf *b, const json_t *v, bool sort_keys, int depth)
{
    /* jansson iterates in the order of insertion; the iterator functions want a json_t that
     * can be changed, but change nothing. */
    json_t *o = (json_t *)(uintptr_t)v;
    const size_t n = json_object_size(v);
    const char **keys = calloc(n + 1, sizeof *keys);
    if (!keys) {
        b->failed = true;
        return;
    }
    size_t i = 0;
    for (void *it = json_object_iter(o); it && i < n; it = json_object_iter_next(o, it))
        keys[i++] = json_object_iter_key(it);
    if (sort_keys && i)
        qsort(keys, i, sizeof *keys, by_text);
    buf_puts(b, "{");
    for (size_t k = 0; k < i; k++) {
        if (k)
            buf_puts(b, ",");
        store_json_text(b, keys[k], strlen(keys[k]));
        buf_puts(b, ":");
        put_value(b, json_object_get(v, keys[k]), sort_keys, depth + 1);
    }
    buf_puts(b, "}");
    free(keys);
}

static void put_value(struct buf *b, const json_t *v, bool sort_keys, int depth)
{
    if (depth > JSON_MAX_DEPTH) {
        b->failed = true;
        return;
    }
    switch (v ? json_typeof(v) : JSON_NULL) {
    case JSON_OBJECT:
        put_object(b, v, sort_keys, depth);
        break;
    case JSON_ARRAY:
        buf_puts(b, "[");
        for (size_t i = 0; i < json_array_size(v); i++) {
            if (i)
                buf_puts(b, ",");
            put_value(b, json_array_get(v, i), sort_keys, depth + 1);
        }
        buf_puts(b, "]");
        break;
    case JSON_STRING:
        store_json_text(b, json_string_value(v), json_string_length(v));
        break;
    case JSON_INTEGER:
        buf_printf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        break;
    case JSON_REAL:
        put_json_real(b, json_real_value(v));
        break;
    case JSON_TRUE:
        buf_puts(b, "true");
        break;
    case JSON_FALSE:
        buf_puts(b, "false");
        break;
    default:
        buf_puts(b, "null");
    }
}

void store_json_put(struct buf *b, const json_t *v, bool sort_keys)
{
    put_value(b, v, sort_keys, 0);
}

json_t *store_json_load(const char *p, size_t n)
{
    json_t *v = json_loadb(p, n, 0, NULL);
    /* Go prints 5e19 without an exponent, which is no 64-bit integer: then all are reals. */
    return v ? v : json_loadb(p, n, JSON_DECODE_INT_AS_REAL, NULL);
}
