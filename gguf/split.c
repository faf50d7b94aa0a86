/* gguf/split.c - a model of one or more files: open, close, find, release (gguf/gguf.h).
 *
 * Split files are those of llama.cpp's gguf-split: names X-00001-of-0000N.gguf; each part
 * is a whole GGUF file with its own data, keys split.no (from 0), split.count and
 * split.tensors.count (of all parts together). Metadata comes from the first part. */
#include "gguf/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct gguf *model_new(struct err *e)
{
    struct gguf *g = calloc(1, sizeof *g);
    if (!g) {
        err_set(e, ERR_MEMORY, "no memory to open a model");
        return NULL;
    }
    g->header_left = LIMIT_HEADER_BYTES;
    g->texts_left = LIMIT_TEXTS;
    g->keys_left = LIMIT_KEYS;
    return g;
}

/* A number of the split.* keys; 0 where the key is absent. */
static int split_number(const struct gguf_part *p, const char *key, uint64_t *out, struct err *e)
{
    const struct gguf_value *v = part_find(p, key);
    *out = 0;
    if (!v)
        return 0;
    if (v->kind == GGUF_ARRAY)
        return err_set(e, ERR_INPUT, "key \"%s\" is an array, an integer is wanted", key);
    return gguf_value_u64_at(v, 0, out, e);
}

/* How many files the model has, by its first part: 1..LIMIT_PARTS. */
static int split_count(const struct gguf *g, uint64_t *count, struct err *e)
{
    uint64_t no;
    if (split_number(&g->parts[0], "split.count", count, e) ||
        split_number(&g->parts[0], "split.no", &no, e))
        return -1;
    if (*count > LIMIT_PARTS)
        return err_set(e, ERR_LIMIT, "split.count is %llu, %d parts are allowed",
                       (unsigned long long)*count, LIMIT_PARTS);
    if (*count > 1 && no)
        return err_set(e, ERR_INPUT, "this is part %llu of a model of %llu files; the first part "
                       "is wanted",
                       (unsigned long long)no + 1, (unsigned long long)*count);
    if (!*count)
        *count = 1;
    return 0;
}

/* Part i says that it is part i of n. */
static int check_part(const struct gguf *g, size_t i, uint64_t n, struct err *e)
{
    uint64_t count, no;
    if (split_number(&g->parts[i], "split.count", &count, e) ||
        split_number(&g->parts[i], "split.no", &no, e))
        return -1;
    if (count != n)
        return err_set(e, ERR_INPUT, "part %zu: split.count is %llu, the first part says %llu",
                       i + 1, (unsigned long long)count, (unsigned long long)n);
    if (no != i)
        return err_set(e, ERR_INPUT, "part %zu: split.no is %llu, %zu is wanted", i + 1,
                       (unsigned long long)no, i);
    return 0;
}

/* After the last part: the sum of the tensors, and the table of their names. */
static int finish(struct gguf *g, struct err *e)
{
    if (g->n_parts > 1) {
        uint64_t total;
        const bool said = part_find(&g->parts[0], "split.tensors.count");
        if (split_number(&g->parts[0], "split.tensors.count", &total, e))
            return -1;
        if (said && total != g->n_tensors)
            return err_set(e, ERR_INPUT, "split.tensors.count is %llu, the parts hold %zu tensors",
                           (unsigned long long)total, g->n_tensors);
    }
    if (name_table_init(&g->names, g->n_tensors))
        return err_set(e, ERR_MEMORY, "no memory for %zu names", g->n_tensors);
    for (size_t i = 0; i < g->n_tensors; i++)
        if (name_table_add(&g->names, g->tensors[i].name, (uint32_t)i))
            return err_set(e, ERR_INPUT, "tensor \"%s\" stands twice", g->tensors[i].name);
    return 0;
}

