/* http/openai_text.c - the style of POST /v1/completions.
 *
 * Facts: spec/api.md 23.1. The prompt goes through the model's chat template as in the reference,
 * unless the body says "raw": true. `echo` puts the prompt's text in front; the prompt's own
 * log-probabilities are not computed, so the arrays of `logprobs` begin behind it. */
#include "http/openai.h"

#include <string.h>

/* ---- the body ------------------------------------------------------------------------------ */

static int one_text(const json_t *v, const char *where, struct err *e)
{
    if (!json_is_string(v))
        return type_error(v, where, "string", e);
    if (strlen(json_string_value(v)) != json_string_length(v))
        return err_set(e, ERR_INPUT, "field %s holds a NUL character", where);
    return 0;
}

static int parse_prompt(struct ask *a, struct err *e)
{
    const json_t *v = field(a->body, "prompt");
    if (!v)
        return 0;
    if (!json_is_array(v)) {
        if (one_text(v, "prompt", e) != 0)
            return -1;
        a->prompt = json_string_value(v);
        if (!a->prompt[0])
            a->prompt = NULL;
        return 0;
    }
    const size_t n = json_array_size(v);
    if (n > MAX_CHOICES)
        return err_set(e, ERR_LIMIT, "more than %d prompts", MAX_CHOICES);
    for (size_t i = 0; i < n; i++)
        if (one_text(json_array_get(v, i), "prompt", e) != 0)
            return -1;
    a->prompts = n ? v : NULL;
    return 0;
}

static int check_stop(const struct ask *a, struct err *e)
{
    const json_t *v = field(a->body, "stop");
    for (size_t i = 0; json_is_array(v) && i < json_array_size(v); i++) {
        const json_t *one = json_array_get(v, i);
        if (!json_is_string(one))
            return err_set(e, ERR_INPUT, "invalid type for 'stop' field: %s",
                           json_is_number(one)    ? "float64"
                           : json_is_boolean(one) ? "bool"
                           : json_is_array(one)   ? "[]interface {}"
                           : json_is_object(one)  ? "map[string]interface {}"
                                                  : "<nil>");
    }
    return 0;
}

/* A number: so many alternatives of each token. */
static int parse_logprobs(struct ask *a, struct err *e)
{
    json_int_t n = 0;
    if (field_int(a->body, "logprobs", &n, e) != 0)
        return -1;
    if (n < 0 || n > 20)
        return err_set(e, ERR_INPUT, "top_logprobs must be between 0 and 20");
    a->logprobs = field(a->body, "logprobs") != NULL;
    a->top_logprobs = (int)n;
    return 0;
}

static int parse(struct ask *a, struct err *e)
{
    bool echo = false;
    /* Always set, over the Modelfile's, as in the reference. */
    json_t *zeros = json_pack("{s:i, s:i}", "frequency_penalty", 0, "presence_penalty", 0);
    if (!zeros)
        return err_set(e, ERR_MEMORY, "out of memory");
    if (openai_common(a, zeros, e) != 0 || parse_prompt(a, e) != 0 || check_stop(a, e) != 0 ||
        field_string(a->body, "suffix", "suffix", &a->suffix, e) != 0 ||
        field_bool(a->body, "raw", &a->raw, NULL, e) != 0 ||
        field_bool(a->body, "echo", &echo, NULL, e) != 0 || parse_logprobs(a, e) != 0)
        return -1;
    if (a->suffix && !a->suffix[0])
        a->suffix = NULL;
    if (echo)
        a->flags |= OPENAI_ECHO;
    return 0;
}

/* ---- logprobs: four lists side by side ----------------------------------------------------- */

enum { TOKENS, VALUES, TOPS, OFFSETS };

/* Characters of UTF-8: bytes that begin one. */
static size_t n_chars(const char *p, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        k += ((unsigned char)p[i] & 0xC0) != 0x80;
    return k;
}

static void put_lists(struct buf *lists, struct choice *ch, const struct piece *p, size_t n_before)
{
    for (size_t i = 0; i < p->n_logprobs; i++) {
        const struct eng_logprob *l = &p->logprobs[i];
        const char *comma = n_before + i ? "," : "";
        for (int k = 0; k < 4; k++)
            buf_puts(&lists[k], comma);
        print_token(&lists[TOKENS], l);
        print_logprob(&lists[VALUES], l->logprob);
        buf_puts(&lists[TOPS], "{");
        for (size_t k = 0; k < l->n_top; k++) {
            if (k)
                buf_puts(&lists[TOPS], ",");
            print_token(&lists[TOPS], &l->top[k]);
            buf_puts(&lists[TOPS], ":");
            print_logprob(&lists[TOPS], l->top[k].logprob);
        }
        buf_puts(&lists[TOPS], "}");
        buf_printf(&lists[OFFSETS], "%zu", ch->mark);
        ch->mark += n_chars(l->bytes, l->n);
    }
}

