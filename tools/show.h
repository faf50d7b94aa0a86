/* tools/show.h - what the interactive mode shares with `chaski list` and `chaski show`. */
#ifndef CHASKI_TOOLS_SHOW_H
#define CHASKI_TOOLS_SHOW_H

#include <jansson.h>
#include <stdio.h>
#include "gguf/base.h"

struct client;

int list_models(struct client *c, const char *prefix, FILE *f, struct err *e);
/* The answer of POST /api/show, a new reference, or NULL. */
json_t *show_fetch(struct client *c, const char *model, bool verbose, struct err *e);
/* The sections of `chaski show`. */
int show_print(const json_t *answer, bool verbose, FILE *f, struct err *e);

#endif
