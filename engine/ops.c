/* engine/ops.c - the operators of engine/ops.h, on all threads of the crew.
 *
 * A block of a llama costs six barriers: after q k v, after rope and store, after attention, after
 * Wo, after gate and up, after Wdown. With few rows the work between them (norms, quantizing,
 * gates, residuals) is repeated by each thread on its own copy; with many rows it is split by
 * rows, and the inputs of matrices cost one barrier more. Work inside an operator goes by an
 * atomic counter: a thread that is held up costs a piece, not half a matrix. Pieces are rows or
 * heads, never parts of a sum, so nothing of this shows in the bits. */
#include "engine/ops_inside.h"

#include <math.h>
#include <string.h>

void *take_shared(struct fwd *f, size_t bytes)
{
    void *p = f->region[f->which] + f->mem_used;
    f->mem_used += ops_round(bytes);
    return p;
}

void *take_own(struct fwd *f, size_t bytes)
{
    void *p = f->own + f->own_used;
    f->own_used += ops_round(bytes);
    return p;
}

/* The other region from here on; private buffers of the phase are dead as well. */
static void next_phase(struct fwd *f)
{
    f->which ^= 1;
    f->mem_used = 0;
    f->own_used = f->own_mark;
}

/* ---- inputs of matrices ----------------------------------------------------------------- */

/* A buffer for this phase's rows: private or shared as the rows are. */
float *take_rows(struct fwd *f, size_t width)
{
    const size_t bytes = (size_t)f->n * width * sizeof(float);
    return f->private_rows ? take_own(f, bytes) : take_shared(f, bytes);
}

/* Rows x (this thread's are complete) become an input: quantize ours, and wait for the others'. */
struct in make_in(struct fwd *f, const float *x, int width)
{
    struct in h = {.a = {.n = f->n, .k = width, .x = x, .ldx = (size_t)width}};
    if (f->m->any_quantized && width % 32 == 0) {
        const size_t bytes = f->k->acts_bytes(f->n, width);
        h.a.a32 = f->private_rows ? take_own(f, bytes) : take_shared(f, bytes);
        if (f->r0 < f->r1)
            f->k->quantize(&h.a, f->r0, f->r1);
    }
    if (!f->private_rows)
        wait_all(f);
    return h;
}

struct in op_rms_norm(struct fwd *f, const float *w)
{
    mark(f, "rms_norm");
    const int width = f->hp->n_embd;
    float *y = take_rows(f, (size_t)width);
    for (int r = f->r0; r < f->r1; r++)
        f->k->rms_norm(y + (size_t)r * width, f->x + (size_t)r * width, w, width, f->hp->rms_eps);
    return make_in(f, y, width);
}

struct in op_hidden(struct fwd *f)
{
    mark(f, "quantize");
    return make_in(f, f->x, f->hp->n_embd);
}

/* ---- products --------------------------------------------------------------------------------- */

/* How row groups are cut into pieces: at most `most`, large enough to hide the counter and small
 * enough that a late thread is not waited for; towards the end a part of what is left, so that all
 * threads end together. (With pieces of one size 36 groups are 9 pieces, and one of two threads has
 * five of them: that was most of the 6 to 7 % that SmolLM2 lost in waiting.) */
struct pieces {
    int32_t most, least;
    int shift; /* a piece is 1 / 2^shift of what is left, half a thread's part */
};
enum { PIECE_BYTES = 64 * 1024 /* of weights, for few columns */, PIECE_GROUPS = 8, PIECES_A_THREAD = 4 };

static int32_t piece_of(const struct pieces *p, int32_t left)
{
    int32_t n = left >> p->shift;
    n = n > p->most ? p->most : n < p->least ? p->least : n;
    return n < left ? n : left;
}

