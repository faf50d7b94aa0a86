/* engine/chat/unicode.c - what Python's str methods know about a character.
 *
 * Tables: unicode_tables.h, made by make_unicode.py. ASCII does not look at them. */
#include <stddef.h>
#include "engine/chat/template.h"

struct run { /* every `step`-th code point from..to maps to itself + delta */
    uint32_t from, to;
    uint8_t step;
    int32_t delta;
};
struct many {
    uint32_t cp;
    uint32_t to[3];
};
#include "engine/chat/unicode_tables.h"

#define COUNT(t) (sizeof(t) / sizeof *(t))

/* Index of the last row whose key is not above cp, or SIZE_MAX. */
#define ROW(table, key, cp, out)                                                                   \
    do {                                                                                           \
        size_t lo_ = 0, hi_ = COUNT(table);                                                        \
        while (lo_ < hi_) {                                                                        \
            size_t mid_ = lo_ + (hi_ - lo_) / 2;                                                   \
            if ((table)[mid_].key <= (cp))                                                         \
                lo_ = mid_ + 1;                                                                    \
            else                                                                                   \
                hi_ = mid_;                                                                        \
        }                                                                                          \
        (out) = lo_ - 1;                                                                           \
    } while (0)

unsigned uni_class(uint32_t cp)
{
    size_t i;
    ROW(classes, from, cp, i);
    return i != SIZE_MAX && cp <= classes[i].to ? classes[i].bits : 0;
}

bool uni_is_space(uint32_t cp)
{
    if (cp < 0x80)
        return cp == ' ' || (cp >= 9 && cp <= 13) || (cp >= 0x1c && cp <= 0x1f);
    return cp == 0x85 || cp == 0xa0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) ||
           cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f || cp == 0x3000;
}

bool uni_is_ignorable(uint32_t cp)
{
    size_t i;
    ROW(ignorable, from, cp, i);
    return i != SIZE_MAX && cp <= ignorable[i].to;
}

static int map(const struct run *runs, size_t n_runs, const struct many *many, size_t n_many,
               uint32_t cp, uint32_t out[3])
{
    for (size_t i = 0; i < n_many && many[i].cp <= cp; i++)
        if (many[i].cp == cp) {
            out[0] = many[i].to[0];
            out[1] = many[i].to[1];
            out[2] = many[i].to[2];
            return out[2] ? 3 : 2;
        }
    size_t lo = 0, hi = n_runs;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (runs[mid].from <= cp)
            lo = mid + 1;
        else
            hi = mid;
    }
    out[0] = cp;
    /* Runs with stride 2 may lie in each other: look at the last two. */
    for (size_t k = 0; k < 2 && lo > k; k++) {
        const struct run *r = &runs[lo - 1 - k];
        if (cp <= r->to && (cp - r->from) % r->step == 0) {
            out[0] = (uint32_t)((int32_t)cp + r->delta);
            break;
        }
    }
    return 1;
}

int uni_upper(uint32_t cp, uint32_t out[3])
{
    if (cp < 0x80) {
        out[0] = cp >= 'a' && cp <= 'z' ? cp - 32 : cp;
        return 1;
    }
    return map(upper_runs, COUNT(upper_runs), upper_many, COUNT(upper_many), cp, out);
}

int uni_lower(uint32_t cp, uint32_t out[3])
{
    if (cp < 0x80) {
        out[0] = cp >= 'A' && cp <= 'Z' ? cp + 32 : cp;
        return 1;
    }
    return map(lower_runs, COUNT(lower_runs), lower_many, COUNT(lower_many), cp, out);
}

int uni_title(uint32_t cp, uint32_t out[3])
{
    if (cp < 0x80)
        return uni_upper(cp, out);
    return map(title_runs, COUNT(title_runs), title_many, COUNT(title_many), cp, out);
}
