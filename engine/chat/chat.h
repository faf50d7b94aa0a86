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

struct chat_template; /* parsed; read-only, so any number of threads may render it */

/* Parse `source`. CHAT_JINJA: ERR_INPUT with line and column for a syntax error. CHAT_GO: only
 * templates that amount to `{{ .Prompt }}` or plain text; others give ERR_UNSUPPORTED. */
struct chat_template *chat_template_new(enum chat_language lang, const char *source, size_t n,
                                        struct err *e);
void chat_template_free(struct chat_template *t);
/* Does the source name this word (capabilities: "tools", "<think>")? */
bool chat_template_mentions(const struct chat_template *t, const char *word);

struct chat_prompt {
    struct buf text;            /* the prompt */
    struct text_span *trusted;  /* where text came from the template's own literals, or from */
    size_t n_trusted;           /* bos_token / eos_token, or is a message's role of the fixed set */
};                              /* (system, user, ..): sorted, merged. Everything else came from */
                                /* the conversation and never becomes control tokens. */
void chat_prompt_free(struct chat_prompt *p);

/* Render. `input` is a JSON object; each key is a variable of the template (Jinja: messages,
 * tools, add_generation_prompt, bos_token, eos_token, ...; Go: messages, prompt, system, suffix).
 * The key "$now" ("2026-01-31T12:34:56", optional) is the time for strftime_now. ERR_INPUT: the
 * template raised (the text is its own words), or used what is not there, or passed a limit (the
 * text says which and where). `out` must be zeroed by the caller. */
int chat_render(const struct chat_template *t, const json_t *input, struct chat_prompt *out,
                struct err *e);
#endif
