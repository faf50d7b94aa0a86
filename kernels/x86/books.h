/* kernels/x86/books.h - packed blocks of the types with code books as unsigned codes by step: the
 * look-up that panels and GEMV of AVX2 and AVX-512 share. AVX2 instructions only.
 *
 * A place is 8 to 11 bits, so books stay in L1: plain 64-bit loads of two rows a register, then one
 * shuffle parts the two steps of a run. Two loads for 8 codes are the limit; gathers took 1.4 times
 * as long on Zen 4.
 * Codes get a zero point, 64 or 16 (book_zero), so that all multiply unsigned x signed. */
#ifndef CHASKI_KERNELS_X86_BOOKS_H
#define CHASKI_KERNELS_X86_BOOKS_H

#include <immintrin.h>
#include <stddef.h>
#include "kernels/layout_books.h"
#include "kernels/ref/books.h"

#define BOOK_AI static inline __attribute__((always_inline))

BOOK_AI int book_zero(int type)
{
    return type == TYPE_IQ3_S || type == TYPE_IQ1_S || type == TYPE_IQ1_M ? 16 : 64;
}

/* Scales by halves of 16 values (else one a block). */
BOOK_AI bool book_halves(int type)
{
    return type == TYPE_IQ2_XS || type == TYPE_IQ2_S || type == TYPE_IQ1_M;
}

BOOK_AI size_t book_header(int type)
{
    return type == TYPE_IQ3_S ? offsetof(struct pk_iq3_s, b) : 32;
}

BOOK_AI size_t book_block_bytes(int type)
{
    switch (type) {
    case TYPE_IQ2_XXS:
        return sizeof(struct pk_iq2_xxsb);
    case TYPE_IQ2_XS:
        return sizeof(struct pk_iq2_xsb);
    case TYPE_IQ2_S:
        return sizeof(struct pk_iq2_sb);
    case TYPE_IQ3_XXS:
        return sizeof(struct pk_iq3_xxsb);
    case TYPE_IQ3_S:
        return sizeof(struct pk_iq3_sb);
    case TYPE_IQ1_S:
        return sizeof(struct pk_iq1_sb);
    default:
        return sizeof(struct pk_iq1_mb);
    }
}

BOOK_AI __m256i book_ld(const void *p)
{
    return _mm256_loadu_si256(p);
}
BOOK_AI __m256i words16(const void *bytes) /* 16 bytes, one a row */
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128(bytes));
}

/* Byte 3 of each of 16 dwords: where the seven-sign types keep other bits. */
BOOK_AI __m256i top_bytes(const uint8_t h[64])
{
    const __m256i v = _mm256_packus_epi32(_mm256_srli_epi32(book_ld(h), 24),
                                          _mm256_srli_epi32(book_ld(h + 32), 24));
    return _mm256_permute4x64_epi64(v, 0xd8);
}

/* Signs of 8 rows, the eighth of each run made from the other seven. */
BOOK_AI __m256i eighth_signs(__m256i h)
{
    h = _mm256_and_si256(h, _mm256_set1_epi32(0x55ffffff));
    __m256i t = _mm256_xor_si256(h, _mm256_srli_epi32(h, 16));
    t = _mm256_xor_si256(t, _mm256_srli_epi32(t, 8)); /* bit g: parity of step g */
    t = _mm256_xor_si256(t, _mm256_slli_epi32(t, 1));
    return _mm256_or_si256(h, _mm256_slli_epi32(_mm256_and_si256(t, _mm256_set1_epi32(0xaa)), 24));
}

/* x (magnitudes) with the signs of step g, plus the zero point. Only the sign of the second operand
 * of vpsignb counts, and that it is not 0: neighbours' bits may stay in it. */
BOOK_AI __m256i with_signs(__m256i x, __m256i h, int g, int zero)
{
    const __m256i m = g < 7 ? _mm256_slli_epi16(h, g < 7 ? 7 - g : 0) : h;
    const __m256i s = _mm256_sign_epi8(x, _mm256_or_si256(m, _mm256_set1_epi8(1)));
    return _mm256_add_epi8(s, _mm256_set1_epi8((char)zero));
}

/* Place i of a row of places, of one byte each or two. */
BOOK_AI size_t place(const bool bytes, const void *at, int i)
{
    return bytes ? ((const uint8_t *)at)[i] : ((const uint16_t *)at)[i];
}

BOOK_AI __m128i two_rows(const bool bytes, const uint64_t *book, const void *at, int i)
{
    const double *lo = (const double *)(const void *)(book + place(bytes, at, i));
    const double *hi = (const double *)(const void *)(book + place(bytes, at, i + 1));
    return _mm_castpd_si128(_mm_loadh_pd(_mm_load_sd(lo), hi));
}

