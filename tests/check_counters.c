/* tests/check_counters.c - cycles and instructions of this thread, by perf_event_open(2).
 *
 * Only user mode is counted: that needs no privilege at perf_event_paranoid <= 2. Many virtual
 * machines give no counters; that is an answer, not an error. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "tests/check_bench.h"

#if defined(__linux__)
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

static int leader = -1;

static int open_one(uint64_t config, int group)
{
    struct perf_event_attr a;
    memset(&a, 0, sizeof a);
    a.type = PERF_TYPE_HARDWARE;
    a.size = sizeof a;
    a.config = config;
    a.exclude_kernel = 1;
    a.exclude_hv = 1;
    a.read_format = PERF_FORMAT_GROUP;
    return (int)syscall(SYS_perf_event_open, &a, 0, -1, group, PERF_FLAG_FD_CLOEXEC);
}

static int read_group(uint64_t v[3])
{
    return read(leader, v, 3 * sizeof *v) == (ssize_t)(3 * sizeof *v) ? 0 : -1;
}

int counters_open(char *why, size_t cap)
{
    uint64_t v[3] = {0};
    int second = -1;
    leader = open_one(PERF_COUNT_HW_CPU_CYCLES, -1);
    if (leader >= 0)
        second = open_one(PERF_COUNT_HW_INSTRUCTIONS, leader);
    if (leader < 0 || second < 0) {
        snprintf(why, cap, "perf_event_open: %s%s", strerror(errno),
                 errno == ENOENT || errno == EOPNOTSUPP ? " (a virtual machine without counters?)"
                 : errno == EACCES || errno == EPERM    ? " (perf_event_paranoid, seccomp?)"
                                                        : "");
        goto none;
    }
    for (volatile int i = 0; i < 100000; i++)
        ;
    if (read_group(v) || v[0] != 2 || !v[1] || !v[2]) {
        snprintf(why, cap, "the counters are there but stand still");
        goto none;
    }
    return 0;
none:
    if (leader >= 0)
        close(leader);
    if (second >= 0)
        close(second);
    leader = -1;
    return -1;
}

void counters_read(uint64_t *cycles, uint64_t *instructions)
{
    uint64_t v[3] = {0};
    if (leader >= 0 && read_group(v))
        memset(v, 0, sizeof v);
    *cycles = v[1];
    *instructions = v[2];
}
#else
int counters_open(char *why, size_t cap)
{
    snprintf(why, cap, "only Linux has perf_event_open");
    return -1;
}
void counters_read(uint64_t *cycles, uint64_t *instructions)
{
    *cycles = *instructions = 0;
}
#endif
