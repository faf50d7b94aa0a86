/* tests/fuzz/fuzz_split.c - any text as an answer of a model of any manner, cut in any way: what is
 * joined must be the same. The first byte picks the manner, the second the cuts. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/chat/chat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define BAR "\xef\xbd\x9c"
#define LOW "\xe2\x96\x81"

static const char *const templates[] = {
    "<think></think><tool_call>", "<think></think>", "[THINK][/THINK][TOOL_CALLS]", "[TOOL_CALLS][ARGS]",
    "<|python_tag|>", "<think></think><function=<parameter=", "<function=", "<think></think><arg_key>",
    "<minimax:tool_call>", "<|START_THINKING|><|END_THINKING|><|START_ACTION|>", "Action: directly-answer",
    "<|channel|>analysis<|message|>", "<" BAR "tool" LOW "sep" BAR ">", "<start_function_call>", "<|tool_call>",
    "<function_calls>", "<|tool_call_start|>", "<|tool_calls_section_begin|>", "<|tool_call|>", "<TOOLCALL>",
    "<|tools_prefix|>", " functools[", "nothing",
    ("{{ if .Thinking }}<why>{{ .Thinking }}</why>{{ end }}{{ if .ToolCalls }}<do>{{ range .ToolCalls }}{\"name\": "
    "\"{{ .Function.Name }}\", \"arguments\": {{ .Function.Arguments }}}</do>{{ end }}{{ end }}"),
};
enum { N_TEMPLATES = sizeof templates / sizeof *templates };

static void split(unsigned what, unsigned cuts, const char *p, size_t n, struct chat_said *out)
{
    const char *source = templates[what % N_TEMPLATES];
    json_t *tools = what & 128 ? NULL
                               : json_pack("[{s:{s:s, s:{s:s, s:{s:{s:s}, s:{s:s}}}}}]", "function", "name", "f",
                                           "parameters", "type", "object", "properties", "a", "type", "integer", "b",
                                           "type", "string");
    struct chat_manner m;
    chat_manner_find(&m, strstr(source, "{{") ? CHAT_GO : CHAT_JINJA, source);
    struct chat_split *s = chat_split_new(&m, tools, !(what & 64), what & 32 ? m.think_open : "", NULL);
    size_t at = 0;
    for (unsigned h = cuts; s && at < n;) {
        h = h * 1664525u + 1013904223u;
        size_t k = cuts == 0 ? n : cuts == 1 ? 1 : 1 + (h >> 16) % 9;
        k = k < n - at ? k : n - at;
        if (chat_split_feed(s, p + at, k, out))
            abort();
        at += k;
    }
    if (s && chat_split_end(s, out))
        abort();
    chat_split_free(s);
    json_decref(tools);
}

static bool same(const struct buf *a, const struct buf *b)
{
    return a->n == b->n && (!a->n || memcmp(a->p, b->p, a->n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct chat_said a = {0};
    const char *p = (const char *)data + 2;
    if (n < 2 || n > 4096 || !text_is_utf8(p, n - 2)) /* the engine gives whole characters */
        return 0;
    split(data[0], 0, p, n - 2, &a);
    for (unsigned cuts = 1; cuts < 4; cuts++) {
        struct chat_said b = {0};
        split(data[0], cuts == 1 ? 1 : cuts * 256 + data[1], p, n - 2, &b);
        const bool calls = a.calls ? b.calls && json_equal(a.calls, b.calls) : !b.calls;
        if (!same(&a.text, &b.text) || !same(&a.thinking, &b.thinking) || !calls ||
            (a.calls && a.n_text_before != b.n_text_before)) {
            fprintf(stderr, "manner %s\ntext [%.*s] [%.*s]\nthinking [%.*s] [%.*s]\n", templates[data[0] % N_TEMPLATES],
                    (int)a.text.n, a.text.p ? a.text.p : "", (int)b.text.n, b.text.p ? b.text.p : "", (int)a.thinking.n,
                    a.thinking.p ? a.thinking.p : "", (int)b.thinking.n, b.thinking.p ? b.thinking.p : "");
            abort();
        }
        chat_said_free(&b);
    }
    chat_said_free(&a);
    return 0;
}
