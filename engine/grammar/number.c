/* engine/grammar/number.c - numbers that obey limits, as an automaton over their digits.
 *
 * A state is what has been read, as far as it matters: the sign, how many digits stand before the
 * point, how the digits so far compare with each limit, the remainder for each `multipleOf`. States
 * are found from the start on; the ones that cannot end any more are dropped.
 *
 * A number that must obey something is written without an exponent, and with so few digits when it
 * has a fraction that the reader's double lies on the same side of every limit: rounding keeps the
 * order, so 22 do for `minimum` and `maximum`; 15 where a limit itself must be told apart. "Less
 * than 1" is "at most the last double before 1". Integers are written as integers. */
#include "engine/grammar/inside.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_RULES = 12, MANY_DIGITS = 22, FEW_DIGITS = 15, MOST_STATES = 60000 };

/* Digits behind the point that were seen among the first 15: they make a number, and its double, no
 * integer. */
enum { NOT_9 = 1, NOT_0 = 2 };
enum { TWICE = 2 }; /* an end where the number has another end: 2.0 and 2 */
#define NO_MULTIPLE UINT32_MAX

int num_symbol(unsigned char c)
{
    return c >= '0' && c <= '9' ? c - '0'
           : c == '-'           ? 10
           : c == '.'           ? 11
           : (c | 32) == 'e'    ? 12
           : c == '+'           ? 13
                                : -1;
}

/* ---- states ---------------------------------------------------------------------------------- */

enum phase { P_START, P_MINUS, P_ZERO, P_INT, P_POINT, P_FRAC, P_EXP, P_EXP_SIGN, P_EXP_DIGIT };

struct at {                   /* a state; compared byte by byte, so no holes */
    uint8_t phase, neg, some; /* some: a digit that is not 0 was read */
    uint8_t n_frac;           /* digits behind the point, as far as they are counted */
    uint16_t n_int, n_all;    /* digits before the point and in all, as far as they are counted */
    int8_t cmp[MOST_RULES];   /* with the limit's magnitude: its digits so far */
    uint8_t pad[4];
    uint32_t rem[MOST_RULES]; /* remainder */
};

struct build {
    bool integer, fraction, whole, free; /* whole: behind the point come zeros at most; free:
                                            nothing limits it, an exponent may come */
    int n_rules;
    struct num_rule rule[MOST_RULES];
    uint32_t mod[MOST_RULES]; /* of multiples: scaled to an integer, without the zeros at its end */
    uint32_t tens[MOST_RULES]; /* .. and how many zeros these are */
    int places[MOST_RULES];    /* .. scaled by this many decimal places */
    int most_int;              /* digits before the point of the longest limit */
    int most_all;              /* digits that may be written, if there is a fraction */
    int most_frac;             /* digits behind the point that may be written */
    int frac_seen;             /* of these, the ones that matter for remainders */
    struct map of;
    struct at *v;
    uint32_t n, cap;
    struct err *e;
};

static bool is_multiple(const struct num_rule *r)
{
    return r->kind == NUM_MULTIPLE || r->kind == NUM_NO_MULTIPLE;
}

/* Digits of the limit before the point. */
static int limit_ints(const struct decimal *v)
{
    return v->n && v->exp10 > 0 ? v->exp10 : 0;
}

/* The number read so far, compared with the limit's magnitude: -1, 0, 1. */
static int magnitude_at(const struct build *b, const struct at *s, int i)
{
    const struct decimal *v = &b->rule[i].v;
    if (s->n_int != limit_ints(v))
        return s->n_int < limit_ints(v) ? -1 : 1;
    if (s->cmp[i])
        return s->cmp[i];
    /* Equal so far: what is left of the limit decides, and its last digit is not 0. */
    const int read = v->exp10 + s->n_frac;
    return v->n > (read > 0 ? read : 0) ? -1 : 0;
}

