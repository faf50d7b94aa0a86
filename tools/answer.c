/* tools/answer.c - an answer of a model as it comes: shown, kept, and timed.
 *
 * Facts: shared/spec/cli.md 3.2 to 3.5. No escape codes and no wrap unless stdout is a terminal. */
#include "tools/answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tools/human.h"
#include "tools/progress.h"
#include "tools/term.h"
#include "tools/text.h"

#define GREY "\033[38;5;245m"
#define BOLD "\033[1m"
#define RESET "\033[0m"

static void code(const char *escape)
{
    if (isatty(STDOUT_FILENO))
        fputs(escape, stdout);
}

/* The next character would pass the margin: take the word to a new line, or break it. */
static void wrap(struct answer *a, int columns)
{
    if (a->word_width > columns - 10) {
        putchar('\n');
        a->word.n = 0;
        a->word_width = a->column = 0;
        return;
    }
    if (a->word_width)
        printf("\033[%dD", a->word_width);
    fputs("\033[K\n", stdout);
    out_bytes(stdout, a->word.p ? a->word.p : "", a->word.n);
    a->column = a->word_width;
}

void answer_text(struct answer *a, const char *text)
{
    const int columns = term_columns(STDOUT_FILENO);
    if (!a->word_wrap || !isatty(STDOUT_FILENO) || columns < 10) {
        out_text(stdout, text);
        return;
    }
    for (size_t n = strlen(text); n;) {
        uint32_t cp;
        bool bad;
        const size_t len = text_decode(text, n, &cp, &bad);
        const int width = cp < 32 ? 0 : text_char_width(cp);
        if (cp != '\n' && cp != ' ' && a->column + width > columns - 5)
            wrap(a, columns);
        out_bytes(stdout, text, len);
        a->column += width;
        if (cp == '\n' || cp == '\r') {
            a->column = 0;
        }
        if (cp == ' ' || cp == '\t' || cp == '\n' || cp == '\r' || width == 2) {
            a->word.n = 0;
            a->word_width = 0;
        } else {
            buf_add(&a->word, text, len);
            a->word_width += width;
        }
        text += len;
        n -= len;
    }
}

static void begin(struct answer *a)
{
    if (!a->started && a->waiting)
        progress_clear(a->waiting);
    a->started = true;
}

static void think(struct answer *a, const char *text)
{
    buf_puts(&a->thinking, text);
    if (a->hide_thinking)
        return;
    begin(a);
    if (!a->is_thinking) {
        code(GREY BOLD);
        fputs("Thinking...\n", stdout);
        code(RESET GREY);
        a->is_thinking = a->was_thinking = true;
    }
    answer_text(a, text);
}

static void think_end(struct answer *a)
{
    if (!a->is_thinking)
        return;
    const struct buf *t = &a->thinking;
    if (!t->n || t->p[t->n - 1] != '\n')
        fputs("\n", stdout);
    code(GREY BOLD);
    fputs("...done thinking.\n\n", stdout);
    code(RESET);
    a->is_thinking = false;
    a->column = a->word_width = 0;
    a->word.n = 0;
}

static void show_calls(struct answer *a, const json_t *calls)
{
    size_t i;
    json_t *c;
    begin(a);
    think_end(a);
    if (!a->tool_calls)
        a->tool_calls = json_array();
    json_array_foreach(calls, i, c) {
        const json_t *f = json_object_get(c, "function");
        const char *name = json_string_value(json_object_get(f, "name"));
        char *args = json_dumps(json_object_get(f, "arguments"), JSON_COMPACT);
        struct buf line = {0};
        buf_printf(&line, "  Model called a non-existent function '%s()' with arguments: %s",
                   name ? name : "", args ? args : "{}");
        out_text(stdout, line.p ? line.p : "");
        buf_free(&line);
        free(args);
        json_array_append(a->tool_calls, c);
    }
}

int answer_line(void *arg, const json_t *line)
{
    struct answer *a = arg;
    const json_t *message = json_object_get(line, "message");
    const json_t *from = message ? message : line;
    const char *thinking = json_string_value(json_object_get(from, "thinking"));
    const char *text = json_string_value(json_object_get(from, message ? "content" : "response"));
    const json_t *calls = json_object_get(from, "tool_calls");
    if (thinking && *thinking)
        think(a, thinking);
    if (text && *text) {
        begin(a);
        think_end(a);
        buf_puts(&a->text, text);
        answer_text(a, text);
    }
    if (json_array_size(calls))
        show_calls(a, calls);
    if (json_is_true(json_object_get(line, "done"))) {
        json_decref(a->last);
        a->last = json_incref((json_t *)(uintptr_t)line);
    }
    fflush(stdout);
    return ferror(stdout); /* the reader of the pipe is gone: so is the wish for more */
}

void answer_end(struct answer *a)
{
    begin(a);
    if (a->is_thinking)
        code(RESET);
    fflush(stdout);
}

static int64_t number(const json_t *o, const char *key)
{
    return (int64_t)json_number_value(json_object_get(o, key));
}

static void duration_line(const char *name, int64_t ns)
{
    char text[HUMAN_TEXT];
    if (ns <= 0)
        return;
    human_duration(ns, text);
    fprintf(stderr, "%-22s%s\n", name, text);
}

static void count_lines(const json_t *o, const char *what, const char *count, const char *took)
{
    char name[40];
    const int64_t n = number(o, count), ns = number(o, took);
    if (n > 0) {
        snprintf(name, sizeof name, "%s count:", what);
        fprintf(stderr, "%-22s%lld token(s)\n", name, (long long)n);
    }
    if (ns > 0) {
        snprintf(name, sizeof name, "%s duration:", what);
        duration_line(name, ns);
        snprintf(name, sizeof name, "%s rate:", what);
        fprintf(stderr, "%-22s%.2f tokens/s\n", name, (double)n / ((double)ns / 1e9));
    }
}

void answer_timings(const struct answer *a)
{
    duration_line("total duration:", number(a->last, "total_duration"));
    duration_line("load duration:", number(a->last, "load_duration"));
    count_lines(a->last, "prompt eval", "prompt_eval_count", "prompt_eval_duration");
    count_lines(a->last, "eval", "eval_count", "eval_duration");
}

void answer_free(struct answer *a)
{
    buf_free(&a->text);
    buf_free(&a->thinking);
    buf_free(&a->word);
    json_decref(a->tool_calls);
    json_decref(a->last);
}
