/* kernels/arm/sweep.h - tiles over a panel (panel.h) for NEON and SDOT: four rows by up to WIDEST
 * columns. The including file gives dot_half (quants.h) and WIDEST: 8 columns leave SDOT room for
 * the 8 registers of codes, the sums and what is loaded; SMLAL needs more registers for itself.
 *
 * Contract: kernels/ref/matmul.c. */
#ifndef CHASKI_KERNELS_ARM_SWEEP_H
#define CHASKI_KERNELS_ARM_SWEEP_H

#include "kernels/arm/a32.h"
#define PAN_DUP 1
#include "kernels/arm/panel.h"

/* Sums of a block, or of its halves, as f32. */
INLINE void pan_sums(int kind, float32x4_t f[2], const uint8x16_t w[8], const struct arm_a32 *a)
{
    int32x4_t lo = dot_half(vdupq_n_s32(MAGIC), w, vld1q_s8(a->q), kind & WIDE);
    int32x4_t hi = kind & HALVES ? vdupq_n_s32(MAGIC) : lo;
    hi = dot_half(hi, w + 4, vld1q_s8(a->q + 16), kind & WIDE);
    if (kind & HALVES)
        f[0] = to_float(lo), f[1] = to_float(hi);
    else
        f[0] = to_float(hi);
}

INLINE void pan_codes(uint8x16_t w[8], const struct arm_pan *p, int quarter)
{
    for (int g = 0; g < 8; g++)
        w[g] = vreinterpretq_u8_s8(vld1q_s8(p->q[quarter][g]));
}

INLINE void pan_plain(int kind, int cols, const struct arm_panel *p, int n, int quarter,
                      const struct arm_a32 *a, size_t nb, float (*acc)[MAT_ROWS])
{
    const int r = 4 * quarter;
    float32x4_t y[WIDEST];
    for (int c = 0; c < cols; c++)
        y[c] = vld1q_f32(acc[c] + r);
    for (int b = 0; b < n; b++, a++) {
        const struct arm_pan *o = &p->b[b];
        uint8x16_t w[8];
        pan_codes(w, o, quarter);
        const float32x4_t d0 = vld1q_f32(o->d[0] + r);
        const float32x4_t d1 = kind & HALVES ? vld1q_f32(o->d[1] + r) : d0;
        const float32x4_t m = kind & MINS ? vld1q_f32(o->m[0] + r) : d0;
        for (int c = 0; c < cols; c++) {
            const struct arm_a32 *ac = a + (size_t)c * nb;
            float32x4_t f[2];
            pan_sums(kind, f, w, ac);
            y[c] = vfmaq_f32(y[c], vmulq_n_f32(d0, ac->d), f[0]);
            if (kind & HALVES)
                y[c] = vfmaq_f32(y[c], vmulq_n_f32(d1, ac->d), f[1]);
            if (kind & MINS)
                y[c] = vfmaq_n_f32(y[c], m, ac->d_sum);
        }
    }
    for (int c = 0; c < cols; c++)
        vst1q_f32(acc[c] + r, y[c]);
}

/* Minima in a pass of their own: their sums would not find room beside the others. */
INLINE void pan_minima(int kind, int cols, const struct arm_panel *p, int b0, int quarter,
                       const struct arm_a32 *a, size_t nb, float (*acc)[MAT_ROWS])
{
    const int r = 4 * quarter;
    float32x4_t t[WIDEST];
    for (int c = 0; c < cols; c++)
        t[c] = vdupq_n_f32(0);
    for (int b = 0; b < 8; b++) {
        const struct arm_pan *o = &p->b[b0 + b];
        const float32x4_t m0 = vld1q_f32(o->m[0] + r);
        const float32x4_t m1 = kind & HALVES ? vld1q_f32(o->m[1] + r) : m0;
        for (int c = 0; c < cols; c++) {
            const struct arm_a32 *ac = a + b + (size_t)c * nb;
            if (kind & HALVES) {
                t[c] = vfmaq_n_f32(t[c], m0, ac->d_half[0]);
                t[c] = vfmaq_n_f32(t[c], m1, ac->d_half[1]);
            } else {
                t[c] = vfmaq_n_f32(t[c], m0, ac->d_sum);
            }
        }
    }
    const float32x4_t dmin = vld1q_f32(p->dmin[b0 / 8] + r);
    for (int c = 0; c < cols; c++)
        vst1q_f32(acc[c] + r, vfmsq_f32(vld1q_f32(acc[c] + r), dmin, t[c]));
}