/* For multiples of q * 10^k: the digits are a number y, then z zeros, k at most; the state is y's
 * remainder by q, and z. A multiple: remainder 0, and k zeros. */
static uint32_t rem_step(const struct build *b, int i, uint32_t rem, int d)
{
    const uint32_t k = b->tens[i], z = rem % (k + 1);
    uint64_t y = rem / (k + 1);
    if (rem == NO_MULTIPLE || (!d && z < k))
        return rem == NO_MULTIPLE ? rem : rem + 1;
    for (uint32_t n = d ? z : 0; n; n--)
        y = y * 10 % b->mod[i];
    y = (y * 10 + (uint64_t)d) % b->mod[i];
    return (uint32_t)y * (k + 1) + (d ? 0 : k);
}

static bool obeys(const struct build *b, const struct at *s)
{
    for (int i = 0; i < b->n_rules; i++) {
        const struct num_rule *r = &b->rule[i];
        if (is_multiple(r)) {
            uint32_t rem = s->rem[i];
            for (int k = s->n_frac; k < b->places[i]; k++)
                rem = rem_step(b, i, rem, 0);
            if ((rem == b->tens[i]) != (r->kind == NUM_MULTIPLE))
                return false;
            continue;
        }
        const int m = magnitude_at(b, s, i);
        int c; /* the number against the limit */
        if (!s->some)
            c = r->v.neg ? 1 : r->v.n ? -1 : 0;
        else if (s->neg != r->v.neg)
            c = s->neg ? -1 : 1;
        else
            c = s->neg ? -m : m;
        const bool good = r->kind == NUM_LESS       ? c < 0
                          : r->kind == NUM_AT_MOST  ? c <= 0
                          : r->kind == NUM_MORE     ? c > 0
                          : r->kind == NUM_AT_LEAST ? c >= 0
                                                    : c != 0;
        if (!good)
            return false;
    }
    return true;
}

static bool may_end(const struct build *b, const struct at *s)
{
    if (s->phase == P_EXP_DIGIT)
        return true;
    if (s->phase != P_ZERO && s->phase != P_INT && s->phase != P_FRAC)
        return false;
    if (b->fraction && (s->phase != P_FRAC || s->cmp[MOST_RULES - 1] < NOT_0 ||
                        (s->cmp[MOST_RULES - 1] < NOT_0 + NOT_9 && s->n_all >= FEW_DIGITS)))
        return false;
    if (b->integer && s->neg && !s->some)
        return false; /* -0 */
    return obeys(b, s);
}

static void take_digit(const struct build *b, struct at *s, int d, bool behind)
{
    for (int i = 0; i < b->n_rules; i++) {
        if (is_multiple(&b->rule[i])) {
            if (!behind || s->n_frac < b->places[i])
                s->rem[i] = rem_step(b, i, s->rem[i], d);
            else if (d)
                s->rem[i] = NO_MULTIPLE;
            if (behind && s->n_frac + 1 >= b->places[i] && s->rem[i] != b->tens[i])
                s->rem[i] = NO_MULTIPLE; /* no digit mends it */
            continue;
        }
        const struct decimal *v = &b->rule[i].v;
        /* Where this digit stands in the limit, were they equally long before the point. */
        const int place = behind ? v->exp10 + s->n_frac : s->n_int;
        const int theirs = (behind || place < limit_ints(v)) ? decimal_digit(v, place) : 0;
        if (!s->cmp[i] && (behind || place < limit_ints(v)) && d != theirs)
            s->cmp[i] = d < theirs ? -1 : 1;
    }
}

