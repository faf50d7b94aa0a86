/* kernels/x86/mm_bf16.h - prompts in bf16 (--numerics fast), for the units that multiply pairs of
 * bf16. Private to the two files that bring a tile: mm_bf16_avx512bf16.c, mm_bf16_amx.c.
 *
 * Outside the contract of bits: weights and activations are rounded to 8 significant bits and the
 * units sum in an order of their own. A product's relative error is at most 2^-8 (2^-9 from each
 * factor); quantized types are nearer to the true product than by A32, which has 7 bits beside the
 * block's largest.
 *
 * Weights of GROUPS row groups x PANEL_BLOCKS x 32 values are made f32 and rounded into a panel: a
 * KiB for each 32 values of k, line q of it = the pair (2q, 2q + 1) of all 16 rows: a zmm of
 * vdpbf16ps, and a whole tile of AMX. Columns are rounded once, in `quantize`, in groups of up to
 * 16: for each 32 values of k the group's columns stand one after the other, 64 bytes each, which
 * is AMX's other tile. Sums wait in y between panels.
 *
 * An includer defines TILE_GROUPS (row groups a tile has at most), TILE_COLS (columns at most) and,
 * after the include, calls BF16_KERNELS with its `bf16_tile`. */
#ifndef CHASKI_KERNELS_X86_MM_BF16_H
#define CHASKI_KERNELS_X86_MM_BF16_H

#include <stdbool.h>
#include <string.h>
#include "kernels/kernels.h"
#include "kernels/x86/steps_avx512.h"

enum {
    BF_MIN_COLS = 16,  /* fewer are the exact table's: they wait for memory */
    BF_COLS = 16,      /* of a group */
    BF_BLOCK = 1024,   /* bytes of a panel's block, and of a whole group's */
    PANEL_BLOCKS = 32, /* 1024 values of k: with COL_BLOCK columns a MiB, which L2 holds */
    COL_BLOCK = 512,
    GROUPS = TILE_GROUPS
};

struct bf16_scratch {
    uint8_t panel[GROUPS][PANEL_BLOCKS][BF_BLOCK];
    float edge[TILE_COLS][GROUPS * MAT_ROWS]; /* a tile that y has no room for */
};

/* Columns of a tile: one or two groups, block after block. */
struct bf16_cols {
    const uint8_t *p[TILE_COLS / BF_COLS];
    size_t step[TILE_COLS / BF_COLS]; /* bytes from block to block */
};

/* y[c * ldy + r] = (from ? y : 0) + the products of nb blocks, for n_cols columns (rounded up as
 * the tile likes: `y` has room for TILE_COLS) and n_groups row groups, whose panels lie
 * PANEL_BLOCKS apart. */
static void bf16_tile(const uint8_t *panel, int n_groups, const struct bf16_cols *a, int n_cols,
                      int nb, float *y, size_t ldy, bool from);

static struct kernels exact; /* what the table was before */

/* ---- columns ------------------------------------------------------------------------------ */

/* 16 f32 each, even and odd values of k, as 16 pairs. To nearest even; NaN stays one. */
AI __m512i bf16_pairs(__m512 even, __m512 odd)
{
#ifdef __AVX512BF16__
    static const uint16_t order[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                       21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                       11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512i v = (__m512i)_mm512_cvtne2ps_pbh(odd, even);
    return _mm512_permutexvar_epi16(ld(order), v);
#else
    __m512i v[2] = {_mm512_castps_si512(even), _mm512_castps_si512(odd)};
    for (int i = 0; i < 2; i++) {
        const __mmask16 nan = _mm512_cmp_ps_mask(i ? odd : even, i ? odd : even, _CMP_UNORD_Q);
        const __m512i last = _mm512_and_si512(_mm512_srli_epi32(v[i], 16), _mm512_set1_epi32(1));
        v[i] = _mm512_add_epi32(v[i], _mm512_add_epi32(last, _mm512_set1_epi32(0x7fff)));
        v[i] = _mm512_mask_mov_epi32(v[i], nan, _mm512_set1_epi32(0x7fc00000));
    }
    return _mm512_mask_mov_epi16(_mm512_srli_epi32(v[0], 16), 0xaaaaaaaau, v[1]);
#endif
}

/* 32 values in a row. */
AI void bf16_row(uint8_t *o, const float *x)
{
#ifdef __AVX512BF16__
    _mm512_storeu_si512(o,
                        (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + 16), _mm512_loadu_ps(x)));
#else
    const __m512i even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512 a = _mm512_loadu_ps(x), b = _mm512_loadu_ps(x + 16);
    _mm512_storeu_si512(
        o, bf16_pairs(_mm512_permutex2var_ps(a, even, b),
                      _mm512_permutex2var_ps(a, _mm512_add_epi32(even, _mm512_set1_epi32(1)), b)));
#endif
}

