/* http/answer.h - what the two halves of the core share: begin.c makes an answer and its jobs,
 * answer.c says what comes of them. */
#ifndef CHASKI_HTTP_ANSWER_H
#define CHASKI_HTTP_ANSWER_H

#include "http/style.h"

/* The call's state from here on, freed with it; NULL without memory. */
struct answer *answer_new(struct call *c, const struct style *style);
int answer_make_choices(struct answer *w); /* as many as the ask says; -1 without memory */
/* For a job of that choice; done or fail gives a reference of the call back. */
struct eng_sink answer_sink(struct choice *ch);
/* Under the lock: everything is there, answer the one object; or the error. Nothing more is said.
 */
void answer_whole(struct answer *w);
void answer_fail(struct answer *w, const struct err *e);
#endif
