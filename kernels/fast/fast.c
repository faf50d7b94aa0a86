/* kernels/fast/fast.c - `--numerics fast`: a table of the contract with faster products of many
 * columns laid over it.
 *
 * Which: bf16 on AMX over "amx", bf16 pairs of AVX-512 over the other AVX-512 tables (somebody who
 * asks for "avx2" gets no wider instructions by this door). Everything else of the table stays: few
 * columns, norms, attention. */
#include "kernels/fast/fast.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "kernels/cpu.h"

static const struct over {
    void (*lay)(struct kernels *k);
    unsigned needs;
    const char *bases[3], *name;
} overs[] = {
#ifdef HAVE_AMXBF16
    {x86_fast_amx, CPU_AMX_BF16, {"amx"}, "amx+bf16"},
#endif
#ifdef HAVE_AVX512BF16
    {x86_fast_avx512bf16, CPU_AVX512BF16, {"avx512vnni", "avx512", "amx"}, "avx512vnni+bf16"},
#endif
    {0},
};

static struct kernels table; /* one base a process: that of the first call */
static const struct kernels *base;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static const struct over *find(const struct kernels *exact)
{
    const unsigned have = cpu_flags();
    for (const struct over *o = overs; o->lay; o++)
        for (size_t i = 0; i < 3 && o->bases[i]; i++)
            if ((o->needs & have) == o->needs && !strcmp(o->bases[i], exact->name))
                return o;
    return NULL;
}

const struct kernels *kernels_fast(const struct kernels *exact)
{
    const struct over *o = exact->numerics ? NULL : find(exact);
    if (!o) {
        log_line(LOG_WARN,
                 "numerics fast: nothing is faster than the exact kernels \"%s\" here: "
                 "they are used",
                 exact->name);
        return exact;
    }
    pthread_mutex_lock(&lock);
    if (!base) {
        base = exact;
        table = *exact;
        table.base = exact->name;
        table.exact = exact;
        o->lay(&table);
        table.name = o->name;
        log_line(LOG_WARN, "numerics fast: products of prompts are rounded to bf16: outside the "
                           "contract of bits, results depend on the CPU and on the batch");
    }
    pthread_mutex_unlock(&lock);
    return base == exact ? &table : exact;
}
