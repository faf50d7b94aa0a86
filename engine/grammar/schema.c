/* engine/grammar/schema.c - the schemas of a document, references between them, and terms.
 *
 * A term is a set of schemas that must hold together, some of them negated. `allOf` makes the set
 * larger, `$ref` replaces a member, so there are only as many terms as sets are met, and a schema
 * that refers to itself ends in a term that is known already. The empty set is "anything". */
#include "engine/grammar/inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int bad_schema(struct err *e, const char *path, const char *fmt, ...)
{
    char why[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    return err_set(e, ERR_INPUT, "invalid JSON schema in format: %s at %s", why,
                   *path ? path : "#");
}

int cannot(struct err *e, const char *keyword, const char *path)
{
    return err_set(e, ERR_UNSUPPORTED, "unsupported JSON schema keyword \"%s\" at %s/%s", keyword,
                   path, keyword);
}

/* ---- pointers -------------------------------------------------------------------------------- */

const char *path_add(struct grammar *g, const char *path, const char *part)
{
    struct buf b = {0};
    char *out = NULL;
    buf_printf(&b, "%s/", path);
    for (const char *s = part; *s; s++)
        if (*s == '~' || *s == '/')
            buf_puts(&b, *s == '~' ? "~0" : "~1");
        else
            buf_add(&b, s, 1);
    if (!b.failed)
        out = arena_copy(&g->arena, b.p, b.n);
    buf_free(&b);
    return out ? out : path;
}

const char *path_index(struct grammar *g, const char *path, size_t i)
{
    char part[24];
    snprintf(part, sizeof part, "%zu", i);
    return path_add(g, path, part);
}

/* One part of a pointer, unescaped: %xx first (it is a fragment of a URI), then ~0 and ~1. */
static int part_decode(const char *p, size_t n, char *out, size_t cap)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        char c = p[i];
        if (c == '%' && i + 2 < n) {
            char hex[3] = {p[i + 1], p[i + 2], 0}, *end;
            const unsigned long v = strtoul(hex, &end, 16);
            if (end == hex + 2) {
                c = (char)v;
                i += 2;
            }
        }
        if (k + 1 >= cap)
            return -1;
        out[k++] = c;
    }
    size_t m = 0;
    for (size_t i = 0; i < k; i++) {
        if (out[i] == '~' && i + 1 < k && (out[i + 1] == '0' || out[i + 1] == '1')) {
            out[m++] = out[i + 1] == '0' ? '~' : '/';
            i++;
        } else {
            out[m++] = out[i];
        }
    }
    out[m] = 0;
    return 0;
}

int resolve_ref(struct grammar *g, const char *ref, const char *path, json_t **v, const char **at,
                struct err *e)
{
    json_t *here = g->doc;
    if (ref[0] != '#')
        return bad_schema(e, path, "cannot resolve $ref %s: not in this document", ref);
    const char *s = ref + 1;
    *at = "";
    if (*s && *s != '/')
        return cannot(e, "$ref", path); /* an anchor */
    while (here && *s == '/') {
        const char *end = strchr(s + 1, '/');
        const size_t n = end ? (size_t)(end - s - 1) : strlen(s + 1);
        char part[512];
        if (part_decode(s + 1, n, part, sizeof part) != 0)
            return bad_schema(e, path, "cannot resolve $ref %s", ref);
        if (json_is_array(here)) {
            char *stop;
            const unsigned long i = strtoul(part, &stop, 10);
            here = *stop || !part[0] ? NULL : json_array_get(here, i);
        } else {
            here = json_object_get(here, part);
        }
        *at = path_add(g, *at, part);
        s += n + 1;
    }
    if (!here)
        return bad_schema(e, path, "cannot resolve $ref %s", ref);
    if (!json_is_object(here) && !json_is_boolean(here))
        return bad_schema(e, path, "$ref %s is no schema", ref);
    *v = here;
    return 0;
}

/* ---- schemas --------------------------------------------------------------------------------- */

