/* kernels/x86/books_vbmi.h - packed blocks of IQ2_XXS, IQ2_XS, IQ3_XXS, IQ3_S as unsigned codes by step,
 * their books looked up 64 places at a time (Ice Lake and later, Zen 4 and later). Stands for
 * book_codes of books.h.
 *
 * A book holds few different magnitudes, three or eight. So an entry packs into 16 bits (8 values of 2
 * bits, or 4 of 4 bits), and a book into two planes of bytes. vpermi2b looks 64 places up in 128 bytes of
 * a plane; upper bits of places choose among its results. Then for each step a permutation brings
 * a row's byte to its four places, vpmultishiftqb each value's bits to its byte, and vpshufb makes them a
 * code. A block of 512 codes on Zen 4, beside loads of entry by entry: IQ3_XXS 16 ns for 32, IQ3_S 20 for
 * 38, IQ2_XS 18 for 24, IQ2_XXS 15 for 17. (IQ2_S, 1024 entries, and IQ1, 2048: as long or longer, so
 * they stay with books.h.) */
#ifndef CHASKI_KERNELS_X86_BOOKS_VBMI_H
#define CHASKI_KERNELS_X86_BOOKS_VBMI_H

#include "kernels/x86/books.h"
#include "kernels/x86/steps_avx512.h"

/* plane[p][place]: byte p of the packed entry. */
struct planes {
    _Alignas(64) uint8_t iq2_xxs[2][256], iq2_xs[2][512], iq3_xxs[2][256], iq3_s[2][512];
};
static struct planes planes;

/* The magnitudes of the books, in order. */
static const uint8_t levels2[8] = {8, 25, 43};
static const uint8_t levels_xxs[8] = {4, 12, 20, 28, 36, 44, 52, 62};
static const uint8_t levels_s[8] = {1, 3, 5, 7, 9, 11, 13, 15};

/* Entry i of 8 values (2 bits each) or of 4 (4 bits). */
static void pack_entry(const void *entry, int n, const uint8_t *levels, uint8_t *low, uint8_t *high)
{
    const uint8_t *value = entry;
    unsigned bits = 0;
    for (int i = 0; i < n; i++) {
        unsigned level = 0;
        while (level < 7 && levels[level] != value[i])
            level++;
        bits |= level << (16 / n * i);
    }
    *low = (uint8_t)bits;
    *high = (uint8_t)(bits >> 8);
}

static void make_planes(void)
{
    const struct books *b = books();
    for (int i = 0; i < 512; i++) {
        if (i < 256) {
            pack_entry(&b->iq2_xxs[i], 8, levels2, &planes.iq2_xxs[0][i], &planes.iq2_xxs[1][i]);
            pack_entry(&b->iq3_xxs[i], 4, levels_xxs, &planes.iq3_xxs[0][i], &planes.iq3_xxs[1][i]);
        }
        pack_entry(&b->iq2_xs[i], 8, levels2, &planes.iq2_xs[0][i], &planes.iq2_xs[1][i]);
        pack_entry(&b->iq3_s[i], 4, levels_s, &planes.iq3_s[0][i], &planes.iq3_s[1][i]);
    }
}

AI __m512i look_up256(const uint8_t *p, __m512i at)
{
    const __m512i a = _mm512_permutex2var_epi8(ld(p), at, ld(p + 64));
    const __m512i b = _mm512_permutex2var_epi8(ld(p + 128), at, ld(p + 192));
    return _mm512_mask_mov_epi8(a, _mm512_movepi8_mask(at), b);
}

/* plane[at + 256 * upper] of a plane of 256 or 512. */
AI __m512i look_up64(const uint8_t *plane, const int entries, __m512i at, __mmask64 upper)
{
    const __m512i a = look_up256(plane, at);
    return entries == 256 ? a : _mm512_mask_mov_epi8(a, upper, look_up256(plane + 256, at));
}

AI __m512i by_lane(int a, int b, int c, int d) /* a byte for each lane of 16 */
{
    return _mm512_inserti64x4(
        _mm512_castsi256_si512(_mm256_set_m128i(_mm_set1_epi8((char)b), _mm_set1_epi8((char)a))),
        _mm256_set_m128i(_mm_set1_epi8((char)d), _mm_set1_epi8((char)c)), 1);
}

/* The ninth bits of 64 places: 4 runs, or (IQ3_S) steps 4 half to 4 half + 3. */
AI __mmask64 ninth_bits(const int type, const uint8_t *b, const int half)
{
    if (type == TYPE_IQ2_XS) {
        const __m512i h = ld(b + offsetof(struct pk_iq2_xsb, h));
        const __m512i t = _mm512_broadcast_i32x4(_mm512_cvtepi32_epi8(_mm512_srli_epi32(h, 24)));
        return _mm512_test_epi8_mask(t, by_lane(2, 8, 32, 128));
    }
    if (type == TYPE_IQ3_S) {
        const __m512i t = _mm512_broadcast_i32x4(
            _mm_loadu_si128((const void *)(b + offsetof(struct pk_iq3_sb, qh))));
        return _mm512_test_epi8_mask(t, half ? by_lane(16, 32, 64, 128) : by_lane(1, 2, 4, 8));
    }
    return 0;
}

