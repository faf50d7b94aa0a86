/* engine/attention.c - the operator of attention: heads of rows normed, turned and stored, then tiles
 * of queries against the pages of their text.
 *
 * Tiles are handed out by a counter, last rows first; long contexts with few rows are cut in spans
 * at fixed positions and merged in order, so nothing of this shows in the bits. In an encoder every
 * row of a text sees all of it, and a page holds the one layer at work. */
#include "engine/ops_inside.h"

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

/* In a page: of all layers, or of the one at work where nothing stays. */
static size_t head_offset(const struct model *m, int il, int kvh)
{
    if (m->fam->encoder)
        il = 0;
    return ((size_t)il * (size_t)m->hp.n_head_kv + (size_t)kvh) *
           (m->pool.head_bytes_k + m->pool.head_bytes_v);
}

/* Rows prepared by one thread one after the other: those of a page, where the keys of a page are
 * stored relative to its first. */
static int chunk_rows(const struct fwd *f, const struct run *run, int i)
{
    const int left = run->n - i;
    const int page = kv_has_centre(f->m->kv) ? KV_PAGE - (int)((run->pos0 + i) % KV_PAGE) : 1;
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
    int r, before; /* the run's number, tiles of the runs before it: where the next search begins */
};

/* The last position that row i of a run sees. */
static int64_t last_seen(const struct fwd *f, const struct run *run, int i)
{
    return run->pos0 + (f->m->fam->encoder ? run->n - 1 : i);
}

static void spans_seen(const struct fwd *f, const struct tile *t, int32_t window, int32_t *s0,
                       int32_t *s1)
{
    const int64_t first = t->run->pos0 + t->i, last = last_seen(f, t->run, t->i + t->rows - 1);
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
            x->pos[n] = (int32_t)last_seen(f, t->run, t->i + r);
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

/* Tile number `i` over all runs, a run's last rows first (they see most); false when there is none.
 * Numbers rise from call to call, so a batch of many short texts is walked once; {0} begins again. */
static bool tile_at(const struct fwd *f, int32_t window, int i, struct tile *t)
{
    for (; t->r < f->s->n_runs; t->r++) {
        const struct run *run = &f->s->runs[t->r];
        const struct cut c = cut_run(f, run, window);
        const int row_tiles = (run->n + c.rows - 1) / c.rows;
        const int tiles = row_tiles * c.heads_tiles * f->hp->n_head_kv;
        if (i - t->before >= tiles) {
            t->before += tiles;
            continue;
        }
        i -= t->before;
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
    struct tile t = {0};
    struct tile_args x;
    for (int piece; (piece = crew_next(f->m->crew)), tile_at(f, window, piece / spans, &t);) {
        int32_t s0, s1;
        spans_seen(f, &t, window, &s0, &s1);
        const int32_t s = s0 + piece % spans;
        if (s >= s1 || is_useless(f))
            continue;
        tile_setup(f, qkv, il, window, &t, &x);
        f->k->attend_span(&x.a, s, states + (size_t)(piece / spans) * a_tile +
                                       (size_t)(s - s0) * (size_t)x.a.n_q * one);
    }
    wait_all(f);
    t = (struct tile){0};
    for (int i; (i = crew_next(f->m->crew)), tile_at(f, window, i, &t);) {
        int32_t s0, s1;
        spans_seen(f, &t, window, &s0, &s1);
        tile_merge(f, &t, states + (size_t)i * a_tile, s1 - s0, out);
    }
}

static void attend_by_tile(struct fwd *f, const struct qkv *qkv, int il, int32_t window, float *out)
{
    struct tile t = {0};
    struct tile_args x;
    const size_t one = attend_state_floats(f->hp->d_v);
    float *states = take_own(f, 0);
    while (tile_at(f, window, crew_next(f->m->crew), &t)) {
        int32_t s0, s1;
        spans_seen(f, &t, window, &s0, &s1);
        tile_setup(f, qkv, il, window, &t, &x);
        for (int32_t s = s0; s < s1 && !is_useless(f); s++)
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

/* ---- how much memory it takes ----------------------------------------------------------------- */

/* States of all spans of one tile of n_q queries. */
static size_t tile_states(const struct model *m, int n_q, int64_t longest)
{
    const size_t spans = (size_t)(longest / ATTEND_SPAN + 1);
    return spans * (size_t)n_q * attend_state_floats(m->hp.d_v) * sizeof(float);
}

size_t attention_region_bytes(const struct model *m, int n, int64_t longest)
{
    if (n > PRIVATE_ROWS || longest <= ATTEND_SPAN)
        return 0;
    return (size_t)(n * m->hp.n_head) * tile_states(m, few_queries(&m->hp, n), longest);
}

/* States of a tile: cut_run keeps them to a MiB, or to a single row's. */
size_t attention_own_bytes(const struct model *m, int64_t longest)
{
    return tile_states(m, ATTEND_MAX_Q, longest);
}
