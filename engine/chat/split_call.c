/* engine/chat/split_call.c - the splitter behind the tag of a call: where its body ends, whether it
 * is a call, what goes out when it is none, and whether another follows.
 *
 * Facts: spec/modelfile-and-templates.md 6, 8. */
#include "engine/chat/split.h"

#include <stdlib.h>
#include <string.h>

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

void split_give_calls(struct chat_split *s, json_t *calls, struct chat_said *out)
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
    bool good =
        calls && body_read(&f, s->held.p + at, n, s->tools, calls, &s->oom) == 0 && !s->oom;
    /* Has no grammar held it? */
    const bool loose = s->obeys && s->bare && s->f->body != BODY_XML &&
                       (s->fenced || (s->f->open[0] && s->f->kind != CALLS_LLAMA3));
    for (size_t i = 0; loose && i < json_array_size(calls); i++)
        good = good && call_obeys(s->tools, json_array_get(calls, i));
    if (good)
        split_give_calls(s, calls, out);
    json_decref(calls);
    return good;
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
        split_give_calls(s, calls, out);
    json_decref(calls);
    return good;
}

bool split_take_call(struct chat_split *s, bool end, struct chat_said *out)
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
        split_say(s, s->thought ? &out->thinking : &out->text, s->bare ? n_all : s->body_at);
        s->after_call = false;
        if (s->thought)
            s->state = S_THINKING;
    } else {
        split_drop(s, whole ? n_all : s->body_at + n_body);
        s->after_call = true;
        if (s->fenced || (s->f->body == BODY_JSON && (!s->f->close || s->bare)))
            s->state = S_MORE;
    }
    s->body_at = 0;
    s->bare = s->thought = false;
    return true;
}

bool split_take_more(struct chat_split *s, bool end)
{
    size_t i = 0;
    while (i < s->held.n && (is_blank(s->held.p[i]) || s->held.p[i] == ';' || s->held.p[i] == ',' ||
                             (s->fenced && s->held.p[i] == '`')))
        i++;
    if (i == s->held.n) {
        if (end)
            split_drop(s, i);
        return false;
    }
    s->state = S_TEXT;
    const bool again = s->held.p[i] == '{' || s->held.p[i] == '[';
    if (again || s->fenced)
        split_drop(s, i);
    s->fenced &= again;
    if (again) {
        const int tag = s->f->open[0] ? split_begins(s, 0, s->f->open[0], end) : 0;
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
