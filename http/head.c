/* http/head.c - heads and chunks of uploads (RFC 9112), strictly.
 *
 * h2o takes doubtful framing (traps.md, 86); this reader refuses it, because what one program takes
 * for the end of a body another may take for the next request. */
#include "http/head.h"

#include <string.h>
#include <strings.h>

enum { MAX_LINE = 8192, MAX_OVERHEAD = 64 * 1024, MAX_HEADERS = 100 };

static bool is_token(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)p[i];
        if (c <= ' ' || c >= 0x7F || strchr("()<>@,;:\\\"/[]?={}", c))
            return false;
    }
    return n > 0;
}

static bool name_is(struct text name, const char *what)
{
    return name.n == strlen(what) && strncasecmp(name.p, what, name.n) == 0;
}

static bool has_word(struct text v, const char *word)
{
    const size_t n = strlen(word);
    for (size_t i = 0; i + n <= v.n; i++)
        if (strncasecmp(v.p + i, word, n) == 0)
            return true;
    return false;
}

static int take_length(struct text v, uint64_t *out)
{
    uint64_t n = 0;
    if (!v.n)
        return -1;
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] < '0' || v.p[i] > '9' || __builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(v.p[i] - '0'), &n))
            return -1;
    }
    *out = n;
    return 0;
}

static int take_header(struct text name, struct text v, struct head *h)
{
    if (name_is(name, "content-length")) {
        h->is_doubtful = h->has_length || take_length(v, &h->length) != 0;
        h->has_length = true;
    } else if (name_is(name, "transfer-encoding")) {
        h->is_doubtful = h->is_chunked || v.n != 7 || strncasecmp(v.p, "chunked", 7) != 0;
        h->is_chunked = true;
    } else if (name_is(name, "host")) {
        if (h->host.p)
            return -1;
        h->host = v;
    } else if (name_is(name, "origin")) {
        h->origin = v;
    } else if (name_is(name, "authorization")) {
        h->authorization = v;
    } else if (name_is(name, "x-api-key")) {
        h->x_api_key = v;
    } else if (name_is(name, "api-key")) {
        h->api_key = v;
    } else if (name_is(name, "x-request-id")) {
        h->request_id = v;
    } else if (name_is(name, "expect")) {
        h->expects_continue = has_word(v, "100-continue");
    } else if (name_is(name, "connection")) {
        if (has_word(v, "close"))
            h->keep_alive = false;
        else if (h->is_http_1_0 && has_word(v, "keep-alive"))
            h->keep_alive = true;
    }
    return h->is_doubtful ? -1 : 0;
}

static int take_first_line(struct text line, struct head *h)
{
    const char *a = memchr(line.p, ' ', line.n);
    if (!a)
        return -1;
    h->method = (struct text){line.p, (size_t)(a - line.p)};
    const char *from = a + 1, *end = line.p + line.n;
    const char *b = memchr(from, ' ', (size_t)(end - from));
    if (!b || !is_token(h->method.p, h->method.n))
        return -1;
    h->path = (struct text){from, (size_t)(b - from)};
    const size_t n = (size_t)(end - b - 1);
    if (n != 8 || memcmp(b + 1, "HTTP/1.", 7) != 0 || (end[-1] != '0' && end[-1] != '1'))
        return -1;
    h->is_http_1_0 = end[-1] == '0';
    h->keep_alive = !h->is_http_1_0;
    return 0;
}

int head_parse(const char *p, size_t n, struct head *h)
{
    size_t at = 0;
    memset(h, 0, sizeof *h);
    for (int lines = 0; at < n; lines++) {
        const char *nl = memchr(p + at, '\n', n - at);
        if (!nl)
            return 0;
        struct text line = {p + at, (size_t)(nl - p - (ptrdiff_t)at)};
        at = (size_t)(nl - p) + 1;
        if (!line.n || line.p[line.n - 1] != '\r' || lines > MAX_HEADERS)
            return -1;
        line.n--;
        if (memchr(line.p, 0, line.n) || memchr(line.p, '\r', line.n))
            return -1;
        if (!lines) {
            if (take_first_line(line, h) != 0)
                return -1;
            continue;
        }
        if (!line.n) { /* the end of the head */
            h->is_doubtful = h->has_length && h->is_chunked;
            return h->is_doubtful ? -1 : (int)at;
        }
        const char *colon = memchr(line.p, ':', line.n);
        if (!colon || !is_token(line.p, (size_t)(colon - line.p)))
            return -1;
        struct text name = {line.p, (size_t)(colon - line.p)};
        struct text v = {colon + 1, line.n - name.n - 1};
        while (v.n && (v.p[0] == ' ' || v.p[0] == '\t'))
            v.p++, v.n--;
        while (v.n && (v.p[v.n - 1] == ' ' || v.p[v.n - 1] == '\t'))
            v.n--;
        if (take_header(name, v, h) != 0)
            return -1;
    }
    return 0;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if ((c | 32) >= 'a' && (c | 32) <= 'f')
        return (c | 32) - 'a' + 10;
    return -1;
}

/* A line of a chunk's size ended. */
static int size_ends(struct chunked *c)
{
    if (!c->n_digits)
        return -1;
    c->state = c->left ? CHUNK_DATA : CHUNK_TRAILER;
    c->n_digits = 0;
    c->n_line = 0;
    return 0;
}

static int take_byte(struct chunked *c, char b)
{
    if (++c->n_overhead > MAX_OVERHEAD && c->state != CHUNK_DATA_CR && c->state != CHUNK_DATA_LF)
        return -1;
    switch (c->state) {
    case CHUNK_SIZE: {
        const int v = hex_value(b);
        if (v >= 0) {
            if (++c->n_digits > 15)
                return -1;
            c->left = c->left * 16 + (uint64_t)v;
            return 0;
        }
        c->state = CHUNK_EXT;
        c->saw_cr = b == '\r';
        return b == ';' || b == '\r' || b == ' ' || b == '\t' ? 0 : -1;
    }
    case CHUNK_EXT:
        if (c->saw_cr)
            return b == '\n' ? size_ends(c) : -1;
        c->saw_cr = b == '\r';
        return b == '\n' || ++c->n_line > MAX_LINE ? -1 : 0;
    case CHUNK_DATA_CR:
        c->state = CHUNK_DATA_LF;
        return b == '\r' ? 0 : -1;
    case CHUNK_DATA_LF:
        c->state = CHUNK_SIZE;
        c->n_overhead = 0; /* data came: what was around it is forgotten */
        return b == '\n' ? 0 : -1;
    case CHUNK_TRAILER:
        if (b == '\n') {
            if (!c->n_line)
                c->state = CHUNK_DONE;
            c->n_line = 0;
            return 0;
        }
        if (b != '\r')
            c->n_line++;
        return c->n_line > MAX_LINE ? -1 : 0;
    default:
        return -1;
    }
}

ptrdiff_t chunked_take(struct chunked *c, const char *p, size_t n, const char **data,
                       size_t *n_data)
{
    size_t i = 0;
    *n_data = 0;
    while (i < n && c->state != CHUNK_DONE) {
        if (c->state == CHUNK_DATA) {
            const size_t k = c->left < n - i ? (size_t)c->left : n - i;
            *data = p + i;
            *n_data = k;
            c->left -= k;
            if (!c->left)
                c->state = CHUNK_DATA_CR;
            return (ptrdiff_t)(i + k);
        }
        if (take_byte(c, p[i]) != 0)
            return -1;
        i++;
    }
    return (ptrdiff_t)i;
}
