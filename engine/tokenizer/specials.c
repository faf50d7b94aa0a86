/* engine/tokenizer/specials.c - cut special and user-defined tokens out of a text.
 *
 * The rule: take the tokens longest first; cut the text at each occurrence, left to right;
 * what is cut is seen by no later token. Done token by token that is tokens x text (thousands
 * times a prompt), so instead a trie finds the longest token at each place, and a heap in the
 * order (longest, leftmost) replays the rule. A place whose token does not fit in what is left
 * tries the next shorter token that starts there.
 *
 * Control and unknown tokens only match wholly inside one trusted span: text of users never
 * becomes one of them. User-defined tokens match everywhere. */
#include "engine/tokenizer/inside.h"

#include <stdlib.h>
#include <string.h>

/* ---- at loading ------------------------------------------------------------------------- */

static int by_length(const void *pa, const void *pb)
{
    const struct special *a = pa, *b = pb;
    if (a->len != b->len)
        return a->len > b->len ? -1 : 1;
    return a->id < b->id ? -1 : 1;
}

static uint32_t *child_list(struct tok_vocab *v, uint32_t node, unsigned char byte)
{
    return node ? &v->trie[node].child : &v->first[byte];
}

/* The child of `node` by that byte; made if there is none. */
static uint32_t trie_step(struct tok_vocab *v, uint32_t node, unsigned char byte)
{
    uint32_t *list = child_list(v, node, byte);
    for (uint32_t c = *list; c; c = v->trie[c].sibling)
        if (v->trie[c].byte == byte)
            return c;
    const uint32_t c = v->n_trie++;
    v->trie[c] = (struct trie_node){.sibling = *list, .special = -1, .byte = byte};
    *list = c;
    return c;
}

int tok_specials_build(struct tok_vocab *v, struct err *e)
{
    const unsigned wanted = ATTR_HIDDEN | ATTR_USER;
    size_t bytes = 1, n = 0;
    for (tok_id id = 0; id < v->n; id++)
        if (v->attr[id] & wanted) {
            n++;
            bytes += tok_text_at(v, id).n;
        }
    v->specials = arena_alloc(&v->arena, (n ? n : 1) * sizeof *v->specials, 8);
    v->trie = arena_alloc(&v->arena, bytes * sizeof *v->trie, 8);
    if (!v->specials || !v->trie || bytes > INT32_MAX)
        return err_set(e, ERR_MEMORY, "no memory for %zu special tokens", n);
    for (tok_id id = 0; id < v->n; id++) {
        const struct text t = tok_text_at(v, id);
        if (v->attr[id] & wanted && tok_find(v, t.p, t.n) == id)
            v->specials[v->n_specials++] =
                (struct special){.id = id, .len = (uint32_t)t.n, .shorter = -1};
    }
    qsort(v->specials, v->n_specials, sizeof *v->specials, by_length);
    v->n_trie = 1;
    v->trie[0].special = -1;
    for (uint32_t i = 0; i < v->n_specials; i++) {
        const struct text t = tok_text_at(v, v->specials[i].id);
        uint32_t node = 0;
        for (size_t k = 0; k < t.n; k++)
            node = trie_step(v, node, (unsigned char)t.p[k]);
        v->trie[node].special = (int32_t)i;
    }
    for (uint32_t i = 0; i < v->n_specials; i++) {
        const struct text t = tok_text_at(v, v->specials[i].id);
        uint32_t node = 0;
        for (size_t k = 0; k + 1 < t.n; k++) {
            node = trie_step(v, node, (unsigned char)t.p[k]);
            if (v->trie[node].special >= 0)
                v->specials[i].shorter = v->trie[node].special;
        }
    }
    return 0;
}

/* ---- at tokenizing ---------------------------------------------------------------------- */

/* The longest special token at text[0..n), or -1. */
static int32_t longest_at(const struct tok_vocab *v, const char *text, size_t n)
{
    int32_t best = -1;
    uint32_t node = v->first[(unsigned char)text[0]];
    for (size_t k = 1; node; k++) {
        if (v->trie[node].special >= 0)
            best = v->trie[node].special;
        if (k == n)
            break;
        uint32_t c = v->trie[node].child;
        while (c && v->trie[c].byte != (unsigned char)text[k])
            c = v->trie[c].sibling;
        node = c;
    }
    return best;
}

static bool in_one_span(const struct text_span *spans, size_t n, size_t start, size_t end)
{
    size_t lo = 0, hi = n; /* the first span that ends behind `start` */
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (spans[mid].end > start)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo < n && spans[lo].start <= start && end <= spans[lo].end;
}

struct place {
    int32_t special;
    size_t at;
};
struct cutter {
    const struct tok_vocab *v;
    const char *text;
    size_t n;
    const struct text_span *trusted;
    size_t n_trusted;
    struct place *heap;
    size_t n_heap, cap_heap;
    unsigned char *taken; /* one a byte */
    struct segment *cut;  /* the tokens that are cut out, in order of length */
    size_t n_cut, cap_cut;
};

