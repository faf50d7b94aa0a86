/* kernels/ref/matmul.c - the products, defined: y = W a for packed W.
 *
 * Each output (row, column) has one f32 accumulator; blocks of 32 in ascending order; one fma a
 * block (and one for the minimum). Inside a block everything is an exact integer below 2^24, so
 * int -> float is exact and an ISA may add and scale the integers in any order, in int32 or f32:
 *
 *   type         integer that meets a float                  bound
 *   Q4_0, Q4_1   sum of 32 code * a                          32 * 15 * 127       =     60 960
 *   Q5_0, Q5_1   the same                                    32 * 31 * 127       =    125 984
 *   Q8_0         the same, codes may be -128                 32 * 128 * 127      =    520 192
 *   Q2_K         sum over halves of scale * sum              2 * 15 * 16*3*127   =    182 880
 *   Q3_K         the same, scale -32..31, code -4..3         2 * 32 * 16*4*127   =    520 192
 *   Q4_K         scale * sum                                 63 * 60 960         =  3 840 480
 *   Q5_K         scale * sum                                 63 * 125 984        =  7 936 992
 *   Q6_K         sum over halves, scale -128, code -32       2 * 128 * 16*32*127 = 16 646 144
 *   IQ2_*        sum over halves, scale 31, code 43          2 * 31 * 16*43*127  =  5 417 312
 *   IQ3_XXS      the same, code 62                           2 * 31 * 16*62*127  =  7 811 008
 *   IQ3_S        the same, code 15                           2 * 31 * 16*15*127  =  1 889 760
 *   IQ1_S, IQ1_M the same, scale 15, code 9 (8 * book +- 1)  2 * 15 * 16*9*127   =    548 640
 *   IQ4_NL       sum of 32, codes -127..113                  32 * 127 * 127      =    516 128
 *   IQ4_XS       scale * sum, scale -32..31                  32 * 516 128        = 16 516 096
 *   MXFP4        sum of 32, codes -12..12 (doubled E2M1)     32 * 12 * 127       =     48 768
 *   NVFP4        sum of 16 (a half)                          16 * 12 * 127       =     24 384
 *   Q1_0, TQ1_0  sum of 32, codes -1..1                      32 * 127            =      4 064
 *   Q2_0, TQ2_0  sum of 32, codes -1..2                      32 * 2 * 127        =      8 128
 *   minima       sum of 32 a                                 32 * 127            =      4 064
 *
 * Types with a code book (kernels/ref/books.h) are like K types without minima: integer scales
 * 2n + 1, d * 2^-e (exact) in the place of d. They round in the fma of each block into the partial
 * sum, and in the one of the super-block.
 *
 * Where they round: IQ4_NL, Q1_0, Q2_0, TQ1_0, TQ2_0 as Q4_0, in the one fma of a block (d_w is
 * the f16 of 32, 128, 64 or 256 values). MXFP4 the same: d_w is a power of two, d_w * d_a is exact
 * while it stays a normal number. NVFP4: one fma for each half, the lower first; d_w has 4 bits.
 * IQ4_XS as Q6_K: one fma into the partial sum of its super-block, one more a super-block.
 *
 * 2^24 = 16 777 216. d_w * d_a (11 + 12 bits) and d_a * asum (12 + 12) are exact f32 products. */
#include <math.h>
#include <stddef.h>
#include "kernels/ref/acts.h"
#include "kernels/ref/ref.h"
#include "kernels/ref/unpack.h"

enum { TILE = 8 }; /* columns that share an unpacked block */

/* Integer sums of the two halves of a block with the codes of one column, 16 rows. */
static void dot_halves(const struct ref_block *blk, const int8_t *a, int32_t sum[2][16])
{
    memset(sum, 0, 2 * 16 * sizeof(int32_t));
    for (int k = 0; k < 32; k++)
        for (int r = 0; r < 16; r++)
            sum[k / 16][r] += blk->w[k][r] * a[k];
}

