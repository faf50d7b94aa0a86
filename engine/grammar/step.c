/* engine/grammar/step.c - one byte on, from each kind of place in a JSON text.
 *
 * No place is entered from which the value cannot be finished: a property that is skipped must be
 * optional, a comma needs an item or a key behind it, a string keeps an end within its length. So a
 * text that goes on is a text that can end, and a model that is led by masks never meets a wall. */
#include "engine/grammar/step.h"

#include <string.h>

static const struct term *term_at(struct machine *m, term_id t)
{
    return &grammar_of(m)->terms[t];
}

bool term_is_alive(struct machine *m, term_id t)
{
    return term_at(m, t)->life == 1;
}

/* ---- values ---------------------------------------------------------------------------------- */

void value_end(struct machine *m, const struct frame *f)
{
    const struct frame *up = f->up;
    if (!up) {
        emit(m, NULL);
    } else if (up->kind == F_SEQ || up->kind == F_REPEAT) {
        seq_return(m, up);
    } else if (!f->text) {
        emit(m, up);
    } else if ((up = with_value(m, up, f->text))) {
        emit(m, up);
    }
}

static void number_go(struct machine *m, struct frame *x, const struct numbers *n, uint32_t state,
                      unsigned char c)
{
    if (state == DFA_DEAD)
        return;
    x->a = state;
    bool ends = n->accept[state] != 0;
    struct frame done = *x;
    if (x->text) {
        if (num_symbol(c) >= 12) /* no 1e5: its zeros could be written out */
            return;
        x->text = chain_get(m, x->text, c);
        if (!is_new(m, x->up, x->text, x->what, state, n->count[state]))
            return;
        done.text = number_text(m, x->text);
        ends = ends && is_new(m, x->up, done.text, NULL, 0, 1);
    }
    const struct frame *f = frame_get(m, x);
    if (!f)
        return;
    emit(m, f);
    if (ends) {
        done.a = state;
        value_end(m, &done);
    }
}

void start_value(struct machine *m, const struct frame *up, term_id t, uint16_t depth,
                 unsigned char c)
{
    const struct term *term = term_at(m, t);
    const bool differ = must_differ(up) || (up && up->text);
    for (uint32_t i = 0; i < term->n_atoms; i++) {
        const struct atom *a = term->atoms[i];
        struct frame x = {.up = up, .what = a, .depth = depth};
        if (differ && !(x.text = value_start(m, up, a->kind)))
            return;
        if (differ && !may_start(m, up, a, x.text))
            continue;
        switch (a->kind) {
        case K_NULL:
        case K_TRUE:
        case K_FALSE:
            if (c != (a->kind == K_NULL ? 'n' : a->kind == K_TRUE ? 't' : 'f'))
                break;
            x.kind = F_WORD;
            x.what = NULL;
            x.a = a->kind;
            x.b = 1;
            emit(m, frame_get(m, &x));
            break;
        case K_NUM: {
            const int s = num_symbol(c);
            x.kind = F_NUM;
            if (s >= 0)
                number_go(m, &x, a->num, a->num->next[0][s], c);
            break;
        }
        case K_STR:
            if (c != '"')
                break;
            x.kind = F_STR;
            x.a = a->str.dfa->start;
            emit(m, frame_get(m, &x));
            break;
        default:
            if (c != (a->kind == K_ARR ? '[' : '{') || depth >= MOST_NESTING)
                break;
            x.kind = a->kind == K_ARR ? F_ARR : F_OBJ;
            x.depth = depth + 1;
            emit(m, frame_get(m, &x));
        }
    }
}

