/* tools/logits.c - `chaski logits`: the logits of every position of a list of token ids. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/engine.h"
#include "tools/commands.h"

static const char help[] =
    "Compute the logits of every position of a list of tokens\n"
    "\n"
    "Usage:\n"
    "  chaski logits -m FILE --tokens IDS.i32 --out LOGITS.f32 [flags]\n"
    "\n"
    "Flags:\n"
    "  -m, --model FILE     the GGUF file\n"
    "      --tokens FILE    token ids, little-endian int32\n"
    "      --out FILE       logits, little-endian float32, a row of n_vocab for each position\n"
    "      --threads N      threads (default: as many as this machine gives)\n"
    "      --batch N        rows of a step at most (default 512)\n"
    "      --kv f16|f32     type of the key-value cache (default f16)\n"
    "  -h, --help           this text\n"
    "\n"
    "Environment Variables:\n"
    "      CHASKI_ISA       kernels to use (default: the best for this CPU)\n";

static int fail(const char *text)
{
    fprintf(stderr, "Error: %s\n", text);
    return 1;
}

static int usage(const char *text)
{
    fprintf(stderr, "Error: %s\nUse \"chaski logits --help\" for more information.\n", text);
    return 2;
}

static tok_id *read_ids(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    tok_id *ids = NULL;
    size_t cap = 0;
    *n = 0;
    for (;;) {
        unsigned char b[4];
        const size_t got = fread(b, 1, 4, f);
        if (got == 0)
            break;
        if (got != 4)
            goto bad;
        if (*n == cap) {
            cap = cap ? 2 * cap : 1024;
            tok_id *q = realloc(ids, cap * sizeof *q);
            if (!q)
                goto bad;
            ids = q;
        }
        ids[(*n)++] = (tok_id)((uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
                               (uint32_t)b[3] << 24);
    }
    fclose(f);
    return ids;
bad:
    free(ids);
    fclose(f);
    return NULL;
}

int cmd_logits(int argc, char **argv)
{
    const char *path = NULL, *tokens = NULL, *out = NULL;
    struct model_config cfg = {.isa = getenv("CHASKI_ISA")};
    static const struct option longs[] = {{"model", 1, 0, 'm'},   {"tokens", 1, 0, 't'},
                                          {"out", 1, 0, 'o'},     {"threads", 1, 0, 'n'},
                                          {"batch", 1, 0, 'b'},   {"kv", 1, 0, 'k'},
                                          {"help", 0, 0, 'h'},    {0}};
    for (int c; (c = getopt_long(argc, argv, "m:h", longs, NULL)) != -1;) {
        switch (c) {
        case 'm': path = optarg; break;
        case 't': tokens = optarg; break;
        case 'o': out = optarg; break;
        case 'n':
        case 'b': {
            char *end;
            const long v = strtol(optarg, &end, 10);
            if (*end || !*optarg || v < 1 || v > 65536)
                return usage(c == 'n' ? "--threads wants a number from 1 to 65536"
                                      : "--batch wants a number from 1 to 65536");
            if (c == 'n')
                cfg.n_threads = (int)v;
            else
                cfg.n_batch = (int)v;
            break;
        }
        case 'k':
            if (strcmp(optarg, "f16") && strcmp(optarg, "f32"))
                return usage("--kv wants f16 or f32");
            cfg.kv_f32 = !strcmp(optarg, "f32");
            break;
        case 'h': fputs(help, stdout); return 0;
        default: return 2;
        }
    }
    if (optind < argc || !path || !tokens || !out)
        return usage("-m FILE, --tokens IDS.i32 and --out LOGITS.f32 are wanted");

    int rc = 1;
    struct err e = {0};
    struct seq *s = NULL;
    float *logits = NULL;
    FILE *f = NULL;
    size_t n = 0;
    struct model *m = NULL;
    tok_id *ids = read_ids(tokens, &n);
    if (!ids || !n)
        return free(ids), fail("the file of tokens cannot be read, is empty, or is no list of int32");
    m = model_open(path, &cfg, &e);
    if (!m || !(s = seq_new(m, &e)))
        goto done;
    const size_t n_vocab = (size_t)model_n_vocab(m);
    /* In pieces, so that a long list does not need all logits in memory. */
    enum { PIECE = 512 };
    logits = malloc(PIECE * n_vocab * sizeof *logits);
    f = fopen(out, "wb");
    if (!logits || !f) {
        err_set(&e, ERR_IO, f ? "no memory for the logits" : "the output file cannot be written");
        goto done;
    }
    for (size_t i = 0; i < n; i += PIECE) {
        const int k = (int)(n - i < PIECE ? n - i : PIECE);
        if (seq_eval(s, ids + i, k, logits, k, &e))
            goto done;
        if (fwrite(logits, n_vocab * sizeof *logits, (size_t)k, f) != (size_t)k) {
            err_set(&e, ERR_IO, "writing the logits failed");
            goto done;
        }
    }
    rc = 0;
done:
    if (f && fclose(f) && rc == 0) {
        err_set(&e, ERR_IO, "writing the logits failed");
        rc = 1;
    }
    free(logits);
    free(ids);
    seq_free(s);
    model_close(m);
    return rc ? fail(e.text) : 0;
}
