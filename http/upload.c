/* http/upload.c - POST /api/blobs/:digest, streamed to the disk.
 *
 * h2o 2.2.5 reads a body whole before a handler runs (traps.md, 72, and "a blob of many GB"): so
 * the request is taken from the socket before h2o sees it. The loop moves bytes into a buffer, a
 * worker hashes and writes a full one while the other fills; when both are full, reading stops.
 * Memory stays at two buffers whatever comes. Afterwards the socket goes back to h2o. */
#include "http/inside.h"
#include "http/head.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_HEAD = 16 * KIB,
    READ_ONCE = 256 * KIB,
    FULL = 512 * KIB,         /* a buffer goes to the worker */
    SMALL_BODY = 64 * KIB,
    KEEP_DROPPING = MIB,      /* a body that is not wanted is read so far for keep-alive */
    LINGER_BYTES = 256 * MIB, /* ... or after the answer, before the connection is cut */
};
static const char prefix[] = "POST /api/blobs/";

enum step { STEP_BEGIN, STEP_WRITE, STEP_COMMIT };

struct upload {
    struct http_server *srv;
    struct conn *c; /* loop; NULL when the socket is gone */
    struct work work;
    bool is_busy; /* the worker has it */

    /* The worker's while is_busy, else the loop's. */
    enum step step;
    struct digest digest;
    struct store_upload *file;
    struct buf writing;
    struct err err;
    bool exists, has_length;
    uint64_t length;

    /* The loop's. */
    struct buf filling, reply;
    bool is_chunked, keep_alive, expects, complete, is_dropping, is_answered, read_stopped;
    uint64_t left, n_body, n_linger;
    struct chunked chunks;
    char cors[512], id[REQUEST_ID], peer[48];
    const char *route; /* for log and metrics, static */
    const struct api_key *key;
    const struct shape *shape; /* of its errors */
    char who[56];              /* for the log */
    int status;
    int64_t begun_ns;
    struct err bad; /* the body's coding is broken */
};

static void on_body(h2o_socket_t *sock, const char *err);
static void pump(struct upload *u);

static void remember(const struct upload *u)
{
    const int64_t ns = time_mono_ns() - u->begun_ns;
    journal_count(u->srv->journal, u->route, u->status, "", ns);
    const struct log_field f[] = {{"id", u->id, 0},
                                  {"peer", u->peer, 0},
                                  {"request", u->who, 0},
                                  {"status", NULL, u->status},
                                  {"body_bytes", NULL, (double)u->n_body},
                                  {"ms", NULL, (double)(ns / 1000) / 1e3},
                                  {"key", u->key ? u->key->name : NULL, 0}};
    log_event(LOG_INFO, "request", f, sizeof f / sizeof *f - !u->key);
}

static void upload_free(struct upload *u)
{
    store_upload_abort(u->file);
    buf_free(&u->writing);
    buf_free(&u->filling);
    buf_free(&u->reply);
    u->srv->n_calls--;
    remember(u);
    free(u);
}

void upload_closed(struct conn *c)
{
    struct upload *u = c->upload;
    c->upload = NULL;
    u->c = NULL;
    if (!u->is_busy)
        upload_free(u);
}

bool upload_is_busy(const struct conn *c)
{
    return c->upload->is_busy;
}

/* The socket goes back to h2o: with an error it is closed there. */
static void give_back(struct upload *u, const char *err)
{
    struct conn *c = u->c;
    h2o_socket_t *sock = c->sock;
    const h2o_socket_cb h2o_read = c->h2o_read;
    c->upload = NULL;
    u->c = NULL;
    c->h2o_read = NULL;
    c->begun_ns = 0;
    c->moved_ns = time_mono_ns();
    h2o_socket_dont_read(sock, 0);
    if (!u->is_busy)
        upload_free(u);
    if (err) {
        h2o_read(sock, err);
        return;
    }
    h2o_socket_read_start(sock, h2o_read);
    if (sock->input->size) { /* the next request came behind: h2o's business */
        h2o_read(sock, NULL);
        return;
    }
    c->wants_sniff = true;
    c->srv->sniff_pending = true;
}

