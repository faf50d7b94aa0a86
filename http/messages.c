/* http/messages.c - the Anthropic style: POST /v1/messages and /v1/messages/count_tokens.
 *
 * Facts: spec/api.md 7.2, 9.5, 25.3 to 25.7, 29.2; clients.md 5. The client tells events apart by
 * their `event:` line. The stream opens when the prompt is laid out, so that message_start has the
 * true number of its tokens. One content block is open at a time: thinking, then text, then tools.
 */
#include "http/messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum open_block { OPEN_NONE, OPEN_TEXT, OPEN_THINKING };

struct own {     /* the state of an answer */
    char id[29]; /* "msg_" and 24 hex digits */
    int n_blocks;
    enum open_block open;
    bool said, called; /* text, a tool's call: thinking that comes later is dropped */
};

/* ---- errors ---------------------------------------------------------------------------------- */

/* The value of the answer's header `request-id`, which the body repeats. */
static const char *request_id(const struct call *c)
{
    for (int i = 0; c && i < c->n_headers; i++)
        if (strcmp(c->names[i], "request-id") == 0)
            return c->values[i];
    return NULL;
}

static void anthropic_opened(struct call *c)
{
    char id[29] = "req_";
    random_hex(id + 4, 24);
    call_header(c, "request-id", id);
}

static const char *kind_of(int status)
{
    static const struct {
        int status;
        const char *kind;
    } kinds[] = {
        {400, "invalid_request_error"}, {401, "authentication_error"},  {403, "permission_error"},
        {404, "not_found_error"},       {405, "invalid_request_error"}, {413, "request_too_large"},
        {429, "rate_limit_error"},      {503, "overloaded_error"},      {529, "overloaded_error"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].status == status)
            return kinds[i].kind;
    return "api_error";
}

static void anthropic_error(const struct call *c, struct buf *b, int status, enum err_code code,
                            const char *text)
{
    const char *id = request_id(c);
    unsigned long long n = 0, max = 0;
    buf_printf(b, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":", kind_of(status));
    /* On the first words Claude Code makes its history shorter and tries again. */
    if (sscanf(text, "request (%llu tokens) exceeds the available context size (%llu tokens)", &n,
               &max) == 2) {
        struct buf all = {0};
        buf_printf(&all, "prompt is too long: %llu tokens > %llu maximum (%s)", n, max, text);
        print_json_string(b, all.p ? all.p : "", all.n);
        b->failed = b->failed || all.failed;
        buf_free(&all);
    } else {
        print_json_string(b, text, strlen(text));
    }
    buf_puts(b, "}");
    if (id) {
        buf_puts(b, ",\"request_id\":");
        print_json_string(b, id, strlen(id));
    }
    buf_puts(b, "}");
}

static void anthropic_stream_error(const struct call *c, struct buf *b, int status,
                                   enum err_code code, const char *text)
{
    buf_puts(b, "event: error\ndata: ");
    anthropic_error(c, b, status, code, text);
    buf_puts(b, "\n\n");
}

const struct shape shape_anthropic = {
    .type = type_json_plain,
    .end = "\n",
    .unsupported_is_400 = true,
    .opened = anthropic_opened,
    .error = anthropic_error,
    .stream_error = anthropic_stream_error,
};

/* ---- what both forms share ------------------------------------------------------------------- */

static int prepare(struct answer *w, struct err *e)
{
    struct own *o = calloc(1, sizeof *o);
    if (!o)
        return err_set(e, ERR_MEMORY, "out of memory");
    memcpy(o->id, "msg_", 4);
    random_hex(o->id + 4, 24);
    w->own = o;
    return 0;
}

/* "usage":{...}: what came from the cache is counted apart from the rest of the input. */
static void put_usage(struct buf *b, const struct eng_stats *s)
{
    buf_printf(b,
               "\"usage\":{\"input_tokens\":%d,\"cache_creation_input_tokens\":0,"
               "\"cache_read_input_tokens\":%d,\"output_tokens\":%d}",
               (int)(s->prompt_count - s->prompt_cached), (int)s->prompt_cached,
               (int)s->eval_count);
}

/* "stop_reason":R,"stop_sequence":S of an answer that ended. */
static void put_stop(struct buf *b, const struct answer *w, const struct choice *ch, bool called)
{
    const char *stop = w->last ? w->last->stop : NULL;
    const char *reason = called              ? "tool_use"
                         : choice_is_cut(ch) ? "max_tokens"
                         : stop              ? "stop_sequence"
                                             : "end_turn";
    buf_printf(b, "\"stop_reason\":\"%s\",\"stop_sequence\":", reason);
    if (stop && strcmp(reason, "stop_sequence") == 0)
        print_json_string(b, stop, strlen(stop));
    else
        buf_puts(b, "null");
}

static void put_call(struct buf *b, const json_t *call, bool with_input)
{
    const json_t *f = json_object_get(call, "function");
    const char *id = json_string_value(json_object_get(call, "id"));
    const char *name = json_string_value(json_object_get(f, "name"));
    buf_puts(b, "{\"type\":\"tool_use\",\"id\":");
    print_json_string(b, id ? id : "", id ? strlen(id) : 0);
    buf_puts(b, ",\"name\":");
    print_json_string(b, name ? name : "", name ? strlen(name) : 0);
    buf_puts(b, ",\"input\":");
    if (with_input)
        http_print_json(b, json_object_get(f, "arguments"));
    else
        buf_puts(b, "{}");
    buf_puts(b, "}");
}

/* ---- not streamed ---------------------------------------------------------------------------- */

