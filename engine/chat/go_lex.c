/* engine/chat/go_lex.c - words of a Go template, one at a time.
 *
 * On demand, since an error of the grammar that stands before a wrong word must win. White space is
 * a word inside an action: two operands need it between them. */
#include <stdio.h>
#include <string.h>
#include "engine/chat/go.h"

bool go_is_space(uint32_t ch)
{
    return ch == ' ' || ch == '\t' || ch == '\r' || ch == '\n';
}

bool go_is_word(uint32_t cp)
{
    if (cp < 128)
        return cp == '_' || (cp >= '0' && cp <= '9') || ((cp | 32) >= 'a' && (cp | 32) <= 'z');
    return uni_class(cp) & (U_ALPHA | U_DECIMAL);
}

static bool starts(const struct go_lexer *l, size_t at, const char *with)
{
    size_t n = strlen(with);
    return at <= l->n && n <= l->n - at && memcmp(l->s + at, with, n) == 0;
}

/* The next character and its length; 0 and 0 at the end. */
static size_t peek(const struct go_lexer *l, uint32_t *cp)
{
    bool bad = false;
    *cp = 0;
    return l->pos < l->n ? text_decode(l->s + l->pos, l->n - l->pos, cp, &bad) : 0;
}

static struct go_token emit(struct go_lexer *l, enum go_item type)
{
    struct go_token t = {
        type, (uint32_t)l->start, l->start_line, {l->s + l->start, l->pos - l->start}};
    for (size_t i = l->start; i < l->pos; i++)
        l->line += l->s[i] == '\n';
    l->start = l->pos;
    l->start_line = l->line;
    return t;
}

static void ignore(struct go_lexer *l)
{
    (void)emit(l, GO_I_SPACE);
}

static struct go_token wrong(struct go_lexer *l, const char *words)
{
    l->state = GO_L_END;
    return (struct go_token){GO_I_ERROR, (uint32_t)l->start, l->start_line, {words, strlen(words)}};
}

static struct go_token wrong_char(struct go_lexer *l, const char *what, uint32_t cp)
{
    char shown[5] = "";
    if (cp && (uni_class(cp) & U_PRINT))
        shown[text_encode(cp, shown)] = 0;
    return wrong(l, shown[0] ? go_words(l->c, "%s U+%04X '%s'", what, cp, shown)
                             : go_words(l->c, "%s U+%04X", what, cp));
}

static bool trims_right(const struct go_lexer *l, size_t at)
{
    return at + 1 < l->n && go_is_space((unsigned char)l->s[at]) && l->s[at + 1] == '-';
}

/* Is the closing delimiter here? *trim: with its mark. */
static bool at_right(const struct go_lexer *l, size_t at, bool *trim)
{
    *trim = trims_right(l, at) && starts(l, at + 2, "}}");
    return *trim || starts(l, at, "}}");
}

static void skip_space(struct go_lexer *l)
{
    while (l->pos < l->n && go_is_space((unsigned char)l->s[l->pos]))
        l->pos++;
    ignore(l);
}

static bool terminates(const struct go_lexer *l)
{
    uint32_t cp;
    size_t n = peek(l, &cp);
    return !n || go_is_space(cp) || (cp && cp < 128 && strchr(".,|:)(", (int)cp)) ||
           starts(l, l->pos, "}}");
}

static struct go_token lex_right(struct go_lexer *l)
{
    bool trim;
    at_right(l, l->pos, &trim);
    if (trim) {
        l->pos += 2;
        ignore(l);
    }
    l->pos += 2;
    struct go_token t = emit(l, GO_I_RIGHT);
    l->state = GO_L_TEXT;
    if (trim)
        skip_space(l);
    return t;
}

/* A comment stands where an action would. NULL words: it was skipped. */
static const char *skip_comment(struct go_lexer *l)
{
    bool trim;
    const char *end = memmem(l->s + l->pos + 2, l->n - l->pos - 2, "*/", 2);
    if (!end)
        return "unclosed comment";
    l->pos = (size_t)(end - l->s) + 2;
    if (!at_right(l, l->pos, &trim))
        return "comment ends before closing delimiter";
    l->pos += trim ? 4 : 2;
    ignore(l);
    l->state = GO_L_TEXT;
    if (trim)
        skip_space(l);
    return NULL;
}

