/* engine/chat/go_format.c - how Go prints values: %v, and every verb on lists, maps and structs. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "engine/chat/go.h"

static void put_types(struct tpl *c, struct sink *k, const struct go_list *l)
{
    tpl_puts(c, k, l->n == 1 ? "" : "[");
    for (size_t i = 0; i < l->n; i++) {
        tpl_puts(c, k, i ? " " : "");
        tpl_put_str(c, k, l->v[i].s);
    }
    tpl_puts(c, k, l->n == 1 ? "" : "]");
}

/* A type with a String method of its own: that text. */
static struct str *own_text(struct tpl *c, struct gv v)
{
    struct sink k;
    tpl_sink(c, &k);
    if (v.type == GO_MAP && v.m->show == GO_SHOW_JSON) {
        if (v.m->nil)
            tpl_puts(c, &k, "{}");
        else
            go_put_json(c, &k, v);
        return tpl_sink_str(c, &k);
    }
    if ((v.type == GO_LIST && v.l->show == GO_SHOW_JSON) ||
        (v.type == GO_RECORD && v.r->kind->show == GO_SHOW_JSON)) {
        go_put_json(c, &k, v);
        return tpl_sink_str(c, &k);
    }
    if (v.type == GO_LIST && v.l->show == GO_SHOW_TYPES && v.l->n) {
        put_types(c, &k, v.l);
        return tpl_sink_str(c, &k);
    }
    if (v.type == GO_LIST && v.l->show == GO_SHOW_TYPES)
        return tpl_sink_str(c, &k);
    return NULL;
}

/* Go prints where the thing lies, which says nothing: one address for all. */
static void put_pointer(struct tpl *c, struct sink *k, struct gv v, uint32_t verb, struct go_verb f)
{
    const struct gv where = go_int(0xc000000000);
    if (verb == 'v' && f.sharp_v) {
        tpl_puts(c, k, "(");
        tpl_puts(c, k, go_type_name(v));
        tpl_puts(c, k, ")(0xc000000000)");
    } else if (verb == 'v' || verb == 'p') {
        f.sharp = !f.sharp;
        go_put_scalar(c, k, where, 'x', f);
    } else if (verb < 128 && strchr("bodxX", (int)verb)) {
        go_put_scalar(c, k, where, verb, f);
    } else {
        go_put_bad(c, k, v, verb, f);
    }
}

static void put_list(struct tpl *c, struct sink *k, const struct go_list *l, uint32_t verb,
                     struct go_verb f, int depth)
{
    tpl_puts(c, k, f.sharp_v ? l->type : "");
    if (f.sharp_v && l->nil) {
        tpl_puts(c, k, "(nil)");
        return;
    }
    tpl_puts(c, k, f.sharp_v ? "{" : "[");
    for (size_t i = 0; i < l->n; i++) {
        tpl_puts(c, k, !i ? "" : f.sharp_v ? ", " : " ");
        if (l->v[i].type == GO_RECORD && l->v[i].r->kind->pointer)
            put_pointer(c, k, l->v[i], verb, f);
        else
            go_put_verb(c, k, l->v[i], verb, f, depth + 1);
    }
    tpl_puts(c, k, f.sharp_v ? "}" : "]");
}

static void put_map(struct tpl *c, struct sink *k, const struct go_map *m, uint32_t verb,
                    struct go_verb f, int depth)
{
    tpl_puts(c, k, f.sharp_v ? m->type : "map");
    if (f.sharp_v && m->nil) {
        tpl_puts(c, k, "(nil)");
        return;
    }
    tpl_puts(c, k, f.sharp_v ? "{" : "[");
    for (size_t i = 0; i < m->n; i++) {
        tpl_puts(c, k, !i ? "" : f.sharp_v ? ", " : " ");
        go_put_verb(c, k, go_string(m->e[i].key), verb, f, depth + 1);
        tpl_puts(c, k, ":");
        go_put_verb(c, k, m->e[i].v, verb, f, depth + 1);
    }
    tpl_puts(c, k, f.sharp_v ? "}" : "]");
}

