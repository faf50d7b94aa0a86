/* tools/client.c - the HTTP client of the commands, on libcurl.
 *
 * Facts: shared/spec/cli.md 1.3, 1.4. One easy handle under a multi handle, so that a signal's
 * self-pipe can be waited for beside the socket: Ctrl-C ends a call at once. */
#include "tools/client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tools/address.h"
#include "tools/args.h"

enum {
    MAX_ANSWER = 256 << 20, /* a whole answer: `show --verbose` of a large model is the largest */
    MAX_LINE = 64 << 20,    /* one line of a stream */
};

struct client {
    struct address at;
    char base[640];
    CURLM *multi;
    CURL *easy;
    int stop_fd;
    void (*tick)(void *arg);
    void *tick_arg;
    long status;
    char reason[80]; /* "404 Not Found" */
    /* of the call that runs */
    struct buf answer; /* the whole answer, or the line of a stream that is not complete yet */
    client_line on_line;
    void *arg;
    client_progress progress;
    int64_t total;
    int fd;
    bool ended, too_large;
    char stream_error[512];
};

struct client *client_new(const char *host, struct err *e)
{
    struct client *c = calloc(1, sizeof *c);
    if (!c || curl_global_init(CURL_GLOBAL_DEFAULT)) {
        free(c);
        err_set(e, ERR_MEMORY, "out of memory");
        return NULL;
    }
    c->stop_fd = -1;
    address_parse(host, &c->at);
    const char *h = c->at.host;
    if (!strcmp(h, "0.0.0.0")) /* where a server binds to; a client goes to loopback */
        h = "127.0.0.1";
    else if (!strcmp(h, "::"))
        h = "::1";
    const bool v6 = strchr(h, ':');
    snprintf(c->base, sizeof c->base, "%s://%s%s%s:%d%s", c->at.scheme, v6 ? "[" : "", h,
             v6 ? "]" : "", c->at.port, c->at.path);
    c->multi = curl_multi_init();
    c->easy = curl_easy_init();
    if (!c->multi || !c->easy) {
        client_free(c);
        err_set(e, ERR_MEMORY, "out of memory");
        return NULL;
    }
    return c;
}

void client_free(struct client *c)
{
    if (!c)
        return;
    curl_easy_cleanup(c->easy);
    curl_multi_cleanup(c->multi);
    buf_free(&c->answer);
    free(c);
    curl_global_cleanup();
}

long client_status(const struct client *c)
{
    return c->status;
}

void client_set_stop(struct client *c, int fd)
{
    c->stop_fd = fd;
}

void client_set_tick(struct client *c, void (*tick)(void *arg), void *arg)
{
    c->tick = tick;
    c->tick_arg = arg;
}

/* ---- what libcurl calls ------------------------------------------------------- */

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
    struct client *c = arg;
    n *= size;
    if (n > 5 && !memcmp(p, "HTTP/", 5)) {
        const char *space = memchr(p, ' ', n);
        size_t len = space ? n - (size_t)(space + 1 - p) : 0;
        while (len && (space[len] == '\r' || space[len] == '\n'))
            len--;
        if (len >= sizeof c->reason)
            len = sizeof c->reason - 1;
        if (space)
            memcpy(c->reason, space + 1, len);
        c->reason[len] = 0;
    }
    return n;
}

/* Cut whole lines off the front of c->answer and hand them on. */
static void take_lines(struct client *c)
{
    size_t done = 0;
    for (const char *nl; !c->ended && done < c->answer.n &&
                         (nl = memchr(c->answer.p + done, '\n', c->answer.n - done));) {
        const size_t len = (size_t)(nl - (c->answer.p + done));
        json_t *line = json_loadb(c->answer.p + done, len, JSON_ALLOW_NUL, NULL);
        done += len + 1;
        if (!line)
            continue;
        const char *error = json_string_value(json_object_get(line, "error"));
        if (error) {
            snprintf(c->stream_error, sizeof c->stream_error, "%s", error);
            c->ended = true;
        } else if (c->on_line(c->arg, line)) {
            c->ended = true;
        }
        json_decref(line);
    }
    if (done) {
        memmove(c->answer.p, c->answer.p + done, c->answer.n - done);
        c->answer.n -= done;
        c->answer.p[c->answer.n] = 0;
    }
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct client *c = arg;
    n *= size;
    long status = 0;
    curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    const bool lines = c->on_line && status < 400;
    if (c->answer.n + n > (lines ? MAX_LINE : MAX_ANSWER)) {
        c->too_large = true;
        return 0;
    }
    buf_add(&c->answer, p, n);
    if (c->answer.failed)
        return 0;
    if (lines)
        take_lines(c);
    return c->ended ? 0 : n;
}

static size_t on_upload(char *p, size_t size, size_t n, void *arg)
{
    struct client *c = arg;
    const ssize_t got = read(c->fd, p, size * n);
    return got < 0 ? CURL_READFUNC_ABORT : (size_t)got;
}

