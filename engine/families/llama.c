/* engine/families/llama.c - Llama 1 to 3 and every GGUF whose general.architecture is "llama"
 * (Mistral, SmolLM, Mixtral and others among them). Touvron et al. 2023, Dubey et al. 2024; with
 * experts in place of the feed-forward: Jiang et al. 2024.
 *
 * Rows of attn_q and attn_k are stored permuted, so the rotary pairs are neighbours. */
#include "engine/ops.h"

static const struct hp_key keys[] = {
    HP_REAL("attention.scale", attn_scale, HP_MAY, 0, 100), /* 0: 1/sqrt(d_k) */
    {0},
};

static const struct tn layer_tensors[] = {
    TN_LAYER_VEC("attn_norm.weight", attn_norm, DIM_EMBD, HP_MUST),
    TN_LAYER_MAT("attn_q.weight", wq, DIM_Q, DIM_EMBD, HP_MUST),
    TN_LAYER_MAT("attn_k.weight", wk, DIM_K, DIM_EMBD, HP_MUST),
    TN_LAYER_MAT("attn_v.weight", wv, DIM_V, DIM_EMBD, HP_MUST),
    TN_LAYER_MAT("attn_output.weight", wo, DIM_EMBD, DIM_O, HP_MUST),
    TN_LAYER_VEC("attn_q.bias", bq, DIM_Q, HP_MAY),
    TN_LAYER_VEC("attn_k.bias", bk, DIM_K, HP_MAY),
    TN_LAYER_VEC("attn_v.bias", bv, DIM_V, HP_MAY),
    TN_LAYER_VEC("attn_output.bias", bo, DIM_EMBD, HP_MAY),
    TN_LAYER_VEC("ffn_norm.weight", ffn_norm, DIM_EMBD, HP_MUST),
    TN_LAYER_MAT("ffn_gate.weight", gate, DIM_FF, DIM_EMBD, TN_DENSE),
    TN_LAYER_MAT("ffn_up.weight", up, DIM_FF, DIM_EMBD, TN_DENSE),
    TN_LAYER_MAT("ffn_down.weight", down, DIM_EMBD, DIM_FF, TN_DENSE),
    TN_LAYER_MAT("ffn_gate_inp.weight", router, DIM_EXPERTS, DIM_EMBD, TN_MOE),
    TN_LAYER_EXPERTS("ffn_gate_exps.weight", gate_exps, DIM_FF_EXP, DIM_EMBD),
    TN_LAYER_EXPERTS("ffn_up_exps.weight", up_exps, DIM_FF_EXP, DIM_EMBD),
    TN_LAYER_EXPERTS("ffn_down_exps.weight", down_exps, DIM_EMBD, DIM_FF_EXP),
    TN_LAYER_VEC("ffn_gate.bias", bgate, DIM_FF, HP_MAY),
    TN_LAYER_VEC("ffn_up.bias", bup, DIM_FF, HP_MAY),
    TN_LAYER_VEC("ffn_down.bias", bdown, DIM_EMBD, HP_MAY),
    {0},
};

static const struct tn top_tensors[] = {
    TN_TOP_VEC("rope_freqs.weight", rope_freqs, DIM_ROT2, HP_MAY), /* Llama 3.1's factors */
    {0},
};

/* x += Wo attention(rope(q), rope(k), v);  x += Wdown (silu(gate) * up) or the same of
 * the chosen experts, each from norm(x). */
static void block(struct fwd *f, const struct layer *w, int il)
{
    struct in h = op_rms_norm(f, w->attn_norm);
    struct qkv t = op_qkv(f, &h, w);
    op_rope(&t, ROPE_NORM, false);
    h = op_attention(f, &t, il, 0);
    struct out y = op_mul_mat(f, &h, &w->wo, w->bo);
    op_add(f, &y);

    h = op_rms_norm(f, w->ffn_norm);
    if (f->hp->n_expert) {
        y = op_experts(f, &h, w, ACT_SILU, true);
    } else {
        h = op_glu(f, &h, w, ACT_SILU);
        y = op_mul_mat(f, &h, &w->down, w->bdown);
    }
    op_add(f, &y);
}

const struct family fam_llama = {
    .arch = "llama",
    .kind = DENSE_OR_EXPERTS,
    .keys = keys,
    .layer_tensors = layer_tensors,
    .top_tensors = top_tensors,
    .block = block,
};