/* Groups g0 to g1 of one product: the sums, then its factor, then its bias. */
static void one_piece(struct fwd *f, const struct product *p, int32_t g0, int32_t g1)
{
    const int32_t r0 = g0 * MAT_ROWS;
    const int32_t r1 = g1 * MAT_ROWS < p->w->n_rows ? g1 * MAT_ROWS : p->w->n_rows;
    f->k->mul_mat[p->w->type](p->w, p->a, p->y, p->ldy, false, g0, g1, f->mm_scratch);
    for (int c = 0; p->w->scale && c < p->a->n; c++)
        f->k->scale(p->y + (size_t)c * p->ldy + r0, *p->w->scale, r1 - r0);
    for (int c = 0; p->bias && c < p->a->n; c++)
        f->k->add(p->y + (size_t)c * p->ldy + r0, p->bias + r0, r1 - r0);
}

/* The pieces of what lies on one memory node (packing.c: each matrix in equal shares by thread); all of
 * it on most machines. */
static void node_pieces(struct fwd *f, const struct product *p, int n_p, const struct pieces *cut,
                        int node)
{
    struct crew *c = f->m->crew;
    int32_t total = 0;
    for (int i = 0; i < n_p; i++)
        total += (int32_t)(crew_node_share(c, mat_groups(p[i].w), node + 1) -
                           crew_node_share(c, mat_groups(p[i].w), node));
    int32_t at = 0, n = 0; /* piece number `i` */
    for (int i = -1;;) {
        for (const int want = crew_next_at(c, node); i < want; i++) {
            at += n;
            if (at >= total)
                return;
            n = piece_of(cut, total - at);
        }
        int32_t g = at, left = is_useless(f) ? 0 : n;
        for (int k = 0; left > 0; k++) {
            const int32_t all = mat_groups(p[k].w);
            const int32_t first = (int32_t)crew_node_share(c, all, node);
            const int32_t groups = (int32_t)crew_node_share(c, all, node + 1) - first;
            if (g >= groups) {
                g -= groups;
                continue;
            }
            const int32_t now = groups - g < left ? groups - g : left;
            one_piece(f, &p[k], first + g, first + g + now);
            left -= now;
            g = 0;
        }
    }
}

void mul_mats(struct fwd *f, const struct product *p, int n_p)
{
    int32_t total = 0;
    size_t bytes = 0;
    int cols = 0; /* of the widest product */
    for (int i = 0; i < n_p; i++) {
        cols = p[i].a->n > cols ? p[i].a->n : cols;
        total += mat_groups(p[i].w);
        bytes += (size_t)mat_groups(p[i].w) * p[i].w->group_bytes;
    }
    struct pieces cut = {.most = cols > PRIVATE_ROWS
                                     ? PIECE_GROUPS
                                     : (int32_t)((PIECE_BYTES * (size_t)total + bytes - 1) / bytes)};
    if (cut.most > total / (f->n_th * PIECES_A_THREAD))
        cut.most = total / (f->n_th * PIECES_A_THREAD);
    if (f->n_th == 1 && cols <= PRIVATE_ROWS)
        cut.most = total;
    if (cut.most < 1)
        cut.most = 1;
    cut.least = total / (f->n_th * 64);
    cut.least = cut.least < 1 ? 1 : cut.least > cut.most ? cut.most : cut.least;
    while (f->n_th > 1 && 1 << cut.shift < 2 * f->n_th)
        cut.shift++;
    const int nodes = crew_nodes(f->m->crew), mine = crew_node(f->m->crew, f->ith);
    for (int k = 0; k < nodes; k++)
        node_pieces(f, p, n_p, &cut, (mine + k) % nodes);
    wait_all(f);
}

static struct out take_out(struct fwd *f, const struct mat *w)
{
    return (struct out){take_shared(f, (size_t)f->n * (size_t)w->n_rows * sizeof(float)),
                        w->n_rows};
}

