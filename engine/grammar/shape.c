/* engine/grammar/shape.c - what a schema says, laid over shapes.
 *
 * A shape holds what is known of a value, for each type apart: JSON Schema's words speak of one
 * type each and say nothing of the others. `anyOf`, `oneOf`, `if` and `enum` make several shapes of
 * one. The lists of rules in a shape are shared with the shapes that it was copied from, so a copy
 * costs nothing. */
#include "engine/grammar/inside.h"

#include <stdlib.h>
#include <string.h>

int shapes_add(struct shapes *s, const struct shape *v, struct err *e)
{
    if (s->n == MOST_SHAPES)
        return err_set(e, ERR_UNSUPPORTED,
                       "a JSON schema with more than %d alternatives at a place", MOST_SHAPES);
    if (s->n == s->cap) {
        const size_t cap = s->cap ? 2 * s->cap : 4;
        struct shape *p = realloc(s->v, cap * sizeof *p);
        if (!p)
            return err_set(e, ERR_MEMORY, "out of memory");
        s->v = p;
        s->cap = cap;
    }
    s->v[s->n++] = *v;
    return 0;
}

void shapes_free(struct shapes *s)
{
    free(s->v);
    *s = (struct shapes){0};
}

void shapes_sweep(struct shapes *s)
{
    size_t m = 0;
    for (size_t i = 0; i < s->n; i++)
        if (s->v[i].kinds)
            s->v[m++] = s->v[i];
    s->n = m;
}

int shapes_copy(struct shapes *to, const struct shapes *from, struct err *e)
{
    for (size_t i = 0; i < from->n; i++)
        if (shapes_add(to, &from->v[i], e) != 0)
            return -1;
    return 0;
}

int refine_options(struct grammar *g, struct shapes *s, const struct option *o, size_t n, int depth,
                   struct err *e)
{
    struct shapes all = {0};
    int rc = -1;
    for (size_t i = 0; i < n; i++) {
        struct shapes one = {0};
        bool good = shapes_copy(&one, s, e) == 0;
        for (size_t k = 0; good && k < o[i].n; k++)
            good = refine(g, &one, o[i].lits[k], depth + 1, e) == 0;
        good = good && shapes_copy(&all, &one, e) == 0;
        shapes_free(&one);
        if (!good)
            goto done;
    }
    shapes_free(s);
    *s = all;
    all = (struct shapes){0};
    rc = 0;
done:
    shapes_free(&all);
    return rc;
}

uint32_t kinds_of_type(const char *type, bool *integer)
{
    static const struct {
        const char *name;
        uint32_t kinds;
    } types[] = {{"null", K_NULL},  {"boolean", K_TRUE | K_FALSE},
                 {"number", K_NUM}, {"integer", K_NUM},
                 {"string", K_STR}, {"array", K_ARR},
                 {"object", K_OBJ}};
    *integer = strcmp(type, "integer") == 0;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, type) == 0)
            return types[i].kinds;
    return 0;
}

/* A count: an integer of 0 and more (2.0 is one too). */
int count_of(const json_t *v, const char *path, uint32_t *out, struct err *e)
{
    const double d = json_is_number(v) ? json_number_value(v) : -1;
    if (d < 0 || d != (double)(long long)d)
        return bad_schema(e, path, "a count must be an integer of 0 or more");
    *out = d > MOST_LENGTH ? MOST_LENGTH : (uint32_t)d;
    return 0;
}

/* ---- type, enum ------------------------------------------------------------------------------ */

static int refine_type(struct shapes *s, const json_t *v, const char *path, struct err *e)
{
    uint32_t kinds = 0;
    bool number = false, some_integer = false;
    const size_t n = json_is_array(v) ? json_array_size(v) : 1;
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_is_array(v) ? json_array_get(v, i) : v;
        if (!json_is_string(one))
            return bad_schema(e, path, "type must be a string or a list of strings");
        bool integer;
        const uint32_t k = kinds_of_type(json_string_value(one), &integer);
        if (!k)
            return bad_schema(e, path, "unrecognized type %.60s", json_string_value(one));
        kinds |= k;
        some_integer |= integer;
        number |= k == K_NUM && !integer;
    }
    for (size_t i = 0; i < s->n; i++) {
        s->v[i].kinds &= kinds;
        s->v[i].typed = true;
        s->v[i].integer |= some_integer && !number;
    }
    shapes_sweep(s);
    return 0;
}

