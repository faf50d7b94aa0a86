/* engine/render.c - from a conversation to the text of its prompt, by the model's template.
 *
 * Facts: spec/api.md 6.4, 6.5. Neither weights nor a sequence are needed for it. */
#include "engine/render.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The variables that name tokens. BOS and EOS always are; the others where the file names them. */
static int lay_tokens(const struct tok_vocab *v, json_t *in)
{
    const struct {
        const char *name;
        tok_id id;
        bool always;
    } all[] = {{"bos_token", tok_bos(v), true},
               {"eos_token", tok_eos(v), true},
               {"unk_token", tok_unk(v), false},
               {"pad_token", tok_pad(v), false}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const struct text t = all[i].id < 0 ? (struct text){"", 0} : tok_text(v, all[i].id);
        json_t *s = json_stringn(t.p, t.n);
        if (!s) /* not UTF-8 */
            s = json_string("");
        if (all[i].id < 0 && !all[i].always)
            json_decref(s);
        else if (json_object_set_new(in, all[i].name, s))
            return -1;
    }
    return 0;
}

/* The last message is the assistant's and goes on: cut what the template put behind its text. */
static void cut_behind_last(const json_t *messages, struct chat_prompt *p)
{
    const json_t *m = json_array_get(messages, json_array_size(messages) - 1);
    const json_t *c = json_object_get(m, "content");
    const char *text = json_string_value(c);
    size_t n = json_string_length(c), at = p->text.n;
    while (n && strchr(" \n\r\t", text[n - 1])) /* templates often trim */
        n--;
    if (!text || !n || n > p->text.n)
        return;
    for (size_t i = p->text.n - n + 1; i-- > 0;)
        if (!memcmp(p->text.p + i, text, n)) {
            at = i + n;
            break;
        }
    p->text.n = at;
    p->text.p[at] = 0;
    while (p->n_trusted && p->trusted[p->n_trusted - 1].start >= at)
        p->n_trusted--;
    if (p->n_trusted && p->trusted[p->n_trusted - 1].end > at)
        p->trusted[p->n_trusted - 1].end = at;
}

static void put_token(const struct tok_vocab *v, tok_id id, struct chat_prompt *p)
{
    const struct text t = tok_text(v, id);
    p->trusted[p->n_trusted++] = (struct text_span){p->text.n, p->text.n + t.n};
    buf_add(&p->text, t.p, t.n);
}

/* A text with a hole by the model's tokens for it: before, behind, hole. What the client wrote is
 * text, whatever it looks like. */
static int hole_by_tokens(const struct tok_vocab *v, const json_t *chat, struct chat_prompt *out,
                          struct err *e)
{
    const json_t *before = json_object_get(chat, "prompt"),
                 *behind = json_object_get(chat, "suffix");
    for (int i = 0; i < 3; i++)
        if (tok_fim(v, i) < 0)
            return err_set(e, ERR_INPUT, "this model does not support insert");
    out->trusted = malloc(3 * sizeof *out->trusted);
    if (!out->trusted)
        return err_set(e, ERR_MEMORY, "no memory for the prompt");
    put_token(v, tok_fim(v, 0), out);
    buf_add(&out->text, json_string_value(before), json_string_length(before));
    put_token(v, tok_fim(v, 1), out);
    buf_add(&out->text, json_string_value(behind), json_string_length(behind));
    put_token(v, tok_fim(v, 2), out);
    return out->text.failed ? err_set(e, ERR_MEMORY, "no memory for the prompt") : 0;
}

/* Calls of the history as Jinja templates know them: with a type; arguments as an object, or as its
 * text where a template joins it to others. New reference. */
