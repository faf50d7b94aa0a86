/* engine/chat/methods_str.c - the methods of a text, as Python's str has them. */
#include <string.h>
#include "engine/chat/template.h"

#define METHOD(name)                                                                               \
    static struct val name(struct tpl *c, struct val self, struct val *a, const struct args *raw)
#define TEXT(s) tpl_str_val(s)

METHOD(m_upper) { return TEXT(tpl_case(c, self.s, CASE_UPPER)); }
METHOD(m_lower) { return TEXT(tpl_case(c, self.s, CASE_LOWER)); }
METHOD(m_title) { return TEXT(tpl_case(c, self.s, CASE_TITLE)); }
METHOD(m_capitalize) { return TEXT(tpl_case(c, self.s, CASE_CAPITAL)); }
METHOD(m_swapcase) { return TEXT(tpl_case(c, self.s, CASE_SWAP)); }

static const struct str *maybe_str(struct tpl *c, struct val v, const char *what)
{
    return v.type == T_ABSENT || v.type == T_NONE ? NULL : tpl_need_str(c, v, what);
}

METHOD(m_strip) { return TEXT(tpl_trim(c, self.s, maybe_str(c, a[0], "strip arg"), true, true)); }
METHOD(m_lstrip)
{
    return TEXT(tpl_trim(c, self.s, maybe_str(c, a[0], "lstrip arg"), true, false));
}

METHOD(m_rstrip)
{
    return TEXT(tpl_trim(c, self.s, maybe_str(c, a[0], "rstrip arg"), false, true));
}


/* ---- splitting ------------------------------------------------------------------------------- */

static void add_part(struct tpl *c, struct list *l, const struct str *s, size_t from, size_t to)
{
    tpl_charge(c, 1);
    tpl_list_add(c, l, tpl_str_val(tpl_str_part(c, s, from, to)));
}

static size_t after_run(const struct str *s, size_t i, bool space)
{
    uint32_t cp;
    bool bad;
    while (i < s->n) {
        size_t n = text_decode(s->p + i, s->n - i, &cp, &bad);
        if (uni_is_space(cp) != space)
            break;
        i += n;
    }
    return i;
}

static struct val split_space(struct tpl *c, const struct str *s, int64_t max)
{
    struct list *l = tpl_list(c, L_LIST, 0);
    tpl_charge_bytes(c, s->n);
    size_t i = after_run(s, 0, true);
    while (i < s->n) {
        if (max == 0) {
            add_part(c, l, s, i, s->n); /* with the white space at its end */
            break;
        }
        size_t end = after_run(s, i, false);
        add_part(c, l, s, i, end);
        i = after_run(s, end, true);
        max -= max > 0;
    }
    return tpl_list_val(l);
}

static struct val reversed(struct list *l)
{
    for (size_t i = 0; i < l->n / 2; i++) {
        struct val v = l->v[i];
        l->v[i] = l->v[l->n - 1 - i];
        l->v[l->n - 1 - i] = v;
    }
    return tpl_list_val(l);
}

static struct val rsplit_space(struct tpl *c, const struct str *s, int64_t max)
{
    struct val all = split_space(c, s, -1);
    if (max < 0 || (uint64_t)max >= all.l->n)
        return all;
    struct list *l = tpl_list(c, L_LIST, 0);
    size_t keep = all.l->n - (size_t)max;
    const char *end = all.l->v[keep - 1].s->p + all.l->v[keep - 1].s->n;
    add_part(c, l, s, 0, (size_t)(end - s->p));
    for (size_t i = keep; i < all.l->n; i++)
        tpl_list_add(c, l, all.l->v[i]);
    return tpl_list_val(l);
}

static size_t find_last(const struct str *s, size_t end, const struct str *sep)
{
    for (size_t i = end >= sep->n ? end - sep->n + 1 : 0; i-- > 0;)
        if (memcmp(s->p + i, sep->p, sep->n) == 0)
            return i;
    return SIZE_MAX;
}

static const struct str *separator(struct tpl *c, struct val v)
{
    const struct str *sep = maybe_str(c, v, "the separator");
    if (sep && !sep->n)
        tpl_fail(c, "empty separator");
    return sep;
}

