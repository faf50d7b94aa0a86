/* engine/chat/chat.c - the door: a template parsed once, rendered by any number of threads.
 *
 * Errors inside leave by longjmp (template.h); here they land and become return values. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "engine/chat/chat.h"
#include "engine/chat/go.h"
#include "engine/chat/syntax.h"
#include "gguf/gguf.h"

struct chat_template {
    enum chat_language lang;
    char *source;
    size_t n_source;
    struct tpl memory; /* holds the tree */
    struct jinja *jinja;
    struct go_template go;
};

static int parse(struct chat_template *t, struct err *e)
{
    jmp_buf out;
    t->memory.out = &out;
    t->memory.e = e;
    if (setjmp(out))
        return -1;
    if (t->lang == CHAT_GO)
        go_parse(&t->go, &t->memory, t->source, t->n_source);
    else
        t->jinja = tpl_parse(&t->memory, t->source, t->n_source);
    t->memory.out = NULL;
    t->memory.e = NULL;
    return 0;
}

struct chat_template *chat_template_new(enum chat_language lang, const char *source, size_t n,
                                        struct err *e)
{
    struct chat_template *t = NULL;
    if (n > TPL_MAX_SOURCE) {
        err_set(e, ERR_INPUT, "template: %zu bytes, %zu are allowed", n, TPL_MAX_SOURCE);
        return NULL;
    }
    if (!text_is_utf8(source, n)) {
        err_set(e, ERR_INPUT, "template: not UTF-8");
        return NULL;
    }
    t = calloc(1, sizeof *t);
    if (!t || !(t->source = malloc(n + 1))) {
        err_set(e, ERR_MEMORY, "template: no memory");
        free(t);
        return NULL;
    }
    memcpy(t->source, source, n);
    t->source[n] = 0;
    t->n_source = n;
    t->lang = lang;
    if (parse(t, e)) {
        chat_template_free(t);
        return NULL;
    }
    return t;
}

void chat_template_free(struct chat_template *t)
{
    if (!t)
        return;
    tpl_pools_free(&t->memory);
    free(t->source);
    free(t);
}

bool chat_template_mentions(const struct chat_template *t, const char *word)
{
    return memmem(t->source, t->n_source, word, strlen(word)) != NULL;
}

bool chat_template_uses(const struct chat_template *t, enum chat_use what)
{
    static const char *const names[] = {"messages", "tools", "suffix"};
    const struct go_template *g = &t->go;
    if (t->lang == CHAT_GO)
        return what == CHAT_USES_MESSAGES ? g->has_messages
               : what == CHAT_USES_TOOLS  ? g->has_tools
                                          : g->has_suffix;
    for (uint32_t i = 0; i < t->jinja->syms.n; i++)
        if (tpl_str_is(t->jinja->syms.names[i], names[what]))
            return true;
    return false;
}

/* A source between tags that leave its white space alone; Jinja drops one newline at its end. */
static void put_source(struct buf *b, const char *before, struct text source)
{
    if (source.n && source.p[source.n - 1] == '\n')
        source.n--;
    if (source.n && source.p[source.n - 1] == '\r')
        source.n--;
    buf_puts(b, before);
    buf_add(b, source.p, source.n);
}

int chat_template_of(const struct gguf *g, char **source, struct err *e)
{
    struct text usual = {NULL, 0}, with_tools = {NULL, 0};
    struct buf b = {0};
    *source = NULL;
    const int n = gguf_get_text(g, "tokenizer.chat_template", &usual, e);
    const int more = gguf_get_text(g, "tokenizer.chat_template.tool_use", &with_tools, e);
    if (n < 0 || more < 0)
        return -1;
    if (n && more) {
        put_source(&b, "{% if not tools +%}", usual);
        put_source(&b, "{%+ else +%}", with_tools);
        buf_puts(&b, "{%+ endif %}");
    } else if (n || more) {
        buf_add(&b, n ? usual.p : with_tools.p, n ? usual.n : with_tools.n);
    } else {
        return 0;
    }
    buf_add(&b, "", 1); /* ends it */
    if (b.failed) {
        buf_free(&b);
        return err_set(e, ERR_MEMORY, "no memory for the chat template");
    }
    *source = b.p;
    return 0;
}

void chat_template_tags(const struct chat_template *t, char *think_open, char *think_close,
                        size_t cap, char *call, size_t cap_call)
{
    think_open[0] = think_close[0] = call[0] = 0;
    if (t->lang != CHAT_GO)
        return;
    go_thinking_tags(&t->go, think_open, think_close, cap);
    go_call_tag(&t->go, call, cap_call);
}