static const char *mat_name(const struct fwd *f, const struct mat *w)
{
    const struct layer *l = f->layer >= 0 ? &f->m->w.layers[f->layer] : NULL;
    return l && w == &l->wo ? "wo" : l && w == &l->down ? "down" : l && w == &l->router ? "router" : "mul_mat";
}

struct out op_mul_mat(struct fwd *f, const struct in *h, const struct mat *w, const float *bias)
{
    mark(f, f->trace ? mat_name(f, w) : NULL);
    struct out y = take_out(f, w);
    const struct product p = {&h->a, w, bias, y.p, (size_t)y.width};
    mul_mats(f, &p, 1);
    return y;
}

struct qkv op_qkv(struct fwd *f, const struct in *h, const struct layer *w)
{
    mark(f, "qkv");
    struct qkv t = {.q = take_out(f, &w->wq), .k = take_out(f, &w->wk), .v = take_out(f, &w->wv)};
    const struct product p[3] = {{&h->a, &w->wq, w->bq, t.q.p, (size_t)t.q.width},
                                 {&h->a, &w->wk, w->bk, t.k.p, (size_t)t.k.width},
                                 {&h->a, &w->wv, w->bv, t.v.p, (size_t)t.v.width}};
    mul_mats(f, p, 3);
    return t;
}

struct in op_glu(struct fwd *f, const struct in *h, const struct layer *w, enum act_fn act)
{
    mark(f, "gate_up");
    const int width = f->hp->n_ff;
    struct out g = take_out(f, &w->gate), u = take_out(f, &w->up);
    const struct product p[2] = {{&h->a, &w->gate, w->bgate, g.p, (size_t)width},
                                 {&h->a, &w->up, w->bup, u.p, (size_t)width}};
    mul_mats(f, p, 2);
    mark(f, act == ACT_SILU ? "silu_mul" : "gelu_mul");
    float *y = f->private_rows ? take_own(f, (size_t)f->n * (size_t)width * sizeof(float)) : g.p;
    for (int r = f->r0; r < f->r1; r++) {
        const size_t at = (size_t)r * (size_t)width;
        if (act == ACT_SILU)
            f->k->silu_mul(y + at, g.p + at, u.p + at, width);
        else
            f->k->gelu_mul(y + at, g.p + at, u.p + at, width);
    }
    return make_in(f, y, width);
}

struct in op_up(struct fwd *f, const struct in *h, const struct layer *w, enum act_fn act)
{
    mark(f, "up");
    const int width = f->hp->n_ff;
    struct out u = take_out(f, &w->up);
    const struct product p = {&h->a, &w->up, w->bup, u.p, (size_t)width};
    mul_mats(f, &p, 1);
    mark(f, "gelu");
    float *y = f->private_rows ? take_own(f, (size_t)f->n * (size_t)width * sizeof(float)) : u.p;
    for (int r = f->r0; r < f->r1; r++) {
        const size_t at = (size_t)r * (size_t)width;
        if (act == ACT_GELU_ERF)
            f->k->gelu_erf(y + at, u.p + at, width);
    }
    return make_in(f, y, width);
}

/* ---- residuals ------------------------------------------------------------------------------------ */

void op_add(struct fwd *f, const struct out *y)
{
    mark(f, "add");
    for (int r = f->r0; r < f->r1; r++)
        f->k->add(f->x + (size_t)r * y->width, y->p + (size_t)r * y->width, y->width);
    next_phase(f);
}

void op_add_normed(struct fwd *f, const struct out *y, const float *w)
{
    mark(f, "add_normed");
    const int width = y->width;
    float *t = take_own(f, (size_t)width * sizeof(float));
    for (int r = f->r0; r < f->r1; r++) {
        f->k->rms_norm(t, y->p + (size_t)r * width, w, width, f->hp->rms_eps);
        f->k->add(f->x + (size_t)r * width, t, width);
    }
    next_phase(f);
}

