/* kernels/ref/math.c - functions in double for RoPE tables and the sampler, and the out-of-line
 * f32 ones.
 *
 * libm is not called: its results differ between versions. Plain +, -, *, / in a fixed order and no
 * fma, so all compilers of IEEE doubles agree (-ffp-contract=off). */
#include "kernels/ref/math.h"

float ref_expf(float x)
{
    return ref_expf_inline(x);
}

static uint64_t bits64(double d)
{
    uint64_t u;
    memcpy(&u, &d, 8);
    return u;
}
static double from64(uint64_t u)
{
    double d;
    memcpy(&d, &u, 8);
    return d;
}

static const double LN2_HI = 0x1.62e42feep-1, LN2_LO = 0x1.a39ef35793c76p-33;

/* log x = e ln 2 + log m, m in [sqrt 1/2, sqrt 2); log m = 2 atanh s, s = (m - 1) / (m + 1). */
double ref_log(double x)
{
    uint64_t u = bits64(x);
    if (x != x || u == 0x7ff0000000000000u)
        return x;
    if (x <= 0)
        return x == 0 ? from64(0xfff0000000000000u) : from64(0x7ff8000000000000u);
    int e = 0;
    if (u < 0x0010000000000000u) { /* subnormal */
        u = bits64(x * 0x1p54);
        e = -54;
    }
    e += (int)(u >> 52) - 1023;
    double m = from64((u & 0x000fffffffffffffu) | 0x3ff0000000000000u);
    if (m > 1.4142135623730951) {
        m *= 0.5;
        e++;
    }
    double s = (m - 1.0) / (m + 1.0), z = s * s, p = 0;
    for (int k = 23; k >= 3; k -= 2) /* |s| <= 0.1716: the first term left out is under 2^-60 */
        p = p * z + 1.0 / k;
    double r = 2.0 * s + 2.0 * s * z * p;
    return e * LN2_HI + (r + e * LN2_LO);
}

double ref_exp(double x)
{
    if (x != x)
        return x;
    if (x > 709.7)
        return from64(0x7ff0000000000000u);
    if (x < -708.3)
        return 0;
    double t = x * 0x1.71547652b82fep+0 + 0x1.8p52, n = t - 0x1.8p52;
    double r = (x - n * LN2_HI) - n * LN2_LO, p = 0;
    for (int k = 14; k >= 1; k--) /* Horner of sum r^k / k! */
        p = (p + 1.0) * r / k;
    int64_t i = (int64_t)n;
    double half = from64((uint64_t)(1023 + i / 2) << 52);
    return (1.0 + p) * half * from64((uint64_t)(1023 + (i - i / 2)) << 52);
}

double ref_pow(double x, double y)
{
    return ref_exp(y * ref_log(x));
}

float ref_logf(float x)
{
    return (float)ref_log(x);
}

/* sin and cos of an angle up to about 1e7. pi/2 in three parts of 30, 30 and 53 bits: n (at most 23
 * bits) times the first two is exact. */
static void sincos_double(double x, double *sin_out, double *cos_out)
{
    const double P1 = 0x1.921fb54p+0, P2 = 0x1.10b46118p-30, P3 = 0x1.313198a2e037p-61;
    double t = x * 0x1.45f306dc9c883p-1 + 0x1.8p52, n = t - 0x1.8p52;
    double r = ((x - n * P1) - n * P2) - n * P3, z = r * r;
    double s = 0, c = 0;
    for (int k = 18; k >= 2; k -= 2) { /* |r| <= pi/4: terms past r^19 are under 2^-63 */
        s = (s + 1.0) * -z / (double)(k * (k + 1));
        c = (c + 1.0) * -z / (double)(k * (k - 1));
    }
    s = r + r * s;
    c = 1.0 + c;
    switch ((int64_t)n & 3) {
    case 0:
        *sin_out = s, *cos_out = c;
        break;
    case 1:
        *sin_out = c, *cos_out = -s;
        break;
    case 2:
        *sin_out = -s, *cos_out = -c;
        break;
    default:
        *sin_out = -c, *cos_out = s;
        break;
    }
}

/* cos and sin are rounded to f32 once, after the product with mscale. */
void rope_table(float *cs, int n_rot, int64_t pos, const double *inv_freq, float mscale)
{
    for (int i = 0; i < n_rot / 2; i++) {
        double s, c;
        sincos_double((double)pos * inv_freq[i], &s, &c);
        cs[2 * i] = (float)(c * (double)mscale);
        cs[2 * i + 1] = (float)(s * (double)mscale);
    }
}
