/* engine/tokenizer/wordpiece.c - BERT's tokenizer: normalise, cut in words, take the longest
 * pieces.
 *
 * Facts: Devlin et al. 2019, and what the library does that these models were trained with (the
 * tables ask it about every character, make_wordpiece.py): control characters go, ideographs and
 * punctuation are words of their own, accents are stripped and letters made small if the model
 * wants it, a word of more than 100 characters is unknown. Files store the pieces with U+2581 in
 * front where a word begins, and without the "##" where it goes on. */
#include "engine/tokenizer/inside.h"

#include <stdlib.h>
#include <string.h>

struct span {
    uint32_t first, last;
};
#include "engine/tokenizer/wordpiece_tables.h"

enum { WORD_CHARS = 100 };

#define COUNT(t) (sizeof(t) / sizeof *(t))
/* Index of the last row of a sorted table whose `key` is not above cp; SIZE_MAX: none. */
#define ROW(table, key, cp, out)                                                                   \
    do {                                                                                           \
        size_t lo_ = 0, hi_ = COUNT(table);                                                        \
        while (lo_ < hi_) {                                                                        \
            const size_t mid_ = lo_ + (hi_ - lo_) / 2;                                             \
            if ((table)[mid_].key <= (cp))                                                         \
                lo_ = mid_ + 1;                                                                    \
            else                                                                                   \
                hi_ = mid_;                                                                        \
        }                                                                                          \
        (out) = lo_ - 1;                                                                           \
    } while (0)

static bool is_in(const struct span *t, size_t n, uint32_t cp)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (t[mid].last < cp)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n && t[lo].first <= cp;
}
#define IN(table, cp) is_in(table, COUNT(table), cp)

/* What is left of a character without its marks: 0 to 3 characters. */
static int strip(uint32_t cp, uint32_t out[3])
{
    enum { BASE = 0xac00, LAST = 0xd7a3, VOWELS = 21, TAILS = 28 }; /* Hangul: its parts (jamo) */
    if (cp >= BASE && cp <= LAST) {
        const uint32_t s = cp - BASE;
        out[0] = 0x1100 + s / (VOWELS * TAILS);
        out[1] = 0x1161 + s / TAILS % VOWELS;
        out[2] = 0x11a7 + s % TAILS;
        return s % TAILS ? 3 : 2;
    }
    size_t i;
    if (IN(marks, cp))
        return 0;
    ROW(parts, cp, cp, i);
    if (i != SIZE_MAX && parts[i].cp == cp) {
        out[0] = parts[i].first;
        out[1] = parts[i].second;
        out[2] = parts[i].third;
        return out[2] ? 3 : 2;
    }
    ROW(bare, cp, cp, i);
    out[0] = i != SIZE_MAX && bare[i].cp == cp ? bare[i].to : cp;
    return 1;
}

static int small(uint32_t cp, uint32_t out[2])
{
    size_t i;
    out[0] = cp;
    if (cp == 0x130) { /* the only one with two */
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    ROW(lower, from, cp, i);
    if (i != SIZE_MAX && cp <= lower[i].to && (cp - lower[i].from) % lower[i].step == 0)
        out[0] = (uint32_t)((int64_t)cp + lower[i].delta);
    return 1;
}

/* ---- one word ------------------------------------------------------------------------------ */

struct word {
    const struct tok_vocab *v;
    struct tok_ids *out;
    struct err *e;
    char text[3 + 4 * WORD_CHARS]; /* U+2581, then the characters */
    size_t n;                      /* bytes of it; 3: empty */
    int n_chars;
    int rc;
};

static bool starts_char(char c)
{
    return ((unsigned char)c & 0xc0) != 0x80;
}

/* The longest token at text[at..n) that is not all too long, or -1; *len: its bytes. */
static tok_id longest_piece(const struct word *w, size_t at, size_t *len)
{
    const size_t least = at ? 1 : 4; /* the mark alone is no piece */
    size_t n = w->n - at;
    if (n > w->v->longest) {
        n = w->v->longest;
        while (n && !starts_char(w->text[at + n]))
            n--;
    }
    while (n >= least) {
        const tok_id id = tok_find_plain(w->v, w->text + at, n);
        if (id >= 0) {
            *len = n;
            return id;
        }
        do
            n--;
        while (n && !starts_char(w->text[at + n]));
    }
    return -1;
}

static void word_end(struct word *w)
{
    const size_t had = w->out->n;
    bool known = w->n_chars <= WORD_CHARS;
    for (size_t at = 0, len; known && w->n > 3 && at < w->n && !w->rc; at += len) {
        /* Behind a word's start the mark is a character that the text had. */
        const bool mark = at && w->n - at >= 3 && !memcmp(w->text + at, "▁", 3);
        const tok_id id = mark ? -1 : longest_piece(w, at, &len);
        known = id >= 0;
        if (known)
            w->rc = tok_ids_add(w->out, id, w->e);
        else
            len = 0;
    }
    if (!known) {
        w->out->n = had;
        if (w->v->unk >= 0 && !w->rc)
            w->rc = tok_ids_add(w->out, w->v->unk, w->e);
    }
    w->n = 3;
    w->n_chars = 0;
}

static void word_add(struct word *w, uint32_t cp)
{
    const bool alone = IN(punctuation, cp);
    if (alone)
        word_end(w);
    if (++w->n_chars <= WORD_CHARS)
        w->n += text_encode(cp, w->text + w->n);
    if (alone)
        word_end(w);
}

/* ---- a text -------------------------------------------------------------------------------- */

/* A character of the text, as the words have it. */
static void add_char(struct word *w, uint32_t cp)
{
    uint32_t bare_cp[3] = {cp}, small_cp[2];
    const int n = w->v->strip_accents ? strip(cp, bare_cp) : 1;
    for (int i = 0; i < n; i++) {
        small_cp[0] = bare_cp[i];
        const int k = w->v->lowercase ? small(bare_cp[i], small_cp) : 1;
        for (int j = 0; j < k; j++)
            word_add(w, small_cp[j]);
    }
}

int tok_wordpiece_encode(const struct tok_vocab *v, const char *p, size_t n, struct tok_ids *out,
                         struct err *e)
{
    struct word w = {.v = v, .out = out, .e = e, .text = "▁", .n = 3};
    for (size_t i = 0; i < n && !w.rc;) {
        const unsigned char b = (unsigned char)p[i];
        if (b < 0x80 && b > ' ' && b != 0x7f) {
            uint32_t c = b;
            if (v->lowercase && c >= 'A' && c <= 'Z')
                c += 'a' - 'A';
            word_add(&w, c);
            i++;
            continue;
        }
        uint32_t cp;
        bool bad;
        i += text_decode(p + i, n - i, &cp, &bad);
        if (bad || IN(dropped, cp))
            continue;
        if (IN(blanks, cp)) {
            word_end(&w);
            continue;
        }
        const bool alone = IN(ideographs, cp);
        if (alone)
            word_end(&w);
        add_char(&w, cp);
        if (alone)
            word_end(&w);
    }
    if (!w.rc)
        word_end(&w);
    return w.rc;
}
