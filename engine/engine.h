/* engine/engine.h - the door of the engine: models, sequences, sampling, scheduling.
 *
 * Two levels. The server's level: an `eng` owns the crew of threads and the loaded models;
 * requests are submitted from any thread and answered through a sink, called on the model's
 * own thread. The bench's level: one model, evaluated step by step by its caller.
 * No input makes the process exit; errors are values. */
#ifndef CHASKI_ENGINE_H
#define CHASKI_ENGINE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "engine/store/store.h"
#include "engine/tokenizer/tokenizer.h"
#include "gguf/base.h"
#include "gguf/types.h"

/* ---- options of a request (spec/api.md, section 4) --------------------------------- */

enum { OPT_MAX_STOPS = 64, OPT_STOP_BYTES = 1024 };

struct eng_options {
    int32_t num_ctx;     /* tokens; 0 = the server's default; capped by the model's trained length */
    int32_t num_batch;   /* rows a step at most; 0 = automatic */
    int32_t num_thread;  /* 0 = all of the crew */
    int32_t num_keep;    /* default 4; negative = all of the prompt */
    int32_t num_predict; /* default -1: ten times num_ctx */
    int64_t seed;        /* -1 = draw one */
    int32_t top_k;       /* default 40; <= 0 = off */
    int32_t repeat_last_n; /* default 64; 0 = off, -1 = num_ctx */
    float temperature, top_p, min_p, typical_p; /* 0.8, 0.9, 0, 1 */
    float repeat_penalty, presence_penalty, frequency_penalty; /* 1, 0, 0 */
    int32_t deadline_ms; /* ours: since the request came; then what is there is the answer, and before
                          * the first token it is ERR_TIMEOUT. 0 = none */
    int32_t use_mmap;    /* 0: read a file that was packed before, do not map it; -1 = any */
    int32_t kv_type;     /* ours: enum eng_kv for the model's load; -1 = the server's */
    int32_t constrain_tools; /* ours: calls of tools obey their schemas, 0 = as the model writes them */
    int32_t jump_forward; /* ours: text that a format leaves no choice in is not drawn, 1 = yes */
    int32_t speculate;   /* ours: 1 = draft where it pays, 0 = never, -1 = as the server does */
    char *stops[OPT_MAX_STOPS]; /* owned */
    int n_stops;
    json_t *warnings; /* array of strings: unknown keys; NULL when there are none; owned */
};
void eng_options_init(struct eng_options *o); /* the defaults */
void eng_options_free(struct eng_options *o);
/* Lay a JSON object of options over `o` (call with the model's params, then the request's).
 * A wrong type is ERR_INPUT `option "num_ctx" must be of type integer`; unknown keys are named
 * in warnings; a null value leaves what is below; `stop` replaces. */
int eng_options_apply(struct eng_options *o, const json_t *obj, struct err *e);

/* ---- what is in a model file, without loading it ------------------------------------- */

struct eng_info { /* from the GGUF header; cached by digest; read-only, valid until its close */
    char architecture[64];
    uint64_t context_length, embedding_length, parameter_count, file_type;
    const char *chat_template;  /* Jinja source, or NULL */
    bool can_complete, can_embed, can_tools, can_think, can_insert;
    bool has_vision, has_audio; /* in the files; requests with images are refused all the same */
};

/* ---- the server's level ----------------------------------------------------------------- */

/* Types of the key-value cache; the names are "f16", "f32", "q8_0". */
enum eng_kv { ENG_KV_F16, ENG_KV_F32, ENG_KV_Q8_0, ENG_KV_Q4_0 };
int eng_kv_of(const char *name, enum eng_kv *kv); /* -1: there is no such type */

/* "exact" or "fast": -1, there is no such way of computing. */
int eng_numerics_of(const char *name, bool *fast);

struct eng;

/* Drafts from the text so far, checked several tokens a step. The output is the same bit for bit,
 * only the time differs. */
enum eng_speculate {
    ENG_SPECULATE_AUTO, /* where the measured costs and hits say that it pays */
    ENG_SPECULATE_OFF,
    ENG_SPECULATE_ON,   /* wherever there is a draft, of up to 8 tokens: for tests */
};

