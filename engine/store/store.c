/* engine/store/store.c - opening a store: its folders, the sweep of what a crash left, and the
 * small file helpers of the room.
 *
 * Facts: shared/spec store.md sections 2 and 4, security.md 3.2. The root and missing folders
 * above it are made 0700, so that the store is private; what is inside has Ollama's modes (0755,
 * 0644), so that an owner who opens the root shares a store that both programs can read. The root,
 * blobs/ and manifests/ themselves may be links (people move them to other disks); nothing below
 * is followed. A store that cannot be written is opened all the same: it can serve. */
#include "engine/store/inside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

int store_errno(struct err *e, const char *what)
{
    const int was = errno;
    if (was == ENOSPC || was == EDQUOT)
        return err_set(e, ERR_IO, "%s: no space left on the disk of the model store", what);
    if (was == ENOMEM)
        return err_set(e, ERR_MEMORY, "%s: out of memory", what);
    char text[128];
    return err_set(e, ERR_IO, "%s: %s", what, strerror_r(was, text, sizeof text));
}

void store_temp_name(struct store *s, char out[TEMP_FILE])
{
    uint64_t noise = 0;
    if (getrandom(&noise, sizeof noise, GRND_NONBLOCK) != (ssize_t)sizeof noise)
        noise = (uint64_t)time_mono_ns(); /* O_EXCL still keeps two files apart */
    snprintf(out, TEMP_FILE, TEMP_PREFIX "%ld-%u-%016llx", (long)getpid(),
             atomic_fetch_add(&s->serial, 1), (unsigned long long)noise);
}

int store_read_at(int dir, const char *file, size_t limit, const char *what, struct buf *out,
                  struct stat *st, struct err *e)
{
    struct stat here;
    if (!st)
        st = &here;
    /* O_NONBLOCK: a named pipe in place of a file must not hold us. */
    const int fd = openat(dir, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : store_errno(e, what);
    int rc = -1;
    if (fstat(fd, st)) {
        store_errno(e, what);
        goto done;
    }
    if (!S_ISREG(st->st_mode)) {
        err_set(e, ERR_INPUT, "%s: not a regular file", what);
        goto done;
    }
    if (st->st_size < 0 || (uint64_t)st->st_size > limit) {
        err_set(e, ERR_LIMIT, "%s: larger than %zu bytes", what, limit);
        goto done;
    }
    char piece[16384];
    for (;;) {
        const ssize_t n = read(fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            store_errno(e, what);
            goto done;
        }
        if (n == 0)
            break;
        if ((size_t)n > limit - out->n) { /* it grew while we read */
            err_set(e, ERR_LIMIT, "%s: larger than %zu bytes", what, limit);
            goto done;
        }
        buf_add(out, piece, (size_t)n);
    }
    buf_add(out, "", 0); /* an empty file gives "" and not NULL */
    if (out->failed) {
        err_set(e, ERR_MEMORY, "%s: out of memory", what);
        goto done;
    }
    rc = 1;
done:
    close(fd);
    return rc;
}

/* mkdir -p. A folder that is there is fine, whoever owns it. */
static int make_folders(const char *path, struct err *e)
{
    char part[PATH_MAX];
    const size_t n = strlen(path);
    if (!n || n >= sizeof part)
        return err_set(e, ERR_INPUT, "the path of the model store is empty or too long");
    memcpy(part, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (part[i] != '/' && part[i] != 0)
            continue;
        const char was = part[i];
        part[i] = 0;
        struct stat st;
        if (mkdir(part, 0700) && errno != EEXIST && stat(part, &st))
            return err_set(e, ERR_IO, "%s: %s: ensure path elements are traversable", part,
                           strerror(errno));
        part[i] = was;
    }
    return 0;
}

static int open_below(int root, const char *name, struct err *e)
{
    if (mkdirat(root, name, 0755) && errno != EEXIST && errno != EROFS && errno != EACCES &&
        errno != EPERM)
        return store_errno(e, name);
    const int fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, ERR_IO, "%s: %s: ensure path elements are traversable", name,
                       strerror(errno));
    return fd;
}

