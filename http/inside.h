/* http/inside.h - what the files of the http room share. Nobody else includes it.
 *
 * Threads: "loop" is the thread in http_run; "worker" one of http/work.c; "engine" a thread that
 * calls a sink. A call is counted: the request's memory pool, a worker, the engine and a message
 * on its way to the loop each hold one reference. Only the loop touches h2o's objects. */
#ifndef CHASKI_HTTP_INSIDE_H
#define CHASKI_HTTP_INSIDE_H

#include <h2o.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include "http/http.h"
#include "http/keys.h"

enum {
    KIB = 1024,
    MIB = 1024 * 1024,
    MAX_JSON_DEPTH = 128,
    MAX_JSON_VALUES = MIB,
    MAX_MESSAGES = 16384,
    BEHIND_BYTES = MIB, /* a reader that is further behind pauses its generation */
};

/* ---- work.c: threads for what blocks ------------------------------------------------------- */

struct message { /* from any thread to the loop; embedded in what it is about */
    h2o_multithread_message_t super;
    void (*on_loop)(struct message *m);
};

struct work {                    /* embedded in what it is about; one run at a time */
    struct message done;         /* on_loop runs on the loop after run; may be NULL */
    void (*run)(struct work *w); /* on a worker */
    struct work *next;
};
struct work_pool;
struct work_pool *work_pool_new(int n_threads, h2o_multithread_receiver_t *loop, struct err *e);
void work_pool_free(struct work_pool *p); /* waits for what runs; drops what waits */
void work_submit(struct work_pool *p, struct work *w);

/* ---- cors.c: who may ask ------------------------------------------------------------------- */

struct access_rules; /* origins and host names, read-only after the start */
struct access_rules *access_rules_new(const char *origins, bool is_loopback);
void access_rules_free(struct access_rules *a);

enum access {
    ACCESS_OK,
    ACCESS_CORS,      /* allowed, and the answer carries CORS headers */
    ACCESS_PREFLIGHT, /* answer 204 with the preflight headers */
    ACCESS_EMPTY_204, /* OPTIONS without an origin on a named host */
    ACCESS_DENIED,    /* 403, empty */
};
/* `origin` and `host` may be {NULL, 0}. *any: the header's value is "*". */
enum access access_check(const struct access_rules *a, struct text method, struct text origin,
                         struct text host, bool *any);
extern const char access_allow_methods[], access_allow_headers[];

/* ---- connections --------------------------------------------------------------------------- */

struct conn { /* a socket, from accept to close; loop */
    struct conn *next, **prev;
    struct http_server *srv;
    h2o_socket_t *sock;
    h2o_socket_cb h2o_read; /* h2o's own read callback while ours stands in its place */
    struct upload *upload;  /* a blob on its way, or NULL */
    struct call *call;      /* the request that is owed an answer, or NULL */
    size_t seen_bytes;      /* sock->bytes_read at the last look */
    int64_t moved_ns;       /* when that changed */
    int64_t begun_ns;       /* when the bytes of the present request began to come; 0 = idle */
    bool wants_sniff;       /* h2o is about to read a new request */
    bool hung_up;           /* the peer sends no more */
    bool is_shut;
    struct sockaddr_storage peer;
    bool is_loopback;
    char peer_text[48]; /* address without port, for the log */
};

struct http_server {
    struct http_config cfg;
    h2o_globalconf_t conf;
    h2o_context_t ctx;
    h2o_accept_ctx_t accept_ctx;
    h2o_evloop_t *loop;
    h2o_multithread_receiver_t receiver;
    h2o_socket_t *listener, *signals, *hangups;
    h2o_timeout_t tick;
    h2o_timeout_entry_t tick_entry;
    bool has_ctx, has_receiver, has_tick;
    struct work_pool *workers;
    struct access_rules *access;
    struct key_ring *keys; /* NULL: everything is open */
    struct journal *journal;
    struct tags *tags;
    int64_t begun_real_ns;
    atomic_int n_conns_seen; /* n_conns, for other threads */
    struct conn *conns;   /* loop */
    int n_conns, n_calls; /* loop */
    bool sniff_pending;   /* some conn wants_sniff */
    bool hangup_pending;  /* some conn hung_up, perhaps under a job */
    int64_t resume_accept_ns;
    bool said_full;
    atomic_bool stopping; /* a signal came: no new requests */
    bool stop_now;        /* a second signal */
    bool drained;
    pthread_t drainer;
    bool has_drainer;
    struct message drain_done;
    int64_t drain_deadline;
    char address[320];
    int port, listen_fd, signal_fd, hangup_fd;
};

