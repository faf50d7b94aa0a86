/* engine/model/load.c - from a checked GGUF to a model.
 *
 * First everything is checked (keys, shapes, types) and a plan of the packed matrices made; then
 * engine/model/packing.c fills them. */
#include "engine/model/model.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/model/packing.h"
#include "engine/ops.h"

/* Scratch of a step at most. Real models take a fifth of it for 512 rows; a file of a few MiB can
 * ask for heads that take many GiB. */
enum { REGION_BYTES = 512 << 20 };

struct loader {
    const struct gguf *g;
    struct model *m;
    const struct load_config *c;
    struct pack_plan plan;
    uint64_t vector_bytes;
};

static int64_t dim_value(const struct hparams *hp, enum dim d)
{
    switch (d) {
    case DIM_1: return 1;
    case DIM_EMBD: return hp->n_embd;
    case DIM_Q: return (int64_t)hp->n_head * hp->d_k;
    case DIM_K: return (int64_t)hp->n_head_kv * hp->d_k;
    case DIM_V: return (int64_t)hp->n_head_kv * hp->d_v;
    case DIM_O: return (int64_t)hp->n_head * hp->d_v;
    case DIM_FF: return hp->n_ff;
    case DIM_DK: return hp->d_k;
    case DIM_VOCAB: return hp->n_vocab;
    case DIM_ROT2: return hp->n_rot / 2;
    case DIM_EXPERTS: return hp->n_expert;
    case DIM_FF_EXP: return hp->n_ff_exp;
    case DIM_CTX: return hp->n_ctx;
    }
    return -1;
}

static const char *shape_text(char out[80], int64_t n, int64_t rows, int64_t cols)
{
    if (n == 1)
        snprintf(out, 80, "[%" PRId64 ", %" PRId64 "]", cols, rows);
    else
        snprintf(out, 80, "[%" PRId64 ", %" PRId64 ", %" PRId64 "]", cols, rows, n);
    return out;
}

/* The tensor must have `n` times `rows` rows of `cols` values: dims {cols, rows, n}. */
static int check_shape(const struct gguf_tensor *t, int64_t n, int64_t rows, int64_t cols,
                       struct err *e)
{
    const bool good = t->dims[0] == (uint64_t)cols && t->dims[1] == (uint64_t)rows &&
                      t->dims[2] == (uint64_t)n && t->dims[3] == 1;
    char want[80];
    if (!good)
        return err_set(e, ERR_INPUT,
                       "tensor \"%s\" has shape [%" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64
                       "], %s is expected", t->name, t->dims[0], t->dims[1], t->dims[2], t->dims[3],
                       shape_text(want, n, rows, cols));
    return 0;
}

/* ---- vectors: norms and biases, kept as f32 ---------------------------------------------- */

static int load_vector(struct loader *l, const struct gguf_tensor *t, uint64_t first, int64_t n,
                       float **out, struct err *e)
{
    if (t->type != TYPE_F32 && t->type != TYPE_F16 && t->type != TYPE_BF16)
        return err_set(e, ERR_UNSUPPORTED, "tensor \"%s\" has type %s, F32, F16 or BF16 is expected",
                       t->name, gguf_type_info(t->type)->name);
    float *v = arena_alloc(&l->m->arena, (size_t)n * sizeof *v, 64);
    if (!v)
        return err_set(e, ERR_MEMORY, "no memory for tensor \"%s\"", t->name);
    const size_t width = t->type == TYPE_F32 ? 4 : 2;
    if (kernels_dequant(t->type, (const uint8_t *)t->data + first * width, (size_t)n, v))
        return err_set(e, ERR_BUG, "tensor \"%s\": no conversion from its type", t->name);
    l->m->weight_bytes += (size_t)n * sizeof *v;
    *out = v;
    return 0;
}

/* ---- a factor beside a matrix ------------------------------------------------------------ */

/* NVFP4 files have a float beside a matrix NAME.weight, NAME.scale (of experts: one each), that its
 * product is multiplied by. */
