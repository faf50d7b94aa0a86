/* tests/fuzz/walk.h - a random walk through a grammar, for the targets that make one. */
#ifndef CHASKI_FUZZ_WALK_H
#define CHASKI_FUZZ_WALK_H

#include <stdlib.h>
#include <string.h>
#include "engine/grammar/grammar.h"

/* Tokens: each byte, and a few longer ones. */
static struct text walk_piece(void *arg, int32_t id)
{
    static char bytes[256];
    static const char *const longer[] = {"\":", "{\"", "\", \"", "true", "null", "12", "abc", "}]", "\xc3\xa9", "\n  "};
    (void)arg;
    if (id >= 256)
        return (struct text){longer[id - 256], strlen(longer[id - 256])};
    bytes[id] = (char)id;
    return (struct text){bytes + id, 1};
}
enum { WALK_TOKENS = 266 };

/* Steps as the bytes of `data` say, into `said`. The mask must say what stepping says. Returns
 * whether the text is one of the grammar's. */
static bool walk(struct grammar *g, const uint8_t *data, size_t n, int n_steps, struct buf *said)
{
    struct err e = {0};
    struct grammar_vocab *v = grammar_vocab_new(WALK_TOKENS, walk_piece, NULL, &e);
    uint32_t at = grammar_start(g), h = 2166136261u;
    bool may_end = false;
    for (int i = 0; v && i < n_steps; i++) {
        int32_t some[WALK_TOKENS];
        uint64_t mask[(WALK_TOKENS + 63) / 64];
        const uint64_t *got = grammar_mask(g, v, at);
        size_t n_some = 0;
        if (!got)
            break;
        memcpy(mask, got, sizeof mask);
        for (int32_t t = 0; t < WALK_TOKENS; t++) {
            const struct text p = walk_piece(NULL, t);
            const bool lives = grammar_steps(g, at, p.p, p.n) != GRAMMAR_DEAD;
            if (lives != (mask[t / 64] >> (t % 64) & 1) && !grammar_failed(g))
                abort();
            if (lives)
                some[n_some++] = t;
        }
        may_end = grammar_may_end(g, at);
        h = (h ^ (n ? data[(size_t)i % n] : 0)) * 16777619u + (uint32_t)i;
        if (grammar_failed(g) || !n_some || (may_end && h % 5 == 0))
            break;
        const struct text p = walk_piece(NULL, some[(h >> 8) % n_some]);
        buf_add(said, p.p, p.n);
        at = grammar_rest(g, grammar_steps(g, at, p.p, p.n));
        may_end = at != GRAMMAR_DEAD && grammar_may_end(g, at);
        if (at == GRAMMAR_DEAD)
            break;
    }
    grammar_vocab_free(v);
    return may_end && !grammar_failed(g);
}
#endif
