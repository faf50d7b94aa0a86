/* engine/model/seq.c - the bench's level of the door: a model of one caller, evaluated by hand. */
#include "engine/model/packing.h"

#include <stdlib.h>
#include <string.h>

struct seq {
    struct model *m;
    struct kv_table kv;
    int64_t n; /* positions computed */
};

/* Logits of a step stay under this, however many rows want some. */
enum { LOGITS_BYTES = 64 << 20 };

struct model *model_open(const char *path, const struct model_config *cfg, struct err *e)
{
    struct model *m = NULL;
    struct crew *crew = NULL;
    char *key = NULL;
    struct gguf *g = gguf_open(path, e);
    if (!g)
        return NULL;
    const struct kernels *k = kernels_pick(cfg->isa, e);
    if (!k || !(crew = crew_new(cfg->n_threads, e)))
        goto done;
    const char *cache = cfg->pack_cache && *cfg->pack_cache ? cfg->pack_cache : NULL;
    if (cache && !(key = pack_cache_file_key(g, path))) {
        err_set(e, ERR_MEMORY, "no memory for the name of a file");
        goto done;
    }
    k = cfg->fast ? kernels_fast(k) : k;
    const struct load_config load = {.k = k,
                                     .crew = crew,
                                     .kv = kv_type_of(cfg->kv),
                                     .n_batch = cfg->n_batch > 0 ? cfg->n_batch : 512,
                                     .cache_dir = cache,
                                     .cache_key = key,
                                     .progress = cfg->progress,
                                     .progress_arg = cfg->progress_arg};
    m = model_load(g, &load, e);
    if (m)
        m->owns_crew = true;
done:
    if (!m)
        crew_free(crew);
    free(key);
    gguf_close(g);
    return m;
}

void model_close(struct model *m)
{
    model_unload(m);
}

int32_t model_n_vocab(const struct model *m)
{
    return m->hp.n_vocab;
}

int32_t model_n_threads(const struct model *m)
{
    return crew_size(m->crew);
}

const char *model_isa(const struct model *m)
{
    return m->k->name;
}

const char *model_numerics(const struct model *m)
{
    return m->numerics ? m->numerics : "exact";
}

const struct tok_vocab *model_vocab(const struct model *m)
{
    return m->vocab;
}

uint64_t model_weight_bytes(const struct model *m)
{
    return m->weight_bytes;
}

void model_trace(struct model *m, struct trace *t)
{
    m->trace = t;
}

struct seq *seq_new(struct model *m, struct err *e)
{
    struct seq *s = calloc(1, sizeof *s);
    if (!s) {
        err_set(e, ERR_MEMORY, "no memory for a sequence");
        return NULL;
    }
    s->m = m;
    return s;
}

void seq_free(struct seq *s)
{
    if (!s)
        return;
    kv_table_free(&s->m->pool, &s->kv);
    free(s);
}

void seq_reset(struct seq *s)
{
    s->n = 0;
}

int64_t seq_cut(struct seq *s, int64_t n)
{
    s->n = s->n < n ? s->n : n;
    return s->n;
}

int seq_eval(struct seq *s, const tok_id *tokens, int n, float *logits, int n_logits,
             struct err *e)
{
    struct model *m = s->m;
    if (m->fam->encoder)
        return err_set(e, ERR_INPUT, "a model of architecture \"%s\" makes embeddings, not text",
                       m->hp.arch);
    if (n_logits > n)
        return err_set(e, ERR_BUG, "%d logits of %d tokens wanted", n_logits, n);
    const size_t row_bytes = (size_t)m->hp.n_vocab * sizeof(float);
    int most = (int)(LOGITS_BYTES / row_bytes); /* rows with logits a step */
    most = most < 1 ? 1 : most;
    for (int i = 0; i < n;) {
        int rows = n - i < m->n_batch ? n - i : m->n_batch;
        const int plain = n - n_logits - i; /* rows from here on that want none */
        if (plain < rows) {
            const int with = rows - (plain > 0 ? plain : 0);
            if (with > most)
                rows = (plain > 0 ? plain : 0) + most;
        }
        const int wanted = plain >= rows ? 0 : plain > 0 ? rows - plain : rows;
        if (kv_grow(&m->pool, &s->kv, s->n + rows, e))
            return -1;
        const struct run run = {.row0 = 0,
                                .n = rows,
                                .pos0 = s->n,
                                .tokens = tokens + i,
                                .pages = s->kv.pages,
                                .n_logits = wanted};
        struct step step = {.runs = &run, .n_runs = 1, .n_rows = rows};
        if (model_step(m, &step, e))
            return -1;
        if (wanted) {
            memcpy(logits, step.logits, (size_t)wanted * row_bytes);
            logits += (size_t)wanted * (size_t)m->hp.n_vocab;
        }
        s->n += rows;
        i += rows;
    }
    return 0;
}