int schema_of(struct grammar *g, const json_t *v, const char *path, uint32_t *out, struct err *e)
{
    *out = map_get(&g->schema_of, (uint64_t)(uintptr_t)v);
    if (*out != UINT32_MAX)
        return 0;
    if (g->n_schemas == MOST_TERMS)
        return err_set(e, ERR_LIMIT, "a JSON schema of more than %d schemas", MOST_TERMS);
    if (g->n_schemas == g->cap_schemas) {
        const size_t cap = g->cap_schemas ? 2 * g->cap_schemas : 64;
        struct schema *p = realloc(g->schemas, cap * sizeof *p);
        if (!p)
            return err_set(e, ERR_MEMORY, "out of memory");
        g->schemas = p;
        g->cap_schemas = cap;
    }
    *out = (uint32_t)g->n_schemas;
    g->schemas[g->n_schemas++] = (struct schema){(json_t *)(uintptr_t)v, path};
    return map_put(&g->schema_of, (uint64_t)(uintptr_t)v, *out) == 0
               ? 0
               : err_set(e, ERR_MEMORY, "out of memory");
}

json_t *const_schema(struct grammar *g, json_t *v)
{
    json_t *s = json_pack("{s:O}", "const", v);
    if (!s || json_array_append_new(g->made, s) != 0)
        return NULL;
    return s;
}

/* ---- terms ----------------------------------------------------------------------------------- */

static int by_lit(const void *a, const void *b)
{
    const struct lit *x = a, *y = b;
    if (x->schema != y->schema)
        return x->schema < y->schema ? -1 : 1;
    return (int)x->neg - (int)y->neg;
}

static bool same_lits(const struct term *t, const struct lit *lits, size_t n)
{
    if (t->n_lits != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (t->lits[i].schema != lits[i].schema || t->lits[i].neg != lits[i].neg)
            return false;
    return true;
}

/* The term of these literals; sorts them. */
static int term_of(struct grammar *g, struct lit *lits, size_t n, term_id *out, struct err *e)
{
    size_t m = 0;
    qsort(lits, n, sizeof *lits, by_lit);
    for (size_t i = 0; i < n; i++) {
        if (m && lits[m - 1].schema == lits[i].schema) {
            if (lits[m - 1].neg == lits[i].neg)
                continue;
            *out = TERM_NONE; /* a schema and its contrary */
            return 0;
        }
        lits[m++] = lits[i];
    }
    *out = TERM_ANY;
    if (!m)
        return 0;
    uint64_t h = 11;
    for (size_t i = 0; i < m; i++) {
        const uint32_t one = lits[i].schema << 1 | lits[i].neg;
        h = hash_bytes(h, &one, sizeof one);
    }
    for (h |= 1; (*out = map_get(&g->term_of, h)) != UINT32_MAX; h += 2)
        if (same_lits(&g->terms[*out], lits, m))
            return 0;
    if (g->n_terms == MOST_TERMS)
        return err_set(e, ERR_LIMIT, "a JSON schema of more than %d combinations", MOST_TERMS);
    if (g->n_terms == g->cap_terms) {
        const size_t cap = 2 * g->cap_terms;
        struct term *p = realloc(g->terms, cap * sizeof *p);
        if (!p)
            return err_set(e, ERR_MEMORY, "out of memory");
        g->terms = p;
        g->cap_terms = cap;
    }
    struct lit *keep = arena_alloc(&g->arena, m * sizeof *keep, 8);
    if (!keep || map_put(&g->term_of, h, (uint32_t)g->n_terms) != 0)
        return err_set(e, ERR_MEMORY, "out of memory");
    memcpy(keep, lits, m * sizeof *keep);
    *out = (term_id)g->n_terms;
    g->terms[g->n_terms++] = (struct term){.n_lits = (uint32_t)m, .lits = keep};
    return 0;
}

int term_of_schema(struct grammar *g, const json_t *v, const char *path, bool neg, term_id *out,
                   struct err *e)
{
    if (json_is_boolean(v) || (json_is_object(v) && !json_object_size(v))) {
        *out = json_is_false(v) == neg ? TERM_ANY : TERM_NONE;
        return 0;
    }
    if (!json_is_object(v))
        return bad_schema(e, path, "a schema must be an object or a boolean");
    struct lit l = {.neg = neg};
    if (schema_of(g, v, path, &l.schema, e) != 0)
        return -1;
    return term_of(g, &l, 1, out, e);
}

int term_and(struct grammar *g, term_id a, term_id b, term_id *out, struct err *e)
{
    if (a == TERM_NONE || b == TERM_NONE || a == b || b == TERM_ANY) {
        *out = a == TERM_NONE || b == TERM_NONE ? TERM_NONE : a;
        return 0;
    }
    if (a == TERM_ANY) {
        *out = b;
        return 0;
    }
    const size_t n = g->terms[a].n_lits + g->terms[b].n_lits;
    struct lit *lits = malloc(n * sizeof *lits);
    if (!lits)
        return err_set(e, ERR_MEMORY, "out of memory");
    memcpy(lits, g->terms[a].lits, g->terms[a].n_lits * sizeof *lits);
    memcpy(lits + g->terms[a].n_lits, g->terms[b].lits, g->terms[b].n_lits * sizeof *lits);
    const int rc = term_of(g, lits, n, out, e);
    free(lits);
    return rc;
}

static const char *path_of(const struct grammar *g, const struct term *t)
{
    return t->n_lits ? g->schemas[t->lits[0].schema].path : "";
}

/* Strings of several alternatives are one automaton: fewer places at once, and countable. */
static int join_strings(struct grammar *g, const struct atom **list, size_t *n, struct err *e)
{
    struct atom *first = NULL;
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++) {
        struct atom *a = (struct atom *)(uintptr_t)list[i];
        const bool plain = a->kind == K_STR && !a->str.least && a->str.most == NO_END;
        if (plain && first && first->aside == a->aside &&
            first->str.dfa->n_states + a->str.dfa->n_states < 2000) {
            if (!(first->str.dfa = dfa_merge(&g->arena, first->str.dfa, a->str.dfa, DFA_OR, e)))
                return -1;
            continue;
        }
        first = plain && !first ? a : first;
        list[kept++] = a;
    }
    *n = kept;
    return 0;
}

