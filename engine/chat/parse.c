/* engine/chat/parse.c - statements of the template language to a tree; helpers of both parsers. */
#include <stdio.h>
#include <string.h>
#include "engine/chat/syntax.h"

/* ---- helpers --------------------------------------------------------------------------------- */

void tpl_syntax(struct parser *p, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    p->c->line = p->t->line;
    p->c->col = p->t->col;
    tpl_fail(p->c, "%s", text);
}

void tpl_describe(const struct token *t, char out[80])
{
    switch (t->type) {
    case K_EOF: strcpy(out, "end of template"); return;
    case K_DATA: strcpy(out, "template data / text"); return;
    case K_VAR: strcpy(out, "begin of print statement"); return;
    case K_VAR_END: strcpy(out, "end of print statement"); return;
    case K_BLOCK: strcpy(out, "begin of statement block"); return;
    case K_BLOCK_END: strcpy(out, "end of statement block"); return;
    default: snprintf(out, 80, "%.*s", (int)(t->n < 60 ? t->n : 60), t->p); return;
    }
}

struct node *tpl_node(struct parser *p, enum node_kind kind)
{
    struct node *n = tpl_alloc(p->c, sizeof *n);
    n->kind = (uint8_t)kind;
    n->line = p->t->line;
    n->height = 1;
    n->sym = NO_SYMBOL;
    return n;
}

void tpl_node_high(struct parser *p, struct node *n, const struct node *kid)
{
    if (kid && kid->height >= n->height) {
        if (kid->height >= TPL_MAX_HEIGHT)
            tpl_syntax(p, "an expression of more than %d operators in a row", TPL_MAX_HEIGHT);
        n->height = (uint16_t)(kid->height + 1);
    }
}

/* Room grows by powers of two, so that the count alone says how large it is. */
void tpl_add_kid(struct parser *p, struct node ***kids, uint32_t *n, struct node *kid)
{
    if ((*n & (*n - 1)) == 0) {
        size_t cap = *n ? (size_t)*n * 2 : 1;
        *kids = tpl_grow(p->c, *kids, *n * sizeof **kids, cap * sizeof **kids);
    }
    (*kids)[(*n)++] = kid;
}

bool tpl_at_name(const struct parser *p, const char *name)
{
    size_t n = strlen(name);
    return p->t->type == K_NAME && p->t->n == n && memcmp(p->t->p, name, n) == 0;
}

bool tpl_skip(struct parser *p, enum token_type type)
{
    if (p->t->type != type)
        return false;
    p->t++;
    return true;
}

bool tpl_skip_name(struct parser *p, const char *name)
{
    if (!tpl_at_name(p, name))
        return false;
    p->t++;
    return true;
}

struct token *tpl_expect(struct parser *p, enum token_type type)
{
    static const struct {
        enum token_type type;
        const char *name;
    } names[] = {{K_NAME, "name"}, {K_BLOCK_END, "end of statement block"},
                 {K_VAR_END, "end of print statement"}, {K_COMMA, ","}, {K_COLON, ":"},
                 {K_RPAREN, ")"}, {K_RBRACKET, "]"}, {K_RBRACE, "}"}, {K_LPAREN, "("},
                 {K_ASSIGN, "="}};
    if (p->t->type != type) {
        char what[80];
        const char *want = "token";
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            if (names[i].type == type)
                want = names[i].name;
        tpl_describe(p->t, what);
        if (p->t->type == K_EOF)
            tpl_syntax(p, "unexpected end of template, expected '%s'.", want);
        tpl_syntax(p, "expected token '%s', got '%s'", want, what);
    }
    return p->t++;
}

void tpl_nest(struct parser *p, int by)
{
    p->nest += by;
    if (p->nest > TPL_MAX_NEST)
        tpl_syntax(p, "nested deeper than %d", TPL_MAX_NEST);
}

uint32_t tpl_symbol(struct tpl *c, struct symbols *s, const char *p, size_t n, bool add)
{
    uint32_t hash = tpl_hash_bytes(p, n), mask = s->n_index - 1, i = 0;
    if (s->n_index)
        for (i = hash & mask; s->index[i]; i = (i + 1) & mask) {
            const struct str *name = s->names[s->index[i] - 1];
            if (name->n == n && memcmp(name->p, p, n) == 0)
                return s->index[i] - 1;
            tpl_charge(c, 1);
        }
    if (!add)
        return NO_SYMBOL;
    if (s->n == s->cap) {
        uint32_t cap = s->cap ? s->cap * 2 : 64;
        s->names = tpl_grow(c, s->names, s->n * sizeof *s->names, cap * sizeof *s->names);
        s->cap = cap;
        s->n_index = cap * 4;
        s->index = tpl_alloc(c, s->n_index * sizeof *s->index);
        mask = s->n_index - 1;
        for (uint32_t k = 0; k < s->n; k++) {
            for (i = tpl_hash_bytes(s->names[k]->p, s->names[k]->n) & mask; s->index[i];
                 i = (i + 1) & mask) {
            }
            s->index[i] = k + 1;
        }
        for (i = hash & mask; s->index[i]; i = (i + 1) & mask) {
        }
    }
    s->names[s->n] = tpl_str(c, p, n, true);
    s->index[i] = ++s->n;
    return s->n - 1;
}

