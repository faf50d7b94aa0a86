/* engine/grammar/dfa.c - deterministic automata over code points: all of Unicode is cut into ranges
 * that behave alike, so that a table has a column for each class of ranges and not for each
 * character.
 *
 * A finished automaton holds only states that can still reach an end, and no two that mean the
 * same: so a state from which everything goes is one state that leads to itself, which is what lets
 * a mask be taken for all plain text at once (mask.c). */
#include "engine/grammar/inside.h"

#include <stdlib.h>
#include <string.h>

enum { COUNT_MOST = 1 << 20 };

static int no_memory(struct err *e)
{
    return err_set(e, ERR_MEMORY, "out of memory");
}

static struct dfa *dfa_raw(struct arena *a, uint32_t n_states, uint32_t n_classes,
                           uint32_t n_ranges, struct err *e)
{
    struct dfa *d = arena_alloc(a, sizeof *d, 8);
    if (!d)
        goto none;
    d->n_states = n_states;
    d->n_classes = n_classes;
    d->n_ranges = n_ranges;
    d->next = arena_alloc(a, ((size_t)n_states * n_classes + 1) * sizeof *d->next, 4);
    d->accept = arena_alloc(a, (size_t)n_states + 1, 1);
    d->lo = arena_alloc(a, ((size_t)n_ranges + 1) * sizeof *d->lo, 4);
    d->class_of = arena_alloc(a, ((size_t)n_ranges + 1) * sizeof *d->class_of, 2);
    if (!d->next || !d->accept || !d->lo || !d->class_of)
        goto none;
    d->lo[n_ranges] = LAST_CHAR + 1;
    return d;
none:
    no_memory(e);
    return NULL;
}

