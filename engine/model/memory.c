/* engine/model/memory.c - the ledger, and what the system has for us.
 *
 * Facts: proc(5); cgroups(7), the kernel's cgroup-v1/memory.rst and cgroup-v2.rst. A limit may
 * stand at any level above our group, and our group's name counts from a root that need not be the
 * one that is mounted (containers): paths that are not there are passed over. */
#include "engine/model/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool mem_take(struct mem *m, uint64_t bytes)
{
    uint64_t used = atomic_load(&m->used);
    do {
        if (used > m->limit || bytes > m->limit - used)
            return false;
    } while (!atomic_compare_exchange_weak(&m->used, &used, used + bytes));
    return true;
}

void mem_add(struct mem *m, uint64_t bytes)
{
    atomic_fetch_add(&m->used, bytes);
}

void mem_give(struct mem *m, uint64_t bytes)
{
    atomic_fetch_sub(&m->used, bytes);
}

/* ---- what there is ------------------------------------------------------------------------- */

enum { PATH_MOST = 4096 };

/* The number in root/a/b/c. "max" and the like are none. */
static bool number(const char *root, const char *a, const char *b, const char *c, uint64_t *out)
{
    char path[PATH_MOST + 256];
    const int n = snprintf(path, sizeof path, "%s%s%s/%s", root, a, b, c);
    FILE *f = n > 0 && (size_t)n < sizeof path ? fopen(path, "re") : NULL;
    if (!f)
        return false;
    const bool good = fscanf(f, "%" SCNu64, out) == 1;
    fclose(f);
    return good;
}

/* Bytes of the group's page cache that nobody used of late: they go when memory is wanted. */
static uint64_t reclaimable(const char *root, const char *mount, const char *group, const char *key)
{
    char path[PATH_MOST + 256], line[256];
    uint64_t bytes = 0;
    snprintf(path, sizeof path, "%s%s%s/memory.stat", root, mount, group);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    const size_t n = strlen(key);
    while (fgets(line, sizeof line, f))
        if (!strncmp(line, key, n) && sscanf(line + n, " %" SCNu64, &bytes) == 1)
            break;
    fclose(f);
    return bytes;
}

/* What the group and all above it leave. */
static uint64_t left_in(const char *root, const char *mount, char *group, const char *limit_file,
                        const char *used_file, const char *cache_key)
{
    uint64_t left = UINT64_MAX;
    for (;;) {
        uint64_t limit, used;
        if (number(root, mount, group, limit_file, &limit) &&
            number(root, mount, group, used_file, &used)) {
            const uint64_t cache = reclaimable(root, mount, group, cache_key);
            used -= cache < used ? cache : used;
            const uint64_t here = limit > used ? limit - used : 0;
            left = here < left ? here : left;
        }
        char *slash = strrchr(group, '/');
        if (!slash)
            return left;
        *slash = 0; /* "" is the mount itself, asked last */
    }
}

static uint64_t left_by_cgroups(const char *root)
{
    char path[PATH_MOST + 64], line[PATH_MOST];
    uint64_t left = UINT64_MAX;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *f = fopen(path, "re");
    if (!f)
        return left;
    while (fgets(line, sizeof line, f)) { /* hierarchy:controllers:path */
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = 0;
        if (!strcmp(group, "/"))
            *group = 0;
        uint64_t here = UINT64_MAX;
        if (!strcmp(controllers, ":"))
            here = left_in(root, "/sys/fs/cgroup", group, "memory.max", "memory.current",
                           "inactive_file");
        else if (strstr(controllers, "memory"))
            here = left_in(root, "/sys/fs/cgroup/memory", group, "memory.limit_in_bytes",
                           "memory.usage_in_bytes", "total_inactive_file");
        left = here < left ? here : left;
    }
    fclose(f);
    return left;
}

uint64_t mem_available(const char *root)
{
    uint64_t kb = 0;
    char line[128], path[PATH_MOST];
    root = root ? root : "";
    if (strlen(root) >= PATH_MOST - 64)
        return 0;
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    FILE *f = fopen(path, "re");
    if (f) {
        while (fgets(line, sizeof line, f))
            if (sscanf(line, "MemAvailable: %" SCNu64 " kB", &kb) == 1)
                break;
        fclose(f);
    }
    const uint64_t machine = kb ? kb * 1024 : (uint64_t)4 << 30, group = left_by_cgroups(root);
    return group < machine ? group : machine;
}
