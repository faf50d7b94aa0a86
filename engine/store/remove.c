/* engine/store/remove.c - taking things away: delete, copy's and create's left-overs, prune.
 *
 * Facts: shared/spec store.md sections 4 and 5, traps.md 116. A blob goes only when no manifest
 * names it and no running create has pinned it. A manifest that is there and cannot be read might
 * name any blob: while there is one, no blob is removed, and the log says so. */
#include "engine/store/inside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- pins --------------------------------------------------------------------------- */

int store_pin(struct store *s, const struct digest *d, struct err *e)
{
    int rc = 0;
    pthread_mutex_lock(&s->lock);
    size_t i = 0;
    while (i < s->n_pins && !digest_equal(&s->pins[i].digest, d))
        i++;
    if (i == s->n_pins && s->n_pins == s->cap_pins) {
        const size_t cap = s->cap_pins ? 2 * s->cap_pins : 16;
        struct pin *p = realloc(s->pins, cap * sizeof *p);
        if (p) {
            s->pins = p;
            s->cap_pins = cap;
        } else {
            rc = err_set(e, ERR_MEMORY, "out of memory");
        }
    }
    if (rc == 0) {
        if (i == s->n_pins)
            s->pins[s->n_pins++] = (struct pin){*d, 0};
        s->pins[i].n++;
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

void store_unpin(struct store *s, const struct digest *d)
{
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n_pins; i++) {
        if (!digest_equal(&s->pins[i].digest, d))
            continue;
        if (--s->pins[i].n == 0)
            s->pins[i] = s->pins[--s->n_pins];
        break;
    }
    pthread_mutex_unlock(&s->lock);
}

/* ---- which blobs are in use ------------------------------------------------------------ */

struct used { /* digests that some manifest names */
    struct buf list;
    size_t n_broken;
    char broken[512]; /* the first broken one */
};

int manifest_digests(const struct manifest *m, struct digest **out, size_t *n, struct err *e)
{
    struct digest *d = calloc(m->n_layers + 1, sizeof *d);
    if (!d)
        return err_set(e, ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < m->n_layers; i++)
        d[i] = m->layers[i].digest;
    *n = m->n_layers;
    if (m->has_config)
        d[(*n)++] = m->config.digest;
    *out = d;
    return 0;
}

static int use_one(void *arg, int dir, const char *const part[4])
{
    struct used *u = arg;
    struct manifest m;
    struct err e = {0};
    const int rc = manifest_read_at(dir, part[3], &m, &e);
    if (rc == 0)
        return 0;
    if (rc < 0) {
        if (!u->n_broken++)
            snprintf(u->broken, sizeof u->broken, "%.80s/%.80s/%.80s/%.80s: %.150s", part[0],
                     part[1], part[2], part[3], e.text);
        return 0;
    }
    for (size_t i = 0; i < m.n_layers; i++)
        buf_add(&u->list, &m.layers[i].digest, sizeof(struct digest));
    if (m.has_config)
        buf_add(&u->list, &m.config.digest, sizeof(struct digest));
    manifest_free(&m);
    return 0;
}

static int by_digest(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct digest));
}

/* 0, or -1 with `e` filled when the answer would not be sure. */
static int used_collect(struct store *s, struct used *u, struct err *e)
{
    memset(u, 0, sizeof *u);
    if (manifest_walk(s, use_one, u, e))
        return -1;
    if (u->list.failed)
        return err_set(e, ERR_MEMORY, "out of memory");
    if (u->n_broken)
        return err_set(e, ERR_INPUT, "the manifest %s", u->broken);
    if (u->list.n)
        qsort(u->list.p, u->list.n / sizeof(struct digest), sizeof(struct digest), by_digest);
    return 0;
}

static bool is_used(const struct used *u, const struct digest *d)
{
    return u->list.n && bsearch(d, u->list.p, u->list.n / sizeof *d, sizeof *d, by_digest);
}

