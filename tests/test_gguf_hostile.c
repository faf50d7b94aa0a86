/* tests/test_gguf_hostile.c - every way of a GGUF file to lie is refused with its name.
 *
 * One test a lie. Counts and lengths near 2^64 stand where sums and products would wrap. */
#include "tests/forge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void refused(struct buf *b, enum err_code code, const char *text)
{
    struct err e = {0};
    struct gguf *g = forge_open(b, &e);
    if (g) {
        gguf_close(g);
        fail_msg("opened, but \"%s\" was expected", text);
    }
    assert_has(e.text, text);
    assert_has(e.text, "forged: ");
    assert_int_equal(e.code, code);
}

/* A test: the statements forge `b`, then it is refused with that code and text. */
#define LIE(NAME, CODE, TEXT, ...)                                                                 \
    static void NAME(void **s)                                                                     \
    {                                                                                              \
        struct buf b = {0};                                                                        \
        __VA_ARGS__                                                                                \
        refused(&b, CODE, TEXT);                                                                   \
    }

/* One tensor of that shape and 64 bytes of data. */
static void one_tensor(struct buf *b, uint32_t type, uint32_t n_dims, uint64_t d0, uint64_t d1,
                       uint64_t offset)
{
    forge_head(b, 3, 1, 0);
    forge_tensor(b, "w", type, n_dims, d0, d1, offset);
    forge_pad(b, 32);
    forge_zeros(b, 64);
}

// clang-format off

/* ---- the start ---------------------------------------------------------------------------- */

LIE(empty_file, ERR_INPUT, "the file is empty", (void)b;)
LIE(three_bytes, ERR_INPUT, "cut short: 4 bytes wanted for the magic, 3 left", buf_puts(&b, "GGU");)
LIE(wrong_magic, ERR_INPUT, "not a GGUF file (it starts with \"GGML\")",
    forge_good(&b); memcpy(b.p, "GGML", 4);)
LIE(magic_of_control_bytes, ERR_INPUT, "it starts with \"\\x1b[2J\"",
    forge_good(&b); memcpy(b.p, "\x1b[2J", 4);)
LIE(version_cut, ERR_INPUT, "for the version, 2 left", buf_add(&b, "GGUF\3", 6);)
LIE(version_0, ERR_UNSUPPORTED, "big-endian", forge_head(&b, 0, 0, 0);)
LIE(version_1, ERR_UNSUPPORTED, "GGUF version 1 is too old", forge_head(&b, 1, 0, 0);)
LIE(version_4, ERR_UNSUPPORTED, "GGUF version 4 is not known", forge_head(&b, 4, 0, 0);)
LIE(big_endian, ERR_UNSUPPORTED, "a big-endian GGUF file (version field 0x03000000)",
    forge_head(&b, 0x03000000, 0, 0);)
LIE(counts_cut, ERR_INPUT, "for the number of keys, 7 left", forge_head(&b, 3, 0, 0); b.n--;)
LIE(too_many_tensors, ERR_LIMIT, "65537 tensors, 65536 are allowed", forge_head(&b, 3, 65537, 0);)
LIE(too_many_keys, ERR_LIMIT, "65537 metadata keys, 65536 are allowed",
    forge_head(&b, 3, 0, 65537);)
LIE(negative_tensors, ERR_LIMIT, "18446744073709551615 tensors", forge_head(&b, 3, UINT64_MAX, 0);)
LIE(negative_keys, ERR_LIMIT, "18446744073709551615 metadata keys",
    forge_head(&b, 3, 0, UINT64_MAX);)
LIE(more_keys_than_bytes, ERR_INPUT, "bytes wanted for the metadata, 0 left",
    forge_head(&b, 3, 0, 65536);)
LIE(more_tensors_than_bytes, ERR_INPUT, "bytes wanted for the list of tensors",
    forge_head(&b, 3, 65536, 0); forge_zeros(&b, 100);)

/* ---- keys and values ---------------------------------------------------------------------- */