static int expand(struct grammar *g, term_id id, struct err *e)
{
    struct shapes s = {0};
    const struct shape all = {
        .kinds = K_ALL, .most_len = NO_END, .most_items = NO_END, .most_props = NO_END};
    const struct atom **list = NULL;
    size_t n = 0, cap = 0;
    int rc = -1;
    if (++g->n_work > 4 * MOST_TERMS)
        return err_set(e, ERR_LIMIT, "a JSON schema that needs too much work");
    g->terms[id].expanded = 1;
    if (shapes_add(&s, &all, e) != 0)
        goto done;
    for (uint32_t i = 0; i < g->terms[id].n_lits; i++)
        if (refine(g, &s, g->terms[id].lits[i], 0, e) != 0)
            goto done;
    for (size_t i = 0; i < s.n; i++) {
        struct shape *v = &s.v[i];
        if (atoms_of_shape(g, v, &list, &n, &cap, path_of(g, &g->terms[id]), e) != 0)
            goto done;
    }
    if (join_strings(g, list, &n, e) != 0)
        goto done;
    const struct atom **keep = arena_alloc(&g->arena, (n + 1) * sizeof *keep, 8);
    if (!keep) {
        err_set(e, ERR_MEMORY, "out of memory");
        goto done;
    }
    if (n)
        memcpy(keep, list, n * sizeof *keep);
    g->terms[id].atoms = keep;
    g->terms[id].n_atoms = (uint32_t)n;
    g->terms[id].expanded = 2;
    rc = 0;
done:
    shapes_free(&s);
    free(list);
    return rc;
}

const struct term *term_get(struct grammar *g, term_id t, struct err *e)
{
    if (!g->terms[t].expanded && expand(g, t, e) != 0)
        return NULL;
    return &g->terms[t];
}

/* ---- does any value obey? -------------------------------------------------------------------- */

/* A term that is just being expanded counts as alive: it is asked for by its own expansion, whose
 * answer must not depend on it. The last look, when all is expanded, is exact. */
