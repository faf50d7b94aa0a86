/* tools/slash.c - the slash commands of the interactive mode. Facts: shared/spec/cli.md 4.2. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/store/store.h"
#include "tools/client.h"
#include "tools/line.h"
#include "tools/session.h"
#include "tools/show.h"
#include "tools/text.h"

static const char help_main[] =
    "Available Commands:\n"
    "  /set            Set session variables\n"
    "  /show           Show model information\n"
    "  /load <model>   Load a session or model\n"
    "  /save <model>   Save your current session\n"
    "  /clear          Clear session context\n"
    "  /bye            Exit\n"
    "  /?, /help       Help for a command\n"
    "  /? shortcuts    Help for keyboard shortcuts\n"
    "\n"
    "Use \"\"\" to begin a multi-line message.\n"
    "\n";

static const char help_set[] =
    "Available Commands:\n"
    "  /set parameter ...     Set a parameter\n"
    "  /set system <string>   Set system message\n"
    "  /set history           Enable history\n"
    "  /set nohistory         Disable history\n"
    "  /set wordwrap          Enable wordwrap\n"
    "  /set nowordwrap        Disable wordwrap\n"
    "  /set format json       Enable JSON mode\n"
    "  /set noformat          Disable formatting\n"
    "  /set verbose           Show LLM stats\n"
    "  /set quiet             Disable LLM stats\n"
    "  /set think             Enable thinking\n"
    "  /set nothink           Disable thinking\n"
    "\n";

static const char help_show[] =
    "Available Commands:\n"
    "  /show info         Show details for this model\n"
    "  /show license      Show model license\n"
    "  /show modelfile    Show Modelfile for this model\n"
    "  /show parameters   Show parameters for this model\n"
    "  /show system       Show system message\n"
    "  /show template     Show prompt template\n"
    "\n";

static const char help_parameter[] =
    "Available Parameters:\n"
    "  /set parameter seed <int>             Random number seed\n"
    "  /set parameter num_predict <int>      Max number of tokens to predict\n"
    "  /set parameter top_k <int>            Pick from top k num of tokens\n"
    "  /set parameter top_p <float>          Pick token based on sum of probabilities\n"
    "  /set parameter min_p <float>          Pick token based on top token probability * min_p\n"
    "  /set parameter num_ctx <int>          Set the context size\n"
    "  /set parameter temperature <float>    Set creativity level\n"
    "  /set parameter repeat_penalty <float> How strongly to penalize repetitions\n"
    "  /set parameter repeat_last_n <int>    Set how far back to look for repetitions\n"
    "  /set parameter num_gpu <int>          The number of layers to send to the GPU\n"
    "  /set parameter stop <string> <string> ...   Set the stop parameters\n"
    "\n";

static const char help_shortcuts[] =
    "Available keyboard shortcuts:\n"
    "  Ctrl + a            Move to the beginning of the line (Home)\n"
    "  Ctrl + e            Move to the end of the line (End)\n"
    "   Alt + b            Move back (left) one word\n"
    "   Alt + f            Move forward (right) one word\n"
    "  Ctrl + k            Delete the sentence after the cursor\n"
    "  Ctrl + u            Delete the sentence before the cursor\n"
    "  Ctrl + w            Delete the word before the cursor\n"
    "  Ctrl + j            Add a new line\n"
    "\n"
    "  Ctrl + l            Clear the screen\n"
    "  Ctrl + g            Open the text in an editor\n"
    "  Ctrl + c            Stop the model from responding\n"
    "  Ctrl + d            Exit (/bye)\n"
    "\n";

enum { MAX_WORDS = 64 };

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static void print_quoted(const char *before, const char *text, const char *after)
{
    fputs(before, stdout);
    out_text(stdout, text);
    puts(after);
}

/* ---- /set ------------------------------------------------------------------------------ */

