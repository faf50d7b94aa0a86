/* http/reading.h - how the answer of a choice is read: thoughts, calls of tools, formats. */
#ifndef CHASKI_HTTP_READING_H
#define CHASKI_HTTP_READING_H

#include "engine/chat/chat.h"
#include "http/answer.h"

struct reading { /* of one request; what it holds lives until its jobs are submitted */
    struct chat_manner manner;
    bool thinks, splits; /* thoughts go apart; the answer is split at all */
    json_t *tools;       /* the ones that may be called, or NULL */
    struct buf prompt_end, shown, gbnf;
    uint64_t salt; /* of the prompt */
    json_t *schemas, *answer;
};
/* Lay the rules of `w`'s answers over the request of a choice, whose prompt is laid out already,
 * and make the choice's splitter. Always followed by reading_free. */
int reading_begin(struct reading *r, struct choice *ch, const struct store_model *m,
                  const struct eng_info *info, const struct eng_options *o, struct eng_request *req,
                  struct err *e);
void reading_free(struct reading *r);
#endif
