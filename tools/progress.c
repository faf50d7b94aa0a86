/* tools/progress.c - spinner and bar on stderr. Facts: shared/spec/cli.md 5. One line at a time:
 * what is shown comes from one stream, which does one thing after the other. */
#include "tools/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "gguf/base.h"
#include "tools/human.h"
#include "tools/term.h"
#include "tools/text.h"

enum { DRAW_NS = 100000000 };

void progress_start(struct progress *p)
{
    *p = (struct progress){.is_tty = isatty(STDERR_FILENO)};
}

static void time_left(double seconds, char out[24])
{
    const long long s = seconds > 1e9 ? 1000000000 : (long long)seconds;
    if (s >= 360000)
        snprintf(out, 24, "99h+");
    else if (s >= 3600)
        snprintf(out, 24, "%lldh%lldm", s / 3600, s / 60 % 60);
    else if (s >= 60)
        snprintf(out, 24, "%lldm%llds", s / 60, s % 60);
    else
        snprintf(out, 24, "%llds", s);
}

/* Bytes of the message that fit in `room` columns: a line that wraps could not be drawn over. */
static int shown(const struct progress *p, int room)
{
    const int n = (int)strlen(p->message);
    int keep = room < 0 ? 0 : n < room ? n : room;
    while (keep > 0 && keep < n && ((unsigned char)p->message[keep] & 0xc0) == 0x80)
        keep--;
    return keep;
}

static void draw_bar(struct progress *p, bool finished)
{
    char done[HUMAN_TEXT], total[HUMAN_TEXT], rate[HUMAN_TEXT], left[24];
    struct buf right = {0};
    const double seconds = (double)(time_mono_ns() - p->started_ns) / 1e9;
    const double speed = seconds > 0 ? (double)(p->done - p->first_done) / seconds : 0;
    human_size(p->done, done);
    human_size(p->total, total);
    if (finished) {
        buf_printf(&right, "%-6s       ", total);
    } else {
        buf_printf(&right, "%6s/%-6s", done, total);
    }
    if (speed >= 1 && !finished) {
        human_size((int64_t)speed, rate);
        time_left((double)(p->total - p->done) / speed, left);
        buf_printf(&right, "  %6s/s  %6s", rate, left);
    } else {
        buf_puts(&right, "                  ");
    }
    char head[200];
    const double part = p->total > 0 ? (double)p->done / (double)p->total : 1;
    const int columns = term_columns(STDERR_FILENO);
    snprintf(head, sizeof head, "%.*s %3.0f%%", shown(p, columns - 6), p->message, 100 * part);
    const int bar = columns - (int)strlen(head) - (int)right.n - 5;
    fputs("\r", stderr);
    out_text(stderr, head);
    if (bar > 0) {
        const int full = (int)(part * bar);
        fputs(" \u2595", stderr);
        for (int i = 0; i < bar; i++)
            fputs(i < full ? "\u2588" : " ", stderr);
        fputs("\u258f ", stderr);
        fputs(right.p ? right.p : "", stderr);
    }
    fputs("\033[K", stderr);
    buf_free(&right);
}

static void draw(struct progress *p, bool finished)
{
    static const char *const frames[] = {"\u280b", "\u2819", "\u2839", "\u2838", "\u283c",
                                         "\u2834", "\u2826", "\u2827", "\u2807", "\u280f"};
    p->drawn_ns = time_mono_ns();
    if (p->total) {
        draw_bar(p, finished);
    } else {
        fputs("\r", stderr);
        out_bytes(stderr, p->message, (size_t)shown(p, term_columns(STDERR_FILENO) - 4));
        fprintf(stderr, " %s \033[K", finished ? "" : frames[p->frame]);
        p->frame = (p->frame + 1) % 10;
    }
    fflush(stderr);
}

/* A new line if the message is another one. */
static bool is_new(struct progress *p, const char *message)
{
    if (p->is_open && !strncmp(p->message, message, sizeof p->message - 1))
        return false;
    progress_end(p);
    snprintf(p->message, sizeof p->message, "%s", message);
    p->is_open = true;
    p->started_ns = time_mono_ns();
    p->done = p->total = p->told = 0;
    return true;
}

void progress_spin(struct progress *p, const char *message)
{
    if (is_new(p, message) && p->is_tty) {
        draw(p, false);
    } else if (p->told == 0 && !p->is_tty) {
        fprintf(stderr, "%s\n", p->message);
        p->told = 1;
    }
}

void progress_bar(struct progress *p, const char *message, int64_t done, int64_t total)
{
    const bool first = is_new(p, message);
    p->total = total > 0 ? total : 1;
    p->done = done < p->total ? done : p->total;
    if (first)
        p->first_done = p->done;
    if (p->is_tty) {
        if (first || time_mono_ns() - p->drawn_ns >= DRAW_NS)
            draw(p, false);
        return;
    }
    const int tens = (int)(10 * (double)p->done / (double)p->total);
    if (first || tens > p->told)
        fprintf(stderr, "%s %d%%\n", p->message, 10 * tens);
    p->told = tens;
}

void progress_tick(void *progress)
{
    struct progress *p = progress;
    if (p->is_open && p->is_tty && time_mono_ns() - p->drawn_ns >= DRAW_NS)
        draw(p, false);
}

void progress_end(struct progress *p)
{
    if (p->is_open && p->is_tty) {
        draw(p, true);
        fputs("\n", stderr);
    }
    p->is_open = false;
}

void progress_clear(struct progress *p)
{
    if (p->is_open && p->is_tty)
        fputs("\033[2K\033[1G", stderr);
    fflush(stderr);
    p->is_open = false;
}
