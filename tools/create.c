/* tools/create.c - `chaski create MODEL`: a Modelfile becomes a model of the server.
 *
 * Facts: shared/spec/cli.md 2 (create), modelfile-and-templates.md 1.2. Files are hashed here and
 * sent only if the server has no such blob; everything else goes in one request. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "engine/store/store.h"
#include "tools/args.h"
#include "tools/client.h"
#include "tools/commands.h"
#include "tools/input.h"
#include "tools/progress.h"

enum { MAX_MODELFILE = 64 << 20 };

struct creation {
    struct client *client;
    struct progress progress;
    json_t *request;
    char folder[4096]; /* of the Modelfile: relative paths start here */
};

static int put(json_t *o, const char *key, json_t *value, struct err *e)
{
    return json_object_set_new(o, key, value)
               ? err_set(e, ERR_INPUT, "\"%s\" is no valid text", key) : 0;
}

static int put_text(json_t *o, const char *key, const char *text, struct err *e)
{
    return put(o, key, json_string(text), e);
}

/* Append to the list o[key]; takes `value`. */
static int add_to(json_t *o, const char *key, json_t *value, struct err *e)
{
    json_t *list = json_object_get(o, key);
    if (!list) {
        if (put(o, key, json_array(), e)) {
            json_decref(value);
            return -1;
        }
        list = json_object_get(o, key);
    }
    return json_array_append_new(list, value)
               ? err_set(e, ERR_INPUT, "\"%s\" is no valid text", key) : 0;
}

/* ---- files ---------------------------------------------------------------------- */

/* Where a path of the Modelfile points to. */
static int resolve(const struct creation *c, const char *path, char *out, size_t cap, struct err *e)
{
    int n;
    if (path[0] == '/') {
        n = snprintf(out, cap, "%s", path);
    } else if (path[0] == '~') {
        const size_t len = strcspn(path, "/");
        char user[128];
        snprintf(user, sizeof user, "%.*s", (int)(len - 1), path + 1);
        const struct passwd *pw = user[0] ? getpwnam(user) : NULL;
        const char *home = user[0] ? (pw ? pw->pw_dir : NULL) : getenv("HOME");
        if (!home)
            return err_set(e, ERR_INPUT, "%s: no such user", path);
        n = snprintf(out, cap, "%s%s", home, path + len);
    } else {
        n = snprintf(out, cap, "%s/%s", c->folder, path);
    }
    return n < 0 || (size_t)n >= cap ? err_set(e, ERR_INPUT, "the path is too long") : 0;
}

static int hash_file(struct creation *c, int fd, char digest[DIGEST_TEXT], struct err *e)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    int rc = -1;
    unsigned char *part = malloc(1 << 20);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!part || !ctx || !EVP_DigestInit_ex(ctx, EVP_sha256(), NULL)) {
        err_set(e, ERR_MEMORY, "out of memory");
        goto done;
    }
    for (;;) {
        const ssize_t n = read(fd, part, 1 << 20);
        if (n < 0) {
            err_set(e, ERR_IO, "cannot read: %s", strerror(errno));
            goto done;
        }
        if (!n)
            break;
        if (!EVP_DigestUpdate(ctx, part, (size_t)n))
            goto done;
        progress_tick(&c->progress);
    }
    if (!EVP_DigestFinal_ex(ctx, sum, NULL))
        goto done;
    snprintf(digest, DIGEST_TEXT, "sha256:");
    for (int i = 0; i < 32; i++)
        snprintf(digest + 7 + 2 * i, 3, "%02x", sum[i]);
    rc = 0;
done:
    EVP_MD_CTX_free(ctx);
    free(part);
    return rc;
}

struct copying {
    struct progress *progress;
    char message[DIGEST_TEXT + 16];
};

static void on_copied(void *arg, int64_t done, int64_t total)
{
    struct copying *c = arg;
    progress_bar(c->progress, c->message, done, total);
}

