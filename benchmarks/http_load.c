/* benchmarks/http_load.c - many small requests over keep-alive connections, from one thread.
 *
 *     http_load PORT PATH [-c CONNECTIONS] [-s SECONDS] [-r RATE]
 *
 * Without -r each connection asks again as soon as it has its answer (a closed loop). With -r
 * requests start at a fixed pace, whatever the answers do, and the time of each counts from when it
 * should have started: so a server that stands still for a while is seen. One line of JSON. In C,
 * because a client in Python is slower than the server.
 *
 * On the server's own machine this program waits for a CPU, too, before it asks and before it sees an
 * answer that has come. server_p99_ms leaves both out: from the send call to the kernel's own time stamp
 * of the answer's last bytes, which on loopback is when the server wrote them. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MOST_CONNECTIONS = 1024, ANSWER_MOST = 1 << 20 };

struct connection {
    int fd;
    bool busy;
    int64_t due_ns;  /* when its request should have started */
    int64_t sent_ns, came_ns; /* by CLOCK_REALTIME, as the kernel's stamps are */
    size_t n, whole; /* bytes of the answer so far; all of it, 0 = not known */
    char *answer;
};

static int64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static int connect_to(int port)
{
    const struct sockaddr_in a = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (fd < 0 || connect(fd, (const struct sockaddr *)&a, sizeof a) != 0)
        return -1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    return fd;
}

/* Length of head and body, or 0 while the head is not whole. */
static size_t whole_length(const char *p)
{
    const char *end = strstr(p, "\r\n\r\n"), *length = strcasestr(p, "content-length:");
    if (!end)
        return 0;
    return (size_t)(end + 4 - p) + (length && length < end ? strtoul(length + 15, NULL, 10) : 0);
}

/* 1: the answer is complete. -1: the connection broke. */
static int take(struct connection *c)
{
    char control[256];
    struct iovec to = {c->answer + c->n, ANSWER_MOST - 1 - c->n};
    struct msghdr m = {.msg_iov = &to, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    const ssize_t got = recvmsg(c->fd, &m, MSG_DONTWAIT);
    if (got <= 0)
        return got < 0 && errno == EAGAIN ? 0 : -1;
    c->came_ns = clock_ns(CLOCK_REALTIME);
    for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
        if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_TIMESTAMPNS) {
            struct timespec t;
            memcpy(&t, CMSG_DATA(h), sizeof t);
            c->came_ns = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
        }
    c->n += (size_t)got;
    c->answer[c->n] = 0;
    if (!c->whole)
        c->whole = whole_length(c->answer);
    return c->whole && c->n >= c->whole;
}

