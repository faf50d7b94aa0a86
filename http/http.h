/* http/http.h - the door of the http room: the server of the API (spec/api.md).
 *
 * One thread runs the event loop and owns every socket; work that waits for the disk runs on a
 * few helper threads; tokens come from the engine's threads. All of them hand bytes to the loop. */
#ifndef CHASKI_HTTP_H
#define CHASKI_HTTP_H

#include "engine/engine.h"
#include "engine/store/store.h"
#include "gguf/base.h"

struct http_config {  /* strings and objects are borrowed and outlive the server */
    const char *host; /* name or address to bind; "" or NULL = 127.0.0.1 */
    int port;         /* 0 = any free port */
    bool has_listen_fd;
    int listen_fd;    /* a socket that listens already, instead of host and port; taken over */
    struct store *store;
    struct eng *eng;
    const char *origins;   /* OLLAMA_ORIGINS: more allowed origins, or NULL */
    const char *api_key;   /* CHASKI_API_KEY: a key with all scopes, or NULL */
    const char *keys_file; /* CHASKI_KEYS: lines NAME:SCOPES:SHA256, or NULL */
    int max_connections;   /* 0 = 1024 */
    int max_per_address;   /* connections of one address that is not loopback; 0 = 64 */
    size_t max_body_bytes; /* of chat and generate; 0 = 64 MiB */
    int n_workers;         /* helper threads; 0 = 8 */
    int64_t quiet_ns;      /* silence of a stream of events before a sign of life; 0 = 15 s,
                            * negative = never */
    /* Seconds until a connection is closed: whose head is not whole (10), that is idle (120), whose
     * body stands still (60), that does not read its answer (60). 0 = these. */
    int head_s, idle_s, stall_s, write_s;
    bool scope_by_key;     /* CHASKI_CACHE_SCOPE=key: prefixes are shared under one key only */
    void (*on_stopping)(void); /* the drain begins; loop thread; may be NULL */
};

struct http_server;

/* Bind and listen. SIGTERM and SIGINT are blocked in the calling thread from here on (threads made
 * later inherit that): http_run reads them. ERR_IO `listen tcp 127.0.0.1:11434: bind: address
 * already in use`. NULL on error. */
struct http_server *http_listen(const struct http_config *cfg, struct err *e);
int http_port(const struct http_server *s); /* the port that was bound */
/* "127.0.0.1:11434", as it was bound. */
const char *http_address(const struct http_server *s);

/* Serve until SIGTERM or SIGINT, then finish running answers for up to 10 s. Returns 0; 1 when a
 * second signal ended it at once (the engine may still be busy then); -1 with `e` filled. */
int http_run(struct http_server *s, struct err *e);
void http_free(struct http_server *s); /* after http_run returned 0 or -1; NULL is fine */

/* Append NAME:SCOPES:SHA256, the line of http_config.keys_file for `key`. */
int http_key_line(const char *name, const char *scopes, const char *key, struct buf *out,
                  struct err *e);

/* ---- for fuzzing and tests ----------------------------------------------------------------- */

/* Read a body and check it as the route of that name does, without a model. 0, or -1 with `e`
 * filled. */
int http_check_body(const char *p, size_t n, const char *route, struct err *e);
int http_n_body_routes(void);
const char *http_body_route(int i); /* "generate", "chat", ...; i < http_n_body_routes() */
/* What a zstd body holds, at most 20 MiB, in `out` (empty on error). */
int http_unzstd(const char *p, size_t n, struct buf *out, struct err *e);
/* Append `v` as JSON: keys in their order, shortest floats. */
void http_print_json(struct buf *out, const json_t *v);
/* Read a `keep_alive` value: nanoseconds, negative = for ever. */
int http_keep_alive(const json_t *v, int64_t *ns, struct err *e);
/* The same for a text as OLLAMA_KEEP_ALIVE holds it: a duration, or whole seconds. */
int http_keep_alive_text(const char *text, int64_t *ns, struct err *e);
#endif
