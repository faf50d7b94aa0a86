/* http/routes.c - the table of routes, and the way of a request to its handler.
 *
 * h2o matches prefixes of normalised paths (traps.md, 84), so it gets one handler on "/" and the
 * exact match is made here. Order as spec/api.md 1.6: CORS, Host, then the key
 * (29.4), route. */
#include "http/inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct route routes[] = {
    {"GET", "/", on_root, MIB, true, true},
    {"GET", "/api/version", on_version, MIB, true, true},
    {"GET", "/api/tags", on_tags, MIB, true, true},
    {"GET", "/api/ps", on_ps, MIB, true, false},
    {"POST", "/api/show", on_show, MIB, false, false},
    {"POST", "/api/generate", on_generate, 0, false, false},
    {"POST", "/api/chat", on_chat, 0, false, false},
    {"POST", "/v1/responses", on_responses, 0, false, false},
    {"POST", "/v1/messages", on_v1_messages, 0, false, false},
    {"POST", "/v1/messages/count_tokens", on_count_tokens, 0, false, false},
    {"POST", "/api/create", on_create, 4 * MIB, false, false},
    {"HEAD", "/api/blobs/", on_blob_head, MIB, false, false},
    {"POST", "/api/blobs/", on_blob_post, 64 * MIB, false, false},
    {"POST", "/api/copy", on_copy, MIB, false, false},
    {"DELETE", "/api/delete", on_delete, MIB, false, false},
    {"POST", "/api/embed", on_embed, 16 * MIB, false, false},
    {"POST", "/api/embeddings", on_embeddings, 16 * MIB, false, false},
    {"POST", "/v1/embeddings", on_openai_embeddings, 16 * MIB, false, false},
    {"POST", "/api/tokenize", on_tokenize, 16 * MIB, false, false},
    {"POST", "/api/detokenize", on_detokenize, 16 * MIB, false, false},
    {"GET", "/health", on_health, MIB, true, true},
    {"GET", "/ready", on_ready, MIB, true, true},
    {"GET", "/metrics", on_metrics, MIB, true, false},
    {"GET", "/api/status", on_cloud_status, MIB, false, true},
    {"POST", "/api/me", on_me, MIB, false, true},
    {"POST", "/api/signout", on_signout, MIB, false, true},
    {"DELETE", "/api/user/keys/", on_signout, MIB, false, true},
    {"POST", "/v1/audio/transcriptions", on_no_audio, 64 * MIB, false, true},
    {"GET", "/api/experimental/model-recommendations", on_recommendations, MIB, false, true},
    {"POST", "/api/experimental/web_search", on_web_search, MIB, false, true},
    {"POST", "/api/experimental/web_fetch", on_web_fetch, MIB, false, true},
    /* Known, and not there yet: 501 says so. */
    {"POST", "/api/pull", NULL, MIB, false, true},
    {"POST", "/api/push", NULL, MIB, false, true},
    {"POST", "/v1/chat/completions", on_openai_chat, 0, false, false},
    {"POST", "/v1/completions", on_openai_text, 0, false, false},
    {"GET", "/v1/models", on_openai_models, MIB, false, false},
    {"GET", "/v1/models/*", on_openai_model, MIB, false, false},
};
enum { N_ROUTES = sizeof routes / sizeof *routes };

int path_decode(const char *p, size_t n, char *out, size_t cap)
{
    size_t used = 0;
    for (size_t i = 0; i < n && p[i] != '?'; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c == '%' && i + 2 < n) {
            char hex[3] = {p[i + 1], p[i + 2], 0}, *end;
            const unsigned long v = strtoul(hex, &end, 16);
            if (end == hex + 2 && hex[0] != '+' && hex[0] != '-' && hex[0] != ' ') {
                c = (unsigned char)v;
                i += 2;
            }
        }
        if (!c || used + 1 >= cap)
            return -1;
        out[used++] = (char)c;
    }
    out[used] = 0;
    return 0;
}