/* `path` ends in -00001-of-<count>.gguf: the length of what stands before. */
static int split_stem(const char *path, uint64_t count, size_t *stem, struct err *e)
{
    char end[32];
    const int n = snprintf(end, sizeof end, "-00001-of-%05u.gguf", (unsigned)count);
    const size_t len = strlen(path);
    if (len < (size_t)n || strcmp(path + len - (size_t)n, end))
        return err_set(e, ERR_INPUT, "a model of %llu files: the name must end in \"%s\"",
                       (unsigned long long)count, end);
    *stem = len - (size_t)n;
    return 0;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int open_file(struct gguf *g, const char *path, struct err *e)
{
    /* O_NONBLOCK: a pipe of that name must not hang here; it is refused as no regular file. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot open \"%s\": %s", path,
                       strerror(errno));
    const int rc = part_open(g, fd, base_name(path), e);
    close(fd);
    return rc;
}

static int open_all(struct gguf *g, const char *path, struct err *e)
{
    uint64_t count;
    size_t stem = 0;
    if (open_file(g, path, e))
        return -1;
    if (split_count(g, &count, e) || (count > 1 && split_stem(path, count, &stem, e)))
        return err_prefix(e, "%s", base_name(path));
    if (count > 1) {
        const size_t cap = stem + 32;
        char *name = malloc(cap);
        if (!name)
            return err_set(e, ERR_MEMORY, "no memory for a file name");
        int rc = 0;
        for (size_t i = 1; !rc && i < count; i++) {
            snprintf(name, cap, "%.*s-%05zu-of-%05u.gguf", (int)stem, path, i + 1,
                     (unsigned)count);
            rc = open_file(g, name, e);
            if (!rc && check_part(g, i, count, e))
                rc = err_prefix(e, "%s", base_name(name));
        }
        free(name);
        if (rc)
            return -1;
    }
    return finish(g, e) ? err_prefix(e, "%s", base_name(path)) : 0;
}

struct gguf *gguf_open(const char *path, struct err *e)
{
    struct gguf *g = model_new(e);
    if (g && open_all(g, path, e)) {
        gguf_close(g);
        return NULL;
    }
    return g;
}

static int open_fds(struct gguf *g, const int *fds, int n_fds, const char *label, struct err *e)
{
    uint64_t count;
    if (n_fds < 1 || n_fds > LIMIT_PARTS)
        return err_set(e, ERR_LIMIT, "%s: %d files, 1 to %d are possible", label, n_fds,
                       LIMIT_PARTS);
    if (part_open(g, fds[0], label, e))
        return -1;
    if (split_count(g, &count, e))
        return err_prefix(e, "%s", label);
    if (count != (uint64_t)n_fds)
        return err_set(e, ERR_INPUT, "%s: a model of %llu files, %d are given", label,
                       (unsigned long long)count, n_fds);
    for (int i = 1; i < n_fds; i++) {
        if (part_open(g, fds[i], label, e))
            return -1;
        if (check_part(g, (size_t)i, count, e))
            return err_prefix(e, "%s", label);
    }
    return finish(g, e) ? err_prefix(e, "%s", label) : 0;
}

struct gguf *gguf_open_fds(const int *fds, int n_fds, const char *label, struct err *e)
{
    struct gguf *g = model_new(e);
    if (g && open_fds(g, fds, n_fds, label, e)) {
        gguf_close(g);
        return NULL;
    }
    return g;
}

void gguf_close(struct gguf *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->n_parts; i++) {
        name_table_free(&g->parts[i].keys);
        if (g->parts[i].map)
            munmap((void *)(uintptr_t)g->parts[i].map, g->parts[i].n_bytes);
    }
    name_table_free(&g->names);
    free(g->parts);
    free(g->tensors);
    arena_free(&g->arena);
    free(g);
}

uint32_t gguf_version(const struct gguf *g)
{
    return g->parts[0].version;
}

uint64_t gguf_alignment(const struct gguf *g)
{
    return g->parts[0].alignment;
}

uint64_t gguf_file_bytes(const struct gguf *g)
{
    uint64_t n = 0;
    for (size_t i = 0; i < g->n_parts; i++)
        n += g->parts[i].n_bytes;
    return n;
}

size_t gguf_n_sources(const struct gguf *g)
{
    return g->n_parts;
}

struct gguf_source gguf_source_at(const struct gguf *g, size_t i)
{
    const struct gguf_part *p = &g->parts[i];
    return (struct gguf_source){.header = p->map,
                                .header_bytes = p->header_bytes,
                                .n_bytes = p->n_bytes,
                                .device = p->device,
                                .inode = p->inode,
                                .mtime_ns = p->mtime_ns};
}

size_t gguf_n_tensors(const struct gguf *g)
{
    return g->n_tensors;
}

const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, size_t i)
{
    return i < g->n_tensors ? &g->tensors[i] : NULL;
}

size_t gguf_n_values(const struct gguf *g)
{
    return g->parts[0].n_values;
}

const struct gguf_value *gguf_value_at(const struct gguf *g, size_t i)
{
    return i < g->parts[0].n_values ? &g->parts[0].values[i] : NULL;
}

const struct gguf_tensor *gguf_find_tensor(const struct gguf *g, const char *name)
{
    const int64_t i = name_table_find(&g->names, name);
    return i < 0 ? NULL : &g->tensors[i];
}

const struct gguf_value *gguf_find(const struct gguf *g, const char *key)
{
    return part_find(&g->parts[0], key);
}

void gguf_release(const struct gguf *g, const struct gguf_tensor *t)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t p = (uintptr_t)t->data;
    for (size_t i = 0; i < g->n_parts; i++) {
        const uintptr_t map = (uintptr_t)g->parts[i].map;
        if (p < map || p - map >= g->parts[i].n_bytes)
            continue;
        /* Whole pages, the shared ones at both ends too: they only come back from the file. */
        const uintptr_t start = p & ~(page - 1);
        (void)madvise((void *)start, p + t->n_bytes - start, MADV_DONTNEED);
        return;
    }
}
