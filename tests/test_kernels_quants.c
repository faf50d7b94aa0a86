/* tests/test_kernels_quants.c - packing and the values of packed and raw blocks, against data made
 * by another implementation (tests/data/quants). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "kernels/kernels.h"

static const uint32_t types[] = {TYPE_Q4_0, TYPE_Q4_1, TYPE_Q5_0, TYPE_Q5_1, TYPE_Q8_0,
                                 TYPE_Q2_K, TYPE_Q3_K, TYPE_Q4_K, TYPE_Q5_K, TYPE_Q6_K,
                                 TYPE_IQ2_XXS, TYPE_IQ2_XS, TYPE_IQ2_S, TYPE_IQ3_XXS,
                                 TYPE_IQ3_S, TYPE_IQ1_S, TYPE_IQ1_M,
                                 TYPE_IQ4_NL, TYPE_IQ4_XS, TYPE_MXFP4, TYPE_NVFP4,
                                 TYPE_Q1_0, TYPE_Q2_0, TYPE_TQ1_0, TYPE_TQ2_0};
enum { N_TYPES = sizeof types / sizeof *types };

static uint8_t *read_data(const char *name, const char *ending, size_t *n)
{
    char path[1024];
    snprintf(path, sizeof path, TEST_DATA "/quants/%s.%s", name, ending);
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("no %s", path);
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    uint8_t *p = malloc(*n);
    assert_non_null(p);
    assert_int_equal(fread(p, 1, *n, f), *n);
    fclose(f);
    return p;
}

static void assert_same(const float *want, const float *got, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t a, b;
        memcpy(&a, want + i, 4);
        memcpy(&b, got + i, 4);
        if (a != b && !(want[i] != want[i] && got[i] != got[i]))
            fail_msg("%s: value %zu: want %08x, got %08x", name, i, a, b);
    }
}

static void raw_blocks_have_the_exact_values(void **state)
{
    (void)state;
    for (int t = 0; t < N_TYPES; t++) {
        const struct gguf_type_info *info = gguf_type_info(types[t]);
        size_t n_raw, n_values;
        uint8_t *raw = read_data(info->name, "bin", &n_raw);
        float *want = (float *)read_data(info->name, "f32", &n_values);
        float *got = malloc(n_values);
        assert_non_null(got);
        assert_int_equal(n_raw / info->block_bytes * info->block_elems, n_values / 4);
        assert_int_equal(kernels_dequant(types[t], raw, n_raw / info->block_bytes, got), 0);
        assert_same(want, got, n_values / 4, info->name);
        free(raw);
        free(want);
        free(got);
    }
}

/* The blocks as a matrix of 21 rows of 2 blocks, so that rows meet lanes and a group is not full.
 */
static void rows_survive_packing(void **state)
{
    (void)state;
    enum { ROWS = 21, BLOCKS = 2 };
    for (int t = 0; t < N_TYPES; t++) {
        const struct gguf_type_info *info = gguf_type_info(types[t]);
        size_t n_raw, n_values, bytes, elems = BLOCKS * info->block_elems;
        uint8_t *raw = read_data(info->name, "bin", &n_raw);
        float *want = (float *)read_data(info->name, "f32", &n_values);
        size_t row_bytes = BLOCKS * info->block_bytes, n_rows = n_raw / row_bytes;
        uint8_t *src = malloc(ROWS * row_bytes);
        float *got = malloc(elems * sizeof *got);
        struct mat m;
        assert_non_null(src);
        assert_non_null(got);
        for (size_t r = 0; r < ROWS; r++)
            memcpy(src + r * row_bytes, raw + r * 5 % n_rows * row_bytes, row_bytes);
        assert_int_equal(mat_init(&m, types[t], ROWS, (int64_t)elems, &bytes, NULL), 0);
        m.data = aligned_alloc(64, (bytes + 63) / 64 * 64);
        assert_non_null(m.data);
        memset(m.data, 0xee, bytes);
        mat_pack(&m, src, 1, 2); /* groups in any order */
        mat_pack(&m, src, 0, 1);
        for (size_t r = 0; r < ROWS; r++) {
            mat_row(&m, (int32_t)r, got);
            assert_same(want + r * 5 % n_rows * elems, got, elems, info->name);
        }
        for (size_t i = ROWS; i < 32; i++) { /* rows past the end are zeros */
            mat_row(&m, (int32_t)i, got);
            for (size_t k = 0; k < elems; k++)
                assert_true(got[k] == 0.0f);
        }
        free(raw);
        free(want);
        free(src);
        free(got);
        free(m.data);
    }
}

