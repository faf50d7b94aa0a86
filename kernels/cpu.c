/* kernels/cpu.c - which instructions this CPU has and the system lets us use; how many CPUs.
 *
 * x86: CPUID says what the CPU has, XGETBV whether the system saves the wide registers: an AVX bit
 * alone is not enough under old kernels and some hypervisors. ARM: the kernel's hwcaps. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kernels/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xmmintrin.h>

enum {
    LEAF7_1_AVXVNNI = 1 << 4, /* eax of leaf 7.1 */
    LEAF7_1_AVX512BF16 = 1 << 5,
    LEAF7_AMX_BF16 = 1 << 22, /* edx of leaf 7 */
    LEAF7_AMX_TILE = 1 << 24, /* edx of leaf 7 */
    LEAF7_AMX_INT8 = 1 << 25,
    XCR0_AMX = 3 << 17, /* the system saves tiles and their configuration */
};

/* Linux gives tiles to a process that asks: once, for all threads. A system before 5.16 does not
 * know the question, a sandbox may forbid it: no AMX then. It costs nothing before the first tile.
 */
static bool tiles_allowed(void)
{
#if defined(__linux__) && defined(SYS_arch_prctl)
    enum { REQ_XCOMP_PERM = 0x1023, XFEATURE_TILE_DATA = 18 };
    return !syscall(SYS_arch_prctl, REQ_XCOMP_PERM, XFEATURE_TILE_DATA);
#else
    return false;
#endif
}

static unsigned long long xgetbv0(void)
{
    unsigned lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (unsigned long long)hi << 32 | lo;
}

unsigned cpu_flags(void)
{
    unsigned a, b, c, d, b7, c7, d7, out = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_AVX))
        return 0;
    unsigned long long saved = xgetbv0();
    if ((saved & 0x6) != 0x6 || !__get_cpuid_count(7, 0, &a, &b7, &c7, &d7))
        return 0;
    if (!(b7 & bit_AVX2) || !(c & bit_FMA) || !(c & bit_F16C))
        return 0;
    out |= CPU_AVX2;
    unsigned a71, b71, c71, d71;
    if (!__get_cpuid_count(7, 1, &a71, &b71, &c71, &d71))
        a71 = 0;
    if (a71 & LEAF7_1_AVXVNNI)
        out |= CPU_AVXVNNI;
    unsigned want = bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ;
    if ((saved & 0xe6) == 0xe6 && (b7 & want) == want) {
        out |= CPU_AVX512;
        if (c7 & bit_AVX512VNNI)
            out |= CPU_AVX512VNNI;
        if ((c7 & bit_AVX512VNNI) && (c7 & bit_AVX512VBMI))
            out |= CPU_AVX512VBMI;
        if (a71 & LEAF7_1_AVX512BF16)
            out |= CPU_AVX512BF16;
        const unsigned amx = LEAF7_AMX_TILE | LEAF7_AMX_INT8;
        if ((c7 & bit_AVX512VNNI) && (d7 & amx) == amx && (saved & XCR0_AMX) == XCR0_AMX &&
            tiles_allowed())
            out |= CPU_AMX;
        if ((out & CPU_AMX) && (out & CPU_AVX512BF16) && (d7 & LEAF7_AMX_BF16))
            out |= CPU_AMX_BF16;
    }
    return out;
}

void cpu_float_mode(void)
{
    _mm_setcsr(
        0x1f80); /* all exceptions masked, nearest, no flush-to-zero, no denormals-are-zero */
}

#elif defined(__aarch64__)
#include <sys/auxv.h>
#ifndef HWCAP_ASIMDDP
#define HWCAP_ASIMDDP (1 << 20)
#endif
#ifndef HWCAP2_I8MM
#define HWCAP2_I8MM (1 << 13)
#endif

unsigned cpu_flags(void)
{
    unsigned out = CPU_NEON;
    if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) {
        out |= CPU_DOTPROD;
        if (getauxval(AT_HWCAP2) & HWCAP2_I8MM)
            out |= CPU_I8MM;
    }
    return out;
}

void cpu_float_mode(void)
{
    unsigned long zero = 0; /* nearest, no flush-to-zero, no alternative halves */
    __asm__ volatile("msr fpcr, %0" : : "r"(zero));
}

#else
unsigned cpu_flags(void)
{
    return 0;
}
void cpu_float_mode(void)
{
}
#endif

/* ---- cgroup quota --------------------------------------------------------------------------- */

/* The first line of dir/name, or -1. */
static int read_line(const char *dir, const char *name, char *line, size_t cap)
{
    char path[4400];
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= sizeof path)
        return -1;
    FILE *f = fopen(path, "re");
    if (!f)
        return -1;
    char *got = fgets(line, (int)cap, f);
    fclose(f);
    return got ? 0 : -1;
}

