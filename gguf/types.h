/* gguf/types.h - what a tensor's bytes mean: ids, names, block sizes, block structs.
 *
 * Facts: the ggml type ids as GGUF files carry them. It includes nothing of the
 * project. A row of n values is n / block_elems blocks with nothing between them. */
#ifndef CHASKI_TYPES_H
#define CHASKI_TYPES_H

#include <stdint.h>

enum gguf_type {
    TYPE_F32 = 0,
    TYPE_F16 = 1,
    TYPE_Q4_0 = 2,
    TYPE_Q4_1 = 3,
    TYPE_Q4_2 = 4,
    TYPE_Q4_3 = 5,
    TYPE_Q5_0 = 6,
    TYPE_Q5_1 = 7,
    TYPE_Q8_0 = 8,
    TYPE_Q8_1 = 9,
    TYPE_Q2_K = 10,
    TYPE_Q3_K = 11,
    TYPE_Q4_K = 12,
    TYPE_Q5_K = 13,
    TYPE_Q6_K = 14,
    TYPE_Q8_K = 15,
    TYPE_IQ2_XXS = 16,
    TYPE_IQ2_XS = 17,
    TYPE_IQ3_XXS = 18,
    TYPE_IQ1_S = 19,
    TYPE_IQ4_NL = 20,
    TYPE_IQ3_S = 21,
    TYPE_IQ2_S = 22,
    TYPE_IQ4_XS = 23,
    TYPE_I8 = 24,
    TYPE_I16 = 25,
    TYPE_I32 = 26,
    TYPE_I64 = 27,
    TYPE_F64 = 28,
    TYPE_IQ1_M = 29,
    TYPE_BF16 = 30,
    TYPE_Q4_0_4_4 = 31,
    TYPE_Q4_0_4_8 = 32,
    TYPE_Q4_0_8_8 = 33,
    TYPE_TQ1_0 = 34,
    TYPE_TQ2_0 = 35,
    TYPE_IQ4_NL_4_4 = 36,
    TYPE_IQ4_NL_4_8 = 37,
    TYPE_IQ4_NL_8_8 = 38,
    TYPE_MXFP4 = 39,
    TYPE_NVFP4 = 40,
    TYPE_Q1_0 = 41,
    TYPE_Q2_0 = 42,
    TYPE_COUNT = 43,
};

enum gguf_type_status {
    TYPE_UNKNOWN = 0, /* a hole in the numbering */
    TYPE_LIVE,        /* may stand in a model file */
    TYPE_PLAIN,       /* plain numbers: live, but not for matrices */
    TYPE_INTERNAL,    /* activations inside other engines, never in files */
    TYPE_REMOVED,     /* refused, with its name */
};

struct gguf_type_info {
    const char *name;
    uint16_t block_elems, block_bytes; /* 0 where removed */
    uint8_t status;                    /* enum gguf_type_status */
    uint8_t quantized;
};

/* The entry of a type id, or NULL for an id that no version known here has. */
const struct gguf_type_info *gguf_type_info(uint32_t id);

/* ---- block structs, as the file holds them (little-endian; f16 as its bits) ------ */

typedef uint16_t f16_bits;

