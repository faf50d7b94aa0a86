/* engine/chat/go_verbs.c - printf of Go: verbs on plain values, flags, width, what is wrong. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "engine/chat/go.h"

static size_t chars_of(const char *p, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; count++) {
        uint32_t cp;
        bool bad = false;
        i += text_decode(p + i, n - i, &cp, &bad);
    }
    return count;
}

void go_put_padded(struct tpl *c, struct sink *k, const struct str *s, struct go_verb f)
{
    size_t n = chars_of(s->p, s->n),
           pad = f.width > 0 && (size_t)f.width > n ? (size_t)f.width - n : 0;
    tpl_charge(c, pad);
    if (f.minus)
        tpl_put_str(c, k, s);
    for (size_t i = 0; i < pad; i++)
        tpl_puts(c, k, f.zero && !f.minus ? "0" : " ");
    if (!f.minus)
        tpl_put_str(c, k, s);
}

static void put_rune_quoted(struct tpl *c, struct sink *k, uint32_t cp, char quote, bool ascii)
{
    static const char names[] = "\a\b\f\n\r\t\v\\", shorts[] = "abfnrtv\\";
    const char *named = cp && cp < 128 ? strchr(names, (int)cp) : NULL;
    char out[16];
    if (named)
        snprintf(out, sizeof out, "\\%c", shorts[named - names]);
    else if (cp == (unsigned char)quote)
        snprintf(out, sizeof out, "\\%c", quote);
    else if (cp >= 32 && cp < 127)
        snprintf(out, sizeof out, "%c", (int)cp);
    else if (cp < 128)
        snprintf(out, sizeof out, "\\x%02x", (unsigned)cp);
    else if (!ascii && (uni_class(cp) & U_PRINT))
        out[text_encode(cp, out)] = 0;
    else
        snprintf(out, sizeof out, cp < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)cp);
    tpl_puts(c, k, out);
}

void go_put_quoted(struct tpl *c, struct sink *k, const struct str *s, bool ascii)
{
    tpl_puts(c, k, "\"");
    for (size_t i = 0; i < s->n;) {
        uint32_t cp;
        bool bad = false;
        size_t len = text_decode(s->p + i, s->n - i, &cp, &bad);
        if (bad) {
            char out[8];
            snprintf(out, sizeof out, "\\x%02x", (unsigned)(unsigned char)s->p[i]);
            tpl_puts(c, k, out);
        } else if (cp >= 32 && cp != '"' && cp != '\\' && cp != 127 &&
                   (cp < 127 || (!ascii && (uni_class(cp) & U_PRINT)))) {
            tpl_put_part(c, k, s, i, i + len);
        } else {
            put_rune_quoted(c, k, cp, '"', ascii);
        }
        i += len;
    }
    tpl_puts(c, k, "\"");
}

/* ---- verbs on kinds of values ---------------------------------------------------------------- */

void go_put_bad(struct tpl *c, struct sink *k, struct gv v, uint32_t verb, struct go_verb f)
{
    tpl_puts(c, k, "%!");
    tpl_putc(c, k, verb, false);
    tpl_puts(c, k, "(");
    if (v.type == GO_NIL || v.type == GO_INVALID) {
        tpl_puts(c, k, "<nil>");
    } else {
        v.face = false;
        tpl_puts(c, k, go_type_name(v));
        tpl_puts(c, k, "=");
        go_put_verb(c, k, v, 'v', f, 0);
    }
    tpl_puts(c, k, ")");
}

static void put_zeros(struct tpl *c, struct sink *k, size_t n)
{
    tpl_charge(c, n);
    while (n-- > 0)
        tpl_puts(c, k, "0");
}