/* ---- journal.c: ids, the log, counts ------------------------------------------------------- */

enum { REQUEST_ID = 129, MODEL_TEXT = 256, JOURNAL_BUCKETS = 16 };
extern const double journal_buckets[JOURNAL_BUCKETS]; /* upper bounds, seconds */
struct journal_row {
    const char *route; /* a path of the table, "" for none */
    int status;
    char model[MODEL_TEXT]; /* short name of a model on disk, or "" */
    uint64_t counts[JOURNAL_BUCKETS + 1];
    double sum;
};
struct journal; /* any thread */
struct call;
struct journal *journal_new(struct err *e);
void journal_free(struct journal *j);
/* The id that was sent if it can be kept, else a new one. */
void journal_id(struct journal *j, struct text sent, char out[REQUEST_ID]);
void journal_count(struct journal *j, const char *route, int status, const char *model, int64_t ns);
struct journal_row *journal_copy(struct journal *j, size_t *n); /* free(); NULL without memory */
void journal_call(struct call *c); /* nobody else has it any more */

/* conn.c */
void conn_accept(struct http_server *s);      /* take what waits at the listener */
void conn_sniff_again(struct http_server *s); /* after each turn of the loop */
void conn_on_hangup(h2o_socket_t *hangups, const char *err);
void conn_end_hung_up(struct http_server *s); /* after each turn, too */
void conn_sweep(struct http_server *s);       /* four times a second */
void conn_shut(struct conn *c);               /* the socket dies; h2o cleans up */
struct conn *conn_of(h2o_socket_t *sock);

/* upload.c */
/* Look at the bytes at the start of a request: 1 = a blob upload, or a body that is too large by
 * its length: taken over (c->upload is set); 0 = h2o's business; -1 = not enough bytes to tell. */
int upload_sniff(struct conn *c);
void upload_closed(struct conn *c); /* the socket goes away */
bool upload_is_busy(const struct conn *c);

/* ---- call.c: one request and its answer ---------------------------------------------------- */

struct route;
struct call;

/* How a family of routes says an error: the status is chosen by the code, the words are shared. */
struct shape {
    const char *type; /* Content-Type of its JSON answers */
    const char *end;  /* behind each of them: "" or a newline */
    /* The client's libraries try again after any 5xx: what is not there yet is a 400. */
    bool unsupported_is_400;
    void (*opened)(struct call *c); /* a request came: its headers; may be NULL */
    /* Append the JSON object. `code`: the err_code, or ERR_NONE where only the status is known. */
    void (*error)(const struct call *c, struct buf *b, int status, enum err_code code,
                  const char *text);
    /* Append the last bytes of a stream that fails after it began (status 200 is out). */
    void (*stream_error)(const struct call *c, struct buf *b, int status, enum err_code code,
                         const char *text);
};
extern const struct shape shape_ollama, shape_openai, shape_anthropic;

enum {
    MAX_CHOICES = 128, /* generations that one request may ask for */
    MAX_EXTRA_HEADERS = 8,
};

struct call {
    h2o_generator_t gen; /* first: h2o hands it back */
    struct http_server *srv;
    atomic_int refs;
    const struct route *route;
    const struct shape *shape;
    int64_t begun_ns; /* when the body was there */

    /* The loop's. */
    h2o_req_t *req; /* NULL when the request is gone */
    struct conn *conn;
    bool started, may_send, finished;
    struct buf flying; /* what h2o holds */
    int64_t flying_ns;
    int flying_outq;
    size_t n_sent;
    int64_t over_ns; /* when the request's memory went; 0 = not yet */
    char who[56]; /* for the log */
    char id[REQUEST_ID], peer[48];
    const struct api_key *key; /* that was presented, or NULL */