void op_add_layer_norm(struct fwd *f, const struct out *y, const float *w, const float *b)
{
    mark(f, "add_norm");
    const int width = y->width;
    for (int r = f->r0; r < f->r1; r++) {
        float *x = f->x + (size_t)r * width;
        f->k->add(x, y->p + (size_t)r * width, width);
        f->k->layer_norm(x, x, w, b, width, f->hp->ln_eps);
    }
    next_phase(f);
}

/* ---- begin and end of a step ----------------------------------------------------------------------------- */

static const struct run *run_of(const struct fwd *f, int row)
{
    const struct run *run = f->s->runs;
    while (row >= run->row0 + run->n)
        run++;
    return run;
}

void op_embd_add(struct fwd *f, const float *row)
{
    for (int r = f->r0; r < f->r1; r++)
        f->k->add(f->x + (size_t)r * f->hp->n_embd, row, f->hp->n_embd);
}

void op_embd_add_positions(struct fwd *f, const struct mat *rows)
{
    const size_t before = f->own_used;
    float *row = take_own(f, (size_t)f->hp->n_embd * sizeof *row);
    for (int r = f->r0; r < f->r1; r++) {
        const struct run *run = run_of(f, r);
        mat_row(rows, (int32_t)(run->pos0 + r - run->row0), row);
        f->k->add(f->x + (size_t)r * f->hp->n_embd, row, f->hp->n_embd);
    }
    f->own_used = before;
}

void op_embd_norm(struct fwd *f, const float *w, const float *b)
{
    const int width = f->hp->n_embd;
    for (int r = f->r0; r < f->r1; r++) {
        float *x = f->x + (size_t)r * width;
        f->k->layer_norm(x, x, w, b, width, f->hp->ln_eps);
    }
}

void ops_begin(struct fwd *f)
{
    mark(f, "embed");
    const struct hparams *hp = f->hp;
    const bool local = hp->window > 0;
    const size_t n = (size_t)f->n;
    /* x and the tables live as long as the step: they come first, in region 0 or our own memory. */
    f->x = take_rows(f, (size_t)hp->n_embd);
    float *cs = take_rows(f, (size_t)hp->n_rot), *cs_local = cs;
    if (local)
        cs_local = take_rows(f, (size_t)hp->n_rot);
    (void)n;
    for (int r = f->r0; r < f->r1; r++) {
        const struct run *run = run_of(f, r);
        const int i = r - run->row0;
        float *x = f->x + (size_t)r * hp->n_embd;
        mat_row(&f->m->w.tok_embd, run->tokens[i], x);
        if (hp->embd_scale != 1)
            f->k->scale(x, hp->embd_scale, hp->n_embd);
        rope_table(cs + (size_t)r * hp->n_rot, hp->n_rot, run->pos0 + i, f->m->inv_freq,
                   f->m->rope_mscale);
        if (local)
            rope_table(cs_local + (size_t)r * hp->n_rot, hp->n_rot, run->pos0 + i,
                       f->m->inv_freq_local, 1);
    }
    f->cs = cs;
    f->cs_local = cs_local;
    if (f->m->fam->begin)
        f->m->fam->begin(f, &f->m->w);
    f->own_mark = f->own_used;
    f->region[0] += f->mem_used; /* the phases start behind */
    f->mem_used = 0;
}

