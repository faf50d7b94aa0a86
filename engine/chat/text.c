/* engine/chat/text.c - text that knows which of its bytes the template itself wrote.
 *
 * Every operation keeps the trusted spans of the parts it moves. What an operation writes of its
 * own (padding, quotes) counts as untrusted: it is never a control token. */
#include <string.h>
#include "engine/chat/template.h"

struct str *tpl_str(struct tpl *c, const char *p, size_t n, bool trusted)
{
    struct str *s = tpl_alloc(c, sizeof *s);
    s->p = p;
    s->n = n;
    s->n_cp = SIZE_MAX;
    if (trusted && n) {
        struct text_span *sp = tpl_alloc(c, sizeof *sp);
        *sp = (struct text_span){0, n};
        s->sp = sp;
        s->n_sp = 1;
    }
    return s;
}

struct str *tpl_str_copy(struct tpl *c, const char *p, size_t n, bool trusted)
{
    char *q = tpl_bytes(c, n);
    if (n)
        memcpy(q, p, n);
    return tpl_str(c, q, n, trusted);
}

struct val tpl_str_val(struct str *s)
{
    return (struct val){.type = T_STR, .s = s};
}

struct val tpl_strz(struct tpl *c, const char *literal)
{
    return tpl_str_val(tpl_str(c, literal, strlen(literal), false));
}

bool tpl_str_is(const struct str *s, const char *literal)
{
    return s->n == strlen(literal) && memcmp(s->p, literal, s->n) == 0;
}

bool tpl_str_same(const struct str *a, const struct str *b)
{
    return a->n == b->n && (a->p == b->p || memcmp(a->p, b->p, a->n) == 0);
}

size_t tpl_str_chars(struct tpl *c, struct str *s)
{
    if (s->n_cp == SIZE_MAX) {
        tpl_charge_bytes(c, s->n);
        size_t n = 0;
        for (size_t i = 0; i < s->n; i++)
            n += ((unsigned char)s->p[i] & 0xc0) != 0x80;
        s->n_cp = n;
    }
    return s->n_cp;
}

size_t tpl_str_offset(struct tpl *c, struct str *s, size_t i_char)
{
    size_t n = tpl_str_chars(c, s);
    if (i_char >= n)
        return s->n;
    if (n == s->n)
        return i_char;
    tpl_charge_bytes(c, s->n);
    size_t i = 0;
    for (; i < s->n; i++)
        if (((unsigned char)s->p[i] & 0xc0) != 0x80 && i_char-- == 0)
            break;
    return i;
}

/* The first span that ends after `at`. */
static size_t span_after(const struct str *s, size_t at)
{
    size_t lo = 0, hi = s->n_sp;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->sp[mid].end > at)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

bool tpl_str_trusted(const struct str *s, size_t at)
{
    size_t i = span_after(s, at);
    return i < s->n_sp && s->sp[i].start <= at;
}

struct str *tpl_str_part(struct tpl *c, const struct str *s, size_t from, size_t to)
{
    struct str *r = tpl_str(c, s->p + from, to - from, false);
    if (s->n_cp == s->n)
        r->n_cp = r->n;
    r->safe = s->safe;
    if (!s->n_sp || from >= to)
        return r;
    size_t first = span_after(s, from), last = first;
    while (last < s->n_sp && s->sp[last].start < to)
        last++;
    if (first == last)
        return r;
    tpl_charge(c, (last - first) / 8);
    struct text_span *sp = tpl_alloc(c, (last - first) * sizeof *sp);
    for (size_t i = first; i < last; i++) {
        size_t a = s->sp[i].start < from ? from : s->sp[i].start;
        size_t b = s->sp[i].end > to ? to : s->sp[i].end;
        sp[i - first] = (struct text_span){a - from, b - from};
    }
    r->sp = sp;
    r->n_sp = last - first;
    return r;
}

/* ---- building -------------------------------------------------------------------------------- */

struct sink *tpl_sink(struct tpl *c, struct sink *k)
{
    (void)c;
    *k = (struct sink){0};
    return k;
}

