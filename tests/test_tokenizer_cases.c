/* tests/test_tokenizer_cases.c - what a text becomes, one rule of the tokenizer at a time, on toy
 * vocabularies. The cases of real vocabularies are in tests/run_vocabs.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "tests/toy_vocab.h"

static struct toy toy; /* large */

static struct tok_vocab *made(void)
{
    struct err e = {0};
    struct tok_vocab *v = toy_make(&toy, &e);
    if (!v)
        fail_msg("%s", e.text);
    return v;
}

/* The ids of a text as "1 2 3"; valid until the next call. */
static const char *ids_of(const struct tok_vocab *v, const char *text, size_t n,
                          const struct text_span *trusted, size_t n_trusted)
{
    static char line[1024];
    struct tok_ids ids = {0};
    struct err e = {0};
    if (tok_encode(v, text, n, trusted, n_trusted, &ids, &e))
        fail_msg("%s", e.text);
    size_t at = 0;
    line[0] = 0;
    for (size_t i = 0; i < ids.n && at < sizeof line - 16; i++)
        at += (size_t)snprintf(line + at, sizeof line - at, "%s%d", i ? " " : "", (int)ids.ids[i]);
    tok_ids_free(&ids);
    return line;
}

static const char *plain(const struct tok_vocab *v, const char *text)
{
    return ids_of(v, text, strlen(text), NULL, 0);
}

static const char *trusted(const struct tok_vocab *v, const char *text)
{
    const struct text_span all = {0, strlen(text)};
    return ids_of(v, text, strlen(text), &all, 1);
}

/* ---- merging --------------------------------------------------------------------------------- */

static void of_equal_ranks_the_leftmost_pair_joins(void **state)
{
    (void)state;
    toy_bpe(&toy, "gpt-2");
    toy_token(&toy, "aa", TOY_NORMAL, 0); /* 256 */
    toy_merge(&toy, "a a");
    struct tok_vocab *v = made();
    assert_string_equal(plain(v, "aaa"), "256 97");
    assert_string_equal(plain(v, "aaaaa"), "256 256 97");
    tok_vocab_free(v);
}

static void the_lower_rank_joins_first_wherever_it_stands(void **state)
{
    (void)state;
    toy_bpe(&toy, "gpt-2");
    toy_token(&toy, "bc", TOY_NORMAL, 0);  /* 256 */
    toy_token(&toy, "ab", TOY_NORMAL, 0);  /* 257 */
    toy_token(&toy, "abc", TOY_NORMAL, 0); /* 258: no merge makes it from a + bc */
    toy_merge(&toy, "b c");
    toy_merge(&toy, "a b");
    toy_merge(&toy, "ab c");
    struct tok_vocab *v = made();
    assert_string_equal(plain(v, "abc"), "97 256");
    assert_string_equal(plain(v, "abab"), "257 257");
    tok_vocab_free(v);
}

static void a_stale_pair_is_not_joined(void **state)
{
    (void)state;
    toy_bpe(&toy, "gpt-2");
    toy_token(&toy, "ab", TOY_NORMAL, 0); /* 256 */
    toy_token(&toy, "bc", TOY_NORMAL, 0); /* 257 */
    toy_token(&toy, "cd", TOY_NORMAL, 0); /* 258 */
    toy_merge(&toy, "a b");
    toy_merge(&toy, "b c");
    toy_merge(&toy, "c d");
    struct tok_vocab *v = made();
    assert_string_equal(plain(v, "abcd"), "256 258"); /* b c is stale when its turn comes */
    tok_vocab_free(v);
}

static void a_word_that_is_a_token_is_taken_whole_where_the_name_says_so(void **state)
{
    (void)state;
    for (int llama = 0; llama < 2; llama++) {
        toy_bpe(&toy, llama ? "llama-bpe" : "qwen2");
        toy_token(&toy, "h\xc3\xa9", TOY_NORMAL, 0);                 /* 256: other letters */
        toy_token(&toy, "\xc4\xa0" "abc", TOY_NORMAL, 0);            /* 257: " abc" */
        struct tok_vocab *v = made();
        assert_string_equal(plain(v, " abc"), llama ? "257" : "32 97 98 99");
        tok_vocab_free(v);
    }
}

