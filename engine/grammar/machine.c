/* engine/grammar/machine.c - the machine that reads a text byte by byte: frames, states, and what
 * is remembered of both.
 *
 * A state is the set of all frames where the text may be. Frames and states are kept once each, so
 * that a state is a number, a step from it is looked up after the first time, and the mask of
 * tokens belongs to it (mask.c). All of this is made as the text goes: nothing is built for parts
 * of a schema that no text reaches. */
#include "engine/grammar/machine.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_PLACES = 4096 };

struct grammar *grammar_of(struct machine *m)
{
    return m->g;
}

static void fail(struct machine *m, enum err_code code, const char *why)
{
    if (!m->failed.code)
        err_set(&m->failed, code, "%s", why);
}

/* ---- kept once: frames, chains, lists -------------------------------------------------------- */

static uint64_t frame_hash(const struct frame *f)
{
    const uint64_t v[6] = {(uint64_t)(uintptr_t)f->up,
                           (uint64_t)(uintptr_t)f->what,
                           (uint64_t)(uintptr_t)f->text ^ (uint64_t)(uintptr_t)f->used << 1,
                           (uint64_t)f->a << 32 | f->b,
                           (uint64_t)f->c << 32 | (uint64_t)f->depth << 16 | f->ws,
                           (uint64_t)f->kind << 8 | f->phase};
    uint64_t h = 0x243f6a8885a308d3u;
    for (int i = 0; i < 6; i++) {
        h = (h ^ v[i]) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
    }
    return h;
}

static bool frame_same(const struct frame *x, const struct frame *y)
{
    return x->up == y->up && x->what == y->what && x->text == y->text && x->used == y->used &&
           x->a == y->a && x->b == y->b && x->c == y->c && x->depth == y->depth && x->ws == y->ws &&
           x->kind == y->kind && x->phase == y->phase;
}

static int set_grow(struct set *s)
{
    struct set big = {.cap = s->cap ? 2 * s->cap : 256};
    big.v = calloc(big.cap, sizeof *big.v);
    if (!big.v)
        return -1;
    for (size_t i = 0; i < s->cap; i++)
        if (s->v[i].p) {
            size_t k = s->v[i].hash & (big.cap - 1);
            while (big.v[k].p)
                k = (k + 1) & (big.cap - 1);
            big.v[k] = s->v[i];
            big.n++;
        }
    free(s->v);
    *s = big;
    return 0;
}

/* A free or equal place for something with this hash; NULL without memory. */
static struct set_slot *set_find(struct set *s, uint64_t hash, const void *x,
                                 bool (*same)(const void *, const void *))
{
    if (2 * (s->n + 1) > s->cap && set_grow(s) != 0)
        return NULL;
    size_t k = hash & (s->cap - 1);
    while (s->v[k].p && (s->v[k].hash != hash || !same(s->v[k].p, x)))
        k = (k + 1) & (s->cap - 1);
    return &s->v[k];
}

/* Keep a copy of x once. */
static const void *keep(struct machine *m, struct set *s, uint64_t hash, const void *x, size_t size,
                        bool (*same)(const void *, const void *))
{
    struct set_slot *slot = set_find(s, hash, x, same);
    if (slot && !slot->p) {
        void *p = arena_alloc(&m->arena, size, 8);
        if (p) {
            memcpy(p, x, size);
            *slot = (struct set_slot){p, hash};
            s->n++;
        }
    }
    if (!slot || !slot->p) {
        fail(m, ERR_MEMORY, "out of memory");
        return NULL;
    }
    return slot->p;
}

static bool same_frames(const void *x, const void *y)
{
    return frame_same(x, y);
}

const struct frame *frame_get(struct machine *m, const struct frame *f)
{
    struct frame x = *f;
    x.stamp = 0;
    x.id = (uint32_t)m->frames.n;
    return keep(m, &m->frames, frame_hash(f), &x, sizeof x, same_frames);
}

static bool same_chains(const void *x, const void *y)
{
    const struct chain *a = x, *b = y;
    return a->prev == b->prev && a->cp == b->cp && a->len == b->len;
}

const struct chain *chain_get(struct machine *m, const struct chain *prev, uint32_t cp)
{
    const struct chain c = {prev, cp, prev ? prev->len + 1 : 0};
    const uint64_t v[2] = {(uint64_t)(uintptr_t)prev, cp};
    return keep(m, &m->chains, hash_bytes(17, v, sizeof v), &c, sizeof c, same_chains);
}

static bool same_used(const void *x, const void *y)
{
    const struct used *a = x, *b = y;
    return a->next == b->next && a->text == b->text;
}

/* The list is sorted, so that what was used and not the order makes it. */
const struct used *used_add(struct machine *m, const struct used *u, const struct chain *text)
{
    if (u && (uintptr_t)u->text > (uintptr_t)text) {
        const struct used *rest = used_add(m, u->next, text);
        if (!rest)
            return NULL;
        const struct used x = {rest, u->text};
        const uint64_t v[2] = {(uint64_t)(uintptr_t)x.next, (uint64_t)(uintptr_t)x.text};
        return keep(m, &m->used, hash_bytes(19, v, sizeof v), &x, sizeof x, same_used);
    }
    const struct used x = {u, text};
    const uint64_t v[2] = {(uint64_t)(uintptr_t)x.next, (uint64_t)(uintptr_t)x.text};
    return keep(m, &m->used, hash_bytes(19, v, sizeof v), &x, sizeof x, same_used);
}

/* ---- states ---------------------------------------------------------------------------------- */

