/* engine/chat/print.c - values as text: Python's str() and repr(). */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/chat/syntax.h"

/* The shortest digits that read back as the same double; exponent form below 1e-4 and from 1e16. */
size_t tpl_float_text(double f, char out[40])
{
    if (isnan(f) || isinf(f)) {
        strcpy(out, isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
        return strlen(out);
    }
    char b[40];
    int digits = 1;
    for (; digits < 17; digits++) {
        snprintf(b, sizeof b, "%.*e", digits - 1, f);
        if (strtod(b, NULL) == f)
            break;
    }
    snprintf(b, sizeof b, "%.*e", digits - 1, f);
    int exponent = atoi(strchr(b, 'e') + 1);
    if (exponent < -4 || exponent >= 16) {
        /* C writes at least two digits of the exponent, as Python does. */
        strcpy(out, b);
        return strlen(out);
    }
    int after = digits - 1 - exponent;
    if (after > 0)
        snprintf(out, 40, "%.*f", after, f);
    else
        snprintf(out, 40, "%.1f", f);
    return strlen(out);
}

static void repr_str(struct tpl *c, struct sink *k, const struct str *s)
{
    bool single = memchr(s->p, '\'', s->n) != NULL && memchr(s->p, '"', s->n) == NULL;
    char quote = single ? '"' : '\'';
    tpl_put(c, k, &quote, 1, false);
    size_t from = 0, i = 0;
    while (i < s->n) {
        uint32_t cp;
        bool bad;
        char b[16];
        size_t n = text_decode(s->p + i, s->n - i, &cp, &bad);
        if (cp == (unsigned char)quote || cp == '\\')
            snprintf(b, sizeof b, "\\%c", (int)cp);
        else if (cp == '\n' || cp == '\r' || cp == '\t')
            snprintf(b, sizeof b, "\\%c", cp == '\n' ? 'n' : cp == '\r' ? 'r' : 't');
        else if ((cp >= 0x20 && cp < 0x7f) || (cp > 0x7f && (uni_class(cp) & U_PRINT)))
            b[0] = 0;
        else if (cp < 0x100)
            snprintf(b, sizeof b, "\\x%02" PRIx32, cp);
        else if (cp < 0x10000)
            snprintf(b, sizeof b, "\\u%04" PRIx32, cp);
        else
            snprintf(b, sizeof b, "\\U%08" PRIx32, cp);
        if (b[0]) {
            tpl_put_part(c, k, s, from, i);
            tpl_puts(c, k, b);
            from = i + n;
        }
        i += n;
    }
    tpl_put_part(c, k, s, from, s->n);
    tpl_put(c, k, &quote, 1, false);
}

static void repr_list(struct tpl *c, struct sink *k, const struct list *l)
{
    static const char *const open[] = {"[", "(", "dict_items([", "dict_keys([", "dict_values([",
                                       "<generator object>", "("};
    static const char *const shut[] = {"]", ")", "])", "])", "])", "", ")"};
    tpl_puts(c, k, open[l->kind]);
    if (l->kind == L_GEN)
        return;
    for (size_t i = 0; i < l->n; i++) {
        if (i)
            tpl_puts(c, k, ", ");
        tpl_repr(c, k, l->v[i]);
    }
    if (l->n == 1 && l->kind == L_TUPLE)
        tpl_puts(c, k, ",");
    tpl_puts(c, k, shut[l->kind]);
}

static void repr_dict(struct tpl *c, struct sink *k, const struct dict *d)
{
    tpl_puts(c, k, "{");
    for (size_t i = 0; i < d->n; i++) {
        if (i)
            tpl_puts(c, k, ", ");
        tpl_repr(c, k, d->e[i].key);
        tpl_puts(c, k, ": ");
        tpl_repr(c, k, d->e[i].value);
    }
    tpl_puts(c, k, "}");
}

void tpl_repr(struct tpl *c, struct sink *k, struct val v)
{
    char b[80];
    tpl_charge(c, 1);
    if (++c->value_depth > TPL_MAX_VALUE_DEPTH)
        tpl_fail(c, "values nested deeper than %d", TPL_MAX_VALUE_DEPTH);
    b[0] = 0;
    switch (v.type) {
    case T_UNDEF: strcpy(b, "Undefined"); break;
    case T_NONE: strcpy(b, "None"); break;
    case T_BOOL: strcpy(b, v.b ? "True" : "False"); break;
    case T_INT: snprintf(b, sizeof b, "%" PRId64, v.i); break;
    case T_BIG: tpl_put_str(c, k, v.s); break;
    case T_FLOAT: tpl_float_text(v.f, b); break;
    case T_STR:
        if (v.s->safe)
            tpl_puts(c, k, "Markup(");
        repr_str(c, k, v.s);
        if (v.s->safe)
            tpl_puts(c, k, ")");
        break;
    case T_LIST: repr_list(c, k, v.l); break;
    case T_DICT: repr_dict(c, k, v.d); break;
    case T_SPACE:
        tpl_puts(c, k, "<Namespace ");
        repr_dict(c, k, v.d);
        tpl_puts(c, k, ">");
        break;
    case T_RANGE:
        if (v.r->step == 1)
            snprintf(b, sizeof b, "range(%" PRId64 ", %" PRId64 ")", v.r->start, v.r->stop);
        else
            snprintf(b, sizeof b, "range(%" PRId64 ", %" PRId64 ", %" PRId64 ")", v.r->start,
                     v.r->stop, v.r->step);
        break;
    case T_MACRO:
        if (tpl_str_is(v.m->n->v.s, "caller")) {
            strcpy(b, "<Macro anonymous>");
            break;
        }
        tpl_puts(c, k, "<Macro ");
        repr_str(c, k, v.m->n->v.s);
        strcpy(b, ">");
        break;
    default: snprintf(b, sizeof b, "<%s>", tpl_type_name(v)); break;
    }
    tpl_puts(c, k, b);
    c->value_depth--;
}

void tpl_print(struct tpl *c, struct sink *k, struct val v)
{
    if (v.type == T_STR)
        tpl_put_str(c, k, v.s);
    else if (v.type != T_UNDEF)
        tpl_repr(c, k, v);
}

struct str *tpl_to_str(struct tpl *c, struct val v)
{
    if (v.type == T_STR)
        return v.s;
    struct sink k;
    tpl_print(c, tpl_sink(c, &k), v);
    return tpl_sink_str(c, &k);
}
