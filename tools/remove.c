/* tools/remove.c - `chaski rm`, `chaski stop`, `chaski cp`. Facts: shared/spec/cli.md 2. */
#include <stdio.h>
#include <string.h>
#include "tools/args.h"
#include "tools/client.h"
#include "tools/commands.h"
#include "tools/text.h"

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

static int rm(struct client *c, char **words, int n, struct err *e)
{
    for (int i = 0; i < n; i++)
        if (remove_one(c, words[i], e))
            return -1;
    return 0;
}

int cmd_rm(int argc, char **argv)
{
    const struct command spec = {"rm", "MODEL [MODEL...]", "Remove a model", 1, ARG_ANY,
                                 NULL, client_env};
    return client_command(&spec, argc, argv, rm);
}

static int stop(struct client *c, char **words, int n, struct err *e)
{
    (void)n;
    if (!unload(c, words[0], e))
        return 0;
    return client_status(c) == 404
               ? err_set(e, ERR_NOT_FOUND, "couldn't find model \"%s\" to stop", words[0])
               : -1;
}

int cmd_stop(int argc, char **argv)
{
    const struct command spec = {"stop", "MODEL", "Stop a running model", 1, 1, NULL, client_env};
    return client_command(&spec, argc, argv, stop);
}

static int cp(struct client *c, char **words, int n, struct err *e)
{
    (void)n;
    if (call(c, "POST", "/api/copy",
             json_pack("{s:s, s:s}", "source", words[0], "destination", words[1]), e))
        return -1;
    printf("copied '");
    out_text(stdout, words[0]);
    printf("' to '");
    out_text(stdout, words[1]);
    puts("'");
    return 0;
}

int cmd_cp(int argc, char **argv)
{
    const struct command spec = {"cp",      "SOURCE DESTINATION", "Copy a model", 2, 2, NULL,
                                 client_env};
    return client_command(&spec, argc, argv, cp);
}
