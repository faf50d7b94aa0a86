/* kernels/layout_books.h - packed weights of the types with code books: IQ2_*, IQ3_*, IQ1_*.
 * Private to the kernels; kernels/layout.h has the words.
 *
 * A super-block is 256 values of 16 rows: its header, then 8 blocks of 32. Inside a block, *run* l
 * (0..3) is values 8l..8l+7, steps 2l and 2l + 1. Places in the book, signs and scales of 16 rows
 * stand side by side; the values themselves are looked up by whoever multiplies:
 *
 *   q[l][r]   low 8 bits of the place of run l of row r (IQ3: q[g][r], of step g)
 *   h[64]     signs, as a plane of high bits: bit g of byte 4r + i = minus at value 4g + i.
 *             Where the file has seven signs a run (IQ2_XXS, IQ2_XS, IQ3_XXS), the eighth (bit
 *             2l + 1 of byte 4r + 3, value 8l + 7) is minus if an odd number of the seven is. Its
 *             place holds bit l of the scale (IQ2_XXS, IQ3_XXS), or the ninth bit of the place of
 *             run l (IQ2_XS)
 *   sc[16]    scale of the first half of 16 values in the low nibble, of the second in the high
 *   IQ2_S     qh: bits 2l, 2l + 1 are the upper bits of the place of run l
 *   IQ3_S     qh: bit g is the ninth bit of the place of step g; sc[j / 2] in the header: scale of
 *             block j, low nibble for even j
 *   IQ1_S     qh: the file's word: three upper bits of the place of run l at 3l, scale at 12, sign
 *             of delta at 15
 *   IQ1_M     qh[l / 2]: low nibble for even l: three upper bits of the place, sign of delta.
 *             sc: three bits each
 *
 * Bytes as in the file, IQ1_M 58 for 56: its scale d and the sub-scales get places of their own. */
#ifndef CHASKI_KERNELS_LAYOUT_BOOKS_H
#define CHASKI_KERNELS_LAYOUT_BOOKS_H

#include <stdint.h>
#include "gguf/types.h"

// clang-format off
struct pk_iq2_xxsb { uint8_t q[4][16]; uint8_t h[64]; };
struct pk_iq2_xxs  { f16_bits d[16]; struct pk_iq2_xxsb b[8]; };
struct pk_iq2_xsb  { uint8_t sc[16]; uint8_t q[4][16]; uint8_t h[64]; };
struct pk_iq2_xs   { f16_bits d[16]; struct pk_iq2_xsb b[8]; };
struct pk_iq2_sb   { uint8_t sc[16]; uint8_t qh[16]; uint8_t q[4][16]; uint8_t h[64]; };
struct pk_iq2_s    { f16_bits d[16]; struct pk_iq2_sb b[8]; };
struct pk_iq3_xxsb { uint8_t q[8][16]; uint8_t h[64]; };
struct pk_iq3_xxs  { f16_bits d[16]; struct pk_iq3_xxsb b[8]; };
struct pk_iq3_sb   { uint8_t qh[16]; uint8_t q[8][16]; uint8_t h[64]; };
struct pk_iq3_s    { f16_bits d[16]; uint8_t sc[4][16]; struct pk_iq3_sb b[8]; };
struct pk_iq1_sb   { uint16_t qh[16]; uint8_t q[4][16]; };
struct pk_iq1_s    { f16_bits d[16]; struct pk_iq1_sb b[8]; };
struct pk_iq1_mb   { uint8_t sc[16]; uint8_t qh[2][16]; uint8_t q[4][16]; };
struct pk_iq1_m    { f16_bits d[16]; struct pk_iq1_mb b[8]; };
// clang-format on

_Static_assert(sizeof(struct pk_iq2_xxs) == 16 * 66, "IQ2_XXS");
_Static_assert(sizeof(struct pk_iq2_xs) == 16 * 74, "IQ2_XS");
_Static_assert(sizeof(struct pk_iq2_s) == 16 * 82, "IQ2_S");
_Static_assert(sizeof(struct pk_iq3_xxs) == 16 * 98, "IQ3_XXS");
_Static_assert(sizeof(struct pk_iq3_s) == 16 * 110, "IQ3_S");
_Static_assert(sizeof(struct pk_iq1_s) == 16 * 50, "IQ1_S");
_Static_assert(sizeof(struct pk_iq1_m) == 16 * 58, "IQ1_M");

#endif
