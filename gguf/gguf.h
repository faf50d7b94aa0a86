/* gguf/gguf.h - the door of the gguf room: read and write GGUF files, versions 2 and 3.
 *
 * Nothing here computes; tensors are handed out as read-only views of a mapped
 * file. Every size in this header is in bytes unless its name says otherwise. No
 * function aborts on a bad file: the whole header is checked in gguf_open, before
 * anything is built from it, against the file's length and the limits below. */
#ifndef CHASKI_GGUF_H
#define CHASKI_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "gguf/base.h"
#include "gguf/types.h"

enum gguf_kind { /* metadata value types, with the file's numbers */
    GGUF_U8 = 0, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL,
    GGUF_STRING, GGUF_ARRAY, GGUF_U64, GGUF_I64, GGUF_F64,
};

struct gguf; /* opaque: one open model (one file, or all parts of a split one) */

struct gguf_tensor {
    const char *name;  /* NUL-terminated, owned by the file */
    uint32_t type;     /* enum gguf_type, live or plain */
    uint32_t n_dims;   /* 1..4 */
    uint64_t dims[4];  /* elements; dims[0] is the fastest; 1 past n_dims */
    const void *data;  /* aligned to general.alignment; bytes of the mapped file */
    size_t n_bytes;    /* checked against the file's length */
    uint64_t offset;   /* of the data in its file */
};

struct gguf_value { /* one metadata entry */
    const char *key;        /* NUL-terminated */
    enum gguf_kind kind;    /* of the value */
    enum gguf_kind elem;    /* element kind where kind is GGUF_ARRAY (never GGUF_ARRAY) */
    uint64_t n;             /* elements of an array, else 1 */
    const void *raw;        /* first byte of the scalar, or of the first element; unaligned */
    const struct text *str; /* strings: n entries (n = 1 for a plain string), else NULL */
};

/* Open and validate `path`. A file with split.count > 1 opens its sister files (named
 * ...-00001-of-0000N.gguf) too; metadata comes from the first. Returns NULL and fills `e`
 * if a file is cut short, lies about a size, or breaks a limit. The caller closes the
 * result; tensors, values and strings die with it. */
struct gguf *gguf_open(const char *path, struct err *e);
/* The same for parts given in order (blobs of a store, that have no telling names).
 * Descriptors are only borrowed: they can be closed afterwards. `label` names the
 * model in messages. */
struct gguf *gguf_open_fds(const int *fds, int n_fds, const char *label, struct err *e);
void gguf_close(struct gguf *g); /* NULL is fine */

uint32_t gguf_version(const struct gguf *g);
uint64_t gguf_alignment(const struct gguf *g);
uint64_t gguf_file_bytes(const struct gguf *g);   /* all parts together */
size_t gguf_n_tensors(const struct gguf *g);
const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, size_t i); /* file order */
size_t gguf_n_values(const struct gguf *g);
const struct gguf_value *gguf_value_at(const struct gguf *g, size_t i);   /* file order */

struct gguf_source { /* one file of the model: what tells it from others without reading it all */
    const void *header; /* magic to the end of the tensor list */
    size_t header_bytes;
    uint64_t n_bytes, device, inode; /* as they were when it was opened */
    int64_t mtime_ns;
};
size_t gguf_n_sources(const struct gguf *g);
struct gguf_source gguf_source_at(const struct gguf *g, size_t i); /* i < gguf_n_sources */

/* The tensor or value of that name, or NULL (not an error). O(1). */
const struct gguf_tensor *gguf_find_tensor(const struct gguf *g, const char *name);
const struct gguf_value *gguf_find(const struct gguf *g, const char *key);

/* Typed getters: 1 = found and written, 0 = no such key (out untouched), -1 = the key has
 * another type or range, with `e` filled ("key \"x\" is a string, a number is wanted").
 * Integer getters take any integer kind that holds the value; the float getter takes any
 * number; negative values never become large ones. */
int gguf_get_u64(const struct gguf *g, const char *key, uint64_t *out, struct err *e);
int gguf_get_f64(const struct gguf *g, const char *key, double *out, struct err *e);
int gguf_get_bool(const struct gguf *g, const char *key, bool *out, struct err *e);
int gguf_get_text(const struct gguf *g, const char *key, struct text *out, struct err *e);
/* Arrays. Numbers are checked one by one as the scalar getters do; a scalar is taken as an
 * array of one. gguf_get_*_at: element i of `v`; the caller has checked i < v->n. */
int gguf_value_u64_at(const struct gguf_value *v, uint64_t i, uint64_t *out, struct err *e);
int gguf_value_i64_at(const struct gguf_value *v, uint64_t i, int64_t *out, struct err *e);
int gguf_value_f64_at(const struct gguf_value *v, uint64_t i, double *out, struct err *e);
int gguf_value_bool_at(const struct gguf_value *v, uint64_t i, bool *out, struct err *e);

/* Tell the system that the mapped pages of a tensor are not needed any more (it has been
 * packed). The bytes stay readable: they come back from the file. */
void gguf_release(const struct gguf *g, const struct gguf_tensor *t);

const char *gguf_kind_name(enum gguf_kind k); /* "u32", "string", ... */
/* The usual name of a general.file_type value ("Q4_K_M"), or "unknown". */
const char *gguf_file_type_name(uint64_t file_type);

/* ---- the writer ------------------------------------------------------------------- */

struct gguf_writer; /* collects metadata and tensor headers, then writes one v3 file */

struct gguf_writer *gguf_writer_new(struct err *e);
void gguf_writer_free(struct gguf_writer *w);
/* Each copies what it is given. 0 or -1 (ERR_MEMORY, or ERR_INPUT for a key twice). */
int gguf_write_scalar(struct gguf_writer *w, const char *key, enum gguf_kind k, const void *value,
                      struct err *e);
int gguf_write_text(struct gguf_writer *w, const char *key, struct text value, struct err *e);
int gguf_write_array(struct gguf_writer *w, const char *key, enum gguf_kind elem,
                     const void *values, uint64_t n, struct err *e);
int gguf_write_texts(struct gguf_writer *w, const char *key, const struct text *values, uint64_t n,
                     struct err *e);
/* Data is borrowed until gguf_writer_finish; NULL data means that `fill` delivers it. */
int gguf_write_tensor(struct gguf_writer *w, const char *name, uint32_t type, uint32_t n_dims,
                      const uint64_t *dims, const void *data, struct err *e);
/* Write everything to the open descriptor `fd`. `fill(arg, i, piece, offset, n)` writes n bytes
 * at `offset` of tensor i's data (for tensors without data; may be NULL when all have some). */
typedef int (*gguf_fill)(void *arg, size_t i, void *piece, uint64_t offset, size_t n,
                         struct err *e);
int gguf_writer_finish(struct gguf_writer *w, int fd, gguf_fill fill, void *arg, struct err *e);

#endif