METHOD(m_split)
{
    const struct str *s = self.s, *sep = separator(c, a[0]);
    int64_t max = a[1].type == T_ABSENT ? -1 : tpl_need_int(c, a[1], "maxsplit");
    if (!sep)
        return split_space(c, s, max);
    struct list *l = tpl_list(c, L_LIST, 0);
    size_t from = 0, at;
    tpl_charge_bytes(c, s->n);
    while (max != 0 && (at = tpl_find(s, from, sep->p, sep->n)) != SIZE_MAX) {
        add_part(c, l, s, from, at);
        from = at + sep->n;
        max -= max > 0;
    }
    add_part(c, l, s, from, s->n);
    return tpl_list_val(l);
}

METHOD(m_rsplit)
{
    const struct str *s = self.s, *sep = separator(c, a[0]);
    int64_t max = a[1].type == T_ABSENT ? -1 : tpl_need_int(c, a[1], "maxsplit");
    if (!sep)
        return rsplit_space(c, s, max);
    struct list *l = tpl_list(c, L_LIST, 0);
    size_t end = s->n, at;
    tpl_charge_bytes(c, s->n * (1 + sep->n / 16));
    while (max != 0 && (at = find_last(s, end, sep)) != SIZE_MAX) {
        add_part(c, l, s, at + sep->n, end);
        end = at;
        max -= max > 0;
    }
    add_part(c, l, s, 0, end);
    return reversed(l);
}

METHOD(m_splitlines) { return tpl_list_val(tpl_split_lines(c, self.s, tpl_truth(a[0]))); }

static struct val three(struct tpl *c, const struct str *s, size_t at, size_t n, bool last)
{
    struct list *l = tpl_list(c, L_TUPLE, 3);
    if (at == SIZE_MAX && last) {
        add_part(c, l, s, 0, 0);
        add_part(c, l, s, 0, 0);
        add_part(c, l, s, 0, s->n);
    } else if (at == SIZE_MAX) {
        add_part(c, l, s, 0, s->n);
        add_part(c, l, s, 0, 0);
        add_part(c, l, s, 0, 0);
    } else {
        add_part(c, l, s, 0, at);
        add_part(c, l, s, at, at + n);
        add_part(c, l, s, at + n, s->n);
    }
    return tpl_list_val(l);
}

METHOD(m_partition)
{
    const struct str *sep = tpl_need_str(c, a[0], "the separator");
    separator(c, a[0]);
    tpl_charge_bytes(c, self.s->n);
    return three(c, self.s, tpl_find(self.s, 0, sep->p, sep->n), sep->n, false);
}

METHOD(m_rpartition)
{
    const struct str *sep = tpl_need_str(c, a[0], "the separator");
    separator(c, a[0]);
    tpl_charge_bytes(c, self.s->n * (1 + sep->n / 16));
    return three(c, self.s, find_last(self.s, self.s->n, sep), sep->n, true);
}

/* ---- searching ------------------------------------------------------------------------------- */

/* The bytes of self between the optional start and end of find, count, startswith. */
static struct str *window(struct tpl *c, struct str *s, struct val from, struct val to,
                          size_t *first)
{
    *first = 0;
    if (from.type == T_ABSENT && to.type == T_ABSENT)
        return s;
    int64_t n = (int64_t)tpl_str_chars(c, s);
    int64_t x = from.type == T_ABSENT || from.type == T_NONE ? 0 : tpl_to_index(c, from);
    int64_t y = to.type == T_ABSENT || to.type == T_NONE ? n : tpl_to_index(c, to);
    x = x < 0 ? (x + n < 0 ? 0 : x + n) : x;
    y = y < 0 ? (y + n < 0 ? 0 : y + n) : y > n ? n : y;
    if (x > y)
        return NULL;
    *first = (size_t)x;
    return tpl_str_part(c, s, tpl_str_offset(c, s, (size_t)x), tpl_str_offset(c, s, (size_t)y));
}