void emit(struct machine *m, const struct frame *f)
{
    if (m->failed.code)
        return;
    if (m->n_places == m->cap_places) {
        const size_t cap = m->cap_places ? 2 * m->cap_places : 64;
        const struct frame **p = realloc(m->places, cap * sizeof *p);
        if (!p) {
            fail(m, ERR_MEMORY, "out of memory");
            return;
        }
        m->places = p;
        m->cap_places = cap;
    }
    if (m->n_places >= MOST_PLACES) {
        fail(m, ERR_UNSUPPORTED, "the grammar is too ambiguous");
        return;
    }
    m->places[m->n_places++] = f;
}

bool first_visit(struct machine *m, const struct frame *f)
{
    if (!f || f->stamp == m->stamp)
        return false;
    ((struct frame *)(uintptr_t)f)->stamp = m->stamp;
    return true;
}

static int by_id(const void *a, const void *b)
{
    const struct frame *x = *(const struct frame *const *)a, *y = *(const struct frame *const *)b;
    const int64_t i = x ? (int64_t)x->id + 1 : 0, k = y ? (int64_t)y->id + 1 : 0;
    return i < k ? -1 : i > k;
}

static bool same_states(const void *x, const void *y)
{
    const struct state_key *a = x, *b = y;
    return a->n == b->n && memcmp(a->places, b->places, a->n * sizeof *a->places) == 0;
}

/* The state of the places that were emitted; GRAMMAR_DEAD for none. */
uint32_t state_get(struct machine *m)
{
    size_t n = 0;
    if (m->failed.code || !m->n_places)
        return GRAMMAR_DEAD;
    qsort(m->places, m->n_places, sizeof *m->places, by_id);
    for (size_t i = 0; i < m->n_places; i++)
        if (!n || m->places[i] != m->places[n - 1])
            m->places[n++] = m->places[i];
    const struct state_key key = {n, m->places, 0};
    const uint64_t h = hash_bytes(23, m->places, n * sizeof *m->places);
    struct set_slot *slot = set_find(&m->states, h, &key, same_states);
    if (!slot)
        goto none;
    if (slot->p)
        return ((const struct state_key *)slot->p)->id;
    struct state_key *k = arena_alloc(&m->arena, sizeof *k, 8);
    const struct frame **places = arena_alloc(&m->arena, n * sizeof *places, 8);
    if (!k || !places)
        goto none;
    if (m->n_by_id == m->cap_by_id) {
        const size_t cap = m->cap_by_id ? 2 * m->cap_by_id : 256;
        struct state_info *p = realloc(m->by_id, cap * sizeof *p);
        if (!p)
            goto none;
        m->by_id = p;
        m->cap_by_id = cap;
    }
    memcpy(places, m->places, n * sizeof *places);
    *k = (struct state_key){n, places, (uint32_t)m->n_by_id};
    *slot = (struct set_slot){k, h};
    m->states.n++;
    m->by_id[m->n_by_id] =
        (struct state_info){.key = k, .twin = GRAMMAR_DEAD, .last = GRAMMAR_DEAD};
    return (uint32_t)m->n_by_id++;
none:
    fail(m, ERR_MEMORY, "out of memory");
    return GRAMMAR_DEAD;
}

uint32_t machine_step(struct machine *m, uint32_t state, unsigned char c)
{
    struct state_info *s = &m->by_id[state];
    if (s->last != GRAMMAR_DEAD && s->last_byte == c)
        return s->last;
    const uint64_t key = ((uint64_t)state << 8 | c) + 1;
    const uint32_t known = map_get(&m->steps, key);
    if (known != UINT32_MAX)
        return known == STEP_DEAD ? GRAMMAR_DEAD : known;
    m->n_places = 0;
    m->stamp++;
    const struct state_key *k = s->key;
    for (size_t i = 0; i < k->n && !m->failed.code; i++)
        if (k->places[i])
            step_frame(m, k->places[i], c);
    const uint32_t to = state_get(m);
    if (m->failed.code)
        return GRAMMAR_DEAD;
    if (map_put(&m->steps, key, to == GRAMMAR_DEAD ? STEP_DEAD : to) != 0)
        fail(m, ERR_MEMORY, "out of memory");
    if (to != GRAMMAR_DEAD) {
        m->by_id[state].last = to;
        m->by_id[state].last_byte = c;
    }
    return to;
}

bool machine_may_end(const struct machine *m, uint32_t state)
{
    const struct state_key *k = m->by_id[state].key;
    return !k->places[0]; /* the end sorts first */
}

static void root_places(struct machine *m)
{
    m->n_places = 0;
    m->stamp++;
    if (m->g->is_rules) {
        const struct rule *r = &m->g->rules[m->g->root_rule];
        for (uint32_t i = 0; i < r->n_alts; i++)
            seq_go(m, NULL, r->alts[i]);
    } else {
        const struct frame f = {.kind = F_VALUE, .a = m->g->root_term};
        emit(m, frame_get(m, &f));
    }
}

struct machine *machine_new(struct grammar *g, struct err *e)
{
    struct machine *m = calloc(1, sizeof *m);
    if (!m) {
        err_set(e, ERR_MEMORY, "out of memory");
        return NULL;
    }
    m->g = g;
    root_places(m);
    m->start = state_get(m);
    if (m->failed.code || m->start == GRAMMAR_DEAD) {
        if (m->failed.code)
            *e = m->failed;
        else
            err_set(e, ERR_INPUT, "no text obeys the grammar");
        machine_free(m);
        return NULL;
    }
    return m;
}

void machine_free(struct machine *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->n_by_id; i++)
        free(m->by_id[i].mask);
    free(m->by_id);
    free(m->frames.v);
    free(m->chains.v);
    free(m->used.v);
    free(m->states.v);
    free(m->places);
    map_free(&m->steps);
    arena_free(&m->arena);
    free(m);
}
