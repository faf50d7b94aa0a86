/* engine/store/blob.c - content named by its own SHA-256: look, open, write, remove.
 *
 * Facts: shared/spec store.md sections 2 and 4, traps.md 112. A blob is written to a temporary
 * file, hashed on the way, synced, renamed, and the folder synced: a name that is there after a
 * power cut has its bytes. A blob is never changed in place, so mapping one is safe. The colon
 * form of old stores (sha256:HEX) is read, never written. */
#include "engine/store/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

void store_blob_file(const struct digest *d, char out[BLOB_FILE])
{
    memcpy(out, "sha256-", 7);
    digest_hex(d, out + 7);
}

int store_blob_stat(struct store *s, const struct digest *d, uint64_t *size, struct err *e)
{
    char file[BLOB_FILE];
    struct stat st;
    store_blob_file(d, file);
    int rc = fstatat(s->blobs_fd, file, &st, AT_SYMLINK_NOFOLLOW);
    if (rc && errno == ENOENT) {
        file[6] = ':';
        rc = fstatat(s->blobs_fd, file, &st, AT_SYMLINK_NOFOLLOW);
    }
    if (rc && errno == ENOENT)
        return 0;
    if (rc)
        return store_errno(e, file);
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_IO, "blob %s is not a regular file", file);
    if (size)
        *size = (uint64_t)st.st_size;
    return 1;
}

int store_blob_open(struct store *s, const struct digest *d, struct err *e)
{
    char file[BLOB_FILE], text[DIGEST_TEXT];
    struct stat st;
    store_blob_file(d, file);
    digest_text(d, text);
    const int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
    int fd = openat(s->blobs_fd, file, flags);
    if (fd < 0 && errno == ENOENT) {
        file[6] = ':';
        fd = openat(s->blobs_fd, file, flags);
    }
    if (fd < 0 && errno == ENOENT)
        return err_set(e, ERR_NOT_FOUND, "blob \"%s\" not found", text);
    if (fd < 0)
        return store_errno(e, file);
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        close(fd);
        return err_set(e, ERR_IO, "blob \"%s\" is not a regular file", text);
    }
    return fd;
}

/* The touch that protects a blob without a manifest from another program's prune. */
void store_blob_touch(struct store *s, const struct digest *d)
{
    char file[BLOB_FILE];
    store_blob_file(d, file);
    if (utimensat(s->blobs_fd, file, NULL, AT_SYMLINK_NOFOLLOW))
        log_line(LOG_DEBUG, "store: cannot touch %s: %s", file, strerror(errno));
}

int store_blob_text(struct store *s, const struct digest *d, struct buf *out, struct err *e)
{
    char file[BLOB_FILE], text[DIGEST_TEXT];
    store_blob_file(d, file);
    int rc = store_read_at(s->blobs_fd, file, TEXT_LAYER_MAX, file, out, NULL, e);
    if (rc == 0) {
        file[6] = ':';
        rc = store_read_at(s->blobs_fd, file, TEXT_LAYER_MAX, file, out, NULL, e);
    }
    if (rc == 0) {
        digest_text(d, text);
        err_set(e, ERR_NOT_FOUND, "blob \"%s\" not found", text);
    }
    return rc == 1 ? 0 : -1;
}

int store_blob_remove(struct store *s, const struct digest *d, uint64_t *size)
{
    char file[BLOB_FILE];
    struct stat st;
    store_blob_file(d, file);
    if (fstatat(s->blobs_fd, file, &st, AT_SYMLINK_NOFOLLOW)) {
        file[6] = ':';
        if (fstatat(s->blobs_fd, file, &st, AT_SYMLINK_NOFOLLOW))
            return 0;
    }
    if (unlinkat(s->blobs_fd, file, 0)) {
        log_line(LOG_WARN, "store: cannot remove %s: %s", file, strerror(errno));
        return 0;
    }
    log_line(LOG_INFO, "store: removed the unused blob %s (%lld bytes)", file,
             (long long)st.st_size);
    if (size)
        *size = (uint64_t)st.st_size;
    return 1;
}

int store_blob_verify(struct store *s, const struct digest *d, struct err *e)
{
    enum { PIECE = 1 << 18 };
    const int fd = store_blob_open(s, d, e);
    if (fd < 0)
        return -1;
    int rc = -1;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char *piece = malloc(PIECE);
    struct digest got;
    if (!ctx || !piece || !EVP_DigestInit_ex(ctx, EVP_sha256(), NULL)) {
        err_set(e, ERR_MEMORY, "out of memory");
        goto done;
    }
    for (;;) {
        const ssize_t n = read(fd, piece, PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            store_errno(e, "blob");
            goto done;
        }
        if (n == 0)
            break;
        if (!EVP_DigestUpdate(ctx, piece, (size_t)n)) {
            err_set(e, ERR_MEMORY, "cannot compute a SHA-256");
            goto done;
        }
    }
    if (!EVP_DigestFinal_ex(ctx, got.sha256, NULL)) {
        err_set(e, ERR_MEMORY, "cannot compute a SHA-256");
        goto done;
    }
    if (!digest_equal(&got, d)) {
        char want[DIGEST_TEXT], have[DIGEST_TEXT];
        digest_text(d, want);
        digest_text(&got, have);
        err_set(e, ERR_INPUT, "blob \"%s\" is damaged: its bytes have the digest \"%s\"", want,
                have);
        goto done;
    }
    rc = 0;
done:
    free(piece);
    EVP_MD_CTX_free(ctx);
    close(fd);
    return rc;
}

