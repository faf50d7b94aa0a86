/* engine/sched/worth.h - how many guesses a step should check, from what steps cost. Private to
 * engine/. */
#ifndef CHASKI_WORTH_H
#define CHASKI_WORTH_H

#include <stdbool.h>

enum { WORTH_ROWS = 32 }; /* rows of a step with guesses, at most */

struct worth { /* of one model; zero-initialise; used by the thread that steps it */
    struct {
        double ns; /* running mean of a step of so many rows */
        int n;     /* samples, up to a few */
        long at;   /* the step of the last */
    } rows[WORTH_ROWS + 1];
    long now; /* steps */
};
/* A step of so many rows, none of them a prompt's, took `ns`. */
void worth_learn(struct worth *w, int rows, double ns);
/* What such a step is expected to cost; 0 when nothing is known. */
double worth_ns(const struct worth *w, int rows);

struct bid {             /* the guesses of one sequence */
    const float *chance; /* [n], falling: that guess i and all before it come */
    int n;
    bool always; /* take them whatever it costs */
    int take;    /* the answer: so many, 0..n */
};
/* Divide the rows: a step of `rows` rows (the last tokens of all sequences, one of them for each
 * bid at most) is going to be made; which guesses make it yield more tokens a second? */
void worth_choose(const struct worth *w, int rows, struct bid *bids, int n_bids);

#endif
