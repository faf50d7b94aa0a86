/* engine/grammar/values.c - how many values are there? For items that must differ from each other:
 * a value is not begun unless one is left that has not been used.
 *
 * All counts are lower bounds that stop at MANY, and exact where there are few. Where a bound is
 * not enough to be sure that no text runs into a wall, uniqueItems is refused. */
#include "engine/grammar/inside.h"

#include <string.h>

enum { FEW_PROPS = 64, MOST_WALK = 4096 };

uint32_t count_times(uint32_t a, uint32_t b)
{
    const uint64_t n = (uint64_t)a * b;
    return n > MANY ? MANY : (uint32_t)n;
}

static uint32_t count_plus(uint32_t a, uint32_t b)
{
    return a + b > MANY ? MANY : a + b;
}

uint32_t atom_values(struct grammar *g, const struct atom *a)
{
    switch (a->kind) {
    case K_NUM:
        return a->num->count[0];
    case K_STR:
        return dfa_count(a->str.dfa, a->str.dfa->start, a->str.most);
    case K_ARR:
        return array_ways(g, a, 0);
    case K_OBJ:
        return object_ways(g, a, 0, 0);
    default:
        return 1;
    }
}

/* 0: none. Of atoms of one kind, which may overlap, the largest counts. */
uint32_t term_values(struct grammar *g, term_id t)
{
    struct term *x = &g->terms[t];
    uint32_t n = 0;
    if (x->life != 1)
        return 0;
    if (x->values)
        return x->values;
    x->values = 1; /* while it is being counted: it holds itself */
    for (uint32_t kind = K_NULL; kind <= K_OBJ; kind *= 2) {
        uint32_t most = 0;
        for (uint32_t i = 0; i < g->terms[t].n_atoms; i++)
            if (g->terms[t].atoms[i]->kind == kind) {
                const uint32_t v = atom_values(g, g->terms[t].atoms[i]);
                most = v > most ? v : most;
            }
        n = count_plus(n, most);
    }
    g->terms[t].values = n ? n : 1;
    return g->terms[t].values;
}

/* Ways to go on in an array that has n items. */
uint32_t array_ways(struct grammar *g, const struct atom *a, uint32_t n)
{
    uint32_t all = 0, now = 1;
    if (a->arr.n_contains || a->arr.unique)
        return a->arr.most == NO_END ? MANY : 1; /* check_unique has seen to that */
    for (uint32_t k = n; k - n < MOST_WALK && all < MANY; k++) {
        const bool prefix = k < a->arr.n_prefix;
        if (k >= a->arr.least)
            all = count_plus(all, now);
        if (k >= a->arr.most)
            break;
        const uint32_t v = term_values(g, prefix ? a->arr.prefix[k] : a->arr.rest);
        if (!v)
            break;
        now = count_times(now, v);
        if ((!prefix && a->arr.most == NO_END) || (now == MANY && k + 1 >= a->arr.least))
            return MANY;
    }
    return all ? all : 1;
}

/* Ways to go on in an object that has n properties and may take declared ones from p on. */
uint32_t object_ways(struct grammar *g, const struct atom *a, uint32_t p, uint32_t n)
{
    const struct prop *props = a->obj.props;
    const uint32_t left = a->obj.n_props - p, must = a->obj.needed[p];
    uint32_t by[FEW_PROPS + 1] = {1}, all = 0;
    for (uint32_t i = 0; i < a->obj.n_extras; i++)
        if (term_values(g, a->obj.extras[i].term))
            return MANY; /* check_unique has seen to that */
    if (n + must >= a->obj.least && (a->obj.most == NO_END || n + left <= a->obj.most)) {
        all = 1; /* no limit stands in the way */
        for (; p < a->obj.n_props && all < MANY; p++)
            all = count_times(all, term_values(g, props[p].term) + !props[p].required);
        return all;
    }
    if (left > FEW_PROPS)
        return 1;
    for (; p < a->obj.n_props; p++) /* by[k]: ways with k more properties */
        for (uint32_t k = left + 1; k-- > 0;) {
            const uint32_t with = k ? count_times(by[k - 1], term_values(g, props[p].term)) : 0;
            by[k] = count_plus(props[p].required ? 0 : by[k], with);
        }
    for (uint32_t k = 0; k <= left; k++)
        if (n + k >= a->obj.least && n + k <= a->obj.most)
            all = count_plus(all, by[k]);
    return all ? all : 1;
}