static bool is_pinned(const struct store *s, const struct digest *d)
{
    for (size_t i = 0; i < s->n_pins; i++)
        if (digest_equal(&s->pins[i].digest, d))
            return true;
    return false;
}

void store_drop_unused(struct store *s, const struct digest *d, size_t n)
{
    struct used u;
    struct err e = {0};
    if (atomic_load(&s->keep_unused))
        return;
    if (used_collect(s, &u, &e)) {
        log_line(LOG_WARN, "store: no blob is removed, because a manifest cannot be read: %s",
                 e.text);
        buf_free(&u.list);
        return;
    }
    for (size_t i = 0; i < n; i++)
        if (!is_used(&u, &d[i]) && !is_pinned(s, &d[i]))
            store_blob_remove(s, &d[i], NULL);
    buf_free(&u.list);
}

/* ---- delete, copy ---------------------------------------------------------------------- */

/* Remove the folders of a manifest that are empty now. */
static void drop_empty_folders(struct store *s, const struct store_name *name)
{
    char path[3][1100];
    snprintf(path[0], sizeof path[0], "manifests/%s/%s/%s", name->host, name->ns, name->model);
    snprintf(path[1], sizeof path[1], "manifests/%s/%s", name->host, name->ns);
    snprintf(path[2], sizeof path[2], "manifests/%s", name->host);
    for (int i = 0; i < 3; i++)
        if (unlinkat(s->root_fd, path[i], AT_REMOVEDIR))
            break; /* not empty, or somebody was quicker */
}

static int not_found(const struct store_name *name, struct err *e)
{
    char text[STORE_NAME_TEXT];
    store_name_short(name, text, sizeof text);
    return err_set(e, ERR_NOT_FOUND, "model '%s' not found", text);
}

int store_model_delete(struct store *s, const struct store_name *name, struct err *e)
{
    struct store_name real;
    struct manifest m = {0};
    struct digest *gone = NULL;
    size_t n_gone = 0;
    int rc = -1, dir = -1;
    pthread_mutex_lock(&s->lock);
    const int found = manifest_find(s, name, &real, e);
    if (found == 0)
        not_found(name, e);
    if (found != 1)
        goto done;
    dir = manifest_dir(s, &real, false);
    if (dir < 0) {
        not_found(name, e);
        goto done;
    }
    struct err broken = {0};
    const int read = manifest_read_at(dir, real.tag, &m, &broken);
    if (read < 0)
        log_line(LOG_WARN, "store: deleting a broken manifest (%s); its blobs stay", broken.text);
    if (read == 1 && manifest_digests(&m, &gone, &n_gone, e))
        goto done;
    if (unlinkat(dir, real.tag, 0)) {
        if (errno == ENOENT)
            not_found(name, e);
        else
            store_errno(e, "cannot delete the model");
        goto done;
    }
    (void)fsync(dir); /* a delete that a power cut undoes does no harm */
    drop_empty_folders(s, &real);
    store_drop_unused(s, gone, n_gone);
    rc = 0;
done:
    pthread_mutex_unlock(&s->lock);
    if (dir >= 0)
        close(dir);
    manifest_free(&m);
    free(gone);
    return rc;
}

/* Write a manifest under a name, whatever its spelling in the store, and remove what only the
 * old manifest of that name named. The lock is held. */
static int replace(struct store *s, const struct store_name *name, const char *p, size_t n,
                   struct err *e)
{
    struct store_name real = *name;
    struct manifest old = {0};
    struct digest *gone = NULL;
    size_t n_gone = 0;
    int rc = -1;
    const int found = manifest_find(s, name, &real, e);
    if (found < 0)
        goto done;
    if (found == 1) {
        struct err broken = {0};
        const int dir = manifest_dir(s, &real, false);
        const int read = dir < 0 ? 0 : manifest_read_at(dir, real.tag, &old, &broken);
        if (dir >= 0)
            close(dir);
        if (read < 0)
            log_line(LOG_WARN, "store: replacing a broken manifest (%s); its blobs stay",
                     broken.text);
        if (read == 1 && manifest_digests(&old, &gone, &n_gone, e))
            goto done;
    }
    if (manifest_write(s, &real, p, n, e))
        goto done;
    if (n_gone)
        store_drop_unused(s, gone, n_gone);
    rc = 0;
done:
    manifest_free(&old);
    free(gone);
    return rc;
}

