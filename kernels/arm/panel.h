/* kernels/arm/panel.h - a panel: 16 blocks of one row group unpacked, for many columns to use.
 *
 * Unpacking four rows of a block costs as much as multiplying them by four columns (measured by
 * benchmarks/neon_mca.py), so products of more columns unpack once into scratch: signed codes
 * without zero point, scales and minima as f32. Then all types are alike but for a few bits (kind)
 * and the tiles are written once. A panel is 12 KB (16 KB for SMMLA), so that it and the codes of a
 * tile's columns stay in a small L1.
 *
 * Integers become f32 without SCVTF, which takes one pipe of N1 for two cycles: sums start at
 * MAGIC, whose bits are those of the float 1.5 * 2^23, and one subtraction of that float leaves the
 * sum, exact up to 2^22. A block's sum is at most 32 * 128 * 127. The products with scales of the K
 * types are below 2^24, exact in f32 (the largest: Q6_K, 2 * 128 * 16 * 32 * 127).
 *
 * Before it is included: PAN_DUP, how often a row's scale stands side by side (2: r0 r0 r1 r1 for
 * SMMLA, whose operands are made too, 1: SDOT's steps). */
#ifndef CHASKI_KERNELS_ARM_PANEL_H
#define CHASKI_KERNELS_ARM_PANEL_H

#include <string.h>
#include "kernels/arm/codes.h"
#include "kernels/arm/unpack.h"
#include "kernels/kernels.h"

enum {
    PAN_BLOCKS = 16,
    PAN_COLS = 128 /* swept by a panel: half a small L2 of codes when k is long */
};
static const float magic_float = 0x1.8p23f;
#define MAGIC 0x4b400000

struct arm_pan {
    int8_t q[4][8][16];             /* [quarter][step, or operand 2p + h] */
    float d[2][MAT_ROWS * PAN_DUP]; /* of the block, or of its halves; K types: as f32 */
    float m[2][MAT_ROWS * PAN_DUP]; /* minima alike */
};
struct arm_panel {
    struct arm_pan b[PAN_BLOCKS];
    float d[PAN_BLOCKS / 8][MAT_ROWS * PAN_DUP], dmin[PAN_BLOCKS / 8][MAT_ROWS * PAN_DUP];
};
struct arm_scratch { /* of one thread: mm_scratch_bytes */
    struct arm_panel p;
    float acc[PAN_COLS][MAT_ROWS]; /* sums of the columns between panels of k */
};

enum kind {
    SUPER = 1,  /* d of the panel over d of 8 blocks */
    HALVES = 2, /* a d for each 16 values */
    MINS = 4,
    WIDE = 8, /* codes of 8 bits (else under 64) */
};
INLINE int kind_of(uint32_t type)
{
    const bool k_type = type >= TYPE_Q2_K && type <= TYPE_Q6_K;
    return (k_type || type == TYPE_IQ4_XS ? SUPER : 0) |
           (has_halves(type) || type == TYPE_NVFP4 ? HALVES : 0) | (has_minima(type) ? MINS : 0) |
           (type == TYPE_Q8_0 || type == TYPE_IQ4_NL || type == TYPE_IQ4_XS ? WIDE : 0);
}

INLINE void put_rows(float *o, int quarter, float32x4_t v)
{
    o += 4 * PAN_DUP * quarter;
    if (PAN_DUP == 2) {
        vst1q_f32(o, vzip1q_f32(v, v));
        vst1q_f32(o + 4, vzip2q_f32(v, v));
    } else {
        vst1q_f32(o, v);
    }
}
INLINE void put_codes(int8_t o[8][16], const uint8x16_t w[8], int zero)
{
    const int8x16_t z = vdupq_n_s8((int8_t)zero);
    for (int p = 0; p < 8; p += 2) {
        int8x16_t a = vsubq_s8(vreinterpretq_s8_u8(w[p]), z);
        int8x16_t b = vsubq_s8(vreinterpretq_s8_u8(w[p + 1]), z);
        if (PAN_DUP == 2) { /* 8 values of two rows are an operand */
            const int32x4_t s = vreinterpretq_s32_s8(a), t = vreinterpretq_s32_s8(b);
            a = vreinterpretq_s8_s32(vzip1q_s32(s, t));
            b = vreinterpretq_s8_s32(vzip2q_s32(s, t));
        }
        vst1q_s8(o[p], a);
        vst1q_s8(o[p + 1], b);
    }
}

