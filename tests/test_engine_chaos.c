/* tests/test_engine_chaos.c - random loads, unloads, requests, cancels, holds on more models than
 * fit, and what is left when all have ended: nothing.
 *
 * CHAOS_ACTIONS, CHAOS_SEED: other numbers than the ones below. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "engine/sched/sched.h"
#include "tests/asking.h"

enum { ACTIONS = 10000, PENDING = 24, STUCK_S = 120 };

static uint64_t draw_state;

static uint32_t draw(uint32_t n) /* 0..n-1 */
{
    draw_state = draw_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(draw_state >> 33) % n;
}

struct pending {
    struct answer *a;
    struct eng_job *j;
    bool cancelled, broken;
};

static int n_done, n_failed, n_cancelled, n_busy;

/* An answer comes, whatever happens: a state from which a model can neither load nor unload would
 * leave somebody waiting here. */
static void wait_or_fail(struct answer *a)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += STUCK_S;
    pthread_mutex_lock(&a->lock);
    int rc = 0;
    while (!a->ended && !rc)
        rc = pthread_cond_timedwait(&a->over, &a->lock, &t);
    const bool ended = a->ended;
    pthread_mutex_unlock(&a->lock);
    if (!ended)
        fail_msg("a request got no answer within %d s", STUCK_S);
}

static void collect(struct pending *p)
{
    wait_or_fail(p->a);
    if (!p->a->failed)
        n_done++;
    else if (p->a->e.code == ERR_CANCELLED)
        n_cancelled++;
    else
        n_failed++;
    if (p->a->failed && p->a->e.code == ERR_CANCELLED && !p->cancelled)
        fail_msg("cancelled, but nobody asked for that: %s", p->a->e.text);
    if (p->a->failed && p->a->e.code != ERR_CANCELLED && !p->broken)
        fail_msg("a request that could be answered failed: %s", p->a->e.text);
    eng_job_release(p->j);
    answer_free(p->a);
    *p = (struct pending){0};
}

static void some_request(struct eng *g, struct pending *p)
{
    static const char *const prompts[] = {"x", "the cat sat on the mat", "one two one two one two",
                                          "a prompt that is a little longer than the others are, "
                                          "so that it takes more than one page of the cache"};
    static const int64_t keep[] = {0, 1000000, 20000000, -1};
    struct eng_options o = options((int)draw(40), draw(2) ? 0.8f : 0);
    struct err e = {0};
    o.seed = draw(1000);
    if (!draw(8))
        o.num_ctx = 32 + (int32_t)draw(200);
    if (!draw(20))
        o.kv_type = (int32_t)draw(3);
    if (!draw(20))
        o.use_mmap = (int32_t)draw(2);
    static const int models[] = {0, 1, 3, 0, 1, 3, 0, 1, 3, 2}; /* 2 cannot be loaded */
    const int model = models[draw(10)];
    const char *text = prompts[draw(4)];
    static const char *const grammars[] = {NULL, NULL, "root ::= [a-z ]{3,60} \".\"?", "root ::= .*"};
    struct eng_request r = {.kind = draw(10) ? ENG_GENERATE : ENG_LOAD,
                            .model = asking_model(model),
                            .raw = text,
                            .n_raw = strlen(text),
                            .options = &o,
                            .grammar = grammars[draw(4)],
                            .logprobs = !draw(10),
                            .top_logprobs = 3,
                            .has_keep_alive = !draw(4),
                            .keep_alive_ns = keep[draw(4)]};
    p->a = answer_new();
    p->broken = model == 2;
    const struct eng_sink sink = answer_sink(p->a);
    if (eng_submit(g, &r, &sink, &p->j, &e)) {
        assert_int_equal(e.code, ERR_BUSY);
        n_busy++;
        answer_free(p->a);
        *p = (struct pending){0};
    }
}

