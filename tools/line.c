/* tools/line.c - a line of input with keys to edit it.
 *
 * Facts: shared/spec/cli.md 4.3. After each key the whole entry is drawn again from its first row:
 * wide characters, several lines and a changed width then need no cases of their own. */
#include "tools/line.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tools/history.h"
#include "tools/term.h"
#include "tools/text.h"

enum key { /* bytes are themselves; these are the rest */
    KEY_NONE = 256, KEY_UP, KEY_DOWN, KEY_LEFT, KEY_RIGHT, KEY_HOME, KEY_END, KEY_DELETE,
    KEY_WORD_LEFT, KEY_WORD_RIGHT, KEY_WORD_DELETE, KEY_PASTE, KEY_PASTE_END, KEY_EOF,
};
#define CTL(c) ((c) & 31)

struct edit {
    struct buf *text;
    size_t at;                 /* byte that the cursor stands on */
    const char *prompt, *placeholder;
    struct line_history *h;
    size_t i_history;          /* h->n: the line being typed */
    struct buf typed;          /* that line, while older ones are shown */
    int row;                   /* of the cursor, from the first row of the entry */
    int typed_ahead;           /* bytes that were there before raw mode: LF is Enter in them */
    bool pasting;
};

/* ---- drawing -------------------------------------------------------------------------- */

static void draw(struct edit *e)
{
    const int columns = term_columns(STDOUT_FILENO);
    int row = 0, col = (int)strlen(e->prompt), cursor_row = 0, cursor_col = col;
    if (e->row)
        printf("\033[%dA", e->row);
    printf("\r\033[J%s", e->prompt);
    if (!e->text->n && columns > col + 1)
        printf("\033[38;5;245m%.*s\033[0m", columns - col - 1, e->placeholder);
    for (size_t i = 0; i <= e->text->n;) {
        if (i == e->at) {
            if (col >= columns) { /* the cursor wants a column of its own */
                putchar('\n');
                row++;
                col = 0;
            }
            cursor_row = row;
            cursor_col = col;
        }
        if (i == e->text->n)
            break;
        uint32_t cp;
        bool bad;
        const size_t len = text_decode(e->text->p + i, e->text->n - i, &cp, &bad);
        if (cp == '\n') {
            fputs("\n... ", stdout);
            row++;
            col = 4;
        } else {
            const int w = text_char_width(cp);
            if (col + w > columns) {
                putchar('\n');
                row++;
                col = 0;
            }
            out_bytes(stdout, e->text->p + i, len);
            col += w;
        }
        i += len;
    }
    if (row > cursor_row)
        printf("\033[%dA", row - cursor_row);
    putchar('\r');
    if (cursor_col)
        printf("\033[%dC", cursor_col);
    e->row = cursor_row;
    fflush(stdout);
}

/* Leave the entry as it stands and go to the row after it. */
static void leave(struct edit *e)
{
    e->at = e->text->n;
    e->placeholder = "";
    draw(e);
    putchar('\n');
    fflush(stdout);
}

/* ---- keys ------------------------------------------------------------------------------ */

static int next_byte(struct edit *e, int wait_ms)
{
    unsigned char c;
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    if (wait_ms >= 0 && poll(&p, 1, wait_ms) <= 0)
        return KEY_NONE;
    ssize_t n;
    do
        n = read(STDIN_FILENO, &c, 1);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return KEY_EOF;
    if (e->typed_ahead > 0) {
        e->typed_ahead--;
        if (c == '\n')
            return '\r';
    }
    return c;
}

/* What follows ESC [ or ESC O. */
static int sequence(struct edit *e)
{
    int n = 0, c;
    while ((c = next_byte(e, 50)) >= '0' && c <= '9')
        n = n < 1000 ? 10 * n + c - '0' : n;
    while (c == ';' || (c >= '0' && c <= '9')) /* modifiers: ignored */
        c = next_byte(e, 50);
    switch (c) {
    case 'A': return KEY_UP;
    case 'B': return KEY_DOWN;
    case 'C': return KEY_RIGHT;
    case 'D': return KEY_LEFT;
    case 'H': return KEY_HOME;
    case 'F': return KEY_END;
    case '~': break;
    default: return KEY_NONE;
    }
    switch (n) {
    case 1: case 7: return KEY_HOME;
    case 4: case 8: return KEY_END;
    case 3: return KEY_DELETE;
    case 200: return KEY_PASTE;
    case 201: return KEY_PASTE_END;
    default: return KEY_NONE;
    }
}

