/* kernels/ref/words.h - packing moves 32-bit words: four neighbouring codes of a row are one lane.
 * Private to the packing. */
#ifndef CHASKI_KERNELS_REF_WORDS_H
#define CHASKI_KERNELS_REF_WORDS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t word(const void *p, size_t i)
{
    uint32_t w;
    memcpy(&w, (const uint8_t *)p + 4 * i, 4);
    return w;
}
static inline void put(void *v, int r, uint32_t w) /* lane r of a 64-byte vector */
{
    memcpy((uint8_t *)v + 4 * r, &w, 4);
}

/* 32 flags, bit v = value v -> byte i of the result has bit g of value 4g + i. */
static inline uint32_t flags_by_step(uint32_t h)
{
    uint32_t out = 0;
    for (unsigned i = 0; i < 4; i++) {
        uint32_t x = h >> i & 0x11111111u; /* bits 4g + i, now at 4g: close the gaps */
        x = (x | x >> 3) & 0x03030303u;
        x = (x | x >> 6) & 0x000f000fu;
        x = (x | x >> 12) & 0xffu;
        out |= x << (8 * i);
    }
    return out;
}

#endif
