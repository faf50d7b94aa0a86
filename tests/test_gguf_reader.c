/* tests/test_gguf_reader.c - right GGUF files are read as they are (gguf/gguf.h). */
#include "tests/forge.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct gguf *open_good(struct buf *b)
{
    struct err e = {0};
    struct gguf *g = forge_open(b, &e);
    if (!g)
        fail_msg("%s", e.text);
    return g;
}

static void reads_versions_2_and_3(void **s)
{
    for (uint32_t version = 2; version <= 3; version++) {
        struct buf b = {0};
        forge_good(&b);
        memcpy(b.p + 4, &version, 4);
        struct gguf *g = open_good(&b);
        assert_int_equal(gguf_version(g), version);
        assert_int_equal(gguf_n_tensors(g), 2);
        gguf_close(g);
    }
}

static void finds_tensors_by_name_and_place(void **s)
{
    struct buf b = {0};
    forge_good(&b);
    const size_t bytes = b.n;
    struct gguf *g = open_good(&b);
    const struct gguf_tensor *t = gguf_find_tensor(g, "a");
    assert_non_null(t);
    assert_ptr_equal(t, gguf_tensor_at(g, 0));
    assert_int_equal(t->type, TYPE_F32);
    assert_int_equal(t->n_dims, 2);
    assert_int_equal(t->dims[0], 8);
    assert_int_equal(t->dims[1], 2);
    assert_int_equal(t->dims[2], 1);
    assert_int_equal(t->dims[3], 1);
    assert_int_equal(t->n_bytes, 64);
    assert_true(((const float *)t->data)[15] == 15.0f);
    const struct gguf_tensor *q = gguf_find_tensor(g, "b");
    assert_int_equal(q->n_bytes, 34);
    assert_int_equal(q->offset, t->offset + 64);
    assert_null(gguf_find_tensor(g, "c"));
    assert_null(gguf_tensor_at(g, 2));
    assert_int_equal(gguf_file_bytes(g), bytes);
    gguf_close(g);
}

static void released_pages_come_back(void **s)
{
    struct buf b = {0};
    forge_good(&b);
    struct gguf *g = open_good(&b);
    const struct gguf_tensor *t = gguf_find_tensor(g, "a");
    gguf_release(g, t);
    assert_true(((const float *)t->data)[3] == 3.0f);
    gguf_close(g);
}

static void alignment_of_the_file_is_used(void **s)
{
    struct buf b = {0};
    forge_head(&b, 3, 1, 1);
    forge_key_u32(&b, "general.alignment", 4096);
    forge_tensor(&b, "a", 0, 1, 1, 1, 4096);
    forge_pad(&b, 4096);
    forge_zeros(&b, 4096);
    forge_f32(&b, 2.5f);
    struct gguf *g = open_good(&b);
    assert_int_equal(gguf_alignment(g), 4096);
    assert_int_equal(gguf_find_tensor(g, "a")->offset, 8192);
    assert_true(*(const float *)gguf_find_tensor(g, "a")->data == 2.5f);
    gguf_close(g);
}

static void a_file_without_tensors_may_end_unpadded(void **s)
{
    struct buf b = {0};
    forge_head(&b, 3, 0, 1);
    forge_key_text(&b, "general.architecture", "toy");
    struct gguf *g = open_good(&b);
    assert_int_equal(gguf_n_tensors(g), 0);
    assert_int_equal(gguf_n_values(g), 1);
    assert_null(gguf_find_tensor(g, "a"));
    gguf_close(g);
}

static void an_empty_file_of_no_keys_is_fine(void **s)
{
    struct buf b = {0};
    forge_head(&b, 3, 0, 0);
    struct gguf *g = open_good(&b);
    assert_null(gguf_find(g, "x"));
    assert_null(gguf_value_at(g, 0));
    gguf_close(g);
}

