/* tests/test_engine_context.c - what happens where the context ends (spec/api.md 8.4, 9), and where
 * a request's own time does. */
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

enum { TINY, CHAT, CALM = 3 };

/* n tokens for the tiny models: bytes without a word of their vocabulary; <s> comes in front. */
static char *bytes_of(int n)
{
    char *t = calloc(1, (size_t)n + 1);
    assert_non_null(t);
    for (int i = 0; i < n; i++)
        t[i] = "xyzqjkvw"[i * 7 % 8];
    return t;
}

/* ---- 9.2: a prompt that is cut --------------------------------------------------------------- */

static int max(int a, int b)
{
    return a > b ? a : b;
}

static int min(int a, int b)
{
    return a < b ? a : b;
}

static void the_cut_prompt_is_as_long_as_the_formula_says(void **state)
{
    (void)state;
    struct eng *g = engine(1, 0);
    static const int keeps[] = {4, 0, -1, 1, 37, 1000};
    for (int n_ctx = 4; n_ctx < 200; n_ctx += 31)
        for (int k = 0; k < 6; k++)
            for (int p = n_ctx - 2; p < n_ctx + 40; p += p < n_ctx + 2 ? 1 : 17) {
                if (p < 2)
                    continue;
                char *text = bytes_of(p - 1); /* P = p with <s> */
                struct eng_options o = options(1, 0);
                o.num_ctx = n_ctx;
                o.num_keep = keeps[k];
                struct answer *a = ask(g, TINY, text, &o, (struct eng_request){0});
                assert_false(a->failed);
                int want = p;
                if (p > n_ctx - 1) {
                    const int keep = keeps[k] < 0 ? n_ctx - 1 : min(keeps[k] + 1, n_ctx - 1);
                    want = n_ctx - max((n_ctx - keep) / 2, 1);
                }
                assert_int_equal(a->stats.prompt_count, want);
                assert_int_equal(a->stats.prompt_truncated, p - want);
                answer_free(a);
                free(text);
            }
    eng_free(g);
}

static void the_cut_prompt_is_its_beginning_and_its_end(void **state)
{
    (void)state;
    struct eng *g = engine(1, 0);
    struct eng_options o = options(12, 0), roomy = options(12, 0);
    o.num_ctx = 64;
    char *text = bytes_of(150), cut[64] = {0};
    struct answer *a = ask(g, TINY, text, &o, (struct eng_request){.want_context = true});
    const int n = 64 - (64 - 5) / 2; /* <s> and 4 bytes, then the last n - 5 */
    memcpy(cut, text, 4);
    memcpy(cut + 4, text + 150 - (n - 5), (size_t)(n - 5));
    struct answer *b = ask(g, TINY, cut, &roomy, (struct eng_request){0});
    assert_int_equal(b->stats.prompt_count, n);
    assert_int_equal(a->text.n, b->text.n);
    assert_memory_equal(a->text.p, b->text.p, a->text.n);
    /* The context holds the prompt as it came. */
    assert_int_equal(a->stats.n_context, 150 + a->stats.eval_count);
    answer_free(a);
    answer_free(b);
    free(text);
    eng_free(g);
}

static void without_truncation_or_shift_it_is_an_error_that_says_both_numbers(void **state)
{
    (void)state;
    struct eng *g = engine(1, 0);
    for (int no_shift = 0; no_shift < 2; no_shift++)
        for (int p = 30; p < 36; p++) {
            char *text = bytes_of(p - 1), want[128];
            struct eng_options o = options(1, 0);
            o.num_ctx = 32;
            struct answer *a =
                ask(g, TINY, text, &o,
                    (struct eng_request){.no_truncate = !no_shift, .no_shift = no_shift});
            assert_int_equal(a->failed, p > 31);
            if (a->failed) {
                assert_int_equal(a->e.code, ERR_CONTEXT);
                snprintf(want, sizeof want,
                         "request (%d tokens) exceeds the available context size (32 tokens), "
                         "try increasing it",
                         p);
                assert_string_equal(a->e.text, want);
                assert_int_equal(a->text.n, 0);
            }
            answer_free(a);
            free(text);
        }
    eng_free(g);
}

/* ---- 9.1: messages that are dropped ------------------------------------------------------------
 */

static const char *role_of(const json_t *m)
{
    return json_string_value(json_object_get(m, "role"));
}

/* The rule, word for word: drop the oldest, system messages stay in front; an answer without its
 * question goes too, and a tool's without its call. */
