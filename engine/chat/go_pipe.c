/* engine/chat/go_pipe.c - words -> operands, commands and pipelines of a Go template. */
#include <string.h>
#include "engine/chat/go_parse.h"

static struct go_node *use_var(struct parser *p, struct go_token t)
{
    struct go_node *n = gp_node(p, GO_N_VAR, t);
    gp_add_name(p, n, t.text);
    tpl_charge(p->c, p->u->n_var / 16);
    for (size_t i = 0; i < p->u->n_var; i++)
        if (tpl_str_same(p->u->var[i], n->name[0]))
            return n;
    gp_fail(p, "undefined variable \"%.*s\"", (int)t.text.n, t.text.p);
}

static struct go_node *literal(struct parser *p, struct go_token t)
{
    struct go_node *n =
        gp_node(p, t.type == GO_I_STRING || t.type == GO_I_RAW ? GO_N_STRING : GO_N_NUMBER, t);
    n->source = gp_word(p, t.text);
    n->text = n->source;
    if (n->type == GO_N_STRING) {
        n->text = go_unquote(p->c, t.text);
        if (!n->text)
            gp_fail(p, "invalid syntax");
        return n;
    }
    const char *words = go_read_number(p->c, n, t.text, t.type);
    if (words)
        gp_fail(p, "%s", words);
    return n;
}

static struct go_node *term(struct parser *p)
{
    struct go_token t = gp_next_word(p);
    struct go_node *n;
    switch (t.type) {
    case GO_I_IDENT:
        n = gp_node(p, GO_N_IDENT, t);
        n->text = gp_word(p, t.text);
        n->fn = go_func_find(t.text.p, t.text.n);
        if (!n->fn)
            gp_fail(p, "function \"%.*s\" not defined", (int)t.text.n, t.text.p);
        return n;
    case GO_I_DOT:
        return gp_node(p, GO_N_DOT, t);
    case GO_I_NIL:
        return gp_node(p, GO_N_NIL, t);
    case GO_I_VAR:
        return use_var(p, t);
    case GO_I_FIELD:
        n = gp_node(p, GO_N_FIELD, t);
        gp_add_name(p, n, (struct text){t.text.p + 1, t.text.n - 1});
        return n;
    case GO_I_BOOL:
        n = gp_node(p, GO_N_BOOL, t);
        n->b = t.text.p[0] == 't';
        return n;
    case GO_I_CHARCONST:
    case GO_I_COMPLEX:
    case GO_I_NUMBER:
    case GO_I_STRING:
    case GO_I_RAW:
        return literal(p, t);
    case GO_I_LPAREN:
        return gp_pipeline(p, "parenthesized pipeline", GO_I_RPAREN);
    default:
        gp_backup(p);
        return NULL;
    }
}

static struct go_node *operand(struct parser *p)
{
    struct go_node *n = term(p);
    if (!n || gp_peek(p).type != GO_I_FIELD)
        return n;
    struct go_token first = gp_peek(p);
    struct go_node *chain = n;
    if (n->type == GO_N_FIELD || n->type == GO_N_VAR) {
        n->pos = first.pos; /* where Go's messages point */
        n->line = first.line;
    } else {
        chain = gp_node(p, GO_N_CHAIN, first);
        go_node_add(p->c, chain, n);
    }
    while (gp_peek(p).type == GO_I_FIELD) {
        struct go_token t = gp_next(p);
        gp_add_name(p, chain, (struct text){t.text.p + 1, t.text.n - 1});
    }
    if (n->type == GO_N_BOOL || n->type == GO_N_STRING || n->type == GO_N_NUMBER ||
        n->type == GO_N_NIL || n->type == GO_N_DOT) {
        struct sink k, q;
        tpl_sink(p->c, &k);
        tpl_sink(p->c, &q);
        go_put_node(p->c, &k, n);
        go_put_quoted(p->c, &q, tpl_str(p->c, k.p, k.n, false), false);
        gp_fail(p, "unexpected . after term %.*s", (int)q.n, q.p);
    }
    return chain;
}

static struct go_node *command(struct parser *p)
{
    struct go_node *cmd = gp_node(p, GO_N_COMMAND, gp_peek_word(p));
    for (;;) {
        (void)gp_peek_word(p);
        struct go_node *n = operand(p);
        if (n)
            go_node_add(p->c, cmd, n);
        struct go_token t = gp_next(p);
        if (t.type == GO_I_SPACE)
            continue;
        if (t.type == GO_I_RIGHT || t.type == GO_I_RPAREN)
            gp_backup(p);
        else if (t.type != GO_I_PIPE)
            gp_unexpected(p, t, "operand");
        break;
    }
    if (!cmd->n_kid)
        gp_fail(p, "empty command");
    return cmd;
}

static void declare(struct parser *p, struct go_node *pipe, struct go_token v)
{
    struct go_node *n = gp_node(p, GO_N_VAR, v);
    gp_add_name(p, n, v.text);
    pipe->decl[pipe->n_decl++] = n;
    gp_add_var(p, n->name[0]);
}

/* `$x :=`, `$x =` and `$i, $x :=` at the head of a pipeline. */
static void declarations(struct parser *p, struct go_node *pipe, const char *context)
{
    while (gp_peek_word(p).type == GO_I_VAR) {
        struct go_token v = gp_next_word(p), behind = gp_peek(p), then = gp_peek_word(p);
        if (then.type == GO_I_ASSIGN || then.type == GO_I_DECLARE) {
            pipe->assign = then.type == GO_I_ASSIGN;
            gp_next_word(p);
            if (pipe->n_decl == 2)
                gp_fail(p, "too many declarations in %s", context);
            declare(p, pipe, v);
            return;
        }
        if (then.type == GO_I_CHAR && then.text.p[0] == ',') {
            gp_next_word(p);
            if (pipe->n_decl || strcmp(context, "range") != 0)
                gp_fail(p, "too many declarations in %s", context);
            declare(p, pipe, v);
            enum go_item ahead = gp_peek_word(p).type;
            if (ahead != GO_I_VAR && ahead != GO_I_RIGHT && ahead != GO_I_RPAREN)
                gp_fail(p, "range can only initialize variables");
            continue;
        }
        if (behind.type == GO_I_SPACE)
            gp_backup3(p, v, behind);
        else
            gp_backup2(p, v);
        return;
    }
}

static void check_pipeline(struct parser *p, const struct go_node *pipe, const char *context)
{
    if (!pipe->n_kid)
        gp_fail(p, "missing value for %s", context);
    for (size_t i = 1; i < pipe->n_kid; i++)
        switch (pipe->kid[i]->kid[0]->type) {
        case GO_N_BOOL:
        case GO_N_DOT:
        case GO_N_NIL:
        case GO_N_NUMBER:
        case GO_N_STRING:
            gp_fail(p, "non executable command in pipeline stage %zu", i + 1);
        default:
            break;
        }
}

struct go_node *gp_pipeline(struct parser *p, const char *context, enum go_item end)
{
    struct go_node *pipe = gp_node(p, GO_N_PIPE, gp_peek_word(p));
    gp_enter(p);
    declarations(p, pipe, context);
    for (;;) {
        struct go_token t = gp_next_word(p);
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
            gp_backup(p);
            go_node_add(p->c, pipe, command(p));
            break;
        default:
            gp_unexpected(p, t, context);
        }
    }
    check_pipeline(p, pipe, context);
    gp_leave(p);
    return pipe;
}
