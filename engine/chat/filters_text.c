/* engine/chat/filters_text.c - filters from text to text. */
#include <string.h>
#include "engine/chat/template.h"

#define FILTER(name)                                                                               \
    static struct val name(struct tpl *c, struct val self, struct val *a, const struct args *raw)
#define TEXT(s) tpl_str_val(s)

FILTER(f_upper) { return TEXT(tpl_case(c, tpl_to_str(c, self), CASE_UPPER)); }
FILTER(f_lower) { return TEXT(tpl_case(c, tpl_to_str(c, self), CASE_LOWER)); }
FILTER(f_capitalize) { return TEXT(tpl_case(c, tpl_to_str(c, self), CASE_CAPITAL)); }

/* Jinja's title: words begin at the start and after - blanks ( { [ <, and not after '. */
FILTER(f_title)
{
    struct str *s = tpl_to_str(c, self);
    struct sink k;
    size_t from = 0;
    tpl_sink(c, &k);
    tpl_charge(c, s->n / 32);
    for (size_t i = 0; i <= s->n;) {
        uint32_t cp = 0;
        bool bad;
        size_t n = i < s->n ? text_decode(s->p + i, s->n - i, &cp, &bad) : 1;
        if (i == s->n || cp == '-' || cp == '(' || cp == '{' || cp == '[' || cp == '<' ||
            uni_is_space(cp)) {
            size_t head = from; /* the first character is made large, not a title's */
            head += from < i ? text_decode(s->p + from, i - from, &cp, &bad) : 0;
            tpl_put_str(c, &k, tpl_case(c, tpl_str_part(c, s, from, head), CASE_UPPER));
            tpl_put_str(c, &k, tpl_case(c, tpl_str_part(c, s, head, i), CASE_LOWER));
            if (i < s->n)
                tpl_put_part(c, &k, s, i, i + n);
            from = i + n;
            tpl_charge(c, 1);
        }
        i += n;
    }
    return TEXT(tpl_sink_str(c, &k));
}

FILTER(f_trim)
{
    const struct str *set = a[0].type == T_ABSENT || a[0].type == T_NONE
                                ? NULL : tpl_need_str(c, a[0], "trim");
    struct str *s = tpl_to_str(c, self);
    return TEXT(tpl_trim(c, s, set, true, true));
}

FILTER(f_replace)
{
    int64_t n = a[2].type == T_ABSENT || a[2].type == T_NONE ? -1 : tpl_need_int(c, a[2], "count");
    return TEXT(tpl_replace(c, tpl_to_str(c, self), tpl_to_str(c, a[0]), tpl_to_str(c, a[1]), n));
}

FILTER(f_indent)
{
    struct str *s = tpl_need_str(c, self, "the text of indent"), *by;
    bool first = tpl_truth(a[1]), blank = tpl_truth(a[2]);
    if (a[0].type == T_STR) {
        by = a[0].s;
    } else {
        int64_t n = a[0].type == T_ABSENT ? 4 : tpl_need_int(c, a[0], "width");
        by = tpl_pad(c, tpl_str(c, "", 0, false), n, 1, NULL);
    }
    /* Jinja adds a newline and splits: a newline at the end of the text is kept. */
    struct list *l = tpl_split_lines(c, tpl_str_join2(c, s, tpl_str(c, "\n", 1, false)), false);
    struct sink k;
    tpl_sink(c, &k);
    for (size_t i = 0; i < l->n; i++) {
        struct str *line = l->v[i].s;
        if (i)
            tpl_put(c, &k, "\n", 1, false);
        if (i ? blank || line->n : first)
            tpl_put_str(c, &k, by);
        tpl_put_str(c, &k, line);
        tpl_charge(c, 1);
    }
    return TEXT(tpl_sink_str(c, &k));
}

FILTER(f_format)
{
    struct str *s = tpl_to_str(c, self);
    if (raw->n_pos && raw->n_kw)
        tpl_fail(c, "can't handle positional and keyword arguments at the same time");
    return TEXT(tpl_format_percent(c, s, raw));
}

FILTER(f_center)
{
    return TEXT(tpl_pad(c, tpl_to_str(c, self),
                        a[0].type == T_ABSENT ? 80 : tpl_need_int(c, a[0], "width"), 0, NULL));
}

