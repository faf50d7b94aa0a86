/* tests/test_engine_sched.c - the server's level: submitted requests against tiny models. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "engine/sched/sched.h"
#include "tests/asking.h"

/* ---- the claims --------------------------------------------------------------------------- */

static void alone_and_among_seven_others_the_same_text(void **state)
{
    (void)state;
    struct eng_options o = options(40, 1);
    struct eng *g = engine(1, 1);
    struct answer *alone = ask(g, 0, "the cat sat on", &o, (struct eng_request){0});
    eng_free(g);
    assert_false(alone->failed);
    assert_int_equal(alone->stats.eval_count <= 40, 1);

    g = engine(2, 0);
    struct answer *a[8];
    struct eng_job *j[8];
    struct eng_options other[8];
    char prompts[8][64];
    for (int i = 0; i < 8; i++) {
        a[i] = answer_new();
        other[i] = options(30 + i, i % 2 ? 0.0f : 0.9f);
        other[i].seed = i;
        snprintf(prompts[i], sizeof prompts[i], "another prompt, number %d of them all", i);
        j[i] = i == 4 ? submit(g, a[i], 0, "the cat sat on", &o, (struct eng_request){0})
                      : submit(g, a[i], 0, prompts[i], &other[i], (struct eng_request){0});
    }
    for (int i = 0; i < 8; i++) {
        answer_wait(a[i]);
        eng_job_release(j[i]);
        assert_false(a[i]->failed);
    }
    assert_int_equal(a[4]->text.n, alone->text.n);
    assert_memory_equal(a[4]->text.p ? a[4]->text.p : "", alone->text.p ? alone->text.p : "",
                        alone->text.n);
    for (int i = 0; i < 8; i++)
        answer_free(a[i]);
    answer_free(alone);
    eng_free(g);
}

static void statistics_and_context_tell_what_was_done(void **state)
{
    (void)state;
    struct eng *g = engine(1, 0);
    struct eng_options o = options(5, 0);
    struct answer *a = ask(g, 0, "zzzzz", &o, (struct eng_request){.want_context = true});
    assert_false(a->failed);
    assert_int_equal(a->stats.prompt_count, 6); /* <s> and five bytes */
    assert_int_equal(a->stats.eval_count, 5);
    assert_int_equal(a->stats.reason, ENG_LENGTH);
    assert_true(a->stats.eval_ns > 0 && a->stats.prompt_ns > 0 && a->stats.load_ns > 0);
    assert_int_equal(a->stats.n_context, 10); /* no BOS in it */
    /* Going on from the context is the same as one long generation. */
    struct answer *b = ask(
        g, 0, "", &o, (struct eng_request){.context = a->context, .n_context = a->stats.n_context});
    struct eng_options ten = options(10, 0);
    struct answer *c = ask(g, 0, "zzzzz", &ten, (struct eng_request){0});
    assert_int_equal(a->text.n + b->text.n, c->text.n);
    assert_memory_equal(c->text.p, a->text.p, a->text.n);
    assert_memory_equal(c->text.p + a->text.n, b->text.p, b->text.n);
    answer_free(a);
    answer_free(b);
    answer_free(c);
    eng_free(g);
}

static void a_job_says_when_its_prompt_is_laid_out(void **state)
{
    (void)state;
    struct eng *g = engine(1, 0);
    struct eng_options o = options(5, 0);
    struct answer *a = ask(g, 0, "zzzzz", &o, (struct eng_request){0});
    assert_int_equal(a->n_started, 1);
    assert_int_equal(a->at_start.prompt_count, 6);
    assert_int_equal(a->at_start.eval_count, 0);
    answer_free(a);
    /* What never gets that far does not say it. */
    o.num_ctx = 4;
    struct answer *b = ask(g, 0, "zzzzz", &o, (struct eng_request){.no_truncate = true});
    assert_true(b->failed);
    assert_int_equal(b->n_started, 0);
    answer_free(b);
    eng_free(g);
}

