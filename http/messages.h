/* http/messages.h - the two halves of the Anthropic style: bodies in, objects and events out. */
#ifndef CHASKI_HTTP_MESSAGES_H
#define CHASKI_HTTP_MESSAGES_H

#include "http/style.h"
#include "http/turn.h"

/* messages_in.c: parsers of struct style. */
int messages_parse(struct ask *a, struct err *e);
int messages_parse_count(struct ask *a, struct err *e); /* without max_tokens */
#endif