static int sum16(const int8_t *a)
{
    int s = 0;
    for (int i = 0; i < 16; i++)
        s += a[i];
    return s;
}

/* All but K types; with `mins` Q4_1, Q5_1. */
static void block_plain(const struct ref_block *blk, const struct ref_a32 *a, uint32_t type,
                        bool mins, float *acc)
{
    int32_t sum[2][16];
    dot_halves(blk, a->q, sum);
    float da_asum = a->d * (float)(sum16(a->q) + sum16(a->q + 16));
    for (int r = 0; r < 16; r++) {
        if (type == TYPE_NVFP4) {
            acc[r] = fmaf(blk->f[0][r] * a->d, (float)sum[0][r], acc[r]);
            acc[r] = fmaf(blk->f[1][r] * a->d, (float)sum[1][r], acc[r]);
            continue;
        }
        float dd = (type == TYPE_MXFP4 ? blk->f[0][r] : f16_to_f32(blk->d[r])) * a->d;
        acc[r] = fmaf(dd, (float)(sum[0][r] + sum[1][r]), acc[r]);
        if (mins)
            acc[r] = fmaf(f16_to_f32(blk->m[r]), da_asum, acc[r]);
    }
}

/* Block j of a super-block of a K type: into the partial sums s (and t, with minima). */
static void block_k(const struct ref_block *blk, const struct ref_a32 *a, uint32_t type, float *s,
                    float *t)
{
    int32_t sum[2][16];
    dot_halves(blk, a->q, sum);
    float asum[2] = {(float)sum16(a->q), (float)sum16(a->q + 16)};
    for (int r = 0; r < 16; r++) {
        int32_t isum = blk->sc[0][r] * sum[0][r] + blk->sc[1][r] * sum[1][r];
        s[r] = fmaf(a->d, (float)isum, s[r]);
        if (type == TYPE_Q2_K) {
            t[r] = fmaf((float)blk->mn[0][r], a->d * asum[0], t[r]);
            t[r] = fmaf((float)blk->mn[1][r], a->d * asum[1], t[r]);
        } else if (type == TYPE_Q4_K || type == TYPE_Q5_K) {
            t[r] = fmaf((float)blk->mn[0][r], a->d * (asum[0] + asum[1]), t[r]);
        }
    }
}

static void store(const struct mat *w, int32_t g, const float *acc, float *y, bool add)
{
    int32_t row = g * MAT_ROWS, n = w->n_rows - row < MAT_ROWS ? w->n_rows - row : MAT_ROWS;
    for (int32_t r = 0; r < n; r++)
        y[row + r] = add ? y[row + r] + acc[r] : acc[r];
}

void ref_mul_quant(const struct mat *w, const struct acts *a, float *y, size_t ldy, bool add,
                   int32_t g0, int32_t g1, size_t stride, size_t codes)
{
    const int n_blocks = w->n_cols / 32;
    const bool k_type = (w->type >= TYPE_Q2_K && w->type <= TYPE_Q6_K) ||
                        w->type == TYPE_IQ4_XS || book_type(w->type);
    const float unit = book_type(w->type) ? book_unit(w->type) : 1.0f;
    const bool mins = w->type == TYPE_Q4_1 || w->type == TYPE_Q5_1;
    struct ref_block blk;
    for (int32_t g = g0; g < g1; g++) {
        const uint8_t *group = w->data + (size_t)g * w->group_bytes;
        for (int c0 = 0; c0 < a->n; c0 += TILE) {
            int n = a->n - c0 < TILE ? a->n - c0 : TILE;
            float acc[TILE][16] = {{0}}, s[TILE][16], t[TILE][16];
            for (int b = 0; b < n_blocks; b++) {
                ref_unpack(w->type, group, b, 0, 16, &blk);
                if (b % 8 == 0) {
                    memset(s, 0, sizeof s);
                    memset(t, 0, sizeof t);
                }
                for (int c = 0; c < n; c++) {
                    const uint8_t *at = a->a32 + ((size_t)(c0 + c) * n_blocks + b) * stride;
                    struct ref_a32 col;
                    memcpy(&col.d, at, sizeof col.d);
                    memcpy(col.q, at + codes, sizeof col.q);
                    if (k_type)
                        block_k(&blk, &col, w->type, s[c], t[c]);
                    else
                        block_plain(&blk, &col, w->type, mins, acc[c]);
                }
                if (!k_type || b % 8 != 7)
                    continue;
                for (int c = 0; c < n; c++) {
                    for (int r = 0; r < 16; r++) {
                        acc[c][r] = fmaf(f16_to_f32(blk.d[r]) * unit, s[c][r], acc[c][r]);
                        if (blk.m)
                            acc[c][r] = fmaf(-f16_to_f32(blk.m[r]), t[c][r], acc[c][r]);
                    }
                }
            }
            for (int c = 0; c < n; c++)
                store(w, g, acc[c], y + (size_t)(c0 + c) * ldy, add);
        }
    }
}

