/* tests/test_chat_split.c - answers split into thoughts, text and calls, at every cut.
 *
 * The examples are those of spec/modelfile-and-templates.md 8: all call get_weather
 * {"city":"Rome","days":2}. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/chat/chat.h"
#include "engine/grammar/grammar.h"

#define BAR "\xef\xbd\x9c"
#define LOW "\xe2\x96\x81"
#define DS(w) "<" BAR w BAR ">"

static const char tools_text[] = "[{\"type\":\"function\",\"function\":{\"name\":\"get_weather\","
                                 "\"parameters\":{\"type\":\"object\","
                                 "\"properties\":{\"city\":{\"type\":\"string\"},\"days\":{"
                                 "\"type\":\"integer\"}},\"required\":[\"city\"]}}},"
                                 "{\"type\":\"function\",\"function\":{\"name\":\"stop\","
                                 "\"parameters\":{\"type\":\"object\",\"properties\":{}}}}]";

#define GET "get_weather {\"city\":\"Rome\",\"days\":2}"

static const struct example {
    const char *template_text, *answer;
    const char *text, *thinking, *calls; /* calls: name, arguments; `; ` between */
    const char *prompt_end;
    bool no_tools;
} examples[] = {
    {"<think></think><tool_call>",
     "<think>\nLet me see.\n</think>\n\nI look.\n<tool_call>\n{\"name\": \"get_weather\", "
     "\"arguments\": "
     "{\"city\": \"Rome\", \"days\": 2}}\n</tool_call>",
     "I look.", "Let me see.\n", GET, NULL, false},
    {"<tool_call>",
     "<tool_call>\n{\"name\": \"stop\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n{\"name\": "
     "\"get_weather\", \"arguments\": {\"city\": \"Rome\", \"days\": 2}}\n</tool_call>",
     "", "", "stop {}; " GET, NULL, false},
    {"<tool_call>", "a <tool_call>{\"name\": \"get_weather\"</tool_call> b",
     "a <tool_call>{\"name\": \"get_weather\"</tool_call> b", "", "", NULL, false},
    {"<tool_call>", "trailing ws   ", "trailing ws   ", "", "", NULL, false},
    {"<tool_call>", "a < b <tool", "a < b <tool", "", "", NULL, false},
    {"<tool_call>",
     "<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Rome\", \"days\": 2}}", "",
     "", GET, NULL, false},
    {"<tool_call>", "<tool_call>{\"name\": \"get_weather\"",
     "<tool_call>{\"name\": \"get_weather\"", "", "", NULL, false},
    {"<tool_call>", "{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Rome\", \"days\": 2}}",
     "", "", GET, NULL, false},
    {"<tool_call>", "{\"name\": \"Rome\", \"days\": 2}", "{\"name\": \"Rome\", \"days\": 2}", "",
     "", NULL, false},
    {"<tool_call>", "<tool_call>text</tool_call>", "<tool_call>text</tool_call>", "", "", NULL,
     true},
    {"<think></think>", "I was told.</think>Yes", "Yes", "I was told.", "", "...<think>\n", false},
    {"<think></think>", "plain", "plain", "", "", "<think>\n\n</think>\n\n", false},
    {"<think></think>", "  plain <think>x</think>", "  plain <think>x</think>", "", "", NULL,
     false},
    {"<think></think>", "<think>never ends", "", "never ends", "", NULL, false},
    {"<think></think><tool_call>", "hm<tool_call>{\"name\":\"stop\"}</tool_call>", "", "hm",
     "stop {}", "<think>", false},
    {"\"parameters\" ipython",
     "{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Rome\", \"days\": 2}}", "", "", GET,
     NULL, false},
    {"<|python_tag|>",
     "<|python_tag|>{\"name\": \"stop\", \"parameters\": {}}; {\"name\": \"get_weather\", "
     "\"parameters\": {\"city\": "
     "\"Rome\", \"days\": 2}}",
     "", "", "stop {}; " GET, NULL, false},
    {"<|python_tag|>", "<|python_tag|>get_weather.call(city=\"Rome\", days=2)", "", "", GET, NULL,
     false},
    {"<|python_tag|>", "{\"name\": \"other\", \"parameters\": {}}",
     "{\"name\": \"other\", \"parameters\": {}}", "", "", NULL, false},
    {"<function=<parameter=",
     "Sure.\n<tool_call>\n<function=get_weather>\n<parameter=city>\nRome\n</"
     "parameter>\n<parameter=days>\n2\n"
     "</parameter>\n</function>\n</tool_call>",
     "Sure.", "", GET, NULL, false},
    {"<function=<parameter=",
     "<function=get_weather>\n<parameter=city>\nRome\n</parameter>\n<parameter=days>\n2\n</"
     "parameter>\n</function>",
     "", "", GET, NULL, false},
    {"<function=", "<function=get_weather>{\"city\": \"Rome\", \"days\": 2}</function>", "", "",
     GET, NULL, false},
    {"<arg_key>",
     "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Rome</arg_value>\n<arg_key>days</"
     "arg_key>\n"
     "<arg_value>2</arg_value>\n</tool_call>",
     "", "", GET, NULL, false},
    {"<minimax:tool_call>",
     "<minimax:tool_call>\n<invoke name=\"get_weather\">\n<parameter "
     "name=\"city\">Rome</parameter>\n<parameter "
     "name=\"days\">2</parameter>\n</invoke>\n<invoke "
     "name=\"stop\"></invoke>\n</minimax:tool_call>",
     "", "", GET "; stop {}", NULL, false},
    {"[TOOL_CALLS]",
     "[TOOL_CALLS] [{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Rome\", \"days\": 2}, "
     "\"id\": \"abc123def\"}]",
     "", "", GET, NULL, false},
    {"[TOOL_CALLS] [ARGS]",
     "Look[TOOL_CALLS]get_weather[ARGS]{\"city\": \"Rome\", \"days\": 2}[TOOL_CALLS]stop[ARGS]{}",
     "Look", "", GET "; stop {}", NULL, false},
    {"[TOOL_CALLS] [ARGS]",
     "[TOOL_CALLS]get_weather[CALL_ID]x1[ARGS]{\"city\": \"Rome\", \"days\": 2}", "", "", GET, NULL,
     false},
    {"<|START_ACTION|><|START_THINKING|><|END_THINKING|>",
     "<|START_THINKING|>plan<|END_THINKING|><|START_ACTION|>[\n    {\"tool_call_id\": \"0\", "
     "\"tool_name\": "
     "\"get_weather\", \"parameters\": {\"city\": \"Rome\", \"days\": 2}}\n]<|END_ACTION|>",
     "", "plan", GET, NULL, false},
    {"<|START_ACTION|>", "<|START_RESPONSE|>It rains.<|END_RESPONSE|>", "It rains.", "", "", NULL,
     false},
    {"Action: directly-answer",
     "Action: ```json\n[\n    {\n        \"tool_name\": \"get_weather\",\n        \"parameters\": "
     "{\"city\": \"Rome\", "
     "\"days\": 2}\n    }\n]\n```",
     "", "", GET, NULL, false},
    {"<|channel|>analysis<|message|>",
     "<|channel|>analysis<|message|>Need the "
     "weather.<|end|><|start|>assistant<|channel|>commentary "
     "to=functions.get_weather <|constrain|>json<|message|>{\"city\": \"Rome\", \"days\": "
     "2}<|call|>",
     "", "Need the weather.", GET, NULL, false},
    {"<|channel|>analysis<|message|>", "<|channel|>final<|message|>Hi <b>.<|return|>", "Hi <b>.",
     "", "", NULL, false},
    {DS("tool" LOW "sep"),
     DS("tool" LOW "calls" LOW "begin") DS("tool" LOW "call" LOW "begin") "function" DS(
         "tool" LOW
         "sep") "get_weather\n```json\n{\"city\": \"Rome\", \"days\": 2}\n```" DS("tool" LOW
                                                                                  "call" LOW "end")
         DS("tool" LOW "calls" LOW "end"),
     "", "", GET, NULL, false},
    {DS("tool" LOW "sep"),
     DS("tool" LOW "calls" LOW "begin") DS("tool" LOW "call" LOW "begin") "get_weather" DS(
         "tool" LOW "sep") "{\"city\": \"Rome\", \"days\": 2}" DS("tool" LOW "call" LOW "end")
         DS("tool" LOW "calls" LOW "end"),
     "", "", GET, NULL, false},
    {"<start_function_call>",
     "<start_function_call>call:get_weather{city:<escape>Rome<escape>,days:2}<end_function_call>",
     "", "", GET, NULL, false},
    {"<|tool_call>",
     "<|tool_call>call:get_weather{city:<|\"|>Rome<|\"|>,days:2}<tool_call|><|tool_response>", "",
     "", GET, NULL, false},
    {"<function_calls>",
     "<function_calls>get_weather(city=\"Rome\", days=2)\nstop()</function_calls>", "", "",
     GET "; stop {}", NULL, false},
    {"<|tool_call_start|>",
     "<|tool_call_start|>[get_weather(city='Rome', days=2)]<|tool_call_end|>Done", "Done", "", GET,
     NULL, false},
    {"<|tool_call_start|>", "[get_weather(city=\"Rome\", days=2)]", "", "", GET, NULL, false},
    {"<|tool_calls_section_begin|>",
     "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_"
     "begin|>{\"city\": "
     "\"Rome\", \"days\": 2}<|tool_call_end|><|tool_calls_section_end|>",
     "", "", GET, NULL, false},
    {"<|tool_call|>",
     "<|tool_call|>[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Rome\", \"days\": "
     "2}}]<|/tool_call|>",
     "", "", GET, NULL, false},
    {"<TOOLCALL>",
     "<TOOLCALL>[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Rome\", \"days\": "
     "2}}]</TOOLCALL>",
     "", "", GET, NULL, false},
    {"<|tools_prefix|>",
     "<|tools_prefix|>[{\"get_weather\": {\"city\": \"Rome\", \"days\": 2}}]<|tools_suffix|>", "",
     "", GET, NULL, false},
    {" functools[",
     "functools[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Rome\", \"days\": 2}}]", "",
     "", GET, NULL, false},
    /* No call, half of one, one and a half: nothing is lost, nothing is made up. */
    {"<think></think><tool_call>",
     "<think>A <tool_call> or not?</think>\n<tool_call>{\"name\":\"stop\"}</tool_call>", "",
     "A <tool_call> or not?", "stop {}", NULL, false},
    {"<tool_call>", "<tool_call>{\"name\":\"stop\"}</tool_call>\n<tool_call>\n {\"",
     "<tool_call>\n {\"", "", "stop {}", NULL, false},
    {"<tool_call>", "<tool_call>no <tool_call>{\"name\":\"stop\"}</tool_call>", "<tool_call>no",
     "", "stop {}", NULL, false},
    {"<function=<parameter=", "<tool_call>\n<function=get_weather>\n<parameter=city>\nRo",
     "<tool_call>\n<function=get_weather>\n<parameter=city>\nRo", "", "", NULL, false},
    {"<minimax:tool_call>",
     "<minimax:tool_call>\n<invoke name=\"stop\"></invoke>\n<invoke name=\"get_weather\">\n<para",
     "<invoke name=\"get_weather\">\n<para", "", "stop {}", NULL, false},
    {"<arg_key>", "<tool_call>get_weather\n", "<tool_call>get_weather\n", "", "", NULL, false},
    {"<arg_key>", "<tool_call>stop\n", "", "", "stop {}", NULL, false},
    {"<|tool_call>", "<|tool_call>call:get_weather{city:<|\"|>Rome<|\"|>,days:2",
     "<|tool_call>call:get_weather{city:<|\"|>Rome<|\"|>,days:2", "", "", NULL, false},
    {"<|tool_call>", "<|tool_call>call:stop{q:<|\"|>}<|\"|>}", "", "", "stop {\"q\":\"}\"}", NULL,
     false},
    {"<|tool_call_start|>", "<|tool_call_start|>stop(q='\\u00e9\\x41\\ud83d\\ude00\\n')<|tool_call_end|>",
     "", "", "stop {\"q\":\"\xc3\xa9" "A\xf0\x9f\x98\x80\\n\"}", NULL, false},
    {"{{ if .ToolCalls }}<do>{{ range .ToolCalls }}{{ .Function.Arguments }}}</do>{{ end }}{{ end }}",
     "a</do><do>{\"name\":\"stop\"}</do>b</do><do>{\"x\"</do>", "a</do>b</do><do>{\"x\"</do>", "",
     "stop {}", NULL, false},
    {"<TOOLCALL>", "<TOOLCALL>[{\"name\":\"stop\"},\n {\"stop\":{}} {\"name\":\"stop\"},\n]</TOOLCALL>", "",
     "", "stop {}; stop {}; stop {}", NULL, false},
    {"nothing", "[1, 2, 3] is a list", "[1, 2, 3] is a list", "", "", NULL, false},
    {"nothing", "{\"name\":\"get_weather\",\"arguments\":{\"city\":\"Rome\",\"days\":2}}", "", "",
     GET, NULL, false},
    {"<tool_call>",
     "```json\n{\n  \"name\": \"get_weather\",\n  \"arguments\": {\"city\": \"Rome\", \"days\": "
     "2}\n}\n```\n",
     "", "", GET, NULL, false},
    {"nothing", "```\n[{\"name\": \"stop\", \"arguments\": {}}]\n``` Done.", "Done.", "", "stop {}",
     NULL, false},
    {"<tool_call>", "```json\n{\"name\": \"other\", \"arguments\": {}}\n```",
     "```json\n{\"name\": \"other\", \"arguments\": {}}\n```", "", "", NULL, false},
    {"<tool_call>",
     "{\"name\": \"get_weather\", \"arguments\": {\"days\": 2, \"city\": \"Rome\"}}", "", "",
     "get_weather {\"days\":2,\"city\":\"Rome\"}", NULL, false},
    {"<tool_call>", "{\"name\": \"get_weather\", \"arguments\": {\"days\": 2}}",
     "{\"name\": \"get_weather\", \"arguments\": {\"days\": 2}}", "", "", NULL, false},
    {"<tool_call>", "```json\n{\"name\": \"get_weather\", \"arguments\": {\"city\": 5}}\n```",
     "```json\n{\"name\": \"get_weather\", \"arguments\": {\"city\": 5}}\n```", "", "", NULL,
     false},
    {"<tool_call>", "```python\n{1}\n```", "```python\n{1}\n```", "", "", NULL, false},
    {"<tool_call>", "```json\n", "```json\n", "", "", NULL, false},
};
enum { N_EXAMPLES = sizeof examples / sizeof *examples };