LIE(key_of_2_to_64_bytes, ERR_INPUT, "cut short: 18446744073709551615 bytes wanted for the key",
    forge_head(&b, 3, 0, 1); forge_u64(&b, UINT64_MAX); forge_zeros(&b, 64);)
LIE(key_too_long, ERR_LIMIT, "the key of 65536 bytes, 65535 are allowed",
    forge_head(&b, 3, 0, 1); forge_u64(&b, 65536); forge_zeros(&b, 70000);)
LIE(key_empty, ERR_INPUT, "metadata entry 0: the key is empty",
    forge_head(&b, 3, 0, 1); forge_key_u32(&b, "", 1);)
LIE(key_with_nul, ERR_INPUT, "the key holds a NUL byte",
    forge_head(&b, 3, 0, 1); forge_u64(&b, 3); buf_add(&b, "a\0b", 3); forge_zeros(&b, 9);)
LIE(key_twice, ERR_INPUT, "key \"k\" stands twice",
    forge_head(&b, 3, 0, 2); forge_key_u32(&b, "k", 1); forge_key_u32(&b, "k", 1);)
LIE(key_of_control_bytes_is_shown_clean, ERR_INPUT, "key \"\\x0a\\x1b[0m\" stands twice",
    forge_head(&b, 3, 0, 2); forge_key_u32(&b, "\n\x1b[0m", 1); forge_key_u32(&b, "\n\x1b[0m", 1);)
LIE(kind_13, ERR_INPUT, "key \"k\": type 13 is not known",
    forge_head(&b, 3, 0, 1); forge_key(&b, "k", 13); forge_u64(&b, 0);)
LIE(kind_of_32_bits, ERR_INPUT, "type 4294967295 is not known",
    forge_head(&b, 3, 0, 1); forge_key(&b, "k", UINT32_MAX); forge_u64(&b, 0);)
LIE(value_cut, ERR_INPUT, "key \"key\": cut short: 8 bytes wanted for its value, 4 left",
    forge_head(&b, 3, 0, 1); forge_key(&b, "key", 10); forge_u32(&b, 0);)
LIE(bool_of_2, ERR_INPUT, "a bool of value 2",
    forge_head(&b, 3, 0, 1); forge_key(&b, "k", 7); forge_u8(&b, 2);)
LIE(string_past_the_end, ERR_INPUT, "cut short: 5 bytes wanted for a string, 4 left",
    forge_head(&b, 3, 0, 1); forge_key_text(&b, "k", "abcde"); b.n--;)
LIE(string_of_2_to_63_bytes, ERR_INPUT, "9223372036854775808 bytes wanted for a string",
    forge_head(&b, 3, 0, 1); forge_key(&b, "k", 8); forge_u64(&b, (uint64_t)1 << 63);)
LIE(string_too_long, ERR_LIMIT, "a string of 16777217 bytes, 16777216 are allowed",
    forge_head(&b, 3, 0, 1); forge_key(&b, "k", 8); forge_u64(&b, (16 << 20) + 1);
    char *big = calloc(1, 17 << 20); buf_add(&b, big, 17 << 20); free(big);)

/* ---- arrays ------------------------------------------------------------------------------- */

LIE(array_of_arrays, ERR_LIMIT, "an array of arrays",
    forge_head(&b, 3, 0, 1); forge_array(&b, "k", 9, 1); forge_zeros(&b, 32);)
LIE(array_of_unknown, ERR_INPUT, "array of type 99, which is not known",
    forge_head(&b, 3, 0, 1); forge_array(&b, "k", 99, 1); forge_zeros(&b, 32);)
LIE(array_past_the_end, ERR_INPUT, "cut short: 40 bytes wanted for its items, 32 left",
    forge_head(&b, 3, 0, 1); forge_array(&b, "k", 10, 5); forge_zeros(&b, 32);)
LIE(array_too_long, ERR_LIMIT, "an array of 16777217 items",
    forge_head(&b, 3, 0, 1); forge_array(&b, "k", 0, (16 << 20) + 1);)