struct eng_config {
    struct store *store;     /* borrowed; outlives the engine */
    const char *isa;         /* CHASKI_ISA, or NULL for the best of this CPU */
    int n_threads;           /* 0 = by affinity mask and cgroup quota */
    uint64_t memory_bytes;   /* budget; 0 = memory_share of what is available now */
    double memory_share;     /* 0 = 0.9 */
    int32_t default_ctx;     /* 0 = 4096 */
    int n_parallel;          /* sequences at once on a model; 0 = automatic, at most 16 */
    int max_loaded;          /* models; 0 = 3 */
    int max_queue;           /* waiting requests a model; 0 = 512 */
    int64_t keep_alive_ns;   /* default of the server; negative = for ever */
    int64_t load_timeout_ns; /* a load that stands still so long fails; 0 = 5 minutes, negative = none */
    int64_t patience_ns;     /* so long a model waits for the place of busy ones, then one of them
                              * takes no new requests; 0 = 2 s */
    enum eng_kv kv;          /* type of the KV cache */
    enum eng_speculate speculate;
    bool fast;               /* numerics fast: prompts in bf16, outside the contract of bits */
    int64_t prefix_bytes;    /* that a model's prefix cache may hold beside what its requests use;
                              * 0 = a quarter of the budget, negative = no prefix cache */
    const char *pack_cache;  /* CHASKI_PACK_CACHE: folder that keeps packed weights, or NULL;
                              * borrowed like isa, outlives the engine */
};
struct eng *eng_new(const struct eng_config *cfg, struct err *e);
/* Take no new requests (ERR_BUSY), let the running ones end until `deadline` (time_mono_ns),
 * then cancel them; returns when all are answered. */
void eng_drain(struct eng *g, int64_t deadline);
void eng_free(struct eng *g); /* drains at once */

int eng_model_info(struct eng *g, const struct store_model *m, const struct eng_info **out,
                   struct err *e);
/* NULL is fine. One that is never closed stays in memory until eng_free. */
void eng_info_close(struct eng *g, const struct eng_info *info);
/* A new object {"model_info": {..}, "tensors": [..]} as /api/show prints them (arrays null
 * unless verbose; sorted keys; no general.name, no chat template), or NULL. */
json_t *eng_model_metadata(struct eng *g, const struct store_model *m, bool verbose, struct err *e);

/* ---- text and tokens of a model that need not be loaded ------------------------------------- */

struct eng_text; /* its tokenizer and its template, read from the header; shared, read-only */
/* Cached by the file's digest, a bounded number of them. Blocks on the disk. */
int eng_text_open(struct eng *g, const struct store_model *m, struct eng_text **out,
                  struct err *e);
void eng_text_close(struct eng_text *t); /* NULL is fine */
const struct tok_vocab *eng_text_vocab(const struct eng_text *t);
/* The prompt of a request with this chat, template_text and continue_last (as in eng_request),
 * nothing cut: appended to `prompt`, its tokens counted as eng_stats.prompt_count has them. Either
 * may be NULL. */
int eng_text_prompt(const struct eng_text *t, const json_t *chat, const char *template_text,
                    bool continue_last, struct buf *prompt, size_t *n_tokens, struct err *e);

enum eng_kind { ENG_LOAD, ENG_GENERATE, ENG_EMBED };

struct eng_input { /* a text of n bytes, or n tokens */
    const char *p;
    const tok_id *ids; /* wins; what the model wants before and after is added where it is missing */
    size_t n;
};

enum { ENG_TOP_LOGPROBS = 20 };

struct eng_request { /* pointers are borrowed during eng_submit; what is needed is copied */
    enum eng_kind kind;
    const struct store_model *model;
    /* The prompt: exactly one of the two. */
    const char *raw;           /* goes in as it is, special tokens parsed; n_raw bytes */
    size_t n_raw;
    const json_t *chat;        /* {"messages": [...], "tools": ..., ...}: rendered by the template.
                                * messages already hold the model's MESSAGEs and system text */
    const char *template_text; /* Go template that wins over the model's Jinja, or NULL */
    bool continue_last;        /* the last message is the assistant's: no new turn is opened */
    /* What the answer must obey; at most one of the two. ERR_INPUT says what is wrong with it. */
    const json_t *format;      /* a JSON schema, the string "json" for any object, or NULL */
    const char *grammar;       /* GBNF (engine/grammar/grammar.h), or NULL; with it: */
    const json_t *schemas;     /* what its %names stand for: an object of schemas, or NULL */
    const char *shown;         /* control tokens whose text stands in here are text of the answer (tags of
                                * thoughts and calls); NULL: none are */
    /* ENG_EMBED, in place of a prompt: vectors of these come in eng_stats. no_truncate counts. */
    const struct eng_input *inputs;
    size_t n_inputs;
    int32_t dimensions;        /* the first so many values; out of range: all */
    bool as_stored;            /* scaled to length 1 only if the file does not say otherwise */
    const tok_id *context;     /* put in front of the prompt (generate's `context`) */
    size_t n_context;
    const char *cache_scope;   /* prefixes are shared only with requests of the same text; NULL is one
                                * scope too: all that have none */
    const struct eng_options *options;
    bool no_truncate, no_shift; /* "truncate": false, "shift": false */
    bool want_context;         /* eng_stats.context is wanted */
    bool logprobs;             /* eng_piece.logprobs is wanted */
    int32_t top_logprobs;      /* alternatives of each entry: 0..ENG_TOP_LOGPROBS */
    bool score_prompt;         /* with logprobs: a piece of the prompt's too, before the answer's */
    bool has_keep_alive;
    int64_t keep_alive_ns;     /* negative = for ever, 0 = unload when idle */
};

