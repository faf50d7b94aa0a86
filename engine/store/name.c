/* engine/store/name.c - model names: [scheme://][host[:port]/][namespace/]model[:tag].
 *
 * Facts: shared/spec store.md section 1, api.md section 3. Parsed from the right, as the
 * reference does; every part is checked for its bytes and its length before it becomes a
 * struct store_name, so that no other file of this room needs to look at bytes again. Stricter
 * than the reference in one place: an empty or odd scheme is refused. */
#include "engine/store/inside.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum part_kind { PART_HOST, PART_NS, PART_MODEL, PART_TAG };

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool part_valid(enum part_kind kind, const char *p, size_t n)
{
    if (n < 1 || n > (kind == PART_HOST ? 350u : 80u) || !is_word(p[0]))
        return false;
    for (size_t i = 1; i < n; i++) {
        const char c = p[i];
        if (is_word(c) || c == '-' || (c == '.' && kind != PART_NS) ||
            (c == ':' && kind == PART_HOST))
            continue;
        return false;
    }
    return true;
}

static bool part_take(enum part_kind kind, struct text t, char *out)
{
    if (!part_valid(kind, t.p, t.n))
        return false;
    memcpy(out, t.p, t.n);
    out[t.n] = 0;
    return true;
}

static bool last_index(struct text t, char c, size_t *at)
{
    for (size_t i = t.n; i-- > 0;) {
        if (t.p[i] == c) {
            *at = i;
            return true;
        }
    }
    return false;
}

/* Cut `t` at its last `c`: what follows goes to *after. */
static bool cut_last(struct text *t, char c, struct text *after)
{
    size_t at;
    if (!last_index(*t, c, &at))
        return false;
    *after = (struct text){t->p + at + 1, t->n - at - 1};
    t->n = at;
    return true;
}

static bool parse_parts(struct text t, struct store_name *out)
{
    struct text tag = {DEFAULT_TAG, strlen(DEFAULT_TAG)}, ns = {DEFAULT_NS, strlen(DEFAULT_NS)};
    struct text host = {DEFAULT_HOST, strlen(DEFAULT_HOST)}, model;
    size_t colon, slash = 0;
    const bool has_slash = last_index(t, '/', &slash);
    if (last_index(t, ':', &colon) && (!has_slash || colon > slash))
        (void)cut_last(&t, ':', &tag);
    if (!cut_last(&t, '/', &model)) {
        model = t;
    } else if (!cut_last(&t, '/', &ns)) {
        ns = t;
    } else {
        host = t;
        const char *mark = memmem(t.p, t.n, "://", 3);
        if (mark) {
            const size_t n = (size_t)(mark - t.p);
            if (!part_valid(PART_TAG, t.p, n))
                return false;
            host = (struct text){mark + 3, t.n - n - 3};
        }
    }
    return part_take(PART_HOST, host, out->host) && part_take(PART_NS, ns, out->ns) &&
           part_take(PART_MODEL, model, out->model) && part_take(PART_TAG, tag, out->tag);
}

enum source { SOURCE_NONE, SOURCE_LOCAL, SOURCE_CLOUD };

/* The source suffix, cut off. */
static enum source cut_source(struct text *t)
{
    size_t at;
    if (!last_index(*t, ':', &at))
        return SOURCE_NONE;
    const char *s = t->p + at + 1;
    const size_t n = t->n - at - 1;
    if (n == 5 && (!strncasecmp(s, "cloud", 5) || !strncasecmp(s, "local", 5))) {
        t->n = at;
        return s[0] == 'c' || s[0] == 'C' ? SOURCE_CLOUD : SOURCE_LOCAL;
    }
    if (n >= 6 && !memchr(s, '/', n) && !strncasecmp(s + n - 6, "-cloud", 6)) {
        t->n -= 6;
        return SOURCE_CLOUD;
    }
    return SOURCE_NONE;
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

int store_name_parse(const char *text, size_t n, struct store_name *out, struct err *e)
{
    struct text t = {text, n};
    while (t.n && is_blank(t.p[0]))
        t.p++, t.n--;
    while (t.n && is_blank(t.p[t.n - 1]))
        t.n--;
    if (!t.n)
        return err_set(e, ERR_INPUT, "model is required");
    const struct text sent = t;
    const int shown = sent.n > 300 ? 300 : (int)sent.n;
    const enum source source = cut_source(&t);
    if (source != SOURCE_NONE) {
        struct text rest = t;
        if (cut_source(&rest) != SOURCE_NONE)
            return err_set(e, ERR_INPUT, "use either :local or :cloud, not both: \"%.*s\"", shown,
                           sent.p);
    }
    struct store_name got;
    memset(&got, 0, sizeof got);
    if (!parse_parts(t, &got))
        return err_set(e, ERR_INPUT, "invalid model name");
    if (source == SOURCE_CLOUD)
        return err_set(e, ERR_NOT_FOUND, "model '%.*s' not found", shown, sent.p);
    *out = got;
    return 0;
}

bool store_name_from_parts(const char *const part[4], struct store_name *out)
{
    struct text t[4];
    for (int i = 0; i < 4; i++)
        t[i] = (struct text){part[i], strlen(part[i])};
    memset(out, 0, sizeof *out);
    return part_take(PART_HOST, t[0], out->host) && part_take(PART_NS, t[1], out->ns) &&
           part_take(PART_MODEL, t[2], out->model) && part_take(PART_TAG, t[3], out->tag);
}

bool store_name_equal(const struct store_name *a, const struct store_name *b)
{
    return !strcasecmp(a->host, b->host) && !strcasecmp(a->ns, b->ns) &&
           !strcasecmp(a->model, b->model) && !strcasecmp(a->tag, b->tag);
}

void store_name_short(const struct store_name *name, char *out, size_t cap)
{
    if (strcasecmp(name->host, DEFAULT_HOST))
        store_name_full(name, out, cap);
    else if (strcasecmp(name->ns, DEFAULT_NS))
        snprintf(out, cap, "%s/%s:%s", name->ns, name->model, name->tag);
    else
        snprintf(out, cap, "%s:%s", name->model, name->tag);
}

void store_name_full(const struct store_name *name, char *out, size_t cap)
{
    snprintf(out, cap, "%s/%s/%s:%s", name->host, name->ns, name->model, name->tag);
}
