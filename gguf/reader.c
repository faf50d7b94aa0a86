/* gguf/reader.c - one GGUF file: map it, check its whole header, hand out views.
 *
 * Every byte of the header passes through a cursor that knows how many are left, so no
 * count, length or offset is used before it has been compared with the file. Arrays of
 * numbers are only measured; arrays of strings are walked once, into one block of struct
 * text. The file's length is asked once: a file that others cut while it is open is not
 * guarded against (the store never cuts its blobs). */
#include "gguf/inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct cursor {
    const uint8_t *base;
    size_t at, end;  /* end: of the file or of what the limit on headers allows */
    bool is_limited; /* end is the limit's, the file goes on */
};

static size_t left(const struct cursor *c)
{
    return c->end - c->at;
}

static int cut_short(const struct cursor *c, uint64_t wanted, const char *what, struct err *e)
{
    if (c->is_limited)
        return err_set(e, ERR_LIMIT, "header: more than %d MiB before the tensor data (at %s)",
                       LIMIT_HEADER_BYTES >> 20, what);
    return err_set(e, ERR_INPUT, "cut short: %llu bytes wanted for %s, %zu left",
                   (unsigned long long)wanted, what, left(c));
}

static int take(struct cursor *c, void *out, size_t n, const char *what, struct err *e)
{
    if (n > left(c))
        return cut_short(c, n, what, e);
    memcpy(out, c->base + c->at, n);
    c->at += n;
    return 0;
}

/* A string with its length in front; its bytes stay in the file. */
static int take_text(struct cursor *c, struct text *out, size_t most, const char *what,
                     struct err *e)
{
    uint64_t n = 0;
    if (take(c, &n, sizeof n, what, e))
        return -1;
    if (n > left(c))
        return cut_short(c, n, what, e);
    if (n > most)
        return err_set(e, ERR_LIMIT, "%s of %llu bytes, %zu are allowed", what,
                       (unsigned long long)n, most);
    *out = (struct text){(const char *)c->base + c->at, (size_t)n};
    c->at += (size_t)n;
    return 0;
}

/* A key or a tensor's name as a C string in the arena. */
static char *take_name(struct gguf *g, struct cursor *c, size_t most, const char *what,
                       struct err *e)
{
    struct text t = {0};
    if (take_text(c, &t, most, what, e))
        return NULL;
    if (!t.n || memchr(t.p, 0, t.n)) {
        err_set(e, ERR_INPUT, t.n ? "%s holds a NUL byte" : "%s is empty", what);
        return NULL;
    }
    char *s = arena_copy(&g->arena, t.p, t.n);
    if (!s)
        err_set(e, ERR_MEMORY, "no memory for %s", what);
    return s;
}

/* ---- metadata ----------------------------------------------------------------------- */

static int take_strings(struct gguf *g, struct cursor *c, struct gguf_value *v, struct err *e)
{
    if (v->n > left(c) / 8)
        return cut_short(c, v->n * 8, "its strings", e); /* n is within LIMIT_ARRAY */
    if (v->n > g->texts_left)
        return err_set(e, ERR_LIMIT, "more than %d strings in all arrays together", LIMIT_TEXTS);
    g->texts_left -= (size_t)v->n;
    v->raw = c->base + c->at;
    /* One entry even for an empty array: `str` is never NULL for strings. */
    const size_t n = v->n ? (size_t)v->n : 1;
    struct text *str = arena_alloc(&g->arena, n * sizeof *str, _Alignof(struct text));
    if (!str)
        return err_set(e, ERR_MEMORY, "no memory for %zu strings", n);
    for (size_t i = 0; i < v->n; i++)
        if (take_text(c, &str[i], LIMIT_STRING_BYTES, "a string", e))
            return -1;
    v->str = str;
    return 0;
}

/* The value after its key and kind. */
static int take_value(struct gguf *g, struct cursor *c, struct gguf_value *v, struct err *e)
{
    uint32_t kind = 0;
    if (take(c, &kind, sizeof kind, "the type", e))
        return -1;
    if (kind > GGUF_F64)
        return err_set(e, ERR_INPUT, "type %u is not known, 0 to %d are", kind, GGUF_F64);
    v->kind = v->elem = (enum gguf_kind)kind;
    v->n = 1;
    if (kind == GGUF_ARRAY) {
        uint32_t elem = 0;
        if (take(c, &elem, sizeof elem, "the type of an array", e) ||
            take(c, &v->n, sizeof v->n, "the length of an array", e))
            return -1;
        if (elem == GGUF_ARRAY)
            return err_set(e, ERR_LIMIT, "an array of arrays; these are not taken");
        if (elem > GGUF_F64)
            return err_set(e, ERR_INPUT, "array of type %u, which is not known", elem);
        if (v->n > LIMIT_ARRAY)
            return err_set(e, ERR_LIMIT, "an array of %llu items, %d are allowed",
                           (unsigned long long)v->n, LIMIT_ARRAY);
        v->elem = (enum gguf_kind)elem;
    }
    if (v->elem == GGUF_STRING)
        return take_strings(g, c, v, e);
    const uint64_t bytes = v->n * kind_bytes(v->elem); /* n is within LIMIT_ARRAY */
    if (bytes > left(c))
        return cut_short(c, bytes, kind == GGUF_ARRAY ? "its items" : "its value", e);
    v->raw = c->base + c->at;
    c->at += (size_t)bytes;
    bool b;
    return kind == GGUF_BOOL ? gguf_value_bool_at(v, 0, &b, e) : 0;
}