void ops_logits(struct fwd *f, const int *rows, int n_rows, float *out)
{
    mark(f, "out_norm");
    const struct hparams *hp = f->hp;
    const int width = hp->n_embd, n_vocab = hp->n_vocab;
    if (!f->private_rows)
        wait_all(f); /* the last rows of other threads are complete */
    struct fwd g = *f;
    g.n = n_rows;
    g.private_rows = n_rows <= PRIVATE_ROWS;
    const int cols = f->k->act_cols, blocks = (n_rows + cols - 1) / cols;
    g.r0 = g.private_rows ? 0 : blocks * f->ith / f->n_th * cols;
    g.r1 = g.private_rows ? n_rows : blocks * (f->ith + 1) / f->n_th * cols;
    g.r1 = g.r1 > n_rows ? n_rows : g.r1;
    float *y = take_rows(&g, (size_t)width);
    for (int r = g.r0; r < g.r1; r++)
        g.k->rms_norm(y + (size_t)r * width, f->x + (size_t)rows[r] * width, f->m->w.output_norm,
                      width, hp->rms_eps);
    struct in h = make_in(&g, y, width);
    const struct product p = {&h.a, &f->m->w.output, f->m->w.output_bias, out, (size_t)n_vocab};
    mark(f, "head");
    mul_mats(&g, &p, 1);
    if (hp->logit_softcap > 0) {
        for (int i; (i = crew_next(f->m->crew)) < n_rows;)
            f->k->softcap(out + (size_t)i * n_vocab, hp->logit_softcap, n_vocab);
        wait_all(f);
    }
}

void ops_hidden(struct fwd *f, const int *rows, int n_rows, float *out)
{
    mark(f, "hidden");
    const size_t width = (size_t)f->hp->n_embd;
    for (int i = 0; i < n_rows; i++) {
        const int r = rows[i];
        const bool mine = f->private_rows ? i % f->n_th == f->ith : r >= f->r0 && r < f->r1;
        if (!mine)
            continue;
        const float *x = f->x + (size_t)r * width;
        if (f->m->fam->encoder) /* the last block ends with a norm */
            memcpy(out + (size_t)i * width, x, width * sizeof *x);
        else
            f->k->rms_norm(out + (size_t)i * width, x, f->m->w.output_norm, (int)width,
                           f->hp->rms_eps);
    }
}

/* ---- how much memory a step takes ---------------------------------------------------------------------------- */

static size_t rows_bytes(const struct model *m, int n, int64_t width, bool acts)
{
    return ops_round((size_t)n * (size_t)width * sizeof(float)) +
           (acts && m->any_quantized ? ops_round(m->k->acts_bytes(n, (int)width)) : 0);
}

size_t ops_region_bytes(const struct model *m, int n, int64_t longest, int which)
{
    const struct hparams *hp = &m->hp;
    const int64_t embd = hp->n_embd, o = (int64_t)hp->n_head * hp->d_v;
    size_t b = rows_bytes(m, n, embd, true) + rows_bytes(m, n, embd, false); /* norm, product */
    size_t attn = rows_bytes(m, n, (int64_t)hp->n_head * hp->d_k, false) +
                  rows_bytes(m, n, (int64_t)hp->n_head_kv * hp->d_k, false) +
                  rows_bytes(m, n, (int64_t)hp->n_head_kv * hp->d_v, false) + rows_bytes(m, n, o, true);
    size_t ffn = 2 * rows_bytes(m, n, hp->n_ff, true);
    if (hp->n_expert)
        ffn = experts_region_bytes(m, n);
    /* A family may use the regions in any order: each must hold either phase. Only what is touched
     * costs memory. */
    b += attn > ffn ? attn : ffn;
    if (!which) /* x and the rope tables */
        b += rows_bytes(m, n, embd, false) + 2 * rows_bytes(m, n, hp->n_rot, false);
    return b + attention_region_bytes(m, n, longest) + (64 << 10);
}

size_t ops_own_bytes(const struct model *m, int n, int64_t longest)
{
    const struct hparams *hp = &m->hp;
    const int few = n < PRIVATE_ROWS ? n : PRIVATE_ROWS;
    size_t b = 3 * rows_bytes(m, few, hp->n_embd, true) + 2 * rows_bytes(m, few, hp->n_rot, false) +
               rows_bytes(m, few, (int64_t)hp->n_head * hp->d_v, true) +
               rows_bytes(m, few, hp->n_ff, true) + rows_bytes(m, 1, hp->n_embd, false) +
               experts_own_bytes(m, n);
    return b + attention_own_bytes(m, longest) + (64 << 10);
}