/* Entries of 8 values of 8 rows: the two steps of a run. */
BOOK_AI void look_up8(const bool bytes, const uint64_t *book, const void *at, __m256i v[2])
{
    const __m256 a = _mm256_castsi256_ps(_mm256_inserti128_si256(
        _mm256_castsi128_si256(two_rows(bytes, book, at, 0)), two_rows(bytes, book, at, 4), 1));
    const __m256 b = _mm256_castsi256_ps(_mm256_inserti128_si256(
        _mm256_castsi128_si256(two_rows(bytes, book, at, 2)), two_rows(bytes, book, at, 6), 1));
    v[0] = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0x88));
    v[1] = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0xdd));
}

/* Entries of 4 values of 8 rows. */
BOOK_AI __m256i look_up4(const bool bytes, const uint32_t *book, const void *at)
{
    int e[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        e[i] = (int)book[place(bytes, at, i)];
    return _mm256_setr_epi32(e[0], e[1], e[2], e[3], e[4], e[5], e[6], e[7]);
}

BOOK_AI __m256i shifted(__m256i v, int left) /* 16-bit words; right when negative */
{
    return left >= 0 ? _mm256_slli_epi16(v, left > 0 ? left : 0)
                     : _mm256_srli_epi16(v, left < 0 ? -left : 0);
}

/* Places of the 4 runs (IQ3: 8 steps) of 16 rows. */
BOOK_AI void places(const int type, const uint8_t *b, uint16_t at[8][16])
{
#pragma GCC unroll 8
    for (int l = 0; l < 8; l++) {
        __m256i low, high = _mm256_setzero_si256();
        int mask = 0x100;
        switch (type) {
        case TYPE_IQ2_XXS:
            low = words16(b + offsetof(struct pk_iq2_xxsb, q) + 16 * l);
            break;
        case TYPE_IQ2_XS:
            low = words16(b + offsetof(struct pk_iq2_xsb, q) + 16 * l);
            high = shifted(top_bytes(b + offsetof(struct pk_iq2_xsb, h)), 7 - 2 * l);
            break;
        case TYPE_IQ2_S:
            low = words16(b + offsetof(struct pk_iq2_sb, q) + 16 * l);
            high = shifted(words16(b + offsetof(struct pk_iq2_sb, qh)), 8 - 2 * l);
            mask = 0x300;
            break;
        case TYPE_IQ3_XXS:
            low = words16(b + offsetof(struct pk_iq3_xxsb, q) + 16 * l);
            break;
        case TYPE_IQ3_S:
            low = words16(b + offsetof(struct pk_iq3_sb, q) + 16 * l);
            high = shifted(words16(b + offsetof(struct pk_iq3_sb, qh)), 8 - l);
            break;
        case TYPE_IQ1_S:
            low = words16(b + offsetof(struct pk_iq1_sb, q) + 16 * l);
            high = shifted(book_ld(b + offsetof(struct pk_iq1_sb, qh)), 8 - 3 * l);
            mask = 0x700;
            break;
        default:
            low = words16(b + offsetof(struct pk_iq1_mb, q) + 16 * l);
            high =
                shifted(words16(b + offsetof(struct pk_iq1_mb, qh) + 16 * (l >> 1)), l & 1 ? 4 : 8);
            mask = 0x700;
            break;
        }
        high = _mm256_and_si256(high, _mm256_set1_epi16((short)mask));
        _mm256_store_si256((void *)at[l], _mm256_or_si256(low, high));
        if (l == 3 && type != TYPE_IQ3_XXS && type != TYPE_IQ3_S)
            break;
    }
}

/* All bits of the dwords of 8 rows (half h) whose delta is minus, run l. */
BOOK_AI __m256i minus_deltas(const int type, const uint8_t *b, int l, int h)
{
    const __m256i v =
        type == TYPE_IQ1_S
            ? book_ld(b + offsetof(struct pk_iq1_sb, qh))
            : _mm256_slli_epi16(words16(b + offsetof(struct pk_iq1_mb, qh) + 16 * (l >> 1)),
                                l & 1 ? 8 : 12);
    const __m128i w = h ? _mm256_extracti128_si256(v, 1) : _mm256_castsi256_si128(v);
    return _mm256_cvtepi16_epi32(_mm_srai_epi16(w, 15));
}

/* Codes plus zero point of one block. */
BOOK_AI void book_codes(const int type, const struct books *bk, const uint8_t *b, uint8_t q[8][64])
{
    _Alignas(32) uint16_t at[8][16];
    const bool one = type == TYPE_IQ1_S || type == TYPE_IQ1_M;
    const bool sevens = type == TYPE_IQ2_XXS || type == TYPE_IQ2_XS || type == TYPE_IQ3_XXS;

    if (type != TYPE_IQ2_XXS && type != TYPE_IQ3_XXS)
        places(type, b, at);
    __asm__("" : "+m"(at)); /* read back by 16 bits: GCC would take them out of registers, slower */
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
        __m256i signs = _mm256_setzero_si256();
        if (!one) { /* the signs stand last in every block that has them */
            signs = book_ld(b + book_block_bytes(type) - 64 + 32 * h);
            signs = sevens ? eighth_signs(signs) : signs;
        }
#pragma GCC unroll 4
        for (int l = 0; l < 4; l++) {
            __m256i v[2];
            switch (type) {
            case TYPE_IQ2_XXS:
                look_up8(true, bk->iq2_xxs, b + offsetof(struct pk_iq2_xxsb, q) + 16 * l + 8 * h,
                         v);
                break;
            case TYPE_IQ2_XS:
                look_up8(false, bk->iq2_xs, at[l] + 8 * h, v);
                break;
            case TYPE_IQ2_S:
                look_up8(false, bk->iq2_s, at[l] + 8 * h, v);
                break;
            case TYPE_IQ3_XXS:
                v[0] = look_up4(true, bk->iq3_xxs, b + 32 * l + 8 * h);
                v[1] = look_up4(true, bk->iq3_xxs, b + 32 * l + 16 + 8 * h);
                break;
            case TYPE_IQ3_S:
                v[0] = look_up4(false, bk->iq3_s, at[2 * l] + 8 * h);
                v[1] = look_up4(false, bk->iq3_s, at[2 * l + 1] + 8 * h);
                break;
            default:
                look_up8(false, bk->iq1, at[l] + 8 * h, v);
                break;
            }
#pragma GCC unroll 2
            for (int i = 0; i < 2; i++) {
                if (one)
                    v[i] = _mm256_add_epi8(
                        v[i], _mm256_or_si256(minus_deltas(type, b, l, h), _mm256_set1_epi8(1)));
                else
                    v[i] = with_signs(v[i], signs, 2 * l + i, book_zero(type));
                _mm256_store_si256((void *)(q[2 * l + i] + 32 * h), v[i]);
            }
        }
    }
}

