/* engine/grammar/negate.c - the contrary of a schema, laid over shapes.
 *
 * A value breaks a schema when it breaks one of its words: each word that can be broken makes an
 * alternative of its own. Contraries are met under `not`, `if`, and alternatives of a `oneOf` that
 * overlap. */
#include "engine/grammar/negate.h"

#include <string.h>

int not_begin(const struct contrary *c, uint32_t kinds, struct shapes *one)
{
    *one = (struct shapes){0};
    if (shapes_copy(one, c->from, c->e) != 0)
        return -1;
    for (size_t i = 0; i < one->n; i++)
        one->v[i].kinds &= kinds;
    shapes_sweep(one);
    return 0;
}

int not_finish(const struct contrary *c, struct shapes *one, int rc)
{
    shapes_sweep(one);
    if (rc == 0)
        rc = shapes_copy(c->out, one, c->e);
    shapes_free(one);
    return rc;
}

void *not_rule(const struct contrary *c, size_t n)
{
    void *p = arena_alloc(&c->g->arena, n, 8);
    if (!p)
        err_set(c->e, ERR_MEMORY, "out of memory");
    return p;
}

/* ---- type, enum ------------------------------------------------------------------------------ */

static int not_type(const struct contrary *c, const json_t *v)
{
    uint32_t kinds = 0;
    bool only_integer = false, number = false, integer;
    for (size_t i = 0; i < (json_is_array(v) ? json_array_size(v) : 1); i++) {
        const json_t *one = json_is_array(v) ? json_array_get(v, i) : v;
        const uint32_t k =
            json_is_string(one) ? kinds_of_type(json_string_value(one), &integer) : 0;
        if (!k)
            return bad_schema(c->e, c->path, "unrecognized type");
        if (k == K_NUM && integer)
            only_integer = true;
        else
            kinds |= k;
        number |= k == K_NUM && !integer;
    }
    struct shapes one;
    if (not_begin(c, ~kinds, &one) != 0)
        return -1;
    for (size_t i = 0; i < one.n; i++) {
        one.v[i].typed = true;
        one.v[i].fraction |= only_integer && !number;
    }
    return not_finish(c, &one, 0);
}

static int not_value(const struct contrary *c, struct shapes *s, const json_t *v)
{
    for (size_t i = 0; i < s->n; i++) {
        struct shape *x = &s->v[i];
        if (json_is_null(v)) {
            x->kinds &= ~(uint32_t)K_NULL;
        } else if (json_is_boolean(v)) {
            x->kinds &= ~(uint32_t)(json_is_true(v) ? K_TRUE : K_FALSE);
        } else if (json_is_number(v)) {
            struct num_rule *r = not_rule(c, sizeof *r);
            if (!r)
                return -1;
            r->kind = NUM_NOT;
            if (decimal_of(v, &r->v) != 0)
                return cannot(c->e, "const", c->path);
            r->next = x->num;
            x->num = r;
        }
    }
    return 0;
}

static int not_enum(const struct contrary *c, const json_t *values)
{
    struct shapes one;
    struct text words[1];
    if (not_begin(c, K_ALL, &one) != 0)
        return -1;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < json_array_size(values); i++) {
        json_t *v = json_array_get(values, i);
        if (json_is_array(v) || json_is_object(v)) {
            json_t *whole = value_schema(c->g, v);
            rc = whole ? refine_json(c->g, &one, whole, c->path, true, c->depth + 1, c->e)
                       : err_set(c->e, ERR_MEMORY, "out of memory");
            continue;
        }
        if (!json_is_string(v)) {
            rc = not_value(c, &one, v);
            continue;
        }
        words[0] = (struct text){json_string_value(v), json_string_length(v)};
        const struct dfa *d = dfa_words(&c->g->arena, words, 1, c->e);
        for (size_t k = 0; d && k < one.n; k++) {
            struct str_rule *r = not_rule(c, sizeof *r);
            if (!r) {
                d = NULL;
                break;
            }
            *r = (struct str_rule){one.v[k].str, d, true};
            one.v[k].str = r;
        }
        rc = d ? 0 : -1;
    }
    return not_finish(c, &one, rc);
}

/* ---- numbers, strings ------------------------------------------------------------------------ */

