/* kernels/layout.h - the bytes of packed weights. Private to the kernels.
 *
 * A group is 16 rows side by side. k runs in blocks of 32 values (K-quants: 8 blocks in a
 * super-block of 256). Inside a block, *step* g (0..7) holds the values k = 4g..4g+3 of all 16
 * rows as 64 bytes: byte 4r + i is value 4g + i of row r. That is one zmm, two ymm, four NEON
 * registers, a row of an AMX tile, and each 32-bit lane is one row: vpdpbusd, vpmaddubsw and SDOT
 * add up four neighbouring bytes of one row, so nothing is ever summed across lanes.
 *
 * Planes: with `v` a 64-byte vector,
 *   nibbles   4 v: v[j] holds step j in the low nibbles, step j + 4 in the high ones
 *   high bits 1 v: bit g of byte 4r + i is the extra bit of value 4g + i of row r
 *   two bits  2 v: v[p], bits 2s..2s+1 (s = 0..3): the two bits of step 4p + s
 *   bytes     8 v: v[g] is step g, signed
 *
 *   type   block (32 values)                                  super-block (256) header
 *   Q4_0   d[16] f16, nibbles
 *   Q4_1   d[16], m[16], nibbles
 *   Q5_0   d[16], high bits, nibbles
 *   Q5_1   d[16], m[16], high bits, nibbles
 *   Q8_0   d[16], bytes
 *   Q2_K   sc[2][16] (scale | min << 4 of each half), two bits         d[16], dmin[16]
 *   Q3_K   sc[2][16] int8 (scale - 32), high bits, two bits            d[16]
 *   Q4_K   sc[16], mn[16] bytes, nibbles                               d[16], dmin[16]
 *   Q5_K   sc[16], mn[16] bytes, high bits, nibbles                    d[16], dmin[16]
 *   Q6_K   sc[2][16] int8, nibbles, two bits (upper bits of codes)     d[16]
 *   IQ4_NL d[16], nibbles (places in a table of 16 values: kernels/codes.h)
 *   IQ4_XS sc[16] int8 (scale - 32), nibbles                           d[16]
 *   MXFP4  e[16] exponents, nibbles
 *   NVFP4  sc[2][16] E4M3 of halves (0 where the file has 0x7f), nibbles; 2 of these a file's block
 *   Q1_0   high bits                                                   d[16], before 4 blocks
 *   Q2_0   two bits                                                    d[16], before 2 blocks
 *   TQ1_0  (13 v of five digits to base 3, see struct pk_tq1_0)        d[16]
 *   TQ2_0  two bits                                                    d[16]
 *   F16, BF16   per k: 16 x u16;   F32   per k: 16 x f32
 *   code books (IQ1, IQ2, IQ3): kernels/layout_books.h
 *
 * Q3_K: the high bit is 1 where the file's mask has it: code = two bits + 4 * bit - 4.
 * A half is 16 values (steps 0..3, 4..7). The header stands before its 8 blocks. */
#ifndef CHASKI_KERNELS_LAYOUT_H
#define CHASKI_KERNELS_LAYOUT_H

#include <stdint.h>
#include "gguf/types.h"

// clang-format off
struct pk_q4_0 { f16_bits d[16];                     uint8_t q[4][64]; };
struct pk_q4_1 { f16_bits d[16], m[16];              uint8_t q[4][64]; };
struct pk_q5_0 { f16_bits d[16];        uint8_t h[64]; uint8_t q[4][64]; };
struct pk_q5_1 { f16_bits d[16], m[16]; uint8_t h[64]; uint8_t q[4][64]; };
struct pk_q8_0 { f16_bits d[16];                     int8_t  q[8][64]; };

struct pk_q2_Kb { uint8_t sc[2][16]; uint8_t q[2][64]; };
struct pk_q2_K  { f16_bits d[16], dmin[16]; struct pk_q2_Kb b[8]; };
struct pk_q3_Kb { int8_t sc[2][16]; uint8_t h[64]; uint8_t q[2][64]; };
struct pk_q3_K  { f16_bits d[16]; struct pk_q3_Kb b[8]; };
struct pk_q4_Kb { uint8_t sc[16], mn[16]; uint8_t q[4][64]; };
struct pk_q4_K  { f16_bits d[16], dmin[16]; struct pk_q4_Kb b[8]; };
struct pk_q5_Kb { uint8_t sc[16], mn[16]; uint8_t h[64]; uint8_t q[4][64]; };
struct pk_q5_K  { f16_bits d[16], dmin[16]; struct pk_q5_Kb b[8]; };
struct pk_q6_Kb { int8_t sc[2][16]; uint8_t q[4][64]; uint8_t h[2][64]; };
struct pk_q6_K  { f16_bits d[16]; struct pk_q6_Kb b[8]; };

struct pk_iq4_nl  { f16_bits d[16];                  uint8_t q[4][64]; };
struct pk_mxfp4   { uint8_t e[16];                   uint8_t q[4][64]; };
struct pk_nvfp4b  { uint8_t sc[2][16];               uint8_t q[4][64]; };
struct pk_nvfp4   { struct pk_nvfp4b b[2]; };
struct pk_iq4_xsb { int8_t sc[16];                   uint8_t q[4][64]; };
struct pk_iq4_xs  { f16_bits d[16]; struct pk_iq4_xsb b[8]; };
struct pk_q1_0    { f16_bits d[16]; uint8_t h[4][64]; };
struct pk_q2_0    { f16_bits d[16]; uint8_t q[2][2][64]; };
struct pk_tq2_0   { f16_bits d[16]; uint8_t q[8][2][64]; };
/* The file's words as they are, in lanes. Digit k of q[m]: m < 8: step m of block k; m = 8..11:
 * step 4 (k mod 2) + m - 8 of block 5 + k / 2; m = 12: step 4 + k of block 7 (k < 4). */
struct pk_tq1_0   { f16_bits d[16]; uint8_t q[13][64]; };
// clang-format on

_Static_assert(sizeof(struct pk_q4_0) == 288, "Q4_0");
_Static_assert(sizeof(struct pk_q4_1) == 320, "Q4_1");
_Static_assert(sizeof(struct pk_q5_0) == 352, "Q5_0");
_Static_assert(sizeof(struct pk_q5_1) == 384, "Q5_1");
_Static_assert(sizeof(struct pk_q8_0) == 544, "Q8_0");
_Static_assert(sizeof(struct pk_q2_K) == 64 + 8 * 160, "Q2_K");
_Static_assert(sizeof(struct pk_q3_K) == 32 + 8 * 224, "Q3_K");
_Static_assert(sizeof(struct pk_q4_K) == 64 + 8 * 288, "Q4_K");
_Static_assert(sizeof(struct pk_q5_K) == 64 + 8 * 352, "Q5_K");
_Static_assert(sizeof(struct pk_q6_K) == 32 + 8 * 416, "Q6_K");
_Static_assert(sizeof(struct pk_iq4_nl) == 288, "IQ4_NL");
_Static_assert(sizeof(struct pk_iq4_xs) == 32 + 8 * 272, "IQ4_XS");
_Static_assert(sizeof(struct pk_mxfp4) == 272, "MXFP4");
_Static_assert(sizeof(struct pk_nvfp4) == 576, "NVFP4");
_Static_assert(sizeof(struct pk_q1_0) == 288, "Q1_0");
_Static_assert(sizeof(struct pk_q2_0) == 288, "Q2_0");
_Static_assert(sizeof(struct pk_tq1_0) == 864, "TQ1_0");
_Static_assert(sizeof(struct pk_tq2_0) == 32 + 8 * 128, "TQ2_0");

#endif
