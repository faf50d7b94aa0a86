/* http/keys.c - API keys: who may do what (spec/api.md 29.4, security.md 3.8).
 *
 * Keys come from CHASKI_API_KEY (all scopes) and from a file of lines NAME:SCOPES:SHA256, so that
 * the file alone opens nothing. What a client presents is hashed and compared with every line, each
 * without an early exit: the time says neither which line fits nor how far. Without a key at all
 * everything is open, as in the reference.
 *
 * Scopes: infer (use models, and look at them), manage (make, copy, delete, fetch them, and look),
 * admin (all, the metrics too). `read` (only look) and `write` (as manage) are taken as well. */
#include "http/keys.h"
#include "http/http.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { MOST_KEYS = 10000, LINE_MOST = 1024 };

struct key_ring {
    struct api_key *keys;
    size_t n;
};

static int hash_of(struct text key, uint8_t out[KEY_HASH])
{
    unsigned n = 0;
    return EVP_Digest(key.p, key.n, out, &n, EVP_sha256(), NULL) == 1 && n == KEY_HASH ? 0 : -1;
}

static int add(struct key_ring *r, const struct api_key *k, struct err *e)
{
    if (r->n >= MOST_KEYS)
        return err_set(e, ERR_LIMIT, "more than %d keys", MOST_KEYS);
    struct api_key *more = realloc(r->keys, (r->n + 1) * sizeof *more);
    if (!more)
        return err_set(e, ERR_MEMORY, "out of memory");
    r->keys = more;
    more[r->n] = *k;
    for (int i = 0; i < 16; i++)
        snprintf(more[r->n].scope + 2 * i, 3, "%02x", k->hash[i]);
    r->n++;
    return 0;
}

int key_scopes_parse(const char *p, size_t n, unsigned *out, struct err *e)
{
    static const struct {
        const char *word;
        unsigned scopes;
    } words[] = {
        {"infer", KEY_INFER | KEY_READ},
        {"read", KEY_READ},
        {"write", KEY_WRITE | KEY_READ},
        {"manage", KEY_WRITE | KEY_READ},
        {"admin", KEY_INFER | KEY_READ | KEY_WRITE | KEY_ADMIN},
    };
    *out = 0;
    while (n) {
        const char *comma = memchr(p, ',', n);
        const size_t k = comma ? (size_t)(comma - p) : n;
        unsigned found = 0;
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            if (strlen(words[i].word) == k && memcmp(words[i].word, p, k) == 0)
                found = words[i].scopes;
        if (!found)
            return err_set(e, ERR_INPUT, "unknown scope \"%.*s\": infer, read, manage or admin",
                           (int)(k < 40 ? k : 40), p);
        *out |= found;
        p += comma ? k + 1 : k;
        n -= comma ? k + 1 : k;
    }
    return *out ? 0 : err_set(e, ERR_INPUT, "no scope: infer, read, manage or admin");
}

static int hex_nibble(char c)
{
    const char *at = c ? strchr("0123456789abcdef", c | 32) : NULL;
    return at ? (int)(at - "0123456789abcdef") : -1;
}

/* NAME:SCOPES:HEX, checked to the byte. */
static int read_line(const char *p, size_t n, struct api_key *k, struct err *e)
{
    const char *a = memchr(p, ':', n);
    const char *b = a ? memchr(a + 1, ':', n - (size_t)(a + 1 - p)) : NULL;
    memset(k, 0, sizeof *k);
    if (!b)
        return err_set(e, ERR_INPUT, "not NAME:SCOPES:SHA256");
    const size_t n_name = (size_t)(a - p);
    if (!n_name || n_name >= sizeof k->name)
        return err_set(e, ERR_INPUT, "the name must have 1 to %zu characters", sizeof k->name - 1);
    for (size_t i = 0; i < n_name; i++)
        if (!key_name_char(p[i]))
            return err_set(e, ERR_INPUT, "a name has letters, digits, and - _ . @ only");
    memcpy(k->name, p, n_name);
    if (key_scopes_parse(a + 1, (size_t)(b - a - 1), &k->scopes, e) != 0)
        return -1;
    const size_t n_hex = n - (size_t)(b + 1 - p);
    if (n_hex != 2 * KEY_HASH)
        return err_set(e, ERR_INPUT, "the hash must have 64 hex digits");
    for (size_t i = 0; i < KEY_HASH; i++) {
        const int hi = hex_nibble(b[1 + 2 * i]), lo = hex_nibble(b[2 + 2 * i]);
        if (hi < 0 || lo < 0)
            return err_set(e, ERR_INPUT, "the hash must have 64 hex digits");
        k->hash[i] = (uint8_t)(hi << 4 | lo);
    }
    return 0;
}

bool key_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("-_.@", c));
}

int http_key_line(const char *name, const char *scopes, const char *key, struct buf *out,
                  struct err *e)
{
    uint8_t hash[KEY_HASH];
    struct buf line = {0};
    struct api_key k;
    if (hash_of((struct text){key, strlen(key)}, hash) != 0)
        return err_set(e, ERR_BUG, "no SHA-256");
    buf_printf(&line, "%s:%s:", name, scopes);
    for (int i = 0; i < KEY_HASH; i++)
        buf_printf(&line, "%02x", hash[i]);
    int rc = line.failed ? err_set(e, ERR_MEMORY, "out of memory") : 0;
    if (rc == 0) /* as the server will read it */
        rc = read_line(line.p, line.n, &k, e);
    if (rc == 0)
        buf_add(out, line.p, line.n);
    buf_free(&line);
    return rc == 0 && out->failed ? err_set(e, ERR_MEMORY, "out of memory") : rc;
}

