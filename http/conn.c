/* http/conn.c - sockets from accept to close: limits, clients that left, clients that stand still.
 *
 * What h2o 2.2.5 does not watch is watched here (traps.md, 73, 76, 87): a peer that hung up while it
 * is owed an answer, at once where a model computes it, and four times a second a request that comes
 * too slowly, an idle connection, an answer that nobody takes. And h2o buffers whole bodies, so
 * before it reads a request our own callback stands in for its read callback and takes blob uploads
 * away (http/upload.c). h2o sets its callback whenever it begins to read, which is why
 * conn_sniff_again runs after each turn of the loop. */
#include "http/inside.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <linux/sockios.h>

#define SECOND INT64_C(1000000000)

enum { LEAST_RATE = 4096 }; /* bytes a second of a body */
static const size_t max_waiting_bytes = (size_t)1024 * MIB; /* of all unread requests */

static void on_sniff(h2o_socket_t *sock, const char *err);

struct conn *conn_of(h2o_socket_t *sock)
{
    return sock ? sock->on_close.data : NULL;
}

void conn_shut(struct conn *c)
{
    if (!c || c->is_shut)
        return;
    c->is_shut = true;
    shutdown(h2o_socket_get_fd(c->sock), SHUT_RDWR);
}

static void on_close(void *arg)
{
    struct conn *c = arg;
    if (c->upload)
        upload_closed(c);
    if (c->call)
        c->call->conn = NULL;
    if (c->next)
        c->next->prev = c->prev;
    *c->prev = c->next;
    atomic_store(&c->srv->n_conns_seen, --c->srv->n_conns);
    free(c);
}

static bool address_is_loopback(const struct sockaddr_storage *a)
{
    if (a->ss_family == AF_INET)
        return (ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24) == 127;
    if (a->ss_family == AF_INET6) {
        const struct in6_addr *ip = &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;
        return IN6_IS_ADDR_LOOPBACK(ip) || (IN6_IS_ADDR_V4MAPPED(ip) && ip->s6_addr[12] == 127);
    }
    return true;
}

static bool same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    if (a->ss_family != b->ss_family)
        return false;
    if (a->ss_family == AF_INET)
        return ((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr ==
               ((const struct sockaddr_in *)(const void *)b)->sin_addr.s_addr;
    if (a->ss_family == AF_INET6) /* a household has a /64 */
        return memcmp(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr,
                      &((const struct sockaddr_in6 *)(const void *)b)->sin6_addr, 8) == 0;
    return true;
}

static bool is_full(struct http_server *s, const struct conn *c)
{
    if (s->n_conns >= s->cfg.max_connections)
        return true;
    if (c->is_loopback)
        return false;
    int same = 0;
    for (const struct conn *i = s->conns; i; i = i->next)
        same += same_host(&i->peer, &c->peer);
    return same >= s->cfg.max_per_address;
}

static void take(struct http_server *s, h2o_socket_t *sock)
{
    struct conn *c = calloc(1, sizeof *c);
    struct sockaddr_storage peer = {0};
    if (!c) {
        h2o_socket_close(sock);
        return;
    }
    (void)h2o_socket_getpeername(sock, (struct sockaddr *)&peer);
    c->srv = s;
    c->sock = sock;
    c->peer = peer;
    c->is_loopback = address_is_loopback(&peer);
    (void)getnameinfo((struct sockaddr *)&peer, sizeof peer, c->peer_text, sizeof c->peer_text,
                      NULL, 0, NI_NUMERICHOST);
    c->moved_ns = time_mono_ns();
    if (is_full(s, c)) {
        if (!s->said_full)
            log_line(LOG_WARN, "too many connections: new ones are closed");
        s->said_full = true;
        free(c);
        h2o_socket_close(sock);
        return;
    }
    s->said_full = false;
    c->next = s->conns;
    if (c->next)
        c->next->prev = &c->next;
    c->prev = &s->conns;
    s->conns = c;
    atomic_store(&s->n_conns_seen, ++s->n_conns);
    sock->on_close.cb = on_close;
    sock->on_close.data = c;
    struct epoll_event hangup = {.events = EPOLLRDHUP | EPOLLET, .data.ptr = c}; /* closing ends it */
    (void)epoll_ctl(s->hangup_fd, EPOLL_CTL_ADD, h2o_socket_get_fd(sock), &hangup);
    h2o_accept(&s->accept_ctx, sock);
    c->wants_sniff = true;
    s->sniff_pending = true;
}

void conn_accept(struct http_server *s)
{
    for (int i = 0; i < 16; i++) {
        errno = 0;
        h2o_socket_t *sock = h2o_evloop_socket_accept(s->listener);
        if (sock) {
            take(s, sock);
            continue;
        }
        /* The listener stays readable without descriptors: look away for a while (traps.md, 130).
         */
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            log_line(LOG_WARN, "accept: no descriptors or memory left, waiting");
            h2o_socket_read_stop(s->listener);
            s->resume_accept_ns = time_mono_ns() + SECOND / 10;
        }
        break;
    }
}

/* ---- reading before h2o -------------------------------------------------------------------- */

static void on_sniff(h2o_socket_t *sock, const char *err)
{
    struct conn *c = conn_of(sock);
    if (!err && sock->input->size) {
        if (!c->begun_ns)
            c->begun_ns = time_mono_ns();
        const int found = upload_sniff(c);
        if (found != 0)
            return;
    }
    const h2o_socket_cb h2o_read = c->h2o_read;
    c->h2o_read = NULL;
    sock->_cb.read = h2o_read;
    h2o_read(sock, err); /* may end the connection, and c with it */
}

