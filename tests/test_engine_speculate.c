/* tests/test_engine_speculate.c - drafts change the time and nothing else.
 *
 * Every claim is an equality: the same requests to an engine that drafts wherever it can, one that
 * drafts where it pays, and one that never does. The calm model's greedy text goes round in a
 * circle, so that most drafts come true; sampled, and of the wild model, most are wrong. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "tests/asking.h"

static struct eng *drafting(enum eng_speculate how, int n_threads)
{
    return engine_with((struct eng_config){.n_threads = n_threads, .speculate = how});
}

static void assert_same(const struct answer *a, const struct answer *b)
{
    assert_int_equal(a->failed, b->failed);
    assert_int_equal(a->e.code, b->e.code);
    assert_int_equal(a->text.n, b->text.n);
    if (a->text.n)
        assert_memory_equal(a->text.p, b->text.p, a->text.n);
    const struct eng_stats *s = &a->stats, *t = &b->stats;
    assert_int_equal(s->reason, t->reason);
    assert_int_equal(s->prompt_count, t->prompt_count);
    assert_int_equal(s->eval_count, t->eval_count);
    assert_int_equal(s->context_shifts, t->context_shifts);
    assert_int_equal(s->n_context, t->n_context);
    if (s->n_context)
        assert_memory_equal(a->context, b->context, s->n_context * sizeof *a->context);
}

enum { WILD = 1, CALM = 3 };

struct tally {
    int drafted, accepted, requests;
};

static void add_to(struct tally *t, const struct answer *a)
{
    t->drafted += a->stats.draft_count;
    t->accepted += a->stats.draft_accepted;
    t->requests++;
    assert_true(a->stats.draft_accepted <= a->stats.draft_count);
    assert_true(a->stats.draft_accepted <= a->stats.eval_count);
}

/* The same request to both; what was drafted is added up. */
static void both(struct eng *off, struct eng *on, int model, const char *prompt,
                 const struct eng_options *o, bool no_shift, struct tally *t)
{
    const struct eng_request r = {.no_shift = no_shift, .want_context = true};
    struct answer *a = ask(off, model, prompt, o, r), *b = ask(on, model, prompt, o, r);
    assert_same(a, b);
    assert_int_equal(a->stats.draft_count, 0);
    add_to(t, b);
    answer_free(a);
    answer_free(b);
}

static const char *const prompts[] = {
    "x",
    "the cat sat on the mat, the cat sat on the hat",
    "int a = 1;\nint b = 2;\nint a = 1;\nint b = 2;\nint a = 1;\n",
    "nothing here is said two times",
};
enum { N_PROMPTS = sizeof prompts / sizeof *prompts };

static void greedy_or_sampled_the_answer_is_the_same(void **state)
{
    (void)state;
    struct eng *off = drafting(ENG_SPECULATE_OFF, 1), *on = drafting(ENG_SPECULATE_ON, 1);
    struct eng *pays = drafting(ENG_SPECULATE_AUTO, 2);
    struct tally greedy = {0}, sampled = {0}, automatic = {0};
    for (int seed = 0; seed < 6; seed++)
        for (int i = 0; i < N_PROMPTS; i++)
            for (int kind = 0; kind < 6; kind++) {
                struct eng_options o = options(70, 0);
                o.seed = seed;
                switch (kind) {
                case 0:
                    break;
                case 1:
                    o.repeat_penalty = 1.05f;
                    break;
                case 2:
                    o.temperature = 0.3f;
                    break;
                case 3:
                    o.temperature = 1;
                    o.top_k = 0;
                    o.min_p = 0.05f;
                    break;
                case 4:
                    o.temperature = 0.6f;
                    o.typical_p = 0.7f;
                    o.presence_penalty = 0.5f;
                    break;
                default:
                    o.temperature = 0.5f;
                    o.frequency_penalty = 0.2f;
                    o.repeat_last_n = -1;
                }
                if (kind == 0 && seed > 0)
                    continue;
                both(off, on, i % 2 ? CALM : WILD, prompts[i], &o, false,
                     kind ? &sampled : &greedy);
                if (seed < 1)
                    both(off, pays, i % 2 ? CALM : WILD, prompts[i], &o, false, &automatic);
            }
    print_message("greedy: %d of %d came, sampled: %d of %d, automatic: %d of %d\n",
                  greedy.accepted, greedy.drafted, sampled.accepted, sampled.drafted,
                  automatic.accepted, automatic.drafted);
    assert_true(greedy.accepted > 20 * N_PROMPTS);
    assert_true(sampled.accepted > 0 && sampled.drafted > sampled.accepted);
    eng_free(off);
    eng_free(on);
    eng_free(pays);
}

static void the_last_token_may_lie_inside_a_draft(void **state)
{
    (void)state;
    struct eng *off = drafting(ENG_SPECULATE_OFF, 1), *on = drafting(ENG_SPECULATE_ON, 1);
    struct tally t = {0};
    for (int n = 0; n < 50; n++) {
        struct eng_options o = options(n, 0);
        both(off, on, CALM, prompts[1], &o, false, &t);
    }
    assert_true(t.accepted > 0);
    eng_free(off);
    eng_free(on);
}