/* Scales of four rows of block j of the unit, of a type of codes.h; IQ4_XS: as f32. */
INLINE void code_scales(uint32_t type, float32x4_t d[2], const uint8_t *unit, int j, int r)
{
    if (type == TYPE_NVFP4) {
        d[0] = scales_e4m3(((const struct pk_nvfp4 *)unit)->b[j].sc[0] + r);
        d[1] = scales_e4m3(((const struct pk_nvfp4 *)unit)->b[j].sc[1] + r);
    } else if (type == TYPE_IQ4_XS) {
        d[0] = vcvtq_f32_s32(bytes_s(((const struct pk_iq4_xs *)unit)->b[j].sc + r));
    } else if (type == TYPE_MXFP4) {
        d[0] = scales_e8m0(unit + r);
    } else {
        d[0] = halves((const f16_bits *)unit + r);
    }
}

INLINE int blocks_of_unit(uint32_t type)
{
    return type >= TYPE_Q2_K && type <= TYPE_Q6_K ? 8 : unit_blocks(type);
}

/* Blocks b0..b0+n-1 of a group; b0 is a multiple of PAN_BLOCKS. */
INLINE void panel_unpack(struct arm_panel *p, uint32_t type, size_t unit_bytes,
                         const uint8_t *group, int b0, int n)
{
    const int per = blocks_of_unit(type), kind = kind_of(type);
    const uint8_t *unit = group + (size_t)(b0 / per) * unit_bytes;
    for (int b = 0; b < n; b++) {
        struct arm_pan *o = &p->b[b];
        const int j = b % per;
        for (int quarter = 0; quarter < 4; quarter++) {
            const int r = 4 * quarter;
            float32x4_t d[2], m[2];
            if (is_coded(type)) {
                uint8x16_t w[8];
                unpack_codes(type, w, unit, j, 16 * quarter);
                code_scales(type, d, unit, j, r);
                put_codes(o->q[quarter], w, 0);
            } else if (kind & SUPER) {
                struct quarter_k q;
                unpack_super(&q, type, unit, j, quarter);
                put_codes(o->q[quarter], q.w, q.zero);
                for (int h = 0; h < 2; h++)
                    d[h] = vcvtq_f32_s32(q.sc[h]), m[h] = q.mn[h];
            } else {
                struct quarter q;
                unpack_plain(&q, type, unit, quarter);
                put_codes(o->q[quarter], q.w, q.zero);
                d[0] = q.d, m[0] = q.m;
            }
            for (int h = 0; h < (kind & HALVES ? 2 : 1); h++) {
                put_rows(o->d[h], quarter, d[h]);
                if (kind & MINS)
                    put_rows(o->m[h], quarter, m[h]);
            }
            if (kind & SUPER && b % 8 == 0) {
                const f16_bits *head = (const f16_bits *)unit;
                put_rows(p->d[b / 8], quarter, halves(head + r));
                if (kind & MINS)
                    put_rows(p->dmin[b / 8], quarter, halves(head + MAT_ROWS + r));
            }
        }
        if (j == per - 1)
            unit += unit_bytes;
    }
}

INLINE float32x4_t to_float(int32x4_t sum)
{
    return vsubq_f32(vreinterpretq_f32_s32(sum), vdupq_n_f32(magic_float));
}

/* Sweeps columns (or pairs) c0.. over the panel: acc[c] += n blocks, from block b of the columns.
 */
typedef void sweep_fn(const struct arm_panel *p, int n, const struct acts *a, size_t nb, int b,
                      int c0, int n_cols, float (*acc)[MAT_ROWS]);

INLINE void panel_mul(uint32_t type, size_t unit_bytes, sweep_fn *sweep, const struct mat *w,
                      const struct acts *a, int n_cols, float *y, size_t ldy, bool add, int32_t g0,
                      int32_t g1, void *scratch)
{
    struct arm_scratch *s = scratch;
    const int nb = w->n_cols / 32;
    for (int c0 = 0; c0 < n_cols; c0 += PAN_COLS) {
        const int n = n_cols - c0 < PAN_COLS ? n_cols - c0 : PAN_COLS;
        for (int32_t g = g0; g < g1; g++) {
            const int left = w->n_rows - g * MAT_ROWS, rows = left < MAT_ROWS ? left : MAT_ROWS;
            memset(s->acc, 0, (size_t)n * sizeof s->acc[0]);
            for (int b = 0; b < nb; b += PAN_BLOCKS) {
                const int pb = nb - b < PAN_BLOCKS ? nb - b : PAN_BLOCKS;
                panel_unpack(&s->p, type, unit_bytes, w->data + (size_t)g * w->group_bytes, b, pb);
                sweep(&s->p, pb, a, (size_t)nb, b, c0, n, s->acc);
            }
            for (int c = 0; c < n; c++) {
                float *o = y + (size_t)(c0 + c) * ldy + (size_t)g * MAT_ROWS;
                for (int r = 0; r < rows; r++)
                    o[r] = add ? o[r] + s->acc[c][r] : s->acc[c][r];
            }
        }
    }
}

#endif