static int load_scale(struct loader *l, const struct gguf_tensor *weight, int64_t copies,
                      struct mat *m, bool only_check, struct err *e)
{
    static const char ending[] = ".weight";
    const size_t n = strlen(weight->name), k = sizeof ending - 1;
    char name[96];
    if (n < k || strcmp(weight->name + n - k, ending) || n - k > 80)
        return 0;
    snprintf(name, sizeof name, "%.*s.scale", (int)(n - k), weight->name);
    const struct gguf_tensor *t = gguf_find_tensor(l->g, name);
    if (!t)
        return 0;
    if (m == &l->m->w.tok_embd) /* rows are looked up, too: no file is known that has it */
        return err_set(e, ERR_UNSUPPORTED, "tensor \"%s\" is not supported: a factor of the embedding",
                       name);
    if (only_check)
        return check_shape(t, 1, 1, copies, e);
    float *v;
    if (load_vector(l, t, 0, copies, &v, e))
        return -1;
    m->scale = v;
    return 0;
}

/* ---- by table ---------------------------------------------------------------------------------- */

struct source { /* where a tensor of the table is: rows row0.. of t */
    const struct gguf_tensor *t;
    int64_t row0;
};

/* Q, K and V may stand in one tensor "attn_qkv" (rows of Q, then K, then V). */
static int fused_qkv(const struct loader *l, const char *prefix, const struct tn *tn,
                     struct source *s, struct err *e)
{
    static const char *const parts[] = {"attn_q.", "attn_k.", "attn_v."};
    const struct hparams *hp = &l->m->hp;
    const int64_t q = dim_value(hp, DIM_Q), k = dim_value(hp, DIM_K), v = dim_value(hp, DIM_V);
    const int64_t first[] = {0, q, q + k};
    for (int i = 0; i < 3; i++) {
        const size_t n = strlen(parts[i]);
        if (strncmp(tn->name, parts[i], n))
            continue;
        char name[80];
        snprintf(name, sizeof name, "%sattn_qkv.%s", prefix, tn->name + n);
        s->t = gguf_find_tensor(l->g, name);
        if (!s->t)
            return 0;
        s->row0 = first[i];
        if (tn->kind == TN_MAT)
            return check_shape(s->t, 1, q + k + v, dim_value(hp, tn->cols), e);
        return check_shape(s->t, 1, 1, q + k + v, e);
    }
    return 0;
}

static int load_table(struct loader *l, const char *prefix, const struct tn *tn, void *base,
                      bool only_check, struct err *e)
{
    for (; tn && tn->name; tn++) {
        char name[80], shape[80];
        snprintf(name, sizeof name, "%s%s", prefix, tn->name);
        const int64_t rows = dim_value(&l->m->hp, tn->rows), cols = dim_value(&l->m->hp, tn->cols);
        const int32_t n_expert = l->m->hp.n_expert;
        const int64_t copies = tn->kind == TN_EXPERTS ? n_expert : 1;
        if (tn->must == TN_MOE && !n_expert)
            continue;
        struct source s = {gguf_find_tensor(l->g, name), 0};
        if (s.t) {
            if (check_shape(s.t, copies, tn->kind == TN_ROW ? (int64_t)s.t->dims[1] : rows, cols, e))
                return -1;
        } else if (fused_qkv(l, prefix, tn, &s, e)) {
            return -1;
        }
        if (!s.t) {
            if (tn->must == TN_MUST || tn->must == TN_MOE || (tn->must == TN_DENSE && !n_expert))
                return err_set(e, ERR_INPUT, "tensor \"%s\" %s is missing", name,
                               shape_text(shape, copies, rows, cols));
            continue;
        }
        char *field = (char *)base + tn->offset;
        if (only_check && (tn->kind == TN_VEC || tn->kind == TN_ROW))
            l->vector_bytes += (uint64_t)cols * sizeof(float) + 64;
        if (tn->kind == TN_MAT || tn->kind == TN_EXPERTS) {
            if (only_check && pack_plan_add(&l->plan, s.t, s.row0, copies, rows, cols,
                                            (struct mat *)(void *)field, e))
                return -1;
            if (load_scale(l, s.t, copies, (struct mat *)(void *)field, only_check, e))
                return -1;
        } else if (!only_check &&
                   load_vector(l, s.t, (uint64_t)s.row0, cols, (float **)(void *)field, e)) {
            return -1;
        }
    }
    return 0;
}

