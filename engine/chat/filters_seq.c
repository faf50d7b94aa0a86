/* engine/chat/filters_seq.c - filters on lists and dicts: order, groups, ends. */
#include <math.h>
#include <string.h>
#include "engine/chat/syntax.h"

#define FILTER(name)                                                                               \
    static struct val name(struct tpl *c, struct val self, struct val *a, const struct args *raw)

/* A filter of Jinja that yields: its items are made at once, and may be taken once. */
static struct val generator(struct list *l)
{
    l->kind = L_GEN;
    return tpl_list_val(l);
}

/* The items in a list of our own, which may be sorted or turned round. */
static struct list *fresh(struct tpl *c, struct val v)
{
    struct list *src = tpl_items(c, v), *l = tpl_list(c, L_LIST, src->n);
    tpl_charge(c, src->n / 8);
    if (src->n)
        memcpy(l->v, src->v, src->n * sizeof *l->v);
    l->n = src->n;
    return l;
}

/* item.a.b.0, as attribute= of sort, map, join and others mean it. */
struct val tpl_attr_path(struct tpl *c, struct val item, struct val path)
{
    if (path.type == T_ABSENT || path.type == T_NONE)
        return item;
    if (path.type == T_INT)
        return tpl_getitem(c, item, path);
    struct str *s = tpl_need_str(c, path, "attribute");
    for (size_t from = 0; from <= s->n;) {
        size_t to = tpl_find(s, from, ".", 1);
        if (to == SIZE_MAX)
            to = s->n;
        int64_t n = 0;
        bool number = to > from && to - from < 10;
        for (size_t i = from; i < to; i++) {
            number &= s->p[i] >= '0' && s->p[i] <= '9';
            n = number ? n * 10 + (s->p[i] - '0') : 0;
        }
        item = tpl_getitem(c, item, number ? tpl_int(n)
                                           : tpl_str_val(tpl_str_part(c, s, from, to)));
        from = to + 1;
    }
    return item;
}

struct order {
    const struct val *attrs; /* paths */
    size_t n_attrs;
    bool many; /* a list of keys, even of one: two that have no order may be equal there */
    bool fold; /* texts without case */
    bool reverse;
};

static struct val sort_key(struct tpl *c, struct val v, const struct order *o)
{
    if (!o->fold || v.type != T_STR)
        return v;
    return tpl_str_val(tpl_case(c, v.s, CASE_LOWER));
}

/* a and b are pairs of (key, item). */
static bool by_key(struct tpl *c, struct val a, struct val b, void *arg)
{
    const struct order *o = arg;
    if (o->reverse) /* stable in both directions, as Python's */
        return tpl_less(c, b.l->v[0], a.l->v[0], "<");
    return tpl_less(c, a.l->v[0], b.l->v[0], "<");
}

static struct list *sorted(struct tpl *c, struct val v, struct order *o)
{
    struct list *l = fresh(c, v);
    for (size_t i = 0; i < l->n; i++) {
        struct val key = l->v[i];
        if (!o->many) {
            key = sort_key(c, tpl_attr_path(c, key, o->attrs[0]), o);
        } else {
            struct list *keys = tpl_list(c, L_LIST, o->n_attrs);
            for (size_t k = 0; k < o->n_attrs; k++)
                tpl_list_add(c, keys, sort_key(c, tpl_attr_path(c, l->v[i], o->attrs[k]), o));
            key = tpl_list_val(keys);
        }
        l->v[i] = tpl_pair(c, key, l->v[i]);
    }
    tpl_sort(c, l->v, l->n, by_key, o);
    return l;
}

static struct list *without_keys(struct list *l)
{
    for (size_t i = 0; i < l->n; i++)
        l->v[i] = l->v[i].l->v[1];
    return l;
}

FILTER(f_sort)
{
    struct order o = {.attrs = &a[2], .n_attrs = 1, .many = true, .fold = !tpl_truth(a[1]),
                      .reverse = tpl_truth(a[0])};
    if (a[2].type == T_STR) { /* several attributes, by commas */
        struct methods m = tpl_methods("split", 5);
        struct val comma = tpl_strz(c, ",");
        struct args args = {.pos = &comma, .n_pos = 1};
        struct list *l = tpl_items(c, tpl_run_func(c, m.str, a[2], &args));
        o.attrs = l->v;
        o.n_attrs = l->n;
    }
    if (self.type == T_UNDEF)
        return tpl_list_val(tpl_list(c, L_LIST, 0));
    return tpl_list_val(without_keys(sorted(c, self, &o)));
}

