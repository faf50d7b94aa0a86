/* engine/chat/go_run.c - the tree of a Go template, walked.
 *
 * Where an error points is the node that was evaluated last, as in Go; so `at` moves with each
 * operand. A value out of a map or list is an interface until a pipeline has passed it on: only
 * then does Go say its own type in messages, and only then is nil no value. */
#include <stdio.h>
#include <string.h>
#include "engine/chat/go.h"

enum flow { F_ON, F_BREAK, F_CONTINUE };

void go_fail(struct go_run *r, const char *fmt, ...)
{
    char text[400];
    struct sink k;
    const struct go_node *n = r->at;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    tpl_sink(r->c, &k);
    size_t line_start = 0;
    unsigned line = 1;
    if (n) {
        go_put_node(r->c, &k, n);
        line = n->line;
        line_start = n->pos < r->g->n_source ? n->pos : r->g->n_source;
        while (line_start && r->g->source[line_start - 1] != '\n')
            line_start--;
        line_start = n->pos - line_start;
    }
    err_set(r->c->e, ERR_INPUT, "template: :%u:%zu: executing \"%.*s\" at <%.*s%s>: %s", line,
            line_start, (int)(r->name->n < 60 ? r->name->n : 60), r->name->p,
            (int)(k.n < 160 ? k.n : 160), k.n ? k.p : "", k.n > 160 ? "..." : "", text);
    longjmp(*r->c->out, 1);
}

static void at(struct go_run *r, const struct go_node *n)
{
    r->at = n;
    r->c->line = n->line;
    tpl_charge(r->c, 1);
}

static const char *text_of(struct go_run *r, const struct go_node *n)
{
    struct sink k;
    tpl_sink(r->c, &k);
    go_put_node(r->c, &k, n);
    return go_words(r->c, "%.*s", (int)(k.n < 300 ? k.n : 300), k.n ? k.p : "");
}

static const char *shown(struct go_run *r, struct gv v)
{
    struct sink k;
    tpl_sink(r->c, &k);
    if (v.type == GO_INVALID)
        tpl_puts(r->c, &k, "<invalid reflect.Value>");
    else
        go_put_value(r->c, &k, v);
    return go_words(r->c, "%.*s", (int)(k.n < 300 ? k.n : 300), k.n ? k.p : "");
}

/* ---- variables ------------------------------------------------------------------------------- */

static void push(struct go_run *r, struct str *name, struct gv v)
{
    if (r->n_var == r->cap_var) {
        r->cap_var = r->cap_var ? r->cap_var * 2 : 16;
        r->var = tpl_grow(r->c, r->var, r->n_var * sizeof *r->var, r->cap_var * sizeof *r->var);
    }
    r->var[r->n_var++] = (struct go_var){name, v};
}

static struct go_var *find_var(struct go_run *r, const struct str *name)
{
    for (size_t i = r->n_var; i-- > 0;) {
        if (tpl_str_same(r->var[i].name, name))
            return &r->var[i];
        if (i % 16 == 0)
            tpl_charge(r->c, 1);
    }
    go_fail(r, "undefined variable: %.*s", (int)name->n, name->p);
}

/* ---- operands -------------------------------------------------------------------------------- */

static struct gv pipeline(struct go_run *r, struct gv dot, const struct go_node *pipe);

/* What a pipeline hands to its next command: none, or a value. */
struct final {
    bool is;
    struct gv v;
};
static const struct final none = {false, {.type = GO_INVALID}};

static void not_a_function(struct go_run *r, const struct go_node *cmd, struct final last)
{
    if ((cmd && cmd->n_kid > 1) || last.is)
        go_fail(r, "can't give argument to non-function %s", cmd ? text_of(r, cmd->kid[0]) : "nil");
}

static struct gv field(struct go_run *r, struct gv from, const struct str *name, bool has_args)
{
    if (from.type == GO_INVALID)
        return from;
    if (from.type == GO_NIL)
        go_fail(r, "nil pointer evaluating interface {}.%.*s", (int)name->n, name->p);
    const struct gv *found = NULL;
    if (from.type == GO_RECORD) {
        found = go_record_find(from.r, name);
        if (found && has_args)
            go_fail(r, "%.*s has arguments but cannot be invoked as function", (int)name->n,
                    name->p);
    } else if (from.type == GO_MAP && !from.m->pointer) {
        if (has_args)
            go_fail(r, "%.*s is not a method but has arguments", (int)name->n, name->p);
        found = go_map_find(from.m, name);
        if (!found)
            return go_map_zero(r->c, from.m);
    } else if (from.type == GO_MAP && from.m->nil) {
        go_fail(r, "nil pointer evaluating %s.%.*s", from.m->type, (int)name->n, name->p);
    }
    if (!found)
        go_fail(r, "can't evaluate field %.*s in type %s", (int)name->n, name->p,
                go_type_name(from));
    return *found;
}

