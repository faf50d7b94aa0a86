/* http/cors.c - who may ask: the Origin and Host checks of spec/api.md 1.6.
 *
 * A web page anywhere can send a simple POST to 127.0.0.1, and a name of an attacker can be made
 * to point there: so a foreign Origin is refused before anything runs, and a foreign Host too
 * while the server listens on a loopback address only. */
#include "http/inside.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { MAX_ORIGINS = 256, MAX_OWN = 64 };

struct access_rules {
    char *origins[MAX_ORIGINS]; /* lower case; one '*' is a wildcard; owned */
    int n_origins;
    bool any_origin, is_loopback;
    char hostname[256];
    struct in6_addr own[MAX_OWN]; /* addresses of this machine, IPv4 mapped */
    int n_own;
};

const char access_allow_methods[] = "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS";
const char access_allow_headers[] =
    "Authorization,Content-Type,User-Agent,Accept,X-Requested-With,Openai-Beta,Openai-Organization,"
    "Openai-Project,X-Stainless-Arch,X-Stainless-Async,X-Stainless-Custom-Poll-Interval,"
    "X-Stainless-Helper,X-Stainless-Helper-Method,X-Stainless-Lang,"
    "X-Stainless-Os,X-Stainless-Package-Version,X-Stainless-Poll-Helper,X-Stainless-Retry-Count,"
    "X-Stainless-Runtime,X-Stainless-Runtime-Version,X-Stainless-Timeout,X-Api-Key,"
    "Anthropic-Version,Anthropic-Beta,Anthropic-Dangerous-Direct-Browser-Access,Api-Key";

static const char *const default_origins[] = {
    "http://localhost", "https://localhost", "http://localhost:*", "https://localhost:*",
    "http://127.0.0.1", "https://127.0.0.1", "http://127.0.0.1:*", "https://127.0.0.1:*",
    "http://0.0.0.0",   "https://0.0.0.0",   "http://0.0.0.0:*",   "https://0.0.0.0:*",
    "app://*",          "file://*",          "tauri://*",          "vscode-webview://*",
    "vscode-file://*",
};

static void add_origin(struct access_rules *a, const char *p, size_t n)
{
    if (a->n_origins == MAX_ORIGINS)
        return;
    char *copy = strndup(p, n);
    if (copy)
        a->origins[a->n_origins++] = copy;
}

static void add_listed(struct access_rules *a, const char *p, size_t n)
{
    static const char *const schemes[] = {"http://",
                                          "https://",
                                          "chrome-extension://",
                                          "safari-extension://",
                                          "moz-extension://",
                                          "ms-browser-extension://"};
    while (n && (*p == ' ' || *p == '"' || *p == '\''))
        p++, n--;
    while (n && (p[n - 1] == ' ' || p[n - 1] == '"' || p[n - 1] == '\''))
        n--;
    if (!n)
        return;
    if (n == 1 && *p == '*') {
        a->any_origin = true;
        return;
    }
    const char *star = memchr(p, '*', n);
    bool good = star != NULL;
    if (star && memchr(star + 1, '*', n - (size_t)(star + 1 - p)))
        good = false;
    for (size_t i = 0; !star && i < sizeof schemes / sizeof *schemes; i++)
        good = good || strncasecmp(p, schemes[i], strlen(schemes[i])) == 0;
    if (good)
        add_origin(a, p, n);
    else
        log_line(LOG_WARN, "OLLAMA_ORIGINS: \"%.*s\" is left out: it needs a scheme or one *",
                 (int)n, p);
}

static void learn_own_addresses(struct access_rules *a)
{
    struct ifaddrs *list = NULL;
    if (getifaddrs(&list) != 0)
        return;
    for (struct ifaddrs *i = list; i && a->n_own < MAX_OWN; i = i->ifa_next) {
        if (!i->ifa_addr)
            continue;
        struct in6_addr *own = &a->own[a->n_own];
        if (i->ifa_addr->sa_family == AF_INET) {
            struct sockaddr_in in;
            memcpy(&in, i->ifa_addr, sizeof in);
            memset(own, 0, sizeof *own);
            own->s6_addr[10] = own->s6_addr[11] = 0xFF;
            memcpy(&own->s6_addr[12], &in.sin_addr, 4);
            a->n_own++;
        } else if (i->ifa_addr->sa_family == AF_INET6) {
            struct sockaddr_in6 in6;
            memcpy(&in6, i->ifa_addr, sizeof in6);
            *own = in6.sin6_addr;
            a->n_own++;
        }
    }
    freeifaddrs(list);
}

