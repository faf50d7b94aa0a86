/* engine/chat/go_func.c - the functions of a Go template: those of the language and of models. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "engine/chat/go.h"

const char *go_words(struct tpl *c, const char *fmt, ...)
{
    char b[440];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(b, sizeof b, fmt, ap);
    va_end(ap);
    size_t n = strlen(b) + 1;
    return memcpy(tpl_bytes(c, n), b, n);
}

/* Printed by %s of a verb, as Go's messages show what they could not use. */
static const char *shown(struct tpl *c, struct gv v, uint32_t verb)
{
    struct sink k;
    tpl_sink(c, &k);
    go_put_verb(c, &k, v, verb, (struct go_verb){.width = -1, .precision = -1}, 0);
    return go_words(c, "%.*s", (int)(k.n < 300 ? k.n : 300), k.n ? k.p : "");
}

/* ---- comparison ------------------------------------------------------------------------------ */

enum kind { K_NONE, K_BOOL, K_INT, K_UINT, K_FLOAT, K_COMPLEX, K_STRING };

static enum kind kind_of(struct gv v)
{
    switch (v.type) {
    case GO_BOOL:
        return K_BOOL;
    case GO_INT:
        return K_INT;
    case GO_BYTE:
        return K_UINT;
    case GO_FLOAT:
        return K_FLOAT;
    case GO_COMPLEX:
        return K_COMPLEX;
    case GO_STRING:
        return K_STRING;
    default:
        return K_NONE;
    }
}

static bool is_integer(enum kind k)
{
    return k == K_INT || k == K_UINT;
}

static int compare_text(const struct str *a, const struct str *b)
{
    size_t n = a->n < b->n ? a->n : b->n;
    int d = n ? memcmp(a->p, b->p, n) : 0;
    return d ? d : a->n < b->n ? -1 : a->n > b->n;
}

static bool is_nil(struct gv v)
{
    return v.type == GO_INVALID || (v.type == GO_MAP && v.m->nil) ||
           (v.type == GO_LIST && v.l->nil);
}

/* Values of no basic kind can be compared with nil, and pointers with each other. */
static const char *same_other(struct tpl *c, struct gv a, struct gv b, bool *same)
{
    if (a.type != b.type && a.type != GO_INVALID && b.type != GO_INVALID)
        return go_words(c, "non-comparable types %s: %s, %s: %s", shown(c, a, 's'), go_type_name(a),
                        go_type_name(b), shown(c, b, 'v'));
    if (is_nil(a) || is_nil(b)) {
        *same = is_nil(a) == is_nil(b);
        return NULL;
    }
    if (b.type == GO_RECORD && b.r->kind->pointer) {
        *same = a.r == b.r;
        return NULL;
    }
    return go_words(c, "non-comparable type %s: %s", shown(c, b, 's'), go_type_name(b));
}

static const char *same(struct tpl *c, struct gv a, struct gv b, bool *yes)
{
    enum kind ka = kind_of(a), kb = kind_of(b);
    *yes = false;
    tpl_charge(c, 1);
    if (ka != kb && !(is_integer(ka) && is_integer(kb))) {
        if (a.type != GO_INVALID && b.type != GO_INVALID)
            return go_words(c, "incompatible types for comparison: %s and %s", go_type_name(a),
                            go_type_name(b));
        return NULL;
    }
    switch (ka) {
    case K_BOOL:
        *yes = a.b == b.b;
        break;
    case K_INT:
    case K_UINT:
        *yes = a.i == b.i;
        break;
    case K_FLOAT:
        *yes = a.f == b.f;
        break;
    case K_COMPLEX:
        *yes = a.z[0] == b.z[0] && a.z[1] == b.z[1];
        break;
    case K_STRING:
        tpl_charge_bytes(c, a.s->n);
        *yes = tpl_str_same(a.s, b.s);
        break;
    default:
        return same_other(c, a, b, yes);
    }
    return NULL;
}

static const char *fn_eq(struct go_run *r, const struct gv *a, size_t n, struct gv *out)
{
    bool yes = false;
    if (n < 2)
        return "missing argument for comparison";
    for (size_t i = 1; i < n && !yes; i++) {
        const char *words = same(r->c, go_bare(a[0]), go_bare(a[i]), &yes);
        if (words)
            return words;
    }
    *out = go_bool(yes);
    return NULL;
}

static const char *fn_ne(struct go_run *r, const struct gv *a, size_t n, struct gv *out)
{
    const char *words = fn_eq(r, a, n, out);
    if (!words)
        out->b = !out->b;
    return words;
}

