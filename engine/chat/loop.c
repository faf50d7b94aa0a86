/* engine/chat/loop.c - `for`, and what `loop` knows.
 *
 * Items are fetched one ahead only when the template asks (loop.last, loop.nextitem), and the
 * `if` of a for is asked when its item is fetched: a body may change what the condition reads. */
#include <string.h>
#include "engine/chat/exec.h"

struct loop {
    const struct node *n;
    struct scope *outer;
    struct list *src;
    size_t at;     /* next item of src */
    bool filtered; /* the items of src have passed the condition */
    bool has_before, has_after, has_changed, has_length;
    struct val before, current, after;
    size_t index0, depth0, length;
    struct list *changed;
};

static bool passes(struct tpl *c, struct loop *lp, struct val v)
{
    if (!lp->n->c || lp->filtered)
        return true;
    struct scope *s = tpl_scope(c, lp->outer);
    tpl_assign_target(c, s, lp->n->a, v);
    return tpl_truth(tpl_eval(c, lp->n->c, s));
}

static bool fetch(struct tpl *c, struct loop *lp, struct val *v)
{
    if (lp->has_after) {
        *v = lp->after;
        lp->has_after = false;
        return true;
    }
    while (lp->at < lp->src->n) {
        *v = lp->src->v[lp->at++];
        tpl_charge(c, 1);
        if (passes(c, lp, *v))
            return true;
    }
    return false;
}

static bool peek(struct tpl *c, struct loop *lp)
{
    struct val v;
    if (!lp->has_after && fetch(c, lp, &v)) {
        lp->after = v;
        lp->has_after = true;
    }
    return lp->has_after;
}

static int64_t length(struct tpl *c, struct loop *lp)
{
    if (!lp->has_length) {
        if (lp->n->c && !lp->filtered) {
            struct list *rest = tpl_list(c, L_LIST, 0);
            struct val v;
            while (fetch(c, lp, &v))
                tpl_list_add(c, rest, v);
            lp->src = rest;
            lp->at = 0;
            lp->filtered = true;
        }
        lp->length = lp->index0 + 1 + lp->has_after + (lp->src->n - lp->at);
        lp->has_length = true;
    }
    return (int64_t)lp->length;
}

static struct val loop_cycle(struct tpl *c, struct val self, struct val *a, const struct args *raw)
{
    if (!raw->n_pos)
        tpl_fail(c, "no items for cycling given");
    return raw->pos[self.lp->index0 % raw->n_pos];
}

static struct val loop_changed(struct tpl *c, struct val self, struct val *a,
                               const struct args *raw)
{
    struct loop *lp = self.lp;
    struct list *now = tpl_list(c, L_TUPLE, raw->n_pos);
    for (size_t i = 0; i < raw->n_pos; i++)
        tpl_list_add(c, now, raw->pos[i]);
    bool same = lp->changed && tpl_equal(c, tpl_list_val(lp->changed), tpl_list_val(now));
    lp->changed = now;
    return tpl_bool(!same);
}

static struct val bound(struct tpl *c, struct loop *lp, const struct func *fn)
{
    struct method *m = tpl_alloc(c, sizeof *m);
    m->self = (struct val){.type = T_LOOP, .lp = lp};
    m->fn = fn;
    return (struct val){.type = T_METHOD, .me = m};
}

struct val tpl_loop_attr(struct tpl *c, struct loop *lp, struct str *name)
{
    static const struct func cycle = {"cycle", "*", loop_cycle, false};
    static const struct func changed = {"changed", "*", loop_changed, false};
    int64_t i = (int64_t)lp->index0;
    if (tpl_str_is(name, "index0"))
        return tpl_int(i);
    if (tpl_str_is(name, "index"))
        return tpl_int(i + 1);
    if (tpl_str_is(name, "first"))
        return tpl_bool(i == 0);
    if (tpl_str_is(name, "last"))
        return tpl_bool(!peek(c, lp));
    if (tpl_str_is(name, "length"))
        return tpl_int(length(c, lp));
    if (tpl_str_is(name, "revindex"))
        return tpl_int(length(c, lp) - i);
    if (tpl_str_is(name, "revindex0"))
        return tpl_int(length(c, lp) - i - 1);
    if (tpl_str_is(name, "previtem"))
        return lp->has_before ? lp->before : tpl_undef();
    if (tpl_str_is(name, "nextitem"))
        return peek(c, lp) ? lp->after : tpl_undef();
    if (tpl_str_is(name, "depth"))
        return tpl_int((int64_t)lp->depth0 + 1);
    if (tpl_str_is(name, "depth0"))
        return tpl_int((int64_t)lp->depth0);
    if (tpl_str_is(name, "cycle"))
        return bound(c, lp, &cycle);
    if (tpl_str_is(name, "changed"))
        return bound(c, lp, &changed);
    return tpl_undef_attr(c, (struct val){.type = T_LOOP, .lp = lp}, tpl_str_val(name));
}

static void run(struct tpl *c, const struct node *n, struct val over, struct scope *outer,
                size_t depth0)
{
    struct loop *lp = tpl_alloc(c, sizeof *lp);
    struct scope *s = NULL;
    struct val v;
    lp->n = n;
    lp->outer = outer;
    lp->src = tpl_items(c, over);
    lp->depth0 = depth0;
    size_t turns = 0;
    bool ended = false;
    for (; fetch(c, lp, &v); turns++) {
        if (turns >= TPL_MAX_ITEMS)
            tpl_fail(c, "a loop of more than %d turns", TPL_MAX_ITEMS);
        if (turns) {
            lp->before = lp->current;
            lp->has_before = true;
        }
        lp->current = v;
        lp->index0 = turns;
        if (!s || s->kept)
            s = tpl_scope(c, outer);
        s->n = 0;
        tpl_assign(c, s, c->t->sym_loop, (struct val){.type = T_LOOP, .lp = lp});
        tpl_assign_target(c, s, n->a, v);
        enum flow f = tpl_exec(c, n->kids[0], s);
        ended |= f == FLOW_ON;
        if (f == FLOW_BREAK)
            break;
    }
    /* As in Jinja, `else` is for a loop of which no turn came to its end. */
    if (!ended && n->kids[1])
        tpl_exec_all(c, n->kids[1], tpl_scope(c, outer));
}

void tpl_exec_for(struct tpl *c, const struct node *n, struct scope *s)
{
    struct val over = tpl_eval(c, n->b, s);
    c->line = n->line;
    run(c, n, over, s, 0);
}

struct val tpl_call_loop(struct tpl *c, struct loop *lp, const struct args *raw)
{
    if (!lp->n->flag)
        tpl_fail(c, "The loop must have the 'recursive' marker to be called recursively.");
    if (raw->n_pos != 1 || raw->n_kw)
        tpl_fail(c, "loop() takes one argument");
    if (++c->macro_depth > TPL_MAX_MACROS)
        tpl_fail(c, "loops nested deeper than %d", TPL_MAX_MACROS);
    struct sink k, *outer = c->to;
    c->to = tpl_sink(c, &k);
    run(c, lp->n, raw->pos[0], lp->outer, lp->depth0 + 1);
    c->to = outer;
    c->macro_depth--;
    return tpl_str_val(tpl_sink_str(c, &k));
}