static void act(struct eng *g, struct pending *all)
{
    struct pending *p = &all[draw(PENDING)];
    const uint32_t what = draw(100);
    if (what < 60) {
        if (p->a)
            collect(p);
        some_request(g, p);
    } else if (what < 75) {
        if (p->a) {
            p->cancelled = true;
            eng_job_cancel(p->j);
        }
    } else if (what < 83) {
        eng_unload(g, &asking_model((int)draw(4))->model_layer->digest);
    } else if (what < 90) {
        if (p->a) { /* nobody waits for one that is held: it goes on before it is collected */
            eng_job_hold(p->j, true);
            if (draw(2))
                usleep(draw(300));
            eng_job_hold(p->j, false);
        }
    } else if (what < 95) {
        struct eng_loaded *rows;
        size_t n;
        struct err e = {0};
        assert_int_equal(eng_ps(g, &rows, &n, &e), 0);
        assert_true(n <= 3);
        free(rows);
    } else {
        usleep(draw(2000));
    }
}

/* All threads are gone: is anything left? */
static void assert_nothing_left(struct eng *g)
{
    assert_null(g->slots);
    assert_null(g->loader);
    assert_int_equal(g->n_jobs, 0);
    assert_int_equal(g->n_threads, 0);
    assert_int_equal(g->n_places, 0);
    assert_int_equal(g->n_unloading, 0);
    assert_int_equal(atomic_load(&g->job_bytes), 0);
    assert_int_equal(atomic_load(&g->mem.used), 0);
}

static int from_environment(const char *name, int other)
{
    const char *v = getenv(name);
    return v ? atoi(v) : other;
}

/* `actions` of them on an engine of this kind; then it drains with what is under way. */
static void run(const struct eng_config *c, int actions)
{
    struct pending all[PENDING] = {0};
    struct eng *g = engine_with(*c);
    for (int i = 0; i < actions; i++)
        act(g, all);
    const bool hard = draw(2);
    if (!hard)
        for (int i = 0; i < PENDING; i++)
            if (all[i].a)
                collect(&all[i]);
    eng_drain(g, hard ? 0 : time_mono_ns() + INT64_C(60000000000));
    for (int i = 0; i < PENDING; i++)
        if (all[i].a) {
            all[i].cancelled = true;
            collect(&all[i]);
        }
    assert_nothing_left(g);
    eng_free(g);
}

/* A budget in which `n` of the models fit, and `pages` pages beside them. */
static uint64_t budget(int n, int pages)
{
    struct eng *g = engine_with((struct eng_config){.n_threads = 2});
    struct eng_options o = options(1, 0);
    uint64_t most = 0;
    for (int i = 0; i < 4; i++) {
        if (i == 2)
            continue;
        answer_free(ask(g, i, "x", &o, (struct eng_request){0}));
    }
    pthread_mutex_lock(&g->lock);
    for (const struct slot *s = g->slots; s; s = s->next)
        most = s->reserved > most ? s->reserved : most;
    pthread_mutex_unlock(&g->lock);
    eng_free(g);
    assert_true(most > 0);
    return most * (uint64_t)n + (uint64_t)pages * (16 << 10);
}

static void nothing_hangs_and_nothing_is_left(void **state)
{
    (void)state;
    const int actions = from_environment("CHAOS_ACTIONS", ACTIONS);
    draw_state = (uint64_t)from_environment("CHAOS_SEED", 1);
    const struct eng_config kinds[] = {
        {.n_threads = 2, .max_loaded = 2, .patience_ns = 5000000},
        {.n_threads = 1, .max_loaded = 1, .n_parallel = 1, .patience_ns = 1000000},
        {.n_threads = 2, .n_parallel = 2, .max_queue = 3, .patience_ns = 3000000},
        {.n_threads = 2, .memory_bytes = budget(2, 12), .patience_ns = 2000000},
        {.n_threads = 2, .memory_bytes = budget(3, 9), .patience_ns = 1000000000},
        {.n_threads = 2, .memory_bytes = budget(1, 8), .patience_ns = 2000000},
    };
    const int n = (int)(sizeof kinds / sizeof *kinds), rounds = 2;
    for (int r = 0; r < rounds; r++)
        for (int i = 0; i < n; i++)
            run(&kinds[i], actions / (n * rounds));
    print_message("%d answers, %d cancelled, %d failed as they must, %d turned away\n", n_done,
                  n_cancelled, n_failed, n_busy);
    assert_true(n_done > 0 && n_cancelled > 0 && n_failed > 0);
}

int main(void)
{
    log_set_level(LOG_ERROR); /* thousands of loads */
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_hangs_and_nothing_is_left)};
    return cmocka_run_group_tests(tests, asking_open, asking_close);
}
