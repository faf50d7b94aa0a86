/* engine/sched/sched.h - jobs, slots and the engine's insides. Private to engine/.
 *
 * A slot is a model being loaded, loaded, or about to go; it has a thread of its own that alone
 * touches the model, its pages and the state of its running jobs. All threads meet only in
 * eng.lock, which is never held across a forward pass, a load, a file, or a sink. */
#ifndef CHASKI_SCHED_H
#define CHASKI_SCHED_H

#include <pthread.h>
#include <stdatomic.h>
#include "engine/chat/chat.h"
#include "engine/engine.h"
#include "engine/model/model.h"
#include "engine/sampler/sampler.h"
#include "engine/sched/draft.h"
#include "engine/sched/meter.h"
#include "engine/sched/worth.h"

enum { MAX_PARALLEL = 16, MAX_FILES = 256 };

struct eng_job {
    atomic_int refs;
    atomic_bool cancelled, held;
    struct eng_sink sink;
    struct eng_job *next;      /* in the slot's queue; guarded by eng.lock */
    int64_t submitted;         /* monotonic */
    int64_t deadline;          /* monotonic; INT64_MAX = none */
    struct job_meter meter;    /* the slot's thread writes, anybody reads */

    /* the request, copied; owned */
    enum eng_kind kind;
    char *raw;
    size_t n_raw;
    json_t *chat;
    char *template_text;
    bool continue_last, no_truncate, no_shift, want_context;
    tok_id *context;
    size_t n_context;
    char *cache_scope;
    struct eng_options opt;

    /* the sequence; the slot's thread alone */
    int32_t n_ctx;             /* N: positions at most */
    struct tok_ids tokens;     /* prompt and answer, what a shift dropped taken out */
    int64_t n_done;            /* of these, computed, or found in the prefix cache */
    int64_t n_seen;            /* the most that n_done was */
    int64_t n_prompt;          /* tokens of the prompt (up to the first sample) */
    uint64_t n_drawn_before;   /* counter of the next draw */
    struct tok_ids whole;      /* for `context`: the prompt untruncated, and the answer */
    struct kv_table kv;
    struct smp smp;
    struct piece piece;
    struct lp_list lps;        /* of tokens whose text is held back */
    int n_top;                 /* alternatives of each; -1: no log-probabilities are wanted */
    bool is_started;           /* the sink knows */
    bool sampled;              /* the prompt is done: the last token came from the sampler */
    int64_t t_start, t_prompt_end;
    int64_t n_predict;         /* tokens that may be sampled */
    enum eng_speculate speculate; /* the server's word and the request's */
    struct draft draft;
    tok_id ahead[1 + DRAFT_MOST]; /* rows of a step: the last token and its draft */
    struct eng_stats stats;
};
void job_unref(struct eng_job *j);
/* Has the client left, or has the request's time run out? Fills e with which. */
bool job_is_over(const struct eng_job *j, int64_t now, struct err *e);

enum slot_state { SLOT_LOADING, SLOT_READY, SLOT_GONE };

struct slot {
    struct eng *g;
    struct slot *next;         /* eng.slots; lock */
    struct meter *meter;       /* of its name; outlives the slot */
    pthread_t thread;
    pthread_cond_t wake;       /* with eng.lock */
    enum slot_state state;     /* lock */
    bool has_place;            /* counted among the loaded models; until then it waits; lock */
    struct digest files[MAX_FILES]; /* GGUF parts, in order: all of them are the key */
    int n_files;
    char name[512], id[65];
    struct eng_job *head, *tail; /* waiting; lock */
    int n_queued, n_active;    /* lock */
    int64_t keep_alive_ns;     /* lock */
    int64_t expires;           /* monotonic; INT64_MAX = never; lock */
    int64_t ready_at;          /* monotonic; when the load ended */
    bool evict;                /* go as soon as idle; lock */
    atomic_bool cancel_load;
    uint64_t need_bytes;       /* estimate while loading, then measured; lock */
    uint64_t kv_used, kv_limit, kv_bytes, weight_bytes; /* the same, in parts; lock */
    int32_t n_ctx_shown;       /* largest context in use; lock */

    /* the slot's thread alone */
    struct model *m;
    struct chat_template *tpl; /* of the GGUF; NULL: none, or it does not parse */
    struct err tpl_err;
    struct eng_job *active[MAX_PARALLEL];
    /* The same list for eng_drain: written under the lock by the thread, read under it. */
    _Atomic(struct eng_job *) running[MAX_PARALLEL];
    struct worth worth;        /* what steps cost by rows */
    double ns_decode, ns_row;  /* running means: a step without a prompt, a row of a prompt */
};

struct info_entry {
    struct info_entry *next;
    struct digest key;
    struct eng_info info;
    char *chat_template;
};

struct eng {
    struct eng_config cfg;
    const struct kernels *k;
    struct crew *crew;
    pthread_mutex_t crew_lock; /* a crew runs one step at a time */
    pthread_mutex_t lock;
    pthread_cond_t changed;    /* a slot went, a job ended */
    struct slot *slots;        /* lock */
    int n_jobs;                /* submitted and not answered; lock */
    int n_threads;             /* slot threads alive; lock */
    bool draining;             /* lock */
    struct info_entry *infos;  /* lock */
    struct text_cache *texts;  /* its own lock */
    struct meters meters;
};

/* slot.c: the thread of a slot. */
void *slot_main(void *slot);
/* plan.c: one step for the slot's running jobs; false when there was nothing to do. */
bool slot_step(struct slot *s);
void slot_job_end(struct slot *s, int i, const struct err *e); /* e NULL: done */
/* prompt.c: fill tokens, whole, n_prompt, stats.prompt_truncated of a job that starts. */
int prompt_build(struct slot *s, struct eng_job *j, struct err *e);
void eng_lock_crew(void *g, bool lock);

#endif
