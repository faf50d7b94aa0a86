/* engine/chat/syntax.h - tokens and tree of a Jinja template: what lex.c gives to parse*.c, and
 * these to eval.c and exec.c. Read-only after the parse. */
#ifndef CHASKI_CHAT_SYNTAX_H
#define CHASKI_CHAT_SYNTAX_H

#include "engine/chat/template.h"

enum token_type {
    K_EOF, K_DATA, K_VAR, K_VAR_END, K_BLOCK, K_BLOCK_END, K_NAME, K_STR, K_INT, K_FLOAT,
    K_ADD, K_SUB, K_DIV, K_FLOORDIV, K_MUL, K_MOD, K_POW, K_TILDE, K_LBRACKET, K_RBRACKET,
    K_LPAREN, K_RPAREN, K_LBRACE, K_RBRACE, K_EQ, K_NE, K_GT, K_GE, K_LT, K_LE, K_ASSIGN, K_DOT,
    K_COLON, K_PIPE, K_COMMA, K_SEMICOLON,
};
struct token {
    enum token_type type;
    uint32_t line, col;
    const char *p; /* as it stands in the source */
    size_t n;
    struct val v; /* K_STR, K_INT, K_FLOAT, K_DATA */
};
struct tokens {
    struct token *t;
    size_t n;
};
/* Cuts the source; fails through c. Ends with K_EOF. */
struct tokens tpl_lex(struct tpl *c, const char *source, size_t n);

enum node_kind {
    /* expressions */
    N_CONST, N_NAME, N_LIST, N_TUPLE, N_DICT, N_ATTR, N_ITEM, N_SLICE, N_CALL, N_FILTER, N_TEST,
    N_BINARY, N_NEG, N_POS, N_NOT, N_AND, N_OR, N_COMPARE, N_CONCAT, N_COND,
    /* statements */
    N_DATA, N_OUTPUT, N_IF, N_FOR, N_SET, N_SET_BLOCK, N_MACRO, N_CALL_BLOCK, N_FILTER_BLOCK,
    N_WITH, N_BLOCK, N_BODY, N_BREAK, N_CONTINUE, N_AUTOESCAPE,
    /* target of an assignment */
    N_NSREF,
};
enum { OP_IN = 100, OP_NOT_IN };

struct node {
    uint8_t kind;
    uint8_t op; /* token type, or OP_IN.. */
    bool flag;  /* N_FOR: recursive; N_CALL: has * or ** */
    uint16_t height;
    uint32_t line;
    uint32_t sym;
    uint32_t n_kids, n_more;
    struct node *a, *b, *c;
    struct node **kids, **more; /* N_CALL and N_FILTER: arguments, and values of named ones */
    struct str **names;         /* names of `more` */
    uint8_t *ops;               /* N_COMPARE: the operator before kids[i] */
    struct val v;               /* N_CONST, N_DATA; the name of N_ATTR, N_NAME, N_FILTER */
    const struct func *fn;
    struct methods m;
};

/* What stands in which field:
 * N_ITEM a[b]; N_SLICE a[b:c:kids[0]]; N_CALL a(kids, more), with * in b and ** in c
 * N_FILTER a|fn(kids, more) (a NULL: of a block); N_TEST a is fn(kids)
 * N_COMPARE a ops kids; N_COND: b if a else c
 * N_IF: kids are condition, body, condition, body.. and c the else body
 * N_FOR: for a in b if c: kids[0] body, kids[1] else or NULL; flag recursive
 * N_SET a = b; N_SET_BLOCK a, filter b, body c; N_WITH: kids targets, more values, c body
 * N_MACRO: sym, v the name, kids parameters (N_NAME), more their defaults (last ones), c body,
 *          op bits 1 varargs 2 kwargs 4 caller; N_CALL_BLOCK: a the call, b an N_MACRO
 * N_FILTER_BLOCK: filter a, body c; N_BODY: kids */

struct macro {
    const struct node *n;
    struct scope *scope;
};

struct symbols {
    struct str **names;
    uint32_t n, cap;
    uint32_t *index;
    uint32_t n_index;
};
struct jinja {
    struct node *body;
    struct symbols syms;
    uint32_t sym_loop, sym_caller, sym_varargs, sym_kwargs;
};
/* Parses into the pools of c. */
struct jinja *tpl_parse(struct tpl *c, const char *source, size_t n);
uint32_t tpl_symbol(struct tpl *c, struct symbols *s, const char *p, size_t n, bool add);
#define NO_SYMBOL UINT32_MAX

/* ---- between parse.c and parse_expr.c -------------------------------------------------------- */

struct parser {
    struct tpl *c;
    struct jinja *j;
    struct token *t; /* the current one */
    int nest;
    bool soft; /* inside an if: unknown filters are found out when they run */
    uint8_t *macro_uses; /* bits of the macro in work, or NULL */
    int in_loop;
};
struct node *tpl_node(struct parser *p, enum node_kind kind);
void tpl_node_high(struct parser *p, struct node *n, const struct node *kid);
bool tpl_at_name(const struct parser *p, const char *name);
bool tpl_skip(struct parser *p, enum token_type type);
bool tpl_skip_name(struct parser *p, const char *name);
struct token *tpl_expect(struct parser *p, enum token_type type);
void tpl_nest(struct parser *p, int by);
_Noreturn void tpl_syntax(struct parser *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void tpl_describe(const struct token *t, char out[80]);

struct str *tpl_name_str(struct parser *p, const struct token *t);
struct node *tpl_parse_expr(struct parser *p, bool with_cond);
struct node *tpl_parse_tuple(struct parser *p, bool simple, bool with_cond, const char *end_word,
                             bool parens);
struct node *tpl_parse_target(struct parser *p, bool with_namespace, const char *end_word);
struct node *tpl_parse_filters(struct parser *p, struct node *on, bool at_name);
void tpl_add_kid(struct parser *p, struct node ***kids, uint32_t *n, struct node *kid);

/* eval.c */
struct val tpl_eval(struct tpl *c, const struct node *n, struct scope *s);
struct val tpl_eval_filter(struct tpl *c, const struct node *n, struct val on, struct scope *s);
/* exec.c */
void tpl_exec_all(struct tpl *c, const struct node *body, struct scope *s);
struct val tpl_lookup_name(struct tpl *c, const struct scope *s, const struct node *n);
struct scope *tpl_scope(struct tpl *c, struct scope *up);
void tpl_scope_keep(struct scope *s);
void tpl_assign(struct tpl *c, struct scope *s, uint32_t sym, struct val v);
/* Arguments of a call or filter; there is room for one more named one. */
void tpl_eval_args(struct tpl *c, const struct node *n, struct scope *s, struct args *out);

#endif
