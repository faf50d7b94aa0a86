/* engine/grammar/chars.c - characters, byte by byte: UTF-8, and the escapes of JSON strings.
 *
 * A character that has begun is a number: in the high byte how it goes on, in the low bits what is
 * known of it. With each byte comes the range of what it may still become, so that a byte after
 * which no allowed character can follow is never taken. */
#include "engine/grammar/inside.h"

enum { /* the high byte of `part` */
       P_NONE,
       P_U2_1, /* UTF-8 of 2 bytes, 1 to come; .. */
       P_U3_2,
       P_U3_1,
       P_U4_3,
       P_U4_2,
       P_U4_1,
       P_ESC,  /* behind a backslash */
       P_HEX0, /* behind \u; then 1, 2, 3 digits */
       P_HEX1,
       P_HEX2,
       P_HEX3,
       P_LOW_ESC, /* a high surrogate came: \ must follow, u, and four digits of a low one */
       P_LOW_U,
       P_LOW0,
       P_LOW1,
       P_LOW2,
       P_LOW3,
};

static uint32_t part_of(uint32_t how, uint32_t v)
{
    return how << 24 | v;
}

static void reach_add(struct char_reach *r, uint32_t lo, uint32_t hi)
{
    if (lo > hi)
        return;
    r->lo[r->n] = lo;
    r->hi[r->n++] = hi;
}

/* lo..hi without what UTF-8 of this length cannot say. */
static void reach_utf8(struct char_reach *r, uint32_t lo, uint32_t hi, int length)
{
    const uint32_t least = length == 2 ? 0x80 : length == 3 ? 0x800 : 0x10000;
    lo = lo < least ? least : lo;
    hi = hi > LAST_CHAR ? LAST_CHAR : hi;
    reach_add(r, lo, hi < 0xd800 ? hi : hi > 0xdfff && lo > 0xdfff ? hi : 0xd7ff);
    if (lo < 0xe000 && hi > 0xdfff)
        reach_add(r, 0xe000, hi);
}

enum char_got utf8_step(uint32_t *part, unsigned char c, uint32_t *cp, struct char_reach *r)
{
    const uint32_t how = *part >> 24;
    uint32_t v = *part & 0xffffff;
    int left, length;
    r->n = 0;
    if (how == P_NONE) {
        if (c < 0x80) {
            *cp = c;
            return CHAR_WHOLE;
        }
        if (c < 0xc2 || c > 0xf4)
            return CHAR_BAD;
        length = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
        left = length - 1;
        v = c & (0xff >> (length + 1));
    } else {
        if ((c & 0xc0) != 0x80)
            return CHAR_BAD;
        v = v << 6 | (c & 0x3f);
        length = how == P_U2_1 ? 2 : how <= P_U3_1 ? 3 : 4;
        left = how == P_U4_3 ? 2 : how == P_U3_2 || how == P_U4_2 ? 1 : 0;
    }
    reach_utf8(r, v << (6 * left), (v << (6 * left)) | ((1u << (6 * left)) - 1), length);
    if (!r->n)
        return CHAR_BAD;
    if (!left) {
        *part = 0;
        *cp = v;
        return CHAR_WHOLE;
    }
    *part = part_of(length == 2   ? P_U2_1
                    : length == 3 ? (left == 2 ? P_U3_2 : P_U3_1)
                    : left == 3   ? P_U4_3
                    : left == 2   ? P_U4_2
                                  : P_U4_1,
                    v);
    return CHAR_PART;
}

