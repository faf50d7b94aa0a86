/* tests/test_kernels_math.c - the error bounds of our elementary functions, against libm in long
 * double, and the definitions that other claims rest on (A32, norms, the merge of spans). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "kernels/ref/acts.h"
#include "kernels/ref/math.h"

/* |got - want| in units of the last place of want. */
static double ulps(float got, long double want)
{
    if (want == 0)
        return got == 0.0f ? 0 : 1e9;
    int e;
    frexpl(want, &e);
    e = e < -125 ? -125 : e;
    return (double)(fabsl((long double)got - want) / ldexpl(1, e - 24));
}

enum { STEP = 4099 }; /* of patterns: about a million floats of 2^32 */

static void exp_is_within_one_and_a_half_ulp(void **state)
{
    (void)state;
    double worst = 0;
    for (uint64_t u = 0; u < 1ull << 32; u += STEP) {
        float x = ref_float((uint32_t)u);
        if (!(x >= -87.33f && x <= 88.7f))
            continue;
        double err = ulps(ref_expf(x), expl((long double)x));
        worst = err > worst ? err : worst;
    }
    print_message("exp: %.3f ulp\n", worst);
    assert_true(worst < 1.5);
}

static void exp_has_its_edges(void **state)
{
    (void)state;
    assert_true(ref_expf(0.0f) == 1.0f && ref_expf(-0.0f) == 1.0f);
    assert_true(ref_expf(-INFINITY) == 0.0f && ref_expf(-87.34f) == 0.0f);
    assert_true(isinf(ref_expf(INFINITY)) && isinf(ref_expf(88.71f)) && isfinite(ref_expf(88.7f)));
    assert_true(ref_expf(-87.33f) > 0.0f);
    assert_true(isnan(ref_expf(NAN)));
}

static void tanh_is_within_two_and_a_half_ulp(void **state)
{
    (void)state;
    double worst = 0;
    for (uint64_t u = 0; u < 1ull << 32; u += STEP) {
        float x = ref_float((uint32_t)u);
        if (x != x)
            continue;
        double err = ulps(ref_tanhf_inline(x), tanhl((long double)x));
        worst = err > worst ? err : worst;
    }
    print_message("tanh: %.3f ulp\n", worst);
    assert_true(worst < 2.5);
    assert_true(ref_tanhf_inline(-0.0f) == 0.0f && isnan(ref_tanhf_inline(NAN)));
    assert_true(ref_tanhf_inline(INFINITY) == 1.0f && ref_tanhf_inline(-INFINITY) == -1.0f);
}

static void erf_is_within_two_and_a_half_ulp(void **state)
{
    (void)state;
    double worst = 0;
    for (uint64_t u = 0; u < 1ull << 32; u += STEP) {
        float x = ref_float((uint32_t)u);
        if (x != x)
            continue;
        double err = ulps(ref_erff_inline(x), erfl((long double)x));
        worst = err > worst ? err : worst;
    }
    print_message("erf: %.3f ulp\n", worst);
    assert_true(worst < 2.5);
    assert_true(ref_erff_inline(-0.0f) == 0.0f && isnan(ref_erff_inline(NAN)));
    assert_true(ref_erff_inline(INFINITY) == 1.0f && ref_erff_inline(-INFINITY) == -1.0f);
    for (int i = -1000; i <= 1000; i++) {
        double x = i * 0.01, want = 0.5 * x * (1 + erf(x / sqrt(2)));
        assert_true(fabs(ref_gelu_erf_inline((float)x) - want) < 5e-7 * (1 + fabs(want)));
    }
}

static void layer_norm_follows_its_formula(void **state)
{
    (void)state;
    float x[100], w[100], b[100], y[100];
    double mean = 0, var = 0;
    for (int i = 0; i < 100; i++) {
        x[i] = (float)((i * 37) % 101) * 0.05f + 30; /* a mean that dwarfs the spread */
        w[i] = 1 + 0.01f * (float)i;
        b[i] = 0.5f - 0.01f * (float)i;
        mean += (double)x[i] / 100;
    }
    for (int i = 0; i < 100; i++)
        var += ((double)x[i] - mean) * ((double)x[i] - mean) / 100;
    ref_layer_norm(y, x, w, b, 100, 1e-3f);
    for (int i = 0; i < 100; i++) {
        double want = ((double)x[i] - mean) / sqrt(var + 1e-3) * (double)w[i] + (double)b[i];
        assert_true(fabs((double)y[i] - want) < 1e-5);
    }
}

