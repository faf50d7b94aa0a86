/* http/server.c - the loop: listener, signals, the tick, the drain.
 *
 * Facts: traps.md, section 7 (h2o 2.2.5 as Debian packages it). Signals are blocked everywhere and
 * read from a signalfd, because h2o_evloop_run ends with EINTR otherwise. HTTP/2 is off. h2o's own
 * request timeout runs over a whole body and is not renewed, so it is set to a day and conn_sweep
 * watches progress instead. */
#include "http/inside.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define DRAIN_NS (10 * INT64_C(1000000000))

enum { TICK_MS = 250, BACKLOG = 1024, DAY_MS = 24 * 3600 * 1000 };

/* What the socket is bound to: port, and whether only this machine reaches it. */
static bool look_at_socket(struct http_server *s, int fd)
{
    struct sockaddr_storage got = {0};
    socklen_t n = sizeof got;
    bool is_loopback = false;
    if (getsockname(fd, (struct sockaddr *)&got, &n) != 0)
        return false;
    if (got.ss_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, &got, sizeof in);
        s->port = ntohs(in.sin_port);
        is_loopback = (ntohl(in.sin_addr.s_addr) >> 24) == 127;
    } else if (got.ss_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, &got, sizeof in6);
        s->port = ntohs(in6.sin6_port);
        is_loopback = IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
    } else {
        is_loopback = got.ss_family == AF_UNIX;
    }
    return is_loopback;
}

static int begin_access(struct http_server *s, bool is_loopback, struct err *e)
{
    s->access = access_rules_new(s->cfg.origins, is_loopback);
    if (!s->access)
        return err_set(e, ERR_MEMORY, "out of memory");
    if (!is_loopback && !s->keys)
        log_line(LOG_WARN, "listening on %s without keys: everybody who reaches it may use it",
                 s->address);
    return 0;
}

/* A socket that somebody opened for us (systemd). */
static int take_socket(struct http_server *s, struct err *e)
{
    const int fd = s->cfg.listen_fd;
    int listens = 0;
    socklen_t n = sizeof listens;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) != 0 || !listens)
        return err_set(e, ERR_INPUT, "the socket that was passed does not listen");
    s->listen_fd = fd;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0)
        return err_set(e, ERR_IO, "the socket that was passed cannot be set up");
    const bool is_loopback = look_at_socket(s, fd);
    struct sockaddr_storage got = {0};
    char host[128] = "";
    n = sizeof got;
    if (getsockname(fd, (struct sockaddr *)&got, &n) == 0 && got.ss_family != AF_UNIX)
        (void)getnameinfo((struct sockaddr *)&got, n, host, sizeof host, NULL, 0, NI_NUMERICHOST);
    snprintf(s->address, sizeof s->address,
             !host[0]              ? "%sa socket"
             : strchr(host, ':') ? "[%s]:%d"
                                   : "%s:%d",
             host, s->port);
    return begin_access(s, is_loopback, e);
}

