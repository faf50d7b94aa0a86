/* gguf/names.c - the table from names to indices (gguf/inside.h).
 *
 * Open addressing at half load. The hash is SipHash-1-3 (Aumasson and Bernstein, 2012)
 * with a random key: with an open hash a file of 65 536 chosen keys makes the check for
 * duplicates quadratic. */
#include "gguf/inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static inline uint64_t rotl(uint64_t x, int b)
{
    return x << b | x >> (64 - b);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

static uint32_t hash(const uint64_t key[2], const char *s)
{
    const size_t n = strlen(s);
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                     key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
    uint64_t m;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        memcpy(&m, s + i, 8);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    m = (uint64_t)n << 56;
    for (size_t k = 0; i + k < n; k++)
        m |= (uint64_t)(unsigned char)s[i + k] << 8 * k;
    v[3] ^= m;
    sip_round(v);
    v[0] ^= m;
    v[2] ^= 0xff;
    for (int r = 0; r < 3; r++)
        sip_round(v);
    m = v[0] ^ v[1] ^ v[2] ^ v[3];
    return (uint32_t)(m ^ m >> 32);
}

int name_table_init(struct name_table *t, size_t n)
{
    *t = (struct name_table){0};
    size_t slots = 8;
    while (slots < 2 * n)
        slots *= 2;
    t->slots = calloc(slots, sizeof *t->slots);
    if (!t->slots)
        return -1;
    t->mask = (uint32_t)(slots - 1);
    if (getrandom(t->key, sizeof t->key, GRND_NONBLOCK) != (ssize_t)sizeof t->key) {
        /* Early boot, or no such call: addresses and time are better than nothing. */
        t->key[0] = (uint64_t)(uintptr_t)t->slots;
        t->key[1] = (uint64_t)time_mono_ns();
    }
    return 0;
}

static struct name_slot *slot_of(const struct name_table *t, const char *name, uint32_t h)
{
    for (uint32_t i = h & t->mask;; i = (i + 1) & t->mask) {
        struct name_slot *s = &t->slots[i];
        if (!s->name || (s->hash == h && strcmp(s->name, name) == 0))
            return s;
    }
}

int name_table_add(struct name_table *t, const char *name, uint32_t index)
{
    const uint32_t h = hash(t->key, name);
    struct name_slot *s = slot_of(t, name, h);
    if (s->name || t->used > t->mask / 2)
        return -1;
    *s = (struct name_slot){name, h, index};
    t->used++;
    return 0;
}

int64_t name_table_find(const struct name_table *t, const char *name)
{
    if (!t->slots)
        return -1;
    const struct name_slot *s = slot_of(t, name, hash(t->key, name));
    return s->name ? (int64_t)s->index : -1;
}

void name_table_free(struct name_table *t)
{
    free(t->slots);
    *t = (struct name_table){0};
}
