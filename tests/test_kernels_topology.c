/* tests/test_kernels_topology.c - cores, memory nodes and sizes of made-up machines, and how threads are
 * laid over them. The last tests run a crew over two nodes that the real CPUs are declared to be. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include "kernels/cpu.h"
#include "kernels/kernels.h"
#include "kernels/topology.h"

static char root[64];
static cpu_set_t *mask, *set;
enum { BYTES = MOST_CPUS / 8 };

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

static void put_cpu(int cpu, const char *file, const char *text)
{
    char path[96];
    snprintf(path, sizeof path, "devices/system/cpu/cpu%d/%s", cpu, file);
    put(path, text);
}

static int new_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/chaski-sys-XXXXXX");
    mask = CPU_ALLOC(MOST_CPUS);
    set = CPU_ALLOC(MOST_CPUS);
    if (!mkdtemp(root) || !mask || !set)
        return -1;
    CPU_ZERO_S(BYTES, mask);
    return 0;
}
static int drop_root(void **state)
{
    (void)state;
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", root);
    CPU_FREE(mask);
    CPU_FREE(set);
    return system(cmd);
}

static void allow(int from, int to)
{
    for (int i = from; i <= to; i++)
        CPU_SET_S((size_t)i, BYTES, mask);
}

/* "0,2 " for a set: easy to compare. */
static const char *text(const cpu_set_t *s)
{
    static char out[512];
    size_t n = 0;
    out[0] = 0;
    for (int i = 0; i < 256; i++)
        if (CPU_ISSET_S((size_t)i, BYTES, s))
            n += (size_t)snprintf(out + n, sizeof out - n, n ? ",%d" : "%d", i);
    return out;
}

static void check_cores(const struct topology *t, int n, const int (*want)[2])
{
    assert_int_equal(t->n, n);
    for (int i = 0; i < n; i++) {
        assert_int_equal(t->cores[i].cpu, want[i][0]);
        assert_int_equal(t->cores[i].node, want[i][1]);
    }
}

static void check_place(const struct topology *t, int n, int i, const char *cpus)
{
    const bool kept = topology_place(t, n, i, set);
    assert_string_equal(kept ? text(set) : "anywhere", cpus);
}

static void a_machine_that_says_nothing_is_one_node_of_cores(void **state)
{
    (void)state;
    struct topology t;
    allow(1, 3);
    assert_int_equal(topology_read(&t, root, mask), 0);
    check_cores(&t, 3, (const int[][2]){{1, 0}, {2, 0}, {3, 0}});
    assert_int_equal(t.n_nodes, 1);
    check_place(&t, 3, 1, "2");
    check_place(&t, 2, 1, "anywhere");
    check_place(&t, 4, 1, "anywhere");
    topology_free(&t);
}

static void hyper_threads_of_a_core_count_once(void **state)
{
    (void)state;
    struct topology t;
    put_cpu(0, "topology/thread_siblings_list", "0,4\n");
    put_cpu(4, "topology/thread_siblings_list", "0,4\n");
    put_cpu(1, "topology/thread_siblings_list", "1,5\n");
    put_cpu(5, "topology/thread_siblings_list", "1,5\n");
    put_cpu(2, "topology/thread_siblings_list", "2-3\n");
    put_cpu(3, "topology/thread_siblings_list", "2-3\n");
    allow(0, 3);
    CPU_SET_S(5, BYTES, mask);
    assert_int_equal(topology_read(&t, root, mask), 0);
    check_cores(&t, 3, (const int[][2]){{0, 0}, {1, 0}, {2, 0}});
    topology_free(&t);
    CPU_CLR_S(1, BYTES, mask); /* the other thread of that core is still ours */
    assert_int_equal(topology_read(&t, root, mask), 0);
    check_cores(&t, 3, (const int[][2]){{0, 0}, {2, 0}, {5, 0}});
    topology_free(&t);
}

