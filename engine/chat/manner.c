/* engine/chat/manner.c - the ways in which models write thoughts and calls, and which of them a
 * template belongs to.
 *
 * Facts: spec/modelfile-and-templates.md 7.3, 7.4, 8, 8.15: the marks are tested in that order. */
#include "engine/chat/split.h"

#include <stdio.h>
#include <string.h>

#define SEP "\xef\xbd\x9c"   /* U+FF5C */
#define BLANK "\xe2\x96\x81" /* U+2581 */
#define DS(words) "<" SEP words SEP ">"
#define DS_CALLS DS("tool" BLANK "calls" BLANK "begin")
#define DS_CALL DS("tool" BLANK "call" BLANK "begin")

const struct call_format call_formats[] = {
    {.kind = CALLS_HARMONY, .marks = {"<|channel|>", "<|message|>"}, .body = BODY_HARMONY},
    {.kind = CALLS_MISTRAL_NAMED,
     .marks = {"[TOOL_CALLS]", "[ARGS]"},
     .open = {"[TOOL_CALLS]"},
     .body = BODY_NAMED,
     .name_end = "[ARGS]"},
    {.kind = CALLS_MISTRAL, .marks = {"[TOOL_CALLS]"}, .open = {"[TOOL_CALLS]"}, .body = BODY_JSON},
    {.kind = CALLS_KIMI,
     .marks = {"<|tool_calls_section_begin|>"},
     .open = {"<|tool_call_begin|>"},
     .close = "<|tool_call_end|>",
     .body = BODY_NAMED,
     .name_end = "<|tool_call_argument_begin|>",
     .dropped = {"<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"}},
    {.kind = CALLS_DEEPSEEK,
     .marks = {DS("tool" BLANK "sep")},
     .open = {DS_CALL, "<|tool_call_begin|>"},
     .close = DS("tool" BLANK "call" BLANK "end"),
     .body = BODY_NAMED,
     .name_end = DS("tool" BLANK "sep"),
     .dropped = {DS_CALLS, DS("tool" BLANK "calls" BLANK "end"), "<|tool_calls_begin|>",
                 "<|tool_calls_end|>"}},
    {.kind = CALLS_COMMAND_A,
     .marks = {"<|START_ACTION|>"},
     .open = {"<|START_ACTION|>"},
     .close = "<|END_ACTION|>",
     .body = BODY_JSON,
     .dropped = {"<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|START_TEXT|>", "<|END_TEXT|>"}},
    {.kind = CALLS_MINIMAX,
     .marks = {"<minimax:tool_call>"},
     .open = {"<minimax:tool_call>"},
     .close = "</minimax:tool_call>",
     .body = BODY_XML},
    {.kind = CALLS_SEED,
     .marks = {"<seed:tool_call>"},
     .open = {"<seed:tool_call>"},
     .close = "</seed:tool_call>",
     .body = BODY_XML},
    {.kind = CALLS_GLM,
     .marks = {"<arg_key>"},
     .open = {"<tool_call>"},
     .close = "</tool_call>",
     .body = BODY_PAIRS},
    {.kind = CALLS_QWEN_XML,
     .marks = {"<function=", "<parameter="},
     .open = {"<tool_call>"},
     .close = "</tool_call>",
     .body = BODY_XML},
    {.kind = CALLS_FUNCTIONARY,
     .marks = {"<function="},
     .open = {"<function="},
     .close = "</function>",
     .body = BODY_NAMED,
     .name_end = ">"},
    {.kind = CALLS_GEMMA4,
     .marks = {"<|tool_call>"},
     .open = {"<|tool_call>"},
     .close = "<tool_call|>",
     .body = BODY_BRACES,
     .string = "<|\"|>",
     .dropped = {"<tool_call|>", "<|tool_response>"}},
    {.kind = CALLS_FUNCTIONGEMMA,
     .marks = {"<start_function_call>"},
     .open = {"<start_function_call>"},
     .close = "<end_function_call>",
     .body = BODY_BRACES,
     .string = "<escape>"},
    {.kind = CALLS_LFM2,
     .marks = {"<|tool_call_start|>"},
     .open = {"<|tool_call_start|>"},
     .close = "<|tool_call_end|>",
     .body = BODY_PYTHON},
    {.kind = CALLS_LFM2,
     .marks = {"<|tool_list_start|>"},
     .open = {"<|tool_call_start|>"},
     .close = "<|tool_call_end|>",
     .body = BODY_PYTHON},
    {.kind = CALLS_OLMO3,
     .marks = {"<function_calls>"},
     .open = {"<function_calls>"},
     .close = "</function_calls>",
     .body = BODY_PYTHON},
    {.kind = CALLS_NEMOTRON,
     .marks = {"<TOOLCALL>"},
     .open = {"<TOOLCALL>"},
     .close = "</TOOLCALL>",
     .body = BODY_JSON},
    {.kind = CALLS_GRANITE, /* and Phi-4-mini */
     .marks = {"<|tool_call|>"},
     .open = {"<|tool_call|>"},
     .body = BODY_JSON,
     .dropped = {"<|/tool_call|>"}},
    {.kind = CALLS_APERTUS,
     .marks = {"<|tools_prefix|>"},
     .open = {"<|tools_prefix|>"},
     .close = "<|tools_suffix|>",
     .body = BODY_JSON},
    {.kind = CALLS_HERMES,
     .marks = {"<tool_call>"},
     .open = {"<tool_call>"},
     .close = "</tool_call>",
     .body = BODY_JSON},
    {.kind = CALLS_FIREFUNCTION,
     .marks = {" functools["},
     .open = {"functools"},
     .body = BODY_JSON},
    {.kind = CALLS_COMMAND_R,
     .marks = {"directly-answer", "Action:"},
     .open = {"Action: ```json", "Action:```json"},
     .close = "```",
     .body = BODY_JSON},
    {.kind = CALLS_LLAMA3,
     .marks = {"<|python_tag|>"},
     .open = {"<|python_tag|>"},
     .body = BODY_JSON,
     .strict_name = true},
    {.kind = CALLS_LLAMA3,
     .marks = {"ipython", "\"parameters\""},
     .open = {"<|python_tag|>"},
     .body = BODY_JSON,
     .strict_name = true},
    {.kind = CALLS_PLAIN, .body = BODY_JSON, .strict_name = true},
};
enum { N_FORMATS = sizeof call_formats / sizeof *call_formats };