/* Does this route serve the path? *tail: what follows a prefix. */
static bool path_matches(const struct route *r, const char *path, const char **tail)
{
    const size_t n = strlen(r->path), k = strlen(path);
    if (r->path[n - 1] == '*') { /* names with slashes, too */
        *tail = path + n - 1;
        return k >= n && memcmp(r->path, path, n - 1) == 0;
    }
    if (n > 1 && r->path[n - 1] == '/') {
        *tail = path + n;
        return k > n && memcmp(r->path, path, n) == 0 && !strchr(path + n, '/');
    }
    *tail = "";
    /* One slash too many at the end is served (spec/api.md 1.7). */
    return strncmp(r->path, path, n) == 0 && (k == n || (n > 1 && k == n + 1 && path[n] == '/'));
}

static bool method_is(const struct route *r, const char *method)
{
    return strcmp(r->method, method) == 0 || (r->head && strcmp(method, "HEAD") == 0);
}

/* Errors have the shape of the family that a path belongs to, whether or not it is served. */
static const struct shape *shape_of(const char *path)
{
    static const struct {
        const char *prefix;
        const struct shape *shape;
    } families[] = {
        {"/v1/messages", &shape_anthropic},
        {"/v1/", &shape_openai},
    };
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strncmp(path, families[i].prefix, strlen(families[i].prefix)) == 0)
            return families[i].shape;
    return &shape_ollama;
}

static void not_yet(struct call *c)
{
    call_fail_status(c, 501, "%s is not supported by this version of chaski yet", c->route->path);
}

static void run_handler(struct work *w)
{
    struct call *c = (struct call *)((char *)w - offsetof(struct call, work));
    struct err e = {0};
    if (!call_is_gone(c) && c->is_zstd && body_unzstd(c, &e) != 0)
        call_fail(c, &e);
    else if (!call_is_gone(c))
        c->route->handle(c);
    call_unref(c);
}

static void cors_headers(h2o_req_t *req, enum access access, bool any, struct text origin)
{
    h2o_mem_pool_t *pool = &req->pool;
    h2o_headers_t *h = &req->res.headers;
    const char *value = any ? "*" : origin.p;
    const size_t n = any ? 1 : origin.n;
    h2o_add_header_by_str(pool, h, H2O_STRLIT("access-control-allow-origin"), 0, NULL,
                          h2o_strdup(pool, value, n).base, n);
    if (!any)
        h2o_add_header_by_str(pool, h, H2O_STRLIT("vary"), 1, NULL, H2O_STRLIT("Origin"));
    if (access != ACCESS_PREFLIGHT)
        return;
    h2o_add_header_by_str(pool, h, H2O_STRLIT("access-control-allow-methods"), 0, NULL,
                          access_allow_methods, strlen(access_allow_methods));
    h2o_add_header_by_str(pool, h, H2O_STRLIT("access-control-allow-headers"), 0, NULL,
                          access_allow_headers, strlen(access_allow_headers));
    h2o_add_header_by_str(pool, h, H2O_STRLIT("access-control-max-age"), 0, NULL,
                          H2O_STRLIT("43200"));
    h2o_add_header_by_str(pool, h, H2O_STRLIT("vary"), 1, NULL,
                          H2O_STRLIT("Access-Control-Request-Method"));
    h2o_add_header_by_str(pool, h, H2O_STRLIT("vary"), 1, NULL,
                          H2O_STRLIT("Access-Control-Request-Headers"));
}

static struct text header(const h2o_req_t *req, const char *name)
{
    const ssize_t i = h2o_find_header_by_str(&req->headers, name, strlen(name), -1);
    if (i < 0)
        return (struct text){NULL, 0};
    return (struct text){req->headers.entries[i].value.base, req->headers.entries[i].value.len};
}

/* The Allow list of a path, static text; NULL: no such path. */
static const char *methods_of(const char *path)
{
    const char *tail;
    bool get = false, head = false, post = false, del = false;
    for (int i = 0; i < N_ROUTES; i++) {
        if (!path_matches(&routes[i], path, &tail))
            continue;
        get = get || strcmp(routes[i].method, "GET") == 0;
        head = head || routes[i].head || strcmp(routes[i].method, "HEAD") == 0;
        post = post || strcmp(routes[i].method, "POST") == 0;
        del = del || strcmp(routes[i].method, "DELETE") == 0;
    }
    if (get)
        return head ? "GET, HEAD" : "GET";
    if (post)
        return head ? "HEAD, POST" : "POST";
    return del ? "DELETE" : NULL;
}

