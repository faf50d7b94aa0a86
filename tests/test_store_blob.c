/* tests/test_store_blob.c - blobs: what is there is whole, what failed leaves nothing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <inttypes.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>
#include <cmocka.h>
#include "tests/store_room.h"

#define ABC "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define ABC_FILE "blobs/sha256-ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static struct digest abc(void)
{
    struct digest d;
    assert_int_equal(digest_parse(ABC, 71, &d, NULL), 0);
    return d;
}

static void an_upload_appears_under_its_digest(void **state)
{
    (void)state;
    struct room r = room_new();
    const struct digest want = abc();
    uint64_t size = 0;
    assert_int_equal(store_blob_stat(r.s, &want, &size, NULL), 0);
    struct store_upload *u = store_upload_begin(r.s, NULL);
    assert_int_equal(store_upload_write(u, "a", 1, NULL), 0);
    assert_int_equal(store_upload_write(u, "bc", 2, NULL), 0);
    assert_int_equal(store_blob_stat(r.s, &want, &size, NULL), 0); /* not before commit */
    struct digest got;
    assert_int_equal(store_upload_commit(u, &want, &got, NULL), 0);
    assert_true(digest_equal(&got, &want));
    assert_int_equal(store_blob_stat(r.s, &want, &size, NULL), 1);
    assert_int_equal(size, 3);
    size_t n;
    char *p = room_read(&r, ABC_FILE, &n);
    assert_non_null(p);
    assert_string_equal(p, "abc");
    free(p);
    room_free(&r);
}

