/* engine/chat/lex.c - source of a template to tokens.
 *
 * The rules of white space are Jinja's with trim_blocks and lstrip_blocks on: the newline after
 * `%}` and `#}` goes; blanks before `{%` and `{#` go when nothing else stands before them on the
 * line; `-` takes all white space on its side, `+` turns the rule off for its side. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "engine/chat/syntax.h"

struct lexer {
    struct tpl *c;
    const char *s; /* the source with \n line ends */
    size_t n, at;
    size_t line_at; /* where the current line starts; lines are counted on the way */
    uint32_t line;
    size_t counted; /* how far lines were counted */
    struct tokens out;
    size_t cap;
    bool line_starts; /* the last token ended with a newline, or nothing was read yet */
};

static void locate(struct lexer *x, size_t at)
{
    for (; x->counted < at; x->counted++)
        if (x->s[x->counted] == '\n') {
            x->line++;
            x->line_at = x->counted + 1;
        }
    x->c->line = x->line;
    x->c->col = (uint32_t)(at >= x->line_at ? at - x->line_at : 0) + 1;
}

static struct token *add(struct lexer *x, enum token_type type, size_t at, size_t n)
{
    locate(x, at);
    if (x->out.n == x->cap) {
        size_t cap = x->cap ? x->cap * 2 : 256;
        x->out.t = tpl_grow(x->c, x->out.t, x->cap * sizeof *x->out.t, cap * sizeof *x->out.t);
        x->cap = cap;
    }
    struct token *t = &x->out.t[x->out.n++];
    *t = (struct token){.type = type, .line = x->c->line, .col = x->c->col, .p = x->s + at, .n = n};
    return t;
}

static bool has(const struct lexer *x, size_t at, const char *word)
{
    size_t n = strlen(word);
    return n <= x->n - at && memcmp(x->s + at, word, n) == 0;
}

static size_t skip_space(const struct lexer *x, size_t at)
{
    uint32_t cp;
    bool bad;
    while (at < x->n) {
        size_t k = text_decode(x->s + at, x->n - at, &cp, &bad);
        if (!uni_is_space(cp))
            break;
        at += k;
    }
    return at;
}

static size_t back_over_space(const struct lexer *x, size_t from, size_t to)
{
    struct str s = {.p = x->s + from, .n = to - from};
    return from + tpl_trim(x->c, &s, NULL, false, true)->n;
}

/* Text of the template from..to, which stands before a delimiter with sign '-', '+' or 0. */
static void add_data(struct lexer *x, size_t from, size_t to, char sign, bool lstrip)
{
    if (sign == '-') {
        to = back_over_space(x, from, to);
    } else if (sign != '+' && lstrip) {
        size_t line = to;
        while (line > from && x->s[line - 1] != '\n')
            line--;
        if ((line > from || x->line_starts) && skip_space(x, line) >= to)
            to = line;
    }
    if (to > from) {
        struct token *t = add(x, K_DATA, from, to - from);
        t->v = tpl_str_val(tpl_str(x->c, x->s + from, to - from, true));
        tpl_str_chars(x->c, t->v.s);
        tpl_hash(x->c, t->v);
    }
}

/* After a closing delimiter that ends at `at`: what the sign before it and trim_blocks take. */
static size_t after_close(struct lexer *x, size_t at, char sign, bool trim)
{
    if (sign == '-')
        at = skip_space(x, at);
    else if (sign != '+' && trim && at < x->n && x->s[at] == '\n')
        at++;
    x->line_starts = at > 0 && x->s[at - 1] == '\n';
    return at;
}

/* ---- inside {{ }} and {% %} ------------------------------------------------------------------ */

static bool is_digit(char ch)
{
    return ch >= '0' && ch <= '9';
}

