/* http/call.c - one request and its answer.
 *
 * A handler runs on a worker, tokens come on an engine thread, and only the loop may touch h2o: so
 * everybody writes bytes into the call's outbox under its lock and posts one message; the loop
 * sends. h2o wants one send at a time (traps.md, 79) and buffers that stay until it asks for more
 * (80): `flying` is what it holds, `out` what waits. The request's pool holds a reference, so that
 * its end, however it comes, is seen in one place (on_pool_gone). */
#include "http/inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_wake(struct message *m);
static void on_proceed(h2o_generator_t *gen, h2o_req_t *req);
static void on_stop(h2o_generator_t *gen, h2o_req_t *req);
static void send_more(struct call *c);

/* ---- life ---------------------------------------------------------------------------------- */

void call_ref(struct call *c)
{
    atomic_fetch_add(&c->refs, 1);
}

void call_unref(struct call *c)
{
    if (atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    if (c->over_ns) /* now all of its jobs are known, and have ended */
        journal_call(c);
    for (int i = 0; i < c->n_jobs; i++)
        eng_job_release(c->jobs[i]);
    for (int i = 0; i < c->n_headers; i++)
        free(c->values[i]);
    if (c->free_state)
        c->free_state(c->state);
    buf_free(&c->out);
    buf_free(&c->flying);
    pthread_mutex_destroy(&c->lock);
    free(c->body);
    free(c->tail);
    free(c);
}

bool call_is_gone(struct call *c)
{
    return atomic_load(&c->gone);
}

/* Outside the lock: the engine may hold its own while it calls a sink. Jobs are only ever added, so
 * the first n stay what they are. */
static int count_jobs(struct call *c)
{
    pthread_mutex_lock(&c->lock);
    const int n = c->n_jobs;
    pthread_mutex_unlock(&c->lock);
    return n;
}

bool call_has_jobs(struct call *c)
{
    return count_jobs(c) > 0;
}

void call_cancel_jobs(struct call *c)
{
    const int n = count_jobs(c);
    for (int i = 0; i < n; i++)
        eng_job_cancel(c->jobs[i]);
}

static void hold_jobs(struct call *c, bool hold)
{
    const int n = count_jobs(c);
    for (int i = 0; i < n; i++)
        eng_job_hold(c->jobs[i], hold);
}

static void leave(struct call *c)
{
    atomic_store(&c->gone, true);
    pthread_mutex_lock(&c->lock);
    const bool done = c->is_ended;
    pthread_mutex_unlock(&c->lock);
    if (!done)
        call_cancel_jobs(c);
}

struct pool_entry {
    struct call *call;
};

/* The request's memory goes: sent in full, or the connection broke. */
static void on_pool_gone(void *p)
{
    struct call *c = ((struct pool_entry *)p)->call;
    struct http_server *s = c->srv;
    c->req = NULL;
    s->n_calls--;
    if (c->conn) {
        c->conn->call = NULL;
        c->conn->wants_sniff = true;
        c->conn->begun_ns = 0;
        c->conn->moved_ns = time_mono_ns();
        s->sniff_pending = true;
    }
    leave(c);
    c->over_ns = time_mono_ns();
    call_unref(c);
}

struct call *call_new(struct http_server *s, h2o_req_t *req)
{
    struct call *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->gen.proceed = on_proceed;
    c->gen.stop = on_stop;
    c->srv = s;
    c->shape = &shape_ollama;
    c->req = req;
    c->begun_ns = time_mono_ns();
    c->may_send = true;
    atomic_init(&c->refs, 1);
    pthread_mutex_init(&c->lock, NULL);
    c->wake.on_loop = on_wake;
    struct pool_entry *entry =
        h2o_mem_alloc_shared(&req->pool, sizeof *entry, on_pool_gone); /* the first reference */
    entry->call = c;
    c->conn = conn_of(req->conn->callbacks->get_socket(req->conn));
    if (c->conn) {
        c->conn->call = c;
        memcpy(c->peer, c->conn->peer_text, sizeof c->peer);
    }
    s->n_calls++;
    return c;
}

/* ---- the outbox: any thread ---------------------------------------------------------------- */

static void post(struct call *c) /* with the lock held */
{
    if (c->is_posted)
        return;
    c->is_posted = true;
    call_ref(c);
    h2o_multithread_send_message(&c->srv->receiver, &c->wake.super);
}

void call_answer(struct call *c, int status, const char *type, const void *p, size_t n)
{
    pthread_mutex_lock(&c->lock);
    if (!c->status) {
        c->status = status;
        c->type = type;
        buf_add(&c->out, p, n);
        c->is_ended = true;
        post(c);
    }
    pthread_mutex_unlock(&c->lock);
}

void call_answer_json(struct call *c, int status, json_t *v)
{
    const struct shape *shape = c->shape;
    struct buf b = {0};
    if (v)
        http_print_json(&b, v);
    buf_puts(&b, shape->end);
    if (!v || b.failed)
        call_fail_status(c, 500, "out of memory");
    else
        call_answer(c, status, shape->type, b.p, b.n);
    buf_free(&b);
    json_decref(v);
}

static void stream_locked(struct call *c, const char *type, const char *p, size_t n,
                          const char *end)
{
    if (c->is_ended)
        return;
    if (!c->status) {
        c->status = 200;
        c->type = type;
        c->is_stream = true;
    }
    buf_add(&c->out, p, n);
    buf_puts(&c->out, end);
    c->said_ns = time_mono_ns();
    if (c->out.failed) { /* a line is missing: better no end than a wrong text */
        c->is_ended = true;
        log_line(LOG_ERROR, "%s: out of memory while streaming", c->who);
    }
    post(c);
}

void call_line(struct call *c, const char *p, size_t n)
{
    pthread_mutex_lock(&c->lock);
    stream_locked(c, type_ndjson, p, n, "\n");
    pthread_mutex_unlock(&c->lock);
}

void call_stream(struct call *c, const char *type, const char *p, size_t n)
{
    pthread_mutex_lock(&c->lock);
    stream_locked(c, type, p, n, "");
    pthread_mutex_unlock(&c->lock);
}

void call_line_json(struct call *c, json_t *v)
{
    struct buf b = {0};
    if (v)
        http_print_json(&b, v);
    if (!v || b.failed)
        call_fail_status(c, 500, "out of memory");
    else
        call_line(c, b.p, b.n);
    buf_free(&b);
    json_decref(v);
}

void call_end(struct call *c)
{
    pthread_mutex_lock(&c->lock);
    if (!c->is_ended) {
        c->is_ended = true;
        post(c);
    }
    pthread_mutex_unlock(&c->lock);
}

void call_sign_of_life(struct call *c, const char *bytes)
{
    pthread_mutex_lock(&c->lock);
    c->sign_of_life = bytes;
    pthread_mutex_unlock(&c->lock);
}

/* Only what an idle connection may wait for: nothing is added behind a reader who is slow. */
void call_sweep(struct call *c, int64_t now)
{
    const int64_t quiet = c->srv->cfg.quiet_ns;
    bool is_due = false;
    if (!c->req || c->finished || !c->may_send || quiet < 0)
        return;
    pthread_mutex_lock(&c->lock);
    if (c->sign_of_life && c->is_stream && !c->is_ended && !c->out.n && now - c->said_ns >= quiet) {
        buf_puts(&c->out, c->sign_of_life);
        c->said_ns = now;
        is_due = true;
    }
    pthread_mutex_unlock(&c->lock);
    if (is_due)
        send_more(c);
}

void call_set_model(struct call *c, const struct store_name *name)
{
    char text[STORE_NAME_TEXT];
    store_name_short(name, text, sizeof text);
    pthread_mutex_lock(&c->lock);
    snprintf(c->model, sizeof c->model, "%.*s", (int)sizeof c->model - 1, text);
    pthread_mutex_unlock(&c->lock);
}

/* ---- errors: any thread -------------------------------------------------------------------- */

static void fail_text(struct call *c, int status, enum err_code code, const char *text)
{
    const struct shape *shape = c->shape;
    if (status == 501 && shape->unsupported_is_400)
        status = 400;
    pthread_mutex_lock(&c->lock);
    if (c->is_stream && !c->is_ended) {
        (c->stream_error ? c->stream_error : shape->stream_error)(c, &c->out, status, code, text);
        c->is_ended = true;
        post(c);
    } else if (!c->status) {
        c->status = status;
        c->type = shape->type;
        c->retry_after = status == 503;
        shape->error(c, &c->out, status, code, text);
        buf_puts(&c->out, shape->end);
        c->is_ended = true;
        post(c);
    }
    pthread_mutex_unlock(&c->lock);
}

int status_of(const struct err *e)
{
    switch (e->code) {
    case ERR_INPUT:
    case ERR_LIMIT:
    case ERR_CONTEXT:
        return 400;
    case ERR_NOT_FOUND:
        return 404;
    case ERR_BUSY:
        return 503;
    case ERR_TIMEOUT:
        return 504;
    case ERR_UNSUPPORTED:
        return 501;
    case ERR_CANCELLED:
        return 503; /* seen only when the server stops under a client that still waits */
    default:
        return 500;
    }
}

/* No path of this machine reaches a client: the store's root is cut out (spec/api.md, 27). */
static void without_root(const struct store *s, const char *text, char *out, size_t cap)
{
    const char *root = store_root(s);
    const size_t n = root ? strlen(root) : 0;
    size_t used = 0;
    while (*text && used + 1 < cap) {
        if (n > 1 && strncmp(text, root, n) == 0) {
            text += n;
            while (*text == '/')
                text++;
            continue;
        }
        out[used++] = *text++;
    }
    out[used] = 0;
}

void call_fail(struct call *c, const struct err *e)
{
    char text[sizeof e->text];
    const char *said = e->text;
    if (e->code == ERR_CANCELLED)
        said = "the server is stopping";
    else if (!said[0])
        said = "internal error";
    if (e->code == ERR_IO || e->code == ERR_BUG || e->code == ERR_MEMORY)
        log_line(LOG_ERROR, "%s: %s", c->who, e->text);
    without_root(c->srv->cfg.store, said, text, sizeof text);
    fail_text(c, status_of(e), e->code, text);
}

void call_fail_status(struct call *c, int status, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    /* A long name may have been cut inside a character. */
    size_t n = strlen(text);
    while (n && !text_is_utf8(text, n))
        text[--n] = 0;
    fail_text(c, status, ERR_NONE, text);
}

void call_add_job(struct call *c, struct eng_job *job)
{
    pthread_mutex_lock(&c->lock);
    c->jobs[c->n_jobs++] = job;
    pthread_mutex_unlock(&c->lock);
    if (call_is_gone(c)) /* it left before there was a job to cancel */
        eng_job_cancel(job);
}

/* ---- sending: the loop --------------------------------------------------------------------- */

static void on_wake(struct message *m)
{
    struct call *c = (struct call *)((char *)m - offsetof(struct call, wake));
    pthread_mutex_lock(&c->lock);
    c->is_posted = false;
    pthread_mutex_unlock(&c->lock);
    send_more(c);
    call_unref(c);
}

static void on_proceed(h2o_generator_t *gen, h2o_req_t *req)
{
    struct call *c = (struct call *)gen;
    c->may_send = true;
    buf_free(&c->flying);
    send_more(c);
}

static void on_stop(h2o_generator_t *gen, h2o_req_t *req)
{
    leave((struct call *)gen);
}

static void start(struct call *c, size_t n_whole)
{
    h2o_req_t *req = c->req;
    req->res.status = c->status;
    req->res.reason = c->status == 200 ? "OK" : "";
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {201, "Created"},
        {204, "No Content"},
        {307, "Temporary Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {413, "Request Entity Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == c->status)
            req->res.reason = reasons[i].reason;
    if (c->type)
        h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, c->type,
                       strlen(c->type));
    h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("x-request-id"), 0, NULL, c->id,
                          strlen(c->id)); /* c outlives the request's memory */
    if (c->status == 401)
        h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("www-authenticate"), 0,
                              NULL, H2O_STRLIT("Bearer"));
    if (c->retry_after)
        h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("retry-after"), 0, NULL,
                              H2O_STRLIT("1"));
    if (c->allow)
        h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("allow"), 0, NULL, c->allow,
                              strlen(c->allow));
    pthread_mutex_lock(&c->lock);
    for (int i = 0; i < c->n_headers; i++)
        h2o_add_header_by_str(&req->pool, &req->res.headers, c->names[i], strlen(c->names[i]), 0,
                              NULL, c->values[i], strlen(c->values[i]));
    pthread_mutex_unlock(&c->lock);
    if (!c->is_stream)
        req->res.content_length = n_whole;
    c->started = true;
    h2o_start_response(req, &c->gen);
}

