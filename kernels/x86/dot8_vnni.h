/* kernels/x86/dot8_vnni.h - dots of keys of int8 codes with AVX-512 VNNI.
 *
 * vpdpbusd wants one side unsigned: the keys, with their top bits turned (code + 128). The sums
 * start at -128 * (sum of the query's codes of the block). Include after vec_avx512.h. */
#ifndef CHASKI_KERNELS_X86_DOT8_H
#define CHASKI_KERNELS_X86_DOT8_H

#include <string.h>

enum { DOT8_BYTES = 1 }; /* of a query, a code */

struct key8 {
    vi u;
};

AI int32_t dot8_start(const int8_t *q)
{
    int32_t sum = 0;
    for (int i = 0; i < 32; i++)
        sum += q[i];
    return -128 * sum;
}

AI void dot8_query(const int8_t *q, uint8_t *to)
{
    memcpy(to, q, 32);
}

AI struct key8 key8_ld(const uint8_t *p)
{
    return (struct key8){_mm512_xor_si512(_mm512_loadu_si512(p), _mm512_set1_epi8(-128))};
}

AI vi key8_dot(vi sum, struct key8 k, const uint8_t *q)
{
    int32_t w;
    memcpy(&w, q, 4);
    return _mm512_dpbusd_epi32(sum, k.u, _mm512_set1_epi32(w));
}

#endif
