/* tests/test_engine_draft.c - what is guessed from a text, and how many guesses a step takes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "engine/sched/draft.h"
#include "engine/sched/worth.h"

/* ---- guesses ----------------------------------------------------------------------------------
 */

static tok_id out[DRAFT_MOST];
static float chance[DRAFT_MOST];

static void what_followed_the_same_text_is_guessed(void **state)
{
    (void)state;
    struct draft d = {0};
    const tok_id ids[] = {5, 1, 2, 3, 40, 41, 42, 43, 9, 1, 2, 3};
    draft_learn(&d, ids, 12, 12);
    assert_int_equal(draft_guess(&d, ids, 12, 4, out, chance), 4);
    const tok_id want[] = {40, 41, 42, 43};
    assert_memory_equal(out, want, sizeof want);
    for (int i = 1; i < 4; i++)
        assert_true(chance[i] > 0 && chance[i] < chance[i - 1]);
    draft_free(&d);
}

static void most_text_that_agrees_wins_over_the_newest(void **state)
{
    (void)state;
    struct draft d = {0};
    const tok_id ids[] = {7, 8, 1, 2, 3, 50, 51, 9, 1, 2, 3, 60, 61, 7, 8, 1, 2, 3};
    draft_learn(&d, ids, 18, 18);
    draft_guess(&d, ids, 18, 2, out, chance);
    assert_int_equal(out[0], 50);
    draft_free(&d);
}

static void new_text_gives_no_guess(void **state)
{
    (void)state;
    struct draft d = {0};
    tok_id ids[500];
    for (int i = 0; i < 500; i++)
        ids[i] = i;
    for (int n = 100; n <= 500; n++) {
        draft_learn(&d, ids, n, 100);
        assert_int_equal(draft_guess(&d, ids, n, 8, out, chance), 0);
    }
    draft_free(&d);
}

static void a_period_goes_on(void **state)
{
    (void)state;
    struct draft d = {0};
    const tok_id ids[] = {1, 2, 3, 1, 2, 3, 1, 2};
    draft_learn(&d, ids, 8, 8);
    assert_int_equal(draft_guess(&d, ids, 8, 7, out, chance), 7);
    const tok_id want[] = {3, 1, 2, 3, 1, 2, 3};
    assert_memory_equal(out, want, sizeof want);
    draft_free(&d);
}

/* Token by token against all at once, over a text that grows the index several times; repeats are
 * found across all of it. */
static void told_in_pieces_the_guess_is_the_same(void **state)
{
    (void)state;
    enum { N = 5000 };
    static tok_id ids[N];
    uint32_t x = 1;
    for (int i = 0; i < N; i++) {
        x = x * 1664525u + 1013904223u;
        ids[i] = i < 2000 ? (tok_id)(x >> 8) % 30000 : ids[i - 2000 + (int)(i / 2500)];
    }
    struct draft a = {0};
    draft_learn(&a, ids, 1000, 1000);
    int right = 0;
    for (int n = 1001; n < N; n++) {
        draft_learn(&a, ids, n, 1000);
        if (draft_guess(&a, ids, n, 1, out, chance))
            right += out[0] == ids[n];
    }
    assert_true(right > N - 2000 - 20);
    struct draft b = {0};
    draft_learn(&b, ids, N - 1, 1000);
    const tok_id first = out[0];
    draft_guess(&b, ids, N - 1, 1, out, chance);
    assert_int_equal(out[0], first);
    assert_true(a.src == b.src && a.match == b.match);
    draft_free(&a);
    draft_free(&b);
}

static void trust_follows_what_came(void **state)
{
    (void)state;
    struct draft d = {0};
    tok_id ids[900];
    /* "1 2 3" again and again, each time with another word behind. */
    for (int i = 0; i < 900; i++)
        ids[i] = i % 4 < 3 ? 1 + i % 4 : 1000 + i;
    for (int n = 1; n <= 899; n++)
        draft_learn(&d, ids, n, 0);
    assert_int_equal(899 % 4, 3);
    assert_int_equal(draft_guess(&d, ids, 899, 1, out, chance), 1);
    assert_true(chance[0] < 0.1f);
    draft_forget(&d); /* the tokens moved; what was learned stays */
    draft_learn(&d, ids, 7, 0);
    assert_int_equal(draft_guess(&d, ids, 7, 1, out, chance), 1);
    assert_int_equal(out[0], 1003);
    assert_true(chance[0] < 0.2f);
    draft_free(&d);
}

/* ---- what pays ----------------------------------------------------------------------------------
 */

static struct worth costs(double extra) /* of a row, in steps of one row */
{
    struct worth w = {0};
    for (int k = 0; k < 3; k++)
        for (int r = 1; r <= WORTH_ROWS; r++)
            worth_learn(&w, r, 1000 * (1 + extra * (r - 1)));
    return w;
}

static int taken(const struct worth *w, int rows, double p)
{
    struct bid b = {.chance = chance, .n = 8};
    double all = 1;
    for (int i = 0; i < 8; i++)
        chance[i] = (float)(all *= p);
    worth_choose(w, rows, &b, 1);
    return b.take;
}

