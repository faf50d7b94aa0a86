/* tools/address.c - the meaning of OLLAMA_HOST. Facts: shared/spec/cli.md 1.3. */
#include "tools/address.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "gguf/base.h"

static void trim(const char **p, size_t *n, const char *set)
{
    while (*n && strchr(set, **p)) {
        ++*p;
        --*n;
    }
    while (*n && strchr(set, (*p)[*n - 1]))
        --*n;
}

static void copy(char *out, size_t cap, const char *p, size_t n)
{
    if (n >= cap)
        n = cap - 1;
    memcpy(out, p, n);
    out[n] = 0;
}

void address_parse(const char *text, struct address *out)
{
    const char *p = text ? text : "";
    size_t n = strlen(p);
    trim(&p, &n, " \t\r\n");
    trim(&p, &n, "\"'");
    *out = (struct address){.scheme = "http", .port = 11434};

    const char *mark = n ? memmem(p, n, "://", 3) : NULL;
    if (mark) {
        const bool tls = mark - p == 5 && !strncasecmp(p, "https", 5);
        snprintf(out->scheme, sizeof out->scheme, "%s", tls ? "https" : "http");
        out->port = tls ? 443 : 80;
        n -= (size_t)(mark + 3 - p);
        p = mark + 3;
    }
    const char *slash = n ? memchr(p, '/', n) : NULL;
    if (slash) {
        size_t len = n - (size_t)(slash - p);
        while (len && slash[len - 1] == '/')
            len--;
        copy(out->path, sizeof out->path, slash, len);
        n = (size_t)(slash - p);
    }

    const char *host = p, *port = NULL;
    size_t n_host = n;
    const char *close = n && *p == '[' ? memchr(p, ']', n) : NULL;
    if (close) {
        host = p + 1;
        n_host = (size_t)(close - host);
        if (close + 1 < p + n && close[1] == ':')
            port = close + 2;
    } else {
        const char *first = n ? memchr(p, ':', n) : NULL;
        const char *second = first ? memchr(first + 1, ':', n - (size_t)(first + 1 - p)) : NULL;
        if (first && !second) { /* two colons: a bare IPv6 address */
            n_host = (size_t)(first - p);
            port = first + 1;
        }
    }
    copy(out->host, sizeof out->host, host, n_host);
    if (!out->host[0])
        snprintf(out->host, sizeof out->host, "127.0.0.1");
    if (port && port < p + n) {
        char digits[16], *end;
        copy(digits, sizeof digits, port, (size_t)(p + n - port));
        const long v = strtol(digits, &end, 10);
        if (*end || digits[0] < '0' || digits[0] > '9' || v > 65535)
            log_line(LOG_WARN, "invalid port \"%s\" in OLLAMA_HOST, using %d", digits, out->port);
        else
            out->port = (int)v;
    }
}
