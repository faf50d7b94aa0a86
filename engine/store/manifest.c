/* engine/store/manifest.c - manifest files: read, check, find by name, walk, write.
 *
 * Facts: shared/spec store.md sections 3.1, 4 and 5. A manifest is small JSON; its digests are
 * parsed strictly here, so no byte of it ever reaches a path. Names compare without case over the
 * whole name (decision over the reference, which mixes parts of different models). */
#include "engine/store/inside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void manifest_free(struct manifest *m)
{
    free(m->bytes);
    free(m->layers);
    memset(m, 0, sizeof *m);
}

/* A JSON string that fits; "" when it is not there. */
static int take_text(const json_t *o, const char *key, char *out, size_t cap, struct err *e)
{
    const json_t *v = json_object_get(o, key);
    if (!v || json_is_null(v))
        return 0;
    if (!json_is_string(v))
        return err_set(e, ERR_INPUT, "manifest: \"%s\" is not a string", key);
    const size_t n = json_string_length(v);
    if (n >= cap || strlen(json_string_value(v)) != n)
        return err_set(e, ERR_INPUT, "manifest: \"%s\" is too long", key);
    memcpy(out, json_string_value(v), n + 1);
    return 0;
}

static int take_layer(const json_t *o, struct store_layer *out, struct err *e)
{
    if (!json_is_object(o))
        return err_set(e, ERR_INPUT, "manifest: a layer is not an object");
    if (take_text(o, "mediaType", out->media_type, sizeof out->media_type, e))
        return -1;
    struct err no_matter;
    if (take_text(o, "from", out->from, sizeof out->from, &no_matter))
        out->from[0] = 0; /* only shown */
    const json_t *d = json_object_get(o, "digest"), *size = json_object_get(o, "size");
    if (!json_is_string(d) ||
        digest_parse(json_string_value(d), json_string_length(d), &out->digest, NULL))
        return err_set(e, ERR_INPUT, "manifest: invalid digest format");
    if (!json_is_integer(size) || json_integer_value(size) < 0)
        return err_set(e, ERR_INPUT, "manifest: the size of a layer is not a count of bytes");
    out->size = (uint64_t)json_integer_value(size);
    return 0;
}

int manifest_parse(const char *p, size_t n, struct manifest *out, struct err *e)
{
    int rc = -1;
    json_error_t je;
    json_t *root = json_loadb(p, n, 0, &je);
    if (!json_is_object(root)) {
        err_set(e, ERR_INPUT, "manifest: not a JSON object: %s", root ? "another value" : je.text);
        goto done;
    }
    const json_t *config = json_object_get(root, "config");
    const json_t *layers = json_object_get(root, "layers");
    const json_t *digest = json_object_get(config, "digest");
    if (json_is_string(digest) && json_string_length(digest) > 0) {
        if (take_layer(config, &out->config, e))
            goto done;
        out->has_config = true;
        out->size = out->config.size;
    }
    if (layers && !json_is_array(layers) && !json_is_null(layers)) {
        err_set(e, ERR_INPUT, "manifest: \"layers\" is not a list");
        goto done;
    }
    const size_t count = json_is_array(layers) ? json_array_size(layers) : 0;
    if (!count && !out->has_config) {
        err_set(e, ERR_INPUT, "manifest: neither layers nor a config");
        goto done;
    }
    if (count > LAYERS_MAX) {
        err_set(e, ERR_LIMIT, "manifest: more than %d layers", LAYERS_MAX);
        goto done;
    }
    out->layers = calloc(count + 1, sizeof *out->layers);
    if (!out->layers) {
        err_set(e, ERR_MEMORY, "out of memory");
        goto done;
    }
    for (size_t i = 0; i < count; i++) {
        if (take_layer(json_array_get(layers, i), &out->layers[i], e))
            goto done;
        out->n_layers = i + 1;
        if (__builtin_add_overflow(out->size, out->layers[i].size, &out->size)) {
            err_set(e, ERR_INPUT, "manifest: the sizes of its layers overflow");
            goto done;
        }
    }
    if (store_sha256(p, n, &out->id, e))
        goto done;
    rc = 0;
done:
    json_decref(root);
    return rc;
}

int manifest_read_at(int dir, const char *tag, struct manifest *out, struct err *e)
{
    struct buf b = {0};
    struct stat st;
    memset(out, 0, sizeof *out);
    int rc = store_read_at(dir, tag, MANIFEST_MAX, "manifest", &b, &st, e);
    if (rc == 1 && manifest_parse(b.p, b.n, out, e))
        rc = -1;
    if (rc != 1) {
        manifest_free(out);
        buf_free(&b);
        return rc;
    }
    out->bytes = b.p;
    out->n_bytes = b.n;
    out->modified_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    return 1;
}

/* ---- folders --------------------------------------------------------------------------- */

static int open_folder(int dir, const char *name, bool is_root)
{
    return openat(dir, name,
                  O_RDONLY | O_DIRECTORY | O_CLOEXEC | (is_root ? 0 : O_NOFOLLOW));
}

static int make_and_open(int dir, const char *name, bool is_root)
{
    if (!mkdirat(dir, name, 0755)) {
        if (fsync(dir)) /* the new entry has to outlive a power cut, too */
            return -1;
    } else if (errno != EEXIST) {
        return -1;
    }
    return open_folder(dir, name, is_root);
}