/* ---- statements ------------------------------------------------------------------------------ */

/* What may close a body: words separated by spaces, and the block that waits for them. */
struct closer {
    const char *words;
    const char *block;
};
static struct node *parse_body(struct parser *p, const struct closer *until);

static bool word_in(const struct token *t, const char *words)
{
    for (const char *w = words; w && *w;) {
        size_t n = strcspn(w, " ");
        if (t->type == K_NAME && t->n == n && memcmp(t->p, w, n) == 0)
            return true;
        w += n + (w[n] == ' ');
    }
    return false;
}

/* After `%}`: the body up to `{% word`, with the word as the current token. */
static struct node *parse_until(struct parser *p, const char *words, const char *block)
{
    struct closer until = {words, block};
    tpl_skip(p, K_COLON);
    tpl_expect(p, K_BLOCK_END);
    return parse_body(p, &until);
}

static void check_target(struct parser *p, const struct node *n)
{
    static const char *const names[] = {"const", "name", "list", "tuple", "dict", "getattr",
                                        "getitem"};
    if (n->kind == N_NAME || n->kind == N_NSREF)
        return;
    if (n->kind == N_TUPLE) {
        for (uint32_t i = 0; i < n->n_kids; i++)
            check_target(p, n->kids[i]);
        return;
    }
    tpl_syntax(p, "can't assign to '%s'",
               n->kind < sizeof names / sizeof *names ? names[n->kind] : "expression");
}

static struct node *parse_if(struct parser *p)
{
    struct node *n = tpl_node(p, N_IF);
    bool soft = p->soft;
    for (;;) {
        tpl_add_kid(p, &n->kids, &n->n_kids, tpl_parse_tuple(p, false, false, NULL, false));
        p->soft = true;
        tpl_add_kid(p, &n->kids, &n->n_kids, parse_until(p, "elif else endif", "if"));
        if (tpl_skip_name(p, "elif"))
            continue;
        if (tpl_skip_name(p, "else"))
            n->c = parse_until(p, "endif", "if");
        p->t++;
        p->soft = soft;
        return n;
    }
}

static struct node *parse_for(struct parser *p)
{
    struct node *n = tpl_node(p, N_FOR);
    n->a = tpl_parse_target(p, false, "in");
    check_target(p, n->a);
    if (!tpl_skip_name(p, "in")) {
        char what[80];
        tpl_describe(p->t, what);
        tpl_syntax(p, "expected token 'in', got '%s'", what);
    }
    n->b = tpl_parse_tuple(p, false, false, "recursive", false);
    if (tpl_skip_name(p, "if"))
        n->c = tpl_parse_expr(p, true);
    n->flag = tpl_skip_name(p, "recursive");
    p->in_loop++;
    tpl_add_kid(p, &n->kids, &n->n_kids, parse_until(p, "endfor else", "for"));
    p->in_loop--;
    tpl_add_kid(p, &n->kids, &n->n_kids,
                tpl_skip_name(p, "else") ? parse_until(p, "endfor", "for") : NULL);
    p->t++;
    return n;
}

static struct node *parse_set(struct parser *p)
{
    struct node *n = tpl_node(p, N_SET);
    n->a = tpl_parse_target(p, true, NULL);
    check_target(p, n->a);
    if (tpl_skip(p, K_ASSIGN)) {
        n->b = tpl_parse_tuple(p, false, true, NULL, false);
        return n;
    }
    n->kind = N_SET_BLOCK;
    n->b = tpl_parse_filters(p, NULL, false);
    n->c = parse_until(p, "endset", "set");
    p->t++;
    return n;
}

