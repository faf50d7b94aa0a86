/* kernels/arm/quants_i8mm.c - quantized products of two and more columns with SMMLA.
 *
 * Contract: kernels/ref/matmul.c; a lane is one output all the way, integer sums are exact. Tiles
 * of a quarter of a group (4 rows) x 2..8 columns sweep a panel (panel.h): registers hold 2 rows x
 * 2 columns, floats too, so that nothing is turned until the end. Scales and minima of rows are
 * doubled in the panel (r0 r0 r1 r1), those of columns come from struct arm_pair.
 *
 * One column, and an odd last one, is the table below's: SDOT there needs no panel, and the limit
 * is memory. So are the types with code books (IQ1, IQ2, IQ3). */
#include <arm_neon.h>
#include <stdbool.h>
#include "kernels/arm/arm.h"
#include "kernels/arm/pairs.h"
#define PAN_DUP 2
#include "kernels/arm/panel.h"

enum { PAIRS = 4 }; /* of columns in a tile */

typedef void mul_fn(const struct mat *w, const struct acts *a, float *y, size_t ldy, bool add,
                    int32_t g0, int32_t g1, void *scratch);
static mul_fn *below[TYPE_COUNT]; /* for single columns; set once, while the tables are filled */

/* A number of each of two columns: c0 c1 c0 c1. */
INLINE float32x4_t both_f(const float v[2])
{
    return vreinterpretq_f32_u64(vld1q_dup_u64((const uint64_t *)(const void *)v));
}

/* lo[h]: sums of rows 2h and 2h + 1 over a block; HALVES: over its first half, hi[h] the other. */
INLINE void sums(int kind, float32x4_t lo[2], float32x4_t hi[2], const int8x16_t z[8],
                 const struct arm_pair *a)
{
    int32x4_t s[2][2];
    s[0][0] = s[0][1] = s[1][0] = s[1][1] = vdupq_n_s32(MAGIC);
    for (int p = 0; p < 4; p++) {
        const int8x16_t x = vld1q_s8(a->q[p][0]);
        int32x4_t *o = s[kind & HALVES ? p / 2 : 0];
        o[0] = vmmlaq_s32(o[0], z[2 * p], x);
        o[1] = vmmlaq_s32(o[1], z[2 * p + 1], x);
    }
    for (int h = 0; h < 2; h++) {
        lo[h] = to_float(s[0][h]);
        hi[h] = to_float(s[1][h]);
    }
}

/* The sums of a pair in acc, which has 16 rows of a column and then of the next. */
INLINE void load(float32x4_t y[2], float (*acc)[MAT_ROWS], int quarter)
{
    const float32x4_t a = vld1q_f32(acc[0] + 4 * quarter), b = vld1q_f32(acc[1] + 4 * quarter);
    y[0] = vzip1q_f32(a, b);
    y[1] = vzip2q_f32(a, b);
}
INLINE void save(float (*acc)[MAT_ROWS], int quarter, const float32x4_t y[2])
{
    vst1q_f32(acc[0] + 4 * quarter, vuzp1q_f32(y[0], y[1]));
    vst1q_f32(acc[1] + 4 * quarter, vuzp2q_f32(y[0], y[1]));
}

INLINE void plain(int kind, int pairs, const struct arm_panel *p, int n, int quarter,
                  const struct arm_pair *a, size_t nb, float (*acc)[MAT_ROWS])
{
    const int r = 8 * quarter;
    float32x4_t y[PAIRS][2];
    for (int c = 0; c < pairs; c++)
        load(y[c], acc + 2 * c, quarter);
    for (int b = 0; b < n; b++, a++) {
        const struct arm_pan *o = &p->b[b];
        int8x16_t z[8];
        for (int i = 0; i < 8; i++)
            z[i] = vld1q_s8(o->q[quarter][i]);
        for (int c = 0; c < pairs; c++) {
            const struct arm_pair *ac = a + (size_t)c * nb;
            const float32x4_t da = both_f(ac->d);
            float32x4_t lo[2], hi[2];
            sums(kind, lo, hi, z, ac);
            for (int h = 0; h < 2; h++) {
                const int at = r + 4 * h;
                y[c][h] = vfmaq_f32(y[c][h], vmulq_f32(vld1q_f32(o->d[0] + at), da), lo[h]);
                if (kind & HALVES)
                    y[c][h] = vfmaq_f32(y[c][h], vmulq_f32(vld1q_f32(o->d[1] + at), da), hi[h]);
                if (kind & MINS)
                    y[c][h] = vfmaq_f32(y[c][h], vld1q_f32(o->m[0] + at), both_f(ac->d_sum));
            }
        }
    }
    for (int c = 0; c < pairs; c++)
        save(acc + 2 * c, quarter, y[c]);
}

