/* engine/families/qwen3moe.c - Qwen 3 with experts (30B-A3B and others; Qwen team 2025): Llama's
 * block with a norm of each query and key head, rotary pairs half a head apart, and experts in
 * every layer. */
#include "engine/ops.h"

static const struct hp_key keys[] = {
    HP_INT("expert_feed_forward_length", n_ff_exp, HP_MUST, 1, 1 << 20),
    {0},
};

static const struct tn layer_tensors[] = {
    TN_LAYER_VEC("attn_norm.weight", attn_norm, DIM_EMBD, HP_MUST),
    TN_LAYER_MAT("attn_q.weight", wq, DIM_Q, DIM_EMBD, HP_MUST),
    TN_LAYER_MAT("attn_k.weight", wk, DIM_K, DIM_EMBD, HP_MUST),
    TN_LAYER_MAT("attn_v.weight", wv, DIM_V, DIM_EMBD, HP_MUST),
    TN_LAYER_MAT("attn_output.weight", wo, DIM_EMBD, DIM_O, HP_MUST),
    TN_LAYER_VEC("attn_q_norm.weight", q_norm, DIM_DK, HP_MUST),
    TN_LAYER_VEC("attn_k_norm.weight", k_norm, DIM_DK, HP_MUST),
    TN_LAYER_VEC("ffn_norm.weight", ffn_norm, DIM_EMBD, HP_MUST),
    TN_LAYER_MAT("ffn_gate_inp.weight", router, DIM_EXPERTS, DIM_EMBD, TN_MUST),
    TN_LAYER_EXPERTS("ffn_gate_exps.weight", gate_exps, DIM_FF_EXP, DIM_EMBD),
    TN_LAYER_EXPERTS("ffn_up_exps.weight", up_exps, DIM_FF_EXP, DIM_EMBD),
    TN_LAYER_EXPERTS("ffn_down_exps.weight", down_exps, DIM_EMBD, DIM_FF_EXP),
    {0},
};

static void block(struct fwd *f, const struct layer *w, int il)
{
    struct in h = op_rms_norm(f, w->attn_norm);
    struct qkv t = op_qkv(f, &h, w);
    op_head_norm(&t, w->q_norm, w->k_norm);
    op_rope(&t, ROPE_NEOX, false);
    h = op_attention(f, &t, il, 0);
    struct out y = op_mul_mat(f, &h, &w->wo, NULL);
    op_add(f, &y);

    h = op_rms_norm(f, w->ffn_norm);
    y = op_experts(f, &h, w, ACT_SILU, true);
    op_add(f, &y);
}

const struct family fam_qwen3moe = {
    .arch = "qwen3moe",
    .kind = EXPERTS,
    .keys = keys,
    .layer_tensors = layer_tensors,
    .block = block,
};
