/* kernels/ref/f16.c - half precision in integer arithmetic: no mode of the CPU can change it. */
#include "kernels/ref/ref.h"

float f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, e = (h >> 10) & 31u, m = h & 1023u;
    if (e == 31)
        return ref_float(sign | 0x7f800000u | m << 13 | (m ? 0x400000u : 0)); /* NaN quiet */
    if (e)
        return ref_float(sign | (e + 112u) << 23 | m << 13);
    if (!m)
        return ref_float(sign);
    unsigned up = (unsigned)__builtin_clz(m) - 21; /* denormal: shift the top bit to bit 10 */
    return ref_float(sign | (113u - up) << 23 | (m << up & 1023u) << 13);
}

uint16_t f32_to_f16(float f)
{
    uint32_t u = ref_bits(f), sign = u >> 16 & 0x8000u;
    u &= 0x7fffffffu;
    if (u > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u);
    if (u >= 0x477ff000u) /* 65520 and above */
        return (uint16_t)(sign | 0x7c00u);
    if (u >= 0x38800000u) { /* a normal half: round 13 bits away, ties to even */
        u += 0xfffu + (u >> 13 & 1u);
        return (uint16_t)(sign | (u - 0x38000000u) >> 13);
    }
    if (u < 0x33000000u) /* under half of the smallest denormal, 2^-25 */
        return (uint16_t)sign;
    uint32_t shift = 126u - (u >> 23), m = (u & 0x7fffffu) | 0x800000u; /* 14..24 */
    uint32_t half = 1u << (shift - 1), q = m >> shift, rest = m & ((1u << shift) - 1);
    q += rest > half || (rest == half && (q & 1u));
    return (uint16_t)(sign | q);
}