    /* Set before the worker starts, read-only after. */
    char *body;
    size_t n_body;
    char *tail; /* rest of the path after a prefix route, NUL-terminated */
    bool is_head, is_copilot, is_zstd;
    struct work work;

    atomic_bool gone; /* the client left */

    pthread_mutex_t lock; /* guards what follows */
    struct message wake;
    bool is_posted;
    struct buf out;   /* bytes to send */
    char model[MODEL_TEXT]; /* short name of what was found on disk: call_set_model */
    int status;       /* 0 = nothing decided */
    const char *type; /* Content-Type, static */
    bool is_stream, is_ended, retry_after;
    const char *sign_of_life; /* for a stream that is silent for long; static, or NULL */
    int64_t said_ns;          /* when bytes were last added to a stream */
    const char *allow; /* Allow header (405), static */
    const char *names[MAX_EXTRA_HEADERS]; /* static; call_header */
    char *values[MAX_EXTRA_HEADERS];      /* owned */
    int n_headers;
    struct eng_job *jobs[MAX_CHOICES]; /* a reference each; kept until the call is freed */
    int n_jobs, n_held;
    /* Wins over the shape's: a stream whose error needs to know what was sent before. Called with
     * the lock held. */
    void (*stream_error)(const struct call *c, struct buf *b, int status, enum err_code code,
                         const char *text);

    void *state; /* the handler's; freed by free_state with the call */
    void (*free_state)(void *state);
};

extern const char type_json[], type_json_plain[], type_ndjson[], type_sse[], type_text[],
    type_text_utf8[];

struct call *call_new(struct http_server *s, h2o_req_t *req); /* loop; NULL without memory */
void call_ref(struct call *c);
void call_unref(struct call *c);
void call_gone(struct call *c); /* loop: the client left; ends the request */

/* Any thread. The first of these that decides the status wins; after an end nothing is added. */
void call_answer(struct call *c, int status, const char *type, const void *p, size_t n);
/* The same in the type and with the end of the route's shape. Takes v; NULL becomes a 500. */
void call_answer_json(struct call *c, int status, json_t *v);
/* Before the first byte: status and the error in the route's shape. After it: the stream's error,
 * and the end. */