static void put_int(struct tpl *c, struct sink *k, int64_t i, uint32_t verb, struct go_verb f)
{
    const unsigned base = verb == 'b'                  ? 2
                          : verb == 'o' || verb == 'O' ? 8
                          : verb == 'x' || verb == 'X' ? 16
                                                       : 10;
    uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    const char sign = i < 0 ? '-' : f.plus ? '+' : f.space ? ' ' : 0;
    int least = f.precision;
    char b[72], head[8];
    size_t at = sizeof b, n = 0;
    b[--at] = 0;
    if (f.precision < 0 && f.zero && !f.minus)
        least = f.width - (sign != 0);
    f.zero = false;
    if (f.precision == 0 && u == 0) {
        go_put_padded(c, k, tpl_str(c, "", 0, false), f);
        return;
    }
    do {
        b[--at] = "0123456789abcdef0123456789ABCDEF"[u % base + (verb == 'X' ? 16 : 0)];
        u /= base;
    } while (u);
    const size_t digits = sizeof b - 1 - at;
    const size_t zeros = least > 0 && (size_t)least > digits ? (size_t)least - digits : 0;
    if (sign)
        head[n++] = sign;
    if (verb == 'O')
        head[n++] = '0', head[n++] = 'o';
    if (f.sharp && base == 8 && b[at] != '0' && !zeros)
        head[n++] = '0';
    if (f.sharp && (base == 2 || base == 16))
        head[n++] = '0', head[n++] = base == 2 ? 'b' : (char)verb;
    struct sink one;
    tpl_sink(c, &one);
    head[n] = 0;
    tpl_puts(c, &one, head);
    put_zeros(c, &one, zeros);
    tpl_puts(c, &one, b + at);
    go_put_padded(c, k, tpl_sink_str(c, &one), f);
}

static void put_unicode(struct tpl *c, struct sink *k, int64_t i, struct go_verb f)
{
    char b[24];
    struct sink one;
    const size_t digits = (size_t)snprintf(b, sizeof b, "%" PRIX64, (uint64_t)i);
    const size_t least = f.precision > 4 ? (size_t)f.precision : 4;
    tpl_sink(c, &one);
    tpl_puts(c, &one, "U+");
    put_zeros(c, &one, least > digits ? least - digits : 0);
    tpl_puts(c, &one, b);
    if (f.sharp && i >= 0 && i <= 0x10ffff && (uni_class((uint32_t)i) & U_PRINT)) {
        tpl_puts(c, &one, " '");
        tpl_putc(c, &one, (uint32_t)i, false);
        tpl_puts(c, &one, "'");
    }
    f.zero = false;
    go_put_padded(c, k, tpl_sink_str(c, &one), f);
}

static void put_int_verb(struct tpl *c, struct sink *k, struct gv v, uint32_t verb,
                         struct go_verb f)
{
    const bool fits = v.i >= 0 && v.i <= 0x10ffff && !(v.i >= 0xd800 && v.i < 0xe000);
    const uint32_t cp = fits ? (uint32_t)v.i : 0xfffd;
    struct sink one;
    char b[8];
    switch (verb) {
    case 'v':
        if (f.sharp_v && v.type == GO_BYTE) {
            f.sharp = true;
            verb = 'x';
        }
        put_int(c, k, v.i, verb, f);
        break;
    case 'd':
    case 'b':
    case 'o':
    case 'O':
    case 'x':
    case 'X':
        put_int(c, k, v.i, verb, f);
        break;
    case 'c':
        b[text_encode(cp, b)] = 0;
        go_put_padded(c, k, tpl_str_copy(c, b, cp ? strlen(b) : 1, false), f);
        break;
    case 'q':
        tpl_sink(c, &one);
        tpl_puts(c, &one, "'");
        put_rune_quoted(c, &one, cp, '\'', f.plus);
        tpl_puts(c, &one, "'");
        go_put_padded(c, k, tpl_sink_str(c, &one), f);
        break;
    case 'U':
        put_unicode(c, k, v.i, f);
        break;
    default:
        go_put_bad(c, k, v, verb, f);
    }
}

static struct str *cut_chars(struct tpl *c, struct str *s, int most)
{
    size_t at = 0;
    for (int i = 0; i < most && at < s->n; i++) {
        uint32_t cp;
        bool bad = false;
        at += text_decode(s->p + at, s->n - at, &cp, &bad);
    }
    return tpl_str_part(c, s, 0, at);
}

static struct str *hex_of(struct tpl *c, const struct str *s, bool upper, struct go_verb f)
{
    struct sink k;
    size_t n = f.precision >= 0 && (size_t)f.precision < s->n ? (size_t)f.precision : s->n;
    tpl_sink(c, &k);
    tpl_charge(c, n);
    for (size_t i = 0; i < n; i++) {
        char b[8];
        const unsigned byte = (unsigned char)s->p[i];
        tpl_puts(c, &k, f.space && i ? " " : "");
        tpl_puts(c, &k, f.sharp && (f.space || !i) ? (upper ? "0X" : "0x") : "");
        snprintf(b, sizeof b, upper ? "%02X" : "%02x", byte);
        tpl_puts(c, &k, b);
    }
    return tpl_sink_str(c, &k);
}

