/* engine/chat/split.c - an answer as it comes -> thoughts, text, calls of tools.
 *
 * Facts: spec/modelfile-and-templates.md 6, 7.2, 8. What may be the start of a tag is held until it
 * is decided; what turns out to be no call goes out as text, so nothing is ever lost. The result
 * does not depend on how the answer was cut into pieces: every decision is made on what is held,
 * with the question "could more bytes change this?" asked first. */
#include "engine/chat/split.h"

#include <stdlib.h>
#include <string.h>

void chat_said_free(struct chat_said *s)
{
    buf_free(&s->text);
    buf_free(&s->thinking);
    json_decref(s->calls);
    s->calls = NULL;
}

size_t tag_begins(const char *p, size_t n, const char *tag)
{
    size_t k = strlen(tag) - 1;
    for (k = k < n ? k : n; k; k--)
        if (memcmp(p + n - k, tag, k) == 0)
            return k;
    return 0;
}

static bool ends_with(const char *text, const char *tag)
{
    size_t n = text ? strlen(text) : 0;
    const size_t k = strlen(tag);
    while (n && is_blank(text[n - 1]))
        n--;
    return k && n >= k && memcmp(text + n - k, tag, k) == 0;
}

struct chat_split *chat_split_new(const struct chat_manner *m, const json_t *tools, bool think,
                                  const char *prompt_end, struct err *e)
{
    struct chat_split *s = calloc(1, sizeof *s);
    if (!s || (json_array_size(tools) && !(s->tools = json_deep_copy(tools)))) {
        chat_split_free(s);
        err_set(e, ERR_MEMORY, "no memory for an answer");
        return NULL;
    }
    s->manner = *m;
    format_for(&s->manner, &s->own);
    s->f = &s->own;
    harmony_start(&s->harmony);
    s->state = S_BEGIN;
    if (think && m->think_open[0] && !ends_with(prompt_end, m->think_close))
        s->state = ends_with(prompt_end, m->think_open) ? S_THINK_BLANK : S_LOOKING;
    return s;
}

void chat_split_free(struct chat_split *s)
{
    if (!s)
        return;
    json_decref(s->tools);
    json_decref(s->ids);
    buf_free(&s->held);
    harmony_free(&s->harmony);
    free(s);
}

/* ---- what goes out --------------------------------------------------------------------------- */

void split_drop(struct chat_split *s, size_t n)
{
    if (!n)
        return;
    memmove(s->held.p, s->held.p + n, s->held.n - n + 1);
    s->held.n -= n;
}

void split_say(struct chat_split *s, struct buf *to, size_t n)
{
    buf_add(to, s->held.p, n);
    split_drop(s, n);
}

/* ---- tags ------------------------------------------------------------------------------------ */

enum { MOST_TAGS = 12 };
struct tags {
    const char *v[MOST_TAGS];
    int n, n_open; /* the opening tags come first */
};

static void tags_of(const struct chat_split *s, struct tags *t)
{
    *t = (struct tags){.n = 0};
    /* Without tools their tags are text; what stands around an answer never is. */
    if (!s->tools && s->f->kind != CALLS_COMMAND_A)
        return;
    for (int i = 0; s->tools && i < 3 && s->f->open[i]; i++)
        t->v[t->n++] = s->f->open[i];
    t->n_open = t->n;
    /* Qwen3-Coder sometimes leaves the outer tag out. */
    if (s->f->kind == CALLS_QWEN_XML)
        t->v[t->n++] = "<function=", t->n_open++;
    /* What a TEMPLATE writes behind a call is no tag elsewhere: take_text. */
    for (int i = 0; s->f->kind != CALLS_PLAIN && i < 5 && s->f->dropped[i]; i++)
        t->v[t->n++] = s->f->dropped[i];
}

/* The first of the tags in held: its place, *which; NULL: none, *hold bytes may be the start of
 * one. */
static const char *first_tag(const struct chat_split *s, const struct tags *t, int *which,
                             size_t *hold)
{
    const char *first = NULL;
    *hold = 0;
    for (int i = 0; i < t->n; i++) {
        const char *at = memmem(s->held.p, s->held.n, t->v[i], strlen(t->v[i]));
        if (at && (!first || at < first)) {
            first = at;
            *which = i;
        }
        const size_t k = tag_begins(s->held.p, s->held.n, t->v[i]);
        *hold = k > *hold ? k : *hold;
    }
    return first;
}

