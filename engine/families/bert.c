/* engine/families/bert.c - BERT (Devlin et al. 2019) as the encoders of sentence embeddings use it
 * (MiniLM, bge, gte, e5, arctic-embed): learned positions, attention to both sides, a norm behind
 * each sum, biases everywhere.
 *
 * GELU is the one with erf, as these models were trained with. The engines that files are usually
 * run with take tanh's form: the vectors differ by 1e-8 of their squared length. */
#include "engine/ops.h"

static const struct hp_key keys[] = {
    HP_REAL("attention.layer_norm_epsilon", ln_eps, HP_MUST, 0, 1),
    {0},
};

static const struct tn layer_tensors[] = {
    TN_LAYER_MAT("attn_q.weight", wq, DIM_Q, DIM_EMBD, HP_MUST),
    TN_LAYER_MAT("attn_k.weight", wk, DIM_K, DIM_EMBD, HP_MUST),
    TN_LAYER_MAT("attn_v.weight", wv, DIM_V, DIM_EMBD, HP_MUST),
    TN_LAYER_VEC("attn_q.bias", bq, DIM_Q, HP_MAY),
    TN_LAYER_VEC("attn_k.bias", bk, DIM_K, HP_MAY),
    TN_LAYER_VEC("attn_v.bias", bv, DIM_V, HP_MAY),
    TN_LAYER_MAT("attn_output.weight", wo, DIM_EMBD, DIM_O, HP_MUST),
    TN_LAYER_VEC("attn_output.bias", bo, DIM_EMBD, HP_MAY),
    TN_LAYER_VEC("attn_output_norm.weight", attn_out_norm, DIM_EMBD, HP_MUST),
    TN_LAYER_VEC("attn_output_norm.bias", battn_out_norm, DIM_EMBD, HP_MUST),
    TN_LAYER_MAT("ffn_up.weight", up, DIM_FF, DIM_EMBD, HP_MUST),
    TN_LAYER_VEC("ffn_up.bias", bup, DIM_FF, HP_MAY),
    TN_LAYER_MAT("ffn_down.weight", down, DIM_EMBD, DIM_FF, HP_MUST),
    TN_LAYER_VEC("ffn_down.bias", bdown, DIM_EMBD, HP_MAY),
    TN_LAYER_VEC("layer_output_norm.weight", out_norm, DIM_EMBD, HP_MUST),
    TN_LAYER_VEC("layer_output_norm.bias", bout_norm, DIM_EMBD, HP_MUST),
    {0},
};

static const struct tn top_tensors[] = {
    TN_TOP_MAT("position_embd.weight", pos_embd, DIM_CTX, DIM_EMBD, HP_MUST),
    TN_TOP_ROW("token_types.weight", token_type, DIM_EMBD, HP_MAY), /* all text is of type 0 */
    TN_TOP_VEC("token_embd_norm.weight", embd_norm, DIM_EMBD, HP_MUST),
    TN_TOP_VEC("token_embd_norm.bias", bembd_norm, DIM_EMBD, HP_MUST),
    {0},
};

static void defaults(struct hparams *hp)
{
    hp->n_rot = 0; /* nothing turns */
}

static void begin(struct fwd *f, const struct weights *w)
{
    if (w->token_type)
        op_embd_add(f, w->token_type);
    op_embd_add_positions(f, &w->pos_embd);
    op_embd_norm(f, w->embd_norm, w->bembd_norm);
}

static void block(struct fwd *f, const struct layer *w, int il)
{
    struct in h = op_hidden(f);
    struct qkv t = op_qkv(f, &h, w);
    h = op_attention(f, &t, il, 0);
    struct out y = op_mul_mat(f, &h, &w->wo, w->bo);
    op_add_layer_norm(f, &y, w->attn_out_norm, w->battn_out_norm);

    h = op_hidden(f);
    h = op_up(f, &h, w, ACT_GELU_ERF);
    y = op_mul_mat(f, &h, &w->down, w->bdown);
    op_add_layer_norm(f, &y, w->out_norm, w->bout_norm);
}

const struct family fam_bert = {
    .arch = "bert",
    .encoder = true,
    .keys = keys,
    .layer_tensors = layer_tensors,
    .top_tensors = top_tensors,
    .defaults = defaults,
    .begin = begin,
    .block = block,
};
