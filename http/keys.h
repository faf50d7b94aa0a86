/* http/keys.h - API keys: read at the start, then read-only. Private to http/. */
#ifndef CHASKI_HTTP_KEYS_H
#define CHASKI_HTTP_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "gguf/base.h"

enum { KEY_READ = 1, KEY_INFER = 2, KEY_WRITE = 4, KEY_ADMIN = 8 };
enum { KEY_HASH = 32 };

struct api_key {
    char name[64]; /* for the log */
    unsigned scopes;
    uint8_t hash[KEY_HASH]; /* SHA-256 of the key */
    char scope[33];         /* of the cache: hex of half the hash */
};

struct key_ring;
/* From one key in plain text (may be NULL) and a file (may be NULL). 0 and *out NULL: there are no
 * keys, everything is open. ERR_INPUT names the line that is wrong. */
int key_ring_new(const char *plain, const char *path, struct key_ring **out, struct err *e);
void key_ring_free(struct key_ring *r); /* NULL is fine */
size_t key_ring_count(const struct key_ring *r);

struct presented { /* headers of a request, {NULL, 0} when absent */
    struct text authorization, x_api_key, api_key;
};
/* The key that was presented, or NULL. */
const struct api_key *key_ring_find(const struct key_ring *r, const struct presented *p);

/* "infer,manage" -> bits. */
int key_scopes_parse(const char *p, size_t n, unsigned *out, struct err *e);
bool key_name_char(char c);
/* The scope that a route (its method and path of the table) asks for; 0 = no key at all. */
unsigned key_needed(const char *method, const char *path);
const char *key_scope_name(unsigned scope);
#endif