/* One symbol on: false when it cannot come here. */
static bool go(const struct build *b, const struct at *from, int sym, struct at *to)
{
    *to = *from;
    const bool digit = sym < 10;
    switch (from->phase) {
    case P_START:
        if (sym == 10) {
            to->phase = P_MINUS;
            to->neg = 1;
            return true;
        }
        break;
    case P_MINUS:
        break;
    case P_ZERO:
    case P_INT:
        if (digit) {
            if (from->phase == P_ZERO)
                return false;
            take_digit(b, to, sym, false);
            if (to->n_int <= b->most_int)
                to->n_int++;
            if (!b->whole && to->n_all < b->most_all)
                to->n_all++;
            return true;
        }
        if (sym == 11 && !b->integer && (b->free || from->n_all < b->most_all)) {
            to->phase = P_POINT;
            for (int i = 0; i < b->n_rules; i++)
                if (is_multiple(&b->rule[i]) && !b->places[i] && to->rem[i] != b->tens[i])
                    to->rem[i] = NO_MULTIPLE;
            return true;
        }
        if (sym == 12 && b->free && !b->integer) {
            to->phase = P_EXP;
            return true;
        }
        return false;
    case P_POINT:
    case P_FRAC:
        if (digit) {
            if (!b->free && (from->n_all >= b->most_all || from->n_frac >= b->most_frac))
                return false;
            take_digit(b, to, sym, true);
            to->some |= sym != 0;
            if (b->fraction && from->n_all < FEW_DIGITS)
                to->cmp[MOST_RULES - 1] |= (int8_t)((sym ? NOT_0 : 0) + (sym != 9 ? NOT_9 : 0));
            to->phase = P_FRAC;
            if (!b->free) {
                to->n_frac++;
                to->n_all++;
            }
            return true;
        }
        if (sym == 12 && b->free && from->phase == P_FRAC) {
            to->phase = P_EXP;
            return true;
        }
        return false;
    case P_EXP:
        if (sym == 10 || sym == 13) {
            to->phase = P_EXP_SIGN;
            return true;
        }
        __attribute__((fallthrough));
    case P_EXP_SIGN:
        if (!digit)
            return false;
        to->phase = P_EXP_DIGIT;
        to->n_int = 1; /* counts the digits of the exponent: two, so that it stays a double */
        return true;
    case P_EXP_DIGIT:
        if (!digit || from->n_int != 1)
            return false;
        to->n_int = 2;
        return true;
    default:
        return false;
    }
    if (!digit) /* the first digit */
        return false;
    to->phase = sym ? P_INT : P_ZERO;
    take_digit(b, to, sym, false);
    to->some = sym != 0;
    to->n_int = sym != 0;
    to->n_all = 1;
    return true;
}

static int at_id(struct build *b, const struct at *s, uint32_t *out)
{
    const uint64_t h = hash_bytes(5, s, sizeof *s) | 1;
    *out = map_get(&b->of, h);
    if (*out != UINT32_MAX)
        return 0;
    if (b->n == MOST_STATES)
        return err_set(b->e, ERR_UNSUPPORTED, "number limits that need too many states");
    if (b->n == b->cap) {
        const uint32_t cap = b->cap ? 2 * b->cap : 64;
        struct at *p = realloc(b->v, cap * sizeof *p);
        if (!p)
            return err_set(b->e, ERR_MEMORY, "out of memory");
        b->v = p;
        b->cap = cap;
    }
    b->v[b->n] = *s;
    *out = b->n;
    return map_put(&b->of, h, b->n++) == 0 ? 0 : err_set(b->e, ERR_MEMORY, "out of memory");
}

/* ---- from rules to a table ------------------------------------------------------------------- */

