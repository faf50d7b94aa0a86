/* engine/render.c - from a conversation to the text of its prompt, by the model's template.
 *
 * Facts: spec/api.md 6.4, 6.5. Neither weights nor a sequence are needed for it. */
#include "engine/render.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static json_t *token_text(const struct tok_vocab *v, tok_id id)
{
    if (id < 0)
        return json_string("");
    const struct text t = tok_text(v, id);
    json_t *s = json_stringn(t.p, t.n);
    return s ? s : json_string("");
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
    const json_t *before = json_object_get(chat, "prompt"), *behind = json_object_get(chat, "suffix");
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
    char now[32];
    const time_t sec = time(NULL);
    struct tm tm;
    localtime_r(&sec, &tm);
    strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!in || json_object_set(in, "messages", (json_t *)(uintptr_t)messages) ||
        json_object_set_new(in, "add_generation_prompt", json_boolean(!continue_last)) ||
        json_object_set_new(in, "bos_token", token_text(r->vocab, tok_bos(r->vocab))) ||
        json_object_set_new(in, "eos_token", token_text(r->vocab, tok_eos(r->vocab))) ||
        json_object_set_new(in, "$now", json_string(now)))
        err_set(e, ERR_MEMORY, "no memory for the prompt");
    else
        rc = chat_render(t, in, out, e);
    json_decref(in);
    if (!rc && continue_last)
        cut_behind_last(messages, out);
    chat_template_free(own);
    return rc;
}