FILTER(f_truncate)
{
    int64_t length = a[0].type == T_ABSENT ? 255 : tpl_need_int(c, a[0], "length");
    struct str *end = a[2].type == T_ABSENT ? tpl_str(c, "...", 3, false) : tpl_to_str(c, a[2]);
    int64_t leeway = a[3].type == T_ABSENT || a[3].type == T_NONE
                         ? 5 : tpl_need_int(c, a[3], "leeway");
    int64_t n_end = (int64_t)tpl_str_chars(c, end), n = (int64_t)tpl_len(c, self);
    if (length < n_end)
        tpl_fail(c, "expected length >= %lld, got %lld", (long long)n_end, (long long)length);
    if (leeway < 0)
        tpl_fail(c, "expected leeway >= 0");
    if (n <= length || n - length <= leeway)
        return self;
    struct str *s = tpl_need_str(c, self, "the text of truncate");
    struct str *head = tpl_str_part(c, s, 0, tpl_str_offset(c, s, (size_t)(length - n_end)));
    if (!tpl_truth(a[1])) {
        const char *blank = memrchr(head->p, ' ', head->n);
        if (blank)
            head = tpl_str_part(c, head, 0, (size_t)(blank - head->p));
    }
    return TEXT(tpl_str_join2(c, head, end));
}

/* Runs of letters, digits and _, which is Python's \w+. */
FILTER(f_wordcount)
{
    struct str *s = tpl_to_str(c, self);
    int64_t n = 0;
    bool in = false;
    tpl_charge(c, s->n / 32);
    for (size_t i = 0; i < s->n;) {
        uint32_t cp;
        bool bad;
        i += text_decode(s->p + i, s->n - i, &cp, &bad);
        bool word = cp == '_' || (uni_class(cp) & (U_ALPHA | U_NUMERIC | U_DIGIT | U_DECIMAL));
        n += word && !in;
        in = word;
    }
    return tpl_int(n);
}

static void wrap_line(struct tpl *c, struct sink *k, struct str *line, size_t width, bool cut,
                      const struct str *nl)
{
    size_t col = 0;
    bool first = true;
    struct methods m = tpl_methods("split", 5);
    struct val blank = tpl_strz(c, " ");
    struct args args = {.pos = &blank, .n_pos = 1};
    struct list *words = tpl_items(c, tpl_run_func(c, m.str, tpl_str_val(line), &args));
    for (size_t i = 0; i < words->n; i++) {
        struct str *w = words->v[i].s;
        size_t n = tpl_str_chars(c, w);
        if (!first && col + 1 + n > width) {
            tpl_put_str(c, k, nl);
            col = 0;
            first = true;
        }
        if (!first) {
            tpl_put(c, k, " ", 1, false);
            col++;
        }
        while (cut && n > width) {
            size_t at = tpl_str_offset(c, w, width);
            tpl_put_part(c, k, w, 0, at);
            tpl_put_str(c, k, nl);
            w = tpl_str_part(c, w, at, w->n);
            n -= width;
        }
        tpl_put_str(c, k, w);
        col += n;
        first = false;
    }
}

FILTER(f_wordwrap)
{
    struct str *s = tpl_need_str(c, self, "the text of wordwrap");
    int64_t width = a[0].type == T_ABSENT ? 79 : tpl_need_int(c, a[0], "width");
    bool cut = a[1].type == T_ABSENT || tpl_truth(a[1]);
    struct str *nl = a[2].type == T_ABSENT || a[2].type == T_NONE ? tpl_str(c, "\n", 1, false)
                                                                  : tpl_to_str(c, a[2]);
    if (width < 1)
        tpl_fail(c, "wordwrap: a width of at least 1");
    struct list *lines = tpl_split_lines(c, s, false);
    struct sink k;
    tpl_sink(c, &k);
    for (size_t i = 0; i < lines->n; i++) {
        if (i)
            tpl_put_str(c, &k, nl);
        wrap_line(c, &k, lines->v[i].s, (size_t)width, cut, nl);
    }
    return TEXT(tpl_sink_str(c, &k));
}

/* Tags and comments go; runs of white space become one blank. */
FILTER(f_striptags)
{
    struct str *s = tpl_to_str(c, self);
    struct sink k;
    tpl_sink(c, &k);
    tpl_charge(c, s->n / 32);
    for (size_t i = 0; i < s->n;) {
        if (s->p[i] == '<') {
            bool note = s->n - i >= 4 && memcmp(s->p + i, "<!--", 4) == 0;
            size_t end = tpl_find(s, i, note ? "-->" : ">", note ? 3 : 1);
            if (end != SIZE_MAX) {
                i = end + (note ? 3 : 1);
                continue;
            }
        }
        tpl_put_part(c, &k, s, i, i + 1);
        i++;
    }
    struct methods m = tpl_methods("split", 5);
    struct args none = {0};
    struct list *l = tpl_items(c, tpl_run_func(c, m.str, TEXT(tpl_sink_str(c, &k)), &none));
    tpl_sink(c, &k);
    for (size_t i = 0; i < l->n; i++) {
        if (i)
            tpl_put(c, &k, " ", 1, false);
        tpl_put_str(c, &k, l->v[i].s);
    }
    return TEXT(tpl_sink_str(c, &k));
}

