/* tests/test_engine_pace.c - chunks of prompts beside running answers, on made-up costs. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "engine/sched/pace.h"

typedef double (*cost_fn)(int rows, int depth); /* of a step with so many rows of a prompt */

/* Small models: every row costs, the deeper the more. */
static double linear(int rows, int depth)
{
    return 10 + rows * (1 + depth / 1000.0);
}

/* Large ones: the weights are read once, rows are free until the multiplies take longer. */
static double bent(int rows, int depth)
{
    const double work = 30 + 6.0 * rows + depth / 500.0;
    return work < 100 ? 100 : work;
}

static double in_tiles(int rows, int depth)
{
    return 20 + (rows + 7) / 8 * 9 + depth / 400.0;
}

/* Every row is dearer than a whole plain step. */
static double steep(int rows, int depth)
{
    (void)depth;
    return 10 + rows * 15;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* A prompt of `n` tokens; returns the 95th percentile of its steps, in plain ones. */
static double prompt(struct pace *p, cost_fn cost, int n, int noise, int *steps)
{
    static double gaps[10000];
    unsigned x = 7;
    *steps = 0;
    for (int done = 0; done < n && *steps < 10000;) {
        const double plain = cost(0, 0);
        int rows = pace_rows(p, plain);
        rows = rows < n - done ? rows : n - done;
        assert_true(rows > 0);
        x = x * 1103515245 + 12345;
        const double ns = cost(rows, done) * (1 + (x >> 16) % 100 * noise / 10000.0);
        gaps[(*steps)++] = ns / plain;
        pace_learn(p, plain, ns, rows);
        done += rows;
    }
    qsort(gaps, (size_t)*steps, sizeof *gaps, compare);
    return gaps[*steps * 95 / 100];
}

static void gaps_stay_under_about_three_times_the_plain_one(void **state)
{
    (void)state;
    static const cost_fn costs[] = {linear, bent, in_tiles};
    for (int noise = 0; noise < 30; noise += 10)
        for (int i = 0; i < 3; i++) {
            struct pace p = {0};
            int first, again;
            const double a = prompt(&p, costs[i], 2000, noise, &first);
            const double b = prompt(&p, costs[i], 2000, noise, &again);
            assert_true(a < 3.5 && b < 3.2); /* a is short: it grows into it */
            assert_true(again < 400); /* and the prompt gets somewhere */
            struct pace q = {0};
            prompt(&q, costs[i], 30, 0, &first);
            assert_true(first < 8);
        }
}

static void a_prompt_goes_on_where_even_few_rows_are_dear(void **state)
{
    (void)state;
    struct pace p = {0};
    int steps;
    prompt(&p, steep, 400, 0, &steps);
    assert_int_equal(steps, 100);
}

static void one_slow_step_is_soon_forgotten(void **state)
{
    (void)state;
    struct pace p = {0};
    int steps;
    prompt(&p, linear, 300, 0, &steps);
    const int before = pace_rows(&p, 10);
    pace_learn(&p, 10, 2000, before);
    assert_true(pace_rows(&p, 10) >= 4);
    for (int i = 0; i < 15; i++) {
        const int rows = pace_rows(&p, 10);
        pace_learn(&p, 10, linear(rows, 300), rows);
    }
    assert_true(pace_rows(&p, 10) >= before * 3 / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gaps_stay_under_about_three_times_the_plain_one),
        cmocka_unit_test(a_prompt_goes_on_where_even_few_rows_are_dear),
        cmocka_unit_test(one_slow_step_is_soon_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
