/* http/ask.h - a request for tokens, read from the body of generate or chat. */
#ifndef CHASKI_HTTP_ASK_H
#define CHASKI_HTTP_ASK_H

#include "http/inside.h"

enum ask_think { THINK_UNSET, THINK_OFF, THINK_ON };

struct ask { /* everything is borrowed from `body`, which it owns */
    json_t *body;
    bool is_chat;
    const char *model;
    const char *prompt, *suffix, *system, *template_text; /* NULL where not given or empty */
    const json_t *messages;                               /* chat: array or NULL */
    const json_t *tools;                                  /* a non-empty array, or NULL */
    const json_t *options;                                /* object or NULL */
    const json_t *context;                                /* non-empty array of integers, or NULL */
    bool stream, raw, no_truncate, no_shift, wants_images, render_only;
    enum ask_think think;
    bool has_keep_alive;
    int64_t keep_alive_ns;
};

/* Takes the bytes of the body. On error nothing is to be freed. What is not there yet is refused
 * here where no model is needed to say so (ERR_UNSUPPORTED). */
int ask_parse(struct ask *a, const char *p, size_t n, bool is_chat, struct err *e);
void ask_free(struct ask *a);
bool ask_is_empty(const struct ask *a); /* load or unload: no prompt, no messages */
/* The conversation as the engine takes it: {"messages": [...], ...}. New reference or NULL. */
json_t *ask_conversation(const struct ask *a, const struct store_model *m,
                         const struct eng_info *info, struct err *e);
#endif
