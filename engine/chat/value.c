/* engine/chat/value.c - values of the template language: making them, lists, dicts, iteration.
 *
 * A dict keeps the order of insertion and looks through its entries while it is small; from nine
 * on it has an index with open addressing. Long probes cost steps, so keys chosen to collide
 * meet the step limit and not the patience of other clients. */
#include <string.h>
#include "engine/chat/template.h"

const struct val tpl_none = {.type = T_NONE};

struct val tpl_bool(bool b)
{
    return (struct val){.type = T_BOOL, .b = b};
}

struct val tpl_int(int64_t i)
{
    return (struct val){.type = T_INT, .i = i};
}

struct val tpl_float(double f)
{
    return (struct val){.type = T_FLOAT, .f = f};
}

/* ---- undefined ------------------------------------------------------------------------------- */

struct val tpl_undef(void)
{
    return (struct val){.type = T_UNDEF};
}

struct val tpl_undef_name(struct tpl *c, struct str *name)
{
    struct undef *u = tpl_alloc(c, sizeof *u);
    u->name = tpl_str_val(name);
    return (struct val){.type = T_UNDEF, .u = u};
}

struct val tpl_undef_attr(struct tpl *c, struct val obj, struct val name)
{
    struct undef *u = tpl_alloc(c, sizeof *u);
    u->has_obj = true;
    u->obj = obj;
    u->name = name;
    return (struct val){.type = T_UNDEF, .u = u};
}

void tpl_undef_fail(struct tpl *c, struct val v)
{
    const struct undef *u = v.u;
    if (!u)
        tpl_fail(c, "a value is undefined");
    struct str *name = tpl_to_str(c, u->name);
    int n = (int)(name->n < 200 ? name->n : 200);
    if (u->hint)
        tpl_fail(c, "%s '%.*s' was not provided", u->hint, n, name->p);
    if (u->unsafe)
        tpl_fail(c, "access to attribute '%.*s' of '%s' object is unsafe.", n, name->p,
                 tpl_type_name(u->obj));
    if (!u->has_obj)
        tpl_fail(c, "'%.*s' is undefined", n, name->p);
    if (u->name.type == T_STR)
        tpl_fail(c, "'%s' has no attribute '%.*s'", tpl_type_name_of(c, u->obj), n, name->p);
    tpl_fail(c, "%s has no element %.*s", tpl_type_name_of(c, u->obj), n, name->p);
}

/* ---- lists ----------------------------------------------------------------------------------- */

struct list *tpl_list(struct tpl *c, enum list_kind kind, size_t cap)
{
    struct list *l = tpl_alloc(c, sizeof *l);
    l->kind = kind;
    if (cap) {
        size_t n;
        if (size_mul(&n, cap, sizeof *l->v))
            tpl_fail(c, "more than %zu MiB of memory", TPL_MAX_MEMORY >> 20);
        l->v = tpl_alloc(c, n);
        l->cap = cap;
    }
    return l;
}

void tpl_list_add(struct tpl *c, struct list *l, struct val v)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 4;
        l->v = tpl_grow(c, l->v, l->n * sizeof *l->v, cap * sizeof *l->v);
        l->cap = cap;
    }
    l->v[l->n++] = v;
}

struct val tpl_list_val(struct list *l)
{
    return (struct val){.type = T_LIST, .l = l};
}

struct val tpl_pair(struct tpl *c, struct val a, struct val b)
{
    struct list *l = tpl_list(c, L_TUPLE, 2);
    l->v[0] = a;
    l->v[1] = b;
    l->n = 2;
    return tpl_list_val(l);
}

/* ---- dicts ----------------------------------------------------------------------------------- */

struct dict *tpl_dict(struct tpl *c)
{
    return tpl_alloc(c, sizeof(struct dict));
}

struct val tpl_dict_val(struct dict *d)
{
    return (struct val){.type = T_DICT, .d = d};
}

static bool same_key(struct tpl *c, struct val a, struct val b)
{
    return tpl_equal(c, a, b); /* costs steps by the length of a text */
}

