/* engine/chat/format.c - `'%s' % x` and `'{}'.format(x)`, as far as templates of prompts go.
 *
 * Format strings come from templates: they are read here and never handed to printf. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/chat/template.h"

struct spec {
    char fill[5]; /* one character */
    char align;   /* < > = ^ or 0 */
    char sign;    /* + or blank, or 0 */
    bool alt, zero;
    char group;           /* , or _ between thousands, or 0 */
    int width, precision; /* -1: not given */
    char type;            /* 0: of a float, as it prints */
};

static int read_int(struct tpl *c, const char **p, const char *end)
{
    int n = -1;
    for (; *p < end && **p >= '0' && **p <= '9'; (*p)++) {
        n = (n < 0 ? 0 : n) * 10 + (**p - '0');
        if (n > 1000)
            tpl_fail(c, "a width or precision of more than 1000");
    }
    return n;
}

static int64_t to_int(struct tpl *c, struct val v, char type)
{
    if (v.type != T_INT && v.type != T_BOOL) {
        tpl_need_defined(c, v);
        tpl_fail(c, "%%%c format: an integer is required, not %s", type, tpl_type_name(v));
    }
    return tpl_to_index(c, v);
}

/* Digits of a whole number without its sign, into b of 1400 bytes. */
static void whole_text(struct tpl *c, struct val v, const struct spec *f, char *b, bool *minus)
{
    if (v.type == T_FLOAT && isfinite(v.f) && strchr("diu", f->type)) {
        *minus = v.f <= -1;
        snprintf(b, 1400, "%.0f", trunc(fabs(v.f)));
        return;
    }
    int64_t i = to_int(c, v, f->type);
    uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    const char mark[] = {'0', f->type, 0}, *before = f->alt ? mark : "";
    int digits = f->precision < 0 ? 1 : f->precision;
    *minus = i < 0;
    if (f->type == 'x')
        snprintf(b, 1400, "%s%.*" PRIx64, before, digits, u);
    else if (f->type == 'X')
        snprintf(b, 1400, "%s%.*" PRIX64, before, digits, u);
    else if (f->type == 'o')
        snprintf(b, 1400, "%s%.*" PRIo64, before, digits, u);
    else if (f->type == 'b') {
        size_t n = strlen(strcpy(b, before));
        for (int k = 63; k >= 0; k--)
            if (u >> k || k == 0)
                b[n++] = (char)('0' + ((u >> k) & 1));
        b[n] = 0;
    } else {
        snprintf(b, 1400, "%.*" PRIu64, digits, u);
    }
}

/* A float in at most `prec` digits with a point or an exponent, always; prec < 0: as many as it
 * takes. */
static void float_text(double d, int prec, char *b)
{
    if (prec < 0) {
        tpl_float_text(d, b);
        return;
    }
    if (prec == 0)
        prec = 1;
    snprintf(b, 1400, "%.*e", prec - 1, d);
    int exponent = atoi(strchr(b, 'e') + 1), digits = prec;
    if (exponent >= -4 && exponent < prec - 1) {
        snprintf(b, 1400, "%.*g", prec, d);
        snprintf(b, 1400, "%.*g%s", prec, d, strchr(b, '.') ? "" : ".0");
        return;
    }
    while (digits > 1 && b[digits] == '0') /* d.ddd: the last digit stands at `digits` */
        digits--;
    snprintf(b, 1400, "%.*e", digits - 1, d);
}

