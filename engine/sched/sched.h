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
#include "engine/grammar/grammar.h"
#include "engine/model/model.h"
#include "engine/sampler/sampler.h"
#include "engine/sched/draft.h"
#include "engine/sched/meter.h"
#include "engine/sched/pace.h"
#include "engine/sched/worth.h"

enum { MAX_PARALLEL = 16, MAX_FILES = 256, MOST_ENDS = 64, MOST_KEPT = 4 };

struct eng_job {
    atomic_int refs;
    atomic_bool cancelled, held;
    struct eng_sink sink;
    struct eng_job *next;      /* in the slot's queue; guarded by eng.lock */
    struct slot *slot;         /* that has it; NULL once its answer is out; eng.lock */
    _Atomic(struct eng *) g;   /* NULL once its answer is out */
    int64_t submitted;         /* monotonic; no two are equal: the order of all jobs */
    int64_t deadline;          /* monotonic; INT64_MAX = none */
    uint64_t bytes;            /* of its state, in the ledger; the slot's thread */
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
    struct grammar *rules;     /* that the answer obeys, or NULL */
    uint32_t rules_at;         /* its state behind the answer so far */
    size_t rules_bytes;        /* of the grammar, counted in `bytes` */
    char *rules_key;           /* what makes the grammar: equal texts, equal grammars */
    char *shown;               /* texts of control tokens that are shown, or NULL */
    struct embed_work *embed;  /* ENG_EMBED */

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
    bool score_prompt;
    struct lp_list scores;     /* of the prompt's tokens, the first left out */
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

/* A slot waits for its turn to load, loads, serves; then it goes, or waits again where requests are
 * left (it was closed for another model). */
enum slot_state { SLOT_WAITING, SLOT_LOADING, SLOT_READY, SLOT_GONE };

struct slot {
    struct eng *g;
    struct slot *next;         /* eng.slots; lock, as all down to `m` */
    struct meter *meter;       /* of its name; outlives the slot */
    pthread_t thread;
    pthread_cond_t wake;       /* with eng.lock */
    enum slot_state state;
    bool has_place;            /* counted in eng.n_places, its weights in the ledger */
    struct digest files[MAX_FILES]; /* GGUF parts, in order: all of them are the key */
    int n_files;
    char name[512], id[65];
    struct eng_job *head, *tail; /* waiting */
    int n_queued, n_active;
    int64_t keep_alive_ns;
    int64_t expires;           /* monotonic; INT64_MAX = never */
    int64_t ready_at;          /* monotonic; when the load ended */
    int64_t used_at;           /* when a job started or ended last */
    int64_t ticket;            /* the lowest waiting one loads next */
    int64_t waits_since;       /* when it began to wait for its turn */
    int n_admitted;            /* jobs since it was loaded */
    int kv_wish, map_wish;     /* of the request that wants it loaded: -1 = any */
    enum eng_kv kv;            /* from SLOT_LOADING on */
    bool no_map, is_mapped;
    bool unloading;            /* counted in eng.n_unloading */
    bool replaced;             /* another slot loads the same file with other options: no new
                                * requests; it goes when its own are answered */
    atomic_bool cancel_load;
    _Atomic int64_t load_moved; /* monotonic; when the load went on last */
    bool load_stuck;           /* it was given up for that */
    struct tok_vocab *vocab;   /* of the loaded model, for its texts; or NULL */
    uint64_t need_bytes;       /* measured */
    uint64_t reserved;         /* of the ledger: all but pages and jobs */
    uint64_t kv_used, kv_limit, kv_bytes, weight_bytes; /* parts of need_bytes */
    int32_t n_ctx_shown;       /* of the newest request */
    /* What others ask of it (room.c): */
    bool closing;              /* admit nobody, unload when no job runs */
    bool parking;              /* closing, and jobs without pages may wait for the next load */
    uint64_t give_back;        /* bytes of idle pages */
    int64_t pause_after;       /* the youngest job that came later gives up its pages; or INT64_MAX */
    /* What it shows others, as of its last step: */
    uint64_t idle_bytes;       /* pages that nobody uses */
    int64_t youngest;          /* age of its youngest job with pages; 0 = none */
    int64_t oldest;            /* age of its oldest job; INT64_MAX = none */
    int64_t hungry;            /* age of its oldest job that waits for pages; INT64_MAX = none */

