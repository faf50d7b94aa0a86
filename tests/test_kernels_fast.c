/* tests/test_kernels_fast.c - the products of `--numerics fast` against sums in double: their
 * errors stay under what bf16's 8 bits explain; few columns stay exact; and no table is fast
 * unasked.
 *
 * AMX's kernels run through an emulation of its tiles (tests/amx_emulated.h) on any CPU with
 * AVX-512. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include "kernels/cpu.h"
#include "kernels/fast/fast.h"
#include "kernels/kernels.h"

#ifdef HAVE_AMXBF16_EMULATED
void x86_fast_amx_emulated(struct kernels *k);
#endif

static const struct kernels *exact_table(const char *name)
{
    const struct kernels *all[16];
    const int n = kernels_all(all, 16);
    for (int i = 0; i < n; i++)
        if (!strcmp(all[i]->name, name))
            return all[i];
    return NULL;
}

static const struct kernels *fast_or_skip(void)
{
    const struct kernels *exact = kernels_pick(NULL, NULL), *k = kernels_fast(exact);
    if (k != exact)
        return k;
    print_message("skipped: this CPU has no units for bf16\n");
    skip();
    return NULL;
}

static const struct kernels *tiles_or_skip(void)
{
    static struct kernels k;
#ifdef HAVE_AMXBF16_EMULATED
    const struct kernels *exact = exact_table("avx512vnni");
    if (k.name)
        return &k;
    if (exact) {
        k = *exact;
        x86_fast_amx_emulated(&k);
        return &k;
    }
#endif
    print_message("skipped: the emulation of AMX wants AVX-512 VNNI for the rest of the table\n");
    skip();
    return NULL;
}

static float next(uint32_t *x)
{
    *x = *x * 1664525u + 1013904223u;
    return (float)(*x >> 8) * 0x1p-23f - 1;
}

/* Random blocks: any codes, scales that are small f16. Where the halves with scales and minima
 * stand is format data. */
static uint8_t *blocks(uint32_t type, int rows, int k, uint32_t *x)
{
    static const struct {
        uint32_t type;
        int at, n; /* f16 scales: the first's place, how many */
    } scales[] = {{TYPE_Q4_0, 0, 1}, {TYPE_Q4_1, 0, 2},   {TYPE_Q5_0, 0, 1},   {TYPE_Q5_1, 0, 2},
                  {TYPE_Q8_0, 0, 1}, {TYPE_Q2_K, 80, 2},  {TYPE_Q3_K, 108, 1}, {TYPE_Q4_K, 0, 2},
                  {TYPE_Q5_K, 0, 2}, {TYPE_Q6_K, 208, 1}, {TYPE_IQ4_NL, 0, 1}, {TYPE_IQ4_XS, 0, 1}};
    const struct gguf_type_info *t = gguf_type_info(type);
    const size_t n = (size_t)rows * (size_t)k / t->block_elems;
    uint8_t *p = malloc(n * t->block_bytes);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++) {
        uint8_t *b = p + i * t->block_bytes;
        const float f = next(x);
        uint32_t u;
        memcpy(&u, &f, 4);
        if (type == TYPE_F32) {
            memcpy(b, &f, 4);
        } else if (type == TYPE_F16 || type == TYPE_BF16) {
            const uint16_t h = type == TYPE_F16 ? f32_to_f16(f) : (uint16_t)(u >> 16);
            memcpy(b, &h, 2);
        } else {
            for (int j = 0; j < t->block_bytes; j++)
                b[j] = (uint8_t)(int)(next(x) * 127.9f + 128);
            if (type == TYPE_MXFP4)
                b[0] = (uint8_t)(118 + (b[0] & 3));
            for (size_t j = 0; j < sizeof scales / sizeof scales[0]; j++)
                for (int h = 0; scales[j].type == type && h < scales[j].n; h++) {
                    const uint16_t d = f32_to_f16(0.01f + 0.005f * next(x));
                    memcpy(b + scales[j].at + 2 * h, &d, 2);
                }
        }
    }
    return p;
}