static const struct route *find_route(const char *method, const char *path, const char **tail)
{
    for (int i = 0; i < N_ROUTES; i++)
        if (path_matches(&routes[i], path, tail) && method_is(&routes[i], method))
            return &routes[i];
    return NULL;
}

static size_t limit_of(const struct http_server *s, const struct route *r)
{
    return r && r->max_body ? r->max_body : s->cfg.max_body_bytes;
}

const struct route *route_find(struct text method, struct text path)
{
    char m[16], p[1024];
    const char *tail;
    if (method.n >= sizeof m || path_decode(path.p, path.n, p, sizeof p) != 0)
        return NULL;
    memcpy(m, method.p, method.n);
    m[method.n] = 0;
    return find_route(m, p, &tail);
}

const struct shape *shape_of_path(struct text path)
{
    char p[1024];
    return path_decode(path.p, path.n, p, sizeof p) == 0 ? shape_of(p) : &shape_ollama;
}

size_t route_max_body(const struct http_server *s, struct text method, struct text path)
{
    return limit_of(s, route_find(method, path));
}

static void start_handler(struct call *c, h2o_req_t *req)
{
    if (req->entity.len > limit_of(c->srv, c->route)) {
        call_fail_status(c, 413, "request body too large");
        return;
    }
    if (atomic_load(&c->srv->stopping) && c->route->handle != on_health &&
        c->route->handle != on_ready && c->route->handle != on_metrics) {
        call_fail_status(c, 503, "the server is stopping");
        return;
    }
    if (!c->route->handle) {
        not_yet(c);
        return;
    }
    if (req->entity.len) {
        c->body = malloc(req->entity.len);
        if (!c->body) {
            call_fail_status(c, 500, "out of memory");
            return;
        }
        memcpy(c->body, req->entity.base, req->entity.len);
        c->n_body = req->entity.len;
    }
    const struct text agent = header(req, "user-agent");
    c->is_copilot = agent.n >= 18 && memcmp(agent.p, "GitHubCopilotChat/", 18) == 0;
    const struct text coding = header(req, "content-encoding"); /* others are broken JSON (1.1) */
    c->is_zstd = coding.n == 4 && strncasecmp(coding.p, "zstd", 4) == 0 &&
                 strncmp(c->route->path, "/v1/", 4) == 0;
    call_ref(c);
    c->work.run = run_handler;
    if (c->route->on_loop)
        run_handler(&c->work);
    else
        work_submit(c->srv->workers, &c->work);
}

/* Takes empty and dot segments out of p[0..n), which begins with a slash: the new length. */
static size_t clean_path(char *p, size_t n)
{
    const bool is_folder = p[n - 1] == '/';
    size_t used = 0, next;
    for (size_t i = 0; i < n; i = next) {
        const char *slash = memchr(p + i + 1, '/', n - i - 1);
        next = slash ? (size_t)(slash - p) : n;
        const size_t k = next - i; /* with the slash before it */
        if (k == 3 && p[i + 1] == '.' && p[i + 2] == '.') {
            while (used && p[--used] != '/')
                ;
        } else if (k > 2 || (k == 2 && p[i + 1] != '.')) {
            memmove(p + used, p + i, k);
            used += k;
        }
    }
    if (!used || is_folder)
        p[used++] = '/';
    return used;
}

/* "//api/./tags" -> "/api/tags" (spec/api.md 1.7); false: there is nothing to clean. Not with a
 * backslash: browsers take it for a slash, and "/\host" for another host. */
static bool redirect(struct call *c, h2o_req_t *req)
{
    h2o_iovec_t to = h2o_strdup(&req->pool, req->input.path.base, req->input.path.len);
    const char *query = memchr(to.base, '?', to.len);
    const size_t n = query ? (size_t)(query - to.base) : to.len;
    if (!n || to.base[0] != '/' || memchr(to.base, '\\', n))
        return false;
    const size_t k = clean_path(to.base, n);
    if (k == n)
        return false;
    memmove(to.base + k, to.base + n, to.len - n);
    h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("location"), 1, NULL, to.base,
                          to.len - n + k);
    call_answer(c, 307, NULL, "", 0);
    return true;
}