static void of_equal_scores_the_leftmost_pair_joins(void **state)
{
    (void)state;
    toy_spm(&toy);
    toy.space_prefix = 0;
    toy_token(&toy, "a", TOY_NORMAL, -9);  /* 259 */
    toy_token(&toy, "b", TOY_NORMAL, -9);  /* 260 */
    toy_token(&toy, "ab", TOY_NORMAL, -2); /* 261 */
    toy_token(&toy, "ba", TOY_NORMAL, -2); /* 262 */
    struct tok_vocab *v = made();
    assert_string_equal(plain(v, "aba"), "261 259");
    assert_string_equal(plain(v, "bab"), "262 260");
    tok_vocab_free(v);
}

static void the_higher_score_joins_first(void **state)
{
    (void)state;
    toy_spm(&toy);
    toy.space_prefix = 0;
    toy_token(&toy, "a", TOY_NORMAL, -9);   /* 259 */
    toy_token(&toy, "b", TOY_NORMAL, -9);   /* 260 */
    toy_token(&toy, "ab", TOY_NORMAL, -2);  /* 261 */
    toy_token(&toy, "ba", TOY_NORMAL, 1.5); /* 262: a positive score is above any negative one */
    struct tok_vocab *v = made();
    assert_string_equal(plain(v, "aba"), "259 262");
    tok_vocab_free(v);
}

static void what_is_no_token_becomes_bytes(void **state)
{
    (void)state;
    toy_spm(&toy);
    toy.space_prefix = 0;
    toy_token(&toy, "a", TOY_NORMAL, 0);
    struct tok_vocab *v = made();
    assert_string_equal(plain(v, "a\xe2\x82\xac"), "259 229 133 175"); /* U+20AC: 3 + each byte */
    tok_vocab_free(v);
}

static void broken_utf8_is_no_error(void **state)
{
    (void)state;
    toy_spm(&toy);
    toy.space_prefix = 0;
    struct tok_vocab *v = made();
    assert_string_equal(plain(v, "\xff\xe2\x82"), "258 229 133"); /* the bytes themselves */
    tok_vocab_free(v);
    toy_bpe(&toy, "qwen2");
    v = made();
    /* U+FFFD for each broken byte; a code point above U+10FFFF is four of them */
    assert_string_equal(plain(v, "\xff"), "239 191 189");
    assert_string_equal(plain(v, "\xf4\x90\x80\x80"),
                        "239 191 189 239 191 189 239 191 189 239 191 189");
    tok_vocab_free(v);
}

static void a_zero_byte_is_text(void **state)
{
    (void)state;
    toy_bpe(&toy, "qwen2");
    struct tok_vocab *v = made();
    assert_string_equal(ids_of(v, "a\0b", 3, NULL, 0), "97 0 98");
    tok_vocab_free(v);
}

static void no_text_has_no_ids(void **state)
{
    (void)state;
    toy_spm(&toy);
    struct tok_vocab *v = made();
    assert_string_equal(plain(v, ""), "");
    tok_vocab_free(v);
}

/* ---- the blank in front --------------------------------------------------------------------------- */

static void a_blank_goes_in_front_of_the_text_and_behind_specials(void **state)
{
    (void)state;
    toy_spm(&toy);
    toy_token(&toy, "\xe2\x96\x81", TOY_NORMAL, -1);  /* 259 */
    toy_token(&toy, "a", TOY_NORMAL, -1);             /* 260 */
    toy_token(&toy, "\xe2\x96\x81" "a", TOY_NORMAL, -1); /* 261 */
    struct tok_vocab *v = made();
    assert_string_equal(plain(v, "a"), "261");
    assert_string_equal(plain(v, " a"), "259 261");
    assert_string_equal(trusted(v, "<s>a</s>a"), "1 261 2 261");
    tok_vocab_free(v);
    toy.space_prefix = 0;
    v = made();
    assert_string_equal(plain(v, "a"), "260");
    assert_string_equal(trusted(v, "<s>a"), "1 260");
    tok_vocab_free(v);
}

/* ---- special tokens --------------------------------------------------------------------------------- */

