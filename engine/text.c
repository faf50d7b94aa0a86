/* engine/text.c - a model's tokenizer and template without its weights: what counting tokens,
 * tokenizing and detokenizing need (spec/api.md 25.7, 29.3).
 *
 * Both are made from the header of the GGUF, which takes some tens of milliseconds for a large
 * vocabulary, so they are kept by the file's digest. The cache is bounded in bytes and in entries,
 * the least recently used goes first; what is in use lives on until it is closed. One is built at a
 * time: many requests for a model that nobody asked for before build it once. */
#include "engine/text.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "engine/render.h"

enum {
    MAX_KEPT = 8,
    MAX_KEPT_BYTES = 64 << 20, /* beside the newest one: about two vocabularies of 256k tokens */
    TREE_FACTOR = 16,          /* a parsed template takes about so much of its source */
};

struct eng_text {
    atomic_int refs;
    struct eng_text *next; /* in the cache, newest first; under its lock */
    struct digest key;
    struct text_cache *cache;
    struct tok_vocab *vocab;
    struct chat_template *tpl;
    struct err tpl_err;
    size_t n_bytes; /* counted */
};

struct text_cache {
    struct store *store;
    void (*count)(struct eng *g, int64_t bytes);
    struct eng *g;
    pthread_mutex_t building; /* taken before `lock` */
    pthread_mutex_t lock;
    struct eng_text *kept; /* a reference each; lock */
};

struct text_cache *text_cache_new(struct store *s, void (*count)(struct eng *g, int64_t bytes),
                                  struct eng *g, struct err *e)
{
    struct text_cache *c = calloc(1, sizeof *c);
    if (!c) {
        err_set(e, ERR_MEMORY, "no memory for the cache of tokenizers");
        return NULL;
    }
    c->store = s;
    c->count = count;
    c->g = g;
    pthread_mutex_init(&c->building, NULL);
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

void eng_text_close(struct eng_text *t)
{
    if (!t || atomic_fetch_sub(&t->refs, 1) != 1)
        return;
    chat_template_free(t->tpl);
    tok_vocab_free(t->vocab);
    t->cache->count(t->cache->g, -(int64_t)t->n_bytes);
    free(t);
}

static void close_list(struct eng_text *t)
{
    while (t) {
        struct eng_text *next = t->next;
        eng_text_close(t);
        t = next;
    }
}

void text_cache_free(struct text_cache *c)
{
    if (!c)
        return;
    close_list(c->kept);
    pthread_mutex_destroy(&c->building);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static struct eng_text *build(struct text_cache *c, const struct store_model *m,
                              struct tok_vocab **vocab, struct err *e)
{
    char *source = NULL;
    struct eng_text *t = NULL;
    struct gguf *g = store_model_gguf(c->store, m, e);
    if (!g)
        return NULL;
    if (chat_template_of(g, &source, e))
        goto fail;
    t = calloc(1, sizeof *t);
    if (!t) {
        err_set(e, ERR_MEMORY, "no memory for a tokenizer");
        goto fail;
    }
    atomic_init(&t->refs, 1);
    t->cache = c;
    t->key = m->model_layer->digest;
    t->vocab = *vocab ? *vocab : tok_vocab_new(g, e);
    *vocab = NULL;
    if (!t->vocab)
        goto fail;
    t->n_bytes = sizeof *t + tok_vocab_bytes(t->vocab);
    if (source) { /* a broken one is told to those who need it */
        t->tpl = chat_template_new(CHAT_JINJA, source, strlen(source), &t->tpl_err);
        t->n_bytes += t->tpl ? strlen(source) * TREE_FACTOR : 0;
    }
    c->count(c->g, (int64_t)t->n_bytes);
    free(source);
    gguf_close(g);
    return t;
fail:
    free(source);
    gguf_close(g);
    eng_text_close(t);
    return NULL;
}

/* Under the lock: what is kept of this file, moved to the front, with a reference. */
static struct eng_text *take_kept(struct text_cache *c, const struct digest *key)
{
    struct eng_text **at = &c->kept;
    while (*at && memcmp(&(*at)->key, key, sizeof *key) != 0)
        at = &(*at)->next;
    struct eng_text *t = *at;
    if (!t)
        return NULL;
    *at = t->next;
    t->next = c->kept;
    c->kept = t;
    atomic_fetch_add(&t->refs, 1);
    return t;
}

/* Under the lock: cut the list behind what may be kept; returns what was cut off. */
static struct eng_text *cut_old(struct text_cache *c)
{
    size_t n = 0, bytes = 0;
    for (struct eng_text **at = &c->kept; *at; at = &(*at)->next) {
        bytes += n ? (*at)->n_bytes : 0;
        if (++n > MAX_KEPT || bytes > MAX_KEPT_BYTES) {
            struct eng_text *old = *at;
            *at = NULL;
            return old;
        }
    }
    return NULL;
}

struct eng_text *text_cache_open(struct text_cache *c, const struct store_model *m,
                                 struct tok_vocab *vocab, struct err *e)
{
    if (!m->model_layer) {
        tok_vocab_free(vocab);
        err_set(e, ERR_INPUT, "this model has no GGUF file");
        return NULL;
    }
    const struct digest *key = &m->model_layer->digest;
    pthread_mutex_lock(&c->lock);
    struct eng_text *t = take_kept(c, key);
    pthread_mutex_unlock(&c->lock);
    if (t) {
        tok_vocab_free(vocab);
        return t;
    }
    struct eng_text *old = NULL;
    pthread_mutex_lock(&c->building);
    pthread_mutex_lock(&c->lock);
    t = take_kept(c, key);
    pthread_mutex_unlock(&c->lock);
    if (!t && (t = build(c, m, &vocab, e))) {
        atomic_fetch_add(&t->refs, 1);
        pthread_mutex_lock(&c->lock);
        t->next = c->kept;
        c->kept = t;
        old = cut_old(c);
        pthread_mutex_unlock(&c->lock);
    }
    pthread_mutex_unlock(&c->building);
    close_list(old);
    tok_vocab_free(vocab);
    return t;
}

/* ---- the door -------------------------------------------------------------------------------- */

const struct tok_vocab *eng_text_vocab(const struct eng_text *t)
{
    return t->vocab;
}

int eng_text_prompt(const struct eng_text *t, const json_t *chat, const char *template_text,
                    bool continue_last, struct buf *prompt, size_t *n_tokens, struct err *e)
{
    const struct renderer r = {t->vocab, t->tpl, &t->tpl_err};
    struct chat_prompt p = {0};
    struct tok_ids ids = {0};
    int rc = render_prompt(&r, chat, json_object_get(chat, "messages"), template_text,
                           continue_last, &p, e);
    if (!rc && n_tokens) {
        if (p.text.n)
            rc = tok_encode(t->vocab, p.text.p, p.text.n, p.trusted, p.n_trusted, &ids, e);
        /* As the scheduler lays out a prompt: BOS once, and never nothing at all. */
        const tok_id bos = tok_bos(t->vocab);
        const bool adds = tok_adds_bos(t->vocab) && (!ids.n || ids.ids[0] != bos);
        *n_tokens = ids.n || adds ? ids.n + adds : 1;
    }
    if (!rc && prompt) {
        buf_add(prompt, p.text.p ? p.text.p : "", p.text.n);
        rc = prompt->failed ? err_set(e, ERR_MEMORY, "no memory for the prompt") : 0;
    }
    chat_prompt_free(&p);
    tok_ids_free(&ids);
    return rc;
}
