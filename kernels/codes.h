/* kernels/codes.h - the values that four-bit codes stand for, and scales that are no halves.
 *
 * Facts of the file formats: the two tables are format data (IQ4_NL: llama.cpp's non-linear
 * levels; E2M1: the OCP microscaling specification, doubled, so that they are whole). */
#ifndef CHASKI_KERNELS_CODES_H
#define CHASKI_KERNELS_CODES_H

#include <stdint.h>
#include <string.h>

static const int8_t codes_iq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                     1,    13,   25,  38,  53,  69,  89,  113};
/* Code 8, "minus zero", is plain 0. */
static const int8_t codes_e2m1[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* Scale of MXFP4 beside doubled codes: 2^(e - 128). */
static inline float codes_e8m0(uint8_t e)
{
    const uint32_t u = e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23;
    float f;
    memcpy(&f, &u, 4);
    return f;
}

/* Scale of NVFP4 beside doubled codes, half an E4M3 without sign: the bits moved to the places of
 * an f32 differ by 2^119 from it, denormals too. Bit 7 is not there any more (pack). */
static inline float codes_e4m3(uint8_t x)
{
    const uint32_t u = (uint32_t)x << 20;
    float f;
    memcpy(&f, &u, 4);
    return f * 0x1p119f;
}

#endif
