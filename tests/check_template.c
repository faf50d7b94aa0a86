/* tests/check_template.c - the chat room behind a line format, for tests that render thousands of
 * conversations in one process (tests/run_templates.py).
 *
 * A request is a line of JSON: {"lang": "jinja" or "go", "template": source or absent for the one
 * before, "input": {...}, "times": N}. Its answer is a line, too: {"text": ..., "trusted":
 * [[start, end], ...], "ns": of one render} or {"error": ...}. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/chat/chat.h"

static json_t *spans_of(const struct chat_prompt *p)
{
    json_t *l = json_array();
    for (size_t i = 0; i < p->n_trusted; i++)
        json_array_append_new(l, json_pack("[I, I]", (json_int_t)p->trusted[i].start,
                                           (json_int_t)p->trusted[i].end));
    return l;
}

static json_t *answer(struct chat_template **t, const json_t *ask)
{
    struct err e = {0};
    struct chat_prompt p = {0};
    const json_t *source = json_object_get(ask, "template");
    const char *lang = json_string_value(json_object_get(ask, "lang"));
    if (source) {
        chat_template_free(*t);
        *t = chat_template_new(lang && !strcmp(lang, "go") ? CHAT_GO : CHAT_JINJA,
                               json_string_value(source), json_string_length(source), &e);
    }
    if (!*t)
        return json_pack("{s:s}", "error", e.text[0] ? e.text : "no template");
    json_int_t times = json_integer_value(json_object_get(ask, "times"));
    int64_t from = time_mono_ns();
    int rc = chat_render(*t, json_object_get(ask, "input"), &p, &e);
    for (json_int_t i = 1; !rc && i < times; i++) {
        chat_prompt_free(&p);
        rc = chat_render(*t, json_object_get(ask, "input"), &p, &e);
    }
    int64_t ns = (time_mono_ns() - from) / (times > 1 ? times : 1);
    if (rc)
        return json_pack("{s:s}", "error", e.text);
    json_t *r = json_pack("{s:o, s:o, s:I}", "text",
                          json_stringn(p.text.n ? p.text.p : "", p.text.n), "trusted", spans_of(&p),
                          "ns", (json_int_t)ns);
    chat_prompt_free(&p);
    return r;
}

int main(void)
{
    struct chat_template *t = NULL;
    char *line = NULL;
    size_t cap = 0;
    while (getline(&line, &cap, stdin) > 0) {
        json_error_t je;
        json_t *ask = json_loads(line, JSON_ALLOW_NUL, &je), *r = NULL;
        if (ask)
            r = answer(&t, ask);
        char *text = r ? json_dumps(r, JSON_COMPACT) : NULL;
        puts(text ? text : "{\"error\":\"the request is not JSON\"}");
        fflush(stdout);
        free(text);
        json_decref(r);
        json_decref(ask);
    }
    free(line);
    chat_template_free(t);
    return 0;
}