/* Two sockets whose CPUs are numbered in turn, as some firmware does, and a node of memory alone. */
static void two_sockets(void)
{
    put("devices/system/node/online", "0,2-3\n");
    put("devices/system/node/node0/cpulist", "0,2,4,6\n");
    put("devices/system/node/node2/cpulist", "\n");
    put("devices/system/node/node3/cpulist", "1,3,5,7\n");
    allow(0, 7);
}

static void threads_stand_by_node(void **state)
{
    (void)state;
    struct topology t;
    two_sockets();
    assert_int_equal(topology_read(&t, root, mask), 0);
    check_cores(&t, 8, (const int[][2]){{0, 0}, {2, 0}, {4, 0}, {6, 0}, {1, 1}, {3, 1}, {5, 1}, {7, 1}});
    assert_int_equal(t.n_nodes, 2);
    check_place(&t, 8, 3, "6");
    check_place(&t, 8, 4, "1");
    /* Fewer threads: half of them on either node, anywhere in it. */
    for (int n = 2; n <= 6; n += 2)
        for (int i = 0; i < n; i++) {
            assert_int_equal(topology_node(&t, n, i), i >= n / 2);
            check_place(&t, n, i, i < n / 2 ? "0,2,4,6" : "1,3,5,7");
        }
    topology_free(&t);
    CPU_ZERO_S(BYTES, mask); /* taskset on the second socket: one node, and it is node 0 */
    CPU_SET_S(1, BYTES, mask);
    CPU_SET_S(5, BYTES, mask);
    assert_int_equal(topology_read(&t, root, mask), 0);
    check_cores(&t, 2, (const int[][2]){{1, 0}, {5, 0}});
    assert_int_equal(t.n_nodes, 1);
    topology_free(&t);
}

static void big_cores_come_first_where_not_all_may_run(void **state)
{
    (void)state;
    struct topology t;
    for (int i = 0; i < 4; i++)
        put_cpu(i, "cpu_capacity", "446\n");
    for (int i = 4; i < 8; i++)
        put_cpu(i, "cpu_capacity", i < 6 ? "871\n" : "1024\n");
    allow(0, 7);
    assert_int_equal(topology_read(&t, root, mask), 0);
    check_cores(&t, 8,
                (const int[][2]){{6, 0}, {7, 0}, {4, 0}, {5, 0}, {0, 0}, {1, 0}, {2, 0}, {3, 0}});
    check_place(&t, 8, 7, "3"); /* all of them: small ones take fewer pieces */
    check_place(&t, 2, 1, "6,7");
    check_place(&t, 3, 0, "4,5,6,7");
    check_place(&t, 5, 0, "anywhere");
    topology_free(&t);
}

static void efficiency_cores_of_intel_are_small(void **state)
{
    (void)state;
    struct topology t;
    put("devices/cpu_atom/cpus", "4-7\n");
    put_cpu(0, "topology/thread_siblings_list", "0-1\n");
    put_cpu(1, "topology/thread_siblings_list", "0-1\n");
    put_cpu(2, "topology/thread_siblings_list", "2-3\n");
    put_cpu(3, "topology/thread_siblings_list", "2-3\n");
    allow(0, 7);
    assert_int_equal(topology_read(&t, root, mask), 0);
    check_cores(&t, 6, (const int[][2]){{0, 0}, {2, 0}, {4, 0}, {5, 0}, {6, 0}, {7, 0}});
    assert_true(t.cores[2].capacity < t.cores[1].capacity);
    check_place(&t, 2, 0, "0,2");
    topology_free(&t);
}

static void junk_is_no_machine(void **state)
{
    (void)state;
    struct topology t;
    put("devices/system/node/online", "0-99999999999999999999,x\n");
    put("devices/system/node/node0/cpulist", "2-999999,-\n");
    put_cpu(2, "topology/thread_siblings_list", "zero\n");
    put_cpu(3, "cpu_capacity", "-7\n");
    allow(2, 3);
    assert_int_equal(topology_read(&t, root, mask), 0);
    check_cores(&t, 2, (const int[][2]){{2, 0}, {3, 0}});
    topology_free(&t);
}

/* ---- a crew on two nodes ---------------------------------------------------------------------- */