LIE(array_whose_bytes_wrap, ERR_LIMIT, "an array of 2305843009213693953 items",
    forge_head(&b, 3, 0, 1); forge_array(&b, "k", 10, ((uint64_t)1 << 61) + 1);
    forge_zeros(&b, 32);)
LIE(strings_more_than_bytes, ERR_INPUT, "bytes wanted for its strings",
    forge_head(&b, 3, 0, 1); forge_array(&b, "k", 8, 16 << 20); forge_zeros(&b, 64);)
LIE(strings_one_past_the_end, ERR_INPUT, "cut short: 99 bytes wanted for a string, 8 left",
    forge_head(&b, 3, 0, 1); forge_array(&b, "k", 8, 2); forge_u64(&b, 0); forge_u64(&b, 99);
    forge_u64(&b, 0);)

/* ---- alignment ---------------------------------------------------------------------------- */

LIE(alignment_0, ERR_INPUT, "general.alignment is 0, a power of two from 8 to 65536 is wanted",
    forge_head(&b, 3, 0, 1); forge_key_u32(&b, "general.alignment", 0);)
LIE(alignment_4, ERR_INPUT, "general.alignment is 4",
    forge_head(&b, 3, 0, 1); forge_key_u32(&b, "general.alignment", 4);)
LIE(alignment_48, ERR_INPUT, "general.alignment is 48",
    forge_head(&b, 3, 0, 1); forge_key_u32(&b, "general.alignment", 48);)
LIE(alignment_128_ki, ERR_INPUT, "general.alignment is 131072",
    forge_head(&b, 3, 0, 1); forge_key_u32(&b, "general.alignment", 131072);)
LIE(alignment_of_u64, ERR_INPUT, "general.alignment is of type u64, u32 is wanted",
    forge_head(&b, 3, 0, 1); forge_key(&b, "general.alignment", 10); forge_u64(&b, 32);)
LIE(alignment_of_array, ERR_INPUT, "general.alignment is of type array, u32 is wanted",
    forge_head(&b, 3, 0, 1); forge_array(&b, "general.alignment", 4, 1); forge_u32(&b, 32);)

/* ---- tensors ------------------------------------------------------------------------------ */

LIE(name_of_64_bytes, ERR_LIMIT, "tensor 0: the name of 64 bytes, 63 are allowed",
    forge_head(&b, 3, 1, 0); forge_u64(&b, 64); forge_zeros(&b, 200);)
LIE(name_empty, ERR_INPUT, "tensor 0: the name is empty",
    forge_head(&b, 3, 1, 0); forge_tensor(&b, "", 0, 1, 4, 1, 0); forge_zeros(&b, 64);)
LIE(name_with_nul, ERR_INPUT, "tensor 0: the name holds a NUL byte",
    one_tensor(&b, 0, 1, 4, 1, 0); b.p[32] = 0;)
LIE(name_twice, ERR_INPUT, "tensor \"w\" stands twice",
    forge_head(&b, 3, 2, 0); forge_tensor(&b, "w", 0, 1, 4, 1, 0);
    forge_tensor(&b, "w", 0, 1, 4, 1, 32); forge_pad(&b, 32); forge_zeros(&b, 64);)
LIE(dims_0, ERR_INPUT, "tensor \"w\": 0 dimensions, 1 to 4 are possible",
    one_tensor(&b, 0, 0, 4, 1, 0);)
LIE(dims_5, ERR_INPUT, "tensor \"w\": 5 dimensions, 1 to 4 are possible",
    one_tensor(&b, 0, 5, 4, 1, 0);)
LIE(dims_of_32_bits, ERR_INPUT, "tensor \"w\": 4294967295 dimensions",
    one_tensor(&b, 0, UINT32_MAX, 4, 1, 0);)
LIE(dimension_0, ERR_INPUT, "tensor \"w\": dimension 1 is 0", one_tensor(&b, 0, 2, 4, 0, 0);)
LIE(row_of_no_values, ERR_INPUT, "tensor \"w\": dimension 0 is 0", one_tensor(&b, 8, 1, 0, 1, 0);)
LIE(row_not_whole_blocks, ERR_INPUT, "rows of 33 values are not whole blocks of Q8_0 (32 values)",
    one_tensor(&b, 8, 1, 33, 1, 0);)
