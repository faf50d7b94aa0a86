/* engine/store/store.h - the door of the store: models on disk in Ollama's layout.
 *
 * Names and digests are parsed into structs before they touch a path; only store.c builds
 * paths, below a folder descriptor held since store_open. Functions may be called from any
 * thread; each does its own file work. Readers never see half a model: blobs appear by
 * rename after fsync, manifests after their blobs. */
#ifndef CHASKI_STORE_H
#define CHASKI_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "gguf/base.h"

struct gguf;
struct store;

/* Open the folder `root`, making it and its sub-folders when needed. */
struct store *store_open(const char *root, struct err *e);
void store_close(struct store *s);
/* What OLLAMA_MODELS and HOME say: the default root, in `out`. */
int store_default_root(char *out, size_t cap, struct err *e);
const char *store_root(const struct store *s); /* absolute path; dies with the store */
/* OLLAMA_NOPRUNE: never remove blobs when models are replaced or deleted. Default false. */
void store_keep_unused(struct store *s, bool keep);

/* ---- names ----------------------------------------------------------------------------- */

struct store_name { /* a valid name, each part NUL-terminated; host and namespace filled in */
    char host[351], ns[81], model[81], tag[81];
};
/* White space around is trimmed, a last ":local" cut off, an optional scheme skipped.
 * ERR_INPUT for anything that breaks the grammar; ERR_NOT_FOUND for cloud names. */
int store_name_parse(const char *text, size_t n, struct store_name *out, struct err *e);
/* "smol:latest": host and namespace left out where they are the defaults. */
void store_name_short(const struct store_name *name, char *out, size_t cap);
void store_name_full(const struct store_name *name, char *out, size_t cap);
enum { STORE_NAME_TEXT = 608 }; /* bytes that hold any name, full form and NUL */

/* ---- digests --------------------------------------------------------------------------- */

struct digest {
    uint8_t sha256[32];
};
/* "sha256:HEX" or "sha256-HEX", hex in either case. ERR_INPUT "invalid digest format". */
int digest_parse(const char *text, size_t n, struct digest *out, struct err *e);
enum { DIGEST_TEXT = 72 }; /* "sha256:" + 64 + NUL */
void digest_text(const struct digest *d, char out[DIGEST_TEXT]);

/* ---- blobs ----------------------------------------------------------------------------- */

/* 1 = there (size in *size), 0 = not, -1 = error. */
int store_blob_stat(struct store *s, const struct digest *d, uint64_t *size, struct err *e);
/* An open read-only descriptor; the caller closes it. ERR_NOT_FOUND if it is not there. */
int store_blob_open(struct store *s, const struct digest *d, struct err *e);

/* Hash the blob's bytes: 0, or ERR_INPUT `blob "sha256:.." is damaged` (`chaski verify`). Reads all
 * of it: never on an event loop. */
int store_blob_verify(struct store *s, const struct digest *d, struct err *e);

struct store_upload; /* a blob being written, hashed as bytes come; one thread at a time */
struct store_upload *store_upload_begin(struct store *s, struct err *e);
/* The size is known (Content-Length): ERR_IO says need and free space when it cannot fit. */
int store_upload_expect(struct store_upload *u, uint64_t n_bytes, struct err *e);
int store_upload_write(struct store_upload *u, const void *p, size_t n, struct err *e);
/* Sync, check the digest, make it visible. `want` may be NULL (take what the bytes give);
 * `got` may be NULL. A wrong digest is ERR_INPUT
 * `digest mismatch, expected "sha256:..", got "sha256:.."` and leaves nothing behind.
 * Frees u in every case. */
int store_upload_commit(struct store_upload *u, const struct digest *want, struct digest *got,
                        struct err *e);
void store_upload_abort(struct store_upload *u); /* frees u */

/* ---- models ---------------------------------------------------------------------------- */

