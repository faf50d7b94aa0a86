/* tests/test_engine_sampler.c - options, the samplers, text pieces. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "engine/sampler/sampler.h"

static const struct kernels *ref(void)
{
    struct err e = {0};
    const struct kernels *k = kernels_pick("ref", &e);
    assert_non_null(k);
    return k;
}

static tok_id choose(struct eng_options *o, const float *logits, int n, const tok_id *hist,
                     int n_hist, uint64_t seed, uint64_t counter)
{
    struct smp s;
    struct err e = {0};
    float copy[64];
    tok_id t = -1;
    memcpy(copy, logits, (size_t)n * sizeof *copy);
    assert_int_equal(smp_init(&s, o, seed, n, &e), 0);
    assert_int_equal(smp_choose(&s, ref(), copy, hist, n_hist, counter, &t, &e), 0);
    smp_free(&s);
    return t;
}

static void greedy_ties_go_to_the_lowest_id(void **state)
{
    (void)state;
    struct eng_options o;
    eng_options_init(&o);
    o.temperature = 0;
    const float l[5] = {1, 3, 2, 3, 0};
    assert_int_equal(choose(&o, l, 5, NULL, 0, 1, 0), 1);
}

static void a_nan_is_an_error(void **state)
{
    (void)state;
    struct eng_options o;
    eng_options_init(&o);
    struct smp s;
    struct err e = {0};
    float l[3] = {1, NAN, 2};
    tok_id t;
    assert_int_equal(smp_init(&s, &o, 1, 3, &e), 0);
    assert_int_equal(smp_choose(&s, ref(), l, NULL, 0, 0, &t, &e), -1);
    assert_int_equal(e.code, ERR_BUG);
    smp_free(&s);
}

static void an_infinite_best_is_an_error(void **state)
{
    (void)state;
    const float infinite[2][3] = {{1, INFINITY, 2}, {-INFINITY, -INFINITY, -INFINITY}};
    for (int i = 0; i < 4; i++) {
        struct eng_options o;
        eng_options_init(&o);
        o.temperature = i < 2 ? 0.0f : 1.0f;
        struct smp s;
        struct err e = {0};
        float l[3];
        tok_id t;
        memcpy(l, infinite[i % 2], sizeof l);
        assert_int_equal(smp_init(&s, &o, 1, 3, &e), 0);
        assert_int_equal(smp_choose(&s, ref(), l, NULL, 0, 0, &t, &e), -1);
        assert_non_null(strstr(e.text, "infinite"));
        smp_free(&s);
    }
}

static void the_coldest_draw_is_the_best(void **state)
{
    (void)state;
    struct eng_options o;
    eng_options_init(&o);
    const float l[5] = {1, 300, 2, 299, 0}, below[3] = {-500, -400, -600};
    for (int i = 0; i < 3; i++) {
        o.temperature = (const float[]){1e-40f, 1e-38f, 1e-7f}[i];
        for (uint64_t seed = 0; seed < 20; seed++) {
            assert_int_equal(choose(&o, l, 5, NULL, 0, seed, 0), 1);
            assert_int_equal(choose(&o, below, 3, NULL, 0, seed, 0), 1);
        }
    }
}

static void the_draw_depends_on_seed_and_position_alone(void **state)
{
    (void)state;
    struct eng_options o;
    eng_options_init(&o);
    o.top_k = 0;
    o.top_p = 1;
    o.temperature = 1;
    float l[32] = {0};
    int other = 0, hits[32] = {0};
    for (uint64_t i = 0; i < 3200; i++) {
        const tok_id a = choose(&o, l, 32, NULL, 0, 42, i);
        assert_int_equal(a, choose(&o, l, 32, NULL, 0, 42, i));
        other += a != choose(&o, l, 32, NULL, 0, 43, i);
        hits[a]++;
    }
    assert_true(other > 2900); /* 31 of 32 expected */
    for (int i = 0; i < 32; i++)
        assert_in_range(hits[i], 60, 140); /* 100 expected, 4 sigma = 40 */
}

static void truncating_samplers_keep_what_they_say(void **state)
{
    (void)state;
    /* p = 0.5, 0.25, 0.125, 0.125 */
    const float l[4] = {logf(4), logf(2), 0, 0};
    struct eng_options o;
    for (int which = 0; which < 4; which++) {
        eng_options_init(&o);
        o.top_k = 0;
        o.top_p = 1;
        o.temperature = 1;
        int most = 3;
        if (which == 0) {
            o.top_k = 2;
            most = 1;
        } else if (which == 1) {
            o.top_p = 0.7f;
            most = 1;
        } else if (which == 2) {
            o.min_p = 0.3f;
            most = 1;
        }
        int seen = 0;
        for (uint64_t i = 0; i < 400; i++) {
            const tok_id t = choose(&o, l, 4, NULL, 0, 9, i);
            seen = t > seen ? t : seen;
        }
        assert_int_equal(seen, most);
    }
}

