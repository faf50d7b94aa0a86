/* kernels/ref/init.c - the table at the bottom. */
#include "kernels/ref/ref.h"
#include "kernels/tables.h"

void kernels_init_ref(struct kernels *k)
{
    memset(k, 0, sizeof *k);
    k->name = "ref";
    k->act_cols = 1;
    k->acts_bytes = ref_acts_bytes;
    k->quantize = ref_quantize;
    ref_init_matmul(k);
    k->mm_scratch_bytes = 64; /* unused; callers need not special-case zero */
    k->rms_norm = ref_rms_norm;
    k->layer_norm = ref_layer_norm;
    k->rope = ref_rope;
    k->silu_mul = ref_silu_mul;
    k->gelu_mul = ref_gelu_mul;
    k->gelu_erf = ref_gelu_erf;
    k->add = ref_add;
    k->scale = ref_scale;
    k->softcap = ref_softcap;
    k->kv_store = ref_kv_store;
    k->attend_span = ref_attend_span;
    k->attend_merge = ref_attend_merge;
    k->argmax = ref_argmax;
}
