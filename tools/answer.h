/* tools/answer.h - an answer of a model as it comes: shown, kept, and timed. */
#ifndef CHASKI_TOOLS_ANSWER_H
#define CHASKI_TOOLS_ANSWER_H

#include <jansson.h>
#include <stdbool.h>
#include "gguf/base.h"

struct progress;

struct answer { /* zero it, set the first part */
    bool word_wrap;            /* has effect on a terminal only */
    bool hide_thinking;
    struct progress *waiting;  /* a spinner that goes with the first text, or NULL */
    struct buf text, thinking; /* all of it */
    json_t *tool_calls;        /* a list or NULL */
    json_t *last;              /* the object with "done": true */
    /* inside */
    bool is_thinking, was_thinking, started;
    int column;      /* of the cursor */
    struct buf word; /* since the last space */
    int word_width;
};
/* A client_line: one object of /api/generate or /api/chat; `arg` is the struct answer. */
int answer_line(void *arg, const json_t *line);
void answer_text(struct answer *a, const char *text); /* show more text, with word wrap */
void answer_end(struct answer *a); /* colours off; call also after an error */
void answer_timings(const struct answer *a); /* on stderr */
void answer_free(struct answer *a);

#endif