const struct call_format *format_of(enum chat_calls kind)
{
    for (size_t i = 0; i < N_FORMATS; i++)
        if (call_formats[i].kind == kind)
            return &call_formats[i];
    return NULL;
}

/* Thoughts: the tags in use. `mark`: what else the template must hold; NULL: the closing tag. */
static const struct {
    const char *open, *close, *mark;
} thoughts[] = {
    {"<|channel|>analysis<|message|>", "<|end|>", "<|channel|>"},
    {"[THINK]", "[/THINK]", NULL},
    {"<|START_THINKING|>", "<|END_THINKING|>", NULL},
    {"<seed:think>", "</seed:think>", NULL},
    {"<mm:think>", "</mm:think>", NULL},
    {"<|channel>thought", "<channel|>", NULL},
    {"<|inner_prefix|>", "<|inner_suffix|>", NULL},
    {"<think>", "</think>", NULL},
};

void format_for(const struct chat_manner *m, struct call_format *out)
{
    *out = *format_of(m->calls);
    out->strict_name |= m->strict_name;
    if (m->calls != CALLS_PLAIN)
        return;
    out->open[0] = m->call_tag[0] ? m->call_tag : NULL;
    out->dropped[0] = m->call_end[0] ? m->call_end : NULL;
}

bool chat_manner_always(const struct chat_manner *m)
{
    return m->calls == CALLS_HARMONY;
}

static bool has(const char *text, const char *word)
{
    return text && strstr(text, word) != NULL;
}

static void find_thoughts(struct chat_manner *m, const char *s)
{
    /* A template that only cuts a model's old thoughts away has the closing tag in a split. */
    const bool splits =
        (has(s, "split('</think>')") || has(s, "split(\"</think>\")")) &&
        !has(s, "reasoning_content") && !has(s, "<SPECIAL_12>");
    for (size_t i = 0; i < sizeof thoughts / sizeof *thoughts; i++) {
        const char *word = thoughts[i].mark ? thoughts[i].mark : thoughts[i].close;
        const bool found = thoughts[i].mark ? has(s, word) && has(s, "analysis")
                                            : has(s, thoughts[i].open) && has(s, word);
        if (!found && !(splits && strcmp(word, "</think>") == 0))
            continue;
        snprintf(m->think_open, sizeof m->think_open, "%s", thoughts[i].open);
        snprintf(m->think_close, sizeof m->think_close, "%s", thoughts[i].close);
        return;
    }
}

/* ---- Go templates say by themselves what they write (7.1, 8.1) ----------------------------------- */

