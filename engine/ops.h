/* engine/ops.h - the operators that a family's block is written in. Private to engine/.
 *
 * A step runs a batch of rows (tokens of any sequences) through all blocks. Every thread of the
 * crew runs the same code (block after block, operator after operator) on its own struct fwd;
 * operators split the work and keep the threads together. Buffers are handed out from the step's
 * memory in the same order on every thread, so equal calls give equal addresses.
 *
 * Matrices of activations are [rows of the batch][width], fastest last. Two ways to treat rows:
 * with few rows (f->private_rows) every thread keeps the hidden state for itself and repeats the
 * cheap row work, which costs less than waiting for each other; with many rows each thread does
 * the row work of its own rows, f->r0 to f->r1. The bits are the same. */
#ifndef CHASKI_OPS_H
#define CHASKI_OPS_H

#include <stdatomic.h>
#include "engine/families/families.h"

struct model;
struct step;
struct trace_thread;

struct shared { /* what the threads of a step have in common */
    atomic_bool useless; /* nobody wants the step any more: what is left of a block need not be computed */
    bool stopped;        /* the same, for all threads at once: written between barriers */
};

struct fwd { /* one thread's view of a step */
    struct model *m;
    const struct step *s;
    struct shared *shared;
    const struct kernels *k;
    const struct hparams *hp;
    int ith, n_th;
    struct trace_thread *trace; /* NULL: not traced */
    int32_t layer;        /* the block's number, or -1 */
    int n;                /* rows */
    bool private_rows;
    int r0, r1;           /* the rows whose row work is this thread's */
    float *x;             /* hidden state [n][n_embd]: private or shared, see above */
    const float *cs, *cs_local; /* (cos, sin) of the rows' positions: [n][n_rot/2][2] */
    /* Memory: shared buffers come from two regions in turn (attention, feed-forward), so that a
     * thread that is ahead never writes where another still reads; private ones from `own`. */
    uint8_t *region[2];
    int which;
    size_t mem_used, own_used, own_mark;
    uint8_t *own;
    void *mm_scratch;
};

struct in { /* rows ready to be multiplied: f32, and A32 where the model has quantized matrices */
    struct acts a;
};
struct out { /* a product, shared by all threads; valid after the operator returns */
    float *p; /* [n][width] */
    int width;
};
struct qkv { /* queries, keys, values of a block, and what is to be done with them on the way */
    struct out q, k, v;
    const float *bq, *bk, *bv;
    const float *q_norm, *k_norm;
    enum rope_kind rope;
    bool local; /* the sliding layers' rope */
};
enum act_fn { ACT_SILU, ACT_GELU, ACT_GELU_ERF };

/* The embedding, before the first block: x += the same row everywhere; x += the row of each position;
 * x = layer norm of x. */
void op_embd_add(struct fwd *f, const float *row);
void op_embd_add_positions(struct fwd *f, const struct mat *rows);
void op_embd_norm(struct fwd *f, const float *w, const float *b);

/* norm(x) * w, ready for the matrices that follow. */
struct in op_rms_norm(struct fwd *f, const float *w);
struct in op_hidden(struct fwd *f); /* x as it is, ready for the matrices that follow */
/* q, k, v = W h (+ b); one pass over the three matrices. */
struct qkv op_qkv(struct fwd *f, const struct in *h, const struct layer *w);
void op_head_norm(struct qkv *t, const float *q_norm, const float *k_norm); /* each head, before rope */
void op_rope(struct qkv *t, enum rope_kind kind, bool local);
/* Store k, v in the cache; softmax(q k scale) v over what each row sees (window: 0 = all; in an
 * encoder the whole text). */
struct in op_attention(struct fwd *f, struct qkv *t, int il, int32_t window);
struct out op_mul_mat(struct fwd *f, const struct in *h, const struct mat *w, const float *bias);
/* act(gate h) * (up h) */
struct in op_glu(struct fwd *f, const struct in *h, const struct layer *w, enum act_fn act);
/* act(up h + bup) */
struct in op_up(struct fwd *f, const struct in *h, const struct layer *w, enum act_fn act);
/* The experts' feed-forward: y = sum over the n_expert_used experts e with the largest softmax of
 * router h of p_e * down_e (act(gate_e h) * (up_e h)); p scaled to the sum 1 when `norm`. */
struct out op_experts(struct fwd *f, const struct in *h, const struct layer *w, enum act_fn act,
                      bool norm);
void op_add(struct fwd *f, const struct out *y); /* x += y */
void op_add_normed(struct fwd *f, const struct out *y, const float *w); /* x += norm(y) * w */
/* x = layer norm of x + y */
void op_add_layer_norm(struct fwd *f, const struct out *y, const float *w, const float *b);

/* ---- for engine/model/step.c ------------------------------------------------------------------ */

enum { PRIVATE_ROWS = 4 }; /* up to here every thread keeps the hidden state for itself */

/* Bytes of a region, and of a thread's own memory, for n rows of which `longest` is the longest
 * sequence's length. */
size_t ops_region_bytes(const struct model *m, int n, int64_t longest, int which);
size_t ops_own_bytes(const struct model *m, int n, int64_t longest);
void ops_begin(struct fwd *f); /* x = embeddings, rope tables */
/* logits of n_rows rows (indices into the batch, ascending) into out [n_rows][n_vocab] */
void ops_logits(struct fwd *f, const int *rows, int n_rows, float *out);
/* the final hidden state, behind the last norm, of n_rows rows into out [n_rows][n_embd] */
void ops_hidden(struct fwd *f, const int *rows, int n_rows, float *out);

#endif