static void penalties_lower_what_was_said(void **state)
{
    (void)state;
    struct eng_options o;
    eng_options_init(&o);
    o.temperature = 0;
    const float l[3] = {2, 1.9f, -1};
    const tok_id said[2] = {0, 0};
    assert_int_equal(choose(&o, l, 3, said, 2, 1, 2), 0);
    o.repeat_penalty = 1.1f;
    assert_int_equal(choose(&o, l, 3, said, 2, 1, 2), 1);
    o.repeat_penalty = 1;
    o.frequency_penalty = 0.06f; /* twice: 0.12 */
    assert_int_equal(choose(&o, l, 3, said, 2, 1, 2), 1);
    o.repeat_last_n = 1; /* once: 0.06 */
    assert_int_equal(choose(&o, l, 3, said, 2, 1, 2), 0);
    o.frequency_penalty = 0;
    o.presence_penalty = 0.2f;
    assert_int_equal(choose(&o, l, 3, said, 2, 1, 2), 1);
    o.repeat_last_n = 0;
    assert_int_equal(choose(&o, l, 3, said, 2, 1, 2), 0);
    /* A negative logit is multiplied, so that it sinks too. */
    const float m[2] = {-1, -1.05f};
    o.repeat_last_n = 64;
    o.presence_penalty = 0;
    o.repeat_penalty = 1.1f;
    const tok_id zero[1] = {0};
    assert_int_equal(choose(&o, m, 2, zero, 1, 1, 1), 1);
}

static void options_are_checked_by_name_and_type(void **state)
{
    (void)state;
    static const struct { const char *json, *err; } cases[] = {
        {"{\"num_ctx\": \"x\"}", "option \"num_ctx\" must be of type integer"},
        {"{\"temperature\": \"hot\"}", "option \"temperature\" must be of type float32"},
        {"{\"use_mmap\": 1}", "option \"use_mmap\" must be of type boolean"},
        {"{\"stop\": 5}", "option \"stop\" must be of type array"},
        {"{\"stop\": [5]}", "option \"stop\" must be of an array of strings"},
        {"{\"top_k\": 1e300}", "option \"top_k\" is"},
        {"{\"repeat_penalty\": 0}", "option \"repeat_penalty\" is 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct eng_options o;
        struct err e = {0};
        eng_options_init(&o);
        json_t *j = json_loads(cases[i].json, 0, NULL);
        assert_int_equal(eng_options_apply(&o, j, &e), -1);
        assert_non_null(strstr(e.text, cases[i].err));
        json_decref(j);
        eng_options_free(&o);
    }
    struct eng_options o;
    struct err e = {0};
    eng_options_init(&o);
    json_t *j = json_loads("{\"num_predict\": 2.9, \"temperature\": 1, \"stop\": \"END\", \"nope\": 1,"
                           " \"mirostat\": 2, \"top_p\": null}", 0, NULL);
    assert_int_equal(eng_options_apply(&o, j, &e), 0);
    assert_int_equal(o.num_predict, 2);
    assert_true(o.temperature == 1.0f && o.top_p == 0.9f);
    assert_string_equal(o.stops[0], "END");
    assert_int_equal(json_array_size(o.warnings), 1);
    json_decref(j);
    eng_options_free(&o);
}

/* Feed `text` in pieces of `step` bytes; what came out, and was it stopped? */
static char *through(const char *text, size_t step, char *const *stops, int n_stops, bool *stopped)
{
    struct piece p = {.stops = stops, .n_stops = n_stops};
    struct buf out = {0};
    for (size_t i = 0, n = strlen(text); i < n; i += step)
        piece_add(&p, text + i, step < n - i ? step : n - i, &out);
    *stopped = p.stopped;
    if (p.stopped) /* it is told which one */
        assert_non_null(strstr(text, p.stop));
    piece_end(&p, &out);
    piece_free(&p);
    assert_true(text_is_utf8(out.p ? out.p : "", out.n));
    char *s = strdup(out.p ? out.p : "");
    buf_free(&out);
    return s;
}

static void pieces_are_the_same_in_any_chunking(void **state)
{
    (void)state;
    char *stops[] = {(char[]){"STOP"}, (char[]){"STAY"}};
    static const struct { const char *in, *out; bool stopped; } cases[] = {
        {"gr\xc3\xbc\xc3\x9f dich \xf0\x9f\x98\x80!", "gr\xc3\xbc\xc3\x9f dich \xf0\x9f\x98\x80!", false},
        {"abc STOP def", "abc ", true},
        {"abc STO def STA", "abc STO def STA", false},
        {"SSTOP", "S", true},
        {"STASTAY", "STA", true},
        {"broken \xff\xfe end", "broken \xef\xbf\xbd\xef\xbf\xbd end", false},
        {"cut \xf0\x9f\x98", "cut ", false},
        {"\xed\xa0\x80x", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdx", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t step = 1; step < 6; step++) {
            bool stopped;
            char *s = through(cases[i].in, step, stops, 2, &stopped);
            assert_string_equal(s, cases[i].out);
            assert_int_equal(stopped, cases[i].stopped);
            free(s);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_ties_go_to_the_lowest_id),
        cmocka_unit_test(a_nan_is_an_error),
        cmocka_unit_test(an_infinite_best_is_an_error),
        cmocka_unit_test(the_coldest_draw_is_the_best),
        cmocka_unit_test(the_draw_depends_on_seed_and_position_alone),
        cmocka_unit_test(truncating_samplers_keep_what_they_say),
        cmocka_unit_test(penalties_lower_what_was_said),
        cmocka_unit_test(options_are_checked_by_name_and_type),
        cmocka_unit_test(pieces_are_the_same_in_any_chunking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
