/* http/embed.c - POST /api/embed, /api/embeddings (the old one) and /v1/embeddings.
 *
 * Facts: spec/api.md 15, 23.2, 3, 29.2; decisions.md 29. The three differ in what they read and in
 * how they print; the way between is one: find the model, submit one job with all texts, print the
 * vectors when it ends. */
#include "http/inside.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_INPUTS = 2048 };

enum style { EMBED, EMBEDDINGS, OPENAI };

struct embed { /* the call's state */
    enum style style;
    json_t *body; /* until the job is submitted; the inputs' texts are in it */
    const char *name;
    char *model; /* the name as sent, as JSON text with its quotes */
    struct eng_input *inputs;
    size_t n_inputs;
    tok_id *ids; /* of all inputs that are lists of tokens */
    size_t n_ids;
    bool truncate, base64;
    json_int_t dimensions;
    const json_t *options;
    bool has_keep_alive;
    int64_t keep_alive_ns;
    int64_t submitted_ns;
};

static void embed_free(void *state)
{
    struct embed *a = state;
    json_decref(a->body);
    free(a->model);
    free(a->inputs);
    free(a->ids);
    free(a);
}

/* ---- the body ------------------------------------------------------------------------------ */

static bool is_token_list(const json_t *v)
{
    if (!json_is_array(v) || !json_array_size(v))
        return false;
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *id = json_array_get(v, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) > INT32_MAX)
            return false;
    }
    return true;
}

static int bad_type(struct err *e)
{
    return err_set(e, ERR_INPUT, "invalid input type");
}

/* One text or list of tokens more; there is room for it. */
static int add_input(struct embed *a, const json_t *v, struct err *e)
{
    struct eng_input *in = &a->inputs[a->n_inputs];
    if (json_is_string(v)) {
        *in = (struct eng_input){.p = json_string_value(v), .n = json_string_length(v)};
    } else if (a->style == OPENAI && is_token_list(v)) {
        *in = (struct eng_input){.ids = a->ids + a->n_ids, .n = json_array_size(v)};
        for (size_t i = 0; i < in->n; i++)
            a->ids[a->n_ids++] = (tok_id)json_integer_value(json_array_get(v, i));
    } else {
        return bad_type(e);
    }
    a->n_inputs++;
    return 0;
}

static int read_inputs(struct embed *a, const json_t *v, struct err *e)
{
    if (v && !json_is_string(v) && !json_is_array(v))
        return bad_type(e);
    const bool list = json_is_array(v) && !(a->style == OPENAI && is_token_list(v));
    const size_t n = list ? json_array_size(v) : 1;
    size_t n_ids = list || !v ? 0 : json_array_size(v);
    for (size_t i = 0; list && i < n; i++)
        n_ids += json_array_size(json_array_get(v, i));
    if (n > MAX_INPUTS)
        return err_set(e, ERR_LIMIT, "too many inputs: %zu, at most %d are allowed", n,
                       (int)MAX_INPUTS);
    a->inputs = calloc(n ? n : 1, sizeof *a->inputs);
    a->ids = calloc(n_ids ? n_ids : 1, sizeof *a->ids);
    if (!a->inputs || !a->ids)
        return err_set(e, ERR_MEMORY, "out of memory");
    if (!v)
        return 0;
    if (!list)
        return add_input(a, v, e);
    for (size_t i = 0; i < n; i++)
        if (add_input(a, json_array_get(v, i), e) != 0)
            return -1;
    return 0;
}

static int read_format(struct embed *a, struct err *e)
{
    const char *format = NULL;
    if (field_string(a->body, "encoding_format", "encoding_format", &format, e) != 0)
        return -1;
    a->base64 = format && strcasecmp(format, "base64") == 0;
    if (format && format[0] && !a->base64 && strcasecmp(format, "float") != 0)
        return err_set(e, ERR_INPUT,
                       "Invalid value for 'encoding_format' = %.64s. Supported values: "
                       "['float', 'base64'].",
                       format);
    return 0;
}

