/* engine/chat/case.c - letters large and small, padding, lines: what methods and filters share. */
#include <string.h>
#include "engine/chat/template.h"

static void put_mapped(struct tpl *c, struct sink *k, const uint32_t *cp, int n, bool trusted)
{
    for (int i = 0; i < n; i++)
        tpl_putc(c, k, cp[i], trusted);
}

static bool is_cased(uint32_t cp)
{
    return (uni_class(cp) & (U_UPPER | U_LOWER | U_TITLE)) != 0;
}

/* Is the sigma at `at` the last letter of a word? (Unicode, Final_Sigma) */
static bool final_sigma(const struct str *s, size_t at, size_t behind)
{
    uint32_t cp = 0;
    bool bad, before = false;
    for (size_t i = at; i > 0;) {
        for (i--; i > 0 && ((unsigned char)s->p[i] & 0xc0) == 0x80;)
            i--;
        text_decode(s->p + i, s->n - i, &cp, &bad);
        if (!uni_is_ignorable(cp)) {
            before = is_cased(cp);
            break;
        }
    }
    if (!before)
        return false;
    for (size_t i = behind; i < s->n;) {
        i += text_decode(s->p + i, s->n - i, &cp, &bad);
        if (!uni_is_ignorable(cp))
            return !is_cased(cp);
    }
    return true;
}

static int lower(const struct str *s, size_t at, size_t n, uint32_t cp, uint32_t out[3])
{
    if (cp == 0x3a3 && final_sigma(s, at, at + n)) {
        out[0] = 0x3c2;
        return 1;
    }
    return uni_lower(cp, out);
}

struct str *tpl_case(struct tpl *c, const struct str *s, enum case_how how)
{
    struct sink k;
    bool word = false; /* the character before was a letter */
    tpl_sink(c, &k);
    tpl_charge(c, s->n / 32);
    for (size_t i = 0; i < s->n;) {
        uint32_t cp, out[3];
        bool bad;
        size_t n = text_decode(s->p + i, s->n - i, &cp, &bad);
        int m;
        unsigned cl = how == CASE_SWAP ? uni_class(cp) : 0;
        switch (how) {
        case CASE_UPPER: m = uni_upper(cp, out); break;
        case CASE_LOWER: m = lower(s, i, n, cp, out); break;
        case CASE_TITLE: m = word ? lower(s, i, n, cp, out) : uni_title(cp, out); break;
        case CASE_CAPITAL: m = i ? lower(s, i, n, cp, out) : uni_title(cp, out); break;
        default:
            m = cl & U_UPPER ? lower(s, i, n, cp, out) : cl & U_LOWER ? uni_upper(cp, out) : 1;
            if (!(cl & (U_UPPER | U_LOWER)))
                out[0] = cp;
            break;
        }
        put_mapped(c, &k, out, m, tpl_str_trusted(s, i));
        word = is_cased(cp);
        i += n;
    }
    return tpl_sink_str(c, &k);
}

/* where: -1 text at the left, 0 in the middle, 1 at the right. */
struct str *tpl_pad(struct tpl *c, struct str *s, int64_t width, int where, const struct str *fill)
{
    int64_t n = (int64_t)tpl_str_chars(c, s);
    if (width <= n)
        return s;
    if (width > TPL_MAX_ITEMS)
        tpl_fail(c, "a width of more than %d", TPL_MAX_ITEMS);
    int64_t room = width - n;
    int64_t left = where < 0 ? 0 : where > 0 ? room : room / 2 + (room & width & 1);
    struct sink k;
    tpl_sink(c, &k);
    tpl_charge(c, (size_t)room / 8);
    for (int64_t i = 0; i < room; i++) {
        if (i == left)
            tpl_put_str(c, &k, s);
        if (fill)
            tpl_put_str(c, &k, fill);
        else
            tpl_put(c, &k, " ", 1, false);
    }
    if (left == room)
        tpl_put_str(c, &k, s);
    return tpl_sink_str(c, &k);
}

/* Length of the line end at i, 0 if there is none. */
static size_t line_end(const struct str *s, size_t i)
{
    unsigned char ch = (unsigned char)s->p[i];
    if (ch == '\r')
        return i + 1 < s->n && s->p[i + 1] == '\n' ? 2 : 1;
    if ((ch >= 10 && ch <= 12) || (ch >= 0x1c && ch <= 0x1e))
        return 1;
    if (ch == 0xc2 && i + 1 < s->n && (unsigned char)s->p[i + 1] == 0x85)
        return 2;
    if (ch == 0xe2 && i + 2 < s->n && (unsigned char)s->p[i + 1] == 0x80 &&
        ((unsigned char)s->p[i + 2] == 0xa8 || (unsigned char)s->p[i + 2] == 0xa9))
        return 3;
    return 0;
}

struct list *tpl_split_lines(struct tpl *c, const struct str *s, bool keep)
{
    struct list *l = tpl_list(c, L_LIST, 0);
    size_t from = 0;
    tpl_charge_bytes(c, s->n);
    for (size_t i = 0; i < s->n;) {
        size_t n = line_end(s, i);
        if (!n) {
            i++;
            continue;
        }
        tpl_charge(c, 1);
        tpl_list_add(c, l, tpl_str_val(tpl_str_part(c, s, from, keep ? i + n : i)));
        i += n;
        from = i;
    }
    if (from < s->n)
        tpl_list_add(c, l, tpl_str_val(tpl_str_part(c, s, from, s->n)));
    return l;
}

/* At least one character of `want`, and none of `never`. */
bool tpl_is_cased(struct tpl *c, const struct str *s, unsigned want, unsigned never)
{
    bool any = false;
    tpl_charge(c, s->n / 32);
    for (size_t i = 0; i < s->n;) {
        uint32_t cp;
        bool bad;
        i += text_decode(s->p + i, s->n - i, &cp, &bad);
        unsigned cl = uni_class(cp);
        if (cl & never)
            return false;
        any |= (cl & want) != 0;
    }
    return any;
}