/* ---- uploads ---------------------------------------------------------------------- */

struct store_upload {
    struct store *s;
    int fd;
    char temp[TEMP_FILE];
    EVP_MD_CTX *ctx;
    uint64_t n_bytes; /* written so far */
    struct err failed; /* the first failure; code ERR_NONE while there is none */
};

struct store_upload *store_upload_begin(struct store *s, struct err *e)
{
    struct store_upload *u = calloc(1, sizeof *u);
    if (!u) {
        err_set(e, ERR_MEMORY, "out of memory");
        return NULL;
    }
    u->s = s;
    u->fd = -1;
    u->ctx = EVP_MD_CTX_new();
    if (!u->ctx || !EVP_DigestInit_ex(u->ctx, EVP_sha256(), NULL)) {
        err_set(e, ERR_MEMORY, "out of memory");
        goto fail;
    }
    u->fd = store_temp_open(s, u->temp, e);
    if (u->fd < 0)
        goto fail;
    return u;
fail:
    EVP_MD_CTX_free(u->ctx);
    free(u);
    return NULL;
}

int store_upload_expect(struct store_upload *u, uint64_t n_bytes, struct err *e)
{
    struct statvfs v;
    if (fstatvfs(u->fd, &v))
        return 0; /* unknown: the write will tell */
    uint64_t free_bytes;
    if (__builtin_mul_overflow((uint64_t)v.f_bavail, (uint64_t)v.f_frsize, &free_bytes))
        return 0;
    if (n_bytes > free_bytes)
        return err_set(e, ERR_IO,
                       "no space left on the disk of the model store: %" PRIu64
                       " bytes are needed, %" PRIu64 " are free",
                       n_bytes, free_bytes);
    return 0;
}

int store_upload_write(struct store_upload *u, const void *p, size_t n, struct err *e)
{
    if (u->failed.code != ERR_NONE)
        goto fail;
    const char *at = p;
    size_t left = n;
    while (left) {
        const ssize_t w = write(u->fd, at, left);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0) {
            store_errno(&u->failed, "cannot write a blob");
            goto fail;
        }
        at += w;
        left -= (size_t)w;
    }
    if (n && !EVP_DigestUpdate(u->ctx, p, n)) {
        err_set(&u->failed, ERR_MEMORY, "cannot compute a SHA-256");
        goto fail;
    }
    u->n_bytes += n;
    return 0;
fail:
    if (e)
        *e = u->failed;
    return -1;
}

void store_upload_abort(struct store_upload *u)
{
    if (!u)
        return;
    if (u->fd >= 0)
        close(u->fd);
    if (u->temp[0])
        unlinkat(u->s->blobs_fd, u->temp, 0);
    EVP_MD_CTX_free(u->ctx);
    free(u);
}

int store_upload_commit(struct store_upload *u, const struct digest *want, struct digest *got,
                        struct err *e)
{
    struct store *s = u->s;
    struct digest d;
    char file[BLOB_FILE];
    int rc = -1;
    if (u->failed.code != ERR_NONE) {
        if (e)
            *e = u->failed;
        goto done;
    }
    if (!EVP_DigestFinal_ex(u->ctx, d.sha256, NULL)) {
        err_set(e, ERR_MEMORY, "cannot compute a SHA-256");
        goto done;
    }
    if (want && !digest_equal(want, &d)) {
        char a[DIGEST_TEXT], b[DIGEST_TEXT];
        digest_text(want, a);
        digest_text(&d, b);
        err_set(e, ERR_INPUT, "digest mismatch, expected \"%s\", got \"%s\"", a, b);
        goto done;
    }
    store_blob_file(&d, file);
    uint64_t size = 0;
    const int there = store_blob_stat(s, &d, &size, e);
    if (there < 0)
        goto done;
    if (there && size == u->n_bytes) {
        store_blob_touch(s, &d);
    } else {
        /* New, or a cut-off file under this name, which the good bytes replace. */
        if (fchmod(u->fd, 0644) || fsync(u->fd)) {
            store_errno(e, "cannot write a blob");
            goto done;
        }
        if (renameat(s->blobs_fd, u->temp, s->blobs_fd, file)) {
            store_errno(e, "cannot name a blob");
            goto done;
        }
        u->temp[0] = 0; /* nothing to unlink any more */
        if (fsync(s->blobs_fd)) {
            store_errno(e, "cannot sync the folder of blobs");
            goto done;
        }
    }
    if (got)
        *got = d;
    rc = 0;
done:
    store_upload_abort(u);
    return rc;
}
