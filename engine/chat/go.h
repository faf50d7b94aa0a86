/* engine/chat/go.h - between chat.c and go.c. */
#ifndef CHASKI_CHAT_GO_H
#define CHASKI_CHAT_GO_H

#include "engine/chat/chat.h"

struct go_template {
    struct buf parts; /* struct go_part after struct go_part */
};
int go_parse(struct go_template *g, const char *source, size_t n, struct err *e);
int go_render(const struct go_template *g, const char *source, const json_t *input,
              struct chat_prompt *out, struct err *e);

#endif