/* The fields of right types; what they say is checked in the reference's order later. */
static int read_fields(struct embed *a, struct err *e)
{
    json_t *options = NULL;
    const json_t *keep;
    if (field_string(a->body, "model", "model", &a->name, e) != 0 ||
        field_int(a->body, "dimensions", &a->dimensions, e) != 0)
        return -1;
    if (a->style == OPENAI) {
        const json_t *in = field(a->body, "input");
        if (read_format(a, e) != 0)
            return -1;
        return !in || (json_is_array(in) && !json_array_size(in))
                   ? err_set(e, ERR_INPUT, "invalid input")
                   : 0;
    }
    keep = field(a->body, "keep_alive");
    if (keep) {
        a->has_keep_alive = true;
        if (http_keep_alive(keep, &a->keep_alive_ns, e) != 0)
            return -1;
    }
    if (field_object(a->body, "options", &options, e) != 0)
        return -1;
    a->options = options;
    if (a->style == EMBED)
        return field_bool(a->body, "truncate", &a->truncate, NULL, e);
    const json_t *prompt = field(a->body, "prompt");
    return !prompt || json_is_string(prompt) ? 0 : type_error(prompt, "prompt", "string", e);
}

static int check_inputs(struct embed *a, struct err *e)
{
    const json_t *v = field(a->body, a->style == EMBEDDINGS ? "prompt" : "input");
    /* An empty text alone means: load the model. Not so for OpenAI's clients, nor in a list. */
    if (a->style != OPENAI && json_is_string(v) && !json_string_length(v))
        v = NULL;
    return read_inputs(a, v, e);
}

/* ---- printing: the engine's thread --------------------------------------------------------- */

static void put_vector(struct buf *b, const float *v, int32_t n, bool wide)
{
    buf_puts(b, "[");
    for (int32_t i = 0; i < n; i++) {
        if (i)
            buf_puts(b, ",");
        if (wide)
            print_wide(b, (double)v[i]);
        else
            print_float(b, v[i]);
    }
    buf_puts(b, "]");
}

/* The bytes of the floats, little end first. */
static void put_base64(struct buf *b, const float *v, int32_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const size_t n_bytes = (size_t)n * 4;
    buf_puts(b, "\"");
    for (size_t i = 0; i < n_bytes; i += 3) {
        uint32_t three = 0;
        for (size_t k = 0; k < 3; k++) {
            uint32_t bits = 0;
            if (i + k < n_bytes)
                memcpy(&bits, &v[(i + k) / 4], 4);
            three = three << 8 | (bits >> 8 * ((i + k) % 4) & 0xff);
        }
        char four[4];
        for (int k = 0; k < 4; k++)
            four[k] = digits[three >> (18 - 6 * k) & 63];
        if (i + 1 >= n_bytes)
            four[2] = '=';
        if (i + 2 >= n_bytes)
            four[3] = '=';
        buf_add(b, four, 4);
    }
    buf_puts(b, "\"");
}

static void put_remarks(struct buf *b, const struct eng_stats *s)
{
    if (s->prompt_truncated > 0)
        buf_printf(b, ",\"prompt_truncated\":%d", (int)s->prompt_truncated);
    if (json_array_size(s->warnings)) {
        buf_puts(b, ",\"warnings\":");
        http_print_json(b, s->warnings);
    }
}

static void put_embed(struct buf *b, const struct call *c, const struct embed *a,
                      const struct eng_stats *s)
{
    buf_printf(b, "{\"model\":%s,\"embeddings\":[", a->model);
    for (size_t i = 0; i < s->n_vectors; i++) {
        if (i)
            buf_puts(b, ",");
        put_vector(b, s->vectors + i * (size_t)s->n_dims, s->n_dims, false);
    }
    buf_printf(b, "],\"total_duration\":%lld,\"load_duration\":%lld,\"prompt_eval_count\":%d",
               (long long)(time_mono_ns() - c->begun_ns),
               (long long)(a->submitted_ns - c->begun_ns + s->load_ns), (int)s->prompt_count);
    put_remarks(b, s);
    buf_puts(b, "}");
}

static void put_openai(struct buf *b, const struct embed *a, const struct eng_stats *s)
{
    buf_puts(b, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < s->n_vectors; i++) {
        const float *v = s->vectors + i * (size_t)s->n_dims;
        buf_puts(b, i ? ",{\"object\":\"embedding\",\"embedding\":"
                      : "{\"object\":\"embedding\",\"embedding\":");
        if (a->base64)
            put_base64(b, v, s->n_dims);
        else
            put_vector(b, v, s->n_dims, false);
        buf_printf(b, ",\"index\":%zu}", i);
    }
    buf_printf(b, "],\"model\":%s,\"usage\":{\"prompt_tokens\":%d,\"total_tokens\":%d}", a->model,
               (int)s->prompt_count, (int)s->prompt_count);
    put_remarks(b, s);
    buf_puts(b, "}");
}

