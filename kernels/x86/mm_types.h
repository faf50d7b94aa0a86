/* kernels/x86/mm_types.h - what the templates of quantized matmuls share: facts about types, and
 * the fields of A32 columns in the vectors of an ISA. Private; included after a dots_....h.
 *
 * A file of kernels is an ISA (dots_....h: its vectors, VNNI, COLUMNS), a template (mm_blocks.h,
 * mm_supers.h) and mm_make.h, which makes a function of each type and width:
 *   VNNI     dot32(sum, codes, where 4 activations are) adds unsigned x signed bytes into int32
 *   else     vpmaddubsw into int16, widened by vpmaddwd
 *   COLUMNS  the widest tile. 6 where columns are laid out for int16 sums, 12 for int32 (a32.h) */
#ifndef CHASKI_KERNELS_X86_MM_TYPES_H
#define CHASKI_KERNELS_X86_MM_TYPES_H

#include <stdbool.h>
#include "kernels/x86/a32.h"
#include "kernels/x86/mm.h"

enum {
    C_MAX = COLUMNS,
    R = MAT_ROWS / W,    /* vectors of rows */
    KEEP = R == 1,       /* float sums in registers; where there are 16 they wait in memory */
    PAIRS = COLUMNS == 6 /* start values of int16 pairs */
};

#if !VNNI
AI vi dot32(vi sum, vi u, const int32_t *s) /* not used */
{
    (void)u, (void)s;
    return sum;
}
#endif

/* ---- types ---------------------------------------------------------------------------------- */

AI bool has_min(int type)
{
    return type == TYPE_Q4_1 || type == TYPE_Q5_1 || type == TYPE_Q2_K || type == TYPE_Q4_K ||
           type == TYPE_Q5_K;
}

AI int zero_point(int type) /* of the codes that i_step and book_codes give */
{
    switch (type) {
    case TYPE_Q1_0:
    case TYPE_Q2_0:
    case TYPE_TQ1_0:
    case TYPE_TQ2_0:
        return 1;
    case TYPE_Q3_K:
        return 4;
    case TYPE_Q4_0:
        return 8;
    case TYPE_Q5_0:
    case TYPE_MXFP4:
    case TYPE_NVFP4:
    case TYPE_IQ1_S:
    case TYPE_IQ1_M:
    case TYPE_IQ3_S:
        return 16;
    case TYPE_Q6_K:
        return 32;
    case TYPE_IQ2_XXS:
    case TYPE_IQ2_XS:
    case TYPE_IQ2_S:
    case TYPE_IQ3_XXS:
        return 64;
    case TYPE_Q8_0:
    case TYPE_IQ4_NL:
    case TYPE_IQ4_XS:
        return 128;
    default:
        return 0;
    }
}

AI int halves(int type) /* with a scale each, in a block */
{
    return type == TYPE_Q2_K || type == TYPE_Q3_K || type == TYPE_Q6_K || type == TYPE_NVFP4 ||
                   type == TYPE_IQ2_XS || type == TYPE_IQ2_S || type == TYPE_IQ1_M
               ? 2
               : 1;
}

/* Sub-scales of W rows as bytes. Every block of a super-block begins with them: [2][16] bytes by
 * half, or [16] of the whole block. */
AI __m128i scale_bytes(int type, const uint8_t *b, int half, int r)
{
    const __m128i v = i_bytes(b + 16 * half + W * r);
    return type == TYPE_Q2_K ? _mm_and_si128(v, _mm_set1_epi8(15)) : v;
}

AI vf mins(int type, const uint8_t *b, int half, int r)
{
    __m128i v = i_bytes(b + (type == TYPE_Q2_K ? 16 * half : 16) + W * r);
    if (type == TYPE_Q2_K)
        v = _mm_and_si128(_mm_srli_epi16(v, 4), _mm_set1_epi8(15));
    return i_f32(i_from_u8(v));
}

/* ---- columns -------------------------------------------------------------------------------- */

AI vi field(const int32_t *a, int f, int C, int c)
{
    return i_set(a[f * C + c]);
}

AI vf field_f(const int32_t *a, int f, int C, int c)
{
    return v_bcast((const float *)(const void *)(a + f * C + c));
}

AI vf floats(const void *p, int r)
{
    return v_ld((const float *)p + r * W);
}

AI vi times32(vi v, int zero, int per) /* v * zero / per, powers of 2 */
{
    const int n = __builtin_ctz(zero) - __builtin_ctz(per);
    return n > 0 ? i_sll32(v, n > 0 ? n : 0) : n < 0 ? i_sra32(v, n < 0 ? -n : 0) : v;
}

/* What an int32 chain begins with: -zero times the activations that it meets, those of the whole
 * block or of a half. */
AI vi start32(int zero, int whole, int half, const int32_t *a, int C, int c)
{
    if (!zero)
        return i_set(0);
    if (!whole) {
        const vi v = field(a, A32_H0 + half, C, c);
        return times32(PAIRS ? i_madd(v, i_ones16()) : v, zero, 32);
    }
    if (!PAIRS && zero == 16)
        return field(a, A32_S16, C, c);
    if (!PAIRS && zero > 16)
        return times32(field(a, A32_S128, C, c), zero, 128);
    return times32(field(a, A32_S8, C, c), zero, 8);
}

/* The same for an int16 chain: 16 of the whole block, up to 32 of a half. */
AI vi start16(int zero, int whole, int half, const int32_t *a, int C, int c)
{
    const int n = whole ? 0 : 5 - __builtin_ctz(zero);
    const vi v = field(a, whole ? A32_S16 : A32_H0 + half, C, c);
    return n ? i_sra16(v, n) : v;
}

#endif
