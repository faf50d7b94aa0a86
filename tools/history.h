/* tools/history.h - the inside of the history, for the line editor. */
#ifndef CHASKI_TOOLS_HISTORY_H
#define CHASKI_TOOLS_HISTORY_H

#include <stdbool.h>
#include <stddef.h>

enum { HISTORY_MAX = 100 };
struct line_history {
    char *lines[HISTORY_MAX]; /* oldest first */
    size_t n;
    char path[4096];
    bool on_disk;
};

#endif