INLINE void pan_super(int kind, int cols, const struct arm_panel *p, int n, int quarter,
                      const struct arm_a32 *a, size_t nb, float (*acc)[MAT_ROWS])
{
    const int r = 4 * quarter;
    for (int b0 = 0; b0 < n; b0 += 8, a += 8) {
        float32x4_t s[WIDEST];
        for (int c = 0; c < cols; c++)
            s[c] = vdupq_n_f32(0);
        for (int b = 0; b < 8; b++) {
            const struct arm_pan *o = &p->b[b0 + b];
            uint8x16_t w[8];
            pan_codes(w, o, quarter);
            const float32x4_t d0 = vld1q_f32(o->d[0] + r);
            const float32x4_t d1 = kind & HALVES ? vld1q_f32(o->d[1] + r) : d0;
            for (int c = 0; c < cols; c++) {
                const struct arm_a32 *ac = a + b + (size_t)c * nb;
                float32x4_t f[2];
                pan_sums(kind, f, w, ac);
                f[0] = vmulq_f32(f[0], d0); /* whole numbers below 2^24: exact */
                if (kind & HALVES)
                    f[0] = vfmaq_f32(f[0], f[1], d1);
                s[c] = vfmaq_n_f32(s[c], f[0], ac->d);
            }
        }
        const float32x4_t d = vld1q_f32(p->d[b0 / 8] + r);
        for (int c = 0; c < cols; c++)
            vst1q_f32(acc[c] + r, vfmaq_f32(vld1q_f32(acc[c] + r), d, s[c]));
        if (kind & MINS)
            pan_minima(kind, cols, p, b0, quarter, a, nb, acc);
    }
}

INLINE void pan_tile(int kind, int cols, const struct arm_panel *p, int n, const struct arm_a32 *a,
                     size_t nb, float (*acc)[MAT_ROWS])
{
    for (int quarter = 0; quarter < 4; quarter++) {
        if (kind & SUPER)
            pan_super(kind, cols, p, n, quarter, a, nb, acc);
        else
            pan_plain(kind, cols, p, n, quarter, a, nb, acc);
    }
}

INLINE void sweep_kind(int kind, const struct arm_panel *p, int n, const struct acts *a, size_t nb,
                       int b, int c0, int n_cols, float (*acc)[MAT_ROWS])
{
    const struct arm_a32 *x = (const struct arm_a32 *)(const void *)a->a32 + (size_t)c0 * nb + b;
    int c = 0;
    for (; WIDEST == 8 && c + 8 <= n_cols; c += 8)
        pan_tile(kind, WIDEST, p, n, x + (size_t)c * nb, nb, acc + c);
    for (; c + 4 <= n_cols; c += 4)
        pan_tile(kind, 4, p, n, x + (size_t)c * nb, nb, acc + c);
    for (; c < n_cols; c++)
        pan_tile(kind, 1, p, n, x + (size_t)c * nb, nb, acc + c);
}

#define SWEEP(name, kind)                                                                          \
    static __attribute__((noinline)) void sweep_##name(const struct arm_panel *p, int n,           \
                                                       const struct acts *a, size_t nb, int b,     \
                                                       int c0, int n_cols, float (*acc)[MAT_ROWS]) \
    {                                                                                              \
        sweep_kind(kind, p, n, a, nb, b, c0, n_cols, acc);                                         \
    }
SWEEP(plain, 0)
SWEEP(plain_wide, WIDE)
SWEEP(plain_mins, MINS)
SWEEP(plain_halves, HALVES)
SWEEP(super_wide, SUPER | WIDE)
SWEEP(super_mins, SUPER | MINS)
SWEEP(super_halves, SUPER | HALVES)
SWEEP(super_halves_mins, SUPER | HALVES | MINS)
#undef SWEEP

INLINE sweep_fn *sweep_of(int kind)
{
    switch (kind) {
    case WIDE:
        return sweep_plain_wide;
    case MINS:
        return sweep_plain_mins;
    case HALVES:
        return sweep_plain_halves;
    case SUPER | WIDE:
        return sweep_super_wide;
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

#endif
