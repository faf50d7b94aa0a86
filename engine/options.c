/* engine/options.c - the options of a request, from JSON, by table (spec/api.md, section 4). */
#include "engine/engine.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { INT, REAL, SEED, STOP, BOOL, KV, INT_IGNORED, IGNORED };

struct option_row {
    const char *name;
    enum kind kind;
    size_t offset;
    double lo, hi; /* allowed; integers are cut toward zero first */
};
#define AT(field) offsetof(struct eng_options, field)

static const double big = 2147483647.0, small = -2147483648.0;

static const struct option_row rows[] = {
    {"num_ctx", INT, AT(num_ctx), small, big},
    {"num_batch", INT, AT(num_batch), small, big},
    {"num_thread", INT, AT(num_thread), small, big},
    {"num_keep", INT, AT(num_keep), small, big},
    {"num_predict", INT, AT(num_predict), small, big},
    {"seed", SEED, AT(seed), -9223372036854775808.0, 9223372036854774784.0},
    {"top_k", INT, AT(top_k), small, big},
    {"repeat_last_n", INT, AT(repeat_last_n), -1, big},
    {"temperature", REAL, AT(temperature), 0, big},
    {"top_p", REAL, AT(top_p), small, big},
    {"min_p", REAL, AT(min_p), small, big},
    {"typical_p", REAL, AT(typical_p), small, big},
    {"repeat_penalty", REAL, AT(repeat_penalty), 1e-6, big},
    {"presence_penalty", REAL, AT(presence_penalty), small, big},
    {"frequency_penalty", REAL, AT(frequency_penalty), small, big},
    {"stop", STOP, 0, 0, 0},
    {"deadline_ms", INT, AT(deadline_ms), 0, big}, /* ours */
    {"use_mmap", BOOL, AT(use_mmap), 0, 0},
    {"constrain_tools", BOOL, AT(constrain_tools), 0, 0}, /* ours */
    {"jump_forward", BOOL, AT(jump_forward), 0, 0}, /* ours */
    {"speculate", BOOL, AT(speculate), 0, 0}, /* ours, not the reference's */
    {"kv_type", KV, AT(kv_type), 0, 0},       /* ours */
    /* Known, and without meaning on a CPU or for the result: accepted. */
    {"num_gpu", INT_IGNORED, 0, 0, 0},
    {"main_gpu", INT_IGNORED, 0, 0, 0},
    {"draft_num_predict", INT_IGNORED, 0, 0, 0},
    /* Options of older clients: accepted without a word. */
    {"numa", IGNORED, 0, 0, 0},
    {"low_vram", IGNORED, 0, 0, 0},
    {"f16_kv", IGNORED, 0, 0, 0},
    {"logits_all", IGNORED, 0, 0, 0},
    {"vocab_only", IGNORED, 0, 0, 0},
    {"use_mlock", IGNORED, 0, 0, 0},
    {"embedding_only", IGNORED, 0, 0, 0},
    {"rope_frequency_base", IGNORED, 0, 0, 0},
    {"rope_frequency_scale", IGNORED, 0, 0, 0},
    {"num_gqa", IGNORED, 0, 0, 0},
    {"tfs_z", IGNORED, 0, 0, 0},
    {"mirostat", IGNORED, 0, 0, 0},
    {"mirostat_tau", IGNORED, 0, 0, 0},
    {"mirostat_eta", IGNORED, 0, 0, 0},
    {"penalize_newline", IGNORED, 0, 0, 0},
};

int eng_kv_of(const char *name, enum eng_kv *kv)
{
    static const char *const names[] = {
        [ENG_KV_F16] = "f16", [ENG_KV_F32] = "f32", [ENG_KV_Q8_0] = "q8_0", [ENG_KV_Q4_0] = "q4_0"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!strcmp(names[i], name)) {
            *kv = (enum eng_kv)i;
            return 0;
        }
    return -1;
}

int eng_numerics_of(const char *name, bool *fast)
{
    *fast = !strcmp(name, "fast");
    return *fast || !strcmp(name, "exact") ? 0 : -1;
}

void eng_options_init(struct eng_options *o)
{
    *o = (struct eng_options){.num_keep = 4,
                              .num_predict = -1,
                              .seed = -1,
                              .top_k = 40,
                              .repeat_last_n = 64,
                              .temperature = 0.8f,
                              .top_p = 0.9f,
                              .typical_p = 1,
                              .repeat_penalty = 1,
                              .use_mmap = -1,
                              .kv_type = -1,
                              .constrain_tools = 1,
                              .speculate = -1};
}

static void drop_stops(struct eng_options *o)
{
    for (int i = 0; i < o->n_stops; i++)
        free(o->stops[i]);
    o->n_stops = 0;
}

void eng_options_free(struct eng_options *o)
{
    drop_stops(o);
    json_decref(o->warnings);
    o->warnings = NULL;
}

