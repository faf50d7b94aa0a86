/* engine/chat/go_const.c - constants in the source of a Go template: numbers and quoted text. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "engine/chat/go.h"

/* ---- text ------------------------------------------------------------------------------------ */

static int digits(struct text t, size_t at, size_t n, int base, uint32_t *v)
{
    *v = 0;
    if (n > t.n - at)
        return -1;
    for (size_t i = 0; i < n; i++) {
        char ch = t.p[at + i];
        int d = ch >= '0' && ch <= '9'                 ? ch - '0'
                : (ch | 32) >= 'a' && (ch | 32) <= 'f' ? (ch | 32) - 'a' + 10
                                                       : 99;
        if (d >= base)
            return -1;
        *v = *v * (uint32_t)base + (uint32_t)d;
    }
    return 0;
}

/* One character of a quoted text at *at, which moves on. *raw: a byte, not a code point. -1: no. */
static int one_char(struct text t, size_t *at, char quote, uint32_t *cp, bool *raw)
{
    static const char from[] = "abfnrtv\\", to[] = "\a\b\f\n\r\t\v\\";
    *raw = false;
    if (t.p[*at] != '\\') {
        bool bad = false;
        *at += text_decode(t.p + *at, t.n - *at, cp, &bad);
        return 0;
    }
    if (++*at >= t.n)
        return -1;
    char ch = t.p[(*at)++];
    const char *simple = ch ? strchr(from, ch) : NULL;
    if (simple) {
        *cp = (unsigned char)to[simple - from];
        return 0;
    }
    if (ch == quote) {
        *cp = (unsigned char)ch;
        return 0;
    }
    size_t n = ch == 'x' ? 2 : ch == 'u' ? 4 : ch == 'U' ? 8 : 0;
    if (n) {
        if (digits(t, *at, n, 16, cp))
            return -1;
        *at += n;
        *raw = ch == 'x';
        return ch != 'x' && (*cp > 0x10ffff || (*cp >= 0xd800 && *cp < 0xe000)) ? -1 : 0;
    }
    if (ch < '0' || ch > '7' || digits(t, --*at, 3, 8, cp) || *cp > 255)
        return -1;
    *at += 3;
    *raw = true;
    return 0;
}

