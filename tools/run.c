/* tools/run.c - `chaski run MODEL [PROMPT]`: one answer, or a conversation.
 *
 * Facts: shared/spec/cli.md 3. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tools/answer.h"
#include "tools/args.h"
#include "tools/client.h"
#include "tools/commands.h"
#include "tools/human.h"
#include "tools/input.h"
#include "tools/progress.h"
#include "tools/session.h"
#include "tools/show.h"
#include "tools/term.h"
#include "tools/text.h"

enum { MAX_PROMPT = 256 << 20 };

bool session_can(const struct session *s, const char *capability)
{
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(s->info, "capabilities"), i, c)
        if (json_is_string(c) && !strcmp(json_string_value(c), capability))
            return true;
    return false;
}

int session_set_model(struct session *s, const char *model, struct err *e)
{
    json_t *info = show_fetch(s->client, model, false, e);
    char *name = info ? strdup(model) : NULL;
    if (info && !name)
        err_set(e, ERR_MEMORY, "out of memory");
    if (!name) {
        json_decref(info);
        return -1;
    }
    json_decref(s->info);
    free(s->model);
    s->info = info;
    s->model = name;
    return 0;
}

json_t *session_request(const struct session *s)
{
    json_t *r = json_pack("{s:s, s:b}", "model", s->model, "stream", 1);
    if (!r)
        return NULL;
    if (s->format)
        json_object_set(r, "format", s->format);
    if (json_object_size(s->options))
        json_object_set(r, "options", s->options);
    if (s->think)
        json_object_set(r, "think", s->think);
    if (s->keep_alive)
        json_object_set(r, "keep_alive", s->keep_alive);
    return r;
}

static int ignore_line(void *arg, const json_t *line)
{
    (void)arg, (void)line;
    return 0;
}

int session_load(struct session *s, struct err *e)
{
    struct progress wait;
    json_t *r = json_pack("{s:s}", "model", s->model);
    if (!r)
        return err_set(e, ERR_MEMORY, "out of memory");
    if (s->keep_alive)
        json_object_set(r, "keep_alive", s->keep_alive);
    progress_start(&wait);
    if (wait.is_tty)
        progress_spin(&wait, "");
    client_set_tick(s->client, progress_tick, &wait);
    const int rc = client_stream(s->client, "/api/generate", r, ignore_line, NULL, e);
    client_set_tick(s->client, NULL, NULL);
    progress_clear(&wait);
    json_decref(r);
    return rc;
}

json_t *session_think_value(const char *text)
{
    static const char *const levels[] = {"high", "medium", "low", "max"};
    if (!strcmp(text, "true") || !strcmp(text, "false"))
        return json_boolean(text[0] == 't');
    for (size_t i = 0; i < 4; i++)
        if (!strcmp(text, levels[i]))
            return json_string(text);
    return NULL;
}

/* ---- one answer -------------------------------------------------------------------- */

static int embed_once(struct session *s, const char *prompt, bool truncate, long dimensions,
                      struct err *e)
{
    if (!*prompt)
        return err_set(e, ERR_INPUT, "embedding models require input text. Usage: chaski run %s "
                       "\"your text here\"", s->model);
    json_t *answer = NULL;
    json_t *r = json_pack("{s:s, s:s}", "model", s->model, "input", prompt);
    if (!r)
        return err_set(e, ERR_INPUT, "the input is no valid UTF-8");
    if (truncate)
        json_object_set_new(r, "truncate", json_true());
    if (dimensions)
        json_object_set_new(r, "dimensions", json_integer(dimensions));
    if (s->keep_alive)
        json_object_set(r, "keep_alive", s->keep_alive);
    int rc = client_json(s->client, "POST", "/api/embed", r, &answer, e);
    char *text = rc ? NULL
                    : json_dumps(json_array_get(json_object_get(answer, "embeddings"), 0),
                                 JSON_COMPACT | JSON_REAL_PRECISION(9));
    if (text)
        puts(text);
    else if (!rc)
        rc = err_set(e, ERR_IO, "the server's answer has no embedding");
    free(text);
    json_decref(answer);
    json_decref(r);
    return rc;
}

