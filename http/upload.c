/* http/upload.c */
#include "http/inside.h"

int upload_sniff(struct conn *c)
{
    return 0;
}

void upload_closed(struct conn *c)
{
}

bool upload_is_busy(const struct conn *c)
{
    return false;
}
