/* tests/test_store_name.c - the grammar of model names (shared/spec store.md, section 1), as
 * tables. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "engine/store/inside.h"

static const struct {
    const char *in, *host, *ns, *model, *tag, *shortest;
} good[] = {
    {"smol", "registry.ollama.ai", "library", "smol", "latest", "smol:latest"},
    {"smol:q8", "registry.ollama.ai", "library", "smol", "q8", "smol:q8"},
    {"  smol:q8\n", "registry.ollama.ai", "library", "smol", "q8", "smol:q8"},
    {"me/smol", "registry.ollama.ai", "me", "smol", "latest", "me/smol:latest"},
    {"library/smol", "registry.ollama.ai", "library", "smol", "latest", "smol:latest"},
    {"hf.co/u/repo:Q4_K_M", "hf.co", "u", "repo", "Q4_K_M", "hf.co/u/repo:Q4_K_M"},
    {"localhost:5000/a/b:c", "localhost:5000", "a", "b", "c", "localhost:5000/a/b:c"},
    {"http://localhost:5000/a/b", "localhost:5000", "a", "b", "latest",
     "localhost:5000/a/b:latest"},
    {"https://registry.ollama.ai/library/x:1b", "registry.ollama.ai", "library", "x", "1b", "x:1b"},
    {"REGISTRY.ollama.AI/Library/X", "REGISTRY.ollama.AI", "Library", "X", "latest", "X:latest"},
    {"hf.co/library/x", "hf.co", "library", "x", "latest", "hf.co/library/x:latest"},
    {"_a", "registry.ollama.ai", "library", "_a", "latest", "_a:latest"},
    {"a.b-c_d:e.f-g_h", "registry.ollama.ai", "library", "a.b-c_d", "e.f-g_h", "a.b-c_d:e.f-g_h"},
    {"a..b", "registry.ollama.ai", "library", "a..b", "latest", "a..b:latest"},
    {"x:local", "registry.ollama.ai", "library", "x", "latest", "x:latest"},
    {"x:8b:LOCAL", "registry.ollama.ai", "library", "x", "8b", "x:8b"},
    {"0", "registry.ollama.ai", "library", "0", "latest", "0:latest"},
    {"a-b/c-d:e", "registry.ollama.ai", "a-b", "c-d", "e", "a-b/c-d:e"},
};

static const char *const bad[] = {
    ":", "/", "//", "///", ":x", "x:", "/x", "x/", "a//b", "a/b/", "/a/b", "a/b/c/d", "a/b/c/d/e",
    ".", "..", "...", "../x", "../../etc/passwd", "a/..", "a/../b", "./x", "x/.", "..:x", "x:..",
    "x:.", "x:.hidden", ".hidden", "-x", "x:-a", "-a/x", "a.b/x", "a b", "a\tb", "a\nb", "x :y",
    "x@sha256:aaaa", "x@y", "x+y", "x!y", "!MISSING!", "x$y", "x%y", "x%2fy", "x%2e%2e", "x\\y",
    "x*", "x?", "x[1]", "x{y}", "x|y", "x<y", "x>y", "x\"y", "x'y", "x`y", "x;y", "x,y", "x=y",
    "x~y", "x#y", "x^y", "x&y", "(x)", "caf\xc3\xa9", "\xff", "x\x7f", "x\x01", "a:b:c", "x:y:z:w",
    "ht tp://h/n/m", "://h/n/m", "https://h", "https:///n/m", "https://h/n", "http://-h/n/m",
    "http://.h/n/m", "h\xc3\xb6st/n/m", "h!/n/m", "https://x/../y/z", "x:local:",
};

static int parse(const char *s, struct store_name *n, struct err *e)
{
    return store_name_parse(s, strlen(s), n, e);
}

static void good_names_give_their_parts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct store_name n;
        struct err e = {0};
        char text[STORE_NAME_TEXT];
        if (parse(good[i].in, &n, &e))
            fail_msg("\"%s\": %s", good[i].in, e.text);
        assert_string_equal(n.host, good[i].host);
        assert_string_equal(n.ns, good[i].ns);
        assert_string_equal(n.model, good[i].model);
        assert_string_equal(n.tag, good[i].tag);
        store_name_short(&n, text, sizeof text);
        assert_string_equal(text, good[i].shortest);
    }
}

static void bad_names_are_refused(void **state)
{
    (void)state;
    assert_true(sizeof bad / sizeof bad[0] >= 60);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct store_name n;
        struct err e = {0};
        if (parse(bad[i], &n, &e) == 0)
            fail_msg("\"%s\" was taken", bad[i]);
        assert_int_equal(e.code, ERR_INPUT);
        assert_string_equal(e.text, "invalid model name");
    }
}

static void an_empty_name_is_required(void **state)
{
    (void)state;
    static const char *const empty[] = {"", " ", "\t\n "};
    for (size_t i = 0; i < 3; i++) {
        struct store_name n;
        struct err e = {0};
        assert_int_equal(parse(empty[i], &n, &e), -1);
        assert_string_equal(e.text, "model is required");
    }
}

static void a_nul_byte_is_refused(void **state)
{
    (void)state;
    struct store_name n;
    struct err e = {0};
    assert_int_equal(store_name_parse("x\0y", 3, &n, &e), -1);
    assert_string_equal(e.text, "invalid model name");
}

static void lengths_end_where_the_table_says(void **state)
{
    (void)state;
    static const struct {
        const char *before, *after;
        size_t most;
    } parts[] = {{"", ":t", 80}, {"m:", "", 80}, {"", "/m", 80}, {"", "/n/m", 350}};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        for (size_t n = parts[i].most; n <= parts[i].most + 1; n++) {
            char text[600], many[400];
            struct store_name name;
            memset(many, 'a', n);
            many[n] = 0;
            snprintf(text, sizeof text, "%s%s%s", parts[i].before, many, parts[i].after);
            assert_int_equal(parse(text, &name, NULL), n == parts[i].most ? 0 : -1);
        }
    }
}

static void cloud_names_are_not_found(void **state)
{
    (void)state;
    static const char *const cloud[] = {"x:cloud", "x:CLOUD", "x:8b-cloud", "x:8b-Cloud",
                                        "a/x:latest:cloud"};
    for (size_t i = 0; i < sizeof cloud / sizeof cloud[0]; i++) {
        struct store_name n;
        struct err e = {0};
        char want[100];
        snprintf(want, sizeof want, "model '%s' not found", cloud[i]);
        assert_int_equal(parse(cloud[i], &n, &e), -1);
        assert_int_equal(e.code, ERR_NOT_FOUND);
        assert_string_equal(e.text, want);
    }
}

static void two_sources_are_an_error(void **state)
{
    (void)state;
    struct store_name n;
    struct err e = {0};
    assert_int_equal(parse("x:cloud:local", &n, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_string_equal(e.text, "use either :local or :cloud, not both: \"x:cloud:local\"");
}

static void names_compare_without_case(void **state)
{
    (void)state;
    struct store_name a, b, c;
    assert_int_equal(parse("LLAMA3:Q8", &a, NULL), 0);
    assert_int_equal(parse("llama3:q8", &b, NULL), 0);
    assert_int_equal(parse("llama3:q4", &c, NULL), 0);
    assert_true(store_name_equal(&a, &b));
    assert_false(store_name_equal(&a, &c));
}

static void the_full_form_has_all_parts(void **state)
{
    (void)state;
    struct store_name a;
    char text[STORE_NAME_TEXT];
    assert_int_equal(parse("smol", &a, NULL), 0);
    store_name_full(&a, text, sizeof text);
    assert_string_equal(text, "registry.ollama.ai/library/smol:latest");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_names_give_their_parts),
        cmocka_unit_test(bad_names_are_refused),
        cmocka_unit_test(an_empty_name_is_required),
        cmocka_unit_test(a_nul_byte_is_refused),
        cmocka_unit_test(lengths_end_where_the_table_says),
        cmocka_unit_test(cloud_names_are_not_found),
        cmocka_unit_test(two_sources_are_an_error),
        cmocka_unit_test(names_compare_without_case),
        cmocka_unit_test(the_full_form_has_all_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