static struct val found(struct tpl *c, struct str *s, size_t at, size_t first, const char *fail)
{
    if (at == SIZE_MAX) {
        if (fail)
            tpl_fail(c, "%s", fail);
        return tpl_int(-1);
    }
    struct str *before = tpl_str_part(c, s, 0, at);
    return tpl_int((int64_t)(first + tpl_str_chars(c, before)));
}

static struct val search(struct tpl *c, struct val self, struct val *a, bool last, const char *fail)
{
    const struct str *sub = tpl_need_str(c, a[0], "the argument");
    size_t first, at = SIZE_MAX;
    struct str *s = window(c, self.s, a[1], a[2], &first);
    if (s) {
        tpl_charge_bytes(c, s->n * (last ? 1 + sub->n / 16 : 1));
        at = last ? find_last(s, s->n, sub) : tpl_find(s, 0, sub->p, sub->n);
    }
    return found(c, s ? s : self.s, at, first, fail);
}

METHOD(m_find) { return search(c, self, a, false, NULL); }
METHOD(m_rfind) { return search(c, self, a, true, NULL); }
METHOD(m_index) { return search(c, self, a, false, "substring not found"); }
METHOD(m_rindex) { return search(c, self, a, true, "substring not found"); }

METHOD(m_count)
{
    const struct str *sub = tpl_need_str(c, a[0], "the argument");
    size_t first, n = 0, at = 0;
    struct str *s = window(c, self.s, a[1], a[2], &first);
    if (!s)
        return tpl_int(0);
    if (!sub->n)
        return tpl_int((int64_t)tpl_str_chars(c, s) + 1);
    tpl_charge_bytes(c, s->n);
    while ((at = tpl_find(s, at, sub->p, sub->n)) != SIZE_MAX) {
        n++;
        at += sub->n;
    }
    return tpl_int((int64_t)n);
}

static bool has_end(const struct str *s, const struct str *end, bool last)
{
    return s->n >= end->n && memcmp(last ? s->p + s->n - end->n : s->p, end->p, end->n) == 0;
}

static struct val at_end(struct tpl *c, struct val self, struct val *a, bool last)
{
    size_t first;
    const struct str *s = window(c, self.s, a[1], a[2], &first);
    if (a[0].type == T_LIST && a[0].l->kind == L_TUPLE) {
        for (size_t i = 0; i < a[0].l->n; i++) {
            const struct str *x = tpl_need_str(c, a[0].l->v[i], "each item of the tuple");
            tpl_charge(c, 1 + x->n / 256);
            if (s && has_end(s, x, last))
                return tpl_bool(true);
        }
        return tpl_bool(false);
    }
    if (a[0].type != T_STR) {
        tpl_need_defined(c, a[0]);
        tpl_fail(c, "%s first arg must be str or a tuple of str, not %s",
                 last ? "endswith" : "startswith", tpl_type_name(a[0]));
    }
    tpl_charge_bytes(c, a[0].s->n);
    return tpl_bool(s && has_end(s, a[0].s, last));
}

METHOD(m_startswith) { return at_end(c, self, a, false); }
METHOD(m_endswith) { return at_end(c, self, a, true); }

/* ---- making other texts ---------------------------------------------------------------------- */

METHOD(m_replace)
{
    int64_t n = a[2].type == T_ABSENT ? -1 : tpl_need_int(c, a[2], "count");
    return TEXT(tpl_replace(c, self.s, tpl_need_str(c, a[0], "replace() argument 1"),
                            tpl_need_str(c, a[1], "replace() argument 2"), n));
}

METHOD(m_join)
{
    struct list *l = tpl_items(c, a[0]);
    struct sink k;
    tpl_sink(c, &k);
    for (size_t i = 0; i < l->n; i++) {
        if (l->v[i].type != T_STR)
            tpl_fail(c, "sequence item %zu: expected str instance, %s found", i,
                     tpl_type_name(l->v[i]));
        if (i)
            tpl_put_str(c, &k, self.s);
        tpl_put_str(c, &k, l->v[i].s);
        tpl_charge(c, 1);
    }
    return TEXT(tpl_sink_str(c, &k));
}

METHOD(m_format) { return TEXT(tpl_format_braces(c, self.s, raw)); }