json_t *value_schema(struct grammar *g, json_t *v)
{
    json_t *parts = json_is_array(v) ? json_array() : json_object(), *names = json_array(), *one;
    const int n = (int)(json_is_array(v) ? json_array_size(v) : json_object_size(v));
    bool good = true;
    const char *key;
    for (size_t i = 0; i < json_array_size(v); i++)
        good &= (one = const_schema(g, json_array_get(v, i))) && !json_array_append(parts, one);
    json_object_foreach(json_is_object(v) ? v : NULL, key, one) good &=
        (one = const_schema(g, one)) && !json_object_set(parts, key, one) &&
        !json_array_append_new(names, json_string(key));
    json_t *s = json_is_array(v)
                    ? json_pack("{s:s, s:i, s:i, s:o}", "type", "array", "minItems", n, "maxItems",
                                n, "prefixItems", parts)
                    : json_pack("{s:s, s:b, s:O, s:o}", "type", "object", "additionalProperties", 0,
                                "required", names, "properties", parts);
    json_decref(names);
    return !s || json_array_append_new(g->made, s) != 0 || !good ? NULL : s;
}

int refine_enum(struct grammar *g, struct shapes *s, const json_t *values, const char *path,
                struct err *e)
{
    const size_t n = json_array_size(values);
    struct text *words = calloc(n + 1, sizeof *words);
    struct num_list *numbers = arena_alloc(&g->arena, sizeof *numbers + n * sizeof *numbers->v, 8);
    struct shapes out = {0};
    uint32_t kinds = 0;
    size_t n_words = 0;
    int rc = -1;
    if (!words || !numbers) {
        err_set(e, ERR_MEMORY, "out of memory");
        goto done;
    }
    for (size_t i = 0; i < n; i++) {
        json_t *v = json_array_get(values, i);
        if (json_is_string(v)) {
            words[n_words++] = (struct text){json_string_value(v), json_string_length(v)};
            kinds |= K_STR;
        } else if (json_is_number(v)) {
            kinds |= K_NUM;
            if (numbers->n == MOST_LISTED) {
                err_set(e, ERR_UNSUPPORTED, "more than %d numbers in an enum at %s", MOST_LISTED,
                        path);
                goto done;
            }
            if (decimal_of(v, &numbers->v[numbers->n++]) != 0) {
                cannot(e, "enum", path);
                goto done;
            }
        } else {
            kinds |= json_is_null(v)    ? K_NULL
                     : json_is_true(v)  ? K_TRUE
                     : json_is_false(v) ? K_FALSE
                                        : 0;
            if (!json_is_array(v) && !json_is_object(v))
                continue;
            struct shapes one = {0};
            json_t *whole = value_schema(g, v);
            const bool good = whole ? shapes_copy(&one, s, e) == 0 &&
                                          refine_json(g, &one, whole, path, false, 0, e) == 0 &&
                                          shapes_copy(&out, &one, e) == 0
                                    : err_set(e, ERR_MEMORY, "out of memory") == 0;
            shapes_free(&one);
            if (!good)
                goto done;
        }
    }
    struct str_rule word_rule = {.dfa = NULL};
    if (n_words && !(word_rule.dfa = dfa_words(&g->arena, words, n_words, e)))
        goto done;
    for (size_t k = 0; k < s->n; k++) {
        struct shape x = s->v[k];
        x.typed = true;
        x.kinds &= kinds;
        if (n_words) {
            struct str_rule *r = arena_alloc(&g->arena, sizeof *r, 8);
            if (!r) {
                err_set(e, ERR_MEMORY, "out of memory");
                goto done;
            }
            *r = (struct str_rule){x.str, word_rule.dfa, false};
            x.str = r;
        }
        if ((x.kinds & K_NUM) && x.num_list) { /* two lists: what both have */
            struct num_list *both =
                arena_alloc(&g->arena, sizeof *both + numbers->n * sizeof *both->v, 8);
            if (!both) {
                err_set(e, ERR_MEMORY, "out of memory");
                goto done;
            }
            for (size_t i = 0; i < numbers->n; i++)
                for (size_t m = 0; m < x.num_list->n; m++)
                    if (decimal_cmp(&numbers->v[i], &x.num_list->v[m]) == 0) {
                        both->v[both->n++] = numbers->v[i];
                        break;
                    }
            x.num_list = both;
            if (!both->n)
                x.kinds &= ~(uint32_t)K_NUM;
        } else if (x.kinds & K_NUM) {
            x.num_list = numbers;
        }
        if (x.kinds && shapes_add(&out, &x, e) != 0)
            goto done;
    }
    shapes_free(s);
    *s = out;
    out = (struct shapes){0};
    rc = 0;
done:
    free(words);
    shapes_free(&out);
    return rc;
}