static void tensors_out_of_order_are_fine(void **s)
{
    struct buf b = {0};
    forge_head(&b, 3, 2, 0);
    forge_tensor(&b, "second", 0, 1, 4, 1, 32);
    forge_tensor(&b, "first", 0, 1, 8, 1, 0);
    forge_pad(&b, 32);
    forge_zeros(&b, 48);
    struct gguf *g = open_good(&b);
    assert_string_equal(gguf_tensor_at(g, 0)->name, "second");
    gguf_close(g);
}

/* One key of each scalar kind. */
static struct gguf *open_scalars(void)
{
    struct buf b = {0};
    const double d = 0.1;
    forge_head(&b, 3, 0, 14);
    forge_key(&b, "u8", 0), forge_u8(&b, 200);
    forge_key(&b, "i8", 1), forge_u8(&b, 0xff);
    forge_key(&b, "u16", 2), forge_u16(&b, 60000);
    forge_key(&b, "i16", 3), forge_u16(&b, 300);
    forge_key_u32(&b, "u32", 4000000000u);
    forge_key(&b, "i32", 5), forge_u32(&b, (uint32_t)-5);
    forge_key(&b, "f32", 6), forge_f32(&b, 1.5f);
    forge_key(&b, "bool", 7), forge_u8(&b, 1);
    forge_key_text(&b, "string", "h\xc3\xa9");
    forge_key(&b, "u64", 10), forge_u64(&b, UINT64_MAX);
    forge_key(&b, "i64", 11), forge_u64(&b, (uint64_t)INT64_MIN);
    forge_key(&b, "f64", 12), buf_add(&b, &d, 8);
    forge_array(&b, "list", 4, 3), forge_u32(&b, 1), forge_u32(&b, 2), forge_u32(&b, 3);
    forge_key(&b, "false", 7), forge_u8(&b, 0);
    return open_good(&b);
}

static void u64_takes_every_integer_kind(void **s)
{
    static const struct {
        const char *key;
        uint64_t want;
    } rows[] = {{"u8", 200}, {"u16", 60000}, {"i16", 300}, {"u32", 4000000000u},
                {"u64", UINT64_MAX}};
    struct gguf *g = open_scalars();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t x = 0;
        assert_int_equal(gguf_get_u64(g, rows[i].key, &x, NULL), 1);
        assert_true(x == rows[i].want);
    }
    gguf_close(g);
}

static void negative_values_never_become_large(void **s)
{
    static const struct {
        const char *key, *text;
    } rows[] = {{"i8", "key \"i8\" is -1, a number >= 0 is wanted"},
                {"i32", "key \"i32\" is -5"},
                {"i64", "key \"i64\" is -9223372036854775808"}};
    struct gguf *g = open_scalars();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err e = {0};
        uint64_t x = 77;
        assert_int_equal(gguf_get_u64(g, rows[i].key, &x, &e), -1);
        assert_has(e.text, rows[i].text);
        assert_int_equal(x, 77);
    }
    gguf_close(g);
}

static void i64_takes_negative_and_refuses_more_than_63_bits(void **s)
{
    struct gguf *g = open_scalars();
    struct err e = {0};
    int64_t x = 0;
    assert_int_equal(gguf_value_i64_at(gguf_find(g, "i64"), 0, &x, &e), 0);
    assert_true(x == INT64_MIN);
    assert_int_equal(gguf_value_i64_at(gguf_find(g, "i8"), 0, &x, &e), 0);
    assert_true(x == -1);
    assert_int_equal(gguf_value_i64_at(gguf_find(g, "u64"), 0, &x, &e), -1);
    assert_has(e.text, "more than 63 bits");
    gguf_close(g);
}

static void f64_takes_every_number(void **s)
{
    static const struct {
        const char *key;
        double want;
    } rows[] = {{"f32", 1.5},  {"f64", 0.1}, {"u8", 200}, {"i32", -5},
                {"u64", 18446744073709551616.0}, {"i64", -9223372036854775808.0}};
    struct gguf *g = open_scalars();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double x = 0;
        assert_int_equal(gguf_get_f64(g, rows[i].key, &x, NULL), 1);
        assert_true(x == rows[i].want);
    }
    gguf_close(g);
}