static int not_number(const struct contrary *c)
{
    static const struct {
        const char *name;
        int kind;
    } words[] = {{"minimum", NUM_LESS},
                 {"maximum", NUM_MORE},
                 {"exclusiveMinimum", NUM_AT_MOST},
                 {"exclusiveMaximum", NUM_AT_LEAST},
                 {"multipleOf", NUM_NO_MULTIPLE}};
    for (size_t w = 0; w < sizeof words / sizeof *words; w++) {
        const json_t *x = json_object_get(c->v, words[w].name);
        struct shapes one;
        if (!x)
            continue;
        if (!json_is_number(x))
            return bad_schema(c->e, c->path, "%s must be a number", words[w].name);
        if (not_begin(c, K_NUM, &one) != 0)
            return -1;
        int rc = 0;
        for (size_t i = 0; rc == 0 && i < one.n; i++) {
            struct num_rule *r = not_rule(c, sizeof *r);
            if (!r) {
                rc = -1;
                break;
            }
            r->kind = words[w].kind;
            rc = decimal_of(x, &r->v) == 0 ? 0 : cannot(c->e, words[w].name, c->path);
            r->next = one.v[i].num;
            one.v[i].num = r;
        }
        if (not_finish(c, &one, rc) != 0)
            return -1;
    }
    return 0;
}

static int not_dfa(const struct contrary *c, const struct dfa *d)
{
    struct shapes one;
    if (not_begin(c, K_STR, &one) != 0)
        return -1;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < one.n; i++) {
        struct str_rule *r = not_rule(c, sizeof *r);
        if (!r) {
            rc = -1;
            break;
        }
        *r = (struct str_rule){one.v[i].str, d, true};
        one.v[i].str = r;
    }
    return not_finish(c, &one, rc);
}

/* Counts: fewer than a least, more than a most. */
int not_counts(const struct contrary *c, const char *least, const char *most, uint32_t kind)
{
    for (int side = 0; side < 2; side++) {
        const json_t *x = json_object_get(c->v, side ? most : least);
        struct shapes one;
        uint32_t n;
        if (!x)
            continue;
        if (count_of(x, c->path, &n, c->e) != 0)
            return -1;
        if (!side && !n)
            continue;
        if (not_begin(c, kind, &one) != 0)
            return -1;
        for (size_t i = 0; i < one.n; i++) {
            struct shape *s = &one.v[i];
            uint32_t *lo = kind == K_STR   ? &s->least_len
                           : kind == K_ARR ? &s->least_items
                                           : &s->least_props;
            uint32_t *hi = kind == K_STR   ? &s->most_len
                           : kind == K_ARR ? &s->most_items
                                           : &s->most_props;
            if (side)
                *lo = n + 1 > *lo ? n + 1 : *lo;
            else
                *hi = n - 1 < *hi ? n - 1 : *hi;
        }
        if (not_finish(c, &one, 0) != 0)
            return -1;
    }
    return 0;
}

static int not_string(const struct contrary *c)
{
    const json_t *pattern = json_object_get(c->v, "pattern"),
                 *format = json_object_get(c->v, "format");
    if (not_counts(c, "minLength", "maxLength", K_STR) != 0)
        return -1;
    if (json_is_string(pattern)) {
        struct err why = {0};
        const struct dfa *d = regex_compile(&c->g->arena, json_string_value(pattern),
                                            json_string_length(pattern), &why);
        if (!d)
            return err_set(c->e, ERR_UNSUPPORTED,
                           "unsupported JSON schema keyword \"pattern\" at %s/pattern: %s", c->path,
                           why.text);
        if (not_dfa(c, d) != 0)
            return -1;
    }
    if (json_is_string(format) && shapes_have(c->from, K_STR)) {
        struct err why = {0};
        const struct dfa *d = format_dfa(&c->g->arena, json_string_value(format), true, &why);
        if (why.code)
            return cannot(c->e, "format", c->path);
        if (d && not_dfa(c, d) != 0)
            return -1;
    }
    return 0;
}

/* ---- schemas of schemas ---------------------------------------------------------------------- */

static int not_one(const struct contrary *c, const json_t *v, const char *path, bool neg)
{
    struct shapes one;
    if (not_begin(c, K_ALL, &one) != 0)
        return -1;
    return not_finish(c, &one, refine_json(c->g, &one, v, path, neg, c->depth + 1, c->e));
}

