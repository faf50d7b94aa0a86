/* tools/history.c - the lines typed before, in memory and in a file.
 *
 * Facts: shared/spec/cli.md 4.4. One entry a line of the file; a newline in an entry is written as
 * \n and a backslash doubled, so that an entry of several lines comes back as one. */
#include "tools/history.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tools/line.h"

static void push(struct line_history *h, char *line)
{
    if (h->n == HISTORY_MAX) {
        free(h->lines[0]);
        memmove(h->lines, h->lines + 1, (HISTORY_MAX - 1) * sizeof *h->lines);
        h->n--;
    }
    h->lines[h->n++] = line;
}

/* In place: `\n` to a newline, `\\` to one backslash. */
static void unescape(char *s)
{
    char *out = s;
    for (; *s; s++) {
        if (*s == '\\' && s[1]) {
            s++;
            *out++ = *s == 'n' ? '\n' : *s;
        } else {
            *out++ = *s;
        }
    }
    *out = 0;
}

static void load(struct line_history *h, const char *path, bool escaped)
{
    FILE *f = fopen(path, "r");
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    while (f && (n = getline(&line, &cap, f)) > 0) {
        if (line[n - 1] == '\n')
            line[--n] = 0;
        char *copy = n ? strdup(line) : NULL;
        if (!copy)
            continue;
        if (escaped)
            unescape(copy);
        push(h, copy);
    }
    free(line);
    if (f)
        fclose(f);
}

static void save(const struct line_history *h)
{
    char tmp[sizeof h->path + 8];
    snprintf(tmp, sizeof tmp, "%s.tmp", h->path);
    const int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (!f)
        return; /* a history that cannot be kept is no reason to stop talking */
    for (size_t i = 0; i < h->n; i++) {
        for (const char *p = h->lines[i]; *p; p++) {
            if (*p == '\n')
                fputs("\\n", f);
            else if (*p == '\\')
                fputs("\\\\", f);
            else
                putc(*p, f);
        }
        putc('\n', f);
    }
    if (fclose(f) || rename(tmp, h->path))
        unlink(tmp);
}

static bool is_set(const char *value)
{
    static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};
    if (!value || !*value)
        return false;
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (!strcmp(value, no[i]))
            return false;
    return true;
}

struct line_history *history_open(void)
{
    struct line_history *h = calloc(1, sizeof *h);
    const char *home = getenv("HOME");
    if (!h)
        return NULL;
    h->on_disk = !is_set(getenv("OLLAMA_NOHISTORY"));
    if (!home || !*home || strlen(home) > sizeof h->path - 32) {
        h->on_disk = false;
        return h;
    }
    snprintf(h->path, sizeof h->path, "%s/.chaski", home);
    if (mkdir(h->path, 0700) && errno != EEXIST)
        h->on_disk = false;
    snprintf(h->path, sizeof h->path, "%s/.chaski/history", home);
    if (access(h->path, F_OK) == 0) {
        load(h, h->path, true);
    } else {
        char other[sizeof h->path];
        snprintf(other, sizeof other, "%s/.ollama/history", home);
        load(h, other, false);
    }
    return h;
}

void history_free(struct line_history *h)
{
    if (!h)
        return;
    for (size_t i = 0; i < h->n; i++)
        free(h->lines[i]);
    free(h);
}

void history_add(struct line_history *h, const char *line)
{
    char *copy = *line ? strdup(line) : NULL;
    if (!copy)
        return;
    push(h, copy);
    if (h->on_disk)
        save(h);
}

void history_keep(struct line_history *h, bool on_disk)
{
    h->on_disk = on_disk && h->path[0];
}
