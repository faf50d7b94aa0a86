/* tools/tokenize.c - `chaski tokenize`: text on stdin, token ids on stdout. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "engine/tokenizer/tokenizer.h"
#include "gguf/gguf.h"
#include "tools/commands.h"

static const char usage[] =
    "Show the token ids of a text\n"
    "\n"
    "Usage:\n"
    "  chaski tokenize -m FILE [--special] [--bos] < TEXT\n"
    "\n"
    "Flags:\n"
    "  -m, --model FILE   GGUF file with the vocabulary\n"
    "      --special      the texts of special tokens are matched\n"
    "      --bos          add what the model wants before and after a text\n"
    "  -h, --help         help for tokenize\n"
    "\n"
    "The text is read from stdin as it is, no newline added or cut. The result is one line:\n"
    "a JSON list of ids.\n";

struct options {
    const char *file;
    bool special, bos, help;
};

/* 0, or -1 with `e` filled. */
static int parse(int argc, char **argv, struct options *o, struct err *e)
{
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        if (!strcmp(a, "-h") || !strcmp(a, "--help"))
            o->help = true;
        else if (!strcmp(a, "--special"))
            o->special = true;
        else if (!strcmp(a, "--bos"))
            o->bos = true;
        else if (!strncmp(a, "--model=", 8))
            o->file = a + 8;
        else if ((!strcmp(a, "-m") || !strcmp(a, "--model")) && i + 1 < argc)
            o->file = argv[++i];
        else if (!strcmp(a, "-m") || !strcmp(a, "--model"))
            return err_set(e, ERR_INPUT, "flag needs an argument: %s", a);
        else if (a[0] == '-')
            return err_set(e, ERR_INPUT, "unknown flag: %s", a);
        else
            return err_set(e, ERR_INPUT, "unexpected argument \"%s\": the text is read from stdin",
                           a);
    }
    if (!o->help && !o->file)
        return err_set(e, ERR_INPUT, "a model file is needed: -m FILE");
    return 0;
}

static int read_all(FILE *in, struct buf *text, struct err *e)
{
    char part[65536];
    size_t n;
    while ((n = fread(part, 1, sizeof part, in)) > 0)
        buf_add(text, part, n);
    if (ferror(in))
        return err_set(e, ERR_IO, "read stdin: %s", strerror(errno));
    if (text->failed)
        return err_set(e, ERR_MEMORY, "no memory for the text");
    return 0;
}

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

static int run(const struct options *o, struct err *e)
{
    struct buf text = {0};
    struct tok_ids ids = {0};
    struct tok_vocab *v = NULL;
    int rc = -1;

    struct gguf *g = gguf_open(o->file, e);
    if (!g)
        goto done;
    v = tok_vocab_new(g, e);
    gguf_close(g);
    if (!v || read_all(stdin, &text, e))
        goto done;
    const struct text_span whole = {0, text.n};
    if (o->bos && tok_add_before(v, &ids, e))
        goto done;
    if (text.n && tok_encode(v, text.p, text.n, &whole, o->special ? 1 : 0, &ids, e))
        goto done;
    if (o->bos && tok_add_after(v, &ids, e))
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
    struct options o = {0};
    struct err e = {0};
    if (parse(argc, argv, &o, &e)) {
        fprintf(stderr, "Error: %s\n", e.text);
        return 2;
    }
    if (o.help) {
        fputs(usage, stdout);
        return 0;
    }
    if (run(&o, &e)) {
        fprintf(stderr, "Error: %s\n", e.text);
        return 1;
    }
    return 0;
}