/* ---- numbers, strings ------------------------------------------------------------------------ */

static int refine_number(struct grammar *g, struct shapes *s, const json_t *v, const char *path,
                         struct err *e)
{
    static const struct {
        const char *name;
        int kind;
    } words[] = {{"minimum", NUM_AT_LEAST},
                 {"maximum", NUM_AT_MOST},
                 {"exclusiveMinimum", NUM_MORE},
                 {"exclusiveMaximum", NUM_LESS},
                 {"multipleOf", NUM_MULTIPLE}};
    for (size_t w = 0; w < sizeof words / sizeof *words; w++) {
        const json_t *x = json_object_get(v, words[w].name);
        struct num_rule rule = {.kind = words[w].kind};
        if (!x)
            continue;
        if (!json_is_number(x))
            return bad_schema(e, path, "%s must be a number", words[w].name);
        if (decimal_of(x, &rule.v) != 0)
            return cannot(e, words[w].name, path);
        if (rule.kind == NUM_MULTIPLE && (rule.v.neg || !rule.v.n))
            return bad_schema(e, path, "multipleOf must be more than 0");
        for (size_t i = 0; i < s->n; i++) {
            struct num_rule *r = arena_alloc(&g->arena, sizeof *r, 8);
            if (!r)
                return err_set(e, ERR_MEMORY, "out of memory");
            *r = rule;
            r->next = s->v[i].num;
            s->v[i].num = r;
        }
    }
    return 0;
}

static int add_str_rule(struct grammar *g, struct shapes *s, const struct dfa *d, struct err *e)
{
    for (size_t i = 0; i < s->n; i++) {
        struct str_rule *r = arena_alloc(&g->arena, sizeof *r, 8);
        if (!r)
            return err_set(e, ERR_MEMORY, "out of memory");
        *r = (struct str_rule){s->v[i].str, d, false};
        s->v[i].str = r;
    }
    return 0;
}

bool shapes_have(const struct shapes *s, uint32_t kind)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->v[i].kinds & kind)
            return true;
    return false;
}

static int refine_string(struct grammar *g, struct shapes *s, const json_t *v, const char *path,
                         struct err *e)
{
    const json_t *least = json_object_get(v, "minLength"), *most = json_object_get(v, "maxLength"),
                 *pattern = json_object_get(v, "pattern"), *format = json_object_get(v, "format");
    uint32_t n = 0;
    if (least) {
        if (count_of(least, path, &n, e) != 0)
            return -1;
        for (size_t i = 0; i < s->n; i++)
            s->v[i].least_len = n > s->v[i].least_len ? n : s->v[i].least_len;
    }
    if (most) {
        if (count_of(most, path, &n, e) != 0)
            return -1;
        for (size_t i = 0; i < s->n; i++)
            s->v[i].most_len = n < s->v[i].most_len ? n : s->v[i].most_len;
    }
    if (pattern) {
        struct err why = {0};
        if (!json_is_string(pattern))
            return bad_schema(e, path, "pattern must be a string");
        const struct dfa *d =
            regex_compile(&g->arena, json_string_value(pattern), json_string_length(pattern), &why);
        if (!d)
            return why.code == ERR_MEMORY
                       ? err_set(e, ERR_MEMORY, "out of memory")
                       : err_set(e, ERR_UNSUPPORTED,
                                 "unsupported JSON schema keyword \"pattern\" at %s/pattern: %s",
                                 path, why.text);
        if (add_str_rule(g, s, d, e) != 0)
            return -1;
    }
    if (format && shapes_have(s, K_STR)) {
        struct err why = {0};
        if (!json_is_string(format))
            return bad_schema(e, path, "format must be a string");
        const struct dfa *d = format_dfa(&g->arena, json_string_value(format), false, &why);
        if (!d && why.code)
            return err_set(e, why.code,
                           "unsupported JSON schema keyword \"format\" at %s/format: %s", path,
                           why.text);
        if (d && add_str_rule(g, s, d, e) != 0)
            return -1;
    }
    return 0;
}

