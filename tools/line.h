/* tools/line.h - a line of input with keys to edit it, and the history of lines.
 *
 * Facts: shared/spec/cli.md 4.3, 4.4. */
#ifndef CHASKI_TOOLS_LINE_H
#define CHASKI_TOOLS_LINE_H

#include <stdbool.h>
#include "gguf/base.h"

struct line_history;
/* The history in $HOME/.chaski/history; NULL without memory. Without a home, or with
 * OLLAMA_NOHISTORY, it lives in memory only. */
struct line_history *history_open(void);
void history_free(struct line_history *h);
void history_add(struct line_history *h, const char *line);
void history_keep(struct line_history *h, bool on_disk);

enum line_result { LINE_OK, LINE_END, LINE_INTERRUPT };
/* Read a line into `out` (emptied first), without its end. It may hold newlines (Ctrl-J, paste).
 * stdin is a terminal; it is put back before the return. */
enum line_result line_read(struct line_history *h, const char *prompt, const char *placeholder,
                           struct buf *out);

#endif