static int generate_once(struct session *s, const char *prompt, struct err *e)
{
    struct progress wait;
    struct answer a = {.word_wrap = s->word_wrap, .hide_thinking = s->hide_thinking};
    json_t *r = session_request(s), *text = json_string(prompt);
    int rc = -1;
    if (!r || !text) {
        json_decref(text);
        err_set(e, ERR_INPUT, "the prompt is no valid UTF-8");
        goto done;
    }
    json_object_set_new(r, "prompt", text);
    progress_start(&wait);
    if (wait.is_tty && isatty(STDOUT_FILENO)) {
        a.waiting = &wait;
        progress_spin(&wait, "");
        client_set_tick(s->client, progress_tick, &wait);
    }
    rc = client_stream(s->client, "/api/generate", r, answer_line, &a, e);
    client_set_tick(s->client, NULL, NULL);
    answer_end(&a);
    if (rc && e->code == ERR_CANCELLED)
        rc = 0; /* Ctrl-C: what came stays, and that is all that was wanted */
    if (!rc && *prompt)
        fputs("\n\n", stdout);
    fflush(stdout);
    if (!rc && s->verbose)
        answer_timings(&a);
done:
    answer_free(&a);
    json_decref(r);
    return rc;
}

/* ---- the command --------------------------------------------------------------------- */

static int on_pull(void *arg, const json_t *line)
{
    struct progress *p = arg;
    const char *status = json_string_value(json_object_get(line, "status"));
    const int64_t total = (int64_t)json_number_value(json_object_get(line, "total"));
    const int64_t done = (int64_t)json_number_value(json_object_get(line, "completed"));
    if (status && total > 0 && done > 0)
        progress_bar(p, status, done, total);
    else if (status && total == 0)
        progress_spin(p, status);
    return 0;
}

static int pull(struct session *s, const char *model, bool insecure, struct err *e)
{
    struct progress p;
    json_t *r = json_pack("{s:s, s:b}", "model", model, "insecure", insecure);
    if (!r)
        return err_set(e, ERR_INPUT, "invalid model name");
    progress_start(&p);
    client_set_tick(s->client, progress_tick, &p);
    const int rc = client_stream(s->client, "/api/pull", r, on_pull, &p, e);
    client_set_tick(s->client, NULL, NULL);
    progress_end(&p);
    json_decref(r);
    return rc;
}

/* The model's information; a model that is not there is pulled. */
static int find_model(struct session *s, const char *model, bool insecure, struct err *e)
{
    if (!session_set_model(s, model, e))
        return 0;
    if (client_status(s->client) != 404)
        return -1;
    struct err why = {0};
    if (pull(s, model, insecure, &why)) {
        const long status = client_status(s->client);
        if (status != 404 && status != 405 && status != 501) /* else this server cannot pull */
            *e = why;
        return -1;
    }
    return session_set_model(s, model, e);
}

/* stdin (unless it is a terminal), then the words, joined by single spaces. */
static int read_prompt(struct buf *out, char **words, int n, struct err *e)
{
    if (!isatty(STDIN_FILENO) && input_read(stdin, "stdin", MAX_PROMPT, out, e))
        return -1;
    for (int i = 0; i < n; i++) {
        if (out->n)
            buf_puts(out, " ");
        buf_puts(out, words[i]);
    }
    return out->failed ? err_set(e, ERR_MEMORY, "out of memory") : 0;
}

static void session_free(struct session *s)
{
    json_decref(s->info);
    json_decref(s->messages);
    json_decref(s->options);
    json_decref(s->format);
    json_decref(s->think);
    json_decref(s->keep_alive);
    free(s->model);
    client_free(s->client);
}