static void the_stop_text_that_ended_it_is_told(void **state)
{
    (void)state;
    struct eng *g = engine(1, 0);
    struct eng_options o = options(24, 0);
    struct answer *whole = ask(g, 0, "zzzzz", &o, (struct eng_request){0});
    assert_string_equal(whole->stop, "");
    size_t at = 0; /* of a whole character: some of its tokens are no text */
    while (at < whole->text.n && (unsigned char)whole->text.p[at] >= 0x80)
        at++;
    assert_true(at < whole->text.n);
    char *cut = strndup(whole->text.p + at, 1);
    o.stops[0] = strdup("never said");
    o.stops[1] = cut;
    o.n_stops = 2;
    struct answer *a = ask(g, 0, "zzzzz", &o, (struct eng_request){0});
    assert_int_equal(a->stats.reason, ENG_STOP);
    assert_string_equal(a->stop, cut);
    assert_null(memchr(a->text.p ? a->text.p : "", cut[0], a->text.n));
    answer_free(whole);
    answer_free(a);
    eng_options_free(&o);
    eng_free(g);
}

/* Without the weights, as many tokens as the request has. */
static void tokens_of_a_prompt_are_counted_without_a_load(void **state)
{
    (void)state;
    struct err e = {0};
    struct eng *g = engine(1, 0);
    struct eng_text *t = NULL;
    struct buf prompt = {0};
    size_t n = 0, n_loaded = 0;
    struct eng_loaded *loaded = NULL;
    json_t *chat = json_pack("{s:[{s:s, s:s}, {s:s, s:s}]}", "messages", "role", "system",
                             "content", "Be kind.", "role", "user", "content", "hello");
    for (int model = 0; model < 2; model++) {
        assert_int_equal(eng_text_open(g, asking_model(model), &t, &e), 0);
        assert_int_equal(eng_text_prompt(t, chat, NULL, false, &prompt, &n, &e), 0);
        assert_non_null(strstr(prompt.p, "hello"));
        assert_int_equal(eng_ps(g, &loaded, &n_loaded, &e), 0);
        assert_int_equal(n_loaded, model); /* of the turn before */
        struct eng_options o = options(1, 0);
        struct answer *a = ask(g, model, NULL, &o, (struct eng_request){.chat = chat});
        assert_false(a->failed);
        assert_int_equal(a->stats.prompt_count, n);
        answer_free(a);
        buf_free(&prompt);
        free(loaded);
        eng_text_close(t);
    }
    json_decref(chat);
    eng_free(g);
}

/* Of a loaded model the tokenizer is there already; it outlives the model. */
static void a_text_has_the_tokenizer_of_the_loaded_model(void **state)
{
    (void)state;
    struct err e = {0};
    struct eng *g = engine(1, 0);
    struct eng_options o = options(1, 0);
    struct eng_text *t = NULL;
    answer_free(ask(g, 1, "hello", &o, (struct eng_request){.kind = ENG_GENERATE}));
    assert_int_equal(eng_text_open(g, asking_model(1), &t, &e), 0);
    assert_ptr_equal(eng_text_vocab(t), g->slots->m->vocab);
    eng_drain(g, INT64_MAX);
    assert_int_equal(tok_n_vocab(eng_text_vocab(t)), 320);
    eng_text_close(t);
    eng_free(g);
}

/* The template of the file has no word of tools. */
static void tools_are_told_in_a_system_text(void **state)
{
    (void)state;
    struct err e = {0};
    struct eng *g = engine(1, 0);
    struct eng_text *t = NULL;
    struct buf prompt = {0};
    json_t *chat = json_pack("{s:[{s:s, s:s}, {s:s, s:s}], s:[{s:{s:s}}]}", "messages", "role",
                             "system", "content", "Be kind.", "role", "user", "content", "hello",
                             "tools", "function", "name", "get_it");
    assert_int_equal(eng_text_open(g, asking_model(1), &t, &e), 0);
    for (int i = 0; i < 2; i++) { /* with the client's system text, and without */
        assert_int_equal(eng_text_prompt(t, chat, NULL, false, &prompt, NULL, &e), 0);
        const char *told = strstr(prompt.p, "\"get_it\""), *said = strstr(prompt.p, "Be kind.\n\n");
        assert_true(told && told < strstr(prompt.p, "hello"));
        assert_true(i ? !said : said && said < told);
        buf_free(&prompt);
        json_array_remove(json_object_get(chat, "messages"), 0);
    }
    json_decref(chat);
    eng_text_close(t);
    eng_free(g);
}

static void num_predict_zero_reads_the_prompt_only(void **state)
{
    (void)state;
    struct eng *g = engine(1, 0);
    struct eng_options o = options(0, 0);
    struct answer *a = ask(g, 0, "zzzzz", &o, (struct eng_request){0});
    assert_false(a->failed);
    assert_int_equal(a->stats.eval_count, 0);
    assert_int_equal(a->stats.prompt_count, 6);
    assert_int_equal(a->stats.reason, ENG_LENGTH);
    answer_free(a);
    eng_free(g);
}