static void show_calls(const json_t *calls, struct buf *out)
{
    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *f = json_object_get(json_array_get(calls, i), "function");
        char *args = json_dumps(json_object_get(f, "arguments"), JSON_COMPACT);
        assert_int_equal(json_integer_value(json_object_get(f, "index")), i);
        assert_non_null(json_string_value(json_object_get(json_array_get(calls, i), "id")));
        buf_printf(out, "%s%s %s", i ? "; " : "", json_string_value(json_object_get(f, "name")),
                   args);
        free(args);
    }
}

static void split(const struct example *x, const size_t *cuts, size_t n_cuts,
                  struct chat_said *said)
{
    struct chat_manner m;
    json_t *tools = x->no_tools ? NULL : json_loads(tools_text, 0, NULL);
    chat_manner_find(&m, strstr(x->template_text, "{{") ? CHAT_GO : CHAT_JINJA, x->template_text);
    struct chat_split *s = chat_split_new(&m, tools, true, x->prompt_end, NULL);
    chat_split_calls(s, 0, false, true);
    size_t at = 0;
    for (size_t i = 0; i < n_cuts; i++) {
        assert_int_equal(chat_split_feed(s, x->answer + at, cuts[i] - at, said), 0);
        at = cuts[i];
    }
    assert_int_equal(chat_split_feed(s, x->answer + at, strlen(x->answer) - at, said), 0);
    assert_int_equal(chat_split_end(s, said), 0);
    chat_split_free(s);
    json_decref(tools);
}