/* ---- schemas of schemas ---------------------------------------------------------------------- */

/* Literals of a list of schemas; boolean members are left out of it: *any says that one is true. */
static int lits_of(struct grammar *g, const json_t *list, const char *word, const char *path,
                   struct lit **out, size_t *n, size_t *n_true, struct err *e)
{
    const size_t size = json_array_size(list);
    *n = *n_true = 0;
    if (!json_is_array(list) || !size)
        return bad_schema(e, path, "%s must be a non-empty array", word);
    *out = arena_alloc(&g->arena, size * sizeof **out, 8);
    if (!*out)
        return err_set(e, ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < size; i++) {
        const json_t *v = json_array_get(list, i);
        if (json_is_boolean(v)) {
            *n_true += json_is_true(v);
            continue;
        }
        if (!json_is_object(v))
            return bad_schema(e, path, "%s must hold schemas", word);
        (*out)[*n].neg = false;
        if (schema_of(g, v, path_index(g, path_add(g, path, word), i), &(*out)[(*n)++].schema, e) !=
            0)
            return -1;
    }
    return 0;
}

static int refine_any_of(struct grammar *g, struct shapes *s, const json_t *list, const char *path,
                         int depth, struct err *e)
{
    struct lit *lits;
    size_t n, n_true;
    if (lits_of(g, list, "anyOf", path, &lits, &n, &n_true, e) != 0)
        return -1;
    if (n_true)
        return 0;
    struct option *o = arena_alloc(&g->arena, (n + 1) * sizeof *o, 8);
    if (!o)
        return err_set(e, ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < n; i++)
        o[i] = (struct option){&lits[i], 1};
    return refine_options(g, s, o, n, depth, e);
}

/* Exactly one: where two can hold together, each says no to the other. */
static int refine_one_of(struct grammar *g, struct shapes *s, const json_t *list, const char *path,
                         int depth, struct err *e)
{
    struct lit *lits;
    size_t n, n_true;
    if (lits_of(g, list, "oneOf", path, &lits, &n, &n_true, e) != 0)
        return -1;
    if (n_true > 1) {
        s->n = 0;
        return 0;
    }
    if (n > 64)
        return cannot(e, "oneOf", path);
    struct option *o = arena_alloc(&g->arena, (n + 1) * sizeof *o, 8);
    struct lit *own = arena_alloc(&g->arena, (n * n + 1) * sizeof *own, 8);
    if (!o || !own)
        return err_set(e, ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < n; i++) { /* with a `true` in the list, only that one may hold */
        o[i] = (struct option){own + i * n, 0};
        if (!n_true)
            o[i].lits[o[i].n++] = lits[i];
    }
    for (size_t i = 0; i < n && !n_true; i++)
        for (size_t k = i + 1; k < n; k++) {
            term_id a, b, both;
            bool lives;
            if (term_of_schema(g, g->schemas[lits[i].schema].v, g->schemas[lits[i].schema].path,
                               false, &a, e) != 0 ||
                term_of_schema(g, g->schemas[lits[k].schema].v, g->schemas[lits[k].schema].path,
                               false, &b, e) != 0 ||
                term_and(g, a, b, &both, e) != 0 || term_lives(g, both, &lives, e) != 0)
                return -1;
            if (!lives)
                continue;
            o[i].lits[o[i].n++] = (struct lit){lits[k].schema, true};
            if (k != i)
                o[k].lits[o[k].n++] = (struct lit){lits[i].schema, true};
        }
    if (n_true) {
        for (size_t i = 0; i < n; i++) {
            lits[i].neg = true;
            if (refine(g, s, lits[i], depth + 1, e) != 0)
                return -1;
        }
        return 0;
    }
    return refine_options(g, s, o, n, depth, e);
}

static int refine_if(struct grammar *g, struct shapes *s, const json_t *v, const char *path,
                     int depth, struct err *e)
{
    const json_t *test = json_object_get(v, "if"), *then = json_object_get(v, "then"),
                 *other = json_object_get(v, "else");
    struct shapes no = {0};
    int rc = -1;
    if (!then && !other)
        return 0;
    if (shapes_copy(&no, s, e) != 0 ||
        refine_json(g, s, test, path_add(g, path, "if"), false, depth + 1, e) != 0 ||
        (then && refine_json(g, s, then, path_add(g, path, "then"), false, depth + 1, e) != 0) ||
        refine_json(g, &no, test, path_add(g, path, "if"), true, depth + 1, e) != 0 ||
        (other && refine_json(g, &no, other, path_add(g, path, "else"), false, depth + 1, e) != 0))
        goto done;
    rc = shapes_copy(s, &no, e);
done:
    shapes_free(&no);
    return rc;
}