static int by_size(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

struct load {
    int port, n_connections;
    double seconds, rate;
    const char *path;
    struct connection conns[MOST_CONNECTIONS];
    char request[1024];
    size_t n_request;
    float *ms, *server_ms;
    size_t n_ms, cap_ms, n_bad;
};

static int start(struct load *l, struct connection *c, int64_t due)
{
    c->busy = true;
    c->due_ns = due;
    c->n = c->whole = 0;
    c->sent_ns = clock_ns(CLOCK_REALTIME);
    return send(c->fd, l->request, l->n_request, MSG_NOSIGNAL) == (ssize_t)l->n_request ? 0 : -1;
}

static int note(struct load *l, const struct connection *c, int64_t now)
{
    if (l->n_ms == l->cap_ms) {
        l->cap_ms = l->cap_ms ? 2 * l->cap_ms : 1 << 16;
        float *more = realloc(l->ms, l->cap_ms * sizeof *more);
        if (!more)
            return -1;
        l->ms = more;
        more = realloc(l->server_ms, l->cap_ms * sizeof *more);
        if (!more)
            return -1;
        l->server_ms = more;
    }
    l->server_ms[l->n_ms] = (float)((double)(c->came_ns - c->sent_ns) * 1e-6);
    l->ms[l->n_ms++] = (float)((double)(now - c->due_ns) * 1e-6);
    l->n_bad += strncmp(c->answer, "HTTP/1.1 200", 12) != 0;
    return 0;
}

static int run(struct load *l)
{
    const int ep = epoll_create1(0);
    for (int i = 0; i < l->n_connections; i++) {
        struct connection *c = &l->conns[i];
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        c->fd = connect_to(l->port);
        c->answer = malloc(ANSWER_MOST);
        if (c->fd < 0 || !c->answer || epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e) != 0)
            return -1;
    }
    const int64_t begun = now_ns(), end = begun + (int64_t)(l->seconds * 1e9);
    const int64_t gap = l->rate > 0 ? (int64_t)(1e9 / l->rate) : 0;
    int64_t due = begun, now = begun;
    if (!gap)
        for (int i = 0; i < l->n_connections; i++)
            if (start(l, &l->conns[i], now) != 0)
                return -1;
    while ((now = now_ns()) < end) {
        for (int i = 0; gap && i < l->n_connections && due <= now; i++)
            if (!l->conns[i].busy) {
                if (start(l, &l->conns[i], due) != 0)
                    return -1;
                due += gap;
            }
        struct epoll_event events[64];
        int64_t wait = gap && due > now ? due - now : gap ? 1000000 : 100000000;
        if (now + wait > end)
            wait = end - now;
        const struct timespec t = {wait / 1000000000, wait % 1000000000};
        const int n = epoll_pwait2(ep, events, 64, &t, NULL);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            const int done = take(c);
            if (done < 0)
                return -1;
            if (!done)
                continue;
            const int64_t at = now_ns();
            if (note(l, c, at) != 0)
                return -1;
            c->busy = false;
            if (!gap && start(l, c, at) != 0)
                return -1;
        }
    }
    return 0;
}

/* On the server's own machine this program waits for the CPUs that the model computes on, which a
 * client elsewhere does not: ask for short slices, so that the answer is seen when it comes. */
static void wake_at_once(void)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } a = {.size = 48, .runtime = 100000}; /* struct sched_attr of the kernel, version 0 */
    (void)syscall(SYS_sched_setattr, 0, &a, 0);
}

int main(int argc, char **argv)
{
    static struct load l = {.n_connections = 16, .seconds = 2};
    int c;
    while ((c = getopt(argc, argv, "c:s:r:")) != -1) {
        if (c == 'c')
            l.n_connections = atoi(optarg);
        else if (c == 's')
            l.seconds = atof(optarg);
        else if (c == 'r')
            l.rate = atof(optarg);
        else
            return 2;
    }
    if (optind + 2 != argc || l.n_connections < 1 || l.n_connections > MOST_CONNECTIONS) {
        fprintf(stderr, "usage: http_load PORT PATH [-c CONNECTIONS] [-s SECONDS] [-r RATE]\n");
        return 2;
    }
    l.port = atoi(argv[optind]);
    l.path = argv[optind + 1];
    l.n_request = (size_t)snprintf(l.request, sizeof l.request,
                                   "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", l.path);
    wake_at_once();
    const int64_t begun = now_ns();
    if (run(&l) != 0 || !l.n_ms) {
        fprintf(stderr, "http_load: a connection broke\n");
        return 1;
    }
    const double seconds = (double)(now_ns() - begun) * 1e-9;
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    qsort(l.ms, l.n_ms, sizeof *l.ms, by_size);
    qsort(l.server_ms, l.n_ms, sizeof *l.server_ms, by_size);
    printf("{\"path\": \"%s\", \"connections\": %d, \"requests\": %zu, \"bad\": %zu, "
           "\"per_second\": %.1f, \"p50_ms\": %.4f, \"p99_ms\": %.4f, \"max_ms\": %.4f, "
           "\"server_p50_ms\": %.4f, \"server_p99_ms\": %.4f, "
           "\"client_cpu_s\": %.3f, \"seconds\": %.3f}\n",
           l.path, l.n_connections, l.n_ms, l.n_bad, (double)l.n_ms / seconds,
           (double)l.ms[l.n_ms / 2], (double)l.ms[l.n_ms * 99 / 100], (double)l.ms[l.n_ms - 1],
           (double)l.server_ms[l.n_ms / 2], (double)l.server_ms[l.n_ms * 99 / 100],
           (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
               (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6,
           seconds);
    return 0;
}
