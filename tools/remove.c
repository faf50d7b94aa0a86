/* tools/remove.c - `chaski rm`, `chaski stop`, `chaski cp`. Facts: shared/spec/cli.md 2. */
#include <stdio.h>
#include <string.h>
#include "tools/args.h"
#include "tools/client.h"
#include "tools/commands.h"
#include "tools/text.h"

static const char *const env[] = {"OLLAMA_HOST", "address of the server (default 127.0.0.1:11434)",
                                  NULL};

/* One JSON call whose answer does not matter; takes `in`. */
static int call(struct client *c, const char *method, const char *path, json_t *in, struct err *e)
{
    if (!in)
        return err_set(e, ERR_INPUT, "invalid model name");
    const int rc = client_json(c, method, path, in, NULL, e);
    json_decref(in);
    return rc;
}

static int unload(struct client *c, const char *model, struct err *e)
{
    return call(c, "POST", "/api/generate",
                json_pack("{s:s, s:i, s:b}", "model", model, "keep_alive", 0, "stream", 0), e);
}

static int remove_one(struct client *c, const char *model, struct err *e)
{
    struct err ignored = {0};
    if (unload(c, model, &ignored) && client_status(c) != 404) {
        fputs("Warning: unable to stop model '", stderr);
        out_text(stderr, model);
        fputs("'\n", stderr);
    }
    if (call(c, "DELETE", "/api/delete", json_pack("{s:s}", "model", model), e))
        return -1;
    printf("deleted '");
    out_text(stdout, model);
    puts("'");
    return 0;
}

int cmd_rm(int argc, char **argv)
{
    const struct command spec = {"rm", "MODEL [MODEL...]", "Remove a model", 1, ARG_ANY, NULL, env};
    int n;
    const int status = args_parse(&spec, argc, argv, &n);
    if (status >= 0)
        return status;
    struct err e = {0};
    struct client *c = client_connect(&e);
    bool ok = c != NULL;
    for (int i = 0; ok && i < n; i++)
        ok = !remove_one(c, argv[i], &e);
    client_free(c);
    return ok ? EXIT_OK : fail_with(EXIT_FAILED, "%s", e.text);
}

int cmd_stop(int argc, char **argv)
{
    const struct command spec = {"stop", "MODEL", "Stop a running model", 1, 1, NULL, env};
    int n;
    const int status = args_parse(&spec, argc, argv, &n);
    if (status >= 0)
        return status;
    struct err e = {0};
    struct client *c = client_connect(&e);
    bool ok = c != NULL;
    if (ok && unload(c, argv[0], &e)) {
        ok = false;
        if (client_status(c) == 404)
            err_set(&e, ERR_NOT_FOUND, "couldn't find model \"%s\" to stop", argv[0]);
    }
    client_free(c);
    return ok ? EXIT_OK : fail_with(EXIT_FAILED, "%s", e.text);
}

int cmd_cp(int argc, char **argv)
{
    const struct command spec = {"cp", "SOURCE DESTINATION", "Copy a model", 2, 2, NULL, env};
    int n;
    const int status = args_parse(&spec, argc, argv, &n);
    if (status >= 0)
        return status;
    struct err e = {0};
    struct client *c = client_connect(&e);
    const bool ok = c && !call(c, "POST", "/api/copy",
                               json_pack("{s:s, s:s}", "source", argv[0], "destination", argv[1]),
                               &e);
    client_free(c);
    if (!ok)
        return fail_with(EXIT_FAILED, "%s", e.text);
    printf("copied '");
    out_text(stdout, argv[0]);
    printf("' to '");
    out_text(stdout, argv[1]);
    puts("'");
    return EXIT_OK;
}