static void put_span(struct tpl *c, struct sink *k, size_t from, size_t to)
{
    if (k->n_sp && k->sp[k->n_sp - 1].end == from) {
        k->sp[k->n_sp - 1].end = to;
        return;
    }
    if (k->n_sp == k->cap_sp) {
        size_t cap = k->cap_sp ? k->cap_sp * 2 : 4;
        k->sp = tpl_grow(c, k->sp, k->n_sp * sizeof *k->sp, cap * sizeof *k->sp);
        k->cap_sp = cap;
    }
    k->sp[k->n_sp++] = (struct text_span){from, to};
}

static void put_bytes(struct tpl *c, struct sink *k, const char *p, size_t n)
{
    if (n > k->cap - k->n) {
        if (n > TPL_MAX_OUTPUT || k->n + n > TPL_MAX_OUTPUT)
            tpl_fail(c, "more than %zu MiB of text", TPL_MAX_OUTPUT >> 20);
        size_t cap = k->cap ? k->cap * 2 : 64;
        if (cap < k->n + n)
            cap = k->n + n;
        if (cap > TPL_MAX_OUTPUT)
            cap = TPL_MAX_OUTPUT;
        /* Only what is used is copied when the bytes cannot grow where they are. */
        if (k->p && k->p + k->cap == c->bytes.cur) {
            k->p = tpl_bytes_grow(c, k->p, k->cap, cap);
        } else {
            char *q = tpl_bytes(c, cap);
            if (k->n)
                memcpy(q, k->p, k->n);
            k->p = q;
        }
        k->cap = cap;
    }
    memcpy(k->p + k->n, p, n);
    k->n += n;
}

void tpl_put(struct tpl *c, struct sink *k, const char *p, size_t n, bool trusted)
{
    if (!n)
        return;
    size_t at = k->n;
    tpl_charge_bytes(c, n);
    put_bytes(c, k, p, n);
    if (trusted)
        put_span(c, k, at, at + n);
}

void tpl_puts(struct tpl *c, struct sink *k, const char *s)
{
    tpl_put(c, k, s, strlen(s), false);
}

void tpl_putc(struct tpl *c, struct sink *k, uint32_t cp, bool trusted)
{
    char b[4];
    tpl_put(c, k, b, text_encode(cp, b), trusted);
}

void tpl_put_part(struct tpl *c, struct sink *k, const struct str *s, size_t from, size_t to)
{
    if (from >= to)
        return;
    size_t at = k->n;
    tpl_charge_bytes(c, to - from);
    put_bytes(c, k, s->p + from, to - from);
    for (size_t i = span_after(s, from); i < s->n_sp && s->sp[i].start < to; i++) {
        size_t a = s->sp[i].start < from ? from : s->sp[i].start;
        size_t b = s->sp[i].end > to ? to : s->sp[i].end;
        put_span(c, k, at + a - from, at + b - from);
    }
}

void tpl_put_str(struct tpl *c, struct sink *k, const struct str *s)
{
    tpl_put_part(c, k, s, 0, s->n);
}

struct str *tpl_sink_str(struct tpl *c, struct sink *k)
{
    /* What was reserved and not used goes back when nothing was put behind it. */
    if (k->p && k->p + k->cap == c->bytes.cur)
        c->bytes.cur = k->p + k->n;
    struct str *s = tpl_str(c, k->n ? k->p : "", k->n, false);
    s->sp = k->sp;
    s->n_sp = k->n_sp;
    return s;
}

