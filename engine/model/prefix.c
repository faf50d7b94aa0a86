/* engine/model/prefix.c - the prefix cache: complete pages are shared by what is in them.
 *
 * The keys and values of a position follow from the tokens up to it, bit for bit, whoever computes
 * them (the contract of bits). So a page whose 64 positions are all computed stands for its tokens
 * and everything before them, and every sequence that begins so may read it. A node is such a page;
 * its parent is the page before it. Nodes are found by a hash over the parent and the tokens, and
 * believed by comparison: the same parent and the same tokens, from which the whole prefix is the
 * same. All layers lie in one page, those with a sliding window too. Model and type of the cache
 * need no part in the key: a pool has one of each.
 *
 * A node that no sequence holds stays cached until memory asks; the one whose last use is longest
 * ago goes first. A sequence lets go of its last page first, so a parent is never older than its
 * children and never goes before them.
 *
 * Where no whole page goes on as a sequence does, the one with most in common is copied: a prompt
 * that comes again ends somewhere inside a page. For this the last, incomplete page of a sequence
 * that ends is kept as a tail. Few are kept, so that many short requests with nothing in common do
 * not fill the memory. */
#include "engine/model/prefix.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TAILS = 16,     /* kept at most: as many conversations as run at once */
    COPY_LEAST = 8, /* positions that a copy of a page is worth */
    SIBLINGS = 64   /* looked at, the last used first, for the one to copy */
};

struct kv_node {
    uint8_t *page;
    struct kv_node *parent; /* NULL: positions 0..63 */
    char *scope;            /* without a parent: who may share it; NULL = all */
    uint64_t hash;
    struct kv_node *next;          /* of the same bucket */
    struct kv_node *older, *newer; /* in the list of the cached ones, while refs is 0 */
    struct kv_node *child;         /* the last used of those behind it */
    struct kv_node *sibling, **at; /* the next of the parent's; what points here */
    uint64_t last_use;             /* number of the use after which it got there */
    int refs;                      /* sequences that hold it */
    int n_tokens;                  /* 64, or fewer in a tail */
    tok_id tokens[KV_PAGE];
};

/* ---- the list of cached ones ------------------------------------------------------------------
 */

static void list_add(struct kv_pool *p, struct kv_node *n)
{
    n->last_use = ++p->n_uses;
    n->newer = NULL;
    n->older = p->newest;
    if (p->newest)
        p->newest->newer = n;
    else
        p->oldest = n;
    p->newest = n;
    p->n_cached++;
}

static void list_remove(struct kv_pool *p, struct kv_node *n)
{
    if (n->older)
        n->older->newer = n->newer;
    else
        p->oldest = n->newer;
    if (n->newer)
        n->newer->older = n->older;
    else
        p->newest = n->older;
    p->n_cached--;
}

/* ---- the tree
 * ------------------------------------------------------------------------------------ */

static void tree_add(struct kv_pool *p, struct kv_node *n)
{
    struct kv_node **first = n->parent ? &n->parent->child : &p->roots;
    n->sibling = *first;
    n->at = first;
    if (n->sibling)
        n->sibling->at = &n->sibling;
    *first = n;
}

static void tree_remove(struct kv_node *n)
{
    *n->at = n->sibling;
    if (n->sibling)
        n->sibling->at = n->at;
}

/* ---- finding by content ------------------------------------------------------------------------
 */

static uint64_t mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}

static uint64_t hash_of(const struct kv_pool *p, const struct kv_node *parent, const tok_id *ids,
                        const char *scope)
{
    uint64_t h = mix(p->hash_key, parent ? parent->hash : 0);
    for (const char *c = parent ? "" : scope ? scope : ""; *c; c++)
        h = mix(h, (uint8_t)*c);
    for (int i = 0; i < KV_PAGE; i++)
        h = mix(h, (uint32_t)ids[i]);
    return h;
}

static bool same_scope(const char *a, const char *b)
{
    return a == b || (a && b && !strcmp(a, b));
}

static bool goes_on(const struct kv_node *n, const struct kv_node *parent, const char *scope)
{
    return n->parent == parent && (parent || same_scope(n->scope, scope));
}

static struct kv_node *find(const struct kv_pool *p, const struct kv_node *parent,
                            const tok_id *ids, const char *scope, uint64_t hash)
{
    for (struct kv_node *n = p->n_buckets ? p->buckets[hash & (p->n_buckets - 1)] : NULL; n;
         n = n->next)
        if (n->hash == hash && goes_on(n, parent, scope) &&
            !memcmp(n->tokens, ids, sizeof n->tokens))
            return n;
    return NULL;
}