/* Hash a file, send it if the server lacks it, name it in request[key]. */
static int add_file(struct creation *c, const char *key, const char *path, struct err *e)
{
    char digest[DIGEST_TEXT];
    struct stat st;
    int rc = -1;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
        goto done;
    }
    progress_spin(&c->progress, "gathering model components");
    if (hash_file(c, fd, digest, e))
        goto done;
    const int has = client_has_blob(c->client, digest, e);
    if (has < 0)
        goto done;
    if (!has) {
        struct copying copying = {.progress = &c->progress};
        snprintf(copying.message, sizeof copying.message, "copying file %s", digest);
        if (lseek(fd, 0, SEEK_SET) < 0 ||
            client_send_blob(c->client, digest, fd, (int64_t)st.st_size, on_copied, &copying, e)) {
            if (!e->text[0])
                err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
            goto done;
        }
        on_copied(&copying, (int64_t)st.st_size, (int64_t)st.st_size);
    }
    json_t *files = json_object_get(c->request, key);
    if (!files) {
        if (put(c->request, key, json_object(), e))
            goto done;
        files = json_object_get(c->request, key);
    }
    const char *slash = strrchr(path, '/');
    rc = put_text(files, slash ? slash + 1 : path, digest, e);
done:
    if (fd >= 0)
        close(fd);
    return rc;
}

static int is_gguf_name(const struct dirent *d)
{
    const char *dot = strrchr(d->d_name, '.');
    return dot && !strcmp(dot, ".gguf");
}

static int add_folder(struct creation *c, const char *key, const char *folder, struct err *e)
{
    struct dirent **list = NULL;
    const int n = scandir(folder, &list, is_gguf_name, alphasort);
    int rc = n <= 0 ? err_set(e, ERR_INPUT, "no Modelfile or safetensors files found") : 0;
    for (int i = 0; i < n; i++) {
        char path[4096 + 300];
        snprintf(path, sizeof path, "%s/%s", folder, list[i]->d_name);
        if (!rc)
            rc = add_file(c, key, path, e);
        free(list[i]);
    }
    free(list);
    return rc;
}

/* FROM, ADAPTER: a path that exists is sent; for FROM anything else is a model's name. */
static int add_source(struct creation *c, const char *key, const char *arg, struct err *e)
{
    char path[4096];
    struct stat st;
    if (resolve(c, arg, path, sizeof path, e))
        return -1;
    if (stat(path, &st) != 0) {
        if (!strcmp(key, "files"))
            return put_text(c->request, "from", arg, e);
        return err_set(e, ERR_INPUT, "%s: %s", arg, strerror(errno));
    }
    return S_ISDIR(st.st_mode) ? add_folder(c, key, path, e) : add_file(c, key, path, e);
}

/* ---- the Modelfile ------------------------------------------------------------------ */

static int add_message(json_t *request, const char *arg, struct err *e)
{
    const char *colon = strstr(arg, ": ");
    if (!colon)
        return err_set(e, ERR_INPUT, "a message needs a role and a text");
    json_t *m = json_pack("{s:s%, s:s}", "role", arg, (size_t)(colon - arg), "content", colon + 2);
    return m ? add_to(request, "messages", m, e)
             : err_set(e, ERR_INPUT, "the message is no valid text");
}

static int add_command(struct creation *c, const struct modelfile_cmd *cmd, struct err *e)
{
    static const char *const texts[] = {"template", "system", "renderer", "parser", "requires"};
    if (cmd->is_parameter)
        return 0;
    if (!strcmp(cmd->name, "from"))
        return add_source(c, "files", cmd->arg, e);
    if (!strcmp(cmd->name, "adapter"))
        return add_source(c, "adapters", cmd->arg, e);
    if (!strcmp(cmd->name, "license"))
        return add_to(c->request, "license", json_string(cmd->arg), e);
    if (!strcmp(cmd->name, "message"))
        return add_message(c->request, cmd->arg, e);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!strcmp(cmd->name, texts[i]))
            return put_text(c->request, texts[i],
                            cmd->arg + (i == 4 && cmd->arg[0] == 'v'), e);
    return err_set(e, ERR_UNSUPPORTED, "%s is not supported in this version", cmd->name);
}

static int add_parameters(struct creation *c, const struct modelfile *m, struct err *e)
{
    json_t *old = json_array(), *params = modelfile_parameters(m, old, e), *name;
    size_t i;
    int rc = params ? 0 : -1;
    json_array_foreach(old, i, name)
        fprintf(stderr, "warning: parameter %s is deprecated\n", json_string_value(name));
    if (!rc && json_object_size(params))
        rc = put(c->request, "parameters", json_incref(params), e);
    json_decref(params);
    json_decref(old);
    return rc;
}

