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
static struct in make_in(struct fwd *f, const float *x, int width)
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

/* ---- products --------------------------------------------------------------------------------- */

/* Bytes of weights in a piece of work when there are few columns: large enough to hide the
 * counter, small enough that a late thread is not waited for. */
enum { PIECE_BYTES = 64 * 1024, PIECE_GROUPS = 8, PIECES_A_THREAD = 4 };

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
    int32_t piece = cols > PRIVATE_ROWS
                        ? PIECE_GROUPS
                        : (int32_t)((PIECE_BYTES * (size_t)total + bytes - 1) / bytes);
    if (piece > total / (f->n_th * PIECES_A_THREAD))
        piece = total / (f->n_th * PIECES_A_THREAD);
    if (f->n_th == 1)
        piece = total;
    if (piece < 1)
        piece = 1;
    for (;;) {
        int32_t g = piece * crew_next(f->m->crew);
        if (g >= total)
            break;
        int32_t left = g + piece < total ? piece : total - g;
        for (int i = 0; left > 0; i++) {
            const int32_t groups = mat_groups(p[i].w);
            if (g >= groups) {
                g -= groups;
                continue;
            }
            const int32_t g1 = g + left < groups ? g + left : groups;
            f->k->mul_mat[p[i].w->type](p[i].w, p[i].a, p[i].y, p[i].ldy, false, g, g1, f->mm_scratch);
            if (p[i].bias) {
                const int32_t r0 = g * MAT_ROWS;
                const int32_t r1 = g1 * MAT_ROWS < p[i].w->n_rows ? g1 * MAT_ROWS : p[i].w->n_rows;
                for (int c = 0; c < p[i].a->n; c++)
                    f->k->add(p[i].y + (size_t)c * p[i].ldy + r0, p[i].bias + r0, r1 - r0);
            }
            left -= g1 - g;
            g = 0;
        }
    }
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

/* ---- attention -------------------------------------------------------------------------------------- */

void op_head_norm(struct qkv *t, const float *q_norm, const float *k_norm)
{
    t->q_norm = q_norm;
    t->k_norm = k_norm;
}

void op_rope(struct qkv *t, enum rope_kind kind, bool local)
{
    t->rope = kind;
    t->local = local;
}

static size_t head_offset(const struct model *m, int il, int kvh)
{
    return ((size_t)il * (size_t)m->hp.n_head_kv + (size_t)kvh) *
           (m->pool.head_bytes_k + m->pool.head_bytes_v);
}

/* Rows prepared by one thread one after the other: those of a page, where the keys of a page are
 * stored relative to its first. */
static int chunk_rows(const struct fwd *f, const struct run *run, int i)
{
    const int left = run->n - i;
    const int page = f->m->kv == KV_Q8_0 ? KV_PAGE - (int)((run->pos0 + i) % KV_PAGE) : 1;
    return page < left ? page : left;
}

static int64_t n_chunks(const struct fwd *f)
{
    int64_t n = 0;
    for (int r = 0; r < f->s->n_runs; r++)
        for (int i = 0; i < f->s->runs[r].n; i += chunk_rows(f, &f->s->runs[r], i))
            n++;
    return n;
}

/* One (row, kv head): norm and turn the key and its queries, store key and value. */
static void prepare_head(struct fwd *f, const struct qkv *t, int il, const struct run *run, int i,
                         int kvh)
{
    const struct hparams *hp = f->hp;
    const int group = hp->n_head / hp->n_head_kv, row = run->row0 + i;
    float *q = t->q.p + (size_t)row * t->q.width + (size_t)kvh * group * hp->d_k;
    float *k = t->k.p + (size_t)row * t->k.width + (size_t)kvh * hp->d_k;
    const float *v = t->v.p + (size_t)row * t->v.width + (size_t)kvh * hp->d_v;
    if (t->q_norm) {
        for (int j = 0; j < group; j++)
            f->k->rms_norm(q + (size_t)j * hp->d_k, q + (size_t)j * hp->d_k, t->q_norm, hp->d_k,
                           hp->rms_eps);
        f->k->rms_norm(k, k, t->k_norm, hp->d_k, hp->rms_eps);
    }
    if (t->rope != ROPE_NONE && hp->n_rot) {
        const float *cs = (t->local ? f->cs_local : f->cs) + (size_t)row * hp->n_rot;
        f->k->rope(q, group, (size_t)hp->d_k, hp->n_rot, cs, t->rope);
        f->k->rope(k, 1, (size_t)hp->d_k, hp->n_rot, cs, t->rope);
    }
    const int64_t pos = run->pos0 + i;
    uint8_t *at = run->pages[pos / KV_PAGE] + head_offset(f->m, il, kvh);
    f->k->kv_store(f->m->kv, at, at + f->m->pool.head_bytes_k, (int)(pos % KV_PAGE), k, hp->d_k, v,
                   hp->d_v);
}

