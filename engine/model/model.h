/* engine/model/model.h - a loaded model, its KV pages, a step over a batch. Private to engine/.
 *
 * A model is read-only after loading, but for its page pool and its step memory, which belong to
 * the one thread that steps it. */
#ifndef CHASKI_MODEL_H
#define CHASKI_MODEL_H

#include <stdatomic.h>
#include "engine/engine.h"
#include "engine/families/families.h"
#include "engine/model/memory.h"
#include "engine/model/tune.h"
#include "gguf/gguf.h"
#include "kernels/kernels.h"

/* ---- KV pages ---------------------------------------------------------------------- */

struct kv_node; /* a page that is complete and shared (engine/model/prefix.c) */

struct kv_pool { /* pages of 64 positions, all layers of a position together */
    size_t page_bytes;
    size_t head_bytes_k, head_bytes_v; /* of one (layer, kv head) in a page */
    uint64_t n_live, n_limit;          /* pages there are; the most allowed (0 = any) */
    uint8_t **free;                    /* stack of pages given back */
    size_t n_free, cap_free;
    struct mem *mem;                   /* the ledger that pages are entered in; NULL: none */
    uint64_t prepaid;                  /* bytes of pages to come that are entered already */

    /* The prefix cache: pages that no sequence holds now, but that one may find again. */
    uint64_t n_cached, n_cached_most;  /* of the live ones; n_cached_most 0 = nothing is shared */
    struct kv_node *oldest, *newest;   /* the cached ones by the time of their last use */
    uint64_t n_uses;
    struct kv_node **buckets;          /* all nodes, by hash */
    size_t n_buckets, n_nodes;
    struct kv_node *roots;             /* those of positions 0..63, last used first */
    struct kv_node **tails;            /* nodes of part of a page: few, not in the buckets */
    int n_tails;
    uint64_t hash_key;                 /* drawn: nobody outside can aim at one bucket */
};
struct kv_table { /* the pages of one sequence */
    uint8_t **pages;
    struct kv_node **nodes; /* of the first n_shared pages: never written again; the rest are its own */
    size_t n, cap, n_shared;
};
enum kv_type kv_type_of(enum eng_kv kv);
/* Make room for `n_positions`; -1 with ERR_MEMORY (no memory) or ERR_LIMIT (the pool is at its
 * limit) leaves the table as it was. Cached pages give way. */
int kv_grow(struct kv_pool *p, struct kv_table *t, int64_t n_positions, struct err *e);
/* Give back all pages past the first n_positions. */
void kv_shrink(struct kv_pool *p, struct kv_table *t, int64_t n_positions);
/* Keep the first n positions and make the place behind them the sequence's own to write. Returns
 * how many are kept: fewer where there is no memory for a copy. */
int64_t kv_cut(struct kv_pool *p, struct kv_table *t, int64_t n);
void kv_table_free(struct kv_pool *p, struct kv_table *t);
void kv_pool_free(struct kv_pool *p); /* the free and the cached pages; no sequence is left */
/* Give memory back to the system, free pages first, then the cached ones, oldest first. Returns the
 * bytes: `bytes` or a little more, or all that there is. */
uint64_t kv_pool_give_back(struct kv_pool *p, uint64_t bytes);
/* What kv_pool_give_back could give. */
static inline uint64_t kv_pool_idle_bytes(const struct kv_pool *p)
{
    return (p->n_free + p->n_cached) * (uint64_t)p->page_bytes;
}

/* Prefixes. `ids` are the sequence's tokens from position 0 on; `scope` (or NULL) tells apart who
 * must not share. */
/* Take what is cached of the positions behind the shared ones: the table must hold nothing else of
 * worth. At most n - 1 positions, so that one is left to compute. Returns the positions that are
 * there. */
int64_t kv_find(struct kv_pool *p, struct kv_table *t, const tok_id *ids, int64_t n,
                const char *scope);
/* Do both begin with the same shared pages, all of b's among a's? */
static inline bool kv_same_shared(const struct kv_table *a, const struct kv_table *b)
{
    return a->n_shared >= b->n_shared &&
           (!b->n_shared || a->nodes[b->n_shared - 1] == b->nodes[b->n_shared - 1]);
}
/* The first n positions are computed: their complete pages can be shared from now on. */
void kv_share(struct kv_pool *p, struct kv_table *t, const tok_id *ids, int64_t n,
              const char *scope);
/* kv_share, then kv_table_free; the incomplete page at the end is kept too. */
void kv_leave(struct kv_pool *p, struct kv_table *t, const tok_id *ids, int64_t n,
              const char *scope);

/* ---- the model ------------------------------------------------------------------------ */

