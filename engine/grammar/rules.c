/* engine/grammar/rules.c - places in a grammar of rules: sequences, alternatives, repeats.
 *
 * Whatever needs no text is walked through at once, so a place is always a character class or the
 * start of a JSON value. What a rule returns to is a frame; the last item of a rule returns to
 * where the rule itself would, so that a list written as right recursion does not grow a tower. */
#include "engine/grammar/machine.h"

static const struct frame *behind(struct machine *m, const struct frame *up, uint32_t elem)
{
    if (grammar_of(m)->elems[elem + 1].kind == E_END)
        return up;
    const struct frame x = {.up = up, .kind = F_SEQ, .a = elem + 1, .depth = up ? up->depth : 0};
    return frame_get(m, &x);
}

static void alternatives(struct machine *m, const struct frame *up, uint32_t rule)
{
    const struct rule *r = &grammar_of(m)->rules[rule];
    for (uint32_t i = 0; i < r->n_alts; i++)
        seq_go(m, up, r->alts[i]);
}

static void repeat_go(struct machine *m, const struct frame *up, uint32_t elem, uint32_t times)
{
    const struct elem *x = &grammar_of(m)->elems[elem];
    const struct frame here = {
        .up = up, .kind = F_REPEAT, .a = elem, .b = times, .depth = up ? up->depth : 0};
    const struct frame *f = frame_get(m, &here);
    if (!first_visit(m, f))
        return;
    if (times >= x->least)
        seq_go(m, up, elem + 1);
    if (times < x->most) {
        struct frame more = here;
        more.b = x->most == NO_END && times + 1 > x->least ? x->least : times + 1;
        const struct frame *next = frame_get(m, &more);
        if (next)
            alternatives(m, next, x->a);
    }
}

void seq_go(struct machine *m, const struct frame *up, uint32_t elem)
{
    const struct elem *x = &grammar_of(m)->elems[elem];
    struct frame here = {.up = up, .kind = F_SEQ, .a = elem, .depth = up ? up->depth : 0};
    const struct frame *f;
    if (x->kind == E_END) {
        seq_return(m, up);
        return;
    }
    if (!(f = frame_get(m, &here)) || !first_visit(m, f))
        return;
    switch (x->kind) {
    case E_CHARS:
        here.kind = F_CHARS;
        emit(m, frame_get(m, &here));
        break;
    case E_RULE:
        f = behind(m, up, elem);
        if (f || !up)
            alternatives(m, f, x->a);
        break;
    case E_REPEAT:
        repeat_go(m, up, elem, 0);
        break;
    case E_JSON: {
        const struct frame v = {.up = behind(m, up, elem), .kind = F_VALUE, .a = x->a};
        emit(m, frame_get(m, &v));
        break;
    }
    case E_END:
        break;
    }
}

void seq_return(struct machine *m, const struct frame *to)
{
    if (!to)
        emit(m, NULL);
    else if (to->kind == F_SEQ)
        seq_go(m, to->up, to->a);
    else
        repeat_go(m, to->up, to->a, to->b);
}

static bool set_has(const struct charset *s, uint32_t cp)
{
    for (uint32_t i = 0; i < s->n; i += 2)
        if (cp >= s->ranges[i] && cp <= s->ranges[i + 1])
            return !s->neg;
    return s->neg;
}

/* Is any of lo..hi in the set? */
static bool set_meets(const struct charset *s, uint32_t lo, uint32_t hi)
{
    if (!s->neg) {
        for (uint32_t i = 0; i < s->n; i += 2)
            if (s->ranges[i] <= hi && s->ranges[i + 1] >= lo)
                return true;
        return false;
    }
    while (lo <= hi) { /* skip what the ranges take away */
        uint32_t past = lo;
        for (uint32_t i = 0; i < s->n; i += 2)
            if (lo >= s->ranges[i] && lo <= s->ranges[i + 1] && s->ranges[i + 1] >= past)
                past = s->ranges[i + 1] + 1;
        if (past == lo)
            return true;
        lo = past;
    }
    return false;
}

void step_chars(struct machine *m, const struct frame *f, unsigned char c)
{
    const struct grammar *g = grammar_of(m);
    const struct charset *s = &g->sets[g->elems[f->a].a];
    struct frame x = *f;
    struct char_reach r;
    uint32_t cp;
    switch (utf8_step(&x.c, c, &cp, &r)) {
    case CHAR_PART:
        for (uint32_t i = 0; i < r.n; i++)
            if (set_meets(s, r.lo[i], r.hi[i])) {
                emit(m, frame_get(m, &x));
                break;
            }
        break;
    case CHAR_WHOLE:
        if (set_has(s, cp))
            seq_go(m, f->up, f->a + 1);
        break;
    case CHAR_QUOTE:
    case CHAR_BAD:
        break;
    }
}
