/* tools/show.c - `chaski show MODEL`: what is known of one model.
 *
 * Facts: shared/spec/cli.md 2 (show). Unlike the reference long cells are not wrapped: a table in a
 * pipe is read by programs, and a terminal wraps by itself. */
#include "tools/show.h"

#include <stdlib.h>
#include <string.h>
#include "engine/store/store.h"
#include "tools/args.h"
#include "tools/client.h"
#include "tools/commands.h"
#include "tools/text.h"

json_t *show_fetch(struct client *c, const char *model, bool verbose, struct err *e)
{
    json_t *answer = NULL;
    json_t *in = json_pack("{s:s, s:b}", "model", model, "verbose", verbose);
    if (!in)
        err_set(e, ERR_INPUT, "invalid model name");
    else if (!client_json(c, "POST", "/api/show", in, &answer, e) && !answer)
        err_set(e, ERR_IO, "the server's answer is empty");
    json_decref(in);
    return answer;
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static void row(struct table *t, const char *key, const char *value)
{
    if (!*value)
        return;
    table_add(t, key);
    table_add(t, value);
}

static void row_number(struct table *t, const char *key, const json_t *v)
{
    char text[32];
    if (!json_is_number(v))
        return;
    snprintf(text, sizeof text, "%.0f", json_number_value(v));
    row(t, key, text);
}

/* A section: its title, its table, an empty line; nothing for an empty table. */
static int section(const char *title, struct table *t, FILE *f, struct err *e)
{
    int rc = t->failed ? err_set(e, ERR_MEMORY, "out of memory") : 0;
    if (!rc && t->n_cells) {
        fprintf(f, "  %s\n", title);
        table_print(t, f, "    ");
        putc('\n', f);
    }
    table_free(t);
    return rc;
}

static const json_t *info_of(const json_t *answer, const char *arch, const char *key)
{
    char full[160];
    snprintf(full, sizeof full, "%s.%s", arch, key);
    return json_object_get(json_object_get(answer, "model_info"), full);
}

static int print_model(const json_t *a, FILE *f, struct err *e)
{
    const json_t *details = json_object_get(a, "details");
    const json_t *info = json_object_get(a, "model_info");
    const char *arch = text_of(info, "general.architecture");
    struct table t = {.n_cols = 2};
    row(&t, "Remote model", text_of(a, "remote_model"));
    row(&t, "Remote URL", text_of(a, "remote_host"));
    row(&t, "architecture", *arch ? arch : text_of(details, "family"));
    const json_t *count = json_object_get(info, "general.parameter_count");
    if (*text_of(details, "parameter_size")) {
        row(&t, "parameters", text_of(details, "parameter_size"));
    } else if (json_is_number(count)) {
        char text[24];
        store_human_count((uint64_t)json_number_value(count), text);
        row(&t, "parameters", text);
    }
    row_number(&t, "context length", info_of(a, arch, "context_length"));
    row_number(&t, "embedding length", info_of(a, arch, "embedding_length"));
    table_add(&t, "quantization");
    table_add(&t, text_of(details, "quantization_level"));
    row(&t, "requires", text_of(a, "requires"));
    return section("Model", &t, f, e);
}

static int print_projector(const json_t *a, FILE *f, struct err *e)
{
    const json_t *info = json_object_get(a, "projector_info");
    const char *arch = text_of(info, "general.architecture");
    struct table t = {.n_cols = 2};
    if (!json_object_size(info))
        return 0;
    char text[24], key[96];
    row(&t, "architecture", arch);
    store_human_count(
        (uint64_t)json_number_value(json_object_get(info, "general.parameter_count")), text);
    row(&t, "parameters", text);
    snprintf(key, sizeof key, "%.60s.vision.embedding_length", arch);
    row_number(&t, "embedding length", json_object_get(info, key));
    snprintf(key, sizeof key, "%.60s.vision.projection_dim", arch);
    row_number(&t, "dimensions", json_object_get(info, key));
    return section("Projector", &t, f, e);
}

/* One row for each line, cut at white space into columns. */
static int print_parameters(const char *text, FILE *f, struct err *e)
{
    enum { MAX_COLS = 16 };
    struct table t = {0};
    for (int pass = 0; pass < 2; pass++) { /* first the number of columns, then the cells */
        char *copy = strdup(text), *save = NULL;
        if (!copy)
            return err_set(e, ERR_MEMORY, "out of memory");
        for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
            char *in = NULL;
            size_t n = 0;
            for (char *w = strtok_r(line, " \t", &in); w && n < MAX_COLS;
                 w = strtok_r(NULL, " \t", &in), n++)
                if (pass)
                    table_add(&t, w);
            for (; pass && n && n < t.n_cols; n++)
                table_add(&t, "");
            if (!pass && n > t.n_cols)
                t.n_cols = n;
        }
        free(copy);
    }
    return section("Parameters", &t, f, e);
}

/* The first two lines that are not empty, then "..." if there are more. */
static int print_head(const char *title, const char *text, FILE *f, struct err *e)
{
    struct table t = {.n_cols = 1};
    char *copy = strdup(text), *save = NULL;
    if (!copy)
        return err_set(e, ERR_MEMORY, "out of memory");
    for (char *line = strtok_r(copy, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save)) {
        line += strspn(line, " \t");
        size_t n = strlen(line);
        while (n && (line[n - 1] == ' ' || line[n - 1] == '\t'))
            line[--n] = 0;
        if (!n)
            continue;
        if (t.n_cells == 2) {
            table_add(&t, "...");
            break;
        }
        table_add(&t, line);
    }
    free(copy);
    return section(title, &t, f, e);
}

