/* tools/input.c - a whole file or stdin in memory. */
#include "tools/input.h"

#include <errno.h>
#include <string.h>

int input_read(FILE *in, const char *name, size_t limit, struct buf *text, struct err *e)
{
    char part[65536];
    size_t n;
    while ((n = fread(part, 1, sizeof part, in)) > 0) {
        if (n > limit)
            return err_set(e, ERR_LIMIT, "%s is too long", name);
        limit -= n;
        buf_add(text, part, n);
    }
    if (ferror(in) && errno != EBADF) /* EBADF: started with stdin closed */
        return err_set(e, ERR_IO, "read %s: %s", name, strerror(errno));
    return text->failed ? err_set(e, ERR_MEMORY, "%s: out of memory", name) : 0;
}
