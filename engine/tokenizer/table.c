/* engine/tokenizer/table.c - the two tables that are asked all the time: text -> id, and
 * (left id, right id) -> merge. Open addressing, at most half full, never changed once built. */
#include "engine/tokenizer/inside.h"

#include <string.h>

/* A multiply and a fold per eight bytes. It need not withstand an attacker who picks the
 * vocabulary: probing is bounded by the table, and such a file only slows its own loading. */
uint64_t tok_hash_bytes(const char *p, size_t n)
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
            const struct text t = tok_text_at(v, s->id);
            if (t.n == n && !memcmp(t.p, p, n))
                return s;
        }
    }
}

int tok_table_build(struct tok_vocab *v, struct err *e)
{
    v->table_mask = mask_for((uint64_t)v->n);
    const size_t slots = (size_t)v->table_mask + 1;
    v->table = arena_alloc(&v->arena, slots * sizeof *v->table, 64);
    if (!v->table)
        return err_set(e, ERR_MEMORY, "no memory for the vocabulary");
    memset(v->table, 0xff, slots * sizeof *v->table);
    for (tok_id id = 0; id < v->n; id++) {
        const struct text t = tok_text_at(v, id);
        const uint32_t tag = (uint32_t)tok_hash_bytes(t.p, t.n);
        *probe(v, t.p, t.n, tag) = (struct token_slot){tag, id}; /* of twins the last one counts */
    }
    return 0;
}

tok_id tok_find(const struct tok_vocab *v, const char *text, size_t n)
{
    if (n > v->longest)
        return -1;
    return probe(v, text, n, (uint32_t)tok_hash_bytes(text, n))->id;
}

tok_id tok_find_plain(const struct tok_vocab *v, const char *p, size_t n)
{
    const tok_id id = tok_find(v, p, n);
    return id >= 0 && v->attr[id] & (ATTR_HIDDEN | ATTR_BYTE) ? -1 : id;
}

/* ---- merges ----------------------------------------------------------------------------- */

const struct merge_slot *tok_merge_find(const struct tok_vocab *v, tok_id left, tok_id right)
{
    for (uint32_t i = pair_hash(left, right) & v->merge_mask;; i = (i + 1) & v->merge_mask) {
        const struct merge_slot *s = &v->merges[i];
        if (s->left < 0)
            return NULL;
        if (s->left == left && s->right == right)
            return s;
    }
}

/* Half a million lines, each with three texts to look up, are mostly waiting for memory. So they
 * go in batches, and what the next stage of a batch reads is asked for in the stage before. */
enum { BATCH = 32 };
enum { LEFT, RIGHT, RESULT };
struct lookup {
    struct text text; /* RESULT: in `joined`, p is set when the batch is complete */
    uint32_t tag;
    tok_id id;
};
struct batch {
    struct lookup part[BATCH][3];
    struct buf joined;
};

/* "left right": the blank that parts them is the first one after the first byte, since a token
 * may start with one. */
static int cut_line(struct text line, uint64_t rank, struct lookup part[3], struct err *e)
{
    const char *blank = line.n > 1 ? memchr(line.p + 1, ' ', line.n - 1) : NULL;
    if (!blank)
        return err_set(e, ERR_INPUT, "tokenizer.ggml.merges[%llu]: \"%.*s\" is not two tokens",
                       (unsigned long long)rank, (int)(line.n < 64 ? line.n : 64), line.p);
    const size_t n_left = (size_t)(blank - line.p);
    part[LEFT].text = (struct text){line.p, n_left};
    part[RIGHT].text = (struct text){blank + 1, line.n - n_left - 1};
    return 0;
}

