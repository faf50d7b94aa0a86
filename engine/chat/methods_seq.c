/* engine/chat/methods_seq.c - the methods of lists, tuples and dicts.
 *
 * Those that change a value work on what the template itself made and never on the request
 * (attr.c): two known templates keep a list of their own, and Jinja's sandbox refuses them. */
#include <string.h>
#include "engine/chat/template.h"

#define METHOD(name)                                                                               \
    static struct val name(struct tpl *c, struct val self, struct val *a, const struct args *raw)

METHOD(l_index)
{
    for (size_t i = 0; i < self.l->n; i++) {
        tpl_charge(c, 1);
        if (tpl_equal(c, self.l->v[i], a[0]))
            return tpl_int((int64_t)i);
    }
    tpl_fail(c, "the value is not in list");
}

METHOD(l_count)
{
    int64_t n = 0;
    for (size_t i = 0; i < self.l->n; i++) {
        tpl_charge(c, 1);
        n += tpl_equal(c, self.l->v[i], a[0]);
    }
    return tpl_int(n);
}

METHOD(l_copy)
{
    struct list *l = tpl_list(c, self.l->kind, self.l->n);
    tpl_charge(c, self.l->n / 8);
    for (size_t i = 0; i < self.l->n; i++)
        tpl_list_add(c, l, self.l->v[i]);
    return tpl_list_val(l);
}

METHOD(l_append)
{
    tpl_list_add(c, self.l, a[0]);
    return tpl_none;
}

METHOD(l_extend)
{
    struct list *l = tpl_items(c, a[0]);
    size_t n = l->n;
    tpl_charge(c, n / 8);
    for (size_t i = 0; i < n; i++)
        tpl_list_add(c, self.l, l->v[i]);
    return tpl_none;
}

/* The place that insert and pop mean. */
static size_t place(struct tpl *c, struct val v, size_t n)
{
    int64_t i = tpl_to_index(c, v);
    if (i < 0)
        i += (int64_t)n;
    return i < 0 ? 0 : (size_t)i;
}

METHOD(l_insert)
{
    struct list *l = self.l;
    size_t i = place(c, a[0], l->n);
    tpl_list_add(c, l, a[1]);
    if (i >= l->n)
        i = l->n - 1;
    tpl_charge(c, (l->n - i) / 8);
    memmove(l->v + i + 1, l->v + i, (l->n - 1 - i) * sizeof *l->v);
    l->v[i] = a[1];
    return tpl_none;
}

METHOD(l_pop)
{
    struct list *l = self.l;
    if (!l->n)
        tpl_fail(c, "pop from empty list");
    size_t i = a[0].type == T_ABSENT ? l->n - 1 : place(c, a[0], l->n);
    if (i >= l->n || (a[0].type == T_INT && a[0].i < -(int64_t)l->n))
        tpl_fail(c, "pop index out of range");
    struct val v = l->v[i];
    tpl_charge(c, (l->n - i) / 8);
    memmove(l->v + i, l->v + i + 1, (l->n - 1 - i) * sizeof *l->v);
    l->n--;
    return v;
}

METHOD(l_remove)
{
    struct list *l = self.l;
    for (size_t i = 0; i < l->n; i++) {
        tpl_charge(c, 1);
        if (!tpl_equal(c, l->v[i], a[0]))
            continue;
        memmove(l->v + i, l->v + i + 1, (l->n - 1 - i) * sizeof *l->v);
        l->n--;
        return tpl_none;
    }
    tpl_fail(c, "list.remove(x): x not in list");
}

METHOD(l_clear)
{
    self.l->n = 0;
    return tpl_none;
}

METHOD(l_reverse)
{
    struct list *l = self.l;
    tpl_charge(c, l->n / 8);
    for (size_t i = 0; i < l->n / 2; i++) {
        struct val v = l->v[i];
        l->v[i] = l->v[l->n - 1 - i];
        l->v[l->n - 1 - i] = v;
    }
    return tpl_none;
}

static bool plain_less(struct tpl *c, struct val x, struct val y, void *arg)
{
    return tpl_less(c, x, y, "<");
}

METHOD(l_sort)
{
    tpl_sort(c, self.l->v, self.l->n, plain_less, NULL);
    return tpl_truth(a[0]) ? l_reverse(c, self, a, raw) : tpl_none;
}

