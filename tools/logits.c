/* tools/logits.c - `chaski logits`: the logits of every position of a list of token ids. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/engine.h"
#include "tools/args.h"
#include "tools/commands.h"

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

/* An embedding model: one row, the pooled vector. */
static int write_vector(struct model *m, const tok_id *ids, size_t n, const char *path,
                        struct err *e)
{
    const size_t width = (size_t)model_n_embd(m);
    float *v = malloc(width * sizeof *v);
    FILE *f = fopen(path, "wb");
    int rc = -1;
    if (!v || !f)
        err_set(e, ERR_IO, f ? "no memory for the vector" : "the output file cannot be written");
    else if (!model_embed(m, ids, n > INT32_MAX ? INT32_MAX : (int)n, v, e))
        rc = fwrite(v, sizeof *v, width, f) == width
                 ? 0 : err_set(e, ERR_IO, "writing the vector failed");
    if (f && fclose(f) && !rc)
        rc = err_set(e, ERR_IO, "writing the vector failed");
    free(v);
    return rc;
}

int cmd_logits(int argc, char **argv)
{
    const char *path = NULL, *tokens = NULL, *out = NULL, *kv = "f16",
               *numerics = getenv("CHASKI_NUMERICS");
    long threads = 0, batch = 512;
    const struct arg_flag flags[] = {
        {"model", 'm', ARG_TEXT, &path, "the GGUF file"},
        {"tokens", 0, ARG_TEXT, &tokens, "token ids, little-endian int32"},
        {"out", 0, ARG_TEXT, &out, "logits, little-endian float32, a row of n_vocab a position"},
        {"threads", 0, ARG_INT, &threads, "threads (0: as many as this machine gives)"},
        {"batch", 0, ARG_INT, &batch, "rows of a step at most (default 512)"},
        {"numerics", 0, ARG_TEXT, &numerics,
         "exact (default), or fast: prompts in bf16, outside the contract of bits"},
        {"kv", 0, ARG_TEXT, &kv, "type of the key-value cache: f16 (default), f32, q8_0 or q4_0"},
        {0},
    };
    static const char *const env[] = {"CHASKI_ISA", "Kernels to use (default: the best for this CPU)",
                                      "CHASKI_PACK_CACHE",
                                      "Folder that keeps packed weights: the next load is quick",
                                      "CHASKI_NUMERICS", "exact or fast, as --numerics",
                                      NULL};
    const struct command about = {
        .name = "logits",
        .use = "-m FILE --tokens IDS.i32 --out LOGITS.f32",
        .about = "Compute the logits of every position of a list of tokens; of an embedding model, the vector",
        .flags = flags,
        .env = env,
    };
    int words;
    const int status = args_parse(&about, argc, argv, &words);
    if (status >= 0)
        return status;
    if (!path || !tokens || !out)
        return fail_with(EXIT_USAGE, "-m FILE, --tokens IDS.i32 and --out LOGITS.f32 are wanted");
    if (threads < 0 || threads > 1024 || batch < 1 || batch > 65536)
        return fail_with(EXIT_USAGE, "--threads wants 0 to 1024, --batch 1 to 65536");
    enum eng_kv type;
    if (eng_kv_of(kv, &type))
        return fail_with(EXIT_USAGE, "--kv wants f16, f32, q8_0 or q4_0");
    bool fast = false;
    if (numerics && *numerics && eng_numerics_of(numerics, &fast))
        return fail_with(EXIT_USAGE, "--numerics wants exact or fast");
    const struct model_config cfg = {.isa = getenv("CHASKI_ISA"),
                                     .pack_cache = getenv("CHASKI_PACK_CACHE"),
                                     .n_threads = (int)threads,
                                     .n_batch = (int)batch,
                                     .kv = type,
                                     .fast = fast};

    int rc = 1;
    struct err e = {0};
    struct seq *s = NULL;
    float *logits = NULL;
    FILE *f = NULL;
    size_t n = 0;
    struct model *m = NULL;
    tok_id *ids = read_ids(tokens, &n);
    if (!ids || !n)
        {
        free(ids);
        return fail_with(EXIT_FAILED, "%s: no list of int32, or it cannot be read", tokens);
    }
    m = model_open(path, &cfg, &e);
    if (!m || !(s = seq_new(m, &e)))
        goto done;
    if (model_embeds(m)) {
        rc = write_vector(m, ids, n, out, &e);
        goto done;
    }
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
    return rc ? fail_with(EXIT_FAILED, "%s", e.text) : 0;
}