/* ---- states: each returns whether it changed something --------------------------------------- */

/* Does held begin with the tag? -1: that is not decided. */
int split_begins(const struct chat_split *s, size_t from, const char *tag, bool end)
{
    const size_t n = s->held.n - from, k = strlen(tag);
    if (n >= k)
        return memcmp(s->held.p + from, tag, k) == 0;
    return !end && memcmp(s->held.p + from, tag, n) == 0 ? -1 : 0;
}

static size_t blanks(const struct chat_split *s)
{
    size_t i = 0;
    while (i < s->held.n && is_blank(s->held.p[i]))
        i++;
    return i;
}

static bool take_looking(struct chat_split *s, bool end)
{
    const size_t i = blanks(s);
    if (i == s->held.n && !end)
        return false;
    const int yes = split_begins(s, i, s->manner.think_open, end);
    if (yes < 0)
        return false;
    if (yes) {
        split_drop(s, i + strlen(s->manner.think_open));
        s->state = S_THINK_BLANK;
        s->reopened = true;
    } else {
        s->state = S_BEGIN;
    }
    return true;
}

static bool take_think_blank(struct chat_split *s, bool end)
{
    split_drop(s, blanks(s));
    if (!s->held.n)
        return false;
    const int again = s->reopened ? 0 : split_begins(s, 0, s->manner.think_open, end);
    if (again < 0)
        return false;
    s->reopened = true;
    if (again)
        split_drop(s, strlen(s->manner.think_open));
    else
        s->state = S_THINKING;
    return true;
}

static bool take_thinking(struct chat_split *s, bool end, struct chat_said *out)
{
    struct tags t;
    int which = 0;
    size_t hold;
    tags_of(s, &t);
    t.n = t.n_open; /* a call ends the thoughts too */
    t.v[t.n++] = s->manner.think_close;
    const char *at = first_tag(s, &t, &which, &hold);
    if (!at) {
        const size_t n = end ? s->held.n : s->held.n - hold;
        split_say(s, &out->thinking, n);
        return false;
    }
    split_say(s, &out->thinking, (size_t)(at - s->held.p));
    if (which == t.n - 1) {
        split_drop(s, strlen(s->manner.think_close));
        s->state = S_BEGIN;
        s->drops_blanks = true;
    } else {
        s->state = S_TEXT;
        s->thought = true;
    }
    return true;
}

/* May the whole answer be a call, without a tag? */
static bool may_be_bare(const struct chat_split *s)
{
    return s->tools && (s->f->kind == CALLS_PLAIN || s->f->kind == CALLS_LLAMA3 ||
                        s->f->kind == CALLS_LFM2 || s->f->kind == CALLS_HERMES ||
                        s->f->kind == CALLS_MISTRAL || s->f->kind == CALLS_GRANITE);
}

/* Bytes of "```json" and blanks in front of a call: small models write theirs as a block of code.
 * -1: that is not decided. */
static int fence(const struct chat_split *s, size_t at, bool end)
{
    size_t i = at + 3;
    const int block = split_begins(s, at, "```", end);
    const int json = block > 0 ? split_begins(s, i, "json", end) : 0;
    if (block <= 0 || json < 0)
        return block < 0 || json < 0 ? -1 : 0;
    i += json ? 4 : 0;
    while (i < s->held.n && is_blank(s->held.p[i]))
        i++;
    if (i == s->held.n)
        return end ? 0 : -1;
    return s->held.p[i] == '{' || s->held.p[i] == '[' ? (int)(i - at) : 0;
}

static bool take_begin(struct chat_split *s, bool end)
{
    const size_t i = blanks(s);
    if (i == s->held.n && !end)
        return false;
    if (s->drops_blanks)
        split_drop(s, i);
    size_t at = s->drops_blanks ? 0 : i;
    s->drops_blanks = false;
    const int block = may_be_bare(s) ? fence(s, at, end) : 0;
    if (block < 0)
        return false;
    s->fenced = block > 0;
    at += (size_t)block;
    if (may_be_bare(s) && at < s->held.n && (s->held.p[at] == '{' || s->held.p[at] == '[')) {
        const int tag = s->f->open[0] ? split_begins(s, at, s->f->open[0], end) : 0;
        if (tag < 0)
            return false; /* "[TOOL_CALLS]" begins as a list does */
        if (!tag) {
            s->state = S_CALL;
            s->body_at = at;
            s->bare = true;
            s->looked = 0;
            return true;
        }
    }
    s->state = S_TEXT;
    return true;
}