static int take_metadata(struct gguf *g, struct gguf_part *p, struct cursor *c, struct err *e)
{
    p->values = arena_alloc(&g->arena, (p->n_values + 1) * sizeof *p->values, 8);
    if (!p->values || name_table_init(&p->keys, p->n_values))
        return err_set(e, ERR_MEMORY, "no memory for %zu keys", p->n_values);
    for (size_t i = 0; i < p->n_values; i++) {
        struct gguf_value *v = &p->values[i];
        v->key = take_name(g, c, LIMIT_KEY_BYTES, "the key", e);
        if (!v->key)
            return err_prefix(e, "metadata entry %zu", i);
        if (name_table_add(&p->keys, v->key, (uint32_t)i))
            return err_set(e, ERR_INPUT, "key \"%s\" stands twice", v->key);
        if (take_value(g, c, v, e))
            return err_prefix(e, "key \"%s\"", v->key);
    }
    p->alignment = ALIGN_DEFAULT;
    const struct gguf_value *a = part_find(p, "general.alignment");
    if (a && a->kind != GGUF_U32)
        return err_set(e, ERR_INPUT, "general.alignment is of type %s, u32 is wanted",
                       gguf_kind_name(a->kind));
    if (a && (gguf_value_u64_at(a, 0, &p->alignment, e) || alignment_check(p->alignment, e)))
        return -1;
    return 0;
}

/* ---- tensors -------------------------------------------------------------------------- */

/* One entry of the list; `offset` still counts from the start of the data. */
static int take_tensor(const struct gguf_part *p, struct cursor *c, struct gguf_tensor *t,
                       struct err *e)
{
    if (take(c, &t->n_dims, sizeof t->n_dims, "the number of dimensions", e))
        return -1;
    if (t->n_dims < 1 || t->n_dims > 4)
        return err_set(e, ERR_INPUT, "%u dimensions, 1 to 4 are possible", t->n_dims);
    for (uint32_t i = 0; i < 4; i++) {
        t->dims[i] = 1;
        if (i < t->n_dims && take(c, &t->dims[i], sizeof t->dims[i], "a dimension", e))
            return -1;
    }
    if (take(c, &t->type, sizeof t->type, "the type", e) ||
        take(c, &t->offset, sizeof t->offset, "the offset", e))
        return -1;
    if (shape_bytes(t->type, t->n_dims, t->dims, &t->n_bytes, e))
        return -1;
    if (t->offset % p->alignment)
        return err_set(e, ERR_INPUT, "offset %llu is not a multiple of the alignment %llu",
                       (unsigned long long)t->offset, (unsigned long long)p->alignment);
    return 0;
}