static void a_stop_string_may_end_inside_a_draft(void **state)
{
    (void)state;
    struct eng *off = drafting(ENG_SPECULATE_OFF, 1), *on = drafting(ENG_SPECULATE_ON, 1);
    struct eng_options o = options(60, 0);
    struct answer *whole = ask(off, CALM, prompts[1], &o, (struct eng_request){0});
    struct tally t = {0};
    int stopped = 0;
    assert_true(whole->text.n > 20);
    for (size_t at = 0; at + 5 < whole->text.n; at++) { /* any part of the text, also odd ones */
        char stop[2][6] = {0};
        memcpy(stop[0], whole->text.p + at, 5);
        memcpy(stop[1], whole->text.p + at, 2);
        if (strlen(stop[0]) != 5)
            continue;
        struct eng_options s = options(60, 0);
        s.stops[0] = stop[at % 2];
        s.n_stops = 1;
        struct answer *a = ask(off, CALM, prompts[1], &s, (struct eng_request){0});
        stopped += a->stats.reason == ENG_STOP;
        answer_free(a);
        both(off, on, CALM, prompts[1], &s, false, &t);
    }
    assert_true(stopped > 0 && t.accepted > 0);
    answer_free(whole);
    eng_free(off);
    eng_free(on);
}

static void the_context_may_end_inside_a_draft(void **state)
{
    (void)state;
    struct eng *off = drafting(ENG_SPECULATE_OFF, 1), *on = drafting(ENG_SPECULATE_ON, 1);
    struct tally ends = {0}, shifts = {0};
    for (int n_ctx = 8; n_ctx < 80; n_ctx += 3) {
        struct eng_options o = options(120, 0);
        o.num_ctx = n_ctx;
        both(off, on, CALM, "zzzzz", &o, true, &ends);
        both(off, on, CALM, "zzzzz", &o, false, &shifts);
        o.num_keep = n_ctx % 2 ? -1 : 0;
        o.temperature = 0.4f;
        both(off, on, WILD, "zzzzz", &o, false, &shifts);
    }
    assert_true(ends.accepted > 0 && shifts.accepted > 0);
    eng_free(off);
    eng_free(on);
}

static void small_batches_and_a_single_row_limit_a_draft(void **state)
{
    (void)state;
    struct eng *off = drafting(ENG_SPECULATE_OFF, 1), *on = drafting(ENG_SPECULATE_ON, 1);
    for (int rows = 1; rows < 5; rows++) {
        struct tally t = {0};
        struct eng_options o = options(60, 0);
        o.num_batch = rows;
        both(off, on, CALM, prompts[1], &o, false, &t);
        assert_int_equal(t.drafted > 0, rows > 1);
    }
    eng_free(off);
    eng_free(on);
}

enum { MANY = 8 };

static void submit_many(struct eng *g, struct answer **a, struct eng_job **j, int n_predict)
{
    for (int i = 0; i < MANY; i++) {
        struct eng_options o = options(n_predict + i, i % 3 == 2 ? 0.5f : 0);
        o.seed = i;
        a[i] = answer_new();
        j[i] = submit(g, a[i], CALM, prompts[i % N_PROMPTS], &o,
                      (struct eng_request){.want_context = true});
    }
}

/* Many at once against one after the other, with `memory` bytes (0: plenty). */
static void many_at_once(enum eng_speculate how, uint64_t memory, int n_predict, struct tally *t)
{
    struct eng *off = drafting(ENG_SPECULATE_OFF, 1);
    struct eng *on =
        engine_with((struct eng_config){.n_threads = 2, .speculate = how, .memory_bytes = memory});
    struct answer *a[MANY];
    struct eng_job *j[MANY];
    submit_many(on, a, j, n_predict);
    for (int i = 0; i < MANY; i++) {
        struct eng_options o = options(n_predict + i, i % 3 == 2 ? 0.5f : 0);
        o.seed = i;
        struct answer *alone =
            ask(off, CALM, prompts[i % N_PROMPTS], &o, (struct eng_request){.want_context = true});
        answer_wait(a[i]);
        eng_job_release(j[i]);
        assert_same(alone, a[i]);
        add_to(t, a[i]);
        answer_free(alone);
        answer_free(a[i]);
    }
    eng_free(off);
    eng_free(on);
}

static void many_sequences_share_a_step(void **state)
{
    (void)state;
    struct tally t = {0}, pays = {0};
    many_at_once(ENG_SPECULATE_ON, 0, 60, &t);
    assert_true(t.accepted > 0);
    many_at_once(ENG_SPECULATE_AUTO, 0, 60, &pays);
}

/* The least budget that the model loads in: a single page of keys and values is left then. */
static uint64_t least_memory(void)
{
    for (uint64_t bytes = 1 << 20; bytes < 16 << 20; bytes += 8 << 10) {
        struct eng *g = engine_with((struct eng_config){.n_threads = 2, .memory_bytes = bytes});
        struct eng_options o = options(1, 0);
        struct answer *a = ask(g, CALM, "x", &o, (struct eng_request){0});
        const bool loaded = !a->failed;
        answer_free(a);
        eng_free(g);
        if (loaded)
            return bytes;
    }
    fail_msg("the model does not load in 16 MiB");
    return 0;
}