static int add_rule(struct build *b, const struct num_rule *r)
{
    if (b->n_rules == MOST_RULES - 1)
        return err_set(b->e, ERR_UNSUPPORTED, "more than %d limits on a number", MOST_RULES - 1);
    struct num_rule *own = &b->rule[b->n_rules];
    *own = *r;
    b->free = false;
    if ((r->kind == NUM_LESS || r->kind == NUM_MORE) && !b->integer && r->v.n) {
        const bool less = r->kind == NUM_LESS;
        own->kind = less ? NUM_AT_MOST : NUM_AT_LEAST;
        if (decimal_of_double(nextafter(decimal_double(&r->v), less ? -INFINITY : INFINITY),
                              &own->v) != 0)
            return err_set(b->e, ERR_UNSUPPORTED, "a limit on a number that is too large");
        r = own;
    }
    if (r->kind == NUM_NOT || is_multiple(r))
        b->most_all = FEW_DIGITS;
    if (is_multiple(r)) {
        const int places = r->v.n - r->v.exp10 > 0 ? r->v.n - r->v.exp10 : 0;
        uint64_t m = 0;
        for (int i = 0; i < r->v.exp10 + places; i++) {
            m = m * 10 + (uint64_t)decimal_digit(&r->v, i);
            if (m > UINT64_C(1000000000000000))
                return err_set(b->e, ERR_UNSUPPORTED, "a multipleOf with too many digits");
        }
        if (!m)
            return err_set(b->e, ERR_INPUT, "multipleOf must be more than 0");
        uint32_t tens = 0;
        for (; m % 10 == 0; m /= 10)
            tens++;
        if (m > MOST_STATES)
            return err_set(b->e, ERR_UNSUPPORTED, "a multipleOf with too many digits");
        b->mod[b->n_rules] = (uint32_t)m;
        b->tens[b->n_rules] = tens;
        b->places[b->n_rules] = places;
        if (r->kind == NUM_MULTIPLE) {
            /* 30, or 30.0 as long as few states tell how long that is: as a double it is exact. */
            const int behind = places || m * (tens + 1) > 1000 ? places : 1;
            b->whole |= !behind;
            if (behind < b->most_frac)
                b->most_frac = behind;
        }
    } else {
        const int ints = limit_ints(&r->v);
        if (ints > b->most_int)
            b->most_int = ints;
    }
    b->n_rules++;
    return 0;
}

/* How many numbers, as values, go on from each state: no zeros at the end of a fraction, and -0 is
 * 0. In a state behind the point: `deep` ones go on to a digit that is not 0, and the number itself
 * is one where zeros, or nothing, may end it. */
static int count_values(const struct build *b, struct numbers *t, const uint32_t *place)
{
    uint32_t *deep = calloc(t->n_states + 1, sizeof *deep);
    uint8_t *ends = calloc(t->n_states + 1, 1);
    bool again = deep && ends;
    const int rc = again ? 0 : -1;
    memset(t->count, 0, t->n_states * sizeof *t->count);
    for (int round = 0; round < 24 && again; round++) { /* loops pass MANY by then */
        again = false;
        for (uint32_t k = b->n; k-- > 0;) {
            const struct at *x = &b->v[k];
            const uint32_t s = place[k];
            if (s == DFA_DEAD)
                continue;
            const uint32_t *next = t->next[s], point = next[11], before = t->count[s];
            const bool behind = x->phase == P_POINT || x->phase == P_FRAC;
            uint64_t n = 0;
            if (behind) {
                ends[s] = t->accept[s] || (next[0] != DFA_DEAD && ends[next[0]]);
                for (int d = 0; d < 10; d++)
                    if (next[d] != DFA_DEAD)
                        n += deep[next[d]] + (d && ends[next[d]]);
                deep[s] = n > MANY ? MANY : (uint32_t)n;
                n += ends[s] && (x->some || !x->neg);
            } else {
                for (int d = 0; d <= 10; d++)
                    n += next[d] != DFA_DEAD ? t->count[next[d]] : 0;
                n += point != DFA_DEAD ? deep[point] : 0;
                n += (t->accept[s] || (point != DFA_DEAD && ends[point])) && (x->some || !x->neg);
            }
            t->count[s] = n > MANY ? MANY : (uint32_t)n;
            again |= t->count[s] != before;
        }
    }
    free(deep);
    free(ends);
    return rc;
}

