/* engine/chat/split.h - what the files of the splitter share. Private to engine/chat.
 *
 * Facts: spec/modelfile-and-templates.md 6 to 8. A format says how calls of tools are written: by
 * which tag they open and close, and what stands between. */
#ifndef CHASKI_CHAT_SPLIT_H
#define CHASKI_CHAT_SPLIT_H

#include "engine/chat/chat.h"

enum body { /* what stands between the tags */
            BODY_NONE,
            BODY_JSON,    /* objects, or lists of them, with a name and arguments */
            BODY_NAMED,   /* NAME, a mark, a JSON object */
            BODY_XML,     /* <function=NAME><parameter=P>V</parameter></function>, and its like */
            BODY_PAIRS,   /* NAME <arg_key>K</arg_key><arg_value>V</arg_value>... */
            BODY_BRACES,  /* call:NAME{key:value,..} with marks around strings */
            BODY_PYTHON,  /* name(key=value, ..), a list of them or one a line */
            BODY_HARMONY, /* the whole answer is messages with headers */
};

struct call_format {
    enum chat_calls kind;
    const char *marks[3]; /* all of these in the template: this format; NULL ends */
    const char *open[3];  /* any of these opens; NULL ends. None: the answer itself is the call */
    const char *close;    /* NULL: the end of the JSON value, or of the answer */
    enum body body;
    const char *name_end;   /* BODY_NAMED: between the name and the object */
    const char *string;     /* BODY_BRACES: around strings */
    const char *dropped[5]; /* tags that are no content; NULL ends */
    bool strict_name;       /* a name that was not offered makes it content */
};
extern const struct call_format call_formats[];
const struct call_format *format_of(enum chat_calls kind);
/* The format of a manner: its own tags in place of the table's; they live as long as the manner. */
void format_for(const struct chat_manner *m, struct call_format *out);

/* bodies.c: calls of a complete body, appended to `calls`: {"name": .., "arguments": {..}} and,
 * where the model gave one, "id". -1: it is no call (nothing was appended), or no memory
 * (*out_of_memory). */
int body_read(const struct call_format *f, const char *p, size_t n, const json_t *tools,
              json_t *calls, bool *out_of_memory);
/* Does p[0..n) of a body end within a string? Its text may hold the closing tag. */
bool body_in_string(const struct call_format *f, const char *p, size_t n);
/* An answer ended inside of a body: the bytes of its calls that are complete, none half said. */
size_t body_whole(const struct call_format *f, const char *p, size_t n, const json_t *tools);
/* bodies_code.c */
int braces_body(const struct call_format *f, const char *p, size_t n, json_t *calls, bool *oom);
int python_body(const char *p, size_t n, const json_t *tools, json_t *calls, bool *oom);
/* What the readers of bodies share (bodies.c). call_add takes args; -1: no memory, *oom is set. */
int json_body(const char *p, size_t n, const json_t *tools, json_t *calls, bool *oom);
int call_add(json_t *calls, const char *name, size_t n, json_t *args, const json_t *id, bool *oom);
int arg_set(json_t *args, const char *key, size_t n_key, json_t *v, bool *oom); /* takes v */
bool is_blank(char c);
bool is_word(const char *p, size_t n, const char *word); /* in any case */
void text_trim(const char **p, size_t *n);
const char *text_find(const char *p, size_t n, const char *what);
/* The schema of a tool's parameters, or NULL. */
const json_t *tool_parameters(const json_t *tools, const char *name, size_t n);
bool tool_is_known(const json_t *tools, const char *name, size_t n);
/* Bytes of the JSON object or list that p[0..n) begins with; 0: it is not complete. */
size_t json_span(const char *p, size_t n);
/* obey.c */
bool call_obeys(const json_t *tools, const json_t *call);
json_t *typed_value(const char *p, size_t n, const json_t *schema);

/* calls.c: GBNF. A text as a string; rules NAME-0..: any text in which none of the tags stands, then one,
 * then its `then` (NULL: this tag must not come). A tag NULL ends the list. `may_end`: the text may
 * also end before a tag comes. */
struct free_tag {
    const char *tag, *then;
};
void gbnf_string(struct buf *b, const char *p, size_t n);
void gbnf_free(struct buf *b, const char *name, const struct free_tag *tags, bool may_end);
/* calls_code.c: a call of tool i, its values' schemas in `schemas`, in `rules` rules that it uses; -1: no
 * memory. */
int gbnf_tagged_call(struct buf *b, enum chat_calls kind, const json_t *function, size_t i,
                     json_t *schemas);
int gbnf_members_call(struct buf *b, struct buf *rules, const struct call_format *f,
                      const json_t *function, size_t i, json_t *schemas);
/* Rules for strings without quotes, that all calls of the format use. */
void gbnf_raw_rules(struct buf *b, const struct call_format *f);

/* harmony.c */
struct harmony {
    enum { H_HEADER, H_TEXT } state;
    enum { H_THINK, H_SAY, H_CALL } what;
    bool any; /* a header was read */
    char to[128];
    struct buf header, call;
};
void harmony_start(struct harmony *h);
void harmony_free(struct harmony *h);
/* Take what can be told from held[0..n): returns how many bytes were used. `end`: no more comes. */
size_t harmony_take(struct harmony *h, const char *p, size_t n, bool end, struct chat_said *out,
                    json_t *calls, bool *out_of_memory);
/* Bytes at the end of p[0..n) that may be the start of `tag`. */
size_t tag_begins(const char *p, size_t n, const char *tag);

/* ---- the splitter itself (split.c, split_call.c) --------------------------------------------- */

struct chat_split {
    struct chat_manner manner;
    struct call_format own; /* with the tag that a Go template gave */
    const struct call_format *f;
    json_t *tools; /* NULL: no calls are looked for */
    enum {
        S_LOOKING,     /* thoughts may open */
        S_THINK_BLANK, /* behind the opening tag */
        S_THINKING,
        S_BEGIN, /* blanks behind the thoughts, or the start where a bare call may come */
        S_TEXT,
        S_CALL, /* held: the opening tag, then the body */
        S_MORE, /* behind a call without a closing tag: another may follow */
    } state;
    bool reopened;     /* the opening tag came twice, or cannot any more */
    bool drops_blanks; /* S_BEGIN: blanks at the start are no text */
    bool after_call;   /* blanks between calls are no text */
    bool bare;         /* S_CALL: there was no tag */
    bool fenced;       /* but the fence of a code block: its end is no text */
    bool thought;      /* the tag came among the thoughts: they go on when it was no call */
    size_t body_at;    /* S_CALL: bytes of the opening tag, and of blanks before it */
    size_t looked;     /* S_CALL: bytes in which no end was found */
    struct buf held;
    struct harmony harmony;
    uint64_t salt;           /* of the ids of calls */
    int n_calls, most_calls; /* 0: as many as there are */
    bool obeys;              /* calls that do not obey their schemas are text */
    json_t *ids;             /* that calls have, as keys */
    bool oom;
};
void split_drop(struct chat_split *s, size_t n); /* of what is held */
void split_say(struct chat_split *s, struct buf *to, size_t n);
/* Does held begin with the tag? -1: that is not decided. */
int split_begins(const struct chat_split *s, size_t from, const char *tag, bool end);
void split_give_calls(struct chat_split *s, json_t *calls, struct chat_said *out);
/* States: each returns whether it changed something. */
bool split_take_call(struct chat_split *s, bool end, struct chat_said *out);
bool split_take_more(struct chat_split *s, bool end);
#endif