static void put_quoted(struct tpl *c, struct sink *k, struct val v, bool query)
{
    static const char digits[] = "0123456789ABCDEF";
    struct str *s = tpl_to_str(c, v);
    for (size_t i = 0; i < s->n; i++) {
        unsigned char ch = (unsigned char)s->p[i];
        if ((ch >= '0' && ch <= '9') || ((ch | 32) >= 'a' && (ch | 32) <= 'z') || ch == '_' ||
            ch == '.' || ch == '-' || ch == '~' || (ch == '/' && !query)) {
            tpl_put_part(c, k, s, i, i + 1);
        } else if (ch == ' ' && query) {
            tpl_puts(c, k, "+");
        } else {
            char b[3] = {'%', digits[ch >> 4], digits[ch & 15]};
            tpl_put(c, k, b, 3, false);
        }
    }
    tpl_charge(c, s->n / 32);
}

FILTER(f_urlencode)
{
    struct sink k;
    tpl_sink(c, &k);
    if (self.type == T_STR || !tpl_is_iterable(self)) {
        put_quoted(c, &k, self, false);
        return TEXT(tpl_sink_str(c, &k));
    }
    struct list *keys = tpl_items(c, self);
    for (size_t i = 0; i < keys->n; i++) {
        struct val key = keys->v[i], v = tpl_none;
        if (self.type == T_DICT) {
            v = self.d->e[i].value;
        } else {
            struct list *pair = tpl_items(c, key);
            if (pair->n != 2)
                tpl_fail(c, "urlencode: pairs are needed");
            key = pair->v[0];
            v = pair->v[1];
        }
        if (i)
            tpl_puts(c, &k, "&");
        put_quoted(c, &k, key, true);
        tpl_puts(c, &k, "=");
        put_quoted(c, &k, v, true);
    }
    return TEXT(tpl_sink_str(c, &k));
}

FILTER(f_xmlattr)
{
    struct sink k;
    bool any = false;
    if (self.type != T_DICT)
        tpl_fail(c, "xmlattr needs a dict");
    tpl_sink(c, &k);
    for (size_t i = 0; i < self.d->n; i++) {
        struct val v = self.d->e[i].value;
        if (v.type == T_NONE || v.type == T_UNDEF)
            continue;
        if (any || a[0].type == T_ABSENT || tpl_truth(a[0]))
            tpl_puts(c, &k, " ");
        any = true;
        struct str *key = tpl_to_str(c, self.d->e[i].key);
        for (size_t n = 0; n < key->n; n++)
            if (key->p[n] && strchr(" \t\n\r\f/>=", key->p[n]))
                tpl_fail(c, "Invalid character in attribute name");
        tpl_put_str(c, &k, tpl_escape_html(c, key));
        tpl_puts(c, &k, "=\"");
        tpl_put_str(c, &k, tpl_escape_html(c, tpl_to_str(c, v)));
        tpl_puts(c, &k, "\"");
    }
    return TEXT(tpl_sink_str(c, &k));
}

FILTER(f_pprint)
{
    struct sink k;
    tpl_repr(c, tpl_sink(c, &k), self);
    return TEXT(tpl_sink_str(c, &k));
}

const struct func *tpl_text_filters(size_t *n)
{
    static const struct func table[] = {
        {"upper", "", f_upper, false},
        {"lower", "", f_lower, false},
        {"title", "", f_title, false},
        {"capitalize", "", f_capitalize, false},
        {"trim", "chars?", f_trim, false},
        {"replace", "old new count?", f_replace, false},
        {"indent", "width? first? blank?", f_indent, false},
        {"format", "*", f_format, false},
        {"center", "width?", f_center, false},
        {"truncate", "length? killwords? end? leeway?", f_truncate, false},
        {"wordcount", "", f_wordcount, false},
        {"wordwrap", "width? break_long_words? wrapstring? break_on_hyphens?", f_wordwrap, false},
        {"striptags", "", f_striptags, false},
        {"urlencode", "", f_urlencode, false},
        {"xmlattr", "autospace?", f_xmlattr, false},
        {"pprint", "", f_pprint, false},
    };
    *n = sizeof table / sizeof *table;
    return table;
}