LIE(row_of_k_quant, ERR_INPUT, "rows of 128 values are not whole blocks of Q4_K (256 values)",
    one_tensor(&b, 12, 1, 128, 1, 0);)
LIE(values_wrap, ERR_INPUT, "the dimensions multiply to more than 63 bits",
    one_tensor(&b, 0, 2, (uint64_t)1 << 32, (uint64_t)1 << 32, 0);)
LIE(values_wrap_to_small, ERR_INPUT, "the dimensions multiply to more than 63 bits",
    one_tensor(&b, 0, 2, ((uint64_t)1 << 62) + 1, 4, 0);)
LIE(bytes_wrap, ERR_INPUT, "the dimensions multiply to more than 63 bits",
    one_tensor(&b, 0, 1, (uint64_t)1 << 62, 1, 0);)
LIE(negative_dimension, ERR_INPUT, "the dimensions multiply to more than 63 bits",
    one_tensor(&b, 24, 1, UINT64_MAX, 1, 0);)
LIE(type_removed, ERR_UNSUPPORTED, "type Q4_2 was removed from the format",
    one_tensor(&b, TYPE_Q4_2, 1, 32, 1, 0);)
LIE(type_removed_repacked, ERR_UNSUPPORTED, "type Q4_0_8_8 was removed",
    one_tensor(&b, TYPE_Q4_0_8_8, 1, 32, 1, 0);)
LIE(type_internal, ERR_INPUT, "type Q8_K is for activations",
    one_tensor(&b, TYPE_Q8_K, 1, 256, 1, 0);)
LIE(type_foreign, ERR_UNSUPPORTED, "tensor \"w\": type id 1000 is not known",
    one_tensor(&b, 1000, 1, 32, 1, 0);)
LIE(type_of_32_bits, ERR_UNSUPPORTED, "type id 4294967295 is not known",
    one_tensor(&b, UINT32_MAX, 1, 32, 1, 0);)
LIE(offset_not_aligned, ERR_INPUT, "offset 16 is not a multiple of the alignment 32",
    one_tensor(&b, 0, 1, 4, 1, 16);)
LIE(offset_past_the_end, ERR_INPUT, "offset 96 and 16 bytes, but the file has 64 bytes",
    one_tensor(&b, 0, 1, 4, 1, 96);)
LIE(offset_that_wraps, ERR_INPUT, "offset 18446744073709551584 and 64 bytes",
    one_tensor(&b, 0, 1, 16, 1, UINT64_MAX - 31);)
LIE(bytes_past_the_end, ERR_INPUT, "offset 32 and 64 bytes, but the file has 64 bytes",
    one_tensor(&b, 0, 1, 16, 1, 32);)
LIE(one_byte_past_the_end, ERR_INPUT, "offset 0 and 64 bytes, but the file has 63 bytes",
    one_tensor(&b, 0, 1, 16, 1, 0); b.n--;)
LIE(data_that_never_starts, ERR_INPUT, "but the file has 0 bytes of tensor data",
    forge_head(&b, 3, 1, 0); forge_tensor(&b, "w", 0, 1, 1, 1, 0);)
LIE(tensors_overlap, ERR_INPUT, "tensors \"v\" and \"w\" overlap",
    forge_head(&b, 3, 2, 0); forge_tensor(&b, "w", 0, 1, 8, 1, 32);
    forge_tensor(&b, "v", 0, 1, 16, 1, 0); forge_pad(&b, 32); forge_zeros(&b, 64);)
LIE(tensors_at_one_place, ERR_INPUT, "overlap",
    forge_head(&b, 3, 2, 0); forge_tensor(&b, "w", 0, 1, 4, 1, 0);
    forge_tensor(&b, "v", 0, 1, 4, 1, 0); forge_pad(&b, 32); forge_zeros(&b, 64);)
LIE(tensor_list_cut, ERR_INPUT, "cut short",
    forge_head(&b, 3, 1, 0); forge_tensor(&b, "w", 0, 4, 1, 1, 0); b.n -= 9;)