/* A value as the table shows it: a list until 10 characters are full, at least one item. */
static void value_text(const json_t *v, struct buf *out)
{
    size_t i, used = 0;
    json_t *item;
    if (json_is_string(v)) {
        buf_puts(out, json_string_value(v));
    } else if (json_is_boolean(v)) {
        buf_puts(out, json_is_true(v) ? "true" : "false");
    } else if (json_is_number(v)) {
        buf_printf(out, "%g", json_number_value(v));
    } else if (json_is_array(v)) {
        buf_puts(out, "[");
        json_array_foreach(v, i, item) {
            struct buf one = {0};
            if (json_is_array(item) || json_is_object(item))
                buf_puts(&one, "...");
            else
                value_text(item, &one);
            if (i && used + one.n > 10) {
                buf_printf(out, " ...+%zu more", json_array_size(v) - i);
                buf_free(&one);
                break;
            }
            buf_printf(out, "%s%s", i ? " " : "", one.p ? one.p : "");
            used += one.n + 1;
            buf_free(&one);
        }
        buf_puts(out, "]");
    }
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int print_metadata(const json_t *info, FILE *f, struct err *e)
{
    const size_t n = json_object_size(info);
    const char **keys = calloc(n + 1, sizeof *keys);
    struct table t = {.n_cols = 2};
    if (!keys)
        return err_set(e, ERR_MEMORY, "out of memory");
    size_t i = 0;
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)info, key, v)
        keys[i++] = key;
    qsort(keys, n, sizeof *keys, compare_keys);
    for (i = 0; i < n; i++) {
        struct buf text = {0};
        value_text(json_object_get(info, keys[i]), &text);
        table_add(&t, keys[i]);
        table_add(&t, text.p ? text.p : "");
        buf_free(&text);
    }
    free(keys);
    return section("Metadata", &t, f, e);
}

static int print_tensors(const json_t *list, FILE *f, struct err *e)
{
    struct table t = {.n_cols = 3};
    size_t i, k;
    json_t *one, *dim;
    json_array_foreach(list, i, one) {
        struct buf shape = {0};
        json_array_foreach(json_object_get(one, "shape"), k, dim)
            buf_printf(&shape, "%s%.0f", k ? " " : "[", json_number_value(dim));
        buf_puts(&shape, shape.n ? "]" : "[]");
        table_add(&t, text_of(one, "name"));
        table_add(&t, text_of(one, "type"));
        table_add(&t, shape.p ? shape.p : "");
        buf_free(&shape);
    }
    return section("Tensors", &t, f, e);
}

int show_print(const json_t *a, bool verbose, FILE *f, struct err *e)
{
    struct table capabilities = {.n_cols = 1};
    size_t i;
    json_t *c;
    if (print_model(a, f, e))
        return -1;
    json_array_foreach(json_object_get(a, "capabilities"), i, c)
        if (json_is_string(c))
            table_add(&capabilities, json_string_value(c));
    if (section("Capabilities", &capabilities, f, e) || print_projector(a, f, e) ||
        print_parameters(text_of(a, "parameters"), f, e))
        return -1;
    if (verbose && (print_metadata(json_object_get(a, "model_info"), f, e) ||
                    print_tensors(json_object_get(a, "tensors"), f, e)))
        return -1;
    if (print_head("System", text_of(a, "system"), f, e))
        return -1;
    return print_head("License", text_of(a, "license"), f, e);
}

int cmd_show(int argc, char **argv)
{
    bool license = false, modelfile = false, parameters = false, template = false, system = false;
    bool verbose = false;
    const struct arg_flag flags[] = {
        {"license", 0, ARG_BOOL, &license, "Show license of a model"},
        {"modelfile", 0, ARG_BOOL, &modelfile, "Show Modelfile of a model"},
        {"parameters", 0, ARG_BOOL, &parameters, "Show parameters of a model"},
        {"system", 0, ARG_BOOL, &system, "Show system message of a model"},
        {"template", 0, ARG_BOOL, &template, "Show template of a model"},
        {"verbose", 'v', ARG_BOOL, &verbose, "Show all metadata and tensors"},
        {0},
    };
    const struct command spec = {"show", "MODEL", "Show information for a model", 1, 1, flags,
                                 client_env};
    int n;
    const int status = args_parse(&spec, argc, argv, &n);
    if (status >= 0)
        return status;
    if (license + modelfile + parameters + template + system > 1)
        return fail_with(EXIT_USAGE, "only one of '--license', '--modelfile', '--parameters', "
                                     "'--system', or '--template' can be specified");
    struct err e = {0};
    json_t *a = NULL;
    int rc = -1;
    struct client *c = client_connect(&e);
    if (!c || !(a = show_fetch(c, argv[0], verbose, &e)))
        goto done;
    const char *field = license      ? "license"
                        : modelfile  ? "modelfile"
                        : parameters ? "parameters"
                        : template   ? "template"
                        : system     ? "system"
                                     : NULL;
    if (field) {
        out_text(stdout, text_of(a, field));
        if (!template && !system)
            putchar('\n');
        rc = 0;
    } else {
        rc = show_print(a, verbose, stdout, &e);
    }
done:
    json_decref(a);
    client_free(c);
    return rc ? fail_with(EXIT_FAILED, "%s", e.text) : EXIT_OK;
}