static struct gv fields(struct go_run *r, struct gv v, const struct go_node *n, size_t first,
                        const struct go_node *cmd, struct final last)
{
    for (size_t i = first; i < n->n_name; i++)
        v = field(r, v, n->name[i], i + 1 == n->n_name && ((cmd && cmd->n_kid > 1) || last.is));
    return v;
}

static struct gv constant(struct go_run *r, const struct go_node *n)
{
    struct gv v;
    switch (n->number) {
    case GO_NUM_INT:
        return go_int(n->i);
    case GO_NUM_FLOAT:
        return go_float(n->f);
    case GO_NUM_COMPLEX:
        v = (struct gv){.type = GO_COMPLEX, .z = tpl_alloc(r->c, 2 * sizeof *v.z)};
        v.z[0] = n->f;
        v.z[1] = n->im;
        return v;
    default:
        go_fail(r, "%.*s overflows int", (int)n->source->n, n->source->p);
    }
}

static struct gv function(struct go_run *r, struct gv dot, const struct go_node *ident,
                          const struct go_node *cmd, struct final last);

/* One node as a value. `cmd`: the command it is the first word of, or NULL. */
static struct gv operand(struct go_run *r, struct gv dot, const struct go_node *n,
                         const struct go_node *cmd, struct final last)
{
    struct gv v;
    if (n->type == GO_N_PIPE) {
        not_a_function(r, cmd, last);
        return pipeline(r, dot, n);
    }
    at(r, n);
    switch (n->type) {
    case GO_N_FIELD:
        return fields(r, dot, n, 0, cmd, last);
    case GO_N_CHAIN:
        if (n->kid[0]->type == GO_N_NIL)
            go_fail(r, "indirection through explicit nil in %s", text_of(r, n));
        v = operand(r, dot, n->kid[0], NULL, none);
        return fields(r, v, n, 0, cmd, last);
    case GO_N_IDENT:
        return function(r, dot, n, cmd, last);
    case GO_N_VAR:
        v = find_var(r, n->name[0])->v;
        if (n->n_name == 1)
            not_a_function(r, cmd, last);
        return fields(r, v, n, 1, cmd, last);
    default:
        break;
    }
    if (cmd)
        not_a_function(r, cmd, last);
    switch (n->type) {
    case GO_N_BOOL:
        return go_bool(n->b);
    case GO_N_DOT:
        return dot;
    case GO_N_NUMBER:
        return constant(r, n);
    case GO_N_STRING:
        return go_string(n->text);
    case GO_N_NIL:
        if (cmd)
            go_fail(r, "nil is not a command");
        return (struct gv){.type = GO_INVALID};
    default:
        go_fail(r, "can't evaluate command %s", text_of(r, n));
    }
}

/* ---- functions ------------------------------------------------------------------------------- */

static struct gv need_string(struct go_run *r, struct gv v)
{
    struct gv bare = go_bare(v);
    if (bare.type == GO_INVALID && !v.face)
        go_fail(r, "invalid value; expected string");
    if (bare.type != GO_STRING)
        go_fail(r, "wrong type for value; expected string; got %s",
                go_type_name(bare.type == GO_INVALID ? v : bare));
    return bare;
}

/* Argument i of a function; constants of a wrong kind are told apart from values. */
static struct gv argument(struct go_run *r, struct gv dot, const struct go_func *f, size_t i,
                          const struct go_node *n)
{
    const bool text = f->strings || (f->first_string && i == 0);
    struct gv v;
    if (text) {
        at(r, n);
        if (n->type == GO_N_NIL)
            go_fail(r, "cannot assign nil to string");
        if (n->type == GO_N_BOOL || n->type == GO_N_NUMBER)
            go_fail(r, "expected string; found %s", text_of(r, n));
    }
    v = operand(r, dot, n, NULL, none);
    return text ? need_string(r, v) : v;
}

static struct gv logic(struct go_run *r, struct gv dot, const struct go_func *f, bool is_or,
                       const struct go_node *cmd, size_t n_own, struct final last)
{
    struct gv v = {.type = GO_INVALID};
    for (size_t i = 0; i < n_own; i++) {
        v = argument(r, dot, f, i, cmd->kid[i + 1]);
        if (go_truth(go_bare(v)) == is_or)
            return v;
    }
    return last.is ? last.v : v;
}