static void check(const struct example *x, const size_t *cuts, size_t n_cuts)
{
    struct chat_said said = {0};
    struct buf calls = {0};
    split(x, cuts, n_cuts, &said);
    show_calls(said.calls, &calls);
    if (strcmp(said.text.p ? said.text.p : "", x->text) ||
        strcmp(said.thinking.p ? said.thinking.p : "", x->thinking) ||
        strcmp(calls.p ? calls.p : "", x->calls))
        fail_msg("template %s\nanswer   %s\n(%zu cuts, first at %zu)\ntext     [%s] not "
                 "[%s]\nthinking [%s] not [%s]\n"
                 "calls    [%s] not [%s]",
                 x->template_text, x->answer, n_cuts, n_cuts ? cuts[0] : 0,
                 said.text.p ? said.text.p : "", x->text, said.thinking.p ? said.thinking.p : "",
                 x->thinking, calls.p ? calls.p : "", x->calls);
    buf_free(&calls);
    chat_said_free(&said);
}

static void test_whole_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_EXAMPLES; i++)
        check(&examples[i], NULL, 0);
}

static void test_every_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_EXAMPLES; i++) {
        const size_t n = strlen(examples[i].answer);
        for (size_t cut = 1; cut < n; cut++)
            check(&examples[i], &cut, 1);
    }
}

