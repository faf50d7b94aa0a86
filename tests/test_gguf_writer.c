/* tests/test_gguf_writer.c - what the writer writes, the reader reads (gguf/gguf.h). */
#include "tests/forge.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct gguf_writer *w;
static struct err err;

static int start(void **s)
{
    err = (struct err){0};
    w = gguf_writer_new(&err);
    return w ? 0 : -1;
}

static int stop(void **s)
{
    gguf_writer_free(w);
    w = NULL;
    return 0;
}

/* Finish and open what was written. */
static struct gguf *written(gguf_fill fill, void *arg)
{
    const int fd = memfd_create("written", MFD_CLOEXEC);
    assert_true(fd >= 0);
    if (gguf_writer_finish(w, fd, fill, arg, &err))
        fail_msg("%s", err.text);
    struct gguf *g = gguf_open_fds(&fd, 1, "written", &err);
    close(fd);
    if (!g)
        fail_msg("%s", err.text);
    return g;
}

static void every_scalar_kind_comes_back(void **s)
{
    static const uint64_t bits[] = {0, 1, UINT64_C(0x8877665544332211), UINT64_MAX};
    for (unsigned k = GGUF_U8; k <= GGUF_F64; k++) {
        if (k == GGUF_STRING || k == GGUF_ARRAY)
            continue;
        for (size_t i = 0; i < 4; i++) {
            char key[32];
            snprintf(key, sizeof key, "key.%u.%zu", k, i);
            const uint64_t value = k == GGUF_BOOL ? i & 1 : bits[i];
            assert_int_equal(gguf_write_scalar(w, key, (enum gguf_kind)k, &value, &err), 0);
        }
    }
    struct gguf *g = written(NULL, NULL);
    static const uint8_t bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    for (unsigned k = GGUF_U8; k <= GGUF_F64; k++) {
        if (k == GGUF_STRING || k == GGUF_ARRAY)
            continue;
        for (size_t i = 0; i < 4; i++) {
            char key[32];
            snprintf(key, sizeof key, "key.%u.%zu", k, i);
            const uint64_t value = k == GGUF_BOOL ? i & 1 : bits[i];
            const struct gguf_value *v = gguf_find(g, key);
            assert_non_null(v);
            assert_int_equal(v->kind, k);
            assert_int_equal(v->n, 1);
            assert_memory_equal(v->raw, &value, bytes[k]);
        }
    }
    gguf_close(g);
}

static void every_array_kind_comes_back(void **s)
{
    static const uint64_t items[] = {UINT64_C(0x0001000100010001), 0, UINT64_C(0x0101010101010101)};
    static const uint8_t bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    for (unsigned k = GGUF_U8; k <= GGUF_F64; k++) {
        if (k == GGUF_STRING || k == GGUF_ARRAY)
            continue;
        assert_int_equal(gguf_write_array(w, gguf_kind_name((enum gguf_kind)k),
                                          (enum gguf_kind)k, items, 3, &err),
                         0);
    }
    struct gguf *g = written(NULL, NULL);
    for (unsigned k = GGUF_U8; k <= GGUF_F64; k++) {
        if (k == GGUF_STRING || k == GGUF_ARRAY)
            continue;
        const struct gguf_value *v = gguf_find(g, gguf_kind_name((enum gguf_kind)k));
        assert_non_null(v);
        assert_int_equal(v->kind, GGUF_ARRAY);
        assert_int_equal(v->elem, k);
        assert_int_equal(v->n, 3);
        assert_memory_equal(v->raw, items, 3 * bytes[k]);
    }
    gguf_close(g);
}

static void texts_come_back(void **s)
{
    const struct text list[] = {{"", 0}, {"a\0b", 3}, {"\xff", 1}};
    assert_int_equal(gguf_write_text(w, "one", (struct text){"one\n", 4}, &err), 0);
    assert_int_equal(gguf_write_text(w, "empty", (struct text){NULL, 0}, &err), 0);
    assert_int_equal(gguf_write_texts(w, "list", list, 3, &err), 0);
    assert_int_equal(gguf_write_texts(w, "none", NULL, 0, &err), 0);
    struct gguf *g = written(NULL, NULL);
    struct text t;
    assert_int_equal(gguf_get_text(g, "one", &t, &err), 1);
    assert_int_equal(t.n, 4);
    assert_memory_equal(t.p, "one\n", 4);
    assert_int_equal(gguf_get_text(g, "empty", &t, &err), 1);
    assert_int_equal(t.n, 0);
    const struct gguf_value *v = gguf_find(g, "list");
    assert_int_equal(v->n, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(v->str[i].n, list[i].n);
        assert_memory_equal(v->str[i].p, list[i].p, list[i].n);
    }
    assert_int_equal(gguf_find(g, "none")->n, 0);
    gguf_close(g);
}

