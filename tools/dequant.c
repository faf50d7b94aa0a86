/* tools/dequant.c - `chaski dequant TYPE IN.bin OUT.f32`: raw blocks of a type to raw float32.
 *
 * Facts: shared/spec decisions.md 37. It is what the checker of the quant formats calls; the values
 * are those the engine computes with (kernels_dequant). OUT appears only when it is whole. */
#include "tools/args.h"
#include "tools/commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "gguf/base.h"
#include "gguf/types.h"
#include "kernels/kernels.h"

enum { BATCH = 1024 }; /* blocks a turn: keeps both buffers in the second cache */

static int find_type(const char *name, uint32_t *type, struct err *e)
{
    struct buf known = {0};
    for (uint32_t id = 0; id < TYPE_COUNT; id++) {
        const struct gguf_type_info *t = gguf_type_info(id);
        if (!t || (t->status != TYPE_LIVE && t->status != TYPE_PLAIN) || !t->block_bytes)
            continue;
        if (!strcmp(t->name, name)) {
            *type = id;
            buf_free(&known);
            return 0;
        }
        buf_printf(&known, " %s", t->name);
    }
    err_set(e, ERR_INPUT, "unknown type \"%s\"; these are known:%s", name,
            known.p ? known.p : "");
    buf_free(&known);
    return -1;
}

/* All of `in`, block by block. */
static int convert(FILE *in, FILE *out, uint32_t type, struct err *e)
{
    const struct gguf_type_info *t = gguf_type_info(type);
    unsigned char *blocks = malloc((size_t)BATCH * t->block_bytes);
    float *values = malloc((size_t)BATCH * t->block_elems * sizeof *values);
    int rc = -1;
    if (!blocks || !values) {
        err_set(e, ERR_MEMORY, "out of memory");
        goto done;
    }
    for (;;) {
        const size_t n = fread(blocks, 1, (size_t)BATCH * t->block_bytes, in);
        if (ferror(in)) {
            err_set(e, ERR_IO, "cannot read: %s", strerror(errno));
            goto done;
        }
        if (n % t->block_bytes) {
            err_set(e, ERR_INPUT, "the input is no whole number of blocks of %u bytes",
                    t->block_bytes);
            goto done;
        }
        if (!n)
            break;
        const size_t n_blocks = n / t->block_bytes, n_values = n_blocks * t->block_elems;
        if (kernels_dequant(type, blocks, n_blocks, values)) {
            err_set(e, ERR_UNSUPPORTED, "the type %s cannot be dequantized in this version",
                    t->name);
            goto done;
        }
        if (fwrite(values, sizeof *values, n_values, out) != n_values) {
            err_set(e, ERR_IO, "cannot write: %s", strerror(errno));
            goto done;
        }
    }
    rc = 0;
done:
    free(blocks);
    free(values);
    return rc;
}

int cmd_dequant(int argc, char **argv)
{
    struct err e = {0};
    uint32_t type;
    FILE *in = NULL, *out = NULL;
    char *part = NULL;
    int rc = 1;
    static const struct command about = {
        .name = "dequant",
        .use = "TYPE IN.bin OUT.f32",
        .about = "Turn raw blocks of a tensor type into raw little-endian float32",
        .min_words = 3,
        .max_words = 3,
    };
    int words;
    const int status = args_parse(&about, argc, argv, &words);
    if (status >= 0)
        return status;
    const char *type_name = argv[0], *from = argv[1], *to = argv[2];
    const size_t n = strlen(to) + 6;
    if (find_type(type_name, &type, &e))
        goto done;
    in = fopen(from, "rb");
    if (!in) {
        err_set(&e, ERR_IO, "%s: %s", from, strerror(errno));
        goto done;
    }
    part = malloc(n);
    if (!part) {
        err_set(&e, ERR_MEMORY, "out of memory");
        goto done;
    }
    snprintf(part, n, "%s.part", to);
    out = fopen(part, "wb");
    if (!out) {
        err_set(&e, ERR_IO, "%s: %s", part, strerror(errno));
        goto done;
    }
    int failed = convert(in, out, type, &e);
    if (fclose(out) && !failed)
        failed = err_set(&e, ERR_IO, "%s: %s", part, strerror(errno));
    out = NULL;
    if (!failed && rename(part, to))
        failed = err_set(&e, ERR_IO, "%s: %s", to, strerror(errno));
    if (failed)
        (void)unlink(part);
    else
        rc = 0;
done:
    if (rc)
        fprintf(stderr, "Error: %s\n", e.text);
    if (in)
        fclose(in);
    free(part);
    return rc;
}
