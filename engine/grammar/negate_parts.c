/* engine/grammar/negate_parts.c - the contrary of what a schema says of arrays and objects. */
#include "engine/grammar/negate.h"

#include <string.h>

/* ---- arrays ---------------------------------------------------------------------------------- */

static int add_contains(const struct contrary *c, term_id what, term_id not_what, uint32_t least,
                        uint32_t most)
{
    struct shapes one;
    if (not_begin(c, K_ARR, &one) != 0)
        return -1;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < one.n; i++) {
        struct contains *r = not_rule(c, sizeof *r);
        if (!r) {
            rc = -1;
            break;
        }
        *r = (struct contains){one.v[i].contains, what, not_what, least, most};
        one.v[i].contains = r;
    }
    return not_finish(c, &one, rc);
}

/* Item k breaks its own schema: there are k + 1 items and more. */
static int not_item(const struct contrary *c, size_t k, term_id t)
{
    struct shapes one;
    if (not_begin(c, K_ARR, &one) != 0)
        return -1;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < one.n; i++) {
        struct arr_rule *r = not_rule(c, sizeof *r);
        term_id *prefix = not_rule(c, (k + 1) * sizeof *prefix);
        if (!r || !prefix) {
            rc = -1;
            break;
        }
        for (size_t m = 0; m < k; m++)
            prefix[m] = TERM_ANY;
        prefix[k] = t;
        *r = (struct arr_rule){one.v[i].arr, k + 1, prefix, TERM_ANY};
        one.v[i].arr = r;
        if (one.v[i].least_items < k + 1)
            one.v[i].least_items = (uint32_t)k + 1;
    }
    return not_finish(c, &one, rc);
}

int not_array(const struct contrary *c)
{
    const json_t *prefix = json_object_get(c->v, "prefixItems"),
                 *rest = json_object_get(c->v, "items"), *has = json_object_get(c->v, "contains");
    const char *word = "items";
    term_id t;
    if (json_is_array(rest)) {
        prefix = rest;
        rest = json_object_get(c->v, "additionalItems");
        word = "additionalItems";
    }
    if (not_counts(c, "minItems", "maxItems", K_ARR) != 0)
        return -1;
    const size_t n = json_array_size(prefix);
    for (size_t i = 0; i < n; i++) {
        if (term_of_schema(c->g, json_array_get(prefix, i), path_index(c->g, c->path, i), true, &t,
                           c->e) != 0)
            return -1;
        if (t != TERM_NONE && not_item(c, i, t) != 0)
            return -1;
    }
    if (rest) {
        if (term_of_schema(c->g, rest, path_add(c->g, c->path, word), true, &t, c->e) != 0)
            return -1;
        if (t == TERM_ANY && not_item(c, n, TERM_ANY) != 0) /* false: any item too many */
            return -1;
        if (t != TERM_ANY && t != TERM_NONE) {
            if (n && shapes_have(c->from, K_ARR))
                return cannot(c->e, word, c->path);
            if (add_contains(c, t, TERM_ANY, 1, NO_END) != 0)
                return -1;
        }
    }
    if (json_is_true(json_object_get(c->v, "uniqueItems")) && shapes_have(c->from, K_ARR))
        return cannot(c->e, "uniqueItems", c->path);
    if (has) {
        const json_t *x;
        term_id what, no;
        uint32_t least = 1, most = NO_END;
        const char *at = path_add(c->g, c->path, "contains");
        if (((x = json_object_get(c->v, "minContains")) &&
             count_of(x, c->path, &least, c->e) != 0) ||
            ((x = json_object_get(c->v, "maxContains")) &&
             count_of(x, c->path, &most, c->e) != 0) ||
            term_of_schema(c->g, has, at, false, &what, c->e) != 0 ||
            term_of_schema(c->g, has, at, true, &no, c->e) != 0)
            return -1;
        if (least && add_contains(c, what, no, 0, least - 1) != 0)
            return -1;
        if (most != NO_END && add_contains(c, what, TERM_ANY, most + 1, NO_END) != 0)
            return -1;
    }
    return 0;
}

/* ---- objects --------------------------------------------------------------------------------- */

/* Objects that have `with` (or not: NULL) obeying t, and have not `without`. */
static int add_props(const struct contrary *c, const char *with, term_id t, const char *without)
{
    struct shapes one;
    if (not_begin(c, K_OBJ, &one) != 0)
        return -1;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < one.n; i++) {
        struct prop_rule *r = not_rule(c, 2 * sizeof *r);
        if (!r) {
            rc = -1;
            break;
        }
        const struct prop_rule *top = one.v[i].prop;
        if (with) {
            r[0] = (struct prop_rule){top, with, t, true};
            top = &r[0];
        }
        if (without) {
            r[1] = (struct prop_rule){top, without, TERM_NONE, false};
            top = &r[1];
        }
        one.v[i].prop = top;
    }
    return not_finish(c, &one, rc);
}

/* Objects with some property whose key is of `keys` and that obeys t. */
static int add_some(const struct contrary *c, const struct dfa *keys, term_id t)
{
    struct shapes one;
    if (!keys || not_begin(c, K_OBJ, &one) != 0)
        return -1;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < one.n; i++) {
        struct some_rule *r = not_rule(c, sizeof *r);
        if (!r) {
            rc = -1;
            break;
        }
        *r = (struct some_rule){one.v[i].some, keys, t};
        one.v[i].some = r;
    }
    return not_finish(c, &one, rc);
}