static bool trims_left(const struct go_lexer *l, size_t at)
{
    return at + 1 < l->n && l->s[at] == '-' && go_is_space((unsigned char)l->s[at + 1]);
}

static bool lex_text(struct go_lexer *l, struct go_token *t)
{
    const char *open = memmem(l->s + l->pos, l->n - l->pos, "{{", 2);
    size_t end = open ? (size_t)(open - l->s) : l->n, to = end;
    l->state = open ? GO_L_LEFT : GO_L_END;
    if (open && trims_left(l, end + 2))
        while (to > l->pos && go_is_space((unsigned char)l->s[to - 1]))
            to--;
    l->pos = to;
    bool some = to > l->start;
    if (some)
        *t = emit(l, GO_I_TEXT);
    l->pos = end;
    ignore(l);
    return some;
}

static struct go_token lex_word(struct go_lexer *l, enum go_item type)
{
    static const struct {
        const char *word;
        enum go_item type;
    } keys[] = {{"block", GO_I_BLOCK},
                {"break", GO_I_BREAK},
                {"continue", GO_I_CONTINUE},
                {"define", GO_I_DEFINE},
                {"else", GO_I_ELSE},
                {"end", GO_I_END},
                {"if", GO_I_IF},
                {"range", GO_I_RANGE},
                {"nil", GO_I_NIL},
                {"template", GO_I_TEMPLATE},
                {"with", GO_I_WITH},
                {"true", GO_I_BOOL},
                {"false", GO_I_BOOL}};
    uint32_t cp;
    size_t n;
    while ((n = peek(l, &cp)) && go_is_word(cp))
        l->pos += n;
    if (!terminates(l))
        return wrong_char(l, "bad character", cp);
    struct go_token t = emit(l, type);
    for (size_t i = 0; type == GO_I_IDENT && i < sizeof keys / sizeof *keys; i++)
        if (strlen(keys[i].word) == t.text.n && !memcmp(keys[i].word, t.text.p, t.text.n))
            t.type = keys[i].type;
    return t;
}

/* .Field and $variable: the sign is behind us. */
static struct go_token lex_name(struct go_lexer *l, enum go_item type)
{
    if (terminates(l))
        return emit(l, type == GO_I_VAR ? GO_I_VAR : GO_I_DOT);
    return lex_word(l, type);
}

static struct go_token lex_quoted(struct go_lexer *l, char quote)
{
    while (l->pos < l->n && l->s[l->pos] != '\n') {
        char ch = l->s[l->pos++];
        if (ch == '\\' && l->pos < l->n && l->s[l->pos] != '\n')
            l->pos++;
        else if (ch == '\\')
            break;
        else if (ch == quote)
            return emit(l, quote == '"' ? GO_I_STRING : GO_I_CHARCONST);
    }
    return wrong(l,
                 quote == '"' ? "unterminated quoted string" : "unterminated character constant");
}

static struct go_token lex_raw(struct go_lexer *l)
{
    const char *end = memchr(l->s + l->pos, '`', l->n - l->pos);
    if (!end)
        return wrong(l, "unterminated raw quoted string");
    l->pos = (size_t)(end - l->s) + 1;
    return emit(l, GO_I_RAW);
}

static bool take(struct go_lexer *l, const char *set)
{
    if (l->pos >= l->n || !l->s[l->pos] || !strchr(set, l->s[l->pos]))
        return false;
    l->pos++;
    return true;
}

static bool scan_number(struct go_lexer *l)
{
    const char *digits = "0123456789_";
    bool dec = true, hex = false;
    take(l, "+-");
    if (take(l, "0")) {
        if (take(l, "xX"))
            digits = "0123456789abcdefABCDEF_", dec = false, hex = true;
        else if (take(l, "oO"))
            digits = "01234567_", dec = false;
        else if (take(l, "bB"))
            digits = "01_", dec = false;
    }
    while (take(l, digits))
        ;
    if (take(l, "."))
        while (take(l, digits))
            ;
    if ((dec && take(l, "eE")) || (hex && take(l, "pP"))) {
        take(l, "+-");
        while (take(l, "0123456789_"))
            ;
    }
    take(l, "i");
    uint32_t cp;
    size_t n = peek(l, &cp);
    if (!n || !go_is_word(cp))
        return true;
    l->pos += n;
    return false;
}

