/* kernels/arm/quants_i8mm.c - quantized products of two and more columns with SMMLA.
 *
 * Contract: kernels/ref/matmul.c; a lane is one output all the way, integer sums are exact. A tile
 * is a quarter of a group (4 rows) x 2..8 columns: registers hold 2 rows x 2 columns, floats too,
 * so that nothing is turned until the end; scales and minima of rows are doubled (r0 r0 r1 r1),
 * those of columns come from struct arm_pair. The 8 steps of a quarter become SMMLA's operands by 8
 * zips of 32-bit lanes: (step 2p, step 2p + 1) = values 8p..8p+7 of two rows. Shared by up to 4
 * pairs.
 *
 * One column, and an odd last one, is the table below's: SDOT there needs no zip, and the limit is
 * memory. Tiles take 8 blocks at a time; columns go in parts whose codes stay in a cache while the
 * rows pass by. */
#include <arm_neon.h>
#include <stdbool.h>
#include "kernels/arm/arm.h"
#include "kernels/arm/pairs.h"
#include "kernels/arm/unpack.h"

enum {
    PAIRS = 4,               /* of columns in a tile */
    NEAR_BYTES = 128 * 1024, /* of activations that a part of the columns has: half of a small L2 */
};

typedef void mul_fn(const struct mat *w, const struct acts *a, float *y, size_t ldy, bool add,
                    int32_t g0, int32_t g1, void *scratch);
static mul_fn *below[TYPE_COUNT]; /* for single columns; set once, while the tables are filled */

/* z[p][h]: values 8p..8p+7 of rows 2h and 2h + 1. */
INLINE void operands(int8x16_t z[4][2], const uint8x16_t w[8])
{
    for (int p = 0; p < 4; p++) {
        const uint32x4_t a = vreinterpretq_u32_u8(w[2 * p]), b = vreinterpretq_u32_u8(w[2 * p + 1]);
        z[p][0] = vreinterpretq_s8_u32(vzip1q_u32(a, b));
        z[p][1] = vreinterpretq_s8_u32(vzip2q_u32(a, b));
    }
}
/* A number of each of two columns: c0 c1 c0 c1. */
INLINE float32x4_t both_f(const float v[2])
{
    return vreinterpretq_f32_u64(vld1q_dup_u64((const uint64_t *)(const void *)v));
}
INLINE int32x4_t both_s(const int32_t v[2])
{
    return vreinterpretq_s32_u64(vld1q_dup_u64((const uint64_t *)(const void *)v));
}
/* -zero * the sum of a pair's codes: what the zero point takes from the products. */
INLINE int32x4_t start(int zero, const int32_t sum[2])
{
    return zero ? vmulq_n_s32(both_s(sum), -zero) : vdupq_n_s32(0);
}
INLINE void rows_f(float32x4_t o[2], float32x4_t v)
{
    o[0] = vzip1q_f32(v, v);
    o[1] = vzip2q_f32(v, v);
}
INLINE void rows_s(int32x4_t o[2], int32x4_t v)
{
    o[0] = vzip1q_s32(v, v);
    o[1] = vzip2q_s32(v, v);
}

/* acc and y: [pair][2 rows]. At most 8 blocks. */
INLINE void plain(uint32_t type, int pairs, const uint8_t *block, size_t block_bytes, int n_blocks,
                  int quarter, const struct arm_pair *a, size_t nb, float32x4_t (*acc)[2])
{
    float32x4_t y[PAIRS][2];
    for (int c = 0; c < pairs; c++)
        y[c][0] = acc[c][0], y[c][1] = acc[c][1];
    for (int b = 0; b < n_blocks; b++, block += block_bytes, a++) {
        struct quarter q;
        int8x16_t z[4][2];
        float32x4_t d[2], m[2];
        unpack_plain(&q, type, block, quarter);
        operands(z, q.w);
        rows_f(d, q.d);
        rows_f(m, q.m);
        for (int c = 0; c < pairs; c++) {
            const struct arm_pair *ac = a + (size_t)c * nb;
            int32x4_t sum[2];
            sum[0] = sum[1] = start(q.zero, ac->sum);
            for (int p = 0; p < 4; p++) {
                const int8x16_t x = vld1q_s8(ac->q[p][0]);
                sum[0] = vmmlaq_s32(sum[0], z[p][0], x);
                sum[1] = vmmlaq_s32(sum[1], z[p][1], x);
            }
            const float32x4_t da = both_f(ac->d);
            for (int h = 0; h < 2; h++) {
                y[c][h] = vfmaq_f32(y[c][h], vmulq_f32(d[h], da), vcvtq_f32_s32(sum[h]));
                if (has_minima(type))
                    y[c][h] = vfmaq_f32(y[c][h], m[h], both_f(ac->d_sum));
            }
        }
    }
    for (int c = 0; c < pairs; c++)
        acc[c][0] = y[c][0], acc[c][1] = y[c][1];
}