/* Twice the buckets when nodes outnumber them; -1 without memory for the first ones. */
static int buckets_room(struct kv_pool *p)
{
    if (p->n_nodes < p->n_buckets)
        return 0;
    const size_t n = p->n_buckets ? 2 * p->n_buckets : 256;
    struct kv_node **q = calloc(n, sizeof *q);
    if (!q)
        return p->n_buckets ? 0 : -1;
    for (size_t i = 0; i < p->n_buckets; i++)
        for (struct kv_node *k = p->buckets[i], *next; k; k = next) {
            next = k->next;
            k->next = q[k->hash & (n - 1)];
            q[k->hash & (n - 1)] = k;
        }
    if (!p->n_buckets && getentropy(&p->hash_key, sizeof p->hash_key))
        p->hash_key = (uint64_t)time_real_ns();
    free(p->buckets);
    p->buckets = q;
    p->n_buckets = n;
    return 0;
}

/* ---- nodes come and go
 * --------------------------------------------------------------------------- */

/* Without memory NULL; the page is then still the caller's. */
static struct kv_node *node_new(struct kv_pool *p, uint8_t *page, struct kv_node *parent,
                                const tok_id *ids, int n_tokens, const char *scope)
{
    struct kv_node *n = calloc(1, sizeof *n);
    if (!n || (!parent && scope && !(n->scope = strdup(scope)))) {
        free(n);
        return NULL;
    }
    n->page = page;
    n->parent = parent;
    n->n_tokens = n_tokens;
    memcpy(n->tokens, ids, (size_t)n_tokens * sizeof *ids);
    tree_add(p, n);
    return n;
}

/* A cached node without children goes; its page is free. */
static void node_drop(struct kv_pool *p, struct kv_node *n)
{
    list_remove(p, n);
    if (n->n_tokens < KV_PAGE) {
        for (int i = 0; i < p->n_tails; i++)
            if (p->tails[i] == n) {
                p->tails[i] = p->tails[--p->n_tails];
                break;
            }
    } else {
        struct kv_node **q = &p->buckets[n->hash & (p->n_buckets - 1)];
        while (*q != n)
            q = &(*q)->next;
        *q = n->next;
        p->n_nodes--;
    }
    tree_remove(n);
    p->free[p->n_free++] = n->page;
    free(n->scope);
    free(n);
}

bool prefix_drop_oldest(struct kv_pool *p)
{
    struct kv_node *n = p->oldest;
    while (n && n->child) /* the oldest has none; this is the belt to those braces */
        n = n->newer;
    if (n)
        node_drop(p, n);
    return n != NULL;
}

static void trim(struct kv_pool *p)
{
    while (p->n_cached > p->n_cached_most && prefix_drop_oldest(p))
        ;
}

static void ref(struct kv_pool *p, struct kv_node *n)
{
    if (!n->refs++)
        list_remove(p, n);
    tree_remove(n);
    tree_add(p, n);
}

void prefix_unref(struct kv_pool *p, struct kv_node *n)
{
    if (--n->refs)
        return;
    list_add(p, n);
    trim(p);
}

static struct kv_node *last_of(const struct kv_table *t)
{
    return t->n_shared ? t->nodes[t->n_shared - 1] : NULL;
}

/* ---- taking
 * -------------------------------------------------------------------------------------- */

/* The page that has most in common with ids[0..n) behind `parent`; *common is how much. */
static struct kv_node *best_copy(const struct kv_pool *p, const struct kv_node *parent,
                                 const tok_id *ids, int64_t n, const char *scope, int *common)
{
    struct kv_node *best = NULL, *k = parent ? parent->child : p->roots;
    *common = parent ? 0 : COPY_LEAST - 1; /* all prompts may begin with the same few tokens */
    for (int i = 0; k && i < SIBLINGS; i++, k = k->sibling) {
        int same = 0;
        if (!goes_on(k, parent, scope))
            continue;
        while (same < k->n_tokens && same < n && k->tokens[same] == ids[same])
            same++;
        if (same > *common) {
            *common = same;
            best = k;
        }
    }
    return best;
}

