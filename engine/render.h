/* engine/render.h - a conversation -> the text of its prompt. Private to engine/. */
#ifndef CHASKI_ENGINE_RENDER_H
#define CHASKI_ENGINE_RENDER_H

#include <jansson.h>
#include <stdbool.h>
#include "engine/chat/chat.h"
#include "engine/tokenizer/tokenizer.h"

struct renderer { /* what a model file says of prompts; borrowed */
    const struct tok_vocab *vocab;
    const struct chat_template *tpl; /* the file's, or NULL */
    const struct err *tpl_err;       /* why it is NULL; code 0: the file has none */
};

/* `chat` as in eng_request, with `messages` in the place of its own. `template_text`: a Go template
 * that wins over the file's, or NULL. `out` must be zeroed. */
int render_prompt(const struct renderer *r, const json_t *chat, const json_t *messages,
                  const char *template_text, bool continue_last, struct chat_prompt *out,
                  struct err *e);
#endif