/* ---- the answer ---------------------------------------------------------------------------- */

static void on_answered(h2o_socket_t *sock, const char *err)
{
    struct conn *c = conn_of(sock);
    struct upload *u = c->upload;
    if (err) {
        give_back(u, err);
    } else if (u->keep_alive) {
        give_back(u, NULL);
    } else {
        /* Close so that the answer survives: end our side, drop what still comes. */
        u->is_dropping = true;
        shutdown(h2o_socket_get_fd(sock), SHUT_WR);
        h2o_buffer_consume(&sock->input, sock->input->size);
        h2o_socket_read_start(sock, on_body);
    }
}

static void answer(struct upload *u, int status, const char *error)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {{200, "OK"},
                   {201, "Created"},
                   {400, "Bad Request"},
                   {401, "Unauthorized"},
                   {403, "Forbidden"},
                   {413, "Request Entity Too Large"},
                   {500, "Internal Server Error"},
                   {503, "Service Unavailable"},
                   {507, "Insufficient Storage"}};
    const char *reason = "";
    struct buf body = {0};
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status)
            reason = reasons[i].reason;
    static const struct call nobody = {0}; /* shapes ask for the route alone */
    if (error) {
        u->shape->error(&nobody, &body, status, ERR_NONE, error);
        buf_puts(&body, u->shape->end);
    }
    char date[64] = "";
    const time_t now = time(NULL);
    struct tm tm;
    if (gmtime_r(&now, &tm)) /* never in another language: no program here sets a locale */
        strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    u->status = status;
    u->is_answered = true;
    buf_printf(&u->reply,
               "HTTP/1.1 %d %s\r\nDate: %s\r\nServer: chaski/" CHASKI_VERSION
               "\r\nConnection: %s\r\nContent-Length: %zu\r\nX-Request-Id: %s\r\n%s%s%s%s\r\n",
               status, reason, date, u->keep_alive ? "keep-alive" : "close", body.n, u->id,
               status == 401 ? "WWW-Authenticate: Bearer\r\n" : "",
               error ? "Content-Type: " : "", error ? u->shape->type : "", error ? "\r\n" : "");
    if (u->cors[0]) { /* before the empty line */
        u->reply.n -= u->reply.n >= 2 ? 2 : 0;
        buf_puts(&u->reply, u->cors);
        buf_puts(&u->reply, "\r\n");
    }
    buf_add(&u->reply, body.p, body.n);
    buf_free(&body);
    h2o_socket_read_stop(u->c->sock);
    u->read_stopped = true;
    if (u->reply.failed) {
        give_back(u, h2o_socket_error_out_of_memory);
        return;
    }
    h2o_iovec_t v = h2o_iovec_init(u->reply.p, u->reply.n);
    h2o_socket_write(u->c->sock, &v, 1, on_answered);
}

static void answer_err(struct upload *u)
{
    if (u->bad.code != ERR_NONE)
        u->err = u->bad;
    if (u->err.code == ERR_IO || u->err.code == ERR_BUG)
        log_line(LOG_ERROR, "upload: %s", u->err.text);
    if (!u->complete)
        u->keep_alive = false; /* bytes of the body are still to come */
    if (!u->is_busy) { /* what was written is gone before the client hears of it */
        store_upload_abort(u->file);
        u->file = NULL;
    }
    answer(u, status_of(&u->err), u->err.text);
}

/* Nothing of the body is wanted: a short rest is read away, else the connection ends. */
static void refuse_body(struct upload *u)
{
    if (!u->complete && !u->expects && !u->is_chunked && u->left <= KEEP_DROPPING) {
        u->is_dropping = true;
        return;
    }
    if (!u->complete)
        u->keep_alive = false;
    answer(u, 200, NULL);
}

/* ---- the worker's part --------------------------------------------------------------------- */

