/* engine/grammar/gbnf.c - GBNF text -> rules.
 *
 * The language is llama.cpp's: `name ::= a "b" [c-d] ( e | f )* g{2,3} .`, `#` for comments, the
 * start is `root`. A rule ends at its line's end, unless a parenthesis is open or a `|` or `::=`
 * came last. Left recursion has no machine that reads forward, so it is refused, hidden or not. */
#include "engine/grammar/machine.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_RULES = 5000, MOST_ELEMS = 100000, MOST_TIMES = 10000 };

struct seq { /* an alternative under construction */
    struct elem *v;
    size_t n, cap;
};
struct name {
    const char *p;
    size_t n, at; /* where it was met first */
    bool defined;
};
struct gbnf {
    struct grammar *g;
    const char *p;
    size_t n, i;
    int depth;
    struct name *names; /* [rule] ; p NULL: one without a name */
    size_t cap_names;
    const json_t *schemas;
    struct err *e;
};

static int no_at(const struct gbnf *b, size_t at, const char *what, const struct name *rule)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at && i < b->n; i++) { /* columns count characters */
        line += b->p[i] == '\n';
        column = b->p[i] == '\n' ? 1 : column + ((b->p[i] & 0xc0) != 0x80);
    }
    const int n = !rule || !rule->p ? 0 : rule->n > 60 ? 60 : (int)rule->n;
    return err_set(b->e, ERR_INPUT, "grammar, line %zu, column %zu: %s%.*s", line, column, what, n,
                   n ? rule->p : "");
}

static int no(const struct gbnf *b, const char *what)
{
    return no_at(b, b->i, what, NULL);
}

static int no_memory(const struct gbnf *b)
{
    return err_set(b->e, ERR_MEMORY, "out of memory");
}

static int grow(void **p, size_t *cap, size_t n, size_t size)
{
    if (n < *cap)
        return 0;
    const size_t more = *cap ? 2 * *cap : 32;
    void *q = realloc(*p, more * size);
    if (!q)
        return -1;
    *p = q;
    *cap = more;
    return 0;
}

/* ---- parts of the grammar -------------------------------------------------------------------- */

static int rule_new(struct gbnf *b, uint32_t *out)
{
    struct grammar *g = b->g;
    if (g->n_rules == MOST_RULES)
        return no(b, "too many rules");
    if (grow((void **)&g->rules, &g->cap_rules, g->n_rules, sizeof *g->rules) != 0 ||
        grow((void **)&b->names, &b->cap_names, g->n_rules, sizeof *b->names) != 0)
        return no_memory(b);
    b->names[g->n_rules] = (struct name){NULL, 0, b->i, true};
    g->rules[g->n_rules] = (struct rule){0, NULL};
    *out = (uint32_t)g->n_rules++;
    return 0;
}

static int rule_named(struct gbnf *b, const char *p, size_t n, uint32_t *out)
{
    for (size_t i = 0; i < b->g->n_rules; i++)
        if (b->names[i].p && b->names[i].n == n && memcmp(b->names[i].p, p, n) == 0) {
            *out = (uint32_t)i;
            return 0;
        }
    if (rule_new(b, out) != 0)
        return -1;
    b->names[*out] = (struct name){p, n, (size_t)(p - b->p), false};
    return 0;
}

static int seq_add(struct gbnf *b, struct seq *s, struct elem x)
{
    if (grow((void **)&s->v, &s->cap, s->n, sizeof *s->v) != 0)
        return no_memory(b);
    s->v[s->n++] = x;
    return 0;
}

/* Put an alternative behind the others; *at is its first element. */
static int seq_keep(struct gbnf *b, const struct seq *s, uint32_t *at)
{
    struct grammar *g = b->g;
    if (g->n_elems + s->n + 1 > MOST_ELEMS)
        return no(b, "too large");
    *at = (uint32_t)g->n_elems;
    for (size_t i = 0; i <= s->n; i++) {
        if (grow((void **)&g->elems, &g->cap_elems, g->n_elems, sizeof *g->elems) != 0)
            return no_memory(b);
        g->elems[g->n_elems++] = i < s->n ? s->v[i] : (struct elem){.kind = E_END};
    }
    return 0;
}

static int set_new(struct gbnf *b, const uint32_t *ranges, uint32_t n, bool neg, uint32_t *out)
{
    struct grammar *g = b->g;
    uint32_t *keep = arena_alloc(&g->arena, (n + 1) * sizeof *keep, 4);
    if (!keep || grow((void **)&g->sets, &g->cap_sets, g->n_sets, sizeof *g->sets) != 0)
        return no_memory(b);
    if (n)
        memcpy(keep, ranges, n * sizeof *keep);
    g->sets[g->n_sets] = (struct charset){neg, n, keep};
    *out = (uint32_t)g->n_sets++;
    return 0;
}

