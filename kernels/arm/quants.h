/* kernels/arm/quants.h - the quantized products, once for NEON and once for SDOT.
 *
 * The including file gives
 *     int32x4_t dot_half(int32x4_t sum, const uint8x16_t w[4], int8x16_t a, bool wide)
 * which adds to each lane (row) the 16 products of one half: w[i] = step i of four rows, the four
 * codes of step i stand in lane i of `a`. `wide`: codes are signed bytes (else under 64).
 *
 * A group has 16 rows = four quarters of one register. The loop takes 8 blocks (a super-block) at a
 * time, quarter by quarter, so that a quarter's accumulators stay in registers while the 8 blocks'
 * bytes stay in L1; the codes are unpacked once for COLS columns. More columns: sweep.h. */
#include <arm_neon.h>
#include "kernels/arm/a32.h"
#include "kernels/arm/arm.h"
#include "kernels/arm/sweep.h"
#include "kernels/arm/unpack.h"

enum { COLS = 4 };

/* The sum of a block's 32 products, zero point included. */
INLINE int32x4_t dot32(const uint8x16_t w[8], const struct arm_a32 *a, int zero, bool wide)
{
    int32x4_t sum = vdupq_n_s32(-zero * a->sum);
    sum = dot_half(sum, w, vld1q_s8(a->q), wide);
    return dot_half(sum, w + 4, vld1q_s8(a->q + 16), wide);
}

/* ---- Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 -------------------------------------------------------------
 */

INLINE void plain(uint32_t type, int cols, const uint8_t *block, size_t block_bytes, int n_blocks,
                  int quarter, const struct arm_a32 *a, size_t col_blocks, float *acc)
{
    float32x4_t y[COLS];
    for (int c = 0; c < cols; c++)
        y[c] = vld1q_f32(acc + 16 * c);
    for (int b = 0; b < n_blocks; b++, block += block_bytes, a++) {
        struct quarter q;
        unpack_plain(&q, type, block, quarter);
        for (int c = 0; c < cols; c++) {
            const struct arm_a32 *ac = a + (size_t)c * col_blocks;
            int32x4_t sum = dot32(q.w, ac, q.zero, type == TYPE_Q8_0);
            y[c] = vfmaq_f32(y[c], vmulq_n_f32(q.d, ac->d), vcvtq_f32_s32(sum));
            if (has_minima(type))
                y[c] = vfmaq_n_f32(y[c], q.m, ac->d_sum);
        }
    }
    for (int c = 0; c < cols; c++)
        vst1q_f32(acc + 16 * c, y[c]);
}

/* ---- K types: one super-block -----------------------------------------------------------------
 */

INLINE void super(uint32_t type, int cols, const uint8_t *sb, int quarter, const struct arm_a32 *a,
                  size_t col_blocks, float *acc)
{
    const int r = 4 * quarter;
    float32x4_t s[COLS], t[COLS];
    for (int c = 0; c < cols; c++)
        s[c] = t[c] = vdupq_n_f32(0);
    for (int j = 0; j < 8; j++, a++) {
        struct quarter_k q;
        unpack_super(&q, type, sb, j, quarter);
        for (int c = 0; c < cols; c++) {
            const struct arm_a32 *ac = a + (size_t)c * col_blocks;
            int32x4_t sum;
            if (!has_halves(type)) {
                sum = vmulq_s32(q.sc[0], dot32(q.w, ac, 0, false));
                t[c] = vfmaq_n_f32(t[c], q.mn[0], ac->d_sum);
            } else {
                int32x4_t h0 = vdupq_n_s32(-q.zero * ac->half[0]),
                          h1 = vdupq_n_s32(-q.zero * ac->half[1]);
                h0 = dot_half(h0, q.w, vld1q_s8(ac->q), false);
                h1 = dot_half(h1, q.w + 4, vld1q_s8(ac->q + 16), false);
                sum = vmlaq_s32(vmulq_s32(q.sc[0], h0), q.sc[1], h1);
                if (has_minima(type)) {
                    t[c] = vfmaq_n_f32(t[c], q.mn[0], ac->d_half[0]);
                    t[c] = vfmaq_n_f32(t[c], q.mn[1], ac->d_half[1]);
                }
            }
            s[c] = vfmaq_n_f32(s[c], vcvtq_f32_s32(sum), ac->d);
        }
    }
    const f16_bits *d = (const f16_bits *)sb; /* every header starts with d[16], then dmin[16] */
    float32x4_t dw = halves(d + r), dmin = halves(d + 16 + r);
    for (int c = 0; c < cols; c++) {
        float32x4_t y = vld1q_f32(acc + 16 * c);
        y = vfmaq_f32(y, dw, s[c]);
        if (has_minima(type))
            y = vfmsq_f32(y, dmin, t[c]); /* y - dmin * t, fused: the same as fma(-dmin, t, y) */
        vst1q_f32(acc + 16 * c, y);
    }
}

