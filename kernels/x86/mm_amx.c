/* kernels/x86/mm_amx.c - Q4_0 to Q8_0, Q2_K to Q6_K, IQ4_NL, IQ4_XS, MXFP4 times 16 columns and
 * more, AMX int8 + AVX-512.
 *
 * Contract: kernels/ref/matmul.c, as in mm_blocks_avx512vnni.c and mm_supers_avx512vnni.c: only the
 * exact integer of a block comes from elsewhere. Fewer columns stay with the base table's kernels.
 *
 * tdpbssd multiplies a tile of columns by a tile of weights: 12 columns (the A32 group) x 32 codes,
 * one column a row, times 8 steps x 16 rows x 4 codes, which is a panel's block as it stands. The
 * result has one column a row and the 16 weight rows side by side, so a lane is a row again. Codes
 * lose their zero point while they are unpacked, so sums need no start value. Types with scales by
 * halves multiply 16 codes at a time into two tiles.
 *
 * A tile's work is one tdpbssd and then, for each column, a conversion, a multiply and an FMA on
 * zmm: those are the limit, so two results alternate, to let the tile unit run ahead of them.
 * Blocks of two groups of rows or columns at once would only save tile loads and put the float sums
 * in memory. (Counted, not measured: written on a machine without AMX, tested through an emulation
 * of the tile instructions, tests/amx_emulated.h.) */
#include <string.h>
#include "kernels/x86/lanes_avx512.h"
#include "kernels/x86/tables_x86.h"

#define VNNI 0
#define COLUMNS 12
#include "kernels/x86/mm_types.h"

enum { FEW = 16 /* columns from which on tiles are used */ };

/* A column record of a block as the tiles want it: codes of one column side by side, column c in
 * row row_of(c) (what a transposition by 4 gives), then the other fields. In dwords: */
enum {
    T_CODES = 8 * C_MAX,
    T_D = T_CODES,
    T_DSUM = T_D + C_MAX,
    T_H0 = T_DSUM + C_MAX,
    T_H1 = T_H0 + C_MAX,
    T_FIELDS = T_H1 + C_MAX
};
_Static_assert(WIDE_BLOCKS *T_FIELDS <= WIDE_BLOCKS * WIDE_FIELDS * MM_COLS_MAX, "mm_scratch.wide");
_Static_assert(T_FIELDS % 16 == 0, "records keep their place in cache lines");

AI int row_of(int c)
{
    return 3 * (c & 3) + (c >> 2);
}

AI void transpose12(int32_t *o, const int32_t *a)
{
    __m512i r[8], q[8];
#pragma GCC unroll 8
    for (int g = 0; g < 8; g++) /* 4 dwords too many: they belong to the next field */
        r[g] = ld(a + 12 * g);
#pragma GCC unroll 2
    for (int h = 0; h < 8; h += 4) {
        const __m512i lo0 = _mm512_unpacklo_epi32(r[h], r[h + 1]),
                      lo1 = _mm512_unpacklo_epi32(r[h + 2], r[h + 3]),
                      hi0 = _mm512_unpackhi_epi32(r[h], r[h + 1]),
                      hi1 = _mm512_unpackhi_epi32(r[h + 2], r[h + 3]);
        q[h] = _mm512_unpacklo_epi64(lo0, lo1); /* 128-bit lane l: column 4l + 0, 4 steps */
        q[h + 1] = _mm512_unpackhi_epi64(lo0, lo1);
        q[h + 2] = _mm512_unpacklo_epi64(hi0, hi1);
        q[h + 3] = _mm512_unpackhi_epi64(hi0, hi1);
    }
    const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11),
                  third = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) { /* columns j, j + 4, j + 8 */
        const __m512i v = _mm512_permutex2var_epi64(q[j], third, q[4 + j]);
        _mm512_storeu_si512(o + 24 * j, _mm512_permutex2var_epi64(q[j], first, q[4 + j]));
        _mm256_storeu_si256((void *)(o + 24 * j + 16), _mm512_castsi512_si256(v));
    }
}

