/* tools/input.h - a whole file or stdin in memory. */
#ifndef CHASKI_TOOLS_INPUT_H
#define CHASKI_TOOLS_INPUT_H

#include <stdio.h>
#include "gguf/base.h"

/* Add what is left of `in` to `text`; `name` is for the error. More than `limit` bytes are an
 * error, never cut. 0, or -1. */
int input_read(FILE *in, const char *name, size_t limit, struct buf *text, struct err *e);

#endif
