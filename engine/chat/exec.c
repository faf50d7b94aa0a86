/* engine/chat/exec.c - statements: output, scopes, assignments, macros.
 *
 * Names are numbers. The top of a template is an array; every for, macro, with and block has a
 * short list of its own names over it. `if` has none, as in Jinja. */
#include <string.h>
#include "engine/chat/exec.h"

#define ALONE __attribute__((noinline))

/* ---- scopes ---------------------------------------------------------------------------------- */

struct scope *tpl_scope(struct tpl *c, struct scope *up)
{
    struct scope *s = tpl_alloc(c, sizeof *s);
    s->up = up;
    s->slot = s->first;
    s->cap = sizeof s->first / sizeof *s->first;
    return s;
}

void tpl_scope_keep(struct scope *s)
{
    for (; s && !s->kept; s = s->up)
        s->kept = true;
}

static struct val *find(struct tpl *c, struct scope *s, uint32_t sym)
{
    for (; s; s = s->up)
        for (uint32_t i = 0; i < s->n; i++)
            if (s->slot[i].sym == sym)
                return &s->slot[i].v;
    return c->globals[sym].type == T_ABSENT ? NULL : &c->globals[sym];
}

struct val tpl_lookup_name(struct tpl *c, const struct scope *s, const struct node *n)
{
    for (size_t far = 0; s; s = s->up, far++) {
        for (uint32_t i = 0; i < s->n; i++)
            if (s->slot[i].sym == n->sym)
                return s->slot[i].v;
        if (s->n > 32)
            tpl_charge(c, s->n / 32);
    }
    if (c->globals[n->sym].type != T_ABSENT)
        return c->globals[n->sym];
    return tpl_undef_name(c, n->v.s);
}

void tpl_assign(struct tpl *c, struct scope *s, uint32_t sym, struct val v)
{
    if (!s) {
        c->globals[sym] = v;
        return;
    }
    for (uint32_t i = 0; i < s->n; i++)
        if (s->slot[i].sym == sym) {
            s->slot[i].v = v;
            return;
        }
    if (s->n == s->cap) {
        uint32_t cap = s->cap * 2;
        s->slot = tpl_grow(c, s->slot, s->n * sizeof *s->slot, cap * sizeof *s->slot);
        s->cap = cap;
    }
    s->slot[s->n++] = (struct slot){sym, v};
}

void tpl_assign_target(struct tpl *c, struct scope *s, const struct node *target, struct val v)
{
    c->line = target->line;
    if (target->kind == N_NAME) {
        tpl_assign(c, s, target->sym, v);
    } else if (target->kind == N_NSREF) {
        struct val *ns = find(c, s, target->a->sym);
        if (!ns || ns->type != T_SPACE)
            tpl_fail(c, "cannot assign attribute on non-namespace object");
        tpl_dict_set(c, ns->d, target->v, v);
    } else {
        if (!tpl_is_iterable(v))
            tpl_fail(c, "cannot unpack non-iterable %s object", tpl_type_name(v));
        tpl_need_defined(c, v);
        struct list *l = tpl_items(c, v);
        if (l->n > target->n_kids)
            tpl_fail(c, "too many values to unpack (expected %u)", target->n_kids);
        if (l->n < target->n_kids)
            tpl_fail(c, "not enough values to unpack (expected %u, got %zu)", target->n_kids, l->n);
        for (uint32_t i = 0; i < target->n_kids; i++)
            tpl_assign_target(c, s, target->kids[i], l->v[i]);
    }
}

/* ---- bodies as text -------------------------------------------------------------------------- */

ALONE static struct str *capture(struct tpl *c, const struct node *body, struct scope *s)
{
    struct sink k, *outer = c->to;
    c->to = tpl_sink(c, &k);
    tpl_exec_all(c, body, s);
    c->to = outer;
    struct str *r = tpl_sink_str(c, &k);
    r->safe = c->escaping;
    return r;
}

static void output(struct tpl *c, struct val v)
{
    if (c->escaping && v.type != T_UNDEF) {
        struct str *t = tpl_to_str(c, v);
        tpl_put_str(c, c->to, t->safe ? t : tpl_escape_html(c, t));
        return;
    }
    tpl_print(c, c->to, v);
}

/* ---- macros ---------------------------------------------------------------------------------- */

static struct val macro_value(struct tpl *c, const struct node *n, struct scope *s)
{
    struct macro *m = tpl_alloc(c, sizeof *m);
    m->n = n;
    m->scope = s;
    tpl_scope_keep(s);
    return (struct val){.type = T_MACRO, .m = m};
}