static void run_step(struct work *w)
{
    struct upload *u = (struct upload *)((char *)w - offsetof(struct upload, work));
    struct store *s = u->srv->cfg.store;
    uint64_t size = 0;
    int there;
    switch (u->step) {
    case STEP_BEGIN:
        there = store_blob_stat(s, &u->digest, &size, &u->err);
        u->exists = there == 1;
        if (there != 0)
            break;
        u->file = store_upload_begin(s, &u->err);
        if (u->file && u->has_length)
            (void)store_upload_expect(u->file, u->length, &u->err);
        break;
    case STEP_WRITE:
        (void)store_upload_write(u->file, u->writing.p, u->writing.n, &u->err);
        u->writing.n = 0;
        break;
    case STEP_COMMIT:
        (void)store_upload_commit(u->file, &u->digest, NULL, &u->err);
        u->file = NULL;
        break;
    }
}

static void submit(struct upload *u, enum step step)
{
    u->step = step;
    u->is_busy = true;
    work_submit(u->srv->workers, &u->work);
}

static void on_step_done(struct message *m)
{
    struct work *w = (struct work *)((char *)m - offsetof(struct work, done));
    struct upload *u = (struct upload *)((char *)w - offsetof(struct upload, work));
    u->is_busy = false;
    if (!u->c) {
        upload_free(u);
        return;
    }
    if (u->is_answered)
        return;
    if (u->err.code != ERR_NONE || u->bad.code != ERR_NONE) {
        answer_err(u);
        return;
    }
    if (u->step == STEP_COMMIT) {
        answer(u, 201, NULL);
        return;
    }
    if (u->step == STEP_BEGIN) {
        if (u->exists) {
            refuse_body(u);
            if (u->is_answered)
                return;
        } else if (u->expects) {
            static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
            /* A fresh socket takes 25 bytes at once. */
            if (write(h2o_socket_get_fd(u->c->sock), go_on, sizeof go_on - 1) < 0)
                log_line(LOG_DEBUG, "upload: 100 Continue could not be sent");
        }
    }
    pump(u);
}

/* ---- the loop's part ----------------------------------------------------------------------- */

static void take_data(struct upload *u, const char *p, size_t n)
{
    u->n_body += n;
    if (!u->is_dropping)
        buf_add(&u->filling, p, n);
}

/* Move what came into `filling`. */
static int take_input(struct upload *u)
{
    h2o_socket_t *sock = u->c->sock;
    while (sock->input->size && !u->complete && u->filling.n < 2 * FULL) {
        const char *p = sock->input->bytes, *data = NULL;
        size_t n = sock->input->size, n_data = 0;
        if (n > FULL)
            n = FULL;
        if (u->is_chunked) {
            const ptrdiff_t used = chunked_take(&u->chunks, p, n, &data, &n_data);
            if (used < 0)
                return err_set(&u->bad, ERR_INPUT, "broken chunked coding");
            n = (size_t)used;
            u->complete = u->chunks.state == CHUNK_DONE;
        } else {
            if (n > u->left)
                n = (size_t)u->left;
            data = p;
            n_data = n;
            u->left -= n;
            u->complete = !u->left;
        }
        take_data(u, data, n_data);
        h2o_buffer_consume(&sock->input, n);
        if (u->filling.failed)
            return err_set(&u->bad, ERR_MEMORY, "out of memory");
    }
    return 0;
}

/* Read on only when nothing waits: a fast sender fills a socket's buffer with more than we take. */
static void set_reading(struct upload *u, bool on)
{
    if (on == !u->read_stopped)
        return;
    u->read_stopped = !on;
    if (on)
        h2o_socket_read_start(u->c->sock, on_body);
    else
        h2o_socket_read_stop(u->c->sock);
}

/* Give the worker what is full, or the end. */
static void hand_over(struct upload *u)
{
    if (u->is_busy)
        return;
    if (u->filling.n >= FULL || (u->complete && u->filling.n)) {
        const struct buf empty = u->writing; /* its memory is used again */
        u->writing = u->filling;
        u->filling = empty;
        u->filling.n = 0;
        submit(u, STEP_WRITE);
    } else if (u->complete) {
        submit(u, STEP_COMMIT);
    }
}