static void a_long_prompt_is_cut_and_said(void **state)
{
    (void)state;
    struct eng *g = engine(1, 0);
    char prompt[189] = {0};
    memset(prompt, 'x', 188); /* 189 tokens with <s> */
    struct eng_options o = options(2, 0);
    o.num_ctx = 128;
    struct answer *a = ask(g, 0, prompt, &o, (struct eng_request){0});
    assert_int_equal(a->stats.prompt_count, 67); /* keep 5: 128 - (128 - 5) / 2 */
    assert_int_equal(a->stats.prompt_truncated, 189 - 67);
    answer_free(a);
    a = ask(g, 0, prompt, &o, (struct eng_request){.no_truncate = true});
    assert_true(a->failed);
    assert_string_equal(a->e.text, "request (189 tokens) exceeds the available context size "
                                   "(128 tokens), try increasing it");
    answer_free(a);
    eng_free(g);
}

static void a_full_context_shifts_or_ends(void **state)
{
    (void)state;
    struct eng *g = engine(1, 0);
    struct eng_options o = options(60, 1);
    o.num_ctx = 16;
    struct answer *a = ask(g, 0, "zzzzz", &o, (struct eng_request){.no_shift = true});
    assert_false(a->failed);
    if (a->stats.reason == ENG_LENGTH)
        assert_int_equal(a->stats.eval_count, 16 - 6 + 1);
    answer_free(a);
    struct eng_options long_o = options(60, 1);
    long_o.num_ctx = 16;
    long_o.top_k = 0;
    a = ask(g, 0, "zzzzz", &long_o, (struct eng_request){0});
    assert_false(a->failed);
    if (a->stats.eval_count > 16)
        assert_true(a->stats.context_shifts > 0);
    answer_free(a);
    eng_free(g);
}

static void conversations_go_through_the_models_template(void **state)
{
    (void)state;
    struct eng *g = engine(1, 0);
    struct eng_options o = options(3, 0);
    json_t *chat =
        json_pack("{s:[{s:s, s:s}]}", "messages", "role", "user", "content", "hi <|im_end|>");
    struct answer *a =
        ask(g, 1, NULL, &o, (struct eng_request){.chat = chat, .want_context = true});
    assert_false(a->failed);
    /* <s> <|im_start|> user\n hi <|im_end|> as text; then the template's own <|im_end|> \n
     * <|im_start|> assistant\n. Text is bytes here, but for "er" and "an". */
    assert_int_equal(a->stats.prompt_count, 1 + 1 + 4 + 13 + 1 + 1 + 1 + 9);
    int n_end = 0;
    for (size_t i = 0; i < a->stats.n_context - 3; i++)
        n_end += a->context[i] == 260;
    assert_int_equal(n_end, 1);
    answer_free(a);
    json_decref(chat);
    eng_free(g);
}

static void dropped_messages_are_counted(void **state)
{
    (void)state;
    struct eng *g = engine(1, 0);
    struct eng_options o = options(1, 0);
    o.num_ctx = 100;
    json_t *list = json_array();
    json_array_append_new(list, json_pack("{s:s, s:s}", "role", "system", "content", "be short"));
    for (int i = 0; i < 9; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "role", i % 2 ? "assistant" : "user",
                                              "content", "some words"));
    json_t *chat = json_pack("{s:o}", "messages", list);
    struct answer *a = ask(g, 1, NULL, &o, (struct eng_request){.chat = chat});
    assert_false(a->failed);
    assert_true(a->stats.prompt_truncated > 0);
    assert_true(a->stats.prompt_count <= 100);
    answer_free(a);
    a = ask(g, 1, NULL, &o, (struct eng_request){.chat = chat, .no_truncate = true});
    assert_true(a->failed);
    assert_int_equal(a->e.code, ERR_CONTEXT);
    answer_free(a);
    json_decref(chat);
    eng_free(g);
}

static void a_cancelled_job_ends_soon_and_others_go_on(void **state)
{
    (void)state;
    struct eng *g = engine(1, 0);
    struct eng_options o = options(100000, 1);
    struct eng_options few = options(20, 0);
    o.top_k = 0;
    struct answer *a = answer_new();
    struct eng_job *j = submit(g, a, 0, "go on for ever", &o, (struct eng_request){0});
    struct answer *b = ask(g, 0, "short", &few, (struct eng_request){0});
    assert_false(b->failed);
    eng_job_cancel(j);
    answer_wait(a);
    eng_job_release(j);
    if (a->failed) /* it may have met an end token before */
        assert_int_equal(a->e.code, ERR_CANCELLED);
    answer_free(a);
    answer_free(b);
    eng_free(g);
}

