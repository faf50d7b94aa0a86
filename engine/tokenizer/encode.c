/* engine/tokenizer/encode.c - text to ids: special tokens are cut out (specials.c), the rest is
 * split into words (byte-pair kinds, split.c) and merged (merge.c). */
#include "engine/tokenizer/inside.h"

#include <stdlib.h>
#include <string.h>

void tok_ids_free(struct tok_ids *ids)
{
    free(ids->ids);
    *ids = (struct tok_ids){0};
}

int tok_ids_add(struct tok_ids *ids, tok_id id, struct err *e)
{
    if (ids->n == ids->cap &&
        tok_room_for((void **)&ids->ids, &ids->cap, ids->n + 1, sizeof *ids->ids, e))
        return -1;
    ids->ids[ids->n++] = id;
    return 0;
}

/* Scratch of one call. */
struct encoder {
    const struct tok_vocab *v;
    struct tok_ids *out;
    struct merger merger;
    struct buf text;  /* the segment as it is merged */
    struct buf shape; /* the same as PCRE2 may see it, where that differs */
    struct buf word;  /* one word in byte letters, or the segment before it is made well-formed */
    struct pieces pieces;
    pcre2_match_data *match;
};

static int out_of_memory(struct err *e)
{
    return err_set(e, ERR_MEMORY, "no memory to tokenize the text");
}

/* ---- both kinds ------------------------------------------------------------------------- */

/* The bytes of a symbol that is no token, each by itself. */
static int add_bytes(struct encoder *c, const char *p, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        tok_id id = c->v->byte_id[(unsigned char)p[i]];
        if (id < 0)
            id = c->v->unk; /* a vocabulary without byte tokens */
        if (id >= 0 && tok_ids_add(c->out, id, e))
            return -1;
    }
    return 0;
}

static int add_merged(struct encoder *c, const char *text, bool bytes_too, struct err *e)
{
    const struct merger *m = &c->merger;
    for (uint32_t i = m->n ? 0 : NO_SYM; i != NO_SYM; i = m->sym[i].next) {
        if (m->sym[i].id >= 0) {
            if (tok_ids_add(c->out, m->sym[i].id, e))
                return -1;
        } else if (bytes_too && add_bytes(c, text + m->sym[i].start, m->sym[i].len, e)) {
            return -1;
        }
    }
    return 0;
}

/* Length by the lead byte, cut at the end: a symbol need not be well-formed. */
static uint32_t symbol_len(const char *p, size_t left)
{
    const unsigned char b = (unsigned char)*p;
    const uint32_t n = b < 0xc0 ? 1 : b < 0xe0 ? 2 : b < 0xf0 ? 3 : 4;
    return n < left ? n : (uint32_t)left;
}

/* Symbols are the characters of text[from..to). */
static int merge_characters(struct encoder *c, const char *text, uint32_t from, uint32_t to,
                            struct err *e)
{
    if (tok_merger_start(&c->merger, to - from, e))
        return -1;
    for (uint32_t i = from; i < to;) {
        const uint32_t len = symbol_len(text + i, to - i);
        tok_merger_add(&c->merger, i, len, tok_find_plain(c->v, text + i, len));
        i += len;
    }
    if (tok_merger_run(&c->merger, c->v, text, e))
        return -1;
    return add_merged(c, text, true, e);
}

static void add_escaped(struct buf *out, const char *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        const char *blank = memchr(p + i, ' ', n - i);
        const size_t end = blank ? (size_t)(blank - p) : n;
        buf_add(out, p + i, end - i);
        if (blank)
            buf_puts(out, "▁");
        i = end + 1;
    }
}

/* ---- SentencePiece ---------------------------------------------------------------------- */

static int encode_spm(struct encoder *c, const char *p, size_t n, bool prefix, struct err *e)
{
    c->text.n = 0;
    if (prefix)
        buf_puts(&c->text, "▁");
    add_escaped(&c->text, p, n);
    if (c->text.failed)
        return out_of_memory(e);
    return merge_characters(c, c->text.p, 0, (uint32_t)c->text.n, e);
}

/* ---- byte-pair -------------------------------------------------------------------------- */

/* One character of any text. Overlong forms and surrogates are taken by their value, any other
 * broken byte is U+FFFD: so do the tools that made the vocabularies. */
static size_t loose_decode(const char *p, size_t n, uint32_t *cp)
{
    bool bad;
    const size_t strict = text_decode(p, n, cp, &bad);
    if (!bad)
        return strict;
    const unsigned char *s = (const unsigned char *)p;
    const size_t len = s[0] < 0xc0 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf8 ? 4 : 0;
    if (!len || len > n)
        return 1;
    uint32_t x = s[0] & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 1;
        x = x << 6 | (s[i] & 0x3f);
    }
    if (x > 0x10ffff)
        return 1;
    *cp = x;
    return len;
}

/* Fill c->text with well-formed UTF-8, but for surrogates. Those PCRE2 must not see: with any
 * of them there, c->shape is the same text with a private-use character in their places. */
