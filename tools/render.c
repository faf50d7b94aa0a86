/* tools/render.c - `chaski render`: a conversation on stdin, the prompt on stdout.
 *
 * The same template engine as the server's, without a server: for tests, and for people who want
 * to see what their model is asked. Facts: shared/spec (cli, section 6). */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/chat/chat.h"
#include "gguf/gguf.h"
#include "tools/args.h"
#include "tools/commands.h"
#include "tools/input.h"

enum { MAX_TEMPLATE = 16 << 20, MAX_CONVERSATION = 256 << 20 };

static struct chat_template *from_model(const char *path, struct err *e)
{
    struct chat_template *t = NULL;
    char *source = NULL;
    struct gguf *g = gguf_open(path, e);
    if (!g)
        return NULL;
    if (!chat_template_of(g, &source, e)) {
        if (source)
            t = chat_template_new(CHAT_JINJA, source, strlen(source), e);
        else
            err_set(e, ERR_INPUT, "%s has no chat template", path);
    }
    free(source);
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
    if (!input_read(f, path, MAX_TEMPLATE, &source, e))
        t = chat_template_new(jinja ? CHAT_JINJA : CHAT_GO, source.n ? source.p : "", source.n, e);
    fclose(f);
    buf_free(&source);
    return t;
}

static int render(struct chat_template *t, struct err *e)
{
    struct buf text = {0};
    struct chat_prompt prompt = {0};
    json_t *input = NULL;
    json_error_t je;
    int rc = -1;

    if (input_read(stdin, "stdin", MAX_CONVERSATION, &text, e))
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
    buf_free(&text);
    return rc;
}

int cmd_render(int argc, char **argv)
{
    const char *model = NULL, *template = NULL;
    const struct arg_flag flags[] = {
        {"model", 'm', ARG_TEXT, &model, "GGUF file with a chat template"},
        {"template", 0, ARG_TEXT, &template,
         "a template: .jinja is Jinja, everything else a Go template"},
        {0},
    };
    const struct command about = {
        .name = "render",
        .use = "-m FILE | --template FILE < CONVERSATION.json",
        .about =
            "Show the prompt that a template makes of a conversation\n\n"
            "The conversation is a JSON object; each key is a variable of the template (messages,\n"
            "tools, add_generation_prompt, bos_token, ...). \"$now\" is the time that "
            "strftime_now\n"
            "prints.",
        .flags = flags,
    };
    int words;
    const int status = args_parse(&about, argc, argv, &words);
    if (status >= 0)
        return status;
    if (!model == !template)
        return fail_with(EXIT_USAGE, "one of -m FILE and --template FILE is wanted");
    struct err e = {0};
    struct chat_template *t = model ? from_model(model, &e) : from_file(template, &e);
    const bool ok = t && !render(t, &e);
    chat_template_free(t);
    return ok ? EXIT_OK : fail_with(EXIT_FAILED, "%s", e.text);
}