    /* the slot's thread alone */
    size_t words_bytes, kept_bytes; /* in the ledger, as jobs are */
    struct grammar_vocab *words[2]; /* tokens for masks; [1]: some control tokens have text; or NULL */
    char *words_shown;         /* which ones in words[1] */
    struct {
        char *key;
        struct grammar *g;
        size_t bytes;
    } kept[MOST_KEPT];         /* grammars of jobs that are over, newest first */
    tok_id ends[MOST_ENDS];    /* tokens that end a text; found with the first grammar */
    int n_ends;
    struct model *m;
    struct chat_template *tpl; /* of the GGUF; NULL: none, or it does not parse */
    struct err tpl_err;
    struct eng_job *active[MAX_PARALLEL];
    /* The same list for eng_drain: written under the lock by the thread, read under it. */
    _Atomic(struct eng_job *) running[MAX_PARALLEL];
    struct embed_lanes *lanes; /* texts on their way to vectors, or NULL */
    struct worth worth;        /* what steps cost by rows */
    struct pace pace;          /* and rows of prompts beside others */
    double ns_decode;          /* running mean of a step without a prompt */
};

enum { MOST_INFOS = 128, MOST_INFO_BYTES = 16 << 20 }; /* kept of models that nobody looks at */

struct info_entry { /* all fields but the first three never change */
    struct info_entry *next; /* lock */
    int n_users;             /* lock */
    uint64_t used;           /* lock; by eng.info_clock */
    size_t n_bytes;
    struct digest key;
    uint64_t words; /* the model's own template, which decides what it can do: its hash */
    struct eng_info info;
    char *chat_template;
};

struct eng {
    struct eng_config cfg;
    const struct kernels *k;
    struct crew *crew;
    pthread_mutex_t crew_lock; /* a crew runs one step at a time, in the order of asking */
    pthread_cond_t crew_turn;
    uint64_t crew_asked, crew_done;
    struct mem mem;
    atomic_uint_least64_t job_bytes; /* in the ledger, of jobs and of what is small: they hold up nobody */
    pthread_mutex_t lock;
    pthread_cond_t changed;    /* a slot went, a job ended */
    struct slot *slots;        /* lock */
    int n_jobs;                /* submitted and not answered; lock */
    int n_threads;             /* slot threads alive; lock */
    bool draining, stopping;   /* stopping: what waits or runs is cancelled; lock */
    int n_places;              /* loaded models, until their memory is back; lock */
    int n_unloading;           /* of these, on their way out; lock */
    struct slot *loader;       /* one load at a time; lock */
    int64_t tickets, last_submitted; /* lock */
    struct info_entry *infos;  /* lock, as the next */
    uint64_t info_clock;
    struct text_cache *texts;  /* its own lock */
    struct meters meters;
};

/* constrain.c: answers that obey a grammar. */
/* What token t adds to the answer. */
struct text shown_piece(const struct tok_vocab *v, const char *shown, tok_id t);
int rules_new(struct eng_job *j, const struct eng_request *r, struct err *e); /* before the queue */
/* A job starts, ends: clients send the same schema again and again, and the masks that were made for it
 * serve the next one. */
void rules_meet(struct slot *s, struct eng_job *j);
void rules_leave(struct slot *s, struct eng_job *j);
void rules_forget(struct slot *s); /* memory is short */
void rules_close(struct slot *s);  /* the model goes */
/* The masks that a step's logits will want, made by a thread beside the forward pass; it runs only where
 * one is not there yet and the crew leaves a CPU. Between start and join nobody touches the jobs' rules. */
struct rules_ahead {
    struct slot *slot;
    struct eng_job *job[MAX_PARALLEL];
    int n_draft[MAX_PARALLEL]; /* guesses in job->ahead */
    int n;
    pthread_t thread;
    bool runs;
};
void rules_ahead_start(struct rules_ahead *a);
void rules_ahead_join(struct rules_ahead *a);
/* Take all chance from tokens that cannot come; *only: the one that is left, or -1. */
int rules_mask(struct slot *s, struct eng_job *j, float *logits, tok_id *only, struct err *e);
int rules_take(struct slot *s, struct eng_job *j, tok_id t, struct err *e); /* it came */
bool rules_over(struct slot *s, struct eng_job *j); /* nothing can follow: the answer is whole */
/* Tokens of the text that must follow; none where there is a choice. */
int rules_forced(struct slot *s, struct eng_job *j, struct tok_ids *out, struct err *e);

/* slot.c: the thread of a slot. */
void *slot_main(void *slot);
void slot_job_end(struct slot *s, int i, const struct err *e); /* e NULL: done */
/* Answer and drop the jobs of the queue that are cancelled or too late, and parked ones. Called without
 * the lock, by the slot's thread, or for it while that loads. */
void slot_sweep(struct slot *s);
/* Under the lock: ns until one of its jobs is so, 0 or less when one is; INT64_MAX: nothing says when. */
int64_t slot_patience(const struct slot *s);
/* Show the others what it holds. */
void slot_measure(struct slot *s);

/* loading.c */
/* Wait for the turn to load; false: the slot has left, it has nothing to load for. */
bool slot_turn(struct slot *s);
int slot_load(struct slot *s, struct err *e);
/* Give everything back. Under no lock; a slot that has not left waits for its turn again. */
void slot_unload(struct slot *s);
/* Under the lock: out of the list, so that nobody finds it any more. */
void slot_leave(struct slot *s);

/* room.c: memory and places, between the slots. */
/* A job's rank: who is younger gives way. One whose reader is slow is younger than all others. */
int64_t job_age(const struct eng_job *j);
/* Under the lock: see that others give `bytes`, or a place: pages that nobody uses, then idle models,
 * the least recently used first. true: something is on its way. */
bool room_ask(struct eng *g, struct slot *me, uint64_t bytes, bool place);
/* Under the lock: a model that waits since `since` for a place wants a busy one to go. */
void room_close_one(struct eng *g, const struct slot *me, int64_t since);
/* A job wants `bytes` of pages and the ledger is full. */
enum room { ROOM_WAIT, ROOM_PAUSE_OWN, ROOM_PAUSE_ME, ROOM_PAID, ROOM_NONE };
enum room room_for_pages(struct slot *s, const struct eng_job *j, uint64_t bytes);
/* May it take pages, or do older jobs wait for some? */
bool room_is_free(struct slot *s, const struct eng_job *j);
/* Do what others asked of this slot. */
void room_obey(struct slot *s);
/* Wake who waits for memory. Under the lock. */
void room_changed(struct eng *g);
int64_t room_patience(const struct eng *g);
bool slot_has_pages(const struct slot *s); /* does a running job hold some? The slot's thread */

/* plan.c: one step for the slot's running jobs; false when there was nothing to do. */
bool slot_step(struct slot *s);
void job_pause(struct slot *s, struct eng_job *j); /* it gives up its pages */
/* prompt.c: fill tokens, whole, n_prompt, stats.prompt_truncated of a job that starts. */
int prompt_build(struct slot *s, struct eng_job *j, struct err *e);
/* Pages for all tokens of active job i, or n_positions when that is more; false: it waits, or with an
 * error in `e` it cannot be. */
bool slot_make_room(struct slot *s, int i, int64_t n_positions, struct err *e);
/* embed.c: texts to vectors. */
struct embed_work *embed_work_new(const struct eng_request *r, struct err *e);
void embed_work_free(struct embed_work *w); /* NULL is fine */
int embed_start(struct slot *s, struct eng_job *j, struct err *e);
/* One step for them, short while others generate; false when there was nothing to do. */
bool embed_step(struct slot *s);
uint64_t embed_work_bytes(const struct embed_work *w, const struct model *m);
void embed_close(struct slot *s);
/* score.c: log-probabilities of a prompt. Its rows bring logits, so it goes in short chunks and takes
 * nothing from the cache. */
enum { SCORED_ROWS = 16 }; /* a step; with those of running answers what model_step_bytes counts */
bool scores_now(const struct eng_job *j);
/* What the logits of this run's rows say of the tokens behind them; the sink gets all with the last. */
int score_rows(struct slot *s, struct eng_job *j, const struct run *run, const float *logits,
               struct err *e);
void eng_lock_crew(void *g, bool lock);
/* eng.c: bytes that hold up nobody come into the ledger, or leave it. */
void eng_count(struct eng *g, int64_t bytes);
void infos_free(struct eng *g); /* infos.c */
/* eng.c: a condition to wait on by the monotonic clock, and such a wait; true: the time is over. */
void cond_init(pthread_cond_t *c);
bool cond_wait_ns(pthread_cond_t *c, pthread_mutex_t *m, int64_t ns);

#endif