enum eng_done { ENG_STOP, ENG_LENGTH, ENG_LOADED, ENG_DEADLINE };

struct eng_stats { /* valid during sink.done (and sink.start) only */
    enum eng_done reason;
    int64_t load_ns;          /* from submit until the model was there */
    int32_t prompt_count;     /* tokens, after truncation, with BOS */
    int32_t prompt_cached;    /* of these, from the cache */
    int64_t prompt_ns;
    int32_t eval_count;       /* sampled tokens, the end token included */
    int64_t eval_ns;          /* > 0 when eval_count > 0 */
    int32_t prompt_truncated; /* tokens dropped */
    int32_t context_shifts;
    int32_t draft_count;      /* tokens that were drafted and computed */
    int32_t draft_accepted;   /* of these, the ones that came */
    const char *numerics;     /* NULL: exact; "fast", "blas": outside the contract of bits */
    bool seed_drawn;          /* the engine drew the seed below */
    int64_t seed;
    const tok_id *context;    /* prompt + answer, when want_context */
    size_t n_context;
    const json_t *warnings;   /* array or NULL */
    const char *stop;         /* of the options' stop texts, the one that ended it; or NULL */
    const float *vectors;     /* ENG_EMBED: [n_vectors][n_dims], as the inputs */
    size_t n_vectors;
    int32_t n_dims;
};

struct eng_logprob { /* a token and the natural log of its probability before masks and temperature */
    const char *bytes; /* of the token; not always whole characters */
    size_t n;
    double logprob;
    const struct eng_logprob *top; /* the likeliest instead, falling; NULL inside such a list */
    size_t n_top;
};

struct eng_piece { /* valid during sink.piece only */
    const char *text; /* whole characters of UTF-8; may be empty when there are logprobs */
    size_t n;
    const struct eng_logprob *logprobs; /* of the tokens that began in this piece, when asked for */
    size_t n_logprobs;
    int32_t eval_count; /* tokens that were sampled so far */
    /* Not of the answer: text is that of the prompt's first token (a control token says its name),
     * logprobs are those of all others. */
    bool of_prompt;
};

struct eng_sink { /* called on an engine thread; must not block and must not call the engine,
                   * but eng_job_cancel and eng_job_hold are fine. done or fail comes exactly
                   * once and last. */
    void *arg;
    void (*piece)(void *arg, const struct eng_piece *p);
    void (*done)(void *arg, const struct eng_stats *stats);
    void (*fail)(void *arg, const struct err *e);
    /* The job got its place and its prompt is laid out: prompt_count, prompt_truncated, load_ns and
     * prompt_cached count (the last may grow while the prompt is read beside a like one). Once, before any piece; not for ENG_LOAD. May be NULL. */
    void (*start)(void *arg, const struct eng_stats *stats);
};

struct eng_job; /* a submitted request: reference-counted, one reference is the caller's */
/* Checks what can be checked, takes a place in the queue. ERR_BUSY: the queue is full. After 0
 * the sink will be called, possibly before this returns. */
int eng_submit(struct eng *g, const struct eng_request *r, const struct eng_sink *sink,
               struct eng_job **out, struct err *e);
void eng_job_cancel(struct eng_job *j); /* any thread; the sink gets fail(ERR_CANCELLED) */
/* A reader is too slow: take the sequence out of the batches (true), or go on (false). */
void eng_job_hold(struct eng_job *j, bool hold);
void eng_job_release(struct eng_job *j); /* the caller's reference */

struct eng_loaded { /* a row of /api/ps */
    char name[512], id[65];
    struct digest model;      /* of the GGUF */
    uint64_t size_bytes;      /* weights + KV + scratch, measured */
    int64_t expires_real_ns;  /* INT64_MAX = for ever */
    int32_t context_length;
    int parallel, active, queued;
};
/* Loaded models, latest expiry first; free(*out). */
int eng_ps(struct eng *g, struct eng_loaded **out, size_t *n, struct err *e);
/* Unload the model of this GGUF once it is idle; no such model loaded is fine. */
void eng_unload(struct eng *g, const struct digest *model);

/* ---- what is counted (GET /metrics) ---------------------------------------------------- */

struct eng_progress { /* of a job, at any time from any thread */
    int32_t prompt_count, prompt_cached, eval_count;
    int64_t wait_ns, first_ns; /* until it started, until its first token; 0 = not yet */
};
void eng_job_progress(const struct eng_job *j, struct eng_progress *out);

