/* gguf/writer.c - write a GGUF version 3 file (gguf/gguf.h).
 *
 * Metadata is put into its bytes at once, tensor headers are kept until the end, and the
 * data goes straight to the descriptor. What the reader would refuse is refused here, so
 * that no file is written that cannot be read back. */
#include "gguf/inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE_BYTES = 1 << 20 }; /* of the data that `fill` delivers */

struct names { /* grows; the table is rebuilt at twice its size */
    const char **names;
    size_t n, cap;
    struct name_table table;
};

struct out_tensor {
    uint32_t type, n_dims;
    uint64_t dims[4];
    const void *data;
    size_t n_bytes;
};

struct gguf_writer {
    struct arena arena; /* copies of the names */
    struct buf meta;
    struct names keys, tensor_names;
    struct out_tensor *tensors; /* tensor_names.cap of them */
    size_t cap_tensors, n_texts;
    uint64_t alignment;
};

struct gguf_writer *gguf_writer_new(struct err *e)
{
    struct gguf_writer *w = calloc(1, sizeof *w);
    if (!w)
        err_set(e, ERR_MEMORY, "no memory for a writer");
    else
        w->alignment = ALIGN_DEFAULT;
    return w;
}

void gguf_writer_free(struct gguf_writer *w)
{
    if (!w)
        return;
    name_table_free(&w->keys.table);
    name_table_free(&w->tensor_names.table);
    free(w->keys.names);
    free(w->tensor_names.names);
    free(w->tensors);
    buf_free(&w->meta);
    arena_free(&w->arena);
    free(w);
}

/* Add a name that is not there yet; `what` is "key" or "tensor". */
static int names_add(struct gguf_writer *w, struct names *s, const char *name, size_t most_bytes,
                     size_t most, const char *what, struct err *e)
{
    const size_t n = strlen(name);
    if (!n || n > most_bytes)
        return err_set(e, ERR_INPUT, "%s \"%s\": a name of %zu bytes, 1 to %zu are possible", what,
                       name, n, most_bytes);
    if (s->n == most)
        return err_set(e, ERR_LIMIT, "%s \"%s\": more than %zu in one file", what, name, most);
    if (name_table_find(&s->table, name) >= 0)
        return err_set(e, ERR_INPUT, "%s \"%s\" is written twice", what, name);
    if (s->n == s->cap) {
        const size_t cap = s->cap ? 2 * s->cap : 64;
        const char **names = realloc(s->names, cap * sizeof *names);
        if (!names)
            return err_set(e, ERR_MEMORY, "no memory for %zu names", cap);
        s->names = names;
        struct name_table bigger;
        if (name_table_init(&bigger, cap))
            return err_set(e, ERR_MEMORY, "no memory for %zu names", cap);
        for (size_t i = 0; i < s->n; i++)
            name_table_add(&bigger, names[i], (uint32_t)i);
        name_table_free(&s->table);
        s->table = bigger;
        s->cap = cap;
    }
    const char *copy = arena_copy(&w->arena, name, n);
    if (!copy)
        return err_set(e, ERR_MEMORY, "no memory for the name of a %s", what);
    name_table_add(&s->table, copy, (uint32_t)s->n);
    s->names[s->n++] = copy;
    return 0;
}

/* ---- metadata ------------------------------------------------------------------------- */

static void add_u32(struct buf *b, uint32_t x)
{
    buf_add(b, &x, sizeof x);
}

static void add_u64(struct buf *b, uint64_t x)
{
    buf_add(b, &x, sizeof x);
}

static void add_text(struct buf *b, struct text t)
{
    add_u64(b, t.n);
    buf_add(b, t.p, t.n);
}

static int key_start(struct gguf_writer *w, const char *key, uint32_t kind, struct err *e)
{
    if (names_add(w, &w->keys, key, LIMIT_KEY_BYTES, LIMIT_KEYS, "key", e))
        return -1;
    add_text(&w->meta, (struct text){key, strlen(key)});
    add_u32(&w->meta, kind);
    return 0;
}

static int key_end(struct gguf_writer *w, struct err *e)
{
    if (w->meta.failed)
        return err_set(e, ERR_MEMORY, "no memory for metadata");
    if (w->meta.n > LIMIT_HEADER_BYTES)
        return err_set(e, ERR_LIMIT, "more than %d MiB of metadata", LIMIT_HEADER_BYTES >> 20);
    return 0;
}