/* ---- split files -------------------------------------------------------------------------- */

LIE(parts_not_given, ERR_INPUT, "a model of 2 files, 1 are given", forge_part(&b, 0, 2, 2);)
LIE(not_the_first_part, ERR_INPUT, "this is part 2 of a model of 3 files; the first part is wanted",
    forge_part(&b, 1, 3, 3);)
LIE(too_many_parts, ERR_LIMIT, "split.count is 257, 256 parts are allowed",
    forge_part(&b, 0, 257, 1);)
LIE(split_count_of_text, ERR_INPUT, "key \"split.count\" is a string, an integer is wanted",
    forge_head(&b, 3, 0, 1); forge_key_text(&b, "split.count", "2");)
LIE(split_count_of_array, ERR_INPUT, "key \"split.count\" is an array",
    forge_head(&b, 3, 0, 1); forge_array(&b, "split.count", 4, 0);)
LIE(split_count_negative, ERR_INPUT, "key \"split.count\" is -1",
    forge_head(&b, 3, 0, 1); forge_key(&b, "split.count", 5); forge_u32(&b, UINT32_MAX);)

// clang-format on

static void two_refused(unsigned no, unsigned count, unsigned said, const char *text)
{
    int fds[2];
    struct buf b = {0};
    forge_part(&b, 0, 2, said);
    fds[0] = forge_fd(&b);
    forge_part(&b, no, count, said);
    fds[1] = forge_fd(&b);
    struct err e = {0};
    assert_null(gguf_open_fds(fds, 2, "forged", &e));
    close(fds[0]);
    close(fds[1]);
    assert_has(e.text, text);
    assert_int_equal(e.code, ERR_INPUT);
}

static void parts_of_another_count(void **s)
{
    two_refused(1, 3, 2, "part 2: split.count is 3, the first part says 2");
}

static void parts_in_wrong_order(void **s)
{
    two_refused(2, 2, 2, "part 2: split.no is 2, 1 is wanted");
}

static void one_part_twice(void **s)
{
    two_refused(0, 2, 2, "part 2: split.no is 0, 1 is wanted");
}

static void parts_with_fewer_tensors(void **s)
{
    two_refused(1, 2, 5, "split.tensors.count is 5, the parts hold 2 tensors");
}

static void parts_with_one_name_twice(void **s)
{
    int fds[2];
    struct buf b = {0};
    forge_part(&b, 0, 2, 2);
    fds[0] = forge_fd(&b);
    forge_part(&b, 1, 2, 2);
    char *name = memmem(b.p, b.n, "t1", 2);
    assert_non_null(name);
    name[1] = '0';
    fds[1] = forge_fd(&b);
    struct err e = {0};
    assert_null(gguf_open_fds(fds, 2, "forged", &e));
    close(fds[0]);
    close(fds[1]);
    assert_has(e.text, "tensor \"t0\" stands twice");
}

static void split_of_another_name(void **s)
{
    struct forge_folder f;
    struct buf b = {0};
    struct err e = {0};
    forge_folder_make(&f);
    forge_part(&b, 0, 2, 2);
    forge_file(&f, "toy-00001-of-00003.gguf", &b);
    assert_null(gguf_open(forge_path(&f, "toy-00001-of-00003.gguf"), &e));
    forge_folder_remove(&f);
    assert_has(e.text, "the name must end in \"-00001-of-00002.gguf\"");
}

static void split_without_its_sister(void **s)
{
    struct forge_folder f;
    struct buf b = {0};
    struct err e = {0};
    forge_folder_make(&f);
    forge_part(&b, 0, 2, 2);
    forge_file(&f, "toy-00001-of-00002.gguf", &b);
    assert_null(gguf_open(forge_path(&f, "toy-00001-of-00002.gguf"), &e));
    forge_folder_remove(&f);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_has(e.text, "toy-00002-of-00002.gguf\": No such file");
}

/* ---- what is no file ------------------------------------------------------------------------ */

