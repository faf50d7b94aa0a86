/* engine/store/create.c - making a model: layers from GGUF blobs or an existing model, texts on
 * top, config, manifest.
 *
 * Facts: shared/spec store.md section 9, api.md 17.1. An uploaded GGUF is checked and kept as it
 * is: digest in = digest out (the reference rewrites it). The parts of a split GGUF become several
 * layers of the model media type, in order; the reference joins them in one file, which would cost
 * the disk twice. Everything the new manifest names is pinned until it is written, so that a delete
 * in another thread leaves it alone; files are only touched by rename, so a crash leaves the old
 * model. */
#include "engine/store/inside.h"
#include "engine/store/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int plan_pin(struct plan *p, const struct digest *d, struct err *e)
{
    if (p->n_pins == p->cap_pins) {
        const size_t cap = p->cap_pins ? 2 * p->cap_pins : 16;
        struct digest *q = realloc(p->pins, cap * sizeof *q);
        if (!q)
            return err_set(e, ERR_MEMORY, "out of memory");
        p->pins = q;
        p->cap_pins = cap;
    }
    if (store_pin(p->s, d, e))
        return -1;
    p->pins[p->n_pins++] = *d;
    return 0;
}

int plan_add(struct plan *p, const struct store_layer *l, bool is_new, struct err *e)
{
    if (p->n == p->cap) {
        const size_t cap = p->cap ? 2 * p->cap : 16;
        struct item *q = realloc(p->items, cap * sizeof *q);
        if (!q)
            return err_set(e, ERR_MEMORY, "out of memory");
        p->items = q;
        p->cap = cap;
    }
    p->items[p->n++] = (struct item){*l, is_new};
    return 0;
}

void plan_media(char out[128], const char *kind)
{
    snprintf(out, 128, MEDIA_IMAGE "%s", kind);
}

void plan_remove(struct plan *p, const char *kind)
{
    char type[128];
    size_t kept = 0;
    plan_media(type, kind);
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->items[i].l.media_type, type))
            p->items[kept++] = p->items[i];
    p->n = kept;
}

int plan_config_text(struct plan *p, const char *key, const char *v, struct err *e)
{
    return json_object_set_new(p->config, key, json_string(v))
               ? err_set(e, ERR_MEMORY, "out of memory")
               : 0;
}

/* Bytes as a blob, written only when it is not there yet. */
static int put_blob(struct plan *p, const char *bytes, size_t n, struct digest *d, bool *is_new,
                    struct err *e)
{
    uint64_t size = 0;
    if (store_sha256(bytes, n, d, e) || plan_pin(p, d, e))
        return -1;
    const int there = store_blob_stat(p->s, d, &size, e);
    if (there < 0)
        return -1;
    *is_new = !there || size != n;
    if (!*is_new) {
        store_blob_touch(p->s, d);
        return 0;
    }
    struct store_upload *u = store_upload_begin(p->s, e);
    if (!u)
        return -1;
    if (store_upload_write(u, bytes, n, e)) {
        store_upload_abort(u);
        return -1;
    }
    return store_upload_commit(u, d, NULL, e);
}

static int plan_bytes(struct plan *p, const char *kind, const char *bytes, size_t n, struct err *e)
{
    struct store_layer l = {0};
    bool is_new;
    if (n > TEXT_LAYER_MAX)
        return err_set(e, ERR_LIMIT, "the %s is larger than %d bytes", kind, TEXT_LAYER_MAX);
    plan_media(l.media_type, kind);
    l.size = n;
    return put_blob(p, bytes, n, &l.digest, &is_new, e) || plan_add(p, &l, is_new, e) ? -1 : 0;
}

static int plan_json(struct plan *p, const char *kind, struct buf *b, struct err *e)
{
    buf_puts(b, "\n");
    const int rc = b->failed ? err_set(e, ERR_INPUT, "the %s are nested too deeply", kind)
                             : plan_bytes(p, kind, b->p, b->n, e);
    buf_free(b);
    return rc;
}

/* ---- the base: an existing model ------------------------------------------------------- */

/* A blob that has to be there. */
int plan_need_blob(struct plan *p, const struct digest *d, uint64_t *size, struct err *e)
{
    char text[DIGEST_TEXT];
    if (plan_pin(p, d, e))
        return -1;
    const int there = store_blob_stat(p->s, d, size, e);
    if (there == 0) {
        digest_text(d, text);
        err_set(e, ERR_INPUT, "blob \"%s\" not found", text);
    }
    return there == 1 ? 0 : -1;
}