static void log_is_within_three_ulp_of_double(void **state)
{
    (void)state;
    double worst = 0;
    for (uint64_t i = 1; i < 2000000; i++) {
        uint64_t u = i * 0x9e3779b97f4a7c15u >> 1;
        double x;
        memcpy(&x, &u, 8);
        if (!(x > 0 && x < INFINITY))
            continue;
        long double want = logl((long double)x);
        int e;
        frexpl(want, &e);
        double err = (double)(fabsl((long double)ref_log(x) - want) / ldexpl(1, e - 53));
        worst = err > worst ? err : worst;
    }
    for (int i = -1000; i <= 1000; i++) { /* near 1, where the result is small */
        double x = 1 + i * 1e-6;
        if (i)
            worst = fmax(
                worst, fabs((double)((ref_log(x) - logl((long double)x)) / logl((long double)x))) *
                           0x1p53);
    }
    print_message("log: %.3f ulp\n", worst);
    assert_true(worst < 3);
    assert_true(isinf(ref_log(0)) && isnan(ref_log(-1)) && ref_log(1) == 0);
    assert_true(ref_logf(1.0f) == 0.0f);
}

static void pow_is_good_for_rope(void **state)
{
    (void)state;
    static const double bases[] = {10000, 500000, 1000000, 10, 5000000, 1e8, 2};
    double worst = 0;
    for (int b = 0; b < 7; b++)
        for (int i = 0; i <= 256; i++) {
            double y = -i / 256.0 * 2;
            long double want = powl(bases[b], y);
            worst = fmax(worst, (double)fabsl((ref_pow(bases[b], y) - want) / want));
        }
    print_message("pow: %.2g relative\n", worst);
    assert_true(worst < 1e-13);
    assert_true(ref_pow(10000, 0) == 1);
}

static void sin_and_cos_are_rounded_right(void **state)
{
    (void)state;
    double worst = 0, inv[4];
    float cs[8];
    for (int i = 0; i < 200000; i++) {
        int64_t pos = i < 1000 ? i : (int64_t)i * 50; /* to ten million */
        for (int j = 0; j < 4; j++)
            inv[j] = j == 0 ? 1.0 : ref_pow(10000, -(double)(i % 997 + j) / 1000);
        rope_table(cs, 8, pos, inv, 1.0f);
        for (int j = 0; j < 4; j++) {
            long double a = (long double)((double)pos * inv[j]);
            worst = fmax(worst, fmax(ulps(cs[2 * j], cosl(a)), ulps(cs[2 * j + 1], sinl(a))));
        }
    }
    print_message("sin, cos: %.4f ulp\n", worst);
    assert_true(worst < 0.51);
}

static void gelu_and_silu_follow_their_formulas(void **state)
{
    (void)state;
    for (int i = -2000; i <= 2000; i++) {
        double g = i * 0.01;
        double silu = g / (1 + exp(-g)) * 1.5, in = 0.7978845608028654 * (g + 0.044715 * g * g * g);
        double gelu = 0.5 * g * (1 + tanh(in)) * 1.5;
        assert_true(fabs(ref_silu_inline((float)g, 1.5f) - silu) < 1e-6 * (1 + fabs(silu)));
        assert_true(fabs(ref_gelu_inline((float)g, 1.5f) - gelu) < 1e-6 * (1 + fabs(gelu)));
    }
}

static void a32_scales_have_twelve_bits_and_codes_reach_127(void **state)
{
    (void)state;
    uint32_t seed = 1;
    for (int i = 0; i < 20000; i++) {
        float x[32], top = 0;
        for (int j = 0; j < 32; j++) {
            seed = seed * 1664525u + 1013904223u;
            x[j] = ldexpf((float)(int32_t)seed, -31 - i % 60);
            top = fabsf(x[j]) > top ? fabsf(x[j]) : top;
        }
        struct ref_a32 a;
        ref_quantize32(x, 32, &a);
        assert_int_equal(ref_bits(a.d) & 0xfff, 0);
        assert_true(a.d * 127.0 >= (double)top * (1 - 1e-7));
        for (int j = 0; j < 32; j++) {
            assert_in_range(a.q[j] + 127, 0, 254);
            assert_true(fabs((double)a.q[j] * a.d - x[j]) <= 0.5001 * a.d);
        }
    }
}