/* The CPUs of this machine, the first half node 0, the rest node 1. How many; 0: one CPU. */
static int real_cpus_as_two_nodes(void)
{
    char lists[2][1024] = {"", ""};
    int n = 0, all;
    assert_int_equal(sched_getaffinity(0, BYTES, mask), 0);
    all = CPU_COUNT_S(BYTES, mask);
    for (int i = 0; i < MOST_CPUS && n < all; i++)
        if (CPU_ISSET_S((size_t)i, BYTES, mask)) {
            char *l = lists[n++ >= all / 2];
            snprintf(l + strlen(l), 1024 - strlen(l), *l ? ",%d" : "%d", i);
        }
    put("devices/system/node/online", "0-1\n");
    put("devices/system/node/node0/cpulist", lists[0]);
    put("devices/system/node/node1/cpulist", lists[1]);
    return all < 2 ? 0 : all;
}

struct taken {
    struct crew *c;
    int n_pieces, by[64];
    atomic_int wrong, on[2];
};

static void take_fn(void *arg, int i)
{
    struct taken *t = arg;
    const int mine = crew_node(t->c, i);
    for (int round = 0; round < 50; round++) {
        for (int k = 0; k < 2; k++) {
            const int node = (mine + k) % 2;
            for (int p; (p = crew_next_at(t->c, node)) < t->n_pieces;)
                atomic_fetch_add(&t->on[node], 1);
        }
        crew_barrier(t->c, i);
    }
    cpu_set_t *now = CPU_ALLOC(MOST_CPUS);
    CPU_ZERO_S(BYTES, now);
    if (!now || sched_getaffinity(0, BYTES, now) || CPU_COUNT_S(BYTES, now) != 1)
        atomic_fetch_add(&t->wrong, 1);
    CPU_FREE(now);
}

static void a_crew_keeps_to_its_nodes_and_counts_by_node(void **state)
{
    (void)state;
    const int n = real_cpus_as_two_nodes();
    if (!n) {
        print_message("skipped: one CPU\n");
        skip();
    }
    struct crew *c = crew_new_under(0, root, "/nowhere", "/nowhere/self", NULL);
    assert_non_null(c);
    assert_int_equal(crew_size(c), n);
    assert_int_equal(crew_nodes(c), 2);
    assert_int_equal(crew_node(c, 0), 0);
    assert_int_equal(crew_node(c, n - 1), 1);
    assert_int_equal(crew_node_share(c, 1000, 0), 0);
    assert_int_equal(crew_node_share(c, 1000, 1), 1000 * (n / 2) / n);
    assert_int_equal(crew_node_share(c, 1000, 2), 1000);
    struct taken t = {.c = c, .n_pieces = 7};
    crew_run(c, n, take_fn, &t);
    assert_int_equal(atomic_load(&t.wrong), 0);
    assert_int_equal(atomic_load(&t.on[0]), 50 * 7);
    assert_int_equal(atomic_load(&t.on[1]), 50 * 7);
    cpu_set_t *now = CPU_ALLOC(MOST_CPUS); /* the caller is free again */
    assert_non_null(now);
    CPU_ZERO_S(BYTES, now);
    assert_int_equal(sched_getaffinity(0, BYTES, now), 0);
    assert_true(CPU_EQUAL_S(BYTES, now, mask));
    CPU_FREE(now);
    crew_free(c);
}

int main(void)
{
#define IN_ROOT(f) cmocka_unit_test_setup_teardown(f, new_root, drop_root)
    const struct CMUnitTest tests[] = {
        IN_ROOT(a_machine_that_says_nothing_is_one_node_of_cores),
        IN_ROOT(hyper_threads_of_a_core_count_once),
        IN_ROOT(threads_stand_by_node),
        IN_ROOT(big_cores_come_first_where_not_all_may_run),
        IN_ROOT(efficiency_cores_of_intel_are_small),
        IN_ROOT(junk_is_no_machine),
        IN_ROOT(a_crew_keeps_to_its_nodes_and_counts_by_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
