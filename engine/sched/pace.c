/* engine/sched/pace.c - how many rows of prompts may ride along with running answers.
 *
 * The gap between the tokens of a stream stays under about three times the plain gap
 * (spec/decisions.md 20) for 95 of 100, so the mean aims lower. What a row adds depends on the
 * model, the CPU, the other rows of the step and how much of its prompt lies before it, so it is
 * measured all the time. The first rows of a large model are nearly free (the weights are read
 * anyway) and say little about many: so a chunk grows step by step.
 *
 * SmolLM2 135M Q4_1, 8 streams, a prompt of 2,000 tokens, one thread of a Zen 4: with chunks of a
 * fixed least length of 16 the gaps were 3.9 times the plain ones (95 %: 5.0), so 2.4 (2.8). */
#include "engine/sched/pace.h"

enum { LEAST = 4 };             /* rows: a prompt goes on whatever it costs */
static const double aim = 2.5;  /* the step with a chunk, in plain steps */
static const double grow = 1.5; /* a chunk from one step to the next, at most */

int pace_rows(const struct pace *p, double plain)
{
    const double most = p->rows ? grow * p->rows : LEAST;
    double rows = p->ns_row > 0 ? (aim - 1) * plain / p->ns_row : LEAST;
    rows = rows > most ? most : rows;
    return rows < LEAST ? LEAST : (int)rows;
}

void pace_learn(struct pace *p, double plain, double ns, int rows)
{
    double sample = (ns - plain) / rows;
    const double least = plain / 1000; /* noise may have made the step a cheap one */
    sample = sample > least ? sample : least;
    if (p->ns_row > 0)
        sample = p->ns_row + 0.3 * (sample - p->ns_row);
    p->ns_row = sample;
    p->rows = rows;
}