int64_t kv_find(struct kv_pool *p, struct kv_table *t, const tok_id *ids, int64_t n,
                const char *scope)
{
    int64_t there = (int64_t)t->n_shared * KV_PAGE;
    while (p->n_nodes && there + KV_PAGE < n) {
        struct kv_node *parent = last_of(t);
        struct kv_node *k =
            find(p, parent, ids + there, scope, hash_of(p, parent, ids + there, scope));
        if (!k || kv_table_room(t, t->n_shared + 1))
            break;
        ref(p, k);
        if (t->n > t->n_shared)
            p->free[p->n_free++] = t->pages[t->n_shared];
        else
            t->n++;
        t->pages[t->n_shared] = k->page;
        t->nodes[t->n_shared++] = k;
        there += KV_PAGE;
    }
    int common;
    struct kv_node *from = best_copy(p, last_of(t), ids + there, n - 1 - there, scope, &common);
    if (!from)
        return there;
    ref(p, from); /* or it could be the page that gives way to its own copy */
    if (!kv_grow(p, t, there + common, NULL)) {
        memcpy(t->pages[t->n_shared], from->page, p->page_bytes);
        there += common;
    }
    prefix_unref(p, from);
    return there;
}

/* ---- giving
 * -------------------------------------------------------------------------------------- */

void kv_share(struct kv_pool *p, struct kv_table *t, const tok_id *ids, int64_t n,
              const char *scope)
{
    while (p->n_cached_most && (int64_t)(t->n_shared + 1) * KV_PAGE <= n) {
        const size_t i = t->n_shared;
        const tok_id *tokens = ids + i * KV_PAGE;
        struct kv_node *parent = last_of(t);
        if (buckets_room(p))
            return;
        const uint64_t hash = hash_of(p, parent, tokens, scope);
        struct kv_node *k = find(p, parent, tokens, scope, hash);
        if (k) { /* computed by another too: the same bits, one copy is enough */
            ref(p, k);
            p->free[p->n_free++] = t->pages[i];
            t->pages[i] = k->page;
        } else {
            k = node_new(p, t->pages[i], parent, tokens, KV_PAGE, scope);
            if (!k)
                return;
            k->refs = 1;
            k->hash = hash;
            k->next = p->buckets[hash & (p->n_buckets - 1)];
            p->buckets[hash & (p->n_buckets - 1)] = k;
            p->n_nodes++;
        }
        t->nodes[t->n_shared++] = k;
    }
}

/* The page behind the shared ones, of which n positions are computed, becomes a tail; false: it is
 * still the table's. */
static bool keep_tail(struct kv_pool *p, struct kv_table *t, const tok_id *ids, int n,
                      const char *scope)
{
    struct kv_node *parent = last_of(t);
    if (n < COPY_LEAST || (!p->tails && !(p->tails = calloc(TAILS, sizeof(struct kv_node *)))))
        return false;
    for (int i = 0; i < p->n_tails; i++) { /* the same or less is there: this one says it too */
        struct kv_node *k = p->tails[i];
        if (!goes_on(k, parent, scope))
            continue;
        const int common = k->n_tokens < n ? k->n_tokens : n;
        if (memcmp(k->tokens, ids, (size_t)common * sizeof *ids))
            continue;
        if (k->n_tokens >= n) { /* more is there: that one was used again */
            list_remove(p, k);
            list_add(p, k);
            return false;
        }
        node_drop(p, k);
        i--;
    }
    if (p->n_tails == TAILS) {
        struct kv_node *oldest = p->tails[0];
        for (int i = 1; i < TAILS; i++)
            if (p->tails[i]->last_use < oldest->last_use)
                oldest = p->tails[i];
        node_drop(p, oldest);
    }
    struct kv_node *k = node_new(p, t->pages[t->n_shared], parent, ids, n, scope);
    if (!k)
        return false;
    list_add(p, k);
    p->tails[p->n_tails++] = k;
    trim(p);
    return true;
}

void kv_leave(struct kv_pool *p, struct kv_table *t, const tok_id *ids, int64_t n,
              const char *scope)
{
    kv_share(p, t, ids, n, scope);
    const int64_t done = (int64_t)t->n_shared * KV_PAGE;
    if (p->n_cached_most && n > done && n - done < KV_PAGE && t->n > t->n_shared) {
        kv_shrink(p, t, n);
        if (keep_tail(p, t, ids + done, (int)(n - done), scope))
            t->n--; /* its last page is no longer its own */
    }
    kv_table_free(p, t);
}
