/* kernels/cpu.h - what this CPU can run and how many of it we may use. Private to the room. */
#ifndef CHASKI_KERNELS_CPU_H
#define CHASKI_KERNELS_CPU_H

#include <stddef.h>

enum cpu_flag { /* instructions there, and the system saves their registers */
    CPU_AVX2 = 1,      /* AVX2, FMA, F16C */
    CPU_AVX512 = 2,    /* F, BW, VL, DQ (and AVX2) */
    CPU_AVX512VNNI = 4,
    CPU_AMX = 64, /* tiles and their int8 products, allowed to us (and AVX512VNNI) */
    CPU_AVX512VBMI = 512, /* and AVX512VNNI */
    CPU_AVX512BF16 = 128, /* and AVX512 */
    CPU_AMX_BF16 = 256,   /* and AMX and AVX512BF16 */
    CPU_AVXVNNI = 32, /* 256 bits, VEX encoded (and AVX2) */
    CPU_NEON = 8,
    CPU_DOTPROD = 16,
    CPU_I8MM = 64, /* SMMLA (and DOTPROD) */
};
unsigned cpu_flags(void);

/* Round to nearest, denormals kept, in the calling thread: a library that was loaded earlier may
 * have switched flush-to-zero on. */
void cpu_float_mode(void);

/* CPUs that the cgroup quotas of this process allow: the least quota/period over all ancestors,
 * v2 or v1, rounded down and at least 1; 0 = no quota. `cgroup_root` is /sys/fs/cgroup, `self`
 * is /proc/self/cgroup, but for tests. */
int cpu_quota(const char *cgroup_root, const char *self);

/* Bytes of a core's L1 data and L2 caches; 0 where the system does not say. The smaller of the first
 * and the last CPU's: kinds of cores stand in order. `sys` is "/sys", but for tests. */
void cpu_caches(const char *sys, size_t *l1, size_t *l2);

/* crew_new with other places than "/sys" and those two, which must live as long as the crew (tests). */
struct crew;
struct err;
struct crew *crew_new_under(int n_threads, const char *sys, const char *cgroup_root,
                            const char *self, struct err *e);

#endif