static uint32_t range_at(const struct dfa *d, uint32_t cp)
{
    uint32_t lo = 0, hi = d->n_ranges;
    while (hi - lo > 1) {
        const uint32_t mid = (lo + hi) / 2;
        if (d->lo[mid] <= cp)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

uint32_t dfa_step(const struct dfa *d, uint32_t state, uint32_t cp)
{
    return d->next[(size_t)state * d->n_classes + d->class_of[range_at(d, cp)]];
}

bool dfa_leads(const struct dfa *d, uint32_t state, uint32_t lo, uint32_t hi, uint32_t need,
               uint32_t far)
{
    for (uint32_t r = range_at(d, lo); r < d->n_ranges && d->lo[r] <= hi; r++) {
        const uint32_t to = d->next[(size_t)state * d->n_classes + d->class_of[r]];
        if (to != DFA_DEAD && d->least[to] <= far && d->most[to] >= need)
            return true;
    }
    return false;
}

bool dfa_takes(const struct dfa *d, const char *p, size_t n)
{
    uint32_t s = d->start;
    for (size_t i = 0; i < n && s != DFA_DEAD;) {
        uint32_t cp;
        bool bad;
        i += text_decode(p + i, n - i, &cp, &bad);
        s = dfa_step(d, s, cp);
    }
    return s != DFA_DEAD && d->accept[s];
}

/* ---- finishing: what lives, what is equal, how far the end is -------------------------------- */

/* Edges backwards: those into state s are from[at[s]] .. from[at[s + 1] - 1]. */
struct back {
    uint32_t *at, *from;
};

static void back_free(struct back *b)
{
    free(b->at);
    free(b->from);
    *b = (struct back){NULL, NULL};
}

static int back_new(struct back *b, const struct dfa *d, struct err *e)
{
    const uint32_t n = d->n_states;
    const size_t n_edges = (size_t)n * d->n_classes;
    b->at = calloc((size_t)n + 2, sizeof *b->at);
    b->from = malloc((n_edges + 1) * sizeof *b->from);
    if (!b->at || !b->from) {
        back_free(b);
        return no_memory(e);
    }
    for (size_t i = 0; i < n_edges; i++)
        if (d->next[i] != DFA_DEAD)
            b->at[d->next[i] + 2]++;
    for (uint32_t s = 0; s < n; s++)
        b->at[s + 2] += b->at[s + 1];
    for (size_t i = 0; i < n_edges; i++) /* at[s + 1] runs to the end of s */
        if (d->next[i] != DFA_DEAD)
            b->from[b->at[d->next[i] + 1]++] = (uint32_t)(i / d->n_classes);
    return 0;
}

/* Merge states that mean the same (Moore): split by the way to the nearest end, then by the groups
 * that the classes lead to, until nothing splits. The ways are what keeps the rounds few: in a chain
 * all differ. `group` gets the group of each state. */
static int moore(const struct dfa *d, const uint32_t *least, uint32_t *group, uint32_t *n_groups,
                 struct err *e)
{
    const uint32_t n = d->n_states;
    struct map m = {0};
    uint32_t *fresh = malloc((n + 1) * sizeof *fresh);
    uint32_t count = 0, before;
    int rc = -1;
    if (!fresh) {
        no_memory(e);
        goto done;
    }
    memcpy(group, least, n * sizeof *group);
    do {
        before = count;
        count = 0;
        map_free(&m);
        for (uint32_t s = 0; s < n; s++) {
            const uint32_t *to = d->next + (size_t)s * d->n_classes;
            uint64_t h = (0x9e3779b97f4a7c15u ^ group[s]) * 0x2545f4914f6cdd1du;
            h ^= h >> 29;
            for (uint32_t c = 0; c < d->n_classes; c++) {
                h = (h ^ (to[c] == DFA_DEAD ? DFA_DEAD : group[to[c]])) * 0x2545f4914f6cdd1du;
                h ^= h >> 29;
            }
            uint32_t id = map_get(&m, h | 1);
            if (id == UINT32_MAX) {
                id = count++;
                if (map_put(&m, h | 1, id) != 0) {
                    no_memory(e);
                    goto done;
                }
            }
            fresh[s] = id;
        }
        memcpy(group, fresh, n * sizeof *group);
    } while (count != before);
    *n_groups = count;
    rc = 0;
done:
    map_free(&m);
    free(fresh);
    return rc;
}

/* least[]: code points to the nearest end; NO_END where there is none. `queue`: scratch. */
static void distances(const struct dfa *d, const struct back *b, uint32_t *least, uint32_t *queue)
{
    uint32_t head = 0, tail = 0;
    for (uint32_t s = 0; s < d->n_states; s++) {
        least[s] = d->accept[s] ? 0 : NO_END;
        if (d->accept[s])
            queue[tail++] = s;
    }
    while (head < tail) {
        const uint32_t s = queue[head++];
        for (uint32_t i = b->at[s]; i < b->at[s + 1]; i++)
            if (least[b->from[i]] == NO_END) {
                least[b->from[i]] = least[s] + 1;
                queue[tail++] = b->from[i];
            }
    }
}

/* most[]: the longest way to an end, NO_END where a loop makes it endless. All states live, so a
 * state lies on or before a loop exactly when it is never taken off in topological order. */
static int longest(const struct dfa *d, struct err *e)
{
    const uint32_t n = d->n_states;
    uint32_t *left = calloc(n + 1, sizeof *left), *stack = malloc((n + 1) * sizeof *stack);
    struct back b = {NULL, NULL};
    uint32_t top = 0;
    int rc = -1;
    if (!left || !stack) {
        no_memory(e);
        goto done;
    }
    if (back_new(&b, d, e) != 0)
        goto done;
    for (uint32_t s = 0; s < n; s++) {
        d->most[s] = NO_END;
        for (uint32_t c = 0; c < d->n_classes; c++)
            left[s] += d->next[(size_t)s * d->n_classes + c] != DFA_DEAD;
        if (!left[s])
            stack[top++] = s;
    }
    while (top) {
        const uint32_t s = stack[--top];
        uint32_t most = 0;
        for (uint32_t c = 0; c < d->n_classes; c++) {
            const uint32_t to = d->next[(size_t)s * d->n_classes + c];
            if (to != DFA_DEAD && d->most[to] + 1 > most)
                most = d->most[to] + 1;
        }
        d->most[s] = most;
        for (uint32_t i = b.at[s]; i < b.at[s + 1]; i++)
            if (!--left[b.from[i]])
                stack[top++] = b.from[i];
    }
    rc = 0;
done:
    back_free(&b);
    free(left);
    free(stack);
    return rc;
}

struct dfa *dfa_finish(struct arena *a, struct dfa *raw, struct err *e)
{
    const uint32_t n = raw->n_states;
    uint32_t *least = malloc((n + 1) * sizeof *least), *group = malloc((n + 1) * sizeof *group),
             *place = NULL, n_groups = 0, n_live = 0;
    struct dfa *d = NULL, *out = NULL;
    struct back b = {NULL, NULL};
    if (!least || !group) {
        no_memory(e);
        goto done;
    }
    if (back_new(&b, raw, e) != 0)
        goto done;
    distances(raw, &b, least, group);
    back_free(&b);
    for (uint32_t s = 0; s < n; s++) /* what cannot end is dead */
        for (uint32_t c = 0; c < raw->n_classes; c++) {
            uint32_t *to = &raw->next[(size_t)s * raw->n_classes + c];
            if (*to != DFA_DEAD && least[*to] == NO_END)
                *to = DFA_DEAD;
        }
    if (moore(raw, least, group, &n_groups, e) != 0)
        goto done;
    place = malloc((n_groups + 1) * sizeof *place);
    if (!place) {
        no_memory(e);
        goto done;
    }
    memset(place, 0xff, (n_groups + 1) * sizeof *place);
    for (uint32_t s = 0; s < n; s++)
        if (least[s] != NO_END && place[group[s]] == DFA_DEAD)
            place[group[s]] = n_live++;
    d = dfa_raw(a, n_live, raw->n_classes, raw->n_ranges, e);
    if (!d)
        goto done;
    d->free = arena_alloc(a, n_live + 1, 1);
    d->least = arena_alloc(a, (n_live + 1) * sizeof *d->least, 4);
    d->most = arena_alloc(a, (n_live + 1) * sizeof *d->most, 4);
    if (!d->free || !d->least || !d->most) {
        no_memory(e);
        goto done;
    }
    memcpy(d->lo, raw->lo, (raw->n_ranges + 1) * sizeof *d->lo);
    memcpy(d->class_of, raw->class_of, raw->n_ranges * sizeof *d->class_of);
    d->start =
        raw->start == DFA_DEAD || least[raw->start] == NO_END ? DFA_DEAD : place[group[raw->start]];
    for (uint32_t s = 0; s < n; s++) {
        if (least[s] == NO_END)
            continue;
        const uint32_t q = place[group[s]];
        d->accept[q] = raw->accept[s];
        d->least[q] = least[s];
        bool loops = raw->accept[s] != 0;
        for (uint32_t c = 0; c < d->n_classes; c++) {
            const uint32_t to = raw->next[(size_t)s * d->n_classes + c];
            const uint32_t r = to == DFA_DEAD ? DFA_DEAD : place[group[to]];
            d->next[(size_t)q * d->n_classes + c] = r;
            loops = loops && r == q;
        }
        d->free[q] = loops;
    }
    if (longest(d, e) == 0)
        out = d;
done:
    free(least);
    free(group);
    free(place);
    return out;
}

bool dfa_gapless(const struct dfa *d)
{
    for (uint32_t s = 0; s < d->n_states; s++) {
        const uint32_t *next = d->next + (size_t)s * d->n_classes;
        uint32_t end = d->least[s]; /* all lengths up to here are there */
        for (bool again = true; again && end < d->most[s];) {
            again = false;
            for (uint32_t c = 0; c < d->n_classes; c++)
                if (next[c] != DFA_DEAD && d->least[next[c]] <= end &&
                    (d->most[next[c]] == NO_END || d->most[next[c]] >= end)) {
                    end = d->most[next[c]] == NO_END ? NO_END : d->most[next[c]] + 1;
                    again = true;
                }
        }
        if (end != d->most[s])
            return false;
    }
    return true;
}

/* ---- simple ones ----------------------------------------------------------------------------- */

struct dfa *dfa_all(struct arena *a, struct err *e)
{
    struct dfa *d = dfa_raw(a, 1, 1, 1, e);
    if (!d)
        return NULL;
    d->accept[0] = 1;
    return dfa_finish(a, d, e);
}

struct dfa *dfa_lengths(struct arena *a, uint32_t least, uint32_t most, struct err *e)
{
    const uint32_t n = (most == NO_END ? least : most) + 1;
    if (n > MOST_DFA) {
        err_set(e, ERR_UNSUPPORTED, "a length of more than %d", MOST_DFA - 1);
        return NULL;
    }
    struct dfa *d = dfa_raw(a, n, 1, 1, e);
    if (!d)
        return NULL;
    for (uint32_t s = 0; s < n; s++) {
        d->next[s] = s + 1 < n ? s + 1 : most == NO_END ? s : DFA_DEAD;
        d->accept[s] = s >= least;
    }
    return dfa_finish(a, d, e);
}

static int by_cp(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Ranges so that each of the sorted cps[0..n) stands alone in a class of its own. */
static void single_ranges(struct dfa *d, const uint32_t *cps, uint32_t n)
{
    uint32_t r = 0, at = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (cps[i] > at) {
            d->lo[r] = at;
            d->class_of[r++] = 0;
        }
        d->lo[r] = cps[i];
        d->class_of[r++] = (uint16_t)(i + 1);
        at = cps[i] + 1;
    }
    if (at <= LAST_CHAR) {
        d->lo[r] = at;
        d->class_of[r++] = 0;
    }
    d->n_ranges = r;
    d->lo[r] = LAST_CHAR + 1;
}

struct dfa *dfa_words(struct arena *a, const struct text *words, size_t n, struct err *e)
{
    size_t total = 0, n_cps = 0;
    uint32_t *cps = NULL, n_single = 0, n_states = 1;
    struct dfa *d = NULL, *out = NULL;
    for (size_t i = 0; i < n; i++)
        total += words[i].n;
    if (total > MOST_DFA * 8) {
        err_set(e, ERR_LIMIT, "the strings of an enum are longer than %d bytes", MOST_DFA * 8);
        return NULL;
    }
    cps = malloc((total + 1) * sizeof *cps);
    if (!cps) {
        no_memory(e);
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < words[i].n;) {
            bool bad;
            k += text_decode(words[i].p + k, words[i].n - k, &cps[n_cps++], &bad);
        }
    qsort(cps, n_cps, sizeof *cps, by_cp);
    for (size_t i = 0; i < n_cps; i++)
        if (!i || cps[i] != cps[i - 1])
            cps[n_single++] = cps[i];
    if ((uint64_t)(n_cps + 1) * (n_single + 1) > (uint64_t)64 << 20) {
        err_set(e, ERR_LIMIT, "an enum with too many different characters");
        goto done;
    }
    d = dfa_raw(a, (uint32_t)n_cps + 1, n_single + 1, 2 * n_single + 1, e);
    if (!d)
        goto done;
    single_ranges(d, cps, n_single);
    memset(d->next, 0xff, (size_t)d->n_states * d->n_classes * sizeof *d->next);
    for (size_t i = 0; i < n; i++) {
        uint32_t s = 0;
        for (size_t k = 0; k < words[i].n;) {
            uint32_t cp;
            bool bad;
            k += text_decode(words[i].p + k, words[i].n - k, &cp, &bad);
            uint32_t *to = &d->next[(size_t)s * d->n_classes + d->class_of[range_at(d, cp)]];
            if (*to == DFA_DEAD)
                *to = n_states++;
            s = *to;
        }
        d->accept[s] = 1;
    }
    d->n_states = n_states;
    out = dfa_finish(a, d, e);
done:
    free(cps);
    return out;
}

/* ---- and, but not, or ------------------------------------------------------------------------ */

struct merge {
    const struct dfa *x, *y;
    struct map of;   /* pair of states -> state */
    uint64_t *pairs; /* state -> pair; DFA_DEAD is a side of it too */
    uint32_t n, cap;
};

static uint64_t pair_of(uint32_t x, uint32_t y)
{
    return (uint64_t)x << 32 | y;
}

static int merge_state(struct merge *m, uint32_t x, uint32_t y, uint32_t *out, struct err *e)
{
    const uint64_t key = pair_of(x + 1, y + 1) + 1; /* never 0 */
    *out = map_get(&m->of, key);
    if (*out != UINT32_MAX)
        return 0;
    if (m->n == MOST_DFA)
        return err_set(e, ERR_UNSUPPORTED, "an automaton of more than %d states", MOST_DFA);
    if (m->n == m->cap) {
        const uint32_t cap = m->cap ? 2 * m->cap : 64;
        uint64_t *p = realloc(m->pairs, cap * sizeof *p);
        if (!p)
            return no_memory(e);
        m->pairs = p;
        m->cap = cap;
    }
    *out = m->n;
    m->pairs[m->n++] = pair_of(x, y);
    return map_put(&m->of, key, *out) == 0 ? 0 : no_memory(e);
}

static bool pair_dies(uint32_t x, uint32_t y, enum dfa_op op)
{
    return op == DFA_AND   ? x == DFA_DEAD || y == DFA_DEAD
           : op == DFA_BUT ? x == DFA_DEAD
                           : x == DFA_DEAD && y == DFA_DEAD;
}

struct dfa *dfa_merge(struct arena *a, const struct dfa *x, const struct dfa *y, enum dfa_op op,
                      struct err *e)
{
    /* Common ranges, and a class for each pair of classes that meet. */
    const uint32_t most = x->n_ranges + y->n_ranges;
    struct merge m = {.x = x, .y = y};
    struct map classes = {0};
    uint32_t *lo = malloc((most + 1) * sizeof *lo), n_ranges = 0, n_classes = 0, *cx = NULL,
             *cy = NULL, *next = NULL, start = DFA_DEAD;
    uint16_t *class_of = malloc((most + 1) * sizeof *class_of);
    struct dfa *d, *out = NULL;
    cx = malloc((most + 1) * sizeof *cx);
    cy = malloc((most + 1) * sizeof *cy);
    if (!lo || !class_of || !cx || !cy) {
        no_memory(e);
        goto done;
    }
    for (uint32_t i = 0, k = 0; i < x->n_ranges && k < y->n_ranges;) {
        lo[n_ranges] = x->lo[i] > y->lo[k] ? x->lo[i] : y->lo[k];
        const uint64_t key = pair_of(x->class_of[i], y->class_of[k]) + 1;
        uint32_t c = map_get(&classes, key);
        if (c == UINT32_MAX) {
            c = n_classes++;
            cx[c] = x->class_of[i];
            cy[c] = y->class_of[k];
            if (map_put(&classes, key, c) != 0) {
                no_memory(e);
                goto done;
            }
        }
        class_of[n_ranges++] = (uint16_t)c;
        const uint32_t end_x = x->lo[i + 1], end_y = y->lo[k + 1];
        i += end_x <= end_y;
        k += end_y <= end_x;
    }
    if (!pair_dies(x->start, y->start, op) && merge_state(&m, x->start, y->start, &start, e) != 0)
        goto done;
    size_t cap = 0;
    for (uint32_t s = 0; s < m.n; s++) {
        const uint32_t sx = (uint32_t)(m.pairs[s] >> 32), sy = (uint32_t)m.pairs[s];
        if ((size_t)(s + 1) * n_classes > cap) {
            cap = 2 * (size_t)(s + 1) * n_classes;
            uint32_t *p = realloc(next, cap * sizeof *p);
            if (!p) {
                no_memory(e);
                goto done;
            }
            next = p;
        }
        for (uint32_t c = 0; c < n_classes; c++) {
            const uint32_t tx =
                sx == DFA_DEAD ? DFA_DEAD : x->next[(size_t)sx * x->n_classes + cx[c]];
            const uint32_t ty =
                sy == DFA_DEAD ? DFA_DEAD : y->next[(size_t)sy * y->n_classes + cy[c]];
            uint32_t to = DFA_DEAD;
            if (!pair_dies(tx, ty, op) && merge_state(&m, tx, ty, &to, e) != 0)
                goto done;
            next[(size_t)s * n_classes + c] = to;
        }
    }
    d = dfa_raw(a, m.n, n_classes, n_ranges, e);
    if (!d)
        goto done;
    memcpy(d->lo, lo, n_ranges * sizeof *lo);
    memcpy(d->class_of, class_of, n_ranges * sizeof *class_of);
    if (m.n)
        memcpy(d->next, next, (size_t)m.n * n_classes * sizeof *next);
    d->start = start;
    for (uint32_t s = 0; s < m.n; s++) {
        const uint32_t sx = (uint32_t)(m.pairs[s] >> 32), sy = (uint32_t)m.pairs[s];
        const bool in_x = sx != DFA_DEAD && x->accept[sx], in_y = sy != DFA_DEAD && y->accept[sy];
        d->accept[s] = op == DFA_AND ? in_x && in_y : op == DFA_BUT ? in_x && !in_y : in_x || in_y;
    }
    out = dfa_finish(a, d, e);
done:
    map_free(&m.of);
    map_free(&classes);
    free(m.pairs);
    free(lo);
    free(class_of);
    free(cx);
    free(cy);
    free(next);
    return out;
}

/* ---- counting -------------------------------------------------------------------------------- */

uint32_t dfa_count(const struct dfa *d, uint32_t state, uint32_t most)
{
    if (d->most[state] == NO_END && most == NO_END)
        return COUNT_MOST;
    uint64_t *a = calloc(2 * (size_t)d->n_states + 1, sizeof *a), *b = a + d->n_states,
             *size = calloc(d->n_classes + 1, sizeof *size);
    uint64_t sum = 0;
    if (!a || !size) { /* as if there were none left: careful, never wrong */
        free(a);
        free(size);
        return 0;
    }
    for (uint32_t r = 0; r < d->n_ranges; r++)
        size[d->class_of[r]] += d->lo[r + 1] - d->lo[r];
    /* a[s]: words of exactly k characters from s. */
    for (uint32_t s = 0; s < d->n_states; s++)
        a[s] = d->accept[s];
    sum = a[state];
    const uint32_t far = d->most[state] == NO_END                  ? most
                         : most == NO_END || d->most[state] < most ? d->most[state]
                                                                   : most;
    for (uint32_t k = 1; k <= far && sum < COUNT_MOST; k++) {
        bool any = false;
        for (uint32_t s = 0; s < d->n_states; s++) {
            b[s] = 0;
            for (uint32_t c = 0; c < d->n_classes; c++) {
                const uint32_t to = d->next[(size_t)s * d->n_classes + c];
                if (to != DFA_DEAD)
                    b[s] += a[to] * size[c];
            }
            b[s] = b[s] > COUNT_MOST ? COUNT_MOST : b[s];
            any |= b[s] != 0;
        }
        memcpy(a, b, d->n_states * sizeof *a);
        sum += a[state];
        if (!any)
            break;
    }
    free(a);
    free(size);
    return sum > COUNT_MOST ? COUNT_MOST : (uint32_t)sum;
}