/* No such route, or not by that method: text under /api as clients know it, and the error that
 * its clients can show under /v1 (spec/api.md 1.7). */
static void refuse(struct call *c, int status, const char *text)
{
    if (c->shape == &shape_ollama)
        call_answer(c, status, type_text, text, strlen(text));
    else
        call_fail_status(c, status, "%s", text);
}

/* 0: the key that was presented may do this, or nobody asks for one. */
static int check_key(struct call *c, const h2o_req_t *req)
{
    const struct http_server *s = c->srv;
    const unsigned need = c->route ? key_needed(c->route->method, c->route->path) : KEY_READ;
    if (!s->keys || !need)
        return 0;
    const struct presented p = {header(req, "authorization"), header(req, "x-api-key"),
                                header(req, "api-key")};
    c->key = key_ring_find(s->keys, &p);
    if (!c->key) {
        call_fail_status(c, 401, "unauthorized");
        return -1;
    }
    if (c->route && !(c->key->scopes & need)) {
        call_fail_status(c, 403, "this key does not have the scope \"%s\"", key_scope_name(need));
        return -1;
    }
    return 0;
}

/* "GET http://host/path", the form that is meant for proxies: every server takes it (RFC 9112). */
static void take_absolute(h2o_iovec_t *path)
{
    if (path->len < 8 || strncasecmp(path->base, "http://", 7) != 0)
        return;
    char *slash = memchr(path->base + 7, '/', path->len - 7);
    *path = slash ? h2o_iovec_init(slash, path->len - (size_t)(slash - path->base))
                  : h2o_iovec_init(H2O_STRLIT("/"));
}

int on_request(h2o_handler_t *self, h2o_req_t *req)
{
    struct http_server *s = H2O_STRUCT_FROM_MEMBER(struct http_server, ctx, req->conn->ctx);
    struct call *c = call_new(s, req);
    char path[1024], method[16];
    const char *tail = "";
    bool any = false;
    if (!c)
        return -1;
    take_absolute(&req->input.path);
    const size_t n_method = req->input.method.len < 15 ? req->input.method.len : 15;
    memcpy(method, req->input.method.base, n_method);
    method[n_method] = 0;
    c->is_head = strcmp(method, "HEAD") == 0;
    const struct text host = {req->input.authority.base, req->input.authority.len};
    const struct text origin = header(req, "origin");
    const enum access access =
        access_check(s->access, (struct text){method, n_method}, origin, host, &any);
    const bool fits =
        path_decode(req->input.path.base, req->input.path.len, path, sizeof path) == 0;
    if (!fits)
        path[0] = 0;
    c->route = find_route(method, path, &tail);
    c->shape = shape_of(path);
    if (strncmp(path, "/v1/models", 10) == 0 && header(req, "anthropic-version").p)
        c->shape = &shape_anthropic;
    journal_id(s->journal, header(req, "x-request-id"), c->id);
    if (c->shape->opened)
        c->shape->opened(c);
    snprintf(c->who, sizeof c->who, "%s %s", method, c->route ? c->route->path : "(no route)");
    if (access == ACCESS_CORS || access == ACCESS_PREFLIGHT)
        cors_headers(req, access, any, origin);
    if (access == ACCESS_DENIED) {
        call_answer(c, 403, NULL, "", 0);
    } else if (access == ACCESS_PREFLIGHT || access == ACCESS_EMPTY_204) {
        call_answer(c, 204, NULL, "", 0);
    } else if (check_key(c, req) != 0) {
        ; /* 401 or 403 */
    } else if (c->route) {
        c->tail = strdup(tail);
        if (c->tail)
            start_handler(c, req);
        else
            call_fail_status(c, 500, "out of memory");
    } else if (fits && redirect(c, req)) {
        ; /* answered */
    } else if ((c->allow = methods_of(path))) {
        refuse(c, 405, "405 method not allowed");
    } else {
        refuse(c, 404, "404 page not found");
    }
    return 0;
}