static int hex(char ch)
{
    if (is_digit(ch))
        return ch - '0';
    ch |= 32;
    return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

static bool is_name(char ch)
{
    return is_digit(ch) || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '_' ||
           (unsigned char)ch >= 0x80;
}

/* Digits with single underscores between them; the place behind. */
static size_t digits(const struct lexer *x, size_t at)
{
    while (at < x->n &&
           (is_digit(x->s[at]) || (x->s[at] == '_' && at + 1 < x->n && is_digit(x->s[at + 1]))))
        at++;
    return at;
}

static size_t exponent(const struct lexer *x, size_t at)
{
    if (at >= x->n || (x->s[at] != 'e' && x->s[at] != 'E'))
        return at;
    size_t d = at + 1;
    if (d < x->n && (x->s[d] == '+' || x->s[d] == '-'))
        d++;
    return d < x->n && is_digit(x->s[d]) ? digits(x, d) : at;
}

/* The number's text without underscores. */
static char *plain(struct lexer *x, size_t from, size_t to)
{
    char *b = tpl_bytes(x->c, to - from + 1);
    size_t n = 0;
    for (size_t i = from; i < to; i++)
        if (x->s[i] != '_')
            b[n++] = x->s[i];
    b[n] = 0;
    return b;
}

static size_t digits_of_base(const struct lexer *x, size_t at, int base)
{
    for (; at < x->n; at++) {
        char ch = x->s[at] == '_' && at + 1 < x->n ? x->s[at + 1] : x->s[at];
        if (hex(ch) < 0 || hex(ch) >= base)
            break;
    }
    return at;
}

static size_t number(struct lexer *x, size_t at)
{
    size_t end;
    char second = at + 1 < x->n ? (char)(x->s[at + 1] | 32) : 0;
    int base = second == 'x' ? 16 : second == 'o' ? 8 : second == 'b' ? 2 : 10;
    if (x->s[at] != '0')
        base = 10;
    if (base != 10 && (end = digits_of_base(x, at + 2, base)) > at + 2) {
        char *text = plain(x, at + 2, end);
        errno = 0;
        long long v = strtoll(text, NULL, base);
        struct token *t = add(x, K_INT, at, end - at);
        if (errno)
            tpl_fail(x->c, "the integer is too large");
        t->v = tpl_int(v);
        return end;
    }
    end = digits(x, at);
    size_t frac = end;
    if (end + 1 < x->n && x->s[end] == '.' && is_digit(x->s[end + 1]))
        frac = digits(x, end + 1);
    frac = exponent(x, frac);
    bool after_dot = at > 0 && x->s[at - 1] == '.';
    if (frac > end && !after_dot) {
        char *text = plain(x, at, frac);
        add(x, K_FLOAT, at, frac - at)->v = tpl_float(strtod(text, NULL));
        return frac;
    }
    if (x->s[at] == '0') /* 012 is 0 and then 12, an error of the parser as in Jinja */
        for (end = at; end < x->n && x->s[end] == '0'; end++) {
        }
    char *text = plain(x, at, end);
    errno = 0;
    long long v = strtoll(text, NULL, 10);
    struct token *t = add(x, K_INT, at, end - at);
    if (errno)
        t->v = (struct val){.type = T_BIG, .s = tpl_str(x->c, text, strlen(text), false)};
    else
        t->v = tpl_int(v);
    if (t->v.type == T_BIG)
        tpl_hash(x->c, t->v);
    return end;
}

/* An escape at s[at] == '\\'; the place behind it. */
static size_t escape(struct lexer *x, struct sink *k, size_t at, size_t end)
{
    static const char from[] = "\n\\'\"abfnrtv";
    static const char to[] = "\0\\'\"\a\b\f\n\r\t\v";
    char ch = x->s[at + 1];
    const char *known = ch ? strchr(from, ch) : NULL;
    if (known) {
        if (ch != '\n') /* backslash and line end: the line goes on */
            tpl_put(x->c, k, &to[known - from], 1, true);
        return at + 2;
    }
    uint32_t cp = 0;
    size_t i = at + 1;
    if (ch >= '0' && ch <= '7') {
        for (; i < end && i < at + 4 && x->s[i] >= '0' && x->s[i] <= '7'; i++)
            cp = cp * 8 + (uint32_t)(x->s[i] - '0');
    } else if (ch == 'x' || ch == 'u' || ch == 'U') {
        size_t n = ch == 'x' ? 2 : ch == 'u' ? 4 : 8;
        i++;
        for (size_t d = 0; d < n; d++, i++) {
            if (i >= end || hex(x->s[i]) < 0) {
                locate(x, at);
                tpl_fail(x->c, "truncated \\%cXX escape", ch);
            }
            cp = cp * 16 + (uint32_t)hex(x->s[i]);
        }
        /* Two halves of a pair, as JSON writes them, are one character. */
        if (cp >= 0xd800 && cp < 0xdc00 && i + 6 <= end && x->s[i] == '\\' && x->s[i + 1] == 'u') {
            uint32_t low = 0;
            for (size_t d = 0; d < 4; d++)
                low = low * 16 + (uint32_t)(hex(x->s[i + 2 + d]) & 15);
            if (low >= 0xdc00 && low < 0xe000) {
                cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
                i += 6;
            }
        }
        if (cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000)) {
            locate(x, at);
            tpl_fail(x->c, "illegal Unicode character in an escape");
        }
    } else {
        tpl_put(x->c, k, x->s + at, 1, true);
        return at + 1;
    }
    tpl_putc(x->c, k, cp, true);
    return i;
}

