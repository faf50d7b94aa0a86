/* engine/tokenizer/decode.c - from ids back to bytes.
 *
 * Byte-level vocabularies write each byte as a letter: 0x21..0x7E, 0xA1..0xAC and 0xAE..0xFF
 * are their own code points, the other 68 in rising order are U+0100, U+0101, ... (so a space
 * is U+0120). What each token stands for is worked out once, when the vocabulary is read. */
#include "engine/tokenizer/inside.h"

#include <stdio.h>
#include <string.h>

static uint32_t letter_of(unsigned b)
{
    if ((b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae)
        return b;
    if (b <= 0x20)
        return 0x100 + b;
    return b == 0xad ? 0x143 : 0x100 + 0x21 + (b - 0x7f);
}

size_t tok_byte_letter(unsigned char b, char out[4])
{
    return text_encode(letter_of(b), out);
}

/* The byte of a letter, or -1. */
static int byte_of(uint32_t letter)
{
    if (letter >= 0x144)
        return -1;
    if (letter == 0x143)
        return 0xad;
    if (letter >= 0x100)
        return (int)(letter <= 0x120 ? letter - 0x100 : letter - 0x121 + 0x7f);
    return letter_of(letter) == letter ? (int)letter : -1;
}

/* The byte of a token text of the form <0xHH>, or -1. */
static int byte_token_value(struct text t)
{
    if (t.n != 6 || memcmp(t.p, "<0x", 3) || t.p[5] != '>')
        return -1;
    int value = 0;
    for (int i = 3; i < 5; i++) {
        const char c = t.p[i];
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                                 : -1;
        if (digit < 0)
            return -1;
        value = 16 * value + digit;
    }
    return value;
}

static const char blank_mark[] = "\xe2\x96\x81"; /* U+2581 */

static void unescape(struct text t, struct buf *out)
{
    for (size_t i = 0; i < t.n;) {
        if (t.n - i >= 3 && !memcmp(t.p + i, blank_mark, 3)) {
            buf_add(out, " ", 1);
            i += 3;
            continue;
        }
        const char *mark = memchr(t.p + i + 1, blank_mark[0], t.n - i - 1);
        const size_t end = mark ? (size_t)(mark - t.p) : t.n;
        buf_add(out, t.p + i, end - i);
        i = end;
    }
}

enum { PIECES_MAX = 512 << 20 };

/* Stops, for the caller to refuse, when `out` has grown beyond PIECES_MAX: a token of n odd
 * letters would be shown n times. */
static void unletter(struct text t, struct buf *out)
{
    for (size_t i = 0; i < t.n && out->n <= PIECES_MAX;) {
        uint32_t cp;
        bool bad;
        const size_t len = text_decode(t.p + i, t.n - i, &cp, &bad);
        const int b = byte_of(cp);
        if (b >= 0) {
            const char c = (char)b;
            buf_add(out, &c, 1);
        } else { /* not of this alphabet: shown as such, with the token */
            buf_puts(out, "[UNK_BYTE_0x");
            char utf8[4];
            const size_t n = text_encode(cp, utf8);
            for (size_t k = 0; k < n; k++)
                buf_printf(out, "%02x", (unsigned char)utf8[k]);
            buf_add(out, t.p, t.n);
            buf_puts(out, "]");
        }
        i += len;
    }
}

static void piece_of(const struct tok_vocab *v, tok_id id, struct buf *out)
{
    const unsigned attr = v->attr[id];
    const struct text t = tok_text_at(v, id);
    const bool blanks = v->kind == KIND_SPM || v->flags & PRE_ESCAPE;
    int b;
    if (attr & ATTR_SHOWN)
        buf_add(out, t.p, t.n);
    else if (attr & ATTR_HIDDEN)
        return;
    else if (attr & ATTR_USER)
        buf_add(out, t.p, t.n);
    else if (attr & ATTR_BYTE && (b = byte_token_value(t)) >= 0)
        buf_add(out, (char[]){(char)b}, 1);
    else if (attr & ATTR_UNUSED)
        return;
    else if (blanks)
        unescape(t, out);
    else if (v->flags & PRE_RAW)
        buf_add(out, t.p, t.n);
    else
        unletter(t, out);
}

int tok_pieces_build(struct tok_vocab *v, struct err *e)
{
    struct buf all = {0};
    int rc = -1;
    v->piece_at = arena_alloc(&v->arena, ((size_t)v->n + 1) * sizeof *v->piece_at, 8);
    for (tok_id id = 0; v->piece_at && id < v->n; id++) {
        v->piece_at[id] = (uint32_t)all.n;
        piece_of(v, id, &all);
        if (all.n > PIECES_MAX) {
            err_set(e, ERR_LIMIT, "the tokens stand for more than %d bytes", (int)PIECES_MAX);
            goto done;
        }
    }
    v->piece = arena_alloc(&v->arena, all.n + 1, 1);
    if (!v->piece_at || !v->piece || all.failed) {
        err_set(e, ERR_MEMORY, "no memory for the vocabulary");
        goto done;
    }
    v->piece_at[v->n] = (uint32_t)all.n;
    if (all.n)
        memcpy(v->piece, all.p, all.n);
    rc = 0;
done:
    buf_free(&all);
    return rc;
}

/* What a lone byte becomes: its letter, or the token <0xHH> (or, without one, itself). */
void tok_byte_ids_build(struct tok_vocab *v)
{
    const bool letters = v->kind == KIND_BPE && !(v->flags & PRE_RAW);
    for (unsigned b = 0; b < 256; b++) {
        char name[8];
        if (letters) {
            const size_t n = tok_byte_letter((unsigned char)b, name);
            v->byte_id[b] = tok_find_plain(v, name, n);
            continue;
        }
        snprintf(name, sizeof name, "<0x%02X>", b);
        v->byte_id[b] = tok_find(v, name, 6);
        if (v->byte_id[b] >= 0 && v->attr[v->byte_id[b]] & ATTR_HIDDEN)
            v->byte_id[b] = -1;
        if (v->byte_id[b] < 0) {
            name[0] = (char)b;
            v->byte_id[b] = tok_find_plain(v, name, 1);
        }
    }
}

struct text tok_piece(const struct tok_vocab *v, tok_id id, bool show_special)
{
    if (id < 0 || id >= v->n)
        return (struct text){"", 0};
    if (show_special && v->attr[id] & ATTR_HIDDEN)
        return tok_text_at(v, id);
    return (struct text){v->piece + v->piece_at[id], v->piece_at[id + 1] - v->piece_at[id]};
}

struct text tok_text(const struct tok_vocab *v, tok_id id)
{
    return id < 0 || id >= v->n ? (struct text){"", 0} : tok_text_at(v, id);
}

/* ---- a whole list of ids ---------------------------------------------------------------- */

static bool starts(const char *p, const char *end, const char *what)
{
    const size_t n = strlen(what);
    return (size_t)(end - p) >= n && !memcmp(p, what, n);
}

/* Some vocabularies were made from text with blanks in front of punctuation; they are taken
 * out again in three passes over p[0..n), each on what the one before left. Returns the new n. */
static size_t clean_blanks(char *p, size_t n)
{
    size_t out = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == ' ' && i + 1 < n && memchr("?!.,", p[i + 1], 4))
            continue;
        p[out++] = p[i];
    }
    n = out;
    out = 0;
    for (size_t i = 0; i < n; i++) {
        if (starts(p + i, p + n, " ' ")) { /* a lone apostrophe loses both blanks */
            p[out++] = '\'';
            i += 2;
            continue;
        }
        p[out++] = p[i];
    }
    n = out;
    out = 0;
    for (size_t i = 0; i < n; i++) {
        if (starts(p + i, p + n, " 's") || starts(p + i, p + n, " 'm") ||
            starts(p + i, p + n, " 're") || starts(p + i, p + n, " 've"))
            continue;
        p[out++] = p[i];
    }
    return out;
}

void tok_decode(const struct tok_vocab *v, const tok_id *ids, size_t n, bool show_special,
                struct buf *out)
{
    const size_t from = out->n;
    for (size_t i = 0; i < n; i++) {
        struct text t = tok_piece(v, ids[i], show_special);
        if (i == 0 && v->space_prefix && t.n && t.p[0] == ' ') {
            t.p++;
            t.n--;
        }
        buf_add(out, t.p, t.n);
    }
    if (v->flags & PRE_CLEAN && !out->failed && out->n > from) {
        out->n = from + clean_blanks(out->p + from, out->n - from);
        out->p[out->n] = 0;
    }
}
