/* tests/test_engine_tune.c - the number of threads follows the time that steps take. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "engine/model/tune.h"

/* Steps of a machine on which all threads take `all` us and half of them `few`; how many steps used
 * all. */
static int steps(struct tune *t, int n, double all, double few)
{
    int used_all = 0;
    for (int i = 0; i < n; i++) {
        const int k = tune_threads(t, 2);
        assert_in_range(k, 1, 2);
        used_all += k == 2;
        tune_learn(t, k, 2, (int64_t)((k == 2 ? all : few) * 1000));
    }
    return used_all;
}

static void a_quiet_machine_uses_all_threads_always(void **state)
{
    (void)state;
    struct tune t = {0};
    for (int i = 0; i < 3000; i++) /* the context grows: steps get slower, slowly */
        assert_int_equal(steps(&t, 1, 5000 + i, 9000 + 2 * i), 1);
}

static void a_busy_machine_gets_fewer_and_a_quiet_one_all_again(void **state)
{
    (void)state;
    struct tune t = {0};
    steps(&t, 50, 5000, 9000);
    steps(&t, 20, 100000, 15000); /* strangers come */
    const int in_noise = steps(&t, 400, 100000, 15000);
    assert_true(in_noise < 40); /* only tries */
    steps(&t, 300, 5000, 9000); /* they go */
    assert_int_equal(steps(&t, 500, 5000, 9000), 500);
}

static void when_fewer_are_no_better_all_stay(void **state)
{
    (void)state;
    struct tune t = {0};
    steps(&t, 50, 5000, 9000);
    assert_true(steps(&t, 1000, 10000, 18000) > 940);
}

static void one_thread_is_one_thread(void **state)
{
    (void)state;
    struct tune t = {0};
    for (int i = 0; i < 100; i++) {
        assert_int_equal(tune_threads(&t, 1), 1);
        tune_learn(&t, 1, 1, i % 7 ? 1000 : 100000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quiet_machine_uses_all_threads_always),
        cmocka_unit_test(a_busy_machine_gets_fewer_and_a_quiet_one_all_again),
        cmocka_unit_test(when_fewer_are_no_better_all_stay),
        cmocka_unit_test(one_thread_is_one_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