static int next_key(struct edit *e)
{
    int c = next_byte(e, -1);
    if (c != 27)
        return c;
    c = next_byte(e, 50);
    switch (c) {
    case '[': case 'O': return sequence(e);
    case 'b': return KEY_WORD_LEFT;
    case 'f': return KEY_WORD_RIGHT;
    case 127: case 8: return KEY_WORD_DELETE;
    default: return KEY_NONE;
    }
}

/* ---- changes --------------------------------------------------------------------------- */

static size_t left_of(const struct edit *e, size_t at)
{
    if (!at)
        return 0;
    do
        at--;
    while (at && (e->text->p[at] & 0xc0) == 0x80);
    return at;
}

static size_t right_of(const struct edit *e, size_t at)
{
    if (at >= e->text->n)
        return at;
    do
        at++;
    while (at < e->text->n && (e->text->p[at] & 0xc0) == 0x80);
    return at;
}

static size_t word_left(const struct edit *e)
{
    size_t at = e->at;
    while (at && e->text->p[at - 1] == ' ')
        at--;
    while (at && e->text->p[at - 1] != ' ')
        at--;
    return at;
}

static size_t word_right(const struct edit *e)
{
    size_t at = e->at;
    while (at < e->text->n && e->text->p[at] == ' ')
        at++;
    while (at < e->text->n && e->text->p[at] != ' ')
        at++;
    return at;
}

static void erase(struct edit *e, size_t from, size_t to)
{
    if (from >= to)
        return;
    memmove(e->text->p + from, e->text->p + to, e->text->n - to);
    e->text->n -= to - from;
    e->text->p[e->text->n] = 0;
    e->at = from;
}

static void insert(struct edit *e, const char *p, size_t n)
{
    const size_t tail = e->text->n - e->at;
    buf_add(e->text, p, n); /* room for n more */
    if (e->text->failed)
        return;
    memmove(e->text->p + e->at + n, e->text->p + e->at, tail);
    memcpy(e->text->p + e->at, p, n);
    e->at += n;
}

static void set_text(struct edit *e, const char *s, size_t n)
{
    e->text->n = 0;
    buf_add(e->text, s, n);
    e->at = e->text->n;
}

static void browse(struct edit *e, bool older)
{
    if (older ? e->i_history == 0 : e->i_history >= e->h->n)
        return;
    if (e->i_history == e->h->n) {
        e->typed.n = 0;
        buf_add(&e->typed, e->text->p ? e->text->p : "", e->text->n);
    }
    e->i_history += older ? (size_t)-1 : 1;
    if (e->i_history == e->h->n)
        set_text(e, e->typed.p ? e->typed.p : "", e->typed.n);
    else
        set_text(e, e->h->lines[e->i_history], strlen(e->h->lines[e->i_history]));
}

/* ---- the editor of Ctrl-G ---------------------------------------------------------------- */

static const char *editor_name(void)
{
    static const char *const names[] = {"OLLAMA_EDITOR", "VISUAL", "EDITOR"};
    for (size_t i = 0; i < 3; i++) {
        const char *v = getenv(names[i]);
        if (v && *v)
            return v;
    }
    return "vi";
}

/* Run `sh -c 'EDITOR "$0"' path` and wait. The status as waitpid gives it. */
static int run_editor(const char *path)
{
    char command[1024];
    int status = -1;
    snprintf(command, sizeof command, "%s \"$0\"", editor_name());
    const pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, path, (char *)NULL);
        _exit(127);
    }
    if (pid > 0)
        waitpid(pid, &status, 0);
    return status;
}

static void edit_outside(struct edit *e)
{
    char path[] = "/tmp/chaski-XXXXXX.txt";
    const int fd = mkstemps(path, 4);
    if (fd < 0)
        return;
    const bool written = write(fd, e->text->p ? e->text->p : "", e->text->n) == (ssize_t)e->text->n;
    close(fd);
    term_cooked();
    putchar('\n');
    fflush(stdout);
    const int status = written ? run_editor(path) : -1;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
        fprintf(stderr, "error: editor \"%s\" not found, set OLLAMA_EDITOR to the path of your "
                        "preferred editor\n", editor_name());
    } else if (status == 0) {
        FILE *f = fopen(path, "r");
        char part[4096];
        size_t n;
        e->text->n = 0;
        while (f && (n = fread(part, 1, sizeof part, f)) > 0)
            buf_add(e->text, part, n);
        if (f)
            fclose(f);
        while (e->text->n && e->text->p[e->text->n - 1] == '\n')
            e->text->p[--e->text->n] = 0;
        e->at = e->text->n;
    }
    unlink(path);
    term_raw();
    e->row = 0;
}

