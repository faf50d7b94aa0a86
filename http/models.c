/* http/models.c - what is known of models: tags, show, ps; copy and delete; the small answers.
 *
 * Facts: spec/api.md 3, 16, 17.3, 17.4, 26. All but the small answers read files, on a worker. */
#include "http/inside.h"

#include <stdlib.h>
#include <string.h>

static void fail_cloud(struct call *c, enum not_found how)
{
    call_fail_status(c, 403, "ollama cloud is disabled: remote model %s unavailable",
                     how == NAME_SHORT ? "details are" : "is");
}

struct store_model *model_find(struct call *c, const char *text, enum not_found how)
{
    struct store_name name;
    struct store_model *m = NULL;
    struct err e = {0};
    if (store_name_parse(text, strlen(text), &name, &e) != 0) {
        if (e.code == ERR_NOT_FOUND) /* a name of the cloud (26) */
            fail_cloud(c, how);
        else
            call_fail(c, &e);
        return NULL;
    }
    if (store_model_get(c->srv->cfg.store, &name, &m, &e) != 0) {
        if (e.code == ERR_NOT_FOUND && how == NAME_AS_SENT)
            call_fail_status(c, 404, "model '%s' not found", text);
        else if (e.code == ERR_NOT_FOUND && how == NAME_TO_PULL)
            call_fail_status(c, 404, "model \"%s\" not found, try pulling it first", text);
        else
            call_fail(c, &e);
        return NULL;
    }
    call_set_model(c, &name);
    const char *remote = json_string_value(json_object_get(m->config, "remote_host"));
    if (remote && remote[0] && c->route->handle != on_delete) {
        fail_cloud(c, how);
        store_model_free(m);
        return NULL;
    }
    return m;
}

json_t *capabilities_json(const struct eng_info *info, const struct store_model *m)
{
    json_t *list = json_array();
    /* What the config lists comes first, then what the files show; each once. */
    json_t *extra = json_object_get(m->config, "capabilities");
    for (size_t i = 0; list && i < json_array_size(extra); i++)
        if (json_is_string(json_array_get(extra, i)))
            json_array_append(list, json_array_get(extra, i));
    const struct {
        bool can;
        const char *name;
    } known[] = {
        {info && info->can_embed, "embedding"}, {info && info->can_complete, "completion"},
        {info && info->can_tools, "tools"},     {info && info->can_insert, "insert"},
        {info && info->has_vision, "vision"},   {info && info->has_audio, "audio"},
        {info && info->can_think, "thinking"},
    };
    for (size_t k = 0; list && k < sizeof known / sizeof *known; k++) {
        bool there = !known[k].can;
        for (size_t i = 0; i < json_array_size(list); i++)
            there = there || strcmp(json_string_value(json_array_get(list, i)), known[k].name) == 0;
        if (!there)
            json_array_append_new(list, json_string(known[k].name));
    }
    return list;
}

static const struct eng_info *info_or_null(struct call *c, const struct store_model *m)
{
    const struct eng_info *info = NULL;
    struct err e = {0};
    if (!m->model_layer || eng_model_info(c->srv->cfg.eng, m, &info, &e) != 0)
        return NULL;
    return info;
}

json_t *time_json(int64_t ns)
{
    char text[TIME_TEXT];
    print_time(ns, text);
    return json_string(text);
}

static int set_text(json_t *o, const char *key, const char *value)
{
    return value && value[0] ? json_object_set_new(o, key, json_string(value)) : 0;
}

/* ---- tags ---------------------------------------------------------------------------------- */

