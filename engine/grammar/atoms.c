/* engine/grammar/atoms.c - a shape becomes atoms: one for each type that is left, with its
 * automaton or its items' terms. What no value can be makes no atom. Objects are in object.c. */
#include "engine/grammar/inside.h"

#include <stdlib.h>
#include <string.h>

static int push(struct grammar *g, const struct atom *a, const struct atom ***list, size_t *n,
                size_t *cap, struct err *e)
{
    struct atom *keep = arena_alloc(&g->arena, sizeof *keep, 8);
    if (*n == *cap) {
        const size_t more = *cap ? 2 * *cap : 8;
        const struct atom **p = realloc(*list, more * sizeof *p);
        if (!p)
            return err_set(e, ERR_MEMORY, "out of memory");
        *list = p;
        *cap = more;
    }
    if (!keep)
        return err_set(e, ERR_MEMORY, "out of memory");
    *keep = *a;
    (*list)[(*n)++] = keep;
    return 0;
}

/* An end can be reached with a length that is allowed. Exact where one bound is open, all words are
 * in, or their lengths have no gaps: string_atom sees to that. */
bool string_lives(const struct atom *a, uint32_t state, uint32_t len)
{
    const struct dfa *d = a->str.dfa;
    if (state == DFA_DEAD)
        return false;
    if (a->str.most != NO_END && (len > a->str.most || d->least[state] > a->str.most - len))
        return false;
    return len >= a->str.least || d->most[state] == NO_END || d->most[state] >= a->str.least - len;
}

static int string_atom(struct grammar *g, const struct shape *s, struct atom *out, bool *none,
                       struct err *e)
{
    const struct dfa *d = NULL;
    *none = true;
    if (s->least_len > s->most_len)
        return 0;
    for (const struct str_rule *r = s->str; r; r = r->next) {
        if (!d && !r->neg) {
            d = r->dfa;
            continue;
        }
        if (!d && !(d = dfa_all(&g->arena, e)))
            return -1;
        d = dfa_merge(&g->arena, d, r->dfa, r->neg ? DFA_BUT : DFA_AND, e);
        if (!d)
            return -1;
        if (d->start == DFA_DEAD)
            return 0;
    }
    if (!d && !(d = dfa_all(&g->arena, e)))
        return -1;
    if (d->start == DFA_DEAD)
        return 0;
    out->str.dfa = d;
    out->str.least = s->least_len;
    out->str.most = s->most_len;
    if (!d->free[d->start] && (s->least_len || s->most_len != NO_END)) {
        /* Lengths become states where that is small, or where both limits cannot be counted. */
        const uint64_t product =
            (uint64_t)(s->most_len == NO_END ? s->least_len : s->most_len) * d->n_states;
        const bool uncounted = s->least_len && s->most_len != NO_END && !dfa_gapless(d);
        if (d->most[d->start] != NO_END && d->least[d->start] >= s->least_len &&
            d->most[d->start] <= s->most_len) {
            out->str.least = 0; /* the pattern says it already */
            out->str.most = NO_END;
        } else if (product <= 1024 || (uncounted && product <= MOST_DFA / 2)) {
            const struct dfa *l = dfa_lengths(&g->arena, s->least_len, s->most_len, e);
            if (!l || !(d = dfa_merge(&g->arena, d, l, DFA_AND, e)))
                return -1;
            if (d->start == DFA_DEAD)
                return 0;
            out->str.dfa = d;
            out->str.least = 0;
            out->str.most = NO_END;
        } else if (uncounted) {
            return err_set(e, ERR_UNSUPPORTED, "a pattern with minLength and maxLength of %u",
                           s->most_len);
        }
    }
    *none = !string_lives(out, out->str.dfa->start, 0);
    return 0;
}

static int array_atom(struct grammar *g, const struct shape *s, struct atom *out, bool *none,
                      const char *path, struct err *e)
{
    uint32_t n_prefix = 0, most = s->most_items;
    term_id rest = TERM_ANY;
    *none = true;
    for (const struct arr_rule *r = s->arr; r; r = r->next) {
        n_prefix = r->n_prefix > n_prefix ? (uint32_t)r->n_prefix : n_prefix;
        if (term_and(g, rest, r->rest, &rest, e) != 0)
            return -1;
    }
    term_id *prefix = arena_alloc(&g->arena, (n_prefix + 1) * sizeof *prefix, 4);
    if (!prefix)
        return err_set(e, ERR_MEMORY, "out of memory");
    for (uint32_t i = 0; i < n_prefix; i++) {
        prefix[i] = TERM_ANY;
        for (const struct arr_rule *r = s->arr; r; r = r->next)
            if (term_and(g, prefix[i], i < r->n_prefix ? r->prefix[i] : r->rest, &prefix[i], e) !=
                0)
                return -1;
        if (prefix[i] == TERM_NONE && i < most)
            most = i;
    }
    if (rest == TERM_NONE && n_prefix < most)
        most = n_prefix;
    if (s->least_items > most)
        return 0;
    out->arr.least = s->least_items;
    out->arr.most = most;
    out->arr.n_prefix = n_prefix;
    out->arr.prefix = prefix;
    out->arr.rest = rest;
    out->arr.unique = s->unique && most > 1;
    for (const struct contains *c = s->contains; c; c = c->next) {
        if (out->arr.n_contains == 3)
            return cannot(e, "contains", path);
        if (c->least > c->most || c->least > most)
            return 0;
        out->arr.contains[out->arr.n_contains++] = c;
    }
    *none = false;
    if (!out->arr.n_contains)
        return 0;
    /* Which terms an item obeys when it counts for these `contains` and not for those. */
    term_id *picked = arena_alloc(&g->arena, (n_prefix + 1) * 8 * sizeof *picked, 4);
    if (!picked)
        return err_set(e, ERR_MEMORY, "out of memory");
    for (uint32_t i = 0; i <= n_prefix; i++)
        for (uint32_t m = 0; m < 8; m++) {
            term_id *t = &picked[i * 8 + m];
            *t = m >> out->arr.n_contains ? TERM_NONE : i < n_prefix ? prefix[i] : rest;
            for (uint32_t k = 0; k < out->arr.n_contains; k++) {
                const struct contains *c = out->arr.contains[k];
                if (term_and(g, *t,
                             m >> k & 1          ? c->what
                             : c->most != NO_END ? c->not_what
                                                 : TERM_ANY,
                             t, e) != 0)
                    return -1;
            }
        }
    out->arr.picked = picked;
    return 0;
}

