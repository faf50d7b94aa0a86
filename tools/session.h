/* tools/session.h - what `chaski run` knows while it runs, shared by its files. */
#ifndef CHASKI_TOOLS_SESSION_H
#define CHASKI_TOOLS_SESSION_H

#include <jansson.h>
#include <stdbool.h>
#include "gguf/base.h"

struct client;
struct line_history;

struct session {
    struct client *client;
    char *model;
    json_t *info;       /* the answer of /api/show */
    json_t *messages;   /* of the conversation */
    json_t *options;    /* set by the user */
    json_t *format;     /* "json", a schema, or NULL */
    json_t *think;      /* true, false, a level, or NULL: not sent */
    json_t *keep_alive; /* or NULL */
    bool verbose, word_wrap, hide_thinking;
};
bool session_can(const struct session *s, const char *capability);
/* Take another model: its information; 0, or -1 with the old one kept. */
int session_set_model(struct session *s, const char *model, struct err *e);
/* An empty generate call: the model is loaded. */
int session_load(struct session *s, struct err *e);
/* A request with model, options, format, think, keep_alive; a new reference or NULL. */
json_t *session_request(const struct session *s);
/* "true", "high", .. to what the server takes; NULL if it is none of them. */
json_t *session_think_value(const char *text);
/* The interactive mode. An exit status. */
int chat_run(struct session *s);

/* ---- slash commands ---------------------------------------------------------------- */

enum slash_result { SLASH_DONE, SLASH_EXIT, SLASH_MORE, SLASH_UNKNOWN };
struct slash { /* what spans several lines */
    bool in_system;      /* /set system """ is open */
    struct buf system;
    struct line_history *history;
};
/* `line` starts with '/'. Errors of calls are shown here. SLASH_MORE: the next line belongs to
 * it. */
enum slash_result slash_run(struct session *s, struct slash *sl, const char *line);
/* A further line of an open /set system """. */
enum slash_result slash_more(struct session *s, struct slash *sl, const char *line);

#endif
