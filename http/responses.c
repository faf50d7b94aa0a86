/* http/responses.c - the objects and events of POST /v1/responses.
 *
 * Facts: spec/api.md 7.2, 24.2, 24.3, 29.2; clients.md 4. Output items in their order: what was
 * thought, the text, calls of tools; text behind the first call is dropped. An answer that the
 * limit cut says `incomplete`, but ends with the event that the clients wait for. */
#include "http/responses.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum open_item { OPEN_NONE, OPEN_REASONING, OPEN_MESSAGE };

struct own { /* the state of a stream */
    char message_id[29];
    int seq, n_items, n_calls;
    enum open_item open;
    bool has_message;
    size_t n_thought; /* bytes of the thinking that went out; later thinking is dropped */
};

/* ---- items ----------------------------------------------------------------------------------- */

static void put_text(struct buf *b, const char *key, const char *p, size_t n)
{
    buf_printf(b, ",\"%s\":", key);
    print_json_string(b, p ? p : "", n);
}

/* The text that counts: up to the first call of a tool. */
static size_t text_bytes(const struct choice *ch)
{
    return json_array_size(ch->calls) ? ch->n_text_before_calls : ch->text.n;
}

static size_t thinking_bytes(const struct answer *w, const struct choice *ch)
{
    const struct own *o = w->own;
    return o && o->n_thought ? o->n_thought : ch->thinking.n;
}

static void put_part(struct buf *b, const struct choice *ch)
{
    buf_puts(b, "{\"type\":\"output_text\"");
    put_text(b, "text", ch ? ch->text.p : "", ch ? text_bytes(ch) : 0);
    buf_puts(b, ",\"annotations\":[],\"logprobs\":[");
    if (ch && ch->logprobs[0].n)
        buf_add(b, ch->logprobs[0].p, ch->logprobs[0].n);
    buf_puts(b, "]}");
}

static void put_message(struct buf *b, const struct answer *w, const struct choice *ch,
                        const char *status)
{
    const struct own *o = w->own;
    buf_printf(b,
               "{\"id\":\"%s\",\"type\":\"message\",\"status\":\"%s\",\"role\":\"assistant\","
               "\"content\":[",
               o ? o->message_id : "msg_0", status);
    if (ch)
        put_part(b, ch);
    buf_puts(b, "]}");
}

static void put_reasoning(struct buf *b, const struct answer *w, const struct choice *ch)
{
    buf_printf(b, "{\"id\":\"rs_resp_%s\",\"type\":\"reasoning\",\"summary\":[", w->id);
    if (ch) {
        buf_puts(b, "{\"type\":\"summary_text\"");
        put_text(b, "text", ch->thinking.p, thinking_bytes(w, ch));
        buf_puts(b, "}]");
        put_text(b, "encrypted_content", ch->thinking.p, thinking_bytes(w, ch));
        buf_puts(b, "}");
    } else {
        buf_puts(b, "]}");
    }
}

static void put_arguments(struct buf *b, const char *key, const json_t *call)
{
    struct buf text = {0};
    http_print_json(&text, json_object_get(json_object_get(call, "function"), "arguments"));
    put_text(b, key, text.p, text.n);
    b->failed = b->failed || text.failed;
    buf_free(&text);
}

static void put_call(struct buf *b, const struct answer *w, const json_t *call, size_t i,
                     bool is_whole)
{
    const char *id = json_string_value(json_object_get(call, "id"));
    const char *name =
        json_string_value(json_object_get(json_object_get(call, "function"), "name"));
    buf_printf(b, "{\"id\":\"fc_resp_%s_%zu\",\"type\":\"function_call\",\"status\":\"%s\"", w->id,
               i, is_whole ? "completed" : "in_progress");
    put_text(b, "call_id", id, id ? strlen(id) : 0);
    put_text(b, "name", name, name ? strlen(name) : 0);
    if (is_whole)
        put_arguments(b, "arguments", call);
    else
        put_text(b, "arguments", "", 0);
    buf_puts(b, "}");
}

