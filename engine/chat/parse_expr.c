/* engine/chat/parse_expr.c - expressions of the template language to a tree.
 *
 * Precedence and the odd corners (filters bind tighter than `**`, `**` goes left to right, a test
 * takes one argument without brackets) are Jinja's. Two bounds keep the evaluator's stack small:
 * brackets open at once (nest) and the height of a tree that grows to the left (height). */
#include <string.h>
#include "engine/chat/syntax.h"

static struct node *binary(struct parser *p, enum node_kind kind, int op, struct node *a,
                           struct node *b)
{
    struct node *n = tpl_node(p, kind);
    n->op = (uint8_t)op;
    n->a = a;
    n->b = b;
    tpl_node_high(p, n, a);
    tpl_node_high(p, n, b);
    if (a)
        n->line = a->line;
    return n;
}

static struct node *constant(struct parser *p, struct val v)
{
    struct node *n = tpl_node(p, N_CONST);
    n->v = v;
    return n;
}

static struct node *parse_unary(struct parser *p, bool with_filter);
static struct node *parse_primary(struct parser *p);
static struct node *parse_postfix(struct parser *p, struct node *n);

static void name_uses(struct parser *p, const struct token *t)
{
    if (!p->macro_uses)
        return;
    if (t->n == 7 && memcmp(t->p, "varargs", 7) == 0)
        *p->macro_uses |= 1;
    else if (t->n == 6 && memcmp(t->p, "kwargs", 6) == 0)
        *p->macro_uses |= 2;
    else if (t->n == 6 && memcmp(t->p, "caller", 6) == 0)
        *p->macro_uses |= 4;
}

/* The token's text as a value: counted and hashed now, since renders only read it. */
struct str *tpl_name_str(struct parser *p, const struct token *t)
{
    struct str *s = tpl_str(p->c, t->p, t->n, true);
    tpl_str_chars(p->c, s);
    tpl_hash(p->c, tpl_str_val(s));
    return s;
}