enum { ENG_N_BUCKETS = 16, ENG_N_ROW_BUCKETS = 9 };
extern const double eng_buckets[ENG_N_BUCKETS];       /* upper bounds, seconds */
extern const int eng_row_buckets[ENG_N_ROW_BUCKETS];  /* upper bounds, rows of a step */
struct eng_histogram {
    uint64_t counts[ENG_N_BUCKETS + 1]; /* the last: above all bounds */
    double sum;                         /* seconds */
};
struct eng_model_metrics { /* of a model by name, since the start */
    char name[512];
    uint64_t prompt_tokens, cached_tokens, generated_tokens;
    uint64_t prompts_truncated, context_shifts; /* requests that were cut; shifts */
    uint64_t draft_tokens, accepted_tokens;
    uint64_t steps[ENG_N_ROW_BUCKETS + 1], rows; /* steps by their rows; rows of all */
    struct eng_histogram first_token, inter_token, queue_wait, load;
    /* Now; all 0 when it is not loaded: */
    bool loaded;
    int running, waiting;
    uint64_t kv_pages_used, kv_pages_limit; /* in use; what the budget allows now */
    uint64_t weight_bytes, kv_bytes, scratch_bytes;
};
struct eng_metrics {
    struct eng_model_metrics *models;
    size_t n;
    int n_loaded;
    uint64_t budget_bytes;
};
int eng_metrics(struct eng *g, struct eng_metrics *out, struct err *e);
void eng_metrics_free(struct eng_metrics *m);

/* ---- the bench's level: one model, one caller ---------------------------------------------- */

struct model;
struct model_config {
    const char *isa;   /* or NULL */
    int n_threads;     /* 0 = automatic */
    int n_batch;       /* rows a step at most; 0 = 512 */
    enum eng_kv kv;
    bool fast;         /* as eng_config's */
    const char *pack_cache; /* folder that keeps packed weights; NULL or "" = none */
    void (*progress)(void *arg, double part); /* 0..1; may be NULL */
    void *progress_arg;
};
struct model *model_open(const char *path, const struct model_config *cfg, struct err *e);
void model_close(struct model *m);
int32_t model_n_vocab(const struct model *m);
int32_t model_n_threads(const struct model *m);
const char *model_isa(const struct model *m);
const char *model_numerics(const struct model *m); /* "exact", "fast", "blas" */
const struct tok_vocab *model_vocab(const struct model *m);
uint64_t model_weight_bytes(const struct model *m);

struct seq; /* one sequence: its tokens and KV pages */
struct seq *seq_new(struct model *m, struct err *e);
void seq_free(struct seq *s);
void seq_reset(struct seq *s); /* forget all tokens, keep the pages */
/* Forget all but the first n tokens; returns how many are left (fewer if there were fewer). */
int64_t seq_cut(struct seq *s, int64_t n);
/* Append n tokens and compute them, in steps of at most n_batch rows. Logits (n_vocab floats
 * each) of the last `n_logits` of these tokens are written to `logits` in order; n_logits may
 * be 0. `rows` may hold rows of one sequence only. */
int seq_eval(struct seq *s, const tok_id *tokens, int n, float *logits, int n_logits,
             struct err *e);

/* Does the file say that texts become vectors here (an encoder, or a pooling type)? */
bool model_embeds(const struct model *m);
int32_t model_n_embd(const struct model *m);
/* The pooled vector of n tokens, n_embd floats, not scaled to length 1. Any model. */
int model_embed(struct model *m, const tok_id *tokens, int n, float *out, struct err *e);

/* What a token costs at least. macs[type]: multiply-adds of the blocks' matrices of that type of
 * weights (enum gguf_type; no head, no attention). Bytes: all packed matrices and the head, and the
 * keys and values that a token at position `pos` sees. */
void model_token_macs(const struct model *m, uint64_t macs[TYPE_COUNT]);
uint64_t model_token_bytes(const struct model *m, int64_t pos);

/* ---- a trace: which operator every thread ran when (bench's level) --------------------------- */

struct trace;
struct trace_event {
    const char *op;  /* a literal */
    int32_t layer;   /* -1: before or behind the blocks */
    bool is_wait;    /* at a barrier; lies within the operator before it in the list */
    int64_t t0_ns, t1_ns; /* time_mono_ns */
};
struct trace_step { /* from the crew's call until all threads are back */
    int64_t t0_ns, t1_ns;
    int n_rows, n_threads;
};
struct trace *trace_new(struct err *e);
void trace_free(struct trace *t);
/* The steps from here on are traced (NULL: no more). The trace outlives that. */
void model_trace(struct model *m, struct trace *t);
const struct trace_step *trace_steps(const struct trace *t, size_t *n);
int trace_n_threads(const struct trace *t);
/* A thread's records of all steps, by their start. */
const struct trace_event *trace_events(const struct trace *t, int thread, size_t *n);
bool trace_is_whole(const struct trace *t); /* false: memory ended, later steps are missing */

#endif