static size_t string(struct lexer *x, size_t at)
{
    char quote = x->s[at];
    size_t end = at + 1;
    bool escaped = false;
    while (end < x->n && x->s[end] != quote) {
        escaped |= x->s[end] == '\\';
        end += x->s[end] == '\\' && end + 1 < x->n ? 2 : 1;
    }
    if (end >= x->n) {
        locate(x, at);
        tpl_fail(x->c, "unexpected char \"%c\" at %zu", quote, at);
    }
    struct token *t = add(x, K_STR, at, end + 1 - at);
    struct str *s;
    if (escaped) {
        struct sink k;
        tpl_sink(x->c, &k);
        for (size_t i = at + 1; i < end;) {
            size_t run = i;
            while (run < end && x->s[run] != '\\')
                run++;
            tpl_put(x->c, &k, x->s + i, run - i, true);
            i = run < end ? escape(x, &k, run, end) : end;
        }
        s = tpl_sink_str(x->c, &k);
    } else {
        s = tpl_str(x->c, x->s + at + 1, end - at - 1, true);
    }
    t->v = tpl_str_val(s);
    return end + 1;
}

static const struct {
    char text[3];
    uint8_t type;
} operators[] = {
    {"//", K_FLOORDIV}, {"**", K_POW}, {"==", K_EQ}, {"!=", K_NE}, {">=", K_GE}, {"<=", K_LE},
    {"+", K_ADD}, {"-", K_SUB}, {"/", K_DIV}, {"*", K_MUL}, {"%", K_MOD}, {"~", K_TILDE},
    {"[", K_LBRACKET}, {"]", K_RBRACKET}, {"(", K_LPAREN}, {")", K_RPAREN}, {"{", K_LBRACE},
    {"}", K_RBRACE}, {">", K_GT}, {"<", K_LT}, {"=", K_ASSIGN}, {".", K_DOT}, {":", K_COLON},
    {"|", K_PIPE}, {",", K_COMMA}, {";", K_SEMICOLON},
};

static size_t operator(struct lexer *x, size_t at, char *open, size_t *n_open)
{
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        if (!has(x, at, operators[i].text))
            continue;
        char ch = x->s[at];
        if (ch == '(' || ch == '[' || ch == '{') {
            if (*n_open == TPL_MAX_NEST) {
                locate(x, at);
                tpl_fail(x->c, "nested deeper than %d", TPL_MAX_NEST);
            }
            open[(*n_open)++] = ch == '(' ? ')' : ch == '[' ? ']' : '}';
        } else if (ch == ')' || ch == ']' || ch == '}') {
            locate(x, at);
            if (!*n_open)
                tpl_fail(x->c, "unexpected '%c'", ch);
            if (open[--*n_open] != ch)
                tpl_fail(x->c, "unexpected '%c', expected '%c'", ch, open[*n_open]);
        }
        size_t n = strlen(operators[i].text);
        add(x, (enum token_type)operators[i].type, at, n);
        return at + n;
    }
    locate(x, at);
    tpl_fail(x->c, "unexpected char '%.*s' at %zu",
             (int)text_decode(x->s + at, x->n - at, &(uint32_t){0}, &(bool){0}), x->s + at, at);
}

/* Tokens of one tag up to its end (`}}` or `%}`), which is read too. */
static size_t tag(struct lexer *x, size_t at, const char *close, enum token_type end_type)
{
    char open[TPL_MAX_NEST];
    size_t n_open = 0;
    while (at < x->n) {
        size_t sp = skip_space(x, at);
        if (sp > at) {
            at = sp;
            continue;
        }
        char sign = x->s[at] == '-' || (end_type == K_BLOCK_END && x->s[at] == '+') ? x->s[at] : 0;
        if (!n_open && has(x, at + (sign != 0), close)) {
            add(x, end_type, at, (sign != 0) + 2u);
            return after_close(x, at + (sign != 0) + 2, sign, end_type == K_BLOCK_END);
        }
        char ch = x->s[at];
        if (is_digit(ch)) {
            at = number(x, at);
        } else if (is_name(ch)) {
            size_t end = at;
            while (end < x->n && is_name(x->s[end]))
                end++;
            add(x, K_NAME, at, end - at);
            at = end;
        } else if (ch == '\'' || ch == '"') {
            at = string(x, at);
        } else {
            at = operator(x, at, open, &n_open);
        }
    }
    return at;
}

