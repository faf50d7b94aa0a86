/* engine/model/kv.c - the pool of KV pages and the page tables of sequences.
 *
 * A page holds 64 positions of all layers: [layer][kv head]( K, V ) as kernels.h says. It is a
 * block of the online softmax, so a sequence's pages need no order in memory. Pages come from the
 * system one by one and are kept for the next sequence; attention never reads a position that
 * has not been written (it is masked by position), so they need no clearing.
 *
 * The first pages of a table may be shared with other sequences (prefix.c): those are complete and
 * nobody writes to them. */
#include "engine/model/prefix.h"

#include <stdlib.h>
#include <string.h>

enum kv_type kv_type_of(enum eng_kv kv)
{
    static const enum kv_type types[] = {[ENG_KV_F16] = KV_F16, [ENG_KV_F32] = KV_F32,
                                         [ENG_KV_Q8_0] = KV_Q8_0, [ENG_KV_Q4_0] = KV_Q4_0};
    return types[kv];
}

/* A page from the system; NULL without memory. */
static uint8_t *page_new(struct kv_pool *p)
{
    if (p->n_live >= p->cap_free) { /* so that giving back never allocates */
        const size_t cap = p->cap_free ? 2 * p->cap_free : 64;
        uint8_t **q = realloc(p->free, cap * sizeof *q);
        if (!q)
            return NULL;
        p->free = q;
        p->cap_free = cap;
    }
    const bool prepaid = p->prepaid >= p->page_bytes;
    if (prepaid) {
        p->prepaid -= p->page_bytes;
    } else if (p->mem && !mem_take(p->mem, p->page_bytes)) {
        return NULL;
    }
    uint8_t *page = big_alloc(p->page_bytes);
    if (page)
        p->n_live++;
    else if (p->mem)
        mem_give(p->mem, p->page_bytes);
    return page;
}

static uint8_t *page_take(struct kv_pool *p, struct err *e)
{
    if (p->n_free)
        return p->free[--p->n_free];
    const bool full = p->n_limit && p->n_live >= p->n_limit;
    uint8_t *page = full ? NULL : page_new(p);
    if (page)
        return page;
    if (prefix_drop_oldest(p))
        return p->free[--p->n_free];
    if (full)
        err_set(e, ERR_LIMIT, "the key-value cache is full: %llu pages of %zu bytes",
                (unsigned long long)p->n_live, p->page_bytes);
    else
        err_set(e, ERR_MEMORY, "no memory for a page of the key-value cache (%zu bytes)",
                p->page_bytes);
    return NULL;
}

void kv_shrink(struct kv_pool *p, struct kv_table *t, int64_t n_positions)
{
    const size_t keep = (size_t)((n_positions + KV_PAGE - 1) / KV_PAGE);
    while (t->n > keep) { /* last first: a prefix is never older than what goes on from it */
        t->n--;
        if (t->n < t->n_shared)
            prefix_unref(p, t->nodes[--t->n_shared]);
        else
            p->free[p->n_free++] = t->pages[t->n];
    }
}

int64_t kv_cut(struct kv_pool *p, struct kv_table *t, int64_t n)
{
    const int64_t whole = n / KV_PAGE * KV_PAGE;
    kv_shrink(p, t, n);
    if (n == whole || t->n_shared * KV_PAGE <= (size_t)whole)
        return n;
    uint8_t *copy = page_take(p, NULL);
    if (!copy) {
        kv_shrink(p, t, whole);
        return whole;
    }
    const size_t last = t->n - 1;
    memcpy(copy, t->pages[last], p->page_bytes);
    prefix_unref(p, t->nodes[--t->n_shared]);
    t->pages[last] = copy;
    return n;
}

int kv_table_room(struct kv_table *t, size_t n)
{
    if (n <= t->cap)
        return 0;
    const size_t cap = n > 2 * t->cap ? n : 2 * t->cap;
    uint8_t **q = realloc(t->pages, cap * sizeof *q);
    if (!q)
        return -1;
    t->pages = q;
    struct kv_node **nodes = realloc(t->nodes, cap * sizeof *nodes);
    if (!nodes)
        return -1;
    t->nodes = nodes;
    t->cap = cap;
    return 0;
}

int kv_grow(struct kv_pool *p, struct kv_table *t, int64_t n_positions, struct err *e)
{
    const size_t want = (size_t)((n_positions + KV_PAGE - 1) / KV_PAGE), had = t->n;
    if (kv_table_room(t, want))
        return err_set(e, ERR_MEMORY, "no memory for a page table");
    while (t->n < want) {
        uint8_t *page = page_take(p, e);
        if (!page) {
            kv_shrink(p, t, (int64_t)had * KV_PAGE);
            return -1;
        }
        t->pages[t->n++] = page;
    }
    return 0;
}

void kv_table_free(struct kv_pool *p, struct kv_table *t)
{
    kv_shrink(p, t, 0);
    free(t->pages);
    free(t->nodes);
    *t = (struct kv_table){0};
}

uint64_t kv_pool_give_back(struct kv_pool *p, uint64_t bytes)
{
    uint64_t given = 0;
    while (given < bytes && (p->n_free || prefix_drop_oldest(p))) {
        big_free(p->free[--p->n_free], p->page_bytes);
        p->n_live--;
        given += p->page_bytes;
        if (p->mem)
            mem_give(p->mem, p->page_bytes);
    }
    return given;
}

void kv_pool_free(struct kv_pool *p)
{
    kv_pool_give_back(p, UINT64_MAX);
    free(p->free);
    free(p->buckets);
    free(p->tails);
    *p = (struct kv_pool){0};
}
