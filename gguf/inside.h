/* gguf/inside.h - what the files of this room share and nobody else sees: limits, the
 * table of names, the open model, the cursor's rules.
 *
 * The limits are those of the project's security page. Where a limit is per item (a
 * string, an array), a second one bounds the sum, so that a file cannot cost more than
 * some hundred MB by being built of many allowed things. */
#ifndef CHASKI_GGUF_INSIDE_H
#define CHASKI_GGUF_INSIDE_H

#include "gguf/gguf.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "GGUF is little-endian, and values are copied as they are"
#endif

enum {
    LIMIT_KEYS = 65536,          /* of all parts together */
    LIMIT_TENSORS = 65536,       /* of all parts together */
    LIMIT_KEY_BYTES = 65535,     /* as the reference */
    LIMIT_NAME_BYTES = 63,       /* the reference holds names in char[64] */
    LIMIT_STRING_BYTES = 16 << 20,
    LIMIT_ARRAY = 16 << 20,      /* items; the largest vocabularies have 0.3 Mi */
    LIMIT_TEXTS = 16 << 20,      /* strings of all arrays together: 256 MiB of struct text */
    LIMIT_HEADER_BYTES = 256 << 20, /* all before the tensor data; real ones have 30 MB */
    LIMIT_PARTS = 256,
    ALIGN_LEAST = 8,
    ALIGN_MOST = 65536,
    ALIGN_DEFAULT = 32,
};

/* ---- names.c: name -> index, with a keyed hash: a file cannot choose collisions ---- */

struct name_slot {
    const char *name; /* NULL: free */
    uint32_t hash, index;
};
struct name_table {
    struct name_slot *slots; /* on the heap; NULL while empty */
    uint32_t mask, used;
    uint64_t key[2]; /* of the hash, random for each table */
};
/* Room for n names (it does not grow by itself); 0 or -1 without memory. */
int name_table_init(struct name_table *t, size_t n);
/* 0, or -1 when the name is there already. */
int name_table_add(struct name_table *t, const char *name, uint32_t index);
/* The index, or -1. */
int64_t name_table_find(const struct name_table *t, const char *name);
void name_table_free(struct name_table *t);

/* ---- limits.c: rules that reader and writer share ----------------------------------- */

/* Bytes of one metadata value of that kind; 0 for strings, arrays and unknown kinds. */
size_t kind_bytes(uint32_t kind);
/* 0 when `a` may be a general.alignment. */
int alignment_check(uint64_t a, struct err *e);
/* Bytes of a tensor; refuses types that may not stand in files, wrong dims, broken rows and
 * sizes that do not fit. The message has no name: the caller puts it in front. */
int shape_bytes(uint32_t type, uint32_t n_dims, const uint64_t dims[4], size_t *out,
                struct err *e);
/* Put `where: ` in front of the message in `e`; returns -1. */
int err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- the open model ------------------------------------------------------------------ */

struct gguf_part { /* one mapped file */
    const uint8_t *map;
    size_t n_bytes, header_bytes;
    uint64_t device, inode; /* of the file, when it was opened */
    int64_t mtime_ns;
    uint32_t version;
    uint64_t alignment;
    struct gguf_value *values; /* n_values; in the model's arena */
    size_t n_values, n_tensors;
    struct name_table keys;
};

struct gguf {
    struct arena arena; /* names, values, texts */
    struct gguf_part *parts;
    size_t n_parts, cap_parts;
    struct gguf_tensor *tensors; /* of all parts, in order */
    size_t n_tensors;
    struct name_table names;
    size_t header_left, texts_left, keys_left; /* what the limits above still allow */
};

/* reader.c: map `fd` (borrowed) as the next part of g and check its whole header. */
int part_open(struct gguf *g, int fd, const char *label, struct err *e);
/* values of one part by key, or NULL */
const struct gguf_value *part_find(const struct gguf_part *p, const char *key);

#endif
