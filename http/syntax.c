/* http/syntax.c - what is wrong with a text that should be JSON, in the reference's words.
 *
 * Facts: spec/api.md 1.1, 27: `unexpected EOF`, `invalid character 'x' looking for beginning of
 * value`. The parser (jansson) has words of its own; when it refuses a body this walks over it once
 * more, with the states and the words of Go's reader, and an explicit stack. */
#include "http/inside.h"

#include <stdio.h>
#include <string.h>

struct walk {
    const char *p, *end;
    const char *why; /* what was looked for where it went wrong; NULL: the text ended */
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_blanks(struct walk *w)
{
    while (w->p < w->end && is_blank(*w->p))
        w->p++;
}

/* Each of the following goes over one thing: false with w->p at the byte that is wrong. */

static bool wrong(struct walk *w, const char *why)
{
    w->why = w->p < w->end ? why : NULL;
    return false;
}

static bool literal(struct walk *w, const char *word)
{
    static const struct {
        const char *word, *why[4];
    } words[] = {
        {"true",
         {"in literal true (expecting 'r')", "in literal true (expecting 'u')",
          "in literal true (expecting 'e')", NULL}},
        {"false",
         {"in literal false (expecting 'a')", "in literal false (expecting 'l')",
          "in literal false (expecting 's')", "in literal false (expecting 'e')"}},
        {"null",
         {"in literal null (expecting 'u')", "in literal null (expecting 'l')",
          "in literal null (expecting 'l')", NULL}},
    };
    const size_t k = *word == 't' ? 0 : *word == 'f' ? 1 : 2;
    w->p++;
    for (size_t i = 1; words[k].word[i]; i++, w->p++)
        if (w->p == w->end || *w->p != words[k].word[i])
            return wrong(w, words[k].why[i - 1]);
    return true;
}

static bool is_digit(const struct walk *w)
{
    return w->p < w->end && *w->p >= '0' && *w->p <= '9';
}

static bool number(struct walk *w)
{
    if (*w->p == '-') {
        w->p++;
        if (!is_digit(w))
            return wrong(w, "in numeric literal");
    }
    if (*w->p == '0')
        w->p++;
    else
        while (is_digit(w))
            w->p++;
    if (w->p < w->end && *w->p == '.') {
        w->p++;
        if (!is_digit(w))
            return wrong(w, "after decimal point in numeric literal");
        while (is_digit(w))
            w->p++;
    }
    if (w->p < w->end && (*w->p | 32) == 'e') {
        w->p++;
        if (w->p < w->end && (*w->p == '+' || *w->p == '-'))
            w->p++;
        if (!is_digit(w))
            return wrong(w, "in exponent of numeric literal");
        while (is_digit(w))
            w->p++;
    }
    return true;
}

static bool string(struct walk *w)
{
    for (w->p++; w->p < w->end && *w->p != '"'; w->p++) {
        if ((unsigned char)*w->p < 0x20)
            return wrong(w, "in string literal");
        if (*w->p != '\\')
            continue;
        if (++w->p == w->end)
            return wrong(w, NULL);
        if (!strchr("\"\\/bfnrtu", *w->p) || !*w->p)
            return wrong(w, "in string escape code");
        for (int i = 0; *w->p == 'u' && i < 4; i++) {
            const char *at = w->p + 1 + i;
            if (at == w->end || !*at || !strchr("0123456789abcdefABCDEF", *at)) {
                w->p = at;
                return wrong(w, "in \\u hexadecimal character escape");
            }
        }
    }
    if (w->p == w->end)
        return wrong(w, NULL);
    w->p++;
    return true;
}

static bool scalar(struct walk *w)
{
    const char c = w->p < w->end ? *w->p : 0;
    if (c == '"')
        return string(w);
    if (c == '-' || (c >= '0' && c <= '9'))
        return number(w);
    if (c == 't' || c == 'f' || c == 'n')
        return literal(w, c == 't' ? "true" : c == 'f' ? "false" : "null");
    return wrong(w, "looking for beginning of value");
}

static bool key(struct walk *w)
{
    skip_blanks(w);
    if (w->p == w->end || *w->p != '"')
        return wrong(w, "looking for beginning of object key string");
    if (!string(w))
        return false;
    skip_blanks(w);
    if (w->p == w->end || *w->p != ':')
        return wrong(w, "after object key");
    w->p++;
    return true;
}

/* A value is over: commas and closing brackets, up to the next value. 1: the whole text is over. */
static int after_value(struct walk *w, const char *stack, size_t *depth)
{
    while (*depth) {
        const bool in_object = stack[*depth - 1] == '{';
        skip_blanks(w);
        if (w->p < w->end && *w->p == ',') {
            w->p++;
            return !in_object || key(w) ? 0 : -1;
        }
        if (w->p == w->end || *w->p != (in_object ? '}' : ']')) {
            wrong(w, in_object ? "after object key:value pair" : "after array element");
            return -1;
        }
        w->p++;
        --*depth;
    }
    return 1;
}

static bool walk(struct walk *w)
{
    char stack[MAX_JSON_DEPTH];
    size_t depth = 0;
    for (int over = 0; !over;) {
        skip_blanks(w);
        const char c = w->p < w->end ? *w->p : 0;
        if (c == '{' || c == '[') {
            if (depth == sizeof stack)
                return true; /* said elsewhere */
            stack[depth++] = c;
            w->p++;
            skip_blanks(w);
            if (w->p < w->end && *w->p == (c == '{' ? '}' : ']')) {
                w->p++;
                depth--;
                over = after_value(w, stack, &depth);
            } else if (c == '{' && !key(w)) {
                return false;
            }
        } else if (scalar(w)) {
            over = after_value(w, stack, &depth);
        } else {
            return false;
        }
        if (over < 0)
            return false;
    }
    return true;
}

int json_syntax_error(const char *p, size_t n, struct err *e)
{
    struct walk w = {p, p + n, NULL};
    if (walk(&w))
        return 0;
    if (!w.why || w.p == w.end)
        return err_set(e, ERR_INPUT, "unexpected EOF");
    uint32_t cp;
    bool bad;
    char shown[16] = "";
    const size_t k = text_decode(w.p, (size_t)(w.end - w.p), &cp, &bad);
    if (*w.p == '\'')
        snprintf(shown, sizeof shown, "\\'");
    else if (*w.p == '\n' || *w.p == '\r' || *w.p == '\t')
        snprintf(shown, sizeof shown, "\\%c", *w.p == '\n' ? 'n' : *w.p == '\r' ? 'r' : 't');
    else if ((unsigned char)*w.p < 0x20 || *w.p == 0x7f)
        snprintf(shown, sizeof shown, "\\x%02x", (unsigned char)*w.p);
    else
        snprintf(shown, sizeof shown, "%.*s", (int)k, w.p);
    return err_set(e, ERR_INPUT, "invalid character '%s' %s", shown, w.why);
}