static struct numbers *table_of(struct arena *a, struct build *b)
{
    struct numbers *out = NULL, *t = arena_alloc(a, sizeof *t, 8);
    uint32_t (*next)[N_SYMBOLS] = NULL, id, *place = NULL, n_live = 0;
    bool *lives = NULL;
    size_t cap = 0;
    struct at start;
    memset(&start, 0, sizeof start);
    if (!t)
        goto none;
    for (int i = 0; i < b->n_rules; i++)
        start.rem[i] = is_multiple(&b->rule[i]) ? b->tens[i] : 0;
    if (at_id(b, &start, &id) != 0)
        goto done;
    for (uint32_t s = 0; s < b->n; s++) {
        if (s == cap) {
            cap = cap ? 2 * cap : 64;
            void *p = realloc(next, cap * sizeof *next);
            if (!p)
                goto none;
            next = p;
        }
        for (int c = 0; c < N_SYMBOLS; c++) {
            struct at to;
            next[s][c] = DFA_DEAD;
            const struct at from = b->v[s];
            if (go(b, &from, c, &to) && at_id(b, &to, &next[s][c]) != 0)
                goto done;
        }
    }
    lives = calloc(b->n + 1, sizeof *lives);
    place = malloc((b->n + 1) * sizeof *place);
    if (!lives || !place)
        goto none;
    for (uint32_t s = 0; s < b->n; s++)
        lives[s] = may_end(b, &b->v[s]);
    for (bool again = true; again;) {
        again = false;
        for (uint32_t s = b->n; s-- > 0;)
            for (int c = 0; c < N_SYMBOLS && !lives[s]; c++)
                if (next[s][c] != DFA_DEAD && lives[next[s][c]])
                    again = lives[s] = true;
    }
    if (!lives[0])
        goto done; /* no number at all: no error */
    for (uint32_t s = 0; s < b->n; s++)
        place[s] = lives[s] ? n_live++ : DFA_DEAD;
    t->n_states = n_live;
    t->next = arena_alloc(a, n_live * sizeof *t->next, 4);
    t->accept = arena_alloc(a, n_live, 1);
    t->count = arena_alloc(a, n_live * sizeof *t->count, 4);
    if (!t->next || !t->accept || !t->count)
        goto none;
    for (uint32_t s = 0; s < b->n; s++) {
        if (!lives[s])
            continue;
        for (int c = 0; c < N_SYMBOLS; c++)
            t->next[place[s]][c] = next[s][c] == DFA_DEAD ? DFA_DEAD : place[next[s][c]];
        t->accept[place[s]] = may_end(b, &b->v[s]);
    }
    if (count_values(b, t, place) != 0)
        goto none;
    out = t;
    goto done;
none:
    err_set(b->e, ERR_MEMORY, "out of memory");
done:
    map_free(&b->of);
    free(b->v);
    free(next);
    free(lives);
    free(place);
    return out;
}

