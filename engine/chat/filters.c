/* engine/chat/filters.c - the table of filters, and those of single values. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/chat/template.h"

#define FILTER(name)                                                                               \
    static struct val name(struct tpl *c, struct val self, struct val *a, const struct args *raw)

FILTER(f_default)
{
    bool use = self.type == T_UNDEF || (tpl_truth(a[1]) && !tpl_truth(self));
    if (!use)
        return self;
    return a[0].type == T_ABSENT ? tpl_strz(c, "") : a[0];
}

FILTER(f_length) { return tpl_int((int64_t)tpl_len(c, self)); }
FILTER(f_string) { return tpl_str_val(tpl_to_str(c, self)); }

FILTER(f_safe)
{
    struct str *s = tpl_to_str(c, self);
    s = tpl_str_part(c, s, 0, s->n);
    s->safe = true;
    return tpl_str_val(s);
}

FILTER(f_escape)
{
    struct str *s = tpl_to_str(c, self);
    return tpl_str_val(s->safe ? s : tpl_escape_html(c, s));
}

FILTER(f_forceescape) { return tpl_str_val(tpl_escape_html(c, tpl_to_str(c, self))); }

FILTER(f_abs)
{
    if (self.type == T_FLOAT)
        return tpl_float(fabs(self.f));
    if (!tpl_is_number(self)) {
        tpl_need_defined(c, self);
        tpl_fail(c, "bad operand type for abs(): '%s'", tpl_type_name(self));
    }
    int64_t i = tpl_to_index(c, self);
    return i < 0 ? tpl_negate(c, tpl_int(i), true) : tpl_int(i);
}

/* A text that int() or float() of Python may take, without blanks and underscores. */
static bool number_chars(struct tpl *c, const struct str *s, char *out, size_t cap)
{
    s = tpl_trim(c, s, NULL, true, true);
    size_t n = 0;
    if (!s->n || s->n >= cap)
        return false;
    for (size_t i = 0; i < s->n; i++) {
        char ch = s->p[i];
        if (ch == '_') {
            if (i == 0 || i + 1 == s->n || !isalnum((unsigned char)s->p[i - 1]) ||
                !isalnum((unsigned char)s->p[i + 1]))
                return false;
            continue;
        }
        if (ch <= 0x20 || ch >= 0x7f)
            return false;
        out[n++] = ch;
    }
    out[n] = 0;
    return true;
}

static bool read_float(struct tpl *c, const struct str *s, double *out)
{
    char b[400], *end;
    if (!number_chars(c, s, b, sizeof b))
        return false;
    const char *p = b + (b[0] == '-' || b[0] == '+');
    if ((p[0] == '0' && (p[1] | 32) == 'x') || (!isdigit((unsigned char)p[0]) && p[0] != '.' &&
                                                strcasecmp(p, "inf") && strcasecmp(p, "nan") &&
                                                strcasecmp(p, "infinity")))
        return false;
    *out = strtod(b, &end);
    return *end == 0 && end != b;
}

static bool read_int(struct tpl *c, const struct str *s, int base, int64_t *out)
{
    char b[400], *end;
    if (!number_chars(c, s, b, sizeof b))
        return false;
    char *p = b + (b[0] == '-' || b[0] == '+');
    if (p[0] == '0' && p[1]) { /* the prefix that goes with the base */
        char x = (char)(p[1] | 32);
        if ((base == 16 && x == 'x') || (base == 8 && x == 'o') || (base == 2 && x == 'b'))
            memmove(p, p + 2, strlen(p + 2) + 1);
    }
    if (!isalnum((unsigned char)p[0]))
        return false;
    errno = 0;
    *out = strtoll(b, &end, base);
    return *end == 0 && errno == 0;
}

FILTER(f_int)
{
    struct val other = a[0].type == T_ABSENT ? tpl_int(0) : a[0];
    int64_t base = a[1].type == T_ABSENT ? 10 : tpl_need_int(c, a[1], "base"), i;
    double d;
    if (self.type == T_STR) {
        if (base >= 2 && base <= 36 && read_int(c, self.s, (int)base, &i))
            return tpl_int(i);
        if (!read_float(c, self.s, &d))
            return other;
    } else if (tpl_is_number(self)) {
        d = tpl_number(self);
        if (self.type != T_FLOAT)
            return tpl_int(tpl_to_index(c, self));
    } else if (self.type == T_BIG) {
        return self;
    } else {
        tpl_need_defined(c, self);
        return other;
    }
    if (!isfinite(d))
        return other;
    if (fabs(d) < 9.2e18)
        return tpl_int((int64_t)d);
    char b[400];
    snprintf(b, sizeof b, "%.0f", d);
    return (struct val){.type = T_BIG, .s = tpl_str_copy(c, b, strlen(b), false)};
}