static void mul_quant(const struct mat *w, const struct acts *a, float *y, size_t ldy, bool add,
                      int32_t g0, int32_t g1, void *scratch)
{
    (void)scratch;
    ref_mul_quant(w, a, y, ldy, add, g0, g1, sizeof(struct ref_a32), offsetof(struct ref_a32, q));
}

/* F32, F16, BF16: acc = fma(w, x, acc) in ascending k. */
static void mul_float(const struct mat *w, const struct acts *a, float *y, size_t ldy, bool add,
                      int32_t g0, int32_t g1, void *scratch)
{
    (void)scratch;
    for (int32_t g = g0; g < g1; g++) {
        const uint8_t *group = w->data + (size_t)g * w->group_bytes;
        for (int c0 = 0; c0 < a->n; c0 += TILE) {
            int n = a->n - c0 < TILE ? a->n - c0 : TILE;
            float acc[TILE][16] = {{0}}, row[16];
            for (int k = 0; k < w->n_cols; k++) {
                for (int r = 0; r < 16; r++) {
                    if (w->type == TYPE_F32)
                        row[r] = ((const float *)group)[(size_t)k * 16 + r];
                    else if (w->type == TYPE_F16)
                        row[r] = f16_to_f32(((const uint16_t *)group)[(size_t)k * 16 + r]);
                    else
                        row[r] = ref_float(
                            (uint32_t)((const uint16_t *)group)[(size_t)k * 16 + r] << 16);
                }
                for (int c = 0; c < n; c++) {
                    float x = a->x[(size_t)(c0 + c) * a->ldx + k];
                    for (int r = 0; r < 16; r++)
                        acc[c][r] = fmaf(row[r], x, acc[c][r]);
                }
            }
            for (int c = 0; c < n; c++)
                store(w, g, acc[c], y + (size_t)(c0 + c) * ldy, add);
        }
    }
}

void ref_init_matmul(struct kernels *k)
{
    k->mul_mat[TYPE_F32] = k->mul_mat[TYPE_F16] = k->mul_mat[TYPE_BF16] = mul_float;
    k->mul_mat[TYPE_Q4_0] = k->mul_mat[TYPE_Q4_1] = k->mul_mat[TYPE_Q5_0] = mul_quant;
    k->mul_mat[TYPE_Q5_1] = k->mul_mat[TYPE_Q8_0] = mul_quant;
    for (int t = TYPE_Q2_K; t <= TYPE_Q6_K; t++)
        k->mul_mat[t] = mul_quant;
    for (uint32_t t = 0; t < TYPE_COUNT; t++)
        if (book_type(t))
            k->mul_mat[t] = mul_quant;
    static const uint8_t more[] = {TYPE_IQ4_NL, TYPE_IQ4_XS, TYPE_MXFP4, TYPE_NVFP4,
                                   TYPE_Q1_0,   TYPE_Q2_0,   TYPE_TQ1_0, TYPE_TQ2_0};
    for (size_t i = 0; i < sizeof more; i++)
        k->mul_mat[more[i]] = mul_quant;
}