static struct gv function(struct go_run *r, struct gv dot, const struct go_node *ident,
                          const struct go_node *cmd, struct final last)
{
    const struct go_func *f = ident->fn;
    const size_t n_own = cmd ? cmd->n_kid - 1 : 0, n = n_own + last.is;
    struct gv few[6], *a = few, out = {.type = GO_INVALID};
    bool is_or;
    if (f->most < 0 && n < (size_t)f->least)
        go_fail(r, "wrong number of args for %s: want at least %d got %zu", f->name, f->least,
                n_own);
    if (f->most >= 0 && n != (size_t)f->most)
        go_fail(r, "wrong number of args for %s: want %d got %zu", f->name, f->most, n);
    if (go_func_is_logic(f, &is_or))
        return logic(r, dot, f, is_or, cmd, n_own, last);
    if (n > sizeof few / sizeof *few)
        a = tpl_alloc(r->c, n * sizeof *a);
    for (size_t i = 0; i < n_own; i++)
        a[i] = argument(r, dot, f, i, cmd->kid[i + 1]);
    if (last.is)
        a[n_own] = f->strings || (f->first_string && !n_own) ? need_string(r, last.v) : last.v;
    const char *words = f->fn(r, a, n, &out);
    if (!words)
        return out;
    r->at = cmd ? cmd : ident;
    const char *mark = go_func_is_call(f) ? strchr(words, 1) : NULL;
    if (mark)
        go_fail(r, "error calling call: %.*s%s%s", (int)(mark - words), words,
                n_own ? text_of(r, cmd->kid[1]) : shown(r, last.v), mark + 1);
    go_fail(r, "error calling %s: %s", f->name, words);
}

