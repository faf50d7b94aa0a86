/* tests/asking.h - requests to tiny models, and answers that are remembered. For cmocka programs.
 */
#ifndef CHASKI_TESTS_ASKING_H
#define CHASKI_TESTS_ASKING_H

#include <pthread.h>
#include <stdbool.h>
#include "engine/engine.h"

struct answer {
    pthread_mutex_t lock;
    pthread_cond_t over;
    struct buf text;
    bool ended, failed;
    struct err e;
    struct eng_stats stats, at_start;
    int n_started;             /* calls of sink.start before the first piece */
    char stop[64];             /* stats.stop, or "" */
    tok_id context[4096];
};
struct answer *answer_new(void);
struct eng_sink answer_sink(struct answer *a);
void answer_wait(struct answer *a); /* until done or fail */
void answer_free(struct answer *a);

/* The models of a store of the test's own, in a folder that goes at the end: 0 "tiny" (Q8_0),
 * 1 "chat" (Q4_0, a ChatML template), 2 "broken" (an architecture that there is not), 3 "calm"
 * (Q8_0, its greedy text repeats). Group setup and teardown of cmocka. */
int asking_open(void **state);
int asking_close(void **state);
struct store_model *asking_model(int i);
struct store *asking_store(void);

struct eng *engine(int n_threads, int n_parallel); /* keeps its models for a minute */
struct eng *engine_with(struct eng_config c);      /* store and keep_alive_ns are filled in */
struct eng_options options(int n_predict, float temperature); /* the defaults, and seed 17 */
/* `prompt` may be NULL: then base.chat is. The caller releases the job. */
struct eng_job *submit(struct eng *g, struct answer *a, int model, const char *prompt,
                       const struct eng_options *o, struct eng_request base);
/* Submit and wait. */
struct answer *ask(struct eng *g, int model, const char *prompt, const struct eng_options *o,
                   struct eng_request base);

#endif