/* Scales 2n + 1 of a half of block j of 16 rows, as bytes. */
BOOK_AI __m128i book_scales(const int type, const uint8_t *head, const uint8_t *b, int j, int half)
{
    __m128i n;
    if (type == TYPE_IQ2_XXS || type == TYPE_IQ3_XXS) { /* bits 1, 3, 5, 7 of the top bytes */
        const __m256i t = top_bytes(b + book_block_bytes(type) - 64);
        __m256i v = _mm256_and_si256(_mm256_srli_epi16(t, 1), _mm256_set1_epi16(1));
        v = _mm256_or_si256(v, _mm256_and_si256(_mm256_srli_epi16(t, 2), _mm256_set1_epi16(2)));
        v = _mm256_or_si256(v, _mm256_and_si256(_mm256_srli_epi16(t, 3), _mm256_set1_epi16(4)));
        v = _mm256_or_si256(v, _mm256_and_si256(_mm256_srli_epi16(t, 4), _mm256_set1_epi16(8)));
        n = _mm_packus_epi16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    } else if (type == TYPE_IQ1_S) {
        __m256i v = _mm256_srli_epi16(book_ld(b + offsetof(struct pk_iq1_sb, qh)), 12);
        v = _mm256_and_si256(v, _mm256_set1_epi16(7));
        n = _mm_packus_epi16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    } else {
        const uint8_t *sc = type == TYPE_IQ3_S
                                ? head + offsetof(struct pk_iq3_s, sc) + 16 * (j >> 1)
                                : b; /* the others begin with them */
        const bool upper = type == TYPE_IQ3_S ? j & 1 : half;
        n = _mm_loadu_si128((const void *)sc);
        n = _mm_and_si128(upper ? _mm_srli_epi16(n, 4) : n, _mm_set1_epi8(15));
    }
    return _mm_or_si128(_mm_add_epi8(n, n), _mm_set1_epi8(1));
}

/* Scales d * 2^-e of 8 rows. */
BOOK_AI __m256 book_unit8(const int type, const uint8_t *head, int h)
{
    const __m256 d = _mm256_cvtph_ps(_mm_loadu_si128((const void *)(head + 16 * h)));
    return _mm256_mul_ps(d, _mm256_set1_ps(book_unit((uint32_t)type)));
}

#endif
