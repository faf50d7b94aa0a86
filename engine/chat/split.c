/* engine/chat/split.c - an answer as it comes -> thoughts, text, calls of tools.
 *
 * Facts: spec/modelfile-and-templates.md 6, 7.2, 8. What may be the start of a tag is held until it
 * is decided; what turns out to be no call goes out as text, so nothing is ever lost. The result
 * does not depend on how the answer was cut into pieces: every decision is made on what is held,
 * with the question "could more bytes change this?" asked first. */
#include "engine/chat/split.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TAGS = 12 };

struct chat_split {
    struct chat_manner manner;
    struct call_format own; /* with the tag that a Go template gave */
    const struct call_format *f;
    json_t *tools; /* NULL: no calls are looked for */
    enum {
        S_LOOKING,     /* thoughts may open */
        S_THINK_BLANK, /* behind the opening tag */
        S_THINKING,
        S_BEGIN, /* blanks behind the thoughts, or the start where a bare call may come */
        S_TEXT,
        S_CALL, /* held: the opening tag, then the body */
        S_MORE, /* behind a call without a closing tag: another may follow */
    } state;
    bool reopened;     /* the opening tag came twice, or cannot any more */
    bool drops_blanks; /* S_BEGIN: blanks at the start are no text */
    bool after_call;   /* blanks between calls are no text */
    bool bare;         /* S_CALL: there was no tag */
    bool fenced;       /* but the fence of a code block: its end is no text */
    bool thought;      /* the tag came among the thoughts: they go on when it was no call */
    size_t body_at;    /* S_CALL: bytes of the opening tag, and of blanks before it */
    size_t looked;     /* S_CALL: bytes in which no end was found */
    struct buf held;
    struct harmony harmony;
    uint64_t salt;           /* of the ids of calls */
    int n_calls, most_calls; /* 0: as many as there are */
    json_t *ids;             /* that calls have, as keys */
    bool oom;
};

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

static void drop(struct chat_split *s, size_t n)
{
    if (!n)
        return;
    memmove(s->held.p, s->held.p + n, s->held.n - n + 1);
    s->held.n -= n;
}

static void say(struct chat_split *s, struct buf *to, size_t n)
{
    buf_add(to, s->held.p, n);
    drop(s, n);
}

/* An id that the same answer to the same prompt has again: by both, and the call's number. */
static void make_id(const struct chat_split *s, const json_t *call, char out[14])
{
    char *text = json_dumps(call, JSON_COMPACT | JSON_SORT_KEYS);
    uint64_t h = (0xcbf29ce484222325u ^ s->salt) + (uint64_t)s->n_calls;
    for (const char *p = text ? text : ""; *p; p++)
        h = (h ^ (unsigned char)*p) * 0x100000001b3u;
    free(text);
    h ^= h >> 29;
    memcpy(out, "call_", 5);
    for (int i = 5; i < 13; i++, h /= 36)
        out[i] = "abcdefghijklmnopqrstuvwxyz0123456789"[h % 36];
    out[13] = 0;
}

static void give_calls(struct chat_split *s, json_t *calls, struct chat_said *out)
{
    for (size_t i = 0; i < json_array_size(calls) && !s->oom; i++) {
        const json_t *one = json_array_get(calls, i);
        const char *own = json_string_value(json_object_get(one, "id"));
        char id[14];
        if (s->most_calls && s->n_calls >= s->most_calls)
            return; /* parallel_tool_calls: false */
        make_id(s, one, id);
        if (!own || !own[0] || json_object_get(s->ids, own))
            own = id;
        json_t *call = json_pack("{s:s, s:{s:i, s:O, s:O}}", "id", own, "function", "index",
                                 s->n_calls++, "name", json_object_get(one, "name"), "arguments",
                                 json_object_get(one, "arguments"));
        if (!out->calls) {
            out->calls = json_array();
            out->n_text_before = out->text.n;
        }
        if (!s->ids)
            s->ids = json_object();
        if (!s->ids || json_object_set_new(s->ids, own, json_true()))
            s->oom = true;
        if (!call || !out->calls || json_array_append_new(out->calls, call))
            s->oom = true;
    }
}

/* Is held[at..at+n) a body? Then its calls go out. */
static bool try_body(struct chat_split *s, size_t at, size_t n, struct chat_said *out)
{
    json_t *calls = json_array();
    struct call_format f = *s->f;
    f.strict_name |= s->bare; /* without a tag only the name tells a call from an object */
    s->oom |= !calls;
    const bool good =
        calls && body_read(&f, s->held.p + at, n, s->tools, calls, &s->oom) == 0 && !s->oom;
    if (good)
        give_calls(s, calls, out);
    json_decref(calls);
    return good;
}