void conn_sniff_again(struct http_server *s)
{
    if (!s->sniff_pending)
        return;
    s->sniff_pending = false;
    for (struct conn *c = s->conns; c; c = c->next) {
        if (!c->wants_sniff)
            continue;
        c->wants_sniff = false;
        /* Not reading: h2o found the next request in its buffer already and answers it. */
        if (c->call || c->upload || !h2o_socket_is_reading(c->sock) || c->sock->input->size ||
            c->sock->_cb.read == on_sniff)
            continue;
        c->h2o_read = c->sock->_cb.read;
        c->sock->_cb.read = on_sniff;
    }
}

/* ---- who hung up ---------------------------------------------------------------------------- */

/* h2o does not look at a socket while it owes an answer, so each is in an epoll of our own, too, which
 * the loop watches like a socket. */
void conn_on_hangup(h2o_socket_t *hangups, const char *err)
{
    struct http_server *s = hangups->data;
    struct epoll_event ev[16];
    for (int n; (n = epoll_wait(s->hangup_fd, ev, 16, 0)) > 0;)
        for (int i = 0; i < n; i++) {
            ((struct conn *)ev[i].data.ptr)->hung_up = true;
            s->hangup_pending = true;
        }
}

static void end_call(struct call *call)
{
    log_line(LOG_INFO, "%s: the client went away", call->who);
    call_gone(call);
}

/* Who computes for nobody stops at once; a quick answer may still go to a client that only sends no
 * more (the sweep ends one that takes long). */
void conn_end_hung_up(struct http_server *s)
{
    if (!s->hangup_pending)
        return;
    s->hangup_pending = false;
    for (struct conn *c = s->conns, *next; c; c = next) {
        next = c->next;
        if (!c->hung_up || !c->call || c->call->finished || atomic_load(&c->call->gone))
            continue;
        if (call_has_jobs(c->call))
            end_call(c->call);
        else
            s->hangup_pending = true; /* it may get some: look again */
    }
}

/* ---- the sweep ----------------------------------------------------------------------------- */

static bool peer_left(const struct conn *c)
{
    struct pollfd p = {h2o_socket_get_fd(c->sock), POLLRDHUP, 0};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL));
}

/* Nothing of an answer left the kernel for a minute. */
static bool write_stands(struct conn *c, struct call *call, int64_t now)
{
    int outq = 0;
    if (call->may_send)
        return false;
    (void)ioctl(h2o_socket_get_fd(c->sock), SIOCOUTQ, &outq);
    if (outq != call->flying_outq) {
        call->flying_outq = outq;
        call->flying_ns = now;
    }
    return now - call->flying_ns > c->srv->cfg.write_s * SECOND;
}

static bool head_is_whole(const struct conn *c)
{
    return memmem(c->sock->input->bytes, c->sock->input->size, "\r\n\r\n", 4) != NULL ||
           memmem(c->sock->input->bytes, c->sock->input->size, "\n\n", 2) != NULL;
}

static void look_at(struct conn *c, int64_t now)
{
    if (c->sock->bytes_read != c->seen_bytes) {
        c->seen_bytes = c->sock->bytes_read;
        c->moved_ns = now;
        if (!c->begun_ns)
            c->begun_ns = now;
    }
    struct call *call = c->call;
    if (call) {
        c->moved_ns = now;
        if (!call->finished && peer_left(c)) {
            end_call(call);
        } else if (write_stands(c, call, now)) {
            log_line(LOG_WARN, "%s: the client does not read, closed", call->who);
            conn_shut(c);
        }
        return;
    }
    if (c->upload && upload_is_busy(c)) { /* we are the slow ones */
        c->moved_ns = now;
        return;
    }
    const struct http_config *cfg = &c->srv->cfg;
    const int64_t still = now - c->moved_ns;
    const size_t waiting = c->sock->input->size;
    if (c->upload) {
        if (still > cfg->stall_s * SECOND)
            conn_shut(c);
        return;
    }
    if (!waiting) {
        if (still > cfg->idle_s * SECOND || (c->seen_bytes == 0 && still > cfg->head_s * SECOND * 3))
            conn_shut(c);
        return;
    }
    const int64_t age = c->begun_ns ? now - c->begun_ns : 0;
    if ((age > cfg->head_s * SECOND && !head_is_whole(c)) || still > cfg->stall_s * SECOND ||
        age > cfg->stall_s * SECOND + (int64_t)(waiting / LEAST_RATE) * SECOND)
        conn_shut(c);
}

void conn_sweep(struct http_server *s)
{
    const int64_t now = time_mono_ns();
    size_t total = 0;
    struct conn *largest = NULL;
    for (struct conn *c = s->conns, *next; c; c = next) {
        next = c->next;
        if (!c->call && !c->upload) {
            total += c->sock->input->size;
            if (!largest || c->sock->input->size > largest->sock->input->size)
                largest = c;
        }
        if (c->call)
            call_sweep(c->call, now);
        look_at(c, now);
    }
    if (total > max_waiting_bytes && largest) {
        log_line(LOG_WARN, "unfinished requests hold %zu MiB: the largest is closed", total / MIB);
        conn_shut(largest);
    }
}