static void empty_arrays_come_back(void **s)
{
    assert_int_equal(gguf_write_array(w, "none", GGUF_F32, NULL, 0, &err), 0);
    struct gguf *g = written(NULL, NULL);
    assert_int_equal(gguf_find(g, "none")->n, 0);
    assert_int_equal(gguf_find(g, "none")->elem, GGUF_F32);
    gguf_close(g);
}

static void keys_keep_their_order(void **s)
{
    char key[16];
    for (uint32_t i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "k%u", 7919 * i % 1000);
        assert_int_equal(gguf_write_scalar(w, key, GGUF_U32, &i, &err), 0);
    }
    struct gguf *g = written(NULL, NULL);
    assert_int_equal(gguf_n_values(g), 1000);
    for (uint32_t i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "k%u", 7919 * i % 1000);
        assert_string_equal(gguf_value_at(g, i)->key, key);
    }
    gguf_close(g);
}

static void tensors_come_back_aligned(void **s)
{
    const float a[6] = {1, 2, 3, 4, 5, 6};
    uint8_t q[2 * 34];
    memset(q, 0x5a, sizeof q);
    const uint32_t alignment = 512;
    assert_int_equal(gguf_write_scalar(w, "general.alignment", GGUF_U32, &alignment, &err), 0);
    assert_int_equal(gguf_write_tensor(w, "a", TYPE_F32, 2, (uint64_t[]){3, 2}, a, &err), 0);
    assert_int_equal(gguf_write_tensor(w, "q", TYPE_Q8_0, 4, (uint64_t[]){32, 1, 2, 1}, q, &err),
                     0);
    struct gguf *g = written(NULL, NULL);
    assert_int_equal(gguf_alignment(g), 512);
    const struct gguf_tensor *t = gguf_find_tensor(g, "a");
    assert_int_equal(t->n_dims, 2);
    assert_int_equal(t->offset % 512, 0);
    assert_memory_equal(t->data, a, sizeof a);
    t = gguf_find_tensor(g, "q");
    assert_int_equal(t->n_dims, 4);
    assert_int_equal(t->dims[2], 2);
    assert_int_equal(t->offset % 512, 0);
    assert_int_equal(t->n_bytes, sizeof q);
    assert_memory_equal(t->data, q, sizeof q);
    assert_int_equal(gguf_file_bytes(g) % 512, 0);
    gguf_close(g);
}

static int fill_count(void *arg, size_t i, void *piece, uint64_t offset, size_t n, struct err *e)
{
    unsigned *calls = arg;
    uint8_t *p = piece;
    ++*calls;
    for (size_t k = 0; k < n; k++)
        p[k] = (uint8_t)((offset + k) * 31 + i);
    return 0;
}

static void large_tensors_are_filled_in_pieces(void **s)
{
    enum { BYTES = (5 << 20) / 2 + 1 };
    unsigned calls = 0;
    const float one = 1;
    assert_int_equal(gguf_write_tensor(w, "held", TYPE_F32, 1, (uint64_t[]){1}, &one, &err), 0);
    assert_int_equal(gguf_write_tensor(w, "big", TYPE_I8, 1, (uint64_t[]){BYTES}, NULL, &err), 0);
    struct gguf *g = written(fill_count, &calls);
    assert_true(calls > 1);
    const uint8_t *p = gguf_find_tensor(g, "big")->data;
    for (size_t k = 0; k < BYTES; k++)
        if (p[k] != (uint8_t)(k * 31 + 1))
            fail_msg("byte %zu is wrong", k);
    assert_true(*(const float *)gguf_find_tensor(g, "held")->data == 1);
    gguf_close(g);
}

static int fill_fails(void *arg, size_t i, void *piece, uint64_t offset, size_t n, struct err *e)
{
    return err_set(e, ERR_CANCELLED, "no more");
}

static void an_error_of_fill_ends_the_writing(void **s)
{
    assert_int_equal(gguf_write_tensor(w, "big", TYPE_I8, 1, (uint64_t[]){9}, NULL, &err), 0);
    const int fd = memfd_create("written", MFD_CLOEXEC);
    assert_int_equal(gguf_writer_finish(w, fd, fill_fails, NULL, &err), -1);
    close(fd);
    assert_int_equal(err.code, ERR_CANCELLED);
}

static void a_tensor_without_data_needs_fill(void **s)
{
    assert_int_equal(gguf_write_tensor(w, "big", TYPE_I8, 1, (uint64_t[]){9}, NULL, &err), 0);
    const int fd = memfd_create("written", MFD_CLOEXEC);
    assert_int_equal(gguf_writer_finish(w, fd, NULL, NULL, &err), -1);
    close(fd);
    assert_has(err.text, "tensor \"big\" has no data");
}

static void a_full_disk_is_an_error(void **s)
{
    const int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(gguf_writer_finish(w, fd, NULL, NULL, &err), -1);
    close(fd);
    assert_int_equal(err.code, ERR_IO);
    assert_has(err.text, "No space left");
}