const struct func *tpl_list_methods(size_t *n)
{
    static const struct func table[] = {
        {"index", "value", l_index, false}, {"count", "value", l_count, false},
        {"copy", "", l_copy, false}, {"append", "object", l_append, true},
        {"extend", "iterable", l_extend, true}, {"insert", "index object", l_insert, true},
        {"pop", "index?", l_pop, true}, {"remove", "value", l_remove, true},
        {"clear", "", l_clear, true}, {"reverse", "", l_reverse, true},
        {"sort", "reverse?", l_sort, true},
    };
    *n = sizeof table / sizeof *table;
    return table;
}

/* ---- dicts ----------------------------------------------------------------------------------- */

METHOD(d_get)
{
    struct val *v = tpl_dict_find(c, self.d, a[0]);
    return v ? *v : a[1].type == T_ABSENT ? tpl_none : a[1];
}

static struct val view(struct tpl *c, const struct dict *d, enum list_kind kind)
{
    struct list *l = tpl_list(c, kind, d->n);
    tpl_charge(c, d->n / 8);
    for (size_t i = 0; i < d->n; i++)
        tpl_list_add(c, l, kind == L_ITEMS  ? tpl_pair(c, d->e[i].key, d->e[i].value)
                           : kind == L_KEYS ? d->e[i].key
                                            : d->e[i].value);
    return tpl_list_val(l);
}

METHOD(d_items) { return view(c, self.d, L_ITEMS); }
METHOD(d_keys) { return view(c, self.d, L_KEYS); }
METHOD(d_values) { return view(c, self.d, L_VALUES); }

static void put_all(struct tpl *c, struct dict *to, const struct dict *from)
{
    for (size_t i = 0, n = from->n; i < n; i++) {
        tpl_charge(c, 1);
        tpl_dict_set(c, to, from->e[i].key, from->e[i].value);
    }
}

METHOD(d_copy)
{
    struct dict *d = tpl_dict(c);
    put_all(c, d, self.d);
    return tpl_dict_val(d);
}

METHOD(d_pop)
{
    struct val *at = tpl_dict_find(c, self.d, a[0]), v;
    if (!at && a[1].type == T_ABSENT)
        tpl_fail(c, "pop: the key is not in the dict");
    if (!at)
        return a[1];
    v = *at;
    tpl_dict_drop(c, self.d, a[0]);
    return v;
}

METHOD(d_popitem)
{
    if (!self.d->n)
        tpl_fail(c, "popitem(): dictionary is empty");
    struct entry e = self.d->e[self.d->n - 1];
    tpl_dict_drop(c, self.d, e.key);
    return tpl_pair(c, e.key, e.value);
}

METHOD(d_update)
{
    if (raw->n_pos > 1)
        tpl_fail(c, "update expected at most 1 argument");
    if (raw->n_pos && raw->pos[0].type == T_DICT) {
        put_all(c, self.d, raw->pos[0].d);
    } else if (raw->n_pos) {
        struct list *l = tpl_items(c, raw->pos[0]);
        for (size_t i = 0; i < l->n; i++) {
            struct list *pair = tpl_items(c, l->v[i]);
            if (pair->n != 2)
                tpl_fail(c, "dictionary update sequence elements must be pairs");
            tpl_dict_set(c, self.d, pair->v[0], pair->v[1]);
        }
    }
    for (size_t i = 0; i < raw->n_kw; i++)
        tpl_dict_set(c, self.d, tpl_str_val(raw->kw[i].name), raw->kw[i].v);
    return tpl_none;
}

METHOD(d_setdefault)
{
    struct val *at = tpl_dict_find(c, self.d, a[0]);
    if (at)
        return *at;
    struct val v = a[1].type == T_ABSENT ? tpl_none : a[1];
    tpl_dict_set(c, self.d, a[0], v);
    return v;
}

METHOD(d_clear)
{
    *self.d = (struct dict){0};
    return tpl_none;
}

const struct func *tpl_dict_methods(size_t *n)
{
    static const struct func table[] = {
        {"get", "key default?", d_get, false}, {"items", "", d_items, false},
        {"keys", "", d_keys, false}, {"values", "", d_values, false}, {"copy", "", d_copy, false},
        {"pop", "key default?", d_pop, true}, {"popitem", "", d_popitem, true},
        {"update", "*", d_update, true}, {"setdefault", "key default?", d_setdefault, true},
        {"clear", "", d_clear, true},
    };
    *n = sizeof table / sizeof *table;
    return table;
}
