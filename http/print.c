/* http/print.c - JSON, numbers and times as the API prints them (spec/api.md 1.3, 1.4; decisions
 * 28 to 30), and durations as it reads them.
 *
 * The printer is our own because jansson prints 0.1f as 0.10000000149011612. A number that is a
 * float exactly is printed with the shortest digits that give back that float. */
#include "http/inside.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char type_json[] = "application/json; charset=utf-8";
const char type_json_plain[] = "application/json";
const char type_ndjson[] = "application/x-ndjson";
const char type_sse[] = "text/event-stream";
const char type_text[] = "text/plain";
const char type_text_utf8[] = "text/plain; charset=utf-8";

void print_json_string(struct buf *out, const char *p, size_t n)
{
    buf_add(out, "\"", 1);
    size_t from = 0;
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)p[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7F)
            continue;
        buf_add(out, p + from, i - from);
        from = i + 1;
        switch (c) {
        case '"':
            buf_puts(out, "\\\"");
            break;
        case '\\':
            buf_puts(out, "\\\\");
            break;
        case '\n':
            buf_puts(out, "\\n");
            break;
        case '\r':
            buf_puts(out, "\\r");
            break;
        case '\t':
            buf_puts(out, "\\t");
            break;
        default:
            buf_printf(out, "\\u%04x", (unsigned)c);
        }
    }
    buf_add(out, p + from, n - from);
    buf_add(out, "\"", 1);
}

/* The shortest digits that give back v: as a float where it is one, unless `wide`. */
static void print_shortest(struct buf *out, double v, bool wide)
{
    if (!isfinite(v)) { /* JSON has no word for it */
        buf_puts(out, "null");
        return;
    }
    const double size = fabs(v);
    if (v == floor(v) && size < 1e15) {
        buf_printf(out, "%.0f", v == 0 ? 0.0 : v);
        return;
    }
    char digits[40];
    const float f = (float)v;
    const bool is_float = !wide && (double)f == v;
    const int most = is_float ? 9 : 17;
    int n = is_float ? 1 : 15;
    for (;; n++) {
        snprintf(digits, sizeof digits, "%.*e", n - 1, v);
        if (n == most || (is_float ? strtof(digits, NULL) == f : strtod(digits, NULL) == v))
            break;
    }
    if (!is_float && n == 15) /* "%.15g" may carry zeros at its end */
        for (int k = 1; k < 15; k++) {
            char fewer[40];
            snprintf(fewer, sizeof fewer, "%.*e", k - 1, v);
            if (strtod(fewer, NULL) == v) {
                n = k;
                break;
            }
        }
    if (size < 1e-6 || size >= 1e21) {
        snprintf(digits, sizeof digits, "%.*e", n - 1, v);
        char *zero = strstr(digits, "e-0"); /* 1e-7, as the reference writes it */
        if (zero)
            memmove(zero + 2, zero + 3, strlen(zero + 3) + 1);
        buf_puts(out, digits);
        return;
    }
    /* The same digits without an exponent. */
    int exponent = 0;
    snprintf(digits, sizeof digits, "%.*e", n - 1, v);
    const char *at = strchr(digits, 'e');
    if (at)
        exponent = (int)strtol(at + 1, NULL, 10);
    const int decimals = n - 1 - exponent;
    buf_printf(out, "%.*f", decimals > 0 ? decimals : 0, v);
}

void print_real(struct buf *out, double v)
{
    print_shortest(out, v, false);
}

void print_wide(struct buf *out, double v)
{
    print_shortest(out, v, true);
}

/* The fewest decimals of v (1e-6 <= v < 1, a float) that read back as v; their digits in *q. 0: this
 * cannot tell. All in double: v times a power of ten, rounded, must come back nearer to v than half the
 * way to its neighbours. Where that way, or the rounding, is a matter of digits lost here, and at
 * powers of two, whose neighbour below is nearer, it does not tell. */
static int few_decimals(double v, uint64_t *q)
{
    static const double tens[] = {1,   1e1, 1e2,  1e3,  1e4,  1e5,  1e6, 1e7,
                                  1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    int e, zeros = 0, decimals = 0; /* zeros between the point and the first digit */
    if (frexp(v, &e) == 0.5)
        return 0;
    const double half = ldexp(1, e - 25);
    while (v * tens[zeros + 1] < 1)
        zeros++;
    for (int k = zeros + 9; k > zeros; k--) { /* nine digits always do */
        const double scaled = v * tens[k], whole = floor(scaled), part = scaled - whole;
        const double n = whole + (part > 0.5), off = fabs(n / tens[k] - v);
        if (fabs(part - 0.5) < 1e-5 || fabs(off - half) < 1e-6 * half)
            return 0;
        if (off > half)
            break;
        *q = (uint64_t)n;
        decimals = k;
    }
    return decimals;
}

/* Vectors have many floats: most are done without printf, thirty times as fast. */
void print_float(struct buf *out, float f)
{
    const double v = fabs((double)f);
    uint64_t q;
    const int decimals = v >= 1e-6 && v < 1 ? few_decimals(v, &q) : 0;
    if (!decimals) {
        print_real(out, (double)f);
        return;
    }
    char text[24];
    size_t at = sizeof text;
    for (int i = 0; i < decimals; i++, q /= 10)
        text[--at] = (char)('0' + q % 10);
    text[--at] = '.';
    text[--at] = '0';
    if (f < 0)
        text[--at] = '-';
    buf_add(out, text + at, sizeof text - at);
}

void http_print_json(struct buf *out, const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT: {
        const char *key, *comma = "";
        json_t *each;
        buf_add(out, "{", 1);
        json_object_foreach((json_t *)(uintptr_t)v, key, each)
        {
            buf_puts(out, comma);
            print_json_string(out, key, strlen(key));
            buf_add(out, ":", 1);
            http_print_json(out, each);
            comma = ",";
        }
        buf_add(out, "}", 1);
        break;
    }
    case JSON_ARRAY:
        buf_add(out, "[", 1);
        for (size_t i = 0; i < json_array_size(v); i++) {
            if (i)
                buf_add(out, ",", 1);
            http_print_json(out, json_array_get(v, i));
        }
        buf_add(out, "]", 1);
        break;
    case JSON_STRING:
        print_json_string(out, json_string_value(v), json_string_length(v));
        break;
    case JSON_INTEGER:
        buf_printf(out, "%lld", (long long)json_integer_value(v));
        break;
    case JSON_REAL:
        print_real(out, json_real_value(v));
        break;
    case JSON_TRUE:
        buf_puts(out, "true");
        break;
    case JSON_FALSE:
        buf_puts(out, "false");
        break;
    default:
        buf_puts(out, "null");
    }
}