static int read_file(struct key_ring *r, const char *path, struct err *e)
{
    char line[LINE_MOST];
    struct stat st;
    int rc = 0;
    FILE *f = fopen(path, "re");
    if (!f)
        return err_set(e, ERR_IO, "CHASKI_KEYS: %s cannot be read", path);
    if (fstat(fileno(f), &st) == 0 && (st.st_mode & 077))
        log_line(LOG_WARN, "CHASKI_KEYS: others may read %s (chmod 600)", path);
    for (int i = 1; rc == 0 && fgets(line, sizeof line, f); i++) {
        struct err why = {0};
        struct api_key k;
        size_t n = strcspn(line, "\r\n");
        const bool whole = line[n] || feof(f);
        while (n && (line[n - 1] == ' ' || line[n - 1] == '\t'))
            n--;
        if (whole && (!n || line[0] == '#'))
            continue;
        if (!whole)
            rc = err_set(e, ERR_INPUT, "CHASKI_KEYS: line %d of %s is too long", i, path);
        else if (read_line(line, n, &k, &why) != 0)
            rc = err_set(e, ERR_INPUT, "CHASKI_KEYS: line %d of %s: %s", i, path, why.text);
        else
            rc = add(r, &k, e);
    }
    if (rc == 0 && ferror(f))
        rc = err_set(e, ERR_IO, "CHASKI_KEYS: %s cannot be read", path);
    fclose(f);
    return rc;
}

int key_ring_new(const char *plain, const char *path, struct key_ring **out, struct err *e)
{
    struct key_ring *r = calloc(1, sizeof *r);
    *out = NULL;
    if (!r)
        return err_set(e, ERR_MEMORY, "out of memory");
    if (plain && *plain) {
        struct api_key k = {.name = "CHASKI_API_KEY",
                            .scopes = KEY_INFER | KEY_READ | KEY_WRITE | KEY_ADMIN};
        if (hash_of((struct text){plain, strlen(plain)}, k.hash) != 0) {
            err_set(e, ERR_BUG, "no SHA-256");
            goto fail;
        }
        if (add(r, &k, e) != 0)
            goto fail;
    }
    if (path && *path && read_file(r, path, e) != 0)
        goto fail;
    if (path && *path && !r->n) { /* open to all is not what a file of keys asks for */
        err_set(e, ERR_INPUT, "CHASKI_KEYS: %s holds no key", path);
        goto fail;
    }
    if (!r->n) {
        free(r);
        return 0;
    }
    *out = r;
    return 0;
fail:
    key_ring_free(r);
    return -1;
}

void key_ring_free(struct key_ring *r)
{
    if (!r)
        return;
    free(r->keys);
    free(r);
}

size_t key_ring_count(const struct key_ring *r)
{
    return r ? r->n : 0;
}

static const struct api_key *look_up(const struct key_ring *r, struct text key)
{
    uint8_t hash[KEY_HASH];
    const struct api_key *found = NULL;
    if (!key.n || hash_of(key, hash) != 0)
        return NULL;
    for (size_t i = 0; i < r->n; i++) /* all of them, whichever fits */
        if (CRYPTO_memcmp(r->keys[i].hash, hash, KEY_HASH) == 0)
            found = &r->keys[i];
    return found;
}

const struct api_key *key_ring_find(const struct key_ring *r, const struct presented *p)
{
    struct text bearer = {NULL, 0};
    if (p->authorization.n > 7 && strncasecmp(p->authorization.p, "Bearer ", 7) == 0) {
        bearer = (struct text){p->authorization.p + 7, p->authorization.n - 7};
        while (bearer.n && bearer.p[0] == ' ')
            bearer.p++, bearer.n--;
    }
    /* A client may send a made-up bearer beside a real x-api-key: any that fits will do. */
    const struct text given[] = {bearer, p->x_api_key, p->api_key};
    const struct api_key *found = NULL;
    for (size_t i = 0; i < sizeof given / sizeof *given && !found; i++)
        found = look_up(r, given[i]);
    return found;
}

/* ---- what a route asks for ----------------------------------------------------------------- */

unsigned key_needed(const char *method, const char *path)
{
    static const struct {
        const char *path; /* of the table of routes */
        unsigned scope;
    } table[] = {
        {"/", 0},
        {"/health", 0},
        {"/ready", 0},
        {"/metrics", KEY_ADMIN},
        {"/api/create", KEY_WRITE},
        {"/api/blobs/", KEY_WRITE},
        {"/api/copy", KEY_WRITE},
        {"/api/delete", KEY_WRITE},
        {"/api/pull", KEY_WRITE},
        {"/api/push", KEY_WRITE},
        {"/api/show", KEY_READ},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].path, path) == 0)
            return table[i].scope;
    return strcmp(method, "GET") == 0 ? KEY_READ : KEY_INFER;
}

const char *key_scope_name(unsigned scope)
{
    return scope == KEY_ADMIN   ? "admin"
           : scope == KEY_WRITE ? "manage"
           : scope == KEY_INFER ? "infer"
                                : "read";
}