static void set_parameter(struct session *s, char **w, int n)
{
    struct err e = {0};
    if (n < 4) {
        fputs(help_parameter, stderr);
        return;
    }
    json_t *value = NULL;
    if (!strcmp(w[2], "stop")) {
        value = json_array();
        for (int i = 3; i < n; i++)
            json_array_append_new(value, json_string(w[i]));
    } else {
        value = modelfile_parameter(w[2], w[3], &e);
    }
    if (!value || json_object_set_new(s->options, w[2], value)) {
        print_quoted("Couldn't set parameter: \"", e.text, "\"");
        return;
    }
    fputs("Set parameter '", stdout);
    out_text(stdout, w[2]);
    for (int i = 3; i < n; i++) {
        fputs(i == 3 ? "' to '" : ", ", stdout);
        out_text(stdout, w[i]);
    }
    puts("'");
}

static void set_system(struct session *s, const char *text)
{
    const size_t n = json_array_size(s->messages);
    json_t *m = json_pack("{s:s, s:s}", "role", "system", "content", text);
    const json_t *last = n ? json_array_get(s->messages, n - 1) : NULL;
    int rc;
    if (last && !strcmp(text_of(last, "role"), "system"))
        rc = json_array_set_new(s->messages, n - 1, m);
    else
        rc = json_array_append_new(s->messages, m);
    puts(rc ? "Couldn't set system message" : "Set system message.");
}

/* `arg`: what follows "/set system ". A value that opens """ and does not close it goes on. */
static enum slash_result begin_system(struct session *s, struct slash *sl, const char *arg)
{
    sl->system.n = 0;
    buf_puts(&sl->system, "");
    if (strncmp(arg, "\"\"\"", 3) != 0) {
        size_t n = strlen(arg);
        if (n >= 2 && arg[0] == '"' && arg[n - 1] == '"') {
            buf_add(&sl->system, arg + 1, n - 2);
            arg = sl->system.p;
        }
        set_system(s, arg);
        return SLASH_DONE;
    }
    sl->in_system = true;
    return slash_more(s, sl, arg + 3);
}

enum slash_result slash_more(struct session *s, struct slash *sl, const char *line)
{
    const size_t n = strlen(line);
    if (n >= 3 && !strcmp(line + n - 3, "\"\"\"")) {
        buf_add(&sl->system, line, n - 3);
        sl->in_system = false;
        set_system(s, sl->system.p ? sl->system.p : "");
        return SLASH_DONE;
    }
    buf_add(&sl->system, line, n);
    buf_puts(&sl->system, "\n");
    return SLASH_MORE;
}

static void set_think(struct session *s, bool on, const char *level)
{
    json_t *v = session_think_value(level ? level : on ? "true" : "false");
    if (!v) {
        print_quoted("invalid think value: '", level, "'");
        return;
    }
    json_decref(s->think);
    s->think = v;
    if (level)
        print_quoted("Set 'think' mode to '", level, "'.");
    else
        printf("Set '%sthink' mode.\n", on ? "" : "no");
    if (!session_can(s, "thinking"))
        fprintf(stderr, "warning: model \"%s\" does not support thinking output\n", s->model);
}

static enum slash_result set(struct session *s, struct slash *sl, const char *line, char **w, int n)
{
    if (n < 2) {
        fputs(help_set, stderr);
        return SLASH_DONE;
    }
    const char *what = w[1];
    if (!strcmp(what, "history") || !strcmp(what, "nohistory")) {
        history_keep(sl->history, what[0] == 'h');
    } else if (!strcmp(what, "wordwrap") || !strcmp(what, "nowordwrap")) {
        s->word_wrap = what[0] == 'w';
        printf("Set '%s' mode.\n", what);
    } else if (!strcmp(what, "verbose") || !strcmp(what, "quiet")) {
        s->verbose = what[0] == 'v';
        printf("Set '%s' mode.\n", what);
    } else if (!strcmp(what, "think") || !strcmp(what, "nothink")) {
        set_think(s, what[0] == 't', what[0] == 't' && n > 2 ? w[2] : NULL);
    } else if (!strcmp(what, "format")) {
        if (n < 3 || strcmp(w[2], "json") != 0) {
            puts("Invalid or missing format. For 'json' mode use '/set format json'");
        } else {
            json_decref(s->format);
            s->format = json_string("json");
            puts("Set format to 'json' mode.");
        }
    } else if (!strcmp(what, "noformat")) {
        json_decref(s->format);
        s->format = NULL;
        puts("Disabled format.");
    } else if (!strcmp(what, "parameter")) {
        set_parameter(s, w, n);
    } else if (!strcmp(what, "system")) {
        const char *arg = strstr(line, "system") + strlen("system");
        arg += strspn(arg, " \t");
        if (!*arg)
            fputs(help_set, stderr);
        else
            return begin_system(s, sl, arg);
    } else {
        print_quoted("Unknown command '/set ", what, "'. Type /? for help");
    }
    return SLASH_DONE;
}