static size_t bf16_at(int n, int k) /* bytes before the rounded columns */
{
    return (exact.acts_bytes(n, k) + 63) & ~(size_t)63;
}

/* A tile may read 16 columns where the last group has fewer: hence the block behind it. */
static size_t bf16_acts_bytes(int n, int k)
{
    return bf16_at(n, k) + (size_t)n * (((size_t)k + 31) / 32) * 64 + BF_BLOCK;
}

static void bf16_quantize(const struct acts *a, int c0, int c1)
{
    exact.quantize(a, c0, c1);
    if (a->n < BF_MIN_COLS || a->k % 32)
        return;
    const int nb = a->k / 32;
    uint8_t *all = a->a32 + bf16_at(a->n, a->k);
    for (int c = c0; c < c1; c++) {
        const int first = c / BF_COLS * BF_COLS, width = a->n - first;
        const size_t step = (size_t)(width < BF_COLS ? width : BF_COLS) * 64;
        uint8_t *o = all + (size_t)first * (size_t)nb * 64 + (size_t)(c - first) * 64;
        const float *x = a->x + (size_t)c * a->ldx;
        for (int b = 0; b < nb; b++)
            bf16_row(o + (size_t)b * step, x + 32 * b);
    }
}

/* ---- panels ------------------------------------------------------------------------------- */

AI bool bf16_super(const int type)
{
    return (type >= TYPE_Q2_K && type <= TYPE_Q6_K) || type == TYPE_IQ4_XS;
}

AI int bf16_zero(const int type) /* what a code of step() lies above its value */
{
    return type == TYPE_Q4_0                                                 ? 8
           : type == TYPE_Q5_0 || type == TYPE_MXFP4                         ? 16
           : type == TYPE_Q3_K                                               ? 4
           : type == TYPE_Q6_K                                               ? 32
           : type == TYPE_Q8_0 || type == TYPE_IQ4_NL || type == TYPE_IQ4_XS ? 128
                                                                             : 0;
}

/* 32 values of 16 rows: codes times scale[half] plus offset[half]. */
AI void bf16_block(const int type, uint8_t *o, const uint8_t *b, const __m512 *scale,
                   const __m512 *offset)
{
    const __m512i byte = _mm512_set1_epi32(255);
#pragma GCC unroll 8
    for (int g = 0; g < 8; g++) {
        const __m512i c = step(type, b, g);
        const __m512 s = scale[g / 4], f = offset[g / 4];
#pragma GCC unroll 2
        for (int p = 0; p < 2; p++) {
            const __m512i even = _mm512_and_si512(p ? _mm512_srli_epi32(c, 16) : c, byte);
            const __m512i odd =
                p ? _mm512_srli_epi32(c, 24) : _mm512_and_si512(_mm512_srli_epi32(c, 8), byte);
            _mm512_store_si512(o + 128 * g + 64 * p,
                               bf16_pairs(_mm512_fmadd_ps(_mm512_cvtepi32_ps(even), s, f),
                                          _mm512_fmadd_ps(_mm512_cvtepi32_ps(odd), s, f)));
        }
    }
}

AI __m512 bf16_bytes(const uint8_t *p, bool is_signed)
{
    const __m128i v = _mm_loadu_si128((const void *)p);
    return _mm512_cvtepi32_ps(is_signed ? _mm512_cvtepi8_epi32(v) : _mm512_cvtepu8_epi32(v));
}

AI __m512 bf16_nibbles(const uint8_t *p, int at)
{
    const __m128i v = _mm_loadu_si128((const void *)p);
    return _mm512_cvtepi32_ps(
        _mm512_cvtepu8_epi32(_mm_and_si128(at ? _mm_srli_epi16(v, 4) : v, _mm_set1_epi8(15))));
}

