/* http/responses.h - the two halves of POST /v1/responses: bodies in, objects and events out. */
#ifndef CHASKI_HTTP_RESPONSES_H
#define CHASKI_HTTP_RESPONSES_H

#include "http/openai.h"
#include "http/turn.h"

int responses_parse(struct ask *a, struct err *e); /* responses_in.c; a parser of struct style */
#endif