static void print_whole(struct answer *w, struct buf *b)
{
    const struct own *o = w->own;
    const struct choice *ch = &w->choices[0];
    const struct eng_stats nothing = {0};
    const char *between = "";
    buf_printf(b, "{\"id\":\"%s\",\"type\":\"message\",\"role\":\"assistant\",\"model\":%s,", o->id,
               w->model);
    buf_puts(b, "\"content\":[");
    if (ch->thinking.n) {
        buf_puts(b, "{\"type\":\"thinking\",\"thinking\":");
        print_json_string(b, ch->thinking.p, ch->thinking.n);
        buf_puts(b, ",\"signature\":\"\"}");
        between = ",";
    }
    if (ch->text.n) {
        buf_printf(b, "%s{\"type\":\"text\",\"text\":", between);
        print_json_string(b, ch->text.p, ch->text.n);
        buf_puts(b, "}");
        between = ",";
    }
    for (size_t i = 0; i < json_array_size(ch->calls); i++) {
        buf_puts(b, between);
        put_call(b, json_array_get(ch->calls, i), true);
        between = ",";
    }
    buf_puts(b, "],");
    put_stop(b, w, ch, json_array_size(ch->calls) > 0);
    buf_puts(b, ",");
    put_usage(b, w->last ? w->last : &nothing);
    buf_puts(b, "}");
    answer_remark_headers(w);
}

/* ---- the stream ------------------------------------------------------------------------------ */

static void event(struct buf *b, const char *name)
{
    buf_printf(b, "event: %s\ndata: {\"type\":\"%s\"", name, name);
}

static void print_begin(struct answer *w, struct choice *ch, struct buf *b)
{
    const struct own *o = w->own;
    event(b, "message_start");
    buf_printf(b,
               ",\"message\":{\"id\":\"%s\",\"type\":\"message\",\"role\":\"assistant\","
               "\"model\":%s,\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,",
               o->id, w->model);
    struct eng_stats s = ch->stats;
    s.eval_count = 0;
    put_usage(b, &s);
    buf_puts(b, "}}\n\n");
}

static void close_block(struct own *o, struct buf *b)
{
    if (o->open == OPEN_NONE)
        return;
    event(b, "content_block_stop");
    buf_printf(b, ",\"index\":%d}\n\n", o->n_blocks - 1);
    o->open = OPEN_NONE;
}

static void open_block(struct own *o, enum open_block what, struct buf *b)
{
    if (o->open == what)
        return;
    close_block(o, b);
    event(b, "content_block_start");
    buf_printf(b, ",\"index\":%d,\"content_block\":%s}\n\n", o->n_blocks++,
               what == OPEN_TEXT ? "{\"type\":\"text\",\"text\":\"\"}"
                                 : "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}");
    o->open = what;
}

static void delta(const struct own *o, const char *kind, const char *key, const char *p, size_t n,
                  struct buf *b)
{
    event(b, "content_block_delta");
    buf_printf(b, ",\"index\":%d,\"delta\":{\"type\":\"%s\",\"%s\":", o->n_blocks - 1, kind, key);
    print_json_string(b, p, n);
    buf_puts(b, "}}\n\n");
}

static void whole_call(struct own *o, const json_t *call, struct buf *b)
{
    struct buf input = {0};
    close_block(o, b);
    event(b, "content_block_start");
    buf_printf(b, ",\"index\":%d,\"content_block\":", o->n_blocks++);
    put_call(b, call, false);
    buf_puts(b, "}\n\n");
    http_print_json(&input, json_object_get(json_object_get(call, "function"), "arguments"));
    delta(o, "input_json_delta", "partial_json", input.p ? input.p : "", input.n, b);
    b->failed = b->failed || input.failed;
    buf_free(&input);
    event(b, "content_block_stop");
    buf_printf(b, ",\"index\":%d}\n\n", o->n_blocks - 1);
}

static void print_piece(struct answer *w, struct choice *ch, const struct piece *p, struct buf *b)
{
    struct own *o = w->own;
    if (p->n_thinking && !o->said && !o->called) {
        open_block(o, OPEN_THINKING, b);
        delta(o, "thinking_delta", "thinking", p->thinking, p->n_thinking, b);
    }
    if (p->n) {
        open_block(o, OPEN_TEXT, b);
        delta(o, "text_delta", "text", p->text, p->n, b);
        o->said = true;
    }
    for (size_t i = 0; i < json_array_size(p->calls); i++) {
        whole_call(o, json_array_get(p->calls, i), b);
        o->called = true;
    }
}

static void print_end(struct answer *w, struct choice *ch, struct buf *b)
{
    struct own *o = w->own;
    close_block(o, b);
    event(b, "message_delta");
    buf_puts(b, ",\"delta\":{");
    put_stop(b, w, ch, o->called);
    buf_puts(b, "},");
    put_usage(b, &ch->stats);
    buf_puts(b, "}\n\n");
    event(b, "message_stop");
    buf_puts(b, "}\n\n");
}

const struct style style_messages = {
    .shape = &shape_anthropic,
    .stream_type = type_sse,
    .opens_early = true,
    .no_cache = true,
    .sign_of_life = "event: ping\ndata: {\"type\":\"ping\"}\n\n",
    .parse = messages_parse,
    .prepare = prepare,
    .begin = print_begin,
    .piece = print_piece,
    .end = print_end,
    .whole = print_whole,
};

/* ---- counting -------------------------------------------------------------------------------- */

/* Never run: its parser and shape serve count_tokens. */
const struct style style_count_tokens = {
    .shape = &shape_anthropic,
    .stream_type = type_sse,
    .parse = messages_parse_count,
};
