/* engine/chat/attr.c - `x.name`, `x[key]` and slices.
 *
 * The order is Jinja's: a name asks the methods first and the keys then, a key the other way
 * round. There is nothing behind a value but the listed methods, so an attribute walk ends here. */
#include <string.h>
#include "engine/chat/template.h"

struct methods tpl_methods(const char *p, size_t n)
{
    struct methods m;
    size_t k;
    const struct func *t = tpl_str_methods(&k);
    m.str = tpl_lookup(t, k, p, n);
    t = tpl_list_methods(&k);
    m.list = tpl_lookup(t, k, p, n);
    t = tpl_dict_methods(&k);
    m.dict = tpl_lookup(t, k, p, n);
    return m;
}

static struct val bound(struct tpl *c, struct val o, const struct func *fn, struct str *name)
{
    bool frozen = o.type == T_LIST ? o.l->frozen : o.type == T_DICT && o.d->frozen;
    if (fn->changes && frozen) {
        struct val u = tpl_undef_attr(c, o, tpl_str_val(name));
        struct undef *w = tpl_grow(c, u.u, sizeof *w, sizeof *w);
        w->unsafe = true;
        u.u = w;
        return u;
    }
    struct method *m = tpl_alloc(c, sizeof *m);
    m->self = o;
    m->fn = fn;
    return (struct val){.type = T_METHOD, .me = m};
}

static struct val list_attr(struct tpl *c, struct val o, struct str *name, const struct methods *m)
{
    if (o.l->kind == L_GROUP && tpl_str_is(name, "grouper"))
        return o.l->v[0];
    if (o.l->kind == L_GROUP && tpl_str_is(name, "list"))
        return o.l->v[1];
    bool tuple = o.l->kind == L_TUPLE || o.l->kind == L_GROUP;
    if (m->list && (o.l->kind == L_LIST ||
                    (tuple && (tpl_str_is(name, "index") || tpl_str_is(name, "count")))))
        return bound(c, o, m->list, name);
    return tpl_undef_attr(c, o, tpl_str_val(name));
}

static struct val cycler_next(struct tpl *c, struct val self, struct val *a, const struct args *raw)
{
    struct cycler *y = self.cy;
    struct val v = y->v[y->at];
    y->at = (y->at + 1) % y->n;
    return v;
}

static struct val cycler_reset(struct tpl *c, struct val self, struct val *a,
                               const struct args *raw)
{
    self.cy->at = 0;
    return tpl_none;
}

static struct val cycler_attr(struct tpl *c, struct val o, struct str *name)
{
    static const struct func next = {"next", "", cycler_next, false};
    static const struct func reset = {"reset", "", cycler_reset, false};
    if (tpl_str_is(name, "current"))
        return o.cy->v[o.cy->at];
    if (tpl_str_is(name, "next"))
        return bound(c, o, &next, name);
    if (tpl_str_is(name, "reset"))
        return bound(c, o, &reset, name);
    return tpl_undef_attr(c, o, tpl_str_val(name));
}

struct val tpl_getattr(struct tpl *c, struct val o, struct str *name, const struct methods *m)
{
    struct val *v = NULL;
    tpl_need_defined(c, o);
    if (name->n > 1 && name->p[0] == '_' && name->p[1] == '_')
        return tpl_undef_attr(c, o, tpl_str_val(name));
    switch (o.type) {
    case T_STR:
        if (m->str)
            return bound(c, o, m->str, name);
        break;
    case T_LIST: return list_attr(c, o, name, m);
    case T_DICT:
        if (m->dict)
            return bound(c, o, m->dict, name);
        v = tpl_dict_find_str(c, o.d, name);
        break;
    case T_SPACE: v = tpl_dict_find_str(c, o.d, name); break;
    case T_RANGE:
        if (m->list && (tpl_str_is(name, "index") || tpl_str_is(name, "count")))
            return bound(c, tpl_list_val(tpl_items(c, o)), m->list, name);
        break;
    case T_LOOP: return tpl_loop_attr(c, o.lp, name);
    case T_MACRO: return tpl_macro_attr(c, o.m, name);
    case T_CYCLER: return cycler_attr(c, o, name);
    default: break;
    }
    return v ? *v : tpl_undef_attr(c, o, tpl_str_val(name));
}

static struct val char_at(struct tpl *c, struct str *s, size_t i)
{
    size_t from = tpl_str_offset(c, s, i), to = from + 1;
    while (to < s->n && ((unsigned char)s->p[to] & 0xc0) == 0x80)
        to++;
    return tpl_str_val(tpl_str_part(c, s, from, to));
}

