/* tools/chat.c - the interactive mode of `chaski run`: lines, messages, answers.
 *
 * Facts: shared/spec/cli.md 4, 4.1. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "tools/answer.h"
#include "tools/args.h"
#include "tools/client.h"
#include "tools/line.h"
#include "tools/progress.h"
#include "tools/session.h"
#include "tools/term.h"
#include "tools/text.h"

static int add_message(struct session *s, const char *role, const struct answer *a,
                       const char *text, struct err *e)
{
    json_t *m = json_pack("{s:s, s:s}", "role", role, "content", text);
    if (m && a && a->thinking.n)
        json_object_set_new(m, "thinking", json_string(a->thinking.p));
    if (m && a && a->tool_calls)
        json_object_set(m, "tool_calls", a->tool_calls);
    return json_array_append_new(s->messages, m)
               ? err_set(e, ERR_INPUT, "the text is no valid UTF-8") : 0;
}

/* Errors after which the conversation goes on. */
static bool is_harmless(const struct err *e)
{
    if (strstr(e->text, "upstream error")) {
        puts("An error occurred while processing your message. Please try again.");
        return true;
    }
    if (strstr(e->text, "does not support thinking") || strstr(e->text, "invalid think value")) {
        fputs("error: ", stdout);
        out_text(stdout, e->text);
        putchar('\n');
        return true;
    }
    return false;
}

/* Send the conversation with one more message, show the answer and keep it. */
static int say(struct session *s, const char *text, struct err *e)
{
    struct progress wait;
    struct answer a = {.word_wrap = s->word_wrap, .hide_thinking = s->hide_thinking,
                       .waiting = &wait};
    json_t *r = NULL;
    int rc = -1;
    if (add_message(s, "user", NULL, text, e))
        return -1;
    r = session_request(s);
    if (!r || json_object_set(r, "messages", s->messages)) {
        err_set(e, ERR_MEMORY, "out of memory");
        goto done;
    }
    progress_start(&wait);
    progress_spin(&wait, "");
    client_set_tick(s->client, progress_tick, &wait);
    term_stop_clear();
    rc = client_stream(s->client, "/api/chat", r, answer_line, &a, e);
    client_set_tick(s->client, NULL, NULL);
    answer_end(&a);
    if (rc && e->code == ERR_CANCELLED)
        rc = 0; /* Ctrl-C: what came is kept */
    if (rc && is_harmless(e))
        rc = json_array_remove(s->messages, json_array_size(s->messages) - 1);
    else if (!rc)
        rc = add_message(s, "assistant", &a, a.text.p ? a.text.p : "", e);
    if (!rc)
        fputs("\n\n", stdout);
    fflush(stdout);
    if (!rc && s->verbose)
        answer_timings(&a);
done:
    answer_free(&a);
    json_decref(r);
    return rc;
}

/* The messages that the model brings. */
static void show_stored(const struct session *s)
{
    size_t i;
    json_t *m;
    json_array_foreach(json_object_get(s->info, "messages"), i, m) {
        const char *role = json_string_value(json_object_get(m, "role"));
        const char *text = json_string_value(json_object_get(m, "content"));
        if (!role || !text)
            continue;
        if (!strcmp(role, "user")) {
            fputs(">>> ", stdout);
            out_text(stdout, text);
            putchar('\n');
        } else if (!strcmp(role, "assistant")) {
            struct answer a = {.word_wrap = s->word_wrap};
            answer_text(&a, text);
            answer_free(&a);
            fputs("\n\n", stdout);
        }
    }
}

/* Text between triple quotes that spans lines. */
struct quoted {
    bool is_open;
    struct buf text;
};

static bool ends_quoted(const char *line, size_t *n)
{
    *n = strlen(line);
    if (*n < 3 || strcmp(line + *n - 3, "\"\"\"") != 0)
        return false;
    *n -= 3;
    return true;
}

/* Add a line; true when the message is complete. */
static bool quoted_add(struct quoted *q, const char *line)
{
    size_t n;
    if (!q->is_open) { /* the line starts with """ */
        q->is_open = true;
        q->text.n = 0;
        buf_puts(&q->text, "");
        line += 3;
    }
    const bool end = ends_quoted(line, &n);
    buf_add(&q->text, line, n);
    if (!end)
        buf_puts(&q->text, "\n");
    q->is_open = !end;
    return end;
}

static int loop(struct session *s, struct line_history *h, struct err *e)
{
    struct slash slash = {.history = h};
    struct quoted quoted = {0};
    struct buf line = {0};
    int rc = 0;
    for (;;) {
        const bool inside = quoted.is_open || slash.in_system;
        const enum line_result got =
            line_read(h, inside ? "... " : ">>> ",
                      inside ? "Press Enter to send" : "Send a message (/? for help)", &line);
        if (got == LINE_END)
            break;
        if (got == LINE_INTERRUPT) {
            if (inside) {
                quoted.is_open = slash.in_system = false;
                slash.system.n = 0;
            } else {
                puts("\nUse Ctrl + d or /bye to exit.");
            }
            continue;
        }
        const char *text = line.p ? line.p : "";
        enum slash_result did = SLASH_DONE;
        if (slash.in_system) {
            did = slash_more(s, &slash, text);
        } else if (quoted.is_open || !strncmp(text, "\"\"\"", 3)) {
            if (quoted_add(&quoted, text) && quoted.text.n)
                rc = say(s, quoted.text.p, e);
        } else if (text[0] == '/') {
            did = slash_run(s, &slash, text);
        } else if (text[strspn(text, " \t\n")]) {
            rc = say(s, text, e);
        }
        if (rc || did == SLASH_EXIT)
            break;
        if (did == SLASH_UNKNOWN) {
            fputs("Unknown command '", stdout);
            out_bytes(stdout, text, strcspn(text, " \t\n"));
            puts("'. Type /? for help");
        }
    }
    buf_free(&line);
    buf_free(&quoted.text);
    buf_free(&slash.system);
    return rc;
}

int chat_run(struct session *s)
{
    struct err e = {0};
    struct line_history *h = history_open();
    int rc = h ? session_load(s, &e) : err_set(&e, ERR_MEMORY, "out of memory");
    if (rc && e.code == ERR_CANCELLED)
        rc = 0;
    else if (!rc)
        show_stored(s);
    if (!rc)
        rc = loop(s, h, &e);
    term_cooked();
    history_free(h);
    return rc ? fail_with(EXIT_FAILED, "%s", e.text) : EXIT_OK;
}