/* ---- tags ------------------------------------------------------------------------------------ */

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
static int begins(const struct chat_split *s, size_t from, const char *tag, bool end)
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
    const int yes = begins(s, i, s->manner.think_open, end);
    if (yes < 0)
        return false;
    if (yes) {
        drop(s, i + strlen(s->manner.think_open));
        s->state = S_THINK_BLANK;
        s->reopened = true;
    } else {
        s->state = S_BEGIN;
    }
    return true;
}

static bool take_think_blank(struct chat_split *s, bool end)
{
    drop(s, blanks(s));
    if (!s->held.n)
        return false;
    const int again = s->reopened ? 0 : begins(s, 0, s->manner.think_open, end);
    if (again < 0)
        return false;
    s->reopened = true;
    if (again)
        drop(s, strlen(s->manner.think_open));
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
        say(s, &out->thinking, n);
        return false;
    }
    say(s, &out->thinking, (size_t)(at - s->held.p));
    if (which == t.n - 1) {
        drop(s, strlen(s->manner.think_close));
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
    const int block = begins(s, at, "```", end);
    const int json = block > 0 ? begins(s, i, "json", end) : 0;
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
        drop(s, i);
    size_t at = s->drops_blanks ? 0 : i;
    s->drops_blanks = false;
    const int block = may_be_bare(s) ? fence(s, at, end) : 0;
    if (block < 0)
        return false;
    s->fenced = block > 0;
    at += (size_t)block;
    if (may_be_bare(s) && at < s->held.n && (s->held.p[at] == '{' || s->held.p[at] == '[')) {
        const int tag = s->f->open[0] ? begins(s, at, s->f->open[0], end) : 0;
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
        drop(s, blanks(s));
        const char *tag = s->f->kind == CALLS_PLAIN ? s->f->dropped[0] : NULL;
        const int is_end = tag && s->held.n ? begins(s, 0, tag, end) : 0;
        if (!s->held.n || is_end < 0)
            return false;
        if (is_end) {
            drop(s, strlen(tag));
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
        say(s, &out->text, end ? n : keep);
        return false;
    }
    const bool opens = which < t.n_open;
    say(s, &out->text, opens ? keep : n);
    if (!opens) {
        drop(s, strlen(t.v[which]));
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

/* Bytes of the body in held, and behind it with its closing tag; false: it has not ended. `any`:
 * the first closing tag ends it, in a string or not. */
static bool body_ends(const struct chat_split *s, bool any, size_t *n_body, size_t *n_all)
{
    const char *p = s->held.p + s->body_at;
    const size_t n = s->held.n - s->body_at;
    const char *close = s->f->close;
    if (s->bare)
        close = s->f->body == BODY_XML ? "</function>" : NULL;
    if (close) {
        const size_t k = strlen(close), from = s->looked > k && !any ? s->looked - k : 0;
        const char *at = from < n ? memmem(p + from, n - from, close, k) : NULL;
        while (at && !any && body_in_string(s->f, p, (size_t)(at - p)))
            at = memmem(at + 1, n - (size_t)(at + 1 - p), close, k);
        if (!at)
            return false;
        *n_body = (size_t)(at - p) + (s->bare ? k : 0);
        *n_all = s->body_at + (size_t)(at - p) + k;
        return true;
    }
    size_t at = 0;
    if (s->f->body == BODY_NAMED) {
        const char *mark = memmem(p, n, s->f->name_end, strlen(s->f->name_end));
        if (!mark)
            return false;
        at = (size_t)(mark - p) + strlen(s->f->name_end);
    }
    while (at < n && is_blank(p[at]))
        at++;
    const size_t len = at < n ? json_span(p + at, n - at) : 0;
    if (!len)
        return false;
    *n_body = at + len;
    *n_all = s->body_at + at + len;
    return true;
}

/* Without a closing tag: can what is there still become JSON? */
static bool body_is_hopeless(const struct chat_split *s)
{
    if (s->f->body != BODY_JSON || s->f->close)
        return false;
    size_t i = s->body_at;
    while (i < s->held.n && is_blank(s->held.p[i]))
        i++;
    return i < s->held.n && s->held.p[i] != '{' && s->held.p[i] != '[';
}

/* <|python_tag|>tool.call(key=value), or code for the interpreter. */
static bool try_python_tag(struct chat_split *s, struct chat_said *out)
{
    static const char *const names[] = {"python", "code_interpreter"};
    const char *p = s->held.p + s->body_at;
    const size_t n = s->held.n - s->body_at;
    const char *dot = memmem(p, n, ".call(", 6);
    json_t *calls = json_array(), *call = NULL;
    bool good = false;
    if (dot) {
        struct buf b = {0};
        struct call_format py = *s->f;
        py.body = BODY_PYTHON;
        buf_add(&b, p, (size_t)(dot - p));
        buf_add(&b, dot + 5, n - (size_t)(dot - p) - 5);
        good = !b.failed && body_read(&py, b.p, b.n, s->tools, calls, &s->oom) == 0;
        buf_free(&b);
    }
    for (int i = 0; i < 2 && !good && n; i++)
        if (tool_is_known(s->tools, names[i], strlen(names[i]))) {
            call = json_pack("{s:s, s:{s:s%}}", "name", names[i], "arguments", "code", p, n);
            good = call && !json_array_append_new(calls, call);
        }
    if (good)
        give_calls(s, calls, out);
    json_decref(calls);
    return good;
}

static bool take_call(struct chat_split *s, bool end, struct chat_said *out)
{
    size_t n_body = s->held.n - s->body_at, n_all = s->held.n;
    bool whole = body_ends(s, false, &n_body, &n_all);
    if (!whole && end) /* a string that never ended */
        whole = body_ends(s, true, &n_body, &n_all);
    if (!whole && end) /* the answer was cut: what is complete counts */
        n_body = body_whole(s->f, s->held.p + s->body_at, n_body, s->tools);
    const bool python = s->f->kind == CALLS_LLAMA3 && !s->bare;
    const bool hopeless = !whole && body_is_hopeless(s) && !python;
    if (!whole && !end && !hopeless) {
        s->looked = s->held.n - s->body_at;
        return false;
    }
    bool good = !hopeless && n_body && try_body(s, s->body_at, n_body, out);
    if (!good && python && !whole && end)
        good = try_python_tag(s, out);
    if (!good && whole && python && !end) { /* code may begin with a bracket: wait for the end */
        s->looked = 0;
        return false;
    }
    s->state = S_TEXT;
    if (!good) { /* text: but a tag may be in what only looked like a body */
        say(s, s->thought ? &out->thinking : &out->text, s->bare ? n_all : s->body_at);
        s->after_call = false;
        if (s->thought)
            s->state = S_THINKING;
    } else {
        drop(s, whole ? n_all : s->body_at + n_body);
        s->after_call = true;
        if (s->fenced || (s->f->body == BODY_JSON && (!s->f->close || s->bare)))
            s->state = S_MORE;
    }
    s->body_at = 0;
    s->bare = s->thought = false;
    return true;
}

static bool take_more(struct chat_split *s, bool end)
{
    size_t i = 0;
    while (i < s->held.n && (is_blank(s->held.p[i]) || s->held.p[i] == ';' ||
                             s->held.p[i] == ',' || (s->fenced && s->held.p[i] == '`')))
        i++;
    if (i == s->held.n) {
        if (end)
            drop(s, i);
        return false;
    }
    s->state = S_TEXT;
    const bool again = s->held.p[i] == '{' || s->held.p[i] == '[';
    if (again || s->fenced)
        drop(s, i);
    s->fenced &= again;
    if (again) {
        const int tag = s->f->open[0] ? begins(s, 0, s->f->open[0], end) : 0;
        if (tag < 0) {
            s->state = S_MORE;
            return false;
        }
        if (!tag) {
            s->state = S_CALL;
            s->bare = true;
            s->looked = 0;
        }
    }
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
    give_calls(s, calls, out);
    json_decref(calls);
    drop(s, n);
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
            again = take_call(s, end, out);
            break;
        case S_MORE:
            again = take_more(s, end);
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

void chat_split_calls(struct chat_split *s, uint64_t salt, bool one_call)
{
    s->salt = salt;
    s->most_calls = one_call ? 1 : 0;
}

bool chat_split_thinks(const struct chat_split *s)
{
    if (s->f->body == BODY_HARMONY)
        return s->harmony.state == H_TEXT && s->harmony.what == H_THINK;
    return s->state == S_THINK_BLANK || s->state == S_THINKING;
}
