/* kernels/table.c - the tables of operations, filled once, from the weakest up.
 *
 * Each table starts as a copy of its base, so an ISA writes only what it does better. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "kernels/blas/blas.h"
#include "kernels/cpu.h"
#include "kernels/tables.h"

enum { MAX_TABLES = 16 };
static struct kernels tables[MAX_TABLES];
static int n_tables;
static int i_best; /* the table of a CPU that is asked for nothing */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static const struct level {
    void (*init)(struct kernels *k);
    unsigned needs;   /* cpu_flag; every CPU that has them can run the base too */
    const char *base; /* name of the table to start from */
} levels[] = {
    {kernels_init_ref, 0, NULL},
#ifdef HAVE_AVX2
    {kernels_init_avx2, CPU_AVX2, "ref"},
#endif
#ifdef HAVE_AVXVNNI
    {kernels_init_avxvnni, CPU_AVXVNNI, "avx2"},
#endif
#ifdef HAVE_AVX512
    {kernels_init_avx512, CPU_AVX512, "avx2"},
#endif
#ifdef HAVE_AVX512VNNI
    {kernels_init_avx512vnni, CPU_AVX512VNNI, "avx512"},
#endif
#ifdef HAVE_AMX
    {kernels_init_amx, CPU_AMX, "avx512vnni"},
#endif
#ifdef HAVE_NEON
    {kernels_init_neon, CPU_NEON, "ref"},
#endif
#ifdef HAVE_DOTPROD
    {kernels_init_dotprod, CPU_DOTPROD, "neon"},
#endif
#ifdef HAVE_I8MM
    {kernels_init_i8mm, CPU_I8MM, "dotprod"},
#endif
};

#ifdef HAVE_VARIANT
/* A file that somebody tries (-Dvariant=FILE -Dvariant_of=TABLE): a table called "variant", its base with
 * what the file overrides. Nobody gets it without asking. */
static void add_variant(void)
{
    for (int t = 0; t < n_tables && n_tables < MAX_TABLES; t++) {
        if (strcmp(tables[t].name, VARIANT_OF))
            continue;
        struct kernels *k = &tables[n_tables++];
        *k = tables[t];
        kernels_variant(k);
        k->name = "variant";
        k->base = tables[t].name;
        return;
    }
}
#endif

static void fill(void)
{
    unsigned have = cpu_flags();
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        if ((levels[i].needs & have) != levels[i].needs)
            continue;
        for (int t = 0; t < n_tables; t++)
            if (!strcmp(tables[t].name, levels[i].base))
                tables[n_tables] = tables[t];
        tables[n_tables].base = levels[i].base;
        i_best = n_tables;
        levels[i].init(&tables[n_tables]);
#ifdef HAVE_AVX512VBMI
        if (have & CPU_AVX512VBMI && levels[i].init == kernels_init_avx512vnni) {
            x86_books_avx512vbmi(&tables[n_tables]);
            x86_digits_avx512vbmi(&tables[n_tables]);
        }
#endif
        n_tables++;
    }
#ifdef HAVE_VARIANT
    add_variant();
#endif
}

int kernels_all(const struct kernels **out, int cap)
{
    pthread_once(&once, fill);
    int n = n_tables < cap ? n_tables : cap;
    for (int i = 0; i < n; i++)
        out[i] = &tables[i];
    return n;
}

const struct kernels *kernels_pick(const char *want, struct err *e)
{
    pthread_once(&once, fill);
    const struct kernels *best = &tables[i_best];
    if (!want || !*want) {
        /* ref alone: a CPU that we have no kernels for. */
        const struct kernels *blas = i_best == 0 ? blas_table(best, NULL) : NULL;
        return blas ? blas : best;
    }
    if (!strcmp(want, "blas"))
        return blas_table(best, e);
    char names[256] = "";
    size_t used = 0;
    for (int i = 0; i < n_tables; i++) {
        if (!strcmp(tables[i].name, want))
            return &tables[i];
        int n = snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", tables[i].name);
        if (n > 0 && (size_t)n < sizeof names - used)
            used += (size_t)n;
    }
    err_set(e, ERR_INPUT, "no kernels called \"%s\" run on this CPU; there are: %s, blas", want, names);
    return NULL;
}