// clang-format off
struct block_q4_0 { f16_bits d; uint8_t qs[16]; };
struct block_q4_1 { f16_bits d, m; uint8_t qs[16]; };
struct block_q5_0 { f16_bits d; uint8_t qh[4]; uint8_t qs[16]; };
struct block_q5_1 { f16_bits d, m; uint8_t qh[4]; uint8_t qs[16]; };
struct block_q8_0 { f16_bits d; int8_t qs[32]; };
struct block_q2_K { uint8_t scales[16]; uint8_t qs[64]; f16_bits d, dmin; };
struct block_q3_K { uint8_t hmask[32]; uint8_t qs[64]; uint8_t scales[12]; f16_bits d; };
struct block_q4_K { f16_bits d, dmin; uint8_t scales[12]; uint8_t qs[128]; };
struct block_q5_K { f16_bits d, dmin; uint8_t scales[12]; uint8_t qh[32]; uint8_t qs[128]; };
struct block_q6_K { uint8_t ql[128]; uint8_t qh[64]; int8_t scales[16]; f16_bits d; };
struct block_iq2_xxs { f16_bits d; uint8_t qs[64]; };
struct block_iq2_xs { f16_bits d; uint8_t qs[64]; uint8_t scales[8]; };
struct block_iq2_s { f16_bits d; uint8_t qs[32], signs[32], qh[8], scales[8]; };
struct block_iq3_xxs { f16_bits d; uint8_t qs[64]; uint8_t signs[32]; };
struct block_iq3_s { f16_bits d; uint8_t qs[64], qh[8], signs[32], scales[4]; };
struct block_iq1_s { f16_bits d; uint8_t qs[32]; uint8_t qh[16]; };
struct block_iq1_m { uint8_t qs[32]; uint8_t qh[16]; uint8_t scales[8]; };
struct block_iq4_nl { f16_bits d; uint8_t qs[16]; };
struct block_iq4_xs { f16_bits d; uint8_t scales_h[2]; uint8_t scales_l[4]; uint8_t qs[128]; };
struct block_mxfp4 { uint8_t e; uint8_t qs[16]; };
struct block_nvfp4 { uint8_t d[4]; uint8_t qs[32]; };
struct block_q1_0 { f16_bits d; uint8_t qs[16]; };
struct block_q2_0 { f16_bits d; uint8_t qs[16]; };
struct block_tq1_0 { uint8_t qs[48]; uint8_t qh[4]; f16_bits d; };
struct block_tq2_0 { uint8_t qs[64]; f16_bits d; };
// clang-format on

_Static_assert(sizeof(struct block_q4_0) == 18, "Q4_0");
_Static_assert(sizeof(struct block_q4_1) == 20, "Q4_1");
_Static_assert(sizeof(struct block_q5_0) == 22, "Q5_0");
_Static_assert(sizeof(struct block_q5_1) == 24, "Q5_1");
_Static_assert(sizeof(struct block_q8_0) == 34, "Q8_0");
_Static_assert(sizeof(struct block_q2_K) == 84, "Q2_K");
_Static_assert(sizeof(struct block_q3_K) == 110, "Q3_K");
_Static_assert(sizeof(struct block_q4_K) == 144, "Q4_K");
_Static_assert(sizeof(struct block_q5_K) == 176, "Q5_K");
_Static_assert(sizeof(struct block_q6_K) == 210, "Q6_K");
_Static_assert(sizeof(struct block_iq2_xxs) == 66, "IQ2_XXS");
_Static_assert(sizeof(struct block_iq2_xs) == 74, "IQ2_XS");
_Static_assert(sizeof(struct block_iq2_s) == 82, "IQ2_S");
_Static_assert(sizeof(struct block_iq3_xxs) == 98, "IQ3_XXS");
_Static_assert(sizeof(struct block_iq3_s) == 110, "IQ3_S");
_Static_assert(sizeof(struct block_iq1_s) == 50, "IQ1_S");
_Static_assert(sizeof(struct block_iq1_m) == 56, "IQ1_M");
_Static_assert(sizeof(struct block_iq4_nl) == 18, "IQ4_NL");
_Static_assert(sizeof(struct block_iq4_xs) == 136, "IQ4_XS");
_Static_assert(sizeof(struct block_mxfp4) == 17, "MXFP4");
_Static_assert(sizeof(struct block_nvfp4) == 36, "NVFP4");
_Static_assert(sizeof(struct block_q1_0) == 18, "Q1_0");
_Static_assert(sizeof(struct block_q2_0) == 18, "Q2_0");
_Static_assert(sizeof(struct block_tq1_0) == 54, "TQ1_0");
_Static_assert(sizeof(struct block_tq2_0) == 66, "TQ2_0");

#endif
