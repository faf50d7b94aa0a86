/* tests/test_tools_human.c - sizes, times, durations, addresses at their border values.
 *
 * The expected texts were measured on the reference (shared/spec/cli.md 1.3, 1.5). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "tools/address.h"
#include "tools/human.h"
#include "tools/text.h"

#define SECOND INT64_C(1000000000)
#define HOUR (3600 * SECOND)

static void sizes_change_unit_at_powers_of_1000(void **state)
{
    (void)state;
    static const struct {
        int64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},           {512, "512 B"},          {999, "999 B"},
        {1000, "1 KB"},       {1500, "1.5 KB"},        {1999, "2.0 KB"},
        {9999, "10.0 KB"},    {10000, "10 KB"},        {1999999, "2.0 MB"},
        {807000000, "807 MB"}, {2019393189, "2.0 GB"}, {2000000000, "2 GB"},
        {INT64_C(1000000000000), "1 TB"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[HUMAN_TEXT];
        human_size(cases[i].bytes, out);
        assert_string_equal(out, cases[i].text);
    }
}

static void times_are_told_by_whole_units(void **state)
{
    (void)state;
    static const struct {
        int64_t ago_ns;
        const char *text;
    } cases[] = {
        {0, "Less than a second ago"},
        {SECOND - 1, "Less than a second ago"},
        {SECOND, "1 second ago"},
        {59 * SECOND, "59 seconds ago"},
        {60 * SECOND, "About a minute ago"},
        {119 * SECOND, "About a minute ago"},
        {120 * SECOND, "2 minutes ago"},
        {3599 * SECOND, "59 minutes ago"},
        {5399 * SECOND, "About an hour ago"},
        {5401 * SECOND, "2 hours ago"},
        {47 * HOUR, "47 hours ago"},
        {47 * HOUR + 2160 * SECOND, "2 days ago"},
        {336 * HOUR, "2 weeks ago"},
        {1441 * HOUR, "2 months ago"},
        {17519 * HOUR, "24 months ago"},
        {17521 * HOUR, "2 years ago"},
        {-4 * 60 * SECOND, "4 minutes from now"},
        {-30 * 8760 * HOUR, "Forever"},
    };
    const int64_t now = INT64_C(1700000000) * SECOND;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[HUMAN_TEXT];
        human_time(now - cases[i].ago_ns, now, out);
        assert_string_equal(out, cases[i].text);
    }
}

static void durations_are_in_gos_form(void **state)
{
    (void)state;
    static const struct {
        int64_t ns;
        const char *text;
    } cases[] = {
        {0, "0s"},
        {12, "12ns"},
        {1500, "1.5\u00b5s"},
        {45100000, "45.1ms"},
        {INT64_C(1234567000), "1.234567s"},
        {INT64_C(62500000000), "1m2.5s"},
        {HOUR, "1h0m0s"},
        {-SECOND, "-1s"},
        {INT64_C(4648158584), "4.648158584s"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[HUMAN_TEXT];
        human_duration(cases[i].ns, out);
        assert_string_equal(out, cases[i].text);
    }
}

static void duration_texts_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ns;
    } cases[] = {
        {"5m", 300 * SECOND}, {"1h30m", 5400 * SECOND}, {"90", 90 * SECOND}, {"-1", -SECOND},
        {"1.5s", 3 * SECOND / 2}, {"10ms", SECOND / 100}, {"0", 0},
    };
    int64_t ns;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(human_parse_duration(cases[i].text, &ns));
        assert_int_equal(ns, cases[i].ns);
    }
    assert_false(human_parse_duration("", &ns));
    assert_false(human_parse_duration("5 m", &ns));
    assert_false(human_parse_duration("m", &ns));
    assert_false(human_parse_duration("5x", &ns));
}

static void time_stamps_are_read_with_their_zone(void **state)
{
    (void)state;
    int64_t ns;
    assert_true(human_parse_time("1970-01-01T00:00:01Z", &ns));
    assert_int_equal(ns, SECOND);
    assert_true(human_parse_time("2026-01-02T03:04:05.678901234Z", &ns));
    assert_int_equal(ns, INT64_C(1767323045678901234));
    assert_true(human_parse_time("2026-01-02T05:04:05.5+02:00", &ns));
    assert_int_equal(ns, INT64_C(1767323045500000000));
    assert_true(human_parse_time("2318-01-02T05:04:05Z", &ns));
    assert_int_equal(ns, INT64_MAX);
    assert_false(human_parse_time("yesterday", &ns));
    assert_false(human_parse_time("2026-13-02T05:04:05Z", &ns));
}

static void addresses_get_their_defaults(void **state)
{
    (void)state;
    static const struct {
        const char *text, *scheme, *host;
        int port;
        const char *path;
    } cases[] = {
        {NULL, "http", "127.0.0.1", 11434, ""},
        {"", "http", "127.0.0.1", 11434, ""},
        {" \"0.0.0.0\" ", "http", "0.0.0.0", 11434, ""},
        {":56789", "http", "127.0.0.1", 56789, ""},
        {"h", "http", "h", 11434, ""},
        {"http://h", "http", "h", 80, ""},
        {"https://h/", "https", "h", 443, ""},
        {"https://h:1/a/b/", "https", "h", 1, "/a/b"},
        {"[::1]:8", "http", "::1", 8, ""},
        {"::1", "http", "::1", 11434, ""},
        {"h:65536", "http", "h", 11434, ""},
        {"h:-1", "http", "h", 11434, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct address a;
        address_parse(cases[i].text, &a);
        assert_string_equal(a.scheme, cases[i].scheme);
        assert_string_equal(a.host, cases[i].host);
        assert_int_equal(a.port, cases[i].port);
        assert_string_equal(a.path, cases[i].path);
    }
}

static void tables_count_columns_not_bytes(void **state)
{
    (void)state;
    struct table t = {.n_cols = 3};
    const char *cells[] = {"NAME", "ID", "SIZE", "\u6f22\u5b57", "1", "2 B",
                           "e\u0301tude", "22", ""};
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++)
        table_add(&t, cells[i]);
    char text[256] = {0};
    FILE *f = tmpfile();
    assert_non_null(f);
    table_print(&t, f, "  ");
    rewind(f);
    assert_true(fread(text, 1, sizeof text - 1, f) > 0);
    fclose(f);
    table_free(&t);
    assert_string_equal(text, "  NAME     ID    SIZE\n"
                              "  \u6f22\u5b57     1     2 B\n"
                              "  e\u0301tude    22\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_change_unit_at_powers_of_1000),
        cmocka_unit_test(times_are_told_by_whole_units),
        cmocka_unit_test(durations_are_in_gos_form),
        cmocka_unit_test(duration_texts_are_read),
        cmocka_unit_test(time_stamps_are_read_with_their_zone),
        cmocka_unit_test(addresses_get_their_defaults),
        cmocka_unit_test(tables_count_columns_not_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