static void a_wrong_digest_leaves_nothing(void **state)
{
    (void)state;
    struct room r = room_new();
    const struct digest want = abc();
    struct err e = {0};
    struct store_upload *u = store_upload_begin(r.s, NULL);
    assert_int_equal(store_upload_write(u, "abd", 3, NULL), 0);
    assert_int_equal(store_upload_commit(u, &want, NULL, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_string_equal(e.text,
                        "digest mismatch, expected \"" ABC "\", got \"sha256:a52d159f262b2c6ddb724a"
                        "61840befc36eb30c88877a4030b65cbe86298449c9\"");
    assert_int_equal(room_count(&r, "blobs", ""), 0);
    room_free(&r);
}

static void an_abort_leaves_nothing(void **state)
{
    (void)state;
    struct room r = room_new();
    struct store_upload *u = store_upload_begin(r.s, NULL);
    assert_int_equal(store_upload_write(u, "abc", 3, NULL), 0);
    assert_int_equal(room_count(&r, "blobs", ".chaski-"), 1);
    store_upload_abort(u);
    assert_int_equal(room_count(&r, "blobs", ""), 0);
    room_free(&r);
}

static void the_same_bytes_twice_are_one_blob(void **state)
{
    (void)state;
    struct room r = room_new();
    room_blob(&r, "abc", 3);
    room_blob(&r, "abc", 3);
    assert_int_equal(room_count(&r, "blobs", ""), 1);
    room_free(&r);
}

static void a_cut_off_blob_is_healed_by_an_upload(void **state)
{
    (void)state;
    struct room r = room_new();
    room_write(&r, ABC_FILE, "a", 1);
    room_blob(&r, "abc", 3);
    uint64_t size;
    const struct digest d = abc();
    assert_int_equal(store_blob_stat(r.s, &d, &size, NULL), 1);
    assert_int_equal(size, 3);
    room_free(&r);
}

static void the_empty_blob_works(void **state)
{
    (void)state;
    struct room r = room_new();
    const struct digest d = room_blob(&r, "", 0);
    char text[DIGEST_TEXT];
    digest_text(&d, text);
    assert_string_equal(
        text, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_true(room_has_blob(&r, &d));
    room_free(&r);
}

static void a_missing_blob_is_named(void **state)
{
    (void)state;
    struct room r = room_new();
    const struct digest d = abc();
    struct err e = {0};
    assert_int_equal(store_blob_open(r.s, &d, &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_string_equal(e.text, "blob \"" ABC "\" not found");
    room_free(&r);
}

static void the_colon_form_of_old_stores_is_read(void **state)
{
    (void)state;
    struct room r = room_new();
    room_write(&r, "blobs/" ABC, "abc", 3);
    const struct digest d = abc();
    assert_true(room_has_blob(&r, &d));
    const int fd = store_blob_open(r.s, &d, NULL);
    assert_true(fd >= 0);
    close(fd);
    room_free(&r);
}

static void a_link_in_place_of_a_blob_is_not_followed(void **state)
{
    (void)state;
    struct room r = room_new();
    char path[400];
    snprintf(path, sizeof path, "%s/%s", r.root, ABC_FILE);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    const struct digest d = abc();
    struct err e = {0};
    assert_int_equal(store_blob_open(r.s, &d, &e), -1);
    assert_int_equal(e.code, ERR_IO);
    assert_int_equal(store_blob_stat(r.s, &d, NULL, NULL), -1);
    room_free(&r);
}

static void a_pipe_in_place_of_a_blob_does_not_hold_us(void **state)
{
    (void)state;
    struct room r = room_new();
    char path[400];
    snprintf(path, sizeof path, "%s/%s", r.root, ABC_FILE);
    assert_int_equal(mkfifo(path, 0600), 0);
    const struct digest d = abc();
    assert_int_equal(store_blob_open(r.s, &d, NULL), -1);
    room_free(&r);
}

static void left_over_files_are_swept_those_in_use_and_foreign_stay(void **state)
{
    (void)state;
    struct room r = room_new();
    char used[TEMP_FILE];
    struct err e = {0};
    const int fd = store_temp_open(r.s, used, &e);
    assert_true(fd >= 0);
    room_write(&r, "blobs/.chaski-1-0-00", "x", 1); /* nobody holds its lock */
    room_write(&r, "blobs/.chaski-2-0-00", "x", 1);
    room_write(&r, "blobs/notes.txt", "x", 1);
    room_age(&r, "blobs/.chaski-1-0-00", 3700);
    room_age(&r, "blobs/notes.txt", 3700);
    room_reopen(&r);
    assert_int_equal(room_count(&r, "blobs", ".chaski-"), 1);
    assert_int_equal(room_count(&r, "blobs", used), 1);
    assert_int_equal(room_count(&r, "blobs", "notes.txt"), 1);
    close(fd);
    room_reopen(&r);
    assert_int_equal(room_count(&r, "blobs", ".chaski-"), 0);
    room_free(&r);
}

static void verify_finds_a_damaged_blob(void **state)
{
    (void)state;
    struct room r = room_new();
    const struct digest d = room_blob(&r, "abc", 3);
    struct err e = {0};
    assert_int_equal(store_blob_verify(r.s, &d, NULL), 0);
    room_write(&r, ABC_FILE, "abd", 3);
    assert_int_equal(store_blob_verify(r.s, &d, &e), -1);
    assert_non_null(strstr(e.text, "is damaged"));
    room_free(&r);
}

/* A file size limit stands in for a full disk: both fail in write(). */
static void a_failed_write_is_an_error_and_leaves_nothing(void **state)
{
    (void)state;
    struct room r = room_new();
    struct rlimit was, small;
    struct err e = {0};
    char piece[4096] = {0};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = was;
    small.rlim_cur = 4096;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    struct store_upload *u = store_upload_begin(r.s, NULL);
    assert_int_equal(store_upload_write(u, piece, sizeof piece, NULL), 0);
    const int second = store_upload_write(u, piece, sizeof piece, &e);
    const int commit = store_upload_commit(u, NULL, NULL, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_int_equal(second, -1);
    assert_int_equal(e.code, ERR_IO);
    assert_int_equal(commit, -1);
    assert_int_equal(room_count(&r, "blobs", ""), 0);
    room_free(&r);
}

static void a_size_that_cannot_fit_is_said_before(void **state)
{
    (void)state;
    struct room r = room_new();
    struct err e = {0};
    struct store_upload *u = store_upload_begin(r.s, NULL);
    assert_int_equal(store_upload_expect(u, 1, NULL), 0);
    assert_int_equal(store_upload_expect(u, UINT64_MAX, &e), -1);
    assert_int_equal(e.code, ERR_IO);
    assert_non_null(strstr(e.text, "no space left"));
    store_upload_abort(u);
    room_free(&r);
}

static void a_root_that_cannot_be_made_says_so(void **state)
{
    (void)state;
    struct room r = room_new();
    struct err e = {0};
    char path[400];
    room_write(&r, "plain", "x", 1);
    snprintf(path, sizeof path, "%s/plain/models", r.root);
    assert_null(store_open(path, &e));
    assert_non_null(strstr(e.text, ": ensure path elements are traversable"));
    room_free(&r);
}

static void made_folders_are_private_at_the_root(void **state)
{
    (void)state;
    struct room r = room_new();
    char path[400];
    struct stat st;
    snprintf(path, sizeof path, "%s/deep/models", r.root);
    struct store *s = store_open(path, NULL);
    assert_non_null(s);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    store_close(s);
    room_free(&r);
}

static void the_default_root_follows_the_environment(void **state)
{
    (void)state;
    char out[200];
    setenv("OLLAMA_MODELS", " \"/srv/models\" ", 1);
    assert_int_equal(store_default_root(out, sizeof out, NULL), 0);
    assert_string_equal(out, "/srv/models");
    unsetenv("OLLAMA_MODELS");
    setenv("HOME", "/home/me", 1);
    assert_int_equal(store_default_root(out, sizeof out, NULL), 0);
    assert_string_equal(out, "/home/me/.ollama/models");
    assert_int_equal(store_default_root(out, 5, NULL), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_upload_appears_under_its_digest),
        cmocka_unit_test(a_wrong_digest_leaves_nothing),
        cmocka_unit_test(an_abort_leaves_nothing),
        cmocka_unit_test(the_same_bytes_twice_are_one_blob),
        cmocka_unit_test(a_cut_off_blob_is_healed_by_an_upload),
        cmocka_unit_test(the_empty_blob_works),
        cmocka_unit_test(a_missing_blob_is_named),
        cmocka_unit_test(the_colon_form_of_old_stores_is_read),
        cmocka_unit_test(a_link_in_place_of_a_blob_is_not_followed),
        cmocka_unit_test(a_pipe_in_place_of_a_blob_does_not_hold_us),
        cmocka_unit_test(left_over_files_are_swept_those_in_use_and_foreign_stay),
        cmocka_unit_test(verify_finds_a_damaged_blob),
        cmocka_unit_test(a_failed_write_is_an_error_and_leaves_nothing),
        cmocka_unit_test(a_size_that_cannot_fit_is_said_before),
        cmocka_unit_test(a_root_that_cannot_be_made_says_so),
        cmocka_unit_test(made_folders_are_private_at_the_root),
        cmocka_unit_test(the_default_root_follows_the_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
