/* engine/info.h - what is in a model file, read from its header without loading it. */
#ifndef CHASKI_ENGINE_INFO_H
#define CHASKI_ENGINE_INFO_H

#include "engine/engine.h"

/* Fill `out` from the GGUF of `m`. out->chat_template is NULL; the text (or NULL) comes in
 * *chat_template, malloced, and is the caller's to keep and to point at. */
int info_read(struct store *s, const struct store_model *m, struct eng_info *out,
              char **chat_template, struct err *e);
/* {"model_info": {..}, "tensors": [..]}, as eng_model_metadata says. NULL on error. */
json_t *info_metadata(struct store *s, const struct store_model *m, bool verbose, struct err *e);
#endif