/* ---- outside --------------------------------------------------------------------------------- */

/* Is there `{%` sign? word sign? `%}` at `at`? Gives its end, the signs. 0: no. */
static size_t bare_tag(const struct lexer *x, size_t at, const char *word, char *sign, char *last)
{
    size_t i = at + 2;
    *sign = i < x->n && (x->s[i] == '-' || x->s[i] == '+') ? x->s[i++] : 0;
    i = skip_space(x, i);
    if (i > x->n || !has(x, i, word))
        return 0;
    i = skip_space(x, i + strlen(word));
    *last = i < x->n && (x->s[i] == '-' || x->s[i] == '+') ? x->s[i++] : 0;
    return i <= x->n && has(x, i, "%}") ? i + 2 : 0;
}

static size_t raw(struct lexer *x, size_t at, char last)
{
    size_t from = last == '-' ? skip_space(x, at) : at;
    x->line_starts = from > 0 && x->s[from - 1] == '\n';
    for (size_t i = from; i + 1 < x->n; i++) {
        char sign, close;
        if (x->s[i] != '{' || x->s[i + 1] != '%')
            continue;
        size_t end = bare_tag(x, i, "endraw", &sign, &close);
        if (!end)
            continue;
        add_data(x, from, i, sign, true);
        return after_close(x, end, close, true);
    }
    locate(x, at);
    tpl_fail(x->c, "Missing end of raw directive");
}

static size_t comment(struct lexer *x, size_t at)
{
    for (size_t i = at; i + 1 < x->n; i++)
        if (x->s[i] == '#' && x->s[i + 1] == '}') {
            char sign = i > at && (x->s[i - 1] == '-' || x->s[i - 1] == '+') ? x->s[i - 1] : 0;
            return after_close(x, i + 2, sign, true);
        }
    if (at >= x->n) /* nothing at all behind it: Jinja lets that pass */
        return at;
    locate(x, at);
    tpl_fail(x->c, "Missing end of comment tag");
}

static void one_piece(struct lexer *x)
{
    size_t i = x->at;
    while (i < x->n && !(x->s[i] == '{' && i + 1 < x->n &&
                         (x->s[i + 1] == '{' || x->s[i + 1] == '%' || x->s[i + 1] == '#')))
        i++;
    if (i >= x->n) {
        add_data(x, x->at, x->n, '+', false);
        x->at = x->n;
        return;
    }
    char kind = x->s[i + 1], sign, last;
    size_t end;
    if (kind == '%' && (end = bare_tag(x, i, "raw", &sign, &last)) && last != '+') {
        add_data(x, x->at, i, sign, true);
        x->at = raw(x, end, last);
        return;
    }
    sign = i + 2 < x->n && (x->s[i + 2] == '-' || x->s[i + 2] == '+') ? x->s[i + 2] : 0;
    if (kind == '{' && sign == '+')
        sign = 0; /* {{+3}}: the operator */
    add_data(x, x->at, i, sign, kind != '{');
    size_t inside = i + 2 + (sign != 0);
    if (kind == '#') {
        x->at = comment(x, inside);
        return;
    }
    add(x, kind == '{' ? K_VAR : K_BLOCK, i, inside - i);
    x->at = kind == '{' ? tag(x, inside, "}}", K_VAR_END) : tag(x, inside, "%}", K_BLOCK_END);
}

struct tokens tpl_lex(struct tpl *c, const char *source, size_t n)
{
    struct lexer x = {.c = c, .line = 1, .line_starts = true};
    char *s = tpl_bytes(c, n + 1);
    for (size_t i = 0; i < n; i++) {
        if (source[i] == '\r') {
            s[x.n++] = '\n';
            i += i + 1 < n && source[i + 1] == '\n';
        } else {
            s[x.n++] = source[i];
        }
    }
    if (x.n && s[x.n - 1] == '\n')
        x.n--;
    s[x.n] = 0;
    x.s = s;
    while (x.at < x.n)
        one_piece(&x);
    add(&x, K_EOF, x.n, 0);
    c->line = c->col = 0;
    return x.out;
}