METHOD(m_format_map)
{
    if (a[0].type != T_DICT)
        tpl_fail(c, "format_map() argument must be a mapping");
    struct args named = {.kw = tpl_alloc(c, (a[0].d->n + 1) * sizeof *named.kw)};
    for (size_t i = 0; i < a[0].d->n; i++)
        if (a[0].d->e[i].key.type == T_STR)
            named.kw[named.n_kw++] = (struct named){a[0].d->e[i].key.s, a[0].d->e[i].value};
    return TEXT(tpl_format_braces(c, self.s, &named));
}

METHOD(m_zfill)
{
    int64_t width = tpl_need_int(c, a[0], "width");
    struct str *zero = tpl_str(c, "0", 1, false), *s = self.s;
    if (s->n && (s->p[0] == '-' || s->p[0] == '+'))
        return TEXT(tpl_str_join2(c, tpl_str_part(c, s, 0, 1),
                                  tpl_pad(c, tpl_str_part(c, s, 1, s->n), width - 1, 1, zero)));
    return TEXT(tpl_pad(c, s, width, 1, zero));
}

static struct val pad(struct tpl *c, struct val self, struct val *a, int where)
{
    struct str *fill = a[1].type == T_ABSENT ? NULL : tpl_need_str(c, a[1], "the fill character");
    if (fill && tpl_str_chars(c, fill) != 1)
        tpl_fail(c, "The fill character must be exactly one character long");
    return TEXT(tpl_pad(c, self.s, tpl_need_int(c, a[0], "width"), where, fill));
}

METHOD(m_ljust) { return pad(c, self, a, -1); }
METHOD(m_rjust) { return pad(c, self, a, 1); }
METHOD(m_center) { return pad(c, self, a, 0); }

METHOD(m_removeprefix)
{
    const struct str *x = tpl_need_str(c, a[0], "removeprefix() argument"), *s = self.s;
    tpl_charge_bytes(c, x->n);
    return TEXT(tpl_str_part(c, s, has_end(s, x, false) ? x->n : 0, s->n));
}

METHOD(m_removesuffix)
{
    const struct str *x = tpl_need_str(c, a[0], "removesuffix() argument"), *s = self.s;
    tpl_charge_bytes(c, x->n);
    return TEXT(tpl_str_part(c, s, 0, has_end(s, x, true) ? s->n - x->n : s->n));
}

METHOD(m_encode) { return self; }

METHOD(m_expandtabs)
{
    int64_t size = a[0].type == T_ABSENT ? 8 : tpl_need_int(c, a[0], "tabsize"), col = 0;
    const struct str *s = self.s;
    struct sink k;
    tpl_sink(c, &k);
    if (size > 1000)
        tpl_fail(c, "a tab of more than 1000");
    for (size_t i = 0; i < s->n; i++) {
        if (s->p[i] != '\t') {
            tpl_put_part(c, &k, s, i, i + 1);
            col += ((unsigned char)s->p[i] & 0xc0) != 0x80;
            if (s->p[i] == '\n' || s->p[i] == '\r')
                col = 0;
            continue;
        }
        for (int64_t n = size > 0 ? size - col % size : 0; n > 0; n--, col++)
            tpl_put(c, &k, " ", 1, false);
    }
    tpl_charge(c, k.n / 8);
    return TEXT(tpl_sink_str(c, &k));
}

/* ---- questions ------------------------------------------------------------------------------- */

static struct val all_of(struct tpl *c, const struct str *s, unsigned bits)
{
    tpl_charge(c, s->n / 32);
    for (size_t i = 0; i < s->n;) {
        uint32_t cp;
        bool bad;
        i += text_decode(s->p + i, s->n - i, &cp, &bad);
        if (bits ? !(uni_class(cp) & bits) : !uni_is_space(cp))
            return tpl_bool(false);
    }
    return tpl_bool(s->n > 0);
}

