/* engine/grammar/step_unique.c - items, and extra keys, that must differ from each other.
 *
 * What an item says is kept as a chain of characters and marks, in a form that equal values share:
 * numbers without needless zeros, extra properties sorted by their keys. The chain grows with the
 * text, so the values that it can still become are those below it in a tree; of these some are
 * used. A step is taken when more are to come than are used. */
#include "engine/grammar/step.h"

#include <stdlib.h>
#include <string.h>

enum { /* marks, above all characters; a value begins with M_VALUE + its kind */
       M_VALUE = LAST_CHAR + 1,
       M_END = M_VALUE + 128,
       M_KEY,
       M_XKEY,
       MOST_REST = 400, /* characters of a string or number that are looked at */
};

const struct chain *text_start(struct machine *m, uint32_t kind)
{
    const struct chain *root = chain_get(m, NULL, 0);
    return root ? chain_get(m, root, M_VALUE + kind) : NULL;
}

bool must_differ(const struct frame *up)
{
    return up && up->kind == F_ARR && ((const struct atom *)up->what)->arr.unique;
}

const struct chain *value_start(struct machine *m, const struct frame *up, uint32_t kind)
{
    return must_differ(up) ? text_start(m, kind) : chain_get(m, up->text, M_VALUE + kind);
}

/* ---- the used ones --------------------------------------------------------------------------- */

/* The characters behind `with`, up to a mark; -1: u does not begin so. Only the first MOST_REST are
 * kept. */
static int rest_of(const struct chain *u, const struct chain *with, uint32_t *rest)
{
    if (u->len < with->len)
        return -1;
    uint32_t n = u->len - with->len;
    for (; u->len > with->len; u = u->prev) {
        const uint32_t k = u->len - with->len - 1;
        n = u->cp > LAST_CHAR ? k : n;
        if (k < MOST_REST)
            rest[k] = u->cp;
    }
    return u == with ? (int)(n < MOST_REST ? n : MOST_REST) : -1;
}

static bool string_fits(const struct dfa *d, uint32_t state, const uint32_t *rest, int n)
{
    for (int i = 0; i < n && state != DFA_DEAD; i++)
        state = dfa_step(d, state, rest[i]);
    return state != DFA_DEAD && (n == MOST_REST || d->accept[state]);
}

/* Does the number `v` go on from `text`, written with zeros at its end if need be? */
static bool number_fits(const struct numbers *t, uint32_t state, const struct chain *text,
                        const struct chain *start, const uint32_t *v, int n)
{
    const uint32_t len = text->len - start->len;
    uint32_t at = len;
    int point = 0;
    while (point < n && v[point] != '.')
        point++;
    for (; text != start; text = text->prev) {
        const int k = (int)--at;
        if (text->cp != (k < n ? v[k] : k == n && point == n ? '.' : '0'))
            return false;
    }
    for (int k = (int)len; k < n && state != DFA_DEAD; k++)
        state = t->next[state][num_symbol((unsigned char)v[k])];
    for (int zeros = 0; state != DFA_DEAD && !t->accept[state] && zeros < 24; zeros++)
        state = t->next[state][!zeros && point == n && (int)len <= n ? 11 : 0];
    return state != DFA_DEAD && t->accept[state];
}

/* How many of the used values begin with `text` and go on as the string or number may from `state`;
 * without an atom: have this value there. */
static uint32_t used_so(const struct used *u, const struct chain *text, const struct atom *a,
                        uint32_t state)
{
    const struct chain *start = text;
    uint32_t n = 0, rest[MOST_REST];
    while (a && a->kind == K_NUM && start->cp <= LAST_CHAR)
        start = start->prev;
    for (; u; u = u->next) {
        const int k = rest_of(u->text, start, rest);
        if (k < 0)
            continue;
        n += !a                 ? k == 0
             : a->kind == K_STR ? string_fits(a->str.dfa, state, rest, k)
             : a->kind == K_NUM ? number_fits(a->num, state, text, start, rest, k)
                                : k == 0;
    }
    return n;
}

/* Ways to go on in what lies around, up to the array whose items must differ. */
static uint32_t ways_around(struct machine *m, const struct frame *up)
{
    struct grammar *g = grammar_of(m);
    uint32_t n = 1;
    for (; up && !must_differ(up) && n < MANY; up = up->up)
        n = count_times(n, up->kind == F_ARR
                               ? array_ways(g, up->what, up->a)
                               : object_ways(g, up->what, up->a, up->b & ((1u << OBJ_BITS) - 1)));
    return n;
}

bool is_new(struct machine *m, const struct frame *up, const struct chain *text,
            const struct atom *a, uint32_t state, uint32_t count)
{
    if (!text)
        return false; /* no memory */
    const uint32_t all = count_times(count, ways_around(m, up));
    if (all >= MANY)
        return true;
    while (up && !must_differ(up))
        up = up->up;
    return !up || all > used_so(up->used, text, a, state);
}

bool may_start(struct machine *m, const struct frame *up, const struct atom *a,
               const struct chain *text)
{
    return is_new(m, up, text, a, a->kind == K_STR ? a->str.dfa->start : 0,
                  atom_values(grammar_of(m), a));
}

bool term_may_start(struct machine *m, const struct frame *up, term_id t)
{
    const struct term *term = &grammar_of(m)->terms[t];
    if (!must_differ(up) && !up->text)
        return true;
    for (uint32_t i = 0; i < term->n_atoms; i++)
        if (may_start(m, up, term->atoms[i], value_start(m, up, term->atoms[i]->kind)))
            return true;
    return false;
}

