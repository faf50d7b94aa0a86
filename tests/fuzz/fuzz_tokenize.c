/* tests/fuzz/fuzz_tokenize.c - any text on toy vocabularies of both kinds; the first byte picks the
 * kind and the split. A byte-level vocabulary with all letters and no broken text must give the
 * text back, whatever it is, and control tokens only come from the trusted half. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "tests/toy_vocab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool claim)
{
    if (!claim)
        __builtin_trap();
}

static const char *const pres[] = {"gpt-2",  "llama-bpe", "qwen2",  "qwen35",   "deepseek-llm",
                                   "default", "gpt-4o",   "tekken", "tiny_aya", "superbpe",
                                   "kimi-k2", "exaone-moe", "jais-2", "chameleon", "afmoe"};
enum { N_PRES = sizeof pres / sizeof *pres };

static struct tok_vocab *make(unsigned which)
{
    static struct toy toy; /* large */
    if (which < N_PRES) {
        toy_bpe(&toy, pres[which]);
        toy_token(&toy, "ab", TOY_NORMAL, 0);
        toy_token(&toy, "abab", TOY_NORMAL, 0);
        toy_merge(&toy, "ab ab");
        toy_merge(&toy, "a b");
    } else {
        toy_spm(&toy);
        toy_token(&toy, "a", TOY_NORMAL, -1);
        toy_token(&toy, "b", TOY_NORMAL, -1);
        toy_token(&toy, "ab", TOY_NORMAL, -2);
        toy_token(&toy, "\xe2\x96\x81", TOY_NORMAL, -3);
    }
    toy_token(&toy, "<e>", TOY_CONTROL, 0);
    toy_token(&toy, "<e><e>x", TOY_USER, 0);
    toy_token(&toy, "\n\n", TOY_USER, 0);
    toy_token(&toy, "\n", TOY_USER, 0);
    struct err e = {0};
    struct tok_vocab *v = toy_make(&toy, &e);
    require(v != NULL);
    return v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct tok_vocab *made[N_PRES + 1];
    if (!n)
        return 0;
    const unsigned which = data[0] % (N_PRES + 1);
    if (!made[which])
        made[which] = make(which);
    const struct tok_vocab *v = made[which];
    const char *text = (const char *)data + 1;
    const struct text_span half = {n / 4, n / 2};
    struct tok_ids ids = {0};
    struct buf out = {0};
    struct err e = {0};
    n--;
    for (int trust = 0; trust < 2; trust++) {
        ids.n = out.n = 0;
        require(tok_encode(v, text, n, &half, (size_t)trust, &ids, &e) == 0);
        for (size_t i = 0; i < ids.n; i++) {
            require(ids.ids[i] >= 0 && ids.ids[i] < tok_n_vocab(v));
            require(trust || !tok_is_control(v, ids.ids[i]));
            const struct text piece = tok_piece(v, ids.ids[i], true);
            buf_add(&out, piece.p, piece.n);
        }
        if (which < N_PRES && text_is_utf8(text, n))
            require(out.n == n && !memcmp(out.n ? out.p : "", text, n));
    }
    tok_ids_free(&ids);
    buf_free(&out);
    return 0;
}
