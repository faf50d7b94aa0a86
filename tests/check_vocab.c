/* tests/check_vocab.c - the tokenizer behind a line format, for tests that run thousands of
 * cases against one loaded vocabulary (tests/run_vocabs.py).
 *
 *   check_vocab FILE.gguf      requests on stdin, one answer line each:
 *   t HEX    ids of the bytes; no special tokens in the text
 *   s HEX    the same, all of the text trusted
 *   b        ids that are added before a text, then " / ", then those after
 *   d ID,ID  HEX of the detokenized bytes, specials shown
 *   p ID     HEX of the piece with specials shown, " ", without, " ", 1 if it ends generation */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/tokenizer/tokenizer.h"

static void put_ids(const struct tok_ids *ids)
{
    for (size_t i = 0; i < ids->n; i++)
        printf("%s%d", i ? "," : "", (int)ids->ids[i]);
}

static void put_hex(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        printf("%02x", (unsigned char)p[i]);
}

static int digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

static int answer(const struct tok_vocab *v, char *line, struct err *e)
{
    struct tok_ids ids = {0};
    struct buf bytes = {0};
    int rc = -1;
    char *arg = line + 2;
    switch (line[0]) {
    case 't':
    case 's':
        for (; arg[0] > ' ' && arg[1] > ' '; arg += 2)
            buf_add(&bytes, (char[]){(char)(digit(arg[0]) * 16 + digit(arg[1]))}, 1);
        const struct text_span whole = {0, bytes.n};
        if (bytes.n && tok_encode(v, bytes.p, bytes.n, &whole, line[0] == 's', &ids, e))
            goto done;
        put_ids(&ids);
        break;
    case 'b':
        if (tok_add_before(v, &ids, e))
            goto done;
        put_ids(&ids);
        printf(" / ");
        ids.n = 0;
        if (tok_add_after(v, &ids, e))
            goto done;
        put_ids(&ids);
        break;
    case 'd':
        while (*arg > ' ') {
            if (tok_ids_add(&ids, (tok_id)strtol(arg, &arg, 10), e))
                goto done;
            if (*arg == ',')
                arg++;
        }
        tok_decode(v, ids.ids, ids.n, true, &bytes);
        put_hex(bytes.p, bytes.n);
        break;
    case 'p': {
        const tok_id id = (tok_id)strtol(arg, NULL, 10);
        const struct text shown = tok_piece(v, id, true), plain = tok_piece(v, id, false);
        put_hex(shown.p, shown.n);
        printf(" ");
        put_hex(plain.p, plain.n);
        printf(" %d", tok_is_eog(v, id));
        break;
    }
    default:
        err_set(e, ERR_INPUT, "unknown request \"%s\"", line);
        goto done;
    }
    rc = 0;
done:
    printf("\n");
    tok_ids_free(&ids);
    buf_free(&bytes);
    return rc;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct gguf *g = argc == 2 ? gguf_open(argv[1], &e) : NULL;
    const int64_t t0 = time_mono_ns();
    struct tok_vocab *v = g ? tok_vocab_new(g, &e) : NULL;
    gguf_close(g);
    if (!v) {
        fprintf(stderr, "check_vocab: %s\n", argc == 2 ? e.text : "one GGUF file is wanted");
        return 2;
    }
    fprintf(stderr, "%d tokens, %.1f ms, %zu KiB\n", (int)tok_n_vocab(v),
            (double)(time_mono_ns() - t0) / 1e6, tok_vocab_bytes(v) >> 10);
    char *line = NULL;
    size_t cap = 0;
    int rc = 0;
    while (!rc && getline(&line, &cap, stdin) > 0)
        if (answer(v, line, &e)) {
            fprintf(stderr, "check_vocab: %s\n", e.text);
            rc = 1;
        }
    free(line);
    tok_vocab_free(v);
    return rc;
}