bool is_new_key(const struct used *used, const struct chain *text, const struct dfa *d,
                uint32_t state, uint32_t count)
{
    const struct atom a = {.kind = K_STR, .str = {.dfa = d, .most = NO_END}};
    return text && (count >= MANY || count > used_so(used, text, d ? &a : NULL, state));
}

/* ---- texts that grow ------------------------------------------------------------------------- */

/* What `more` holds behind its root, at the end of `text`. */
static const struct chain *chain_join(struct machine *m, const struct chain *text,
                                      const struct chain *more)
{
    const uint32_t n = more->len;
    uint32_t *cps = malloc((n + 1) * sizeof *cps);
    if (!cps)
        return NULL;
    for (uint32_t i = n; i > 0; more = more->prev)
        cps[--i] = more->cp;
    for (uint32_t i = 0; i < n && text; i++)
        text = chain_get(m, text, cps[i]);
    free(cps);
    return text;
}

const struct chain *key_text(struct machine *m, const struct chain *text, const struct prop *p)
{
    text = chain_get(m, text, M_KEY);
    for (uint32_t i = 0; i < p->n_name && text;) {
        uint32_t cp;
        bool bad;
        i += (uint32_t)text_decode(p->name + i, p->n_name - i, &cp, &bad);
        text = chain_get(m, text, cp);
    }
    return text;
}

const struct chain *extra_key_text(struct machine *m, const struct chain *text,
                                   const struct chain *key)
{
    text = chain_get(m, text, M_XKEY);
    return text ? chain_join(m, text, key) : NULL;
}

/* The number that has been written, as equal ones are: no point or zeros that say nothing. */
const struct chain *number_text(struct machine *m, const struct chain *text)
{
    char digits[MOST_REST], out[MOST_REST * 2];
    const struct chain *start = text;
    struct decimal v;
    int n = 0;
    while (start->cp <= LAST_CHAR)
        start = start->prev;
    uint32_t k = text->len - start->len;
    if (k >= sizeof digits)
        return NULL;
    digits[k] = 0;
    for (; text != start; text = text->prev)
        digits[--k] = (char)text->cp;
    if (decimal_read(digits, &v) != 0)
        return NULL;
    if (v.neg)
        out[n++] = '-';
    for (int i = 0; i < (v.exp10 > 1 ? v.exp10 : 1); i++)
        out[n++] = (char)('0' + (v.exp10 > 0 ? decimal_digit(&v, i) : 0));
    for (int i = v.exp10 > 0 ? v.exp10 : 0, zeros = v.exp10; i < v.n; zeros++) {
        if (zeros == v.exp10)
            out[n++] = '.';
        out[n++] = (char)('0' + (zeros < 0 ? 0 : v.d[i]));
        i += zeros >= 0;
    }
    for (int i = 0; i < n && start; i++)
        start = chain_get(m, start, (uint32_t)out[i]);
    return start;
}

struct part {
    const uint32_t *v;
    uint32_t n;
};

static int by_text(const void *x, const void *y)
{
    const struct part *a = x, *b = y;
    for (uint32_t i = 0; i < a->n && i < b->n; i++)
        if (a->v[i] != b->v[i])
            return a->v[i] < b->v[i] ? -1 : 1;
    return a->n < b->n ? -1 : a->n > b->n;
}

/* An array or object ends: its extra properties are put in one order. */
const struct chain *close_text(struct machine *m, const struct chain *text)
{
    uint32_t n = 0, n_parts = 0, deep = 0, k;
    const struct chain *at = text;
    for (;; at = at->prev, n++) { /* back to where it began */
        if (at->cp == M_END)
            deep++;
        if ((at->cp == M_VALUE + K_ARR || at->cp == M_VALUE + K_OBJ) && !deep--)
            break;
        n_parts += at->cp == M_XKEY && !deep;
    }
    if (n_parts > 1) {
        uint32_t *cps = malloc(n * sizeof *cps);
        struct part *parts = malloc(n_parts * sizeof *parts);
        if (!cps || !parts) {
            free(cps);
            free(parts);
            return NULL;
        }
        for (k = n, deep = 0, at = text; k > 0; at = at->prev)
            cps[--k] = at->cp;
        uint32_t n_found = 0, first = 0;
        for (k = 0; k < n; k++) {
            deep += cps[k] == M_VALUE + K_ARR || cps[k] == M_VALUE + K_OBJ;
            deep -= cps[k] == M_END;
            if (cps[k] == M_XKEY && !deep) {
                first = n_found ? first : k;
                parts[n_found++].v = &cps[k];
            }
        }
        for (k = 0; k < n_found; k++)
            parts[k].n = (uint32_t)((k + 1 < n_found ? parts[k + 1].v : cps + n) - parts[k].v);
        qsort(parts, n_found, sizeof *parts, by_text);
        for (k = 0; k < first && at; k++)
            at = chain_get(m, at, cps[k]);
        for (uint32_t i = 0; i < n_found; i++)
            for (k = 0; k < parts[i].n && at; k++)
                at = chain_get(m, at, parts[i].v[k]);
        text = at;
        free(cps);
        free(parts);
    }
    return text ? chain_get(m, text, M_END) : NULL;
}

/* The frame around a value that has ended, once the value's text is in it. */
const struct frame *with_value(struct machine *m, const struct frame *up, const struct chain *text)
{
    struct frame x = *up;
    if (!must_differ(up))
        x.text = text;
    else if (!(x.used = used_add(m, up->used, text)) ||
             (up->text && !(x.text = chain_join(m, up->text, text))))
        return NULL;
    return frame_get(m, &x);
}