static int take_base(struct plan *p, struct err *e)
{
    /* Keys of the base's config that the new one inherits. */
    static const char *const keys[] = {"model_format", "model_family", "model_families",
                                       "model_type",   "file_type",    "renderer",
                                       "parser",       "requires",     "capabilities",
                                       "context_length", "embedding_length", "base_name", "draft"};
    struct store_model *m = NULL;
    char from[STORE_NAME_TEXT];
    int rc = -1;
    if (store_model_get(p->s, p->c->from, &m, e))
        return -1;
    const char *format = json_string_value(json_object_get(m->config, "model_format"));
    if (format && format[0] && strcmp(format, "gguf")) {
        err_set(e, ERR_UNSUPPORTED,
                "this model is stored in the tensor-layer format, which is not supported");
        goto done;
    }
    store_name_short(&m->name, from, sizeof from);
    for (size_t i = 0; i < m->n_layers; i++) {
        struct store_layer l = m->layers[i];
        uint64_t size;
        if (plan_need_blob(p, &l.digest, &size, e))
            goto done;
        store_blob_touch(p->s, &l.digest);
        snprintf(l.from, sizeof l.from, "%.*s", (int)sizeof l.from - 1, from);
        if (plan_add(p, &l, false, e))
            goto done;
    }
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        json_t *v = json_object_get(m->config, keys[i]);
        if (v && json_object_set_new(p->config, keys[i], json_deep_copy(v))) {
            err_set(e, ERR_MEMORY, "out of memory");
            goto done;
        }
    }
    rc = 0;
done:
    store_model_free(m);
    return rc;
}

/* ---- texts on top ---------------------------------------------------------------------- */

static int set_params(struct plan *p, struct err *e)
{
    char type[128];
    struct buf b = {0};
    json_t *all = json_object();
    int rc = -1;
    plan_media(type, "params");
    for (size_t i = 0; i < p->n && all; i++) {
        if (strcmp(p->items[i].l.media_type, type))
            continue;
        if (store_blob_text(p->s, &p->items[i].l.digest, &b, e))
            goto done;
        json_t *old = store_json_load(b.p, b.n);
        buf_free(&b);
        const int failed = json_is_object(old) && json_object_update(all, old);
        json_decref(old);
        if (failed) {
            err_set(e, ERR_MEMORY, "out of memory");
            goto done;
        }
    }
    if (!all || json_object_update(all, p->params)) {
        err_set(e, ERR_MEMORY, "out of memory");
        goto done;
    }
    plan_remove(p, "params");
    store_json_put(&b, all, true);
    rc = plan_json(p, "params", &b, e);
done:
    buf_free(&b);
    json_decref(all);
    return rc;
}

/* Messages with the reference's keys in the reference's order. */
static int set_messages(struct plan *p, struct err *e)
{
    static const char *const keys[] = {"role",       "content",   "thinking",    "images",
                                       "tool_calls", "tool_name", "tool_call_id"};
    struct buf b = {0};
    buf_puts(&b, "[");
    for (size_t i = 0; i < json_array_size(p->c->messages); i++) {
        const json_t *m = json_array_get(p->c->messages, i);
        bool any = false;
        if (!json_is_object(m)) {
            buf_free(&b);
            return err_set(e, ERR_INPUT, "a message is not an object");
        }
        buf_puts(&b, i ? ",{" : "{");
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
            const json_t *v = json_object_get(m, keys[k]);
            if (!v || json_is_null(v))
                continue;
            buf_printf(&b, "%s\"%s\":", any ? "," : "", keys[k]);
            store_json_put(&b, v, false);
            any = true;
        }
        buf_puts(&b, "}");
    }
    buf_puts(&b, "]");
    plan_remove(p, "messages");
    return plan_json(p, "messages", &b, e);
}

/* A licence that is there already is not added twice: creating a model from itself is harmless. */
static int add_license(struct plan *p, const char *text, size_t n, struct err *e)
{
    struct digest d;
    char type[128];
    plan_media(type, "license");
    if (store_sha256(text, n, &d, e))
        return -1;
    for (size_t i = 0; i < p->n; i++)
        if (!strcmp(p->items[i].l.media_type, type) && digest_equal(&p->items[i].l.digest, &d))
            return 0;
    return plan_bytes(p, "license", text, n, e);
}

