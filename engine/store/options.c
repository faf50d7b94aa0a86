/* engine/store/options.c - the options of a model by name and type, and checking an object of them.
 *
 * Facts: shared/spec api.md 4.2 to 4.4, modelfile-and-templates.md 1.3. One table for all: create,
 * Modelfiles and requests. */
#include "engine/store/inside.h"

#include <string.h>

static const struct {
    const char *name;
    enum store_option kind;
} options[] = {
    {"num_ctx", OPTION_INT},
    {"num_batch", OPTION_INT},
    {"num_gpu", OPTION_INT},
    {"main_gpu", OPTION_INT},
    {"use_mmap", OPTION_BOOL},
    {"num_thread", OPTION_INT},
    {"draft_num_predict", OPTION_INT},
    {"num_keep", OPTION_INT},
    {"seed", OPTION_INT},
    {"num_predict", OPTION_INT},
    {"temperature", OPTION_FLOAT},
    {"top_k", OPTION_INT},
    {"top_p", OPTION_FLOAT},
    {"min_p", OPTION_FLOAT},
    {"typical_p", OPTION_FLOAT},
    {"repeat_last_n", OPTION_INT},
    {"repeat_penalty", OPTION_FLOAT},
    {"presence_penalty", OPTION_FLOAT},
    {"frequency_penalty", OPTION_FLOAT},
    {"stop", OPTION_STRINGS},
    {"kv_type", OPTION_STRING},
    /* Of earlier versions; clients still send them. */
    {"numa", OPTION_OLD},
    {"low_vram", OPTION_OLD},
    {"f16_kv", OPTION_OLD},
    {"logits_all", OPTION_OLD},
    {"vocab_only", OPTION_OLD},
    {"use_mlock", OPTION_OLD},
    {"embedding_only", OPTION_OLD},
    {"rope_frequency_base", OPTION_OLD},
    {"rope_frequency_scale", OPTION_OLD},
    {"num_gqa", OPTION_OLD},
    {"tfs_z", OPTION_OLD},
    {"mirostat", OPTION_OLD},
    {"mirostat_tau", OPTION_OLD},
    {"mirostat_eta", OPTION_OLD},
    {"penalize_newline", OPTION_OLD},
};
enum { N_OPTIONS = sizeof options / sizeof options[0] };

enum store_option store_option_kind(const char *name)
{
    for (size_t i = 0; i < N_OPTIONS; i++)
        if (!strcmp(options[i].name, name))
            return options[i].kind;
    return OPTION_UNKNOWN;
}

const char *store_option_at(size_t i)
{
    return i < N_OPTIONS ? options[i].name : NULL;
}

static int wrong(const char *name, const char *type, struct err *e)
{
    return err_set(e, ERR_INPUT, "option \"%s\" must be of type %s", name, type);
}

/* The value as it is kept, a new reference in *out. */
static int check_one(const char *name, json_t *v, json_t **out, struct err *e)
{
    switch (store_option_kind(name)) {
    case OPTION_INT:
        if (!json_is_number(v))
            return wrong(name, "integer", e);
        break;
    case OPTION_FLOAT:
        if (!json_is_number(v))
            return wrong(name, "float32", e);
        break;
    case OPTION_BOOL:
        if (!json_is_boolean(v))
            return wrong(name, "boolean", e);
        break;
    case OPTION_STRING:
        if (!json_is_string(v))
            return wrong(name, "string", e);
        break;
    case OPTION_STRINGS:
        if (json_is_string(v)) {
            *out = json_pack("[O]", v);
            return *out ? 0 : err_set(e, ERR_MEMORY, "out of memory");
        }
        if (!json_is_array(v))
            return wrong(name, "array", e);
        for (size_t i = 0; i < json_array_size(v); i++)
            if (!json_is_string(json_array_get(v, i)))
                return err_set(e, ERR_INPUT, "option \"%s\" must be of an array of strings", name);
        break;
    case OPTION_OLD:
    case OPTION_UNKNOWN:
        break;
    }
    *out = json_deep_copy(v); /* a JSON value may not be shared between threads */
    return *out ? 0 : err_set(e, ERR_MEMORY, "out of memory");
}

json_t *store_params_check(const json_t *params, json_t *unknown, struct err *e)
{
    json_t *out = json_object();
    if (!out) {
        err_set(e, ERR_MEMORY, "out of memory");
        return NULL;
    }
    if (params && !json_is_object(params)) {
        err_set(e, ERR_INPUT, "parameters must be an object");
        goto fail;
    }
    json_t *o = (json_t *)(uintptr_t)params; /* iterating changes nothing */
    for (void *it = json_object_iter(o); it; it = json_object_iter_next(o, it)) {
        const char *name = json_object_iter_key(it);
        json_t *v = json_object_iter_value(it), *kept = NULL;
        if (json_is_null(v))
            continue;
        if (check_one(name, v, &kept, e))
            goto fail;
        const bool odd = store_option_kind(name) == OPTION_UNKNOWN;
        if (json_object_set_new(out, name, kept) ||
            (odd && unknown && json_array_append_new(unknown, json_string(name)))) {
            err_set(e, ERR_MEMORY, "out of memory");
            goto fail;
        }
    }
    return out;
fail:
    json_decref(out);
    return NULL;
}