/* Minima in a pass of their own: their sums would not find room beside the others. */
INLINE void minima(int kind, int pairs, const struct arm_panel *p, int b0, int quarter,
                   const struct arm_pair *a, size_t nb, float32x4_t y[PAIRS][2])
{
    const int r = 8 * quarter;
    float32x4_t t[PAIRS][2];
    for (int c = 0; c < pairs; c++)
        t[c][0] = t[c][1] = vdupq_n_f32(0);
    for (int b = 0; b < 8; b++) {
        const struct arm_pan *o = &p->b[b0 + b];
        for (int c = 0; c < pairs; c++) {
            const struct arm_pair *ac = a + b + (size_t)c * nb;
            for (int h = 0; h < 2; h++) {
                const int at = r + 4 * h;
                const float32x4_t m = vld1q_f32(o->m[0] + at);
                t[c][h] = vfmaq_f32(t[c][h], m, both_f(kind & HALVES ? ac->d_half[0] : ac->d_sum));
                if (kind & HALVES)
                    t[c][h] = vfmaq_f32(t[c][h], vld1q_f32(o->m[1] + at), both_f(ac->d_half[1]));
            }
        }
    }
    for (int c = 0; c < pairs; c++)
        for (int h = 0; h < 2; h++)
            y[c][h] = vfmsq_f32(y[c][h], vld1q_f32(p->dmin[b0 / 8] + r + 4 * h), t[c][h]);
}

INLINE void super(int kind, int pairs, const struct arm_panel *p, int n, int quarter,
                  const struct arm_pair *a, size_t nb, float (*acc)[MAT_ROWS])
{
    const int r = 8 * quarter;
    for (int b0 = 0; b0 < n; b0 += 8, a += 8) {
        float32x4_t s[PAIRS][2], y[PAIRS][2];
        for (int c = 0; c < pairs; c++)
            s[c][0] = s[c][1] = vdupq_n_f32(0);
        for (int b = 0; b < 8; b++) {
            const struct arm_pan *o = &p->b[b0 + b];
            int8x16_t z[8];
            for (int i = 0; i < 8; i++)
                z[i] = vld1q_s8(o->q[quarter][i]);
            for (int c = 0; c < pairs; c++) {
                const struct arm_pair *ac = a + b + (size_t)c * nb;
                const float32x4_t da = both_f(ac->d);
                float32x4_t lo[2], hi[2];
                sums(kind, lo, hi, z, ac);
                for (int h = 0; h < 2; h++) { /* whole numbers below 2^24: exact */
                    lo[h] = vmulq_f32(lo[h], vld1q_f32(o->d[0] + r + 4 * h));
                    if (kind & HALVES)
                        lo[h] = vfmaq_f32(lo[h], hi[h], vld1q_f32(o->d[1] + r + 4 * h));
                    s[c][h] = vfmaq_f32(s[c][h], lo[h], da);
                }
            }
        }
        for (int c = 0; c < pairs; c++) {
            load(y[c], acc + 2 * c, quarter);
            for (int h = 0; h < 2; h++)
                y[c][h] = vfmaq_f32(y[c][h], vld1q_f32(p->d[b0 / 8] + r + 4 * h), s[c][h]);
        }
        if (kind & MINS)
            minima(kind, pairs, p, b0, quarter, a, nb, y);
        for (int c = 0; c < pairs; c++)
            save(acc + 2 * c, quarter, y[c]);
    }
}

INLINE void tile(int kind, int pairs, const struct arm_panel *p, int n, const struct arm_pair *a,
                 size_t nb, float (*acc)[MAT_ROWS])
{
    for (int quarter = 0; quarter < 4; quarter++) {
        if (kind & SUPER)
            super(kind, pairs, p, n, quarter, a, nb, acc);
        else
            plain(kind, pairs, p, n, quarter, a, nb, acc);
    }
}