static void make_well_formed(struct encoder *c, const char *p, size_t n)
{
    c->text.n = c->shape.n = 0;
    bool surrogates = false;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        i += loose_decode(p + i, n - i, &cp);
        char utf8[4];
        buf_add(&c->text, utf8, text_encode(cp, utf8));
        surrogates |= cp >= 0xd800 && cp < 0xe000;
    }
    if (!surrogates)
        return;
    buf_add(&c->shape, c->text.p, c->text.n);
    for (size_t i = 0; !c->shape.failed && i + 2 < c->shape.n; i++)
        if ((unsigned char)c->shape.p[i] == 0xed && (unsigned char)c->shape.p[i + 1] >= 0xa0)
            memcpy(c->shape.p + i, "\xee\x80\x80", 3); /* U+E000 */
}

/* The whole word as a token, or -1. */
static tok_id whole_word(struct encoder *c, const char *p, size_t n)
{
    if (n > c->v->longest)
        return -1;
    if (c->v->flags & PRE_RAW)
        return tok_find_plain(c->v, p, n);
    char letters[4];
    c->word.n = 0;
    for (size_t i = 0; i < n; i++) {
        const size_t k = tok_byte_letter((unsigned char)p[i], letters);
        buf_add(&c->word, letters, k);
    }
    return c->word.failed ? -1 : tok_find_plain(c->v, c->word.p, c->word.n);
}

static int encode_word(struct encoder *c, const char *text, struct piece w, struct err *e)
{
    const struct tok_vocab *v = c->v;
    const uint32_t n = w.end - w.start;
    const bool raw = v->flags & PRE_RAW;
    /* Runs of newlines are whole tokens where characters are symbols: nothing merges them. */
    if (v->flags & PRE_IGNORE_MERGES || (raw && text[w.start] == '\n')) {
        const tok_id id = whole_word(c, text + w.start, n);
        if (c->word.failed)
            return out_of_memory(e);
        if (id >= 0)
            return tok_ids_add(c->out, id, e);
    }
    if (raw)
        return merge_characters(c, text, w.start, w.end, e);
    if (tok_merger_start(&c->merger, n, e))
        return -1;
    for (uint32_t i = w.start; i < w.end; i++)
        tok_merger_add(&c->merger, i, 1, v->byte_id[(unsigned char)text[i]]);
    if (tok_merger_run(&c->merger, v, text, e))
        return -1;
    /* A byte whose letter is no token has nothing left to fall back on: it is dropped. */
    return add_merged(c, text, false, e);
}

static int encode_bpe(struct encoder *c, const char *p, size_t n, struct err *e)
{
    if (!c->match) {
        c->match = pcre2_match_data_create(1, NULL);
        if (!c->match)
            return out_of_memory(e);
    }
    if (c->v->flags & PRE_ESCAPE) {
        c->word.n = 0;
        add_escaped(&c->word, p, n);
        if (!c->word.failed)
            make_well_formed(c, c->word.p, c->word.n);
    } else {
        make_well_formed(c, p, n);
    }
    if (c->text.failed || c->shape.failed || c->word.failed)
        return out_of_memory(e);
    const struct buf *shape = c->shape.n ? &c->shape : &c->text;
    if (tok_splitter_run(&c->v->split, c->match, shape->p, (uint32_t)shape->n, &c->pieces, e))
        return -1;
    for (size_t i = 0; i < c->pieces.n_now; i++)
        if (encode_word(c, c->text.p, c->pieces.now[i], e))
            return -1;
    return 0;
}

/* ---- the door --------------------------------------------------------------------------- */

int tok_encode(const struct tok_vocab *v, const char *text, size_t n,
               const struct text_span *trusted, size_t n_trusted, struct tok_ids *out,
               struct err *e)
{
    /* Places are 32 bits inside; a byte can become three (U+FFFD, U+2581). */
    if (n > UINT32_MAX / 4)
        return err_set(e, ERR_LIMIT, "a text of %zu bytes is too long", n);
    struct encoder c = {.v = v, .out = out};
    struct segments segs = {0};
    int rc = tok_specials_cut(v, text, n, trusted, n_trusted, &segs, e);
    bool after_special = true; /* so is the start of the text */
    for (size_t i = 0; !rc && i < segs.n; i++) {
        const struct segment *s = &segs.s[i];
        if (s->id >= 0)
            rc = tok_ids_add(out, s->id, e);
        else if (v->kind == KIND_SPM)
            rc = encode_spm(&c, text + s->start, s->end - s->start,
                            v->space_prefix && after_special, e);
        else if (v->kind == KIND_WORDPIECE)
            rc = tok_wordpiece_encode(v, text + s->start, s->end - s->start, out, e);
        else
            rc = encode_bpe(&c, text + s->start, s->end - s->start, e);
        after_special = s->id >= 0;
    }
    free(segs.s);
    tok_merger_free(&c.merger);
    buf_free(&c.text);
    buf_free(&c.shape);
    buf_free(&c.word);
    tok_pieces_free(&c.pieces);
    pcre2_match_data_free(c.match);
    return rc;
}

int tok_add_before(const struct tok_vocab *v, struct tok_ids *out, struct err *e)
{
    return tok_adds_bos(v) ? tok_ids_add(out, v->bos, e) : 0;
}

int tok_add_after(const struct tok_vocab *v, struct tok_ids *out, struct err *e)
{
    if (v->kind == KIND_WORDPIECE)
        return v->sep >= 0 ? tok_ids_add(out, v->sep, e) : 0;
    return v->add_eos && v->eos >= 0 ? tok_ids_add(out, v->eos, e) : 0;
}