/* White space between the parts: one newline, and blanks enough to indent by four. */
bool take_blank(struct machine *m, const struct frame *f, unsigned char c)
{
    struct frame x = *f;
    const uint32_t most = f->depth > 4 ? 4u * f->depth : WS_BLANKS;
    if (c == '\n') {
        if (f->ws & WS_NEWLINE)
            return true;
        x.ws |= WS_NEWLINE;
    } else if (c == ' ' || c == '\t') {
        /* The count can pass the newline's bit at a depth of 64: it has the bits above it too. */
        const uint32_t n = (f->ws & 0xffu) | (uint32_t)(f->ws >> 9) << 8;
        if (n >= most)
            return true;
        x.ws = (uint16_t)((f->ws & WS_NEWLINE) | ((n + 1) & 0xff) | ((n + 1) >> 8) << 9);
    } else {
        return false;
    }
    emit(m, frame_get(m, &x));
    return true;
}

/* ---- strings --------------------------------------------------------------------------------- */

/* Can some character in lo..hi go on to a text that is not used up? */
static bool leads_to_new(struct machine *m, const struct frame *f, uint32_t far, uint32_t lo,
                         uint32_t hi)
{
    const struct atom *a = f->what;
    for (uint32_t cp = lo; cp <= hi; cp++) {
        const uint32_t to = dfa_step(a->str.dfa, f->a, cp);
        if (to != DFA_DEAD &&
            is_new(m, f->up, chain_get(m, f->text, cp), a, to, dfa_count(a->str.dfa, to, far)))
            return true;
    }
    return false;
}

static void step_string(struct machine *m, const struct frame *f, unsigned char c)
{
    const struct atom *a = f->what;
    const struct dfa *d = a->str.dfa;
    const uint32_t most = a->str.most, least = a->str.least;
    struct frame x = *f;
    struct char_reach r;
    uint32_t cp;
    switch (char_step(&x.c, c, &cp, &r)) {
    case CHAR_QUOTE:
        if (d->accept[f->a] && f->b >= least && f->b <= most &&
            (!f->text || is_new(m, f->up, f->text, NULL, 0, 1)))
            value_end(m, f);
        break;
    case CHAR_PART: {
        const uint32_t need = least > f->b + 1 ? least - f->b - 1 : 0;
        if (most != NO_END && f->b >= most)
            break;
        const uint32_t far = most == NO_END ? NO_END - 1 : most - f->b - 1;
        for (uint32_t i = 0; i < r.n; i++)
            if (dfa_leads(d, f->a, r.lo[i], r.hi[i], need, far) &&
                (!f->text || leads_to_new(m, f, most == NO_END ? NO_END : far, r.lo[i], r.hi[i]))) {
                emit(m, frame_get(m, &x));
                break;
            }
        break;
    }
    case CHAR_WHOLE:
        x.a = dfa_step(d, f->a, cp);
        x.b = f->b + 1;
        if (!string_lives(a, x.a, x.b))
            break;
        if (most == NO_END && x.b > least)
            x.b = least; /* nothing is left to count */
        if (f->text) {
            x.text = chain_get(m, f->text, cp);
            if (!is_new(m, f->up, x.text, a, x.a,
                        dfa_count(d, x.a, most == NO_END ? NO_END : most - x.b)))
                break;
        }
        emit(m, frame_get(m, &x));
        break;
    case CHAR_BAD:
        break;
    }
}

/* ---- arrays ---------------------------------------------------------------------------------- */

static uint32_t counted(const struct frame *f, uint32_t k)
{
    return f->b >> (8 * k) & 255;
}

/* Items that `contains` still asks for. */
static uint32_t items_wanted(const struct atom *a, const struct frame *f)
{
    uint32_t most = 0;
    for (uint32_t k = 0; k < a->arr.n_contains; k++) {
        const uint32_t least = a->arr.contains[k]->least, n = counted(f, k);
        if (n < least && least - n > most)
            most = least - n;
    }
    return most;
}

/* The item that would come next, for each way to count it: calls start_value unless `c` is 0 and
 * only whether there is one is asked. */