json_t *tag_row(struct call *c, const struct store_model *m)
{
    char name[STORE_NAME_TEXT];
    struct err e = {0};
    store_name_short(&m->name, name, sizeof name);
    json_t *row = json_pack("{s:s, s:s}", "name", name, "model", name);
    if (!row)
        return NULL;
    const char *remote_model = json_string_value(json_object_get(m->config, "remote_model"));
    const char *remote_host = json_string_value(json_object_get(m->config, "remote_host"));
    const struct eng_info *info = info_or_null(c, m);
    json_t *caps = capabilities_json(info, m);
    eng_info_close(c->srv->cfg.eng, info);
    int bad =
        set_text(row, "remote_model", remote_model) | set_text(row, "remote_host", remote_host);
    bad |= json_object_set_new(row, "modified_at", time_json(m->modified_ns));
    bad |= json_object_set_new(row, "size", json_integer((json_int_t)m->size));
    bad |= json_object_set_new(row, "digest", json_string(m->id));
    bad |= json_object_set_new(row, "details", store_model_details(c->srv->cfg.store, m, true, &e));
    if (json_array_size(caps))
        bad |= json_object_set(row, "capabilities", caps);
    json_decref(caps);
    if (bad) {
        json_decref(row);
        return NULL;
    }
    return row;
}

/* ---- show ---------------------------------------------------------------------------------- */

static char *joined(const json_t *texts)
{
    struct buf b = {0};
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const char *s = json_string_value(json_array_get(texts, i));
        if (b.n)
            buf_puts(&b, "\n");
        buf_puts(&b, s ? s : "");
    }
    if (b.failed)
        buf_free(&b);
    return b.p;
}

static json_t *show_json(struct call *c, const struct store_model *m, const json_t *in,
                         bool verbose, const char *system, struct err *e)
{
    struct store *store = c->srv->cfg.store;
    const struct eng_info *info = NULL;
    struct buf file = {0}, params = {0};
    char *license = joined(m->licenses);
    json_t *out = json_object(), *meta = NULL, *options = NULL;
    bool done = false;
    if (field_object(in, "options", &options, e) != 0)
        goto done;
    if (eng_model_info(c->srv->cfg.eng, m, &info, e) != 0)
        goto done;
    meta = eng_model_metadata(c->srv->cfg.eng, m, verbose, e);
    if (!meta)
        goto done;
    const char *template_text = m->template_text ? m->template_text : info->chat_template;
    if (store_modelfile_text(store, m, system, template_text, options, &file, e) != 0 ||
        store_parameters_text(m->params, &params, e) != 0)
        goto done;
    if (!system)
        system = m->system;
    json_t *model_info = json_object_get(meta, "model_info");
    json_t *tensors = json_object_get(meta, "tensors");
    int bad = out == NULL;
    bad |= set_text(out, "license", license);
    bad |= json_object_set_new(out, "modelfile", json_stringn(file.p ? file.p : "", file.n));
    bad |= set_text(out, "parameters", params.p);
    bad |= set_text(out, "template", template_text);
    bad |= set_text(out, "system", system);
    bad |= json_object_set_new(out, "details", store_model_details(store, m, false, e));
    if (json_array_size(m->messages))
        bad |= json_object_set(out, "messages", m->messages);
    if (c->is_copilot && model_info) { /* that client shows it as the title */
        const char *sent = NULL;
        if (field_model(in, &sent, e) == 0 && sent)
            bad |= json_object_set_new(model_info, "general.basename", json_string(sent));
    }
    bad |= model_info ? json_object_set(out, "model_info", model_info)
                      : json_object_set_new(out, "model_info", json_object());
    if (json_array_size(tensors))
        bad |= json_object_set(out, "tensors", tensors);
    bad |= json_object_set_new(out, "capabilities", capabilities_json(info, m));
    bad |= json_object_set_new(out, "modified_at", time_json(m->modified_ns));
    bad |= set_text(out, "requires", json_string_value(json_object_get(m->config, "requires")));
    done = !bad;
    if (bad)
        err_set(e, ERR_MEMORY, "out of memory");
done:
    eng_info_close(c->srv->cfg.eng, info);
    free(license);
    buf_free(&file);
    buf_free(&params);
    json_decref(meta);
    if (!done) {
        json_decref(out);
        return NULL;
    }
    return out;
}

