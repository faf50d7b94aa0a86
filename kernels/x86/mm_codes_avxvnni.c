/* kernels/x86/mm_codes_avxvnni.c - IQ4_NL to TQ2_0 with AVX-VNNI (see mm_codes_vnni.h). */
#include <stdbool.h>
#include "kernels/x86/dot32_avxvnni.h"
#include "kernels/x86/tables_x86.h"

#define COLUMNS 6
#include "kernels/x86/mm_codes_vnni.h"

void x86_codes_avxvnni(struct kernels *k)
{
    set_codes(k);
}
