/* tests/store_room.h - a store in a folder of its own for a test, and small helpers on its
 * files. */
#ifndef CHASKI_TESTS_STORE_ROOM_H
#define CHASKI_TESTS_STORE_ROOM_H

#include <stdbool.h>
#include "engine/store/inside.h"
#include "gguf/gguf.h"

struct room {
    char root[256];
    struct store *s;
};

struct room room_new(void);
void room_reopen(struct room *r);
void room_free(struct room *r); /* the folder goes, too */

struct store_name room_name(const char *text);
struct digest room_blob(struct room *r, const void *p, size_t n);
/* A GGUF in the store as an upload would bring it: a few keys and one tensor of 64 x n values. */
struct digest room_gguf(struct room *r, const char *arch, uint64_t n);
/* Part i of n of a split model. */
struct digest room_gguf_part(struct room *r, uint16_t i, uint16_t n);
/* A whole file with extra string key (NULL, NULL for none). */
struct digest room_gguf_with(struct room *r, const char *arch, uint64_t n, const char *key,
                             const char *value);
/* Create NAME from one GGUF; the test fails when it does not work. */
void room_create(struct room *r, const char *name, struct digest gguf);

bool room_has_blob(struct room *r, const struct digest *d);
size_t room_count(struct room *r, const char *folder, const char *prefix); /* files in it */
void room_write(struct room *r, const char *path, const void *p, size_t n); /* below the root */
char *room_read(struct room *r, const char *path, size_t *n);               /* NULL if not there */
void room_age(struct room *r, const char *path, long seconds);              /* mtime in the past */

#endif