static struct go_token lex_number(struct go_lexer *l)
{
    enum go_item type = GO_I_NUMBER;
    bool fine = scan_number(l);
    if (fine && l->pos < l->n && (l->s[l->pos] == '+' || l->s[l->pos] == '-')) {
        type = GO_I_COMPLEX;
        fine = scan_number(l) && l->s[l->pos - 1] == 'i';
    }
    if (fine)
        return emit(l, type);
    return wrong(l, go_words(l->c, "bad number syntax: \"%.*s\"", (int)(l->pos - l->start),
                             l->s + l->start));
}

static struct go_token lex_inside(struct go_lexer *l)
{
    bool trim;
    uint32_t cp;
    if (at_right(l, l->pos, &trim))
        return l->parens ? wrong(l, "unclosed left paren") : lex_right(l);
    size_t n = peek(l, &cp);
    if (!n)
        return wrong(l, "unclosed action");
    if (go_is_space(cp)) {
        while (l->pos < l->n && go_is_space((unsigned char)l->s[l->pos]))
            l->pos++;
        /* The last of them may belong to the mark before the closing delimiter. */
        if (trims_right(l, l->pos - 1) && starts(l, l->pos + 1, "}}"))
            l->pos--;
        return l->pos > l->start ? emit(l, GO_I_SPACE) : lex_right(l);
    }
    char next = l->pos + 1 < l->n ? l->s[l->pos + 1] : 0;
    if (cp == '+' || cp == '-' || (cp >= '0' && cp <= '9') ||
        (cp == '.' && ((next >= '0' && next <= '9') || l->pos + 1 == l->n)))
        return lex_number(l);
    if (go_is_word(cp))
        return lex_word(l, GO_I_IDENT);
    l->pos += n;
    switch (cp) {
    case '=':
        return emit(l, GO_I_ASSIGN);
    case ':':
        if (next != '=')
            return wrong(l, "expected :=");
        l->pos++;
        return emit(l, GO_I_DECLARE);
    case '|':
        return emit(l, GO_I_PIPE);
    case '"':
        return lex_quoted(l, '"');
    case '\'':
        return lex_quoted(l, '\'');
    case '`':
        return lex_raw(l);
    case '$':
        return lex_name(l, GO_I_VAR);
    case '.':
        return lex_name(l, GO_I_FIELD);
    case '(':
        l->parens++;
        return emit(l, GO_I_LPAREN);
    case ')':
        if (--l->parens < 0)
            return wrong(l, "unexpected right paren");
        return emit(l, GO_I_RPAREN);
    default:
        break;
    }
    if (cp > 32 && cp < 127)
        return emit(l, GO_I_CHAR);
    return wrong_char(l, "unrecognized character in action:", cp);
}

struct go_token go_lex_next(struct go_lexer *l)
{
    struct go_token t;
    for (;;) {
        if (l->state == GO_L_INSIDE)
            return lex_inside(l);
        if (l->state == GO_L_END)
            return (struct go_token){GO_I_EOF, (uint32_t)l->pos, l->line, {"EOF", 3}};
        if (l->state == GO_L_TEXT) {
            if (lex_text(l, &t))
                return t;
            continue;
        }
        /* at {{ */
        size_t marker = trims_left(l, l->pos + 2) ? 2 : 0;
        if (starts(l, l->pos + 2 + marker, "/*")) {
            l->pos += 2 + marker;
            const char *words = skip_comment(l);
            if (words)
                return wrong(l, words);
            continue;
        }
        l->pos += 2;
        t = emit(l, GO_I_LEFT);
        l->pos += marker;
        ignore(l);
        l->parens = 0;
        l->state = GO_L_INSIDE;
        return t;
    }
}
