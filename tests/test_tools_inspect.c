/* tests/test_tools_inspect.c - `chaski inspect` on right and wrong files. */
#include "tests/forge.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "tools/commands.h"

static struct forge_folder folder;
static char out[1 << 16], err[1 << 12]; /* what the last run wrote */

static int make_folder(void **s)
{
    forge_folder_make(&folder);
    return 0;
}

static int remove_folder(void **s)
{
    forge_folder_remove(&folder);
    return 0;
}

static void take_back(int fd, int saved, int stream, char *text, size_t cap)
{
    dup2(saved, stream);
    close(saved);
    const ssize_t n = pread(fd, text, cap - 1, 0);
    assert_true(n >= 0);
    text[n] = 0;
    close(fd);
}

/* Run with up to two arguments; the exit status. */
static int run(const char *a, const char *b)
{
    char *argv[] = {(char[]){"inspect"}, NULL, NULL, NULL};
    int argc = 1;
    if (a)
        argv[argc++] = strdup(a);
    if (b)
        argv[argc++] = strdup(b);
    fflush(stdout);
    const int saved_out = dup(1), saved_err = dup(2);
    const int fd_out = memfd_create("out", 0), fd_err = memfd_create("err", 0);
    dup2(fd_out, 1);
    dup2(fd_err, 2);
    const int rc = cmd_inspect(argc, argv);
    fflush(stdout);
    take_back(fd_out, saved_out, 1, out, sizeof out);
    take_back(fd_err, saved_err, 2, err, sizeof err);
    for (int i = 1; i < argc; i++)
        free(argv[i]);
    return rc;
}

/* Keys that are hard to print. */
static void hard_file(struct buf *b)
{
    forge_head(b, 3, 0, 9);
    forge_key_text(b, "esc", "\x1b[2J\n");
    forge_key(b, "raw", 8), forge_u64(b, 4), buf_add(b, "\xff\0\xc3\xa9", 4);
    forge_key(b, "third", 6), forge_f32(b, 0.1f);
    forge_key(b, "nan", 6), forge_f32(b, NAN);
    forge_key(b, "most", 10), forge_u64(b, UINT64_MAX);
    forge_key(b, "least", 11), forge_u64(b, (uint64_t)INT64_MIN);
    forge_key(b, "yes", 7), forge_u8(b, 1);
    forge_array(b, "list", 4, 20);
    for (uint32_t i = 0; i < 20; i++)
        forge_u32(b, i);
    forge_array(b, "words", 8, 2), forge_text(b, "a\"b"), forge_text(b, "\xed\xa0\x80");
}

static void text_names_everything(void **s)
{
    struct buf b = {0};
    forge_good(&b);
    forge_file(&folder, "good.gguf", &b);
    assert_int_equal(run(forge_path(&folder, "good.gguf"), NULL), 0);
    assert_string_equal(err, "");
    assert_has(out, "version    3\n");
    assert_has(out, "alignment  32\n");
    assert_has(out, "general.architecture  string  \"toy\"\n");
    assert_has(out, "toy.n  u32  7\n");
    assert_has(out, "tensors: 2\n");
    assert_has(out, "a  F32      8 x 2             offset 192          bytes 64\n");
    assert_has(out, "b  Q8_0     32                offset 256          bytes 34\n");
}

static void text_cuts_lists_and_shows_controls(void **s)
{
    struct buf b = {0};
    hard_file(&b);
    forge_file(&folder, "hard.gguf", &b);
    assert_int_equal(run(forge_path(&folder, "hard.gguf"), NULL), 0);
    assert_has(out, "esc  string  \"\\x1b[2J\\x0a\"\n");
    assert_has(out, "raw  string  \"\\xff\\x00\xc3\xa9\"\n");
    assert_has(out, "list  u32[20]  0, 1, 2, 3, 4, 5, ...\n");
    assert_has(out, "third  f32  0.1\n");
    assert_null(strchr(out, 0x1b));
}