/* A tile of attention: `rows` rows of a run from row i on, heads h0..h0+n_heads-1 of one group. */
struct tile {
    const struct run *run;
    int i, rows, kvh, h0, n_heads;
};

static void spans_seen(const struct tile *t, int32_t window, int32_t *s0, int32_t *s1)
{
    const int64_t first = t->run->pos0 + t->i, last = first + t->rows - 1;
    const int64_t from = window && first - window + 1 > 0 ? first - window + 1 : 0;
    *s0 = (int32_t)(from / ATTEND_SPAN);
    *s1 = (int32_t)(last / ATTEND_SPAN) + 1;
}

struct tile_args {
    struct attend a;
    const float *q[ATTEND_MAX_Q];
    int32_t pos[ATTEND_MAX_Q];
};

static void tile_setup(struct fwd *f, const struct qkv *qkv, int il, int32_t window,
                       const struct tile *t, struct tile_args *x)
{
    const struct hparams *hp = f->hp;
    const int group = hp->n_head / hp->n_head_kv;
    int n = 0;
    for (int r = 0; r < t->rows; r++)
        for (int h = 0; h < t->n_heads; h++, n++) {
            x->q[n] = qkv->q.p + (size_t)(t->run->row0 + t->i + r) * qkv->q.width +
                      (size_t)(t->kvh * group + t->h0 + h) * hp->d_k;
            x->pos[n] = (int32_t)(t->run->pos0 + t->i + r);
        }
    const size_t k_off = head_offset(f->m, il, t->kvh);
    x->a = (struct attend){.kv = f->m->kv,
                           .d_k = hp->d_k,
                           .d_v = hp->d_v,
                           .n_q = n,
                           .q = x->q,
                           .pos = x->pos,
                           .window = window,
                           .scale = hp->attn_scale,
                           .pages = (const uint8_t *const *)t->run->pages,
                           .k_off = k_off,
                           .v_off = k_off + f->m->pool.head_bytes_k};
}

static void tile_merge(struct fwd *f, const struct tile *t, const float *states, int n_spans,
                       float *out)
{
    const struct hparams *hp = f->hp;
    const int group = hp->n_head / hp->n_head_kv;
    const size_t one = attend_state_floats(hp->d_v), span = (size_t)t->rows * t->n_heads * one;
    int n = 0;
    for (int r = 0; r < t->rows; r++)
        for (int h = 0; h < t->n_heads; h++, n++)
            f->k->attend_merge(states + (size_t)n * one, span, n_spans, hp->d_v,
                               out + ((size_t)(t->run->row0 + t->i + r) * hp->n_head +
                                      (size_t)(t->kvh * group + t->h0 + h)) * hp->d_v);
}

/* Long contexts and few rows: spans are pieces of work of their own. */
static bool splits_spans(const struct fwd *f)
{
    if (f->n > PRIVATE_ROWS || f->n_th == 1)
        return false;
    for (int r = 0; r < f->s->n_runs; r++)
        if (f->s->runs[r].pos0 + f->s->runs[r].n > ATTEND_SPAN)
            return true;
    return false;
}

/* How attention is cut: rows a tile, heads a tile. */
struct cut {
    int rows, heads, heads_tiles;
};