/* ---- characters ------------------------------------------------------------------------------ */

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

/* Blanks and comments; line ends too where they mean nothing. */
static void skip(struct gbnf *b, bool lines)
{
    while (b->i < b->n) {
        const char c = b->p[b->i];
        if (c == '#') {
            while (b->i < b->n && b->p[b->i] != '\n' && b->p[b->i] != '\r')
                b->i++;
        } else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r'))) {
            b->i++;
        } else {
            break;
        }
    }
}

/* A character of a string or class, escapes read. */
static int one_char(struct gbnf *b, uint32_t *cp)
{
    bool bad;
    if (b->i >= b->n)
        return no(b, "unexpected end");
    if (b->p[b->i] != '\\') {
        b->i += text_decode(b->p + b->i, b->n - b->i, cp, &bad);
        return bad ? no(b, "not UTF-8") : 0;
    }
    const char c = b->i + 1 < b->n ? b->p[b->i + 1] : 0;
    const int digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    b->i += 2;
    switch (c) {
    case 'n':
        *cp = '\n';
        return 0;
    case 'r':
        *cp = '\r';
        return 0;
    case 't':
        *cp = '\t';
        return 0;
    case '\\':
    case '"':
    case '[':
    case ']':
    case '-':
    case '^':
        *cp = (unsigned char)c;
        return 0;
    default:
        break;
    }
    if (!digits)
        return no(b, "an unknown escape");
    *cp = 0;
    for (int k = 0; k < digits; k++, b->i++) {
        const char d = b->i < b->n ? b->p[b->i] : 0;
        const int v = d >= '0' && d <= '9'                 ? d - '0'
                      : (d | 32) >= 'a' && (d | 32) <= 'f' ? (d | 32) - 'a' + 10
                                                           : -1;
        if (v < 0 || *cp > 0x10ffffff)
            return no(b, "a bad escape");
        *cp = *cp * 16 + (uint32_t)v;
    }
    return *cp > LAST_CHAR ? no(b, "an escape behind the last character") : 0;
}

static int parse_string(struct gbnf *b, struct seq *s)
{
    for (b->i++; b->i < b->n && b->p[b->i] != '"';) {
        uint32_t range[2], set = 0;
        if (one_char(b, &range[0]) != 0)
            return -1;
        range[1] = range[0];
        if (set_new(b, range, 2, false, &set) != 0 ||
            seq_add(b, s, (struct elem){.kind = E_CHARS, .a = set}) != 0)
            return -1;
    }
    if (b->i >= b->n)
        return no(b, "a string without its end");
    b->i++;
    return 0;
}

static int parse_class(struct gbnf *b, struct seq *s)
{
    uint32_t ranges[512], n = 0, set = 0;
    b->i++;
    const bool neg = b->i < b->n && b->p[b->i] == '^';
    b->i += neg;
    while (b->i < b->n && b->p[b->i] != ']') {
        if (n + 2 > sizeof ranges / sizeof *ranges)
            return no(b, "a class of more than 256 ranges");
        if (one_char(b, &ranges[n]) != 0)
            return -1;
        ranges[n + 1] = ranges[n];
        if (b->i + 1 < b->n && b->p[b->i] == '-' && b->p[b->i + 1] != ']') {
            b->i++;
            if (one_char(b, &ranges[n + 1]) != 0)
                return -1;
            if (ranges[n + 1] < ranges[n])
                return no(b, "a range that runs backwards");
        }
        n += 2;
    }
    if (b->i >= b->n)
        return no(b, "a class without its end");
    b->i++;
    if (!n && !neg)
        return no(b, "an empty class");
    return set_new(b, ranges, n, neg, &set) == 0
               ? seq_add(b, s, (struct elem){.kind = E_CHARS, .a = set})
               : -1;
}

/* ---- rules ----------------------------------------------------------------------------------- */

static int parse_alternatives(struct gbnf *b, uint32_t rule, bool nested);

static int parse_times(struct gbnf *b, uint32_t *least, uint32_t *most)
{
    uint32_t v[2] = {0, 0};
    int n = 0;
    bool comma = false, some[2] = {false, false};
    for (b->i++; b->i < b->n && b->p[b->i] != '}'; b->i++) {
        const char c = b->p[b->i];
        if (c >= '0' && c <= '9') {
            v[n] = v[n] * 10 + (uint32_t)(c - '0');
            some[n] = true;
            if (v[n] > MOST_TIMES)
                return no(b, "a repeat of more than 10000 times");
        } else if (c == ',' && !comma) {
            comma = true;
            n = 1;
        } else if (c != ' ') {
            return no(b, "a bad { }");
        }
    }
    if (b->i >= b->n || (!some[0] && !some[1]))
        return no(b, "a bad { }");
    b->i++;
    *least = v[0];
    *most = !comma ? v[0] : some[1] ? v[1] : NO_END;
    return *most < *least ? no(b, "a { } that runs backwards") : 0;
}