/* ---- a line --------------------------------------------------------------------------------- */

static void suspend(struct edit *e)
{
    term_cooked();
    kill(0, SIGTSTP);
    term_raw();
    e->row = 0;
}

/* A key that only changes the entry. */
static void change(struct edit *e, int key)
{
    const char c = (char)key;
    switch (key) {
    case CTL('a'): case KEY_HOME: e->at = 0; break;
    case CTL('e'): case KEY_END: e->at = e->text->n; break;
    case CTL('b'): case KEY_LEFT: e->at = left_of(e, e->at); break;
    case CTL('f'): case KEY_RIGHT: e->at = right_of(e, e->at); break;
    case KEY_WORD_LEFT: e->at = word_left(e); break;
    case KEY_WORD_RIGHT: e->at = word_right(e); break;
    case CTL('p'): case KEY_UP: browse(e, true); break;
    case CTL('n'): case KEY_DOWN: browse(e, false); break;
    case 127: case CTL('h'): erase(e, left_of(e, e->at), e->at); break;
    case CTL('d'): case KEY_DELETE: {
        const size_t at = e->at;
        erase(e, at, right_of(e, at));
        break;
    }
    case CTL('k'): erase(e, e->at, e->text->n); break;
    case CTL('u'): erase(e, 0, e->at); break;
    case CTL('w'): case KEY_WORD_DELETE: erase(e, word_left(e), e->at); break;
    case CTL('l'): fputs("\033[H\033[2J", stdout); e->row = 0; break;
    case CTL('j'): insert(e, "\n", 1); break;
    case '\t': insert(e, "        ", 8); break;
    case CTL('g'): edit_outside(e); break;
    case CTL('z'): suspend(e); break;
    case KEY_PASTE: e->pasting = true; break;
    case KEY_PASTE_END: e->pasting = false; break;
    default:
        if (key >= 32 && key < 256)
            insert(e, &c, 1);
    }
}

/* More bytes wait, or a character is not whole yet: drawing now would show half of it. */
static bool more_waits(const struct edit *e)
{
    int n = 0;
    if (ioctl(STDIN_FILENO, FIONREAD, &n) == 0 && n > 0)
        return true;
    size_t start = e->at;
    while (start && e->at - start < 4 && (e->text->p[start - 1] & 0xc0) == 0x80)
        start--;
    if (!start)
        return false;
    const unsigned char lead = (unsigned char)e->text->p[start - 1];
    const size_t want = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    return e->at - start + 1 < want;
}

enum line_result line_read(struct line_history *h, const char *prompt, const char *placeholder,
                           struct buf *out)
{
    struct edit e = {.text = out, .prompt = prompt, .placeholder = placeholder, .h = h,
                     .i_history = h->n};
    enum line_result result = LINE_OK;
    out->n = 0;
    buf_puts(out, "");
    if (!term_raw())
        return LINE_END;
    if (ioctl(STDIN_FILENO, FIONREAD, &e.typed_ahead) != 0)
        e.typed_ahead = 0;
    draw(&e);
    for (;;) {
        const int key = next_key(&e);
        if (key == KEY_EOF || (key == CTL('d') && !out->n)) {
            putchar('\n');
            result = LINE_END;
            break;
        }
        if (key == CTL('c')) {
            const bool was_empty = !out->n;
            leave(&e);
            out->n = 0;
            if (was_empty) {
                result = LINE_INTERRUPT;
                break;
            }
            e.at = 0;
            e.row = 0;
            e.placeholder = placeholder;
        } else if (key == '\r' && !e.pasting) {
            leave(&e);
            break;
        } else {
            change(&e, key == '\r' ? CTL('j') : key);
        }
        if (!more_waits(&e))
            draw(&e);
    }
    fflush(stdout);
    term_cooked();
    buf_free(&e.typed);
    if (out->n)
        history_add(h, out->p);
    return out->failed ? LINE_END : result;
}
