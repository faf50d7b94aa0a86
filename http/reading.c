/* http/reading.c - what a request wants of the text of its answer: thoughts apart, calls of tools
 * that obey their schemas, a format; all as the model's own template writes these things.
 *
 * Facts: spec/api.md 10.5, 10.6, 11, 12. */
#include "http/reading.h"

#include <stdlib.h>
#include <string.h>
#include "engine/grammar/grammar.h"

enum { PROMPT_END = 64 };

/* The last bytes of the prompt: has the template opened the thoughts? */
static int read_prompt_end(struct reading *r, const struct answer *w, const struct store_model *m,
                           const struct eng_request *req, struct err *e)
{
    struct eng_text *text = NULL;
    struct buf all = {0};
    int rc = -1;
    if (!req->chat)
        return 0;
    if (eng_text_open(w->call->srv->cfg.eng, m, &text, e) == 0 &&
        eng_text_prompt(text, req->chat, req->template_text, req->continue_last, &all, NULL, e) ==
            0)
        rc = 0;
    const size_t n = all.n < PROMPT_END ? all.n : PROMPT_END;
    r->salt = 0xcbf29ce484222325u;
    for (size_t i = 0; i < all.n; i++)
        r->salt = (r->salt ^ (unsigned char)all.p[i]) * 0x100000001b3u;
    if (rc == 0 && n)
        buf_add(&r->prompt_end, all.p + all.n - n, n);
    buf_free(&all);
    eng_text_close(text);
    return rc;
}

/* The tools that may be called, each with a schema that can be held: one that cannot be is only
 * known to be an object, and the log says so. */
static int read_tools(struct reading *r, const struct answer *w, struct err *e)
{
    const struct ask *a = &w->ask;
    r->tools = json_array();
    for (size_t i = 0; r->tools && i < json_array_size(a->tools); i++) {
        json_t *tool = json_deep_copy(json_array_get(a->tools, i));
        json_t *fn = json_object_get(tool, "function"), *p = json_object_get(fn, "parameters");
        const char *name = json_string_value(json_object_get(fn, "name"));
        struct err why = {0};
        if (a->choose == TOOLS_ONE && (!name || strcmp(name, a->choose_name) != 0)) {
            json_decref(tool);
            continue;
        }
        struct grammar *g = json_is_object(p) ? grammar_json(p, &why) : NULL;
        if (!g && json_is_object(p)) {
            log_line(LOG_WARN, "%s: tool %s: %s: its arguments are not held to the schema",
                     w->call->who, name ? name : "?", why.text);
            json_object_set_new(fn, "parameters", json_pack("{s:s}", "type", "object"));
        }
        grammar_free(g);
        if (!tool || json_array_append_new(r->tools, tool)) {
            json_decref(r->tools);
            r->tools = NULL;
        }
    }
    return r->tools ? 0 : err_set(e, ERR_MEMORY, "out of memory");
}

static bool ends_inside(const struct reading *r)
{
    const char *open = r->manner.think_open;
    size_t n = r->prompt_end.n;
    const size_t k = strlen(open);
    while (n && strchr(" \n\r\t", r->prompt_end.p[n - 1]))
        n--;
    return k && n >= k && memcmp(r->prompt_end.p + n - k, open, k) == 0;
}

/* The grammar of the answer, where something must be obeyed. */
static int lay_rules(struct reading *r, const struct ask *a, const struct eng_options *o,
                     struct eng_request *req, struct err *e)
{
    const bool forced = a->choose == TOOLS_REQUIRED || a->choose == TOOLS_ONE;
    const bool calls = r->tools && (o->constrain_tools || forced);
    if (!calls &&
        !((a->format || a->grammar) && (r->thinks || r->tools || chat_manner_always(&r->manner))))
        return 0; /* the engine's own way is enough, or nothing is to be obeyed */
    if (json_is_string(a->format)) {
        r->answer = json_pack("{s:s}", "type", "object");
        if (!r->answer)
            return err_set(e, ERR_MEMORY, "out of memory");
    } else if (a->format || a->grammar) {
        r->answer = json_incref((json_t *)(uintptr_t)a->format);
        struct grammar *g = a->format ? grammar_json(r->answer, e) /* errors name the place in it */
                                      : grammar_gbnf(a->grammar, strlen(a->grammar), NULL, e);
        if (!g) {
            e->code = e->code == ERR_MEMORY ? ERR_MEMORY : ERR_INPUT;
            return -1;
        }
        grammar_free(g);
    }
    const struct chat_rules rules = {
        .tools = calls ? r->tools : NULL,
        .choice = a->choose == TOOLS_ONE ? CHOICE_ONE
                  : forced               ? CHOICE_ANY
                                         : CHOICE_AUTO,
        .one_call = a->one_call || a->choose == TOOLS_ONE,
        .answer = r->answer,
        .grammar = a->grammar,
        .think = r->thinks,
        .inside = ends_inside(r),
    };
    const int rc = chat_grammar(&r->manner, &rules, &r->gbnf, &r->schemas, e);
    if (rc < 0)
        return -1;
    if (rc > 0 && (forced || a->format || a->grammar))
        return err_set(e, ERR_INPUT,
                       "%s is not supported for the way in which this model writes calls",
                       forced      ? "tool_choice"
                       : a->format ? "format"
                                   : "grammar");
    if (rc == 0) {
        req->format = NULL;
        req->grammar = r->gbnf.p;
        req->schemas = r->schemas;
    }
    return 0;
}

int reading_begin(struct reading *r, struct choice *ch, const struct store_model *m,
                  const struct eng_info *info, const struct eng_options *o, struct eng_request *req,
                  struct err *e)
{
    struct answer *w = ch->answer;
    const struct ask *a = &w->ask;
    const bool go = req->template_text != NULL;
    *r = (struct reading){.thinks = false};
    if (!req->chat) /* a raw prompt: its text is the client's business */
        return 0;
    chat_manner_find(&r->manner, go ? CHAT_GO : CHAT_JINJA,
                     go ? req->template_text : info->chat_template);
    r->thinks = a->think != THINK_OFF && info->can_think && r->manner.think_open[0];
    if (json_array_size(a->tools) && read_tools(r, w, e) != 0)
        return -1;
    if (!r->thinks && !r->tools && !chat_manner_always(&r->manner))
        return 0;
    if (read_prompt_end(r, w, m, req, e) != 0 || lay_rules(r, a, o, req, e) != 0)
        return -1;
    chat_manner_tags(&r->manner, &r->shown);
    if (r->shown.failed || r->prompt_end.failed)
        return err_set(e, ERR_MEMORY, "out of memory");
    req->shown = r->shown.p;
    ch->split = chat_split_new(&r->manner, r->tools, r->thinks, r->prompt_end.p, e);
    if (!ch->split)
        return -1;
    chat_split_calls(ch->split, r->salt, a->one_call || a->choose == TOOLS_ONE,
                     o->constrain_tools);
    return 0;
}

void reading_free(struct reading *r)
{
    json_decref(r->tools);
    json_decref(r->schemas);
    json_decref(r->answer);
    buf_free(&r->prompt_end);
    buf_free(&r->shown);
    buf_free(&r->gbnf);
}