static void a_folder_is_refused(void **s)
{
    struct err e = {0};
    assert_null(gguf_open("/", &e));
    assert_has(e.text, "not a regular file");
}

static void a_pipe_is_refused_without_waiting(void **s)
{
    struct forge_folder f;
    struct err e = {0};
    forge_folder_make(&f);
    assert_int_equal(mkfifo(forge_path(&f, "pipe"), 0600), 0);
    assert_null(gguf_open(forge_path(&f, "pipe"), &e));
    forge_folder_remove(&f);
    assert_has(e.text, "not a regular file");
}

static void a_missing_file_is_not_found(void **s)
{
    struct err e = {0};
    assert_null(gguf_open("/no/such.gguf", &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_has(e.text, "cannot open \"/no/such.gguf\"");
}

static void no_descriptors_are_refused(void **s)
{
    struct err e = {0};
    assert_null(gguf_open_fds(NULL, 0, "forged", &e));
    assert_has(e.text, "0 files, 1 to 256 are possible");
}

static void a_null_err_is_fine(void **s)
{
    struct buf b = {0};
    buf_puts(&b, "GGUF");
    assert_null(forge_open(&b, NULL));
}

/* Every file that is cut short somewhere is refused, none reads past its end (the bytes end
 * at the end of a page where the page size allows it). */
static void every_cut_is_refused(void **s)
{
    struct buf whole = {0};
    forge_good(&whole);
    const size_t needed = whole.n - 30; /* the padding behind the last tensor may be missing */
    for (size_t n = 0; n < needed; n++) {
        struct buf b = {0};
        struct err e = {0};
        buf_add(&b, whole.p, n);
        if (forge_open(&b, &e))
            fail_msg("cut at %zu: opened", n);
        assert_has(e.text, "forged: ");
    }
    buf_free(&whole);
}

/* Every single changed byte: opens or is refused, but nothing else happens. */
static void every_changed_byte_is_survived(void **s)
{
    static const uint8_t with[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    struct buf whole = {0};
    forge_good(&whole);
    for (size_t at = 0; at < whole.n; at++)
        for (size_t k = 0; k < sizeof with; k++) {
            struct buf b = {0};
            struct err e = {0};
            buf_add(&b, whole.p, whole.n);
            b.p[at] = (char)with[k];
            struct gguf *g = forge_open(&b, &e);
            if (!g)
                assert_true(e.text[0] && e.code != ERR_BUG);
            gguf_close(g);
        }
    buf_free(&whole);
}

/* ---- cost ------------------------------------------------------------------------------------ */

/* Ten arrays of 4 Mi empty strings each: allowed one by one, 2.5 times the sum of the limit.
 * The file is 320 MiB of holes. */
static void many_strings_cost_bounded_memory(void **s)
{
    struct forge_folder f;
    struct buf b = {0};
    struct err e = {0};
    const off_t bytes = (off_t)8 * (4 << 20);
    forge_folder_make(&f);
    forge_head(&b, 3, 0, 10);
    forge_file(&f, "holes.gguf", &b);
    FILE *file = fopen(forge_path(&f, "holes.gguf"), "r+");
    assert_non_null(file);
    fseeko(file, 0, SEEK_END);
    for (int i = 0; i < 10; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%d", i);
        forge_array(&b, key, 8, 4 << 20);
        assert_int_equal(fwrite(b.p, 1, b.n, file), b.n);
        buf_free(&b);
        assert_int_equal(fseeko(file, bytes, SEEK_CUR), 0);
    }
    assert_int_equal(fflush(file), 0);
    assert_int_equal(ftruncate(fileno(file), ftello(file)), 0);
    fclose(file);
    const int64_t start = time_mono_ns();
    assert_null(gguf_open(forge_path(&f, "holes.gguf"), &e));
    const int64_t ms = (time_mono_ns() - start) / 1000000;
    forge_folder_remove(&f);
    assert_has(e.text, "more than 16777216 strings in all arrays together");
    assert_int_equal(e.code, ERR_LIMIT);
    assert_true(ms < 10000);
}

/* Arrays of allowed size whose sum is larger than any header. */
static void a_header_without_end_is_refused(void **s)
{
    struct forge_folder f;
    struct buf b = {0};
    struct err e = {0};
    forge_folder_make(&f);
    forge_head(&b, 3, 0, 3);
    forge_file(&f, "holes.gguf", &b);
    FILE *file = fopen(forge_path(&f, "holes.gguf"), "r+");
    assert_non_null(file);
    fseeko(file, 0, SEEK_END);
    for (int i = 0; i < 3; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%d", i);
        forge_array(&b, key, 10, 16 << 20);
        assert_int_equal(fwrite(b.p, 1, b.n, file), b.n);
        buf_free(&b);
        assert_int_equal(fseeko(file, (off_t)8 * (16 << 20), SEEK_CUR), 0);
    }
    assert_int_equal(fflush(file), 0);
    assert_int_equal(ftruncate(fileno(file), ftello(file)), 0);
    fclose(file);
    assert_null(gguf_open(forge_path(&f, "holes.gguf"), &e));
    forge_folder_remove(&f);
    assert_has(e.text, "more than 256 MiB before the tensor data");
    assert_int_equal(e.code, ERR_LIMIT);
}

int main(void)
{
#define T(NAME) cmocka_unit_test(NAME)
    // clang-format off
    const struct CMUnitTest tests[] = {
        T(empty_file), T(three_bytes), T(wrong_magic), T(magic_of_control_bytes), T(version_cut),
        T(version_0), T(version_1), T(version_4), T(big_endian), T(counts_cut),
        T(too_many_tensors), T(too_many_keys), T(negative_tensors), T(negative_keys),
        T(more_keys_than_bytes), T(more_tensors_than_bytes),
        T(key_of_2_to_64_bytes), T(key_too_long), T(key_empty), T(key_with_nul), T(key_twice),
        T(key_of_control_bytes_is_shown_clean), T(kind_13), T(kind_of_32_bits), T(value_cut),
        T(bool_of_2), T(string_past_the_end), T(string_of_2_to_63_bytes), T(string_too_long),
        T(array_of_arrays), T(array_of_unknown), T(array_past_the_end), T(array_too_long),
        T(array_whose_bytes_wrap), T(strings_more_than_bytes), T(strings_one_past_the_end),
        T(alignment_0), T(alignment_4), T(alignment_48), T(alignment_128_ki),
        T(alignment_of_u64), T(alignment_of_array),
        T(name_of_64_bytes), T(name_empty), T(name_with_nul), T(name_twice), T(dims_0), T(dims_5),
        T(dims_of_32_bits), T(dimension_0), T(row_of_no_values), T(row_not_whole_blocks),
        T(row_of_k_quant), T(values_wrap), T(values_wrap_to_small), T(bytes_wrap),
        T(negative_dimension), T(type_removed), T(type_removed_repacked), T(type_internal),
        T(type_foreign), T(type_of_32_bits), T(offset_not_aligned), T(offset_past_the_end),
        T(offset_that_wraps), T(bytes_past_the_end), T(one_byte_past_the_end),
        T(data_that_never_starts), T(tensors_overlap), T(tensors_at_one_place), T(tensor_list_cut),
        T(parts_not_given), T(not_the_first_part), T(too_many_parts), T(split_count_of_text),
        T(split_count_of_array), T(split_count_negative), T(parts_of_another_count),
        T(parts_in_wrong_order), T(one_part_twice), T(parts_with_fewer_tensors),
        T(parts_with_one_name_twice), T(split_of_another_name), T(split_without_its_sister),
        T(a_folder_is_refused), T(a_pipe_is_refused_without_waiting),
        T(a_missing_file_is_not_found), T(no_descriptors_are_refused), T(a_null_err_is_fine),
        T(every_cut_is_refused), T(every_changed_byte_is_survived),
        T(many_strings_cost_bounded_memory), T(a_header_without_end_is_refused),
    };
    // clang-format on
    return cmocka_run_group_tests(tests, NULL, NULL);
}