void on_show(struct call *c)
{
    struct err e = {0};
    const char *name = NULL, *system = NULL;
    bool verbose = false;
    struct store_model *m = NULL;
    json_t *in = body_parse(c->body, c->n_body, &e), *out;
    if (!in || field_model(in, &name, &e) != 0 ||
        field_bool(in, "verbose", &verbose, NULL, &e) != 0 ||
        field_string(in, "system", "system", &system, &e) != 0) {
        call_fail(c, &e);
    } else if (!name || !name[0]) {
        call_fail_status(c, 400, "model is required");
    } else if ((m = model_find(c, name, NAME_SHORT))) {
        out = show_json(c, m, in, verbose, system && system[0] ? system : NULL, &e);
        if (out)
            call_answer_json(c, 200, out);
        else
            call_fail(c, &e);
    }
    store_model_free(m);
    json_decref(in);
}

/* ---- ps ------------------------------------------------------------------------------------ */

static json_t *ps_row(struct call *c, const struct eng_loaded *l)
{
    struct store_name name;
    struct store_model *m = NULL;
    struct err e = {0};
    json_t *details = NULL;
    if (store_name_parse(l->name, strlen(l->name), &name, &e) == 0 &&
        store_model_get(c->srv->cfg.store, &name, &m, &e) == 0)
        details = store_model_details(c->srv->cfg.store, m, false, &e);
    store_model_free(m);
    if (!details) /* deleted while it is loaded */
        details = json_pack("{s:s, s:s, s:s, s:[], s:s, s:s}", "parent_model", "", "format", "gguf",
                            "family", "", "families", "parameter_size", "", "quantization_level",
                            "unknown");
    return json_pack("{s:s, s:s, s:I, s:s, s:o, s:o, s:I, s:i, s:i, s:i, s:i}", "name", l->name,
                     "model", l->name, "size", (json_int_t)l->size_bytes, "digest", l->id,
                     "details", details, "expires_at", time_json(l->expires_real_ns), "size_vram",
                     (json_int_t)0, "context_length", (int)l->context_length, "parallel",
                     l->parallel, "active", l->active, "queued", l->queued);
}

void on_ps(struct call *c)
{
    struct eng_loaded *list = NULL;
    size_t n = 0;
    struct err e = {0};
    if (eng_ps(c->srv->cfg.eng, &list, &n, &e) != 0) {
        call_fail(c, &e);
        return;
    }
    json_t *rows = json_array();
    for (size_t i = 0; rows && i < n; i++) {
        json_t *row = ps_row(c, &list[i]);
        if (row)
            json_array_append_new(rows, row);
    }
    free(list);
    call_answer_json(c, 200, rows ? json_pack("{s:o}", "models", rows) : NULL);
}

/* ---- copy, delete -------------------------------------------------------------------------- */

void on_copy(struct call *c)
{
    struct err e = {0};
    const char *from = NULL, *to = NULL;
    struct store_name a, b;
    json_t *in = body_parse(c->body, c->n_body, &e);
    if (!in || field_string(in, "source", "source", &from, &e) != 0 ||
        field_string(in, "destination", "destination", &to, &e) != 0) {
        call_fail(c, &e);
    } else if (!from || store_name_parse(from, strlen(from), &a, &e) != 0) {
        call_fail_status(c, 400, "source \"%s\" is invalid", from ? from : "");
    } else if (!to || store_name_parse(to, strlen(to), &b, &e) != 0) {
        call_fail_status(c, 400, "destination \"%s\" is invalid", to ? to : "");
    } else if (store_model_copy(c->srv->cfg.store, &a, &b, &e) != 0) {
        if (e.code == ERR_NOT_FOUND)
            call_fail_status(c, 404, "model \"%s\" not found", from);
        else
            call_fail(c, &e);
    } else {
        call_answer(c, 200, NULL, "", 0);
    }
    json_decref(in);
}