FILTER(f_dictsort)
{
    bool value = a[1].type == T_STR && tpl_str_is(a[1].s, "value");
    if (a[1].type != T_ABSENT && !value && !(a[1].type == T_STR && tpl_str_is(a[1].s, "key")))
        tpl_fail(c, "You can only sort by either \"key\" or \"value\"");
    tpl_need_defined(c, self);
    if (self.type != T_DICT)
        tpl_fail(c, "'%s' object has no attribute 'items'", tpl_type_name(self));
    struct list *l = tpl_list(c, L_LIST, self.d->n);
    for (size_t i = 0; i < self.d->n; i++)
        tpl_list_add(c, l, tpl_pair(c, self.d->e[i].key, self.d->e[i].value));
    struct val by = tpl_int(value);
    struct order o = {.attrs = &by, .n_attrs = 1, .fold = !tpl_truth(a[0]),
                      .reverse = tpl_truth(a[2])};
    return tpl_list_val(without_keys(sorted(c, tpl_list_val(l), &o)));
}

FILTER(f_groupby)
{
    struct order o = {.attrs = &a[0], .n_attrs = 1, .fold = !tpl_truth(a[2])};
    struct list *l = fresh(c, self), *groups = tpl_list(c, L_LIST, 0);
    for (size_t i = 0; i < l->n; i++) {
        struct val key = tpl_attr_path(c, l->v[i], a[0]);
        if (key.type == T_UNDEF && a[1].type != T_ABSENT)
            key = a[1];
        l->v[i] = tpl_pair(c, sort_key(c, key, &o), tpl_pair(c, key, l->v[i]));
    }
    tpl_sort(c, l->v, l->n, by_key, &o);
    struct list *members = NULL;
    struct val last = {0};
    for (size_t i = 0; i < l->n; i++) {
        struct list *pair = l->v[i].l->v[1].l;
        if (!members || !tpl_equal(c, last, l->v[i].l->v[0])) {
            last = l->v[i].l->v[0];
            members = tpl_list(c, L_LIST, 0);
            struct val g = tpl_pair(c, pair->v[0], tpl_list_val(members));
            g.l->kind = L_GROUP;
            tpl_list_add(c, groups, g);
        }
        tpl_list_add(c, members, pair->v[1]);
    }
    return tpl_list_val(groups);
}

FILTER(f_unique)
{
    struct order o = {.fold = !tpl_truth(a[0])};
    struct list *l = tpl_items(c, self), *r = tpl_list(c, L_LIST, 0);
    struct dict *seen = tpl_dict(c);
    for (size_t i = 0; i < l->n; i++) {
        struct val key = sort_key(c, tpl_attr_path(c, l->v[i], a[1]), &o);
        tpl_charge(c, 1);
        if (tpl_dict_find(c, seen, key))
            continue;
        tpl_dict_set(c, seen, key, tpl_none);
        tpl_list_add(c, r, l->v[i]);
    }
    return generator(r);
}

static struct val extreme(struct tpl *c, struct val self, struct val *a, bool max)
{
    struct order o = {.fold = !tpl_truth(a[0])};
    struct list *l = tpl_items(c, self);
    if (!l->n)
        return tpl_undef();
    size_t best = 0;
    struct val key = sort_key(c, tpl_attr_path(c, l->v[0], a[1]), &o);
    for (size_t i = 1; i < l->n; i++) {
        struct val k = sort_key(c, tpl_attr_path(c, l->v[i], a[1]), &o);
        tpl_charge(c, 1);
        if (max ? tpl_less(c, key, k, ">") : tpl_less(c, k, key, "<")) {
            best = i;
            key = k;
        }
    }
    return l->v[best];
}

FILTER(f_min) { return extreme(c, self, a, false); }
FILTER(f_max) { return extreme(c, self, a, true); }

FILTER(f_sum)
{
    struct list *l = tpl_items(c, self);
    struct val sum = a[1].type == T_ABSENT ? tpl_int(0) : a[1];
    if (sum.type == T_STR)
        tpl_fail(c, "sum() can't sum strings [use ''.join(seq) instead]");
    for (size_t i = 0; i < l->n; i++) {
        tpl_charge(c, 1);
        sum = tpl_binary(c, K_ADD, sum, tpl_attr_path(c, l->v[i], a[0]));
    }
    return sum;
}

FILTER(f_join)
{
    struct list *l = tpl_items(c, self);
    struct str *sep = a[0].type == T_ABSENT ? tpl_str(c, "", 0, false) : tpl_to_str(c, a[0]);
    struct sink k;
    tpl_sink(c, &k);
    for (size_t i = 0; i < l->n; i++) {
        tpl_charge(c, 1);
        if (i)
            tpl_put_str(c, &k, sep);
        tpl_print(c, &k, tpl_attr_path(c, l->v[i], a[1]));
    }
    return tpl_str_val(tpl_sink_str(c, &k));
}

FILTER(f_first)
{
    if (self.type == T_LIST && self.l->kind == L_GEN)
        return self.l->taken < self.l->n ? self.l->v[self.l->taken++] : tpl_undef();
    struct list *l = tpl_items(c, self);
    return l->n ? l->v[0] : tpl_undef();
}