static void test_byte_by_byte_and_random_cuts(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_EXAMPLES; i++) {
        const size_t n = strlen(examples[i].answer);
        size_t *cuts = malloc((n + 1) * sizeof *cuts);
        for (size_t k = 1; k < n; k++)
            cuts[k - 1] = k;
        check(&examples[i], cuts, n - 1);
        srand(7);
        for (int turn = 0; turn < 20; turn++) {
            size_t m = 0;
            for (size_t k = 1; k < n; k++)
                if (rand() % 5 == 0)
                    cuts[m++] = k;
            check(&examples[i], cuts, m);
        }
        free(cuts);
    }
}

/* The grammar of a format takes its own example, and not one with a wrong argument. */
static void test_grammars(void **state)
{
    (void)state;
    int n = 0;
    for (size_t i = 0; i < N_EXAMPLES; i++) {
        const struct example *x = &examples[i];
        struct chat_manner m;
        struct buf gbnf = {0};
        struct err e = {0};
        json_t *schemas = NULL, *tools = json_loads(tools_text, 0, NULL);
        const bool inside =
            x->prompt_end && strstr(x->prompt_end, "<think>") && !strstr(x->prompt_end, "</think>");
        chat_manner_find(&m, CHAT_JINJA, x->template_text);
        const int rc =
            chat_grammar(&m, &(struct chat_rules){.tools = tools, .think = true, .inside = inside}, &gbnf, &schemas, &e);
        if (rc == 0 && x->calls[0] && strstr(x->calls, GET) && !strstr(x->answer, "CALL_ID") &&
            !strstr(x->answer, "\"id\"") && !strstr(x->answer, ".call(") && !strstr(x->answer, "'Rome'") &&
            strcmp(x->template_text, "<tool_call>") != 0) {
            struct grammar *g = grammar_gbnf(gbnf.p, gbnf.n, schemas, &e);
            if (!g)
                fail_msg("%s\n%s", e.text, gbnf.p);
            const char *last = strstr(x->answer, "<|call|>"); /* an end token, no text */
            const size_t len = last ? (size_t)(last - x->answer) : strlen(x->answer);
            const uint32_t at = grammar_steps(g, grammar_start(g), x->answer, len);
            if (!grammar_may_end(g, at))
                fail_msg("the grammar does not take: %s\n%s", x->answer, gbnf.p);
            char *bad = strdup(x->answer), *two = strstr(bad, ": 2");
            if (two) {
                two[2] = 't'; /* days: t */
                assert_false(
                    grammar_may_end(g, grammar_steps(g, grammar_start(g), bad, strlen(bad))));
            }
            free(bad);
            grammar_free(g);
            n++;
        }
        assert_true(rc >= 0);
        buf_free(&gbnf);
        json_decref(schemas);
        json_decref(tools);
    }
    assert_true(n >= 18);
}