static void put_logprobs(struct buf *b, const struct answer *w, const struct buf *lists)
{
    static const char *const names[] = {"{\"tokens\":[", "],\"token_logprobs\":[",
                                        "],\"top_logprobs\":", ",\"text_offset\":["};
    buf_puts(b, ",\"logprobs\":");
    for (int k = 0; k < 4; k++) {
        buf_puts(b, names[k]);
        if (k == TOPS && !w->ask.top_logprobs) {
            buf_puts(b, "null");
            continue;
        }
        if (k == TOPS)
            buf_puts(b, "[");
        buf_add(b, lists[k].p, lists[k].n);
        if (k == TOPS)
            buf_puts(b, "]");
    }
    buf_puts(b, "]}");
}

static void begin_offsets(const struct answer *w, struct choice *ch)
{
    const char *prompt = ask_prompt(&w->ask, ch->index);
    if (!ch->n_pieces && (w->ask.flags & OPENAI_ECHO))
        ch->mark = n_chars(prompt, strlen(prompt));
}

static void keep_logprobs(struct choice *ch, const struct piece *p)
{
    begin_offsets(ch->answer, ch);
    put_lists(ch->logprobs, ch, p, ch->n_logprobs);
}

/* ---- printers ------------------------------------------------------------------------------ */

static void chunk(struct buf *b, struct answer *w, struct choice *ch, const char *text, size_t n,
                  const struct piece *p, bool is_last)
{
    buf_printf(b,
               "data: {\"id\":\"cmpl-%s\",\"object\":\"text_completion\",\"created\":%lld,"
               "\"choices\":[{\"text\":",
               w->id, (long long)w->begun_s);
    print_json_string(b, text ? text : "", n);
    buf_printf(b, ",\"index\":%d,\"finish_reason\":", ch->index);
    if (is_last)
        buf_printf(b, "\"%s\"", openai_reason(ch));
    else
        buf_puts(b, "null");
    if (p && p->n_logprobs) {
        struct buf lists[4] = {{0}};
        put_lists(lists, ch, p, 0);
        put_logprobs(b, w, lists);
        for (int k = 0; k < 4; k++) {
            b->failed = b->failed || lists[k].failed;
            buf_free(&lists[k]);
        }
    }
    buf_printf(b, "}],\"model\":%s,\"system_fingerprint\":\"fp_ollama\"", w->model);
    if (w->ask.flags & OPENAI_USAGE)
        buf_puts(b, ",\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0,"
                    "\"total_tokens\":0}");
    else if (is_last && w->n_ended == w->n_choices)
        openai_remarks(b, w);
    buf_puts(b, "}\n\n");
}

static void print_begin(struct answer *w, struct choice *ch, struct buf *b)
{
    const char *prompt = ask_prompt(&w->ask, ch->index);
    begin_offsets(w, ch);
    if ((w->ask.flags & OPENAI_ECHO) && prompt[0])
        chunk(b, w, ch, prompt, strlen(prompt), NULL, false);
}

static void print_piece(struct answer *w, struct choice *ch, const struct piece *p, struct buf *b)
{
    if (p->n || p->n_logprobs)
        chunk(b, w, ch, p->text, p->n, p, false);
}

static void print_end(struct answer *w, struct choice *ch, struct buf *b)
{
    chunk(b, w, ch, "", 0, NULL, true);
}

static void print_finish(struct answer *w, struct buf *b)
{
    if (w->ask.flags & OPENAI_USAGE) {
        buf_printf(b,
                   "data: {\"id\":\"cmpl-%s\",\"object\":\"text_completion\",\"created\":%lld,"
                   "\"choices\":[],\"model\":%s,\"system_fingerprint\":\"fp_ollama\"",
                   w->id, (long long)w->begun_s, w->model);
        openai_usage(b, w);
        openai_remarks(b, w);
        buf_puts(b, "}\n\n");
    }
    openai_done(w, b);
}

static void put_choice(struct buf *b, const struct answer *w, const struct choice *ch)
{
    struct buf text = {0};
    if (w->ask.flags & OPENAI_ECHO)
        buf_puts(&text, ask_prompt(&w->ask, ch->index));
    buf_add(&text, ch->text.p, ch->text.n);
    buf_puts(b, "{\"text\":");
    print_json_string(b, text.p ? text.p : "", text.n);
    buf_printf(b, ",\"index\":%d,\"finish_reason\":\"%s\"", ch->index, openai_reason(ch));
    if (ch->n_logprobs)
        put_logprobs(b, w, ch->logprobs);
    buf_puts(b, "}");
    b->failed = b->failed || text.failed;
    buf_free(&text);
}

static void print_whole(struct answer *w, struct buf *b)
{
    buf_printf(b,
               "{\"id\":\"cmpl-%s\",\"object\":\"text_completion\",\"created\":%lld,"
               "\"model\":%s,\"system_fingerprint\":\"fp_ollama\",\"choices\":[",
               w->id, (long long)w->begun_s, w->model);
    for (int i = 0; i < w->n_choices; i++) {
        if (i)
            buf_puts(b, ",");
        put_choice(b, w, &w->choices[i]);
    }
    buf_puts(b, "]");
    openai_usage(b, w);
    openai_debug(b, w);
    openai_remarks(b, w);
    buf_puts(b, "}");
}

const struct style style_openai_text = {
    .shape = &shape_openai,
    .stream_type = type_sse,
    .parse = parse,
    .begin = print_begin,
    .piece = print_piece,
    .end = print_end,
    .finish = print_finish,
    .whole = print_whole,
    .keep_logprobs = keep_logprobs,
};
