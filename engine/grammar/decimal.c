/* engine/grammar/decimal.c - decimal numbers as a schema and a text write them, held exactly. */
#include "engine/grammar/inside.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int decimal_read(const char *s, struct decimal *out)
{
    int exp10 = 0, n = 0;
    bool point = false;
    *out = (struct decimal){.neg = *s == '-'};
    for (s += *s == '-'; (*s >= '0' && *s <= '9') || *s == '.'; s++) {
        if (*s == '.') {
            point = true;
            continue;
        }
        exp10 += !point;
        if (!n && *s == '0') {
            exp10--;
            continue;
        }
        if (n == (int)sizeof out->d) {
            if (*s != '0')
                return -1;
            continue;
        }
        out->d[n++] = (char)(*s - '0');
    }
    if (*s == 'e' || *s == 'E')
        exp10 += atoi(s + 1);
    while (n && !out->d[n - 1])
        n--;
    out->n = n;
    out->exp10 = n ? exp10 : 0;
    out->neg = out->neg && n;
    return exp10 > 320 || exp10 < -320 ? -1 : 0;
}

int decimal_of_double(double d, struct decimal *out)
{
    char text[64];
    if (!isfinite(d))
        return -1;
    for (int digits = 15; digits <= 17; digits++) { /* the shortest that reads back the same */
        snprintf(text, sizeof text, "%.*g", digits, d);
        if (strtod(text, NULL) == d)
            break;
    }
    return decimal_read(text, out);
}

int decimal_of(const json_t *v, struct decimal *out)
{
    char text[64];
    if (json_is_integer(v)) {
        snprintf(text, sizeof text, "%lld", (long long)json_integer_value(v));
        return decimal_read(text, out);
    }
    const int rc = decimal_of_double(json_real_value(v), out);
    out->real = true;
    return rc;
}

double decimal_double(const struct decimal *v)
{
    char text[64];
    int n = snprintf(text, sizeof text, v->neg ? "-." : ".");
    for (int i = 0; i < v->n; i++)
        text[n++] = (char)('0' + v->d[i]);
    snprintf(text + n, sizeof text - (size_t)n, "e%d", v->exp10);
    return strtod(text, NULL);
}

int decimal_digit(const struct decimal *a, int place)
{
    return place >= 0 && place < a->n ? a->d[place] : 0;
}

static int magnitude_cmp(const struct decimal *a, const struct decimal *b)
{
    if (!a->n || !b->n)
        return (a->n > 0) - (b->n > 0);
    if (a->exp10 != b->exp10)
        return a->exp10 < b->exp10 ? -1 : 1;
    for (int i = 0; i < a->n || i < b->n; i++)
        if (decimal_digit(a, i) != decimal_digit(b, i))
            return decimal_digit(a, i) < decimal_digit(b, i) ? -1 : 1;
    return 0;
}

int decimal_cmp(const struct decimal *a, const struct decimal *b)
{
    if (a->neg != b->neg)
        return a->neg ? -1 : 1;
    return a->neg ? -magnitude_cmp(a, b) : magnitude_cmp(a, b);
}

bool decimal_whole(const struct decimal *v)
{
    return v->n <= v->exp10 || !v->n;
}