/* A number of bytes like "32K", or 0. */
static size_t bytes_of(const char *line)
{
    char *end;
    const unsigned long n = strtoul(line, &end, 10);
    const int shift = *end == 'K' ? 10 : *end == 'M' ? 20 : 0;
    return n < 1ul << 30 ? (size_t)n << shift : 0;
}

static void least(size_t *to, size_t bytes)
{
    if (bytes && (!*to || bytes < *to))
        *to = bytes;
}

void cpu_caches(const char *sys, size_t *l1, size_t *l2)
{
    char dir[4096], line[256];

    *l1 = *l2 = 0;
    snprintf(dir, sizeof dir, "%s/devices/system/cpu", sys);
    /* "0-15", "0,4-7": the last number is the last CPU. */
    int cpus[2] = {0, 0};
    if (!read_line(dir, "present", line, sizeof line)) {
        const char *last = line + strcspn(line, "\n");
        while (last > line && last[-1] >= '0' && last[-1] <= '9')
            last--;
        cpus[1] = atoi(last);
    }
    for (int c = 0; c < 2; c++)
        for (int i = 0; i < 8; i++) {
            snprintf(dir, sizeof dir, "%s/devices/system/cpu/cpu%d/cache/index%d", sys, cpus[c], i);
            if (read_line(dir, "level", line, sizeof line))
                break;
            const int level = atoi(line);
            if (read_line(dir, "type", line, sizeof line) || line[0] == 'I' ||
                read_line(dir, "size", line, sizeof line))
                continue;
            if (level == 1 || level == 2)
                least(level == 1 ? l1 : l2, bytes_of(line));
        }
}

/* CPUs that one folder's quota allows: v2 cpu.max, v1 cpu.cfs_quota_us; 0 = none. */
static double quota_of(const char *dir)
{
    char line[128];
    double quota, period = 100000;
    if (!read_line(dir, "cpu.max", line, sizeof line)) { /* "max 100000" or "150000 100000" */
        char *end;
        quota = strtod(line, &end);
        if (end == line)
            return 0;
        period = strtod(end, NULL);
    } else if (!read_line(dir, "cpu.cfs_quota_us", line, sizeof line)) {
        quota = strtod(line, NULL); /* -1 = none */
        if (!read_line(dir, "cpu.cfs_period_us", line, sizeof line))
            period = strtod(line, NULL);
    } else {
        return 0;
    }
    return quota > 0 && period > 0 ? quota / period : 0;
}

/* The least quota of root/path and its ancestors up to and with root, into *least. */
static void walk_up(const char *root, const char *path, double *least)
{
    char dir[4200];
    int n = snprintf(dir, sizeof dir, "%s%s", root, path);
    if (n < 0 || (size_t)n >= sizeof dir)
        return;
    size_t stop = strlen(root);
    for (;;) {
        double q = quota_of(dir);
        if (q > 0 && (*least == 0 || q < *least))
            *least = q;
        if (strlen(dir) <= stop)
            return;
        char *slash = strrchr(dir + stop, '/');
        *(slash ? slash : dir + stop) = 0;
    }
}

int cpu_quota(const char *cgroup_root, const char *self)
{
    double least = 0;
    char line[4096], root[4200];
    FILE *f = fopen(self, "re");
    while (f && fgets(line, sizeof line, f)) { /* "0::/a/b" (v2), "4:cpu,cpuacct:/a" (v1) */
        line[strcspn(line, "\n")] = 0;
        char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = 0;
        names++;
        if (!strcmp(path, "/"))
            path++;
        if (!*names) {
            walk_up(cgroup_root, path, &least);
            continue;
        }
        char *save, *hier = strdup(names);
        bool cpu = false;
        for (char *t = hier ? strtok_r(hier, ",", &save) : NULL; t; t = strtok_r(NULL, ",", &save))
            cpu = cpu || !strcmp(t, "cpu");
        free(hier);
        if (!cpu)
            continue;
        /* Inside a container the path is the host's and may be missing here: its last folder that
         * exists, at least the mount itself, is looked at by walking up. */
        if (snprintf(root, sizeof root, "%s/%s", cgroup_root, names) < (int)sizeof root)
            walk_up(root, path, &least);
        if (snprintf(root, sizeof root, "%s/cpu", cgroup_root) < (int)sizeof root)
            walk_up(root, path, &least);
    }
    if (f)
        fclose(f);
    if (least == 0)
        return 0;
    return least < 1 ? 1 : (int)least;
}