/* Scale and offset of both halves of block `b` of a super-block with d, dmin. */
AI void bf16_sub_scales(const int type, const uint8_t *b, __m512 d, __m512 dmin, __m512 *s,
                        __m512 *f)
{
    const __m512 zero = _mm512_set1_ps((float)-bf16_zero(type));
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
        switch (type) {
        case TYPE_Q2_K:
            s[h] = _mm512_mul_ps(d, bf16_nibbles(b + 16 * h, 0));
            f[h] = _mm512_fnmadd_ps(dmin, bf16_nibbles(b + 16 * h, 4), _mm512_setzero_ps());
            continue;
        case TYPE_Q3_K:
        case TYPE_Q6_K:
            s[h] = _mm512_mul_ps(d, bf16_bytes(b + 16 * h, true));
            break;
        default:
            s[h] = _mm512_mul_ps(d, bf16_bytes(b, true));
        }
        f[h] = type == TYPE_Q4_K || type == TYPE_Q5_K
                   ? _mm512_fnmadd_ps(dmin, bf16_bytes(b + 16, false), _mm512_setzero_ps())
                   : _mm512_mul_ps(zero, s[h]);
    }
}

/* nb blocks of a row group; `b` at their first, for super-blocks at the first of a super-block. */
AI void bf16_unpack(const int type, const size_t header, const size_t bytes, uint8_t *o,
                    const uint8_t *b, int nb)
{
    __m512 s[2], f[2], d = _mm512_setzero_ps(), dmin = d;
    for (int i = 0; i < nb; i++, b += bytes, o += BF_BLOCK) {
        if (bf16_super(type)) {
            if (i % 8 == 0) {
                d = scale16(b);
                dmin = header > 32 ? scale16(b + 32) : d;
                b += header;
            }
            bf16_sub_scales(type, b, d, dmin, s, f);
        } else {
            s[0] = s[1] = type == TYPE_MXFP4 ? scale16_e8m0(b) : scale16(b);
            f[0] = f[1] = type == TYPE_Q4_1 || type == TYPE_Q5_1
                              ? scale16(b + 32)
                              : _mm512_mul_ps(s[0], _mm512_set1_ps((float)-bf16_zero(type)));
        }
        bf16_block(type, o, b, s, f);
    }
}

AI void bf16_unpack_floats(const int type, uint8_t *o, const uint8_t *b, int nb)
{
    for (int q = 0; q < 16 * nb; q++, o += 64) {
        if (type == TYPE_F32) {
            const float *w = (const float *)(const void *)b + 32 * q;
            _mm512_store_si512(o, bf16_pairs(_mm512_loadu_ps(w), _mm512_loadu_ps(w + 16)));
        } else if (type == TYPE_F16) {
            _mm512_store_si512(o, bf16_pairs(scale16(b + 64 * q), scale16(b + 64 * q + 32)));
        } else {
            const __m512i even =
                _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)(b + 64 * q)));
            const __m512i odd =
                _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)(b + 64 * q + 32)));
            _mm512_store_si512(o, _mm512_or_si512(even, _mm512_slli_epi32(odd, 16)));
        }
    }
}

/* ---- products ----------------------------------------------------------------------------- */

typedef void bf16_unpack_fn(uint8_t *o, const uint8_t *b, int nb);

/* A tile of columns c.. and groups g..; where y ends before it does, by way of `edge`. */
static void bf16_to_y(struct bf16_scratch *m, const struct mat *w, int32_t g, int n_groups,
                      const struct bf16_cols *a, int n_cols, int nb, float *y, size_t ldy,
                      bool from)
{
    const int32_t left = w->n_rows - g * MAT_ROWS, want = n_groups * MAT_ROWS;
    if (n_cols % BF_COLS == 0 && left >= want) {
        bf16_tile(m->panel[0][0], n_groups, a, n_cols, nb, y, ldy, from);
        return;
    }
    const size_t bytes = (size_t)(left < want ? left : want) * sizeof *y;
    for (int c = 0; from && c < n_cols; c++)
        memcpy(m->edge[c], y + (size_t)c * ldy, bytes);
    bf16_tile(m->panel[0][0], n_groups, a, n_cols, nb, m->edge[0], GROUPS * MAT_ROWS, from);
    for (int c = 0; c < n_cols; c++)
        memcpy(y + (size_t)c * ldy, m->edge[c], bytes);
}