static int by_offset(const void *a, const void *b)
{
    const struct gguf_tensor *x = *(const struct gguf_tensor *const *)a;
    const struct gguf_tensor *y = *(const struct gguf_tensor *const *)b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static int check_overlap(const struct gguf_tensor *t, size_t n, struct err *e)
{
    const struct gguf_tensor **order = malloc((n + 1) * sizeof *order);
    if (!order)
        return err_set(e, ERR_MEMORY, "no memory to order %zu tensors", n);
    for (size_t i = 0; i < n; i++)
        order[i] = &t[i];
    qsort(order, n, sizeof *order, by_offset);
    int rc = 0;
    for (size_t i = 1; !rc && i < n; i++)
        if (order[i - 1]->offset + order[i - 1]->n_bytes > order[i]->offset)
            rc = err_set(e, ERR_INPUT, "tensors \"%s\" and \"%s\" overlap", order[i - 1]->name,
                         order[i]->name);
    free(order);
    return rc;
}

static int take_tensors(struct gguf *g, struct gguf_part *p, struct cursor *c, struct err *e)
{
    struct gguf_tensor *all =
        realloc(g->tensors, (g->n_tensors + p->n_tensors + 1) * sizeof *all);
    if (!all)
        return err_set(e, ERR_MEMORY, "no memory for %zu tensors", p->n_tensors);
    g->tensors = all;
    struct gguf_tensor *t = all + g->n_tensors;
    for (size_t i = 0; i < p->n_tensors; i++) {
        t[i] = (struct gguf_tensor){0};
        t[i].name = take_name(g, c, LIMIT_NAME_BYTES, "the name", e);
        if (!t[i].name)
            return err_prefix(e, "tensor %zu", i);
        if (take_tensor(p, c, &t[i], e))
            return err_prefix(e, "tensor \"%s\"", t[i].name);
    }
    /* The data starts at the next multiple of the alignment; a file without tensors may end
     * before it. */
    const size_t start = (c->at + p->alignment - 1) & ~(size_t)(p->alignment - 1);
    const size_t room = start < p->n_bytes ? p->n_bytes - start : 0;
    for (size_t i = 0; i < p->n_tensors; i++) {
        if (t[i].offset > room || t[i].n_bytes > room - t[i].offset)
            return err_set(e, ERR_INPUT,
                           "tensor \"%s\": offset %llu and %zu bytes, but the file has %zu bytes "
                           "of tensor data",
                           t[i].name, (unsigned long long)t[i].offset, t[i].n_bytes, room);
        t[i].offset += start;
        t[i].data = p->map + t[i].offset;
    }
    if (check_overlap(t, p->n_tensors, e))
        return -1;
    g->n_tensors += p->n_tensors;
    return 0;
}

/* ---- the file --------------------------------------------------------------------------- */

/* Magic, version, counts. */
static int take_start(struct gguf *g, struct gguf_part *p, struct cursor *c, struct err *e)
{
    char magic[5] = "";
    uint64_t n_tensors = 0, n_values = 0;
    if (take(c, magic, 4, "the magic", e))
        return -1;
    if (memcmp(magic, "GGUF", 4))
        return err_set(e, ERR_INPUT, "not a GGUF file (it starts with \"%s\")", magic);
    if (take(c, &p->version, sizeof p->version, "the version", e))
        return -1;
    if (!(p->version & 0xffff))
        return err_set(e, ERR_UNSUPPORTED,
                       "a big-endian GGUF file (version field 0x%08x); only little-endian files "
                       "are read",
                       p->version);
    if (p->version == 1)
        return err_set(e, ERR_UNSUPPORTED, "GGUF version 1 is too old; convert the model again");
    if (p->version != 2 && p->version != 3)
        return err_set(e, ERR_UNSUPPORTED, "GGUF version %u is not known; 2 and 3 are",
                       p->version);
    if (take(c, &n_tensors, sizeof n_tensors, "the number of tensors", e) ||
        take(c, &n_values, sizeof n_values, "the number of keys", e))
        return -1;
    const size_t tensors_left = LIMIT_TENSORS - g->n_tensors;
    if (n_tensors > tensors_left)
        return err_set(e, ERR_LIMIT, "%llu tensors, %zu are allowed",
                       (unsigned long long)n_tensors, tensors_left);
    if (n_values > g->keys_left)
        return err_set(e, ERR_LIMIT, "%llu metadata keys, %zu are allowed",
                       (unsigned long long)n_values, g->keys_left);
    /* The least that entries can take, so that a short file allocates little: a key of one
     * byte with an u8; a name of one byte with one dimension. */
    enum { KEY_LEAST = 8 + 1 + 4 + 1, TENSOR_LEAST = 8 + 1 + 4 + 8 + 4 + 8 };
    if (n_values * KEY_LEAST > left(c))
        return cut_short(c, n_values * KEY_LEAST, "the metadata", e);
    if (n_tensors * TENSOR_LEAST > left(c) - n_values * KEY_LEAST)
        return cut_short(c, n_tensors * TENSOR_LEAST, "the list of tensors", e);
    p->n_tensors = (size_t)n_tensors;
    p->n_values = (size_t)n_values;
    g->keys_left -= p->n_values;
    return 0;
}

static int map_file(struct gguf_part *p, int fd, struct err *e)
{
    struct stat st;
    if (fstat(fd, &st))
        return err_set(e, ERR_IO, "%s", strerror(errno));
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_INPUT, "not a regular file");
    if (st.st_size <= 0)
        return err_set(e, ERR_INPUT, "the file is empty");
    p->n_bytes = (size_t)st.st_size;
    p->device = st.st_dev;
    p->inode = st.st_ino;
    p->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    void *map = mmap(NULL, p->n_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        return err_set(e, ERR_IO, "cannot map %zu bytes: %s", p->n_bytes, strerror(errno));
    p->map = map;
    return 0;
}

int part_open(struct gguf *g, int fd, const char *label, struct err *e)
{
    if (g->n_parts == g->cap_parts) {
        const size_t cap = g->cap_parts ? 2 * g->cap_parts : 1;
        struct gguf_part *parts = realloc(g->parts, cap * sizeof *parts);
        if (!parts)
            return err_set(e, ERR_MEMORY, "no memory for %zu files", cap);
        g->parts = parts;
        g->cap_parts = cap;
    }
    struct gguf_part *p = &g->parts[g->n_parts];
    *p = (struct gguf_part){0};
    g->n_parts++; /* from here gguf_close frees it */
    if (map_file(p, fd, e))
        return err_prefix(e, "%s", label);
    struct cursor c = {.base = p->map, .end = p->n_bytes};
    if (c.end > g->header_left) {
        c.end = g->header_left;
        c.is_limited = true;
    }
    if (take_start(g, p, &c, e) || take_metadata(g, p, &c, e) || take_tensors(g, p, &c, e))
        return err_prefix(e, "%s", label);
    p->header_bytes = c.at;
    g->header_left -= c.at;
    return 0;
}

const struct gguf_value *part_find(const struct gguf_part *p, const char *key)
{
    const int64_t i = name_table_find(&p->keys, key);
    return i < 0 ? NULL : &p->values[i];
}
