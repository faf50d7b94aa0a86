/* engine/grammar/regex.c - patterns as ECMA-262 writes them -> an automaton.
 *
 * A pattern is read into a tree (regex_parse.c), the tree becomes a machine with branches
 * (Thompson), the machine a table (subset construction). No text is ever matched by trying: time is
 * bounded by the limits on states. `^` and `$` are edges that can be taken at the start and at the
 * end only, so they work anywhere in a pattern. Look-ahead at the very start is an `and` of two
 * automata. What a finite automaton cannot do is refused by name. */
#include "engine/grammar/regex.h"

#include <stdlib.h>
#include <string.h>

static int by_lo(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* ---- the machine with branches --------------------------------------------------------------- */

static uint32_t state_new(struct rx *r, int kind, const struct charset *set, uint32_t a, uint32_t b)
{
    if (r->n_st == MOST_NFA) {
        rx_no(r, "too large");
        return UINT32_MAX;
    }
    if (r->n_st == r->cap_st) {
        const uint32_t cap = r->cap_st ? 2 * r->cap_st : 64;
        struct state *p = realloc(r->st, cap * sizeof *p);
        if (!p) {
            err_set(r->e, ERR_MEMORY, "out of memory");
            return UINT32_MAX;
        }
        r->st = p;
        r->cap_st = cap;
    }
    r->st[r->n_st] = (struct state){kind, set, a, b};
    return r->n_st++;
}

/* The states of `n` before `next`: its first, UINT32_MAX on error. The tree leans left (N_CAT), so
 * the loop keeps the stack as deep as the parentheses are. */
static uint32_t lay(struct rx *r, const struct node *n, uint32_t next)
{
    for (;;) {
        if (next == UINT32_MAX)
            return next;
        switch (n->kind) {
        case N_EMPTY:
            return next;
        case N_SET:
            return state_new(r, S_SET, n->set, next, 0);
        case N_BEGIN:
            return state_new(r, S_BEGIN, NULL, next, 0);
        case N_END:
            return state_new(r, S_END, NULL, next, 0);
        case N_CAT:
            next = lay(r, n->b, next);
            n = n->a;
            continue;
        case N_ALT: {
            uint32_t all = lay(r, n->b, next);
            for (n = n->a; all != UINT32_MAX; n = n->a) {
                const uint32_t one = lay(r, n->kind == N_ALT ? n->b : n, next);
                all = one == UINT32_MAX ? one : state_new(r, S_SPLIT, NULL, one, all);
                if (n->kind != N_ALT)
                    break;
            }
            return all;
        }
        case N_REP: {
            uint32_t at = next;
            if (n->most == NO_END) {
                at = state_new(r, S_SPLIT, NULL, next, next);
                const uint32_t body = at == UINT32_MAX ? at : lay(r, n->a, at);
                if (body == UINT32_MAX)
                    return body;
                r->st[at].a = body;
            } else {
                for (uint32_t k = n->least; k < n->most && at != UINT32_MAX; k++) {
                    const uint32_t body = lay(r, n->a, at);
                    at = body == UINT32_MAX ? body : state_new(r, S_SPLIT, NULL, body, next);
                }
            }
            for (uint32_t k = 0; k < n->least && at != UINT32_MAX; k++)
                at = lay(r, n->a, at);
            return at;
        }
        }
    }
}

enum { MOST_HELD = 1 << 20 }; /* bounds the time: tenths of a second */

/* ---- the table: subset construction ---------------------------------------------------------- */

struct subset { /* a state of the table: states of the machine, sorted */
    uint32_t n, *v;
};
struct table {
    struct rx *r;
    const struct charset **kinds; /* the sets that differ, by their address */
    uint32_t n_kinds, *kind_of;   /* of each state */
    uint8_t *has;                 /* [kind][class] */
    struct subset *sets;
    uint32_t n, cap;
    size_t n_held; /* members of all sets */
    struct map of;
    uint64_t salt; /* the start is a state of its own: only there `^` holds */
    uint32_t turn, *mark; /* scratch of closure: met in this turn */
    uint32_t *stack, *list;
};

/* Follow edges that read nothing. list: sets, ends and finals that were met. */
static uint32_t closure(struct table *t, const uint32_t *from, uint32_t n, bool begin, bool end)
{
    uint32_t top = 0, count = 0;
    t->turn++;
    for (uint32_t i = 0; i < n; i++)
        if (t->mark[from[i]] != t->turn) {
            t->mark[from[i]] = t->turn;
            t->stack[top++] = from[i];
        }
    while (top) {
        const uint32_t s = t->stack[--top];
        const struct state *st = &t->r->st[s];
        uint32_t to[2], n_to = 0;
        if (st->kind == S_SPLIT) {
            to[n_to++] = st->a;
            to[n_to++] = st->b;
        } else if ((st->kind == S_BEGIN && begin) || (st->kind == S_END && end)) {
            to[n_to++] = st->a;
        }
        if (st->kind == S_SET || st->kind == S_FINAL || st->kind == S_END)
            t->list[count++] = s;
        for (uint32_t k = 0; k < n_to; k++)
            if (t->mark[to[k]] != t->turn) {
                t->mark[to[k]] = t->turn;
                t->stack[top++] = to[k];
            }
    }
    for (uint32_t i = 1; i < count; i++)
        if (t->list[i - 1] > t->list[i]) {
            qsort(t->list, count, sizeof *t->list, by_lo);
            break;
        }
    return count;
}

static bool has_final(const struct table *t, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (t->r->st[t->list[i]].kind == S_FINAL)
            return true;
    return false;
}

/* The table's state for list[0..n). */
static int subset_of(struct table *t, uint32_t n, uint32_t *out)
{
    uint64_t h = hash_bytes(7 + t->salt, t->list, n * sizeof *t->list) | 1;
    *out = map_get(&t->of, h);
    if (*out != UINT32_MAX)
        return 0;
    t->n_held += n;
    if (t->n == MOST_DFA || t->n_held > MOST_HELD)
        return rx_no(t->r, "too large");
    if (t->n == t->cap) {
        const uint32_t cap = t->cap ? 2 * t->cap : 64;
        struct subset *p = realloc(t->sets, cap * sizeof *p);
        if (!p)
            return err_set(t->r->e, ERR_MEMORY, "out of memory");
        t->sets = p;
        t->cap = cap;
    }
    struct subset *s = &t->sets[t->n];
    s->v = arena_alloc(t->r->arena, (n + 1) * sizeof *s->v, 4);
    if (!s->v || map_put(&t->of, h, t->n) != 0)
        return err_set(t->r->e, ERR_MEMORY, "out of memory");
    memcpy(s->v, t->list, n * sizeof *s->v);
    s->n = n;
    *out = t->n++;
    return 0;
}

static bool set_has(const struct charset *s, uint32_t cp)
{
    for (uint32_t i = 0; i < s->n; i += 2)
        if (cp >= s->ranges[i] && cp <= s->ranges[i + 1])
            return true;
    return false;
}

/* The same set stands in many states: of a repeat, of `.`. */
static int find_kinds(struct table *t)
{
    const struct rx *r = t->r;
    struct map of = {0};
    int rc = -1;
    t->kinds = malloc((r->n_st + 1) * sizeof *t->kinds);
    t->kind_of = malloc((r->n_st + 1) * sizeof *t->kind_of);
    if (!t->kinds || !t->kind_of)
        goto done;
    for (uint32_t s = 0; s < r->n_st; s++) {
        const struct charset *c = r->st[s].set;
        if (r->st[s].kind != S_SET)
            continue;
        const uint64_t h = hash_bytes(5, c->ranges, c->n * sizeof *c->ranges) | 1;
        uint32_t id = map_get(&of, h);
        if (id == UINT32_MAX || t->kinds[id]->n != c->n ||
            memcmp(t->kinds[id]->ranges, c->ranges, c->n * sizeof *c->ranges) != 0) {
            id = t->n_kinds++;
            t->kinds[id] = c;
            if (map_put(&of, h, id) != 0)
                goto done;
        }
        t->kind_of[s] = id;
    }
    rc = 0;
done:
    map_free(&of);
    return rc ? err_set(r->e, ERR_MEMORY, "out of memory") : 0;
}

/* Which classes each kind of set takes. */
static int lay_kinds(struct table *t, uint32_t n_classes, const uint32_t *sample)
{
    t->has = malloc((size_t)t->n_kinds * n_classes + 1);
    if (!t->has)
        return err_set(t->r->e, ERR_MEMORY, "out of memory");
    for (uint32_t k = 0; k < t->n_kinds; k++)
        for (uint32_t c = 0; c < n_classes; c++)
            t->has[(size_t)k * n_classes + c] = set_has(t->kinds[k], sample[c]);
    return 0;
}

/* Cut all code points where some set begins or ends; ranges with the same members are a class. */
static int cut_ranges(struct table *t, struct dfa *d, uint32_t **sample)
{
    struct rx *r = t->r;
    uint32_t n = 0, m = 0, cap = 1024, *cuts = malloc((cap + 2) * sizeof *cuts);
    struct map of = {0};
    int rc = -1;
    if (!cuts)
        return err_set(r->e, ERR_MEMORY, "out of memory");
    cuts[n++] = 0;
    for (uint32_t s = 0; s < t->n_kinds; s++) {
        const struct charset *c = t->kinds[s];
        for (uint32_t i = 0; i < c->n; i++) {
            if (n > cap) { /* the same sets again and again */
                qsort(cuts, n, sizeof *cuts, by_lo);
                m = 0;
                for (uint32_t k = 0; k < n; k++)
                    if (!m || cuts[m - 1] != cuts[k])
                        cuts[m++] = cuts[k];
                n = m;
                cap = 2 * n + 1024;
                uint32_t *p = realloc(cuts, (cap + 2) * sizeof *p);
                if (!p) {
                    err_set(r->e, ERR_MEMORY, "out of memory");
                    goto done;
                }
                cuts = p;
            }
            const uint32_t at = i % 2 ? c->ranges[i] + 1 : c->ranges[i];
            if (at <= LAST_CHAR)
                cuts[n++] = at;
        }
    }
    qsort(cuts, n, sizeof *cuts, by_lo);
    m = 0;
    for (uint32_t k = 0; k < n; k++)
        if (!m || cuts[m - 1] != cuts[k])
            cuts[m++] = cuts[k];
    rc = 0;
    d->n_ranges = m;
    d->lo = arena_alloc(r->arena, ((size_t)m + 1) * sizeof *d->lo, 4);
    d->class_of = arena_alloc(r->arena, ((size_t)m + 1) * sizeof *d->class_of, 2);
    *sample = arena_alloc(r->arena, ((size_t)m + 1) * sizeof **sample, 4);
    if (!d->lo || !d->class_of || !*sample) {
        rc = err_set(r->e, ERR_MEMORY, "out of memory");
        goto done;
    }
    for (uint32_t k = 0; k < m && rc == 0; k++) {
        uint64_t h = 3;
        for (uint32_t s = 0; s < t->n_kinds; s++) {
            h = (h ^ set_has(t->kinds[s], cuts[k])) * 0x100000001b3u + s;
            h ^= h >> 31;
        }
        uint32_t c = map_get(&of, h | 1);
        if (c == UINT32_MAX) {
            c = d->n_classes++;
            (*sample)[c] = cuts[k];
            if (c > UINT16_MAX)
                rc = rx_no(r, "too many classes");
            else if (map_put(&of, h | 1, c) != 0)
                rc = err_set(r->e, ERR_MEMORY, "out of memory");
        }
        d->lo[k] = cuts[k];
        d->class_of[k] = (uint16_t)c;
    }
    d->lo[m] = LAST_CHAR + 1;
done:
    map_free(&of);
    free(cuts);
    return rc;
}

static struct dfa *build(struct rx *r, const struct node *tree, struct arena *out)
{
    static const uint32_t everything[] = {0, LAST_CHAR};
    static const struct charset any = {.n = 2, .ranges = everything};
    struct dfa raw = {0}, *d = NULL;
    struct table t = {.r = r};
    uint32_t *sample = NULL, *next = NULL;
    uint8_t *accept = NULL;
    size_t cap = 0, cap_accept = 0;
    r->n_st = 0;
    /* .* pattern .*, for it may lie anywhere */
    const uint32_t final = state_new(r, S_FINAL, NULL, 0, 0);
    const uint32_t tail = final == UINT32_MAX ? final : state_new(r, S_SPLIT, NULL, final, final);
    const uint32_t more = tail == UINT32_MAX ? tail : state_new(r, S_SET, &any, tail, 0);
    if (more == UINT32_MAX)
        goto done;
    r->st[tail].b = more;
    const uint32_t body = lay(r, tree, tail);
    const uint32_t head = body == UINT32_MAX ? body : state_new(r, S_SPLIT, NULL, body, body);
    const uint32_t skip = head == UINT32_MAX ? head : state_new(r, S_SET, &any, head, 0);
    if (skip == UINT32_MAX)
        goto done;
    r->st[head].b = skip;
    if (find_kinds(&t) != 0 || cut_ranges(&t, &raw, &sample) != 0 ||
        lay_kinds(&t, raw.n_classes, sample) != 0)
        goto done;
    t.mark = calloc(r->n_st, sizeof *t.mark);
    t.stack = malloc(r->n_st * sizeof *t.stack);
    t.list = malloc(r->n_st * sizeof *t.list);
    uint32_t *moved = arena_alloc(r->arena, r->n_st * sizeof *moved, 4);
    if (!t.mark || !t.stack || !t.list || !moved) {
        err_set(r->e, ERR_MEMORY, "out of memory");
        goto done;
    }
    uint32_t id;
    t.salt = 1ull << 40; /* no first member is so large: the sums cannot meet */
    if (subset_of(&t, closure(&t, &head, 1, true, false), &id) != 0)
        goto done;
    t.salt = 0;
    const bool empty_fits = has_final(&t, closure(&t, &head, 1, true, true));
    for (uint32_t s = 0; s < t.n; s++) {
        if ((size_t)(s + 1) * raw.n_classes > cap || s + 1 > cap_accept) {
            cap = 2 * (size_t)(s + 1) * raw.n_classes;
            cap_accept = 2 * (size_t)(s + 1);
            uint32_t *p = realloc(next, cap * sizeof *p);
            next = p ? p : next;
            uint8_t *q = realloc(accept, cap_accept);
            accept = q ? q : accept;
            if (!p || !q) {
                err_set(r->e, ERR_MEMORY, "out of memory");
                goto done;
            }
        }
        accept[s] =
            s ? has_final(&t, closure(&t, t.sets[s].v, t.sets[s].n, false, true)) : empty_fits;
        for (uint32_t c = 0; c < raw.n_classes; c++) {
            uint32_t n_moved = 0, *to = &next[(size_t)s * raw.n_classes + c];
            for (uint32_t i = 0; i < t.sets[s].n; i++) {
                const uint32_t v = t.sets[s].v[i];
                if (r->st[v].kind == S_SET && t.has[(size_t)t.kind_of[v] * raw.n_classes + c])
                    moved[n_moved++] = r->st[v].a;
            }
            *to = DFA_DEAD;
            if (n_moved && subset_of(&t, closure(&t, moved, n_moved, false, false), to) != 0)
                goto done;
        }
    }
    raw.n_states = t.n;
    raw.next = next;
    raw.accept = accept;
    d = dfa_finish(out, &raw, r->e);
done:
    map_free(&t.of);
    free(t.sets);
    free(t.kinds);
    free(t.kind_of);
    free(t.has);
    free(t.mark);
    free(t.stack);
    free(t.list);
    free(next);
    free(accept);
    return d;
}

struct dfa *regex_compile(struct arena *a, const char *pattern, size_t n, struct err *e)
{
    struct err own = {0};
    struct arena scratch = {0};
    struct rx r = {.p = pattern, .n = n, .arena = &scratch, .e = e ? e : &own};
    struct dfa *d = NULL;
    if (!text_is_utf8(pattern, n)) {
        rx_no(&r, "not UTF-8");
        return NULL;
    }
    struct node *tree = rx_parse(&r);
    if (tree)
        d = build(&r, tree, a);
    for (struct ahead *h = r.aheads; d && h; h = h->next) {
        /* It begins where the pattern does: at the start. */
        struct node *begin = rx_node(&r, N_BEGIN), *cat = begin ? rx_node(&r, N_CAT) : NULL;
        if (!cat) {
            d = NULL;
            break;
        }
        cat->a = begin;
        cat->b = h->what;
        const struct dfa *x = build(&r, cat, a);
        d = x ? dfa_merge(a, d, x, h->neg ? DFA_BUT : DFA_AND, e) : NULL;
    }
    free(r.st);
    arena_free(&scratch);
    return d;
}
