/* kernels/arm/attend_q8.h - the products of attend.h over pages of int8 codes (ref/kv_q8.h).
 *
 * A register holds four dimensions of four keys, as packed weights hold four rows: dot_half. The
 * sums of a block are exact integers; an fma a block brings them to the scores in memory. */
#ifndef CHASKI_KERNELS_ARM_ATTEND_Q8_H
#define CHASKI_KERNELS_ARM_ATTEND_Q8_H

INLINE float32x4_t bf16_4(const uint16_t *p)
{
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
}

static float dot_centre(const uint16_t *c, const float *q, int d_k)
{
    float32x4_t p[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    for (int d = 0; d < d_k; d += 16) {
        float rest[16] = {0};
        const float *x = q + d;
        if (d_k - d < 16) {
            memcpy(rest, x, (size_t)(d_k - d) * sizeof *x);
            x = rest;
        }
        for (int i = 0; i < 4; i++)
            p[i] = vfmaq_f32(p[i], vld1q_f32(x + 4 * i), bf16_4(c + d + 4 * i));
    }
    return tree16(p);
}

INLINE void dots_q8(int n_q, const uint8_t *k, int d_k, struct one *const *o)
{
    const uint16_t *scales = q8_scales_of(k, d_k);
    const int steps = (int)(q8_pad(d_k) / 4);
    float centre[TILE];
    for (int i = 0; i < n_q; i++)
        centre[i] = dot_centre(q8_centre_of(k, d_k), o[i]->q, d_k);
    for (int j0 = 0; j0 < KV_PAGE; j0 += 16) {
        for (int b = 0; b * 8 < steps; b++) {
            int32x4_t sum[TILE][4];
            for (int i = 0; i < n_q; i++)
                for (int j = 0; j < 4; j++)
                    sum[i][j] = vdupq_n_s32(0);
            for (int h = 0; h < 2; h++) {
                int8x16_t a[TILE];
                for (int i = 0; i < n_q; i++)
                    a[i] = vld1q_s8(o[i]->q8[b].q + 16 * h);
                const uint8_t *at = k + (size_t)(b * 8 + h * 4) * 4 * KV_PAGE + 4 * j0;
                const int left = steps - b * 8 - h * 4;
                for (int j = 0; j < 4; j++, at += 16) {
                    uint8x16_t w[4];
                    for (int g = 0; g < 4; g++)
                        w[g] = g < left ? vld1q_u8(at + g * 4 * KV_PAGE) : vdupq_n_u8(0);
                    for (int i = 0; i < n_q; i++)
                        sum[i][j] = dot_half(sum[i][j], w, a[i], true);
                }
            }
            for (int j = 0; j < 4; j++) {
                const float32x4_t d = bf16_4(scales + b * KV_PAGE + j0 + 4 * j);
                for (int i = 0; i < n_q; i++) {
                    float *p = o[i]->p + j0 + 4 * j;
                    const float32x4_t s = b ? vld1q_f32(p) : vdupq_n_f32(centre[i]);
                    vst1q_f32(p, vfmaq_f32(s, vmulq_n_f32(d, o[i]->q8[b].d),
                                           vcvtq_f32_s32(sum[i][j])));
                }
            }
        }
    }
}

INLINE void values_q8(int n_q, const uint8_t *v, int d_v, int j0, int j1, struct one *const *o)
{
    const uint16_t *scales = q8_scales_of(v, d_v);
    const size_t row = q8_pad(d_v);
    int i = 0;
    for (; i + 16 <= d_v; i += 16) {
        float32x4_t s[TILE][4];
        for (int a = 0; a < n_q; a++) {
            for (int j = 0; j < KV_PAGE && i % 32 == 0; j += 4)
                vst1q_f32(o[a]->scaled + j, vmulq_f32(vld1q_f32(o[a]->p + j),
                                                      bf16_4(scales + i / 32 * KV_PAGE + j)));
            for (int b = 0; b < 4; b++)
                s[a][b] = vld1q_f32(o[a]->state + 16 + i + 4 * b);
        }
        for (int j = j0; j <= j1; j++) {
            const int8x16_t c = vld1q_s8((const int8_t *)v + (size_t)j * row + (size_t)i);
            const int16x8_t lo = vmovl_s8(vget_low_s8(c)), hi = vmovl_s8(vget_high_s8(c));
            const float32x4_t w[4] = {vcvtq_f32_s32(vmovl_s16(vget_low_s16(lo))),
                                      vcvtq_f32_s32(vmovl_s16(vget_high_s16(lo))),
                                      vcvtq_f32_s32(vmovl_s16(vget_low_s16(hi))),
                                      vcvtq_f32_s32(vmovl_s16(vget_high_s16(hi)))};
            for (int a = 0; a < n_q; a++)
                for (int b = 0; b < 4; b++)
                    s[a][b] = vfmaq_n_f32(s[a][b], w[b], o[a]->scaled[j]);
        }
        for (int a = 0; a < n_q; a++)
            for (int b = 0; b < 4; b++)
                vst1q_f32(o[a]->state + 16 + i + 4 * b, s[a][b]);
    }
    for (; i < d_v; i++)
        for (int a = 0; a < n_q; a++) {
            float *to = o[a]->state + 16 + i;
            for (int j = j0; j <= j1; j++) {
                const float d = ref_float((uint32_t)scales[i / 32 * KV_PAGE + j] << 16);
                *to = fmaf(o[a]->p[j] * d, (float)(int8_t)v[(size_t)j * row + (size_t)i], *to);
            }
        }
}

#endif