static int hex_of(unsigned char c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

/* What \uXXXX is taken for: no letters, digits, blanks, which nobody writes so, and which a model
 * that has lost its way would. */
static bool is_escapable(uint32_t cp)
{
    return cp != ' ' && cp != '_' && !(cp >= '0' && cp <= '9') && !(cp >= 'A' && cp <= 'Z') &&
           !(cp >= 'a' && cp <= 'z');
}

static void reach_bmp(struct char_reach *r, uint32_t lo, uint32_t hi)
{
    while (lo <= hi && lo < 128) {
        uint32_t to = lo;
        while (to < hi && to + 1 < 128 && is_escapable(to) && is_escapable(to + 1))
            to++;
        if (is_escapable(lo))
            reach_add(r, lo, to);
        lo = to + 1;
    }
    reach_add(r, lo, hi < 0xd7ff ? hi : 0xd7ff);
    reach_add(r, lo > 0xe000 ? lo : 0xe000, hi);
}

/* \uXXXX with some digits known: lo..hi. A high surrogate stands for all that it can begin. */
static void reach_hex(struct char_reach *r, uint32_t lo, uint32_t hi)
{
    const uint32_t high_lo = lo > 0xd800 ? lo : 0xd800, high_hi = hi < 0xdbff ? hi : 0xdbff;
    reach_bmp(r, lo, hi);
    if (high_lo <= high_hi)
        reach_add(r, 0x10000 + ((high_lo - 0xd800) << 10),
                  0x10000 + ((high_hi - 0xd800) << 10) + 0x3ff);
}

static enum char_got hex_step(uint32_t *part, unsigned char c, uint32_t *cp, struct char_reach *r)
{
    const uint32_t how = *part >> 24, n = how - P_HEX0 + 1;
    const int h = hex_of(c);
    if (h < 0)
        return CHAR_BAD;
    const uint32_t v = (*part & 0xffffff) << 4 | (uint32_t)h, shift = 4 * (4 - n);
    reach_hex(r, v << shift, (v << shift) | ((1u << shift) - 1));
    if (!r->n)
        return CHAR_BAD;
    if (n < 4) {
        *part = part_of(how + 1, v);
        return CHAR_PART;
    }
    if (v >= 0xd800 && v < 0xdc00) {
        *part = part_of(P_LOW_ESC, v - 0xd800);
        return CHAR_PART;
    }
    if (v < 128 && !is_escapable(v))
        return CHAR_BAD;
    *part = 0;
    *cp = v;
    return CHAR_WHOLE;
}

/* Behind a high surrogate: \ u and a low one. The low bits hold 10 bits of the high one, then the
 * digits that came. */
static enum char_got low_step(uint32_t *part, unsigned char c, uint32_t *cp, struct char_reach *r)
{
    const uint32_t how = *part >> 24, v = *part & 0xffffff;
    if (how == P_LOW_ESC || how == P_LOW_U) {
        if (c != (how == P_LOW_ESC ? '\\' : 'u'))
            return CHAR_BAD;
        reach_add(r, 0x10000 + (v << 10), 0x10000 + (v << 10) + 0x3ff);
        *part = part_of(how + 1, how == P_LOW_U ? v << 12 : v);
        return CHAR_PART;
    }
    const uint32_t n = how - P_LOW0 + 1, high = v >> 12;
    const int h = hex_of(c);
    if (h < 0)
        return CHAR_BAD;
    const uint32_t low = (v & 0xfff) << 4 | (uint32_t)h, shift = 4 * (4 - n);
    uint32_t lo = low << shift, hi = (low << shift) | ((1u << shift) - 1);
    lo = lo < 0xdc00 ? 0xdc00 : lo;
    hi = hi > 0xdfff ? 0xdfff : hi;
    if (lo > hi)
        return CHAR_BAD;
    reach_add(r, 0x10000 + (high << 10) + (lo - 0xdc00), 0x10000 + (high << 10) + (hi - 0xdc00));
    if (n < 4) {
        *part = part_of(how + 1, high << 12 | low);
        return CHAR_PART;
    }
    *part = 0;
    *cp = r->lo[0];
    return CHAR_WHOLE;
}

enum char_got char_step(uint32_t *part, unsigned char c, uint32_t *cp, struct char_reach *r)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const uint32_t how = *part >> 24;
    r->n = 0;
    if (how == P_ESC) {
        if (c == 'u') {
            reach_hex(r, 0, 0xffff);
            *part = part_of(P_HEX0, 0);
            return CHAR_PART;
        }
        for (int i = 0; from[i]; i++)
            if ((unsigned char)from[i] == c) {
                *part = 0;
                *cp = (unsigned char)to[i];
                return CHAR_WHOLE;
            }
        return CHAR_BAD;
    }
    if (how >= P_LOW_ESC)
        return low_step(part, c, cp, r);
    if (how >= P_HEX0)
        return hex_step(part, c, cp, r);
    if (how == P_NONE) {
        if (c == '"')
            return CHAR_QUOTE;
        if (c == '\\') {
            reach_hex(r, 0, 0xffff); /* the short escapes are among these */
            *part = part_of(P_ESC, 0);
            return CHAR_PART;
        }
        if (c < 0x20)
            return CHAR_BAD;
    }
    return utf8_step(part, c, cp, r);
}