INLINE void sweep_kind(int kind, const struct arm_panel *p, int n, const struct acts *a, size_t nb,
                       int b, int c0, int n_cols, float (*acc)[MAT_ROWS])
{
    const struct arm_pair *x = arm_pairs(a, nb) + (size_t)(c0 / 2) * nb + b;
    int c = 0;
    for (; c + 2 * PAIRS <= n_cols; c += 2 * PAIRS)
        tile(kind, PAIRS, p, n, x + (size_t)(c / 2) * nb, nb, acc + c);
    for (; c + 4 <= n_cols; c += 4)
        tile(kind, 2, p, n, x + (size_t)(c / 2) * nb, nb, acc + c);
    for (; c < n_cols; c += 2)
        tile(kind, 1, p, n, x + (size_t)(c / 2) * nb, nb, acc + c);
}

#define SWEEP(name, kind)                                                                          \
    static __attribute__((noinline)) void sweep_##name(const struct arm_panel *p, int n,           \
                                                       const struct acts *a, size_t nb, int b,     \
                                                       int c0, int n_cols, float (*acc)[MAT_ROWS]) \
    {                                                                                              \
        sweep_kind(kind, p, n, a, nb, b, c0, n_cols, acc);                                         \
    }
SWEEP(plain, 0)
SWEEP(plain_mins, MINS)
SWEEP(plain_halves, HALVES)
SWEEP(super, SUPER)
SWEEP(super_mins, SUPER | MINS)
SWEEP(super_halves, SUPER | HALVES)
SWEEP(super_halves_mins, SUPER | HALVES | MINS)
#undef SWEEP

INLINE sweep_fn *sweep_of(int kind)
{
    switch (kind & ~WIDE) {
    case MINS:
        return sweep_plain_mins;
    case HALVES:
        return sweep_plain_halves;
    case SUPER:
        return sweep_super;
    case SUPER | MINS:
        return sweep_super_mins;
    case SUPER | HALVES:
        return sweep_super_halves;
    case SUPER | HALVES | MINS:
        return sweep_super_halves_mins;
    default:
        return sweep_plain;
    }
}

INLINE void mul(uint32_t type, size_t unit, const struct mat *w, const struct acts *a, float *y,
                size_t ldy, bool add, int32_t g0, int32_t g1, void *scratch)
{
    const int even = a->n / 2 * 2;
    panel_mul(type, unit, sweep_of(kind_of(type)), w, a, even, y, ldy, add, g0, g1, scratch);
    if (a->n % 2) {
        struct acts last = *a;
        last.n = 1;
        last.x = a->x ? a->x + (size_t)even * a->ldx : NULL;
        last.a32 = a->a32 + (size_t)even * (size_t)(w->n_cols / 32) * sizeof(struct arm_a32);
        below[type](w, &last, y + (size_t)even * ldy, ldy, add, g0, g1, scratch);
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
    X(Q6_K, q6_K)                                                                                  \
    X(IQ4_NL, iq4_nl)                                                                              \
    X(IQ4_XS, iq4_xs)                                                                              \
    X(MXFP4, mxfp4)                                                                                \
    X(NVFP4, nvfp4)                                                                                \
    X(Q1_0, q1_0)                                                                                  \
    X(Q2_0, q2_0)                                                                                  \
    X(TQ1_0, tq1_0)                                                                                \
    X(TQ2_0, tq2_0)
#define MUL(T, t)                                                                                  \
    static void mul_##t(const struct mat *w, const struct acts *a, float *y, size_t ldy, bool add, \
                        int32_t g0, int32_t g1, void *scratch)                                     \
    {                                                                                              \
        mul(TYPE_##T, sizeof(struct pk_##t), w, a, y, ldy, add, g0, g1, scratch);                  \
    }
TYPES(MUL)

void arm_quants_i8mm(struct kernels *k)
{
    if (k->mm_scratch_bytes < sizeof(struct arm_scratch))
        k->mm_scratch_bytes = sizeof(struct arm_scratch);
#define SET(T, t)                                                                                  \
    below[TYPE_##T] = k->mul_mat[TYPE_##T];                                                        \
    k->mul_mat[TYPE_##T] = mul_##t;
    TYPES(SET)
}