struct str *go_unquote(struct tpl *c, struct text t)
{
    if (t.p[0] == '`') {
        char *p = tpl_bytes(c, t.n);
        size_t n = 0;
        for (size_t i = 1; i + 1 < t.n; i++)
            if (t.p[i] != '\r')
                p[n++] = t.p[i];
        return tpl_str(c, p, n, true);
    }
    struct text in = {t.p + 1, t.n - 2};
    char *p = tpl_bytes(c, t.n + 4);
    size_t n = 0;
    for (size_t at = 0; at < in.n;) {
        uint32_t cp;
        bool raw;
        if (one_char(in, &at, '"', &cp, &raw))
            return NULL;
        if (raw)
            p[n++] = (char)cp;
        else
            n += text_encode(cp, p + n);
    }
    return tpl_str(c, p, n, true);
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* Go's underscores: between digits, or behind the prefix of the base. -1: wrong. */
static int drop_underscores(struct text t, char out[128])
{
    size_t n = 0;
    if (t.n >= 127)
        return -1;
    size_t start = t.n && (t.p[0] == '-' || t.p[0] == '+');
    bool base = t.n > start + 1 && t.p[start] == '0' && strchr("xXoObB", t.p[start + 1]);
    for (size_t i = 0; i < t.n; i++) {
        if (t.p[i] != '_') {
            out[n++] = t.p[i];
            continue;
        }
        char before = i ? t.p[i - 1] : 0, after = i + 1 < t.n ? t.p[i + 1] : 0;
        bool digit_before = (before >= '0' && before <= '9') || (base && i == start + 2) ||
                            (base && ((before | 32) >= 'a' && (before | 32) <= 'f'));
        bool digit_after = (after >= '0' && after <= '9') ||
                           (base && ((after | 32) >= 'a' && (after | 32) <= 'f'));
        /* underscores need a base prefix or a decimal number */
        if (!digit_before || !digit_after)
            return -1;
    }
    out[n] = 0;
    return 0;
}

/* Integers of any base. 0: read; 1: too large for 64 bits; -1: not one. */
static int read_int(const char *s, bool *negative, uint64_t *u)
{
    int base = 10;
    *negative = *s == '-';
    if (*s == '-' || *s == '+')
        s++;
    if (*s == '0' && s[1]) {
        char ch = s[1] | 32;
        base = ch == 'x' ? 16 : ch == 'o' ? 8 : ch == 'b' ? 2 : 8;
        s += ch == 'x' || ch == 'o' || ch == 'b' ? 2 : 1;
    }
    if (!*s)
        return -1;
    for (*u = 0; *s; s++) {
        uint32_t d;
        if (digits((struct text){s, 1}, 0, 1, base, &d))
            return -1;
        if (__builtin_mul_overflow(*u, (uint64_t)base, u) || __builtin_add_overflow(*u, d, u))
            return 1;
    }
    return 0;
}

/* 0 when the whole of `s` is a float. */
static int read_float(const char *s, double *f)
{
    char *end;
    const char *p = *s == '-' || *s == '+' ? s + 1 : s;
    bool hex = p[0] == '0' && (p[1] | 32) == 'x';
    if (!(*p == '.' || (*p >= '0' && *p <= '9')) || (hex && !strpbrk(p, "pP")))
        return -1;
    errno = 0;
    *f = strtod(s, &end);
    if (*end || end == s || (errno == ERANGE && (*f > 1 || *f < -1)))
        return -1;
    return 0;
}

static const char *read_char(struct tpl *c, struct go_node *n, struct text t)
{
    uint32_t cp;
    bool raw;
    size_t at = 1;
    if (t.n < 3 || (t.p[1] == '\''))
        return "invalid syntax";
    if (one_char(t, &at, '\'', &cp, &raw))
        return "invalid syntax";
    if (at + 1 != t.n)
        return go_words(c, "malformed character constant: %.*s", (int)t.n, t.p);
    n->number = GO_NUM_INT;
    n->i = cp;
    return NULL;
}

static const char *read_complex(struct tpl *c, struct go_node *n, const char *s)
{
    char part[128];
    size_t len = strlen(s), split = 0;
    strcpy(part, s);
    part[len - 1] = 0; /* the i */
    for (size_t i = 1; i + 1 < len; i++)
        if ((s[i] == '+' || s[i] == '-') && (s[i - 1] | 32) != 'e' && (s[i - 1] | 32) != 'p')
            split = i;
    double re = 0, im = 0;
    if (read_float(part + split, &im))
        return go_words(c, "illegal number syntax: \"%s\"", s);
    part[split] = 0;
    if (split && read_float(part, &re))
        return go_words(c, "illegal number syntax: \"%s\"", s);
    n->number = GO_NUM_COMPLEX;
    n->f = re;
    n->im = im;
    return NULL;
}

const char *go_read_number(struct tpl *c, struct go_node *n, struct text t, enum go_item type)
{
    char s[128];
    uint64_t u = 0;
    bool negative = false;
    double f = 0;
    if (type == GO_I_CHARCONST)
        return read_char(c, n, t);
    if (drop_underscores(t, s))
        return go_words(c, "illegal number syntax: \"%.*s\"", (int)t.n, t.p);
    size_t len = strlen(s);
    if (len && s[len - 1] == 'i')
        return read_complex(c, n, s);
    int whole = read_int(s, &negative, &u);
    const uint64_t most = (uint64_t)INT64_MAX + negative;
    if (whole == 0 && u <= most) {
        n->number = GO_NUM_INT;
        n->i = negative ? (int64_t)(0 - u) : (int64_t)u;
        return NULL;
    }
    if (whole == 0 && !negative) {
        n->number = GO_NUM_TOO_BIG; /* said when it is used */
        return NULL;
    }
    if (read_float(s, &f))
        return go_words(c, "illegal number syntax: \"%.*s\"", (int)t.n, t.p);
    if (!strpbrk(s, ".eEpP"))
        return go_words(c, "integer overflow: \"%.*s\"", (int)t.n, t.p);
    n->number = GO_NUM_FLOAT;
    n->f = f;
    return NULL;
}
