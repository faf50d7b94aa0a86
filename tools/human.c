/* tools/human.c - sizes, times and durations as people read them.
 *
 * Facts: shared/spec/cli.md 1.5, where every border was measured on the reference. */
#include "tools/human.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND INT64_C(1000000000)

void human_size(int64_t bytes, char out[HUMAN_TEXT])
{
    static const struct {
        const char *name;
        double bytes;
    } units[] = {{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}};
    for (int i = 0; i < 4; i++) {
        const double v = (double)bytes / units[i].bytes;
        if (v < 1)
            continue;
        if (v >= 10)
            snprintf(out, HUMAN_TEXT, "%d %s", (int)v, units[i].name);
        else if (v != trunc(v))
            snprintf(out, HUMAN_TEXT, "%.1f %s", v, units[i].name);
        else
            snprintf(out, HUMAN_TEXT, "%d %s", (int)v, units[i].name);
        return;
    }
    snprintf(out, HUMAN_TEXT, "%lld B", (long long)bytes);
}

static void distance(int64_t ns, char *out, size_t cap)
{
    const int64_t seconds = ns / SECOND, minutes = seconds / 60;
    const int64_t hours = (ns + 1800 * SECOND) / (3600 * SECOND); /* rounded */
    if (seconds < 1)
        snprintf(out, cap, "Less than a second");
    else if (seconds == 1)
        snprintf(out, cap, "1 second");
    else if (seconds < 60)
        snprintf(out, cap, "%lld seconds", (long long)seconds);
    else if (minutes == 1)
        snprintf(out, cap, "About a minute");
    else if (minutes < 60)
        snprintf(out, cap, "%lld minutes", (long long)minutes);
    else if (hours == 1)
        snprintf(out, cap, "About an hour");
    else if (hours < 48)
        snprintf(out, cap, "%lld hours", (long long)hours);
    else if (hours < 24 * 7 * 2)
        snprintf(out, cap, "%lld days", (long long)hours / 24);
    else if (hours < 24 * 30 * 2)
        snprintf(out, cap, "%lld weeks", (long long)hours / 24 / 7);
    else if (hours < 24 * 365 * 2)
        snprintf(out, cap, "%lld months", (long long)hours / 24 / 30);
    else
        snprintf(out, cap, "%lld years", (long long)(seconds / 3600 / 24 / 365));
}

void human_time(int64_t then_ns, int64_t now_ns, char out[HUMAN_TEXT])
{
    int64_t ago;
    char text[HUMAN_TEXT - 16];
    if (__builtin_sub_overflow(now_ns, then_ns, &ago))
        ago = then_ns > now_ns ? -INT64_MAX : INT64_MAX;
    if (ago < -20 * 365 * 24 * 3600 * SECOND) {
        snprintf(out, HUMAN_TEXT, "Forever");
        return;
    }
    distance(ago < 0 ? -ago : ago, text, sizeof text);
    snprintf(out, HUMAN_TEXT, "%s %s", text, ago < 0 ? "from now" : "ago");
}

/* v / unit with up to `digits` decimals, zeros at the end left out. */
static void fraction(int64_t v, int64_t unit, int digits, const char *name, char *out, size_t cap)
{
    char tail[24];
    const int n = snprintf(tail, sizeof tail, "%0*lld", digits, (long long)(v % unit));
    int keep = n;
    while (keep > 0 && tail[keep - 1] == '0')
        keep--;
    tail[keep] = 0;
    snprintf(out, cap, "%lld%s%s%s", (long long)(v / unit), keep ? "." : "", tail, name);
}

void human_duration(int64_t ns, char out[HUMAN_TEXT])
{
    const char *sign = ns < 0 ? "-" : "";
    const int64_t v = ns == INT64_MIN ? INT64_MAX : ns < 0 ? -ns : ns;
    char text[32];
    if (!v)
        snprintf(text, sizeof text, "0s");
    else if (v < 1000)
        snprintf(text, sizeof text, "%lldns", (long long)v);
    else if (v < 1000000)
        fraction(v, 1000, 3, "\u00b5s", text, sizeof text);
    else if (v < SECOND)
        fraction(v, 1000000, 6, "ms", text, sizeof text);
    else
        fraction(v % (60 * SECOND), SECOND, 9, "s", text, sizeof text);
    const long long minutes = v / (60 * SECOND);
    if (minutes >= 60)
        snprintf(out, HUMAN_TEXT, "%s%lldh%lldm%s", sign, minutes / 60, minutes % 60, text);
    else if (minutes)
        snprintf(out, HUMAN_TEXT, "%s%lldm%s", sign, minutes, text);
    else
        snprintf(out, HUMAN_TEXT, "%s%s", sign, text);
}

/* Days since 1970-01-01 of the Gregorian calendar. */
static int64_t days_of(int y, int m, int d)
{
    const int64_t years = m <= 2 ? y - 1 : y, era = (years >= 0 ? years : years - 399) / 400;
    const int64_t in_era = years - era * 400;
    const int64_t day = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + day - 719468;
}

bool human_parse_time(const char *text, int64_t *ns)
{
    int y, mo, d, h, mi, s, n = 0;
    if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &y, &mo, &d, &h, &mi, &s, &n) != 6 || !n)
        return false;
    if (mo < 1 || mo > 12 || d < 1 || d > 31)
        return false;
    const char *p = text + n;
    int64_t frac = 0, unit = SECOND / 10;
    if (*p == '.') {
        for (p++; *p >= '0' && *p <= '9'; p++, unit /= 10)
            frac += (*p - '0') * unit;
    }
    int64_t offset = 0;
    if (*p == '+' || *p == '-') {
        int oh, om;
        if (sscanf(p + 1, "%2d:%2d", &oh, &om) != 2)
            return false;
        offset = (*p == '-' ? -1 : 1) * (oh * 3600 + om * 60);
    } else if (*p != 'Z') {
        return false;
    }
    const int64_t seconds =
        days_of(y, mo, d) * 86400 + (int64_t)h * 3600 + (int64_t)mi * 60 + s - offset;
    if (__builtin_mul_overflow(seconds, SECOND, ns) || __builtin_add_overflow(*ns, frac, ns))
        *ns = seconds < 0 ? INT64_MIN : INT64_MAX;
    return true;
}

bool human_parse_duration(const char *text, int64_t *ns)
{
    static const struct {
        const char *name;
        double ns;
    } units[] = {{"ns", 1},      {"us", 1e3},   {"\u00b5s", 1e3}, {"ms", 1e6},
                 {"s", 1e9},     {"m", 60e9},   {"h", 3600e9}};
    const char *p = text;
    const bool minus = *p == '-';
    double sum = 0;
    if (*p == '-' || *p == '+')
        p++;
    if (!*p)
        return false;
    if (strspn(p, "0123456789") == strlen(p)) {
        sum = strtod(p, NULL) * 1e9;
        p += strlen(p);
    }
    while (*p) {
        if (*p != '.' && (*p < '0' || *p > '9'))
            return false;
        char *end;
        const double v = strtod(p, &end);
        if (end == p)
            return false;
        size_t best = 7, len = 0;
        for (size_t i = 0; i < 7; i++) {
            const size_t n = strlen(units[i].name);
            if (n > len && !strncmp(end, units[i].name, n)) {
                best = i;
                len = n;
            }
        }
        if (best == 7)
            return false;
        sum += v * units[best].ns;
        p = end + len;
    }
    if (!(sum < 9.2e18))
        sum = 9.2e18;
    *ns = (int64_t)(minus ? -sum : sum);
    return true;
}
