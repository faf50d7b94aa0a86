/* kernels/x86/a32.h - how the x86 tables lay out A32 columns. Private to kernels/x86.
 *
 * Columns stand in groups of `cols` (6 on AVX2, 12 on AVX-512); the last group holds what is left:
 * as many columns as there are when n < 4 (the GEMV kernels), else rounded up to an even count
 * with a column of zeros. A group is nb = k / 32 records (rounded up), one a block, of 16 fields; a field is
 * `width` dwords, one a column: a tile walks one pointer and broadcasts. Fields that few types
 * need stand last: their cache lines are never touched by the others.
 *
 * Start values carry the zero point of a type's codes. AVX2 sums products in int16 pairs (low and
 * high half of a dword): pair h of step g meets codes 4g + 2h and 4g + 2h + 1. VNNI sums in int32. */
#ifndef CHASKI_KERNELS_X86_A32_H
#define CHASKI_KERNELS_X86_A32_H

#include <stddef.h>
#include <stdint.h>

enum a32_field {
    A32_CODES = 0, /* 8 dwords: the codes of the 8 steps */
    A32_D = 8,     /* f32 d_a */
    A32_DSUM = 9,  /* f32 d_a * asum */
    A32_S8 = 10,   /* int32 -8 asum */
    A32_S16 = 11,  /* AVX2: -16 * pair sums; VNNI: int32 -16 asum */
    A32_H0 = 12,   /* AVX2: -32 * pair sums of steps 0..3; VNNI: int32 -32 asum of them */
    A32_H1 = 13,   /* the same of steps 4..7 */
    A32_P16 = 14,  /* AVX2: int32 16 asum */
    A32_S128 = 14, /* VNNI: int32 -128 asum */
    A32_UNUSED = 15,
    A32_FIELDS = 16
};

/* Columns of the group that starts at column c, with padding. */
static inline int a32_width(int n, int cols, int c)
{
    const int left = n - c;
    if (left >= cols)
        return cols;
    return n < 4 ? left : (left + 1) & ~1;
}

/* Dwords before the group that starts at column c (a multiple of cols). */
static inline size_t a32_offset(int nb, int c)
{
    return (size_t)c * (size_t)nb * A32_FIELDS;
}

static inline size_t a32_bytes(int n, int k, int cols)
{
    const int last = n > 0 ? (n - 1) / cols * cols : 0;
    const size_t columns = n > 0 ? (size_t)last + (size_t)a32_width(n, cols, last) : 0;
    return columns * (((size_t)k + 31) / 32) * A32_FIELDS * 4;
}

#endif