static int put_texts(struct plan *p, struct err *e)
{
    const struct store_create *c = p->c;
    if (c->template_text && c->template_text[0]) {
        /* `show` tells the file's own template where there is no other: given back, it is none. */
        if (c->template_why && !plan_is_own_template(p, c->template_text))
            return err_set(e, ERR_INPUT, "%s", c->template_why);
        plan_remove(p, "template");
        plan_remove(p, "prompt");
        if (!c->template_why &&
            plan_bytes(p, "template", c->template_text, strlen(c->template_text), e))
            return -1;
    }
    if (c->system && c->system[0]) {
        plan_remove(p, "system");
        if (plan_bytes(p, "system", c->system, strlen(c->system), e))
            return -1;
    }
    for (size_t i = 0; i < json_array_size(c->licenses); i++) {
        const json_t *t = json_array_get(c->licenses, i);
        if (!json_is_string(t))
            return err_set(e, ERR_INPUT, "a license is not a string");
        if (json_string_length(t) &&
            add_license(p, json_string_value(t), json_string_length(t), e))
            return -1;
    }
    if (p->params && json_object_size(p->params) && set_params(p, e))
        return -1;
    return json_array_size(c->messages) && set_messages(p, e) ? -1 : 0;
}

/* ---- config and manifest --------------------------------------------------------------- */

/* The request's `info` object over the config (store.md 9.4, point 5). */
static int take_info(struct plan *p, struct err *e)
{
    static const struct {
        const char *key, *to;
        json_type type;
    } known[] = {{"model_family", "model_family", JSON_STRING},
                 {"base_name", "base_name", JSON_STRING},
                 {"quantization_level", "file_type", JSON_STRING},
                 {"parameter_size", "model_type", JSON_STRING},
                 {"context_length", "context_length", JSON_INTEGER},
                 {"embedding_length", "embedding_length", JSON_INTEGER},
                 {"capabilities", "capabilities", JSON_ARRAY}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        json_t *v = json_object_get(p->c->info, known[i].key);
        if (!v || json_is_null(v))
            continue;
        if (known[i].type == JSON_STRING && !json_is_string(v))
            return err_set(e, ERR_INPUT, "info field \"%s\" must be a string", known[i].key);
        if (known[i].type == JSON_INTEGER && !json_is_number(v))
            return err_set(e, ERR_INPUT, "info field \"%s\" must be a number", known[i].key);
        if (known[i].type == JSON_INTEGER && (!json_is_integer(v) || json_integer_value(v) < 0))
            return err_set(e, ERR_INPUT, "info field \"%s\" must be a non-negative integer",
                           known[i].key);
        if (known[i].type == JSON_ARRAY && !json_is_array(v))
            return err_set(e, ERR_INPUT, "info field \"%s\" must be a list of strings",
                           known[i].key);
        json_t *copy = json_deep_copy(v);
        json_t *old = json_object_get(p->config, known[i].to);
        if (known[i].type == JSON_ARRAY && json_is_array(old)) {
            const int failed = !copy || json_array_extend(old, copy);
            json_decref(copy);
            if (failed)
                return err_set(e, ERR_MEMORY, "out of memory");
            continue;
        }
        if (json_object_set_new(p->config, known[i].to, copy))
            return err_set(e, ERR_MEMORY, "out of memory");
        if (i == 0 && json_object_set_new(p->config, "model_families", json_pack("[O]", v)))
            return err_set(e, ERR_MEMORY, "out of memory");
    }
    return 0;
}

