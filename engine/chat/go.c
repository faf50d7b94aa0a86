/* engine/chat/go.c - the smallest part of Go's text/template: text around {{ .Prompt }}.
 *
 * It is what `show` gives for a model without a template. The engine comes later; until then every
 * other template is refused with its first action that is not understood. */
#include <string.h>
#include "engine/chat/go.h"

struct go_part {
    size_t from, to; /* of the source; a prompt when from > to */
};

static bool is_space(char ch)
{
    return ch == ' ' || ch == '\t' || ch == '\r' || ch == '\n';
}

static int add(struct go_template *g, size_t from, size_t to)
{
    struct go_part part = {from, to};
    if (from == to)
        return 0;
    buf_add(&g->parts, &part, sizeof part);
    return g->parts.failed ? -1 : 0;
}

/* An action at `at` ({{), its end; what it says between the delimiters and trim marks. */
static size_t action(const char *s, size_t n, size_t at, struct text *what, bool trim[2])
{
    size_t from = at + 2;
    const char *close = memmem(s + from, n - from, "}}", 2);
    if (!close)
        return 0;
    size_t to = (size_t)(close - s), end = to + 2;
    trim[0] = from + 1 < to && s[from] == '-' && is_space(s[from + 1]);
    trim[1] = to - from > 2 && s[to - 1] == '-' && is_space(s[to - 2]);
    from += trim[0];
    to -= trim[1];
    while (from < to && is_space(s[from]))
        from++;
    while (from < to && is_space(s[to - 1]))
        to--;
    *what = (struct text){s + from, to - from};
    return end;
}

int go_parse(struct go_template *g, const char *s, size_t n, struct err *e)
{
    size_t from = 0;
    for (;;) {
        const char *open = memmem(s + from, n - from, "{{", 2);
        size_t at = open ? (size_t)(open - s) : n, to = at;
        if (!open)
            return add(g, from, n) ? err_set(e, ERR_MEMORY, "no memory") : 0;
        struct text what;
        bool trim[2];
        size_t end = action(s, n, at, &what, trim);
        if (!end)
            return err_set(e, ERR_INPUT, "Go template: unclosed action");
        if (what.n != 7 || memcmp(what.p, ".Prompt", 7) != 0)
            return err_set(e, ERR_UNSUPPORTED, "Go templates are not supported yet: %.*s",
                           (int)(what.n < 100 ? what.n : 100), what.p);
        while (trim[0] && to > from && is_space(s[to - 1]))
            to--;
        if (add(g, from, to) || add(g, 1, 0))
            return err_set(e, ERR_MEMORY, "no memory");
        from = end;
        while (trim[1] && from < n && is_space(s[from]))
            from++;
    }
}

/* `prompt` of the input, or the content of its last user message. */
static const json_t *prompt_of(const json_t *input)
{
    const json_t *p = json_object_get(input, "prompt");
    const json_t *messages = json_object_get(input, "messages");
    for (size_t i = json_array_size(messages); !json_is_string(p) && i-- > 0;) {
        const json_t *m = json_array_get(messages, i);
        const char *role = json_string_value(json_object_get(m, "role"));
        if (role && strcmp(role, "user") == 0)
            p = json_object_get(m, "content");
    }
    return json_is_string(p) ? p : NULL;
}

int go_render(const struct go_template *g, const char *source, const json_t *input,
              struct chat_prompt *out, struct err *e)
{
    const struct go_part *part = (const void *)g->parts.p;
    struct buf spans = {0};
    const json_t *prompt = prompt_of(input);
    for (size_t i = 0; i < g->parts.n / sizeof *part; i++) {
        if (part[i].from < part[i].to) {
            struct text_span sp = {out->text.n, out->text.n + part[i].to - part[i].from};
            buf_add(&out->text, source + part[i].from, sp.end - sp.start);
            buf_add(&spans, &sp, sizeof sp);
        } else if (prompt) {
            buf_add(&out->text, json_string_value(prompt), json_string_length(prompt));
        }
    }
    out->trusted = (struct text_span *)(void *)spans.p;
    out->n_trusted = spans.n / sizeof *out->trusted;
    if (out->text.failed || spans.failed)
        return err_set(e, ERR_MEMORY, "no memory");
    return 0;
}