int manifest_dir(struct store *s, const struct store_name *name, bool make)
{
    const char *part[4] = {"manifests", name->host, name->ns, name->model};
    int dir = s->root_fd;
    for (int i = 0; i < 4; i++) {
        const int next = make ? make_and_open(dir, part[i], i == 0)
                              : open_folder(dir, part[i], i == 0);
        const int was = errno;
        if (dir != s->root_fd)
            close(dir);
        errno = was;
        if (next < 0)
            return -1;
        dir = next;
    }
    return dir;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in an open folder, sorted, without those that start with a dot. */
static int names_of(int dir, char ***out, size_t *n, struct err *e)
{
    struct buf list = {0};
    const int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    *out = NULL;
    *n = 0;
    if (!d) {
        store_errno(e, "manifests");
        if (fd >= 0)
            close(fd);
        return -1;
    }
    bool failed = false;
    for (struct dirent *ent; !failed && (ent = readdir(d));) {
        if (ent->d_name[0] == '.')
            continue;
        char *name = strdup(ent->d_name);
        buf_add(&list, &name, sizeof name);
        failed = !name || list.failed;
        if (failed)
            free(name);
        else
            ++*n;
    }
    closedir(d);
    char **names = (char **)(void *)list.p; /* from realloc: aligned for pointers */
    if (failed) {
        for (size_t i = 0; i < *n; i++)
            free(names[i]);
        buf_free(&list);
        return err_set(e, ERR_MEMORY, "out of memory");
    }
    if (*n)
        qsort(names, *n, sizeof *names, by_text);
    *out = names;
    return 0;
}

static int walk_level(int dir, int depth, const char *part[4], manifest_fn fn, void *arg,
                      struct err *e)
{
    char **names;
    size_t n;
    int rc = names_of(dir, &names, &n, e);
    for (size_t i = 0; i < n && rc == 0; i++) {
        part[depth] = names[i];
        struct stat st;
        if (fstatat(dir, names[i], &st, AT_SYMLINK_NOFOLLOW))
            continue; /* gone since the folder was read */
        if (depth == 3) {
            if (!S_ISDIR(st.st_mode))
                rc = fn(arg, dir, part);
            continue;
        }
        if (!S_ISDIR(st.st_mode))
            continue;
        const int next = open_folder(dir, names[i], false);
        if (next < 0 && errno == ENOENT)
            continue;
        if (next < 0) {
            rc = store_errno(e, "manifests");
            continue;
        }
        rc = walk_level(next, depth + 1, part, fn, arg, e);
        close(next);
    }
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
    return rc;
}

int manifest_walk(struct store *s, manifest_fn fn, void *arg, struct err *e)
{
    const char *part[4] = {0};
    const int dir = open_folder(s->root_fd, "manifests", true);
    if (dir < 0)
        return errno == ENOENT ? 0 : store_errno(e, "manifests");
    const int rc = walk_level(dir, 0, part, fn, arg, e);
    close(dir);
    return rc;
}

struct find {
    const struct store_name *want;
    struct store_name *out;
};

static int find_one(void *arg, int dir, const char *const part[4])
{
    const struct find *f = arg;
    struct store_name n;
    (void)dir;
    if (!store_name_from_parts(part, &n) || !store_name_equal(&n, f->want))
        return 0;
    *f->out = n;
    return 1;
}

int manifest_find(struct store *s, const struct store_name *name, struct store_name *out,
                  struct err *e)
{
    /* The exact spelling first: cheap, and right when two spellings are there. */
    const int dir = manifest_dir(s, name, false);
    if (dir >= 0) {
        struct stat st;
        const bool there = !fstatat(dir, name->tag, &st, AT_SYMLINK_NOFOLLOW) &&
                           !S_ISDIR(st.st_mode);
        close(dir);
        if (there) {
            *out = *name;
            return 1;
        }
    }
    struct store_name got = {0};
    struct find f = {name, &got};
    const int rc = manifest_walk(s, find_one, &f, e);
    if (rc == 1)
        *out = got;
    return rc;
}

static int write_all(int fd, const char *p, size_t n)
{
    while (n) {
        const ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return -1;
        p += w;
        n -= (size_t)w;
    }
    return 0;
}

int manifest_write(struct store *s, const struct store_name *name, const char *p, size_t n,
                   struct err *e)
{
    char temp[TEMP_FILE];
    int rc = -1, dir = -1;
    /* In blobs/: every file below manifests/ would be taken for a tag. */
    const int fd = store_temp_open(s, temp, e);
    if (fd < 0)
        return -1;
    if (write_all(fd, p, n) || fchmod(fd, 0644) || fsync(fd)) {
        store_errno(e, "cannot write a manifest");
        goto done;
    }
    /* Another program may remove the empty folder between the two steps: try again then. */
    int renamed = -1;
    for (int try = 0; try < 4 && renamed; try++) {
        if (dir >= 0)
            close(dir);
        dir = manifest_dir(s, name, true);
        if (dir < 0) {
            if (errno == ENOENT)
                continue;
            break;
        }
        renamed = renameat(s->blobs_fd, temp, dir, name->tag);
        if (renamed && errno != ENOENT)
            break;
    }
    if (renamed) {
        if (errno == ENAMETOOLONG)
            err_set(e, ERR_INPUT, "invalid model name");
        else
            store_errno(e, "cannot write a manifest");
        goto done;
    }
    temp[0] = 0;
    if (fsync(dir)) {
        store_errno(e, "cannot sync the folder of a manifest");
        goto done;
    }
    rc = 0;
done:
    if (dir >= 0)
        close(dir);
    close(fd);
    if (temp[0])
        unlinkat(s->blobs_fd, temp, 0);
    return rc;
}
