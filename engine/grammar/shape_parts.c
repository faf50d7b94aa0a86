/* engine/grammar/shape_parts.c - what a schema says of arrays and objects, laid over shapes. */
#include "engine/grammar/inside.h"

#include <string.h>

/* ---- arrays ---------------------------------------------------------------------------------- */

/* The items' terms of one schema. `items` as a list is draft-07's way to write prefixItems. */
static int read_items(struct grammar *g, const json_t *v, const char *path, struct arr_rule *r,
                      bool *some, struct err *e)
{
    const json_t *prefix = json_object_get(v, "prefixItems"), *items = json_object_get(v, "items");
    const char *prefix_word = "prefixItems", *rest_word = "items";
    *some = false;
    r->rest = TERM_ANY;
    if (json_is_array(items)) {
        prefix = items;
        prefix_word = "items";
        items = json_object_get(v, "additionalItems");
        rest_word = "additionalItems";
    }
    if (prefix) {
        if (!json_is_array(prefix))
            return bad_schema(e, path, "prefixItems must be an array");
        const size_t n = json_array_size(prefix);
        term_id *t = arena_alloc(&g->arena, (n + 1) * sizeof *t, 4);
        if (!t)
            return err_set(e, ERR_MEMORY, "out of memory");
        for (size_t i = 0; i < n; i++)
            if (term_of_schema(g, json_array_get(prefix, i),
                               path_index(g, path_add(g, path, prefix_word), i), false, &t[i],
                               e) != 0)
                return -1;
        r->prefix = t;
        r->n_prefix = n;
        *some = true;
    }
    if (items) {
        if (term_of_schema(g, items, path_add(g, path, rest_word), false, &r->rest, e) != 0)
            return -1;
        *some = true;
    }
    return 0;
}

int refine_array(struct grammar *g, struct shapes *s, const json_t *v, const char *path,
                 struct err *e)
{
    const json_t *least = json_object_get(v, "minItems"), *most = json_object_get(v, "maxItems"),
                 *unique = json_object_get(v, "uniqueItems"), *has = json_object_get(v, "contains");
    struct arr_rule rule = {0};
    struct contains c = {.what = TERM_ANY, .not_what = TERM_ANY, .least = 1, .most = NO_END};
    bool some;
    uint32_t lo = 0, hi = NO_END;
    if (read_items(g, v, path, &rule, &some, e) != 0 ||
        (least && count_of(least, path, &lo, e) != 0) ||
        (most && count_of(most, path, &hi, e) != 0))
        return -1;
    if (unique && !json_is_boolean(unique))
        return bad_schema(e, path, "uniqueItems must be a boolean");
    if (has) {
        const json_t *c_least = json_object_get(v, "minContains"),
                     *c_most = json_object_get(v, "maxContains");
        const char *at = path_add(g, path, "contains");
        if ((c_least && count_of(c_least, path, &c.least, e) != 0) ||
            (c_most && count_of(c_most, path, &c.most, e) != 0) ||
            term_of_schema(g, has, at, false, &c.what, e) != 0 ||
            (c.most != NO_END && term_of_schema(g, has, at, true, &c.not_what, e) != 0))
            return -1;
    }
    for (size_t i = 0; i < s->n; i++) {
        struct shape *x = &s->v[i];
        x->least_items = lo > x->least_items ? lo : x->least_items;
        x->most_items = hi < x->most_items ? hi : x->most_items;
        x->unique |= json_is_true(unique);
        x->looks_array |= some || least || most || unique || has;
        if (some) {
            struct arr_rule *r = arena_alloc(&g->arena, sizeof *r, 8);
            if (!r)
                return err_set(e, ERR_MEMORY, "out of memory");
            *r = rule;
            r->next = x->arr;
            x->arr = r;
        }
        if (has && (c.least || c.most != NO_END)) {
            struct contains *r = arena_alloc(&g->arena, sizeof *r, 8);
            if (!r)
                return err_set(e, ERR_MEMORY, "out of memory");
            *r = c;
            r->next = x->contains;
            x->contains = r;
        }
    }
    return 0;
}

/* ---- objects --------------------------------------------------------------------------------- */

static int each_is_schema(const json_t *map, const char *word, const char *path, struct err *e)
{
    const char *key;
    json_t *v;
    if (map && !json_is_object(map))
        return bad_schema(e, path, "%s must be an object", word);
    json_object_foreach((json_t *)(uintptr_t)map, key,
                        v) if (!json_is_object(v) &&
                               !json_is_boolean(v)) return bad_schema(e, path,
                                                                      "%s.%.60s must be a schema",
                                                                      word, key);
    return 0;
}

int need(struct grammar *g, struct shape *x, const char *name, term_id t, bool required,
         struct err *e)
{
    struct prop_rule *r = arena_alloc(&g->arena, sizeof *r, 8);
    if (!r)
        return err_set(e, ERR_MEMORY, "out of memory");
    *r = (struct prop_rule){x->prop, name, t, required};
    x->prop = r;
    return 0;
}

