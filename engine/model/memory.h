/* engine/model/memory.h - the memory budget: one ledger for all that is large. Private to engine/.
 *
 * Facts: spec/decisions.md 23. Weights, scratch of steps, pages of keys and values, state of
 * running jobs are entered before they are allocated, and taken out after they are freed. */
#ifndef CHASKI_MEMORY_H
#define CHASKI_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct mem {
    uint64_t limit; /* bytes; constant */
    atomic_uint_least64_t used;
};
bool mem_take(struct mem *m, uint64_t bytes); /* false: they would pass the limit */
/* What must be had, whatever the limit says: it is small, and counts against what comes later. */
void mem_add(struct mem *m, uint64_t bytes);
void mem_give(struct mem *m, uint64_t bytes);

/* What the system can still give this process: MemAvailable, or less where a cgroup says so. `root`
 * stands before the paths of /proc and /sys (tests); NULL or "" = none. */
uint64_t mem_available(const char *root);

#endif
