/* kernels/x86/dot8_pairs.h - dots of keys of int8 codes without VNNI: bytes become pairs of int16.
 *
 * vpmaddubsw would want one side unsigned, and sums of two products of 255 * 127 saturate; the
 * sign trick costs each query an instruction, widening costs each key three. A dword of a key
 * holds dimensions 0..3: shifts give (0, 2) and (1, 3), and the queries' codes lie ready so.
 * Include after a vec_....h. */
#ifndef CHASKI_KERNELS_X86_DOT8_H
#define CHASKI_KERNELS_X86_DOT8_H

#include <string.h>

enum { DOT8_BYTES = 2 }; /* of a query, a code */

struct key8 {
    vi even, odd;
};

AI int32_t dot8_start(const int8_t *q) { (void)q; return 0; }

/* The codes of a block, as key8_dot wants them. */
AI void dot8_query(const int8_t *q, uint8_t *to)
{
    for (int i = 0; i < 32; i += 4, to += 8) {
        const int16_t w[4] = {q[i], q[i + 2], q[i + 1], q[i + 3]};
        memcpy(to, w, 8);
    }
}

AI struct key8 key8_ld(const uint8_t *p)
{
    const vi k = vi_ld(p);
    return (struct key8){vi_even(k), vi_odd(k)};
}

AI vi key8_dot(vi sum, struct key8 k, const uint8_t *q)
{
    int32_t w[2];
    memcpy(w, q, 8);
    return vi_add(vi_add(sum, vi_madd(k.even, vi_set(w[0]))), vi_madd(k.odd, vi_set(w[1])));
}

#endif
