/* engine/sched/pace.h - how many rows of prompts may ride along with running answers. Private to
 * engine/. */
#ifndef CHASKI_PACE_H
#define CHASKI_PACE_H

struct pace {      /* of one model; zero-initialise; used by the thread that steps it */
    double ns_row; /* running mean of what a row of a prompt adds to a step */
    int rows;      /* of the last step that taught something */
};
/* A step that would take `plain` ns without a prompt: so many rows of prompts may be in it. */
int pace_rows(const struct pace *p, double plain);
/* It took `ns` with so many. */
void pace_learn(struct pace *p, double plain, double ns, int rows);

#endif
