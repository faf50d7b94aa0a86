/* http/call_header.c - one more header of an answer.
 *
 * Apart from call.c, so that styles, whose printers set headers, link without the engine where only
 * their parsers are wanted (tests, fuzzing). */
#include "http/inside.h"

#include <stdlib.h>
#include <string.h>

void call_header(struct call *c, const char *name, const char *value)
{
    char *copy = strdup(value);
    pthread_mutex_lock(&c->lock);
    if (copy && !c->status && c->n_headers < MAX_EXTRA_HEADERS) {
        c->names[c->n_headers] = name;
        c->values[c->n_headers++] = copy;
        copy = NULL;
    }
    pthread_mutex_unlock(&c->lock);
    free(copy);
}
