/* tools/progress.h - what takes long, shown on stderr: a spinner or a bar on one line.
 *
 * Facts: shared/spec/cli.md 5. Not on a terminal: no control codes, one line for each new status
 * and for each 10 % of a transfer. */
#ifndef CHASKI_TOOLS_PROGRESS_H
#define CHASKI_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    bool is_tty, is_open; /* is_open: a line is shown and not yet ended */
    char message[160];
    int64_t done, total; /* total 0: a spinner */
    int64_t started_ns, first_done, drawn_ns;
    int frame, told; /* told: the last percentage that was printed, in tens */
};
void progress_start(struct progress *p);
/* The same message goes on; another ends the line before it. */
void progress_spin(struct progress *p, const char *message);
void progress_bar(struct progress *p, const char *message, int64_t done, int64_t total);
void progress_tick(void *progress); /* call about every 100 ms */
void progress_end(struct progress *p);   /* the line stays */
void progress_clear(struct progress *p); /* the line goes */

#endif
