/* engine/store/show.c - what lists and /api/show print of a model: details, counts for people, the
 * texts `parameters` and `modelfile`.
 *
 * Facts: shared/spec store.md 3.5, api.md 16.1 and 16.2, modelfile-and-templates.md 1.4. Facts of a
 * GGUF header cost a parse of it, so they are cached by digest (a blob never changes). */
#include "engine/store/inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void store_human_count(uint64_t n, char out[24])
{
    const double v = (double)n;
    if (n >= 1000000000)
        snprintf(out, 24, n % 1000000000 ? "%.1fB" : "%.0fB", v / 1e9);
    else if (n >= 1000000)
        snprintf(out, 24, n % 1000000 ? "%.2fM" : "%.0fM", v / 1e6);
    else if (n >= 1000)
        snprintf(out, 24, "%.0fK", v / 1e3);
    else
        snprintf(out, 24, "%u", (unsigned)n);
}

/* ---- facts of the GGUF ----------------------------------------------------------------- */

enum { FACTS_MAX = 256 }; /* models in a store; more than that only costs time */

void store_gguf_facts(const struct gguf *g, struct store_facts *f)
{
    struct text arch = {0};
    char key[96];
    uint64_t type;
    memset(f, 0, sizeof *f);
    if (gguf_get_text(g, "general.architecture", &arch, NULL) == 1 &&
        arch.n < sizeof f->architecture && text_is_utf8(arch.p, arch.n) &&
        !memchr(arch.p, 0, arch.n))
        memcpy(f->architecture, arch.p, arch.n);
    /* Value 0 is F32 when the key is there; without the key nothing is known. */
    const bool has_type = gguf_get_u64(g, "general.file_type", &type, NULL) == 1;
    snprintf(f->file_type, sizeof f->file_type, "%s",
             has_type ? gguf_file_type_name(type) : "unknown");
    snprintf(key, sizeof key, "%s.context_length", f->architecture);
    (void)gguf_get_u64(g, key, &f->context_length, NULL);
    snprintf(key, sizeof key, "%s.embedding_length", f->architecture);
    (void)gguf_get_u64(g, key, &f->embedding_length, NULL);
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        /* No overflow: the reader has checked the product. */
        f->n_params += t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
    }
}

