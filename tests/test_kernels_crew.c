/* tests/test_kernels_crew.c - the crew: barriers under stress, work counters, idleness, quotas. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "kernels/cpu.h"
#include "kernels/kernels.h"

enum { THREADS = 4 };

struct stress {
    struct crew *c;
    int n, rounds;
    int cells[THREADS]; /* plain memory: the barrier must make it visible */
    atomic_int bad, pieces;
    int next_after; /* what crew_next gave first after a barrier, least seen */
};

static void stress_fn(void *arg, int i)
{
    struct stress *s = arg;
    for (int r = 1; r <= s->rounds; r++) {
        s->cells[i] = r;
        crew_barrier(s->c, i);
        for (int j = 0; j < s->n; j++)
            if (s->cells[j] != r)
                atomic_fetch_add(&s->bad, 1);
        crew_barrier(s->c, i);
    }
}

static void barriers_publish_what_was_written(void **state)
{
    (void)state;
    for (int n = 1; n <= THREADS; n++) {
        struct stress s = {.n = n, .rounds = 3000};
        s.c = crew_new(THREADS, NULL);
        assert_non_null(s.c);
        assert_int_equal(crew_size(s.c), THREADS);
        crew_run(s.c, n, stress_fn, &s);
        assert_int_equal(atomic_load(&s.bad), 0);
        for (int j = 0; j < n; j++)
            assert_int_equal(s.cells[j], s.rounds);
        crew_free(s.c);
    }
}

static void take_fn(void *arg, int i)
{
    struct stress *s = arg;
    for (int r = 0; r < s->rounds; r++) {
        int got;
        while ((got = crew_next(s->c)) < 10)
            atomic_fetch_add(&s->pieces, 1 << got % 2);
        crew_barrier(s->c, i);
    }
}

static void each_piece_is_taken_once_between_barriers(void **state)
{
    (void)state;
    for (int n = 1; n <= THREADS; n++) {
        struct stress s = {.n = n, .rounds = 1000};
        s.c = crew_new(n, NULL);
        assert_non_null(s.c);
        for (int run = 0; run < 3; run++) {
            atomic_store(&s.pieces, 0);
            crew_run(s.c, n, take_fn, &s);
            assert_int_equal(atomic_load(&s.pieces), 1000 * (5 * 1 + 5 * 2));
        }
        crew_free(s.c);
    }
}

static void count_fn(void *arg, int i)
{
    (void)i;
    atomic_fetch_add((atomic_int *)arg, 1);
}

static void runs_of_any_size_follow_each_other(void **state)
{
    (void)state;
    struct crew *c = crew_new(THREADS, NULL);
    assert_non_null(c);
    atomic_int total = 0;
    int want = 0;
    for (int r = 0; r < 4000; r++) {
        int n = 1 + r * 7 % THREADS;
        want += n;
        crew_run(c, n, count_fn, &total);
        assert_int_equal(atomic_load(&total), want);
        if (r % 500 == 0)
            usleep(2000); /* long enough for all to sleep */
    }
    crew_run(c, 99, count_fn, &total); /* more than there are: all of them */
    assert_int_equal(atomic_load(&total), want + THREADS);
    crew_free(c);
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void an_idle_crew_costs_nothing(void **state)
{
    (void)state;
    struct crew *c = crew_new(THREADS, NULL);
    assert_non_null(c);
    atomic_int total = 0;
    crew_run(c, THREADS, count_fn, &total);
    usleep(20000);
    double before = cpu_seconds();
    usleep(300000);
    assert_true(cpu_seconds() - before < 0.003);
    crew_free(c);
}

static void one_fn(void *arg, int i)
{
    volatile float tiny = 1e-40f;
    ((float *)arg)[i] = tiny * 0.5f;
}

static void denormals_live_on_every_thread(void **state)
{
    (void)state;
    struct crew *c = crew_new(THREADS, NULL);
    assert_non_null(c);
#if defined(__x86_64__)
    __builtin_ia32_ldmxcsr(0x9fc0); /* as a library built with -ffast-math leaves it */
#endif
    float got[THREADS] = {0};
    crew_run(c, THREADS, one_fn, got);
    for (int i = 0; i < THREADS; i++)
        assert_true(got[i] > 0.0f);
    crew_free(c);
}

static void too_many_threads_are_refused(void **state)
{
    (void)state;
    struct err e = {0};
    assert_null(crew_new(100000, &e));
    assert_int_equal(e.code, ERR_LIMIT);
    assert_true(crew_default_size() >= 1);
}

/* ---- a made-up /sys/fs/cgroup -------------------------------------------------------------------
 */

static char root[64];

static void put(const char *path, const char *text)
{
    char full[256];
    snprintf(full, sizeof full, "%s/%s", root, path);
    for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        mkdir(full, 0700);
        *p = '/';
    }
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int quota(const char *self)
{
    char path[256];
    put("self", self);
    snprintf(path, sizeof path, "%s/self", root);
    return cpu_quota(root, path);
}

static int new_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/chaski-cgroup-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}
static int drop_root(void **state)
{
    (void)state;
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", root);
    return system(cmd);
}

