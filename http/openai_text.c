/* http/openai_text.c - the style of POST /v1/completions.
 *
 * Facts: spec/api.md 23.1. The prompt goes through the model's chat template as in the reference,
 * unless the body says "raw": true. `echo` puts the prompt's text in front, and its tokens in front of
 * the arrays of `logprobs`: those of the client's text, wherever the template put it. What is known
 * of a first token is null. */
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
    const json_t *top_p = field(a->body, "top_p"), *own = field(a->body, "options");
    if (top_p && json_number_value(top_p) == 0 && !json_object_get(own, "top_p"))
        json_object_del(zeros, "top_p"); /* counts as absent */
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

/* One token; `t` begins at character ch->mark. Without a value it is the first of a prompt. */
static void put_token(struct buf *lists, struct choice *ch, const struct eng_logprob *t,
                      bool has_value, bool is_first)
{
    for (int k = 0; k < 4 && !is_first; k++)
        buf_puts(&lists[k], ",");
    buf_printf(&lists[OFFSETS], "%zu", ch->mark);
    ch->mark += n_chars(t->bytes, t->n);
    print_token(&lists[TOKENS], t);
    if (!has_value) {
        buf_puts(&lists[VALUES], "null");
        buf_puts(&lists[TOPS], "null");
        return;
    }
    print_logprob(&lists[VALUES], t->logprob);
    buf_puts(&lists[TOPS], "{");
    for (size_t k = 0; k < t->n_top; k++) {
        if (k)
            buf_puts(&lists[TOPS], ",");
        print_token(&lists[TOPS], &t->top[k]);
        buf_puts(&lists[TOPS], ":");
        print_logprob(&lists[TOPS], t->top[k].logprob);
    }
    buf_puts(&lists[TOPS], "}");
}

static void put_lists(struct buf *lists, struct choice *ch, const struct piece *p, size_t n_before)
{
    for (size_t i = 0; i < p->n_logprobs; i++)
        put_token(lists, ch, &p->logprobs[i], true, n_before + i == 0);
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

/* The tokens that hold the client's text: its last place in the prompt as the model read it. One that
 * it only begins or ends in counts too. */
static void keep_prompt(struct choice *ch, const struct eng_piece *p)
{
    const char *prompt = ask_prompt(&ch->answer->ask, ch->index);
    const size_t n = strlen(prompt);
    struct buf all = {0};
    buf_add(&all, p->text, p->n);
    for (size_t i = 0; i < p->n_logprobs; i++)
        buf_add(&all, p->logprobs[i].bytes, p->logprobs[i].n);
    size_t from = all.n >= n ? all.n - n + 1 : 0;
    while (from > 0 && memcmp(all.p + from - 1, prompt, n) != 0)
        from--;
    ch->logprobs[TOKENS].failed |= all.failed;
    buf_free(&all);
    if (!n || !from--)
        return; /* it is not there as it was sent: nothing is said of it */
    const struct eng_logprob first = {.bytes = p->text, .n = p->n};
    size_t at = 0;
    for (size_t i = 0; i <= p->n_logprobs; i++) {
        const struct eng_logprob *t = i ? &p->logprobs[i - 1] : &first;
        const size_t end = at + t->n;
        if (end > from && at < from + n) {
            put_token(ch->logprobs, ch, t, ch->n_logprobs > 0, ch->n_logprobs == 0);
            if (at < from) /* what is before the text has no place in it */
                ch->mark -= n_chars(t->bytes, from - at);
            ch->n_logprobs++;
        }
        at = end;
    }
}

/* ---- printers ------------------------------------------------------------------------------ */

static void chunk(struct buf *b, struct answer *w, struct choice *ch, const char *text, size_t n,
                  const struct buf *lists, bool is_last)
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
    if (lists)
        put_logprobs(b, w, lists);
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
        chunk(b, w, ch, prompt, strlen(prompt), ch->n_logprobs ? ch->logprobs : NULL, false);
}

static void print_piece(struct answer *w, struct choice *ch, const struct piece *p, struct buf *b)
{
    struct buf lists[4] = {{0}};
    if (!p->n && !p->n_logprobs)
        return;
    put_lists(lists, ch, p, 0);
    chunk(b, w, ch, p->text, p->n, p->n_logprobs ? lists : NULL, false);
    for (int k = 0; k < 4; k++) {
        b->failed = b->failed || lists[k].failed;
        buf_free(&lists[k]);
    }
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
    .keep_prompt = keep_prompt,
    .keep_logprobs = keep_logprobs,
};