void print_time(int64_t real_ns, char out[TIME_TEXT])
{
    int64_t sec, ns;
    if (real_ns == INT64_MAX) { /* "for ever" is now + 2^63 ns: clients parse the year 2319 */
        const int64_t now = time_real_ns();
        sec = now / 1000000000 + INT64_MAX / 1000000000;
        ns = INT64_MAX % 1000000000;
    } else {
        sec = real_ns / 1000000000;
        ns = real_ns % 1000000000;
        if (ns < 0) {
            ns += 1000000000;
            sec--;
        }
    }
    const time_t t = (time_t)sec;
    struct tm tm;
    char day[24] = "1970-01-01T00:00:00";
    if (gmtime_r(&t, &tm))
        strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out, TIME_TEXT, "%s.%09dZ", day, (int)ns);
}

/* ---- durations ----------------------------------------------------------------------------- */

static const struct {
    const char *unit;
    double ns;
} units[] = {
    {"ns", 1},   {"us", 1e3}, {"\u00b5s", 1e3}, {"\u03bcs", 1e3},
    {"ms", 1e6}, {"s", 1e9},  {"m", 60e9},      {"h", 3600e9},
};

/* A duration as Go writes it: "1h30m", "-1.5s", "0". */
static int duration(const char *text, double *ns, struct err *e)
{
    const char *p = text;
    const bool negative = *p == '-';
    double total = 0;
    if (*p == '-' || *p == '+')
        p++;
    if (strcmp(p, "0") == 0) {
        *ns = 0;
        return 0;
    }
    if (!*p)
        return err_set(e, ERR_INPUT, "time: invalid duration \"%s\"", text);
    while (*p) {
        double number = 0, place = 1;
        bool digits = false;
        for (; *p >= '0' && *p <= '9'; p++, digits = true)
            number = number * 10 + (*p - '0');
        if (*p == '.')
            for (p++; *p >= '0' && *p <= '9'; p++, digits = true)
                number += (*p - '0') * (place /= 10);
        if (!digits)
            return err_set(e, ERR_INPUT, "time: invalid duration \"%s\"", text);
        const size_t n_unit = strcspn(p, ".0123456789");
        if (!n_unit)
            return err_set(e, ERR_INPUT, "time: missing unit in duration \"%s\"", text);
        double unit = 0;
        for (size_t i = 0; i < sizeof units / sizeof *units; i++)
            if (strlen(units[i].unit) == n_unit && memcmp(units[i].unit, p, n_unit) == 0)
                unit = units[i].ns;
        if (unit == 0)
            return err_set(e, ERR_INPUT, "time: unknown unit \"%.*s\" in duration \"%s\"",
                           (int)(n_unit > 64 ? 64 : n_unit), p, text);
        total += number * unit;
        if (total > 9.2e18)
            return err_set(e, ERR_INPUT, "time: invalid duration \"%s\"", text);
        p += n_unit;
    }
    *ns = negative ? -total : total;
    return 0;
}

static int64_t clamp_ns(double ns)
{
    if (ns < 0)
        return -1;
    return ns >= 9.2e18 ? -1 : (int64_t)ns; /* 292 years are for ever */
}

int http_keep_alive(const json_t *v, int64_t *ns, struct err *e)
{
    double d;
    switch (json_typeof(v)) {
    case JSON_INTEGER:
    case JSON_REAL:
        *ns = clamp_ns(json_number_value(v) * 1e9);
        return 0;
    case JSON_STRING:
        if (duration(json_string_value(v), &d, e) != 0)
            return -1;
        *ns = clamp_ns(d);
        return 0;
    case JSON_OBJECT:
        return err_set(e, ERR_INPUT, "Unsupported type: 'map[string]interface {}'");
    case JSON_ARRAY:
        return err_set(e, ERR_INPUT, "Unsupported type: '[]interface {}'");
    default:
        return err_set(e, ERR_INPUT, "Unsupported type: 'bool'");
    }
}

int http_keep_alive_text(const char *text, int64_t *ns, struct err *e)
{
    char *end;
    const double seconds = strtod(text, &end);
    double d;
    if (end != text && !*end && strspn(text, "+-0123456789") == strlen(text)) {
        *ns = clamp_ns(seconds * 1e9);
        return 0;
    }
    if (duration(text, &d, e) != 0)
        return -1;
    *ns = clamp_ns(d);
    return 0;
}