static void pages_may_run_out(void **state)
{
    (void)state;
    /* A page is 64 positions of 2 layers, 2 heads, 16 + 16 halves: 16 KiB. Each sequence wants
     * three or four, all of them have 4 or 7: they take turns, and drafts find no page. */
    const uint64_t least = least_memory(), page = 16 << 10;
    for (uint64_t n = 4; n < 8; n += 3) {
        struct tally t = {0};
        many_at_once(ENG_SPECULATE_ON, least + (n - 1) * page, 160, &t);
        assert_true(t.accepted > 0);
    }
}

static void held_and_let_go_the_text_is_the_same(void **state)
{
    (void)state;
    struct eng *off = drafting(ENG_SPECULATE_OFF, 1), *on = drafting(ENG_SPECULATE_ON, 1);
    struct eng_options o = options(200, 0);
    struct answer *a = ask(off, CALM, prompts[1], &o, (struct eng_request){.want_context = true});
    struct answer *b = answer_new();
    struct eng_job *j =
        submit(on, b, CALM, prompts[1], &o, (struct eng_request){.want_context = true});
    for (int i = 0; i < 10; i++) {
        eng_job_hold(j, i % 2 == 0);
        usleep(1000);
    }
    eng_job_hold(j, false);
    answer_wait(b);
    eng_job_release(j);
    assert_same(a, b);
    answer_free(a);
    answer_free(b);
    eng_free(off);
    eng_free(on);
}

static void cancelled_amid_drafts_the_others_go_on(void **state)
{
    (void)state;
    struct eng *off = drafting(ENG_SPECULATE_OFF, 1), *on = drafting(ENG_SPECULATE_ON, 1);
    struct eng_options o = options(100000, 0), few = options(80, 0);
    for (int i = 0; i < 5; i++) {
        struct answer *a = answer_new();
        struct eng_job *j = submit(on, a, CALM, prompts[1], &o, (struct eng_request){0});
        usleep((useconds_t)(500 * i));
        struct answer *b = answer_new();
        struct eng_job *k = submit(on, b, WILD, prompts[1], &few, (struct eng_request){0});
        eng_job_cancel(j);
        answer_wait(a);
        answer_wait(b);
        struct answer *c = ask(off, WILD, prompts[1], &few, (struct eng_request){0});
        assert_same(c, b);
        if (a->failed) /* it may have met an end token before */
            assert_int_equal(a->e.code, ERR_CANCELLED);
        eng_job_release(j);
        eng_job_release(k);
        answer_free(a);
        answer_free(b);
        answer_free(c);
    }
    eng_free(off);
    eng_free(on);
}

static void a_request_may_say_no_or_yes(void **state)
{
    (void)state;
    struct eng *on = drafting(ENG_SPECULATE_ON, 1);
    struct eng_options o = options(60, 0);
    struct err e = {0};
    json_t *no = json_pack("{s:b}", "speculate", 0), *yes = json_pack("{s:b}", "speculate", 1);
    json_t *wrong = json_pack("{s:s}", "speculate", "on");
    struct answer *a = ask(on, CALM, prompts[1], &o, (struct eng_request){0});
    assert_true(a->stats.draft_accepted > 0);
    assert_int_equal(eng_options_apply(&o, no, &e), 0);
    struct answer *b = ask(on, CALM, prompts[1], &o, (struct eng_request){0});
    assert_int_equal(b->stats.draft_count, 0);
    assert_int_equal(eng_options_apply(&o, yes, &e), 0);
    struct answer *c = ask(on, CALM, prompts[1], &o, (struct eng_request){0});
    assert_true(c->stats.draft_accepted > 0);
    assert_same(a, b);
    assert_same(a, c);
    assert_null(o.warnings);
    assert_int_equal(eng_options_apply(&o, wrong, &e), -1);
    assert_string_equal(e.text, "option \"speculate\" must be of type boolean");
    answer_free(a);
    answer_free(b);
    answer_free(c);
    json_decref(no);
    json_decref(yes);
    json_decref(wrong);
    eng_free(on);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_or_sampled_the_answer_is_the_same),
        cmocka_unit_test(the_last_token_may_lie_inside_a_draft),
        cmocka_unit_test(a_stop_string_may_end_inside_a_draft),
        cmocka_unit_test(the_context_may_end_inside_a_draft),
        cmocka_unit_test(small_batches_and_a_single_row_limit_a_draft),
        cmocka_unit_test(many_sequences_share_a_step),
        cmocka_unit_test(pages_may_run_out),
        cmocka_unit_test(held_and_let_go_the_text_is_the_same),
        cmocka_unit_test(cancelled_amid_drafts_the_others_go_on),
        cmocka_unit_test(a_request_may_say_no_or_yes),
    };
    return cmocka_run_group_tests(tests, asking_open, asking_close);
}
