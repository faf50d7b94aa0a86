/* engine/chat/go_json.c - values as Go's encoding/json writes them: compact, keys sorted, < > &
 * as \u003c \u003e \u0026. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/chat/go.h"

static void put_string(struct tpl *c, struct sink *k, const struct str *s)
{
    static const char names[] = "\b\f\n\r\t\"\\", shorts[] = "bfnrt\"\\";
    size_t from = 0;
    tpl_puts(c, k, "\"");
    for (size_t i = 0; i < s->n;) {
        uint32_t cp;
        bool bad = false;
        size_t len = text_decode(s->p + i, s->n - i, &cp, &bad);
        const char *named = cp && cp < 128 ? strchr(names, (int)cp) : NULL;
        char out[8] = "";
        if (named)
            snprintf(out, sizeof out, "\\%c", shorts[named - names]);
        else if (bad)
            strcpy(out, "\\ufffd");
        else if (cp < 32 || cp == '<' || cp == '>' || cp == '&' || cp == 0x2028 || cp == 0x2029)
            snprintf(out, sizeof out, "\\u%04x", (unsigned)cp & 0xffff);
        if (out[0]) {
            tpl_put_part(c, k, s, from, i);
            tpl_puts(c, k, out);
            from = i + len;
        }
        i += len;
    }
    tpl_put_part(c, k, s, from, s->n);
    tpl_puts(c, k, "\"");
}

static void put_float(struct tpl *c, struct sink *k, double f)
{
    char b[48];
    const double size = fabs(f);
    if (f == floor(f) && size < 1e15) {
        snprintf(b, sizeof b, "%.0f", f);
        tpl_puts(c, k, b);
        return;
    }
    go_shortest(f, b);
    char *e = strchr(b, 'e');
    int exponent = e ? atoi(e + 1) : 0, digits = (int)(e - b) - (b[0] == '-');
    digits -= digits > 1;
    if (size >= 1e-6 && size < 1e21)
        snprintf(b, sizeof b, "%.*f", digits - 1 - exponent > 0 ? digits - 1 - exponent : 0, f);
    else if (e[2] == '0' && e[1] == '-') /* e-07 is e-7 here, and e+07 cannot be */
        memmove(e + 2, e + 3, strlen(e + 3) + 1);
    tpl_puts(c, k, b);
}

static int by_rank(const void *a, const void *b)
{
    const struct go_pair *const *x = a, *const *y = b;
    return (*x)->rank<(*y)->rank ? -1 : (*x)->rank>(*y)->rank;
}

static void put_map(struct tpl *c, struct sink *k, const struct go_map *m)
{
    const struct go_pair **order = tpl_alloc(c, (m->n + 1) * sizeof *order);
    for (size_t i = 0; i < m->n; i++)
        order[i] = &m->e[i];
    if (m->in_order && m->n > 1)
        qsort(order, m->n, sizeof *order, by_rank);
    tpl_puts(c, k, "{");
    for (size_t i = 0; i < m->n; i++) {
        tpl_puts(c, k, i ? "," : "");
        put_string(c, k, order[i]->key);
        tpl_puts(c, k, ":");
        go_put_json(c, k, order[i]->v);
    }
    tpl_puts(c, k, "}");
}

static bool is_empty(struct gv v)
{
    switch (v.type) {
    case GO_STRING:
        return !v.s->n;
    case GO_LIST:
        return !v.l->n;
    case GO_MAP:
        return v.face ? false : v.m->pointer ? v.m->nil : !v.m->n;
    case GO_NIL:
    case GO_INVALID:
        return true;
    default:
        return false;
    }
}

static void put_record(struct tpl *c, struct sink *k, const struct go_record *r)
{
    bool some = false;
    tpl_puts(c, k, "{");
    for (size_t i = 0; i < r->kind->n; i++) {
        const struct go_field *f = &r->kind->field[i];
        struct gv v = r->v[i];
        if (f->omit && (v.face && v.type != GO_NIL ? false : is_empty(v)))
            continue;
        tpl_puts(c, k, some ? ",\"" : "\"");
        tpl_puts(c, k, f->json);
        tpl_puts(c, k, "\":");
        go_put_json(c, k, v);
        some = true;
    }
    tpl_puts(c, k, "}");
}

static void put_bytes(struct tpl *c, struct sink *k, const struct go_list *l)
{
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    tpl_puts(c, k, "\"");
    for (size_t i = 0; i < l->n; i += 3) {
        uint32_t b = 0;
        char out[5] = "====";
        const size_t n = l->n - i < 3 ? l->n - i : 3;
        for (size_t j = 0; j < 3; j++)
            b = b << 8 | (j < n ? (uint32_t)l->v[i + j].i : 0);
        for (size_t j = 0; j <= n; j++)
            out[j] = set[b >> (18 - 6 * j) & 63];
        tpl_puts(c, k, out);
    }
    tpl_puts(c, k, "\"");
}

static void put_list(struct tpl *c, struct sink *k, const struct go_list *l)
{
    const bool one_type = l->show == GO_SHOW_TYPES && l->n == 1;
    if (l->nil) {
        tpl_puts(c, k, "null");
        return;
    }
    if (l->bytes) {
        put_bytes(c, k, l);
        return;
    }
    tpl_puts(c, k, one_type ? "" : "[");
    for (size_t i = 0; i < l->n; i++) {
        tpl_puts(c, k, i ? "," : "");
        go_put_json(c, k, l->v[i]);
    }
    tpl_puts(c, k, one_type ? "" : "]");
}

void go_put_json(struct tpl *c, struct sink *k, struct gv v)
{
    char b[32];
    if (++c->value_depth > TPL_MAX_VALUE_DEPTH)
        tpl_fail(c, "values nested deeper than %d", TPL_MAX_VALUE_DEPTH);
    tpl_charge(c, 1);
    switch (v.type) {
    case GO_BOOL:
        tpl_puts(c, k, v.b ? "true" : "false");
        break;
    case GO_INT:
    case GO_BYTE:
        snprintf(b, sizeof b, "%" PRId64, v.i);
        tpl_puts(c, k, b);
        break;
    case GO_FLOAT:
        put_float(c, k, v.f);
        break;
    case GO_STRING:
        put_string(c, k, v.s);
        break;
    case GO_LIST:
        put_list(c, k, v.l);
        break;
    case GO_MAP:
        if (v.m->nil)
            tpl_puts(c, k, "null");
        else
            put_map(c, k, v.m);
        break;
    case GO_RECORD:
        put_record(c, k, v.r);
        break;
    default:
        tpl_puts(c, k, "null");
        break;
    }
    c->value_depth--;
}

struct str *go_json(struct tpl *c, struct gv v)
{
    struct sink k;
    tpl_sink(c, &k);
    if (v.type != GO_COMPLEX && !(v.type == GO_FLOAT && !isfinite(v.f))) /* Go: an error, and "" */
        go_put_json(c, &k, v);
    return tpl_sink_str(c, &k);
}