static void bind_names(struct tpl *c, const struct node *n, struct scope *s, const struct args *raw)
{
    struct dict *rest = tpl_dict(c);
    struct str *name = n->v.s;
    int len = (int)(name->n < 60 ? name->n : 60);
    for (size_t k = 0; k < raw->n_kw; k++) {
        struct named *kw = &raw->kw[k];
        uint32_t i = 0;
        while (i < n->n_kids && !tpl_str_same(n->kids[i]->v.s, kw->name))
            i++;
        tpl_charge(c, 1 + i / 16);
        if (i < n->n_kids && i < raw->n_pos)
            tpl_fail(c, "macro '%.*s' got multiple values for argument '%.*s'", len, name->p,
                     (int)(kw->name->n < 60 ? kw->name->n : 60), kw->name->p);
        if (i < n->n_kids)
            tpl_assign(c, s, n->kids[i]->sym, kw->v);
        else if ((n->op & 4) && tpl_str_is(kw->name, "caller"))
            tpl_assign(c, s, c->t->sym_caller, kw->v);
        else if (n->op & 2)
            tpl_dict_set(c, rest, tpl_str_val(kw->name), kw->v);
        else
            tpl_fail(c, "macro '%.*s' takes no keyword argument '%.*s'", len, name->p,
                     (int)(kw->name->n < 60 ? kw->name->n : 60), kw->name->p);
    }
    if (n->op & 2)
        tpl_assign(c, s, c->t->sym_kwargs, tpl_dict_val(rest));
}

static void bind_positions(struct tpl *c, const struct node *n, struct scope *s,
                           const struct args *raw)
{
    for (uint32_t i = 0; i < n->n_kids && i < raw->n_pos; i++)
        tpl_assign(c, s, n->kids[i]->sym, raw->pos[i]);
    struct list *rest = tpl_list(c, L_TUPLE, 0);
    for (size_t i = n->n_kids; i < raw->n_pos; i++)
        tpl_list_add(c, rest, raw->pos[i]);
    if (n->op & 1)
        tpl_assign(c, s, c->t->sym_varargs, tpl_list_val(rest));
    else if (rest->n)
        tpl_fail(c, "macro '%.*s' takes not more than %u argument(s)",
                 (int)(n->v.s->n < 60 ? n->v.s->n : 60), n->v.s->p, n->n_kids);
}

static bool has_own(const struct scope *s, uint32_t sym)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (s->slot[i].sym == sym)
            return true;
    return false;
}

/* What was not given: a default, which may use the parameters before it, or undefined. */
static void bind_defaults(struct tpl *c, const struct node *n, struct scope *s)
{
    for (uint32_t i = 0; i < n->n_kids; i++) {
        if (has_own(s, n->kids[i]->sym))
            continue;
        uint32_t first = n->n_kids - n->n_more;
        if (i >= first) {
            tpl_assign(c, s, n->kids[i]->sym, tpl_eval(c, n->more[i - first], s));
            continue;
        }
        struct undef *u = tpl_alloc(c, sizeof *u);
        u->name = n->kids[i]->v;
        u->hint = "parameter";
        tpl_assign(c, s, n->kids[i]->sym, (struct val){.type = T_UNDEF, .u = u});
    }
    if ((n->op & 4) && !has_own(s, c->t->sym_caller))
        tpl_assign(c, s, c->t->sym_caller, tpl_undef_name(c, tpl_str(c, "caller", 6, false)));
}

struct val tpl_call_macro(struct tpl *c, const struct macro *m, const struct args *raw)
{
    if (++c->macro_depth > TPL_MAX_MACROS)
        tpl_fail(c, "macros nested deeper than %d", TPL_MAX_MACROS);
    struct scope *s = tpl_scope(c, m->scope);
    bind_positions(c, m->n, s, raw);
    bind_names(c, m->n, s, raw);
    bind_defaults(c, m->n, s);
    struct str *r = capture(c, m->n->c, s);
    c->macro_depth--;
    return tpl_str_val(r);
}

struct val tpl_macro_attr(struct tpl *c, const struct macro *m, struct str *name)
{
    if (tpl_str_is(name, "name"))
        return m->n->v;
    if (tpl_str_is(name, "caller"))
        return tpl_bool(m->n->op & 4);
    if (tpl_str_is(name, "catch_varargs"))
        return tpl_bool(m->n->op & 1);
    if (tpl_str_is(name, "catch_kwargs"))
        return tpl_bool(m->n->op & 2);
    if (tpl_str_is(name, "arguments")) {
        struct list *l = tpl_list(c, L_TUPLE, m->n->n_kids);
        for (uint32_t i = 0; i < m->n->n_kids; i++)
            tpl_list_add(c, l, m->n->kids[i]->v);
        return tpl_list_val(l);
    }
    return tpl_undef_attr(c, (struct val){.type = T_MACRO, .m = m}, tpl_str_val(name));
}