/* Specials are sorted, so a lower index is a longer token (or an earlier one of that length). */
static bool goes_before(struct place a, struct place b)
{
    return a.special != b.special ? a.special < b.special : a.at < b.at;
}

static int place_push(struct cutter *c, struct place p, struct err *e)
{
    if (tok_room_for((void **)&c->heap, &c->cap_heap, c->n_heap + 1, sizeof *c->heap, e))
        return -1;
    size_t i = c->n_heap++;
    for (; i > 0 && goes_before(p, c->heap[(i - 1) / 2]); i = (i - 1) / 2)
        c->heap[i] = c->heap[(i - 1) / 2];
    c->heap[i] = p;
    return 0;
}

static struct place place_pop(struct cutter *c)
{
    const struct place top = c->heap[0], last = c->heap[--c->n_heap];
    size_t i = 0;
    for (;;) {
        size_t k = 2 * i + 1;
        if (k >= c->n_heap)
            break;
        if (k + 1 < c->n_heap && goes_before(c->heap[k + 1], c->heap[k]))
            k++;
        if (!goes_before(c->heap[k], last))
            break;
        c->heap[i] = c->heap[k];
        i = k;
    }
    if (c->n_heap)
        c->heap[i] = last;
    return top;
}

/* The first of `special` and its shorter ones that may match at that place, or -1. */
static int32_t allowed(const struct cutter *c, int32_t special, size_t at)
{
    while (special >= 0) {
        const struct special *s = &c->v->specials[special];
        if (!(c->v->attr[s->id] & ATTR_HIDDEN) ||
            in_one_span(c->trusted, c->n_trusted, at, at + s->len))
            break;
        special = s->shorter;
    }
    return special;
}

static bool is_blank(char b)
{
    return b == ' ' || (b >= '\t' && b <= '\r');
}

static int take(struct cutter *c, struct place p, struct err *e)
{
    const struct special *s = &c->v->specials[p.special];
    struct segment seg = {p.at, p.at + s->len, s->id};
    if (c->v->attr[s->id] & ATTR_LSTRIP)
        while (seg.start > 0 && !c->taken[seg.start - 1] && is_blank(c->text[seg.start - 1]))
            seg.start--;
    if (c->v->attr[s->id] & ATTR_RSTRIP)
        while (seg.end < c->n && !c->taken[seg.end] && is_blank(c->text[seg.end]))
            seg.end++;
    memset(c->taken + seg.start, 1, seg.end - seg.start);
    if (tok_room_for((void **)&c->cut, &c->cap_cut, c->n_cut + 1, sizeof *c->cut, e))
        return -1;
    c->cut[c->n_cut++] = seg;
    return 0;
}

static int cut_all(struct cutter *c, struct err *e)
{
    while (c->n_heap) {
        struct place p = place_pop(c);
        const uint32_t len = c->v->specials[p.special].len;
        /* All that was taken so far is at least as long as this token, so an overlap covers
         * one of its ends. */
        if (c->taken[p.at])
            continue;
        if (!c->taken[p.at + len - 1]) {
            if (take(c, p, e))
                return -1;
            continue;
        }
        p.special = allowed(c, c->v->specials[p.special].shorter, p.at);
        if (p.special >= 0 && place_push(c, p, e))
            return -1;
    }
    return 0;
}

static int by_start(const void *pa, const void *pb)
{
    const struct segment *a = pa, *b = pb;
    return a->start < b->start ? -1 : a->start > b->start;
}

static int add_segment(struct segments *out, struct segment s, struct err *e)
{
    if (tok_room_for((void **)&out->s, &out->cap, out->n + 1, sizeof *out->s, e))
        return -1;
    out->s[out->n++] = s;
    return 0;
}

int tok_specials_cut(const struct tok_vocab *v, const char *text, size_t n,
                     const struct text_span *trusted, size_t n_trusted, struct segments *out,
                     struct err *e)
{
    struct cutter c = {.v = v, .text = text, .n = n, .trusted = trusted, .n_trusted = n_trusted};
    int rc = -1;
    for (size_t at = 0; at < n; at++) {
        if (!v->first[(unsigned char)text[at]])
            continue;
        const int32_t s = allowed(&c, longest_at(v, text + at, n - at), at);
        if (s >= 0 && place_push(&c, (struct place){s, at}, e))
            goto done;
    }
    if (c.n_heap) {
        c.taken = calloc(n, 1);
        if (!c.taken) {
            err_set(e, ERR_MEMORY, "no memory to tokenize %zu bytes", n);
            goto done;
        }
        if (cut_all(&c, e))
            goto done;
        qsort(c.cut, c.n_cut, sizeof *c.cut, by_start);
    }
    size_t at = 0;
    for (size_t i = 0; i < c.n_cut; i++) {
        if (c.cut[i].start > at &&
            add_segment(out, (struct segment){at, c.cut[i].start, -1}, e))
            goto done;
        if (add_segment(out, c.cut[i], e))
            goto done;
        at = c.cut[i].end;
    }
    if (at < n && add_segment(out, (struct segment){at, n, -1}, e))
        goto done;
    rc = 0;
done:
    free(c.heap);
    free(c.taken);
    free(c.cut);
    return rc;
}
