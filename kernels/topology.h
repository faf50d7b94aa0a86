/* kernels/topology.h - the cores that we may use, their memory nodes, their sizes. Private to the room. */
#ifndef CHASKI_KERNELS_TOPOLOGY_H
#define CHASKI_KERNELS_TOPOLOGY_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

enum { MOST_CPUS = 8192, MOST_NODES = 16 /* more are folded */ };

struct core {
    int cpu;      /* the first of its hyper-threads that the mask has */
    int node;     /* 0.. in the order of the system's numbers, only nodes that have such a core */
    int capacity; /* 1024 = the biggest of the machine; efficiency cores less */
};
struct topology {
    cpu_set_t *mask;    /* the CPUs we may use, MOST_CPUS wide */
    struct core *cores; /* by node; in a node the big ones first */
    int n, n_nodes;     /* n >= 1 after topology_read */
};

/* What `mask` (MOST_CPUS wide; copied) leaves of the machine that the folder `sys` ("/sys", but for tests)
 * describes. A file that is missing says nothing: one node, full capacity, no hyper-threads. 0, or -1
 * without memory. */
int topology_read(struct topology *t, const char *sys, const cpu_set_t *mask);
void topology_free(struct topology *t);

/* The node of thread i of n: threads stand by node, in numbers as the cores do. */
int topology_node(const struct topology *t, int n, int i);
/* Where thread i of n is kept, into `set` (MOST_CPUS wide): a core each when n is the number of cores;
 * on fewer threads the node's CPUs, big cores if these are enough. False: anywhere in the mask. */
bool topology_place(const struct topology *t, int n, int i, cpu_set_t *set);

#endif
