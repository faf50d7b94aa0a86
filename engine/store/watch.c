/* engine/store/watch.c - has anything changed in the store since? (store.h)
 *
 * For answers that are made from all manifests (the list of models): read from the disk they cost
 * some 50 us a model, and the disk may be changed by hand or by another program at any time. The
 * kernel's events (inotify) are queued before the call that made a change returns, so asking them
 * misses nothing on a local filesystem, for the price of one read() that finds nothing. Where
 * events cannot be trusted (network and user-space filesystems, no watches left) there is no watch,
 * and every answer is read from the disk. Tried and dropped: the times of folders, which do not
 * change when a manifest is written in place. */
#include "engine/store/inside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/vfs.h>
#include <unistd.h>

enum {
    ABOVE = IN_CREATE | IN_DELETE | IN_MOVE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF,
    FOLDER = ABOVE | IN_MODIFY | IN_CLOSE_WRITE,
    MOST_FOLDERS = 4096,
};

struct store_watch {
    struct store *s;
    pthread_mutex_t lock;
    int fd;
    uint64_t generation; /* lock; rises with each change that was seen */
    bool armed;          /* lock; all folders are watched */
};

static bool is_local(int fd)
{
    static const long local[] = {
        0xEF53,     0x58465342, 0x9123683E, 0x01021994,
        0x858458F6,                                           /* ext, xfs, btrfs, tmpfs, ram */
        0x2FC12FC1, 0xF2F52010, 0x794C7630, (long)0xCA451A4E, /* zfs, f2fs, overlay, bcachefs */
    };
    struct statfs st;
    if (fstatfs(fd, &st) != 0)
        return false;
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        if ((unsigned long)st.f_type == (unsigned long)local[i])
            return true;
    return false;
}

struct store_watch *store_watch_new(struct store *s)
{
    const int manifests = openat(s->root_fd, "manifests", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool fits =
        manifests >= 0 && is_local(manifests) && is_local(s->root_fd) && is_local(s->blobs_fd);
    if (manifests >= 0)
        close(manifests);
    struct store_watch *w = fits ? calloc(1, sizeof *w) : NULL;
    if (!w)
        return NULL;
    w->s = s;
    w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (w->fd < 0) {
        free(w);
        return NULL;
    }
    pthread_mutex_init(&w->lock, NULL);
    return w;
}

void store_watch_free(struct store_watch *w)
{
    if (!w)
        return;
    close(w->fd);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

/* Under the lock: take what the kernel tells. */
static void drain(struct store_watch *w)
{
    _Alignas(struct inotify_event) char events[8192];
    for (;;) {
        const ssize_t n = read(w->fd, events, sizeof events);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        w->armed = false; /* whatever it was: one of ours, or too many of them */
    }
}

/* Watch a folder, then those in it: a folder that comes later is told by the one above. */
static int watch_below(struct store_watch *w, const char *path, int depth, int *n)
{
    char next[PATH_MAX];
    if (++*n > MOST_FOLDERS ||
        inotify_add_watch(w->fd, path, FOLDER | IN_ONLYDIR | (depth ? IN_DONT_FOLLOW : 0)) < 0)
        return -1;
    if (depth == 3)
        return 0;
    DIR *d = opendir(path);
    int rc = d ? 0 : -1;
    for (struct dirent *ent; rc == 0 && (ent = readdir(d));) {
        if (ent->d_name[0] == '.' || (ent->d_type != DT_DIR && ent->d_type != DT_UNKNOWN))
            continue;
        if (snprintf(next, sizeof next, "%s/%s", path, ent->d_name) >= (int)sizeof next)
            rc = -1;
        else if (watch_below(w, next, depth + 1, n) != 0 && errno != ENOTDIR && errno != ENOENT)
            rc = -1;
    }
    if (d)
        closedir(d);
    return rc;
}

uint64_t store_watch_arm(struct store_watch *w)
{
    char path[PATH_MAX];
    int n = 0;
    uint64_t generation = 0;
    const char *root = store_root(w->s);
    pthread_mutex_lock(&w->lock);
    drain(w);
    if (!w->armed) {
        w->generation++;
        w->armed = inotify_add_watch(w->fd, root, ABOVE | IN_ONLYDIR) >= 0 &&
                   snprintf(path, sizeof path, "%s/blobs", root) < (int)sizeof path &&
                   inotify_add_watch(w->fd, path, ABOVE | IN_ONLYDIR) >= 0 &&
                   snprintf(path, sizeof path, "%s/manifests", root) < (int)sizeof path &&
                   watch_below(w, path, 0, &n) == 0;
    }
    if (w->armed)
        generation = w->generation;
    pthread_mutex_unlock(&w->lock);
    return generation;
}

uint64_t store_watch_now(struct store_watch *w)
{
    pthread_mutex_lock(&w->lock);
    drain(w);
    const uint64_t generation = w->armed ? w->generation : 0;
    pthread_mutex_unlock(&w->lock);
    return generation;
}