int store_temp_open(struct store *s, char name[TEMP_FILE], struct err *e)
{
    for (int i = 0; i < 16; i++) {
        struct stat st;
        store_temp_name(s, name);
        const int fd =
            openat(s->blobs_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
            break;
        /* Its lock says that somebody writes it, and goes with us however we end. A sweep that came
         * between the two steps took it for a left-over: then another name. */
        (void)flock(fd, LOCK_EX);
        if (fstat(fd, &st) == 0 && st.st_nlink)
            return fd;
        close(fd);
        errno = EAGAIN;
    }
    store_errno(e, "cannot write to the model store");
    return -1;
}

/* Nobody writes this temporary file: its lock is free. Where there are no locks, its age decides. */
static bool is_left_over(int blobs_fd, const char *name, const struct stat *st)
{
    if (time_real_ns() / 1000000000 - (int64_t)st->st_mtime >= TEMP_AGE_S)
        return true;
    const int fd = openat(blobs_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    const bool is_free = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
    if (is_free) /* while we hold it, so that its maker sees it */
        (void)unlinkat(blobs_fd, name, 0);
    if (fd >= 0)
        close(fd);
    return is_free;
}

/* Remove our own temporary files that a crash left. */
static void sweep(struct store *s)
{
    const int fd = openat(s->blobs_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *ent; (ent = readdir(d));) {
        struct stat st;
        if (strncmp(ent->d_name, TEMP_PREFIX, strlen(TEMP_PREFIX)) ||
            fstatat(s->blobs_fd, ent->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode) ||
            !is_left_over(s->blobs_fd, ent->d_name, &st))
            continue;
        if (!unlinkat(s->blobs_fd, ent->d_name, 0) || errno == ENOENT)
            log_line(LOG_INFO, "store: removed the left-over temporary file %s (%lld bytes)",
                     ent->d_name, (long long)st.st_size);
    }
    closedir(d);
}

struct store *store_open(const char *root, struct err *e)
{
    struct store *s = calloc(1, sizeof *s);
    if (!s) {
        err_set(e, ERR_MEMORY, "out of memory");
        return NULL;
    }
    s->root_fd = s->blobs_fd = -1;
    if (pthread_mutex_init(&s->lock, NULL)) {
        free(s);
        err_set(e, ERR_MEMORY, "out of memory");
        return NULL;
    }
    if (make_folders(root, e))
        goto fail;
    s->root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    s->root = realpath(root, NULL);
    if (s->root_fd < 0 || !s->root) {
        err_set(e, ERR_IO, "%s: %s: ensure path elements are traversable", root, strerror(errno));
        goto fail;
    }
    s->blobs_fd = open_below(s->root_fd, "blobs", e);
    if (s->blobs_fd < 0)
        goto fail;
    const int manifests = open_below(s->root_fd, "manifests", e);
    if (manifests < 0)
        goto fail;
    close(manifests); /* not held: another program removes it when it is empty */
    sweep(s);
    return s;
fail:
    store_close(s);
    return NULL;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    if (s->blobs_fd >= 0)
        close(s->blobs_fd);
    if (s->root_fd >= 0)
        close(s->root_fd);
    pthread_mutex_destroy(&s->lock);
    free(s->root);
    free(s->pins);
    free(s->facts);
    free(s);
}

const char *store_root(const struct store *s)
{
    return s->root;
}

void store_keep_unused(struct store *s, bool keep)
{
    atomic_store(&s->keep_unused, keep);
}

/* The value without `set` at both ends. */
static struct text trim(struct text t, const char *set)
{
    while (t.n && strchr(set, t.p[0]))
        t.p++, t.n--;
    while (t.n && strchr(set, t.p[t.n - 1]))
        t.n--;
    return t;
}

int store_default_root(char *out, size_t cap, struct err *e)
{
    const char *models = getenv("OLLAMA_MODELS"), *home = getenv("HOME");
    if (models) {
        struct text t = trim((struct text){models, strlen(models)}, " \t\r\n\v\f");
        t = trim(t, "\"'");
        if (t.n) {
            if (t.n >= cap)
                return err_set(e, ERR_INPUT, "OLLAMA_MODELS is too long");
            memcpy(out, t.p, t.n);
            out[t.n] = 0;
            return 0;
        }
    }
    if (!home || !home[0])
        return err_set(e, ERR_INPUT, "neither OLLAMA_MODELS nor HOME is set");
    const int n = snprintf(out, cap, "%s/.ollama/models", home);
    if (n < 0 || (size_t)n >= cap)
        return err_set(e, ERR_INPUT, "HOME is too long");
    return 0;
}