static int add_stop(struct eng_options *o, const json_t *v, struct err *e)
{
    if (!json_is_string(v))
        return err_set(e, ERR_INPUT, "option \"stop\" must be of an array of strings");
    const size_t n = json_string_length(v);
    if (!n)
        return 0; /* an empty stop string would end everything: the reference never meets it */
    if (o->n_stops == OPT_MAX_STOPS)
        return err_set(e, ERR_LIMIT, "option \"stop\" has more than %d strings", OPT_MAX_STOPS);
    if (n > OPT_STOP_BYTES)
        return err_set(e, ERR_LIMIT, "option \"stop\" has a string of more than %d bytes",
                       OPT_STOP_BYTES);
    if (memchr(json_string_value(v), 0, n))
        return err_set(e, ERR_INPUT, "option \"stop\" has a string with a NUL character");
    char *s = strdup(json_string_value(v));
    if (!s)
        return err_set(e, ERR_MEMORY, "no memory for options");
    o->stops[o->n_stops++] = s;
    return 0;
}

static int set_stops(struct eng_options *o, const json_t *v, struct err *e)
{
    if (!json_is_array(v) && !json_is_string(v))
        return err_set(e, ERR_INPUT, "option \"stop\" must be of type array");
    drop_stops(o);
    if (json_is_string(v))
        return add_stop(o, v, e);
    size_t i;
    const json_t *item;
    json_array_foreach (v, i, item)
        if (add_stop(o, item, e))
            return -1;
    return 0;
}

static int set_kv(struct eng_options *o, const json_t *v, struct err *e)
{
    enum eng_kv kv;
    if (!json_is_string(v))
        return err_set(e, ERR_INPUT, "option \"kv_type\" must be of type string");
    if (eng_kv_of(json_string_value(v), &kv))
        return err_set(e, ERR_INPUT, "option \"kv_type\" is \"%.40s\", it must be f16, f32, q8_0 or q4_0",
                       json_string_value(v));
    o->kv_type = (int32_t)kv;
    return 0;
}

static int set_number(struct eng_options *o, const struct option_row *r, const json_t *v,
                      struct err *e)
{
    const bool whole = r->kind != REAL;
    if (!json_is_number(v))
        return err_set(e, ERR_INPUT, "option \"%s\" must be of type %s", r->name,
                       whole ? "integer" : "float32");
    if (r->kind == INT_IGNORED)
        return 0;
    double x = json_number_value(v);
    if (whole)
        x = trunc(x);
    /* A negative temperature is greedy, a huge window is the whole: meanings, not mistakes. */
    if (r->offset == AT(temperature) && x < 0)
        x = 0;
    const bool fits = r->kind == SEED && json_is_integer(v);
    if (!fits && !(x >= r->lo && x <= r->hi))
        return err_set(e, ERR_INPUT, "option \"%s\" is %g, it must be from %g to %g", r->name, x,
                       r->lo, r->hi);
    char *field = (char *)o + r->offset;
    if (r->kind == SEED)
        *(int64_t *)(void *)field = json_is_integer(v) ? json_integer_value(v) : (int64_t)x;
    else if (r->kind == INT)
        *(int32_t *)(void *)field = (int32_t)x;
    else
        *(float *)(void *)field = (float)x;
    return 0;
}

static int warn_unknown(struct eng_options *o, const char *key, struct err *e)
{
    char text[160];
    snprintf(text, sizeof text, "unknown option \"%.100s\" was ignored", key);
    if (!o->warnings)
        o->warnings = json_array();
    if (!o->warnings)
        return err_set(e, ERR_MEMORY, "no memory for options");
    if (json_array_size(o->warnings) < 16) { /* a reply names some, not thousands */
        json_t *s = json_string(text);
        if (s) /* a key cut inside a character has no JSON form: it is only logged */
            json_array_append_new(o->warnings, s);
    }
    log_line(LOG_WARN, "unknown option \"%.100s\" in a request was ignored", key);
    return 0;
}

int eng_options_apply(struct eng_options *o, const json_t *obj, struct err *e)
{
    if (!obj || json_is_null(obj))
        return 0;
    if (!json_is_object(obj))
        return err_set(e, ERR_INPUT, "options must be an object");
    const char *key;
    json_t *v;
    json_object_foreach ((json_t *)(uintptr_t)obj, key, v) {
        if (json_is_null(v))
            continue;
        const struct option_row *r = NULL;
        for (size_t i = 0; i < sizeof rows / sizeof rows[0] && !r; i++)
            if (!strcmp(rows[i].name, key))
                r = &rows[i];
        int rc = 0;
        if (!r)
            rc = warn_unknown(o, key, e);
        else if (r->kind == STOP)
            rc = set_stops(o, v, e);
        else if (r->kind == BOOL && !json_is_boolean(v))
            rc = err_set(e, ERR_INPUT, "option \"%s\" must be of type boolean", key);
        else if (r->kind == KV)
            rc = set_kv(o, v, e);
        else if (r->kind == BOOL)
            *(int32_t *)(void *)((char *)o + r->offset) = json_is_true(v);
        else if (r->kind == INT || r->kind == REAL || r->kind == SEED || r->kind == INT_IGNORED)
            rc = set_number(o, r, v, e);
        if (rc)
            return -1;
    }
    return 0;
}