static bool take_text(struct chat_split *s, bool end, struct chat_said *out)
{
    struct tags t;
    int which = 0;
    size_t hold;
    tags_of(s, &t);
    if (s->after_call) {
        split_drop(s, blanks(s));
        const char *tag = s->f->kind == CALLS_PLAIN ? s->f->dropped[0] : NULL;
        const int is_end = tag && s->held.n ? split_begins(s, 0, tag, end) : 0;
        if (!s->held.n || is_end < 0)
            return false;
        if (is_end) {
            split_drop(s, strlen(tag));
            return true;
        }
    }
    const char *at = first_tag(s, &t, &which, &hold);
    size_t n = at ? (size_t)(at - s->held.p) : end ? s->held.n : s->held.n - hold;
    size_t keep = n;
    if (s->tools && t.n && !(end && !at)) /* blanks in front of a call are no text */
        while (keep && is_blank(s->held.p[keep - 1]))
            keep--;
    if (keep)
        s->after_call = false;
    if (!at) {
        split_say(s, &out->text, end ? n : keep);
        return false;
    }
    const bool opens = which < t.n_open;
    split_say(s, &out->text, opens ? keep : n);
    if (!opens) {
        split_drop(s, strlen(t.v[which]));
        return true;
    }
    s->state = S_CALL;
    s->looked = 0;
    s->body_at = n - keep;
    s->bare = s->f->kind == CALLS_QWEN_XML && strcmp(t.v[which], "<function=") == 0;
    if (!s->bare)
        s->body_at += strlen(t.v[which]);
    return true;
}

static bool take_harmony(struct chat_split *s, bool end, struct chat_said *out)
{
    json_t *calls = json_array();
    s->oom |= !calls;
    if (s->oom)
        return false;
    const size_t n =
        harmony_take(&s->harmony, s->held.p ? s->held.p : "", s->held.n, end, out, calls, &s->oom);
    split_give_calls(s, calls, out);
    json_decref(calls);
    split_drop(s, n);
    return n != 0;
}

static int take(struct chat_split *s, bool end, struct chat_said *out)
{
    bool again = s->held.n > 0;
    while (again && !s->oom && s->held.n) {
        if (s->f->body == BODY_HARMONY) {
            again = take_harmony(s, end, out);
            continue;
        }
        switch (s->state) {
        case S_LOOKING:
            again = take_looking(s, end);
            break;
        case S_THINK_BLANK:
            again = take_think_blank(s, end);
            break;
        case S_THINKING:
            again = take_thinking(s, end, out);
            break;
        case S_BEGIN:
            again = take_begin(s, end);
            break;
        case S_TEXT:
            again = take_text(s, end, out);
            break;
        case S_CALL:
            again = split_take_call(s, end, out);
            break;
        case S_MORE:
            again = split_take_more(s, end);
            break;
        }
    }
    if (end && s->f->body == BODY_HARMONY && !s->oom)
        take_harmony(s, true, out);
    return s->oom || s->held.failed || out->text.failed || out->thinking.failed ? -1 : 0;
}

int chat_split_feed(struct chat_split *s, const char *p, size_t n, struct chat_said *out)
{
    buf_add(&s->held, p, n);
    return s->held.failed ? -1 : take(s, false, out);
}

int chat_split_end(struct chat_split *s, struct chat_said *out)
{
    return take(s, true, out);
}

void chat_split_calls(struct chat_split *s, uint64_t salt, bool one_call, bool obeys)
{
    s->obeys = obeys;
    s->salt = salt;
    s->most_calls = one_call ? 1 : 0;
}

bool chat_split_thinks(const struct chat_split *s)
{
    if (s->f->body == BODY_HARMONY)
        return s->harmony.state == H_TEXT && s->harmony.what == H_THINK;
    return s->state == S_THINK_BLANK || s->state == S_THINKING;
}
