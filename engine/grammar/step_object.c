/* engine/grammar/step_object.c - one byte on in an object and in its keys. */
#include "engine/grammar/step.h"

static uint32_t props_of(const struct frame *f)
{
    return f->b & ((1u << OBJ_BITS) - 1);
}

/* Of the properties that must be there among the extras: those still to come, one bit each. */
static uint32_t missing_of(const struct frame *f)
{
    const struct atom *a = f->what;
    return a->obj.must & ~(f->b >> OBJ_BITS);
}

/* The keys that may come next: emits their first place, or only says whether there is one. */
static bool next_key(struct machine *m, const struct frame *f, bool go)
{
    const struct atom *a = f->what;
    const uint32_t n = a->obj.n_props;
    const uint32_t b = props_of(f), missing = missing_of(f),
                   extra = (uint32_t)__builtin_popcount(missing);
    bool some = false, has_extras = false;
    if (b >= a->obj.most)
        return false;
    for (uint32_t i = 0; i < a->obj.n_extras; i++)
        has_extras |= term_is_alive(m, a->obj.extras[i].term);
    uint32_t p = f->a;
    for (; p < n; p++) {
        const struct prop *q = &a->obj.props[p];
        const bool fits = b + 1 + a->obj.needed[p + 1] + extra <= a->obj.most &&
                          (has_extras || b + (n - p) >= a->obj.least);
        struct frame behind = *f; /* the key */
        behind.a = p + 1;
        behind.b++;
        if (f->text && !(behind.text = key_text(m, f->text, q)))
            return false;
        if (term_is_alive(m, q->term) && fits && term_may_start(m, &behind, q->term)) {
            some = true;
            if (!go)
                return true;
            const struct frame x = {.up = f, .what = q, .kind = F_KEY, .depth = f->depth};
            emit(m, frame_get(m, &x));
        }
        if (q->required)
            return some; /* it cannot be passed over */
    }
    for (uint32_t i = 0; i < a->obj.n_extras; i++) {
        const struct extra *q = &a->obj.extras[i];
        const uint32_t left = missing & ~q->does;
        if (!term_is_alive(m, q->term) || (a->obj.in_front && missing && left == missing) ||
            b + 1 + (uint32_t)__builtin_popcount(left) > a->obj.most)
            continue;
        struct frame x = {
            .up = f, .what = q, .kind = F_XKEY, .a = q->keys->start, .depth = f->depth};
        if (a->obj.distinct || f->text) {
            x.text = text_start(m, K_STR);
            if (!is_new_key(f->used, x.text, q->keys, x.a, dfa_count(q->keys, x.a, NO_END)))
                continue;
        }
        some = true;
        if (!go)
            return true;
        emit(m, frame_get(m, &x));
    }
    return some;
}

/* Behind a key: its object waits for the colon. */
static void key_end(struct machine *m, const struct frame *f, uint32_t next, term_id t,
                    uint32_t does, const struct chain *text)
{
    struct frame x = *f->up;
    const struct atom *a = x.what;
    x.phase = AT_COLON;
    x.ws = 0;
    x.a = next;
    if (a->obj.most != NO_END || props_of(&x) < a->obj.least)
        x.b++; /* else nothing is left to count */
    x.b |= does << OBJ_BITS;
    x.c = t;
    if (text && !(x.used = used_add(m, x.used, text)))
        return;
    if (x.text && !(x.text = text ? extra_key_text(m, x.text, text) : key_text(m, x.text, f->what)))
        return;
    emit(m, frame_get(m, &x));
}

