/* kernels/arm/floats_neon.c - products with F32, F16 and BF16 weights: lane = row, x broadcast. */
#include <arm_neon.h>
#include "kernels/arm/arm.h"

#define INLINE static inline __attribute__((always_inline))

enum { COLS = 4 };

/* Four neighbouring rows at column k of the group. */
INLINE float32x4_t weights(uint32_t type, const uint8_t *group, size_t at)
{
    if (type == TYPE_F32)
        return vld1q_f32((const float *)group + at);
    uint16x4_t h = vld1_u16((const uint16_t *)group + at);
    if (type == TYPE_F16)
        return vcvt_f32_f16(vreinterpret_f16_u16(h));
    return vreinterpretq_f32_u32(vshll_n_u16(h, 16));
}

INLINE void tile(uint32_t type, int cols, const uint8_t *group, int k_end, const float *x,
                 size_t ldx, float *acc)
{
    float32x4_t y[COLS][4];
    for (int c = 0; c < cols; c++)
        for (int q = 0; q < 4; q++)
            y[c][q] = vdupq_n_f32(0);
    for (int k = 0; k < k_end; k++) {
        for (int q = 0; q < 4; q++) {
            float32x4_t w = weights(type, group, (size_t)k * 16 + 4 * (size_t)q);
            for (int c = 0; c < cols; c++)
                y[c][q] = vfmaq_n_f32(y[c][q], w, x[(size_t)c * ldx + (size_t)k]);
        }
    }
    for (int c = 0; c < cols; c++)
        for (int q = 0; q < 4; q++)
            vst1q_f32(acc + 16 * c + 4 * q, y[c][q]);
}

INLINE void mul(uint32_t type, const struct mat *w, const struct acts *a, float *y, size_t ldy,
                bool add, int32_t g0, int32_t g1)
{
    for (int32_t g = g0; g < g1; g++) {
        const uint8_t *group = w->data + (size_t)g * w->group_bytes;
        int32_t row = g * MAT_ROWS, rows = w->n_rows - row < MAT_ROWS ? w->n_rows - row : MAT_ROWS;
        for (int c0 = 0; c0 < a->n; c0 += COLS) {
            int n = a->n - c0 < COLS ? a->n - c0 : COLS;
            const float *x = a->x + (size_t)c0 * a->ldx;
            float acc[COLS * 16];
            if (n == COLS)
                tile(type, COLS, group, w->n_cols, x, a->ldx, acc);
            else
                for (int c = 0; c < n; c++)
                    tile(type, 1, group, w->n_cols, x + (size_t)c * a->ldx, a->ldx, acc + 16 * c);
            for (int c = 0; c < n; c++) {
                float *out = y + (size_t)(c0 + c) * ldy + row;
                for (int32_t r = 0; r < rows; r++)
                    out[r] = add ? out[r] + acc[16 * c + r] : acc[16 * c + r];
            }
        }
    }
}

#define MUL(T)                                                                                     \
    static void mul_##T(const struct mat *w, const struct acts *a, float *y, size_t ldy, bool add, \
                        int32_t g0, int32_t g1, void *scratch)                                     \
    {                                                                                              \
        (void)scratch;                                                                             \
        mul(TYPE_##T, w, a, y, ldy, add, g0, g1);                                                  \
    }
MUL(F32)
MUL(F16)
MUL(BF16)
#undef MUL

void arm_floats_neon(struct kernels *k)
{
    k->mul_mat[TYPE_F32] = mul_F32;
    k->mul_mat[TYPE_F16] = mul_F16;
    k->mul_mat[TYPE_BF16] = mul_BF16;
}