/* A byte that may come: marks of the syntax more often than letters. */
static int any_byte(struct grammar *g, uint32_t at)
{
    static const char marks[] = "\"{}[]<>,:|)\n";
    unsigned char may[256 + 8 * sizeof marks];
    size_t n = 0;
    for (int c = 0; c < 256; c++)
        if (grammar_step(g, at, (unsigned char)c) != GRAMMAR_DEAD)
            for (int k = c && strchr(marks, c) ? 8 : 1; k; k--)
                may[n++] = (unsigned char)c;
    return n ? may[(size_t)rand() % n] : -1;
}

/* Whatever is written under the grammar of a format is a call whose arguments obey the schema, also
 * where a string holds the format's own tags. */
static void test_random_calls(void **state)
{
    static const char schema[] =
        "{\"type\":\"object\",\"properties\":{\"q\":{\"type\":\"string\",\"minLength\":2,\"maxLength\":9},"
        "\"text\":{\"type\":\"string\"},\"a b\":{\"enum\":[1,\"x\",null]},"
        "\"unit\":{\"type\":\"string\",\"enum\":[\"c\",\"k\\\"\"]},"
        "\"l\":{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"minItems\":1,\"maxItems\":2},"
        "\"o\":{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"boolean\"},\"d\":{\"type\":\"string\","
        "\"format\":\"date\"}},\"required\":[\"d\"],\"additionalProperties\":false},"
        "\"n\":{\"type\":[\"number\",\"null\"]}},\"required\":[\"q\",\"l\"],\"additionalProperties\":false}";
    static const char *const words[] = {"</tool_call>", "<tool_call>", "<escape>", "<|\"|>", "}", "]}", "\"",
                                        "</function>", "<end_function_call>", "<tool_call|>", "]</TOOLCALL>",
                                        "</parameter>", "<|tool_call_end|>", "\\u00e9", "\\u0000", "</function_calls>",
                                        "<|END_ACTION|>", "```", "<|tools_suffix|>", "</invoke>"};
    json_t *parameters = json_loads(schema, 0, NULL);
    json_t *tools = json_pack("[{s:s, s:{s:s, s:O}}]", "type", "function", "function", "name", "f",
                              "parameters", parameters);
    struct err e = {0};
    int n = 0;
    struct grammar *judge = grammar_json(parameters, &e);
    assert_non_null(judge);
    srand(11);
    for (size_t i = 0; i < N_EXAMPLES; i++) {
        struct chat_manner m;
        struct buf gbnf = {0};
        json_t *schemas = NULL;
        chat_manner_find(&m, CHAT_JINJA, examples[i].template_text);
        const struct chat_rules rules = {.tools = tools, .choice = CHOICE_ANY, .one_call = true};
        if (!examples[i].calls[0] || chat_manner_always(&m))
            continue;
        assert_int_equal(chat_grammar(&m, &rules, &gbnf, &schemas, &e), 0);
        struct grammar *g = grammar_gbnf(gbnf.p, gbnf.n, schemas, &e);
        if (!g)
            fail_msg("%s\n%s", e.text, gbnf.p);
        for (int turn = 0; turn < 15; turn++) {
            struct chat_said said = {0};
            struct buf text = {0};
            uint32_t at = grammar_start(g);
            while (!grammar_may_end(g, at) && text.n < 3000) {
                const char *word = words[(size_t)rand() % (sizeof words / sizeof *words)];
                const uint32_t to = rand() % 4 ? GRAMMAR_DEAD : grammar_steps(g, at, word, strlen(word));
                const int c = to == GRAMMAR_DEAD ? any_byte(g, at) : 0;
                const char one = (char)c;
                assert_true(c >= 0);
                buf_add(&text, to == GRAMMAR_DEAD ? &one : word, to == GRAMMAR_DEAD ? 1 : strlen(word));
                at = grammar_rest(g, to == GRAMMAR_DEAD ? grammar_step(g, at, (unsigned char)c) : to);
            }
            if (!grammar_may_end(g, at)) {
                buf_free(&text);
                continue;
            }
            struct chat_split *s = chat_split_new(&m, tools, false, NULL, NULL);
            assert_int_equal(chat_split_feed(s, text.p, text.n, &said), 0);
            assert_int_equal(chat_split_end(s, &said), 0);
            json_t *args = json_object_get(json_object_get(json_array_get(said.calls, 0), "function"), "arguments");
            char *dump = args ? json_dumps(args, JSON_COMPACT) : NULL;
            if (json_array_size(said.calls) != 1 || said.text.n ||
                !grammar_may_end(judge, grammar_steps(judge, grammar_start(judge), dump, strlen(dump))))
                fail_msg("template %s\nanswer %.*s\narguments %s\ntext %s", examples[i].template_text,
                         (int)text.n, text.p, dump ? dump : "none", said.text.p ? said.text.p : "");
            free(dump);
            chat_split_free(s);
            chat_said_free(&said);
            buf_free(&text);
            n++;
        }
        grammar_free(g);
        buf_free(&gbnf);
        json_decref(schemas);
    }
    assert_true(n > 300);
    grammar_free(judge);
    json_decref(tools);
    json_decref(parameters);
}

static void test_the_same_call_has_the_same_id(void **state)
{
    (void)state;
    struct chat_said a = {0}, b = {0};
    split(&examples[1], NULL, 0, &a);
    split(&examples[1], NULL, 0, &b);
    assert_true(json_equal(a.calls, b.calls));
    assert_false(json_equal(json_object_get(json_array_get(a.calls, 0), "id"),
                            json_object_get(json_array_get(a.calls, 1), "id")));
    chat_said_free(&a);
    chat_said_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_answers),
        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_byte_by_byte_and_random_cuts),
        cmocka_unit_test(test_grammars),
        cmocka_unit_test(test_random_calls),
        cmocka_unit_test(test_the_same_call_has_the_same_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
