/* engine/store/model.c - a manifest with what hangs on it; the list of models; opening a GGUF.
 *
 * Facts: shared/spec store.md sections 3 and 4, api.md 16.1. Texts of layers are read whole here
 * (each bounded), the GGUF is only opened when asked for. JSON objects belong to the struct they
 * are in and are never shared between two models, so two threads never share one. */
#include "engine/store/inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void store_model_free(struct store_model *m)
{
    if (!m)
        return;
    free(m->layers);
    free(m->template_text);
    free(m->system);
    json_decref(m->config);
    json_decref(m->params);
    json_decref(m->messages);
    json_decref(m->licenses);
    free(m);
}

static bool is_kind(const struct store_layer *l, const char *kind)
{
    const size_t n = strlen(MEDIA_IMAGE);
    return !strncmp(l->media_type, MEDIA_IMAGE, n) && !strcmp(l->media_type + n, kind);
}

/* The text of a layer takes the place of *out. */
static int take_text(struct store *s, const struct store_layer *l, char **out, struct err *e)
{
    struct buf b = {0};
    if (store_blob_text(s, &l->digest, &b, e)) {
        buf_free(&b);
        return -1;
    }
    if (memchr(b.p, 0, b.n) || !text_is_utf8(b.p, b.n)) {
        buf_free(&b);
        return err_set(e, ERR_INPUT, "a layer of type %s is not UTF-8 text", l->media_type);
    }
    free(*out);
    *out = b.p;
    return 0;
}

/* The JSON of a blob, which has to be an object or an array. A new reference or NULL. */
static json_t *take_json(struct store *s, const struct digest *d, const char *what,
                         json_type want, struct err *e)
{
    struct buf b = {0};
    json_t *v = NULL;
    if (store_blob_text(s, d, &b, e) == 0) {
        v = store_json_load(b.p, b.n);
        if (!v || json_typeof(v) != want) {
            json_decref(v);
            v = NULL;
            err_set(e, ERR_INPUT, "the layer of %s is not a JSON %s", what,
                    want == JSON_OBJECT ? "object" : "list");
        }
    }
    buf_free(&b);
    return v;
}

static int take_layers(struct store *s, struct store_model *m, struct err *e)
{
    const char *format = json_string_value(json_object_get(m->config, "model_format"));
    const bool is_gguf = !format || !format[0] || !strcmp(format, "gguf");
    for (size_t i = 0; i < m->n_layers; i++) {
        const struct store_layer *l = &m->layers[i];
        if (is_kind(l, "model")) {
            /* More than one: the parts of a split GGUF, in order (create.c writes them so). */
            if (is_gguf && !m->model_layer)
                m->model_layer = l;
            m->n_parts++;
        } else if (is_kind(l, "template") || is_kind(l, "prompt")) {
            if (take_text(s, l, &m->template_text, e))
                return -1;
        } else if (is_kind(l, "system")) {
            if (take_text(s, l, &m->system, e))
                return -1;
        } else if (is_kind(l, "params")) {
            json_decref(m->params);
            m->params = take_json(s, &l->digest, "parameters", JSON_OBJECT, e);
            if (!m->params)
                return -1;
        } else if (is_kind(l, "messages")) {
            json_decref(m->messages);
            m->messages = take_json(s, &l->digest, "messages", JSON_ARRAY, e);
            if (!m->messages)
                return -1;
        } else if (is_kind(l, "license")) {
            char *text = NULL;
            if (take_text(s, l, &text, e))
                return -1;
            const int rc = json_array_append_new(m->licenses, json_string(text));
            free(text);
            if (rc)
                return err_set(e, ERR_MEMORY, "out of memory");
        } else if (is_kind(l, "embed")) {
            log_line(LOG_WARN, "store: model %s: a layer of the old type embed is ignored",
                     m->name.model);
        }
    }
    return 0;
}

static int load_once(struct store *s, int dir, const struct store_name *name,
                     struct store_model **out, struct err *e)
{
    struct manifest mf = {0};
    struct store_model *m = NULL;
    int rc = manifest_read_at(dir, name->tag, &mf, e);
    if (rc != 1)
        return rc;
    rc = -1;
    m = calloc(1, sizeof *m);
    if (!m) {
        err_set(e, ERR_MEMORY, "out of memory");
        goto done;
    }
    m->name = *name;
    digest_hex(&mf.id, m->id);
    m->modified_ns = mf.modified_ns;
    m->size = mf.size;
    m->layers = mf.layers;
    m->n_layers = mf.n_layers;
    mf.layers = NULL;
    m->params = json_object();
    m->messages = json_array();
    m->licenses = json_array();
    if (mf.has_config) {
        m->config_digest = mf.config.digest;
        m->config = take_json(s, &mf.config.digest, "the config", JSON_OBJECT, e);
        if (!m->config)
            goto done;
    } else {
        m->config = json_object();
    }
    if (!m->config || !m->params || !m->messages || !m->licenses) {
        err_set(e, ERR_MEMORY, "out of memory");
        goto done;
    }
    if (take_layers(s, m, e))
        goto done;
    *out = m;
    m = NULL;
    rc = 1;
done:
    store_model_free(m);
    manifest_free(&mf);
    return rc;
}