static void pump(struct upload *u)
{
    if (u->is_answered)
        return;
    for (int i = 0; i < 2; i++) { /* one buffer for the worker, one for us */
        if (u->bad.code != ERR_NONE || take_input(u) != 0) {
            set_reading(u, false);
            if (!u->is_busy)
                answer_err(u); /* else when the worker is back */
            return;
        }
        if (u->is_dropping) {
            if (u->complete)
                answer(u, 200, NULL);
            else
                set_reading(u, true);
            return;
        }
        hand_over(u);
    }
    set_reading(u, !u->complete && !u->c->sock->input->size);
}

/* h2o reads a socket until it is empty, which with a fast sender is tens of MiB: so it is told not
 * to, and each turn takes at most READ_ONCE. */
static const char *read_some(h2o_socket_t *sock)
{
    h2o_iovec_t room = h2o_buffer_reserve(&sock->input, READ_ONCE);
    if (!room.base)
        return h2o_socket_error_out_of_memory;
    const ssize_t n =
        read(h2o_socket_get_fd(sock), room.base, room.len < READ_ONCE ? room.len : READ_ONCE);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? NULL : h2o_socket_error_io;
    if (n == 0)
        return h2o_socket_error_closed;
    sock->input->size += (size_t)n;
    sock->bytes_read += (size_t)n;
    return NULL;
}

static void on_body(h2o_socket_t *sock, const char *err)
{
    struct conn *c = conn_of(sock);
    struct upload *u = c->upload;
    if (!err)
        err = read_some(sock);
    if (err) {
        give_back(u, err);
        return;
    }
    if (u->is_answered) { /* lingering */
        u->n_linger += sock->input->size;
        h2o_buffer_consume(&sock->input, sock->input->size);
        if (u->n_linger > LINGER_BYTES)
            give_back(u, h2o_socket_error_closed);
        return;
    }
    pump(u);
}

/* ---- the head ------------------------------------------------------------------------------ */

/* h is NULL when there is no head that could be read. */
static struct upload *upload_new(struct conn *c, const struct head *h, const char *route)
{
    struct upload *u = calloc(1, sizeof *u);
    if (!u)
        return NULL;
    u->srv = c->srv;
    u->c = c;
    u->work.run = run_step;
    u->work.done.on_loop = on_step_done;
    u->begun_ns = time_mono_ns();
    u->route = route;
    u->shape = h ? shape_of_path(h->path) : &shape_ollama;
    snprintf(u->who, sizeof u->who, "%.*s %s", h ? (int)(h->method.n < 15 ? h->method.n : 15) : 1,
             h ? h->method.p : "-", route[0] ? route : "(no route)");
    memcpy(u->peer, c->peer_text, sizeof u->peer);
    journal_id(c->srv->journal, h ? h->request_id : (struct text){NULL, 0}, u->id);
    c->upload = u;
    c->srv->n_calls++;
    h2o_socket_read_stop(c->sock);
    h2o_socket_dont_read(c->sock, 1);
    u->read_stopped = true;
    return u;
}

static void put_cors(struct upload *u, struct text origin, bool any)
{
    if (any)
        snprintf(u->cors, sizeof u->cors, "Access-Control-Allow-Origin: *\r\n");
    else if (origin.n < 300)
        snprintf(u->cors, sizeof u->cors, "Access-Control-Allow-Origin: %.*s\r\nVary: Origin\r\n",
                 (int)origin.n, origin.p);
}

/* The key of a request whose body nobody has read yet: 0, or the status that refuses it. */
static int refused_by_key(const struct conn *c, const struct head *h, const struct route *r,
                          const struct api_key **key)
{
    const unsigned need = r ? key_needed(r->method, r->path) : KEY_READ;
    if (!c->srv->keys || !need)
        return 0;
    *key = key_ring_find(c->srv->keys,
                         &(struct presented){h->authorization, h->x_api_key, h->api_key});
    if (!*key)
        return 401;
    return r && !((*key)->scopes & need) ? 403 : 0;
}

