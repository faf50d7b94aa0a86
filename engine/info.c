/* engine/info.c - facts of a model file for lists and /api/show, without loading it.
 *
 * Facts: spec/api.md 16.2 and 16.2.2. Only the header is read. A template's abilities are judged by
 * words in its text, as the reference does: it is not run. */
#include "engine/info.h"
#include "engine/chat/chat.h"
#include "engine/tokenizer/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "gguf/gguf.h"

static bool has(const char *text, const char *word)
{
    return text && strstr(text, word) != NULL;
}

static uint64_t arch_number(const struct gguf *g, const char *arch, const char *key)
{
    char full[192];
    uint64_t v = 0;
    snprintf(full, sizeof full, "%s.%s", arch, key);
    return gguf_get_u64(g, full, &v, NULL) == 1 ? v : 0;
}

static bool arch_has(const struct gguf *g, const char *arch, const char *key)
{
    char full[192];
    snprintf(full, sizeof full, "%s.%s", arch, key);
    return gguf_find(g, full) != NULL;
}

/* Every token sees the whole text: no text can be continued. */
static bool is_encoder(const struct gguf *g, const char *arch)
{
    char full[192];
    bool causal = true;
    snprintf(full, sizeof full, "%s.attention.causal", arch);
    return gguf_get_bool(g, full, &causal, NULL) == 1 && !causal;
}

static uint64_t count_parameters(const struct gguf *g)
{
    uint64_t n = 0;
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        n += t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3]; /* bounded by the file's length */
    }
    return n;
}

/* The tokens for a text with a hole: by metadata, else by their usual names. */
static bool has_fim(const struct gguf *g)
{
    static const char *const keys[3][2] = {
        {"tokenizer.ggml.fim_pre_token_id", "tokenizer.ggml.prefix_token_id"},
        {"tokenizer.ggml.fim_suf_token_id", "tokenizer.ggml.suffix_token_id"},
        {"tokenizer.ggml.fim_mid_token_id", "tokenizer.ggml.middle_token_id"},
    };
    bool found[3] = {false, false, false};
    for (int k = 0; k < 3; k++)
        found[k] = gguf_find(g, keys[k][0]) || gguf_find(g, keys[k][1]);
    const struct gguf_value *tokens = gguf_find(g, "tokenizer.ggml.tokens");
    if (!tokens || tokens->kind != GGUF_ARRAY || tokens->elem != GGUF_STRING)
        return false;
    for (uint64_t i = 0; i < tokens->n && !(found[0] && found[1] && found[2]); i++) {
        const struct text t = tokens->str[i];
        if (t.n < 5 || t.n > 32) /* <PRE> .. */
            continue;
        for (int k = 0; k < 3; k++)
            for (const char *const *name = tok_fim_texts(k); *name && !found[k]; name++)
                found[k] = t.n == strlen(*name) && memcmp(*name, t.p, t.n) == 0;
    }
    return found[0] && found[1] && found[2];
}

static bool has_projector(const struct store_model *m)
{
    static const char end[] = ".projector";
    for (size_t i = 0; i < m->n_layers; i++) {
        const char *type = m->layers[i].media_type;
        const size_t n = strlen(type), k = sizeof end - 1;
        if (n > k && strcmp(type + n - k, end) == 0)
            return true;
    }
    return false;
}

static void judge_templates(const struct store_model *m, const char *jinja, struct eng_info *out)
{
    const char *go = m->template_text;
    struct chat_manner manner;
    /* The model's own TEMPLATE wins; the GGUF's counts when there is none. */
    if (go) {
        struct chat_template *t = chat_template_new(CHAT_GO, go, strlen(go), NULL);
        if (t) { /* one that is wrong says so when it is used */
            out->can_tools = chat_template_uses(t, CHAT_USES_TOOLS);
            out->can_insert = out->can_insert || chat_template_uses(t, CHAT_USES_SUFFIX);
            chat_template_free(t);
        }
        chat_manner_find(&manner, CHAT_GO, go);
        out->can_think = manner.think_open[0] && manner.think_close[0];
        return;
    }
    out->can_tools = has(jinja, "tools") || has(jinja, "tool_call");
    chat_manner_find(&manner, CHAT_JINJA, jinja);
    out->can_think = manner.think_open[0];
}

enum { MAX_TEMPLATE_BYTES = 1 << 20 };

int info_read(struct store *s, const struct store_model *m, struct eng_info *out,
              char **chat_template, struct err *e)
{
    struct text arch = {NULL, 0};
    int rc = -1;
    *chat_template = NULL;
    memset(out, 0, sizeof *out);
    struct gguf *g = store_model_gguf(s, m, e);
    if (!g)
        return -1;
    if (gguf_get_text(g, "general.architecture", &arch, e) < 0 ||
        chat_template_of(g, chat_template, e))
        goto done;
    if (arch.n >= sizeof out->architecture) {
        err_set(e, ERR_INPUT, "general.architecture is too long");
        goto done;
    }
    if (arch.n)
        memcpy(out->architecture, arch.p, arch.n);
    /* These live as long as the server: a template that the engine refuses for its size when it is
     * used (chat.h) is not worth keeping. */
    if (*chat_template && strlen(*chat_template) > MAX_TEMPLATE_BYTES) {
        free(*chat_template);
        *chat_template = NULL;
    }
    out->context_length = arch_number(g, out->architecture, "context_length");
    out->embedding_length = arch_number(g, out->architecture, "embedding_length");
    (void)gguf_get_u64(g, "general.file_type", &out->file_type, NULL);
    out->parameter_count = count_parameters(g);
    out->can_embed = arch_has(g, out->architecture, "pooling_type") || is_encoder(g, out->architecture);
    out->can_complete = !out->can_embed;
    out->can_insert = has_fim(g);
    out->has_vision = arch_has(g, out->architecture, "vision.block_count") || has_projector(m);
    out->has_audio = arch_has(g, out->architecture, "audio.block_count");
    judge_templates(m, *chat_template, out);
    rc = 0;
done:
    if (rc) {
        free(*chat_template);
        *chat_template = NULL;
    }
    gguf_close(g);
    return rc;
}

