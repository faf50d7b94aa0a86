/* engine/chat/go_float.c - floats as Go's printf writes them: digits of each verb, the sharp flag,
 * signs before zeros.
 *
 * C's printf has the same digits, but for two verbs: %x wants 1 before the point of subnormal
 * numbers, too, and %b is Go's own. Both are made here. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/chat/go.h"

size_t go_shortest(double f, char out[40])
{
    for (int digits = 1;; digits++) {
        snprintf(out, 40, "%.*e", digits - 1, f);
        if (digits == 17 || strtod(out, NULL) == f)
            return strlen(out);
    }
}

size_t go_float_text(double f, char out[40])
{
    if (isnan(f) || isinf(f)) {
        strcpy(out, isnan(f) ? "NaN" : f < 0 ? "-Inf" : "+Inf");
        return strlen(out);
    }
    if (f == floor(f) && fabs(f) < 1e6) {
        snprintf(out, 40, "%.0f", f);
        return strlen(out);
    }
    go_shortest(f, out);
    const char *e = strchr(out, 'e');
    int exponent = atoi(e + 1), digits = (int)(e - out) - (out[0] == '-');
    digits -= digits > 1; /* the point */
    if (exponent >= -4 && exponent < 6)
        snprintf(out, 40, "%.*f", digits - 1 - exponent > 0 ? digits - 1 - exponent : 0, f);
    return strlen(out);
}

/* 0x1.8p+01: one digit before the point, at least two in the exponent. */
static char *hex_digits(struct tpl *c, double v, bool upper, int precision)
{
    int e = 0;
    const double m = v == 0 ? v : ldexp(frexp(v, &e), 1);
    const int zeros = precision > 13 ? precision - 13 : 0;
    char b[48];
    if (precision < 0)
        snprintf(b, sizeof b, "%a", m);
    else
        snprintf(b, sizeof b, "%.*a", precision - zeros, m);
    char *lead = strchr(b, 'x') + 1;
    *strchr(b, 'p') = 0;
    e -= v != 0;
    if (*lead == '2') { /* 1.9 to no digits */
        *lead = '1';
        e++;
    }
    const size_t room = strlen(b) + (size_t)zeros + 16;
    char *out = tpl_bytes(c, room);
    snprintf(out, room, "%s%.*sp%c%02d", b, zeros, "", e < 0 ? '-' : '+', abs(e));
    if (zeros) { /* past the 52 bits all digits are 0 */
        char *end = out + strlen(b);
        memmove(end + zeros, end, strlen(end) + 1);
        memset(end, '0', (size_t)zeros);
    }
    for (char *p = out; upper && *p; p++)
        *p = (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
    return out;
}

/* The mantissa as a whole number, and a power of two. */
static char *binary_digits(struct tpl *c, double v)
{
    int e;
    char *out = tpl_bytes(c, 40);
    frexp(v, &e);
    e = v == 0 || e - 53 < -1074 ? -1074 : e - 53;
    snprintf(out, 40, "%.0fp%+d", ldexp(v, -e), e);
    return out;
}

static char *digits_of(struct tpl *c, double v, uint32_t verb, int precision)
{
    if (!isfinite(v) || (precision < 0 && strchr("vgG", (int)verb))) {
        char *out = tpl_bytes(c, 40);
        go_float_text(v, out);
        if (verb == 'G' && strchr(out, 'e'))
            *strchr(out, 'e') = 'E';
        return out;
    }
    if (verb == 'x' || verb == 'X')
        return hex_digits(c, v, verb == 'X', precision);
    if (verb == 'b')
        return binary_digits(c, v);
    const char *spec = verb == 'e'   ? "%.*e"
                       : verb == 'E' ? "%.*E"
                       : verb == 'G' ? "%.*G"
                       : verb == 'g' ? "%.*g"
                       : verb == 'v' ? "%.*g"
                                     : "%.*f";
    precision = precision < 0 ? 6 : precision;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    const size_t room = (size_t)snprintf(NULL, 0, spec, precision, v) + 1;
    char *out = tpl_bytes(c, room);
    snprintf(out, room, spec, precision, v);
#pragma GCC diagnostic pop
    return out;
}

/* The flag #: always a point, and zeros up to the digits that the verb keeps. `num` has no sign. */
static char *with_point(struct tpl *c, const char *num, uint32_t verb, int precision)
{
    const char *tail = strpbrk(num, verb == 'x' || verb == 'X' ? "pP" : "eE");
    const size_t n = tail ? (size_t)(tail - num) : strlen(num);
    bool point = false, some = false;
    int digits = !strchr("vgGx", (int)verb) ? 0 : precision < 0 ? 6 : precision;
    for (size_t i = 0; i < n; i++) {
        point |= num[i] == '.';
        some |= num[i] != '.' && num[i] != '0';
        digits -= some && num[i] != '.';
    }
    if (!point && n == 1 && num[0] == '0')
        digits--;
    const size_t zeros = digits > 0 ? (size_t)digits : 0, room = strlen(num) + zeros + 2;
    char *out = tpl_bytes(c, room), *end = out + n;
    memcpy(out, num, n);
    if (!point)
        *end++ = '.';
    memset(end, '0', zeros);
    strcpy(end + zeros, tail ? tail : "");
    return out;
}

static void put_float(struct tpl *c, struct sink *k, double v, uint32_t verb, struct go_verb f)
{
    const char *num = digits_of(c, v, verb, f.precision);
    char sign = '+';
    if (*num == '-' || *num == '+')
        sign = *num++;
    if (f.space && sign == '+' && !f.plus)
        sign = ' ';
    const bool finite = isfinite(v);
    if (finite && f.sharp && verb != 'b')
        num = with_point(c, num, verb, f.precision);
    const bool shown = sign != '+' || f.plus || (!finite && !isnan(v));
    f.zero = f.zero && finite && !f.minus;
    const size_t n = strlen(num);
    char *all = tpl_bytes(c, n + 2);
    all[0] = sign;
    memcpy(all + 1, num, n + 1);
    if (shown && f.zero) { /* the sign, then the zeros */
        tpl_putc(c, k, (uint32_t)sign, false);
        f.width -= f.width > 0;
    }
    const size_t from = !shown || f.zero;
    go_put_padded(c, k, tpl_str(c, all + from, n + 1 - from, false), f);
}

void go_put_float(struct tpl *c, struct sink *k, struct gv v, uint32_t verb, struct go_verb f)
{
    if (v.type == GO_FLOAT) {
        put_float(c, k, v.f, verb, f);
        return;
    }
    tpl_puts(c, k, "(");
    put_float(c, k, v.z[0], verb, f);
    f.plus = true;
    put_float(c, k, v.z[1], verb, f);
    tpl_puts(c, k, "i)");
}
