/* http/work.c - helper threads for what blocks: the disk, hashing, reading headers.
 *
 * The event loop must never wait. A work item runs on one of these threads and then comes back to
 * the loop as a message. Items are embedded in what they are about, so nothing is allocated. */
#include "http/inside.h"

#include <stdlib.h>

struct work_pool {
    pthread_mutex_t lock;
    pthread_cond_t some;
    struct work *first, **last; /* under lock */
    bool closing;               /* under lock */
    h2o_multithread_receiver_t *loop;
    pthread_t *threads;
    int n_threads;
};

static void *worker(void *arg)
{
    struct work_pool *p = arg;
    pthread_mutex_lock(&p->lock);
    while (!p->closing) {
        struct work *w = p->first;
        if (!w) {
            pthread_cond_wait(&p->some, &p->lock);
            continue;
        }
        p->first = w->next;
        if (!p->first)
            p->last = &p->first;
        pthread_mutex_unlock(&p->lock);
        /* After run the item may be gone, unless its message is still to be sent. */
        const bool tell = w->done.on_loop != NULL;
        w->run(w);
        if (tell)
            h2o_multithread_send_message(p->loop, &w->done.super);
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

struct work_pool *work_pool_new(int n_threads, h2o_multithread_receiver_t *loop, struct err *e)
{
    struct work_pool *p = calloc(1, sizeof *p);
    if (p)
        p->threads = calloc((size_t)n_threads, sizeof *p->threads);
    if (!p || !p->threads) {
        free(p);
        err_set(e, ERR_MEMORY, "out of memory");
        return NULL;
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->some, NULL);
    p->last = &p->first;
    p->loop = loop;
    for (; p->n_threads < n_threads; p->n_threads++) {
        if (pthread_create(&p->threads[p->n_threads], NULL, worker, p)) {
            err_set(e, ERR_IO, "cannot start a thread");
            work_pool_free(p);
            return NULL;
        }
    }
    return p;
}

void work_pool_free(struct work_pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->closing = true;
    pthread_cond_broadcast(&p->some);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->n_threads; i++)
        pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->some);
    pthread_mutex_destroy(&p->lock);
    free(p->threads);
    free(p);
}

void work_submit(struct work_pool *p, struct work *w)
{
    w->next = NULL;
    pthread_mutex_lock(&p->lock);
    *p->last = w;
    p->last = &w->next;
    pthread_cond_signal(&p->some);
    pthread_mutex_unlock(&p->lock);
}
