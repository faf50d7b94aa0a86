/* engine/families/gemma3.c - Gemma 3 (Gemma Team 2025): five sliding-window layers to one full
 * layer, each kind with its own rotary base; norms on every head's query and key, and after
 * attention and feed-forward; embeddings times sqrt(width); GELU gates. The "1 +" of Gemma's
 * norm weights is folded into the stored weights.
 *
 * Files carry the window but neither the pattern of layers nor the local base: those are the
 * paper's, here as defaults. */
#include <math.h>
#include "engine/ops.h"

static const struct hp_key keys[] = {
    HP_INT("attention.sliding_window", window, HP_MAY, 0, 1 << 30),
    HP_INT("attention.sliding_window_pattern", window_period, HP_MAY, 0, 512),
    HP_DOUBLE("rope.freq_base_swa", rope_base_local, HP_MAY, 1, 1e12),
    HP_REAL("final_logit_softcapping", logit_softcap, HP_MAY, 0, 1e6),
    {0},
};

static const struct tn layer_tensors[] = {
    TN_LAYER_VEC("attn_norm.weight", attn_norm, DIM_EMBD, HP_MUST),
    TN_LAYER_MAT("attn_q.weight", wq, DIM_Q, DIM_EMBD, HP_MUST),
    TN_LAYER_MAT("attn_k.weight", wk, DIM_K, DIM_EMBD, HP_MUST),
    TN_LAYER_MAT("attn_v.weight", wv, DIM_V, DIM_EMBD, HP_MUST),
    TN_LAYER_VEC("attn_q_norm.weight", q_norm, DIM_DK, HP_MUST),
    TN_LAYER_VEC("attn_k_norm.weight", k_norm, DIM_DK, HP_MUST),
    TN_LAYER_MAT("attn_output.weight", wo, DIM_EMBD, DIM_O, HP_MUST),
    TN_LAYER_VEC("post_attention_norm.weight", attn_post_norm, DIM_EMBD, HP_MUST),
    TN_LAYER_VEC("ffn_norm.weight", ffn_norm, DIM_EMBD, HP_MUST),
    TN_LAYER_MAT("ffn_gate.weight", gate, DIM_FF, DIM_EMBD, HP_MUST),
    TN_LAYER_MAT("ffn_up.weight", up, DIM_FF, DIM_EMBD, HP_MUST),
    TN_LAYER_MAT("ffn_down.weight", down, DIM_EMBD, DIM_FF, HP_MUST),
    TN_LAYER_VEC("post_ffw_norm.weight", ffn_post_norm, DIM_EMBD, HP_MUST),
    {0},
};

static const struct tn top_tensors[] = {{0}};

static void defaults(struct hparams *hp)
{
    hp->window_period = 6;
    hp->rope_base_local = 10000;
}

static void derive(struct hparams *hp)
{
    hp->embd_scale = sqrtf((float)hp->n_embd);
    if (hp->n_layer == 62) /* the 27B model scales by its query width, the others by d_k */
        hp->attn_scale = 1.0f / sqrtf((float)(hp->n_embd / hp->n_head));
}

static void block(struct fwd *f, const struct layer *w, int il)
{
    const struct hparams *hp = f->hp;
    const bool slides = hp->window && hp->window_period &&
                        il % hp->window_period < hp->window_period - 1;

    struct in h = op_rms_norm(f, w->attn_norm);
    struct qkv t = op_qkv(f, &h, w);
    op_head_norm(&t, w->q_norm, w->k_norm);
    op_rope(&t, ROPE_NEOX, slides);
    h = op_attention(f, &t, il, slides ? hp->window : 0);
    struct out y = op_mul_mat(f, &h, &w->wo, NULL);
    op_add_normed(f, &y, w->attn_post_norm);

    h = op_rms_norm(f, w->ffn_norm);
    h = op_glu(f, &h, w, ACT_GELU);
    y = op_mul_mat(f, &h, &w->down, NULL);
    op_add_normed(f, &y, w->ffn_post_norm);
}

const struct family fam_gemma3 = {
    .arch = "gemma3",
    .keys = keys,
    .layer_tensors = layer_tensors,
    .top_tensors = top_tensors,
    .defaults = defaults,
    .derive = derive,
    .block = block,
};
