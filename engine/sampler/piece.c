/* engine/sampler/piece.c - text out: whole characters, and nothing of a stop string.
 *
 * Held bytes are a tail that is not decided yet: an incomplete character, or the start of a stop
 * string. The earliest stop string wins; text before it goes out, the rest is dropped. */
#include "engine/sampler/sampler.h"

#include <string.h>

/* Bytes at the end of p[0..n) that may still become a character: 0..3. */
static size_t incomplete_tail(const char *p, size_t n)
{
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        const unsigned char c = (unsigned char)p[n - back];
        if (c >= 0xc2 && c <= 0xf4) { /* a lead byte: is its character complete? */
            const size_t want = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
            if (want <= back)
                return 0;
            if (back >= 2) { /* a second byte that can never be right decides at once */
                const unsigned char d = (unsigned char)p[n - back + 1];
                if ((c == 0xe0 && d < 0xa0) || (c == 0xed && d >= 0xa0) || (c == 0xf0 && d < 0x90) ||
                    (c == 0xf4 && d >= 0x90))
                    return 0;
            }
            return back;
        }
        if ((c & 0xc0) != 0x80)
            return 0;
    }
    return 0;
}

static void put_characters(const char *p, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        bool bad;
        const size_t len = text_decode(p + i, n - i, &cp, &bad);
        if (bad)
            buf_add(out, "\xef\xbf\xbd", 3);
        else
            buf_add(out, p + i, len);
        i += len;
    }
}

static void give_front(struct piece *p, size_t n, struct buf *out)
{
    if (!n)
        return;
    put_characters(p->held.p, n, out);
    memmove(p->held.p, p->held.p + n, p->held.n - n + 1);
    p->held.n -= n;
    p->n_out += n;
}

/* Does p[0..n) begin with `stop`, or could it once more bytes come? */
static bool may_begin(const char *p, size_t n, const char *stop, bool *whole)
{
    const size_t len = strlen(stop);
    *whole = n >= len && !memcmp(p, stop, len);
    return *whole || (n < len && !memcmp(p, stop, n));
}

void piece_add(struct piece *p, const char *bytes, size_t n, struct buf *out)
{
    if (p->stopped)
        return;
    buf_add(&p->held, bytes, n);
    p->n_in += n;
    if (p->held.failed || !p->held.n)
        return;
    const size_t ready = p->held.n - incomplete_tail(p->held.p, p->held.n);
    for (size_t i = 0; i < ready; i++) {
        bool some = false, whole = false;
        for (int s = 0; s < p->n_stops && !whole; s++) {
            some |= may_begin(p->held.p + i, p->held.n - i, p->stops[s], &whole);
            p->stop = whole ? p->stops[s] : NULL;
        }
        if (!some)
            continue;
        give_front(p, i, out);
        if (whole) {
            p->stopped = true;
            buf_free(&p->held);
        }
        return;
    }
    give_front(p, ready, out);
}

void piece_end(struct piece *p, struct buf *out)
{
    if (!p->stopped && p->held.n)
        give_front(p, p->held.n - incomplete_tail(p->held.p, p->held.n), out);
    buf_free(&p->held);
}

void piece_free(struct piece *p)
{
    buf_free(&p->held);
}
