/* engine/grammar/mask.c - which tokens may come in a state.
 *
 * Tokens stand in a tree by their bytes, written down in preorder: one walk over it, leaving out
 * what hangs below a byte that cannot come, steps each common beginning once. Most tokens of a
 * vocabulary are plain text that any string takes; inside a string without a pattern they are
 * allowed all at once, by their number of characters, and only the rest of the tree is walked.
 *
 * A mask belongs to its state. States that differ only in counts too far from their limits to
 * matter within one token share it. */
#include "engine/grammar/machine.h"

#include <stdlib.h>
#include <string.h>

enum { PLAIN_MOST = 32, MOST_MASKS = 2048 };

struct node {
    uint32_t past;       /* the node behind all that hangs below */
    uint32_t tok, n_tok; /* tokens that end here: in `order` */
    uint16_t depth;      /* bytes of the text that ends here */
    uint8_t byte;
};
struct tree {
    struct node *v;
    size_t n, cap;
};
struct grammar_vocab {
    int32_t n;
    size_t n_words; /* of a mask: 64 bits each */
    int32_t *order; /* tokens, sorted by their bytes; plain ones first */
    size_t n_plain, n_rest;
    uint64_t *plain;     /* [PLAIN_MOST + 1][n_words]: plain tokens of at most k characters */
    struct tree tree[2]; /* of the plain ones, of the rest */
    size_t longest;
};

/* ---- the tree -------------------------------------------------------------------------------- */

struct entry {
    const char *p;
    size_t n;
    int32_t id;
    bool is_plain;
};

/* Characters of a token of whole plain characters; 0 when it is not one. */
static size_t plain_length(const char *p, size_t n)
{
    size_t k = 0;
    if (!text_is_utf8(p, n))
        return 0;
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)p[i];
        if (c < 0x20 || c == '"' || c == '\\')
            return 0;
        k += (c & 0xc0) != 0x80;
    }
    return k <= PLAIN_MOST ? k : 0;
}

static int by_bytes(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->is_plain != y->is_plain)
        return x->is_plain ? -1 : 1;
    const int c = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);
    return c ? c : x->n != y->n ? (x->n < y->n ? -1 : 1) : x->id < y->id ? -1 : 1;
}

static int node_add(struct tree *t, const struct node *x)
{
    if (t->n == t->cap) {
        const size_t cap = t->cap ? 2 * t->cap : 1024;
        struct node *p = realloc(t->v, cap * sizeof *p);
        if (!p)
            return -1;
        t->v = p;
        t->cap = cap;
    }
    t->v[t->n++] = *x;
    return 0;
}

/* Entries [from, to) of one kind, sorted: into the tree. `open` is the way down to the last text.
 */
static int tree_build(struct tree *t, const struct entry *v, size_t from, size_t to, size_t longest)
{
    size_t *open = malloc((longest + 1) * sizeof *open), n_open = 0;
    int rc = -1;
    if (!open)
        return -1;
    for (size_t i = from; i < to; i++) {
        size_t same = 0;
        while (i > from && same < v[i].n && same < v[i - 1].n && v[i].p[same] == v[i - 1].p[same])
            same++;
        while (n_open > same)
            t->v[open[--n_open]].past = (uint32_t)t->n;
        for (size_t k = same; k < v[i].n; k++) {
            const struct node x = {.depth = (uint16_t)(k + 1), .byte = (uint8_t)v[i].p[k]};
            open[n_open++] = t->n;
            if (node_add(t, &x) != 0)
                goto done;
        }
        struct node *end = &t->v[open[n_open - 1]];
        if (!end->n_tok)
            end->tok = (uint32_t)i;
        end->n_tok++;
    }
    while (n_open)
        t->v[open[--n_open]].past = (uint32_t)t->n;
    rc = 0;
done:
    free(open);
    return rc;
}