static int not_lists(const struct contrary *c)
{
    const json_t *all = json_object_get(c->v, "allOf"), *any = json_object_get(c->v, "anyOf"),
                 *one_of = json_object_get(c->v, "oneOf"), *x;
    for (size_t i = 0; i < json_array_size(all); i++)
        if (not_one(c, json_array_get(all, i),
                    path_index(c->g, path_add(c->g, c->path, "allOf"), i), true) != 0)
            return -1;
    for (int w = 0; w < 2; w++) { /* none of them */
        const json_t *list = w ? one_of : any;
        const char *at = path_add(c->g, c->path, w ? "oneOf" : "anyOf");
        struct shapes one;
        if (!list)
            continue;
        if (not_begin(c, K_ALL, &one) != 0)
            return -1;
        int rc = 0;
        for (size_t i = 0; rc == 0 && i < json_array_size(list); i++)
            rc = refine_json(c->g, &one, json_array_get(list, i), path_index(c->g, at, i), true,
                             c->depth + 1, c->e);
        if (not_finish(c, &one, rc) != 0)
            return -1;
    }
    for (size_t i = 0; i < json_array_size(one_of); i++) /* or two */
        for (size_t k = i + 1; k < json_array_size(one_of); k++) {
            const char *at = path_add(c->g, c->path, "oneOf");
            struct shapes one;
            if (not_begin(c, K_ALL, &one) != 0)
                return -1;
            int rc = refine_json(c->g, &one, json_array_get(one_of, i), path_index(c->g, at, i),
                                 false, c->depth + 1, c->e);
            if (rc == 0)
                rc = refine_json(c->g, &one, json_array_get(one_of, k), path_index(c->g, at, k),
                                 false, c->depth + 1, c->e);
            if (not_finish(c, &one, rc) != 0)
                return -1;
        }
    if ((x = json_object_get(c->v, "not")) &&
        not_one(c, x, path_add(c->g, c->path, "not"), false) != 0)
        return -1;
    if ((x = json_object_get(c->v, "if"))) {
        const json_t *then = json_object_get(c->v, "then"), *other = json_object_get(c->v, "else");
        for (int w = 0; w < 2; w++) {
            const json_t *what = w ? other : then;
            struct shapes one;
            if (!what)
                continue;
            if (not_begin(c, K_ALL, &one) != 0)
                return -1;
            int rc =
                refine_json(c->g, &one, x, path_add(c->g, c->path, "if"), w, c->depth + 1, c->e);
            if (rc == 0)
                rc = refine_json(c->g, &one, what, path_add(c->g, c->path, w ? "else" : "then"),
                                 true, c->depth + 1, c->e);
            if (not_finish(c, &one, rc) != 0)
                return -1;
        }
    }
    if ((x = json_object_get(c->v, "$ref"))) {
        json_t *target;
        const char *at;
        if (!json_is_string(x))
            return bad_schema(c->e, c->path, "$ref must be a string");
        if (resolve_ref(c->g, json_string_value(x), c->path, &target, &at, c->e) != 0 ||
            not_one(c, target, at, true) != 0)
            return -1;
    }
    return 0;
}

int refine_not(struct grammar *g, struct shapes *s, json_t *v, const char *path, int depth,
               struct err *e)
{
    struct shapes out = {0};
    const struct contrary c = {g, s, &out, v, path, depth, e};
    const json_t *x;
    int rc = 0;
    if ((x = json_object_get(v, "type")))
        rc = not_type(&c, x);
    if (rc == 0 && (x = json_object_get(v, "const"))) {
        json_t *one = json_pack("[O]", x);
        rc = !one || json_array_append_new(g->made, one) != 0
                 ? err_set(e, ERR_MEMORY, "out of memory")
                 : not_enum(&c, one);
    }
    if (rc == 0 && (x = json_object_get(v, "enum")))
        rc = not_enum(&c, x);
    if (rc == 0)
        rc = not_number(&c);
    if (rc == 0)
        rc = not_string(&c);
    if (rc == 0)
        rc = not_array(&c);
    if (rc == 0)
        rc = not_object(&c);
    if (rc == 0)
        rc = not_lists(&c);
    if (rc == 0) {
        shapes_free(s);
        *s = out;
        return 0;
    }
    shapes_free(&out);
    return -1;
}
