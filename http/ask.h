/* http/ask.h - a request for tokens, whatever route it came by: every style's parser fills this. */
#ifndef CHASKI_HTTP_ASK_H
#define CHASKI_HTTP_ASK_H

#include "http/inside.h"

enum ask_think { THINK_UNSET, THINK_OFF, THINK_ON };
enum ask_tools { TOOLS_AUTO, TOOLS_NONE, TOOLS_REQUIRED, TOOLS_ONE }; /* tool_choice (12.6) */

struct ask {      /* text and JSON are borrowed from `body` and `kept`, which it owns */
    json_t *body; /* as it was sent */
    json_t *kept; /* array: what the parser made; see ask_keep */
    bool is_chat; /* `messages` count, else `prompt` and what belongs to it */
    const char *model;
    const char *prompt, *suffix, *system, *template_text; /* NULL where not given or empty */
    const json_t *prompts;     /* several strings instead of `prompt`: a choice each; or NULL */
    const json_t *messages;    /* chat: an array in the form of spec/api.md 6.1, or NULL */
    const json_t *tools;       /* a non-empty array in the form of 12.1, or NULL */
    enum ask_tools choose;     /* what may or must be called; TOOLS_NONE: `tools` is NULL */
    const char *choose_name;   /* the tool of TOOLS_ONE */
    bool one_call;             /* at most one call in the answer */
    const json_t *format;      /* the string "json" or a schema object, or NULL */
    const char *grammar;       /* GBNF, ours; or NULL. Not both */
    const json_t *options;     /* object or NULL */
    const json_t *defaults;    /* options that lie under the model's own PARAMETERs, or NULL */
    const json_t *context;     /* non-empty array of integers, or NULL */
    bool stream, raw, no_truncate, no_shift, wants_images, render_only;
    bool logprobs;
    int top_logprobs; /* 0..20 */
    int n;            /* choices for each prompt; 0 = 1 */
    enum ask_think think;
    const char *think_level; /* "low", "medium", "high", "max", or NULL */
    bool think_if_able;      /* a model that cannot think answers without */
    bool has_keep_alive;
    int64_t keep_alive_ns;
    unsigned flags; /* the style's own */
};

struct style;
/* Takes the bytes of the body. On error nothing is to be freed. */
int ask_parse(struct ask *a, const struct style *style, const char *p, size_t n, struct err *e);
void ask_free(struct ask *a);
bool ask_is_empty(const struct ask *a); /* load or unload: no prompt, no messages */
int ask_n_choices(const struct ask *a);
/* The request now owns `v` (taken, NULL without memory); returns it, or NULL with `e` filled. */
json_t *ask_keep(struct ask *a, json_t *v, struct err *e);
/* The conversation as the engine takes it: {"messages": [...], ...}, for the choice of that index.
 * New reference or NULL. */
json_t *ask_conversation(const struct ask *a, int choice, const struct store_model *m,
                         const struct eng_info *info, struct err *e);
/* The prompt of a choice, not NULL. */
const char *ask_prompt(const struct ask *a, int choice);

/* ---- for parsers ----------------------------------------------------------------------------- */

/* `truncate` and `shift` where the route has them; they are left alone when absent. */
int ask_limits(struct ask *a, struct err *e);
int ask_keep_alive(struct ask *a, struct err *e);
/* `logprobs` as a boolean, and `top_logprobs`. */
int ask_logprobs(struct ask *a, struct err *e);
/* The format is `schema` of that object, or an error that names it `at`. */
int ask_schema(struct ask *a, const json_t *holder, const char *at, struct err *e);
/* `grammar`, once a->format is read. */
int ask_grammar(struct ask *a, struct err *e);
/* Every message of a->messages has the form of 6.1: sets wants_images too. */
int ask_check_messages(struct ask *a, struct err *e);
/* Checks `tools` (NULL: none) and sets a->tools: parameters are there in each. */
int ask_take_tools(struct ask *a, const json_t *tools, struct err *e);
/* `tool_choice` in the forms of 12.6 (v may be NULL), after a->tools is there. */
int ask_tool_choice(struct ask *a, const json_t *v, struct err *e);
/* Its meaning, after a->tools is there: an unknown name is an error. */
int ask_choose_tools(struct ask *a, enum ask_tools choose, const char *name, struct err *e);
int ask_strings_only(const json_t *list, const char *where, struct err *e);
int ask_images(const json_t *list, const char *where, struct err *e);
#endif