struct grammar_vocab *grammar_vocab_new(int32_t n_tokens,
                                        struct text (*bytes)(void *arg, int32_t id), void *arg,
                                        struct err *e)
{
    struct grammar_vocab *v = calloc(1, sizeof *v);
    struct entry *all = malloc(((size_t)n_tokens + 1) * sizeof *all);
    size_t n = 0;
    bool good = false;
    if (!v || !all)
        goto done;
    v->n = n_tokens;
    v->n_words = ((size_t)n_tokens + 63) / 64;
    v->order = malloc(((size_t)n_tokens + 1) * sizeof *v->order);
    v->plain = calloc((PLAIN_MOST + 1) * v->n_words + 1, sizeof *v->plain);
    if (!v->order || !v->plain)
        goto done;
    for (int32_t id = 0; id < n_tokens; id++) {
        const struct text t = bytes(arg, id);
        if (!t.n || t.n > UINT16_MAX)
            continue;
        const size_t k = plain_length(t.p, t.n);
        all[n++] = (struct entry){t.p, t.n, id, k != 0};
        v->n_plain += k != 0;
        v->longest = t.n > v->longest ? t.n : v->longest;
        for (size_t m = k; k && m <= PLAIN_MOST; m++)
            v->plain[m * v->n_words + (size_t)id / 64] |= (uint64_t)1 << (id % 64);
    }
    v->n_rest = n - v->n_plain;
    qsort(all, n, sizeof *all, by_bytes);
    for (size_t i = 0; i < n; i++)
        v->order[i] = all[i].id;
    good = tree_build(&v->tree[0], all, 0, v->n_plain, v->longest) == 0 &&
           tree_build(&v->tree[1], all, v->n_plain, n, v->longest) == 0;
done:
    free(all);
    if (good)
        return v;
    grammar_vocab_free(v);
    err_set(e, ERR_MEMORY, "out of memory");
    return NULL;
}

void grammar_vocab_free(struct grammar_vocab *v)
{
    if (!v)
        return;
    free(v->order);
    free(v->plain);
    free(v->tree[0].v);
    free(v->tree[1].v);
    free(v);
}

size_t grammar_vocab_bytes(const struct grammar_vocab *v)
{
    return v ? sizeof *v + (size_t)v->n * sizeof *v->order +
                   (PLAIN_MOST + 1) * v->n_words * sizeof *v->plain +
                   (v->tree[0].cap + v->tree[1].cap) * sizeof(struct node)
             : 0;
}

/* ---- states that share a mask ---------------------------------------------------------------- */

/* A count between its limits, moved to where nothing within `far` steps can tell the difference. */
static uint32_t clamp(uint32_t n, uint32_t least, uint32_t most, uint32_t far)
{
    if (n < least)
        return least - n > far ? least - far : n;
    if (most == NO_END || most - n <= far)
        return n;
    return most - far > least ? most - far : least;
}

static const struct frame *clamped(struct machine *m, const struct frame *f, uint32_t far)
{
    if (!f)
        return NULL;
    struct frame x = *f;
    x.up = clamped(m, f->up, far);
    if (f->text)
        return frame_get(m, &x); /* counts say how many values are left */
    if (f->kind == F_STR) {
        const struct atom *a = f->what;
        if (a->str.most != NO_END || a->str.least)
            x.b = clamp(f->b, a->str.least, a->str.most, far);
    } else if (f->kind == F_ARR) {
        const struct atom *a = f->what;
        if (f->a >= a->arr.n_prefix && !a->arr.unique && !a->arr.n_contains) {
            x.a = clamp(f->a, a->arr.least, a->arr.most, far);
            x.a = x.a < a->arr.n_prefix ? f->a : x.a;
        }
    } else if (f->kind == F_OBJ) {
        const struct atom *a = f->what;
        if (f->a == a->obj.n_props && !a->obj.distinct)
            x.b = clamp(f->b, a->obj.least, a->obj.most, far);
    }
    return frame_get(m, &x);
}

