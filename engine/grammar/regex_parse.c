/* engine/grammar/regex_parse.c - the text of a pattern, as ECMA-262 writes it -> a tree.
 *
 * Laziness, names of groups and capturing change no language and are read over. What a finite
 * automaton cannot do, or what nobody writes in a schema, is refused by name. */
#include "engine/grammar/regex.h"

#include <stdlib.h>
#include <string.h>

int rx_no(struct rx *r, const char *what)
{
    return err_set(r->e, ERR_UNSUPPORTED, "pattern \"%.*s\": %s", r->n > 120 ? 120 : (int)r->n,
                   r->p, what);
}

struct node *rx_node(struct rx *r, int kind)
{
    struct node *n = arena_alloc(r->arena, sizeof *n, 8);
    if (!n)
        err_set(r->e, ERR_MEMORY, "out of memory");
    else
        n->kind = kind;
    return n;
}

/* ---- escapes and classes ------------------------------------------------------------------------
 */

static int hex_value(struct rx *r, int n_digits, uint32_t *out)
{
    *out = 0;
    for (int k = 0; k < n_digits; k++, r->i++) {
        const char c = r->i < r->n ? r->p[r->i] : 0;
        const int v = c >= '0' && c <= '9'                 ? c - '0'
                      : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                           : -1;
        if (v < 0)
            return rx_no(r, "a bad \\x or \\u escape");
        *out = *out * 16 + (uint32_t)v;
    }
    return 0;
}

/* Behind a backslash: a character in *cp, or a named class (*cp is its letter, *named). */
static int escape(struct rx *r, uint32_t *cp, bool *named, bool in_class)
{
    *named = false;
    if (r->i >= r->n)
        return rx_no(r, "a backslash at the end");
    bool bad;
    r->i += text_decode(r->p + r->i, r->n - r->i, cp, &bad);
    switch (*cp) {
    case 'd':
    case 'D':
    case 'p':
    case 'P':
    case 'w':
    case 'W':
    case 's':
    case 'S':
        *named = true;
        return 0;
    case 'n':
        *cp = '\n';
        return 0;
    case 'r':
        *cp = '\r';
        return 0;
    case 't':
        *cp = '\t';
        return 0;
    case 'f':
        *cp = '\f';
        return 0;
    case 'v':
        *cp = '\v';
        return 0;
    case '0':
        if (r->i < r->n && r->p[r->i] >= '0' && r->p[r->i] <= '9')
            return rx_no(r, "octal escapes are not supported");
        *cp = 0;
        return 0;
    case 'c':
        if (r->i >= r->n || (r->p[r->i] | 32) < 'a' || (r->p[r->i] | 32) > 'z')
            return rx_no(r, "a bad \\c escape");
        *cp = (uint32_t)(r->p[r->i++] & 31);
        return 0;
    case 'x':
        return hex_value(r, 2, cp);
    case 'u':
        if (r->i < r->n && r->p[r->i] == '{') {
            *cp = 0;
            for (r->i++; r->i < r->n && r->p[r->i] != '}' && *cp <= LAST_CHAR;) {
                uint32_t v;
                if (hex_value(r, 1, &v) != 0)
                    return -1;
                *cp = *cp * 16 + v;
            }
            if (r->i >= r->n || *cp > LAST_CHAR)
                return rx_no(r, "a bad \\u escape");
            r->i++;
            return 0;
        }
        if (hex_value(r, 4, cp) != 0)
            return -1;
        if (*cp >= 0xd800 && *cp < 0xdc00 && r->n - r->i >= 6 && r->p[r->i] == '\\' &&
            r->p[r->i + 1] == 'u') {
            uint32_t low;
            r->i += 2;
            if (hex_value(r, 4, &low) != 0)
                return -1;
            if (low >= 0xdc00 && low < 0xe000)
                *cp = 0x10000 + ((*cp - 0xd800) << 10) + (low - 0xdc00);
        }
        return 0;
    case 'b':
        if (in_class) {
            *cp = '\b';
            return 0;
        }
        return rx_no(r, "\\b is not supported");
    case 'B':
        return rx_no(r, "\\B is not supported");
    case 'k':
        return rx_no(r, "back references are not supported");
    default:
        if (*cp >= '1' && *cp <= '9')
            return rx_no(r, "back references are not supported");
        if ((*cp >= 'a' && *cp <= 'z') || (*cp >= 'A' && *cp <= 'Z'))
            return rx_no(r, "an unknown escape");
        return 0;
    }
}