static bool term_seems_alive(const struct grammar *g, term_id t)
{
    return g->terms[t].life == 1 || g->terms[t].expanded == 1;
}

bool term_atom_lives(const struct grammar *g, const struct atom *a)
{
    if (a->kind == K_ARR) {
        if (a->arr.unique && !a->arr.n_prefix && a->arr.least > scalars_most(g, a->arr.rest))
            return false;
        for (uint32_t i = 0; i < a->arr.least; i++) {
            const term_id t = i < a->arr.n_prefix ? a->arr.prefix[i] : a->arr.rest;
            if (!term_seems_alive(g, t))
                return false;
            if (i >= a->arr.n_prefix)
                break;
        }
        for (uint32_t c = 0; c < a->arr.n_contains; c++) {
            bool some = false;
            for (uint32_t p = 0; p <= a->arr.n_prefix; p++)
                for (uint32_t m = 1; m < 8; m++)
                    some |= (m >> c & 1) && a->arr.picked[p * 8 + m] != TERM_NONE &&
                            term_seems_alive(g, a->arr.picked[p * 8 + m]);
            if (a->arr.contains[c]->least && !some)
                return false;
        }
    } else if (a->kind == K_OBJ) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < a->obj.n_props; i++) {
            const bool lives = term_seems_alive(g, a->obj.props[i].term);
            if (a->obj.props[i].required && !lives)
                return false;
            n += lives;
        }
        for (uint32_t i = 0; i < a->obj.n_extras && n < a->obj.least; i++)
            if (term_seems_alive(g, a->obj.extras[i].term))
                n += dfa_count(a->obj.extras[i].keys, a->obj.extras[i].keys->start, NO_END);
        if (n < a->obj.least)
            return false;
        uint32_t does = 0;
        for (uint32_t i = 0; i < a->obj.n_extras && a->obj.must; i++)
            if (term_seems_alive(g, a->obj.extras[i].term))
                does |= a->obj.extras[i].does;
        if (does != a->obj.must)
            return false;
    }
    return true;
}

static int touch_children(struct grammar *g, const struct atom *a, struct err *e)
{
    if (a->kind == K_ARR) {
        for (uint32_t i = 0; i <= a->arr.n_prefix; i++) {
            if (!term_get(g, i < a->arr.n_prefix ? a->arr.prefix[i] : a->arr.rest, e))
                return -1;
            for (uint32_t m = 0; a->arr.n_contains && m < 8; m++)
                if (!term_get(g, a->arr.picked[i * 8 + m], e))
                    return -1;
        }
    } else if (a->kind == K_OBJ) {
        for (uint32_t i = 0; i < a->obj.n_props; i++)
            if (!term_get(g, a->obj.props[i].term, e))
                return -1;
        for (uint32_t i = 0; i < a->obj.n_extras; i++)
            if (!term_get(g, a->obj.extras[i].term, e))
                return -1;
    }
    return 0;
}

/* Expand all that can be reached from t, then find which terms some finite value obeys: the least
 * fixed point, so that an object which must hold itself is found to be impossible. */
int term_lives(struct grammar *g, term_id t, bool *lives, struct err *e)
{
    if (!term_get(g, t, e))
        return -1;
    for (size_t before = 0; before != g->n_work;) { /* until nothing new is met */
        before = g->n_work;
        for (size_t i = 0; i < g->n_terms; i++)
            for (uint32_t k = 0; g->terms[i].expanded == 2 && k < g->terms[i].n_atoms; k++)
                if (touch_children(g, g->terms[i].atoms[k], e) != 0)
                    return -1;
    }
    for (bool again = true; again;) {
        again = false;
        for (size_t i = g->n_terms; i-- > 0;) {
            struct term *x = &g->terms[i];
            for (uint32_t k = 0; x->life != 1 && x->expanded == 2 && k < x->n_atoms; k++)
                if (term_atom_lives(g, x->atoms[k])) {
                    x->life = 1;
                    again = true;
                }
        }
    }
    *lives = g->terms[t].life == 1;
    return 0;
}
