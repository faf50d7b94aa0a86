/* http/unzstd.c - bodies of POST /v1/... that come compressed with zstd (spec/api.md 1.1).
 *
 * Codex sends them. Memory is bounded before it is taken: 20 MiB of text, and a window of at most
 * 8 MiB, which is what RFC 8878 asks every decoder to take. Runs on a worker. */
#include "http/inside.h"

#include <stdlib.h>
#ifdef CHASKI_ZSTD
#include <zstd.h>
#endif

enum { MAX_UNPACKED = 20 * MIB, WINDOW_LOG = 23 };

#ifdef CHASKI_ZSTD
static int unpack(const char *p, size_t n, struct buf *out, struct err *e)
{
    ZSTD_DCtx *ctx = ZSTD_createDCtx();
    const size_t n_step = ZSTD_DStreamOutSize();
    char *step = malloc(n_step);
    int rc = -1;
    if (!ctx || !step) {
        err_set(e, ERR_MEMORY, "out of memory");
        goto done;
    }
    ZSTD_DCtx_setParameter(ctx, ZSTD_d_windowLogMax, WINDOW_LOG);
    ZSTD_inBuffer in = {p, n, 0};
    size_t left = 1; /* what the frame still wants: 0 at its end */
    while (in.pos < in.size || left) {
        ZSTD_outBuffer to = {step, n_step, 0};
        const size_t before = in.pos;
        left = ZSTD_decompressStream(ctx, &to, &in);
        buf_add(out, step, to.pos);
        const bool is_stuck = in.pos == before && !to.pos; /* cut off */
        if (ZSTD_isError(left) || out->n > MAX_UNPACKED || (left && is_stuck)) {
            err_set(e, ERR_INPUT, "failed to decompress request body");
            goto done;
        }
    }
    if (out->failed)
        err_set(e, ERR_MEMORY, "out of memory");
    else
        rc = 0;
done:
    ZSTD_freeDCtx(ctx);
    free(step);
    return rc;
}
#else
static int unpack(const char *p, size_t n, struct buf *out, struct err *e)
{
    return err_set(e, ERR_INPUT,
                   "failed to decompress request body: this chaski was built without zstd");
}
#endif

int http_unzstd(const char *p, size_t n, struct buf *out, struct err *e)
{
    const int rc = unpack(p, n, out, e);
    if (rc != 0)
        buf_free(out);
    return rc;
}

int body_unzstd(struct call *c, struct err *e)
{
    struct buf out = {0};
    if (!c->n_body || http_unzstd(c->body, c->n_body, &out, e) != 0)
        return c->n_body ? -1 : 0;
    free(c->body);
    c->body = out.p; /* NULL when there was nothing in it */
    c->n_body = out.n;
    return 0;
}