static const char *less(const struct gv *args, bool *yes)
{
    struct gv a = go_bare(args[0]), b = go_bare(args[1]);
    enum kind ka = kind_of(a), kb = kind_of(b);
    if (ka == K_NONE || kb == K_NONE)
        return "invalid type for comparison";
    if (ka != kb && !(is_integer(ka) && is_integer(kb)))
        return NULL;
    switch (ka) {
    case K_INT:
    case K_UINT:
        *yes = a.i < b.i;
        break;
    case K_FLOAT:
        *yes = a.f < b.f;
        break;
    case K_STRING:
        *yes = compare_text(a.s, b.s) < 0;
        break;
    default:
        return "invalid type for comparison";
    }
    return NULL;
}

static const char *ordered(struct go_run *r, const struct gv *a, bool or_equal, bool *yes)
{
    struct gv x = go_bare(a[0]), y = go_bare(a[1]);
    enum kind kx = kind_of(x), ky = kind_of(y);
    const char *words = less(a, yes);
    if (words)
        return words;
    if (kx != ky && !(is_integer(kx) && is_integer(ky)))
        return go_words(r->c, "incompatible types for comparison: %s and %s", go_type_name(x),
                        go_type_name(y));
    return or_equal && !*yes ? same(r->c, x, y, yes) : NULL;
}

static const char *fn_lt(struct go_run *r, const struct gv *a, size_t n, struct gv *out)
{
    (void)n;
    *out = go_bool(false);
    return ordered(r, a, false, &out->b);
}

static const char *fn_le(struct go_run *r, const struct gv *a, size_t n, struct gv *out)
{
    (void)n;
    *out = go_bool(false);
    return ordered(r, a, true, &out->b);
}

static const char *fn_gt(struct go_run *r, const struct gv *a, size_t n, struct gv *out)
{
    const char *words = fn_le(r, a, n, out);
    out->b = !out->b;
    return words;
}

static const char *fn_ge(struct go_run *r, const struct gv *a, size_t n, struct gv *out)
{
    const char *words = fn_lt(r, a, n, out);
    out->b = !out->b;
    return words;
}

static const char *fn_not(struct go_run *r, const struct gv *a, size_t n, struct gv *out)
{
    (void)r;
    (void)n;
    *out = go_bool(!go_truth(go_bare(a[0])));
    return NULL;
}

/* ---- parts ----------------------------------------------------------------------------------- */

static const char *index_arg(struct tpl *c, struct gv v, size_t most, size_t *at)
{
    v = go_bare(v);
    if (v.type == GO_INVALID)
        return "cannot index slice/array with nil";
    if (v.type != GO_INT && v.type != GO_BYTE)
        return go_words(c, "cannot index slice/array with type %s", go_type_name(v));
    if (v.i < 0 || (uint64_t)v.i > most)
        return go_words(c, "index out of range: %lld", (long long)v.i);
    *at = (size_t)v.i;
    return NULL;
}

static const char *fn_index(struct go_run *r, const struct gv *a, size_t n, struct gv *out)
{
    struct gv item = go_bare(a[0]);
    if (item.type == GO_INVALID)
        return "index of untyped nil";
    for (size_t i = 1; i < n; i++) {
        size_t at = 0;
        const char *words = NULL;
        item = go_bare(item);
        if (item.type == GO_INVALID || (item.type == GO_MAP && item.m->pointer))
            return "index of nil pointer";
        if (item.type == GO_MAP) {
            struct gv key = go_bare(a[i]);
            if (key.type == GO_INVALID)
                return "value is nil; should be of type string";
            if (key.type != GO_STRING)
                return go_words(r->c, "value has type %s; should be string", go_type_name(key));
            const struct gv *found = go_map_find(item.m, key.s);
            item = found ? *found : go_map_zero(r->c, item.m);
        } else if (item.type == GO_LIST) {
            if ((words = index_arg(r->c, a[i], item.l->n, &at)))
                return words;
            if (at == item.l->n)
                return "reflect: slice index out of range";
            item = item.l->v[at];
        } else if (item.type == GO_STRING) {
            if ((words = index_arg(r->c, a[i], item.s->n, &at)))
                return words;
            if (at == item.s->n)
                return "reflect: string index out of range";
            item = (struct gv){.type = GO_BYTE, .i = (unsigned char)item.s->p[at]};
        } else {
            return go_words(r->c, "can't index item of type %s", go_type_name(item));
        }
    }
    *out = item;
    return NULL;
}