/* The last item (elements from `from` on) becomes a rule, repeated. */
static int repeat(struct gbnf *b, struct seq *s, size_t from, uint32_t least, uint32_t most)
{
    uint32_t rule;
    if (s->n == from + 1 && s->v[from].kind == E_RULE) {
        rule = s->v[from].a;
    } else {
        const struct seq item = {s->v ? s->v + from : NULL, s->n - from, 0};
        uint32_t *alts = arena_alloc(&b->g->arena, sizeof *alts, 4);
        if (!alts)
            return no_memory(b);
        if (rule_new(b, &rule) != 0 || seq_keep(b, &item, alts) != 0)
            return -1;
        b->g->rules[rule] = (struct rule){1, alts};
    }
    s->n = from;
    return seq_add(b, s, (struct elem){E_REPEAT, rule, least, most});
}

static int parse_sequence(struct gbnf *b, struct seq *s, bool nested)
{
    size_t item = 0;
    bool some = false;
    while (b->i < b->n) {
        const char c = b->p[b->i];
        const size_t begun = s->n;
        uint32_t rule, least = 0, most = NO_END;
        if (c == '"') {
            if (parse_string(b, s) != 0)
                return -1;
        } else if (c == '[') {
            if (parse_class(b, s) != 0)
                return -1;
        } else if (c == '.') {
            b->i++;
            if (set_new(b, NULL, 0, true, &rule) != 0 ||
                seq_add(b, s, (struct elem){.kind = E_CHARS, .a = rule}) != 0)
                return -1;
        } else if (c == '(') {
            b->i++;
            skip(b, true);
            if (rule_new(b, &rule) != 0 || parse_alternatives(b, rule, true) != 0)
                return -1;
            if (b->i >= b->n || b->p[b->i] != ')')
                return no(b, "a ( without its )");
            b->i++;
            if (seq_add(b, s, (struct elem){.kind = E_RULE, .a = rule}) != 0)
                return -1;
        } else if (c == '<' || c == '!') { /* llama.cpp has these */
            return no(b, "tokens, <..>, are not supported: write their text");
        } else if (c == '%' || is_word(c)) {
            const size_t at = b->i += c == '%';
            while (b->i < b->n && is_word(b->p[b->i]))
                b->i++;
            struct elem x = {.kind = c == '%' ? E_JSON : E_RULE};
            if (c == '%') {
                char name[128];
                const size_t n = b->i - at < sizeof name ? b->i - at : sizeof name - 1;
                memcpy(name, b->p + at, n);
                name[n] = 0;
                const json_t *v = json_object_get(b->schemas, name);
                if (!v)
                    return no(b, "an unknown % name");
                const char *path = path_add(b->g, "", name);
                if (term_of_schema(b->g, json_object_get(b->g->doc, name), path, false, &x.a,
                                   b->e) != 0)
                    return -1;
            } else if (rule_named(b, b->p + at, b->i - at, &x.a) != 0) {
                return -1;
            }
            if (seq_add(b, s, x) != 0)
                return -1;
        } else if (c == '*' || c == '+' || c == '?' || c == '{') {
            if (!some)
                return no(b, "nothing to repeat");
            if (c == '{') {
                if (parse_times(b, &least, &most) != 0)
                    return -1;
            } else {
                least = c == '+';
                most = c == '?' ? 1 : NO_END;
                b->i++;
            }
            if (repeat(b, s, item, least, most) != 0)
                return -1;
            skip(b, nested);
            continue;
        } else {
            break;
        }
        item = begun;
        some = true;
        skip(b, nested);
    }
    return 0;
}