/* The place of the key in d->e, or SIZE_MAX. */
static size_t dict_place(struct tpl *c, const struct dict *d, struct val key, uint32_t hash)
{
    if (!d->index) {
        for (size_t i = 0; i < d->n; i++)
            if (d->e[i].hash == hash && same_key(c, d->e[i].key, key))
                return i;
        return SIZE_MAX;
    }
    size_t mask = d->n_index - 1;
    for (size_t i = hash & mask, probes = 0;; i = (i + 1) & mask, probes++) {
        uint32_t at = d->index[i];
        if (!at)
            return SIZE_MAX;
        if (d->e[at - 1].hash == hash && same_key(c, d->e[at - 1].key, key))
            return at - 1;
        if ((probes & 15) == 15)
            tpl_charge(c, 1);
    }
}

static void dict_index(struct tpl *c, struct dict *d)
{
    size_t n = 32;
    while (n < d->cap * 2)
        n *= 2;
    tpl_charge(c, d->n / 8);
    d->index = tpl_alloc(c, n * sizeof *d->index);
    d->n_index = n;
    for (size_t k = 0; k < d->n; k++) {
        size_t i = d->e[k].hash & (n - 1);
        for (size_t probes = 0; d->index[i]; i = (i + 1) & (n - 1), probes++)
            if ((probes & 15) == 15)
                tpl_charge(c, 1);
        d->index[i] = (uint32_t)k + 1;
    }
}

struct val *tpl_dict_find(struct tpl *c, const struct dict *d, struct val key)
{
    if (!d->n)
        return NULL;
    size_t i = dict_place(c, d, key, tpl_hash(c, key));
    return i == SIZE_MAX ? NULL : &d->e[i].value;
}

struct val *tpl_dict_find_str(struct tpl *c, const struct dict *d, struct str *key)
{
    return tpl_dict_find(c, d, tpl_str_val(key));
}

void tpl_dict_set(struct tpl *c, struct dict *d, struct val key, struct val v)
{
    uint32_t hash = tpl_hash(c, key);
    size_t i = d->n ? dict_place(c, d, key, hash) : SIZE_MAX;
    if (i != SIZE_MAX) {
        d->e[i].value = v;
        return;
    }
    if (d->n == d->cap) {
        size_t cap = d->cap ? d->cap * 2 : 4;
        if (cap > UINT32_MAX / 4)
            tpl_fail(c, "a dict has too many keys");
        d->e = tpl_grow(c, d->e, d->n * sizeof *d->e, cap * sizeof *d->e);
        d->cap = cap;
        d->index = NULL;
    }
    d->e[d->n++] = (struct entry){key, v, hash};
    if (d->n > 8 && !d->index) {
        dict_index(c, d);
    } else if (d->index) {
        size_t at = hash & (d->n_index - 1);
        for (size_t probes = 0; d->index[at]; at = (at + 1) & (d->n_index - 1), probes++)
            if ((probes & 15) == 15)
                tpl_charge(c, 1);
        d->index[at] = (uint32_t)d->n;
    }
}

bool tpl_dict_drop(struct tpl *c, struct dict *d, struct val key)
{
    size_t i = d->n ? dict_place(c, d, key, tpl_hash(c, key)) : SIZE_MAX;
    if (i == SIZE_MAX)
        return false;
    tpl_charge(c, d->n / 8);
    memmove(d->e + i, d->e + i + 1, (d->n - i - 1) * sizeof *d->e);
    d->n--;
    d->index = NULL;
    if (d->n > 8)
        dict_index(c, d);
    return true;
}

/* ---- what a value is ------------------------------------------------------------------------- */

bool tpl_truth(struct val v)
{
    switch (v.type) {
    case T_ABSENT:
    case T_UNDEF:
    case T_NONE: return false;
    case T_BOOL: return v.b;
    case T_INT: return v.i != 0;
    case T_FLOAT: return v.f != 0;
    case T_STR: return v.s->n != 0;
    case T_LIST: return v.l->kind == L_GEN || v.l->n != 0;
    case T_DICT: return v.d->n != 0;
    case T_RANGE: return v.r->n != 0;
    default: return true;
    }
}

bool tpl_is_number(struct val v)
{
    return v.type == T_BOOL || v.type == T_INT || v.type == T_FLOAT;
}

double tpl_number(struct val v)
{
    return v.type == T_BOOL ? (double)v.b : v.type == T_INT ? (double)v.i : v.f;
}