METHOD(m_isdigit) { return all_of(c, self.s, U_DIGIT); }
METHOD(m_isdecimal) { return all_of(c, self.s, U_DECIMAL); }
METHOD(m_isnumeric) { return all_of(c, self.s, U_NUMERIC); }
METHOD(m_isalpha) { return all_of(c, self.s, U_ALPHA); }
METHOD(m_isalnum) { return all_of(c, self.s, U_ALPHA | U_DIGIT | U_DECIMAL | U_NUMERIC); }
METHOD(m_isspace) { return all_of(c, self.s, 0); }
METHOD(m_isprintable)
{
    return self.s->n ? all_of(c, self.s, U_PRINT) : tpl_bool(true);
}
METHOD(m_isupper) { return tpl_bool(tpl_is_cased(c, self.s, U_UPPER, U_LOWER)); }
METHOD(m_islower) { return tpl_bool(tpl_is_cased(c, self.s, U_LOWER, U_UPPER)); }
METHOD(m_istitle)
{
    const struct str *s = self.s;
    bool any = false, word = false; /* is the character before cased? */
    tpl_charge(c, s->n / 32);
    for (size_t i = 0; i < s->n;) {
        uint32_t cp;
        bool bad;
        i += text_decode(s->p + i, s->n - i, &cp, &bad);
        const unsigned cl = uni_class(cp);
        const bool cased = cl & (U_UPPER | U_LOWER | U_TITLE);
        if (cased && word != !(cl & (U_UPPER | U_TITLE)))
            return tpl_bool(false);
        any |= cased;
        word = cased;
    }
    return tpl_bool(any);
}
METHOD(m_isascii)
{
    tpl_charge_bytes(c, self.s->n);
    for (size_t i = 0; i < self.s->n; i++)
        if ((unsigned char)self.s->p[i] >= 0x80)
            return tpl_bool(false);
    return tpl_bool(true);
}

const struct func *tpl_str_methods(size_t *n)
{
    static const struct func table[] = {
        {"upper", "", m_upper, false}, {"lower", "", m_lower, false},
        {"title", "", m_title, false}, {"capitalize", "", m_capitalize, false},
        {"swapcase", "", m_swapcase, false}, {"casefold", "", m_lower, false},
        {"strip", "chars?", m_strip, false}, {"lstrip", "chars?", m_lstrip, false},
        {"rstrip", "chars?", m_rstrip, false}, {"split", "sep? maxsplit?", m_split, false},
        {"rsplit", "sep? maxsplit?", m_rsplit, false},
        {"splitlines", "keepends?", m_splitlines, false}, {"partition", "sep", m_partition, false},
        {"rpartition", "sep", m_rpartition, false},
        {"startswith", "prefix start? end?", m_startswith, false},
        {"endswith", "suffix start? end?", m_endswith, false},
        {"find", "sub start? end?", m_find, false}, {"rfind", "sub start? end?", m_rfind, false},
        {"index", "sub start? end?", m_index, false},
        {"rindex", "sub start? end?", m_rindex, false},
        {"count", "sub start? end?", m_count, false},
        {"replace", "old new count?", m_replace, false}, {"join", "iterable", m_join, false},
        {"format", "*", m_format, false}, {"format_map", "mapping", m_format_map, false},
        {"zfill", "width", m_zfill, false}, {"ljust", "width fillchar?", m_ljust, false},
        {"rjust", "width fillchar?", m_rjust, false},
        {"center", "width fillchar?", m_center, false},
        {"removeprefix", "prefix", m_removeprefix, false},
        {"removesuffix", "suffix", m_removesuffix, false},
        {"encode", "encoding? errors?", m_encode, false},
        {"expandtabs", "tabsize?", m_expandtabs, false}, {"isdigit", "", m_isdigit, false},
        {"isdecimal", "", m_isdecimal, false}, {"isnumeric", "", m_isnumeric, false},
        {"isalpha", "", m_isalpha, false}, {"isalnum", "", m_isalnum, false},
        {"isspace", "", m_isspace, false}, {"isprintable", "", m_isprintable, false},
        {"isupper", "", m_isupper, false}, {"islower", "", m_islower, false},
        {"istitle", "", m_istitle, false}, {"isascii", "", m_isascii, false},
    };
    *n = sizeof table / sizeof *table;
    return table;
}