static void wrong_types_are_named(void **s)
{
    struct gguf *g = open_scalars();
    struct err e = {0};
    uint64_t u = 0;
    double d = 0;
    bool b = false;
    struct text t = {0};
    assert_int_equal(gguf_get_u64(g, "string", &u, &e), -1);
    assert_string_equal(e.text, "key \"string\" is a string, an integer is wanted");
    assert_int_equal(gguf_get_u64(g, "f32", &u, &e), -1);
    assert_string_equal(e.text, "key \"f32\" is an f32, an integer is wanted");
    assert_int_equal(gguf_get_u64(g, "bool", &u, &e), -1);
    assert_int_equal(gguf_get_u64(g, "list", &u, &e), -1);
    assert_string_equal(e.text, "key \"list\" is an array of 3 u32, an integer is wanted");
    assert_int_equal(gguf_get_f64(g, "bool", &d, &e), -1);
    assert_string_equal(e.text, "key \"bool\" is a bool, a number is wanted");
    assert_int_equal(gguf_get_f64(g, "list", &d, &e), -1);
    assert_int_equal(gguf_get_bool(g, "u8", &b, &e), -1);
    assert_string_equal(e.text, "key \"u8\" is a u8, a bool is wanted");
    assert_int_equal(gguf_get_text(g, "u8", &t, &e), -1);
    assert_string_equal(e.text, "key \"u8\" is a u8, a string is wanted");
    assert_int_equal(gguf_get_text(g, "list", &t, &e), -1);
    gguf_close(g);
}

static void absent_keys_leave_the_result_alone(void **s)
{
    struct gguf *g = open_scalars();
    struct err e = {0};
    uint64_t u = 42;
    struct text t = {"x", 1};
    assert_int_equal(gguf_get_u64(g, "nope", &u, &e), 0);
    assert_int_equal(u, 42);
    assert_int_equal(gguf_get_text(g, "nope", &t, &e), 0);
    assert_int_equal(t.n, 1);
    assert_int_equal(e.code, ERR_NONE);
    gguf_close(g);
}

static void bools_and_texts_are_read(void **s)
{
    struct gguf *g = open_scalars();
    bool b = false;
    struct text t = {0};
    assert_int_equal(gguf_get_bool(g, "bool", &b, NULL), 1);
    assert_true(b);
    assert_int_equal(gguf_get_bool(g, "false", &b, NULL), 1);
    assert_false(b);
    assert_int_equal(gguf_get_text(g, "string", &t, NULL), 1);
    assert_int_equal(t.n, 3);
    assert_memory_equal(t.p, "h\xc3\xa9", 3);
    gguf_close(g);
}

