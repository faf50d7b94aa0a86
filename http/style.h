/* http/style.h - a style: a parser and a printer of requests for tokens, nothing more.
 *
 * All routes that generate text share one way (http/answer.c): the style's parser fills a struct
 * ask; the core finds the model, checks what it can do, lays out the prompt and submits a job for
 * each choice; the engine's events come to the style's printer. A style is a table of functions:
 *
 *     streamed     begin (once a choice) piece... end (once a choice)   finish (once)
 *     not          whole (once): everything is in the answer's choices
 *
 * Printers run on an engine thread under the answer's lock. They append bytes to `b` and do
 * nothing else; memory that runs out shows in b->failed. */
#ifndef CHASKI_HTTP_STYLE_H
#define CHASKI_HTTP_STYLE_H

#include "http/ask.h"

struct piece {
    const char *text; /* whole characters; n may be 0 */
    size_t n;
    const char *thinking;
    size_t n_thinking;
    const json_t *calls; /* of tools, in the form of spec/api.md 12.2; NULL when none */
    const struct eng_logprob *logprobs;
    size_t n_logprobs;
};

struct choice { /* one of the texts that the request asks for; nearly always the only one */
    struct answer *answer;
    struct chat_split *split; /* thoughts and calls; NULL: all is text */
    int index;
    bool begun, ended;
    size_t n_pieces; /* seen so far */
    /* What came so far, joined; kept when not streamed, or when the style says `keeps`. */
    struct buf text, thinking;
    json_t *calls;  /* array, or NULL */
    size_t n_calls; /* seen so far, kept or not */
    size_t n_text_before_calls; /* bytes of `text` when the first call came */
    int32_t n_evaluated, n_thought; /* tokens so far; of these, thoughts */
    size_t mark;    /* the style's own */
    /* logprobs[0]: printed entries with commas between, unless the style prints them itself. */
    struct buf logprobs[4];
    size_t n_logprobs;
    /* Since `end`, without context and warnings; of a style that opens early the prompt's counts
     * already in `begin`. */
    struct eng_stats stats;
    const char *reason; /* "stop", "length", "load" or "unload" */
};

struct answer { /* the state of a call that generates */
    struct call *call;
    const struct style *style;
    struct ask ask;
    char *model;     /* the name as sent, as JSON text with its quotes */
    char id[25];     /* random letters and digits */
    int64_t begun_s; /* Unix time */
    int64_t submitted_ns;
    bool is_load;
    int64_t base_seed; /* of several choices where none was given */
    bool has_base_seed;
    double temperature, top_p, presence_penalty, frequency_penalty; /* that are used */
    struct buf rendered; /* _debug_render_only: the prompt; whole is called, no choice has text */
    bool is_rendered;
    void *own; /* the style's state; freed with free() */

    pthread_mutex_t lock; /* guards what follows, and the choices */
    bool is_over;
    int n_choices, n_ended;
    struct choice *choices;
    /* During end, finish and whole: of the job that ended last; NULL in load and unload. */
    const struct eng_stats *last;
};

struct style {
    const struct shape *shape; /* of errors; routes.c has it by the path, too */
    const char *stream_type;   /* Content-Type of streams: type_ndjson, type_sse */
    bool keeps;                /* choices collect their text in streams, too */
    const char *sign_of_life;  /* bytes for a stream that is silent for long; NULL: nothing */
    bool opens_early;          /* `begin` comes when the prompt is laid out, not with the first text */
    bool no_cache;             /* streams carry Cache-Control: no-cache */
    /* From a->body (an object) into `a`. Errors name the field. */
    int (*parse)(struct ask *a, struct err *e);
    /* Before the job is submitted, on the worker: set answer.own; may be NULL. */
    int (*prepare)(struct answer *w, struct err *e);

    /* The stream; what is NULL prints nothing. */
    void (*begin)(struct answer *w, struct choice *ch, struct buf *b);
    void (*piece)(struct answer *w, struct choice *ch, const struct piece *p, struct buf *b);
    void (*end)(struct answer *w, struct choice *ch, struct buf *b);
    void (*finish)(struct answer *w, struct buf *b);
    /* An error after the stream began; NULL: the shape's. */
    void (*fail)(struct answer *w, struct buf *b, int status, enum err_code code, const char *text);

    /* Not streamed. The shape's end is added behind. */
    void (*whole)(struct answer *w, struct buf *b);
    /* The prompt's (eng_piece.of_prompt), before any piece; NULL: they are not asked for. */
    void (*keep_prompt)(struct choice *ch, const struct eng_piece *p);
    /* Keep the logprobs of a piece for `whole`; NULL: entries as print_logprobs in logprobs[0]. */
    void (*keep_logprobs)(struct choice *ch, const struct piece *p);
};

/* The handler of a route that generates: on a worker. */
void answer_run(struct call *c, const struct style *style);
/* The same for a route that only counts the tokens of such a request's prompt, without loading the
 * model: {"input_tokens":N}. */
void answer_count(struct call *c, const struct style *style);

/* ---- printers' tools ------------------------------------------------------------------------- */

/* {"token":..,"logprob":..,"bytes":[..],"top_logprobs":[..]},... without brackets. */
void print_logprobs(struct buf *b, const struct eng_logprob *list, size_t n);
/* The token's bytes as a JSON string, U+FFFD for what is not UTF-8. */
void print_token(struct buf *b, const struct eng_logprob *p);
void print_logprob(struct buf *b, double v);
/* n random characters of a-zA-Z0-9 and a NUL. */
void random_id(char *out, size_t n);
/* ,"prompt_truncated":..,"context_shifts":..,"seed":..,"warnings":[..]: what there is to say
 * (spec/api.md 29.2), each behind a comma; nothing when there is nothing. */
void print_remarks(struct buf *b, const struct answer *w);
/* "_debug_info":{"rendered_template":..} */
void print_debug_info(struct buf *b, const struct answer *w);
/* The same in headers (x-chaski-seed, ..), where the style's objects have no place for it. In
 * `whole` only. */
void answer_remark_headers(struct answer *w);
/* The limit, or the request's deadline, cut the text. */
bool choice_is_cut(const struct choice *ch);
/* n random hex digits and a NUL. */
void random_hex(char *out, size_t n);

extern const struct style style_generate, style_chat;         /* ollama.c */
extern const struct style style_messages, style_count_tokens; /* messages.c */
extern const struct style style_responses;                    /* responses.c */
#endif