/* `key` is there, and the schema that depends on it is broken. */
static int not_dependent(const struct contrary *c, const char *word, const char *key,
                         const json_t *v)
{
    struct shapes one;
    if (not_begin(c, K_OBJ, &one) != 0)
        return -1;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < one.n; i++)
        rc = need(c->g, &one.v[i], key, TERM_ANY, true, c->e);
    if (rc == 0)
        rc = refine_json(c->g, &one, v, path_add(c->g, path_add(c->g, c->path, word), key), true,
                         c->depth + 1, c->e);
    return not_finish(c, &one, rc);
}

/* Some key that no property and no pattern of the schema speaks of. */
static int not_rest(const struct contrary *c, const json_t *rest)
{
    const json_t *props = json_object_get(c->v, "properties"),
                 *patterns = json_object_get(c->v, "patternProperties");
    struct arena *a = &c->g->arena;
    const struct dfa *keys = dfa_all(a, c->e);
    struct err why = {0};
    const char *key;
    json_t *x;
    term_id t;
    if (term_of_schema(c->g, rest, path_add(c->g, c->path, "additionalProperties"), true, &t,
                       c->e) != 0)
        return -1;
    if (t == TERM_NONE || !shapes_have(c->from, K_OBJ))
        return 0;
    json_object_foreach((json_t *)(uintptr_t)props, key, x)
    {
        const struct text word = {key, strlen(key)};
        const struct dfa *d = keys ? dfa_words(a, &word, 1, c->e) : NULL;
        keys = d ? dfa_merge(a, keys, d, DFA_BUT, c->e) : NULL;
    }
    json_object_foreach((json_t *)(uintptr_t)patterns, key, x)
    {
        const struct dfa *d = keys ? regex_compile(a, key, strlen(key), &why) : NULL;
        if (why.code)
            return cannot(c->e, "patternProperties", c->path);
        keys = d && keys->start != DFA_DEAD ? dfa_merge(a, keys, d, DFA_BUT, c->e) : keys;
    }
    return keys && keys->start == DFA_DEAD ? 0 : add_some(c, keys, t);
}

static int not_names(const struct contrary *c)
{
    const json_t *names = json_object_get(c->v, "propertyNames"),
                 *patterns = json_object_get(c->v, "patternProperties");
    struct arena *a = &c->g->arena;
    const char *key;
    json_t *x;
    term_id t;
    if (!shapes_have(c->from, K_OBJ))
        return 0;
    json_object_foreach((json_t *)(uintptr_t)patterns, key, x)
    {
        struct err why = {0};
        const char *at = path_add(c->g, path_add(c->g, c->path, "patternProperties"), key);
        if (term_of_schema(c->g, x, at, true, &t, c->e) != 0)
            return -1;
        const struct dfa *d = regex_compile(a, key, strlen(key), &why);
        if (why.code)
            return cannot(c->e, "patternProperties", c->path);
        if (t != TERM_NONE && d->start != DFA_DEAD && add_some(c, d, t) != 0)
            return -1;
    }
    if (!names)
        return 0;
    if (term_of_schema(c->g, names, path_add(c->g, c->path, "propertyNames"), false, &t, c->e) != 0)
        return -1;
    const struct dfa *good = names_dfa(c->g, t, c->path, c->e), *bad = dfa_all(a, c->e);
    if (!good || !bad ||
        (good->start != DFA_DEAD && !(bad = dfa_merge(a, bad, good, DFA_BUT, c->e))))
        return -1;
    return bad->start == DFA_DEAD ? 0 : add_some(c, bad, TERM_ANY);
}

int not_object(const struct contrary *c)
{
    static const char *const depends[] = {"dependentRequired", "dependentSchemas", "dependencies"};
    const json_t *props = json_object_get(c->v, "properties"),
                 *required = json_object_get(c->v, "required"),
                 *rest = json_object_get(c->v, "additionalProperties");
    const char *key;
    json_t *x;
    if (not_counts(c, "minProperties", "maxProperties", K_OBJ) != 0)
        return -1;
    json_object_foreach((json_t *)(uintptr_t)props, key, x)
    {
        term_id t;
        if (term_of_schema(c->g, x, path_add(c->g, path_add(c->g, c->path, "properties"), key),
                           true, &t, c->e) != 0)
            return -1;
        if (t != TERM_NONE && add_props(c, key, t, NULL) != 0)
            return -1;
    }
    for (size_t i = 0; i < json_array_size(required); i++) {
        const char *name = json_string_value(json_array_get(required, i));
        if (!name)
            return bad_schema(c->e, c->path, "required must be an array of strings");
        if (add_props(c, NULL, TERM_ANY, name) != 0)
            return -1;
    }
    for (size_t w = 0; w < sizeof depends / sizeof *depends; w++) {
        json_object_foreach(json_object_get(c->v, depends[w]), key, x)
        {
            if (!json_is_array(x) && not_dependent(c, depends[w], key, x) != 0)
                return -1;
            for (size_t i = 0; i < json_array_size(x); i++) {
                const char *name = json_string_value(json_array_get(x, i));
                if (name && add_props(c, key, TERM_ANY, name) != 0)
                    return -1;
            }
        }
    }
    if (rest && not_rest(c, rest) != 0)
        return -1;
    return not_names(c);
}