/* All items. Without any call there is always a message, be it empty. */
static void put_output(struct buf *b, const struct answer *w, const char *status)
{
    const struct choice *ch = &w->choices[0];
    const size_t n_calls = json_array_size(ch->calls);
    const char *between = "";
    if (ch->thinking.n) {
        put_reasoning(b, w, ch);
        between = ",";
    }
    if (text_bytes(ch) || !n_calls) {
        buf_puts(b, between);
        put_message(b, w, ch, status);
        between = ",";
    }
    for (size_t i = 0; i < n_calls; i++) {
        buf_puts(b, between);
        put_call(b, w, json_array_get(ch->calls, i), i, true);
        between = ",";
    }
}

/* ---- the response ---------------------------------------------------------------------------- */

/* ,"key": what the body says, or `other`. */
static void put_sent(struct buf *b, const struct answer *w, const char *key, const char *other)
{
    const json_t *v = field(w->ask.body, key);
    buf_printf(b, ",\"%s\":", key);
    if (v)
        http_print_json(b, v);
    else
        buf_puts(b, other);
}

static void put_number(struct buf *b, const char *key, double v)
{
    buf_printf(b, ",\"%s\":", key);
    print_real(b, v);
}

static void put_usage(struct buf *b, const struct eng_stats *s, int32_t n_thought)
{
    buf_printf(b,
               ",\"usage\":{\"input_tokens\":%d,\"output_tokens\":%d,\"total_tokens\":%d,"
               "\"input_tokens_details\":{\"cached_tokens\":%d},"
               "\"output_tokens_details\":{\"reasoning_tokens\":%d}}",
               (int)s->prompt_count, (int)s->eval_count, (int)(s->prompt_count + s->eval_count),
               (int)s->prompt_cached, (int)n_thought);
}

enum stage { STAGE_BEGUN, STAGE_ENDED, STAGE_FAILED };

static void put_response(struct buf *b, const struct answer *w, enum stage stage, const char *why)
{
    const struct choice *ch = &w->choices[0];
    const struct eng_stats nothing = {0};
    const bool is_cut = stage == STAGE_ENDED && choice_is_cut(ch);
    const json_t *reasoning = field(w->ask.body, "reasoning");
    const char *status = stage == STAGE_BEGUN    ? "in_progress"
                         : stage == STAGE_FAILED ? "failed"
                         : is_cut                ? "incomplete"
                                                 : "completed";
    buf_printf(b,
               "{\"id\":\"resp_%s\",\"object\":\"response\",\"created_at\":%lld,\"completed_at\":",
               w->id, (long long)w->begun_s);
    if (stage == STAGE_ENDED)
        buf_printf(b, "%lld", (long long)(time_real_ns() / 1000000000));
    else
        buf_puts(b, "null");
    buf_printf(b, ",\"status\":\"%s\",\"incomplete_details\":%s,\"model\":%s", status,
               is_cut ? "{\"reason\":\"max_output_tokens\"}" : "null", w->model);
    buf_puts(b, ",\"previous_response_id\":null");
    put_sent(b, w, "instructions", "null");
    buf_puts(b, ",\"output\":[");
    if (stage != STAGE_BEGUN)
        put_output(b, w, stage == STAGE_FAILED || is_cut ? "incomplete" : "completed");
    buf_puts(b, "],\"error\":");
    if (stage == STAGE_FAILED) {
        buf_puts(b, "{\"code\":\"server_error\"");
        put_text(b, "message", why, strlen(why));
        buf_puts(b, "}");
    } else {
        buf_puts(b, "null");
    }
    put_sent(b, w, "tools", "[]");
    put_sent(b, w, "tool_choice", "\"auto\"");
    put_sent(b, w, "truncation", "\"disabled\"");
    put_sent(b, w, "parallel_tool_calls", "true");
    put_sent(b, w, "text", "{\"format\":{\"type\":\"text\"}}");
    put_number(b, "top_p", w->top_p);
    put_number(b, "presence_penalty", w->presence_penalty);
    put_number(b, "frequency_penalty", w->frequency_penalty);
    buf_printf(b, ",\"top_logprobs\":%d", w->ask.top_logprobs);
    put_number(b, "temperature", w->temperature);
    buf_puts(b, ",\"reasoning\":");
    if (reasoning) {
        const char *const keys[] = {"effort", "summary"};
        for (int i = 0; i < 2; i++) {
            const json_t *v = field(reasoning, keys[i]);
            buf_printf(b, i ? ",\"%s\":" : "{\"%s\":", keys[i]);
            if (v)
                http_print_json(b, v);
            else
                buf_puts(b, "null");
        }
        buf_puts(b, "}");
    } else {
        buf_puts(b, "null");
    }
    if (stage == STAGE_ENDED)
        put_usage(b, w->last ? w->last : &nothing, ch->n_thought);
    else
        buf_puts(b, ",\"usage\":null");
    put_sent(b, w, "max_output_tokens", "null");
    buf_puts(b, ",\"max_tool_calls\":null,\"store\":false");
    put_sent(b, w, "background", "false");
    buf_puts(b, ",\"service_tier\":\"default\"");
    put_sent(b, w, "metadata", "{}");
    buf_puts(b, ",\"safety_identifier\":null,\"prompt_cache_key\":null}");
}

