/* engine/tokenizer/merge.c - join neighbours, the best pair first, in n log n.
 *
 * One engine for both kinds. Byte-level BPE: a pair joins if the merge list has it, lowest rank
 * first. SentencePiece: a pair joins if the joined text is a token, highest score first. Of
 * equals the leftmost goes first. The heap keeps entries that a later join has made stale;
 * they are told by their length: symbols only ever grow. */
#include "engine/tokenizer/inside.h"

#include <stdlib.h>
#include <string.h>

int tok_room_for(void **p, size_t *cap, size_t want, size_t size, struct err *e)
{
    if (want <= *cap)
        return 0;
    size_t n = *cap ? *cap : 64, bytes;
    while (n < want)
        n = n > SIZE_MAX / 2 ? want : 2 * n;
    void *q = size_mul(&bytes, n, size) ? NULL : realloc(*p, bytes);
    if (!q)
        return err_set(e, ERR_MEMORY, "no memory to tokenize the text");
    *p = q;
    *cap = n;
    return 0;
}

void tok_merger_free(struct merger *m)
{
    free(m->sym);
    free(m->heap);
    *m = (struct merger){0};
}

int tok_merger_start(struct merger *m, size_t n_max, struct err *e)
{
    m->n = 0;
    m->n_heap = 0;
    return tok_room_for((void **)&m->sym, &m->cap_sym, n_max, sizeof *m->sym, e);
}

void tok_merger_add(struct merger *m, uint32_t start, uint32_t len, tok_id id)
{
    const uint32_t i = (uint32_t)m->n++;
    if (i)
        m->sym[i - 1].next = i;
    m->sym[i] = (struct sym){.prev = i ? i - 1 : NO_SYM, .next = NO_SYM, .start = start,
                             .len = len, .id = id};
}

/* `a` goes before `b`. */
static inline bool before(const struct cand *a, const struct cand *b)
{
    return a->key < b->key;
}

static int heap_push(struct merger *m, struct cand c, struct err *e)
{
    if (m->n_heap == m->cap_heap &&
        tok_room_for((void **)&m->heap, &m->cap_heap, m->n_heap + 1, sizeof *m->heap, e))
        return -1;
    size_t i = m->n_heap++;
    for (; i > 0; i = (i - 1) / 2) {
        const size_t up = (i - 1) / 2;
        if (!before(&c, &m->heap[up]))
            break;
        m->heap[i] = m->heap[up];
    }
    m->heap[i] = c;
    m->steps++;
    return 0;
}

static struct cand heap_pop(struct merger *m)
{
    const struct cand top = m->heap[0], last = m->heap[--m->n_heap];
    size_t i = 0;
    for (;;) {
        size_t k = 2 * i + 1;
        if (k >= m->n_heap)
            break;
        if (k + 1 < m->n_heap && before(&m->heap[k + 1], &m->heap[k]))
            k++;
        if (!before(&m->heap[k], &last))
            break;
        m->heap[i] = m->heap[k];
        i = k;
    }
    if (m->n_heap)
        m->heap[i] = last;
    m->steps++;
    return top;
}

/* Put the pair left, right on the heap if it can join. */
static int consider(struct merger *m, const struct tok_vocab *v, const char *text, uint32_t left,
                    uint32_t right, struct err *e)
{
    if (left == NO_SYM || right == NO_SYM)
        return 0;
    const struct sym *l = &m->sym[left], *r = &m->sym[right];
    struct cand c = {.right = right, .len = l->len + r->len};
    uint32_t rank;
    if (v->kind == KIND_BPE) {
        if (l->id < 0 || r->id < 0)
            return 0;
        const struct merge_slot *slot = tok_merge_find(v, l->id, r->id);
        if (!slot)
            return 0;
        c.id = slot->result;
        rank = slot->rank;
    } else {
        if (c.len > v->longest)
            return 0;
        c.id = tok_find_plain(v, text + l->start, c.len);
        if (c.id < 0)
            return 0;
        rank = v->score_key[c.id];
    }
    c.key = (uint64_t)rank << 32 | left;
    return heap_push(m, c, e);
}

int tok_merger_run(struct merger *m, const struct tok_vocab *v, const char *text, struct err *e)
{
    for (uint32_t i = 1; i < m->n; i++)
        if (consider(m, v, text, i - 1, i, e))
            return -1;
    while (m->n_heap) {
        const struct cand c = heap_pop(m);
        const uint32_t left = (uint32_t)c.key;
        struct sym *l = &m->sym[left], *r = &m->sym[c.right];
        if (!l->len || !r->len || l->len + r->len != c.len)
            continue; /* one of them has joined another since */
        l->len = c.len;
        l->id = c.id;
        l->next = r->next;
        r->len = 0;
        if (l->next != NO_SYM)
            m->sym[l->next].prev = left;
        if (consider(m, v, text, l->prev, left, e) || consider(m, v, text, left, l->next, e))
            return -1;
    }
    return 0;
}