static const struct tn common_top[] = {
    TN_TOP_MAT("token_embd.weight", tok_embd, DIM_VOCAB, DIM_EMBD, HP_MUST),
    {0},
};
static const struct tn decoder_top[] = {
    TN_TOP_VEC("output_norm.weight", output_norm, DIM_EMBD, HP_MUST),
    TN_TOP_MAT("output.weight", output, DIM_VOCAB, DIM_EMBD, HP_MAY), /* else tied */
    {0},
};

static int load_all(struct loader *l, bool only_check, struct err *e)
{
    struct model *m = l->m;
    if (load_table(l, "", common_top, &m->w, only_check, e) ||
        (!m->fam->encoder && load_table(l, "", decoder_top, &m->w, only_check, e)) ||
        load_table(l, "", m->fam->top_tensors, &m->w, only_check, e))
        return -1;
    for (int il = 0; il < m->hp.n_layer; il++) {
        char prefix[24];
        snprintf(prefix, sizeof prefix, "blk.%d.", il);
        if (load_table(l, prefix, m->fam->layer_tensors, &m->w.layers[il], only_check, e))
            return -1;
    }
    return 0;
}

/* ---- rope frequencies ------------------------------------------------------------------------------ */

/* inv_freq[i] of pair i, with YaRN's mix of scaled and unscaled angles (Peng et al. 2023). */
static void rope_frequencies(const struct hparams *hp, double base, bool scaled,
                             const float *factors, double *inv)
{
    const int n = hp->n_rot;
    const double scale = scaled && hp->rope_scaling != SCALING_NONE ? 1 / hp->rope_factor : 1;
    double lo = 0, hi = 0;
    const bool yarn = scaled && hp->rope_scaling == SCALING_YARN;
    if (yarn) {
        const double two_pi = 6.283185307179586476925;
        const double c = n / (2 * ref_log(base));
        lo = floor(c * ref_log(hp->rope_orig_ctx / (two_pi * hp->yarn_beta_fast)));
        hi = ceil(c * ref_log(hp->rope_orig_ctx / (two_pi * hp->yarn_beta_slow)));
        lo = lo < 0 ? 0 : lo;
        hi = hi > n - 1 ? n - 1 : hi;
    }
    for (int i = 0; i < n / 2; i++) {
        const double plain = ref_pow(base, -2.0 * i / n) / (factors ? (double)factors[i] : 1);
        double mix = 0;
        if (yarn) {
            const double width = hi - lo > 0.001 ? hi - lo : 0.001;
            double r = (i - lo) / width;
            r = r < 0 ? 0 : r > 1 ? 1 : r;
            mix = 1 - r;
        }
        inv[i] = plain * scale * (1 - mix) + plain * mix;
    }
}

static int rope_setup(struct model *m, struct err *e)
{
    const size_t n = (size_t)m->hp.n_rot / 2 + 1;
    m->inv_freq = arena_alloc(&m->arena, n * sizeof(double), 64);
    m->inv_freq_local = arena_alloc(&m->arena, n * sizeof(double), 64);
    if (!m->inv_freq || !m->inv_freq_local)
        return err_set(e, ERR_MEMORY, "no memory for rope tables");
    rope_frequencies(&m->hp, m->hp.rope_base, true, m->w.rope_freqs, m->inv_freq);
    rope_frequencies(&m->hp, m->hp.rope_base_local, false, NULL, m->inv_freq_local);
    m->rope_mscale = 1;
    if (m->hp.rope_scaling == SCALING_YARN)
        m->rope_mscale = (float)(m->hp.rope_attn_factor * (1 + 0.1 * ref_log(m->hp.rope_factor)));
    return 0;
}

/* ---- the whole --------------------------------------------------------------------------------------- */

