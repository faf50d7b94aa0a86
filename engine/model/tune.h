/* engine/model/tune.h - how many threads a small step should use, learned while running. Private to
 * engine/.
 *
 * With a stranger on the CPUs the threads of a crew wait for each other at every barrier: two threads
 * then generate slower than one, by five times with the cores full (SmolLM2 135M on two cores, load
 * 6: 7 tokens/s with two threads, 40 with one). The bits do not depend on the number of threads, so it
 * may follow the time that steps take. */
#ifndef CHASKI_TUNE_H
#define CHASKI_TUNE_H

#include <stdbool.h>
#include <stdint.h>

struct tune { /* of one model; zero-initialise; used by the thread that steps it */
    double quiet_ns;         /* what a step takes with all threads when nobody disturbs */
    double all_ns, few_ns;   /* running means of each way */
    int slow;                /* how many of the last steps were disturbed, about */
    bool few;                /* the way in use: half of the threads, at least one */
    int probe;               /* steps left to try the other way */
    double probe_ns;         /* their sum */
    int until_probe;         /* steps until the next try */
    int interval;            /* between tries; grows while they do not pay */
};
/* Threads for the next small step, at most `all`. */
int tune_threads(const struct tune *t, int all);
/* A small step took `ns` with that many threads of `all`. */
void tune_learn(struct tune *t, int used, int all, int64_t ns);

#endif
