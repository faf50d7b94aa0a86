/* tests/test_http_text.c - numbers, durations and bodies of the http room, without a socket. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "http/http.h"

static void prints(json_t *v, const char *want)
{
    struct buf b = {0};
    assert_non_null(v);
    http_print_json(&b, v);
    assert_string_equal(b.p, want);
    buf_free(&b);
    json_decref(v);
}

static void reals_have_the_shortest_digits(void **state)
{
    (void)state;
    prints(json_real(0.1), "0.1");
    prints(json_real((double)0.1f), "0.1");
    prints(json_real((double)1e-5f), "0.00001");
    prints(json_real(10000), "10000");
    prints(json_real(-2.5), "-2.5");
    prints(json_real(-0.0), "0");
    prints(json_real(1e-7), "1e-7");
    prints(json_real(1e21), "1e+21");
    prints(json_real(1e20), "100000000000000000000");
    prints(json_real(0.30000000000000004), "0.30000000000000004");
    prints(json_real(1.0 / 3), "0.3333333333333333");
    prints(json_real((double)(1.0f / 3)), "0.33333334");
    prints(json_real(5e-324), "5e-324");
}

static void every_real_reads_back_the_same(void **state)
{
    (void)state;
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < 20000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        double d;
        float f;
        const uint32_t low = (uint32_t)x;
        memcpy(&d, &x, sizeof d);
        memcpy(&f, &low, sizeof f);
        for (int k = 0; k < 2; k++) {
            const double v = k ? (double)f : d;
            struct buf b = {0};
            if (!isfinite(v))
                continue;
            json_t *j = json_real(v);
            http_print_json(&b, j);
            json_decref(j);
            if (k || (double)(float)v == v)
                assert_true(strtof(b.p, NULL) == (float)v);
            else
                assert_true(strtod(b.p, NULL) == v);
            buf_free(&b);
        }
    }
}

static void texts_are_escaped_where_json_needs_it(void **state)
{
    (void)state;
    prints(json_stringn("a\"\\\n\t\x01\0<\u00e9", 10), "\"a\\\"\\\\\\n\\t\\u0001\\u0000<\u00e9\"");
    prints(json_pack("{s:[i,n,b,s]}", "k", 1, 1, ""), "{\"k\":[1,null,true,\"\"]}");
}

static int64_t keep(json_t *v)
{
    int64_t ns = INT64_MIN;
    struct err e = {0};
    assert_int_equal(http_keep_alive(v, &ns, &e), 0);
    json_decref(v);
    return ns;
}

static void durations_in_all_their_shapes(void **state)
{
    (void)state;
    assert_int_equal(keep(json_integer(0)), 0);
    assert_int_equal(keep(json_integer(90)), 90000000000);
    assert_int_equal(keep(json_real(0.5)), 500000000);
    assert_int_equal(keep(json_integer(-1)), -1);
    assert_int_equal(keep(json_string("1h30m")), 5400000000000);
    assert_int_equal(keep(json_string("1.5s")), 1500000000);
    assert_int_equal(keep(json_string("+2us3ns")), 2003);
    assert_int_equal(keep(json_string("-5m")), -1);
    assert_int_equal(keep(json_string("0")), 0);
    assert_int_equal(keep(json_string("-0")), 0);
    assert_int_equal(keep(json_integer(INT64_MAX)), -1);
}

static void bad_durations_say_why(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"", "time: invalid duration \"\""},
        {"abc", "time: invalid duration \"abc\""},
        {"5", "time: missing unit in duration \"5\""},
        {"5d", "time: unknown unit \"d\" in duration \"5d\""},
        {"-", "time: invalid duration \"-\""},
        {"1h x", "time: unknown unit \"h x\" in duration \"1h x\""},
        {".s", "time: invalid duration \".s\""},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *v = json_string(bad[i][0]);
        struct err e = {0};
        int64_t ns;
        assert_int_equal(http_keep_alive(v, &ns, &e), -1);
        assert_string_equal(e.text, bad[i][1]);
        json_decref(v);
    }
}

static void the_environment_also_takes_whole_seconds(void **state)
{
    (void)state;
    int64_t ns = 0;
    assert_int_equal(http_keep_alive_text("60", &ns, NULL), 0);
    assert_int_equal(ns, 60000000000);
    assert_int_equal(http_keep_alive_text("-1", &ns, NULL), 0);
    assert_int_equal(ns, -1);
    assert_int_equal(http_keep_alive_text("5m", &ns, NULL), 0);
    assert_int_equal(ns, 300000000000);
    assert_int_equal(http_keep_alive_text("soon", &ns, NULL), -1);
}

static void check(const char *body, const char *route, enum err_code code, const char *part)
{
    struct err e = {0};
    const int rc = http_check_body(body, strlen(body), route, &e);
    assert_int_equal(rc, code == ERR_NONE ? 0 : -1);
    assert_int_equal(e.code, code);
    if (part && !strstr(e.text, part))
        fail_msg("\"%s\" is not in \"%s\"", part, e.text);
}

static void bodies_are_checked_without_a_model(void **state)
{
    (void)state;
    check("{}", "generate", ERR_NONE, NULL);
    check("null", "chat", ERR_NONE, NULL);
    check("{\"prompt\":\"x\"} and more", "generate", ERR_NONE, NULL);
    check("{\"prompt\":\"\\ud800\"}", "generate", ERR_NONE, NULL);
    check("{\"prompt\":\"\\ud83d\\ude00\"}", "generate", ERR_NONE, NULL);
    check("", "generate", ERR_INPUT, "missing request body");
    check("{\"a\":", "generate", ERR_INPUT, "unexpected EOF");
    check("{\"stream\":1}", "generate", ERR_INPUT, "number into field stream of type boolean");
    check("{\"messages\":[1]}", "chat", ERR_INPUT, "number into field messages of type object");
    check("{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}", "chat",
          ERR_INPUT, "only parts of type text");
    check("{\"format\":[]}", "generate", ERR_INPUT, "invalid format: \"[]\"; expected");
    check("{\"format\":{}}", "generate", ERR_NONE, NULL);
    /* The order in which /v1/messages looks. */
    check("{}", "messages", ERR_INPUT, "model is required");
    check("{\"model\":\"m\"}", "messages", ERR_INPUT, "max_tokens is required");
    check("{\"model\":\"m\"}", "count_tokens", ERR_INPUT, "messages is required");
    check("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", "count_tokens",
          ERR_NONE, NULL);
    check("{\"model\":\"m\"}", "responses", ERR_NONE, NULL);
    check("{\"model\":\"m\",\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"x\"}]}]}", "responses",
          ERR_INPUT, "input[0]: unknown content type: x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reals_have_the_shortest_digits),
        cmocka_unit_test(every_real_reads_back_the_same),
        cmocka_unit_test(texts_are_escaped_where_json_needs_it),
        cmocka_unit_test(durations_in_all_their_shapes),
        cmocka_unit_test(bad_durations_say_why),
        cmocka_unit_test(the_environment_also_takes_whole_seconds),
        cmocka_unit_test(bodies_are_checked_without_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
