/* tests/fuzz/fuzz_pattern.c - the first line as a pattern, the rest as a text: does the automaton say
 * what a slow matcher says, which reads the pattern anew at each step?
 *
 * The slow one knows sets of positions only: letters, `.`, classes, \d \w \s and their opposites,
 * groups, `|`, `* + ? {n,m}`, `^`, `$`. Other patterns are only compiled. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/grammar/grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { MOST_TEXT = 24, MOST_PATTERN = 40, MOST_STEPS = 100000 };

struct slow {
    const char *text;
    size_t n;
    long steps;
    int depth;
    bool lost; /* not of its language, or too much work */
};
typedef uint64_t places; /* bit i: in front of text[i] */

static places slow_alt(struct slow *s, const char **p, places in);

static bool in_escape(struct slow *s, char e, char c)
{
    const bool digit = c >= '0' && c <= '9';
    const bool word = digit || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    const bool blank = c == ' ' || (c >= '\t' && c <= '\r');
    switch (e) {
    case 'd':
        return digit;
    case 'D':
        return !digit;
    case 'w':
        return word;
    case 'W':
        return !word;
    case 's':
        return blank;
    case 'S':
        return !blank;
    case 'n':
        return c == '\n';
    default:
        if (!e || !strchr("^$\\.*+?()[]{}|/", e))
            s->lost = true;
        return c == e;
    }
}

/* Behind '[': does c belong? *p is moved behind the ']'. */
static bool in_class(struct slow *s, const char **p, char c)
{
    const bool neg = **p == '^';
    bool found = false;
    *p += neg;
    while (**p && **p != ']' && !s->lost) {
        const char lo = *(*p)++;
        if (lo == '\\') {
            found |= in_escape(s, **p, c);
            *p += **p != 0;
            if (**p == '-')
                s->lost = true;
            continue;
        }
        if (lo == '[' || lo == '&' || lo == '-')
            s->lost = true;
        char hi = lo;
        if (**p == '-') {
            hi = (*p)[1];
            if (!hi || hi == ']' || hi == '\\' || hi < lo) {
                s->lost = true;
                return false;
            }
            *p += 2;
        }
        found |= c >= lo && c <= hi;
    }
    if (**p != ']')
        s->lost = true;
    else
        ++*p;
    return found != neg;
}

static places slow_atom(struct slow *s, const char **p, places in)
{
    const char c = **p;
    places out = 0;
    if (++s->steps > MOST_STEPS || s->depth > 6)
        s->lost = true;
    if (s->lost)
        return 0;
    ++*p;
    if (c == '(') {
        if (**p == '?') {
            if ((*p)[1] != ':') {
                s->lost = true;
                return 0;
            }
            *p += 2;
        }
        s->depth++;
        out = slow_alt(s, p, in);
        s->depth--;
        if (**p != ')')
            s->lost = true;
        else
            ++*p;
        return out;
    }
    if (c == '^')
        return in & 1;
    if (c == '$')
        return in & (places)1 << s->n;
    if (strchr("*+?{}])", c) || (unsigned char)c < 32 || (unsigned char)c > 126)
        s->lost = true;
    const char *begin = *p, *end = *p + (c == '\\');
    for (size_t i = 0; i < s->n + (c == '['); i++) { /* a class is always read, for its end */
        const char t = i < s->n ? s->text[i] : 'a';
        const char *q = begin;
        bool yes = c == '.' ? t != '\n' && t != '\r' : t == c;
        if (c == '\\')
            yes = in_escape(s, *begin, t);
        if (c == '[') {
            yes = in_class(s, &q, t);
            end = q;
        }
        if (yes && i < s->n && in >> i & 1)
            out |= (places)1 << (i + 1);
    }
    *p = end;
    if (c == '\\' && !*begin)
        s->lost = true;
    return out;
}

static places slow_piece(struct slow *s, const char **p, places in)
{
    const char *atom = *p;
    const bool bare = *atom == '^' || *atom == '$';
    places cur = slow_atom(s, p, in);
    int lo = 1, hi = 1, len = 0;
    if (**p == '*' || **p == '+' || **p == '?') {
        lo = **p == '+';
        hi = **p == '?' ? 1 : 99;
        len = 1;
    } else if (**p == '{') {
        hi = 99;
        if (sscanf(*p, "{%2d}%n", &lo, &len) == 1 && len)
            hi = lo;
        else if (sscanf(*p, "{%2d,%2d}%n", &lo, &hi, &len) == 2 && len)
            ;
        else if ((hi = 99, sscanf(*p, "{%2d,}%n", &lo, &len)) == 1 && len)
            ;
        else
            s->lost = true;
        if (lo > hi || lo < 0 || memchr(*p, ' ', (size_t)len) || memchr(*p, '+', (size_t)len) ||
            memchr(*p, '-', (size_t)len))
            s->lost = true;
    }
    if (!len)
        return cur;
    if (bare || s->lost) {
        s->lost = true;
        return 0;
    }
    *p += len;
    *p += **p == '?'; /* lazy: the same language */
    places out = lo == 0 ? in : 0;
    for (int k = 1; k <= hi && k <= lo + MOST_TEXT + 1 && cur && !s->lost; k++) {
        if (k > 1) {
            const char *again = atom;
            cur = slow_atom(s, &again, cur);
        }
        if (k >= lo)
            out |= cur;
    }
    return out;
}

static places slow_alt(struct slow *s, const char **p, places in)
{
    places out = 0;
    for (;;) {
        places m = in;
        while (**p && **p != '|' && **p != ')' && !s->lost)
            m = slow_piece(s, p, m);
        out |= m;
        if (**p != '|' || s->lost)
            return out;
        ++*p;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *in = (const char *)data, *line = n ? memchr(in, '\n', n) : NULL;
    const size_t n_pattern = line ? (size_t)(line - in) : n;
    char pattern[MOST_PATTERN + 1], text[MOST_TEXT + 1];
    struct slow s = {.text = text};
    struct err e = {0};
    json_t *word = json_stringn(in, n_pattern);
    json_t *schema = word ? json_pack("{s:s, s:o}", "type", "string", "pattern", word) : NULL;
    struct grammar *g = schema ? grammar_json(schema, &e) : NULL;
    json_decref(schema);
    if (!g || !line || n_pattern > MOST_PATTERN || memchr(in, 0, n_pattern)) {
        grammar_free(g);
        return 0;
    }
    memcpy(pattern, in, n_pattern);
    pattern[n_pattern] = 0;
    for (size_t i = n_pattern + 1; i < n && s.n < MOST_TEXT; i++) {
        const unsigned char c = data[i];
        text[s.n++] = c == '\n' ? '\n' : (char)(32 + c % 95);
    }
    const char *p = pattern;
    const places all = ((places)1 << (s.n + 1)) - 1;
    const bool yes = slow_alt(&s, &p, all) != 0;
    if (!s.lost && !*p) {
        json_t *v = json_stringn(text, s.n);
        char *json = v ? json_dumps(v, JSON_ENCODE_ANY) : NULL;
        const uint32_t at = json ? grammar_steps(g, grammar_start(g), json, strlen(json)) : 0;
        const bool got = json && at != GRAMMAR_DEAD && grammar_may_end(g, at);
        if (json && got != yes && !grammar_failed(g)) {
            fprintf(stderr, "pattern %s text %s: the automaton says %d, the slow matcher %d\n", pattern, json,
                    got, yes);
            abort();
        }
        free(json);
        json_decref(v);
    }
    grammar_free(g);
    return 0;
}
