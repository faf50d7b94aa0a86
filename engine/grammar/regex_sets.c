/* engine/grammar/regex_sets.c - sets of characters in patterns: ranges, \d \w \s, and \p{..} with
 * Unicode's general categories and the scripts that are in use. */
#include "engine/grammar/regex.h"

#include <stdlib.h>
#include <string.h>
#include "engine/grammar/unicode_tables.h"

int ranges_add(struct rx *r, struct ranges *s, uint32_t lo, uint32_t hi)
{
    if (s->n + 2 > MOST_RANGES)
        return rx_no(r, "a class of more than 2048 ranges");
    s->v[s->n++] = lo;
    s->v[s->n++] = hi;
    return 0;
}

static int ranges_join(struct rx *r, struct ranges *s, const struct ranges *more)
{
    for (uint32_t i = 0; i < more->n; i += 2)
        if (ranges_add(r, s, more->v[i], more->v[i + 1]) != 0)
            return -1;
    return 0;
}

static int by_lo(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* All code points that are in none of the ranges. */
int ranges_invert(struct rx *r, const struct ranges *s, struct ranges *out)
{
    struct ranges t;
    t.n = s->n;
    memcpy(t.v, s->v, s->n * sizeof *s->v);
    uint32_t at = 0;
    qsort(t.v, t.n / 2, 2 * sizeof *t.v, by_lo);
    out->n = 0;
    for (uint32_t i = 0; i < t.n; i += 2) {
        if (t.v[i] > at && ranges_add(r, out, at, t.v[i] - 1) != 0)
            return -1;
        if (t.v[i + 1] + 1 > at)
            at = t.v[i + 1] + 1;
    }
    return at <= LAST_CHAR ? ranges_add(r, out, at, LAST_CHAR) : 0;
}

static const struct charset *set_keep(struct rx *r, const struct ranges *s)
{
    struct charset *out = arena_alloc(r->arena, sizeof *out, 8);
    uint32_t *v = arena_alloc(r->arena, (s->n + 1) * sizeof *v, 4);
    if (!out || !v) {
        err_set(r->e, ERR_MEMORY, "out of memory");
        return NULL;
    }
    memcpy(v, s->v, s->n * sizeof *v);
    out->n = s->n;
    out->ranges = v;
    return out;
}

struct node *set_node(struct rx *r, const struct ranges *s)
{
    struct node *n = rx_node(r, N_SET);
    if (n && !(n->set = set_keep(r, s)))
        return NULL;
    return n;
}

/* \d \w \s and their contraries. */
int ranges_named(struct rx *r, struct ranges *s, char c)
{
    static const uint32_t digits[] = {'0', '9'};
    static const uint32_t words[] = {'0', '9', 'A', 'Z', '_', '_', 'a', 'z'};
    static const uint32_t spaces[] = {9,      13,     32,     32,     0xa0,   0xa0,   0x1680,
                                      0x1680, 0x2000, 0x200a, 0x2028, 0x2029, 0x202f, 0x202f,
                                      0x205f, 0x205f, 0x3000, 0x3000, 0xfeff, 0xfeff};
    const char small = (char)(c | 32);
    const uint32_t *v = small == 'd' ? digits : small == 'w' ? words : spaces;
    const size_t n = small == 'd' ? 2 : small == 'w' ? 8 : sizeof spaces / sizeof *spaces;
    struct ranges t, inv;
    t.n = inv.n = 0;
    for (size_t i = 0; i < n; i += 2)
        if (ranges_add(r, &t, v[i], v[i + 1]) != 0)
            return -1;
    if (c < 'a') {
        if (ranges_invert(r, &t, &inv) != 0)
            return -1;
        return ranges_join(r, s, &inv);
    }
    return ranges_join(r, s, &t);
}

/* ---- \p{..} --------------------------------------------------------------------------------- */

static const struct {
    const char *name, *code; /* as JavaScript and Perl write them; the code as categories begin */
} long_names[] = {
    {"Letter", "L"},
    {"Cased_Letter", "LC"},
    {"Uppercase_Letter", "Lu"},
    {"Lowercase_Letter", "Ll"},
    {"Titlecase_Letter", "Lt"},
    {"Modifier_Letter", "Lm"},
    {"Other_Letter", "Lo"},
    {"Mark", "M"},
    {"Nonspacing_Mark", "Mn"},
    {"Spacing_Mark", "Mc"},
    {"Enclosing_Mark", "Me"},
    {"Number", "N"},
    {"Decimal_Number", "Nd"},
    {"digit", "Nd"},
    {"Letter_Number", "Nl"},
    {"Other_Number", "No"},
    {"Punctuation", "P"},
    {"punct", "P"},
    {"Connector_Punctuation", "Pc"},
    {"Dash_Punctuation", "Pd"},
    {"Open_Punctuation", "Ps"},
    {"Close_Punctuation", "Pe"},
    {"Initial_Punctuation", "Pi"},
    {"Final_Punctuation", "Pf"},
    {"Other_Punctuation", "Po"},
    {"Symbol", "S"},
    {"Math_Symbol", "Sm"},
    {"Currency_Symbol", "Sc"},
    {"Modifier_Symbol", "Sk"},
    {"Other_Symbol", "So"},
    {"Separator", "Z"},
    {"Space_Separator", "Zs"},
    {"Line_Separator", "Zl"},
    {"Paragraph_Separator", "Zp"},
    {"Other", "C"},
    {"Control", "Cc"},
    {"Format", "Cf"},
    {"Surrogate", "Cs"},
    {"Private_Use", "Co"},
    {"Unassigned", "Cn"},
};

/* The categories whose names begin with `code`, one bit each; LC is Lu, Ll and Lt. */
static uint32_t categories_of(const char *code)
{
    uint32_t set = 0;
    const bool cased = strcmp(code, "LC") == 0;
    for (uint32_t i = 0; i < sizeof category_names / sizeof *category_names; i++) {
        const char *c = category_names[i];
        if (cased ? c[0] == 'L' && strchr("ult", c[1]) != NULL
                  : c[0] == code[0] && (!code[1] || (c[1] == code[1] && !code[2])))
            set |= 1u << i;
    }
    return set;
}

static int add_categories(struct rx *r, struct ranges *s, uint32_t set)
{
    const size_t n = sizeof category_runs / sizeof *category_runs;
    for (size_t i = 0; i < n; i++) {
        if (!(set >> (category_runs[i] & 31) & 1))
            continue;
        const uint32_t lo = category_runs[i] >> 5;
        while (i + 1 < n && (set >> (category_runs[i + 1] & 31) & 1))
            i++;
        if (ranges_add(r, s, lo, i + 1 < n ? (category_runs[i + 1] >> 5) - 1 : LAST_CHAR) != 0)
            return -1;
    }
    return 0;
}

/* The property's name: behind \p, `L` or `{..}`; the empty text when it is not well written. */
static void property_name(struct rx *r, char *name, size_t cap)
{
    size_t n = 0;
    if (r->i < r->n && r->p[r->i] != '{') {
        name[n++] = r->p[r->i++];
    } else if (r->i < r->n) {
        for (r->i++; r->i < r->n && r->p[r->i] != '}' && n + 1 < cap; r->i++)
            name[n++] = r->p[r->i];
        if (r->i >= r->n || r->p[r->i] != '}')
            n = 0;
        r->i++;
    }
    name[n] = 0;
}

int ranges_property(struct rx *r, struct ranges *out, bool neg)
{
    struct ranges s, inv;
    s.n = inv.n = 0;
    char text[64];
    property_name(r, text, sizeof text);
    const char *equals = strchr(text, '='), *value = equals ? equals + 1 : text;
    const bool script = equals && (!strncmp(text, "Script", 6) || !strncmp(text, "sc", 2));
    uint32_t set = 0, from = 0;
    for (size_t i = 0; i < sizeof long_names / sizeof *long_names && !script; i++)
        if (strcmp(long_names[i].name, value) == 0)
            set = categories_of(long_names[i].code);
    if (!set && !script && value[0])
        set = categories_of(value);
    if (strcmp(value, "Any") == 0 || strcmp(value, "ASCII") == 0) {
        if (ranges_add(r, &s, 0, value[1] == 'n' ? LAST_CHAR : 127) != 0)
            return -1;
    } else if (set && add_categories(r, &s, set) != 0) {
        return -1;
    }
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts && !s.n; i++) {
        for (uint32_t k = from; strcmp(scripts[i].name, value) == 0 && k < scripts[i].end; k += 2)
            if (ranges_add(r, &s, script_ranges[k], script_ranges[k + 1]) != 0)
                return -1;
        from = scripts[i].end;
    }
    if (!s.n)
        return rx_no(r, "this \\p{..} is not supported");
    if (neg && ranges_invert(r, &s, &inv) != 0)
        return -1;
    return ranges_join(r, out, neg ? &inv : &s);
}