static bool next_item(struct machine *m, const struct frame *f, unsigned char c)
{
    const struct atom *a = f->what;
    const uint32_t k = f->a < a->arr.n_prefix ? f->a : a->arr.n_prefix;
    const term_id plain = f->a < a->arr.n_prefix ? a->arr.prefix[f->a] : a->arr.rest;
    const uint32_t cap = a->arr.least > a->arr.n_prefix ? a->arr.least : a->arr.n_prefix;
    bool some = false;
    if (f->a >= a->arr.most)
        return false;
    for (uint32_t set = 0; set < 1u << a->arr.n_contains; set++) {
        const term_id t = a->arr.n_contains ? a->arr.picked[k * 8 + set] : plain;
        struct frame x = *f;
        if (!term_is_alive(m, t))
            continue;
        bool good = true;
        for (uint32_t i = 0; i < a->arr.n_contains && good; i++) {
            const struct contains *w = a->arr.contains[i];
            const uint32_t n = counted(f, i);
            if (!(set >> i & 1))
                continue;
            good = n < w->most && (n < w->least || w->most != NO_END) && n < 254;
            x.b += 1u << (8 * i);
        }
        if (!good)
            continue;
        x.phase = AT_AFTER;
        x.ws = 0;
        x.a = f->a + 1;
        if (a->arr.most != NO_END && items_wanted(a, &x) > a->arr.most - x.a)
            continue;
        if (a->arr.most == NO_END && x.a > cap)
            x.a = cap;
        if (!term_may_start(m, &x, t))
            continue;
        some = true;
        if (!c)
            return true;
        const struct frame *up = frame_get(m, &x);
        if (up)
            start_value(m, up, t, f->depth, c);
    }
    return some;
}

static void step_array(struct machine *m, const struct frame *f, unsigned char c)
{
    const struct atom *a = f->what;
    if (take_blank(m, f, c))
        return;
    if (c == ']' && f->phase != AT_COMMA) {
        struct frame done = *f;
        if (f->a < a->arr.least || items_wanted(a, f))
            return;
        if (f->text) {
            done.text = close_text(m, f->text);
            if (!is_new(m, f->up, done.text, NULL, 0, 1))
                return;
        }
        value_end(m, &done);
        return;
    }
    if (f->phase != AT_AFTER) {
        next_item(m, f, c);
    } else if (c == ',' && next_item(m, f, 0)) {
        struct frame x = *f;
        x.phase = AT_COMMA;
        x.ws = 0;
        emit(m, frame_get(m, &x));
    }
}

/* ---- all kinds ------------------------------------------------------------------------------- */

static void step_word(struct machine *m, const struct frame *f, unsigned char c)
{
    const char *word = f->a == K_NULL ? "null" : f->a == K_TRUE ? "true" : "false";
    struct frame x = *f;
    if ((unsigned char)word[f->b] != c)
        return;
    x.b++;
    if (!word[x.b]) {
        value_end(m, f);
        return;
    }
    emit(m, frame_get(m, &x));
}

void step_frame(struct machine *m, const struct frame *f, unsigned char c)
{
    switch (f->kind) {
    case F_VALUE:
        start_value(m, f->up, f->a, f->depth, c);
        break;
    case F_WORD:
        step_word(m, f, c);
        break;
    case F_NUM: {
        const struct atom *a = f->what;
        const int s = num_symbol(c);
        struct frame x = *f;
        if (s >= 0)
            number_go(m, &x, a->num, a->num->next[f->a][s], c);
        break;
    }
    case F_STR:
        step_string(m, f, c);
        break;
    case F_KEY:
        step_key(m, f, c);
        break;
    case F_XKEY:
        step_extra_key(m, f, c);
        break;
    case F_ARR:
        step_array(m, f, c);
        break;
    case F_OBJ:
        step_object(m, f, c);
        break;
    case F_CHARS:
        step_chars(m, f, c);
        break;
    case F_SEQ:
    case F_REPEAT:
        break; /* never the place itself */
    }
}
