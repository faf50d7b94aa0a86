/* engine/tokenizer/table.c - the two tables that are asked all the time: text -> id, and
 * (left id, right id) -> merge. Open addressing, at most half full, never changed once built. */
#include "engine/tokenizer/inside.h"

#include <string.h>

/* A multiply and a fold per eight bytes. It need not withstand an attacker who picks the
 * vocabulary: probing is bounded by the table, and such a file only slows its own loading. */
uint64_t hash_bytes(const char *p, size_t n)
{
    uint64_t h = 0x9e3779b97f4a7c15u ^ n;
    while (n) {
        uint64_t w = 0;
        const size_t k = n < 8 ? n : 8;
        memcpy(&w, p, k);
        const unsigned __int128 x = (unsigned __int128)(h ^ w) * 0xd6e8feb86659fd93u;
        h = (uint64_t)x ^ (uint64_t)(x >> 64);
        p += k;
        n -= k;
    }
    return h ^ h >> 32;
}

static uint32_t pair_hash(tok_id left, tok_id right)
{
    const uint64_t w = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    const unsigned __int128 x = (unsigned __int128)(w ^ 0x2545f4914f6cdd1du) * 0xd6e8feb86659fd93u;
    const uint64_t h = (uint64_t)x ^ (uint64_t)(x >> 64);
    return (uint32_t)(h ^ h >> 32);
}

/* Slots - 1 for n entries: a power of two, at least twice n. */
static uint32_t mask_for(uint64_t n)
{
    uint32_t size = 16;
    while (size < 2 * n)
        size *= 2;
    return size - 1;
}

static struct token_slot *probe(const struct tok_vocab *v, const char *p, size_t n, uint32_t tag)
{
    for (uint32_t i = tag & v->table_mask;; i = (i + 1) & v->table_mask) {
        struct token_slot *s = &v->table[i];
        if (s->id < 0)
            return s;
        if (s->tag == tag) {
            const struct text t = vocab_text(v, s->id);
            if (t.n == n && !memcmp(t.p, p, n))
                return s;
        }
    }
}

int table_build(struct tok_vocab *v, struct err *e)
{
    v->table_mask = mask_for((uint64_t)v->n);
    const size_t slots = (size_t)v->table_mask + 1;
    v->table = arena_alloc(&v->arena, slots * sizeof *v->table, 64);
    if (!v->table)
        return err_set(e, ERR_MEMORY, "no memory for the vocabulary");
    memset(v->table, 0xff, slots * sizeof *v->table);
    for (tok_id id = 0; id < v->n; id++) {
        const struct text t = vocab_text(v, id);
        const uint32_t tag = (uint32_t)hash_bytes(t.p, t.n);
        *probe(v, t.p, t.n, tag) = (struct token_slot){tag, id}; /* of twins the last one counts */
    }
    return 0;
}

tok_id tok_find(const struct tok_vocab *v, const char *text, size_t n)
{
    if (n > v->longest)
        return -1;
    return probe(v, text, n, (uint32_t)hash_bytes(text, n))->id;
}

tok_id find_plain(const struct tok_vocab *v, const char *p, size_t n)
{
    const tok_id id = tok_find(v, p, n);
    return id >= 0 && v->attr[id] & (ATTR_HIDDEN | ATTR_BYTE) ? -1 : id;
}

/* ---- merges ------------------------------------------------------------------------------- */

const struct merge_slot *merge_find(const struct tok_vocab *v, tok_id left, tok_id right)
{
    for (uint32_t i = pair_hash(left, right) & v->merge_mask;; i = (i + 1) & v->merge_mask) {
        const struct merge_slot *s = &v->merges[i];
        if (s->left < 0)
            return NULL;
        if (s->left == left && s->right == right)
            return s;
    }
}

/* One line of the list: "left right". The blank that parts them is the first one after the
 * first byte, since a token may start with one. */
static int merge_add(struct tok_vocab *v, struct text line, uint64_t rank, struct buf *joined,
                     struct err *e)
{
    const char *blank = line.n > 1 ? memchr(line.p + 1, ' ', line.n - 1) : NULL;
    if (!blank)
        return err_set(e, ERR_INPUT, "tokenizer.ggml.merges[%llu]: \"%.*s\" is not two tokens",
                       (unsigned long long)rank, (int)(line.n < 64 ? line.n : 64), line.p);
    const size_t n_left = (size_t)(blank - line.p);
    struct merge_slot slot = {.rank = (uint32_t)rank};
    slot.left = tok_find(v, line.p, n_left);
    slot.right = tok_find(v, blank + 1, line.n - n_left - 1);
    joined->n = 0;
    buf_add(joined, line.p, n_left);
    buf_add(joined, blank + 1, line.n - n_left - 1);
    if (joined->failed)
        return err_set(e, ERR_MEMORY, "no memory for the merges");
    slot.result = tok_find(v, joined->p, joined->n);
    if (slot.left < 0 || slot.right < 0 || slot.result < 0)
        return err_set(e, ERR_INPUT, "tokenizer.ggml.merges[%llu]: \"%.*s\": %s is not a token",
                       (unsigned long long)rank, (int)(line.n < 64 ? line.n : 64), line.p,
                       slot.left < 0    ? "the left part"
                       : slot.right < 0 ? "the right part"
                                        : "what they make");
    /* Text never becomes a control token, not by way of merges either. */
    if ((v->attr[slot.left] | v->attr[slot.right] | v->attr[slot.result]) & ATTR_HIDDEN)
        return 0;
    uint32_t i = pair_hash(slot.left, slot.right) & v->merge_mask;
    for (;; i = (i + 1) & v->merge_mask) {
        struct merge_slot *s = &v->merges[i];
        if (s->left < 0) {
            *s = slot;
            return 0;
        }
        if (s->left == slot.left && s->right == slot.right)
            return 0; /* a second mention is a higher rank: it never counts */
    }
}

int merges_build(struct tok_vocab *v, const struct gguf_value *val, struct err *e)
{
    const uint64_t n = val ? val->n : 0;
    if (n > (uint64_t)1 << 24)
        return err_set(e, ERR_LIMIT, "tokenizer.ggml.merges: %llu entries, 16777216 are allowed",
                       (unsigned long long)n);
    v->merge_mask = mask_for(n);
    const size_t slots = (size_t)v->merge_mask + 1;
    v->merges = arena_alloc(&v->arena, slots * sizeof *v->merges, 64);
    if (!v->merges)
        return err_set(e, ERR_MEMORY, "no memory for %llu merges", (unsigned long long)n);
    for (size_t i = 0; i < slots; i++)
        v->merges[i].left = -1;
    struct buf joined = {0};
    int rc = 0;
    for (uint64_t i = 0; !rc && i < n; i++)
        rc = merge_add(v, val->str[i], i, &joined, e);
    buf_free(&joined);
    return rc;
}
