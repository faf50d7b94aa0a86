/* engine/chat/go_value.c - values of a Go template: from JSON, maps in order, truth, names of
 * types. */
#include <stdlib.h>
#include <string.h>
#include "engine/chat/go.h"

struct gv go_string(struct str *s)
{
    return (struct gv){.type = GO_STRING, .s = s};
}

struct gv go_int(int64_t i)
{
    return (struct gv){.type = GO_INT, .i = i};
}

struct gv go_bool(bool b)
{
    return (struct gv){.type = GO_BOOL, .b = b};
}

struct gv go_float(double f)
{
    return (struct gv){.type = GO_FLOAT, .f = f};
}

static int compare_str(const struct str *a, const struct str *b)
{
    size_t n = a->n < b->n ? a->n : b->n;
    int d = n ? memcmp(a->p, b->p, n) : 0;
    return d ? d : a->n < b->n ? -1 : a->n > b->n;
}

static int by_key(const void *a, const void *b)
{
    const struct go_pair *x = a, *y = b;
    return compare_str(x->key, y->key);
}

struct gv go_map_of(struct tpl *c, const char *type, size_t n)
{
    struct go_map *m = tpl_alloc(c, sizeof *m);
    m->type = type;
    m->n = n;
    m->e = tpl_alloc(c, n * sizeof *m->e);
    return (struct gv){.type = GO_MAP, .m = m};
}

void go_map_sort(struct go_map *m)
{
    for (size_t i = 0; i < m->n; i++)
        m->e[i].rank = i;
    if (m->n > 1)
        qsort(m->e, m->n, sizeof *m->e, by_key);
}

const struct gv *go_map_find(const struct go_map *m, const struct str *key)
{
    size_t lo = 0, hi = m->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int d = compare_str(m->e[mid].key, key);
        if (!d)
            return &m->e[mid].v;
        if (d < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

struct gv go_any(struct tpl *c, const json_t *j)
{
    struct gv v = {.type = GO_NIL};
    if (++c->value_depth > TPL_MAX_VALUE_DEPTH)
        tpl_fail(c, "values nested deeper than %d", TPL_MAX_VALUE_DEPTH);
    tpl_charge(c, 1);
    switch (j ? json_typeof(j) : JSON_NULL) {
    case JSON_TRUE:
        v = go_bool(true);
        break;
    case JSON_FALSE:
        v = go_bool(false);
        break;
    case JSON_INTEGER:
        v = go_float((double)json_integer_value(j));
        break;
    case JSON_REAL:
        v = go_float(json_real_value(j));
        break;
    case JSON_STRING:
        v = go_string(tpl_str(c, json_string_value(j), json_string_length(j), false));
        break;
    case JSON_ARRAY: {
        struct go_list *l = tpl_alloc(c, sizeof *l);
        l->type = "[]interface {}";
        l->n = json_array_size(j);
        l->v = tpl_alloc(c, l->n * sizeof *l->v);
        for (size_t i = 0; i < l->n; i++)
            l->v[i] = go_any(c, json_array_get(j, i));
        v = (struct gv){.type = GO_LIST, .l = l};
        break;
    }
    case JSON_OBJECT: {
        size_t i = 0;
        v = go_map_of(c, "map[string]interface {}", json_object_size(j));
        json_t *o = (json_t *)(uintptr_t)j; /* its iterators have no const, and change nothing */
        for (void *it = json_object_iter(o); it; it = json_object_iter_next(o, it)) {
            const char *key = json_object_iter_key(it);
            v.m->e[i].key = tpl_str(c, key, json_object_iter_key_len(it), false);
            v.m->e[i++].v = go_any(c, json_object_iter_value(it));
        }
        go_map_sort(v.m);
        break;
    }
    default:
        break;
    }
    v.face = true;
    c->value_depth--;
    return v;
}

bool go_truth(struct gv v)
{
    switch (v.type) {
    case GO_BOOL:
        return v.b;
    case GO_INT:
    case GO_BYTE:
        return v.i != 0;
    case GO_FLOAT:
        return v.f != 0;
    case GO_COMPLEX:
        return v.z[0] != 0 || v.z[1] != 0;
    case GO_STRING:
        return v.s->n > 0;
    case GO_LIST:
        return v.l->n > 0;
    case GO_MAP:
        return v.m->pointer ? !v.m->nil : v.m->n > 0;
    case GO_RECORD:
        return true;
    default:
        return false;
    }
}

const char *go_type_name(struct gv v)
{
    if (v.face)
        return "interface {}";
    switch (v.type) {
    case GO_BOOL:
        return "bool";
    case GO_INT:
        return "int";
    case GO_BYTE:
        return "uint8";
    case GO_FLOAT:
        return "float64";
    case GO_COMPLEX:
        return "complex128";
    case GO_STRING:
        return "string";
    case GO_LIST:
        return v.l->type;
    case GO_MAP:
        return v.m->type;
    case GO_RECORD:
        return v.r->kind->type;
    default:
        return "interface {}";
    }
}

struct gv go_bare(struct gv v)
{
    if (v.type == GO_NIL)
        v.type = GO_INVALID;
    v.face = false;
    return v;
}