static int check_items(const char *key, enum gguf_kind kind, const void *values, uint64_t n,
                       struct err *e)
{
    if (!kind_bytes(kind))
        return err_set(e, ERR_INPUT, "key \"%s\": values of kind %s are written another way", key,
                       gguf_kind_name(kind));
    if (n > LIMIT_ARRAY)
        return err_set(e, ERR_LIMIT, "key \"%s\": %llu items, %d are allowed", key,
                       (unsigned long long)n, LIMIT_ARRAY);
    for (uint64_t i = 0; kind == GGUF_BOOL && i < n; i++)
        if (((const uint8_t *)values)[i] > 1)
            return err_set(e, ERR_INPUT, "key \"%s\": a bool must be 0 or 1", key);
    return 0;
}

static int check_text(const char *key, struct text t, struct err *e)
{
    if (t.n > LIMIT_STRING_BYTES)
        return err_set(e, ERR_LIMIT, "key \"%s\": a string of %zu bytes, %d are allowed", key, t.n,
                       LIMIT_STRING_BYTES);
    return 0;
}

int gguf_write_scalar(struct gguf_writer *w, const char *key, enum gguf_kind k, const void *value,
                      struct err *e)
{
    if (check_items(key, k, value, 1, e))
        return -1;
    uint64_t alignment = w->alignment;
    if (strcmp(key, "general.alignment") == 0) {
        uint32_t a;
        if (k != GGUF_U32)
            return err_set(e, ERR_INPUT, "general.alignment is of kind %s, u32 is wanted",
                           gguf_kind_name(k));
        memcpy(&a, value, sizeof a);
        if (alignment_check(a, e))
            return -1;
        alignment = a;
    }
    if (key_start(w, key, k, e))
        return -1;
    buf_add(&w->meta, value, kind_bytes(k));
    w->alignment = alignment;
    return key_end(w, e);
}

int gguf_write_text(struct gguf_writer *w, const char *key, struct text value, struct err *e)
{
    if (check_text(key, value, e) || key_start(w, key, GGUF_STRING, e))
        return -1;
    add_text(&w->meta, value);
    return key_end(w, e);
}

int gguf_write_array(struct gguf_writer *w, const char *key, enum gguf_kind elem,
                     const void *values, uint64_t n, struct err *e)
{
    if (check_items(key, elem, values, n, e) || key_start(w, key, GGUF_ARRAY, e))
        return -1;
    add_u32(&w->meta, elem);
    add_u64(&w->meta, n);
    buf_add(&w->meta, values, (size_t)n * kind_bytes(elem));
    return key_end(w, e);
}

int gguf_write_texts(struct gguf_writer *w, const char *key, const struct text *values, uint64_t n,
                     struct err *e)
{
    if (n > LIMIT_ARRAY || n > LIMIT_TEXTS - w->n_texts)
        return err_set(e, ERR_LIMIT, "key \"%s\": %llu strings, %zu are allowed", key,
                       (unsigned long long)n, LIMIT_TEXTS - w->n_texts);
    for (uint64_t i = 0; i < n; i++)
        if (check_text(key, values[i], e))
            return -1;
    if (key_start(w, key, GGUF_ARRAY, e))
        return -1;
    w->n_texts += (size_t)n;
    add_u32(&w->meta, GGUF_STRING);
    add_u64(&w->meta, n);
    for (uint64_t i = 0; i < n; i++)
        add_text(&w->meta, values[i]);
    return key_end(w, e);
}

/* ---- tensors ---------------------------------------------------------------------------- */

int gguf_write_tensor(struct gguf_writer *w, const char *name, uint32_t type, uint32_t n_dims,
                      const uint64_t *dims, const void *data, struct err *e)
{
    struct out_tensor t = {.type = type, .n_dims = n_dims, .data = data};
    for (uint32_t i = 0; i < 4; i++)
        t.dims[i] = i < n_dims ? dims[i] : 1;
    if (shape_bytes(type, n_dims, t.dims, &t.n_bytes, e))
        return err_prefix(e, "tensor \"%s\"", name);
    const size_t i = w->tensor_names.n;
    if (i == w->cap_tensors) {
        const size_t cap = w->cap_tensors ? 2 * w->cap_tensors : 64;
        struct out_tensor *all = realloc(w->tensors, cap * sizeof *all);
        if (!all)
            return err_set(e, ERR_MEMORY, "no memory for %zu tensors", cap);
        w->tensors = all;
        w->cap_tensors = cap;
    }
    if (names_add(w, &w->tensor_names, name, LIMIT_NAME_BYTES, LIMIT_TENSORS, "tensor", e))
        return -1;
    w->tensors[i] = t;
    return 0;
}