static json_t *jinja_calls(const json_t *calls, bool as_text)
{
    json_t *out = json_deep_copy(calls);
    size_t i;
    json_t *one;
    json_array_foreach(out, i, one)
    {
        json_t *fn = json_object_get(one, "function");
        json_t *args = json_object_get(fn, "arguments");
        bool bad = !json_object_get(one, "type") &&
                   json_object_set_new(one, "type", json_string("function")) != 0;
        if (as_text && json_is_object(args)) {
            char *text = json_dumps(args, 0);
            bad |= !text || json_object_set_new(fn, "arguments", json_string(text)) != 0;
            free(text);
        }
        if (bad) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

/* Messages with the names that Jinja templates use beside ours (spec/modelfile-and-templates.md 5):
 * reasoning_content for the thoughts, name for a tool's answer. New reference, NULL without memory.
 */
static json_t *jinja_messages(const json_t *messages, bool as_text)
{
    json_t *out = json_array();
    size_t i;
    json_t *m;
    json_array_foreach(messages, i, m)
    {
        json_t *x = json_copy(m);
        json_t *thinking = json_object_get(x, "thinking"), *name = json_object_get(x, "tool_name");
        json_t *calls = json_object_get(x, "tool_calls");
        if (!x || (thinking && json_object_set(x, "reasoning_content", thinking)) ||
            (name && json_object_set(x, "name", name)) ||
            (json_is_array(calls) &&
             json_object_set_new(x, "tool_calls", jinja_calls(calls, as_text))) ||
            json_array_append(out, x)) {
            json_decref(x);
            json_decref(out);
            return NULL;
        }
        json_decref(x);
    }
    return out;
}

/* ---- old thoughts in a text (spec/api.md 6.4) ------------------------------------------------ */

static const char *said_in(const json_t *m, const char *role)
{
    const char *r = json_string_value(json_object_get(m, "role"));
    return r && !strcmp(r, role) ? json_string_value(json_object_get(m, "content")) : NULL;
}

/* What is said behind the thoughts that open a text; NULL: it does not begin with them. */
static const char *behind_thoughts(const char *s, const char *open, const char *close)
{
    static const char blank[] = " \n\r\t";
    s += strspn(s, blank);
    if (strncmp(s, open, strlen(open)) != 0 || !(s = strstr(s, close)))
        return NULL;
    s += strlen(close);
    return s + strspn(s, blank);
}

/* Does the template show what an assistant thought before the last question? It is asked. */
static bool shows_old_thoughts(const struct chat_template *t, const json_t *chat)
{
    static const char mark[] = "thought of an older turn";
    struct chat_prompt p = {0};
    json_t *in = json_copy((json_t *)(uintptr_t)chat);
    json_t *talk = json_pack("[{s:s, s:s}, {s:s, s:s, s:s}, {s:s, s:s}]", "role", "user", "content",
                             "a", "role", "assistant", "content", "b", "thinking", mark, "role",
                             "user", "content", "c");
    const bool shows = talk && !json_object_set(in, "messages", talk) &&
                       !chat_render(t, in, &p, NULL) && p.text.n && strstr(p.text.p, mark);
    chat_prompt_free(&p);
    json_decref(talk);
    json_decref(in);
    return shows;
}

/* Clients that know no `thinking` send a model's thoughts back inside its text. A Go template that
 * has tags for them and shows none of older turns is not to see those, either: they are cut off
 * before the last question. (A Jinja template does so by itself.) New reference. */
static json_t *go_messages(const struct chat_template *t, const json_t *chat,
                           const json_t *messages)
{
    char open[32], close[32], call[32];
    json_t *out = json_incref((json_t *)(uintptr_t)messages);
    size_t last = json_array_size(messages);
    bool copied = false;
    chat_template_tags(t, open, close, sizeof open, call, sizeof call);
    if (!open[0] && chat_template_mentions(t, "<think>") && chat_template_mentions(t, "</think>")) {
        memcpy(open, "<think>", sizeof "<think>");
        memcpy(close, "</think>", sizeof "</think>");
    }
    while (last && !said_in(json_array_get(messages, last - 1), "user"))
        last--;
    for (size_t i = 0; open[0] && close[0] && i + 1 < last; i++) {
        const char *text = said_in(json_array_get(messages, i), "assistant");
        const char *rest = text ? behind_thoughts(text, open, close) : NULL;
        if (!rest)
            continue;
        if (!copied && shows_old_thoughts(t, chat))
            break;
        if (!copied) {
            json_decref(out);
            out = json_deep_copy(messages);
            copied = true;
        }
        if (json_object_set_new(json_array_get(out, i), "content", json_string(rest))) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

static bool has_calls(const json_t *messages)
{
    size_t i;
    const json_t *m;
    json_array_foreach(messages, i,
                       m) if (json_array_size(json_object_get(m, "tool_calls"))) return true;
    return false;
}

/* For a template that knows of no tools: a system text that lists them (8.1 of the templates'
 * page), before the first one or by itself. New reference; takes `messages`. */
static json_t *tell_tools(json_t *messages, const json_t *tools)
{
    json_t *first = json_array_get(messages, 0);
    const char *role = json_string_value(json_object_get(first, "role"));
    const bool has_system = role && !strcmp(role, "system");
    const char *said = has_system ? json_string_value(json_object_get(first, "content")) : NULL;
    char *list = json_dumps(tools, 0);
    struct buf b = {0};
    if (said && *said)
        buf_printf(&b, "%s\n\n", said);
    buf_printf(&b,
               "You can call these tools:\n%s\n\nTo call one, answer with a JSON object and "
               "nothing else: {\"name\": the tool's name, \"arguments\": {its arguments}}",
               list ? list : "");
    json_t *system = json_pack("{s:s, s:s}", "role", "system", "content", b.p ? b.p : "");
    const bool bad = !list || b.failed || !system ||
                     (has_system && json_array_remove(messages, 0)) ||
                     json_array_insert_new(messages, 0, system);
    free(list);
    buf_free(&b);
    if (!bad)
        return messages;
    json_decref(messages);
    return NULL;
}

int render_prompt(const struct renderer *r, const json_t *chat, const json_t *messages,
                  const char *template_text, bool continue_last, struct chat_prompt *out,
                  struct err *e)
{
    const bool hole = json_string_length(json_object_get(chat, "suffix")) > 0;
    if (hole && !template_text)
        return hole_by_tokens(r->vocab, chat, out, e);
    if (!r->tpl && r->tpl_err->code && !template_text) {
        if (e)
            *e = *r->tpl_err;
        return -1;
    }
    /* Neither a TEMPLATE nor a template in the file: contents alone, as the reference has it. */
    static const char bare[] = "{{ .Prompt }}";
    struct chat_template *own = NULL;
    const struct chat_template *t = r->tpl;
    if (template_text || !t) {
        const char *source = template_text ? template_text : bare;
        t = own = chat_template_new(CHAT_GO, source, strlen(source), e);
        if (!own)
            return -1;
    }
    int rc = -1;
    if (hole && !chat_template_uses(t, CHAT_USES_SUFFIX)) {
        chat_template_free(own);
        return hole_by_tokens(r->vocab, chat, out, e);
    }
    json_t *in = json_copy((json_t *)(uintptr_t)chat);
    json_t *said = own ? go_messages(own, chat, messages) : jinja_messages(messages, false);
    const json_t *tools = json_object_get(chat, "tools");
    const bool tell = !own && json_array_size(tools) && !chat_template_uses(t, CHAT_USES_TOOLS);
    if (said && tell)
        said = tell_tools(said, tools);
    char now[32];
    const time_t sec = time(NULL);
    struct tm tm;
    localtime_r(&sec, &tm);
    strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!in || !said || json_object_set(in, "messages", said) ||
        json_object_set_new(in, "add_generation_prompt", json_boolean(!continue_last)) ||
        lay_tokens(r->vocab, in) || json_object_set_new(in, "$now", json_string(now)))
        err_set(e, ERR_MEMORY, "no memory for the prompt");
    else
        rc = chat_render(t, in, out, e);
    if (rc && !own && e && e->code == ERR_INPUT && has_calls(messages)) {
        /* Some templates join the arguments to a text: they get them as one. */
        struct err again = {0};
        chat_prompt_free(out);
        *out = (struct chat_prompt){0};
        json_t *as_text = jinja_messages(messages, true);
        if (as_text && tell)
            as_text = tell_tools(as_text, tools);
        if (!json_object_set_new(in, "messages", as_text) &&
            !(rc = chat_render(t, in, out, &again)))
            *e = (struct err){0};
    }
    json_decref(said);
    json_decref(in);
    if (!rc && continue_last)
        cut_behind_last(messages, out);
    chat_template_free(own);
    return rc;
}