void chat_prompt_free(struct chat_prompt *p)
{
    buf_free(&p->text);
    free(p->trusted);
    *p = (struct chat_prompt){0};
}

/* ---- variables ------------------------------------------------------------------------------- */

static void set_now(struct tpl *c, const json_t *input)
{
    const char *iso = json_string_value(json_object_get(input, "$now"));
    time_t now = (time_t)(time_real_ns() / 1000000000);
    if (!iso)
        localtime_r(&now, &c->now);
    else if (tpl_clock_read(iso, &c->now))
        tpl_fail(c, "$now is no time: want 2026-01-31T12:34:56");
}

/* Roles are words of a fixed set that the caller has checked (security.md, 3.6). As such a word
 * cannot hold a message's text, it counts as the template's own: "<|" + role + "|>" is how many
 * templates write their control tokens. Any other role is text of the conversation. */
static void trust_roles(struct tpl *c, struct val messages)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool", "developer"};
    for (size_t i = 0; messages.type == T_LIST && i < messages.l->n; i++) {
        struct val m = messages.l->v[i];
        struct val *role =
            m.type == T_DICT ? tpl_dict_find_str(c, m.d, tpl_str(c, "role", 4, false)) : NULL;
        for (size_t k = 0; role && role->type == T_STR && k < sizeof roles / sizeof *roles; k++)
            if (tpl_str_is(role->s, roles[k]))
                role->s = tpl_str(c, role->s->p, role->s->n, true);
    }
}

/* Variables that the engine fills with texts of tokens. */
static bool is_token(const char *name)
{
    return !strcmp(name, "bos_token") || !strcmp(name, "eos_token") || !strcmp(name, "unk_token") ||
           !strcmp(name, "pad_token");
}

static void set_globals(struct tpl *c, const struct jinja *j, const json_t *input)
{
    size_t n;
    struct symbols syms = j->syms; /* only read */
    const struct func *table = tpl_globals(&n);
    c->globals = tpl_alloc(c, (syms.n + 1) * sizeof *c->globals);
    for (size_t i = 0; i < n; i++) {
        uint32_t sym = tpl_symbol(c, &syms, table[i].name, strlen(table[i].name), false);
        if (sym != NO_SYMBOL)
            c->globals[sym] = (struct val){.type = T_FUNC, .fn = &table[i]};
    }
    uint32_t self = tpl_symbol(c, &syms, "self", 4, false);
    if (self != NO_SYMBOL)
        c->globals[self] = (struct val){.type = T_SPACE, .d = tpl_dict(c)};
    json_t *o = (json_t *)(uintptr_t)input; /* its iterators have no const, and change nothing */
    for (void *it = json_object_iter(o); it; it = json_object_iter_next(o, it)) {
        const char *name = json_object_iter_key(it);
        uint32_t sym = tpl_symbol(c, &syms, name, strlen(name), false);
        if (sym == NO_SYMBOL)
            continue;
        struct val v = tpl_from_jansson(c, json_object_iter_value(it), true);
        if (v.type == T_STR && is_token(name))
            v.s = tpl_str(c, v.s->p, v.s->n, true);
        if (strcmp(name, "messages") == 0)
            trust_roles(c, v);
        c->globals[sym] = v;
    }
}

/* ---- rendering ------------------------------------------------------------------------------- */

static int run(struct tpl *c, const struct chat_template *t, const json_t *input, struct sink *to)
{
    jmp_buf out;
    c->out = &out;
    if (setjmp(out))
        return -1;
    set_now(c, input);
    c->to = to;
    if (t->lang == CHAT_GO) {
        go_render(&t->go, c, input);
        return 0;
    }
    set_globals(c, t->jinja, input);
    tpl_exec_all(c, t->jinja->body, NULL);
    return 0;
}

int chat_render(const struct chat_template *t, const json_t *input, struct chat_prompt *out,
                struct err *e)
{
    if (!json_is_object(input))
        return err_set(e, ERR_INPUT, "template: the input is not a JSON object");
    struct tpl c = {.e = e, .t = t->jinja};
    struct sink to = {0};
    int rc = run(&c, t, input, &to);
    if (rc == 0 && to.n_sp) {
        out->trusted = malloc(to.n_sp * sizeof *out->trusted);
        if (out->trusted) {
            memcpy(out->trusted, to.sp, to.n_sp * sizeof *out->trusted);
            out->n_trusted = to.n_sp;
        }
    }
    if (rc == 0) {
        buf_add(&out->text, to.n ? to.p : "", to.n);
        if (out->text.failed || (to.n_sp && !out->trusted))
            rc = err_set(e, ERR_MEMORY, "template: no memory");
    }
    tpl_pools_free(&c);
    if (rc)
        chat_prompt_free(out);
    return rc;
}