static json_t *drop(const json_t *messages, size_t n)
{
    json_t *out = json_array();
    const size_t all = json_array_size(messages);
    while (n && n < all - 1) {
        const char *r = role_of(json_array_get(messages, n));
        if (strcmp(r, "tool") && strcmp(r, "assistant"))
            break;
        n++;
    }
    for (size_t i = 0; i < all; i++) {
        json_t *m = json_array_get(messages, i);
        if (i >= n || !strcmp(role_of(m), "system"))
            json_array_append(out, m);
    }
    return out;
}

static struct answer *chat(struct eng *g, const json_t *messages, int n_ctx, bool no_truncate)
{
    struct eng_options o = options(6, 0);
    o.num_ctx = n_ctx;
    json_t *body = json_pack("{s:O}", "messages", messages);
    struct answer *a =
        ask(g, CHAT, NULL, &o, (struct eng_request){.chat = body, .no_truncate = no_truncate});
    json_decref(body);
    return a;
}

static void the_fewest_oldest_messages_go(void **state)
{
    (void)state;
    struct eng *g = engine(1, 0);
    static const char *const roles[][9] = {
        {"system", "user", "assistant", "user", "assistant", "user", "assistant", "user", NULL},
        {"user", "assistant", "tool", "assistant", "user", "system", "assistant", "user", NULL},
        {"user", "user", "user", "tool", "tool", "user", "assistant", NULL},
        {"user", "assistant", "tool", "tool", NULL},
        {"system", "user", NULL},
    };
    for (size_t list = 0; list < sizeof roles / sizeof *roles; list++) {
        json_t *messages = json_array();
        for (int i = 0; roles[list][i]; i++) {
            char text[40];
            snprintf(text, sizeof text, "%.*s%d", 5 + i * 11 % 17, "kqkqkqkqkqkqkqkqkqkqkqkq", i);
            json_array_append_new(messages,
                                  json_pack("{s:s, s:s}", "role", roles[list][i], "content", text));
        }
        struct answer *whole = chat(g, messages, 500, true);
        assert_false(whole->failed);
        const int full = whole->stats.prompt_count;
        for (int n_ctx = 10; n_ctx<full + 3; n_ctx += n_ctx> full - 6 ? 1 : 9) {
            struct answer *a = chat(g, messages, n_ctx, false), *b = NULL;
            assert_false(a->failed);
            size_t n = 0;
            json_t *left = NULL;
            for (;; n++) { /* word for word: render, count, drop one more */
                json_decref(left);
                left = drop(messages, n);
                if (b)
                    answer_free(b);
                b = chat(g, left, 500, true);
                /* no BOS in this count */
                if (b->stats.prompt_count - 1 <= n_ctx || n == json_array_size(messages) - 1)
                    break;
            }
            answer_free(b);
            b = chat(g, left, n_ctx, false); /* what is left may still be cut by 9.2 */
            assert_int_equal(a->stats.prompt_count, b->stats.prompt_count);
            assert_int_equal(a->stats.prompt_truncated, full - a->stats.prompt_count);
            assert_int_equal(a->text.n, b->text.n);
            if (a->text.n)
                assert_memory_equal(a->text.p, b->text.p, a->text.n);
            assert_true(n_ctx > full || a->stats.prompt_truncated > 0);
            json_decref(left);
            answer_free(a);
            answer_free(b);
        }
        answer_free(whole);
        json_decref(messages);
    }
    eng_free(g);
}

/* ---- 9.4, 8.4: generating to the end of the context and past it ---------------------------------
 */

static void a_full_context_ends_or_shifts_and_counts(void **state)
{
    (void)state;
    struct eng *g = engine(1, 0);
    for (int n_ctx = 16; n_ctx < 90; n_ctx += 24) {
        struct eng_options o = options(-1, 0);
        o.num_ctx = n_ctx;
        struct answer *a = ask(g, CALM, "zzzzz", &o, (struct eng_request){.no_shift = true});
        assert_false(a->failed);
        assert_int_equal(a->stats.reason, ENG_LENGTH);
        assert_int_equal(a->stats.eval_count, n_ctx - 6 + 1); /* the last one needs no position */
        assert_int_equal(a->stats.context_shifts, 0);
        struct answer *first = a;
        for (int negative = -1; negative >= -2; negative--) {
            o.num_predict = negative;
            a = ask(g, CALM, "zzzzz", &o, (struct eng_request){0});
            assert_int_equal(a->stats.reason, ENG_LENGTH);
            assert_int_equal(a->stats.eval_count, 10 * n_ctx);
            /* Each shift drops half of what is not kept: <s> and 4. */
            const int drop = (n_ctx + 1 - 5) / 2;
            assert_int_equal(a->stats.context_shifts, (10 * n_ctx + 6 - n_ctx - 1) / drop + 1);
            assert_true(a->text.n >= first->text.n);
            assert_memory_equal(a->text.p, first->text.p, first->text.n);
            answer_free(a);
        }
        answer_free(first);
    }
    eng_free(g);
}