static void text_of_users_never_becomes_a_control_token(void **state)
{
    (void)state;
    toy_bpe(&toy, "gpt-2");
    const tok_id end = toy_token(&toy, "<e>", TOY_CONTROL, 0);
    toy_token(&toy, "<e", TOY_NORMAL, 0);
    toy_merge(&toy, "< e");
    toy_merge(&toy, "<e >"); /* a merge that makes its text does not help */
    struct tok_vocab *v = made();
    assert_int_equal(end, 256);
    assert_string_equal(trusted(v, "a<e>b"), "97 256 98");
    assert_string_equal(plain(v, "a<e>b"), "97 60 101 62 98");
    /* nor when it stands half in a literal, or across two */
    assert_string_equal(ids_of(v, "<e>", 3, &(struct text_span){0, 2}, 1), "60 101 62");
    assert_string_equal(ids_of(v, "<e>", 3, (struct text_span[]){{0, 2}, {2, 3}}, 2), "60 101 62");
    /* each occurrence is judged by itself */
    assert_string_equal(ids_of(v, "<e><e><e>", 9, (struct text_span[]){{0, 3}, {6, 9}}, 2),
                        "256 60 101 62 256");
    tok_vocab_free(v);
}

static void sentencepiece_scores_do_not_make_control_tokens_either(void **state)
{
    (void)state;
    toy_spm(&toy);
    toy.space_prefix = 0;
    toy_token(&toy, "<", TOY_NORMAL, -5);  /* 259 */
    toy_token(&toy, "s>", TOY_NORMAL, -1); /* 260 */
    toy_token(&toy, "s", TOY_NORMAL, -5);  /* 261 */
    toy_token(&toy, ">", TOY_NORMAL, -5);  /* 262 */
    struct tok_vocab *v = made();
    assert_string_equal(plain(v, "<s>"), "259 260");
    assert_string_equal(plain(v, "<0x41>"), "259 51 123 55 52 262"); /* nor byte tokens */
    assert_string_equal(trusted(v, "<s>"), "1");
    tok_vocab_free(v);
}

static void a_token_that_ends_turns_is_control_whatever_its_type(void **state)
{
    (void)state;
    toy_bpe(&toy, "gpt-2");
    const tok_id end = toy_token(&toy, "<|im_end|>", TOY_NORMAL, 0);
    const tok_id pad = toy_token(&toy, "<fim_pad>", TOY_NORMAL, 0);
    struct tok_vocab *v = made();
    assert_true(tok_is_eog(v, end) && tok_is_control(v, end) && tok_is_eog(v, pad));
    assert_false(tok_is_eog(v, 'a') || tok_is_eog(v, -1) || tok_is_eog(v, tok_n_vocab(v)));
    tok_vocab_free(v);
}

static void harmony_messages_end_without_ending_the_answer(void **state)
{
    (void)state;
    toy_bpe(&toy, "gpt-4o");
    const tok_id end = toy_token(&toy, "<|end|>", TOY_CONTROL, 0);
    const tok_id ret = toy_token(&toy, "<|return|>", TOY_CONTROL, 0);
    const tok_id call = toy_token(&toy, "<|call|>", TOY_CONTROL, 0);
    const tok_id channel = toy_token(&toy, "<|channel|>", TOY_CONTROL, 0);
    struct tok_vocab *v = made();
    assert_false(tok_is_eog(v, end));
    assert_true(tok_is_eog(v, ret) && tok_is_eog(v, call));
    assert_int_equal(tok_piece(v, end, false).n, 7); /* the parser must see them */
    assert_int_equal(tok_piece(v, channel, false).n, 11);
    assert_string_equal(plain(v, "<|end|>"), "60 124 101 110 100 124 62"); /* users must not */
    tok_vocab_free(v);
}

static void user_defined_tokens_are_cut_out_everywhere_longest_first(void **state)
{
    (void)state;
    toy_bpe(&toy, "gpt-2");
    toy_token(&toy, "aa", TOY_USER, 0);   /* 256 */
    toy_token(&toy, "aaa", TOY_USER, 0);  /* 257 */
    toy_token(&toy, "xy", TOY_USER, 0);   /* 258 */
    toy_token(&toy, "yzw", TOY_USER, 0);  /* 259 */
    struct tok_vocab *v = made();
    assert_string_equal(plain(v, "aaaaa"), "257 256");
    assert_string_equal(plain(v, "aaaa"), "257 97");
    assert_string_equal(plain(v, "xyzw"), "120 259"); /* the longer one, though it starts later */
    assert_string_equal(plain(v, "xyxyz"), "258 258 122");
    tok_vocab_free(v);
}