static void on_done(void *arg, const struct eng_stats *s)
{
    struct call *c = arg;
    struct embed *a = c->state;
    struct buf b = {0};
    if (s->prompt_truncated > 0)
        log_line(LOG_WARN, "%s: texts were too long, %d tokens of them were dropped", c->who,
                 (int)s->prompt_truncated);
    if (a->style == EMBED) {
        put_embed(&b, c, a, s);
    } else if (a->style == OPENAI) {
        put_openai(&b, a, s);
    } else {
        buf_puts(&b, "{\"embedding\":");
        put_vector(&b, s->vectors, s->n_vectors ? s->n_dims : 0, true);
        buf_puts(&b, "}");
    }
    buf_puts(&b, c->shape->end);
    if (b.failed)
        call_fail_status(c, 500, "out of memory");
    else
        call_answer(c, 200, c->shape->type, b.p, b.n);
    buf_free(&b);
    call_unref(c);
}

static void on_fail(void *arg, const struct err *e)
{
    struct call *c = arg;
    const struct embed *a = c->state;
    if (a->style == EMBEDDINGS && (e->code == ERR_INPUT || e->code == ERR_LIMIT))
        call_fail_status(c, 500, "%s", e->text); /* the old route knows no fault of the client's */
    else
        call_fail(c, e);
    call_unref(c);
}

/* ---- the handler: a worker ----------------------------------------------------------------- */

static int submit(struct call *c, struct embed *a, const struct store_model *m, struct err *e)
{
    struct eng_options options;
    struct eng_job *job = NULL;
    int rc = -1;
    eng_options_init(&options);
    if ((m->params && eng_options_apply(&options, m->params, e) != 0) ||
        (a->options && eng_options_apply(&options, a->options, e) != 0))
        goto done;
    const struct eng_request r = {
        .kind = a->n_inputs ? ENG_EMBED : ENG_LOAD,
        .model = m,
        .options = &options,
        .inputs = a->inputs,
        .n_inputs = a->n_inputs,
        .dimensions = a->dimensions > 0 && a->dimensions < INT32_MAX ? (int32_t)a->dimensions : 0,
        .as_stored = a->style == EMBEDDINGS,
        .no_truncate = !a->truncate,
        .has_keep_alive = a->has_keep_alive,
        .keep_alive_ns = a->keep_alive_ns,
    };
    const struct eng_sink sink = {.arg = c, .done = on_done, .fail = on_fail};
    a->submitted_ns = time_mono_ns();
    call_ref(c); /* the sink's, until done or fail */
    rc = eng_submit(c->srv->cfg.eng, &r, &sink, &job, e);
    if (rc != 0)
        call_unref(c);
    else
        call_add_job(c, job);
done:
    eng_options_free(&options);
    return rc;
}

static void answer(struct call *c, enum style style)
{
    struct err e = {0};
    struct buf name = {0};
    struct embed *a = calloc(1, sizeof *a);
    if (!a) {
        call_fail_status(c, 500, "out of memory");
        return;
    }
    c->state = a;
    c->free_state = embed_free;
    a->style = style;
    a->truncate = style != EMBEDDINGS;
    a->body = body_parse(c->body, c->n_body, &e);
    free(c->body);
    c->body = NULL;
    if (!a->body || read_fields(a, &e) != 0) {
        call_fail(c, &e);
        return;
    }
    if (!a->name || !a->name[0]) {
        if (style == EMBEDDINGS)
            call_fail_status(c, 400, "model is required");
        else
            call_fail_status(c, 404, "model '' not found");
        return;
    }
    if (check_inputs(a, &e) != 0) {
        call_fail(c, &e);
        return;
    }
    print_json_string(&name, a->name, strlen(a->name));
    a->model = name.p;
    if (name.failed) {
        call_fail_status(c, 500, "out of memory");
        return;
    }
    struct store_model *m = model_find(c, a->name, NAME_TO_PULL);
    if (!m)
        return;
    if (submit(c, a, m, &e) != 0)
        call_fail(c, &e);
    store_model_free(m);
}

void on_embed(struct call *c)
{
    answer(c, EMBED);
}

void on_embeddings(struct call *c)
{
    answer(c, EMBEDDINGS);
}

void on_openai_embeddings(struct call *c)
{
    answer(c, OPENAI);
}