/* ---- the file ----------------------------------------------------------------------------- */

static int put(int fd, const void *p, size_t n, struct err *e)
{
    const char *s = p;
    while (n) {
        const ssize_t done = write(fd, s, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return err_set(e, ERR_IO, "cannot write the file: %s",
                           done < 0 ? strerror(errno) : "nothing is taken");
        s += done;
        n -= (size_t)done;
    }
    return 0;
}

static size_t pad_of(const struct gguf_writer *w, size_t n)
{
    return (size_t)(-(uint64_t)n & (w->alignment - 1));
}

static int put_pad(const struct gguf_writer *w, int fd, size_t n, struct err *e)
{
    static const char zeros[4096];
    int rc = 0;
    for (size_t pad = pad_of(w, n); !rc && pad;) {
        const size_t some = pad < sizeof zeros ? pad : sizeof zeros;
        rc = put(fd, zeros, some, e);
        pad -= some;
    }
    return rc;
}

static int put_header(struct gguf_writer *w, int fd, struct err *e)
{
    struct buf b = {0};
    buf_puts(&b, "GGUF");
    add_u32(&b, 3);
    add_u64(&b, w->tensor_names.n);
    add_u64(&b, w->keys.n);
    if (w->meta.n)
        buf_add(&b, w->meta.p, w->meta.n);
    uint64_t at = 0;
    int rc = 0;
    for (size_t i = 0; !rc && i < w->tensor_names.n; i++) {
        const struct out_tensor *t = &w->tensors[i];
        const char *name = w->tensor_names.names[i];
        add_text(&b, (struct text){name, strlen(name)});
        add_u32(&b, t->n_dims);
        buf_add(&b, t->dims, t->n_dims * sizeof *t->dims);
        add_u32(&b, t->type);
        add_u64(&b, at);
        size_t end;
        if (size_add(&end, at, t->n_bytes) || size_add(&end, end, pad_of(w, t->n_bytes)))
            rc = err_set(e, ERR_INPUT, "tensor \"%s\": the file would have more than 64 bits",
                         name);
        at = end;
    }
    if (!rc && b.failed)
        rc = err_set(e, ERR_MEMORY, "no memory for the header");
    if (!rc)
        rc = put(fd, b.p, b.n, e);
    if (!rc)
        rc = put_pad(w, fd, b.n, e);
    buf_free(&b);
    return rc;
}

static int put_filled(int fd, size_t i, size_t n_bytes, char *piece, gguf_fill fill, void *arg,
                      struct err *e)
{
    for (size_t at = 0; at < n_bytes;) {
        const size_t n = n_bytes - at < PIECE_BYTES ? n_bytes - at : PIECE_BYTES;
        if (fill(arg, i, piece, at, n, e) || put(fd, piece, n, e))
            return -1;
        at += n;
    }
    return 0;
}

int gguf_writer_finish(struct gguf_writer *w, int fd, gguf_fill fill, void *arg, struct err *e)
{
    int rc = -1;
    char *piece = NULL;
    if (w->meta.failed) { /* an earlier error that was not looked at */
        err_set(e, ERR_MEMORY, "no memory for metadata");
        goto done;
    }
    for (size_t i = 0; i < w->tensor_names.n; i++)
        if (!w->tensors[i].data && !fill) {
            err_set(e, ERR_BUG, "tensor \"%s\" has no data", w->tensor_names.names[i]);
            goto done;
        }
    /* Cleared, so that a `fill` that writes less does not put old memory in the file. */
    piece = calloc(1, PIECE_BYTES);
    if (!piece) {
        err_set(e, ERR_MEMORY, "no memory to write tensors");
        goto done;
    }
    if (put_header(w, fd, e))
        goto done;
    for (size_t i = 0; i < w->tensor_names.n; i++) {
        const struct out_tensor *t = &w->tensors[i];
        if (t->data ? put(fd, t->data, t->n_bytes, e)
                    : put_filled(fd, i, t->n_bytes, piece, fill, arg, e))
            goto done;
        if (put_pad(w, fd, t->n_bytes, e))
            goto done;
    }
    rc = 0;
done:
    free(piece);
    return rc;
}