static void a32_edges_are_zero_or_nan(void **state)
{
    (void)state;
    struct ref_a32 a;
    float x[32] = {0};
    ref_quantize32(x, 32, &a);
    assert_true(a.d == 0.0f);
    x[3] = 1e-42f; /* no finite reciprocal */
    ref_quantize32(x, 32, &a);
    assert_true(a.d == 0.0f && a.q[3] == 0);
    x[4] = INFINITY;
    ref_quantize32(x, 32, &a);
    assert_true(isnan(a.d) && a.q[3] == 0);
    x[4] = NAN;
    ref_quantize32(x, 32, &a);
    assert_true(isnan(a.d));
}

/* Ties go to even: 0.5 steps of d. With amax = 127 * 2^-3 the scale is exactly 2^-3. */
static void a32_codes_round_half_to_even(void **state)
{
    (void)state;
    float x[32] = {127 * 0.125f,  0.5f * 0.125f,  1.5f * 0.125f,
                   2.5f * 0.125f, -0.5f * 0.125f, -2.5f * 0.125f};
    struct ref_a32 a;
    ref_quantize32(x, 32, &a);
    assert_true(a.d == 0.125f);
    assert_int_equal(a.q[0], 127);
    assert_int_equal(a.q[1], 0);
    assert_int_equal(a.q[2], 2);
    assert_int_equal(a.q[3], 2);
    assert_int_equal(a.q[4], 0);
    assert_int_equal(a.q[5], -2);
}

/* Attention by spans equals softmax(q K) V within rounding, and unseen slots are never read. */
static void attention_is_softmax(void **state)
{
    (void)state;
    enum { D = 16, N = 1100, PAGES = (N + KV_PAGE - 1) / KV_PAGE };
    float *k = malloc(sizeof(float) * N * D), *v = malloc(sizeof(float) * N * D), q[D];
    size_t half = D * KV_PAGE * 4;
    uint8_t *room = malloc(PAGES * 2 * half);
    assert_true(k && v && room);
    memset(room, 0xff, PAGES * 2 * half); /* NaN */
    const uint8_t *pages[PAGES];
    uint32_t seed = 7;
    for (int i = 0; i < N * D; i++) {
        seed = seed * 1664525u + 1013904223u;
        k[i] = (float)(int32_t)seed * 0x1p-30f;
        v[i] = (float)(seed >> 8 & 0xffff) * 0x1p-16f;
    }
    for (int i = 0; i < D; i++)
        q[i] = k[i + 5];
    for (int p = 0; p < N; p++) {
        uint8_t *page = room + (size_t)(p / KV_PAGE) * 2 * half;
        pages[p / KV_PAGE] = page;
        ref_kv_store(KV_F32, page, page + half, p % KV_PAGE, k + p * D, D, v + p * D, D);
    }
    const float *qs[1] = {q};
    for (int window = 0; window <= 90; window += 90) {
        int32_t pos = N - 1;
        struct attend t = {.kv = KV_F32,
                           .d_k = D,
                           .d_v = D,
                           .n_q = 1,
                           .q = qs,
                           .pos = &pos,
                           .window = window,
                           .scale = 0.25f,
                           .pages = pages,
                           .v_off = half};
        float st[2][D + 16], out[D];
        ref_attend_span(&t, 0, st[0]);
        ref_attend_span(&t, 1, st[1]);
        ref_attend_merge(st[0], D + 16, 2, D, out);
        double sum = 0, o[D] = {0};
        for (int p = window ? N - window : 0; p < N; p++) {
            double s = 0;
            for (int d = 0; d < D; d++)
                s += (double)q[d] * k[p * D + d];
            double e = exp(s * 0.25);
            sum += e;
            for (int d = 0; d < D; d++)
                o[d] += e * v[p * D + d];
        }
        for (int d = 0; d < D; d++)
            assert_true(fabs(out[d] - o[d] / sum) < 1e-5);
    }
    free(k);
    free(v);
    free(room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_is_within_one_and_a_half_ulp),
        cmocka_unit_test(exp_has_its_edges),
        cmocka_unit_test(tanh_is_within_two_and_a_half_ulp),
        cmocka_unit_test(erf_is_within_two_and_a_half_ulp),
        cmocka_unit_test(layer_norm_follows_its_formula),
        cmocka_unit_test(log_is_within_three_ulp_of_double),
        cmocka_unit_test(pow_is_good_for_rope),
        cmocka_unit_test(sin_and_cos_are_rounded_right),
        cmocka_unit_test(gelu_and_silu_follow_their_formulas),
        cmocka_unit_test(a32_scales_have_twelve_bits_and_codes_reach_127),
        cmocka_unit_test(a32_edges_are_zero_or_nan),
        cmocka_unit_test(a32_codes_round_half_to_even),
        cmocka_unit_test(attention_is_softmax),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