static void rows_are_taken_while_they_pay(void **state)
{
    (void)state;
    const struct worth cheap = costs(0.05), dear = costs(1), fair = costs(0.3);
    assert_int_equal(taken(&cheap, 1, 0.95), 8);
    assert_int_equal(taken(&cheap, 1, 0.02), 0);
    assert_int_equal(taken(&dear, 1, 0.95), 0);
    const int some = taken(&fair, 1, 0.8);
    assert_true(some > 0 && some < 8);
    /* Others wait for it: only what is nearly free. */
    assert_int_equal(taken(&fair, 4, 0.95), 0);
    assert_true(taken(&cheap, 4, 0.95) <= 2);
}

static void nothing_is_taken_before_costs_are_known(void **state)
{
    (void)state;
    struct worth w = {0};
    assert_int_equal(taken(&w, 1, 0.99), 0);
    worth_learn(&w, 1, 1000);
    worth_learn(&w, 1, 1000);
    assert_true(taken(&w, 1, 0.99) > 0); /* not seen is thought cheap */
    for (int r = 2; r <= WORTH_ROWS; r++)
        worth_learn(&w, r, 1000.0 * r);
    assert_int_equal(taken(&w, 1, 0.99), 0);
    for (int i = 0; i < 300; i++) /* and looked at again after a while */
        worth_learn(&w, 1, 1000);
    assert_true(taken(&w, 1, 0.99) > 0);
}

static void the_likeliest_sequence_gets_the_rows(void **state)
{
    (void)state;
    const struct worth w = costs(0.02);
    const float low[] = {0.5f, 0.2f}, high[] = {0.9f, 0.8f, 0.7f};
    struct bid b[3] = {{.chance = low, .n = 2}, {.chance = high, .n = 3}, {.n = 0}};
    worth_choose(&w, 3, b, 3);
    assert_true(b[1].take >= b[0].take && b[1].take > 0);
    assert_int_equal(b[2].take, 0);
    struct bid all = {.chance = low, .n = 2, .always = true};
    const struct worth none = {0};
    worth_choose(&none, 1, &all, 1);
    assert_int_equal(all.take, 2);
    worth_choose(&none, WORTH_ROWS, &all, 1);
    assert_int_equal(all.take, 0);
}

/* ---- both together ------------------------------------------------------------------------------
 */

/* The time of ids[k..n) token by token, over the time with drafts, when steps cost what they cost
 * on an AVX2 machine (engine/sched/worth.c), give or take a fifth. */
static double speed_up(const tok_id *ids, int k, int n)
{
    static const double cost[17] = {0,   1,   1.09, 1.24, 1.46, 2.02, 2.04, 3,  4.56,
                                    4.8, 5.1, 5.3,  5.6,  6,    6.2,  6.5,  6.8};
    struct draft d = {0};
    struct worth w = {0};
    uint32_t x = 7;
    double plain = 0, all = 0;
    for (int i = k; i < n;) {
        draft_learn(&d, ids, i, k);
        struct bid b = {.chance = chance};
        b.n = draft_guess(&d, ids, i, n - i - 1 < 15 ? n - i - 1 : 15, out, chance);
        worth_choose(&w, 1, &b, 1);
        x = x * 1664525u + 1013904223u;
        const double ns = cost[1 + b.take] * (1000 + (x >> 24));
        worth_learn(&w, 1 + b.take, ns);
        all += ns;
        int came = 0;
        while (came < b.take && ids[i + came] == out[came])
            came++;
        plain += (1 + came) * (1000 + 128.0);
        i += 1 + came;
    }
    draft_free(&d);
    return plain / all;
}

static void copies_win_and_prose_loses_nothing(void **state)
{
    (void)state;
    enum { N = 3000 };
    static tok_id ids[N];
    uint32_t x = 1;
    /* Words of a small language, each followed by one of many: pairs come again, sense does not. */
    for (int i = 0; i < N; i++) {
        x = x * 1664525u + 1013904223u;
        const int prev = i ? ids[i - 1] : 0, r = (int)(x >> 16) % 100;
        ids[i] = r < 50 ? r % 10 : (prev * 31 + r * 7) % 4000;
    }
    assert_true(speed_up(ids, 300, N) > 0.98);
    /* A copy with one word in 40 changed. */
    for (int i = N / 2; i < N; i++)
        ids[i] = i % 40 ? ids[i - N / 2] : 5000 + i;
    assert_true(speed_up(ids, N / 2, N) > 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_followed_the_same_text_is_guessed),
        cmocka_unit_test(most_text_that_agrees_wins_over_the_newest),
        cmocka_unit_test(new_text_gives_no_guess),
        cmocka_unit_test(a_period_goes_on),
        cmocka_unit_test(told_in_pieces_the_guess_is_the_same),
        cmocka_unit_test(trust_follows_what_came),
        cmocka_unit_test(rows_are_taken_while_they_pay),
        cmocka_unit_test(nothing_is_taken_before_costs_are_known),
        cmocka_unit_test(the_likeliest_sequence_gets_the_rows),
        cmocka_unit_test(copies_win_and_prose_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
