/* engine/store/inside.h - what the files of the store room share; nobody else's business.
 *
 * Lock order: there is one lock, store.lock. It is held for every change of manifests/ and
 * for every removal of blobs, never while a callback of the caller runs. */
#ifndef CHASKI_STORE_INSIDE_H
#define CHASKI_STORE_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include "engine/store/store.h"
#include "gguf/gguf.h"

#define MEDIA_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_CONFIG "application/vnd.docker.container.image.v1+json"
#define MEDIA_IMAGE "application/vnd.ollama.image."
#define DEFAULT_HOST "registry.ollama.ai"
#define DEFAULT_NS "library"
#define DEFAULT_TAG "latest"
#define TEMP_PREFIX ".chaski-" /* Ollama's own prune takes such names for garbage, too */

enum {
    BLOB_FILE = 72,          /* "sha256-" + 64 + NUL */
    TEMP_FILE = 64,          /* TEMP_PREFIX + pid + serial + random */
    TEMP_AGE_S = 3600,       /* a temporary file older than this belongs to nobody, locks or not */
    MANIFEST_MAX = 16 << 20, /* bytes; the largest seen (thousands of tensor layers) has 1 MB */
    TEXT_LAYER_MAX = 16 << 20, /* bytes of a config, template, licence, ... layer */
    LAYERS_MAX = 65536,
};

struct pin { /* a blob that a running create needs: not removed though no manifest names it */
    struct digest digest;
    unsigned n;
};

struct facts { /* cached by digest of the (first) GGUF */
    struct digest digest;
    struct store_facts f;
};

struct store {
    int root_fd, blobs_fd; /* held from open to close */
    char *root;            /* absolute, for FROM lines only */
    atomic_uint serial;    /* makes temporary names differ */
    atomic_bool keep_unused;
    pthread_mutex_t lock;
    struct pin *pins;      /* under lock */
    size_t n_pins, cap_pins;
    struct facts *facts;   /* under lock; a ring of FACTS_MAX */
    size_t n_facts, next_fact;
};

struct manifest { /* a manifest file, read and checked */
    char *bytes;  /* the file, n_bytes and a NUL */
    size_t n_bytes;
    struct digest id; /* of the bytes */
    int64_t modified_ns;
    bool has_config;
    struct store_layer config;
    struct store_layer *layers;
    size_t n_layers;
    uint64_t size; /* layers and config */
};

/* store.c */
/* The whole regular file, without following a link: 1, 0 when it is not there, -1. `what` names it
 * in errors. */
int store_read_at(int dir, const char *file, size_t limit, const char *what, struct buf *out,
                  struct stat *st, struct err *e);
int store_errno(struct err *e, const char *what); /* errno as an error; always -1 */
void store_temp_name(struct store *s, char out[TEMP_FILE]);
/* A new temporary file in blobs/, locked while it is open: the descriptor, or -1. */
int store_temp_open(struct store *s, char name[TEMP_FILE], struct err *e);

/* name.c */
bool store_name_equal(const struct store_name *a, const struct store_name *b); /* without case */
/* Fill `out` from the four folder and file names; false if they are no valid name. */
bool store_name_from_parts(const char *const part[4], struct store_name *out);

/* digest.c */
int store_sha256(const void *p, size_t n, struct digest *out, struct err *e);
bool digest_equal(const struct digest *a, const struct digest *b);
void digest_hex(const struct digest *d, char out[65]);

/* blob.c */
void store_blob_file(const struct digest *d, char out[BLOB_FILE]);
void store_blob_touch(struct store *s, const struct digest *d);
int store_blob_text(struct store *s, const struct digest *d, struct buf *out, struct err *e);
int store_blob_remove(struct store *s, const struct digest *d, uint64_t *size); /* lock held */

/* manifest.c */
void manifest_free(struct manifest *m);
int manifest_parse(const char *p, size_t n, struct manifest *out, struct err *e);
/* Read `tag` in the open folder `dir`: 1, 0 gone, -1 broken. */
int manifest_read_at(int dir, const char *tag, struct manifest *out, struct err *e);
/* Call `fn` for each file at manifests/A/B/C/D, in the order of names; fn != 0 ends the walk and is
 * returned. Folders that cannot be read give -1 with `e` filled; `names` that are no valid parts
 * are told too. */
typedef int (*manifest_fn)(void *arg, int dir, const char *const part[4]);
int manifest_walk(struct store *s, manifest_fn fn, void *arg, struct err *e);
/* The spelling under which the name is stored, in *out: 1, 0 not there, -1. */
int manifest_find(struct store *s, const struct store_name *name, struct store_name *out,
                  struct err *e);
/* The open folder of a name's manifest: a descriptor, -1 with errno set. */
int manifest_dir(struct store *s, const struct store_name *name, bool make);
/* Atomic write, synced; lock held. */
int manifest_write(struct store *s, const struct store_name *name, const char *p, size_t n,
                   struct err *e);

/* remove.c */
int store_pin(struct store *s, const struct digest *d, struct err *e);
void store_unpin(struct store *s, const struct digest *d);
/* Remove those of the n blobs that no manifest names and nobody has pinned; lock held. */
void store_drop_unused(struct store *s, const struct digest *d, size_t n);
/* All digests of a manifest, config included: *out has to be freed. */
int manifest_digests(const struct manifest *m, struct digest **out, size_t *n, struct err *e);

/* gojson.c: JSON as Go's encoder prints it (HTML characters escaped, shortest numbers) */
enum { JSON_MAX_DEPTH = 256 };
void store_json_put(struct buf *b, const json_t *v, bool sort_keys); /* too deep: b->failed */
void store_json_text(struct buf *b, const char *s, size_t n);        /* with its quotes */
/* What store_json_put and Ollama wrote, whatever the size of its numbers. NULL: no JSON. */
json_t *store_json_load(const char *p, size_t n);
/* A double with the fewest digits that read back, as Go's %v prints it: 0.7, 1e-05, but whole
 * numbers as integers, so that a Modelfile reads back (decided against 1.048576e+06). */
void store_go_number(struct buf *b, double v);
/* A quoted string as Go's %q prints it. */
void store_go_quote(struct buf *b, const char *s, size_t n);
bool store_rune_printable(uint32_t cp); /* Go's strconv.IsPrint */

/* show.c */
void store_gguf_facts(const struct gguf *g, struct store_facts *f);

/* model.c */
int store_model_load(struct store *s, int dir, const struct store_name *name,
                     struct store_model **out, struct err *e); /* 1, 0 gone, -1 */

#endif