static bool facts_find(struct store *s, const struct digest *d, struct store_facts *out)
{
    bool found = false;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n_facts && !found; i++) {
        found = digest_equal(&s->facts[i].digest, d);
        if (found)
            *out = s->facts[i].f;
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

static void facts_keep(struct store *s, const struct digest *d, const struct store_facts *f)
{
    pthread_mutex_lock(&s->lock);
    if (!s->facts)
        s->facts = calloc(FACTS_MAX, sizeof *s->facts);
    if (s->facts) {
        s->facts[s->next_fact] = (struct facts){*d, *f};
        s->next_fact = (s->next_fact + 1) % FACTS_MAX;
        if (s->n_facts < FACTS_MAX)
            s->n_facts++;
    }
    pthread_mutex_unlock(&s->lock);
}

int store_model_facts(struct store *s, const struct store_model *m, struct store_facts *out,
                      struct err *e)
{
    if (m->model_layer && facts_find(s, &m->model_layer->digest, out))
        return 0;
    struct gguf *g = store_model_gguf(s, m, e);
    if (!g)
        return -1;
    store_gguf_facts(g, out);
    gguf_close(g);
    facts_keep(s, &m->model_layer->digest, out);
    return 0;
}

/* ---- details --------------------------------------------------------------------------- */

static const char *config_text(const struct store_model *m, const char *key)
{
    const char *t = json_string_value(json_object_get(m->config, key));
    return t ? t : "";
}

json_t *store_model_details(struct store *s, const struct store_model *m, bool lengths,
                            struct err *e)
{
    struct store_facts f = {0};
    const char *format = config_text(m, "model_format"), *family = config_text(m, "model_family");
    const char *size = config_text(m, "model_type"), *quant = config_text(m, "file_type");
    const json_t *old = json_object_get(m->config, "model_families");
    char count[24];
    /* A broken GGUF still has a row in the list: only the numbers are missing. */
    const bool wanted = lengths || !family[0] || !size[0] || !quant[0];
    if (wanted && m->model_layer && store_model_facts(s, m, &f, NULL) == 0) {
        store_human_count(f.n_params, count);
        if (!family[0])
            family = f.architecture;
        if (!size[0])
            size = count;
        if (!quant[0])
            quant = f.file_type;
    }
    json_t *families = json_array();
    for (size_t i = 0; families && i < json_array_size(old); i++) {
        const char *one = json_string_value(json_array_get(old, i));
        if (one && json_array_append_new(families, json_string(one))) {
            json_decref(families);
            families = NULL;
        }
    }
    /* Old clients test for null and trip over []: the family stands for a missing list. */
    if (families && !json_array_size(families) && family[0])
        (void)json_array_append_new(families, json_string(family));
    json_t *d = json_pack("{s:s, s:s, s:s, s:o, s:s, s:s}", "parent_model",
                          m->model_layer ? m->model_layer->from : "", "format",
                          format[0] ? format : "gguf", "family", family, "families", families,
                          "parameter_size", size, "quantization_level", quant);
    const json_t *ctx = json_object_get(m->config, "context_length");
    const json_t *embd = json_object_get(m->config, "embedding_length");
    const json_int_t n_ctx =
        json_is_integer(ctx) ? json_integer_value(ctx) : (json_int_t)f.context_length;
    const json_int_t n_embd =
        json_is_integer(embd) ? json_integer_value(embd) : (json_int_t)f.embedding_length;
    if (!d || (lengths && n_ctx > 0 &&
               json_object_set_new(d, "context_length", json_integer(n_ctx))) ||
        (lengths && n_embd > 0 &&
         json_object_set_new(d, "embedding_length", json_integer(n_embd)))) {
        json_decref(d);
        err_set(e, ERR_MEMORY, "out of memory");
        return NULL;
    }
    return d;
}

/* ---- parameters ------------------------------------------------------------------------ */

typedef void (*put_line)(struct buf *out, const char *key, const json_t *v);

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* One call a value: lists give one for each item, keys sorted. */
static void each_param(struct buf *out, const json_t *params, put_line put)
{
    json_t *o = (json_t *)(uintptr_t)params; /* iterating changes nothing */
    const size_t n = json_object_size(params);
    const char **keys = calloc(n + 1, sizeof *keys);
    size_t i = 0;
    if (!keys) {
        out->failed = true;
        return;
    }
    for (void *it = json_object_iter(o); it && i < n; it = json_object_iter_next(o, it))
        keys[i++] = json_object_iter_key(it);
    if (i)
        qsort(keys, i, sizeof *keys, by_text);
    for (size_t k = 0; k < i; k++) {
        const json_t *v = json_object_get(params, keys[k]);
        if (json_is_array(v))
            for (size_t j = 0; j < json_array_size(v); j++)
                put(out, keys[k], json_array_get(v, j));
        else
            put(out, keys[k], v);
    }
    free(keys);
}

static void put_number(struct buf *out, const json_t *v)
{
    if (json_is_real(v))
        store_go_number(out, json_real_value(v));
    else
        store_json_put(out, v, true); /* integers, booleans; others are no options */
}

static void put_padded(struct buf *out, const char *key, const json_t *v)
{
    if (out->n)
        buf_puts(out, "\n");
    buf_printf(out, "%-30s ", key);
    if (json_is_string(v))
        store_go_quote(out, json_string_value(v), json_string_length(v));
    else
        put_number(out, v);
}

int store_parameters_text(const json_t *params, struct buf *out, struct err *e)
{
    each_param(out, params, put_padded);
    buf_add(out, "", 0);
    return out->failed ? err_set(e, ERR_MEMORY, "out of memory") : 0;
}

/* ---- the Modelfile --------------------------------------------------------------------- */

static void put_quoted(struct buf *out, const char *t)
{
    const size_t n = strlen(t);
    const bool odd = n && (strpbrk(t, "\n\r") || strchr(" \t", t[0]) || strchr(" \t", t[n - 1]));
    if (n && (t[0] == '"' || (odd && strchr(t, '"'))))
        buf_printf(out, "\"\"\"%s\"\"\"", t);
    else if (odd)
        buf_printf(out, "\"%s\"", t);
    else
        buf_puts(out, t);
}

static void put_command(struct buf *out, const char *word, const char *value)
{
    buf_puts(out, word);
    buf_puts(out, " ");
    put_quoted(out, value);
    buf_puts(out, "\n");
}

static void put_parameter(struct buf *out, const char *key, const json_t *v)
{
    buf_printf(out, "PARAMETER %s ", key);
    if (json_is_string(v))
        put_quoted(out, json_string_value(v));
    else
        put_number(out, v);
    buf_puts(out, "\n");
}

static void put_layers(struct buf *out, const struct store *s, const struct store_model *m,
                       const char *kind, const char *word)
{
    const size_t n = strlen(MEDIA_IMAGE);
    char hex[65];
    for (size_t i = 0; i < m->n_layers; i++) {
        const struct store_layer *l = &m->layers[i];
        if (strncmp(l->media_type, MEDIA_IMAGE, n) || strcmp(l->media_type + n, kind))
            continue;
        digest_hex(&l->digest, hex);
        buf_printf(out, "%s %s/blobs/sha256-%s\n", word, s->root, hex);
    }
}

static void put_messages(struct buf *out, const json_t *messages)
{
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *o = json_array_get(messages, i);
        const char *role = json_string_value(json_object_get(o, "role"));
        const char *text = json_string_value(json_object_get(o, "content"));
        if (!role || !text)
            continue;
        buf_printf(out, "MESSAGE %s ", role);
        put_quoted(out, text);
        buf_puts(out, "\n");
    }
}