static struct node *parse_name(struct parser *p)
{
    static const struct {
        const char *word;
        struct val v;
    } words[] = {
        {"true", {.type = T_BOOL, .b = true}}, {"True", {.type = T_BOOL, .b = true}},
        {"false", {.type = T_BOOL, .b = false}}, {"False", {.type = T_BOOL, .b = false}},
        {"none", {.type = T_NONE}}, {"None", {.type = T_NONE}},
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (tpl_at_name(p, words[i].word)) {
            struct node *n = constant(p, words[i].v);
            p->t++;
            return n;
        }
    struct node *n = tpl_node(p, N_NAME);
    n->v = tpl_str_val(tpl_name_str(p, p->t));
    n->sym = tpl_symbol(p->c, &p->j->syms, p->t->p, p->t->n, true);
    name_uses(p, p->t);
    p->t++;
    return n;
}

static struct node *parse_strings(struct parser *p)
{
    struct node *n = constant(p, p->t->v);
    for (p->t++; p->t->type == K_STR; p->t++)
        n->v = tpl_str_val(tpl_str_join2(p->c, n->v.s, p->t->v.s));
    tpl_str_chars(p->c, n->v.s);
    tpl_hash(p->c, n->v);
    return n;
}

static struct node *parse_list(struct parser *p)
{
    struct node *n = tpl_node(p, N_LIST);
    p->t++;
    while (p->t->type != K_RBRACKET) {
        if (n->n_kids) {
            tpl_expect(p, K_COMMA);
            if (p->t->type == K_RBRACKET)
                break;
        }
        struct node *kid = tpl_parse_expr(p, true);
        tpl_node_high(p, n, kid);
        tpl_add_kid(p, &n->kids, &n->n_kids, kid);
    }
    tpl_expect(p, K_RBRACKET);
    return n;
}

static struct node *parse_dict(struct parser *p)
{
    struct node *n = tpl_node(p, N_DICT);
    p->t++;
    while (p->t->type != K_RBRACE) {
        if (n->n_kids) {
            tpl_expect(p, K_COMMA);
            if (p->t->type == K_RBRACE)
                break;
        }
        struct node *key = tpl_parse_expr(p, true);
        tpl_expect(p, K_COLON);
        struct node *value = tpl_parse_expr(p, true);
        tpl_node_high(p, n, key);
        tpl_node_high(p, n, value);
        tpl_add_kid(p, &n->kids, &n->n_kids, key);
        tpl_add_kid(p, &n->more, &n->n_more, value);
    }
    tpl_expect(p, K_RBRACE);
    return n;
}

static struct node *parse_primary(struct parser *p)
{
    struct node *n;
    char what[80];
    switch (p->t->type) {
    case K_NAME: return parse_name(p);
    case K_STR: return parse_strings(p);
    case K_INT:
    case K_FLOAT:
        n = constant(p, p->t->v);
        p->t++;
        return n;
    case K_LPAREN:
        tpl_nest(p, 1);
        p->t++;
        n = tpl_parse_tuple(p, false, true, NULL, true);
        tpl_expect(p, K_RPAREN);
        tpl_nest(p, -1);
        return n;
    case K_LBRACKET:
    case K_LBRACE:
        tpl_nest(p, 1);
        n = p->t->type == K_LBRACKET ? parse_list(p) : parse_dict(p);
        tpl_nest(p, -1);
        return n;
    default: tpl_describe(p->t, what); tpl_syntax(p, "unexpected '%s'", what);
    }
}

struct node *tpl_parse_tuple(struct parser *p, bool simple, bool with_cond, const char *end_word,
                             bool parens)
{
    struct node *tuple = tpl_node(p, N_TUPLE);
    bool is_tuple = false;
    for (;;) {
        if (tuple->n_kids)
            tpl_expect(p, K_COMMA);
        enum token_type t = p->t->type;
        if (t == K_VAR_END || t == K_BLOCK_END || t == K_RPAREN ||
            (end_word && tpl_at_name(p, end_word)))
            break;
        struct node *kid = simple ? parse_primary(p) : tpl_parse_expr(p, with_cond);
        tpl_node_high(p, tuple, kid);
        tpl_add_kid(p, &tuple->kids, &tuple->n_kids, kid);
        if (p->t->type != K_COMMA)
            break;
        is_tuple = true;
    }
    if (is_tuple)
        return tuple;
    if (tuple->n_kids)
        return tuple->kids[0];
    if (!parens) {
        char what[80];
        tpl_describe(p->t, what);
        tpl_syntax(p, "Expected an expression, got '%s'", what);
    }
    return tuple;
}

/* ---- postfix: .name [key] (call) |filter, is test -------------------------------------------- */

static void parse_args(struct parser *p, struct node *n)
{
    tpl_expect(p, K_LPAREN);
    tpl_nest(p, 1);
    bool any = false;
    while (p->t->type != K_RPAREN) {
        if (any) {
            tpl_expect(p, K_COMMA);
            if (p->t->type == K_RPAREN)
                break;
        }
        any = true;
        struct node *kid;
        if (p->t->type == K_MUL || p->t->type == K_POW) {
            struct node **to = p->t->type == K_MUL ? &n->b : &n->c;
            if (*to || n->c || (n->kind != N_CALL && n->kind != N_FILTER))
                tpl_syntax(p, "invalid syntax for function call expression");
            p->t++;
            *to = kid = tpl_parse_expr(p, true);
        } else if (p->t->type == K_NAME && p->t[1].type == K_ASSIGN) {
            if (n->c)
                tpl_syntax(p, "invalid syntax for function call expression");
            struct str **names = tpl_alloc(p->c, (n->n_more + 1) * sizeof *names);
            if (n->n_more)
                memcpy(names, n->names, n->n_more * sizeof *names);
            names[n->n_more] = tpl_name_str(p, p->t);
            n->names = names;
            p->t += 2;
            kid = tpl_parse_expr(p, true);
            tpl_add_kid(p, &n->more, &n->n_more, kid);
            if (n->n_more > 256)
                tpl_syntax(p, "too many named arguments");
        } else {
            if (n->b || n->c || n->n_more)
                tpl_syntax(p, "invalid syntax for function call expression");
            kid = tpl_parse_expr(p, true);
            tpl_add_kid(p, &n->kids, &n->n_kids, kid);
        }
        tpl_node_high(p, n, kid);
    }
    tpl_expect(p, K_RPAREN);
    tpl_nest(p, -1);
}

static struct node *parse_call(struct parser *p, struct node *on)
{
    struct node *n = tpl_node(p, N_CALL);
    n->a = on;
    n->line = on->line;
    tpl_node_high(p, n, on);
    parse_args(p, n);
    return n;
}

/* One of the parts between the commas of [..]: an expression or a slice. */
static struct node *parse_subscript(struct parser *p, struct node *on)
{
    struct node *part[3] = {NULL, NULL, NULL};
    int i = 0;
    bool slice = false;
    while (p->t->type != K_RBRACKET && p->t->type != K_COMMA) {
        if (p->t->type == K_COLON) {
            if (i == 2) /* a third colon */
                tpl_expect(p, K_COMMA);
            slice = true;
            p->t++;
            i++;
        } else {
            if (part[i])
                tpl_expect(p, K_RBRACKET);
            part[i] = tpl_parse_expr(p, true);
        }
    }
    if (!slice && !part[0])
        tpl_syntax(p, "expected subscript expression");
    if (!slice)
        return binary(p, N_ITEM, 0, on, part[0]);
    struct node *n = binary(p, N_SLICE, 0, on, part[0]);
    n->c = part[1];
    if (n->c)
        tpl_node_high(p, n, n->c);
    if (part[2]) {
        tpl_node_high(p, n, part[2]);
        tpl_add_kid(p, &n->kids, &n->n_kids, part[2]);
    }
    return n;
}

static struct node *parse_brackets(struct parser *p, struct node *on)
{
    tpl_nest(p, 1);
    p->t++;
    struct node *n = parse_subscript(p, on);
    if (p->t->type == K_COMMA) { /* a[1, 2]: the key is a tuple */
        struct node *tuple = tpl_node(p, N_TUPLE);
        if (n->kind != N_ITEM)
            tpl_syntax(p, "a slice in a list of keys");
        tpl_add_kid(p, &tuple->kids, &tuple->n_kids, n->b);
        tpl_node_high(p, tuple, n->b);
        while (tpl_skip(p, K_COMMA)) {
            struct node *kid = tpl_parse_expr(p, true);
            tpl_add_kid(p, &tuple->kids, &tuple->n_kids, kid);
            tpl_node_high(p, tuple, kid);
        }
        n = binary(p, N_ITEM, 0, on, tuple);
    }
    tpl_expect(p, K_RBRACKET);
    tpl_nest(p, -1);
    return n;
}

static struct node *parse_dot(struct parser *p, struct node *on)
{
    p->t++;
    struct node *n;
    if (p->t->type == K_NAME) {
        n = binary(p, N_ATTR, 0, on, NULL);
        n->v = tpl_str_val(tpl_name_str(p, p->t));
        n->m = tpl_methods(p->t->p, p->t->n);
    } else if (p->t->type == K_INT) {
        n = binary(p, N_ITEM, 0, on, constant(p, p->t->v));
    } else {
        tpl_syntax(p, "expected name or number");
    }
    p->t++;
    return n;
}

static struct node *parse_postfix(struct parser *p, struct node *n)
{
    for (;;) {
        if (p->t->type == K_DOT)
            n = parse_dot(p, n);
        else if (p->t->type == K_LBRACKET)
            n = parse_brackets(p, n);
        else if (p->t->type == K_LPAREN)
            n = parse_call(p, n);
        else
            return n;
    }
}

/* A filter's or test's name, which may have dots. */
static struct str *dotted_name(struct parser *p)
{
    struct str *s = tpl_name_str(p, tpl_expect(p, K_NAME));
    while (p->t->type == K_DOT) {
        p->t++;
        s = tpl_str_join2(p->c, s, tpl_str(p->c, ".", 1, true));
        s = tpl_str_join2(p->c, s, tpl_name_str(p, tpl_expect(p, K_NAME)));
    }
    return s;
}

struct node *tpl_parse_filters(struct parser *p, struct node *on, bool at_name)
{
    while (p->t->type == K_PIPE || at_name) {
        if (!at_name)
            p->t++;
        at_name = false;
        struct node *n = binary(p, N_FILTER, 0, on, NULL);
        struct token *t = p->t;
        struct str *name = dotted_name(p);
        n->line = t->line;
        n->v = tpl_str_val(name);
        n->fn = tpl_filter(name->p, name->n);
        if (!n->fn && !p->soft) {
            p->t = t;
            tpl_syntax(p, "No filter named '%.*s'.", (int)(name->n < 99 ? name->n : 99), name->p);
        }
        if (p->t->type == K_LPAREN)
            parse_args(p, n);
        on = n;
    }
    return on;
}

static struct node *parse_test(struct parser *p, struct node *on)
{
    p->t++;
    bool negated = tpl_skip_name(p, "not");
    struct token *t = p->t;
    struct node *n = tpl_node(p, N_TEST);
    struct str *name = dotted_name(p);
    n->v = tpl_str_val(name);
    n->fn = tpl_test(name->p, name->n);
    n->a = on;
    tpl_node_high(p, n, on);
    if (!n->fn && !p->soft) {
        p->t = t;
        tpl_syntax(p, "No test named '%.*s'.", (int)(name->n < 99 ? name->n : 99), name->p);
    }
    enum token_type k = p->t->type;
    if (k == K_LPAREN) {
        parse_args(p, n);
    } else if ((k == K_NAME || k == K_STR || k == K_INT || k == K_FLOAT || k == K_LBRACKET ||
                k == K_LBRACE) &&
               !tpl_at_name(p, "else") && !tpl_at_name(p, "or") && !tpl_at_name(p, "and")) {
        if (tpl_at_name(p, "is"))
            tpl_syntax(p, "You cannot chain multiple tests with is");
        struct node *arg = parse_postfix(p, parse_primary(p));
        tpl_node_high(p, n, arg);
        tpl_add_kid(p, &n->kids, &n->n_kids, arg);
    }
    return negated ? binary(p, N_NOT, 0, n, NULL) : n;
}

static struct node *parse_unary(struct parser *p, bool with_filter)
{
    struct node *n;
    if (p->t->type == K_SUB || p->t->type == K_ADD) {
        enum node_kind kind = p->t->type == K_SUB ? N_NEG : N_POS;
        p->t++;
        tpl_nest(p, 1);
        n = binary(p, kind, 0, parse_unary(p, false), NULL);
        tpl_nest(p, -1);
    } else {
        n = parse_primary(p);
    }
    n = parse_postfix(p, n);
    while (with_filter) {
        if (p->t->type == K_PIPE)
            n = tpl_parse_filters(p, n, false);
        else if (tpl_at_name(p, "is"))
            n = parse_test(p, n);
        else if (p->t->type == K_LPAREN)
            n = parse_call(p, n);
        else
            break;
    }
    return n;
}

/* ---- operators ------------------------------------------------------------------------------- */

static struct node *parse_pow(struct parser *p)
{
    struct node *n = parse_unary(p, true);
    while (tpl_skip(p, K_POW))
        n = binary(p, N_BINARY, K_POW, n, parse_unary(p, true));
    return n;
}

static struct node *parse_product(struct parser *p)
{
    struct node *n = parse_pow(p);
    for (;;) {
        enum token_type t = p->t->type;
        if (t != K_MUL && t != K_DIV && t != K_FLOORDIV && t != K_MOD)
            return n;
        p->t++;
        n = binary(p, N_BINARY, (int)t, n, parse_pow(p));
    }
}

static struct node *parse_concat(struct parser *p)
{
    struct node *first = parse_product(p);
    if (p->t->type != K_TILDE)
        return first;
    struct node *n = tpl_node(p, N_CONCAT);
    n->line = first->line;
    tpl_node_high(p, n, first);
    tpl_add_kid(p, &n->kids, &n->n_kids, first);
    while (tpl_skip(p, K_TILDE)) {
        struct node *kid = parse_product(p);
        tpl_node_high(p, n, kid);
        tpl_add_kid(p, &n->kids, &n->n_kids, kid);
    }
    return n;
}

static struct node *parse_sum(struct parser *p)
{
    struct node *n = parse_concat(p);
    while (p->t->type == K_ADD || p->t->type == K_SUB) {
        int op = (int)p->t->type;
        p->t++;
        n = binary(p, N_BINARY, op, n, parse_concat(p));
    }
    return n;
}

static int compare_op(struct parser *p)
{
    enum token_type t = p->t->type;
    if (t == K_EQ || t == K_NE || t == K_LT || t == K_LE || t == K_GT || t == K_GE) {
        p->t++;
        return (int)t;
    }
    if (tpl_skip_name(p, "in"))
        return OP_IN;
    if (tpl_at_name(p, "not") && p->t[1].type == K_NAME && p->t[1].n == 2 &&
        memcmp(p->t[1].p, "in", 2) == 0) {
        p->t += 2;
        return OP_NOT_IN;
    }
    return 0;
}

static struct node *parse_compare(struct parser *p)
{
    struct node *first = parse_sum(p), *n = NULL;
    int op;
    while ((op = compare_op(p)) != 0) {
        if (!n) {
            n = tpl_node(p, N_COMPARE);
            n->a = first;
            n->line = first->line;
            tpl_node_high(p, n, first);
        }
        uint8_t *ops = tpl_alloc(p->c, n->n_kids + 1);
        if (n->n_kids)
            memcpy(ops, n->ops, n->n_kids);
        ops[n->n_kids] = (uint8_t)op;
        n->ops = ops;
        struct node *kid = parse_sum(p);
        tpl_node_high(p, n, kid);
        tpl_add_kid(p, &n->kids, &n->n_kids, kid);
        if (n->n_kids > 256)
            tpl_syntax(p, "too many comparisons in a row");
    }
    return n ? n : first;
}

static struct node *parse_not(struct parser *p)
{
    if (!tpl_skip_name(p, "not"))
        return parse_compare(p);
    tpl_nest(p, 1);
    struct node *n = binary(p, N_NOT, 0, parse_not(p), NULL);
    tpl_nest(p, -1);
    return n;
}

static struct node *parse_and(struct parser *p)
{
    struct node *n = parse_not(p);
    while (tpl_skip_name(p, "and"))
        n = binary(p, N_AND, 0, n, parse_not(p));
    return n;
}

static struct node *parse_or(struct parser *p)
{
    struct node *n = parse_and(p);
    while (tpl_skip_name(p, "or"))
        n = binary(p, N_OR, 0, n, parse_and(p));
    return n;
}

struct node *tpl_parse_expr(struct parser *p, bool with_cond)
{
    struct node *n = parse_or(p);
    while (with_cond && tpl_skip_name(p, "if")) {
        struct node *cond = parse_or(p), *other = NULL;
        if (tpl_skip_name(p, "else")) {
            tpl_nest(p, 1);
            other = tpl_parse_expr(p, true);
            tpl_nest(p, -1);
        }
        n = binary(p, N_COND, 0, cond, n);
        n->c = other;
        if (other)
            tpl_node_high(p, n, other);
    }
    return n;
}

struct node *tpl_parse_target(struct parser *p, bool with_namespace, const char *end_word)
{
    if (with_namespace && p->t->type == K_NAME && p->t[1].type == K_DOT) {
        struct node *n = tpl_node(p, N_NSREF);
        n->a = parse_name(p);
        p->t++;
        n->v = tpl_str_val(tpl_name_str(p, tpl_expect(p, K_NAME)));
        return n;
    }
    return tpl_parse_tuple(p, true, true, end_word, false);
}