void call_fail(struct call *c, const struct err *e);
void call_fail_status(struct call *c, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Append a line (without its newline) to the NDJSON stream; starts it when needed. */
void call_line(struct call *c, const char *p, size_t n);
void call_line_json(struct call *c, json_t *v); /* takes v */
/* Append bytes that are framed already; the first ones start the stream with that type (static). */
void call_stream(struct call *c, const char *type, const char *p, size_t n);
void call_end(struct call *c); /* the stream is complete */
/* The bytes (static) that show a client of a silent stream that its answer is still worked on. */
void call_sign_of_life(struct call *c, const char *bytes);
void call_sweep(struct call *c, int64_t now); /* loop: now and then; sends such a sign */
/* One more header of the answer (the name in small letters, static; the value is copied), before
 * the status is decided. */
void call_header(struct call *c, const char *name, const char *value);
/* A job that answers, at most MAX_CHOICES of them: cancelled when the client leaves, held when it
 * reads too slowly. */
void call_add_job(struct call *c, struct eng_job *job);
void call_cancel_jobs(struct call *c);
bool call_has_jobs(struct call *c);
void call_set_model(struct call *c, const struct store_name *name); /* for log and metrics */
bool call_is_gone(struct call *c);
int status_of(const struct err *e);

/* ---- routes.c ------------------------------------------------------------------------------ */

struct route {
    const char *method;             /* "GET" serves HEAD too where `head` */
    const char *path;               /* ends in '/' when it is a prefix with one more part,
                                     * in a star when with anything more */
    void (*handle)(struct call *c); /* NULL: answers 501 */
    size_t max_body;                /* 0 = the server's for chat and generate */
    bool head;
    bool on_loop; /* needs no disk: handled at once */
};
/* From a request line as it came; NULL: no such route. */
const struct route *route_find(struct text method, struct text path);
const struct shape *shape_of_path(struct text path);
size_t route_max_body(const struct http_server *s, struct text method, struct text path);
int on_request(h2o_handler_t *self, h2o_req_t *req);
/* Percent-decoded path without the query, in `out`; -1 when it does not fit or holds a NUL. */
int path_decode(const char *p, size_t n, char *out, size_t cap);

/* ---- json.c: bodies ------------------------------------------------------------------------ */

/* The first JSON value of a body, an object ({} for null). New reference, NULL and `e` on error. */
json_t *body_parse(const char *p, size_t n, struct err *e);
/* A member by its exact name, else without regard to case; NULL for absent and null. Borrowed. */
json_t *field(const json_t *obj, const char *name);
/* Typed members: 0 and *out set (left alone when absent), or -1 with the type error. `where` is the
 * path in messages ("messages.content"). Strings with a NUL inside are refused. */
int field_string(const json_t *obj, const char *name, const char *where, const char **out,
                 struct err *e);
int field_bool(const json_t *obj, const char *name, bool *out, bool *is_set, struct err *e);
int field_int(const json_t *obj, const char *name, json_int_t *out, struct err *e);
int field_array(const json_t *obj, const char *name, const char *where, json_t **out,
                struct err *e);
int field_object(const json_t *obj, const char *name, json_t **out, struct err *e);
int type_error(const json_t *v, const char *where, const char *want, struct err *e);
/* `model`, else `name`: NULL when neither is there. */
int field_model(const json_t *obj, const char **out, struct err *e);

/* unzstd.c: the call's body, in its place. */
int body_unzstd(struct call *c, struct err *e);

/* syntax.c: -1 and the reference's words when the text is no JSON; 0: nothing found. */
int json_syntax_error(const char *p, size_t n, struct err *e);

/* ---- print.c: numbers, times --------------------------------------------------------------- */

enum { TIME_TEXT = 40 };
void print_time(int64_t real_ns, char out[TIME_TEXT]); /* INT64_MAX = for ever */
void print_json_string(struct buf *out, const char *p, size_t n);
void print_real(struct buf *out, double v);
void print_float(struct buf *out, float f);  /* as print_real, faster; finite */
void print_wide(struct buf *out, double v);  /* with the digits of a double, also of a float */

/* ---- tags.c: the list of models, kept while the store does not change ---------------------- */

struct tags *tags_new(struct store *s); /* NULL without memory */
void tags_free(struct tags *t);

/* ---- handlers ------------------------------------------------------------------------------ */

void on_generate(struct call *c);
void on_chat(struct call *c);
void on_openai_chat(struct call *c);
void on_openai_text(struct call *c);
void on_openai_models(struct call *c);
void on_openai_model(struct call *c);
void on_v1_messages(struct call *c);
void on_count_tokens(struct call *c);
void on_responses(struct call *c);
void on_create(struct call *c);
void on_copy(struct call *c);
void on_delete(struct call *c);
void on_tags(struct call *c);
void on_show(struct call *c);
void on_ps(struct call *c);
void on_version(struct call *c);
void on_root(struct call *c);
void on_health(struct call *c);
void on_ready(struct call *c);
void on_metrics(struct call *c);
void on_blob_head(struct call *c);
void on_blob_post(struct call *c);
void on_embed(struct call *c);
void on_embeddings(struct call *c);
void on_openai_embeddings(struct call *c);
void on_tokenize(struct call *c);
void on_detokenize(struct call *c);
void on_cloud_status(struct call *c);
void on_me(struct call *c);
void on_signout(struct call *c);
void on_no_audio(struct call *c);
void on_recommendations(struct call *c);
void on_web_search(struct call *c);
void on_web_fetch(struct call *c);

/* models.c: `text` -> the stored model. On failure the call is answered and NULL comes back. The 404
 * shows the stored short form, the name as it was sent, or that and that it may be pulled. */
enum not_found { NAME_SHORT, NAME_AS_SENT, NAME_TO_PULL };
struct store_model *model_find(struct call *c, const char *text, enum not_found how);
json_t *tag_row(struct call *c, const struct store_model *m); /* of /api/tags; NULL without memory */
json_t *time_json(int64_t ns); /* RFC 3339 */
json_t *capabilities_json(const struct eng_info *info, const struct store_model *m);
#endif
