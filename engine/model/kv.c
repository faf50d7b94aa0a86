/* engine/model/kv.c - the pool of KV pages and the page tables of sequences.
 *
 * A page holds 64 positions of all layers: [layer][kv head]( K, V ) as kernels.h says. It is a
 * block of the online softmax, so a sequence's pages need no order in memory. Pages come from the
 * system one by one and are kept for the next sequence; attention never reads a position that
 * has not been written (it is masked by position), so they need no clearing. */
#include "engine/model/model.h"

#include <stdlib.h>

enum kv_type kv_type_of(enum eng_kv kv)
{
    return kv == ENG_KV_F32 ? KV_F32 : kv == ENG_KV_Q8_0 ? KV_Q8_0 : KV_F16;
}

static uint8_t *page_take(struct kv_pool *p, struct err *e)
{
    if (p->n_free)
        return p->free[--p->n_free];
    if (p->n_limit && p->n_live >= p->n_limit) {
        err_set(e, ERR_LIMIT, "the key-value cache is full: %llu pages of %zu bytes",
                (unsigned long long)p->n_live, p->page_bytes);
        return NULL;
    }
    if (p->n_live == p->cap_free) { /* so that giving back never allocates */
        const size_t cap = p->cap_free ? 2 * p->cap_free : 64;
        uint8_t **q = realloc(p->free, cap * sizeof *q);
        if (!q) {
            err_set(e, ERR_MEMORY, "no memory for the key-value cache");
            return NULL;
        }
        p->free = q;
        p->cap_free = cap;
    }
    uint8_t *page = big_alloc(p->page_bytes);
    if (!page) {
        err_set(e, ERR_MEMORY, "no memory for a page of the key-value cache (%zu bytes)",
                p->page_bytes);
        return NULL;
    }
    p->n_live++;
    return page;
}

void kv_shrink(struct kv_pool *p, struct kv_table *t, int64_t n_positions)
{
    const size_t keep = (size_t)((n_positions + KV_PAGE - 1) / KV_PAGE);
    while (t->n > keep)
        p->free[p->n_free++] = t->pages[--t->n];
}

int kv_grow(struct kv_pool *p, struct kv_table *t, int64_t n_positions, struct err *e)
{
    const size_t want = (size_t)((n_positions + KV_PAGE - 1) / KV_PAGE), had = t->n;
    if (want > t->cap) {
        const size_t cap = want > 2 * t->cap ? want : 2 * t->cap;
        uint8_t **q = realloc(t->pages, cap * sizeof *q);
        if (!q)
            return err_set(e, ERR_MEMORY, "no memory for a page table");
        t->pages = q;
        t->cap = cap;
    }
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
    *t = (struct kv_table){0};
}

void kv_pool_free(struct kv_pool *p)
{
    while (p->n_free)
        big_free(p->free[--p->n_free], p->page_bytes);
    free(p->free);
    *p = (struct kv_pool){0};
}