static int put_config(struct plan *p, struct store_layer *out, struct err *e)
{
    /* The reference's order. The first five are always there; so are the constants at the end,
     * which the container format asks for. */
    static const char *const keys[] = {"model_format", "model_family", "model_families",
                                       "model_type",   "file_type",    "renderer",
                                       "parser",       "requires",     "capabilities",
                                       "context_length", "embedding_length", "base_name", "draft"};
    const struct store_create *c = p->c;
    struct buf b = {0};
    bool is_new;
    if ((c->renderer && c->renderer[0] && plan_config_text(p, "renderer", c->renderer, e)) ||
        (c->parser && c->parser[0] && plan_config_text(p, "parser", c->parser, e)) ||
        (c->required && c->required[0] && plan_config_text(p, "requires", c->required, e)) ||
        (c->info && take_info(p, e)))
        return -1;
    buf_puts(&b, "{");
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const json_t *v = json_object_get(p->config, keys[i]);
        if (!v && i >= 5)
            continue;
        buf_printf(&b, "\"%s\":", keys[i]);
        if (v)
            store_json_put(&b, v, true);
        else
            buf_puts(&b, i == 2 ? "null" : "\"\"");
        buf_puts(&b, ",");
    }
    buf_puts(&b, "\"architecture\":\"amd64\",\"os\":\"linux\"}\n");
    int rc = -1;
    if (b.failed) {
        err_set(e, ERR_MEMORY, "out of memory");
        goto done;
    }
    memset(out, 0, sizeof *out);
    snprintf(out->media_type, sizeof out->media_type, "%s", MEDIA_CONFIG);
    out->size = b.n;
    rc = put_blob(p, b.p, b.n, &out->digest, &is_new, e);
done:
    buf_free(&b);
    return rc;
}

static void put_layer(struct buf *b, const struct store_layer *l)
{
    char text[DIGEST_TEXT];
    digest_text(&l->digest, text);
    buf_puts(b, "{\"mediaType\":");
    store_json_text(b, l->media_type, strlen(l->media_type));
    buf_printf(b, ",\"digest\":\"%s\",\"size\":%llu", text, (unsigned long long)l->size);
    if (l->from[0]) {
        buf_puts(b, ",\"from\":");
        store_json_text(b, l->from, strlen(l->from));
    }
    buf_puts(b, "}");
}

static int put_manifest(struct plan *p, const struct store_layer *config, struct err *e)
{
    struct buf b = {0};
    buf_puts(&b, "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_MANIFEST "\",\"config\":");
    put_layer(&b, config);
    buf_puts(&b, ",\"layers\":[");
    for (size_t i = 0; i < p->n; i++) {
        if (i)
            buf_puts(&b, ",");
        put_layer(&b, &p->items[i].l);
    }
    buf_puts(&b, "]}\n");
    const int rc = b.failed ? err_set(e, ERR_MEMORY, "out of memory")
                            : store_manifest_put(p->s, &p->c->name, b.p, b.n, e);
    buf_free(&b);
    return rc;
}

static void say_layers(const struct plan *p, store_status status, void *arg)
{
    for (size_t i = 0; status && i < p->n; i++) {
        char text[DIGEST_TEXT], line[DIGEST_TEXT + 32];
        digest_text(&p->items[i].l.digest, text);
        snprintf(line, sizeof line, "%s layer %s",
                 p->items[i].is_new ? "creating new" : "using existing", text);
        status(arg, line);
    }
    for (size_t i = 0; status && i < json_array_size(p->unknown); i++) {
        char line[200];
        snprintf(line, sizeof line, "warning: unknown parameter '%.100s' has no effect",
                 json_string_value(json_array_get(p->unknown, i)));
        status(arg, line);
    }
}

int store_model_create(struct store *s, const struct store_create *c, store_status status,
                       void *arg, struct err *e)
{
    struct plan p = {.s = s, .c = c};
    struct store_layer config;
    int rc = -1;
    if (!c->from && !c->files)
        return err_set(e, ERR_INPUT, "neither 'from' or 'files' was specified");
    if (!c->from && !c->n_files)
        return err_set(e, ERR_INPUT, "unknown type");
    p.config = json_object();
    p.unknown = json_array();
    if (!p.config || !p.unknown) {
        err_set(e, ERR_MEMORY, "out of memory");
        goto done;
    }
    if (c->params && !(p.params = store_params_check(c->params, p.unknown, e)))
        goto done;
    if ((c->from && take_base(&p, e)) || (c->n_files && plan_take_files(&p, status, arg, e)))
        goto done;
    if (put_texts(&p, e) || put_config(&p, &config, e))
        goto done;
    say_layers(&p, status, arg);
    if (status)
        status(arg, "writing manifest");
    if (put_manifest(&p, &config, e))
        goto done;
    if (status)
        status(arg, "success");
    rc = 0;
done:
    for (size_t i = 0; i < p.n_pins; i++)
        store_unpin(s, &p.pins[i]);
    free(p.pins);
    free(p.items);
    json_decref(p.config);
    json_decref(p.params);
    json_decref(p.unknown);
    return rc;
}
