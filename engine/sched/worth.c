/* engine/sched/worth.c - what a step costs by its rows, and what guesses it should check.
 *
 * A step of few rows reads the weights once, so that rows cost little until the multiplies take
 * longer than the memory; where that is depends on the model, the CPU and its neighbours, and on
 * the shape of the kernels' tiles. So steps are timed by their number of rows, and what has
 * not been seen lies between what has, or is guessed from there: it is soon seen then. What was
 * seen long ago is forgotten, so that a number from a bad moment does no harm for long.
 *
 * Qwen2.5-Coder 0.5B Q4_K_M on Zen 4, one thread, steps of one row (18.6 ms): 2 rows 1.05, 4
 * rows 1.14, 8 rows 1.7, 16 rows 4.8 with AVX-512 VNNI; 1.09, 1.46, 4.6, 6.8 with AVX2. */
#include "engine/sched/worth.h"

enum {
    FEW = 4,        /* samples until a mean counts as sure */
    FORGET = 64,    /* steps that a mean is good for, times its samples up to FEW */
    FIRST_LOOK = 2, /* steps without guesses before any */
};
static const double slope = 0.08;  /* a row more than was ever seen, in steps of the least rows */
static const double alike = 1.25;  /* times another sample: no news */
static const double margin = 1.03; /* what guesses must win to be taken: noise is as much */
static const double others = 1.1;  /* sequences that share a step wait no longer than so */

static bool known(const struct worth *w, int rows)
{
    const int n = w->rows[rows].n;
    return n && w->now - w->rows[rows].at <= (long)FORGET * n;
}

void worth_learn(struct worth *w, int rows, double ns)
{
    w->now++;
    if (rows < 1 || rows > WORTH_ROWS)
        return;
    const bool fresh = !known(w, rows);
    double *mean = &w->rows[rows].ns;
    int *n = &w->rows[rows].n;
    /* What was forgotten and is seen again is the surer. */
    const bool again = !fresh || (ns < alike * *mean && *mean < alike * ns);
    *n = !again ? 1 : *n < FEW ? *n + 1 : FEW;
    /* A delay comes from outside and says nothing: up slowly, down fast. */
    *mean = fresh ? ns : *mean + (ns < *mean ? 0.5 : 0.1) * (ns - *mean);
    w->rows[rows].at = w->now;
}

double worth_ns(const struct worth *w, int rows)
{
    if (rows < 1 || rows > WORTH_ROWS)
        return 0;
    int lo = rows, hi = 0;
    while (lo > 0 && !known(w, lo))
        lo--;
    if (!lo)
        return 0;
    /* The cheapest way to have at least as many rows: more rows are never cheaper. */
    for (int i = rows; i <= WORTH_ROWS; i++)
        if (known(w, i) && (!hi || w->rows[i].ns < w->rows[hi].ns))
            hi = i;
    if (hi && lo == rows)
        return w->rows[hi].ns;
    const double below = w->rows[lo].ns;
    if (hi) {
        const double above = w->rows[hi].ns;
        return above > below ? below + (above - below) * (rows - lo) / (hi - lo) : above;
    }
    /* More rows than were ever seen: as steep as it was last, or cheap. */
    int under = lo - 1, least = 1;
    while (under > 0 && !known(w, under))
        under--;
    while (!known(w, least))
        least++;
    const double steep = under > 0 ? (below - w->rows[under].ns) / (lo - under) : 0;
    const double cheap = slope * w->rows[least].ns;
    return below + (steep > cheap ? steep : cheap) * (rows - lo);
}

/* The most rows worth a look: a number that was never seen is come near to in doublings. */
static int most_rows(const struct worth *w)
{
    int most = WORTH_ROWS;
    while (most > 1 && !known(w, most))
        most--;
    return 2 * most < WORTH_ROWS ? 2 * most : WORTH_ROWS;
}

void worth_choose(const struct worth *w, int rows, struct bid *bids, int n_bids)
{
    int used = rows;
    for (int i = 0; i < n_bids; i++) {
        bids[i].take = 0;
        if (bids[i].always)
            bids[i].take = bids[i].n < WORTH_ROWS - used ? bids[i].n : WORTH_ROWS - used;
        if (bids[i].take < 0)
            bids[i].take = 0;
        used += bids[i].take;
    }
    const double plain = worth_ns(w, rows);
    if (rows > WORTH_ROWS || !known(w, rows) || w->rows[rows].n < FIRST_LOOK)
        return;
    /* The likeliest guess first: so for each number of rows the sum is the largest there is. */
    int try[WORTH_ROWS] = {0}, steps[WORTH_ROWS];
    double tokens = rows, best = margin * rows / plain;
    int n_tried = 0, n_best = 0;
    const int most = most_rows(w);
    for (int r = used + 1; r <= most && n_bids <= WORTH_ROWS; r++) {
        int top = -1;
        for (int i = 0; i < n_bids; i++)
            if (!bids[i].always && try[i] < bids[i].n &&
                (top < 0 || bids[i].chance[try[i]] > bids[top].chance[try[top]]))
                top = i;
        if (top < 0)
            break;
        const double ns = worth_ns(w, r);
        if (rows > 1 && ns > others * plain)
            break;
        tokens += (double)bids[top].chance[try[top]++];
        steps[n_tried++] = top;
        if (tokens / ns > best) {
            best = tokens / ns;
            n_best = n_tried;
        }
    }
    for (int i = 0; i < n_best; i++)
        bids[steps[i]].take++;
}
