/* engine/grammar/map.c - a small map from hashes to numbers: open addressing, nothing is removed.
 * Keys are 64-bit hashes of what they stand for, or the thing itself where it fits: two different
 * things with one hash of 64 bits are not expected in the few thousands that a grammar has. */
#include "engine/grammar/inside.h"

#include <stdlib.h>

uint64_t hash_bytes(uint64_t h, const void *p, size_t n)
{
    const unsigned char *b = p;
    h ^= 0x9e3779b97f4a7c15u + n;
    for (size_t i = 0; i < n; i++) {
        h ^= b[i];
        h *= 0x100000001b3u;
        h ^= h >> 29;
    }
    h *= 0xbf58476d1ce4e5b9u;
    return h ^ h >> 32;
}

static size_t place_of(const struct map *m, uint64_t key)
{
    size_t i = (size_t)(key * 0x9e3779b97f4a7c15u >> 20) & (m->cap - 1);
    while (m->key[i] && m->key[i] != key)
        i = (i + 1) & (m->cap - 1);
    return i;
}

uint32_t map_get(const struct map *m, uint64_t key)
{
    if (!m->cap)
        return UINT32_MAX;
    const size_t i = place_of(m, key);
    return m->key[i] ? m->val[i] : UINT32_MAX;
}

int map_put(struct map *m, uint64_t key, uint32_t val)
{
    if (2 * (m->n + 1) > m->cap) {
        struct map big = {.cap = m->cap ? 2 * m->cap : 64};
        big.key = calloc(big.cap, sizeof *big.key);
        big.val = malloc(big.cap * sizeof *big.val);
        if (!big.key || !big.val) {
            map_free(&big);
            return -1;
        }
        for (size_t i = 0; i < m->cap; i++)
            if (m->key[i]) {
                const size_t k = place_of(&big, m->key[i]);
                big.key[k] = m->key[i];
                big.val[k] = m->val[i];
                big.n++;
            }
        map_free(m);
        *m = big;
    }
    const size_t i = place_of(m, key);
    m->n += !m->key[i];
    m->key[i] = key;
    m->val[i] = val;
    return 0;
}

void map_free(struct map *m)
{
    free(m->key);
    free(m->val);
    *m = (struct map){0};
}