int store_model_load(struct store *s, int dir, const struct store_name *name,
                     struct store_model **out, struct err *e)
{
    /* Between the read of a manifest and of its layers somebody may have replaced the model and
     * removed the old layers: then the new manifest is there already. */
    struct err mine = {0};
    int rc = -1;
    for (int try = 0; try < 3 && rc < 0; try++) {
        mine = (struct err){0};
        rc = load_once(s, dir, name, out, &mine);
        if (mine.code != ERR_NOT_FOUND)
            break;
    }
    if (rc < 0)
        err_set(e, mine.code == ERR_NOT_FOUND ? ERR_IO : mine.code, "model '%s' is broken: %s",
                name->model, mine.text);
    return rc;
}

int store_model_get(struct store *s, const struct store_name *name, struct store_model **out,
                    struct err *e)
{
    struct store_name real;
    *out = NULL;
    int rc = manifest_find(s, name, &real, e);
    if (rc == 1) {
        const int dir = manifest_dir(s, &real, false);
        rc = dir < 0 ? 0 : store_model_load(s, dir, &real, out, e);
        if (dir >= 0)
            close(dir);
    }
    if (rc == 0) {
        char text[STORE_NAME_TEXT];
        store_name_short(name, text, sizeof text);
        err_set(e, ERR_NOT_FOUND, "model '%s' not found", text);
    }
    return rc == 1 ? 0 : -1;
}

/* ---- the list --------------------------------------------------------------------------- */

struct listing {
    struct store *s;
    struct buf models; /* struct store_model * */
};

static int list_one(void *arg, int dir, const char *const part[4])
{
    struct listing *l = arg;
    struct store_name name;
    struct store_model *m = NULL;
    struct err e = {0};
    if (!store_name_from_parts(part, &name)) {
        log_line(LOG_WARN, "store: %s/%s/%s/%s is no valid name: left out", part[0], part[1],
                 part[2], part[3]);
        return 0;
    }
    const int rc = store_model_load(l->s, dir, &name, &m, &e);
    if (rc < 0) {
        char text[STORE_NAME_TEXT];
        store_name_short(&name, text, sizeof text);
        log_line(LOG_WARN, "store: the model %s is broken and left out: %s", text, e.text);
    }
    if (rc == 1) {
        buf_add(&l->models, &m, sizeof m);
        if (l->models.failed)
            store_model_free(m);
    }
    return 0;
}

static int newest_first(const void *pa, const void *pb)
{
    const struct store_model *a = *(struct store_model *const *)pa;
    const struct store_model *b = *(struct store_model *const *)pb;
    const int64_t sa = a->modified_ns / 1000000000, sb = b->modified_ns / 1000000000;
    if (sa != sb)
        return sa > sb ? -1 : 1;
    char ta[STORE_NAME_TEXT], tb[STORE_NAME_TEXT];
    store_name_short(&a->name, ta, sizeof ta);
    store_name_short(&b->name, tb, sizeof tb);
    return strcmp(ta, tb);
}

int store_model_list(struct store *s, struct store_model ***out, size_t *n, struct err *e)
{
    struct listing l = {s, {0}};
    const int rc = manifest_walk(s, list_one, &l, e);
    struct store_model **models = (struct store_model **)(void *)l.models.p;
    const size_t count = l.models.n / sizeof *models;
    *out = NULL;
    *n = 0;
    if (rc || l.models.failed) {
        for (size_t i = 0; i < count; i++)
            store_model_free(models[i]);
        buf_free(&l.models);
        return rc ? rc : err_set(e, ERR_MEMORY, "out of memory");
    }
    if (count)
        qsort(models, count, sizeof *models, newest_first);
    *out = models;
    *n = count;
    return 0;
}

/* ---- the GGUF ------------------------------------------------------------------------------ */

struct gguf *store_model_gguf(struct store *s, const struct store_model *m, struct err *e)
{
    struct gguf *g = NULL;
    char label[STORE_NAME_TEXT];
    store_name_short(&m->name, label, sizeof label);
    if (!m->model_layer) {
        const char *format = json_string_value(json_object_get(m->config, "model_format"));
        if (format && format[0] && strcmp(format, "gguf"))
            err_set(e, ERR_UNSUPPORTED,
                    "this model is stored in the tensor-layer format, which is not supported");
        else
            err_set(e, ERR_INPUT, "model '%s' has no weights", label);
        return NULL;
    }
    int *fds = calloc(m->n_parts, sizeof *fds);
    int n = 0;
    if (!fds) {
        err_set(e, ERR_MEMORY, "out of memory");
        return NULL;
    }
    for (size_t i = 0; i < m->n_layers; i++) {
        const struct store_layer *l = &m->layers[i];
        struct stat st;
        if (!is_kind(l, "model"))
            continue;
        fds[n] = store_blob_open(s, &l->digest, e);
        if (fds[n] < 0)
            goto done;
        if (fstat(fds[n++], &st) || (uint64_t)st.st_size != l->size) {
            char text[DIGEST_TEXT];
            digest_text(&l->digest, text);
            err_set(e, ERR_IO, "blob \"%s\" is damaged: it has %lld bytes, %llu are expected", text,
                    (long long)st.st_size, (unsigned long long)l->size);
            goto done;
        }
    }
    g = gguf_open_fds(fds, n, label, e);
done:
    while (n > 0)
        close(fds[--n]);
    free(fds);
    return g;
}