struct model {
    const struct family *fam;
    struct hparams hp;
    struct weights w;
    struct arena arena;          /* tables, vectors */
    uint8_t *packed;             /* all matrices, packed: memory, or the mapped cache file */
    size_t packed_bytes;
    bool from_cache;
    bool is_mapped;              /* `packed` is the cache file itself */
    struct pack_writer *cache_writer; /* or NULL; reads `packed` */
    uint64_t weight_bytes;       /* packed matrices and vectors */
    double *inv_freq, *inv_freq_local; /* n_rot/2 */
    float rope_mscale;
    struct tok_vocab *vocab;
    bool unit_vectors;           /* embeddings have length 1, unless the file says no */
    bool any_quantized;          /* some matrix takes A32 activations */
    const char *numerics;        /* NULL; else the contract of bits does not hold: kernels.numerics */
    enum kv_type kv;
    struct kv_pool pool;

    const struct kernels *k;
    struct crew *crew;           /* borrowed, or owned (bench level) */
    bool owns_crew;
    int n_batch;                 /* rows a step at most */
    int32_t n_most;              /* positions of a text at most: as trained, or less in an encoder
                                  * whose step would take too much memory */
    struct tune tune[4];         /* threads of small steps, by rows (PRIVATE_ROWS) */
    struct trace *trace;         /* borrowed; NULL: steps are not traced */

    uint8_t *region[2];          /* shared memory of a step (engine/ops.h) */
    size_t region_bytes[2];
    uint8_t **own_mem;           /* a block for each thread */
    size_t own_bytes;
    float *logits;               /* [n_logits_cap][n_vocab] */
    size_t logits_bytes;
    float *hidden;               /* [n_hidden_cap][n_embd] */
    size_t hidden_bytes;
};

struct load_config {
    const struct kernels *k;
    struct crew *crew;
    enum kv_type kv;
    int n_batch;
    bool no_map;            /* read the cache file, do not map it */
    /* Called once all is checked and before anything large is taken: `bytes` is what the model will
     * hold beside its pages. May wait; -1 gives the load up. NULL: as much as there is. */
    int (*reserve)(void *arg, const struct model *m, uint64_t bytes, struct err *e);
    void *reserve_arg;
    const atomic_bool *cancel; /* may be NULL */
    void (*progress)(void *arg, double part);
    void *progress_arg;
    const char *cache_dir;  /* keep packed weights there; NULL: nowhere */
    const char *cache_key;  /* what tells this model from all others; with cache_dir */
    void (*lock_crew)(void *arg, bool lock); /* around each use of a shared crew; may be NULL */
    void *lock_arg;
};
/* Check keys and tensors, then pack. `g` can be closed afterwards. */
struct model *model_load(const struct gguf *g, const struct load_config *c, struct err *e);
void model_unload(struct model *m);

/* Read the hyperparameters alone (also used by messages before a load). */
int hparams_read(const struct gguf *g, const struct family **fam, struct hparams *hp,
                 struct err *e);

/* ---- a step ------------------------------------------------------------------------------ */

struct run { /* consecutive rows of one sequence */
    int row0, n;          /* rows of the batch */
    int64_t pos0;         /* position of the first */
    const tok_id *tokens; /* n */
    uint8_t *const *pages; /* page table: room for pos0 + n positions */
    int n_logits;         /* logits of the last n_logits rows are wanted */
    int hidden0, n_hidden; /* hidden states of n_hidden rows from row hidden0 on are wanted */
};
struct step {
    const struct run *runs;
    int n_runs, n_rows;
    int n_threads;       /* 0 = all of the crew */
    bool (*stop)(void *arg); /* asked between blocks on one thread; true gives the step up */
    void *stop_arg;
    /* filled by model_step: */
    int n_logits, n_hidden;
    const float *logits; /* [n_logits][n_vocab], in row order; valid until the next step */
    const float *hidden; /* [n_hidden][n_embd], as logits */
    bool stopped;
};
/* What steps hold at most, for contexts up to `longest`: scratch of all threads, logits of as many
 * rows as drafts or sequences may ask for. */
uint64_t model_step_bytes(const struct model *m, int64_t longest);
uint64_t model_scratch_bytes(const struct model *m); /* what they hold now */
/* Compute all rows (n_rows <= m->n_batch), append their keys and values. */
int model_step(struct model *m, struct step *s, struct err *e);

/* ---- vectors (embed.c) ------------------------------------------------------------------- */

struct pooler { /* one text on its way to a vector; zero-initialise */
    double *sum;   /* n_embd */
    int64_t n;     /* rows taken */
};
int pool_begin(struct pooler *p, const struct model *m, struct err *e); /* also again */
void pool_free(struct pooler *p);
/* Ask in `run` for the hidden states that the pooling wants; the text has n_total tokens. */
void pool_want(const struct model *m, struct run *run, int64_t n_total);
/* The run's hidden states are there. */
void pool_add(struct pooler *p, const struct model *m, const struct run *run, const float *hidden);
/* The vector's first n_out values (n_embd at most), of length 1 if `unit`. ERR_INPUT when
 * a value is no finite number. */
int pool_end(const struct pooler *p, const struct model *m, bool unit, int32_t n_out, float *out,
             struct err *e);

#endif
