/* engine/chat/clock.c - the one clock a template sees: the time that the caller gave. */
#include <stdio.h>
#include <string.h>
#include "engine/chat/template.h"

int tpl_clock_read(const char *iso, struct tm *out)
{
    int y, mo, d, h = 0, mi = 0, s = 0, n = 0;
    if (sscanf(iso, "%4d-%2d-%2d%n", &y, &mo, &d, &n) != 3)
        return -1;
    if (iso[n] && sscanf(iso + n, "T%2d:%2d:%2d", &h, &mi, &s) != 3)
        return -1;
    if (y < 1 || mo < 1 || mo > 12 || d < 1 || d > 31 || h < 0 || h > 23 || mi < 0 || mi > 59 ||
        s < 0 || s > 60)
        return -1;
    struct tm t = {.tm_year = y - 1900, .tm_mon = mo - 1, .tm_mday = d, .tm_hour = h,
                   .tm_min = mi, .tm_sec = s};
    timegm(&t); /* day of the week and of the year */
    *out = t;
    return 0;
}

struct str *tpl_clock_print(struct tpl *c, const struct str *fmt)
{
    struct sink k;
    size_t from = 0;
    tpl_sink(c, &k);
    for (size_t i = 0; i < fmt->n; i++) {
        if (fmt->p[i] != '%' || i + 1 >= fmt->n)
            continue;
        char one[4] = "%", out[128];
        tpl_charge(c, 1);
        size_t n = 1, at = i;
        if (strchr("-_0^#EO", fmt->p[i + 1]) && fmt->p[i + 1] && i + 2 < fmt->n)
            one[n++] = fmt->p[++i];
        char ch = fmt->p[++i];
        tpl_put_part(c, &k, fmt, from, at);
        from = i + 1;
        if (ch == 'f') { /* Python's microseconds */
            tpl_puts(c, &k, "000000");
        } else if (ch == 'z' || ch == 'Z') {
            /* a time without a zone, as datetime.now() is */
        } else if (ch && strchr("aAbBcCdDeFgGhHIjklmMnpPrRsStTuUVwWxXyY%", ch)) {
            one[n] = ch;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            size_t got = strftime(out, sizeof out, one, &c->now);
#pragma GCC diagnostic pop
            tpl_put(c, &k, out, got, false);
        } else {
            from = at; /* not a directive: as it stands */
        }
    }
    tpl_put_part(c, &k, fmt, from, fmt->n);
    return tpl_sink_str(c, &k);
}