/* ---- /show ------------------------------------------------------------------------------- */

static void show_parameters(const struct session *s)
{
    const char *text = text_of(s->info, "parameters");
    const char *key;
    json_t *v;
    if (!*text && !json_object_size(s->options)) {
        puts("  No additional parameters were specified for this model.");
        return;
    }
    if (*text) {
        puts("Model defined parameters:");
        for (size_t n; *text; text += n + (text[n] == '\n')) {
            n = strcspn(text, "\n");
            fputs("  ", stdout);
            out_bytes(stdout, text, n);
            putchar('\n');
        }
        putchar('\n');
    }
    if (!json_object_size(s->options))
        return;
    puts("User defined parameters:");
    json_object_foreach(s->options, key, v) {
        const bool list = json_is_array(v);
        for (size_t i = 0; i < (list ? json_array_size(v) : 1); i++) {
            json_t *one = list ? json_array_get(v, i) : v;
            char *shown = json_is_real(one)
                              ? NULL : json_dumps(one, JSON_ENCODE_ANY | JSON_COMPACT);
            printf("  %-30s ", key);
            if (shown)
                out_text(stdout, shown);
            else
                printf("%g", json_real_value(one));
            putchar('\n');
            free(shown);
        }
    }
    putchar('\n');
}

static void show_field(const struct session *s, const char *key, const char *none)
{
    const char *text = text_of(s->info, key);
    if (*text)
        out_text(stdout, text);
    else
        fputs(none, stdout);
    putchar('\n');
}

static const char *system_of(const struct session *s)
{
    const char *found = text_of(s->info, "system");
    size_t i;
    json_t *m;
    json_array_foreach(s->messages, i, m)
        if (!strcmp(text_of(m, "role"), "system"))
            found = text_of(m, "content");
    return found;
}

static void show(const struct session *s, char **w, int n)
{
    struct err e = {0};
    if (n < 2) {
        fputs(help_show, stderr);
    } else if (!strcmp(w[1], "info")) {
        if (show_print(s->info, false, stderr, &e))
            fprintf(stderr, "error: %s\n", e.text);
    } else if (!strcmp(w[1], "license")) {
        show_field(s, "license", "No license was specified for this model.");
    } else if (!strcmp(w[1], "modelfile")) {
        show_field(s, "modelfile", "");
    } else if (!strcmp(w[1], "parameters")) {
        show_parameters(s);
    } else if (!strcmp(w[1], "system")) {
        const char *text = system_of(s);
        out_text(stdout, *text ? text : "No system message was specified for this model.");
        putchar('\n');
    } else if (!strcmp(w[1], "template")) {
        show_field(s, "template", "No prompt template was specified for this model.");
    } else {
        print_quoted("Unknown command '/show ", w[1], "'. Type /? for help");
    }
}

/* ---- the rest ------------------------------------------------------------------------------ */