FILTER(f_last)
{
    struct list *l = tpl_items(c, self);
    return l->n ? l->v[l->n - 1] : tpl_undef();
}

/* One clock and no dice: the first. A prompt that differs from run to run has no cached prefix. */
FILTER(f_random) { return f_first(c, self, a, raw); }

FILTER(f_list) { return tpl_list_val(fresh(c, self)); }

FILTER(f_items)
{
    if (self.type == T_UNDEF)
        return generator(tpl_list(c, L_LIST, 0));
    if (self.type != T_DICT)
        tpl_fail(c, "Can only get item pairs from a mapping.");
    struct list *l = tpl_list(c, L_LIST, self.d->n);
    tpl_charge(c, self.d->n / 8);
    for (size_t i = 0; i < self.d->n; i++)
        tpl_list_add(c, l, tpl_pair(c, self.d->e[i].key, self.d->e[i].value));
    return generator(l);
}

FILTER(f_reverse)
{
    struct list *l = fresh(c, self);
    for (size_t i = 0; i < l->n / 2; i++) {
        struct val v = l->v[i];
        l->v[i] = l->v[l->n - 1 - i];
        l->v[l->n - 1 - i] = v;
    }
    if (self.type == T_LIST && self.l->kind == L_GEN)
        return tpl_list_val(l); /* what has no end to begin at becomes a list */
    if (self.type != T_STR)
        return generator(l);
    struct sink k;
    tpl_sink(c, &k);
    for (size_t i = 0; i < l->n; i++)
        tpl_put_str(c, &k, l->v[i].s);
    return tpl_str_val(tpl_sink_str(c, &k));
}

static size_t size_of(struct tpl *c, struct val v, const char *what)
{
    int64_t n = tpl_need_int(c, v, what);
    if (n < 1 || n > TPL_MAX_ITEMS)
        tpl_fail(c, "%s: 1 to %d", what, TPL_MAX_ITEMS);
    return (size_t)n;
}

FILTER(f_batch)
{
    struct val count = a[0]; /* half of a length is a float */
    if (count.type == T_FLOAT && count.f >= 1 && count.f <= TPL_MAX_ITEMS && count.f == floor(count.f))
        count = tpl_int((int64_t)count.f);
    size_t n = size_of(c, count, "batch");
    struct list *l = tpl_items(c, self), *r = tpl_list(c, L_LIST, 0), *one = NULL;
    for (size_t i = 0; i < l->n; i++) {
        if (i % n == 0)
            tpl_list_add(c, r, tpl_list_val(one = tpl_list(c, L_LIST, 0)));
        tpl_list_add(c, one, l->v[i]);
        tpl_charge(c, 1);
    }
    while (one && a[1].type != T_ABSENT && a[1].type != T_NONE && one->n < n) {
        tpl_list_add(c, one, a[1]);
        tpl_charge(c, 1);
    }
    return generator(r);
}

FILTER(f_slice)
{
    size_t n = size_of(c, a[0], "slice"), at = 0;
    struct list *l = tpl_items(c, self), *r = tpl_list(c, L_LIST, n);
    size_t each = l->n / n, more = l->n % n;
    for (size_t i = 0; i < n; i++) {
        struct list *one = tpl_list(c, L_LIST, 0);
        for (size_t k = each + (i < more); k > 0; k--)
            tpl_list_add(c, one, l->v[at++]);
        if (a[1].type != T_ABSENT && a[1].type != T_NONE && i >= more)
            tpl_list_add(c, one, a[1]);
        tpl_list_add(c, r, tpl_list_val(one));
        tpl_charge(c, 1 + one->n / 8);
    }
    return generator(r);
}

const struct func *tpl_seq_filters(size_t *n)
{
    static const struct func table[] = {
        {"sort", "reverse? case_sensitive? attribute?", f_sort, false},
        {"dictsort", "case_sensitive? by? reverse?", f_dictsort, false},
        {"groupby", "attribute default? case_sensitive?", f_groupby, false},
        {"unique", "case_sensitive? attribute?", f_unique, false},
        {"min", "case_sensitive? attribute?", f_min, false},
        {"max", "case_sensitive? attribute?", f_max, false},
        {"sum", "attribute? start?", f_sum, false},
        {"join", "d? attribute?", f_join, false},
        {"first", "", f_first, false},
        {"last", "", f_last, false},
        {"random", "", f_random, false},
        {"list", "", f_list, false},
        {"items", "", f_items, false},
        {"reverse", "", f_reverse, false},
        {"batch", "linecount fill_with?", f_batch, false},
        {"slice", "slices fill_with?", f_slice, false},
    };
    *n = sizeof table / sizeof *table;
    return table;
}