/* Digits of a number without its sign, into b of 1400 bytes. */
static void number_text(struct tpl *c, struct val v, const struct spec *f, char *b, bool *minus)
{
    int prec = f->precision < 0 ? 6 : f->precision;
    if (f->type && strchr("dioxXub", f->type)) {
        whole_text(c, v, f, b, minus);
        return;
    }
    if (!tpl_is_number(v)) {
        tpl_need_defined(c, v);
        tpl_fail(c, "must be real number, not %s", tpl_type_name(v));
    }
    double d = tpl_number(v) * (f->type == '%' ? 100 : 1);
    *minus = signbit(d) && !isnan(d);
    d = fabs(d);
    if (isnan(d) || isinf(d))
        strcpy(b, isnan(d) ? "nan" : "inf");
    else if (!f->type)
        float_text(d, f->precision, b);
    else if (f->type == 'f' || f->type == 'F' || f->type == '%')
        snprintf(b, 1400, "%.*f%s", prec, d, f->type == '%' ? "%" : "");
    else if (f->type == 'e')
        snprintf(b, 1400, "%.*e", prec, d);
    else if (f->type == 'E')
        snprintf(b, 1400, "%.*E", prec, d);
    else if (f->type == 'G')
        snprintf(b, 1400, "%.*G", prec, d);
    else
        snprintf(b, 1400, "%.*g", prec, d);
}

static void thousands(char *b, char mark)
{
    size_t n = strspn(b, "0123456789");
    char out[1900];
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        out[k++] = b[i];
        if (i + 1 < n && (n - 1 - i) % 3 == 0)
            out[k++] = mark;
    }
    snprintf(out + k, sizeof out - k, "%s", b + n);
    snprintf(b, 1900, "%s", out);
}

static void put_padded(struct tpl *c, struct sink *k, const struct str *s, const struct spec *f,
                       char align)
{
    size_t n = tpl_str_chars(c, (struct str *)(uintptr_t)s);
    size_t room = f->width > 0 && (size_t)f->width > n ? (size_t)f->width - n : 0;
    size_t left = align == '<' ? 0 : align == '^' ? room / 2 : room;
    for (size_t i = 0; i < left; i++)
        tpl_puts(c, k, f->fill);
    tpl_put_str(c, k, s);
    for (size_t i = left; i < room; i++)
        tpl_puts(c, k, f->fill);
}

static void put_number(struct tpl *c, struct sink *k, struct val v, const struct spec *f)
{
    char b[1900];
    bool minus = false;
    number_text(c, v, f, b, &minus);
    if (f->group)
        thousands(b, f->group);
    const char *sign = minus ? "-" : f->sign == '+' ? "+" : f->sign == ' ' ? " " : "";
    char align = f->align ? f->align : f->zero ? '=' : '>';
    size_t n = strlen(sign) + strlen(b);
    if (align == '=') { /* the padding stands between sign and digits */
        tpl_puts(c, k, sign);
        for (; f->width > 0 && n < (size_t)f->width; n++)
            tpl_puts(c, k, f->zero && !f->align ? "0" : f->fill);
        tpl_puts(c, k, b);
        return;
    }
    struct sink one;
    tpl_sink(c, &one);
    tpl_puts(c, &one, sign);
    tpl_puts(c, &one, b);
    put_padded(c, k, tpl_sink_str(c, &one), f, align);
}