/* Signs of 16 rows; the eighth of each run made from the other seven (eighth_signs). */
AI __m512i sign_plane(const int type, const uint8_t *b)
{
    __m512i h = ld(b + book_block_bytes(type) - 64);
    if (type == TYPE_IQ3_S)
        return h;
    h = _mm512_and_si512(h, _mm512_set1_epi32(0x55ffffff));
    __m512i t = _mm512_xor_si512(h, _mm512_srli_epi32(h, 16));
    t = _mm512_xor_si512(t, _mm512_srli_epi32(t, 8));
    t = _mm512_xor_si512(t, _mm512_slli_epi32(t, 1));
    return _mm512_or_si512(
        h, _mm512_slli_epi32(_mm512_and_si512(t, _mm512_set1_epi32(0xaa)), 24));
}

/* Codes of step g: zero point plus or minus the magnitude of each level. */
AI void step_codes(const int type, uint8_t q[64], __m512i level, __m512i codes, __m512i signs,
                   const int g)
{
    const __m512i v = _mm512_shuffle_epi8(codes, level);
    const __mmask64 minus = _mm512_test_epi8_mask(signs, _mm512_set1_epi8((char)(1 << g)));
    const __m512i twice = _mm512_set1_epi8((char)(2 * book_zero(type)));
    _mm512_store_si512(q, _mm512_mask_sub_epi8(v, minus, twice, v));
}

/* What vpshufb makes of levels. */
AI __m512i code_table(const int type, const uint8_t levels[8])
{
    const __m128i v = _mm_loadl_epi64((const void *)levels);
    return _mm512_broadcast_i32x4(_mm_add_epi8(v, _mm_set1_epi8((char)book_zero(type))));
}

/* IQ2: 64 places are a block, each two steps. */
AI void runs_of_8(const int type, const uint8_t *plane, const int entries, const uint8_t *b,
                  const size_t at, uint8_t q[8][64])
{
    const __m512i shifts = _mm512_set1_epi64(0x2624222006040200); /* byte i: bits 2i of its dword */
    const __m512i rows = _mm512_set_epi32(
        0x0f0f0f0f, 0x0e0e0e0e, 0x0d0d0d0d, 0x0c0c0c0c, 0x0b0b0b0b, 0x0a0a0a0a, 0x09090909,
        0x08080808, 0x07070707, 0x06060606, 0x05050505, 0x04040404, 0x03030303, 0x02020202,
        0x01010101, 0x00000000);
    const __m512i codes = code_table(type, levels2), signs = sign_plane(type, b);
    const __mmask64 upper = ninth_bits(type, b, 0);
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        const __m512i p = look_up64(plane + half * entries, entries, ld(b + at), upper);
#pragma GCC unroll 4
        for (int l = 0; l < 4; l++) {
            const __m512i r = _mm512_permutexvar_epi8(
                _mm512_or_si512(rows, _mm512_set1_epi8((char)(16 * l))), p);
            step_codes(type, q[2 * l + half],
                       _mm512_and_si512(_mm512_multishift_epi64_epi8(shifts, r),
                                        _mm512_set1_epi8(3)),
                       codes, signs, 2 * l + half);
        }
    }
}

/* IQ3: 64 places are half a block, each a step of a row. */
AI void steps_of_4(const int type, const uint8_t *plane, const int entries, const uint8_t *levels,
                   const uint8_t *b, const size_t at, uint8_t q[8][64])
{
    const __m512i shifts = _mm512_set1_epi64(0x3430242014100400); /* low, high nibble; twice */
    const __m512i rows = _mm512_set_epi32(
        0x4f4f0f0f, 0x4e4e0e0e, 0x4d4d0d0d, 0x4c4c0c0c, 0x4b4b0b0b, 0x4a4a0a0a, 0x49490909,
        0x48480808, 0x47470707, 0x46460606, 0x45450505, 0x44440404, 0x43430303, 0x42420202,
        0x41410101, 0x40400000);
    const __m512i codes = code_table(type, levels), signs = sign_plane(type, b);
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        const __mmask64 upper = ninth_bits(type, b, half);
        const __m512i low = ld(b + at + 64 * half);
        const __m512i p0 = look_up64(plane, entries, low, upper);
        const __m512i p1 = look_up64(plane + entries, entries, low, upper);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            const __m512i r = _mm512_permutex2var_epi8(
                p0, _mm512_or_si512(rows, _mm512_set1_epi8((char)(16 * i))), p1);
            step_codes(type, q[4 * half + i],
                       _mm512_and_si512(_mm512_multishift_epi64_epi8(shifts, r),
                                        _mm512_set1_epi8(15)),
                       codes, signs, 4 * half + i);
        }
    }
}

AI void vbmi_codes(const int type, const uint8_t *b, uint8_t q[8][64])
{
    switch (type) {
    case TYPE_IQ2_XXS:
        runs_of_8(type, planes.iq2_xxs[0], 256, b, offsetof(struct pk_iq2_xxsb, q), q);
        break;
    case TYPE_IQ2_XS:
        runs_of_8(type, planes.iq2_xs[0], 512, b, offsetof(struct pk_iq2_xsb, q), q);
        break;
    case TYPE_IQ3_XXS:
        steps_of_4(type, planes.iq3_xxs[0], 256, levels_xxs, b, offsetof(struct pk_iq3_xxsb, q), q);
        break;
    default:
        steps_of_4(type, planes.iq3_s[0], 512, levels_s, b, offsetof(struct pk_iq3_sb, q), q);
    }
}

#endif