static void bf16_mul_mat(bf16_unpack_fn *unpack, size_t panel_bytes, const struct mat *w,
                         const struct acts *a, float *y, size_t ldy, bool add, int32_t g0,
                         int32_t g1, void *scratch)
{
    struct bf16_scratch *m = scratch;
    const int nb = w->n_cols / 32;
    const uint8_t *all = a->a32 + bf16_at(a->n, a->k);
    for (int c0 = 0; c0 < a->n; c0 += COL_BLOCK) {
        const int c1 = a->n - c0 < COL_BLOCK ? a->n : c0 + COL_BLOCK;
        for (int32_t g = g0; g < g1; g += GROUPS) {
            const int n_groups = g1 - g < GROUPS ? (int)(g1 - g) : GROUPS;
            for (int b = 0; b < nb; b += PANEL_BLOCKS) {
                const int pb = nb - b < PANEL_BLOCKS ? nb - b : PANEL_BLOCKS;
                for (int i = 0; i < n_groups; i++)
                    unpack(m->panel[i][0],
                           w->data + (size_t)(g + i) * w->group_bytes +
                               (size_t)(b / PANEL_BLOCKS) * panel_bytes,
                           pb);
                for (int c = c0; c < c1; c += TILE_COLS) {
                    struct bf16_cols cols = {0};
                    const int n = c1 - c < TILE_COLS ? c1 - c : TILE_COLS;
                    for (int i = 0; i * BF_COLS < n; i++) {
                        const int first = c + i * BF_COLS, width = a->n - first;
                        cols.step[i] = (size_t)(width < BF_COLS ? width : BF_COLS) * 64;
                        cols.p[i] =
                            all + (size_t)first * (size_t)nb * 64 + (size_t)b * cols.step[i];
                    }
                    bf16_to_y(m, w, g, n_groups, &cols, n, pb,
                              y + (size_t)c * ldy + (size_t)g * MAT_ROWS, ldy, add || b > 0);
                }
            }
        }
    }
}

static bool bf16_wants(const struct mat *w, const struct acts *a)
{
    return a->n >= BF_MIN_COLS && a->a32 && w->n_cols % 32 == 0;
}

#define BF16_TYPE(T, UNPACK, PANEL_BYTES)                                                          \
    static void bf16_unpack_##T(uint8_t *o, const uint8_t *b, int nb)                              \
    {                                                                                              \
        UNPACK;                                                                                    \
    }                                                                                              \
    static void bf16_mul_mat_##T(const struct mat *w, const struct acts *a, float *y, size_t ldy,  \
                                 bool add, int32_t g0, int32_t g1, void *scratch)                  \
    {                                                                                              \
        if (!bf16_wants(w, a)) {                                                                   \
            exact.mul_mat[TYPE_##T](w, a, y, ldy, add, g0, g1, scratch);                           \
            return;                                                                                \
        }                                                                                          \
        TILES_ON();                                                                                \
        bf16_mul_mat(bf16_unpack_##T, PANEL_BYTES, w, a, y, ldy, add, g0, g1, scratch);            \
        TILES_OFF();                                                                               \
    }
#define BF16_FLOATS(T, SIZE)                                                                       \
    BF16_TYPE(T, bf16_unpack_floats(TYPE_##T, o, b, nb), (size_t)PANEL_BLOCKS * 32 * 16 * (SIZE))
#define BF16_BLOCKS(T, P)                                                                          \
    BF16_TYPE(T, bf16_unpack(TYPE_##T, 0, sizeof(struct P), o, b, nb),                             \
              PANEL_BLOCKS * sizeof(struct P))
#define BF16_SUPERS(T, P)                                                                          \
    BF16_TYPE(T, bf16_unpack(TYPE_##T, offsetof(struct P, b), sizeof(struct P##b), o, b, nb),      \
              PANEL_BLOCKS / 8 * sizeof(struct P))

/* Every table that is made so is told apart by its name; `exact` is the first one's. */
static void bf16_lay_over(struct kernels *k)
{
    exact = *k;
    k->numerics = "fast";
    k->acts_of_floats = true;
    k->acts_bytes = bf16_acts_bytes;
    k->quantize = bf16_quantize;
    if (k->mm_scratch_bytes < sizeof(struct bf16_scratch))
        k->mm_scratch_bytes = sizeof(struct bf16_scratch);
}

#endif