/* The flags' texts to what the server takes. */
static int set_up(struct session *s, const char *format, const char *think, const char *keep,
                  struct err *e)
{
    int64_t ns;
    s->messages = json_array();
    s->options = json_object();
    if (!s->messages || !s->options)
        return err_set(e, ERR_MEMORY, "out of memory");
    if (*format) {
        s->format = format[0] == '{' ? json_loads(format, 0, NULL) : json_string(format);
        if (!s->format)
            return err_set(e, ERR_INPUT, "--format is neither json nor a JSON schema");
    }
    if (think && !(s->think = session_think_value(think)))
        return err_set(e, ERR_INPUT, "invalid value for --think: \"%s\" (must be true, false, "
                       "high, medium, low, or max)", think);
    if (*keep) {
        if (!human_parse_duration(keep, &ns))
            return err_set(e, ERR_INPUT, "invalid duration \"%s\"", keep);
        const bool plain = strspn(keep, "-0123456789") == strlen(keep);
        s->keep_alive = plain ? json_integer(ns / 1000000000) : json_string(keep);
    }
    return 0;
}

int cmd_run(int argc, char **argv)
{
    const char *keep = "", *format = "", *think = NULL;
    bool insecure = false, no_wrap = false, truncate = false;
    long dimensions = 0;
    struct session s = {0};
    const struct arg_flag flags[] = {
        {"dimensions", 0, ARG_INT, &dimensions, "Truncate output embeddings to this many values"},
        {"format", 0, ARG_TEXT, &format, "Response format (json, or a JSON schema)"},
        {"hidethinking", 0, ARG_BOOL, &s.hide_thinking, "Hide thinking output"},
        {"insecure", 0, ARG_BOOL, &insecure, "Use an insecure registry"},
        {"keepalive", 0, ARG_TEXT, &keep, "Duration to keep a model loaded (e.g. 5m)"},
        {"nowordwrap", 0, ARG_BOOL, &no_wrap, "Don't wrap words to the next line automatically"},
        {"think", 0, ARG_LEVEL, &think, "Thinking: true, false, high, medium, low, max"},
        {"truncate", 0, ARG_BOOL, &truncate, "Cut embedding input that is too long"},
        {"verbose", 0, ARG_BOOL, &s.verbose, "Show timings for response"},
        {0},
    };
    static const char *const env[] = {
        "OLLAMA_EDITOR", "editor of the interactive mode (Ctrl-G)",
        "OLLAMA_HOST", "address of the server (default 127.0.0.1:11434)",
        "OLLAMA_NOHISTORY", "do not keep the lines of the interactive mode", NULL};
    const struct command spec = {"run", "MODEL [PROMPT]", "Run a model", 1, ARG_ANY, flags, env};
    int n;
    const int status = args_parse(&spec, argc, argv, &n);
    if (status >= 0)
        return status;

    struct err e = {0};
    struct buf prompt = {0};
    int rc = -1;
    s.word_wrap = !no_wrap;
    const bool interactive = n == 1 && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    if (set_up(&s, format, think, keep, &e) || read_prompt(&prompt, argv + 1, n - 1, &e))
        goto done;
    if (!(s.client = client_connect(&e)) || find_model(&s, argv[0], insecure, &e))
        goto done;
    client_set_stop(s.client, term_stop_fd());
    const bool can_think = session_can(&s, "thinking");
    if (s.think && !json_is_false(s.think) && !can_think) {
        err_set(&e, ERR_INPUT, "\"%s\" does not support thinking", s.model);
        goto done;
    }
    if (!s.think && can_think)
        s.think = json_true();
    if (session_can(&s, "embedding") && !session_can(&s, "completion"))
        rc = embed_once(&s, prompt.p ? prompt.p : "", truncate, dimensions, &e);
    else if (interactive)
        rc = chat_run(&s) ? -1 : 0;
    else
        rc = generate_once(&s, prompt.p ? prompt.p : "", &e);
done:
    buf_free(&prompt);
    session_free(&s);
    if (rc && e.text[0])
        return fail_with(EXIT_FAILED, "%s", e.text);
    return rc ? EXIT_FAILED : EXIT_OK;
}