/* Rows of columns that are not there keep what they held: nobody reads their sums. */
static void to_tiles(int32_t *o, const int32_t *a, int width, int nb)
{
    static const struct {
        int from, to;
    } fields[] = {{A32_D, T_D}, {A32_DSUM, T_DSUM}, {A32_H0, T_H0}, {A32_H1, T_H1}};

    for (int i = 0; i < nb; i++, a += A32_FIELDS * width, o += T_FIELDS) {
        if (width == C_MAX)
            transpose12(o, a);
        else
            for (int c = 0; c < width; c++)
                for (int g = 0; g < 8; g++)
                    o[8 * row_of(c) + g] = a[(A32_CODES + g) * width + c];
        for (int f = 0; f < 4; f++)
            memcpy(o + fields[f].to, a + fields[f].from * width, (size_t)width * sizeof *o);
    }
}

AI bool is_super(int type)
{
    return (type >= TYPE_Q2_K && type <= TYPE_Q6_K) || type == TYPE_IQ4_XS;
}

/* ---- panels --------------------------------------------------------------------------------- */

AI __m512 scales(int type, const uint8_t *b, int half)
{
    return i_f32(i_from8(scale_bytes(type, b, half, 0)));
}

AI void unpack(int type, const int n, size_t header, size_t bytes, struct panel *p,
               const uint8_t *b, int nu)
{
    for (int u = 0; u < nu; u++) {
        if (is_super(type)) {
            _mm512_store_ps(p->d[u], scale16(b));
            if (has_min(type))
                _mm512_store_ps(p->dmin[u], scale16(b + 32));
            b += header;
        }
        for (int j = 0; j < n; j++, b += bytes) {
            struct pan *o = &p->b[n * u + j];
            const __m512i zero = _mm512_set1_epi8((char)zero_point(type));
#pragma GCC unroll 8
            for (int g = 0; g < 8; g++)
                _mm512_store_si512(o->q[g], _mm512_sub_epi8(step(type, b, g), zero));
            if (!is_super(type)) {
                _mm512_store_ps(o->s0, type == TYPE_MXFP4 ? scale16_e8m0(b) : scale16(b));
                if (has_min(type))
                    _mm512_store_ps(o->s1, scale16(b + 32));
                continue;
            }
            _mm512_store_ps(o->s0, scales(type, b, 0));
            if (halves(type) == 2)
                _mm512_store_ps(o->s1, scales(type, b, 1));
            for (int half = 0; has_min(type) && half < halves(type); half++)
                _mm512_store_ps(p->mn[8 * u + j][half], mins(type, b, half, 0));
        }
    }
}

/* ---- tiles ---------------------------------------------------------------------------------- */

/* Sums of a block (or a half), [row_of(column)][row]; two of them, used in turn. */
struct sums {
    _Alignas(64) int32_t v[2][C_MAX][16];
};

