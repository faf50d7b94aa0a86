/* engine/families/families.h - what a model family is: keys, tensors, a block. Private to engine/.
 *
 * One file a family, which reads like its paper. The loader (engine/model/load.c) checks every
 * key's type and range and every tensor's shape from these tables, so a family needs no checks
 * of its own. Facts: the GGUF files' keys, as other engines read them. */
#ifndef CHASKI_FAMILIES_H
#define CHASKI_FAMILIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernels/kernels.h"

enum rope_scaling { SCALING_NONE, SCALING_LINEAR, SCALING_YARN, SCALING_LONGROPE };

/* How the rows of a text become one vector, by the numbers that files use. */
enum pooling { POOL_NONE, POOL_MEAN, POOL_CLS, POOL_LAST, POOL_RANK };

struct hparams {
    char arch[64];
    int32_t n_layer, n_embd, n_head, n_head_kv, n_ff, n_vocab, n_ctx; /* n_ctx: as trained */
    int32_t d_k, d_v;     /* values of a head's key and value */
    int32_t n_rot;        /* values of a head that turn */
    int32_t n_expert;     /* 0: dense */
    int32_t n_expert_used; /* a token */
    int32_t n_ff_exp;     /* feed-forward length of an expert; n_ff until derived */
    int32_t window;       /* sliding window in positions, 0 = none */
    int32_t window_period; /* layer il slides if il % period < period - 1; 0 = none slides */
    float rms_eps, ln_eps;
    int32_t pooling;      /* enum pooling, or -1: the file does not say */
    float attn_scale;     /* score = q.k * attn_scale; 0 until derived: 1/sqrt(d_k) */
    float logit_softcap;  /* 0 = none */
    float embd_scale;     /* 1 = none */
    double rope_base, rope_base_local; /* local: in sliding layers */
    enum rope_scaling rope_scaling;
    double rope_factor, rope_orig_ctx, rope_attn_factor, yarn_beta_fast, yarn_beta_slow;
};

/* ---- keys ----------------------------------------------------------------------- */

enum hp_kind { HP_I32, HP_F32, HP_F64 };
struct hp_key {
    const char *key; /* after "ARCH."; NULL ends a table */
    enum hp_kind kind;
    bool must;
    size_t offset;   /* of the field in struct hparams */
    double lo, hi;   /* allowed range, both ends in */
};
#define HP_MUST true
#define HP_MAY false
#define HP_INT(key, field, need, lo, hi)                                                           \
    {key, HP_I32, need, offsetof(struct hparams, field), lo, hi}
#define HP_REAL(key, field, need, lo, hi)                                                          \
    {key, HP_F32, need, offsetof(struct hparams, field), lo, hi}
#define HP_DOUBLE(key, field, need, lo, hi)                                                        \
    {key, HP_F64, need, offsetof(struct hparams, field), lo, hi}

/* ---- tensors ---------------------------------------------------------------------- */

enum dim { DIM_1, DIM_EMBD, DIM_Q, DIM_K, DIM_V, DIM_O, DIM_FF, DIM_DK, DIM_VOCAB, DIM_ROT2,
           DIM_EXPERTS, DIM_FF_EXP, DIM_CTX };
/*              n_embd   n_head*d_k  n_head_kv*d_k / d_v  n_head*d_v      d_k       n_rot/2  */

struct layer { /* what a block may have; absent: data NULL */
    struct mat wq, wk, wv, wo, gate, up, down;
    struct mat router;                        /* [n_expert][n_embd] */
    struct mat gate_exps, up_exps, down_exps; /* of one expert; `data` holds n_expert of them */
    float *bq, *bk, *bv, *bo, *bgate, *bup, *bdown;
    float *attn_norm, *ffn_norm, *attn_post_norm, *ffn_post_norm, *q_norm, *k_norm;
    float *attn_out_norm, *battn_out_norm, *out_norm, *bout_norm; /* of encoders: weights, biases */
};
struct weights {
    struct mat tok_embd, output; /* output shares tok_embd's data when tied */
    float *output_norm, *output_bias, *rope_freqs;
    struct mat pos_embd;         /* [n_ctx][n_embd]: learned positions */
    float *token_type, *embd_norm, *bembd_norm;
    struct layer *layers;        /* n_layer */
};

enum tn_kind {
    TN_MAT,
    TN_VEC,
    TN_EXPERTS, /* a matrix an expert, one after the other */
    TN_ROW,     /* the first row of a matrix of any number of rows, as a vector */
};
/* Whether a tensor must be there: HP_MAY, HP_MUST, or by what the model is. */
enum tn_need { TN_MAY, TN_MUST, TN_DENSE /* must, without experts */, TN_MOE /* must, with them */ };
struct tn {
    const char *name; /* layer tensors: after "blk.N."; NULL ends a table */
    enum tn_kind kind;
    enum tn_need must;
    size_t offset;    /* in struct layer, or in struct weights */
    enum dim rows, cols; /* a vector has `cols` values and rows = DIM_1 */
};
#define TN_LAYER_MAT(name, field, rows, cols, need)                                                \
    {name, TN_MAT, need, offsetof(struct layer, field), rows, cols}
#define TN_LAYER_EXPERTS(name, field, rows, cols)                                                  \
    {name, TN_EXPERTS, TN_MOE, offsetof(struct layer, field), rows, cols}
#define TN_LAYER_VEC(name, field, n, need)                                                         \
    {name, TN_VEC, need, offsetof(struct layer, field), DIM_1, n}
#define TN_TOP_MAT(name, field, rows, cols, need)                                                  \
    {name, TN_MAT, need, offsetof(struct weights, field), rows, cols}
#define TN_TOP_VEC(name, field, n, need)                                                           \
    {name, TN_VEC, need, offsetof(struct weights, field), DIM_1, n}

#define TN_TOP_ROW(name, field, n, need)                                                           \
    {name, TN_ROW, need, offsetof(struct weights, field), DIM_1, n}

/* The matrix of expert e. */
struct mat expert_mat(const struct mat *experts, int32_t e);

/* ---- a family ------------------------------------------------------------------------ */

struct fwd; /* one thread's view of a step (engine/ops.h) */

struct family {
    const char *arch;
    enum { DENSE, DENSE_OR_EXPERTS, EXPERTS } kind; /* what expert_count may say */
    /* Every row sees its whole text, which must be in one step; no cache stays, no logits come:
     * texts become vectors. Norms are the family's own affair. */
    bool encoder;
    const struct hp_key *keys;      /* beyond the common ones */
    const struct tn *layer_tensors; /* beyond nothing: all of a block */
    const struct tn *top_tensors;   /* beyond token_embd; output, output_norm if no encoder */
    /* Defaults before the keys are read, and what follows from them afterwards. May be NULL. */
    void (*defaults)(struct hparams *hp);
    void (*derive)(struct hparams *hp);
    void (*begin)(struct fwd *f, const struct weights *w); /* what the embedding goes through; or NULL */
    void (*block)(struct fwd *f, const struct layer *w, int il);
};

extern const struct family fam_llama, fam_qwen2, fam_qwen3moe, fam_gemma3, fam_bert, fam_nomic_bert;
/* The family of general.architecture, or NULL. */
const struct family *family_find(const char *arch);
/* "llama, qwen2, ...": for messages. */
const char *family_names(void);

#endif
