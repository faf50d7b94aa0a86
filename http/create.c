/* http/create.c - POST /api/create (spec/api.md 17.1), and blobs that h2o has read (17.2).
 *
 * What can be checked without the disk is answered with its status before the stream begins. The
 * store works on this worker thread and tells each step, which becomes a line. */
#include "engine/chat/chat.h"
#include "http/inside.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_FILES = 256 };

struct making { /* a create request, read */
    json_t *body;
    struct store_create want;
    struct store_name from;
    struct digest files[MAX_FILES];
    json_t *params, *licenses;
    struct err template_why;
    bool stream;
};

static void making_free(struct making *k)
{
    json_decref(k->body);
    json_decref(k->params);
    json_decref(k->licenses);
}

static bool is_relative(const char *path)
{
    if (!path[0] || path[0] == '/' || path[0] == '\\' || (path[0] && path[1] == ':'))
        return false;
    for (const char *p = path; *p;) {
        const size_t n = strcspn(p, "/\\");
        if (n == 2 && p[0] == '.' && p[1] == '.')
            return false;
        p += n;
        p += *p != 0;
    }
    return true;
}

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), k = strlen(end);
    return n >= k && strcasecmp(s + n - k, end) == 0;
}

struct file_entry {
    const char *name;
    const json_t *digest;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct file_entry *)a)->name, ((const struct file_entry *)b)->name);
}

static int read_files(struct making *k, const json_t *files, struct err *e)
{
    struct file_entry list[MAX_FILES];
    size_t n = 0;
    const char *name;
    json_t *digest;
    json_object_foreach((json_t *)(uintptr_t)files, name, digest)
    {
        if (n == MAX_FILES)
            return err_set(e, ERR_LIMIT, "more than %d files", MAX_FILES);
        if (!is_relative(name))
            return err_set(e, ERR_INPUT, "file path must be relative");
        if (!json_is_string(digest))
            return type_error(digest, "files", "string", e);
        list[n++] = (struct file_entry){name, digest};
    }
    if (!n)
        return err_set(e, ERR_INPUT, "unknown type");
    /* Parts of a split model are told apart by their names, in order. */
    qsort(list, n, sizeof *list, by_name);
    for (size_t i = 0; i < n; i++)
        if (digest_parse(json_string_value(list[i].digest), json_string_length(list[i].digest),
                         &k->files[i], e) != 0)
            return -1;
    for (size_t i = 0; i < n; i++)
        if (ends_with(list[i].name, ".safetensors"))
            return err_set(e, ERR_UNSUPPORTED,
                           "safetensors files are not supported by this version of chaski yet");
    k->want.files = k->files;
    k->want.n_files = n;
    return 0;
}

/* `license`: a text or a list of texts. */
static int read_licenses(struct making *k, struct err *e)
{
    const json_t *v = field(k->body, "license");
    if (!v)
        return 0;
    if (json_is_string(v)) {
        if (json_string_length(v))
            k->licenses = json_pack("[O]", v);
    } else if (json_is_array(v)) {
        for (size_t i = 0; i < json_array_size(v); i++)
            if (!json_is_string(json_array_get(v, i)))
                return type_error(json_array_get(v, i), "license", "string", e);
        k->licenses = json_incref((json_t *)(uintptr_t)v);
    } else {
        return type_error(v, "license", "string", e);
    }
    k->want.licenses = k->licenses;
    return 0;
}

static int read_messages(struct making *k, struct err *e)
{
    json_t *list = NULL;
    if (field_array(k->body, "messages", "messages", &list, e) != 0)
        return -1;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *m = json_array_get(list, i);
        const char *role = NULL, *content = NULL;
        if (!json_is_object(m))
            return type_error(m, "messages", "object", e);
        if (field_string(m, "role", "messages.role", &role, e) != 0 ||
            field_string(m, "content", "messages.content", &content, e) != 0)
            return -1;
        if (!role || !role[0])
            return err_set(e, ERR_INPUT, "message role is required");
    }
    if (json_array_size(list))
        k->want.messages = list;
    return 0;
}