static int on_rewind(void *arg, curl_off_t offset, int origin)
{
    struct client *c = arg;
    return lseek(c->fd, (off_t)offset, origin) < 0 ? CURL_SEEKFUNC_FAIL : CURL_SEEKFUNC_OK;
}

static int on_progress(void *arg, curl_off_t dl_all, curl_off_t dl, curl_off_t up_all,
                       curl_off_t up)
{
    struct client *c = arg;
    (void)dl_all, (void)dl, (void)up_all;
    if (c->progress)
        c->progress(c->arg, (int64_t)up, c->total);
    return 0;
}

/* ---- a call -------------------------------------------------------------------- */

/* Run the easy handle to its end, or to the stop descriptor. */
static int perform(struct client *c, CURLcode *result, struct err *e)
{
    int running = 1, rc = 0;
    if (curl_multi_add_handle(c->multi, c->easy))
        return err_set(e, ERR_MEMORY, "out of memory");
    *result = CURLE_OK;
    while (running) {
        struct curl_waitfd stop = {.fd = c->stop_fd, .events = CURL_WAIT_POLLIN};
        if (curl_multi_perform(c->multi, &running)) {
            rc = err_set(e, ERR_IO, "the connection failed");
            break;
        }
        if (!running)
            break;
        curl_multi_poll(c->multi, &stop, c->stop_fd >= 0 ? 1 : 0, c->tick ? 100 : 1000, NULL);
        if (c->tick)
            c->tick(c->tick_arg);
        if (stop.revents) {
            rc = err_set(e, ERR_CANCELLED, "stopped");
            break;
        }
    }
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(c->multi, &left));)
        if (m->msg == CURLMSG_DONE)
            *result = m->data.result;
    curl_multi_remove_handle(c->multi, c->easy);
    return rc;
}

/* The error of an answer with an error status. */
static int answer_error(struct client *c, bool with_status, struct err *e)
{
    json_t *j = c->answer.n ? json_loadb(c->answer.p, c->answer.n, 0, NULL) : NULL;
    const json_t *error = json_object_get(j, "error");
    if (json_is_object(error))
        error = json_object_get(error, "message");
    const char *text = json_string_value(error);
    const enum err_code code = c->status == 404 ? ERR_NOT_FOUND : ERR_IO;
    if (text && with_status)
        err_set(e, code, "%s: %s", c->reason, text);
    else if (text)
        err_set(e, code, "%s", text);
    else if (c->answer.n && c->answer.n < 200)
        err_set(e, code, "%s: %s", c->reason, c->answer.p);
    else
        err_set(e, code, "%s", c->reason);
    json_decref(j);
    return -1;
}

static struct curl_slist *headers(const char *type)
{
    char line[64];
    snprintf(line, sizeof line, "Content-Type: %s", type);
    struct curl_slist *h = curl_slist_append(NULL, line);
    const char *key = getenv("CHASKI_API_KEY");
    if (!key || !*key)
        key = getenv("OLLAMA_API_KEY");
    if (h && key && *key) {
        char bearer[600];
        snprintf(bearer, sizeof bearer, "Authorization: Bearer %s", key);
        h = curl_slist_append(h, bearer);
    }
    return h ? curl_slist_append(h, "Expect:") : NULL;
}

/* One request; the caller has set the method and the body. The answer is in c->answer. */
static int call(struct client *c, const char *path, const char *type, struct err *e)
{
    char url[1024];
    CURLcode result = CURLE_OK;
    struct curl_slist *h = headers(type);
    if (!h)
        return err_set(e, ERR_MEMORY, "out of memory");
    snprintf(url, sizeof url, "%s%s", c->base, path);
    c->answer.n = 0;
    c->answer.failed = c->ended = c->too_large = false;
    c->status = 0;
    c->reason[0] = c->stream_error[0] = 0;
    curl_easy_setopt(c->easy, CURLOPT_URL, url);
    curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, h);
    curl_easy_setopt(c->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(c->easy, CURLOPT_USERAGENT, "chaski/" CHASKI_VERSION);
    curl_easy_setopt(c->easy, CURLOPT_NOPROXY, "localhost,127.0.0.1,::1");
    curl_easy_setopt(c->easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c->easy, CURLOPT_HEADERDATA, c);
    curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, c);
    int rc = perform(c, &result, e);
    curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &c->status);
    curl_easy_reset(c->easy);
    curl_slist_free_all(h);
    if (rc)
        return -1;
    if (c->ended)
        return c->stream_error[0] ? err_set(e, ERR_IO, "%s", c->stream_error) : 0;
    if (c->too_large)
        return err_set(e, ERR_LIMIT, "the server's answer is too large");
    if (result == CURLE_COULDNT_CONNECT)
        return err_set(e, ERR_IO,
                       "could not connect to chaski server, run 'chaski serve' to start it");
    if (result != CURLE_OK)
        return err_set(e, ERR_IO, "%s%s: %s", c->base, path, curl_easy_strerror(result));
    return 0;
}