FILTER(f_float)
{
    struct val other = a[0].type == T_ABSENT ? tpl_float(0) : a[0];
    double d;
    if (tpl_is_number(self))
        return tpl_float(tpl_number(self));
    tpl_need_defined(c, self);
    return self.type == T_STR && read_float(c, self.s, &d) ? tpl_float(d) : other;
}

FILTER(f_round)
{
    int64_t p = a[0].type == T_ABSENT ? 0 : tpl_need_int(c, a[0], "precision");
    const struct str *how = a[1].type == T_ABSENT ? NULL : tpl_need_str(c, a[1], "method");
    if (!tpl_is_number(self)) {
        tpl_need_defined(c, self);
        tpl_fail(c, "type %s doesn't define __round__ method", tpl_type_name(self));
    }
    double d = tpl_number(self);
    if (how && (tpl_str_is(how, "ceil") || tpl_str_is(how, "floor"))) {
        double scale = pow(10, (double)p);
        double r = tpl_str_is(how, "ceil") ? ceil(d * scale) : floor(d * scale);
        return tpl_float((r + 0.0) / scale); /* Python's ceil is an int: it has no -0 */
    }
    if (how && !tpl_str_is(how, "common"))
        tpl_fail(c, "method must be common, ceil or floor");
    if (self.type != T_FLOAT && p >= 0)
        return tpl_int(tpl_to_index(c, self)); /* round(int, n) stays an int */
    if (!isfinite(d) || p > 300)
        return tpl_float(d);
    if (p < 0) {
        double scale = pow(10, p < -300 ? 300 : (double)-p), r = rint(d / scale) * scale;
        return self.type == T_FLOAT ? tpl_float(r) : tpl_int((int64_t)r);
    }
    /* printf rounds the binary value correctly, halves to even: what Python's round does. */
    char b[700];
    snprintf(b, sizeof b, "%.*f", (int)p, d);
    return tpl_float(strtod(b, NULL));
}

FILTER(f_attr)
{
    struct str *name = tpl_need_str(c, a[0], "attr");
    struct methods m = tpl_methods(name->p, name->n);
    if (self.type == T_DICT && !m.dict) /* attributes only, not keys */
        return tpl_undef_attr(c, self, a[0]);
    return tpl_getattr(c, self, name, &m);
}

FILTER(f_filesizeformat)
{
    static const char *const dec[] = {"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"};
    static const char *const bin[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"};
    double n = 0, base = tpl_truth(a[0]) ? 1024 : 1000, unit;
    char b[80];
    if (self.type == T_STR ? !read_float(c, self.s, &n) : !tpl_is_number(self))
        tpl_fail(c, "filesizeformat needs a number");
    if (self.type != T_STR)
        n = tpl_number(self);
    if (n == 1)
        return tpl_strz(c, "1 Byte");
    if (n < base) {
        snprintf(b, sizeof b, "%.0f Bytes", trunc(n) + 0.0);
    } else {
        int i = 0;
        for (unit = base * base; i < 7 && n >= unit; unit *= base)
            i++;
        snprintf(b, sizeof b, "%.1f %s", base * n / unit, tpl_truth(a[0]) ? bin[i] : dec[i]);
    }
    return tpl_str_val(tpl_str_copy(c, b, strlen(b), false));
}

static const struct func table[] = {
    {"default", "default_value? boolean?", f_default, false},
    {"d", "default_value? boolean?", f_default, false},
    {"length", "", f_length, false},
    {"count", "", f_length, false},
    {"string", "", f_string, false},
    {"safe", "", f_safe, false},
    {"escape", "", f_escape, false},
    {"e", "", f_escape, false},
    {"forceescape", "", f_forceescape, false},
    {"abs", "", f_abs, false},
    {"int", "default? base?", f_int, false},
    {"float", "default?", f_float, false},
    {"round", "precision? method?", f_round, false},
    {"attr", "name", f_attr, false},
    {"filesizeformat", "binary?", f_filesizeformat, false},
    {"tojson", "ensure_ascii? indent? separators? sort_keys?", tpl_tojson, false},
    {"from_json", "", tpl_from_json_text, false},
};

const struct func *tpl_filter(const char *p, size_t n)
{
    size_t k;
    const struct func *f = tpl_lookup(table, sizeof table / sizeof *table, p, n), *t;
    if (!f && (t = tpl_text_filters(&k)))
        f = tpl_lookup(t, k, p, n);
    if (!f && (t = tpl_seq_filters(&k)))
        f = tpl_lookup(t, k, p, n);
    if (!f && (t = tpl_pick_filters(&k)))
        f = tpl_lookup(t, k, p, n);
    return f;
}