static const char *fn_slice(struct go_run *r, const struct gv *a, size_t n, struct gv *out)
{
    struct gv item = go_bare(a[0]);
    if (item.type == GO_INVALID)
        return "slice of untyped nil";
    if (n > 4)
        return go_words(r->c, "too many slice indexes: %zu", n - 1);
    if (item.type == GO_STRING && n == 4)
        return "cannot 3-index slice a string";
    if (item.type != GO_STRING && item.type != GO_LIST)
        return go_words(r->c, "can't slice item of type %s", go_type_name(item));
    const size_t len = item.type == GO_STRING ? item.s->n : item.l->n;
    size_t at[3] = {0, len, len};
    for (size_t i = 1; i < n; i++) {
        const char *words = index_arg(r->c, a[i], len, &at[i - 1]);
        if (words)
            return words;
    }
    if (at[0] > at[1])
        return go_words(r->c, "invalid slice index: %zu > %zu", at[0], at[1]);
    if (n == 4 && at[1] > at[2])
        return go_words(r->c, "invalid slice index: %zu > %zu", at[1], at[2]);
    if (item.type == GO_STRING) {
        *out = go_string(tpl_str_part(r->c, item.s, at[0], at[1]));
        return NULL;
    }
    struct go_list *l = tpl_alloc(r->c, sizeof *l);
    *l = *item.l;
    l->v += at[0];
    l->n = at[1] - at[0];
    *out = (struct gv){.type = GO_LIST, .l = l};
    return NULL;
}

static const char *fn_len(struct go_run *r, const struct gv *a, size_t n, struct gv *out)
{
    struct gv v = a[0];
    (void)n;
    if (v.type == GO_NIL || (v.type == GO_MAP && v.m->pointer && v.m->nil))
        return "len of nil pointer";
    v = go_bare(v);
    if (v.type == GO_INVALID)
        return "reflect: call of reflect.Value.Type on zero Value";
    if (v.type == GO_STRING)
        *out = go_int((int64_t)v.s->n);
    else if (v.type == GO_LIST)
        *out = go_int((int64_t)v.l->n);
    else if (v.type == GO_MAP && !v.m->pointer)
        *out = go_int((int64_t)v.m->n);
    else
        return go_words(r->c, "len of type %s", go_type_name(v));
    return NULL;
}

/* ---- printing -------------------------------------------------------------------------------- */

static const char *fn_print(struct go_run *r, const struct gv *a, size_t n, struct gv *out)
{
    *out = go_string(go_sprint(r->c, a, n, false));
    return NULL;
}

static const char *fn_println(struct go_run *r, const struct gv *a, size_t n, struct gv *out)
{
    *out = go_string(go_sprint(r->c, a, n, true));
    return NULL;
}

static const char *fn_printf(struct go_run *r, const struct gv *a, size_t n, struct gv *out)
{
    *out = go_string(go_sprintf(r->c, a[0].s, a + 1, n - 1));
    return NULL;
}

/* The text that an escaping function works on: nil is `<no value>` in it. */
static const struct str *joined(struct tpl *c, const struct gv *a, size_t n)
{
    if (n == 1 && a[0].type == GO_STRING)
        return a[0].s;
    struct gv *v = tpl_alloc(c, (n + 1) * sizeof *v);
    for (size_t i = 0; i < n; i++) {
        v[i] = go_bare(a[i]);
        if (v[i].type == GO_INVALID)
            v[i] = go_string(tpl_str(c, "<no value>", 10, false));
    }
    return go_sprint(c, v, n, false);
}

static const char *fn_html(struct go_run *r, const struct gv *a, size_t n, struct gv *out)
{
    const struct str *s = joined(r->c, a, n);
    struct sink k;
    size_t from = 0;
    tpl_sink(r->c, &k);
    for (size_t i = 0; i < s->n; i++) {
        const char *as = NULL;
        switch (s->p[i]) {
        case '<':
            as = "&lt;";
            break;
        case '>':
            as = "&gt;";
            break;
        case '&':
            as = "&amp;";
            break;
        case '\'':
            as = "&#39;";
            break;
        case '"':
            as = "&#34;";
            break;
        case 0:
            as = "\xef\xbf\xbd";
            break;
        default:
            continue;
        }
        tpl_put_part(r->c, &k, s, from, i);
        tpl_puts(r->c, &k, as);
        from = i + 1;
    }
    tpl_put_part(r->c, &k, s, from, s->n);
    *out = go_string(tpl_sink_str(r->c, &k));
    return NULL;
}

static const char *fn_js(struct go_run *r, const struct gv *a, size_t n, struct gv *out)
{
    const struct str *s = joined(r->c, a, n);
    struct sink k;
    tpl_sink(r->c, &k);
    for (size_t i = 0; i < s->n;) {
        uint32_t cp;
        bool bad = false;
        char b[12] = "";
        size_t len = text_decode(s->p + i, s->n - i, &cp, &bad);
        if (cp == '\\' || cp == '\'' || cp == '"')
            snprintf(b, sizeof b, "\\%c", (char)cp);
        else if (cp < 32 || cp == '<' || cp == '>' || cp == '&' || cp == '=' ||
                 (cp > 127 && !(uni_class(cp) & U_PRINT)))
            snprintf(b, sizeof b, "\\u%04X", (unsigned)cp);
        if (b[0])
            tpl_puts(r->c, &k, b);
        else
            tpl_put_part(r->c, &k, s, i, i + len);
        i += len;
    }
    *out = go_string(tpl_sink_str(r->c, &k));
    return NULL;
}

