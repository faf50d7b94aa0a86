/* tests/fuzz/fuzz_request.c - any bytes as a body of each route that generates: no crash, an error has
 * its text, and what parses prints as JSON that parses again. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "http/inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool claim)
{
    if (!claim)
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct err e = {0};
    const char *p = (const char *)data;
    for (int i = 0; i < http_n_body_routes(); i++) {
        e = (struct err){0};
        if (http_check_body(p, n, http_body_route(i), &e) != 0)
            require(e.code != ERR_NONE && e.text[0] && text_is_utf8(e.text, strlen(e.text)));
        else
            require(e.code == ERR_NONE);
    }
    json_t *v = body_parse(p, n, &e);
    if (!v)
        return 0;
    struct buf b = {0}, again = {0};
    http_print_json(&b, v);
    require(!b.failed && text_is_utf8(b.p, b.n));
    json_t *w = body_parse(b.p, b.n, &e);
    if (w) { /* "1e999" in a text is fine, the number is refused: only then w is NULL */
        http_print_json(&again, w);
        require(again.n == b.n && memcmp(again.p, b.p, b.n) == 0);
    } else {
        require(e.code != ERR_NONE);
    }
    json_t *keep = field(v, "keep_alive");
    int64_t ns;
    if (keep && http_keep_alive(keep, &ns, &e) == 0)
        require(ns >= -1);
    json_decref(w);
    json_decref(v);
    buf_free(&b);
    buf_free(&again);
    return 0;
}
