/* tools/term.c - the terminal: its size, raw mode, Ctrl-C as something to wait for.
 *
 * Whatever way the process ends, the terminal is as it was: tcsetattr and write are safe in
 * signal handlers, so the handlers of the ending signals put it back themselves. */
#include "tools/term.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define PASTE_ON "\033[?2004h"
#define PASTE_OFF "\033[?2004l"

static struct termios before; /* valid while is_raw or was_raw */
static volatile sig_atomic_t is_raw;
static bool has_handlers;
static int stop_pipe[2] = {-1, -1};

static struct winsize size_of(int fd)
{
    struct winsize w = {0};
    if (ioctl(fd, TIOCGWINSZ, &w) != 0)
        w = (struct winsize){0};
    return w;
}

int term_columns(int fd)
{
    const int n = size_of(fd).ws_col;
    return n ? n : 80;
}

int term_rows(int fd)
{
    const int n = size_of(fd).ws_row;
    return n ? n : 24;
}

void term_cooked(void)
{
    if (!is_raw)
        return;
    is_raw = 0;
    (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
    if (write(STDOUT_FILENO, PASTE_OFF, strlen(PASTE_OFF)) < 0)
        return;
}

static void on_end(int sig)
{
    term_cooked();
    signal(sig, SIG_DFL);
    raise(sig);
}

bool term_raw(void)
{
    if (is_raw)
        return true;
    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &before) != 0)
        return false;
    if (!has_handlers) {
        static const int ends[] = {SIGTERM, SIGHUP, SIGQUIT};
        for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
            signal(ends[i], on_end);
        atexit(term_cooked);
        has_handlers = true;
    }
    struct termios raw = before;
    raw.c_iflag &= ~(tcflag_t)(BRKINT | ICRNL | INPCK | ISTRIP | IXON);
    raw.c_lflag &= ~(tcflag_t)(ECHO | ICANON | IEXTEN | ISIG);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) != 0)
        return false;
    is_raw = 1;
    return write(STDOUT_FILENO, PASTE_ON, strlen(PASTE_ON)) > 0;
}

static void on_interrupt(int sig)
{
    (void)sig;
    if (write(stop_pipe[1], "", 1) < 0)
        return; /* full: the reader will see that it is */
}

int term_stop_fd(void)
{
    if (stop_pipe[0] < 0) {
        struct sigaction act = {.sa_handler = on_interrupt};
        if (pipe2(stop_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
            return -1;
        sigaction(SIGINT, &act, NULL);
    }
    return stop_pipe[0];
}

void term_stop_clear(void)
{
    char rest[64];
    while (stop_pipe[0] >= 0 && read(stop_pipe[0], rest, sizeof rest) > 0)
        ;
}