static struct gv pipeline(struct go_run *r, struct gv dot, const struct go_node *pipe)
{
    struct final last = none;
    if (++r->c->depth > TPL_MAX_DEPTH)
        go_fail(r, "nested too deep");
    at(r, pipe);
    for (size_t i = 0; i < pipe->n_kid; i++) {
        last.v = go_bare(operand(r, dot, pipe->kid[i]->kid[0], pipe->kid[i], last));
        last.is = true;
    }
    for (size_t i = 0; i < pipe->n_decl; i++) {
        if (pipe->assign)
            find_var(r, pipe->decl[i]->name[0])->v = last.v;
        else
            push(r, pipe->decl[i]->name[0], last.v);
    }
    r->c->depth--;
    return last.v;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static enum flow walk(struct go_run *r, struct gv dot, const struct go_node *n);

static enum flow walk_list(struct go_run *r, struct gv dot, const struct go_node *list)
{
    enum flow flow = F_ON;
    for (size_t i = 0; list && i < list->n_kid && flow == F_ON; i++)
        flow = walk(r, dot, list->kid[i]);
    return flow;
}

static enum flow walk_branch(struct go_run *r, struct gv dot, const struct go_node *n)
{
    const size_t mark = r->n_var;
    struct gv v = pipeline(r, dot, n->pipe);
    enum flow flow;
    if (go_truth(v))
        flow = walk_list(r, n->type == GO_N_WITH ? v : dot, n->list);
    else
        flow = walk_list(r, dot, n->alt);
    r->n_var = mark;
    return flow;
}

/* One turn of a range; false: break. */
static bool turn(struct go_run *r, const struct go_node *n, size_t mark, struct gv index,
                 struct gv element)
{
    const struct go_node *p = n->pipe;
    if (p->n_decl == 1 || p->n_decl == 2) {
        const size_t last = p->n_decl - 1;
        if (p->assign) {
            if (last)
                find_var(r, p->decl[0]->name[0])->v = index;
            find_var(r, p->decl[last]->name[0])->v = element;
        } else {
            r->var[mark - 1].v = element;
            if (last)
                r->var[mark - 2].v = index;
        }
    }
    enum flow flow = walk_list(r, element, n->list);
    r->n_var = mark;
    return flow != F_BREAK;
}

static enum flow walk_range(struct go_run *r, struct gv dot, const struct go_node *n)
{
    const size_t outer = r->n_var;
    at(r, n);
    struct gv v = pipeline(r, dot, n->pipe);
    const size_t mark = r->n_var;
    size_t turns = 0;
    enum flow flow = F_ON;
    switch (v.type) {
    case GO_LIST:
        turns = v.l->n;
        break;
    case GO_MAP:
        turns = v.m->n;
        break;
    case GO_INVALID:
    case GO_NIL:
        break;
    case GO_INT:
    case GO_BYTE:
        if (n->pipe->n_decl > 1)
            go_fail(r, "can't use %s to iterate over more than one variable", shown(r, v));
        turns = v.i > 0 ? (size_t)v.i : 0;
        break;
    default:
        go_fail(r, "range can't iterate over %s", shown(r, v));
    }
    if (turns > TPL_MAX_ITEMS)
        go_fail(r, "range over %zu items; %d are allowed", turns, TPL_MAX_ITEMS);
    for (size_t i = 0; i < turns; i++) {
        struct gv index = go_int((int64_t)i), element = index;
        tpl_charge(r->c, 1); /* an empty body counts, too */
        if (v.type == GO_LIST) {
            element = v.l->v[i];
        } else if (v.type == GO_MAP) {
            index = go_string(v.m->e[i].key);
            element = v.m->e[i].v;
        }
        if (!turn(r, n, mark, index, element))
            break;
    }
    if (!turns)
        flow = walk_list(r, dot, n->alt);
    r->n_var = outer;
    return flow;
}

static const struct go_node *find_define(const struct go_template *g, const struct str *name)
{
    for (size_t i = 0; i < g->n_define; i++)
        if (tpl_str_same(g->define[i].name, name))
            return g->define[i].root;
    return NULL;
}

static void walk_template(struct go_run *r, struct gv dot, const struct go_node *n)
{
    at(r, n);
    tpl_charge(r->c, r->g->n_define / 16);
    const struct go_node *root = find_define(r->g, n->text);
    if (!root)
        go_fail(r, "template \"%.*s\" not defined", (int)n->text->n, n->text->p);
    if (r->depth >= GO_MAX_TEMPLATES)
        go_fail(r, "exceeded maximum template depth (%d)", GO_MAX_TEMPLATES);
    struct gv v = n->pipe ? pipeline(r, dot, n->pipe) : (struct gv){.type = GO_INVALID};
    struct go_run in = {.c = r->c, .g = r->g, .name = n->text, .depth = r->depth + 1};
    go_execute(&in, root, v);
}

/* What an action prints of a pointer: the struct behind it. */
static __attribute__((noinline)) void put_pointed(struct go_run *r, struct gv v)
{
    struct go_kind plain = *v.r->kind;
    struct go_record copy = *v.r;
    plain.pointer = false;
    copy.kind = &plain;
    go_put_value(r->c, r->c->to, (struct gv){.type = GO_RECORD, .r = &copy});
}

static enum flow walk(struct go_run *r, struct gv dot, const struct go_node *n)
{
    enum flow flow = F_ON;
    struct gv v;
    switch (n->type) {
    case GO_N_TEXT:
        tpl_charge(r->c, 1);
        tpl_put_str(r->c, r->c->to, n->text);
        break;
    case GO_N_ACTION:
        v = pipeline(r, dot, n->pipe);
        if (n->pipe->n_decl)
            break;
        if (v.type == GO_INVALID || v.type == GO_NIL)
            tpl_puts(r->c, r->c->to, "<no value>");
        else if (v.type == GO_RECORD && v.r->kind->pointer)
            put_pointed(r, v);
        else
            go_put_value(r->c, r->c->to, v);
        break;
    case GO_N_IF:
    case GO_N_WITH:
        if (++r->c->depth > TPL_MAX_DEPTH)
            go_fail(r, "nested too deep");
        flow = walk_branch(r, dot, n);
        r->c->depth--;
        break;
    case GO_N_RANGE:
        if (++r->c->depth > TPL_MAX_DEPTH)
            go_fail(r, "nested too deep");
        flow = walk_range(r, dot, n);
        r->c->depth--;
        break;
    case GO_N_TEMPLATE:
        walk_template(r, dot, n);
        break;
    case GO_N_BREAK:
        return F_BREAK;
    case GO_N_CONTINUE:
        return F_CONTINUE;
    default:
        flow = walk_list(r, dot, n);
        break;
    }
    if (r->c->to->n > TPL_MAX_OUTPUT)
        go_fail(r, "more than %zu MiB of output", TPL_MAX_OUTPUT >> 20);
    return flow;
}

void go_execute(struct go_run *r, const struct go_node *root, struct gv dot)
{
    push(r, tpl_str(r->c, "$", 1, true), dot);
    walk_list(r, dot, root);
}