const char *tpl_type_name(struct val v)
{
    switch (v.type) {
    case T_UNDEF: return "Undefined";
    case T_NONE: return "NoneType";
    case T_BOOL: return "bool";
    case T_INT:
    case T_BIG: return "int";
    case T_FLOAT: return "float";
    case T_STR: return v.s->safe ? "Markup" : "str";
    case T_DICT: return "dict";
    case T_RANGE: return "range";
    case T_SPACE: return "Namespace";
    case T_MACRO: return "Macro";
    case T_FUNC: return "function";
    case T_METHOD: return "builtin_function_or_method";
    case T_LOOP: return "LoopContext";
    case T_CYCLER: return "Cycler";
    case T_JOINER: return "Joiner";
    case T_LIST: break;
    default: return "absent";
    }
    switch (v.l->kind) {
    case L_LIST: return "list";
    case L_TUPLE: return "tuple";
    case L_ITEMS: return "dict_items";
    case L_KEYS: return "dict_keys";
    case L_VALUES: return "dict_values";
    case L_GROUP: return "_GroupTuple";
    default: return "generator";
    }
}

const char *tpl_type_name_of(struct tpl *c, struct val v)
{
    if (v.type == T_NONE)
        return "None";
    const char *name = tpl_type_name(v);
    const char *module = v.type == T_SPACE ? "jinja2.utils." : "";
    size_t n = strlen(module) + strlen(name) + sizeof " object";
    char *p = tpl_bytes(c, n);
    memcpy(p, module, strlen(module));
    memcpy(p + strlen(module), name, strlen(name));
    memcpy(p + strlen(module) + strlen(name), " object", sizeof " object");
    return p;
}

bool tpl_is_iterable(struct val v)
{
    return v.type == T_LIST || v.type == T_STR || v.type == T_DICT || v.type == T_RANGE ||
           v.type == T_UNDEF;
}

static struct list *chars_of(struct tpl *c, struct str *s)
{
    size_t n = tpl_str_chars(c, s);
    if (n > TPL_MAX_ITEMS)
        tpl_fail(c, "a loop over more than %d items", TPL_MAX_ITEMS);
    tpl_charge(c, n / 8);
    struct list *l = tpl_list(c, L_LIST, n);
    for (size_t i = 0; i < s->n;) {
        size_t k = i + 1;
        while (k < s->n && ((unsigned char)s->p[k] & 0xc0) == 0x80)
            k++;
        struct str *one = tpl_str_part(c, s, i, k);
        one->safe = false; /* Python's Markup yields plain characters */
        tpl_list_add(c, l, tpl_str_val(one));
        i = k;
    }
    return l;
}

struct list *tpl_items(struct tpl *c, struct val v)
{
    struct list *l;
    switch (v.type) {
    case T_LIST:
        if (v.l->kind != L_GEN)
            return v.l;
        l = tpl_list(c, L_LIST, 0);
        l->n = l->cap = v.l->n - v.l->taken;
        l->v = l->n ? v.l->v + v.l->taken : NULL;
        v.l->taken = v.l->n;
        return l;
    case T_STR: return chars_of(c, v.s);
    case T_UNDEF: return tpl_list(c, L_LIST, 0);
    case T_DICT:
        tpl_charge(c, v.d->n / 8);
        l = tpl_list(c, L_LIST, v.d->n);
        for (size_t i = 0; i < v.d->n; i++)
            l->v[l->n++] = v.d->e[i].key;
        return l;
    case T_RANGE:
        tpl_charge(c, v.r->n / 8);
        l = tpl_list(c, L_LIST, v.r->n);
        for (size_t i = 0; i < v.r->n; i++)
            l->v[l->n++] = tpl_int(v.r->start + (int64_t)i * v.r->step);
        return l;
    default: tpl_fail(c, "'%s' object is not iterable", tpl_type_name(v));
    }
}

size_t tpl_len(struct tpl *c, struct val v)
{
    switch (v.type) {
    case T_LIST: return v.l->n - v.l->taken;
    case T_STR: return tpl_str_chars(c, v.s);
    case T_UNDEF: return 0;
    case T_DICT: return v.d->n;
    case T_RANGE: return v.r->n;
    default: tpl_fail(c, "object of type '%s' has no len()", tpl_type_name(v));
    }
}

int64_t tpl_to_index(struct tpl *c, struct val v)
{
    if (v.type == T_INT)
        return v.i;
    if (v.type == T_BOOL)
        return v.b;
    tpl_need_defined(c, v);
    tpl_fail(c, "'%s' object cannot be interpreted as an integer", tpl_type_name(v));
}
