/* engine/grammar/grammar.c - a schema becomes a grammar; the door's simple calls. */
#include "engine/grammar/machine.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_REMEMBERED = 48 << 20, MOST_SCHEMA_DEPTH = 64 };

static int depth_of(const json_t *v, int depth)
{
    int most = depth;
    const char *key;
    json_t *x;
    if (depth > MOST_SCHEMA_DEPTH * 4)
        return depth;
    if (json_is_array(v))
        for (size_t i = 0; i < json_array_size(v); i++) {
            const int d = depth_of(json_array_get(v, i), depth + 1);
            most = d > most ? d : most;
        }
    json_object_foreach((json_t *)(uintptr_t)v, key, x)
    {
        const int d = depth_of(x, depth + 1);
        most = d > most ? d : most;
    }
    return most;
}

/* An empty grammar with the two terms that always are: anything, and nothing. */
struct grammar *grammar_new(const json_t *doc, struct err *e)
{
    struct grammar *g = calloc(1, sizeof *g);
    if (!g)
        goto none;
    if (doc && depth_of(doc, 0) > MOST_SCHEMA_DEPTH * 4) {
        err_set(e, ERR_LIMIT, "a JSON schema nested deeper than %d", MOST_SCHEMA_DEPTH * 4);
        grammar_free(g);
        return NULL;
    }
    g->cap_terms = 64;
    g->terms = calloc(g->cap_terms, sizeof *g->terms);
    g->doc = doc ? json_deep_copy(doc) : json_object();
    g->made = json_array();
    if (!g->terms || !g->doc || !g->made)
        goto none;
    g->n_terms = 2;
    g->terms[TERM_NONE].expanded = 2;
    return g;
none:
    err_set(e, ERR_MEMORY, "out of memory");
    grammar_free(g);
    return NULL;
}

/* Declared properties that no value obeys cannot come: nothing may count on them. */
static void object_drop_dead(struct grammar *g, struct atom *a)
{
    struct prop *props = a->obj.props;
    uint32_t *needed = a->obj.needed, n = 0;
    for (uint32_t i = 0; i < a->obj.n_props; i++)
        if (props[i].required || g->terms[props[i].term].life == 1)
            props[n++] = props[i];
    a->obj.n_props = n;
    needed[n] = 0;
    for (uint32_t i = n; i-- > 0;)
        needed[i] = needed[i + 1] + props[i].required;
}

/* Expand all that can be reached, then keep of each term what some value obeys, and of a schema
 * with `properties` and no `type` the objects. */
int grammar_settle(struct grammar *g, const term_id *roots, size_t n, struct err *e)
{
    bool lives;
    for (size_t i = 0; i < n; i++)
        if (term_lives(g, roots[i], &lives, e) != 0)
            return -1;
    for (size_t i = 0; i < g->n_terms; i++)
        g->terms[i].life = 0;
    for (size_t i = 0; i < n; i++) {
        if (term_lives(g, roots[i], &lives, e) != 0)
            return -1;
        if (!lives)
            return err_set(e, ERR_INPUT, GRAMMAR_NO_VALUE " at %s",
                           g->terms[roots[i]].n_lits &&
                                   g->schemas[g->terms[roots[i]].lits[0].schema].path[0]
                               ? g->schemas[g->terms[roots[i]].lits[0].schema].path
                               : "#");
    }
    for (size_t i = 0; i < g->n_terms; i++) {
        struct term *t = &g->terms[i];
        for (uint32_t k = 0; k < t->n_atoms; k++)
            if (t->atoms[k]->kind == K_OBJ)
                object_drop_dead(g, (struct atom *)(uintptr_t)t->atoms[k]);
        uint32_t n_main = 0, n_kept = 0;
        for (uint32_t k = 0; k < t->n_atoms; k++)
            if (term_atom_lives(g, t->atoms[k]))
                n_main += !t->atoms[k]->aside;
        for (uint32_t k = 0; k < t->n_atoms; k++)
            if (term_atom_lives(g, t->atoms[k]) && !(n_main && t->atoms[k]->aside))
                t->atoms[n_kept++] = t->atoms[k];
        t->n_atoms = n_kept;
    }
    for (size_t i = 0; i < g->n_terms; i++)
        for (uint32_t k = 0; k < g->terms[i].n_atoms; k++) {
            const struct atom *a = g->terms[i].atoms[k];
            if (a->kind == K_ARR && a->arr.unique && check_unique(g, a, e) != 0)
                return -1;
        }
    return 0;
}