static void floats_survive_packing(void **state)
{
    (void)state;
    enum { ROWS = 18, COLS = 7 };
    uint16_t half[ROWS * COLS];
    float f32[ROWS * COLS], got[COLS];
    _Alignas(64) static uint8_t room[2 * COLS * 64];
    struct mat m = {.type = 0};
    size_t bytes;
    for (int i = 0; i < ROWS * COLS; i++)
        half[i] = (uint16_t)(i * 257), f32[i] = (float)i;
    for (int t = 0; t < 3; t++) {
        uint32_t type = t == 0 ? TYPE_F32 : t == 1 ? TYPE_F16 : TYPE_BF16;
        assert_int_equal(mat_init(&m, type, ROWS, COLS, &bytes, NULL), 0);
        assert_true(bytes <= sizeof room);
        m.data = room;
        mat_pack(&m, t ? (void *)half : (void *)f32, 0, 2);
        for (int r = 0; r < ROWS; r++) {
            mat_row(&m, r, got);
            for (int k = 0; k < COLS; k++) {
                int at = r * COLS + k;
                uint32_t wide = (uint32_t)half[at] << 16;
                float want = t == 1 ? f16_to_f32(half[at]) : f32[at];
                if (t == 2)
                    memcpy(&want, &wide, 4);
                assert_same(&want, got + k, 1, "float");
            }
        }
    }
}

static void halves_round_to_nearest_even(void **state)
{
    (void)state;
    size_t n, n16;
    float *x = (float *)read_data("narrow", "f32", &n);
    uint16_t *want = (uint16_t *)read_data("narrow", "f16", &n16);
    assert_int_equal(n / 4, n16 / 2);
    for (size_t i = 0; i < n / 4; i++)
        if (f32_to_f16(x[i]) != want[i])
            fail_msg("%a: want %04x, got %04x", (double)x[i], want[i], f32_to_f16(x[i]));
    free(x);
    free(want);
}

static void every_half_survives_the_way_to_f32_and_back(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float f = f16_to_f32((uint16_t)h);
        if (f == f)
            assert_int_equal(f32_to_f16(f), h);
        else
            assert_true((h & 0x7c00) == 0x7c00 && (h & 0x3ff));
    }
}

static void a_type_without_kernels_is_refused_by_name(void **state)
{
    (void)state;
    struct mat m;
    struct err e = {0};
    size_t bytes;
    assert_int_equal(mat_init(&m, TYPE_I32, 16, 256, &bytes, &e), -1);
    assert_int_equal(e.code, ERR_UNSUPPORTED);
    assert_non_null(strstr(e.text, "I32"));
    assert_int_equal(mat_init(&m, 1000, 16, 256, &bytes, &e), -1);
    assert_int_equal(kernels_dequant(TYPE_I32, NULL, 0, NULL), -1);
}

static void a_row_that_is_no_whole_blocks_is_refused(void **state)
{
    (void)state;
    struct mat m;
    struct err e = {0};
    size_t bytes;
    assert_int_equal(mat_init(&m, TYPE_Q4_K, 16, 576, &bytes, &e), -1);
    assert_int_equal(e.code, ERR_INPUT);
    assert_int_equal(mat_init(&m, TYPE_Q8_0, 16, 33, &bytes, &e), -1);
    assert_int_equal(mat_init(&m, TYPE_Q8_0, 0, 32, &bytes, &e), -1);
    assert_int_equal(mat_init(&m, TYPE_F32, INT64_MAX, INT64_MAX, &bytes, &e), -1);
}

static void an_unknown_table_is_refused_with_the_list(void **state)
{
    (void)state;
    struct err e = {0};
    assert_null(kernels_pick("sse9", &e));
    assert_int_equal(e.code, ERR_INPUT);
    assert_non_null(strstr(e.text, "ref"));
    assert_string_equal(kernels_pick("ref", &e)->name, "ref");
    assert_non_null(kernels_pick(NULL, &e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raw_blocks_have_the_exact_values),
        cmocka_unit_test(rows_survive_packing),
        cmocka_unit_test(floats_survive_packing),
        cmocka_unit_test(halves_round_to_nearest_even),
        cmocka_unit_test(every_half_survives_the_way_to_f32_and_back),
        cmocka_unit_test(a_type_without_kernels_is_refused_by_name),
        cmocka_unit_test(a_row_that_is_no_whole_blocks_is_refused),
        cmocka_unit_test(an_unknown_table_is_refused_with_the_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
