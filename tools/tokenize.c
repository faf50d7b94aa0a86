/* tools/tokenize.c - `chaski tokenize`: text on stdin, token ids on stdout. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "engine/tokenizer/tokenizer.h"
#include "gguf/gguf.h"
#include "tools/args.h"
#include "tools/commands.h"
#include "tools/input.h"

enum { MAX_TEXT = 256 << 20 };

static int print_ids(const struct tok_ids *ids, struct err *e)
{
    struct buf line = {0};
    for (size_t i = 0; i < ids->n; i++)
        buf_printf(&line, "%s%d", i ? ", " : "[", (int)ids->ids[i]);
    buf_puts(&line, ids->n ? "]\n" : "[]\n");
    int rc = 0;
    if (line.failed)
        rc = err_set(e, ERR_MEMORY, "no memory for %zu ids", ids->n);
    else if (fwrite(line.p, 1, line.n, stdout) != line.n || fflush(stdout))
        rc = err_set(e, ERR_IO, "write stdout: %s", strerror(errno));
    buf_free(&line);
    return rc;
}

static int tokenize(const char *file, bool special, bool bos, struct err *e)
{
    struct buf text = {0};
    struct tok_ids ids = {0};
    struct tok_vocab *v = NULL;
    int rc = -1;

    struct gguf *g = gguf_open(file, e);
    if (!g)
        goto done;
    v = tok_vocab_new(g, e);
    gguf_close(g);
    if (!v || input_read(stdin, "stdin", MAX_TEXT, &text, e))
        goto done;
    const struct text_span whole = {0, text.n};
    if (bos && tok_add_before(v, &ids, e))
        goto done;
    if (text.n && tok_encode(v, text.p, text.n, &whole, special ? 1 : 0, &ids, e))
        goto done;
    if (bos && tok_add_after(v, &ids, e))
        goto done;
    rc = print_ids(&ids, e);
done:
    tok_vocab_free(v);
    tok_ids_free(&ids);
    buf_free(&text);
    return rc;
}

int cmd_tokenize(int argc, char **argv)
{
    const char *file = NULL;
    bool special = false, bos = false;
    const struct arg_flag flags[] = {
        {"model", 'm', ARG_TEXT, &file, "GGUF file with the vocabulary"},
        {"special", 0, ARG_BOOL, &special, "the texts of special tokens are matched"},
        {"bos", 0, ARG_BOOL, &bos, "add what the model wants before and after a text"},
        {0},
    };
    const struct command about = {
        .name = "tokenize",
        .use = "-m FILE < TEXT",
        .about =
            "Show the token ids of a text: stdin as it is, no newline added or cut; a JSON list",
        .flags = flags,
    };
    int words;
    const int status = args_parse(&about, argc, argv, &words);
    if (status >= 0)
        return status;
    if (!file)
        return fail_with(EXIT_USAGE, "-m FILE is wanted");
    struct err e = {0};
    if (tokenize(file, special, bos, &e))
        return fail_with(EXIT_FAILED, "%s", e.text);
    return EXIT_OK;
}
