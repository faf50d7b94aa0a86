/* engine/families/nomic_bert.c - Nomic Embed (Nussbaum et al. 2024): BERT with rotary positions in
 * place of learned ones, and gated feed-forwards without biases. Queries, keys and values stand in
 * one tensor. The variant with experts is another architecture ("nomic-bert-moe"), not here. */
#include "engine/ops.h"

static const struct hp_key keys[] = {
    HP_REAL("attention.layer_norm_epsilon", ln_eps, HP_MUST, 0, 1),
    {0},
};

static const struct tn layer_tensors[] = {
    TN_LAYER_MAT("attn_q.weight", wq, DIM_Q, DIM_EMBD, HP_MUST), /* or attn_qkv for all three */
    TN_LAYER_MAT("attn_k.weight", wk, DIM_K, DIM_EMBD, HP_MUST),
    TN_LAYER_MAT("attn_v.weight", wv, DIM_V, DIM_EMBD, HP_MUST),
    TN_LAYER_VEC("attn_q.bias", bq, DIM_Q, HP_MAY),
    TN_LAYER_VEC("attn_k.bias", bk, DIM_K, HP_MAY),
    TN_LAYER_VEC("attn_v.bias", bv, DIM_V, HP_MAY),
    TN_LAYER_MAT("attn_output.weight", wo, DIM_EMBD, DIM_O, HP_MUST),
    TN_LAYER_VEC("attn_output.bias", bo, DIM_EMBD, HP_MAY),
    TN_LAYER_VEC("attn_output_norm.weight", attn_out_norm, DIM_EMBD, HP_MUST),
    TN_LAYER_VEC("attn_output_norm.bias", battn_out_norm, DIM_EMBD, HP_MUST),
    TN_LAYER_MAT("ffn_gate.weight", gate, DIM_FF, DIM_EMBD, HP_MUST),
    TN_LAYER_MAT("ffn_up.weight", up, DIM_FF, DIM_EMBD, HP_MUST),
    TN_LAYER_VEC("ffn_up.bias", bup, DIM_FF, HP_MAY),
    TN_LAYER_MAT("ffn_down.weight", down, DIM_EMBD, DIM_FF, HP_MUST),
    TN_LAYER_VEC("ffn_down.bias", bdown, DIM_EMBD, HP_MAY),
    TN_LAYER_VEC("layer_output_norm.weight", out_norm, DIM_EMBD, HP_MUST),
    TN_LAYER_VEC("layer_output_norm.bias", bout_norm, DIM_EMBD, HP_MUST),
    {0},
};

static const struct tn top_tensors[] = {
    TN_TOP_ROW("token_types.weight", token_type, DIM_EMBD, HP_MAY), /* all text is of type 0 */
    TN_TOP_VEC("token_embd_norm.weight", embd_norm, DIM_EMBD, HP_MUST),
    TN_TOP_VEC("token_embd_norm.bias", bembd_norm, DIM_EMBD, HP_MUST),
    {0},
};

static void begin(struct fwd *f, const struct weights *w)
{
    if (w->token_type)
        op_embd_add(f, w->token_type);
    op_embd_norm(f, w->embd_norm, w->bembd_norm);
}

static void block(struct fwd *f, const struct layer *w, int il)
{
    struct in h = op_hidden(f);
    struct qkv t = op_qkv(f, &h, w);
    op_rope(&t, ROPE_NEOX, false);
    h = op_attention(f, &t, il, 0);
    struct out y = op_mul_mat(f, &h, &w->wo, w->bo);
    op_add_layer_norm(f, &y, w->attn_out_norm, w->battn_out_norm);

    h = op_hidden(f);
    h = op_glu(f, &h, w, ACT_SILU);
    y = op_mul_mat(f, &h, &w->down, w->bdown);
    op_add_layer_norm(f, &y, w->out_norm, w->bout_norm);
}

const struct family fam_nomic_bert = {
    .arch = "nomic-bert",
    .encoder = true,
    .keys = keys,
    .layer_tensors = layer_tensors,
    .top_tensors = top_tensors,
    .begin = begin,
    .block = block,
};