static uint32_t twin_of(struct machine *m, uint32_t state, uint32_t far)
{
    if (m->by_id[state].twin != GRAMMAR_DEAD)
        return m->by_id[state].twin;
    const struct state_key *k = m->by_id[state].key;
    m->n_places = 0;
    for (size_t i = 0; i < k->n; i++)
        emit(m, clamped(m, k->places[i], far));
    const uint32_t twin = state_get(m);
    if (twin != GRAMMAR_DEAD) {
        m->by_id[state].twin = twin;
        m->by_id[twin].twin = twin;
    }
    return twin;
}

/* ---- the walk -------------------------------------------------------------------------------- */

static void walk(struct machine *m, const struct grammar_vocab *v, const struct tree *t,
                 uint32_t state, uint32_t *at, uint64_t *mask)
{
    at[0] = state;
    for (size_t i = 0; i < t->n;) {
        const struct node *x = &t->v[i];
        const uint32_t to = machine_step(m, at[x->depth - 1], x->byte);
        if (to == GRAMMAR_DEAD) {
            i = x->past;
            continue;
        }
        at[x->depth] = to;
        for (uint32_t k = 0; k < x->n_tok; k++) {
            const int32_t id = v->order[x->tok + k];
            mask[id / 64] |= (uint64_t)1 << (id % 64);
        }
        i++;
    }
}

/* How many plain characters any string takes here; 0: not all of them. */
static uint32_t plain_room(const struct state_key *k)
{
    uint32_t most = 0;
    for (size_t i = 0; i < k->n; i++) {
        const struct frame *f = k->places[i];
        uint32_t room = 0;
        if (!f || f->c)
            continue;
        if (f->kind ==
            F_STR) { /* one that must differ can always go on, as long as it has no limit */
            const struct atom *a = f->what;
            if (a->str.dfa->free[f->a] && (!f->text || a->str.most == NO_END))
                room = a->str.most == NO_END ? PLAIN_MOST : a->str.most - f->b;
        } else if (f->kind == F_XKEY) {
            const struct extra *e = f->what;
            if (e->keys->free[f->a])
                room = PLAIN_MOST;
        }
        most = room > most ? room : most;
    }
    return most > PLAIN_MOST ? PLAIN_MOST : most;
}

bool grammar_has_mask(const struct grammar *g, uint32_t state)
{
    const struct state_info *all = g->m->by_id;
    return state != GRAMMAR_DEAD && all[state].twin != GRAMMAR_DEAD && all[all[state].twin].mask;
}

const uint64_t *grammar_mask(struct grammar *g, const struct grammar_vocab *v, uint32_t state)
{
    struct machine *m = g->m;
    uint32_t *at = NULL;
    uint64_t *mask = NULL;
    if (state == GRAMMAR_DEAD || m->failed.code)
        return NULL;
    const uint32_t twin = twin_of(m, state, (uint32_t)v->longest + 1);
    if (twin == GRAMMAR_DEAD)
        return NULL;
    if (m->by_id[twin].mask)
        return m->by_id[twin].mask;
    if (m->n_masks == MOST_MASKS) {
        for (size_t i = 0; i < m->n_by_id; i++) {
            free(m->by_id[i].mask);
            m->by_id[i].mask = NULL;
        }
        m->n_masks = 0;
    }
    mask = calloc(v->n_words + 1, sizeof *mask);
    at = malloc((v->longest + 1) * sizeof *at);
    if (!mask || !at) {
        err_set(&m->failed, ERR_MEMORY, "out of memory");
        goto done;
    }
    const uint32_t room = plain_room(m->by_id[twin].key);
    if (room)
        memcpy(mask, v->plain + room * v->n_words, v->n_words * sizeof *mask);
    /* Longer ones do not fit, unless the text may be at another place as well. */
    if (room < PLAIN_MOST && !(room && m->by_id[twin].key->n == 1))
        walk(m, v, &v->tree[0], twin, at, mask);
    walk(m, v, &v->tree[1], twin, at, mask);
    if (!m->failed.code) {
        m->by_id[twin].mask = mask;
        m->n_masks++;
        m->mask_bytes = (v->n_words + 1) * sizeof *mask;
        mask = NULL;
    }
done:
    free(at);
    free(mask);
    return m->by_id[twin].mask;
}