/* ---- what uniqueItems can be held for -------------------------------------------------------- */

/* Two kinds of objects for one item: told apart by their text, so what both have comes in one
 * order, and in both as a declared property. */
static bool same_order(const struct atom *a, const struct atom *b)
{
    uint32_t last = 0;
    if (a->obj.n_extras || b->obj.n_extras)
        return false;
    for (uint32_t i = 0; i < a->obj.n_props; i++)
        for (uint32_t k = 0; k < b->obj.n_props; k++)
            if (strcmp(a->obj.props[i].name, b->obj.props[k].name) == 0) {
                if (k < last)
                    return false;
                last = k;
            }
    return true;
}

/* Can values of this term, inside an item, be told apart, and is there always a way on? */
static bool is_countable(struct grammar *g, term_id t)
{
    struct term *x = &g->terms[t];
    if (x->life != 1 || x->countable)
        return true;
    x->countable = true;
    for (uint32_t i = 0; i < x->n_atoms; i++) {
        const struct atom *a = x->atoms[i];
        for (uint32_t k = 0; k < x->n_atoms; k++) /* whose are the used ones that begin so? */
            if (k != i && (a->kind == K_ARR || a->kind == K_OBJ) && x->atoms[k]->kind == a->kind &&
                atom_values(g, a) < MANY)
                return false;
        if (a->kind == K_ARR) {
            const bool open = a->arr.most == NO_END && term_values(g, a->arr.rest) == MANY;
            if ((a->arr.n_contains && a->arr.most != NO_END) ||
                (a->arr.unique && (!open || a->arr.n_prefix)) || !is_countable(g, a->arr.rest))
                return false;
            for (uint32_t k = 0; k < a->arr.n_prefix; k++)
                if (!is_countable(g, a->arr.prefix[k]))
                    return false;
        } else if (a->kind == K_OBJ) {
            bool open = !a->obj.n_extras;
            for (uint32_t k = 0; k < a->obj.n_extras; k++) {
                const struct extra *e = &a->obj.extras[k];
                open |= dfa_count(e->keys, e->keys->start, NO_END) == MANY;
                if (!is_countable(g, e->term))
                    return false;
            }
            if (!open || (a->obj.n_extras && a->obj.most != NO_END) || a->obj.must)
                return false;
            for (uint32_t k = 0; k < a->obj.n_props; k++)
                if (!is_countable(g, a->obj.props[k].term))
                    return false;
            for (uint32_t k = 0; k < i; k++)
                if (x->atoms[k]->kind == K_OBJ && !same_order(x->atoms[k], a))
                    return false;
        }
    }
    return true;
}

int check_unique(struct grammar *g, const struct atom *a, struct err *e)
{
    const term_id rest = a->arr.rest;
    bool good = is_countable(g, rest);
    for (uint32_t k = 0; k < a->arr.n_prefix; k++) /* whatever came before, one is left */
        good = good && is_countable(g, a->arr.prefix[k]) && term_values(g, a->arr.prefix[k]) > k;
    if (a->arr.least > a->arr.n_prefix)
        good = good && term_values(g, rest) >= a->arr.least;
    for (uint32_t i = 0; i < 8 * (a->arr.n_prefix + 1) && a->arr.n_contains; i++) {
        const uint32_t v = term_values(g, a->arr.picked[i]);
        good = good && (!v || v == MANY);
    }
    return good ? 0 : cannot(e, "uniqueItems", a->path);
}

/* More than the values of these items, if they are all scalars: that many different ones cannot be.
 */
uint32_t scalars_most(const struct grammar *g, term_id t)
{
    const struct term *x = &g->terms[t];
    uint32_t n = 0;
    for (uint32_t i = 0; i < x->n_atoms; i++) {
        const struct atom *a = x->atoms[i];
        if (a->kind == K_ARR || a->kind == K_OBJ)
            return MANY;
        n = count_plus(n, a->kind == K_NUM   ? a->num->count[0]
                          : a->kind == K_STR ? dfa_count(a->str.dfa, a->str.dfa->start, a->str.most)
                                             : 1);
    }
    return n;
}