static int bind_to(struct http_server *s, struct err *e)
{
    if (s->cfg.has_listen_fd)
        return take_socket(s, e);

    const char *host = s->cfg.host && s->cfg.host[0] ? s->cfg.host : "127.0.0.1";
    char port[16];
    struct addrinfo hints = {0}, *list = NULL;
    int fd = -1, why = 0;
    snprintf(port, sizeof port, "%d", s->cfg.port);
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV | AI_PASSIVE;
    snprintf(s->address, sizeof s->address, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host,
             s->cfg.port);
    const int rc = getaddrinfo(host, port, &hints, &list);
    if (rc != 0)
        return err_set(e, ERR_IO, "listen tcp %s: %s", s->address, gai_strerror(rc));
    for (struct addrinfo *i = list; i && fd < 0; i = i->ai_next) {
        fd = socket(i->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0) {
            why = errno;
            continue;
        }
        const int on = 1;
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (bind(fd, i->ai_addr, i->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
            why = errno;
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    if (fd < 0) {
        char text[128];
        const char *said = why == EADDRINUSE      ? "address already in use"
                           : why == EACCES        ? "permission denied"
                           : why == EADDRNOTAVAIL ? "cannot assign requested address"
                                                  : strerror_r(why, text, sizeof text);
        return err_set(e, ERR_IO, "listen tcp %s: bind: %s", s->address, said);
    }
    const bool is_loopback = look_at_socket(s, fd);
    snprintf(s->address, sizeof s->address, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, s->port);
    s->listen_fd = fd;
    return begin_access(s, is_loopback, e);
}

static void on_messages(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    while (!h2o_linklist_is_empty(messages)) {
        h2o_linklist_t *link = messages->next;
        struct message *m = (struct message *)((char *)link - offsetof(struct message, super.link));
        h2o_linklist_unlink(link);
        m->on_loop(m);
    }
}

struct http_server *http_listen(const struct http_config *cfg, struct err *e)
{
    struct http_server *s = calloc(1, sizeof *s);
    sigset_t stop;
    if (!s) {
        err_set(e, ERR_MEMORY, "out of memory");
        return NULL;
    }
    s->cfg = *cfg;
    s->listen_fd = s->signal_fd = s->hangup_fd = -1;
    if (!s->cfg.max_connections)
        s->cfg.max_connections = 1024;
    if (!s->cfg.max_per_address)
        s->cfg.max_per_address = 64;
    if (!s->cfg.max_body_bytes)
        s->cfg.max_body_bytes = 64 * MIB;
    if (!s->cfg.quiet_ns)
        s->cfg.quiet_ns = INT64_C(15000000000);
    if (!s->cfg.n_workers)
        s->cfg.n_workers = 8;
    struct {
        int *at, seconds;
    } times[] = {{&s->cfg.head_s, 10},
                 {&s->cfg.idle_s, 120},
                 {&s->cfg.stall_s, 60},
                 {&s->cfg.write_s, 60}};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        if (*times[i].at <= 0)
            *times[i].at = times[i].seconds;
    atomic_init(&s->stopping, false);
    s->begun_real_ns = time_real_ns();
    s->journal = journal_new(e);
    s->tags = cfg->store ? tags_new(cfg->store) : NULL;
    if (!s->tags) {
        err_set(e, ERR_MEMORY, "out of memory");
        goto fail;
    }
    if (!s->journal || key_ring_new(cfg->api_key, cfg->keys_file, &s->keys, e) != 0)
        goto fail;
    if (s->keys)
        log_line(LOG_INFO, "%zu keys: requests need one", key_ring_count(s->keys));
    if (bind_to(s, e) != 0)
        goto fail;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stop, NULL);
    s->signal_fd = signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s->signal_fd < 0) {
        err_set(e, ERR_IO, "signalfd failed");
        goto fail;
    }
    s->hangup_fd = epoll_create1(EPOLL_CLOEXEC);
    if (s->hangup_fd < 0) {
        err_set(e, ERR_IO, "epoll_create1 failed");
        goto fail;
    }

    h2o_config_init(&s->conf);
    s->conf.server_name = h2o_iovec_init(H2O_STRLIT("chaski/" CHASKI_VERSION));
    s->conf.http1.req_timeout = DAY_MS;
    s->conf.http1.upgrade_to_http2 = 0;
    /* Routes have limits of their own, told in JSON (routes.c); this is the largest of them. */
    s->conf.max_request_entity_size =
        s->cfg.max_body_bytes > 64 * MIB ? s->cfg.max_body_bytes : 64 * MIB;
    /* The name stands in for a missing Host header, which passes (spec/api.md 1.6). */
    h2o_hostconf_t *host =
        h2o_config_register_host(&s->conf, h2o_iovec_init(H2O_STRLIT("localhost")), 65535);
    h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
    h2o_create_handler(path, sizeof(h2o_handler_t))->on_req = on_request;
    s->loop = h2o_evloop_create();
    h2o_context_init(&s->ctx, s->loop, &s->conf);
    s->has_ctx = true;
    h2o_multithread_register_receiver(s->ctx.queue, &s->receiver, on_messages);
    s->has_receiver = true;
    s->accept_ctx.ctx = &s->ctx;
    s->accept_ctx.hosts = s->conf.hosts;
    s->workers = work_pool_new(s->cfg.n_workers, &s->receiver, e);
    if (!s->workers)
        goto fail;
    return s;
fail:
    http_free(s);
    return NULL;
}

int http_port(const struct http_server *s)
{
    return s->port;
}

const char *http_address(const struct http_server *s)
{
    return s->address;
}

/* ---- running ------------------------------------------------------------------------------- */

static void on_accept(h2o_socket_t *listener, const char *err)
{
    if (!err)
        conn_accept(listener->data);
}

static void on_drained(struct message *m)
{
    struct http_server *s =
        (struct http_server *)((char *)m - offsetof(struct http_server, drain_done));
    s->drained = true;
}

static void *drain(void *arg)
{
    struct http_server *s = arg;
    eng_drain(s->cfg.eng, s->drain_deadline);
    h2o_multithread_send_message(&s->receiver, &s->drain_done.super);
    return NULL;
}

static void stop(struct http_server *s)
{
    if (atomic_load(&s->stopping)) {
        log_line(LOG_WARN, "stopping at once");
        s->stop_now = true;
        return;
    }
    log_line(LOG_INFO, "stopping: running answers may finish for 10 s");
    if (s->cfg.on_stopping)
        s->cfg.on_stopping();
    atomic_store(&s->stopping, true);
    if (s->listener) {
        h2o_socket_close(s->listener);
        s->listener = NULL;
        s->listen_fd = -1;
    }
    s->drain_deadline = time_mono_ns() + DRAIN_NS;
    s->drain_done.on_loop = on_drained;
    /* Its own thread: the workers may all be busy with what is to be drained. */
    if (pthread_create(&s->drainer, NULL, drain, s) == 0)
        s->has_drainer = true;
    else
        s->drained = true;
}

static void on_signal(h2o_socket_t *sock, const char *err)
{
    struct http_server *s = sock->data;
    struct signalfd_siginfo info;
    while (read(s->signal_fd, &info, sizeof info) == sizeof info)
        stop(s);
}

static void on_tick(h2o_timeout_entry_t *entry)
{
    struct http_server *s =
        (struct http_server *)((char *)entry - offsetof(struct http_server, tick_entry));
    conn_sweep(s);
    if (s->listener && s->resume_accept_ns && time_mono_ns() >= s->resume_accept_ns) {
        s->resume_accept_ns = 0;
        h2o_socket_read_start(s->listener, on_accept);
    }
    h2o_timeout_link(s->loop, &s->tick, &s->tick_entry);
}

/* Everything that could be answered is, or the time is over. */
static bool is_over(const struct http_server *s)
{
    if (s->stop_now)
        return true;
    return s->drained && (!s->n_calls || time_mono_ns() > s->drain_deadline + 2000000000);
}

static int turn(struct http_server *s, int wait_ms, struct err *e)
{
    if (h2o_evloop_run(s->loop, wait_ms) != 0 && errno != EINTR)
        return err_set(e, ERR_IO, "the event loop failed: errno %d", errno);
    conn_end_hung_up(s);
    conn_sniff_again(s);
    return 0;
}

int http_run(struct http_server *s, struct err *e)
{
    int rc = 0;
    thread_slice(100000); /* comes on as soon as it wakes, whatever a model computes */
    s->listener = h2o_evloop_socket_create(s->loop, s->listen_fd, H2O_SOCKET_FLAG_DONT_READ);
    s->listener->data = s;
    h2o_socket_read_start(s->listener, on_accept);
    s->signals = h2o_evloop_socket_create(s->loop, s->signal_fd, H2O_SOCKET_FLAG_DONT_READ);
    s->signals->data = s;
    h2o_socket_read_start(s->signals, on_signal);
    s->hangups = h2o_evloop_socket_create(s->loop, s->hangup_fd, H2O_SOCKET_FLAG_DONT_READ);
    s->hangups->data = s;
    h2o_socket_read_start(s->hangups, conn_on_hangup);
    h2o_timeout_init(s->loop, &s->tick, TICK_MS);
    s->has_tick = true;
    s->tick_entry.cb = on_tick;
    h2o_timeout_link(s->loop, &s->tick, &s->tick_entry);
    while (rc == 0 && !is_over(s))
        rc = turn(s, TICK_MS, e);
    if (s->stop_now)
        return 1;
    /* Idle connections see their end; what hangs is cut. */
    for (struct conn *c = s->conns; c; c = c->next)
        conn_shut(c);
    for (int i = 0; rc == 0 && i < 200 && (s->conns || s->n_calls); i++)
        rc = turn(s, 10, e);
    return rc;
}

void http_free(struct http_server *s)
{
    if (!s)
        return;
    if (s->has_drainer)
        pthread_join(s->drainer, NULL);
    work_pool_free(s->workers);
    /* Messages that were on their way hold references to their calls. */
    for (int i = 0; s->has_receiver && i < 5; i++)
        (void)h2o_evloop_run(s->loop, 0);
    if (s->listener)
        h2o_socket_close(s->listener);
    else if (s->listen_fd >= 0)
        close(s->listen_fd);
    if (s->signals)
        h2o_socket_close(s->signals);
    else if (s->signal_fd >= 0)
        close(s->signal_fd);
    if (s->hangups)
        h2o_socket_close(s->hangups);
    else if (s->hangup_fd >= 0)
        close(s->hangup_fd);
    if (s->has_tick) {
        h2o_timeout_unlink(&s->tick_entry);
        h2o_timeout_dispose(s->loop, &s->tick);
    }
    if (s->has_receiver)
        h2o_multithread_unregister_receiver(s->ctx.queue, &s->receiver);
    /* A connection that could not be ended keeps h2o's context in use: then it stays. */
    if (s->has_ctx && !s->conns) {
        h2o_context_dispose(&s->ctx);
        h2o_config_dispose(&s->conf);
        h2o_evloop_destroy(s->loop);
    }
    access_rules_free(s->access);
    if (!s->conns) {
        key_ring_free(s->keys);
        journal_free(s->journal);
        tags_free(s->tags);
    }
    if (!s->conns)
        free(s);
}