/* Words that are rules and that nothing here obeys. */
static int refuse_unknown_rules(const json_t *v, const char *path, struct err *e)
{
    static const char *const words[] = {
        "$dynamicRef",      "$recursiveRef", "unevaluatedProperties",
        "unevaluatedItems", "contentSchema", "extends",
        "disallow",         "divisibleBy"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (json_object_get(v, words[i]))
            return cannot(e, words[i], path);
    return 0;
}

int refine_json(struct grammar *g, struct shapes *s, const json_t *v, const char *path, bool neg,
                int depth, struct err *e)
{
    if (depth > MOST_DEPTH)
        return bad_schema(e, path, "schemas refer to each other without end");
    if (json_is_boolean(v)) {
        if (json_is_false(v) != neg)
            s->n = 0;
        return 0;
    }
    if (!json_is_object(v))
        return bad_schema(e, path, "a schema must be an object or a boolean");
    if (++g->n_work > 20 * MOST_TERMS)
        return err_set(e, ERR_LIMIT, "a JSON schema that needs too much work");
    if (neg)
        return refine_not(g, s, (json_t *)(uintptr_t)v, path, depth, e);
    if (refuse_unknown_rules(v, path, e) != 0)
        return -1;
    const json_t *x;
    if ((x = json_object_get(v, "type")) && refine_type(s, x, path, e) != 0)
        return -1;
    if ((x = json_object_get(v, "const"))) {
        json_t *one = json_pack("[O]", x);
        const int rc = !one || json_array_append_new(g->made, one) != 0
                           ? err_set(e, ERR_MEMORY, "out of memory")
                           : refine_enum(g, s, one, path, e);
        if (rc != 0)
            return -1;
    }
    if ((x = json_object_get(v, "enum"))) {
        if (!json_is_array(x))
            return bad_schema(e, path, "enum must be an array");
        if (refine_enum(g, s, x, path, e) != 0)
            return -1;
    }
    if (refine_number(g, s, v, path, e) != 0 || refine_string(g, s, v, path, e) != 0 ||
        refine_array(g, s, v, path, e) != 0 || refine_object(g, s, v, path, e) != 0)
        return -1;
    if ((x = json_object_get(v, "$ref"))) {
        json_t *target;
        const char *at;
        if (!json_is_string(x))
            return bad_schema(e, path, "$ref must be a string");
        if (resolve_ref(g, json_string_value(x), path, &target, &at, e) != 0 ||
            refine_json(g, s, target, at, false, depth + 1, e) != 0)
            return -1;
    }
    if ((x = json_object_get(v, "allOf"))) {
        if (!json_is_array(x))
            return bad_schema(e, path, "allOf must be an array");
        for (size_t i = 0; i < json_array_size(x); i++)
            if (refine_json(g, s, json_array_get(x, i),
                            path_index(g, path_add(g, path, "allOf"), i), false, depth + 1, e) != 0)
                return -1;
    }
    if (refine_depends(g, s, json_object_get(v, "dependentRequired"), "dependentRequired", path,
                       depth, e) != 0 ||
        refine_depends(g, s, json_object_get(v, "dependentSchemas"), "dependentSchemas", path,
                       depth, e) != 0 ||
        refine_depends(g, s, json_object_get(v, "dependencies"), "dependencies", path, depth, e) !=
            0)
        return -1;
    if ((x = json_object_get(v, "anyOf")) && refine_any_of(g, s, x, path, depth, e) != 0)
        return -1;
    if ((x = json_object_get(v, "oneOf")) && refine_one_of(g, s, x, path, depth, e) != 0)
        return -1;
    if ((x = json_object_get(v, "not")) &&
        refine_json(g, s, x, path_add(g, path, "not"), true, depth + 1, e) != 0)
        return -1;
    if (json_object_get(v, "if") && refine_if(g, s, v, path, depth, e) != 0)
        return -1;
    return 0;
}

int refine(struct grammar *g, struct shapes *s, struct lit l, int depth, struct err *e)
{
    const struct schema sc = g->schemas[l.schema];
    return refine_json(g, s, sc.v, sc.path, l.neg, depth, e);
}
