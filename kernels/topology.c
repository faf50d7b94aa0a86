/* kernels/topology.c - reads /sys: which CPUs share a core, which cores a memory node, which are big.
 *
 * Hyper-threads add nothing to int8 work: one CPU a core. Efficiency cores do work: they take fewer
 * pieces in the same time; but where we may not use all cores (a quota, a number that was asked for),
 * threads keep to the big ones. Threads keep to their nodes, because what they packed lies there. */
#include "kernels/topology.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t set_bytes = MOST_CPUS / 8;

static bool is_in(const cpu_set_t *set, int cpu)
{
    return CPU_ISSET_S((size_t)cpu, set_bytes, set);
}

/* The first line of sys/path into `line`. */
static bool read_line(const char *sys, const char *path, char *line, size_t cap)
{
    char full[512];
    const int n = snprintf(full, sizeof full, "%s/%s", sys, path);
    if (n < 0 || (size_t)n >= sizeof full)
        return false;
    FILE *f = fopen(full, "re");
    if (!f)
        return false;
    const bool got = fgets(line, (int)cap, f);
    fclose(f);
    return got;
}

/* The next range of "0-3,8,10-11"; false at the end or at anything else. */
static bool next_range(const char **p, long *a, long *b)
{
    char *end;
    if (**p < '0' || **p > '9')
        return false;
    *a = *b = strtol(*p, &end, 10);
    if (*end == '-')
        *b = strtol(end + 1, &end, 10);
    *p = end + (*end == ',');
    return true;
}

static bool first_of_core(const char *sys, int cpu, const cpu_set_t *mask)
{
    char path[96], line[4096];
    snprintf(path, sizeof path, "devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    const char *p = line;
    long a, b;
    if (!read_line(sys, path, line, sizeof line))
        return true;
    while (next_range(&p, &a, &b))
        for (long i = a; i <= b && i < cpu; i++)
            if (is_in(mask, (int)i))
                return false;
    return true;
}

static int capacity_of(const char *sys, int cpu, const char *atoms)
{
    char path[96], line[64];
    snprintf(path, sizeof path, "devices/system/cpu/cpu%d/cpu_capacity", cpu);
    if (read_line(sys, path, line, sizeof line)) {
        const int c = atoi(line);
        return c > 0 ? c : 1024;
    }
    long a, b;
    while (next_range(&atoms, &a, &b)) /* Intel's efficiency cores: another PMU */
        if (cpu >= a && cpu <= b)
            return 512;
    return 1024;
}

/* node[cpu] of all CPUs; those that no node names are in 0. */
static void read_nodes(const char *sys, short node[MOST_CPUS])
{
    char online[4096], line[4096], path[96];
    long from, to;
    memset(node, 0, MOST_CPUS * sizeof *node);
    if (!read_line(sys, "devices/system/node/online", online, sizeof online))
        return;
    for (const char *p = online; next_range(&p, &from, &to);)
        for (long k = from; k <= to && k <= 4096; k++) {
            snprintf(path, sizeof path, "devices/system/node/node%ld/cpulist", k);
            if (!read_line(sys, path, line, sizeof line))
                continue;
            long a, b;
            for (const char *q = line; next_range(&q, &a, &b);)
                for (long i = a; i <= b && i < MOST_CPUS; i++)
                    node[i] = (short)k;
        }
}

static int by_node_and_size(const void *x, const void *y)
{
    const struct core *a = x, *b = y;
    if (a->node != b->node)
        return a->node < b->node ? -1 : 1;
    if (a->capacity != b->capacity)
        return a->capacity > b->capacity ? -1 : 1;
    return a->cpu < b->cpu ? -1 : 1;
}

int topology_read(struct topology *t, const char *sys, const cpu_set_t *mask)
{
    *t = (struct topology){.n_nodes = 1};
    short *node = malloc(MOST_CPUS * sizeof *node);
    t->mask = CPU_ALLOC(MOST_CPUS);
    t->cores = malloc((size_t)(CPU_COUNT_S(set_bytes, mask) + 1) * sizeof *t->cores);
    if (!node || !t->mask || !t->cores) {
        free(node);
        topology_free(t);
        return -1;
    }
    memcpy(t->mask, mask, set_bytes);
    read_nodes(sys, node);
    char atoms[4096] = "";
    (void)read_line(sys, "devices/cpu_atom/cpus", atoms, sizeof atoms);
    for (int i = 0; i < MOST_CPUS; i++)
        if (is_in(mask, i) && first_of_core(sys, i, mask))
            t->cores[t->n++] = (struct core){i, node[i], capacity_of(sys, i, atoms)};
    free(node);
    if (!t->n)
        t->cores[t->n++] = (struct core){0, 0, 1024};
    qsort(t->cores, (size_t)t->n, sizeof *t->cores, by_node_and_size);
    int last = t->cores[0].node, k = 0;
    for (int i = 0; i < t->n; i++) {
        if (t->cores[i].node != last && k < MOST_NODES - 1)
            k++;
        last = t->cores[i].node;
        t->cores[i].node = k;
    }
    t->n_nodes = k + 1;
    return 0;
}

void topology_free(struct topology *t)
{
    if (t->mask)
        CPU_FREE(t->mask);
    free(t->cores);
    *t = (struct topology){0};
}

static int core_of(const struct topology *t, int n, int i)
{
    return (int)((long long)i * t->n / (n > 0 ? n : 1));
}

int topology_node(const struct topology *t, int n, int i)
{
    return t->cores[core_of(t, n, i)].node;
}

/* The least capacity of the node's cores that its `want` threads need. */
static int least_capacity(const struct topology *t, int node, int want)
{
    int c = 0;
    for (int i = 0; i < t->n && want > 0; i++)
        if (t->cores[i].node == node)
            c = t->cores[i].capacity, want--;
    return c;
}

static int smaller_ones(const struct topology *t, int node, int least)
{
    int left = 0;
    for (int i = 0; i < t->n; i++)
        left += t->cores[i].node == node && t->cores[i].capacity < least;
    return left;
}

bool topology_place(const struct topology *t, int n, int i, cpu_set_t *set)
{
    CPU_ZERO_S(set_bytes, set);
    if (n > t->n || !t->mask)
        return false;
    if (n == t->n) {
        CPU_SET_S((size_t)t->cores[i].cpu, set_bytes, set);
        return true;
    }
    const int node = topology_node(t, n, i);
    int want = 0;
    for (int k = 0; k < n; k++)
        want += topology_node(t, n, k) == node;
    const int least = least_capacity(t, node, want);
    for (int k = 0; k < t->n; k++)
        if (t->cores[k].node == node && t->cores[k].capacity >= least)
            CPU_SET_S((size_t)t->cores[k].cpu, set_bytes, set);
    return t->n_nodes > 1 || smaller_ones(t, node, least) > 0;
}