static void look_up(const struct tok_vocab *v, struct lookup *l, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        l[i].tag = (uint32_t)tok_hash_bytes(l[i].text.p, l[i].text.n);
        __builtin_prefetch(&v->table[l[i].tag & v->table_mask]);
    }
    for (size_t i = 0; i < n; i++) {
        const tok_id id = v->table[l[i].tag & v->table_mask].id;
        __builtin_prefetch(&v->text_at[id < 0 ? 0 : id]);
    }
    for (size_t i = 0; i < n; i++) {
        const tok_id id = v->table[l[i].tag & v->table_mask].id;
        __builtin_prefetch(v->text + v->text_at[id < 0 ? 0 : id]);
    }
    for (size_t i = 0; i < n; i++)
        l[i].id = l[i].text.n > v->longest
                      ? -1
                      : probe(v, l[i].text.p, l[i].text.n, l[i].tag)->id;
}

static int check_merge(const struct lookup part[3], struct text line, uint64_t rank, struct err *e)
{
    if (part[LEFT].id >= 0 && part[RIGHT].id >= 0 && part[RESULT].id >= 0)
        return 0;
    return err_set(e, ERR_INPUT, "tokenizer.ggml.merges[%llu]: \"%.*s\": %s is not a token",
                   (unsigned long long)rank, (int)(line.n < 64 ? line.n : 64), line.p,
                   part[LEFT].id < 0    ? "the left part"
                   : part[RIGHT].id < 0 ? "the right part"
                                        : "what they make");
}

static void insert_merge(struct tok_vocab *v, const struct lookup part[3], uint32_t rank)
{
    const tok_id left = part[LEFT].id, right = part[RIGHT].id, result = part[RESULT].id;
    /* Text never becomes a control token, not by way of merges either. */
    if ((v->attr[left] | v->attr[right] | v->attr[result]) & ATTR_HIDDEN)
        return;
    for (uint32_t i = pair_hash(left, right) & v->merge_mask;; i = (i + 1) & v->merge_mask) {
        struct merge_slot *s = &v->merges[i];
        if (s->left < 0) {
            *s = (struct merge_slot){.left = left, .right = right, .result = result, .rank = rank};
            return;
        }
        if (s->left == left && s->right == right)
            return; /* a second mention has a higher rank: it never counts */
    }
}

/* Lines first .. first + n - 1 of the list. */
static int add_batch(struct tok_vocab *v, struct batch *b, const struct text *line, uint64_t first,
                     size_t n, struct err *e)
{
    b->joined.n = 0;
    for (size_t i = 0; i < n; i++) {
        struct lookup *part = b->part[i];
        if (cut_line(line[i], first + i, part, e))
            return -1;
        buf_add(&b->joined, part[LEFT].text.p, part[LEFT].text.n);
        buf_add(&b->joined, part[RIGHT].text.p, part[RIGHT].text.n);
    }
    if (b->joined.failed)
        return err_set(e, ERR_MEMORY, "no memory for the merges");
    size_t at = 0; /* only now does `joined` stand still */
    for (size_t i = 0; i < n; i++) {
        const size_t len = line[i].n - 1; /* all but the blank */
        b->part[i][RESULT].text = (struct text){b->joined.p + at, len};
        at += len;
    }
    look_up(v, b->part[0], 3 * n);
    for (size_t i = 0; i < n; i++) {
        if (check_merge(b->part[i], line[i], first + i, e))
            return -1;
        const uint32_t h = pair_hash(b->part[i][LEFT].id, b->part[i][RIGHT].id);
        __builtin_prefetch(&v->merges[h & v->merge_mask], 1);
    }
    for (size_t i = 0; i < n; i++)
        insert_merge(v, b->part[i], (uint32_t)(first + i));
    return 0;
}

int tok_merges_build(struct tok_vocab *v, const struct gguf_value *val, struct err *e)
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
    struct batch b = {0};
    int rc = 0;
    for (uint64_t i = 0; !rc && i < n; i += BATCH)
        rc = add_batch(v, &b, val->str + i, i, (size_t)(n - i < BATCH ? n - i : BATCH), e);
    buf_free(&b.joined);
    return rc;
}