struct str *tpl_str_join2(struct tpl *c, const struct str *a, const struct str *b)
{
    size_t n;
    if (size_add(&n, a->n, b->n) || n > TPL_MAX_OUTPUT)
        tpl_fail(c, "more than %zu MiB of text", TPL_MAX_OUTPUT >> 20);
    tpl_charge_bytes(c, b->n);
    char *p;
    if (a->n && a->p + a->n == c->bytes.cur && b->n <= (size_t)(c->bytes.end - c->bytes.cur)) {
        /* a is the newest text: b goes right behind it. Who holds a still sees only a. */
        p = c->bytes.cur - a->n;
        c->bytes.cur += b->n;
    } else {
        tpl_charge_bytes(c, a->n);
        p = tpl_bytes(c, n);
        if (a->n)
            memcpy(p, a->p, a->n);
    }
    if (b->n)
        memcpy(p + a->n, b->p, b->n);
    struct str *s = tpl_str(c, p, n, false);
    if (a->n_cp != SIZE_MAX && b->n_cp != SIZE_MAX)
        s->n_cp = a->n_cp + b->n_cp;
    if (a->n_sp + b->n_sp == 0)
        return s;
    tpl_charge(c, (a->n_sp + b->n_sp) / 8);
    struct text_span *sp = tpl_alloc(c, (a->n_sp + b->n_sp) * sizeof *sp);
    size_t k = a->n_sp;
    if (k)
        memcpy(sp, a->sp, k * sizeof *sp);
    for (size_t i = 0; i < b->n_sp; i++) {
        struct text_span x = {b->sp[i].start + a->n, b->sp[i].end + a->n};
        if (k && sp[k - 1].end == x.start)
            sp[k - 1].end = x.end;
        else
            sp[k++] = x;
    }
    s->sp = sp;
    s->n_sp = k;
    return s;
}

/* ---- what many callers share ----------------------------------------------------------------- */

size_t tpl_find(const struct str *s, size_t from, const char *p, size_t n)
{
    if (from > s->n || n > s->n - from)
        return SIZE_MAX;
    if (!n)
        return from;
    const char *at = memmem(s->p + from, s->n - from, p, n);
    return at ? (size_t)(at - s->p) : SIZE_MAX;
}

static bool in_set(const struct str *set, uint32_t cp, const char *p, size_t n)
{
    if (!set)
        return uni_is_space(cp);
    return memmem(set->p, set->n, p, n) != NULL;
}

struct str *tpl_trim(struct tpl *c, const struct str *s, const struct str *set, bool l, bool r)
{
    size_t from = 0, to = s->n;
    uint32_t cp;
    bool bad;
    while (l && from < to) {
        size_t k = text_decode(s->p + from, to - from, &cp, &bad);
        if (!in_set(set, cp, s->p + from, k))
            break;
        from += k;
    }
    while (r && from < to) {
        size_t at = to - 1;
        while (at > from && ((unsigned char)s->p[at] & 0xc0) == 0x80)
            at--;
        size_t k = text_decode(s->p + at, to - at, &cp, &bad);
        if (!in_set(set, cp, s->p + at, k))
            break;
        to = at;
    }
    tpl_charge_bytes(c, (s->n - (to - from)) * (set ? 1 + set->n / 16 : 1));
    return tpl_str_part(c, s, from, to);
}

struct str *tpl_replace(struct tpl *c, const struct str *s, const struct str *old,
                        const struct str *with, int64_t count)
{
    struct sink k;
    tpl_sink(c, &k);
    tpl_charge_bytes(c, s->n);
    size_t from = 0, i = 0;
    while (count != 0) {
        size_t at;
        if (old->n) {
            at = tpl_find(s, from, old->p, old->n);
            if (at == SIZE_MAX)
                break;
        } else { /* before each character, and at the end */
            if (i > s->n)
                break;
            at = i;
            i++;
            while (i < s->n && ((unsigned char)s->p[i] & 0xc0) == 0x80)
                i++;
        }
        tpl_put_part(c, &k, s, from, at);
        tpl_put_str(c, &k, with);
        tpl_charge(c, 1);
        from = at + old->n;
        if (count > 0)
            count--;
    }
    tpl_put_part(c, &k, s, from, s->n);
    return tpl_sink_str(c, &k);
}

struct str *tpl_escape_html(struct tpl *c, const struct str *s)
{
    struct sink k;
    tpl_sink(c, &k);
    size_t from = 0;
    for (size_t i = 0; i < s->n; i++) {
        const char *as = NULL;
        switch (s->p[i]) {
        case '&': as = "&amp;"; break;
        case '<': as = "&lt;"; break;
        case '>': as = "&gt;"; break;
        case '\'': as = "&#39;"; break;
        case '"': as = "&#34;"; break;
        default: break;
        }
        if (!as)
            continue;
        tpl_put_part(c, &k, s, from, i);
        tpl_put(c, &k, as, strlen(as), false);
        from = i + 1;
    }
    tpl_put_part(c, &k, s, from, s->n);
    struct str *r = tpl_sink_str(c, &k);
    r->safe = true;
    return r;
}