int client_check(struct client *c, struct err *e)
{
    curl_easy_setopt(c->easy, CURLOPT_NOBODY, 1L);
    if (call(c, "/", "text/plain", e))
        return -1;
    return c->status >= 400 ? err_set(e, ERR_IO, "%s", c->reason) : 0;
}

struct client *client_connect(struct err *e)
{
    struct client *c = client_new(getenv("OLLAMA_HOST"), e);
    if (c && client_check(c, e)) {
        client_free(c);
        return NULL;
    }
    return c;
}

const char *const client_env[] = {"OLLAMA_HOST", "address of the server (default 127.0.0.1:11434)",
                                  NULL};

int client_command(const struct command *c, int argc, char **argv, client_talk talk)
{
    int n;
    const int status = args_parse(c, argc, argv, &n);
    if (status >= 0)
        return status;
    struct err e = {0};
    struct client *client = client_connect(&e);
    const bool ok = client && !talk(client, argv, n, &e);
    client_free(client);
    return ok ? EXIT_OK : fail_with(EXIT_FAILED, "%s", e.text);
}

/* Set method and JSON body; *body is freed by the caller after the call. */
static int set_json(struct client *c, const char *method, const json_t *in, char **body,
                    struct err *e)
{
    *body = json_dumps(in, JSON_COMPACT | JSON_ENCODE_ANY);
    if (in && !*body)
        return err_set(e, ERR_MEMORY, "out of memory");
    if (*body) {
        curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(*body));
        curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, *body);
    }
    curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, method);
    return 0;
}

int client_json(struct client *c, const char *method, const char *path, const json_t *in,
                json_t **out, struct err *e)
{
    char *body = NULL;
    int rc = -1;
    if (out)
        *out = NULL;
    c->on_line = NULL;
    c->progress = NULL;
    if (set_json(c, method, in, &body, e) || call(c, path, "application/json", e))
        goto done;
    if (c->status >= 400) {
        answer_error(c, false, e);
        goto done;
    }
    if (out && c->answer.n && c->status < 300) {
        *out = json_loadb(c->answer.p, c->answer.n, JSON_ALLOW_NUL, NULL);
        if (!*out) {
            err_set(e, ERR_IO, "%s%s: the answer is no JSON", c->base, path);
            goto done;
        }
    }
    rc = 0;
done:
    free(body);
    return rc;
}

int client_stream(struct client *c, const char *path, const json_t *in, client_line on_line,
                  void *arg, struct err *e)
{
    char *body = NULL;
    int rc = -1;
    c->on_line = on_line;
    c->arg = arg;
    c->progress = NULL;
    if (set_json(c, "POST", in, &body, e) || call(c, path, "application/json", e))
        goto done;
    if (c->status >= 400) {
        answer_error(c, true, e);
        goto done;
    }
    if (!c->ended && c->answer.n) { /* a last line without its newline */
        buf_puts(&c->answer, "\n");
        take_lines(c);
        if (c->stream_error[0]) {
            err_set(e, ERR_IO, "%s", c->stream_error);
            goto done;
        }
    }
    rc = 0;
done:
    free(body);
    c->on_line = NULL;
    return rc;
}

int client_has_blob(struct client *c, const char *digest, struct err *e)
{
    char path[128];
    snprintf(path, sizeof path, "/api/blobs/%s", digest);
    c->on_line = NULL;
    curl_easy_setopt(c->easy, CURLOPT_NOBODY, 1L);
    if (call(c, path, "text/plain", e))
        return -1;
    if (c->status == 404)
        return 0;
    return c->status >= 400 ? err_set(e, ERR_IO, "%s", c->reason) : 1;
}

int client_send_blob(struct client *c, const char *digest, int fd, int64_t size,
                     client_progress progress, void *arg, struct err *e)
{
    char path[128];
    snprintf(path, sizeof path, "/api/blobs/%s", digest);
    c->on_line = NULL;
    c->progress = progress;
    c->arg = arg;
    c->total = size;
    c->fd = fd;
    curl_easy_setopt(c->easy, CURLOPT_POST, 1L);
    curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size);
    curl_easy_setopt(c->easy, CURLOPT_READFUNCTION, on_upload);
    curl_easy_setopt(c->easy, CURLOPT_READDATA, c);
    curl_easy_setopt(c->easy, CURLOPT_SEEKFUNCTION, on_rewind);
    curl_easy_setopt(c->easy, CURLOPT_SEEKDATA, c);
    curl_easy_setopt(c->easy, CURLOPT_UPLOAD_BUFFERSIZE, 1L << 20);
    curl_easy_setopt(c->easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c->easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c->easy, CURLOPT_XFERINFODATA, c);
    if (call(c, path, "application/octet-stream", e))
        return -1;
    return c->status >= 400 ? answer_error(c, false, e) : 0;
}