static void parse_signature(struct parser *p, struct node *n)
{
    tpl_expect(p, K_LPAREN);
    while (p->t->type != K_RPAREN) {
        if (n->n_kids)
            tpl_expect(p, K_COMMA);
        struct node *name = tpl_node(p, N_NAME);
        struct token *t = tpl_expect(p, K_NAME);
        name->v = tpl_str_val(tpl_name_str(p, t));
        name->sym = tpl_symbol(p->c, &p->j->syms, t->p, t->n, true);
        tpl_add_kid(p, &n->kids, &n->n_kids, name);
        if (n->n_kids > 256)
            tpl_syntax(p, "too many parameters");
        if (tpl_skip(p, K_ASSIGN))
            tpl_add_kid(p, &n->more, &n->n_more, tpl_parse_expr(p, true));
        else if (n->n_more)
            tpl_syntax(p, "non-default argument follows default argument");
    }
    tpl_expect(p, K_RPAREN);
}

/* The body of a macro, in which break has no loop and names may ask for more arguments. */
static void parse_macro_body(struct parser *p, struct node *n, const char *end, const char *block)
{
    uint8_t uses = 0, *outer = p->macro_uses;
    int in_loop = p->in_loop;
    p->macro_uses = &uses;
    p->in_loop = 0;
    n->c = parse_until(p, end, block);
    p->t++;
    n->op = uses;
    p->macro_uses = outer;
    p->in_loop = in_loop;
    if (outer)
        *outer |= uses;
}

static struct node *parse_macro(struct parser *p)
{
    struct node *n = tpl_node(p, N_MACRO);
    struct token *t = tpl_expect(p, K_NAME);
    n->v = tpl_str_val(tpl_name_str(p, t));
    n->sym = tpl_symbol(p->c, &p->j->syms, t->p, t->n, true);
    parse_signature(p, n);
    parse_macro_body(p, n, "endmacro", "macro");
    return n;
}

static struct node *parse_call_block(struct parser *p)
{
    struct node *n = tpl_node(p, N_CALL_BLOCK), *m = tpl_node(p, N_MACRO);
    const struct token caller = {.p = "caller", .n = 6};
    m->v = tpl_str_val(tpl_name_str(p, &caller));
    if (p->t->type == K_LPAREN)
        parse_signature(p, m);
    n->a = tpl_parse_expr(p, true);
    if (n->a->kind != N_CALL)
        tpl_syntax(p, "expected call");
    parse_macro_body(p, m, "endcall", "call");
    n->b = m;
    return n;
}

static struct node *parse_with(struct parser *p)
{
    struct node *n = tpl_node(p, N_WITH);
    while (p->t->type != K_BLOCK_END) {
        if (n->n_kids)
            tpl_expect(p, K_COMMA);
        struct node *target = tpl_parse_target(p, false, NULL);
        check_target(p, target);
        tpl_add_kid(p, &n->kids, &n->n_kids, target);
        tpl_expect(p, K_ASSIGN);
        tpl_add_kid(p, &n->more, &n->n_more, tpl_parse_expr(p, true));
    }
    n->c = parse_until(p, "endwith", "with");
    p->t++;
    return n;
}

static struct node *parse_block(struct parser *p)
{
    struct node *n = tpl_node(p, N_BLOCK);
    struct token *t = tpl_expect(p, K_NAME);
    while (tpl_skip_name(p, "scoped") || tpl_skip_name(p, "required")) {
    }
    int in_loop = p->in_loop;
    p->in_loop = 0;
    n->c = parse_until(p, "endblock", "block");
    p->in_loop = in_loop;
    p->t++;
    if (p->t->type == K_NAME && p->t->n == t->n && memcmp(p->t->p, t->p, t->n) == 0)
        p->t++;
    return n;
}

static struct node *parse_print(struct parser *p)
{
    struct node *n = tpl_node(p, N_BODY);
    while (p->t->type != K_BLOCK_END) {
        if (n->n_kids)
            tpl_expect(p, K_COMMA);
        struct node *out = tpl_node(p, N_OUTPUT);
        out->a = tpl_parse_expr(p, true);
        tpl_add_kid(p, &n->kids, &n->n_kids, out);
    }
    return n;
}

static struct node *parse_generation(struct parser *p)
{
    struct node *n = tpl_node(p, N_BLOCK);
    n->flag = true; /* sees the names around it */
    n->c = parse_until(p, "endgeneration", "generation");
    p->t++;
    return n;
}

static struct node *parse_filter_block(struct parser *p)
{
    struct node *n = tpl_node(p, N_FILTER_BLOCK);
    n->a = tpl_parse_filters(p, NULL, true);
    n->c = parse_until(p, "endfilter", "filter");
    p->t++;
    return n;
}

static struct node *parse_autoescape(struct parser *p)
{
    struct node *n = tpl_node(p, N_AUTOESCAPE);
    n->a = tpl_parse_expr(p, true);
    n->c = parse_until(p, "endautoescape", "autoescape");
    p->t++;
    return n;
}

