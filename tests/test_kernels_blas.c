/* tests/test_kernels_blas.c - the products of the table "blas" against sums in double. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include "kernels/kernels.h"

static const struct kernels *blas_or_skip(void)
{
    struct err e = {0};
    const struct kernels *k = kernels_pick("blas", &e);
    if (k)
        return k;
    print_message("skipped: %s\n", e.text);
    skip();
    return NULL;
}

static float next(uint32_t *x)
{
    *x = *x * 1664525u + 1013904223u;
    return (float)(*x >> 8) * 0x1p-23f - 1;
}

/* Blocks whose scale is a small f16 and whose codes are anything. */
static uint8_t *blocks(uint32_t type, int rows, int k, uint32_t *x)
{
    const struct gguf_type_info *t = gguf_type_info(type);
    const size_t n = (size_t)rows * (size_t)k / t->block_elems;
    uint8_t *p = malloc(n * t->block_bytes);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++) {
        uint8_t *b = p + i * t->block_bytes;
        if (type == TYPE_F32) {
            const float f = next(x);
            memcpy(b, &f, sizeof f);
            continue;
        }
        for (int j = 0; j < t->block_bytes; j++)
            b[j] = (uint8_t)(next(x) * 127);
        const uint16_t d = f32_to_f16(0.01f + 0.001f * next(x));
        memcpy(b, &d, 2); /* Q8_0, Q5_0: in front; Q4_K: d, then dmin */
        if (type == TYPE_Q4_K)
            memcpy(b + 2, &d, 2);
    }
    return p;
}

static void check(const struct kernels *kn, uint32_t type, int rows, int k, int n, bool add)
{
    struct err e = {0};
    struct mat m;
    size_t bytes;
    uint32_t x = type * 7 + 1;
    assert_int_equal(mat_init(&m, type, rows, k, &bytes, &e), 0);
    m.data = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    uint8_t *raw = blocks(type, rows, k, &x);
    mat_pack(&m, raw, 0, mat_groups(&m));
    const size_t ldx = (size_t)k + 32, ldy = (size_t)rows + 5;
    float *in = malloc((size_t)n * ldx * sizeof *in), *y = malloc((size_t)n * ldy * sizeof *y);
    float *row = malloc((size_t)k * sizeof *row);
    assert_true(m.data && in && y && row);
    for (size_t i = 0; i < (size_t)n * ldx; i++)
        in[i] = next(&x);
    for (size_t i = 0; i < (size_t)n * ldy; i++)
        y[i] = 100;
    struct acts a = {n, k, in, ldx, aligned_alloc(64, (kn->acts_bytes(n, k) + 63) & ~(size_t)63)};
    void *scratch = aligned_alloc(64, (kn->mm_scratch_bytes + 63) & ~(size_t)63);
    assert_true(a.a32 && scratch);
    if (k % 32 == 0)
        kn->quantize(&a, 0, n);
    kn->mul_mat[type](&m, &a, y, ldy, add, 0, mat_groups(&m), scratch);
    for (int r = 0; r < rows; r++) {
        mat_row(&m, r, row);
        for (int c = 0; c < n; c++) {
            double sum = add ? 100 : 0, size = 0;
            for (int i = 0; i < k; i++) {
                const double p = (double)row[i] * in[(size_t)c * ldx + (size_t)i];
                sum += p;
                size += fabs(p);
            }
            const double got = y[(size_t)c * ldy + (size_t)r];
            if (!(fabs(got - sum) <= 1e-5 * (size + 100)))
                fail_msg("type %u, %dx%d, %d columns: row %d, column %d is %g, not %g", type, rows,
                         k, n, r, c, got, sum);
        }
    }
    for (int c = 0; c < n; c++)
        for (size_t r = (size_t)rows; r < ldy; r++)
            assert_true(y[(size_t)c * ldy + r] == 100); /* nothing between the columns */
    free(m.data), free(raw), free(in), free(y), free(row), free(a.a32), free(scratch);
}

static void many_columns_are_f32_products(void **state)
{
    (void)state;
    const struct kernels *k = blas_or_skip();
    static const uint32_t types[] = {TYPE_F32, TYPE_Q8_0, TYPE_Q5_0, TYPE_Q4_K};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        check(k, types[i], 33, 512, 16, false);
        check(k, types[i], 300, 256, 40, true);
        check(k, types[i], 16, 16384, 17, false); /* rows so long that a part is one group */
    }
}

/* Generation stays with our kernels, bit for bit. */
static void few_columns_are_the_base_tables(void **state)
{
    (void)state;
    const struct kernels *k = blas_or_skip();
    const struct kernels *all[16];
    const int n = kernels_all(all, 16);
    const struct kernels *best = all[n - 1];
    struct err e = {0};
    struct mat m;
    size_t bytes;
    uint32_t x = 5;
    assert_int_equal(mat_init(&m, TYPE_Q8_0, 32, 64, &bytes, &e), 0);
    m.data = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    uint8_t *raw = blocks(TYPE_Q8_0, 32, 64, &x);
    mat_pack(&m, raw, 0, 2);
    float in[3 * 64], y[3 * 32], want[3 * 32];
    for (int i = 0; i < 3 * 64; i++)
        in[i] = next(&x);
    struct acts a = {3, 64, in, 64, aligned_alloc(64, (k->acts_bytes(3, 64) + 63) & ~(size_t)63)};
    void *scratch = aligned_alloc(64, (k->mm_scratch_bytes + 63) & ~(size_t)63);
    k->quantize(&a, 0, 3);
    k->mul_mat[TYPE_Q8_0](&m, &a, y, 32, false, 0, 2, scratch);
    best->mul_mat[TYPE_Q8_0](&m, &a, want, 32, false, 0, 2, scratch);
    assert_memory_equal(y, want, sizeof y);
    free(m.data), free(raw), free(a.a32), free(scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_columns_are_f32_products),
        cmocka_unit_test(few_columns_are_the_base_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