static void json_holds_everything(void **s)
{
    assert_int_equal(run(forge_path(&folder, "good.gguf"), "--json"), 0);
    json_t *j = json_loads(out, 0, NULL);
    assert_non_null(j);
    assert_int_equal(json_integer_value(json_object_get(j, "version")), 3);
    assert_int_equal(json_integer_value(json_object_get(j, "alignment")), 32);
    json_t *m = json_object_get(j, "metadata");
    json_t *arch = json_object_get(m, "general.architecture");
    assert_string_equal(json_string_value(json_object_get(arch, "type")), "string");
    assert_string_equal(json_string_value(json_object_get(arch, "value")), "toy");
    json_t *t = json_array_get(json_object_get(j, "tensors"), 1);
    assert_string_equal(json_string_value(json_object_get(t, "name")), "b");
    assert_string_equal(json_string_value(json_object_get(t, "type")), "Q8_0");
    assert_int_equal(json_array_size(json_object_get(t, "shape")), 1);
    assert_int_equal(json_integer_value(json_object_get(t, "offset")), 256);
    assert_int_equal(json_integer_value(json_object_get(t, "bytes")), 34);
    json_decref(j);
}

static void json_survives_hard_values(void **s)
{
    assert_int_equal(run("--json", forge_path(&folder, "hard.gguf")), 0);
    assert_has(out, "\"most\": {\"type\": \"u64\", \"value\": 18446744073709551615}");
    assert_has(out, "\"least\": {\"type\": \"i64\", \"value\": -9223372036854775808}");
    assert_has(out, "\"third\": {\"type\": \"f32\", \"value\": 0.1}");
    assert_has(out, "\"nan\": {\"type\": \"f32\", \"value\": null}");
    assert_has(out, "\"yes\": {\"type\": \"bool\", \"value\": true}");
    assert_has(out, "\"raw\": {\"type\": \"string\", \"value\": \"\\\\xff\\u0000\xc3\xa9\"}");
    assert_has(out, "[\"a\\\"b\", \"\\\\xed\\\\xa0\\\\x80\"]");
    json_error_t je; /* 2^64 - 1 does not fit jansson's integers */
    json_t *j = json_loads(out, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &je);
    if (!j)
        fail_msg("%s", je.text);
    json_t *m = json_object_get(j, "metadata");
    assert_int_equal(json_array_size(json_object_get(json_object_get(m, "list"), "value")), 20);
    json_decref(j);
}

static void wrong_files_give_one_line(void **s)
{
    struct buf b = {0};
    forge_good(&b);
    b.n -= 40;
    forge_file(&folder, "cut.gguf", &b);
    assert_int_equal(run(forge_path(&folder, "cut.gguf"), NULL), 1);
    assert_string_equal(out, "");
    assert_has(err, "Error: cut.gguf: tensor \"b\": offset 64 and 34 bytes");
    assert_ptr_equal(strchr(err, '\n'), err + strlen(err) - 1);
}

static void missing_files_give_one_line(void **s)
{
    assert_int_equal(run("/no/such.gguf", "--json"), 1);
    assert_string_equal(out, "");
    assert_string_equal(err, "Error: cannot open \"/no/such.gguf\": No such file or directory\n");
}

static void usage_errors_give_one_line(void **s)
{
    assert_int_equal(run(NULL, NULL), 2);
    assert_string_equal(err, "Error: accepts 1 arg(s), received 0\n");
    assert_int_equal(run("a", "b"), 2);
    assert_string_equal(err, "Error: accepts 1 arg(s), received 2\n");
    assert_int_equal(run("--nope", "b"), 2);
    assert_string_equal(err, "Error: unknown flag: --nope\n");
    assert_int_equal(run("-x", "b"), 2);
    assert_string_equal(err, "Error: unknown shorthand flag: 'x' in -x\n");
}

static void help_is_no_error(void **s)
{
    assert_int_equal(run("--help", NULL), 0);
    assert_string_equal(err, "");
    assert_has(out, "chaski inspect FILE [flags]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_names_everything),
        cmocka_unit_test(text_cuts_lists_and_shows_controls),
        cmocka_unit_test(json_holds_everything),
        cmocka_unit_test(json_survives_hard_values),
        cmocka_unit_test(wrong_files_give_one_line),
        cmocka_unit_test(missing_files_give_one_line),
        cmocka_unit_test(usage_errors_give_one_line),
        cmocka_unit_test(help_is_no_error),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