static void quota_v2_is_the_least_of_all_ancestors(void **state)
{
    (void)state;
    put("a/cpu.max", "250000 100000\n");
    put("a/b/cpu.max", "max 100000\n");
    put("a/b/c/cpu.max", "390000 100000\n");
    assert_int_equal(quota("0::/a/b/c\n"), 2);
    assert_int_equal(quota("0::/a/b\n"), 2);
    put("cpu.max", "100000 100000\n"); /* the mount itself, as containers see it */
    assert_int_equal(quota("0::/a/b/c\n"), 1);
    assert_int_equal(quota("0::/\n"), 1);
}

static void quota_below_one_is_one_and_none_is_zero(void **state)
{
    (void)state;
    assert_int_equal(quota("0::/nowhere/at/all\n"), 0);
    put("x/cpu.max", "50000 100000\n");
    assert_int_equal(quota("0::/x\n"), 1);
    put("y/cpu.max", "max 100000\n");
    assert_int_equal(quota("0::/y\n"), 0);
    put("z/cpu.max", "junk\n");
    assert_int_equal(quota("0::/z\n"), 0);
    assert_int_equal(quota("no colons\n"), 0);
}

static void quota_v1_is_read_too(void **state)
{
    (void)state;
    put("cpu,cpuacct/d/cpu.cfs_quota_us", "300000\n");
    put("cpu,cpuacct/d/cpu.cfs_period_us", "100000\n");
    assert_int_equal(quota("5:memory:/d\n4:cpu,cpuacct:/d\n"), 3);
    put("cpu,cpuacct/d/cpu.cfs_quota_us", "-1\n");
    assert_int_equal(quota("4:cpu,cpuacct:/d\n"), 0);
    put("cpu/e/cpu.cfs_quota_us", "1000000\n");
    put("cpu/e/cpu.cfs_period_us", "250000\n");
    assert_int_equal(quota("4:cpuacct,cpu:/e\n"), 4);
}

/* ---- a crew that follows what it is given ------------------------------------------------------ */

static void cache_of(int cpu, int index, const char *level, const char *type, const char *size)
{
    char path[200];
    const char *names[] = {"level", "type", "size"}, *values[] = {level, type, size};
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "devices/system/cpu/cpu%d/cache/index%d/%s", cpu, index,
                 names[i]);
        put(path, values[i]);
    }
}

/* Big cores first, small ones last: panels must fit the small ones. */
static void caches_are_those_of_the_smaller_core(void **state)
{
    (void)state;
    size_t l1 = 1, l2 = 1;
    cpu_caches(root, &l1, &l2);
    assert_true(l1 == 0 && l2 == 0);
    cache_of(0, 0, "1\n", "Data\n", "48K\n");
    cache_of(0, 1, "1\n", "Instruction\n", "16K\n");
    cache_of(0, 2, "2\n", "Unified\n", "1280K\n");
    cache_of(0, 3, "3\n", "Unified\n", "24M\n");
    cpu_caches(root, &l1, &l2);
    assert_true(l1 == 48 << 10 && l2 == 1280 << 10);
    put("devices/system/cpu/present", "0-3,8-15\n");
    cache_of(15, 0, "1\n", "Data\n", "32K\n");
    cache_of(15, 1, "1\n", "Instruction\n", "64K\n");
    cache_of(15, 2, "2\n", "Unified\n", "2M\n");
    cpu_caches(root, &l1, &l2);
    assert_true(l1 == 32 << 10 && l2 == 1280 << 10);
    cache_of(15, 2, "2\n", "Unified\n", "rubbish\n");
    cpu_caches(root, &l1, &l2);
    assert_true(l1 == 32 << 10 && l2 == 1280 << 10);
}