static bool can_backquote(const struct str *s)
{
    for (size_t i = 0; i < s->n;) {
        uint32_t cp;
        bool bad = false;
        i += text_decode(s->p + i, s->n - i, &cp, &bad);
        if (bad || (cp < 32 && cp != '\t') || cp == '`' || cp == 127 || cp == 0xfeff)
            return false;
    }
    return true;
}

static void put_string_verb(struct tpl *c, struct sink *k, struct gv v, uint32_t verb,
                            struct go_verb f)
{
    struct sink q;
    struct str *s = v.s;
    switch (verb) {
    case 'v':
    case 's':
        if (!f.sharp_v) {
            go_put_padded(c, k, f.precision >= 0 ? cut_chars(c, s, f.precision) : s, f);
            return;
        }
        break;
    case 'x':
    case 'X':
        go_put_padded(c, k, hex_of(c, s, verb == 'X', f), f);
        return;
    case 'q':
        break;
    default:
        go_put_bad(c, k, v, verb, f);
        return;
    }
    if (f.precision >= 0)
        s = cut_chars(c, s, f.precision);
    tpl_sink(c, &q);
    if (f.sharp && can_backquote(s)) {
        tpl_puts(c, &q, "`");
        tpl_put_str(c, &q, s);
        tpl_puts(c, &q, "`");
    } else {
        go_put_quoted(c, &q, s, f.plus);
    }
    go_put_padded(c, k, tpl_sink_str(c, &q), f);
}

void go_put_scalar(struct tpl *c, struct sink *k, struct gv v, uint32_t verb, struct go_verb f)
{
    switch (v.type) {
    case GO_BOOL:
        if (verb == 't' || verb == 'v')
            go_put_padded(c, k, tpl_str_copy(c, v.b ? "true" : "false", v.b ? 4 : 5, false), f);
        else
            go_put_bad(c, k, v, verb, f);
        break;
    case GO_INT:
    case GO_BYTE:
        put_int_verb(c, k, v, verb, f);
        break;
    case GO_FLOAT:
    case GO_COMPLEX:
        if (!verb || verb > 127 || !strchr("vbgGxXfFeE", (int)verb))
            go_put_bad(c, k, v, verb, f);
        else
            go_put_float(c, k, v, verb, f);
        break;
    case GO_STRING:
        put_string_verb(c, k, v, verb, f);
        break;
    default:
        if (verb == 'v')
            go_put_padded(c, k, tpl_str_copy(c, "<nil>", 5, false), f);
        else
            go_put_bad(c, k, v, verb, f);
    }
}

/* ---- the format ------------------------------------------------------------------------------ */

struct args_of {
    const struct gv *v;
    size_t n, at;
    bool reordered, good; /* [n] was used; it was a fine one */
};

static int digits_at(const struct str *s, size_t *i)
{
    int n = -1;
    while (*i < s->n && s->p[*i] >= '0' && s->p[*i] <= '9') {
        n = (n < 0 ? 0 : n) * 10 + s->p[(*i)++] - '0';
        if (n > 1000000) {
            *i = s->n; /* as Go: nothing of the format is left */
            return -1;
        }
    }
    return n;
}

/* `[3]`: the next argument is the third. */
static void arg_number(const struct str *s, size_t *i, struct args_of *a)
{
    if (*i >= s->n || s->p[*i] != '[')
        return;
    a->reordered = true;
    const char *close = memchr(s->p + *i, ']', s->n - *i);
    if (!close) {
        a->good = false;
        (*i)++;
        return;
    }
    size_t at = *i + 1, end = (size_t)(close - s->p);
    int n = digits_at(s, &at);
    *i = end + 1;
    if (n < 1 || at != end || (size_t)n > a->n)
        a->good = false;
    else
        a->at = (size_t)n - 1;
}

/* `*`: the next argument, an int. INT_MIN-like -1 with *bad when it is none. */
static int star(struct args_of *a, bool *bad)
{
    *bad = true;
    if (a->at >= a->n)
        return -1;
    const struct gv v = a->v[a->at++];
    if ((v.type != GO_INT && v.type != GO_BYTE) || v.i > 1000000 || v.i < -1000000)
        return -1;
    *bad = false;
    return (int)v.i;
}