/* An object that must have some property of a kind: one of the declared ones is it, or one that is
 * not declared. Each makes an alternative. */
static int object_atoms(struct grammar *g, const struct shape *s, struct atom a,
                        const struct atom ***list, size_t *n, size_t *cap, struct err *e);

static int declared_does(struct grammar *g, struct shape x, const struct some_rule *r,
                         const char *name, struct atom a, const struct atom ***list, size_t *n,
                         size_t *cap, struct err *e)
{
    if (r->keys->start == DFA_DEAD || !dfa_takes(r->keys, name, strlen(name)))
        return 0;
    if (*n > MOST_SHAPES)
        return err_set(e, ERR_UNSUPPORTED, "a JSON schema with more than %d alternatives at %s",
                       MOST_SHAPES, a.path);
    if (need(g, &x, name, r->term, true, e) != 0)
        return -1;
    return object_atoms(g, &x, a, list, n, cap, e);
}

static int object_atoms(struct grammar *g, const struct shape *s, struct atom a,
                        const struct atom ***list, size_t *n, size_t *cap, struct err *e)
{
    const struct some_rule *r = s->some;
    struct shape x = *s;
    bool none;
    if (!r) {
        if (object_atom(g, s, &a, &none, a.path, e) != 0)
            return -1;
        return none ? 0 : push(g, &a, list, n, cap, e);
    }
    x.some = r->next;
    for (const struct obj_rule *o = s->obj; o; o = o->next) {
        const char *name;
        json_t *v;
        json_object_foreach((json_t *)(uintptr_t)o->props, name, v)
        {
            bool before = false;
            for (const struct obj_rule *p = s->obj; p != o; p = p->next)
                before |= json_object_get(p->props, name) != NULL;
            if (!before && declared_does(g, x, r, name, a, list, n, cap, e) != 0)
                return -1;
        }
    }
    for (const struct prop_rule *p = s->prop; p; p = p->next) {
        bool before = false;
        for (const struct prop_rule *q = s->prop; q != p; q = q->next)
            before |= strcmp(q->name, p->name) == 0;
        for (const struct obj_rule *o = s->obj; o; o = o->next)
            before |= json_object_get(o->props, p->name) != NULL;
        if (!before && declared_does(g, x, r, p->name, a, list, n, cap, e) != 0)
            return -1;
    }
    uint32_t n_must = 0;
    for (const struct some_rule *q = s->must; q; q = q->next)
        n_must++;
    struct some_rule *must = arena_alloc(&g->arena, sizeof *must, 8);
    if (!must)
        return err_set(e, ERR_MEMORY, "out of memory");
    if (n_must == MOST_MUST)
        return cannot(e, "additionalProperties", a.path);
    *must = (struct some_rule){s->must, r->keys, r->term};
    x.must = must;
    return object_atoms(g, &x, a, list, n, cap, e);
}

int atoms_of_shape(struct grammar *g, const struct shape *s, const struct atom ***list, size_t *n,
                   size_t *cap, const char *path, struct err *e)
{
    for (uint32_t kind = K_NULL; kind <= K_OBJ; kind *= 2) {
        struct atom a = {.kind = kind, .path = path};
        bool none = false;
        if (!(s->kinds & kind))
            continue;
        if (!s->typed && s->looks_object != s->looks_array)
            a.aside = kind != (s->looks_object ? K_OBJ : K_ARR);
        if (kind == K_NUM) {
            struct err why = {0};
            a.num = numbers_build(&g->arena, s->integer, s->fraction, s->num, s->num_list, &why);
            if (!a.num && why.code)
                return err_set(e, why.code, "%s at %s", why.text, *path ? path : "#");
            none = !a.num;
        } else if (kind == K_STR) {
            struct err why = {0};
            if (string_atom(g, s, &a, &none, &why) != 0)
                return err_set(e, why.code, "%s at %s", why.text, *path ? path : "#");
        } else if (kind == K_ARR) {
            if (array_atom(g, s, &a, &none, path, e) != 0)
                return -1;
        } else if (kind == K_OBJ) {
            none = true; /* pushed there */
            if (object_atoms(g, s, a, list, n, cap, e) != 0)
                return -1;
        }
        if (!none && push(g, &a, list, n, cap, e) != 0)
            return -1;
    }
    return 0;
}
