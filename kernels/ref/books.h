/* kernels/ref/books.h - the code books of IQ1, IQ2 and IQ3, widened for look-up. Private to the
 * kernels.
 *
 * value = d * 2^-e * scale * code with an integer scale 2n + 1 and an integer code:
 *
 *   type                    2^-e   scale    code
 *   IQ2_XXS, IQ2_XS, IQ2_S  1/8    1..31    +-8, +-25, +-43
 *   IQ3_XXS                 1/4    1..31    +-4 .. +-62
 *   IQ3_S                   1      1..31    +-1, +-3 .. +-15
 *   IQ1_S, IQ1_M            1/8    1..15    8 * (-1, 0, 1) + delta, delta = +-1: up to +-9
 *
 * d * 2^-e is exact (f16 in f32), so is the product with the scale and the code (11 + 5 + 6 bits).
 */
#ifndef CHASKI_KERNELS_REF_BOOKS_H
#define CHASKI_KERNELS_REF_BOOKS_H

#include <stdbool.h>
#include <stdatomic.h>
#include <stdint.h>
#include "gguf/types.h"

extern const uint16_t grid_iq2_xxs[256], grid_iq2_xs[512], grid_iq2_s[1024], grid_iq1[2048];
extern const uint16_t grid_iq3_xxs[256], grid_iq3_s[512];

enum { BOOK_IQ1_ZERO = 16 };

struct books { /* value i of an entry is byte i, lowest first */
    uint64_t iq2_xxs[256], iq2_xs[512], iq2_s[1024]; /* magnitudes */
    uint64_t iq1[2048];                              /* 8 * value + BOOK_IQ1_ZERO */
    uint32_t iq3_xxs[256], iq3_s[512];               /* magnitudes */
};
/* Made on first use; kernels ask for every few blocks. */
const struct books *books_make(void);
extern const struct books *_Atomic books_made;
static inline const struct books *books(void)
{
    const struct books *b = atomic_load_explicit(&books_made, memory_order_acquire);
    return b ? b : books_make();
}

static inline bool book_type(uint32_t type)
{
    return (type >= TYPE_IQ2_XXS && type <= TYPE_IQ1_S) || type == TYPE_IQ3_S ||
           type == TYPE_IQ2_S || type == TYPE_IQ1_M;
}

/* 2^-e */
static inline float book_unit(uint32_t type)
{
    return type == TYPE_IQ3_S ? 1.0f : type == TYPE_IQ3_XXS ? 0.25f : 0.125f;
}

#endif