static struct node *parse_jump(struct parser *p, enum node_kind kind)
{
    if (!p->in_loop)
        tpl_syntax(p, "'%s' outside loop", kind == N_BREAK ? "break" : "continue");
    return tpl_node(p, kind);
}

static struct node *unknown_tag(struct parser *p, const struct closer *until)
{
    static const char *const not_here[] = {"include", "import", "from", "extends"};
    for (size_t i = 0; i < sizeof not_here / sizeof *not_here; i++)
        if (tpl_at_name(p, not_here[i]))
            tpl_syntax(p, "'%s' is not for chat templates", not_here[i]);
    int n = (int)(p->t->n < 60 ? p->t->n : 60);
    if (!until)
        tpl_syntax(p, "Encountered unknown tag '%.*s'.", n, p->t->p);
    tpl_syntax(p, "Encountered unknown tag '%.*s'. The innermost block that needs to be closed is "
               "'%s'.", n, p->t->p, until->block);
}

static struct node *parse_statement(struct parser *p, const struct closer *until)
{
    if (p->t->type != K_NAME)
        tpl_syntax(p, "tag name expected");
    if (tpl_skip_name(p, "if"))
        return parse_if(p);
    if (tpl_skip_name(p, "for"))
        return parse_for(p);
    if (tpl_skip_name(p, "set"))
        return parse_set(p);
    if (tpl_skip_name(p, "macro"))
        return parse_macro(p);
    if (tpl_skip_name(p, "call"))
        return parse_call_block(p);
    if (tpl_skip_name(p, "filter"))
        return parse_filter_block(p);
    if (tpl_skip_name(p, "with"))
        return parse_with(p);
    if (tpl_skip_name(p, "block"))
        return parse_block(p);
    if (tpl_skip_name(p, "print"))
        return parse_print(p);
    if (tpl_skip_name(p, "generation"))
        return parse_generation(p);
    if (tpl_skip_name(p, "autoescape"))
        return parse_autoescape(p);
    if (tpl_at_name(p, "break") || tpl_at_name(p, "continue")) {
        struct node *n = parse_jump(p, tpl_at_name(p, "break") ? N_BREAK : N_CONTINUE);
        p->t++;
        return n;
    }
    return unknown_tag(p, until);
}

_Noreturn static void end_too_soon(struct parser *p, const struct closer *until)
{
    char words[80] = "";
    size_t n = 0;
    for (const char *w = until->words; *w && n < sizeof words - 30;) {
        int len = (int)strcspn(w, " ");
        n += (size_t)snprintf(words + n, sizeof words - n, "%s'%.*s'", n ? " or " : "", len, w);
        w += len + (w[len] == ' ');
    }
    tpl_syntax(p, "Unexpected end of template. Jinja was looking for the following tags: %s. The "
               "innermost block that needs to be closed is '%s'.", words, until->block);
}

static struct node *parse_body(struct parser *p, const struct closer *until)
{
    struct node *body = tpl_node(p, N_BODY);
    tpl_nest(p, 1);
    for (;;) {
        struct node *n;
        if (p->t->type == K_DATA) {
            n = tpl_node(p, N_DATA);
            n->v = p->t->v;
            p->t++;
        } else if (tpl_skip(p, K_VAR)) {
            n = tpl_node(p, N_OUTPUT);
            n->a = tpl_parse_tuple(p, false, true, NULL, false);
            tpl_expect(p, K_VAR_END);
        } else if (tpl_skip(p, K_BLOCK)) {
            if (until && word_in(p->t, until->words))
                break;
            n = parse_statement(p, until);
            tpl_expect(p, K_BLOCK_END);
        } else if (p->t->type == K_EOF && !until) {
            break;
        } else if (p->t->type == K_EOF) {
            end_too_soon(p, until);
        } else {
            tpl_syntax(p, "unexpected text in a tag");
        }
        tpl_add_kid(p, &body->kids, &body->n_kids, n);
    }
    tpl_nest(p, -1);
    return body;
}

struct jinja *tpl_parse(struct tpl *c, const char *source, size_t n)
{
    struct tokens tokens = tpl_lex(c, source, n);
    struct jinja *j = tpl_alloc(c, sizeof *j);
    struct parser p = {.c = c, .j = j, .t = tokens.t};
    j->sym_loop = tpl_symbol(c, &j->syms, "loop", 4, true);
    j->sym_caller = tpl_symbol(c, &j->syms, "caller", 6, true);
    j->sym_varargs = tpl_symbol(c, &j->syms, "varargs", 7, true);
    j->sym_kwargs = tpl_symbol(c, &j->syms, "kwargs", 6, true);
    j->body = parse_body(&p, NULL);
    c->line = c->col = 0;
    return j;
}
