/* tests/test_base.c - the ground: errors, sizes, arenas, growing bytes, text (gguf/base.h). */
#include "tests/forge.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- errors -------------------------------------------------------------------------- */

static void err_set_fills_and_returns_minus_one(void **s)
{
    struct err e = {0};
    assert_int_equal(err_set(&e, ERR_LIMIT, "%d of %s", 3, "x"), -1);
    assert_int_equal(e.code, ERR_LIMIT);
    assert_string_equal(e.text, "3 of x");
}

static void err_set_takes_no_err(void **s)
{
    assert_int_equal(err_set(NULL, ERR_LIMIT, "x"), -1);
}

static void err_set_shows_control_bytes(void **s)
{
    struct err e = {0};
    err_set(&e, ERR_INPUT, "%s", "a\nb\x1b[2J\x7f\tz");
    assert_string_equal(e.text, "a\\x0ab\\x1b[2J\\x7f\\x09z");
}

static void err_set_shows_c1_controls_and_broken_utf8(void **s)
{
    struct err e = {0};
    err_set(&e, ERR_INPUT, "%s", "\xc2\x9b"); /* U+009B, a control sequence introducer */
    assert_string_equal(e.text, "\\xc2\\x9b");
    err_set(&e, ERR_INPUT, "%s", "\xff\xc3");
    assert_string_equal(e.text, "\\xff\\xc3");
}

static void err_set_keeps_utf8(void **s)
{
    struct err e = {0};
    err_set(&e, ERR_INPUT, "%s", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    assert_string_equal(e.text, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
}

static void err_set_cuts_at_a_character(void **s)
{
    struct err e = {0};
    char text[1500];
    for (size_t i = 0; i < sizeof text - 1; i++)
        text[i] = "\xe2\x82\xac"[i % 3];
    text[sizeof text - 1] = 0;
    err_set(&e, ERR_INPUT, "%s", text);
    const size_t n = strlen(e.text);
    assert_true(n > 500 && n < sizeof e.text);
    assert_true(text_is_utf8(e.text, n));
}

static void err_set_cuts_long_text_of_controls(void **s)
{
    struct err e = {0};
    char text[5000];
    memset(text, 1, sizeof text - 1);
    text[sizeof text - 1] = 0;
    err_set(&e, ERR_INPUT, "%s", text);
    assert_int_equal(strlen(e.text) % 4, 0);
    assert_true(strlen(e.text) > 500);
}

/* ---- sizes ------------------------------------------------------------------------------ */

static void sizes_that_wrap_are_found(void **s)
{
    size_t x = 0;
    assert_int_equal(size_mul(&x, SIZE_MAX / 2, 2), 0);
    assert_int_equal(size_mul(&x, SIZE_MAX / 2 + 1, 2), -1);
    assert_int_equal(size_add(&x, SIZE_MAX, 0), 0);
    assert_int_equal(size_add(&x, SIZE_MAX, 1), -1);
}

/* ---- arenas ------------------------------------------------------------------------------- */

static void arena_gives_zeroed_aligned_memory(void **s)
{
    struct arena a = {0};
    for (size_t i = 0; i < 2000; i++) {
        const size_t align = (size_t)1 << i % 7, n = i * 7 % 300 + 1;
        char *p = arena_alloc(&a, n, align);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % align, 0);
        for (size_t k = 0; k < n; k++)
            assert_int_equal(p[k], 0);
        memset(p, 0x5a, n);
    }
    arena_free(&a);
    arena_free(&a);
}

static void arena_takes_large_blocks(void **s)
{
    struct arena a = {0};
    char *small = arena_alloc(&a, 10, 1);
    char *large = arena_alloc(&a, 1 << 20, 64);
    assert_non_null(large);
    memset(large, 1, 1 << 20);
    small[9] = 2;
    assert_int_equal(large[0], 1);
    assert_true(a.used_bytes >= (1 << 20) + 10);
    arena_free(&a);
}

static void arena_refuses_what_cannot_be(void **s)
{
    struct arena a = {0};
    assert_null(arena_alloc(&a, SIZE_MAX, 8));
    assert_null(arena_alloc(&a, SIZE_MAX - 64, 8));
    assert_null(arena_copy(&a, "x", SIZE_MAX));
    assert_non_null(arena_alloc(&a, 1, 1));
    arena_free(&a);
}

static void arena_keeps_its_high_water_mark(void **s)
{
    struct arena a = {0};
    arena_alloc(&a, 1000, 8);
    arena_free(&a);
    arena_alloc(&a, 10, 8);
    assert_int_equal(a.used_bytes, 10);
    assert_int_equal(a.peak_bytes, 1000);
    arena_free(&a);
}

static void arena_copies_end_with_nul(void **s)
{
    struct arena a = {0};
    assert_string_equal(arena_copy(&a, "abcdef", 3), "abc");
    assert_string_equal(arena_copy(&a, NULL, 0), "");
    arena_free(&a);
}

static void big_blocks_are_zeroed_and_aligned(void **s)
{
    const size_t n = (5 << 20) + 123;
    unsigned char *p = big_alloc(n);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % (2 << 20), 0);
    assert_int_equal(p[0] | p[n - 1], 0);
    memset(p, 1, n);
    big_free(p, n);
    assert_null(big_alloc(0));
    assert_null(big_alloc(SIZE_MAX));
    big_free(NULL, 10);
}