/* A product of two factors that were rounded to 8 bits is off by at most 2^-8 + 2^-18 of itself;
 * the sum adds k roundings of f32, the weights themselves one or two. So every result lies within
 * (2^-8 + 2^-12) * sum |w x|, and since the errors of the products are independent of each other,
 * the mean square of all errors stays under 2^-16 of that of the results. */
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
        y[i] = 1;
    const size_t acts = kn->acts_bytes(n, k);
    assert_true(acts <= (size_t)(n + 1) * kn->acts_bytes(1, k));
    struct acts a = {n, k, in, ldx, aligned_alloc(64, (acts + 63) & ~(size_t)63)};
    void *scratch = aligned_alloc(64, (kn->mm_scratch_bytes + 63) & ~(size_t)63);
    assert_true(a.a32 && scratch);
    memset(a.a32, 0xff, acts); /* NaN wherever nothing was prepared */
    const int half = n / 2 / kn->act_cols * kn->act_cols;
    kn->quantize(&a, half, n);
    kn->quantize(&a, 0, half);
    const int32_t mid = mat_groups(&m) / 2;
    kn->mul_mat[type](&m, &a, y, ldy, add, mid, mat_groups(&m), scratch);
    kn->mul_mat[type](&m, &a, y, ldy, add, 0, mid, scratch);
    double err2 = 0, y2 = 0;
    for (int r = 0; r < rows; r++) {
        mat_row(&m, r, row);
        for (int c = 0; c < n; c++) {
            double sum = add ? 1 : 0, size = add ? 1 : 0;
            for (int i = 0; i < k; i++) {
                const double p = (double)row[i] * in[(size_t)c * ldx + (size_t)i];
                sum += p;
                size += fabs(p);
            }
            const double off = y[(size_t)c * ldy + (size_t)r] - sum;
            if (!(fabs(off) <= (0x1p-8 + 0x1p-12) * size))
                fail_msg("type %u, %dx%d, %d columns: row %d, column %d is %g, not %g", type, rows,
                         k, n, r, c, sum + off, sum);
            err2 += off * off;
            y2 += (sum - add) * (sum - add);
        }
    }
    if (!(err2 <= 0x1p-16 * y2))
        fail_msg("type %u, %dx%d, %d columns: NMSE %g", type, rows, k, n, err2 / y2);
    for (int c = 0; c < n; c++)
        for (size_t r = (size_t)rows; r < ldy; r++)
            assert_true(y[(size_t)c * ldy + r] == 1); /* nothing between the columns */
    free(m.data), free(raw), free(in), free(y), free(row), free(a.a32), free(scratch);
}

static void check_type(const struct kernels *k, uint32_t type)
{
    check(k, type, 33, 512, 16, false);
    check(k, type, 16, 256, 17, true);
    check(k, type, 49, 1280, 31, true); /* more than a panel of k */
    check(k, type, 40, 2304, 77, false);
}

static void errors_are_bf16s(void **state)
{
    (void)state;
    const struct kernels *k = fast_or_skip();
    check_type(k, TYPE_F32);
    check_type(k, TYPE_F16);
    check_type(k, TYPE_BF16);
    check(k, TYPE_F32, 20, 64, 530, true); /* more than a block of columns */
}

static void errors_of_tiles_are_bf16s(void **state)
{
    (void)state;
    const struct kernels *k = tiles_or_skip();
    static const uint32_t types[] = {TYPE_F32,  TYPE_F16,    TYPE_BF16,   TYPE_Q4_0,
                                     TYPE_Q4_1, TYPE_Q5_0,   TYPE_Q5_1,   TYPE_Q8_0,
                                     TYPE_Q2_K, TYPE_Q3_K,   TYPE_Q4_K,   TYPE_Q5_K,
                                     TYPE_Q6_K, TYPE_IQ4_NL, TYPE_IQ4_XS, TYPE_MXFP4};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        check_type(k, types[i]);
    check(k, TYPE_F16, 20, 64, 530, true);
}

/* Generation keeps its bits, and so does a type that bf16 does not speed up. */
static void few_columns_are_exact(void **state)
{
    (void)state;
    const struct kernels *k = fast_or_skip(), *exact = kernels_pick(NULL, NULL);
    const uint32_t types[] = {TYPE_F16, TYPE_Q4_0};
    enum { N = 15, K = 64 };
    for (size_t i = 0; i < 2; i++) {
        struct mat m;
        size_t bytes;
        uint32_t x = 5;
        assert_int_equal(mat_init(&m, types[i], 32, K, &bytes, NULL), 0);
        m.data = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
        uint8_t *raw = blocks(types[i], 32, K, &x);
        mat_pack(&m, raw, 0, 2);
        float in[N * K], y[N * 32], want[N * 32];
        for (int j = 0; j < N * K; j++)
            in[j] = next(&x);
        struct acts a = {N, K, in, K, aligned_alloc(64, (k->acts_bytes(N, K) + 63) & ~(size_t)63)};
        void *scratch = aligned_alloc(64, (k->mm_scratch_bytes + 63) & ~(size_t)63);
        assert_true(m.data && a.a32 && scratch);
        k->quantize(&a, 0, N);
        k->mul_mat[types[i]](&m, &a, y, 32, false, 0, 2, scratch);
        exact->mul_mat[types[i]](&m, &a, want, 32, false, 0, 2, scratch);
        assert_memory_equal(y, want, sizeof y);
        free(m.data), free(raw), free(a.a32), free(scratch);
    }
}

static void no_table_is_fast_unasked(void **state)
{
    (void)state;
    const struct kernels *all[16];
    const int n = kernels_all(all, 16);
    for (int i = 0; i < n; i++)
        assert_null(all[i]->numerics);
    const struct kernels *best = kernels_pick(NULL, NULL);
    (void)kernels_fast(best); /* asked for once, the others stay as they are */
    assert_ptr_equal(kernels_pick(NULL, NULL), best);
    if (best != exact_table("ref")) /* ref alone: OpenBLAS */
        assert_null(best->numerics);
    const struct kernels *ref = exact_table("ref");
    assert_non_null(ref);
    assert_ptr_equal(kernels_fast(ref), ref); /* nothing to lay over it */
    const struct kernels *fast = kernels_fast(best);
    if (fast != best)
        assert_string_equal(fast->numerics, "fast");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_bf16s),
        cmocka_unit_test(errors_of_tiles_are_bf16s),
        cmocka_unit_test(few_columns_are_exact),
        cmocka_unit_test(no_table_is_fast_unasked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