static void names_twice_are_refused(void **s)
{
    const uint32_t x = 1;
    assert_int_equal(gguf_write_scalar(w, "k", GGUF_U32, &x, &err), 0);
    assert_int_equal(gguf_write_text(w, "k", (struct text){"", 0}, &err), -1);
    assert_string_equal(err.text, "key \"k\" is written twice");
    assert_int_equal(err.code, ERR_INPUT);
    assert_int_equal(gguf_write_tensor(w, "t", TYPE_F32, 1, (uint64_t[]){1}, &x, &err), 0);
    assert_int_equal(gguf_write_tensor(w, "t", TYPE_F32, 1, (uint64_t[]){1}, &x, &err), -1);
    assert_string_equal(err.text, "tensor \"t\" is written twice");
    struct gguf *g = written(NULL, NULL); /* the file is still whole */
    assert_int_equal(gguf_n_values(g), 1);
    gguf_close(g);
}

static void what_the_reader_refuses_is_not_written(void **s)
{
    const uint32_t x = 3;
    const uint64_t y = 32;
    char name[65];
    memset(name, 'n', 64);
    name[64] = 0;
    assert_int_equal(gguf_write_scalar(w, "", GGUF_U32, &x, &err), -1);
    assert_int_equal(gguf_write_scalar(w, "general.alignment", GGUF_U32, &x, &err), -1);
    assert_has(err.text, "general.alignment is 3");
    assert_int_equal(gguf_write_scalar(w, "general.alignment", GGUF_U64, &y, &err), -1);
    assert_has(err.text, "of kind u64");
    assert_int_equal(gguf_write_scalar(w, "b", GGUF_BOOL, &x, &err), -1);
    assert_has(err.text, "a bool must be 0 or 1");
    assert_int_equal(gguf_write_scalar(w, "s", GGUF_STRING, "x", &err), -1);
    assert_int_equal(gguf_write_array(w, "a", GGUF_ARRAY, "x", 1, &err), -1);
    assert_int_equal(gguf_write_array(w, "a", GGUF_U8, "x", (16 << 20) + 1, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    assert_int_equal(gguf_write_tensor(w, name, TYPE_F32, 1, (uint64_t[]){1}, &x, &err), -1);
    assert_has(err.text, "a name of 64 bytes");
    assert_int_equal(gguf_write_tensor(w, "t", TYPE_Q8_0, 1, (uint64_t[]){33}, &x, &err), -1);
    assert_has(err.text, "tensor \"t\": rows of 33 values are not whole blocks");
    assert_int_equal(gguf_write_tensor(w, "t", TYPE_Q4_2, 1, (uint64_t[]){32}, &x, &err), -1);
    assert_int_equal(gguf_write_tensor(w, "t", TYPE_F32, 0, NULL, &x, &err), -1);
    assert_int_equal(gguf_write_tensor(w, "t", TYPE_F32, 1, (uint64_t[]){0}, &x, &err), -1);
    struct gguf *g = written(NULL, NULL); /* nothing of it is there */
    assert_int_equal(gguf_n_values(g) + gguf_n_tensors(g), 0);
    gguf_close(g);
}

static void the_bytes_are_those_of_the_format(void **s)
{
    struct buf want = {0};
    const float a[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const uint8_t q[34] = {0};
    const uint32_t n = 7;
    forge_good(&want);
    assert_int_equal(gguf_write_text(w, "general.architecture", (struct text){"toy", 3}, &err), 0);
    assert_int_equal(gguf_write_scalar(w, "toy.n", GGUF_U32, &n, &err), 0);
    assert_int_equal(gguf_write_tensor(w, "a", TYPE_F32, 2, (uint64_t[]){8, 2}, a, &err), 0);
    assert_int_equal(gguf_write_tensor(w, "b", TYPE_Q8_0, 1, (uint64_t[]){32}, q, &err), 0);
    const int fd = memfd_create("written", MFD_CLOEXEC);
    assert_int_equal(gguf_writer_finish(w, fd, NULL, NULL, &err), 0);
    struct stat st;
    fstat(fd, &st);
    assert_int_equal(st.st_size, want.n);
    char *got = malloc(want.n);
    assert_int_equal(pread(fd, got, want.n, 0), want.n);
    assert_memory_equal(got, want.p, want.n);
    free(got);
    close(fd);
    buf_free(&want);
}

int main(void)
{
#define T(NAME) cmocka_unit_test_setup_teardown(NAME, start, stop)
    const struct CMUnitTest tests[] = {
        T(every_scalar_kind_comes_back),
        T(every_array_kind_comes_back),
        T(texts_come_back),
        T(empty_arrays_come_back),
        T(keys_keep_their_order),
        T(tensors_come_back_aligned),
        T(large_tensors_are_filled_in_pieces),
        T(an_error_of_fill_ends_the_writing),
        T(a_tensor_without_data_needs_fill),
        T(a_full_disk_is_an_error),
        T(names_twice_are_refused),
        T(what_the_reader_refuses_is_not_written),
        T(the_bytes_are_those_of_the_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