static struct cut cut_run(const struct fwd *f, const struct run *run, int32_t window)
{
    const struct hparams *hp = f->hp;
    const int group = hp->n_head / hp->n_head_kv;
    struct cut c = {.heads = group};
    /* Heads of a group share each load of keys and values (three heads cost twice what one does), so
     * groups stay whole where the pieces of work go round. A window's spans are too uneven to
     * count. */
    int64_t pieces = (int64_t)run->n * hp->n_head_kv;
    if (splits_spans(f) && !window)
        pieces *= (run->pos0 + run->n - 1) / ATTEND_SPAN + 1;
    if (pieces < 4 * f->n_th && pieces % f->n_th) {
        const int64_t want = pieces < f->n_th ? f->n_th : 2 * f->n_th;
        c.heads = (int)(group * pieces / want);
        c.heads = c.heads < 1 ? 1 : c.heads;
    }
    if (c.heads > ATTEND_MAX_Q)
        c.heads = ATTEND_MAX_Q;
    c.heads_tiles = (group + c.heads - 1) / c.heads;
    c.rows = ATTEND_MAX_Q / c.heads;
    /* The states of all spans of a tile must fit the thread's memory: about a MiB. */
    const int64_t spans = (run->pos0 + run->n - 1) / ATTEND_SPAN + 1;
    const int64_t fit = (1 << 18) / (spans * c.heads * (int64_t)attend_state_floats(hp->d_v));
    if (c.rows > fit)
        c.rows = fit < 1 ? 1 : (int)fit;
    if (c.rows > 16)
        c.rows = 16;
    return c;
}

/* Tile number `i` over all runs, last rows first (they see most); false when there is none. */
static bool tile_at(const struct fwd *f, int32_t window, int i, struct tile *t)
{
    for (int r = 0; r < f->s->n_runs; r++) {
        const struct run *run = &f->s->runs[r];
        const struct cut c = cut_run(f, run, window);
        const int row_tiles = (run->n + c.rows - 1) / c.rows;
        const int tiles = row_tiles * c.heads_tiles * f->hp->n_head_kv;
        if (i >= tiles) {
            i -= tiles;
            continue;
        }
        const int group = f->hp->n_head / f->hp->n_head_kv;
        const int heads = i % c.heads_tiles, kvh = i / c.heads_tiles % f->hp->n_head_kv;
        const int rows = row_tiles - 1 - i / (c.heads_tiles * f->hp->n_head_kv);
        t->run = run;
        t->kvh = kvh;
        t->h0 = heads * c.heads;
        t->n_heads = t->h0 + c.heads < group ? c.heads : group - t->h0;
        t->i = rows * c.rows;
        t->rows = t->i + c.rows < run->n ? c.rows : run->n - t->i;
        return true;
    }
    return false;
}

/* Queries of a tile when there are few rows, at most. */
static int few_queries(const struct hparams *hp, int rows)
{
    const int n = rows * (hp->n_head / hp->n_head_kv);
    return n < ATTEND_MAX_Q ? n : ATTEND_MAX_Q;
}

/* Long contexts and few rows: (tile, span) pairs are the pieces of work, then the tiles merge. */
static void attend_by_span(struct fwd *f, const struct qkv *qkv, int il, int32_t window, float *out)
{
    int32_t spans = 1;
    for (int r = 0; r < f->s->n_runs; r++) {
        const struct run *run = &f->s->runs[r];
        const int32_t s = (int32_t)((run->pos0 + run->n - 1) / ATTEND_SPAN) + 1;
        spans = s > spans ? s : spans;
    }
    const size_t one = attend_state_floats(f->hp->d_v);
    const size_t a_tile = (size_t)spans * (size_t)few_queries(f->hp, f->n) * one;
    float *states = take_shared(f, 0); /* the rest of the region */
    struct tile t;
    struct tile_args x;
    for (int piece; (piece = crew_next(f->m->crew)), tile_at(f, window, piece / spans, &t);) {
        int32_t s0, s1;
        spans_seen(&t, window, &s0, &s1);
        const int32_t s = s0 + piece % spans;
        if (s >= s1)
            continue;
        tile_setup(f, qkv, il, window, &t, &x);
        f->k->attend_span(&x.a, s, states + (size_t)(piece / spans) * a_tile +
                                       (size_t)(s - s0) * (size_t)x.a.n_q * one);
    }
    wait_all(f);
    for (int i; (i = crew_next(f->m->crew)), tile_at(f, window, i, &t);) {
        int32_t s0, s1;
        spans_seen(&t, window, &s0, &s1);
        tile_merge(f, &t, states + (size_t)i * a_tile, s1 - s0, out);
    }
}