static void put_record(struct tpl *c, struct sink *k, const struct go_record *r, uint32_t verb,
                       struct go_verb f, int depth)
{
    const char *type = r->kind->type;
    if (r->kind->pointer) {
        tpl_puts(c, k, "&");
        type++;
    }
    tpl_puts(c, k, f.sharp_v ? type : "");
    tpl_puts(c, k, "{");
    for (size_t i = 0; i < r->kind->n; i++) {
        tpl_puts(c, k, !i ? "" : f.sharp_v ? ", " : " ");
        if (f.plus_v || f.sharp_v) {
            tpl_puts(c, k, r->kind->field[i].name);
            tpl_puts(c, k, ":");
        }
        go_put_verb(c, k, r->v[i], verb, f, depth + 1);
    }
    tpl_puts(c, k, "}");
}

static struct str *bytes_of(struct tpl *c, const struct go_list *l)
{
    char *p = tpl_bytes(c, l->n + 1);
    for (size_t i = 0; i < l->n; i++)
        p[i] = (char)l->v[i].i;
    return tpl_str(c, p, l->n, false);
}

void go_put_verb(struct tpl *c, struct sink *k, struct gv v, uint32_t verb, struct go_verb f,
                 int depth)
{
    if (++c->value_depth > TPL_MAX_VALUE_DEPTH)
        tpl_fail(c, "values nested deeper than %d", TPL_MAX_VALUE_DEPTH);
    tpl_charge(c, 1);
    const bool whole = v.type == GO_LIST || v.type == GO_MAP || v.type == GO_RECORD;
    const bool for_text = verb == 's' || verb == 'v' || verb == 'q' || verb == 'x' || verb == 'X';
    struct str *own = for_text && !f.sharp_v ? own_text(c, v) : NULL;
    if (whole && (verb == 'w' || (verb == 'p' && v.type == GO_RECORD && !v.r->kind->pointer)))
        go_put_bad(c, k, v, verb, f);
    else if (whole && verb == 'p')
        put_pointer(c, k, v, verb, f);
    else if (v.type == GO_MAP && v.m->nil && v.m->pointer)
        tpl_puts(c, k, "<nil>");
    else if (own)
        go_put_scalar(c, k, go_string(own), verb, f);
    else if (v.type == GO_LIST && v.l->bytes && for_text && verb != 'v')
        go_put_scalar(c, k, go_string(bytes_of(c, v.l)), verb, f);
    else if (v.type == GO_LIST)
        put_list(c, k, v.l, verb, f, depth);
    else if (v.type == GO_MAP)
        put_map(c, k, v.m, verb, f, depth);
    else if (v.type == GO_RECORD)
        put_record(c, k, v.r, verb, f, depth);
    else if ((v.type == GO_NIL || v.type == GO_INVALID) && depth > 0)
        tpl_puts(c, k, f.sharp_v ? "interface {}(nil)" : "<nil>");
    else
        go_put_scalar(c, k, v, verb, f);
    c->value_depth--;
}

void go_put_value(struct tpl *c, struct sink *k, struct gv v)
{
    char b[48];
    switch (v.type) { /* the common ones without the way round */
    case GO_STRING:
        tpl_put_str(c, k, v.s);
        return;
    case GO_BOOL:
        tpl_puts(c, k, v.b ? "true" : "false");
        return;
    case GO_INT:
    case GO_BYTE:
        snprintf(b, sizeof b, "%" PRId64, v.i);
        tpl_puts(c, k, b);
        return;
    default:
        go_put_verb(c, k, v, 'v', (struct go_verb){.width = -1, .precision = -1}, 0);
    }
}

struct str *go_sprint(struct tpl *c, const struct gv *v, size_t n, bool line)
{
    struct sink k;
    tpl_sink(c, &k);
    for (size_t i = 0; i < n; i++) {
        if (i && (line || (v[i].type != GO_STRING && v[i - 1].type != GO_STRING)))
            tpl_puts(c, &k, " ");
        go_put_value(c, &k, v[i]);
    }
    tpl_puts(c, &k, line ? "\n" : "");
    return tpl_sink_str(c, &k);
}
