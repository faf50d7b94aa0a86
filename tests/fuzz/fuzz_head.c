/* tests/fuzz/fuzz_head.c - any bytes as the head of an upload and as chunks: no crash, nothing is
 * read behind the end, and the chunk reader says the same however the bytes are cut. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "http/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool claim)
{
    if (!claim)
        __builtin_trap();
}

/* Data bytes and their sum, in pieces of `step`; *bad: refused. */
static uint64_t chunks(const char *p, size_t n, size_t step, bool *bad, size_t *n_data)
{
    struct chunked c = {0};
    uint64_t sum = 0;
    size_t at = 0;
    *n_data = 0;
    *bad = false;
    while (at < n && c.state != CHUNK_DONE) {
        const char *data = NULL;
        size_t k = 0;
        const ptrdiff_t used = chunked_take(&c, p + at, n - at < step ? n - at : step, &data, &k);
        if (used < 0) {
            *bad = true;
            break;
        }
        require(used > 0 && (size_t)used <= n - at && k <= (size_t)used);
        for (size_t i = 0; i < k; i++)
            sum = sum * 31 + (unsigned char)data[i];
        *n_data += k;
        at += (size_t)used;
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const char *p = (const char *)data;
    struct head h;
    const int used = head_parse(p, n, &h);
    require(used >= -1 && (used < 0 || (size_t)used <= n));
    if (used > 0) {
        require(h.path.p >= p && h.path.p + h.path.n <= p + used);
        require(!(h.has_length && h.is_chunked));
        for (size_t cut = 0; cut < (size_t)used && cut < 300; cut++)
            require(head_parse(p, cut, &h) != 1);
    }
    bool bad_a, bad_b;
    size_t n_a, n_b;
    const uint64_t a = chunks(p, n, n, &bad_a, &n_a), b = chunks(p, n, 1, &bad_b, &n_b);
    require(bad_a == bad_b && n_a == n_b && a == b);
    return 0;
}
