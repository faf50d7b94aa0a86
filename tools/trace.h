/* tools/trace.h - a trace of steps as a file, and in a few lines, for `chaski bench`. */
#ifndef CHASKI_TOOLS_TRACE_H
#define CHASKI_TOOLS_TRACE_H

#include "engine/engine.h"

/* In the Chrome trace event format (an object with traceEvents), which Perfetto opens. */
int trace_write(const struct trace *t, const char *path, struct err *e);
/* Where the time went, to stderr: by kind of step, the share lost in waiting and each operator's. */
void trace_summary(const struct trace *t);

#endif