struct grammar *grammar_json(const json_t *schema, struct err *e)
{
    struct grammar *g = grammar_new(schema, e);
    if (!g)
        return NULL;
    if (term_of_schema(g, g->doc, "", false, &g->root_term, e) != 0 ||
        grammar_settle(g, &g->root_term, 1, e) != 0 || !(g->m = machine_new(g, e))) {
        grammar_free(g);
        return NULL;
    }
    return g;
}

void grammar_free(struct grammar *g)
{
    if (!g)
        return;
    machine_free(g->m);
    free(g->schemas);
    free(g->terms);
    free(g->elems);
    free(g->sets);
    free(g->rules);
    map_free(&g->schema_of);
    map_free(&g->term_of);
    json_decref(g->doc);
    json_decref(g->made);
    arena_free(&g->arena);
    free(g);
}

uint32_t grammar_start(const struct grammar *g)
{
    return g->m->start;
}

uint32_t grammar_step(struct grammar *g, uint32_t state, unsigned char byte)
{
    return state == GRAMMAR_DEAD ? state : machine_step(g->m, state, byte);
}

uint32_t grammar_steps(struct grammar *g, uint32_t state, const char *p, size_t n)
{
    for (size_t i = 0; i < n && state != GRAMMAR_DEAD; i++)
        state = machine_step(g->m, state, (unsigned char)p[i]);
    return state;
}

bool grammar_may_end(const struct grammar *g, uint32_t state)
{
    return state != GRAMMAR_DEAD && machine_may_end(g->m, state);
}

size_t grammar_bytes(const struct grammar *g)
{
    const struct machine *m = g->m;
    return g->arena.used_bytes + m->arena.used_bytes + m->n_masks * m->mask_bytes +
           m->cap_by_id * sizeof *m->by_id +
           (m->frames.cap + m->chains.cap + m->used.cap + m->states.cap) * sizeof *m->states.v +
           m->steps.cap * (sizeof *m->steps.key + sizeof *m->steps.val);
}

const struct err *grammar_failed(const struct grammar *g)
{
    return g->m->failed.code ? &g->m->failed : NULL;
}

void grammar_forced(struct grammar *g, uint32_t state, struct buf *out, size_t most)
{
    while (most-- && state != GRAMMAR_DEAD && !machine_may_end(g->m, state)) {
        uint32_t only = GRAMMAR_DEAD;
        int byte = -1;
        for (int c = 0; c < 256; c++) {
            const uint32_t to = machine_step(g->m, state, (unsigned char)c);
            if (to == GRAMMAR_DEAD)
                continue;
            if (byte >= 0)
                return;
            byte = c;
            only = to;
        }
        if (byte < 0)
            return;
        const char one = (char)byte;
        buf_add(out, &one, 1);
        state = only;
    }
}

/* ---- forgetting ------------------------------------------------------------------------------ */

/* Copy what a frame holds into a fresh machine; the parts are shared there as they were here. */
static const struct chain *move_chain(struct machine *to, const struct chain *c)
{
    const uint32_t n = c ? c->len + 1 : 0; /* with its root */
    uint32_t *cps = malloc((n + 1) * sizeof *cps), i = n;
    const struct chain *out = NULL;
    for (; cps && c; c = c->prev)
        cps[--i] = c->cp;
    for (; cps && i < n; i++)
        out = chain_get(to, out, cps[i]);
    free(cps);
    return out;
}

static const struct used *move_used(struct machine *to, const struct used *u)
{
    const struct used *out = NULL;
    for (; u; u = u->next)
        out = used_add(to, out, move_chain(to, u->text));
    return out;
}

static const struct frame *move_frame(struct machine *to, const struct frame *f)
{
    if (!f)
        return NULL;
    struct frame x = *f;
    x.up = move_frame(to, f->up);
    x.text = move_chain(to, f->text);
    x.used = move_used(to, f->used);
    return frame_get(to, &x);
}

uint32_t grammar_rest(struct grammar *g, uint32_t state)
{
    struct machine *old = g->m;
    struct err e = {0};
    if (state == GRAMMAR_DEAD || old->failed.code || old->arena.used_bytes < MOST_REMEMBERED)
        return state;
    struct machine *m = machine_new(g, &e);
    if (!m)
        return state; /* go on as long as memory lasts */
    const struct state_key *k = old->by_id[state].key;
    m->n_places = 0;
    for (size_t i = 0; i < k->n; i++)
        emit(m, move_frame(m, k->places[i]));
    const uint32_t moved = state_get(m);
    if (moved == GRAMMAR_DEAD) {
        machine_free(m);
        return state;
    }
    machine_free(old);
    g->m = m;
    return moved;
}