/* ---- metadata ------------------------------------------------------------------------------ */

static json_t *text_json(struct text t)
{
    if (text_is_utf8(t.p, t.n))
        return json_stringn(t.p ? t.p : "", t.n);
    struct buf b = {0};
    for (size_t i = 0; i < t.n;) {
        uint32_t cp;
        bool bad = false;
        char ch[4];
        i += text_decode(t.p + i, t.n - i, &cp, &bad);
        buf_add(&b, ch, text_encode(cp, ch));
    }
    json_t *v = b.failed ? NULL : json_stringn(b.p ? b.p : "", b.n);
    buf_free(&b);
    return v;
}

static json_t *element_json(const struct gguf_value *v, uint64_t i)
{
    const enum gguf_kind kind = v->kind == GGUF_ARRAY ? v->elem : v->kind;
    switch (kind) {
    case GGUF_STRING:
        return text_json(v->str[i]);
    case GGUF_BOOL: {
        bool b = false;
        return gguf_value_bool_at(v, i, &b, NULL) == 0 ? json_boolean(b) : NULL;
    }
    case GGUF_F32:
    case GGUF_F64: {
        double d = 0;
        if (gguf_value_f64_at(v, i, &d, NULL) != 0)
            return NULL;
        json_t *real = json_real(d);
        return real ? real : json_null(); /* not a number: JSON has no word for it */
    }
    default: {
        int64_t n = 0;
        uint64_t u = 0;
        if (gguf_value_i64_at(v, i, &n, NULL) == 0)
            return json_integer(n);
        return gguf_value_u64_at(v, i, &u, NULL) == 0 ? json_real((double)u) : NULL;
    }
    }
}

static json_t *value_json(const struct gguf_value *v, bool verbose)
{
    if (v->kind != GGUF_ARRAY)
        return element_json(v, 0);
    if (!verbose)
        return json_null();
    json_t *list = json_array();
    for (uint64_t i = 0; list && i < v->n; i++)
        if (json_array_append_new(list, element_json(v, i))) {
            json_decref(list);
            list = NULL;
        }
    return list;
}

static int by_key(const void *a, const void *b)
{
    const struct gguf_value *const *x = a, *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

static json_t *model_info_json(const struct gguf *g, bool verbose)
{
    static const char counted[] = "general.parameter_count";
    const size_t n = gguf_n_values(g);
    const struct gguf_value **sorted = calloc(n ? n : 1, sizeof *sorted);
    json_t *out = json_object();
    bool bad = !sorted || !out, has_count = false;
    for (size_t i = 0; !bad && i < n; i++)
        sorted[i] = gguf_value_at(g, i);
    if (!bad && n)
        qsort(sorted, n, sizeof *sorted, by_key);
    for (size_t i = 0; !bad && i <= n; i++) {
        if (!has_count && (i == n || strcmp(sorted[i]->key, counted) >= 0)) {
            has_count = true;
            bad = json_object_set_new(out, counted, json_integer((json_int_t)count_parameters(g)));
        }
        if (bad || i == n || strcmp(sorted[i]->key, "general.name") == 0 ||
            strcmp(sorted[i]->key, "tokenizer.chat_template") == 0 ||
            strcmp(sorted[i]->key, counted) == 0 ||
            !text_is_utf8(sorted[i]->key, strlen(sorted[i]->key)))
            continue;
        bad = json_object_set_new(out, sorted[i]->key, value_json(sorted[i], verbose)) != 0;
    }
    free(sorted);
    if (bad) {
        json_decref(out);
        return NULL;
    }
    return out;
}

static json_t *tensors_json(const struct gguf *g)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        const struct gguf_type_info *type = gguf_type_info(t->type);
        json_t *shape = json_array();
        for (uint32_t k = 0; shape && k < t->n_dims; k++)
            json_array_append_new(shape, json_integer((json_int_t)t->dims[k]));
        json_t *row =
            json_pack("{s:o, s:s, s:o}", "name", text_json((struct text){t->name, strlen(t->name)}),
                      "type", type ? type->name : "unknown", "shape", shape);
        if (json_array_append_new(list, row)) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

json_t *info_metadata(struct store *s, const struct store_model *m, bool verbose, struct err *e)
{
    struct gguf *g = store_model_gguf(s, m, e);
    if (!g)
        return NULL;
    json_t *info = model_info_json(g, verbose), *tensors = tensors_json(g);
    gguf_close(g);
    json_t *out =
        info && tensors ? json_pack("{s:O, s:O}", "model_info", info, "tensors", tensors) : NULL;
    json_decref(info);
    json_decref(tensors);
    if (!out)
        err_set(e, ERR_MEMORY, "out of memory");
    return out;
}
