/* engine/chat/go_parse.c - words -> tree of a Go template.
 *
 * Go's own grammar, with its words for what is wrong. Looks ahead up to three words, since `$x foo`
 * and `$x := foo` differ only there. Words and blocks; what stands in an action: go_pipe.c. */
#include <stdio.h>
#include <string.h>
#include "engine/chat/go_parse.h"

_Noreturn void gp_fail(struct parser *p, const char *fmt, ...)
{
    char text[400];
    const struct go_token *t = &p->u->token[0];
    size_t line_start = t->pos < p->g->n_source ? t->pos : p->g->n_source, at = line_start;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    while (line_start && p->g->source[line_start - 1] != '\n')
        line_start--;
    /* The words of the reference, which knows the line only; then the place. */
    err_set(p->c->e, ERR_INPUT, "template: :%u: %s (line %u, column %zu)", t->line, text, t->line,
            at - line_start + 1);
    longjmp(*p->c->out, 1);
}

/* ---- words ----------------------------------------------------------------------------------- */

struct go_token gp_next(struct parser *p)
{
    struct unit *u = p->u;
    if (u->peeked > 0)
        u->peeked--;
    else
        u->token[0] = go_lex_next(&p->lex);
    return u->token[u->peeked];
}

void gp_backup(struct parser *p)
{
    p->u->peeked++;
}

void gp_backup2(struct parser *p, struct go_token t1)
{
    p->u->token[1] = t1;
    p->u->peeked = 2;
}

void gp_backup3(struct parser *p, struct go_token t2, struct go_token t1)
{
    p->u->token[1] = t1;
    p->u->token[2] = t2;
    p->u->peeked = 3;
}

struct go_token gp_peek(struct parser *p)
{
    if (p->u->peeked > 0)
        return p->u->token[p->u->peeked - 1];
    p->u->peeked = 1;
    p->u->token[0] = go_lex_next(&p->lex);
    return p->u->token[0];
}

struct go_token gp_next_word(struct parser *p)
{
    struct go_token t;
    do
        t = gp_next(p);
    while (t.type == GO_I_SPACE);
    return t;
}

struct go_token gp_peek_word(struct parser *p)
{
    struct go_token t = gp_next_word(p);
    gp_backup(p);
    return t;
}

static const char *show(struct parser *p, struct go_token t)
{
    struct sink k;
    char cut[48];
    if (t.type == GO_I_EOF)
        return "EOF";
    if (t.type == GO_I_ERROR)
        return t.text.p;
    if (t.type > GO_I_KEYWORD)
        return go_words(p->c, "<%.*s>", (int)t.text.n, t.text.p);
    tpl_sink(p->c, &k);
    size_t n = t.text.n;
    if (n > 10) { /* ten characters */
        n = 0;
        for (int i = 0; i < 10 && n < t.text.n; i++) {
            uint32_t cp;
            bool bad = false;
            n += text_decode(t.text.p + n, t.text.n - n, &cp, &bad);
        }
    }
    memcpy(cut, t.text.p, n);
    go_put_quoted(p->c, &k, tpl_str(p->c, cut, n, false), false);
    return go_words(p->c, "%.*s%s", (int)k.n, k.p, n < t.text.n ? "..." : "");
}

_Noreturn void gp_unexpected(struct parser *p, struct go_token t, const char *context)
{
    if (t.type != GO_I_ERROR)
        gp_fail(p, "unexpected %s in %s", show(p, t), context);
    if (p->action_line && p->action_line != t.line) {
        bool action = t.text.n > 7 && !memcmp(t.text.p + t.text.n - 7, " action", 7);
        gp_fail(p, "%s%s started at :%u", t.text.p, action ? "" : " in action", p->action_line);
    }
    gp_fail(p, "%s", t.text.p);
}

struct go_token gp_expect(struct parser *p, enum go_item type, const char *context)
{
    struct go_token t = gp_next_word(p);
    if (t.type != type)
        gp_unexpected(p, t, context);
    return t;
}

void gp_enter(struct parser *p)
{
    if (++p->height > GO_MAX_HEIGHT)
        gp_fail(p, "more than %d blocks and else-ifs inside each other", GO_MAX_HEIGHT);
    if (++p->nest > GO_MAX_NEST)
        gp_fail(p, "more than %d blocks and parentheses inside each other", GO_MAX_NEST);
}

void gp_leave(struct parser *p)
{
    p->nest--;
    p->height--;
}

