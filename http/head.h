/* http/head.h - a strict reader of a request's head, for uploads that are read before h2o. */
#ifndef CHASKI_HTTP_HEAD_H
#define CHASKI_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "gguf/base.h"

struct head { /* texts point into the bytes that were given */
    struct text method, path, host, origin;
    struct text authorization, x_api_key, api_key, request_id;
    bool is_http_1_0, keep_alive, expects_continue, is_chunked, has_length;
    bool is_doubtful; /* where the body ends: set when head_parse refuses it for that */
    uint64_t length;
};
/* Bytes of the head with its empty line, 0 = not complete yet, -1 = not a head we take: bad lines,
 * two lengths, a length with chunked, an unknown transfer coding. */
int head_parse(const char *p, size_t n, struct head *h);

/* The chunked coding, byte by byte as it comes. */
struct chunked {
    enum {
        CHUNK_SIZE,
        CHUNK_EXT,
        CHUNK_DATA,
        CHUNK_DATA_CR,
        CHUNK_DATA_LF,
        CHUNK_TRAILER,
        CHUNK_DONE
    } state;
    uint64_t left;
    int n_digits;
    bool saw_cr;
    size_t n_line, n_overhead; /* bytes of the present line; of all that is not data */
};
/* Take bytes from p[0..n): returns how many were used; *data, *n_data is a run of data among them
 * (n_data may be 0). -1: broken. Call again until everything is used or state is CHUNK_DONE. */
ptrdiff_t chunked_take(struct chunked *c, const char *p, size_t n, const char **data,
                       size_t *n_data);
#endif