/* The head is whole: check it, start. 1 in every case: the request is ours. */
static int begin(struct conn *c, const struct head *h, size_t n_head)
{
    const struct route *route = route_find(h->method, h->path);
    struct upload *u = upload_new(c, h, "/api/blobs/");
    char path[256];
    bool any = false;
    if (!u)
        return 0; /* h2o may try */
    const int refused = refused_by_key(c, h, route, &u->key);
    u->keep_alive = h->keep_alive;
    u->is_chunked = h->is_chunked;
    u->has_length = h->has_length;
    u->left = u->length = h->length;
    u->expects = h->expects_continue;
    u->complete = !h->is_chunked && !h->length;
    const enum access access = access_check(c->srv->access, h->method, h->origin, h->host, &any);
    if (access == ACCESS_CORS)
        put_cors(u, h->origin, any);
    const bool fits = path_decode(h->path.p, h->path.n, path, sizeof path) == 0;
    const char *tail = path + sizeof "/api/blobs/" - 1;
    if (!fits || strlen(path) < sizeof "/api/blobs/" - 1 ||
        digest_parse(tail, strlen(tail), &u->digest, &u->err) != 0)
        err_set(&u->err, ERR_INPUT, "invalid digest format");
    h2o_buffer_consume(&c->sock->input, n_head);
    if (access == ACCESS_DENIED) {
        u->keep_alive = false;
        answer(u, 403, NULL);
    } else if (refused) {
        u->keep_alive = false;
        answer(u, refused,
               refused == 401 ? "unauthorized" : "this key does not have the scope \"manage\"");
    } else if (u->err.code != ERR_NONE) {
        answer_err(u);
    } else if (atomic_load(&c->srv->stopping)) {
        u->keep_alive = false;
        answer(u, 503, "the server is stopping");
    } else {
        submit(u, STEP_BEGIN);
    }
    return 1;
}

/* A head that is not taken: nobody knows where its body ends, so what came is dropped. */
static int refuse_head(struct conn *c, size_t n, const char *why)
{
    struct upload *u = upload_new(c, NULL, "");
    if (!u)
        return 0;
    h2o_buffer_consume(&c->sock->input, n);
    u->keep_alive = false;
    answer(u, 400, why);
    return 1;
}

/* What is to be refused is refused before its body comes: h2o would keep all of it first, and say
 * 413 in plain text. Chunked bodies are measured when they are in. */
static int refuse_early(struct conn *c, const char *p, size_t n)
{
    struct head h;
    bool any;
    const struct api_key *key = NULL;
    const int used = head_parse(p, n, &h);
    if (used < 0 && h.is_doubtful)
        return refuse_head(c, n, "the head of the request is broken");
    if (used <= 0 || (!h.has_length && !h.is_chunked))
        return 0;
    const enum access access = access_check(c->srv->access, h.method, h.origin, h.host, &any);
    if (access != ACCESS_OK && access != ACCESS_CORS)
        return 0;
    const struct route *route = route_find(h.method, h.path);
    int status = 0;
    if (h.is_chunked || h.length > SMALL_BODY) /* small ones keep the connection: h2o's way */
        status = refused_by_key(c, &h, route, &key);
    if (!status && h.has_length && h.length > route_max_body(c->srv, h.method, h.path))
        status = 413;
    if (!status)
        return 0;
    struct upload *u = upload_new(c, &h, route ? route->path : "");
    if (!u)
        return 0;
    u->key = key;
    u->keep_alive = false;
    if (access == ACCESS_CORS)
        put_cors(u, h.origin, any);
    h2o_buffer_consume(&c->sock->input, (size_t)used);
    answer(u, status,
           status == 413   ? "request body too large"
           : status == 401 ? "unauthorized"
                           : "this key does not have the scope that this needs");
    return 1;
}

int upload_sniff(struct conn *c)
{
    const char *p = c->sock->input->bytes;
    const size_t n = c->sock->input->size, n_prefix = sizeof prefix - 1;
    if (memcmp(p, prefix, n < n_prefix ? n : n_prefix) != 0)
        return refuse_early(c, p, n);
    if (n < n_prefix)
        return -1;
    struct head h;
    const int used = head_parse(p, n, &h);
    if (used == 0 && n <= MAX_HEAD)
        return -1;
    if (used > 0)
        return begin(c, &h, (size_t)used);
    return refuse_head(c, n,
                       used < 0 ? "the head of the request is broken" : "the head is too large");
}
