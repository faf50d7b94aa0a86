/* tests/forge.h - forges GGUF files byte by byte, right and wrong ones.
 *
 * It knows the format from the format's document only and shares no code with the
 * reader or the writer under test. Bytes are collected in a struct buf. */
#ifndef CHASKI_TESTS_FORGE_H
#define CHASKI_TESTS_FORGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "gguf/gguf.h"

void forge_u8(struct buf *b, unsigned x);
void forge_u16(struct buf *b, unsigned x);
void forge_u32(struct buf *b, uint32_t x);
void forge_u64(struct buf *b, uint64_t x);
void forge_f32(struct buf *b, float x);
void forge_text(struct buf *b, const char *s);
void forge_zeros(struct buf *b, size_t n);
void forge_pad(struct buf *b, size_t multiple);

void forge_head(struct buf *b, uint32_t version, uint64_t n_tensors, uint64_t n_keys);
void forge_key(struct buf *b, const char *key, uint32_t kind); /* the value follows */
void forge_key_u32(struct buf *b, const char *key, uint32_t x);
void forge_key_text(struct buf *b, const char *key, const char *s);
void forge_array(struct buf *b, const char *key, uint32_t elem, uint64_t n); /* items follow */
void forge_tensor(struct buf *b, const char *name, uint32_t type, uint32_t n_dims, uint64_t d0,
                  uint64_t d1, uint64_t offset);

/* A right file: version 3, keys general.architecture "toy" and toy.n 7, tensors "a" (F32, 8 x 2,
 * values 0..15) and "b" (Q8_0, 32 x 1). */
void forge_good(struct buf *b);
/* Part i of n: keys split.*, one tensor "t<i>" of four F32 values i. */
void forge_part(struct buf *b, unsigned i, unsigned n, unsigned n_tensors_said);

/* An anonymous file with these bytes; the buf is freed. The caller closes. */
int forge_fd(struct buf *b);
/* gguf_open_fds of that; label "forged". */
struct gguf *forge_open(struct buf *b, struct err *e);

/* A folder for files, removed with them by forge_folder_remove. */
struct forge_folder {
    char path[64];
};
void forge_folder_make(struct forge_folder *f);
void forge_folder_remove(struct forge_folder *f);
/* Full path of a name there; lives until the next call. */
const char *forge_path(const struct forge_folder *f, const char *name);
void forge_file(const struct forge_folder *f, const char *name, struct buf *b); /* frees b */

#define assert_has(text, part)                                                                     \
    do {                                                                                           \
        if (!strstr((text), (part)))                                                               \
            fail_msg("\"%s\" is not in \"%s\"", (part), (text));                                   \
    } while (0)

#endif