/* Flags, width and precision up to the verb. */
static struct go_verb read_flags(struct tpl *c, struct sink *k, const struct str *s, size_t *i,
                                 struct args_of *a)
{
    struct go_verb f = {.width = -1, .precision = -1};
    bool bad, after = false;
    for (; *i < s->n; (*i)++) {
        char ch = s->p[*i];
        if (ch == '#')
            f.sharp = true;
        else if (ch == '0')
            f.zero = true;
        else if (ch == '+')
            f.plus = true;
        else if (ch == '-')
            f.minus = true;
        else if (ch == ' ')
            f.space = true;
        else
            break;
    }
    size_t before = *i;
    arg_number(s, i, a);
    after = *i != before;
    if (*i < s->n && s->p[*i] == '*') {
        (*i)++;
        f.width = star(a, &bad);
        if (bad)
            tpl_puts(c, k, "%!(BADWIDTH)");
        else if (f.width < 0) {
            f.width = -f.width;
            f.minus = true;
            f.zero = false;
        }
        after = false;
    } else {
        f.width = digits_at(s, i);
        if (after && f.width >= 0)
            a->good = false;
    }
    if (*i + 1 < s->n && s->p[*i] == '.') {
        (*i)++;
        if (after)
            a->good = false;
        before = *i;
        arg_number(s, i, a);
        after = *i != before;
        if (*i < s->n && s->p[*i] == '*') {
            (*i)++;
            f.precision = star(a, &bad);
            if (bad || f.precision < 0) {
                tpl_puts(c, k, "%!(BADPREC)");
                f.precision = -1;
            }
            after = false;
        } else {
            f.precision = digits_at(s, i);
            if (f.precision < 0)
                f.precision = 0;
        }
    }
    if (!after)
        arg_number(s, i, a);
    return f;
}

static void put_type(struct tpl *c, struct sink *k, struct gv v, struct go_verb f)
{
    v.face = false;
    const bool nil = v.type == GO_NIL || v.type == GO_INVALID;
    const char *name = nil ? "<nil>" : go_type_name(v);
    if (nil)
        f.precision = -1;
    go_put_scalar(c, k, go_string(tpl_str_copy(c, name, strlen(name), false)), 's', f);
}

static void put_wrong(struct tpl *c, struct sink *k, uint32_t verb, const char *what)
{
    tpl_puts(c, k, "%!");
    tpl_putc(c, k, verb, false);
    tpl_puts(c, k, what);
}

/* One %..: *i stands behind the percent sign. */
static void directive(struct tpl *c, struct sink *k, const struct str *s, size_t *i,
                      struct args_of *a)
{
    a->good = true;
    struct go_verb f = read_flags(c, k, s, i, a);
    if (*i >= s->n) {
        tpl_puts(c, k, "%!(NOVERB)");
        return;
    }
    uint32_t verb;
    bool bad = false;
    *i += text_decode(s->p + *i, s->n - *i, &verb, &bad);
    if (f.width > 100000 || f.precision > 100000)
        tpl_fail(c, "printf: width or precision too large");
    if (verb == '%') {
        tpl_puts(c, k, "%");
    } else if (!a->good) {
        put_wrong(c, k, verb, "(BADINDEX)");
    } else if (a->at >= a->n) {
        put_wrong(c, k, verb, "(MISSING)");
    } else if (verb == 'T') {
        put_type(c, k, a->v[a->at++], f);
    } else {
        if (verb == 'v' || verb == 'w') { /* here # and + mean other things */
            f.sharp_v = f.sharp;
            f.plus_v = f.plus;
            f.sharp = f.plus = false;
        }
        go_put_verb(c, k, a->v[a->at++], verb, f, 0);
    }
}

struct str *go_sprintf(struct tpl *c, const struct str *s, const struct gv *v, size_t n)
{
    struct sink k;
    struct args_of a = {.v = v, .n = n};
    tpl_sink(c, &k);
    for (size_t i = 0; i < s->n;) {
        size_t from = i;
        while (i < s->n && s->p[i] != '%')
            i++;
        tpl_put_part(c, &k, s, from, i);
        if (i < s->n) {
            i++;
            tpl_charge(c, 1);
            directive(c, &k, s, &i, &a);
        }
    }
    if (!a.reordered && a.at < n) {
        tpl_puts(c, &k, "%!(EXTRA ");
        for (size_t i = a.at; i < n; i++) {
            tpl_puts(c, &k, i > a.at ? ", " : "");
            put_type(c, &k, v[i], (struct go_verb){.width = -1, .precision = -1});
            if (v[i].type == GO_NIL || v[i].type == GO_INVALID)
                continue;
            tpl_puts(c, &k, "=");
            go_put_value(c, &k, v[i]);
        }
        tpl_puts(c, &k, ")");
    }
    return tpl_sink_str(c, &k);
}
