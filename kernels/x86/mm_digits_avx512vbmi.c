/* kernels/x86/mm_digits_avx512vbmi.c - TQ1_0 with AVX-512 VNNI, its digits by VBMI. Part of "avx512vnni" and
 * what stands on it, where the CPU has VBMI.
 *
 * A byte's five digits to base 3 are looked up, not counted: vpermi2b brings the first four as pairs of bits,
 * another look-up the fifth. Half the instructions of comparing and multiplying by 3. */
#include <pthread.h>
#include "kernels/tables.h"
#include "kernels/x86/dots_avx512vnni.h"

static _Alignas(64) uint8_t first_four[256], fifth[256];

/* Digits of a fraction of 256, as digit() finds them. */
static void make_digits(void)
{
    for (int i = 0; i < 256; i++) {
        unsigned x = (unsigned)i, bits = 0;
        for (int k = 0; k < 5; k++, x = x * 3 & 255)
            bits |= (x * 3 >> 8) << 2 * k;
        first_four[i] = (uint8_t)bits;
        fifth[i] = (uint8_t)(bits >> 8);
    }
}

AI __m512i look_up256(const uint8_t *p, __m512i at)
{
    const __m512i a = _mm512_permutex2var_epi8(ld(p), at, ld(p + 64));
    const __m512i b = _mm512_permutex2var_epi8(ld(p + 128), at, ld(p + 192));
    return _mm512_mask_mov_epi8(a, _mm512_movepi8_mask(at), b);
}

AI void five_digits(__m512i x, __m512i d[5])
{
    const __m512i four = look_up256(first_four, x), three = _mm512_set1_epi8(3);
    d[0] = _mm512_and_si512(four, three);
    d[1] = _mm512_and_si512(_mm512_srli_epi16(four, 2), three);
    d[2] = _mm512_and_si512(_mm512_srli_epi16(four, 4), three);
    d[3] = _mm512_and_si512(_mm512_srli_epi16(four, 6), three);
    d[4] = look_up256(fifth, x);
}

#define DIGITS five_digits
#include "kernels/x86/mm_blocks.h"

#define TYPES(X) X(TQ1_0, panel, 8, 32, 104)
#include "kernels/x86/mm_make.h"

void x86_digits_avx512vbmi(struct kernels *k)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_digits);
    set_types(k);
}