static void arrays_are_read_item_by_item(void **s)
{
    struct buf b = {0};
    forge_head(&b, 3, 0, 5);
    forge_array(&b, "i", 5, 2), forge_u32(&b, 9), forge_u32(&b, (uint32_t)-9);
    forge_array(&b, "f", 6, 1), forge_f32(&b, -0.5f);
    forge_array(&b, "b", 7, 3), forge_u8(&b, 1), forge_u8(&b, 0), forge_u8(&b, 2);
    forge_array(&b, "s", 8, 2), forge_text(&b, ""), forge_text(&b, "two");
    forge_array(&b, "none", 8, 0);
    struct gguf *g = open_good(&b);
    struct err e = {0};
    int64_t i;
    uint64_t u;
    double d;
    bool t;
    assert_int_equal(gguf_value_i64_at(gguf_find(g, "i"), 1, &i, &e), 0);
    assert_int_equal(i, -9);
    assert_int_equal(gguf_value_u64_at(gguf_find(g, "i"), 0, &u, &e), 0);
    assert_int_equal(u, 9);
    assert_int_equal(gguf_value_u64_at(gguf_find(g, "i"), 1, &u, &e), -1);
    assert_int_equal(gguf_value_f64_at(gguf_find(g, "f"), 0, &d, &e), 0);
    assert_true(d == -0.5);
    assert_int_equal(gguf_value_bool_at(gguf_find(g, "b"), 0, &t, &e), 0);
    assert_true(t);
    assert_int_equal(gguf_value_bool_at(gguf_find(g, "b"), 2, &t, &e), -1);
    assert_has(e.text, "a bool of value 2");
    const struct gguf_value *v = gguf_find(g, "s");
    assert_int_equal(v->kind, GGUF_ARRAY);
    assert_int_equal(v->elem, GGUF_STRING);
    assert_int_equal(v->n, 2);
    assert_int_equal(v->str[0].n, 0);
    assert_memory_equal(v->str[1].p, "two", 3);
    v = gguf_find(g, "none");
    assert_int_equal(v->n, 0);
    assert_non_null(v->str);
    gguf_close(g);
}

static void strings_may_hold_any_byte(void **s)
{
    struct buf b = {0};
    forge_head(&b, 3, 0, 1);
    forge_key(&b, "s", 8), forge_u64(&b, 3), buf_add(&b, "\0\xff\n", 3);
    struct gguf *g = open_good(&b);
    struct text t;
    assert_int_equal(gguf_get_text(g, "s", &t, NULL), 1);
    assert_memory_equal(t.p, "\0\xff\n", 3);
    gguf_close(g);
}

static void many_keys_are_found(void **s)
{
    enum { MANY = 20000 };
    struct buf b = {0};
    char key[32];
    forge_head(&b, 3, 0, MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(key, sizeof key, "key.%u", i);
        forge_key_u32(&b, key, i);
    }
    struct gguf *g = open_good(&b);
    for (uint32_t i = 0; i < MANY; i++) {
        uint64_t x = 0;
        snprintf(key, sizeof key, "key.%u", i);
        assert_int_equal(gguf_get_u64(g, key, &x, NULL), 1);
        assert_int_equal(x, i);
    }
    gguf_close(g);
}

/* ---- split files ------------------------------------------------------------------------ */

static void split_files_open_by_their_names(void **s)
{
    struct forge_folder f;
    forge_folder_make(&f);
    for (unsigned i = 0; i < 3; i++) {
        struct buf b = {0};
        char name[64];
        snprintf(name, sizeof name, "toy-%05u-of-00003.gguf", i + 1);
        forge_part(&b, i, 3, 3);
        forge_file(&f, name, &b);
    }
    struct err e = {0};
    struct gguf *g = gguf_open(forge_path(&f, "toy-00001-of-00003.gguf"), &e);
    forge_folder_remove(&f);
    if (!g)
        fail_msg("%s", e.text);
    assert_int_equal(gguf_n_tensors(g), 3);
    assert_int_equal(gguf_n_values(g), 3); /* of the first part only */
    for (unsigned i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%u", i);
        const struct gguf_tensor *t = gguf_find_tensor(g, name);
        assert_non_null(t);
        assert_true(*(const float *)t->data == (float)i);
        gguf_release(g, t);
        assert_true(*(const float *)t->data == (float)i);
    }
    gguf_close(g);
}

static void split_files_open_by_descriptors(void **s)
{
    int fds[2];
    size_t bytes = 0;
    for (unsigned i = 0; i < 2; i++) {
        struct buf b = {0};
        forge_part(&b, i, 2, 2);
        bytes += b.n;
        fds[i] = forge_fd(&b);
    }
    struct err e = {0};
    struct gguf *g = gguf_open_fds(fds, 2, "blobs", &e);
    close(fds[0]);
    close(fds[1]);
    if (!g)
        fail_msg("%s", e.text);
    assert_int_equal(gguf_file_bytes(g), bytes);
    assert_true(*(const float *)gguf_find_tensor(g, "t1")->data == 1.0f);
    gguf_close(g);
}