/* A reader that does not keep up pauses its generation: at most about 2 * BEHIND_BYTES wait. Only
 * the loop says hold and go on, so that the two cannot overtake each other. */
static void pause_if_behind(struct call *c)
{
    pthread_mutex_lock(&c->lock);
    const bool hold = !c->is_ended && c->n_held < c->n_jobs && c->out.n > BEHIND_BYTES;
    if (hold)
        c->n_held = c->n_jobs;
    pthread_mutex_unlock(&c->lock);
    if (!hold)
        return;
    log_line(LOG_INFO, "%s: the reader is slow, its generation pauses", c->who);
    hold_jobs(c, true);
}

static void send_more(struct call *c)
{
    if (!c->req || c->finished)
        return;
    if (!c->may_send) {
        pause_if_behind(c);
        return;
    }
    pthread_mutex_lock(&c->lock);
    const bool ended = c->is_ended;
    bool go_on = false;
    if (!c->status || (!ended && !c->out.n)) {
        pthread_mutex_unlock(&c->lock);
        return;
    }
    buf_free(&c->flying);
    c->flying = c->out;
    c->out = (struct buf){0};
    if (c->n_held && !ended) { /* everything that waited is on its way now */
        c->n_held = 0;
        go_on = true;
    }
    pthread_mutex_unlock(&c->lock);
    if (!c->started)
        start(c, c->flying.n);
    c->may_send = false;
    c->finished = ended;
    c->flying_ns = time_mono_ns();
    c->flying_outq = -1;
    h2o_iovec_t v = h2o_iovec_init(c->flying.p, c->flying.n);
    const bool no_body = c->is_head || !c->flying.n;
    if (!no_body)
        c->n_sent += c->flying.n;
    const bool broken = c->flying.failed;
    h2o_send(c->req, &v, no_body ? 0 : 1,
             broken ? H2O_SEND_STATE_ERROR
                    : (ended ? H2O_SEND_STATE_FINAL : H2O_SEND_STATE_IN_PROGRESS));
    if (go_on)
        hold_jobs(c, false);
}

void call_gone(struct call *c)
{
    leave(c);
    if (!c->req || c->finished)
        return;
    if (!c->may_send) { /* a write hangs: it fails when the socket dies */
        conn_shut(c->conn);
        return;
    }
    call_ref(c);
    pthread_mutex_lock(&c->lock);
    if (!c->status)
        c->status = 499;
    c->is_ended = true;
    c->is_stream = true; /* no length: nothing comes */
    pthread_mutex_unlock(&c->lock);
    c->req->http1_is_persistent = 0;
    if (!c->started)
        start(c, 0);
    c->finished = true;
    h2o_send(c->req, NULL, 0, H2O_SEND_STATE_ERROR);
    call_unref(c);
}