static void models_load_list_and_unload(void **state)
{
    (void)state;
    struct eng *g = engine(1, 0);
    struct eng_loaded *rows;
    size_t n;
    struct err e = {0};
    struct eng_options o = options(1, 0);
    answer_free(ask(g, 0, "x", &o, (struct eng_request){0}));
    assert_int_equal(eng_ps(g, &rows, &n, &e), 0);
    assert_int_equal(n, 1);
    assert_string_equal(rows[0].name, "tiny:latest");
    assert_true(rows[0].size_bytes > 100000);
    free(rows);
    eng_unload(g, &asking_model(0)->model_layer->digest);
    for (int i = 0; i < 500; i++) { /* it goes within its own time, not ours */
        assert_int_equal(eng_ps(g, &rows, &n, &e), 0);
        free(rows);
        if (!n)
            break;
        usleep(10000);
    }
    assert_int_equal(n, 0);
    eng_free(g);
}

static void more_models_at_once_than_may_be_loaded_take_turns(void **state)
{
    (void)state;
    struct eng *g = engine_with((struct eng_config){.n_threads = 1, .max_loaded = 1});
    struct eng_options o = options(2, 0);
    struct answer *a[6];
    struct eng_job *j[6];
    for (int i = 0; i < 6; i++) {
        a[i] = answer_new();
        j[i] = submit(g, a[i], i % 3, "x", &o, (struct eng_request){0});
    }
    for (int i = 0; i < 6; i++) {
        answer_wait(a[i]);
        assert_int_equal(a[i]->failed, i % 3 == 2); /* the broken one */
        eng_job_release(j[i]);
        answer_free(a[i]);
    }
    eng_free(g);
}

static void a_broken_model_fails_its_requests_with_the_reason(void **state)
{
    (void)state;
    struct eng *g = engine(1, 0);
    struct eng_options o = options(1, 0);
    for (int i = 0; i < 2; i++) {
        struct answer *a = ask(g, 2, "x", &o, (struct eng_request){0});
        assert_true(a->failed);
        assert_non_null(strstr(a->e.text, "\"strange\" is not supported"));
        answer_free(a);
    }
    eng_free(g);
}

static void draining_ends_what_runs(void **state)
{
    (void)state;
    struct eng *g = engine(1, 0);
    struct eng_options o = options(100000, 1);
    o.top_k = 0;
    struct answer *a = answer_new();
    struct eng_job *j = submit(g, a, 0, "go on", &o, (struct eng_request){0});
    eng_drain(g, time_mono_ns() + 50000000);
    answer_wait(a);
    struct eng_job *late = NULL;
    struct err e = {0};
    const struct eng_sink sink = answer_sink(a);
    const struct eng_request r = {.kind = ENG_LOAD, .model = asking_model(0)};
    assert_int_equal(eng_submit(g, &r, &sink, &late, &e), -1);
    assert_int_equal(e.code, ERR_BUSY);
    eng_job_release(j);
    answer_free(a);
    eng_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone_and_among_seven_others_the_same_text),
        cmocka_unit_test(statistics_and_context_tell_what_was_done),
        cmocka_unit_test(a_job_says_when_its_prompt_is_laid_out),
        cmocka_unit_test(the_stop_text_that_ended_it_is_told),
        cmocka_unit_test(tokens_of_a_prompt_are_counted_without_a_load),
        cmocka_unit_test(a_text_has_the_tokenizer_of_the_loaded_model),
        cmocka_unit_test(tools_are_told_in_a_system_text),
        cmocka_unit_test(num_predict_zero_reads_the_prompt_only),
        cmocka_unit_test(a_long_prompt_is_cut_and_said),
        cmocka_unit_test(a_full_context_shifts_or_ends),
        cmocka_unit_test(conversations_go_through_the_models_template),
        cmocka_unit_test(dropped_messages_are_counted),
        cmocka_unit_test(a_cancelled_job_ends_soon_and_others_go_on),
        cmocka_unit_test(models_load_list_and_unload),
        cmocka_unit_test(more_models_at_once_than_may_be_loaded_take_turns),
        cmocka_unit_test(a_broken_model_fails_its_requests_with_the_reason),
        cmocka_unit_test(draining_ends_what_runs),
    };
    return cmocka_run_group_tests(tests, asking_open, asking_close);
}
