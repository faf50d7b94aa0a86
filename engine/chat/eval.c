/* engine/chat/eval.c - the value of an expression.
 *
 * One step a node. What needs room stands in functions of its own that are never inlined: the
 * frame of tpl_eval is what deep trees cost. */
#include <string.h>
#include "engine/chat/syntax.h"

#define ALONE __attribute__((noinline))

void tpl_eval_args(struct tpl *c, const struct node *n, struct scope *s, struct args *out)
{
    size_t n_pos = n->n_kids, n_kw = n->n_more;
    struct val star = {0}, stars = {0};
    *out = (struct args){0};
    if (n->n_kids)
        out->pos = tpl_alloc(c, n_pos * sizeof *out->pos);
    for (size_t i = 0; i < n->n_kids; i++)
        out->pos[i] = tpl_eval(c, n->kids[i], s);
    out->n_pos = n->n_kids;
    if (n->kind != N_TEST && n->b) {
        star = tpl_eval(c, n->b, s);
        struct list *l = tpl_items(c, star);
        n_pos += l->n;
        tpl_charge(c, l->n / 8);
        out->pos = tpl_grow(c, out->pos, out->n_pos * sizeof *out->pos, n_pos * sizeof *out->pos);
        if (l->n)
            memcpy(out->pos + out->n_pos, l->v, l->n * sizeof *l->v);
        out->n_pos = n_pos;
    }
    if (n->kind != N_TEST && n->c) {
        stars = tpl_eval(c, n->c, s);
        if (stars.type != T_DICT)
            tpl_fail(c, "argument after ** must be a mapping, not %s", tpl_type_name(stars));
        n_kw += stars.d->n;
    }
    out->kw = n_kw || n->kind == N_CALL ? tpl_alloc(c, (n_kw + 1) * sizeof *out->kw) : NULL;
    for (size_t i = 0; i < n->n_more; i++)
        out->kw[out->n_kw++] = (struct named){n->names[i], tpl_eval(c, n->more[i], s)};
    for (size_t i = 0; stars.type == T_DICT && i < stars.d->n; i++) {
        if (stars.d->e[i].key.type != T_STR)
            tpl_fail(c, "keywords must be strings");
        out->kw[out->n_kw++] = (struct named){stars.d->e[i].key.s, stars.d->e[i].value};
    }
}

ALONE static struct val eval_call(struct tpl *c, const struct node *n, struct scope *s)
{
    struct args args;
    struct val f = tpl_eval(c, n->a, s);
    tpl_eval_args(c, n, s, &args);
    c->line = n->line;
    return tpl_call(c, f, &args);
}

ALONE struct val tpl_eval_filter(struct tpl *c, const struct node *n, struct val on,
                                 struct scope *s)
{
    struct args args;
    if (n->a)
        on = tpl_eval_filter(c, n->a, on, s);
    tpl_eval_args(c, n, s, &args);
    c->line = n->line;
    if (!n->fn)
        tpl_fail(c, "No filter named '%.*s'.", (int)(n->v.s->n < 99 ? n->v.s->n : 99), n->v.s->p);
    return tpl_run_func(c, n->fn, on, &args);
}

ALONE static struct val eval_filter(struct tpl *c, const struct node *n, struct scope *s)
{
    struct args args;
    struct val on = tpl_eval(c, n->a, s);
    tpl_eval_args(c, n, s, &args);
    c->line = n->line;
    if (!n->fn)
        tpl_fail(c, "No filter named '%.*s'.", (int)(n->v.s->n < 99 ? n->v.s->n : 99), n->v.s->p);
    return tpl_run_func(c, n->fn, on, &args);
}

ALONE static struct val eval_test(struct tpl *c, const struct node *n, struct scope *s)
{
    struct args args;
    struct val on = tpl_eval(c, n->a, s);
    tpl_eval_args(c, n, s, &args);
    c->line = n->line;
    if (!n->fn)
        tpl_fail(c, "No test named '%.*s'.", (int)(n->v.s->n < 99 ? n->v.s->n : 99), n->v.s->p);
    return tpl_run_func(c, n->fn, on, &args);
}

ALONE static struct val eval_list(struct tpl *c, const struct node *n, struct scope *s)
{
    struct list *l = tpl_list(c, n->kind == N_LIST ? L_LIST : L_TUPLE, n->n_kids);
    for (uint32_t i = 0; i < n->n_kids; i++)
        tpl_list_add(c, l, tpl_eval(c, n->kids[i], s));
    return tpl_list_val(l);
}

ALONE static struct val eval_dict(struct tpl *c, const struct node *n, struct scope *s)
{
    struct dict *d = tpl_dict(c);
    for (uint32_t i = 0; i < n->n_kids; i++) {
        struct val key = tpl_eval(c, n->kids[i], s);
        tpl_dict_set(c, d, key, tpl_eval(c, n->more[i], s));
    }
    return tpl_dict_val(d);
}