static void a_shorter_token_is_found_where_the_longer_one_may_not(void **state)
{
    (void)state;
    toy_bpe(&toy, "gpt-2");
    toy_token(&toy, "<a>", TOY_USER, 0);       /* 256 */
    toy_token(&toy, "<a><b>", TOY_CONTROL, 0); /* 257 */
    struct tok_vocab *v = made();
    assert_string_equal(trusted(v, "<a><b>"), "257");
    assert_string_equal(plain(v, "<a><b>"), "256 60 98 62");
    tok_vocab_free(v);
}

static void text_joins_across_the_border_of_a_literal(void **state)
{
    (void)state;
    toy_bpe(&toy, "gpt-2");
    toy_token(&toy, "ab", TOY_NORMAL, 0);
    toy_merge(&toy, "a b");
    struct tok_vocab *v = made();
    assert_string_equal(ids_of(v, "ab", 2, &(struct text_span){0, 1}, 1), "256");
    tok_vocab_free(v);
}

static void blanks_behind_phi_3_tokens_vanish(void **state)
{
    (void)state;
    toy_spm(&toy);
    toy.name = "Phi3 Mini";
    toy.space_prefix = 0;
    toy_token(&toy, "a", TOY_NORMAL, 0);        /* 259 */
    toy_token(&toy, "<|user|>", TOY_CONTROL, 0); /* 260 */
    struct tok_vocab *v = made();
    assert_string_equal(trusted(v, "<|user|> \n\ta"), "260 259");
    assert_string_equal(trusted(v, "<s> a"), "1 229 153 132 259"); /* not behind <s> */
    tok_vocab_free(v);
}

/* ---- ends -------------------------------------------------------------------------------------------- */

static void the_file_says_what_goes_round_a_text(void **state)
{
    (void)state;
    struct tok_ids ids = {0};
    toy_spm(&toy);
    toy.add_eos = 1;
    struct tok_vocab *v = made();
    assert_int_equal(tok_add_before(v, &ids, NULL), 0);
    assert_int_equal(tok_add_after(v, &ids, NULL), 0);
    assert_int_equal(ids.n, 2);
    assert_int_equal(ids.ids[0], 1);
    assert_int_equal(ids.ids[1], 2);
    tok_vocab_free(v);
    ids.n = 0;
    toy.add_bos = 0;
    v = made();
    assert_false(tok_adds_bos(v));
    assert_int_equal(tok_add_before(v, &ids, NULL), 0);
    assert_int_equal(ids.n, 0);
    tok_vocab_free(v);
    tok_ids_free(&ids);
}

static void an_id_outside_the_vocabulary_is_none(void **state)
{
    (void)state;
    toy_bpe(&toy, "llama-bpe");
    toy.bos = 0xffffffff;
    toy.eos = 100000;
    struct tok_vocab *v = made();
    assert_true(tok_bos(v) < tok_n_vocab(v) && tok_eos(v) < tok_n_vocab(v));
    assert_int_equal(tok_piece(v, 100000, true).n, 0);
    assert_int_equal(tok_text(v, -1).n, 0);
    tok_vocab_free(v);
}

/* ---- back to text -------------------------------------------------------------------------------------- */

static void control_tokens_are_hidden_in_what_is_generated(void **state)
{
    (void)state;
    toy_bpe(&toy, "qwen2");
    const tok_id end = toy_token(&toy, "<e>", TOY_CONTROL, 0);
    struct tok_vocab *v = made();
    const tok_id ids[] = {'h', 'i', end};
    struct buf out = {0};
    tok_decode(v, ids, 3, false, &out);
    assert_string_equal(out.p, "hi");
    out.n = 0;
    tok_decode(v, ids, 3, true, &out);
    assert_string_equal(out.p, "hi<e>");
    buf_free(&out);
    tok_vocab_free(v);
}

static void the_blank_in_front_is_taken_off_again(void **state)
{
    (void)state;
    toy_spm(&toy);
    toy_token(&toy, "\xe2\x96\x81" "a", TOY_NORMAL, -1); /* 259 */
    struct tok_vocab *v = made();
    const tok_id ids[] = {259, 259, 3 + 0xe2, 3 + 0x82, 3 + 0xac};
    struct buf out = {0};
    tok_decode(v, ids, 5, false, &out);
    assert_string_equal(out.p, "a a\xe2\x82\xac");
    buf_free(&out);
    tok_vocab_free(v);
}

