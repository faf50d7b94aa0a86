/* engine/chat/filters_pick.c - map, select, reject and their kin: filters that take a filter's or
 * test's name. Jinja's are lazy; what they would yield is made at once here. */
#include <string.h>
#include "engine/chat/template.h"

#define FILTER(name)                                                                               \
    static struct val name(struct tpl *c, struct val self, struct val *a, const struct args *raw)

static struct val generator(struct list *l)
{
    l->kind = L_GEN;
    return tpl_list_val(l);
}

static const struct func *by_name(struct tpl *c, struct val name, bool test)
{
    struct str *s = tpl_need_str(c, name, "the name of a filter or test");
    const struct func *f = test ? tpl_test(s->p, s->n) : tpl_filter(s->p, s->n);
    if (!f)
        tpl_fail(c, "No %s named '%.*s'.", test ? "test" : "filter",
                 (int)(s->n < 99 ? s->n : 99), s->p);
    return f;
}

static struct val *named(const struct args *raw, const char *name)
{
    for (size_t i = 0; i < raw->n_kw; i++)
        if (tpl_str_is(raw->kw[i].name, name))
            return &raw->kw[i].v;
    return NULL;
}

FILTER(f_map)
{
    struct list *r = tpl_list(c, L_LIST, 0);
    struct val *attr = named(raw, "attribute"), *other = named(raw, "default");
    if (!tpl_truth(self)) /* also what cannot be iterated: none|select gives nothing */
        return generator(r);
    struct list *l = tpl_items(c, self);
    if (!raw->n_pos && !attr)
        tpl_fail(c, "map requires a filter argument");
    const struct func *f = raw->n_pos ? by_name(c, raw->pos[0], false) : NULL;
    struct args rest = *raw;
    if (f) {
        rest.pos++;
        rest.n_pos--;
    }
    for (size_t i = 0; i < l->n; i++) {
        struct val v;
        tpl_charge(c, 1);
        if (f) {
            v = tpl_run_func(c, f, l->v[i], &rest);
        } else {
            v = tpl_attr_path(c, l->v[i], *attr);
            if (v.type == T_UNDEF && other)
                v = *other;
        }
        tpl_list_add(c, r, v);
    }
    return generator(r);
}

static struct val pick(struct tpl *c, struct val self, const struct args *raw, bool by_attr,
                       bool keep)
{
    struct list *r = tpl_list(c, L_LIST, 0);
    struct args rest = *raw;
    struct val attr = {0};
    if (!tpl_truth(self))
        return generator(r);
    if (by_attr) {
        if (!rest.n_pos)
            tpl_fail(c, "Missing parameter for attribute name");
        attr = rest.pos[0];
        rest.pos++;
        rest.n_pos--;
    }
    const struct func *f = NULL;
    if (rest.n_pos) {
        f = by_name(c, rest.pos[0], true);
        rest.pos++;
        rest.n_pos--;
    }
    struct list *l = tpl_items(c, self);
    for (size_t i = 0; i < l->n; i++) {
        struct val v = by_attr ? tpl_attr_path(c, l->v[i], attr) : l->v[i];
        tpl_charge(c, 1);
        if (f)
            v = tpl_run_func(c, f, v, &rest);
        if (tpl_truth(v) == keep)
            tpl_list_add(c, r, l->v[i]);
    }
    return generator(r);
}

FILTER(f_select) { return pick(c, self, raw, false, true); }
FILTER(f_reject) { return pick(c, self, raw, false, false); }
FILTER(f_selectattr) { return pick(c, self, raw, true, true); }
FILTER(f_rejectattr) { return pick(c, self, raw, true, false); }

const struct func *tpl_pick_filters(size_t *n)
{
    static const struct func table[] = {
        {"map", "*", f_map, false},
        {"select", "*", f_select, false},
        {"reject", "*", f_reject, false},
        {"selectattr", "*", f_selectattr, false},
        {"rejectattr", "*", f_rejectattr, false},
    };
    *n = sizeof table / sizeof *table;
    return table;
}