/* A list of numbers: a tree of their texts. */
static struct numbers *listed(struct arena *a, const struct num_list *list, const bool *good,
                              bool integer, struct err *e)
{
    size_t total = 1;
    for (size_t i = 0; i < list->n; i++)
        total += good[i] ? 4 + (size_t)list->v[i].n + (size_t)abs(list->v[i].exp10) : 0;
    struct numbers *t = arena_alloc(a, sizeof *t, 8);
    uint32_t n = 1;
    if (t) {
        t->next = arena_alloc(a, total * sizeof *t->next, 4);
        t->accept = arena_alloc(a, total, 1);
        t->count = arena_alloc(a, total * sizeof *t->count, 4);
    }
    if (!t || !t->next || !t->accept || !t->count) {
        err_set(e, ERR_MEMORY, "out of memory");
        return NULL;
    }
    memset(t->next, 0xff, total * sizeof *t->next);
    for (size_t i = 0; i < list->n; i++) {
        if (!good[i])
            continue;
        const struct decimal *v = &list->v[i];
        char text[700];
        int len = 0;
        if (v->neg)
            text[len++] = '-';
        for (int k = 0; k < (v->exp10 > 1 ? v->exp10 : 1); k++)
            text[len++] = (char)('0' + (v->exp10 > 0 ? decimal_digit(v, k) : 0));
        if (!decimal_whole(v)) {
            text[len++] = '.';
            for (int k = v->exp10 > 0 ? v->exp10 : 0, z = v->exp10; k < v->n || z < 0; z++) {
                text[len++] = (char)('0' + (z < 0 ? 0 : v->d[k]));
                k += z >= 0;
            }
        }
        uint32_t s = 0;
        for (int k = 0; k < len; k++) {
            uint32_t *to = &t->next[s][num_symbol((unsigned char)text[k])];
            if (*to == DFA_DEAD)
                *to = n++;
            s = *to;
        }
        t->accept[s] = 1;
        if (v->real && decimal_whole(v) && !integer) { /* 2.0 in the schema: it comes so, or as 2 */
            for (const char *c = ".0"; *c; c++) {
                uint32_t *to = &t->next[s][num_symbol((unsigned char)*c)];
                if (*to == DFA_DEAD)
                    *to = n++;
                s = *to;
            }
            t->accept[s] = TWICE;
        }
    }
    for (uint32_t s = n; s-- > 0;) { /* children come after their parents */
        const uint32_t point = t->next[s][11], zero = point == DFA_DEAD ? point : t->next[point][0];
        t->count[s] = t->accept[s] != 0;
        for (int c = 0; c < N_SYMBOLS; c++)
            if (t->next[s][c] != DFA_DEAD)
                t->count[s] += t->count[t->next[s][c]];
        t->count[s] -= zero != DFA_DEAD && t->accept[zero] == TWICE;
    }
    t->n_states = n;
    return n > 1 ? t : NULL;
}

static bool value_obeys(const struct decimal *v, const struct num_rule *r)
{
    if (is_multiple(r)) {
        /* v / m is whole? Long division over v's digits, scaled by the places of m. */
        const int places = r->v.n - r->v.exp10 > 0 ? r->v.n - r->v.exp10 : 0;
        uint64_t m = 0, rem = 0;
        for (int i = 0; i < r->v.exp10 + places; i++)
            m = m * 10 + (uint64_t)decimal_digit(&r->v, i);
        bool whole = m > 0 && v->n <= v->exp10 + places;
        for (int i = 0; whole && i < v->exp10 + places; i++)
            rem = (rem * 10 + (uint64_t)decimal_digit(v, i)) % m;
        return (whole && !rem) == (r->kind == NUM_MULTIPLE);
    }
    const int c = decimal_cmp(v, &r->v);
    return r->kind == NUM_LESS       ? c < 0
           : r->kind == NUM_AT_MOST  ? c <= 0
           : r->kind == NUM_MORE     ? c > 0
           : r->kind == NUM_AT_LEAST ? c >= 0
                                     : c != 0;
}

struct numbers *numbers_build(struct arena *a, bool integer, bool fraction,
                              const struct num_rule *rules, const struct num_list *list,
                              struct err *e)
{
    if (integer && fraction)
        return NULL;
    if (list) {
        bool good[MOST_LISTED];
        for (size_t i = 0; i < list->n; i++) {
            good[i] = decimal_whole(&list->v[i]) ? !fraction : !integer;
            for (const struct num_rule *r = rules; r && good[i]; r = r->next)
                good[i] = value_obeys(&list->v[i], r);
        }
        return listed(a, list, good, integer, e);
    }
    struct build b = {.integer = integer,
                      .whole = integer,
                      .fraction = fraction,
                      .free = !fraction,
                      .most_all = MANY_DIGITS,
                      .most_frac = MANY_DIGITS,
                      .e = e};
    for (const struct num_rule *r = rules; r; r = r->next)
        if (add_rule(&b, r) != 0)
            return NULL;
    return table_of(a, &b);
}
