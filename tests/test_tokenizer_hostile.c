/* tests/test_tokenizer_hostile.c - vocabularies that lie, and names that are not known. Each is
 * refused with the key at fault; nothing crashes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tests/toy_vocab.h"

static struct toy toy; /* large */

static void refused(enum err_code code, const char *part)
{
    struct err e = {0};
    struct tok_vocab *v = toy_make(&toy, &e);
    if (v)
        fail_msg("taken, though %s", part);
    if (!strstr(e.text, part))
        fail_msg("\"%s\" is not in \"%s\"", part, e.text);
    assert_int_equal(e.code, code);
}

static void an_unknown_kind_is_refused_with_those_there_are(void **state)
{
    (void)state;
    toy_bpe(&toy, "gpt-2");
    toy.model = "rwkv";
    refused(ERR_UNSUPPORTED, "\"rwkv\" is not supported; these are: gpt2, llama, gemma4");
    toy.model = NULL;
    refused(ERR_INPUT, "tokenizer.ggml.model");
}

static void an_unknown_pre_tokenizer_is_refused_with_those_there_are(void **state)
{
    (void)state;
    log_set_level(LOG_ERROR);
    toy_bpe(&toy, "gpt-17");
    refused(ERR_UNSUPPORTED, "\"gpt-17\"");
    refused(ERR_UNSUPPORTED, "command-r");
    refused(ERR_UNSUPPORTED, "more (the log has them)"); /* the end is not cut off */
    toy.pre = "a name as long as this must not push the list out of the message, nor split it";
    refused(ERR_UNSUPPORTED, "more (the log has them)");
}

static void a_file_without_a_name_is_split_by_default(void **state)
{
    (void)state;
    toy_bpe(&toy, NULL);
    struct err e = {0};
    struct tok_vocab *v = toy_make(&toy, &e);
    assert_non_null(v);
    tok_vocab_free(v);
}

static void a_vocabulary_without_tokens_is_refused(void **state)
{
    (void)state;
    toy_bpe(&toy, "gpt-2");
    toy.n = toy.n_types = toy.n_scores = 0;
    refused(ERR_INPUT, "tokenizer.ggml.tokens");
}

static void lists_of_another_length_are_refused(void **state)
{
    (void)state;
    toy_spm(&toy);
    toy.n_types--;
    refused(ERR_INPUT, "token_type\" has 258 entries for 259 tokens");
    toy_spm(&toy);
    toy.n_scores = 3;
    refused(ERR_INPUT, "scores\" has 3 entries for 259 tokens");
}

static void a_type_that_is_not_known_is_refused(void **state)
{
    (void)state;
    toy_spm(&toy);
    toy.types[9] = 7;
    refused(ERR_INPUT, "token_type[9]");
    toy.types[9] = -1;
    refused(ERR_INPUT, "token_type[9]");
}

static void a_score_must_be_a_number(void **state)
{
    (void)state;
    toy_spm(&toy);
    toy.scores[5] = NAN;
    refused(ERR_INPUT, "scores[5]");
    toy.scores[5] = -INFINITY;
    refused(ERR_INPUT, "scores[5]");
}

static void a_merge_must_be_two_tokens_that_make_one(void **state)
{
    (void)state;
    static const struct {
        const char *line, *said;
    } wrong[] = {
        {"ab", "merges[1]: \"ab\" is not two tokens"}, {"", "is not two tokens"},
        {" ", "is not two tokens"},                    {" a", "is not two tokens"},
        {"a ", "the right part is not a token"},       {"qq a", "the left part is not a token"},
        {"a qq", "the right part is not a token"},     {"b a", "what they make is not a token"},
        {"a b c", "the right part is not a token"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        toy_bpe(&toy, "gpt-2");
        toy_token(&toy, "ab", TOY_NORMAL, 0);
        toy_merge(&toy, "a b");
        toy_merge(&toy, wrong[i].line);
        refused(ERR_INPUT, wrong[i].said);
    }
}

static void control_characters_do_not_reach_a_message(void **state)
{
    (void)state;
    toy_bpe(&toy, "x\x1b[31m\n");
    refused(ERR_UNSUPPORTED, "x\\x1b[31m\\x0a");
}

static void tokens_may_be_empty_double_or_broken(void **state)
{
    (void)state;
    toy_bpe(&toy, "gpt-2");
    const tok_id none = toy_token(&toy, "", TOY_NORMAL, 0);
    toy_token(&toy, "aa", TOY_USER, 0);
    const tok_id twin = toy_token(&toy, "aa", TOY_USER, 0);
    const tok_id odd = toy_token(&toy, "\xff\xe6\x97\xa5", TOY_NORMAL, 0);
    struct err e = {0};
    struct tok_vocab *v = toy_make(&toy, &e);
    assert_non_null(v);
    assert_memory_equal(tok_text(v, none).p, "[EMPTY_256]", 11);
    assert_int_equal(tok_find(v, "aa", 2), twin);
    assert_true(tok_piece(v, odd, true).n > 10); /* shown as what it is */
    tok_vocab_free(v);
}

/* Bounded: a token of letters outside the alphabet is shown once for each of them. */
static void a_long_odd_token_does_not_fill_the_memory(void **state)
{
    (void)state;
    enum { N = 600000 };
    char *text = malloc(3 * N);
    assert_non_null(text);
    for (size_t i = 0; i < N; i++)
        memcpy(text + 3 * i, "\xe6\x97\xa5", 3);
    toy_bpe(&toy, "gpt-2");
    toy.tokens[toy_token(&toy, "", TOY_NORMAL, 0)] = (struct text){text, 3 * N};
    struct err e = {0};
    struct tok_vocab *v = toy_make(&toy, &e);
    if (v)
        assert_true(tok_vocab_bytes(v) < (size_t)1 << 30);
    else
        assert_int_equal(e.code, ERR_LIMIT);
    tok_vocab_free(v);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_kind_is_refused_with_those_there_are),
        cmocka_unit_test(an_unknown_pre_tokenizer_is_refused_with_those_there_are),
        cmocka_unit_test(a_file_without_a_name_is_split_by_default),
        cmocka_unit_test(a_vocabulary_without_tokens_is_refused),
        cmocka_unit_test(lists_of_another_length_are_refused),
        cmocka_unit_test(a_type_that_is_not_known_is_refused),
        cmocka_unit_test(a_score_must_be_a_number),
        cmocka_unit_test(a_merge_must_be_two_tokens_that_make_one),
        cmocka_unit_test(control_characters_do_not_reach_a_message),
        cmocka_unit_test(tokens_may_be_empty_double_or_broken),
        cmocka_unit_test(a_long_odd_token_does_not_fill_the_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
