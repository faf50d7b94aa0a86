/* tools/render.c - `chaski render`: a conversation on stdin, the prompt on stdout.
 *
 * The same template engine as the server's, without a server: for tests, and for people who want
 * to see what their model is asked. Facts: shared/spec (cli, section 6). */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include "engine/chat/chat.h"
#include "gguf/gguf.h"
#include "tools/commands.h"

static const char usage[] =
    "Show the prompt that a template makes of a conversation\n"
    "\n"
    "Usage:\n"
    "  chaski render -m FILE.gguf < CONVERSATION.json\n"
    "  chaski render --template FILE < CONVERSATION.json\n"
    "\n"
    "Flags:\n"
    "  -m, --model FILE      GGUF file with a chat template\n"
    "      --template FILE   a template: .jinja is Jinja, everything else a Go template\n"
    "  -h, --help            help for render\n"
    "\n"
    "The conversation is a JSON object; each key is a variable of the template (messages, tools,\n"
    "add_generation_prompt, bos_token, ...). \"$now\" is the time that strftime_now prints.\n";

struct options {
    const char *model, *template;
    bool help;
};

/* Does `a` name the flag? Then its value is in *value: behind '=' or the next argument. */
static int take(int argc, char **argv, int *i, const char *flag, const char **value, struct err *e)
{
    const char *a = argv[*i];
    size_t n = strlen(flag);
    if (strncmp(a, flag, n) != 0 || (a[n] && a[n] != '='))
        return 0;
    if (a[n] == '=') {
        *value = a + n + 1;
        return 1;
    }
    if (*i + 1 >= argc)
        return err_set(e, ERR_INPUT, "flag needs an argument: %s", a);
    *value = argv[++*i];
    return 1;
}

static int parse(int argc, char **argv, struct options *o, struct err *e)
{
    for (int i = 1; i < argc; i++) {
        int rc = take(argc, argv, &i, "-m", &o->model, e);
        if (!rc)
            rc = take(argc, argv, &i, "--model", &o->model, e);
        if (!rc)
            rc = take(argc, argv, &i, "--template", &o->template, e);
        if (rc < 0)
            return rc;
        if (rc)
            continue;
        if (!strcmp(argv[i], "-h") || !strcmp(argv[i], "--help"))
            o->help = true;
        else
            return err_set(e, ERR_INPUT, "unknown flag or argument: %s", argv[i]);
    }
    if (!o->help && !o->model == !o->template)
        return err_set(e, ERR_INPUT, "one of -m FILE and --template FILE is needed");
    return 0;
}

static int read_all(FILE *in, const char *name, size_t limit, struct buf *text, struct err *e)
{
    char part[65536];
    size_t n;
    while ((n = fread(part, 1, sizeof part, in)) > 0) {
        buf_add(text, part, n);
        if (text->n > limit)
            return err_set(e, ERR_LIMIT, "%s: more than %zu bytes", name, limit);
    }
    if (ferror(in))
        return err_set(e, ERR_IO, "read %s: %s", name, strerror(errno));
    if (text->failed)
        return err_set(e, ERR_MEMORY, "%s: no memory", name);
    return 0;
}

static struct chat_template *from_model(const char *path, struct err *e)
{
    struct chat_template *t = NULL;
    struct text source = {0};
    struct gguf *g = gguf_open(path, e);
    if (!g)
        return NULL;
    int found = gguf_get_text(g, "tokenizer.chat_template", &source, e);
    if (!found)
        err_set(e, ERR_INPUT, "%s has no chat template", path);
    if (found == 1)
        t = chat_template_new(CHAT_JINJA, source.p, source.n, e);
    gguf_close(g);
    return t;
}

static struct chat_template *from_file(const char *path, struct err *e)
{
    struct chat_template *t = NULL;
    struct buf source = {0};
    size_t n = strlen(path);
    bool jinja = n > 6 && strcmp(path + n - 6, ".jinja") == 0;
    FILE *f = fopen(path, "rb");
    if (!f) {
        err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
        return NULL;
    }
    if (!read_all(f, path, (size_t)16 << 20, &source, e))
        t = chat_template_new(jinja ? CHAT_JINJA : CHAT_GO, source.n ? source.p : "", source.n, e);
    fclose(f);
    buf_free(&source);
    return t;
}

static int run(const struct options *o, struct err *e)
{
    struct buf text = {0};
    struct chat_prompt prompt = {0};
    json_t *input = NULL;
    json_error_t je;
    int rc = -1;

    struct chat_template *t = o->model ? from_model(o->model, e) : from_file(o->template, e);
    if (!t || read_all(stdin, "stdin", (size_t)256 << 20, &text, e))
        goto done;
    input = json_loadb(text.n ? text.p : "", text.n, JSON_ALLOW_NUL, &je);
    if (!input) {
        err_set(e, ERR_INPUT, "stdin: line %d, column %d: %s", je.line, je.column, je.text);
        goto done;
    }
    if (chat_render(t, input, &prompt, e))
        goto done;
    rc = 0;
    if (fwrite(prompt.text.p, 1, prompt.text.n, stdout) != prompt.text.n || fflush(stdout))
        rc = err_set(e, ERR_IO, "write stdout: %s", strerror(errno));
done:
    json_decref(input);
    chat_prompt_free(&prompt);
    chat_template_free(t);
    buf_free(&text);
    return rc;
}

int cmd_render(int argc, char **argv)
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
