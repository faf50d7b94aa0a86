/* http/create.c - POST /api/create (spec/api.md 17.1) and HEAD /api/blobs/:digest. */
#include "http/inside.h"

#include <stdlib.h>
#include <string.h>

void on_create(struct call *c)
{
    call_fail_status(c, 501, "not yet");
}

void on_blob_head(struct call *c)
{
    call_fail_status(c, 501, "not yet");
}

void on_blob_post(struct call *c)
{
    call_fail_status(c, 501, "not yet");
}
