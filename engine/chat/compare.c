/* engine/chat/compare.c - equality, order, membership, hashes and a stable sort, as in Python.
 *
 * The sort is a merge sort of our own: qsort has no place for the render that a failing
 * comparison must end, and is not stable. */
#include <math.h>
#include <string.h>
#include "engine/chat/template.h"

static void deeper(struct tpl *c)
{
    tpl_charge(c, 1);
    if (++c->value_depth > TPL_MAX_VALUE_DEPTH)
        tpl_fail(c, "values nested deeper than %d", TPL_MAX_VALUE_DEPTH);
}

static bool equal_numbers(struct val a, struct val b)
{
    if (a.type != T_FLOAT && b.type != T_FLOAT)
        return (a.type == T_BOOL ? a.b : a.i) == (b.type == T_BOOL ? b.b : b.i);
    return tpl_number(a) == tpl_number(b);
}

static bool equal_dicts(struct tpl *c, const struct dict *a, const struct dict *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        struct val *other = tpl_dict_find(c, b, a->e[i].key);
        if (!other || !tpl_equal(c, a->e[i].value, *other))
            return false;
    }
    return true;
}

static bool equal_lists(struct tpl *c, const struct list *a, const struct list *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!tpl_equal(c, a->v[i], b->v[i]))
            return false;
    return true;
}

bool tpl_equal(struct tpl *c, struct val a, struct val b)
{
    if (tpl_is_number(a) && tpl_is_number(b))
        return equal_numbers(a, b);
    if (a.type != b.type)
        return false;
    bool r;
    switch (a.type) {
    case T_UNDEF:
    case T_NONE: return true;
    case T_STR:
        tpl_charge_bytes(c, a.s->n);
        return tpl_str_same(a.s, b.s);
    case T_BIG: return tpl_str_same(a.s, b.s);
    case T_LIST:
        if (a.l == b.l)
            return true;
        if ((a.l->kind == L_LIST) != (b.l->kind == L_LIST) || a.l->kind == L_GEN ||
            a.l->kind == L_VALUES || a.l->kind == L_ITEMS)
            return false;
        deeper(c);
        r = equal_lists(c, a.l, b.l);
        c->value_depth--;
        return r;
    case T_DICT:
        if (a.d == b.d)
            return true;
        deeper(c);
        r = equal_dicts(c, a.d, b.d);
        c->value_depth--;
        return r;
    case T_RANGE:
        return a.r->n == b.r->n && (!a.r->n || (a.r->start == b.r->start &&
                                                (a.r->n == 1 || a.r->step == b.r->step)));
    case T_SPACE: return a.d == b.d;
    case T_METHOD: return a.me->fn == b.me->fn && tpl_equal(c, a.me->self, b.me->self);
    case T_FUNC: return a.fn == b.fn;
    case T_MACRO: return a.m == b.m;
    default: return a.lp == b.lp;
    }
}

static int compare_bytes(const struct str *a, const struct str *b)
{
    /* UTF-8 sorts as its code points do. */
    size_t n = a->n < b->n ? a->n : b->n;
    int r = n ? memcmp(a->p, b->p, n) : 0;
    return r ? r : a->n < b->n ? -1 : a->n > b->n;
}

bool tpl_less(struct tpl *c, struct val a, struct val b, const char *op)
{
    if (tpl_is_number(a) && tpl_is_number(b)) {
        if (a.type != T_FLOAT && b.type != T_FLOAT)
            return (a.type == T_BOOL ? a.b : a.i) < (b.type == T_BOOL ? b.b : b.i);
        return tpl_number(a) < tpl_number(b);
    }
    if (a.type == T_STR && b.type == T_STR) {
        tpl_charge_bytes(c, a.s->n);
        return compare_bytes(a.s, b.s) < 0;
    }
    tpl_need_defined(c, a);
    tpl_need_defined(c, b);
    if (a.type == T_LIST && b.type == T_LIST && a.l->kind == b.l->kind &&
        (a.l->kind == L_LIST || a.l->kind == L_TUPLE || a.l->kind == L_GROUP)) {
        bool r = a.l->n < b.l->n;
        deeper(c);
        for (size_t i = 0; i < a.l->n && i < b.l->n; i++) {
            if (tpl_equal(c, a.l->v[i], b.l->v[i]))
                continue;
            r = tpl_less(c, a.l->v[i], b.l->v[i], op);
            break;
        }
        c->value_depth--;
        return r;
    }
    tpl_fail(c, "'%s' not supported between instances of '%s' and '%s'", op, tpl_type_name(a),
             tpl_type_name(b));
}

bool tpl_contains(struct tpl *c, struct val item, struct val box)
{
    switch (box.type) {
    case T_STR:
        if (item.type != T_STR)
            tpl_fail(c, "'in <string>' requires string as left operand, not %s",
                     tpl_type_name(item));
        tpl_charge_bytes(c, box.s->n);
        return tpl_find(box.s, 0, item.s->p, item.s->n) != SIZE_MAX;
    case T_UNDEF: return false;
    case T_DICT: return tpl_dict_find(c, box.d, item) != NULL;
    case T_LIST:
    case T_RANGE: {
        struct list *l = tpl_items(c, box);
        tpl_charge(c, l->n / 4);
        for (size_t i = 0; i < l->n; i++)
            if (tpl_equal(c, l->v[i], item))
                return true;
        return false;
    }
    default: tpl_fail(c, "argument of type '%s' is not iterable", tpl_type_name(box));
    }
}

uint32_t tpl_hash_bytes(const char *p, size_t n)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)p[i]) * 16777619u;
    return h ^ (h >> 15);
}

uint32_t tpl_hash(struct tpl *c, struct val v)
{
    uint32_t h = 77;
    switch (v.type) {
    case T_NONE: return 1;
    case T_UNDEF: return 2;
    case T_BOOL:
    case T_INT:
    case T_FLOAT: {
        double d = tpl_number(v); /* 1, 1.0 and True are one key */
        if (d == 0)
            d = 0;
        return tpl_hash_bytes((const char *)&d, sizeof d);
    }
    case T_STR:
    case T_BIG:
        if (!v.s->hashed) {
            tpl_charge_bytes(c, v.s->n);
            v.s->hash = tpl_hash_bytes(v.s->p, v.s->n);
            v.s->hashed = true;
        }
        return v.s->hash;
    case T_LIST:
        if (v.l->kind == L_LIST)
            break;
        deeper(c);
        for (size_t i = 0; i < v.l->n; i++)
            h = h * 31 + tpl_hash(c, v.l->v[i]);
        c->value_depth--;
        return h;
    case T_DICT: break;
    default: return 3;
    }
    tpl_fail(c, "unhashable type: '%s'", tpl_type_name(v));
}

void tpl_sort(struct tpl *c, struct val *v, size_t n, tpl_less_fn less, void *arg)
{
    if (n < 2)
        return;
    struct val *to = tpl_alloc(c, n * sizeof *to), *from = v;
    for (size_t run = 1; run < n; run *= 2) {
        for (size_t i = 0; i < n; i += 2 * run) {
            size_t a = i, a_end = i + run < n ? i + run : n;
            size_t b = a_end, b_end = b + run < n ? b + run : n;
            for (size_t k = i; k < b_end; k++) {
                tpl_charge(c, 1);
                if (b < b_end && (a == a_end || less(c, from[b], from[a], arg)))
                    to[k] = from[b++];
                else
                    to[k] = from[a++];
            }
        }
        struct val *swap = from;
        from = to;
        to = swap;
    }
    if (from != v)
        memcpy(v, from, n * sizeof *v);
}