static int add_class(struct rx *r, struct ranges *s, uint32_t letter)
{
    return letter == 'p' || letter == 'P' ? ranges_property(r, s, letter == 'P')
                                          : ranges_named(r, s, (char)letter);
}

static struct node *class_node(struct rx *r) /* behind the '[' */
{
    struct ranges s, inv;
    s.n = inv.n = 0;
    const bool neg = r->i < r->n && r->p[r->i] == '^';
    r->i += neg;
    for (;;) {
        uint32_t lo, hi;
        bool named = false, bad;
        if (r->i >= r->n) {
            rx_no(r, "a class without its ]");
            return NULL;
        }
        r->i += text_decode(r->p + r->i, r->n - r->i, &lo, &bad);
        if (lo == ']')
            break;
        if (lo == '\\' && escape(r, &lo, &named, true) != 0)
            return NULL;
        if (named) {
            if (add_class(r, &s, lo) != 0)
                return NULL;
            continue;
        }
        hi = lo;
        if (r->i + 1 < r->n && r->p[r->i] == '-' && r->p[r->i + 1] != ']') {
            r->i++;
            r->i += text_decode(r->p + r->i, r->n - r->i, &hi, &bad);
            if (hi == '\\' && escape(r, &hi, &named, true) != 0)
                return NULL;
            if (named || hi < lo) {
                rx_no(r, "a bad range in a class");
                return NULL;
            }
        }
        if (ranges_add(r, &s, lo, hi) != 0)
            return NULL;
    }
    if (neg) {
        if (ranges_invert(r, &s, &inv) != 0)
            return NULL;
        return set_node(r, &inv);
    }
    return set_node(r, &s);
}

/* ---- the tree -------------------------------------------------------------------------------- */

static struct node *parse_alt(struct rx *r);

static struct node *parse_group(struct rx *r) /* behind the '(' */
{
    const bool at_start = r->lead && r->i == r->lead + 1;
    bool ahead = false, neg = false;
    if (r->i < r->n && r->p[r->i] == '?') {
        const char c = r->i + 1 < r->n ? r->p[r->i + 1] : 0;
        const char d = r->i + 2 < r->n ? r->p[r->i + 2] : 0;
        if (c == ':') {
            r->i += 2;
        } else if (c == '=' || c == '!') {
            ahead = true;
            neg = c == '!';
            r->i += 2;
        } else if (c == '<' && d != '=' && d != '!') {
            while (r->i < r->n && r->p[r->i] != '>')
                r->i++;
            r->i++;
        } else {
            rx_no(r, "look-behind and flags are not supported");
            return NULL;
        }
    }
    /* Only look-aheads before all else, on the top level: the string as a whole obeys both. */
    if (ahead && (!at_start || r->depth != 1)) {
        rx_no(r, "look-ahead is supported at the start only");
        return NULL;
    }
    struct node *n = parse_alt(r);
    if (!n)
        return NULL;
    if (r->i >= r->n || r->p[r->i] != ')') {
        rx_no(r, "a ( without its )");
        return NULL;
    }
    r->i++;
    if (!ahead)
        return n;
    struct ahead *more = arena_alloc(r->arena, sizeof *more, 8);
    if (!more) {
        err_set(r->e, ERR_MEMORY, "out of memory");
        return NULL;
    }
    r->lead = r->i;
    *more = (struct ahead){r->aheads, n, neg};
    r->aheads = more;
    return rx_node(r, N_EMPTY);
}

static struct node *dot_node(struct rx *r)
{
    static const uint32_t line_ends[] = {'\n', '\n', '\r', '\r', 0x2028, 0x2029};
    struct ranges s, inv;
    s.n = 6;
    memcpy(s.v, line_ends, sizeof line_ends);
    return ranges_invert(r, &s, &inv) == 0 ? set_node(r, &inv) : NULL;
}

static struct node *char_node(struct rx *r, uint32_t cp)
{
    struct ranges s;
    s.n = 0;
    bool named = false;
    if (cp == '\\' && escape(r, &cp, &named, false) != 0)
        return NULL;
    if (named ? add_class(r, &s, cp) : ranges_add(r, &s, cp, cp))
        return NULL;
    return set_node(r, &s);
}