/* ---- growing bytes -------------------------------------------------------------------------- */

static void buf_grows_and_ends_with_nul(void **s)
{
    struct buf b = {0};
    for (int i = 0; i < 1000; i++)
        buf_puts(&b, "abc");
    assert_int_equal(b.n, 3000);
    assert_int_equal(strlen(b.p), 3000);
    assert_false(b.failed);
    buf_free(&b);
    assert_null(b.p);
    assert_int_equal(b.n, 0);
}

static void buf_printf_writes_long_text(void **s)
{
    struct buf b = {0};
    char text[2000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    buf_printf(&b, "%d ", 5);
    buf_printf(&b, "%s", text);
    assert_int_equal(b.n, 2 + 1999);
    assert_memory_equal(b.p, "5 xxx", 5);
    buf_free(&b);
}

static void buf_remembers_that_it_failed(void **s)
{
    struct buf b = {0};
    buf_puts(&b, "abc");
    buf_add(&b, "x", SIZE_MAX - 2);
    assert_true(b.failed);
    buf_puts(&b, "def");
    assert_int_equal(b.n, 3);
    buf_free(&b);
    assert_false(b.failed);
}

/* ---- text -------------------------------------------------------------------------------------- */

static void utf8_is_strict(void **s)
{
    static const struct {
        const char *p;
        bool is_right;
    } rows[] = {
        {"", true}, {"abc", true}, {"\xc2\x80", true}, {"\xdf\xbf", true},
        {"\xe0\xa0\x80", true}, {"\xed\x9f\xbf", true}, {"\xee\x80\x80", true},
        {"\xf0\x90\x80\x80", true}, {"\xf4\x8f\xbf\xbf", true},
        {"\x80", false}, {"\xc0\x80", false}, {"\xc1\xbf", false}, {"\xc2", false},
        {"\xe0\x9f\xbf", false}, {"\xed\xa0\x80", false}, {"\xed\xbf\xbf", false},
        {"\xf0\x8f\xbf\xbf", false}, {"\xf4\x90\x80\x80", false}, {"\xf5\x80\x80\x80", false},
        {"\xff", false}, {"\xe2\x82", false}, {"\xf0\x9f\x98", false}, {"\xe2\x28\xa1", false},
        {"a\xc3", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (text_is_utf8(rows[i].p, strlen(rows[i].p)) != rows[i].is_right)
            fail_msg("row %zu", i);
    assert_true(text_is_utf8("a\0b", 3));
}

static void every_character_survives_both_ways(void **s)
{
    for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
        if (cp >= 0xd800 && cp < 0xe000)
            continue;
        char out[4];
        uint32_t back = 0;
        bool bad = true;
        const size_t n = text_encode(cp, out);
        if (text_decode(out, n, &back, &bad) != n || bad || back != cp)
            fail_msg("U+%04X", cp);
    }
}

static void broken_bytes_are_taken_one_by_one(void **s)
{
    uint32_t cp = 0;
    bool bad = false;
    assert_int_equal(text_decode("\xe2\x82", 2, &cp, &bad), 1);
    assert_true(bad);
    assert_int_equal(cp, 0xfffd);
    assert_int_equal(text_decode("\xed\xa0\x80", 3, &cp, &bad), 1);
    assert_true(bad);
}

static void decode_reads_no_byte_past_its_end(void **s)
{
    char *one = malloc(1); /* the address sanitizer watches what follows */
    uint32_t cp;
    bool bad;
    for (int c = 0; c < 256; c++) {
        *one = (char)c;
        assert_int_equal(text_decode(one, 1, &cp, &bad), 1);
        assert_int_equal(bad, c >= 0x80);
    }
    free(one);
}

/* ---- the log, time ---------------------------------------------------------------------------- */

/* What `say` writes on stderr. */
static void heard(void (*say)(void), char *line, size_t cap)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const int saved = dup(2);
    dup2(ends[1], 2);
    say();
    dup2(saved, 2);
    close(saved);
    close(ends[1]);
    const ssize_t n = read(ends[0], line, cap - 1);
    close(ends[0]);
    assert_true(n > 0);
    line[n] = 0;
    assert_ptr_equal(strchr(line, '\n'), line + n - 1);
}

static void say_line(void)
{
    log_line(LOG_ERROR, "model \"%s\" is wrong", "a\n\x1b[2J");
    log_line(LOG_DEBUG, "not shown at the default level");
}

static void say_event(void)
{
    const struct log_field f[] = {
        {"id", "a b\"\n", 0}, {"plain", "x", 0}, {"whole", NULL, 123456789}, {"ms", NULL, 1.5}};
    log_event(LOG_WARN, "request", f, sizeof f / sizeof *f);
    log_event(LOG_DEBUG, "hidden", f, 1);
}

static void say_long(void)
{
    char text[3000];
    memset(text, '"', sizeof text);
    memcpy(text + sizeof text - 4, "\xe2\x82\xac", 4);
    const struct log_field f[] = {
        {"a", text, 0}, {"b", text, 0}, {"c", text, 0}, {"d", text, 0}, {"e", text, 0},
        {"f", text, 0}, {"g", text, 0}, {"h", text, 0}, {"i", text, 0}, {"j", text, 0}};
    log_event(LOG_WARN, "long", f, sizeof f / sizeof *f);
}

static void log_lines_are_one_line_and_clean(void **s)
{
    char line[32768];
    heard(say_line, line, sizeof line);
    assert_has(line, "Z error model \"a\\x0a\\x1b[2J\" is wrong\n");
    heard(say_event, line, sizeof line);
    assert_has(line, "Z warn request id=\"a b\\\"\\\\x0a\" plain=x whole=123456789 ms=1.5\n");
    heard(say_long, line, sizeof line);
}

static void log_lines_can_be_json(void **s)
{
    char line[32768];
    log_set_json(true);
    heard(say_line, line, sizeof line);
    assert_has(line, "\"level\":\"error\",\"message\":\"model \\\"a\\\\x0a\\\\x1b[2J\\\" is wrong\"}\n");
    heard(say_event, line, sizeof line);
    assert_has(line, "\"level\":\"warn\",\"event\":\"request\",\"id\":\"a b\\\"\\\\x0a\","
                     "\"plain\":\"x\",\"whole\":123456789,\"ms\":1.5}\n");
    log_set_json(false);
}

static void time_goes_on(void **s)
{
    const int64_t a = time_mono_ns(), b = time_mono_ns();
    assert_true(a > 0 && b >= a);
    assert_true(time_real_ns() > INT64_C(1600000000) * 1000000000);
}

/* ---- types ----------------------------------------------------------------------------------------- */

static void type_table_agrees_with_the_block_structs(void **s)
{
    assert_int_equal(gguf_type_info(TYPE_Q4_K)->block_bytes, sizeof(struct block_q4_K));
    assert_int_equal(gguf_type_info(TYPE_Q6_K)->block_bytes, sizeof(struct block_q6_K));
    assert_int_equal(gguf_type_info(TYPE_Q8_0)->block_elems, 32);
    assert_string_equal(gguf_type_info(TYPE_BF16)->name, "BF16");
    assert_int_equal(gguf_type_info(TYPE_Q4_2)->status, TYPE_REMOVED);
    assert_null(gguf_type_info(TYPE_COUNT));
    assert_null(gguf_type_info(UINT32_MAX));
    for (uint32_t i = 0; i < TYPE_COUNT; i++) {
        const struct gguf_type_info *t = gguf_type_info(i);
        if (t && t->status != TYPE_REMOVED)
            assert_true(t->block_elems && t->block_bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err_set_fills_and_returns_minus_one),
        cmocka_unit_test(err_set_takes_no_err),
        cmocka_unit_test(err_set_shows_control_bytes),
        cmocka_unit_test(err_set_shows_c1_controls_and_broken_utf8),
        cmocka_unit_test(err_set_keeps_utf8),
        cmocka_unit_test(err_set_cuts_at_a_character),
        cmocka_unit_test(err_set_cuts_long_text_of_controls),
        cmocka_unit_test(sizes_that_wrap_are_found),
        cmocka_unit_test(arena_gives_zeroed_aligned_memory),
        cmocka_unit_test(arena_takes_large_blocks),
        cmocka_unit_test(arena_refuses_what_cannot_be),
        cmocka_unit_test(arena_keeps_its_high_water_mark),
        cmocka_unit_test(arena_copies_end_with_nul),
        cmocka_unit_test(big_blocks_are_zeroed_and_aligned),
        cmocka_unit_test(buf_grows_and_ends_with_nul),
        cmocka_unit_test(buf_printf_writes_long_text),
        cmocka_unit_test(buf_remembers_that_it_failed),
        cmocka_unit_test(utf8_is_strict),
        cmocka_unit_test(every_character_survives_both_ways),
        cmocka_unit_test(broken_bytes_are_taken_one_by_one),
        cmocka_unit_test(decode_reads_no_byte_past_its_end),
        cmocka_unit_test(log_lines_are_one_line_and_clean),
        cmocka_unit_test(log_lines_can_be_json),
        cmocka_unit_test(time_goes_on),
        cmocka_unit_test(type_table_agrees_with_the_block_structs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