ALONE static void exec_call_block(struct tpl *c, const struct node *n, struct scope *s)
{
    struct args args;
    struct val f = tpl_eval(c, n->a->a, s);
    tpl_eval_args(c, n->a, s, &args);
    args.kw[args.n_kw++] = (struct named){tpl_str(c, "caller", 6, false),
                                          macro_value(c, n->b, s)};
    c->line = n->line;
    output(c, tpl_call(c, f, &args));
}

/* ---- statements ------------------------------------------------------------------------------ */

ALONE static void exec_set_block(struct tpl *c, const struct node *n, struct scope *s)
{
    struct val v = tpl_str_val(capture(c, n->c, tpl_scope(c, s)));
    if (n->b)
        v = tpl_eval_filter(c, n->b, v, s);
    tpl_assign_target(c, s, n->a, v);
}

ALONE static void exec_filter_block(struct tpl *c, const struct node *n, struct scope *s)
{
    struct scope *own = tpl_scope(c, s);
    struct val v = tpl_str_val(capture(c, n->c, own));
    output(c, tpl_eval_filter(c, n->a, v, own));
}

ALONE static void exec_with(struct tpl *c, const struct node *n, struct scope *s)
{
    struct scope *own = tpl_scope(c, s);
    for (uint32_t i = 0; i < n->n_kids; i++)
        tpl_assign_target(c, own, n->kids[i], tpl_eval(c, n->more[i], s));
    tpl_exec_all(c, n->c, own);
}

ALONE static enum flow exec_if(struct tpl *c, const struct node *n, struct scope *s)
{
    for (uint32_t i = 0; i < n->n_kids; i += 2)
        if (tpl_truth(tpl_eval(c, n->kids[i], s)))
            return tpl_exec(c, n->kids[i + 1], s);
    return n->c ? tpl_exec(c, n->c, s) : FLOW_ON;
}

static enum flow exec_autoescape(struct tpl *c, const struct node *n, struct scope *s)
{
    bool before = c->escaping;
    c->escaping = tpl_truth(tpl_eval(c, n->a, s));
    enum flow f = tpl_exec(c, n->c, tpl_scope(c, s));
    c->escaping = before;
    return f;
}

static enum flow exec_one(struct tpl *c, const struct node *n, struct scope *s)
{
    switch ((enum node_kind)n->kind) {
    case N_DATA: tpl_put_str(c, c->to, n->v.s); return FLOW_ON;
    case N_OUTPUT: output(c, tpl_eval(c, n->a, s)); return FLOW_ON;
    case N_IF: return exec_if(c, n, s);
    case N_FOR: tpl_exec_for(c, n, s); return FLOW_ON;
    case N_SET: tpl_assign_target(c, s, n->a, tpl_eval(c, n->b, s)); return FLOW_ON;
    case N_SET_BLOCK: exec_set_block(c, n, s); return FLOW_ON;
    case N_MACRO: tpl_assign(c, s, n->sym, macro_value(c, n, s)); return FLOW_ON;
    case N_CALL_BLOCK: exec_call_block(c, n, s); return FLOW_ON;
    case N_FILTER_BLOCK: exec_filter_block(c, n, s); return FLOW_ON;
    case N_WITH: exec_with(c, n, s); return FLOW_ON;
    case N_BLOCK: tpl_exec_all(c, n->c, tpl_scope(c, n->flag ? s : NULL)); return FLOW_ON;
    case N_BODY:
        for (uint32_t i = 0; i < n->n_kids; i++) {
            enum flow f = tpl_exec(c, n->kids[i], s);
            if (f != FLOW_ON)
                return f;
        }
        return FLOW_ON;
    case N_BREAK: return FLOW_BREAK;
    case N_CONTINUE: return FLOW_CONTINUE;
    case N_AUTOESCAPE: return exec_autoescape(c, n, s);
    default: tpl_fail_code(c, ERR_BUG, "a value where a statement should be");
    }
}

enum flow tpl_exec(struct tpl *c, const struct node *n, struct scope *s)
{
    tpl_charge(c, 1);
    c->line = n->line;
    if (++c->depth > TPL_MAX_DEPTH)
        tpl_fail(c, "calls nested deeper than %d", TPL_MAX_DEPTH);
    enum flow f = exec_one(c, n, s);
    c->depth--;
    return f;
}

void tpl_exec_all(struct tpl *c, const struct node *body, struct scope *s)
{
    tpl_exec(c, body, s);
}