int refine_object(struct grammar *g, struct shapes *s, const json_t *v, const char *path,
                  struct err *e)
{
    const json_t *props = json_object_get(v, "properties"),
                 *patterns = json_object_get(v, "patternProperties"),
                 *rest = json_object_get(v, "additionalProperties"),
                 *required = json_object_get(v, "required"),
                 *names = json_object_get(v, "propertyNames"),
                 *least = json_object_get(v, "minProperties"),
                 *most = json_object_get(v, "maxProperties");
    struct obj_rule rule = {
        .props = props, .patterns = patterns, .rest = TERM_ANY, .has_rest = rest != NULL};
    term_id name_term = TERM_ANY;
    uint32_t lo = 0, hi = NO_END;
    if (each_is_schema(props, "properties", path, e) != 0 ||
        each_is_schema(patterns, "patternProperties", path, e) != 0 ||
        (least && count_of(least, path, &lo, e) != 0) ||
        (most && count_of(most, path, &hi, e) != 0) ||
        (rest && term_of_schema(g, rest, path_add(g, path, "additionalProperties"), false,
                                &rule.rest, e) != 0) ||
        (names &&
         term_of_schema(g, names, path_add(g, path, "propertyNames"), false, &name_term, e) != 0))
        return -1;
    if (required && !json_is_array(required))
        return bad_schema(e, path, "required must be an array");
    for (size_t k = 0; k < json_array_size(required); k++)
        if (!json_is_string(json_array_get(required, k)))
            return bad_schema(e, path, "required must be an array of strings");
    const bool some = props || patterns || rest;
    if (props || patterns) { /* paths of the schemas inside, for messages */
        const char *key;
        json_t *one;
        uint32_t id;
        json_object_foreach((json_t *)(uintptr_t)props, key,
                            one) if (json_is_object(one) &&
                                     schema_of(g, one,
                                               path_add(g, path_add(g, path, "properties"), key),
                                               &id, e) != 0) return -1;
        json_object_foreach(
            (json_t *)(uintptr_t)patterns, key,
            one) if (json_is_object(one) &&
                     schema_of(g, one, path_add(g, path_add(g, path, "patternProperties"), key),
                               &id, e) != 0) return -1;
    }
    for (size_t i = 0; i < s->n; i++) {
        struct shape *x = &s->v[i];
        x->least_props = lo > x->least_props ? lo : x->least_props;
        x->most_props = hi < x->most_props ? hi : x->most_props;
        x->looks_object |= some || required || names || least || most;
        if (some) {
            struct obj_rule *r = arena_alloc(&g->arena, sizeof *r, 8);
            if (!r)
                return err_set(e, ERR_MEMORY, "out of memory");
            *r = rule;
            r->next = x->obj;
            x->obj = r;
        }
        for (size_t k = 0; k < json_array_size(required); k++)
            if (need(g, x, json_string_value(json_array_get(required, k)), TERM_ANY, true, e) != 0)
                return -1;
        if (names) {
            struct names_rule *r = arena_alloc(&g->arena, sizeof *r, 8);
            if (!r)
                return err_set(e, ERR_MEMORY, "out of memory");
            *r = (struct names_rule){x->names, name_term};
            x->names = r;
        }
    }
    return 0;
}

/* Where A is there, so are its list, or a schema holds: A is missing, or all of that. */
int refine_depends(struct grammar *g, struct shapes *s, const json_t *map, const char *word,
                   const char *path, int depth, struct err *e)
{
    const char *key;
    json_t *v;
    if (map && !json_is_object(map))
        return bad_schema(e, path, "%s must be an object", word);
    json_object_foreach((json_t *)(uintptr_t)map, key, v)
    {
        struct shapes with = {0};
        int rc = shapes_copy(&with, s, e);
        for (size_t i = 0; rc == 0 && i < with.n; i++) {
            with.v[i].looks_object = true;
            with.v[i].kinds &= K_OBJ;
            rc = need(g, &with.v[i], key, TERM_ANY, true, e);
            for (size_t k = 0; rc == 0 && json_is_array(v) && k < json_array_size(v); k++) {
                const char *name = json_string_value(json_array_get(v, k));
                rc = name ? need(g, &with.v[i], name, TERM_ANY, true, e)
                          : bad_schema(e, path, "%s must hold arrays of strings", word);
            }
        }
        shapes_sweep(&with);
        if (rc == 0 && !json_is_array(v))
            rc = refine_json(g, &with, v, path_add(g, path_add(g, path, word), key), false,
                             depth + 1, e);
        for (size_t i = 0; rc == 0 && i < s->n; i++) {
            s->v[i].looks_object = true;
            rc = need(g, &s->v[i], key, TERM_NONE, false, e);
        }
        if (rc == 0)
            rc = shapes_copy(s, &with, e);
        shapes_free(&with);
        if (rc != 0)
            return -1;
    }
    return 0;
}