static void blanks_before_punctuation_go_where_the_name_says_so(void **state)
{
    (void)state;
    for (int clean = 0; clean < 2; clean++) {
        toy_bpe(&toy, clean ? "gpt-2" : "qwen2");
        struct tok_vocab *v = made();
        struct tok_ids ids = {0};
        struct buf out = {0};
        const char *text = "it 's ' he ' I 'm . ok ?";
        assert_int_equal(tok_encode(v, text, strlen(text), NULL, 0, &ids, NULL), 0);
        tok_decode(v, ids.ids, ids.n, false, &out);
        assert_string_equal(out.p, clean ? "it's'he'I'm. ok?" : text);
        buf_free(&out);
        tok_ids_free(&ids);
        tok_vocab_free(v);
    }
}

/* ---- speed: a hundred thousand times one letter --------------------------------------------------------- */

static void a_long_word_takes_no_quadratic_time(void **state)
{
    (void)state;
    enum { N = 100000 };
    char *text = malloc(N);
    assert_non_null(text);
    memset(text, 'a', N);
    for (int kind = 0; kind < 2; kind++) {
        if (kind)
            toy_spm(&toy);
        else
            toy_bpe(&toy, "qwen2");
        if (kind)
            toy_token(&toy, "a", TOY_NORMAL, -1);
        toy_token(&toy, "aa", TOY_NORMAL, -2);
        toy_token(&toy, "aaaa", TOY_NORMAL, -3);
        toy_merge(&toy, "a a");
        toy_merge(&toy, "aa aa");
        for (int i = 2; i < 10; i++) { /* and user-defined tokens that nest */
            static char runs[10][16];
            memset(runs[i], 'b', (size_t)i);
            toy_token(&toy, runs[i], TOY_USER, 0);
        }
        struct tok_vocab *v = made();
        for (char letter = 'a'; letter <= 'b'; letter++) {
            memset(text, letter, N);
            struct tok_ids ids = {0};
            const int64_t t0 = time_mono_ns();
            assert_int_equal(tok_encode(v, text, N, NULL, 0, &ids, NULL), 0);
            const int64_t ms = (time_mono_ns() - t0) / 1000000;
            /* tens of ms; quadratic work would be at least 10^10 steps */
            assert_true(ms < 4000);
            assert_true(ids.n >= N / 9 && ids.n <= N / 4 + 8);
            tok_ids_free(&ids);
        }
        tok_vocab_free(v);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_equal_ranks_the_leftmost_pair_joins),
        cmocka_unit_test(the_lower_rank_joins_first_wherever_it_stands),
        cmocka_unit_test(a_stale_pair_is_not_joined),
        cmocka_unit_test(a_word_that_is_a_token_is_taken_whole_where_the_name_says_so),
        cmocka_unit_test(of_equal_scores_the_leftmost_pair_joins),
        cmocka_unit_test(the_higher_score_joins_first),
        cmocka_unit_test(what_is_no_token_becomes_bytes),
        cmocka_unit_test(broken_utf8_is_no_error),
        cmocka_unit_test(a_zero_byte_is_text),
        cmocka_unit_test(no_text_has_no_ids),
        cmocka_unit_test(a_blank_goes_in_front_of_the_text_and_behind_specials),
        cmocka_unit_test(text_of_users_never_becomes_a_control_token),
        cmocka_unit_test(sentencepiece_scores_do_not_make_control_tokens_either),
        cmocka_unit_test(a_token_that_ends_turns_is_control_whatever_its_type),
        cmocka_unit_test(harmony_messages_end_without_ending_the_answer),
        cmocka_unit_test(user_defined_tokens_are_cut_out_everywhere_longest_first),
        cmocka_unit_test(a_shorter_token_is_found_where_the_longer_one_may_not),
        cmocka_unit_test(text_joins_across_the_border_of_a_literal),
        cmocka_unit_test(blanks_behind_phi_3_tokens_vanish),
        cmocka_unit_test(the_file_says_what_goes_round_a_text),
        cmocka_unit_test(an_id_outside_the_vocabulary_is_none),
        cmocka_unit_test(control_tokens_are_hidden_in_what_is_generated),
        cmocka_unit_test(the_blank_in_front_is_taken_off_again),
        cmocka_unit_test(blanks_before_punctuation_go_where_the_name_says_so),
        cmocka_unit_test(a_long_word_takes_no_quadratic_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