static int parse_alternatives(struct gbnf *b, uint32_t rule, bool nested)
{
    uint32_t *alts = NULL;
    size_t n = 0, cap = 0;
    int rc = -1;
    if (++b->depth > 100)
        return no(b, "nested too deep");
    for (;;) {
        struct seq s = {0};
        uint32_t at = 0;
        const bool good = parse_sequence(b, &s, nested) == 0 && seq_keep(b, &s, &at) == 0;
        free(s.v);
        if (!good)
            goto done;
        if (grow((void **)&alts, &cap, n, sizeof *alts) != 0) {
            no_memory(b);
            goto done;
        }
        alts[n++] = at;
        if (b->i >= b->n || b->p[b->i] != '|')
            break;
        b->i++;
        skip(b, true);
    }
    uint32_t *keep = arena_alloc(&b->g->arena, n * sizeof *keep, 4);
    if (!keep) {
        no_memory(b);
        goto done;
    }
    memcpy(keep, alts, n * sizeof *keep);
    b->g->rules[rule] = (struct rule){(uint32_t)n, keep};
    b->depth--;
    rc = 0;
done:
    free(alts);
    return rc;
}

static int parse_rule(struct gbnf *b)
{
    const size_t at = b->i;
    uint32_t rule;
    while (b->i < b->n && is_word(b->p[b->i]))
        b->i++;
    const size_t n = b->i - at;
    if (!n)
        return no(b, "a rule's name is missing");
    if (rule_named(b, b->p + at, n, &rule) != 0)
        return -1;
    skip(b, false);
    if (b->n - b->i < 3 || memcmp(b->p + b->i, "::=", 3) != 0)
        return no(b, "::= is missing");
    b->i += 3;
    skip(b, true);
    if (b->names[rule].defined)
        return no(b, "a rule of this name is there already");
    b->names[rule].defined = true;
    if (parse_alternatives(b, rule, false) != 0)
        return -1;
    if (b->i < b->n && b->p[b->i] != '\n' && b->p[b->i] != '\r')
        return no(b, "unexpected text");
    skip(b, true);
    return 0;
}

/* Each schema is a document of its own: its references are made to start at its name. */
static int move_refs(json_t *v, const char *name)
{
    const char *key;
    json_t *x;
    void *next;
    if (json_is_array(v))
        for (size_t i = 0; i < json_array_size(v); i++)
            if (move_refs(json_array_get(v, i), name) != 0)
                return -1;
    json_object_foreach_safe(v, next, key, x)
    {
        if (strcmp(key, "$ref") == 0 && json_is_string(x) && json_string_value(x)[0] == '#') {
            json_t *to = json_sprintf("#/%s%s", name, json_string_value(x) + 1);
            if (!to || json_object_set_new(v, "$ref", to) != 0)
                return -1;
        } else if (strcmp(key, "enum") != 0 && strcmp(key, "const") != 0 &&
                   move_refs(x, name) != 0) {
            return -1;
        }
    }
    return 0;
}

struct grammar *grammar_gbnf(const char *text, size_t n, const json_t *schemas, struct err *e)
{
    struct grammar *g = grammar_new(schemas, e);
    struct gbnf b = {.g = g, .p = text, .n = n, .schemas = schemas, .e = e};
    bool good = false;
    term_id *roots = NULL;
    size_t n_roots = 0;
    const char *key;
    json_t *v;
    if (!g)
        return NULL;
    if (!text_is_utf8(text, n)) {
        no(&b, "not UTF-8");
        goto done;
    }
    json_object_foreach(g->doc, key, v) if (move_refs(v, key) != 0)
    {
        no_memory(&b);
        goto done;
    }
    g->is_rules = true;
    for (skip(&b, true); b.i < b.n;)
        if (parse_rule(&b) != 0)
            goto done;
    size_t root = 0;
    for (; root < g->n_rules; root++) {
        if (!b.names[root].p)
            continue;
        if (!b.names[root].defined) {
            no_at(&b, b.names[root].at, "there is no rule ", &b.names[root]);
            goto done;
        }
        if (b.names[root].n == 4 && memcmp(b.names[root].p, "root", 4) == 0)
            g->root_rule = (uint32_t)root + 1;
    }
    if (!g->root_rule) {
        err_set(e, ERR_INPUT, "grammar: there is no rule root");
        goto done;
    }
    g->root_rule--;
    roots = malloc((g->n_elems + 1) * sizeof *roots);
    if (!roots) {
        no_memory(&b);
        goto done;
    }
    uint32_t left = 0;
    const int found = rules_left(g, &left, e);
    if (found > 0)
        no_at(&b, b.names[left].at, b.names[left].p ? "left recursion in " : "left recursion",
              &b.names[left]);
    if (found != 0)
        goto done;
    for (size_t i = 0; i < g->n_elems; i++)
        if (g->elems[i].kind == E_JSON)
            roots[n_roots++] = g->elems[i].a;
    if (grammar_settle(g, roots, n_roots, e) != 0)
        goto done;
    g->m = machine_new(g, e);
    good = g->m != NULL;
done:
    free(roots);
    free(b.names);
    if (good)
        return g;
    grammar_free(g);
    return NULL;
}