static void print_whole(struct answer *w, struct buf *b)
{
    put_response(b, w, STAGE_ENDED, NULL);
    answer_remark_headers(w);
}

/* ---- events ---------------------------------------------------------------------------------- */

static int prepare(struct answer *w, struct err *e)
{
    struct own *o = calloc(1, sizeof *o);
    if (!o)
        return err_set(e, ERR_MEMORY, "out of memory");
    memcpy(o->message_id, "msg_", 4);
    random_id(o->message_id + 4, 24);
    w->own = o;
    return 0;
}

static void event(struct own *o, struct buf *b, const char *name)
{
    buf_printf(b, "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%d", name, name, o->seq++);
}

static void end_event(struct buf *b)
{
    buf_puts(b, "}\n\n");
}

/* An event about the open item; what follows is its own. */
static void item_event(struct answer *w, struct buf *b, const char *name)
{
    struct own *o = w->own;
    event(o, b, name);
    if (o->open == OPEN_MESSAGE)
        buf_printf(b, ",\"item_id\":\"%s\",\"output_index\":%d,\"content_index\":0", o->message_id,
                   o->n_items - 1);
    else
        buf_printf(b, ",\"item_id\":\"rs_resp_%s\",\"output_index\":%d,\"summary_index\":0", w->id,
                   o->n_items - 1);
}

static void print_begin(struct answer *w, struct choice *ch, struct buf *b)
{
    static const char *const names[] = {"response.created", "response.in_progress"};
    for (int i = 0; i < 2; i++) {
        event(w->own, b, names[i]);
        buf_puts(b, ",\"response\":");
        put_response(b, w, STAGE_BEGUN, NULL);
        end_event(b);
    }
}

static void open_reasoning(struct answer *w, struct buf *b)
{
    struct own *o = w->own;
    event(o, b, "response.output_item.added");
    buf_printf(b, ",\"output_index\":%d,\"item\":", o->n_items++);
    put_reasoning(b, w, NULL);
    end_event(b);
    o->open = OPEN_REASONING;
    item_event(w, b, "response.reasoning_summary_part.added");
    buf_puts(b, ",\"part\":{\"type\":\"summary_text\",\"text\":\"\"}");
    end_event(b);
}

static void open_message(struct answer *w, struct buf *b)
{
    struct own *o = w->own;
    event(o, b, "response.output_item.added");
    buf_printf(b, ",\"output_index\":%d,\"item\":", o->n_items++);
    put_message(b, w, NULL, "in_progress");
    end_event(b);
    o->open = OPEN_MESSAGE;
    o->has_message = true;
    item_event(w, b, "response.content_part.added");
    buf_puts(b, ",\"part\":");
    put_part(b, NULL);
    end_event(b);
}

static void item_done(struct own *o, struct buf *b)
{
    event(o, b, "response.output_item.done");
    buf_printf(b, ",\"output_index\":%d,\"item\":", o->n_items - 1);
}