/* The quota file is looked at once a second. */
static void wait_a_look(struct crew *c)
{
    usleep(1050000);
    crew_refresh(c);
}

static int all_run(struct crew *c)
{
    atomic_int total = 0;
    crew_run(c, crew_size(c), count_fn, &total);
    assert_int_equal(atomic_load(&total), crew_size(c));
    return crew_size(c);
}

static void the_size_follows_the_quota(void **state)
{
    (void)state;
    struct crew *c = crew_new_under(0, "/sys", "/nowhere", "/nowhere/self", NULL);
    assert_non_null(c);
    const int all = all_run(c);
    crew_free(c);
    if (all < 2) {
        print_message("skipped: one CPU\n");
        skip();
    }
    char self[256], more[64];
    put("a/cpu.max", "100000 100000\n");
    put("self", "0::/a\n");
    snprintf(self, sizeof self, "%s/self", root);
    c = crew_new_under(0, "/sys", root, self, NULL);
    assert_non_null(c);
    assert_int_equal(all_run(c), 1);
    assert_true(crew_most(c) >= all);
    put("a/cpu.max", "max 100000\n");
    wait_a_look(c);
    assert_int_equal(all_run(c), all);
    snprintf(more, sizeof more, "%d 100000\n", all * 100000 - 1); /* rounded down */
    put("a/cpu.max", more);
    wait_a_look(c);
    assert_int_equal(all_run(c), all - 1);
    put("a/cpu.max", "20000 100000\n");
    wait_a_look(c);
    assert_int_equal(all_run(c), 1);
    crew_free(c);
}

static void the_size_follows_the_affinity_mask(void **state)
{
    (void)state;
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    struct crew *c = crew_new_under(0, "/sys", "/nowhere", "/nowhere/self", NULL);
    assert_non_null(c);
    const int all = all_run(c);
    if (all < 2) {
        crew_free(c);
        print_message("skipped: one CPU\n");
        skip();
    }
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++)
        if (CPU_ISSET(i, &before))
            CPU_SET(i, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    crew_refresh(c);
    assert_int_equal(all_run(c), 1);
    cpu_set_t now;
    assert_int_equal(sched_getaffinity(0, sizeof now, &now), 0);
    assert_true(CPU_EQUAL(&now, &one)); /* a run does not take back what the user said */
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    crew_refresh(c);
    assert_int_equal(all_run(c), all);
    assert_int_equal(sched_getaffinity(0, sizeof now, &now), 0);
    assert_true(CPU_EQUAL(&now, &before));
    crew_free(c);
    c = crew_new(2, NULL); /* a size that was asked for stays */
    assert_non_null(c);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    crew_refresh(c);
    assert_int_equal(all_run(c), 2);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    crew_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(barriers_publish_what_was_written),
        cmocka_unit_test(each_piece_is_taken_once_between_barriers),
        cmocka_unit_test(runs_of_any_size_follow_each_other),
        cmocka_unit_test(an_idle_crew_costs_nothing),
        cmocka_unit_test(denormals_live_on_every_thread),
        cmocka_unit_test(too_many_threads_are_refused),
        cmocka_unit_test_setup_teardown(quota_v2_is_the_least_of_all_ancestors, new_root,
                                        drop_root),
        cmocka_unit_test_setup_teardown(quota_below_one_is_one_and_none_is_zero, new_root,
                                        drop_root),
        cmocka_unit_test_setup_teardown(quota_v1_is_read_too, new_root, drop_root),
        cmocka_unit_test_setup_teardown(caches_are_those_of_the_smaller_core, new_root, drop_root),
        cmocka_unit_test_setup_teardown(the_size_follows_the_quota, new_root, drop_root),
        cmocka_unit_test(the_size_follows_the_affinity_mask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