/* A loaded model goes once it is idle when no other name uses its file. */
static void unload_if_unused(struct call *c, const struct digest *d)
{
    struct store_model **list = NULL;
    size_t n = 0;
    struct err e = {0};
    bool used = false;
    if (store_model_list(c->srv->cfg.store, &list, &n, &e) != 0)
        return;
    for (size_t i = 0; i < n; i++) {
        used = used ||
               (list[i]->model_layer && memcmp(&list[i]->model_layer->digest, d, sizeof *d) == 0);
        store_model_free(list[i]);
    }
    free(list);
    if (!used)
        eng_unload(c->srv->cfg.eng, d);
}

void on_delete(struct call *c)
{
    struct err e = {0};
    const char *text = NULL;
    struct store_name name;
    json_t *in = body_parse(c->body, c->n_body, &e);
    if (!in || field_model(in, &text, &e) != 0) {
        call_fail(c, &e);
    } else if (!text || !text[0]) {
        call_fail_status(c, 400, "model is required");
    } else if (store_name_parse(text, strlen(text), &name, &e) != 0 && e.code != ERR_NOT_FOUND) {
        call_fail_status(c, 400, "name \"%s\" is invalid", text);
    } else {
        struct store_model *m = NULL;
        struct digest d;
        bool has_file = false;
        if (e.code == ERR_NONE && store_model_get(c->srv->cfg.store, &name, &m, &e) == 0 &&
            m->model_layer) {
            d = m->model_layer->digest;
            has_file = true;
        }
        store_model_free(m);
        /* A broken manifest can be deleted too: the store decides. */
        if (e.code == ERR_NOT_FOUND || store_model_delete(c->srv->cfg.store, &name, &e) != 0) {
            if (e.code == ERR_NOT_FOUND)
                call_fail_status(c, 404, "model '%s' not found", text);
            else
                call_fail(c, &e);
        } else {
            if (has_file)
                unload_if_unused(c, &d);
            call_answer(c, 200, NULL, "", 0);
        }
    }
    json_decref(in);
}

/* ---- small answers: on the loop ------------------------------------------------------------ */

void on_root(struct call *c)
{
    call_answer(c, 200, type_text_utf8, "Ollama is running", 17);
}

void on_version(struct call *c)
{
    static const char text[] = "{\"version\":\"0.33.0\",\"chaski\":\"" CHASKI_VERSION "\"}";
    call_answer(c, 200, type_json, text, sizeof text - 1);
}

static void answer_text(struct call *c, int status, const char *text)
{
    call_answer(c, status, type_json, text, strlen(text));
}

void on_health(struct call *c)
{
    if (atomic_load(&c->srv->stopping))
        answer_text(c, 503, "{\"status\":\"stopping\"}");
    else
        answer_text(c, 200, "{\"status\":\"ok\"}");
}

void on_cloud_status(struct call *c)
{
    answer_text(c, 200, "{\"cloud\":{\"disabled\":true,\"source\":\"config\"}}");
}

void on_me(struct call *c)
{
    answer_text(c, 401, "{\"error\":\"unauthorized\"}");
}

void on_signout(struct call *c)
{
    answer_text(c, 401, "{\"error\":\"you are not currently signed in\"}");
}

void on_no_audio(struct call *c)
{
    static const char text[] =
        "{\"error\":{\"message\":\"audio is not supported\",\"type\":\"api_error\","
        "\"param\":null,\"code\":null}}\n";
    call_answer(c, 501, type_json_plain, text, sizeof text - 1);
}

void on_recommendations(struct call *c)
{
    answer_text(c, 200, "{\"recommendations\":[]}");
}

void on_web_search(struct call *c)
{
    answer_text(c, 403, "{\"error\":\"ollama cloud is disabled: web search is unavailable\"}");
}

void on_web_fetch(struct call *c)
{
    answer_text(c, 403, "{\"error\":\"ollama cloud is disabled: web fetch is unavailable\"}");
}