struct store_layer {
    char media_type[128];
    struct digest digest;
    uint64_t size;
    char from[448]; /* "" if absent */
};
struct store_model { /* a manifest and what hangs on it; free with store_model_free */
    struct store_name name;      /* as stored */
    char id[65];                 /* SHA-256 of the manifest file's bytes, hex */
    int64_t modified_ns;         /* real time of the manifest file */
    uint64_t size;               /* all layers and config, bytes */
    struct store_layer *layers;  /* in order */
    size_t n_layers;
    struct digest config_digest;
    json_t *config;              /* the config object, {} when there is none */
    const struct store_layer *model_layer; /* the GGUF; NULL if none or not GGUF. Of a split GGUF
                                            * the first part: use store_model_gguf to open it */
    size_t n_parts;              /* layers of the model media type: parts in order; 0, 1, .. */
    char *template_text;         /* Go template layer, or NULL */
    char *system;                /* or NULL */
    json_t *params;              /* object, {} when none */
    json_t *messages;            /* array, [] when none */
    json_t *licenses;            /* array of strings */
};
/* Names compare without case; ERR_NOT_FOUND `model 'SHORT' not found`. */
int store_model_get(struct store *s, const struct store_name *name, struct store_model **out,
                    struct err *e);
void store_model_free(struct store_model *m);
/* All readable models, newest first (whole seconds), ties by name. Broken ones are left out
 * with a log line. Free each, then the array. */
int store_model_list(struct store *s, struct store_model ***out, size_t *n, struct err *e);
int store_model_delete(struct store *s, const struct store_name *name, struct err *e);
/* The manifest's bytes under another name; source = destination is fine. ERR_NOT_FOUND
 * `model "SHORT" not found`. */
int store_model_copy(struct store *s, const struct store_name *from, const struct store_name *to,
                     struct err *e);
/* Open the model's GGUF, all parts, sizes checked against the manifest. ERR_UNSUPPORTED for the
 * tensor-layer format; ERR_NOT_FOUND names a missing blob. The caller closes it. */
struct gguf *store_model_gguf(struct store *s, const struct store_model *m, struct err *e);
/* Put a manifest as a registry sent it, byte for byte, in place (pull). All its blobs must be
 * there. */
int store_manifest_put(struct store *s, const struct store_name *name, const char *p, size_t n,
                       struct err *e);
/* Remove blobs that no manifest names, and temporary files, both older than min_age_s. ERR_INPUT
 * when a manifest cannot be read: nothing is removed then. Counts what went. */
int store_prune(struct store *s, int64_t min_age_s, uint64_t *n_files, uint64_t *n_bytes,
                struct err *e);

/* ---- what lists and /api/show print ---------------------------------------------------- */

struct store_facts { /* from the GGUF header */
    char architecture[64], file_type[16];
    uint64_t n_params, context_length, embedding_length;
};
/* Cached by digest; the first call for a file parses its header. */
int store_model_facts(struct store *s, const struct store_model *m, struct store_facts *out,
                      struct err *e);
/* The object `details` of tags and show, from the config, what is missing there from the GGUF:
 * parent_model, format, family, families, parameter_size, quantization_level, and with
 * `lengths` context_length, embedding_length (left out when 0). A new reference. */
json_t *store_model_details(struct store *s, const struct store_model *m, bool lengths,
                            struct err *e);
/* "134.52M", "7.6B", "1B", "512". */
void store_human_count(uint64_t n, char out[24]);
/* The `parameters` text of show: a line a value, key padded to 30 columns, sorted; "" if none. */
int store_parameters_text(const json_t *params, struct buf *out, struct err *e);
/* The Modelfile that would make this model again. `system`, `options`: given in the request, or
 * NULL. `template_text`: the one in use, which may be the file's own; NULL: none. */
int store_modelfile_text(struct store *s, const struct store_model *m, const char *system,
                         const char *template_text, const json_t *options, struct buf *out,
                         struct err *e);