/* Tile registers 0, 1: sums; 2, 3: columns; 4, 5: weights. */
static const struct config {
    uint8_t palette, start_row, zero[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} config_block = {1, 0, {0}, {64, 64, 32, 32, 64, 64}, {C_MAX, C_MAX, C_MAX, C_MAX, 8, 8}},
  config_halves = {1, 0, {0}, {64, 64, 16, 16, 64, 64}, {C_MAX, C_MAX, C_MAX, C_MAX, 4, 4}};
_Static_assert(sizeof(struct config) == 64, "what ldtilecfg reads");

/* The compiler sees neither that a load reads the panel and the record (they were written behind a
 * call through a pointer), nor may it move reads of the sums before the store ("memory"). */
#define DOT(S, A, B, q, a, to)                                                                     \
    do {                                                                                           \
        _tile_zero(S);                                                                             \
        _tile_loadd(A, a, 32);                                                                     \
        _tile_loadd(B, q, 64);                                                                     \
        _tile_dpbssd(S, A, B);                                                                     \
        _tile_stored(S, to, 64);                                                                   \
    } while (0)

AI void dot(const int type, int i, const struct pan *b, const int32_t *a, struct sums *s)
{
    if (halves(type) == 2) {
        DOT(0, 2, 4, b->q[0], a, s->v[0]);
        DOT(1, 3, 5, b->q[4], a + 4, s->v[1]);
    } else if (i & 1) {
        DOT(1, 3, 5, b->q[0], a, s->v[1]);
    } else {
        DOT(0, 2, 4, b->q[0], a, s->v[0]);
    }
}

AI __m512 sum_f(const struct sums *s, int i, int c)
{
    return _mm512_cvtepi32_ps(_mm512_load_si512(s->v[i][row_of(c)]));
}

AI __m512 at(const int32_t *a, int f, int c)
{
    return field_f(a, f, 1, c);
}

AI void tile_blocks(const int type, const int C, const struct panel *p, int nb, const int32_t *a,
                    float (*out)[16])
{
    struct sums s;
    __m512 acc[C_MAX];
#pragma GCC unroll 12
    for (int c = 0; c < C; c++)
        acc[c] = _mm512_load_ps(out[c]);
    dot(type, 0, &p->b[0], a, &s);
    for (int i = 0; i < nb; i++, a += T_FIELDS) {
        const struct pan *b = &p->b[i];
        if (i + 1 < nb)
            dot(type, i + 1, b + 1, a + T_FIELDS, &s);
        const __m512 d = _mm512_load_ps(b->s0);
#pragma GCC unroll 12
        for (int c = 0; c < C; c++) {
            const __m512 dd = _mm512_mul_ps(d, at(a, T_D, c));
            acc[c] = _mm512_fmadd_ps(dd, sum_f(&s, i & 1, c), acc[c]);
            if (has_min(type))
                acc[c] = _mm512_fmadd_ps(_mm512_load_ps(b->s1), at(a, T_DSUM, c), acc[c]);
        }
    }
#pragma GCC unroll 12
    for (int c = 0; c < C; c++)
        _mm512_store_ps(out[c], acc[c]);
}

/* What a minimum multiplies: d_a * asum (Q2_K: asum of the half; H0, H1 hold -32 times it). */
AI __m512 min_factor(const int type, const int32_t *a, int half, int c)
{
    if (type != TYPE_Q2_K)
        return at(a, T_DSUM, c);
    const int32_t asum = a[(half ? T_H1 : T_H0) + c] / -32;
    return _mm512_mul_ps(at(a, T_D, c), _mm512_set1_ps((float)asum));
}

AI void tile_supers(const int type, const int C, const struct panel *p, int nb, const int32_t *a,
                    float (*acc)[16])
{
    struct sums s;

    for (int u = 0; u < nb / 8; u++, a += 8 * T_FIELDS) {
        __m512 f[C_MAX];
#pragma GCC unroll 12
        for (int c = 0; c < C; c++)
            f[c] = _mm512_setzero_ps();
        if (halves(type) == 1)
            dot(type, 0, &p->b[8 * u], a, &s);
        for (int j = 0; j < 8; j++) {
            const struct pan *b = &p->b[8 * u + j];
            const int32_t *aj = a + j * T_FIELDS;
            if (halves(type) == 2)
                dot(type, j, b, aj, &s);
            else if (j < 7)
                dot(type, j + 1, b + 1, aj + T_FIELDS, &s);
            const __m512 s0 = _mm512_load_ps(b->s0), s1 = _mm512_load_ps(b->s1);
#pragma GCC unroll 12
            for (int c = 0; c < C; c++) {
                __m512 v = _mm512_mul_ps(sum_f(&s, halves(type) == 2 ? 0 : j & 1, c), s0);
                if (halves(type) == 2)
                    v = _mm512_fmadd_ps(sum_f(&s, 1, c), s1, v);
                f[c] = _mm512_fmadd_ps(at(aj, T_D, c), v, f[c]);
            }
        }
        const __m512 d = _mm512_load_ps(p->d[u]);
#pragma GCC unroll 12
        for (int c = 0; c < C; c++) {
            f[c] = _mm512_fmadd_ps(d, f[c], _mm512_load_ps(acc[c]));
            if (!has_min(type))
                _mm512_store_ps(acc[c], f[c]);
        }
        if (!has_min(type))
            continue;
        __m512 t[C_MAX];
#pragma GCC unroll 12
        for (int c = 0; c < C; c++)
            t[c] = _mm512_setzero_ps();
        for (int j = 0; j < 8; j++) {
            for (int half = 0; half < halves(type); half++) {
                const __m512 mn = _mm512_load_ps(p->mn[8 * u + j][half]);
#pragma GCC unroll 12
                for (int c = 0; c < C; c++)
                    t[c] = _mm512_fmadd_ps(mn, min_factor(type, a + j * T_FIELDS, half, c), t[c]);
            }
        }
        const __m512 dmin = _mm512_load_ps(p->dmin[u]);
#pragma GCC unroll 12
        for (int c = 0; c < C; c++)
            _mm512_store_ps(acc[c], _mm512_fnmadd_ps(dmin, t[c], f[c]));
    }
}

/* ---- one set of functions a type ------------------------------------------------------------- */

typedef void mul_mat_fn(const struct mat *w, const struct acts *a, float *y, size_t ldy, bool add,
                        int32_t g0, int32_t g1, void *scratch);
static mul_mat_fn *few[TYPE_COUNT]; /* the base table's */

static void mul_mat(const struct mm_type *t, const struct config *c, const struct mat *w,
                    const struct acts *a, float *y, size_t ldy, bool add, int32_t g0, int32_t g1,
                    void *scratch)
{
    if (a->n < FEW) {
        few[w->type](w, a, y, ldy, add, g0, g1, scratch);
        return;
    }
    _tile_loadconfig(c);
    x86_mm(t, C_MAX, w, a, y, ldy, add, g0, g1, scratch);
    _tile_release(); /* idle tiles cost every switch of threads, and the core its sleep */
}

AI void tile(int type, const int C, const struct panel *p, int nb, const int32_t *a,
             float (*acc)[16], float (*s)[16])
{
    (void)s;
    if (is_super(type))
        tile_supers(type, C, p, nb, a, acc);
    else
        tile_blocks(type, C, p, nb, a, acc);
}

/* mm_make.h: no function for few columns (FEW is more than a tile's). */
#define MAKE_tiles(T, ...)
#define AT_TILES_tiles(T)
#define AT_GEMVS_tiles(T) NULL
#define WIDEN(type) to_tiles
#define MUL_MAT(T)                                                                                 \
    mul_mat(&mm_##T, halves(TYPE_##T) == 2 ? &config_halves : &config_block, w, a, y, ldy, add,    \
            g0, g1, scratch)
#define ONE(X, T, P) X(T, tiles, 1, 0, sizeof(struct pk_##P))
#define SUPER(X, T, P) X(T, tiles, 8, offsetof(struct pk_##P, b), sizeof(struct pk_##P##b))
#define TYPES(X)                                                                                   \
    ONE(X, Q4_0, q4_0)                                                                             \
    ONE(X, Q4_1, q4_1)                                                                             \
    ONE(X, Q5_0, q5_0)                                                                             \
    ONE(X, Q5_1, q5_1)                                                                             \
    ONE(X, Q8_0, q8_0)                                                                             \
    ONE(X, IQ4_NL, iq4_nl)                                                                         \
    ONE(X, MXFP4, mxfp4)                                                                           \
    SUPER(X, Q2_K, q2_K)                                                                           \
    SUPER(X, Q3_K, q3_K)                                                                           \
    SUPER(X, Q4_K, q4_K)                                                                           \
    SUPER(X, Q5_K, q5_K)                                                                           \
    SUPER(X, Q6_K, q6_K)                                                                           \
    SUPER(X, IQ4_XS, iq4_xs)
#include "kernels/x86/mm_make.h"

void x86_tiles_amx(struct kernels *k)
{
    memcpy(few, k->mul_mat, sizeof few);
    set_types(k);
}