/* One super-block. */
INLINE void super(uint32_t type, int pairs, const uint8_t *sb, int quarter,
                  const struct arm_pair *a, size_t nb, float32x4_t (*acc)[2])
{
    const int r = 4 * quarter;
    float32x4_t s[PAIRS][2], t[PAIRS][2], d[2], dmin[2];
    for (int c = 0; c < pairs; c++)
        s[c][0] = s[c][1] = t[c][0] = t[c][1] = vdupq_n_f32(0);
    for (int j = 0; j < 8; j++, a++) {
        struct quarter_k q;
        int8x16_t z[4][2];
        int32x4_t sc[2][2];
        float32x4_t mn[2][2];
        unpack_super(&q, type, sb, j, quarter);
        operands(z, q.w);
        for (int i = 0; i < 2; i++) {
            rows_s(sc[i], q.sc[i]);
            rows_f(mn[i], q.mn[i]);
        }
        for (int c = 0; c < pairs; c++) {
            const struct arm_pair *ac = a + (size_t)c * nb;
            int32x4_t sum[2], hi[2];
            sum[0] = sum[1] = start(q.zero, ac->half[0]);
            hi[0] = hi[1] = start(q.zero, ac->half[1]);
            for (int p = 0; p < 4; p++) {
                const int8x16_t x = vld1q_s8(ac->q[p][0]);
                int32x4_t *o = has_halves(type) && p >= 2 ? hi : sum;
                o[0] = vmmlaq_s32(o[0], z[p][0], x);
                o[1] = vmmlaq_s32(o[1], z[p][1], x);
            }
            const float32x4_t da = both_f(ac->d);
            for (int h = 0; h < 2; h++) {
                sum[h] = vmulq_s32(sc[0][h], sum[h]);
                if (has_halves(type))
                    sum[h] = vmlaq_s32(sum[h], sc[1][h], hi[h]);
                s[c][h] = vfmaq_f32(s[c][h], vcvtq_f32_s32(sum[h]), da);
                if (type == TYPE_Q2_K) {
                    t[c][h] = vfmaq_f32(t[c][h], mn[0][h], both_f(ac->d_half[0]));
                    t[c][h] = vfmaq_f32(t[c][h], mn[1][h], both_f(ac->d_half[1]));
                } else if (has_minima(type)) {
                    t[c][h] = vfmaq_f32(t[c][h], mn[0][h], both_f(ac->d_sum));
                }
            }
        }
    }
    const f16_bits *head = (const f16_bits *)sb; /* d[16], then dmin[16] where there are minima */
    rows_f(d, halves(head + r));
    rows_f(dmin, halves(head + 16 + r));
    for (int c = 0; c < pairs; c++) {
        for (int h = 0; h < 2; h++) {
            acc[c][h] = vfmaq_f32(acc[c][h], d[h], s[c][h]);
            if (has_minima(type))
                acc[c][h] = vfmsq_f32(acc[c][h], dmin[h], t[c][h]);
        }
    }
}