struct val tpl_getitem(struct tpl *c, struct val o, struct val key)
{
    tpl_need_defined(c, o);
    if (o.type == T_DICT) {
        if (key.type == T_DICT || (key.type == T_LIST && key.l->kind == L_LIST))
            return tpl_undef_attr(c, o, key);
        struct val *v = tpl_dict_find(c, o.d, key);
        if (v)
            return *v;
    }
    if (key.type == T_STR) {
        struct methods m = tpl_methods(key.s->p, key.s->n);
        return tpl_getattr(c, o, key.s, &m);
    }
    bool seq = o.type == T_STR || o.type == T_RANGE ||
               (o.type == T_LIST && (o.l->kind == L_LIST || o.l->kind == L_TUPLE ||
                                     o.l->kind == L_GROUP));
    if (!seq || (key.type != T_INT && key.type != T_BOOL))
        return tpl_undef_attr(c, o, key);
    int64_t i = tpl_to_index(c, key), n = (int64_t)tpl_len(c, o);
    if (i < 0)
        i += n;
    if (i < 0 || i >= n)
        return tpl_undef_attr(c, o, key);
    if (o.type == T_STR)
        return char_at(c, o.s, (size_t)i);
    if (o.type == T_RANGE)
        return tpl_int(o.r->start + i * o.r->step);
    return o.l->v[i];
}

/* One end of a slice as Python clamps it. */
static int64_t slice_end(struct tpl *c, struct val v, int64_t n, int64_t step, int64_t absent)
{
    if (v.type == T_NONE || v.type == T_ABSENT)
        return absent;
    if (v.type != T_INT && v.type != T_BOOL) {
        tpl_need_defined(c, v);
        tpl_fail(c, "slice indices must be integers or None or have an __index__ method");
    }
    int64_t i = tpl_to_index(c, v);
    if (i < 0) {
        i += n;
        if (i < 0)
            i = step < 0 ? -1 : 0;
    } else if (i >= n) {
        i = step < 0 ? n - 1 : n;
    }
    return i;
}

/* Items a, a + step, .. before b of a range: a range again. */
static struct val range_part(struct tpl *c, const struct range *r, int64_t a, int64_t b,
                             int64_t step)
{
    struct range *p = tpl_alloc(c, sizeof *p);
    p->start = r->start + a * r->step;
    p->stop = r->start + b * r->step;
    p->step = r->step * step;
    if (step > 0 ? a < b : a > b)
        p->n = (size_t)((step > 0 ? b - a - 1 : a - b - 1) / (step > 0 ? step : -step)) + 1;
    return (struct val){.type = T_RANGE, .r = p};
}

struct val tpl_slice(struct tpl *c, struct val o, struct val from, struct val to, struct val step_v)
{
    tpl_need_defined(c, o);
    if (o.type != T_STR && o.type != T_RANGE &&
        !(o.type == T_LIST && (o.l->kind == L_LIST || o.l->kind == L_TUPLE)))
        tpl_fail(c, o.type == T_DICT ? "unhashable type: 'slice'"
                                     : "'%s' object is not subscriptable", tpl_type_name(o));
    int64_t step = step_v.type == T_NONE || step_v.type == T_ABSENT ? 1 : tpl_to_index(c, step_v);
    if (step == 0)
        tpl_fail(c, "slice step cannot be zero");
    if (step < -(int64_t)TPL_MAX_MEMORY)
        step = -(int64_t)TPL_MAX_MEMORY;
    if (step > (int64_t)TPL_MAX_MEMORY)
        step = (int64_t)TPL_MAX_MEMORY;
    int64_t n = (int64_t)tpl_len(c, o);
    int64_t a = slice_end(c, from, n, step, step < 0 ? n - 1 : 0);
    int64_t b = slice_end(c, to, n, step, step < 0 ? -1 : n);
    if (o.type == T_STR && step == 1) {
        size_t p = tpl_str_offset(c, o.s, (size_t)a);
        size_t q = a < b ? tpl_str_offset(c, o.s, (size_t)b) : p;
        return tpl_str_val(tpl_str_part(c, o.s, p, q));
    }
    if (o.type == T_RANGE)
        return range_part(c, o.r, a, b, step);
    struct list *src = o.type == T_STR ? tpl_items(c, o) : o.l;
    struct list *l = tpl_list(c, src->kind, 0);
    for (int64_t i = a; step > 0 ? i < b : i > b; i += step) {
        tpl_charge(c, 1);
        tpl_list_add(c, l, src->v[i]);
    }
    if (o.type != T_STR)
        return tpl_list_val(l);
    struct sink k;
    tpl_sink(c, &k);
    for (size_t i = 0; i < l->n; i++)
        tpl_put_str(c, &k, l->v[i].s);
    return tpl_str_val(tpl_sink_str(c, &k));
}