static struct node *parse_atom(struct rx *r)
{
    uint32_t cp;
    bool bad;
    r->i += text_decode(r->p + r->i, r->n - r->i, &cp, &bad);
    switch (cp) {
    case '(':
        return parse_group(r);
    case '[':
        return class_node(r);
    case '^':
        if (r->i == 1)
            r->lead = 1;
        return rx_node(r, N_BEGIN);
    case '$':
        return rx_node(r, N_END);
    case '.':
        return dot_node(r);
    case '*':
    case '+':
    case '?':
    case '{': /* browsers take a lone { as text; few mean that */
        rx_no(r, "nothing to repeat");
        return NULL;
    default:
        return char_node(r, cp);
    }
}

static int parse_count(struct rx *r, uint32_t *out)
{
    const size_t begun = r->i;
    uint32_t v = 0;
    while (r->i < r->n && r->p[r->i] >= '0' && r->p[r->i] <= '9') {
        v = v * 10 + (uint32_t)(r->p[r->i++] - '0');
        if (v > MOST_NFA)
            return rx_no(r, "a count that is too large");
    }
    *out = v;
    return r->i > begun ? 0 : -1;
}

/* * + ? {n} {n,} {n,m} behind an item; laziness changes no language. */
static struct node *parse_repeat(struct rx *r)
{
    struct node *n = parse_atom(r);
    while (n && r->i < r->n) {
        uint32_t least = 0, most = NO_END;
        const char c = r->p[r->i];
        if (c == '*' || c == '+' || c == '?') {
            least = c == '+';
            most = c == '?' ? 1 : NO_END;
            r->i++;
        } else if (c == '{') {
            r->i++;
            if (parse_count(r, &least) != 0) {
                if (!r->e->code)
                    rx_no(r, "a { that is no count");
                return NULL;
            }
            most = least;
            if (r->i < r->n && r->p[r->i] == ',') {
                r->i++;
                most = NO_END;
                if (r->i < r->n && r->p[r->i] != '}' && parse_count(r, &most) != 0) {
                    if (!r->e->code)
                        rx_no(r, "a { that is no count");
                    return NULL;
                }
            }
            if (r->i >= r->n || r->p[r->i] != '}' || most < least) {
                rx_no(r, "a { that is no count");
                return NULL;
            }
            r->i++;
        } else {
            break;
        }
        if (n->kind == N_BEGIN || n->kind == N_END) {
            rx_no(r, "nothing to repeat");
            return NULL;
        }
        if (r->i < r->n && r->p[r->i] == '?')
            r->i++;
        struct node *rep = rx_node(r, N_REP);
        if (!rep)
            return NULL;
        rep->a = n;
        rep->least = least;
        rep->most = most;
        n = rep;
    }
    return n;
}

static struct node *parse_cat(struct rx *r)
{
    struct node *all = rx_node(r, N_EMPTY);
    while (all && r->i < r->n && r->p[r->i] != '|' && r->p[r->i] != ')') {
        struct node *one = parse_repeat(r), *cat = one ? rx_node(r, N_CAT) : NULL;
        if (!cat)
            return NULL;
        cat->a = all;
        cat->b = one;
        all = cat;
    }
    return all;
}

static struct node *parse_alt(struct rx *r)
{
    if (++r->depth > MOST_DEPTH) {
        rx_no(r, "too deep");
        return NULL;
    }
    struct node *all = parse_cat(r);
    while (all && r->i < r->n && r->p[r->i] == '|') {
        r->i++;
        if (r->aheads && r->depth == 1) {
            rx_no(r, "look-ahead in one of several alternatives");
            return NULL;
        }
        struct node *one = parse_cat(r), *alt = one ? rx_node(r, N_ALT) : NULL;
        if (!alt)
            return NULL;
        alt->a = all;
        alt->b = one;
        all = alt;
    }
    r->depth--;
    return all;
}

struct node *rx_parse(struct rx *r)
{
    struct node *tree = parse_alt(r);
    if (tree && r->i < r->n) {
        rx_no(r, "a ) without its (");
        return NULL;
    }
    return tree;
}