struct action { /* {{ body }} */
    const char *at, *body, *end; /* of the braces, of what is between, behind the braces */
    size_t n;
};

static bool next_action(const char *from, struct action *a)
{
    const char *open = strstr(from, "{{"), *close = open ? strstr(open + 2, "}}") : NULL;
    if (!close)
        return false;
    a->at = open;
    a->end = close + 2;
    a->body = open + 2;
    a->n = (size_t)(close - a->body);
    if (a->n && *a->body == '-') {
        a->body++;
        a->n--;
    }
    if (a->n && a->body[a->n - 1] == '-')
        a->n--;
    text_trim(&a->body, &a->n);
    return true;
}

/* Text in out[0..cap), trimmed; false: nothing, or too much. */
static bool take_tag(const char *p, size_t n, char *out, size_t cap)
{
    text_trim(&p, &n);
    if (!n || n >= cap)
        return false;
    memcpy(out, p, n);
    out[n] = 0;
    return true;
}

/* What follows {{ .Function.Arguments }} and closes the call. */
static void go_call_end(struct chat_manner *m, const char *s)
{
    static const char args[] = ".Function.Arguments";
    struct action a = {.end = s};
    while (next_action(a.end, &a)) {
        const size_t k = sizeof args - 1;
        if (a.n < k || memcmp(a.body + a.n - k, args, k) != 0)
            continue;
        const char *p = a.end;
        while (*p == '}' || *p == ']' || is_blank(*p))
            p++;
        (void)take_tag(p, strcspn(p, "{"), m->call_end, sizeof m->call_end);
        return;
    }
}

/* By the tree. A tag that ends in the bracket of a list loses it: the list is the call's body. */
static void go_tags(struct chat_manner *m, const char *source)
{
    struct chat_template *t = chat_template_new(CHAT_GO, source, strlen(source), NULL);
    if (!t)
        return;
    chat_template_tags(t, m->think_open, m->think_close, sizeof m->think_open, m->call_tag,
                       sizeof m->call_tag);
    if (!m->think_open[0] || !m->think_close[0]) /* half a pair splits nothing */
        m->think_open[0] = m->think_close[0] = 0;
    size_t n = strlen(m->call_tag);
    while (n && (strchr("{[", m->call_tag[n - 1]) || is_blank(m->call_tag[n - 1])))
        m->call_tag[--n] = 0;
    if (n)
        go_call_end(m, source);
    chat_template_free(t);
}

void chat_manner_find(struct chat_manner *m, enum chat_language lang, const char *source)
{
    *m = (struct chat_manner){.calls = CALLS_PLAIN, .strict_name = lang == CHAT_GO};
    if (!source)
        return;
    if (lang == CHAT_GO)
        go_tags(m, source);
    else
        find_thoughts(m, source);
    for (size_t i = 0; i < N_FORMATS; i++) {
        const struct call_format *f = &call_formats[i];
        bool all = true;
        for (size_t k = 0; k < 3 && f->marks[k]; k++)
            all = all && has(source, f->marks[k]);
        if (all) {
            m->calls = f->kind;
            break;
        }
    }
    if (m->calls != CALLS_PLAIN)
        m->call_tag[0] = m->call_end[0] = 0;
    /* What stands round .Thinking in a harmony template is a header, not the tag of an answer. */
    if (m->calls == CALLS_HARMONY)
        find_thoughts(m, source);
}

void chat_manner_tags(const struct chat_manner *m, struct buf *out)
{
    static const char *const harmony[] = {"<|start|>",  "<|end|>",  "<|message|>",  "<|channel|>",
                                          "<|return|>", "<|call|>", "<|constrain|>"};
    struct call_format own;
    const struct call_format *f = &own;
    format_for(m, &own);
    buf_printf(out, "%s %s", m->think_open, m->think_close);
    for (int i = 0; i < 3 && f->open[i]; i++)
        buf_printf(out, " %s", f->open[i]);
    for (int i = 0; i < 5 && f->dropped[i]; i++)
        buf_printf(out, " %s", f->dropped[i]);
    buf_printf(out, " %s %s %s", f->close ? f->close : "", f->name_end ? f->name_end : "",
               f->string ? f->string : "");
    if (f->kind == CALLS_MISTRAL_NAMED)
        buf_puts(out, " [CALL_ID]");
    for (size_t i = 0; f->body == BODY_HARMONY && i < sizeof harmony / sizeof *harmony; i++)
        buf_printf(out, " %s", harmony[i]);
}
