/* http/turn.h - a message of the core's form (spec/api.md 6.1) out of the parts that other styles
 * send: text, thinking, images, calls of tools, their results. */
#ifndef CHASKI_HTTP_TURN_H
#define CHASKI_HTTP_TURN_H

#include "http/inside.h"

struct turn { /* zero-initialise; turn_free at the end */
    struct buf text, thinking;
    json_t *images, *calls;
    bool is_kept; /* also when nothing is in it */
    bool failed;  /* memory ended: turn_end tells */
};
void turn_text(struct turn *t, const char *p, size_t n);
void turn_thinking(struct turn *t, const char *p, size_t n);
void turn_image(struct turn *t, const char *base64);
/* Takes `arguments`, an object; `names` (an object, id -> name of the tool) learns of the call. */
void turn_call(struct turn *t, const char *id, const char *name, json_t *arguments, json_t *names);
/* Append the message to `list` unless nothing was put in; the turn is empty then. -1: no memory. */
int turn_end(struct turn *t, const char *role, json_t *list, struct err *e);
void turn_free(struct turn *t);

/* Append the answer of the tool that was called by `id`: `t` holds its text and images. */
int turn_end_result(struct turn *t, const char *id, const json_t *names, json_t *list,
                    struct err *e);
/* The first byte at which this is no base64 in padded form, or -1. */
long base64_fault(const char *p, size_t n);
/* What stands behind "data:...;base64," where there is such a prefix. */
const char *without_data_prefix(const char *p);
#endif