/* The text of the Modelfile; c->folder gets its folder. */
static int read_modelfile(struct creation *c, const char *path, struct buf *text, struct err *e)
{
    const bool named = path[0];
    FILE *f = fopen(named ? path : "Modelfile", "rb");
    if (!f && named)
        return err_set(e, ERR_INPUT, "specified Modelfile wasn't found");
    if (!f) {
        buf_puts(text, "FROM .\n");
        snprintf(c->folder, sizeof c->folder, ".");
        return 0;
    }
    const int rc = input_read(f, "the Modelfile", MAX_MODELFILE, text, e);
    fclose(f);
    const char *slash = strrchr(path, '/');
    snprintf(c->folder, sizeof c->folder, "%.*s", slash ? (int)(slash - path) : 1,
             slash ? path : ".");
    if (slash == path)
        snprintf(c->folder, sizeof c->folder, "/");
    return rc;
}

static int on_status(void *arg, const json_t *line)
{
    struct creation *c = arg;
    const char *status = json_string_value(json_object_get(line, "status"));
    const json_t *total = json_object_get(line, "total");
    if (status && json_is_number(total))
        progress_bar(&c->progress, status,
                     (int64_t)json_number_value(json_object_get(line, "completed")),
                     (int64_t)json_number_value(total));
    else if (status)
        progress_spin(&c->progress, status);
    return 0;
}

static int create(struct creation *c, const char *model, const char *file, const char *quantize,
                  struct err *e)
{
    struct buf text = {0};
    struct modelfile m = {0};
    int rc = -1;
    if (read_modelfile(c, file, &text, e) || modelfile_parse(text.p ? text.p : "", text.n, &m, e))
        goto done;
    c->request = json_object();
    if (!c->request || put_text(c->request, "model", model, e))
        goto done;
    if (*quantize && put_text(c->request, "quantize", quantize, e))
        goto done;
    if (!(c->client = client_connect(e)))
        goto done;
    client_set_tick(c->client, progress_tick, &c->progress);
    for (size_t i = 0; i < m.n_cmds; i++)
        if (add_command(c, &m.cmds[i], e))
            goto done;
    if (add_parameters(c, &m, e))
        goto done;
    rc = client_stream(c->client, "/api/create", c->request, on_status, c, e);
done:
    progress_end(&c->progress);
    modelfile_free(&m);
    buf_free(&text);
    json_decref(c->request);
    client_free(c->client);
    return rc;
}

int cmd_create(int argc, char **argv)
{
    const char *file = "", *quantize = "", *draft = "";
    bool experimental = false;
    const struct arg_flag flags[] = {
        {"file", 'f', ARG_TEXT, &file, "Name of the Modelfile (default \"Modelfile\")"},
        {"quantize", 'q', ARG_TEXT, &quantize, "Quantize model to this level (e.g. q4_K_M)"},
        {"draft-quantize", 0, ARG_TEXT, &draft, "Quantize the DRAFT model to this level"},
        {"experimental", 0, ARG_BOOL, &experimental, "Not in chaski"},
        {0},
    };
    const struct command spec = {"create", "MODEL", "Create a model", 1, 1, flags, client_env};
    int n;
    const int status = args_parse(&spec, argc, argv, &n);
    if (status >= 0)
        return status;
    if (experimental)
        return fail_with(EXIT_FAILED, "--experimental is not supported");
    if (*draft)
        return fail_with(EXIT_FAILED, "--draft-quantize requires a DRAFT model");
    struct err e = {0};
    struct store_name name;
    if (store_name_parse(argv[0], strlen(argv[0]), &name, &e))
        return fail_with(EXIT_FAILED, "invalid model name: %s", argv[0]);
    struct creation c = {0};
    progress_start(&c.progress);
    if (create(&c, argv[0], file, quantize, &e))
        return fail_with(EXIT_FAILED, "%s", e.text[0] ? e.text : "out of memory");
    return EXIT_OK;
}