static void load(struct session *s, char **w, int n)
{
    struct err e = {0};
    if (n != 2) {
        puts("Usage:\n  /load <modelname>");
        return;
    }
    print_quoted("Loading model '", w[1], "'");
    if (session_set_model(s, w[1], &e)) {
        if (client_status(s->client) == 404)
            print_quoted("Couldn't find model '", w[1], "'");
        else
            print_quoted("error: ", e.text, "");
        return;
    }
    json_array_clear(s->messages);
    if (session_load(s, &e) && e.code != ERR_CANCELLED)
        print_quoted("error: ", e.text, "");
    json_decref(s->think);
    s->think = session_can(s, "thinking") ? json_true() : NULL;
}

static int ignore_line(void *arg, const json_t *line)
{
    (void)arg, (void)line;
    return 0;
}

static void save(struct session *s, char **w, int n)
{
    struct err e = {0};
    if (n != 2) {
        puts("Usage:\n  /save <modelname>");
        return;
    }
    const char *parent = text_of(json_object_get(s->info, "details"), "parent_model");
    json_t *r = json_pack("{s:s, s:s}", "model", w[1], "from", *parent ? parent : s->model);
    json_t *messages = json_array(), *m;
    size_t i;
    const char *system = text_of(s->info, "system");
    json_array_foreach(s->messages, i, m) {
        if (!strcmp(text_of(m, "role"), "system"))
            system = text_of(m, "content");
        else
            json_array_append(messages, m);
    }
    if (*system)
        json_object_set_new(r, "system", json_string(system));
    if (json_array_size(messages))
        json_object_set(r, "messages", messages);
    json_decref(messages);
    if (json_object_size(s->options))
        json_object_set(r, "parameters", s->options);
    const int rc = client_stream(s->client, "/api/create", r, ignore_line, NULL, &e);
    if (!rc)
        print_quoted("Created new model '", w[1], "'");
    else if (strstr(e.text, "invalid model name"))
        print_quoted("error: The model name '", w[1], "' is invalid");
    else
        print_quoted("error: ", e.text, "");
    json_decref(r);
}

/* Forget the messages; a system message that was set stays. */
static void clear(struct session *s)
{
    json_t *kept = NULL, *m;
    size_t i;
    json_array_foreach(s->messages, i, m)
        if (!strcmp(text_of(m, "role"), "system"))
            kept = m;
    json_incref(kept);
    json_array_clear(s->messages);
    if (kept)
        json_array_append_new(s->messages, kept);
    puts("Cleared session context");
}

static void help(char **w, int n)
{
    const char *what = n > 1 ? w[1] : "";
    what += what[0] == '/';
    fputs(!strcmp(what, "set")         ? help_set
          : !strcmp(what, "show")      ? help_show
          : !strcmp(what, "shortcut") || !strcmp(what, "shortcuts") ? help_shortcuts
                                       : help_main, stderr);
}

static bool is(const char *line, const char *command)
{
    return !strncmp(line, command, strlen(command));
}

enum slash_result slash_run(struct session *s, struct slash *sl, const char *line)
{
    char *w[MAX_WORDS], *save_at = NULL, *copy = strdup(line);
    enum slash_result result = SLASH_DONE;
    struct err e = {0};
    int n = 0;
    if (!copy)
        return SLASH_DONE;
    for (char *p = strtok_r(copy, " \t\n", &save_at); p && n < MAX_WORDS;
         p = strtok_r(NULL, " \t\n", &save_at))
        w[n++] = p;
    if (is(line, "/bye") || is(line, "/exit")) {
        result = SLASH_EXIT;
    } else if (is(line, "/?") || is(line, "/help")) {
        help(w, n);
    } else if (is(line, "/list")) {
        if (list_models(s->client, n > 1 ? w[1] : "", stdout, &e))
            print_quoted("error: ", e.text, "");
    } else if (is(line, "/clear")) {
        clear(s);
    } else if (is(line, "/load")) {
        load(s, w, n);
    } else if (is(line, "/save")) {
        save(s, w, n);
    } else if (is(line, "/set")) {
        result = set(s, sl, line, w, n);
    } else if (is(line, "/show")) {
        show(s, w, n);
    } else {
        result = SLASH_UNKNOWN;
    }
    free(copy);
    return result;
}