/* `pairs` pairs of columns of one group into y. */
INLINE void tile(uint32_t type, int pairs, const uint8_t *group, int nb, size_t unit,
                 const struct arm_pair *a, float *y, size_t ldy, int rows, bool add)
{
    const bool k_type = type >= TYPE_Q2_K && type <= TYPE_Q6_K;
    float32x4_t acc[4][PAIRS][2];
    for (int i = 0; i < 4 * PAIRS; i++)
        acc[i / PAIRS][i % PAIRS][0] = acc[i / PAIRS][i % PAIRS][1] = vdupq_n_f32(0);
    for (int b = 0; b < nb; b += 8) {
        const int n = nb - b < 8 ? nb - b : 8;
        for (int quarter = 0; quarter < 4; quarter++) {
            if (k_type)
                super(type, pairs, group, quarter, a + b, (size_t)nb, acc[quarter]);
            else
                plain(type, pairs, group, unit, n, quarter, a + b, (size_t)nb, acc[quarter]);
        }
        group += k_type ? unit : 8 * unit;
    }
    for (int c = 0; c < 2 * pairs; c++, y += ldy) {
        float out[MAT_ROWS];
        for (int i = 0; i < 4; i++) {
            const float32x4_t *v = acc[i][c / 2];
            vst1q_f32(out + 4 * i, c % 2 ? vuzp2q_f32(v[0], v[1]) : vuzp1q_f32(v[0], v[1]));
        }
        for (int r = 0; r < rows; r++)
            y[r] = add ? y[r] + out[r] : out[r];
    }
}

INLINE void mul(uint32_t type, size_t unit, const struct mat *w, const struct acts *a, float *y,
                size_t ldy, bool add, int32_t g0, int32_t g1, void *scratch)
{
    const int nb = w->n_cols / 32, n_pairs = a->n / 2;
    const struct arm_pair *pairs = arm_pairs(a, (size_t)nb);
    int part = NEAR_BYTES / (int)sizeof *pairs / (nb > 0 ? nb : 1) / PAIRS * PAIRS;
    part = part < PAIRS ? PAIRS : part;
    for (int p0 = 0; p0 < n_pairs; p0 += part) {
        const int p1 = n_pairs - p0 < part ? n_pairs : p0 + part;
        for (int32_t g = g0; g < g1; g++) {
            const uint8_t *group = w->data + (size_t)g * w->group_bytes;
            const int left = w->n_rows - g * MAT_ROWS, rows = left < MAT_ROWS ? left : MAT_ROWS;
            for (int p = p0; p < p1; p += PAIRS) {
                const struct arm_pair *ap = pairs + (size_t)p * (size_t)nb;
                float *o = y + (size_t)(2 * p) * ldy + (size_t)g * MAT_ROWS;
                switch (p1 - p) {
                case 1:
                    tile(type, 1, group, nb, unit, ap, o, ldy, rows, add);
                    break;
                case 2:
                    tile(type, 2, group, nb, unit, ap, o, ldy, rows, add);
                    break;
                case 3:
                    tile(type, 3, group, nb, unit, ap, o, ldy, rows, add);
                    break;
                default:
                    tile(type, PAIRS, group, nb, unit, ap, o, ldy, rows, add);
                    break;
                }
            }
        }
    }
    if (a->n % 2) {
        const size_t c = (size_t)a->n - 1;
        struct acts last = *a;
        last.n = 1;
        last.x = a->x ? a->x + c * a->ldx : NULL;
        last.a32 = a->a32 + c * (size_t)nb * sizeof(struct arm_a32);
        below[type](w, &last, y + c * ldy, ldy, add, g0, g1, scratch);
    }
}

#define TYPES(X)                                                                                   \
    X(Q4_0, q4_0)                                                                                  \
    X(Q4_1, q4_1)                                                                                  \
    X(Q5_0, q5_0)                                                                                  \
    X(Q5_1, q5_1)                                                                                  \
    X(Q8_0, q8_0)                                                                                  \
    X(Q2_K, q2_K)                                                                                  \
    X(Q3_K, q3_K)                                                                                  \
    X(Q4_K, q4_K)                                                                                  \
    X(Q5_K, q5_K)                                                                                  \
    X(Q6_K, q6_K)
#define MUL(T, t)                                                                                  \
    static void mul_##t(const struct mat *w, const struct acts *a, float *y, size_t ldy, bool add, \
                        int32_t g0, int32_t g1, void *scratch)                                     \
    {                                                                                              \
        mul(TYPE_##T, sizeof(struct pk_##t), w, a, y, ldy, add, g0, g1, scratch);                  \
    }
TYPES(MUL)

void arm_quants_i8mm(struct kernels *k)
{
#define SET(T, t)                                                                                  \
    below[TYPE_##T] = k->mul_mat[TYPE_##T];                                                        \
    k->mul_mat[TYPE_##T] = mul_##t;
    TYPES(SET)
}
