/* engine/model/packing.h - the packed weights of a model: planned, then filled from the file or
 * from the cache on disk. Private to engine/.
 *
 * All matrices lie in one block of memory: huge pages serve small matrices too, and the block is
 * what the cache on disk holds, byte for byte. */
#ifndef CHASKI_PACKING_H
#define CHASKI_PACKING_H

#include "engine/model/model.h"

struct pack_item { /* rows row0.. of a tensor become a matrix */
    const struct gguf_tensor *t;
    int64_t row0;
    struct mat mat;               /* data: set by pack_weights */
    struct mat *out;              /* gets a copy then; NULL: an expert after the first */
    size_t row_bytes;             /* in the file */
    const uint8_t *map, *map_end; /* the file */
    size_t offset, bytes;         /* in the block */
};
struct pack_plan { /* zero-initialise, but for g */
    const struct gguf *g;
    struct pack_item *items;
    size_t n, cap;
    size_t bytes;       /* of the block */
    uint64_t src_bytes; /* of the file */
};
/* `n` matrices of `rows` rows, which stand one after the other from row row0 of t; `out` becomes
 * the first of them, expert_mat gives the others. Checks that the type has kernels; the error names
 * the tensor. */
int pack_plan_add(struct pack_plan *p, const struct gguf_tensor *t, int64_t row0, int64_t n,
                  int64_t rows, int64_t cols, struct mat *out, struct err *e);
void pack_plan_free(struct pack_plan *p);
/* Fill m->packed and the matrices' data. */
int pack_weights(struct model *m, struct pack_plan *p, const struct load_config *c, struct err *e);

/* Read the pages of p..p+n of a mapped file now: 0, or -1 when they cannot be read (touching them
 * would be a signal). */
int pages_read(const void *p, size_t n);

/* ---- pack_cache.c: the block on disk ------------------------------------------------------ */

/* The key of a model that is a file of its own: path, size, time, inode, checksum of the header, of
 * every part. NULL without memory; free(). */
char *pack_cache_file_key(const struct gguf *g, const char *path);
/* Map the block of c->cache_key into m->packed if it is there and whole. false: it is not (what is
 * there and wrong is named in the log), or loading was cancelled. */
bool pack_cache_map(struct model *m, const struct pack_plan *p, const struct load_config *c);
/* Start to write m->packed in the background; a log line if that cannot be. m->packed must stay
 * until pack_writer_end, which waits (or gives up, when *c->cancel is set). */
struct pack_writer *pack_writer_begin(const struct model *m, const struct pack_plan *p,
                                      const struct load_config *c);
void pack_writer_end(struct pack_writer *w); /* NULL is fine */

#endif