#include "kernels/arm/books.h"

/* ---- the types of codes.h */

/* At most 8 blocks (whole units) of one quarter for `cols` columns. */
INLINE void coded(uint32_t type, int cols, const uint8_t *unit, size_t unit_bytes, int n_blocks,
                  int quarter, const struct arm_a32 *a, size_t col_blocks, float *acc)
{
    const int at = 16 * quarter, r = 4 * quarter, blocks = unit_blocks(type);
    const bool wide = type == TYPE_IQ4_NL || type == TYPE_IQ4_XS;
    float32x4_t y[COLS], s[COLS];
    for (int c = 0; c < cols; c++) {
        y[c] = vld1q_f32(acc + 16 * c);
        s[c] = vdupq_n_f32(0);
    }
    for (int b = 0; b < n_blocks; b++, a++) {
        const uint8_t *u = unit + (size_t)(b / blocks) * unit_bytes;
        uint8x16_t w[8];
        unpack_codes(type, w, u, b % blocks, at);
        for (int c = 0; c < cols; c++) {
            const struct arm_a32 *ac = a + (size_t)c * col_blocks;
            if (type == TYPE_NVFP4) {
                const struct pk_nvfp4b *p = &((const struct pk_nvfp4 *)u)->b[b % 2];
                for (int h = 0; h < 2; h++) {
                    const int32x4_t sum =
                        dot_half(vdupq_n_s32(0), w + 4 * h, vld1q_s8(ac->q + 16 * h), false);
                    const float32x4_t d = scales_e4m3(p->sc[h] + r);
                    y[c] = vfmaq_f32(y[c], vmulq_n_f32(d, ac->d), vcvtq_f32_s32(sum));
                }
                continue;
            }
            const int32x4_t sum = dot32(w, ac, 0, wide);
            if (type == TYPE_IQ4_XS) {
                const int32x4_t sc = bytes_s(((const struct pk_iq4_xs *)u)->b[b].sc + r);
                s[c] = vfmaq_n_f32(s[c], vcvtq_f32_s32(vmulq_s32(sc, sum)), ac->d);
                continue;
            }
            const float32x4_t d =
                type == TYPE_MXFP4 ? scales_e8m0(u + r) : halves((const f16_bits *)u + r);
            y[c] = vfmaq_f32(y[c], vmulq_n_f32(d, ac->d), vcvtq_f32_s32(sum));
        }
    }
    for (int c = 0; c < cols; c++) {
        if (type == TYPE_IQ4_XS)
            y[c] = vfmaq_f32(y[c], halves((const f16_bits *)unit + r), s[c]);
        vst1q_f32(acc + 16 * c, y[c]);
    }
}

/* ---- the loop over groups and columns
 * ------------------------------------------------------------ */

static void store(const struct mat *w, int32_t g, const float *acc, float *y, bool add)
{
    int32_t row = g * MAT_ROWS, n = w->n_rows - row < MAT_ROWS ? w->n_rows - row : MAT_ROWS;
    for (int32_t r = 0; r < n; r++)
        y[row + r] = add ? y[row + r] + acc[r] : acc[r];
}

/* `cols` columns of one group; 8 blocks of `unit` bytes (or one super-block) at a time. */
INLINE void tile(uint32_t type, int cols, const uint8_t *group, int n_blocks, size_t unit,
                 const struct arm_a32 *a, size_t col_blocks, float *acc)
{
    const bool k_type = type >= TYPE_Q2_K && type <= TYPE_Q6_K;
    for (int b = 0; b < n_blocks; b += 8) {
        int n = n_blocks - b < 8 ? n_blocks - b : 8;
        for (int quarter = 0; quarter < 4; quarter++) {
            if (is_coded(type))
                coded(type, cols, group, unit, n, quarter, a + b, col_blocks, acc + 4 * quarter);
            else if (book_type(type))
                booked(type, cols, group, quarter, a + b, col_blocks, acc + 4 * quarter);
            else if (k_type)
                super(type, cols, group, quarter, a + b, col_blocks, acc + 4 * quarter);
            else
                plain(type, cols, group, unit, n, quarter, a + b, col_blocks, acc + 4 * quarter);
        }
        group += k_type || book_type(type) ? unit : 8 / (size_t)unit_blocks(type) * unit;
    }
}

