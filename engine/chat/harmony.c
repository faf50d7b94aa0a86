/* engine/chat/harmony.c - answers of gpt-oss: messages with headers.
 *
 * Facts: spec/modelfile-and-templates.md 8.9. HEADER<|message|>TEXT, then <|end|> (more follows),
 * <|return|> or <|call|>. The channel `analysis` is thought, a recipient makes a call, all else is
 * said. The prompt has opened the first header. */
#include "engine/chat/split.h"

#include <stdio.h>
#include <string.h>

static const char *const ends[] = {"<|end|>", "<|return|>", "<|call|>", "<|start|>"};
enum { N_ENDS = 4 };
static const char message[] = "<|message|>";

void harmony_start(struct harmony *h)
{
    *h = (struct harmony){.state = H_HEADER};
}

void harmony_free(struct harmony *h)
{
    buf_free(&h->header);
    buf_free(&h->call);
}

static void read_header(struct harmony *h)
{
    const char *s = h->header.p ? h->header.p : "";
    const char *channel = strstr(s, "<|channel|>"), *to = strstr(s, "to=");
    h->what = channel && strncmp(channel + 11, "analysis", 8) == 0 ? H_THINK : H_SAY;
    h->to[0] = 0;
    if (to) {
        size_t n = strcspn(to + 3, " \t\n<");
        const char *name = to + 3;
        if (n > 10 && strncmp(name, "functions.", 10) == 0) {
            name += 10;
            n -= 10;
        }
        snprintf(h->to, sizeof h->to, "%.*s", (int)n, name);
        h->what = H_CALL;
    }
    buf_free(&h->header);
}

static void end_call(struct harmony *h, json_t *calls, struct chat_said *out, bool *oom)
{
    json_t *args =
        h->call.p ? json_loadb(h->call.p, h->call.n, JSON_ALLOW_NUL, NULL) : json_object();
    if (json_is_object(args)) {
        json_t *call = json_pack("{s:s, s:O}", "name", h->to, "arguments", args);
        if (!call || json_array_append_new(calls, call))
            *oom = true;
    } else if (h->call.p) { /* no call: nothing is lost */
        buf_add(&out->text, h->call.p, h->call.n);
    }
    json_decref(args);
    buf_free(&h->call);
}

/* The first tag of the list in p[0..n): its place and which. */
static const char *first_end(const char *p, size_t n, const char **tag)
{
    const char *first = NULL;
    for (int i = 0; i < N_ENDS; i++) {
        const char *at = memmem(p, n, ends[i], strlen(ends[i]));
        if (at && (!first || at < first)) {
            first = at;
            *tag = ends[i];
        }
    }
    return first;
}

static void say(struct harmony *h, const char *p, size_t n, struct chat_said *out)
{
    buf_add(h->what == H_THINK ? &out->thinking : h->what == H_SAY ? &out->text : &h->call, p, n);
}

size_t harmony_take(struct harmony *h, const char *p, size_t n, bool end, struct chat_said *out,
                    json_t *calls, bool *oom)
{
    if (h->state == H_HEADER) {
        const char *at = memmem(p, n, message, sizeof message - 1);
        const size_t hold = at ? 0 : tag_begins(p, n, message);
        const size_t used = at ? (size_t)(at - p) : end ? n : n - hold;
        buf_add(&h->header, p, used);
        if (at) {
            read_header(h);
            h->any = true;
            h->state = H_TEXT;
            return used + sizeof message - 1;
        }
        if (end) { /* an answer without any header is text */
            if (h->header.p && !h->any && !strstr(h->header.p, "<|"))
                buf_add(&out->text, h->header.p, h->header.n);
            buf_free(&h->header);
        }
        return used;
    }
    const char *tag = NULL, *at = first_end(p, n, &tag);
    size_t used = at ? (size_t)(at - p) : n;
    if (!at && !end) {
        size_t hold = 0;
        for (int i = 0; i < N_ENDS; i++) {
            const size_t k = tag_begins(p, n, ends[i]);
            hold = k > hold ? k : hold;
        }
        used = n - hold;
    }
    say(h, p, used, out);
    if (at || end) {
        if (h->what == H_CALL)
            end_call(h, calls, out, oom);
        h->state = H_HEADER;
    }
    return at ? used + strlen(tag) : used;
}