/* Rows of a step, bytes of a page. */
static void sizes_of(struct model *m)
{
    const int n_kept = m->fam->encoder ? 1 : m->hp.n_layer; /* layers whose keys are there at once */
    if (m->fam->encoder) {
        m->kv = KV_F32; /* of one layer: costs little */
        if (m->n_batch < m->hp.n_ctx)
            m->n_batch = m->hp.n_ctx; /* a text is one step */
    }
    m->pool.head_bytes_k = kv_bytes(m->kv, m->hp.d_k, true);
    m->pool.head_bytes_v = kv_bytes(m->kv, m->hp.d_v, false);
    m->pool.page_bytes = (size_t)n_kept * (size_t)m->hp.n_head_kv *
                         (m->pool.head_bytes_k + m->pool.head_bytes_v);
    while (m->n_batch > PRIVATE_ROWS && ops_region_bytes(m, m->n_batch, 1, 0) > REGION_BYTES)
        m->n_batch -= (m->n_batch + 7) / 8;
    m->n_most = m->fam->encoder && m->n_batch < m->hp.n_ctx ? m->n_batch : m->hp.n_ctx;
}

/* Of the model, its pages not counted. Contexts beyond LONG_CONTEXT take a little more scratch. */
enum { LONG_CONTEXT = 32768 };
static uint64_t fixed_bytes(const struct loader *l)
{
    const struct model *m = l->m;
    const int64_t longest = m->hp.n_ctx < LONG_CONTEXT ? m->hp.n_ctx : LONG_CONTEXT;
    return l->plan.bytes + l->vector_bytes + tok_vocab_bytes(m->vocab) +
           model_step_bytes(m, longest);
}

struct model *model_load(const struct gguf *g, const struct load_config *c, struct err *e)
{
    struct model *m = calloc(1, sizeof *m);
    if (!m) {
        err_set(e, ERR_MEMORY, "no memory for a model");
        return NULL;
    }
    m->k = c->k;
    m->crew = c->crew;
    m->kv = c->kv;
    m->n_batch = c->n_batch;
    struct loader l = {.g = g, .m = m, .c = c, .plan = {.g = g}};

    if (hparams_read(g, &m->fam, &m->hp, e))
        goto fail;
    char key[96];
    snprintf(key, sizeof key, "%s.normalize_embeddings", m->hp.arch);
    m->unit_vectors = true;
    if (gguf_get_bool(g, key, &m->unit_vectors, e) < 0)
        goto fail;
    m->w.layers = arena_alloc(&m->arena, (size_t)m->hp.n_layer * sizeof(struct layer), 64);
    if (!m->w.layers) {
        err_set(e, ERR_MEMORY, "no memory for %d layers", m->hp.n_layer);
        goto fail;
    }
    if (load_all(&l, true, e))
        goto fail;
    m->vocab = tok_vocab_new(g, e);
    if (!m->vocab)
        goto fail;
    if (tok_n_vocab(m->vocab) > m->hp.n_vocab) {
        err_set(e, ERR_INPUT, "the tokenizer has %d tokens, the embedding only %d",
                tok_n_vocab(m->vocab), m->hp.n_vocab);
        goto fail;
    }
    for (size_t i = 0; i < l.plan.n; i++)
        m->any_quantized |= mat_quantized_acts(l.plan.items[i].mat.type) || m->k->acts_of_floats;
    sizes_of(m);
    if (c->reserve && c->reserve(c->reserve_arg, m, fixed_bytes(&l), e))
        goto fail;
    if (load_all(&l, false, e) || pack_weights(m, &l.plan, c, e) || rope_setup(m, e))
        goto fail;
    if (!m->w.output.data && !m->fam->encoder)
        m->w.output = m->w.tok_embd;

    if (c->cache_dir && !m->from_cache)
        m->cache_writer = pack_writer_begin(m, &l.plan, c);
    pack_plan_free(&l.plan);
    return m;
fail:
    pack_plan_free(&l.plan);
    model_unload(m);
    return NULL;
}

void model_unload(struct model *m)
{
    if (!m)
        return;
    pack_writer_end(m->cache_writer);
    kv_pool_free(&m->pool);
    big_free(m->packed, m->packed_bytes); /* a mapped file too: both are unmapped */
    tok_vocab_free(m->vocab);
    for (int i = 0; i < 2; i++)
        big_free(m->region[i], m->region_bytes[i]);
    if (m->own_mem)
        for (int i = 0; i < crew_most(m->crew); i++)
            big_free(m->own_mem[i], m->own_bytes);
    free(m->own_mem);
    big_free(m->logits, m->logits_bytes);
    big_free(m->hidden, m->hidden_bytes);
    arena_free(&m->arena);
    if (m->owns_crew)
        crew_free(m->crew);
    free(m);
}
