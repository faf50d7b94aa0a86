/* tests/test_store_digest.c - digests: the only way from text to a blob's file name is narrow. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "engine/store/inside.h"

#define HEX "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" /* of "abc" */

static void both_forms_are_read(void **state)
{
    (void)state;
    struct digest a, b;
    char text[DIGEST_TEXT], file[BLOB_FILE];
    assert_int_equal(digest_parse("sha256:" HEX, 71, &a, NULL), 0);
    assert_int_equal(digest_parse("sha256-" HEX, 71, &b, NULL), 0);
    assert_true(digest_equal(&a, &b));
    digest_text(&a, text);
    assert_string_equal(text, "sha256:" HEX);
    store_blob_file(&a, file);
    assert_string_equal(file, "sha256-" HEX);
}

static void upper_case_is_folded(void **state)
{
    (void)state;
    char in[72] = "sha256:", text[DIGEST_TEXT];
    struct digest d;
    for (size_t i = 0; i < 64; i++)
        in[7 + i] = HEX[i] >= 'a' ? (char)(HEX[i] - 32) : HEX[i];
    assert_int_equal(digest_parse(in, 71, &d, NULL), 0);
    digest_text(&d, text);
    assert_string_equal(text, "sha256:" HEX);
}

static void anything_else_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "sha256", "sha256:", "sha256:" HEX "0", "sha256:../../../../etc/passwd",
        "sha512:" HEX, "SHA256:" HEX, "sha256_" HEX, "sha256/" HEX, " sha256:" HEX, HEX,
        "sha256:" HEX " ", "sha256:" HEX "\n",
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a",
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ag",
        "sha256:..7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha256:/a7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct digest d;
        struct err e = {0};
        if (digest_parse(bad[i], strlen(bad[i]), &d, &e) == 0)
            fail_msg("\"%s\" was taken", bad[i]);
        assert_int_equal(e.code, ERR_INPUT);
        assert_string_equal(e.text, "invalid digest format");
    }
}

static void a_nul_inside_is_refused(void **state)
{
    (void)state;
    char in[72] = "sha256:" HEX;
    struct digest d;
    in[40] = 0;
    assert_int_equal(digest_parse(in, 71, &d, NULL), -1);
}

static void sha256_of_abc_is_the_standards(void **state)
{
    (void)state;
    struct digest d;
    char text[DIGEST_TEXT];
    assert_int_equal(store_sha256("abc", 3, &d, NULL), 0);
    digest_text(&d, text);
    assert_string_equal(text, "sha256:" HEX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_forms_are_read),    cmocka_unit_test(upper_case_is_folded),
        cmocka_unit_test(anything_else_is_refused), cmocka_unit_test(a_nul_inside_is_refused),
        cmocka_unit_test(sha256_of_abc_is_the_standards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