void step_key(struct machine *m, const struct frame *f, unsigned char c)
{
    const struct prop *p = f->what;
    const struct atom *a = f->up->what;
    struct frame x = *f;
    struct char_reach r;
    uint32_t cp, want = 0;
    bool bad;
    const size_t n =
        f->a < p->n_name ? text_decode(p->name + f->a, p->n_name - f->a, &want, &bad) : 0;
    switch (char_step(&x.c, c, &cp, &r)) {
    case CHAR_QUOTE:
        if (!n)
            key_end(m, f, (uint32_t)(p - a->obj.props) + 1, p->term, 0, NULL);
        break;
    case CHAR_PART:
        for (uint32_t i = 0; n && i < r.n; i++)
            if (want >= r.lo[i] && want <= r.hi[i]) {
                emit(m, frame_get(m, &x));
                break;
            }
        break;
    case CHAR_WHOLE:
        if (n && cp == want) {
            x.a += (uint32_t)n;
            emit(m, frame_get(m, &x));
        }
        break;
    case CHAR_BAD:
        break;
    }
}

static bool key_leads_to_new(struct machine *m, const struct frame *f, uint32_t lo, uint32_t hi)
{
    const struct extra *e = f->what;
    for (uint32_t cp = lo; cp <= hi; cp++) {
        const uint32_t to = dfa_step(e->keys, f->a, cp);
        if (to != DFA_DEAD && is_new_key(f->up->used, chain_get(m, f->text, cp), e->keys, to,
                                         dfa_count(e->keys, to, NO_END)))
            return true;
    }
    return false;
}

void step_extra_key(struct machine *m, const struct frame *f, unsigned char c)
{
    const struct extra *e = f->what;
    const struct atom *a = f->up->what;
    struct frame x = *f;
    struct char_reach r;
    uint32_t cp;
    switch (char_step(&x.c, c, &cp, &r)) {
    case CHAR_QUOTE:
        if (e->keys->accept[f->a] && (!f->text || is_new_key(f->up->used, f->text, NULL, 0, 1)))
            key_end(m, f, a->obj.n_props, e->term, e->does, f->text);
        break;
    case CHAR_PART:
        for (uint32_t i = 0; i < r.n; i++)
            if (dfa_leads(e->keys, f->a, r.lo[i], r.hi[i], 0, NO_END - 1) &&
                (!f->text || key_leads_to_new(m, f, r.lo[i], r.hi[i]))) {
                emit(m, frame_get(m, &x));
                break;
            }
        break;
    case CHAR_WHOLE:
        x.a = dfa_step(e->keys, f->a, cp);
        if (x.a == DFA_DEAD)
            break;
        if (f->text) {
            x.text = chain_get(m, f->text, cp);
            if (!is_new_key(f->up->used, x.text, e->keys, x.a, dfa_count(e->keys, x.a, NO_END)))
                break;
        }
        emit(m, frame_get(m, &x));
        break;
    case CHAR_BAD:
        break;
    }
}

void step_object(struct machine *m, const struct frame *f, unsigned char c)
{
    const struct atom *a = f->what;
    struct frame x = *f;
    x.ws = 0;
    if (f->phase == AT_COLON) {
        x.phase = AT_VALUE;
        if (c == ':')
            emit(m, frame_get(m, &x));
        return;
    }
    if (take_blank(m, f, c))
        return;
    if (f->phase == AT_VALUE) {
        x.phase = AT_AFTER;
        x.c = 0;
        const struct frame *up = frame_get(m, &x);
        if (up)
            start_value(m, up, f->c, f->depth, c);
    } else if (c == '}') {
        if (f->phase != AT_COMMA && !a->obj.needed[f->a] && props_of(f) >= a->obj.least &&
            !missing_of(f)) {
            x = *f;
            x.used = NULL;
            if (f->text && !is_new(m, f->up, x.text = close_text(m, f->text), NULL, 0, 1))
                return;
            value_end(m, &x);
        }
    } else if (c == ',' && f->phase == AT_AFTER) {
        x.phase = AT_COMMA;
        if (next_key(m, f, false))
            emit(m, frame_get(m, &x));
    } else if (c == '"' && f->phase != AT_AFTER) {
        next_key(m, f, true);
    }
}