INLINE void mul(uint32_t type, size_t unit, const struct mat *w, const struct acts *a, float *y,
                size_t ldy, bool add, int32_t g0, int32_t g1, void *scratch)
{
    if (a->n > COLS && !book_type(type)) {
        panel_mul(type, unit, sweep_of(kind_of(type)), w, a, a->n, y, ldy, add, g0, g1, scratch);
        return;
    }
    const int n_blocks = w->n_cols / 32;
    const struct arm_a32 *cols = (const struct arm_a32 *)a->a32;
    for (int32_t g = g0; g < g1; g++) {
        const uint8_t *group = w->data + (size_t)g * w->group_bytes;
        for (int c0 = 0; c0 < a->n; c0 += COLS) {
            int n = a->n - c0 < COLS ? a->n - c0 : COLS;
            const struct arm_a32 *col = cols + (size_t)c0 * n_blocks;
            float acc[COLS * 16] = {0};
            switch (n) {
            case 1:
                tile(type, 1, group, n_blocks, unit, col, n_blocks, acc);
                break;
            case 2:
                tile(type, 2, group, n_blocks, unit, col, n_blocks, acc);
                break;
            case 3:
                tile(type, 3, group, n_blocks, unit, col, n_blocks, acc);
                break;
            default:
                tile(type, COLS, group, n_blocks, unit, col, n_blocks, acc);
                break;
            }
            for (int c = 0; c < n; c++)
                store(w, g, acc + 16 * c, y + (size_t)(c0 + c) * ldy, add);
        }
    }
}

#define MUL(T, t)                                                                                  \
    static void mul_##t(const struct mat *w, const struct acts *a, float *y, size_t ldy, bool add, \
                        int32_t g0, int32_t g1, void *scratch)                                     \
    {                                                                                              \
        mul(TYPE_##T, sizeof(struct pk_##t), w, a, y, ldy, add, g0, g1, scratch);                  \
    }
MUL(Q4_0, q4_0)
MUL(Q4_1, q4_1)
MUL(Q5_0, q5_0)
MUL(Q5_1, q5_1)
MUL(Q8_0, q8_0)
MUL(Q2_K, q2_K)
MUL(Q3_K, q3_K)
MUL(Q4_K, q4_K)
MUL(Q5_K, q5_K)
MUL(Q6_K, q6_K)
MUL(IQ4_NL, iq4_nl)
MUL(IQ4_XS, iq4_xs)
MUL(MXFP4, mxfp4)
MUL(NVFP4, nvfp4)
MUL(Q1_0, q1_0)
MUL(Q2_0, q2_0)
MUL(TQ1_0, tq1_0)
MUL(TQ2_0, tq2_0)
MUL(IQ2_XXS, iq2_xxs)
MUL(IQ2_XS, iq2_xs)
MUL(IQ2_S, iq2_s)
MUL(IQ3_XXS, iq3_xxs)
MUL(IQ3_S, iq3_s)
MUL(IQ1_S, iq1_s)
MUL(IQ1_M, iq1_m)
#undef MUL

static void set_quants(struct kernels *k)
{
    if (k->mm_scratch_bytes < sizeof(struct arm_scratch))
        k->mm_scratch_bytes = sizeof(struct arm_scratch);
    k->mul_mat[TYPE_Q4_0] = mul_q4_0;
    k->mul_mat[TYPE_Q4_1] = mul_q4_1;
    k->mul_mat[TYPE_Q5_0] = mul_q5_0;
    k->mul_mat[TYPE_Q5_1] = mul_q5_1;
    k->mul_mat[TYPE_Q8_0] = mul_q8_0;
    k->mul_mat[TYPE_Q2_K] = mul_q2_K;
    k->mul_mat[TYPE_Q3_K] = mul_q3_K;
    k->mul_mat[TYPE_Q4_K] = mul_q4_K;
    k->mul_mat[TYPE_Q5_K] = mul_q5_K;
    k->mul_mat[TYPE_Q6_K] = mul_q6_K;
    k->mul_mat[TYPE_IQ4_NL] = mul_iq4_nl;
    k->mul_mat[TYPE_IQ4_XS] = mul_iq4_xs;
    k->mul_mat[TYPE_MXFP4] = mul_mxfp4;
    k->mul_mat[TYPE_NVFP4] = mul_nvfp4;
    k->mul_mat[TYPE_Q1_0] = mul_q1_0;
    k->mul_mat[TYPE_Q2_0] = mul_q2_0;
    k->mul_mat[TYPE_TQ1_0] = mul_tq1_0;
    k->mul_mat[TYPE_TQ2_0] = mul_tq2_0;
    k->mul_mat[TYPE_IQ2_XXS] = mul_iq2_xxs;
    k->mul_mat[TYPE_IQ2_XS] = mul_iq2_xs;
    k->mul_mat[TYPE_IQ2_S] = mul_iq2_s;
    k->mul_mat[TYPE_IQ3_XXS] = mul_iq3_xxs;
    k->mul_mat[TYPE_IQ3_S] = mul_iq3_s;
    k->mul_mat[TYPE_IQ1_S] = mul_iq1_s;
    k->mul_mat[TYPE_IQ1_M] = mul_iq1_m;
}