int store_modelfile_text(struct store *s, const struct store_model *m, const char *system,
                         const char *template_text, const json_t *options, struct buf *out,
                         struct err *e)
{
    char name[STORE_NAME_TEXT];
    json_t *params = json_copy(m->params);
    if (!params || (options && json_is_object(options) &&
                    json_object_update(params, (json_t *)(uintptr_t)options))) {
        json_decref(params);
        return err_set(e, ERR_MEMORY, "out of memory");
    }
    store_name_short(&m->name, name, sizeof name);
    /* Some tools search for these lines and cut the header by the first. */
    buf_printf(out,
               "# Modelfile generated by \"ollama show\"\n"
               "# To build a new Modelfile based on this, replace FROM with:\n"
               "# FROM %s\n\n",
               name);
    put_layers(out, s, m, "model", "FROM");
    put_layers(out, s, m, "adapter", "ADAPTER");
    put_layers(out, s, m, "draft", "DRAFT");
    put_layers(out, s, m, "projector", "FROM");
    put_command(out, "TEMPLATE", template_text ? template_text : "{{ .Prompt }}");
    const char *sys = system && system[0] ? system : m->system;
    if (sys && sys[0])
        put_command(out, "SYSTEM", sys);
    if (config_text(m, "renderer")[0])
        put_command(out, "RENDERER", config_text(m, "renderer"));
    if (config_text(m, "parser")[0])
        put_command(out, "PARSER", config_text(m, "parser"));
    each_param(out, params, put_parameter);
    for (size_t i = 0; i < json_array_size(m->licenses); i++)
        put_command(out, "LICENSE", json_string_value(json_array_get(m->licenses, i)));
    put_messages(out, m->messages);
    json_decref(params);
    return out->failed ? err_set(e, ERR_MEMORY, "out of memory") : 0;
}