static void close_item(struct answer *w, const struct choice *ch, const char *status, struct buf *b)
{
    struct own *o = w->own;
    if (o->open == OPEN_REASONING) {
        o->n_thought = o->n_thought ? o->n_thought : ch->thinking.n;
        item_event(w, b, "response.reasoning_summary_text.done");
        put_text(b, "text", ch->thinking.p, o->n_thought);
        end_event(b);
        item_event(w, b, "response.reasoning_summary_part.done");
        buf_puts(b, ",\"part\":{\"type\":\"summary_text\"");
        put_text(b, "text", ch->thinking.p, o->n_thought);
        buf_puts(b, "}");
        end_event(b);
        item_done(o, b);
        put_reasoning(b, w, ch);
        end_event(b);
    } else if (o->open == OPEN_MESSAGE) {
        item_event(w, b, "response.output_text.done");
        put_text(b, "text", ch->text.p, text_bytes(ch));
        buf_puts(b, ",\"logprobs\":[");
        buf_add(b, ch->logprobs[0].p ? ch->logprobs[0].p : "", ch->logprobs[0].n);
        buf_puts(b, "]");
        end_event(b);
        item_event(w, b, "response.content_part.done");
        buf_puts(b, ",\"part\":");
        put_part(b, ch);
        end_event(b);
        item_done(o, b);
        put_message(b, w, ch, status);
        end_event(b);
    }
    o->open = OPEN_NONE;
}

static void print_call(struct answer *w, const json_t *call, struct buf *b)
{
    struct own *o = w->own;
    const size_t i = (size_t)o->n_calls++;
    static const char *const names[][2] = {
        {"response.function_call_arguments.delta", "delta"},
        {"response.function_call_arguments.done", "arguments"},
    };
    event(o, b, "response.output_item.added");
    buf_printf(b, ",\"output_index\":%d,\"item\":", o->n_items++);
    put_call(b, w, call, i, false);
    end_event(b);
    for (int k = 0; k < 2; k++) {
        event(o, b, names[k][0]);
        buf_printf(b, ",\"item_id\":\"fc_resp_%s_%zu\",\"output_index\":%d", w->id, i,
                   o->n_items - 1);
        put_arguments(b, names[k][1], call);
        end_event(b);
    }
    item_done(o, b);
    put_call(b, w, call, i, true);
    end_event(b);
}

static void print_piece(struct answer *w, struct choice *ch, const struct piece *p, struct buf *b)
{
    struct own *o = w->own;
    if (p->n_thinking && !o->has_message && !o->n_calls) {
        if (o->open != OPEN_REASONING)
            open_reasoning(w, b);
        item_event(w, b, "response.reasoning_summary_text.delta");
        put_text(b, "delta", p->thinking, p->n_thinking);
        end_event(b);
    }
    if ((p->n || (p->n_logprobs && o->open == OPEN_MESSAGE)) && !o->n_calls) {
        if (o->open == OPEN_REASONING)
            close_item(w, ch, "completed", b);
        if (o->open != OPEN_MESSAGE)
            open_message(w, b);
        item_event(w, b, "response.output_text.delta");
        put_text(b, "delta", p->text, p->n);
        buf_puts(b, ",\"logprobs\":[");
        print_logprobs(b, p->logprobs, p->n_logprobs);
        buf_puts(b, "]");
        end_event(b);
    }
    for (size_t i = 0; i < json_array_size(p->calls); i++) {
        close_item(w, ch, "completed", b);
        print_call(w, json_array_get(p->calls, i), b);
    }
}

static void print_end(struct answer *w, struct choice *ch, struct buf *b)
{
    struct own *o = w->own;
    if (!o->has_message && !o->n_calls) {
        close_item(w, ch, "completed", b);
        open_message(w, b);
    }
    close_item(w, ch, choice_is_cut(ch) ? "incomplete" : "completed", b);
    event(o, b, "response.completed");
    buf_puts(b, ",\"response\":");
    put_response(b, w, STAGE_ENDED, NULL);
    end_event(b);
}

static void print_failure(struct answer *w, struct buf *b, int status, enum err_code code,
                          const char *text)
{
    event(w->own, b, "response.failed");
    buf_puts(b, ",\"response\":");
    put_response(b, w, STAGE_FAILED, text);
    end_event(b);
}

const struct style style_responses = {
    .shape = &shape_openai,
    .stream_type = type_sse,
    .sign_of_life = ": working\n\n",
    .keeps = true,
    .opens_early = true,
    .no_cache = true,
    .parse = responses_parse,
    .prepare = prepare,
    .begin = print_begin,
    .piece = print_piece,
    .end = print_end,
    .fail = print_failure,
    .whole = print_whole,
};