/* ---- options by name (spec/api.md, 4.2) ------------------------------------------------ */

enum store_option {
    OPTION_UNKNOWN = 0,
    OPTION_INT,     /* any JSON number; the fraction is cut */
    OPTION_FLOAT,   /* float32 */
    OPTION_BOOL,
    OPTION_STRINGS, /* `stop`: a list; one string is taken as a list of one */
    OPTION_STRING,  /* `kv_type`, ours */
    OPTION_OLD,     /* of earlier versions: accepted and ignored */
};
enum store_option store_option_kind(const char *name);
/* Name i of the table, or NULL past its end. */
const char *store_option_at(size_t i);
/* A copy of `params` with nulls left out and a string for `stop` made a list. NULL and ERR_INPUT
 * `option "num_ctx" must be of type integer` for a wrong type. Unknown names are kept; their names
 * are appended to `unknown` (an array, may be NULL). */
json_t *store_params_check(const json_t *params, json_t *unknown, struct err *e);

/* ---- create ---------------------------------------------------------------------------- */

struct store_create { /* a create request, parsed; strings may be NULL = not given */
    struct store_name name;
    const struct digest *files; /* GGUF blobs (parts of one model, in order of their names) */
    size_t n_files;
    const struct store_name *from; /* or NULL: an existing model whose layers are taken over */
    const char *template_text, *system;
    const char *template_why; /* not NULL: an error, unless the text is the file's own template */
    const json_t *params;   /* object or NULL; laid over the base's, key by key; typed already */
    const json_t *messages; /* array or NULL */
    const json_t *licenses; /* array of strings or NULL; added */
    const char *renderer, *parser, *required; /* config strings (`requires`), or NULL */
    const json_t *info;     /* the request's `info` object (store.md 9.4), or NULL */
};
/* Progress lines as the API prints them ("using existing layer sha256:..", "writing manifest",
 * "success"); called on the caller's thread. */
typedef void (*store_status)(void *arg, const char *status);
/* Reads and checks the GGUF headers; blocks on the disk: never call it on an event loop.
 * Replaces an existing name atomically and removes blobs that no manifest names any more. */
int store_model_create(struct store *s, const struct store_create *c, store_status status,
                       void *arg, struct err *e);

/* ---- Modelfiles ------------------------------------------------------------------------ */

struct modelfile_cmd { /* one command, in order; name in lower case */
    char *name, *arg;  /* PARAMETER: name is the parameter's, is_parameter set;
                        * MESSAGE: arg is "role: text" */
    bool is_parameter;
};
struct modelfile {
    struct modelfile_cmd *cmds;
    size_t n_cmds;
};
int modelfile_parse(const char *text, size_t n, struct modelfile *out, struct err *e);
void modelfile_free(struct modelfile *m);
/* Type a parameter value as the option's type says ("num_ctx" "4096" -> 4096), or the errors
 * `unknown parameter 'x'`, `invalid int value [x]`. `stop` gives a string: the caller collects
 * them in a list. A new reference, or NULL. */
json_t *modelfile_parameter(const char *name, const char *value, struct err *e);
/* All PARAMETER lines as the request's `parameters` object: `stop` collected, others last wins,
 * OPTION_OLD ones left out (their names go to `old`, an array, may be NULL). */
json_t *modelfile_parameters(const struct modelfile *m, json_t *old, struct err *e);
/* Has the store changed? For answers that are made from all of it. NULL: it cannot be watched. Any
 * thread. arm: watch everything there is now, before it is read; the number of this state, 0 when
 * that failed. now: the number of the present state, other than all before when anything changed;
 * 0 when nobody armed it since. Costs a system call. */
struct store_watch;
struct store_watch *store_watch_new(struct store *s);
void store_watch_free(struct store_watch *w); /* NULL is fine */
uint64_t store_watch_arm(struct store_watch *w);
uint64_t store_watch_now(struct store_watch *w);

#endif