int store_manifest_put(struct store *s, const struct store_name *name, const char *p, size_t n,
                       struct err *e)
{
    struct manifest m = {0};
    struct digest *d = NULL;
    size_t n_d = 0;
    int rc = -1;
    if (manifest_parse(p, n, &m, e) || manifest_digests(&m, &d, &n_d, e))
        goto done;
    pthread_mutex_lock(&s->lock);
    rc = 0;
    for (size_t i = 0; i < n_d && rc == 0; i++) { /* never a manifest before its blobs */
        const int there = store_blob_stat(s, &d[i], NULL, e);
        char text[DIGEST_TEXT];
        digest_text(&d[i], text);
        if (there == 0)
            err_set(e, ERR_INPUT, "blob \"%s\" not found", text);
        rc = there == 1 ? 0 : -1;
    }
    if (rc == 0)
        rc = replace(s, name, p, n, e);
    pthread_mutex_unlock(&s->lock);
done:
    manifest_free(&m);
    free(d);
    return rc;
}

int store_model_copy(struct store *s, const struct store_name *from, const struct store_name *to,
                     struct err *e)
{
    struct store_name real;
    struct manifest m = {0};
    int rc = -1;
    pthread_mutex_lock(&s->lock);
    const int found = manifest_find(s, from, &real, e);
    int read = found;
    if (found == 1) {
        const int dir = manifest_dir(s, &real, false);
        read = dir < 0 ? 0 : manifest_read_at(dir, real.tag, &m, e);
        if (dir >= 0)
            close(dir);
    }
    if (read == 0) {
        char text[STORE_NAME_TEXT];
        store_name_short(from, text, sizeof text);
        err_set(e, ERR_NOT_FOUND, "model \"%s\" not found", text);
    }
    if (read == 1)
        rc = store_name_equal(from, to) ? 0 : replace(s, to, m.bytes, m.n_bytes, e);
    pthread_mutex_unlock(&s->lock);
    manifest_free(&m);
    return rc;
}

/* ---- prune -------------------------------------------------------------------------------- */

int store_prune(struct store *s, int64_t min_age_s, uint64_t *n_files, uint64_t *n_bytes,
                struct err *e)
{
    struct used u;
    int rc = -1;
    *n_files = *n_bytes = 0;
    pthread_mutex_lock(&s->lock);
    const int fd = openat(s->blobs_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d)
        store_errno(e, "blobs");
    if (!d && fd >= 0)
        close(fd);
    memset(&u, 0, sizeof u);
    if (!d || used_collect(s, &u, e))
        goto done;
    const int64_t now = time_real_ns() / 1000000000;
    for (struct dirent *ent; (ent = readdir(d));) {
        struct stat st;
        struct digest blob;
        if (fstatat(s->blobs_fd, ent->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode) ||
            now - (int64_t)st.st_mtime < min_age_s)
            continue;
        const bool is_temp = !strncmp(ent->d_name, TEMP_PREFIX, strlen(TEMP_PREFIX));
        const bool is_blob = !digest_parse(ent->d_name, strlen(ent->d_name), &blob, NULL);
        if (!is_temp && (!is_blob || is_used(&u, &blob) || is_pinned(s, &blob)))
            continue; /* foreign files and unfinished downloads are not ours to take */
        if (unlinkat(s->blobs_fd, ent->d_name, 0))
            continue;
        log_line(LOG_INFO, "store: pruned %s (%lld bytes)", ent->d_name, (long long)st.st_size);
        ++*n_files;
        *n_bytes += (uint64_t)st.st_size;
    }
    rc = 0;
done:
    if (d)
        closedir(d);
    pthread_mutex_unlock(&s->lock);
    buf_free(&u.list);
    return rc;
}
