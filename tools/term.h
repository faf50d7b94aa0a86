/* tools/term.h - the terminal: its size, raw mode, Ctrl-C as something to wait for. */
#ifndef CHASKI_TOOLS_TERM_H
#define CHASKI_TOOLS_TERM_H

#include <stdbool.h>

/* Columns of the terminal behind `fd`, 80 if it has none. */
int term_columns(int fd);
int term_rows(int fd);

/* Keys one by one, without echo; Ctrl-C is a key then. The terminal is put back by
 * term_cooked, at exit, and when a signal ends the process. False: stdin is no terminal. */
bool term_raw(void);
void term_cooked(void);

/* From now on Ctrl-C (SIGINT) makes the returned descriptor readable instead of ending the
 * process; -1 if that cannot be had. term_stop_clear empties it. */
int term_stop_fd(void);
void term_stop_clear(void);

#endif