/* Going on from the context that an answer gave, whatever the pieces, is one long answer. */
static void context_goes_on_exactly(void **state)
{
    (void)state;
    struct eng *g = engine(1, 0);
    struct eng_options o = options(150, 0);
    o.repeat_penalty = 1.1f;
    struct answer *whole = ask(g, CALM, "qkzx", &o, (struct eng_request){.want_context = true});
    assert_int_equal(whole->stats.eval_count, 150);
    static const int pieces[] = {1, 2, 61, 30, 3, 53};
    struct answer *last = NULL;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        o.num_predict = pieces[i];
        struct eng_request r = {.want_context = true};
        if (last) {
            r.context = last->context;
            r.n_context = last->stats.n_context;
        }
        struct answer *a = ask(g, CALM, last ? "" : "qkzx", &o, r);
        assert_false(a->failed);
        if (last) {
            assert_memory_equal(a->context, last->context,
                                last->stats.n_context * sizeof *a->context);
            answer_free(last);
        }
        last = a;
    }
    assert_int_equal(last->stats.n_context, whole->stats.n_context);
    assert_memory_equal(last->context, whole->context, whole->stats.n_context * sizeof(tok_id));
    answer_free(last);
    answer_free(whole);
    eng_free(g);
}

/* ---- the request's own time
 * ---------------------------------------------------------------------- */

/* An answer without end that is held after its first text: it keeps its place and waits. */
static struct eng_job *held(struct eng *g, struct answer *a, int deadline_ms)
{
    struct eng_options o = options(-1, 0);
    o.num_ctx = 512;
    o.deadline_ms = deadline_ms;
    struct eng_job *j = submit(g, a, CALM, "zz", &o, (struct eng_request){0});
    for (bool begun = false; !begun; usleep(100)) {
        pthread_mutex_lock(&a->lock);
        begun = a->text.n || a->ended;
        pthread_mutex_unlock(&a->lock);
    }
    eng_job_hold(j, true);
    return j;
}

static void a_deadline_ends_the_answer_or_is_an_error_before_it(void **state)
{
    (void)state;
    struct eng *g = engine(1, 1);
    bool seen = false;
    for (int ms = 200; !seen && ms < 100000; ms *= 2) { /* a slow machine may need more */
        struct answer *a = answer_new();
        struct eng_job *j = held(g, a, ms);
        answer_wait(a);
        seen = !a->failed && a->stats.reason == ENG_DEADLINE;
        if (seen)
            assert_true(a->stats.eval_count > 0 && a->text.n > 0);
        eng_job_release(j);
        answer_free(a);
    }
    assert_true(seen);
    /* The only place is taken: the next one waits in the queue until its time is over. */
    struct answer *a = answer_new();
    struct eng_job *j = held(g, a, 0);
    struct eng_options o = options(5, 0);
    o.deadline_ms = 30;
    struct answer *b = ask(g, CALM, "never", &o, (struct eng_request){0});
    assert_true(b->failed);
    assert_int_equal(b->e.code, ERR_TIMEOUT);
    assert_non_null(strstr(b->e.text, "deadline of 30 ms"));
    assert_false(a->ended);
    eng_job_cancel(j);
    answer_wait(a);
    assert_int_equal(a->e.code, ERR_CANCELLED);
    eng_job_release(j);
    answer_free(a);
    answer_free(b);
    eng_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cut_prompt_is_as_long_as_the_formula_says),
        cmocka_unit_test(the_cut_prompt_is_its_beginning_and_its_end),
        cmocka_unit_test(without_truncation_or_shift_it_is_an_error_that_says_both_numbers),
        cmocka_unit_test(the_fewest_oldest_messages_go),
        cmocka_unit_test(a_full_context_ends_or_shifts_and_counts),
        cmocka_unit_test(context_goes_on_exactly),
        cmocka_unit_test(a_deadline_ends_the_answer_or_is_an_error_before_it),
    };
    return cmocka_run_group_tests(tests, asking_open, asking_close);
}