static int refuse_absent(const json_t *body, struct err *e)
{
    static const struct {
        const char *name, *text;
        enum err_code code;
    } absent[] = {
        {"adapters", "adapters are not supported by this version of chaski yet", ERR_UNSUPPORTED},
        {"draft_files", "draft models are not supported", ERR_INPUT},
        {"draft_quantize", "draft models are not supported", ERR_INPUT},
        {"quantize", "quantize is not supported by this version of chaski yet", ERR_UNSUPPORTED},
        {"quantization", "quantize is not supported by this version of chaski yet",
         ERR_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
        const json_t *v = field(body, absent[i].name);
        const bool empty = !v || (json_is_string(v) && !json_string_length(v)) ||
                           (json_is_object(v) && !json_object_size(v));
        if (!empty)
            return err_set(e, absent[i].code, "%s", absent[i].text);
    }
    return 0;
}

static const char *or_null(const char *s)
{
    return s && s[0] ? s : NULL;
}

/* A TEMPLATE is a Go template; Jinja may be the file's own, as `show` told it: the store looks. */
static int check_template(struct making *k, const char *source, struct err *e)
{
    struct err why = {0};
    struct chat_template *t =
        source ? chat_template_new(CHAT_GO, source, strlen(source), &why) : NULL;
    if (source && !t)
        err_set(&k->template_why, why.code, "template error: %s", why.text);
    chat_template_free(t);
    if (!source || t)
        return 0;
    if (!strstr(source, "{%")) {
        *e = k->template_why;
        return -1;
    }
    k->want.template_why = k->template_why.text;
    return 0;
}

static int read_making(struct making *k, const char *p, size_t n, struct err *e)
{
    struct store_create *w = &k->want;
    const char *name = NULL, *from = NULL;
    json_t *files = NULL, *params = NULL, *info = NULL;
    k->stream = true;
    k->body = body_parse(p, n, e);
    if (!k->body)
        return -1;
    const json_t *b = k->body;
    if (field_model(b, &name, e) != 0 || field_string(b, "from", "from", &from, e) != 0 ||
        field_bool(b, "stream", &k->stream, NULL, e) != 0 ||
        field_string(b, "template", "template", &w->template_text, e) != 0 ||
        field_string(b, "system", "system", &w->system, e) != 0 ||
        field_string(b, "renderer", "renderer", &w->renderer, e) != 0 ||
        field_string(b, "parser", "parser", &w->parser, e) != 0 ||
        field_string(b, "requires", "requires", &w->required, e) != 0 ||
        field_object(b, "files", &files, e) != 0 || field_object(b, "info", &info, e) != 0 ||
        field_object(b, "parameters", &params, e) != 0)
        return -1;
    if (!name || !name[0] || store_name_parse(name, strlen(name), &w->name, NULL) != 0)
        return err_set(e, ERR_INPUT, "invalid model name");
    if (refuse_absent(b, e) != 0)
        return -1;
    from = or_null(from);
    if (from) {
        if (store_name_parse(from, strlen(from), &k->from, e) != 0)
            return e->code == ERR_NOT_FOUND ? -1 : err_set(e, ERR_INPUT, "invalid model name");
        w->from = &k->from;
    } else if (files) {
        if (read_files(k, files, e) != 0)
            return -1;
    } else {
        return err_set(e, ERR_INPUT, "neither 'from' or 'files' was specified");
    }
    w->template_text = or_null(w->template_text);
    if (check_template(k, w->template_text, e) != 0)
        return -1;
    w->system = or_null(w->system);
    w->renderer = or_null(w->renderer);
    w->parser = or_null(w->parser);
    w->required = or_null(w->required);
    w->info = info;
    if (read_licenses(k, e) != 0 || read_messages(k, e) != 0)
        return -1;
    if (params) {
        k->params = store_params_check(params, NULL, e);
        if (!k->params)
            return -1;
        w->params = k->params;
    }
    return 0;
}

static void on_status(void *arg, const char *status)
{
    struct call *c = arg;
    struct buf b = {0};
    buf_puts(&b, "{\"status\":");
    print_json_string(&b, status, strlen(status));
    buf_puts(&b, "}");
    if (!b.failed)
        call_line(c, b.p, b.n);
    buf_free(&b);
}

static void no_status(void *arg, const char *status)
{
}

void on_create(struct call *c)
{
    struct making *k = calloc(1, sizeof *k);
    struct err e = {0};
    if (!k) {
        call_fail_status(c, 500, "out of memory");
        return;
    }
    if (read_making(k, c->body, c->n_body, &e) != 0) {
        call_fail(c, &e);
    } else if (store_model_create(c->srv->cfg.store, &k->want, k->stream ? on_status : no_status, c,
                                  &e) != 0) {
        call_fail(c, &e);
    } else if (k->stream) {
        call_end(c);
    } else {
        static const char done[] = "{\"status\":\"success\"}";
        call_answer(c, 200, type_json_plain, done, sizeof done - 1);
    }
    making_free(k);
    free(k);
}

/* ---- blobs --------------------------------------------------------------------------------- */

void on_blob_head(struct call *c)
{
    struct digest d;
    struct err e = {0};
    uint64_t size = 0;
    const int there = digest_parse(c->tail, strlen(c->tail), &d, &e) != 0
                          ? -1
                          : store_blob_stat(c->srv->cfg.store, &d, &size, &e);
    if (there < 0)
        call_fail(c, &e);
    else
        call_answer(c, there ? 200 : 404, NULL, "", 0);
}

/* An upload that http/upload.c did not see coming (pipelined behind another request): h2o has it
 * whole, within the route's limit. */
void on_blob_post(struct call *c)
{
    struct digest d;
    struct err e = {0};
    uint64_t size = 0;
    struct store *store = c->srv->cfg.store;
    if (digest_parse(c->tail, strlen(c->tail), &d, &e) != 0) {
        call_fail(c, &e);
        return;
    }
    const int there = store_blob_stat(store, &d, &size, &e);
    struct store_upload *u = there == 0 ? store_upload_begin(store, &e) : NULL;
    if (there == 1) {
        call_answer(c, 200, NULL, "", 0);
    } else if (!u) {
        call_fail(c, &e);
    } else if (store_upload_write(u, c->body ? c->body : "", c->n_body, &e) != 0) {
        store_upload_abort(u);
        call_fail(c, &e);
    } else if (store_upload_commit(u, &d, NULL, &e) != 0) {
        call_fail(c, &e);
    } else {
        call_answer(c, 201, NULL, "", 0);
    }
}
