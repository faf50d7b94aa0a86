/* tools/list.c - `chaski list` and `chaski ps`: the models of the store, and the loaded ones.
 *
 * Facts: shared/spec/cli.md 1.6 and 2. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "tools/args.h"
#include "tools/client.h"
#include "tools/commands.h"
#include "tools/human.h"
#include "tools/show.h"
#include "tools/text.h"

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static int64_t number_of(const json_t *o, const char *key)
{
    return (int64_t)json_number_value(json_object_get(o, key));
}

static void add_row(struct table *t, const char *const *cells)
{
    for (size_t i = 0; i < t->n_cols; i++)
        table_add(t, cells[i]);
}

static void short_id(const json_t *m, char out[16])
{
    const char *d = text_of(m, "digest");
    snprintf(out, 16, "%.12s", strncmp(d, "sha256:", 7) ? d : d + 7);
}

static int print_table(struct table *t, FILE *f, struct err *e)
{
    int rc = t->failed ? err_set(e, ERR_MEMORY, "out of memory") : 0;
    if (!rc)
        table_print(t, f, "");
    table_free(t);
    return rc;
}

int list_models(struct client *c, const char *prefix, FILE *f, struct err *e)
{
    static const char *const head[] = {"NAME", "ID", "SIZE", "MODIFIED"};
    struct table t = {.n_cols = 4};
    json_t *answer;
    if (client_json(c, "GET", "/api/tags", NULL, &answer, e))
        return -1;
    add_row(&t, head);
    size_t i;
    json_t *m;
    json_array_foreach(json_object_get(answer, "models"), i, m) {
        char id[16], size[HUMAN_TEXT], when[HUMAN_TEXT] = "Never";
        int64_t ns;
        if (strncasecmp(text_of(m, "name"), prefix, strlen(prefix)))
            continue;
        short_id(m, id);
        human_size(number_of(m, "size"), size);
        if (*text_of(m, "remote_model"))
            snprintf(size, sizeof size, "-");
        if (human_parse_time(text_of(m, "modified_at"), &ns))
            human_time(ns, time_real_ns(), when);
        add_row(&t, (const char *const[]){text_of(m, "name"), id, size, when});
    }
    json_decref(answer);
    return print_table(&t, f, e);
}

static void processor(int64_t size, int64_t vram, char out[32])
{
    if (vram == 0 && size > 0)
        snprintf(out, 32, "100%% CPU");
    else if (vram == size && size > 0)
        snprintf(out, 32, "100%% GPU");
    else if (vram > size || size <= 0)
        snprintf(out, 32, "Unknown");
    else {
        const int cpu = (int)lround(100.0 * (double)(size - vram) / (double)size);
        snprintf(out, 32, "%d%%/%d%% CPU/GPU", cpu, 100 - cpu);
    }
}

static int list_loaded(struct client *c, const char *prefix, struct err *e)
{
    static const char *const head[] = {"NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL"};
    struct table t = {.n_cols = 6};
    json_t *answer;
    if (client_json(c, "GET", "/api/ps", NULL, &answer, e))
        return -1;
    add_row(&t, head);
    size_t i;
    json_t *m;
    json_array_foreach(json_object_get(answer, "models"), i, m) {
        char id[16], size[HUMAN_TEXT], where[32], context[24], until[HUMAN_TEXT] = "Never";
        int64_t ns;
        if (strncmp(text_of(m, "name"), prefix, strlen(prefix)))
            continue;
        short_id(m, id);
        human_size(number_of(m, "size"), size);
        processor(number_of(m, "size"), number_of(m, "size_vram"), where);
        snprintf(context, sizeof context, "%lld", (long long)number_of(m, "context_length"));
        if (human_parse_time(text_of(m, "expires_at"), &ns)) {
            const int64_t now = time_real_ns();
            if (ns < now)
                snprintf(until, sizeof until, "Stopping...");
            else
                human_time(ns, now, until);
        }
        add_row(&t, (const char *const[]){text_of(m, "name"), id, size, where, context, until});
    }
    json_decref(answer);
    return print_table(&t, stdout, e);
}

static int list(struct client *c, char **words, int n, struct err *e)
{
    return list_models(c, n ? words[0] : "", stdout, e);
}

int cmd_list(int argc, char **argv)
{
    const struct command spec = {"list", "[PREFIX]", "List models", 0, 1, NULL, client_env};
    return client_command(&spec, argc, argv, list);
}

static int ps(struct client *c, char **words, int n, struct err *e)
{
    return list_loaded(c, n ? words[0] : "", e);
}

int cmd_ps(int argc, char **argv)
{
    const struct command spec = {"ps", "[PREFIX]", "List running models", 0, 1, NULL, client_env};
    return client_command(&spec, argc, argv, ps);
}
