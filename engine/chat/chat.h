/* engine/chat/chat.h - the door of the chat room: conversation -> prompt text.
 *
 * A template is untrusted input (security.md): bounded in source, steps, depth, output and
 * memory, with no way out to files, process or clock but the one given. */
#ifndef CHASKI_CHAT_H
#define CHASKI_CHAT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include "gguf/base.h"

enum chat_language { CHAT_JINJA, CHAT_GO };

struct gguf;
struct chat_template; /* parsed; read-only, so any number of threads may render it */

/* Parse `source`. ERR_INPUT with line and column for a syntax error; of a Go template in Go's own
 * words, which have the line: "template: :1: unclosed action". */
struct chat_template *chat_template_new(enum chat_language lang, const char *source, size_t n,
                                        struct err *e);
void chat_template_free(struct chat_template *t);
/* The Jinja template of a model file, malloced; NULL in *source: it has none. Where the file has one
 * for requests with tools beside it (tokenizer.chat_template.tool_use), both in one that chooses. */
int chat_template_of(const struct gguf *g, char **source, struct err *e);
/* Does the source name this word (capabilities: "tools", "<think>")? */
bool chat_template_mentions(const struct chat_template *t, const char *word);
enum chat_use { CHAT_USES_MESSAGES, CHAT_USES_TOOLS, CHAT_USES_SUFFIX };
bool chat_template_uses(const struct chat_template *t, enum chat_use what); /* its variables */
/* Of CHAT_GO, by its tree: what stands around a message's thoughts and before its calls ("{" where
 * that is bare JSON), each "" where there is none or it has no room in `cap` bytes. */
void chat_template_tags(const struct chat_template *t, char *think_open, char *think_close,
                        size_t cap, char *call, size_t cap_call);

struct chat_prompt {
    struct buf text;            /* the prompt */
    struct text_span *trusted;  /* where text came from the template's own literals, or from */
    size_t n_trusted;           /* bos_token and its like, or is a message's role of the fixed set */
};                              /* (system, user, ..): sorted, merged. Everything else came from */
                                /* the conversation and never becomes control tokens. */
void chat_prompt_free(struct chat_prompt *p);

/* Render. `input` is a JSON object; each key is a variable of the template (Jinja: messages,
 * tools, add_generation_prompt, bos_token, eos_token, ...; Go: messages, tools, think, or prompt and
 * suffix; enable_thinking and reasoning_effort stand for think).
 * The key "$now" ("2026-01-31T12:34:56", optional) is the time for strftime_now. ERR_INPUT: the
 * template raised (the text is its own words), or used what is not there, or passed a limit (the
 * text says which and where). `out` must be zeroed by the caller. */
int chat_render(const struct chat_template *t, const json_t *input, struct chat_prompt *out,
                struct err *e);

/* ---- what an answer says: thoughts, text, calls of tools ------------------------------------- */

enum chat_calls { /* how a model writes calls (spec/modelfile-and-templates.md 8) */
    CALLS_NONE,
    CALLS_HARMONY,
    CALLS_MISTRAL_NAMED,
    CALLS_MISTRAL,
    CALLS_KIMI,
    CALLS_DEEPSEEK,
    CALLS_COMMAND_A,
    CALLS_MINIMAX,
    CALLS_SEED,
    CALLS_GLM,
    CALLS_QWEN_XML,
    CALLS_FUNCTIONARY,
    CALLS_GEMMA4,
    CALLS_FUNCTIONGEMMA,
    CALLS_LFM2,
    CALLS_OLMO3,
    CALLS_NEMOTRON,
    CALLS_GRANITE,
    CALLS_APERTUS,
    CALLS_HERMES,
    CALLS_FIREFUNCTION,
    CALLS_COMMAND_R,
    CALLS_LLAMA3,
    CALLS_PLAIN, /* a bare JSON object or list */
};

struct chat_manner { /* found from a template */
    char think_open[32], think_close[32]; /* empty: the model does not think */
    enum chat_calls calls;
    /* Of a Go template: what it writes before and behind a call, when no format is known by it. */
    char call_tag[64], call_end[64];
    bool strict_name; /* a call of a tool that was not offered is text */
};
/* From the text of the template in use; NULL: none. */
void chat_manner_find(struct chat_manner *m, enum chat_language lang, const char *source);

struct chat_said { /* buffers are appended to; calls: array or NULL, each as spec/api.md 12.2 has it */
    struct buf text, thinking;
    json_t *calls;
    size_t n_text_before; /* bytes of text in front of the first of the calls */
};
void chat_said_free(struct chat_said *s);

struct chat_split;
/* `tools` as in spec/api.md 12.1 (copied), or NULL: tags of calls are text then. `think`: thoughts go
 * apart. `prompt_end`: the last bytes of the prompt, which may have opened the thoughts, or NULL. */
struct chat_split *chat_split_new(const struct chat_manner *m, const json_t *tools, bool think,
                                  const char *prompt_end, struct err *e);
void chat_split_free(struct chat_split *s);
/* The next bytes of the answer. What they add does not depend on how the answer is cut. -1: no
 * memory. */
int chat_split_feed(struct chat_split *s, const char *p, size_t n, struct chat_said *out);
int chat_split_end(struct chat_split *s, struct chat_said *out); /* nothing more comes */
/* Before the first feed. `salt`: of the prompt, so that calls of different turns have different ids.
 * `one_call`: what is called after the first call is dropped. `obeys`: a call without its tag, which no
 * grammar holds, whose arguments do not obey the tool's schema is text. */
void chat_split_calls(struct chat_split *s, uint64_t salt, bool one_call, bool obeys);
bool chat_split_thinks(const struct chat_split *s); /* is what comes now a thought? */
/* Is the whole answer written in the manner's own words, so that it must always be split? */
bool chat_manner_always(const struct chat_manner *m);

enum chat_choice { CHOICE_AUTO, CHOICE_ANY, CHOICE_ONE };
/* The texts of all tags that this manner may need: a model's control tokens among them are to be
 * shown to the splitter. */
void chat_manner_tags(const struct chat_manner *m, struct buf *out);
struct chat_rules { /* what an answer must obey */
    const json_t *tools;  /* calls of these; NULL: none */
    enum chat_choice choice;
    bool one_call;
    const json_t *answer; /* the schema of an answer that is no call; NULL: free text, or */
    const char *grammar;  /* .. GBNF that is right by itself; NULL: none */
    bool think;           /* thoughts may come first, and are free */
    bool inside;          /* the prompt has opened them */
};
/* GBNF (engine/grammar) for them: a call that is begun has the name of a tool and arguments that obey
 * its schema; %names of the grammar stand in `schemas`, a new object. 1: this format's calls cannot be
 * told so. */
int chat_grammar(const struct chat_manner *m, const struct chat_rules *r, struct buf *gbnf,
                 json_t **schemas, struct err *e);
#endif
