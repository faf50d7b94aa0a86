/* tests/check_tables.c - tables of instructions that this CPU lacks, so that their logic is tested
 * on it all the same. They are in check_kernels alone, never in the product.
 *
 *   avxvnni-evex   the sources of "avxvnni" compiled with AVX-512 VNNI's flags: vpdpbusd in the
 * EVEX encoding instead of the VEX one
 *   avx512vnni-entries   code books and digits as on CPUs without VBMI
 *   amx-emulated   the sources of "amx" with the tile instructions in plain C (amx_emulated.h) */
#include <string.h>
#include "kernels/cpu.h"
#include "kernels/tables.h"
#include "tests/check.h"

#ifdef HAVE_AVX512VBMI
#include "kernels/x86/tables_x86.h"

static void without_vbmi(struct kernels *k)
{
    x86_books_avx512vnni(k);
    x86_few_avx512vnni(k);
}
#endif
#ifdef HAVE_AVXVNNI_EVEX
void kernels_init_avxvnni_evex(struct kernels *k);
#endif
#ifdef HAVE_AMX_EMULATED
void kernels_init_amx_emulated(struct kernels *k);
#endif

/* all[n_all++] = a copy of table `base`, changed by init and renamed; not without the base. */
__attribute__((unused)) static void add(struct kernels *k, const char *name, const char *base,
                                        void (*init)(struct kernels *k))
{
    for (int i = 0; i < n_all; i++) {
        if (strcmp(all[i]->name, base))
            continue;
        *k = *all[i];
        init(k);
        k->name = name;
        all[n_all++] = k;
        return;
    }
}

void more_tables(void)
{
#ifdef HAVE_AVX512VBMI
    static struct kernels entries;
    if (cpu_flags() & CPU_AVX512VBMI)
        add(&entries, "avx512vnni-entries", "avx512vnni", without_vbmi);
#endif
#ifdef HAVE_AVXVNNI_EVEX
    static struct kernels evex;
    if (cpu_flags() & CPU_AVX512VNNI)
        add(&evex, "avxvnni-evex", "avx2", kernels_init_avxvnni_evex);
#endif
#ifdef HAVE_AMX_EMULATED
    static struct kernels tiles;
    add(&tiles, "amx-emulated", "avx512vnni", kernels_init_amx_emulated);
#endif
}
