/* engine/sched/infos.c - what files say, kept: the headers of models that are asked about again and
 * again (show, tags, each request) are read once. Few, small ones stay when nobody looks at them. */
#include "engine/sched/sched.h"

#include <stdlib.h>
#include <string.h>
#include "engine/info.h"

/* Under the lock: forget the headers used longest ago until few enough are kept. */
static void trim_infos(struct eng *g)
{
    for (;;) {
        struct info_entry **oldest = NULL;
        size_t n = 0, bytes = 0;
        for (struct info_entry **p = &g->infos; *p; p = &(*p)->next) {
            if ((*p)->n_users)
                continue;
            n++;
            bytes += (*p)->n_bytes;
            if (!oldest || (*p)->used < (*oldest)->used)
                oldest = p;
        }
        if (!oldest || (n <= MOST_INFOS && bytes <= MOST_INFO_BYTES))
            return;
        struct info_entry *gone = *oldest;
        *oldest = gone->next;
        eng_count(g, -(int64_t)gone->n_bytes);
        free(gone->chat_template);
        free(gone);
    }
}

static uint64_t hash_of(const char *text)
{
    uint64_t h = text ? 0xcbf29ce484222325u : 0;
    for (; text && *text; text++)
        h = (h ^ (unsigned char)*text) * 0x100000001b3u;
    return h;
}

/* Under the lock. */
static struct info_entry *find_info(struct eng *g, const struct digest *d, uint64_t words)
{
    struct info_entry *n = g->infos;
    while (n && (n->words != words || memcmp(&n->key, d, sizeof n->key)))
        n = n->next;
    if (n) {
        n->n_users++;
        n->used = ++g->info_clock;
    }
    return n;
}

int eng_model_info(struct eng *g, const struct store_model *m, const struct eng_info **out,
                   struct err *e)
{
    if (!m->model_layer)
        return err_set(e, ERR_INPUT, "this model has no GGUF file");
    const struct digest *d = &m->model_layer->digest;
    const uint64_t words = hash_of(m->template_text);
    pthread_mutex_lock(&g->lock);
    struct info_entry *n = find_info(g, d, words);
    pthread_mutex_unlock(&g->lock);
    if (!n) {
        struct info_entry *fresh = calloc(1, sizeof *fresh);
        if (!fresh)
            return err_set(e, ERR_MEMORY, "no memory for a model's header");
        if (info_read(g->cfg.store, m, &fresh->info, &fresh->chat_template, e)) {
            free(fresh);
            return -1;
        }
        fresh->info.chat_template = fresh->chat_template;
        fresh->key = *d;
        fresh->words = words;
        fresh->n_bytes =
            sizeof *fresh + (fresh->chat_template ? strlen(fresh->chat_template) + 1 : 0);
        pthread_mutex_lock(&g->lock);
        n = find_info(g, d, words);
        if (!n) {
            fresh->next = g->infos;
            g->infos = fresh;
            n = find_info(g, d, words);
            eng_count(g, (int64_t)fresh->n_bytes); /* small and bounded */
            trim_infos(g);
            fresh = NULL;
        }
        pthread_mutex_unlock(&g->lock);
        if (fresh) /* another thread was faster */
            free(fresh->chat_template);
        free(fresh);
    }
    *out = &n->info;
    return 0;
}

void eng_info_close(struct eng *g, const struct eng_info *info)
{
    if (!info)
        return;
    pthread_mutex_lock(&g->lock);
    for (struct info_entry *n = g->infos; n; n = n->next)
        if (&n->info == info)
            n->n_users--;
    trim_infos(g);
    pthread_mutex_unlock(&g->lock);
}

json_t *eng_model_metadata(struct eng *g, const struct store_model *m, bool verbose, struct err *e)
{
    return info_metadata(g->cfg.store, m, verbose, e);
}

void infos_free(struct eng *g)
{
    while (g->infos) {
        struct info_entry *n = g->infos;
        g->infos = n->next;
        free(n->chat_template);
        free(n);
    }
}
