/* tests/test_tokenizer_split.c - the pre-tokenizers: where each name cuts a text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "engine/tokenizer/inside.h"

/* The pieces of a text with bars between; freed by the caller. */
static char *cut(const char *name, const char *text, uint32_t more_options)
{
    struct err e = {0};
    struct splitter s;
    struct pieces p = {0};
    struct buf out = {0};
    const struct pre_rule *rule = tok_pre_rule_find((struct text){name, strlen(name)}, &e);
    if (!rule || tok_splitter_init(&s, rule, &e))
        fail_msg("%s", e.text);
    s.options |= more_options;
    pcre2_match_data *md = pcre2_match_data_create(1, NULL);
    if (tok_splitter_run(&s, md, text, (uint32_t)strlen(text), &p, &e))
        fail_msg("%s: %s", name, e.text);
    buf_puts(&out, "");
    for (size_t i = 0; i < p.n_now; i++) {
        assert_true(p.now[i].start < p.now[i].end && p.now[i].end <= strlen(text));
        if (i)
            buf_puts(&out, "|");
        buf_add(&out, text + p.now[i].start, p.now[i].end - p.now[i].start);
    }
    assert_false(out.failed);
    pcre2_match_data_free(md);
    tok_splitter_free(&s);
    tok_pieces_free(&p);
    return out.p;
}

static void cuts(const char *name, const char *text, const char *want)
{
    char *got = cut(name, text, 0);
    if (strcmp(got, want))
        fail_msg("%s: \"%s\" is wanted, not \"%s\"", name, want, got);
    free(got);
}

static const char *const samples[] = {
    "",
    "Hello world, it's 1234567 o'clock!!\n\n  if (x) {\n\treturn a1b22;\t}  \r\n",
    "HTTPServer camelCase ÀÉÎ straße ǅungla ʰa 中文文字 ひらがな カタカナ 한국어 ไทย ÷ × ½ ² Ⅷ",
    "e\xcc\x81 a\xcc\x80\xcc\x81 \xe0\xa4\x95\xe0\xa4\xbf \xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb",
    "   leading   and \xc2\xa0\xe3\x80\x80odd\xe2\x80\xa8 blanks \xe1\xa0\x8e x\xc2\x85y   ",
    "'S 'll'VE IMGIMGABCDZ <sentinel:12> [x] {y} ~`@#$%^&*()_+-=/\\|",
    "x\x01\x7f\xee\x80\x80\xf4\x8f\xbf\xbf",
};

static void every_name_keeps_every_byte_in_order(void **state)
{
    (void)state;
    for (size_t r = 0; r < tok_n_pre_rules; r++)
        for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
            if (tok_pre_rules[r].flags & PRE_DROP_GAPS)
                continue;
            char *got = cut(tok_pre_rules[r].name, samples[i], 0);
            const char *t = samples[i];
            for (const char *g = got; *g; g++) { /* all but the bars between */
                if (*g == *t)
                    t++;
                else if (*g != '|')
                    fail_msg("%s: \"%s\" became \"%s\"", tok_pre_rules[r].name, samples[i], got);
            }
            assert_int_equal(*t, 0);
            free(got);
        }
}

static void machine_code_and_interpreter_cut_alike(void **state)
{
    (void)state;
    for (size_t r = 0; r < tok_n_pre_rules; r++)
        for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
            char *fast = cut(tok_pre_rules[r].name, samples[i], 0);
            char *slow = cut(tok_pre_rules[r].name, samples[i], PCRE2_NO_JIT);
            assert_string_equal(fast, slow);
            free(fast);
            free(slow);
        }
}

static void names_cut_as_they_should(void **state)
{
    (void)state;
    cuts("gpt-2", "it's  12345 a\n\nb", "it|'s| | 12345| a|\n|\n|b");
    cuts("llama-bpe", "IT'S  12345 a\n\nb", "IT|'S| | |123|45| a|\n\n|b");
    cuts("qwen2", "12345 x", "1|2|3|4|5| x");
    cuts("smollm", "a12 b", "a|1|2| b");
    cuts("deepseek-llm", "ab中文 12\n\nc", "ab|中文| |12|\n|\n|c");
    cuts("falcon", "x=1234", "x|=|123|4");
    cuts("default", "x=12345", "x|=|123|45");
    cuts("starcoder", "x12", "x|1|2");
    cuts("gemma4", "a b\n\nc", "a b|\n\n|c");
    cuts("whitespace", " a  b ", "a|b");
}

static void upper_and_lower_case_are_told_apart_beyond_ascii(void **state)
{
    (void)state;
    cuts("gpt-4o", "camelCase", "camel|Case");
    cuts("gpt-4o", "éléÉlan", "élé|Élan");
    cuts("gpt-4o", "ÉTÉ's", "ÉTÉ's");
    cuts("tekken", "éléÉlan12", "élé|Élan|1|2");
}

static void digits_are_grouped_from_the_right(void **state)
{
    (void)state;
    cuts("tiny_aya", "x1234567", "x|1|234|567");
    cuts("afmoe", "12345 123", "12|345| |123");
    cuts("superbpe", "a1234567b", "a|1|234|567|b");
    cuts("superbpe", "12", "12");
}

static void a_blank_is_what_unicode_calls_white_space(void **state)
{
    (void)state;
    cuts("gpt-2", "a\xe1\xa0\x8e" "b", "a|\xe1\xa0\x8e|b"); /* U+180E is none: " ?[^\s..]+" */
    cuts("whitespace", "a\xe1\xa0\x8e" "b", "a\xe1\xa0\x8e" "b");
    cuts("whitespace", "a\xc2\x85" "b\xe3\x80\x80" "c", "a|b|c");
}

static void a_piece_sees_nothing_outside_itself(void **state)
{
    (void)state;
    /* The digits are cut out first, so the blanks before them end their piece: \s+(?!\S) takes
     * both, and none is left to go with the digit. */
    cuts("starcoder", "a  1", "a|  |1");
    cuts("gpt-2", "a  1", "a| | 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_keeps_every_byte_in_order),
        cmocka_unit_test(machine_code_and_interpreter_cut_alike),
        cmocka_unit_test(names_cut_as_they_should),
        cmocka_unit_test(upper_and_lower_case_are_told_apart_beyond_ascii),
        cmocka_unit_test(digits_are_grouped_from_the_right),
        cmocka_unit_test(a_blank_is_what_unicode_calls_white_space),
        cmocka_unit_test(a_piece_sees_nothing_outside_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
