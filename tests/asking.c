/* tests/asking.c - requests to tiny models, and answers that are remembered (tests/asking.h). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "tests/asking.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "gguf/types.h"
#include "tests/tiny_model.h"

static const char *const chatml =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

static char root[64];
static struct store *store;
static struct store_model *models[4];

/* ---- a sink that remembers ------------------------------------------------------------ */

static void on_piece(void *arg, const struct eng_piece *p)
{
    struct answer *a = arg;
    pthread_mutex_lock(&a->lock);
    buf_add(&a->text, p->text, p->n);
    pthread_mutex_unlock(&a->lock);
}

static void on_start(void *arg, const struct eng_stats *s)
{
    struct answer *a = arg;
    pthread_mutex_lock(&a->lock);
    a->at_start = *s;
    a->n_started += !a->text.n;
    pthread_mutex_unlock(&a->lock);
}

static void on_end(struct answer *a, bool failed)
{
    pthread_mutex_lock(&a->lock);
    a->ended = true;
    a->failed = failed;
    pthread_cond_signal(&a->over);
    pthread_mutex_unlock(&a->lock);
}

static void on_done(void *arg, const struct eng_stats *s)
{
    struct answer *a = arg;
    a->stats = *s;
    if (s->stop)
        snprintf(a->stop, sizeof a->stop, "%s", s->stop);
    if (s->n_context && s->n_context <= 4096)
        memcpy(a->context, s->context, s->n_context * sizeof *a->context);
    on_end(a, false);
}

static void on_fail(void *arg, const struct err *e)
{
    struct answer *a = arg;
    a->e = *e;
    on_end(a, true);
}

struct eng_sink answer_sink(struct answer *a)
{
    return (struct eng_sink){a, on_piece, on_done, on_fail, on_start};
}

struct answer *answer_new(void)
{
    struct answer *a = calloc(1, sizeof *a);
    assert_non_null(a);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->over, NULL);
    return a;
}

void answer_wait(struct answer *a)
{
    pthread_mutex_lock(&a->lock);
    while (!a->ended)
        pthread_cond_wait(&a->over, &a->lock);
    pthread_mutex_unlock(&a->lock);
}

void answer_free(struct answer *a)
{
    buf_free(&a->text);
    free(a);
}

struct eng_job *submit(struct eng *g, struct answer *a, int model, const char *prompt,
                       const struct eng_options *o, struct eng_request base)
{
    struct eng_job *j = NULL;
    struct err e = {0};
    base.kind = ENG_GENERATE;
    base.model = models[model];
    if (prompt) {
        base.raw = prompt;
        base.n_raw = strlen(prompt);
    }
    base.options = o;
    const struct eng_sink sink = answer_sink(a);
    assert_int_equal(eng_submit(g, &base, &sink, &j, &e), 0);
    return j;
}

struct answer *ask(struct eng *g, int model, const char *prompt, const struct eng_options *o,
                   struct eng_request base)
{
    struct answer *a = answer_new();
    struct eng_job *j = submit(g, a, model, prompt, o, base);
    answer_wait(a);
    eng_job_release(j);
    return a;
}

struct eng *engine_with(struct eng_config c)
{
    struct err e = {0};
    c.store = store;
    c.keep_alive_ns = 60000000000;
    struct eng *g = eng_new(&c, &e);
    assert_non_null(g);
    return g;
}

struct eng *engine(int n_threads, int n_parallel)
{
    return engine_with((struct eng_config){.n_threads = n_threads, .n_parallel = n_parallel});
}

struct eng_options options(int n_predict, float temperature)
{
    struct eng_options o;
    eng_options_init(&o);
    o.num_predict = n_predict;
    o.temperature = temperature;
    o.seed = 17;
    return o;
}

/* ---- the models -------------------------------------------------------------------------------
 */

static struct store_model *add(const char *name, const struct tiny_model *t)
{
    struct err e = {0};
    char path[128];
    snprintf(path, sizeof path, "%s/new.gguf", root);
    assert_int_equal(tiny_model_write(path, t, &e), 0);
    struct store_upload *u = store_upload_begin(store, &e);
    assert_non_null(u);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    static char piece[1 << 16];
    for (ssize_t n; (n = read(fd, piece, sizeof piece)) > 0;)
        assert_int_equal(store_upload_write(u, piece, (size_t)n, &e), 0);
    close(fd);
    unlink(path);
    struct digest d;
    assert_int_equal(store_upload_commit(u, NULL, &d, &e), 0);
    struct store_create c = {.files = &d, .n_files = 1};
    assert_int_equal(store_name_parse(name, strlen(name), &c.name, &e), 0);
    if (store_model_create(store, &c, NULL, NULL, &e))
        fail_msg("%s", e.text);
    struct store_model *m = NULL;
    assert_int_equal(store_model_get(store, &c.name, &m, &e), 0);
    return m;
}

int asking_open(void **state)
{
    (void)state;
    struct err e = {0};
    snprintf(root, sizeof root, "/tmp/chaski-sched-XXXXXX");
    if (!mkdtemp(root))
        return -1;
    char models_root[96];
    snprintf(models_root, sizeof models_root, "%s/models", root);
    store = store_open(models_root, &e);
    if (!store)
        return -1;
    models[0] = add("tiny", &(struct tiny_model){.seed = 1, .type = TYPE_Q8_0});
    models[1] =
        add("chat", &(struct tiny_model){.seed = 2, .type = TYPE_Q4_0, .chat_template = chatml});
    models[2] = add("broken", &(struct tiny_model){.seed = 3, .arch = "strange"});
    models[3] = add("calm", &(struct tiny_model){.seed = 4, .type = TYPE_Q8_0, .calm = true});
    return 0;
}

int asking_close(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        store_model_free(models[i]);
    store_close(store);
    char cmd[96];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", root);
    return system(cmd) ? -1 : 0;
}

struct store_model *asking_model(int i)
{
    return models[i];
}

struct store *asking_store(void)
{
    return store;
}