static void attend_by_tile(struct fwd *f, const struct qkv *qkv, int il, int32_t window, float *out)
{
    struct tile t;
    struct tile_args x;
    const size_t one = attend_state_floats(f->hp->d_v);
    float *states = take_own(f, 0);
    while (tile_at(f, window, crew_next(f->m->crew), &t)) {
        int32_t s0, s1;
        spans_seen(&t, window, &s0, &s1);
        tile_setup(f, qkv, il, window, &t, &x);
        for (int32_t s = s0; s < s1; s++)
            f->k->attend_span(&x.a, s, states + (size_t)(s - s0) * (size_t)x.a.n_q * one);
        tile_merge(f, &t, states, s1 - s0, out);
    }
}

struct in op_attention(struct fwd *f, struct qkv *t, int il, int32_t window)
{
    mark(f, "rope_store");
    const struct hparams *hp = f->hp;
    /* Rows of keys, split evenly: each thread a stretch of (chunk of rows, kv head). */
    const int64_t items = n_chunks(f) * hp->n_head_kv;
    const int64_t from = items * f->ith / f->n_th, end = items * (f->ith + 1) / f->n_th;
    int64_t at = 0; /* the item of a chunk's first head */
    for (int r = 0; r < f->s->n_runs && at < end; r++) {
        const struct run *run = &f->s->runs[r];
        for (int i = 0, n; i < run->n; i += n, at += hp->n_head_kv) {
            n = chunk_rows(f, run, i);
            for (int h = 0; h < hp->n_head_kv; h++)
                for (int k = 0; k < n && at + h >= from && at + h < end; k++)
                    prepare_head(f, t, il, run, i + k, h);
        }
    }
    const int width = hp->n_head * hp->d_v;
    float *out = take_shared(f, (size_t)f->n * (size_t)width * sizeof(float));
    wait_all(f);

    mark(f, "attend");
    if (splits_spans(f))
        attend_by_span(f, t, il, window, out);
    else
        attend_by_tile(f, t, il, window, out);
    wait_all(f);
    mark(f, "quantize");
    return make_in(f, out, width);
}

/* ---- begin and end of a step ----------------------------------------------------------------------------- */

static const struct run *run_of(const struct fwd *f, int row)
{
    const struct run *run = f->s->runs;
    while (row >= run->row0 + run->n)
        run++;
    return run;
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

/* ---- how much memory a step takes ---------------------------------------------------------------------------- */

static size_t rows_bytes(const struct model *m, int n, int64_t width, bool acts)
{
    return ops_round((size_t)n * (size_t)width * sizeof(float)) +
           (acts && m->any_quantized ? ops_round(m->k->acts_bytes(n, (int)width)) : 0);
}

/* States of all spans of one tile of n_q queries. */
static size_t tile_states(const struct model *m, int n_q, int64_t longest)
{
    const size_t spans = (size_t)(longest / ATTEND_SPAN + 1);
    return spans * (size_t)n_q * attend_state_floats(m->hp.d_v) * sizeof(float);
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
    if (n <= PRIVATE_ROWS && longest > ATTEND_SPAN) /* attend_by_span */
        b += (size_t)(n * hp->n_head) * tile_states(m, few_queries(hp, n), longest);
    return b + (64 << 10);
}

size_t ops_own_bytes(const struct model *m, int n, int64_t longest)
{
    const struct hparams *hp = &m->hp;
    const int few = n < PRIVATE_ROWS ? n : PRIVATE_ROWS;
    size_t b = 3 * rows_bytes(m, few, hp->n_embd, true) + 2 * rows_bytes(m, few, hp->n_rot, false) +
               rows_bytes(m, few, (int64_t)hp->n_head * hp->d_v, true) +
               rows_bytes(m, few, hp->n_ff, true) + rows_bytes(m, 1, hp->n_embd, false) +
               experts_own_bytes(m, n);
    /* States of a tile: cut_run keeps them to a MiB, or to a single row's. */
    return b + tile_states(m, ATTEND_MAX_Q, longest) + (64 << 10);
}