ALONE static struct val eval_slice(struct tpl *c, const struct node *n, struct scope *s)
{
    struct val o = tpl_eval(c, n->a, s), from = {0}, to = {0}, step = {0};
    if (n->b)
        from = tpl_eval(c, n->b, s);
    if (n->c)
        to = tpl_eval(c, n->c, s);
    if (n->n_kids)
        step = tpl_eval(c, n->kids[0], s);
    c->line = n->line;
    return tpl_slice(c, o, from, to, step);
}

static bool compare(struct tpl *c, int op, struct val a, struct val b)
{
    switch (op) {
    case K_EQ: return tpl_equal(c, a, b);
    case K_NE: return !tpl_equal(c, a, b);
    case K_LT: return tpl_less(c, a, b, "<");
    case K_GT: return tpl_less(c, b, a, ">");
    /* NaN apart, a <= b is not b < a. */
    case K_LE: return tpl_less(c, a, b, "<=") || tpl_equal(c, a, b);
    case K_GE: return tpl_less(c, b, a, ">=") || tpl_equal(c, a, b);
    case OP_IN: return tpl_contains(c, a, b);
    default: return !tpl_contains(c, a, b);
    }
}

ALONE static struct val eval_compare(struct tpl *c, const struct node *n, struct scope *s)
{
    struct val a = tpl_eval(c, n->a, s);
    for (uint32_t i = 0; i < n->n_kids; i++) {
        struct val b = tpl_eval(c, n->kids[i], s);
        c->line = n->line;
        if (!compare(c, n->ops[i], a, b))
            return tpl_bool(false);
        a = b;
    }
    return tpl_bool(true);
}

ALONE static struct val eval_concat(struct tpl *c, const struct node *n, struct scope *s)
{
    /* All parts first: their text would otherwise come between the pieces of the result. */
    struct str **part = tpl_alloc(c, n->n_kids * sizeof *part);
    bool safe = false;
    for (uint32_t i = 0; i < n->n_kids; i++) {
        part[i] = tpl_to_str(c, tpl_eval(c, n->kids[i], s));
        safe |= c->escaping && part[i]->safe;
    }
    for (uint32_t i = 0; safe && i < n->n_kids; i++)
        if (!part[i]->safe)
            part[i] = tpl_escape_html(c, part[i]);
    struct str *r = part[0];
    for (uint32_t i = 1; i < n->n_kids; i++)
        r = tpl_str_join2(c, r, part[i]);
    r->safe = safe;
    return tpl_str_val(r);
}

static struct val eval_node(struct tpl *c, const struct node *n, struct scope *s)
{
    struct val a, b;
    switch ((enum node_kind)n->kind) {
    case N_CONST: return n->v;
    case N_NAME: return tpl_lookup_name(c, s, n);
    case N_LIST:
    case N_TUPLE: return eval_list(c, n, s);
    case N_DICT: return eval_dict(c, n, s);
    case N_ATTR:
        a = tpl_eval(c, n->a, s);
        c->line = n->line;
        return tpl_getattr(c, a, n->v.s, &n->m);
    case N_ITEM:
        a = tpl_eval(c, n->a, s);
        b = tpl_eval(c, n->b, s);
        c->line = n->line;
        return tpl_getitem(c, a, b);
    case N_SLICE: return eval_slice(c, n, s);
    case N_CALL: return eval_call(c, n, s);
    case N_FILTER: return eval_filter(c, n, s);
    case N_TEST: return eval_test(c, n, s);
    case N_BINARY:
        a = tpl_eval(c, n->a, s);
        b = tpl_eval(c, n->b, s);
        c->line = n->line;
        return tpl_binary(c, n->op, a, b);
    case N_NEG:
    case N_POS: return tpl_negate(c, tpl_eval(c, n->a, s), n->kind == N_NEG);
    case N_NOT: return tpl_bool(!tpl_truth(tpl_eval(c, n->a, s)));
    case N_AND:
        a = tpl_eval(c, n->a, s);
        return tpl_truth(a) ? tpl_eval(c, n->b, s) : a;
    case N_OR:
        a = tpl_eval(c, n->a, s);
        return tpl_truth(a) ? a : tpl_eval(c, n->b, s);
    case N_COMPARE: return eval_compare(c, n, s);
    case N_CONCAT: return eval_concat(c, n, s);
    case N_COND:
        if (tpl_truth(tpl_eval(c, n->a, s)))
            return tpl_eval(c, n->b, s);
        return n->c ? tpl_eval(c, n->c, s) : tpl_undef();
    default: tpl_fail_code(c, ERR_BUG, "a statement where a value should be");
    }
}

struct val tpl_eval(struct tpl *c, const struct node *n, struct scope *s)
{
    tpl_charge(c, 1);
    c->line = n->line;
    if (++c->depth > TPL_MAX_DEPTH)
        tpl_fail(c, "calls nested deeper than %d", TPL_MAX_DEPTH);
    struct val v = eval_node(c, n, s);
    c->depth--;
    return v;
}
