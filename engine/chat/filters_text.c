/* engine/chat/filters_text.c - filters from text to text. */
#include <ctype.h>
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

static bool is_letter(char ch)
{
    return ((ch | 32) >= 'a' && (ch | 32) <= 'z') || ch == '_' || (unsigned char)ch >= 0x80;
}

/* Two hyphens or more between words, a piece of their own: the place behind them, or 0. */
static size_t dashes(const struct str *s, size_t at)
{
    size_t i = at;
    while (i < s->n && s->p[i] == '-')
        i++;
    return at && i >= at + 2 && i < s->n && (is_letter(s->p[i]) || isdigit((unsigned char)s->p[i])) &&
                   (isalnum((unsigned char)s->p[at - 1]) || is_letter(s->p[at - 1]) ||
                    strchr("!\"'&.,?", s->p[at - 1]))
               ? i : 0;
}

/* The end of the piece at `at`: blanks, or a word, or its part up to a hyphen between letters. */
static size_t piece_end(const struct str *s, size_t at, bool hyphens)
{
    static const char blanks[] = "\t\n\v\f\r ";
    bool blank = memchr(blanks, s->p[at], 6) != NULL;
    size_t i = hyphens ? dashes(s, at) : 0;
    if (i)
        return i;
    for (i = at + 1; i < s->n && (memchr(blanks, s->p[i], 6) != NULL) == blank; i++) {
        if (!hyphens || blank)
            continue;
        if (s->p[i] == '-' && s->p[i - 1] != '-' && dashes(s, i))
            break;
        size_t k = i + 1 + (i + 1 < s->n && s->p[i + 1] == '-');
        if (s->p[i - 1] == '-' && i >= 3 && is_letter(s->p[i - 2]) && is_letter(s->p[i - 3]) &&
            k < s->n && is_letter(s->p[i]) && is_letter(s->p[k]))
            break;
    }
    return i;
}

/* Python's textwrap: blanks at the ends of lines go, but not those that begin the text. */
static void wrap_line(struct tpl *c, struct sink *k, struct str *line, size_t width, bool cut,
                      bool hyphens, const struct str *nl)
{
    size_t at = 0, col = 0, from = 0, end = 0; /* from..end: the line in work, without its blanks */
    bool any = false;
    while (at < line->n) {
        size_t next = piece_end(line, at, hyphens);
        struct str *piece = tpl_str_part(c, line, at, next);
        size_t n = tpl_str_chars(c, piece);
        bool blank = !tpl_trim(c, piece, NULL, true, true)->n;
        tpl_charge(c, 1 + piece->n / 32);
        if (col + n <= width && (col || !any || !blank)) {
            col += n;
            at = next;
            end = blank ? end : next;
            continue;
        }
        if (blank) {
            at = next;
        } else if (n > width && cut) { /* fill the line, and go on with the rest */
            next = at + tpl_str_offset(c, piece, width - col);
            const char *hyphen = hyphens ? memrchr(piece->p, '-', next - at) : NULL;
            if (hyphen && strspn(piece->p, "-") < (size_t)(hyphen - piece->p))
                next = at + (size_t)(hyphen + 1 - piece->p);
            end = at = next;
        } else if (n > width && !col) {
            end = at = next;
        }
        if (end > from) {
            if (any)
                tpl_put_str(c, k, nl);
            tpl_put_part(c, k, line, from, end);
            any = true;
        }
        from = end = at;
        col = 0;
    }
    if (any && end > from)
        tpl_put_str(c, k, nl);
    tpl_put_part(c, k, line, from, end);
}

FILTER(f_wordwrap)
{
    struct str *s = tpl_need_str(c, self, "the text of wordwrap");
    int64_t width = a[0].type == T_ABSENT ? 79 : tpl_need_int(c, a[0], "width");
    bool cut = a[1].type == T_ABSENT || tpl_truth(a[1]);
    bool hyphens = a[3].type == T_ABSENT || tpl_truth(a[3]);
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
        wrap_line(c, &k, lines->v[i].s, (size_t)width, cut, hyphens, nl);
    }
    return TEXT(tpl_sink_str(c, &k));
}

/* Length of the entity at `at` and its character; 0: none. Names but these few stay as they are. */
static size_t entity(const struct str *s, size_t at, uint32_t *cp)
{
    static const struct {
        const char *name;
        uint32_t cp;
    } names[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''},
                 {"&nbsp;", 0xa0}};
    size_t room = s->n - at, i = at + 2;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        if (strlen(names[k].name) <= room &&
            !memcmp(s->p + at, names[k].name, strlen(names[k].name))) {
            *cp = names[k].cp;
            return strlen(names[k].name);
        }
    if (room < 4 || s->p[at + 1] != '#')
        return 0;
    bool hex = (s->p[i] | 32) == 'x';
    *cp = 0;
    for (i += hex; i < s->n && i < at + 10; i++) {
        char ch = s->p[i];
        if (ch == ';')
            break;
        if (!(ch >= '0' && ch <= '9') && !(hex && (ch | 32) >= 'a' && (ch | 32) <= 'f'))
            return 0;
        *cp = *cp * (hex ? 16 : 10) + (uint32_t)(ch <= '9' ? ch - '0' : (ch | 32) - 'a' + 10);
    }
    bool good = i < s->n && s->p[i] == ';' && i > at + 2 + hex && *cp >= 32 && *cp <= 0x10ffff &&
                (*cp < 0x7f || *cp > 0x9f) && (*cp < 0xd800 || *cp > 0xdfff);
    return good ? i + 1 - at : 0;
}

static struct str *unescape_html(struct tpl *c, const struct str *s)
{
    struct sink k;
    size_t from = 0, at, n;
    uint32_t cp;
    tpl_sink(c, &k);
    for (size_t i = 0; (at = tpl_find(s, i, "&", 1)) != SIZE_MAX; i = from > at ? from : at + 1) {
        tpl_charge(c, 1);
        if (!(n = entity(s, at, &cp)))
            continue;
        tpl_put_part(c, &k, s, from, at);
        tpl_putc(c, &k, cp, false);
        from = at + n;
    }
    tpl_put_part(c, &k, s, from, s->n);
    return tpl_sink_str(c, &k);
}

/* Tags and comments go; runs of white space become one blank; entities their characters. */
FILTER(f_striptags)
{
    struct str *s = tpl_to_str(c, self);
    struct sink k;
    tpl_sink(c, &k);
    tpl_charge(c, s->n / 32);
    bool ends = true, notes_end = true; /* may there be another '>', another "-->"? */
    for (size_t i = 0; i < s->n;) {
        size_t end;
        if (s->p[i] == '<' && notes_end && s->n - i >= 4 && !memcmp(s->p + i, "<!--", 4)) {
            notes_end = (end = tpl_find(s, i, "-->", 3)) != SIZE_MAX;
            if (notes_end) {
                i = end + 3;
                continue;
            }
        }
        if (s->p[i] == '<' && ends) {
            ends = (end = tpl_find(s, i, ">", 1)) != SIZE_MAX;
            if (ends) {
                i = end + 1;
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
    return TEXT(unescape_html(c, tpl_sink_str(c, &k)));
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