struct access_rules *access_rules_new(const char *origins, bool is_loopback)
{
    struct access_rules *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->is_loopback = is_loopback;
    if (gethostname(a->hostname, sizeof a->hostname - 1) != 0)
        a->hostname[0] = 0;
    while (origins && *origins) {
        const size_t n = strcspn(origins, ",");
        add_listed(a, origins, n);
        origins += n;
        if (*origins)
            origins++;
    }
    for (size_t i = 0; i < sizeof default_origins / sizeof *default_origins; i++)
        add_origin(a, default_origins[i], strlen(default_origins[i]));
    learn_own_addresses(a);
    return a;
}

void access_rules_free(struct access_rules *a)
{
    if (!a)
        return;
    for (int i = 0; i < a->n_origins; i++)
        free(a->origins[i]);
    free(a);
}

static bool origin_matches(const char *rule, struct text origin)
{
    const char *star = strchr(rule, '*');
    const size_t n = strlen(rule);
    if (!star)
        return n == origin.n && strncasecmp(rule, origin.p, n) == 0;
    const size_t before = (size_t)(star - rule), after = n - before - 1;
    return origin.n >= before + after && strncasecmp(rule, origin.p, before) == 0 &&
           strncasecmp(star + 1, origin.p + origin.n - after, after) == 0;
}

static bool origin_is_host(struct text origin, struct text host)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (int i = 0; i < 2; i++) {
        const size_t k = strlen(schemes[i]);
        if (host.n && origin.n == k + host.n && strncasecmp(origin.p, schemes[i], k) == 0 &&
            strncasecmp(origin.p + k, host.p, host.n) == 0)
            return true;
    }
    return false;
}

static bool address_passes(const struct access_rules *a, const struct in6_addr *ip)
{
    if (IN6_IS_ADDR_V4MAPPED(ip)) {
        const uint8_t *b = &ip->s6_addr[12];
        if (b[0] == 127 || b[0] == 10 || (b[0] == 172 && (b[1] & 0xF0) == 16) ||
            (b[0] == 192 && b[1] == 168) || !(b[0] | b[1] | b[2] | b[3]))
            return true;
    } else if (IN6_IS_ADDR_LOOPBACK(ip) || IN6_IS_ADDR_UNSPECIFIED(ip) ||
               (ip->s6_addr[0] & 0xFE) == 0xFC) {
        return true;
    }
    for (int i = 0; i < a->n_own; i++)
        if (memcmp(&a->own[i], ip, sizeof *ip) == 0)
            return true;
    return false;
}

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), k = strlen(end);
    return n >= k && strcasecmp(s + n - k, end) == 0;
}

/* Is `host` (with or without a port) an address that passes (1), a name that passes (2), or 0? */
static int host_passes(const struct access_rules *a, struct text host)
{
    char name[300];
    size_t n = host.n;
    const char *p = host.p ? host.p : "";
    if (n && *p == '[') { /* [v6]:port */
        const char *close = memchr(p, ']', n);
        if (!close)
            return 0;
        n = (size_t)(close - p) - 1;
        p++;
    } else {
        const char *colon = n ? memrchr(p, ':', n) : NULL;
        if (colon && n && memchr(p, ':', n) == colon)
            n = (size_t)(colon - p);
    }
    if (n >= sizeof name)
        return 0;
    if (n)
        memcpy(name, p, n);
    name[n] = 0;
    if (strlen(name) != n)
        return 0;
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, name, &v4) == 1) {
        memset(&v6, 0, sizeof v6);
        v6.s6_addr[10] = v6.s6_addr[11] = 0xFF;
        memcpy(&v6.s6_addr[12], &v4, 4);
        return address_passes(a, &v6) ? 1 : 0;
    }
    if (inet_pton(AF_INET6, name, &v6) == 1)
        return address_passes(a, &v6) ? 1 : 0;
    if (!n || strcasecmp(name, "localhost") == 0 ||
        (a->hostname[0] && strcasecmp(name, a->hostname) == 0) || ends_with(name, ".localhost") ||
        ends_with(name, ".local") || ends_with(name, ".internal"))
        return 2;
    return 0;
}

enum access access_check(const struct access_rules *a, struct text method, struct text origin,
                         struct text host, bool *any)
{
    const bool is_options = method.n == 7 && memcmp(method.p, "OPTIONS", 7) == 0;
    enum access got = ACCESS_OK;
    *any = a->any_origin;
    if (origin.n && !origin_is_host(origin, host)) {
        bool allowed = a->any_origin;
        for (int i = 0; !allowed && i < a->n_origins; i++)
            allowed = origin_matches(a->origins[i], origin);
        if (!allowed)
            return ACCESS_DENIED;
        if (is_options)
            return ACCESS_PREFLIGHT;
        got = ACCESS_CORS;
    }
    if (a->is_loopback) {
        const int passes = host_passes(a, host);
        if (!passes)
            return ACCESS_DENIED;
        if (passes == 2 && is_options)
            return ACCESS_EMPTY_204;
    }
    return got;
}