static const char *fn_urlquery(struct go_run *r, const struct gv *a, size_t n, struct gv *out)
{
    const struct str *s = joined(r->c, a, n);
    struct sink k;
    tpl_sink(r->c, &k);
    for (size_t i = 0; i < s->n; i++) {
        char b[4];
        const char ch = s->p[i];
        if (go_is_word((unsigned char)ch < 128 ? (unsigned char)ch : ' ') ||
            (ch && strchr("-.~", ch))) {
            tpl_put_part(r->c, &k, s, i, i + 1);
            continue;
        }
        snprintf(b, sizeof b, ch == ' ' ? "+" : "%%%02X", (unsigned)(unsigned char)ch);
        tpl_puts(r->c, &k, b);
    }
    *out = go_string(tpl_sink_str(r->c, &k));
    return NULL;
}

static const char *fn_call(struct go_run *r, const struct gv *a, size_t n, struct gv *out)
{
    (void)n;
    (void)out;
    struct gv v = go_bare(a[0]);
    if (v.type == GO_INVALID)
        return "call of nil";
    return go_words(r->c, "non-function \1 of type %s", go_type_name(v)); /* \1: its name */
}

/* ---- of models ------------------------------------------------------------------------------- */

static const char *fn_json(struct go_run *r, const struct gv *a, size_t n, struct gv *out)
{
    (void)n;
    *out = go_string(go_json(r->c, a[0]));
    return NULL;
}

static const char *date(struct go_run *r, int days_before, struct gv *out)
{
    char b[48];
    struct tm day = r->c->now;
    day.tm_mday -= days_before;
    day.tm_hour = 12; /* away from changes of the clock */
    day.tm_isdst = 0;
    timegm(&day);
    size_t n = strftime(b, sizeof b, "%Y-%m-%d", &day);
    *out = go_string(tpl_str_copy(r->c, b, n, false));
    return NULL;
}

static const char *fn_today(struct go_run *r, const struct gv *a, size_t n, struct gv *out)
{
    (void)a;
    (void)n;
    return date(r, 0, out);
}

static const char *fn_yesterday(struct go_run *r, const struct gv *a, size_t n, struct gv *out)
{
    (void)a;
    (void)n;
    return date(r, 1, out);
}

static const char *fn_typescript(struct go_run *r, const struct gv *a, size_t n, struct gv *out)
{
    (void)n;
    *out = go_string(go_typescript(r->c, a[0]));
    return NULL;
}

static const char *fn_logic(struct go_run *r, const struct gv *a, size_t n, struct gv *out)
{
    (void)r;
    (void)n;
    *out = a[0]; /* go_run.c evaluates `and` and `or` one argument at a time */
    return NULL;
}

static const struct go_func table[] = {
    {"and", 1, -1, false, false, fn_logic},
    {"or", 1, -1, false, false, fn_logic},
    {"call", 1, -1, false, false, fn_call},
    {"not", 1, 1, false, false, fn_not},
    {"eq", 1, -1, false, false, fn_eq},
    {"ne", 2, 2, false, false, fn_ne},
    {"lt", 2, 2, false, false, fn_lt},
    {"le", 2, 2, false, false, fn_le},
    {"gt", 2, 2, false, false, fn_gt},
    {"ge", 2, 2, false, false, fn_ge},
    {"len", 1, 1, false, false, fn_len},
    {"index", 1, -1, false, false, fn_index},
    {"slice", 1, -1, false, false, fn_slice},
    {"print", 0, -1, false, false, fn_print},
    {"println", 0, -1, false, false, fn_println},
    {"printf", 1, -1, false, true, fn_printf},
    {"html", 0, -1, false, false, fn_html},
    {"js", 0, -1, false, false, fn_js},
    {"urlquery", 0, -1, false, false, fn_urlquery},
    {"json", 1, 1, false, false, fn_json},
    {"currentDate", 0, -1, true, false, fn_today},
    {"yesterdayDate", 0, -1, true, false, fn_yesterday},
    {"toTypeScriptType", 1, 1, false, false, fn_typescript},
};

const struct go_func *go_func_find(const char *p, size_t n)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strlen(table[i].name) == n && !memcmp(table[i].name, p, n))
            return &table[i];
    return NULL;
}

bool go_func_is_logic(const struct go_func *f, bool *is_or)
{
    *is_or = f == &table[1];
    return f == &table[0] || f == &table[1];
}

bool go_func_is_call(const struct go_func *f)
{
    return f == &table[2];
}