static struct str *character(struct tpl *c, struct val v)
{
    if (v.type == T_STR && tpl_str_chars(c, v.s) == 1)
        return v.s;
    int64_t cp = to_int(c, v, 'c');
    if (cp < 0 || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
        tpl_fail(c, "%%c arg not in range(0x110000)");
    struct sink k;
    tpl_putc(c, tpl_sink(c, &k), (uint32_t)cp, false);
    return tpl_sink_str(c, &k);
}

static struct str *cut(struct tpl *c, struct str *s, int precision)
{
    if (precision < 0 || (size_t)precision >= tpl_str_chars(c, s))
        return s;
    return tpl_str_part(c, s, 0, tpl_str_offset(c, s, (size_t)precision));
}

/* ---- percent --------------------------------------------------------------------------------- */

struct percent {
    const struct args *args;
    size_t next;
};

static struct val next_arg(struct tpl *c, struct percent *x)
{
    if (x->next >= x->args->n_pos)
        tpl_fail(c, "not enough arguments for format string");
    return x->args->pos[x->next++];
}

/* %(name)s takes from the mapping, which is the only argument. */
static struct val named_arg(struct tpl *c, struct percent *x, const char *p, size_t n)
{
    struct str *name = tpl_str(c, p, n, false);
    struct val map = x->args->n_kw && !x->args->kw[0].name ? x->args->kw[0].v : tpl_none, *v;
    x->next = 1;
    if (map.type == T_DICT) {
        v = tpl_dict_find_str(c, map.d, name);
        if (!v)
            tpl_fail(c, "format: the key is not in the dict");
        return *v;
    }
    for (size_t i = 0; i < x->args->n_kw; i++)
        if (x->args->kw[i].name && tpl_str_same(x->args->kw[i].name, name))
            return x->args->kw[i].v;
    tpl_fail(c, "format requires a mapping");
}

/* A width or precision: digits, or * for one of the arguments. -1: none. */
static int read_size(struct tpl *c, struct percent *x, const char **p, const char *end)
{
    if (*p == end || **p != '*')
        return read_int(c, p, end);
    int64_t n = to_int(c, next_arg(c, x), '*');
    if (n > 1000)
        tpl_fail(c, "a width or precision of more than 1000");
    (*p)++;
    return n < 0 ? -1 : (int)n;
}

static const char *read_percent(struct tpl *c, struct percent *x, const char *p, const char *end,
                                struct spec *f)
{
    for (; p < end && strchr("#0- +", *p) && *p; p++) {
        f->alt |= *p == '#';
        f->zero |= *p == '0';
        if (*p == '-')
            f->align = '<';
        if (*p == '+' || (*p == ' ' && f->sign != '+'))
            f->sign = *p;
    }
    f->width = read_size(c, x, &p, end);
    if (p < end && *p == '.') {
        p++;
        f->precision = read_size(c, x, &p, end);
        if (f->precision < 0)
            f->precision = 0;
    }
    while (p < end && (*p == 'l' || *p == 'h' || *p == 'L'))
        p++;
    if (p >= end)
        tpl_fail(c, "incomplete format");
    f->type = *p;
    return p + 1;
}

static void put_percent(struct tpl *c, struct sink *k, struct val v, const struct spec *f)
{
    struct sink one;
    switch (f->type) {
    case 's':
        put_padded(c, k, cut(c, tpl_to_str(c, v), f->precision), f, f->align ? '<' : '>');
        return;
    case 'r':
    case 'a':
        tpl_repr(c, tpl_sink(c, &one), v);
        put_padded(c, k, cut(c, tpl_sink_str(c, &one), f->precision), f, f->align ? '<' : '>');
        return;
    case 'c':
        put_padded(c, k, character(c, v), f, f->align ? '<' : '>');
        return;
    case 'd':
    case 'i':
    case 'u':
    case 'o':
    case 'x':
    case 'X':
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
        put_number(c, k, v, f);
        return;
    default:
        tpl_fail(c, "unsupported format character (0x%x)", (unsigned char)f->type);
    }
}

struct str *tpl_format_percent(struct tpl *c, const struct str *fmt, const struct args *a)
{
    struct percent x = {.args = a};
    struct sink k;
    tpl_sink(c, &k);
    const char *end = fmt->p + fmt->n;
    for (size_t i = 0; i < fmt->n;) {
        const char *at = memchr(fmt->p + i, '%', fmt->n - i);
        size_t to = at ? (size_t)(at - fmt->p) : fmt->n;
        tpl_put_part(c, &k, fmt, i, to);
        if (!at)
            break;
        tpl_charge(c, 1);
        const char *p = at + 1;
        if (p < end && *p == '%') {
            tpl_put_part(c, &k, fmt, to, to + 1);
            i = to + 2;
            continue;
        }
        struct spec f = {.fill = " ", .width = -1, .precision = -1};
        struct val v = {0};
        if (p < end && *p == '(') {
            const char *close = memchr(p, ')', (size_t)(end - p));
            if (!close)
                tpl_fail(c, "incomplete format key");
            v = named_arg(c, &x, p + 1, (size_t)(close - p - 1));
            p = close + 1;
        }
        p = read_percent(c, &x, p, end, &f);
        put_percent(c, &k, v.type == T_ABSENT ? next_arg(c, &x) : v, &f);
        i = (size_t)(p - fmt->p);
    }
    bool map = a->n_kw && !a->kw[0].name;
    if (x.next < a->n_pos && !map)
        tpl_fail(c, "not all arguments converted during string formatting");
    return tpl_sink_str(c, &k);
}

/* ---- braces ---------------------------------------------------------------------------------- */

static void read_spec(struct tpl *c, const char *p, const char *end, struct spec *f)
{
    uint32_t cp;
    bool bad;
    size_t n = p < end ? text_decode(p, (size_t)(end - p), &cp, &bad) : 0;
    bool filled = n && p + n < end && strchr("<>=^", p[n]) && p[n];
    if (filled) {
        memcpy(f->fill, p, n);
        f->fill[n] = 0;
        f->align = p[n];
        p += n + 1;
    } else if (n && *p && strchr("<>=^", *p)) {
        f->align = *p++;
    }
    if (p < end && (*p == '+' || *p == '-' || *p == ' '))
        f->sign = *p++;
    if (p < end && *p == '#') {
        f->alt = true;
        p++;
    }
    if (p < end && *p == '0') {
        f->zero = true;
        if (!filled)
            strcpy(f->fill, "0");
        p++;
    }
    f->width = read_int(c, &p, end);
    if (p < end && (*p == ',' || *p == '_'))
        f->group = *p++;
    if (p < end && *p == '.') {
        p++;
        f->precision = read_int(c, &p, end);
    }
    f->type = p < end ? *p++ : 0;
    if (p != end)
        tpl_fail(c, "Invalid format specifier");
}

static void put_formatted(struct tpl *c, struct sink *k, struct val v, const char *p,
                          const char *end)
{
    struct spec f = {.fill = " ", .width = -1, .precision = -1};
    if (p == end) {
        tpl_print(c, k, v);
        return;
    }
    read_spec(c, p, end, &f);
    if (v.type == T_STR && (!f.type || f.type == 's')) {
        if (f.sign || f.group || f.alt || f.align == '=')
            tpl_fail(c, "a sign, '=' or a mark between thousands in the format of a str");
        put_padded(c, k, cut(c, v.s, f.precision), &f, f.align ? f.align : '<');
        return;
    }
    if (!tpl_is_number(v))
        tpl_fail(c, "unsupported format string passed to %s.__format__", tpl_type_name(v));
    if (v.type != T_FLOAT && (!f.type || f.type == 'n'))
        f.type = 'd';
    else if (f.type == 'n')
        f.type = 'g';
    bool whole = f.type && strchr("doxXbc", f.type);
    if (f.type && !strchr(v.type == T_FLOAT ? "eEfFgG%" : "doxXbceEfFgG%", f.type))
        tpl_fail(c, "Unknown format code '%c' for object of type '%s'", f.type, tpl_type_name(v));
    if (whole && f.precision >= 0)
        tpl_fail(c, "Precision not allowed in integer format specifier");
    if (f.type == 'c') {
        put_padded(c, k, character(c, v), &f, f.align ? f.align : '<');
        return;
    }
    put_number(c, k, v, &f);
}

/* The value of a field: number or name, then .attribute and [key]. */
static struct val field(struct tpl *c, const char *p, const char *end, const struct args *a,
                        size_t *next)
{
    const char *q = p;
    struct val v;
    while (q < end && *q != '.' && *q != '[')
        q++;
    if (q == p || (*p >= '0' && *p <= '9')) {
        size_t i = q == p ? (*next)++ : (size_t)strtoul(p, NULL, 10);
        if (i >= a->n_pos)
            tpl_fail(c, "Replacement index %zu out of range for positional args tuple", i);
        v = a->pos[i];
    } else {
        size_t i = 0;
        while (i < a->n_kw && (a->kw[i].name->n != (size_t)(q - p) ||
                               memcmp(a->kw[i].name->p, p, (size_t)(q - p)) != 0))
            i++;
        if (i == a->n_kw)
            tpl_fail(c, "format: no argument '%.*s'", (int)(q - p < 60 ? q - p : 60), p);
        v = a->kw[i].v;
    }
    while (q < end) {
        const char *from = q + 1;
        bool item = *q == '[';
        for (q = from; q < end && (item ? *q != ']' : *q != '.' && *q != '['); q++) {
        }
        struct str *name = tpl_str(c, from, (size_t)(q - from), false);
        if (item && name->n && name->n < 10 && strspn(from, "0123456789") >= name->n)
            v = tpl_getitem(c, v, tpl_int(strtol(from, NULL, 10)));
        else
            v = tpl_getitem(c, v, tpl_str_val(name));
        q += item && q < end;
    }
    return v;
}

static struct str *braces(struct tpl *c, const struct str *fmt, const struct args *a, size_t *next,
                          bool deep);

/* `p` is behind the brace; gives the place behind the closing one. */
static const char *put_field(struct tpl *c, struct sink *k, const char *p, const char *end,
                             const struct args *a, size_t *next, bool deep)
{
    const char *close = p, *name_end = NULL;
    char how = 's';
    bool nested = false;
    for (int open = 0; close < end && (open || *close != '}'); close++) {
        open += (*close == '{') - (*close == '}');
        nested |= *close == '{';
        if ((*close == ':' || *close == '!') && !name_end)
            name_end = close;
    }
    if (close >= end)
        tpl_fail(c, "expected '}' before end of string");
    if (!name_end)
        name_end = close;
    struct val v = field(c, p, name_end, a, next);
    if (*name_end == '!') {
        how = name_end + 1 < close ? name_end[1] : 0;
        name_end += 2;
        if ((how != 'r' && how != 's' && how != 'a') || (name_end < close && *name_end != ':') ||
            name_end > close)
            tpl_fail(c, "Unknown conversion specifier");
        struct sink one;
        tpl_sink(c, &one);
        if (how == 's')
            tpl_print(c, &one, v);
        else
            tpl_repr(c, &one, v);
        v = tpl_str_val(tpl_sink_str(c, &one));
    }
    struct str spec = {.p = close};
    if (*name_end == ':')
        spec = (struct str){.p = name_end + 1, .n = (size_t)(close - name_end - 1)};
    if (nested) { /* {:{width}}: fields in a format, one deep as in Python */
        if (deep)
            tpl_fail(c, "Max string recursion exceeded");
        spec = *braces(c, &spec, a, next, true);
    }
    put_formatted(c, k, v, spec.p, spec.p + spec.n);
    return close + 1;
}

static struct str *braces(struct tpl *c, const struct str *fmt, const struct args *a, size_t *next,
                          bool deep)
{
    struct sink k;
    size_t from = 0;
    tpl_sink(c, &k);
    for (size_t i = 0; i < fmt->n;) {
        char ch = fmt->p[i];
        if (ch != '{' && ch != '}') {
            i++;
            continue;
        }
        tpl_charge(c, 1);
        if (i + 1 < fmt->n && fmt->p[i + 1] == ch) {
            tpl_put_part(c, &k, fmt, from, i + 1);
            from = i += 2;
            continue;
        }
        if (ch == '}')
            tpl_fail(c, "Single '}' encountered in format string");
        tpl_put_part(c, &k, fmt, from, i);
        i = (size_t)(put_field(c, &k, fmt->p + i + 1, fmt->p + fmt->n, a, next, deep) - fmt->p);
        from = i;
    }
    tpl_put_part(c, &k, fmt, from, fmt->n);
    return tpl_sink_str(c, &k);
}

struct str *tpl_format_braces(struct tpl *c, const struct str *fmt, const struct args *a)
{
    size_t next = 0;
    return braces(c, fmt, a, &next, false);
}
