/* engine/sched/draft.c - prompt look-up: the index, the place that is followed, its trust.
 *
 * Each token costs one insertion, and a look-up where nothing is followed; no context is read again
 * for it. A look-up takes, of the newest places with the same three tokens, the one before which
 * most text agrees (the newest among equals), else the newest place with the same two. From then on
 * the place is followed token by token while its guesses come true: two look-ups of the same text
 * could jump between copies, and copies differ. After a miss with nothing found the text may go on
 * as before behind one changed word: that is guessed too, and trusted little.
 *
 * Trust is counted in classes of how many tokens agree. Counts fade with a window of about 30
 * guesses, and start from what is usual: a few guesses outweigh that. */
#include "engine/sched/draft.h"

#include <stdlib.h>
#include <string.h>

enum {
    FIRST_SLOTS = 1024,
    LOOK_AT = 32,       /* places of three tokens compared in a look-up */
    LONGEST_MATCH = 32, /* tokens compared at each */
    MISSES = 3,         /* guesses behind a miss before the place is left */
};

static const float fade = 0.97f;
static const float start_weight = 3; /* guesses that the start is worth */
/* By tokens that agree: none (behind a miss), to 2, 3, 5, 9, 19, more. A little less than what 2300
 * tokens of Qwen2.5-Coder 0.5B and SmolLM2 135M gave (stories, essays, lists, summaries, new and
 * edited code): 0.11, 0.50, 0.72, 0.77, 0.88, 0.87, 0.98. */
static const float start[DRAFT_CLASSES] = {0.07f, 0.4f, 0.6f, 0.65f, 0.8f, 0.85f, 0.95f};

static int class_of(int match)
{
    return match < 1    ? 0
           : match < 3  ? 1
           : match < 4  ? 2
           : match < 6  ? 3
           : match < 10 ? 4
           : match < 20 ? 5
                        : 6;
}

void draft_free(struct draft *d)
{
    free(d->head2);
    free(d->head3);
    free(d->prev3);
    *d = (struct draft){0};
}

void draft_forget(struct draft *d)
{
    if (d->n_slots) {
        memset(d->head2, 0, (size_t)d->n_slots * sizeof *d->head2);
        memset(d->head3, 0, (size_t)d->n_slots * sizeof *d->head3);
    }
    d->n_seen = 0;
    d->src = 0;
    d->match = 0;
    d->missed = 0;
}

/* The slot of the `len` tokens before `end`. */
static int64_t slot_of(const struct draft *d, const tok_id *ids, int64_t end, int len)
{
    uint64_t h = 0;
    for (int i = 1; i <= len; i++)
        h = (h ^ (uint32_t)ids[end - i]) * 0x9E3779B97F4A7C15u;
    return (int64_t)((h >> 32) & (uint64_t)(d->n_slots - 1));
}

static void insert(struct draft *d, const tok_id *ids, int64_t end)
{
    if (end >= 2)
        d->head2[slot_of(d, ids, end, 2)] = (int32_t)end;
    if (end >= 3) {
        int32_t *head = &d->head3[slot_of(d, ids, end, 3)];
        d->prev3[end] = *head;
        *head = (int32_t)end;
    }
}

/* Room for `n` tokens; the index is built again, which costs each token about two insertions. */
static bool grow(struct draft *d, const tok_id *ids, int64_t n)
{
    if (n < d->n_slots)
        return true;
    if (n >= INT32_MAX / 2)
        return false;
    int64_t slots = d->n_slots ? d->n_slots : FIRST_SLOTS;
    while (slots <= n)
        slots *= 2;
    const size_t bytes = (size_t)slots * sizeof(int32_t);
    int32_t *head2 = calloc(1, bytes), *head3 = calloc(1, bytes), *prev3 = malloc(bytes);
    if (!head2 || !head3 || !prev3) {
        free(head2);
        free(head3);
        free(prev3);
        return false;
    }
    free(d->head2);
    free(d->head3);
    free(d->prev3);
    d->head2 = head2;
    d->head3 = head3;
    d->prev3 = prev3;
    d->n_slots = slots;
    for (int64_t end = 1; end <= d->n_seen; end++)
        insert(d, ids, end);
    return true;
}

/* How many tokens before `a` are those before `b`, up to the longest that counts. */
static int agree(const tok_id *ids, int64_t a, int64_t b)
{
    int n = 0;
    while (n < LONGEST_MATCH && n < a && ids[a - 1 - n] == ids[b - 1 - n])
        n++;
    return n;
}

/* A place to follow for the text that ends at `end`, which is not in the index yet. */
static void look_up(struct draft *d, const tok_id *ids, int64_t end)
{
    int best = 0;
    int64_t at = 0;
    if (end >= 3) {
        int32_t p = d->head3[slot_of(d, ids, end, 3)];
        for (int i = 0; p && i < LOOK_AT && best < LONGEST_MATCH; i++, p = d->prev3[p]) {
            const int n = agree(ids, p, end);
            if (n >= 3 && n > best) {
                best = n;
                at = p;
            }
        }
    }
    if (!at && end >= 2) {
        const int32_t p = d->head2[slot_of(d, ids, end, 2)];
        const int n = p ? agree(ids, p, end) : 0;
        if (n >= 2) {
            best = n;
            at = p;
        }
    }
    if (best > d->match) { /* what is followed may agree as far */
        d->src = at;
        d->match = best;
        d->missed = 0;
    }
}

static void count(struct draft *d, bool hit)
{
    const int c = class_of(d->match);
    d->hit[c] = d->hit[c] * fade + (hit ? 1 : 0);
    d->tried[c] = d->tried[c] * fade + 1;
}

void draft_learn(struct draft *d, const tok_id *ids, int64_t n, int64_t n_prompt)
{
    if (d->no_memory || n <= d->n_seen)
        return;
    if (!grow(d, ids, n)) {
        draft_free(d);
        d->no_memory = true;
        return;
    }
    while (d->n_seen < n) {
        const int64_t i = d->n_seen; /* the token to take in */
        bool follows = false;
        if (d->src) {
            follows = ids[d->src] == ids[i];
            if (i >= n_prompt)
                count(d, follows);
            d->src++;
            d->match = !follows ? 0 : d->match < 1 << 20 ? d->match + 1 : d->match;
            d->missed = follows ? 0 : d->missed + 1;
            if (d->missed >= MISSES)
                d->src = 0;
        }
        /* A prompt's own repeats are of no use but for its end. */
        if (d->match < 3 && i + 1 >= n_prompt)
            look_up(d, ids, i + 1);
        insert(d, ids, i + 1);
        d->n_seen++;
    }
}

int draft_guess(const struct draft *d, const tok_id *ids, int64_t n, int most, tok_id *out,
                float *chance)
{
    if (!d->src || d->n_seen != n)
        return 0;
    float all = 1;
    for (int i = 0; i < most; i++) {
        const int64_t from = d->src + i; /* behind the end the draft copies itself: a period */
        out[i] = from < n ? ids[from] : out[from - n];
        const int c = class_of(d->match + i);
        all *= (d->hit[c] + start[c] * start_weight) / (d->tried[c] + start_weight);
        chance[i] = all;
    }
    return most;
}