void gp_add_var(struct parser *p, struct str *name)
{
    struct unit *u = p->u;
    if (u->n_var == u->cap_var) {
        u->cap_var = u->cap_var ? u->cap_var * 2 : 8;
        u->var = tpl_grow(p->c, u->var, u->n_var * sizeof *u->var, u->cap_var * sizeof *u->var);
    }
    u->var[u->n_var++] = name;
}

struct go_node *gp_node(struct parser *p, enum go_node_type type, struct go_token t)
{
    return go_node_new(p->c, type, t.pos, t.line);
}

struct str *gp_word(struct parser *p, struct text t)
{
    return tpl_str(p->c, t.p, t.n, true);
}

void gp_add_name(struct parser *p, struct go_node *n, struct text t)
{
    n->name =
        tpl_grow(p->c, n->name, n->n_name * sizeof *n->name, (n->n_name + 1) * sizeof *n->name);
    n->name[n->n_name++] = gp_word(p, t);
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static struct go_node *item_list(struct parser *p, struct go_node **end);

static struct go_node *control(struct parser *p, enum go_node_type type, struct go_token head)
{
    const char *context = type == GO_N_IF ? "if" : type == GO_N_WITH ? "with" : "range";
    const size_t n_var = p->u->n_var;
    struct go_node *first = NULL, **place = &first, *end;
    int links = 0;
    gp_enter(p);
    for (;;) { /* once, and again for each `else if` */
        struct go_node *n = gp_node(p, type, head);
        if (!first)
            first = n;
        else {
            *place = gp_node(p, GO_N_LIST, head);
            go_node_add(p->c, *place, n);
        }
        n->pipe = gp_pipeline(p, context, GO_I_RIGHT);
        n->pos = n->pipe->pos;
        n->line = n->pipe->line;
        p->u->ranges += type == GO_N_RANGE;
        n->list = item_list(p, &end);
        p->u->ranges -= type == GO_N_RANGE;
        if (end->type == GO_N_END)
            break;
        enum go_item ahead = gp_peek(p).type;
        if ((type == GO_N_IF && ahead == GO_I_IF) || (type == GO_N_WITH && ahead == GO_I_WITH)) {
            head = gp_next(p);
            place = &n->alt;
            gp_enter(p);
            p->nest--;
            links++;
            continue;
        }
        n->alt = item_list(p, &end);
        if (end->type != GO_N_END)
            gp_fail(p, "expected end; found {{else}}");
        break;
    }
    p->u->n_var = n_var;
    p->height -= links;
    gp_leave(p);
    return first;
}

static struct str *template_name(struct parser *p, struct go_token t, const char *context)
{
    struct str *s;
    if (t.type != GO_I_STRING && t.type != GO_I_RAW)
        gp_unexpected(p, t, context);
    s = go_unquote(p->c, t.text);
    if (!s)
        gp_fail(p, "invalid syntax");
    return s;
}

static void add_define(struct parser *p, struct str *name, struct go_node *root)
{
    struct go_template *g = p->g;
    tpl_charge(p->c, g->n_define / 16);
    for (size_t i = 0; i < g->n_define; i++) {
        if (!tpl_str_same(g->define[i].name, name))
            continue;
        if (go_empty(g->define[i].root))
            g->define[i].root = root;
        else if (!go_empty(root))
            gp_fail(p, "template: multiple definition of template \"%.*s\"", (int)name->n, name->p);
        return;
    }
    if (g->n_define == g->cap_define) {
        g->cap_define = g->cap_define ? g->cap_define * 2 : 4;
        g->define = tpl_grow(p->c, g->define, g->n_define * sizeof *g->define,
                             g->cap_define * sizeof *g->define);
    }
    g->define[g->n_define++] = (struct go_define){name, root};
}

static void start_unit(struct parser *p, struct unit *u)
{
    *u = (struct unit){.peeked = 0};
    p->u = u;
    gp_add_var(p, tpl_str(p->c, "$", 1, true));
}

/* The body of a define or block, in variables of its own. */
static void body(struct parser *p, struct str *name, const char *context)
{
    struct unit u, *outer = p->u;
    struct go_node *end;
    start_unit(p, &u);
    if (!name) {
        name = template_name(p, gp_next_word(p), context);
        gp_expect(p, GO_I_RIGHT, context);
    }
    gp_enter(p);
    struct go_node *root = item_list(p, &end);
    if (end->type != GO_N_END)
        gp_fail(p, "unexpected {{else}} in %s", context);
    add_define(p, name, root);
    gp_leave(p);
    p->u = outer;
}

static struct go_node *template_action(struct parser *p, bool block)
{
    const char *context = block ? "block clause" : "template clause";
    struct go_token t = gp_next_word(p);
    struct go_node *n = gp_node(p, GO_N_TEMPLATE, t);
    n->text = template_name(p, t, context);
    n->source = gp_word(p, t.text);
    if (block || gp_next_word(p).type != GO_I_RIGHT) {
        if (!block)
            gp_backup(p);
        n->pipe = gp_pipeline(p, context, GO_I_RIGHT);
    }
    if (block)
        body(p, n->text, context);
    return n;
}

static struct go_node *jump(struct parser *p, enum go_node_type type, struct go_token head)
{
    const char *context = type == GO_N_BREAK ? "{{break}}" : "{{continue}}";
    struct go_token t = gp_next_word(p);
    if (t.type != GO_I_RIGHT)
        gp_unexpected(p, t, context);
    if (!p->u->ranges)
        gp_fail(p, "%s outside {{range}}", context);
    return gp_node(p, type, head);
}

static struct go_node *else_action(struct parser *p)
{
    struct go_token t = gp_peek_word(p);
    if (t.type != GO_I_IF && t.type != GO_I_WITH)
        t = gp_expect(p, GO_I_RIGHT, "else");
    return gp_node(p, GO_N_ELSE, t);
}

static struct go_node *action(struct parser *p)
{
    struct go_token t = gp_next_word(p);
    switch (t.type) {
    case GO_I_BLOCK:
        return template_action(p, true);
    case GO_I_BREAK:
        return jump(p, GO_N_BREAK, t);
    case GO_I_CONTINUE:
        return jump(p, GO_N_CONTINUE, t);
    case GO_I_ELSE:
        return else_action(p);
    case GO_I_END:
        return gp_node(p, GO_N_END, gp_expect(p, GO_I_RIGHT, "end"));
    case GO_I_IF:
        return control(p, GO_N_IF, t);
    case GO_I_RANGE:
        return control(p, GO_N_RANGE, t);
    case GO_I_TEMPLATE:
        return template_action(p, false);
    case GO_I_WITH:
        return control(p, GO_N_WITH, t);
    default:
        break;
    }
    gp_backup(p);
    struct go_node *n = gp_node(p, GO_N_ACTION, gp_peek(p));
    n->pipe = gp_pipeline(p, "command", GO_I_RIGHT);
    return n;
}

static struct go_node *text_or_action(struct parser *p)
{
    struct go_token t = gp_next_word(p);
    if (t.type == GO_I_TEXT) {
        struct go_node *n = gp_node(p, GO_N_TEXT, t);
        n->text = gp_word(p, t.text);
        return n;
    }
    if (t.type != GO_I_LEFT)
        gp_unexpected(p, t, "input");
    p->action_line = t.line;
    struct go_node *n = action(p);
    p->action_line = 0;
    return n;
}

static struct go_node *item_list(struct parser *p, struct go_node **end)
{
    struct go_node *list = gp_node(p, GO_N_LIST, gp_peek_word(p));
    while (gp_peek_word(p).type != GO_I_EOF) {
        struct go_node *n = text_or_action(p);
        if (n->type == GO_N_END || n->type == GO_N_ELSE) {
            *end = n;
            return list;
        }
        go_node_add(p->c, list, n);
    }
    gp_fail(p, "unexpected EOF");
}

void go_parse(struct go_template *g, struct tpl *c, const char *source, size_t n)
{
    struct unit u;
    struct parser p = {
        .c = c, .g = g, .lex = {.c = c, .s = source, .n = n, .line = 1, .start_line = 1}};
    g->source = source;
    g->n_source = n;
    start_unit(&p, &u);
    g->root = gp_node(&p, GO_N_LIST, gp_peek(&p));
    while (gp_peek(&p).type != GO_I_EOF) {
        if (gp_peek(&p).type == GO_I_LEFT) {
            struct go_token left = gp_next(&p);
            if (gp_next_word(&p).type == GO_I_DEFINE) {
                body(&p, NULL, "define clause");
                continue;
            }
            gp_backup2(&p, left);
        }
        struct go_node *one = text_or_action(&p);
        if (one->type == GO_N_END || one->type == GO_N_ELSE)
            gp_fail(&p, "unexpected {{%s}}", one->type == GO_N_END ? "end" : "else");
        go_node_add(c, g->root, one);
    }
    go_look(g, c);
}
