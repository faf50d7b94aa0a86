/* engine/text.h - tokenizers and templates of models that need not be loaded. Private to engine/;
 * the door has the functions of struct eng_text. */
#ifndef CHASKI_ENGINE_TEXT_H
#define CHASKI_ENGINE_TEXT_H

#include "engine/engine.h"

struct text_cache; /* any thread */
/* `count` is told of the bytes that it takes and gives back. */
struct text_cache *text_cache_new(struct store *s, void (*count)(struct eng *g, int64_t bytes),
                                  struct eng *g, struct err *e);
void text_cache_free(struct text_cache *c); /* all texts are closed by then */
/* The text of `m`, with a reference for the caller; NULL on error. `vocab`: of the same file, if somebody
 * has it; taken. */
struct eng_text *text_cache_open(struct text_cache *c, const struct store_model *m,
                                 struct tok_vocab *vocab, struct err *e);
#endif