static void a_split_of_one_is_a_plain_file(void **s)
{
    struct buf b = {0};
    forge_part(&b, 0, 1, 1);
    struct gguf *g = open_good(&b);
    assert_int_equal(gguf_n_tensors(g), 1);
    gguf_close(g);
}

/* ---- names ------------------------------------------------------------------------------- */

static void kinds_and_file_types_have_names(void **s)
{
    assert_string_equal(gguf_kind_name(GGUF_U8), "u8");
    assert_string_equal(gguf_kind_name(GGUF_F64), "f64");
    assert_string_equal(gguf_kind_name((enum gguf_kind)13), "unknown");
    assert_string_equal(gguf_file_type_name(0), "F32");
    assert_string_equal(gguf_file_type_name(15), "Q4_K_M");
    assert_string_equal(gguf_file_type_name(32), "BF16");
    assert_string_equal(gguf_file_type_name(38), "MXFP4_MOE");
    assert_string_equal(gguf_file_type_name(4), "unknown");
    assert_string_equal(gguf_file_type_name(33), "unknown");
    assert_string_equal(gguf_file_type_name(UINT64_MAX), "unknown");
}

static void real_models_open(void **s)
{
    static const struct {
        const char *name;
        size_t n_tensors;
    } rows[] = {{"SmolLM2-135M-Instruct.Q4_1.gguf", 272},
                {"gemma-3-270m-q4_k_m.gguf", 236},
                {"qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", 291}};
    const char *cache = getenv("CHASKI_CACHE"), *home = getenv("HOME");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char path[512];
        if (cache)
            snprintf(path, sizeof path, "%s/models/%s", cache, rows[i].name);
        else
            snprintf(path, sizeof path, "%s/.cache/chaski/models/%s", home ? home : "",
                     rows[i].name);
        if (access(path, R_OK)) {
            print_message("skipped: %s is not in the cache of models\n", rows[i].name);
            continue;
        }
        struct err e = {0};
        struct gguf *g = gguf_open(path, &e);
        if (!g)
            fail_msg("%s", e.text);
        assert_int_equal(gguf_n_tensors(g), rows[i].n_tensors);
        assert_non_null(gguf_find_tensor(g, "token_embd.weight"));
        assert_true(gguf_find(g, "tokenizer.ggml.tokens")->n > 1000);
        gguf_close(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_versions_2_and_3),
        cmocka_unit_test(finds_tensors_by_name_and_place),
        cmocka_unit_test(released_pages_come_back),
        cmocka_unit_test(alignment_of_the_file_is_used),
        cmocka_unit_test(a_file_without_tensors_may_end_unpadded),
        cmocka_unit_test(an_empty_file_of_no_keys_is_fine),
        cmocka_unit_test(tensors_out_of_order_are_fine),
        cmocka_unit_test(u64_takes_every_integer_kind),
        cmocka_unit_test(negative_values_never_become_large),
        cmocka_unit_test(i64_takes_negative_and_refuses_more_than_63_bits),
        cmocka_unit_test(f64_takes_every_number),
        cmocka_unit_test(wrong_types_are_named),
        cmocka_unit_test(absent_keys_leave_the_result_alone),
        cmocka_unit_test(bools_and_texts_are_read),
        cmocka_unit_test(arrays_are_read_item_by_item),
        cmocka_unit_test(strings_may_hold_any_byte),
        cmocka_unit_test(many_keys_are_found),
        cmocka_unit_test(split_files_open_by_their_names),
        cmocka_unit_test(split_files_open_by_descriptors),
        cmocka_unit_test(a_split_of_one_is_a_plain_file),
        cmocka_unit_test(kinds_and_file_types_have_names),
        cmocka_unit_test(real_models_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
