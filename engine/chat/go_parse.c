/* engine/chat/go_parse.c - words -> tree of a Go template.
 *
 * Go's own grammar, with its words for what is wrong; the column is ours. Looks ahead up to three
 * words, as `$x foo` and `$x := foo` differ only there. */
#include <stdio.h>
#include <string.h>
#include "engine/chat/go.h"

struct unit { /* the main text or one define: variables and look-ahead of its own */
    struct go_token token[3];
    int peeked;
    int ranges;
    struct str **var;
    size_t n_var, cap_var;
};
struct parser {
    struct tpl *c;
    struct go_template *g;
    struct go_lexer lex;
    struct unit *u;
    uint32_t action_line;
    int nest, height; /* what is open; and with the links of `else if`, which nest in the tree */
};

static _Noreturn void fail(struct parser *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static _Noreturn void fail(struct parser *p, const char *fmt, ...)
{
    char text[400];
    const struct go_token *t = &p->u->token[0];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    err_set(p->c->e, ERR_INPUT, "template: :%u: %s", t->line, text);
    longjmp(*p->c->out, 1);
}

/* ---- words ----------------------------------------------------------------------------------- */

static struct go_token next(struct parser *p)
{
    struct unit *u = p->u;
    if (u->peeked > 0)
        u->peeked--;
    else
        u->token[0] = go_lex_next(&p->lex);
    return u->token[u->peeked];
}

static void backup(struct parser *p)
{
    p->u->peeked++;
}

static void backup2(struct parser *p, struct go_token t1)
{
    p->u->token[1] = t1;
    p->u->peeked = 2;
}

static void backup3(struct parser *p, struct go_token t2, struct go_token t1)
{
    p->u->token[1] = t1;
    p->u->token[2] = t2;
    p->u->peeked = 3;
}

static struct go_token peek(struct parser *p)
{
    if (p->u->peeked > 0)
        return p->u->token[p->u->peeked - 1];
    p->u->peeked = 1;
    p->u->token[0] = go_lex_next(&p->lex);
    return p->u->token[0];
}

static struct go_token next_word(struct parser *p)
{
    struct go_token t;
    do
        t = next(p);
    while (t.type == GO_I_SPACE);
    return t;
}

static struct go_token peek_word(struct parser *p)
{
    struct go_token t = next_word(p);
    backup(p);
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

static _Noreturn void unexpected(struct parser *p, struct go_token t, const char *context)
{
    if (t.type != GO_I_ERROR)
        fail(p, "unexpected %s in %s", show(p, t), context);
    if (p->action_line && p->action_line != t.line) {
        bool action = t.text.n > 7 && !memcmp(t.text.p + t.text.n - 7, " action", 7);
        fail(p, "%s%s started at :%u", t.text.p, action ? "" : " in action", p->action_line);
    }
    fail(p, "%s", t.text.p);
}

static struct go_token expect(struct parser *p, enum go_item type, const char *context)
{
    struct go_token t = next_word(p);
    if (t.type != type)
        unexpected(p, t, context);
    return t;
}

static void enter(struct parser *p)
{
    if (++p->height > GO_MAX_HEIGHT)
        fail(p, "more than %d blocks and else-ifs inside each other", GO_MAX_HEIGHT);
    if (++p->nest > GO_MAX_NEST)
        fail(p, "more than %d blocks and parentheses inside each other", GO_MAX_NEST);
}

static void leave(struct parser *p)
{
    p->nest--;
    p->height--;
}

static void add_var(struct parser *p, struct str *name)
{
    struct unit *u = p->u;
    if (u->n_var == u->cap_var) {
        u->cap_var = u->cap_var ? u->cap_var * 2 : 8;
        u->var = tpl_grow(p->c, u->var, u->n_var * sizeof *u->var, u->cap_var * sizeof *u->var);
    }
    u->var[u->n_var++] = name;
}

static struct go_node *node(struct parser *p, enum go_node_type type, struct go_token t)
{
    return go_node_new(p->c, type, t.pos, t.line);
}

static struct str *word(struct parser *p, struct text t)
{
    return tpl_str(p->c, t.p, t.n, true);
}

static void add_name(struct parser *p, struct go_node *n, struct text t)
{
    n->name =
        tpl_grow(p->c, n->name, n->n_name * sizeof *n->name, (n->n_name + 1) * sizeof *n->name);
    n->name[n->n_name++] = word(p, t);
}

/* ---- operands -------------------------------------------------------------------------------- */

static struct go_node *pipeline(struct parser *p, const char *context, enum go_item end);

static struct go_node *use_var(struct parser *p, struct go_token t)
{
    struct go_node *n = node(p, GO_N_VAR, t);
    add_name(p, n, t.text);
    for (size_t i = 0; i < p->u->n_var; i++)
        if (tpl_str_same(p->u->var[i], n->name[0]))
            return n;
    fail(p, "undefined variable \"%.*s\"", (int)t.text.n, t.text.p);
}

static struct go_node *literal(struct parser *p, struct go_token t)
{
    struct go_node *n =
        node(p, t.type == GO_I_STRING || t.type == GO_I_RAW ? GO_N_STRING : GO_N_NUMBER, t);
    n->source = word(p, t.text);
    n->text = n->source;
    if (n->type == GO_N_STRING) {
        n->text = go_unquote(p->c, t.text);
        if (!n->text)
            fail(p, "invalid syntax");
        return n;
    }
    const char *words = go_read_number(p->c, n, t.text, t.type);
    if (words)
        fail(p, "%s", words);
    return n;
}

static struct go_node *term(struct parser *p)
{
    struct go_token t = next_word(p);
    struct go_node *n;
    switch (t.type) {
    case GO_I_IDENT:
        n = node(p, GO_N_IDENT, t);
        n->text = word(p, t.text);
        n->fn = go_func_find(t.text.p, t.text.n);
        if (!n->fn)
            fail(p, "function \"%.*s\" not defined", (int)t.text.n, t.text.p);
        return n;
    case GO_I_DOT:
        return node(p, GO_N_DOT, t);
    case GO_I_NIL:
        return node(p, GO_N_NIL, t);
    case GO_I_VAR:
        return use_var(p, t);
    case GO_I_FIELD:
        n = node(p, GO_N_FIELD, t);
        add_name(p, n, (struct text){t.text.p + 1, t.text.n - 1});
        return n;
    case GO_I_BOOL:
        n = node(p, GO_N_BOOL, t);
        n->b = t.text.p[0] == 't';
        return n;
    case GO_I_CHARCONST:
    case GO_I_COMPLEX:
    case GO_I_NUMBER:
    case GO_I_STRING:
    case GO_I_RAW:
        return literal(p, t);
    case GO_I_LPAREN:
        return pipeline(p, "parenthesized pipeline", GO_I_RPAREN);
    default:
        backup(p);
        return NULL;
    }
}

static struct go_node *operand(struct parser *p)
{
    struct go_node *n = term(p);
    if (!n || peek(p).type != GO_I_FIELD)
        return n;
    struct go_token first = peek(p);
    struct go_node *chain = n;
    if (n->type == GO_N_FIELD || n->type == GO_N_VAR) {
        n->pos = first.pos; /* where Go's messages point */
        n->line = first.line;
    } else {
        chain = node(p, GO_N_CHAIN, first);
        go_node_add(p->c, chain, n);
    }
    while (peek(p).type == GO_I_FIELD) {
        struct go_token t = next(p);
        add_name(p, chain, (struct text){t.text.p + 1, t.text.n - 1});
    }
    if (n->type == GO_N_BOOL || n->type == GO_N_STRING || n->type == GO_N_NUMBER ||
        n->type == GO_N_NIL || n->type == GO_N_DOT) {
        struct sink k, q;
        tpl_sink(p->c, &k);
        tpl_sink(p->c, &q);
        go_put_node(p->c, &k, n);
        go_put_quoted(p->c, &q, tpl_str(p->c, k.p, k.n, false), false);
        fail(p, "unexpected . after term %.*s", (int)q.n, q.p);
    }
    return chain;
}

static struct go_node *command(struct parser *p)
{
    struct go_node *cmd = node(p, GO_N_COMMAND, peek_word(p));
    for (;;) {
        (void)peek_word(p);
        struct go_node *n = operand(p);
        if (n)
            go_node_add(p->c, cmd, n);
        struct go_token t = next(p);
        if (t.type == GO_I_SPACE)
            continue;
        if (t.type == GO_I_RIGHT || t.type == GO_I_RPAREN)
            backup(p);
        else if (t.type != GO_I_PIPE)
            unexpected(p, t, "operand");
        break;
    }
    if (!cmd->n_kid)
        fail(p, "empty command");
    return cmd;
}

static void declare(struct parser *p, struct go_node *pipe, struct go_token v)
{
    struct go_node *n = node(p, GO_N_VAR, v);
    add_name(p, n, v.text);
    pipe->decl[pipe->n_decl++] = n;
    add_var(p, n->name[0]);
}

/* `$x :=`, `$x =` and `$i, $x :=` at the head of a pipeline. */
static void declarations(struct parser *p, struct go_node *pipe, const char *context)
{
    while (peek_word(p).type == GO_I_VAR) {
        struct go_token v = next_word(p), behind = peek(p), then = peek_word(p);
        if (then.type == GO_I_ASSIGN || then.type == GO_I_DECLARE) {
            pipe->assign = then.type == GO_I_ASSIGN;
            next_word(p);
            if (pipe->n_decl == 2)
                fail(p, "too many declarations in %s", context);
            declare(p, pipe, v);
            return;
        }
        if (then.type == GO_I_CHAR && then.text.p[0] == ',') {
            next_word(p);
            if (pipe->n_decl || strcmp(context, "range") != 0)
                fail(p, "too many declarations in %s", context);
            declare(p, pipe, v);
            enum go_item ahead = peek_word(p).type;
            if (ahead != GO_I_VAR && ahead != GO_I_RIGHT && ahead != GO_I_RPAREN)
                fail(p, "range can only initialize variables");
            continue;
        }
        if (behind.type == GO_I_SPACE)
            backup3(p, v, behind);
        else
            backup2(p, v);
        return;
    }
}

static void check_pipeline(struct parser *p, const struct go_node *pipe, const char *context)
{
    if (!pipe->n_kid)
        fail(p, "missing value for %s", context);
    for (size_t i = 1; i < pipe->n_kid; i++)
        switch (pipe->kid[i]->kid[0]->type) {
        case GO_N_BOOL:
        case GO_N_DOT:
        case GO_N_NIL:
        case GO_N_NUMBER:
        case GO_N_STRING:
            fail(p, "non executable command in pipeline stage %zu", i + 1);
        default:
            break;
        }
}

static struct go_node *pipeline(struct parser *p, const char *context, enum go_item end)
{
    struct go_node *pipe = node(p, GO_N_PIPE, peek_word(p));
    enter(p);
    declarations(p, pipe, context);
    for (;;) {
        struct go_token t = next_word(p);
        if (t.type == end)
            break;
        switch (t.type) {
        case GO_I_BOOL:
        case GO_I_CHARCONST:
        case GO_I_COMPLEX:
        case GO_I_DOT:
        case GO_I_FIELD:
        case GO_I_IDENT:
        case GO_I_NUMBER:
        case GO_I_NIL:
        case GO_I_RAW:
        case GO_I_STRING:
        case GO_I_VAR:
        case GO_I_LPAREN:
            backup(p);
            go_node_add(p->c, pipe, command(p));
            break;
        default:
            unexpected(p, t, context);
        }
    }
    check_pipeline(p, pipe, context);
    leave(p);
    return pipe;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static struct go_node *item_list(struct parser *p, struct go_node **end);

static struct go_node *control(struct parser *p, enum go_node_type type, struct go_token head)
{
    const char *context = type == GO_N_IF ? "if" : type == GO_N_WITH ? "with" : "range";
    const size_t n_var = p->u->n_var;
    struct go_node *first = NULL, **place = &first, *end;
    int links = 0;
    enter(p);
    for (;;) { /* once, and again for each `else if` */
        struct go_node *n = node(p, type, head);
        if (!first)
            first = n;
        else {
            *place = node(p, GO_N_LIST, head);
            go_node_add(p->c, *place, n);
        }
        n->pipe = pipeline(p, context, GO_I_RIGHT);
        n->pos = n->pipe->pos;
        n->line = n->pipe->line;
        p->u->ranges += type == GO_N_RANGE;
        n->list = item_list(p, &end);
        p->u->ranges -= type == GO_N_RANGE;
        if (end->type == GO_N_END)
            break;
        enum go_item ahead = peek(p).type;
        if ((type == GO_N_IF && ahead == GO_I_IF) || (type == GO_N_WITH && ahead == GO_I_WITH)) {
            head = next(p);
            place = &n->alt;
            enter(p);
            p->nest--;
            links++;
            continue;
        }
        n->alt = item_list(p, &end);
        if (end->type != GO_N_END)
            fail(p, "expected end; found {{else}}");
        break;
    }
    p->u->n_var = n_var;
    p->height -= links;
    leave(p);
    return first;
}

static struct str *template_name(struct parser *p, struct go_token t, const char *context)
{
    struct str *s;
    if (t.type != GO_I_STRING && t.type != GO_I_RAW)
        unexpected(p, t, context);
    s = go_unquote(p->c, t.text);
    if (!s)
        fail(p, "invalid syntax");
    return s;
}

static void add_define(struct parser *p, struct str *name, struct go_node *root)
{
    struct go_template *g = p->g;
    for (size_t i = 0; i < g->n_define; i++) {
        if (!tpl_str_same(g->define[i].name, name))
            continue;
        if (go_empty(g->define[i].root))
            g->define[i].root = root;
        else if (!go_empty(root))
            fail(p, "template: multiple definition of template \"%.*s\"", (int)name->n, name->p);
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
    add_var(p, tpl_str(p->c, "$", 1, true));
}

/* The body of a define or block, in variables of its own. */
static void body(struct parser *p, struct str *name, const char *context)
{
    struct unit u, *outer = p->u;
    struct go_node *end;
    start_unit(p, &u);
    if (!name) {
        name = template_name(p, next_word(p), context);
        expect(p, GO_I_RIGHT, context);
    }
    enter(p);
    struct go_node *root = item_list(p, &end);
    if (end->type != GO_N_END)
        fail(p, "unexpected {{else}} in %s", context);
    add_define(p, name, root);
    leave(p);
    p->u = outer;
}

static struct go_node *template_action(struct parser *p, bool block)
{
    const char *context = block ? "block clause" : "template clause";
    struct go_token t = next_word(p);
    struct go_node *n = node(p, GO_N_TEMPLATE, t);
    n->text = template_name(p, t, context);
    n->source = word(p, t.text);
    if (block || next_word(p).type != GO_I_RIGHT) {
        if (!block)
            backup(p);
        n->pipe = pipeline(p, context, GO_I_RIGHT);
    }
    if (block)
        body(p, n->text, context);
    return n;
}

static struct go_node *jump(struct parser *p, enum go_node_type type, struct go_token head)
{
    const char *context = type == GO_N_BREAK ? "{{break}}" : "{{continue}}";
    struct go_token t = next_word(p);
    if (t.type != GO_I_RIGHT)
        unexpected(p, t, context);
    if (!p->u->ranges)
        fail(p, "%s outside {{range}}", context);
    return node(p, type, head);
}

static struct go_node *else_action(struct parser *p)
{
    struct go_token t = peek_word(p);
    if (t.type != GO_I_IF && t.type != GO_I_WITH)
        t = expect(p, GO_I_RIGHT, "else");
    return node(p, GO_N_ELSE, t);
}

static struct go_node *action(struct parser *p)
{
    struct go_token t = next_word(p);
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
        return node(p, GO_N_END, expect(p, GO_I_RIGHT, "end"));
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
    backup(p);
    struct go_node *n = node(p, GO_N_ACTION, peek(p));
    n->pipe = pipeline(p, "command", GO_I_RIGHT);
    return n;
}

static struct go_node *text_or_action(struct parser *p)
{
    struct go_token t = next_word(p);
    if (t.type == GO_I_TEXT) {
        struct go_node *n = node(p, GO_N_TEXT, t);
        n->text = word(p, t.text);
        return n;
    }
    if (t.type != GO_I_LEFT)
        unexpected(p, t, "input");
    p->action_line = t.line;
    struct go_node *n = action(p);
    p->action_line = 0;
    return n;
}

static struct go_node *item_list(struct parser *p, struct go_node **end)
{
    struct go_node *list = node(p, GO_N_LIST, peek_word(p));
    while (peek_word(p).type != GO_I_EOF) {
        struct go_node *n = text_or_action(p);
        if (n->type == GO_N_END || n->type == GO_N_ELSE) {
            *end = n;
            return list;
        }
        go_node_add(p->c, list, n);
    }
    fail(p, "unexpected EOF");
}

void go_parse(struct go_template *g, struct tpl *c, const char *source, size_t n)
{
    struct unit u;
    struct parser p = {
        .c = c, .g = g, .lex = {.c = c, .s = source, .n = n, .line = 1, .start_line = 1}};
    g->source = source;
    g->n_source = n;
    start_unit(&p, &u);
    g->root = node(&p, GO_N_LIST, peek(&p));
    while (peek(&p).type != GO_I_EOF) {
        if (peek(&p).type == GO_I_LEFT) {
            struct go_token left = next(&p);
            if (next_word(&p).type == GO_I_DEFINE) {
                body(&p, NULL, "define clause");
                continue;
            }
            backup2(&p, left);
        }
        struct go_node *one = text_or_action(&p);
        if (one->type == GO_N_END || one->type == GO_N_ELSE)
            fail(&p, "unexpected {{%s}}", one->type == GO_N_END ? "end" : "else");
        go_node_add(c, g->root, one);
    }
    go_look(g, c);
}
